// SPDX-License-Identifier: MIT
/*
 * ws_frames_test.c - what libwebsockets must go on doing for our batches of whole frames
 *
 * Cases: a peer that checks every frame's beginning and sends a ping after each tenth message,
 * plain and TLS, 5000 messages each way, by digest; messages in fragments with control frames
 * between; the upgrade request's bytes; a broken frame; a close frame without a code.
 */
#include "testkit.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/codec.h"
#include "rawpeer.h"

#define MESSAGES 5000U

static size_t nth_len(unsigned n)
{
	return n % 97 == 0 ? 30000 + n : 1 + n * 7919U % 1400;
}

/* Reads MESSAGES messages, answers each with itself, pings between. */
static void ping_under_load(struct raw *raw)
{
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	struct raw_frame f;

	EVP_DigestInit(md, EVP_sha256());
	while ((raw->messages < MESSAGES || raw->pongs < raw->pings) && raw_recv(raw, &f)) {
		if (!f.masked || !f.fin)
			raw->failure = "not masked or not final";
		if (f.op == 0xA) {
			if (f.len != 4 || memcmp(f.p, "ping", 4) != 0)
				raw->failure = "pong with other bytes";
			raw->pongs++;
		} else if (f.op == 0x2) {
			EVP_DigestUpdate(md, f.p, f.len);
			raw->messages++;
			if (!raw_send(raw, 0x2, true, f.p, f.len))
				raw->failure = "write";
			/* lws answers the newest of several pings only: one at a time */
			if (raw->messages % 10 == 0 && raw->pings == raw->pongs) {
				raw->pings++;
				raw_send(raw, 0x9, true, "ping", 4);
			}
		} else {
			raw->failure = "unexpected opcode: the stream is out of step";
		}
		free(f.p);
		if (raw->failure)
			break;
	}
	EVP_DigestFinal(md, raw->digest, NULL);
	EVP_MD_CTX_free(md);
	raw_send(raw, 0x8, true, "\x03\xe8", 2);
	while (raw_recv(raw, &f)) /* its answer */
		free(f.p);
}

static void load(bool tls)
{
	struct raw raw = { .fd = -1 };
	struct kit k;
	struct seen s;
	struct ws_connect_opts opts;
	unsigned char want[32], back[32];
	EVP_MD_CTX *sent = EVP_MD_CTX_new();
	uint8_t *p = malloc(KIB(64));
	char url[256];

	kit_new(&k, true);
	raw_start(&raw, tls ? k.cert : NULL, k.key, ping_under_load);
	snprintf(url, sizeof(url), "%s://localhost:%u/", tls ? "wss" : "ws", raw.port);
	opts = (struct ws_connect_opts){ .url = url, .address = kit_local(raw.port) };
	seen_init(&s, &k);
	s.digest = EVP_MD_CTX_new();
	codec_random(p, KIB(64));
	EVP_DigestInit(sent, EVP_sha256());
	EVP_DigestInit(s.digest, EVP_sha256());
	assert_int_equal(kit_connect(&k, &s, &opts), 0);
	kit_until(&k, s.opened || s.closed);
	for (unsigned n = 0; n < MESSAGES;) {
		const bool room = n - s.messages < 50;

		if (room && ws_send(k.ctx, s.conn, p + n, nth_len(n), false) == 0) {
			EVP_DigestUpdate(sent, p + n, nth_len(n));
			n++;
		}
		if (n % 16 == 0 || !room)
			assert_int_equal(loop_turn(k.loop, room ? 0 : 100), 0);
		assert_int_equal(s.closed, 0);
	}
	kit_until(&k, s.closed);
	raw_join(&raw);
	assert_int_equal(s.messages, MESSAGES);
	assert_int_equal(raw.messages, MESSAGES);
	assert_true(raw.pings > 20);
	assert_int_equal(raw.pings, raw.pongs);
	assert_int_equal(s.status, 1000);
	EVP_DigestFinal(sent, want, NULL);
	assert_memory_equal(want, raw.digest, 32);
	/* s.digest counts lengths too: it must equal that of what was sent */
	EVP_DigestFinal(s.digest, back, NULL);
	EVP_DigestInit(sent, EVP_sha256());
	for (unsigned n = 0; n < MESSAGES; n++) {
		const uint64_t len = nth_len(n);

		EVP_DigestUpdate(sent, &len, sizeof(len));
		EVP_DigestUpdate(sent, p + n, len);
	}
	EVP_DigestFinal(sent, want, NULL);
	assert_memory_equal(want, back, 32);
	EVP_MD_CTX_free(sent);
	kit_free(&k);
	seen_fini(&s);
	free(p);
}

static void pings_under_load_plain(void **state)
{
	(void)state;
	load(false);
}

static void pings_under_load_tls(void **state)
{
	(void)state;
	load(true);
}

static void in_fragments(struct raw *raw)
{
	struct raw_frame f;
	char p[5000];

	memset(p, 'f', sizeof(p));
	raw_send(raw, 0x1, false, "one ", 4);
	raw_send(raw, 0x9, true, "ping", 4);
	raw_send(raw, 0x0, false, "two ", 4);
	raw_send(raw, 0xA, true, "unasked", 7);
	raw_send(raw, 0x0, true, "three", 5);
	for (int i = 0; i < 40; i++) /* a Go peer: 4 KiB pieces */
		raw_send(raw, i ? 0x0 : 0x2, i == 39, p, sizeof(p));
	raw_send(raw, 0x2, true, "whole", 5);
	if (!raw_recv(raw, &f) || f.op != 0xA || f.len != 4)
		raw->failure = "no pong";
	else
		free(f.p);
	raw_send(raw, 0x8, true, NULL, 0);
	while (raw_recv(raw, &f))
		free(f.p);
}

static const struct ws_events *first_events;
static struct {
	unsigned n;
	size_t lens[4];
	bool text[4];
	char first[64];
} got;

static void keep_message(void *arg, ws_conn c, const uint8_t *p, size_t len, bool text)
{
	first_events->message(arg, c, p, len, text);
	assert_true(got.n < 4);
	got.lens[got.n] = len;
	got.text[got.n] = text;
	if (!got.n)
		snprintf(got.first, sizeof(got.first), "%.*s", (int)len, (const char *)p);
	got.n++;
}

static void fragments(void **state)
{
	static const char *const headers[] = { "X-Agent-Uid", "u-1", "User-Agent", "kit/1", NULL };
	struct raw raw = { .fd = -1 };
	struct ws_events events = kit_events;
	struct ws_connect_opts opts;
	struct kit k;
	struct seen s;
	char url[256], want[64];

	(void)state;
	memset(&got, 0, sizeof(got));
	first_events = &kit_events;
	events.message = keep_message;
	kit_new(&k, true);
	raw_start(&raw, NULL, NULL, in_fragments);
	snprintf(url, sizeof(url),
		 "ws://localhost:%u/v1/d/a%%40b?role=x&cell-number=aa+b/c==&e=%%2F", raw.port);
	opts = (struct ws_connect_opts){ .url = url,
					 .address = kit_local(raw.port),
					 .headers = headers };
	seen_init(&s, &k);
	assert_int_equal(ws_connect(k.ctx, &s.conn, &opts, &events, &s), 0);
	kit_until(&k, s.closed);
	raw_join(&raw);
	assert_int_equal(got.n, 3);
	assert_string_equal(got.first, "one two three");
	assert_true(got.text[0] && !got.text[1] && !got.text[2]);
	assert_int_equal(got.lens[1], 200000);
	assert_int_equal(got.lens[2], 5);
	assert_true(s.alive >= 1);
	assert_int_equal(s.err, ST_ECLOSED);
	assert_int_equal(s.status, 1005);

	/* the request, byte for byte */
	assert_memory_equal(raw.request,
			    "GET /v1/d/a%40b?role=x&cell-number=aa+b/c==&e=%2F HTTP/1.1\r\n", 60);
	snprintf(want, sizeof(want), "Host: localhost:%u\r\n", raw.port);
	assert_non_null(strstr(raw.request, want));
	assert_non_null(strstr(raw.request, "X-Agent-Uid: u-1\r\n"));
	assert_non_null(strstr(raw.request, "User-Agent: kit/1\r\n"));
	assert_non_null(strstr(raw.request, "Sec-WebSocket-Version: 13\r\n"));
	assert_null(strcasestr(raw.request, "Origin:"));
	assert_null(strcasestr(raw.request, "Sec-WebSocket-Protocol"));
	assert_null(strcasestr(raw.request, "Sec-WebSocket-Extensions"));
	kit_free(&k);
	seen_fini(&s);
}

static void send_broken(struct raw *raw)
{
	struct raw_frame f;

	raw_write(raw, "\x83\x01x", 3); /* a reserved opcode */
	while (raw_recv(raw, &f))
		free(f.p);
}

static void hang_up(struct raw *raw)
{
	raw_send(raw, 0x1, true, "bye", 3);
}

static void ends(void **state)
{
	static const struct {
		void (*play)(struct raw *raw);
		unsigned messages;
	} cases[] = { { send_broken, 0 }, { hang_up, 1 } };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct raw raw = { .fd = -1 };
		struct ws_connect_opts opts;
		struct kit k;
		struct seen s;
		char url[64];

		kit_new(&k, true);
		raw_start(&raw, NULL, NULL, cases[i].play);
		snprintf(url, sizeof(url), "ws://localhost:%u", raw.port);
		opts = (struct ws_connect_opts){ .url = url, .address = kit_local(raw.port) };
		seen_init(&s, &k);
		assert_int_equal(kit_connect(&k, &s, &opts), 0);
		kit_until(&k, s.closed || s.messages);
		if (cases[i].play == hang_up)
			raw_join(&raw);
		kit_until(&k, s.closed);
		if (cases[i].play != hang_up)
			raw_join(&raw);
		assert_int_equal(s.closed, 1);
		assert_int_equal(s.messages, cases[i].messages);
		assert_int_equal(s.err, ST_ECLOSED);
		assert_int_equal(s.status, 1006);
		assert_memory_equal(raw.request, "GET / HTTP/1.1\r\n", 16);
		kit_free(&k);
		seen_fini(&s);
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fragments),
		cmocka_unit_test(ends),
		cmocka_unit_test(pings_under_load_plain),
		cmocka_unit_test(pings_under_load_tls),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
