// SPDX-License-Identifier: MIT
/*
 * aws_profile.c - which profile an account uses, and its keys
 *
 * Theory of operation: both files are read anew for each attempt (decision 11: a person may just have mended them). The name
 * comes from flag or configuration, else AWS_PROFILE, else AWS_DEFAULT_PROFILE, else it is "default". A profile
 * is the config file's "[profile x]" with the credentials file's "[x]" laid over it.
 * Source: aws-cli v2 awscli/botocore/configprovider.py, session.py full_config
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "aws/aws_internal.h"
#include "base/err.h"
#include "base/file.h"
#include "base/text.h"

/* HOME of the environment is not asked: under sudo it is root's. */
char *aws_path_expand(const struct aws *a, const char *path)
{
	static const char *const home[] = { "~", "$HOME", "${HOME}" };
	char *out;

	for (size_t i = 0; i < ARRAY_LEN(home); i++) {
		const size_t len = strlen(home[i]);

		if (strncmp(path, home[i], len) == 0 && (path[len] == '/' || path[len] == '\0'))
			return asprintf(&out, "%s%s", a->home, path + len) < 0 ? NULL : out;
	}
	return strdup(path);
}

static int read_error(struct aws_error *error, const char *path, int err, int os_errno)
{
	const char *why = st_strerror(err);

	if (err == ST_EPERM && os_errno == EINVAL)
		why = "not a regular file";
	else if (err == ST_EFULL)
		why = "the file is too large";
	else if (err == ST_ESYS || err == ST_EPERM)
		why = strerror(os_errno);
	aws_error_set(error, ST_EAUTH, "%s: %s", text_safe(path).s, why);
	error->person = true;
	return ST_EAUTH;
}

static int ini_load(struct aws_ini **out, const char *path, struct aws_error *error)
{
	struct buf b;
	uint32_t line = 0;
	int err;

	buf_init_secret(&b, AWS_FILE_MAX);
	err = file_read_follow(&b, path);
	if (err == ST_ENOENT) {
		buf_wipe(&b);
		return 0;
	}
	if (err < 0) {
		int why = errno;

		buf_wipe(&b);
		return read_error(error, path, err, why);
	}
	err = b.len ? aws_ini_parse(out, (const char *)buf_data(&b), b.len, &line) : 0;
	buf_wipe(&b);
	if (err == ST_EFORMAT)
		return aws_error_set(error, ST_EAUTH, "Unable to parse config file: %s (line %u)",
				     text_safe(path).s, line);
	if (err < 0)
		return aws_error_set(error, err, "%s: %s", text_safe(path).s, st_strerror(err));
	return 0;
}

static char *file_path(const struct aws *a, const char *variable, const char *standard)
{
	const char *path = aws_env(a, variable);

	return aws_path_expand(a, path ? path : standard);
}

static uint64_t stamp_mix(uint64_t h, uint64_t v) /* FNV-1a, by words */
{
	return (h ^ v) * UINT64_C(0x100000001b3);
}

uint64_t aws_profile_stamp(const struct aws_account *acc)
{
	char *const paths[] = {
		file_path(acc->aws, "AWS_CONFIG_FILE", "~/.aws/config"),
		file_path(acc->aws, "AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials"),
	};
	uint64_t h = UINT64_C(0xcbf29ce484222325);
	struct stat st;

	for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
		if (!paths[i] || stat(paths[i], &st) < 0)
			st = (struct stat){ 0 };
		free(paths[i]);
		h = stamp_mix(stamp_mix(h, (uint64_t)st.st_ino), (uint64_t)st.st_size);
		h = stamp_mix(stamp_mix(h, (uint64_t)st.st_mtim.tv_sec),
			      (uint64_t)st.st_mtim.tv_nsec);
	}
	return h;
}

static void name_choose(struct aws_profile *p, const struct aws_account *acc)
{
	p->is_chosen = acc->profile != NULL;
	p->name = acc->profile;
	if (!p->name)
		p->name = aws_env(acc->aws, "AWS_PROFILE");
	if (!p->name)
		p->name = aws_env(acc->aws, "AWS_DEFAULT_PROFILE");
}

static void find_sections(struct aws_profile *p)
{
	p->config_section = p->config ? aws_ini_profile(p->config, p->name) : NULL;
	p->exists = p->config_section || (p->creds && aws_ini_has(p->creds, p->name));
}

int aws_profile_load(struct aws_profile *p, const struct aws_account *acc, struct aws_error *error)
{
	bool is_named;
	int err;

	*p = (struct aws_profile){ .name = "default" };
	if (acc->access_key && !acc->profile)
		return 0; /* needs nothing of the user's files, so these can't stand in its way */
	name_choose(p, acc);
	is_named = p->name != NULL;
	if (!is_named)
		p->name = "default";
	p->config_path = file_path(acc->aws, "AWS_CONFIG_FILE", "~/.aws/config");
	p->creds_path = file_path(acc->aws, "AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials");
	if (!p->config_path || !p->creds_path) {
		err = aws_error_set(error, ST_ENOMEM, "%s", st_strerror(ST_ENOMEM));
		goto fail;
	}
	if ((err = ini_load(&p->config, p->config_path, error)) < 0 ||
	    (err = ini_load(&p->creds, p->creds_path, error)) < 0)
		goto fail;
	find_sections(p);
	if (is_named && !p->exists) {
		err = aws_error_set(error, ST_EAUTH, "The config profile (%s) could not be found",
				    text_safe(p->name).s);
		aws_error_hint(error, "looked in %s and %s", text_safe(p->config_path).s,
			       text_safe(p->creds_path).s);
		goto fail;
	}
	return 0;
fail:
	aws_profile_fini(p);
	return err;
}

void aws_profile_select(struct aws_profile *p, const struct aws_profile *of, const char *name)
{
	*p = *of;
	p->is_view = true;
	p->name = name;
	p->is_chosen = true;
	find_sections(p);
}

void aws_profile_fini(struct aws_profile *p)
{
	if (!p->is_view) {
		aws_ini_free(p->config);
		aws_ini_free(p->creds);
		free(p->config_path);
		free(p->creds_path);
	}
	*p = (struct aws_profile){ 0 };
}

const char *aws_profile_get(const struct aws_profile *p, const char *key)
{
	const char *value = p->creds ? aws_ini_get(p->creds, p->name, key) : NULL;

	if (!value && p->config_section)
		value = aws_ini_get(p->config, p->config_section, key);
	return value && *value && *value != '\n' ? value : NULL;
}
