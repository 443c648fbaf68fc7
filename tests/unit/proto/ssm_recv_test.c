// SPDX-License-Identifier: MIT
/*
 * ssm_recv_test.c - order, reorder limits, acknowledgements
 *
 * Cases: in order; every permutation of five; old numbers acknowledged again, negative ones too; a
 * duplicate in the buffer; the two reorder limits at their edges, and the expected message beyond
 * them; a refused message stalls, keeps its acknowledgement, is offered again by resume and by the
 * peer's copy; later ones wait unacknowledged meanwhile; an owner that fails; an empty payload;
 * the acknowledgement queue's limit; far-off numbers.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/util.h"
#include "proto/ssm_ack.h"
#include "proto/ssm_chan.h"

#define NOW UINT64_C(1000000)

/* A client whose agent is the test; data() notes one letter a message. */
struct fix {
	struct ssm_chan *chan;
	char got[64];
	size_t got_n, bytes;
	int answer;	    /* of data() */
	bool resume_inside; /* data() calls resume, send and terminate */
	unsigned closed;
	int close_err;
	int64_t base; /* number of the first data message */
};

static int on_data(void *arg, uint32_t payload_type, const uint8_t *p, size_t len)
{
	struct fix *f = arg;

	assert_int_equal(payload_type, SSM_PT_OUTPUT);
	if (f->resume_inside) {
		ssm_chan_resume_input(f->chan, NOW);
		ssm_chan_send(f->chan, p, len, NOW);
	}
	if (f->answer < 0)
		return f->answer;
	if (f->got_n < sizeof(f->got) - 1)
		f->got[f->got_n++] = (char)p[0];
	f->bytes += len;
	return 0;
}

static void on_closed(void *arg, int err, const char *reason)
{
	struct fix *f = arg;

	(void)reason;
	f->closed++;
	f->close_err = err;
}

static const struct ssm_chan_events events = { .data = on_data, .closed = on_closed };

/* Message @at after the handshake; below 0: that number. */
static void feed_bytes(struct fix *f, int64_t at, const uint8_t *p, size_t len)
{
	size_t cap = SSM_OVERHEAD + len;
	uint8_t *wire = malloc(cap);
	struct ssm_msg m = {
		.type = SSM_OUTPUT_STREAM_DATA,
		.created_ms = 1,
		.seq = at < 0 ? at : f->base + at,
		.id = { (uint8_t)at },
		.payload_type = SSM_PT_OUTPUT,
		.payload = p,
		.payload_len = len,
	};
	ssize_t n = ssm_msg_encode(wire, cap, &m);

	assert_true(n > 0);
	assert_int_equal(ssm_chan_input(f->chan, wire, (size_t)n, NOW), 0);
	free(wire);
}

static void feed(struct fix *f, int64_t at, const char *text)
{
	feed_bytes(f, at, (const uint8_t *)text, strlen(text));
}

/* The next message that the channel sends, which is to be an acknowledgement: its number after the
 * handshake; INT64_MAX if there is none. */
static int64_t acked(struct fix *f)
{
	const uint8_t *p;
	struct ssm_msg m;
	int64_t seq;
	size_t len;

	if (!ssm_chan_next_output(f->chan, &p, &len, NOW))
		return INT64_MAX;
	assert_int_equal(ssm_msg_decode(&m, p, len), 0);
	assert_int_equal(m.type, SSM_ACKNOWLEDGE);
	assert_int_equal(m.seq, 0);
	assert_int_equal(m.flags, SSM_FLAGS_ACK);
	assert_int_equal(m.payload_type, SSM_PT_NONE);
	assert_int_equal(ssm_ack_read(&seq, m.payload, m.payload_len), 0);
	assert_non_null(memmem(m.payload, m.payload_len, "output_stream_data", 18));
	return seq < 0 ? seq : seq - f->base;
}

static void setup(struct fix *f)
{
	struct ssm_chan_opts opts = {
		.role = SSM_ROLE_CLIENT,
		.now_us = NOW,
		.unix_ms = 1,
		.events = &events,
		.arg = f,
	};

	*f = (struct fix){ .base = 0 };
	assert_int_equal(ssm_chan_new(&f->chan, &opts), 0);
	ssm_chan_transport_up(f->chan, NOW);
	feed(f, 0, "-"); /* no handshake: ready at once */
	assert_int_equal(ssm_chan_state(f->chan), SSM_CHAN_READY);
	assert_int_equal(acked(f), 0);
	f->base = 1;
	f->got_n = 0;
	f->bytes = 0;
}

static void teardown(struct fix *f)
{
	ssm_chan_free(f->chan);
}

static struct ssm_chan_stats stats_of(const struct fix *f)
{
	struct ssm_chan_stats stats;

	ssm_chan_stats(f->chan, &stats);
	return stats;
}

static void in_order(void **state)
{
	struct fix f;

	(void)state;
	setup(&f);
	feed(&f, 0, "a");
	feed(&f, 1, "b");
	assert_string_equal(f.got, "ab");
	assert_int_equal(acked(&f), 0);
	assert_int_equal(acked(&f), 1);
	assert_int_equal(acked(&f), INT64_MAX);
	teardown(&f);
}

static void every_permutation(void **state)
{
	static const char *const texts[] = { "a", "b", "c", "d", "e" };

	(void)state;
	for (unsigned code = 0; code < 120; code++) {
		int order[5] = { 0, 1, 2, 3, 4 };
		unsigned left = code, seen = 0;
		struct fix f;

		setup(&f);
		for (unsigned i = 0; i < 5; i++) {
			unsigned pick = i + left % (5 - i);
			int at = order[pick];

			left /= 5 - i;
			order[pick] = order[i];
			order[i] = at;
			feed(&f, at, texts[at]);
		}
		assert_string_equal(f.got, "abcde");
		assert_int_equal(stats_of(&f).reorder_bytes, 0);
		for (unsigned i = 0; i < 5; i++)
			seen |= 1U << acked(&f);
		assert_int_equal(seen, 31);
		assert_int_equal(acked(&f), INT64_MAX);
		teardown(&f);
	}
}

static void old_numbers_are_acked_again(void **state)
{
	struct fix f;

	(void)state;
	setup(&f);
	feed(&f, 0, "a");
	assert_int_equal(acked(&f), 0);
	for (unsigned i = 0; i < 3; i++) {
		feed(&f, 0, "a");
		assert_int_equal(acked(&f), 0);
	}
	feed(&f, -1000000, "x");
	assert_int_equal(acked(&f), -1000000);
	feed(&f, INT64_MIN, "x");
	assert_true(acked(&f) == INT64_MIN);
	assert_string_equal(f.got, "a");
	assert_int_equal(stats_of(&f).duplicates_in, 5);
	teardown(&f);
}

static void a_duplicate_in_the_buffer(void **state)
{
	struct fix f;

	(void)state;
	setup(&f);
	feed(&f, 1, "b");
	feed(&f, 1, "b");
	assert_int_equal(stats_of(&f).reorder_bytes, 1);
	assert_int_equal(acked(&f), 1);
	assert_int_equal(acked(&f), 1);
	feed(&f, 0, "a");
	assert_string_equal(f.got, "ab");
	teardown(&f);
}

static void the_limit_of_messages(void **state)
{
	struct fix f;

	(void)state;
	setup(&f);
	for (int64_t at = SSM_REORDER_MSGS - 1; at > 0; at--)
		feed(&f, at, "x");
	for (int64_t at = SSM_REORDER_MSGS - 1; at > 0; at--)
		assert_int_equal(acked(&f), at);
	feed(&f, SSM_REORDER_MSGS, "x");
	feed(&f, INT64_MAX - 1, "x");
	assert_int_equal(acked(&f), INT64_MAX);
	assert_int_equal(stats_of(&f).dropped_in, 2);
	feed(&f, 0, "a");
	assert_int_equal(f.bytes, SSM_REORDER_MSGS);
	assert_int_equal(acked(&f), 0);
	assert_int_equal(acked(&f), INT64_MAX);
	feed(&f, SSM_REORDER_MSGS, "x");
	assert_int_equal(acked(&f), SSM_REORDER_MSGS);
	teardown(&f);
}

static void the_limit_of_bytes(void **state)
{
	enum { PIECE = 1024 * 1024 - 120 };
	uint8_t *piece = calloc(1, PIECE);
	size_t stored = 0;
	struct fix f;
	int64_t at = 1;

	(void)state;
	setup(&f);
	for (; stored + PIECE <= SSM_REORDER_BYTES; stored += PIECE)
		feed_bytes(&f, at++, piece, PIECE);
	feed_bytes(&f, at, piece, SSM_REORDER_BYTES - stored + 1);
	assert_int_equal(stats_of(&f).reorder_bytes, stored);
	assert_int_equal(stats_of(&f).dropped_in, 1);
	feed_bytes(&f, at, piece, SSM_REORDER_BYTES - stored);
	assert_int_equal(stats_of(&f).reorder_bytes, SSM_REORDER_BYTES);
	/* the expected one is taken, and kept too if the owner can't take it */
	f.answer = ST_EAGAIN;
	feed_bytes(&f, 0, piece, PIECE);
	assert_int_equal(stats_of(&f).reorder_bytes, SSM_REORDER_BYTES + PIECE);
	f.answer = 0;
	ssm_chan_resume_input(f.chan, NOW);
	assert_int_equal(f.bytes, SSM_REORDER_BYTES + PIECE);
	assert_int_equal(stats_of(&f).reorder_bytes, 0);
	free(piece);
	teardown(&f);
}

static void refused_then_resumed(void **state)
{
	struct fix f;

	(void)state;
	setup(&f);
	f.answer = ST_EAGAIN;
	feed(&f, 0, "a");
	feed(&f, 1, "b");
	feed(&f, 2, "c");
	feed(&f, 1, "b");
	assert_int_equal(acked(&f), INT64_MAX);
	ssm_chan_resume_input(f.chan, NOW); /* still refused */
	assert_int_equal(acked(&f), INT64_MAX);
	f.answer = 0;
	ssm_chan_resume_input(f.chan, NOW);
	assert_string_equal(f.got, "abc");
	for (int64_t at = 0; at < 3; at++)
		assert_int_equal(acked(&f), at);
	assert_int_equal(acked(&f), INT64_MAX);
	ssm_chan_resume_input(f.chan, NOW); /* nothing to do */
	assert_string_equal(f.got, "abc");
	teardown(&f);
}

static void refused_then_repeated_by_the_peer(void **state)
{
	struct fix f;

	(void)state;
	setup(&f);
	f.answer = ST_EAGAIN;
	feed(&f, 0, "a");
	feed(&f, 0, "a");
	assert_int_equal(acked(&f), INT64_MAX);
	f.answer = 0;
	feed(&f, 0, "a");
	assert_string_equal(f.got, "a");
	assert_int_equal(acked(&f), 0);
	assert_int_equal(acked(&f), INT64_MAX);
	teardown(&f);
}

static void refused_in_the_middle_of_a_run(void **state)
{
	struct fix f;

	(void)state;
	setup(&f);
	feed(&f, 1, "b");
	feed(&f, 2, "c");
	f.answer = ST_EAGAIN;
	feed(&f, 0, "a");
	f.answer = 0;
	ssm_chan_resume_input(f.chan, NOW);
	assert_string_equal(f.got, "abc");
	/* 1 and 2 were acknowledged when they were stored */
	assert_int_equal(acked(&f), 1);
	assert_int_equal(acked(&f), 2);
	assert_int_equal(acked(&f), 0);
	assert_int_equal(acked(&f), INT64_MAX);
	teardown(&f);
}

static void an_owner_that_fails(void **state)
{
	struct fix f;

	(void)state;
	setup(&f);
	feed(&f, 1, "b");
	f.answer = ST_ENOMEM;
	feed(&f, 0, "a");
	assert_int_equal(f.closed, 1);
	assert_int_equal(f.close_err, ST_ENOMEM);
	assert_int_equal(ssm_chan_state(f.chan), SSM_CHAN_CLOSED);
	ssm_chan_resume_input(f.chan, NOW);
	assert_int_equal(f.closed, 1);
	teardown(&f);
}

static void calls_from_inside_data(void **state)
{
	struct fix f;

	(void)state;
	setup(&f);
	f.resume_inside = true;
	feed(&f, 1, "b");
	f.answer = ST_EAGAIN;
	feed(&f, 0, "a");
	f.answer = 0;
	ssm_chan_resume_input(f.chan, NOW);
	assert_string_equal(f.got, "ab");
	teardown(&f);
}

static void an_empty_payload(void **state)
{
	uint8_t wire[SSM_OVERHEAD + 1];
	struct ssm_msg m = { .type = SSM_OUTPUT_STREAM_DATA,
			     .created_ms = 1,
			     .seq = 1,
			     .payload_type = SSM_PT_OUTPUT,
			     .payload = (const uint8_t *)"x",
			     .payload_len = 1 };
	struct fix f;

	(void)state;
	setup(&f);
	assert_int_equal(ssm_msg_encode(wire, sizeof(wire), &m), sizeof(wire));
	be32_put(wire + 116, 0);
	assert_int_equal(ssm_chan_input(f.chan, wire, SSM_OVERHEAD, NOW), 0);
	assert_int_equal(acked(&f), 0);
	feed(&f, 1, "b");
	assert_string_equal(f.got, "b");
	teardown(&f);
}

static void the_limit_of_waiting_acks(void **state)
{
	struct fix f;
	int64_t n = 0;

	(void)state;
	setup(&f);
	for (int64_t at = 0; at < 20000; at++)
		feed(&f, at, "x");
	assert_int_equal(acked(&f), 20000 - 16384); /* the oldest were dropped: the peer resends */
	while (acked(&f) != INT64_MAX)
		n++;
	assert_int_equal(n, 16383);
	teardown(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(in_order),
		cmocka_unit_test(every_permutation),
		cmocka_unit_test(old_numbers_are_acked_again),
		cmocka_unit_test(a_duplicate_in_the_buffer),
		cmocka_unit_test(the_limit_of_messages),
		cmocka_unit_test(the_limit_of_bytes),
		cmocka_unit_test(refused_then_resumed),
		cmocka_unit_test(refused_then_repeated_by_the_peer),
		cmocka_unit_test(refused_in_the_middle_of_a_run),
		cmocka_unit_test(an_owner_that_fails),
		cmocka_unit_test(calls_from_inside_data),
		cmocka_unit_test(an_empty_payload),
		cmocka_unit_test(the_limit_of_waiting_acks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
