// SPDX-License-Identifier: MIT
/*
 * rt_kernel.c - rules and local routes to the routes of our table
 *
 * Theory of operation: every rule and every local route that lies inside a rule wants its prefix to go
 * into the device or to be thrown back. Sorted by prefix, shortest first, a prefix needs a route of
 * its own only if it wants something else than the closest shorter prefix around it does.
 */
#include "router/rt_kernel.h"

#include <stdlib.h>

#include "base/err.h"
#include "base/util.h"

/* Of equal prefixes the first origin decides. */
enum origin { FROM_NEVER, FROM_RULE, FROM_LOCAL };

/* What never enters the device, whatever a rule holds; a rule for the very address is longer and wins (decision 13). */
static const char *const never[] = {
	"0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4",	   "255.255.255.255/32",
	"::1/128",   "fe80::/10",   "ff00::/8",	      "fd00:ec2::254/128",
};

struct wish {
	struct net_prefix prefix;
	bool away;
	bool override;
	enum origin origin;
	size_t index;
};

static int wish_cmp(const void *pa, const void *pb)
{
	const struct wish *a = pa, *b = pb;

	if (a->prefix.addr.family != b->prefix.addr.family)
		return a->prefix.addr.family - b->prefix.addr.family;
	if (a->prefix.len != b->prefix.len)
		return a->prefix.len - b->prefix.len;
	int c = net_addr_cmp(&a->prefix.addr, &b->prefix.addr);
	if (c)
		return c;
	if (a->origin != b->origin)
		return (int)a->origin - (int)b->origin;
	return a->index < b->index ? -1 : 1;
}

static bool same_prefix(const struct net_prefix *a, const struct net_prefix *b)
{
	return a->len == b->len && net_addr_eq(&a->addr, &b->addr);
}

/* What a packet to @p is done with by the routes so far: the closest one around it; the main table if none. */
static bool is_away(const struct rt_kernel_route *routes, size_t n, const struct net_prefix *p)
{
	for (size_t i = n; i-- > 0;)
		if (net_prefix_covers(&routes[i].prefix, p))
			return routes[i].away;
	return true;
}

static size_t gather(struct wish *wishes, const struct rt_rules *rules,
		     const struct net_prefix *locals, size_t n_locals)
{
	size_t n_rules, n = 0;
	const struct rt_rule *all = rt_rules_all(rules, &n_rules);

	for (size_t i = 0; i < n_rules; i++)
		wishes[n++] = (struct wish){ .prefix = all[i].prefix,
					     .away = all[i].action == RT_DIRECT,
					     .override = all[i].override,
					     .origin = FROM_RULE,
					     .index = i };
	for (size_t i = 0; i < n_locals; i++)
		if (locals[i].len > 0)
			wishes[n++] = (struct wish){
				.prefix = locals[i], .away = true, .origin = FROM_LOCAL, .index = i
			};
	for (size_t i = 0; i < ARRAY_LEN(never); i++) {
		struct wish w = { .away = true, .origin = FROM_NEVER, .index = i };

		if (net_prefix_parse(&w.prefix, never[i]) < 0)
			ST_BUG("prefix %s", never[i]);
		/* A host's own rule is the one exception. */
		if (w.prefix.len < net_addr_bits(&w.prefix.addr) ||
		    !rt_rules_find(rules, &w.prefix.addr))
			wishes[n++] = w;
	}
	qsort(wishes, n, sizeof(*wishes), wish_cmp);
	return n;
}

/* A local route that takes packets from the device: the rule that loses them, for the message. */
static void note_collision(struct rt_collision *out, size_t *n, size_t cap,
			   const struct rt_rules *rules, const struct wish *local, bool local_wins)
{
	size_t n_rules;
	const struct rt_rule *all = rt_rules_all(rules, &n_rules), *closest = NULL;

	for (size_t i = 0; i < n_rules; i++)
		if (net_prefix_covers(&all[i].prefix, &local->prefix) &&
		    (!closest || all[i].prefix.len > closest->prefix.len))
			closest = &all[i];
	if (!closest || !out || *n >= cap)
		return;
	out[(*n)++] = (struct rt_collision){ .rule = closest,
					     .local = local->index,
					     .local_wins = local_wins };
}

int rt_kernel_routes(const struct rt_rules *rules, const struct net_prefix *locals, size_t n_locals,
		     struct rt_kernel_route **out, size_t *n_out, struct rt_collision *collisions,
		     size_t *n_collisions)
{
	size_t n_rules, n = 0, found = 0, cap = collisions && n_collisions ? *n_collisions : 0;

	rt_rules_all(rules, &n_rules);
	size_t most = n_rules + n_locals + ARRAY_LEN(never);
	struct wish *wishes = calloc(most, sizeof(*wishes));
	struct rt_kernel_route *routes = calloc(most, sizeof(*routes));
	if (!wishes || !routes) {
		free(wishes);
		free(routes);
		return ST_ENOMEM;
	}
	size_t n_wishes = gather(wishes, rules, locals, n_locals);
	for (size_t i = 0; i < n_wishes; i++) {
		const struct wish *w = &wishes[i];
		bool twin = i + 1 < n_wishes && same_prefix(&w->prefix, &wishes[i + 1].prefix);
		bool away = w->away;

		if (i > 0 && same_prefix(&w->prefix, &wishes[i - 1].prefix))
			continue; /* the first of equals has decided for both */
		if (twin && w->origin == FROM_RULE && wishes[i + 1].origin == FROM_LOCAL && !away) {
			away = !w->override;
			note_collision(collisions, &found, cap, rules, &wishes[i + 1], away);
		} else if (w->origin == FROM_LOCAL && !is_away(routes, n, &w->prefix)) {
			note_collision(collisions, &found, cap, rules, w, true);
		}
		if (is_away(routes, n, &w->prefix) != away)
			routes[n++] = (struct rt_kernel_route){ .prefix = w->prefix, .away = away };
	}
	free(wishes);
	*out = routes;
	*n_out = n;
	if (n_collisions)
		*n_collisions = found;
	return 0;
}
