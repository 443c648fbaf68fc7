// SPDX-License-Identifier: MIT
/*
 * relay.c - the service's part of a session
 *
 * Theory of operation: the time at which a message arrives is fixed when it is written, and it is
 * one event; whether it arrives is decided then, for what sockets did meanwhile:
 *   the sender's socket was cut before the message reached the service: lost, unless it survives
 *   (it had left the dead socket's buffers);
 *   the receiver's socket is dead: delivered if it survives, was at the receiver's machine before the cut and the
 *   receiver has not noticed the end yet; else kept for the next socket if it survives and there
 *   is room; else lost;
 *   the receiver's socket is younger than the message: lost unless it survives.
 * Which messages survive is seeded. The service acknowledges nothing and repeats nothing.
 *
 * An end notices a cut some milliseconds late; what it writes until then is gone, and the stock
 * models are told so for some of the writes. It then asks for a new socket when it likes, and gets
 * it when the outage is over (ResumeSession, CreateDataChannel).
 *
 * The meter counts what a sender writes in the last two seconds; above its limit the service sends
 * pause_publication, start_publication a second later, and channel_closed at the last pause it
 * bears (ssm-protocol, 4.7 and 10).
 */
#include "relay.h"

#include <stdlib.h>
#include <string.h>

#define TYPE_OFFSET 4U /* of MessageType; ssm-protocol, 3.1 */
#define NOTICE_MAX_US (20 * SIM_MS)
#define CUT_RETRY_US (10 * SIM_MS)
#define METER_START_US SIM_SECOND

static const char *const action_names[] = {
	[RELAY_CUT_CLIENT] = "cut",	  [RELAY_CUT_AGENT] = "cut",
	[RELAY_NOTICE_CLIENT] = "notice", [RELAY_NOTICE_AGENT] = "notice",
	[RELAY_PAUSE_CLIENT] = "pause",	  [RELAY_PAUSE_AGENT] = "pause",
	[RELAY_START_CLIENT] = "start",	  [RELAY_START_AGENT] = "start",
	[RELAY_CLOSED_CLIENT] = "closed",
};

void relay_init(struct sim_session *ss, struct sim *s, const struct relay_opts *o)
{
	*ss = (struct sim_session){ .sim = s, .o = *o };
	for (int i = 0; i < SIM_ENDS; i++) {
		ss->side[i].up = true;
		ss->side[i].held_end = &ss->side[i].held;
	}
}

static struct relay_hop *hop_new(struct sim_session *ss, struct sim_packet *p, int from)
{
	struct relay_hop *hop = ss->free_hops;

	if (hop)
		ss->free_hops = hop->next;
	else
		hop = sim_xmalloc(sizeof(*hop));
	*hop = (struct relay_hop){
		.session = ss,
		.packet = sim_packet_ref(p),
		.from = from,
		.sent_us = ss->sim->now_us,
		.survives = true,
	};
	return hop;
}

static void hop_free(struct relay_hop *hop)
{
	struct sim_session *ss = hop->session;

	sim_packet_unref(ss->sim, hop->packet);
	hop->next = ss->free_hops;
	ss->free_hops = hop;
}

void relay_drop_events(struct sim *s)
{
	for (size_t i = 0; i < s->heap_n; i++)
		if (s->heap[i].kind == SIM_EV_PACKET)
			hop_free(s->heap[i].ptr);
	s->heap_n = 0;
}

void relay_fini(struct sim_session *ss)
{
	struct relay_hop *hop;

	for (int i = 0; i < SIM_ENDS; i++) {
		while ((hop = ss->side[i].held)) {
			ss->side[i].held = hop->next;
			hop_free(hop);
		}
		ss->end[i]->ops->free(ss->end[i]);
	}
	while ((hop = ss->free_hops)) {
		ss->free_hops = hop->next;
		free(hop);
	}
}

/* ---- the service's own messages ---- */

/* With the old header, a wrong digest and no date where the live service has them (3.4). */
static void service_send(struct sim_session *ss, int to, enum ssm_type type)
{
	static const char closed[] =
		"{\"MessageType\":\"channel_closed\",\"SchemaVersion\":1,\"Output\":\"\"}";
	struct ssm_msg m = {
		.type = type,
		.header_len = SSM_HEADER_LEN_OLD,
		.created_ms = SIM_UNIX_MS,
		.flags = SSM_FLAGS_ACK,
		.payload = (const uint8_t *)closed,
		.payload_len = sizeof(closed) - 1,
	};
	struct sim_packet *p = sim_packet_new(ss->sim, ssm_msg_size(&m, m.payload_len));

	if (ssm_msg_encode(p->bytes, p->len, &m) < 0)
		ST_BUG("a service message can't be written");
	if (!ss->end[to]->over)
		ss->end[to]->ops->input(ss->end[to], p);
	sim_packet_unref(ss->sim, p);
	sim_settle(ss->end[to]);
}

static void session_kill(struct sim_session *ss)
{
	ss->killed = true;
	service_send(ss, SIM_CLIENT, SSM_CHANNEL_CLOSED);
	service_send(ss, SIM_AGENT, SSM_CHANNEL_CLOSED);
}

/* ---- the meter ---- */

static void pause_order(struct sim_session *ss, int side)
{
	uint64_t now_us = ss->sim->now_us;

	ss->side[side].meter.pauses++;
	sim_at(ss->sim, now_us, SIM_EV_RELAY, ss, RELAY_PAUSE_CLIENT + (uint32_t)side);
	sim_at(ss->sim, now_us + METER_START_US, SIM_EV_RELAY, ss,
	       RELAY_START_CLIENT + (uint32_t)side);
}

static void meter_pause(struct sim_session *ss, int side)
{
	struct relay_meter *m = &ss->side[side].meter;

	memset(m->count, 0, sizeof(m->count));
	m->sum = 0;
	pause_order(ss, side);
	if (ss->o.meter_whole)
		pause_order(ss, !side);
}

static void meter_count(struct sim_session *ss, int side)
{
	struct relay_meter *m = &ss->side[side].meter;
	uint64_t no = ss->sim->now_us / RELAY_BUCKET_US;
	uint64_t stale = MIN(no - m->bucket_no, (uint64_t)RELAY_BUCKETS);

	for (uint64_t i = 1; i <= stale; i++) {
		uint32_t *count = &m->count[(m->bucket_no + i) % RELAY_BUCKETS];

		m->sum -= *count;
		*count = 0;
	}
	m->bucket_no = no;
	m->count[no % RELAY_BUCKETS]++;
	m->sum++;
	if (m->sum > ss->o.meter_per_s * (RELAY_BUCKETS * RELAY_BUCKET_US / SIM_SECOND))
		meter_pause(ss, side);
}

/* ---- messages ---- */

/* When the last byte of @len more has passed the bottleneck. */
static uint64_t pipe_pass(struct relay_pipe *pipe, uint64_t now_us, size_t len)
{
	if (!pipe)
		return now_us;
	pipe->bytes += len;
	pipe->free_us = MAX(pipe->free_us, now_us) + len * SIM_SECOND / pipe->bytes_per_s;
	return pipe->free_us;
}

static void hop_go(struct sim_session *ss, struct relay_hop *hop, uint64_t out_us, uint64_t late_us)
{
	hop->relay_us = out_us + ss->o.delay_us / 2;
	if (ss->o.cuts_n)
		hop->survives = sim_chance(ss->sim, ss->o.survive_permille);
	sim_at(ss->sim, out_us + ss->o.delay_us + late_us, SIM_EV_PACKET, hop, 0);
}

static bool is_ack(const struct sim_packet *p)
{
	return p->bytes[TYPE_OFFSET] ==
	       'a'; /* of "acknowledge", as no stream message's name begins */
}

bool relay_send(struct sim_end *e, struct sim_packet *p)
{
	struct sim_session *ss = e->session;
	const struct relay_opts *o = &ss->o;
	struct sim *s = e->sim;
	uint64_t out_us, late_us;

	if (!ss->side[e->side].up)
		return !sim_chance(s, o->write_error_permille);
	ss->side[e->side].msgs++;
	if (ss->on_send)
		ss->on_send(ss, e->side, p);
	if (o->meter_per_s)
		meter_count(ss, o->meter_whole ? SIM_CLIENT : e->side);
	out_us = pipe_pass(o->pipe[e->side], s->now_us, p->len);
	if (!(o->acks_spared && is_ack(p)) && sim_chance(s, o->loss_permille))
		return true;
	if (sim_chance(s, o->dup_permille))
		hop_go(ss, hop_new(ss, p, e->side), out_us, sim_below(s, 2 * o->delay_us));
	late_us = sim_chance(s, o->reorder_permille) ? sim_below(s, 4 * o->delay_us) : 0;
	hop_go(ss, hop_new(ss, p, e->side), out_us, late_us);
	return true;
}

bool relay_send_bytes(struct sim_end *e, const uint8_t *bytes, size_t len)
{
	struct sim_packet *p = sim_packet_new(e->sim, len);
	bool r;

	memcpy(p->bytes, bytes, len);
	r = relay_send(e, p);
	sim_packet_unref(e->sim, p);
	return r;
}

static void deliver(struct relay_hop *hop)
{
	struct sim_session *ss = hop->session;
	struct sim_end *to = ss->end[!hop->from];

	sim_note(ss->sim, "gets", to->side, hop->packet->len, be64_get(hop->packet->bytes + 48));
	if (!to->over)
		to->ops->input(to, hop->packet);
	hop_free(hop);
	sim_settle(to);
}

static void hold(struct relay_side *b, struct relay_hop *hop)
{
	hop->next = NULL;
	*b->held_end = hop;
	b->held_end = &hop->next;
	b->held_n++;
}

void relay_arrive(struct relay_hop *hop)
{
	struct sim_session *ss = hop->session;
	const struct relay_side *a = &ss->side[hop->from];
	struct relay_side *b = &ss->side[!hop->from];

	if (hop->survives) {
		if (b->up || (!b->noticed && hop->relay_us < b->cut_us)) {
			deliver(hop);
			return;
		}
		if (b->held_n < ss->o.hold_max) {
			hold(b, hop);
			return;
		}
	} else if (b->up && b->up_us <= hop->relay_us &&
		   !(a->cut_us > hop->sent_us && a->cut_us < hop->relay_us)) {
		deliver(hop);
		return;
	}
	sim_note(ss->sim, "loses", !hop->from, hop->packet->len, be64_get(hop->packet->bytes + 48));
	hop_free(hop);
}

/* ---- sockets ---- */

static void cut(struct sim_session *ss, int side)
{
	struct relay_side *a = &ss->side[side];
	struct sim *s = ss->sim;
	uint32_t action = side == SIM_CLIENT ? RELAY_CUT_CLIENT : RELAY_CUT_AGENT;

	if (ss->end[side]->over)
		return;
	if (!a->up) {
		sim_at(s, s->now_us + CUT_RETRY_US, SIM_EV_RELAY, ss, action);
		return;
	}
	a->up = false;
	a->cut_us = s->now_us;
	a->refuse_until_us = s->now_us + a->outage_us;
	ss->cuts_done++;
	sim_at(s, s->now_us + sim_below(s, ss->o.notice_us ? ss->o.notice_us : NOTICE_MAX_US),
	       SIM_EV_RELAY, ss, side == SIM_CLIENT ? RELAY_NOTICE_CLIENT : RELAY_NOTICE_AGENT);
}

static void notice(struct sim_session *ss, int side)
{
	ss->side[side].noticed = true;
	if (!ss->end[side]->over)
		ss->end[side]->ops->transport(ss->end[side], false);
	sim_settle(ss->end[side]);
}

bool relay_open(struct sim_end *e)
{
	struct sim_session *ss = e->session;
	struct relay_side *a = &ss->side[e->side];
	struct sim *s = ss->sim;
	struct relay_hop *hop;

	if (s->now_us < a->refuse_until_us)
		return false;
	sim_note(s, "opens", e->side, a->held_n, 0);
	a->up = true;
	a->noticed = false;
	a->up_us = s->now_us;
	while ((hop = a->held)) {
		a->held = hop->next;
		sim_at(s, s->now_us + ss->o.delay_us / 2, SIM_EV_PACKET, hop, 0);
	}
	a->held_end = &a->held;
	a->held_n = 0;
	if (ss->closed_due && e->side == SIM_CLIENT)
		sim_at(s, s->now_us + ss->o.delay_us / 2, SIM_EV_RELAY, ss, RELAY_CLOSED_CLIENT);
	return true;
}

void relay_close(struct sim_session *ss)
{
	ss->closed_due = true;
	sim_at(ss->sim, ss->sim->now_us + ss->o.delay_us, SIM_EV_RELAY, ss, RELAY_CLOSED_CLIENT);
}

void relay_act(struct sim_session *ss, enum relay_action action)
{
	sim_note(ss->sim, action_names[action], (int)action % SIM_ENDS, 0, 0);
	switch (action) {
	case RELAY_CUT_CLIENT: cut(ss, SIM_CLIENT); break;
	case RELAY_CUT_AGENT: cut(ss, SIM_AGENT); break;
	case RELAY_NOTICE_CLIENT: notice(ss, SIM_CLIENT); break;
	case RELAY_NOTICE_AGENT: notice(ss, SIM_AGENT); break;
	case RELAY_PAUSE_CLIENT:
	case RELAY_PAUSE_AGENT:
		if (ss->o.kill_pauses &&
		    ss->side[action % SIM_ENDS].meter.pauses >= ss->o.kill_pauses)
			session_kill(ss);
		else if (ss->side[action % SIM_ENDS].up)
			service_send(ss, (int)action % SIM_ENDS, SSM_PAUSE_PUBLICATION);
		break;
	case RELAY_START_CLIENT:
	case RELAY_START_AGENT:
		if (ss->side[action % SIM_ENDS].up)
			service_send(ss, (int)action % SIM_ENDS, SSM_START_PUBLICATION);
		break;
	case RELAY_CLOSED_CLIENT:
		if (ss->side[SIM_CLIENT].up)
			service_send(ss, SIM_CLIENT, SSM_CHANNEL_CLOSED);
		break;
	}
}

/* ---- plans ---- */

static void plan_start(struct sim_session *ss, const struct relay_plan *p,
		       enum relay_action of_client)
{
	sim_at(ss->sim, ss->sim->now_us + p->after_us, SIM_EV_RELAY, ss,
	       of_client + (uint32_t)p->side);
}

void relay_progress(struct sim_session *ss)
{
	uint64_t bytes = ss->app[SIM_CLIENT].received + ss->app[SIM_AGENT].received;
	const struct relay_plan *p;

	while (ss->cut_next < ss->o.cuts_n && (p = &ss->o.cuts[ss->cut_next])->at_bytes <= bytes) {
		ss->side[p->side].outage_us = p->for_us;
		ss->cut_next++;
		plan_start(ss, p, RELAY_CUT_CLIENT);
	}
	while (ss->pause_next < ss->o.pauses_n &&
	       (p = &ss->o.pauses[ss->pause_next])->at_bytes <= bytes) {
		ss->pause_next++;
		plan_start(ss, p, RELAY_PAUSE_CLIENT);
		sim_at(ss->sim, ss->sim->now_us + p->after_us + p->for_us, SIM_EV_RELAY, ss,
		       RELAY_START_CLIENT + (uint32_t)p->side);
	}
}
