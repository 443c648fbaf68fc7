// SPDX-License-Identifier: MIT
/*
 * ws_echo_test.c - messages between our client and our server
 *
 * Cases: small text and binary over wss and ws, every length at which the frame header changes, 1 MiB
 * both ways, more than WS_MESSAGE_MAX, empty; back-pressure and writable; pause and resume; close
 * codes and reasons of both sides; drop; stale handles; keepalive by ping, its time-out; probes; rest.
 */
#include "testkit.h"

#include <stdlib.h>
#include <string.h>

#include "base/codec.h"

static void send_echo(struct kit *k, struct seen *s, const void *p, size_t len, bool text)
{
	const unsigned before = s->messages;

	assert_int_equal(ws_send(k->ctx, s->conn, p, len, text), 0);
	kit_until(k, s->messages > before || s->closed);
	assert_int_equal(s->closed, 0);
	assert_int_equal(s->last.len, len);
	assert_int_equal(s->text, text);
	if (len)
		assert_memory_equal(buf_data(&s->last), p, len);
}

static void echo(bool tls)
{
	static const size_t lens[] = { 1,     125,   126,   127,   1144,  15990, 15991,
				       16000, 16384, 16385, 65535, 65536, 70000, 300000 };
	uint8_t *p = malloc(MIB(1));
	struct kit k;
	struct seen s;
	char url[256];
	struct ws_connect_opts opts;

	codec_random(p, MIB(1));
	kit_new(&k, tls);
	opts = kit_opts(&k, url);
	if (!tls)
		memmove(url + 2, url + 3, strlen(url + 3) + 1);
	seen_init(&s, &k);
	assert_int_equal(kit_connect(&k, &s, &opts), 0);
	kit_until(&k, s.opened || s.closed);
	send_echo(&k, &s, "hello", 5, true);
	send_echo(&k, &s, "\0\1\2", 3, false);
	for (size_t i = 0; i < ARRAY_LEN(lens); i++)
		send_echo(&k, &s, p, lens[i], false);
	send_echo(&k, &s, p, MIB(1), false);
	send_echo(&k, &s, "after", 5, true);
	assert_string_equal(k.path, "/v1/data-channel/s-1");
	kit_free(&k);
	assert_int_equal(s.closed, 0); /* ws_ctx_free() tells nobody */
	seen_fini(&s);
	free(p);
}

static void echo_wss(void **state)
{
	(void)state;
	echo(true);
}

static void echo_ws(void **state)
{
	(void)state;
	echo(false);
}

static void empty_message(void **state)
{
	struct kit k;
	struct seen s;

	(void)state;
	kit_new(&k, true);
	kit_open(&k, &s);
	assert_int_equal(ws_send(k.ctx, s.conn, NULL, 0, true), 0);
	send_echo(&k, &s, "x", 1, true);
	kit_free(&k);
	seen_fini(&s);
}

static void too_big(void **state)
{
	uint8_t *p = calloc(1, MIB(1) + 1);
	struct kit k;
	struct seen s;

	(void)state;
	kit_new(&k, true);
	kit_open(&k, &s);
	assert_int_equal(ws_send(k.ctx, s.conn, p, MIB(1) + 1, false), 0);
	kit_until(&k, s.closed && k.srv.closed);
	assert_int_equal(s.status, 1009);
	assert_int_equal(s.err, ST_ECLOSED);
	assert_int_equal(k.srv.status, 1009);
	assert_int_equal(k.srv.err, ST_EPEER);
	assert_int_equal(k.srv.messages, 0);
	kit_free(&k);
	seen_fini(&s);
	free(p);
}

/* Many messages each way in one go, compared by digest; order and lengths count. */
static void many_both_ways(void **state)
{
	unsigned char md[2][32];
	EVP_MD_CTX *sent = EVP_MD_CTX_new();
	uint8_t *p = malloc(KIB(64));
	struct kit k;
	struct seen s;
	unsigned n = 0;

	(void)state;
	codec_random(p, KIB(64));
	kit_new(&k, true);
	kit_open(&k, &s);
	s.digest = EVP_MD_CTX_new();
	EVP_DigestInit(s.digest, EVP_sha256());
	EVP_DigestInit(sent, EVP_sha256());
	while (n < 5000) {
		const uint64_t len = (n * 7919U) % (n % 50 ? 1500 : 40000);

		if (len && ws_send(k.ctx, s.conn, p + n, len, false) == 0) {
			EVP_DigestUpdate(sent, &len, sizeof(len));
			EVP_DigestUpdate(sent, p + n, len);
		} else if (len) {
			assert_int_equal(loop_turn(k.loop, 100), 0);
			continue;
		}
		n++;
		if (n % 64 == 0)
			assert_int_equal(loop_turn(k.loop, 0), 0);
		if (n % 1000 == 0)
			kit_until(&k, ws_queued(k.ctx, s.conn) == 0);
	}
	kit_until(&k, s.messages >= k.srv.messages && k.srv.messages >= 4999 &&
			      ws_queued(k.ctx, k.srv.conn) == 0);
	EVP_DigestFinal(sent, md[0], NULL);
	EVP_DigestFinal(s.digest, md[1], NULL);
	assert_memory_equal(md[0], md[1], 32);
	EVP_MD_CTX_free(sent);
	kit_free(&k);
	seen_fini(&s);
	free(p);
}

static void back_pressure(void **state)
{
	uint8_t *p = calloc(1, KIB(32));
	struct kit k;
	struct seen s;
	unsigned n = 0;
	int r;

	(void)state;
	kit_new(&k, true);
	k.srv.echo = false;
	k.srv.pause_at_open = true;
	kit_open(&k, &s);
	while ((r = ws_send(k.ctx, s.conn, p, KIB(32), false)) != ST_EAGAIN) {
		assert_int_equal(r, 0);
		assert_int_equal(loop_turn(k.loop, 0), 0);
		assert_true(++n < 10000);
	}
	assert_true(ws_queued(k.ctx, s.conn) > WS_QUEUE_MAX - KIB(64));
	assert_true(ws_queued(k.ctx, s.conn) <= WS_QUEUE_MAX);
	for (int i = 0; i < 20; i++)
		assert_int_equal(loop_turn(k.loop, 5), 0);
	assert_int_equal(k.srv.messages, 0);
	assert_int_equal(s.writable, 0);
	ws_pause(k.ctx, k.srv.conn, false);
	kit_until(&k, s.writable);
	assert_true(ws_queued(k.ctx, s.conn) < WS_QUEUE_MAX / 4);
	kit_until(&k, k.srv.messages == n);
	assert_int_equal(s.writable, 1);
	kit_free(&k);
	seen_fini(&s);
	free(p);
}

/* The client stops reading in the middle of a stream, more than once. */
static void pause_and_resume(void **state)
{
	struct kit k;
	struct seen s;
	unsigned sent = 0;

	(void)state;
	kit_new(&k, true);
	kit_open(&k, &s);
	s.digest = EVP_MD_CTX_new();
	EVP_DigestInit(s.digest, EVP_sha256());
	for (int round = 0; round < 5; round++) {
		uint8_t p[1000];
		unsigned before;

		memset(p, round, sizeof(p));
		for (int i = 0; i < 300; i++, sent++)
			assert_int_equal(ws_send(k.ctx, s.conn, p, sizeof(p), false), 0);
		kit_until(&k, s.messages > sent - 300);
		ws_pause(k.ctx, s.conn, true);
		before = s.messages;
		for (int i = 0; i < 10; i++)
			assert_int_equal(loop_turn(k.loop, 5), 0);
		assert_int_equal(s.messages, before);
		ws_pause(k.ctx, s.conn, false);
		kit_until(&k, s.messages == sent);
		assert_int_equal(s.last.len, sizeof(p));
		assert_memory_equal(buf_data(&s.last), p, sizeof(p));
	}
	kit_free(&k);
	seen_fini(&s);
}

static void close_codes(void **state)
{
	struct kit k;
	struct seen s;

	(void)state;
	kit_new(&k, true);
	kit_open(&k, &s);
	k.srv.echo = false;
	assert_int_equal(ws_send(k.ctx, s.conn, (const uint8_t *)"last", 4, true), 0);
	ws_close(k.ctx, s.conn, 1000, "done");
	assert_int_equal(ws_send(k.ctx, s.conn, (const uint8_t *)"x", 1, true), ST_ECLOSED);
	kit_until(&k, s.closed && k.srv.closed);
	assert_int_equal(k.srv.messages, 1);
	assert_int_equal(k.srv.status, 1000);
	assert_string_equal(k.srv.reason, "done");
	assert_int_equal(k.srv.err, ST_ECLOSED);
	assert_int_equal(s.status, 1000);
	assert_int_equal(s.err, ST_ECLOSED);
	seen_fini(&s);

	k.srv.closed = k.srv.opened = 0;
	kit_open(&k, &s);
	ws_close(k.ctx, k.srv.conn, 1001, "idle timeout");
	kit_until(&k, s.closed && k.srv.closed);
	assert_int_equal(s.status, 1001);
	assert_string_equal(s.reason, "idle timeout");
	assert_int_equal(s.closed, 1);
	assert_int_equal(k.srv.closed, 1);
	kit_free(&k);
	seen_fini(&s);
}

static void drop_and_stale(void **state)
{
	struct kit k;
	struct seen s;
	ws_conn stale;

	(void)state;
	kit_new(&k, true);
	kit_open(&k, &s);
	stale = s.conn;
	ws_drop(k.ctx, s.conn);
	assert_int_equal(ws_send(k.ctx, stale, (const uint8_t *)"x", 1, true), ST_ECLOSED);
	kit_until(&k, k.srv.closed);
	assert_int_equal(k.srv.status, 1006);
	assert_int_equal(k.srv.err, ST_ECLOSED);
	assert_int_equal(s.closed, 0);
	ws_drop(k.ctx, stale);
	ws_close(k.ctx, stale, 1000, "");
	ws_pause(k.ctx, stale, true);
	ws_set_events(k.ctx, stale, NULL, NULL);
	assert_int_equal(ws_queued(k.ctx, stale), 0);
	assert_int_equal(ws_send(k.ctx, 0, (const uint8_t *)"x", 1, true), ST_ECLOSED);
	seen_fini(&s);

	/* the server drops */
	k.srv.closed = k.srv.opened = 0;
	kit_open(&k, &s);
	ws_drop(k.ctx, k.srv.conn);
	kit_until(&k, s.closed);
	assert_int_equal(s.status, 1006);
	assert_int_equal(k.srv.closed, 0);
	kit_free(&k);
	seen_fini(&s);
}

static void pings(void **state)
{
	struct kit k;
	struct seen s;
	char url[256];
	struct ws_connect_opts opts;

	(void)state;
	kit_new(&k, true);
	opts = kit_opts(&k, url);
	opts.ping_ms = 60;
	seen_init(&s, &k);
	assert_int_equal(kit_connect(&k, &s, &opts), 0);
	kit_until(&k, s.alive >= 3);
	assert_true(k.srv.alive >= 3);
	assert_int_equal(s.closed, 0);
	/* now nobody answers */
	ws_pause(k.ctx, k.srv.conn, true);
	kit_until(&k, s.closed);
	assert_int_equal(s.err, ST_ETIMEOUT);
	kit_free(&k);
	seen_fini(&s);
}

/* @ping_ms: with or without a keepalive beside it */
static void probe_with(uint32_t ping_ms)
{
	struct kit k;
	struct seen s;
	char url[256];
	struct ws_connect_opts opts;
	uint64_t since_ms;

	kit_new(&k, true);
	opts = kit_opts(&k, url);
	opts.ping_ms = ping_ms;
	seen_init(&s, &k);
	assert_int_equal(kit_connect(&k, &s, &opts), 0);
	kit_until(&k, s.opened);
	/* answered: nothing follows, however long it lasts */
	ws_probe(k.ctx, s.conn, 200);
	ws_probe(k.ctx, s.conn, 1); /* one is under way */
	kit_until(&k, s.alive == 1);
	for (since_ms = loop_now_ms(k.loop); loop_now_ms(k.loop) < since_ms + 500;)
		assert_int_equal(loop_turn(k.loop, 100), 0);
	assert_int_equal(s.closed, 0);
	assert_int_equal(s.alive, 1);
	/* not while we do not read */
	ws_pause(k.ctx, s.conn, true);
	ws_probe(k.ctx, s.conn, 1);
	assert_int_equal(loop_turn(k.loop, 50), 0);
	ws_pause(k.ctx, s.conn, false);
	assert_int_equal(loop_turn(k.loop, 50), 0);
	assert_int_equal(s.closed, 0);
	/* nobody answers */
	ws_pause(k.ctx, k.srv.conn, true);
	since_ms = loop_now_ms(k.loop);
	ws_probe(k.ctx, s.conn, 200);
	kit_until(&k, s.closed);
	assert_int_equal(s.err, ST_ETIMEOUT);
	assert_in_range(loop_now_ms(k.loop) - since_ms, 200, 2000);
	ws_probe(k.ctx, s.conn, 200); /* stale */
	kit_free(&k);
	seen_fini(&s);
}

static void probes(void **state)
{
	(void)state;
	probe_with(0);
	probe_with(60000);
}

static void rest_makes_no_turns(void **state)
{
	struct kit k;
	struct seen s;
	uint64_t before, since_ms;

	(void)state;
	kit_new(&k, true);
	kit_open(&k, &s);
	send_echo(&k, &s, "x", 1, true);
	for (int i = 0; i < 6; i++) /* the last tick of the handshake */
		assert_int_equal(loop_turn(k.loop, 100), 0);
	before = loop_turns(k.loop);
	since_ms = loop_now_ms(k.loop);
	assert_int_equal(loop_turn(k.loop, 1500), 0);
	assert_int_equal(loop_turns(k.loop), before + 1);
	assert_true(loop_now_ms(k.loop) >= since_ms + 1500);
	ws_server_free(k.server); /* nor does an open connection whose server has gone */
	assert_int_equal(loop_turn(k.loop, 300), 0);
	assert_true(loop_now_ms(k.loop) >= since_ms + 1800);
	kit_free(&k);
	seen_fini(&s);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(echo_wss),	    cmocka_unit_test(echo_ws),
		cmocka_unit_test(empty_message),    cmocka_unit_test(too_big),
		cmocka_unit_test(many_both_ways),   cmocka_unit_test(back_pressure),
		cmocka_unit_test(pause_and_resume), cmocka_unit_test(close_codes),
		cmocka_unit_test(drop_and_stale),   cmocka_unit_test(pings),
		cmocka_unit_test(probes),	    cmocka_unit_test(rest_makes_no_turns),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
