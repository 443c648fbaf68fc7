// SPDX-License-Identifier: MIT
/*
 * direct_test.c - flows by sockets of this machine, over loopback
 *
 * Cases: opened, bytes both ways, IPv6; refused, and never from inside dir_open(); the budget; what the kernel says of the way, and the
 * mark (in a namespace of its own); addresses that nothing opens; either side ends first; big transfers both ways with back-pressure,
 * without wake-ups while nobody reads; the far side resets, with and without unread bytes; close in each state, in order with
 * bytes still to send, and past its limit; limits of flows and descriptors; owners that close or open inside events; stale handles; free with open flows.
 * The far side is a plain socket of this process, worked by the test itself.
 */
#include "direct/direct.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/err.h"

#define BUDGET_MS 300U
#define WAIT_MS 10000U
#define BIG MIB(8)
#define SMALL_WINDOW 4096 /* what waits then waits on our side, not on the far one */

/* What one flow's owner heard. */
struct heard {
	struct dir *d;
	unsigned int opened, failed, readable, writable, gone;
	enum dir_failure why;
	char text[128];
	bool inside;	      /* a dir_ call is on the stack: no event may come */
	bool close_when_told; /* the owner closes inside each event */
};

static struct loop *loop;
static struct dir *dir;

static void told(struct heard *h, dir_conn c)
{
	assert_false(h->inside);
	if (h->close_when_told)
		dir_close(dir, c);
}

static void on_opened(void *arg, dir_conn c)
{
	struct heard *h = arg;

	h->opened++;
	told(h, c);
}

static void on_failed(void *arg, dir_conn c, enum dir_failure why, const char *text)
{
	struct heard *h = arg;

	h->failed++;
	h->why = why;
	snprintf(h->text, sizeof(h->text), "%s", text);
	told(h, c);
}

static void on_readable(void *arg, dir_conn c)
{
	struct heard *h = arg;

	h->readable++;
	told(h, c);
}

static void on_writable(void *arg, dir_conn c)
{
	struct heard *h = arg;

	assert_true(dir_room(dir, c) > 0);
	h->writable++;
	told(h, c);
}

static void on_gone(void *arg, dir_conn c)
{
	struct heard *h = arg;

	h->gone++;
	told(h, c);
}

static const struct dir_events events = { on_opened, on_failed, on_readable, on_writable, on_gone };

static void make(const struct dir_opts *wish)
{
	struct dir_opts opts = *wish;

	assert_int_equal(loop_new(&loop), 0);
	opts.loop = loop;
	assert_int_equal(dir_new(&dir, &opts), 0);
}

static int setup(void **state)
{
	(void)state;
	make(&(struct dir_opts){ .connect_budget_ms = BUDGET_MS });
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	dir_free(dir);
	loop_free(loop);
	return 0;
}

static void turn(void)
{
	assert_int_equal(loop_turn(loop, 10), 0);
}

/* Turns until @what, an unsigned int, is no longer 0. */
static void await(const unsigned int *what)
{
	uint64_t end_ms;

	turn();
	end_ms = loop_now_ms(loop) + WAIT_MS;
	while (!*what) {
		turn();
		if (loop_now_ms(loop) > end_ms)
			fail_msg("the event does not come");
	}
}

static void turns(unsigned int n)
{
	while (n-- > 0)
		turn();
}

/* --- the far side */

static struct net_endpoint endpoint(const char *address, uint16_t port)
{
	struct net_endpoint e = { .port = port };

	assert_int_equal(net_addr_parse(&e.addr, address), 0);
	return e;
}

static int listen_at(const char *address, int backlog, struct net_endpoint *at)
{
	struct sockaddr_storage sa;
	socklen_t len;
	int fd;

	*at = endpoint(address, 0);
	len = net_sockaddr(&sa, at);
	fd = socket(sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&sa, len), 0);
	assert_int_equal(listen(fd, backlog), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
	assert_int_equal(net_from_sockaddr(at, (struct sockaddr *)&sa), 0);
	return fd;
}

static dir_conn open_to(const struct net_endpoint *at, struct heard *h)
{
	dir_conn c = 0;

	h->inside = true;
	assert_int_equal(dir_open(dir, &c, at, true, &events, h), 0);
	h->inside = false;
	assert_true(c != 0);
	return c;
}

/* An open flow and its far side, which does not block; @window: bytes of its receive buffer, 0: the kernel's. */
static dir_conn pair_of(const char *address, struct heard *h, int *far, int window)
{
	struct net_endpoint at;
	int listener = listen_at(address, 4, &at);
	dir_conn c;

	if (window)
		assert_int_equal(
			setsockopt(listener, SOL_SOCKET, SO_RCVBUF, &window, sizeof(window)), 0);
	c = open_to(&at, h);

	await(&h->opened);
	*far = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	assert_true(*far >= 0);
	close(listener);
	return c;
}

static dir_conn pair(const char *address, struct heard *h, int *far)
{
	return pair_of(address, h, far, 0);
}

static void far_reset(int fd)
{
	const struct linger now = { .l_onoff = 1 };

	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now)), 0);
	close(fd);
}

static void assert_far_reads(int fd, const char *want)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	char in[64] = { 0 };

	assert_int_equal(poll(&p, 1, (int)WAIT_MS), 1);
	assert_int_equal(recv(fd, in, sizeof(in) - 1, 0), (ssize_t)strlen(want));
	assert_string_equal(in, want);
}

/* How the far side sees the end: 0 (FIN) or an errno value (RST). */
static int far_end(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	char in[4096];
	ssize_t n;

	do {
		assert_int_equal(poll(&p, 1, (int)WAIT_MS), 1);
		n = recv(fd, in, sizeof(in), 0);
	} while (n > 0);
	return n == 0 ? 0 : errno;
}

/* Behind a FIN only this tells of the RST. */
static int far_error(int fd)
{
	int error = 0;
	socklen_t len = sizeof(error);

	assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len), 0);
	return error;
}

static void write_text(dir_conn c, struct heard *h, const char *text)
{
	h->inside = true;
	assert_int_equal(dir_write(dir, c, (const uint8_t *)text, strlen(text)), 0);
	h->inside = false;
}

static void assert_reads(dir_conn c, const char *want)
{
	uint8_t in[64] = { 0 };
	ssize_t n = dir_read(dir, c, in, sizeof(in) - 1);

	for (unsigned int i = 0; n == ST_EAGAIN && i < WAIT_MS / 10; i++) {
		turn();
		n = dir_read(dir, c, in, sizeof(in) - 1);
	}
	assert_int_equal(n, (ssize_t)strlen(want));
	assert_string_equal((char *)in, want);
}

/* --- opening */

static void bytes_both_ways(void **state)
{
	static const char *const addresses[] = { "127.0.0.1", "::1" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(addresses); i++) {
		struct heard h = { 0 };
		uint8_t in[8];
		int far;
		dir_conn c = pair(addresses[i], &h, &far);

		assert_int_equal(dir_read(dir, c, in, sizeof(in)), ST_EAGAIN);
		write_text(c, &h, "to there");
		assert_far_reads(far, "to there");
		assert_int_equal(send(far, "to here", 7, 0), 7);
		await(&h.readable);
		assert_reads(c, "to here");
		assert_int_equal(dir_read(dir, c, in, sizeof(in)), ST_EAGAIN);
		h.readable = 0; /* comes again with each arrival */
		assert_int_equal(send(far, "more", 4, 0), 4);
		await(&h.readable);
		assert_reads(c, "more");
		assert_int_equal(h.opened, 1);
		assert_int_equal(h.failed + h.gone + h.writable, 0);
		dir_close(dir, c);
		close(far);
	}
}

static void refused(void **state)
{
	static const char *const addresses[] = { "127.0.0.1", "::1" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(addresses); i++) {
		struct heard h = { 0 };
		struct net_endpoint at;
		uint8_t in[8];
		dir_conn c;

		close(listen_at(addresses[i], 1, &at));
		c = open_to(&at, &h);
		assert_int_equal(dir_room(dir, c), 0);
		assert_int_equal(dir_write(dir, c, in, 1), ST_ECLOSED);
		await(&h.failed);
		assert_int_equal(h.why, DIR_REFUSED);
		assert_string_equal(h.text, "Connection refused");
		assert_int_equal(dir_read(dir, c, in, sizeof(in)), ST_ECLOSED);
		turns(3);
		assert_int_equal(h.failed, 1);
		assert_int_equal(h.opened + h.gone + h.readable + h.writable, 0);
	}
}

/* A listener whose queue is full answers no SYN. */
static void the_budget_ends(void **state)
{
	struct heard filler[3] = { 0 }, h = { 0 };
	struct net_endpoint at;
	int listener = listen_at("127.0.0.1", 0, &at);
	uint64_t began_ms;
	dir_conn c;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(filler); i++)
		open_to(&at, &filler[i]);
	turns(5);
	assert_int_equal(filler[0].opened, 1);
	began_ms = loop_now_ms(loop);
	c = open_to(&at, &h);
	await(&h.failed);
	assert_true(loop_now_ms(loop) - began_ms >= BUDGET_MS);
	assert_int_equal(h.why, DIR_TIMEOUT);
	assert_string_equal(h.text, "no answer within 0 s");
	assert_int_equal(dir_room(dir, c), 0);
	close(listener);
}

static void addresses_that_nothing_opens(void **state)
{
	static const char *const bad[] = { "127.0.0.1",	      "169.254.169.254", "::1",
					   "224.0.0.1",	      "0.0.0.0",	 "fe80::1",
					   "::ffff:127.0.0.1" };
	struct heard h = { 0 };
	struct net_endpoint at;
	dir_conn c = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		at = endpoint(bad[i], 80);
		assert_int_equal(dir_open(dir, &c, &at, false, &events, &h), ST_EPERM);
	}
	at = endpoint("10.0.0.1", 0);
	assert_int_equal(dir_open(dir, &c, &at, false, &events, &h), ST_EINVAL);
	at = (struct net_endpoint){ .port = 80 };
	assert_int_equal(dir_open(dir, &c, &at, true, &events, &h), ST_EINVAL);
	assert_int_equal(c, 0);
	turns(3);
	assert_int_equal(h.failed, 0);
}

/* --- in a namespace of its own */

static int run(const char *cmd)
{
	return system(cmd) == 0 ? 0 : -1;
}

static enum dir_failure why_not(const char *address)
{
	struct net_endpoint at = endpoint(address, 80);
	struct heard h = { 0 };

	open_to(&at, &h);
	await(&h.failed);
	return h.why;
}

static void ways(void **state)
{
	(void)state;
	assert_int_equal(run("ip link set lo up; ip addr add 10.0.0.1/32 dev lo; "
			     "ip route add unreachable 10.1.0.0/16; "
			     "ip route add prohibit 10.2.0.0/16; "
			     "ip route add blackhole 10.3.0.0/16; "
			     "ip -6 route add unreachable 2001:db8::/32; "
			     "ip rule add pref 9 fwmark 0x5373 to 10.9.0.0/16 prohibit"),
			 0);
	assert_int_equal(why_not("10.1.0.1"), DIR_HOST_UNREACHABLE);
	assert_int_equal(why_not("10.2.0.1"), DIR_PROHIBITED);
	assert_int_equal(why_not("10.3.0.1"), DIR_NET_UNREACHABLE);
	assert_int_equal(why_not("10.4.0.1"), DIR_NET_UNREACHABLE);
	assert_int_equal(why_not("2001:db8::1"), DIR_HOST_UNREACHABLE);
	assert_int_equal(why_not("2001:db9::1"), DIR_NET_UNREACHABLE);
	assert_int_equal(why_not("10.9.0.1"), DIR_PROHIBITED); /* only marked sockets are */
}

static void no_local_port_is_left(void **state)
{
	struct heard h = { 0 };
	struct net_endpoint at = endpoint("10.0.0.1", 39999);
	struct sockaddr_storage sa;
	socklen_t len = net_sockaddr(&sa, &at);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)state;
	assert_int_equal(run("echo 40000 40000 >/proc/sys/net/ipv4/ip_local_port_range"), 0);
	assert_int_equal(bind(listener, (struct sockaddr *)&sa, len), 0);
	assert_int_equal(listen(listener, 4), 0);
	open_to(&at, &h);
	await(&h.opened);
	h = (struct heard){ 0 };
	open_to(&at, &h);
	await(&h.failed);
	assert_int_equal(h.why, DIR_LIMIT);
	close(listener);
}

static int setup_marked(void **state)
{
	(void)state;
	make(&(struct dir_opts){ .mark = 0x5373, .connect_budget_ms = BUDGET_MS });
	return 0;
}

static void as_nobody(void **state)
{
	struct net_endpoint at = endpoint("10.0.0.1", 80);
	struct heard h = { 0 };
	dir_conn c;

	(void)state;
	if (geteuid() == 0)
		assert_int_equal(setresuid(65534, 65534, 65534), 0);
	assert_int_equal(dir_open(dir, &c, &at, false, &events, &h), ST_EPERM);
}

/* Tests that change what this process is: each group in a child of its own. */
static void in_a_child(bool own_namespace, const struct CMUnitTest *tests, size_t n)
{
	pid_t child = fork();
	int status;

	assert_true(child >= 0);
	if (child == 0) {
		if (own_namespace && unshare(CLONE_NEWNET) < 0)
			_exit(77);
		_exit(_cmocka_run_group_tests("in a child", tests, n, NULL, NULL) ? 1 : 0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 77) {
		print_message("skipped: no right to a network namespace of our own\n");
		skip();
	}
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void what_the_kernel_says(void **state)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(ways, setup_marked, teardown),
		cmocka_unit_test_setup_teardown(no_local_port_is_left, setup_marked, teardown),
	};

	(void)state;
	in_a_child(true, tests, ARRAY_LEN(tests));
}

static void not_marked_not_opened(void **state)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(as_nobody, setup_marked, teardown),
	};

	(void)state;
	in_a_child(false, tests, ARRAY_LEN(tests));
}

/* --- ends */

static void we_end_first(void **state)
{
	struct heard h = { 0 };
	uint8_t in[8];
	int far;
	dir_conn c = pair("127.0.0.1", &h, &far);

	(void)state;
	write_text(c, &h, "last");
	dir_shutdown(dir, c);
	dir_shutdown(dir, c); /* twice is fine */
	assert_int_equal(dir_room(dir, c), 0);
	assert_int_equal(dir_write(dir, c, in, 1), ST_ECLOSED);
	assert_far_reads(far, "last");
	assert_int_equal(far_end(far), 0);
	assert_int_equal(send(far, "answer", 6, 0), 6);
	assert_reads(c, "answer");
	h.readable = 0;
	close(far);
	await(&h.readable);
	assert_int_equal(dir_read(dir, c, in, sizeof(in)), 0);
	assert_int_equal(dir_read(dir, c, in, sizeof(in)), 0);
	turns(3);
	assert_int_equal(h.gone, 0);
	dir_close(dir, c);
}

static void they_end_first(void **state)
{
	struct heard h = { 0 };
	uint8_t in[8];
	int far;
	dir_conn c = pair("127.0.0.1", &h, &far);

	(void)state;
	assert_int_equal(shutdown(far, SHUT_WR), 0);
	await(&h.readable);
	assert_int_equal(dir_read(dir, c, in, sizeof(in)), 0);
	write_text(c, &h, "still here");
	assert_far_reads(far, "still here");
	dir_shutdown(dir, c);
	dir_close(dir, c); /* in order: no RST */
	assert_int_equal(far_end(far), 0);
	turns(3);
	assert_int_equal(far_error(far), 0);
	close(far);
}

static void reset_by_the_far_side(void **state)
{
	struct heard h = { 0 };
	uint8_t in[8];
	int far;
	dir_conn c = pair("127.0.0.1", &h, &far);

	(void)state;
	far_reset(far);
	await(&h.gone);
	assert_int_equal(dir_read(dir, c, in, sizeof(in)), ST_ECLOSED);
	turns(3);
	assert_int_equal(h.gone, 1);

	/* Found out by a call before the loop says it: the event still comes, from the loop. */
	h = (struct heard){ 0 };
	c = pair("127.0.0.1", &h, &far);
	far_reset(far);
	h.inside = true;
	assert_int_equal(dir_read(dir, c, in, sizeof(in)), ST_ECLOSED);
	assert_int_equal(dir_read(dir, c, in, sizeof(in)), ST_ECLOSED);
	assert_int_equal(dir_room(dir, c), 0);
	h.inside = false;
	await(&h.gone);

	h = (struct heard){ 0 };
	c = pair("127.0.0.1", &h, &far);
	far_reset(far);
	h.inside = true; /* SIGPIPE would end the test */
	assert_int_equal(dir_write(dir, c, in, 1), ST_ECLOSED);
	h.inside = false;
	await(&h.gone);
	assert_int_equal(h.gone, 1);
}

/* --- big transfers */

static uint8_t byte_at(size_t i)
{
	return (uint8_t)(i * 31 + i / 251);
}

static void fill(uint8_t *p, size_t from, size_t n)
{
	for (size_t i = 0; i < n; i++)
		p[i] = byte_at(from + i);
}

static size_t check(const uint8_t *p, size_t from, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i] != byte_at(from + i))
			fail_msg("byte %zu is wrong", from + i);
	return from + n;
}

/* Writes from *@done on what there is room for, up to @total. */
static void write_some(dir_conn c, size_t *done, size_t total)
{
	static uint8_t out[KIB(64)];
	size_t room;

	while (*done < total && (room = dir_room(dir, c)) > 0) {
		size_t n = MIN(MIN(room, sizeof(out)), total - *done);

		fill(out, *done, n);
		assert_int_equal(dir_write(dir, c, out, n), 0);
		*done += n;
	}
}

/* Until the kernel takes no more and our own buffer is all but full. The kernel tells only of much new room: so each turn tries one
 * byte more, and the last byte finds none. */
static size_t fill_until_stuck(dir_conn c)
{
	const size_t rest = SMALL_WINDOW;
	size_t sent = 0;

	for (unsigned int idle = 0; idle < 30; idle++) {
		size_t before = sent;

		while (dir_room(dir, c) > rest)
			write_some(c, &sent, sent + dir_room(dir, c) - rest);
		write_some(c, &sent, sent + 1);
		if (sent > before + 1)
			idle = 0;
		if (idle < 29)
			turn();
	}
	assert_true(dir_room(dir, c) < rest);
	return sent;
}

static size_t far_read_some(int far, size_t got)
{
	static uint8_t in[KIB(64)];
	ssize_t n;

	while ((n = recv(far, in, sizeof(in), 0)) > 0)
		got = check(in, got, (size_t)n);
	return got;
}

static void big_to_there(void **state)
{
	struct heard h = { 0 };
	size_t sent, got = 0;
	uint64_t before;
	int far;
	dir_conn c = pair("127.0.0.1", &h, &far);

	(void)state;
	assert_int_equal(dir_room(dir, c), KIB(64));
	sent = fill_until_stuck(c);
	/* Nobody reads there: nothing to do for us. */
	before = h.writable;
	turns(5);
	assert_int_equal(h.writable, before);
	while (got < BIG) {
		got = far_read_some(far, got);
		turn();
		write_some(c, &sent, MAX(BIG, sent));
	}
	assert_true(h.writable > 0);
	dir_close(dir, c);
	close(far);
}

static void big_to_here(void **state)
{
	static uint8_t out[KIB(64)], in[KIB(64)];
	struct heard h = { 0 };
	size_t sent = 0, got = 0;
	ssize_t n;
	int far;
	dir_conn c = pair("127.0.0.1", &h, &far);

	(void)state;
	do {
		fill(out, sent, sizeof(out));
		n = send(far, out, sizeof(out), 0);
		sent += (size_t)MAX(n, 0);
		turn();
	} while (n > 0 && sent < BIG);
	/* We don't read: what waits is the kernel's, and wakes nobody. */
	turns(3);
	h.readable = 0;
	turns(5);
	assert_int_equal(h.readable, 0);
	while (got < BIG) {
		while ((n = dir_read(dir, c, in, 1000 + got % 7000)) > 0)
			got = check(in, got, (size_t)n);
		assert_int_equal(n, ST_EAGAIN);
		fill(out, sent, sizeof(out));
		if (sent < BIG && (n = send(far, out, MIN(sizeof(out), BIG - sent), 0)) > 0)
			sent += (size_t)n;
		turn();
	}
	assert_int_equal(got, BIG);
	dir_close(dir, c);
	close(far);
}

/* --- closing */

static void close_in_each_state(void **state)
{
	struct heard h = { 0 };
	struct net_endpoint at;
	int listener = listen_at("127.0.0.1", 4, &at), far;
	dir_conn c;

	(void)state;
	c = open_to(&at, &h); /* connecting */
	dir_close(dir, c);
	c = pair("127.0.0.1", &h, &far); /* open: RST */
	dir_close(dir, c);
	assert_int_equal(far_end(far), ECONNRESET);
	close(far);
	h.opened = 0;
	c = pair("127.0.0.1", &h, &far); /* only one direction has ended: RST */
	dir_shutdown(dir, c);
	dir_close(dir, c);
	assert_int_equal(far_end(far), 0);
	assert_int_not_equal(far_error(far), 0);
	close(far);
	close(listener);
	h.opened = 0;
	c = open_to(&at, &h); /* refused, its event waits */
	dir_close(dir, c);
	dir_close(dir, c); /* stale */
	turns(5);
	assert_int_equal(h.opened + h.failed + h.gone, 0);
}

/* The far side reads at last what its closed flow still had to send, and the FIN after it. */
static void close_in_order_sends_the_rest(void **state)
{
	struct heard h = { 0 };
	size_t sent, held, got = 0;
	uint8_t in[8];
	int far, n = 0;
	dir_conn c = pair_of("127.0.0.1", &h, &far, SMALL_WINDOW);

	(void)state;
	assert_int_equal(shutdown(far, SHUT_WR), 0);
	await(&h.readable);
	assert_int_equal(dir_read(dir, c, in, sizeof(in)), 0);
	sent = fill_until_stuck(c);
	held = dir_buffered(dir);
	assert_true(held > 0);
	assert_int_equal(held, KIB(64) - dir_room(dir, c));
	dir_shutdown(dir, c);
	dir_close(dir, c);
	assert_int_equal(dir_room(dir, c), 0);
	assert_int_equal(dir_buffered(dir), held);
	while (got < sent && n++ < 10000) {
		got = far_read_some(far, got);
		turn();
	}
	assert_int_equal(got, sent);
	assert_int_equal(far_end(far), 0);
	assert_int_equal(dir_buffered(dir), 0);
	close(far);
}

static void the_rest_has_a_limit(void **state)
{
	struct heard h = { 0 };
	uint64_t end_ms;
	uint8_t in[8];
	int far;
	dir_conn c = pair_of("127.0.0.1", &h, &far, SMALL_WINDOW);

	(void)state;
	assert_int_equal(shutdown(far, SHUT_WR), 0);
	await(&h.readable);
	assert_int_equal(dir_read(dir, c, in, sizeof(in)), 0);
	fill_until_stuck(c);
	dir_shutdown(dir, c);
	dir_close(dir, c);
	end_ms = loop_now_ms(loop) + (uint64_t)3 * BUDGET_MS + 50;
	while (loop_now_ms(loop) < end_ms)
		turn();
	assert_int_equal(far_end(far), ECONNRESET);
	close(far);
}

static void limits(void **state)
{
	struct heard h[3] = { 0 };
	struct net_endpoint at;
	int listener;
	dir_conn c[3];

	(void)state;
	make(&(struct dir_opts){ .flows_max = 2 });
	listener = listen_at("127.0.0.1", 4, &at);
	c[0] = open_to(&at, &h[0]);
	c[1] = open_to(&at, &h[1]);
	assert_int_equal(dir_open(dir, &c[2], &at, true, &events, &h[2]), ST_EFULL);
	await(&h[1].opened);
	dir_close(dir, c[0]);
	c[2] = open_to(&at, &h[2]);
	await(&h[2].opened);
	assert_int_equal(dir_open(dir, &c[0], &at, true, &events, &h[0]), ST_EFULL);
	close(listener);
}

/* Its application is told at once, and nothing turns round and round meanwhile. */
static void no_descriptor_is_left(void **state)
{
	struct rlimit before, few;
	struct heard h[2] = { 0 };
	struct net_endpoint at;
	int listener = listen_at("127.0.0.1", 4, &at), next = dup(listener);
	uint64_t turned;

	(void)state;
	close(next);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	few = before;
	few.rlim_cur = (rlim_t)next;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	open_to(&at, &h[0]);
	await(&h[0].failed);
	assert_int_equal(h[0].why, DIR_LIMIT);
	turned = loop_turns(loop);
	turns(3);
	assert_true(loop_turns(loop) - turned <= 3);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	open_to(&at, &h[1]);
	await(&h[1].opened);
	close(listener);
}

/* --- owners */

static void owners_close_inside_events(void **state)
{
	struct heard h = { .close_when_told = true };
	struct net_endpoint at;
	int listener = listen_at("127.0.0.1", 4, &at), far;

	(void)state;
	open_to(&at, &h);
	await(&h.opened);
	turns(3);
	close(listener);
	open_to(&at, &h);
	await(&h.failed);
	h = (struct heard){ 0 };
	pair("127.0.0.1", &h, &far);
	h.close_when_told = true;
	assert_int_equal(send(far, "x", 1, 0), 1);
	assert_int_equal(shutdown(far, SHUT_WR), 0);
	await(&h.readable);
	turns(3);
	assert_int_equal(h.readable, 1);
	close(far);
	h = (struct heard){ 0 };
	pair("127.0.0.1", &h, &far);
	h.close_when_told = true;
	far_reset(far);
	await(&h.gone);
	turns(3);
	assert_int_equal(h.gone, 1);
}

struct again {
	struct net_endpoint at;
	unsigned int failed;
};

static void open_again(void *arg, dir_conn c, enum dir_failure why, const char *text)
{
	static const struct dir_events forever = { .failed = open_again };
	struct again *a = arg;

	(void)why;
	(void)text;
	a->failed++;
	assert_int_equal(dir_open(dir, &c, &a->at, true, &forever, a), 0);
}

/* One that tries again at once has a turn for each try. */
static void owners_open_inside_events(void **state)
{
	static const struct dir_events first = { .failed = open_again };
	struct again a = { 0 };
	uint64_t before;
	dir_conn c;

	(void)state;
	a.at = endpoint("255.255.255.255", 80); /* refused by connect() itself */
	assert_int_equal(dir_open(dir, &c, &a.at, true, &first, &a), 0);
	before = loop_turns(loop);
	turns(5);
	assert_true(a.failed > 0);
	assert_true(a.failed <= loop_turns(loop) - before);
}

static void stale_handles(void **state)
{
	static const dir_conn stale[] = { 0, 1, UINT64_MAX };
	uint8_t in[4];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(stale); i++) {
		assert_int_equal(dir_read(dir, stale[i], in, sizeof(in)), ST_ECLOSED);
		assert_int_equal(dir_write(dir, stale[i], in, sizeof(in)), ST_ECLOSED);
		assert_int_equal(dir_room(dir, stale[i]), 0);
		dir_shutdown(dir, stale[i]);
		dir_close(dir, stale[i]);
	}
}

static void free_with_open_flows(void **state)
{
	static struct heard h[4];
	struct net_endpoint at, nobody;
	int listener, far;

	(void)state;
	memset(h, 0, sizeof(h));
	make(&(struct dir_opts){ .connect_budget_ms = BUDGET_MS });
	listener = listen_at("127.0.0.1", 0, &at);
	pair("127.0.0.1", &h[0], &far);
	open_to(&at, &h[1]);
	open_to(&at, &h[2]);
	close(listen_at("127.0.0.1", 0, &nobody));
	open_to(&nobody, &h[3]);
	dir_free(dir);
	assert_int_equal(far_end(far), ECONNRESET);
	assert_int_equal(dir_new(&dir, &(struct dir_opts){ .loop = loop }), 0);
	turns(3);
	for (size_t i = 1; i < ARRAY_LEN(h); i++)
		assert_int_equal(h[i].failed + h[i].gone + h[i].opened, 0);
	dir_free(NULL);
	close(far);
	close(listener);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(bytes_both_ways, setup, teardown),
		cmocka_unit_test_setup_teardown(refused, setup, teardown),
		cmocka_unit_test_setup_teardown(the_budget_ends, setup, teardown),
		cmocka_unit_test_setup_teardown(addresses_that_nothing_opens, setup, teardown),
		cmocka_unit_test(what_the_kernel_says),
		cmocka_unit_test(not_marked_not_opened),
		cmocka_unit_test_setup_teardown(we_end_first, setup, teardown),
		cmocka_unit_test_setup_teardown(they_end_first, setup, teardown),
		cmocka_unit_test_setup_teardown(reset_by_the_far_side, setup, teardown),
		cmocka_unit_test_setup_teardown(big_to_there, setup, teardown),
		cmocka_unit_test_setup_teardown(big_to_here, setup, teardown),
		cmocka_unit_test_setup_teardown(close_in_each_state, setup, teardown),
		cmocka_unit_test_setup_teardown(close_in_order_sends_the_rest, setup, teardown),
		cmocka_unit_test_setup_teardown(the_rest_has_a_limit, setup, teardown),
		cmocka_unit_test_teardown(limits, teardown),
		cmocka_unit_test_setup_teardown(no_descriptor_is_left, setup, teardown),
		cmocka_unit_test_setup_teardown(owners_close_inside_events, setup, teardown),
		cmocka_unit_test_setup_teardown(owners_open_inside_events, setup, teardown),
		cmocka_unit_test_setup_teardown(stale_handles, setup, teardown),
		cmocka_unit_test_teardown(free_with_open_flows, teardown),
	};

	return cmocka_run_group_tests_name("direct", tests, NULL, NULL);
}
