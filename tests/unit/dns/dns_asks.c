// SPDX-License-Identifier: MIT
/* dns_asks.c - see dns_asks.h */
#include "dns_asks.h"

#include <stdlib.h>
#include <string.h>

#include <ldns/ldns.h>

#include "base/err.h"
#include "base/util.h"

struct asks asks;

void asks_reset(void)
{
	asks.n = 0;
	asks.refuse = 0;
	asks.dropped = UINT32_MAX;
}

size_t asks_open(void)
{
	size_t n = 0;

	for (size_t i = 0; i < asks.n; i++)
		n += asks.v[i].open;
	return n;
}

static int ask(handle *out, const uint8_t *msg, size_t len, uint64_t deadline_ms,
	       dns_answer_fn *done, void *arg, const struct dns_via *via)
{
	struct ask_made *a = &asks.v[asks.n];

	if (asks.refuse)
		return asks.refuse;
	ST_ASSERT(asks.n < ASKS_MAX && len <= sizeof(a->msg));
	*a = (struct ask_made){
		.local = !via,
		.open = true,
		.len = len,
		.deadline_ms = deadline_ms,
		.done = done,
		.arg = arg,
	};
	if (via)
		a->via = *via;
	memcpy(a->msg, msg, len);
	*out = ++asks.n;
	return 0;
}

static void cancel(handle h, bool local)
{
	struct ask_made *a = h > 0 && h <= asks.n ? &asks.v[h - 1] : NULL;

	if (a) {
		ST_ASSERT(a->local == local);
		a->open = false;
	}
}

/* ---- what dns links against ---- */

struct dns_pipes {
	struct dns *d;
};

struct dns_forwards {
	struct dns *d;
};

int dns_pipes_new(struct dns_pipes **out, struct dns *d)
{
	*out = calloc(1, sizeof(**out));
	if (!*out)
		return ST_ENOMEM;
	(*out)->d = d;
	return 0;
}

void dns_pipes_free(struct dns_pipes *p)
{
	free(p);
}

int dns_pipe_ask(struct dns_pipes *p, handle *out, const struct dns_via *via, const uint8_t *msg,
		 size_t len, uint64_t deadline_ms, dns_answer_fn *done, void *arg)
{
	(void)p;
	return ask(out, msg, len, deadline_ms, done, arg, via);
}

void dns_pipe_cancel(struct dns_pipes *p, handle h)
{
	(void)p;
	cancel(h, false);
}

void dns_pipes_drop(struct dns_pipes *p, uint32_t upstream)
{
	(void)p;
	asks.dropped = upstream;
}

uint32_t dns_pipes_count(const struct dns_pipes *p)
{
	(void)p;
	return 3;
}

int dns_forwards_new(struct dns_forwards **out, struct dns *d)
{
	*out = calloc(1, sizeof(**out));
	if (!*out)
		return ST_ENOMEM;
	(*out)->d = d;
	return 0;
}

void dns_forwards_free(struct dns_forwards *f)
{
	free(f);
}

void dns_forwards_set(struct dns_forwards *f, const struct net_endpoint *v, size_t n)
{
	(void)f;
	(void)v;
	asks.n_forwarders = n;
}

int dns_forward_ask(struct dns_forwards *f, handle *out, const uint8_t *msg, size_t len,
		    uint64_t deadline_ms, dns_answer_fn *done, void *arg)
{
	(void)f;
	return ask(out, msg, len, deadline_ms, done, arg, NULL);
}

void dns_forward_cancel(struct dns_forwards *f, handle h)
{
	(void)f;
	cancel(h, true);
}

/* ---- messages ---- */

static size_t pkt_out(uint8_t *out, ldns_pkt *pkt)
{
	uint8_t *wire = NULL;
	size_t len = 0;

	ST_ASSERT(ldns_pkt2wire(&wire, pkt, &len) == LDNS_STATUS_OK && len <= DNS_MESSAGE_MAX);
	memcpy(out, wire, len);
	free(wire);
	ldns_pkt_free(pkt);
	return len;
}

static ldns_pkt *query_pkt(const char *name, const char *type)
{
	ldns_pkt *pkt = NULL;

	ST_ASSERT(ldns_pkt_query_new_frm_str(&pkt, name, ldns_get_rr_type_by_name(type),
					     LDNS_RR_CLASS_IN, LDNS_RD) == LDNS_STATUS_OK);
	ldns_pkt_set_id(pkt, 0x1234);
	return pkt;
}

size_t wire_query(uint8_t *out, const char *name, const char *type)
{
	return pkt_out(out, query_pkt(name, type));
}

size_t wire_query_edns(uint8_t *out, const char *name, const char *type, uint16_t udp, bool dnssec)
{
	ldns_pkt *pkt = query_pkt(name, type);

	ldns_pkt_set_edns_udp_size(pkt, udp);
	ldns_pkt_set_edns_do(pkt, dnssec);
	return pkt_out(out, pkt);
}

static void add(ldns_pkt *pkt, ldns_pkt_section section, const char *lines)
{
	while (lines && *lines) {
		size_t n = strcspn(lines, "\n");
		char *line = strndup(lines, n);
		ldns_rr *rr = NULL;

		ST_ASSERT(line && ldns_rr_new_frm_str(&rr, line, 0, NULL, NULL) == LDNS_STATUS_OK);
		ST_ASSERT(ldns_pkt_push_rr(pkt, section, rr));
		free(line);
		lines += n + (lines[n] == '\n');
	}
}

size_t wire_answer(uint8_t *out, const uint8_t *query, size_t query_len, unsigned rcode,
		   const char *answers, const char *authority)
{
	ldns_pkt *pkt = NULL;

	ST_ASSERT(ldns_wire2pkt(&pkt, query, query_len) == LDNS_STATUS_OK);
	ldns_pkt_set_qr(pkt, true);
	ldns_pkt_set_aa(pkt, true);
	ldns_pkt_set_rcode(pkt, (uint8_t)rcode);
	add(pkt, LDNS_SECTION_ANSWER, answers);
	add(pkt, LDNS_SECTION_AUTHORITY, authority);
	return pkt_out(out, pkt);
}

void ask_answer(size_t i, unsigned rcode, const char *answers, const char *authority)
{
	static uint8_t msg[DNS_MESSAGE_MAX];
	struct ask_made *a = &asks.v[i];
	size_t len = wire_answer(msg, a->msg, a->len, rcode, answers, authority);

	ST_ASSERT(i < asks.n && a->open);
	a->open = false;
	a->done(a->arg, 0, msg, len, NULL);
}

void ask_fail(size_t i, int err)
{
	struct ask_made *a = &asks.v[i];

	ST_ASSERT(i < asks.n && a->open);
	a->open = false;
	a->done(a->arg, err, NULL, 0, "the tunnel is down");
}

bool ask_is(size_t i, const char *name, unsigned type)
{
	const uint8_t *question = asks.v[i].msg + DNS_HEADER_BYTES;
	size_t n = dns_msg_question_len(asks.v[i].msg, asks.v[i].len);
	char text[DNS_NAME_MAX];

	if (i >= asks.n || n == 0)
		return false;
	dns_msg_text(text, question);
	return strcmp(text, name) == 0 && be16_get(question + n - 4) == type;
}
