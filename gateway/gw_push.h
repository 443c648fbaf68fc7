// SPDX-License-Identifier: MIT
/* gw_push.h - SendSSHPublicKey: keys are handed to agents, and the calls wait for their word */
#ifndef GATEWAY_GW_PUSH_H
#define GATEWAY_GW_PUSH_H

#include <jansson.h>

#include "gateway/gw_internal.h"

#define GWK_CALLS_MAX 256U /* ours: calls that wait for their answer */
#define GWK_WAIT_MS 5000U  /* ours: for the agent's */
#define GWK_LIFE_S 60	   /* so long the host takes the key; ssm-protocol, 1.4 */

int gwk_new(struct gwk **out, struct gw *gw);
void gwk_free(struct gwk *k);

/** gwk_send() - the agent @uid gets the key; @r is answered when it has, or says why not, or after GWK_WAIT_MS
 * @user, @line: as gw_ssh_line.h wants them. Return: 0; ST_ENOENT: it is not online; ST_EFULL; ST_ENOMEM: @r is the caller's to answer */
int gwk_send(struct gwk *k, ws_req r, const char *uid, const char *user, const char *line);
/** gwk_answered() - the agent's response on CH_SSH_KEY; foreign, borrowed */
void gwk_answered(struct gwk *k, const char *uid, const json_t *body);

#endif
