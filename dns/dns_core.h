// SPDX-License-Identifier: MIT
/*
 * dns_core.h - what dns.c, dns_share.c, dns_query.c, dns_plan.c and dns_resolve.c know together
 *
 * A want is one party's interest in the answer to one question. It is served from the cache at once, or joins the share of
 * that question: the one ask that is under way for it. Parties are queries and calls of dns_resolve(); both hold handles in one table, so
 * that DNS_PENDING_MAX counts both, and both wait in queues of constant delay, whose first is always the one that is due next.
 */
#ifndef DNS_DNS_CORE_H
#define DNS_DNS_CORE_H

#include "base/list.h"
#include "dns/dns_cache.h"
#include "dns/dns_fake.h"
#include "dns/dns_msg.h"

#define DNS_KNOWN_WAIT_MS                                                                          \
	1000U /* ours: a name that has a fake address is answered by it after that, come what may */
#define DNS_GRACE_MS                                                                               \
	100U /* ours: addresses of one family wait so long for those of the other; RFC 8305 says 50 and a round trip passes here */
#define DNS_VIA_MAX                                                                                \
	(DNS_PENDING_MAX / 4U *                                                                    \
	 3U) /* of DNS_PENDING_MAX by one upstream: a dead one leaves room for the others */
#define DNS_VIA_SLOTS 64U	    /* counters; upstreams of equal slot modulo that share one */
#define DNS_VIA_LOCAL DNS_VIA_SLOTS /* of the resolvers that were there before */
#define DNS_VIA_RELAY (DNS_VIA_SLOTS + 1U)
#define DNS_SHARE_BUCKETS 1024U

/* ---- waiting for a constant time */

struct dns_wait {
	struct list_node node;
	uint64_t at_ms;
};

struct dns_queue {
	struct list waiting; /* the next one due first */
	struct loop_timer timer;
	struct loop *loop;
	uint32_t delay_ms;
	void (*over)(struct dns_wait *w); /* @w is out of the queue */
};

void dns_queue_init(struct dns_queue *q, struct loop *loop, uint32_t delay_ms,
		    void (*over)(struct dns_wait *w));
void dns_queue_fini(struct dns_queue *q);
int dns_queue_add(struct dns_queue *q, struct dns_wait *w); /* Return: 0; ST_ENOMEM */
static inline void dns_wait_init(struct dns_wait *w)
{
	list_node_init(&w->node);
}
static inline void dns_wait_end(struct dns_wait *w) /* in no queue is fine */
{
	list_del(&w->node);
}

/* ---- asks (dns_share.c) */

struct dns_share;

/* What came of an ask. Valid during the call. */
struct dns_result {
	int err; /* 0; ST_ETIMEOUT; ST_ECLOSED; ST_EFORMAT: an answer that can't be read */
	struct dns_answer *answer; /* with err 0, but not of a raw ask */
	const uint8_t *raw;	   /* with err 0 of a raw ask */
	size_t raw_len;
	const char *text; /* with err: why, made safe */
};

struct dns_want {
	struct list_node node; /* of its share; in none: linked to itself */
	struct dns_share *share;
	uint64_t deadline_ms;
	void (*done)(struct dns_want *w, const struct dns_result *r); /* out of its share by then */
};

/** dns_want_start() - asks for @key, or joins who asks already. Never calls done() itself
 * @via: as in @key. Return: 0; ST_EFULL; ST_ENOMEM; ST_ECLOSED: there are no resolvers */
int dns_want_start(struct dns *d, struct dns_want *w, const struct dns_key *key,
		   const struct dns_via *via);
/** dns_want_raw() - hands @msg on as it is, for this want alone */
int dns_want_raw(struct dns *d, struct dns_want *w, const uint8_t *msg, size_t len,
		 const struct dns_via *via);
/** dns_want_leave() - @keep: the ask goes on for the cache's sake, else it ends with its last want. In no share is fine */
void dns_want_leave(struct dns *d, struct dns_want *w, bool keep);
void dns_shares_free(struct dns *d); /* without callbacks */

/* ---- the whole */

enum dns_party_kind { DNS_PARTY_QUERY, DNS_PARTY_RESOLVE };

/* The head of what the handle table holds. */
struct dns_party {
	struct dns *d;
	handle h;
	enum dns_party_kind kind;
	struct dns_wait budget;
	uint8_t via_slot; /* an upstream's modulo DNS_VIA_SLOTS, or DNS_VIA_* */
};

struct dns_pipes;
struct dns_forwards;

struct dns {
	struct dns_opts opts;
	struct dns_pipes *pipes;
	struct dns_forwards *forwards;
	size_t n_forwarders;
	struct dns_cache *cache;
	struct dns_fakes *fakes;
	struct hnd_table parties; /* struct dns_party */
	uint32_t by_via[DNS_VIA_RELAY + 1];
	struct list shares[DNS_SHARE_BUCKETS];
	struct list raw_shares;
	uint32_t n_shares, seed;
	struct dns_queue budgets; /* dns_party.budget */
	struct dns_queue known;	  /* queries whose name has a fake address */
	struct dns_queue grace;	  /* resolves that have addresses of one family */
	struct dns_stats stats;	  /* the counters of it */
	uint8_t out
		[DNS_OUT_MAX]; /* the answer that is being handed to an asker; he may make new queries when he has read it */
};

/** dns_party_add() - Return: 0; ST_EFULL: DNS_PENDING_MAX or DNS_VIA_MAX; ST_ENOMEM */
int dns_party_add(struct dns *d, struct dns_party *p, enum dns_party_kind kind,
		  const struct dns_via *via);
void dns_party_del(struct dns_party *p); /* not added is fine */

void dns_query_over(struct dns_party *p); /* its budget is over */
void dns_query_known_over(struct dns_wait *w);
void dns_query_free(struct dns_party *p); /* without a reply */
void dns_resolve_over(struct dns_party *p);
void dns_resolve_grace_over(struct dns_wait *w);
void dns_resolve_free(struct dns_party *p);

#endif
