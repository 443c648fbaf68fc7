// SPDX-License-Identifier: MIT
/* rt_names.h - which rule a name has: exact, *.suffix, glob */
#ifndef ROUTER_RT_NAMES_H
#define ROUTER_RT_NAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "router/rt_rules.h"

#define RT_NAMES_MAX 16384U

struct rt_name_rule {
	const char *
		pattern; /* as base/dname.h made it: lower case, A-labels, no last dot. "db.prod.internal", "*.prod.internal" (any name
				below it, not itself), or with * and ? elsewhere: a glob, whose * also spans dots */
	enum rt_action action;
	uint32_t upstream; /* slot, with RT_UPSTREAM */
	uint32_t line;	   /* of the configuration, for messages; 0: none */
	uint32_t
		order; /* place in the file: decides with @first, and among globs of equal weight */
};

struct rt_names;

/** rt_names_new() - @rules are copied, patterns too; of equal patterns the first counts
 * @first: match_order: first, the rule with the least order wins; else exact before the longest suffix before globs, of which the
 * one with the most literal characters wins. Return: 0; ST_EFULL beyond RT_NAMES_MAX; ST_ENOMEM */
int rt_names_new(struct rt_names **out, const struct rt_name_rule *rules, size_t n, bool first);
void rt_names_free(struct rt_names *n); /* NULL is fine */

/** rt_names_find() - @name: lower case, no last dot. Costs one hash look-up a label and at most the globs that share its end.
 * Return: the rule, valid until rt_names_free(); NULL: none */
const struct rt_name_rule *rt_names_find(const struct rt_names *n, const char *name);

/** rt_names_all() - best first in the order that counts */
const struct rt_name_rule *rt_names_all(const struct rt_names *n, size_t *count);

/** rt_names_suffixes() - the least set of suffixes under which the names of every rule but the direct ones lie, and @more (@n_more
 * normal names), for the system's resolver: "prod.internal" for "*.prod.internal" and for "db.prod.internal" alike once both are
 * there; a glob gives the labels behind its last wild one, one without any gives none and is counted in *@n_wild (only a resolver that
 * gets every name sees those)
 * More than @max: the longest are folded to common parents of at least two labels, then of one; *@folded says how many were. What is
 * too many even then (other last labels) is left out and counted in *@n_wild.
 * @out: @max pointers to strings of DNS-name length, one allocation, freed by free(*@out). Return: count; ST_ENOMEM */
int rt_names_suffixes(const struct rt_names *n, const char *const *more, size_t n_more, size_t max,
		      char ***out, size_t *folded, size_t *n_wild);

#endif
