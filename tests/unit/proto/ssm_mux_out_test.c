// SPDX-License-Identifier: MIT
/*
 * ssm_mux_out_test.c - what one end of a multiplexed port session sends
 *
 * Cases: a client byte by byte; ids and their end; the limit of streams; the turn of ready streams; every
 * small room; frame sizes; an owner that has nothing; shutdown in both roles; close before the SYN has left.
 */
#include "mux_owner.h"

static void test_client_bytes(void **state)
{
	struct owner o;
	struct conn *c[3];

	(void)state;
	start_client(&o);
	nothing_left(&o);
	for (unsigned i = 0; i < 3; i++)
		c[i] = open_conn(&o);
	assert_true(ssm_mux_has_output(o.m));
	ready(c[2], "abc");
	pump(&o, sizeof(o.out));
	assert_int_equal(o.out_n, 35);
	assert_memory_equal(
		o.out, "\1\0\0\0\3\0\0\0\1\0\0\0\5\0\0\0\1\0\0\0\7\0\0\0\1\2\3\0\7\0\0\0abc", 35);
	close_it(c[0]);
	pump(&o, sizeof(o.out));
	assert_memory_equal(o.out, "\1\1\0\0\3\0\0\0", 8);
	assert_int_equal(o.out_n, 8);
	assert_int_equal(stats(&o).frames_out, 5);
	assert_int_equal(stats(&o).bytes_out, 3);
	nothing_left(&o);
	close_it(c[0]); /* stale */
	ssm_mux_ready(o.m, c[0]->h);
	ssm_mux_shutdown(o.m, c[0]->h);
	ssm_mux_resume(o.m, c[0]->h);
	assert_int_equal(ssm_mux_stream_id(o.m, c[0]->h), 0);
	assert_int_equal(ssm_mux_stream_buffered(o.m, c[0]->h), 0);
	ssm_mux_free(o.m);
}

static void test_ids_end(void **state)
{
	struct owner o;
	handle h;

	(void)state;
	start(&o, &(struct ssm_mux_opts){ .role = SSM_ROLE_CLIENT, .first_id = UINT32_MAX - 2 });
	assert_int_equal(open_conn(&o)->id, UINT32_MAX - 2);
	assert_int_equal(open_conn(&o)->id, UINT32_MAX);
	assert_int_equal(ssm_mux_open(o.m, NULL, &h), ST_EFULL);
	ends(&o, 0);
	ssm_mux_free(o.m);
	start_agent(&o);
	assert_int_equal(ssm_mux_open(o.m, NULL, &h), ST_EINVAL);
	ssm_mux_free(o.m);
}

static void test_open_max(void **state)
{
	struct owner o;
	handle h;

	(void)state;
	start_client(&o);
	for (unsigned i = 0; i < SSM_MUX_STREAMS_MAX; i++)
		open_conn(&o);
	assert_int_equal(ssm_mux_open(o.m, NULL, &h), ST_EFULL);
	close_it(&o.conn[0]); /* its SYN has not left: it is simply gone */
	assert_int_equal(ssm_mux_open(o.m, NULL, &h), 0);
	ssm_mux_free(o.m);
}

static void test_close_before_syn(void **state)
{
	struct owner o;
	struct conn *c;

	(void)state;
	start_client(&o);
	c = open_conn(&o);
	ready(c, "never");
	close_it(c);
	c = open_conn(&o);
	ready(c, "x");
	sent(&o, "S5 P5:x ");
	ssm_mux_free(o.m);
}

static void test_turns(void **state)
{
	struct owner o;
	struct conn *c[3];

	(void)state;
	start(&o, &(struct ssm_mux_opts){ .role = SSM_ROLE_CLIENT, .frame_max = 2 });
	for (unsigned i = 0; i < 3; i++)
		c[i] = open_conn(&o);
	ready(c[0], "aaaaa");
	ready(c[1], "bb");
	ready(c[2], "ccc");
	ssm_mux_ready(o.m, c[0]->h); /* twice is once */
	sent(&o, "S3 S5 S7 P3:aa P5:bb P7:cc P3:aa P7:c P3:a ");
	nothing_left(&o);
	/* an echo waits for one frame of each bulk stream, not for their end */
	c[0]->endless = true;
	ready(c[0], "AA");
	pump(&o, 50);
	assert_int_equal(o.out_n, 50);
	ready(c[1], "b");
	pump(&o, 30);
	assert_memory_equal(o.out, "\1\2\2\0\3\0\0\0AA\1\2\1\0\5\0\0\0b\1\2\2\0\3\0\0\0AA", 29);
	ready(c[1], "b");
	close_it(c[1]); /* FIN passes the bulk */
	pump(&o, 18);
	assert_memory_equal(o.out, "\1\1\0\0\5\0\0\0\1\2\2\0\3\0\0\0AA", 18);
	ssm_mux_free(o.m);
}

static void test_small_rooms(void **state)
{
	struct owner o;
	struct conn *c;

	(void)state;
	for (size_t cap = 0; cap < 40; cap++) {
		start_client(&o);
		c = open_conn(&o);
		pump(&o, cap);
		assert_int_equal(o.out_n, cap < 8 ? 0 : 8);
		if (cap < 8)
			pump(&o, 8);
		ready(c, "0123456789");
		pump(&o, cap);
		assert_int_equal(o.out_n, cap < 9 ? 0 : MIN(cap, 18U));
		assert_int_equal(strlen(c->text), cap < 9 ? 10 : 10 - (MIN(cap, 18U) - 8));
		assert_int_equal(ssm_mux_has_output(o.m), cap < 27);
		ssm_mux_free(o.m);
	}
}

static void test_frame_sizes(void **state)
{
	static char text[40000];
	static const struct {
		uint32_t frame_max;
		size_t data;
	} sizes[] = { { 0, SSM_MUX_FRAME_DATA },
		      { 1, 1 },
		      { SSM_MUX_FRAME_MAX, SSM_MUX_FRAME_MAX } };
	struct ssm_mux_frame f;
	struct owner o;
	struct conn *c;

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		start(&o, &(struct ssm_mux_opts){ .role = SSM_ROLE_CLIENT,
						  .frame_max = sizes[i].frame_max });
		c = open_conn(&o);
		pump(&o, 8);
		ready(c, text);
		pump(&o, sizeof(o.out));
		assert_int_equal(ssm_mux_frame_decode(&f, o.out, o.out_n), 0);
		assert_int_equal(f.len, sizes[i].data);
		ssm_mux_free(o.m);
	}
}

static void ready_it(struct conn *c)
{
	ssm_mux_ready(c->o->m, c->h);
}

static void test_nothing_to_pull(void **state)
{
	struct owner o;
	struct conn *c[2];

	(void)state;
	start_client(&o);
	c[0] = open_conn(&o);
	c[1] = open_conn(&o);
	sent(&o, "S3 S5 ");
	c[0]->act = ready_it; /* giving nothing is the last word */
	ready(c[0], NULL);
	ready(c[1], "x");
	assert_true(ssm_mux_has_output(o.m));
	sent(&o, "P5:x ");
	nothing_left(&o);
	ready(c[0], "y"); /* and ready inside with bytes is ready once */
	sent(&o, "P3:y ");
	nothing_left(&o);
	ssm_mux_free(o.m);
}

static void shut_it(struct conn *c)
{
	ssm_mux_shutdown(c->o->m, c->h);
}

static void test_shutdown_client(void **state)
{
	struct owner o;
	struct conn *c;

	(void)state;
	start_client(&o);
	c = open_conn(&o);
	c->act = shut_it;
	ready(c, "request");
	sent(&o, "S3 P3:request "); /* no FIN: the answer would be lost */
	ready(c, "more");
	nothing_left(&o);
	fed(&o, SSM_MUX_PSH, 3, "answer");
	nothing_left(&o);
	fed(&o, SSM_MUX_FIN, 3, NULL);
	logged(&o, "[data 3]answer[closed 3]");
	sent(&o, "F3 ");
	assert_int_equal(stats(&o).streams, 0);

	c = open_conn(&o); /* the owner's patience ends first */
	sent(&o, "S5 ");
	shut_it(c);
	nothing_left(&o);
	close_it(c);
	sent(&o, "F5 ");
	fed(&o, SSM_MUX_FIN, 5, NULL);
	logged(&o, "");
	ssm_mux_free(o.m);
}

static void test_shutdown_agent(void **state)
{
	struct owner o;

	(void)state;
	start_agent(&o);
	fed(&o, SSM_MUX_SYN, 3, NULL);
	ready(&o.conn[0], "answer");
	sent(&o, "P3:answer ");
	ready(&o.conn[0], "more");
	shut_it(&o.conn[0]);
	sent(&o, "F3 ");
	shut_it(&o.conn[0]);
	ready(&o.conn[0], "more");
	nothing_left(&o);
	fed(&o, SSM_MUX_PSH, 3, "on its way");
	logged(&o, "[accept 3][data 3]on its way");
	fed(&o, SSM_MUX_FIN, 3, NULL);
	logged(&o, "[closed 3]");
	nothing_left(&o); /* FIN was sent */
	assert_int_equal(stats(&o).streams, 0);

	fed(&o, SSM_MUX_SYN, 5, NULL);
	shut_it(&o.conn[1]);
	fed(&o, SSM_MUX_FIN, 5, NULL); /* before ours has left */
	logged(&o, "[accept 5][closed 5]");
	sent(&o, "F5 ");
	fed(&o, SSM_MUX_SYN, 7, NULL);
	shut_it(&o.conn[2]);
	close_it(&o.conn[2]); /* FIN once */
	sent(&o, "F7 ");
	fed(&o, SSM_MUX_SYN, 9, NULL);
	shut_it(&o.conn[3]);
	sent(&o, "F9 ");
	close_it(&o.conn[3]);
	nothing_left(&o);
	assert_int_equal(stats(&o).streams, 0);
	ssm_mux_free(o.m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_client_bytes),	cmocka_unit_test(test_ids_end),
		cmocka_unit_test(test_open_max),	cmocka_unit_test(test_close_before_syn),
		cmocka_unit_test(test_turns),		cmocka_unit_test(test_small_rooms),
		cmocka_unit_test(test_frame_sizes),	cmocka_unit_test(test_nothing_to_pull),
		cmocka_unit_test(test_shutdown_client), cmocka_unit_test(test_shutdown_agent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
