// SPDX-License-Identifier: MIT
/*
 * launch.c - the starter of a detached daemon, and its log
 *
 * Theory of operation: fork before anything else; the child keeps the terminal until the tunnel is up, so that
 * passphrases can be asked and messages seen, then writes one byte, its exit status so far, to the pipe. The parent
 * exits with it. The log file is rotated by counting the bytes of each line as it is written: no timer is needed.
 */
#include "daemon/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <systemd/sd-daemon.h>

#include "base/err.h"
#include "base/log.h"
#include "base/util.h"
#include "daemon/journal.h"

#define LOG_FILE_MAX MIB(10)

static pid_t child_pid;

/* The starter passes on what the user does to it. The terminal's own ^C has reached the child already: twice would
 * mean "do not wait for goodbyes". */
static void forward(int sig, siginfo_t *info, void *context)
{
	int e = errno;

	(void)context;
	if (info->si_code <= 0) /* sent by a process: sigaction(2) */
		kill(child_pid, sig);
	errno = e;
}

static _Noreturn void wait_for_report(int fd, pid_t child)
{
	struct sigaction sa = { .sa_sigaction = forward, .sa_flags = SA_RESTART | SA_SIGINFO };
	uint8_t status = 1;
	ssize_t n;

	child_pid = child;
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	do {
		n = read(fd, &status, 1);
	} while (n < 0 && errno == EINTR);
	_exit(n == 1 ? status : 1);
}

int launch_detach(struct launch *l)
{
	int fds[2];

	l->report_fd = -1;
	if (pipe2(fds, O_CLOEXEC) < 0)
		return log_sys("pipe");
	pid_t child = fork();
	if (child < 0) {
		close(fds[0]);
		close(fds[1]);
		return log_sys("fork");
	}
	if (child > 0) {
		close(fds[1]);
		wait_for_report(fds[0], child);
	}
	close(fds[0]);
	l->report_fd = fds[1];
	return 0;
}

/* ---- the log of a detached daemon */

static struct {
	char path[PATH_MAX];
	size_t bytes;
	int fd;
} logfile = { .fd = -1 };

static int logfile_open(void)
{
	int fd = open(logfile.path, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		if (fd >= 0)
			close(fd);
		return log_sys("log file %s", logfile.path);
	}
	if (logfile.fd >= 0)
		close(logfile.fd);
	logfile.fd = fd;
	logfile.bytes = (size_t)st.st_size;
	log_to_fd(fd);
	return 0;
}

static void logfile_count(void *arg, enum log_level level, const char *line)
{
	char old[PATH_MAX + 2];

	(void)arg;
	(void)level;
	logfile.bytes += strlen(line) + 64; /* and its time stamp */
	if (logfile.bytes < LOG_FILE_MAX)
		return;
	/* A rename that fails is tried again after as much; a line that logfile_open() logs comes back here. */
	logfile.bytes = 0;
	snprintf(old, sizeof(old), "%s.1", logfile.path);
	if (rename(logfile.path, old) == 0)
		logfile_open();
}

/* The log knows the journal, and gives its lines priorities, by this variable: systemd sets it for a unit, nobody did for us. */
static void claim_journal(int fd)
{
	char id[64];
	struct stat st;

	if (fstat(fd, &st) < 0)
		return;
	snprintf(id, sizeof(id), "%llu:%llu", (unsigned long long)st.st_dev,
		 (unsigned long long)st.st_ino);
	setenv("JOURNAL_STREAM", id, 1);
}

/* Return: where the log goes now; -1 if it could not be moved */
static int move_log(const struct state_paths *paths)
{
	int fd = journal_open("ssm-tun");

	if (fd >= 0) {
		claim_journal(fd);
		log_to_fd(fd);
		return fd;
	}
	snprintf(logfile.path, sizeof(logfile.path), "%s", paths->log);
	if (logfile_open() < 0)
		return -1;
	log_tee(logfile_count, NULL);
	return logfile.fd;
}

static void leave_terminal(void)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (setsid() < 0)
		log_sys("setsid");
	if (null < 0)
		return;
	for (int fd = 0; fd <= 2; fd++)
		dup2(null, fd);
	close(null);
}

static void report(struct launch *l, int status)
{
	uint8_t byte = (uint8_t)status;

	if (l->report_fd < 0)
		return;
	(void)!write(l->report_fd, &byte, 1);
	close(l->report_fd);
	l->report_fd = -1;
}

int launch_ready(struct launch *l, const struct state_paths *paths, const char *summary)
{
	int fd;

	sd_notifyf(0, "READY=1\nSTATUS=%s\nMAINPID=%d", summary, (int)getpid());
	if (l->report_fd < 0)
		return -1;
	fd = move_log(paths);
	log_info("%s", summary);
	report(l, 0);
	leave_terminal();
	return fd;
}

void launch_stopping(struct launch *l, int status)
{
	sd_notify(0, "STOPPING=1");
	report(l, status);
}
