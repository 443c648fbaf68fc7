// SPDX-License-Identifier: MIT
/* session_internal.h - the engine in a verb's own process, for the files of session/ */
#ifndef SESSION_SESSION_INTERNAL_H
#define SESSION_SESSION_INTERNAL_H

#include "base/ask.h"
#include "base/loop.h"
#include "runner/runner.h"
#include "session/session.h"

struct session {
	const struct session_caller *caller;
	int runner_fd; /* -1: the runner's */
	int signal_fd;
	loop_watch signal_watch;
	struct loop *loop;
	struct runner *runner;
	struct ask *ask;
	struct run_svc svc;
	struct aws *aws;
	int status; /* of the verb: ST_ECANCELED until it says otherwise */
};

/** session_open() - the loop and what runs on it. Return: 0; ST_ENOMEM; ST_ESYS (logged) */
int session_open(struct session *s);
/** session_run() - turns until session_end(), or a signal. Return: what session_end() was given; ST_ECANCELED; ST_ESYS (logged) */
int session_run(struct session *s);
void session_end(struct session *s, int status);

#endif
