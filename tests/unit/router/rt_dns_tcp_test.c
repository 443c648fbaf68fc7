// SPDX-License-Identifier: MIT
/* rt_dns_tcp_test.c - the DNS server's clients by TCP: framing, pipelining, limits, ends */
#include "rt_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"

#define STACK "198.18.0.2"
#define QUERY_BYTES 20U

static int set_up(void **state)
{
	return world_stage(state, RT_DNS_FAKE, NULL);
}

static void event(ns_conn c, void (*fn)(void *conn_arg, ns_conn c))
{
	fn(world->conn[c - 1].owner, c);
}

static ns_conn client(struct stage *s)
{
	ns_conn c = world_syn(s->rt, STACK, 53);

	assert_true(world->conn[c - 1].accepted);
	event(c, rt_ns_events()->established);
	world_turn(s);
	return c;
}

static void put(ns_conn c, const void *p, size_t len)
{
	struct world_bytes *b = world_conn_bytes(c);

	assert_true(b->in_len + len <= WORLD_BYTES);
	memcpy(b->in + b->in_len, p, len);
	b->in_len += len;
}

static void put_query(ns_conn c, uint8_t id)
{
	uint8_t m[2 + QUERY_BYTES] = { 0, QUERY_BYTES, 0, id, 1, 0, 0, 1 };

	put(c, m, sizeof(m));
}

static void arrives(struct stage *s, ns_conn c)
{
	event(c, rt_ns_events()->readable);
	world_turn(s);
}

static void a_query(void **state)
{
	struct stage *s = *state;
	ns_conn c = client(s);
	struct world_bytes *b = world_conn_bytes(c);

	put_query(c, 7);
	arrives(s, c);
	assert_int_equal(world->n_queries, 1);
	assert_int_equal(world->query[0].len, QUERY_BYTES);
	assert_true(world->query[0].ask.tcp);
	world_reply(0, QUERY_BYTES);
	world_turn(s);
	assert_int_equal(b->out_len, 2 + QUERY_BYTES);
	assert_int_equal(be16_get(b->out), QUERY_BYTES);
	assert_int_equal(b->out[3], 7);
}

/* A message that comes byte by byte, and several in one segment. */
static void messages_in_pieces(void **state)
{
	struct stage *s = *state;
	ns_conn c = client(s);
	const uint8_t m[2 + QUERY_BYTES] = { 0, QUERY_BYTES, 0, 1 };

	for (size_t i = 0; i < sizeof(m); i++) {
		assert_int_equal(world->n_queries, 0);
		put(c, &m[i], 1);
		arrives(s, c);
	}
	assert_int_equal(world->n_queries, 1);
	for (uint8_t i = 2; i < 6; i++)
		put_query(c, i);
	put(c, m, 3);
	arrives(s, c);
	assert_int_equal(world->n_queries, 5);
	put(c, m + 3, sizeof(m) - 3);
	arrives(s, c);
	assert_int_equal(world->n_queries, 6);
}

static void answers_in_any_order(void **state)
{
	struct stage *s = *state;
	ns_conn c = client(s);
	struct world_bytes *b = world_conn_bytes(c);

	for (uint8_t i = 0; i < 3; i++)
		put_query(c, i);
	arrives(s, c);
	world_reply(2, QUERY_BYTES);
	world_reply(0, 0); /* none is due */
	world_reply(1, QUERY_BYTES);
	world_turn(s);
	assert_int_equal(b->out_len, 2 * (2 + QUERY_BYTES));
	assert_int_equal(b->out[3], 2);
	assert_int_equal(b->out[2 + QUERY_BYTES + 3], 1);
}

/* 64 under way; the rest waits in the window until one of them is answered. */
static void pipelining_is_bounded(void **state)
{
	struct stage *s = *state;
	ns_conn c = client(s);

	for (uint8_t i = 0; i < 100; i++)
		put_query(c, i);
	arrives(s, c);
	assert_int_equal(world->n_queries, 64);
	world_reply(5, QUERY_BYTES);
	world_turn(s);
	assert_int_equal(world->n_queries, 65);
	world->answer_at_once = true;
	world_reply(6, QUERY_BYTES);
	world_turn(s);
	assert_int_equal(world->n_queries, 100);
	assert_int_equal(world_conn_bytes(c)->out_len, (2 + 35) * (2 + QUERY_BYTES));
}

static void many_at_once(void **state)
{
	struct stage *s = *state;
	ns_conn c = client(s);

	world->answer_at_once = true;
	for (size_t i = 0; i < 250; i++)
		put_query(c, (uint8_t)i);
	arrives(s, c);
	assert_int_equal(world->n_queries, 250);
	assert_int_equal(world_conn_bytes(c)->out_len, 250 * (2 + QUERY_BYTES));
}

/* Who sends but does not read is not read either, and is reset after its time. */
static void a_client_that_does_not_read(void **state)
{
	struct stage *s = *state;
	ns_conn c = client(s);
	struct world_bytes *b = world_conn_bytes(c);

	world->answer_at_once = true;
	b->room = 0;
	for (size_t i = 0; i < 250; i++)
		put_query(c, (uint8_t)i);
	arrives(s, c);
	b->room = 30;
	event(c, rt_ns_events()->writable);
	world_turn(s);
	assert_int_equal(b->out_len, 30);
	b->room = 0;
	world_pass(s, 31000);
	assert_true(world->conn[c - 1].aborted);
}

static void half_closed(void **state)
{
	struct stage *s = *state;
	ns_conn c = client(s);
	struct world_bytes *b = world_conn_bytes(c);

	put_query(c, 1);
	b->in_eof = true;
	arrives(s, c);
	assert_int_equal(world->n_queries, 1);
	assert_false(b->shut);
	world_reply(0, QUERY_BYTES);
	world_turn(s);
	assert_int_equal(b->out_len, 2 + QUERY_BYTES);
	assert_true(b->shut);
	assert_false(world->conn[c - 1].aborted);
	world->conn[c - 1].open = false;
	event(c, rt_ns_events()->finished);
	world_turn(s);
	struct rt_stats st;
	rt_stats(s->rt, &st);
	assert_int_equal(st.dns_clients, 0);
}

static void lengths_that_no_query_has(void **state)
{
	static const uint8_t lengths[] = { 0, 1, 11 };
	struct stage *s = *state;

	for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
		const uint8_t m[16] = { 0, lengths[i] };
		ns_conn c = client(s);

		put(c, m, sizeof(m));
		arrives(s, c);
		assert_true(world->conn[c - 1].aborted);
	}
	assert_int_equal(world->n_queries, 0);
}

static void silence_ends_it(void **state)
{
	struct stage *s = *state;
	ns_conn c = client(s), d = client(s);

	put_query(d, 1); /* what is under way is waited for */
	arrives(s, d);
	world_pass(s, 11000);
	assert_false(world_conn_bytes(c)->shut);
	world_pass(s, 11000);
	world_pass(s, 11000);
	assert_true(world_conn_bytes(c)->shut);
	assert_false(world_conn_bytes(d)->shut);
	assert_false(world->conn[c - 1].aborted);
	world_pass(s, 11000); /* no FIN comes */
	assert_true(world->conn[c - 1].aborted);
	world_reply(0, QUERY_BYTES);
	world_turn(s);
	assert_int_equal(world_conn_bytes(d)->out_len, 2 + QUERY_BYTES);
}

/* Bytes that never make a message are no sign of life. */
static void a_slow_half_message(void **state)
{
	struct stage *s = *state;
	ns_conn c = client(s);
	static const uint8_t m[2] = { 0, 200 };

	put(c, m, 2);
	arrives(s, c);
	for (int i = 0; i < 3; i++) {
		world_pass(s, 11000);
		put(c, m, 1);
		arrives(s, c);
	}
	assert_true(world_conn_bytes(c)->shut);
}

static void clients_are_bounded(void **state)
{
	struct stage *s = *state;
	ns_conn first = client(s), last;

	for (int i = 1; i < 64; i++)
		client(s);
	last = world_syn(s->rt, STACK, 53);
	assert_null(world->conn[last - 1].owner); /* RST by the netstack */
	world->conn[last - 1].open = false;
	world_pass(s, 11000); /* silence is borne for less now */
	assert_true(world_conn_bytes(first)->shut);
}

static void the_client_goes(void **state)
{
	struct stage *s = *state;
	ns_conn c = client(s);

	put_query(c, 1);
	arrives(s, c);
	world->conn[c - 1].open = false;
	event(c, rt_ns_events()->gone);
	assert_true(world->query[0].cancelled);
	world_turn(s);
}

/* To an address inside an explicit rule it is a flow as any other. */
static void others_are_flows(void **state)
{
	struct stage *s = *state;
	ns_conn c = world_syn(s->rt, "10.0.0.53", 53), d = world_syn(s->rt, "8.8.8.8", 53);

	assert_int_equal(world->n_chans, 1);
	assert_false(world->conn[c - 1].accepted);
	assert_true(world->conn[d - 1].accepted); /* a resolver whose queries come to us */
	world->conn[c - 1].open = false;
	event(c, rt_ns_events()->gone);
}

static void the_end_in_the_middle(void **state)
{
	struct stage *s = *state;
	ns_conn c = client(s);

	put_query(c, 1);
	put_query(c, 2);
	arrives(s, c);
	assert_int_equal(world->n_queries, 2);
}

#define SCENE(f) cmocka_unit_test_setup_teardown(f, set_up, world_stage_end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		SCENE(a_query),
		SCENE(messages_in_pieces),
		SCENE(answers_in_any_order),
		SCENE(pipelining_is_bounded),
		SCENE(many_at_once),
		SCENE(a_client_that_does_not_read),
		SCENE(half_closed),
		SCENE(lengths_that_no_query_has),
		SCENE(silence_ends_it),
		SCENE(a_slow_half_message),
		SCENE(clients_are_bounded),
		SCENE(the_client_goes),
		SCENE(others_are_flows),
		SCENE(the_end_in_the_middle),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
