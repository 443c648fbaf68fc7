// SPDX-License-Identifier: MIT
/*
 * ag_keys.h - SSH keys that the gateway hands us for a minute, and the command by which sshd asks for them
 *
 * sshd's AuthorizedKeysCommand runs as a user of its own and needs nothing but to read our folder, and we need no
 * rights over anybody's home. Each line has its end before it, so that no key outlives it, whatever becomes of us.
 */
#ifndef GATEWAY_AG_KEYS_H
#define GATEWAY_AG_KEYS_H

#include <stdio.h>

#include <jansson.h>

#include "base/loop.h"

#define AG_KEYS_MAX 256U     /* ours: keys that are valid at a time */
#define AG_KEYS_USER_MAX 16U /* ours: of one user */
#define AG_KEY_LIFE_MAX_S 60 /* ssm-protocol, 1.4 */
#define AG_KEYS_DIR "/run/ssm-tun-agent/keys"

struct ag_keys;

/** ag_keys_new() - @dir is borrowed for life, made 0700 if it lacks. Return: 0; ST_EPERM: others may write to it (logged); ST_ESYS (logged);
 * ST_ENOMEM */
int ag_keys_new(struct ag_keys **out, struct loop *loop, const char *dir);
void ag_keys_free(struct ag_keys *k); /* the files go; NULL is fine */
/** ag_keys_add() - an ssh.key request; @body is foreign and borrowed; @k NULL: we take none. Return: the result for the answer, static */
const char *ag_keys_add(struct ag_keys *k, const json_t *body);

/** ag_keys_print() - the valid keys of @user, as lines of authorized_keys. Return: 0, also if there are none; ST_EINVAL no user's name;
 * ST_EPERM: not readable, or others may write to @dir; ST_EFORMAT; ST_ESYS */
int ag_keys_print(const char *dir, const char *user, FILE *to);

#endif
