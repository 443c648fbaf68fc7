// SPDX-License-Identifier: MIT
/* handle_test.c - look-ups, stale and foreign handles, the maximum, iteration while the table changes */
#include "base/handle.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/err.h"

static int objs[100];

static void stale_and_foreign(void **state)
{
	struct hnd_table t;
	handle a, b;

	(void)state;
	hnd_init(&t, 10);
	assert_null(hnd_get(&t, 0));
	assert_int_equal(hnd_add(&t, &objs[0], &a), 0);
	assert_true(a != 0);
	assert_null(hnd_get(&t, 0));
	assert_ptr_equal(hnd_get(&t, a), &objs[0]);
	assert_null(hnd_get(&t, a + 1));
	assert_null(hnd_get(&t, a + ((handle)1 << 32)));
	assert_null(hnd_get(&t, UINT64_MAX));
	assert_ptr_equal(hnd_del(&t, a), &objs[0]);
	assert_null(hnd_get(&t, a));
	assert_null(hnd_del(&t, a));
	assert_int_equal(t.used, 0);

	/* The slot serves another object: the old handle must not find it. */
	assert_int_equal(hnd_add(&t, &objs[1], &b), 0);
	assert_int_equal((uint32_t)a, (uint32_t)b);
	assert_null(hnd_get(&t, a));
	assert_null(hnd_del(&t, a));
	assert_ptr_equal(hnd_get(&t, b), &objs[1]);
	hnd_fini(&t);
	assert_null(hnd_get(&t, b));
}

static void maximum(void **state)
{
	struct hnd_table t;
	handle h[50], extra = 7;

	(void)state;
	hnd_init(&t, 50);
	for (int i = 0; i < 50; i++)
		assert_int_equal(hnd_add(&t, &objs[i], &h[i]), 0);
	assert_int_equal(hnd_add(&t, &objs[50], &extra), ST_EFULL);
	assert_int_equal(extra, 7);
	assert_int_equal(t.cap, 50);
	for (int i = 0; i < 50; i++)
		assert_ptr_equal(hnd_get(&t, h[i]), &objs[i]);
	hnd_del(&t, h[20]);
	assert_int_equal(hnd_add(&t, &objs[50], &extra), 0);
	assert_ptr_equal(hnd_get(&t, extra), &objs[50]);
	hnd_fini(&t);

	hnd_init(&t, 0);
	assert_int_equal(hnd_add(&t, &objs[0], &extra), ST_EFULL);
	hnd_fini(&t);
}

static void generations_do_not_come_back(void **state)
{
	struct hnd_table t;
	handle first, h;

	(void)state;
	hnd_init(&t, 1);
	assert_int_equal(hnd_add(&t, &objs[0], &first), 0);
	hnd_del(&t, first);
	for (int i = 0; i < 100000; i++) {
		assert_int_equal(hnd_add(&t, &objs[0], &h), 0);
		assert_true(h != first && h != 0);
		hnd_del(&t, h);
	}
	hnd_fini(&t);
}

static void iteration(void **state)
{
	struct hnd_table t;
	handle h[5], added;
	uint32_t pos = 0;
	int seen = 0;
	int *obj;

	(void)state;
	hnd_init(&t, 100);
	assert_null(hnd_next(&t, &pos));
	for (int i = 0; i < 5; i++)
		assert_int_equal(hnd_add(&t, &objs[i], &h[i]), 0);
	hnd_del(&t, h[1]);
	pos = 0;
	while ((obj = hnd_next(&t, &pos))) {
		seen = seen * 10 + (int)(obj - objs) + 1;
		if (obj == &objs[0])
			hnd_del(&t, h[0]);
		if (obj == &objs[2])
			hnd_del(&t, h[3]);
	}
	assert_int_equal(seen, 135);

	/* The table grows between two calls. */
	pos = 0;
	assert_ptr_equal(hnd_next(&t, &pos), &objs[2]);
	for (int i = 0; i < 40; i++)
		assert_int_equal(hnd_add(&t, &objs[10 + i], &added), 0);
	for (seen = 0; hnd_next(&t, &pos);)
		seen++;
	assert_in_range(seen, 1, 41);
	hnd_fini(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stale_and_foreign),
		cmocka_unit_test(maximum),
		cmocka_unit_test(generations_do_not_come_back),
		cmocka_unit_test(iteration),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
