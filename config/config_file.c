// SPDX-License-Identifier: MIT
/*
 * config_file.c - which file counts, and whether it may be trusted
 *
 * Theory of operation: the candidates are tried in the order of the design's section 5. A file is opened first and judged by
 * its descriptor. Whoever may write to the file, or to its folder, decides where this machine's traffic goes: both must
 * belong to the caller or root and be writable by nobody else (a folder with the sticky bit, as /tmp, is fine for a file
 * that was named: others can't replace it there). ./config.yaml, which nobody named, is skipped with a note when it does not
 * qualify; any other file is refused.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/file.h"
#include "base/text.h"
#include "config/config_internal.h"

enum candidate { BY_PATH, BY_NAME, IN_FOLDER, IN_HOME, IN_ETC, CANDIDATE_N };

static const char *candidate_path(const struct cfg_opts *o, enum candidate which, char *out,
				  size_t cap)
{
	bool search = !o->path && !o->name;
	int n = -1;

	switch (which) {
	case BY_PATH:
		if (o->path)
			n = snprintf(out, cap, "%s", o->path);
		break;
	case BY_NAME:
		if (!o->path && o->name)
			n = snprintf(out, cap, "/etc/ssm-tun/%s.yaml", o->name);
		break;
	case IN_FOLDER:
		if (search)
			n = snprintf(out, cap, "./config.yaml");
		break;
	case IN_HOME:
		if (search && o->xdg_config_home && *o->xdg_config_home == '/')
			n = snprintf(out, cap, "%s/ssm-tun/config.yaml", o->xdg_config_home);
		else if (search && o->home)
			n = snprintf(out, cap, "%s/.config/ssm-tun/config.yaml", o->home);
		break;
	case IN_ETC:
		if (search)
			n = snprintf(out, cap, "/etc/ssm-tun/config.yaml");
		break;
	case CANDIDATE_N: break;
	}
	return n > 0 && (size_t)n < cap ? out : NULL;
}

static const char *distrust(const struct stat *st, uid_t caller, bool sticky_is_fine)
{
	if (st->st_uid != caller && st->st_uid != 0)
		return "belongs to another user";
	if (sticky_is_fine && (st->st_mode & S_ISVTX))
		return NULL;
	if (st->st_mode & S_IWOTH)
		return "can be written by everyone";
	if (st->st_mode & S_IWGRP)
		return "can be written by its group";
	return NULL;
}

/* Skipped (false, with a note) or refused (false, with an error). */
static bool turn_down(struct cfg_loader *ld, enum candidate which, const char *path,
		      const char *why)
{
	struct cfg_place at = { .file = path };

	if (which == IN_FOLDER)
		cfg_note(ld, &at, "skipped: %s", why);
	else
		cfg_error(ld, &at, "refused: %s", why);
	return false;
}

/* The folder's part of the judgement; sets is_roots if that is root's. */
static bool folder_is_fine(struct cfg_loader *ld, enum candidate which, const char *path,
			   bool *is_roots)
{
	const char *slash = strrchr(path, '/'), *why;
	char folder[1100], text[128];
	struct stat st;

	snprintf(folder, sizeof(folder), "%.*s", slash ? (int)MAX(slash - path, 1) : 1,
		 slash ? path : ".");
	if (stat(folder, &st) < 0)
		return turn_down(ld, which, path, strerror(errno));
	*is_roots = st.st_uid == 0 && !(st.st_mode & (S_IWGRP | S_IWOTH));
	if (!(why = distrust(&st, ld->opts->caller, which != IN_FOLDER)))
		return true;
	snprintf(text, sizeof(text), "its folder %s", why);
	return turn_down(ld, which, path, text);
}

static bool open_error(struct cfg_loader *ld, enum candidate which, const char *path)
{
	if (errno == ELOOP)
		return turn_down(ld, which, path, "a symbolic link");
	if (errno == EACCES && which == IN_ETC) { /* an administrator's, not for this user */
		struct cfg_place at = { .file = path };

		cfg_note(ld, &at, "skipped: %s", strerror(errno));
		return false;
	}
	return turn_down(ld, which, path, strerror(errno));
}

static bool is_missing(int err)
{
	return err == ENOENT || err == ENOTDIR;
}

/* Opens and judges. Return: a descriptor, or -1 (told, unless it is just not there) */
static int candidate_open(struct cfg_loader *ld, enum candidate which, const char *path)
{
	int flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
	int fd = open(path, which == IN_FOLDER ? flags | O_NOFOLLOW : flags);
	struct stat *st = &ld->file.st;
	const char *why;
	bool folder_roots = false;

	if (fd < 0) {
		if (!is_missing(errno))
			open_error(ld, which, path);
		return -1;
	}
	if (fstat(fd, st) < 0)
		open_error(ld, which, path);
	else if (!S_ISREG(st->st_mode))
		turn_down(ld, which, path, "not a regular file");
	else if ((why = distrust(st, ld->opts->caller, false)))
		turn_down(ld, which, path, why);
	else if (folder_is_fine(ld, which, path, &folder_roots)) {
		ld->file.is_roots = folder_roots && st->st_uid == 0;
		return fd;
	}
	close(fd);
	return -1;
}

static bool is_toml(const char *path)
{
	size_t len = strlen(path);

	return len > 5 && strcasecmp(path + len - 5, ".toml") == 0;
}

static int candidate_read(struct cfg_loader *ld, enum candidate which, const char *path,
			  struct buf *text)
{
	struct cfg_place at = { .file = path };
	size_t errors = ld->report->n_errors;
	int fd, err;

	if (is_toml(path)) {
		cfg_error(ld, &at, "YAML only: a .toml file is not read");
		return ST_ECONFIG;
	}
	if ((fd = candidate_open(ld, which, path)) < 0)
		return ld->report->n_errors > errors ? ST_ECONFIG : ST_ENOENT;
	err = file_read_fd(text, fd);
	close(fd);
	if (err == ST_EFULL)
		cfg_error(ld, &at, "larger than 1 MiB");
	else if (err == ST_ESYS)
		cfg_error(ld, &at, "%s", strerror(errno));
	if (err < 0)
		return err == ST_ENOMEM ? err : ST_ECONFIG;
	ld->file.path = cfg_strndup(&ld->owned->arena, path, strlen(path));
	ld->file.is_found = which == IN_FOLDER;
	return ld->file.path ? 0 : ST_ENOMEM;
}

static void tell_places(struct cfg_loader *ld)
{
	char path[1024], all[400] = "";
	size_t at = 0;

	for (int i = 0; i < CANDIDATE_N && at < sizeof(all); i++)
		if (candidate_path(ld->opts, (enum candidate)i, path, sizeof(path)))
			at += (size_t)snprintf(all + at, sizeof(all) - at, "%s%s", at ? ", " : "",
					       text_safe(path).s);
	cfg_error(ld, NULL, "no configuration: looked for %s%s", all,
		  ld->opts->path || ld->opts->name ? "" : "; or give --target");
}

int cfg_file_next(struct cfg_loader *ld, unsigned *state, struct buf *text)
{
	char path[1024];

	for (; *state < CANDIDATE_N; (*state)++) {
		enum candidate which = (enum candidate) * state;
		int err;

		if (!candidate_path(ld->opts, which, path, sizeof(path)))
			continue;
		err = candidate_read(ld, which, path, text);
		if (err == ST_ENOENT)
			continue;
		(*state)++;
		return err;
	}
	if (!ld->report->n_errors)
		tell_places(ld);
	return ST_ENOENT;
}
