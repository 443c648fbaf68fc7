// SPDX-License-Identifier: MIT
/*
 * ws_bench.c - messages of 1144 bytes (120 of header, 1024 of payload) over wss, both ways
 *
 * The server runs in a child; the figures are the client's. Prints only: the two processes share
 * what cores there are.
 *
 * Use: ws_bench CERT KEY CA [seconds]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "base/loop.h"
#include "ws/ws.h"

#define LEN 1144U
#define QUEUE KIB(256)

struct side {
	struct loop *loop;
	struct ws_ctx *ctx;
	ws_conn conn;
	bool open, source, gone;
	uint64_t messages;
};

static const uint8_t message[LEN];

static void fill(struct side *s)
{
	while (s->open && s->source && !s->gone && ws_queued(s->ctx, s->conn) < QUEUE) {
		if (ws_send(s->ctx, s->conn, message, LEN, false) < 0)
			return;
		s->messages++;
	}
}

static void on_open(void *arg, ws_conn c)
{
	struct side *s = arg;

	s->conn = c;
	s->open = true;
}

static void on_message(void *arg, ws_conn c, const uint8_t *p, size_t len, bool text)
{
	struct side *s = arg;

	(void)c;
	(void)p;
	(void)text;
	if (len == LEN)
		s->messages++;
	else
		s->source = true; /* "send": the way down */
}

static void on_closed(void *arg, ws_conn c, int err, int status, const char *reason)
{
	struct side *s = arg;

	(void)c;
	(void)err;
	(void)status;
	s->gone = true;
	if (!s->open)
		fprintf(stderr, "closed: %s: %s\n", st_strerror(err), reason);
}

static const struct ws_events events = { .open = on_open,
					 .message = on_message,
					 .closed = on_closed };

static void on_request(void *arg, ws_req r, const struct ws_request *req)
{
	struct side *s = arg;

	(void)req;
	ws_reply(s->ctx, r, 200, "text/plain", "bench\n", 6, NULL);
}

static int on_upgrade(void *arg, ws_req r, const struct ws_request *req,
		      const struct ws_events **ev, void **ev_arg)
{
	(void)r;
	(void)req;
	*ev = &events;
	*ev_arg = arg;
	return 0;
}

static const struct ws_server_events server_events = { .request = on_request,
						       .upgrade = on_upgrade };

static double cpu_s(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
	       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) * 1e-6;
}

static int serve(char **argv, int port_fd)
{
	struct side s = { 0 };
	struct ws_server *server;
	struct ws_listen_opts opts = { .address = { .addr = { .family = 4,
							      .b = { 127, 0, 0, 1 } } },
				       .cert_file = argv[1],
				       .key_file = argv[2] };
	uint16_t port;

	if (loop_new(&s.loop) < 0 || ws_ctx_new(&s.ctx, s.loop, NULL) < 0 ||
	    ws_listen(s.ctx, &server, &opts, &server_events, &s) < 0)
		return 1;
	port = ws_server_port(server);
	if (write(port_fd, &port, sizeof(port)) != sizeof(port))
		return 1;
	while (!s.gone) {
		fill(&s);
		if (loop_turn(s.loop, s.source ? 10 : 1000) < 0)
			return 1;
	}
	ws_ctx_free(s.ctx);
	loop_free(s.loop);
	return 0;
}

static void measure(struct side *s, const char *name, double seconds)
{
	const uint64_t start_us = loop_now_us(s->loop), before = s->messages;
	const double cpu = cpu_s();
	double dt, used, n;

	while (!s->gone && (double)(loop_now_us(s->loop) - start_us) < seconds * 1e6) {
		fill(s);
		if (loop_turn(s->loop, 10) < 0)
			return;
	}
	dt = (double)(loop_now_us(s->loop) - start_us) * 1e-6;
	used = cpu_s() - cpu;
	n = (double)(s->messages - before);
	printf("%-5s %8.0f messages/s %7.1f MB/s, client: %.2f us CPU a message, %.0f %% of a "
	       "core\n",
	       name, n / dt, n * LEN / dt / 1e6, used / n * 1e6, used / dt * 100);
}

int main(int argc, char **argv)
{
	const double seconds = argc > 4 ? atof(argv[4]) : 3;
	struct side s = { .source = true };
	struct ws_connect_opts opts = { 0 };
	char url[64];
	uint16_t port;
	int fds[2];
	pid_t child;

	if (argc < 4 || pipe(fds) < 0)
		return 2;
	child = fork();
	if (child == 0)
		_exit(serve(argv, fds[1]));
	if (child < 0 || read(fds[0], &port, sizeof(port)) != sizeof(port))
		return 1;
	snprintf(url, sizeof(url), "wss://localhost:%u/", port);
	opts.url = url;
	opts.address = (struct net_endpoint){ .addr = { .family = 4, .b = { 127, 0, 0, 1 } },
					      .port = port };
	opts.ca_bundle = argv[3];
	if (loop_new(&s.loop) < 0 || ws_ctx_new(&s.ctx, s.loop, NULL) < 0 ||
	    ws_connect(s.ctx, &s.conn, &opts, &events, &s) < 0)
		return 1;
	while (!s.open && !s.gone)
		if (loop_turn(s.loop, 1000) < 0)
			return 1;
	measure(&s, "up", seconds);
	s.source = false;
	while (!s.gone && ws_queued(s.ctx, s.conn))
		if (loop_turn(s.loop, 100) < 0)
			return 1;
	if (ws_send(s.ctx, s.conn, (const uint8_t *)"send", 4, true) < 0)
		return 1;
	s.messages = 0;
	measure(&s, "down", seconds);
	ws_ctx_free(s.ctx);
	loop_free(s.loop);
	waitpid(child, NULL, 0);
	return 0;
}
