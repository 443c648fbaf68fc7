// SPDX-License-Identifier: MIT
/* rt_dns_test.c - who is asked for a name, what happens to datagrams, and the way to a resolver */
#include "rt_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"

#define STACK "198.18.0.2"

static struct ns_flow_key may_key;
static bool may_answer, may_tcp;

static bool may(void *arg, const struct net_endpoint *src, const struct net_endpoint *dst, bool tcp)
{
	(void)arg;
	may_key = (struct ns_flow_key){ .src = *src, .dst = *dst };
	may_tcp = tcp;
	return may_answer;
}

static int set_up(void **state)
{
	const struct rt_dns_opts more = { .may = may };

	may_answer = true;
	return world_stage(state, RT_DNS_FAKE, &more);
}

/* A datagram of 20 bytes that could be a query. Return: as ns_events.udp */
static bool datagram(struct stage *s, const char *src, const char *dst, uint16_t port)
{
	const struct ns_flow_key key = {
		.src = { .addr = world_addr(src), .port = 5555 },
		.dst = { .addr = world_addr(dst), .port = port },
	};
	static const uint8_t query[20] = { 0x12, 0x34, 0x01, 0x00, 0, 1 };

	return rt_ns_events()->udp(s->rt, &key, query, sizeof(query));
}

static void set_default(struct stage *s, enum rt_action action, bool names_default)
{
	struct rt_table t = world_table();

	t.default_action = action;
	t.default_upstream = 1;
	t.names_default = names_default;
	rt_set_table(s->rt, &t);
}

/* "local", "none", "up 0 fake ipv6" */
static const char *judged(struct stage *s, const char *name)
{
	static char text[64];
	struct dns_verdict v;

	world->hooks->judge(world->hooks_arg, name, &v);
	if (v.way == DNS_LOCAL)
		return v.fake ? "local fake" : "local";
	if (v.way == DNS_NONE)
		return "none";
	assert_int_equal(v.via.resolver.port, 53);
	snprintf(text, sizeof(text), "up %u%s%s", v.via.upstream, v.fake ? " fake" : "",
		 v.ipv6 ? " ipv6" : "");
	(void)s;
	return text;
}

struct judge_case {
	const char *name, *split, *system; /* system: names_default, by slot 1 */
};

static const struct judge_case judge_cases[] = {
	{ "db.prod.internal", "up 0 fake ipv6", "up 0 fake ipv6" },
	{ "db.dev.internal", "up 1 fake", "up 1 fake" },
	{ "prod.internal", "local", "up 1" },
	{ "nas.here.internal", "local", "local" },
	{ "a.no.internal", "none", "none" },
	{ "a.void.internal", "none", "none" },
	{ "example.com", "local", "up 1" },
	{ "printer.local", "local", "local" },
	{ "local", "local", "local" },
	{ "notlocal.example", "local", "up 1" },
	{ "nas", "local", "local" },
	{ "nas.fritz.box", "local", "local" },
	{ "router.home.arpa", "local", "local" },
	/* reverse names go where their address goes */
	{ "9.0.0.10.in-addr.arpa", "up 0 ipv6", "up 0 ipv6" },
	{ "9.0.4.10.in-addr.arpa", "up 1", "up 1" },
	{ "4.10.in-addr.arpa", "up 1", "up 1" },
	{ "9.0.1.10.in-addr.arpa", "none", "none" },
	{ "9.0.3.10.in-addr.arpa", "local", "local" },
	{ "1.1.168.192.in-addr.arpa", "local", "local" },
	{ "8.8.8.8.in-addr.arpa", "local", "up 1" },
	{ "300.8.8.8.in-addr.arpa", "local", "up 1" },
	{ "1.1.1.1.1.in-addr.arpa", "local", "up 1" },
	{ "x.10.in-addr.arpa", "local", "up 1" },
	{ "in-addr.arpa", "local", "up 1" },
	{ "0.1.d.f.ip6.arpa", "up 0 ipv6", "up 0 ipv6" },
	{ "0.d.f.ip6.arpa", "local", "local" },
	{ "8.b.d.0.1.0.0.2.ip6.arpa", "local", "up 1" },
};

/* What rebind: block looks at: names of no rule, whoever is asked, but for hosts of our own. */
static void names_without_a_rule(void **state)
{
	static const struct {
		const char *name;
		bool unruled;
	} cases[] = { { "db.prod.internal", false }, { "nas.here.internal", false },
		      { "a.no.internal", false },    { "example.com", true },
		      { "nas.lan", true },	     { "ssm.eu-west-1.amazonaws.com", false } };
	struct stage *s = *state;
	struct dns_verdict v;

	rt_dns_own_name(s->rt, "ssm.eu-west-1.amazonaws.com");
	for (int system = 0; system < 2; system++) {
		if (system)
			set_default(s, RT_UPSTREAM, true);
		for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
			world->hooks->judge(world->hooks_arg, cases[i].name, &v);
			assert_int_equal(v.unruled, cases[i].unruled);
		}
	}
}

static void names_and_their_ways(void **state)
{
	struct stage *s = *state;

	for (size_t i = 0; i < ARRAY_LEN(judge_cases); i++)
		assert_string_equal(judged(s, judge_cases[i].name), judge_cases[i].split);
	set_default(s, RT_UPSTREAM, true);
	for (size_t i = 0; i < ARRAY_LEN(judge_cases); i++)
		assert_string_equal(judged(s, judge_cases[i].name), judge_cases[i].system);
	rt_dns_mode(s->rt, RT_DNS_TUNNEL);
	assert_string_equal(judged(s, "db.prod.internal"), "up 0 ipv6"); /* real answers */
	set_default(s, RT_UPSTREAM, false);				 /* public: local */
	assert_string_equal(judged(s, "example.com"), "local");
}

static void hosts_of_our_own(void **state)
{
	struct stage *s = *state;
	char name[32];

	set_default(s, RT_UPSTREAM, true);
	const uint32_t before = world->rules_changed;
	assert_string_equal(judged(s, "ssm.eu-west-1.amazonaws.com"), "up 1");
	rt_dns_own_name(s->rt, "SSM.eu-west-1.amazonaws.com.");
	assert_string_equal(judged(s, "ssm.eu-west-1.amazonaws.com"), "local");
	assert_int_equal(world->rules_changed, before + 1);
	rt_dns_own_name(s->rt, "ssm.eu-west-1.amazonaws.com");
	assert_int_equal(world->rules_changed, before + 1); /* known already */
	rt_dns_own_name(s->rt, "db.prod.internal");	    /* also one that a rule holds */
	assert_string_equal(judged(s, "db.prod.internal"), "local");
	rt_dns_own_name(s->rt, "10.0.0.1"); /* no name */
	rt_dns_own_name(s->rt, "a b");
	for (int i = 0; i < 255; i++) {
		snprintf(name, sizeof(name), "h%d.example.com", i);
		rt_dns_own_name(s->rt, name);
	}
	assert_string_equal(judged(s, "h254.example.com"), "local");
	assert_string_equal(judged(s, "ssm.eu-west-1.amazonaws.com"),
			    "up 1"); /* the oldest has gone */
	assert_string_equal(judged(s, "db.prod.internal"), "local");
}

static void off_refuses(void **state)
{
	struct stage *s = *state;
	const struct net_endpoint v[] = { { .addr = world_addr("192.168.1.1"), .port = 53 },
					  { .addr = world_addr(STACK), .port = 53 } };

	rt_dns_forwarders(s->rt, v, ARRAY_LEN(v));
	assert_int_equal(world->forwarders, 1); /* not ourselves */
	rt_dns_mode(s->rt, RT_DNS_OFF);
	assert_int_equal(world->forwarders, 0); /* nobody to ask: REFUSED */
	assert_string_equal(judged(s, "db.prod.internal"), "local");
	assert_true(datagram(s, "198.18.0.1", STACK, 53));
	assert_int_equal(world->n_queries, 1);
	rt_dns_mode(s->rt, RT_DNS_FAKE);
	assert_int_equal(world->forwarders, 1);
	world_reply(0, 20);
}

static void a_query_is_answered_by_who_was_asked(void **state)
{
	struct stage *s = *state;

	assert_true(datagram(s, "198.18.0.1", STACK, 53));
	assert_int_equal(world->n_queries, 1);
	assert_false(world->query[0].ask.tcp || world->query[0].ask.relay ||
		     world->query[0].ask.no_fake);
	assert_int_equal(world->n_sent, 0);
	world_reply(0, 20);
	assert_int_equal(world->n_sent, 1);
	assert_int_equal(world->sent[0].from.port, 53);
	assert_int_equal(world->sent[0].from.addr.b[3], 2);
	assert_int_equal(world->sent[0].to.port, 5555);
	assert_int_equal(world->sent[0].len, 20);
	assert_int_equal(world->sent[0].p[1], 0x34);
	world->answer_at_once = true;
	assert_true(datagram(s, "192.168.7.7", "8.8.8.8", 53)); /* whose queries come to us */
	assert_int_equal(world->n_sent, 2);
	assert_int_equal(world->sent[1].from.addr.b[0], 8);
	assert_int_equal(world->sent[1].to.addr.b[3], 7);
}

static void garbage_gets_silence(void **state)
{
	struct stage *s = *state;

	assert_true(datagram(s, "198.18.0.1", STACK, 53));
	world_reply(0, 0);
	assert_int_equal(world->n_sent, 0);
}

static void queries_into_a_routed_prefix_are_relayed(void **state)
{
	struct stage *s = *state;

	assert_true(datagram(s, "198.18.0.1", "10.4.0.2", 53));
	assert_true(world->query[0].ask.relay);
	assert_int_equal(world->query[0].ask.relay_to.upstream, 1);
	assert_int_equal(world->query[0].ask.relay_to.resolver.addr.b[1], 4);
	assert_int_equal(world->query[0].ask.relay_to.resolver.port, 53);
	world_reply(0, 20);
	assert_int_equal(world->sent[0].from.addr.b[1], 4);
}

/* A resolver of the LAN whose address a prefix of ours happens to hold. */
static void former_resolvers_are_ours(void **state)
{
	struct stage *s = *state;
	const struct net_endpoint v = { .addr = world_addr("10.0.0.2"), .port = 53 };

	rt_dns_forwarders(s->rt, &v, 1);
	assert_true(datagram(s, "198.18.0.1", "10.0.0.2", 53));
	assert_false(world->query[0].ask.relay);
	world_reply(0, 20);
}

static void other_datagrams(void **state)
{
	struct stage *s = *state;

	assert_false(datagram(s, "198.18.0.1", "10.0.0.9", 443)); /* QUIC falls back */
	assert_false(datagram(s, "198.18.0.1", STACK, 123));
	assert_false(datagram(s, "198.18.0.1", "10.1.0.9", 443)); /* reject */
	assert_false(datagram(s, "198.18.0.1", "10.1.0.9", 53));
	assert_true(datagram(s, "198.18.0.1", "10.2.0.9", 443)); /* drop: silence */
	assert_true(datagram(s, "198.18.0.1", "10.2.0.9", 53));
	assert_false(datagram(s, "198.18.0.1", "198.18.7.7", 53)); /* nobody's */
	assert_int_equal(world->n_queries, 0);
}

/* With mode off and the whole machine's traffic in the tunnel, resolvers are reached through it. */
static void off_and_system(void **state)
{
	struct stage *s = *state;

	set_default(s, RT_UPSTREAM, true);
	rt_dns_mode(s->rt, RT_DNS_OFF);
	assert_true(datagram(s, "198.18.0.1", "8.8.8.8", 53));
	assert_true(world->query[0].ask.relay);
	assert_int_equal(world->query[0].ask.relay_to.upstream, 1);
	set_default(s, RT_DIRECT, false);
	assert_false(datagram(s, "198.18.0.1", "8.8.8.8", 53));
	world_reply(0, 20);
}

static void a_name_server_by_name(void **state)
{
	struct stage *s = *state;

	world_fake_add("ns1.prod.internal", "198.18.1.0");
	assert_true(datagram(s, "198.18.0.1", "198.18.1.0", 53));
	assert_int_equal(world->n_queries, 0);
	assert_string_equal(world->resolve[0].name, "ns1.prod.internal");
	world_resolved(0, 0, "10.0.0.53", NULL);
	assert_true(world->query[0].ask.relay);
	assert_int_equal(world->query[0].ask.relay_to.resolver.addr.b[3], 53);
	assert_int_equal(world->query[0].msg[1], 0x34);
	world_reply(0, 20);
	assert_int_equal(world->sent[0].from.addr.b[0], 198);
	assert_true(datagram(s, "198.18.0.1", "198.18.1.0", 53));
	world_resolved(1, ST_ENOENT, NULL, NULL);
	assert_int_equal(world->n_sent, 1);
}

static void queries_are_bounded_for_each_source(void **state)
{
	struct stage *s = *state;
	const size_t most = (size_t)DNS_PENDING_MAX / 8 * 7;

	for (size_t i = 0; i < most + 10; i++)
		assert_true(datagram(s, "198.18.0.1", STACK, 53)); /* dropped beyond, not refused */
	assert_true(world->query[most - 1].open);
	for (size_t i = most; i < most + 10; i++)
		assert_true(world->query[i].cancelled);
	datagram(s, "172.17.0.2", STACK, 53); /* another machine behind this one */
	assert_true(world->query[most + 10].open);
	world->answer_at_once = true;
	datagram(s, "198.18.0.1", STACK, 53); /* what need not wait */
	assert_int_equal(world->n_sent, 1);
	world->answer_at_once = false;
	world_fake_add("ns1.prod.internal", "198.18.1.0");
	datagram(s, "198.18.0.1", "198.18.1.0", 53);
	assert_true(world->resolve[0].cancelled);
	world_reply(0, 20);
	datagram(s, "198.18.0.1", STACK, 53);
	assert_true(world->query[most + 12].open);
}

static void who_may_not_gets_no_fakes(void **state)
{
	struct stage *s = *state;

	may_answer = false;
	assert_true(datagram(s, "198.18.0.1", STACK, 53));
	assert_true(world->query[0].ask.no_fake);
	assert_int_equal(may_key.src.port, 5555);
	assert_false(may_tcp);
	assert_false(datagram(s, "198.18.0.1", "10.4.0.2", 53)); /* nor a relay, nor a flow */
	ns_conn c = world_syn(s->rt, "10.0.0.9", 80);
	assert_true(may_tcp);
	assert_int_equal(world->conn[c - 1].refused, (int)NS_REFUSE_PROHIBITED);
	assert_int_equal(world->n_chans, 0);
	world_reply(0, 20);
}

/* ---- the way to a resolver */

static struct {
	int opened, failed, io, gone;
	char text[64];
} seen;

static void on_opened(void *arg)
{
	(void)arg;
	seen.opened++;
}

static void on_failed(void *arg, const char *text)
{
	(void)arg;
	seen.failed++;
	snprintf(seen.text, sizeof(seen.text), "%s", text);
}

static void on_io(void *arg)
{
	(void)arg;
	seen.io++;
}

static void on_gone(void *arg)
{
	(void)arg;
	seen.gone++;
}

static const struct dns_stream_events stream_events = {
	.opened = on_opened, .failed = on_failed, .io = on_io, .gone = on_gone
};

static int dial(uint32_t slot, struct dns_stream *out)
{
	const struct dns_via via = { .upstream = slot,
				     .resolver = { .addr = world_addr("10.0.0.2"), .port = 5353 } };

	memset(&seen, 0, sizeof(seen));
	return world->hooks->dial(world->hooks_arg, &via, out, &stream_events, NULL);
}

static void a_stream_to_a_resolver(void **state)
{
	struct dns_stream d;
	uint8_t buf[8];

	(void)state;
	assert_int_equal(dial(1, &d), 0);
	assert_ptr_equal(world->chan[0].upstream, world_upstream(1));
	assert_int_equal(world->chan[0].dst.port, 5353);
	world->chan[0].events->opened(world->chan[0].arg, 1);
	assert_int_equal(seen.opened, 1);
	assert_int_equal(d.ops->room(d.owner, d.h), WORLD_BYTES);
	assert_int_equal(d.ops->write(d.owner, d.h, (const uint8_t *)"abc", 3), 0);
	assert_int_equal(world->chan[0].bytes->out_len, 3);
	assert_int_equal(d.ops->read(d.owner, d.h, buf, sizeof(buf)), ST_EAGAIN);
	memcpy(world->chan[0].bytes->in, "hello", 5);
	world->chan[0].bytes->in_len = 5;
	world->chan[0].events->readable(world->chan[0].arg, 1);
	assert_int_equal(seen.io, 1);
	assert_int_equal(d.ops->read(d.owner, d.h, buf, sizeof(buf)), 5);
	d.ops->close(d.owner, d.h);
	assert_true(world->chan[0].closed);
	/* Stale by now. */
	d.ops->close(d.owner, d.h);
	assert_int_equal(d.ops->read(d.owner, d.h, buf, sizeof(buf)), ST_ECLOSED);
	assert_int_equal(d.ops->write(d.owner, d.h, buf, 1), ST_ECLOSED);
	assert_int_equal(d.ops->room(d.owner, d.h), 0);
}

static void streams_that_end(void **state)
{
	struct dns_stream a, b, c;
	uint8_t buf[8];

	(void)state;
	assert_int_equal(dial(0, &a), 0);
	world->chan[0].open = false;
	world->chan[0].events->failed(world->chan[0].arg, 1, TNL_OPEN_REFUSED, "refused");
	assert_int_equal(seen.failed, 1);
	assert_string_equal(seen.text, "the resolver refused the connection");
	assert_int_equal(a.ops->read(a.owner, a.h, buf, sizeof(buf)), ST_ECLOSED);
	assert_int_equal(dial(0, &b), 0);
	world->chan[1].open = false;
	world->chan[1].events->gone(world->chan[1].arg, 2);
	assert_int_equal(seen.gone, 1);
	b.ops->close(b.owner, b.h);
	world->open_fails = ST_ENOMEM;
	assert_int_equal(dial(0, &c), ST_ENOMEM);
	world->open_fails = 0;
	assert_int_equal(dial(7, &c), ST_ENOENT); /* a free slot */
	world->state = TNL_WAITING;		  /* nothing gets there before somebody logs in */
	assert_int_equal(dial(0, &c), ST_ENOENT);
	world->state = TNL_DOWN;	  /* no session without flows: this starts one */
	assert_int_equal(dial(0, &c), 0); /* and is closed by rt_free() */
}

static void routed_is_what_a_rule_carries(void **state)
{
	static const struct {
		const char *addr;
		bool routed;
	} cases[] = { { "10.0.0.1", true },   { "10.1.0.1", true }, { "10.3.0.1", false },
		      { "192.0.2.1", false }, { "fd10::1", true },  { "198.18.1.1", true },
		      { "127.0.0.1", false } };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct net_addr a = world_addr(cases[i].addr);
		assert_int_equal(world->hooks->routed(world->hooks_arg, &a), cases[i].routed);
	}
}

/* Names and resolvers are told early, and there may be no names at all. */
static void before_the_start(void **state)
{
	struct stage s = { 0 };
	const struct net_endpoint v = { .addr = world_addr("192.168.1.1"), .port = 53 };
	const struct rt_dns_opts opts = { .stack4 = world_addr(STACK) };
	struct rt_table t = world_table();
	struct dns_verdict verdict;
	struct dns_stats st;
	struct rt_why why;

	(void)state;
	world_new();
	assert_int_equal(loop_new(&s.loop), 0);
	assert_int_equal(rt_new(&s.rt, &(struct rt_opts){ .loop = s.loop }), 0);
	rt_set_table(s.rt, &t);
	rt_dns_forwarders(s.rt, &v, 1);
	rt_dns_own_name(s.rt, "own.prod.internal");
	rt_dns_mode(s.rt, RT_DNS_OFF);
	rt_dns_stats(s.rt, &st);
	assert_int_equal(st.queries, 0);
	assert_int_equal(rt_explain(s.rt, "db.prod.internal", &why), 0);
	assert_int_equal(rt_explain(s.rt, "198.18.1.0", &why), 0);
	assert_false(why.fake);
	assert_false(datagram(&s, "198.18.0.1", STACK, 53));
	assert_int_equal(rt_dns_start(s.rt, &opts), 0);
	assert_int_equal(world->forwarders, 1);
	world->hooks->judge(world->hooks_arg, "own.prod.internal", &verdict);
	assert_int_equal(verdict.way, DNS_LOCAL);
	rt_free(s.rt);
	loop_free(s.loop);
	world_free();
}

/* Whatever is under way ends with the router. */
static void the_end_in_the_middle(void **state)
{
	struct stage *s = *state;

	assert_true(datagram(s, "198.18.0.1", STACK, 53));
	assert_true(datagram(s, "fd00:5::1", "fd00:5::2", 53));
	assert_int_equal(world->n_queries, 2);
}

#define SCENE(f) cmocka_unit_test_setup_teardown(f, set_up, world_stage_end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		SCENE(names_and_their_ways),
		SCENE(names_without_a_rule),
		SCENE(hosts_of_our_own),
		SCENE(off_refuses),
		SCENE(a_query_is_answered_by_who_was_asked),
		SCENE(garbage_gets_silence),
		SCENE(queries_into_a_routed_prefix_are_relayed),
		SCENE(former_resolvers_are_ours),
		SCENE(other_datagrams),
		SCENE(off_and_system),
		SCENE(a_name_server_by_name),
		SCENE(queries_are_bounded_for_each_source),
		SCENE(who_may_not_gets_no_fakes),
		SCENE(a_stream_to_a_resolver),
		SCENE(streams_that_end),
		SCENE(routed_is_what_a_rule_carries),
		SCENE(the_end_in_the_middle),
		cmocka_unit_test(before_the_start),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
