// SPDX-License-Identifier: MIT
/*
 * rt_world.h - everything around the router, scripted: netstack, tunnel, direct and dns
 *
 * The functions of those folders that the router calls are defined in rt_world*.c and so taken instead of the
 * libraries'. A test plays events and looks at what the router did. Handles are index + 1.
 */
#ifndef TESTS_UNIT_ROUTER_RT_WORLD_H
#define TESTS_UNIT_ROUTER_RT_WORLD_H

#include "router/router.h"

#define WORLD_MANY 1100U /* of each kind */
#define WORLD_BYTES KIB(96)

struct world_query {
	bool open; /* not answered, not cancelled */
	bool cancelled;
	uint8_t msg[512];
	size_t len;
	struct dns_ask ask;
	dns_reply_fn *reply;
	void *arg;
};

struct world_resolve {
	bool open, cancelled;
	char name[DNS_NAME_MAX];
	bool has_via;
	struct dns_via via;
	dns_addrs_fn *done;
	void *arg;
};

struct world_fake {
	char name[DNS_NAME_MAX];
	struct net_addr addr;
};

struct world_datagram {
	struct net_endpoint from, to;
	uint8_t p[512];
	size_t len;
};

/* One end of a byte stream as the router sees it. */
struct world_bytes {
	uint8_t in[WORLD_BYTES]; /* what read() still has to give: in[in_at .. in_len) */
	size_t in_at, in_len;
	bool in_eof;
	uint8_t out[WORLD_BYTES];
	size_t out_len, room;
	bool shut;
};

struct world_dir {
	bool open, closed;
	struct net_endpoint dst;
	bool any;
	const struct dir_events *events;
	void *arg;
};

struct world_chan {
	bool open, closed;
	struct tnl_upstream *upstream;
	struct net_endpoint dst;
	const struct tnl_chan_events *events;
	void *arg;
	struct world_bytes *bytes; /* made on demand */
};

struct world_conn {
	bool open, accepted, aborted;
	int refused; /* enum ns_refusal; -1: not */
	void *owner;
	struct world_bytes *bytes;
};

struct world {
	struct world_query query[WORLD_MANY];
	struct world_resolve resolve[WORLD_MANY];
	struct world_fake fake[16];
	struct world_datagram sent[WORLD_MANY];
	struct world_dir dir[WORLD_MANY];
	struct world_chan chan[WORLD_MANY];
	struct world_conn conn[WORLD_MANY];
	size_t n_queries, n_resolves, n_fakes, n_sent, n_dirs, n_chans, n_conns;
	bool answer_at_once; /* each query is echoed with QR set before dns_query() returns */
	int resolve_at_once; /* 1, or a negative ST_E*: done() before dns_resolve() returns, with resolve_addr */
	struct net_addr resolve_addr;
	int open_fails;	      /* what tnl_open() and dir_open() return */
	enum tnl_state state; /* of every upstream */
	const struct dns_hooks *hooks;
	void *hooks_arg;
	uint32_t rules_changed, upstreams_gone, forwarders;
	uint32_t echo_replies, packets_refused;
	enum ns_refusal packet_refusal; /* the last */
	size_t buffered, dir_buffered;
};
extern struct world *world;

void world_new(void);
void world_free(void);
struct net_addr world_addr(const char *text);
/** world_fake_add() - @name has the fake address @addr */
void world_fake_add(const char *name, const char *addr);
void world_resolved(size_t i, int err, const char *a, const char *b); /* addresses may be NULL */
void world_reply(size_t i, size_t len); /* answers query i with its own first bytes and QR */

/* A loop, a router with rules, and time that passes when told to:
 *   10.0.0.0/8 slot 0, 10.1.0.0/16 reject, 10.2.0.0/16 drop, 10.3.0.0/16 direct, 10.4.0.0/16 slot 1; fd10::/16 slot 0
 *   *.prod.internal slot 0, *.dev.internal slot 1, *.here.internal direct, *.no.internal reject, *.void.internal drop */
struct stage {
	struct loop *loop;
	struct rt *rt;
};
/** world_stage() - as cmocka's set-up and tear-down; @mode: of names */
int world_stage(void **state, enum rt_dns_mode mode, const struct rt_dns_opts *more);
int world_stage_end(void **state);
struct rt_table world_table(void); /* the rules above */
struct tnl_upstream *world_upstream(uint32_t slot);
void world_turn(struct stage *s);
void world_pass(struct stage *s,
		uint32_t ms); /* later, and the timers that are due then; ends with a turn */

/* rt_world_flows.c */
ns_conn world_syn(struct rt *r, const char *dst, uint16_t port);
struct world_bytes *world_conn_bytes(ns_conn c);

#endif
