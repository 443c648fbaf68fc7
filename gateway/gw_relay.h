// SPDX-License-Identifier: MIT
/* gw_relay.h - carries messages between the two sockets of a session, either of which may be missing */
#ifndef GATEWAY_GW_RELAY_H
#define GATEWAY_GW_RELAY_H

#include "gateway/gw_internal.h"

enum gw_side { GW_CLIENT, GW_AGENT, GW_SIDE_N };

static inline enum gw_side gw_other(enum gw_side side)
{
	return side == GW_CLIENT ? GW_AGENT : GW_CLIENT;
}

struct gw_relay_end {
	ws_conn conn;	  /* 0: none now */
	struct list held; /* messages for this side that its socket did not take yet */
	size_t held_bytes;
	bool stopped;	      /* we do not read from it: the other side is slow */
	uint64_t carried;     /* bytes that went through its socket, either way; for cut-after */
	struct gwf_dir fault; /* messages from this side that wait */
	uint32_t
		unacked; /* stream messages from this side without an acknowledge; counted with faults only */
	bool told_pause;
};

struct gw_relay {
	struct gw *gw;
	struct gw_relay_end end[GW_SIDE_N];
	struct loop_timer timer; /* faults: the next message that is due */
	/* a fault cuts this side's socket; the owner drops it */
	void (*cut)(void *arg, enum gw_side side);
	void *arg;
};

void gw_relay_init(struct gw_relay *r, struct gw *gw, void (*cut)(void *arg, enum gw_side side),
		   void *arg);
void gw_relay_fini(struct gw_relay *r);
/** gw_relay_attach() - @conn is this side's socket from now on; what was held for it is sent */
void gw_relay_attach(struct gw_relay *r, enum gw_side side, ws_conn conn);
void gw_relay_detach(struct gw_relay *r, enum gw_side side);
/** gw_relay_message() - a binary message of side @from; borrowed until return */
void gw_relay_message(struct gw_relay *r, enum gw_side from, const uint8_t *p, size_t len);
/** gw_relay_deliver() - a message for side @to, behind what waits for it: also the gateway's own words */
void gw_relay_deliver(struct gw_relay *r, enum gw_side to, const uint8_t *p, size_t len);
/** gw_relay_writable() - the side's socket takes messages again */
void gw_relay_writable(struct gw_relay *r, enum gw_side side);
/** gw_relay_is_drained() - all messages for @side were given to a socket */
bool gw_relay_is_drained(const struct gw_relay *r, enum gw_side side);

#endif
