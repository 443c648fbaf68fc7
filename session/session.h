// SPDX-License-Identifier: MIT
/*
 * session.h - verbs that run the engine in their own process, unprivileged (design, section 2)
 *
 * A process makes one session, runs one verb with it, and ends. The runner is forked first, as decision 14 wants it; what this
 * process does after that it does as the caller.
 */
#ifndef SESSION_SESSION_H
#define SESSION_SESSION_H

#include <stddef.h>
#include <stdint.h>

#include "aws/aws.h"

/* Whose files are used; borrowed for life. */
struct session_caller {
	uint32_t uid, gid;
	const uint32_t *groups;
	size_t n_groups;
	const char *home, *user, *shell;
	const char *const *env; /* "NAME=value" that jobs may see: no secrets; NULL-terminated */
	const char *(*getenv)(void *ctx, const char *name);
	void *getenv_ctx;
};

struct session;

/**
 * session_new() - forks the runner; call it before anything of the caller's is read, and as root before becoming the caller
 * Return: 0; ST_ENOMEM; ST_ESYS (logged)
 */
int session_new(struct session **out, const struct session_caller *caller);
void session_free(struct session *s); /* NULL is fine */

/**
 * session_login() - logs in for @profile (NULL: the environment's) and returns when that is done
 * From here on the process can't be dumped. SIGINT and SIGTERM break it off.
 * Return: 0, or the error's code, told by @events; ST_ECANCELED: broken off, no event; ST_ENOMEM, ST_ESYS (logged), no event
 */
int session_login(struct session *s, const char *profile, const struct aws_login_events *events,
		  void *arg);

#endif
