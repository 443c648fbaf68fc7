// SPDX-License-Identifier: MIT
/*
 * tnl_resume_test.c - the times of resuming
 *
 * the first try is at once; steps double, with jitter; the longest step grows with the absence; minutes are tried, and no more;
 * wires that come up and say nothing, or stand for a moment only, are failures, unless they carried something; a suspend and the wait for a person don't count; a changed network hurries
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/util.h"
#include "tunnel/tnl_resume.h"

#define LIMIT_MS 900000U
#define T0 5000U

static void first_at_once(void **state)
{
	struct tnl_resume r = { 0 };

	(void)state;
	assert_false(tnl_resume_is_down(&r));
	assert_int_equal(tnl_resume_failed(&r, T0, LIMIT_MS, 77), 0);
	assert_true(tnl_resume_is_down(&r));
	assert_int_equal(r.since_ms, T0);
}

/* At time 0 of the clock it is down too. */
static void clock_at_zero(void **state)
{
	struct tnl_resume r = { 0 };

	(void)state;
	assert_int_equal(tnl_resume_failed(&r, 0, LIMIT_MS, 0), 0);
	assert_true(tnl_resume_is_down(&r));
	assert_int_equal(tnl_resume_failed(&r, 0, LIMIT_MS, 0), TNL_RESUME_FIRST_MS / 2);
}

static void steps_double(void **state)
{
	struct tnl_resume low = { 0 }, high = { 0 };
	uint64_t step = TNL_RESUME_FIRST_MS;

	(void)state;
	tnl_resume_failed(&low, T0, LIMIT_MS, 0);
	tnl_resume_failed(&high, T0, LIMIT_MS, 0);
	for (int i = 0; i < 12; i++) {
		const uint64_t want = MIN(step, TNL_RESUME_STEP_MIN_MS);

		assert_int_equal(tnl_resume_failed(&low, T0, LIMIT_MS, 0), want / 2);
		assert_int_equal(tnl_resume_failed(&high, T0, LIMIT_MS, (uint32_t)want - 1),
				 want / 2 + want - 1);
		step *= 2;
	}
}

/* Tries for @ms of time, each failing at once. Return: the longest pause */
static uint64_t absence(struct tnl_resume *r, uint64_t *now_ms, uint64_t ms, uint32_t random)
{
	const uint64_t end = *now_ms + ms;
	uint64_t longest = 0;

	while (*now_ms < end) {
		const uint64_t d = tnl_resume_failed(r, *now_ms, LIMIT_MS, random);

		if (d == TNL_RESUME_NEVER)
			return d;
		longest = MAX(longest, d);
		*now_ms += MAX(d, 1U);
	}
	return longest;
}

static void steps_follow_the_absence(void **state)
{
	struct tnl_resume r = { 0 };
	uint64_t now = T0;

	(void)state;
	assert_true(absence(&r, &now, 10000, 0) <= TNL_RESUME_STEP_MIN_MS / 2);
	assert_true(absence(&r, &now, 50000, 0) <= 60000 / 4 / 2);
	assert_int_equal(absence(&r, &now, 300000, 0), TNL_RESUME_STEP_MAX_MS / 2);
}

static void minutes_and_no_more(void **state)
{
	struct tnl_resume r = { 0 };
	uint64_t now = T0;

	(void)state;
	assert_true(absence(&r, &now, 850000, 12345) != TNL_RESUME_NEVER);
	assert_true(absence(&r, &now, 100000, 12345) == TNL_RESUME_NEVER);
	assert_true(now - T0 >= LIMIT_MS && now - T0 < LIMIT_MS + 30001);
	/* up again, and it speaks: all is forgotten */
	assert_true(tnl_resume_up(&r, now) == now - T0);
	tnl_resume_heard(&r, 0);
	now += TNL_RESUME_BRIEF_MS;
	assert_int_equal(tnl_resume_failed(&r, now, LIMIT_MS, 0), 0);
}

/* The service takes each open message and closes, or closes at what we send again: no tight loop, and an end. */
static void up_and_down(bool heard)
{
	struct tnl_resume r = { 0 };
	uint64_t now = T0;
	uint32_t tries = 0;

	for (;;) {
		const uint64_t d = tnl_resume_failed(&r, now, LIMIT_MS, 0);

		if (d == TNL_RESUME_NEVER)
			break;
		assert_true(tries++ == 0 ? d == 0 : d >= TNL_RESUME_FIRST_MS / 2);
		now += d + 50;
		assert_int_equal(tnl_resume_up(&r, now), d + 50);
		assert_false(tnl_resume_is_down(&r));
		if (heard)
			tnl_resume_heard(&r, 0);
		now += 20;
	}
	assert_true(now - T0 >= LIMIT_MS && now - T0 < LIMIT_MS + 30001);
	assert_true(tries < 200);
}

static void up_and_down_in_silence(void **state)
{
	(void)state;
	up_and_down(false);
}

static void up_and_down_with_a_word(void **state)
{
	(void)state;
	up_and_down(true);
}

static void good_wires(void **state)
{
	struct tnl_resume r = { 0 };
	uint64_t now = T0;

	(void)state;
	absence(&r, &now, 100000, 0);
	/* it stood, though nobody said a word */
	tnl_resume_up(&r, now);
	now += TNL_RESUME_STEADY_MS;
	assert_int_equal(tnl_resume_failed(&r, now, LIMIT_MS, 0), 0);
	/* cut again and again, but each speaks before: each time at once */
	for (int i = 0; i < 20; i++, now += 2000) {
		tnl_resume_up(&r, now);
		tnl_resume_heard(&r, 0);
		assert_int_equal(tnl_resume_failed(&r, now + TNL_RESUME_BRIEF_MS, LIMIT_MS, 0), 0);
	}
	/* it never spoke, and went sooner: the steps go on */
	tnl_resume_up(&r, now);
	assert_int_equal(tnl_resume_failed(&r, now + 50, LIMIT_MS, 0), TNL_RESUME_FIRST_MS / 2);
}

/* What a wire brought to its ends decides, not how long it stood. */
static void quick_cuts_of_a_transfer(void **state)
{
	struct tnl_resume r = { 0 };
	uint64_t now = T0, bytes = 0;

	(void)state;
	for (int i = 0; i < 50; i++, now += 200) {
		assert_int_equal(tnl_resume_failed(&r, now, LIMIT_MS, 0), 0);
		tnl_resume_up(&r, now);
		tnl_resume_heard(&r, bytes);
		bytes += TNL_RESUME_MOVED;
		tnl_resume_heard(&r, bytes);
	}
	assert_int_equal(tnl_resume_failed(&r, now, LIMIT_MS, 0), 0);
	tnl_resume_up(&r, now);
	tnl_resume_heard(&r, bytes);
	tnl_resume_heard(&r, bytes + TNL_RESUME_MOVED - 1);
	assert_int_equal(tnl_resume_failed(&r, now + 200, LIMIT_MS, 0), TNL_RESUME_FIRST_MS / 2);
}

static void suspend_does_not_count(void **state)
{
	struct tnl_resume r = { 0 };
	uint64_t now = T0;

	(void)state;
	absence(&r, &now, 60000, 0);
	now += UINT64_C(8) * 3600 * 1000;
	assert_true(tnl_resume_failed(&r, now, LIMIT_MS, 0) != TNL_RESUME_NEVER);
	assert_true(r.spent_ms <= 60000 + 30000 + TNL_RESUME_GAP_MAX_MS);
	assert_true(absence(&r, &now, 600000, 0) != TNL_RESUME_NEVER);
}

static void waiting_does_not_count(void **state)
{
	struct tnl_resume r = { 0 };
	uint64_t now = T0;

	(void)state;
	for (int i = 0; i < 10000; i++, now += 5000)
		tnl_resume_waits(&r, now);
	assert_true(tnl_resume_is_down(&r));
	assert_int_equal(r.spent_ms, 0);
	/* the person came, the network is not there yet: once more at once, then the steps */
	assert_int_equal(tnl_resume_failed(&r, now, LIMIT_MS, 0), 0);
	assert_true(r.spent_ms <= 5000);
}

static void hurry(void **state)
{
	struct tnl_resume r = { 0 };
	uint64_t now = T0;

	(void)state;
	absence(&r, &now, 300000, 0);
	/* never sooner than HURRY after the last failure, however often the network changes */
	assert_int_equal(tnl_resume_hurry(&r, r.failed_ms + 1), r.failed_ms + TNL_RESUME_HURRY_MS);
	assert_int_equal(tnl_resume_hurry(&r, r.failed_ms + 2), r.failed_ms + TNL_RESUME_HURRY_MS);
	assert_int_equal(tnl_resume_hurry(&r, r.failed_ms + 9000), r.failed_ms + 9000);
	/* and the next steps are short */
	assert_int_equal(tnl_resume_failed(&r, now + 9000, LIMIT_MS, 0), TNL_RESUME_FIRST_MS / 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(first_at_once),
		cmocka_unit_test(clock_at_zero),
		cmocka_unit_test(steps_double),
		cmocka_unit_test(steps_follow_the_absence),
		cmocka_unit_test(minutes_and_no_more),
		cmocka_unit_test(up_and_down_in_silence),
		cmocka_unit_test(up_and_down_with_a_word),
		cmocka_unit_test(good_wires),
		cmocka_unit_test(quick_cuts_of_a_transfer),
		cmocka_unit_test(suspend_does_not_count),
		cmocka_unit_test(waiting_does_not_count),
		cmocka_unit_test(hurry),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
