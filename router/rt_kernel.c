// SPDX-License-Identifier: MIT
/*
 * rt_kernel.c - rules and local routes to the routes of our table
 *
 * Theory of operation: every rule and every local route that lies inside a rule wants its prefix to go into the device or to be thrown
 * back. Sorted by address, each prefix before those inside it, the prefixes around the current one are a stack; a prefix needs
 * a route of its own only if it wants something else than the closest one around it does. Equal prefixes stand together, and the first of
 * them decides. Routes and collisions are told shortest prefix first, whatever the walk's order.
 */
#include "router/rt_kernel.h"

#include <stdlib.h>

#include "base/err.h"
#include "base/util.h"

/* Of equal prefixes the first origin decides. */
enum origin { FROM_NEVER, FROM_RULE, FROM_RESOLVER, FROM_LOCAL };

/* What never enters the device, whatever a rule holds; a rule for the very address is longer and wins (decision 13). */
static const char *const never[] = {
	"0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4",	   "255.255.255.255/32",
	"::1/128",   "fe80::/10",   "ff00::/8",	      "fd00:ec2::254/128",
};

#define NESTING_MAX 130U /* prefixes around each other: one for each length, and the whole family */
#define NO_RULE SIZE_MAX

struct wish {
	struct net_prefix prefix;
	bool away;
	bool override;
	enum origin origin;
	size_t index;
};

/* A prefix around the current one. */
struct around {
	struct net_prefix prefix;
	bool away;   /* what packets to it are done with */
	bool never;  /* inside of what only a rule for the very address opens */
	size_t rule; /* the closest rule that holds it, by index; NO_RULE */
};

/* A collision as the walk finds it. */
struct clash {
	struct net_prefix prefix;
	struct rt_collision told;
};

struct making {
	const struct rt_rule *rules;
	struct rt_kernel_route *routes;
	size_t n_routes;
	struct clash *clashes;
	size_t n_clashes;
	struct around stack[NESTING_MAX];
	size_t depth;
};

/* By address, each prefix before those inside it. */
static int wish_cmp(const void *pa, const void *pb)
{
	const struct wish *a = pa, *b = pb;
	int c = net_addr_cmp(&a->prefix.addr, &b->prefix.addr);

	if (c)
		return c;
	if (a->prefix.len != b->prefix.len)
		return a->prefix.len - b->prefix.len;
	if (a->origin != b->origin)
		return (int)a->origin - (int)b->origin;
	return a->index < b->index ? -1 : 1;
}

/* By family, then length, then address: the order of what is told. */
static int told_cmp(const struct net_prefix *a, const struct net_prefix *b)
{
	if (a->addr.family != b->addr.family)
		return a->addr.family - b->addr.family;
	if (a->len != b->len)
		return a->len - b->len;
	return net_addr_cmp(&a->addr, &b->addr);
}

static int route_cmp(const void *pa, const void *pb)
{
	const struct rt_kernel_route *a = pa, *b = pb;

	return told_cmp(&a->prefix, &b->prefix);
}

static int clash_cmp(const void *pa, const void *pb)
{
	const struct clash *a = pa, *b = pb;

	return told_cmp(&a->prefix, &b->prefix);
}

static bool same_prefix(const struct net_prefix *a, const struct net_prefix *b)
{
	return a->len == b->len && net_addr_eq(&a->addr, &b->addr);
}

/* ---- what each one wants */

static size_t gather_never(struct wish *wishes, const struct rt_rules *rules)
{
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_LEN(never); i++) {
		struct wish w = { .away = true, .origin = FROM_NEVER, .index = i };

		if (net_prefix_parse(&w.prefix, never[i]) < 0)
			ST_BUG("prefix %s", never[i]);
		/* A host's own rule is the one exception. */
		if (w.prefix.len < net_addr_bits(&w.prefix.addr) ||
		    !rt_rules_find(rules, &w.prefix.addr))
			wishes[n++] = w;
	}
	return n;
}

static size_t gather(struct wish *wishes, const struct rt_kernel_opts *o)
{
	size_t n_rules, n = gather_never(wishes, o->rules);
	const struct rt_rule *all = rt_rules_all(o->rules, &n_rules);

	for (size_t i = 0; i < n_rules; i++)
		wishes[n++] = (struct wish){ .prefix = all[i].prefix,
					     .away = all[i].action == RT_DIRECT,
					     .override = all[i].override,
					     .origin = FROM_RULE,
					     .index = i };
	for (size_t i = 0; i < o->n_resolvers; i++)
		wishes[n++] = (struct wish){ .prefix = { o->resolvers[i],
							 net_addr_bits(&o->resolvers[i]) },
					     .away = true,
					     .origin = FROM_RESOLVER,
					     .index = i };
	for (size_t i = 0; i < o->n_locals; i++)
		if (o->locals[i].len > 0)
			wishes[n++] = (struct wish){ .prefix = o->locals[i],
						     .away = true,
						     .origin = FROM_LOCAL,
						     .index = i };
	qsort(wishes, n, sizeof(*wishes), wish_cmp);
	return n;
}

/* ---- the walk */

/* The closest prefix around @p; outside of all the main table decides. */
static struct around around(struct making *m, const struct net_prefix *p)
{
	while (m->depth > 0 && !net_prefix_covers(&m->stack[m->depth - 1].prefix, p))
		m->depth--;
	return m->depth > 0 ? m->stack[m->depth - 1]
			    : (struct around){ .away = true, .rule = NO_RULE };
}

/* A local route that takes packets from the device, or would. */
static void note_clash(struct making *m, const struct wish *local, size_t rule, bool local_wins)
{
	if (rule == NO_RULE)
		return;
	m->clashes[m->n_clashes++] = (struct clash){
		.prefix = local->prefix,
		.told = { .rule = &m->rules[rule], .local = local->index, .local_wins = local_wins }
	};
}

/* The first of @n equal prefixes that comes from @origin; NULL */
static const struct wish *first_from(const struct wish *w, size_t n, enum origin origin)
{
	for (size_t i = 0; i < n; i++)
		if (w[i].origin == origin)
			return &w[i];
	return NULL;
}

/* One prefix, which @n wishes name. */
static void decide(struct making *m, const struct wish *w, size_t n)
{
	const struct around out = around(m, &w->prefix);
	const struct wish *rule = first_from(w, n, FROM_RULE);
	const struct wish *local = first_from(w, n, FROM_LOCAL);
	struct around in = { .prefix = w->prefix,
			     .away = w->away,
			     .never = out.never || w->origin == FROM_NEVER,
			     .rule = rule ? rule->index : out.rule };

	if (in.never && w->prefix.len < net_addr_bits(&w->prefix.addr)) {
		in.away = true;
	} else if (w->origin == FROM_RULE && local && !w->away) {
		in.away = !w->override;
		note_clash(m, local, in.rule, in.away);
	} else if (w->origin >= FROM_RESOLVER && local && !out.away) {
		note_clash(m, local, in.rule, true);
	}
	if (in.away != out.away)
		m->routes[m->n_routes++] = (struct rt_kernel_route){ .prefix = w->prefix,
								     .away = in.away };
	ST_ASSERT(m->depth < NESTING_MAX);
	m->stack[m->depth++] = in;
}

static void walk(struct making *m, const struct wish *wishes, size_t n)
{
	for (size_t i = 0, equal; i < n; i += equal) {
		for (equal = 1; i + equal < n; equal++)
			if (!same_prefix(&wishes[i].prefix, &wishes[i + equal].prefix))
				break;
		decide(m, &wishes[i], equal);
	}
	qsort(m->routes, m->n_routes, sizeof(*m->routes), route_cmp);
	qsort(m->clashes, m->n_clashes, sizeof(*m->clashes), clash_cmp);
}

int rt_kernel_make(const struct rt_kernel_opts *opts, struct rt_kernel_route **out, size_t *n_out,
		   struct rt_collision *collisions, size_t *n_collisions)
{
	const size_t cap = collisions && n_collisions ? *n_collisions : 0;
	struct making m = { .depth = 0 };
	size_t n_rules, found = 0;
	int r = ST_ENOMEM;

	m.rules = rt_rules_all(opts->rules, &n_rules);
	const size_t most = n_rules + opts->n_locals + opts->n_resolvers + ARRAY_LEN(never);
	struct wish *wishes = calloc(most, sizeof(*wishes));
	m.routes = calloc(most, sizeof(*m.routes));
	m.clashes = calloc(opts->n_locals + 1, sizeof(*m.clashes));
	if (!wishes || !m.routes || !m.clashes)
		goto out;
	walk(&m, wishes, gather(wishes, opts));
	for (; found < m.n_clashes && found < cap; found++)
		collisions[found] = m.clashes[found].told;
	*out = m.routes;
	*n_out = m.n_routes;
	if (n_collisions)
		*n_collisions = found;
	m.routes = NULL;
	r = 0;
out:
	free(m.routes);
	free(m.clashes);
	free(wishes);
	return r;
}

int rt_kernel_routes(const struct rt_rules *rules, const struct net_prefix *locals, size_t n_locals,
		     struct rt_kernel_route **out, size_t *n_out, struct rt_collision *collisions,
		     size_t *n_collisions)
{
	const struct rt_kernel_opts opts = { .rules = rules,
					     .locals = locals,
					     .n_locals = n_locals };

	return rt_kernel_make(&opts, out, n_out, collisions, n_collisions);
}
