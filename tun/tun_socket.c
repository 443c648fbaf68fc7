// SPDX-License-Identifier: MIT
/*
 * tun_socket.c - whose socket a packet comes from, by sock_diag
 *
 * Theory of operation: one exact request, no dump: the kernel looks in the same tables in which it looks for the receiver of a packet. So UDP
 * finds the socket that would get the answer, connected or not, and an IPv6 socket that speaks IPv4 is found by its IPv4 addresses.
 * The kernel reads the two ends of a UDP request the other way round ("swapped for historical reasons", net/ipv4/udp_diag.c). For TCP a
 * listener of that port would be found where there is no connection, and sockets that nobody holds any more (closed while data was under
 * way, TIME_WAIT) read as user 0: neither counts.
 */
#include "tun/tun.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>

#include <linux/inet_diag.h>
#include <linux/sock_diag.h>

#include "base/err.h"
#include "base/log.h"
#include "tun/tun_internal.h"

struct answer {
	bool found;
	uint8_t state;
	bool held; /* by a program */
	uint32_t uid;
};

static void collect_socket(void *arg, const struct nlmsghdr *nlh)
{
	const struct inet_diag_msg *msg = mnl_nlmsg_get_payload(nlh);
	struct answer *a = arg;

	if (nlh->nlmsg_type != SOCK_DIAG_BY_FAMILY || mnl_nlmsg_get_payload_len(nlh) < sizeof(*msg))
		return;
	*a = (struct answer){ .found = true,
			      .state = msg->idiag_state,
			      .held = msg->idiag_inode != 0,
			      .uid = msg->idiag_uid };
}

static void put_ends(struct inet_diag_sockid *id, const struct net_endpoint *local,
		     const struct net_endpoint *remote)
{
	memcpy(id->idiag_src, local->addr.b, sizeof(id->idiag_src));
	memcpy(id->idiag_dst, remote->addr.b, sizeof(id->idiag_dst));
	id->idiag_sport = htons(local->port);
	id->idiag_dport = htons(remote->port);
}

static bool sends(const struct answer *a, bool tcp)
{
	return a->found && a->held && (!tcp || a->state != TCP_LISTEN);
}

static int ask(struct tun_nl *nl, const struct inet_diag_req_v2 *want, struct answer *a)
{
	_Alignas(struct nlmsghdr) uint8_t buf[TUN_NL_MSG_MAX];
	struct nlmsghdr *nlh = tun_nl_msg(nl, buf, SOCK_DIAG_BY_FAMILY, 0);

	memcpy(mnl_nlmsg_put_extra_header(nlh, sizeof(*want)), want, sizeof(*want));
	return tun_nl_ask(nl, nlh, collect_socket, a);
}

int tun_socket_uid(const struct tun *t, const struct net_endpoint *src,
		   const struct net_endpoint *dst, bool tcp, uint32_t *uid)
{
	struct inet_diag_req_v2 want = {
		.sdiag_family = src->addr.family == 6 ? AF_INET6 : AF_INET,
		.sdiag_protocol = tcp ? IPPROTO_TCP : IPPROTO_UDP,
		.idiag_states = UINT32_MAX,
		.id = { .idiag_if = t ? t->ifindex : 0,
			.idiag_cookie = { INET_DIAG_NOCOOKIE, INET_DIAG_NOCOOKIE } },
	};
	struct answer a = { 0 };
	struct tun_nl nl;
	int error, r;

	if (src->addr.family != dst->addr.family || !src->addr.family)
		return ST_EINVAL;
	if (tcp)
		put_ends(&want.id, src, dst);
	else
		put_ends(&want.id, dst, src);
	if ((r = tun_nl_open_of(&nl, NETLINK_SOCK_DIAG)) < 0)
		return r;
	error = ask(&nl, &want, &a);
	tun_nl_close(&nl);
	if (error && error != ENOENT)
		return tun_nl_error(error, "ask whose socket a packet comes from");
	if (error || !sends(&a, tcp))
		return ST_ENOENT;
	*uid = a.uid;
	return 0;
}
