// SPDX-License-Identifier: MIT
/*
 * ssm_window_test.c - RTT, time-out and window
 *
 * Cases: start values; the estimator on known samples; floor and cap of the time-out; back-off by
 * sendings and by time-outs, undone by a clean sample; doubling per RTT; the cap; no growth when not
 * used; shrinking once per RTT under added delay, by its excess, never below the floor; slow growth
 * after delay; delay on the way back is not ours; peers' clocks that are none or are set; a new path.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/util.h"
#include "proto/ssm_window.h"

#define MS UINT64_C(1000)

static void start_values(void **state)
{
	struct ssm_window w;

	(void)state;
	ssm_window_init(&w, KIB(64), KIB(256));
	assert_int_equal(w.bytes, KIB(64));
	assert_int_equal(ssm_window_rto(&w, 0), 200 * MS);
	ssm_window_init(&w, KIB(64), KIB(8));
	assert_int_equal(w.bytes, KIB(8));
}

static void the_estimator(void **state)
{
	struct ssm_window w;

	(void)state;
	ssm_window_init(&w, KIB(64), KIB(256));
	ssm_window_acked(&w, 80 * MS, 1, true, 1);
	assert_int_equal(w.srtt_us, 80 * MS);
	assert_int_equal(w.rttvar_us, 40 * MS);
	assert_int_equal(ssm_window_rto(&w, 0), 240 * MS);
	ssm_window_acked(&w, 160 * MS, 1, true, 2);
	assert_int_equal(w.srtt_us, 90 * MS);
	assert_int_equal(w.rttvar_us, 50 * MS);
	assert_int_equal(ssm_window_rto(&w, 0), 290 * MS);
	assert_int_equal(w.min_rtt_us, 80 * MS);
}

static void floor_and_cap(void **state)
{
	struct ssm_window w;

	(void)state;
	ssm_window_init(&w, KIB(64), KIB(256));
	ssm_window_acked(&w, 0, 1, true, 1);
	assert_int_equal(ssm_window_rto(&w, 0), SSM_RTO_MIN_US);
	assert_int_equal(ssm_window_rto(&w, 1), 2 * SSM_RTO_MIN_US);
	assert_int_equal(ssm_window_rto(&w, 5), 32 * SSM_RTO_MIN_US);
	assert_int_equal(ssm_window_rto(&w, 6), SSM_RTO_MAX_US);
	assert_int_equal(ssm_window_rto(&w, 1000), SSM_RTO_MAX_US);
	ssm_window_acked(&w, UINT64_C(3600000000), 1, true, 1);
	assert_int_equal(ssm_window_rto(&w, 0), SSM_RTO_MAX_US);
	/* above 1 s of RTT the time-out stays above the RTT */
	ssm_window_init(&w, KIB(64), KIB(256));
	for (unsigned i = 0; i < 100; i++)
		ssm_window_acked(&w, 1500 * MS, 1, true, i);
	assert_in_range(ssm_window_rto(&w, 0), 1510 * MS, 1600 * MS);
}

static void timeouts_double_until_a_clean_sample(void **state)
{
	struct ssm_window w;
	uint64_t now_us = 1000 * MS;

	(void)state;
	ssm_window_init(&w, KIB(64), KIB(256));
	ssm_window_timeout(&w, now_us);
	assert_int_equal(ssm_window_rto(&w, 0), 400 * MS);
	ssm_window_timeout(&w, now_us + 1); /* the same event: other messages of the same age */
	assert_int_equal(ssm_window_rto(&w, 0), 400 * MS);
	assert_int_equal(w.bytes, KIB(32));
	for (unsigned i = 0; i < 20; i++)
		ssm_window_timeout(&w, now_us += 5000 * MS);
	assert_int_equal(ssm_window_rto(&w, 0), SSM_RTO_MAX_US);
	assert_int_equal(w.bytes, SSM_WINDOW_MIN);
	ssm_window_acked(&w, 50 * MS, 1, true, now_us);
	assert_int_equal(ssm_window_rto(&w, 0), 150 * MS);
}

static void doubles_per_rtt_up_to_the_cap(void **state)
{
	struct ssm_window w;

	(void)state;
	ssm_window_init(&w, KIB(64), KIB(256));
	for (unsigned i = 0; i < 64; i++)
		ssm_window_acked(&w, 50 * MS, KIB(1), true, 50 * MS);
	assert_int_equal(w.bytes, KIB(128));
	for (unsigned i = 0; i < 1000; i++)
		ssm_window_acked(&w, 50 * MS, KIB(1), true, 100 * MS);
	assert_int_equal(w.bytes, KIB(256));
}

static void unused_window_stays(void **state)
{
	struct ssm_window w;

	(void)state;
	ssm_window_init(&w, KIB(64), KIB(256));
	for (unsigned i = 0; i < 100; i++)
		ssm_window_acked(&w, 50 * MS, KIB(1), false, 50 * MS);
	assert_int_equal(w.bytes, KIB(64));
}

static void shrinks_when_the_rtt_inflates(void **state)
{
	struct ssm_window w;
	uint64_t now_us = 1000 * MS;
	size_t before;

	(void)state;
	ssm_window_init(&w, KIB(256), KIB(256));
	ssm_window_acked(&w, 20 * MS, KIB(1), true, now_us);
	for (unsigned i = 0; i < 100; i++) /* some delay: neither growth nor shrinking */
		ssm_window_acked(&w, 60 * MS, KIB(1), true, now_us += 10 * MS);
	assert_int_equal(w.bytes, KIB(256));
	for (unsigned i = 0; i < 100; i++)
		ssm_window_acked(&w, 200 * MS, KIB(1), true, now_us);
	before = w.bytes;
	assert_in_range(before, KIB(128), KIB(230)); /* once, time stood still */
	for (unsigned i = 0; i < 10; i++) /* the mean is 200 ms now, 13 would be borne: half */
		ssm_window_acked(&w, 200 * MS, KIB(1), true, now_us);
	ssm_window_acked(&w, 200 * MS, KIB(1), true, now_us += 200 * MS);
	assert_int_equal(w.bytes, before / 2);
	for (unsigned i = 0; i < 100; i++)
		ssm_window_acked(&w, 200 * MS, KIB(1), true, now_us += 200 * MS);
	assert_int_equal(w.bytes, SSM_WINDOW_MIN);
}

/* 140 ms added to 100: cut to what would add 53. */
static void shrinks_by_the_excess(void **state)
{
	struct ssm_window w;

	(void)state;
	ssm_window_init(&w, 100000, KIB(256));
	ssm_window_acked(&w, 100 * MS, KIB(1), false, 1);
	w.srtt_us = 240 * MS;
	ssm_window_acked(&w, 240 * MS, KIB(1), true, 1000 * MS);
	assert_int_equal(w.bytes, 100000 * (240 - 87) / 240);
	w.srtt_us = 230 * MS;
	ssm_window_acked(&w, 230 * MS, KIB(1), true, 2000 * MS); /* borne */
	assert_int_equal(w.bytes, 100000 * (240 - 87) / 240);
}

static void grows_slowly_after_delay(void **state)
{
	struct ssm_window w;
	const uint64_t now_us = 1000 * MS;

	(void)state;
	ssm_window_init(&w, KIB(64), KIB(1024));
	ssm_window_acked(&w, 50 * MS, KIB(1), true, now_us);
	assert_int_equal(w.bytes, KIB(65));
	ssm_window_acked(&w, 100 * MS, KIB(1), true, now_us); /* the mean is not there yet: 56 ms */
	assert_int_equal(w.bytes, KIB(65));
	ssm_window_acked(&w, 50 * MS, KIB(1), true, now_us);
	assert_int_equal(w.bytes, KIB(65) + 128);
	ssm_window_acked(&w, 50 * MS, KIB(1), true, now_us + 1000 * MS); /* 16 RTTs later */
	assert_int_equal(w.bytes, KIB(66) + 128);
}

/* RTT 100 ms above the least for all that follows; the peer's clock says where. */
static void delay_on_the_way_back(void **state)
{
	const int64_t ahead_us = -7777777777;
	struct ssm_window w;
	uint64_t now_us = 1000 * MS;

	(void)state;
	ssm_window_init(&w, KIB(256), KIB(1024));
	ssm_window_forward(&w, (int64_t)now_us + ahead_us, now_us - 25 * MS, now_us);
	ssm_window_acked(&w, 50 * MS, KIB(1), false, now_us);
	for (unsigned i = 0; i < 100; i++) { /* the way there takes 25 ms as before */
		now_us += 100 * MS;
		ssm_window_forward(&w, (int64_t)now_us + ahead_us, now_us - 25 * MS, now_us);
		ssm_window_acked(&w, 150 * MS, KIB(1), true, now_us);
	}
	assert_int_equal(w.bytes, KIB(356));
	for (unsigned i = 0; i < 100; i++) { /* the way there takes 100 ms longer */
		now_us += 100 * MS;
		ssm_window_forward(&w, (int64_t)now_us + ahead_us, now_us - 125 * MS, now_us);
		ssm_window_acked(&w, 150 * MS, KIB(1), true, now_us);
	}
	assert_int_equal(w.bytes, SSM_WINDOW_MIN);
}

/* Dates that stand still, are seconds, or jump say nothing: the RTT alone counts. */
static void a_clock_that_is_none(void **state)
{
	static const int64_t per_s[] = { 0, 1000, 2000000, -1000000 };

	(void)state;
	for (size_t k = 0; k < ARRAY_LEN(per_s); k++) {
		struct ssm_window w;
		uint64_t now_us = 1000 * MS;

		ssm_window_init(&w, KIB(256), KIB(1024));
		ssm_window_acked(&w, 50 * MS, KIB(1), false, now_us);
		for (unsigned i = 0; i < 200; i++) {
			now_us += 100 * MS;
			ssm_window_forward(&w, 1000000 + per_s[k] * i / 10, now_us - 150 * MS,
					   now_us);
			ssm_window_acked(&w, 150 * MS, KIB(1), true, now_us);
		}
		assert_int_equal(w.bytes, SSM_WINDOW_MIN);
	}
}

static void a_clock_that_is_set_is_trusted_again(void **state)
{
	struct ssm_window w;
	uint64_t now_us = 1000 * MS;
	int64_t set_us = 0;

	(void)state;
	ssm_window_init(&w, KIB(64), KIB(64));
	for (unsigned i = 0; i < 200; i++) {
		set_us = i < 100 ? 0 : 3600000000;
		now_us += 100 * MS;
		ssm_window_forward(&w, (int64_t)now_us + set_us, now_us - 25 * MS, now_us);
		ssm_window_acked(&w, 50 * MS, KIB(1), false, now_us);
		assert_int_equal(w.forward_ok, i != 100);
	}
}

static void a_new_path_is_learned_anew(void **state)
{
	struct ssm_window w;

	(void)state;
	ssm_window_init(&w, KIB(64), KIB(256));
	ssm_window_acked(&w, 20 * MS, KIB(1), true, 1);
	ssm_window_path_changed(&w);
	assert_int_equal(ssm_window_rto(&w, 0), SSM_RTO_START_US);
	ssm_window_acked(&w, 300 * MS, KIB(1), true, 400 * MS);
	assert_int_equal(w.bytes, KIB(66)); /* 300 ms is no added delay here */
	assert_int_equal(w.min_rtt_us, 300 * MS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(start_values),
		cmocka_unit_test(the_estimator),
		cmocka_unit_test(floor_and_cap),
		cmocka_unit_test(timeouts_double_until_a_clean_sample),
		cmocka_unit_test(doubles_per_rtt_up_to_the_cap),
		cmocka_unit_test(unused_window_stays),
		cmocka_unit_test(shrinks_when_the_rtt_inflates),
		cmocka_unit_test(shrinks_by_the_excess),
		cmocka_unit_test(grows_slowly_after_delay),
		cmocka_unit_test(delay_on_the_way_back),
		cmocka_unit_test(a_clock_that_is_none),
		cmocka_unit_test(a_clock_that_is_set_is_trusted_again),
		cmocka_unit_test(a_new_path_is_learned_anew),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
