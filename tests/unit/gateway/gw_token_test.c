// SPDX-License-Identifier: MIT
/*
 * gw_token_test.c - a token serves once, only for a while, and only as it was given
 *
 * Cases: taken once; not after its time, nor at it; a newer one replaces it; wrong, shorter, longer and missing texts
 * spend nothing; no two are alike; nothing waits at first.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/gw_token.h"

static void test_once(void **state)
{
	struct gw_token t = { 0 };
	char text[GW_TOKEN_STR];

	(void)state;
	gw_token_make(&t, text, 1000);
	assert_int_equal(strlen(text), 43);
	assert_true(gw_token_waits(&t, 1000));
	assert_true(gw_token_take(&t, text, 1000));
	assert_false(gw_token_waits(&t, 1000));
	assert_false(gw_token_take(&t, text, 1000));
}

static void test_in_time(void **state)
{
	struct gw_token t = { 0 };
	char text[GW_TOKEN_STR];

	(void)state;
	gw_token_make(&t, text, 1000);
	assert_false(gw_token_take(&t, text, 1000 + GW_TOKEN_MS));
	assert_false(gw_token_waits(&t, 1000 + GW_TOKEN_MS));
	assert_true(gw_token_take(&t, text, 1000 + GW_TOKEN_MS - 1));
}

static void test_replaced(void **state)
{
	struct gw_token t = { 0 };
	char first[GW_TOKEN_STR], second[GW_TOKEN_STR];

	(void)state;
	gw_token_make(&t, first, 0);
	gw_token_make(&t, second, 0);
	assert_string_not_equal(first, second);
	assert_false(gw_token_take(&t, first, 1));
	assert_true(gw_token_take(&t, second, 1));
}

static void test_wrong(void **state)
{
	struct gw_token t = { 0 };
	char text[GW_TOKEN_STR], wrong[GW_TOKEN_STR + 1];

	(void)state;
	assert_false(gw_token_take(&t, NULL, 0));
	assert_false(gw_token_take(&t, "", 0));
	gw_token_make(&t, text, 0);
	assert_false(gw_token_take(&t, NULL, 1));
	assert_false(gw_token_take(&t, "", 1));
	for (size_t i = 0; i < strlen(text); i++) {
		strcpy(wrong, text);
		wrong[i] = wrong[i] == 'A' ? 'B' : 'A';
		assert_false(gw_token_take(&t, wrong, 1));
		wrong[i] = '\0';
		assert_false(gw_token_take(&t, wrong, 1));
	}
	strcpy(wrong, text);
	strcat(wrong, "A");
	assert_false(gw_token_take(&t, wrong, 1));
	assert_true(gw_token_take(&t, text, 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_once),
		cmocka_unit_test(test_in_time),
		cmocka_unit_test(test_replaced),
		cmocka_unit_test(test_wrong),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
