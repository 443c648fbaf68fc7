// SPDX-License-Identifier: MIT
/* gw_api.h - the AWS-compatible JSON 1.1 API of the control listener; ssm-protocol 1.1 and 1.2 */
#ifndef GATEWAY_GW_API_H
#define GATEWAY_GW_API_H

#include "gateway/gw_internal.h"
#include "gateway/sigv4_verify.h"

/** gw_api_call() - POST / with X-Amz-Target; always replies */
void gw_api_call(struct gw_listener *l, ws_req r, const struct ws_request *req);

/** gw_api_verify() - the request's SigV4 against the store's keys; as sigv4_verify(). @key is filled in if it is good */
int gw_api_verify(struct gw *gw, struct sigv4_result *out, ws_req r, const struct ws_request *req,
		  struct gw_key_rec *key);

#endif
