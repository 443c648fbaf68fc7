// SPDX-License-Identifier: MIT
/*
 * tun_routes.c - table TUN_TABLE, and a reading of the main table
 *
 * Theory of operation: the kernel's table is the record. tun_routes_set() reads what carries our protocol
 * number there, sorts both lists and walks them side by side: what is missing or of another kind is added
 * (NLM_F_REPLACE: no gap when a kind changes), then what is too much is deleted. So a route that somebody
 * else removed comes back, and one that a crash left goes.
 *
 * A throw route has no device: unlike the others it outlives ours, and is harmless (the next rule goes on).
 * tun_close() and tun_routes_flush() remove it.
 */
#include "tun/tun.h"

#include <errno.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>

#include <linux/rtnetlink.h>

#include "base/err.h"
#include "base/log.h"
#include "base/text.h"
#include "tun/tun_internal.h"

#define FOUND_MAX ((size_t)TUN_ROUTES_MAX * 2) /* ours: leftovers of a crash beside a full set */
#define REFUSALS_LOGGED 8U		       /* lines per call; ours */

/* What stands in the table with our mark; @as_wanted: through this device, or throw. */
struct found {
	struct tun_route route;
	bool as_wanted;
};

struct found_list {
	struct found *v;
	size_t n, lost;
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

/* Equal prefixes: the throw route first, so that it wins (decision 13). */
static int route_cmp(const void *a, const void *b)
{
	const struct tun_route *x = a, *y = b;
	int c = prefix_cmp(&x->prefix, &y->prefix);

	return c ? c : (int)y->kind - (int)x->kind;
}

static int found_cmp(const void *a, const void *b)
{
	const struct found *x = a, *y = b;

	return prefix_cmp(&x->route.prefix, &y->route.prefix);
}

/* The parts of a route that we look at. */
struct seen {
	struct net_prefix dst;
	uint32_t table, oif;
};

static int read_attr(const struct nlattr *attr, void *arg)
{
	const struct nlattr **tb = arg;

	if (mnl_attr_get_type(attr) <= RTA_MAX)
		tb[mnl_attr_get_type(attr)] = attr;
	return MNL_CB_OK;
}

/* The interface of the first hop of a multipath route. */
static uint32_t first_hop(const struct nlattr *multipath)
{
	struct rtnexthop hop;

	if (mnl_attr_get_payload_len(multipath) < sizeof(hop))
		return 0;
	memcpy(&hop, mnl_attr_get_payload(multipath), sizeof(hop));
	return (uint32_t)hop.rtnh_ifindex;
}

static bool read_route(struct seen *out, const struct nlmsghdr *nlh)
{
	const struct rtmsg *rtm = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *tb[RTA_MAX + 1] = { 0 };

	if (nlh->nlmsg_type != RTM_NEWROUTE || mnl_nlmsg_get_payload_len(nlh) < sizeof(*rtm))
		return false;
	if ((rtm->rtm_family != AF_INET && rtm->rtm_family != AF_INET6) ||
	    (rtm->rtm_flags & RTM_F_CLONED))
		return false;
	if (mnl_attr_parse(nlh, sizeof(*rtm), read_attr, tb) < 0)
		return false;
	*out = (struct seen){ .table = rtm->rtm_table };
	out->dst.addr.family = rtm->rtm_family == AF_INET6 ? 6 : 4;
	out->dst.len = rtm->rtm_dst_len;
	if (tb[RTA_DST] && !tun_nl_addr(&out->dst.addr, rtm->rtm_family, tb[RTA_DST]))
		return false;
	if (tb[RTA_TABLE] && mnl_attr_validate(tb[RTA_TABLE], MNL_TYPE_U32) == 0)
		out->table = mnl_attr_get_u32(tb[RTA_TABLE]);
	if (tb[RTA_OIF] && mnl_attr_validate(tb[RTA_OIF], MNL_TYPE_U32) == 0)
		out->oif = mnl_attr_get_u32(tb[RTA_OIF]);
	else if (tb[RTA_MULTIPATH])
		out->oif = first_hop(tb[RTA_MULTIPATH]);
	return true;
}

static int dump_table(struct tun_nl *nl, int family, uint32_t table, tun_nl_obj_fn *fn, void *arg,
		      size_t *count)
{
	_Alignas(struct nlmsghdr) uint8_t buf[TUN_NL_MSG_MAX];
	struct nlmsghdr *nlh = tun_nl_msg(nl, buf, RTM_GETROUTE, 0);
	struct rtmsg *rtm = mnl_nlmsg_put_extra_header(nlh, sizeof(*rtm));
	int error;

	rtm->rtm_family = (unsigned char)family;
	mnl_attr_put_u32(nlh, RTA_TABLE, table);
	error = tun_nl_dump(nl, nlh, fn, arg, count);
	/* ENOENT: nothing was ever put into that table */
	return error == ENOENT || (family == AF_INET6 && tun_nl_no_family(error)) ? 0 : error;
}

static void collect_ours(void *arg, const struct nlmsghdr *nlh)
{
	const struct rtmsg *rtm = mnl_nlmsg_get_payload(nlh);
	struct found_list *list = arg;
	struct seen seen;
	bool is_throw;

	if (!read_route(&seen, nlh) || seen.table != list->table || rtm->rtm_protocol != TUN_RTPROT)
		return;
	if (list->n == FOUND_MAX) {
		list->lost++;
		return;
	}
	is_throw = rtm->rtm_type == RTN_THROW;
	list->v[list->n++] = (struct found){
		.route = { .prefix = seen.dst, .kind = is_throw ? TUN_ROUTE_THROW : TUN_ROUTE_DEV },
		.as_wanted = is_throw ||
			     (rtm->rtm_type == RTN_UNICAST && seen.oif == list->ifindex),
	};
}

/* Our routes of both families, sorted; the caller frees list->v. */
static int read_ours(struct tun_nl *nl, struct found_list *list)
{
	int error;

	if (!(list->v = calloc(FOUND_MAX, sizeof(*list->v))))
		return ST_ENOMEM;
	error = dump_table(nl, AF_INET, list->table, collect_ours, list, &list->n);
	if (!error)
		error = dump_table(nl, AF_INET6, list->table, collect_ours, list, &list->n);
	if (error) {
		free(list->v);
		list->v = NULL;
		list->n = 0;
		return tun_nl_error(error, "read routing table %u", list->table);
	}
	if (list->lost > 0)
		log_warn("tun: table %u holds more than %zu routes", list->table, FOUND_MAX);
	qsort(list->v, list->n, sizeof(*list->v), found_cmp);
	return 0;
}

static void refused(void *arg, size_t index, int error)
{
	struct change *c = arg;
	const struct tun_route *route = &c->routes[index];
	char text[NET_PREFIX_STR];

	/* Gone already, which is what was wanted: the device or another program was faster. */
	if (c->type == RTM_DELROUTE && (error == ESRCH || error == ENODEV))
		return;
	if (c->refused++ < REFUSALS_LOGGED)
		tun_nl_error(error, "%s %s route %s", c->type == RTM_NEWROUTE ? "add" : "delete",
			     route->kind == TUN_ROUTE_THROW ? "throw" : "device",
			     net_prefix_str(text, &route->prefix));
}

static int change_flush(struct change *c)
{
	int error = tun_nl_batch(c->nl, c->buf, c->len, c->n, refused, c);

	c->n = c->len = 0;
	return error ? tun_nl_error(error, "change routing table %u", c->table) : 0;
}

static int change_put(struct change *c, const struct tun_route *route)
{
	const bool add = c->type == RTM_NEWROUTE, dev = route->kind == TUN_ROUTE_DEV;
	uint16_t flags = NLM_F_ACK | (add ? NLM_F_CREATE | NLM_F_REPLACE : 0);
	struct nlmsghdr *nlh;
	struct rtmsg *rtm;
	int r;

	if (c->n == TUN_NL_BATCH_MAX && (r = change_flush(c)) < 0)
		return r;
	nlh = tun_nl_msg(c->nl, c->buf + c->len, c->type, flags);
	rtm = mnl_nlmsg_put_extra_header(nlh, sizeof(*rtm));
	rtm->rtm_family = (unsigned char)family_of(&route->prefix);
	rtm->rtm_dst_len = route->prefix.len;
	rtm->rtm_protocol = TUN_RTPROT;
	rtm->rtm_type = dev ? RTN_UNICAST : RTN_THROW;
	rtm->rtm_scope = !add ? RT_SCOPE_NOWHERE : dev ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
	mnl_attr_put_u32(nlh, RTA_TABLE, c->table);
	mnl_attr_put(nlh, RTA_DST, net_addr_bytes(&route->prefix.addr), route->prefix.addr.b);
	if (add && dev)
		mnl_attr_put_u32(nlh, RTA_OIF, c->ifindex);
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
		int cmp = i == n	 ? 1
			  : j == have->n ? -1
					 : prefix_cmp(&want[i].prefix, &have->v[j].route.prefix);

		if (cmp < 0) {
			r = adding ? change_put(c, &want[i]) : 0;
			i++;
		} else if (cmp > 0) {
			r = adding ? 0 : change_put(c, &have->v[j].route);
			j++;
		} else {
			if (adding &&
			    (want[i].kind != have->v[j].route.kind || !have->v[j].as_wanted))
				r = change_put(c, &want[i]);
			i++;
			j++;
		}
	}
	return r < 0 ? r : change_flush(c);
}

static int apply(struct tun_nl *nl, uint32_t table, uint32_t ifindex, const struct tun_route *want,
		 size_t n)
{
	struct found_list have = { .table = table, .ifindex = ifindex };
	struct change *c;
	int r;

	if ((r = read_ours(nl, &have)) < 0)
		return r;
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

/* A sorted copy without double prefixes, and without IPv6 where there is none. */
static size_t normalise(struct tun *t, struct tun_route *out, const struct tun_route *in, size_t n)
{
	size_t kept = 0, unique = 0;

	for (size_t i = 0; i < n; i++)
		if (in[i].prefix.addr.family == 4 ||
		    (in[i].prefix.addr.family == 6 && tun_ipv6_on(t)))
			out[kept++] = in[i];
	qsort(out, kept, sizeof(*out), route_cmp);
	for (size_t i = 0; i < kept; i++)
		if (unique == 0 || prefix_cmp(&out[unique - 1].prefix, &out[i].prefix) != 0)
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
	r = apply(&t->nl, table, t->ifindex, want, normalise(t, want, routes, n));
	free(want);
	return r;
}

int tun_routes_flush(void)
{
	struct tun_nl nl;
	int r;

	if ((r = tun_nl_open(&nl)) < 0)
		return r;
	r = apply(&nl, TUN_TABLE, 0, NULL, 0);
	int all = apply(&nl, TUN_TABLE_ALL, 0, NULL, 0);
	tun_nl_close(&nl);
	return r < 0 ? r : all;
}

struct main_list {
	struct tun_main_route *v;
	size_t n, cap;
	uint32_t skip_ifindex;
	bool full;
};

static void collect_main(void *arg, const struct nlmsghdr *nlh)
{
	const struct rtmsg *rtm = mnl_nlmsg_get_payload(nlh);
	struct main_list *list = arg;
	struct seen seen;

	if (!read_route(&seen, nlh) || seen.table != RT_TABLE_MAIN || seen.dst.len == 0)
		return;
	if ((rtm->rtm_flags & RTNH_F_DEAD) || (seen.oif != 0 && seen.oif == list->skip_ifindex))
		return;
	if (list->n == list->cap) {
		list->full = true;
		return;
	}
	list->v[list->n++] = (struct tun_main_route){ .prefix = seen.dst, .ifindex = seen.oif };
}

static void name_interfaces(struct tun_main_route *v, size_t n)
{
	char name[IF_NAMESIZE];

	for (size_t i = 0; i < n; i++) {
		if (i > 0 && v[i].ifindex == v[i - 1].ifindex)
			memcpy(v[i].ifname, v[i - 1].ifname, sizeof(v[i].ifname));
		else if (v[i].ifindex != 0 && if_indextoname(v[i].ifindex, name))
			text_copy(v[i].ifname, sizeof(v[i].ifname), name);
	}
}

int tun_main_routes(struct tun_main_route *out, size_t cap, uint32_t skip_ifindex)
{
	struct main_list list = { .v = out, .cap = cap, .skip_ifindex = skip_ifindex };
	struct tun_nl nl;
	int r, error;

	if ((r = tun_nl_open(&nl)) < 0)
		return r;
	error = dump_table(&nl, AF_INET, RT_TABLE_MAIN, collect_main, &list, &list.n);
	if (!error)
		error = dump_table(&nl, AF_INET6, RT_TABLE_MAIN, collect_main, &list, &list.n);
	tun_nl_close(&nl);
	if (error)
		return tun_nl_error(error, "read the main routing table");
	if (list.full)
		return ST_EFULL;
	name_interfaces(out, list.n);
	return (int)list.n;
}
