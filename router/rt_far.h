// SPDX-License-Identifier: MIT
/*
 * rt_far.h - from a destination to a side that has connected: by name or by address, through an upstream or direct
 *
 * Used by flows, and by the probe that a ping waits for.
 */
#ifndef ROUTER_RT_FAR_H
#define ROUTER_RT_FAR_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/list.h"
#include "base/loop.h"
#include "netstack/netstack.h"
#include "router/rt_side.h"

#define RT_FAR_NEXT_MS                                                                             \
	250U /* the next address is begun when the former has not answered by then; RFC 8305, 5 */
#define RT_FAR_TRIES_MAX 8U /* begun and unanswered at a time, of one name; ours */
#define RT_FAR_RETRY_MS                                                                            \
	1000U /* ours: a name is asked for again, while its upstream waits for a login or for its first session */

struct rt;
struct rt_far;

/* Why nothing was reached. */
enum far_failure {
	FAR_REFUSED,
	FAR_HOST_UNREACHABLE,
	FAR_NET_UNREACHABLE,
	FAR_PROHIBITED,
	FAR_TIMEOUT,
	FAR_NO_SESSION,
	FAR_LIMIT,
	FAR_FAILED,
	FAR_NO_NAME,   /* the name has no address (any more) */
	FAR_NO_ANSWER, /* nobody said in time which */
	FAR_FORBIDDEN, /* only such as nothing may open (decision 13) */
	FAR_FAILURE_N
};

/* opening() and failed() also from inside rt_far_open(); else from the loop. */
struct rt_far_events {
	void (*opening)(void *arg); /* the name, if there is one, has addresses; connecting now */
	void (*opened)(void *arg);  /* far->side is there */
	void (*failed)(void *arg, enum far_failure why,
		       const char *text); /* the last event; @text: foreign, may be NULL */
	void (*io)(void *arg);
	void (*gone)(void *arg); /* the last event; far->side is not there any more */
};

struct rt_far_target {
	struct net_endpoint dst; /* as the application sees it */
	struct net_endpoint src;
	const char
		*name; /* borrowed for as long as the far end lives; NULL: @dst itself is opened */
	bool direct;
	uint32_t upstream; /* slot; not with @direct */
	bool any; /* a rule names the very address: it may be one that is never opened otherwise */
};

struct far_try;

struct rt_far {
	struct rt *rt;
	const struct rt_far_events *events;
	void *arg;
	struct rt_far_target to;
	struct rt_side side; /* the one that opened; ops NULL before, and after gone() */
	/* below: rt_far.c's */
	uint64_t query; /* handle of dns_resolve(); 0: none */
	struct loop_timer timer;
	uint64_t since_ms;	/* of the asking */
	uint64_t open_ms;	/* when the first address was begun; 0: none yet */
	struct net_addr *addrs; /* of the name */
	uint8_t n_addrs, next;
	struct list tries;
	uint8_t n_tries;
	enum far_failure best; /* what is told if the rest fails, too */
	bool failed_before;
};

/** rt_far_open() - towards @to, which is copied; @far: the caller holds it until rt_far_close() */
void rt_far_open(struct rt_far *far, struct rt *r, const struct rt_far_target *to,
		 const struct rt_far_events *events, void *arg);
/** rt_far_close() - in any state, also after the last event and on zeroed memory: whatever is under way is given up; no event follows */
void rt_far_close(struct rt_far *far);

/** far_failure_refusal() - how @why looks to the application; design, section 3 and decision 5 */
enum ns_refusal far_failure_refusal(enum far_failure why);
const char *far_failure_text(enum far_failure why);

#endif
