// SPDX-License-Identifier: MIT
/*
 * router.h - rules and the life of a flow (design, section 3)
 *
 * A held SYN comes from netstack; the rule is found; an upstream opens a channel; only when the far side has connected is
 * the SYN answered. Then bytes are pumped with credit, each direction closing by itself.
 */
#ifndef ROUTER_ROUTER_H
#define ROUTER_ROUTER_H

#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/loop.h"
#include "direct/direct.h"
#include "dns/dns.h"
#include "netstack/netstack.h"
#include "router/rt_names.h"
#include "router/rt_rules.h"
#include "tunnel/tunnel.h"

#define RT_FLOWS_MAX 4096U
#define RT_TURN_BYTES                                                                              \
	KIB(64) /* one flow and direction moves at most this much per turn: fairness (ours) */
#define RT_UPSTREAMS_MAX 128U /* slots: those of the file (64) and as many that a reload retires */
#define RT_MEMORY_BYTES MIB(96) /* payload bytes held by the process; at it new flows get RST */

struct rt;

/* What a rule's upstream index names: a slot that stays the same over reloads. */
struct rt_upstream {
	const char *name;	      /* borrowed while the slot is used */
	struct tnl_upstream *tnl;     /* borrowed; NULL: the slot is free */
	struct net_endpoint resolver; /* as its far side sees it */
	bool ipv6; /* its VPC carries IPv6: AAAA is answered; without it IPv6 that no rule holds is unreachable */
};

struct rt_opts {
	struct loop *loop;
	uint32_t flows_max;	    /* 0: RT_FLOWS_MAX */
	uint64_t memory_bytes;	    /* 0: RT_MEMORY_BYTES */
	uint32_t mark;		    /* SO_MARK of direct flows and of the resolver's sockets */
	uint32_t connect_budget_ms; /* of direct flows; 0: DIR_CONNECT_BUDGET_MS */
};

/* All that a reload may change, in one piece. */
struct rt_table {
	struct rt_rules *rules; /* by address */
	struct rt_names *names; /* by name */
	enum rt_action
		default_action; /* for a destination that no rule holds; RT_UPSTREAM with default_upstream */
	uint32_t default_upstream;
	bool names_default; /* names that no rule holds go to default_upstream's resolver, with real addresses (system mode but
			       public: local); else to the resolvers that were there before */
	bool rebind_block;
};

/** rt_new() - Return: 0; ST_ENOMEM */
int rt_new(struct rt **out, const struct rt_opts *opts);
void rt_free(struct rt *r); /* resets every flow */

/** rt_ns_events() - what the netstack calls; its arg is the struct rt */
const struct ns_events *rt_ns_events(void);
/** rt_set_netstack() - borrowed for life; before the first packet */
void rt_set_netstack(struct rt *r, struct ns *ns);
/** rt_set_upstream() - fills or frees slot @slot; a slot is freed only when no table names it and its flows have gone */
void rt_set_upstream(struct rt *r, uint32_t slot, const struct rt_upstream *u);
/** rt_set_table() - takes @t's rules and names; the former ones are freed. A flow whose destination they give to another upstream, or to
 * none, is reset: its packets will not come here any more, or would go elsewhere. The others live on; so do those whose new slot has the
 * former's name (an upstream with other settings), by the former slot. Channels to resolvers of slots that no rule names any more
 * are closed. */
void rt_set_table(struct rt *r, const struct rt_table *t);
const struct rt_table *rt_table(const struct rt *r);

struct rt_stats {
	uint32_t flows; /* live now, held ones included */
	uint32_t resolving, opening;
	uint32_t dns_clients; /* connections to the DNS server */
	uint32_t learned;     /* addresses that are routed for a name (RT_DNS_TUNNEL) */
	uint32_t probes;      /* pings that wait for a TCP probe */
	uint64_t opened, refused, timed_out, reset; /* since the start */
	uint64_t bytes_up, bytes_down;
};
void rt_stats(const struct rt *r, struct rt_stats *out);

/* ---- names */

enum rt_dns_mode { RT_DNS_FAKE, RT_DNS_TUNNEL, RT_DNS_OFF };

struct rt_dns_opts {
	enum rt_dns_mode
		mode; /* RT_DNS_OFF: queries to the stack's address are answered REFUSED, fake flows get RST */
	struct net_addr stack4, stack6; /* where the server listens, port 53; family 0: none */
	struct net_prefix fake4, fake6; /* as struct dns_opts */
	const char *map_path;
	/* RT_DNS_TUNNEL: @addr must be routed to us before the answer leaves; called again when it no longer need be (@on false).
	 * Return: 0; a negative ST_E* */
	int (*route)(void *arg, const struct net_addr *addr, bool on);
	/* may who sent from @src (UDP, or TCP with @tcp) use our routes? NULL: everybody may (access: all) */
	bool (*may)(void *arg, const struct net_endpoint *src, const struct net_endpoint *dst,
		    bool tcp);
	void *arg;
};
/** rt_dns_start() - once, after rt_set_table(), before the first packet. Return: as dns_new() */
int rt_dns_start(struct rt *r, const struct rt_dns_opts *opts);
/** rt_dns_mode() - another mode from now on (reload); addresses handed out before stay good */
void rt_dns_mode(struct rt *r, enum rt_dns_mode mode);
/** rt_dns_forwarders() - the resolvers that were there before, at most DNS_FORWARDERS_MAX; this and the following also before
 * rt_dns_start() */
void rt_dns_forwarders(struct rt *r, const struct net_endpoint *v, size_t n);
/** rt_dns_network_changed() - as dns_network_changed() */
void rt_dns_network_changed(struct rt *r);
/** rt_dns_own_name() - a host that this process itself connects to (an AWS endpoint, a proxy): always asked of the resolvers that
 * were there before, or a tunnel would wait for itself. At most 256, then the oldest goes */
void rt_dns_own_name(struct rt *r, const char *host);
void rt_dns_stats(const struct rt *r, struct dns_stats *out);
/** rt_dns_learned() - addresses that opts->route() was last told to route: whoever makes the whole table anew names them again
 * Return: count, at most @cap; RT_LEARNED_MAX are enough */
#define RT_LEARNED_MAX 4096U
size_t rt_dns_learned(const struct rt *r, struct net_addr *out, size_t cap);

/* ---- explain: why a destination goes where it goes */

struct rt_why {
	char name[DNS_NAME_MAX]; /* asked for, or whose fake or learned address it is; "" */
	struct net_addr addr;	 /* asked for, or the fake one that the name has; family 0: none */
	bool fake, learned; /* @addr is a fake address; @addr was given for @name by its resolver */
	bool unknown_fake;  /* a fake address that is nobody's, or one of our own: RST */
	const struct rt_rule *rule;	      /* that decides by address; NULL */
	const struct rt_name_rule *name_rule; /* that decides by name; NULL */
	bool is_default;		      /* no rule does */
	bool never;			      /* loopback, link-local …: decision 13 */
	bool no_ipv6; /* the default upstream does not carry IPv6: unreachable */
	enum rt_action action;
	uint32_t upstream;	/* slot, with RT_UPSTREAM */
	struct dns_verdict dns; /* who is asked for the name */
};
/** rt_explain() - @host: a name or an address. Nothing is asked or changed. Return: 0; ST_EFORMAT (neither) */
int rt_explain(struct rt *r, const char *host, struct rt_why *out);

#endif
