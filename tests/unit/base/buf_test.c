// SPDX-License-Identifier: MIT
/*
 * buf_test.c - the byte FIFO against a model
 *
 * Cases: limits to the byte, sizes that would wrap, reserve and commit, formatted text, memory given
 * back when empty, secrets, and a long random walk compared with a plain array.
 */
#include "base/buf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"

static void limits(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 4);
	assert_int_equal(buf_room(&b), 4);
	assert_non_null(buf_data(&b));
	assert_int_equal(buf_put(&b, "abcde", 5), ST_EFULL);
	assert_int_equal(b.len, 0);
	assert_int_equal(buf_put(&b, "abc", 3), 0);
	assert_int_equal(buf_put(&b, "de", 2), ST_EFULL);
	assert_int_equal(buf_put(&b, "d", 1), 0);
	assert_int_equal(buf_put(&b, "", 0), 0);
	assert_int_equal(buf_put(&b, "e", 1), ST_EFULL);
	assert_memory_equal(buf_data(&b), "abcd", 4);
	buf_consume(&b, 3);
	assert_int_equal(buf_put(&b, "xyz", 3), 0);
	assert_memory_equal(buf_data(&b), "dxyz", 4);
	buf_fini(&b);
}

static void sizes_that_would_wrap(void **state)
{
	struct buf b;
	uint8_t *to;

	(void)state;
	buf_init(&b, 1000);
	assert_int_equal(buf_put(&b, "a", 1), 0);
	assert_int_equal(buf_put(&b, "a", SIZE_MAX), ST_EFULL);
	assert_int_equal(buf_reserve(&b, SIZE_MAX, &to), ST_EFULL);
	assert_int_equal(buf_reserve(&b, 1000, &to), ST_EFULL);
	assert_int_equal(b.len, 1);
	buf_fini(&b);
}

static void emptied_gives_memory_back(void **state)
{
	struct buf b;
	uint8_t *to;

	(void)state;
	buf_init(&b, 100000);
	assert_int_equal(buf_reserve(&b, 60000, &to), 0);
	memset(to, 7, 60000);
	buf_commit(&b, 50000);
	assert_int_equal(b.len, 50000);
	assert_true(b.cap <= b.max + 1);
	buf_consume(&b, 49999);
	assert_int_equal(buf_data(&b)[0], 7);
	buf_consume(&b, 1);
	assert_null(b.mem);
	assert_int_equal(b.cap, 0);
	buf_consume(&b, 0);
	assert_int_equal(buf_put(&b, "again", 5), 0);
	assert_memory_equal(buf_data(&b), "again", 5);
	buf_wipe(&b);
	assert_null(b.mem);
}

static void formatted_text(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 8);
	assert_int_equal(buf_printf(&b, "%d", 1234), 0);
	assert_int_equal(buf_printf(&b, "%s", "56789"), ST_EFULL);
	assert_int_equal(buf_printf(&b, "%s", "5678"), 0);
	assert_int_equal(b.len, 8);
	assert_memory_equal(buf_data(&b), "12345678", 8);
	assert_int_equal(buf_printf(&b, "%s", ""), 0);
	assert_int_equal(buf_printf(&b, "x"), ST_EFULL);
	buf_consume(&b, 5);
	assert_int_equal(buf_printf(&b, "%05d", 42), 0);
	assert_memory_equal(buf_data(&b), "67800042", 8);
	buf_fini(&b);
}

static void secrets(void **state)
{
	struct buf b;

	(void)state;
	buf_init_secret(&b, 1 << 20);
	for (int i = 0; i < 1000; i++)
		assert_int_equal(buf_printf(&b, "secret %04d ", i), 0);
	assert_int_equal(b.len, 12000);
	assert_memory_equal(buf_data(&b) + (size_t)12 * 999, "secret 0999 ", 12);
	buf_consume(&b, 12000);
	assert_true(b.secret);
	buf_wipe(&b);
}

static void random_walk(void **state)
{
	enum { MAX = 5000, STEPS = 20000 };
	static uint8_t model[MAX], piece[MAX];
	size_t model_len = 0;
	uint8_t next = 0;
	struct buf b;

	(void)state;
	srandom(7);
	buf_init(&b, MAX);
	for (int step = 0; step < STEPS; step++) {
		size_t n = (size_t)random() % (step % 100 == 0 ? MAX : 300);

		if (random() % 2) {
			int want = n > MAX - model_len ? ST_EFULL : 0;

			for (size_t i = 0; i < n; i++)
				piece[i] = (uint8_t)(next + i);
			assert_int_equal(buf_put(&b, piece, n), want);
			if (want == 0) {
				memcpy(model + model_len, piece, n);
				model_len += n;
				next = (uint8_t)(next + n);
			}
		} else {
			n = MIN(n, model_len);
			buf_consume(&b, n);
			memmove(model, model + n, model_len - n);
			model_len -= n;
		}
		assert_int_equal(b.len, model_len);
		assert_memory_equal(buf_data(&b), model, model_len);
	}
	buf_fini(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(limits),
		cmocka_unit_test(sizes_that_would_wrap),
		cmocka_unit_test(emptied_gives_memory_back),
		cmocka_unit_test(formatted_text),
		cmocka_unit_test(secrets),
		cmocka_unit_test(random_walk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
