// SPDX-License-Identifier: MIT
/* err_test.c - every code has a name and a text; numbers outside the list are told apart */
#include "base/err.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void every_code_has_its_own_texts(void **state)
{
	(void)state;
	for (int a = 0; a > -(int)ST_ERR_N; a--) {
		assert_int_equal(strncmp(st_errname(a), "ST_", 3), 0);
		assert_true(strlen(st_strerror(a)) > 3);
		for (int b = 0; b > a; b--) {
			assert_string_not_equal(st_errname(a), st_errname(b));
			assert_string_not_equal(st_strerror(a), st_strerror(b));
		}
	}
}

static void known_codes(void **state)
{
	(void)state;
	assert_int_equal(ST_OK, 0);
	assert_int_equal(ST_EAGAIN, -1);
	assert_string_equal(st_errname(ST_EAGAIN), "ST_EAGAIN");
	assert_string_equal(st_strerror(ST_ETIMEOUT), "timed out");
	assert_string_equal(st_errname(ST_ECONFIG), "ST_ECONFIG");
	assert_string_equal(st_strerror(0), "success");
}

static void unknown_numbers(void **state)
{
	static const int numbers[] = { 1, INT32_MAX, INT32_MIN, -(int)ST_ERR_N };

	(void)state;
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		assert_string_equal(st_strerror(numbers[i]), "unknown error");
		assert_string_equal(st_errname(numbers[i]), "ST_?");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_code_has_its_own_texts),
		cmocka_unit_test(known_codes),
		cmocka_unit_test(unknown_numbers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
