// SPDX-License-Identifier: MIT
/*
 * tun_routes.c - our two tables
 *
 * Theory of operation: the kernel's table is the record. tun_routes_set() reads what carries our protocol
 * number there, sorts both lists and walks them side by side: what is missing or of another kind is added
 * (NLM_F_REPLACE: no gap when a kind changes), then what is too much is deleted. So a route that somebody
 * else removed comes back, and one that a crash left goes.
 *
 * A route is named by prefix and metric, as the kernel does: device and throw routes share a metric and so replace each other, the
 * unreachable one of the same prefix has the highest and stands behind them.
 *
 * Throw and unreachable routes have no device: they outlive ours. A throw route is harmless (the next rule goes on); an unreachable
 * one behind the device's is what fail_closed is for. tun_close() and tun_routes_flush() remove them.
 */
#include "tun/tun.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <linux/rtnetlink.h>

#include "base/err.h"
#include "base/log.h"
#include "base/text.h"
#include "tun/tun_internal.h"

#define FOUND_MAX ((size_t)TUN_ROUTES_MAX * 2) /* ours: leftovers of a crash beside a full set */
#define FOUND_START ((size_t)64)
#define SYSCTL_IPV6 "/proc/sys/net/ipv6" /* is there where the kernel knows IPv6 at all */
#define REFUSALS_LOGGED 8U		 /* lines per call; ours */
#define METRIC_BEHIND UINT32_MAX	 /* the last that the kernel looks at */
#define METRIC_IP6 1024U /* what IPv6 gives a route without one (IP6_RT_PRIO_USER) */

/* What stands in the table with our mark; @as_wanted: of its kind, and through this device if it has one. */
struct found {
	struct tun_route route;
	uint32_t metric;
	bool as_wanted;
};

struct found_list {
	struct found *v; /* owned */
	size_t n, cap, lost;
	bool no_memory, skip_unreachable;
	uint32_t table;
	uint32_t ifindex; /* 0: the device does not matter */
};

/* A batch under construction, and what its requests were about. */
struct change {
	struct tun_nl *nl;
	uint32_t table, ifindex;
	uint16_t type; /* RTM_NEWROUTE or RTM_DELROUTE */
	size_t n, len;
	size_t refused;
	struct tun_route routes[TUN_NL_BATCH_MAX];
	_Alignas(struct nlmsghdr) uint8_t buf[TUN_NL_BATCH_MAX * TUN_NL_MSG_MAX];
};

static int family_of(const struct net_prefix *p)
{
	return p->addr.family == 6 ? AF_INET6 : AF_INET;
}

static int prefix_cmp(const struct net_prefix *a, const struct net_prefix *b)
{
	int c = net_addr_cmp(&a->addr, &b->addr);

	return c ? c : (int)a->len - (int)b->len;
}

static uint32_t metric_of(const struct tun_route *r)
{
	if (r->kind == TUN_ROUTE_UNREACHABLE)
		return METRIC_BEHIND;
	return r->prefix.addr.family == 6 ? METRIC_IP6 : 0;
}

static int metric_cmp(uint32_t a, uint32_t b)
{
	return (a > b) - (a < b);
}

/* Equal prefixes and metrics: the throw route first, so that it wins (decision 13). */
static int route_cmp(const void *a, const void *b)
{
	const struct tun_route *x = a, *y = b;
	int c = prefix_cmp(&x->prefix, &y->prefix);

	if (c == 0)
		c = metric_cmp(metric_of(x), metric_of(y));
	return c ? c : (int)y->kind - (int)x->kind;
}

static int found_cmp(const void *a, const void *b)
{
	const struct found *x = a, *y = b;
	int c = prefix_cmp(&x->route.prefix, &y->route.prefix);

	return c ? c : metric_cmp(x->metric, y->metric);
}

static int route_found_cmp(const struct tun_route *r, const struct found *f)
{
	int c = prefix_cmp(&r->prefix, &f->route.prefix);

	return c ? c : metric_cmp(metric_of(r), f->metric);
}

static bool found_grow(struct found_list *list)
{
	size_t cap = list->cap ? list->cap * 2 : FOUND_START;
	struct found *v;

	if (list->n < list->cap)
		return true;
	if (list->n >= FOUND_MAX) {
		list->lost++;
		return false;
	}
	if (!(v = realloc(list->v, cap * sizeof(*v)))) {
		list->no_memory = true;
		return false;
	}
	list->v = v;
	list->cap = cap;
	return true;
}

static void collect_ours(void *arg, const struct nlmsghdr *nlh)
{
	const struct rtmsg *rtm = mnl_nlmsg_get_payload(nlh);
	struct found_list *list = arg;
	struct found *f;
	struct tun_seen seen;

	if (!tun_route_read(&seen, nlh) || seen.table != list->table ||
	    rtm->rtm_protocol != TUN_RTPROT)
		return;
	if (rtm->rtm_flags & RTM_F_CLONED)
		return;
	if ((rtm->rtm_type == RTN_UNREACHABLE && list->skip_unreachable) || !found_grow(list))
		return;
	f = &list->v[list->n++];
	*f = (struct found){ .route = { .prefix = seen.dst }, .metric = seen.metric };
	switch (rtm->rtm_type) {
	case RTN_THROW: f->route.kind = TUN_ROUTE_THROW; break;
	case RTN_UNREACHABLE: f->route.kind = TUN_ROUTE_UNREACHABLE; break;
	default: f->route.kind = TUN_ROUTE_DEV; break;
	}
	f->as_wanted = f->route.kind != TUN_ROUTE_DEV ||
		       (rtm->rtm_type == RTN_UNICAST && seen.oif == list->ifindex);
}

/* Our routes of both families, sorted; the caller frees list->v, also after an error. */
static int read_ours(struct tun_nl *nl, struct found_list *list)
{
	int error;

	error = tun_table_dump(nl, AF_INET, list->table, collect_ours, list, &list->n);
	if (!error)
		error = tun_table_dump(nl, AF_INET6, list->table, collect_ours, list, &list->n);
	if (error)
		return tun_nl_error(error, "read routing table %u", list->table);
	if (list->no_memory)
		return ST_ENOMEM;
	if (list->lost > 0)
		log_warn("tun: table %u holds more than %zu routes", list->table, FOUND_MAX);
	if (list->n > 0)
		qsort(list->v, list->n, sizeof(*list->v), found_cmp);
	return 0;
}

static void refused(void *arg, size_t index, int error)
{
	static const char *const kinds[] = {
		[TUN_ROUTE_DEV] = "device",
		[TUN_ROUTE_THROW] = "throw",
		[TUN_ROUTE_UNREACHABLE] = "unreachable",
	};
	struct change *c = arg;
	const struct tun_route *route = &c->routes[index];
	char text[NET_PREFIX_STR];

	/* Gone already, which is what was wanted: the device or another program was faster. */
	if (c->type == RTM_DELROUTE && (error == ESRCH || error == ENODEV))
		return;
	if (c->refused++ < REFUSALS_LOGGED)
		tun_nl_error(error, "%s %s route %s", c->type == RTM_NEWROUTE ? "add" : "delete",
			     kinds[route->kind], net_prefix_str(text, &route->prefix));
}

static int change_flush(struct change *c)
{
	int error = tun_nl_batch(c->nl, c->buf, c->len, c->n, refused, c);

	c->n = c->len = 0;
	return error ? tun_nl_error(error, "change routing table %u", c->table) : 0;
}

/* One request for one route; @ifindex: of a device route that is added, and of one that is deleted unless it is 0. */
static struct nlmsghdr *route_msg(struct tun_nl *nl, void *buf, uint16_t type, uint16_t flags,
				  uint32_t table, const struct tun_route *route, uint32_t metric,
				  uint32_t ifindex)
{
	static const uint8_t types[] = { [TUN_ROUTE_DEV] = RTN_UNICAST,
					 [TUN_ROUTE_THROW] = RTN_THROW,
					 [TUN_ROUTE_UNREACHABLE] = RTN_UNREACHABLE };
	const bool add = type == RTM_NEWROUTE, dev = route->kind == TUN_ROUTE_DEV;
	struct nlmsghdr *nlh = tun_nl_msg(nl, buf, type, flags);
	struct rtmsg *rtm = mnl_nlmsg_put_extra_header(nlh, sizeof(*rtm));

	rtm->rtm_family = (unsigned char)family_of(&route->prefix);
	rtm->rtm_dst_len = route->prefix.len;
	rtm->rtm_protocol = TUN_RTPROT;
	rtm->rtm_type = types[route->kind];
	rtm->rtm_scope = !add ? RT_SCOPE_NOWHERE : dev ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
	mnl_attr_put_u32(nlh, RTA_TABLE, table);
	mnl_attr_put(nlh, RTA_DST, net_addr_bytes(&route->prefix.addr), route->prefix.addr.b);
	if (metric)
		mnl_attr_put_u32(nlh, RTA_PRIORITY, metric);
	if (dev && ifindex)
		mnl_attr_put_u32(nlh, RTA_OIF, ifindex);
	return nlh;
}

static int change_put(struct change *c, const struct tun_route *route, uint32_t metric)
{
	const bool add = c->type == RTM_NEWROUTE;
	uint16_t flags = NLM_F_ACK | (add ? NLM_F_CREATE | NLM_F_REPLACE : 0);
	const struct nlmsghdr *nlh;
	int r;

	if (c->n == TUN_NL_BATCH_MAX && (r = change_flush(c)) < 0)
		return r;
	nlh = route_msg(c->nl, c->buf + c->len, c->type, flags, c->table, route, metric,
			add ? c->ifindex : 0);
	c->routes[c->n++] = *route;
	c->len += nlh->nlmsg_len;
	return 0;
}

/*
 * Walks both sorted lists. @adding: puts what is wanted and not found as wanted; else deletes what is found
 * and not wanted.
 */
static int walk(struct change *c, const struct tun_route *want, size_t n,
		const struct found_list *have, bool adding)
{
	size_t i = 0, j = 0;
	int r = 0;

	while (r == 0 && (i < n || j < have->n)) {
		int cmp = i == n ? 1 : j == have->n ? -1 : route_found_cmp(&want[i], &have->v[j]);

		if (cmp < 0) {
			r = adding ? change_put(c, &want[i], metric_of(&want[i])) : 0;
			i++;
		} else if (cmp > 0) {
			r = adding ? 0 : change_put(c, &have->v[j].route, have->v[j].metric);
			j++;
		} else {
			if (adding &&
			    (want[i].kind != have->v[j].route.kind || !have->v[j].as_wanted))
				r = change_put(c, &want[i], metric_of(&want[i]));
			i++;
			j++;
		}
	}
	return r < 0 ? r : change_flush(c);
}

/* @leave: unreachable routes are not touched */
static int apply(struct tun_nl *nl, uint32_t table, uint32_t ifindex, const struct tun_route *want,
		 size_t n, bool leave)
{
	struct found_list have = { .table = table, .ifindex = ifindex, .skip_unreachable = leave };
	struct change *c;
	int r;

	if ((r = read_ours(nl, &have)) < 0)
		goto out;
	r = ST_ENOMEM;
	if (!(c = calloc(1, sizeof(*c))))
		goto out;
	c->nl = nl;
	c->table = table;
	c->ifindex = ifindex;
	c->type = RTM_NEWROUTE;
	r = walk(c, want, n, &have, true);
	c->type = RTM_DELROUTE;
	if (r == 0)
		r = walk(c, want, n, &have, false);
	if (r == 0 && c->refused > 0) {
		log_error("tun: %zu of the route changes failed", c->refused);
		r = ST_ESYS;
	}
	free(c);
out:
	free(have.v);
	return r;
}

/* What of IPv6 can be here. */
struct six {
	bool asked, known, on; /* by the kernel at all; on our device */
};

/* Without IPv6 on our device, what keeps IPv6 out of it or away from everybody still holds: other interfaces may have it. */
static bool is_possible(struct tun *t, const struct tun_route *r, struct six *six)
{
	if (r->prefix.addr.family != 6)
		return r->prefix.addr.family == 4;
	if (!six->asked)
		*six = (struct six){ true, access(SYSCTL_IPV6, F_OK) == 0, tun_ipv6_on(t) };
	return r->kind == TUN_ROUTE_DEV ? six->on : six->known;
}

/* A sorted copy without doubles and without what can't be. */
static size_t normalise(struct tun *t, struct tun_route *out, const struct tun_route *in, size_t n)
{
	size_t kept = 0, unique = 0;
	struct six six = { 0 };

	for (size_t i = 0; i < n; i++)
		if (is_possible(t, &in[i], &six))
			out[kept++] = in[i];
	qsort(out, kept, sizeof(*out), route_cmp);
	for (size_t i = 0; i < kept; i++)
		if (unique == 0 || prefix_cmp(&out[unique - 1].prefix, &out[i].prefix) != 0 ||
		    metric_of(&out[unique - 1]) != metric_of(&out[i]))
			out[unique++] = out[i];
	return unique;
}

int tun_routes_set(struct tun *t, uint32_t table, const struct tun_route *routes, size_t n)
{
	struct tun_route *want;
	int r;

	if (n > TUN_ROUTES_MAX) {
		log_error("tun: %zu routes are too many, %u at most: use shorter prefixes", n,
			  TUN_ROUTES_MAX);
		return ST_EFULL;
	}
	if (!(want = calloc(n + 1, sizeof(*want))))
		return ST_ENOMEM;
	r = apply(&t->nl, table, t->ifindex, want, normalise(t, want, routes, n), false);
	free(want);
	return r;
}

void tun_routes_close(struct tun *t)
{
	apply(&t->nl, TUN_TABLE, t->ifindex, NULL, 0, t->leave_unreachable);
	apply(&t->nl, TUN_TABLE_ALL, t->ifindex, NULL, 0, t->leave_unreachable);
}

/* A throw route of that address keeps it: EEXIST, as for a route that is there already. */
int tun_route_host(struct tun *t, const struct net_addr *a, bool on)
{
	const struct tun_route route = { .prefix = { .addr = *a, .len = net_addr_bits(a) } };
	_Alignas(struct nlmsghdr) uint8_t buf[TUN_NL_MSG_MAX];
	char text[NET_ADDR_STR];
	struct nlmsghdr *nlh;
	int error;

	if (a->family != 4 && (a->family != 6 || !tun_ipv6_on(t)))
		return 0;
	nlh = route_msg(&t->nl, buf, on ? RTM_NEWROUTE : RTM_DELROUTE,
			on ? NLM_F_CREATE | NLM_F_EXCL : 0, TUN_TABLE, &route, metric_of(&route),
			t->ifindex);
	error = tun_nl_call(&t->nl, nlh);
	if (error == 0 || error == (on ? EEXIST : ESRCH))
		return 0;
	return tun_nl_error(error, "%s the route of %s", on ? "add" : "delete",
			    net_addr_str(text, a));
}

int tun_routes_flush(void)
{
	struct tun_nl nl;
	int r;

	if ((r = tun_nl_open(&nl)) < 0)
		return r;
	r = apply(&nl, TUN_TABLE, 0, NULL, 0, false);
	int all = apply(&nl, TUN_TABLE_ALL, 0, NULL, 0, false);
	tun_nl_close(&nl);
	return r < 0 ? r : all;
}
