// SPDX-License-Identifier: MIT
/*
 * ag_keys.c - see ag_keys.h
 *
 * Theory of operation: the keys are kept here; a user's file, DIR/USER, is written anew whenever its keys change, and removed
 * with the last one. A line is "UNIX-SECONDS TYPE BASE64". The reader takes only lines whose end is at most AG_KEY_LIFE_MAX_S
 * ahead, so a clock that was set back makes no key live longer.
 */
#include "gateway/ag_keys.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/file.h"
#include "base/list.h"
#include "base/log.h"
#include "base/text.h"
#include "gateway/gw_envelope.h"
#include "gateway/gw_ssh_line.h"

#define PATH_LEN 4096U
#define KEYS_FILE_MAX ((size_t)AG_KEYS_USER_MAX * (GW_SSH_LINE_MAX + 32U))

struct key {
	struct list_node node;
	char user[GW_SSH_USER_MAX + 1];
	char *line;
	int64_t until_s;   /* Unix time, for the file */
	uint64_t until_ms; /* of the loop's clock */
};

struct ag_keys {
	struct loop *loop;
	const char *dir;
	struct list keys; /* the oldest first */
	uint32_t n;
	struct loop_timer timer;
};

static bool path_of(char out[PATH_LEN], const char *dir, const char *user)
{
	return snprintf(out, PATH_LEN, "%s/%s", dir, user) < (int)PATH_LEN;
}

static void key_free(struct ag_keys *k, struct key *e)
{
	list_del(&e->node);
	k->n--;
	free(e->line);
	free(e);
}

/* Return: 0, also if there is none; ST_ESYS */
static int file_remove(const struct ag_keys *k, const char *user)
{
	char path[PATH_LEN];

	if (!path_of(path, k->dir, user))
		return ST_ESYS;
	return unlink(path) < 0 && errno != ENOENT ? log_sys("keys: remove %s", text_safe(path).s)
						   : 0;
}

/* Return: 0; ST_ESYS; ST_ENOMEM */
static int file_update(struct ag_keys *k, const char *user)
{
	char path[PATH_LEN];
	struct buf b;
	int r = 0;

	if (!path_of(path, k->dir, user))
		return ST_ESYS;
	buf_init(&b, KEYS_FILE_MAX);
	list_for_each (n, &k->keys) {
		const struct key *e = container_of(n, struct key, node);

		if (r == 0 && strcmp(e->user, user) == 0)
			r = buf_printf(&b, "%lld %s\n", (long long)e->until_s, e->line);
	}
	if (r == 0 && b.len > 0)
		r = file_write_atomic(path, buf_data(&b), b.len, 0600);
	else if (r == 0)
		r = file_remove(k, user);
	buf_fini(&b);
	return r;
}

static void arm(struct ag_keys *k)
{
	uint64_t at_ms = UINT64_MAX;

	list_for_each (n, &k->keys)
		at_ms = MIN(at_ms, container_of(n, struct key, node)->until_ms);
	if (at_ms == UINT64_MAX)
		loop_timer_cancel(k->loop, &k->timer);
	else if (loop_timer_set(k->loop, &k->timer, at_ms) < 0)
		log_error("keys: no memory for a timer");
}

static void on_timer(void *arg, uint64_t now_ms)
{
	struct ag_keys *k = arg;
	char user[GW_SSH_USER_MAX + 1];

	list_for_each (n, &k->keys) {
		struct key *e = container_of(n, struct key, node);

		if (e->until_ms > now_ms)
			continue;
		memcpy(user, e->user, sizeof(user));
		key_free(k, e);
		file_update(k, user);
	}
	arm(k);
}

/* ---- taking one ---- */

static uint32_t count_of(const struct ag_keys *k, const char *user)
{
	uint32_t count = 0;

	list_for_each (n, &k->keys)
		count += strcmp(container_of(n, struct key, node)->user, user) == 0;
	return count;
}

static struct key *key_new(const char *user, const char *line)
{
	struct key *e = calloc(1, sizeof(*e));

	if (e && !(e->line = strdup(line))) {
		free(e);
		return NULL;
	}
	if (e)
		text_copy(e->user, sizeof(e->user), user);
	return e;
}

static const char *key_add(struct ag_keys *k, const char *user, const char *line, int64_t life_s)
{
	struct key *e;

	if (k->n >= AG_KEYS_MAX || count_of(k, user) >= AG_KEYS_USER_MAX)
		return "full";
	if (!(e = key_new(user, line)))
		return "failed";
	e->until_s = (int64_t)time(NULL) + life_s;
	e->until_ms = loop_now_ms(k->loop) + (uint64_t)life_s * 1000;
	list_push_back(&k->keys, &e->node);
	k->n++;
	if (file_update(k, user) < 0) {
		key_free(k, e);
		return "failed";
	}
	arm(k);
	log_info("a key for %s is valid for %lld s", user, (long long)life_s);
	return "ok";
}

const char *ag_keys_add(struct ag_keys *k, const json_t *body)
{
	const char *user = json_str(body, "user"), *key = json_str(body, "key");
	const json_t *life = json_object_get(body, "life_s");
	char line[GW_SSH_LINE_MAX + 1];

	if (!k)
		return "unsupported";
	if (!user || !key || !gw_ssh_user_ok(user) || !json_is_integer(life) ||
	    json_integer_value(life) < 1 || json_integer_value(life) > AG_KEY_LIFE_MAX_S ||
	    gw_ssh_line_read(line, key) < 0)
		return "invalid";
	return key_add(k, user, line, json_integer_value(life));
}

/* ---- the folder ---- */

/* Ours or root's, and nobody else may write. Return: 0; ST_EPERM; ST_ENOENT; ST_ESYS */
static int dir_check(const char *dir)
{
	struct stat st;

	if (lstat(dir, &st) < 0)
		return errno == ENOENT ? ST_ENOENT : errno == EACCES ? ST_EPERM : ST_ESYS;
	return S_ISDIR(st.st_mode) && (st.st_uid == 0 || st.st_uid == geteuid()) &&
			       !(st.st_mode & (S_IWGRP | S_IWOTH))
		       ? 0
		       : ST_EPERM;
}

int ag_keys_new(struct ag_keys **out, struct loop *loop, const char *dir)
{
	struct ag_keys *k;
	int r;

	if ((r = file_mkdirs(dir, 0700)) < 0)
		return r;
	if ((r = dir_check(dir)) < 0) {
		log_error("%s: not a folder that only this user or root may write to",
			  text_safe(dir).s);
		return r;
	}
	if (!(k = calloc(1, sizeof(*k))))
		return ST_ENOMEM;
	k->loop = loop;
	k->dir = dir;
	list_init(&k->keys);
	loop_timer_init(&k->timer, on_timer, k);
	*out = k;
	return 0;
}

void ag_keys_free(struct ag_keys *k)
{
	struct list_node *n;

	if (!k)
		return;
	while ((n = list_pop_front(&k->keys)) != NULL) {
		struct key *e = container_of(n, struct key, node);

		file_remove(k, e->user);
		key_free(k, e);
	}
	loop_timer_cancel(k->loop, &k->timer);
	free(k);
}

/* ---- sshd's question ---- */

/* @line: "UNIX-SECONDS TYPE BASE64", without newline */
static void line_print(const char *line, int64_t now_s, FILE *to)
{
	char *end, good[GW_SSH_LINE_MAX + 1];
	const long long until_s = strtoll(line, &end, 10);

	if (*end == ' ' && until_s > now_s && until_s <= now_s + AG_KEY_LIFE_MAX_S &&
	    gw_ssh_line_read(good, end + 1) == 0)
		fprintf(to, "%s\n", good);
}

int ag_keys_print(const char *dir, const char *user, FILE *to)
{
	char path[PATH_LEN], *save = NULL;
	struct buf b;
	int r;

	if (!gw_ssh_user_ok(user) || !path_of(path, dir, user))
		return ST_EINVAL;
	if ((r = dir_check(dir)) < 0)
		return r == ST_ENOENT ? 0 : r;
	buf_init(&b, KEYS_FILE_MAX + 1);
	if ((r = file_read(&b, path)) == 0 && (r = buf_put(&b, "", 1)) == 0)
		for (char *line = strtok_r((char *)b.mem + b.head, "\n", &save); line;
		     line = strtok_r(NULL, "\n", &save))
			line_print(line, (int64_t)time(NULL), to);
	buf_fini(&b);
	return r == ST_ENOENT ? 0 : r;
}
