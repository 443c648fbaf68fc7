// SPDX-License-Identifier: MIT
/* net_messages.h - the struct dns that dns_pipe.c and dns_forward.c ask for, and messages to play with; for unit tests and fuzzers */
#ifndef TESTS_UNIT_DNS_NET_MESSAGES_H
#define TESTS_UNIT_DNS_NET_MESSAGES_H

#include <stdint.h>
#include <string.h>

#include "base/util.h"
#include "dns/dns_internal.h"

#define MSG_MAX 4096U

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

	ST_ASSERT(len >= DNS_HEADER_BYTES);
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

#endif
