// SPDX-License-Identifier: MIT
/* dns_forward_internal.h - what dns_forward.c (resolvers, turns), dns_forward_ask.c (one ask) and dns_forward_net.c (its sockets) ask of each other */
#ifndef DNS_DNS_FORWARD_INTERNAL_H
#define DNS_DNS_FORWARD_INTERNAL_H

#include "base/buf.h"
#include "base/list.h"
#include "dns/dns_internal.h"

#define FORWARD_ASKS_MAX (2U * DNS_PENDING_MAX) /* a query may want both A and AAAA */
#define FORWARD_BYTES_MAX MIB(1)		/* of questions under way, ours */
#define FORWARD_AT_ONCE_MAX                                                                        \
	192U /* asks that have sockets, two at most each; the others wait. Ours: below the usual 1,024 descriptors */
#define FORWARD_YIELD_MS                                                                           \
	2000U /* at that maximum one that has waited for so long gives way to a new one, ours */
#define FORWARD_SILENCE_MS 1000U /* then the next resolver is asked, ours */
#define FORWARD_TCP_MS 2000U	 /* for a whole answer over TCP, ours */
#define FORWARD_PROBE_MS 30000U	 /* a resolver that is down is asked now and then, ours */

struct fwd_resolver {
	struct net_endpoint at;
	bool down; /* it was silent for FORWARD_SILENCE_MS, or unreachable, and has not answered since */
	uint64_t heard_ms, probe_at_ms;
};

/* UNTRIED -> ASKED -> FAILED; back to UNTRIED when the socket that it could answer to is closed. */
enum fwd_state { FWD_UNTRIED, FWD_ASKED, FWD_FAILED };

struct fwd_try {
	struct net_endpoint at;
	enum fwd_state state;
	uint64_t asked_ms;
};

struct fwd_sock {
	int fd; /* -1: none */
	loop_watch watch;
};

enum { FWD_UDP4, FWD_UDP6, FWD_TCP, FWD_SOCK_N };

struct fwd_ask {
	handle h;
	struct dns_forwards *f;
	struct list_node node; /* waiting or active */
	bool active;	       /* else it has no sockets yet */
	uint64_t began_ms;     /* when it became active */
	uint64_t deadline_ms;
	struct loop_timer timer; /* the next resolver, the end of TCP's time, or the end */
	struct fwd_try tries[DNS_FORWARDERS_MAX];
	uint32_t n_tries, next, tcp_try;
	struct fwd_sock socks[FWD_SOCK_N];
	struct buf in, out; /* TCP */
	uint16_t id;
	uint8_t *kept; /* the last SERVFAIL or REFUSED; NULL: none */
	size_t kept_len;
	char text[192];	     /* why the last try failed */
	dns_answer_fn *done; /* NULL: a probe */
	void *arg;
	size_t len;
	uint8_t msg[]; /* as it came */
};

struct dns_forwards {
	struct loop *loop;
	const struct dns_opts *opts;
	struct hnd_table asks;
	size_t bytes;		     /* of their messages */
	struct list waiting, active; /* in the order of coming and of beginning */
	uint32_t n_active;
	struct loop_task begin;	 /* those that wait */
	struct loop_timer yield; /* when one can give way to them */
	struct fwd_resolver resolvers[DNS_FORWARDERS_MAX];
	size_t n_resolvers;
	uint64_t ignored;
	uint8_t in[DNS_MESSAGE_MAX]; /* a datagram */
};

/* ---- dns_forward_net.c: each of these may end in a call of those below, but for fwd_udp_send() and fwd_close() */

/** fwd_udp_send() - the question to @t. Return: 0; ST_ESYS with @ask->text */
int fwd_udp_send(struct fwd_ask *ask, const struct fwd_try *t);
/** fwd_tcp_start() - the question to try @i over TCP; the sockets of UDP are closed. Return as fwd_udp_send() */
int fwd_tcp_start(struct fwd_ask *ask, uint32_t i);
void fwd_close(struct fwd_ask *ask, unsigned sock); /* FWD_*; not open is fine */

/* ---- dns_forward.c */

bool fwd_same_endpoint(const struct net_endpoint *a, const struct net_endpoint *b);
/** fwd_resolver_find() - NULL: it is not in the list (any more) */
struct fwd_resolver *fwd_resolver_find(struct dns_forwards *f, const struct net_endpoint *at);
void fwd_resolver_down(struct dns_forwards *f, const struct net_endpoint *at, const char *why);
void fwd_resolver_heard(struct dns_forwards *f, const struct net_endpoint *at);

/* ---- dns_forward_ask.c; the ask may be gone after fwd_ask_go() and those below */

void fwd_ask_tries(struct fwd_ask *ask); /* the list as it is now, nobody asked */
void fwd_ask_go(struct fwd_ask *ask);	 /* asks the next resolver */
/** fwd_ask_restart() - by another list, soon: from the loop */
void fwd_ask_restart(struct fwd_ask *ask);
loop_fn fwd_ask_rings;			/* of its timer */
void fwd_ask_free(struct fwd_ask *ask); /* without a callback */
/** fwd_ask_give_up() - ends with what was kept, else with @err and @text */
void fwd_ask_give_up(struct fwd_ask *ask, int err, const char *text);

/** fwd_answer() - @msg came from @from over @sock; anything, not checked */
void fwd_answer(struct fwd_ask *ask, const struct net_endpoint *from, unsigned sock, uint8_t *msg,
		size_t len);
/** fwd_failed() - the resolver at @at can't be reached over @sock, or broke the connection: @text */
void fwd_failed(struct fwd_ask *ask, const struct net_endpoint *at, unsigned sock,
		const char *text);

#endif
