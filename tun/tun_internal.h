// SPDX-License-Identifier: MIT
/* tun_internal.h - what the files of tun/ share: a netlink socket and its three kinds of request */
#ifndef TUN_TUN_INTERNAL_H
#define TUN_TUN_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <libmnl/libmnl.h>

#include "base/util.h"
#include "tun/tun.h"

/* Marks routes and rules as made by us (rtm_protocol, FRA_PROTOCOL); ours: unassigned in iproute2's rt_protos */
#define TUN_RTPROT 0x53U

#define TUN_NL_MSG_MAX                                                                             \
	256U /* bytes of any request that we make; the largest is a rule's with about 200 */

#define TUN_NL_DATAGRAM_MAX                                                                        \
	32768U /* bytes; the kernel fills dumps up to the reader's buffer, 32 KiB at most */

struct tun_nl {
	struct mnl_socket *sock;
	uint32_t seq;
};

struct tun {
	int fd;
	uint32_t ifindex;
	char name[TUN_NAME_MAX + 1];
	struct tun_nl nl;
	bool told_no_ipv6, leave_unreachable;
};

/* Netlink results below are errno values, 0 for success: the caller knows which of them it can live with. */

/** tun_nl_open() - rtnetlink; tun_nl_open_of(): another of netlink's protocols. Return: 0; ST_ESYS (logged) */
int tun_nl_open(struct tun_nl *nl);
int tun_nl_open_of(struct tun_nl *nl, int protocol);
void tun_nl_close(struct tun_nl *nl);

/** tun_nl_msg() - starts a request in @buf (TUN_NL_MSG_MAX bytes, aligned for a nlmsghdr) with the next sequence number */
struct nlmsghdr *tun_nl_msg(struct tun_nl *nl, void *buf, uint16_t type, uint16_t flags);

/** tun_nl_call() - sends @req and waits for its answer. Return: 0 or an errno value; logs nothing */
int tun_nl_call(struct tun_nl *nl, struct nlmsghdr *req);

/* Requests of one batch: more answers would not fit into the socket's receive buffer (about 800 bytes each of 208 KiB) */
#define TUN_NL_BATCH_MAX 64U

/**
 * tun_nl_batch() - sends the @n requests that lie one after another in @buf, the last that tun_nl_msg() made, at once
 * @fail: called for each that the kernel refused, with its place in the batch and the errno value
 * Return: 0, refusals included; an errno value if the conversation itself failed
 */
typedef void tun_nl_fail_fn(void *arg, size_t index, int error);
int tun_nl_batch(struct tun_nl *nl, const void *buf, size_t len, size_t n, tun_nl_fail_fn *fail,
		 void *arg);

/**
 * tun_nl_dump() - @fn for every object of a dump request
 * A table that changes meanwhile is read again, and *@count goes back to what it was before the first try.
 * Return: 0 or an errno value; logs nothing
 */
typedef void tun_nl_obj_fn(void *arg, const struct nlmsghdr *nlh);
int tun_nl_dump(struct tun_nl *nl, struct nlmsghdr *req, tun_nl_obj_fn *fn, void *arg,
		size_t *count);

/** tun_nl_ask() - a request that is answered with one object, for @fn. Return: 0 or an errno value; logs nothing */
int tun_nl_ask(struct tun_nl *nl, struct nlmsghdr *req, tun_nl_obj_fn *fn, void *arg);

/** tun_nl_error() - logs what failed, @error's text and what to do about it. Return: ST_EPERM or ST_ESYS */
int tun_nl_error(int error, const char *fmt, ...) ST_PRINTF(2, 3);

/** tun_nl_no_family() - @error says that this kernel has no IPv6 at all */
bool tun_nl_no_family(int error);

/** tun_nl_addr() - an address attribute (4 or 16 bytes by @family, AF_INET or AF_INET6). Return: false if its size is wrong */
bool tun_nl_addr(struct net_addr *out, int family, const struct nlattr *attr);

/* The parts of a route that we look at. */
struct tun_seen {
	struct net_prefix dst;
	uint32_t table, oif, metric;
};

/* tun_look.c */
/** tun_route_read() - Return: false if @nlh is no route of IPv4 or IPv6; one that the kernel only cached (RTM_F_CLONED) is read */
bool tun_route_read(struct tun_seen *out, const struct nlmsghdr *nlh);
/** tun_table_dump() - @fn for each route of @table, at least: an old kernel tells of all tables. Return: 0 or an errno value, as tun_nl_dump() */
int tun_table_dump(struct tun_nl *nl, int family, uint32_t table, tun_nl_obj_fn *fn, void *arg,
		   size_t *count);
/* tun_routes.c */
/** tun_routes_close() - our routes go before their device does */
void tun_routes_close(struct tun *t);

/* One policy rule; what is 0 or empty selects nothing. */
struct tun_rule {
	uint32_t priority, table, target; /* @target: of a goto */
	uint32_t mark;
	uint8_t action; /* FR_ACT_* */
	uint8_t ipproto;
	uint16_t sport, dport;
	char iif[TUN_NAME_MAX + 1];
	struct net_prefix from, to;
	bool by_uid;
	struct tun_uids uids;
	bool not_default; /* suppress_prefixlength 0 */
	/* of rules that were read, only */
	bool inverted, odd; /* @odd: it selects by something that we never ask for */
	uint8_t family;	    /* AF_* */
	uint8_t protocol;   /* FRA_PROTOCOL */
};

#define TUN_RULES_MAX                                                                              \
	2048U /* ours: of one family in our band, two full policies while one replaces the other */

/* tun_policy.c */
bool tun_policy_ok(const struct tun_policy *p);
/** tun_policy_rules() - the rules that @p means for @family (AF_*), in the order of adding. Return: 0, *@n and *@out (the caller
 * frees it); ST_ENOMEM */
int tun_policy_rules(const struct tun_policy *p, int family, struct tun_rule **out, size_t *n);
/** tun_rule_put() - the payload of an RTM_NEWRULE for @rule, into a message of TUN_NL_MSG_MAX bytes */
void tun_rule_put(struct nlmsghdr *nlh, int family, const struct tun_rule *rule);
/** tun_rule_read() - Return: false if @nlh is no rule that can be read */
bool tun_rule_read(struct tun_rule *out, const struct nlmsghdr *nlh);
/** tun_rule_same() - do they select the same and do the same? An odd one equals none. */
bool tun_rule_same(const struct tun_rule *a, const struct tun_rule *b);

#endif
