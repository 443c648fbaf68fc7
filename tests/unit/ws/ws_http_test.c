// SPDX-License-Identifier: MIT
/*
 * ws_http_test.c - plain HTTP on a server's port
 *
 * Cases: GET with a query as it was sent, HEAD, POST with a body, headers that lws knows and that it
 * does not; 404; an answer that comes late; keep-alive; empty POST; 405, 411, 413, 400; refused and
 * broken upgrades; a plain GET to an upgrade's path; pipelining; a request byte by byte; large
 * answers; the peer goes before the answer; stale requests; a full server; ws_server_free(); TLS;
 * an upgrade as a Go client sends it; garbage in place of requests and of frames.
 */
#include "testkit.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/ssl.h>

/* A blocking client in a thread of its own. */
struct call {
	uint16_t port;
	bool tls, one_byte, no_wait;
	const char *request;
	size_t len;	  /* of request; 0: strlen */
	unsigned answers; /* to wait for; 0: until the server closes */
	bool head;
	char *answer;
	size_t got;
	bool closed;
	atomic_bool done;
	pthread_t thread;
};

#define ANSWER_MAX MIB(4)

/* Whole answers at the front of @p: headers and Content-Length bytes */
static unsigned count_answers(const char *p, size_t len, bool head)
{
	unsigned n = 0;

	for (;;) {
		const char *end = memmem(p, len, "\r\n\r\n", 4), *length;
		size_t body = 0, used;

		if (!end)
			return n;
		if (len > 12 && memcmp(p, "HTTP/1.1 100", 12) == 0) {
			len -= (size_t)(end - p) + 4;
			p = end + 4;
			continue;
		}
		length = memmem(p, (size_t)(end - p), "Content-Length: ", 16);
		if (length && !head)
			body = strtoul(length + 16, NULL, 10);
		used = (size_t)(end - p) + 4 + body;
		if (used > len)
			return n;
		p += used;
		len -= used;
		n++;
	}
}

static void *run_call(void *arg)
{
	struct call *c = arg;
	SSL_CTX *tls_ctx = c->tls ? SSL_CTX_new(TLS_client_method()) : NULL;
	SSL *tls = NULL;
	int fd = kit_dial(c->port);
	size_t sent = 0, len = c->len ? c->len : strlen(c->request);

	if (c->tls) {
		tls = SSL_new(tls_ctx);
		SSL_set_fd(tls, fd);
		if (SSL_connect(tls) != 1)
			c->request = "", len = 0;
	}
	while (sent < len) {
		size_t n = c->one_byte ? 1 : len - sent;
		ssize_t r = tls ? SSL_write(tls, c->request + sent, (int)n)
				: send(fd, c->request + sent, n, MSG_NOSIGNAL);

		if (r <= 0)
			break;
		sent += (size_t)r;
		if (c->one_byte)
			usleep(300);
	}
	while (!c->no_wait &&
	       (!c->answers || count_answers(c->answer, c->got, c->head) < c->answers)) {
		ssize_t r = tls ? SSL_read(tls, c->answer + c->got, (int)(ANSWER_MAX - c->got))
				: recv(fd, c->answer + c->got, ANSWER_MAX - c->got, 0);

		if (r <= 0) {
			c->closed = true;
			break;
		}
		c->got += (size_t)r;
	}
	SSL_free(tls);
	SSL_CTX_free(tls_ctx);
	close(fd);
	c->done = true;
	return NULL;
}

static void call_start(struct call *c)
{
	c->answer = calloc(1, ANSWER_MAX + 1);
	c->got = 0;
	c->closed = false;
	c->done = false;
	assert_non_null(c->answer);
	assert_int_equal(pthread_create(&c->thread, NULL, run_call, c), 0);
}

static void call_end(struct kit *k, struct call *c)
{
	kit_until(k, c->done);
	pthread_join(c->thread, NULL);
}

/* Sends @request, waits for one answer, which must begin and end so; free() what it returns. */
static char *ask(struct kit *k, const char *request, const char *begin, const char *end)
{
	struct call c = { .port = ws_server_port(k->server), .request = request, .answers = 1 };

	call_start(&c);
	call_end(k, &c);
	if (strncmp(c.answer, begin, strlen(begin)) != 0 || c.got < strlen(end) ||
	    strcmp(c.answer + c.got - strlen(end), end) != 0)
		fail_msg("got: %s", c.answer);
	return c.answer;
}

static void get(void **state)
{
	struct kit k;
	char *answer;

	(void)state;
	kit_new(&k, false);
	answer = ask(&k, "GET /v1/a%20b/c%2Fd?x=1&y=a+b/c==&z=%2B;q HTTP/1.1\r\nHost: h\r\n\r\n",
		     "HTTP/1.1 200 OK\r\n", "\r\n\r\n{}");
	assert_non_null(strstr(answer, "\r\nContent-Length: 2\r\n"));
	assert_non_null(strstr(answer, "\r\nContent-Type: application/json\r\n"));
	assert_non_null(strstr(answer, "\r\nX-Test: yes\r\n"));
	assert_string_equal(k.method, "GET");
	assert_string_equal(k.path, "/v1/a%20b/c%2Fd");
	assert_string_equal(k.query, "x=1&y=a+b/c==&z=%2B;q");
	free(answer);
	/* lws tidies such a path, and that is what the owner sees */
	free(ask(&k, "GET /a//b/../c HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 200 OK\r\n", "{}"));
	assert_string_equal(k.path, "/a/c");
	free(ask(&k, "GET /missing HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 404 Not Found\r\n",
		 "no such page\n"));
	assert_int_equal(k.requests, 3);
	kit_free(&k);
}

static void head(void **state)
{
	struct kit k;
	struct call c = { .request = "HEAD /x HTTP/1.1\r\nHost: h\r\n\r\n",
			  .answers = 1,
			  .head = true };

	(void)state;
	kit_new(&k, false);
	c.port = ws_server_port(k.server);
	call_start(&c);
	call_end(&k, &c);
	assert_string_equal(k.method, "HEAD");
	assert_memory_equal(c.answer, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n", 36);
	assert_string_equal(c.answer + c.got - 4, "\r\n\r\n");
	free(c.answer);
	kit_free(&k);
}

static void post_and_headers(void **state)
{
	static const char request[] =
		"POST / HTTP/1.1\r\nhost: ssm.eu-west-1.amazonaws.com\r\nContent-Type: "
		"application/x-amz-json-1.1\r\n"
		"X-Amz-Target: AmazonSSM.StartSession\r\nX-Amz-Date: 20260102T030405Z\r\n"
		"X-Amz-Security-Token: aa/bb+cc==\r\nX-Agent-Boot-Id:  b-1 \r\nX-Agent-ID: id\r\n"
		"X-Bootstrap-Token: t\r\nAuthorization: AWS4-HMAC-SHA256 Credential=AK/2026, "
		"SignedHeaders=host;x, "
		"Signature=ab\r\nUser-Agent: aws-cli/2\r\nAccept-Encoding: identity\r\n"
		"Content-Length: 22\r\n\r\n{\"Target\":\"i-0123456\"}";
	static const struct {
		const char *name, *value;
	} headers[] = {
		{ "host", "ssm.eu-west-1.amazonaws.com" },
		{ "Host", "ssm.eu-west-1.amazonaws.com" },
		{ "Content-Type", "application/x-amz-json-1.1" },
		{ "X-Amz-Target", "AmazonSSM.StartSession" },
		{ "x-amz-date", "20260102T030405Z" },
		{ "x-amz-security-token", "aa/bb+cc==" },
		{ "X-Agent-Boot-Id", "b-1" },
		{ "x-agent-id", "id" },
		{ "x-bootstrap-token", "t" },
		{ "authorization",
		  "AWS4-HMAC-SHA256 Credential=AK/2026, SignedHeaders=host;x, Signature=ab" },
		{ "user-agent", "aws-cli/2" },
		{ "accept-encoding", "identity" },
		{ "content-length", "22" },
		{ "x-absent", "(none)" },
		{ "accept", "(none)" },
	};
	struct kit k;

	(void)state;
	kit_new(&k, false);
	for (size_t i = 0; i < ARRAY_LEN(headers); i++) {
		k.header_name = headers[i].name;
		free(ask(&k, request, "HTTP/1.1 200 OK\r\n", "{\"Target\":\"i-0123456\"}"));
		assert_string_equal(k.header, headers[i].value);
	}
	assert_string_equal(k.method, "POST");
	assert_string_equal(k.path, "/");
	assert_int_equal(k.body.len, 22);
	free(ask(&k, "POST /e HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n",
		 "HTTP/1.1 200 OK\r\n", "{}"));
	assert_int_equal(k.body.len, 0);
	free(ask(&k,
		 "POST /e HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: "
		 "2\r\n\r\nab",
		 "HTTP/1.1 100 Continue\r\n\r\n", ""));
	assert_int_equal(k.body.len, 2);
	free(ask(&k, "PUT /e HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nab",
		 "HTTP/1.1 200 OK\r\n", "ab"));
	assert_string_equal(k.method, "PUT");
	kit_free(&k);
}

static void refusals(void **state)
{
	static const struct {
		const char *request, *answer;
	} cases[] = {
		{ "POST / HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 411 " },
		{ "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: "
		  "chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
		  "HTTP/1.1 411 " },
		{ "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: x\r\n\r\n", "HTTP/1.1 400 " },
		{ "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n", "HTTP/1.1 400 " },
		{ "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 262145\r\n\r\n", "HTTP/1.1 413 " },
		{ "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999999999999\r\n\r\n",
		  "HTTP/1.1 413 " },
		{ "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: "
		  "h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n",
		  "HTTP/1.1 400 " },
		{ "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: "
		  "websocket\r\nSec-WebSocket-Version: 13\r\n\r\n",
		  "HTTP/1.1 400 " },
		{ "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: "
		  "websocket\r\nSec-WebSocket-Version: 8\r\n"
		  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
		  "HTTP/1.1 426 " },
		{ "GET / HTTP/1.1\r\nHost: h\r\nConnection: keep-alive\r\nUpgrade: "
		  "websocket\r\nSec-WebSocket-Version: 13\r\n"
		  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
		  "HTTP/1.1 400 " },
	};
	struct kit k;

	(void)state;
	kit_new(&k, false);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		free(ask(&k, cases[i].request, cases[i].answer, ""));
	assert_int_equal(k.requests, 0);
	assert_int_equal(k.upgrades, 0);
	kit_free(&k);
}

static void body_limit(void **state)
{
	const size_t max = WS_HTTP_BODY_MAX;
	char *request = malloc(max + 200);
	struct kit k;
	struct call c = { .answers = 2 };
	int n;

	(void)state;
	kit_new(&k, false);
	n = sprintf(request, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %zu\r\n\r\n", max);
	memset(request + n, 'b', max);
	c.port = ws_server_port(k.server);
	c.request = request;
	c.len = (size_t)n + max;
	c.answers = 1;
	call_start(&c);
	call_end(&k, &c);
	assert_memory_equal(c.answer, "HTTP/1.1 200 OK\r\n", 17);
	assert_int_equal(k.body.len, max);
	free(c.answer);
	/* one more: the body is read away, and the connection serves on */
	n = sprintf(request, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %zu\r\n\r\n", max + 1);
	memset(request + n, 'b', max + 1);
	c.len = (size_t)n + max + 1;
	call_start(&c);
	call_end(&k, &c);
	assert_memory_equal(c.answer, "HTTP/1.1 413 ", 13);
	assert_int_equal(k.requests, 1);
	free(c.answer);
	free(request);
	kit_free(&k);
}

static void keep_alive_and_late(void **state)
{
	static const char two[] = "POST /1 HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\none"
				  "GET /2 HTTP/1.1\r\nHost: h\r\n\r\nGET /3 HTTP/1.1\r\nHost: "
				  "h\r\nConnection: close\r\n\r\n";
	struct kit k;
	struct call c = { .request = two };

	(void)state;
	kit_new(&k, false);
	k.hold = true;
	c.port = ws_server_port(k.server);
	call_start(&c);
	for (unsigned i = 1; i <= 3; i++) {
		char body[16];
		ws_req r;

		kit_until(&k, k.requests == i);
		assert_int_equal(k.path[1], '0' + (int)i);
		r = k.request;
		for (int n = 0; n < 4; n++)
			assert_int_equal(loop_turn(k.loop, 10), 0);
		assert_int_equal(k.requests, i); /* the next one waits */
		snprintf(body, sizeof(body), "answer %u", i);
		ws_reply(k.ctx, r, 200, "text/plain", body, strlen(body), NULL);
		ws_reply(k.ctx, r, 500, NULL, "", 0, NULL); /* the first one counts */
		assert_int_equal(loop_turn(k.loop, 0), 0);
		ws_reply(k.ctx, r, 500, NULL, "", 0, NULL); /* stale */
		assert_null(ws_req_header(k.ctx, r, "host"));
	}
	call_end(&k, &c);
	assert_true(c.closed);
	assert_int_equal(count_answers(c.answer, c.got, false), 3);
	assert_non_null(strstr(c.answer, "answer 1HTTP/1.1 200 OK\r\n"));
	assert_non_null(strstr(c.answer, "answer 2HTTP/1.1 200 OK\r\n"));
	assert_non_null(strstr(c.answer, "Connection: close\r\n\r\nanswer 3"));
	free(c.answer);
	kit_free(&k);
}

static void byte_by_byte(void **state)
{
	struct kit k;
	struct call c = { .request = "POST /slow%20path?a=%31 HTTP/1.1\r\nHost: "
				     "h\r\nContent-Length: 4\r\n\r\nbody",
			  .one_byte = true,
			  .answers = 1 };

	(void)state;
	kit_new(&k, false);
	c.port = ws_server_port(k.server);
	call_start(&c);
	call_end(&k, &c);
	assert_memory_equal(c.answer, "HTTP/1.1 200 OK\r\n", 17);
	assert_string_equal(k.path, "/slow%20path");
	assert_string_equal(k.query, "a=%31");
	assert_int_equal(k.body.len, 4);
	free(c.answer);
	kit_free(&k);
}

static void large_answer(void **state)
{
	const size_t len = MIB(2);
	char *body = malloc(len);
	struct kit k;

	(void)state;
	memset(body, 'L', len);
	for (int tls = 0; tls < 2; tls++) {
		struct call c = { .request = "GET /l HTTP/1.1\r\nHost: h\r\n\r\nGET /m "
					     "HTTP/1.1\r\nHost: h\r\n\r\n",
				  .answers = 2,
				  .tls = tls };

		kit_new(&k, tls);
		k.hold = true;
		c.port = ws_server_port(k.server);
		call_start(&c);
		kit_until(&k, k.requests == 1);
		ws_reply(k.ctx, k.request, 200, "text/plain", body, len, NULL);
		kit_until(&k, k.requests == 2);
		ws_reply(k.ctx, k.request, 200, "text/plain", "end", 3, NULL);
		call_end(&k, &c);
		assert_int_equal(count_answers(c.answer, c.got, false), 2);
		assert_true(c.got > len);
		assert_memory_equal(c.answer + c.got - 3, "end", 3);
		free(c.answer);
		kit_free(&k);
	}
	free(body);
}

static void peer_goes_first(void **state)
{
	struct kit k;
	struct call c = { .request = "GET /gone HTTP/1.1\r\nHost: h\r\n\r\n", .no_wait = true };

	(void)state;
	kit_new(&k, false);
	k.hold = true;
	c.port = ws_server_port(k.server);
	call_start(&c);
	kit_until(&k, k.requests == 1);
	call_end(&k, &c);
	free(c.answer);
	for (int n = 0; n < 4; n++)
		assert_int_equal(loop_turn(k.loop, 10), 0);
	ws_reply(k.ctx, k.request, 200, "text/plain", "x", 1, NULL);
	for (int n = 0; n < 4; n++)
		assert_int_equal(loop_turn(k.loop, 10), 0);
	k.hold = false;
	free(ask(&k, "GET /next HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 200 OK\r\n", "{}"));
	kit_free(&k);
}

static void over_tls(void **state)
{
	struct kit k;
	struct call c = {
		.request = "GET /health?a=%20 HTTP/1.1\r\nHost: h\r\nX-Custom-Thing: 7\r\n\r\n"
			   "HEAD /ws/agent HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
		.tls = true
	};

	(void)state;
	kit_new(&k, true);
	k.hold = true;
	k.header_name = "x-custom-thing";
	c.port = ws_server_port(k.server);
	call_start(&c);
	kit_until(&k, k.requests == 1);
	assert_string_equal(k.path, "/health");
	assert_string_equal(k.query, "a=%20");
	assert_string_equal(k.header, "7");
	ws_reply(k.ctx, k.request, 200, "application/json", "{}", 2, NULL);
	kit_until(&k, k.requests == 2);
	assert_string_equal(k.method, "HEAD");
	ws_reply(k.ctx, k.request, 400, NULL, "", 0, NULL);
	call_end(&k, &c);
	assert_true(c.closed);
	assert_memory_equal(c.answer, "HTTP/1.1 200 OK\r\n", 17);
	assert_non_null(strstr(c.answer, "{}HTTP/1.1 400 Bad Request\r\n"));
	free(c.answer);
	kit_free(&k);
}

/* Upgrade by hand with the first frame in the same packet; query as it was sent. */
static void upgrade_by_hand(void **state)
{
	static const char request[] =
		"GET /v1/data-channel/a%40b-1?role=publish_subscribe&cell-number=aa+b/c== "
		"HTTP/1.1\r\nHost: h\r\n"
		"User-Agent: Go-http-client/1.1\r\nConnection: Upgrade\r\nSec-WebSocket-Key: "
		"dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nUpgrade: "
		"websocket\r\nX-Agent-Boot-Id: b7\r\n\r\n"
		"\x81\x82\0\0\0\0hi";
	struct kit k;
	struct call c = { .request = request, .len = sizeof(request) - 1, .answers = 1 };

	(void)state;
	kit_new(&k, false);
	k.header_name = "X-Agent-Boot-Id";
	c.port = ws_server_port(k.server);
	call_start(&c);
	call_end(&k, &c);
	assert_memory_equal(c.answer, "HTTP/1.1 101 ", 13);
	assert_non_null(strstr(c.answer, "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"));
	assert_null(strcasestr(c.answer, "Sec-WebSocket-Protocol"));
	assert_string_equal(k.path, "/v1/data-channel/a%40b-1");
	assert_string_equal(k.query, "role=publish_subscribe&cell-number=aa+b/c==");
	assert_string_equal(k.header, "b7");
	kit_until(&k, k.srv.closed);
	assert_int_equal(k.srv.opened, 1);
	assert_int_equal(k.srv.messages, 1);
	assert_int_equal(k.srv.status, 1006);
	free(c.answer);
	kit_free(&k);
}

static void full_server(void **state)
{
	struct kit k;
	struct ws_listen_opts opts = { .address = kit_local(0), .max_conns = 2 };
	int a, b;

	(void)state;
	kit_new(&k, false);
	ws_server_free(k.server);
	kit_server(&k, &opts);
	a = kit_dial(ws_server_port(k.server));
	b = kit_dial(ws_server_port(k.server));
	for (int n = 0; n < 4; n++)
		assert_int_equal(loop_turn(k.loop, 10), 0);
	struct call c = { .port = ws_server_port(k.server),
			  .request = "GET / HTTP/1.1\r\nHost: h\r\n\r\n",
			  .answers = 1 };

	call_start(&c);
	for (int n = 0; n < 10; n++)
		assert_int_equal(loop_turn(k.loop, 10), 0);
	assert_int_equal(k.requests, 0);
	close(a);
	call_end(&k, &c);
	assert_int_equal(k.requests, 1);
	free(c.answer);
	/* the server goes: what is not upgraded goes with it */
	ws_server_free(k.server);
	for (int n = 0; n < 4; n++)
		assert_int_equal(loop_turn(k.loop, 10), 0);
	char byte;
	assert_int_equal(recv(b, &byte, 1, 0), 0);
	close(b);
	kit_free(&k);
}

static void broken_requests(void **state)
{
	static const char *const requests[] = {
		"\r\n\r\n\r\n",
		"GARBAGE\r\n\r\n",
		"GET\r\n\r\n",
		"GET /%zz HTTP/1.1\r\n\r\n",
		"\x16\x03\x01\x02\x00\x01",
		"GET http://x/ HTTP/1.1\r\nHost: h\r\n\r\n",
		"BREW /pot HTTP/1.1\r\nHost: h\r\n\r\n",
	};
	struct kit k;

	(void)state;
	kit_new(&k, false);
	for (size_t i = 0; i < ARRAY_LEN(requests); i++) {
		struct call c = { .port = ws_server_port(k.server),
				  .request = requests[i],
				  .no_wait = true };

		call_start(&c);
		call_end(&k, &c);
		free(c.answer);
	}
	free(ask(&k, "GET / HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 200 OK\r\n", "{}"));
	assert_int_equal(k.requests, 1);
	kit_free(&k);
}

/* After a good upgrade: random bytes, and random bytes behind the beginning of a frame. */
static void garbage_after_upgrade(void **state)
{
	static const char head[] =
		"GET /g HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
		"Sec-WebSocket-Version: 13\r\n\r\n";
	uint32_t seed = 1;
	struct kit k;

	(void)state;
	kit_new(&k, false);
	for (int i = 0; i < 120; i++) {
		char request[sizeof(head) + 400];
		struct call c = { .port = ws_server_port(k.server),
				  .request = request,
				  .no_wait = true };

		memcpy(request, head, sizeof(head) - 1);
		for (size_t n = sizeof(head) - 1; n < sizeof(request); n++) {
			seed = seed * 1664525U + 1013904223U;
			request[n] = (char)(seed >> 24);
		}
		if (i % 2) { /* a masked frame whose length says much */
			request[sizeof(head) - 1] = (char)(0x80 | (i / 2 % 16));
			request[sizeof(head)] = (char)(0x80 | (125 + i / 2 % 3));
		}
		c.len = sizeof(request);
		call_start(&c);
		call_end(&k, &c);
		free(c.answer);
		kit_until(&k, k.srv.closed == (unsigned)i + 1);
	}
	assert_int_equal(k.upgrades, 120);
	free(ask(&k, "GET / HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 200 OK\r\n", "{}"));
	kit_free(&k);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(get),
		cmocka_unit_test(head),
		cmocka_unit_test(post_and_headers),
		cmocka_unit_test(refusals),
		cmocka_unit_test(body_limit),
		cmocka_unit_test(keep_alive_and_late),
		cmocka_unit_test(byte_by_byte),
		cmocka_unit_test(large_answer),
		cmocka_unit_test(peer_goes_first),
		cmocka_unit_test(over_tls),
		cmocka_unit_test(upgrade_by_hand),
		cmocka_unit_test(full_server),
		cmocka_unit_test(broken_requests),
		cmocka_unit_test(garbage_after_upgrade),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
