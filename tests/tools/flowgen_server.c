// SPDX-License-Identifier: MIT
/* flowgen_server.c - the far end: one thread per connection, poll() over its two directions */
#include "tests/tools/flowgen.h"

#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STACK_BYTES ((size_t)128 * 1024)

static int send_all(int fd, const void *p, size_t len)
{
	const uint8_t *b = p;

	while (len > 0) {
		ssize_t n = send(fd, b, len, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -1;
		b += n;
		len -= (size_t)n;
	}
	return 0;
}

/* One line, a byte at a time: what follows it belongs to the stream. */
static int read_line(int fd, char line[FG_LINE_MAX])
{
	for (size_t i = 0; i + 1 < FG_LINE_MAX; i++) {
		if (recv(fd, line + i, 1, 0) != 1)
			return -1;
		if (line[i] == '\n') {
			line[i] = 0;
			return 0;
		}
	}
	return -1;
}

static void echo(int fd, uint8_t *buf)
{
	int one = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	for (;;) {
		ssize_t n = recv(fd, buf, FG_CHUNK, 0);

		if (n <= 0 || send_all(fd, buf, (size_t)n) < 0)
			return;
	}
}

/* Both directions until ours is sent and theirs has ended. Return: 0; -1 the connection broke */
static int pump(int fd, struct fg_stream *out, struct fg_digest *in, uint8_t *buf)
{
	bool reading = true;

	while (reading || out->offset < out->total) {
		struct pollfd p = { .fd = fd };

		if (reading)
			p.events |= POLLIN;
		if (out->offset < out->total)
			p.events |= POLLOUT;
		if (poll(&p, 1, -1) < 0)
			continue;
		if (p.revents & POLLERR)
			return -1;
		if (reading && (p.revents & (POLLIN | POLLHUP))) {
			ssize_t n = recv(fd, buf, FG_CHUNK, MSG_DONTWAIT);

			if (n < 0 && errno != EAGAIN)
				return -1;
			if (n > 0)
				fg_digest_add(in, buf, (size_t)n);
			reading = n != 0;
		}
		if (p.revents & POLLOUT) {
			size_t len;
			const uint8_t *b = fg_stream_peek(out, &len);
			ssize_t n = send(fd, b, len, MSG_DONTWAIT);

			if (n < 0 && errno != EAGAIN)
				return -1;
			if (n > 0)
				fg_stream_advance(out, (size_t)n);
		}
	}
	return 0;
}

static void xfer(int fd, uint64_t bytes, uint64_t seed, bool digest, uint8_t *buf)
{
	char hex[FG_DIGEST_HEX], line[FG_LINE_MAX];
	struct fg_stream out;
	struct fg_digest in;

	if (fg_stream_init(&out, seed, bytes) < 0 || fg_digest_init(&in, digest) < 0)
		return;
	int r = pump(fd, &out, &in, buf);
	uint64_t got = in.bytes;
	fg_digest_hex(&in, hex);
	fg_stream_fini(&out);
	if (r < 0)
		return;
	int n = snprintf(line, sizeof(line), "%s %" PRIu64 "\n", hex, got);
	if (send_all(fd, line, (size_t)n) == 0)
		shutdown(fd, SHUT_WR);
}

static void *serve_one(void *arg)
{
	int fd = (int)(intptr_t)arg, digest = 1;
	uint8_t *buf = malloc(FG_CHUNK);
	uint64_t bytes, seed;
	char line[FG_LINE_MAX];

	if (buf && read_line(fd, line) == 0) {
		if (strcmp(line, "echo") == 0)
			echo(fd, buf);
		else if (sscanf(line, "xfer %" SCNu64 " %" SCNu64 " %d", &bytes, &seed, &digest) >=
			 2)
			xfer(fd, bytes, seed, digest != 0, buf);
	}
	free(buf);
	close(fd);
	return NULL;
}

int fg_serve(const char *address, const char *port)
{
	struct sockaddr_storage ss;
	pthread_attr_t attr;
	socklen_t len;
	int one = 1;

	if (fg_address(&ss, &len, address, port) < 0)
		return 2;
	int fd = socket(ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (fd < 0 || bind(fd, (struct sockaddr *)&ss, len) < 0 || listen(fd, 4096) < 0) {
		perror("flowgen: listen");
		return 1;
	}
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	puts("ready");
	fflush(stdout);
	for (;;) {
		pthread_t t;
		int c = accept4(fd, NULL, NULL, SOCK_CLOEXEC);

		if (c < 0 && (errno == EINTR || errno == ECONNABORTED))
			continue;
		if (c < 0) {
			perror("flowgen: accept");
			return 1;
		}
		if (pthread_create(&t, &attr, serve_one, (void *)(intptr_t)c) != 0)
			close(c);
	}
}
