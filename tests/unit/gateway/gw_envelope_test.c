// SPDX-License-Identifier: MIT
/*
 * gw_envelope_test.c - frames of /ws/agent
 *
 * Cases: a good request; every shorter prefix; every member missing or of another type; unknown members;
 * base64 that is none, or of no object; a response as text and as base64; round trip; the heartbeat's echo.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "gateway/gw_envelope.h"

static const char good[] = "{\"id\":\"m1\",\"type\":\"request\",\"channel\":\"agent.registration\","
			   "\"timestamp\":1763650000,"
			   "\"payload\":\"eyJhIjoxfQ==\",\"headers\":{},\"more\":[1]}";

static int parse(struct env *e, const char *text, const char **code)
{
	const char *why = NULL;
	int r = env_parse(e, (const uint8_t *)text, strlen(text), code, &why);

	if (r < 0)
		assert_non_null(why);
	return r;
}

static void refused(const char *text, const char *want)
{
	const char *code = NULL;
	struct env e;

	if (parse(&e, text, &code) != ST_EFORMAT)
		fail_msg("accepted: %s", text);
	assert_string_equal(code, want);
}

static void test_good(void **state)
{
	const char *code;
	struct env e;

	(void)state;
	assert_int_equal(parse(&e, good, &code), 0);
	assert_int_equal(e.type, ENV_REQUEST);
	assert_string_equal(e.id, "m1");
	assert_string_equal(e.channel, CH_REGISTER);
	assert_int_equal(json_integer_value(json_object_get(e.body, "a")), 1);
	env_fini(&e);
}

static void test_prefixes(void **state)
{
	const char *code, *why;
	struct env e;

	(void)state;
	for (size_t n = 0; n < strlen(good); n++) {
		uint8_t *p = malloc(n + 1); /* exactly so long: a read beyond is seen */

		memcpy(p, good, n);
		assert_int_equal(env_parse(&e, p, n, &code, &why), ST_EFORMAT);
		assert_string_equal(code, "bad_json");
		free(p);
	}
}

static void test_members(void **state)
{
	static const char *const members[] = { "id",	    "type",    "channel",
					       "timestamp", "payload", "headers" };
	static const char *const values[] = { NULL, "null", "true", "[]", "1.5" };

	(void)state;
	for (size_t m = 0; m < ARRAY_LEN(members); m++) {
		for (size_t v = 0; v < ARRAY_LEN(values); v++) {
			json_t *o = json_loads(good, 0, NULL);
			char *text;

			json_object_del(o, members[m]);
			if (values[v])
				json_object_set_new(o, members[m],
						    json_loads(values[v], JSON_DECODE_ANY, NULL));
			text = json_dumps(o, 0);
			refused(text, "bad_envelope");
			free(text);
			json_decref(o);
		}
	}
}

static void with(const char *key, const char *value, const char *want)
{
	json_t *o = json_loads(good, 0, NULL);
	char *text;

	json_object_set_new(o, key, json_string(value));
	text = json_dumps(o, 0);
	refused(text, want);
	free(text);
	json_decref(o);
}

static void test_garbage(void **state)
{
	char longer[ENV_ID_MAX + 2];

	(void)state;
	memset(longer, 'i', sizeof(longer));
	longer[sizeof(longer) - 1] = '\0';
	refused("", "bad_json");
	refused("\x16\x03\x01\x02", "bad_json");
	refused("[]", "bad_envelope");
	refused("\"x\"", "bad_json");
	refused("{\"id\":\"a\\u0000b\"}", "bad_json");
	refused("{\"id\":\"\xff\"}", "bad_json");
	with("type", "shout", "bad_envelope");
	with("type", "", "bad_envelope");
	with("id", "", "bad_envelope");
	with("id", longer, "bad_envelope");
	with("payload", "not base64!", "bad_base64");
	with("payload", "eyJhIjoxfQ", "bad_base64"); /* unpadded */
	with("payload", "", "bad_payload");
	with("payload", "WzFd", "bad_payload");	    /* [1] */
	with("payload", "e30gew==", "bad_payload"); /* {} { */
}

static void test_size(void **state)
{
	char *big = malloc(ENV_MAX + 2);
	const char *code, *why;
	struct env e;

	(void)state;
	memset(big, ' ', ENV_MAX + 1);
	memcpy(big, good, sizeof(good) - 1);
	assert_int_equal(env_parse(&e, (uint8_t *)big, ENV_MAX, &code, &why), 0);
	env_fini(&e);
	assert_int_equal(env_parse(&e, (uint8_t *)big, ENV_MAX + 1, &code, &why), ST_EFORMAT);
	free(big);
}

static void test_response_forms(void **state)
{
	static const char *const payloads[] = { "{\"a\":1}", "eyJhIjoxfQ==" };
	const char *code;
	struct env e;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(payloads); i++) {
		json_t *o = json_loads(good, 0, NULL);
		char *text;

		json_object_set_new(o, "type", json_string("response"));
		json_object_set_new(o, "payload", json_string(payloads[i]));
		text = json_dumps(o, 0);
		assert_int_equal(parse(&e, text, &code), 0);
		assert_int_equal(json_integer_value(json_object_get(e.body, "a")), 1);
		env_fini(&e);
		free(text);
		json_decref(o);
	}
}

static void test_round_trip(void **state)
{
	json_t *body = json_pack("{s:s}", "k", "v");
	const char *code;

	(void)state;
	for (int t = 0; t < ENV_TYPE_N; t++) {
		char *text = env_format((enum env_type)t, NULL, "chan", body, "m0", 5);
		struct env e;

		assert_int_equal(parse(&e, text, &code), 0);
		assert_int_equal(e.type, t);
		assert_string_equal(e.channel, "chan");
		assert_int_equal(strlen(e.id), 36);
		assert_string_equal(json_str(e.headers, "in_reply_to"), "m0");
		assert_string_equal(json_str(e.body, "k"), "v");
		env_fini(&e);
		free(text);
	}
	json_decref(body);
}

static void test_echo(void **state)
{
	const char *code;
	struct env e, back;
	char *text;

	(void)state;
	assert_int_equal(parse(&e, good, &code), 0);
	text = env_echo(&e, 77);
	assert_int_equal(parse(&back, text, &code), 0);
	assert_string_equal(back.id, e.id);
	assert_string_equal(back.payload, e.payload);
	assert_int_equal(json_integer_value(json_object_get(back.doc, "timestamp")), 77);
	assert_int_equal(json_integer_value(json_object_get(e.doc, "timestamp")), 1763650000);
	env_fini(&back);
	env_fini(&e);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),	   cmocka_unit_test(test_prefixes),
		cmocka_unit_test(test_members),	   cmocka_unit_test(test_garbage),
		cmocka_unit_test(test_size),	   cmocka_unit_test(test_response_forms),
		cmocka_unit_test(test_round_trip), cmocka_unit_test(test_echo),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
