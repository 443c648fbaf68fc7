// SPDX-License-Identifier: MIT
/* dns_internal.h - what the files of dns/ ask of each other; only dns/ and its tests include it */
#ifndef DNS_DNS_INTERNAL_H
#define DNS_DNS_INTERNAL_H

#include "dns/dns.h"

/*
 * The life of a query (dns_query.c): parsed, judged, answered from the fake map or the cache, or asked; equal questions of the same way
 * that are under way share one ask. An ask goes out through one of the two below, as one message with a question of ours, and comes
 * back as one message whose question was compared with it.
 */

/* @err: 0 and a message of at least a header whose id, question and QR bit are right; ST_ETIMEOUT; ST_ECLOSED (nobody to ask, or the
 * way there is down: @text says why, made safe); exactly once, from the loop */
typedef void dns_answer_fn(void *arg, int err, const uint8_t *msg, size_t len, const char *text);

/* dns_pipe.c: resolvers behind upstreams, over one kept and pipelined TCP channel each (RFC 7766) */
struct dns_pipes;
int dns_pipes_new(struct dns_pipes **out, struct dns *d); /* Return: 0; ST_ENOMEM */
void dns_pipes_free(struct dns_pipes *p);		  /* without callbacks */
/** dns_pipe_ask() - @msg (copied; its id is replaced, and put back into the answer) to @via's resolver, until @deadline_ms on the
 * loop's clock. A channel that closes with questions unanswered is dialled anew and they are asked once more. Answers may come in any order.
 * Return: 0 and *@out; ST_EFULL: too many questions, or all channels have some; ST_EFORMAT: not one whole question; ST_ENOMEM */
int dns_pipe_ask(struct dns_pipes *p, handle *out, const struct dns_via *via, const uint8_t *msg,
		 size_t len, uint64_t deadline_ms, dns_answer_fn *done, void *arg);
void dns_pipe_cancel(struct dns_pipes *p, handle h); /* no callback; stale is fine */
void dns_pipes_drop(struct dns_pipes *p,
		    uint32_t upstream); /* that upstream has gone: its asks end with ST_ECLOSED */
uint32_t dns_pipes_count(const struct dns_pipes *p);
/** dns_pipes_ignored() - answers so far whose id or question were of no ask, late ones among them */
uint64_t dns_pipes_ignored(const struct dns_pipes *p);

/* dns_forward.c: resolvers that this machine had before, over UDP from a socket with a random port for each ask, then TCP when cut */
struct dns_forwards;
int dns_forwards_new(struct dns_forwards **out, struct dns *d);
void dns_forwards_free(struct dns_forwards *f);
void dns_forwards_set(struct dns_forwards *f, const struct net_endpoint *v, size_t n);
/** dns_forward_ask() - as dns_pipe_ask(); EDNS is kept as it came, the id is random and put back. The first resolver, the next after a
 * silence of 1 s or a SERVFAIL or REFUSED, round and round until @deadline_ms; one that answered lately is asked first.
 * An answer from another address or port, with another id or question, is ignored. */
int dns_forward_ask(struct dns_forwards *f, handle *out, const uint8_t *msg, size_t len,
		    uint64_t deadline_ms, dns_answer_fn *done, void *arg);
void dns_forward_cancel(struct dns_forwards *f, handle h);
/** dns_forwards_ignored() - answers so far that were of no ask by their address, port, id or question: strays and forgeries */
uint64_t dns_forwards_ignored(const struct dns_forwards *f);

/* dns_wire.c: in place, without ldns */
/** dns_msg_question_len() - Return: bytes of the one question behind the header, type and class included; 0: not one whole
 * question, or its name is compressed or too long */
size_t dns_msg_question_len(const uint8_t *msg, size_t len);
/** dns_msg_same_question() - has @answer the id @id, QR set, and the one question of @query (name compared without case)? Cheap, strict, no ldns */
bool dns_msg_same_question(const uint8_t *answer, size_t answer_len, uint16_t id,
			   const uint8_t *query, size_t query_len);
static inline uint16_t dns_msg_id(const uint8_t *msg)
{
	return (uint16_t)(msg[0] << 8 | msg[1]);
}
static inline void dns_msg_set_id(uint8_t *msg, uint16_t id)
{
	msg[0] = (uint8_t)(id >> 8);
	msg[1] = (uint8_t)id;
}
#define DNS_HEADER_BYTES 12U
static inline bool dns_msg_is_cut(const uint8_t *msg) /* TC */
{
	return msg[2] & 0x02;
}
static inline unsigned dns_msg_rcode(const uint8_t *msg)
{
	return msg[3] & 0x0fU;
}

/* The rest is declared by dns_msg.h, dns_cache.h, dns_fake.h and dns_core.h. */

/* dns.c */
struct loop *dns_loop(const struct dns *d);
const struct dns_opts *dns_options(const struct dns *d);

#endif
