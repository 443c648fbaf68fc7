// SPDX-License-Identifier: MIT
/*
 * ssm_mux_pair_test.c - both ends of a multiplexed port session against each other
 *
 * Every stream is a request of a pattern and an answer of another; the client shuts down after its request, the
 * agent after the whole request and its answer. Cases: over a pipe cut at random, with owners that take and dial
 * at random, 40 seeds; a reader that stands while megabytes come; over two channels with windows and
 * acknowledgements; an agent that finishes first.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/util.h"
#include "proto/ssm_chan.h"
#include "proto/ssm_mux.h"

#define FLOWS 24U
#define PIPE_MAX KIB(64)
#define CHUNK_MAX 3000U
#define QUEUE_LOW KIB(64) /* of the channel, as the header advises */
#define ROUNDS_MAX 200000U

struct pair;

/* One end of one stream. */
struct flow {
	struct pair *pair;
	unsigned end, index;
	handle h;
	bool open, dialing, stalled, shut, closed;
	uint64_t sent, received;
};

struct end {
	struct pair *pair;
	struct ssm_mux *m;
	struct ssm_chan *chan; /* NULL: the pipe */
	struct buf pipe;       /* what this end sent and the other has not taken */
	struct flow flow[FLOWS];
	unsigned closed;
	bool refused; /* the other's input said ST_EAGAIN */
};

enum { CLIENT, AGENT };

struct pair {
	struct end end[2];
	uint64_t random, now_us;
	uint64_t want[2][FLOWS]; /* bytes that each end is to send */
	bool dial_fails[FLOWS];
	bool agent_first; /* the agent shuts down without waiting for the request */
	int stands;	  /* flow that the agent does not read; -1: none */
	unsigned refusals;
};

static uint64_t rnd(struct pair *p, uint64_t below)
{
	p->random = p->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (p->random >> 33) % below;
}

static uint8_t pattern(unsigned end, unsigned index, uint64_t pos)
{
	return (uint8_t)(pos * 31 + pos / 256 + index * UINT64_C(7) + end * UINT64_C(101));
}

static void end_of_flow(struct flow *f)
{
	const struct pair *p = f->pair;
	const struct end *e = &p->end[f->end];
	bool all = f->sent == p->want[f->end][f->index];

	if (f->end == AGENT && !p->agent_first)
		all = all && f->received == p->want[CLIENT][f->index];
	if (!all || f->shut || f->closed || f->dialing)
		return;
	f->shut = true;
	ssm_mux_shutdown(e->m, f->h);
}

static void *on_accept(void *arg, handle h, uint32_t id)
{
	struct end *e = arg;
	const uint32_t index = (id - 3) / 2;
	struct flow *f = &e->flow[index % FLOWS];

	assert_true(id % 2 == 1 && index < FLOWS && !f->open);
	f->h = h;
	f->open = f->dialing = true;
	return f;
}

static size_t on_data(void *arg, handle h, void *ctx, const uint8_t *p, size_t len)
{
	struct end *e = arg;
	struct flow *f = ctx;
	size_t n = rnd(e->pair, 3) ? len : rnd(e->pair, len + 1);

	assert_true(f->h == h && !f->dialing && !f->closed);
	if (f->end == AGENT && (int)f->index == e->pair->stands)
		n = 0;
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(p[i], pattern(!f->end, f->index, f->received));
		f->received++;
	}
	f->stalled = n < len;
	return n;
}

static void on_closed(void *arg, handle h, void *ctx)
{
	struct end *e = arg;
	struct flow *f = ctx;

	assert_true(f->h == h && !f->closed);
	f->closed = true;
	e->closed++;
}

static size_t on_pull(void *arg, handle h, void *ctx, uint8_t *buf, size_t cap)
{
	struct end *e = arg;
	struct flow *f = ctx;
	size_t n = MIN(cap, e->pair->want[f->end][f->index] - f->sent);

	assert_true(f->h == h && !f->closed && !f->shut);
	if (rnd(e->pair, 4) == 0) /* a short read, or none */
		n = rnd(e->pair, n + 1);
	for (size_t i = 0; i < n; i++)
		buf[i] = pattern(f->end, f->index, f->sent++);
	return n;
}

static void on_unblocked(void *arg)
{
	struct end *e = arg;

	if (e->chan)
		ssm_chan_resume_input(e->chan, e->pair->now_us);
	e->pair->end[e == &e->pair->end[CLIENT] ? AGENT : CLIENT].refused = false;
}

static const struct ssm_mux_events events = { on_accept, on_data, on_closed, on_pull,
					      on_unblocked };

static void pair_start(struct pair *p, uint64_t seed)
{
	memset(p, 0, sizeof(*p));
	p->random = seed;
	p->now_us = 1000000;
	p->stands = -1;
	for (unsigned i = 0; i < 2; i++) {
		struct end *e = &p->end[i];
		struct ssm_mux_opts opts = {
			.role = i == CLIENT ? SSM_ROLE_CLIENT : SSM_ROLE_AGENT,
			.frame_max = rnd(p, 2) ? 0 : (uint32_t)rnd(p, SSM_MUX_FRAME_MAX) + 1,
			.events = &events,
			.arg = e,
		};

		e->pair = p;
		buf_init(&e->pipe, PIPE_MAX);
		assert_int_equal(ssm_mux_new(&e->m, &opts), 0);
		for (unsigned k = 0; k < FLOWS; k++)
			e->flow[k] = (struct flow){ .pair = p, .end = i, .index = k };
	}
}

static void pair_end(struct pair *p)
{
	for (unsigned i = 0; i < 2; i++) {
		buf_fini(&p->end[i].pipe);
		ssm_mux_free(p->end[i].m);
		ssm_chan_free(p->end[i].chan);
	}
}

/* What the sockets of one end's connections do in a round. */
static void owner_round(struct end *e)
{
	struct pair *p = e->pair;

	for (unsigned i = 0; i < FLOWS; i++) {
		struct flow *f = &e->flow[i];

		if (f->dialing && !f->closed && rnd(p, 4) == 0) {
			f->dialing = false;
			if (p->dial_fails[i]) {
				f->closed = true;
				assert_int_equal(ssm_mux_accept_fail(e->m, f->h), 0);
				e->closed++;
			} else {
				assert_int_equal(ssm_mux_accept_ok(e->m, f->h), 0);
			}
		}
		if (!f->open || f->closed || f->dialing)
			continue;
		if (f->stalled && rnd(p, 3) == 0)
			ssm_mux_resume(e->m, f->h);
		if (f->closed)
			continue;
		end_of_flow(f);
		if (f->sent < p->want[f->end][i])
			ssm_mux_ready(e->m, f->h);
	}
}

/* Flows are opened in their order, so that the agent knows them by their ids. */
static void open_next(struct pair *p)
{
	struct end *e = &p->end[CLIENT];
	unsigned i = 0;

	while (i < FLOWS && e->flow[i].open)
		i++;
	if (i == FLOWS)
		return;
	assert_int_equal(ssm_mux_open(e->m, &e->flow[i], &e->flow[i].h), 0);
	e->flow[i].open = true;
	assert_int_equal(ssm_mux_stream_id(e->m, e->flow[i].h), 3 + 2 * i);
}

static void pipe_round(struct end *from, struct end *to)
{
	struct pair *p = from->pair;
	const size_t cap = rnd(p, CHUNK_MAX) + 1; /* a macro would ask twice */
	uint8_t chunk[CHUNK_MAX];
	size_t n = ssm_mux_output(from->m, chunk, MIN(cap, buf_room(&from->pipe)), p->now_us);
	int r;

	assert_int_equal(buf_put(&from->pipe, chunk, n), 0);
	if (from->refused || from->pipe.len == 0)
		return;
	n = rnd(p, MIN(from->pipe.len, (size_t)CHUNK_MAX)) + 1;
	r = ssm_mux_input(to->m, buf_data(&from->pipe), n, p->now_us);
	if (r == ST_EAGAIN) {
		from->refused = true;
		p->refusals++;
		return;
	}
	assert_int_equal(r, 0);
	buf_consume(&from->pipe, n);
}

static void chan_round(struct end *from, struct end *to)
{
	struct pair *p = from->pair;
	static uint8_t out[QUEUE_LOW];
	struct ssm_chan_stats st;
	const uint8_t *msg;
	size_t len, n;

	ssm_chan_stats(from->chan, &st);
	n = MIN(ssm_chan_room(from->chan), QUEUE_LOW - MIN(st.queued_bytes, QUEUE_LOW));
	n = ssm_mux_output(from->m, out, n, p->now_us);
	assert_int_equal(ssm_chan_send(from->chan, out, n, p->now_us), n);
	while (ssm_chan_next_output(from->chan, &msg, &len, p->now_us))
		assert_int_equal(ssm_chan_input(to->chan, msg, len, p->now_us), 0);
	if (ssm_chan_deadline(from->chan) <= p->now_us)
		ssm_chan_expire(from->chan, p->now_us);
}

static void pair_round(struct pair *p)
{
	struct ssm_mux_stats st;

	p->now_us += 1000;
	if (rnd(p, 4) == 0)
		open_next(p);
	for (unsigned i = 0; i < 2; i++) {
		struct end *e = &p->end[i];

		owner_round(e);
		(e->chan ? chan_round : pipe_round)(e, &p->end[!i]);
		ssm_mux_stats(e->m, &st);
		assert_true(st.buffered_bytes <= SSM_MUX_BUFFER_MAX);
	}
}

static void pair_run(struct pair *p)
{
	for (unsigned n = 0; p->end[CLIENT].closed < FLOWS || p->end[AGENT].closed < FLOWS; n++) {
		assert_true(n < ROUNDS_MAX);
		pair_round(p);
	}
	for (unsigned n = 0; n < 1000; n++) /* the last FINs */
		pair_round(p);
	for (unsigned i = 0; i < 2; i++) {
		struct ssm_mux_stats st;

		ssm_mux_stats(p->end[i].m, &st);
		assert_int_equal(st.streams, 0);
		assert_int_equal(st.buffered_bytes, 0);
		assert_int_equal(st.opened, FLOWS);
		assert_int_equal(ssm_mux_error(p->end[i].m, NULL), 0);
	}
}

/* Every byte of a flow whose dial did not fail arrived; the pattern was checked on the way. */
static void pair_check(const struct pair *p)
{
	for (unsigned i = 0; i < FLOWS; i++) {
		const struct flow *c = &p->end[CLIENT].flow[i], *a = &p->end[AGENT].flow[i];

		if (p->dial_fails[i]) {
			assert_int_equal(a->received + c->received, 0);
			continue;
		}
		assert_int_equal(a->received, p->want[CLIENT][i]);
		assert_int_equal(c->received, p->want[AGENT][i]);
	}
}

static void test_random(void **state)
{
	static struct pair p;

	(void)state;
	for (uint64_t seed = 1; seed <= 40; seed++) {
		pair_start(&p, seed);
		for (unsigned i = 0; i < FLOWS; i++) {
			p.want[CLIENT][i] = rnd(&p, 5) ? rnd(&p, 20000) : 0;
			p.want[AGENT][i] = rnd(&p, 5) ? rnd(&p, 20000) : 0;
			p.dial_fails[i] = rnd(&p, 6) == 0;
		}
		pair_run(&p);
		pair_check(&p);
		pair_end(&p);
	}
}

static void test_standing_reader(void **state)
{
	static struct pair p;
	struct ssm_mux_stats st;
	uint64_t before;

	(void)state;
	pair_start(&p, 7);
	p.want[CLIENT][0] = MIB(6);
	for (unsigned i = 1; i < FLOWS; i++)
		p.want[AGENT][i] = p.want[CLIENT][i] = 5000;
	p.stands = 0;
	while (p.refusals == 0)
		pair_round(&p);
	ssm_mux_stats(p.end[AGENT].m, &st);
	assert_true(st.buffered_bytes > SSM_MUX_BUFFER_MAX - CHUNK_MAX);
	assert_int_equal(ssm_mux_stream_buffered(p.end[AGENT].m, p.end[AGENT].flow[0].h),
			 st.buffered_bytes);
	for (unsigned n = 0; n < 2000;
	     n++) /* all stand, and our end reads no more of its sockets */
		pair_round(&p);
	before = p.end[CLIENT].flow[0].sent;
	for (unsigned n = 0; n < 2000; n++)
		pair_round(&p);
	assert_int_equal(p.end[CLIENT].flow[0].sent, before);
	assert_true(before < SSM_MUX_BUFFER_MAX + 2 * PIPE_MAX);
	p.stands = -1;
	pair_run(&p);
	pair_check(&p);
	pair_end(&p);
}

static int chan_data(void *arg, uint32_t payload_type, const uint8_t *bytes, size_t len)
{
	struct end *e = arg;
	int r;

	assert_int_equal(payload_type, SSM_PT_OUTPUT);
	r = ssm_mux_input(e->m, bytes, len, e->pair->now_us);
	if (r == ST_EAGAIN)
		e->pair->refusals++;
	return r;
}

static const struct ssm_chan_events chan_events = { .data = chan_data };

static void over_channels(struct pair *p)
{
	for (unsigned i = 0; i < 2; i++) {
		struct end *e = &p->end[i];
		struct ssm_chan_opts opts = {
			.role = i == CLIENT ? SSM_ROLE_CLIENT : SSM_ROLE_AGENT,
			.now_us = p->now_us,
			.unix_ms = 1700000000000,
			.session_id = "test",
			.session_type = "Port",
			.properties_json =
				"{\"portNumber\":\"80\",\"type\":\"LocalPortForwarding\"}",
			.events = &chan_events,
			.arg = e,
		};

		assert_int_equal(ssm_chan_new(&e->chan, &opts), 0);
		ssm_chan_transport_up(e->chan, p->now_us);
	}
}

static void test_over_channels(void **state)
{
	static struct pair p;

	(void)state;
	for (uint64_t seed = 1; seed <= 3; seed++) {
		pair_start(&p, seed);
		over_channels(&p);
		for (unsigned i = 0; i < FLOWS; i++) {
			p.want[CLIENT][i] = rnd(&p, 100000);
			p.want[AGENT][i] = rnd(&p, 100000);
			p.dial_fails[i] = rnd(&p, 6) == 0;
		}
		if (seed == 1) {
			p.want[CLIENT][0] = MIB(6);
			p.dial_fails[0] = false;
			p.stands = 0;
			while (p.refusals == 0)
				pair_round(&p);
			p.stands = -1;
		}
		pair_run(&p);
		pair_check(&p);
		pair_end(&p);
	}
}

/* Nobody waits for the other for ever, though both have shut down; what the agent sent arrives. */
static void test_agent_first(void **state)
{
	static struct pair p;

	(void)state;
	for (uint64_t seed = 1; seed <= 10; seed++) {
		pair_start(&p, seed);
		p.agent_first = true;
		for (unsigned i = 0; i < FLOWS; i++) {
			p.want[CLIENT][i] = rnd(&p, 20000);
			p.want[AGENT][i] = rnd(&p, 3000);
		}
		pair_run(&p);
		for (unsigned i = 0; i < FLOWS; i++) {
			assert_int_equal(p.end[CLIENT].flow[i].received, p.want[AGENT][i]);
			assert_int_equal(p.end[AGENT].flow[i].received, p.end[CLIENT].flow[i].sent);
		}
		pair_end(&p);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_standing_reader),
		cmocka_unit_test(test_over_channels),
		cmocka_unit_test(test_agent_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
