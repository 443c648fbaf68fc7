// SPDX-License-Identifier: MIT
/*
 * daemon_rules.c - the rules of the file and what VPCs reach, as one table for the router
 *
 * Order: of equal prefixes the first one counts (rt_rules_new()). So the file's own rules come first, then the CIDR blocks of each VPC,
 * then what their route tables lead to: where two VPCs are peered, each is reached through its own upstream. Names alike: the file's
 * first, then each private zone and all below it.
 */
#include "daemon/daemon_internal.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/dname.h"
#include "base/err.h"
#include "base/log.h"
#include "base/text.h"

#define LEARNED_MAX                                                                                \
	2048U /* ours: prefixes of all VPCs; the kernel's table has room for 16,384 routes, and a file for as many */
#define LEARNED_NAMES_MAX 2048U /* ours: rules for zones of all VPCs, two each */

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

/* The vpc rule that stands for route @r. */
static struct vpc_rule *vpc_of(struct daemon *d, const struct cfg_route *r)
{
	return r->match == CFG_MATCH_VPC ? d->upstreams[d->plan.slots[r->upstream]].vpc : NULL;
}

static uint32_t slot_of(const struct daemon *d, const struct cfg_route *r)
{
	return r->action == CFG_TO_UPSTREAM ? d->plan.slots[r->upstream] : 0;
}

/* ---- by address */

static void put_route(struct making *m, const struct daemon *d, const struct cfg_route *r,
		      const struct net_prefix *prefix)
{
	m->rules[m->n++] = (struct rt_rule){ .prefix = *prefix,
					     .action = daemon_action_of(r->action),
					     .upstream = slot_of(d, r),
					     .override = r->override,
					     .line = r->place.line };
}

static void put_learned(struct making *m, const struct daemon *d, const struct cfg_route *r,
			struct vpc_rule *v, const struct net_prefix *prefixes, size_t n)
{
	for (size_t i = 0; i < n && m->learned < LEARNED_MAX; i++, m->learned++, v->n_used++)
		put_route(m, d, r, &prefixes[i]);
}

static void put_vpcs(struct making *m, struct daemon *d)
{
	const struct config *c = d->plan.config;
	size_t found = 0;

	for (size_t i = 0; i < c->n_routes; i++) {
		struct vpc_rule *v = vpc_of(d, &c->routes[i]);

		if (!v)
			continue;
		v->n_used = 0;
		if (!v->found)
			continue;
		found += v->found->n_own + v->found->n_routed;
		put_learned(m, d, &c->routes[i], v, v->found->own, v->found->n_own);
	}
	for (size_t i = 0; i < c->n_routes; i++) {
		struct vpc_rule *v = vpc_of(d, &c->routes[i]);

		if (v && v->found)
			put_learned(m, d, &c->routes[i], v, v->found->routed, v->found->n_routed);
	}
	if (found > m->learned)
		log_warn("the VPCs reach %zu prefixes, %u are routed: write some of them as a "
			 "shorter prefix into the routes, or leave a vpc rule out",
			 found, LEARNED_MAX);
}

static int make_rules(struct daemon *d, struct rt_rules **out)
{
	const struct config *c = d->plan.config;
	struct making m = { .rules = calloc(c->n_routes + LEARNED_MAX + 1, sizeof(*m.rules)) };
	int r;

	if (!m.rules)
		return ST_ENOMEM;
	for (size_t i = 0; i < c->n_routes; i++)
		if (c->routes[i].match == CFG_MATCH_PREFIX)
			put_route(&m, d, &c->routes[i], &c->routes[i].prefix);
	put_vpcs(&m, d);
	r = rt_rules_new(out, m.rules, m.n);
	free(m.rules);
	return r;
}

/* ---- by name */

struct naming {
	struct rt_name_rule *rules;
	char (*texts)[DNAME_MAX];	   /* of learned patterns */
	size_t n, learned, left_out, room; /* room: for learned ones */
	uint32_t order;
};

/* @zone and all below it, as a VPC's resolver answers them. */
static void put_zone(struct naming *m, const struct daemon *d, const struct cfg_route *r,
		     const char *zone)
{
	static const char *const heads[] = { "", "*." };
	char text[DNAME_MAX + 2], normal[DNAME_MAX];

	if (dname_normal(normal, zone, NULL) < 0) {
		log_debug("match: vpc: %s is no name that anybody can ask for", text_safe(zone).s);
		return;
	}
	if (m->learned + ARRAY_LEN(heads) > m->room) {
		m->left_out++;
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(heads); i++) {
		char *pattern = m->texts[m->learned];

		snprintf(text, sizeof(text), "%s%s", heads[i], normal);
		if (!text_copy(pattern, DNAME_MAX, text))
			continue; /* "*." does not fit before a name of full length, which has none below it */
		m->learned++;
		m->rules[m->n++] = (struct rt_name_rule){ .pattern = pattern,
							  .action = RT_UPSTREAM,
							  .upstream = slot_of(d, r),
							  .line = r->place.line,
							  .order = m->order++ };
	}
}

static void put_zones(struct naming *m, struct daemon *d)
{
	const struct config *c = d->plan.config;

	for (size_t i = 0; i < c->n_routes; i++) {
		const struct vpc_rule *v = vpc_of(d, &c->routes[i]);

		for (size_t j = 0; v && v->found && j < v->found->n_suffixes; j++)
			put_zone(m, d, &c->routes[i], v->found->suffixes[j]);
	}
	if (m->left_out)
		log_warn("the VPCs have %zu private zones more than fit: write names into the "
			 "routes",
			 m->left_out);
}

static void put_names(struct naming *m, const struct daemon *d)
{
	const struct config *c = d->plan.config;

	for (size_t i = 0; i < c->n_routes; i++) {
		const struct cfg_route *r = &c->routes[i];

		if (r->match != CFG_MATCH_NAME)
			continue;
		m->rules[m->n++] = (struct rt_name_rule){ .pattern = r->name,
							  .action = daemon_action_of(r->action),
							  .upstream = slot_of(d, r),
							  .line = r->place.line,
							  .order = r->order };
		m->order = MAX(m->order, r->order + 1);
	}
}

static int make_names(struct daemon *d, struct rt_names **out)
{
	const struct config *c = d->plan.config;
	struct naming m = {
		.rules = calloc(c->n_routes + LEARNED_NAMES_MAX + 1, sizeof(*m.rules)),
		.texts = calloc(LEARNED_NAMES_MAX, sizeof(*m.texts)),
	};
	int r = ST_ENOMEM;

	if (m.rules && m.texts) {
		put_names(&m, d);
		m.room = m.n < RT_NAMES_MAX ? MIN(RT_NAMES_MAX - m.n, LEARNED_NAMES_MAX) : 0;
		put_zones(&m, d);
		r = rt_names_new(out, m.rules, m.n, c->match_order == CFG_ORDER_FIRST);
	}
	free(m.rules);
	free(m.texts);
	return r;
}

/* ---- both */

int daemon_table_make(struct daemon *d, struct rt_table *out)
{
	const struct config *c = d->plan.config;
	struct rt_table t = {
		.default_action = daemon_action_of(c->default_action),
		.default_upstream = c->default_action == CFG_TO_UPSTREAM
					    ? d->plan.slots[c->default_upstream]
					    : 0,
		.names_default = c->system && d->engaged && !c->dns_public_local,
		.rebind_block = c->dns_rebind_block,
	};
	int r = make_rules(d, &t.rules);

	if (r < 0)
		return r;
	if ((r = make_names(d, &t.names)) < 0) {
		rt_rules_free(t.rules);
		return r;
	}
	*out = t;
	return 0;
}

void daemon_table_free(struct rt_table *t)
{
	rt_rules_free(t->rules);
	rt_names_free(t->names);
	*t = (struct rt_table){ 0 };
}
