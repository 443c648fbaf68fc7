// SPDX-License-Identifier: MIT
/* gw_session_internal.h - what gw_session.c (life), gw_session_agent.c (agents) and gw_sock.c (sockets) share */
#ifndef GATEWAY_GW_SESSION_INTERNAL_H
#define GATEWAY_GW_SESSION_INTERNAL_H

#include <sys/types.h>

#include "base/codec.h"
#include "base/handle.h"
#include "gateway/gw_relay.h"
#include "gateway/gw_session.h"
#include "gateway/gw_token.h"

#define GWS_CHANNEL_CLOSED_MAX                                                                     \
	1200U /* bytes of the message; its longest Output is that of a record */

enum gws_state { GWS_STARTING, GWS_RUNNING, GWS_ENDED, GWS_STATE_N };

struct gws_side {
	struct gw_token token;
	struct gws_sock *sock; /* NULL: none now */
	bool opened;	       /* it had a socket once */
	uint64_t gone_ms;      /* since when it has none */
};

struct gws_session {
	struct gws *all;
	handle h;
	enum gws_state state;
	struct gw_session_rec rec;
	uint32_t max_payload;
	bool stock; /* the agent is a stock amazon-ssm-agent */
	/* stock: agent_task_complete came at last_words_ms (0: not yet) while its data socket may hold more */
	uint64_t last_words_ms;
	char last_words[sizeof(((struct gw_session_rec *)0)->output)];
	struct gws_side side[GW_SIDE_N];
	struct gw_relay relay;
	struct loop_timer timer;
	uint64_t state_ms; /* when this state began */
	uint64_t
		agent_gone_ms; /* since when both connections of the agent are gone; 0: they are not */
	uint64_t agent_grace_ms; /* how long they may be */
	uint64_t
		agent_up_ms; /* when its control connection came up last, as far as the session saw it */
};

struct gws_sock {
	struct list_node node;
	struct gws *all;
	ws_conn conn;
	char id[GW_SESSION_ID_STR]; /* of the path */
	handle session;		    /* 0: no open message yet, or replaced */
	enum gw_side side;
	char instances[GW_NAME_MAX +
		       1];	 /* glob of the agent's key that signed the upgrade; "": none has */
	bool over;		 /* being closed: nothing it says counts */
	bool unopened;		 /* it counts as such in gws.unopened */
	uint64_t last_rx_ms;	 /* anything, pings included */
	struct loop_timer timer; /* for the open message, then for silence */
};

struct gws {
	struct gw *gw;
	struct hnd_table table;
	struct list socks;
	uint32_t unopened;
};

static inline uint64_t gws_now(const struct gws *all)
{
	return loop_now_ms(all->gw->loop);
}

/* ---- gw_session.c ---- */

/** gws_session_find() - NULL if there is none */
struct gws_session *gws_session_find(struct gws *all, const char *id);
void gws_session_free(struct gws_session *s);
/** gws_session_opened() - a side has its socket; gws_session_lost() - it has none any more. The latter may free @s. */
void gws_session_opened(struct gws_session *s);
void gws_session_lost(struct gws_session *s, enum gw_side side);
/** gws_session_end() - @output: harmless text for the client, "" for an ordinary end; @who: for the audit log. Nothing if it
 * has ended. */
void gws_session_end(struct gws_session *s, const char *output, const char *who);
/** gws_session_note_agent() - a connection of the agent has come or gone; gws_session_arm() - a limit has changed */
void gws_session_note_agent(struct gws_session *s);
void gws_session_arm(struct gws_session *s);
/** gws_channel_closed_make() - the message that ends the session. Return: its length; ST_E* */
ssize_t gws_channel_closed_make(struct gws_session *s, const char *output,
				uint8_t out[GWS_CHANNEL_CLOSED_MAX]);
void gws_channel_closed_send(struct gws_session *s, enum gw_side to, const char *output);
/** gws_session_told() - closes the client's socket of an ended session that has everything */
void gws_session_told(struct gws_session *s);

/* ---- gw_session_agent.c ---- */

/** gws_agent_ask() - that it begin the session. Return: 0; ST_ENOENT if it is not online; ST_EFULL; ST_ENOMEM;
 * ST_ECLOSED */
int gws_agent_ask(struct gws_session *s, const struct gws_order *o);
/** gws_agent_tell() - that the session is over; its data socket is given up */
void gws_agent_tell(struct gws_session *s);

/* ---- gw_sock.c ---- */

/** gws_sock_close() - what it says does not count any more; it is freed when it is closed */
void gws_sock_close(struct gws_sock *k, uint16_t code, const char *reason);
/** gws_sock_leave() - what it says does not count any more, and the peer is given GWS_STOCK_CLOSE_MS to close it */
void gws_sock_leave(struct gws_sock *k);
/** gws_sock_cut() - at once and without a Close frame: the peer sees 1006 */
void gws_sock_cut(struct gws_sock *k, const char *why);
/** gws_side_detach() - the side has no socket any more */
void gws_side_detach(struct gws_session *s, enum gw_side side);
void gws_sock_drop_all(struct gws *all);

#endif
