// SPDX-License-Identifier: MIT
/*
 * daemon_rules.c - the rules of the file and what VPCs reach, as one table for the router
 *
 * Order: of equal prefixes the first one counts (rt_rules_new()). So the file's own rules come first, then the CIDR blocks of each VPC,
 * then what their route tables lead to: where two VPCs are peered, each is reached through its own upstream.
 */
#include "daemon/daemon_internal.h"

#include <stdlib.h>

#include "base/err.h"
#include "base/log.h"

#define LEARNED_MAX                                                                                \
	2048U /* ours: prefixes of all VPCs; the kernel's table has room for 4,096 routes, and a file for 1,024 */

struct making {
	struct rt_rule *rules;
	size_t n;
	size_t learned;
};

enum rt_action daemon_action_of(enum cfg_action a)
{
	switch (a) {
	case CFG_TO_UPSTREAM: return RT_UPSTREAM;
	case CFG_TO_DIRECT: return RT_DIRECT;
	case CFG_TO_REJECT: return RT_REJECT;
	case CFG_TO_DROP: break;
	}
	return RT_DROP;
}

static void put_route(struct making *m, const struct cfg_route *r, const struct net_prefix *prefix)
{
	m->rules[m->n++] = (struct rt_rule){ .prefix = *prefix,
					     .action = daemon_action_of(r->action),
					     .upstream = r->upstream,
					     .override = r->override,
					     .line = r->place.line };
}

static void put_learned(struct making *m, struct vpc_rule *v, const struct net_prefix *prefixes,
			size_t n)
{
	for (size_t i = 0; i < n && m->learned < LEARNED_MAX; i++, m->learned++, v->n_used++)
		put_route(m, v->cfg, &prefixes[i]);
}

static size_t found_of(const struct vpc_rule *v)
{
	return v->found ? v->found->n_own + v->found->n_routed : 0;
}

int daemon_rules_make(struct daemon *d, struct rt_rules **out)
{
	const struct config *c = d->config;
	struct making m = { .rules = calloc(c->n_routes + LEARNED_MAX + 1, sizeof(*m.rules)) };
	size_t found = 0;
	int r;

	if (!m.rules)
		return ST_ENOMEM;
	for (size_t i = 0; i < c->n_routes; i++)
		if (c->routes[i].match == CFG_MATCH_PREFIX)
			put_route(&m, &c->routes[i], &c->routes[i].prefix);
	for (size_t i = 0; i < d->n_vpcs; i++) {
		struct vpc_rule *v = &d->vpcs[i];

		v->n_used = 0;
		found += found_of(v);
		if (v->found)
			put_learned(&m, v, v->found->own, v->found->n_own);
	}
	for (size_t i = 0; i < d->n_vpcs; i++)
		if (d->vpcs[i].found)
			put_learned(&m, &d->vpcs[i], d->vpcs[i].found->routed,
				    d->vpcs[i].found->n_routed);
	if (found > m.learned)
		log_warn("the VPCs reach %zu prefixes, %u are routed: write some of them as a "
			 "shorter prefix into the routes, or leave a vpc rule out",
			 found, LEARNED_MAX);
	r = rt_rules_new(out, m.rules, m.n);
	free(m.rules);
	return r;
}
