// SPDX-License-Identifier: MIT
/*
 * Cases: which rule an address finds where the file and several VPCs know it: the file's own before an equal one, the longest one
 * whoever it is from, a VPC's own block before a peer's equal one, the file's order else; override and line of the vpc rule;
 * nothing known yet; more than all rules may have. Names: the file's patterns and a VPC's zones, in both orders, zones that are no
 * names; slots in place of indices; what system mode makes of the defaults.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/log.h"
#include "daemon/daemon_internal.h"

#define A 0U /* upstreams */
#define B 1U

/* Two upstreams, each with a VPC: @own and @routed are filled by a case. */
struct stage {
	struct cfg_route routes[8];
	struct config config;
	struct vpc_rule vpcs[2];
	struct aws_vpc found[2];
	struct upstream upstreams[RT_UPSTREAMS_MAX];
	struct daemon daemon;
	struct rt_table table;
	char *zones[2][4];
};

static struct net_prefix prefix(const char *text)
{
	struct net_prefix p;

	assert_int_equal(net_prefix_parse(&p, text), 0);
	return p;
}

static void learn(struct net_prefix **v, size_t *n, const char *text)
{
	*v = realloc(*v, (*n + 1) * sizeof(**v));
	assert_non_null(*v);
	(*v)[(*n)++] = prefix(text);
}

static void own(struct stage *s, uint32_t upstream, const char *text)
{
	learn(&s->found[upstream].own, &s->found[upstream].n_own, text);
}

static void routed(struct stage *s, uint32_t upstream, const char *text)
{
	learn(&s->found[upstream].routed, &s->found[upstream].n_routed, text);
}

static void written(struct stage *s, const char *text, enum cfg_action action, uint32_t upstream)
{
	s->routes[s->config.n_routes++] = (struct cfg_route){ .prefix = prefix(text),
							      .action = action,
							      .upstream = upstream,
							      .place = { .line = 1 } };
}

static int set_up(void **state)
{
	struct stage *s = calloc(1, sizeof(*s));

	if (!s)
		return -1;
	s->config.routes = s->routes;
	s->daemon.plan.config = &s->config;
	s->daemon.upstreams = s->upstreams;
	for (uint32_t i = 0; i < ARRAY_LEN(s->vpcs); i++) {
		s->vpcs[i].found = &s->found[i];
		s->daemon.plan.slots[i] = i;
		s->upstreams[i].vpc = &s->vpcs[i];
		s->found[i].suffixes = s->zones[i];
		s->routes[i] = (struct cfg_route){ .match = CFG_MATCH_VPC,
						   .action = CFG_TO_UPSTREAM,
						   .upstream = i,
						   .override = i == B,
						   .place = { .line = 10 + i } };
	}
	s->config.n_routes = ARRAY_LEN(s->vpcs);
	*state = s;
	return 0;
}

static int tear_down(void **state)
{
	struct stage *s = *state;

	daemon_table_free(&s->table);
	for (size_t i = 0; i < ARRAY_LEN(s->found); i++) {
		free(s->found[i].own);
		free(s->found[i].routed);
	}
	free(s);
	return 0;
}

static const struct rt_rule *rule_for(struct stage *s, const char *address)
{
	struct net_addr a;

	if (!s->table.rules)
		assert_int_equal(daemon_table_make(&s->daemon, &s->table), 0);
	assert_int_equal(net_addr_parse(&a, address), 0);
	return rt_rules_find(s->table.rules, &a);
}

static void expect(struct stage *s, const char *address, enum rt_action action, uint32_t upstream)
{
	const struct rt_rule *rule = rule_for(s, address);

	if (!rule || rule->action != action ||
	    (action == RT_UPSTREAM && rule->upstream != upstream))
		fail_msg("%s: %s, action %d, upstream %u", address, rule ? "rule" : "no rule",
			 rule ? (int)rule->action : -1, rule ? rule->upstream : 0);
}

static void the_file_wins_over_an_equal_one(void **state)
{
	struct stage *s = *state;

	own(s, A, "10.1.0.0/16");
	own(s, A, "10.2.0.0/16");
	written(s, "10.1.0.0/16", CFG_TO_DIRECT, 0);
	written(s, "10.2.0.0/16", CFG_TO_UPSTREAM, B);
	expect(s, "10.1.0.1", RT_DIRECT, 0);
	expect(s, "10.2.0.1", RT_UPSTREAM, B);
}

static void the_longest_wins_whoever_it_is_from(void **state)
{
	struct stage *s = *state;

	own(s, A, "10.1.0.0/16");
	routed(s, B, "10.1.7.0/24");
	written(s, "10.0.0.0/8", CFG_TO_REJECT, 0);
	written(s, "10.1.9.0/24", CFG_TO_DROP, 0);
	expect(s, "10.1.0.1", RT_UPSTREAM, A);
	expect(s, "10.1.7.1", RT_UPSTREAM, B);
	expect(s, "10.1.9.1", RT_DROP, 0);
	expect(s, "10.2.0.1", RT_REJECT, 0);
}

/* Two VPCs that are peered, or hang on one transit gateway: each through its own upstream. */
static void peers_have_their_own_upstreams(void **state)
{
	struct stage *s = *state;

	own(s, A, "10.1.0.0/16");
	routed(s, A, "10.2.0.0/16");
	routed(s, A, "10.9.0.0/16");
	own(s, B, "10.2.0.0/16");
	routed(s, B, "10.1.0.0/16");
	routed(s, B, "10.9.0.0/16");
	expect(s, "10.1.0.1", RT_UPSTREAM, A);
	expect(s, "10.2.0.1", RT_UPSTREAM, B);
	expect(s, "10.9.0.1", RT_UPSTREAM, A);
	assert_false(rule_for(s, "10.1.0.1")->override);
	assert_true(rule_for(s, "10.2.0.1")->override);
	assert_int_equal(rule_for(s, "10.2.0.1")->line, 11);
}

static void nothing_is_known_at_first(void **state)
{
	struct stage *s = *state;

	s->vpcs[A].found = s->vpcs[B].found = NULL;
	written(s, "10.0.0.0/8", CFG_TO_DIRECT, 0);
	expect(s, "10.1.0.1", RT_DIRECT, 0);
	assert_null(rule_for(s, "11.0.0.1"));
	assert_int_equal(s->vpcs[A].n_used, 0);
}

static unsigned told;

static void count_warnings(void *arg, enum log_level level, const char *line)
{
	(void)arg;
	told += level == LOG_WARN && strstr(line, "the VPCs reach 2500 prefixes") != NULL;
}

static void all_of_them_have_a_limit(void **state)
{
	struct stage *s = *state;
	char text[NET_PREFIX_STR];
	size_t n;

	for (unsigned i = 0; i < 2500; i++) {
		snprintf(text, sizeof(text), "10.%u.%u.0/24", i / 256, i % 256);
		(i < 1000 ? own : routed)(s, i % 2 ? B : A, text);
	}
	log_tee(count_warnings, NULL);
	expect(s, "10.0.0.1", RT_UPSTREAM, A);
	log_tee(NULL, NULL);
	assert_int_equal(told, 1);
	rt_rules_all(s->table.rules, &n);
	assert_int_equal(n, 2048);
	/* every block of a VPC is there, and the first rule's routes before the second's */
	assert_int_equal(s->vpcs[A].n_used, 500 + 750);
	assert_int_equal(s->vpcs[B].n_used, 2048 - 1250);
	expect(s, "10.3.231.1", RT_UPSTREAM, B);
}

/* ---- names */

static void named(struct stage *s, const char *pattern, enum cfg_action action, uint32_t upstream)
{
	size_t n = s->config.n_routes++;

	s->routes[n] = (struct cfg_route){ .match = CFG_MATCH_NAME,
					   .name = pattern,
					   .action = action,
					   .upstream = upstream,
					   .order = (uint32_t)n,
					   .place = { .line = 20 } };
}

static void zone(struct stage *s, uint32_t upstream, const char *name)
{
	s->zones[upstream][s->found[upstream].n_suffixes++] = (char *)(uintptr_t)name;
}

static void expect_name(struct stage *s, const char *name, enum rt_action action, uint32_t upstream)
{
	const struct rt_name_rule *rule;

	if (!s->table.rules)
		assert_int_equal(daemon_table_make(&s->daemon, &s->table), 0);
	rule = rt_names_find(s->table.names, name);
	if (!rule || rule->action != action ||
	    (action == RT_UPSTREAM && rule->upstream != upstream))
		fail_msg("%s: %s, action %d, upstream %u", name, rule ? rule->pattern : "no rule",
			 rule ? (int)rule->action : -1, rule ? rule->upstream : 0);
}

static void zones_are_names_of_their_upstream(void **state)
{
	struct stage *s = *state;

	zone(s, A, "a.internal");
	zone(s, B, "b.internal");
	zone(s, B, "a.internal");     /* two VPCs know it: the first rule's */
	zone(s, B, "no name at all"); /* left out */
	named(s, "db.a.internal", CFG_TO_DIRECT, 0);
	expect_name(s, "db.a.internal", RT_DIRECT, 0);
	expect_name(s, "web.a.internal", RT_UPSTREAM, A);
	expect_name(s, "a.internal", RT_UPSTREAM, A);
	expect_name(s, "x.y.b.internal", RT_UPSTREAM, B);
	assert_null(rt_names_find(s->table.names, "internal"));
	assert_null(rt_names_find(s->table.names, "example.com"));
}

/* With match_order: first the file's own patterns come before what was learned, however short they are. */
static void zones_come_last_in_the_order_of_the_file(void **state)
{
	struct stage *s = *state;

	zone(s, A, "prod.a.internal");
	named(s, "*.internal", CFG_TO_UPSTREAM, B);
	s->config.match_order = CFG_ORDER_FIRST;
	expect_name(s, "db.prod.a.internal", RT_UPSTREAM, B);
	daemon_table_free(&s->table);
	s->config.match_order = CFG_ORDER_SPECIFIC;
	expect_name(s, "db.prod.a.internal", RT_UPSTREAM, A);
}

static void rules_name_slots(void **state)
{
	struct stage *s = *state;

	s->daemon.plan.slots[A] = 70;
	s->daemon.plan.slots[B] = 3;
	s->upstreams[70].vpc = &s->vpcs[A];
	s->upstreams[3].vpc = &s->vpcs[B];
	own(s, A, "10.1.0.0/16");
	zone(s, B, "b.internal");
	written(s, "10.2.0.0/16", CFG_TO_UPSTREAM, B);
	named(s, "db.corp", CFG_TO_UPSTREAM, A);
	s->config.default_action = CFG_TO_UPSTREAM;
	s->config.default_upstream = A;
	expect(s, "10.1.0.1", RT_UPSTREAM, 70);
	expect(s, "10.2.0.1", RT_UPSTREAM, 3);
	expect_name(s, "db.corp", RT_UPSTREAM, 70);
	expect_name(s, "b.internal", RT_UPSTREAM, 3);
	assert_int_equal(s->table.default_action, RT_UPSTREAM);
	assert_int_equal(s->table.default_upstream, 70);
}

static void names_go_into_the_default_once_system_mode_has_begun(void **state)
{
	static const struct {
		bool system, engaged, public_local, want;
	} cases[] = { { false, true, false, false },
		      { true, false, false, false },
		      { true, true, false, true },
		      { true, true, true, false } };
	struct stage *s = *state;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		s->config.system = cases[i].system;
		s->daemon.engaged = cases[i].engaged;
		s->config.dns_public_local = cases[i].public_local;
		assert_int_equal(daemon_table_make(&s->daemon, &s->table), 0);
		assert_int_equal(s->table.names_default, cases[i].want);
		daemon_table_free(&s->table);
	}
}

#define SCENE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		SCENE(the_file_wins_over_an_equal_one),
		SCENE(the_longest_wins_whoever_it_is_from),
		SCENE(peers_have_their_own_upstreams),
		SCENE(nothing_is_known_at_first),
		SCENE(all_of_them_have_a_limit),
		SCENE(zones_are_names_of_their_upstream),
		SCENE(zones_come_last_in_the_order_of_the_file),
		SCENE(rules_name_slots),
		SCENE(names_go_into_the_default_once_system_mode_has_begun),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
