// SPDX-License-Identifier: MIT
/*
 * aws_multi_test.c - sockets that libcurl closes while they connect
 *
 * Cases: a call is cancelled, or its account goes, while it connects: nothing is logged of it, the next call works; of two addresses
 * the first one refuses late, or hangs: the second one is tried at once; a number that is taken again is watched.
 *
 * Theory of operation: a listener whose queue is full lets a connection hang in the handshake; one that is closed then refuses it when
 * the SYN is sent again, and one that accepts what it has lets it through.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "base/log.h"
#include "tests/unit/aws/aws_served.h"

#define FILL 2 /* what a queue of 0 takes, and one more that may hang */
#define PATIENCE_MS 15000U

/* A listener that takes nobody any more. */
struct full {
	int fd, fill[FILL];
	uint16_t port;
};

static void address(struct sockaddr_in *out, const char *host, uint16_t port)
{
	*out = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(port) };
	assert_int_equal(inet_pton(AF_INET, host, &out->sin_addr), 1);
}

/* @port 0: one that is free */
static void full_open(struct full *l, const char *host, uint16_t port)
{
	struct sockaddr_in at;
	socklen_t len = sizeof(at);

	address(&at, host, port);
	l->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(l->fd, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(listen(l->fd, 0), 0);
	assert_int_equal(getsockname(l->fd, (struct sockaddr *)&at, &len), 0);
	l->port = ntohs(at.sin_port);
	for (size_t i = 0; i < FILL; i++) {
		l->fill[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		(void)!connect(l->fill[i], (struct sockaddr *)&at, sizeof(at));
	}
}

static void full_close(struct full *l)
{
	for (size_t i = 0; i < FILL; i++)
		close(l->fill[i]);
	if (l->fd >= 0)
		close(l->fd);
	l->fd = -1;
}

/* ---- the log */

static int logged_fd;

static void log_begin(void)
{
	logged_fd = memfd_create("log", MFD_CLOEXEC);
	assert_true(logged_fd >= 0);
	log_to_fd(logged_fd);
}

/* From now on it goes where it went. */
static void log_expect_no_error(void)
{
	static char text[KIB(16)];
	ssize_t n = pread(logged_fd, text, sizeof(text) - 1, 0);

	log_to_fd(-1);
	close(logged_fd);
	assert_true(n >= 0);
	text[n] = '\0';
	if (strstr(text, "error:") || strstr(text, "descriptor"))
		fail_msg("%s", text);
}

/* ---- two addresses */

static struct later {
	struct loop_timer timer;
	svc_resolved_fn *done;
	void *arg;
} resolving;

static void on_resolve(void *arg, uint64_t now_ms)
{
	struct net_addr addrs[2];

	(void)arg;
	(void)now_ms;
	assert_int_equal(net_addr_parse(&addrs[0], "127.0.0.1"), 0);
	assert_int_equal(net_addr_parse(&addrs[1], "127.0.0.2"), 0);
	resolving.done(resolving.arg, 0, addrs, ARRAY_LEN(addrs), NULL);
}

static int resolve_two(void *ctx, handle *out, const char *host, uint32_t timeout_ms,
		       svc_resolved_fn *done, void *arg)
{
	struct fx *f = ctx;

	(void)host;
	(void)timeout_ms;
	*out = 1;
	resolving.done = done;
	resolving.arg = arg;
	loop_timer_init(&resolving.timer, on_resolve, f);
	return loop_timer_set(f->loop, &resolving.timer, loop_now_ms(f->loop));
}

/* Takes those that fill @arg's queue, then the call's connection, and answers it. */
static void *answer(void *arg)
{
	static const char text[] = "HTTP/1.1 200 OK\r\nContent-Length: 76\r\n\r\n"
				   "{\"SessionId\":\"s-1\",\"TokenValue\":\"t\","
				   "\"StreamUrl\":\"wss://h.test/v1/data-chan\"}";
	const struct full *l = arg;
	char request[KIB(8)];

	for (;;) {
		const int fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC);

		if (fd < 0)
			return NULL;
		if (read(fd, request, sizeof(request)) > 0) {
			(void)!write(fd, text, sizeof(text) - 1);
			close(fd);
			return NULL;
		}
		close(fd);
	}
}

/* ---- the cases */

static struct aws_account *toward(struct fx *f, const char *host, uint16_t port)
{
	return account(f, &(struct aws_account_opts){ .region = "eu-west-1",
						      .access_key = "AKIDTEST",
						      .secret_key = "secret/+test",
						      .endpoint_url = url_of("http", host, port) });
}

static const struct aws_start ok = { .target = "i-ok" };

/* Turns until libcurl has a socket that is watched. */
static void run_to_connect(struct fx *f)
{
	while (list_empty(&f->aws->socks))
		assert_int_equal(loop_turn(f->loop, 1000), 0);
	assert_int_equal(loop_turn(f->loop, 0), 0);
}

static void test_cancel_connecting(void **state)
{
	struct fx *f = *state;
	struct got g = { 0 };
	struct full l;
	struct aws_account *acc, *plain = plain_account(f);
	aws_call call;

	full_open(&l, "127.0.0.1", 0);
	acc = toward(f, "127.0.0.1", l.port);
	log_begin();
	assert_int_equal(aws_start_session(acc, &call, &ok, on_session, &g), 0);
	run_to_connect(f);
	aws_cancel(f->aws, call);
	assert_true(list_empty(&f->aws->socks));
	assert_int_equal(aws_start_session(plain, NULL, &ok, on_session, &g), 0);
	run_until(f, &g, 1);
	assert_true(g.ok);
	assert_int_equal(aws_start_session(acc, NULL, &ok, on_session, &g), 0);
	run_to_connect(f);
	aws_account_free(acc);
	log_expect_no_error();
	assert_int_equal(g.calls, 1);
	aws_account_free(plain);
	full_close(&l);
}

/*
 * The first address hangs and, if @refuses, refuses a second later; the second one hangs, too, until it accepts: the call goes on with
 * that at once, and not when its time is over.
 */
static void next_address(struct fx *f, bool refuses, uint32_t connect_ms, uint32_t wait_ms)
{
	struct got g = { 0 };
	struct full first, second;
	struct aws_account *acc;
	pthread_t thread;
	uint64_t from_ms;

	full_open(&first, "127.0.0.1", 0);
	full_open(&second, "127.0.0.2", first.port);
	f->svc.resolve = resolve_two;
	f->aws->limits.connect_ms = connect_ms;
	acc = toward(f, "two.test", first.port);
	log_begin();
	assert_int_equal(aws_start_session(acc, NULL, &ok, on_session, &g), 0);
	run_to_connect(f);
	from_ms = loop_now_ms(f->loop);
	if (refuses)
		full_close(&first);
	while (loop_now_ms(f->loop) < from_ms + wait_ms)
		assert_int_equal(loop_turn(f->loop, 100), 0);
	assert_int_equal(g.calls, 0);
	for (size_t i = 0; i < FILL; i++)
		shutdown(second.fill[i], SHUT_RDWR);
	assert_int_equal(pthread_create(&thread, NULL, answer, &second), 0);
	run_until(f, &g, 1);
	shutdown(second.fd, SHUT_RDWR); /* or it waits for good if nobody came */
	assert_int_equal(pthread_join(thread, NULL), 0);
	log_expect_no_error();
	if (!g.ok)
		fail_msg("%s", g.error.text);
	assert_in_range(loop_now_ms(f->loop) - from_ms, 0, connect_ms * 3 / 4);
	aws_account_free(acc);
	if (!refuses)
		full_close(&first);
	full_close(&second);
}

static void test_refused(void **state)
{
	next_address(*state, true, 8000, 1500);
}

static void test_hangs(void **state)
{
	next_address(*state, false, 6000, 3200);
}

/* Return: the descriptor that connects, and is none of @l's */
static int connecting(const struct full *l)
{
	for (int fd = 3; fd < 256; fd++) {
		struct tcp_info info;
		socklen_t len = sizeof(info);

		if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0 &&
		    info.tcpi_state == TCP_SYN_SENT && fd != l->fill[0] && fd != l->fill[1])
			return fd;
	}
	fail_msg("nothing connects");
	return -1;
}

/* As libcurl may: the socket is closed while it connects, and the number is the next one's. */
static void test_number_taken_again(void **state)
{
	struct fx *f = *state;
	struct got g = { 0 };
	struct curl_sockaddr at = { .family = AF_INET, .socktype = SOCK_STREAM };
	struct sockaddr_in served;
	struct full l;
	struct aws_account *acc;
	int old, lower[256], n = 0;
	uint64_t from_ms;

	full_open(&l, "127.0.0.1", 0);
	address(&served, "127.0.0.1", (uint16_t)server.http);
	acc = toward(f, "127.0.0.1", l.port);
	log_begin();
	assert_int_equal(aws_start_session(acc, NULL, &ok, on_session, &g), 0);
	run_to_connect(f);
	old = connecting(&l);
	while ((lower[n] = dup(l.fd)) < old)
		n++;
	close(lower[n]);
	close(old); /* now it is the next one */
	assert_int_equal(aws_socket_open(f->aws, CURLSOCKTYPE_IPCXN, &at), old);
	(void)!connect(old, (struct sockaddr *)&served, sizeof(served));
	from_ms = loop_now_ms(f->loop);
	run_until(f, &g, 1);
	log_expect_no_error();
	if (!g.ok)
		fail_msg("%s", g.error.text);
	/* not found by a timer of libcurl's, of a second or more */
	assert_in_range(loop_now_ms(f->loop) - from_ms, 0, 700);
	while (n > 0)
		close(lower[--n]);
	aws_account_free(acc);
	full_close(&l);
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, fx_setup, fx_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_cancel_connecting),
		CASE(test_refused),
		CASE(test_hangs),
		CASE(test_number_taken_again),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, server_start, server_stop);
}
