// SPDX-License-Identifier: MIT
/*
 * aws_watch.c - inotify on the files that a person is waited for
 *
 * Theory of operation: a file is watched through its folder, since it is replaced by a rename as often as it is written. Where the
 * folder does not exist the nearest parent that does is watched, and the watch moves down as folders appear and up as they go. What
 * appeared between the look and the watch is found by looking once more behind every watch that was set. A file that has
 * changed is told once and forgotten; all of one turn are told together. Where inotify can't be had (its limits are a
 * user's, not a process's) nothing is lost but speed: who waits looks again every few seconds anyway. A symbolic link's
 * target is not watched, the link is.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "aws/aws_internal.h"
#include "base/log.h"
#include "base/text.h"

#define FILES_MAX 8U  /* ours: an SSO token, the two files, a token file */
#define ARM_STEPS 64U /* ours: folders that come and go under our hands */
#define READS_MAX 16U /* of 4 KiB in one turn; the rest in the next */
#define NEWS (IN_CLOSE_WRITE | IN_MOVED_TO | IN_ATTRIB) /* of the file itself */
#define GONE (IN_DELETE_SELF | IN_MOVE_SELF | IN_IGNORED | IN_UNMOUNT)
#define MASK (NEWS | IN_CREATE | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR)

struct entry {
	char *path;	   /* NULL: free */
	size_t folder_len; /* of path: what is watched */
	int wd;		   /* -1: nothing */
	struct aws_watch_seen seen;
};

struct aws_watch {
	struct aws_account *acc;
	int fd;
	loop_watch watch;
	struct entry entries[FILES_MAX];
	struct loop_timer tell;
};

void aws_watch_look(struct aws_watch_seen *out, const char *path)
{
	struct stat st;

	*out = (struct aws_watch_seen){ 0 };
	if (stat(path, &st) < 0)
		return;
	out->exists = true;
	out->device = st.st_dev;
	out->inode = st.st_ino;
	out->size = (uint64_t)st.st_size;
	out->changed_ns = (uint64_t)st.st_ctim.tv_sec * 1000000000U + (uint64_t)st.st_ctim.tv_nsec;
}

static bool is_same(const struct aws_watch_seen *a, const struct aws_watch_seen *b)
{
	return a->exists == b->exists && a->device == b->device && a->inode == b->inode &&
	       a->size == b->size && a->changed_ns == b->changed_ns;
}

static bool file_is_new(const struct entry *e)
{
	struct aws_watch_seen now;

	aws_watch_look(&now, e->path);
	return now.exists && !is_same(&now, &e->seen);
}

/* Several files may share a folder, and with it a watch. */
static void wd_drop(struct aws_watch *w, struct entry *e)
{
	const int wd = e->wd;

	e->wd = -1;
	if (wd < 0)
		return;
	for (size_t i = 0; i < FILES_MAX; i++)
		if (w->entries[i].path && w->entries[i].wd == wd)
			return;
	inotify_rm_watch(w->fd, wd);
}

static void entry_drop(struct aws_watch *w, struct entry *e)
{
	wd_drop(w, e);
	free(e->path);
	*e = (struct entry){ .wd = -1 };
}

static void entry_changed(struct aws_watch *w, struct entry *e)
{
	struct loop *loop = w->acc->aws->loop;

	log_debug("aws: %s has changed", text_safe(e->path).s);
	entry_drop(w, e);
	if (loop_timer_set(loop, &w->tell, loop_now_ms(loop)) < 0)
		log_error("aws: no memory for a timer");
}

/* ---- where to watch ---- */

static size_t parent_len(const char *path, size_t len)
{
	while (len > 1 && path[len - 1] != '/')
		len--;
	while (len > 1 && path[len - 1] == '/')
		len--;
	return len;
}

/* Behind the folder: the length of the next name, which starts at *@name. */
static size_t next_name(const struct entry *e, const char **name)
{
	*name = e->path + e->folder_len;
	while (**name == '/')
		(*name)++;
	return strcspn(*name, "/");
}

static bool next_is_file(const struct entry *e)
{
	const char *name;
	const size_t len = next_name(e, &name);

	return name[len] == '\0';
}

static bool next_is_folder_now(const struct entry *e)
{
	const char *name;
	const size_t len = next_name(e, &name);
	char *path = strndup(e->path, (size_t)(name - e->path) + len);
	struct stat st;
	const bool is = path && stat(path, &st) == 0 && S_ISDIR(st.st_mode);

	free(path);
	return is;
}

/* Watches the first @len bytes of the path. Return: the watch; -1 and errno */
static int folder_watch(const struct aws_watch *w, const struct entry *e, size_t len)
{
	char *folder = strndup(e->path, len);
	int wd = folder ? inotify_add_watch(w->fd, folder, MASK) : -1, why = errno;

	free(folder);
	errno = why;
	return wd;
}

static void cant_watch(const struct entry *e, int why)
{
	static bool told;

	if (!told)
		log_warn("aws: changes of %s can't be noticed at once (inotify: %s): it is looked "
			 "at every few seconds",
			 text_safe(e->path).s, strerror(why));
	told = true;
}

/* Watches the deepest folder of the path that exists. */
static bool deepest_watch(struct aws_watch *w, struct entry *e)
{
	size_t len = parent_len(e->path, strlen(e->path));
	int wd;

	while ((wd = folder_watch(w, e, len)) < 0 && (errno == ENOENT || errno == ENOTDIR) &&
	       len > 1)
		len = parent_len(e->path, len);
	if (wd < 0) {
		cant_watch(e, errno);
		return false;
	}
	if (wd != e->wd)
		wd_drop(w, e);
	e->wd = wd;
	e->folder_len = len;
	return true;
}

/* The entry is gone if the file has changed meanwhile, or can't be watched. */
static void entry_arm(struct aws_watch *w, struct entry *e)
{
	for (unsigned i = 0; i < ARM_STEPS; i++) {
		if (!deepest_watch(w, e)) {
			entry_drop(w, e);
			return;
		}
		if (next_is_file(e)) {
			if (file_is_new(e))
				entry_changed(w, e);
			return;
		}
		if (!next_is_folder_now(e))
			return;
	}
}

/* ---- events ---- */

static bool is_link(const struct entry *e)
{
	struct stat st;

	return lstat(e->path, &st) == 0 && S_ISLNK(st.st_mode);
}

static bool is_awaited(const struct entry *e, const struct inotify_event *ev)
{
	const char *name;
	const size_t len = next_name(e, &name);

	return ev->len > 0 && strlen(ev->name) == len && memcmp(ev->name, name, len) == 0;
}

static void entry_event(struct aws_watch *w, struct entry *e, const struct inotify_event *ev)
{
	if (ev->mask & GONE) {
		wd_drop(w, e);
		entry_arm(w, e);
	} else if (!is_awaited(e, ev)) {
		return;
	} else if (!next_is_file(e)) {
		entry_arm(w, e);
	} else if (ev->mask & NEWS || is_link(e)) { /* one just made is empty yet */
		entry_changed(w, e);
	}
}

static void take_event(struct aws_watch *w, const struct inotify_event *ev)
{
	for (size_t i = 0; i < FILES_MAX; i++) {
		struct entry *e = &w->entries[i];

		if (!e->path)
			continue;
		if (ev->mask & IN_Q_OVERFLOW)
			entry_changed(w, e);
		else if (e->wd == ev->wd)
			entry_event(w, e, ev);
	}
}

static void watch_close(struct aws_watch *w)
{
	if (w->fd < 0)
		return;
	loop_fd_del(w->acc->aws->loop, &w->watch);
	close(w->fd);
	w->fd = -1;
}

/* A user has 128 of them. */
static void close_if_idle(struct aws_watch *w)
{
	for (size_t i = 0; i < FILES_MAX; i++)
		if (w->entries[i].path)
			return;
	watch_close(w);
}

static void on_inotify(void *arg, uint32_t events, uint64_t now_ms)
{
	struct aws_watch *w = arg;
	union {
		struct inotify_event align;
		char bytes[4096];
	} b;
	ssize_t n;

	(void)events;
	(void)now_ms;
	for (unsigned i = 0; i < READS_MAX; i++) {
		if ((n = read(w->fd, b.bytes, sizeof(b.bytes))) <= 0)
			break;
		for (size_t at = 0; at < (size_t)n;) {
			const struct inotify_event *ev = (const void *)(b.bytes + at);

			take_event(w, ev);
			at += sizeof(*ev) + ev->len;
		}
	}
	close_if_idle(w);
}

/* The account may be gone when it returns. */
static void on_tell(void *arg, uint64_t now_ms)
{
	struct aws_watch *w = arg;
	const struct aws_account *acc = w->acc;

	(void)now_ms;
	close_if_idle(w);
	if (acc->changed)
		acc->changed(acc->changed_arg);
}

/* ---- adding ---- */

static struct aws_watch *watch_of(struct aws_account *acc)
{
	struct aws_watch *w = acc->watch;

	if (w || !(w = calloc(1, sizeof(*w))))
		return w;
	w->acc = acc;
	w->fd = -1;
	for (size_t i = 0; i < FILES_MAX; i++)
		w->entries[i].wd = -1;
	loop_timer_init(&w->tell, on_tell, w);
	acc->watch = w;
	return w;
}

static bool watch_open(struct aws_watch *w, const struct entry *e)
{
	if (w->fd >= 0)
		return true;
	if ((w->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC)) < 0) {
		cant_watch(e, errno);
		return false;
	}
	if (loop_fd_add(w->acc->aws->loop, &w->watch, w->fd, EPOLLIN, on_inotify, w) == 0)
		return true;
	close(w->fd);
	w->fd = -1;
	return false;
}

/* That of @path, or a free one; NULL if there is none. */
static struct entry *entry_for(struct aws_watch *w, const char *path)
{
	struct entry *empty = NULL;

	for (size_t i = 0; i < FILES_MAX; i++) {
		if (!w->entries[i].path)
			empty = &w->entries[i];
		else if (strcmp(w->entries[i].path, path) == 0)
			return &w->entries[i];
	}
	return empty;
}

void aws_watch_add_since(struct aws_account *acc, const char *path,
			 const struct aws_watch_seen *seen)
{
	struct aws_watch *w = acc->aws && path[0] == '/' ? watch_of(acc) : NULL;
	struct entry *e = w ? entry_for(w, path) : NULL;

	if (!e || (!e->path && !(e->path = strdup(path))))
		return;
	e->seen = *seen;
	if (watch_open(w, e))
		entry_arm(w, e);
	else
		entry_drop(w, e);
	close_if_idle(w);
}

void aws_watch_add(struct aws_account *acc, const char *path)
{
	struct aws_watch_seen seen;

	aws_watch_look(&seen, path);
	aws_watch_add_since(acc, path, &seen);
}

void aws_watch_free(struct aws_account *acc)
{
	struct aws_watch *w = acc->watch;

	if (!w)
		return;
	acc->watch = NULL;
	for (size_t i = 0; i < FILES_MAX; i++)
		if (w->entries[i].path)
			entry_drop(w, &w->entries[i]);
	watch_close(w);
	loop_timer_cancel(acc->aws->loop, &w->tell);
	free(w);
}
