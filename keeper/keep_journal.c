// SPDX-License-Identifier: MIT
/*
 * keep_journal.c - the journal of an instance: written by root, read by root, in a folder of the user's
 *
 * Theory of operation: the user owns the folder and can remove, rename or replace the journal, but can't make
 * a file of root's. So what is read counts only if it is a regular file of our own effective uid with one
 * link, reached without following a symbolic link; then every field is checked. Processes are named by
 * pid and start time, so that neither an old copy of a journal nor a reused pid names a stranger.
 */
#include "keeper/keeper_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <jansson.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "tun/tun.h"

#define JOURNAL_MAX KIB(4) /* bytes; ours: a full one has about 450 */
#define STAT_MAX KIB(4)	   /* bytes of /proc/pid/stat; about 350 */
#define START_FIELD 22	   /* proc(5): starttime */

bool keep_name_ok(const char *name)
{
	static const char allowed[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";
	size_t len = strlen(name);

	return len > 0 && len <= KEEP_NAME_MAX && strspn(name, allowed) == len;
}

bool keep_device_ok(const char *device)
{
	return device[0] == '\0' || tun_name_ok(device);
}

/* The command name in field 2 may hold anything, so counting starts behind the last ")". */
static uint64_t parse_start(const char *stat)
{
	const char *p = strrchr(stat, ')');
	char state;

	if (!p || p[1] != ' ' || p[2] == '\0')
		return 0;
	p += 2;
	state = *p;
	for (int field = 3; field < START_FIELD; field++) {
		if (!(p = strchr(p, ' ')))
			return 0;
		p++;
	}
	return state == 'Z' || state == 'X' ? 0 : strtoull(p, NULL, 10);
}

uint64_t keep_proc_start(uint32_t pid)
{
	char path[32], stat[STAT_MAX];
	size_t len = 0;
	ssize_t got;
	int fd;

	snprintf(path, sizeof(path), "/proc/%u/stat", pid);
	if (pid == 0 || (fd = open(path, O_RDONLY | O_CLOEXEC)) < 0)
		return 0;
	while (len < sizeof(stat) - 1 && (got = read(fd, stat + len, sizeof(stat) - 1 - len)) > 0)
		len += (size_t)got;
	close(fd);
	stat[len] = '\0';
	return parse_start(stat);
}

bool keep_daemon_alive(const struct keep_journal *j)
{
	return j->daemon_start != 0 && keep_proc_start(j->daemon_pid) == j->daemon_start;
}

bool keep_keeper_alive(const struct keep_journal *j)
{
	return j->keeper_start != 0 && keep_proc_start(j->keeper_pid) == j->keeper_start;
}

bool keep_alive(const struct keep_journal *j)
{
	return keep_daemon_alive(j) || keep_keeper_alive(j);
}

static json_t *pack_servers(const struct keep_journal *j)
{
	json_t *list = json_array();
	char text[NET_ADDR_STR];

	for (size_t i = 0; list && i < ARRAY_LEN(j->servers); i++)
		if (j->servers[i].family != 0)
			json_array_append_new(list,
					      json_string(net_addr_str(text, &j->servers[i])));
	return list;
}

int keep_journal_write(const struct keep_journal *j)
{
	char path[PATH_MAX], *text;
	json_t *root;
	int r;

	root = json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:b, s:b, s:b, s:i, s:I, s:o}",
			 "name", j->name, "device", j->device, "daemon_pid",
			 (json_int_t)j->daemon_pid, "daemon_start", (json_int_t)j->daemon_start,
			 "keeper_pid", (json_int_t)j->keeper_pid, "keeper_start",
			 (json_int_t)j->keeper_start, "uid", (json_int_t)j->uid, "rules", j->rules,
			 "fail_closed", j->fail_closed, "filter", j->filter, "src_valid_mark",
			 j->src_valid_mark, "resolver", (json_int_t)j->resolver, "servers",
			 pack_servers(j));
	text = root ? json_dumps(root, JSON_COMPACT) : NULL;
	json_decref(root);
	if (!text)
		return ST_ENOMEM;
	keep_path(path, sizeof(path), j->name, "journal");
	r = file_write_atomic(path, text, strlen(text), 0600);
	free(text);
	return r;
}

int keep_trusted_open(int run_fd, const char *name, const char *file, int *out)
{
	int folder, fd, saved;
	struct stat st;

	folder = openat(run_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (folder < 0)
		return errno == ENOENT ? ST_ENOENT : ST_EFORMAT;
	fd = openat(folder, file, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	saved = errno;
	close(folder);
	if (fd < 0)
		return saved == ENOENT ? ST_ENOENT : ST_EFORMAT;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_uid != geteuid() ||
	    st.st_nlink != 1 || (st.st_mode & 022)) {
		close(fd);
		return ST_EFORMAT;
	}
	*out = fd;
	return 0;
}

static bool parse_text(char *out, size_t cap, const json_t *v)
{
	return json_is_string(v) && json_string_length(v) == strlen(json_string_value(v)) &&
	       text_copy(out, cap, json_string_value(v));
}

static bool parse_number(uint64_t *out, const json_t *v, uint64_t max)
{
	json_int_t n = json_integer_value(v);

	if (!json_is_integer(v) || n < 0 || (uint64_t)n > max)
		return false;
	*out = (uint64_t)n;
	return true;
}

static bool parse_flag(bool *out, const json_t *v)
{
	*out = json_is_true(v);
	return !v || json_is_boolean(v);
}

static bool parse_servers(struct keep_journal *out, const json_t *v)
{
	size_t n = json_array_size(v);

	if (v && (!json_is_array(v) || n > ARRAY_LEN(out->servers)))
		return false;
	for (size_t i = 0; i < n; i++) {
		const char *text = json_string_value(json_array_get(v, i));

		if (!text || net_addr_parse(&out->servers[i], text) < 0)
			return false;
	}
	return true;
}

/* What came with names and routes: a journal of an earlier version has none of it. */
static bool parse_later_fields(struct keep_journal *out, const json_t *root)
{
	const json_t *mark = json_object_get(root, "src_valid_mark"),
		     *resolver = json_object_get(root, "resolver");
	uint64_t manager = KEEP_DNS_NONE;

	out->src_valid_mark = mark ? (int)json_integer_value(mark) : -1;
	if ((mark && (!json_is_integer(mark) || json_integer_value(mark) < -1 ||
		      json_integer_value(mark) > 1)) ||
	    (resolver && !parse_number(&manager, resolver, KEEP_DNS_MANAGER_N - 1)) ||
	    !parse_flag(&out->fail_closed, json_object_get(root, "fail_closed")) ||
	    !parse_flag(&out->filter, json_object_get(root, "filter")))
		return false;
	out->resolver = (uint32_t)manager;
	return parse_servers(out, json_object_get(root, "servers"));
}

static bool parse_fields(struct keep_journal *out, const json_t *root)
{
	uint64_t daemon_pid, keeper_pid, uid;

	if (!parse_text(out->name, sizeof(out->name), json_object_get(root, "name")) ||
	    !parse_text(out->device, sizeof(out->device), json_object_get(root, "device")) ||
	    !parse_number(&daemon_pid, json_object_get(root, "daemon_pid"), INT32_MAX) ||
	    !parse_number(&keeper_pid, json_object_get(root, "keeper_pid"), INT32_MAX) ||
	    !parse_number(&out->daemon_start, json_object_get(root, "daemon_start"), INT64_MAX) ||
	    !parse_number(&out->keeper_start, json_object_get(root, "keeper_start"), INT64_MAX) ||
	    !parse_number(&uid, json_object_get(root, "uid"), UINT32_MAX) ||
	    !json_is_boolean(json_object_get(root, "rules")))
		return false;
	out->daemon_pid = (uint32_t)daemon_pid;
	out->keeper_pid = (uint32_t)keeper_pid;
	out->uid = (uint32_t)uid;
	out->rules = json_is_true(json_object_get(root, "rules"));
	return keep_device_ok(out->device) && parse_later_fields(out, root);
}

int keep_journal_read_at(int run_fd, const char *name, struct keep_journal *out)
{
	struct keep_journal j = { 0 };
	json_t *root = NULL;
	struct buf text;
	int fd, r;

	if ((r = keep_trusted_open(run_fd, name, "journal", &fd)) < 0)
		return r;
	buf_init(&text, JOURNAL_MAX);
	r = ST_EFORMAT;
	if (file_read_fd(&text, fd) == 0)
		root = json_loadb((const char *)buf_data(&text), text.len, JSON_REJECT_DUPLICATES,
				  NULL);
	if (root && parse_fields(&j, root) && strcmp(j.name, name) == 0) {
		*out = j;
		r = 0;
	}
	json_decref(root);
	buf_fini(&text);
	close(fd);
	return r;
}
