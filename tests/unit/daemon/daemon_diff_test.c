// SPDX-License-Identifier: MIT
/*
 * Cases: each setting of an upstream alone; what may change under way (resolver, ipv6); each fixed key; upstreams added, changed and
 * removed; routes as a set, their places, their order with match_order: first; each setting that a reload puts in force; indices of
 * upstreams that move while their names stay.
 */
#include "daemon/daemon_diff.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/util.h"

/* A configuration that a case changes. */
struct stage {
	struct cfg_upstream upstreams[3];
	struct cfg_route routes[4];
	struct config config;
};

static void upstream_init(struct cfg_upstream *u, const char *name)
{
	*u = (struct cfg_upstream){ .name = name,
				    .targets = { "i-1", "i-2" },
				    .n_targets = 2,
				    .aws = { .profile = "p", .region = "eu-west-1" },
				    .ssh = { .user = "me", .key = "/k", .port = 22 },
				    .sessions_min = 1,
				    .sessions_max = 8,
				    .document = "AWS-StartSSHSession",
				    .place = { .line = 3 } };
	assert_int_equal(net_addr_parse(&u->resolver.addr, "169.254.169.253"), 0);
	u->resolver.port = 53;
}

static void stage_init(struct stage *s)
{
	memset(s, 0, sizeof(*s));
	upstream_init(&s->upstreams[0], "a");
	upstream_init(&s->upstreams[1], "b");
	s->routes[0] = (struct cfg_route){ .action = CFG_TO_UPSTREAM, .upstream = 0 };
	assert_int_equal(net_prefix_parse(&s->routes[0].prefix, "10.0.0.0/8"), 0);
	s->routes[1] = (struct cfg_route){ .match = CFG_MATCH_VPC,
					   .action = CFG_TO_UPSTREAM,
					   .upstream = 1 };
	s->routes[2] = (struct cfg_route){ .match = CFG_MATCH_NAME,
					   .name = "*.a.internal",
					   .action = CFG_TO_UPSTREAM,
					   .order = 2 };
	s->routes[3] = (struct cfg_route){
		.match = CFG_MATCH_NAME, .name = "x.a.internal", .action = CFG_TO_REJECT, .order = 3
	};
	s->config = (struct config){ .upstreams = s->upstreams,
				     .n_upstreams = 2,
				     .routes = s->routes,
				     .n_routes = 4,
				     .tun_name = "ssm0",
				     .access = { "me" },
				     .n_access = 1,
				     .dns_suffixes = { "corp" },
				     .n_dns_suffixes = 1,
				     .limits = { .flows = 4096, .vpc_refresh_ms = 1000 } };
}

static struct diff_counts diff(const struct stage *a, const struct stage *b)
{
	struct diff_counts out;

	assert_int_equal(daemon_diff_counts(&out, &a->config, &b->config), 0);
	return out;
}

typedef void change_fn(struct stage *s);

#define CHANGE(name, statement)                                                                    \
	static void name(struct stage *s)                                                          \
	{                                                                                          \
		statement;                                                                         \
	}

CHANGE(u_target, s->upstreams[1].targets[1] = "i-3")
CHANGE(u_fewer, s->upstreams[1].n_targets = 1)
CHANGE(u_profile, s->upstreams[1].aws.profile = NULL)
CHANGE(u_region, s->upstreams[1].aws.region = "us-east-1")
CHANGE(u_secret, s->upstreams[1].aws.secret_key = "s")
CHANGE(u_token, s->upstreams[1].aws.session_token = "s")
CHANGE(u_access_key, s->upstreams[1].aws.access_key = "s")
CHANGE(u_endpoint, s->upstreams[1].aws.endpoint_url = "https://x")
CHANGE(u_data, s->upstreams[1].aws.data_endpoint = "x")
CHANGE(u_ca, s->upstreams[1].aws.ca_bundle = "/ca")
CHANGE(u_user, s->upstreams[1].ssh.user = "you")
CHANGE(u_key, s->upstreams[1].ssh.key = NULL)
CHANGE(u_connect, s->upstreams[1].ssh.instance_connect = true)
CHANGE(u_port, s->upstreams[1].ssh.port = 2222)
CHANGE(u_host_key, s->upstreams[1].ssh.host_key = CFG_HOST_KEY_STRICT)
CHANGE(u_pin, s->upstreams[1].ssh.fingerprint = "SHA256:x")
CHANGE(u_min, s->upstreams[1].sessions_min = 2)
CHANGE(u_max, s->upstreams[1].sessions_max = 2)
CHANGE(u_pace, s->upstreams[1].pace_per_s = 2)
CHANGE(u_pace_set, s->upstreams[1].pace_set = true)
CHANGE(u_document, s->upstreams[1].document = "Mine")
CHANGE(u_reason, s->upstreams[1].reason = "why")

static void each_setting_of_an_upstream(void **state)
{
	static change_fn *const changes[] = {
		u_target,     u_fewer,	  u_profile,  u_region, u_secret, u_token,
		u_access_key, u_endpoint, u_data,     u_ca,	u_user,	  u_key,
		u_connect,    u_port,	  u_host_key, u_pin,	u_min,	  u_max,
		u_pace,	      u_pace_set, u_document, u_reason,
	};
	struct stage a, b;

	(void)state;
	stage_init(&a);
	for (size_t i = 0; i < ARRAY_LEN(changes); i++) {
		stage_init(&b);
		assert_true(daemon_diff_upstream(&a.upstreams[1], &b.upstreams[1]));
		changes[i](&b);
		if (daemon_diff_upstream(&a.upstreams[1], &b.upstreams[1]) ||
		    diff(&a, &b).changed != 1 || diff(&b, &a).changed != 1)
			fail_msg("change %zu is not seen", i);
	}
}

CHANGE(s_resolver, s->upstreams[0].resolver.port = 54)
CHANGE(s_ipv6, s->upstreams[0].ipv6 = true)
CHANGE(s_order, s->config.match_order = CFG_ORDER_FIRST)
CHANGE(s_default, s->config.default_action = CFG_TO_REJECT)
CHANGE(s_system, s->config.system = true)
CHANGE(s_ipv6_direct, s->config.ipv6_direct = true)
CHANGE(s_forward, s->config.forward = true)
CHANGE(s_closed, s->config.fail_closed = true)
CHANGE(s_access, s->config.access[0] = "you")
CHANGE(s_all, s->config.n_access = 0)
CHANGE(s_dns, s->config.dns_mode = CFG_DNS_OFF)
CHANGE(s_manager, s->config.dns_manager = CFG_MANAGER_NONE)
CHANGE(s_public, s->config.dns_public_local = true)
CHANGE(s_rebind, s->config.dns_rebind_block = true)
CHANGE(s_suffix, s->config.dns_suffixes[0] = "corq")
CHANGE(s_refresh, s->config.limits.vpc_refresh_ms = 2000)

static void each_other_setting(void **state)
{
	static change_fn *const changes[] = {
		s_resolver, s_ipv6,   s_order,	s_default, s_system, s_ipv6_direct,
		s_forward,  s_closed, s_access, s_all,	   s_dns,    s_manager,
		s_public,   s_rebind, s_suffix, s_refresh,
	};
	struct stage a, b;

	(void)state;
	stage_init(&a);
	for (size_t i = 0; i < ARRAY_LEN(changes); i++) {
		struct diff_counts d;

		stage_init(&b);
		changes[i](&b);
		d = diff(&a, &b);
		if (!d.settings || daemon_diff_none(&d) || d.added || d.changed || d.removed)
			fail_msg("change %zu is not seen, or as something else", i);
	}
}

static void what_can_not_change(void **state)
{
	const char *keys[DIFF_FIXED_MAX];
	struct stage a, b;

	(void)state;
	stage_init(&a);
	stage_init(&b);
	assert_int_equal(daemon_diff_fixed(keys, &a.config, &b.config), 0);
	b.config.tun_name = "ssm1";
	assert_int_equal(daemon_diff_fixed(keys, &a.config, &b.config), 1);
	assert_string_equal(keys[0], "tun.name");
	b.config.run_as = "x";
	b.config.limits.flows = 1;
	b.config.limits.connect_budget_ms = 1;
	b.config.limits.pending_opens = 1;
	b.config.limits.memory_bytes = 1;
	assert_int_equal(daemon_diff_fixed(keys, &a.config, &b.config), 6);
}

static void places_do_not_count(void **state)
{
	struct diff_counts d;
	struct stage a, b;

	(void)state;
	stage_init(&a);
	stage_init(&b);
	for (size_t i = 0; i < 4; i++)
		b.routes[i].place.line = 100 + (uint32_t)i;
	b.upstreams[0].place.line = 90;
	d = diff(&a, &b);
	assert_true(daemon_diff_none(&d));
}

/* The file names its upstreams in another order: all indices differ, and nothing has changed. */
static void indices_do_not_count(void **state)
{
	struct diff_counts d;
	struct stage a, b;

	(void)state;
	stage_init(&a);
	stage_init(&b);
	upstream_init(&b.upstreams[0], "b");
	upstream_init(&b.upstreams[1], "a");
	for (size_t i = 0; i < 3; i++)
		b.routes[i].upstream = 1 - b.routes[i].upstream;
	a.config.default_action = b.config.default_action = CFG_TO_UPSTREAM;
	b.config.default_upstream = 1;
	d = diff(&a, &b);
	assert_true(daemon_diff_none(&d));
	b.config.default_upstream = 0;
	assert_true(diff(&a, &b).settings);
}

static void upstreams_come_and_go(void **state)
{
	struct diff_counts d;
	struct stage a, b;

	(void)state;
	stage_init(&a);
	stage_init(&b);
	upstream_init(&b.upstreams[1], "c");
	upstream_init(&b.upstreams[2], "d");
	b.config.n_upstreams = 3;
	d = diff(&a, &b);
	assert_int_equal(d.added, 2);
	assert_int_equal(d.removed, 1);
	assert_int_equal(d.changed, 0);
	assert_int_equal(d.routes_added, 1); /* the VPC of another upstream */
	assert_int_equal(d.routes_removed, 1);
	assert_non_null(daemon_diff_find(&b.config, "d"));
	assert_null(daemon_diff_find(&b.config, "b"));
}

static void routes_are_a_set(void **state)
{
	struct diff_counts d;
	struct cfg_route swap;
	struct stage a, b;

	(void)state;
	stage_init(&a);
	stage_init(&b);
	swap = b.routes[2];
	b.routes[2] = b.routes[3];
	b.routes[3] = swap;
	d = diff(&a, &b);
	assert_true(daemon_diff_none(&d));
	a.config.match_order = b.config.match_order = CFG_ORDER_FIRST;
	assert_true(diff(&a, &b).settings); /* there the first one decides */
	stage_init(&a);
	stage_init(&b);
	b.routes[0].override = true;
	b.routes[3].name = "y.a.internal";
	b.config.n_routes = 4;
	d = diff(&a, &b);
	assert_int_equal(d.routes_added, 2);
	assert_int_equal(d.routes_removed, 2);
	b.config.n_routes = 0;
	d = diff(&a, &b);
	assert_int_equal(d.routes_removed, 4);
	assert_int_equal(d.routes_added, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_setting_of_an_upstream),
		cmocka_unit_test(each_other_setting),
		cmocka_unit_test(what_can_not_change),
		cmocka_unit_test(places_do_not_count),
		cmocka_unit_test(indices_do_not_count),
		cmocka_unit_test(upstreams_come_and_go),
		cmocka_unit_test(routes_are_a_set),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
