// SPDX-License-Identifier: MIT
/*
 * gw_content_test.c - documents as a stock agent is sent them
 *
 * Cases: every document that may be started on a stock agent has a content, of the right session type; it is what the
 * agent's parser wants: schema version 1.0, only strings as types and defaults, each {{ name }} a parameter and
 * each parameter used; lists become strings; no such document.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/util.h"
#include "gateway/gw_content.h"
#include "gateway/gw_document.h"

static const struct {
	const char *name, *session_type;
	size_t params;
} documents[] = {
	{ GW_DOC_SSH, "Port", 1 },
	{ GW_DOC_FORWARD, "Port", 2 },
	{ GW_DOC_FORWARD_HOST, "Port", 3 },
	{ GW_DOC_SHELL, "Standard_Stream", 0 },
	{ GW_DOC_COMMAND, "InteractiveCommands", 1 },
	{ GW_DOC_COMMAND_PLAIN, "NonInteractiveCommands", 1 },
};

/* Every parameter stands in the properties, and nothing else is to be replaced there. */
static void check_properties(const json_t *content)
{
	json_t *params = json_object_get(content, "parameters"), *v;
	char *text = json_dumps(json_object_get(content, "properties"), JSON_ENCODE_ANY);
	char place[64], *left = strdup(text ? text : "");
	const char *name;

	free(text);
	if (!left)
		abort();
	json_object_foreach(params, name, v)
	{
		char *at;

		snprintf(place, sizeof(place), "{{ %s }}", name);
		assert_true(strstr(left, place) != NULL);
		while ((at = strstr(left, place)))
			memset(at, ' ', strlen(place));
	}
	assert_null(strstr(left, "{{ "));
	free(left);
}

static void test_contents(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(documents); i++) {
		json_t *c = gw_content_make(documents[i].name), *p, *params;
		const char *name;

		assert_non_null(c);
		assert_string_equal(json_string_value(json_object_get(c, "schemaVersion")), "1.0");
		assert_string_equal(json_string_value(json_object_get(c, "sessionType")),
				    documents[i].session_type);
		assert_true(json_is_object(json_object_get(c, "inputs")));
		params = json_object_get(c, "parameters");
		assert_int_equal(json_object_size(params), documents[i].params);
		json_object_foreach(params, name, p)
		{
			const json_t *fallback = json_object_get(p, "default");

			assert_string_equal(json_string_value(json_object_get(p, "type")),
					    "String");
			assert_true(!fallback || json_is_string(fallback));
		}
		check_properties(c);
		json_decref(c);
	}
	assert_null(gw_content_make("AWS-RunShellScript"));
	assert_null(gw_content_make(""));
}

static void test_params(void **state)
{
	json_t *lists = json_pack("{s:[s], s:[s]}", "portNumber", "22", "host", "a\"b");
	json_t *none = json_null(), *strings = gw_content_params(lists);
	json_t *want = json_pack("{s:s, s:s}", "portNumber", "22", "host", "a\"b"), *empty;

	(void)state;
	assert_true(json_equal(strings, want));
	json_decref(strings);
	json_decref(want);
	json_decref(lists);
	for (int i = 0; i < 2; i++) {
		empty = gw_content_params(i ? none : NULL);
		assert_true(json_is_object(empty) && json_object_size(empty) == 0);
		json_decref(empty);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_contents),
		cmocka_unit_test(test_params),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
