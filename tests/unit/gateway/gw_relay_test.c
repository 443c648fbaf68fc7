// SPDX-License-Identifier: MIT
/*
 * gw_relay_test.c - the data path of a session over fake sockets
 *
 * Cases: unchanged and in order, also through a socket that says ST_EAGAIN; held while a side has no socket; the
 * sender is stopped before GWS_HELD_MAX and read again at a quarter, also when it comes new; what exceeds the
 * bound is dropped and nothing else; agent_session_state is kept; pause and start with pause-unacked; cut-after.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "gateway/gw_relay.h"
#include "gateway/gw_session.h"
#include "proto/ssm_msg.h"

#define CLIENT 1U /* handles of the fake sockets */
#define AGENT 2U
#define SOCKS 3U

/* In the place of ws/: a socket that takes bytes up to a limit. */
static struct {
	size_t room;   /* bytes that it takes before ST_EAGAIN */
	size_t queued; /* what ws_queued() says */
	bool stopped;
	uint32_t got, last; /* messages, and the number in the last one */
	size_t last_len;
	bool in_order;
	char last_type[SSM_TYPE_LEN + 1];
} socks[SOCKS];

size_t ws_queued(struct ws_ctx *ctx, ws_conn h)
{
	(void)ctx;
	return socks[h].queued;
}

void ws_pause(struct ws_ctx *ctx, ws_conn h, bool stop)
{
	(void)ctx;
	assert_int_not_equal(socks[h].stopped, stop); /* told once */
	socks[h].stopped = stop;
}

int ws_send(struct ws_ctx *ctx, ws_conn h, const uint8_t *p, size_t len, bool text)
{
	uint32_t n;

	(void)ctx;
	assert_false(text);
	if (len > socks[h].room)
		return ST_EAGAIN;
	socks[h].room -= len;
	if (len >= 4 + SSM_TYPE_LEN)
		memcpy(socks[h].last_type, p + 4, SSM_TYPE_LEN);
	memcpy(&n, p + len - sizeof(n), sizeof(n));
	socks[h].in_order &= socks[h].got == 0 || n > socks[h].last;
	socks[h].last = n;
	socks[h].last_len = len;
	socks[h].got++;
	return 0;
}

int64_t gw_unix_ms(void)
{
	return 1763650000000;
}

/* ---- */

struct fixture {
	struct gw gw;
	struct gw_relay relay;
	uint32_t next; /* number of the next message */
	int cuts[GW_SIDE_N];
};

static void on_cut(void *arg, enum gw_side side)
{
	struct fixture *f = arg;

	f->cuts[side]++;
	gw_relay_detach(&f->relay, side);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_int_equal(loop_new(&f->gw.loop), 0);
	memset(socks, 0, sizeof(socks));
	for (size_t i = 0; i < SOCKS; i++) {
		socks[i].room = SIZE_MAX;
		socks[i].in_order = true;
	}
	gw_relay_init(&f->relay, &f->gw, on_cut, f);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	gw_relay_fini(&f->relay);
	loop_free(f->gw.loop);
	free(f);
	return 0;
}

/* A message of @type and @len bytes that ends in its number. */
static void put(struct fixture *f, enum gw_side from, const char *type, size_t len)
{
	uint8_t *m = calloc(1, len);

	m[3] = 116;
	memset(m + 4, ' ', SSM_TYPE_LEN);
	for (size_t i = 0; type[i]; i++)
		m[4 + i] = (uint8_t)type[i];
	f->next++;
	memcpy(m + len - sizeof(f->next), &f->next, sizeof(f->next));
	gw_relay_message(&f->relay, from, m, len);
	free(m);
}

static void put_data(struct fixture *f, enum gw_side from, size_t len)
{
	put(f, from, from == GW_CLIENT ? "input_stream_data" : "output_stream_data", len);
}

static void both(struct fixture *f)
{
	gw_relay_attach(&f->relay, GW_CLIENT, CLIENT);
	gw_relay_attach(&f->relay, GW_AGENT, AGENT);
}

static void test_passes(void **state)
{
	struct fixture *f = *state;

	both(f);
	for (int i = 0; i < 100; i++)
		put_data(f, GW_CLIENT, 200);
	assert_int_equal(socks[AGENT].got, 100);
	assert_int_equal(socks[AGENT].last_len, 200);
	assert_int_equal(socks[CLIENT].got, 0);
	put(f, GW_AGENT, "acknowledge", 300);
	assert_int_equal(socks[CLIENT].got, 1);
	put(f, GW_AGENT, "agent_session_state", 300);
	assert_int_equal(socks[CLIENT].got, 1);
	put(f, GW_CLIENT, "agent_session_state", 300); /* the client's are its own affair */
	assert_int_equal(socks[AGENT].got, 101);
	assert_true(socks[AGENT].in_order);
}

static void test_again(void **state)
{
	struct fixture *f = *state;

	both(f);
	socks[AGENT].room = 1000;
	for (int i = 0; i < 10; i++)
		put_data(f, GW_CLIENT, 300);
	assert_int_equal(socks[AGENT].got, 3);
	assert_false(gw_relay_is_drained(&f->relay, GW_AGENT));
	socks[AGENT].room = 650;
	put_data(f, GW_CLIENT, 200); /* fits, but must not overtake */
	assert_int_equal(socks[AGENT].got, 3);
	gw_relay_writable(&f->relay, GW_AGENT);
	assert_int_equal(socks[AGENT].got, 5);
	socks[AGENT].room = SIZE_MAX;
	gw_relay_writable(&f->relay, GW_AGENT);
	assert_int_equal(socks[AGENT].got, 11);
	assert_true(socks[AGENT].in_order);
	assert_true(gw_relay_is_drained(&f->relay, GW_AGENT));
}

static void test_absent_side(void **state)
{
	struct fixture *f = *state;

	gw_relay_attach(&f->relay, GW_AGENT, AGENT);
	for (int i = 0; i < 5; i++)
		put_data(f, GW_AGENT, 300);
	gw_relay_attach(&f->relay, GW_CLIENT, CLIENT);
	assert_int_equal(socks[CLIENT].got, 5);
	gw_relay_detach(&f->relay, GW_CLIENT);
	put_data(f, GW_AGENT, 300);
	gw_relay_attach(&f->relay, GW_CLIENT, CLIENT);
	assert_int_equal(socks[CLIENT].got, 6);
	assert_true(socks[CLIENT].in_order);
}

static void test_stops_the_sender(void **state)
{
	struct fixture *f = *state;
	uint32_t sent = 0;

	both(f);
	socks[CLIENT].room = 0;
	while (!socks[AGENT].stopped && sent < 1000) {
		put_data(f, GW_AGENT, KIB(64));
		sent++;
	}
	assert_in_range(sent, 48, 49); /* one message of 1 MiB must still fit below 4 MiB */
	put_data(f, GW_AGENT, WS_MESSAGE_MAX - KIB(64));
	sent++;
	for (int i = 0; i < 10; i++)
		put_data(f, GW_AGENT, KIB(64)); /* beyond the bound: dropped */
	assert_true(f->relay.end[GW_CLIENT].held_bytes <= GWS_HELD_MAX);
	assert_false(socks[CLIENT].stopped); /* the other direction goes on */
	put_data(f, GW_CLIENT, 300);
	assert_int_equal(socks[AGENT].got, 1);

	gw_relay_detach(&f->relay, GW_AGENT); /* a new socket of a stopped side is stopped, too */
	socks[AGENT].stopped = false;
	gw_relay_attach(&f->relay, GW_AGENT, AGENT);
	assert_true(socks[AGENT].stopped);

	socks[CLIENT].room = MIB(2);
	gw_relay_writable(&f->relay, GW_CLIENT);
	assert_true(socks[AGENT].stopped); /* still above a quarter */
	socks[CLIENT].room = MIB(2);
	gw_relay_writable(&f->relay, GW_CLIENT);
	assert_false(socks[AGENT].stopped);
	assert_true(gw_relay_is_drained(&f->relay, GW_CLIENT));
	assert_true(socks[CLIENT].got >= sent);
	assert_true(socks[CLIENT].in_order);
}

static void test_queue_of_ws_counts(void **state)
{
	struct fixture *f = *state;

	both(f);
	socks[AGENT].queued = GWS_HELD_MAX - WS_MESSAGE_MAX + 1;
	put_data(f, GW_CLIENT, 200);
	assert_true(socks[CLIENT].stopped);
	socks[AGENT].queued = GWS_HELD_MAX / 4 + 1;
	gw_relay_writable(&f->relay, GW_AGENT);
	assert_true(socks[CLIENT].stopped);
	/* ws/ promises a further writable() only above this level */
	socks[AGENT].queued = WS_QUEUE_MAX / 2;
	gw_relay_writable(&f->relay, GW_AGENT);
	assert_false(socks[CLIENT].stopped);
}

static void test_short_messages(void **state)
{
	static const uint8_t bytes[8] = { 0 };
	struct fixture *f = *state;

	both(f);
	for (size_t n = 4; n <= sizeof(bytes); n++) /* the fake reads the last four */
		gw_relay_message(&f->relay, GW_AGENT, bytes, n);
	assert_int_equal(socks[CLIENT].got, 5);
}

static void fault_set(struct fixture *f, const char *text)
{
	const char *why;

	assert_int_equal(gwf_parse(&f->gw.fault, text, &why), 0);
}

static void test_pause_unacked(void **state)
{
	struct fixture *f = *state;

	fault_set(f, "pause-unacked=4");
	both(f);
	for (int i = 0; i < 4; i++)
		put_data(f, GW_CLIENT, 200);
	assert_int_equal(socks[CLIENT].got, 0);
	put_data(f, GW_CLIENT, 200);
	assert_int_equal(socks[CLIENT].got, 1);
	assert_memory_equal(socks[CLIENT].last_type, "pause_publication", 17);
	put(f, GW_AGENT, "acknowledge", 200);
	put(f, GW_AGENT, "acknowledge", 200);
	assert_int_equal(socks[CLIENT].got, 3); /* the two acks */
	put(f, GW_AGENT, "acknowledge", 200);
	assert_int_equal(socks[CLIENT].got, 5); /* an ack and the go-ahead */
	assert_false(f->relay.end[GW_CLIENT].told_pause);
	assert_int_equal(socks[AGENT].got, 5);
}

static void test_faults_off_while_paused(void **state)
{
	struct fixture *f = *state;

	fault_set(f, "pause-unacked=1");
	both(f);
	put_data(f, GW_CLIENT, 200);
	put_data(f, GW_CLIENT, 200);
	assert_memory_equal(socks[CLIENT].last_type, "pause_publication", 17);
	fault_set(f, "off");
	put_data(f, GW_AGENT, 200); /* says nothing about what the client sent */
	assert_true(f->relay.end[GW_CLIENT].told_pause);
	put(f, GW_AGENT, "acknowledge", 200);
	assert_false(f->relay.end[GW_CLIENT].told_pause);
	assert_int_equal(socks[CLIENT].got, 4); /* pause, data, go-ahead, the ack */
}

static void test_cut_after(void **state)
{
	struct fixture *f = *state;

	fault_set(f, "cut-after=1000,cut-side=both");
	both(f);
	for (int i = 0; i < 4; i++)
		put_data(f, GW_CLIENT, 200);
	assert_int_equal(f->cuts[GW_CLIENT] + f->cuts[GW_AGENT], 0);
	put_data(f, GW_AGENT, 200);
	assert_int_equal(f->cuts[GW_CLIENT], 1);
	assert_int_equal(f->cuts[GW_AGENT], 1);
	both(f); /* new sockets begin anew */
	put_data(f, GW_CLIENT, 999);
	assert_int_equal(f->cuts[GW_CLIENT] + f->cuts[GW_AGENT], 2);
	fault_set(f, "off");
	put_data(f, GW_CLIENT, 999);
	assert_int_equal(f->cuts[GW_CLIENT] + f->cuts[GW_AGENT], 2);
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_passes),
		CASE(test_again),
		CASE(test_absent_side),
		CASE(test_stops_the_sender),
		CASE(test_queue_of_ws_counts),
		CASE(test_short_messages),
		CASE(test_pause_unacked),
		CASE(test_faults_off_while_paused),
		CASE(test_cut_after),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
