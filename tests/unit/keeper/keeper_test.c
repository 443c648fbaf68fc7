// SPDX-License-Identifier: MIT
/*
 * keeper_test.c - claims, the keeper's process, and what is undone; as root, in a network namespace of its own
 *
 * Cases: names; what a claim makes; notes reach the journal; goodbye; the daemon killed: rules, throw routes, socket, pid
 * file, journal and folder gone within 1 s; the same without a journal; signals; the keeper killed; its descriptors and
 * session; garbage requests; a stranger's pid; the log handed over; two and many claims at once; dead instances; a claim that
 * waits for a keeper; journals that can't be trusted; links laid in the folder; a run-time folder that others can write.
 */
#include "keeper/keeper.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/log.h"
#include "base/util.h"
#include "keeper/keeper_internal.h"
#include "tun/tun.h"

#define UID 65534U
#define WITHIN_MS 1000 /* decision 14 */

static char base[32], run_path[48];

static void run(const char *cmd)
{
	if (system(cmd) != 0)
		fail_msg("failed: %s", cmd);
}

static const char *output(const char *cmd)
{
	static char text[16384];
	FILE *f = popen(cmd, "r");
	size_t len;

	assert_non_null(f);
	len = fread(text, 1, sizeof(text) - 1, f);
	text[len] = '\0';
	pclose(f);
	return text;
}

static const char *path_of(const char *name, const char *file)
{
	static char path[4][128];
	static unsigned next;

	next = (next + 1) % 4;
	keep_path(path[next], sizeof(path[next]), name, file);
	return path[next];
}

static bool exists(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0;
}

static const char *folder_of(const char *name)
{
	static char path[128];

	snprintf(path, sizeof(path), "%s/%s", run_path, name);
	return path;
}

static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

static int group_setup(void **state)
{
	(void)state;
	/* Keepers outlive the processes that forked them; we want to reap them. */
	if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
		return -1;
	snprintf(base, sizeof(base), "/tmp/ssm-tun-keep-XXXXXX");
	if (!mkdtemp(base))
		return -1;
	snprintf(run_path, sizeof(run_path), "%s/run", base);
	keep_set_run_dir(run_path);
	keep_set_root(base); /* no file of this machine's is touched */
	return 0;
}

static int group_teardown(void **state)
{
	char cmd[64];

	(void)state;
	snprintf(cmd, sizeof(cmd), "rm -r %s", base);
	return system(cmd) == 0 ? 0 : -1;
}

/* Stands for all the tests where there are no rights to run them. */
static void needs_rights(void **state)
{
	(void)state;
	print_message("skipping all of keeper: needs root and a network namespace of its own\n");
	skip();
}

/* Is one of these lines, which begin with a rule's priority, in our band? */
static bool in_our_band(const char *lines)
{
	for (const char *p = lines; *p; p = strchr(p, '\n') + 1) {
		unsigned long pref = strtoul(p, NULL, 10);

		if (pref >= TUN_RULE_FIRST && pref <= TUN_RULE_LAST)
			return true;
		if (!strchr(p, '\n'))
			break;
	}
	return false;
}

/* Each test leaves nothing: neither rules nor folders nor keepers. Few programs run for it, since there are many tests. */
static int teardown(void **state)
{
	(void)state;
	if (in_our_band(output("ip rule; ip -6 rule")) ||
	    strlen(output("ip route show table 5373 2>/dev/null")) > 0)
		return -1;
	if (exists(folder_of("one")) || exists(folder_of("two")))
		return -1;
	return waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD ? 0 : -1;
}

static void claim(const char *name)
{
	struct keep_journal other;

	assert_int_equal(keep_claim(name, UID, UID, &other), 0);
}

static int start_keeper(const char *name, int *pid)
{
	int fd;

	claim(name);
	assert_int_equal(keep_fork(&fd, pid, name), 0);
	assert_int_equal(keep_note_daemon(fd, getpid()), 0);
	return fd;
}

static void reap(int pid, int want_status)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), want_status);
}

/* ---- names and claims ---- */

static void names(void **state)
{
	static const char *const good[] = { "a", "prod-1_X", "01234567890123456789012345678901" };
	static const char *const bad[] = {
		"", ".", "..", "a/b", "a b", "a.b", "ä", "012345678901234567890123456789012"
	};
	struct keep_journal j;
	char path[64];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		assert_true(keep_name_ok(good[i]));
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		assert_false(keep_name_ok(bad[i]));
		assert_int_equal(keep_claim(bad[i], UID, UID, &j), ST_EINVAL);
		assert_int_equal(keep_undo(bad[i]), ST_EINVAL);
		assert_int_equal(keep_journal_read(bad[i], &j), ST_ENOENT);
	}
	keep_path(path, sizeof(path), "x", "pid");
	assert_non_null(strstr(path, "/run/x/pid"));
}

static void nothing_there(void **state)
{
	struct keep_journal j;

	(void)state;
	assert_int_equal(keep_first(&j), ST_ENOENT);
	assert_int_equal(keep_journal_read("one", &j), ST_ENOENT);
	assert_int_equal(keep_undo("one"), 0);
}

static void what_a_claim_makes(void **state)
{
	struct keep_journal j, first;
	struct stat st;

	(void)state;
	claim("one");
	assert_int_equal(stat(run_path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0755);
	assert_int_equal(st.st_uid, 0);
	assert_int_equal(stat(folder_of("one"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	assert_int_equal(st.st_uid, UID);
	assert_int_equal(st.st_gid, UID);
	assert_int_equal(stat(path_of("one", "journal"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(st.st_uid, 0);
	assert_int_equal(keep_journal_read("one", &j), 0);
	assert_string_equal(j.name, "one");
	assert_string_equal(j.device, "");
	assert_int_equal(j.daemon_pid, getpid());
	assert_int_equal(j.uid, UID);
	assert_false(j.rules);
	assert_true(keep_alive(&j));
	assert_int_equal(keep_first(&first), 0);
	assert_string_equal(first.name, "one");
	assert_int_equal(keep_undo("one"), 0);
	assert_int_equal(keep_first(&first), ST_ENOENT);
}

static void claimed_already(void **state)
{
	struct keep_journal other = { 0 };

	(void)state;
	claim("one");
	assert_int_equal(keep_claim("one", UID, UID, &other), ST_EEXIST);
	assert_string_equal(other.name, "one");
	assert_int_equal(other.daemon_pid, getpid());
	other = (struct keep_journal){ 0 };
	assert_int_equal(keep_claim("two", UID, UID, &other), ST_EEXIST);
	assert_string_equal(other.name, "one");
	assert_false(exists(folder_of("two")));
	assert_int_equal(keep_undo("one"), 0);
}

/* All claim at the same moment and stay alive until all have: one wins, the others are told of it. */
static void claims_at_once(void **state)
{
	enum { N = 6 };
	int go[2], done[2], winners = 0;
	char c, winner[8] = "";
	pid_t pids[N];

	(void)state;
	assert_int_equal(pipe(go), 0);
	assert_int_equal(pipe(done), 0);
	for (int i = 0; i < N; i++) {
		pids[i] = fork();
		if (pids[i] == 0) {
			char name[8];
			struct keep_journal other;

			snprintf(name, sizeof(name), "n%d", i);
			close(go[1]);
			if (read(go[0], &c, 1) != 0) /* the end tells all at once */
				_exit(1);
			c = keep_claim(name, UID, UID, &other) == 0 ? (char)('0' + i) : '-';
			if (write(done[1], &c, 1) != 1)
				_exit(1);
			for (;;)
				pause();
		}
	}
	close(go[0]);
	close(go[1]);
	for (int i = 0; i < N; i++) {
		assert_int_equal(read(done[0], &c, 1), 1);
		if (c != '-') {
			winners++;
			snprintf(winner, sizeof(winner), "n%c", c);
		}
	}
	for (int i = 0; i < N; i++) {
		kill(pids[i], SIGKILL);
		waitpid(pids[i], NULL, 0);
	}
	close(done[0]);
	close(done[1]);
	assert_int_equal(winners, 1);
	assert_int_equal(keep_undo(winner), 0);
}

/* ---- a daemon in a process of its own ---- */

struct daemon_info {
	pid_t pid;
	int keeper, keeper_pidfd;
};

static void daemon_main(int report, const char *name)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	struct tun_route routes[2] = { { .kind = TUN_ROUTE_DEV }, { .kind = TUN_ROUTE_THROW } };
	struct keep_journal other;
	struct tun *t;
	int fd, keeper, sock;

	if (keep_claim(name, UID, UID, &other) < 0 || keep_fork(&fd, &keeper, name) < 0)
		_exit(1);
	if (keep_note_daemon(fd, getpid()) < 0 || keep_note_device(fd, "ssmkeep0") < 0 ||
	    keep_note_rules(fd) < 0)
		_exit(2);
	net_prefix_parse(&routes[0].prefix, "10.0.0.0/8");
	net_prefix_parse(&routes[1].prefix, "10.1.0.0/16");
	if (tun_open(&t, "ssmkeep0", tun_clone_open()) < 0 ||
	    tun_routes_set(t, TUN_TABLE, routes, 2) < 0 ||
	    tun_rules_set(&(struct tun_policy){ 0 }) < 0)
		_exit(3);
	keep_path(sa.sun_path, sizeof(sa.sun_path), name, "control.sock");
	sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (bind(sock, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		_exit(4);
	close(open(path_of(name, "pid"), O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
	if (write(report, &keeper, sizeof(keeper)) != sizeof(keeper))
		_exit(5);
	for (;;)
		pause();
}

static struct daemon_info start_daemon(const char *name)
{
	struct daemon_info d;
	int report[2];

	assert_int_equal(pipe2(report, O_CLOEXEC), 0);
	d.pid = fork();
	if (d.pid == 0) {
		daemon_main(report[1], name);
		_exit(9);
	}
	close(report[1]);
	assert_int_equal(read(report[0], &d.keeper, sizeof(d.keeper)), sizeof(d.keeper));
	close(report[0]);
	d.keeper_pidfd = (int)syscall(SYS_pidfd_open, d.keeper, 0);
	assert_true(d.keeper_pidfd >= 0);
	assert_true(exists(path_of(name, "control.sock")));
	assert_non_null(strstr(output("ip rule"), "5373"));
	assert_non_null(strstr(output("ip -6 rule"), "5373"));
	assert_non_null(strstr(output("ip route show table 5373"), "throw 10.1.0.0/16"));
	return d;
}

static void kill_daemon(const struct daemon_info *d)
{
	assert_int_equal(kill(d->pid, SIGKILL), 0);
	assert_int_equal(waitpid(d->pid, NULL, 0), d->pid);
}

static void assert_keeper_done(const struct daemon_info *d, const char *name)
{
	struct pollfd p = { .fd = d->keeper_pidfd, .events = POLLIN };

	assert_int_equal(poll(&p, 1, WITHIN_MS), 1);
	close(d->keeper_pidfd);
	reap(d->keeper, 0);
	assert_false(exists(folder_of(name)));
	assert_null(strstr(output("ip rule; ip -6 rule"), "5373"));
	assert_string_equal(output("ip route show table 5373"), "");
	assert_false(tun_device_exists("ssmkeep0"));
}

static void daemon_killed(void **state)
{
	struct daemon_info d = start_daemon("one");
	struct keep_journal j;
	struct timespec before, after;

	(void)state;
	assert_int_equal(keep_journal_read("one", &j), 0);
	assert_int_equal(j.daemon_pid, d.pid);
	assert_int_equal(j.keeper_pid, d.keeper);
	assert_string_equal(j.device, "ssmkeep0");
	assert_true(j.rules);
	clock_gettime(CLOCK_MONOTONIC, &before);
	kill_daemon(&d);
	assert_keeper_done(&d, "one");
	clock_gettime(CLOCK_MONOTONIC, &after);
	print_message("undone %ld ms after SIGKILL\n",
		      (after.tv_sec - before.tv_sec) * 1000 +
			      (after.tv_nsec - before.tv_nsec) / 1000000);
	assert_false(keep_alive(&j));
}

/* The user may remove the journal: the keeper knows what it keeps. */
static void daemon_killed_without_journal(void **state)
{
	struct daemon_info d = start_daemon("one");

	(void)state;
	assert_int_equal(unlink(path_of("one", "journal")), 0);
	kill_daemon(&d);
	assert_keeper_done(&d, "one");
}

static void both_killed(void **state)
{
	struct daemon_info d = start_daemon("one");
	struct keep_journal j;

	(void)state;
	assert_int_equal(kill(d.keeper, SIGKILL), 0);
	kill_daemon(&d);
	assert_int_equal(waitpid(d.keeper, NULL, 0), d.keeper);
	close(d.keeper_pidfd);
	/* What decision 14 says may stay. */
	assert_non_null(strstr(output("ip rule"), "5373"));
	assert_false(tun_device_exists("ssmkeep0"));
	assert_int_equal(keep_journal_read("one", &j), 0);
	assert_false(keep_alive(&j));
	/* The next `up`, under another name, removes it first. */
	claim("two");
	assert_false(exists(folder_of("one")));
	assert_null(strstr(output("ip rule; ip -6 rule"), "5373"));
	assert_string_equal(output("ip route show table 5373"), "");
	assert_int_equal(keep_undo("two"), 0);
}

/* The dead daemon's keeper is late: the claim waits for it and wins. */
static void claim_waits_for_the_keeper(void **state)
{
	struct daemon_info d = start_daemon("one");
	struct keep_journal other;
	pid_t claimant;
	int status;

	(void)state;
	assert_int_equal(kill(d.keeper, SIGSTOP), 0);
	kill_daemon(&d);
	assert_true(exists(folder_of("one")));
	claimant = fork();
	if (claimant == 0)
		_exit(keep_claim("two", UID, UID, &other) == 0 ? 0 : 1);
	assert_int_equal(kill(d.keeper, SIGCONT), 0);
	assert_int_equal(waitpid(claimant, &status, 0), claimant);
	assert_int_equal(status, 0);
	assert_keeper_done(&d, "one");
	assert_int_equal(keep_undo("two"), 0);
}

/* `down` undid it already and another instance lives under the name: the late keeper must not touch that. */
static void late_keeper_leaves_the_next_instance(void **state)
{
	struct daemon_info d = start_daemon("one");
	int fd, keeper;

	(void)state;
	assert_int_equal(kill(d.keeper, SIGSTOP), 0);
	kill_daemon(&d);
	assert_int_equal(keep_undo("one"), 0);
	fd = start_keeper("one", &keeper);
	assert_int_equal(keep_note_rules(fd), 0);
	assert_int_equal(tun_rules_set(&(struct tun_policy){ 0 }), 0);
	assert_int_equal(kill(d.keeper, SIGCONT), 0);
	reap(d.keeper, 0);
	close(d.keeper_pidfd);
	assert_true(exists(path_of("one", "journal")));
	assert_non_null(strstr(output("ip rule"), "5373"));
	assert_int_equal(keep_goodbye(fd), 0);
	close(fd);
	reap(keeper, 0);
}

/* ---- the keeper's process ---- */

static void goodbye(void **state)
{
	int pid, fd = start_keeper("one", &pid);

	(void)state;
	assert_int_equal(keep_note_rules(fd), 0);
	assert_int_equal(tun_rules_set(&(struct tun_policy){ 0 }), 0);
	write_file(path_of("one", "pid"), "1\n");
	write_file(path_of("one", ".leftover.tmp"), "");
	assert_int_equal(keep_goodbye(fd), 0);
	assert_false(exists(folder_of("one")));
	assert_null(strstr(output("ip rule; ip -6 rule"), "5373"));
	reap(pid, 0);
	assert_int_equal(keep_goodbye(fd), ST_ECLOSED);
	close(fd);
}

static void notes(void **state)
{
	static const char *const bad[] = {
		"", "a/b", "..", "a b", "0123456789abcdef", "0123456789abcde\n"
	};
	int pid, fd = start_keeper("one", &pid);
	struct keep_journal j;

	(void)state;
	assert_int_equal(keep_note_device(fd, "0123456789abcde"), 0);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(keep_note_device(fd, bad[i]), ST_EINVAL);
	assert_int_equal(keep_note_daemon(fd, 1),
			 ST_EPERM); /* root may be asked to kill that pid */
	assert_int_equal(keep_note_daemon(fd, 0), ST_EPERM);
	assert_int_equal(keep_journal_read("one", &j), 0);
	assert_string_equal(j.device, "0123456789abcde");
	assert_int_equal(j.daemon_pid, getpid());
	assert_int_equal(j.keeper_pid, pid);
	assert_false(j.rules);
	assert_int_equal(keep_note_rules(fd), 0);
	assert_int_equal(keep_journal_read("one", &j), 0);
	assert_true(j.rules);
	assert_int_equal(keep_goodbye(fd), 0);
	close(fd);
	reap(pid, 0);
}

static void signals(void **state)
{
	static const int sent[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE, SIGUSR1 };
	int pid, fd = start_keeper("one", &pid);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(sent); i++)
		assert_int_equal(kill(pid, sent[i]), 0);
	assert_int_equal(keep_note_rules(fd), 0);
	assert_int_equal(getsid(pid), pid);
	close(fd); /* without a goodbye */
	reap(pid, 0);
	assert_false(exists(folder_of("one")));
}

static int count_descriptors(int pid)
{
	char path[32];
	struct dirent *e;
	int n = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	dir = opendir(path);
	assert_non_null(dir);
	while ((e = readdir(dir)))
		n += e->d_name[0] != '.';
	closedir(dir);
	return n;
}

static void descriptors(void **state)
{
	int extra = open("/dev/null", O_RDONLY), high = fcntl(extra, F_DUPFD, 600);
	int pid, fd = start_keeper("one", &pid);

	(void)state;
	assert_true(high >= 600);
	assert_int_equal(count_descriptors(pid), 4); /* 0 and 1 to /dev/null, 2, its end */
	assert_int_equal(keep_goodbye(fd), 0);
	reap(pid, 0);
	close(fd);
	close(extra);
	close(high);
}

static void log_is_handed_over(void **state)
{
	int pid, fd = start_keeper("one", &pid), log_fd;
	char proc[32], to[128] = "", path[64];

	(void)state;
	snprintf(path, sizeof(path), "%s/keeper.log", base);
	log_fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_int_equal(keep_note_log(fd, -1), ST_EINVAL);
	assert_int_equal(keep_note_log(fd, log_fd), 0);
	snprintf(proc, sizeof(proc), "/proc/%d/fd/2", pid);
	assert_true(readlink(proc, to, sizeof(to) - 1) > 0);
	assert_string_equal(to, path);
	assert_int_equal(count_descriptors(pid), 4);
	close(log_fd);
	assert_int_equal(keep_goodbye(fd), 0);
	close(fd);
	reap(pid, 0);
	unlink(path);
}

static int answer_of(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	struct keep_answer a;

	assert_int_equal(poll(&p, 1, 5000), 1);
	assert_int_equal(recv(fd, &a, sizeof(a), 0), sizeof(a));
	return a.result;
}

static void garbage(void **state)
{
	int pid, fd = start_keeper("one", &pid), pass[3] = { fd, fd, fd };
	struct keep_request req = { .number = 77, .op = 99 };
	uint8_t big[4096];
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(pass))];
	} control = { .room = { 0 } };
	struct iovec iov = { .iov_base = big, .iov_len = 3 };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = &control,
			      .msg_controllen = sizeof(control) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	(void)state;
	memset(big, 0xff, sizeof(big));
	for (size_t len = 0; len < sizeof(req) + 4; len++) {
		assert_int_equal(send(fd, big, len, 0), (ssize_t)len);
		assert_int_equal(answer_of(fd), ST_EINVAL);
	}
	assert_int_equal(send(fd, big, sizeof(big), 0), sizeof(big));
	assert_int_equal(answer_of(fd), ST_EINVAL);
	assert_int_equal(send(fd, &req, sizeof(req), 0), sizeof(req));
	assert_int_equal(answer_of(fd), ST_EINVAL);
	req.op = 0;
	assert_int_equal(send(fd, &req, sizeof(req), 0), sizeof(req));
	assert_int_equal(answer_of(fd), ST_EINVAL);
	req.op = KEEP_OP_DEVICE;
	memset(req.device, 'a', sizeof(req.device)); /* without an end */
	assert_int_equal(send(fd, &req, sizeof(req), 0), sizeof(req));
	assert_int_equal(answer_of(fd), ST_EINVAL);
	/* Descriptors that nobody asked for are closed. */
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(pass));
	memcpy(CMSG_DATA(c), pass, sizeof(pass));
	assert_int_equal(sendmsg(fd, &msg, 0), 3);
	assert_int_equal(answer_of(fd), ST_EINVAL);
	assert_int_equal(count_descriptors(pid), 4);
	assert_int_equal(keep_goodbye(fd), 0);
	close(fd);
	reap(pid, 0);
}

static void keeper_killed(void **state)
{
	int pid, fd = start_keeper("one", &pid);
	struct pollfd p = { .fd = fd, .events = POLLIN };
	struct keep_journal j;

	(void)state;
	assert_int_equal(keep_note_rules(fd), 0);
	assert_int_equal(tun_rules_set(&(struct tun_policy){ 0 }), 0);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_int_equal(poll(&p, 1, 0), 1);
	assert_true(p.revents & POLLHUP);
	assert_int_equal(keep_note_rules(fd), ST_ECLOSED);
	assert_int_equal(keep_goodbye(fd), ST_ECLOSED);
	assert_int_equal(keep_journal_read("one", &j), 0);
	assert_true(keep_alive(&j)); /* the daemon, which is us, lives */
	assert_int_equal(keep_undo("one"), 0);
	close(fd);
}

static void unclaimed(void **state)
{
	int fd, pid;

	(void)state;
	assert_int_equal(keep_fork(&fd, &pid, "one"), 0);
	reap(pid, 1);
	assert_int_equal(keep_note_rules(fd), ST_ECLOSED);
	close(fd);
	assert_int_equal(keep_fork(&fd, &pid, "../one"), ST_EINVAL);
}

/* ---- who lives ---- */

static void alive(void **state)
{
	struct keep_journal j = { .daemon_pid = (uint32_t)getpid() };
	pid_t zombie;
	siginfo_t info;

	(void)state;
	assert_false(keep_alive(&j));
	j.daemon_start = keep_proc_start(j.daemon_pid);
	assert_true(j.daemon_start > 0);
	assert_true(keep_alive(&j));
	j.daemon_start++; /* the pid was used again */
	assert_false(keep_alive(&j));
	j.keeper_pid = (uint32_t)getpid();
	j.keeper_start = j.daemon_start - 1;
	assert_true(keep_alive(&j));
	assert_int_equal(keep_proc_start(0), 0);
	assert_int_equal(keep_proc_start(INT32_MAX), 0);
	zombie = fork();
	if (zombie == 0)
		_exit(0);
	assert_int_equal(waitid(P_PID, (id_t)zombie, &info, WEXITED | WNOWAIT), 0);
	assert_int_equal(keep_proc_start((uint32_t)zombie), 0);
	assert_int_equal(waitpid(zombie, NULL, 0), zombie);
	/* A name that looks like the end of the name field. */
	assert_int_equal(prctl(PR_SET_NAME, "a) Z 1 2"), 0);
	assert_int_equal(keep_proc_start((uint32_t)getpid()), j.keeper_start);
}

/* ---- a folder that the user owns ---- */

#define GOOD                                                                                       \
	"{\"name\":\"one\",\"device\":\"d\",\"daemon_pid\":5,\"daemon_start\":6,\"keeper_pid\":7," \
	"\"keeper_start\":8,\"uid\":9,\"rules\":true}"

static void journals_with_wrong_later_fields(void **state)
{
	/* What came later: absent is fine, wrong is not. */
	static const char *const later_bad[] = {
		"\"fail_closed\":1",
		"\"filter\":null",
		"\"src_valid_mark\":2",
		"\"src_valid_mark\":\"0\"",
		"\"src_valid_mark\":-2",
		"\"resolver\":5",
		"\"resolver\":-1",
		"\"servers\":\"1.1.1.1\"",
		"\"servers\":[\"x\"]",
		"\"servers\":[1]",
		"\"servers\":[\"1.1.1.1\",\"1.1.1.1\",\"1.1.1.1\"]",
	};
	const char *path = path_of("one", "journal");
	struct keep_journal j;
	char text[512];

	(void)state;
	claim("one");
	for (size_t i = 0; i < ARRAY_LEN(later_bad); i++) {
		snprintf(text, sizeof(text), "%.*s,%s}", (int)strlen(GOOD) - 1, GOOD, later_bad[i]);
		write_file(path, text);
		assert_int_equal(keep_journal_read("one", &j), ST_EFORMAT);
	}
	assert_int_equal(keep_undo("one"), 0);
}

static void journals_not_to_be_trusted(void **state)
{
	static const char *const bad[] = {
		"",
		"{",
		"[]",
		"null",
		"{}",
		GOOD "x",
		"{\"name\":\"two\",\"device\":\"d\",\"daemon_pid\":5,\"daemon_start\":6,\"keeper_"
		"pid\":7,"
		"\"keeper_start\":8,\"uid\":9,\"rules\":true}",
		"{\"name\":\"one\",\"device\":\"a/"
		"b\",\"daemon_pid\":5,\"daemon_start\":6,\"keeper_pid\":7,"
		"\"keeper_start\":8,\"uid\":9,\"rules\":true}",
		"{\"name\":\"one\",\"device\":\"d\",\"daemon_pid\":-1,\"daemon_start\":6,\"keeper_"
		"pid\":7,"
		"\"keeper_start\":8,\"uid\":9,\"rules\":true}",
		"{\"name\":\"one\",\"device\":\"d\",\"daemon_pid\":5,\"daemon_start\":6,\"keeper_"
		"pid\":"
		"2147483648,\"keeper_start\":8,\"uid\":9,\"rules\":true}",
		"{\"name\":\"one\",\"device\":\"d\",\"daemon_pid\":5,\"daemon_start\":\"6\","
		"\"keeper_pid\":7,"
		"\"keeper_start\":8,\"uid\":9,\"rules\":true}",
		"{\"name\":\"one\",\"device\":\"d\",\"daemon_pid\":5,\"daemon_start\":6,\"keeper_"
		"pid\":7,"
		"\"keeper_start\":8,\"uid\":9,\"rules\":1}",
	};
	const char *path = path_of("one", "journal");
	char large[8192];
	struct keep_journal j;

	(void)state;
	claim("one");
	write_file(path, GOOD);
	assert_int_equal(keep_journal_read("one", &j), 0);
	assert_int_equal(j.daemon_pid, 5);
	assert_int_equal(j.keeper_start, 8);
	assert_int_equal(j.src_valid_mark, -1);
	assert_false(j.fail_closed || j.filter || j.resolver || j.servers[0].family);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		write_file(path, bad[i]);
		assert_int_equal(keep_journal_read("one", &j), ST_EFORMAT);
	}
	memset(large, ' ', sizeof(large));
	memcpy(large, GOOD, strlen(GOOD));
	large[sizeof(large) - 1] = '\0';
	write_file(path, large);
	assert_int_equal(keep_journal_read("one", &j), ST_EFORMAT);
	assert_int_equal(keep_undo("one"), 0);
}

/* The right words by the wrong hand. */
static void journals_that_others_can_have_written(void **state)
{
	const char *path = path_of("one", "journal");
	struct keep_journal j;
	char other[64];

	(void)state;
	claim("one");
	write_file(path, GOOD);
	assert_int_equal(chmod(path, 0620), 0);
	assert_int_equal(keep_journal_read("one", &j), ST_EFORMAT);
	assert_int_equal(chmod(path, 0600), 0);
	assert_int_equal(chown(path, UID, 0), 0);
	assert_int_equal(keep_journal_read("one", &j), ST_EFORMAT);
	assert_int_equal(chown(path, 0, 0), 0);
	snprintf(other, sizeof(other), "%s/linked", base);
	assert_int_equal(link(path, other), 0);
	assert_int_equal(keep_journal_read("one", &j), ST_EFORMAT);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(symlink(other, path), 0);
	assert_int_equal(keep_journal_read("one", &j), ST_EFORMAT);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkfifo(path, 0600), 0); /* does not hang */
	assert_int_equal(keep_journal_read("one", &j), ST_EFORMAT);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(keep_journal_read("one", &j), ST_EFORMAT);
	assert_int_equal(keep_first(&j), ST_ENOENT);
	/* It counts as dead, and goes. */
	claim("two");
	assert_false(exists(folder_of("one")));
	assert_int_equal(keep_undo("two"), 0);
	assert_true(exists(other));
	unlink(other);
}

static void links_are_not_followed(void **state)
{
	int pid, fd = start_keeper("one", &pid);
	char victim[64], victim_dir[64], inside[80];
	struct keep_journal j;

	(void)state;
	snprintf(victim, sizeof(victim), "%s/victim", base);
	snprintf(victim_dir, sizeof(victim_dir), "%s/victims", base);
	snprintf(inside, sizeof(inside), "%s/pid", victim_dir);
	write_file(victim, "precious");
	assert_int_equal(mkdir(victim_dir, 0700), 0);
	write_file(inside, "precious");
	/* Where the keeper writes and removes, the user has put links to what is root's. */
	assert_int_equal(unlink(path_of("one", "journal")), 0);
	assert_int_equal(symlink(victim, path_of("one", "journal")), 0);
	assert_int_equal(symlink(victim, path_of("one", "control.sock")), 0);
	assert_int_equal(symlink(victim_dir, path_of("one", "pid")), 0);
	assert_int_equal(keep_note_device(fd, "d0"), 0);
	assert_int_equal(keep_journal_read("one", &j), 0); /* the link was replaced, not followed */
	assert_string_equal(j.device, "d0");
	assert_int_equal(keep_goodbye(fd), 0);
	close(fd);
	reap(pid, 0);
	assert_false(exists(folder_of("one")));
	char cmd[256];
	snprintf(cmd, sizeof(cmd), "cat %s %s", victim, inside);
	assert_string_equal(output(cmd), "preciousprecious");
	/* The instance's folder itself is a link: not ours, left alone. */
	assert_int_equal(symlink(victim_dir, folder_of("one")), 0);
	assert_int_equal(keep_journal_read("one", &j), ST_EFORMAT);
	assert_int_equal(keep_undo("one"), ST_ESYS);
	assert_int_equal(keep_claim("one", UID, UID, &j), ST_ESYS);
	assert_string_equal(output(cmd), "preciousprecious");
	assert_int_equal(unlink(folder_of("one")), 0);
	snprintf(cmd, sizeof(cmd), "rm -r %s %s", victim, victim_dir);
	run(cmd);
}

static void folders_in_the_folder(void **state)
{
	char deep[128];

	(void)state;
	claim("one");
	assert_int_equal(mkdir(path_of("one", "empty"), 0700), 0);
	assert_int_equal(mkdir(path_of("one", "full"), 0700), 0);
	snprintf(deep, sizeof(deep), "%s/file", path_of("one", "full"));
	write_file(deep, "");
	assert_int_equal(keep_undo("one"), 0);
	assert_false(exists(path_of("one", "empty")));
	assert_false(exists(path_of("one", "journal")));
	assert_true(exists(deep));
	claim("one"); /* no obstacle */
	assert_int_equal(unlink(deep), 0);
	assert_int_equal(keep_undo("one"), 0);
	assert_false(exists(folder_of("one")));
}

static void run_dir_of_others(void **state)
{
	struct keep_journal j;

	(void)state;
	claim("one");
	assert_int_equal(chmod(run_path, 0777), 0);
	assert_int_equal(keep_claim("two", UID, UID, &j), ST_ESYS);
	assert_int_equal(keep_journal_read("one", &j), ST_ESYS);
	assert_int_equal(chmod(run_path, 0755), 0);
	assert_int_equal(chown(run_path, UID, UID), 0);
	assert_int_equal(keep_undo("one"), ST_ESYS);
	assert_int_equal(chown(run_path, 0, 0), 0);
	assert_int_equal(keep_undo("one"), 0);
}

#define TEST(name) cmocka_unit_test_teardown(name, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(nothing_there),
		TEST(names),
		TEST(what_a_claim_makes),
		TEST(claimed_already),
		TEST(claims_at_once),
		TEST(daemon_killed),
		TEST(daemon_killed_without_journal),
		TEST(both_killed),
		TEST(claim_waits_for_the_keeper),
		TEST(late_keeper_leaves_the_next_instance),
		TEST(goodbye),
		TEST(notes),
		TEST(signals),
		TEST(descriptors),
		TEST(log_is_handed_over),
		TEST(garbage),
		TEST(keeper_killed),
		TEST(unclaimed),
		TEST(alive),
		TEST(journals_with_wrong_later_fields),
		TEST(journals_not_to_be_trusted),
		TEST(journals_that_others_can_have_written),
		TEST(links_are_not_followed),
		TEST(folders_in_the_folder),
		TEST(run_dir_of_others),
	};

	const struct CMUnitTest none[] = { cmocka_unit_test(needs_rights) };

	if (geteuid() != 0 || unshare(CLONE_NEWNET) < 0)
		return cmocka_run_group_tests_name("keeper", none, NULL, NULL);
	return cmocka_run_group_tests_name("keeper", tests, group_setup, group_teardown);
}
