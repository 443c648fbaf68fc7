// SPDX-License-Identifier: MIT
/* keep_filter.h - our nftables table and src_valid_mark; only keeper/ and its tests include it */
#ifndef KEEPER_KEEP_FILTER_H
#define KEEPER_KEEP_FILTER_H

#include "keeper/keeper_internal.h"

/** keep_filter_set() - keep_filter()'s other half; @j is written before anything is changed */
int keep_filter_set(struct keep_journal *j, bool on);
/** keep_filter_undo() - what @j says of the table and the sysctl; a journal that is unknown has filter set and src_valid_mark -1: only the
 * table goes. Nothing there is fine. Return: 0; ST_ESYS (logged) */
int keep_filter_undo(const struct keep_journal *j);

#endif
