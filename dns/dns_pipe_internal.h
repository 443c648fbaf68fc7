// SPDX-License-Identifier: MIT
/* dns_pipe_internal.h - what dns_pipe.c (asks), dns_pipe_resolver.c and dns_pipe_chan.c (one channel) ask of each other */
#ifndef DNS_DNS_PIPE_INTERNAL_H
#define DNS_DNS_PIPE_INTERNAL_H

#include "base/buf.h"
#include "base/list.h"
#include "dns/dns_internal.h"

#define PIPE_ASKS_MAX (2U * DNS_PENDING_MAX) /* a query may want both A and AAAA */
#define PIPE_BYTES_MAX MIB(1)		     /* of questions under way, ours */
#define PIPE_CHANS_MAX 4U		     /* to one resolver, ours */
#define PIPE_RELAYS_MAX                                                                            \
	(DNS_PIPES_MAX /                                                                           \
	 2U) /* to resolvers that only relays ask, ours: a search for name servers leaves room for names */
#define PIPE_STALL_MS                                                                              \
	1000U /* a channel with questions that says nothing for so long is passed by */
#define PIPE_IDLE_MS 60000U  /* then it is closed; RFC 7766, 6.2.3: "seconds to minutes" */
#define PIPE_BACKOFF_MS 100U /* after a failure no dial for so long, doubled by each */
#define PIPE_BACKOFF_MAX_MS 2000U
#define PIPE_ID_BUCKETS 64U /* of a channel's questions by id */

struct pipe_ask;
struct pipe_chan;

struct pipe_resolver {
	struct list_node node; /* dns_pipes.resolvers */
	struct dns_via via;    /* relay: nothing but relays has asked it */
	struct list chans, asks;
	uint32_t n_chans;
	uint64_t retry_at_ms; /* no dial before */
	uint32_t backoff_ms;  /* 0: what was dialled last has answered */
	char text[160];	      /* why it could not be reached, made safe */
};

/* A question on a channel: an ask has one, or more once it was asked beside a channel that stalled. */
struct pipe_flight {
	struct list_node node, by_id; /* chan's unsent or sent; its bucket */
	struct pipe_chan *chan;	      /* NULL: not used */
	struct pipe_ask *ask;
	uint16_t id;
};

struct pipe_ask {
	handle h;
	struct dns_pipes *pipes;
	struct pipe_resolver *r; /* NULL: ended, and to be told */
	struct list_node node;	 /* r->asks, or dns_pipes.ended */
	struct pipe_flight flights[PIPE_CHANS_MAX];
	struct loop_timer deadline;
	unsigned losses; /* channels that were lost with it */
	int err;
	char *text; /* with err; NULL: there was no memory for it */
	dns_answer_fn *done;
	void *arg;
	size_t len;
	uint8_t msg[]; /* as it came */
};

struct dns_pipes {
	struct loop *loop;
	const struct dns_opts *opts;
	struct hnd_table asks;
	size_t bytes; /* of their messages */
	struct list resolvers, ended;
	uint32_t n_resolvers, n_chans;
	struct list dead; /* channels, until the reaper comes */
	uint64_t ignored;
	struct loop_task tell, reap;
};

/* A channel. DIALING: waits for opened() or failed(), questions gather. OPEN: they go out as there is room. DEAD: its stream has gone and it
 * has no questions; the reaper frees it. */
enum pipe_chan_state { PIPE_DIALING, PIPE_OPEN, PIPE_DEAD };

struct pipe_chan {
	struct list_node node; /* resolver's chans, or dns_pipes.dead */
	struct dns_pipes *pipes;
	struct pipe_resolver *r;
	struct dns_stream stream;
	enum pipe_chan_state state;
	bool stalled;	/* said nothing for PIPE_STALL_MS although it was asked; until it speaks */
	bool answered;	/* has ever */
	struct buf in;	/* at most a frame and a read */
	struct buf out; /* at most a frame, or PIPE_BATCH of small ones */
	struct list unsent, sent; /* flights, in the order of asking */
	struct list by_id[PIPE_ID_BUCKETS];
	uint32_t n_flights;
	uint64_t heard_ms; /* last frame, or when its questions began */
	uint64_t used_ms;
	struct loop_timer timer; /* stall or idle; may be early, then it looks again */
	struct loop_task flush;
};

/* ---- dns_pipe_chan.c */

/** pipe_chan_new() - dials. Return: 0 and *@out, listed with @r; ST_ENOMEM or what dial() said */
int pipe_chan_new(struct dns_pipes *p, struct pipe_resolver *r, struct pipe_chan **out);
/** pipe_chan_kill() - closes it; it must have no flights. DEAD is fine */
void pipe_chan_kill(struct pipe_chan *ch);
/** pipe_chan_add() - @f will be sent at the end of this turn, with an id that no other of the channel's has */
void pipe_chan_add(struct pipe_chan *ch, struct pipe_flight *f);
/** pipe_flight_off() - nobody waits for it any more; not used is fine. A stalled channel without other flights is closed */
void pipe_flight_off(struct pipe_flight *f);
void pipe_chan_free(struct pipe_chan *ch); /* a DEAD one */

/* ---- dns_pipe_resolver.c */

/** pipe_resolver_get() - Return: 0 and *@out, which has a channel, pauses, or may have one; ST_EFULL; ST_ENOMEM */
int pipe_resolver_get(struct dns_pipes *p, const struct dns_via *via, struct pipe_resolver **out);
void pipe_resolver_free(struct dns_pipes *p, struct pipe_resolver *r); /* it is unused */
bool pipe_resolver_unused(const struct pipe_resolver *r);
/** pipe_resolver_failed() - @text says why, made safe; the pause begins, twice as long as the last */
void pipe_resolver_failed(struct dns_pipes *p, struct pipe_resolver *r, const char *text);
bool pipe_resolver_pauses(const struct dns_pipes *p, const struct pipe_resolver *r);
/** pipe_chan_room() - is there room for one more channel? The one idle for longest gives way
 * @relay: to a resolver that only relays ask */
bool pipe_chan_room(struct dns_pipes *p, bool relay);

/* ---- dns_pipe.c, called by the channel */

/** pipe_answered() - @msg, whose id and question are right, answers @f; the channel may be DEAD afterwards */
void pipe_answered(struct pipe_flight *f, uint8_t *msg, size_t len);
/** pipe_refused() - the answer to @f is an error without its question: @text */
void pipe_refused(struct pipe_flight *f, const char *text);
/** pipe_chan_lost() - @text says why, made safe; the stream has gone, or is to be closed. The channel is DEAD afterwards */
void pipe_chan_lost(struct pipe_chan *ch, const char *text);
void pipe_chan_stalled(struct pipe_chan *ch);

#endif
