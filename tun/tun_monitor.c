// SPDX-License-Identifier: MIT
/* tun_monitor.c - the kernel's news about links, addresses and the main table's routes */
#include "tun/tun.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/rtnetlink.h>

#include "base/err.h"
#include "base/log.h"
#include "tun/tun_internal.h"

int tun_monitor_open(void)
{
	struct sockaddr_nl self = {
		.nl_family = AF_NETLINK,
		.nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR |
			     RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE,
	};
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);

	if (fd < 0)
		return log_sys("tun: open a netlink socket for changes");
	if (bind(fd, (const struct sockaddr *)&self, sizeof(self)) < 0) {
		log_sys("tun: subscribe to network changes");
		close(fd);
		return ST_ESYS;
	}
	return fd;
}

/* Changes of tables other than main, our own above all, are no news. */
static bool is_news(const struct nlmsghdr *nlh)
{
	const struct rtmsg *rtm = mnl_nlmsg_get_payload(nlh);

	switch (nlh->nlmsg_type) {
	case RTM_NEWROUTE:
	case RTM_DELROUTE:
		return mnl_nlmsg_get_payload_len(nlh) >= sizeof(*rtm) &&
		       rtm->rtm_table == RT_TABLE_MAIN && !(rtm->rtm_flags & RTM_F_CLONED);
	case RTM_NEWLINK:
	case RTM_DELLINK:
	case RTM_NEWADDR:
	case RTM_DELADDR: return true;
	default: return false;
	}
}

bool tun_monitor_drain(int fd)
{
	_Alignas(struct nlmsghdr) uint8_t in[TUN_NL_DATAGRAM_MAX];
	struct sockaddr_nl from;
	bool news = false;

	for (;;) {
		socklen_t from_len = sizeof(from);
		ssize_t got = recvfrom(fd, in, sizeof(in), 0, (struct sockaddr *)&from, &from_len);
		int left = (int)got;

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0 && errno == ENOBUFS) { /* some were lost: anything may have changed */
			news = true;
			continue;
		}
		if (got < 0)
			return news;
		if (from.nl_pid != 0) /* not the kernel */
			continue;
		for (const struct nlmsghdr *nlh = (void *)in; mnl_nlmsg_ok(nlh, left);
		     nlh = mnl_nlmsg_next(nlh, &left))
			news |= is_news(nlh);
	}
}
