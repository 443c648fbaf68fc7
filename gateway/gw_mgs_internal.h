// SPDX-License-Identifier: MIT
/* gw_mgs_internal.h - what gw_mgs.c (channels), gw_mgs_http.c (calls) and gw_mgs_start.c (sessions) share */
#ifndef GATEWAY_GW_MGS_INTERNAL_H
#define GATEWAY_GW_MGS_INTERNAL_H

#include "base/codec.h"
#include "base/list.h"
#include "gateway/gw_mgs.h"
#include "gateway/gw_token.h"
#include "proto/ssm_msg.h"

/* An instance: a token that waits, or a socket, or both. */
struct gwm_channel {
	struct list_node node;
	char uid[CODEC_UUID_STR], host_id[GW_NAME_MAX + 1];
	struct gw_token token;
	struct gwm_sock *sock; /* NULL: none that has opened */
};

struct gwm {
	struct gw *gw;
	struct list channels, socks, starts;
	uint32_t n_channels, unopened, n_starts;
	size_t start_bytes;
};

/** gwm_channel_get() - the instance's entry, made if need be. Return: NULL at GWM_CHANNELS_MAX or without memory */
struct gwm_channel *gwm_channel_get(struct gwm *m, const struct gw_agent_rec *rec);
/** gwm_send() - a binary message to the agent. Return: 0; ST_ENOENT if it is not online; as ws_send() */
int gwm_send(struct gwm *m, const char *uid, const uint8_t *p, size_t len);
/** gwm_msg_make() - a service's message with a fresh id around @payload. Return: its length and *@out, to be freed; ST_E* */
ssize_t gwm_msg_make(uint8_t **out, enum ssm_type type, const json_t *payload);

/* ---- gw_mgs_start.c ---- */

/** gwm_start_done() - the agent has answered, or the session is over */
void gwm_start_done(struct gwm *m, const char *session_id);
void gwm_starts_free(struct gwm *m);

#endif
