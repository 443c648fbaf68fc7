// SPDX-License-Identifier: MIT
/*
 * session.c - loop, runner, terminal and aws in a verb's own process
 *
 * Theory of operation: as the daemon's, without its privileges: the runner is forked before libraries are initialised and files are
 * read; then the process forbids dumps of itself, since it will hold secrets, and turns its loop until the verb ends or a
 * signal breaks it off.
 */
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "session/session_internal.h"

int session_new(struct session **out, const struct session_caller *caller)
{
	static const struct run_kind kinds[SVC_JOB_N] = {
		[SVC_AWS_READ] = { .name = "aws-read", .fn = aws_read_job },
		[SVC_AWS_WRITE] = { .name = "aws-write", .fn = aws_write_job },
		[SVC_AWS_PROCESS] = { .name = "aws-process", .fn = aws_process_job },
	};
	const struct run_identity id = {
		.uid = caller->uid,
		.gid = caller->gid,
		.groups = caller->groups,
		.n_groups = caller->n_groups,
		.home = caller->home,
		.user = caller->user,
		.shell = caller->shell,
		.env = caller->env,
	};
	struct session *s = calloc(1, sizeof(*s));
	int pid, r;

	if (!s)
		return ST_ENOMEM;
	s->caller = caller;
	s->signal_fd = -1;
	if ((r = run_fork(&s->runner_fd, &pid, &id, kinds, SVC_JOB_N)) < 0) {
		free(s);
		return r;
	}
	*out = s;
	return 0;
}

static int forbid_dumps(void)
{
	const struct rlimit none = { 0, 0 };

	if (prctl(PR_SET_DUMPABLE, 0L) < 0 || setrlimit(RLIMIT_CORE, &none) < 0)
		return log_sys("forbid core dumps");
	return 0;
}

/* ---- running ---- */

static void on_signal(void *arg, uint32_t events, uint64_t now_ms)
{
	struct session *s = arg;
	struct signalfd_siginfo si;

	(void)events;
	(void)now_ms;
	if (read(s->signal_fd, &si, sizeof(si)) == (ssize_t)sizeof(si))
		loop_stop(s->loop);
}

static int watch_signals(struct session *s)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	if ((s->signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC)) < 0)
		return log_sys("signalfd");
	return loop_fd_add(s->loop, &s->signal_watch, s->signal_fd, EPOLLIN, on_signal, s);
}

int session_open(struct session *s)
{
	struct aws_opts opts = {
		.svc = &s->svc.svc,
		.home = s->caller->home,
		.getenv = s->caller->getenv,
		.getenv_ctx = s->caller->getenv_ctx,
	};
	const int fd = s->runner_fd;
	int r;

	s->status = ST_ECANCELED;
	if ((r = forbid_dumps()) < 0 || (r = loop_new(&s->loop)) < 0)
		return r;
	opts.loop = s->loop;
	s->runner_fd = -1;
	if ((r = run_new(&s->runner, s->loop, fd)) < 0 || (r = ask_new(&s->ask, s->loop)) < 0 ||
	    (r = watch_signals(s)) < 0)
		return r;
	run_svc_init(&s->svc, s->runner, s->ask);
	return aws_new(&s->aws, &opts);
}

int session_run(struct session *s)
{
	const int r = loop_run(s->loop);

	return r < 0 ? r : s->status;
}

void session_end(struct session *s, int status)
{
	s->status = status;
	loop_stop(s->loop);
}

void session_free(struct session *s)
{
	if (!s)
		return;
	aws_free(s->aws);
	ask_free(s->ask);
	run_free(s->runner);
	if (s->runner_fd >= 0)
		close(s->runner_fd);
	if (s->signal_fd >= 0) {
		loop_fd_del(s->loop, &s->signal_watch);
		close(s->signal_fd);
	}
	loop_free(s->loop);
	free(s);
}
