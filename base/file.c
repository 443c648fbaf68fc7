// SPDX-License-Identifier: MIT
/*
 * file.c - bounded reads, and writes that a power cut can't halve
 *
 * Theory of operation: a file is written under a random name in its own folder, synced, then renamed
 * over the old one, and the folder is synced, so a reader or a crash sees the old content or the new.
 */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/codec.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/text.h"

#define READ_PIECE 16384U /* bytes, ours */
#define TMP_NAME 32U	  /* ".ssm-tun-", 16 hex digits, ".tmp" and NUL fit */

static int open_error(void)
{
	switch (errno) {
	case ENOENT:
	case ENOTDIR: return ST_ENOENT;
	case EACCES:
	case EPERM:
	case ELOOP: /* O_NOFOLLOW met a symlink */
	case ENXIO: /* a socket, or a device without a driver */ return ST_EPERM;
	case ENOMEM: return ST_ENOMEM;
	default: return ST_ESYS;
	}
}

static ssize_t read_again(int fd, void *p, size_t len)
{
	ssize_t n;

	do {
		n = read(fd, p, len);
	} while (n < 0 && errno == EINTR);
	return n;
}

static int read_error(void)
{
	return errno == EAGAIN ? ST_EAGAIN : ST_ESYS;
}

/* The buffer is full: fine only if the file ends here */
static int expect_end(int fd)
{
	char extra;
	ssize_t n = read_again(fd, &extra, 1);

	if (n < 0)
		return read_error();
	return n > 0 ? ST_EFULL : 0;
}

int file_read_fd(struct buf *out, int fd)
{
	for (;;) {
		size_t piece = MIN(buf_room(out), READ_PIECE);
		uint8_t *to;
		ssize_t n;
		int r;

		if (piece == 0)
			return expect_end(fd);
		if ((r = buf_reserve(out, piece, &to)) < 0)
			return r;
		n = read_again(fd, to, piece);
		if (n < 0)
			return read_error();
		if (n == 0)
			return 0;
		buf_commit(out, (size_t)n);
	}
}

static int read_regular(struct buf *out, const char *path, int extra_flags)
{
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC | extra_flags);
	struct stat st;
	int r, saved_errno;

	if (fd < 0)
		return open_error();
	if (fstat(fd, &st) < 0) {
		r = ST_ESYS;
	} else if (!S_ISREG(st.st_mode)) {
		errno = S_ISDIR(st.st_mode) ? EISDIR : EINVAL;
		r = ST_EPERM;
	} else if (st.st_size > 0 && (uintmax_t)st.st_size > buf_room(out)) {
		errno = EFBIG;
		r = ST_EFULL;
	} else {
		r = file_read_fd(out, fd);
	}
	saved_errno = errno;
	close(fd);
	errno = saved_errno;
	return r;
}

int file_read(struct buf *out, const char *path)
{
	return read_regular(out, path, O_NOFOLLOW);
}

int file_read_follow(struct buf *out, const char *path)
{
	return read_regular(out, path, 0);
}

/* Descriptor of the folder that holds @path; @*name is the part behind it. -1 and errno on failure */
static int open_folder(const char *path, const char **name)
{
	const char *slash = strrchr(path, '/');
	size_t len = slash ? (size_t)(slash - path) : 0;
	char folder[PATH_MAX];

	*name = slash ? slash + 1 : path;
	if (**name == '\0' || len >= sizeof(folder)) {
		errno = **name == '\0' ? EISDIR : ENAMETOOLONG;
		return -1;
	}
	if (!slash)
		strcpy(folder, ".");
	else if (len == 0)
		strcpy(folder, "/");
	else
		snprintf(folder, sizeof(folder), "%.*s", (int)len, path);
	return open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static void tmp_name(char out[TMP_NAME])
{
	uint8_t noise[8];
	char hex[sizeof(noise) * 2 + 1];

	codec_random(noise, sizeof(noise));
	codec_hex(hex, noise, sizeof(noise));
	snprintf(out, TMP_NAME, ".ssm-tun-%s.tmp", hex);
}

/* A new synced file of exactly @mode, whatever the umask is. 0, or -1 and errno, and no file */
static int write_tmp(int folder, const char *tmp, const void *data, size_t len, mode_t mode)
{
	int fd = openat(folder, tmp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	int saved_errno;

	if (fd < 0)
		return -1;
	if (fd_write_all(fd, data, len) < 0 || fchmod(fd, mode) < 0 || fsync(fd) < 0) {
		saved_errno = errno;
		close(fd);
		unlinkat(folder, tmp, 0);
		errno = saved_errno;
		return -1;
	}
	close(fd);
	return 0;
}

int file_write_atomic(const char *path, const void *data, size_t len, mode_t mode)
{
	const char *name;
	char tmp[TMP_NAME];
	int folder = open_folder(path, &name);
	int r = 0;

	if (folder < 0)
		return log_sys("open the folder of %s", text_safe(path).s);
	tmp_name(tmp);
	if (write_tmp(folder, tmp, data, len, mode) < 0) {
		r = log_sys("write %s", text_safe(path).s);
	} else if (renameat(folder, tmp, folder, name) < 0) {
		r = log_sys("replace %s", text_safe(path).s);
		unlinkat(folder, tmp, 0);
	} else if (fsync(folder) < 0 &&
		   errno != EINVAL) { /* EINVAL: this kind of folder has no sync */
		r = log_sys("sync the folder of %s", text_safe(path).s);
	}
	close(folder);
	return r;
}

/* One level; 0 if it is a folder by now, -1 and errno otherwise */
static int mkdir_one(const char *path, mode_t mode)
{
	struct stat st;
	int saved_errno;

	if (mkdir(path, mode) == 0) {
		int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		int r = fd < 0 ? -1 : fchmod(fd, mode); /* the umask took bits away */

		saved_errno = errno;
		if (fd >= 0)
			close(fd);
		errno = saved_errno;
		return r;
	}
	saved_errno = errno;
	if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
		return 0;
	errno = saved_errno == EEXIST ? ENOTDIR : saved_errno;
	return -1;
}

int file_mkdirs(const char *path, mode_t mode)
{
	char part[PATH_MAX];

	if (path[0] == '\0' || !text_copy(part, sizeof(part), path)) {
		errno = path[0] == '\0' ? ENOENT : ENAMETOOLONG;
		return log_sys("make folder %s", text_safe(path).s);
	}
	for (char *p = part + 1; *p; p++) {
		if (*p != '/' || p[-1] == '/')
			continue;
		*p = '\0';
		if (mkdir_one(part, mode) < 0)
			return log_sys("make folder %s", text_safe(part).s);
		*p = '/';
	}
	if (mkdir_one(part, mode) < 0)
		return log_sys("make folder %s", text_safe(part).s);
	return 0;
}
