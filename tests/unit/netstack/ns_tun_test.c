// SPDX-License-Identifier: MIT
/*
 * ns_tun_test.c - the stack against this machine's kernel, over a TUN device in a namespace of its own
 *
 * Each test forks a client that uses plain sockets; the parent runs the loop with the stack and an owner that behaves by
 * the port of the connection's destination. Run twice: checksums by the stack, and by the link. Cases: connect waits for the
 * far side (IPv4, IPv6); each refusal as connect() sees it; a held connection that is given up on; 20 MB echo, equal; each
 * side closes first and the other goes on; a close with unread data resets; 1,000 flows at once; a reader that stops keeps
 * memory bounded and then gets all; a reader that pauses behind the end still gets all; no wake-ups when nothing is open.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <poll.h>
#include <stdlib.h>
#include <sys/pidfd.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

#include "base/err.h"
#include "tests/unit/share.h"
#include "tun_link.h"

#define DELAY_MS 30U /* what the pretended far side takes to connect */
#define CONNS_MAX 2048U

/* What the owner does, by destination port; ports from PORT_ECHO_FROM on echo without delay. */
enum {
	PORT_ECHO = 7,
	PORT_SINK = 9,
	PORT_SOURCE = 19,      /* SOURCE_BYTES, then FIN */
	PORT_SPEAK_FIRST = 20, /* a greeting and FIN at once; reads on */
	PORT_DEAF = 21,	       /* accepts, reads nothing */
	PORT_LATE_READER = 22, /* reads nothing until the test says so, then echoes */
	PORT_ABORT = 23,       /* resets at the first byte, from inside the event */
	PORT_RST = 9000,
	PORT_HOST,
	PORT_NET,
	PORT_PROHIBITED,
	PORT_SILENT,
	PORT_ECHO_FROM = 10000,
};
#define SOURCE_BYTES MIB(20)
#define GREETING "hello"

struct conn {
	struct test *t;
	ns_conn c;
	uint16_t port;
	uint64_t due_ms; /* for the answer to the SYN; 0: given */
	size_t sent, got;
	bool eof, finished, gone, established;
};

struct test {
	struct loop *loop;
	struct tun_link link;
	struct loop_timer timer, second;
	loop_watch child_watch;
	struct conn conns[CONNS_MAX];
	size_t n;
	size_t buffered_max;
	uint32_t finished, gone;
};

static bool offload;

/* --- the owner */

static void pump_echo(struct conn *k)
{
	struct ns *ns = k->t->link.ns;
	static uint8_t buf[KIB(64)];
	ssize_t n = 0;

	while (ns_conn_room(ns, k->c) > 0 &&
	       (n = ns_conn_read(ns, k->c, buf, MIN(sizeof(buf), ns_conn_room(ns, k->c)))) > 0)
		assert_int_equal(ns_conn_write(ns, k->c, buf, (size_t)n), 0);
	if (n == 0 && ns_conn_room(ns, k->c) > 0) {
		k->eof = true;
		ns_conn_shutdown(ns, k->c);
	}
}

static void pump_sink(struct conn *k)
{
	static uint8_t buf[KIB(64)];
	ssize_t n;

	while ((n = ns_conn_read(k->t->link.ns, k->c, buf, sizeof(buf))) > 0)
		k->got += (size_t)n;
	k->eof = k->eof || n == 0;
	if (k->eof && k->port != PORT_SOURCE)
		ns_conn_shutdown(k->t->link.ns, k->c);
}

static void pump_source(struct conn *k)
{
	static uint8_t zeros[KIB(32)];
	size_t n;

	while ((n = MIN(ns_conn_room(k->t->link.ns, k->c),
			MIN(sizeof(zeros), SOURCE_BYTES - k->sent))) > 0) {
		assert_int_equal(ns_conn_write(k->t->link.ns, k->c, zeros, n), 0);
		k->sent += n;
	}
	if (k->sent == SOURCE_BYTES)
		ns_conn_shutdown(k->t->link.ns, k->c);
	pump_sink(k);
}

static void pump(struct conn *k)
{
	struct ns_stats s;

	switch (k->port) {
	case PORT_SINK:
	case PORT_SPEAK_FIRST: pump_sink(k); break;
	case PORT_SOURCE: pump_source(k); break;
	case PORT_DEAF:
	case PORT_LATE_READER: break;
	case PORT_ABORT:
		if (ns_conn_readable(k->t->link.ns, k->c) > 0)
			ns_conn_abort(k->t->link.ns, k->c);
		break;
	default: pump_echo(k); break;
	}
	ns_stats(k->t->link.ns, &s);
	k->t->buffered_max = MAX(k->t->buffered_max, s.buffered_bytes);
}

static void answer(struct conn *k)
{
	static const enum ns_refusal refusals[] = { NS_REFUSE_RST, NS_REFUSE_HOST_UNREACHABLE,
						    NS_REFUSE_NET_UNREACHABLE,
						    NS_REFUSE_PROHIBITED };

	k->due_ms = 0;
	if (k->port >= PORT_RST && k->port < PORT_SILENT)
		ns_conn_refuse(k->t->link.ns, k->c, refusals[k->port - PORT_RST]);
	else if (k->port != PORT_SILENT)
		ns_conn_accept(k->t->link.ns, k->c);
}

static void answer_due(void *arg, uint64_t now_ms)
{
	struct test *t = arg;
	uint64_t next = UINT64_MAX;

	for (size_t i = 0; i < t->n; i++) {
		struct conn *k = &t->conns[i];

		if (k->due_ms && k->due_ms <= now_ms)
			answer(k);
		else if (k->due_ms)
			next = MIN(next, k->due_ms);
	}
	if (next != UINT64_MAX)
		assert_int_equal(loop_timer_set(t->loop, &t->timer, next), 0);
}

static void *on_syn(void *arg, ns_conn c, const struct ns_flow_key *key)
{
	struct test *t = arg;
	struct conn *k;

	if (t->n == CONNS_MAX)
		return NULL;
	k = &t->conns[t->n++];
	*k = (struct conn){ .t = t, .c = c, .port = key->dst.port };
	if (k->port >= PORT_ECHO_FROM) {
		ns_conn_accept(t->link.ns, c);
		return k;
	}
	k->due_ms = loop_now_ms(t->loop) + DELAY_MS;
	if (!loop_timer_armed(&t->timer))
		assert_int_equal(loop_timer_set(t->loop, &t->timer, k->due_ms), 0);
	return k;
}

static void on_gone(void *arg, ns_conn c)
{
	struct conn *k = arg;

	assert_int_equal(ns_conn_read(k->t->link.ns, c, NULL, 0), ST_ECLOSED);
	k->gone = true;
	k->due_ms = 0;
	k->t->gone++;
}

static void on_established(void *arg, ns_conn c)
{
	struct conn *k = arg;

	k->established = true;
	if (k->port == PORT_SPEAK_FIRST) {
		assert_int_equal(ns_conn_write(k->t->link.ns, c, (const uint8_t *)GREETING,
					       sizeof(GREETING)),
				 0);
		ns_conn_shutdown(k->t->link.ns, c);
	}
	pump(k);
}

static void on_data(void *arg, ns_conn c)
{
	(void)c;
	pump(arg);
}

static void on_finished(void *arg, ns_conn c)
{
	struct conn *k = arg;

	(void)c;
	assert_true(k->eof);
	k->finished = true;
	k->t->finished++;
}

static const struct ns_events events = {
	.syn = on_syn,
	.gone = on_gone,
	.established = on_established,
	.readable = on_data,
	.writable = on_data,
	.finished = on_finished,
};

/* --- the frame of a test */

static struct test *test_begin(void)
{
	struct test *t = calloc(1, sizeof(*t));
	struct ns_opts opts = { .events = &events, .arg = t };

	assert_int_equal(loop_new(&t->loop), 0);
	loop_timer_init(&t->timer, answer_due, t);
	assert_int_equal(tun_link_open(&t->link, t->loop, offload), 0);
	opts.loop = t->loop;
	opts.link = (struct ns_link){ .output = tun_link_output,
				      .arg = &t->link,
				      .csum_offload = offload };
	assert_int_equal(net_addr_parse(&opts.stack4, "10.255.255.1"), 0);
	assert_int_equal(net_addr_parse(&opts.stack6, "fd00:9::53"), 0);
	assert_int_equal(ns_new(&t->link.ns, &opts), 0);
	return t;
}

static void test_end(struct test *t)
{
	ns_free(t->link.ns);
	loop_timer_cancel(t->loop, &t->timer);
	tun_link_close(&t->link, t->loop);
	loop_free(t->loop);
	free(t);
}

static void child_ended(void *arg, uint32_t ev, uint64_t now_ms)
{
	struct test *t = arg;

	(void)ev;
	(void)now_ms;
	loop_fd_del(t->loop, &t->child_watch);
	loop_stop(t->loop);
}

/* Runs @client in a child until it ends; its exit status must be 0 (else it is the line that failed). */
static void run(struct test *t, int (*client)(void))
{
	pid_t pid = fork();
	int fd, status;

	assert_true(pid >= 0);
	if (pid == 0)
		_exit(client());
	fd = pidfd_open(pid, 0);
	assert_true(fd >= 0);
	assert_int_equal(loop_fd_add(t->loop, &t->child_watch, fd, EPOLLIN, child_ended, t), 0);
	assert_int_equal(loop_run(t->loop), 0);
	close(fd);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		fail_msg("client: wait status 0x%x (see its line above)", (unsigned int)status);
}

/* Turns until @done of the owner's connections have ended. */
static void settle(struct test *t, uint32_t done)
{
	uint64_t until = loop_now_ms(t->loop) + 10000;

	while (t->finished + t->gone < done && loop_now_ms(t->loop) < until)
		assert_int_equal(loop_turn(t->loop, 100), 0);
	assert_int_equal(t->finished + t->gone, done);
}

/* --- clients: run in the child, return 0 or 1 */

#define EXPECT(cond)                                                                               \
	do {                                                                                       \
		if (!(cond)) {                                                                     \
			fprintf(stderr, "client: line %d: %s (%s)\n", __LINE__, #cond,             \
				strerror(errno));                                                  \
			return 1;                                                                  \
		}                                                                                  \
	} while (0)

static uint64_t mono_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

static uint64_t mono_ms(void)
{
	return mono_us() / 1000;
}

/* Return: a connected socket, or -errno */
static int dial_flags(const char *addr, uint16_t port, int flags)
{
	struct net_endpoint e = { .port = port };
	struct sockaddr_storage ss;
	socklen_t len;
	int fd;

	if (net_addr_parse(&e.addr, addr) < 0)
		return -EINVAL;
	len = net_sockaddr(&ss, &e);
	fd = socket(ss.ss_family, SOCK_STREAM | flags, 0);
	if (connect(fd, (struct sockaddr *)&ss, len) < 0 && errno != EINPROGRESS) {
		int err = errno;

		close(fd);
		return -err;
	}
	return fd;
}

static int dial(const char *addr, uint16_t port)
{
	return dial_flags(addr, port, 0);
}

static uint32_t pattern(uint32_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 17;
	*state ^= *state << 5;
	return *state;
}

static void pattern_fill(uint8_t *p, size_t len, uint32_t *state)
{
	for (size_t i = 0; i + 4 <= len; i += 4) {
		uint32_t v = pattern(state);

		memcpy(p + i, &v, 4);
	}
}

static int client_connect(void)
{
	static const char *const addrs[] = { "10.9.8.7", "fd00:9::77" };

	for (size_t i = 0; i < ARRAY_LEN(addrs); i++) {
		uint64_t start = mono_ms(), took;
		char c = 'x';
		int fd = dial(addrs[i], PORT_ECHO);

		took = mono_ms() - start;
		EXPECT(fd >= 0);
		EXPECT(took >= DELAY_MS - 2 && took < 1000);
		EXPECT(write(fd, &c, 1) == 1);
		EXPECT(read(fd, &c, 1) == 1 && c == 'x');
		EXPECT(shutdown(fd, SHUT_WR) == 0);
		EXPECT(read(fd, &c, 1) == 0);
		close(fd);
	}
	return 0;
}

static void test_connect_waits(void **state)
{
	struct test *t = test_begin();

	(void)state;
	run(t, client_connect);
	settle(t, 2);
	assert_int_equal(t->finished, 2);
	test_end(t);
}

static int client_refused(void)
{
	EXPECT(dial("10.1.1.1", PORT_RST) == -ECONNREFUSED);
	EXPECT(dial("10.1.1.1", PORT_HOST) == -EHOSTUNREACH);
	EXPECT(dial("10.1.1.1", PORT_NET) == -ENETUNREACH);
	EXPECT(dial("10.1.1.1", PORT_PROHIBITED) == -EHOSTUNREACH); /* icmp_err_convert[13] */
	EXPECT(dial("fd00:9::1", PORT_RST) == -ECONNREFUSED);
	EXPECT(dial("fd00:9::1", PORT_HOST) == -EHOSTUNREACH);
	EXPECT(dial("fd00:9::1", PORT_NET) == -ENETUNREACH);
	EXPECT(dial("fd00:9::1", PORT_PROHIBITED) == -EACCES);
	return 0;
}

static void test_refusals(void **state)
{
	struct test *t = test_begin();
	struct ns_stats s;
	uint64_t start = mono_ms();

	(void)state;
	run(t, client_refused);
	assert_true(mono_ms() - start < 5000);
	ns_stats(t->link.ns, &s);
	assert_int_equal(s.flows, 0);
	assert_int_equal(s.held, 0);
	assert_int_equal(s.syns, 8);
	test_end(t);
}

/* 1.5 s: the kernel repeats its SYN once, and the stack swallows it. */
static int client_silent(void)
{
	int fd = dial_flags("10.1.1.1", PORT_SILENT, SOCK_NONBLOCK);
	struct pollfd p = { .fd = fd, .events = POLLOUT };

	EXPECT(poll(&p, 1, 1500) == 0);
	return 0;
}

static void test_silence(void **state)
{
	struct test *t = test_begin();
	struct ns_stats s;

	(void)state;
	run(t, client_silent);
	ns_stats(t->link.ns, &s);
	assert_int_equal(s.syns, 1);
	assert_true(s.packets_in >= 2);
	assert_int_equal(s.packets_out, 0);
	assert_int_equal(s.held, 1);
	test_end(t);
}

static int udp_and_ping(void)
{
	struct net_endpoint e = { .port = 99 };
	struct sockaddr_storage ss;
	char c = 'x';
	socklen_t len;
	int fd;

	EXPECT(net_addr_parse(&e.addr, "10.5.5.5") == 0);
	len = net_sockaddr(&ss, &e);
	fd = socket(AF_INET, SOCK_DGRAM, 0);
	EXPECT(connect(fd, (struct sockaddr *)&ss, len) == 0 && send(fd, &c, 1, 0) == 1);
	EXPECT(recv(fd, &c, 1, 0) < 0 && errno == ECONNREFUSED);
	return 0;
}

static void test_udp_refused(void **state)
{
	struct test *t = test_begin();

	(void)state;
	run(t, udp_and_ping);
	test_end(t);
}

/* Sends @total bytes and reads them back at once, comparing. */
static int echo_through(int fd, size_t total)
{
	static uint8_t out[KIB(64)], in[KIB(64)], want[KIB(64)];
	uint32_t out_state = 1, in_state = 1;
	size_t sent = 0, got = 0, out_at = sizeof(out), in_at = 0;

	EXPECT(fcntl(fd, F_SETFL, O_NONBLOCK) == 0);
	pattern_fill(want, sizeof(want), &in_state);
	while (got < total) {
		struct pollfd p = { .fd = fd,
				    .events = (short)(POLLIN | (sent < total ? POLLOUT : 0)) };
		ssize_t n;

		EXPECT(poll(&p, 1, 10000) == 1);
		if (p.revents & POLLOUT && sent < total) {
			if (out_at == sizeof(out)) {
				pattern_fill(out, sizeof(out), &out_state);
				out_at = 0;
			}
			n = write(fd, out + out_at, MIN(sizeof(out) - out_at, total - sent));
			EXPECT(n > 0 || errno == EAGAIN);
			out_at += n > 0 ? (size_t)n : 0;
			sent += n > 0 ? (size_t)n : 0;
			if (sent == total)
				EXPECT(shutdown(fd, SHUT_WR) == 0);
		}
		if (!(p.revents & POLLIN))
			continue;
		n = read(fd, in, sizeof(want) - in_at);
		EXPECT(n > 0);
		EXPECT(memcmp(in, want + in_at, (size_t)n) == 0);
		got += (size_t)n;
		if ((in_at += (size_t)n) == sizeof(want)) {
			pattern_fill(want, sizeof(want), &in_state);
			in_at = 0;
		}
	}
	EXPECT(fcntl(fd, F_SETFL, 0) == 0);
	EXPECT(read(fd, in, 1) == 0);
	return 0;
}

static int client_echo(void)
{
	EXPECT(echo_through(dial("10.9.8.7", PORT_ECHO), 20000000) == 0);
	EXPECT(echo_through(dial("fd00:9::7", PORT_ECHO), 20000000) == 0);
	return 0;
}

static void test_echo(void **state)
{
	struct test *t = test_begin();
	struct ns_stats s;

	(void)state;
	run(t, client_echo);
	settle(t, 2);
	assert_int_equal(t->finished, 2);
	ns_stats(t->link.ns, &s);
	assert_int_equal(s.flows, 0);
	assert_int_equal(s.buffered_bytes, 0);
	assert_int_equal(s.output_errors, 0);
	assert_true(t->buffered_max <= 2 * NS_BUFFER_BYTES);
	test_end(t);
}

/* The far side closes first; what we say afterwards still arrives. */
static int client_listen_first(void)
{
	char buf[64];
	int fd = dial("10.9.8.7", PORT_SPEAK_FIRST);

	EXPECT(fd >= 0);
	EXPECT(recv(fd, buf, sizeof(GREETING), MSG_WAITALL) == sizeof(GREETING));
	EXPECT(memcmp(buf, GREETING, sizeof(GREETING)) == 0);
	EXPECT(read(fd, buf, 1) == 0);
	for (int i = 0; i < 100; i++)
		EXPECT(write(fd, buf, sizeof(buf)) == sizeof(buf));
	close(fd);
	return 0;
}

static void test_far_side_closes_first(void **state)
{
	struct test *t = test_begin();

	(void)state;
	run(t, client_listen_first);
	settle(t, 1);
	assert_int_equal(t->finished, 1);
	assert_int_equal(t->conns[0].got, 6400);
	test_end(t);
}

/* close() with unread data makes the kernel send RST. */
static int client_rude(void)
{
	char buf[16];
	int fd = dial("10.9.8.7", PORT_SOURCE);

	EXPECT(fd >= 0);
	EXPECT(read(fd, buf, sizeof(buf)) > 0);
	close(fd);
	return 0;
}

static void test_reset_by_application(void **state)
{
	struct test *t = test_begin();
	struct ns_stats s;

	(void)state;
	run(t, client_rude);
	settle(t, 1);
	assert_int_equal(t->gone, 1);
	ns_stats(t->link.ns, &s);
	assert_int_equal(s.flows, 0);
	assert_int_equal(s.buffered_bytes, 0);
	test_end(t);
}

static int client_reset(void)
{
	char c = 'x';
	int fd = dial("10.9.8.7", PORT_ABORT);

	EXPECT(fd >= 0);
	EXPECT(write(fd, &c, 1) == 1);
	EXPECT(read(fd, &c, 1) < 0 && errno == ECONNRESET);
	return 0;
}

static void test_reset_by_owner(void **state)
{
	struct test *t = test_begin();
	struct ns_stats s;

	(void)state;
	run(t, client_reset);
	ns_stats(t->link.ns, &s);
	assert_int_equal(s.flows, 0);
	assert_int_equal(s.resets, 1);
	assert_int_equal(t->gone + t->finished, 0);
	test_end(t);
}

#define MANY 1000

static int client_many(void)
{
	static int fds[MANY];
	struct rlimit files = { 4096, 4096 };
	char msg[32], in[32], addr[32];

	EXPECT(setrlimit(RLIMIT_NOFILE, &files) == 0);
	for (int i = 0; i < MANY; i++) {
		if (i % 4 == 3)
			snprintf(addr, sizeof(addr), "fd00:9::%x", i + 1);
		else
			snprintf(addr, sizeof(addr), "10.1.%d.%d", i / 200, i % 200 + 1);
		fds[i] = dial_flags(addr, (uint16_t)(PORT_ECHO_FROM + i), SOCK_NONBLOCK);
		EXPECT(fds[i] >= 0);
	}
	for (int i = 0; i < MANY; i++) {
		struct pollfd p = { .fd = fds[i], .events = POLLOUT };

		EXPECT(poll(&p, 1, 20000) == 1 && p.revents == POLLOUT);
		snprintf(msg, sizeof(msg), "this is flow %06d.", i);
		EXPECT(write(fds[i], msg, sizeof(msg)) == sizeof(msg));
	}
	for (int i = 0; i < MANY; i++) {
		EXPECT(fcntl(fds[i], F_SETFL, 0) == 0);
		snprintf(msg, sizeof(msg), "this is flow %06d.", i);
		EXPECT(recv(fds[i], in, sizeof(in), MSG_WAITALL) == sizeof(in));
		EXPECT(strcmp(in, msg) == 0);
		EXPECT(shutdown(fds[i], SHUT_WR) == 0);
	}
	for (int i = 0; i < MANY; i++)
		EXPECT(read(fds[i], in, 1) == 0);
	return 0;
}

static void test_many(void **state)
{
	struct test *t = test_begin();
	struct ns_stats s;
	uint64_t start = mono_ms();

	(void)state;
	run(t, client_many);
	printf("  1,000 flows: %u ms\n", (unsigned int)(mono_ms() - start));
	settle(t, MANY);
	assert_int_equal(t->finished, MANY);
	ns_stats(t->link.ns, &s);
	assert_int_equal(s.flows, 0);
	assert_int_equal(s.buffered_bytes, 0);
	test_end(t);
}

/* Writes until nothing moves for 500 ms. */
static int client_stuck(void)
{
	static uint8_t buf[KIB(64)];
	int fd = dial_flags("10.9.8.7", PORT_DEAF, SOCK_NONBLOCK);
	struct pollfd p = { .fd = fd, .events = POLLOUT };

	EXPECT(fd >= 0);
	while (poll(&p, 1, 500) == 1)
		EXPECT(write(fd, buf, sizeof(buf)) > 0 || errno == EAGAIN);
	return 0;
}

static void test_reader_stops(void **state)
{
	struct test *t = test_begin();
	struct ns_stats s;

	(void)state;
	run(t, client_stuck);
	ns_stats(t->link.ns, &s);
	assert_true(s.buffered_bytes <= NS_BUFFER_BYTES);
	assert_true(t->buffered_max <= NS_BUFFER_BYTES);
	assert_true(t->buffered_max >= NS_BUFFER_BYTES / 2);
	test_end(t);
}

static void wake_late_reader(void *arg, uint64_t now_ms)
{
	struct test *t = arg;

	(void)now_ms;
	t->conns[0].port = PORT_ECHO;
	pump(&t->conns[0]);
}

static int client_late(void)
{
	return echo_through(dial("10.9.8.7", PORT_LATE_READER), MIB(2));
}

static void test_reader_resumes(void **state)
{
	struct test *t = test_begin();

	(void)state;
	loop_timer_init(&t->second, wake_late_reader, t);
	assert_int_equal(loop_timer_set(t->loop, &t->second, loop_now_ms(t->loop) + 700), 0);
	run(t, client_late);
	settle(t, 1);
	assert_int_equal(t->finished, 1);
	test_end(t);
}

/* The application closes its sending side, so our FIN brings LAST_ACK, and reads nothing for 4 s, which is longer than
 * lwIP keeps LAST_ACK. */
static int client_pause(void)
{
	static uint8_t buf[KIB(64)];
	size_t got = 0;
	ssize_t n;
	int fd, small = 16384;
	struct sockaddr_storage ss;
	struct net_endpoint e = { .port = PORT_SOURCE };
	socklen_t len;

	EXPECT(net_addr_parse(&e.addr, "10.9.8.7") == 0);
	len = net_sockaddr(&ss, &e);
	fd = socket(AF_INET, SOCK_STREAM, 0);
	EXPECT(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)) == 0);
	EXPECT(connect(fd, (struct sockaddr *)&ss, len) == 0);
	EXPECT(shutdown(fd, SHUT_WR) == 0);
	while (got < SOURCE_BYTES - KIB(100)) {
		EXPECT((n = read(fd, buf, sizeof(buf))) > 0);
		got += (size_t)n;
	}
	poll(NULL, 0, 4000); /* the pause is what is tested */
	while ((n = read(fd, buf, sizeof(buf))) > 0)
		got += (size_t)n;
	EXPECT(n == 0);
	EXPECT(got == SOURCE_BYTES);
	return 0;
}

static void test_reader_pauses_at_the_end(void **state)
{
	struct test *t = test_begin();

	(void)state;
	run(t, client_pause);
	settle(t, 1);
	assert_int_equal(t->finished, 1);
	test_end(t);
}

/* --- figures, not asserted */

#define UP_BYTES MIB(512)
#define DOWN_FLOWS 25 /* one after the other, SOURCE_BYTES each */

static int client_up(void)
{
	static uint8_t buf[KIB(256)];
	uint64_t start;
	int fd = dial("10.9.8.7", PORT_SINK);

	EXPECT(fd >= 0);
	start = mono_us();
	for (size_t sent = 0; sent < UP_BYTES; sent += sizeof(buf))
		EXPECT(write(fd, buf, sizeof(buf)) == sizeof(buf));
	EXPECT(shutdown(fd, SHUT_WR) == 0 && read(fd, buf, 1) == 0);
	printf("  one flow up: %.0f MB/s\n", (double)UP_BYTES / (double)(mono_us() - start + 1));
	fflush(stdout);
	return 0;
}

static int client_down(void)
{
	static uint8_t buf[KIB(256)];
	uint64_t took = 0;
	size_t got = 0;

	for (int i = 0; i < DOWN_FLOWS; i++) {
		int fd = dial("10.9.8.7", PORT_SOURCE);
		uint64_t start = mono_us();
		ssize_t n;

		EXPECT(fd >= 0);
		while ((n = read(fd, buf, sizeof(buf))) > 0)
			got += (size_t)n;
		EXPECT(n == 0);
		close(fd);
		took += mono_us() - start;
	}
	printf("  one flow down: %.0f MB/s\n", (double)got / (double)(took + 1));
	fflush(stdout);
	return 0;
}

static void test_figures(void **state)
{
	struct test *t = test_begin();

	(void)state;
	run(t, client_up);
	run(t, client_down);
	settle(t, 1 + DOWN_FLOWS);
	assert_int_equal(t->finished, 1 + DOWN_FLOWS);
	test_end(t);
}

static void test_no_wakeups(void **state)
{
	struct test *t = test_begin();
	struct ns_stats before, after;
	uint64_t turns, until;

	(void)state;
	run(t, client_connect);
	settle(t, 2);
	until = loop_now_ms(t->loop) + 4000; /* TIME_WAIT: 2 * TCP_MSL and the timers' grain */
	while (loop_now_ms(t->loop) < until)
		assert_int_equal(loop_turn(t->loop, 1000), 0);
	ns_stats(t->link.ns, &before);
	turns = loop_turns(t->loop);
	until = loop_now_ms(t->loop) + 1000;
	while (loop_now_ms(t->loop) < until)
		assert_int_equal(loop_turn(t->loop, (int)(until - loop_now_ms(t->loop))), 0);
	ns_stats(t->link.ns, &after);
	/* The kernel may send something of its own over IPv6; else only the wait's end counts, in two parts if it came early. */
	assert_true(loop_turns(t->loop) - turns <= after.packets_in - before.packets_in + 2);
	test_end(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_connect_waits),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_silence),
		cmocka_unit_test(test_udp_refused),
		cmocka_unit_test(test_echo),
		cmocka_unit_test(test_far_side_closes_first),
		cmocka_unit_test(test_reset_by_application),
		cmocka_unit_test(test_reset_by_owner),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_reader_stops),
		cmocka_unit_test(test_reader_resumes),
		cmocka_unit_test(test_reader_pauses_at_the_end),
		cmocka_unit_test(test_figures),
		cmocka_unit_test(test_no_wakeups),
	};
	int r;

	if (!tun_link_namespace())
		return 0;
	r = share_run_tests("checksums by the stack", tests, NULL, NULL);
	offload = true;
	return r + share_run_tests("checksums by the link", tests, NULL, NULL);
}
