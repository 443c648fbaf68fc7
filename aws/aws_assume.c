// SPDX-License-Identifier: MIT
/*
 * aws_assume.c - what both ways to take on a role share: the cache, the call, the cache again
 *
 * Theory of operation: what is configured names a file of the AWS CLI's cache, which is looked into first. If that has nothing,
 * the way's own miss() gets ready what proves who we are, and STS is asked; its whole answer is put into the file before the
 * step ends, so that a program that only fills the cache may end then. A cache that can't be read or written costs time only.
 * Source: botocore credentials.py CachedCredentialFetcher, BaseAssumeRoleCredentialFetcher; aws-cli v2 _add_account_id_to_response()
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "aws/aws_internal.h"
#include "base/err.h"
#include "base/text.h"

static void fail_err(struct aws_assume *s, int err)
{
	struct aws_error e;

	aws_error_set(&e, err, "%s: %s", aws_ops[s->how->op].name, st_strerror(err));
	aws_assume_fail(s, &e);
}

void aws_assume_fail(struct aws_assume *s, const struct aws_error *error)
{
	if (s->how->ending)
		s->how->ending(s, error, NULL);
	aws_walk_fail(s->w, error);
}

void aws_assume_found(struct aws_assume *s, const struct aws_creds *c)
{
	struct aws_walk *w = s->w;
	struct aws_creds own;

	if (aws_creds_copy(&own, c) < 0) {
		fail_err(s, ST_ENOMEM);
		return;
	}
	if (s->how->ending)
		s->how->ending(s, NULL, &own);
	aws_walk_found(w, &own);
}

/* It was read, or written. */
static void on_cache(void *arg, const struct aws_creds *c)
{
	struct aws_assume *s = arg;

	if (s->got.access_key)
		aws_assume_found(s, &s->got);
	else if (c)
		aws_assume_found(s, c);
	else
		s->how->miss(s);
}

int aws_assume_init(struct aws_assume *s, struct aws_walk *w, const struct aws_assume_how *how,
		    json_t *args)
{
	*s = (struct aws_assume){ .w = w, .how = how, .args = args };
	return aws_cache_init(&s->cache, w->acc, args, false, on_cache, s);
}

void aws_assume_again(struct aws_assume *s)
{
	if (aws_cache_get(&s->cache) < 0)
		s->how->miss(s);
}

/* ---- the answer ---- */

/* The time as aws-cli v2 writes it: "2026-01-01T00:00:00+00:00". */
static int expiration_write(json_t *creds, int64_t end_s)
{
	char text[AWS_TIME_STR + 8];

	aws_time_print(text, end_s);
	text_copy(text + strcspn(text, "Z"), sizeof("+00:00"), "+00:00");
	return json_object_set_new(creds, "Expiration", json_string(text));
}

/* "arn:aws:sts::123456789012:assumed-role/…" */
static int account_write(json_t *creds, const json_t *answer)
{
	const char *arn = aws_text(json_object_get(answer, "AssumedRoleUser"), "Arn");

	for (unsigned i = 0; arn && i < 4; i++)
		if ((arn = strchr(arn, ':')))
			arn++;
	if (!arn || !strchr(arn, ':'))
		return 0;
	return json_object_set_new(creds, "AccountId", json_stringn(arn, strcspn(arn, ":")));
}

/* Return: the answer as the AWS CLI keeps it; NULL without memory */
static json_t *to_keep(const json_t *answer, int64_t end_s)
{
	json_t *copy = json_deep_copy(answer);
	json_t *creds = json_object_get(copy, "Credentials");
	json_t *meta = json_pack("{s:i, s:{}, s:i}", "HTTPStatusCode", 200, "HTTPHeaders",
				 "RetryAttempts", 0);

	if (json_object_set_new(copy, "ResponseMetadata", meta) == 0 &&
	    expiration_write(creds, end_s) == 0 && account_write(creds, answer) == 0)
		return copy;
	json_decref(copy);
	return NULL;
}

static void accepted(struct aws_assume *s, const json_t *answer)
{
	struct aws_error e;
	json_t *copy;
	int err = aws_creds_from_response(&s->got, answer);

	if (err == ST_EFORMAT) {
		aws_error_set(&e, ST_EPEER, "the answer to %s makes no sense: no credentials in it",
			      aws_ops[s->how->op].name);
		aws_assume_fail(s, &e);
		return;
	}
	if (err < 0) {
		fail_err(s, err);
		return;
	}
	copy = to_keep(answer, s->got.expires_s);
	if (!copy || aws_cache_put(&s->cache, copy) < 0)
		aws_assume_found(s, &s->got);
	json_decref(copy);
}

static void on_answer(void *arg, const struct aws_error *error, json_t *answer)
{
	struct aws_assume *s = arg;
	struct aws_error own;

	s->call = 0;
	if (!error) {
		accepted(s, answer);
		return;
	}
	own = *error;
	if (s->how->failed(s, &own))
		aws_assume_fail(s, &own);
}

/* ---- the call ---- */

static json_t *params_make(const struct aws_assume *s, const char *name, const char *value)
{
	json_t *params = json_copy(s->args);
	char session[64];
	int err = params ? 0 : -1;

	snprintf(session, sizeof(session), "ssm-tun-%lld", (long long)time(NULL));
	if (!err && !json_object_get(params, "RoleSessionName"))
		err = json_object_set_new(params, "RoleSessionName", json_string(session));
	if (!err && name)
		err = json_object_set_new(params, name, json_string(value));
	if (!err)
		return params;
	json_decref(params);
	return NULL;
}

void aws_assume_call(struct aws_assume *s, const struct aws_creds *as, const char *name,
		     const char *value)
{
	const struct aws_as who = { .creds = as };
	int err = aws_ask_as(s->w->acc, &s->call, s->how->op, params_make(s, name, value),
			     aws_text(s->args, "RoleArn"), &who, on_answer, s);

	if (err < 0) {
		s->call = 0;
		fail_err(s, err);
	}
}

void aws_assume_end(struct aws_assume *s)
{
	if (s->call)
		aws_cancel(s->w->acc->aws, s->call);
	if (s->w)
		aws_cache_fini(&s->cache);
	json_decref(s->args);
	aws_creds_wipe(&s->got);
	*s = (struct aws_assume){ 0 };
}
