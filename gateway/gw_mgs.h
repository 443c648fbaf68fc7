// SPDX-License-Identifier: MIT
/*
 * gw_mgs.h - the message gateway service as stock agents see it: control channels and the making of
 * data channels; ssm-protocol 7 and 8
 */
#ifndef GATEWAY_GW_MGS_H
#define GATEWAY_GW_MGS_H

#include <jansson.h>

#include "gateway/gw_internal.h"

#define GWM_CHANNELS_MAX 4096U /* ours: instances with a control channel or a token for one */
#define GWM_UNOPENED_MAX 256U  /* ours: sockets that have not sent an open message yet */
#define GWM_OPEN_MS 10000U     /* a socket must send its open message */
#define GWM_SILENT_MS 180000U  /* ours: three pings of the agent (54 s) did not come */
#define GWM_STARTS_MAX 4096U   /* ours: sessions whose agent has not answered yet */
#define GWM_START_BYTES_MAX                                                                        \
	MIB(16) /* ours: of their messages together; one with a long command has 300 KiB */

int gwm_new(struct gwm **out, struct gw *gw);
void gwm_free(struct gwm *m);

/** gwm_post_control(), gwm_post_data() - CreateControlChannel and CreateDataChannel; always answered */
void gwm_post_control(struct gw_listener *l, ws_req r, const struct ws_request *req);
void gwm_post_data(struct gw_listener *l, ws_req r, const struct ws_request *req);
/** gwm_upgrade() - a WebSocket upgrade on /v1/control-channel/…; as ws_server_events.upgrade */
int gwm_upgrade(struct gw_listener *l, ws_req r, const struct ws_request *req,
		const struct ws_events **events, void **events_arg);

/** gwm_is_online() - as gwa_is_online() */
bool gwm_is_online(const struct gwm *m, const char *uid, int64_t *last_seen);

/* A session that the agent shall begin. All is borrowed until return. */
struct gwm_start {
	const char *uid, *session_id, *owner, *document;
	const json_t *
		params; /* StartSession's; document and params have passed gw_document_check_stock() */
};

/**
 * gwm_session_start() - interactive_shell on the agent's control channel, and again (the same message) after 2, 4 and
 * 8 s as long as the agent makes no data channel: shortly after its start it may drop one without a word
 * Return: 0; ST_ENOENT if it is not online; ST_EFULL, also if it does not read what it is sent; ST_ENOMEM;
 * ST_ECLOSED
 */
int gwm_session_start(struct gwm *m, const struct gwm_start *o);
/** gwm_session_end() - the agent need not begin it any more; with @closed, a channel_closed message, it is told */
void gwm_session_end(struct gwm *m, const char *uid, const char *session_id, const uint8_t *closed,
		     size_t len);

#endif
