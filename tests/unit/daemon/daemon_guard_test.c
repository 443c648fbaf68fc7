// SPDX-License-Identifier: MIT
/*
 * Cases: what collides (rules with local routes, rules of flags too, our own range with a VPN that comes later, system mode with half of the world);
 * one line each, told once, again when it has changed or come back; more at once than are told.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/log.h"
#include "daemon/daemon_internal.h"

#define MANY 40U

static char lines[64][512];
static size_t n_lines;

static void take_line(void *arg, enum log_level level, const char *line)
{
	(void)arg;
	if (level == LOG_WARN && n_lines < ARRAY_LEN(lines))
		snprintf(lines[n_lines++], sizeof(lines[0]), "%s", line);
}

static struct net_prefix prefix(const char *text)
{
	struct net_prefix p;

	assert_int_equal(net_prefix_parse(&p, text), 0);
	return p;
}

static struct tun_main_route local(const char *text, const char *ifname)
{
	struct tun_main_route r = { .prefix = prefix(text) };

	snprintf(r.ifname, sizeof(r.ifname), "%s", ifname);
	return r;
}

static struct config config = { .file = "x.yaml" };

/* Return: how many lines were logged */
static size_t tell(struct daemon *d, struct guard_input *in)
{
	n_lines = 0;
	in->config = &config;
	log_tee(take_line, NULL);
	daemon_guard_tell(d, in);
	log_tee(NULL, NULL);
	return n_lines;
}

static void told_once_and_again_when_it_changes(void **state)
{
	const struct rt_rule rule = { .prefix = prefix("10.0.0.0/8"), .line = 7 };
	struct tun_main_route routes[] = { local("10.5.0.0/16", "docker0") };
	struct rt_collision c = { .rule = &rule, .local = 0, .local_wins = true };
	struct guard_input in = { .rules = &c, .n_rules = 1, .main_routes = routes, .n_main = 1 };
	struct daemon d = { 0 };

	(void)state;
	assert_int_equal(tell(&d, &in), 1);
	assert_non_null(strstr(lines[0], "x.yaml:7: 10.0.0.0/8 collides with 10.5.0.0/16 on "
					 "docker0: the local network keeps it"));
	assert_int_equal(tell(&d, &in), 0);
	c.local_wins = false;
	assert_int_equal(tell(&d, &in), 1);
	assert_non_null(strstr(lines[0], "the rule has override"));
	routes[0] = local("10.5.0.0/16", "wg0");
	assert_int_equal(tell(&d, &in), 1);
	in.n_rules = 0;
	assert_int_equal(tell(&d, &in), 0);
	assert_int_equal(d.n_collisions, 0);
	in.n_rules = 1;
	assert_int_equal(tell(&d, &in), 1); /* it came back */
	free(d.collisions);
}

static void our_own_range(void **state)
{
	struct tun_main_route routes[] = { local("198.18.0.0/15", "wg0"),
					   local("128.0.0.0/1", "tun0"),
					   local("198.18.7.0/24", "tap0"),
					   local("10.0.0.0/8", "eth0") };
	struct guard_input in = { .range = prefix("198.18.0.0/16"),
				  .main_routes = routes,
				  .n_main = ARRAY_LEN(routes) };
	struct daemon d = { 0 };

	(void)state;
	assert_int_equal(tell(&d, &in),
			 2); /* half of the world is a default route, and lies behind ours */
	assert_non_null(strstr(lines[0], "198.18.0.0/16 collides with 198.18.0.0/15 on wg0"));
	assert_non_null(strstr(lines[1], "198.18.7.0/24 on tap0"));
	free(d.collisions);
}

static void system_mode_and_another_vpn(void **state)
{
	struct tun_main_route routes[] = {
		local("0.0.0.0/1", "tun0"), local("128.0.0.0/1", "tun0"),
		local("2000::/3", "tun0"),  local("192.168.1.0/24", "eth0"),
		local("ff00::/8", "eth0"),  local("224.0.0.0/4", "eth0")
	};
	struct guard_input in = { .main_routes = routes, .n_main = ARRAY_LEN(routes) };
	struct daemon d = { 0 };

	(void)state;
	assert_int_equal(tell(&d, &in), 0);
	config.system = true;
	assert_int_equal(tell(&d, &in), 3);
	assert_non_null(strstr(lines[0], "wins over system mode"));
	config.system = false;
	free(d.collisions);
}

/* A rule of --route has no line; what is said of our own addresses does not hold for it. */
static void a_rule_of_a_flag(void **state)
{
	const struct rt_rule rule = { .prefix = prefix("10.0.0.0/8") };
	struct tun_main_route routes[] = { local("10.5.0.0/16", "docker0") };
	struct rt_collision c = { .rule = &rule, .local = 0, .local_wins = true };
	struct guard_input in = { .rules = &c, .n_rules = 1, .main_routes = routes, .n_main = 1 };
	struct daemon d = { 0 };

	(void)state;
	assert_int_equal(tell(&d, &in), 1);
	assert_non_null(strstr(lines[0], "flags: 10.0.0.0/8 collides with 10.5.0.0/16 on docker0: "
					 "the local network keeps it"));
	free(d.collisions);
}

static void many_at_once(void **state)
{
	static struct rt_rule rules[MANY];
	static struct rt_collision c[MANY];
	static struct tun_main_route routes[MANY];
	struct guard_input in = {
		.rules = c, .n_rules = MANY, .main_routes = routes, .n_main = MANY
	};
	struct daemon d = { 0 };
	char text[NET_PREFIX_STR];

	(void)state;
	for (unsigned i = 0; i < MANY; i++) {
		snprintf(text, sizeof(text), "10.%u.0.0/16", i);
		rules[i] = (struct rt_rule){ .prefix = prefix(text), .line = i + 1 };
		routes[i] = local(text, "eth0");
		c[i] = (struct rt_collision){ .rule = &rules[i], .local = i, .local_wins = true };
	}
	assert_int_equal(tell(&d, &in), 16 + 1);
	assert_non_null(strstr(lines[16], "24 collisions more"));
	assert_int_equal(d.n_collisions, MANY);
	assert_int_equal(tell(&d, &in), 0);
	free(d.collisions);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(told_once_and_again_when_it_changes),
		cmocka_unit_test(a_rule_of_a_flag),
		cmocka_unit_test(our_own_range),
		cmocka_unit_test(system_mode_and_another_vpn),
		cmocka_unit_test(many_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
