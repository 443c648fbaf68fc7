// SPDX-License-Identifier: MIT
/* daemon_diff.h - two configurations compared, for reload */
#ifndef DAEMON_DAEMON_DIFF_H
#define DAEMON_DAEMON_DIFF_H

#include <stdbool.h>
#include <stddef.h>

#include "config/config.h"

#define DIFF_FIXED_MAX 8U

/** daemon_diff_upstream() - do sessions of @a and of @b differ in nothing? resolver and ipv6 do not count: they can change under way */
bool daemon_diff_upstream(const struct cfg_upstream *a, const struct cfg_upstream *b);
/** daemon_diff_fixed() - the keys that differ and can't change while up, into @out. Return: count, at most DIFF_FIXED_MAX */
size_t daemon_diff_fixed(const char *out[DIFF_FIXED_MAX], const struct config *a,
			 const struct config *b);

/* What a reload does, for its answer. */
struct diff_counts {
	size_t added, changed, removed;	     /* upstreams */
	size_t routes_added, routes_removed; /* a route that goes elsewhere is both */
	bool settings;			     /* anything else that counts */
};
/** daemon_diff_counts() - from @a to @b. Return: 0; ST_ENOMEM */
int daemon_diff_counts(struct diff_counts *out, const struct config *a, const struct config *b);
/** daemon_diff_none() - nothing differs that is of any consequence */
bool daemon_diff_none(const struct diff_counts *d);
/** daemon_diff_find() - the upstream of that name; NULL: none */
const struct cfg_upstream *daemon_diff_find(const struct config *c, const char *name);

#endif
