// SPDX-License-Identifier: MIT
/* gw_signal.c - signals by a descriptor, so that the work happens in the loop */
#include "gateway/gw_signal.h"

#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"

static void on_signal(void *arg, uint32_t events, uint64_t now_ms)
{
	struct gw_signals *s = arg;
	struct signalfd_siginfo si;

	(void)events;
	(void)now_ms;
	if (read(s->fd, &si, sizeof(si)) != (ssize_t)sizeof(si))
		return;
	log_info("stopping: %s", si.ssi_signo == SIGINT ? "interrupted" : "terminated");
	loop_stop(s->loop);
}

int gw_signals_open(struct gw_signals *s, struct loop *loop)
{
	sigset_t set;
	int r;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	if ((s->fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC)) < 0)
		return log_sys("signalfd");
	if ((r = loop_fd_add(loop, &s->watch, s->fd, EPOLLIN, on_signal, s)) < 0) {
		close(s->fd);
		return r;
	}
	s->loop = loop;
	return 0;
}

void gw_signals_close(struct gw_signals *s)
{
	if (!s->loop)
		return;
	loop_fd_del(s->loop, &s->watch);
	close(s->fd);
	s->loop = NULL;
}
