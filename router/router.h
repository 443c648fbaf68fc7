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
#include "netstack/netstack.h"
#include "router/rt_rules.h"
#include "tunnel/tunnel.h"

#define RT_FLOWS_MAX 4096U
#define RT_TURN_BYTES                                                                              \
	KIB(64) /* one flow and direction moves at most this much per turn: fairness (ours) */
#define RT_MEMORY_BYTES MIB(96) /* payload bytes held by the process; at it new flows get RST */

struct rt;

struct rt_opts {
	struct loop *loop;
	struct tnl_upstream *const *upstreams; /* borrowed for life; rules name them by index */
	size_t n_upstreams;
	uint32_t flows_max;    /* 0: RT_FLOWS_MAX */
	uint64_t memory_bytes; /* 0: RT_MEMORY_BYTES */
	enum rt_action
		default_action; /* for a destination that no rule holds; RT_UPSTREAM with default_upstream */
	uint32_t default_upstream;
};

/** rt_new() - Return: 0; ST_ENOMEM */
int rt_new(struct rt **out, const struct rt_opts *opts);
void rt_free(struct rt *r); /* resets every flow */

/** rt_ns_events() - what the netstack calls; its arg is the struct rt */
const struct ns_events *rt_ns_events(void);
/** rt_set_netstack() - borrowed for life; before the first packet */
void rt_set_netstack(struct rt *r, struct ns *ns);
/** rt_set_rules() - takes @rules; the former ones are freed. A flow whose destination they give to another upstream, or to none,
 * is reset: its packets will not come here any more. The others live on. */
void rt_set_rules(struct rt *r, struct rt_rules *rules);
const struct rt_rules *rt_rules(const struct rt *r);

struct rt_stats {
	uint32_t flows; /* live now, held ones included */
	uint32_t opening;
	uint64_t opened, refused, timed_out, reset; /* since the start */
	uint64_t bytes_up, bytes_down;
};
void rt_stats(const struct rt *r, struct rt_stats *out);

#endif
