// SPDX-License-Identifier: MIT
/*
 * ssm_mux_test.c - life of a multiplexed port session: options, time, memory
 *
 * Cases: options; keepalive on, off and while input is refused; no memory at each allocation; walking the
 * streams. Frames, input and output have files of their own.
 */
#include "mux_owner.h"

static void test_options(void **state)
{
	struct ssm_mux_events e = events;
	struct ssm_mux_opts o = { .role = SSM_ROLE_AGENT, .events = &e };
	struct ssm_mux *m;

	(void)state;
	ssm_mux_free(NULL);
	o.events = NULL;
	assert_int_equal(ssm_mux_new(&m, &o), ST_EINVAL);
	o.events = &e;
	o.frame_max = SSM_MUX_FRAME_MAX + 1;
	assert_int_equal(ssm_mux_new(&m, &o), ST_EINVAL);
	o.frame_max = SSM_MUX_FRAME_MAX;
	o.first_id = 2;
	assert_int_equal(ssm_mux_new(&m, &o), ST_EINVAL);
	o.first_id = 0;
	e.accept = NULL;
	assert_int_equal(ssm_mux_new(&m, &o), ST_EINVAL);
	o.role = SSM_ROLE_CLIENT;
	assert_int_equal(ssm_mux_new(&m, &o), 0);
	ssm_mux_free(m);
	for (unsigned i = 0; i < 4; i++) {
		e = events;
		if (i == 0)
			e.data = NULL;
		else if (i == 1)
			e.closed = NULL;
		else if (i == 2)
			e.pull = NULL;
		else
			e.unblocked = NULL;
		assert_int_equal(ssm_mux_new(&m, &o), ST_EINVAL);
	}
}

static void test_keepalive(void **state)
{
	const uint64_t nop = NOW + SSM_MUX_NOP_US, timeout = NOW + SSM_MUX_TIMEOUT_US;
	uint8_t b[16];
	struct owner o;

	(void)state;
	start(&o, &(struct ssm_mux_opts){ .role = SSM_ROLE_CLIENT, .keepalive = true });
	assert_int_equal(ssm_mux_deadline(o.m), nop);
	assert_int_equal(ssm_mux_expire(o.m, nop - 1), 0);
	nothing_left(&o);
	assert_int_equal(ssm_mux_expire(o.m, nop), 0);
	assert_int_equal(ssm_mux_deadline(o.m), timeout);
	assert_true(ssm_mux_has_output(o.m));
	assert_int_equal(ssm_mux_output(o.m, b, sizeof(b), nop + 5), 8);
	assert_memory_equal(b, "\1\3\0\0\0\0\0\0", 8);
	assert_int_equal(ssm_mux_deadline(o.m), nop + 5 + SSM_MUX_NOP_US);
	/* output of any kind puts the NOP off, input the time-out; time does not go back */
	open_conn(&o);
	assert_int_equal(ssm_mux_output(o.m, b, sizeof(b), timeout - 9), 8);
	assert_int_equal(ssm_mux_deadline(o.m), timeout);
	assert_int_equal(ssm_mux_input(o.m, (const uint8_t *)"\1", 1, NOW), 0);
	assert_int_equal(ssm_mux_deadline(o.m), timeout - 9 + SSM_MUX_NOP_US);
	ssm_mux_keepalive_restart(o.m, timeout);
	assert_int_equal(ssm_mux_expire(o.m, timeout - 9 + SSM_MUX_TIMEOUT_US), 0);
	assert_int_equal(ssm_mux_expire(o.m, timeout + SSM_MUX_TIMEOUT_US), ST_ETIMEOUT);
	ends(&o, ST_ETIMEOUT);
	assert_int_equal(feed(&o, SSM_MUX_NOP, 0, NULL), ST_ETIMEOUT);
	assert_true(ssm_mux_deadline(o.m) == SSM_TIME_NEVER);
	assert_int_equal(ssm_mux_expire(o.m, timeout * 3), ST_ETIMEOUT);
	ssm_mux_free(o.m);

	start_client(&o); /* off: an idle session has no deadline */
	assert_true(ssm_mux_deadline(o.m) == SSM_TIME_NEVER);
	assert_int_equal(ssm_mux_expire(o.m, timeout * 2), 0);
	nothing_left(&o);
	ssm_mux_free(o.m);
}

static void test_keepalive_while_blocked(void **state)
{
	struct owner o;

	(void)state;
	start(&o, &(struct ssm_mux_opts){ .role = SSM_ROLE_AGENT, .keepalive = true });
	fed(&o, SSM_MUX_SYN, 3, NULL);
	fill(&o, 3, SSM_MUX_BUFFER_MAX);
	assert_int_equal(feed(&o, SSM_MUX_NOP, 0, NULL), ST_EAGAIN);
	assert_int_equal(ssm_mux_expire(o.m, NOW + SSM_MUX_TIMEOUT_US * 3), 0);
	assert_int_equal(ssm_mux_deadline(o.m), NOW + SSM_MUX_TIMEOUT_US * 4);
	close_it(&o.conn[0]);
	assert_int_equal(ssm_mux_expire(o.m, NOW + SSM_MUX_TIMEOUT_US * 4), ST_ETIMEOUT);
	ssm_mux_close(o.m, o.conn[0].h);
	ssm_mux_free(o.m);
}

/* What is refused before the end is not offered after it. */
static void test_end_while_blocked(void **state)
{
	struct owner o;

	(void)state;
	start(&o, &(struct ssm_mux_opts){ .role = SSM_ROLE_AGENT, .keepalive = true });
	fed(&o, SSM_MUX_SYN, 3, NULL);
	fill(&o, 3, SSM_MUX_BUFFER_MAX - 4);
	assert_int_equal(feed(&o, SSM_MUX_NOP, 0, NULL), ST_EAGAIN);
	assert_int_equal(feed_bytes(&o, "\2\0\0\0", 4), 0);
	assert_int_equal(feed_bytes(&o, "\0\0\0\0", 4), ST_EPEER);
	close_it(&o.conn[0]);
	assert_int_equal(o.unblocked, 0);
	ssm_mux_free(o.m);
}

static void test_no_memory(void **state)
{
	struct ssm_mux_opts opts = { .role = SSM_ROLE_AGENT, .events = &events };
	struct ssm_mux *m;
	struct owner o;
	handle h;
	int r;

	(void)state;
	allocs_left = 0;
	r = ssm_mux_new(&m, &opts);
	allocs_left = UINT32_MAX;
	assert_int_equal(r, ST_ENOMEM);
	for (unsigned n = 0; n < 2; n++) { /* the stream, its slot */
		start_client(&o);
		allocs_left = n;
		r = ssm_mux_open(o.m, NULL, &h);
		allocs_left = UINT32_MAX;
		assert_int_equal(r, ST_ENOMEM);
		assert_int_equal(open_conn(&o)->id, 3);
		ssm_mux_free(o.m);
		start_agent(&o);
		allocs_left = n;
		r = feed(&o, SSM_MUX_SYN, 3, NULL);
		allocs_left = UINT32_MAX;
		assert_int_equal(r, 0);
		sent(&o, "F3 ");
		ssm_mux_free(o.m);
	}
	start_agent(&o);
	o.take = 1;
	fed(&o, SSM_MUX_SYN, 3, NULL);
	allocs_left = 0;
	r = feed(&o, SSM_MUX_PSH, 3, "abc");
	allocs_left = UINT32_MAX;
	assert_int_equal(r, ST_ENOMEM);
	ends(&o, ST_ENOMEM);
	ssm_mux_free(o.m);
}

static void test_walk(void **state)
{
	struct owner o;
	uint32_t pos = 0;
	unsigned n = 0;
	void *ctx;
	handle h;

	(void)state;
	start_client(&o);
	for (unsigned i = 0; i < 5; i++)
		open_conn(&o);
	sent(&o, "S3 S5 S7 S9 S11 ");
	close_it(&o.conn[2]);
	while (ssm_mux_stream_next(o.m, &pos, &h, &ctx)) {
		const struct conn *c = ctx;

		assert_true(c->h == h && c->id != 7);
		ssm_mux_close(o.m, h);
		n++;
	}
	assert_int_equal(n, 4);
	sent(&o, "F7 F3 F5 F9 F11 ");
	ssm_mux_free(o.m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_options),
		cmocka_unit_test(test_keepalive),
		cmocka_unit_test(test_keepalive_while_blocked),
		cmocka_unit_test(test_end_while_blocked),
		cmocka_unit_test(test_no_memory),
		cmocka_unit_test(test_walk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
