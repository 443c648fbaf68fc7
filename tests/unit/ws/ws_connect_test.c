// SPDX-License-Identifier: MIT
/*
 * ws_connect_test.c - how connecting fails, and how it goes through a proxy
 *
 * Cases: bad URLs; refused port; unreachable address; unknown CA, wrong name, expired certificate, IP
 * address as name; a bundle of the connection; an unusable bundle; answers other than 101; silence
 * at each stage; plain text on a TLS port and the reverse; close and drop while connecting; client
 * certificate; http_proxy of the environment is not used; a proxy with and without credentials, its
 * answer in pieces, its refusal, its silence; SO_MARK (as root).
 */
#include "testkit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "rawpeer.h"

static void expect_end(struct kit *k, const struct ws_connect_opts *opts, int err, int status,
		       const char *words)
{
	struct seen s;

	seen_init(&s, k);
	assert_int_equal(kit_connect(k, &s, opts), 0);
	kit_until(k, s.closed || s.opened);
	assert_int_equal(s.opened, 0);
	if (s.err != err || s.status != status || !strstr(s.reason, words))
		fail_msg("%s, status %d, \"%s\"", st_strerror(s.err), s.status, s.reason);
	assert_int_equal(s.closed, 1);
	seen_fini(&s);
}

static void expect_open(struct kit *k, const struct ws_connect_opts *opts)
{
	struct seen s;

	seen_init(&s, k);
	assert_int_equal(kit_connect(k, &s, opts), 0);
	kit_until(k, s.closed || s.opened);
	if (!s.opened)
		fail_msg("%s, status %d, \"%s\"", st_strerror(s.err), s.status, s.reason);
	assert_int_equal(ws_send(k->ctx, s.conn, (const uint8_t *)"x", 1, true), 0);
	kit_until(k, s.messages);
	ws_drop(k->ctx, s.conn);
	seen_fini(&s);
}

static void bad_urls(void **state)
{
	static const char *const urls[] = {
		"",
		"http://a/",
		"wss://",
		"wss:///x",
		"wss://a:0/",
		"wss://a:65536/",
		"wss://a:x/",
		"wss://a b/",
		"wss://a/x\r\ny: z",
		"wss://[::1/",
		"wss://[1.2.3.4]/",
		"wss://u@a/",
		"wss://a/#f",
		"wss://a:/",
		"wss://a\x80/",
	};
	struct kit k;
	struct seen s;

	(void)state;
	kit_new(&k, true);
	seen_init(&s, &k);
	for (size_t i = 0; i < ARRAY_LEN(urls); i++) {
		struct ws_connect_opts opts = { .url = urls[i], .address = kit_local(1) };

		if (kit_connect(&k, &s, &opts) != ST_EINVAL)
			fail_msg("accepted: %s", urls[i]);
	}
	static const char *const headers[] = { "X", "a\r\nY: b", NULL };
	struct ws_connect_opts opts = { .url = "ws://a/",
					.address = kit_local(1),
					.headers = headers };

	assert_int_equal(kit_connect(&k, &s, &opts), ST_EINVAL);
	opts = (struct ws_connect_opts){ .url = "ws://a/" };
	assert_int_equal(kit_connect(&k, &s, &opts), ST_EINVAL);
	kit_free(&k);
	seen_fini(&s);
}

static void tcp_errors(void **state)
{
	struct kit k;
	struct ws_connect_opts opts;
	char url[256];
	uint16_t port;
	int fd;

	(void)state;
	kit_new(&k, true);
	opts = kit_opts(&k, url);
	fd = kit_listen(&port);
	close(fd);
	opts.address = kit_local(port);
	expect_end(&k, &opts, ST_EREFUSED, 0, "refused");
	/* reserved, and no route on any host */
	opts.address.addr = (struct net_addr){ .family = 4, .b = { 255, 255, 255, 255 } };
	expect_end(&k, &opts, ST_EUNREACH, 0, "");
	kit_free(&k);
}

static void verification(void **state)
{
	struct kit k;
	struct ws_connect_opts opts;
	struct ws_listen_opts old;
	char url[256];

	(void)state;
	kit_new(&k, true);
	opts = kit_opts(&k, url);
	expect_open(&k, &opts);
	opts.ca_bundle = k.other_ca;
	expect_end(&k, &opts, ST_ETLS, 0, "self-signed certificate in certificate chain");
	opts.ca_bundle = NULL;
	snprintf(url, sizeof(url), "wss://other.test:%u/", ws_server_port(k.server));
	expect_end(&k, &opts, ST_ETLS, 0, "hostname mismatch");
	snprintf(url, sizeof(url), "wss://gw.test:%u/", ws_server_port(k.server));
	expect_open(&k, &opts);
	snprintf(url, sizeof(url), "wss://127.0.0.1:%u/", ws_server_port(k.server));
	expect_open(&k, &opts);
	snprintf(url, sizeof(url), "wss://127.0.0.2:%u/", ws_server_port(k.server));
	expect_end(&k, &opts, ST_ETLS, 0, "IP address mismatch");
	snprintf(url, sizeof(url), "wss://[::1]:%u/", ws_server_port(k.server));
	expect_open(&k, &opts);
	snprintf(url, sizeof(url), "wss://[::2]:%u/", ws_server_port(k.server));
	expect_end(&k, &opts, ST_ETLS, 0, "IP address mismatch");

	ws_server_free(k.server);
	old = (struct ws_listen_opts){ .address = kit_local(0),
				       .cert_file = k.expired_cert,
				       .key_file = k.key };
	kit_server(&k, &old);
	opts = kit_opts(&k, url);
	expect_end(&k, &opts, ST_ETLS, 0, "certificate has expired");
	kit_free(&k);
}

static void bundles(void **state)
{
	struct kit k;
	struct ws_connect_opts opts;
	struct seen s;
	struct ws_ctx *ctx;
	struct ws_server *server;
	char url[256];
	struct ws_listen_opts bad;

	(void)state;
	kit_new(&k, true);
	opts = kit_opts(&k, url);
	seen_init(&s, &k);
	opts.ca_bundle = k.key; /* no certificate in it */
	assert_int_equal(kit_connect(&k, &s, &opts), ST_ETLS);
	opts.ca_bundle = "/nonexistent";
	assert_int_equal(kit_connect(&k, &s, &opts), ST_ETLS);
	opts.ca_bundle = k.ca;
	expect_open(&k, &opts);
	assert_int_equal(
		ws_ctx_new(&ctx, k.loop, &(struct ws_ctx_opts){ .ca_bundle = "/nonexistent" }),
		ST_ETLS);
	bad = (struct ws_listen_opts){ .address = kit_local(0),
				       .cert_file = k.cert,
				       .key_file = k.ca };
	assert_int_equal(ws_listen(k.ctx, &server, &bad, NULL, NULL), ST_ETLS);
	bad = (struct ws_listen_opts){ .address = kit_local(ws_server_port(k.server)) };
	assert_int_equal(ws_listen(k.ctx, &server, &bad, NULL, NULL), ST_ESYS);
	kit_free(&k);
	seen_fini(&s);
}

static void client_certificate(void **state)
{
	struct kit k;
	struct ws_connect_opts opts;
	char url[256];

	(void)state;
	kit_new(&k, true);
	opts = kit_opts(&k, url);
	expect_open(&k, &opts);
	assert_string_equal(k.cert_name, "");
	opts.client_cert = k.client_cert;
	opts.client_key = k.client_key;
	expect_open(&k, &opts);
	assert_string_equal(k.cert_name, "agent seven");
	/* one that the server's CA did not sign: refused in TLS 1.3 only after our side is done */
	opts.client_cert = k.other_ca;
	struct seen s;
	seen_init(&s, &k);
	assert_int_equal(kit_connect(&k, &s, &opts), ST_ETLS); /* the key is another one's */
	seen_fini(&s);
	kit_free(&k);
}

static void not_101(void **state)
{
	static const int statuses[] = { 400, 401, 403, 404, 503 };
	struct kit k;
	struct ws_connect_opts opts;
	char url[256], words[16];

	(void)state;
	kit_new(&k, true);
	opts = kit_opts(&k, url);
	for (size_t i = 0; i < ARRAY_LEN(statuses); i++) {
		k.refuse = statuses[i];
		snprintf(words, sizeof(words), "%d", statuses[i]);
		expect_end(&k, &opts, ST_EPEER, statuses[i], words);
	}
	assert_int_equal(k.upgrades, ARRAY_LEN(statuses));
	assert_int_equal(k.srv.opened, 0);
	assert_int_equal(k.srv.closed, 0);
	kit_free(&k);
}

static void play_redirect(struct raw *raw)
{
	static const char answer[] = "HTTP/1.1 302 Found\r\nLocation: wss://elsewhere.test/\r\n"
				     "Content-Length: 0\r\n\r\n";

	raw_write(raw, answer, strlen(answer));
}

static void play_garbage(struct raw *raw)
{
	raw_write(raw, "SSH-2.0-OpenSSH_9.2p1\r\n\r\n", 25);
}

static void play_nothing(struct raw *raw)
{
	(void)raw;
}

static void odd_servers(void **state)
{
	static const struct {
		void (*play)(struct raw *raw);
		const char *scheme;
		int err, status;
	} cases[] = {
		{ play_redirect, "ws", ST_EPEER, 302 }, { play_garbage, "ws", ST_ECLOSED, 0 },
		{ play_nothing, "ws", ST_ECLOSED, 0 },	{ play_garbage, "wss", ST_ETLS, 0 },
		{ play_nothing, "wss", ST_ETLS, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct raw raw = { .fd = -1, .no_upgrade = true };
		struct ws_connect_opts opts;
		struct kit k;
		struct seen s;
		char url[64];

		kit_new(&k, true);
		raw_start(&raw, NULL, NULL, cases[i].play);
		snprintf(url, sizeof(url), "%s://localhost:%u/", cases[i].scheme, raw.port);
		opts = (struct ws_connect_opts){ .url = url, .address = kit_local(raw.port) };
		seen_init(&s, &k);
		assert_int_equal(kit_connect(&k, &s, &opts), 0);
		pthread_join(raw.thread, NULL);
		shutdown(raw.fd, SHUT_WR);
		kit_until(&k, s.closed);
		close(raw.fd);
		close(raw.listen_fd);
		assert_int_equal(s.opened, 0);
		assert_int_equal(s.status, cases[i].status);
		if (s.err != cases[i].err)
			fail_msg("case %zu: %s: %s", i, st_strerror(s.err), s.reason);
		kit_free(&k);
		seen_fini(&s);
	}
}

static void silence(void **state)
{
	static const char *const schemes[] = { "ws", "wss" };
	struct kit k;
	uint16_t port;
	int fd = kit_listen(&port);

	(void)state;
	kit_new(&k, true);
	for (size_t i = 0; i < ARRAY_LEN(schemes); i++)
		for (int proxy = 0; proxy < 2; proxy++) {
			char url[64];
			struct ws_connect_opts opts = { .url = url,
							.address = kit_local(port),
							.timeout_ms = 150,
							.via_proxy = proxy };

			snprintf(url, sizeof(url), "%s://localhost:%u/", schemes[i], port);
			expect_end(&k, &opts, ST_ETIMEOUT, 0, "in time");
		}
	close(fd);
	kit_free(&k);
}

static void wrong_protocol(void **state)
{
	struct kit k;
	struct ws_connect_opts opts;
	char url[256];

	(void)state;
	kit_new(&k, false);
	opts = kit_opts(&k, url); /* wss to a plain port */
	opts.timeout_ms = 3000;
	expect_end(&k, &opts, ST_ETLS, 0, "wrong version number");
	kit_free(&k);
	kit_new(&k, true);
	opts = kit_opts(&k, url);
	memmove(url + 2, url + 3, strlen(url + 3) + 1); /* ws to a TLS port */
	opts.timeout_ms = 3000;
	expect_end(&k, &opts, ST_ECLOSED, 0, "");
	kit_free(&k);
}

static void end_while_connecting(void **state)
{
	struct kit k;
	struct ws_connect_opts opts;
	struct seen s;
	char url[256];

	(void)state;
	kit_new(&k, true);
	for (int turns = 0; turns < 12; turns++)
		for (int drop = 0; drop < 2; drop++) {
			opts = kit_opts(&k, url);
			seen_init(&s, &k);
			assert_int_equal(kit_connect(&k, &s, &opts), 0);
			for (int i = 0; i < turns && !s.opened; i++)
				assert_int_equal(loop_turn(k.loop, 50), 0);
			if (drop)
				ws_drop(k.ctx, s.conn);
			else
				ws_close(k.ctx, s.conn, 1000, "");
			if (drop)
				for (int i = 0; i < 3; i++)
					assert_int_equal(loop_turn(k.loop, 1), 0);
			else
				kit_until(&k, s.closed);
			assert_int_equal(s.closed, drop ? 0 : 1);
			seen_fini(&s);
		}
	opts = kit_opts(&k, url);
	expect_open(&k, &opts);
	kit_free(&k);
}

/* ---- the proxy ---- */

static const char *proxy_reply[4];
static uint16_t proxy_to;

/* Reads the CONNECT, answers in pieces, then carries bytes until either end closes. */
static void play_proxy(struct raw *raw)
{
	size_t n = 0;
	int to;

	while (n < 4 || memcmp(raw->request + n - 4, "\r\n\r\n", 4) != 0) {
		if (n + 2 > sizeof(raw->request) || !raw_read(raw, raw->request + n, 1)) {
			raw->failure = "no request";
			return;
		}
		raw->request[++n] = '\0';
	}
	for (int i = 0; i < 4 && proxy_reply[i]; i++) {
		if (i)
			usleep(20000); /* a segment of its own */
		raw_write(raw, proxy_reply[i], strlen(proxy_reply[i]));
	}
	if (!proxy_to)
		return;
	to = kit_dial(proxy_to);
	for (;;) {
		char p[4096];
		fd_set set;
		ssize_t got;

		FD_ZERO(&set);
		FD_SET(raw->fd, &set);
		FD_SET(to, &set);
		if (select(MAX(raw->fd, to) + 1, &set, NULL, NULL, NULL) < 0)
			break;
		const int from = FD_ISSET(to, &set) ? to : raw->fd;

		if ((got = recv(from, p, sizeof(p), 0)) <= 0 ||
		    send(from == to ? raw->fd : to, p, (size_t)got, MSG_NOSIGNAL) != got)
			break;
	}
	close(to);
}

static void via_proxy(void **state)
{
	struct raw raw = { .fd = -1, .no_upgrade = true };
	struct kit k;
	struct ws_connect_opts opts;
	char url[256], want[128];

	(void)state;
	kit_new(&k, true);
	proxy_reply[0] = "HTTP/1.1 200 Conn";
	proxy_reply[1] = "ection established\r\nVia: kit\r";
	proxy_reply[2] = "\n\r\n";
	proxy_reply[3] = NULL;
	proxy_to = ws_server_port(k.server);
	raw_start(&raw, NULL, NULL, play_proxy);
	opts = kit_opts(&k, url);
	opts.address = kit_local(raw.port);
	opts.via_proxy = true;
	opts.proxy_auth = "Aladdin:open sesame";
	expect_open(&k, &opts);
	for (int i = 0; i < 3; i++)
		assert_int_equal(loop_turn(k.loop, 10), 0);
	raw_join(&raw);
	snprintf(want, sizeof(want), "CONNECT localhost:%u HTTP/1.1\r\nHost: localhost:%u\r\n",
		 proxy_to, proxy_to);
	assert_memory_equal(raw.request, want, strlen(want));
	assert_non_null(
		strstr(raw.request, "Proxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n"));
	kit_free(&k);
}

static void proxy_refuses(void **state)
{
	static const struct {
		const char *reply;
		int err, status;
		const char *words;
	} cases[] = {
		{ "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\n\r\n",
		  ST_EPEER, 407, "the proxy refused: 407 Proxy Authentication Required" },
		{ "HTTP/1.0 503 No\r\n\r\n", ST_EPEER, 503, "503 No" },
		{ "220 smtp\r\n\r\n", ST_EPEER, 0, "does not speak HTTP" },
		{ "HTTP/1.1 200", ST_ECLOSED, 0, "hung up" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct raw raw = { .fd = -1, .no_upgrade = true };
		struct kit k;
		struct ws_connect_opts opts;
		struct seen s;
		char url[256];

		kit_new(&k, true);
		proxy_reply[0] = cases[i].reply;
		proxy_reply[1] = NULL;
		proxy_to = 0;
		raw_start(&raw, NULL, NULL, play_proxy);
		opts = kit_opts(&k, url);
		opts.address = kit_local(raw.port);
		opts.via_proxy = true;
		seen_init(&s, &k);
		assert_int_equal(kit_connect(&k, &s, &opts), 0);
		for (int n = 0; n < 20 && !strstr(raw.request, "\r\n\r\n"); n++)
			assert_int_equal(loop_turn(k.loop, 20), 0);
		raw_join(&raw);
		kit_until(&k, s.closed);
		assert_null(strstr(raw.request, "Proxy-Authorization"));
		if (s.err != cases[i].err || s.status != cases[i].status ||
		    !strstr(s.reason, cases[i].words))
			fail_msg("%s, status %d, \"%s\"", st_strerror(s.err), s.status, s.reason);
		kit_free(&k);
		seen_fini(&s);
	}
}

static void proxy_of_the_environment(void **state)
{
	struct kit k;
	struct ws_connect_opts opts;
	char url[256];

	(void)state;
	setenv("http_proxy", "http://127.0.0.1:1", 1);
	setenv("HTTP_PROXY", "http://127.0.0.1:1", 1);
	kit_new(&k, true);
	opts = kit_opts(&k, url);
	expect_open(&k, &opts);
	assert_string_equal(getenv("http_proxy"), "http://127.0.0.1:1");
	kit_free(&k);
	unsetenv("http_proxy");
	unsetenv("HTTP_PROXY");
}

/* The socket that lws uses carries the mark: looked for among this process's descriptors. */
static void mark(void **state)
{
	struct kit k;
	struct ws_connect_opts opts;
	struct seen s;
	char url[256];
	unsigned marked = 0;

	(void)state;
	if (geteuid() != 0)
		skip();
	kit_new(&k, true);
	opts = kit_opts(&k, url);
	opts.mark = 0x5373;
	seen_init(&s, &k);
	assert_int_equal(kit_connect(&k, &s, &opts), 0);
	kit_until(&k, s.closed || s.opened);
	assert_int_equal(s.opened, 1);
	for (int fd = 3; fd < 256; fd++) {
		uint32_t value = 0;
		socklen_t len = sizeof(value);

		if (getsockopt(fd, SOL_SOCKET, SO_MARK, &value, &len) == 0 && value == 0x5373)
			marked++;
	}
	assert_int_equal(marked, 1);
	kit_free(&k);
	seen_fini(&s);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bad_urls),
		cmocka_unit_test(tcp_errors),
		cmocka_unit_test(verification),
		cmocka_unit_test(bundles),
		cmocka_unit_test(client_certificate),
		cmocka_unit_test(not_101),
		cmocka_unit_test(odd_servers),
		cmocka_unit_test(silence),
		cmocka_unit_test(wrong_protocol),
		cmocka_unit_test(end_while_connecting),
		cmocka_unit_test(via_proxy),
		cmocka_unit_test(proxy_refuses),
		cmocka_unit_test(proxy_of_the_environment),
		cmocka_unit_test(mark),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
