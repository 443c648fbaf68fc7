// SPDX-License-Identifier: MIT
/* ag_connect.h - from a host and a port to a connected socket, without blocking */
#ifndef GATEWAY_AG_CONNECT_H
#define GATEWAY_AG_CONNECT_H

#include <sys/types.h>

#include "base/addr.h"
#include "base/loop.h"

#define AG_CONNECT_ADDRS                                                                           \
	8U /* ours: addresses of a name that are tried, in the order of the answer */
#define AG_CONNECT_MS 10000U /* ours: for a look-up, and for each address */
#define AG_LOOKUPS_MAX 64U   /* ours: look-ups at one time, a process each */

/** ag_connect_fn - how it ended: @fd is the receiver's, connected and non-blocking; or -1 and @err, an errno. Never
 * called from inside ag_connect_start(). May start or stop any. */
typedef void ag_connect_fn(void *arg, int fd, int err);

struct ag_connect { /* part of its owner's struct; stop it before that is freed */
	struct loop *loop;
	uint32_t *lookups; /* of the whole agent */
	ag_connect_fn *fn;
	void *arg;
	enum { AG_CONNECT_IDLE, AG_CONNECT_LOOKUP, AG_CONNECT_DIALING, AG_CONNECT_FAILED } state;
	int fd; /* the pipe of the look-up, or the socket; -1: none */
	loop_watch watch;
	pid_t child; /* looks up; 0: none */
	struct net_endpoint addr[AG_CONNECT_ADDRS];
	uint32_t n, next;
	int err; /* of the last address */
	struct loop_timer timer;
};

/** ag_connect_init() - @lookups: counts those of all connects together, at most AG_LOOKUPS_MAX */
void ag_connect_init(struct ag_connect *c, struct loop *loop, uint32_t *lookups, ag_connect_fn *fn,
		     void *arg);
/** ag_connect_start() - @host: "localhost" (both families), an address literal, or a name; @c must be idle.
 * Of a name's addresses those are not used that net_addr_is_local_only(), but for loopback */
void ag_connect_start(struct ag_connect *c, const char *host, uint16_t port);
/** ag_connect_stop() - nothing will be told; idle is fine */
void ag_connect_stop(struct ag_connect *c);
static inline bool ag_connect_is_idle(const struct ag_connect *c)
{
	return c->state == AG_CONNECT_IDLE;
}

#endif
