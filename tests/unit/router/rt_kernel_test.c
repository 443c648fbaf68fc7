// SPDX-License-Identifier: MIT
/* rt_kernel_test.c - rules and local routes to the routes of our table, case by case as text */
#include "router/rt_kernel.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/util.h"

#define RULES_MAX 8U
#define LOCALS_MAX 8U

struct kernel_case {
	const char *name;
	/* "10.0.0.0/8 up", "… direct", "… override" */
	const char *rules[RULES_MAX];
	const char *locals[LOCALS_MAX];
	const char *routes;	/* "10.0.0.0/8 dev, 10.9.0.0/16 throw" */
	const char *collisions; /* "rule/local:who" */
};

static const struct kernel_case cases[] = {
	{ "one rule", { "10.0.0.0/8 up" }, { NULL }, "10.0.0.0/8 dev", "" },
	{ "a rule inside one of the same kind adds nothing",
	  { "10.0.0.0/8 up", "10.1.0.0/16 up" },
	  { NULL },
	  "10.0.0.0/8 dev",
	  "" },
	{ "direct inside is carved out",
	  { "10.0.0.0/8 up", "10.9.0.0/16 direct" },
	  { NULL },
	  "10.0.0.0/8 dev, 10.9.0.0/16 throw",
	  "" },
	{ "and back in",
	  { "10.0.0.0/8 up", "10.9.0.0/16 direct", "10.9.1.0/24 up" },
	  { NULL },
	  "10.0.0.0/8 dev, 10.9.0.0/16 throw, 10.9.1.0/24 dev",
	  "" },
	{ "direct alone needs no route", { "10.9.0.0/16 direct" }, { NULL }, "", "" },
	{ "a longer local route is thrown",
	  { "10.0.0.0/8 up" },
	  { "10.3.0.0/24" },
	  "10.0.0.0/8 dev, 10.3.0.0/24 throw",
	  "10.0.0.0/8/10.3.0.0/24:local" },
	{ "a local route outside is nothing to us",
	  { "10.0.0.0/8 up" },
	  { "192.168.0.0/24" },
	  "10.0.0.0/8 dev",
	  "" },
	{ "a shorter local route is nothing to us",
	  { "10.1.0.0/16 up" },
	  { "10.0.0.0/8" },
	  "10.1.0.0/16 dev",
	  "" },
	{ "equal prefixes: the local one wins",
	  { "10.0.0.0/8 up" },
	  { "10.0.0.0/8" },
	  "",
	  "10.0.0.0/8/10.0.0.0/8:local" },
	{ "equal prefixes inside a rule: thrown",
	  { "10.0.0.0/8 up", "10.1.0.0/16 up" },
	  { "10.1.0.0/16" },
	  "10.0.0.0/8 dev, 10.1.0.0/16 throw",
	  "10.1.0.0/16/10.1.0.0/16:local" },
	{ "override reverses it",
	  { "10.0.0.0/8 override" },
	  { "10.0.0.0/8" },
	  "10.0.0.0/8 dev",
	  "10.0.0.0/8/10.0.0.0/8:rule" },
	{ "both families",
	  { "10.0.0.0/8 up", "fd00::/8 up" },
	  { "fd00:1::/64" },
	  "10.0.0.0/8 dev, fd00::/8 dev, fd00:1::/64 throw, fd00:ec2::254/128 throw",
	  "fd00::/8/fd00:1::/64:local" },
	{ "a local route within a local route is thrown once",
	  { "10.0.0.0/8 up" },
	  { "10.3.0.0/16", "10.3.4.0/24" },
	  "10.0.0.0/8 dev, 10.3.0.0/16 throw",
	  "10.0.0.0/8/10.3.0.0/16:local" },
	{ "what is never routed is thrown back",
	  { "160.0.0.0/4 up" },
	  { NULL },
	  "160.0.0.0/4 dev, 169.254.0.0/16 throw",
	  "" },
	{ "but for the very address",
	  { "160.0.0.0/4 up", "169.254.169.253/32 up" },
	  { NULL },
	  "160.0.0.0/4 dev, 169.254.0.0/16 throw, 169.254.169.253/32 dev",
	  "" },
	{ "a rule for link-local as a whole gets nothing",
	  { "169.254.0.0/16 up" },
	  { NULL },
	  "",
	  "" },
	{ "IPv6 has its own",
	  { "fc00::/6 up" },
	  { NULL },
	  "fc00::/6 dev, ff00::/8 throw, fe80::/10 throw, fd00:ec2::254/128 throw",
	  "" },
	{ "a rule within a local route within a rule",
	  { "10.0.0.0/8 up", "10.3.4.0/24 up" },
	  { "10.3.0.0/16" },
	  "10.0.0.0/8 dev, 10.3.0.0/16 throw, 10.3.4.0/24 dev",
	  "10.0.0.0/8/10.3.0.0/16:local" },
};

static struct rt_rule parse_rule(const char *text)
{
	struct rt_rule rule = { 0 };
	char prefix[64], kind[16];

	assert_int_equal(sscanf(text, "%63s %15s", prefix, kind), 2);
	assert_int_equal(net_prefix_parse(&rule.prefix, prefix), 0);
	rule.action = strcmp(kind, "direct") == 0 ? RT_DIRECT : RT_UPSTREAM;
	rule.override = strcmp(kind, "override") == 0;
	return rule;
}

static void append(char *out, size_t cap, const char *text)
{
	size_t used = strlen(out);

	snprintf(out + used, cap - used, "%s%s", used ? ", " : "", text);
}

static void run_case(const struct kernel_case *c)
{
	struct rt_rule rules[RULES_MAX];
	struct net_prefix locals[LOCALS_MAX];
	struct rt_collision collisions[LOCALS_MAX];
	size_t n_rules = 0, n_locals = 0, n_routes, n_collisions = LOCALS_MAX;
	char got[512] = "", got_collisions[512] = "", line[160], a[NET_PREFIX_STR],
	     b[NET_PREFIX_STR];
	struct rt_kernel_route *routes;
	struct rt_rules *table;

	while (n_rules < RULES_MAX && c->rules[n_rules]) {
		rules[n_rules] = parse_rule(c->rules[n_rules]);
		n_rules++;
	}
	while (n_locals < LOCALS_MAX && c->locals[n_locals]) {
		assert_int_equal(net_prefix_parse(&locals[n_locals], c->locals[n_locals]), 0);
		n_locals++;
	}
	assert_int_equal(rt_rules_new(&table, rules, n_rules), 0);
	assert_int_equal(rt_kernel_routes(table, locals, n_locals, &routes, &n_routes, collisions,
					  &n_collisions),
			 0);
	for (size_t i = 0; i < n_routes; i++) {
		snprintf(line, sizeof(line), "%s %s", net_prefix_str(a, &routes[i].prefix),
			 routes[i].away ? "throw" : "dev");
		append(got, sizeof(got), line);
	}
	for (size_t i = 0; i < n_collisions; i++) {
		snprintf(line, sizeof(line), "%s/%s:%s",
			 net_prefix_str(a, &collisions[i].rule->prefix),
			 net_prefix_str(b, &locals[collisions[i].local]),
			 collisions[i].local_wins ? "local" : "rule");
		append(got_collisions, sizeof(got_collisions), line);
	}
	if (strcmp(got, c->routes) != 0 || strcmp(got_collisions, c->collisions) != 0)
		print_error("case: %s\n", c->name);
	assert_string_equal(got, c->routes);
	assert_string_equal(got_collisions, c->collisions);
	free(routes);
	rt_rules_free(table);
}

static void all_cases(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		run_case(&cases[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(all_cases) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
