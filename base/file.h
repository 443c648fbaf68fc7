// SPDX-License-Identifier: MIT
/* file.h - files of the user and of ours: bounded reads, checked owners, writes that a power cut can't halve */
#ifndef BASE_FILE_H
#define BASE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"

/**
 * file_read() - a whole regular file into @out (initialised by the caller, its max is the limit)
 * Opened O_NOFOLLOW | O_NONBLOCK (a FIFO does not hang us), must be a regular file.
 * Return: 0; ST_ENOENT; ST_EPERM (no access, a symlink, not a regular file); ST_EFULL if larger than
 * out->max; ST_ESYS; ST_ENOMEM. Logs nothing: the caller knows what the file is for. errno says more.
 */
int file_read(struct buf *out, const char *path);
/** file_read_follow() - the same, but symbolic links are followed (files under a user's own home) */
int file_read_follow(struct buf *out, const char *path);

/** file_read_fd() - the same from @fd (borrowed), which need not be a regular file. Also ST_EAGAIN if @fd does not
 * block and has no more for now: what came is in @out, call again. On other errors @out may hold a part. */
int file_read_fd(struct buf *out, int fd);

/**
 * file_write_atomic() - replaces @path: temporary file beside it, fsync, rename, fsync of the folder
 * The temporary file is made with O_EXCL | O_NOFOLLOW. Return: 0; ST_ESYS (logged)
 */
int file_write_atomic(const char *path, const void *data, size_t len, mode_t mode);

/** file_mkdirs() - mkdir -p; folders that it makes have @mode. Return: 0; ST_ESYS (logged) */
int file_mkdirs(const char *path, mode_t mode);

#endif
