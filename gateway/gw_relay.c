// SPDX-License-Identifier: MIT
/*
 * gw_relay.c - the data path of a session
 *
 * Theory of operation: a message goes unchanged from one socket to the other; only its MessageType
 * is looked at, since agent_session_state is meant for us. ws/ queues up to WS_QUEUE_MAX; what it
 * refuses, and what comes while the other side has no socket, is held here. When held and queued
 * bytes come within one message of GWS_HELD_MAX, the sender is no longer read; at a quarter it
 * is read again. What comes in spite of that and does not fit is dropped: the sender repeats it,
 * since nobody acknowledged it. With faults switched on every message passes through gw_fault.
 */
#include "gateway/gw_relay.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "gateway/gw_session.h"
#include "proto/ssm_msg.h"

#define TYPE_OFF 4U /* of MessageType; ssm-protocol 3.1 */

struct held {
	struct list_node node;
	size_t len;
	uint8_t data[];
};

static void fault_due(void *arg, uint64_t now_ms);

void gw_relay_init(struct gw_relay *r, struct gw *gw, void (*cut)(void *arg, enum gw_side side),
		   void *arg)
{
	*r = (struct gw_relay){ .gw = gw, .cut = cut, .arg = arg };
	for (int i = 0; i < GW_SIDE_N; i++) {
		list_init(&r->end[i].held);
		gwf_init(&r->end[i].fault, gw->fault.seed ? gw->fault.seed + (uint64_t)i : 0);
	}
	loop_timer_init(&r->timer, fault_due, r);
}

static void held_pop(struct gw_relay_end *e, struct held *h)
{
	list_del(&h->node);
	e->held_bytes -= h->len;
	free(h);
}

void gw_relay_fini(struct gw_relay *r)
{
	loop_timer_cancel(r->gw->loop, &r->timer);
	for (int i = 0; i < GW_SIDE_N; i++) {
		list_for_each (n, &r->end[i].held)
			held_pop(&r->end[i], container_of(n, struct held, node));
		gwf_fini(&r->end[i].fault);
	}
}

static size_t waiting_bytes(const struct gw_relay *r, enum gw_side to)
{
	const struct gw_relay_end *e = &r->end[to];

	return e->held_bytes + (e->conn ? ws_queued(r->gw->ws, e->conn) : 0);
}

/* Stops or goes on reading from the side whose messages wait for @to. */
static void steer(struct gw_relay *r, enum gw_side to)
{
	struct gw_relay_end *from = &r->end[gw_other(to)];
	size_t waiting = waiting_bytes(r, to);
	bool stop = from->stopped ? waiting > GWS_HELD_MAX / 4
				  : waiting > GWS_HELD_MAX - WS_MESSAGE_MAX;

	if (stop == from->stopped)
		return;
	from->stopped = stop;
	if (from->conn)
		ws_pause(r->gw->ws, from->conn, stop);
}

static void hold(struct gw_relay *r, enum gw_side to, const uint8_t *p, size_t len)
{
	struct gw_relay_end *e = &r->end[to];
	size_t waiting = waiting_bytes(r, to);
	struct held *h;

	if (waiting > GWS_HELD_MAX || len > GWS_HELD_MAX - waiting ||
	    !(h = malloc(sizeof(*h) + len))) {
		log_limited(loop_now_ms(r->gw->loop), LOG_DEBUG,
			    "relay: %zu bytes dropped, the %s is too far behind", len,
			    to == GW_CLIENT ? "client" : "agent");
		return;
	}
	h->len = len;
	memcpy(h->data, p, len);
	list_push_back(&e->held, &h->node);
	e->held_bytes += len;
}

void gw_relay_deliver(struct gw_relay *r, enum gw_side to, const uint8_t *p, size_t len)
{
	struct gw_relay_end *e = &r->end[to];

	if (!e->conn || !list_empty(&e->held) || ws_send(r->gw->ws, e->conn, p, len, false) < 0)
		hold(r, to, p, len);
	steer(r, to);
}

void gw_relay_writable(struct gw_relay *r, enum gw_side side)
{
	struct gw_relay_end *e = &r->end[side];

	list_for_each (n, &e->held) {
		struct held *h = container_of(n, struct held, node);

		if (ws_send(r->gw->ws, e->conn, h->data, h->len, false) < 0)
			break;
		held_pop(e, h);
	}
	steer(r, side);
}

void gw_relay_attach(struct gw_relay *r, enum gw_side side, ws_conn conn)
{
	struct gw_relay_end *e = &r->end[side];

	e->conn = conn;
	e->carried = 0;
	e->told_pause = false;
	e->unacked = 0;
	if (e->stopped)
		ws_pause(r->gw->ws, conn, true);
	gw_relay_writable(r, side);
}

void gw_relay_detach(struct gw_relay *r, enum gw_side side)
{
	r->end[side].conn = 0;
	steer(r, side);
}

bool gw_relay_is_drained(const struct gw_relay *r, enum gw_side side)
{
	return list_empty(&r->end[side].held);
}

static bool is_type(const uint8_t *p, size_t len, const char *name)
{
	size_t n = strlen(name);

	return len > TYPE_OFF && len - TYPE_OFF >= n && memcmp(p + TYPE_OFF, name, n) == 0;
}

/* ---- with faults ---- */

/* Tells the sender @side to pause or to go on, as the live service does; ssm-protocol 4.7. */
static void tell_pause(struct gw_relay *r, enum gw_side side, bool pause)
{
	struct ssm_msg m = {
		.type = pause ? SSM_PAUSE_PUBLICATION : SSM_START_PUBLICATION,
		.header_len = SSM_HEADER_LEN_OLD,
		.created_ms = (uint64_t)gw_unix_ms(),
		.flags = SSM_FLAGS_ACK,
		.payload = (const uint8_t *)"{}",
		.payload_len = 2,
	};
	uint8_t out[256];
	ssize_t n;

	codec_uuid4(m.id);
	r->end[side].told_pause = pause;
	if ((n = ssm_msg_encode(out, sizeof(out), &m)) > 0)
		gw_relay_deliver(r, side, out, (size_t)n);
}

static void count_unacked(struct gw_relay *r, enum gw_side from, bool is_ack)
{
	struct gw_relay_end *sender = &r->end[is_ack ? gw_other(from) : from];
	uint32_t max = r->gw->fault.pause_unacked;

	if (!is_ack)
		sender->unacked++;
	else if (sender->unacked)
		sender->unacked--;
	if (max && !sender->told_pause && sender->unacked > max)
		tell_pause(r, is_ack ? gw_other(from) : from, true);
	else if (sender->told_pause && (!max || sender->unacked <= max / 2))
		tell_pause(r, is_ack ? gw_other(from) : from, false);
}

static void fault_drain(struct gw_relay *r, uint64_t now_ms)
{
	uint64_t at = GWF_NEVER;
	const uint8_t *p;
	size_t len;
	void *mem;

	for (int i = 0; i < GW_SIDE_N; i++) {
		while ((p = gwf_take(&r->end[i].fault, &len, &mem, now_ms))) {
			gw_relay_deliver(r, gw_other((enum gw_side)i), p, len);
			free(mem);
		}
		at = MIN(at, gwf_deadline(&r->end[i].fault));
	}
	if (at == GWF_NEVER)
		loop_timer_cancel(r->gw->loop, &r->timer);
	else if (loop_timer_set(r->gw->loop, &r->timer, at) < 0)
		log_error("relay: no memory for a timer");
}

static void fault_due(void *arg, uint64_t now_ms)
{
	fault_drain(arg, now_ms);
}

/* Cuts this side's socket if it has carried enough bytes, either way. */
static void fault_cut(struct gw_relay *r, enum gw_side side, size_t len)
{
	const struct gwf_spec *f = &r->gw->fault;
	struct gw_relay_end *e = &r->end[side];

	e->carried += len;
	if (f->cut_after && e->conn && e->carried >= f->cut_after &&
	    (side == GW_CLIENT ? f->cut_client : f->cut_agent))
		r->cut(r->arg, side);
}

static void relay_faulty(struct gw_relay *r, enum gw_side from, const uint8_t *p, size_t len)
{
	bool is_ack = is_type(p, len, "acknowledge");
	uint64_t now_ms = loop_now_ms(r->gw->loop);

	count_unacked(r, from, is_ack);
	gwf_put(&r->end[from].fault, &r->gw->fault, p, len, is_ack, now_ms);
	fault_drain(r, now_ms);
	fault_cut(r, GW_AGENT, len);
	fault_cut(r, GW_CLIENT, len); /* last: an ended session goes with its client */
}

void gw_relay_message(struct gw_relay *r, enum gw_side from, const uint8_t *p, size_t len)
{
	if (from == GW_AGENT && is_type(p, len, "agent_session_state"))
		return;
	/* A sender that was told to pause is told to go on, also if the faults were switched off meanwhile. */
	if (gwf_active(&r->gw->fault) || !list_empty(&r->end[from].fault.queue) ||
	    r->end[GW_CLIENT].told_pause || r->end[GW_AGENT].told_pause)
		relay_faulty(r, from, p, len);
	else
		gw_relay_deliver(r, gw_other(from), p, len);
}
