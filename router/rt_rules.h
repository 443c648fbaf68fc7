// SPDX-License-Identifier: MIT
/* rt_rules.h - which action a destination gets: longest prefix over a path-compressed binary trie */
#ifndef ROUTER_RT_RULES_H
#define ROUTER_RT_RULES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"

enum rt_action { RT_UPSTREAM, RT_DIRECT, RT_REJECT, RT_DROP };

struct rt_rule {
	struct net_prefix prefix;
	enum rt_action action;
	uint32_t upstream; /* slot, with RT_UPSTREAM */
	bool override;	   /* wins over an equal prefix of the kernel's main table */
	uint32_t line;	   /* of the configuration, for messages; 0: none */
};

struct rt_rules;

/** rt_rules_new() - @rules are copied; of two with the same prefix the first one counts
 * Return: 0; ST_ENOMEM */
int rt_rules_new(struct rt_rules **out, const struct rt_rule *rules, size_t n);
void rt_rules_free(struct rt_rules *r); /* NULL is fine */

/**
 * rt_rules_find() - the most specific rule that holds @a
 * Loopback, link-local, multicast and 0/8 match only a rule that names that very address (decision 13).
 * Return: the rule, valid until rt_rules_free(); NULL if none holds it
 */
const struct rt_rule *rt_rules_find(const struct rt_rules *r, const struct net_addr *a);

const struct rt_rule *rt_rules_all(const struct rt_rules *r, size_t *n);

#endif
