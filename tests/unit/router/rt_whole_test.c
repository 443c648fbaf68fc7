// SPDX-License-Identifier: MIT
/*
 * rt_whole_test.c - router and dns as they ship, between a scripted netstack and a scripted tunnel
 *
 * A query comes as a datagram, the resolver behind an upstream is played by a channel's bytes, and a flow to what was answered follows.
 */
#include "rt_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"

#define HEADER 12U
#define TYPE_A 1U
#define TYPE_AAAA 28U

static int set_up_mode(void **state, enum rt_dns_mode mode)
{
	const struct rt_dns_opts more = {
		.fake4 = { .addr = { 4, { 198, 18 } }, .len = 16 },
	};

	return world_stage(state, mode, &more);
}

static int set_up(void **state)
{
	return set_up_mode(state, RT_DNS_FAKE);
}

static int set_up_tunnel(void **state)
{
	return set_up_mode(state, RT_DNS_TUNNEL);
}

/* ---- messages by hand */

static size_t question(uint8_t *out, uint16_t id, const char *name, uint8_t type)
{
	size_t at = HEADER;

	memset(out, 0, HEADER);
	be16_put(out, id);
	out[2] = 1; /* RD */
	out[5] = 1;
	while (*name) {
		const size_t len = strcspn(name, ".");
		out[at++] = (uint8_t)len;
		memcpy(out + at, name, len);
		at += len;
		name += len + (name[len] == '.');
	}
	memcpy(out + at, (const uint8_t[]){ 0, 0, type, 0, 1 }, 5);
	return at + 5;
}

static void ask(struct stage *s, uint16_t id, const char *name, uint8_t type)
{
	const struct ns_flow_key key = {
		.src = { .addr = world_addr("198.18.0.1"), .port = id },
		.dst = { .addr = world_addr("198.18.0.2"), .port = 53 },
	};
	uint8_t msg[300];
	const size_t len = question(msg, id, name, type);

	assert_true(rt_ns_events()->udp(s->rt, &key, msg, len));
	world_turn(s);
}

/* The resolver at channel @chan answers all that it was asked and has not answered: A by @addr, AAAA by nothing. Return: how many */
static size_t resolver_answers(struct stage *s, size_t chan, size_t *from, const char *addr)
{
	const struct net_addr a = world_addr(addr);
	struct world_bytes *b = world->chan[chan].bytes;
	size_t n = 0;

	assert_non_null(b);
	while (*from < b->out_len) {
		const uint8_t *query = b->out + *from;
		const size_t len = be16_get(query),
			     q = HEADER + strlen((const char *)query + 2 + HEADER) + 5;
		const bool is_a = query[2 + q - 3] == TYPE_A;
		uint8_t *out = b->in + b->in_len, *answer = out + 2 + q;

		memcpy(out + 2, query + 2, q);
		memset(out + 2 + 6, 0, 6);
		out[2 + 2] |= 0x80; /* QR */
		out[2 + 7] = is_a;
		if (is_a) {
			memcpy(answer,
			       (const uint8_t[]){ 0xc0, HEADER, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4 },
			       12);
			memcpy(answer + 12, a.b, 4);
		}
		be16_put(out, (uint16_t)(q + (is_a ? 16 : 0)));
		b->in_len += 2 + be16_get(out);
		*from += 2 + len;
		n++;
	}
	world->chan[chan].events->readable(world->chan[chan].arg, chan + 1);
	world_turn(s);
	return n;
}

static void opened(struct stage *s, size_t chan)
{
	world->chan[chan].events->opened(world->chan[chan].arg, chan + 1);
	world_turn(s);
}

/* The address of the last datagram's one answer. */
static const char *answered(char text[NET_ADDR_STR])
{
	const struct world_datagram *g = &world->sent[world->n_sent - 1];
	struct net_addr a = { .family = 4 };
	const size_t q = HEADER + strlen((const char *)g->p + HEADER) + 5;

	assert_int_equal(g->p[3] & 0x0f, 0);
	assert_int_equal(be16_get(g->p + 6), 1);
	assert_true(g->len >= q + 16);
	memcpy(a.b, g->p + q + 12, 4);
	return net_addr_str(text, &a);
}

/* ---- scenes */

static void from_a_name_to_a_flow(void **state)
{
	struct stage *s = *state;
	char fake[NET_ADDR_STR], real[NET_ADDR_STR];
	size_t from = 0;
	ns_conn c;

	ask(s, 1000, "db.prod.internal", TYPE_A);
	assert_int_equal(world->n_chans, 1); /* to the upstream's resolver */
	assert_ptr_equal(world->chan[0].upstream, world_upstream(0));
	assert_int_equal(world->chan[0].dst.port, 53);
	assert_int_equal(world->n_sent, 0);
	opened(s, 0);
	assert_true(resolver_answers(s, 0, &from, "10.0.0.9") >= 1);
	assert_int_equal(world->n_sent, 1);
	assert_int_equal(world->sent[0].to.port, 1000);
	assert_memory_equal(answered(fake), "198.18.", 7);
	c = world_syn(s->rt, fake, 5432);
	world_turn(s);
	resolver_answers(s, 0, &from, "10.0.0.9"); /* what was not asked yet */
	assert_int_equal(world->n_chans, 2);
	assert_string_equal(net_addr_str(real, &world->chan[1].dst.addr), "10.0.0.9");
	assert_int_equal(world->chan[1].dst.port, 5432);
	opened(s, 1);
	assert_true(world->conn[c - 1].accepted);
	ask(s, 1001, "DB.prod.internal", TYPE_A); /* the same again, at once */
	assert_int_equal(world->n_sent, 2);
	ask(s, 1002, "x.no.internal", TYPE_A);
	assert_int_equal(world->n_sent, 3);
	assert_int_equal(world->sent[2].p[3] & 0x0f, 3); /* NXDOMAIN */
	ask(s, 1003, "example.com", TYPE_A);		 /* nobody was there before us */
	assert_int_equal(world->sent[3].p[3] & 0x0f, 5); /* REFUSED */
}

static void two_upstreams_one_address(void **state)
{
	struct stage *s = *state;
	char a[NET_ADDR_STR], b[NET_ADDR_STR];
	size_t from0 = 0, from1 = 0;

	ask(s, 1000, "db.prod.internal", TYPE_A);
	ask(s, 1001, "db.dev.internal", TYPE_A);
	assert_int_equal(world->n_chans, 2);
	opened(s, 0);
	opened(s, 1);
	resolver_answers(s, 0, &from0, "10.0.0.9");
	answered(a);
	resolver_answers(s, 1, &from1, "10.0.0.9");
	answered(b);
	assert_string_not_equal(a, b);
	world_syn(s->rt, a, 80);
	world_syn(s->rt, b, 80);
	world_turn(s);
	resolver_answers(s, 0, &from0, "10.0.0.9");
	resolver_answers(s, 1, &from1, "10.0.0.9");
	assert_int_equal(world->n_chans, 4);
	assert_ptr_equal(world->chan[2].upstream, world_upstream(0));
	assert_ptr_equal(world->chan[3].upstream, world_upstream(1));
	assert_true(net_addr_eq(&world->chan[2].dst.addr, &world->chan[3].dst.addr));
}

/* Real answers are learned before they leave. */
static void tunnel_mode(void **state)
{
	struct stage *s = *state;
	char text[NET_ADDR_STR];
	size_t from = 0;
	struct net_addr learned;

	ask(s, 1000, "db.dev.internal", TYPE_A);
	opened(s, 0);
	resolver_answers(s, 0, &from, "192.0.2.9");
	assert_string_equal(answered(text), "192.0.2.9");
	assert_int_equal(rt_dns_learned(s->rt, &learned, 1), 1);
	world_syn(s->rt, "192.0.2.9", 80);
	assert_int_equal(world->n_chans, 2);
	assert_ptr_equal(world->chan[1].upstream, world_upstream(1));
}

static void a_login_is_awaited(void **state)
{
	struct stage *s = *state;

	world->state = TNL_WAITING;
	ask(s, 1000, "db.prod.internal", TYPE_A);
	assert_int_equal(world->n_chans, 0);
	assert_int_equal(world->n_sent, 1);
	assert_int_equal(world->sent[0].p[3] & 0x0f, 2); /* SERVFAIL, not silence */
}

/* One upstream's resolver is silent, and this machine asks it for more names than there is room for. */
static void a_dead_resolver_silences_no_other(void **state)
{
	struct stage *s = *state;
	char name[32], fake[NET_ADDR_STR], again[NET_ADDR_STR];
	size_t from = 0, before;

	ask(s, 1000, "known.dev.internal", TYPE_A); /* the other one's */
	opened(s, 0);
	resolver_answers(s, 0, &from, "10.4.0.9");
	answered(fake);
	for (unsigned i = 0; i < DNS_PENDING_MAX; i++) {
		snprintf(name, sizeof(name), "h%u.prod.internal", i);
		ask(s, (uint16_t)(2000 + i), name, TYPE_A);
	}
	assert_true(world->n_sent > 1);
	assert_int_equal(world->sent[1].p[3] & 0x0f, 2); /* SERVFAIL, not silence */
	before = world->n_sent;
	ask(s, 1001, "new.dev.internal", TYPE_A);
	resolver_answers(s, 0, &from, "10.4.0.10");
	assert_int_equal(world->n_sent, before + 1);
	assert_int_equal(world->sent[before].to.port, 1001);
	ask(s, 1002, "known.dev.internal", TYPE_A);
	assert_int_equal(world->n_sent, before + 2);
	assert_string_equal(answered(again), fake);
}

/* A program looks for name servers all over a routed prefix: each is one channel that nobody answers. */
static void a_scan_for_resolvers_holds_up_no_name(void **state)
{
	struct stage *s = *state;
	char fake[NET_ADDR_STR];
	size_t from = 0, chan, before;

	for (unsigned i = 0; i < 2 * DNS_PIPES_MAX; i++) {
		const struct ns_flow_key key = {
			.src = { .addr = world_addr("198.18.0.1"), .port = (uint16_t)(2000 + i) },
			.dst = { .addr = { 4, { 10, 0, 7, (uint8_t)i } }, .port = 53 },
		};
		uint8_t msg[300];

		assert_true(rt_ns_events()->udp(s->rt, &key, msg,
						question(msg, 7, "db.dev.internal", TYPE_A)));
	}
	world_turn(s);
	before = world->n_sent;
	chan = world->n_chans;
	ask(s, 1000, "db.dev.internal", TYPE_A);
	assert_int_equal(world->n_sent, before);
	assert_int_equal(world->n_chans, chan + 1);
	opened(s, chan);
	resolver_answers(s, chan, &from, "10.4.0.9");
	assert_int_equal(world->n_sent, before + 1);
	assert_memory_equal(answered(fake), "198.18.", 7);
}

static void a_reload_and_an_upstream_that_goes(void **state)
{
	struct stage *s = *state;
	struct rt_table t = { .default_action = RT_DIRECT };
	size_t from = 0;

	ask(s, 1000, "db.prod.internal", TYPE_A);
	opened(s, 0);
	resolver_answers(s, 0, &from, "10.0.0.9");
	ask(s, 1001, "other.prod.internal", TYPE_A);
	assert_int_equal(rt_rules_new(&t.rules, NULL, 0), 0);
	rt_set_table(s->rt, &t);
	world_turn(s);
	assert_true(world->chan[0].closed); /* no rule leads there any more */
	assert_int_equal(world->n_sent, 2);
	assert_int_equal(world->sent[1].p[3] & 0x0f, 2);
}

#define SCENE(f, up) cmocka_unit_test_setup_teardown(f, up, world_stage_end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		SCENE(from_a_name_to_a_flow, set_up),
		SCENE(two_upstreams_one_address, set_up),
		SCENE(tunnel_mode, set_up_tunnel),
		SCENE(a_login_is_awaited, set_up),
		SCENE(a_dead_resolver_silences_no_other, set_up),
		SCENE(a_scan_for_resolvers_holds_up_no_name, set_up),
		SCENE(a_reload_and_an_upstream_that_goes, set_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
