// SPDX-License-Identifier: MIT
/*
 * keep_rconf.c - our server as a record of resolvconf's: Debian's own, or openresolv
 *
 * Theory of operation: the program takes a piece of resolv.conf on its standard input and runs whatever hooks the machine has, so it
 * gets a clean environment, a time, and then a SIGKILL to its process group. The record is named after the device and the instance.
 * Debian's orders records by /etc/resolvconf/interface-order, where "tun*" comes early and unknown names last; openresolv
 * takes a metric. One server, as in the file (keep_text.c). Both keep the other records' servers behind ours, so names resolve when we are gone.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/text.h"
#include "base/util.h"
#include "keeper/keep_dns.h"

#define SET_MS 3000U  /* ours: hooks restart a local resolver at most */
#define UNDO_MS 1500U /* ours: below what a claim waits for a keeper */

static const char *const programs[] = { "/sbin/resolvconf", "/usr/sbin/resolvconf" };

/* The program's path. Return: false if there is none, or it is resolvectl */
static bool find_program(char out[KEEP_PATH_MAX])
{
	char to[KEEP_PATH_MAX];
	struct stat st;
	ssize_t len;

	for (size_t i = 0; i < ARRAY_LEN(programs); i++) {
		keep_etc_path(out, programs[i]);
		len = readlink(out, to, sizeof(to) - 1);
		to[len > 0 ? len : 0] = '\0';
		if (strstr(to, "resolvectl") || stat(out, &st) < 0)
			continue;
		if (S_ISREG(st.st_mode) && st.st_uid == geteuid() && !(st.st_mode & 022) &&
		    access(out, X_OK) == 0)
			return true;
	}
	return false;
}

enum keep_rconf keep_rconf_kind(void)
{
	char path[KEEP_PATH_MAX];

	if (!find_program(path))
		return KEEP_RCONF_NONE;
	return access(keep_etc_path(path, "/etc/resolvconf/interface-order"), F_OK) == 0
		       ? KEEP_RCONF_DEBIAN
		       : KEEP_RCONF_OPEN;
}

static void record_name(char out[64], const struct keep_journal *j, enum keep_rconf kind)
{
	snprintf(out, 64, "%s%s.%s", kind == KEEP_RCONF_DEBIAN ? "tun-" : "",
		 j->device[0] ? j->device : "ssm-tun", j->name);
}

static _Noreturn void become_program(char *const argv[], int in)
{
	char *const env[] = { (char[]){ "PATH=/usr/sbin:/usr/bin:/sbin:/bin" },
			      (char[]){ "LC_ALL=C" }, NULL };
	sigset_t none;

	setpgid(0, 0);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	for (int s = 1; s < NSIG; s++)
		signal(s, SIG_DFL);
	umask(022);
	if (dup2(in, STDIN_FILENO) < 0 || dup2(STDERR_FILENO, STDOUT_FILENO) < 0)
		_exit(127);
	closefrom(3);
	execve(argv[0], argv, env);
	_exit(127);
}

/* Return: ms left of @wait_ms since @start */
static int left(uint64_t start, uint32_t wait_ms)
{
	uint64_t passed = keep_now_ms() - start;

	return passed >= wait_ms ? 0 : (int)(wait_ms - passed);
}

/* Return: 0; ST_ETIMEOUT; ST_ECLOSED; ST_ESYS: it failed, or is not there */
static int await(pid_t pid, uint32_t wait_ms, int stop_fd)
{
	struct pollfd p[2] = { { .fd = (int)syscall(SYS_pidfd_open, pid, 0), .events = POLLIN },
			       { .fd = stop_fd, .events = POLLRDHUP } };
	const uint64_t start = keep_now_ms();
	int status = 0, n;

	do
		n = poll(p, 2, left(start, wait_ms));
	while (n < 0 && errno == EINTR);
	if (p[0].fd < 0 || n <= 0 || !(p[0].revents & POLLIN))
		kill(-pid, SIGKILL);
	if (p[0].fd >= 0)
		close(p[0].fd);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (WIFEXITED(status))
		return WEXITSTATUS(status) == 0 ? 0 : ST_ESYS;
	return n > 0 ? ST_ECLOSED : ST_ETIMEOUT;
}

/* A socket pair in place of a pipe: what little we write fits, and it can't raise SIGPIPE. */
static int run(char *const argv[], const char *input, uint32_t wait_ms, int stop_fd)
{
	int pair[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return log_sys("keeper: make a socket pair");
	if (send(pair[0], input, strlen(input), MSG_NOSIGNAL) < 0 || (pid = fork()) < 0) {
		close(pair[0]);
		close(pair[1]);
		return log_sys("keeper: run resolvconf");
	}
	if (pid == 0)
		become_program(argv, pair[1]);
	setpgid(pid, pid);
	close(pair[0]); /* the end of its input */
	close(pair[1]);
	return await(pid, wait_ms, stop_fd);
}

/* Did it take us? Its /etc/resolv.conf names our first server then. */
static bool is_first(const struct keep_journal *j)
{
	struct net_addr found[KEEP_RESOLVERS_MAX];
	struct buf text;
	uint32_t n = 0;

	buf_init(&text, KEEP_CONF_MAX);
	if (keep_file_read(&text) == 0)
		n = keep_text_servers(found, KEEP_RESOLVERS_MAX, &text);
	buf_fini(&text);
	for (size_t i = 0; n > 0 && i < KEEP_SERVERS; i++)
		if (net_addr_eq(&found[0], &j->servers[i]))
			return true;
	return false;
}

int keep_rconf_set(const struct keep_journal *j, int stop_fd, char why[KEEP_WHY])
{
	enum keep_rconf kind = keep_rconf_kind();
	char path[KEEP_PATH_MAX], record[64], input[256], addr[NET_ADDR_STR];
	char add[] = "-a", metric[] = "-m", first[] = "0";
	char *argv[] = { path, add, record, NULL, NULL, NULL };
	int r;

	if (!find_program(path)) {
		snprintf(why, KEEP_WHY, "resolvconf has gone");
		return ST_EUNSUPPORTED;
	}
	record_name(record, j, kind);
	snprintf(input, sizeof(input), "nameserver %s\noptions timeout:1\n",
		 net_addr_str(addr, &j->servers[j->servers[0].family == 0]));
	if (kind == KEEP_RCONF_OPEN) {
		argv[1] = metric, argv[2] = first, argv[3] = add, argv[4] = record;
	}
	if ((r = run(argv, input, SET_MS, stop_fd)) < 0)
		snprintf(why, KEEP_WHY, "resolvconf failed: %s", st_strerror(r));
	else if (!is_first(j))
		snprintf(why, KEEP_WHY,
			 "resolvconf took our server, but does not put it first in "
			 "/etc/resolv.conf");
	return r;
}

int keep_rconf_undo(const struct keep_journal *j)
{
	enum keep_rconf kind = keep_rconf_kind();
	char path[KEEP_PATH_MAX], record[64], del[] = "-d";
	char *argv[] = { path, del, record, NULL };
	int r;

	if (!find_program(path))
		return 0;
	record_name(record, j, kind);
	if ((r = run(argv, "", UNDO_MS, -1)) < 0)
		log_error("keeper: %s: resolvconf -d %s: %s", j->name, record, st_strerror(r));
	return r;
}
