// SPDX-License-Identifier: MIT
/* net_fixture.h - what the tests of dns_pipe.c and dns_forward.c share: the struct dns that they ask for, messages, and answers counted */
#ifndef TESTS_UNIT_DNS_NET_FIXTURE_H
#define TESTS_UNIT_DNS_NET_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/util.h"
#include "dns/dns_internal.h"

#define MSG_MAX 4096U

/* The loop reads this clock: the definition of a program comes before libc's. */
static uint64_t clock_ms = 1000000;

int clock_gettime(clockid_t id, struct timespec *ts)
{
	(void)id;
	ts->tv_sec = (time_t)(clock_ms / 1000);
	ts->tv_nsec = (long)(clock_ms % 1000) * 1000000L;
	return 0;
}

#define SLEEP_MS 50

/* The loop has nothing to do: a turn lasts as long as it may. */
static inline void sleeps(struct loop *loop)
{
	struct timeval a, b; /* by libc's own clock */

	gettimeofday(&a, NULL);
	assert_int_equal(loop_turn(loop, SLEEP_MS), 0);
	gettimeofday(&b, NULL);
	assert_true((b.tv_sec - a.tv_sec) * 1000 + (b.tv_usec - a.tv_usec) / 1000 >= SLEEP_MS - 1);
}

/* Instead of dns.c's. */
struct dns {
	struct loop *loop;
	struct dns_opts opts;
};

struct loop *dns_loop(const struct dns *d)
{
	return d->loop;
}

const struct dns_opts *dns_options(const struct dns *d)
{
	return &d->opts;
}

/* A query for A of @name, id @id. Return: bytes */
static inline size_t query_make(uint8_t *out, uint16_t id, const char *name)
{
	size_t at = DNS_HEADER_BYTES;

	memset(out, 0, DNS_HEADER_BYTES);
	dns_msg_set_id(out, id);
	out[2] = 0x01; /* RD */
	out[5] = 1;
	while (*name) {
		size_t n = strcspn(name, ".");

		out[at++] = (uint8_t)n;
		memcpy(out + at, name, n);
		at += n;
		name += n + (name[n] == '.');
	}
	out[at++] = 0;
	be16_put(out + at, 1);
	be16_put(out + at + 2, 1);
	return at + 4;
}

/* The answer to @query: it with QR, @rcode, and @last as the last byte of an address (none with an error). Return: bytes */
static inline size_t answer_make(uint8_t *out, const uint8_t *query, size_t len, unsigned rcode,
				 uint8_t last)
{
	static const uint8_t record[] = { 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 10, 0, 0 };

	memcpy(out, query, len);
	out[2] |= 0x80;
	out[3] = (uint8_t)(0x80 | rcode);
	if (rcode)
		return len;
	out[7] = 1;
	memcpy(out + len, record, sizeof(record));
	out[len + sizeof(record)] = last;
	return len + sizeof(record) + 1;
}

/* What an ask was told. */
struct told {
	handle h;
	unsigned times;
	int err;
	uint8_t msg[MSG_MAX];
	size_t len;
	char text[256];
};

static inline void told_fn(void *arg, int err, const uint8_t *msg, size_t len, const char *text)
{
	struct told *t = arg;

	t->times++;
	t->err = err;
	t->len = len;
	assert_true(len <= sizeof(t->msg));
	if (len)
		memcpy(t->msg, msg, len);
	snprintf(t->text, sizeof(t->text), "%s", text);
}

/* Was it answered with @query's own id and question, and the address 10.0.0.@last? */
static inline bool told_address(const struct told *t, const uint8_t *query, size_t query_len,
				uint8_t last)
{
	return t->times == 1 && t->err == 0 &&
	       dns_msg_same_question(t->msg, t->len, dns_msg_id(query), query, query_len) &&
	       dns_msg_rcode(t->msg) == 0 && t->msg[t->len - 1] == last && t->text[0] == '\0';
}

#endif
