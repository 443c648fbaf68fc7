// SPDX-License-Identifier: MIT
/*
 * router.c - a held SYN finds its rule, and who carries it
 *
 * Theory of operation: rt_dest_of_addr() is the one place that says where a destination goes, for flows, datagrams, pings and explain alike:
 * by the name whose fake address it is, or that it was learned for; then by prefix; then the default. A flow keeps its name,
 * so that a new table judges it by that, whatever became of the address meanwhile.
 */
#include "router/router.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "router/rt_internal.h"

static int make_parts(struct rt *r)
{
	const struct dir_opts dir = { .loop = r->loop,
				      .mark = r->mark,
				      .connect_budget_ms = r->connect_budget_ms };
	int e;

	if (!(r->scratch = malloc(RT_TURN_BYTES)))
		return ST_ENOMEM;
	if ((e = rt_rules_new(&r->table.rules, NULL, 0)) < 0 || (e = dir_new(&r->dir, &dir)) < 0 ||
	    (e = rt_learned_new(&r->learned, r)) < 0)
		return e;
	return rt_alive_new(&r->alive, r);
}

int rt_new(struct rt **out, const struct rt_opts *opts)
{
	struct rt *r = calloc(1, sizeof(*r));
	int e;

	if (!r)
		return ST_ENOMEM;
	r->loop = opts->loop;
	r->flows_max = opts->flows_max ? opts->flows_max : RT_FLOWS_MAX;
	r->memory_bytes = opts->memory_bytes ? opts->memory_bytes : RT_MEMORY_BYTES;
	r->mark = opts->mark;
	r->connect_budget_ms = opts->connect_budget_ms;
	r->table.default_action = RT_DIRECT;
	list_init(&r->flows);
	list_init(&r->ready);
	list_init(&r->dead);
	list_init(&r->own_names);
	for (size_t i = 0; i < RT_DST_BUCKETS; i++)
		list_init(&r->by_dst[i]);
	loop_task_init(&r->pump_task, LOOP_FLUSH, rt_pump, r);
	loop_task_init(&r->reap_task, LOOP_REAP, rt_reap, r);
	if ((e = make_parts(r)) < 0) {
		rt_free(r);
		return e;
	}
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
	rt_alive_free(r->alive);
	rt_dns_free(r);
	rt_own_names_free(r);
	rt_learned_free(r->learned);
	dir_free(r->dir);
	rt_names_free(r->table.names);
	rt_rules_free(r->table.rules);
	free(r->scratch);
	free(r);
}

void rt_set_netstack(struct rt *r, struct ns *ns)
{
	r->ns = ns;
}

/* ---- where a destination goes */

uint32_t rt_addr_hash(const struct net_addr *a)
{
	uint32_t h =
		0x811c9dc5U; /* FNV-1a: neighbours spread, and nobody gains by collisions here */

	for (size_t i = 0; i < net_addr_bytes(a); i++)
		h = (h ^ a->b[i]) * 0x01000193U;
	return h ^ h >> 15;
}

bool rt_flow_to(const struct rt *r, const struct net_addr *dst)
{
	const struct list *bucket = &r->by_dst[rt_addr_hash(dst) % RT_DST_BUCKETS];

	list_for_each (n, bucket)
		if (net_addr_eq(&container_of(n, struct flow, by_dst)->key.dst.addr, dst))
			return true;
	return false;
}

struct tnl_upstream *rt_upstream_of(const struct rt *r, uint32_t slot)
{
	return slot < RT_UPSTREAMS_MAX ? r->upstreams[slot].tnl : NULL;
}

static const struct rt_name_rule *name_rule(const struct rt *r, const char *name)
{
	return r->table.names ? rt_names_find(r->table.names, name) : NULL;
}

static void by_name_rule(struct rt_dest *out, const struct rt_name_rule *rule)
{
	out->name_rule = rule;
	out->action = rule->action;
	out->upstream = rule->upstream;
}

static void by_default(const struct rt *r, struct rt_dest *out)
{
	out->action = r->table.default_action;
	out->upstream = r->table.default_upstream;
}

void rt_dest_of_name(const struct rt *r, const char *name, struct rt_dest *out)
{
	const struct rt_name_rule *rule = name_rule(r, name);

	*out = (struct rt_dest){ .name = name };
	if (rule)
		by_name_rule(out, rule);
	else
		by_default(r, out);
}

/* Of a fake address; RST if it is nobody's. */
static void dest_of_fake(struct rt *r, const struct net_addr *dst, struct rt_dest *out)
{
	const char *name = dns_fake_name(rt_dns_of(r), dst);

	*out = (struct rt_dest){ .action = RT_REJECT, .name = name };
	if (name && !rt_dns_is_off(r))
		rt_dest_of_name(r, name, out);
	out->fake = true;
	out->unknown_fake = !name;
}

/* Addresses of ours that stand for nobody: the stack's, which carries nothing but names, and the rest of the range. */
static bool is_ours(const struct rt *r, const struct net_addr *a)
{
	const struct rt_dns_opts *o = r->dns ? &r->dns->opts : NULL;

	return o && (net_addr_eq(a, &o->stack4) || net_addr_eq(a, &o->stack6) ||
		     net_prefix_has(&o->fake4, a) || net_prefix_has(&o->fake6, a));
}

static void by_default_to(const struct rt *r, const struct net_addr *dst, struct rt_dest *out)
{
	by_default(r, out);
	if (dst->family == 6 && out->action == RT_UPSTREAM && out->upstream < RT_UPSTREAMS_MAX &&
	    r->upstreams[out->upstream].name && !r->upstreams[out->upstream].ipv6) {
		out->no_ipv6 = true;
		out->action = RT_REJECT;
	}
}

/* By prefix, or the default. */
static void dest_of_prefix(const struct rt *r, const struct net_addr *dst, struct rt_dest *out)
{
	out->rule = rt_rules_find(r->table.rules, dst);
	if (out->rule) {
		out->action = out->rule->action;
		out->upstream = out->rule->upstream;
	} else if (net_addr_is_local_only(dst)) {
		out->never = true;
		out->action = RT_DROP;
	} else if (is_ours(r, dst)) {
		out->unknown_fake = true;
		out->action = RT_REJECT;
	} else {
		by_default_to(r, dst, out);
	}
}

void rt_dest_of_addr(struct rt *r, const struct net_addr *dst, struct rt_dest *out)
{
	const struct rt_name_rule *rule;

	if (rt_dns_of(r) && dns_is_fake(rt_dns_of(r), dst)) {
		dest_of_fake(r, dst, out);
		return;
	}
	*out = (struct rt_dest){ .name = rt_learned_name(r, dst) };
	out->learned = out->name != NULL;
	if (out->name && (rule = name_rule(r, out->name)))
		by_name_rule(out, rule);
	else
		dest_of_prefix(r, dst, out);
}

/* Where a flow goes now: its name holds, also when its address is another's by now. */
static void dest_of_flow(struct rt *r, const struct flow *f, struct rt_dest *out)
{
	const struct rt_name_rule *rule = f->name ? name_rule(r, f->name) : NULL;

	*out = (struct rt_dest){ .name = f->name };
	if (rule)
		by_name_rule(out, rule);
	else if (f->fake)
		by_default(r, out);
	else
		dest_of_prefix(r, &f->key.dst.addr, out);
}

/* ---- upstreams and rules */

/* Nothing of ours names the upstream of @slot any more. */
static void leave_upstream(struct rt *r, uint32_t slot)
{
	list_for_each (n, &r->flows) {
		struct flow *f = container_of(n, struct flow, all);

		if (f->action == RT_UPSTREAM && f->upstream == slot)
			flow_reset(f, "its upstream has gone");
	}
	rt_alive_forget(r);
	rt_dns_upstream_gone(r, slot);
}

void rt_set_upstream(struct rt *r, uint32_t slot, const struct rt_upstream *u)
{
	const struct tnl_upstream *former = rt_upstream_of(r, slot);

	ST_ASSERT(slot < RT_UPSTREAMS_MAX);
	if (former && former != u->tnl)
		leave_upstream(r, slot);
	r->upstreams[slot] = *u;
}

const struct rt_table *rt_table(const struct rt *r)
{
	return &r->table;
}

void rt_stats(const struct rt *r, struct rt_stats *out)
{
	*out = r->stats;
	out->dns_clients = r->dns ? rt_dns_tcp_count(r->dns->tcp) : 0;
	out->learned = rt_learned_count(r->learned);
	out->probes = rt_alive_probes(r->alive);
}

/* Whether somebody carries flows to @dest. */
static bool is_carried(const struct rt *r, const struct rt_dest *dest)
{
	return dest->action == RT_DIRECT ||
	       (dest->action == RT_UPSTREAM && rt_upstream_of(r, dest->upstream));
}

/* What the application sees of a flow that nobody carries. */
static enum ns_refusal refusal_of(const struct rt_dest *dest)
{
	switch (dest->action) {
	case RT_REJECT: return dest->no_ipv6 ? NS_REFUSE_NET_UNREACHABLE : NS_REFUSE_RST;
	case RT_DROP: return NS_REFUSE_DROP;
	case RT_DIRECT:
	case RT_UPSTREAM: break; /* its upstream is being retired */
	}
	return NS_REFUSE_PROHIBITED;
}

/* The same upstream by another slot: its settings have changed, and what it carries lives on by the former. */
static bool is_successor(const struct rt *r, uint32_t former, uint32_t slot)
{
	const struct rt_upstream *a = &r->upstreams[former], *b = &r->upstreams[slot];

	return a->tnl && b->tnl && a->name && b->name && strcmp(a->name, b->name) == 0;
}

static bool goes_on(const struct flow *f, const struct rt_dest *dest)
{
	if (dest->action != f->action)
		return false;
	if (dest->action != RT_UPSTREAM || dest->upstream == f->upstream)
		return true;
	return !flow_is_held(f) && is_successor(f->rt, f->upstream, dest->upstream);
}

/* A SYN that is still held and is carried by another now is dropped: the kernel repeats it. */
static void judge_again(struct flow *f)
{
	struct rt_dest dest;

	dest_of_flow(f->rt, f, &dest);
	if (goes_on(f, &dest))
		return;
	if (flow_is_held(f))
		flow_refuse(f, is_carried(f->rt, &dest) ? NS_REFUSE_DROP : refusal_of(&dest));
	else
		flow_reset(f, "the rules have changed");
}

/* Which slots @t names. */
static void slots_of(const struct rt_table *t, bool named[RT_UPSTREAMS_MAX])
{
	size_t n, n_names = 0;
	const struct rt_rule *rules = rt_rules_all(t->rules, &n);
	const struct rt_name_rule *names = t->names ? rt_names_all(t->names, &n_names) : NULL;

	for (size_t i = 0; i < n; i++)
		if (rules[i].action == RT_UPSTREAM && rules[i].upstream < RT_UPSTREAMS_MAX)
			named[rules[i].upstream] = true;
	for (size_t i = 0; i < n_names; i++)
		if (names[i].action == RT_UPSTREAM && names[i].upstream < RT_UPSTREAMS_MAX)
			named[names[i].upstream] = true;
	if (t->default_action == RT_UPSTREAM && t->default_upstream < RT_UPSTREAMS_MAX)
		named[t->default_upstream] = true;
}

/* Upstreams that no rule leads to any more need no way to their resolvers. */
static void leave_resolvers(struct rt *r, const struct rt_table *former)
{
	bool before[RT_UPSTREAMS_MAX] = { false }, now[RT_UPSTREAMS_MAX] = { false };

	slots_of(former, before);
	slots_of(&r->table, now);
	for (uint32_t i = 0; i < RT_UPSTREAMS_MAX; i++)
		if (before[i] && !now[i])
			rt_dns_upstream_gone(r, i);
}

void rt_set_table(struct rt *r, const struct rt_table *t)
{
	struct rt_table former = r->table;

	r->table = *t;
	list_for_each (n, &r->flows)
		judge_again(container_of(n, struct flow, all));
	rt_alive_forget(r);
	rt_learned_check(r);
	rt_dns_table_changed(r);
	leave_resolvers(r, &former);
	rt_names_free(former.names);
	rt_rules_free(former.rules);
}

/* ---- the netstack's events */

static bool at_a_limit(const struct rt *r)
{
	struct ns_stats ns;
	size_t held;

	if (r->stats.flows >= r->flows_max) {
		log_limited(loop_now_ms(r->loop), LOG_WARN,
			    "new connections are reset: %u flows, the limit (limits.flows)",
			    r->stats.flows);
		return true;
	}
	ns_stats(r->ns, &ns);
	held = ns.buffered_bytes + dir_buffered(r->dir);
	if (held < r->memory_bytes)
		return false;
	log_limited(loop_now_ms(r->loop), LOG_WARN,
		    "new connections are reset: %zu payload bytes are held (limits.memory)", held);
	return true;
}

static void *app_syn(void *arg, ns_conn c, const struct ns_flow_key *key)
{
	struct rt *r = arg;
	struct rt_dest dest;

	if (at_a_limit(r))
		return NULL;
	if (rt_dns_serves(r, &key->dst))
		return rt_dns_tcp_accept(r, c, key);
	rt_dest_of_addr(r, &key->dst.addr, &dest);
	struct flow *f = flow_new(r, c, key, &dest);
	if (!f)
		return NULL;
	if (r->dns && !rt_dns_may(r, key, true))
		flow_refuse(
			f,
			NS_REFUSE_PROHIBITED); /* one user's rules are no wall for another's socket */
	else if (is_carried(r, &dest))
		flow_connect(f, &dest);
	else
		flow_refuse(f, refusal_of(&dest));
	return &f->app;
}

static void app_gone(void *arg, ns_conn c)
{
	struct rt_app *app = arg;

	(void)c;
	app->ops->end(app, false);
}

static void app_finished(void *arg, ns_conn c)
{
	struct rt_app *app = arg;

	(void)c;
	app->ops->end(app, true);
}

static void app_established(void *arg, ns_conn c)
{
	struct rt_app *app = arg;

	(void)c;
	app->ops->established(app);
}

static void app_io(void *arg, ns_conn c)
{
	struct rt_app *app = arg;

	(void)c;
	app->ops->io(app);
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
		.udp = rt_udp,
		.echo = rt_echo,
	};

	return &events;
}
