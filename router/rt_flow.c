// SPDX-License-Identifier: MIT
/*
 * rt_flow.c - one TCP connection between the application's side and the far side
 *
 * Theory of operation: a flow has two sides and two halves. A half reads from one side what the other has room for;
 * nothing is read that can't be written, so bytes never wait here. Events of the sides only mark the flow ready; at the
 * end of the turn rt_pump() gives each ready flow one step of at most RT_TURN_BYTES per direction, and a
 * flow that has more to move goes to the back of the line. A side that reports its last event is forgotten at once
 * (ops = NULL); a flow without sides is DEAD and freed by the reaper after the batch. How the far side is reached, by
 * name or by address, is rt_far.c's.
 */
#include "router/rt_internal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "base/text.h"

static const struct {
	const char *name;
	uint32_t next;
} states[] = {
	[FLOW_RESOLVING] = { "resolving", BIT(FLOW_OPENING) | BIT(FLOW_DEAD) },
	[FLOW_OPENING] = { "opening", BIT(FLOW_ACCEPTED) | BIT(FLOW_DEAD) },
	[FLOW_ACCEPTED] = { "accepted", BIT(FLOW_OPEN) | BIT(FLOW_DEAD) },
	[FLOW_OPEN] = { "open", BIT(FLOW_CLOSING) | BIT(FLOW_DEAD) },
	[FLOW_CLOSING] = { "closing", BIT(FLOW_DEAD) },
	[FLOW_DEAD] = { "dead", 0 },
};
_Static_assert(ARRAY_LEN(states) == FLOW_STATE_N, "states[] and enum flow_state differ");

static void flow_log(const struct flow *f, const char *what, const char *detail)
{
	char src[NET_ENDPOINT_STR], dst[NET_ENDPOINT_STR];

	if (!log_enabled(LOG_DEBUG))
		return;
	log_msg(LOG_DEBUG, "flow %" PRIu64 " %s -> %s%s%s: %s%s%s", f->number,
		net_endpoint_str(src, &f->key.src), f->name ? text_safe(f->name).s : "",
		f->name ? " as " : "", net_endpoint_str(dst, &f->key.dst), what,
		detail[0] ? ": " : "", detail);
}

static void set_state(struct flow *f, enum flow_state s)
{
	if (!(states[f->state].next & BIT(s)))
		ST_BUG("flow %" PRIu64 ": %s -> %s", f->number, states[f->state].name,
		       states[s].name);
	if (f->state == FLOW_RESOLVING)
		f->rt->stats.resolving--;
	if (f->state == FLOW_OPENING)
		f->rt->stats.opening--;
	f->state = s;
	if (s == FLOW_OPENING)
		f->rt->stats.opening++;
	if (s != FLOW_DEAD)
		return;
	list_del(&f->ready);
	list_del(&f->by_dst);
	list_del(&f->all);
	list_push_back(&f->rt->dead, &f->all);
	loop_task_post(f->rt->loop, &f->rt->reap_task);
}

static void drop_app(struct flow *f)
{
	struct rt_side side = f->side[APP];

	f->side[APP].ops = NULL;
	if (side.ops)
		side.ops->reset(side.owner, side.h);
}

static void drop_far(struct flow *f)
{
	f->side[FAR].ops = NULL;
	rt_far_close(&f->far);
}

/* A side may have work: pump at the end of this turn. */
static void flow_wake(struct flow *f)
{
	if (f->state != FLOW_OPEN || list_linked(&f->ready))
		return;
	list_push_back(&f->rt->ready, &f->ready);
	loop_task_post(f->rt->loop, &f->rt->pump_task);
}

static void on_established(struct rt_app *app)
{
	struct flow *f = container_of(app, struct flow, app);

	set_state(f, FLOW_OPEN);
	flow_wake(f);
}

static void on_app_io(struct rt_app *app)
{
	flow_wake(container_of(app, struct flow, app));
}

static void on_app_end(struct rt_app *app, bool orderly)
{
	struct flow *f = container_of(app, struct flow, app);

	f->side[APP].ops = NULL;
	flow_log(f, orderly ? "finished" : "the application has gone", "");
	drop_far(f);
	set_state(f, FLOW_DEAD);
}

struct flow *flow_new(struct rt *r, ns_conn c, const struct ns_flow_key *key,
		      const struct rt_dest *dest)
{
	static const struct rt_app_ops ops = {
		.established = on_established,
		.io = on_app_io,
		.end = on_app_end,
	};
	struct flow *f = calloc(1, sizeof(*f));

	if (!f || (dest->name && !(f->name = strdup(dest->name)))) {
		free(f);
		return NULL;
	}
	f->app.ops = &ops;
	f->rt = r;
	f->number = ++r->next_number;
	f->since_ms = loop_now_ms(r->loop);
	f->key = *key;
	f->fake = dest->fake;
	f->action = dest->action;
	f->upstream = dest->upstream;
	f->side[APP] = rt_side_netstack(r->ns, c);
	list_node_init(&f->ready);
	list_node_init(&f->all);
	list_node_init(&f->by_dst);
	list_push_back(&r->flows, &f->all);
	list_push_back(&r->by_dst[rt_addr_hash(&key->dst.addr) % RT_DST_BUCKETS], &f->by_dst);
	r->stats.flows++;
	r->stats.resolving++;
	return f;
}

void flow_refuse(struct flow *f, enum ns_refusal why)
{
	struct rt_side app = f->side[APP];

	f->side[APP].ops = NULL;
	if (app.ops)
		ns_conn_refuse(f->rt->ns, app.h, why);
	drop_far(f);
	set_state(f, FLOW_DEAD);
}

void flow_reset(struct flow *f, const char *why)
{
	flow_log(f, "reset", why);
	f->rt->stats.reset++;
	drop_app(f);
	drop_far(f);
	set_state(f, FLOW_DEAD);
}

/* ---- the far side's events */

static void far_opening(void *arg)
{
	set_state(arg, FLOW_OPENING);
}

static void far_opened(void *arg)
{
	struct flow *f = arg;

	f->rt->stats.opened++;
	f->side[FAR] = f->far.side;
	rt_alive_seen(f->rt, &f->key.dst.addr);
	flow_log(f, "connected", "");
	set_state(f, FLOW_ACCEPTED);
	ns_conn_accept(f->rt->ns, f->side[APP].h);
}

static void far_failed(void *arg, enum far_failure why, const char *text)
{
	struct flow *f = arg;

	if (why == FAR_TIMEOUT || why == FAR_NO_SESSION || why == FAR_NO_ANSWER)
		f->rt->stats.timed_out++;
	else
		f->rt->stats.refused++;
	if (why == FAR_REFUSED)
		rt_alive_seen(f->rt, &f->key.dst.addr);
	flow_log(f, far_failure_text(why), text ? text_safe(text).s : "");
	flow_refuse(f, far_failure_refusal(why));
}

static void far_io(void *arg)
{
	flow_wake(arg);
}

static void far_gone(void *arg)
{
	flow_reset(arg, "the far side has gone");
}

void flow_connect(struct flow *f, const struct rt_dest *dest)
{
	static const struct rt_far_events events = {
		.opening = far_opening,
		.opened = far_opened,
		.failed = far_failed,
		.io = far_io,
		.gone = far_gone,
	};
	const struct rt_far_target to = {
		.dst = f->key.dst,
		.src = f->key.src,
		.name = dest->fake ? f->name : NULL,
		.direct = dest->action == RT_DIRECT,
		.upstream = dest->upstream,
		.any = dest->rule != NULL, /* it holds such an address only if it names it */
	};

	rt_far_open(&f->far, f->rt, &to, &events, f);
}

/* ---- the pump */

/* Both halves are shut: the channel is done with, the application's last ACK may still be out. */
static void close_if_done(struct flow *f)
{
	if (f->state != FLOW_OPEN || f->half[APP] != HALF_SHUT || f->half[FAR] != HALF_SHUT)
		return;
	drop_far(f);
	set_state(f, FLOW_CLOSING);
}

/* One step of one direction. Return: true if it stopped at its budget only, so more may wait. */
static bool pump_half(struct flow *f, enum side_index from)
{
	enum side_index to = from == APP ? FAR : APP;
	struct rt_side *src = &f->side[from], *dst = &f->side[to];
	size_t left = RT_TURN_BYTES;

	while (left > 0 && f->half[from] == HALF_OPEN && src->ops && dst->ops) {
		size_t room = dst->ops->room(dst->owner, dst->h);
		if (room == 0)
			return false;
		ssize_t n = src->ops->read(src->owner, src->h, f->rt->scratch, MIN(room, left));
		if (n == ST_EAGAIN)
			return false;
		if (n < 0) {
			flow_reset(f, "read failed");
			return false;
		}
		if (n == 0) {
			f->half[from] = HALF_SHUT;
			dst->ops->shutdown(dst->owner, dst->h);
			return false;
		}
		left -= (size_t)n;
		f->bytes[from] += (uint64_t)n;
		if (dst->ops->write(dst->owner, dst->h, f->rt->scratch, (size_t)n) < 0) {
			flow_reset(f, "write failed");
			return false;
		}
	}
	return left == 0;
}

static void count_bytes(struct flow *f, const uint64_t before[2])
{
	f->rt->stats.bytes_up += f->bytes[APP] - before[APP];
	f->rt->stats.bytes_down += f->bytes[FAR] - before[FAR];
}

void rt_pump(void *arg, uint64_t now_ms)
{
	struct rt *r = arg;
	struct list turn;

	(void)now_ms;
	/* Flows that are woken again while this list is worked off wait for the next one. */
	list_init(&turn);
	while (!list_empty(&r->ready))
		list_push_back(&turn, list_pop_front(&r->ready));
	struct list_node *n;
	while ((n = list_pop_front(&turn))) {
		struct flow *f = container_of(n, struct flow, ready);
		uint64_t before[2] = { f->bytes[APP], f->bytes[FAR] };
		bool more = pump_half(f, APP);

		if (f->state == FLOW_OPEN)
			more = pump_half(f, FAR) || more;
		count_bytes(f, before);
		close_if_done(f);
		if (more)
			flow_wake(f);
	}
}

void rt_reap(void *arg, uint64_t now_ms)
{
	struct rt *r = arg;
	struct list_node *n;

	(void)now_ms;
	while ((n = list_pop_front(&r->dead))) {
		struct flow *f = container_of(n, struct flow, all);

		r->stats.flows--;
		free(f->name);
		free(f);
	}
}
