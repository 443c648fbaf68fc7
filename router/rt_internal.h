// SPDX-License-Identifier: MIT
/* rt_internal.h - what the files of router/ share; only router/ and its tests include it */
#ifndef ROUTER_RT_INTERNAL_H
#define ROUTER_RT_INTERNAL_H

#include <stdbool.h>

#include "base/list.h"
#include "router/router.h"
#include "router/rt_far.h"
#include "router/rt_side.h"

/* ---- where a destination goes: router.c */

/* Pointers are good until the table changes, @name until the loop goes on. */
struct rt_dest {
	enum rt_action action;
	uint32_t upstream;		      /* slot, with RT_UPSTREAM */
	const char *name;		      /* whose address it is; NULL: known by address only */
	const struct rt_rule *rule;	      /* decides by address; NULL */
	const struct rt_name_rule *name_rule; /* decides by name; NULL */
	bool fake, learned, unknown_fake, never;
	bool no_ipv6; /* the default upstream, which does not carry IPv6: RT_REJECT, as unreachable */
};

/** rt_dest_of_addr() - fake, then learned, then by prefix, then the default */
void rt_dest_of_addr(struct rt *r, const struct net_addr *dst, struct rt_dest *out);
/** rt_dest_of_name() - by rule of @name; else the default */
void rt_dest_of_name(const struct rt *r, const char *name, struct rt_dest *out);
/** rt_upstream_of() - who serves slot @slot; NULL: nobody (any more) */
struct tnl_upstream *rt_upstream_of(const struct rt *r, uint32_t slot);
/** rt_flow_to() - does a flow go to @dst now? */
bool rt_flow_to(const struct rt *r, const struct net_addr *dst);
/** rt_addr_hash() - spreads addresses over tables of a power of two */
uint32_t rt_addr_hash(const struct net_addr *a);

/* ---- the netstack's connections: a flow, or a client of the DNS server */

/* What the netstack's events name; the first member of its owner. */
struct rt_app {
	const struct rt_app_ops *ops;
};
struct rt_app_ops {
	void (*established)(struct rt_app *app);
	void (*io)(struct rt_app *app);
	void (*end)(struct rt_app *app,
		    bool orderly); /* the last: both FINs acknowledged, or it has gone */
};

/*
 * A flow's states.
 *
 * RESOLVING    the SYN is held, the name of its destination is asked for. Ends by addresses, failure, or the application giving up.
 * OPENING      the SYN is held, the far side is connecting. Ends by opened, failed, or the application giving up.
 * ACCEPTED     the far side has connected, the SYN was answered; the application's ACK is awaited. The channel may
 *              already bring bytes; they wait in its window.
 * OPEN         bytes are pumped; the two halves close independently.
 * CLOSING      both halves are shut and the channel is closed; the application's last ACK is awaited.
 * DEAD         waits for the reaper; no side is left.
 */
enum flow_state {
	FLOW_RESOLVING,
	FLOW_OPENING,
	FLOW_ACCEPTED,
	FLOW_OPEN,
	FLOW_CLOSING,
	FLOW_DEAD,
	FLOW_STATE_N
};

enum side_index { APP, FAR };

/* One direction, named by the side it reads from: OPEN until that side's end of file was passed on. */
enum flow_half { HALF_OPEN, HALF_SHUT };

struct flow {
	struct rt_app app;
	struct rt *rt;
	struct list_node all;	 /* in rt->flows, or rt->dead */
	struct list_node ready;	 /* in rt->ready while one side may have work */
	struct list_node by_dst; /* in rt->by_dst */
	enum flow_state state;
	struct rt_side side[2];
	struct rt_far far; /* side[FAR] is its side once it has one */
	enum flow_half half[2];
	uint64_t bytes[2]; /* moved, by the side read from */
	uint64_t number;   /* for log lines */
	uint64_t since_ms;
	struct ns_flow_key key;
	char *name;	       /* whose fake or learned address the destination is; NULL: none's */
	bool fake;	       /* the destination stands for the name */
	enum rt_action action; /* as it was judged when it came */
	uint32_t upstream;     /* slot, with RT_UPSTREAM */
};

#define RT_DST_BUCKETS 1024U /* of flows by destination; a power of two */

struct rt {
	struct loop *loop;
	struct ns *ns;
	struct dir *dir;
	struct rt_upstream upstreams[RT_UPSTREAMS_MAX]; /* slots */
	uint32_t flows_max;
	uint64_t memory_bytes;
	uint32_t mark, connect_budget_ms;
	struct rt_table table;
	struct list flows, ready, dead;
	struct list by_dst[RT_DST_BUCKETS];
	struct loop_task pump_task, reap_task;
	uint64_t next_number;
	struct rt_stats stats;
	uint8_t *scratch;      /* RT_TURN_BYTES: bytes between read and write of one step */
	struct rt_dns *dns;    /* NULL: not started */
	struct list own_names; /* of rt_dns.c's, the last told first; also before the start */
	uint32_t n_own_names;
	struct net_endpoint forwarders[DNS_FORWARDERS_MAX]; /* also before the start */
	size_t n_forwarders;
	struct rt_learned *learned;
	struct rt_alive *alive;
};

/** flow_new() - a flow for a held connection, to @dest; or NULL */
struct flow *flow_new(struct rt *r, ns_conn c, const struct ns_flow_key *key,
		      const struct rt_dest *dest);
/** flow_connect() - towards @dest, an upstream or direct; on failure the flow is already refused and dead */
void flow_connect(struct flow *f, const struct rt_dest *dest);
/** flow_refuse() - answer the held SYN and let the flow die */
void flow_refuse(struct flow *f, enum ns_refusal why);
/** flow_reset() - RST to whoever is left, and die */
void flow_reset(struct flow *f, const char *why);
/** flow_is_held() - its SYN has not been answered yet */
static inline bool flow_is_held(const struct flow *f)
{
	return f->state == FLOW_RESOLVING || f->state == FLOW_OPENING;
}

/* The tasks of struct rt. */
void rt_pump(void *arg, uint64_t now_ms);
void rt_reap(void *arg, uint64_t now_ms);

/* ---- names: rt_dns.c, rt_dns_udp.c, rt_dns_tcp.c */

struct dns *rt_dns_of(const struct rt *r); /* NULL: not started */
bool rt_dns_is_off(const struct rt *r);
void rt_dns_free(struct rt *r);
void rt_own_names_free(struct rt *r);
void rt_dns_table_changed(struct rt *r);
void rt_dns_upstream_gone(struct rt *r, uint32_t slot);
/** rt_dns_judge() - the dns_hooks' judge; @arg: the struct rt */
void rt_dns_judge(void *arg, const char *name, struct dns_verdict *out);

/* What is done with a query, by where it goes to. */
enum rt_query {
	RT_QUERY_SERVE, /* our own server */
	RT_QUERY_RELAY, /* handed through an upstream to that very address; by TCP a flow as any other */
	RT_QUERY_REFUSE, /* port unreachable; by TCP as the flow's rule says */
	RT_QUERY_DROP
};
/** rt_dns_query_to() - @via is filled in for RT_QUERY_RELAY */
enum rt_query rt_dns_query_to(struct rt *r, const struct net_endpoint *dst, struct dns_via *via);
/** rt_dns_serves() - is a connection to @dst one to our own server? */
bool rt_dns_serves(struct rt *r, const struct net_endpoint *dst);
/** rt_dns_may() - may who sent this use our routes? */
bool rt_dns_may(const struct rt *r, const struct ns_flow_key *key, bool tcp);

/** rt_udp() - ns_events.udp */
bool rt_udp(void *arg, const struct ns_flow_key *key, const uint8_t *p, size_t len);
struct rt_udp_asks;
int rt_udp_asks_new(struct rt_udp_asks **out, struct rt *r);
void rt_udp_asks_free(struct rt_udp_asks *u); /* dns must have been freed: no reply may follow */

/** rt_dns_tcp_accept() - serve a held connection; Return: its owner, or NULL at a limit */
struct rt_app *rt_dns_tcp_accept(struct rt *r, ns_conn c, const struct ns_flow_key *key);
struct rt_dns_tcp;
int rt_dns_tcp_new(struct rt_dns_tcp **out, struct rt *r);
void rt_dns_tcp_free(struct rt_dns_tcp *t); /* resets its connections and cancels their queries */
uint32_t rt_dns_tcp_count(const struct rt_dns_tcp *t);

/* The struct rt_dns, as its three files see it. */
struct rt_dns {
	struct rt *rt;
	struct dns *dns;
	struct rt_dns_opts opts;
	struct hnd_table dials;
	struct rt_udp_asks *udp;
	struct rt_dns_tcp *tcp;
};

/* ---- learned addresses: rt_learned.c */

int rt_learned_new(struct rt_learned **out, struct rt *r);
void rt_learned_free(struct rt_learned *l); /* routes are left to whoever made the table */
/** rt_learned_add() - the dns_hooks' learned; @arg: the struct rt */
int rt_learned_add(void *arg, const char *name, const struct dns_via *via,
		   const struct net_addr *addr, uint32_t ttl_s);
/** rt_learned_name() - whose address is @a? NULL: nobody's */
const char *rt_learned_name(const struct rt *r, const struct net_addr *a);
/** rt_learned_check() - forgets what no rule of a name leads to any more */
void rt_learned_check(struct rt *r);
uint32_t rt_learned_count(const struct rt_learned *l);

/* ---- ping: rt_alive.c */

int rt_alive_new(struct rt_alive **out, struct rt *r);
void rt_alive_free(struct rt_alive *a);
uint32_t rt_alive_probes(const struct rt_alive *a); /* under way */
/** rt_alive_seen() - a connection to @dst opened or was refused: somebody is there */
void rt_alive_seen(struct rt *r, const struct net_addr *dst);
/** rt_alive_forget() - the rules have changed */
void rt_alive_forget(struct rt *r);
/** rt_echo() - ns_events.echo */
void rt_echo(void *arg, const struct net_addr *src, const struct net_addr *dst,
	     const uint8_t *packet, size_t len);

#endif
