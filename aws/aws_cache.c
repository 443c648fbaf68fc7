// SPDX-License-Identifier: MIT
/*
 * aws_cache.c - temporary credentials on disk, in the AWS CLI's own files: who has typed a code for one need not for the other
 *
 * Theory of operation: one JSON file for each set of arguments, named by their SHA-1. It is read and replaced by jobs of the
 * runner, since a home may be on a network. Whatever is wrong with a file makes it as if it were not there: the
 * credentials are asked for again, and it is replaced. What can't be written is asked for once more the next time.
 * Source: botocore credentials.py CachedCredentialFetcher, BaseAssumeRoleCredentialFetcher, SSOCredentialFetcher; utils.py
 * JSONFileCache; aws-cli v2 awscli/customizations/assumerole.py (the folder)
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "aws/aws_internal.h"
#include "base/codec.h"
#include "base/err.h"
#include "base/log.h"
#include "base/text.h"

#define JOB_MS 5000U	/* ours: a file of one's home that takes longer is not there */
#define KEY_MAX KIB(64) /* bytes of the arguments as JSON; ours */

/* ---- the name ---- */

/* Return: how many bytes the character at @s has, and its code point; jansson has checked that it is good UTF-8 */
static size_t utf8_take(uint32_t *out, const unsigned char *s)
{
	const size_t n = s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;

	*out = s[0] & (0x7fU >> n);
	for (size_t i = 1; i < n; i++)
		*out = *out << 6 | (s[i] & 0x3fU);
	return n;
}

static int unit_put(struct buf *b, uint32_t unit)
{
	char text[8];

	return buf_put(b, text, (size_t)snprintf(text, sizeof(text), "\\u%04x", unit));
}

static int beyond_ascii_put(struct buf *b, uint32_t c)
{
	int err;

	if (c < 0x10000)
		return unit_put(b, c);
	err = unit_put(b, 0xd800U + ((c - 0x10000U) >> 10));
	return err < 0 ? err : unit_put(b, 0xdc00U + ((c - 0x10000U) & 0x3ffU));
}

/* Turns jansson's text into Python's: all but printable ASCII is escaped, in lower-case hex. */
static int key_write(struct buf *b, const char *json)
{
	const unsigned char *s = (const unsigned char *)json;
	uint32_t c;
	int err = 0;

	while (!err && *s) {
		if (s[0] == '\\' && s[1] == 'u') {
			err = unit_put(b, (uint32_t)strtoul((char[]){ (char)s[2], (char)s[3],
								      (char)s[4], (char)s[5], 0 },
							    NULL, 16));
			s += 6;
		} else if (s[0] == '\\') {
			err = buf_put(b, s, 2);
			s += 2;
		} else if (s[0] < 0x7f) {
			err = buf_put(b, s++, 1);
		} else if (s[0] == 0x7f) {
			err = unit_put(b, *s++);
		} else {
			s += utf8_take(&c, s);
			err = beyond_ascii_put(b, c);
		}
	}
	return err;
}

int aws_json_name(char out[AWS_JSON_NAME_LEN], const json_t *args, bool compact)
{
	char *json = json_dumps(args, JSON_SORT_KEYS | (compact ? JSON_COMPACT : 0));
	uint8_t digest[CODEC_SHA1_LEN];
	struct buf b;
	int err;

	if (!json)
		return ST_ENOMEM;
	buf_init(&b, KEY_MAX);
	err = key_write(&b, json);
	aws_free_wiping(json);
	if (!err) {
		codec_sha1(digest, buf_data(&b), b.len);
		codec_hex(out, digest, sizeof(digest));
	}
	buf_wipe(&b);
	return err;
}

static int path_make(char **out, const struct aws *a, const json_t *args, bool compact)
{
	char name[AWS_JSON_NAME_LEN];
	int err = aws_json_name(name, args, compact);

	if (err < 0)
		return err;
	return asprintf(out, "%s/.aws/cli/cache/%s.json", a->home, name) < 0 ? ST_ENOMEM : 0;
}

/* ---- what is in it ---- */

int aws_creds_from_response(struct aws_creds *out, const json_t *response)
{
	const json_t *c = json_object_get(response, "Credentials");
	const char *key = aws_text(c, "AccessKeyId"), *secret = aws_text(c, "SecretAccessKey");
	const char *token = aws_text(c, "SessionToken"), *end = aws_text(c, "Expiration");
	struct aws_error error;
	int64_t end_s;
	int err;

	*out = (struct aws_creds){ 0 };
	if (!key || !*key || !secret || !token || !*token || !end ||
	    aws_time_parse(&end_s, end) < 0)
		return ST_EFORMAT;
	err = aws_creds_set(out, key, secret, token, "an answer", "SecretAccessKey", &error);
	if (err < 0)
		return err == ST_EAUTH ? ST_EFORMAT : err;
	out->expires_s = end_s;
	return 0;
}

/* ---- reading and writing ---- */

int aws_cache_init(struct aws_cache *c, struct aws_account *acc, const json_t *args, bool compact,
		   aws_cache_fn *done, void *arg)
{
	*c = (struct aws_cache){ .acc = acc, .done = done, .arg = arg };
	return path_make(&c->path, acc->aws, args, compact);
}

void aws_cache_fini(struct aws_cache *c)
{
	if (c->job)
		c->acc->aws->svc->cancel(c->acc->aws->svc->ctx, c->job);
	free(c->path);
	aws_creds_wipe(&c->found);
	*c = (struct aws_cache){ 0 };
}

static bool is_usable(const struct aws_cache *c)
{
	const int64_t now_s = (int64_t)time(NULL) + c->acc->skew_s;
	const char *why = NULL;

	if (c->found.expires_s - now_s < AWS_CACHE_MIN_S)
		why = "it ends too soon";
	else if (strcmp(c->found.access_key, c->acc->refused) == 0)
		why = "a service has refused it";
	if (why)
		log_debug("aws: what %s keeps is not used: %s", text_safe(c->path).s, why);
	return !why;
}

/* Return: whether c->found may be used */
static bool take(struct aws_cache *c, const uint8_t *text, size_t len)
{
	json_t *root = json_loadb((const char *)text, len, 0, NULL);
	int err = aws_creds_from_response(&c->found, root);

	json_decref(root);
	if (err < 0) {
		log_debug("aws: %s holds no credentials: it will be replaced",
			  text_safe(c->path).s);
		return false;
	}
	if (is_usable(c))
		return true;
	aws_creds_wipe(&c->found);
	return false;
}

/* The owner may be gone when it returns. */
static void tell(struct aws_cache *c)
{
	struct aws_creds own = c->found;

	c->found = (struct aws_creds){ 0 };
	c->done(c->arg, own.access_key ? &own : NULL);
	aws_creds_wipe(&own);
}

static void on_written(void *arg, int err, const uint8_t *out, size_t len)
{
	struct aws_cache *c = arg;

	c->job = 0;
	if (err < 0)
		log_warn("aws: %s can't be written: %s: other programs will have to ask for these "
			 "credentials themselves",
			 text_safe(c->path).s, len ? text_safe_n(out, len).s : st_strerror(err));
	tell(c);
}

static int write_start(struct aws_cache *c, const void *text, size_t len)
{
	const struct svc *svc = c->acc->aws->svc;
	const size_t path_len = strlen(c->path) + 1;
	struct buf b;
	int err;

	buf_init_secret(&b, path_len + len);
	err = buf_put(&b, c->path, path_len);
	if (!err)
		err = buf_put(&b, text, len);
	if (!err)
		err = svc->run(svc->ctx, &c->job, SVC_AWS_WRITE, buf_data(&b), b.len, JOB_MS,
			       on_written, c);
	buf_wipe(&b);
	if (err < 0) {
		c->job = 0;
		log_warn("aws: %s can't be written: %s", text_safe(c->path).s, st_strerror(err));
	}
	return err;
}

static void on_read(void *arg, int err, const uint8_t *out, size_t len)
{
	struct aws_cache *c = arg;
	uint32_t mode;

	c->job = 0;
	if (err < 0 || len < sizeof(mode)) {
		if (err < 0 && err != ST_ENOENT)
			log_warn("aws: %s can't be read: %s", text_safe(c->path).s,
				 len ? text_safe_n(out, len).s : st_strerror(err));
		tell(c);
		return;
	}
	memcpy(&mode, out, sizeof(mode));
	if (mode & 022U) { /* who knows whose credentials they are */
		log_warn("aws: others may write %s (mode %03o): it is not used, and replaced",
			 text_safe(c->path).s, mode);
		tell(c);
		return;
	}
	if (take(c, out + sizeof(mode), len - sizeof(mode)) && mode & 077U) {
		log_warn("aws: others may read %s (mode %03o): mended", text_safe(c->path).s, mode);
		if (write_start(c, out + sizeof(mode), len - sizeof(mode)) == 0)
			return;
	}
	tell(c);
}

int aws_cache_get(struct aws_cache *c)
{
	const struct svc *svc = c->acc->aws->svc;
	int err = svc->run(svc->ctx, &c->job, SVC_AWS_READ, c->path, strlen(c->path), JOB_MS,
			   on_read, c);

	if (err < 0)
		c->job = 0;
	return err;
}

int aws_cache_put(struct aws_cache *c, const json_t *response)
{
	char *text = json_dumps(response, 0);
	int err = text ? write_start(c, text, strlen(text)) : ST_ENOMEM;

	aws_free_wiping(text);
	return err;
}
