// SPDX-License-Identifier: MIT
/*
 * rt_side.h - one end of a flow, whatever carries it
 *
 * The pump knows nothing else: it asks one side for room and moves what the other side has. Each folder that
 * carries flows offers handle-based calls; the adapters in rt_side.c turn them into this table.
 */
#ifndef ROUTER_RT_SIDE_H
#define ROUTER_RT_SIDE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/handle.h"
#include "direct/direct.h"
#include "netstack/netstack.h"
#include "tunnel/tunnel.h"

struct rt_side_ops {
	/* bytes moved to @buf; 0 end of file; ST_EAGAIN nothing now; ST_ECLOSED the side has gone. Credit for
	 * what was moved flows back to the sender. */
	ssize_t (*read)(void *owner, handle h, uint8_t *buf, size_t cap);
	/* bytes that write() will surely take now */
	size_t (*room)(void *owner, handle h);
	/* all of @len, at most room(). 0, or a negative ST_E*: the side has gone */
	int (*write)(void *owner, handle h, const uint8_t *p, size_t len);
	/* end of file after what was written; reading goes on */
	void (*shutdown)(void *owner, handle h);
	/* away at once in any state, no event follows */
	void (*reset)(void *owner, handle h);
};

struct rt_side {
	const struct rt_side_ops *ops; /* NULL: this side has gone or never was */
	void *owner;		       /* the netstack, the upstream or direct */
	handle h;
};

struct rt_side rt_side_netstack(struct ns *ns, ns_conn c);
struct rt_side rt_side_tunnel(struct tnl_upstream *u, tnl_chan c);
struct rt_side rt_side_direct(struct dir *d, dir_conn c);

#endif
