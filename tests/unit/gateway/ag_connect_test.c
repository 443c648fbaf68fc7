// SPDX-License-Identifier: MIT
/*
 * ag_connect_test.c - connecting without blocking
 *
 * Cases: localhost, an address, a name that only a look-up understands; localhost where only the second family
 * listens; a refused port; a name that is none; names whose addresses are link-local or none; a stop in every state, nothing being told and no process left; more
 * look-ups than are allowed at once; a second start from inside the callback. No failure comes from inside the start.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "gateway/ag_connect.h"

#define BY_LOOKUP "127.1" /* 127.0.0.1 to getaddrinfo(), nothing to net_addr_parse() */
#define NO_NAME "no..such..host"

struct bench {
	struct loop *loop;
	uint32_t lookups;
	int told, fd, err;
	struct ag_connect c;
	const char *again; /* started from inside the callback */
	uint16_t port;
};

static void told(void *arg, int fd, int err)
{
	struct bench *b = arg;
	const char *again = b->again;

	b->told++;
	b->fd = fd;
	b->err = err;
	b->again = NULL;
	if (again)
		ag_connect_start(&b->c, again, b->port);
}

static int setup(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));

	if (!b || loop_new(&b->loop) < 0)
		return -1;
	ag_connect_init(&b->c, b->loop, &b->lookups, told, b);
	*state = b;
	return 0;
}

static int teardown(void **state)
{
	struct bench *b = *state;

	ag_connect_stop(&b->c);
	assert_int_equal(b->lookups, 0);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* no child is left */
	loop_free(b->loop);
	free(b);
	return 0;
}

/* A listener on loopback; its port, and *@fd. */
static uint16_t listener(int family, int *fd)
{
	const struct net_endpoint any = { .addr = { .family = family == AF_INET ? 4 : 6,
						    .b = { 127, 0, 0, 1 } } };
	struct net_endpoint at = any;
	struct sockaddr_storage sa;
	socklen_t len;

	if (family == AF_INET6)
		assert_int_equal(net_addr_parse(&at.addr, "::1"), 0);
	len = net_sockaddr(&sa, &at);
	*fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (*fd < 0 || bind(*fd, (struct sockaddr *)&sa, len) < 0)
		return 0; /* a machine without that family */
	assert_int_equal(listen(*fd, 8), 0);
	len = sizeof(sa);
	assert_int_equal(getsockname(*fd, (struct sockaddr *)&sa, &len), 0);
	assert_int_equal(net_from_sockaddr(&at, (struct sockaddr *)&sa), 0);
	return at.port;
}

static void wait_told(struct bench *b, int times)
{
	for (int turns = 0; b->told < times; turns++) {
		assert_true(turns < 1000);
		assert_int_equal(loop_turn(b->loop, 20000), 0);
	}
	assert_int_equal(b->told, times);
}

static void expect_open(struct bench *b, const char *host, int family)
{
	int server;
	uint16_t port = listener(family, &server);

	b->told = 0;
	if (!port && family == AF_INET6) /* a machine without IPv6 */
		skip();
	assert_int_not_equal(port, 0);
	ag_connect_start(&b->c, host, port);
	assert_int_equal(b->told, 0);
	wait_told(b, 1);
	assert_int_equal(b->err, 0);
	assert_true(b->fd >= 0);
	assert_true(ag_connect_is_idle(&b->c));
	assert_int_equal(write(b->fd, "x", 1), 1);
	close(b->fd);
	close(server);
}

static void test_open(void **state)
{
	expect_open(*state, "localhost", AF_INET);
	expect_open(*state, "127.0.0.1", AF_INET);
	expect_open(*state, BY_LOOKUP, AF_INET);
}

static void test_second_family(void **state)
{
	expect_open(*state, "LOCALHOST", AF_INET6);
	expect_open(*state, "::1", AF_INET6);
}

static uint16_t closed_port(void)
{
	int fd;
	uint16_t port = listener(AF_INET, &fd);

	close(fd);
	return port;
}

static void test_refused(void **state)
{
	struct bench *b = *state;

	ag_connect_start(&b->c, "localhost", closed_port());
	assert_int_equal(b->told, 0);
	wait_told(b, 1);
	assert_int_equal(b->fd, -1);
	assert_true(b->err == ECONNREFUSED || b->err == EADDRNOTAVAIL); /* the latter: no IPv6 */
	ag_connect_start(&b->c, BY_LOOKUP, closed_port());
	wait_told(b, 2);
	assert_int_equal(b->err, ECONNREFUSED);
}

static void test_no_name(void **state)
{
	struct bench *b = *state;

	ag_connect_start(&b->c, NO_NAME, 80);
	assert_int_equal(b->told, 0);
	wait_told(b, 1);
	assert_int_equal(b->fd, -1);
	assert_int_equal(b->err, EHOSTUNREACH);
}

/* What such a name must not reach: "0" would be this machine, and somebody listens there. */
static void test_no_such_address(void **state)
{
	static const char *const names[] = { "0", "169.254.43518", "224.1", "255.255.65535" };
	struct bench *b = *state;
	int server;
	uint16_t port = listener(AF_INET, &server);

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		ag_connect_start(&b->c, names[i], port);
		wait_told(b, (int)i + 1);
		assert_int_equal(b->fd, -1);
		assert_int_equal(b->err, EHOSTUNREACH);
	}
	close(server);
}

static void test_stop(void **state)
{
	static const char *const hosts[] = { "127.0.0.1", BY_LOOKUP, NO_NAME };
	struct bench *b = *state;

	for (size_t i = 0; i < ARRAY_LEN(hosts); i++) {
		ag_connect_start(&b->c, hosts[i], closed_port());
		ag_connect_stop(&b->c);
		assert_true(ag_connect_is_idle(&b->c));
		assert_int_equal(b->lookups, 0);
	}
	ag_connect_stop(&b->c);
	assert_int_equal(loop_turn(b->loop, 0), 0);
	assert_int_equal(b->told, 0);
}

static void test_too_many(void **state)
{
	struct bench *b = *state;

	b->lookups = AG_LOOKUPS_MAX; /* others run */
	ag_connect_start(&b->c, BY_LOOKUP, 80);
	wait_told(b, 1);
	assert_int_equal(b->err, EAGAIN);
	assert_int_equal(b->lookups, AG_LOOKUPS_MAX);
	b->lookups--; /* one of them has ended */
	ag_connect_start(&b->c, NO_NAME, 80);
	wait_told(b, 2);
	assert_int_equal(b->err, EHOSTUNREACH);
	assert_int_equal(b->lookups, AG_LOOKUPS_MAX - 1);
	b->lookups = 0;
}

static void test_again_from_inside(void **state)
{
	struct bench *b = *state;
	int server;

	b->port = listener(AF_INET, &server);
	b->again = BY_LOOKUP;
	ag_connect_start(&b->c, NO_NAME, 80);
	wait_told(b, 2);
	assert_int_equal(b->err, 0);
	close(b->fd);
	close(server);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_open, setup, teardown),
		cmocka_unit_test_setup_teardown(test_second_family, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_name, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_such_address, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stop, setup, teardown),
		cmocka_unit_test_setup_teardown(test_too_many, setup, teardown),
		cmocka_unit_test_setup_teardown(test_again_from_inside, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
