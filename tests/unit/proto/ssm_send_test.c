// SPDX-License-Identifier: MIT
/*
 * ssm_send_test.c - numbering, window, retransmission, pace as seen on the wire
 *
 * Cases: chunks and joined small writes; the first data message alone in flight and repeated
 * early; copies are byte-identical; only what is lost is resent, three later acknowledgements
 * bring it early; back-off; a peer that never acknowledges one number again, as client and as agent, nor a
 * whole window, nor every other number; the agent
 * waits for its client to be ready, and not for ever; quick repeats end; the window grows and a slow wire keeps it small; many tiny messages; a full queue; pace with acknowledgements, shared by both
 * directions; given
 * up; unknown and early acknowledgements.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "proto/ssm_ack.h"
#include "sim.h"

#define SECOND UINT64_C(1000000)
#define MS UINT64_C(1000)

static struct sim *sim_ready(struct sim_opts opts)
{
	struct sim *s = sim_new(&opts);

	sim_run_ready(s);
	return s;
}

/* The first data message is through: from here on the window rules. */
static struct sim *sim_flowing(struct sim_opts opts)
{
	struct sim *s = sim_ready(opts);

	s->end[SIM_CLIENT].to_send = 1;
	sim_run_done(s, 10 * SECOND);
	sim_run_for(s, SECOND);
	return s;
}

static void send_pattern(struct sim *s, size_t len)
{
	struct sim_end *e = &s->end[SIM_CLIENT];
	uint8_t bytes[8192];

	assert_true(len <= sizeof(bytes));
	for (size_t i = 0; i < len; i++)
		bytes[i] = sim_pattern(SIM_CLIENT, e->sent + i);
	assert_int_equal(ssm_chan_send(e->chan, bytes, len, s->now_us), len);
	e->sent += len;
	e->to_send += len;
}

static size_t next_len(struct sim *s, struct ssm_msg *m)
{
	const uint8_t *p;
	size_t len;

	if (!ssm_chan_next_output(s->end[SIM_CLIENT].chan, &p, &len, s->now_us))
		return 0;
	assert_int_equal(ssm_msg_decode(m, p, len), 0);
	return m->payload_len;
}

static void chunks_and_joined_writes(void **state)
{
	struct sim *s = sim_flowing((struct sim_opts){ 0 });
	uint8_t flag[4] = { 0, 0, 0, SSM_FLAG_DISCONNECT };
	struct ssm_msg m = { 0 };
	int64_t first;

	(void)state;
	send_pattern(s, 2500);
	assert_int_equal(next_len(s, &m), 1024);
	first = m.seq;
	for (unsigned i = 0; i < 100; i++)
		send_pattern(s, 5); /* joins the 452 bytes that wait, and the next one */
	ssm_chan_send_typed(s->end[SIM_CLIENT].chan, SSM_PT_FLAG, flag, 4, s->now_us);
	send_pattern(s, 7); /* never past another type */
	assert_int_equal(next_len(s, &m), 1024);
	assert_int_equal(next_len(s, &m), 1000 - 48);
	assert_int_equal(m.flags, SSM_FLAGS_DATA);
	assert_int_equal(next_len(s, &m), 4);
	assert_int_equal(m.payload_type, SSM_PT_FLAG);
	assert_int_equal(next_len(s, &m), 7);
	assert_int_equal(m.seq, first + 4);
	assert_int_equal(next_len(s, &m), 0);
	sim_free(s);
}

static bool drop_client_data(struct sim *s, int from, const struct ssm_msg *m)
{
	(void)s;
	return from == SIM_CLIENT && m->payload_type == SSM_PT_OUTPUT;
}

static void first_data_alone_and_early(void **state)
{
	struct sim *s = sim_ready((struct sim_opts){ .drop = drop_client_data });
	struct sim_end *client = &s->end[SIM_CLIENT];

	(void)state;
	client->to_send = 100000;
	sim_run_for(s, 5 * MS);
	assert_int_equal(client->msgs[SSM_PT_OUTPUT], 1); /* 5 ms after HandshakeComplete */
	for (unsigned i = 1; i <= 15; i++) {
		sim_run_for(s, 100 * MS);
		assert_int_equal(client->msgs[SSM_PT_OUTPUT], 1 + i);
	}
	assert_int_equal(sim_stats(s, SIM_CLIENT).msgs_out, 2);
	assert_int_equal(sim_stats(s, SIM_CLIENT).window_bytes, SSM_WINDOW_START);
	s->opts.drop = NULL;
	sim_run_done(s, SECOND);
	sim_free(s);
}

/* Copies of client message 2: compared with its first sending. */
static uint8_t copy_digest[CODEC_SHA256_LEN];
static unsigned copies;

static bool drop_and_compare(struct sim *s, int from, const struct ssm_msg *m)
{
	uint8_t digest[CODEC_SHA256_LEN];

	(void)s;
	if (from != SIM_CLIENT || m->seq != 2)
		return false;
	/* from the first byte of the header: the payload starts at its fixed place */
	codec_sha256(digest, m->payload - SSM_OVERHEAD, SSM_OVERHEAD + m->payload_len);
	if (copies++ == 0)
		memcpy(copy_digest, digest, sizeof(digest));
	assert_memory_equal(copy_digest, digest, sizeof(digest));
	return copies < 4;
}

static void copies_are_identical(void **state)
{
	struct sim *s = sim_flowing((struct sim_opts){ .drop = drop_and_compare });

	(void)state;
	copies = 0;
	s->end[SIM_CLIENT].to_send = 10;
	sim_run_done(s, 10 * SECOND);
	assert_int_equal(copies, 4);
	sim_free(s);
}

static int64_t victim;
static unsigned victim_drops;

static bool drop_victim(struct sim *s, int from, const struct ssm_msg *m)
{
	(void)s;
	if (from != SIM_CLIENT || m->type != SSM_INPUT_STREAM_DATA || m->seq != victim)
		return false;
	return victim_drops > 0 && victim_drops-- > 0;
}

static void only_the_lost_one_and_early(void **state)
{
	struct sim *s = sim_flowing((struct sim_opts){ .drop = drop_victim });
	uint64_t start_us = s->now_us;

	(void)state;
	victim = 10;
	victim_drops = 1;
	s->end[SIM_CLIENT].to_send = 60000;
	sim_run_done(s, 10 * SECOND);
	assert_int_equal(sim_stats(s, SIM_CLIENT).resent, 1);
	/* an RTT and its slack, not the time-out of at least 100 ms */
	assert_true(s->now_us - start_us < 60 * MS);
	sim_free(s);
}

static void backs_off(void **state)
{
	struct sim *s = sim_flowing((struct sim_opts){ .drop = drop_victim });
	uint64_t resent;

	(void)state;
	victim = 2;
	victim_drops = 1000;
	s->end[SIM_CLIENT].to_send = 10;
	sim_run_for(s, 10 * SECOND);
	resent = sim_stats(s, SIM_CLIENT).resent;
	assert_in_range(resent, 4, 8);
	sim_run_for(s, 50 * SECOND); /* every 5 s from here on */
	assert_int_equal(sim_stats(s, SIM_CLIENT).resent, resent + 10);
	victim_drops = 0;
	sim_run_done(s, 6 * SECOND);
	sim_free(s);
}

static bool drop_one_ack_for_ever(struct sim *s, int from, const struct ssm_msg *m)
{
	(void)s;
	(void)from;
	return m->type == SSM_ACKNOWLEDGE &&
	       memmem(m->payload, m->payload_len, "Number\":20,", 11) != NULL;
}

/* The stock client acknowledges a number once (4.3): when that is lost, neither ring nor window may
 * fill. */
static void a_number_never_acknowledged(void **state)
{
	struct sim *s =
		sim_flowing((struct sim_opts){ .drop = drop_one_ack_for_ever, .delay_us = 500 });
	struct sim_end *agent = &s->end[SIM_AGENT];
	uint64_t resent;

	(void)state;
	agent->to_send = 5000000;
	sim_run_done(s, 120 * SECOND);
	sim_run_for(s, 10 * SECOND);
	assert_int_equal(sim_stats(s, SIM_AGENT).in_flight_bytes, 0);
	resent = sim_stats(s, SIM_AGENT).resent;
	sim_run_for(s, 1000 * SECOND); /* and an agent does not give up for it */
	assert_int_equal(sim_stats(s, SIM_AGENT).resent, resent + 200);
	assert_int_equal(agent->closed, 0);
	/* 10,000 later ones: more than a client that lacks it could keep */
	agent->to_send = 20000000; /* 19,500 messages: more than the ring holds */
	sim_run_done(s, 120 * SECOND);
	sim_run_for(s, 10 * SECOND);
	assert_true(ssm_chan_deadline(agent->chan) == SSM_TIME_NEVER);
	sim_free(s);
}

/* A cut resends it at once, and a late acknowledgement ends it. */
static void a_late_acknowledgement(void **state)
{
	struct sim *s =
		sim_flowing((struct sim_opts){ .drop = drop_one_ack_for_ever, .delay_us = 500 });

	(void)state;
	s->end[SIM_CLIENT].to_send = 1000000;
	sim_run_done(s, 120 * SECOND);
	assert_true(ssm_chan_deadline(s->end[SIM_CLIENT].chan) != SSM_TIME_NEVER);
	sim_cut(s);
	sim_join(s);
	s->opts.drop = NULL;
	sim_run_for(s, 10 * SECOND);
	assert_true(ssm_chan_deadline(s->end[SIM_CLIENT].chan) == SSM_TIME_NEVER);
	sim_free(s);
}

/* An agent repeats its acknowledgements (4.3): one that leaves a number out is stuck or deaf, however
 * many later ones it has acknowledged. */
static void one_number_given_up(void **state)
{
	struct sim *s = sim_flowing((struct sim_opts){ .drop = drop_one_ack_for_ever });

	(void)state;
	for (unsigned i = 0; i < 298; i++) {
		s->end[SIM_CLIENT].to_send += 2000;
		sim_run_for(s, SECOND);
	}
	assert_int_equal(s->end[SIM_CLIENT].closed, 0);
	sim_run_for(s, 20 * SECOND);
	assert_int_equal(s->end[SIM_CLIENT].closed, 1);
	assert_int_equal(s->end[SIM_CLIENT].close_err, ST_ETIMEOUT);
	sim_free(s);
}

static bool drop_client_acks(struct sim *s, int from, const struct ssm_msg *m)
{
	(void)s;
	return from == SIM_CLIENT && m->type == SSM_ACKNOWLEDGE;
}

/* A client that gets data before HandshakeComplete loses it, and one that acknowledges nothing a second
 * time must not stop the agent for ever. */
static void the_agent_waits_for_its_client(void **state)
{
	struct sim *s = sim_ready((struct sim_opts){ .drop = drop_client_acks });
	struct sim_end *agent = &s->end[SIM_AGENT];

	(void)state;
	agent->to_send = 10000;
	sim_run_for(s, 2600 * MS);
	assert_int_equal(agent->msgs[SSM_PT_HANDSHAKE_COMPLETE], 9);
	assert_int_equal(agent->msgs[SSM_PT_OUTPUT], 0);
	sim_run_for(s, 200 * MS);
	assert_int_equal(agent->msgs[SSM_PT_HANDSHAKE_COMPLETE], 10);
	assert_int_equal(agent->msgs[SSM_PT_OUTPUT], 2); /* 1024 bytes of it, twice */
	assert_int_equal(sim_stats(s, SIM_AGENT).msgs_out, 3);
	sim_run_for(s, SECOND);
	assert_int_equal(sim_stats(s, SIM_AGENT).msgs_out, 2 + 10);
	sim_free(s);
}

/* Handshake messages and the first data message are repeated quickly, and not for ever. */
static void quick_repeats_end(void **state)
{
	struct sim *s = sim_ready((struct sim_opts){ .drop = drop_client_acks });
	const struct sim_end *agent = &s->end[SIM_AGENT];
	struct sim_end *client;

	(void)state;
	sim_run_for(s, 15 * SECOND);
	assert_in_range(agent->msgs[SSM_PT_HANDSHAKE_COMPLETE], 49, 50);
	sim_run_for(s, 50 * SECOND); /* every 5 s */
	assert_in_range(agent->msgs[SSM_PT_HANDSHAKE_COMPLETE], 60, 61);
	sim_free(s);
	s = sim_ready((struct sim_opts){ .drop = drop_client_data });
	client = &s->end[SIM_CLIENT];
	client->to_send = 10;
	sim_run_for(s, 2 * SECOND);
	assert_in_range(client->msgs[SSM_PT_OUTPUT], 20, 21);
	sim_run_for(s, 50 * SECOND);
	assert_in_range(client->msgs[SSM_PT_OUTPUT], 30, 32);
	sim_free(s);
}

static int64_t silent_to;

static bool drop_acks_of_old(struct sim *s, int from, const struct ssm_msg *m)
{
	int64_t seq;

	(void)s;
	if (from != SIM_CLIENT || m->type != SSM_ACKNOWLEDGE)
		return false;
	assert_int_equal(ssm_ack_read(&seq, m->payload, m->payload_len), 0);
	return seq <= silent_to;
}

/* A cut swallowed every acknowledgement of a full window, and the client gives none again. */
static void a_window_never_acknowledged(void **state)
{
	struct sim *s = sim_flowing((struct sim_opts){ .drop = drop_acks_of_old });
	struct sim_end *agent = &s->end[SIM_AGENT];

	(void)state;
	silent_to = INT64_MAX;
	agent->to_send = 500000;
	sim_run_for(s, 50 * MS);
	assert_in_range(sim_stats(s, SIM_AGENT).in_flight_bytes, KIB(64) - 1024, KIB(64));
	silent_to = (int64_t)sim_stats(s, SIM_AGENT).msgs_out - 1;
	sim_cut(s);
	sim_join(s);
	sim_run_done(s, 5 * SECOND);
	sim_free(s);
	/* and a client that is gone gets no more than the window and 64 KiB */
	s = sim_flowing((struct sim_opts){ .drop = drop_acks_of_old });
	silent_to = INT64_MAX;
	s->end[SIM_AGENT].to_send = 10000000;
	sim_run_for(s, 10000 * SECOND);
	assert_in_range(sim_stats(s, SIM_AGENT).in_flight_bytes, SSM_WINDOW_MAX_FOREIGN,
			SSM_WINDOW_MAX_FOREIGN + KIB(64));
	silent_to = 0;
	sim_run_done(s, 60 * SECOND);
	sim_free(s);
}

static bool drop_odd_client_acks(struct sim *s, int from, const struct ssm_msg *m)
{
	int64_t seq;

	(void)s;
	if (from != SIM_CLIENT || m->type != SSM_ACKNOWLEDGE)
		return false;
	assert_int_equal(ssm_ack_read(&seq, m->payload, m->payload_len), 0);
	return seq % 2 != 0;
}

/* One that leaves out every other number: what it may make the agent keep is bounded, in messages and in bytes. */
static void half_of_the_numbers_never_acknowledged(void **state)
{
	static const struct {
		uint32_t max_payload;
		size_t window_max;
		uint64_t kept_max; /* messages */
	} rows[] = {
		{ SSM_CHUNK, SSM_WINDOW_MAX_FOREIGN, 8192 },
		{ SSM_PAYLOAD_MAX, SSM_WINDOW_MAX_OWN, MIB(32) / SSM_PAYLOAD_MAX },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const uint32_t max_payload = rows[i].max_payload;
		const uint64_t window = (rows[i].window_max + KIB(64)) / max_payload;
		struct sim *s = sim_flowing((struct sim_opts){
			.drop = drop_odd_client_acks,
			.chan = { .max_payload = max_payload, .window_max = rows[i].window_max } });

		s->end[SIM_AGENT].to_send = 4 * rows[i].kept_max * max_payload;
		sim_run_for(s, 170 * SECOND);
		assert_in_range(sim_stats(s, SIM_AGENT).msgs_out, rows[i].kept_max,
				2 * (rows[i].kept_max + window + 1));
		assert_in_range(sim_stats(s, SIM_AGENT).in_flight_bytes, 1,
				rows[i].window_max + KIB(64));
		/* it changes its mind: nothing was lost */
		s->opts.drop = NULL;
		sim_run_done(s, 60 * SECOND);
		sim_free(s);
	}
}

static void client_data_tells_the_agent(void **state)
{
	struct sim *s = sim_ready((struct sim_opts){ .drop = drop_client_acks });

	(void)state;
	s->end[SIM_AGENT].to_send = 10000;
	s->end[SIM_CLIENT].to_send = 1;
	sim_run_done(s, 30 * MS);
	sim_free(s);
}

static void the_window_grows(void **state)
{
	struct sim *s = sim_flowing((struct sim_opts){ .delay_us = 50 * MS });
	uint64_t start_us = s->now_us;

	(void)state;
	assert_int_equal(sim_stats(s, SIM_CLIENT).window_bytes, SSM_WINDOW_START);
	s->end[SIM_CLIENT].to_send = 2000000;
	sim_run_for(s, 50 * MS);
	assert_in_range(sim_stats(s, SIM_CLIENT).in_flight_bytes, SSM_WINDOW_START - SSM_CHUNK,
			SSM_WINDOW_START);
	sim_run_for(s, 100 * MS);
	assert_in_range(sim_stats(s, SIM_CLIENT).window_bytes, 2 * SSM_WINDOW_START - 2048,
			2 * SSM_WINDOW_START + 2048);
	sim_run_done(s, 10 * SECOND);
	assert_int_equal(sim_stats(s, SIM_CLIENT).window_bytes, SSM_WINDOW_MAX_FOREIGN);
	assert_int_equal(sim_stats(s, SIM_CLIENT).resent, 0);
	/* 64 + 128 + 256 * 7 KiB at one window per 100 ms */
	assert_in_range(s->now_us - start_us, 700 * MS, 1100 * MS);
	sim_free(s);
}

static void a_slow_wire_keeps_it_small(void **state)
{
	/* 200 KB/s at 40 ms: 8 KB fill the wire, 64 KiB would wait 330 ms */
	struct sim *s =
		sim_flowing((struct sim_opts){ .delay_us = 20 * MS,
					       .bytes_per_s = 200000,
					       .chan = { .window_max = SSM_WINDOW_MAX_OWN } });

	(void)state;
	s->end[SIM_CLIENT].to_send = 3000000;
	sim_run_done(s, 60 * SECOND);
	assert_true(sim_stats(s, SIM_CLIENT).window_bytes <= KIB(32));
	assert_true(sim_stats(s, SIM_CLIENT).rtt_us < 250000);
	/* it did not pay with throughput: 3 MB at 200 KB/s with headers are 16.8 s */
	assert_true(s->now_us < 19 * SECOND);
	sim_free(s);
}

static void tiny_messages_are_bounded(void **state)
{
	struct sim *s = sim_flowing((struct sim_opts){ 0 });
	struct sim_end *client = &s->end[SIM_CLIENT];
	uint8_t flag[4] = { 0, 0, 0, SSM_FLAG_DISCONNECT };
	uint32_t n = 0;
	struct ssm_msg m;
	uint32_t sent = 0;

	(void)state;
	s->opts.drop = drop_client_data;
	while (ssm_chan_send_typed(client->chan, SSM_PT_FLAG, flag, 4, s->now_us) == 0)
		n++;
	assert_int_equal(n, 16384);
	assert_int_equal(ssm_chan_send_typed(client->chan, SSM_PT_FLAG, flag, 4, s->now_us),
			 ST_EFULL);
	assert_int_equal(ssm_chan_room(client->chan), 0);
	assert_int_equal(ssm_chan_send(client->chan, flag, 1, s->now_us), 0);
	while (next_len(s, &m))
		sent++;
	assert_int_equal(sent, 8192);
	sim_free(s);
}

static void a_full_queue(void **state)
{
	static uint8_t bytes[MIB(2)];
	struct sim *s = sim_flowing((struct sim_opts){ 0 });
	struct sim_end *client = &s->end[SIM_CLIENT];

	(void)state;
	s->opts.drop = drop_client_data;
	assert_int_equal(ssm_chan_room(client->chan), SSM_SEND_QUEUE_MAX);
	assert_int_equal(ssm_chan_send(client->chan, bytes, sizeof(bytes), s->now_us),
			 SSM_SEND_QUEUE_MAX);
	assert_int_equal(ssm_chan_room(client->chan), 0);
	assert_int_equal(ssm_chan_send_typed(client->chan, SSM_PT_SIZE, "{}", 2, s->now_us),
			 ST_EFULL);
	assert_int_equal(client->writable, 0);
	sim_run_for(s, 20 * MS);
	/* 64 KiB have left for the wire: not yet half of the queue */
	assert_int_equal(ssm_chan_room(client->chan), KIB(64));
	assert_int_equal(client->writable, 0);
	sim_free(s);
}

static void the_pace_counts_acks(void **state)
{
	struct sim *s = sim_flowing((struct sim_opts){ .chan = { .pace_per_s = 900 } });
	uint64_t before;

	(void)state;
	before = s->end[SIM_CLIENT].msgs[SSM_PT_OUTPUT] + s->end[SIM_CLIENT].msgs[SSM_PT_NONE];
	s->end[SIM_CLIENT].to_send = 10000000;
	s->end[SIM_AGENT].to_send = 10000000;
	sim_run_for(s, 4 * SECOND);
	assert_in_range(s->end[SIM_CLIENT].msgs[SSM_PT_OUTPUT] +
				s->end[SIM_CLIENT].msgs[SSM_PT_NONE] - before,
			4 * 900, 4 * 900 + 100);
	sim_free(s);
}

/* Both send all they can: neither starves, whoever began. */
static void the_pace_is_shared(void **state)
{
	struct sim *s = sim_flowing((struct sim_opts){ .chan = { .pace_per_s = 900 } });
	uint64_t up, down;

	(void)state;
	s->end[SIM_CLIENT].to_send = s->end[SIM_AGENT].to_send = 100000000;
	sim_run_for(s, 5 * SECOND);
	up = s->end[SIM_AGENT].received;
	down = s->end[SIM_CLIENT].received;
	sim_run_for(s, 10 * SECOND);
	up = s->end[SIM_AGENT].received - up;
	down = s->end[SIM_CLIENT].received - down;
	assert_in_range(up, 4000 * 1024, 5500 * 1024);
	assert_in_range(down, 4000 * 1024, 5500 * 1024);
	sim_free(s);
}

static void an_unpaced_channel_is_not_slowed(void **state)
{
	struct sim *s = sim_flowing((struct sim_opts){ 0 });

	(void)state;
	s->end[SIM_CLIENT].to_send = 10000000;
	sim_run_done(s, SECOND);
	sim_free(s);
}

static bool drop_from_agent(struct sim *s, int from, const struct ssm_msg *m)
{
	(void)s;
	(void)m;
	return from == SIM_AGENT;
}

static void a_client_gives_up(void **state)
{
	struct sim *s = sim_flowing((struct sim_opts){ 0 });

	(void)state;
	s->opts.drop = drop_from_agent;
	s->end[SIM_CLIENT].to_send = 2;
	s->end[SIM_AGENT].to_send = 1;
	sim_run_for(s, 299 * SECOND);
	assert_int_equal(s->end[SIM_CLIENT].closed, 0);
	assert_in_range(sim_stats(s, SIM_CLIENT).resent, 60, 70);
	sim_run_for(s, 2 * SECOND);
	assert_int_equal(s->end[SIM_CLIENT].closed, 1);
	assert_int_equal(s->end[SIM_CLIENT].close_err, ST_ETIMEOUT);
	assert_int_equal(s->end[SIM_AGENT].closed, 0);
	sim_free(s);
}

static void acks_of_nothing(void **state)
{
	static const char *const numbers[] = { "-1", "-9223372036854775808", "2", "3",
					       "17", "9223372036854775807" };
	struct sim *s = sim_flowing((struct sim_opts){ 0 });

	(void)state;
	/* numbers 2 and 3 are queued, not sent */
	ssm_chan_transport_down(s->end[SIM_CLIENT].chan, s->now_us);
	send_pattern(s, 2000);
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
		char text[128];
		struct ssm_msg m = { .type = SSM_ACKNOWLEDGE,
				     .created_ms = 1,
				     .payload = (const uint8_t *)text };

		m.payload_len = (size_t)snprintf(text, sizeof(text),
						 "{\"AcknowledgedMessageSequenceNumber\":%s}",
						 numbers[i]);
		assert_int_equal(sim_inject(s, SIM_CLIENT, &m), 0);
	}
	assert_int_equal(sim_stats(s, SIM_CLIENT).queued_bytes, 2000);
	ssm_chan_transport_up(s->end[SIM_CLIENT].chan, s->now_us);
	sim_run_done(s, SECOND);
	sim_free(s);
}

static void resent_in_order_after_a_cut(void **state)
{
	struct sim *s = sim_flowing((struct sim_opts){ 0 });
	struct ssm_msg m;
	int64_t seq;

	(void)state;
	s->opts.drop = drop_client_data;
	s->end[SIM_CLIENT].to_send = 30000;
	sim_run_for(s, 500 * MS); /* some of them resent several times by now */
	ssm_chan_transport_down(s->end[SIM_CLIENT].chan, s->now_us);
	assert_int_equal(next_len(s, &m), 0);
	ssm_chan_transport_up(s->end[SIM_CLIENT].chan, s->now_us);
	for (seq = 2; next_len(s, &m); seq++)
		assert_int_equal(m.seq, seq);
	assert_int_equal(seq, 2 + (30000 - 1 + 1023) / 1024);
	/* the new connection starts without the old one's back-off */
	assert_true(ssm_chan_deadline(s->end[SIM_CLIENT].chan) == s->now_us + 200 * MS);
	sim_free(s);
}

static void a_long_rtt_is_learned(void **state)
{
	/* the RTT is above the first time-out: Karn's rule alone would never see a clean sample */
	struct sim *s = sim_flowing((struct sim_opts){ .delay_us = 700 * MS });
	uint64_t resent;

	(void)state;
	for (unsigned i = 0; i < 10; i++) {
		s->end[SIM_CLIENT].to_send += 1;
		sim_run_for(s, 10 * SECOND);
	}
	resent = sim_stats(s, SIM_CLIENT).resent;
	assert_in_range(sim_stats(s, SIM_CLIENT).rtt_us, 1390000, 1410000);
	s->end[SIM_CLIENT].to_send += 100000;
	sim_run_done(s, 20 * SECOND);
	assert_int_equal(sim_stats(s, SIM_CLIENT).resent, resent);
	sim_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(chunks_and_joined_writes),
		cmocka_unit_test(first_data_alone_and_early),
		cmocka_unit_test(copies_are_identical),
		cmocka_unit_test(only_the_lost_one_and_early),
		cmocka_unit_test(backs_off),
		cmocka_unit_test(a_number_never_acknowledged),
		cmocka_unit_test(a_late_acknowledgement),
		cmocka_unit_test(one_number_given_up),
		cmocka_unit_test(the_agent_waits_for_its_client),
		cmocka_unit_test(quick_repeats_end),
		cmocka_unit_test(a_window_never_acknowledged),
		cmocka_unit_test(half_of_the_numbers_never_acknowledged),
		cmocka_unit_test(client_data_tells_the_agent),
		cmocka_unit_test(the_window_grows),
		cmocka_unit_test(a_slow_wire_keeps_it_small),
		cmocka_unit_test(tiny_messages_are_bounded),
		cmocka_unit_test(a_full_queue),
		cmocka_unit_test(the_pace_counts_acks),
		cmocka_unit_test(the_pace_is_shared),
		cmocka_unit_test(an_unpaced_channel_is_not_slowed),
		cmocka_unit_test(a_client_gives_up),
		cmocka_unit_test(acks_of_nothing),
		cmocka_unit_test(resent_in_order_after_a_cut),
		cmocka_unit_test(a_long_rtt_is_learned),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
