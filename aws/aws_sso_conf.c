// SPDX-License-Identifier: MIT
/*
 * aws_sso_conf.c - what a profile says of IAM Identity Center
 *
 * Theory of operation: a profile either names an "sso-session" section, whose keys are laid over its own, or has all keys itself
 * (legacy). The token belongs to the session's name or the start URL, so that profiles share it; its file is named by
 * the SHA-1 of that.
 * Source: aws-cli v2 awscli/botocore/credentials.py SSOProvider, utils.py SSOTokenLoader; awscli/customizations/sso/utils.py
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "aws/aws_sso.h"
#include "base/codec.h"
#include "base/err.h"
#include "base/text.h"

/* In the order in which missing ones are told. */
enum key { KEY_ROLE, KEY_ACCOUNT, KEY_START_URL, KEY_REGION, KEY_SCOPES, KEY_N };

static const char *const key_names[KEY_N] = {
	[KEY_ROLE] = "sso_role_name",
	[KEY_ACCOUNT] = "sso_account_id",
	[KEY_START_URL] = "sso_start_url",
	[KEY_REGION] = "sso_region",
	[KEY_SCOPES] = "sso_registration_scopes",
};

static int wrong(const struct aws_profile *p, struct aws_error *error)
{
	aws_error_hint(error, "see profile %s in %s, and: aws configure sso", text_safe(p->name).s,
		       p->config_path ? text_safe(p->config_path).s : "the config file");
	return ST_EAUTH;
}

static int no_session(const struct aws_profile *p, const char *session, struct aws_error *error)
{
	aws_error_set(error, ST_EAUTH, "The specified sso-session does not exist: \"%s\"",
		      text_safe(session).s);
	return wrong(p, error);
}

/* The session's keys, which may say nothing else than the profile's. */
static int lay_over(const char *values[KEY_N], const struct aws_profile *p, const char *session,
		    struct aws_error *error)
{
	const char *section = p->config ? aws_ini_section(p->config, "sso-session", session) : NULL;

	if (!section)
		return no_session(p, session, error);
	for (size_t i = 0; i < KEY_N; i++) {
		const char *value = aws_ini_get(p->config, section, key_names[i]);

		if (!value || !*value)
			continue;
		if (values[i] && strcmp(values[i], value) != 0) {
			aws_error_set(error, ST_EAUTH,
				      "The value for %s is inconsistent between profile (%s) and "
				      "sso-session (%s).",
				      key_names[i], text_safe(values[i]).s, text_safe(value).s);
			return wrong(p, error);
		}
		values[i] = value;
	}
	return 0;
}

static int all_there(const char *const values[KEY_N], const struct aws_profile *p, bool role,
		     struct aws_error *error)
{
	char missing[160] = "";

	for (size_t i = role ? KEY_ROLE : KEY_START_URL; i < KEY_SCOPES; i++) {
		const size_t at = strlen(missing);

		if (!values[i])
			snprintf(missing + at, sizeof(missing) - at, "%s%s", at ? ", " : "",
				 key_names[i]);
	}
	if (!missing[0])
		return 0;
	aws_error_set(error, ST_EAUTH,
		      "The profile \"%s\" is configured to use SSO but is missing required "
		      "configuration: %s",
		      text_safe(p->name).s, missing);
	return wrong(p, error);
}

/* They go into a URL's path and a host's name. */
static int region_ok(const char *region, const struct aws_profile *p, struct aws_error *error)
{
	if (aws_region_is_valid(region))
		return 0;
	aws_error_set(error, ST_EAUTH,
		      "Provided region_name '%s' doesn't match a supported format.",
		      text_safe(region).s);
	return wrong(p, error);
}

char *aws_sso_file(const struct aws *a, const char *name)
{
	char *path;

	return asprintf(&path, "%s/.aws/sso/cache/%s.json", a->home, name) < 0 ? NULL : path;
}

static char *token_file(const struct aws *a, const char *of)
{
	uint8_t digest[CODEC_SHA1_LEN];
	char name[2 * CODEC_SHA1_LEN + 1];

	codec_sha1(digest, of, strlen(of));
	codec_hex(name, digest, sizeof(digest));
	return aws_sso_file(a, name);
}

static bool keep(char **out, const char *value)
{
	*out = value ? strdup(value) : NULL;
	return *out || !value;
}

static int fill(struct aws_sso *out, const struct aws *a, const char *profile, const char *session,
		const char *const values[KEY_N])
{
	const char *of = session ? session : values[KEY_START_URL]; /* whose the token is */

	*out = (struct aws_sso){ 0 };
	if (of && keep(&out->profile, profile) && keep(&out->session, session) &&
	    keep(&out->start_url, values[KEY_START_URL]) &&
	    keep(&out->region, values[KEY_REGION]) && keep(&out->scopes, values[KEY_SCOPES]) &&
	    keep(&out->account, values[KEY_ACCOUNT]) && keep(&out->role, values[KEY_ROLE]) &&
	    (out->path = token_file(a, of)))
		return 0;
	aws_sso_fini(out);
	return ST_ENOMEM;
}

int aws_sso_find(struct aws_sso *out, const struct aws *a, const struct aws_profile *p, bool role,
		 struct aws_error *error)
{
	const char *session = aws_profile_get(p, "sso_session"), *values[KEY_N];
	int err;

	for (size_t i = 0; i < KEY_N; i++)
		values[i] = aws_profile_get(p, key_names[i]);
	if (role ? !values[KEY_ROLE] && !values[KEY_ACCOUNT] : !session && !values[KEY_START_URL])
		return ST_ENOENT;
	if ((session && (err = lay_over(values, p, session, error)) < 0) ||
	    (err = all_there(values, p, role, error)) < 0 ||
	    (err = region_ok(values[KEY_REGION], p, error)) < 0)
		return err;
	if ((err = fill(out, a, p->name, session, values)) < 0)
		aws_error_set(error, err, "%s", st_strerror(err));
	return err;
}

void aws_sso_fini(struct aws_sso *s)
{
	free(s->profile);
	free(s->session);
	free(s->start_url);
	free(s->region);
	free(s->scopes);
	free(s->account);
	free(s->role);
	free(s->path);
	*s = (struct aws_sso){ 0 };
}

void aws_login_hint(struct aws_error *error, const char *profile)
{
	const struct shell_word word = aws_shell_word(profile);

	aws_error_hint(error, "log in: aws sso login --profile %s (or: ssm-tun login %s)", word.s,
		       word.s);
}
