// SPDX-License-Identifier: MIT
/*
 * tun.h - the TUN device, its addresses, our routing table and policy rules, by netlink (libmnl)
 *
 * Needs CAP_NET_ADMIN. Device, addresses and the routes through the device vanish with the descriptor; policy rules and
 * throw routes (which have no device) do not, and are what the keeper removes. Facts: design, decisions 12 to 14; tech-notes A3 and H.
 */
#ifndef TUN_TUN_H
#define TUN_TUN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/addr.h"

#define TUN_MTU 65535U
#define TUN_QUEUE_PACKETS                                                                          \
	4096U /* ours: a burst of 1,000 connects overruns the default of 500, and a lost SYN costs a second */
#define TUN_TABLE 5373U /* our routing table; decision 13 */
#define TUN_TABLE_ALL                                                                              \
	5374U /* the whole machine's traffic, in system mode; and queries to resolvers, which come to us */
/*
 * Our band of policy rules, each per family; 5299..5310 must be free of others' at start.
 *
 *   5299  iif lo fwmark 0x5373 goto 5309                     our own sockets pass all of it by
 *   5299  iif DEVICE goto 5309                               forward: what comes out of our device never goes back into it
 *   5300  iif lo ipproto udp dport 67 (547) goto 5309        system mode: DHCP renewals
 *   5301  iif lo ipproto udp|tcp dport 53 [to RESOLVER] lookup 5374   queries: all (system mode), or those to the former resolvers
 *   5301  iif lo from OWN [to RESOLVER] lookup 5374          the same as strict rp_filter asks it, without ports
 *   5302  iif lo lookup 5373                                 what the rules need
 *   5302  iif lo to STACK lookup 5373                        access list: our DNS server is everybody's
 *   5302  iif lo from OWN lookup 5373                        access list: as strict rp_filter asks it, as user 0
 *   5303  iif lo lookup main suppress_prefixlength 0         system mode: local networks
 *   5304  iif lo lookup 5374                                 system mode: the rest
 *   5309  nop
 *
 * Without "iif lo" in 5301 to 5304 and for the mark in 5299 with forward. With an access list 5301, 5302 and 5304 stand once for each
 * uidrange. 5300: IPv4 with sport 68. OWN is the device's IPv4 address; why: tun_policy.c.
 */
#define TUN_RULE_FIRST 5299U
#define TUN_RULE_OWN 5299U
#define TUN_RULE_DHCP 5300U
#define TUN_RULE_DNS 5301U
#define TUN_RULE_PRIO 5302U
#define TUN_RULE_MAIN 5303U
#define TUN_RULE_ALL 5304U
#define TUN_RULE_PASSED 5309U
#define TUN_RULE_LAST 5310U
#define TUN_MARK 0x5373U /* fwmark of our own sockets */
#define TUN_NAME_MAX 15U /* IFNAMSIZ - 1 */
#define TUN_ROUTES_MAX 16384U
#define TUN_UIDS_MAX 64U /* ranges of an access list */
#define TUN_RESOLVERS_MAX 8U

struct tun;

/** tun_name_ok() - is @name one that tun_open() takes? 1 to TUN_NAME_MAX of letters, digits, _ - . */
bool tun_name_ok(const char *name);
/** tun_clone_open() - open /dev/net/tun; as root, since some machines let nobody else (udev's default is everybody)
 * Return: the descriptor for tun_open(); ST_ENOENT (no /dev/net/tun); ST_EPERM; ST_ESYS. Logged with what to do. */
int tun_clone_open(void);
/** tun_open() - make the device @name with checksum offload, MTU TUN_MTU, up, without IPv6 autoconfiguration
 * Takes @clone_fd, also on failure. Return: 0 and *@out; ST_EINVAL (no name for a device); ST_EEXIST if a device of that name
 * exists; ST_EPERM; ST_ENOMEM; ST_ESYS. Logged with what to do. */
int tun_open(struct tun **out, const char *name, int clone_fd);
void tun_close(struct tun *t); /* the device goes, and with it all of our routes; NULL is fine */
/** tun_leave_unreachable() - tun_close() leaves the unreachable routes of both tables (fail_closed, where it is not `down` that ends us) */
void tun_leave_unreachable(struct tun *t, bool on);
int tun_fd(const struct tun *t);
const char *tun_name(const struct tun *t);
uint32_t tun_ifindex(const struct tun *t);

/** tun_read() - one packet without its virtio header. *@csum_ok: the kernel vouches for the TCP/UDP checksum (it may be left blank).
 * Return: bytes; ST_EAGAIN; ST_ECLOSED (device gone); ST_ESYS */
ssize_t tun_read(struct tun *t, uint8_t *buf, size_t cap, bool *csum_ok);
/** tun_writev() - one packet. @csum_start: offset of the TCP header whose checksum field holds the pseudo-header's sum for the kernel to
 * finish at @csum_start + @csum_offset; 0: the packet is complete. Return: 0; ST_EAGAIN (queue full: drop it, TCP repeats);
 * ST_EINVAL (no part, or more than 256); ST_ESYS (not logged above debug) */
int tun_writev(struct tun *t, const struct iovec *iov, int n, uint16_t csum_start,
	       uint16_t csum_offset);

/** tun_ipv6_on() - does the device take IPv6? Says so once if not. */
bool tun_ipv6_on(struct tun *t);

/** tun_addr_add() - @own: the device's address (/32 or /128 noprefixroute); one that is there already is not an error, nor is an
 * IPv6 address where IPv6 is switched off (left out, said once). Return: 0; ST_EINVAL; ST_EPERM; ST_ESYS (logged) */
int tun_addr_add(struct tun *t, const struct net_addr *own);

/* What the device carries: our prefixes and the exceptions that stay with the main table. */
enum tun_route_kind {
	TUN_ROUTE_DEV,
	TUN_ROUTE_THROW,
	TUN_ROUTE_UNREACHABLE, /* stands behind the device's own route of that prefix (a higher metric), so that it counts once the
				  device has gone (fail_closed), or alone (IPv6 that nobody carries) */
};
struct tun_route {
	struct net_prefix prefix;
	enum tun_route_kind kind;
};

/** tun_routes_set() - makes our part of table @table (TUN_TABLE or TUN_TABLE_ALL) exactly @routes (adds before it deletes, in batches; the kernel's table is the
 * record: what somebody else removed comes back). The same prefix twice: the throw route wins over the device; unreachable stands
 * beside it. IPv6 routes through the device are left out where it is off for the device, all of IPv6 where the kernel has none.
 * Return: 0; ST_EFULL beyond TUN_ROUTES_MAX; ST_ENOMEM; ST_EPERM; ST_ESYS (logged with the prefix; the other routes stand) */
int tun_routes_set(struct tun *t, uint32_t table, const struct tun_route *routes, size_t n);
/** tun_route_host() - one address into the device, in TUN_TABLE, at once (@on), or no longer; there already or gone already is fine. The next
 * tun_routes_set() must name it or it goes. Return: 0; ST_ESYS; ST_EPERM */
int tun_route_host(struct tun *t, const struct net_addr *a, bool on);

/** tun_routes_flush() - removes our routes from both tables. A dead daemon's device routes went with its device, its throw and unreachable
 * routes did not. Opens its own socket: the keeper calls it. Return: 0, also if there are none; ST_ESYS; ST_EPERM */
int tun_routes_flush(void);

struct tun_uids {
	uint32_t first, last;
};

/* Which packets our rules are for. */
struct tun_policy {
	bool system;  /* the whole machine's traffic */
	bool forward; /* other machines' and containers' packets too */
	struct tun_uids uids
		[TUN_UIDS_MAX]; /* locally made packets of these users only; @n_uids 0: of all. Not with forward */
	size_t n_uids;
	struct net_addr resolvers
		[TUN_RESOLVERS_MAX]; /* queries to these come to us (not in system mode, where all do) */
	size_t n_resolvers;
	char device[TUN_NAME_MAX + 1]; /* ours; needed with forward */
	struct net_addr
		own; /* the device's IPv4 address, needed with any of the above but forward; family 0: none */
	struct net_addr stack[2]; /* our DNS server's, needed with @uids; family 0: none */
};

/** tun_rules_set() - makes our rules exactly what @p needs, IPv4 and IPv6 (an IPv6-less kernel is fine): adds before it deletes, and leaves
 * alone what stands as it should. Needs Linux 4.17 for ports.
 * Return: 0; ST_EEXIST if foreign rules stand in our band (each is logged), nothing was changed; ST_EINVAL (a range of users that ends before it
 * begins, too many, forward with users or without a device); ST_ENOMEM; ST_EPERM; ST_ESYS (logged): what was there before may still
 * stand beside what could be added. An access list needs tun_socket_uid() beside it: a user may bind our device or its address */
int tun_rules_set(const struct tun_policy *p);
/** tun_rules_del() - removes our rules: those in our band that carry our protocol number; none is fine. Opens its own socket:
 * the keeper calls it. Return: how many; ST_ESYS */
int tun_rules_del(void);
/** tun_rules_foreign() - rules in our band that are not ours, as text for a message ("5301: from all lookup 12"). Return: count, at most @cap */
int tun_rules_foreign(char (*out)[128], size_t cap);

/** tun_device_exists() - is there a network device of that name in this namespace? */
bool tun_device_exists(const char *name);

/** tun_main_routes() - the routes of the main table (both families) but default and those through @skip_ifindex: what decides collisions
 * and throw routes. Return: count (at most @cap); ST_ESYS; ST_EFULL */
struct tun_main_route {
	struct net_prefix prefix;
	uint32_t ifindex;
	char ifname[TUN_NAME_MAX + 1];
};
int tun_main_routes(struct tun_main_route *out, size_t cap, uint32_t skip_ifindex);

/** tun_rp_filter() - how strictly the kernel checks where packets come from (sysctl rp_filter), on the strictest interface that is up;
 * loopback and our own device (@skip_device; NULL: none) left out. On each the higher of its own value and all's is in force.
 * Return: 1 strict; 2 loose; 0 nowhere; ST_ESYS */
int tun_rp_filter(const char *skip_device);

/* What the kernel would do with a packet of ours to @dst; for explain. */
struct tun_path {
	char ifname[TUN_NAME_MAX + 1]; /* "" with unreachable, prohibit, blackhole */
	uint32_t table;
	struct net_addr gateway, source; /* family 0: none */
	int error;			 /* errno value of connect(): ENETUNREACH …; 0 */
};
/** tun_path_get() - for a socket of user @uid without our mark. Return: 0; ST_EINVAL (no address); ST_EPERM; ST_ESYS */
int tun_path_get(const struct net_addr *dst, uint32_t uid, struct tun_path *out);

/** tun_socket_uid() - whose socket sends from @src to @dst? By sock_diag, for sockets of this network namespace: those of TCP that connect
 * or are connected, of UDP also unconnected ones; bound to no device or to @t (NULL: to none).
 * Return: 0 and *@uid; ST_ENOENT (none: forwarded from elsewhere, closed by now, or bound to another device); ST_EINVAL (families
 * differ); ST_ESYS */
int tun_socket_uid(const struct tun *t, const struct net_endpoint *src,
		   const struct net_endpoint *dst, bool tcp, uint32_t *uid);

/* A netlink socket that wakes on link, address and route changes; for the loop. */
int tun_monitor_open(void);	/* Return: fd (the caller closes it); ST_ESYS */
bool tun_monitor_drain(int fd); /* reads all; true if routes, addresses or links changed */

#endif
