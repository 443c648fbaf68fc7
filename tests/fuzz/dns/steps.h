// SPDX-License-Identifier: MIT
/* steps.h - an input as a list of steps, and asks each of which must be told exactly once */
#ifndef TESTS_FUZZ_DNS_STEPS_H
#define TESTS_FUZZ_DNS_STEPS_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/loop.h"
#include "base/text.h"
#include "tests/unit/dns/net_messages.h"
#include "tests/unit/dns/played_clock.h"

#define ASKS 48U
#define OVER_MS UINT64_C(20000) /* past every deadline */

struct steps {
	const uint8_t *p;
	size_t left;
};

static inline uint8_t step_byte(struct steps *s)
{
	if (s->left == 0)
		return 0;
	s->left--;
	return *s->p++;
}

/* *@len: what is wanted; becomes what there is */
static inline const uint8_t *step_bytes(struct steps *s, size_t *len)
{
	const uint8_t *p = s->p;

	*len = MIN(*len, s->left);
	s->p += *len;
	s->left -= *len;
	return p;
}

struct asked {
	handle h;
	uint8_t query[64];
	size_t len;
	unsigned told;
	bool cancelled;
};

static struct asked asks[ASKS];
static size_t n_asks;

static inline void asked_told(void *arg, int err, const uint8_t *msg, size_t len, const char *text)
{
	struct asked *a = arg;

	a->told++;
	ST_ASSERT(a->told == 1 && !a->cancelled);
	if (err == 0) {
		ST_ASSERT(dns_msg_same_question(msg, len, dns_msg_id(a->query), a->query, a->len));
		ST_ASSERT(text[0] == '\0');
		return;
	}
	ST_ASSERT((err == ST_ETIMEOUT || err == ST_ECLOSED) && len == 0 && text[0] != '\0');
	for (size_t n, left = strlen(text); left > 0; text += n, left -= n) {
		n = text_plain_len(text, left);
		ST_ASSERT(n > 0);
	}
}

/* The next ask, or NULL if there were enough */
static inline struct asked *asked_new(void)
{
	struct asked *a = &asks[n_asks];
	char name[16];

	if (n_asks == ASKS)
		return NULL;
	memset(a, 0, sizeof(*a));
	snprintf(name, sizeof(name), "n%zu.x", n_asks % 7);
	a->len = query_make(a->query, (uint16_t)(0x4000 + n_asks), name);
	n_asks++;
	return a;
}

/* An answer to @query, made worse: at byte @at it is changed by @by, and cut to @len_percent of its length */
static inline size_t answer_bent(uint8_t *out, const uint8_t *query, size_t len, uint8_t at,
				 uint8_t by, uint8_t rcode)
{
	size_t n = answer_make(out, query, len, rcode & 0x0f, 1);

	out[at % n] ^= by;
	if (rcode & 0x10)
		n = at % n;
	if (rcode & 0x20)
		out[2] |= 0x02; /* TC */
	return n;
}

#endif
