// SPDX-License-Identifier: MIT
/*
 * daemon_down.c - `down`: ask, then insist, then undo whatever is left; nothing to do is fine
 *
 * The daemon is followed by a pidfd taken before it is asked, so that a reused process id is never signalled.
 */
#include "daemon/daemon.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <jansson.h>

#include "base/err.h"
#include "daemon/control.h"
#include "keeper/keeper.h"

#define DOWN_STEP_MS 5000 /* request, 5 s, SIGTERM, 5 s, SIGKILL; design, section 4 */

static bool gone_within(int pidfd, int ms)
{
	struct pollfd p = { .fd = pidfd, .events = POLLIN };
	int r;

	do {
		r = poll(&p, 1, ms);
	} while (r < 0 && errno == EINTR);
	return r > 0;
}

static int open_pidfd(pid_t pid)
{
	return pid > 0 ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
}

static void end_process(const struct keep_journal *j, const char *path)
{
	static const int signals[] = { SIGTERM, SIGKILL };
	int fd = open_pidfd((pid_t)j->daemon_pid);
	json_t *answer = NULL;

	if (fd < 0 || !keep_daemon_alive(j)) {
		if (fd >= 0)
			close(fd);
		return;
	}
	int r = control_cmd(path, "down", DOWN_STEP_MS, &answer);
	json_decref(answer);
	if (r < 0)
		log_warn("%s does not answer (%s): it is ended by a signal", j->name,
			 st_strerror(r));
	bool gone = gone_within(fd, r < 0 ? 0 : DOWN_STEP_MS);
	for (size_t i = 0; !gone && i < ARRAY_LEN(signals); i++) {
		if (syscall(SYS_pidfd_send_signal, fd, signals[i], NULL, 0) < 0 && errno != ESRCH) {
			log_sys("signal to process %u", j->daemon_pid);
			break;
		}
		gone = gone_within(fd, DOWN_STEP_MS);
	}
	close(fd);
}

/* The keeper undoes everything by itself once the daemon has gone; wait for it before we look at what is left, and do its work
 * if it can't. */
static void await_keeper(const struct keep_journal *j)
{
	int fd = open_pidfd((pid_t)j->keeper_pid);

	if (fd < 0)
		return;
	if (!gone_within(fd, DOWN_STEP_MS) && keep_alive(j)) {
		log_warn("%s: the keeper process does not end: it is killed", j->name);
		syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0);
		gone_within(fd, DOWN_STEP_MS);
	}
	close(fd);
}

int daemon_down(const char *name, bool crashed)
{
	struct keep_journal j = { 0 };
	char path[PATH_MAX];
	int r = name ? keep_journal_read(name, &j) : keep_first(&j);

	if (geteuid() != 0) {
		log_error("`down` needs root: run it with sudo");
		return 1;
	}
	if (r < 0) {
		r = keep_undo(name ? name : DAEMON_NAME_DEFAULT);
		log_info("%s is not running", name ? name : "ssm-tun");
		return r < 0 ? 1 : 0;
	}
	keep_path(path, sizeof(path), j.name, "control.sock");
	end_process(&j, path);
	await_keeper(&j);
	if ((crashed ? keep_undo_crashed(j.name) : keep_undo(j.name)) < 0)
		return 1;
	log_info("%s is down", j.name);
	return 0;
}
