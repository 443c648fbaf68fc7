// SPDX-License-Identifier: MIT
/*
 * ag_forward_test.c - where a forwarding session goes
 *
 * Cases: targets by document, port 22 of this machine and of another; the allow-list by name, by address in its
 * spellings, by port; properties of each document.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/text.h"
#include "gateway/ag_session_internal.h"

static const struct ag_opts opts = {
	.ssh_port = 2222,
	.allow = { { "db.example.net", 5432 },
		   { "10.0.0.7", 80 },
		   { "fd00::7", 80 },
		   { "localhost", 9000 } },
	.n_allow = 4,
};

static struct ag_target target(const char *document, const char *params_text)
{
	json_t *params = params_text ? json_loads(params_text, 0, NULL) : NULL;
	struct ag_target t;

	ag_target_read(&t, &opts, document, params);
	json_decref(params);
	return t;
}

static void reads(const char *document, const char *params, const char *host, uint16_t port)
{
	struct ag_target t = target(document, params);

	assert_string_equal(t.host, host);
	assert_int_equal(t.port, port);
}

static void test_targets(void **state)
{
	(void)state;
	reads(GW_DOC_SSH, NULL, "localhost", 2222);
	reads(GW_DOC_SSH, "{\"portNumber\":[\"9000\"]}", "localhost", 9000);
	reads(GW_DOC_FORWARD, NULL, "localhost", 80);
	reads(GW_DOC_FORWARD, "{\"portNumber\":[\"22\"]}", "localhost", 2222);
	reads(GW_DOC_FORWARD_HOST, "{\"portNumber\":[\"22\"],\"host\":[\"::1\"]}", "::1", 2222);
	reads(GW_DOC_FORWARD_HOST, "{\"portNumber\":[\"22\"],\"host\":[\"db\"]}", "db", 22);
}

static bool allowed(const char *host, uint16_t port)
{
	struct ag_target t = { .port = port };

	text_copy(t.host, sizeof(t.host), host);
	return ag_target_allowed(&opts, &t);
}

static void test_allow_list(void **state)
{
	const struct ag_opts bare = { .ssh_port = 22 };
	const struct ag_target ssh = { "localhost", 22 }, web = { "localhost", 80 },
			       other = { "db", 22 };

	(void)state;
	assert_true(ag_target_allowed(&bare, &ssh));
	assert_false(ag_target_allowed(&bare, &web));
	assert_false(ag_target_allowed(&bare, &other));
	assert_true(allowed("localhost", 2222));
	assert_false(allowed("localhost", 22)); /* ag_target_read() has made 2222 of it */
	assert_true(allowed("127.0.0.1", 9000));
	assert_true(allowed("LocalHost", 9000));
	assert_true(allowed("DB.example.NET", 5432));
	assert_false(allowed("db.example.net", 5433));
	assert_false(allowed("db.example.net.", 5432));
	assert_false(allowed("db", 5432));
	assert_true(allowed("10.0.0.7", 80));
	assert_false(allowed("10.0.0.8", 80));
	assert_true(allowed("fd00:0:0::7", 80));
	assert_false(allowed("fd00::8", 80));
	assert_false(allowed("127.0.0.1", 80));
}

static void properties(const char *document, const char *params_text, const char *want)
{
	json_t *params = params_text ? json_loads(params_text, 0, NULL) : NULL;
	char *text = ag_properties(document, params);

	assert_string_equal(text, want);
	free(text);
	json_decref(params);
}

static void test_properties(void **state)
{
	(void)state;
	properties(GW_DOC_SSH, NULL, "{\"portNumber\":\"22\"}");
	properties(GW_DOC_FORWARD, "{\"portNumber\":[\"8080\"]}",
		   "{\"portNumber\":\"8080\",\"type\":\"LocalPortForwarding\",\"localPortNumber\":"
		   "\"0\"}");
	properties(GW_DOC_FORWARD_HOST, "{\"host\":[\"db\"]}",
		   "{\"portNumber\":\"80\",\"type\":\"LocalPortForwarding\",\"localPortNumber\":"
		   "\"0\",\"host\":\"db\"}");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_targets),
		cmocka_unit_test(test_allow_list),
		cmocka_unit_test(test_properties),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
