// SPDX-License-Identifier: MIT
/* codec_test.c - vectors of RFC 4648, FIPS 180-4 and RFC 9562; strictness of the decoders; every length */
#include "base/codec.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/util.h"

static void base64_vectors(void **state)
{
	static const char *const pairs[][2] = { { "", "" },
						{ "f", "Zg==" },
						{ "fo", "Zm8=" },
						{ "foo", "Zm9v" },
						{ "foob", "Zm9vYg==" },
						{ "fooba", "Zm9vYmE=" },
						{ "foobar", "Zm9vYmFy" } };
	char text[32];
	uint8_t back[32];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
		size_t len = strlen(pairs[i][0]);

		assert_int_equal(codec_b64_encode(text, pairs[i][0], len), strlen(pairs[i][1]));
		assert_string_equal(text, pairs[i][1]);
		assert_int_equal(codec_b64_decode(back, len, text, strlen(text)), len);
		assert_memory_equal(back, pairs[i][0], len);
	}
	assert_int_equal(codec_b64url_encode(text, "\373\377\376", 3), 4);
	assert_string_equal(text, "-__-");
	assert_int_equal(codec_b64url_encode(text, "\377", 1), 2);
	assert_string_equal(text, "_w");
	assert_int_equal(codec_b64url_encode(text, "", 0), 0);
}

static void base64_refuses(void **state)
{
	static const char *const bad[] = {
		"Z",	    "Zg",	   "Zg=",	   "=",	      "====",	  "Z===",
		"Zg==Zg==", "Zm9v\n",	   "Zm9v\n\n\n\n", " Zm9v",   "    Zm9v", "Zm 9",
		"Zm9v    ", "Zm9-",	   "Zm9_",	   "Zh==",    "Zm9=",	  "Z=9v",
		"Zm9vY=Fy", "Zm9v\200AAA", "----",	   "Zm9v----"
	};
	uint8_t out[32];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(codec_b64_decode(out, sizeof(out), bad[i], strlen(bad[i])),
				 ST_EFORMAT);
	assert_int_equal(codec_b64_decode(out, sizeof(out), "Zm\0v", 4), ST_EFORMAT);
	assert_int_equal(codec_b64_decode(out, 2, "Zm9v", 4), ST_EFULL);
	assert_int_equal(codec_b64_decode(out, 0, "Zg==", 4), ST_EFULL);
	assert_int_equal(codec_b64_decode(out, 1, "Zg==", 4), 1);
}

/* The buffers have the exact sizes of the contract: a byte too many is the sanitizer's. */
static void round_trips_of_every_length(void **state)
{
	(void)state;
	for (size_t len = 0; len < 200; len++) {
		uint8_t *data = malloc(len + 1), *back = malloc(len + 1);
		char *text = malloc(CODEC_B64_LEN(len)), *hex = malloc(2 * len + 1);

		codec_random(data, len);
		assert_int_equal(codec_b64_encode(text, data, len), CODEC_B64_LEN(len) - 1);
		assert_int_equal(codec_b64_decode(back, len, text, CODEC_B64_LEN(len) - 1), len);
		assert_memory_equal(back, data, len);
		codec_hex(hex, data, len);
		assert_int_equal(codec_unhex(back, len, hex, 2 * len), len);
		assert_memory_equal(back, data, len);
		free(data);
		free(back);
		free(text);
		free(hex);
	}
}

static void base64_of_many_pieces(void **state)
{
	size_t len = MIB(7) + 1;
	uint8_t *data = malloc(len), *back = malloc(len);
	char *text = malloc(CODEC_B64_LEN(len));

	(void)state;
	for (size_t i = 0; i < len; i++)
		data[i] = (uint8_t)(i * 7 + i / 1000);
	assert_int_equal(codec_b64_encode(text, data, len), CODEC_B64_LEN(len) - 1);
	assert_int_equal(strlen(text), CODEC_B64_LEN(len) - 1);
	assert_int_equal(codec_b64_decode(back, len, text, strlen(text)), len);
	assert_memory_equal(back, data, len);
	free(data);
	free(back);
	free(text);
}

static void hex(void **state)
{
	uint8_t out[4];
	char text[9];

	(void)state;
	codec_hex(text, "\0\001\253\377", 4);
	assert_string_equal(text, "0001abff");
	assert_int_equal(codec_unhex(out, 4, "0001ABff", 8), 4);
	assert_memory_equal(out, "\0\001\253\377", 4);
	assert_int_equal(codec_unhex(out, 4, "0", 1), ST_EFORMAT);
	assert_int_equal(codec_unhex(out, 4, "0g", 2), ST_EFORMAT);
	assert_int_equal(codec_unhex(out, 4, "\2000", 2), ST_EFORMAT);
	assert_int_equal(codec_unhex(out, 4, "0001abff00", 10), ST_EFULL);
	assert_int_equal(codec_unhex(out, 0, "", 0), 0);
}

/* FIPS 180-4's examples */
static void sha1_vectors(void **state)
{
	static const char *const pairs[][2] = {
		{ "", "da39a3ee5e6b4b0d3255bfef95601890afd80709" },
		{ "abc", "a9993e364706816aba3e25717850c26c9cd0d89d" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
		uint8_t digest[CODEC_SHA1_LEN];
		char hex[2 * CODEC_SHA1_LEN + 1];

		codec_sha1(digest, pairs[i][0], strlen(pairs[i][0]));
		codec_hex(hex, digest, sizeof(digest));
		assert_string_equal(hex, pairs[i][1]);
	}
}

static void sha256_vectors(void **state)
{
	static const char *const pairs[][2] = {
		{ "", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" },
		{ "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" },
		{ "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
		  "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1" },
	};
	uint8_t digest[CODEC_SHA256_LEN];
	char text[2 * CODEC_SHA256_LEN + 1];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
		codec_sha256(digest, pairs[i][0], strlen(pairs[i][0]));
		codec_hex(text, digest, sizeof(digest));
		assert_string_equal(text, pairs[i][1]);
	}
}

/* RFC 4231, 4.3 and 4.7 */
static void hmac_vectors(void **state)
{
	uint8_t key[131], sum[CODEC_SHA256_LEN];
	char text[2 * CODEC_SHA256_LEN + 1];

	(void)state;
	codec_hmac_sha256(sum, "Jefe", 4, "what do ya want for nothing?", 28);
	codec_hex(text, sum, sizeof(sum));
	assert_string_equal(text,
			    "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
	memset(key, 0xaa, sizeof(key));
	codec_hmac_sha256(key, key, sizeof(key),
			  "Test Using Larger Than Block-Size Key - Hash Key First", 54);
	codec_hex(text, key, sizeof(sum));
	assert_string_equal(text,
			    "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

static void equality(void **state)
{
	(void)state;
	assert_true(codec_equal("abc", "abd", 2));
	assert_false(codec_equal("abc", "abd", 3));
	assert_true(codec_equal("a", "b", 0));
}

static void uuids(void **state)
{
	static const uint8_t known[CODEC_UUID_LEN] = { 0x00, 0x11, 0x22, 0x33, 0x44, 0x55,
						       0x46, 0x77, 0x88, 0x99, 0xaa, 0xbb,
						       0xcc, 0xdd, 0xee, 0xff };
	uint8_t a[CODEC_UUID_LEN], b[CODEC_UUID_LEN];
	char text[CODEC_UUID_STR];

	(void)state;
	codec_uuid_str(text, known);
	assert_string_equal(text, "00112233-4455-4677-8899-aabbccddeeff");
	for (int i = 0; i < 100; i++) {
		codec_uuid4(a);
		codec_uuid4(b);
		assert_memory_not_equal(a, b, sizeof(a));
		assert_int_equal(a[6] >> 4, 4);
		assert_int_equal(a[8] >> 6, 2);
	}
}

static void wipe(void **state)
{
	static const char zeroes[8];
	char secret[8] = "hunter2";

	(void)state;
	codec_wipe(secret, sizeof(secret));
	assert_memory_equal(secret, zeroes, sizeof(secret));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(base64_vectors),
		cmocka_unit_test(base64_refuses),
		cmocka_unit_test(round_trips_of_every_length),
		cmocka_unit_test(base64_of_many_pieces),
		cmocka_unit_test(hex),
		cmocka_unit_test(sha1_vectors),
		cmocka_unit_test(sha256_vectors),
		cmocka_unit_test(hmac_vectors),
		cmocka_unit_test(equality),
		cmocka_unit_test(uuids),
		cmocka_unit_test(wipe),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
