// SPDX-License-Identifier: MIT
/* keep_testing.h - what the tests of the keeper's settings share: a root folder of their own, a keeper, files and awaiting them */
#ifndef TESTS_UNIT_KEEPER_KEEP_TESTING_H
#define TESTS_UNIT_KEEPER_KEEP_TESTING_H

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/log.h"
#include "base/util.h"
#include "keeper/keep_dns.h"
#include "keeper/keeper.h"
#include "tun/tun.h"

#define AWAIT_MS 10000U /* an event that comes in milliseconds, on a loaded machine */

static char test_base[48], test_run[64];

/* A folder below the test's own. */
static inline const char *at(const char *file)
{
	static char path[8][192];
	static unsigned next;

	next = (next + 1) % 8;
	snprintf(path[next], sizeof(path[next]), "%s%s", test_base, file);
	return path[next];
}

static inline void run(const char *format, ...)
{
	char cmd[512];
	va_list args;

	va_start(args, format);
	vsnprintf(cmd, sizeof(cmd), format, args);
	va_end(args);
	if (system(cmd) != 0)
		fail_msg("failed: %s", cmd);
}

/* Return: the file's content, "" if there is none; valid until the fourth call from now */
static inline const char *content(const char *path)
{
	static char text[4][32768];
	static unsigned next;
	char *to = text[next = (next + 1) % 4];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t len = fd < 0 ? 0 : read(fd, to, sizeof(text[0]) - 1);

	to[len > 0 ? len : 0] = '\0';
	if (fd >= 0)
		close(fd);
	return to;
}

static inline bool exists(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0;
}

static inline void write_to(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

/* As DHCP clients do. */
static inline void replace(const char *path, const char *text)
{
	char other[256];

	snprintf(other, sizeof(other), "%s.new", path);
	write_to(other, text);
	assert_int_equal(rename(other, path), 0);
}

/* Waits until @is of the file's content, or fails: looks at each event of its folder. */
static inline void await_content(const char *path, bool (*is)(const char *text, const void *arg),
				 const void *arg)
{
	struct pollfd p = { .fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK), .events = POLLIN };
	const uint64_t end = keep_now_ms() + AWAIT_MS;
	char folder[256], events[4096];

	snprintf(folder, sizeof(folder), "%s", path);
	*strrchr(folder, '/') = '\0';
	assert_true(inotify_add_watch(p.fd, folder, IN_CLOSE_WRITE | IN_MOVED_TO | IN_DELETE) >= 0);
	while (!is(content(path), arg)) {
		const uint64_t now = keep_now_ms();

		if (now >= end || poll(&p, 1, (int)(end - now)) == 0)
			fail_msg("%s stays: %s", path, content(path));
		while (read(p.fd, events, sizeof(events)) > 0)
			;
	}
	close(p.fd);
}

static inline void reap(int pid, int want_status)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), want_status);
}

static inline int start_keeper(const char *name, int *pid)
{
	struct keep_journal other;
	int fd;

	assert_int_equal(keep_claim(name, 65534, 65534, &other), 0);
	assert_int_equal(keep_fork(&fd, pid, name), 0);
	assert_int_equal(keep_note_daemon(fd, getpid()), 0);
	return fd;
}

static inline void end_keeper(int fd, int pid)
{
	assert_int_equal(keep_goodbye(fd), 0);
	close(fd);
	reap(pid, 0);
}

static inline unsigned long switches(int pid)
{
	char path[64];
	const char *text;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	text = strstr(content(path), "voluntary_ctxt_switches:");
	assert_non_null(text);
	return strtoul(strchr(text, ':') + 1, NULL, 10);
}

/* Does it wake up for nothing for 700 ms? Some tries: what it was just asked to do may still come, on a loaded machine late. */
static inline bool sleeps(int pid)
{
	for (int i = 0; i < 8; i++) {
		const unsigned long before = switches(pid);

		poll(NULL, 0, 700);
		if (switches(pid) == before)
			return true;
	}
	return false;
}

/* Stands for all the tests where there are no rights to run them. */
static inline void needs_rights(void **state)
{
	(void)state;
	print_message("skipped: needs root and namespaces of its own\n");
	skip();
}

/* A folder of its own with what / has that we touch; a child subreaper, since keepers outlive who forked them. */
static inline int make_base(void)
{
	static const char *const folders[] = {
		"", "/etc", "/run", "/run/systemd", "/run/systemd/resolve", "/sbin"
	};

	if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
		return -1;
	snprintf(test_base, sizeof(test_base), "/tmp/ssm-tun-keep-XXXXXX");
	if (!mkdtemp(test_base))
		return -1;
	for (size_t i = 0; i < ARRAY_LEN(folders); i++)
		if ((mkdir(at(folders[i]), 0755) < 0 && errno != EEXIST) ||
		    chmod(at(folders[i]), 0755) < 0)
			return -1;
	snprintf(test_run, sizeof(test_run), "%s/run/st", test_base);
	keep_set_root(test_base);
	keep_set_run_dir(test_run);
	return 0;
}

static inline int remove_base(void)
{
	char cmd[96];

	snprintf(cmd, sizeof(cmd), "rm -r %s", test_base);
	return system(cmd) == 0 ? 0 : -1;
}

static inline struct net_addr addr(const char *text)
{
	struct net_addr a;

	assert_int_equal(net_addr_parse(&a, text), 0);
	return a;
}

#endif
