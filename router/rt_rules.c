// SPDX-License-Identifier: MIT
/*
 * rt_rules.c - CIDR rules in one path-compressed binary trie per family
 *
 * Theory of operation: a node stands for a prefix; its children differ in the bit after it. A node
 * without a rule exists only where two branches part, so n rules need at most 2n - 1 nodes and a
 * look-up visits at most one node per distinct prefix length on its path. Nodes live in one array
 * and name each other by index: nothing to free one by one, and index 0 says "none".
 */
#include "router/rt_rules.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/util.h"

#define NO_RULE UINT32_MAX

struct node {
	struct net_prefix prefix;
	uint32_t rule;	   /* index into rules, or NO_RULE */
	uint32_t child[2]; /* by the bit at prefix.len; 0: none */
};

struct rt_rules {
	struct rt_rule *rules;
	size_t n;
	struct node *nodes; /* [0] is unused */
	uint32_t n_nodes;
	uint32_t root4, root6;
};

static unsigned bit_at(const struct net_addr *a, unsigned i)
{
	return ((unsigned)a->b[i / 8] >> (7 - i % 8)) & 1U;
}

/* How many leading bits @a and @b share, @limit at most. */
static uint8_t common_bits(const struct net_addr *a, const struct net_addr *b, uint8_t limit)
{
	uint8_t n = 0;

	while (n < limit && bit_at(a, n) == bit_at(b, n))
		n++;
	return n;
}

static struct net_prefix prefix_cut(const struct net_prefix *p, uint8_t len)
{
	struct net_prefix out = { .addr = { .family = p->addr.family }, .len = len };

	memcpy(out.addr.b, p->addr.b, len / 8U);
	if (len % 8)
		out.addr.b[len / 8] = (uint8_t)(p->addr.b[len / 8] & (0xff00U >> (len % 8)));
	return out;
}

static uint32_t node_new(struct rt_rules *r, const struct net_prefix *p, uint32_t rule)
{
	uint32_t i = r->n_nodes++;

	r->nodes[i] = (struct node){ .prefix = *p, .rule = rule };
	return i;
}

/* Puts rule @idx below *@at, splitting an edge where the prefixes part. */
static void insert(struct rt_rules *r, uint32_t *at, uint32_t idx)
{
	const struct net_prefix *p = &r->rules[idx].prefix;

	while (*at) {
		struct node *n = &r->nodes[*at];
		uint8_t shared = common_bits(&n->prefix.addr, &p->addr, MIN(n->prefix.len, p->len));

		if (shared < n->prefix.len) {
			struct net_prefix fork_prefix = prefix_cut(p, shared);
			uint32_t old = *at, fork = node_new(r, &fork_prefix, NO_RULE);

			r->nodes[fork].child[bit_at(&r->nodes[old].prefix.addr, shared)] = old;
			*at = fork;
			continue;
		}
		if (p->len == n->prefix.len) {
			if (n->rule == NO_RULE)
				n->rule = idx;
			return;
		}
		at = &n->child[bit_at(&p->addr, n->prefix.len)];
	}
	*at = node_new(r, p, idx);
}

int rt_rules_new(struct rt_rules **out, const struct rt_rule *rules, size_t n)
{
	struct rt_rules *r = calloc(1, sizeof(*r));

	if (!r)
		return ST_ENOMEM;
	r->rules = calloc(n ? n : 1, sizeof(*r->rules));
	r->nodes = calloc(2 * n + 1, sizeof(*r->nodes));
	if (!r->rules || !r->nodes) {
		rt_rules_free(r);
		return ST_ENOMEM;
	}
	if (n)
		memcpy(r->rules, rules, n * sizeof(*rules));
	r->n = n;
	r->n_nodes = 1;
	for (uint32_t i = 0; i < n; i++)
		insert(r, rules[i].prefix.addr.family == 6 ? &r->root6 : &r->root4, i);
	*out = r;
	return 0;
}

void rt_rules_free(struct rt_rules *r)
{
	if (!r)
		return;
	free(r->rules);
	free(r->nodes);
	free(r);
}

const struct rt_rule *rt_rules_find(const struct rt_rules *r, const struct net_addr *a)
{
	const struct rt_rule *best = NULL;
	uint32_t at = a->family == 6 ? r->root6 : r->root4;

	while (at) {
		const struct node *n = &r->nodes[at];

		if (!net_prefix_has(&n->prefix, a))
			break;
		if (n->rule != NO_RULE)
			best = &r->rules[n->rule];
		if (n->prefix.len == net_addr_bits(a))
			break;
		at = n->child[bit_at(a, n->prefix.len)];
	}
	if (best && net_addr_is_local_only(a) && best->prefix.len != net_addr_bits(a))
		return NULL;
	return best;
}

const struct rt_rule *rt_rules_all(const struct rt_rules *r, size_t *n)
{
	*n = r->n;
	return r->rules;
}
