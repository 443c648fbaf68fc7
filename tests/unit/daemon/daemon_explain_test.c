// SPDX-License-Identifier: MIT
/*
 * Cases: where names and addresses go by a configuration alone, with and without a port, in every form that is taken; the most
 * specific rule and its line; what is never routed; dns modes, names of the whole machine; what is neither a name nor an address.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/daemon_internal.h"

static struct cfg_upstream upstreams[] = { { .name = "one" }, { .name = "two", .ipv6 = true } };

static struct cfg_route routes[] = {
	{ .match = CFG_MATCH_PREFIX, .action = CFG_TO_UPSTREAM, .place = { .line = 10 } },
	{ .match = CFG_MATCH_NAME,
	  .name = "*.one.internal",
	  .action = CFG_TO_UPSTREAM,
	  .place = { .line = 11 } },
	{ .match = CFG_MATCH_NAME,
	  .name = "db.one.internal",
	  .action = CFG_TO_UPSTREAM,
	  .upstream = 1,
	  .order = 1,
	  .place = { .line = 12 } },
	{ .match = CFG_MATCH_NAME,
	  .name = "no.one.internal",
	  .action = CFG_TO_REJECT,
	  .order = 2,
	  .place = { .line = 13 } },
	{ .match = CFG_MATCH_NAME,
	  .name = "here.one.internal",
	  .action = CFG_TO_DIRECT,
	  .order = 3,
	  .place = { .line = 14 } },
};

static struct config config = {
	.file = "/etc/ssm-tun/x.yaml",
	.upstreams = upstreams,
	.n_upstreams = ARRAY_LEN(upstreams),
	.routes = routes,
	.n_routes = ARRAY_LEN(routes),
	.default_action = CFG_TO_DIRECT,
};

static const char *str(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

static void where_it_goes(void **state)
{
	static const struct {
		const char *host, *asked, *by, *match, *action, *upstream, *way;
		int port, line;
	} cases[] = {
		{ "10.1.2.3", "10.1.2.3", "address", "10.0.0.0/8", "upstream", "one", "", 0, 10 },
		{ "10.1.2.3:22", "10.1.2.3", "address", "10.0.0.0/8", "upstream", "one", "", 22,
		  10 },
		{ "11.1.2.3", "11.1.2.3", "default", "", "direct", "", "", 0, 0 },
		{ "fd00::1", "fd00::1", "default", "", "direct", "", "", 0, 0 },
		{ "[fd00::1]:65535", "fd00::1", "default", "", "direct", "", "", 65535, 0 },
		{ "169.254.169.254", "169.254.169.254", "never", "", "direct", "", "", 0, 0 },
		{ "127.0.0.1:80", "127.0.0.1", "never", "", "direct", "", "", 80, 0 },
		{ "WEB.One.Internal.", "web.one.internal", "name", "*.one.internal", "upstream",
		  "one", "upstream", 0, 11 },
		{ "db.one.internal:5432", "db.one.internal", "name", "db.one.internal", "upstream",
		  "two", "upstream", 5432, 12 },
		{ "no.one.internal", "no.one.internal", "name", "no.one.internal", "reject", "",
		  "none", 0, 13 },
		{ "here.one.internal", "here.one.internal", "name", "here.one.internal", "direct",
		  "", "local", 0, 14 },
		{ "one.internal", "one.internal", "default", "", "direct", "", "local", 0, 0 },
		{ "b\xc3\xbc"
		  "cher.example",
		  "xn--bcher-kva.example", "default", "", "direct", "", "local", 0, 0 },
	};

	(void)state;
	assert_int_equal(net_prefix_parse(&routes[0].prefix, "10.0.0.0/8"), 0);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		json_t *x = daemon_explain_file(&config, cases[i].host);
		const json_t *rule = json_object_get(x, "rule");

		if (!json_is_true(json_object_get(x, "ok")) ||
		    strcmp(str(x, "asked"), cases[i].asked) != 0 ||
		    json_integer_value(json_object_get(x, "port")) != cases[i].port ||
		    strcmp(str(rule, "by"), cases[i].by) != 0 ||
		    strcmp(str(rule, "match"), cases[i].match) != 0 ||
		    json_integer_value(json_object_get(rule, "line")) != cases[i].line ||
		    strcmp(str(x, "action"), cases[i].action) != 0 ||
		    strcmp(str(json_object_get(x, "upstream"), "name"), cases[i].upstream) != 0 ||
		    strcmp(str(json_object_get(x, "dns"), "way"), cases[i].way) != 0)
			fail_msg("%s: %s", cases[i].host, json_dumps(x, JSON_COMPACT));
		json_decref(x);
	}
}

/* Names that no rule has go where the running tunnel would ask for them. */
static void names_of_the_whole_machine(void **state)
{
	static const struct {
		const char *host, *way, *upstream;
		bool local;
	} cases[] = {
		{ "www.example.com", "upstream", "two", false },
		{ "8.8.8.8.in-addr.arpa", "upstream", "two", false },
		{ "3.2.1.10.in-addr.arpa", "upstream", "one", false },
		{ "printer.local", "local", "", false },
		{ "here.one.internal", "local", "", false },
		{ "www.example.com", "local", "", true },
	};

	(void)state;
	config.system = true;
	config.default_action = CFG_TO_UPSTREAM;
	config.default_upstream = 1;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		config.dns_public_local = cases[i].local;
		json_t *x = daemon_explain_file(&config, cases[i].host);
		const json_t *dns = json_object_get(x, "dns");

		if (strcmp(str(dns, "way"), cases[i].way) != 0 ||
		    strcmp(str(dns, "upstream"), cases[i].upstream) != 0)
			fail_msg("%s: %s", cases[i].host, json_dumps(x, JSON_COMPACT));
		json_decref(x);
	}
	config.system = config.dns_public_local = false;
	config.default_action = CFG_TO_DIRECT;
	config.default_upstream = 0;
}

/* Rules of names do nothing then. */
static void names_are_off(void **state)
{
	(void)state;
	config.dns_mode = CFG_DNS_OFF;
	json_t *x = daemon_explain_file(&config, "db.one.internal");

	assert_string_equal(str(json_object_get(x, "dns"), "way"), "local");
	json_decref(x);
	config.dns_mode = CFG_DNS_FAKE_IP;
}

static void dns_of(bool fake, bool ipv6)
{
	json_t *x = daemon_explain_file(&config, "db.one.internal");
	const json_t *dns = json_object_get(x, "dns");

	assert_int_equal(json_is_true(json_object_get(dns, "fake")), fake);
	assert_int_equal(json_is_true(json_object_get(dns, "ipv6")), ipv6);
	json_decref(x);
}

static void ipv6_that_nobody_carries(void **state)
{
	json_t *x;

	(void)state;
	config.default_action = CFG_TO_UPSTREAM; /* one: no IPv6 */
	x = daemon_explain_file(&config, "2001:db8::1");
	assert_string_equal(str(json_object_get(x, "rule"), "by"), "no-ipv6");
	assert_string_equal(str(x, "action"), "reject");
	json_decref(x);
	config.default_upstream = 1;
	x = daemon_explain_file(&config, "2001:db8::1");
	assert_string_equal(str(json_object_get(x, "rule"), "by"), "default");
	json_decref(x);
	config.default_upstream = 0;
	config.default_action = CFG_TO_DIRECT;
}

static void modes(void **state)
{
	(void)state;
	config.dns_mode = CFG_DNS_FAKE_IP;
	dns_of(true, true);
	config.dns_mode = CFG_DNS_TUNNEL;
	dns_of(false, true);
	upstreams[1].ipv6 = false;
	dns_of(false, false);
	upstreams[1].ipv6 = true;
	config.dns_mode = CFG_DNS_FAKE_IP;
}

static void neither(void **state)
{
	static const char *const wrong[] = { "",
					     ":",
					     ":80",
					     "a b",
					     "a..b",
					     "x:0",
					     "x:65536",
					     "x:-1",
					     "x:8 ",
					     "x:80:90",
					     "[fd00::1]x",
					     "1.2.3.0/24",
					     "*.one.internal",
					     "\xff\xfe",
					     "[",
					     "]",
					     "[]:1" };
	char longest[700];

	(void)state;
	for (size_t i = 0; i <= ARRAY_LEN(wrong); i++) {
		memset(longest, 'a', sizeof(longest) - 1);
		longest[sizeof(longest) - 1] = 0;
		const char *host = i < ARRAY_LEN(wrong) ? wrong[i] : longest;
		json_t *x = daemon_explain_file(&config, host);

		if (!json_is_false(json_object_get(x, "ok")) || !str(x, "error")[0])
			fail_msg("%s was taken", host);
		json_decref(x);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(where_it_goes),
		cmocka_unit_test(ipv6_that_nobody_carries),
		cmocka_unit_test(names_of_the_whole_machine),
		cmocka_unit_test(names_are_off),
		cmocka_unit_test(modes),
		cmocka_unit_test(neither),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
