// SPDX-License-Identifier: MIT
/* rt_internal.h - what router.c and rt_flow.c share */
#ifndef ROUTER_RT_INTERNAL_H
#define ROUTER_RT_INTERNAL_H

#include <stdbool.h>

#include "base/list.h"
#include "router/router.h"
#include "router/rt_side.h"

/*
 * A flow's states.
 *
 * OPENING      the SYN is held, the upstream is connecting. Ends by opened, failed, or the application giving up.
 * ACCEPTED     the far side has connected, the SYN was answered; the application's ACK is awaited. The channel may
 *              already bring bytes; they wait in its window.
 * OPEN         bytes are pumped; the two halves close independently.
 * CLOSING      both halves are shut and the channel is closed; the application's last ACK is awaited.
 * DEAD         waits for the reaper; no side is left.
 */
enum flow_state { FLOW_OPENING, FLOW_ACCEPTED, FLOW_OPEN, FLOW_CLOSING, FLOW_DEAD, FLOW_STATE_N };

enum side_index { APP, FAR };

/* One direction, named by the side it reads from: OPEN until that side's end of file was passed on. */
enum flow_half { HALF_OPEN, HALF_SHUT };

struct flow {
	struct rt *rt;
	struct list_node all;	/* in rt->flows, or rt->dead */
	struct list_node ready; /* in rt->ready while one side may have work */
	enum flow_state state;
	struct rt_side side[2];
	enum flow_half half[2];
	uint64_t bytes[2]; /* moved, by the side read from */
	uint64_t number;   /* for log lines */
	uint64_t since_ms;
	struct ns_flow_key key;
	struct tnl_upstream *upstream; /* that carries it; borrowed */
};

struct rt {
	struct loop *loop;
	struct ns *ns;
	struct rt_upstream upstreams[RT_UPSTREAMS_MAX]; /* slots */
	uint32_t flows_max;
	uint64_t memory_bytes;
	struct rt_table table;
	struct list flows, ready, dead;
	struct loop_task pump_task, reap_task;
	uint64_t next_number;
	struct rt_stats stats;
	uint8_t *scratch; /* RT_TURN_BYTES: bytes between read and write of one step */
};

/** flow_new() - a flow for a held connection, or NULL */
struct flow *flow_new(struct rt *r, ns_conn c, const struct ns_flow_key *key);
/** flow_connect() - ask upstream @u; on failure the flow is already refused and dead */
void flow_connect(struct flow *f, struct tnl_upstream *u);
/** flow_refuse() - answer the held SYN and let the flow die */
void flow_refuse(struct flow *f, enum ns_refusal why);
/** flow_reset() - RST to whoever is left, and die */
void flow_reset(struct flow *f, const char *why);
/** flow_wake() - a side may have work: pump at the end of this turn */
void flow_wake(struct flow *f);
void flow_on_established(struct flow *f);
/** flow_on_app_end() - the application's side is over (@orderly: both FINs acknowledged) */
void flow_on_app_end(struct flow *f, bool orderly);

/* The tasks of struct rt. */
void rt_pump(void *arg, uint64_t now_ms);
void rt_reap(void *arg, uint64_t now_ms);

#endif
