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
#include <time.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/util.h"
#include "dns/dns_internal.h"
#include "tests/unit/dns/net_messages.h"
#include "tests/unit/dns/played_clock.h"

#define SLEEP_MS 50

/* The loop has nothing to do: a turn lasts as long as it may. */
static inline void sleeps(struct loop *loop)
{
	struct timespec a, b;

	clock_gettime(CLOCK_MONOTONIC, &a);
	assert_int_equal(loop_turn(loop, SLEEP_MS), 0);
	clock_gettime(CLOCK_MONOTONIC, &b);
	assert_true((b.tv_sec - a.tv_sec) * 1000 + (b.tv_nsec - a.tv_nsec) / 1000000 >=
		    SLEEP_MS - 1);
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
