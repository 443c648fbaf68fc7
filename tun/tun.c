// SPDX-License-Identifier: MIT
/*
 * tun.c - the device: made, read, written, given addresses
 *
 * Theory of operation: the device lives as long as its descriptor (never TUNSETPERSIST), and with it its
 * addresses and the routes through it. A virtio header of 10 bytes stands before every packet. Outgoing
 * packets of local programs come with their TCP or UDP checksum unfinished, which the kernel vouches for;
 * packets that we write may leave theirs unfinished too. Both save a pass over the bytes. No segmentation
 * offload: with an MTU of 65535 it gains nothing (tech-notes A3).
 *
 * The kernel must not talk IPv6 by itself on the device (router solicitations, DAD): address generation is
 * off before the device goes up, and our own addresses come with IFA_F_NODAD. Multicast is off as well, so that
 * mDNS responders leave the device alone.
 */
#include "tun/tun.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/if_tun.h>
#include <linux/rtnetlink.h>
#include <linux/virtio_net.h>

#include "base/err.h"
#include "base/log.h"
#include "base/text.h"
#include "tun/tun_internal.h"

#define TUN_DEVICE_FILE "/dev/net/tun"
#define WRITE_PARTS_MAX 256 /* ours: iovecs of one packet; lwIP chains far fewer */

/* Without a checksum request the header has the same size: struct virtio_net_hdr, 10 bytes. */
static const int vnet_hdr_len = sizeof(struct virtio_net_hdr);

bool tun_name_ok(const char *name)
{
	static const char allowed[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.";
	size_t len = strlen(name);

	return len > 0 && len <= TUN_NAME_MAX && strspn(name, allowed) == len && name[0] != '.' &&
	       strcmp(name, "all") != 0 && strcmp(name, "default") != 0;
}

int tun_clone_open(void)
{
	int fd = open(TUN_DEVICE_FILE, O_RDWR | O_NONBLOCK | O_CLOEXEC);

	if (fd >= 0)
		return fd;
	switch (errno) {
	case ENOENT:
	case ENODEV:
	case ENXIO:
		log_error("tun: " TUN_DEVICE_FILE " is missing: run \"modprobe tun\", or give the "
			  "container that device");
		return ST_ENOENT;
	case EPERM:
	case EACCES:
		log_error("tun: " TUN_DEVICE_FILE ": %s: run it with sudo", strerror(errno));
		return ST_EPERM;
	default: return log_sys("tun: open " TUN_DEVICE_FILE);
	}
}

/* IFF_TUN_EXCL: never attach to a device that somebody else has made persistent. */
static int make_device(struct tun *t)
{
	struct ifreq ifr = { .ifr_flags = (short)(IFF_TUN | IFF_NO_PI | IFF_VNET_HDR |
						  IFF_TUN_EXCL) };

	text_copy(ifr.ifr_name, sizeof(ifr.ifr_name), t->name);
	if (ioctl(t->fd, TUNSETIFF, &ifr) == 0)
		return 0;
	switch (errno) {
	case EBUSY:
	case EEXIST:
		log_error("tun: a network device named %s exists already: stop what made it, or "
			  "choose another name (tun.name)",
			  t->name);
		return ST_EEXIST;
	case EPERM:
	case EACCES:
		log_error("tun: making %s: %s: needs CAP_NET_ADMIN, run it with sudo", t->name,
			  strerror(errno));
		return ST_EPERM;
	default: return log_sys("tun: make the device %s", t->name);
	}
}

static int set_offload(const struct tun *t)
{
	if (ioctl(t->fd, TUNSETVNETHDRSZ, &vnet_hdr_len) < 0)
		return log_sys("tun: %s: set the packet header's size", t->name);
	if (ioctl(t->fd, TUNSETOFFLOAD, (unsigned long)TUN_F_CSUM) < 0)
		return log_sys("tun: %s: switch checksum offload on", t->name);
	return 0;
}

bool tun_ipv6_on(struct tun *t)
{
	char path[64 + TUN_NAME_MAX], c = '1';
	int fd;

	snprintf(path, sizeof(path), "/proc/sys/net/ipv6/conf/%s/disable_ipv6", t->name);
	if ((fd = open(path, O_RDONLY | O_CLOEXEC)) >= 0) {
		if (read(fd, &c, 1) != 1)
			c = '1';
		close(fd);
	}
	if (c != '0' && !t->told_no_ipv6) {
		log_info("tun: IPv6 is switched off on this machine: %s carries IPv4 only",
			 t->name);
		t->told_no_ipv6 = true;
	}
	return c == '0';
}

static struct nlmsghdr *link_msg(struct tun *t, void *buf, unsigned flags, unsigned change)
{
	struct nlmsghdr *nlh = tun_nl_msg(&t->nl, buf, RTM_NEWLINK, 0);
	struct ifinfomsg *ifi = mnl_nlmsg_put_extra_header(nlh, sizeof(*ifi));

	ifi->ifi_family = AF_UNSPEC;
	ifi->ifi_index = (int)t->ifindex;
	ifi->ifi_flags = flags;
	ifi->ifi_change = change;
	return nlh;
}

static int no_generated_addresses(struct tun *t)
{
	_Alignas(struct nlmsghdr) uint8_t buf[TUN_NL_MSG_MAX];
	struct nlmsghdr *nlh = link_msg(t, buf, 0, 0);
	struct nlattr *spec = mnl_attr_nest_start(nlh, IFLA_AF_SPEC);
	struct nlattr *inet6 = mnl_attr_nest_start(nlh, AF_INET6);
	int error;

	mnl_attr_put_u8(nlh, IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE);
	mnl_attr_nest_end(nlh, inet6);
	mnl_attr_nest_end(nlh, spec);
	if ((error = tun_nl_call(&t->nl, nlh)))
		return tun_nl_error(error, "%s: switch IPv6 autoconfiguration off", t->name);
	return 0;
}

static int set_up(struct tun *t)
{
	_Alignas(struct nlmsghdr) uint8_t buf[TUN_NL_MSG_MAX];
	struct nlmsghdr *nlh = link_msg(t, buf, IFF_UP, IFF_UP | IFF_MULTICAST);
	int error;

	mnl_attr_put_u32(nlh, IFLA_MTU, TUN_MTU);
	mnl_attr_put_u32(nlh, IFLA_TXQLEN, TUN_QUEUE_PACKETS);
	if ((error = tun_nl_call(&t->nl, nlh)))
		return tun_nl_error(error, "set %s up with an MTU of %u", t->name, TUN_MTU);
	return 0;
}

static int configure(struct tun *t)
{
	int r;

	if ((r = make_device(t)) < 0 || (r = set_offload(t)) < 0)
		return r;
	t->ifindex = if_nametoindex(t->name);
	if (t->ifindex == 0)
		return log_sys("tun: find the new device %s", t->name);
	if (tun_ipv6_on(t) && (r = no_generated_addresses(t)) < 0)
		return r;
	return set_up(t);
}

int tun_open(struct tun **out, const char *name, int clone_fd)
{
	struct tun *t;
	int r;

	if (!tun_name_ok(name)) {
		log_error("tun: \"%s\" is no name for a device: 1 to %u of letters, digits, _ - .",
			  text_safe(name).s, TUN_NAME_MAX);
		close(clone_fd);
		return ST_EINVAL;
	}
	if (!(t = calloc(1, sizeof(*t)))) {
		close(clone_fd);
		return ST_ENOMEM;
	}
	text_copy(t->name, sizeof(t->name), name);
	t->fd = clone_fd;
	if ((r = tun_nl_open(&t->nl)) < 0)
		goto fail_fd;
	if ((r = configure(t)) < 0)
		goto fail_nl;
	log_debug("tun: %s is up, index %u", t->name, t->ifindex);
	*out = t;
	return 0;
fail_nl:
	tun_nl_close(&t->nl);
fail_fd:
	close(t->fd);
	free(t);
	return r;
}

void tun_close(struct tun *t)
{
	if (!t)
		return;
	tun_routes_close(t); /* throw and unreachable routes have no device and would stay */
	tun_nl_close(&t->nl);
	close(t->fd);
	free(t);
}

void tun_leave_unreachable(struct tun *t, bool on)
{
	t->leave_unreachable = on;
}

int tun_fd(const struct tun *t)
{
	return t->fd;
}

const char *tun_name(const struct tun *t)
{
	return t->name;
}

uint32_t tun_ifindex(const struct tun *t)
{
	return t->ifindex;
}

ssize_t tun_read(struct tun *t, uint8_t *buf, size_t cap, bool *csum_ok)
{
	struct virtio_net_hdr hdr;
	struct iovec iov[2] = { { .iov_base = &hdr, .iov_len = sizeof(hdr) },
				{ .iov_base = buf, .iov_len = cap } };
	ssize_t got = readv(t->fd, iov, 2);

	if (got < 0) {
		if (errno == EAGAIN || errno == EINTR)
			return ST_EAGAIN;
		if (errno == EBADFD || errno == ENODEV)
			return ST_ECLOSED;
		return log_sys("tun: read a packet from %s", t->name);
	}
	if (got < vnet_hdr_len) {
		log_error("tun: %s gave %zd bytes, less than its packet header", t->name, got);
		return ST_ESYS;
	}
	*csum_ok = (hdr.flags & (VIRTIO_NET_HDR_F_NEEDS_CSUM | VIRTIO_NET_HDR_F_DATA_VALID)) != 0;
	return got - vnet_hdr_len;
}

int tun_writev(struct tun *t, const struct iovec *iov, int n, uint16_t csum_start,
	       uint16_t csum_offset)
{
	struct virtio_net_hdr hdr = { .gso_type = VIRTIO_NET_HDR_GSO_NONE };
	struct iovec parts[WRITE_PARTS_MAX + 1];

	if (n < 1 || n > WRITE_PARTS_MAX)
		return ST_EINVAL;
	if (csum_start > 0) {
		hdr.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
		hdr.csum_start = csum_start;
		hdr.csum_offset = csum_offset;
	}
	parts[0] = (struct iovec){ .iov_base = &hdr, .iov_len = sizeof(hdr) };
	memcpy(&parts[1], iov, (size_t)n * sizeof(*iov));
	if (writev(t->fd, parts, n + 1) >= 0)
		return 0;
	if (errno == EAGAIN || errno == EINTR || errno == ENOBUFS || errno == ENOMEM)
		return ST_EAGAIN;
	/* Not an error line: a device that was set down refuses every packet, and the monitor tells of it. */
	log_debug("tun: write a packet to %s: %s", t->name, strerror(errno));
	return ST_ESYS;
}

int tun_addr_add(struct tun *t, const struct net_addr *own)
{
	_Alignas(struct nlmsghdr) uint8_t buf[TUN_NL_MSG_MAX];
	struct nlmsghdr *nlh;
	struct ifaddrmsg *ifa;
	char text[NET_ADDR_STR];
	int error;

	if (own->family != 4 && own->family != 6)
		return ST_EINVAL;
	if (own->family == 6 && !tun_ipv6_on(t))
		return 0;
	nlh = tun_nl_msg(&t->nl, buf, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL);
	ifa = mnl_nlmsg_put_extra_header(nlh, sizeof(*ifa));
	ifa->ifa_family = own->family == 6 ? AF_INET6 : AF_INET;
	ifa->ifa_prefixlen = net_addr_bits(own);
	ifa->ifa_scope = RT_SCOPE_UNIVERSE;
	ifa->ifa_index = t->ifindex;
	mnl_attr_put(nlh, IFA_LOCAL, net_addr_bytes(own), own->b);
	mnl_attr_put(nlh, IFA_ADDRESS, net_addr_bytes(own), own->b);
	mnl_attr_put_u32(nlh, IFA_FLAGS, IFA_F_NODAD | IFA_F_NOPREFIXROUTE);
	error = tun_nl_call(&t->nl, nlh);
	if (error && error != EEXIST)
		return tun_nl_error(error, "address %s on %s", net_addr_str(text, own), t->name);
	return 0;
}

bool tun_device_exists(const char *name)
{
	return if_nametoindex(name) != 0;
}
