// SPDX-License-Identifier: MIT
/* rt_kernel_test.c - rules and local routes to the routes of our table, case by case as text */
#include "router/rt_kernel.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

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
	{ "nor does one for a part of it",
	  { "169.254.128.0/17 up", "160.0.0.0/4 up" },
	  { NULL },
	  "160.0.0.0/4 dev, 169.254.0.0/16 throw",
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

static void run_case(const struct kernel_case *c, const struct net_addr *resolvers,
		     size_t n_resolvers)
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
	const struct rt_kernel_opts opts = { .rules = table,
					     .locals = locals,
					     .n_locals = n_locals,
					     .resolvers = resolvers,
					     .n_resolvers = n_resolvers };
	assert_int_equal(rt_kernel_make(&opts, &routes, &n_routes, collisions, &n_collisions), 0);
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
		run_case(&cases[i], NULL, 0);
}

/* ---- resolvers that were there before */

static const struct kernel_case resolver_cases[] = {
	{ "inside a prefix",
	  { "10.0.0.0/8 up" },
	  { NULL },
	  "10.0.0.0/8 dev, 10.0.0.2/32 throw",
	  "" },
	{ "outside", { "172.16.0.0/12 up" }, { NULL }, "172.16.0.0/12 dev", "" },
	{ "named by a rule",
	  { "10.0.0.0/8 up", "10.0.0.2/32 up" },
	  { NULL },
	  "10.0.0.0/8 dev",
	  "" },
	{ "in what is thrown back anyway",
	  { "10.0.0.0/8 up" },
	  { "10.0.0.0/24" },
	  "10.0.0.0/8 dev, 10.0.0.0/24 throw",
	  "10.0.0.0/8/10.0.0.0/24:local" },
	{ "with a local route of its own",
	  { "10.0.0.0/8 up" },
	  { "10.0.0.2/32" },
	  "10.0.0.0/8 dev, 10.0.0.2/32 throw",
	  "10.0.0.0/8/10.0.0.2/32:local" },
};

static void former_resolvers(void **state)
{
	static const struct net_addr resolver = { .family = 4, .b = { 10, 0, 0, 2 } };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(resolver_cases); i++)
		run_case(&resolver_cases[i], &resolver, 1);
}

/* Two rules of one prefix, of which the first counts, do not hide the local route beside them. */
static void a_rule_written_twice(void **state)
{
	static const struct kernel_case twice = { "twice",
						  { "10.0.0.0/8 up", "10.0.0.0/8 up" },
						  { "10.0.0.0/8" },
						  "",
						  "10.0.0.0/8/10.0.0.0/8:local" };

	(void)state;
	run_case(&twice, NULL, 0);
}

/* ---- against a scan that knows no tricks */

#define RANDOM_RULES 40U
#define RANDOM_LOCALS 20U
#define RANDOM_ROUNDS 300U

static struct net_prefix random_prefix(void)
{
	static const uint8_t lens4[] = { 4, 8, 12, 14, 15, 16, 16, 17, 20, 32 };
	struct net_prefix p = { .addr.family = 4 }, clean;
	char text[NET_PREFIX_STR];

	/* Few bits vary, so that prefixes hold each other and are equal often. */
	p.addr.b[0] = (uint8_t)(rand() % 4 ? 10 : rand() % 256);
	p.addr.b[1] = (uint8_t)(rand() % 4);
	p.addr.b[2] = (uint8_t)(rand() % 2 * 128);
	p.addr.b[3] = (uint8_t)(rand() % 2);
	p.len = lens4[(size_t)rand() % ARRAY_LEN(lens4)];
	if (net_prefix_parse(&clean, net_prefix_str(text, &p)) < 0)
		assert_true(clean.len == p.len); /* host bits were cleared */
	return clean;
}

/* Into the device? By the longest of all prefixes that hold @a; of equal ones: never, rule, local. */
static bool wants_device(const struct rt_rule *rules, size_t n_rules,
			 const struct net_prefix *locals, size_t n_locals, const struct net_addr *a)
{
	int best = -1, local = -1;
	const struct rt_rule *rule = NULL;

	for (size_t i = 0; i < n_rules; i++)
		if (net_prefix_has(&rules[i].prefix, a) && rules[i].prefix.len > best) {
			best = rules[i].prefix.len;
			rule = &rules[i];
		}
	for (size_t i = 0; i < n_locals; i++)
		if (net_prefix_has(&locals[i], a) && locals[i].len > local)
			local = locals[i].len;
	if (!rule || rule->action == RT_DIRECT || (net_addr_is_local_only(a) && best < 32))
		return false;
	return local < best || (local == best && rule->override);
}

static bool goes_to_device(const struct rt_kernel_route *routes, size_t n, const struct net_addr *a)
{
	const struct rt_kernel_route *best = NULL;

	for (size_t i = 0; i < n; i++)
		if (net_prefix_has(&routes[i].prefix, a) &&
		    (!best || routes[i].prefix.len > best->prefix.len))
			best = &routes[i];
	return best && !best->away;
}

/* Each end of each prefix, and what lies just beside it. */
static void check_around(const struct net_prefix *p, const struct rt_rule *rules, size_t n_rules,
			 const struct net_prefix *locals, size_t n_locals,
			 const struct rt_kernel_route *routes, size_t n_routes)
{
	const uint32_t base = be32_get(p->addr.b), size = p->len ? 1U << (32 - p->len) : 0;
	const uint32_t at[] = { base, base - 1, base + size - 1, base + size };

	for (size_t i = 0; i < ARRAY_LEN(at); i++) {
		struct net_addr a = { .family = 4 };

		be32_put(a.b, at[i]);
		assert_int_equal(goes_to_device(routes, n_routes, &a),
				 wants_device(rules, n_rules, locals, n_locals, &a));
	}
}

/* No route can be left out: without it the closest one around it says otherwise. */
static void check_least(const struct rt_kernel_route *routes, size_t n)
{
	for (size_t i = 0; routes && i < n; i++) {
		const struct rt_kernel_route *outer = NULL;

		for (size_t j = 0; j < n; j++)
			if (j != i && net_prefix_covers(&routes[j].prefix, &routes[i].prefix) &&
			    (!outer || routes[j].prefix.len > outer->prefix.len))
				outer = &routes[j];
		assert_true((outer ? outer->away : true) != routes[i].away);
	}
}

static void random_round(void)
{
	struct rt_rule rules[RANDOM_RULES];
	struct net_prefix locals[RANDOM_LOCALS];
	struct rt_collision clashes[RANDOM_LOCALS];
	size_t n_routes, n_clashes = RANDOM_LOCALS;
	struct rt_kernel_route *routes;
	struct rt_rules *table;

	for (size_t i = 0; i < RANDOM_RULES; i++)
		rules[i] = (struct rt_rule){ .prefix = random_prefix(),
					     .action = rand() % 3 ? RT_UPSTREAM : RT_DIRECT,
					     .override = rand() % 4 == 0 };
	for (size_t i = 0; i < RANDOM_LOCALS; i++)
		locals[i] = random_prefix();
	assert_int_equal(rt_rules_new(&table, rules, RANDOM_RULES), 0);
	assert_int_equal(rt_kernel_routes(table, locals, RANDOM_LOCALS, &routes, &n_routes, clashes,
					  &n_clashes),
			 0);
	for (size_t i = 0; i < RANDOM_RULES; i++)
		check_around(&rules[i].prefix, rules, RANDOM_RULES, locals, RANDOM_LOCALS, routes,
			     n_routes);
	for (size_t i = 0; i < RANDOM_LOCALS; i++)
		check_around(&locals[i], rules, RANDOM_RULES, locals, RANDOM_LOCALS, routes,
			     n_routes);
	check_least(routes, n_routes);
	for (size_t i = 0; i < n_clashes; i++)
		assert_true(net_prefix_covers(&clashes[i].rule->prefix, &locals[clashes[i].local]));
	free(routes);
	rt_rules_free(table);
}

static void random_rules_against_a_scan(void **state)
{
	(void)state;
	srand(5373);
	for (size_t i = 0; i < RANDOM_ROUNDS; i++)
		random_round();
}

/* As many as the kernel's table takes: some 30 ms of work, and several seconds if each prefix were compared with all before it. */
static void thousands_of_prefixes(void **state)
{
	enum { MANY = 16000 };
	struct rt_rule *rules = calloc(MANY, sizeof(*rules));
	struct net_prefix *locals = calloc(MANY, sizeof(*locals));
	struct rt_kernel_route *routes;
	struct rt_rules *table;
	size_t n_routes, n = MANY;
	struct rt_collision *clashes = calloc(MANY, sizeof(*clashes));

	(void)state;
	for (uint32_t i = 0; i < MANY; i++) {
		rules[i].prefix = (struct net_prefix){ .addr.family = 4, .len = 24 };
		be32_put(rules[i].prefix.addr.b, 0x0a000000U + (i << 9));
		locals[i] = rules[i].prefix;
		locals[i].len = 26;
	}
	assert_int_equal(rt_rules_new(&table, rules, MANY), 0);
	const clock_t before = clock();
	assert_int_equal(rt_kernel_routes(table, locals, MANY, &routes, &n_routes, clashes, &n), 0);
	assert_true(clock() - before < CLOCKS_PER_SEC);
	assert_int_equal(n_routes, 2 * MANY);
	assert_int_equal(n, MANY);
	free(routes);
	free(rules);
	free(locals);
	free(clashes);
	rt_rules_free(table);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_cases),
		cmocka_unit_test(former_resolvers),
		cmocka_unit_test(a_rule_written_twice),
		cmocka_unit_test(random_rules_against_a_scan),
		cmocka_unit_test(thousands_of_prefixes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
