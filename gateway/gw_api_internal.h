// SPDX-License-Identifier: MIT
/* gw_api_internal.h - one call of the AWS-compatible API, as the files of gw_api see it */
#ifndef GATEWAY_GW_API_INTERNAL_H
#define GATEWAY_GW_API_INTERNAL_H

#include <jansson.h>

#include "gateway/gw_internal.h"

struct gw_call {
	struct gw *gw;
	struct gw_listener *listener;
	ws_req req;
	struct gw_key_rec key;
	json_t *in;  /* an object */
	json_t *out; /* the answer */
	bool later;  /* it is answered elsewhere */
	const char *code;
	char message[512];
};

/** gw_call_fail() - the answer is an error of AWS's kind; @code is static */
void gw_call_fail(struct gw_call *c, const char *code, const char *fmt, ...) ST_PRINTF(3, 4);
/** gw_key_may() - may this client's key see that host? */
bool gw_key_may(const struct gw_key_rec *key, const char *host_id);
/** gw_charset_ok() - @min to @max characters of @allowed */
bool gw_charset_ok(const char *s, size_t min, size_t max, const char *allowed);

/* gw_api_filter.c: _ok() checks the call's filters, false and the call has failed; _pass() asks one element by them */
#define GW_SOURCE_TYPE "AWS::SSM::ManagedInstance"
bool gw_instance_filters_ok(struct gw_call *c);
bool gw_instance_filters_pass(const struct gw_call *c, const struct gw_agent_rec *rec);
bool gw_session_filters_ok(struct gw_call *c);
bool gw_session_filters_pass(const struct gw_call *c, const struct gw_session_rec *rec,
			     const char *status);
/** gw_ping_status() - "Online" or "ConnectionLost" */
const char *gw_ping_status(const struct gw_call *c, const struct gw_agent_rec *rec);

/* gw_api_agent.c */
void gw_call_update_instance(struct gw_call *c);
void gw_call_list_associations(struct gw_call *c);
void gw_call_get_messages(struct gw_call *c);

/* gw_api_list.c */
void gw_call_describe_instances(struct gw_call *c);
void gw_call_describe_sessions(struct gw_call *c);

#endif
