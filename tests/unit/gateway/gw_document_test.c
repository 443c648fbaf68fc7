// SPDX-License-Identifier: MIT
/*
 * gw_document_test.c - the session documents and their parameters
 *
 * Cases: each document with none and with all of its parameters; its defaults; a foreign document; a parameter of
 * another document; values at and beyond their limits; values that are no list of one string; a NUL inside; what only
 * stock agents serve, and a parameter without a default.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/util.h"
#include "gateway/gw_document.h"

static int check(const char *name, const char *params_text)
{
	char why[200] = "";
	json_t *params = params_text ? json_loads(params_text, JSON_ALLOW_NUL, NULL) : NULL;
	int r;

	assert_true(!params_text || params);
	r = gw_document_check(name, params, why, sizeof(why));
	assert_true((r == 0) == (why[0] == '\0'));
	json_decref(params);
	return r;
}

static void test_good(void **state)
{
	(void)state;
	assert_int_equal(check(GW_DOC_SSH, NULL), 0);
	assert_int_equal(check(GW_DOC_SSH, "{}"), 0);
	assert_int_equal(check(GW_DOC_SSH, "{\"portNumber\":[\"65535\"]}"), 0);
	assert_int_equal(
		check(GW_DOC_FORWARD, "{\"portNumber\":[\"1\"],\"localPortNumber\":[\"0\"]}"), 0);
	assert_int_equal(check(GW_DOC_FORWARD_HOST, "{\"host\":[\"db-1.example.net\"]}"), 0);
	assert_int_equal(check(GW_DOC_FORWARD_HOST, "{\"host\":[\"fd77::10\"]}"), 0);
}

static void test_defaults(void **state)
{
	json_t *params = json_loads("{\"portNumber\":[\"8080\"]}", 0, NULL);

	(void)state;
	assert_string_equal(gw_document_param(GW_DOC_SSH, NULL, "portNumber"), "22");
	assert_string_equal(gw_document_param(GW_DOC_SSH, params, "portNumber"), "8080");
	assert_null(gw_document_param(GW_DOC_SSH, params, "host"));
	assert_string_equal(gw_document_param(GW_DOC_FORWARD, NULL, "portNumber"), "80");
	assert_string_equal(gw_document_param(GW_DOC_FORWARD, NULL, "localPortNumber"), "0");
	assert_null(gw_document_param(GW_DOC_FORWARD, NULL, "host"));
	assert_string_equal(gw_document_param(GW_DOC_FORWARD_HOST, params, "host"), "localhost");
	assert_null(gw_document_param("other", params, "portNumber"));
	json_decref(params);
}

static void test_foreign(void **state)
{
	(void)state;
	assert_int_equal(check(GW_DOC_SHELL, NULL), ST_ENOENT);
	assert_int_equal(check(GW_DOC_COMMAND, "{\"command\":[\"id\"]}"), ST_ENOENT);
	assert_int_equal(check("AWS-StartSSHSessio", NULL), ST_ENOENT);
	assert_int_equal(check("", NULL), ST_ENOENT);
}

static void test_bad_values(void **state)
{
	static const struct {
		const char *document, *params;
	} bad[] = {
		{ GW_DOC_SSH, "{\"host\":[\"x\"]}" },
		{ GW_DOC_SSH, "{\"localPortNumber\":[\"1\"]}" },
		{ GW_DOC_FORWARD, "{\"host\":[\"x\"]}" },
		{ GW_DOC_SSH, "{\"\":[\"1\"]}" },
		{ GW_DOC_SSH, "[\"22\"]" },
		{ GW_DOC_SSH, "{\"portNumber\":\"22\"}" },
		{ GW_DOC_SSH, "{\"portNumber\":22}" },
		{ GW_DOC_SSH, "{\"portNumber\":[22]}" },
		{ GW_DOC_SSH, "{\"portNumber\":[]}" },
		{ GW_DOC_SSH, "{\"portNumber\":[\"22\",\"23\"]}" },
		{ GW_DOC_SSH, "{\"portNumber\":null}" },
		{ GW_DOC_SSH, "{\"portNumber\":[\"0\"]}" },
		{ GW_DOC_SSH, "{\"portNumber\":[\"65536\"]}" },
		{ GW_DOC_SSH, "{\"portNumber\":[\"022\"]}" },
		{ GW_DOC_SSH, "{\"portNumber\":[\"-1\"]}" },
		{ GW_DOC_SSH, "{\"portNumber\":[\" 22\"]}" },
		{ GW_DOC_SSH, "{\"portNumber\":[\"99999999999999999999\"]}" },
		{ GW_DOC_SSH, "{\"portNumber\":[\"\"]}" },
		{ GW_DOC_SSH, "{\"portNumber\":[\"22\\u0000\"]}" },
		{ GW_DOC_FORWARD, "{\"localPortNumber\":[\"00\"]}" },
		{ GW_DOC_FORWARD_HOST, "{\"host\":[\"\"]}" },
		{ GW_DOC_FORWARD_HOST, "{\"host\":[\"-oX\"]}" },
		{ GW_DOC_FORWARD_HOST, "{\"host\":[\"a b\"]}" },
		{ GW_DOC_FORWARD_HOST, "{\"host\":[\"a/b\"]}" },
		{ GW_DOC_FORWARD_HOST, "{\"host\":[\"\\u00e9\"]}" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (check(bad[i].document, bad[i].params) != ST_EINVAL)
			fail_msg("%s takes %s", bad[i].document, bad[i].params);
}

static int check_stock(const char *name, const char *params_text)
{
	char why[200] = "";
	json_t *params = params_text ? json_loads(params_text, 0, NULL) : NULL;
	int r = gw_document_check_stock(name, params, why, sizeof(why));

	assert_true((r == 0) == (why[0] == '\0'));
	json_decref(params);
	return r;
}

static void test_stock(void **state)
{
	static const char *const commands[] = { GW_DOC_COMMAND, GW_DOC_COMMAND_PLAIN };

	(void)state;
	assert_int_equal(check_stock(GW_DOC_SSH, "{\"portNumber\":[\"2222\"]}"), 0);
	assert_int_equal(check_stock(GW_DOC_SSH, "{\"portNumber\":[\"0\"]}"), ST_EINVAL);
	assert_int_equal(check_stock(GW_DOC_FORWARD_HOST, "{\"host\":[\"db\"]}"), 0);
	assert_int_equal(check_stock(GW_DOC_SHELL, NULL), 0);
	assert_int_equal(check_stock(GW_DOC_SHELL, "{}"), 0);
	assert_int_equal(check_stock(GW_DOC_SHELL, "{\"command\":[\"id\"]}"), ST_EINVAL);
	assert_int_equal(check_stock("AWS-RunShellScript", "{\"command\":[\"id\"]}"), ST_ENOENT);
	for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
		assert_int_equal(check_stock(commands[i], "{\"command\":[\"id; {{ x }}\"]}"), 0);
		assert_int_equal(check_stock(commands[i], "{\"command\":[\"\"]}"), ST_EINVAL);
		assert_int_equal(check_stock(commands[i], "{\"command\":[]}"), ST_EINVAL);
		assert_int_equal(check_stock(commands[i], "{\"command\":\"id\"}"), ST_EINVAL);
		assert_int_equal(check_stock(commands[i], "{}"), ST_EINVAL);
		assert_int_equal(check_stock(commands[i], NULL), ST_EINVAL);
		assert_null(gw_document_param(commands[i], NULL, "command"));
		assert_string_equal(gw_document_param_name(commands[i], 0), "command");
		assert_null(gw_document_param_name(commands[i], 1));
	}
	assert_null(gw_document_param_name(GW_DOC_SHELL, 0));
	assert_null(gw_document_param_name("other", 0));
	assert_string_equal(gw_document_param_name(GW_DOC_FORWARD_HOST, 2), "host");
	assert_null(gw_document_param_name(GW_DOC_FORWARD_HOST, 3));
}

/* The longest value there may be, and one byte more. */
static void test_value_length(void **state)
{
	char why[200], *text = malloc(GW_DOC_VALUE_MAX + 2);
	json_t *params;

	(void)state;
	assert_non_null(text);
	for (size_t n = GW_DOC_VALUE_MAX; n <= GW_DOC_VALUE_MAX + 1; n++) {
		memset(text, 'x', n);
		text[n] = '\0';
		params = json_pack("{s:[s]}", "command", text);
		assert_int_equal(gw_document_check_stock(GW_DOC_COMMAND, params, why, sizeof(why)),
				 n == GW_DOC_VALUE_MAX ? 0 : ST_EINVAL);
		json_decref(params);
	}
	free(text);
}

static void test_host_length(void **state)
{
	char params[GW_DOC_HOST_MAX + 32], host[GW_DOC_HOST_MAX + 2];

	(void)state;
	for (size_t n = GW_DOC_HOST_MAX; n <= GW_DOC_HOST_MAX + 1; n++) {
		memset(host, 'a', n);
		host[n] = '\0';
		snprintf(params, sizeof(params), "{\"host\":[\"%s\"]}", host);
		assert_int_equal(check(GW_DOC_FORWARD_HOST, params),
				 n == GW_DOC_HOST_MAX ? 0 : ST_EINVAL);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),	    cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_foreign),	    cmocka_unit_test(test_bad_values),
		cmocka_unit_test(test_stock),	    cmocka_unit_test(test_value_length),
		cmocka_unit_test(test_host_length),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
