// SPDX-License-Identifier: MIT
/* rt_learned_test.c - addresses of answers: remembered, routed, matched before prefixes, forgotten; and what explain says */
#include "rt_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/log.h"

static struct {
	struct net_addr last;
	uint32_t on, off;
	int fails;
} routes;

static int route(void *arg, const struct net_addr *addr, bool on)
{
	(void)arg;
	if (routes.fails)
		return routes.fails;
	routes.last = *addr;
	if (on)
		routes.on++;
	else
		routes.off++;
	return 0;
}

static int set_up(void **state)
{
	const struct rt_dns_opts more = { .route = route };

	memset(&routes, 0, sizeof(routes));
	return world_stage(state, RT_DNS_TUNNEL, &more);
}

static int learn(const char *name, uint32_t slot, const char *addr, uint32_t ttl_s)
{
	const struct dns_via via = { .upstream = slot };
	const struct net_addr a = world_addr(addr);

	return world->hooks->learned(world->hooks_arg, name, &via, &a, ttl_s);
}

static uint32_t learned(const struct stage *s)
{
	struct rt_stats st;

	rt_stats(s->rt, &st);
	return st.learned;
}

static void the_route_stands_before_the_answer(void **state)
{
	struct stage *s = *state;
	struct net_addr all[4];

	assert_int_equal(learn("db.prod.internal", 0, "192.0.2.9", 60), 0);
	assert_int_equal(routes.on, 1);
	assert_int_equal(routes.last.b[3], 9);
	assert_int_equal(learn("db.prod.internal", 0, "192.0.2.9", 60), 0);
	assert_int_equal(routes.on, 1); /* it stands */
	assert_int_equal(rt_dns_learned(s->rt, all, 4), 1);
	assert_int_equal(all[0].b[3], 9);
	routes.fails = ST_ESYS;
	assert_int_equal(learn("db.prod.internal", 0, "192.0.2.10", 60), ST_ESYS);
	assert_int_equal(learned(s), 1);
	routes.fails = 0;
}

static void the_name_is_matched_before_the_prefix(void **state)
{
	struct stage *s = *state;

	assert_int_equal(learn("db.dev.internal", 1, "10.0.0.9", 60), 0);
	world_syn(s->rt, "10.0.0.9", 5432);
	assert_ptr_equal(world->chan[0].upstream, world_upstream(1));
	assert_int_equal(world->chan[0].dst.addr.b[3], 9); /* as it is: nothing to resolve */
	assert_int_equal(world->n_resolves, 0);
	world_syn(s->rt, "10.0.0.10", 5432);
	assert_ptr_equal(world->chan[1].upstream, world_upstream(0));
}

static void the_later_answer_holds(void **state)
{
	struct stage *s = *state;

	assert_int_equal(learn("db.prod.internal", 0, "192.0.2.9", 60), 0);
	world_syn(s->rt, "192.0.2.9", 5432);
	assert_int_equal(learn("db.dev.internal", 1, "192.0.2.9", 60), 0);
	assert_int_equal(learned(s), 1);
	world_syn(s->rt, "192.0.2.9", 5432);
	assert_ptr_equal(world->chan[0].upstream, world_upstream(0));
	assert_ptr_equal(world->chan[1].upstream, world_upstream(1));
	/* A reload judges each by the name that it came for. */
	struct rt_table t = world_table();
	rt_set_table(s->rt, &t);
	assert_true(world->chan[0].open && world->chan[1].open);
}

static void count_warnings(void *arg, enum log_level level, const char *line)
{
	*(unsigned *)arg += level == LOG_WARN && strstr(line, "different upstreams");
}

/* A changed upstream is the same one by another slot: nothing to be told of addresses that were learned before. */
static void a_reload_is_no_other_upstream(void **state)
{
	struct stage *s = *state;
	const struct rt_name_rule rules[] = {
		{ .pattern = "*.prod.internal", .action = RT_UPSTREAM, .upstream = 1 },
		{ .pattern = "*.dev.internal", .action = RT_UPSTREAM, .upstream = 0 },
	};
	struct rt_table t = { .default_action = RT_DIRECT };
	unsigned warnings = 0;

	assert_int_equal(learn("a.prod.internal", 0, "192.0.2.1", 60), 0);
	assert_int_equal(rt_rules_new(&t.rules, NULL, 0), 0);
	assert_int_equal(rt_names_new(&t.names, rules, 2, false), 0);
	rt_set_table(s->rt, &t);
	log_tee(count_warnings, &warnings);
	assert_int_equal(learn("b.prod.internal", 1, "192.0.2.1", 60), 0);
	assert_int_equal(learn("a.prod.internal", 1, "192.0.2.1", 60), 0);
	assert_int_equal(warnings, 0);
	assert_int_equal(learn("a.dev.internal", 0, "192.0.2.1", 60), 0);
	assert_int_equal(warnings, 1);
	log_tee(NULL, NULL);
}

static void kept_for_five_minutes_or_the_ttl(void **state)
{
	struct stage *s = *state;

	assert_int_equal(learn("a.prod.internal", 0, "192.0.2.1", 1), 0);
	assert_int_equal(learn("b.prod.internal", 0, "192.0.2.2", 600), 0);
	for (int i = 0; i < 9; i++)
		world_pass(s, 31000);
	assert_int_equal(learned(s), 2);
	for (int i = 0; i < 3; i++)
		world_pass(s, 31000);
	assert_int_equal(learned(s), 1);
	assert_int_equal(routes.off, 1);
	assert_int_equal(routes.last.b[3], 1);
	for (int i = 0; i < 11; i++)
		world_pass(s, 31000);
	assert_int_equal(learned(s), 0);
}

static void and_while_flows_use_it(void **state)
{
	struct stage *s = *state;
	ns_conn c;

	assert_int_equal(learn("a.prod.internal", 0, "192.0.2.1", 1), 0);
	c = world_syn(s->rt, "192.0.2.1", 80);
	for (int i = 0; i < 20; i++)
		world_pass(s, 31000);
	assert_int_equal(learned(s), 1);
	world->conn[c - 1].open = false;
	rt_ns_events()->gone(world->conn[c - 1].owner, c);
	world_pass(s, 31000);
	assert_int_equal(learned(s), 0);
	assert_int_equal(routes.off, 1);
}

/* The host route is the rule's, too, and stays when the name is forgotten. */
static void the_route_of_a_rule_stays(void **state)
{
	struct rt_rule rule = { .action = RT_UPSTREAM, .upstream = 0 };
	struct stage *s = *state;
	struct rt_table t = world_table();

	rt_rules_free(t.rules);
	assert_int_equal(net_prefix_parse(&rule.prefix, "192.0.2.1/32"), 0);
	assert_int_equal(rt_rules_new(&t.rules, &rule, 1), 0);
	rt_set_table(s->rt, &t);
	assert_int_equal(learn("a.prod.internal", 0, "192.0.2.1", 1), 0);
	assert_int_equal(learn("b.prod.internal", 0, "192.0.2.2", 1), 0);
	for (int i = 0; i < 12; i++)
		world_pass(s, 31000);
	assert_int_equal(learned(s), 0);
	assert_int_equal(routes.off, 1);
	assert_int_equal(routes.last.b[3], 2);
}

static void what_is_not_learned(void **state)
{
	struct stage *s = *state;
	const struct net_addr a = world_addr("192.0.2.1");

	assert_int_equal(learn("example.com", 1, "192.0.2.1", 60), 0);	     /* by the default */
	assert_int_equal(learn("nas.here.internal", 0, "192.0.2.1", 60), 0); /* direct */
	assert_int_equal(world->hooks->learned(world->hooks_arg, "a.prod.internal", NULL, &a, 60),
			 0);
	assert_int_equal(learn("a.prod.internal", 0, "169.254.169.254", 60), ST_EPERM);
	assert_int_equal(learn("a.prod.internal", 0, "127.0.0.1", 60), ST_EPERM);
	assert_int_equal(learned(s), 0);
	assert_int_equal(routes.on, 0);
}

static void a_reload_forgets_what_no_rule_holds(void **state)
{
	struct stage *s = *state;
	const struct rt_name_rule rule = { .pattern = "*.dev.internal",
					   .action = RT_UPSTREAM,
					   .upstream = 1 };
	struct rt_table t = { .default_action = RT_DIRECT };
	ns_conn c;

	assert_int_equal(learn("a.prod.internal", 0, "192.0.2.1", 60), 0);
	assert_int_equal(learn("a.dev.internal", 1, "192.0.2.2", 60), 0);
	c = world_syn(s->rt, "192.0.2.1", 80);
	assert_int_equal(rt_rules_new(&t.rules, NULL, 0), 0);
	assert_int_equal(rt_names_new(&t.names, &rule, 1, false), 0);
	rt_set_table(s->rt, &t);
	assert_int_equal(learned(s), 1);
	assert_int_equal(routes.off, 1);
	assert_int_equal(routes.last.b[3], 1);
	assert_int_equal(world->conn[c - 1].refused, (int)NS_REFUSE_DROP); /* the kernel's now */
}

static void bounded(void **state)
{
	struct stage *s = *state;
	ns_conn c;
	char addr[32];

	assert_int_equal(learn("first.prod.internal", 0, "192.0.2.1", 60), 0);
	c = world_syn(s->rt, "192.0.2.1", 80); /* held by a flow */
	assert_int_equal(learn("second.prod.internal", 0, "192.0.2.2", 400), 0);
	for (unsigned i = 0; i < RT_LEARNED_MAX - 2; i++) {
		snprintf(addr, sizeof(addr), "172.16.%u.%u", i / 250, i % 250);
		assert_int_equal(learn("h.prod.internal", 0, addr, 500), 0);
	}
	assert_int_equal(learned(s), RT_LEARNED_MAX);
	assert_int_equal(learn("h.prod.internal", 0, "172.17.0.1", 500), 0);
	assert_int_equal(learned(s), RT_LEARNED_MAX);
	assert_int_equal(routes.off, 1); /* the one whose time ends first, but for the flow's */
	assert_int_equal(routes.on, RT_LEARNED_MAX + 1);
	world_syn(s->rt, "192.0.2.1", 80);
	assert_ptr_equal(world->chan[1].upstream, world_upstream(0));
	assert_true(world->conn[c - 1].open);
}

/* ---- explain */

static struct rt_why why(struct stage *s, const char *host)
{
	struct rt_why w;

	assert_int_equal(rt_explain(s->rt, host, &w), 0);
	return w;
}

static void explain_addresses(void **state)
{
	struct stage *s = *state;
	struct rt_why w = why(s, "10.4.0.1");

	assert_int_equal(w.rule->prefix.len, 16);
	assert_int_equal(w.action, RT_UPSTREAM);
	assert_int_equal(w.upstream, 1);
	assert_false(w.is_default || w.fake || w.learned || w.never);
	w = why(s, "192.0.2.1");
	assert_true(w.is_default);
	assert_int_equal(w.action, RT_DIRECT);
	w = why(s, "169.254.169.254");
	assert_true(w.never);
	assert_int_equal(w.action, RT_DROP);
	assert_false(w.is_default);
	assert_int_equal(learn("a.dev.internal", 1, "10.0.0.9", 60), 0);
	w = why(s, "10.0.0.9");
	assert_true(w.learned);
	assert_string_equal(w.name, "a.dev.internal");
	assert_string_equal(w.name_rule->pattern, "*.dev.internal");
	assert_int_equal(w.dns.way, DNS_UPSTREAM);
	assert_int_equal(w.dns.via.upstream, 1);
}

static void explain_names(void **state)
{
	struct stage *s = *state;
	struct rt_why w = why(s, "DB.Prod.Internal.");

	assert_string_equal(w.name, "db.prod.internal");
	assert_string_equal(w.name_rule->pattern, "*.prod.internal");
	assert_int_equal(w.addr.family, 0);
	assert_int_equal(w.dns.way, DNS_UPSTREAM);
	world_fake_add("db.prod.internal", "198.18.1.0");
	w = why(s, "db.prod.internal");
	assert_true(w.fake);
	assert_int_equal(w.addr.b[2], 1);
	w = why(s, "198.18.1.0");
	assert_true(w.fake);
	assert_string_equal(w.name, "db.prod.internal");
	w = why(s, "198.18.1.9");
	assert_true(w.fake && w.unknown_fake);
	assert_int_equal(w.action, RT_REJECT);
	w = why(s, "example.com");
	assert_true(w.is_default);
	assert_int_equal(w.dns.way, DNS_LOCAL);
	w = why(s, "a.no.internal");
	assert_int_equal(w.action, RT_REJECT);
	assert_int_equal(w.dns.way, DNS_NONE);
	assert_int_equal(rt_explain(s->rt, "not a name", &w), ST_EFORMAT);
	assert_int_equal(rt_explain(s->rt, "", &w), ST_EFORMAT);
	assert_int_equal(world->n_resolves + world->n_queries + world->n_chans, 0);
}

#define SCENE(f) cmocka_unit_test_setup_teardown(f, set_up, world_stage_end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		SCENE(the_route_stands_before_the_answer),
		SCENE(the_name_is_matched_before_the_prefix),
		SCENE(the_later_answer_holds),
		SCENE(a_reload_is_no_other_upstream),
		SCENE(kept_for_five_minutes_or_the_ttl),
		SCENE(and_while_flows_use_it),
		SCENE(the_route_of_a_rule_stays),
		SCENE(what_is_not_learned),
		SCENE(a_reload_forgets_what_no_rule_holds),
		SCENE(bounded),
		SCENE(explain_addresses),
		SCENE(explain_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
