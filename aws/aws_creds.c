// SPDX-License-Identifier: MIT
/*
 * aws_creds.c - the credential chain of this version
 *
 * Theory of operation: keys of the configuration; else those of the environment, unless a profile was chosen by flag or
 * configuration; else the profile's in the credentials file; else in the config file: botocore's order. A profile
 * that asks for a provider which stands before these in botocore's chain and which we don't have yet (role, SSO,
 * web identity, process) is an error that names it: going on would use another identity than the AWS CLI does.
 * Source: botocore 1.29 credentials.py create_credential_resolver()
 */
#include <stdlib.h>
#include <string.h>

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

/* They become header values: no blanks at the ends, nothing that could end a header. */
static bool is_plain(const char *s)
{
	for (const unsigned char *c = (const unsigned char *)s; *c; c++)
		if (*c < 0x21 || *c > 0x7e)
			return false;
	return true;
}

/* @where names the place, @secret_name the key that must be there too. */
static int creds_copy(struct aws_creds *out, const char *access_key, const char *secret_key,
		      const char *token, const char *where, const char *secret_name,
		      struct aws_error *error)
{
	if (!secret_key || !*secret_key)
		return aws_error_set(error, ST_EAUTH,
				     "Partial credentials found in %s, missing: %s", where,
				     secret_name);
	if (!is_plain(access_key) || !is_plain(secret_key) || (token && !is_plain(token)))
		return aws_error_set(error, ST_EAUTH,
				     "the credentials found in %s hold blanks or other characters "
				     "that no AWS key has",
				     where);
	out->access_key = strdup(access_key);
	out->secret_key = strdup(secret_key);
	out->token = token && *token ? strdup(token) : NULL;
	if (!out->access_key || !out->secret_key || (token && *token && !out->token)) {
		aws_creds_wipe(out);
		return aws_error_set(error, ST_ENOMEM, "%s", st_strerror(ST_ENOMEM));
	}
	return 0;
}

static const char *first_of(const char *a, const char *b)
{
	return a && *a ? a : b;
}

static int from_env(struct aws_creds *out, const struct aws *a, const char *access_key,
		    struct aws_error *error)
{
	return creds_copy(
		out, access_key, aws_env(a, "AWS_SECRET_ACCESS_KEY"),
		first_of(aws_env(a, "AWS_SECURITY_TOKEN"), aws_env(a, "AWS_SESSION_TOKEN")), "env",
		"AWS_SECRET_ACCESS_KEY", error);
}

static int from_file(struct aws_creds *out, const struct aws_ini *ini, const char *section,
		     const char *access_key, const char *path, struct aws_error *error)
{
	int err = creds_copy(out, access_key, aws_ini_get(ini, section, "aws_secret_access_key"),
			     first_of(aws_ini_get(ini, section, "aws_security_token"),
				      aws_ini_get(ini, section, "aws_session_token")),
			     text_safe(path).s, "aws_secret_access_key", error);

	if (err == ST_EAUTH)
		aws_error_hint(error, "see section [%s] of %s", text_safe(section).s,
			       text_safe(path).s);
	return err;
}

/* Keys that hand a profile to a provider that comes before the two files' own keys. */
static const struct {
	const char *key, *what;
} unsupported[] = {
	{ "role_arn", "an assumed role" },
	{ "sso_session", "IAM Identity Center (SSO)" },
	{ "sso_start_url", "IAM Identity Center (SSO)" },
	{ "sso_account_id", "IAM Identity Center (SSO)" },
};

static int refuse(const struct aws_profile *p, const char *key, const char *what,
		  struct aws_error *error)
{
	aws_error_set(error, ST_EAUTH,
		      "the profile (%s) uses %s (%s), which this version does not support",
		      text_safe(p->name).s, what, key);
	aws_error_hint(error,
		       "put temporary keys into the environment: eval \"$(aws configure "
		       "export-credentials --profile %s --format env)\", and name no profile",
		       text_safe(p->name).s);
	return ST_EAUTH;
}

static int refuse_unsupported(const struct aws_profile *p, struct aws_error *error)
{
	for (size_t i = 0; i < ARRAY_LEN(unsupported); i++)
		if (aws_profile_get(p, unsupported[i].key))
			return refuse(p, unsupported[i].key, unsupported[i].what, error);
	return 0;
}

static int none_found(const struct aws_account *acc, const struct aws_profile *p,
		      struct aws_error *error)
{
	aws_error_set(error, ST_EAUTH, "Unable to locate credentials");
	aws_error_hint(
		error,
		"looked for %saws_access_key_id in [%s] of %s and in the same profile of %s; "
		"run `aws configure`, or give --profile%s",
		p->is_chosen ? "" : "AWS_ACCESS_KEY_ID in the environment, ", text_safe(p->name).s,
		text_safe(p->creds_path).s, text_safe(p->config_path).s,
		aws_env(acc->aws, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") ||
				aws_env(acc->aws, "AWS_CONTAINER_CREDENTIALS_FULL_URI")
			? " (a container's credentials are not asked by this version)"
			: "");
	return ST_EAUTH;
}

int aws_creds_find(struct aws_creds *out, const struct aws_account *acc,
		   const struct aws_profile *p, struct aws_error *error)
{
	const char *key;
	int err;

	*out = (struct aws_creds){ 0 };
	if (acc->access_key)
		return creds_copy(out, acc->access_key, acc->secret_key, acc->session_token,
				  "the configuration", "secret_key", error);
	key = aws_env(acc->aws, "AWS_ACCESS_KEY_ID");
	if (!p->is_chosen && key)
		return from_env(out, acc->aws, key, error);
	if ((err = refuse_unsupported(p, error)) < 0)
		return err;
	if (!p->is_chosen && aws_env(acc->aws, "AWS_WEB_IDENTITY_TOKEN_FILE"))
		return refuse(p, "AWS_WEB_IDENTITY_TOKEN_FILE", "a web identity", error);
	key = p->creds ? aws_ini_get(p->creds, p->name, "aws_access_key_id") : NULL;
	if (key && *key)
		return from_file(out, p->creds, p->name, key, p->creds_path, error);
	if (aws_profile_get(p, "credential_process"))
		return refuse(p, "credential_process", "a credential process", error);
	key = p->config_section ? aws_ini_get(p->config, p->config_section, "aws_access_key_id")
				: NULL;
	if (key && *key)
		return from_file(out, p->config, p->config_section, key, p->config_path, error);
	return none_found(acc, p, error);
}
