// SPDX-License-Identifier: MIT
/*
 * daemon_net.c - the device and the kernel's routes on one side, netstack on the other
 *
 * Theory of operation: the router says which prefixes the rules need (rt_kernel_routes), tun puts them into table
 * 5373, and a netlink watch repeats that whenever the machine's own routes change, a short while after the last change
 * so that a burst (a VPN coming up, a container starting) is one batch.
 */
#include "daemon/daemon_internal.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "keeper/keeper.h"
#include "router/rt_kernel.h"

#define ROUTES_SETTLE_MS 100U /* ours: after the last change of the machine's routes */
#define PACKETS_PER_TURN 64U  /* tech-notes A3 */
#define LOCAL_ROUTES_MAX 4096U
#define COLLISIONS_TOLD 16U
#define COLLISIONS_MAX 256U

/* The ranges that the device's addresses may take; decision 12. */
static const char *const ranges[] = { "198.18.0.0/16", "198.19.0.0/16", "100.127.0.0/16" };

static int link_output(void *arg, const struct iovec *iov, int n, uint16_t csum_start,
		       uint16_t csum_offset)
{
	return tun_writev(arg, iov, n, csum_start, csum_offset);
}

static void on_packets(void *arg, uint32_t events, uint64_t now_ms)
{
	struct daemon *d = arg;

	(void)events;
	for (unsigned i = 0; i < PACKETS_PER_TURN; i++) {
		bool csum_ok;
		ssize_t n = tun_read(d->tun, d->packet, TUN_MTU, &csum_ok);

		if (n == ST_EAGAIN)
			return;
		if (n < 0) {
			loop_fd_del(d->loop, &d->tun_watch);
			daemon_stop(d, 1, "the TUN device has gone");
			return;
		}
		ns_input(d->ns, d->packet, (size_t)n, csum_ok, now_ms);
	}
}

/* ---- addresses */

static bool range_is_free(const struct net_prefix *range, const struct tun_main_route *routes,
			  int n)
{
	for (int i = 0; i < n; i++)
		if (net_prefix_covers(range, &routes[i].prefix) ||
		    net_prefix_covers(&routes[i].prefix, range))
			return false;
	return true;
}

static void choose_addresses(struct daemon *d, const struct tun_main_route *routes, int n)
{
	size_t pick = 0;
	struct net_prefix range;
	char text[NET_PREFIX_STR];

	for (size_t i = 0; i < ARRAY_LEN(ranges); i++) {
		if (net_prefix_parse(&range, ranges[i]) < 0)
			ST_BUG("range %s", ranges[i]);
		if (range_is_free(&range, routes, n)) {
			pick = i;
			break;
		}
		log_info("addresses %s are in use on this machine; trying the next range",
			 net_prefix_str(text, &range));
	}
	if (net_prefix_parse(&range, ranges[pick]) < 0)
		ST_BUG("range %s", ranges[pick]);
	d->own4 = d->stack4 = range.addr;
	d->own4.b[3] = 1;
	d->stack4.b[3] = 2;
}

static int set_addresses(struct daemon *d)
{
	int r = tun_addr_add(d->tun, &d->own4);

	if (r < 0)
		return r;
	if (state_ula(&d->paths, &d->own6) < 0)
		return 0; /* IPv4 alone still works; the failure was logged */
	d->stack6 = d->own6;
	d->own6.b[15] = 1;
	d->stack6.b[15] = 2;
	if (tun_addr_add(d->tun, &d->own6) < 0)
		log_warn("IPv6 is off on this machine: IPv4 only");
	return 0;
}

/* ---- routes */

static void tell_collision(const struct daemon *d, const struct rt_collision *c,
			   const struct tun_main_route *local)
{
	char ours[NET_PREFIX_STR], theirs[NET_PREFIX_STR];

	log_warn("%s:%u: %s collides with %s on %s: %s",
		 d->config->file ? d->config->file : "flags", c->rule->line,
		 net_prefix_str(ours, &c->rule->prefix), net_prefix_str(theirs, &local->prefix),
		 local->ifname,
		 c->local_wins ? "the local network keeps it" : "the rule has override");
}

static int install(struct daemon *d, const struct rt_kernel_route *routes, size_t n)
{
	struct tun_route *out = calloc(n + 2, sizeof(*out));
	int r;

	if (!out)
		return ST_ENOMEM;
	/* The stack's own addresses: ping, and names in a later version. */
	size_t m = 0;
	out[m++] = (struct tun_route){ .prefix = { .addr = d->stack4, .len = 32 } };
	if (d->stack6.family)
		out[m++] = (struct tun_route){ .prefix = { .addr = d->stack6, .len = 128 } };
	for (size_t i = 0; i < n; i++)
		out[m++] = (struct tun_route){ .prefix = routes[i].prefix,
					       .kind = routes[i].away ? TUN_ROUTE_THROW
								      : TUN_ROUTE_DEV };
	r = tun_routes_set(d->tun, TUN_TABLE, out, m);
	free(out);
	return r;
}

/* Rules whose collisions were told before. */
struct told {
	struct rt_rule *rules;
	size_t n;
};

static bool is_told(const struct told *told, const struct rt_rule *rule)
{
	for (size_t i = 0; i < told->n; i++)
		if (told->rules[i].prefix.len == rule->prefix.len &&
		    net_addr_eq(&told->rules[i].prefix.addr, &rule->prefix.addr))
			return true;
	return false;
}

static void tell_collisions(const struct daemon *d, const struct told *told,
			    const struct rt_collision *c, size_t n,
			    const struct tun_main_route *main_routes)
{
	size_t lines = 0;

	for (size_t i = 0; i < n && lines < COLLISIONS_TOLD; i++) {
		if (is_told(told, c[i].rule))
			continue;
		tell_collision(d, &c[i], &main_routes[c[i].local]);
		lines++;
	}
}

/* Makes table 5373 fit the rules and the machine's own routes. @told: say what collides but for these; NULL: say nothing. */
static int routes_apply(struct daemon *d, const struct told *told)
{
	struct tun_main_route *main_routes = calloc(LOCAL_ROUTES_MAX, sizeof(*main_routes));
	struct net_prefix *locals = calloc(LOCAL_ROUTES_MAX, sizeof(*locals));
	struct rt_collision collisions[COLLISIONS_MAX];
	size_t n_collisions = COLLISIONS_MAX, n = 0;
	struct rt_kernel_route *routes = NULL;
	int r = ST_ENOMEM, n_main = 0;

	if (!main_routes || !locals)
		goto out;
	if ((r = n_main = tun_main_routes(main_routes, LOCAL_ROUTES_MAX, tun_ifindex(d->tun))) < 0)
		goto out;
	for (int i = 0; i < n_main; i++)
		locals[i] = main_routes[i].prefix;
	if ((r = rt_kernel_routes(rt_table(d->rt)->rules, locals, (size_t)n_main, &routes, &n,
				  collisions, &n_collisions)) < 0)
		goto out;
	if (told)
		tell_collisions(d, told, collisions, n_collisions, main_routes);
	r = install(d, routes, n);
out:
	free(routes);
	free(locals);
	free(main_routes);
	return r;
}

void daemon_net_route(struct daemon *d, struct rt_rules *rules)
{
	const struct rt_table table = {
		.rules = rules,
		.default_action = daemon_action_of(d->config->default_action),
		.default_upstream = d->config->default_upstream,
	};

	rt_set_table(d->rt, &table);
}

int daemon_net_set_rules(struct daemon *d, struct rt_rules *rules)
{
	struct told told = { 0 };
	const struct rt_rule *former = rt_rules_all(rt_table(d->rt)->rules, &told.n);
	int r;

	/* a copy: the router frees the former rules; without memory for it all collisions are told again */
	if ((told.rules = calloc(told.n + 1, sizeof(*told.rules))))
		memcpy(told.rules, former, told.n * sizeof(*former));
	else
		told.n = 0;
	daemon_net_route(d, rules);
	r = routes_apply(d, &told);
	free(told.rules);
	return r;
}

static void on_routes_settled(void *arg, uint64_t now_ms)
{
	struct daemon *d = arg;

	(void)now_ms;
	for (size_t i = 0; i < d->config->n_upstreams; i++)
		tnl_upstream_hurry(d->upstreams[i].tnl);
	if (d->phase != DAEMON_STOPPING && routes_apply(d, NULL) < 0)
		log_warn("the routes could not be brought up to date with this machine's");
}

static void on_netlink(void *arg, uint32_t events, uint64_t now_ms)
{
	struct daemon *d = arg;

	(void)events;
	if (tun_monitor_drain(d->monitor_fd))
		loop_timer_set(d->loop, &d->routes_timer, now_ms + ROUTES_SETTLE_MS);
}

static int watch_network(struct daemon *d)
{
	loop_timer_init(&d->routes_timer, on_routes_settled, d);
	if ((d->monitor_fd = tun_monitor_open()) < 0)
		return d->monitor_fd;
	return loop_fd_add(d->loop, &d->monitor_watch, d->monitor_fd, EPOLLIN, on_netlink, d);
}

static int start_netstack(struct daemon *d)
{
	const struct ns_opts opts = {
		.loop = d->loop,
		.link = { .output = link_output, .arg = d->tun, .csum_offload = true },
		.stack4 = d->stack4,
		.stack6 = d->stack6,
		.flows_max = d->config->limits.flows,
		.events = rt_ns_events(),
		.arg = d->rt,
	};
	int r = ns_new(&d->ns, &opts);

	if (r < 0)
		return r;
	rt_set_netstack(d->rt, d->ns);
	return loop_fd_add(d->loop, &d->tun_watch, tun_fd(d->tun), EPOLLIN, on_packets, d);
}

static int add_rules(struct daemon *d)
{
	char foreign[TUN_RULE_LAST - TUN_RULE_FIRST + 1][128];
	size_t n = (size_t)MAX(tun_rules_foreign(foreign, ARRAY_LEN(foreign)), 0);

	if (n > 0) {
		for (size_t i = 0; i < n; i++)
			log_error("another program's policy rule stands where ours must: %s",
				  foreign[i]);
		log_error("remove it with `ip rule del pref N`, or stop that program");
		return ST_EEXIST;
	}
	int r = keep_note_rules(d->keeper_fd);

	return r < 0 ? r : tun_rules_set(&(struct tun_policy){ 0 });
}

int daemon_net_open(struct daemon *d)
{
	struct tun_main_route *routes = calloc(LOCAL_ROUTES_MAX, sizeof(*routes));
	int r;

	if (!routes || !(d->packet = malloc(TUN_MTU))) {
		free(routes);
		return ST_ENOMEM;
	}
	if ((r = tun_main_routes(routes, LOCAL_ROUTES_MAX, 0)) >= 0)
		choose_addresses(d, routes, r);
	free(routes);
	if (r < 0 || (r = keep_note_device(d->keeper_fd, d->config->tun_name)) < 0)
		return r;
	r = tun_open(&d->tun, d->config->tun_name, d->clone_fd);
	d->clone_fd = -1;
	if (r < 0 || (r = set_addresses(d)) < 0 || (r = start_netstack(d)) < 0 ||
	    (r = routes_apply(d, &(struct told){ 0 })) < 0 || (r = watch_network(d)) < 0)
		return r;
	return add_rules(d);
}

void daemon_net_undo_rules(struct daemon *d)
{
	if (d->tun)
		tun_rules_del();
}

void daemon_net_close(struct daemon *d)
{
	if (d->monitor_fd >= 0) {
		loop_timer_cancel(d->loop, &d->routes_timer);
		loop_fd_del(d->loop, &d->monitor_watch);
		close(d->monitor_fd);
	}
	loop_fd_del(d->loop, &d->tun_watch);
	ns_free(d->ns);
	tun_close(d->tun);
	free(d->packet);
}
