// SPDX-License-Identifier: MIT
/*
 * ssm_open_test.c - the texts that open a data channel
 *
 * Cases: the exact texts of ssm-protocol 2.1, 7.2 and 7.3; a version of the caller's; no copy of the token is left behind;
 * texts that are no UTF-8.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/err.h"
#include "proto/ssm_open.h"

static void compare(const struct ssm_open *o, const char *expected)
{
	char *text;

	assert_int_equal(ssm_open_write(&text, o), 0);
	assert_string_equal(text, expected);
	free(text);
}

static void the_client(void **state)
{
	struct ssm_open o = { .role = SSM_ROLE_CLIENT,
			      .request_id = { 0x81, 0x2e, 0xf3, 0x4f, 0x87, 0xbd, 0x44, 0x9e, 0xa3,
					      0xde, 0x28, 0x2f, 0x47, 0x8b, 0xa6, 0xe6 },
			      .token = "to/ken+=",
			      .client_id = "00112233-4455-4677-8899-aabbccddeeff" };

	(void)state;
	compare(&o, "{\"MessageSchemaVersion\":\"1.0\",\"RequestId\":"
		    "\"812ef34f-87bd-449e-a3de-282f478ba6e6\",\"TokenValue\":\"to/ken+=\","
		    "\"ClientId\":\"00112233-4455-4677-8899-aabbccddeeff\","
		    "\"ClientVersion\":\"1.2.707.0\"}");
	o.client_version = "1.2.500.0";
	o.client_id = "";
	compare(&o, "{\"MessageSchemaVersion\":\"1.0\",\"RequestId\":"
		    "\"812ef34f-87bd-449e-a3de-282f478ba6e6\",\"TokenValue\":\"to/ken+=\","
		    "\"ClientId\":\"\",\"ClientVersion\":\"1.2.500.0\"}");
}

static void the_agent(void **state)
{
	const struct ssm_open o = { .role = SSM_ROLE_AGENT, .token = "t", .client_id = "i-0abc" };
	char *text;

	(void)state;
	compare(&o, "{\"MessageSchemaVersion\":\"1.0\",\"RequestId\":"
		    "\"00000000-0000-0000-0000-000000000000\",\"TokenValue\":\"t\","
		    "\"ClientInstanceId\":\"i-0abc\",\"ClientId\":\"\"}");
	assert_int_equal(ssm_session_state_write(&text, "me-0123", "Connected"), 0);
	assert_string_equal(text, "{\"SchemaVersion\":1,\"SessionState\":\"Connected\","
				  "\"SessionId\":\"me-0123\"}");
	free(text);
}

/* jansson's memory with its size in front, looked through when it is given back. */
union block {
	size_t size;
	max_align_t align;
};

#define TOKEN "a-token-that-nobody-may-find"

static unsigned found, looked;

static void *block_new(size_t size)
{
	union block *b = malloc(sizeof(*b) + size);

	assert_non_null(b);
	b->size = size;
	return b + 1;
}

static void block_free(void *p)
{
	union block *b = p;

	if (!p)
		return;
	b--;
	looked++;
	found += memmem(p, b->size, TOKEN, strlen(TOKEN)) != NULL;
	free(b);
}

static void no_copy_of_the_token_is_left(void **state)
{
	static const enum ssm_role roles[] = { SSM_ROLE_CLIENT, SSM_ROLE_AGENT };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		const struct ssm_open o = { .role = roles[i], .token = TOKEN, .client_id = "i-0" };
		char *text;

		found = looked = 0;
		json_set_alloc_funcs(block_new, block_free);
		assert_int_equal(ssm_open_write(&text, &o), 0);
		json_set_alloc_funcs(malloc, free);
		assert_non_null(strstr(text, TOKEN));
		assert_true(looked > 0);
		assert_int_equal(found, 0);
		free(text);
	}
}

static void no_utf8(void **state)
{
	const struct ssm_open o = { .role = SSM_ROLE_AGENT, .token = "\xff", .client_id = "i-0" };
	char *text;

	(void)state;
	assert_int_equal(ssm_open_write(&text, &o), ST_EINVAL);
	assert_int_equal(ssm_session_state_write(&text, "\xff", "Connected"), ST_EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_client),
		cmocka_unit_test(the_agent),
		cmocka_unit_test(no_copy_of_the_token_is_left),
		cmocka_unit_test(no_utf8),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
