// SPDX-License-Identifier: MIT
/*
 * control.h - the control socket: one JSON object per line each way (design, section 4)
 *
 * Server: /run/ssm-tun/NAME/control.sock, 0600, in a folder of the caller's. Peers are told apart by SO_PEERCRED: uid 0 or
 * the owner; others get one line saying so. Client: one blocking exchange with a deadline, for the subcommands.
 */
#ifndef DAEMON_CONTROL_H
#define DAEMON_CONTROL_H

#include <stdint.h>
#include <sys/types.h>

#include <jansson.h>

#include "base/loop.h"

#define CONTROL_LINE_MAX KIB(64) /* a request */
#define CONTROL_CLIENTS_MAX 8U
#define CONTROL_REQUEST_MS 5000U     /* to send it */
#define CONTROL_BACKLOG_MAX KIB(256) /* an answer; a longer one is replaced by an error */

struct control;

/* Answers @request; the result is taken over. Never NULL. */
typedef json_t *control_fn(void *arg, const json_t *request);

/** control_listen() - Return: 0; ST_ESYS (logged); ST_EINVAL (path too long for a socket); ST_ENOMEM; ST_EFULL */
int control_listen(struct control **out, struct loop *loop, const char *path, uid_t owner,
		   control_fn *handle, void *arg);
void control_free(struct control *c); /* removes the socket; NULL is fine */

/** control_ask() - connect, send @request (borrowed), read one answer within @timeout_ms
 * Return: 0 and *@out (json_decref); ST_ENOENT nobody listens; ST_EPERM not ours; ST_ETIMEOUT; ST_ECLOSED no answer; ST_EFULL a
 * longer one than CONTROL_BACKLOG_MAX; ST_EFORMAT no JSON object (*@out is NULL); ST_EINVAL path too long, or a request beyond CONTROL_LINE_MAX; ST_ENOMEM; ST_ESYS (logged) */
int control_ask(const char *path, const json_t *request, uint32_t timeout_ms, json_t **out);
/** control_cmd() - the same for {"cmd": @cmd} */
int control_cmd(const char *path, const char *cmd, uint32_t timeout_ms, json_t **out);

#endif
