// SPDX-License-Identifier: MIT
/* state.h - what outlives a run: host keys, our IPv6 prefix, fake addresses, logs; in $XDG_STATE_HOME/ssm-tun, 0700, the caller's */
#ifndef DAEMON_STATE_H
#define DAEMON_STATE_H

#include <limits.h>

#include "base/addr.h"
#include "daemon/identity.h"

struct state_paths {
	char dir[PATH_MAX];
	char known_hosts[PATH_MAX];
	char fakes[PATH_MAX]; /* NAME.fakes: which name has which fake address */
	char log[PATH_MAX];   /* NAME.log */
};

/** state_prepare() - find and make the folder; as the caller. Return: 0; ST_ESYS (logged); ST_EINVAL (path too long) */
int state_prepare(struct state_paths *out, struct identity *id, const char *name);
/** state_ula() - our random ULA /64, made once and kept (decision 12). @out has zero host bits. Return: 0; ST_ESYS */
int state_ula(const struct state_paths *p, struct net_addr *out);

#endif
