// SPDX-License-Identifier: MIT
/* router.c - a held SYN finds its rule and its upstream */
#include "router/router.h"

#include <stdlib.h>

#include "base/err.h"
#include "base/log.h"
#include "router/rt_internal.h"

int rt_new(struct rt **out, const struct rt_opts *opts)
{
	struct rt *r = calloc(1, sizeof(*r));

	if (!r)
		return ST_ENOMEM;
	r->scratch = malloc(RT_TURN_BYTES);
	if (!r->scratch || rt_rules_new(&r->table.rules, NULL, 0) < 0) {
		free(r->scratch);
		free(r);
		return ST_ENOMEM;
	}
	r->loop = opts->loop;
	r->flows_max = opts->flows_max ? opts->flows_max : RT_FLOWS_MAX;
	r->memory_bytes = opts->memory_bytes ? opts->memory_bytes : RT_MEMORY_BYTES;
	r->table.default_action = RT_DIRECT;
	list_init(&r->flows);
	list_init(&r->ready);
	list_init(&r->dead);
	loop_task_init(&r->pump_task, LOOP_FLUSH, rt_pump, r);
	loop_task_init(&r->reap_task, LOOP_REAP, rt_reap, r);
	*out = r;
	return 0;
}

void rt_free(struct rt *r)
{
	if (!r)
		return;
	list_for_each (n, &r->flows)
		flow_reset(container_of(n, struct flow, all), "shutting down");
	rt_reap(r, 0);
	loop_task_cancel(&r->pump_task);
	loop_task_cancel(&r->reap_task);
	rt_rules_free(r->table.rules);
	free(r->scratch);
	free(r);
}

void rt_set_netstack(struct rt *r, struct ns *ns)
{
	r->ns = ns;
}

/* Who carries @dst; NULL: nobody, and @action says what happens to it. */
static struct tnl_upstream *upstream_for(const struct rt *r, const struct net_addr *dst,
					 enum rt_action *action)
{
	const struct rt_rule *rule = rt_rules_find(r->table.rules, dst);
	uint32_t i = rule ? rule->upstream : r->table.default_upstream;

	*action = rule ? rule->action : r->table.default_action;
	if (!rule && net_addr_is_local_only(dst))
		*action = RT_DROP;
	return *action == RT_UPSTREAM && i < RT_UPSTREAMS_MAX ? r->upstreams[i].tnl : NULL;
}

void rt_set_upstream(struct rt *r, uint32_t slot, const struct rt_upstream *u)
{
	ST_ASSERT(slot < RT_UPSTREAMS_MAX);
	r->upstreams[slot] = *u;
}

const struct rt_table *rt_table(const struct rt *r)
{
	return &r->table;
}

void rt_stats(const struct rt *r, struct rt_stats *out)
{
	*out = r->stats;
}

/* What the application sees of a flow that no upstream carries. */
static enum ns_refusal refusal_of(enum rt_action action)
{
	switch (action) {
	case RT_REJECT: return NS_REFUSE_RST;
	case RT_DROP: return NS_REFUSE_DROP;
	case RT_DIRECT: /* the kernel should have kept it: its route was carved out */
	case RT_UPSTREAM: break;
	}
	return NS_REFUSE_PROHIBITED;
}

/* A SYN that is still held and has an upstream again is dropped: the kernel repeats it. */
static void judge_again(struct flow *f)
{
	enum rt_action action;
	struct tnl_upstream *u = upstream_for(f->rt, &f->key.dst.addr, &action);

	if (u == f->upstream)
		return;
	if (f->state == FLOW_OPENING)
		flow_refuse(f, u ? NS_REFUSE_DROP : refusal_of(action));
	else
		flow_reset(f, "the rules have changed");
}

void rt_set_table(struct rt *r, const struct rt_table *t)
{
	rt_rules_free(r->table.rules);
	r->table = *t;
	list_for_each (n, &r->flows)
		judge_again(container_of(n, struct flow, all));
}

static bool at_a_limit(const struct rt *r)
{
	struct ns_stats ns;

	if (r->stats.flows >= r->flows_max) {
		log_limited(loop_now_ms(r->loop), LOG_WARN,
			    "new connections are reset: %u flows, the limit (limits.flows)",
			    r->stats.flows);
		return true;
	}
	ns_stats(r->ns, &ns);
	if (ns.buffered_bytes < r->memory_bytes)
		return false;
	log_limited(loop_now_ms(r->loop), LOG_WARN,
		    "new connections are reset: %zu payload bytes are held (limits.memory)",
		    ns.buffered_bytes);
	return true;
}

static void *app_syn(void *arg, ns_conn c, const struct ns_flow_key *key)
{
	struct rt *r = arg;
	enum rt_action action;
	struct tnl_upstream *upstream = upstream_for(r, &key->dst.addr, &action);

	if (at_a_limit(r))
		return NULL;
	struct flow *f = flow_new(r, c, key);
	if (!f)
		return NULL;
	if (upstream)
		flow_connect(f, upstream);
	else
		flow_refuse(f, refusal_of(action));
	return f;
}

static void app_gone(void *arg, ns_conn c)
{
	(void)c;
	flow_on_app_end(arg, false);
}

static void app_finished(void *arg, ns_conn c)
{
	(void)c;
	flow_on_app_end(arg, true);
}

static void app_established(void *arg, ns_conn c)
{
	(void)c;
	flow_on_established(arg);
}

static void app_io(void *arg, ns_conn c)
{
	(void)c;
	flow_wake(arg);
}

const struct ns_events *rt_ns_events(void)
{
	static const struct ns_events events = {
		.syn = app_syn,
		.gone = app_gone,
		.established = app_established,
		.readable = app_io,
		.writable = app_io,
		.finished = app_finished,
	};

	return &events;
}
