// SPDX-License-Identifier: MIT
/*
 * dns_msg.c - messages taken apart and put together by ldns, whose types stop here
 *
 * Theory of operation: records are read one by one, because ldns reading a whole packet keeps only the last of several OPT or TSIG records and
 * loses the memory of the others. Before ldns sees a message its counts are bounded: a query has one question and at
 * most two records behind it, an answer DNS_RECORDS_MAX, so that chains of compression pointers can't make it cost more than some
 * ten milliseconds. An answer is never handed on as it came: what we keep of it is written anew, so that the walks of dns_out.c meet
 * only what ldns wrote.
 */
#include "dns/dns_msg.h"

#include <stdlib.h>
#include <string.h>

#include <ldns/ldns.h>

#include "base/err.h"
#include "base/util.h"

#define QUERY_RECORDS_MAX 2U /* OPT and TSIG */
#define OPT_CODE_COOKIE 10U
#define OPT_CODE_KEEPALIVE 11U
#define OPT_CODE_PADDING 12U
#define OPT_FIXED 11U /* bytes before its options */
#define OPT_DO 0x8000U
#define CLASS_IN 1U
#define TTL_SIGN 0x80000000U /* RFC 2181, 8: a TTL with it is 0 */
#define SOA_MINIMUM 6U	     /* field of an SOA record */

/* ---- queries ---- */

static void header_read(struct dns_asked *a, const uint8_t *msg)
{
	*a = (struct dns_asked){
		.id = dns_msg_id(msg),
		.opcode = (uint8_t)(msg[2] >> 3 & 0xf),
		.rd = msg[2] & 0x01,
		.ad = msg[3] & 0x20,
		.cd = msg[3] & 0x10,
		.udp_max = DNS_UDP_LEAST,
	};
}

bool dns_msg_text(char out[DNS_NAME_MAX], const uint8_t *question)
{
	bool plain = true;
	size_t n = 0;

	for (size_t at = 0; question[at] != 0; at += 1U + question[at]) {
		if (n > 0)
			out[n++] = '.';
		for (size_t i = 1; i <= question[at]; i++) {
			uint8_t c = question[at + i];
			bool odd = c <= ' ' || c >= 0x7f || c == '.' || c == '\\';

			plain = plain && !odd;
			if (c >= 'A' && c <= 'Z')
				c = (uint8_t)(c + ('a' - 'A'));
			out[n++] = odd ? '\001' : (char)c;
		}
	}
	out[n] = '\0';
	return plain;
}

static bool question_read(struct dns_asked *a, const uint8_t *msg, size_t len)
{
	size_t n = dns_msg_question_len(msg, len);

	if (n == 0)
		return false;
	memcpy(a->question, msg + DNS_HEADER_BYTES, n);
	a->question_len = (uint16_t)n;
	a->type = be16_get(a->question + n - 4);
	a->odd = !dns_msg_text(a->name, a->question);
	return true;
}

static bool option_ends_here(unsigned code)
{
	return code == OPT_CODE_COOKIE || code == OPT_CODE_KEEPALIVE || code == OPT_CODE_PADDING;
}

/* The OPT record at @p, @len bytes that ldns has read. Return: 0; an enum dns_rcode */
static int opt_read(struct dns_asked *a, const ldns_rr *rr, const uint8_t *p, size_t len)
{
	if (a->edns || p[0] != 0)
		return DNS_FORMERR;
	a->edns = true;
	a->udp_max = (uint16_t)MIN(MAX(ldns_rr_get_class(rr), DNS_UDP_LEAST), DNS_UDP_MAX);
	a->dnssec_ok = ldns_rr_ttl(rr) & OPT_DO;
	for (size_t at = OPT_FIXED; at < len;) {
		size_t n;

		if (len - at < 4)
			return DNS_FORMERR;
		n = be16_get(p + at + 2);
		if (len - at - 4 < n)
			return DNS_FORMERR;
		a->options = a->options || !option_ends_here(be16_get(p + at));
		at += 4 + n;
	}
	return (ldns_rr_ttl(rr) >> 16 & 0xff) == 0 ? 0 : DNS_BADVERS;
}

static int additional_read(struct dns_asked *a, const uint8_t *msg, size_t len)
{
	size_t at = DNS_HEADER_BYTES + a->question_len;

	for (unsigned n = be16_get(msg + 10); n > 0; n--) {
		size_t start = at;
		ldns_rr *rr = NULL;
		int r;

		if (ldns_wire2rr(&rr, msg, len, &at, LDNS_SECTION_ADDITIONAL) != LDNS_STATUS_OK)
			return DNS_FORMERR;
		r = ldns_rr_get_type(rr) == LDNS_RR_TYPE_OPT
			    ? opt_read(a, rr, msg + start, at - start)
			    : DNS_NOTIMP; /* a signature that we can't check */
		ldns_rr_free(rr);
		if (r != 0)
			return r;
	}
	return at == len ? 0 : DNS_FORMERR;
}

static int type_check(const struct dns_asked *a)
{
	if (be16_get(a->question + a->question_len - 2) != CLASS_IN)
		return DNS_REFUSED;
	if (a->type >= DNS_META_FIRST && a->type <= DNS_META_LAST)
		return DNS_NOTIMP;
	return a->type == DNS_OPT || a->type == 0 ? DNS_FORMERR : 0;
}

int dns_msg_asked(struct dns_asked *out, const uint8_t *msg, size_t len)
{
	bool question;
	int r;

	if (len < DNS_HEADER_BYTES || msg[2] & 0x80)
		return ST_EFORMAT;
	header_read(out, msg);
	question = question_read(out, msg, len);
	if (out->opcode != 0)
		return DNS_NOTIMP;
	if (!question || len > DNS_UDP_MAX)
		return DNS_FORMERR;
	if ((r = type_check(out)) != 0)
		return r;
	if (be16_get(msg + 6) != 0 || be16_get(msg + 8) != 0 ||
	    be16_get(msg + 10) > QUERY_RECORDS_MAX)
		return DNS_FORMERR;
	return additional_read(out, msg, len);
}

/* ---- answers ---- */

/* What is known of an answer while its records come by. */
struct reading {
	ldns_pkt *pkt;
	uint16_t type; /* of the question */
	bool far;
	unsigned records, forbidden;
	uint32_t ttl_s;	  /* the least of the answer section */
	uint32_t minus_s; /* how long that there is nothing may be kept */
	uint8_t ext_rcode;
	uint16_t n_addrs;
	struct net_addr addrs[DNS_RECORDS_MAX];
};

static uint32_t ttl_of(const ldns_rr *rr)
{
	uint32_t ttl_s = ldns_rr_ttl(rr);

	return ttl_s & TTL_SIGN ? 0 : MIN(ttl_s, DNS_TTL_MAX_S);
}

static bool address_of(struct net_addr *out, const ldns_rr *rr)
{
	ldns_rr_type type = ldns_rr_get_type(rr);
	const ldns_rdf *rdf = ldns_rr_rd_count(rr) == 1 ? ldns_rr_rdf(rr, 0) : NULL;

	*out = (struct net_addr){ .family = type == LDNS_RR_TYPE_A ? 4 : 6 };
	if ((type != LDNS_RR_TYPE_A && type != LDNS_RR_TYPE_AAAA) || !rdf ||
	    ldns_rdf_size(rdf) != net_addr_bytes(out))
		return false;
	memcpy(out->b, ldns_rdf_data(rdf), ldns_rdf_size(rdf));
	return true;
}

/* RFC 2308, 5: the lesser of the SOA's own TTL and its last field */
static void soa_read(struct reading *r, ldns_rr *rr)
{
	uint32_t least = ttl_of(rr);

	if (ldns_rr_rd_count(rr) > SOA_MINIMUM)
		least = MIN(least, ldns_rdf2native_int32(ldns_rr_rdf(rr, SOA_MINIMUM)));
	ldns_rr_set_ttl(rr, least);
	r->minus_s = least;
}

/* Is it kept? */
static bool record_judge(struct reading *r, ldns_rr *rr, ldns_pkt_section section)
{
	ldns_rr_type type = ldns_rr_get_type(rr);
	struct net_addr a;
	bool address = address_of(&a, rr);

	if (type == LDNS_RR_TYPE_OPT) {
		r->ext_rcode = (uint8_t)(ldns_rr_ttl(rr) >> 24);
		return false;
	}
	if (type == LDNS_RR_TYPE_TSIG || type == LDNS_RR_TYPE_SIG ||
	    (r->far && section == LDNS_SECTION_ADDITIONAL))
		return false;
	/* What comes from afar is learned before it is handed on, and no more than that is. */
	if (address && r->far && (section != LDNS_SECTION_ANSWER || r->n_addrs == DNS_ADDRS_MAX))
		return false;
	if (address && r->far && net_addr_is_local_only(&a)) {
		r->forbidden++;
		return false;
	}
	ldns_rr_set_ttl(rr, ttl_of(rr));
	if (section == LDNS_SECTION_ANSWER)
		r->ttl_s = MIN(r->ttl_s, ldns_rr_ttl(rr));
	if (section == LDNS_SECTION_AUTHORITY && type == LDNS_RR_TYPE_SOA)
		soa_read(r, rr);
	if (address && section == LDNS_SECTION_ANSWER)
		r->addrs[r->n_addrs++] = a;
	return true;
}

static int record_read(struct reading *r, const uint8_t *msg, size_t len, size_t *at,
		       ldns_pkt_section section)
{
	ldns_rr *rr = NULL;
	ldns_status status = ldns_wire2rr(&rr, msg, len, at, section);

	if (status != LDNS_STATUS_OK)
		return status == LDNS_STATUS_MEM_ERR ? ST_ENOMEM : ST_EFORMAT;
	if (!(section == LDNS_SECTION_QUESTION || record_judge(r, rr, section))) {
		ldns_rr_free(rr);
		return 0;
	}
	if (ldns_pkt_push_rr(r->pkt, section, rr))
		return 0;
	ldns_rr_free(rr);
	return ST_ENOMEM;
}

static int records_read(struct reading *r, const uint8_t *msg, size_t len)
{
	static const ldns_pkt_section sections[] = { LDNS_SECTION_QUESTION, LDNS_SECTION_ANSWER,
						     LDNS_SECTION_AUTHORITY,
						     LDNS_SECTION_ADDITIONAL };
	size_t at = DNS_HEADER_BYTES;
	unsigned all = 0;
	int e;

	for (size_t s = 0; s < ARRAY_LEN(sections); s++)
		all += be16_get(msg + 4 + 2 * s);
	if (all > DNS_RECORDS_MAX)
		return ST_EFORMAT;
	for (size_t s = 0; s < ARRAY_LEN(sections); s++) {
		for (unsigned n = be16_get(msg + 4 + 2 * s); n > 0; n--) {
			if ((e = record_read(r, msg, len, &at, sections[s])) < 0)
				return e;
		}
	}
	return 0;
}

static bool is_address_type(uint16_t type)
{
	return type == DNS_A || type == DNS_AAAA;
}

/* Has the name nothing of the type that was asked? Then the SOA says for how long that is so. */
static bool is_negative(const struct reading *r, unsigned rcode)
{
	if (rcode == DNS_NXDOMAIN)
		return true;
	if (ldns_pkt_ancount(r->pkt) == 0)
		return true;
	return is_address_type(r->type) && r->n_addrs == 0;
}

static uint32_t keep_s(const struct reading *r, const uint8_t *msg, unsigned rcode, bool forbidden)
{
	if ((rcode != DNS_NOERROR && rcode != DNS_NXDOMAIN) || dns_msg_is_cut(msg))
		return 0;
	if (!forbidden && is_negative(r, rcode))
		return MIN(r->minus_s, r->ttl_s);
	return r->ttl_s;
}

static void sections_empty(ldns_pkt *pkt)
{
	ldns_rr_list_deep_free(ldns_pkt_answer(pkt));
	ldns_rr_list_deep_free(ldns_pkt_authority(pkt));
	ldns_pkt_set_answer(pkt, ldns_rr_list_new());
	ldns_pkt_set_authority(pkt, ldns_rr_list_new());
	ldns_pkt_set_ancount(pkt, 0);
	ldns_pkt_set_nscount(pkt, 0);
}

static int answer_alloc(struct dns_answer **out, const struct reading *r, const uint8_t *wire,
			size_t len)
{
	size_t addrs_at = (len + sizeof(void *) - 1) / sizeof(void *) * sizeof(void *);
	struct dns_answer *a = calloc(1, sizeof(*a) + addrs_at + r->n_addrs * sizeof(*a->addrs));
	struct net_addr *addrs;

	if (!a)
		return ST_ENOMEM;
	addrs = (struct net_addr *)(void *)(a->msg + addrs_at);
	a->refs = 1;
	a->n_addrs = r->n_addrs;
	a->len = (uint16_t)len;
	a->addrs = addrs;
	memcpy(a->msg, wire, len);
	if (r->n_addrs)
		memcpy(addrs, r->addrs, r->n_addrs * sizeof(*addrs));
	*out = a;
	return 0;
}

static int answer_write(struct dns_answer **out, const struct reading *r)
{
	uint8_t *wire = NULL;
	size_t len = 0;
	int e;

	if (ldns_pkt2wire(&wire, r->pkt, &len) != LDNS_STATUS_OK)
		return ST_ENOMEM;
	e = len <= DNS_MESSAGE_MAX && dns_msg_question_len(wire, len) > 0
		    ? answer_alloc(out, r, wire, len)
		    : ST_EFORMAT;
	free(wire);
	return e;
}

static int answer_make(struct dns_answer **out, struct reading *r, const uint8_t *msg,
		       uint64_t now_ms)
{
	unsigned rcode = r->ext_rcode ? DNS_SERVFAIL : dns_msg_rcode(msg);
	bool forbidden = r->forbidden > 0 && r->n_addrs == 0 && is_address_type(r->type);
	struct dns_answer *a;
	int e;

	if (forbidden) {
		rcode = DNS_NXDOMAIN;
		sections_empty(r->pkt);
	}
	ldns_pkt_set_rcode(r->pkt, (uint8_t)rcode);
	ldns_pkt_set_qr(r->pkt, true);
	ldns_pkt_set_ad(r->pkt, msg[3] & 0x20 && r->forbidden == 0);
	ldns_pkt_set_tc(r->pkt, dns_msg_is_cut(msg));
	if ((e = answer_write(&a, r)) < 0)
		return e;
	a->rcode = (uint8_t)rcode;
	a->forbidden = forbidden;
	a->ttl_s = keep_s(r, msg, rcode, forbidden);
	a->born_ms = now_ms;
	a->until_ms = now_ms + (uint64_t)a->ttl_s * 1000;
	*out = a;
	return 0;
}

int dns_answer_new(struct dns_answer **out, const uint8_t *msg, size_t len, bool far,
		   uint64_t now_ms)
{
	size_t question = dns_msg_question_len(msg, len);
	struct reading r = { .far = far, .ttl_s = DNS_TTL_MAX_S };
	int e;

	if (question == 0)
		return ST_EFORMAT;
	r.type = be16_get(msg + DNS_HEADER_BYTES + question - 4);
	r.pkt = ldns_pkt_new();
	if (!r.pkt)
		return ST_ENOMEM;
	e = records_read(&r, msg, len);
	if (e == 0)
		e = answer_make(out, &r, msg, now_ms);
	ldns_pkt_free(r.pkt);
	return e;
}

void dns_answer_unref(struct dns_answer *a)
{
	if (a && --a->refs == 0)
		free(a);
}

size_t dns_answer_bytes(const struct dns_answer *a)
{
	return sizeof(*a) + a->len + sizeof(void *) + a->n_addrs * sizeof(*a->addrs);
}

uint32_t dns_answer_left_s(const struct dns_answer *a, uint64_t now_ms)
{
	return a->until_ms > now_ms ? (uint32_t)((a->until_ms - now_ms) / 1000) : 0;
}

size_t dns_msg_name(uint8_t out[DNS_WIRE_NAME_MAX], const char *name)
{
	ldns_rdf *rdf = NULL;
	size_t n = 0;

	if (strchr(name, '\\') || ldns_str2rdf_dname(&rdf, name) != LDNS_STATUS_OK)
		return 0;
	if (ldns_rdf_size(rdf) <= DNS_WIRE_NAME_MAX) {
		n = ldns_rdf_size(rdf);
		memcpy(out, ldns_rdf_data(rdf), n);
	}
	ldns_rdf_deep_free(rdf);
	return n;
}
