// SPDX-License-Identifier: MIT
/*
 * aws_creds.c - credentials as a value, and the sources that only have to look: configuration, environment, the two files
 *
 * Source: botocore 1.29 credentials.py EnvProvider, SharedCredentialProvider, ConfigProvider
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "aws/aws_internal.h"
#include "base/codec.h"
#include "base/err.h"
#include "base/text.h"

void aws_secret_free(char *secret)
{
	if (!secret)
		return;
	codec_wipe(secret, strlen(secret));
	free(secret);
}

void aws_creds_wipe(struct aws_creds *c)
{
	aws_secret_free(c->access_key);
	aws_secret_free(c->secret_key);
	aws_secret_free(c->token);
	*c = (struct aws_creds){ 0 };
}

int aws_creds_copy(struct aws_creds *out, const struct aws_creds *from)
{
	*out = *from;
	out->access_key = strdup(from->access_key);
	out->secret_key = strdup(from->secret_key);
	out->token = from->token ? strdup(from->token) : NULL;
	if (out->access_key && out->secret_key && (out->token || !from->token))
		return 0;
	aws_creds_wipe(out);
	return ST_ENOMEM;
}

/* They become header values: no blanks at the ends, nothing that could end a header. */
static bool is_plain(const char *s)
{
	for (const unsigned char *c = (const unsigned char *)s; *c; c++)
		if (*c < 0x21 || *c > 0x7e)
			return false;
	return true;
}

static int keys_check(const char *access_key, const char *secret_key, const char *token,
		      const char *where, const char *secret_name, struct aws_error *error)
{
	if (!secret_key || !*secret_key)
		aws_error_set(error, ST_EAUTH, "Partial credentials found in %s, missing: %s",
			      where, secret_name);
	else if (!is_plain(access_key) || !is_plain(secret_key) || (token && !is_plain(token)))
		aws_error_set(error, ST_EAUTH,
			      "the credentials found in %s hold blanks or other characters "
			      "that no AWS key has",
			      where);
	else
		return 0;
	error->person = true;
	return ST_EAUTH;
}

int aws_creds_set(struct aws_creds *out, const char *access_key, const char *secret_key,
		  const char *token, const char *where, const char *secret_name,
		  struct aws_error *error)
{
	*out = (struct aws_creds){ 0 };
	if (keys_check(access_key, secret_key, token, where, secret_name, error) < 0)
		return ST_EAUTH;
	out->access_key = strdup(access_key);
	out->secret_key = strdup(secret_key);
	out->token = token && *token ? strdup(token) : NULL;
	if (!out->access_key || !out->secret_key || (token && *token && !out->token)) {
		aws_creds_wipe(out);
		return aws_error_set(error, ST_ENOMEM, "%s", st_strerror(ST_ENOMEM));
	}
	return 0;
}

/* ---- keys in JSON ---- */

int aws_retrieval_error(struct aws_error *e, int err, const char *source, const char *fmt, ...)
{
	char why[700];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	aws_error_set(e, err, "Error when retrieving credentials from %s: %s", source, why);
	e->person = err == ST_EAUTH;
	e->retryable = err == ST_EAGAIN;
	return err;
}

static const char *text_of(const json_t *root, const char *key)
{
	const char *s = json_string_value(json_object_get(root, key));

	return s && *s ? s : NULL;
}

/* The member that must be there and is not; NULL: none */
static const char *missing(const json_t *root, const char *token_key)
{
	const bool is_temporary = strcmp(token_key, "Token") == 0;
	const char *const keys[] = { "AccessKeyId", "SecretAccessKey", "Token", "Expiration" };

	for (size_t i = 0; i < (is_temporary ? 4 : 2); i++)
		if (!text_of(root, keys[i]))
			return keys[i];
	return NULL;
}

int aws_creds_read(struct aws_creds *out, const json_t *root, const char *token_key,
		   const char *source, struct aws_error *error)
{
	const char *lacks = missing(root, token_key), *expires = text_of(root, "Expiration");
	char where[64];
	int64_t expires_s = 0;
	int err;

	*out = (struct aws_creds){ 0 };
	if (lacks)
		return aws_retrieval_error(error, ST_EAUTH, source,
					   "Missing required key in response: '%s'", lacks);
	if (expires && aws_time_parse(&expires_s, expires) < 0)
		return aws_retrieval_error(error, ST_EAUTH, source,
					   "Expiration is no ISO 8601 time: %s",
					   text_safe(expires).s);
	snprintf(where, sizeof(where), "the answer of %s", source);
	err = aws_creds_set(out, text_of(root, "AccessKeyId"), text_of(root, "SecretAccessKey"),
			    text_of(root, token_key), where, "SecretAccessKey", error);
	out->expires_s = err < 0 ? 0 : expires_s;
	return err;
}

/* ---- keys that only have to be found ---- */

static const char *first_of(const char *a, const char *b)
{
	return a && *a ? a : b;
}

/* Ends the step by what aws_creds_set() made of the keys. */
static void answer(struct aws_walk *w, int err, struct aws_creds *c, const struct aws_error *error)
{
	if (err < 0)
		aws_walk_fail(w, error);
	else
		aws_walk_found(w, c);
}

static void given_begin(struct aws_walk *w)
{
	const struct aws_account *acc = w->acc;
	struct aws_creds c;
	struct aws_error error;
	int err;

	if (!acc->access_key) {
		aws_walk_skip(w, "no access_key in the configuration");
		return;
	}
	err = aws_creds_set(&c, acc->access_key, acc->secret_key, acc->session_token,
			    "the configuration", "secret_key", &error);
	answer(w, err, &c, &error);
}

const struct aws_source aws_source_given = { .name = "configuration", .begin = given_begin };

static void env_begin(struct aws_walk *w)
{
	const struct aws *a = w->acc->aws;
	const char *key = aws_env(a, "AWS_ACCESS_KEY_ID");
	const char *ends = aws_env(a, "AWS_CREDENTIAL_EXPIRATION");
	struct aws_creds c;
	struct aws_error error;
	int err;

	if (!w->use_env) {
		aws_walk_skip(w, "a profile was chosen");
		return;
	}
	if (!key) {
		aws_walk_skip(w, "AWS_ACCESS_KEY_ID is not set");
		return;
	}
	err = aws_creds_set(
		&c, key, aws_env(a, "AWS_SECRET_ACCESS_KEY"),
		first_of(aws_env(a, "AWS_SECURITY_TOKEN"), aws_env(a, "AWS_SESSION_TOKEN")), "env",
		"AWS_SECRET_ACCESS_KEY", &error);
	if (!err && ends && aws_time_parse(&c.expires_s, ends) < 0)
		c.expires_s = 0; /* who set it can't be asked: the service will say */
	answer(w, err, &c, &error);
}

const struct aws_source aws_source_env = { .name = "env", .begin = env_begin };

static void from_file(struct aws_walk *w, const struct aws_ini *ini, const char *section,
		      const char *path)
{
	const char *key = ini && section ? aws_ini_get(ini, section, "aws_access_key_id") : NULL;
	struct aws_creds c;
	struct aws_error error;
	int err;

	if (!key || !*key) {
		aws_walk_skip(w, "no aws_access_key_id of profile %s in %s",
			      text_safe(w->profile.name).s, path ? text_safe(path).s : "any file");
		return;
	}
	err = aws_creds_set(&c, key, aws_ini_get(ini, section, "aws_secret_access_key"),
			    first_of(aws_ini_get(ini, section, "aws_security_token"),
				     aws_ini_get(ini, section, "aws_session_token")),
			    text_safe(path).s, "aws_secret_access_key", &error);
	if (err == ST_EAUTH)
		aws_error_hint(&error, "see section [%s] of %s", text_safe(section).s,
			       text_safe(path).s);
	answer(w, err, &c, &error);
}

/* The AWS CLI does not mind; but whoever can read the file can act as its owner. */
static void warn_if_open(struct aws_walk *w)
{
	const struct aws_profile *p = &w->profile;
	struct stat st;

	if (p->creds && aws_ini_get(p->creds, p->name, "aws_secret_access_key") &&
	    stat(p->creds_path, &st) == 0 && (st.st_mode & 07))
		aws_walk_warn(w,
			      "%s holds a secret key and is open to every user of this machine "
			      "(mode %03o): run `chmod 600 %s`",
			      text_safe(p->creds_path).s, (unsigned)(st.st_mode & 0777),
			      text_safe(p->creds_path).s);
}

static void shared_begin(struct aws_walk *w)
{
	warn_if_open(w);
	from_file(w, w->profile.creds, w->profile.name, w->profile.creds_path);
}

const struct aws_source aws_source_shared = { .name = "shared-credentials-file",
					      .begin = shared_begin };

/* Keys that `aws login` gives: to ask the sources behind it would mean another identity than the AWS CLI's. */
static void login_begin(struct aws_walk *w)
{
	const struct text_safe name = text_safe(w->profile.name);
	struct aws_error error;

	if (!aws_profile_get(&w->profile, "login_session")) {
		aws_walk_skip(w, "no login_session in profile %s", name.s);
		return;
	}
	aws_error_set(&error, ST_EAUTH,
		      "the profile (%s) uses `aws login` (login_session), which this version does "
		      "not support",
		      name.s);
	aws_error_hint(&error,
		       "put its keys into the environment and name no profile: see `aws configure "
		       "export-credentials`");
	aws_walk_fail(w, &error);
}

const struct aws_source aws_source_login = { .name = "login", .begin = login_begin };

static void config_begin(struct aws_walk *w)
{
	from_file(w, w->profile.config, w->profile.config_section, w->profile.config_path);
}

const struct aws_source aws_source_config = { .name = "config-file", .begin = config_begin };
