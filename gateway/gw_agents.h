// SPDX-License-Identifier: MIT
/* gw_agents.h - the agents' control connections, /ws/agent */
#ifndef GATEWAY_GW_AGENTS_H
#define GATEWAY_GW_AGENTS_H

#include <jansson.h>

#include "gateway/gw_internal.h"

#define GWA_FIRST_IDLE_MS 300000U /* nothing arrived on a connection that is not registered */
#define GWA_IDLE_MS 60000U	  /* nothing arrived on a registered one */
#define GWA_BAD_MAX 10U		  /* messages in a row that do not parse */
#define GWA_BOOT_ID_MAX 64U	  /* ours: characters of X-Agent-Boot-Id */

int gwa_new(struct gwa **out, struct gw *gw);
void gwa_free(struct gwa *a);

/** gwa_upgrade() - a WebSocket upgrade on /ws/agent; as ws_server_events.upgrade */
int gwa_upgrade(struct gwa *a, ws_req r, const struct ws_request *req, bool tls,
		const struct ws_events **events, void **events_arg);

/** gwa_is_online() - has agent @uid a registered connection? *@last_seen (Unix seconds, may be NULL) is of its last message */
bool gwa_is_online(const struct gwa *a, const char *uid, int64_t *last_seen);
/** gwa_boot_id() - of the online agent, "" if it told none; valid until the loop goes on */
const char *gwa_boot_id(const struct gwa *a, const char *uid);
/** gwa_request() - send a request to the agent. Return: 0; ST_ENOENT if it is not online; ST_ENOMEM */
int gwa_request(struct gwa *a, const char *uid, const char *channel, const json_t *body);
/** gwa_data_url() - where this agent opens the data channel of @session_id: the address at which it
 * reached us. To be freed; NULL if it is not online */
char *gwa_data_url(const struct gwa *a, const char *uid, const char *session_id);
/** gwa_connections() - open connections, registered or not */
uint32_t gwa_connections(const struct gwa *a);

#endif
