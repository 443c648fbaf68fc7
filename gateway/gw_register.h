// SPDX-License-Identifier: MIT
/* gw_register.h - the two-step registration, the same for WebSocket and HTTP; gateway.md, Registration */
#ifndef GATEWAY_GW_REGISTER_H
#define GATEWAY_GW_REGISTER_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "base/addr.h"
#include "gateway/gw_store.h"

#define GWR_LIFE_MS 300000U /* a registration id; gateway.md */
#define GWR_PENDING_MAX 1024U
#define GWR_RATE_MAX 10U /* init requests of one address in GWR_RATE_MS */
#define GWR_RATE_MS 60000U
#define GWR_SESSION_TOKEN_S 3600

struct gwr;

/* What the transport tells the agent. */
struct gwr_answer {
	int status;	     /* HTTP's: 200, 400, 401, 404, 409, 429, 500 */
	const char *code;    /* of the error message, NULL at 200; static */
	const char *message; /* static */
	json_t *body;	     /* at 200; the caller's */
	/* after a good complete: who it is */
	char agent_uid[CODEC_UUID_STR], host_id[GW_NAME_MAX + 1];
};

/** gwr_new() - @approve: new agents wait for an operator. @store is borrowed. Return: 0; ST_ENOMEM */
int gwr_new(struct gwr **out, struct gw_store *store, bool approve);
void gwr_free(struct gwr *r);
/** gwr_must_approve() - do new hosts wait for an operator? */
bool gwr_must_approve(const struct gwr *r);

/**
 * gwr_init() - first step; @body is borrowed
 * @peer: for the limit of GWR_RATE_MAX a minute (an IPv6 address counts with its /64)
 * @answer is always filled in.
 */
void gwr_init(struct gwr *r, struct gwr_answer *answer, const json_t *body,
	      const struct net_addr *peer, uint64_t now_ms, int64_t unix_s);
/** gwr_complete() - second step; an id is spent by it, whatever the outcome. When it answers 200 the agent is in the store. */
void gwr_complete(struct gwr *r, struct gwr_answer *answer, const json_t *body, uint64_t now_ms,
		  int64_t unix_s);
/** gwr_pending() - registrations between their two steps */
uint32_t gwr_pending(const struct gwr *r, uint64_t now_ms);

/** gwr_name_ok() - [A-Za-z0-9][A-Za-z0-9._-]{0,127}: host_id and org_id */
bool gwr_name_ok(const char *s);
/** gwr_max_payload() - "max_payload_bytes" of a capabilities object within SSM_CHUNK..SSM_PAYLOAD_MAX; SSM_CHUNK if absent */
uint32_t gwr_max_payload(const json_t *capabilities);

/** gw_time_str() - RFC 3339 UTC, whole seconds */
#define GW_TIME_STR 21U
void gw_time_str(char out[GW_TIME_STR], int64_t unix_s);

#endif
