// SPDX-License-Identifier: MIT
/*
 * ssm_mux_in_test.c - what the peer of a multiplexed port session sends; the test is the peer
 *
 * Cases: a script of frames split at every byte and cut to pieces of every size; every shorter prefix of it;
 * each broken frame ends the mux for good; stray frames; opens that are refused or ignored; the limit of
 * streams and that of refusals; bytes kept for a dial and for a slow owner, up to the limit of all; a FIN
 * before and after the last byte is taken; closing from inside each callback.
 */
#include "mux_owner.h"

/* What a client might send, and what the agent's owner is told. */
static const char script[] = "\1\0\0\0\3\0\0\0" /* SYN 3 */
			     "\1\2\3\0\3\0\0\0"
			     "abc"
			     "\1\0\0\0\5\0\0\0" /* SYN 5 */
			     "\1\2\0\0\3\0\0\0" /* nothing */
			     "\1\2\5\0\5\0\0\0"
			     "hello"
			     "\1\3\0\0\0\0\0\0" /* NOP */
			     "\1\2\2\0\3\0\0\0"
			     "de"
			     "\1\1\0\0\3\0\0\0" /* FIN 3 */
			     "\1\2\1\0\5\0\0\0"
			     "!"
			     "\1\1\0\0\5\0\0\0"; /* FIN 5 */
static const char script_log[] = "[accept 3][data 3]abc[accept 5][data 5]hello[data 3]de[closed 3]"
				 "[data 5]![closed 5]";

static void test_split_everywhere(void **state)
{
	const size_t len = sizeof(script) - 1;
	struct owner o;

	(void)state;
	for (size_t cut = 0; cut <= len; cut++) {
		start_agent(&o);
		assert_int_equal(feed_bytes(&o, script, cut), 0);
		assert_int_equal(feed_bytes(&o, script + cut, len - cut), 0);
		logged(&o, script_log);
		sent(&o, "F3 F5 ");
		assert_int_equal(stats(&o).streams, 0);
		assert_int_equal(stats(&o).frames_in, 10);
		ssm_mux_free(o.m);
	}
	for (size_t piece = 1; piece <= len; piece++) {
		start_agent(&o);
		for (size_t off = 0; off < len; off += piece)
			assert_int_equal(feed_bytes(&o, script + off, MIN(piece, len - off)), 0);
		logged(&o, script_log);
		ssm_mux_free(o.m);
	}
}

static void test_every_prefix(void **state)
{
	struct owner o;

	(void)state;
	for (size_t len = 0; len < sizeof(script) - 1; len++) {
		start_agent(&o);
		assert_int_equal(feed_bytes(&o, script, len), 0);
		assert_int_equal(strncmp(script_log, o.log, o.log_n), 0);
		ends(&o, 0);
		ssm_mux_free(o.m);
	}
}

static void test_broken_frame_ends(void **state)
{
	static const struct {
		uint8_t bytes[SSM_MUX_HDR_LEN];
		int err;
	} broken[] = {
		{ { 2, SSM_MUX_PSH, 1, 0, 3, 0, 0, 0 }, ST_EPEER },
		{ { 0, SSM_MUX_NOP, 0, 0, 0, 0, 0, 0 }, ST_EPEER },
		{ { 1, 4, 8, 0, 3, 0, 0, 0 }, ST_EPEER },
		{ { 1, 255, 0, 0, 3, 0, 0, 0 }, ST_EPEER },
		{ { 1, SSM_MUX_SYN, 1, 0, 5, 0, 0, 0 }, ST_EFORMAT },
		{ { 1, SSM_MUX_FIN, 0, 1, 3, 0, 0, 0 }, ST_EFORMAT },
		{ { 1, SSM_MUX_NOP, 1, 0, 0, 0, 0, 0 }, ST_EFORMAT },
	};
	handle h;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(broken); i++) {
		static const uint8_t unread[SSM_MUX_HDR_LEN] = { 1, SSM_MUX_SYN, 0, 0, 7 };
		uint8_t two[2 * SSM_MUX_HDR_LEN] = { 0 };
		struct owner o;
		struct conn *c;

		start_agent(&o);
		o.take = 1;
		fed(&o, SSM_MUX_SYN, 3, NULL);
		fed(&o, SSM_MUX_PSH, 3, "ab");
		c = &o.conn[0];
		ready(c, "x");
		logged(&o, "[accept 3][data 3]a");
		memcpy(two, broken[i].bytes, SSM_MUX_HDR_LEN);
		memcpy(two + SSM_MUX_HDR_LEN, unread, SSM_MUX_HDR_LEN);
		assert_int_equal(feed_bytes(&o, two, sizeof(two)), broken[i].err);
		ends(&o, broken[i].err);
		assert_int_equal(feed(&o, SSM_MUX_NOP, 0, NULL), broken[i].err);
		nothing_left(&o);
		assert_int_equal(ssm_mux_open(o.m, NULL, &h), broken[i].err);
		assert_int_equal(ssm_mux_accept_ok(o.m, c->h), broken[i].err);
		assert_int_equal(ssm_mux_accept_fail(o.m, c->h), broken[i].err);
		assert_int_equal(ssm_mux_expire(o.m, NOW), broken[i].err);
		assert_true(ssm_mux_deadline(o.m) == SSM_TIME_NEVER);
		ssm_mux_resume(o.m, c->h);
		ssm_mux_close(o.m, c->h);
		logged(&o, "");
		ssm_mux_free(o.m);
	}
}

static void test_stray_frames(void **state)
{
	struct owner o;
	struct conn *c;

	(void)state;
	start_client(&o);
	c = open_conn(&o);
	fed(&o, SSM_MUX_PSH, 3, "early"); /* its SYN has not left */
	fed(&o, SSM_MUX_FIN, 3, NULL);
	sent(&o, "S3 ");
	fed(&o, SSM_MUX_PSH, 4, "none");
	fed(&o, SSM_MUX_FIN, 5, NULL);
	fed(&o, SSM_MUX_PSH, 3, "ok");
	logged(&o, "[data 3]ok");
	close_it(c);
	fed(&o, SSM_MUX_PSH, 3, "late"); /* FIN has not left */
	fed(&o, SSM_MUX_FIN, 3, NULL);
	sent(&o, "F3 ");
	fed(&o, SSM_MUX_PSH, 3, "later");
	fed(&o, SSM_MUX_FIN, 3, NULL);
	logged(&o, "");
	assert_int_equal(stats(&o).stray_frames, 8);
	assert_int_equal(stats(&o).stray_bytes, 5 + 4 + 4 + 5);
	assert_int_equal(stats(&o).bytes_in, 2);
	nothing_left(&o);
	ssm_mux_free(o.m);
}

static void test_after_the_peers_fin(void **state)
{
	struct owner o;

	(void)state;
	start_agent(&o);
	o.take = 2;
	fed(&o, SSM_MUX_SYN, 3, NULL);
	fed(&o, SSM_MUX_PSH, 3, "abcde");
	ready(&o.conn[0], "answer");
	fed(&o, SSM_MUX_FIN, 3, NULL);
	fed(&o, SSM_MUX_PSH, 3, "x"); /* FIN was its last word */
	fed(&o, SSM_MUX_FIN, 3, NULL);
	fed(&o, SSM_MUX_SYN, 3, NULL); /* still there */
	nothing_left(&o);	       /* nobody would read the answer */
	ready(&o.conn[0], "answer");
	ssm_mux_shutdown(o.m, o.conn[0].h);
	nothing_left(&o);
	logged(&o, "[accept 3][data 3]ab");
	assert_int_equal(ssm_mux_stream_buffered(o.m, o.conn[0].h), 3);
	ssm_mux_resume(o.m, o.conn[0].h);
	ssm_mux_resume(o.m, o.conn[0].h);
	logged(&o, "[data 3]cde[closed 3]");
	sent(&o, "F3 ");
	assert_int_equal(stats(&o).stray_frames, 2);
	assert_int_equal(stats(&o).ignored_syns, 1);
	fed(&o, SSM_MUX_SYN, 3, NULL); /* gone: the id is free, as for the stock agent */
	logged(&o, "[accept 3]");
	ssm_mux_free(o.m);
}

static void test_syn_refused(void **state)
{
	struct owner o;

	(void)state;
	start_agent(&o);
	fed(&o, SSM_MUX_SYN, 0, NULL);
	fed(&o, SSM_MUX_SYN, 4, NULL);
	fed(&o, SSM_MUX_SYN, 3, NULL);
	fed(&o, SSM_MUX_SYN, 3, NULL);
	fed(&o, SSM_MUX_SYN, 1, NULL);
	fed(&o, SSM_MUX_SYN, UINT32_MAX, NULL);
	fed(&o, SSM_MUX_PSH, 3, "on");
	logged(&o, "[accept 3][accept 1][accept 4294967295][data 3]on");
	assert_true(ssm_mux_has_output(o.m));
	sent(&o, "F0 F4 ");
	nothing_left(&o);
	assert_int_equal(stats(&o).refused, 2);
	assert_int_equal(stats(&o).ignored_syns, 1);
	assert_int_equal(stats(&o).opened, 3);
	ssm_mux_free(o.m);

	start_client(&o);
	open_conn(&o);
	fed(&o, SSM_MUX_SYN, 3, NULL); /* ours */
	fed(&o, SSM_MUX_SYN, 5, NULL); /* an agent opens none */
	sent(&o, "F5 S3 ");
	logged(&o, "");
	fed(&o, SSM_MUX_SYN, 5, NULL); /* the refusal must not end the stream that is ours by now */
	open_conn(&o);
	sent(&o, "F5 S5 ");
	ssm_mux_free(o.m);
}

static void test_streams_max(void **state)
{
	struct owner o;
	uint32_t id = 1;

	(void)state;
	start_agent(&o);
	for (unsigned i = 0; i < SSM_MUX_STREAMS_MAX; i++, id += 2) {
		forget(&o);
		fed(&o, SSM_MUX_SYN, id, NULL);
	}
	assert_int_equal(stats(&o).streams, SSM_MUX_STREAMS_MAX);
	forget(&o);
	fed(&o, SSM_MUX_SYN, id, NULL);
	logged(&o, "");
	ssm_mux_close(o.m, o.conn[0].h); /* it counts until its FIN has left */
	fed(&o, SSM_MUX_SYN, id, NULL);
	logged(&o, "");
	pump(&o, 8000);
	assert_int_equal(o.out_n, 2 * SSM_MUX_HDR_LEN); /* one answer to both tries */
	fed(&o, SSM_MUX_SYN, id, NULL);
	logged(&o, "[accept 2049]");
	fed(&o, SSM_MUX_SYN, id + 2, NULL);
	ssm_mux_close(o.m, o.conn[1].h);
	pump(&o, SSM_MUX_HDR_LEN);
	fed(&o, SSM_MUX_SYN, 4, NULL);
	fed(&o, SSM_MUX_SYN, 4, NULL); /* one answer is on its way */
	sent(&o, "F4 F2035 ");
	ssm_mux_free(o.m);
}

static void test_refused_max(void **state)
{
	const size_t all_but_one = SSM_MUX_HDR_LEN * (SSM_MUX_REFUSED_MAX - (size_t)1);
	struct owner o;

	(void)state;
	start_agent(&o);
	for (unsigned round = 0; round < 2; round++) {
		for (unsigned i = 0; i < SSM_MUX_REFUSED_MAX; i++)
			fed(&o, SSM_MUX_SYN, 2 * i, NULL);
		pump(&o, all_but_one);
		assert_int_equal(o.out_n, all_but_one);
		sent(&o, "F2046 ");
	}
	for (unsigned i = 0; i < SSM_MUX_REFUSED_MAX; i++)
		fed(&o, SSM_MUX_SYN, 2 * i, NULL);
	fed(&o, SSM_MUX_SYN, 8, NULL); /* waits already */
	assert_int_equal(feed(&o, SSM_MUX_SYN, 2 * SSM_MUX_REFUSED_MAX, NULL), ST_EPEER);
	ends(&o, ST_EPEER);
	ssm_mux_free(o.m);
}

static void test_dial(void **state)
{
	struct owner o;
	struct conn *c = &o.conn[0];

	(void)state;
	start_agent(&o);
	o.on_accept = NULL;
	o.take = 3;
	fed(&o, SSM_MUX_SYN, 3, NULL);
	fed(&o, SSM_MUX_PSH, 3, "abc");
	fed(&o, SSM_MUX_PSH, 3, "def");
	ready(c, "no"); /* not before the dial's end */
	ssm_mux_shutdown(o.m, c->h);
	ssm_mux_resume(o.m, c->h);
	nothing_left(&o);
	logged(&o, "[accept 3]");
	assert_int_equal(ssm_mux_stream_buffered(o.m, c->h), 6);
	assert_int_equal(ssm_mux_accept_ok(o.m, c->h), 0);
	logged(&o, "[data 3]abc");
	assert_int_equal(ssm_mux_accept_ok(o.m, c->h), ST_EINVAL);
	assert_int_equal(ssm_mux_accept_fail(o.m, c->h), ST_EINVAL);
	ssm_mux_resume(o.m, c->h);
	logged(&o, "[data 3]def");
	ssm_mux_resume(o.m, c->h); /* nothing is kept */
	ready(c, "yes");
	sent(&o, "P3:yes ");

	fed(&o, SSM_MUX_SYN, 5, NULL);
	fed(&o, SSM_MUX_PSH, 5, "abc");
	accept_fail(&o.conn[1]);
	assert_int_equal(ssm_mux_accept_fail(o.m, o.conn[1].h), ST_ENOENT);
	assert_int_equal(ssm_mux_accept_ok(o.m, o.conn[1].h), ST_ENOENT);
	assert_int_equal(stats(&o).buffered_bytes, 0);
	logged(&o, "[accept 5]");
	sent(&o, "F5 ");

	o.on_accept = accept_fail;
	fed(&o, SSM_MUX_SYN, 7, NULL);
	fed(&o, SSM_MUX_PSH, 7, "abc");
	sent(&o, "F7 ");
	logged(&o, "[accept 7]");
	ssm_mux_free(o.m);
}

static void test_fin_while_dialing(void **state)
{
	struct owner o;

	(void)state;
	start_agent(&o);
	o.on_accept = NULL;
	fed(&o, SSM_MUX_SYN, 3, NULL);
	fed(&o, SSM_MUX_FIN, 3, NULL);
	logged(&o, "[accept 3][closed 3]");
	assert_int_equal(ssm_mux_accept_ok(o.m, o.conn[0].h), ST_ENOENT);
	sent(&o, "F3 ");
	fed(&o, SSM_MUX_SYN, 5, NULL);
	fed(&o, SSM_MUX_PSH, 5, "last words");
	fed(&o, SSM_MUX_FIN, 5, NULL);
	logged(&o, "[accept 5]");
	assert_int_equal(ssm_mux_accept_ok(o.m, o.conn[1].h), 0);
	logged(&o, "[data 5]last words[closed 5]");
	sent(&o, "F5 ");
	ssm_mux_free(o.m);
}

static void resume_it(struct conn *c)
{
	ssm_mux_resume(c->o->m, c->h);
	assert_int_equal(ssm_mux_accept_ok(c->o->m, c->h), ST_EINVAL);
}

static void test_slow_owner(void **state)
{
	struct owner o;
	struct conn *c = &o.conn[0];

	(void)state;
	start_agent(&o);
	o.take = 0;
	o.act = resume_it; /* has no effect inside data() */
	fed(&o, SSM_MUX_SYN, 3, NULL);
	fed(&o, SSM_MUX_PSH, 3, "ab");
	fed(&o, SSM_MUX_PSH, 3, "cd"); /* not offered */
	fed(&o, SSM_MUX_SYN, 5, NULL);
	o.conn[1].take = SIZE_MAX;
	fed(&o, SSM_MUX_PSH, 5, "fast"); /* not held up */
	logged(&o, "[accept 3][data 3][accept 5][data 5]fast");
	ssm_mux_resume(o.m, c->h);
	logged(&o, "[data 3]");
	c->take = 3;
	ssm_mux_resume(o.m, c->h);
	fed(&o, SSM_MUX_PSH, 3, "e");
	ssm_mux_resume(o.m, c->h);
	logged(&o, "[data 3]abcde");
	fed(&o, SSM_MUX_PSH, 3, "f");
	logged(&o, "[data 3]f");
	ssm_mux_free(o.m);
}

static void test_close_inside(void **state)
{
	struct owner o;

	(void)state;
	start_agent(&o);
	o.act = close_it;
	fed(&o, SSM_MUX_SYN, 3, NULL);
	fed(&o, SSM_MUX_PSH, 3, "abc"); /* in data(), straight from the frame */
	fed(&o, SSM_MUX_PSH, 3, "def");
	sent(&o, "F3 ");
	fed(&o, SSM_MUX_SYN, 5, NULL);
	ready(&o.conn[1], "bye"); /* in pull(), with its last bytes */
	sent(&o, "P5:bye F5 ");
	fed(&o, SSM_MUX_SYN, 7, NULL);
	ready(&o.conn[2], NULL); /* in pull(), without any */
	sent(&o, "F7 ");
	fed(&o, SSM_MUX_SYN, 9, NULL);
	fed(&o, SSM_MUX_FIN, 9, NULL); /* in closed(): nothing is left to close */
	sent(&o, "F9 ");
	o.on_accept = NULL;
	fed(&o, SSM_MUX_SYN, 11, NULL);
	fed(&o, SSM_MUX_PSH, 11, "kept");
	accept_ok(&o.conn[4]); /* in data(), from what was kept */
	sent(&o, "F11 ");
	assert_int_equal(stats(&o).buffered_bytes, 0);
	assert_int_equal(stats(&o).streams, 0);
	logged(&o, "[accept 3][data 3]abc[accept 5][accept 7][accept 9][closed 9][accept 11]"
		   "[data 11]kept");
	ssm_mux_free(o.m);
}

static void test_buffer_max(void **state)
{
	static uint8_t big[SSM_MUX_BUFFER_MAX + 1];
	struct owner o;
	struct conn *c = &o.conn[0];

	(void)state;
	start_agent(&o);
	o.take = 0;
	assert_int_equal(ssm_mux_input(o.m, big, sizeof(big), NOW), ST_EINVAL);
	ends(&o, 0);
	fed(&o, SSM_MUX_SYN, 3, NULL);
	fed(&o, SSM_MUX_SYN, 5, NULL);
	fill(&o, 3, SSM_MUX_BUFFER_MAX - 9);
	assert_int_equal(feed(&o, SSM_MUX_PSH, 5, "ab"), ST_EAGAIN); /* 10 bytes, 9 left */
	fed(&o, SSM_MUX_PSH, 5, "a");				     /* 9 */
	assert_int_equal(stats(&o).buffered_bytes, SSM_MUX_BUFFER_MAX - 8);
	assert_int_equal(feed(&o, SSM_MUX_PSH, 5, "b"), ST_EAGAIN);
	ends(&o, 0);
	ssm_mux_resume(o.m, c->h); /* takes nothing */
	assert_int_equal(o.unblocked, 0);
	c->take = 1;
	ssm_mux_resume(o.m, c->h);
	assert_int_equal(o.unblocked, 1);
	ssm_mux_resume(o.m, c->h); /* once */
	assert_int_equal(o.unblocked, 1);
	fed(&o, SSM_MUX_PSH, 5, "b");
	o.conn[1].take = SIZE_MAX;
	forget(&o);
	ssm_mux_resume(o.m, o.conn[1].h);
	logged(&o, "[data 5]ab");

	fill(&o, 3, SSM_MUX_BUFFER_MAX);
	assert_int_equal(feed_bytes(&o, "\1", 1), ST_EAGAIN);
	close_it(c); /* its bytes go */
	assert_int_equal(o.unblocked, 2);
	assert_int_equal(stats(&o).buffered_bytes, 0);
	ssm_mux_free(o.m);
}

static void test_unblocked_by_the_dial(void **state)
{
	struct owner o;

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		start_agent(&o);
		o.on_accept = NULL;
		fed(&o, SSM_MUX_SYN, 3, NULL);
		fill(&o, 3, SSM_MUX_BUFFER_MAX);
		logged(&o, "[accept 3]");
		assert_int_equal(feed(&o, SSM_MUX_FIN, 3, NULL), ST_EAGAIN);
		(i == 0 ? accept_ok : accept_fail)(&o.conn[0]);
		assert_int_equal(o.unblocked, 1);
		fed(&o, SSM_MUX_FIN, 3, NULL);
		logged(&o, i == 0 ? "[data 3][closed 3]" : "");
		sent(&o, "F3 ");
		ssm_mux_free(o.m);
	}
}

/* A block of megabytes does not stay for the last byte in it; the bytes survive its exchange. */
static void test_trim(void **state)
{
	struct owner o;

	(void)state;
	start_agent(&o);
	o.take = 0;
	fed(&o, SSM_MUX_SYN, 3, NULL);
	fed(&o, SSM_MUX_PSH, 3, "x");
	fill(&o, 3, 30000);
	fed(&o, SSM_MUX_PSH, 3, "the end");
	o.conn[0].take = 30000;
	ssm_mux_resume(o.m, o.conn[0].h); /* to a smaller block */
	o.conn[0].take = 3;
	forget(&o);
	ssm_mux_resume(o.m, o.conn[0].h);
	logged(&o, "[data 3]the");
	o.conn[0].take = 0;
	fill(&o, 3, 30000);
	o.conn[0].take = 30000 - 2;
	allocs_left = 0;
	ssm_mux_resume(o.m, o.conn[0].h); /* there is none */
	allocs_left = UINT32_MAX;
	assert_int_equal(ssm_mux_stream_buffered(o.m, o.conn[0].h), 2);
	ends(&o, 0);
	ssm_mux_free(o.m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_split_everywhere),
		cmocka_unit_test(test_every_prefix),
		cmocka_unit_test(test_broken_frame_ends),
		cmocka_unit_test(test_stray_frames),
		cmocka_unit_test(test_after_the_peers_fin),
		cmocka_unit_test(test_syn_refused),
		cmocka_unit_test(test_streams_max),
		cmocka_unit_test(test_refused_max),
		cmocka_unit_test(test_dial),
		cmocka_unit_test(test_fin_while_dialing),
		cmocka_unit_test(test_slow_owner),
		cmocka_unit_test(test_close_inside),
		cmocka_unit_test(test_buffer_max),
		cmocka_unit_test(test_unblocked_by_the_dial),
		cmocka_unit_test(test_trim),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
