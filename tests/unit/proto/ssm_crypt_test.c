// SPDX-License-Identifier: MIT
/*
 * ssm_crypt_test.c - encrypted payloads
 *
 * Cases: both vectors of tests/data/vectors.json, sealed and opened; both ends with each other, in place, empty and
 * large; every bit of a short payload flipped; every shorter prefix; another key; an own payload played back.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/codec.h"
#include "base/err.h"
#include "base/util.h"
#include "proto/ssm_crypt.h"

#define VECTORS "tests/data/vectors.json"
#define LARGE 300000U

static size_t unhex(uint8_t *out, size_t cap, const json_t *object, const char *key)
{
	const char *hex = json_string_value(json_object_get(object, key));
	ssize_t n;

	assert_non_null(hex);
	n = codec_unhex(out, cap, hex, strlen(hex));
	assert_true(n > 0);
	return (size_t)n;
}

static void the_vectors(void **state)
{
	json_t *root = json_load_file(VECTORS, 0, NULL);
	const json_t *list = json_object_get(root, "kms_payloads");
	size_t i;
	json_t *v;

	(void)state;
	assert_int_equal(json_array_size(list), 2);
	json_array_foreach(list, i, v)
	{
		uint8_t key[SSM_DATA_KEY_LEN], nonce[SSM_NONCE_LEN], text[64], sealed[64], buf[64];
		bool down = strcmp(json_string_value(json_object_get(v, "direction")),
				   "agent_to_client") == 0;
		struct ssm_crypt *writer, *reader;
		size_t text_len, sealed_len;

		assert_int_equal(unhex(key, sizeof(key), v, "data_key_hex"), sizeof(key));
		assert_int_equal(unhex(nonce, sizeof(nonce), v, "nonce_hex"), sizeof(nonce));
		text_len = unhex(text, sizeof(text), v, "plaintext_hex");
		sealed_len = unhex(sealed, sizeof(sealed), v, "payload_hex");
		assert_int_equal(sealed_len, text_len + SSM_CRYPT_OVERHEAD);
		assert_int_equal(ssm_crypt_new(&writer, !down, key), 0);
		assert_int_equal(ssm_crypt_new(&reader, down, key), 0);
		memcpy(buf + SSM_NONCE_LEN, text, text_len);
		ssm_crypt_seal(writer, buf, text_len, nonce);
		assert_memory_equal(buf, sealed, sealed_len);
		assert_int_equal(ssm_crypt_open(reader, buf, sealed, sealed_len), text_len);
		assert_memory_equal(buf, text, text_len);
		ssm_crypt_free(writer);
		ssm_crypt_free(reader);
	}
	json_decref(root);
}

struct ends {
	struct ssm_crypt *client, *agent;
};

static struct ends ends_new(uint8_t client_key, uint8_t agent_key)
{
	uint8_t key[SSM_DATA_KEY_LEN];
	struct ends e;

	for (size_t i = 0; i < sizeof(key); i++)
		key[i] = (uint8_t)(client_key + i);
	assert_int_equal(ssm_crypt_new(&e.client, true, key), 0);
	for (size_t i = 0; i < sizeof(key); i++)
		key[i] = (uint8_t)(agent_key + i);
	assert_int_equal(ssm_crypt_new(&e.agent, false, key), 0);
	return e;
}

static void ends_free(struct ends *e)
{
	ssm_crypt_free(e->client);
	ssm_crypt_free(e->agent);
}

static void round_trips(void **state)
{
	static const size_t lens[] = { 0, 1, 15, 16, 17, 1024, LARGE };
	static const uint8_t nonce[SSM_NONCE_LEN] = { 7 };
	struct ends e = ends_new(1, 1);
	uint8_t *buf = malloc(LARGE + SSM_CRYPT_OVERHEAD);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(lens); i++) {
		const size_t len = lens[i], sealed_len = len + SSM_CRYPT_OVERHEAD;

		memset(buf + SSM_NONCE_LEN, (int)i, len);
		ssm_crypt_seal(e.client, buf, len, nonce);
		assert_int_equal(ssm_crypt_open(e.agent, buf + SSM_NONCE_LEN, buf, sealed_len),
				 len);
		for (size_t k = 0; k < len; k++)
			assert_int_equal(buf[SSM_NONCE_LEN + k], i);
		ssm_crypt_seal(e.agent, buf, len, nonce);
		assert_int_equal(ssm_crypt_open(e.client, buf + SSM_NONCE_LEN, buf, sealed_len),
				 len);
	}
	free(buf);
	ends_free(&e);
	ssm_crypt_free(NULL);
}

static void what_is_not_authentic(void **state)
{
	static const uint8_t nonce[SSM_NONCE_LEN] = { 9 };
	uint8_t sealed[SSM_CRYPT_OVERHEAD + 5], copy[sizeof(sealed)], text[8];
	struct ends e = ends_new(1, 1), other = ends_new(2, 2);

	(void)state;
	memset(sealed + SSM_NONCE_LEN, 0x5a, 5);
	ssm_crypt_seal(e.client, sealed, 5, nonce);
	for (size_t bit = 0; bit < 8 * sizeof(sealed); bit++) {
		memcpy(copy, sealed, sizeof(copy));
		copy[bit / 8] ^= (uint8_t)(1U << bit % 8);
		assert_int_equal(ssm_crypt_open(e.agent, text, copy, sizeof(copy)), ST_EPEER);
	}
	for (size_t len = 0; len < sizeof(sealed); len++)
		assert_int_equal(ssm_crypt_open(e.agent, text, sealed, len),
				 len < SSM_CRYPT_OVERHEAD ? ST_ESHORT : ST_EPEER);
	assert_int_equal(ssm_crypt_open(other.agent, text, sealed, sizeof(sealed)), ST_EPEER);
	assert_int_equal(ssm_crypt_open(e.client, text, sealed, sizeof(sealed)), ST_EPEER);
	/* and none of it spoils the next */
	assert_int_equal(ssm_crypt_open(e.agent, text, sealed, sizeof(sealed)), 5);
	ends_free(&e);
	ends_free(&other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_vectors),
		cmocka_unit_test(round_trips),
		cmocka_unit_test(what_is_not_authentic),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
