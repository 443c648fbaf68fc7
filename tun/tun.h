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
#define TUN_TABLE 5373U	    /* our routing table; decision 13 */
#define TUN_RULE_PRIO 5300U /* "lookup 5373"; 5299..5310 is our band */
#define TUN_RULE_FIRST 5299U
#define TUN_RULE_LAST 5310U
#define TUN_RULE_OWN 5299U /* our own sockets pass TUN_RULE_PRIO by, to TUN_RULE_PASSED */
#define TUN_RULE_PASSED 5301U
#define TUN_MARK 0x5373U /* fwmark of our own sockets */
#define TUN_NAME_MAX 15U /* IFNAMSIZ - 1 */
#define TUN_ROUTES_MAX 4096U

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
void tun_close(struct tun *t); /* the device goes; NULL is fine */
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

/** tun_addr_add() - @own: the device's address (/32 or /128 noprefixroute); one that is there already is not an error, nor is an
 * IPv6 address where IPv6 is switched off (left out, said once). Return: 0; ST_EINVAL; ST_EPERM; ST_ESYS (logged) */
int tun_addr_add(struct tun *t, const struct net_addr *own);

/* What the device carries: our prefixes and the exceptions that stay with the main table. */
enum tun_route_kind { TUN_ROUTE_DEV, TUN_ROUTE_THROW };
struct tun_route {
	struct net_prefix prefix;
	enum tun_route_kind kind;
};

/** tun_routes_set() - makes our part of table TUN_TABLE exactly @routes (adds before it deletes, in batches; the kernel's table is the
 * record: what somebody else removed comes back). The same prefix twice: the throw route wins. IPv6 is left out where it is off.
 * Return: 0; ST_EFULL beyond TUN_ROUTES_MAX; ST_ENOMEM; ST_EPERM; ST_ESYS (logged with the prefix; the other routes stand) */
int tun_routes_set(struct tun *t, const struct tun_route *routes, size_t n);

/** tun_routes_flush() - removes our routes from TUN_TABLE. A dead daemon's device routes went with its device, its throw routes did
 * not. Opens its own socket: the keeper calls it. Return: 0, also if there are none; ST_ESYS; ST_EPERM */
int tun_routes_flush(void);

/** tun_rules_add() - rule TUN_RULE_PRIO "iif lo lookup TUN_TABLE", and two that lead sockets with TUN_MARK past it, IPv4 and IPv6 (an
 * IPv6-less kernel is fine). Where rp_filter is 1 the kernel drops the answers to such sockets.
 * Return: 0; ST_EEXIST if foreign rules stand in our band (each is logged); ST_ESYS */
int tun_rules_add(void);
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

/* A netlink socket that wakes on link, address and route changes; for the loop. */
int tun_monitor_open(void);	/* Return: fd (the caller closes it); ST_ESYS */
bool tun_monitor_drain(int fd); /* reads all; true if routes, addresses or links changed */

#endif
