// SPDX-License-Identifier: MIT
/*
 * ssm_pace_test.c - the token bucket
 *
 * Cases: unlimited; burst, then the rate exactly; refill is capped, also after a very long time;
 * the next time is exact; raised by a tenth after 5 s at the limit, not before, not with gaps; a
 * pause halves and sets a ceiling of 80 % for ten minutes; the second for good; bounds.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proto/ssm_pace.h"

#define SECOND UINT64_C(1000000)

/* Sends whatever it may, event by event, for @us. Return: messages */
static unsigned blast(struct ssm_pace *p, uint64_t *now_us, uint64_t us)
{
	uint64_t until_us = *now_us + us;
	unsigned n = 0;

	while (*now_us < until_us) {
		if (ssm_pace_ready(p, *now_us)) {
			ssm_pace_take(p, *now_us);
			n++;
		} else {
			uint64_t next_us = ssm_pace_next(p);

			assert_true(next_us > *now_us);
			assert_false(ssm_pace_ready(p, next_us - 1));
			assert_true(ssm_pace_ready(p, next_us));
			*now_us = next_us < until_us ? next_us : until_us;
		}
	}
	return n;
}

static void unlimited(void **state)
{
	struct ssm_pace p;

	(void)state;
	ssm_pace_init(&p, 0, 5);
	for (unsigned i = 0; i < 100000; i++) {
		assert_true(ssm_pace_ready(&p, 5));
		ssm_pace_take(&p, 5);
	}
	ssm_pace_paused(&p, 6);
	assert_true(ssm_pace_ready(&p, 6));
	assert_int_equal(p.rate, 0);
}

static void burst_then_rate(void **state)
{
	struct ssm_pace p;
	uint64_t now_us = 1;

	(void)state;
	ssm_pace_init(&p, 900, now_us);
	for (unsigned i = 0; i < SSM_PACE_BURST; i++) {
		assert_true(ssm_pace_ready(&p, now_us));
		ssm_pace_take(&p, now_us);
	}
	assert_false(ssm_pace_ready(&p, now_us));
	assert_int_equal(ssm_pace_next(&p), now_us + 1112); /* 1/900 s, rounded up */
	assert_in_range(blast(&p, &now_us, SECOND), 899, 901);
}

static void refill_is_capped(void **state)
{
	struct ssm_pace p;
	uint64_t now_us = 1;

	(void)state;
	ssm_pace_init(&p, 900, now_us);
	blast(&p, &now_us, SECOND);
	now_us = UINT64_MAX / 2;
	assert_in_range(blast(&p, &now_us, 1), SSM_PACE_BURST, SSM_PACE_BURST);
	/* a clock that goes back gives nothing */
	assert_false(ssm_pace_ready(&p, 1));
}

static void raised_at_the_limit(void **state)
{
	struct ssm_pace p;
	uint64_t now_us = 1;

	(void)state;
	ssm_pace_init(&p, 900, now_us);
	blast(&p, &now_us, 4 * SECOND);
	assert_int_equal(p.rate, 900);
	blast(&p, &now_us, 2 * SECOND);
	assert_int_equal(p.rate, 990);
	blast(&p, &now_us, 5 * SECOND);
	assert_int_equal(p.rate, 1089);
}

static void not_raised_with_gaps(void **state)
{
	struct ssm_pace p;
	uint64_t now_us = 1;

	(void)state;
	ssm_pace_init(&p, 900, now_us);
	for (unsigned i = 0; i < 20; i++) {
		blast(&p, &now_us, 2 * SECOND);
		now_us += SECOND;
	}
	assert_int_equal(p.rate, 900);
}

static void a_pause_halves_for_ten_minutes(void **state)
{
	struct ssm_pace p;
	uint64_t now_us = 1, paused_us;

	(void)state;
	ssm_pace_init(&p, 1000, now_us);
	blast(&p, &now_us, SECOND);
	ssm_pace_paused(&p, now_us);
	paused_us = now_us;
	assert_int_equal(p.rate, 500);
	blast(&p, &now_us, 60 * SECOND);
	assert_int_equal(p.rate, 800); /* 80 % of the rate at which it came */
	blast(&p, &now_us, paused_us + SSM_PACE_CEILING_US - now_us - 1);
	assert_int_equal(p.rate, 800);
	blast(&p, &now_us, 20 * SECOND);
	assert_true(p.rate > 1000);
}

static void the_second_pause_is_for_good(void **state)
{
	struct ssm_pace p;
	uint64_t now_us = 1;

	(void)state;
	ssm_pace_init(&p, 1000, now_us);
	ssm_pace_paused(&p, now_us);
	ssm_pace_paused(&p, now_us);
	assert_int_equal(p.rate, 250);
	blast(&p, &now_us, 2000 * SECOND);
	assert_int_equal(p.rate, 400); /* 80 % of 500 */
}

static void bounds(void **state)
{
	struct ssm_pace p;
	uint64_t now_us = 1;

	(void)state;
	ssm_pace_init(&p, 1000, now_us);
	for (unsigned i = 0; i < 100; i++)
		ssm_pace_paused(&p, now_us);
	assert_int_equal(p.rate, SSM_PACE_MIN);
	/* what the owner chose below it is no reason to send faster */
	for (uint32_t rate = 1; rate < SSM_PACE_MIN; rate++) {
		ssm_pace_init(&p, rate, now_us);
		ssm_pace_paused(&p, now_us);
		assert_int_equal(p.rate, rate);
		blast(&p, &now_us, 20 * SECOND);
		assert_int_equal(p.rate, rate);
	}
	ssm_pace_init(&p, UINT32_MAX, now_us);
	assert_int_equal(p.rate, SSM_PACE_MAX);
	ssm_pace_init(&p, 1, now_us);
	assert_in_range(blast(&p, &now_us, 4 * SECOND), SSM_PACE_BURST + 3, SSM_PACE_BURST + 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(unlimited),
		cmocka_unit_test(burst_then_rate),
		cmocka_unit_test(refill_is_capped),
		cmocka_unit_test(raised_at_the_limit),
		cmocka_unit_test(not_raised_with_gaps),
		cmocka_unit_test(a_pause_halves_for_ten_minutes),
		cmocka_unit_test(the_second_pause_is_for_good),
		cmocka_unit_test(bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
