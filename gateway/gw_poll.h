// SPDX-License-Identifier: MIT
/* gw_poll.h - GetMessages of ec2messages: stock agents ask for commands that we never have */
#ifndef GATEWAY_GW_POLL_H
#define GATEWAY_GW_POLL_H

#include "gateway/gw_internal.h"

#define GWP_POLLS_MAX 256U /* ours: calls that wait for their answer */
#define GWP_WAIT_MS 20000U /* as the service: the agent's own time-out is longer */
#define GWP_TEXT_MAX 128U  /* ours: characters of MessagesRequestId */

int gwp_new(struct gwp **out, struct gw *gw);
void gwp_free(struct gwp *p);

/** gwp_wait() - answers @r after GWP_WAIT_MS, or as soon as the same instance asks again
 * @id: the instance's, @request_id: MessagesRequestId of the call. Return: 0; ST_EINVAL a text is too long; ST_EFULL; ST_ENOMEM */
int gwp_wait(struct gwp *p, ws_req r, const char *id, const char *request_id);

#endif
