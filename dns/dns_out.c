// SPDX-License-Identifier: MIT
/*
 * dns_out.c - answers written for one asker
 *
 * Theory of operation: an answer that is kept has its question first and uncompressed, so the asker's own spelling of the name, of
 * the same length, is laid over it; records that point there take that spelling with them. Times to live and the end of each
 * record are found by walking records that we wrote ourselves (by ldns or here): their names and lengths are right.
 */
#include <string.h>

#include "base/util.h"
#include "dns/dns_msg.h"

#define TYPE_IN_QUESTION 4U /* bytes from the question's end */
#define RECORD_FIXED 10U    /* type, class, TTL and length of data; RFC 1035, 3.2.1 */
#define TTL_AT 4U	    /* in those */
#define RDLEN_AT 8U
#define POINTER 0xc0U
#define TO_QUESTION 0xc00cU /* a pointer to the name of the question */
#define CLASS_IN 1U

#define FLAG_QR 0x80U /* third byte */
#define FLAG_TC 0x02U
#define FLAG_RD 0x01U
#define FLAG_RA 0x80U /* fourth byte */
#define FLAG_AD 0x20U
#define FLAG_CD 0x10U
#define RCODE_BITS 0x0fU

enum { QDCOUNT = 4, ANCOUNT = 6, NSCOUNT = 8, ARCOUNT = 10 };

static void set_flags(uint8_t *out, const struct dns_asked *a, unsigned kept2, unsigned kept3)
{
	out[2] = (uint8_t)(FLAG_QR | (unsigned)a->opcode << 3 | (a->rd ? FLAG_RD : 0U) | kept2);
	out[3] = (uint8_t)(FLAG_RA | (a->cd ? FLAG_CD : 0U) | kept3);
}

size_t dns_out_begin(uint8_t *out, const struct dns_asked *a, unsigned rcode)
{
	memset(out, 0, DNS_HEADER_BYTES);
	dns_msg_set_id(out, a->id);
	set_flags(out, a, 0, rcode & RCODE_BITS);
	be16_put(out + QDCOUNT, a->question_len ? 1 : 0);
	memcpy(out + DNS_HEADER_BYTES, a->question, a->question_len);
	return DNS_HEADER_BYTES + a->question_len;
}

size_t dns_out_add(uint8_t *out, size_t len, uint16_t type, uint32_t ttl_s, const void *rdata,
		   size_t rdata_len)
{
	uint8_t *p = out + len;

	be16_put(p, TO_QUESTION);
	be16_put(p + 2, type);
	be16_put(p + 4, CLASS_IN);
	be32_put(p + 6, ttl_s);
	be16_put(p + 10, (uint16_t)rdata_len);
	memcpy(p + 12, rdata, rdata_len);
	be16_put(out + ANCOUNT, (uint16_t)(be16_get(out + ANCOUNT) + 1U));
	return len + 12 + rdata_len;
}

/* Where the name at @at ends */
static size_t name_end(const uint8_t *msg, size_t at)
{
	while (msg[at] != 0) {
		if (msg[at] >= POINTER)
			return at + 2;
		at += 1U + msg[at];
	}
	return at + 1;
}

static size_t record_end(const uint8_t *msg, size_t fixed)
{
	return fixed + RECORD_FIXED + be16_get(msg + fixed + RDLEN_AT);
}

static unsigned records(const uint8_t *msg)
{
	return (unsigned)be16_get(msg + ANCOUNT) + be16_get(msg + NSCOUNT) +
	       be16_get(msg + ARCOUNT);
}

/* @age_s off each record's time to live */
static void ttls_age(uint8_t *msg, size_t at, uint32_t age_s)
{
	for (unsigned n = records(msg); n > 0; n--) {
		size_t fixed = name_end(msg, at);
		uint32_t ttl_s = be32_get(msg + fixed + TTL_AT);

		be32_put(msg + fixed + TTL_AT, ttl_s > age_s ? ttl_s - age_s : 0);
		at = record_end(msg, fixed);
	}
}

size_t dns_out_answer(uint8_t *out, const struct dns_asked *a, const struct dns_answer *from,
		      uint64_t now_ms)
{
	unsigned ad = a->ad || a->dnssec_ok ? FLAG_AD : 0U;

	ST_ASSERT(from->len >= DNS_HEADER_BYTES + a->question_len);
	memcpy(out, from->msg, from->len);
	dns_msg_set_id(out, a->id);
	set_flags(out, a, from->msg[2] & FLAG_TC, from->msg[3] & (RCODE_BITS | ad));
	memcpy(out + DNS_HEADER_BYTES, a->question, a->question_len);
	ttls_age(out, DNS_HEADER_BYTES + a->question_len,
		 (uint32_t)((now_ms - from->born_ms) / 1000));
	return from->len;
}

/* Takes one record off the counts of the last section that has any */
static void drop_last(uint8_t *out, bool *cut)
{
	for (unsigned at = ARCOUNT; at >= ANCOUNT; at -= 2) {
		unsigned n = be16_get(out + at);

		if (n == 0)
			continue;
		be16_put(out + at, (uint16_t)(n - 1));
		*cut = *cut || at != ARCOUNT; /* what is only additional is not missed */
		return;
	}
}

/* As many whole records as @max bytes hold */
static size_t cut(uint8_t *out, size_t question_len, size_t max)
{
	size_t at = DNS_HEADER_BYTES + question_len;
	unsigned all = records(out), fit = 0;
	bool missed = false;

	for (; fit < all; fit++) {
		size_t end = record_end(out, name_end(out, at));

		if (end > max)
			break;
		at = end;
	}
	for (; fit < all; fit++)
		drop_last(out, &missed);
	if (missed)
		out[2] |= FLAG_TC;
	return at;
}

size_t dns_out_end(uint8_t *out, size_t len, const struct dns_asked *a, bool tcp, unsigned rcode)
{
	size_t max = tcp ? DNS_MESSAGE_MAX : a->udp_max, opt = a->edns ? DNS_OPT_BYTES : 0;
	uint8_t *p;

	if (len > max - opt)
		len = cut(out, a->question_len, max - opt);
	if (!a->edns)
		return len;
	p = out + len;
	memset(p, 0, DNS_OPT_BYTES);
	be16_put(p + 1, DNS_OPT);
	be16_put(p + 3, DNS_UDP_MAX);
	p[5] = (uint8_t)(rcode >> 4);
	p[7] = a->dnssec_ok ? 0x80 : 0;
	be16_put(out + ARCOUNT, (uint16_t)(be16_get(out + ARCOUNT) + 1U));
	return len + DNS_OPT_BYTES;
}

size_t dns_out_cut(uint8_t *out, size_t len, const struct dns_asked *a)
{
	if (len <= a->udp_max)
		return len;
	memset(out + ANCOUNT, 0, DNS_HEADER_BYTES - ANCOUNT);
	out[2] |= FLAG_TC;
	return DNS_HEADER_BYTES + a->question_len;
}

/* ---- keys ---- */

enum { KEY_LOCAL = 1, KEY_DNSSEC_OK = 2, KEY_CD = 4, KEY_AD = 8, KEY_EDNS = 16 };
#define KEY_UPSTREAM 1U
#define KEY_FAMILY 5U
#define KEY_ADDR 6U
#define KEY_PORT 22U

static uint8_t lower(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? (uint8_t)(c + ('a' - 'A')) : c;
}

void dns_key_set(struct dns_key *k, const struct dns_asked *a, uint16_t type,
		 const struct dns_via *via)
{
	uint8_t *question = k->b + DNS_KEY_WAY;

	ST_ASSERT(a->question_len > TYPE_IN_QUESTION);
	memset(k->b, 0, DNS_KEY_WAY);
	k->b[0] = (uint8_t)((via ? 0 : KEY_LOCAL) | (a->dnssec_ok ? KEY_DNSSEC_OK : 0) |
			    (a->cd ? KEY_CD : 0) | (a->ad ? KEY_AD : 0) |
			    ((via ? a->dnssec_ok : a->edns) ? KEY_EDNS : 0));
	if (via) {
		be32_put(k->b + KEY_UPSTREAM, via->upstream);
		k->b[KEY_FAMILY] = via->resolver.addr.family;
		memcpy(k->b + KEY_ADDR, via->resolver.addr.b, sizeof(via->resolver.addr.b));
		be16_put(k->b + KEY_PORT, via->resolver.port);
	}
	for (size_t i = 0; i < a->question_len; i++)
		question[i] = lower(a->question[i]);
	be16_put(question + a->question_len - TYPE_IN_QUESTION, type);
	be16_put(question + a->question_len - 2, CLASS_IN);
	k->len = (uint16_t)(DNS_KEY_WAY + a->question_len);
}

bool dns_key_eq(const struct dns_key *a, const struct dns_key *b)
{
	return a->len == b->len && memcmp(a->b, b->b, a->len) == 0;
}

/* FNV-1a; the seed is random, and a last mix spreads it over all bits */
uint32_t dns_key_hash(const struct dns_key *k, uint32_t seed)
{
	uint32_t h = 2166136261U ^ seed;

	for (size_t i = 0; i < k->len; i++)
		h = (h ^ k->b[i]) * 16777619U;
	h ^= h >> 15;
	h *= 0x85ebca6bU;
	return h ^ h >> 13;
}

bool dns_key_is_of(const struct dns_key *k, uint32_t upstream)
{
	return !(k->b[0] & KEY_LOCAL) && be32_get(k->b + KEY_UPSTREAM) == upstream;
}

bool dns_key_is_local(const struct dns_key *k)
{
	return k->b[0] & KEY_LOCAL;
}

size_t dns_key_query(uint8_t *out, const struct dns_key *k)
{
	struct dns_asked a = {
		.rd = true,
		.edns = k->b[0] & KEY_EDNS,
		.dnssec_ok = k->b[0] & KEY_DNSSEC_OK,
		.udp_max = DNS_UDP_MAX,
		.question_len = (uint16_t)(k->len - DNS_KEY_WAY),
	};
	size_t len;

	memcpy(a.question, k->b + DNS_KEY_WAY, a.question_len);
	len = dns_out_begin(out, &a, 0);
	out[2] = FLAG_RD;
	out[3] = (uint8_t)((k->b[0] & KEY_CD ? FLAG_CD : 0U) | (k->b[0] & KEY_AD ? FLAG_AD : 0U));
	return dns_out_end(out, len, &a, false, 0);
}

void dns_key_name(char out[DNS_NAME_MAX], const struct dns_key *k)
{
	dns_msg_text(out, k->b + DNS_KEY_WAY);
}
