// SPDX-License-Identifier: MIT
/*
 * aws_jobs.c - what aws/ has done in a child of the runner: files that may hang (a home on NFS), one at a time
 *
 * Theory of operation: a job gets its request as bytes and answers with a code and bytes; it runs as the caller, in a process that
 * is killed at its deadline. With an error the bytes are the system's own words, for a message.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "aws/aws.h"
#include "base/err.h"
#include "base/file.h"
#include "base/util.h"

/* Return: @err, with @words as the answer */
static int say(uint8_t *out, size_t *out_len, int err, const char *words)
{
	*out_len = strlen(words);
	memcpy(out, words, *out_len);
	return err;
}

static int say_errno(uint8_t *out, size_t *out_len, int os_errno)
{
	switch (os_errno) {
	case ENOENT:
	case ENOTDIR: return say(out, out_len, ST_ENOENT, strerror(os_errno));
	case EACCES:
	case EPERM:
	case ELOOP:
	case EISDIR:
	case ENXIO: return say(out, out_len, ST_EPERM, strerror(os_errno));
	default: return say(out, out_len, ST_ESYS, strerror(os_errno));
	}
}

/* Return: false if it is none, or has a NUL inside */
static bool take_path(char path[PATH_MAX], const uint8_t *in, size_t len)
{
	if (len == 0 || len >= PATH_MAX || memchr(in, '\0', len))
		return false;
	memcpy(path, in, len);
	path[len] = '\0';
	return true;
}

/* All of @fd behind the mode bits. */
static int read_whole(int fd, uint8_t *out, size_t *out_len)
{
	struct buf b;
	struct stat st;
	uint32_t mode;
	int err;

	if (fstat(fd, &st) < 0)
		return say_errno(out, out_len, errno);
	if (!S_ISREG(st.st_mode))
		return say(out, out_len, ST_EPERM,
			   S_ISDIR(st.st_mode) ? strerror(EISDIR) : "not a regular file");
	buf_init_secret(&b, AWS_JOB_MAX);
	if ((err = file_read_fd(&b, fd)) == 0) {
		mode = st.st_mode & 07777U;
		memcpy(out, &mode, sizeof(mode));
		memcpy(out + sizeof(mode), buf_data(&b), b.len);
		*out_len = sizeof(mode) + b.len;
	} else if (err == ST_ESYS) {
		say_errno(out, out_len, errno);
	} else {
		say(out, out_len, err,
		    err == ST_EFULL ? "the file is too large" : st_strerror(err));
	}
	buf_wipe(&b);
	return err;
}

int aws_read_job(const uint8_t *in, size_t in_len, uint8_t *out, size_t *out_len)
{
	char path[PATH_MAX];
	int fd, err;

	if (!take_path(path, in, in_len))
		return say(out, out_len, ST_ENOENT, "not a path");
	/* O_NONBLOCK: a FIFO that nobody writes does not hang us */
	fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0)
		return say_errno(out, out_len, errno);
	err = read_whole(fd, out, out_len);
	close(fd);
	return err;
}

int aws_write_job(const uint8_t *in, size_t in_len, uint8_t *out, size_t *out_len)
{
	const uint8_t *end = memchr(in, '\0', in_len);
	char path[PATH_MAX], folder[PATH_MAX], *slash;
	size_t len = end ? (size_t)(end - in) : 0;

	*out_len = 0;
	if (!take_path(path, in, len))
		return say(out, out_len, ST_EINVAL, "not a path");
	memcpy(folder, path, len + 1);
	slash = strrchr(folder, '/');
	if (slash && slash != folder) {
		*slash = '\0';
		if (file_mkdirs(folder, 0700) < 0)
			return say_errno(out, out_len, errno);
	}
	if (file_write_atomic(path, in + len + 1, in_len - len - 1, 0600) < 0)
		return say_errno(out, out_len, errno);
	return 0;
}
