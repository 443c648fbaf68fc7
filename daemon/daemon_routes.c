// SPDX-License-Identifier: MIT
/*
 * daemon_routes.c - tables 5373 and 5374, kept as the rules and this machine's own routes need them
 *
 * Theory of operation: the router says which prefixes the rules need (rt_kernel_routes()), daemon_policy.c adds what is ours, tun
 * makes the kernel's tables so. Everything is made from scratch each time, and tun finds out what differs. A host that tunnel mode
 * has learned gets its route at once, before the answer leaves (daemon_dns.c); the router keeps the list of them.
 */
#include "daemon/daemon_internal.h"

#include <stdlib.h>

#include "base/err.h"

static int set_main(struct daemon *d, const struct rt_kernel_route *routes, size_t n)
{
	const bool names = daemon_dns_mode_of(d->plan.config) != RT_DNS_OFF;
	const struct keep_dns_state *dns = &d->names.state;
	struct policy_main m = {
		.routes = routes,
		.n_routes = n,
		.rules = rt_table(d->rt)->rules,
		.stack = { d->stack4, d->stack6 },
		.former = dns->former,
		.n_former = dns->n_former,
		.fail_closed = d->plan.config->fail_closed,
	};
	struct net_addr *learned = calloc(RT_LEARNED_MAX, sizeof(*learned));
	struct tun_route *out;

	if (!learned)
		return ST_ENOMEM;
	m.learned = learned;
	m.n_learned = rt_dns_learned(d->rt, learned, RT_LEARNED_MAX);
	if (names) {
		m.ranges[0] = d->range4;
		m.ranges[1] = d->range6;
	}
	int count = daemon_policy_main(&out, &m);
	free(learned);
	if (count < 0)
		return count;
	int r = tun_routes_set(d->tun, TUN_TABLE, out, (size_t)count);
	free(out);
	return r;
}

static int set_all(struct daemon *d)
{
	const struct config *c = d->plan.config;
	const bool ipv6 = c->default_action == CFG_TO_UPSTREAM &&
			  c->upstreams[c->default_upstream].ipv6 && tun_ipv6_on(d->tun);
	struct tun_route out[POLICY_ALL_MAX];

	return tun_routes_set(d->tun, TUN_TABLE_ALL, out,
			      daemon_policy_all(out, c, &d->policy, ipv6, d->device6));
}

/* What the kernel itself routes: prefixes beside @routes, for rt_kernel_routes(). */
struct found {
	struct tun_main_route *routes;
	struct net_prefix *prefixes;
	int n;
};

static int find_main(struct daemon *d, struct found *f)
{
	f->routes = calloc(LOCAL_ROUTES_MAX, sizeof(*f->routes));
	f->prefixes = calloc(LOCAL_ROUTES_MAX, sizeof(*f->prefixes));
	if (!f->routes || !f->prefixes)
		return ST_ENOMEM;
	if ((f->n = tun_main_routes(f->routes, LOCAL_ROUTES_MAX, tun_ifindex(d->tun))) < 0)
		return f->n;
	for (int i = 0; i < f->n; i++)
		f->prefixes[i] = f->routes[i].prefix;
	return 0;
}

int daemon_routes_apply(struct daemon *d)
{
	struct found f = { 0 };
	struct rt_collision collisions[COLLISIONS_MAX];
	size_t n_collisions = COLLISIONS_MAX, n = 0;
	struct rt_kernel_route *routes = NULL;
	int r = find_main(d, &f);

	if (r == 0 && (r = rt_kernel_routes(rt_table(d->rt)->rules, f.prefixes, (size_t)f.n,
					    &routes, &n, collisions, &n_collisions)) == 0) {
		daemon_guard_tell(d, &(struct guard_input){ .config = d->plan.config,
							    .range = d->range4,
							    .rules = collisions,
							    .n_rules = n_collisions,
							    .main_routes = f.routes,
							    .n_main = (size_t)f.n });
		daemon_dns_tell_thrown(d);
		int all = set_all(d);

		r = set_main(d, routes, n);
		r = r < 0 ? r : all;
	}
	free(routes);
	free(f.prefixes);
	free(f.routes);
	return r;
}
