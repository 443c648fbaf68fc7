// SPDX-License-Identifier: MIT
/*
 * keep_run.c - the run-time folder: claiming a name, and undoing what an instance left
 *
 * Theory of operation: /run/ssm-tun is root's, /run/ssm-tun/NAME the user's. Root reaches into the latter only
 * by descriptors of the folder (openat, unlinkat) that were opened without following symbolic links, and
 * only removes there. Claims and undoings of all instances exclude each other by a flock on /run/ssm-tun/lock.
 *
 * An instance lives while its daemon or its keeper does. A keeper whose daemon has died is about to clean up;
 * a claim waits for it.
 */
#include "keeper/keeper_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "base/text.h"
#include "keeper/keep_dns.h"
#include "keeper/keep_filter.h"
#include "tun/tun.h"

#define LOCK_FILE "lock"
#define CLAIM_LOCK_MS 5000U /* ours: another start or stop takes milliseconds */
#define KEEPER_LOCK_MS                                                                             \
	400U /* ours: a claim that was stopped must not keep the keeper from its 1 s */
#define LOCK_STEP_MS 10U
#define KEEPER_WAIT_MS 2000	/* ours: twice what a keeper may take */
#define FOLDER_ENTRIES_MAX 256U /* ours: files removed from an instance's folder; there are three */

static char run_dir[KEEP_FOLDER_MAX] = KEEP_RUN_DIR;

const char *keep_run_dir(void)
{
	return run_dir;
}

void keep_set_run_dir(const char *path)
{
	ST_ASSERT(text_copy(run_dir, sizeof(run_dir), path));
}

void keep_path(char *out, size_t cap, const char *name, const char *file)
{
	snprintf(out, cap, "%s/%s/%s", run_dir, name, file);
}

/* The open run-time folder; @make: made if it is missing. It must be ours and nobody else's to write. */
static int open_run_dir(int *out, bool make)
{
	struct stat st;
	int fd;

	*out = -1;
	if (make && mkdir(run_dir, 0755) < 0 && errno != EEXIST)
		return log_sys("keeper: make %s", run_dir);
	fd = open(run_dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? ST_ENOENT : log_sys("keeper: open %s", run_dir);
	if (fstat(fd, &st) < 0 || st.st_uid != geteuid() || (st.st_mode & 022)) {
		log_error("keeper: %s does not belong to uid %u alone: remove it", run_dir,
			  (unsigned)geteuid());
		close(fd);
		return ST_ESYS;
	}
	if (make && (st.st_mode & 0777) != 0755 && fchmod(fd, 0755) < 0)
		log_warn("keeper: chmod %s: %s", run_dir, strerror(errno));
	*out = fd;
	return 0;
}

/* Return: the locked descriptor (close() unlocks); -1 after @wait_ms or on an error */
static int take_lock(int run_fd, uint32_t wait_ms)
{
	const struct timespec step = { .tv_nsec = LOCK_STEP_MS * 1000000L };
	int fd = openat(run_fd, LOCK_FILE, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd < 0) {
		log_sys("keeper: open %s/" LOCK_FILE, run_dir);
		return -1;
	}
	for (uint32_t waited = 0; flock(fd, LOCK_EX | LOCK_NB) < 0; waited += LOCK_STEP_MS) {
		if ((errno != EWOULDBLOCK && errno != EINTR) || waited >= wait_ms) {
			log_sys("keeper: lock %s/" LOCK_FILE, run_dir);
			close(fd);
			return -1;
		}
		nanosleep(&step, NULL);
	}
	return fd;
}

/* A fresh directory stream of the folder behind @fd, which stays open. */
static DIR *list_folder(int fd)
{
	int again = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = again < 0 ? NULL : fdopendir(again);

	if (!dir && again >= 0)
		close(again);
	return dir;
}

int keep_first_name(char out[KEEP_NAME_MAX + 1])
{
	int fd = open(run_dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;
	int r = ST_ENOENT;

	if (!dir && fd >= 0)
		close(fd);
	while (dir && r == ST_ENOENT && (e = readdir(dir))) {
		struct stat st;

		if (!keep_name_ok(e->d_name) ||
		    fstatat(fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISDIR(st.st_mode))
			continue;
		text_copy(out, KEEP_NAME_MAX + 1, e->d_name);
		r = 0;
	}
	if (dir)
		closedir(dir);
	return r;
}

/* The first instance whose journal can be trusted; @living: that lives; @except: but this one (may be NULL). */
static int find_instance(int run_fd, struct keep_journal *out, bool living, const char *except)
{
	DIR *dir = list_folder(run_fd);
	struct keep_journal j;
	struct dirent *e;
	int r = ST_ENOENT;

	if (!dir)
		return log_sys("keeper: read %s", run_dir);
	while (r == ST_ENOENT && (e = readdir(dir))) {
		if (!keep_name_ok(e->d_name) || (except && strcmp(e->d_name, except) == 0))
			continue;
		if (keep_journal_read_at(run_fd, e->d_name, &j) == 0 &&
		    (!living || keep_alive(&j))) {
			*out = j;
			r = 0;
		}
	}
	closedir(dir);
	return r;
}

static void remove_entry(int folder, const char *entry)
{
	if (unlinkat(folder, entry, 0) < 0 && errno != ENOENT &&
	    unlinkat(folder, entry, AT_REMOVEDIR) < 0)
		log_warn("keeper: remove %s: %s", text_safe(entry).s, strerror(errno));
}

/* What the folder holds goes, the journal last, so that an undoing that was cut short can be repeated; or not at all. */
static void empty_folder(int folder, bool keep_journal)
{
	DIR *dir = list_folder(folder);
	struct dirent *e;

	for (unsigned n = 0; dir && n < FOLDER_ENTRIES_MAX && (e = readdir(dir)); n++)
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 &&
		    strcmp(e->d_name, "journal") != 0)
			remove_entry(folder, e->d_name);
	if (dir)
		closedir(dir);
	if (!keep_journal)
		remove_entry(folder, "journal");
}

static int remove_folder(int run_fd, const char *name)
{
	int folder = openat(run_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (folder < 0)
		return errno == ENOENT ? 0 : log_sys("keeper: open %s/%s", run_dir, name);
	empty_folder(folder, false);
	close(folder);
	if (unlinkat(run_fd, name, AT_REMOVEDIR) == 0)
		return 0;
	if (errno != ENOTEMPTY && errno != EEXIST)
		return log_sys("keeper: remove %s/%s", run_dir, name);
	log_warn("keeper: %s/%s holds folders that are not ours: left there", run_dir, name);
	return 0;
}

uint64_t keep_now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* What keeps other programs' packets from going where they went before. */
static int undo_network(const struct keep_journal *j, bool stay_closed)
{
	int rules, routes;

	if (stay_closed) {
		log_warn("keeper: %s: fail_closed: rules and unreachable routes stay until "
			 "\"ssm-tun down\"",
			 j->name);
		return 0;
	}
	rules = tun_rules_del();
	routes = tun_routes_flush();
	if (rules > 0)
		log_debug("keeper: %s: %d policy rules removed", j->name, rules);
	if (rules >= 0 && routes >= 0)
		return keep_filter_undo(j);
	log_error("keeper: %s: policy rules or routes could not be removed; \"ssm-tun down\" "
		  "as root tries again",
		  j->name);
	return ST_ESYS;
}

/* The socket and the pid file go; the journal stays for `down`, as root's only trace. */
static void keep_closed(int run_fd, const struct keep_journal *j)
{
	struct keep_journal left = *j;
	int folder = openat(run_fd, j->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	left.resolver = KEEP_DNS_NONE;
	keep_journal_write(&left);
	if (folder < 0)
		return;
	empty_folder(folder, true);
	close(folder);
}

/*
 * With the lock held. Rules, routes and the resolver are one instance's at a time: another that lives keeps them. What takes no time comes
 * first, and what may wait for others last; if that is cut short, it only leaves a link's settings that went with the link.
 */
static int undo_locked(int run_fd, const struct keep_journal *j, bool stay_closed)
{
	struct keep_journal other;
	int network = 0, file = 0, r = find_instance(run_fd, &other, true, j->name);

	if (r < 0 && r != ST_ENOENT)
		return r; /* unknown who else lives: nothing is taken from them */
	if (r == ST_ENOENT) {
		network = undo_network(j, stay_closed);
		file = keep_dns_undo_file(j);
		keep_dns_undo_others(j);
	}
	if (network < 0 || file < 0)
		return ST_ESYS; /* the journal stays for the next try */
	if (!stay_closed)
		return remove_folder(run_fd, j->name);
	keep_closed(run_fd, j);
	return 0;
}

static bool is_ours(const struct keep_journal *j)
{
	return j->keeper_pid == (uint32_t)getpid() || j->daemon_pid == (uint32_t)getpid();
}

/* What is undone when there is no journal: everything that may be there. */
static void journal_unknown(struct keep_journal *j, const char *name)
{
	*j = (struct keep_journal){ .src_valid_mark = -1, .filter = true };
	text_copy(j->name, sizeof(j->name), name);
}

/* Without a run-time folder, as after a reboot: what of ours a file may still hold. */
static int undo_without_folder(const char *name)
{
	struct keep_journal j;

	journal_unknown(&j, name);
	j.filter = false; /* after a reboot the kernel has none */
	return undo_network(&j, false) < 0 || keep_dns_undo_file(&j) < 0 ? ST_ESYS : 0;
}

/* @own: of a keeper, what it knows itself; NULL: of others */
static int undo(const char *name, const struct keep_journal *own, bool crashed)
{
	struct keep_journal j;
	int run_fd, lock, r;

	if (!keep_name_ok(name))
		return ST_EINVAL;
	if ((r = open_run_dir(&run_fd, false)) == ST_ENOENT)
		return undo_without_folder(name);
	if (r < 0)
		return r;
	lock = take_lock(run_fd, own ? KEEPER_LOCK_MS : CLAIM_LOCK_MS);
	if (lock < 0)
		log_warn("keeper: %s: going on without the lock", name);
	/* Somebody may have undone it already, and somebody else started anew since the caller looked. A keeper also leaves another
	 * keeper its work; `down` does not wait for one that hangs. */
	r = keep_journal_read_at(run_fd, name, &j);
	if (r < 0 && own)
		j = *own;
	else if (r < 0)
		journal_unknown(&j, name);
	if (r == 0 && !is_ours(&j) && (own ? keep_alive(&j) : keep_daemon_alive(&j)))
		r = 0;
	else
		r = undo_locked(run_fd, &j, crashed && j.fail_closed);
	if (lock >= 0)
		close(lock);
	close(run_fd);
	return r;
}

int keep_undo(const char *name)
{
	return undo(name, NULL, false);
}

int keep_undo_crashed(const char *name)
{
	return undo(name, NULL, true);
}

int keep_undo_own(const struct keep_journal *j, bool crashed)
{
	return undo(j->name, j, crashed);
}

int keep_journal_read(const char *name, struct keep_journal *out)
{
	int run_fd, r;

	if (!keep_name_ok(name))
		return ST_ENOENT;
	if ((r = open_run_dir(&run_fd, false)) < 0)
		return r;
	r = keep_journal_read_at(run_fd, name, out);
	close(run_fd);
	return r;
}

int keep_first(struct keep_journal *out)
{
	int run_fd, r;

	if ((r = open_run_dir(&run_fd, false)) < 0)
		return r;
	r = find_instance(run_fd, out, false, NULL);
	close(run_fd);
	return r;
}

/* Undoes every dead instance's leftovers, also folders whose journal is missing or can't be trusted. */
static int undo_dead(int run_fd)
{
	char names[32][KEEP_NAME_MAX + 1];
	DIR *dir = list_folder(run_fd);
	struct dirent *e;
	struct stat st;
	size_t n = 0;
	int r = 0;

	if (!dir)
		return log_sys("keeper: read %s", run_dir);
	while (n < ARRAY_LEN(names) && (e = readdir(dir)))
		if (keep_name_ok(e->d_name) &&
		    fstatat(run_fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		    S_ISDIR(st.st_mode))
			text_copy(names[n++], sizeof(names[0]), e->d_name);
	closedir(dir);
	for (size_t i = 0; i < n && r == 0; i++) {
		struct keep_journal j;

		log_info("keeper: removing what an earlier \"%s\" left", names[i]);
		if (keep_journal_read_at(run_fd, names[i], &j) < 0)
			journal_unknown(&j, names[i]);
		r = undo_locked(run_fd, &j, false);
	}
	/* Rules of an instance whose folder has gone altogether. */
	if (r == 0 && n == 0)
		r = undo_without_folder("-");
	return r;
}

static int make_folder(int run_fd, const char *name, uid_t uid, gid_t gid)
{
	int folder, r = 0;

	if (mkdirat(run_fd, name, 0700) < 0 && errno != EEXIST)
		return log_sys("keeper: make %s/%s", run_dir, name);
	folder = openat(run_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (folder < 0)
		return log_sys("keeper: open %s/%s", run_dir, name);
	if (fchown(folder, uid, gid) < 0 || fchmod(folder, 0700) < 0)
		r = log_sys("keeper: give %s/%s to uid %u", run_dir, name, (unsigned)uid);
	close(folder);
	return r;
}

static int claim_locked(int run_fd, const char *name, uid_t uid, gid_t gid,
			struct keep_journal *other)
{
	struct keep_journal mine = { .uid = uid,
				     .daemon_pid = (uint32_t)getpid(),
				     .src_valid_mark = -1 };
	int r = find_instance(run_fd, other, true, NULL);

	if (r != ST_ENOENT)
		return r == 0 ? ST_EEXIST : r;
	if ((r = undo_dead(run_fd)) < 0 || (r = make_folder(run_fd, name, uid, gid)) < 0)
		return r;
	text_copy(mine.name, sizeof(mine.name), name);
	mine.daemon_start = keep_proc_start(mine.daemon_pid);
	if ((r = keep_journal_write(&mine)) < 0)
		remove_folder(run_fd, name);
	return r;
}

/* Return: true if the process ended, or was not there, within @wait_ms */
static bool wait_for_end(uint32_t pid, int wait_ms)
{
	struct pollfd p = { .fd = (int)syscall(SYS_pidfd_open, (pid_t)pid, 0), .events = POLLIN };
	int n;

	if (p.fd < 0)
		return errno == ESRCH;
	n = poll(&p, 1, wait_ms);
	close(p.fd);
	return n == 1;
}

int keep_claim(const char *name, uid_t uid, gid_t gid, struct keep_journal *other)
{
	bool waited = false;
	int run_fd, lock, r;

	if (!keep_name_ok(name))
		return ST_EINVAL;
	if ((r = open_run_dir(&run_fd, true)) < 0)
		return r;
	for (;;) {
		if ((lock = take_lock(run_fd, CLAIM_LOCK_MS)) < 0) {
			r = ST_ESYS;
			break;
		}
		r = claim_locked(run_fd, name, uid, gid, other);
		close(lock);
		if (r != ST_EEXIST || waited || keep_daemon_alive(other))
			break;
		waited = true;
		if (!wait_for_end(other->keeper_pid, KEEPER_WAIT_MS))
			break;
	}
	close(run_fd);
	return r;
}
