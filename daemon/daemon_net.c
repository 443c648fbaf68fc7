// SPDX-License-Identifier: MIT
/*
 * daemon_net.c - the device and the kernel's rules on one side, netstack on the other
 *
 * Theory of operation: tables, policy rules and what the system's resolver is told follow from the plan, the router's table and what
 * is found on this machine. daemon_net_policy() makes all of it so, and is repeated whenever one of them changes: by a VPC's answer, by
 * reload, and by a netlink watch, a short while after the last change so that a burst (a VPN coming up, a container starting) is
 * one batch. Before anything that outlives a crash is made, the keeper's journal has it.
 *
 * System mode waits until `up` is up: a person who must log in first needs the network for that.
 */
#include "daemon/daemon_internal.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "keeper/keeper.h"

#define ROUTES_SETTLE_MS 100U  /* ours: after the last change of the machine's routes */
#define ROUTES_LATEST_MS 1000U /* ours: after the first one, if there is no end of them */
#define PACKETS_PER_TURN 64U   /* tech-notes A3 */
#define WIDE_BITS                                                                                  \
	8U /* a route shorter than this is another program's default route, not a network */

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
		    (routes[i].prefix.len >= WIDE_BITS &&
		     net_prefix_covers(&routes[i].prefix, range)))
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
	d->range4 = range;
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
	d->range6 = (struct net_prefix){ .addr = d->own6, .len = 64 };
	d->stack6 = d->own6;
	d->own6.b[15] = 1;
	d->stack6.b[15] = 2;
	d->device6 = tun_addr_add(d->tun, &d->own6) == 0;
	if (!d->device6)
		log_warn("IPv6 is off on this machine: IPv4 only");
	return 0;
}

/* ---- what stands in the kernel */

int daemon_net_filter(struct daemon *d, const struct config *c)
{
	const enum policy_filter want = daemon_policy_filter(c, tun_rp_filter(c->tun_name));
	const bool on = want != POLICY_FILTER_NONE;

	if (on == d->filter)
		return 0;
	int r = keep_filter(d->keeper_fd, on);
	if (r == 0) {
		d->filter = on;
		d->filter_told = false;
		return 0;
	}
	if (want == POLICY_FILTER_MUST && !d->filter_told)
		log_error(
			"system mode: rp_filter is 1 on the way out, so answers to this program's "
			"own connections are dropped unless nftables may mark them, and it can't "
			"be used here (%s): set net.ipv4.conf.all.rp_filter=2 by sysctl",
			st_strerror(r));
	else if (on && !d->filter_told)
		log_warn(
			"nftables can't be used here (%s): %s", st_strerror(r),
			c->system || c->forward
				? "answers to connections that came from outside go into the tunnel"
				: "with rp_filter 1, hosts of our own that lie inside a routed "
				  "prefix "
				  "are not reached");
	d->filter_told = d->filter_told || on;
	return want == POLICY_FILTER_MUST ? ST_EUNSUPPORTED : 0;
}

static int no_foreign_rules(void)
{
	char foreign[TUN_RULE_LAST - TUN_RULE_FIRST + 1][128];
	size_t n = (size_t)MAX(tun_rules_foreign(foreign, ARRAY_LEN(foreign)), 0);

	if (n == 0)
		return 0;
	for (size_t i = 0; i < n; i++)
		log_error("another program's policy rule stands where ours must: %s", foreign[i]);
	log_error("remove it with `ip rule del pref N`, or stop that program");
	return ST_EEXIST;
}

/* The journal knows of all that a crash could leave before it is there. */
static int note_rules(struct daemon *d)
{
	const bool closed = d->plan.config->fail_closed;
	int r = 0;

	if (closed != d->fail_closed && (r = keep_note_fail_closed(d->keeper_fd, closed)) == 0)
		d->fail_closed = closed;
	if (r == 0 && !d->rules_stand && (r = keep_note_rules(d->keeper_fd)) == 0)
		d->rules_stand = true;
	return r;
}

int daemon_net_policy(struct daemon *d)
{
	const struct keep_dns_state *dns = &d->names.state;
	const struct policy_facts facts = {
		.users = &d->plan.users,
		.engaged = d->engaged,
		.capture = dns->manager == KEEP_DNS_FILE || dns->manager == KEEP_DNS_RESOLVCONF,
		.former = dns->former,
		.n_former = dns->n_former,
		.own = d->own4,
		.stack = { d->stack4, d->stack6 },
	};
	int r = note_rules(d);

	if (r < 0)
		return r;
	daemon_policy_make(&d->policy, d->plan.config, &facts);
	daemon_dns_forwarders(d);
	/* the tables first: no rule leads into one that is not complete */
	int routes = daemon_routes_apply(d);
	r = tun_rules_set(&d->policy);
	return r < 0 ? r : routes;
}

int daemon_net_set_table(struct daemon *d, const struct rt_table *t)
{
	int names = daemon_dns_set(d, t), r;

	rt_set_table(d->rt, t);
	r = daemon_net_policy(d);
	daemon_guard_endpoints_look(d);
	return r < 0 ? r : names;
}

int daemon_net_engage(struct daemon *d)
{
	struct rt_table t;
	int r;

	d->engaged = true;
	if (!d->plan.config->system)
		return 0;
	r = daemon_table_make(d, &t);
	return r < 0 ? r : daemon_net_set_table(d, &t);
}

static void bring_up_to_date(struct daemon *d)
{
	if (daemon_net_policy(d) < 0)
		log_warn("the routes could not be brought up to date with this machine's");
}

/* A network's resolvers are known a while after its address: DHCP's client tells the kernel first. */
static const uint32_t look_again_ms[] = { 2000, 8000 }; /* ours */

static void on_look_again(void *arg, uint64_t now_ms)
{
	struct daemon *d = arg;

	if (d->phase == DAEMON_STOPPING)
		return;
	if (daemon_dns_look(d))
		bring_up_to_date(d);
	if (++d->looks < ARRAY_LEN(look_again_ms))
		loop_timer_set(d->loop, &d->look_timer, now_ms + look_again_ms[d->looks]);
}

static void on_routes_settled(void *arg, uint64_t now_ms)
{
	struct daemon *d = arg;

	d->change_ms = 0;
	if (d->phase == DAEMON_STOPPING)
		return;
	for (size_t i = 0; i < RT_UPSTREAMS_MAX; i++)
		if (d->upstreams[i].tnl)
			tnl_upstream_hurry(d->upstreams[i].tnl);
	if (!d->filter && !d->filter_told) /* a machine without nftables gets none by itself */
		daemon_net_filter(d, d->plan.config);
	rt_dns_network_changed(d->rt);
	daemon_dns_look(d);
	bring_up_to_date(d);
	d->looks = 0;
	loop_timer_set(d->loop, &d->look_timer, now_ms + look_again_ms[0]);
}

static void on_netlink(void *arg, uint32_t events, uint64_t now_ms)
{
	struct daemon *d = arg;

	(void)events;
	if (!tun_monitor_drain(d->monitor_fd))
		return;
	if (!d->change_ms)
		d->change_ms = now_ms;
	loop_timer_set(d->loop, &d->routes_timer,
		       MIN(now_ms + ROUTES_SETTLE_MS, d->change_ms + ROUTES_LATEST_MS));
}

static int watch_network(struct daemon *d)
{
	loop_timer_init(&d->routes_timer, on_routes_settled, d);
	loop_timer_init(&d->look_timer, on_look_again, d);
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
		.flows_max = d->plan.config->limits.flows,
		.events = rt_ns_events(),
		.arg = d->rt,
	};
	int r = ns_new(&d->ns, &opts);

	if (r < 0)
		return r;
	rt_set_netstack(d->rt, d->ns);
	return loop_fd_add(d->loop, &d->tun_watch, tun_fd(d->tun), EPOLLIN, on_packets, d);
}

static int make_device(struct daemon *d)
{
	int r = keep_note_device(d->keeper_fd, d->plan.config->tun_name);

	if (r < 0)
		return r;
	r = tun_open(&d->tun, d->plan.config->tun_name, d->clone_fd);
	d->clone_fd = -1;
	return r < 0 ? r : set_addresses(d);
}

/* Routes and rules, then the system's resolver, which may be one that more rules are needed for. */
static int make_known(struct daemon *d)
{
	int r;

	daemon_dns_look(d);
	if ((r = no_foreign_rules()) < 0 || (r = daemon_net_filter(d, d->plan.config)) < 0 ||
	    (r = daemon_net_policy(d)) < 0 || (r = daemon_dns_set(d, rt_table(d->rt))) < 0)
		return r;
	return d->names.set ? daemon_net_policy(d) : 0;
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
	if (r < 0 || (r = make_device(d)) < 0 || (r = daemon_dns_start(d)) < 0 ||
	    (r = start_netstack(d)) < 0 || (r = watch_network(d)) < 0)
		return r;
	return make_known(d);
}

void daemon_net_undo_rules(struct daemon *d)
{
	daemon_dns_undo(d); /* first: names resolve without us before our routes go */
	if (!d->tun || !d->rules_stand)
		return;
	d->rules_stand = false;
	if (d->stays_closed) {
		log_error("fail_closed: rules and unreachable routes stay until `ssm-tun down %s`",
			  d->name);
		tun_leave_unreachable(d->tun, true);
		return;
	}
	tun_rules_del();
}

void daemon_net_close(struct daemon *d)
{
	if (d->monitor_fd >= 0) {
		loop_timer_cancel(d->loop, &d->routes_timer);
		loop_timer_cancel(d->loop, &d->look_timer);
		loop_fd_del(d->loop, &d->monitor_watch);
		close(d->monitor_fd);
	}
	loop_fd_del(d->loop, &d->tun_watch);
	ns_free(d->ns);
	tun_close(d->tun);
	daemon_guard_free(d);
	daemon_dns_free(d);
	free(d->packet);
}
