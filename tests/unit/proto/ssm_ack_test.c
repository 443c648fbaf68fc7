// SPDX-License-Identifier: MIT
/*
 * ssm_ack_test.c - acknowledge texts
 *
 * Cases: the known bytes; round trip at the limits; every shorter prefix; forms that only the JSON
 * parser reads; texts that are no acknowledgement; the reader by hand and the parser agree on every
 * text that differs from the known one in a byte, and on numbers of every length.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/util.h"
#include "proto/ssm_ack.h"

static const uint8_t id[CODEC_UUID_LEN] = { 0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x46, 0x77,
					    0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff };

/* ssm-protocol, 3.9 */
static const char known[] =
	"{\"AcknowledgedMessageType\":\"output_stream_data\",\"AcknowledgedMessageId\":"
	"\"00112233-4455-4677-8899-aabbccddeeff\",\"AcknowledgedMessageSequenceNumber\":7,"
	"\"IsSequentialMessage\":true}";

static void the_known_bytes(void **state)
{
	char text[SSM_ACK_MAX];
	int64_t seq = -1;

	(void)state;
	assert_int_equal(ssm_ack_write(text, SSM_OUTPUT_STREAM_DATA, id, 7), 176);
	assert_memory_equal(text, known, 176);
	assert_int_equal(ssm_ack_read(&seq, (const uint8_t *)known, 176), 0);
	assert_int_equal(seq, 7);
}

static void round_trip_at_the_limits(void **state)
{
	static const int64_t seqs[] = {
		0, 9, 10, 999999999999999999, 1000000000000000000, INT64_MAX, -1, INT64_MIN
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(seqs); i++) {
		char text[SSM_ACK_MAX];
		int64_t seq = 42;
		size_t len = ssm_ack_write(text, SSM_OUTPUT_STREAM_DATA, id, seqs[i]);

		assert_true(len <= SSM_ACK_MAX);
		assert_int_equal(ssm_ack_read(&seq, (const uint8_t *)text, len), 0);
		assert_true(seq == seqs[i]);
	}
}

static void every_shorter_prefix_is_refused(void **state)
{
	(void)state;
	for (size_t len = 0; len < sizeof(known) - 1; len++) {
		uint8_t *cut = malloc(len ? len : 1);
		int64_t seq = 42;

		memcpy(cut, known, len);
		assert_int_equal(ssm_ack_read(&seq, cut, len), ST_EFORMAT);
		assert_int_equal(seq, 42);
		free(cut);
	}
}

static void forms_for_the_json_parser(void **state)
{
	static const char *const texts[] = {
		"{\"AcknowledgedMessageSequenceNumber\":7}",
		" { \"AcknowledgedMessageSequenceNumber\" : 7 , \"AcknowledgedMessageType\" : null "
		"} ",
		"{\"IsSequentialMessage\":false,\"AcknowledgedMessageSequenceNumber\":7,\"x\":[{}]"
		"}",
		"{\"AcknowledgedMessageType\":\"other\",\"AcknowledgedMessageId\":\"\\u0041\","
		"\"AcknowledgedMessageSequenceNumber\":7,\"IsSequentialMessage\":true}",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		int64_t seq = -1;

		assert_int_equal(ssm_ack_read(&seq, (const uint8_t *)texts[i], strlen(texts[i])),
				 0);
		assert_int_equal(seq, 7);
	}
}

static void what_is_no_acknowledgement(void **state)
{
	static const char *const texts[] = {
		"",
		"null",
		"[]",
		"7",
		"{}",
		"{\"AcknowledgedMessageSequenceNumber\":7.0}",
		"{\"AcknowledgedMessageSequenceNumber\":7e0}",
		"{\"AcknowledgedMessageSequenceNumber\":\"7\"}",
		"{\"AcknowledgedMessageSequenceNumber\":07}",
		"{\"AcknowledgedMessageSequenceNumber\":9223372036854775808}",
		"{\"AcknowledgedMessageSequenceNumber\":7}}",
		("{\"AcknowledgedMessageType\":\"output_stream_data\",\"AcknowledgedMessageId\":"
		 "\"00112233-4455-4677-8899-aabbccddeeff\",\"AcknowledgedMessageSequenceNumber\":"
		 "07,"
		 "\"IsSequentialMessage\":true}"),
		("{\"AcknowledgedMessageType\":\"output_stream_data\",\"AcknowledgedMessageId\":"
		 "\"00112233-4455-4677-8899-aabbccddeeff\",\"AcknowledgedMessageSequenceNumber\":,"
		 "\"IsSequentialMessage\":true}"),
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		int64_t seq = 42;

		if (ssm_ack_read(&seq, (const uint8_t *)texts[i], strlen(texts[i])) != ST_EFORMAT)
			fail_msg("taken: %s", texts[i]);
		assert_int_equal(seq, 42);
	}
}

/* White space before the text is for the JSON parser alone. */
static void both_readers_agree(const char *text, size_t len)
{
	uint8_t *exact = malloc(len), spaced[SSM_ACK_MAX + 2] = " ";
	int64_t by_hand = 42, by_parser = 42;
	int r;

	memcpy(exact, text, len);
	memcpy(spaced + 1, text, len);
	r = ssm_ack_read(&by_hand, exact, len);
	assert_int_equal(ssm_ack_read(&by_parser, spaced, len + 1), r);
	assert_true(by_hand == by_parser);
	free(exact);
}

static void every_byte_replaced_by_every_other(void **state)
{
	char text[sizeof(known)];

	(void)state;
	for (size_t at = 0; at < sizeof(known) - 1; at++) {
		memcpy(text, known, sizeof(known));
		for (unsigned ch = 0; ch < 256; ch++) {
			text[at] = (char)ch;
			both_readers_agree(text, sizeof(known) - 1);
		}
	}
}

/* The number in every length, with a byte too many behind it and behind the whole text. */
static void numbers_of_every_length(void **state)
{
	static const char digits[] = "12345678901234567890123";
	char text[SSM_ACK_MAX];
	int64_t seq;

	(void)state;
	for (int n = 0; n < (int)sizeof(digits); n++) {
		for (int tail = 0; tail < 4; tail++) {
			int len = snprintf(text, sizeof(text),
					   "{\"AcknowledgedMessageType\":\"input_stream_data\","
					   "\"AcknowledgedMessageId\":\"00112233-4455-4677-8899-"
					   "aabbccddeeff\","
					   "\"AcknowledgedMessageSequenceNumber\":%.*s%s,"
					   "\"IsSequentialMessage\""
					   ":true}%s",
					   n, digits, tail & 1 ? ":" : "", tail & 2 ? "}" : "");

			both_readers_agree(text, (size_t)len);
			if (n >= 1 && n <= 18 && tail == 0) {
				assert_int_equal(
					ssm_ack_read(&seq, (const uint8_t *)text, (size_t)len), 0);
				snprintf(text, sizeof(text), "%.*s", n, digits);
				assert_true(seq == strtoll(text, NULL, 10));
			}
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_known_bytes),
		cmocka_unit_test(round_trip_at_the_limits),
		cmocka_unit_test(every_shorter_prefix_is_refused),
		cmocka_unit_test(forms_for_the_json_parser),
		cmocka_unit_test(what_is_no_acknowledgement),
		cmocka_unit_test(every_byte_replaced_by_every_other),
		cmocka_unit_test(numbers_of_every_length),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
