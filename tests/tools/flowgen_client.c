// SPDX-License-Identifier: MIT
/*
 * flowgen_client.c - the near end: flows that are checked byte by byte, latencies, connection rates
 *
 * One thread per flow; each fills its own row of the results, which main() adds up after joining them.
 */
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

#define FLOWS_MAX 4096U
#define STACK_BYTES ((size_t)128 * 1024)

struct options {
	struct sockaddr_storage address;
	socklen_t address_len;
	uint64_t up, down, count;
	double rate; /* bytes a second of each flow and direction; 0: as fast as it goes */
	unsigned flows, interval_us;
	bool digest;
};

struct flow {
	const struct options *o;
	uint64_t seed;
	bool ok;
	const char *why; /* not ok */
	int error;
	uint64_t sent, received;
	double connected, first_byte, end; /* seconds since the start */
	double start;
	double *samples; /* echo: seconds of each round */
	uint64_t n_samples;
};

static bool flow_failed(struct flow *f, const char *why)
{
	f->why = why;
	f->error = errno;
	return false;
}

static int dial(struct flow *f)
{
	int one = 1;
	int fd = socket(f->o->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || connect(fd, (const struct sockaddr *)&f->o->address, f->o->address_len) < 0) {
		flow_failed(f, "connect");
		if (fd >= 0)
			close(fd);
		return -1;
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	f->connected = fg_now() - f->start;
	return fd;
}

static bool send_line(int fd, const char *line)
{
	return send(fd, line, strlen(line), 0) == (ssize_t)strlen(line);
}

/* ---- xfer */

struct xfer {
	int fd;
	struct fg_stream out, expect;
	struct fg_digest sent; /* what the server must have got */
	uint8_t *buf;
	char tail[FG_LINE_MAX]; /* the server's line behind its stream */
	size_t tail_len;
	bool sending, reading;
	double began;
};

/* May this direction move now, by --rate? */
static bool within_rate(const struct flow *f, const struct xfer *x, uint64_t moved)
{
	return f->o->rate <= 0 || (double)moved <= f->o->rate * (fg_now() - x->began);
}

static bool xfer_send(struct flow *f, struct xfer *x)
{
	size_t len;
	const uint8_t *b = fg_stream_peek(&x->out, &len);

	if (f->o->rate > 0 && len > 16384)
		len = 16384;
	ssize_t n = len > 0 ? send(x->fd, b, len, MSG_DONTWAIT) : 0;
	if (n < 0)
		return errno == EAGAIN || flow_failed(f, "send");
	fg_digest_add(&x->sent, b, (size_t)n);
	fg_stream_advance(&x->out, (size_t)n);
	f->sent += (uint64_t)n;
	if (x->out.offset == x->out.total) {
		x->sending = false;
		shutdown(x->fd, SHUT_WR);
	}
	return true;
}

/* The stream is compared with what it must be as it comes; what is behind it is the server's line. */
static bool xfer_check(struct flow *f, struct xfer *x, const uint8_t *p, size_t n)
{
	while (n > 0 && x->expect.offset < x->expect.total) {
		size_t len;
		const uint8_t *e = fg_stream_peek(&x->expect, &len);

		len = len < n ? len : n;
		if (memcmp(e, p, len) != 0)
			return flow_failed(f, "a byte differs");
		fg_stream_advance(&x->expect, len);
		p += len;
		n -= len;
	}
	if (n >= sizeof(x->tail) - x->tail_len)
		return flow_failed(f, "too much came");
	memcpy(x->tail + x->tail_len, p, n);
	x->tail_len += n;
	return true;
}

static bool xfer_receive(struct flow *f, struct xfer *x)
{
	size_t want = f->o->rate > 0 ? 16384 : FG_CHUNK;
	ssize_t n = recv(x->fd, x->buf, want, MSG_DONTWAIT);

	if (n < 0)
		return errno == EAGAIN || flow_failed(f, "receive");
	if (n == 0) {
		x->reading = false;
		return true;
	}
	if (f->received == 0)
		f->first_byte = fg_now() - f->start;
	f->received += (uint64_t)n;
	return xfer_check(f, x, x->buf, (size_t)n);
}

static bool xfer_pump(struct flow *f, struct xfer *x)
{
	while (x->sending || x->reading) {
		bool may_send = x->sending && within_rate(f, x, f->sent);
		bool may_read = x->reading && within_rate(f, x, f->received);
		bool held = may_send != x->sending || may_read != x->reading;
		struct pollfd p = { .fd = x->fd };

		p.events = (short)((may_send ? POLLOUT : 0) | (may_read ? POLLIN : 0));
		if (poll(&p, 1, held ? 1 : -1) < 0 && errno != EINTR)
			return flow_failed(f, "poll");
		if ((p.revents & POLLOUT) && !xfer_send(f, x))
			return false;
		if ((p.revents & (POLLIN | POLLHUP | POLLERR)) && !xfer_receive(f, x))
			return false;
	}
	return true;
}

/* What the server says it got must be what was sent. */
static bool xfer_verdict(struct flow *f, struct xfer *x)
{
	char hex[FG_DIGEST_HEX], want[FG_LINE_MAX];

	fg_digest_hex(&x->sent, hex);
	snprintf(want, sizeof(want), "%s %" PRIu64 "\n", hex, f->sent);
	if (x->expect.offset != x->expect.total)
		return flow_failed(f, "the stream ended early");
	if (x->tail_len != strlen(want) || memcmp(x->tail, want, x->tail_len) != 0)
		return flow_failed(f, "the server's sum differs");
	return true;
}

static void *xfer_one(void *arg)
{
	struct flow *f = arg;
	struct xfer x = { .sending = true, .reading = true };
	char line[FG_LINE_MAX];

	f->start = fg_now();
	if ((x.fd = dial(f)) < 0)
		return NULL;
	x.buf = malloc(FG_CHUNK);
	snprintf(line, sizeof(line), "xfer %" PRIu64 " %" PRIu64 " %d\n", f->o->down, f->seed,
		 f->o->digest);
	if (x.buf && send_line(x.fd, line) && fg_stream_init(&x.out, ~f->seed, f->o->up) == 0 &&
	    fg_stream_init(&x.expect, f->seed, f->o->down) == 0 &&
	    fg_digest_init(&x.sent, f->o->digest) == 0) {
		x.began = fg_now();
		f->ok = xfer_pump(f, &x) && xfer_verdict(f, &x);
	} else {
		flow_failed(f, "start");
	}
	f->end = fg_now() - f->start;
	EVP_MD_CTX_free(x.sent.ctx);
	fg_stream_fini(&x.out);
	fg_stream_fini(&x.expect);
	free(x.buf);
	close(x.fd);
	return NULL;
}

/* ---- echo and connect */

static bool ping(struct flow *f, int fd, uint8_t byte)
{
	uint8_t back;

	if (send(fd, &byte, 1, 0) != 1 || recv(fd, &back, 1, 0) != 1)
		return flow_failed(f, "echo");
	return back == byte || flow_failed(f, "a byte differs");
}

static void *echo_one(void *arg)
{
	struct flow *f = arg;
	int fd;

	f->start = fg_now();
	if ((fd = dial(f)) < 0)
		return NULL;
	f->ok = send_line(fd, "echo\n") &&
		ping(f, fd, 0); /* the first opens the way and is not counted */
	for (uint64_t i = 0; f->ok && i < f->o->count; i++) {
		double t = fg_now();

		f->ok = ping(f, fd, (uint8_t)i);
		f->samples[f->n_samples++] = fg_now() - t;
		if (f->o->interval_us > 0)
			usleep(f->o->interval_us);
	}
	f->end = fg_now() - f->start;
	close(fd);
	return NULL;
}

static void *connect_one(void *arg)
{
	struct flow *f = arg;

	f->start = fg_now();
	f->ok = true;
	for (uint64_t i = 0; f->ok && i < f->o->count; i++) {
		double t = fg_now();
		int fd = dial(f);

		f->ok = fd >= 0 && send_line(fd, "echo\n") && ping(f, fd, 1);
		f->samples[f->n_samples++] = fg_now() - t;
		if (fd >= 0)
			close(fd);
	}
	f->end = fg_now() - f->start;
	return NULL;
}

/* ---- all of them */

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void print_samples(const struct flow *flows, unsigned n)
{
	uint64_t total = 0, at = 0;

	for (unsigned i = 0; i < n; i++)
		total += flows[i].n_samples;
	double *all = calloc(total + 1, sizeof(*all));
	if (!all || total == 0) {
		free(all);
		return;
	}
	for (unsigned i = 0; i < n; i++) {
		memcpy(all + at, flows[i].samples, flows[i].n_samples * sizeof(*all));
		at += flows[i].n_samples;
	}
	qsort(all, total, sizeof(*all), compare);
	printf(", \"samples\": %" PRIu64 ", \"p50_us\": %.1f, \"p99_us\": %.1f, \"max_us\": %.1f",
	       total, all[total / 2] * 1e6, all[total * 99 / 100] * 1e6, all[total - 1] * 1e6);
	free(all);
}

static int print_results(const struct flow *flows, unsigned n, double seconds)
{
	uint64_t sent = 0, received = 0;
	double first = 0;
	const struct flow *bad = NULL;
	unsigned ok = 0;

	for (unsigned i = 0; i < n; i++) {
		sent += flows[i].sent;
		received += flows[i].received;
		first = flows[i].first_byte > first ? flows[i].first_byte : first;
		ok += flows[i].ok;
		if (!flows[i].ok && !bad)
			bad = &flows[i];
	}
	printf("{\"flows\": %u, \"ok\": %u, \"seconds\": %.6f, \"sent\": %" PRIu64
	       ", \"received\": %" PRIu64 ", \"up_mb_s\": %.3f, \"down_mb_s\": %.3f, "
	       "\"first_byte_ms\": %.3f",
	       n, ok, seconds, sent, received, (double)sent / 1e6 / seconds,
	       (double)received / 1e6 / seconds, first * 1e3);
	print_samples(flows, n);
	if (bad)
		printf(", \"error\": \"%s: %s\"", bad->why ? bad->why : "?", strerror(bad->error));
	puts("}");
	return ok == n ? 0 : 1;
}

static int run_flows(const struct options *o, void *(*body)(void *), bool samples)
{
	struct flow *flows = calloc(o->flows, sizeof(*flows));
	pthread_t *threads = calloc(o->flows, sizeof(*threads));
	pthread_attr_t attr;
	double start = fg_now();
	int r = 1;

	if (!flows || !threads)
		goto out;
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	for (unsigned i = 0; i < o->flows; i++) {
		flows[i].o = o;
		flows[i].seed = i + 1;
		if (samples && !(flows[i].samples = calloc(o->count + 1, sizeof(double))))
			goto out;
		if (pthread_create(&threads[i], &attr, body, &flows[i]) != 0) {
			perror("flowgen: thread");
			exit(1);
		}
	}
	for (unsigned i = 0; i < o->flows; i++)
		pthread_join(threads[i], NULL);
	r = print_results(flows, o->flows, fg_now() - start);
out:
	for (unsigned i = 0; flows && i < o->flows; i++)
		free(flows[i].samples);
	free(threads);
	free(flows);
	return r;
}

static bool parse_option(struct options *o, const char *name, const char *value)
{
	if (strcmp(name, "--up") == 0)
		o->up = strtoull(value, NULL, 10);
	else if (strcmp(name, "--down") == 0)
		o->down = strtoull(value, NULL, 10);
	else if (strcmp(name, "--count") == 0)
		o->count = strtoull(value, NULL, 10);
	else if (strcmp(name, "--rate") == 0)
		o->rate = strtod(value, NULL);
	else if (strcmp(name, "--interval-us") == 0)
		o->interval_us = (unsigned)strtoul(value, NULL, 10);
	else if (strcmp(name, "-n") == 0)
		o->flows = (unsigned)strtoul(value, NULL, 10);
	else
		return false;
	return true;
}

int fg_client(int argc, char **argv)
{
	struct options o = { .flows = 1, .count = 1000, .digest = true };

	if (fg_address(&o.address, &o.address_len, argv[2], argv[3]) < 0)
		return 2;
	for (int i = 4; i < argc; i++) {
		if (strcmp(argv[i], "--no-digest") == 0) {
			o.digest = false;
		} else if (i + 1 >= argc || !parse_option(&o, argv[i], argv[i + 1])) {
			fprintf(stderr, "flowgen: what is %s?\n", argv[i]);
			return 2;
		} else {
			i++;
		}
	}
	if (o.flows == 0 || o.flows > FLOWS_MAX)
		return 2;
	if (strcmp(argv[1], "xfer") == 0)
		return run_flows(&o, xfer_one, false);
	if (strcmp(argv[1], "echo") == 0)
		return run_flows(&o, echo_one, true);
	if (strcmp(argv[1], "connect") == 0)
		return run_flows(&o, connect_one, true);
	fprintf(stderr, "flowgen: no mode %s\n", argv[1]);
	return 2;
}
