// SPDX-License-Identifier: MIT
/*
 * run_child.c - one job in a process of its own
 *
 * Theory of operation: the child leads a process group, so that one kill reaches all that it started, and dies
 * with the runner. Its answer comes through a pipe; it has answered when it has ended, not when the pipe
 * ends, since something that it started may hold the pipe open. The group is killed before the child is
 * reaped: until then its number can't belong to anybody else.
 */
#include "runner/runner_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"

void run_detach(int fd)
{
	sigset_t none;

	for (int sig = 1; sig < NSIG; sig++)
		signal(sig, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	fd_keep_only(fd);
}

static _Noreturn void child_main(int fd, pid_t runner, run_job_fn *fn, const uint8_t *in,
				 size_t len)
{
	struct run_answer answer = { 0 };
	size_t out_len = 0;
	uint8_t *out;

	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != runner) /* it died before the line above */
		_exit(1);
	run_detach(fd);
	if (!(out = calloc(1, RUN_DATA_MAX)))
		_exit(1);
	answer.err = fn(in, len, out, &out_len);
	if (out_len > RUN_DATA_MAX) {
		log_error("runner: a job says that it wrote %zu bytes", out_len);
		_exit(1);
	}
	answer.len = (uint32_t)out_len;
	if (fd_write_all(fd, &answer, sizeof(answer)) < 0 || fd_write_all(fd, out, out_len) < 0)
		_exit(1);
	_exit(0);
}

int run_child_start(struct run_child *c, run_job_fn *fn, const uint8_t *in, size_t len)
{
	pid_t runner = getpid();
	int pipe_fd[2];

	if (pipe2(pipe_fd, O_CLOEXEC) < 0)
		return log_sys("runner: make a pipe");
	c->pid = fork();
	if (c->pid == 0)
		child_main(pipe_fd[1], runner, fn, in, len);
	close(pipe_fd[1]);
	if (c->pid < 0) {
		log_sys("runner: fork");
		close(pipe_fd[0]);
		return ST_ESYS;
	}
	setpgid(c->pid, c->pid); /* both do it: whoever comes first */
	c->out_fd = pipe_fd[0];
	c->pidfd = (int)syscall(SYS_pidfd_open, c->pid, 0);
	if (c->pidfd < 0 || fcntl(c->out_fd, F_SETFL, O_NONBLOCK) < 0) {
		log_sys("runner: watch a job");
		run_child_kill(c);
		run_child_reap(c);
		return ST_ESYS;
	}
	return 0;
}

void run_child_kill(const struct run_child *c)
{
	kill(-c->pid, SIGKILL);
	kill(c->pid, SIGKILL);
}

int run_child_reap(struct run_child *c)
{
	int status = 0;

	kill(-c->pid, SIGKILL);
	while (waitpid(c->pid, &status, 0) < 0 && errno == EINTR)
		;
	if (c->pidfd >= 0)
		close(c->pidfd);
	close(c->out_fd);
	return status;
}
