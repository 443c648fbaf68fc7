// SPDX-License-Identifier: MIT
/* dns_wire_test.c - questions compared in place */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "dns/dns_internal.h"

#define QUERY                                                                                      \
	"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00"                                         \
	"\x02"                                                                                     \
	"Ab"                                                                                       \
	"\x03"                                                                                     \
	"com\x00\x00\x01\x00\x01"
#define QUERY_LEN (sizeof(QUERY) - 1)
#define QUESTION_LEN (QUERY_LEN - DNS_HEADER_BYTES)

static uint8_t query[QUERY_LEN], answer[QUERY_LEN + 16];

static int set_up(void **state)
{
	(void)state;
	memcpy(query, QUERY, QUERY_LEN);
	memset(answer, 0, sizeof(answer));
	memcpy(answer, QUERY, QUERY_LEN);
	answer[2] |= 0x80;
	return 0;
}

static bool same(size_t answer_len)
{
	return dns_msg_same_question(answer, answer_len, 0x1234, query, QUERY_LEN);
}

static void equal_questions_are_equal(void **state)
{
	(void)state;
	assert_true(same(QUERY_LEN));
	assert_true(same(sizeof(answer))); /* with records behind it */
}

static void case_does_not_count(void **state)
{
	(void)state;
	answer[13] = 'a';
	answer[16] = 'C';
	assert_true(same(QUERY_LEN));
}

static void each_other_difference_counts(void **state)
{
	(void)state;
	for (size_t i = 0; i < QUERY_LEN; i++) {
		bool flags = i == 3 ||
			     (i >= 6 && i < 12); /* rcode and counts are the answer's own */

		set_up(NULL);
		answer[i] ^= 0x81;
		assert_int_equal(same(QUERY_LEN), flags);
	}
	set_up(NULL);
	answer[2] = 0x01; /* QR not set */
	assert_false(same(QUERY_LEN));
}

static void shorter_messages_are_refused(void **state)
{
	(void)state;
	for (size_t n = 0; n < QUERY_LEN; n++) {
		uint8_t *exact = malloc(n ? n : 1);

		assert_non_null(exact);
		memcpy(exact, answer, n);
		assert_false(dns_msg_same_question(exact, n, 0x1234, query, QUERY_LEN));
		assert_int_equal(dns_msg_question_len(exact, n), 0);
		free(exact);
	}
	assert_int_equal(dns_msg_question_len(answer, QUERY_LEN), QUESTION_LEN);
}

static void compressed_and_long_names_are_refused(void **state)
{
	uint8_t msg[512] = { 0 };

	(void)state;
	answer[12] = 0xc0;
	assert_false(same(QUERY_LEN));
	msg[5] = 1;
	for (size_t at = 12; at < 400; at += 64)
		msg[at] = 63;
	assert_int_equal(dns_msg_question_len(msg, sizeof(msg)), 0);
	msg[12 + 192] =
		61; /* 3 labels of 63, one of 61, the root: 255 bytes, the most that there is */
	msg[12 + 254] = 0;
	assert_int_equal(dns_msg_question_len(msg, sizeof(msg)), 255 + 4);
	msg[12 + 192] = 62;
	msg[12 + 254] = 1;
	msg[12 + 255] = 0;
	assert_int_equal(dns_msg_question_len(msg, sizeof(msg)), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(equal_questions_are_equal, set_up),
		cmocka_unit_test_setup(case_does_not_count, set_up),
		cmocka_unit_test_setup(each_other_difference_counts, set_up),
		cmocka_unit_test_setup(shorter_messages_are_refused, set_up),
		cmocka_unit_test_setup(compressed_and_long_names_are_refused, set_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
