// SPDX-License-Identifier: MIT
/*
 * ssm_mux_frame_test.c - the frame header of multiplexed port sessions
 *
 * Cases: tests/data/vectors.json both ways; every shorter prefix; every wrong version and command; a length
 * where none belongs; fields at their limits.
 */
#include "mux_owner.h"

#include <jansson.h>

#include "base/codec.h"

#define VECTORS "tests/data/vectors.json"

static size_t vector_bytes(const json_t *v, uint8_t *out, size_t cap)
{
	const char *hex = json_string_value(json_object_get(v, "hex"));
	ssize_t n;

	assert_non_null(hex);
	n = codec_unhex(out, cap, hex, strlen(hex));
	assert_true(n >= (ssize_t)SSM_MUX_HDR_LEN);
	return (size_t)n;
}

static json_int_t number(const json_t *v, const char *key)
{
	const json_t *n = json_object_get(json_object_get(v, "decoded"), key);

	assert_true(json_is_integer(n));
	return json_integer_value(n);
}

static void test_frame_vectors(void **state)
{
	json_t *file = json_load_file(VECTORS, 0, NULL);
	const json_t *list = json_object_get(file, "smux_frames");
	uint8_t bytes[64], again[SSM_MUX_HDR_LEN];
	struct ssm_mux_frame f;
	const json_t *v;
	size_t i;

	(void)state;
	assert_true(json_array_size(list) >= 5);
	json_array_foreach(list, i, v)
	{
		size_t n = vector_bytes(v, bytes, sizeof(bytes));

		assert_int_equal(ssm_mux_frame_decode(&f, bytes, n), 0);
		assert_int_equal(f.cmd, number(v, "cmd"));
		assert_int_equal(f.len, number(v, "length"));
		assert_int_equal(f.id, number(v, "stream_id"));
		ssm_mux_frame_encode(again, &f);
		assert_memory_equal(again, bytes, SSM_MUX_HDR_LEN);
	}
	json_decref(file);
}

static void test_frame_refused(void **state)
{
	static const uint8_t good[SSM_MUX_HDR_LEN] = { 1, SSM_MUX_PSH, 3, 0, 7, 0, 0, 0 };
	const struct ssm_mux_frame untouched = { .cmd = SSM_MUX_NOP, .len = 0xabcd, .id = 99 };
	struct ssm_mux_frame f = untouched;
	uint8_t b[SSM_MUX_HDR_LEN];

	(void)state;
	for (size_t n = 0; n < sizeof(good); n++)
		assert_int_equal(ssm_mux_frame_decode(&f, good, n), ST_ESHORT);
	for (unsigned i = 0; i < 256; i++) {
		memcpy(b, good, sizeof(b));
		b[0] = (uint8_t)i;
		assert_int_equal(ssm_mux_frame_decode(&f, b, sizeof(b)), i == 1 ? 0 : ST_EPEER);
		memcpy(b, good, sizeof(b));
		b[1] = (uint8_t)i;
		if (i >= SSM_MUX_CMD_N)
			assert_int_equal(ssm_mux_frame_decode(&f, b, sizeof(b)), ST_EPEER);
		else if (i != SSM_MUX_PSH)
			assert_int_equal(ssm_mux_frame_decode(&f, b, sizeof(b)), ST_EFORMAT);
		b[2] = 0;
		b[3] = 1; /* 256 */
		if (i < SSM_MUX_CMD_N && i != SSM_MUX_PSH)
			assert_int_equal(ssm_mux_frame_decode(&f, b, sizeof(b)), ST_EFORMAT);
	}
	f = untouched;
	b[0] = 0;
	assert_int_equal(ssm_mux_frame_decode(&f, b, sizeof(b)), ST_EPEER);
	assert_int_equal(f.cmd, untouched.cmd);
	assert_int_equal(f.len, untouched.len);
	assert_int_equal(f.id, untouched.id);
}

static void test_frame_limits(void **state)
{
	static const struct ssm_mux_frame frames[] = {
		{ SSM_MUX_PSH, 0, 0 },
		{ SSM_MUX_PSH, UINT16_MAX, UINT32_MAX },
		{ SSM_MUX_PSH, 0x0102, 0x03040506 },
		{ SSM_MUX_NOP, 0, UINT32_MAX },
	};
	uint8_t b[SSM_MUX_HDR_LEN];
	struct ssm_mux_frame f;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(frames); i++) {
		ssm_mux_frame_encode(b, &frames[i]);
		assert_int_equal(ssm_mux_frame_decode(&f, b, sizeof(b)), 0);
		assert_int_equal(f.cmd, frames[i].cmd);
		assert_int_equal(f.len, frames[i].len);
		assert_int_equal(f.id, frames[i].id);
	}
	ssm_mux_frame_encode(b, &frames[2]);
	assert_memory_equal(b, "\1\2\2\1\6\5\4\3", sizeof(b));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_frame_vectors),
		cmocka_unit_test(test_frame_refused),
		cmocka_unit_test(test_frame_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
