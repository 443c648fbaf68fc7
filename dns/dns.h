// SPDX-License-Identifier: MIT
/*
 * dns.h - split DNS: queries in, answers out; who may answer a name is the caller's judgement
 *
 * A query comes from the stack's own address (router hands it in) and is answered exactly once: by a fake address, by the resolver of
 * an upstream over one kept, pipelined TCP channel, by the resolvers that this machine had before, or by an error. Nothing here
 * blocks the loop or delays another name: each name under way has its own budget, at whose end it is answered SERVFAIL. Wire format by
 * ldns, whose types stop here. Contract: design, decision 12.
 */
#ifndef DNS_DNS_H
#define DNS_DNS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/addr.h"
#include "base/handle.h"
#include "base/loop.h"

#define DNS_NAME_MAX                                                                               \
	254U /* bytes of a name as text without its last dot, and NUL; RFC 1035, 2.3.4 */
#define DNS_MESSAGE_MAX 65535U /* bytes; over TCP */
#define DNS_UDP_MAX                                                                                \
	4096U /* bytes of a message over UDP that we take, and the EDNS size that we announce; design, section 8 */
#define DNS_PENDING_MAX                                                                            \
	1024U /* queries under way, also those that wait for another's answer; beyond: SERVFAIL at once */
#define DNS_PIPES_MAX                                                                              \
	64U /* kept channels to resolvers, half of them at most for relays; beyond: the one idle for longest is closed */
#define DNS_CACHE_BYTES MIB(4) /* of cached answers; beyond: the least recently used go */
#define DNS_FAKES_MAX                                                                              \
	65280U /* fake addresses: 198.18.1.0 to 198.18.255.255; then the least recently used that no flow holds */
#define DNS_FORWARDERS_MAX 8U /* resolvers that the machine had before */
#define DNS_ADDRS_MAX 32U     /* addresses of a name that are handed on */
#define DNS_BUDGET_MS 10000U  /* a name that is not resolved by then is answered SERVFAIL */
#define DNS_FAKE_TTL_S 1U

/* ---- a byte stream to a resolver behind an upstream, whatever carries it; as router's sides */

struct dns_stream_ops {
	ssize_t (*read)(void *owner, handle h, uint8_t *buf,
			size_t cap); /* bytes; 0 end; ST_EAGAIN; ST_ECLOSED */
	size_t (*room)(void *owner, handle h);
	int (*write)(void *owner, handle h, const uint8_t *p,
		     size_t len);	      /* all of @len, at most room(); 0; ST_ECLOSED */
	void (*close)(void *owner, handle h); /* in any state; no event follows */
};

struct dns_stream {
	const struct dns_stream_ops *ops; /* NULL: none */
	void *owner;
	handle h;
};

/* From the loop, never from inside dial() or an op. */
struct dns_stream_events {
	void (*opened)(void *arg);
	void (*failed)(void *arg, const char *text); /* the last event; @text: why, made safe */
	void (*io)(void *arg);			     /* bytes wait, or there is room again */
	void (*gone)(void *arg);		     /* the last event */
};

/* ---- what dns asks of its caller */

/* A resolver as an upstream's far side sees it. */
struct dns_via {
	uint32_t upstream; /* a slot of the caller's */
	struct net_endpoint resolver;
	bool relay; /* dns sets it: whoever asked named the resolver; such are held to a part of what there is */
};

enum dns_way {
	DNS_LOCAL,    /* the resolvers that were there before; REFUSED without any */
	DNS_UPSTREAM, /* @via's resolver */
	DNS_NONE,     /* no such name for us: NXDOMAIN (reject and drop rules) */
};

struct dns_verdict {
	enum dns_way way;
	struct dns_via via; /* with DNS_UPSTREAM */
	bool fake; /* A and AAAA are answered by fake addresses once the resolver said that the name has addresses */
	bool ipv6; /* AAAA is answered; else NODATA */
	bool unruled; /* no rule holds the name: what may not be its address is dns: {rebind: block}'s */
};

struct dns_hooks {
	/* the rule of @name: lower case, without its last dot, A-labels; "" is the root, and a byte that no host name has is \001 */
	void (*judge)(void *arg, const char *name, struct dns_verdict *out);
	/* connect to a resolver by TCP. Return: 0 and *@out; ST_ENOMEM; ST_ENOENT (no such upstream now) */
	int (*dial)(void *arg, const struct dns_via *via, struct dns_stream *out,
		    const struct dns_stream_events *events, void *events_arg);
	/* an answer that is not fake gives @addr for @name, good for @ttl_s: whatever must stand before the answer leaves.
	 * Return: 0; a negative ST_E*: this answer becomes SERVFAIL */
	int (*learned)(void *arg, const char *name, const struct dns_via *via,
		       const struct net_addr *addr, uint32_t ttl_s);
	/* is @addr inside a prefix that we route? (dns: {rebind: block}) */
	bool (*routed)(void *arg, const struct net_addr *addr);
	/* does a flow go to this fake address now? Such a one is not given to another name. NULL: no */
	bool (*in_use)(void *arg, const struct net_addr *fake);
};

struct dns_opts {
	struct loop *loop;
	const struct dns_hooks *hooks; /* borrowed for life */
	void *arg;
	struct net_prefix fake4; /* a /16: its first 256 addresses are not used */
	struct net_prefix
		fake6; /* a /64 of ours, made once and kept; fake addresses are its ::1:0:0 to ::1:0:ffff; family 0: no IPv6 */
	const char *map_path; /* the fake map's file, kept over restarts; NULL: not kept */
	uint32_t mark;	      /* SO_MARK of our sockets */
	uint32_t budget_ms;   /* 0: DNS_BUDGET_MS */
	size_t cache_bytes;   /* 0: DNS_CACHE_BYTES */
	bool rebind_block;
};

struct dns;

/** dns_new() - reads the fake map: damaged lines are left out and told, one of another kind or range is told, set aside (PATH.old) and begun
 * anew, one that may not be read is told and then not kept. Return: 0; ST_ENOMEM */
int dns_new(struct dns **out, const struct dns_opts *opts);
void dns_free(
	struct dns *d); /* no reply follows; the map is written if it has changed. NULL is fine */

/** dns_set_forwarders() - the resolvers that were there before, in their order; addresses of our own must not be among them */
void dns_set_forwarders(struct dns *d, const struct net_endpoint *v, size_t n);
/** dns_rules_changed() - judge() may say otherwise from now on: cached answers that it gave are forgotten, queries under way go on */
void dns_rules_changed(struct dns *d, bool rebind_block);
/** dns_network_changed() - another network may be another 192.168.1.1: what the resolvers that were there before said is forgotten */
void dns_network_changed(struct dns *d);
/** dns_upstream_gone() - upstream slot @upstream is retired: its pipes are closed, its cached answers forgotten */
void dns_upstream_gone(struct dns *d, uint32_t upstream);

/* ---- queries */

/* How a query came. */
struct dns_ask {
	bool tcp; /* else the answer is cut to what the asker's EDNS allows, with TC */
	bool no_fake; /* the asker may not use our routes: it gets what it would get without us (DNS_LOCAL) */
	bool relay; /* asked of @relay_to, an address inside a routed prefix: handed to it as it is, whatever the name's rule */
	struct dns_via relay_to;
};

/* The answer: @len bytes, valid during the call or until a dns_query() inside it; 0: none is due (what has no header, an answer, or no memory).
 * A budget that is over is answered SERVFAIL, or by the fake address that the name has. */
typedef void dns_reply_fn(void *arg, const uint8_t *msg, size_t len);

/**
 * dns_query() - one message as it came
 * @reply: called exactly once, maybe before dns_query() returns; not after dns_cancel(). Garbage that has no header is answered by len 0,
 * what has one and can't be parsed by FORMERR, what we don't do (other opcodes and classes, zone transfers) by NOTIMP or REFUSED.
 * Return: a handle for dns_cancel(), 0 if @reply was called already
 */
handle dns_query(struct dns *d, const uint8_t *msg, size_t len, const struct dns_ask *ask,
		 dns_reply_fn *reply, void *arg);
void dns_cancel(struct dns *d, handle h); /* stale is fine */

/* Addresses in the order to be tried, those that nothing may open (decision 13) left out; @err: 0; ST_ENOENT no such name, or none
 * with an address; ST_EPERM only forbidden addresses; ST_ETIMEOUT; ST_ECLOSED. @text: for a log line, made safe; "" with 0 */
typedef void dns_addrs_fn(void *arg, int err, const struct net_addr *addrs, size_t n,
			  const char *text);

/** dns_resolve() - A and AAAA of @name by @via, NULL: by the resolvers that were there before; from the cache if it has them
 * @done: exactly once, from the loop or before the return. Return as dns_query() */
handle dns_resolve(struct dns *d, const char *name, const struct dns_via *via, dns_addrs_fn *done,
		   void *arg);

/* ---- fake addresses */

/** dns_is_fake() - is @a in the range that fake addresses are taken from? */
bool dns_is_fake(const struct dns *d, const struct net_addr *a);
/** dns_fake_name() - whose fake address is @a? NULL: nobody's (any more). Valid until the loop goes on */
const char *dns_fake_name(struct dns *d, const struct net_addr *a);
/** dns_fake_of() - the fake address of @name, if it has one (explain, status). Return: 0; ST_ENOENT */
int dns_fake_of(const struct dns *d, const char *name, uint8_t family, struct net_addr *out);

struct dns_stats {
	uint64_t queries, garbage, cached, faked, forwarded, relayed, by_upstream, failed, refused,
		dropped;
	uint32_t pending, fakes, pipes;
	size_t cache_entries, cache_bytes;
};
void dns_stats(const struct dns *d, struct dns_stats *out);

#endif
