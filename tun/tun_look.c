// SPDX-License-Identifier: MIT
/*
 * tun_look.c - what the kernel says of routes that are not ours: the main table, the way of a packet, rp_filter
 *
 * Nothing here changes anything or needs a right.
 */
#include "tun/tun.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <linux/rtnetlink.h>

#include "base/err.h"
#include "base/log.h"
#include "base/text.h"
#include "tun/tun_internal.h"

#define SYSCTL_CONF "/proc/sys/net/ipv4/conf"

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

bool tun_route_read(struct tun_seen *out, const struct nlmsghdr *nlh)
{
	const struct rtmsg *rtm = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *tb[RTA_MAX + 1] = { 0 };

	if (nlh->nlmsg_type != RTM_NEWROUTE || mnl_nlmsg_get_payload_len(nlh) < sizeof(*rtm))
		return false;
	if (rtm->rtm_family != AF_INET && rtm->rtm_family != AF_INET6)
		return false;
	if (mnl_attr_parse(nlh, sizeof(*rtm), read_attr, tb) < 0)
		return false;
	*out = (struct tun_seen){ .table = rtm->rtm_table };
	out->dst.addr.family = rtm->rtm_family == AF_INET6 ? 6 : 4;
	out->dst.len = rtm->rtm_dst_len;
	if (tb[RTA_DST] && !tun_nl_addr(&out->dst.addr, rtm->rtm_family, tb[RTA_DST]))
		return false;
	if (tb[RTA_TABLE] && mnl_attr_validate(tb[RTA_TABLE], MNL_TYPE_U32) == 0)
		out->table = mnl_attr_get_u32(tb[RTA_TABLE]);
	if (tb[RTA_PRIORITY] && mnl_attr_validate(tb[RTA_PRIORITY], MNL_TYPE_U32) == 0)
		out->metric = mnl_attr_get_u32(tb[RTA_PRIORITY]);
	if (tb[RTA_OIF] && mnl_attr_validate(tb[RTA_OIF], MNL_TYPE_U32) == 0)
		out->oif = mnl_attr_get_u32(tb[RTA_OIF]);
	else if (tb[RTA_MULTIPATH])
		out->oif = first_hop(tb[RTA_MULTIPATH]);
	return true;
}

int tun_table_dump(struct tun_nl *nl, int family, uint32_t table, tun_nl_obj_fn *fn, void *arg,
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
	struct tun_seen seen;

	if (!tun_route_read(&seen, nlh) || seen.table != RT_TABLE_MAIN || seen.dst.len == 0)
		return;
	if ((rtm->rtm_flags & (RTNH_F_DEAD | RTM_F_CLONED)) ||
	    (seen.oif != 0 && seen.oif == list->skip_ifindex))
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
	error = tun_table_dump(&nl, AF_INET, RT_TABLE_MAIN, collect_main, &list, &list.n);
	if (!error)
		error = tun_table_dump(&nl, AF_INET6, RT_TABLE_MAIN, collect_main, &list, &list.n);
	tun_nl_close(&nl);
	if (error)
		return tun_nl_error(error, "read the main routing table");
	if (list.full)
		return ST_EFULL;
	name_interfaces(out, list.n);
	return (int)list.n;
}

/* --- the way of a packet */

static void collect_path(void *arg, const struct nlmsghdr *nlh)
{
	const struct rtmsg *rtm = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *tb[RTA_MAX + 1] = { 0 };
	struct tun_path *out = arg;
	struct tun_seen seen;
	char name[IF_NAMESIZE];

	if (!tun_route_read(&seen, nlh) || mnl_attr_parse(nlh, sizeof(*rtm), read_attr, tb) < 0)
		return;
	out->table = seen.table;
	if (tb[RTA_GATEWAY])
		tun_nl_addr(&out->gateway, rtm->rtm_family, tb[RTA_GATEWAY]);
	if (tb[RTA_PREFSRC])
		tun_nl_addr(&out->source, rtm->rtm_family, tb[RTA_PREFSRC]);
	if (seen.oif != 0 && if_indextoname(seen.oif, name))
		text_copy(out->ifname, sizeof(out->ifname), name);
}

int tun_path_get(const struct net_addr *dst, uint32_t uid, struct tun_path *out)
{
	_Alignas(struct nlmsghdr) uint8_t buf[TUN_NL_MSG_MAX];
	struct nlmsghdr *nlh;
	struct rtmsg *rtm;
	struct tun_nl nl;
	int r;

	*out = (struct tun_path){ 0 };
	if (dst->family != 4 && dst->family != 6)
		return ST_EINVAL;
	if ((r = tun_nl_open(&nl)) < 0)
		return r;
	nlh = tun_nl_msg(&nl, buf, RTM_GETROUTE, 0);
	rtm = mnl_nlmsg_put_extra_header(nlh, sizeof(*rtm));
	rtm->rtm_family = dst->family == 6 ? AF_INET6 : AF_INET;
	rtm->rtm_dst_len = net_addr_bits(dst);
	if (dst->family == 4) /* which table: IPv6 tells it unasked, and refuses the flag */
		rtm->rtm_flags = RTM_F_LOOKUP_TABLE;
	mnl_attr_put(nlh, RTA_DST, net_addr_bytes(dst), dst->b);
	mnl_attr_put_u32(nlh, RTA_UID, uid);
	out->error = tun_nl_ask(&nl, nlh, collect_path, out);
	tun_nl_close(&nl);
	/* These two are about us, not about the way. */
	if (out->error == EPERM || out->error == ENOMEM)
		return tun_nl_error(out->error, "ask for a route");
	return 0;
}

/* --- rp_filter */

/* The sysctl of interface @name; 0 if it has gone. */
static int rp_filter_of(const char *name)
{
	char path[sizeof(SYSCTL_CONF) + IF_NAMESIZE + 16], c = '0';
	int fd;

	snprintf(path, sizeof(path), SYSCTL_CONF "/%s/rp_filter", name);
	if ((fd = open(path, O_RDONLY | O_CLOEXEC)) < 0)
		return 0;
	if (read(fd, &c, 1) != 1 || c < '0' || c > '2')
		c = '0';
	close(fd);
	return c - '0';
}

static bool is_up(int sock, const char *name)
{
	struct ifreq ifr = { 0 };

	return text_copy(ifr.ifr_name, sizeof(ifr.ifr_name), name) &&
	       ioctl(sock, SIOCGIFFLAGS, &ifr) == 0 && (ifr.ifr_flags & IFF_UP) &&
	       !(ifr.ifr_flags & IFF_LOOPBACK);
}

int tun_rp_filter(const char *skip_device)
{
	static const int strictness[] = { [0] = 0, [1] = 2, [2] = 1 };
	int sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), found = 0;
	const int all = rp_filter_of("all");
	struct if_nameindex *links;

	if (sock < 0)
		return log_sys("tun: open a socket");
	if (!(links = if_nameindex())) {
		close(sock);
		return log_sys("tun: list the interfaces");
	}
	for (const struct if_nameindex *l = links; l->if_name; l++) {
		int one;

		if ((skip_device && strcmp(l->if_name, skip_device) == 0) ||
		    !is_up(sock, l->if_name))
			continue;
		one = MAX(all, rp_filter_of(l->if_name));
		if (strictness[one] > strictness[found])
			found = one;
	}
	if_freenameindex(links);
	close(sock);
	return found;
}
