// SPDX-License-Identifier: MIT
/*
 * gw_fault_test.c - the misbehaving relay
 *
 * Cases: good and bad texts; without faults nothing changes; loss and duplicates come near their probability;
 * acks and data are told apart; delay to the millisecond; reorder lets later ones pass and loses none; the same seed
 * gives the same fate; the bound of what waits.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "gateway/gw_fault.h"

#define N 10000U

static struct gwf_spec spec_of(const char *text)
{
	struct gwf_spec s;
	const char *why;

	assert_int_equal(gwf_parse(&s, text, &why), 0);
	return s;
}

/* Puts messages 0..n-1 at time 0 and takes what is due by @until. Return: how many; @order: their numbers */
static size_t run(const struct gwf_spec *s, uint32_t n, bool is_ack, uint64_t until,
		  uint32_t *order)
{
	struct gwf_dir d;
	const uint8_t *p;
	size_t len, got = 0;
	void *mem;

	gwf_init(&d, s->seed ? s->seed : 1);
	for (uint32_t i = 0; i < n; i++)
		gwf_put(&d, s, (const uint8_t *)&i, sizeof(i), is_ack, 0);
	while ((p = gwf_take(&d, &len, &mem, until))) {
		assert_int_equal(len, sizeof(uint32_t));
		if (order)
			memcpy(&order[got], p, len);
		got++;
		free(mem);
	}
	gwf_fini(&d);
	return got;
}

static void test_parse(void **state)
{
	static const char *const bad[] = { "loss",	  "loss=",    "loss=2",	  "loss=-1",
					   "loss=x",	  "loss=nan", "delay=-1", "delay=1s",
					   "delay=60001", "what=1",   "=1",	  "cut-side=me",
					   "loss=0.1,dup" };
	struct gwf_spec s = spec_of(
		"loss=0.25,ack-loss=1,reorder=0.5,dup=0,delay=20,cut-after=1000,"
		"cut-side=both,pause-unacked=7,seed=9");
	const char *why;

	(void)state;
	assert_true(s.loss > 0.24 && s.loss < 0.26 && s.ack_loss > 0.99);
	assert_int_equal(s.delay_ms, 20);
	assert_int_equal(s.cut_after, 1000);
	assert_true(s.cut_client && s.cut_agent);
	assert_int_equal(s.pause_unacked, 7);
	assert_int_equal(s.seed, 9);
	assert_true(gwf_active(&s));
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		why = NULL;
		if (gwf_parse(&s, bad[i], &why) != ST_EINVAL || !why)
			fail_msg("accepted: %s", bad[i]);
	}
	assert_int_equal(s.seed, 9); /* untouched */
	s = spec_of("off");
	assert_false(gwf_active(&s));
	s = spec_of("");
	assert_false(gwf_active(&s));
	s = spec_of("seed=3");
	assert_false(gwf_active(&s));
}

static void test_faithful(void **state)
{
	struct gwf_spec s = spec_of("off");
	uint32_t order[100];

	(void)state;
	assert_int_equal(run(&s, 100, false, 0, order), 100);
	for (uint32_t i = 0; i < 100; i++)
		assert_int_equal(order[i], i);
}

static void test_rates(void **state)
{
	struct gwf_spec loss = spec_of("loss=0.1,seed=1"), ack = spec_of("ack-loss=0.1,seed=1");
	struct gwf_spec dup = spec_of("dup=0.1,seed=1");

	(void)state;
	assert_in_range(run(&loss, N, false, 0, NULL), N * 88 / 100, N * 92 / 100);
	assert_int_equal(run(&loss, N, true, 0, NULL), N);
	assert_in_range(run(&ack, N, true, 0, NULL), N * 88 / 100, N * 92 / 100);
	assert_int_equal(run(&ack, N, false, 0, NULL), N);
	assert_in_range(run(&dup, N, false, 0, NULL), N * 108 / 100, N * 112 / 100);
}

static void test_delay(void **state)
{
	struct gwf_spec s = spec_of("delay=20");

	(void)state;
	assert_int_equal(run(&s, 10, false, 19, NULL), 0);
	assert_int_equal(run(&s, 10, false, 20, NULL), 10);
}

static void test_reorder(void **state)
{
	struct gwf_spec s = spec_of("reorder=0.2,seed=4");
	uint32_t order[100], swapped = 0;
	bool seen[100] = { false };

	(void)state;
	assert_int_equal(run(&s, 100, false, 1000, order), 100);
	for (uint32_t i = 0; i < 100; i++) {
		assert_false(seen[order[i]]);
		seen[order[i]] = true;
		swapped += i > 0 && order[i] < order[i - 1];
	}
	assert_true(swapped > 0);
}

static void test_seed(void **state)
{
	struct gwf_spec s = spec_of("loss=0.5,dup=0.2,reorder=0.3,seed=5");
	struct gwf_spec t = spec_of("loss=0.5,dup=0.2,reorder=0.3,seed=6");
	uint32_t a[300], b[300];
	size_t n = run(&s, 100, false, 1000, a);

	(void)state;
	assert_int_equal(run(&s, 100, false, 1000, b), n);
	assert_memory_equal(a, b, n * sizeof(a[0]));
	assert_true(run(&t, 100, false, 1000, b) != n || memcmp(a, b, n * sizeof(a[0])) != 0);
}

static void test_bound(void **state)
{
	struct gwf_spec s = spec_of("delay=1000");
	uint8_t *big = calloc(1, MIB(1));
	struct gwf_dir d;

	(void)state;
	gwf_init(&d, 1);
	for (int i = 0; i < 6; i++)
		gwf_put(&d, &s, big, MIB(1), false, 0);
	assert_int_equal(d.queued_bytes, GWF_HELD_MAX);
	assert_int_equal(gwf_deadline(&d), 1000);
	gwf_fini(&d);
	assert_int_equal(gwf_deadline(&d), GWF_NEVER);
	free(big);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),	cmocka_unit_test(test_faithful),
		cmocka_unit_test(test_rates),	cmocka_unit_test(test_delay),
		cmocka_unit_test(test_reorder), cmocka_unit_test(test_seed),
		cmocka_unit_test(test_bound),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
