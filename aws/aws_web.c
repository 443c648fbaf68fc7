// SPDX-License-Identifier: MIT
/*
 * aws_web.c - a role taken on with the token of a web identity, which somebody else renews in a file (Kubernetes, a CI)
 *
 * Theory of operation: each of the three settings is the environment's, where that counts, or else the profile's. The file is read
 * at every call, since what is in it lives for an hour or less; the call is not signed, the token proves who we are.
 * Source: botocore credentials.py AssumeRoleWithWebIdentityProvider, utils.py FileWebIdentityTokenLoader
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "aws/aws_internal.h"
#include "base/codec.h"
#include "base/err.h"
#include "base/text.h"

#define READ_MS 5000U /* ours: a token's file that takes longer is not there */

struct web {
	struct aws_assume assume;
	char *path; /* of the token's file */
	handle job; /* 0: none */
};

static struct web *web_of(struct aws_assume *s)
{
	return container_of(s, struct web, assume);
}

static const char *setting(const struct aws_walk *w, const char *variable, const char *key)
{
	const char *value = w->use_env ? aws_env(w->acc->aws, variable) : NULL;

	return value ? value : aws_profile_get(&w->profile, key);
}

/* ---- the token */

static void hint_file(const struct web *w, struct aws_error *e)
{
	aws_error_hint(e,
		       "the token's file is named by AWS_WEB_IDENTITY_TOKEN_FILE or by "
		       "web_identity_token_file of profile %s",
		       text_safe(w->assume.w->profile.name).s);
}

static void on_read(void *arg, int err, const uint8_t *out, size_t len)
{
	struct web *web = arg;
	const char *text = (const char *)out + sizeof(uint32_t); /* behind the file's mode */
	struct aws_error e;
	char *token = NULL;

	web->job = 0;
	if (err == 0 && len > sizeof(uint32_t)) {
		len -= sizeof(uint32_t);
		while (len > 0 && strchr("\r\n\t ", text[len - 1]))
			len--; /* a token ends without one; an editor puts one there */
		token = memchr(text, '\0', len) ? NULL : strndup(text, len);
	}
	if (token && *token) {
		aws_assume_call(&web->assume, NULL, "WebIdentityToken", token);
	} else {
		aws_error_set(&e, ST_EAUTH, "the web identity token in %s can't be read: %s",
			      text_safe(web->path).s,
			      err == 0	? "there is none in it"
			      : len > 0 ? text_safe_n(out, len).s
					: st_strerror(err));
		hint_file(web, &e);
		aws_assume_fail(&web->assume, &e);
	}
	aws_secret_free(token);
}

static void on_miss(struct aws_assume *s)
{
	const struct svc *svc = s->w->acc->aws->svc;
	struct web *web = web_of(s);
	struct aws_error e;
	int err = svc->run(svc->ctx, &web->job, SVC_AWS_READ, web->path, strlen(web->path), READ_MS,
			   on_read, web);

	if (err == 0)
		return;
	web->job = 0;
	aws_error_set(&e, err, "the web identity token in %s can't be read: %s",
		      text_safe(web->path).s, st_strerror(err));
	aws_assume_fail(s, &e);
}

static bool on_failed(struct aws_assume *s, struct aws_error *e)
{
	const struct text_safe path = text_safe(web_of(s)->path);
	const struct text_safe role = text_safe(aws_text(s->args, "RoleArn"));

	if (aws_error_is_expired(e)) {
		e->person =
			false; /* whoever writes the file renews it; there is nothing to log in to */
		aws_error_hint(
			e, "the token in %s has expired: whoever writes that file must renew it",
			path.s);
	} else if (strcmp(e->code, "InvalidIdentityToken") == 0) {
		aws_error_hint(e,
			       "no identity provider of the role's account knows the token in %s: "
			       "see its issuer and audience",
			       path.s);
	} else if (strcmp(e->code, "IDPCommunicationError") == 0) {
		aws_error_hint(e,
			       "STS can't reach the identity provider that issued the token in "
			       "%s; it is tried again later",
			       path.s);
	} else if (e->err == ST_EPERM) {
		aws_error_hint(e,
			       "the trust policy of %s must allow sts:AssumeRoleWithWebIdentity to "
			       "the subject of the token in %s",
			       role.s, path.s);
	}
	return true;
}

static const struct aws_assume_how how = { .op = AWS_ASSUME_ROLE_WITH_WEB_IDENTITY,
					   .miss = on_miss,
					   .failed = on_failed };

/* ---- the step */

/* Return: 0; an error code with @e */
static int web_init(struct aws_walk *w, struct web *web, const char *path, struct aws_error *e)
{
	const char *role = setting(w, "AWS_ROLE_ARN", "role_arn");
	const char *session = setting(w, "AWS_ROLE_SESSION_NAME", "role_session_name");
	json_t *args;
	int err;

	if (!role)
		return aws_error_set(e, ST_EAUTH,
				     "The provided profile or the current environment is "
				     "configured to assume role with web identity but has no role "
				     "ARN configured. Ensure that the profile has the role_arn "
				     "configuration set or the AWS_ROLE_ARN env var is set.");
	args = json_pack("{s:s, s:s*}", "RoleArn", role, "RoleSessionName", session);
	if (!args)
		return aws_error_set(e, ST_EAUTH,
				     "the role or the session's name of profile %s is "
				     "not valid UTF-8",
				     text_safe(w->profile.name).s);
	if ((err = aws_assume_init(&web->assume, w, &how, args)) < 0)
		return aws_error_set(e, err, "%s", st_strerror(err));
	if (!(web->path = aws_path_expand(w->acc->aws, path)))
		return aws_error_set(e, ST_ENOMEM, "%s", st_strerror(ST_ENOMEM));
	return 0;
}

static void web_begin(struct aws_walk *w)
{
	const char *path = setting(w, "AWS_WEB_IDENTITY_TOKEN_FILE", "web_identity_token_file");
	struct web *web;
	struct aws_error e;

	if (!path) {
		aws_walk_skip(w, "no web_identity_token_file of profile %s%s",
			      text_safe(w->profile.name).s,
			      w->use_env ? ", no AWS_WEB_IDENTITY_TOKEN_FILE" : "");
		return;
	}
	if (!(web = calloc(1, sizeof(*web)))) {
		aws_error_set(&e, ST_ENOMEM, "%s", st_strerror(ST_ENOMEM));
		aws_walk_fail(w, &e);
		return;
	}
	w->state = web;
	if (web_init(w, web, path, &e) < 0)
		aws_walk_fail(w, &e);
	else
		aws_assume_again(&web->assume);
}

static void web_end(struct aws_walk *w)
{
	struct web *web = w->state;

	if (!web)
		return;
	if (web->job)
		w->acc->aws->svc->cancel(w->acc->aws->svc->ctx, web->job);
	aws_assume_end(&web->assume);
	free(web->path);
	free(web);
}

const struct aws_source aws_source_web = { .name = "assume-role-with-web-identity",
					   .begin = web_begin,
					   .end = web_end };
