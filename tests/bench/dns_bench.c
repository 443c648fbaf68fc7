// SPDX-License-Identifier: MIT
/*
 * dns_bench.c - what a query costs the daemon, on one core
 *
 * Queries to dns_query() as they come from the stack, their resolvers played in place: an answer from the cache, a fake address of a
 * known name, an answer that an upstream's resolver has just given (read, cleaned, kept and handed on), and garbage. ns each, the median of some rounds;
 * then the memory of a cache that is full. Prints; asserts nothing but that each query was answered.
 */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/loop.h"
#include "base/util.h"
#include "dns/dns.h"
#include "dns_asks.h"

#define ROUNDS 31U /* odd: the median is one of them */
#define ROUND_CALLS 2000U
#define NAMES 1000U /* that take turns */

static struct dns *dns;
static unsigned replies;
static uint8_t queries[NAMES][DNS_QUERY_MAX];
static size_t lens[NAMES];

static void judge(void *arg, const char *name, struct dns_verdict *out)
{
	(void)arg;
	*out = (struct dns_verdict){ .way = DNS_UPSTREAM, .fake = name[0] == 'f' };
}

static const struct dns_hooks hooks = { .judge = judge };

static void on_reply(void *arg, const uint8_t *msg, size_t len)
{
	(void)arg;
	(void)msg;
	ST_ASSERT(len >= DNS_HEADER_BYTES);
	replies++;
}

static void answer_last(void)
{
	static uint8_t msg[DNS_QUERY_MAX + 64];
	struct ask_made *a = &asks.v[asks.n - 1];
	size_t len = a->len;
	static const uint8_t record[] = { 0xc0, 12, 0, 1, 0, 1, 0, 0, 14, 16, 0, 4, 10, 0, 0, 5 };

	memcpy(msg, a->msg, len);
	msg[2] |= 0x80;
	msg[7] = 1;
	memcpy(msg + len, record, sizeof(record));
	a->open = false;
	a->done(a->arg, 0, msg, len + sizeof(record), NULL);
	asks.n = 0;
}

static void query(unsigned i)
{
	static const struct dns_ask udp = { 0 };
	unsigned before = replies;

	dns_query(dns, queries[i], lens[i], &udp, on_reply, NULL);
	if (replies == before)
		answer_last();
	ST_ASSERT(replies == before + 1);
}

static double clock_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Names that begin with @kind and differ by @set */
static void prepare(char kind, unsigned set)
{
	char name[64];

	for (unsigned i = 0; i < NAMES; i++) {
		snprintf(name, sizeof(name), "%c%u-%u.prod.internal", kind, set, i);
		lens[i] = wire_query(queries[i], name, "A");
	}
}

static double measure(bool forget)
{
	double took[ROUNDS];

	for (unsigned r = 0; r < ROUNDS; r++) {
		double from = clock_ns();

		for (unsigned i = 0; i < ROUND_CALLS; i++) {
			if (forget && i % NAMES == 0)
				dns_rules_changed(dns, false);
			query(i % NAMES);
		}
		took[r] = (clock_ns() - from) / ROUND_CALLS;
	}
	qsort(took, ROUNDS, sizeof(took[0]), by_size);
	return took[ROUNDS / 2];
}

static void fill(void)
{
	struct dns_stats s;
	struct mallinfo2 before = mallinfo2(), after;

	dns_rules_changed(dns, false);
	for (unsigned n = 0; n < 40; n++) {
		prepare('r', n);
		for (unsigned i = 0; i < NAMES; i++)
			query(i);
	}
	after = mallinfo2();
	dns_stats(dns, &s);
	printf("a full cache: %zu answers, %zu bytes by our count, %zu of malloc's\n",
	       s.cache_entries, s.cache_bytes, after.uordblks - before.uordblks);
}

int main(void)
{
	struct dns_opts o = { .hooks = &hooks };

	ST_ASSERT(loop_new(&o.loop) == 0 && net_prefix_parse(&o.fake4, "198.18.0.0/16") == 0);
	ST_ASSERT(dns_new(&dns, &o) == 0);
	prepare('r', 0);
	printf("an answer of a resolver, read and kept:  %6.0f ns\n", measure(true));
	printf("an answer from the cache:                %6.0f ns\n", measure(false));
	prepare('f', 0);
	printf("a fake address:                          %6.0f ns\n", measure(false));
	prepare('r', 0);
	for (unsigned i = 0; i < NAMES; i++)
		queries[i][12] = 0xff;
	printf("garbage:                                 %6.0f ns\n", measure(false));
	fill();
	dns_free(dns);
	loop_free(o.loop);
	return 0;
}
