// SPDX-License-Identifier: MIT
/*
 * Cases: who may (names, numbers, ranges, unknown users, neighbours joined); policy of each mode before and after it has begun;
 * which resolvers' queries come to us; whether nftables is needed; table 5373 (stack, ranges, learned hosts, thrown resolvers,
 * fail_closed); table 5374 in each mode.
 */
#include "daemon/daemon_policy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/util.h"

static struct net_addr addr(const char *text)
{
	struct net_addr a;

	assert_int_equal(net_addr_parse(&a, text), 0);
	return a;
}

static struct net_prefix prefix(const char *text)
{
	struct net_prefix p;

	assert_int_equal(net_prefix_parse(&p, text), 0);
	return p;
}

/* Return: how many routes of @kind for @text stand in @v */
static size_t count(const struct tun_route *v, size_t n, const char *text, enum tun_route_kind kind)
{
	const struct net_prefix p = prefix(text);
	size_t found = 0;

	for (size_t i = 0; i < n; i++)
		found += v[i].kind == kind && v[i].prefix.len == p.len &&
			 net_addr_eq(&v[i].prefix.addr, &p.addr);
	return found;
}

static void users(void **state)
{
	struct config c = { .access = { "root", "2000-2999", "3000", "1001" },
			    .n_access = 4,
			    .tun_name = "ssm0" };
	struct policy_users u;
	const struct policy_facts facts = { .users = &u, .engaged = true };
	struct tun_policy p;
	const char *unknown;

	(void)state;
	assert_int_equal(daemon_policy_users(&u, &c, &unknown), 0);
	daemon_policy_make(&p, &c, &facts);
	assert_int_equal(p.n_uids, 3); /* 2000-2999 and 3000 are neighbours */
	assert_true(daemon_policy_may(&p, 0));
	assert_false(daemon_policy_may(&p, 1));
	assert_false(daemon_policy_may(&p, 1000));
	assert_true(daemon_policy_may(&p, 1001));
	assert_false(daemon_policy_may(&p, 1999));
	assert_true(daemon_policy_may(&p, 2500));
	assert_true(daemon_policy_may(&p, 3000));
	assert_false(daemon_policy_may(&p, 3001));
	c.n_access = 0;
	assert_int_equal(daemon_policy_users(&u, &c, &unknown), 0);
	daemon_policy_make(&p, &c, &facts);
	assert_true(daemon_policy_may(&p, 12345)); /* access: all */
}

static void users_that_are_none(void **state)
{
	static const char *const wrong[] = {
		"nobody-has-this-name", "12x",	 "9-", "-9", "9-8", "4294967295",
		"99999999999999999999", "1-2-3", ""
	};
	const char *unknown;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		const struct config c = { .access = { "root", wrong[i] }, .n_access = 2 };
		struct policy_users u = { .n = 7 };

		if (daemon_policy_users(&u, &c, &unknown) != ST_ENOENT)
			fail_msg("%s was taken", wrong[i]);
		assert_int_equal(u.n, 7); /* untouched */
		assert_ptr_equal(unknown, wrong[i]);
	}
}

static void modes(void **state)
{
	const struct net_addr former[] = { addr("192.168.1.1"), addr("127.0.0.53"), addr("fe80::1"),
					   addr("2001:db8::1") };
	struct config c = { .system = true, .forward = true, .tun_name = "ssm0" };
	const struct policy_users nobody = { .n = 0 };
	struct policy_facts f = { .users = &nobody,
				  .capture = true,
				  .former = former,
				  .n_former = 4,
				  .own = addr("198.18.0.1"),
				  .stack = { addr("198.18.0.2") } };
	struct tun_policy p, q;

	(void)state;
	daemon_policy_make(&p, &c, &f);
	assert_false(p.system); /* not yet */
	assert_true(p.forward);
	assert_int_equal(p.n_resolvers, 2); /* no rule of ours is for a stub on loopback */
	assert_true(net_addr_eq(&p.resolvers[0], &former[0]));
	assert_true(net_addr_eq(&p.resolvers[1], &former[3]));
	f.engaged = true;
	daemon_policy_make(&q, &c, &f);
	assert_true(q.system);
	assert_int_equal(q.n_resolvers, 0); /* all queries come */
	assert_string_equal(q.device, "ssm0");
	assert_true(net_addr_eq(&q.own, &f.own));
	assert_true(net_addr_eq(&q.stack[0], &f.stack[0]));
	c.system = f.capture = false;
	daemon_policy_make(&q, &c, &f);
	assert_int_equal(q.n_resolvers, 0);
}

static void nftables(void **state)
{
	static const struct {
		bool system, forward;
		int rp_filter;
		enum policy_filter want;
	} cases[] = {
		{ false, false, 0, POLICY_FILTER_NONE },
		{ false, false, 2, POLICY_FILTER_NONE },
		{ false, false, 1, POLICY_FILTER_WISHED },
		{ false, true, 0, POLICY_FILTER_WISHED },
		{ true, false, 0, POLICY_FILTER_WISHED },
		{ true, false, 2, POLICY_FILTER_WISHED },
		{ true, false, 1, POLICY_FILTER_MUST },
		{ true, true, 1, POLICY_FILTER_MUST },
		{ true, false, ST_ESYS, POLICY_FILTER_WISHED },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct config c = { .system = cases[i].system, .forward = cases[i].forward };

		if (daemon_policy_filter(&c, cases[i].rp_filter) != cases[i].want)
			fail_msg("case %zu", i);
	}
}

static void table_of_the_rules(void **state)
{
	const struct rt_rule rule[] = { { .prefix = prefix("10.0.0.0/8"), .action = RT_UPSTREAM },
					{ .prefix = prefix("10.0.0.3/32"), .action = RT_UPSTREAM },
					{ .prefix = prefix("10.9.0.0/16"), .action = RT_DIRECT } };
	const struct rt_kernel_route routes[] = { { .prefix = prefix("10.0.0.0/8") },
						  { .prefix = prefix("10.9.0.0/16"),
						    .away = true } };
	const struct net_addr former[] = { addr("10.0.0.2"), addr("10.0.0.3"), addr("10.9.0.2"),
					   addr("9.9.9.9") };
	const struct net_addr learned[] = { addr("54.1.2.3") };
	struct policy_main m = { .routes = routes,
				 .n_routes = 2,
				 .stack = { addr("198.18.0.2"), { 0 } },
				 .ranges = { prefix("198.18.0.0/16") },
				 .learned = learned,
				 .n_learned = 1,
				 .former = former,
				 .n_former = 4 };
	struct rt_rules *rules;
	struct tun_route *v;

	(void)state;
	assert_int_equal(rt_rules_new(&rules, rule, ARRAY_LEN(rule)), 0);
	m.rules = rules;
	int n = daemon_policy_main(&v, &m);
	assert_int_equal(n, 6);
	assert_int_equal(count(v, (size_t)n, "198.18.0.2", TUN_ROUTE_DEV), 1);
	assert_int_equal(count(v, (size_t)n, "198.18.0.0/16", TUN_ROUTE_DEV), 1);
	assert_int_equal(count(v, (size_t)n, "10.0.0.0/8", TUN_ROUTE_DEV), 1);
	assert_int_equal(count(v, (size_t)n, "10.9.0.0/16", TUN_ROUTE_THROW), 1);
	assert_int_equal(count(v, (size_t)n, "54.1.2.3", TUN_ROUTE_DEV), 1);
	assert_int_equal(count(v, (size_t)n, "10.0.0.2", TUN_ROUTE_THROW), 1);
	free(v);
	m.fail_closed = true;
	n = daemon_policy_main(&v, &m);
	assert_int_equal(n, 6 + 4); /* one beside each that leads into the device */
	assert_int_equal(count(v, (size_t)n, "10.0.0.0/8", TUN_ROUTE_UNREACHABLE), 1);
	assert_int_equal(count(v, (size_t)n, "10.9.0.0/16", TUN_ROUTE_UNREACHABLE), 0);
	free(v);
	rt_rules_free(rules);
}

static void table_of_the_rest(void **state)
{
	const struct tun_policy split = { 0 }, capture = { .n_resolvers = 1 },
				system = { .system = true };
	struct config c = { 0 };
	struct tun_route v[POLICY_ALL_MAX];
	size_t n;

	(void)state;
	assert_int_equal(daemon_policy_all(v, &c, &split, true, true), 0);
	n = daemon_policy_all(v, &c, &capture, false, true);
	assert_int_equal(n, 2);
	assert_int_equal(count(v, n, "0.0.0.0/0", TUN_ROUTE_DEV), 1);
	assert_int_equal(count(v, n, "::/0", TUN_ROUTE_DEV), 1);

	n = daemon_policy_all(v, &c, &system, false, true);
	assert_int_equal(count(v, n, "0.0.0.0/0", TUN_ROUTE_DEV), 1);
	assert_int_equal(count(v, n, "::/0", TUN_ROUTE_DEV), 1); /* the router refuses it */
	assert_int_equal(count(v, n, "::/0", TUN_ROUTE_UNREACHABLE), 0);
	assert_int_equal(count(v, n, "169.254.0.0/16", TUN_ROUTE_THROW), 1);
	assert_int_equal(count(v, n, "fd00:ec2::254", TUN_ROUTE_THROW), 1);
	n = daemon_policy_all(v, &c, &system, true, true);
	assert_int_equal(count(v, n, "::/0", TUN_ROUTE_DEV), 1);
	assert_int_equal(count(v, n, "::/0", TUN_ROUTE_UNREACHABLE), 0);
	n = daemon_policy_all(v, &c, &system, false, false); /* the device takes no IPv6 */
	assert_int_equal(count(v, n, "::/0", TUN_ROUTE_UNREACHABLE), 1);
	assert_int_equal(count(v, n, "::/0", TUN_ROUTE_DEV), 0);
	c.ipv6_direct = true;
	n = daemon_policy_all(v, &c, &system, false, true);
	assert_int_equal(count(v, n, "::/0", TUN_ROUTE_DEV), 0);
	assert_int_equal(count(v, n, "::/0", TUN_ROUTE_UNREACHABLE), 0);
	c.fail_closed = true;
	n = daemon_policy_all(v, &c, &system, true, true);
	assert_int_equal(count(v, n, "0.0.0.0/0", TUN_ROUTE_UNREACHABLE), 1);
	assert_int_equal(count(v, n, "::/0", TUN_ROUTE_UNREACHABLE), 1);
	/* after a crash the machine's own resolvers must answer */
	assert_int_equal(daemon_policy_all(v, &c, &capture, true, true), 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(users),
		cmocka_unit_test(users_that_are_none),
		cmocka_unit_test(modes),
		cmocka_unit_test(nftables),
		cmocka_unit_test(table_of_the_rules),
		cmocka_unit_test(table_of_the_rest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
