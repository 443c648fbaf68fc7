// SPDX-License-Identifier: MIT
/*
 * tun_link.h - a TUN device in a network namespace of the test's own, joined to a stack and its loop
 *
 * Its applications are 198.18.0.1 and fd00:5::1; 10.0.0.0/8 and fd00:9::/64 lead to the device.
 */
#ifndef TESTS_UNIT_NETSTACK_TUN_LINK_H
#define TESTS_UNIT_NETSTACK_TUN_LINK_H

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/if.h>
#include <linux/if_tun.h>
#include <linux/ipv6_route.h>
#include <linux/rtnetlink.h>
#include <linux/route.h>
#include <linux/virtio_net.h>

#include "base/loop.h"
#include "netstack/netstack.h"

#define TUN_LINK_NAME "nstest0"
#define TUN_LINK_BATCH 64
#define TUN_LINK_QUEUE 4096 /* packets; the default of 500 drops a third of 1,000 SYNs at once */

struct tun_link {
	int fd;
	bool offload;
	loop_watch watch;
	struct ns *ns; /* set by the test after ns_new() */
};

/* One namespace for all tests of the process. Return: false, with a printed reason, if it can't be had. */
static bool tun_link_namespace(void)
{
	if (unshare(CLONE_NEWNET) == 0 && access("/dev/net/tun", R_OK | W_OK) == 0)
		return true;
	printf("skipped: no network namespace or /dev/net/tun (%s)\n", strerror(errno));
	return false;
}

static void set_sockaddr4(struct sockaddr *out, const char *text)
{
	struct sockaddr_in sin = { .sin_family = AF_INET };

	inet_pton(AF_INET, text, &sin.sin_addr);
	memcpy(out, &sin, sizeof(sin));
}

static int configure4(int s, struct ifreq *req)
{
	struct rtentry route = { .rt_flags = RTF_UP, .rt_dev = (char[]){ TUN_LINK_NAME } };

	set_sockaddr4(&req->ifr_addr, "198.18.0.1");
	if (ioctl(s, SIOCSIFADDR, req) < 0)
		return -1;
	set_sockaddr4(&route.rt_dst, "10.0.0.0");
	set_sockaddr4(&route.rt_genmask, "255.0.0.0");
	return ioctl(s, SIOCADDRT, &route);
}

/* By netlink, since only there DAD can be left out: until its work has run the address can't be a source. */
static int add_address6(int ifindex)
{
	struct {
		struct nlmsghdr h;
		struct ifaddrmsg m;
		struct rtattr a;
		uint8_t addr[16];
	} req = {
		.h = { .nlmsg_len = sizeof(req),
		       .nlmsg_type = RTM_NEWADDR,
		       .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE },
		.m = { .ifa_family = AF_INET6,
		       .ifa_prefixlen = 128,
		       .ifa_flags = IFA_F_NODAD,
		       .ifa_index = (uint32_t)ifindex },
		.a = { .rta_len = RTA_LENGTH(16), .rta_type = IFA_LOCAL },
	};
	struct {
		struct nlmsghdr h;
		struct nlmsgerr e;
		uint8_t rest[256];
	} ack = { 0 };
	int s = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE), r = -1;

	inet_pton(AF_INET6, "fd00:5::1", req.addr);
	if (send(s, &req, sizeof(req), 0) == (ssize_t)sizeof(req) &&
	    recv(s, &ack, sizeof(ack), 0) > 0 && ack.h.nlmsg_type == NLMSG_ERROR)
		r = ack.e.error;
	close(s);
	return r;
}

static int configure6(int ifindex)
{
	struct in6_rtmsg route = { .rtmsg_dst_len = 64,
				   .rtmsg_flags = RTF_UP,
				   .rtmsg_metric = 1,
				   .rtmsg_ifindex = ifindex };
	int s = socket(AF_INET6, SOCK_DGRAM, 0), r;

	inet_pton(AF_INET6, "fd00:9::", &route.rtmsg_dst);
	r = add_address6(ifindex) < 0 ? -1 : ioctl(s, SIOCADDRT, &route);
	close(s);
	return r;
}

static int tun_link_up(void)
{
	struct ifreq req = { .ifr_name = TUN_LINK_NAME };
	int s = socket(AF_INET, SOCK_DGRAM, 0), r = -1;

	req.ifr_mtu = (int)NS_MTU;
	if (ioctl(s, SIOCSIFMTU, &req) < 0)
		goto out;
	req.ifr_qlen = TUN_LINK_QUEUE;
	if (ioctl(s, SIOCSIFTXQLEN, &req) < 0)
		goto out;
	req.ifr_flags = IFF_UP | IFF_RUNNING;
	if (ioctl(s, SIOCSIFFLAGS, &req) < 0)
		goto out;
	if (configure4(s, &req) < 0 || ioctl(s, SIOCGIFINDEX, &req) < 0)
		goto out;
	r = configure6(req.ifr_ifindex);
out:
	close(s);
	return r;
}

static int tun_link_output(void *arg, const struct iovec *iov, int n, uint16_t csum_start,
			   uint16_t csum_offset)
{
	struct tun_link *link = arg;
	struct virtio_net_hdr header = { 0 };
	struct iovec all[128] = { { .iov_base = &header, .iov_len = sizeof(header) } };

	if (csum_start) {
		header.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
		header.csum_start = csum_start;
		header.csum_offset = csum_offset;
	}
	for (int i = 0; i < n; i++)
		all[i + 1] = iov[i];
	return writev(link->fd, link->offload ? all : all + 1, link->offload ? n + 1 : n) < 0 ? -1
											      : 0;
}

static void tun_link_readable(void *arg, uint32_t events, uint64_t now_ms)
{
	struct tun_link *link = arg;
	size_t skip = link->offload ? sizeof(struct virtio_net_hdr) : 0;
	static uint8_t buf[NS_MTU + sizeof(struct virtio_net_hdr)];
	struct virtio_net_hdr header = { 0 };
	ssize_t n;

	(void)events;
	for (int i = 0;
	     i < TUN_LINK_BATCH && (n = read(link->fd, buf, sizeof(buf))) > (ssize_t)skip; i++) {
		if (link->offload)
			memcpy(&header, buf, sizeof(header));
		ns_input(link->ns, buf + skip, (size_t)n - skip,
			 header.flags & (VIRTIO_NET_HDR_F_NEEDS_CSUM | VIRTIO_NET_HDR_F_DATA_VALID),
			 now_ms);
	}
}

/* Return: 0; -1 with errno. The device goes with the descriptor. */
static int tun_link_open(struct tun_link *link, struct loop *loop, bool offload)
{
	struct ifreq req = { .ifr_name = TUN_LINK_NAME };
	int header = sizeof(struct virtio_net_hdr);

	*link = (struct tun_link){ .offload = offload };
	link->fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	req.ifr_flags = (short)(IFF_TUN | IFF_NO_PI | (offload ? IFF_VNET_HDR : 0));
	if (link->fd < 0 || ioctl(link->fd, TUNSETIFF, &req) < 0)
		return -1;
	if (offload && (ioctl(link->fd, TUNSETVNETHDRSZ, &header) < 0 ||
			ioctl(link->fd, TUNSETOFFLOAD, TUN_F_CSUM) < 0))
		return -1;
	if (tun_link_up() < 0)
		return -1;
	return loop_fd_add(loop, &link->watch, link->fd, EPOLLIN, tun_link_readable, link);
}

static void tun_link_close(struct tun_link *link, struct loop *loop)
{
	loop_fd_del(loop, &link->watch);
	close(link->fd);
}

#endif
