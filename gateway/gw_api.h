// SPDX-License-Identifier: MIT
/* gw_api.h - the AWS-compatible JSON 1.1 API of the control listener; ssm-protocol 1.1 and 1.2 */
#ifndef GATEWAY_GW_API_H
#define GATEWAY_GW_API_H

#include <jansson.h>

#include "gateway/gw_internal.h"
#include "gateway/sigv4_verify.h"

/** gw_api_call() - POST / with X-Amz-Target; always replies */
void gw_api_call(struct gw_listener *l, ws_req r, const struct ws_request *req);

/** gw_api_verify() - the request's SigV4 against the store's keys; as sigv4_verify(). @key is filled in if it is good */
int gw_api_verify(struct gw *gw, struct sigv4_result *out, ws_req r, const struct ws_request *req,
		  struct gw_key_rec *key);
/** gw_api_verify_for() - the same, and the scope must name @service */
int gw_api_verify_for(struct gw *gw, struct sigv4_result *out, ws_req r,
		      const struct ws_request *req, const char *service, struct gw_key_rec *key);
/** gw_api_answer() - @body (borrowed; NULL: out of memory) as the answer */
void gw_api_answer(struct gw *gw, ws_req r, int status, const json_t *body);

#endif
