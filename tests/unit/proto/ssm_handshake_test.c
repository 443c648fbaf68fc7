// SPDX-License-Identifier: MIT
/*
 * ssm_handshake_test.c - handshake and channel_closed texts
 *
 * Cases: the exact texts of ssm-protocol 5.3; an older agent's request; unknown and KMS actions;
 * unknown session type; malformed requests; refused, empty and malformed responses; complete;
 * closed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/util.h"
#include "proto/ssm_handshake.h"

#define BYTES(s) (const uint8_t *)(s), strlen(s)

static int answer(struct ssm_handshake_answer *out, const char *request)
{
	return ssm_handshake_answer(out, BYTES(request), SSM_CLIENT_VERSION);
}

static void the_exact_request(void **state)
{
	char *text;

	(void)state;
	assert_int_equal(
		ssm_handshake_request_write(&text, "3.3.0.0", "Port", "{\"portNumber\": \"9000\"}"),
		0);
	assert_string_equal(
		text, "{\"AgentVersion\":\"3.3.0.0\",\"RequestedClientActions\":[{\"ActionType\":"
		      "\"SessionType\",\"ActionParameters\":{\"SessionType\":\"Port\","
		      "\"Properties\":{\"portNumber\":\"9000\"}}}]}");
	free(text);
	assert_int_equal(ssm_handshake_request_write(&text, "3.3.0.0", "Port", NULL), 0);
	assert_non_null(strstr(text, "\"Properties\":null"));
	free(text);
	assert_int_equal(ssm_handshake_request_write(&text, "3.3.0.0", "Port", "{"), ST_EINVAL);
	assert_int_equal(ssm_handshake_request_write(&text, "3.3.0.0", "\xff", NULL), ST_EINVAL);
}

static void the_exact_response(void **state)
{
	struct ssm_handshake_answer a;

	(void)state;
	assert_int_equal(
		answer(&a,
		       "{\"AgentVersion\":\"3.3.0.0\",\"RequestedClientActions\":[{\"ActionType\":"
		       "\"SessionType\",\"ActionParameters\":{\"SessionType\":\"Port\","
		       "\"Properties\":{\"portNumber\":\"9000\"}}}]}"),
		0);
	assert_string_equal(a.agent_version, "3.3.0.0");
	assert_string_equal(a.refused, "");
	assert_string_equal(
		a.response,
		"{\"ClientVersion\":\"1.2.707.0\",\"ProcessedClientActions\":[{\"ActionType\":"
		"\"SessionType\",\"ActionStatus\":1,\"ActionResult\":null,\"Error\":\"\"}],"
		"\"Errors\":null}");
	free(a.response);
}

static void actions_that_are_not_ours(void **state)
{
	struct ssm_handshake_answer a;

	(void)state;
	assert_int_equal(
		answer(&a, "{\"RequestedClientActions\":[{\"ActionType\":\"SessionType\","
			   "\"ActionParameters\":{\"SessionType\":\"Port\",\"Properties\":null}},"
			   "{\"ActionType\":\"KMSEncryption\",\"ActionParameters\":{\"KMSKeyId\":"
			   "\"k\"}},"
			   "{\"ActionType\":\"Dance\",\"ActionParameters\":null}]}"),
		0);
	assert_string_equal(a.agent_version, "");
	assert_string_equal(a.refused, "KMSEncryption");
	assert_non_null(strstr(a.response, "\"SessionType\",\"ActionStatus\":1"));
	assert_non_null(strstr(a.response, "\"KMSEncryption\",\"ActionStatus\":3"));
	assert_non_null(strstr(a.response, "\"Dance\",\"ActionStatus\":3"));
	free(a.response);
	assert_int_equal(answer(&a, "{\"RequestedClientActions\":[{\"ActionType\":\"SessionType\","
				    "\"ActionParameters\":{\"SessionType\":\"Telepathy\"}}]}"),
			 0);
	assert_non_null(strstr(a.response, "\"ActionStatus\":2"));
	assert_string_equal(a.refused, "SessionType");
	free(a.response);
}

static void no_actions(void **state)
{
	static const char *const texts[] = { "{}", "{\"RequestedClientActions\":null}",
					     "{\"RequestedClientActions\":[]}" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		struct ssm_handshake_answer a;

		assert_int_equal(answer(&a, texts[i]), 0);
		assert_non_null(strstr(a.response, "\"ProcessedClientActions\":[]"));
		free(a.response);
	}
}

static void malformed_requests(void **state)
{
	static const char *const texts[] = {
		"",
		"null",
		"[]",
		"{\"RequestedClientActions\":{}}",
		"{\"RequestedClientActions\":\"x\"}",
		"{\"RequestedClientActions\":[7]}",
		"{\"RequestedClientActions\":[{}]}",
		"{\"RequestedClientActions\":[{\"ActionType\":\"\"}]}",
		"{\"RequestedClientActions\":[{\"ActionType\":null}]}",
		"{\"AgentVersion\":\"\xff\"}",
		/* 17 actions */
		"{\"RequestedClientActions\":[{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{}]}",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		struct ssm_handshake_answer a = { .response = NULL };

		if (answer(&a, texts[i]) != ST_EFORMAT)
			fail_msg("taken: %s", texts[i]);
		assert_null(a.response);
	}
}

static void sixteen_actions_are_answered(void **state)
{
	char text[4096] = "{\"RequestedClientActions\":[";
	struct ssm_handshake_answer a;

	(void)state;
	for (unsigned i = 0; i < SSM_ACTIONS_MAX; i++)
		strcat(text, i ? ",{\"ActionType\":\"x\"}" : "{\"ActionType\":\"x\"}");
	strcat(text, "]}");
	assert_int_equal(answer(&a, text), 0);
	free(a.response);
	strcpy(text + strlen(text) - 2, ",{\"ActionType\":\"x\"}]}");
	assert_int_equal(answer(&a, text), ST_EFORMAT);
}

static void a_long_version_is_cut(void **state)
{
	char text[512] = "{\"AgentVersion\":\"";
	struct ssm_handshake_answer a;

	(void)state;
	memset(text + strlen(text), '1', 300);
	strcat(text, "\"}");
	assert_int_equal(answer(&a, text), 0);
	assert_int_equal(strlen(a.agent_version), SSM_VERSION_MAX - 1);
	free(a.response);
}

static void responses(void **state)
{
	static const struct {
		const char *text;
		int r;
		const char *reason;
	} cases[] = {
		{ "{\"ClientVersion\":\"1.2.707.0\",\"ProcessedClientActions\":[{\"ActionType\":"
		  "\"SessionType\",\"ActionStatus\":1,\"ActionResult\":null,\"Error\":\"\"}]}",
		  0, "" },
		{ "{\"ClientVersion\":\"1.2.707.0\",\"ProcessedClientActions\":[]}", 0, "" },
		{ "{\"ClientVersion\":\"1.2.707.0\"}", 0, "" },
		{ "{\"ClientVersion\":\"1.2.707.0\",\"ProcessedClientActions\":[{\"ActionType\":"
		  "\"KMSEncryption\",\"ActionStatus\":3,\"Error\":\"no\"}]}",
		  ST_EPEER, "KMSEncryption failed on client with status 3 error: no" },
		/* the stock client's quirk for an unknown action; 5.3 */
		{ "{\"ClientVersion\":\"1.2.707.0\",\"ProcessedClientActions\":[{\"ActionType\":"
		  "\"Dance\",\"ActionStatus\":0,\"ActionResult\":3,\"Error\":\"\"}]}",
		  ST_EPEER, "Dance failed on client with status 0 error: " },
		{ "{\"ClientVersion\":\"1.2.707.0\",\"ProcessedClientActions\":[{}]}", ST_EFORMAT,
		  "" },
		{ "{\"ClientVersion\":\"1.2.707.0\",\"ProcessedClientActions\":[1]}", ST_EFORMAT,
		  "" },
		{ "{\"ClientVersion\":\"1.2.707.0\",\"ProcessedClientActions\":7}", ST_EFORMAT,
		  "" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char version[SSM_VERSION_MAX], reason[SSM_REASON_MAX];

		assert_int_equal(ssm_handshake_response_read(version, reason, BYTES(cases[i].text)),
				 cases[i].r);
		assert_string_equal(version, "1.2.707.0");
		assert_string_equal(reason, cases[i].reason);
	}
}

static void complete(void **state)
{
	char message[SSM_REASON_MAX];
	char *text;

	(void)state;
	assert_int_equal(ssm_handshake_complete_write(&text, 1018567, ""), 0);
	assert_string_equal(text, "{\"HandshakeTimeToComplete\":1018567,\"CustomerMessage\":\"\"}");
	assert_int_equal(ssm_handshake_complete_read(message, BYTES(text)), 0);
	assert_string_equal(message, "");
	free(text);
	assert_int_equal(ssm_handshake_complete_write(&text, 1, "hello"), 0);
	assert_int_equal(ssm_handshake_complete_read(message, BYTES(text)), 0);
	assert_string_equal(message, "hello");
	free(text);
	assert_int_equal(ssm_handshake_complete_write(&text, 1, "\xff"), ST_EINVAL);
	assert_int_equal(ssm_handshake_complete_read(message, BYTES("[]")), ST_EFORMAT);
	assert_int_equal(ssm_handshake_complete_read(message, BYTES("{")), ST_EFORMAT);
}

static void closed(void **state)
{
	char output[SSM_REASON_MAX];

	(void)state;
	ssm_closed_read(output, BYTES("{\"SchemaVersion\":1,\"Output\":\"bye\"}"));
	assert_string_equal(output, "bye");
	ssm_closed_read(output, BYTES("{\"SchemaVersion\":1}"));
	assert_string_equal(output, "");
	ssm_closed_read(output, BYTES("not json"));
	assert_string_equal(output, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_exact_request),
		cmocka_unit_test(the_exact_response),
		cmocka_unit_test(actions_that_are_not_ours),
		cmocka_unit_test(no_actions),
		cmocka_unit_test(malformed_requests),
		cmocka_unit_test(sixteen_actions_are_answered),
		cmocka_unit_test(a_long_version_is_cut),
		cmocka_unit_test(responses),
		cmocka_unit_test(complete),
		cmocka_unit_test(closed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
