// SPDX-License-Identifier: MIT
/* rt_far_test.c - flows by name: resolving, addresses in turn, direct; and what ends each of it */
#include "rt_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"

#define DB "198.18.1.0"
#define DEV_DB "198.18.1.1"
#define HERE "198.18.1.2"

static int set_up(void **state)
{
	int r = world_stage(state, RT_DNS_FAKE, NULL);

	world_fake_add("db.prod.internal", DB);
	world_fake_add("db.dev.internal", DEV_DB);
	world_fake_add("nas.here.internal", HERE);
	world_fake_add("a.no.internal", "198.18.1.3");
	world_fake_add("a.void.internal", "198.18.1.4");
	world_fake_add("gone.example.com", "198.18.1.5"); /* no rule (any more) */
	return r;
}

static struct rt_stats stats(const struct stage *s)
{
	struct rt_stats out;

	rt_stats(s->rt, &out);
	return out;
}

static void assert_goes_to(size_t chan, uint32_t slot, const char *addr)
{
	char text[NET_ADDR_STR];

	assert_true(chan < world->n_chans);
	assert_ptr_equal(world->chan[chan].upstream, world_upstream(slot));
	assert_string_equal(net_addr_str(text, &world->chan[chan].dst.addr), addr);
}

static void opened(size_t chan)
{
	world->chan[chan].events->opened(world->chan[chan].arg, chan + 1);
}

static void failed(size_t chan, enum tnl_open_failure why)
{
	world->chan[chan].open = false;
	world->chan[chan].events->failed(world->chan[chan].arg, chan + 1, why, "sshd's words");
}

static void gives_up(ns_conn c)
{
	world->conn[c - 1].open = false;
	rt_ns_events()->gone(world->conn[c - 1].owner, c);
}

static void a_fake_address_is_its_name(void **state)
{
	struct stage *s = *state;
	ns_conn c = world_syn(s->rt, DB, 5432);

	assert_int_equal(world->n_resolves, 1);
	assert_string_equal(world->resolve[0].name, "db.prod.internal");
	assert_true(world->resolve[0].has_via);
	assert_int_equal(world->resolve[0].via.upstream, 0);
	assert_int_equal(world->n_chans, 0);
	assert_int_equal(stats(s).resolving, 1);
	world_resolved(0, 0, "10.0.0.9", NULL);
	assert_int_equal(stats(s).resolving, 0);
	assert_int_equal(stats(s).opening, 1);
	assert_goes_to(0, 0, "10.0.0.9");
	assert_int_equal(world->chan[0].dst.port, 5432);
	assert_false(world->conn[c - 1].accepted);
	opened(0);
	assert_true(world->conn[c - 1].accepted);
}

/* Bytes flow by the side that won. */
static void bytes_flow(void **state)
{
	struct stage *s = *state;
	ns_conn c = world_syn(s->rt, DB, 5432);

	world_resolved(0, 0, "fd10::9", "10.0.0.9");
	opened(0);
	rt_ns_events()->established(world->conn[c - 1].owner, c);
	memcpy(world_conn_bytes(c)->in, "hello", 5);
	world_conn_bytes(c)->in_len = 5;
	rt_ns_events()->readable(world->conn[c - 1].owner, c);
	world_turn(s);
	assert_int_equal(world->chan[0].bytes->out_len, 5);
	world->chan[0].open = false;
	world->chan[0].events->gone(world->chan[0].arg, 1);
	assert_true(world->conn[c - 1].aborted);
	world_turn(s);
	assert_int_equal(stats(s).flows, 0);
}

/* Two VPCs, two hosts, one address. */
static void two_upstreams_one_address(void **state)
{
	struct stage *s = *state;
	ns_conn a = world_syn(s->rt, DB, 5432), b = world_syn(s->rt, DEV_DB, 5432);

	world_resolved(0, 0, "10.0.0.9", NULL);
	world_resolved(1, 0, "10.0.0.9", NULL);
	assert_goes_to(0, 0, "10.0.0.9");
	assert_goes_to(1, 1, "10.0.0.9");
	opened(0);
	opened(1);
	assert_true(world->conn[a - 1].accepted && world->conn[b - 1].accepted);
	assert_int_equal(stats(s).flows, 2);
}

static void unknown_fakes_and_rules_without_upstream(void **state)
{
	static const struct {
		const char *addr;
		enum ns_refusal refusal;
	} cases[] = {
		{ "198.18.9.9", NS_REFUSE_RST }, /* nobody's */
		{ "198.18.0.2", NS_REFUSE_RST }, /* the stack's, and not DNS */
		{ "fd00:5::2", NS_REFUSE_RST },	  { "198.18.1.3", NS_REFUSE_RST },
		{ "198.18.1.4", NS_REFUSE_DROP }, { "10.1.0.1", NS_REFUSE_RST },
		{ "10.2.0.1", NS_REFUSE_DROP },	  { "169.254.169.254", NS_REFUSE_DROP },
	};
	struct stage *s = *state;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		ns_conn c = world_syn(s->rt, cases[i].addr, 80);
		assert_int_equal(world->conn[c - 1].refused, (int)cases[i].refusal);
	}
	world_turn(s);
	assert_int_equal(world->n_resolves + world->n_chans + world->n_dirs, 0);
	assert_int_equal(stats(s).flows, 0);
	assert_int_equal(stats(s).resolving, 0);
}

static void mode_off_knows_no_names(void **state)
{
	struct stage *s = *state;

	rt_dns_mode(s->rt, RT_DNS_OFF);
	ns_conn c = world_syn(s->rt, DB, 80);
	assert_int_equal(world->conn[c - 1].refused, (int)NS_REFUSE_RST);
}

static void direct_by_name_and_by_address(void **state)
{
	struct stage *s = *state;
	ns_conn a = world_syn(s->rt, HERE, 445), b = world_syn(s->rt, "10.3.0.7", 80),
		c = world_syn(s->rt, "198.18.1.5", 80);

	assert_false(world->resolve[0].has_via);
	world_resolved(0, 0, "192.168.1.5", NULL);
	assert_int_equal(world->n_dirs, 2);
	assert_int_equal(world->dir[1].dst.addr.b[3], 5);
	assert_int_equal(world->dir[1].dst.port, 445);
	world->dir[1].events->opened(world->dir[1].arg, 2);
	assert_true(world->conn[a - 1].accepted);
	world->dir[0].open = false;
	world->dir[0].events->failed(world->dir[0].arg, 1, DIR_REFUSED, "");
	assert_int_equal(world->conn[b - 1].refused, (int)NS_REFUSE_RST);
	assert_string_equal(world->resolve[1].name, "gone.example.com"); /* by the default */
	assert_false(world->resolve[1].has_via);
	gives_up(c);
	assert_true(world->resolve[1].cancelled);
}

/* The family of the fake address first, then by turns; each next one 250 ms after the former. */
static void the_next_address_does_not_wait_long(void **state)
{
	struct stage *s = *state;
	ns_conn c = world_syn(s->rt, DB, 5432);

	world_resolved(0, 0, "fd10::9", "10.0.0.9");
	assert_int_equal(world->n_chans, 1);
	assert_goes_to(0, 0, "10.0.0.9");
	world_pass(s, 100);
	assert_int_equal(world->n_chans, 1);
	world_pass(s, 200);
	assert_int_equal(world->n_chans, 2);
	assert_goes_to(1, 0, "fd10::9");
	opened(1); /* the first to open wins */
	assert_true(world->conn[c - 1].accepted);
	assert_true(world->chan[0].closed);
	assert_false(world->chan[1].closed);
	world_pass(s, 1000);
	assert_int_equal(world->n_chans, 2);
}

static void no_second_address_while_nobody_can_answer(void **state)
{
	struct stage *s = *state;

	world->state = TNL_WAITING;
	world_syn(s->rt, DB, 5432);
	world_resolved(0, 0, "10.0.0.9", "10.0.0.10");
	world_pass(s, 60000);
	assert_int_equal(world->n_chans, 1);
	world->state = TNL_UP;
	world_pass(s, 300);
	assert_int_equal(world->n_chans, 2);
}

static void a_failure_tries_the_next(void **state)
{
	static const struct {
		enum tnl_open_failure first, last;
		int refusal; /* what is told; -1: there was no second try */
	} cases[] = {
		{ TNL_OPEN_REFUSED, TNL_OPEN_REFUSED, NS_REFUSE_RST },
		{ TNL_OPEN_HOST_UNREACHABLE, TNL_OPEN_REFUSED, NS_REFUSE_RST },
		{ TNL_OPEN_REFUSED, TNL_OPEN_NET_UNREACHABLE, NS_REFUSE_RST },
		{ TNL_OPEN_NET_UNREACHABLE, TNL_OPEN_HOST_UNREACHABLE, NS_REFUSE_HOST_UNREACHABLE },
		{ TNL_OPEN_TIMEOUT, TNL_OPEN_NET_UNREACHABLE, NS_REFUSE_HOST_UNREACHABLE },
		{ TNL_OPEN_NET_UNREACHABLE, TNL_OPEN_NET_UNREACHABLE, NS_REFUSE_NET_UNREACHABLE },
		{ TNL_OPEN_LIMIT, TNL_OPEN_LIMIT, NS_REFUSE_DROP },
		{ TNL_OPEN_PROHIBITED, TNL_OPEN_PROHIBITED, -1 },
	};
	struct stage *s = *state;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const size_t first = world->n_chans;
		ns_conn c = world_syn(s->rt, DB, 5432);

		world_resolved(i, 0, "10.0.0.9", "fd10::9");
		failed(first, cases[i].first);
		if (cases[i].refusal < 0) {
			assert_int_equal(world->n_chans, first + 1);
			assert_int_equal(world->conn[c - 1].refused, NS_REFUSE_PROHIBITED);
			continue;
		}
		assert_int_equal(world->conn[c - 1].refused, -1);
		failed(first + 1, cases[i].last);
		assert_int_equal(world->conn[c - 1].refused, cases[i].refusal);
	}
	world_turn(s);
	assert_int_equal(stats(s).flows, 0);
	assert_int_equal(stats(s).opening, 0);
}

static void the_budget_is_one_for_all_addresses(void **state)
{
	struct stage *s = *state;
	ns_conn c = world_syn(s->rt, DB, 5432);

	world->state = TNL_STARTING; /* so that only the first one was begun */
	world_resolved(0, 0, "10.0.0.9", "10.0.0.10");
	world_pass(s, TNL_CONNECT_BUDGET_MS);
	failed(0, TNL_OPEN_NO_SESSION);
	assert_int_equal(world->n_chans, 1);
	assert_int_equal(world->conn[c - 1].refused, (int)NS_REFUSE_HOST_UNREACHABLE);
}

static void names_that_can_not_be_resolved(void **state)
{
	static const struct {
		int err;
		enum ns_refusal refusal;
	} cases[] = { { ST_ENOENT, NS_REFUSE_HOST_UNREACHABLE },
		      { ST_EPERM, NS_REFUSE_PROHIBITED } };
	struct stage *s = *state;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		ns_conn c = world_syn(s->rt, DB, 80);
		world_resolved(i, cases[i].err, NULL, NULL);
		assert_int_equal(world->conn[c - 1].refused, (int)cases[i].refusal);
	}
	/* Should dns hand them on nevertheless: what nothing may open, and answers of our own. */
	ns_conn c = world_syn(s->rt, DB, 80);
	world_resolved(2, 0, "169.254.169.254", "198.18.1.7");
	assert_int_equal(world->conn[c - 1].refused, (int)NS_REFUSE_PROHIBITED);
	assert_int_equal(world->n_chans, 0);
}

/* While a person is awaited the SYN is held, as it is for an address. */
static void a_login_is_waited_for(void **state)
{
	struct stage *s = *state;
	ns_conn c;

	world->state = TNL_WAITING;
	world->resolve_at_once = ST_ECLOSED;
	c = world_syn(s->rt, DB, 80);
	world_pass(s, 30000);
	world_pass(s, 30000);
	assert_int_equal(world->conn[c - 1].refused, -1);
	assert_true(world->n_resolves >= 3);
	world->state = TNL_STARTING; /* somebody has logged in: the usual budget from now on */
	world_pass(s, 5000);
	assert_int_equal(world->conn[c - 1].refused, -1);
	world->state = TNL_UP;
	world->resolve_at_once = 1;
	world->resolve_addr = world_addr("10.0.0.9");
	world_pass(s, 1000);
	assert_goes_to(0, 0, "10.0.0.9");
	opened(0);
	assert_true(world->conn[c - 1].accepted);
}

static void else_the_budget_ends(void **state)
{
	struct stage *s = *state;
	ns_conn c, d;

	world->resolve_at_once = ST_ECLOSED;
	world->state = TNL_STARTING;
	c = world_syn(s->rt, DB, 80);
	world_pass(s, 5000);
	assert_int_equal(world->conn[c - 1].refused, -1);
	world_pass(s, 6000);
	assert_int_equal(world->conn[c - 1].refused, (int)NS_REFUSE_HOST_UNREACHABLE);
	world->state = TNL_FAILED;
	d = world_syn(s->rt, DB, 80);
	assert_int_equal(world->conn[d - 1].refused, (int)NS_REFUSE_HOST_UNREACHABLE);
	assert_int_equal(stats(s).timed_out, 2);
}

static void the_application_gives_up_in_each_state(void **state)
{
	struct stage *s = *state;
	ns_conn c = world_syn(s->rt, DB, 80);

	gives_up(c); /* resolving */
	assert_true(world->resolve[0].cancelled);
	c = world_syn(s->rt, DB, 80);
	world_resolved(1, 0, "10.0.0.9", "10.0.0.10");
	world_pass(s, 300);
	gives_up(c); /* two addresses under way */
	assert_true(world->chan[0].closed && world->chan[1].closed);
	world->resolve_at_once = ST_ECLOSED;
	world->state = TNL_WAITING;
	c = world_syn(s->rt, DB, 80);
	gives_up(c); /* between two tries */
	const size_t n = world->n_resolves;
	world_pass(s, 5000);
	assert_int_equal(world->n_resolves, n);
	world->resolve_at_once = 1;
	world->resolve_addr = world_addr("10.0.0.9");
	c = world_syn(s->rt, DB, 80);
	opened(2);
	gives_up(c); /* accepted */
	assert_true(world->chan[2].closed);
	world_turn(s);
	assert_int_equal(stats(s).flows, 0);
	assert_int_equal(stats(s).resolving + stats(s).opening, 0);
}

/* Of what no rule holds, only an upstream that carries IPv6 gets IPv6: upstream 0 does, 1 does not. */
static void ipv6_by_default(void **state)
{
	struct stage *s = *state;
	struct rt_table t = world_table();
	struct rt_why w;
	ns_conn c;

	t.default_action = RT_UPSTREAM;
	t.default_upstream = 1;
	rt_set_table(s->rt, &t);
	c = world_syn(s->rt, "2001:db8::1", 80);
	assert_int_equal(world->conn[c - 1].refused, (int)NS_REFUSE_NET_UNREACHABLE);
	assert_int_equal(rt_explain(s->rt, "2001:db8::1", &w), 0);
	assert_true(w.no_ipv6 && w.is_default);
	assert_int_equal(world->n_chans, 0);
	c = world_syn(s->rt, "192.0.2.1", 80);
	assert_int_equal(world->conn[c - 1].refused, -1);
	assert_goes_to(0, 1, "192.0.2.1");
	gives_up(c);
	t = world_table();
	t.default_action = RT_UPSTREAM;
	rt_set_table(s->rt, &t);
	c = world_syn(s->rt, "2001:db8::1", 80);
	assert_int_equal(world->conn[c - 1].refused, -1);
	assert_goes_to(1, 0, "2001:db8::1");
	assert_int_equal(rt_explain(s->rt, "2001:db8::1", &w), 0);
	assert_false(w.no_ipv6);
	gives_up(c);
}

static void a_reload_while_resolving(void **state)
{
	struct stage *s = *state;
	ns_conn a = world_syn(s->rt, DB, 80), b = world_syn(s->rt, DEV_DB, 80);
	static const struct rt_name_rule names[] = {
		{ .pattern = "db.prod.internal", .action = RT_UPSTREAM, .upstream = 0 },
		{ .pattern = "*.dev.internal", .action = RT_UPSTREAM, .upstream = 0 },
	};
	struct rt_table t = { .default_action = RT_DIRECT };

	assert_int_equal(rt_rules_new(&t.rules, NULL, 0), 0);
	assert_int_equal(rt_names_new(&t.names, names, ARRAY_LEN(names), false), 0);
	rt_set_table(s->rt, &t);
	assert_int_equal(world->rules_changed, 1);
	assert_true(world->resolve[0].open); /* another rule, the same upstream: it lives on */
	assert_true(world->resolve[1].cancelled);
	assert_int_equal(world->conn[b - 1].refused, (int)NS_REFUSE_DROP); /* repeated: to prod */
	world_resolved(0, 0, "10.0.0.9", NULL);
	opened(0);
	assert_true(world->conn[a - 1].accepted);
	t = world_table();
	rt_set_table(s->rt, &t);
	assert_false(world->conn[a - 1].aborted);
}

/* An upstream with other settings: a new slot of the same name. What it carries stays, what is held comes again. */
static void a_successor_takes_new_flows_only(void **state)
{
	struct stage *s = *state;
	ns_conn a = world_syn(s->rt, DEV_DB, 80), b = world_syn(s->rt, DEV_DB, 80);
	static const struct rt_name_rule rule = { .pattern = "*.dev.internal",
						  .action = RT_UPSTREAM,
						  .upstream = 2 };
	struct rt_table t = { .default_action = RT_DIRECT };

	world_resolved(0, 0, "10.0.0.9", NULL);
	opened(0);
	rt_set_upstream(s->rt, 2, &(struct rt_upstream){ .name = "dev", .tnl = world_upstream(1) });
	assert_int_equal(rt_rules_new(&t.rules, NULL, 0), 0);
	assert_int_equal(rt_names_new(&t.names, &rule, 1, false), 0);
	rt_set_table(s->rt, &t);
	assert_false(world->conn[a - 1].aborted);
	assert_int_equal(world->conn[b - 1].refused, (int)NS_REFUSE_DROP);
	assert_int_equal(world->upstreams_gone, 2); /* no rule names slots 0 and 1 */
	world_syn(s->rt, DEV_DB, 80);
	assert_int_equal(world->resolve[2].via.upstream, 2);
	rt_set_upstream(s->rt, 1, &(struct rt_upstream){ 0 });
	assert_true(world->conn[a - 1].aborted);
}

static void an_upstream_that_goes_takes_its_flows(void **state)
{
	struct stage *s = *state;
	ns_conn a = world_syn(s->rt, DB, 80), b = world_syn(s->rt, DEV_DB, 80);

	rt_set_upstream(s->rt, 0, &(struct rt_upstream){ 0 });
	assert_true(world->resolve[0].cancelled);
	assert_true(world->conn[a - 1].aborted);
	assert_true(world->conn[b - 1].open);
	assert_int_equal(world->upstreams_gone, 1);
}

static void an_open_that_fails_at_once(void **state)
{
	struct stage *s = *state;
	ns_conn c = world_syn(s->rt, DB, 80), d;

	world->open_fails = ST_ENOMEM;
	world_resolved(0, 0, "10.0.0.9", "10.0.0.10");
	assert_int_equal(world->conn[c - 1].refused, (int)NS_REFUSE_RST);
	world->open_fails = ST_EPERM;
	d = world_syn(s->rt, "10.3.0.1", 80);
	assert_int_equal(world->conn[d - 1].refused, (int)NS_REFUSE_PROHIBITED);
	/* Limits: of an upstream SYNs are let go, to be repeated; of this machine each is told at once. */
	world->open_fails = ST_EFULL;
	d = world_syn(s->rt, "10.0.0.1", 80);
	assert_int_equal(world->conn[d - 1].refused, (int)NS_REFUSE_DROP);
	d = world_syn(s->rt, "10.3.0.1", 80);
	assert_int_equal(world->conn[d - 1].refused, (int)NS_REFUSE_RST);
	world->open_fails = 0;
	d = world_syn(s->rt, "10.3.0.1", 80);
	world->dir[world->n_dirs - 1].open = false;
	world->dir[world->n_dirs - 1].events->failed(world->dir[world->n_dirs - 1].arg,
						     world->n_dirs, DIR_LIMIT, "no descriptor");
	assert_int_equal(world->conn[d - 1].refused, (int)NS_REFUSE_RST);
}

static void fakes_in_use_are_known(void **state)
{
	struct stage *s = *state;
	const struct net_addr db = world_addr(DB), dev = world_addr(DEV_DB);
	ns_conn c;

	assert_false(world->hooks->in_use(world->hooks_arg, &db));
	c = world_syn(s->rt, DB, 80);
	assert_true(world->hooks->in_use(world->hooks_arg, &db));
	assert_false(world->hooks->in_use(world->hooks_arg, &dev));
	gives_up(c);
	assert_false(world->hooks->in_use(world->hooks_arg, &db));
}

#define SCENE(f) cmocka_unit_test_setup_teardown(f, set_up, world_stage_end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		SCENE(a_fake_address_is_its_name),
		SCENE(bytes_flow),
		SCENE(two_upstreams_one_address),
		SCENE(unknown_fakes_and_rules_without_upstream),
		SCENE(mode_off_knows_no_names),
		SCENE(direct_by_name_and_by_address),
		SCENE(the_next_address_does_not_wait_long),
		SCENE(no_second_address_while_nobody_can_answer),
		SCENE(a_failure_tries_the_next),
		SCENE(the_budget_is_one_for_all_addresses),
		SCENE(names_that_can_not_be_resolved),
		SCENE(a_login_is_waited_for),
		SCENE(else_the_budget_ends),
		SCENE(the_application_gives_up_in_each_state),
		SCENE(ipv6_by_default),
		SCENE(a_reload_while_resolving),
		SCENE(a_successor_takes_new_flows_only),
		SCENE(an_upstream_that_goes_takes_its_flows),
		SCENE(an_open_that_fails_at_once),
		SCENE(fakes_in_use_are_known),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
