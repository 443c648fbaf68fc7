// SPDX-License-Identifier: MIT
/*
 * ws_idle_test.c - connections that say nothing are closed after 15 s, upgraded ones are not
 *
 * Cases, side by side on one TLS and one plain server: connected only; half a request; between two
 * requests; an open WebSocket; a request whose owner takes his time; ws_close() toward a peer that
 * does not read ends after 10 s.
 */
#include "testkit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static bool hung_up(int fd)
{
	char p[512];
	ssize_t n;

	while ((n = recv(fd, p, sizeof(p), MSG_DONTWAIT)) > 0)
		;
	return n == 0 || errno != EAGAIN;
}

static void idle(void **state)
{
	static const char half[] = "GET / HTTP/1.1\r\nHost: h\r\nX-Half: ";
	static const char whole[] = "GET /held HTTP/1.1\r\nHost: h\r\n\r\n";
	struct kit plain, tls;
	struct seen s, stuck;
	uint8_t *mib = calloc(1, MIB(1));
	int fds[5];
	uint64_t start_ms;

	(void)state;
	kit_new(&tls, true);
	kit_open(&tls, &s);
	tls.srv.opened = 0;
	tls.srv.pause_at_open = true;
	kit_open(&tls, &stuck);
	for (int i = 0; i < 30; i++) {
		(void)ws_send(tls.ctx, stuck.conn, mib, MIB(1), false);
		assert_int_equal(loop_turn(tls.loop, 5), 0);
	}
	assert_true(ws_queued(tls.ctx, stuck.conn) > 0);
	ws_close(tls.ctx, stuck.conn, 1000, "enough");
	kit_new(&plain, false);
	fds[0] = kit_dial(ws_server_port(tls.server));
	fds[1] = kit_dial(ws_server_port(plain.server));
	fds[2] = kit_dial(ws_server_port(plain.server));
	fds[3] = kit_dial(ws_server_port(plain.server));
	fds[4] = kit_dial(ws_server_port(plain.server));
	assert_int_equal(send(fds[2], half, strlen(half), 0), (ssize_t)strlen(half));
	assert_int_equal(send(fds[3], whole, strlen(whole), 0), (ssize_t)strlen(whole));
	kit_until(&plain, plain.requests == 1); /* answered: between two requests */
	plain.hold = true;
	assert_int_equal(send(fds[4], whole, strlen(whole), 0), (ssize_t)strlen(whole));
	kit_until(&plain, plain.requests == 2);
	start_ms = loop_now_ms(plain.loop);
	while (loop_now_ms(plain.loop) < start_ms + 14000) {
		assert_int_equal(loop_turn(plain.loop, 100), 0);
		assert_int_equal(loop_turn(tls.loop, 100), 0);
	}
	for (int i = 0; i < 5; i++)
		if (hung_up(fds[i]))
			fail_msg("connection %d was closed early", i);
	while (loop_now_ms(plain.loop) < start_ms + 16000) {
		assert_int_equal(loop_turn(plain.loop, 100), 0);
		assert_int_equal(loop_turn(tls.loop, 100), 0);
	}
	for (int i = 0; i < 4; i++)
		if (!hung_up(fds[i]))
			fail_msg("connection %d is still open", i);
	assert_false(hung_up(fds[4]));
	assert_int_equal(s.closed, 0);
	assert_int_equal(stuck.closed, 1);
	assert_int_equal(stuck.status, 1000);
	assert_string_equal(stuck.reason, "enough");
	for (int i = 0; i < 5; i++)
		close(fds[i]);
	kit_free(&plain);
	kit_free(&tls);
	seen_fini(&s);
	seen_fini(&stuck);
	free(mib);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(idle) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
