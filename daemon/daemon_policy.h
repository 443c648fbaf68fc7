// SPDX-License-Identifier: MIT
/* daemon_policy.h - what the kernel is told, made from a configuration and what was found on this machine; no I/O but passwd's */
#ifndef DAEMON_DAEMON_POLICY_H
#define DAEMON_DAEMON_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "config/config.h"
#include "router/rt_kernel.h"
#include "tun/tun.h"

/* Whom an access list means: looked up once for a configuration, since passwd may be behind a network. */
struct policy_users {
	struct tun_uids uids[TUN_UIDS_MAX]; /* in order, no two neighbours */
	size_t n;
};
/** daemon_policy_users() - Return: 0; ST_ENOENT: access names a user that this machine does not know (logged), *@out is untouched and
 * *@unknown is that one, of @c */
int daemon_policy_users(struct policy_users *out, const struct config *c, const char **unknown);

/* What was found on this machine, and how far we are. */
struct policy_facts {
	const struct policy_users *users;
	bool engaged; /* system mode may begin: `up` is up */
	bool capture; /* /etc/resolv.conf names the former resolvers beside us: queries to them come to us */
	const struct net_addr *former; /* resolvers that were there before */
	size_t n_former;
	struct net_addr own;	  /* the device's IPv4 address */
	struct net_addr stack[2]; /* our server's; family 0: none */
};

/** daemon_policy_make() - the policy rules */
void daemon_policy_make(struct tun_policy *out, const struct config *c,
			const struct policy_facts *f);
/** daemon_policy_may() - are packets of user @uid for us? */
bool daemon_policy_may(const struct tun_policy *p, uint32_t uid);
enum policy_filter { POLICY_FILTER_NONE, POLICY_FILTER_WISHED, POLICY_FILTER_MUST };
/** daemon_policy_filter() - does @c need our nftables table, where rp_filter is @rp_filter (0, 1 or 2)? MUST: it can't work without */
enum policy_filter daemon_policy_filter(const struct config *c, int rp_filter);

/* Table 5373. */
struct policy_main {
	const struct rt_kernel_route *routes; /* of the rules */
	size_t n_routes;
	const struct rt_rules *rules;
	struct net_addr stack[2];	/* family 0: none */
	struct net_prefix ranges[2];	/* of fake addresses; family 0: none */
	const struct net_addr *learned; /* host routes */
	size_t n_learned;
	const struct net_addr *former; /* thrown back where a rule's prefix holds them */
	size_t n_former;
	bool fail_closed;
};
/** daemon_policy_main() - *@out is the caller's to free(). Return: count; ST_ENOMEM */
int daemon_policy_main(struct tun_route **out, const struct policy_main *m);
/** daemon_policy_is_thrown() - is @former a resolver whose address a rule's prefix holds, without naming that very address? */
bool daemon_policy_is_thrown(const struct rt_rules *rules, const struct net_addr *former);

#define POLICY_ALL_MAX 32U
/** daemon_policy_all() - table 5374: all that policy @p sends there. @ipv6: the default upstream carries it; else the router refuses it, since
 * an unreachable route would outlive a kill of all our processes. @device6: the device takes IPv6; else it is such a route after all. Return:
 * count; 0: not needed */
size_t daemon_policy_all(struct tun_route out[POLICY_ALL_MAX], const struct config *c,
			 const struct tun_policy *p, bool ipv6, bool device6);

#endif
