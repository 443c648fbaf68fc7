// SPDX-License-Identifier: MIT
/*
 * stock_client.c - a model of the stock session-manager-plugin with its faults
 *
 * Theory of operation, by sections of ssm-protocol:
 *
 * Receiving (4.3). The expected handshake message is acknowledged first, then processed. Expected data
 * goes to the session's handler, and is acknowledged when that has taken it; while the handler is
 * not ready it is neither. A later number is acknowledged and kept, 10,000 of them; an old one is
 * dropped without a word, and so an acknowledgement that is lost never comes again. After every step
 * what was kept is drained, and there
 *   a handshake message goes to the output handlers, so that the plugin never sees it (39, 40),
 *   data that the handler is not ready for is lost.
 * The handler is ready some ms after HandshakeComplete (another thread sets it up). A message with a
 * wrong digest is dropped (3.3). pause_publication and start_publication are ignored (4.7).
 *
 * Sending (4.5, 10). A read of at most 1,024 bytes, a message, 1 ms of sleep. No window. The buffer
 * holds 10,000, then the oldest is dropped. Every 100 ms the oldest alone is looked at, and sent
 * again if it was FIRST sent longer ago than the RTO, which is a round-trip time from that
 * same first sending. 3,000 copies of one message end the session.
 *
 * Its own socket cut (2.5). A write that fails ends the program, so it lives only if it has nothing
 * to say meanwhile; an acknowledgement that fails leaves the number expected, and the message will be
 * processed twice. Six calls for a new socket at about 0, 0.15, 0.45, 1.05, 2.25 and 4.6 s; then it
 * hangs without an end.
 *
 * Not modelled: a lone 0x0A that becomes 0x0D (trap 23), readers that panic (3.3).
 */
#include <stdlib.h>

#include "base/err.h"
#include "proto/ssm_ack.h"
#include "stock.h"

#define BUFFER_MAX 10000U /* both ways; 4.5 */
#define READY_US                                                                                   \
	(3 *                                                                                       \
	 SIM_MS) /* after the agent's flag as a rule (4.4): it was not seen to lose its first message */
#define ATTEMPTS_MAX 3000U /* 4.5 */

static const char response[] =
	"{\"ClientVersion\":\"1.2.707.0\",\"ProcessedClientActions\":[{\"ActionType\":"
	"\"SessionType\","
	"\"ActionStatus\":1,\"ActionResult\":null,\"Error\":\"\"}],\"Errors\":null}";

struct client {
	struct sim_end end;
	struct stock_buffer in, out;
	struct stock_rtt rtt;
	int64_t expected, next_seq;
	uint64_t
		ready_us; /* the handler is there from then on; SIM_NEVER: no HandshakeComplete yet */
	uint64_t pump_us; /* the next read */
	uint64_t phase_us, ticked_us;
	bool up;
	unsigned open_calls;
	uint64_t open_us, open_first_us;
};

static struct client *client_of(struct sim_end *e)
{
	return container_of(e, struct client, end);
}

/* The program is gone, or does nothing any more. */
static void end_over(struct client *c, const char *what)
{
	sim_note(c->end.sim, what, c->end.side, 0, 0);
	c->end.over = true;
}

/* ---- sending ---- */

static void stream_send(struct client *c, uint32_t payload_type, const void *p, size_t len)
{
	struct sim *s = c->end.sim;
	struct sim_packet *m = stock_stream(&c->end, c->next_seq, payload_type, p, len);
	struct stock_slot *slot;
	int64_t oldest;

	if (!relay_send(&c->end, m)) {
		sim_packet_unref(s, m);
		end_over(c, "dies");
		return;
	}
	if (c->out.n == BUFFER_MAX && stock_buffer_oldest(&c->out, &oldest))
		stock_buffer_del(s, &c->out, oldest);
	stock_buffer_put(s, &c->out, c->next_seq, m);
	slot = stock_buffer_get(&c->out, c->next_seq);
	slot->first_us = slot->last_us = s->now_us;
	slot->sends = 1;
	c->next_seq++;
	sim_packet_unref(s, m);
}

static uint64_t resend_due_us(struct client *c)
{
	int64_t seq;
	const struct stock_slot *slot = stock_buffer_oldest(&c->out, &seq);

	if (!slot || !c->up)
		return SIM_NEVER;
	return stock_tick_at(c->phase_us, MAX(slot->first_us + c->rtt.rto_us, c->ticked_us) + 1);
}

static void resend(struct client *c)
{
	int64_t seq;
	struct stock_slot *slot = stock_buffer_oldest(&c->out, &seq);

	c->ticked_us = c->end.sim->now_us;
	if (++slot->sends > ATTEMPTS_MAX)
		sim_fail(c->end.sim, "the stock client gave up message %lld", (long long)seq);
	sim_note(c->end.sim, "resends", c->end.side, (uint64_t)seq, slot->sends);
	relay_send(&c->end, slot->p);
}

static void pump(struct client *c)
{
	struct sim *s = c->end.sim;
	const uint8_t *p;
	size_t len = app_peek(c->end.app, &p, STOCK_CHUNK);

	len = stock_read(s, len);
	stream_send(c, SSM_PT_OUTPUT, p, len);
	if (!c->end.over)
		app_advance(c->end.app, len);
	c->pump_us = s->now_us + STOCK_SLEEP_US;
}

static uint64_t pump_due_us(const struct client *c)
{
	if (c->ready_us == SIM_NEVER || c->end.app->sent == c->end.app->to_send)
		return SIM_NEVER;
	return MAX(c->ready_us, c->pump_us);
}

static void ack_arrived(struct client *c, const struct ssm_msg *m)
{
	struct stock_slot *slot;
	int64_t seq;

	if (ssm_ack_read(&seq, m->payload, m->payload_len) < 0 ||
	    !(slot = stock_buffer_get(&c->out, seq)))
		return;
	stock_rtt_sample(&c->rtt, c->end.sim->now_us - slot->first_us);
	stock_buffer_del(c->end.sim, &c->out, seq);
}

/* ---- receiving ---- */

/* The output handlers. Return: false if they are not there yet */
static bool handlers_take(struct client *c, const struct ssm_msg *m)
{
	if (c->end.sim->now_us < c->ready_us)
		return false;
	if (app_take(c->end.app, m->payload, m->payload_len) < 0)
		end_over(c, "ssh ends");
	return true;
}

static void handshake_message(struct client *c, const struct ssm_msg *m)
{
	struct sim *s = c->end.sim;

	if (m->payload_type == SSM_PT_HANDSHAKE_REQUEST)
		stream_send(c, SSM_PT_HANDSHAKE_RESPONSE, response, sizeof(response) - 1);
	else if (c->ready_us == SIM_NEVER)
		c->ready_us = s->now_us + READY_US + sim_below(s, STOCK_LATE_MAX_US);
}

static void drain(struct client *c)
{
	struct sim *s = c->end.sim;
	struct stock_slot *slot;
	struct ssm_msg m;

	while (!c->end.over && (slot = stock_buffer_get(&c->in, c->expected))) {
		if (ssm_msg_decode(&m, slot->p->bytes, slot->p->len) < 0)
			ST_BUG("a kept message can't be read");
		if (m.payload_type != SSM_PT_OUTPUT)
			sim_note(s, "misses", c->end.side, m.payload_type, 0);
		else if (!handlers_take(c, &m))
			sim_note(s, "loses data", c->end.side, (uint64_t)m.seq, 0);
		stock_buffer_del(s, &c->in, c->expected++);
	}
}

static void expected(struct client *c, const struct ssm_msg *m)
{
	bool handshake = m->payload_type == SSM_PT_HANDSHAKE_REQUEST ||
			 m->payload_type == SSM_PT_HANDSHAKE_COMPLETE;

	if (!handshake && !handlers_take(c, m))
		return;
	if (!stock_ack(&c->end, m) || c->end.over)
		return;
	if (handshake)
		handshake_message(c, m);
	c->expected++;
	drain(c);
}

static void stream_arrived(struct client *c, const struct ssm_msg *m, struct sim_packet *p)
{
	if (m->seq == c->expected) {
		expected(c, m);
	} else if (m->seq > c->expected && c->in.n < BUFFER_MAX) {
		if (stock_ack(&c->end, m))
			stock_buffer_put(c->end.sim, &c->in, m->seq, p);
	}
}

static void input(struct sim_end *e, struct sim_packet *p)
{
	struct client *c = client_of(e);
	struct ssm_msg m;

	if (ssm_msg_decode(&m, p->bytes, p->len) < 0)
		return;
	if (m.type == SSM_OUTPUT_STREAM_DATA)
		stream_arrived(c, &m, p);
	else if (m.type == SSM_ACKNOWLEDGE)
		ack_arrived(c, &m);
	else if (m.type == SSM_CHANNEL_CLOSED)
		end_over(c, "exits");
}

/* ---- its socket ---- */

static void transport(struct sim_end *e, bool up)
{
	struct client *c = client_of(e);

	c->up = up;
	c->open_us = up ? SIM_NEVER : e->sim->now_us;
	c->open_calls = 0;
	c->open_first_us = 100 * SIM_MS + sim_below(e->sim, 100 * SIM_MS);
}

static void open_again(struct client *c)
{
	struct sim *s = c->end.sim;

	if (relay_open(&c->end)) {
		transport(&c->end, true);
	} else if (++c->open_calls == STOCK_OPEN_CALLS) {
		end_over(c, "hangs");
	} else {
		c->open_us = s->now_us + stock_open_delay(s, c->open_calls, c->open_first_us);
	}
}

/* ---- the end ---- */

static uint64_t deadline(const struct sim_end *e)
{
	struct client *c = (struct client *)(uintptr_t)e;

	return MIN(c->open_us, MIN(pump_due_us(c), resend_due_us(c)));
}

static void expire(struct sim_end *e)
{
	struct client *c = client_of(e);
	uint64_t now_us = e->sim->now_us;

	if (c->open_us <= now_us)
		open_again(c);
	if (!e->over && resend_due_us(c) <= now_us)
		resend(c);
	if (!e->over && pump_due_us(c) <= now_us)
		pump(c);
}

static void settle(struct sim_end *e)
{
	(void)e; /* its threads have timers of their own */
}

static bool idle(const struct sim_end *e, const char **why)
{
	const struct client *c = (const struct client *)(uintptr_t)e;

	*why = "keeps messages unacknowledged";
	if (c->out.n)
		return false;
	*why = "keeps messages out of order";
	return c->in.n == 0;
}

static void end_free(struct sim_end *e)
{
	struct client *c = client_of(e);

	stock_buffer_fini(e->sim, &c->in);
	stock_buffer_fini(e->sim, &c->out);
	free(c);
}

static const struct sim_end_ops ops = {
	.name = "the stock client",
	.input = input,
	.transport = transport,
	.deadline = deadline,
	.expire = expire,
	.settle = settle,
	.idle = idle,
	.free = end_free,
};

struct sim_end *stock_client_new(struct sim_session *ss)
{
	struct client *c = sim_xmalloc(sizeof(*c));

	c->end = (struct sim_end){ .ops = &ops,
				   .session = ss,
				   .sim = ss->sim,
				   .side = SIM_CLIENT,
				   .armed_us = SIM_NEVER,
				   .app = &ss->app[SIM_CLIENT] };
	c->ready_us = c->open_us = SIM_NEVER;
	c->up = true;
	c->phase_us = sim_below(ss->sim, STOCK_TICK_US);
	stock_rtt_init(&c->rtt);
	ss->end[SIM_CLIENT] = &c->end;
	ss->app[SIM_CLIENT].end = &c->end;
	return &c->end;
}
