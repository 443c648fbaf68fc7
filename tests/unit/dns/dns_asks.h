// SPDX-License-Identifier: MIT
/*
 * dns_asks.h - a scripted outside for dns/: messages from text, and what stands in for dns_pipe.c and dns_forward.c
 *
 * A program that uses it links this in front of dns: these definitions are taken instead of the library's. Every ask is written down; the test
 * answers it, lets it fail, or leaves it.
 */
#ifndef TESTS_UNIT_DNS_DNS_ASKS_H
#define TESTS_UNIT_DNS_DNS_ASKS_H

#include "dns/dns_msg.h"

#define ASKS_MAX 4096U

struct ask_made {
	bool local, open; /* open: neither answered nor cancelled */
	struct dns_via via;
	uint8_t msg[DNS_UDP_MAX];
	size_t len;
	uint64_t deadline_ms;
	dns_answer_fn *done;
	void *arg;
};

/* Since asks_reset(). */
struct asks {
	struct ask_made v[ASKS_MAX];
	size_t n;
	int refuse; /* what asks return from now on, if not 0 */
	size_t n_forwarders;
	uint32_t dropped; /* the upstream of the last dns_pipes_drop() */
};
extern struct asks asks;

void asks_reset(void);
size_t asks_open(void);

/** wire_query() - a query for @name, @type ("A"), id 0x1234, RD. Return: its length */
size_t wire_query(uint8_t *out, const char *name, const char *type);
/** wire_query_edns() - the same with an OPT record of @udp bytes and DO or not */
size_t wire_query_edns(uint8_t *out, const char *name, const char *type, uint16_t udp, bool dnssec);
/** wire_answer() - the answer to @query: @rcode, and records as zone text; those of @answers and @authority are separated by new lines, NULL: none */
size_t wire_answer(uint8_t *out, const uint8_t *query, size_t query_len, unsigned rcode,
		   const char *answers, const char *authority);

/** ask_answer() - the answer to ask @i by wire_answer() */
void ask_answer(size_t i, unsigned rcode, const char *answers, const char *authority);
void ask_fail(size_t i, int err);
/** ask_is() - is ask @i for @name and @type? */
bool ask_is(size_t i, const char *name, unsigned type);

#endif
