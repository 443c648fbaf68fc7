// SPDX-License-Identifier: MIT
/*
 * Cases: a status that fits stays as it is; one that does not loses its lists, the longest and least missed first, and says so.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/daemon_internal.h"

static json_t *list_of(size_t n, size_t len)
{
	json_t *list = json_array();
	char *text = calloc(1, len + 1);

	assert_non_null(text);
	memset(text, 'x', len);
	for (size_t i = 0; i < n; i++)
		json_array_append_new(list, json_string(text));
	free(text);
	return list;
}

static json_t *upstreams_of(size_t n)
{
	json_t *list = json_array();

	for (size_t i = 0; i < n; i++)
		json_array_append_new(
			list, json_pack("{s:s, s:o}", "name", "one", "sessions", list_of(12, 300)));
	return list;
}

/* As large as 64 upstreams with all sessions, half of them drained, and VPCs make it. */
static json_t *status_of(size_t n_upstreams, size_t n_draining)
{
	json_t *vpc = json_pack("{s:s, s:o, s:o, s:i}", "upstream", "one", "prefixes",
				list_of(500, 16), "dns_suffixes", list_of(20, 100), "n_prefixes",
				500);

	return json_pack("{s:b, s:o, s:[o], s:o, s:o}", "ok", 1, "routes", list_of(1000, 40),
			 "vpcs", vpc, "upstreams", upstreams_of(n_upstreams), "draining",
			 upstreams_of(n_draining));
}

static size_t bytes_of(const json_t *st)
{
	return json_dumpb(st, NULL, 0, JSON_COMPACT);
}

static size_t sessions_of(const json_t *st, const char *list)
{
	const json_t *first = json_array_get(json_object_get(st, list), 0);

	return json_array_size(json_object_get(first, "sessions"));
}

static void what_fits_stays(void **state)
{
	json_t *st = status_of(2, 1), *copy = json_deep_copy(st);

	(void)state;
	daemon_status_fit(st, bytes_of(st));
	assert_true(json_equal(st, copy));
	json_decref(st);
	json_decref(copy);
}

static void lists_go_one_by_one(void **state)
{
	json_t *st = status_of(2, 1);
	const json_t *vpc = json_array_get(json_object_get(st, "vpcs"), 0);

	(void)state;
	daemon_status_fit(st, bytes_of(st) - 1);
	assert_true(json_is_true(json_object_get(st, "cut")));
	assert_int_equal(json_array_size(json_object_get(st, "routes")), 0);
	assert_int_equal(json_array_size(json_object_get(vpc, "prefixes")), 500);
	daemon_status_fit(st, bytes_of(st) - 1);
	assert_int_equal(json_array_size(json_object_get(vpc, "prefixes")), 0);
	assert_int_equal(json_array_size(json_object_get(vpc, "dns_suffixes")), 0);
	assert_int_equal(json_integer_value(json_object_get(vpc, "n_prefixes")), 500);
	assert_int_equal(sessions_of(st, "draining"), 12);
	daemon_status_fit(st, bytes_of(st) - 1);
	assert_int_equal(sessions_of(st, "draining"), 0);
	assert_int_equal(sessions_of(st, "upstreams"), 12);
	json_decref(st);
}

static void the_largest(void **state)
{
	json_t *st = status_of(CFG_UPSTREAMS_MAX, CFG_UPSTREAMS_MAX);

	(void)state;
	assert_true(bytes_of(st) > CONTROL_BACKLOG_MAX);
	daemon_status_fit(st, CONTROL_BACKLOG_MAX - 1);
	assert_true(bytes_of(st) < CONTROL_BACKLOG_MAX);
	assert_int_equal(json_array_size(json_object_get(st, "upstreams")), CFG_UPSTREAMS_MAX);
	assert_int_equal(sessions_of(st, "upstreams"), 12);
	json_decref(st);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_fits_stays),
		cmocka_unit_test(lists_go_one_by_one),
		cmocka_unit_test(the_largest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
