// SPDX-License-Identifier: MIT
/*
 * ssm_handshake_test.c - handshake and channel_closed texts
 *
 * Cases: the exact texts of ssm-protocol 5.3; an older agent's request; unknown and KMS actions, with a
 * key, without one, refused; unknown session type; malformed requests and their limits; refused, empty and
 * malformed responses; challenges; complete; properties; closed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/codec.h"
#include "base/err.h"
#include "base/util.h"
#include "proto/ssm_handshake.h"

#define BYTES(s) (const uint8_t *)(s), strlen(s)

struct answer {
	char *response;
	char refused[SSM_VERSION_MAX];
};

static int answer(struct answer *out, const char *request)
{
	return ssm_handshake_answer(&out->response, out->refused, BYTES(request),
				    SSM_CLIENT_VERSION, NULL);
}

static int request_write(char **out, const char *session_type, const char *properties)
{
	return ssm_handshake_request_write(
		out, &(struct ssm_request_opts){ .agent_version = "3.3.0.0",
						 .session_type = session_type,
						 .properties_json = properties });
}

static void the_exact_request(void **state)
{
	char *text;

	(void)state;
	assert_int_equal(request_write(&text, "Port", "{\"portNumber\": \"9000\"}"), 0);
	assert_string_equal(
		text, "{\"AgentVersion\":\"3.3.0.0\",\"RequestedClientActions\":[{\"ActionType\":"
		      "\"SessionType\",\"ActionParameters\":{\"SessionType\":\"Port\","
		      "\"Properties\":{\"portNumber\":\"9000\"}}}]}");
	free(text);
	assert_int_equal(request_write(&text, "Port", NULL), 0);
	assert_non_null(strstr(text, "\"Properties\":null"));
	free(text);
	assert_int_equal(request_write(&text, "Port", "{"), ST_EINVAL);
	assert_int_equal(request_write(&text, "\xff", NULL), ST_EINVAL);
}

static void the_exact_response(void **state)
{
	struct answer a;

	(void)state;
	assert_int_equal(
		answer(&a,
		       "{\"AgentVersion\":\"3.3.0.0\",\"RequestedClientActions\":[{\"ActionType\":"
		       "\"SessionType\",\"ActionParameters\":{\"SessionType\":\"Port\","
		       "\"Properties\":{\"portNumber\":\"9000\"}}}]}"),
		0);
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
	struct answer a;

	(void)state;
	assert_int_equal(
		answer(&a, "{\"RequestedClientActions\":[{\"ActionType\":\"SessionType\","
			   "\"ActionParameters\":{\"SessionType\":\"Port\",\"Properties\":null}},"
			   "{\"ActionType\":\"KMSEncryption\",\"ActionParameters\":{\"KMSKeyId\":"
			   "\"k\"}},"
			   "{\"ActionType\":\"Dance\",\"ActionParameters\":null}]}"),
		0);
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
		struct answer a;

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
		struct answer a = { .response = NULL };

		if (answer(&a, texts[i]) != ST_EFORMAT)
			fail_msg("taken: %s", texts[i]);
		assert_null(a.response);
	}
}

static void sixteen_actions_are_answered(void **state)
{
	char text[4096] = "{\"RequestedClientActions\":[";
	struct answer a;

	(void)state;
	for (unsigned i = 0; i < SSM_ACTIONS_MAX; i++)
		strcat(text, i ? ",{\"ActionType\":\"x\"}" : "{\"ActionType\":\"x\"}");
	strcat(text, "]}");
	assert_int_equal(answer(&a, text), 0);
	free(a.response);
	strcpy(text + strlen(text) - 2, ",{\"ActionType\":\"x\"}]}");
	assert_int_equal(answer(&a, text), ST_EFORMAT);
}

static int request_read(struct ssm_request *out, const char *text)
{
	return ssm_handshake_request_read(out, BYTES(text));
}

static void a_long_version_is_cut(void **state)
{
	char text[512] = "{\"AgentVersion\":\"";
	struct ssm_request r;

	(void)state;
	memset(text + strlen(text), '1', 300);
	strcat(text, "\"}");
	assert_int_equal(request_read(&r, text), 0);
	assert_int_equal(strlen(r.agent_version), SSM_VERSION_MAX - 1);
	ssm_request_fini(&r);
}

/* The text of ssm-protocol 5.3, with both actions. */
#define KMS_REQUEST                                                                                \
	"{\"AgentVersion\":\"3.3.0.0\",\"RequestedClientActions\":[{\"ActionType\":"               \
	"\"SessionType\",\"ActionParameters\":{\"SessionType\":\"Standard_Stream\","               \
	"\"Properties\":null}},{\"ActionType\":\"KMSEncryption\",\"ActionParameters\":{"           \
	"\"KMSKeyId\":\"arn:aws:kms:x\",\"Challenge\":\"AAAA\"}}]}"

static void a_request_with_encryption(void **state)
{
	const struct ssm_request_opts o = { .agent_version = "3.3.0.0",
					    .session_type = "Standard_Stream",
					    .kms_key_id = "arn:aws:kms:x",
					    .challenge = "AAAA" };
	struct ssm_request_opts old = o;
	struct ssm_request r;
	char *text;

	(void)state;
	assert_int_equal(ssm_handshake_request_write(&text, &o), 0);
	assert_string_equal(text, KMS_REQUEST);
	assert_int_equal(request_read(&r, text), 0);
	free(text);
	assert_string_equal(r.agent_version, "3.3.0.0");
	assert_string_equal(r.session_type, "Standard_Stream");
	assert_null(r.properties_json);
	assert_string_equal(r.kms_key_id, "arn:aws:kms:x");
	assert_string_equal(r.challenge, "AAAA");
	ssm_request_fini(&r);
	assert_null(r.kms_key_id);
	/* older agents have no challenge */
	old.challenge = NULL;
	assert_int_equal(ssm_handshake_request_write(&text, &old), 0);
	assert_null(strstr(text, "Challenge"));
	assert_int_equal(request_read(&r, text), 0);
	assert_null(r.challenge);
	ssm_request_fini(&r);
	free(text);
	old.kms_key_id = "\xff";
	assert_int_equal(ssm_handshake_request_write(&text, &old), ST_EINVAL);
}

static void what_a_request_says(void **state)
{
	struct ssm_request r;

	(void)state;
	assert_int_equal(
		request_read(&r, "{\"RequestedClientActions\":[{\"ActionType\":\"SessionType\","
				 "\"ActionParameters\":{\"SessionType\":\"Port\",\"Properties\":{"
				 "\"portNumber\": \"1\"}}},{\"ActionType\":\"SessionType\","
				 "\"ActionParameters\":{\"SessionType\":\"Second\"}},"
				 "{\"ActionType\":\"Dance\"}]}"),
		0);
	assert_string_equal(r.session_type, "Port");
	assert_string_equal(r.properties_json, "{\"portNumber\":\"1\"}");
	assert_null(r.kms_key_id);
	ssm_request_fini(&r);
	assert_int_equal(request_read(&r, "[]"), ST_EFORMAT);
	assert_int_equal(request_read(&r, "{\"RequestedClientActions\":[{}]}"), ST_EFORMAT);
}

static void texts_beyond_their_limits(void **state)
{
	static const struct {
		const char *key;
		size_t max;
	} cases[] = { { "KMSKeyId", SSM_KEY_ID_MAX }, { "Challenge", SSM_CHALLENGE_TEXT_MAX } };

	(void)state;
	for (size_t i = 0; i < 2 * ARRAY_LEN(cases); i++) {
		const size_t len = cases[i / 2].max + i % 2;
		char value[4096] = "", text[8192];
		struct ssm_request r;

		memset(value, 'A', len);
		snprintf(text, sizeof(text),
			 "{\"RequestedClientActions\":[{\"ActionType\":\"KMSEncryption\","
			 "\"ActionParameters\":{\"%s\":\"%s\"}}]}",
			 cases[i / 2].key, value);
		assert_int_equal(request_read(&r, text), i % 2 ? ST_EFORMAT : 0);
		if (i % 2 == 0)
			ssm_request_fini(&r);
	}
}

static void kms_answer(const struct ssm_kms_answer *kms, const char *expected, bool refused)
{
	char what[SSM_VERSION_MAX];
	char *text;

	assert_int_equal(ssm_handshake_answer(&text, what, BYTES(KMS_REQUEST), "1.2.707.0", kms),
			 0);
	assert_string_equal(what, refused ? "KMSEncryption" : "");
	if (!strstr(text, expected))
		fail_msg("%s lacks %s", text, expected);
	free(text);
}

static void answers_to_the_wish_for_encryption(void **state)
{
	struct ssm_kms_answer kms = { .status = SSM_ACTION_SUCCESS,
				      .cipher_key = (const uint8_t *)"abc",
				      .cipher_len = 3 };

	(void)state;
	kms_answer(NULL, "\"ActionType\":\"KMSEncryption\",\"ActionStatus\":3", true);
	kms_answer(&kms,
		   "{\"ActionType\":\"KMSEncryption\",\"ActionStatus\":1,\"ActionResult\":{"
		   "\"KMSCipherTextKey\":\"YWJj\",\"KMSCipherTextHash\":null},\"Error\":\"\"}",
		   false);
	kms.challenge = true;
	kms_answer(&kms, "\"KMSCipherTextHash\":null,\"ChallengeAcknowledgement\":true}", false);
	kms = (struct ssm_kms_answer){ .status = SSM_ACTION_FAILED, .error = "denied" };
	kms_answer(&kms, "\"ActionStatus\":2,\"ActionResult\":null,\"Error\":\"denied\"", true);
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
		struct ssm_response r;

		assert_int_equal(ssm_handshake_response_read(&r, BYTES(cases[i].text)), cases[i].r);
		assert_string_equal(r.client_version, "1.2.707.0");
		assert_string_equal(r.reason, cases[i].reason);
		assert_null(r.cipher_key);
	}
}

#define KMS_RESULT(result)                                                                         \
	"{\"ProcessedClientActions\":[{\"ActionType\":\"KMSEncryption\",\"ActionStatus\":1,"       \
	"\"ActionResult\":" result "}]}"

static void responses_with_a_key(void **state)
{
	static const char *const malformed[] = {
		KMS_RESULT("{\"KMSCipherTextKey\":\"YW\"}"),
		KMS_RESULT("{\"KMSCipherTextKey\":7}"),
	};
	char long_key[CODEC_B64_LEN(SSM_CIPHER_KEY_MAX + 1)], text[16384];
	uint8_t bytes[SSM_CIPHER_KEY_MAX + 1] = { 0 };
	struct ssm_response r;

	(void)state;
	assert_int_equal(ssm_handshake_response_read(
				 &r, BYTES(KMS_RESULT("{\"KMSCipherTextKey\":\"YWJj\"}"))),
			 0);
	assert_int_equal(r.cipher_len, 3);
	assert_memory_equal(r.cipher_key, "abc", 3);
	assert_false(r.challenge);
	free(r.cipher_key);
	assert_int_equal(ssm_handshake_response_read(
				 &r, BYTES(KMS_RESULT("{\"KMSCipherTextKey\":\"YWJj\","
						      "\"ChallengeAcknowledgement\":true}"))),
			 0);
	assert_true(r.challenge);
	free(r.cipher_key);
	assert_int_equal(ssm_handshake_response_read(&r, BYTES(KMS_RESULT("null"))), 0);
	assert_null(r.cipher_key);
	for (size_t i = 0; i < ARRAY_LEN(malformed); i++)
		assert_int_equal(ssm_handshake_response_read(&r, BYTES(malformed[i])), ST_EFORMAT);
	for (size_t over = 0; over < 2; over++) {
		codec_b64_encode(long_key, bytes, SSM_CIPHER_KEY_MAX + over);
		snprintf(text, sizeof(text), KMS_RESULT("{\"KMSCipherTextKey\":\"%s\"}"), long_key);
		assert_int_equal(ssm_handshake_response_read(&r, BYTES(text)),
				 over ? ST_EFORMAT : 0);
		free(r.cipher_key);
	}
}

static void challenges(void **state)
{
	uint8_t *bytes;
	char *text;

	(void)state;
	assert_int_equal(ssm_handshake_challenge_write(&text, (const uint8_t *)"abc", 3), 0);
	assert_string_equal(text, "{\"Challenge\":\"YWJj\"}");
	assert_int_equal(ssm_handshake_challenge_read(&bytes, 3, BYTES(text)), 3);
	assert_memory_equal(bytes, "abc", 3);
	free(bytes);
	assert_int_equal(ssm_handshake_challenge_read(&bytes, 2, BYTES(text)), ST_EFULL);
	free(text);
	assert_int_equal(ssm_handshake_challenge_read(&bytes, 3, BYTES("{}")), ST_EFORMAT);
	assert_int_equal(ssm_handshake_challenge_read(&bytes, 3, BYTES("{\"Challenge\":\"!\"}")),
			 ST_EFORMAT);
	assert_int_equal(ssm_handshake_challenge_read(&bytes, 3, BYTES("no")), ST_EFORMAT);
}

static void properties(void **state)
{
	(void)state;
	assert_true(ssm_properties_read("{\"type\":\"LocalPortForwarding\"}").local_forwarding);
	assert_false(ssm_properties_read("{\"type\":\"Other\"}").local_forwarding);
	assert_true(ssm_properties_read("{\"separateOutputStream\":true}").separate_output);
	assert_true(ssm_properties_read("{\"separateOutputStream\":\"true\"}").separate_output);
	assert_false(ssm_properties_read("{\"separateOutputStream\":\"false\"}").separate_output);
	assert_false(ssm_properties_read("no").separate_output);
	assert_false(ssm_properties_read(NULL).local_forwarding);
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
		cmocka_unit_test(a_request_with_encryption),
		cmocka_unit_test(what_a_request_says),
		cmocka_unit_test(texts_beyond_their_limits),
		cmocka_unit_test(answers_to_the_wish_for_encryption),
		cmocka_unit_test(responses),
		cmocka_unit_test(responses_with_a_key),
		cmocka_unit_test(challenges),
		cmocka_unit_test(properties),
		cmocka_unit_test(complete),
		cmocka_unit_test(closed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
