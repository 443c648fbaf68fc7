// SPDX-License-Identifier: MIT
/*
 * latency.c - what a bulk sender adds to an echo at a bottleneck
 *
 * Theory of operation: two sessions share a line of 1 MB/s each way and 50 ms RTT with an endless
 * queue. One carries an echo of 16 bytes every 50 ms for the whole time, the other bulk from the 3rd
 * second on. Counted from 2 s after the bulk began, over 30 s:
 *   echo beside   the round trip of the echo in its own session, less the one before the bulk: what
 *                 bulk adds for others on the same line
 *   echo behind   the time from handing a byte to the bulk's own channel, which holds at most 4 KiB
 *                 that were never sent, to its arrival, less the one-way delay: what the messages in
 *                 flight add for one more byte of the same stream. What an owner queues before is
 *                 its own affair: at most SSM_SEND_QUEUE_MAX, in the tunnel 256 KiB.
 *   line used     bytes of messages delivered for the first time, with headers, against what the
 *                 line can carry
 */
#include <math.h>
#include <stdlib.h>

#include "scenario.h"

#define RTT_US (50 * SIM_MS)
#define LINE UINT64_C(1000000) /* bytes a second */
#define ECHO_LEN 16U
#define TICK_US (50 * SIM_MS)
#define BULK_FROM_US (3 * SIM_SECOND)
#define COUNT_FROM_US (BULK_FROM_US + 2 * SIM_SECOND)
#define COUNT_FOR_US (30 * SIM_SECOND)
#define ENDLESS (UINT64_C(1) << 40)
#define ADDED_MAX_MS 100.0
#define LINE_MIN_PCT 95.0
/* Both ways the acknowledgements wait in the other's queue and come in bursts, and so do the messages
 * that they release. */
#define BOTH_MAX_MS 150.0
#define BOTH_LINE_MIN_PCT 90.0

struct mark {
	uint64_t at_bytes, at_us; /* 0 bytes: none */
};

struct lab {
	struct scenario_world *w;
	struct sim_session *echo, *bulk;
	bool dir[SIM_ENDS]; /* which side sends bulk */
	uint64_t echo_sent_us;
	struct samples base, beside, behind[SIM_ENDS];
	struct mark mark[SIM_ENDS]; /* by sender */
	uint64_t counted_from[SIM_ENDS];
	struct sim_session *more; /* a second bulk session */
};

static bool counting(const struct lab *l)
{
	return world_now(l->w) >= COUNT_FROM_US;
}

static void echo_returned(struct sim_app *a, void *arg)
{
	struct lab *l = arg;
	uint64_t rtt_us;

	if (a->received % ECHO_LEN || l->echo_sent_us == 0)
		return;
	rtt_us = l->w->sim.now_us - l->echo_sent_us;
	l->echo_sent_us = 0;
	if (world_now(l->w) < BULK_FROM_US)
		sample_add(&l->base, rtt_us);
	else if (counting(l))
		sample_add(&l->beside, rtt_us);
}

static void echo_back(struct sim_app *a, void *arg)
{
	(void)arg;
	a->to_send = a->received; /* the end is settled after this */
}

static void bulk_arrived(struct sim_app *a, void *arg)
{
	struct lab *l = arg;
	int from = !a->end->side;
	struct mark *m = &l->mark[from];

	if (m->at_bytes == 0 || a->received < m->at_bytes)
		return;
	sample_add(&l->behind[from], l->w->sim.now_us - m->at_us);
	m->at_bytes = 0;
}

static void bulk_start(struct lab *l)
{
	for (int i = 0; i < SIM_ENDS; i++) {
		if (!l->dir[i])
			continue;
		app_more(l->bulk->end[i], ENDLESS);
		if (l->more)
			app_more(l->more->end[i], ENDLESS);
	}
}

static void marks_set(struct lab *l)
{
	for (int i = 0; i < SIM_ENDS; i++)
		if (l->dir[i] && l->mark[i].at_bytes == 0)
			l->mark[i] = (struct mark){ l->bulk->app[i].sent, l->w->sim.now_us };
}

static void tick(struct sim *s, void *arg)
{
	struct lab *l = arg;
	uint64_t now = world_now(l->w);

	sim_at(s, s->now_us + TICK_US, SIM_EV_PROBE, l, 0);
	if (now >= BULK_FROM_US &&
	    l->bulk->app[SIM_CLIENT].to_send + l->bulk->app[SIM_AGENT].to_send == 0)
		bulk_start(l);
	if (now >= COUNT_FROM_US && l->counted_from[SIM_CLIENT] + l->counted_from[SIM_AGENT] == 0)
		for (int i = 0; i < SIM_ENDS; i++)
			l->counted_from[i] = l->bulk->app[!i].received +
					     (l->more ? l->more->app[!i].received : 0);
	if (counting(l))
		marks_set(l);
	if (l->echo_sent_us == 0) {
		l->echo_sent_us = s->now_us;
		app_more(l->echo->end[SIM_CLIENT], ECHO_LEN);
	}
}

static double ms(uint64_t us)
{
	return (double)us / 1000;
}

/* In percent: payload with its share of headers; in both ways the acknowledgements of the other one too. */
static double line_used(const struct lab *l, int from, uint32_t max_payload)
{
	uint64_t got = l->bulk->app[!from].received + (l->more ? l->more->app[!from].received : 0) -
		       l->counted_from[from];
	double msgs = (double)got / max_payload;
	double bytes = (double)got + msgs * SSM_OVERHEAD;

	if (l->dir[!from])
		bytes += msgs * 297; /* as many acknowledgements go this way */
	return bytes * 100 / ((double)LINE * (double)COUNT_FOR_US / (double)SIM_SECOND);
}

static void report(struct lab *l, uint32_t max_payload)
{
	static const char *const behind[] = { "echo behind bulk up, worst",
					      "echo behind bulk down, worst" };
	static const char *const used[] = { "line used, up", "line used, down" };
	double base = ms(sample_at(&l->base, 50));
	bool both = l->dir[SIM_CLIENT] && l->dir[SIM_AGENT];

	figure_add(l->w, "echo alone, median", "ms", base, -INFINITY, INFINITY);
	figure_add(l->w, "echo beside, added, median", "ms", ms(sample_at(&l->beside, 50)) - base,
		   -INFINITY, ADDED_MAX_MS);
	figure_add(l->w, "echo beside, added, worst", "ms", ms(sample_at(&l->beside, 100)) - base,
		   -INFINITY, ADDED_MAX_MS);
	for (int i = 0; i < SIM_ENDS; i++) {
		if (!l->dir[i])
			continue;
		figure_add(l->w, behind[i], "ms",
			   ms(sample_at(&l->behind[i], 100)) - ms(RTT_US / 2), -INFINITY,
			   both ? BOTH_MAX_MS : ADDED_MAX_MS);
		figure_add(l->w, used[i], "%", line_used(l, i, max_payload),
			   both ? BOTH_LINE_MIN_PCT : LINE_MIN_PCT, INFINITY);
	}
}

static void lab_run(struct scenario_world *w, const bool dir[SIM_ENDS], struct ours_opts bulk,
		    bool two)
{
	struct lab *l = sim_xmalloc(sizeof(*l));
	struct relay_opts relay = { .delay_us = RTT_US / 2, .pipe = { &w->pipe[0], &w->pipe[1] } };
	struct ours_opts echo = { .queue_max = KIB(4) };

	w->pipe[0].bytes_per_s = w->pipe[1].bytes_per_s = LINE;
	w->sim.on_probe = tick;
	bulk.queue_max = KIB(4);
	*l = (struct lab){ .w = w, .dir = { dir[0], dir[1] } };
	l->echo = world_pair(w, &relay, &echo, &echo);
	l->bulk = world_pair(w, &relay, &bulk, &bulk);
	if (two)
		l->more = world_pair(w, &relay, &bulk, &bulk);
	for (int i = 0; i < SIM_ENDS; i++) {
		l->echo->app[i].arg = l->bulk->app[i].arg = l;
		l->bulk->app[i].on_take = bulk_arrived;
	}
	l->echo->app[SIM_CLIENT].on_take = echo_returned;
	l->echo->app[SIM_AGENT].on_take = echo_back;
	sim_at(&w->sim, w->sim.now_us + SIM_SECOND, SIM_EV_PROBE, l, 0);
	world_run(w, COUNT_FROM_US + COUNT_FOR_US);
	report(l, bulk.max_payload ? bulk.max_payload : SSM_CHUNK);
	free(l);
}

static void up(struct scenario_world *w, unsigned arg)
{
	(void)arg;
	lab_run(w, (bool[]){ true, false }, (struct ours_opts){ 0 }, false);
}

static void down(struct scenario_world *w, unsigned arg)
{
	(void)arg;
	lab_run(w, (bool[]){ false, true }, (struct ours_opts){ .window_max = SSM_WINDOW_MAX_OWN },
		false);
}

static void both(struct scenario_world *w, unsigned arg)
{
	(void)arg;
	lab_run(w, (bool[]){ true, true }, (struct ours_opts){ .window_max = SSM_WINDOW_MAX_OWN },
		false);
}

static void large(struct scenario_world *w, unsigned arg)
{
	(void)arg;
	lab_run(w, (bool[]){ true, false },
		(struct ours_opts){ .window_max = SSM_WINDOW_MAX_OWN,
				    .max_payload = SSM_PAYLOAD_MAX },
		false);
}

static void two(struct scenario_world *w, unsigned arg)
{
	(void)arg;
	lab_run(w, (bool[]){ true, false }, (struct ours_opts){ .window_max = SSM_WINDOW_MAX_OWN },
		true);
}

const struct scenario latency_scenarios[] = {
	{ "latency-up", "bulk up, window of 256 KiB at most", up, 0 },
	{ "latency-down", "bulk down, window of 4 MiB at most", down, 0 },
	{ "latency-both", "bulk both ways, window of 4 MiB at most", both, 0 },
	{ "latency-large", "bulk up in messages of 64 KiB, window of 4 MiB at most", large, 0 },
	{ "latency-two", "two bulk sessions up, windows of 4 MiB at most", two, 0 },
};
const unsigned latency_scenarios_n = ARRAY_LEN(latency_scenarios);
