// SPDX-License-Identifier: MIT
/* gw_session.h - sessions and the relay between their two data channels; gateway.md, Sessions */
#ifndef GATEWAY_GW_SESSION_H
#define GATEWAY_GW_SESSION_H

#include <jansson.h>

#include "gateway/gw_internal.h"

#define GWS_SESSIONS_MAX 4096U /* ours */
#define GWS_UNOPENED_MAX 256U  /* ours: sockets that have not sent an open message yet */
#define GWS_OPEN_MS 10000U     /* a socket must send its open message; gateway.md */
#define GWS_SILENT_MS 900000U  /* ours: three pings of the stock client (5 min) did not come */
#define GWS_START_MS 60000U /* both sides must have opened; a token that nobody used: GW_TOKEN_MS */
#define GWS_AGENT_GONE_MS 3000U	    /* both of its connections */
#define GWS_AFTER_RESTART_MS 60000U /* the same after our own restart */
#define GWS_STOCK_REOPEN_MS                                                                        \
	20000U /* a stock agent whose control channel is up and whose data socket is gone has given up (2.6): \
		* the longest pause between its tries is 5 s, and a call that hangs ends after 15 s */
#define GWS_STOCK_LAST_MS                                                                          \
	5000U /* ours: from agent_task_complete to the end of the data socket, which it closed before */
#define GWS_STOCK_CLOSE_MS                                                                         \
	10000U /* ours: from channel_closed to closing a stock agent's data socket */
#define GWS_CLIENT_GONE_MS 1200000U /* ours: the service's idle time-out, 20 minutes */
#define GWS_HELD_MAX MIB(4)	    /* bytes held for one side before the other is no longer read */
#define GWS_LINGER_MS                                                                              \
	60000U /* ours: an ended session keeps its last words for a client that comes late */

struct gws_ticket {
	char session_id[GW_SESSION_ID_STR];
	char token[GW_TOKEN_STR]; /* of the client's side */
	uint32_t max_payload;	  /* bytes */
};

struct gws_order {
	const struct gw_key_rec *key;
	const struct gw_agent_rec *agent;
	const char *document, *reason;
	const json_t *parameters; /* {"portNumber": ["22"]} */
};

/** gws_new() - with the sessions that the store says are active. Return: 0; ST_ENOMEM; ST_ESYS */
int gws_new(struct gws **out, struct gw *gw);
void gws_free(struct gws *all);

/** gws_start() - Return: 0 and *@out; ST_ENOENT if the agent is not online; ST_EFULL; ST_ESYS; ST_ENOMEM */
int gws_start(struct gws *all, const struct gws_order *order, struct gws_ticket *out);
/** gws_resume() - a fresh token for the client of a live session of @key_name. Return: 0; ST_ENOENT no such session of
 * that key; ST_ECLOSED it is over */
int gws_resume(struct gws *all, const char *id, const char *key_name, struct gws_ticket *out);
/** gws_terminate() - Return: 0, also if it is over; ST_ENOENT */
int gws_terminate(struct gws *all, const char *id, const char *key_name);

/** gws_status() - in the words of DescribeSessions: "Connecting" until both sides have opened, "Disconnected" while the
 * client has no socket, "Connected", "Terminated" (an unknown session too) */
const char *gws_status(struct gws *all, const char *id);

/** gws_upgrade() - a WebSocket upgrade on /v1/data-channel/…; @id: the last part of the path, still encoded.
 * @signer: whose key has signed it, NULL if nobody's; a stock agent must have */
int gws_upgrade(struct gws *all, const char *id, const struct gw_key_rec *signer,
		const struct ws_events **events, void **events_arg);

/* What the control connections tell. */
void gws_agent_up(struct gws *all, const char *uid, const char *boot_id);
void gws_agent_down(struct gws *all, const char *uid);
/** gws_agent_removed() - an operator has removed the agent, or the key that it uses: its sessions end. Called while its
 * control connection can still be told. */
void gws_agent_removed(struct gws *all, const char *uid);
/** gws_agent_ended() - session.end or agent_task_complete of agent @uid; @output is foreign text */
void gws_agent_ended(struct gws *all, const char *uid, const char *session_id, const char *output);
/** gws_agent_reopen() - a fresh token for the agent's side. Return: 0 and @token; ST_ENOENT if it is over or not its own */
int gws_agent_reopen(struct gws *all, const char *uid, const char *session_id,
		     char token[GW_TOKEN_STR]);
/** gws_stock_reopen() - the same for a stock agent whose call was signed by @key; also for its first opening.
 * Return: 0 and @token; ST_ENOENT if it is over, not a stock agent's, of a host that @key may not be, or of one that was removed */
int gws_stock_reopen(struct gws *all, const struct gw_key_rec *key, const char *session_id,
		     char token[GW_TOKEN_STR]);

#endif
