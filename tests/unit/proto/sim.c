// SPDX-License-Identifier: MIT
/*
 * sim.c - the loopback harness
 *
 * Theory of operation: packets on the wire are an array; a step delivers the earliest one, or runs
 * the earliest deadline of an end, or a cut, whichever is first, then lets both ends write until
 * they have nothing to say. A reordered packet is late by up to four one-way delays.
 */
#include "sim.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/text.h"

#define STEPS_AT_ONE_TIME 100000U /* more mean that an end asks for the same time for ever */

/* splitmix64 */
uint64_t sim_random(struct sim *s)
{
	uint64_t z = (s->random += UINT64_C(0x9e3779b97f4a7c15));

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

static bool chance(struct sim *s, unsigned pct)
{
	return pct && sim_random(s) % 100 < pct;
}

uint8_t sim_pattern(int from, uint64_t pos)
{
	return (uint8_t)(pos * 31 + (pos >> 8) * 7 + (pos >> 16) * 3 + (uint64_t)from);
}

static void on_ready(void *arg, const char *customer_message)
{
	struct sim_end *e = arg;

	e->ready++;
	e->ready_us = e->sim->now_us;
	text_copy(e->customer_message, sizeof(e->customer_message), customer_message);
}

static int on_data(void *arg, uint32_t payload_type, const uint8_t *p, size_t len)
{
	struct sim_end *e = arg;

	if (e->refuse) {
		e->refused++;
		return ST_EAGAIN;
	}
	if (payload_type != SSM_PT_OUTPUT) {
		e->last_type = payload_type;
		e->last_len = MIN(len, sizeof(e->last));
		memcpy(e->last, p, e->last_len);
		return 0;
	}
	for (size_t i = 0; i < len; i++)
		assert_int_equal(p[i], sim_pattern(!e->index, e->received + i));
	e->received += len;
	return 0;
}

static void on_writable(void *arg)
{
	struct sim_end *e = arg;

	e->writable++;
}

static void on_closed(void *arg, int err, const char *reason)
{
	struct sim_end *e = arg;

	e->closed++;
	e->close_err = err;
	text_copy(e->close_reason, sizeof(e->close_reason), reason);
}

static void on_uuid(void *arg, uint8_t out[CODEC_UUID_LEN])
{
	struct sim_end *e = arg;

	for (unsigned i = 0; i < CODEC_UUID_LEN; i++)
		out[i] = (uint8_t)sim_random(e->sim);
}

static const struct ssm_chan_events events = {
	.ready = on_ready,
	.data = on_data,
	.writable = on_writable,
	.closed = on_closed,
};

static void wire_put(struct sim *s, int to, const uint8_t *p, size_t len, uint64_t at_us)
{
	struct sim_packet *packet = &s->wire[s->wire_n];

	assert_true(s->wire_n < SIM_WIRE_MAX);
	s->wire_n++;
	*packet = (struct sim_packet){
		.at_us = at_us,
		.order = s->order++,
		.to = to,
		.len = len,
		.bytes = malloc(len),
	};
	memcpy(packet->bytes, p, len);
}

static void wire_send(struct sim *s, int from, const uint8_t *p, size_t len)
{
	uint64_t at_us = MAX(s->now_us, s->wire_free_us[from]);

	if (s->opts.bytes_per_s)
		at_us += len * 1000000 / s->opts.bytes_per_s;
	s->wire_free_us[from] = at_us;
	at_us += s->opts.delay_us;
	if (chance(s, s->opts.loss_pct)) {
		s->drops++;
		return;
	}
	if (chance(s, s->opts.dup_pct))
		wire_put(s, !from, p, len, at_us + sim_random(s) % (2 * s->opts.delay_us));
	if (chance(s, s->opts.reorder_pct))
		at_us += sim_random(s) % (4 * s->opts.delay_us);
	wire_put(s, !from, p, len, at_us);
}

static void end_write(struct sim_end *e)
{
	struct sim *s = e->sim;
	const uint8_t *p;
	struct ssm_msg m;
	size_t len;

	while (ssm_chan_next_output(e->chan, &p, &len, s->now_us)) {
		assert_int_equal(ssm_msg_decode(&m, p, len), 0);
		e->msgs[MIN(m.payload_type, 15U)]++;
		if (m.type != SSM_ACKNOWLEDGE)
			e->last_tx_us = s->now_us;
		if (s->opts.drop && s->opts.drop(s, e->index, &m))
			s->drops++;
		else
			wire_send(s, e->index, p, len);
	}
	assert_false(ssm_chan_has_output(e->chan, s->now_us));
}

static void end_fill(struct sim_end *e)
{
	uint8_t chunk[4096];

	while (e->sent < e->to_send && ssm_chan_room(e->chan) > 0) {
		size_t write = 1 + sim_random(e->sim) % sizeof(chunk);
		size_t want = MIN(e->to_send - e->sent, write);
		size_t taken;

		for (size_t i = 0; i < want; i++)
			chunk[i] = sim_pattern(e->index, e->sent + i);
		taken = ssm_chan_send(e->chan, chunk, want, e->sim->now_us);
		e->sent += taken;
		if (taken < want)
			return;
	}
}

static void settle(struct sim *s)
{
	for (int i = 0; i < SIM_ENDS; i++) {
		end_fill(&s->end[i]);
		end_write(&s->end[i]);
	}
}

static struct sim_packet *wire_first(struct sim *s)
{
	struct sim_packet *first = NULL;

	for (size_t i = 0; i < s->wire_n; i++) {
		struct sim_packet *p = &s->wire[i];

		if (!first || p->at_us < first->at_us ||
		    (p->at_us == first->at_us && p->order < first->order))
			first = p;
	}
	return first;
}

static void wire_deliver(struct sim *s, struct sim_packet *packet)
{
	struct sim_packet p = *packet;

	*packet = s->wire[--s->wire_n];
	ssm_chan_input(s->end[p.to].chan, p.bytes, p.len, s->now_us);
	free(p.bytes);
}

void sim_cut(struct sim *s)
{
	while (s->wire_n > 0)
		free(s->wire[--s->wire_n].bytes);
	for (int i = 0; i < SIM_ENDS; i++)
		ssm_chan_transport_down(s->end[i].chan, s->now_us);
	memset(s->wire_free_us, 0, sizeof(s->wire_free_us));
}

void sim_join(struct sim *s)
{
	for (int i = 0; i < SIM_ENDS; i++)
		ssm_chan_transport_up(s->end[i].chan, s->now_us);
	settle(s);
}

static void cut_run(struct sim *s)
{
	if (s->cut_at_us <= s->now_us) {
		sim_cut(s);
		s->cut_at_us = SSM_TIME_NEVER;
		s->up_at_us = s->now_us + s->opts.delay_us * 3;
	} else if (s->up_at_us <= s->now_us) {
		s->up_at_us = SSM_TIME_NEVER;
		s->cut_at_us = s->now_us + s->opts.cut_every_us;
		sim_join(s);
	}
}

static uint64_t next_event(struct sim *s)
{
	const struct sim_packet *first = wire_first(s);
	uint64_t at_us = MIN(s->cut_at_us, s->up_at_us);

	for (int i = 0; i < SIM_ENDS; i++)
		at_us = MIN(at_us, ssm_chan_deadline(s->end[i].chan));
	return first ? MIN(at_us, first->at_us) : at_us;
}

bool sim_step(struct sim *s, uint64_t until_us)
{
	uint64_t at_us = next_event(s);
	struct sim_packet *first;

	if (at_us > until_us) {
		s->now_us = MAX(s->now_us, until_us);
		return false;
	}
	s->now_us = MAX(s->now_us, at_us);
	if (s->opts.cut_every_us)
		cut_run(s);
	while ((first = wire_first(s)) && first->at_us <= s->now_us)
		wire_deliver(s, first);
	for (int i = 0; i < SIM_ENDS; i++)
		if (ssm_chan_deadline(s->end[i].chan) <= s->now_us)
			ssm_chan_expire(s->end[i].chan, s->now_us);
	settle(s);
	for (int i = 0; i < SIM_ENDS; i++)
		assert_true(ssm_chan_deadline(s->end[i].chan) > s->now_us);
	return true;
}

void sim_run_for(struct sim *s, uint64_t us)
{
	uint64_t until_us = s->now_us + us;
	uint64_t at_us = s->now_us;
	unsigned steps = 0;

	settle(s);
	while (sim_step(s, until_us)) {
		steps = at_us == s->now_us ? steps + 1 : 0;
		at_us = s->now_us;
		assert_true(steps < STEPS_AT_ONE_TIME);
	}
}

void sim_run_ready(struct sim *s)
{
	uint64_t limit_us = s->now_us + 10000000;

	settle(s);
	while (!s->end[SIM_CLIENT].ready || !s->end[SIM_AGENT].ready)
		assert_true(sim_step(s, limit_us));
}

static bool done(const struct sim *s)
{
	return s->end[SIM_CLIENT].received == s->end[SIM_AGENT].to_send &&
	       s->end[SIM_AGENT].received == s->end[SIM_CLIENT].to_send;
}

void sim_run_done(struct sim *s, uint64_t limit_us)
{
	uint64_t until_us = s->now_us + limit_us;

	settle(s);
	while (!done(s)) {
		if (sim_step(s, until_us))
			continue;
		for (int i = 0; i < SIM_ENDS; i++)
			print_error("end %d: sent %llu received %llu, in flight %zu, queued %zu\n",
				    i, (unsigned long long)s->end[i].sent,
				    (unsigned long long)s->end[i].received,
				    sim_stats(s, i).in_flight_bytes, sim_stats(s, i).queued_bytes);
		fail_msg("not done after %llu us", (unsigned long long)limit_us);
	}
}

int sim_inject(struct sim *s, int to, const struct ssm_msg *m)
{
	size_t cap = ssm_msg_size(m, m->payload_len);
	uint8_t *bytes = malloc(cap);
	ssize_t len = ssm_msg_encode(bytes, cap, m);
	int r;

	assert_true(len > 0);
	r = ssm_chan_input(s->end[to].chan, bytes, (size_t)len, s->now_us);
	free(bytes);
	return r;
}

struct ssm_chan_stats sim_stats(const struct sim *s, int end)
{
	struct ssm_chan_stats stats;

	ssm_chan_stats(s->end[end].chan, &stats);
	return stats;
}

static void end_init(struct sim *s, int index)
{
	struct sim_end *e = &s->end[index];
	struct ssm_chan_opts opts = s->opts.chan;

	e->sim = s;
	e->index = index;
	opts.role = index == SIM_CLIENT ? SSM_ROLE_CLIENT : SSM_ROLE_AGENT;
	opts.now_us = s->now_us;
	opts.unix_ms = SIM_UNIX_MS;
	opts.uuid = on_uuid;
	opts.events = &events;
	opts.arg = e;
	assert_int_equal(ssm_chan_new(&e->chan, &opts), 0);
	ssm_chan_transport_up(e->chan, s->now_us);
}

struct sim *sim_new(const struct sim_opts *opts)
{
	struct sim *s = calloc(1, sizeof(*s));

	assert_non_null(s);
	s->opts = *opts;
	if (s->opts.delay_us == 0)
		s->opts.delay_us = 5000;
	s->now_us = SIM_START_US;
	s->random = opts->seed;
	s->cut_at_us = opts->cut_every_us ? s->now_us + opts->cut_every_us : SSM_TIME_NEVER;
	s->up_at_us = SSM_TIME_NEVER;
	for (int i = 0; i < SIM_ENDS; i++)
		end_init(s, i);
	return s;
}

void sim_free(struct sim *s)
{
	while (s->wire_n > 0)
		free(s->wire[--s->wire_n].bytes);
	for (int i = 0; i < SIM_ENDS; i++)
		ssm_chan_free(s->end[i].chan);
	free(s);
}
