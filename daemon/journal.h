// SPDX-License-Identifier: MIT
/* journal.h - the journal as a log */
#ifndef DAEMON_JOURNAL_H
#define DAEMON_JOURNAL_H

/** journal_open() - a descriptor that takes lines with "<n>" priority prefixes, the caller's to close
 * Return: the descriptor; negative if there is no journal */
int journal_open(const char *identifier);

#endif
