// SPDX-License-Identifier: MIT
/*
 * keep_file.c - /etc/resolv.conf as the resolver's settings
 *
 * Theory of operation: the folder of the file is opened, checked and then used by descriptor. One symbolic link is followed, if what it
 * leads to and its folder belong to root alone, so that nobody can make root write elsewhere. First a copy of what was there goes to the
 * instance's folder (root's, in a folder of the user's: it counts only if nobody else can have written it), then the file is
 * replaced by a rename beside it. A file that can't be renamed over, such as one that is mounted into a container, is written in place.
 *
 * The undoing compares: what is still as we made it becomes the copy; from anything else our marked lines are taken (keep_text.c).
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "keeper/keep_dns.h"

#define ETC "/etc"
#define RESOLV_CONF "resolv.conf"
#define TEMPORARY ".resolv.conf.ssm-tun"
#define COPY "resolv.conf"
#define LABEL "security.selinux"
#define LABEL_MAX 256U /* bytes; ours: contexts have about 40 */
/* What a copy begins with: was there a file? */
#define WAS_FILE "file\n"
#define WAS_ABSENT "absent\n"
static_assert(sizeof(WAS_FILE) < sizeof(WAS_ABSENT), "COPY_ROOM");
#define COPY_ROOM sizeof(WAS_ABSENT)

static char root_dir[128];

/* Where the file really is. */
struct place {
	int dir;
	char entry[NAME_MAX + 1], folder[KEEP_PATH_MAX];
	bool there, linked;
	struct stat st;
};

void keep_set_root(const char *path)
{
	ST_ASSERT(text_copy(root_dir, sizeof(root_dir), path));
}

const char *keep_etc_path(char out[KEEP_PATH_MAX], const char *path)
{
	snprintf(out, KEEP_PATH_MAX, "%s%s", root_dir, path);
	return out;
}

int keep_file_read(struct buf *out)
{
	char path[KEEP_PATH_MAX];

	return file_read_follow(out, keep_etc_path(path, ETC "/" RESOLV_CONF));
}

static bool is_roots(const struct stat *st)
{
	return st->st_uid == geteuid() && !(st->st_mode & 022);
}

static int refuse(char why[KEEP_WHY], const char *text)
{
	snprintf(why, KEEP_WHY, "/etc/resolv.conf %s", text);
	return ST_EPERM;
}

static int open_folder(struct place *p, char why[KEEP_WHY])
{
	struct stat st;

	p->dir = open(p->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (p->dir < 0)
		return refuse(why, "is in a folder that can't be opened");
	if (fstat(p->dir, &st) == 0 && is_roots(&st))
		return 0;
	close(p->dir);
	p->dir = -1;
	return refuse(why, "leads to a folder that others can write");
}

static int stat_entry(struct place *p)
{
	p->there = fstatat(p->dir, p->entry, &p->st, AT_SYMLINK_NOFOLLOW) == 0;
	return p->there || errno == ENOENT ? 0 : ST_ESYS;
}

/* The folder and entry that the link in @p names. */
static bool read_link(struct place *p)
{
	char to[KEEP_PATH_MAX], whole[2 * KEEP_PATH_MAX + 2], *slash;
	ssize_t len = readlinkat(p->dir, p->entry, to, sizeof(to) - 1);

	if (len <= 0 || len >= (ssize_t)sizeof(to) - 1)
		return false;
	to[len] = '\0';
	snprintf(whole, sizeof(whole), "%s%s%s", to[0] == '/' ? root_dir : p->folder,
		 to[0] == '/' ? "" : "/", to);
	if (!(slash = strrchr(whole, '/')) || slash == whole)
		return false;
	*slash = '\0';
	return text_copy(p->folder, sizeof(p->folder), whole) &&
	       text_copy(p->entry, sizeof(p->entry), slash + 1) && p->entry[0] != '\0' &&
	       strcmp(p->entry, ".") != 0 && strcmp(p->entry, "..") != 0;
}

static int follow_link(struct place *p, char why[KEEP_WHY])
{
	int first = p->dir, r;

	if (!read_link(p))
		return refuse(why, "is a link that leads nowhere");
	r = open_folder(p, why);
	if (r < 0) {
		p->dir = first;
		return r;
	}
	close(first);
	p->linked = true;
	if (stat_entry(p) < 0 || !p->there)
		return refuse(why, "is a link to a file that is not there");
	if (!S_ISREG(p->st.st_mode) || !is_roots(&p->st))
		return refuse(why, "is a link to what is not a file of root's alone");
	return 0;
}

/* Return: 0 with @p->dir open; ST_EPERM with @why, nothing open */
static int place_find(struct place *p, char why[KEEP_WHY])
{
	int r;

	*p = (struct place){ .dir = -1 };
	keep_etc_path(p->folder, ETC);
	text_copy(p->entry, sizeof(p->entry), RESOLV_CONF);
	if ((r = open_folder(p, why)) < 0)
		return r;
	if (stat_entry(p) < 0)
		r = refuse(why, "can't be looked at");
	else if (p->there && S_ISLNK(p->st.st_mode))
		r = follow_link(p, why);
	else if (p->there && !S_ISREG(p->st.st_mode))
		r = refuse(why, "is not a regular file");
	if (r < 0) {
		close(p->dir);
		p->dir = -1;
	}
	return r;
}

/* An absent file reads as an empty one. */
static int place_read(const struct place *p, struct buf *out)
{
	int fd, r;

	if (!p->there)
		return 0;
	fd = openat(p->dir, p->entry, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return ST_ESYS;
	r = file_read_fd(out, fd);
	close(fd);
	return r;
}

/* The new file looks like the one it replaces to those who may read it. */
static bool dress(const struct place *p, int fd)
{
	char old[NAME_MAX + 64], label[LABEL_MAX];
	ssize_t len;

	if (fchmod(fd, p->there ? p->st.st_mode & 07777 : 0644) < 0)
		return false;
	if (!p->there)
		return true;
	if (fchown(fd, p->st.st_uid, p->st.st_gid) < 0)
		return false;
	snprintf(old, sizeof(old), "/proc/self/fd/%d/%s", p->dir, p->entry);
	if ((len = lgetxattr(old, LABEL, label, sizeof(label))) > 0 &&
	    fsetxattr(fd, LABEL, label, (size_t)len, 0) < 0)
		log_debug("keeper: label of resolv.conf: %s", strerror(errno));
	return true;
}

static int write_beside(const struct place *p, const struct buf *text)
{
	int fd, saved;

	if (unlinkat(p->dir, TEMPORARY, 0) < 0 && errno != ENOENT)
		return -1;
	fd = openat(p->dir, TEMPORARY, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -1;
	if (fd_write_all(fd, buf_data(text), text->len) == 0 && dress(p, fd) && fsync(fd) == 0 &&
	    renameat(p->dir, TEMPORARY, p->dir, p->entry) == 0) {
		close(fd);
		fsync(p->dir);
		return 0;
	}
	saved = errno;
	close(fd);
	unlinkat(p->dir, TEMPORARY, 0);
	errno = saved;
	return -1;
}

/* Longer first, cut after: whoever reads meanwhile finds our server in any case. */
static int write_in_place(const struct place *p, const struct buf *text)
{
	int fd = openat(p->dir, p->entry, O_WRONLY | O_NOFOLLOW | O_CLOEXEC), r;

	if (fd < 0)
		return -1;
	r = fd_write_all(fd, buf_data(text), text->len);
	if (r == 0 && (ftruncate(fd, (off_t)text->len) < 0 || fsync(fd) < 0))
		r = -1;
	close(fd);
	return r;
}

/* Return: 0; -1 and errno */
static int place_write(const struct place *p, const struct buf *text)
{
	int first;

	if (write_beside(p, text) == 0)
		return 0;
	first = errno;
	log_debug("keeper: replace resolv.conf: %s", strerror(first));
	if (p->there && write_in_place(p, text) == 0)
		return 0;
	return -1;
}

static int write_copy(const char *name, const struct place *p, const struct buf *former)
{
	char path[PATH_MAX];
	struct buf copy;
	int r;

	buf_init(&copy, KEEP_CONF_MAX + COPY_ROOM);
	r = buf_printf(&copy, "%s", p->there ? WAS_FILE : WAS_ABSENT);
	if (r == 0)
		r = buf_put(&copy, buf_data(former), former->len);
	keep_path(path, sizeof(path), name, COPY);
	if (r == 0)
		r = file_write_atomic(path, buf_data(&copy), copy.len, 0600);
	buf_fini(&copy);
	return r;
}

/* The copy without its first line. Return: false if there is none that we must have written */
static bool read_copy(const char *name, struct buf *out, bool *was_there)
{
	int run_fd = open(keep_run_dir(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	int fd = -1, r = run_fd < 0 ? ST_ENOENT : keep_trusted_open(run_fd, name, COPY, &fd);
	const char *text;
	size_t skip;

	if (run_fd >= 0)
		close(run_fd);
	if (r < 0)
		return false;
	r = file_read_fd(out, fd);
	close(fd);
	text = (const char *)buf_data(out);
	if (r < 0)
		return false;
	*was_there = out->len >= strlen(WAS_FILE) && memcmp(text, WAS_FILE, strlen(WAS_FILE)) == 0;
	skip = *was_there ? strlen(WAS_FILE) : strlen(WAS_ABSENT);
	if (!*was_there && (out->len != skip || memcmp(text, WAS_ABSENT, skip) != 0))
		return false;
	buf_consume(out, skip);
	return true;
}

static bool same(const struct buf *a, const struct buf *b)
{
	return a->len == b->len && memcmp(buf_data(a), buf_data(b), a->len) == 0;
}

struct texts {
	struct buf now, former, made, copy;
};

static void texts_init(struct texts *t)
{
	buf_init(&t->now, KEEP_CONF_MAX);
	buf_init(&t->former, KEEP_CONF_MAX);
	buf_init(&t->made, KEEP_CONF_MAX + KIB(1));
	buf_init(&t->copy, KEEP_CONF_MAX + COPY_ROOM);
}

static void texts_fini(struct texts *t)
{
	buf_fini(&t->now);
	buf_fini(&t->former);
	buf_fini(&t->made);
	buf_fini(&t->copy);
}

/* What is there, what was there without us, and what should be there. */
static int compose(const struct place *p, struct texts *t, const char *name,
		   const struct net_addr *servers, char why[KEEP_WHY])
{
	int r = place_read(p, &t->now);

	if (r == ST_EFULL)
		return refuse(why, "is larger than 64 KiB");
	if (r < 0)
		return refuse(why, "can't be read");
	if ((r = keep_text_strip(&t->former, &t->now, servers)) < 0 ||
	    (r = keep_text_make(&t->made, &t->former, name, servers)) < 0)
		return r == ST_EFULL ? refuse(why, "is larger than 64 KiB") : r;
	return 0;
}

static int set_at(const struct place *p, struct texts *t, const char *name,
		  const struct net_addr *servers, char why[KEEP_WHY])
{
	int r = compose(p, t, name, servers, why);

	if (r < 0)
		return r;
	if (same(&t->made, &t->now))
		return 0;
	if (write_copy(name, p, &t->former) < 0)
		return refuse(why, "is left alone: no copy of it can be kept");
	if (place_write(p, &t->made) == 0)
		return 1;
	snprintf(why, KEEP_WHY, "/etc/resolv.conf can't be written: %s", strerror(errno));
	return ST_EPERM;
}

int keep_file_set(const char *name, const struct net_addr servers[KEEP_SERVERS], char why[KEEP_WHY])
{
	struct texts t;
	struct place p;
	int r;

	if ((r = place_find(&p, why)) < 0)
		return r;
	texts_init(&t);
	r = set_at(&p, &t, name, servers, why);
	texts_fini(&t);
	close(p.dir);
	return r;
}

bool keep_file_stands(const char *name, const struct net_addr servers[KEEP_SERVERS])
{
	char why[KEEP_WHY];
	struct texts t;
	struct place p;
	bool stands;

	if (place_find(&p, why) < 0)
		return false;
	texts_init(&t);
	stands = compose(&p, &t, name, servers, why) == 0 && same(&t.made, &t.now);
	texts_fini(&t);
	close(p.dir);
	return stands;
}

/* Is it still as we made it of the copy? Else *@t->former is what is there without our lines. */
static int undo_at(const struct place *p, struct texts *t, const char *name,
		   const struct net_addr *servers)
{
	bool was_there = true;
	int r;

	if ((r = place_read(p, &t->now)) < 0)
		return r;
	if (read_copy(name, &t->copy, &was_there) &&
	    keep_text_make(&t->made, &t->copy, name, servers) == 0 && same(&t->made, &t->now)) {
		if (!was_there && !p->linked)
			return unlinkat(p->dir, p->entry, 0) < 0 ? ST_ESYS : 0;
		return place_write(p, &t->copy) < 0 ? ST_ESYS : 0;
	}
	if ((r = keep_text_strip(&t->former, &t->now, servers)) < 0 || same(&t->former, &t->now))
		return r;
	return place_write(p, &t->former) < 0 ? ST_ESYS : 0;
}

int keep_file_undo(const char *name, const struct net_addr servers[KEEP_SERVERS])
{
	char why[KEEP_WHY];
	struct texts t;
	struct place p;
	int r;

	if (place_find(&p, why) < 0) {
		log_debug("keeper: %s: %s", name, why);
		return 0; /* where we never write, nothing of ours is */
	}
	unlinkat(p.dir, TEMPORARY, 0); /* of a keeper that was killed before its rename */
	texts_init(&t);
	r = undo_at(&p, &t, name, servers);
	if (r == ST_EFULL)
		r = 0; /* not of our making */
	else if (r < 0)
		log_sys("keeper: %s: put /etc/resolv.conf back", name);
	texts_fini(&t);
	close(p.dir);
	return r;
}

/* ---- others write it ---- */

int keep_file_watch(void)
{
	const uint32_t events = IN_CLOSE_WRITE | IN_MOVED_TO | IN_CREATE | IN_DELETE | IN_ONLYDIR;
	char etc[KEEP_PATH_MAX], why[KEEP_WHY];
	struct place p;
	int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);

	if (fd < 0)
		return log_sys("keeper: inotify");
	if (inotify_add_watch(fd, keep_etc_path(etc, ETC), events) < 0) {
		close(fd);
		return log_sys("keeper: watch %s", etc);
	}
	if (place_find(&p, why) == 0) {
		if (p.linked && inotify_add_watch(fd, p.folder, events) < 0)
			log_sys("keeper: watch %s", text_safe(p.folder).s);
		close(p.dir);
	}
	return fd;
}

/* The name of the file and of what it links to are both looked for in both folders: an event too many only costs a look. */
bool keep_file_touched(int fd)
{
	union {
		struct inotify_event align;
		char room[4096];
	} events;
	bool touched = false;
	ssize_t len;

	while ((len = read(fd, &events, sizeof(events))) > 0)
		for (ssize_t at = 0; at < len;) {
			const struct inotify_event *e = (const void *)(events.room + at);

			if ((e->mask & IN_Q_OVERFLOW) || (e->len > 0 && e->name[0] != '.'))
				touched = true;
			at += (ssize_t)sizeof(*e) + e->len;
		}
	return touched;
}
