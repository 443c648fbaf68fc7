// SPDX-License-Identifier: MIT
/*
 * stock_agent.c - a model of the stock amazon-ssm-agent's session worker with its faults
 *
 * Theory of operation, by sections of ssm-protocol:
 *
 * Receiving (4.3). The expected message is processed, then acknowledged. A later number is
 * acknowledged and kept, 100,000 of them, an old one is acknowledged again. What was kept is drained
 * through the whole dispatcher; a handler that is not ready then leaves the message kept and the
 * stream stuck. The digest is never looked at (3.3; every message here has a right one).
 *   The flag that the handshake is complete is set 0 to 3 ms after HandshakeComplete went out; data
 *   before it is acknowledged and thrown away (4.4).
 *   Until the TCP connection to the port stands, data is neither taken nor acknowledged (4.3, 11).
 *   A second HandshakeResponse blocks the reader for ever (5.2): it is deaf from then on.
 * If the acknowledgement can't be written the number stays expected, and the message, sent again, is
 * processed a second time: only its own dead socket does that (4.3, trap 38).
 *
 * Sending (4.5, 4.7, 10). A read of at most 1,024 bytes, a message, 1 ms of sleep. No window. The
 * buffer holds 100,000; beyond, messages are sent and not kept. Every 100 ms the oldest alone is looked
 * at, and sent again if its last sending is longer ago than the RTO. An acknowledgement that is
 * registered before the message is in the buffer is lost on it, and the message is repeated until it
 * is acknowledged once more (11).
 *   pause_publication: nothing is read nor resent; the chunk that was read already gets its number and
 *   is kept, unsent, so that only the tick will send it, after newer ones. start_publication, any
 *   message or acknowledgement from the client, and a new socket end the pause.
 *
 * Its own socket cut (2.6). It goes on numbering and keeping; six calls for a new socket. No new
 * handshake.
 *
 * Its app ended (6.3): it closes, and the service tells the client. The handshake's 15 s are kept
 * (5.2).
 */
#include <stdlib.h>

#include "base/err.h"
#include "proto/ssm_ack.h"
#include "stock.h"

#define BUFFER_MAX 100000U /* both ways; 4.5 */
#define HANDSHAKE_US (15 * SIM_SECOND)
#define PORT_MAX_US (200 * SIM_MS) /* to connect to the port; ours */
#define EARLY_ACK_PERMILLE 2U	   /* ours: fits what section 11 measured, see models.c */

static const char request[] =
	"{\"AgentVersion\":\"3.3.0.0\",\"RequestedClientActions\":[{\"ActionType\":\"SessionType\","
	"\"ActionParameters\":{\"SessionType\":\"Port\",\"Properties\":{\"portNumber\":\"22\"}}}]}";
static const char complete[] = "{\"HandshakeTimeToComplete\":1018567,\"CustomerMessage\":\"\"}";

struct agent {
	struct sim_end end;
	struct stock_buffer in, out;
	struct stock_rtt rtt;
	int64_t expected, next_seq;
	bool started, responded, deaf;
	uint64_t flag_us; /* the handshake counts as complete from then on; SIM_NEVER: not yet */
	uint64_t port_us; /* the port is connected */
	uint64_t pump_us;
	uint64_t phase_us, ticked_us;
	bool paused, paused_read; /* paused; the chunk in hand is numbered */
	bool up;
	unsigned open_calls;
	uint64_t open_us, open_first_us;
};

static struct agent *agent_of(struct sim_end *e)
{
	return container_of(e, struct agent, end);
}

static void end_over(struct agent *a, const char *what)
{
	sim_note(a->end.sim, what, a->end.side, 0, 0);
	a->end.over = true;
	relay_close(a->end.session);
}

/* ---- sending ---- */

static void stream_send(struct agent *a, uint32_t payload_type, const void *p, size_t len)
{
	struct sim *s = a->end.sim;
	struct sim_packet *m = stock_stream(&a->end, a->next_seq, payload_type, p, len);

	if (a->out.n < BUFFER_MAX) {
		struct stock_slot *slot;

		stock_buffer_put(s, &a->out, a->next_seq, m);
		slot = stock_buffer_get(&a->out, a->next_seq);
		slot->first_us = slot->last_us = s->now_us;
	}
	a->next_seq++;
	if (!a->paused)
		relay_send(&a->end, m);
	sim_packet_unref(s, m);
}

static uint64_t resend_due_us(struct agent *a)
{
	int64_t seq;
	const struct stock_slot *slot = stock_buffer_oldest(&a->out, &seq);

	if (!slot || a->paused)
		return SIM_NEVER;
	return stock_tick_at(a->phase_us, MAX(slot->last_us + a->rtt.rto_us, a->ticked_us) + 1);
}

static void resend(struct agent *a)
{
	int64_t seq;
	struct stock_slot *slot = stock_buffer_oldest(&a->out, &seq);

	a->ticked_us = slot->last_us = a->end.sim->now_us;
	slot->sends++;
	sim_note(a->end.sim, "resends", a->end.side, (uint64_t)seq, slot->sends);
	relay_send(&a->end, slot->p);
}

static void pump(struct agent *a)
{
	struct sim *s = a->end.sim;
	const uint8_t *p;
	size_t len = stock_read(s, app_peek(a->end.app, &p, STOCK_CHUNK));

	stream_send(a, SSM_PT_OUTPUT, p, len);
	app_advance(a->end.app, len);
	a->paused_read = a->paused;
	a->pump_us = s->now_us + STOCK_SLEEP_US;
}

static uint64_t pump_due_us(const struct agent *a)
{
	if (a->flag_us == SIM_NEVER || a->end.app->sent == a->end.app->to_send)
		return SIM_NEVER;
	if (a->paused && a->paused_read)
		return SIM_NEVER;
	return MAX(MAX(a->flag_us, a->port_us), a->pump_us);
}

static void pause_end(struct agent *a)
{
	a->paused = a->paused_read = false;
}

static void ack_arrived(struct agent *a, const struct ssm_msg *m)
{
	struct sim *s = a->end.sim;
	struct stock_slot *slot;
	int64_t seq;

	pause_end(a);
	if (ssm_ack_read(&seq, m->payload, m->payload_len) < 0 ||
	    !(slot = stock_buffer_get(&a->out, seq)))
		return;
	if (slot->sends == 0 && sim_chance(s, EARLY_ACK_PERMILLE)) {
		sim_note(s, "early ack", a->end.side, (uint64_t)seq, 0);
		return;
	}
	stock_rtt_sample(&a->rtt, s->now_us - slot->last_us);
	stock_buffer_del(s, &a->out, seq);
}

/* ---- receiving ---- */

static void response_arrived(struct agent *a)
{
	struct sim *s = a->end.sim;

	if (a->responded) {
		sim_note(s, "goes deaf", a->end.side, 0, 0);
		a->deaf = true;
		return;
	}
	a->responded = true;
	stream_send(a, SSM_PT_HANDSHAKE_COMPLETE, complete, sizeof(complete) - 1);
	a->flag_us = s->now_us + sim_below(s, STOCK_LATE_MAX_US);
}

/* Return: false if the handler is not ready */
static bool process(struct agent *a, const struct ssm_msg *m)
{
	struct sim *s = a->end.sim;

	if (m->payload_type == SSM_PT_HANDSHAKE_RESPONSE) {
		response_arrived(a);
		return !a->deaf;
	}
	if (s->now_us < a->flag_us) {
		sim_note(s, "throws", a->end.side, (uint64_t)m->seq, 0);
		return true;
	}
	if (s->now_us < a->port_us)
		return false;
	if (m->payload_type == SSM_PT_OUTPUT &&
	    app_take(a->end.app, m->payload, m->payload_len) < 0)
		end_over(a, "ssh ends");
	return true;
}

static void drain(struct agent *a)
{
	struct stock_slot *slot;
	struct ssm_msg m;

	while (!a->end.over && (slot = stock_buffer_get(&a->in, a->expected))) {
		if (ssm_msg_decode(&m, slot->p->bytes, slot->p->len) < 0)
			ST_BUG("a kept message can't be read");
		if (!process(a, &m))
			return;
		stock_buffer_del(a->end.sim, &a->in, a->expected++);
	}
}

static void expected(struct agent *a, const struct ssm_msg *m)
{
	if (!process(a, m) || a->end.over)
		return;
	if (!stock_ack(&a->end, m)) {
		sim_note(a->end.sim, "ack fails", a->end.side, (uint64_t)m->seq, 0);
		return;
	}
	a->expected++;
	drain(a);
}

static void stream_arrived(struct agent *a, const struct ssm_msg *m, struct sim_packet *p)
{
	pause_end(a);
	if (m->seq == a->expected) {
		expected(a, m);
	} else if (m->seq < a->expected) {
		stock_ack(&a->end, m);
	} else if (a->in.n < BUFFER_MAX) {
		if (stock_ack(&a->end, m))
			stock_buffer_put(a->end.sim, &a->in, m->seq, p);
	}
}

static void input(struct sim_end *e, struct sim_packet *p)
{
	struct agent *a = agent_of(e);
	struct ssm_msg m;

	if (a->deaf || ssm_msg_decode(&m, p->bytes, p->len) < 0)
		return;
	if (m.type == SSM_INPUT_STREAM_DATA)
		stream_arrived(a, &m, p);
	else if (m.type == SSM_ACKNOWLEDGE)
		ack_arrived(a, &m);
	else if (m.type == SSM_PAUSE_PUBLICATION)
		a->paused = true;
	else if (m.type == SSM_START_PUBLICATION)
		pause_end(a);
	else if (m.type == SSM_CHANNEL_CLOSED)
		end_over(a, "ends");
}

/* ---- its socket ---- */

static void transport(struct sim_end *e, bool up)
{
	struct agent *a = agent_of(e);

	a->up = up;
	a->open_us = up ? SIM_NEVER : e->sim->now_us;
	a->open_calls = 0;
	a->open_first_us = 100 * SIM_MS + sim_below(e->sim, 100 * SIM_MS);
	if (up)
		pause_end(a);
}

static void open_again(struct agent *a)
{
	struct sim *s = a->end.sim;

	if (relay_open(&a->end)) {
		transport(&a->end, true);
	} else if (++a->open_calls == STOCK_OPEN_CALLS) {
		end_over(a, "lingers");
	} else {
		a->open_us = s->now_us + stock_open_delay(s, a->open_calls, a->open_first_us);
	}
}

/* ---- the end ---- */

static uint64_t deadline(const struct sim_end *e)
{
	struct agent *a = (struct agent *)(uintptr_t)e;
	uint64_t at_us = MIN(a->open_us, MIN(pump_due_us(a), resend_due_us(a)));

	return a->responded ? at_us : MIN(at_us, SIM_START_US + HANDSHAKE_US);
}

static void expire(struct sim_end *e)
{
	struct agent *a = agent_of(e);
	uint64_t now_us = e->sim->now_us;

	if (!a->responded && now_us >= SIM_START_US + HANDSHAKE_US) {
		sim_fail(e->sim, "the stock agent's handshake timed out");
		return;
	}
	if (a->open_us <= now_us)
		open_again(a);
	if (!e->over && resend_due_us(a) <= now_us)
		resend(a);
	if (!e->over && pump_due_us(a) <= now_us)
		pump(a);
}

static void settle(struct sim_end *e)
{
	struct agent *a = agent_of(e);

	if (a->started)
		return;
	a->started = true;
	stream_send(a, SSM_PT_HANDSHAKE_REQUEST, request, sizeof(request) - 1);
}

static bool idle(const struct sim_end *e, const char **why)
{
	const struct agent *a = (const struct agent *)(uintptr_t)e;

	*why = "keeps messages unacknowledged";
	if (a->out.n)
		return false;
	*why = "keeps messages out of order";
	return a->in.n == 0;
}

static void end_free(struct sim_end *e)
{
	struct agent *a = agent_of(e);

	stock_buffer_fini(e->sim, &a->in);
	stock_buffer_fini(e->sim, &a->out);
	free(a);
}

static const struct sim_end_ops ops = {
	.name = "the stock agent",
	.input = input,
	.transport = transport,
	.deadline = deadline,
	.expire = expire,
	.settle = settle,
	.idle = idle,
	.free = end_free,
};

struct sim_end *stock_agent_new(struct sim_session *ss)
{
	struct agent *a = sim_xmalloc(sizeof(*a));
	struct sim *s = ss->sim;

	a->end = (struct sim_end){ .ops = &ops,
				   .session = ss,
				   .sim = s,
				   .side = SIM_AGENT,
				   .armed_us = SIM_NEVER,
				   .app = &ss->app[SIM_AGENT] };
	a->flag_us = a->open_us = SIM_NEVER;
	a->up = true;
	a->phase_us = sim_below(s, STOCK_TICK_US);
	a->port_us = s->now_us + sim_below(s, PORT_MAX_US);
	stock_rtt_init(&a->rtt);
	ss->end[SIM_AGENT] = &a->end;
	ss->app[SIM_AGENT].end = &a->end;
	return &a->end;
}
