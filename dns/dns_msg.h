// SPDX-License-Identifier: MIT
/*
 * dns_msg.h - messages: what was asked, what was answered, and answers of our own
 *
 * dns_msg.c takes messages apart and puts them together by ldns; dns_out.c patches and appends in place, only in messages that
 * dns_msg.c or dns_out.c has written. Buffers for a message of ours have DNS_OUT_MAX bytes.
 */
#ifndef DNS_DNS_MSG_H
#define DNS_DNS_MSG_H

#include "dns/dns_internal.h"

#define DNS_WIRE_NAME_MAX 255U /* bytes, the root's included; RFC 1035, 2.3.4 */
#define DNS_QUESTION_MAX (DNS_WIRE_NAME_MAX + 4U)
#define DNS_OPT_BYTES 11U /* an OPT record without options; RFC 6891, 6.1.2 */
#define DNS_OUT_MAX (DNS_MESSAGE_MAX + DNS_OPT_BYTES)
#define DNS_QUERY_MAX (DNS_HEADER_BYTES + DNS_QUESTION_MAX + DNS_OPT_BYTES)
#define DNS_UDP_LEAST 512U   /* without EDNS; RFC 1035, 2.3.4 */
#define DNS_TTL_MAX_S 3600U  /* ours: no answer is kept or handed on for longer */
#define DNS_RECORDS_MAX 1024 /* of an answer, ours: bounds what a hostile one costs */

enum dns_type {
	DNS_A = 1,
	DNS_CNAME = 5,
	DNS_SOA = 6,
	DNS_PTR = 12,
	DNS_HINFO = 13,
	DNS_AAAA = 28,
	DNS_OPT = 41,
	DNS_SVCB = 64,
	DNS_HTTPS = 65,
	DNS_META_FIRST = 249, /* TKEY, TSIG, IXFR, AXFR, MAILB, MAILA: not for a resolver */
	DNS_META_LAST = 254,
	DNS_ANY = 255,
};

enum dns_rcode {
	DNS_NOERROR = 0,
	DNS_FORMERR = 1,
	DNS_SERVFAIL = 2,
	DNS_NXDOMAIN = 3,
	DNS_NOTIMP = 4,
	DNS_REFUSED = 5,
	DNS_BADVERS = 16,
};

/* A query taken apart. */
struct dns_asked {
	uint16_t id;
	uint16_t type;
	uint16_t udp_max;      /* bytes that the asker takes over UDP */
	uint16_t question_len; /* 0: there is no question to repeat */
	uint8_t opcode;
	bool rd, ad, cd;
	bool edns, dnssec_ok;
	bool options; /* its OPT record has options other than a cookie, padding or keep-alive, which end here */
	bool odd; /* the name has bytes that no host name has: it is never given a fake address */
	uint8_t question[DNS_QUESTION_MAX]; /* as it came */
	char name[DNS_NAME_MAX]; /* lower case, no last dot, "" for the root; an odd byte is \001 */
};

/** dns_msg_asked() - Return: 0; an enum dns_rcode above 0 to be answered, with as much of @out as could be read; ST_EFORMAT: nothing
 * is to be answered (no header, or an answer) */
int dns_msg_asked(struct dns_asked *out, const uint8_t *msg, size_t len);

/** dns_msg_text() - the name of a question as text, see dns_asked.name. Return: false: it is odd */
bool dns_msg_text(char out[DNS_NAME_MAX], const uint8_t *question);

/* An answer taken apart, cleaned and put together again; counted references, freed with the last one. */
struct dns_answer {
	uint32_t refs;
	uint64_t born_ms, until_ms; /* until == born: not to be kept */
	uint32_t ttl_s;		    /* the least one */
	uint8_t rcode;
	bool forbidden; /* had only addresses that nothing may open, and is NXDOMAIN for that */
	uint16_t n_addrs;
	uint16_t len;
	const struct net_addr *
		addrs; /* of its answer section, in its order; @far: at most DNS_ADDRS_MAX, else all */
	uint8_t msg[]; /* without OPT; id 0 */
};

/** dns_answer_new() - @msg answers one question, which stands uncompressed behind its header (dns_msg_same_question())
 * @far: it comes from an upstream's resolver: addresses that nothing may open are left out (decision 13), and so is the additional section
 * Return: 0; ST_EFORMAT; ST_ENOMEM */
int dns_answer_new(struct dns_answer **out, const uint8_t *msg, size_t len, bool far,
		   uint64_t now_ms);
void dns_answer_unref(struct dns_answer *a); /* NULL is fine */
static inline struct dns_answer *dns_answer_ref(struct dns_answer *a)
{
	a->refs++;
	return a;
}
/** dns_answer_bytes() - of memory that it holds */
size_t dns_answer_bytes(const struct dns_answer *a);
/** dns_answer_left_s() - seconds for which it is good, 0 and up */
uint32_t dns_answer_left_s(const struct dns_answer *a, uint64_t now_ms);

/** dns_msg_name() - @name (a plain host name) as wire bytes. Return: their number; 0 if it is none */
size_t dns_msg_name(uint8_t out[DNS_WIRE_NAME_MAX], const char *name);

/* ---- dns_out.c: writing; each returns the length that @out has now */

/** dns_out_begin() - a header and the question of @a; @rcode: its low 4 bits */
size_t dns_out_begin(uint8_t *out, const struct dns_asked *a, unsigned rcode);
/** dns_out_add() - a record of the question's name into the answer section, which is the last so far */
size_t dns_out_add(uint8_t *out, size_t len, uint16_t type, uint32_t ttl_s, const void *rdata,
		   size_t rdata_len);
/** dns_out_answer() - @from as the answer to @a, a question of the same name; times to live are those that are left */
size_t dns_out_answer(uint8_t *out, const struct dns_asked *a, const struct dns_answer *from,
		      uint64_t now_ms);
/** dns_out_end() - cuts to what the asker takes, with TC, and adds OPT if the asker has EDNS; @rcode: its high bits go there */
size_t dns_out_end(uint8_t *out, size_t len, const struct dns_asked *a, bool tcp, unsigned rcode);
/** dns_out_cut() - only cuts a message of another's, to its header and question, if it is longer than the asker takes */
size_t dns_out_cut(uint8_t *out, size_t len, const struct dns_asked *a);

/* ---- the key of a question: who is asked, and what */

#define DNS_KEY_WAY 24U /* bytes before the question */
#define DNS_KEY_MAX (DNS_KEY_WAY + DNS_QUESTION_MAX)

struct dns_key {
	uint16_t len;
	uint8_t b[DNS_KEY_MAX];
};

/** dns_key_set() - @a's question, but for @type, asked by @via (NULL: the resolvers that were there before) */
void dns_key_set(struct dns_key *k, const struct dns_asked *a, uint16_t type,
		 const struct dns_via *via);
bool dns_key_eq(const struct dns_key *a, const struct dns_key *b);
uint32_t dns_key_hash(const struct dns_key *k, uint32_t seed);
bool dns_key_is_of(const struct dns_key *k, uint32_t upstream);
bool dns_key_is_local(const struct dns_key *k); /* asked of the resolvers that were there before */
/** dns_key_query() - the message that asks it, id 0. Return: its length, at most DNS_QUERY_MAX */
size_t dns_key_query(uint8_t *out, const struct dns_key *k);
/** dns_key_name() - whose name is asked for, as dns_msg_text() */
void dns_key_name(char out[DNS_NAME_MAX], const struct dns_key *k);

#endif
