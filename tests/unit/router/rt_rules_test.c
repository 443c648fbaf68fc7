// SPDX-License-Identifier: MIT
/*
 * rt_rules_test.c - longest prefix: known cases, both families, and a random comparison with the plain definition
 */
#include "router/rt_rules.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/codec.h"
#include "base/err.h"
#include "base/util.h"

static struct net_prefix prefix(const char *s)
{
	struct net_prefix p;

	assert_int_equal(net_prefix_parse(&p, s), 0);
	return p;
}

static struct net_addr addr(const char *s)
{
	struct net_addr a;

	assert_int_equal(net_addr_parse(&a, s), 0);
	return a;
}

static void finds_the_longest(void **state)
{
	static const struct {
		const char *addr;
		int rule; /* -1: none */
	} cases[] = {
		{ "10.0.0.1", 0 },	  { "10.9.0.1", 1 },	 { "10.9.8.7", 2 },
		{ "10.9.8.8", 1 },	  { "11.0.0.1", -1 },	 { "192.168.1.1", -1 },
		{ "fd00::1", 3 },	  { "fd00:1::1", 4 },	 { "fe80::1", -1 },
		{ "169.254.169.254", 5 }, { "169.254.1.1", -1 }, { "127.0.0.1", -1 },
	};
	const struct rt_rule rules[] = {
		{ .prefix = prefix("10.0.0.0/8"), .line = 1 },
		{ .prefix = prefix("10.9.0.0/16"), .line = 2 },
		{ .prefix = prefix("10.9.8.7/32"), .line = 3 },
		{ .prefix = prefix("fd00::/16"), .line = 4 },
		{ .prefix = prefix("fd00:1::/32"), .line = 5 },
		{ .prefix = prefix("169.254.169.254/32"), .line = 6 },
	};
	struct rt_rules *r;

	(void)state;
	assert_int_equal(rt_rules_new(&r, rules, ARRAY_LEN(rules)), 0);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct net_addr a = addr(cases[i].addr);
		const struct rt_rule *found = rt_rules_find(r, &a);

		assert_int_equal(found ? (int)found->line - 1 : -1, cases[i].rule);
	}
	rt_rules_free(r);
}

/* Loopback, link-local and multicast match a rule for that very address only (decision 13). */
static void local_addresses_need_their_own_rule(void **state)
{
	const struct rt_rule rules[] = {
		{ .prefix = prefix("0.0.0.0/0") },
		{ .prefix = prefix("::/0") },
		{ .prefix = prefix("fe80::5/128"), .line = 7 },
	};
	static const char *const refused[] = {
		"127.0.0.1", "169.254.169.254", "224.0.0.1", "0.1.2.3", "::1", "fe80::1", "ff02::1"
	};
	struct net_addr a;
	struct rt_rules *r;

	(void)state;
	assert_int_equal(rt_rules_new(&r, rules, ARRAY_LEN(rules)), 0);
	for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
		a = addr(refused[i]);
		assert_null(rt_rules_find(r, &a));
	}
	a = addr("8.8.8.8");
	assert_non_null(rt_rules_find(r, &a));
	a = addr("fe80::5");
	assert_int_equal(rt_rules_find(r, &a)->line, 7);
	rt_rules_free(r);
}

static void empty_finds_nothing(void **state)
{
	struct net_addr a = addr("10.0.0.1");
	struct rt_rules *r;
	size_t n = 1;

	(void)state;
	assert_int_equal(rt_rules_new(&r, NULL, 0), 0);
	assert_null(rt_rules_find(r, &a));
	rt_rules_all(r, &n);
	assert_int_equal(n, 0);
	rt_rules_free(r);
	rt_rules_free(NULL);
}

#define RANDOM_RULES 1000U
#define RANDOM_LOOKUPS 20000U

/* Prefixes crowd into few bits so that they nest; the definition is a walk over all of them. */
static void agrees_with_the_definition(void **state)
{
	struct rt_rule *rules = calloc(RANDOM_RULES, sizeof(*rules));
	struct rt_rules *r;

	(void)state;
	assert_non_null(rules);
	srandom(5373);
	for (size_t i = 0; i < RANDOM_RULES; i++) {
		bool six = random() & 1;
		uint8_t len = (uint8_t)(random() % (six ? 65 : 33));
		struct net_prefix p = { .addr = { .family = six ? 6 : 4 }, .len = len };

		for (uint8_t bit = 0; bit < len; bit++)
			if (bit > len / 2 ? random() & 1 : bit % 3 == 0)
				p.addr.b[bit / 8] |= (uint8_t)(0x80U >> (bit % 8));
		rules[i] = (struct rt_rule){ .prefix = p, .line = (uint32_t)i + 1 };
	}
	assert_int_equal(rt_rules_new(&r, rules, RANDOM_RULES), 0);
	for (size_t n = 0; n < RANDOM_LOOKUPS; n++) {
		struct net_addr a = rules[(size_t)random() % RANDOM_RULES].prefix.addr;
		const struct rt_rule *best = NULL;

		a.b[(size_t)random() % (a.family == 6 ? 8 : 4)] ^= (uint8_t)(random() & 0x13);
		if (net_addr_is_local_only(&a))
			continue;
		for (size_t i = 0; i < RANDOM_RULES; i++)
			if (net_prefix_has(&rules[i].prefix, &a) &&
			    (!best || rules[i].prefix.len > best->prefix.len))
				best = &rules[i];
		const struct rt_rule *found = rt_rules_find(r, &a);
		assert_int_equal(found ? found->line : 0, best ? best->line : 0);
	}
	rt_rules_free(r);
	free(rules);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_the_longest),
		cmocka_unit_test(local_addresses_need_their_own_rule),
		cmocka_unit_test(empty_finds_nothing),
		cmocka_unit_test(agrees_with_the_definition),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
