// SPDX-License-Identifier: MIT
/*
 * Cases: the chain's order in every combination of the four places; a profile chosen by flag switches the environment off;
 * AWS_PROFILE before AWS_DEFAULT_PROFILE; moved files and ~; tokens; partial keys; unknown profile; broken and unreadable
 * files, FIFOs, folders, links, files that are too large; keys with blanks; what the hint lists.
 */
#include "tests/unit/aws/aws_fixture.h"

static void expect(struct fx *f, const struct aws_account_opts *o, const char *access_key,
		   const char *token)
{
	struct aws_creds c;
	struct aws_error e = { 0 };

	assert_int_equal(fx_find(f, o, &c, &e), 0);
	assert_string_equal(c.access_key, access_key);
	assert_string_equal(c.secret_key, "s");
	if (token)
		assert_string_equal(c.token, token);
	else
		assert_null(c.token);
	aws_creds_wipe(&c);
}

static void expect_error(struct fx *f, const struct aws_account_opts *o, const char *text,
			 const char *hint)
{
	struct aws_creds c;
	struct aws_error e = { 0 };

	assert_int_equal(fx_find(f, o, &c, &e), ST_EAUTH);
	assert_false(e.retryable);
	if (!strstr(e.text, text) || !strstr(e.hint, hint))
		print_error("text: %s\nhint: %s\n", e.text, e.hint);
	assert_non_null(strstr(e.text, text));
	assert_non_null(strstr(e.hint, hint));
	assert_null(c.access_key);
}

static const struct aws_account_opts none = { 0 };
static const struct aws_account_opts by_flag = { .profile = "default" };

static void test_order(void **state)
{
	struct fx *f = *state;

	/* bit 0: configuration, 1: environment, 2: credentials file, 3: config file */
	for (unsigned set = 1; set < 16; set++) {
		struct aws_account_opts o = { 0 };
		const char *first = set & 1 ? "CONF" : set & 2 ? "ENV" : set & 4 ? "CRED" : "FILE";

		f->n_env = 0;
		if (set & 1) {
			o.access_key = "CONF";
			o.secret_key = "s";
		}
		if (set & 2) {
			fx_setenv(f, "AWS_ACCESS_KEY_ID", "ENV");
			fx_setenv(f, "AWS_SECRET_ACCESS_KEY", "s");
		}
		fx_write(
			f, "credentials",
			set & 4 ? "[default]\naws_access_key_id = CRED\naws_secret_access_key = s\n"
				: "");
		fx_write(
			f, "config",
			set & 8 ? "[default]\naws_access_key_id = FILE\naws_secret_access_key = s\n"
				: "");
		expect(f, &o, first, NULL);
		if (!(set & 1) && (set & 12))
			expect(f, &by_flag, set & 4 ? "CRED" : "FILE", NULL);
	}
}

static void test_profile_names(void **state)
{
	struct fx *f = *state;
	const struct aws_account_opts c = { .profile = "c" };

	fx_write(f, "credentials",
		 "[a]\naws_access_key_id=A\naws_secret_access_key=s\n"
		 "[b]\naws_access_key_id=B\naws_secret_access_key=s\naws_session_token=TOK\n"
		 "[profile c]\naws_access_key_id=no\naws_secret_access_key=s\n");
	fx_write(f, "config", "[profile c]\naws_access_key_id=C\naws_secret_access_key=s\n");
	fx_setenv(f, "AWS_DEFAULT_PROFILE", "a");
	expect(f, &none, "A", NULL);
	fx_setenv(f, "AWS_PROFILE", "b");
	expect(f, &none, "B", "TOK");
	expect(f, &c, "C", NULL);
	/* a profile of the environment does not switch its keys off */
	fx_setenv(f, "AWS_ACCESS_KEY_ID", "ENV");
	fx_setenv(f, "AWS_SECRET_ACCESS_KEY", "s");
	fx_setenv(f, "AWS_SESSION_TOKEN", "ENVTOK");
	expect(f, &none, "ENV", "ENVTOK");
	expect(f, &c, "C", NULL);
}

static void test_paths(void **state)
{
	struct fx *f = *state;

	fx_write(f, "ca.pem", "[default]\naws_access_key_id=MOVED\naws_secret_access_key=s\n");
	fx_setenv(f, "AWS_SHARED_CREDENTIALS_FILE", "~/.aws/ca.pem");
	expect(f, &none, "MOVED", NULL);
	f->n_env = 0;
	fx_setenv(f, "AWS_CONFIG_FILE", "~/.aws/ca.pem");
	expect(f, &none, "MOVED", NULL);
}

static void test_missing(void **state)
{
	struct fx *f = *state;

	expect_error(f, &none, "Unable to locate credentials", "AWS_ACCESS_KEY_ID");
	expect_error(f, &none, "Unable to locate credentials", "/.aws/config");
	expect_error(f, &(struct aws_account_opts){ .profile = "gone" },
		     "The config profile (gone) could not be found", "/.aws/credentials");
	fx_setenv(f, "AWS_PROFILE", "away");
	expect_error(f, &none, "The config profile (away) could not be found", "");
	/* keys of the configuration need no file, whatever the environment says */
	expect(f, &(struct aws_account_opts){ .access_key = "K", .secret_key = "s" }, "K", NULL);
}

static void test_partial(void **state)
{
	struct fx *f = *state;

	fx_setenv(f, "AWS_ACCESS_KEY_ID", "ENV");
	expect_error(f, &none, "Partial credentials found in env, missing: AWS_SECRET_ACCESS_KEY",
		     "");
	f->n_env = 0;
	fx_write(f, "credentials", "[default]\naws_access_key_id = A\n");
	expect_error(f, &none, "missing: aws_secret_access_key", "[default]");
	fx_write(f, "credentials",
		 "[default]\naws_access_key_id = A\naws_secret_access_key = s # x\n");
	expect_error(f, &none, "hold blanks", "[default]");
	fx_write(f, "credentials",
		 "[default]\naws_access_key_id = A\n  B\naws_secret_access_key = s\n");
	expect_error(f, &none, "hold blanks", "[default]");
}

/* Named, not passed over: what stands behind it is somebody else. */
static void test_login_session(void **state)
{
	struct fx *f = *state;

	fx_write(f, "config",
		 "[default]\nlogin_session = arn:aws:iam::1:user/a\naws_access_key_id = FILE\n"
		 "aws_secret_access_key = s\n");
	expect_error(f, &none, "uses `aws login` (login_session)", "export-credentials");
	fx_write(f, "credentials", "[default]\naws_access_key_id=CRED\naws_secret_access_key=s\n");
	expect(f, &none, "CRED", NULL);
}

static void test_unreadable(void **state)
{
	struct fx *f = *state;

	fx_write(f, "config", "[default]\nregion = a\nregion = b\n");
	expect_error(f, &none, "Unable to parse config file: ", "");
	expect_error(f, &none, "(line 3)", "");
	fx_write(f, "config", "");
	fx_setenv(f, "AWS_CONFIG_FILE", "/dev/null");
	expect_error(f, &none, "/dev/null: not a regular file", "");
	if (geteuid() != 0)
		return;
	/* a home that we may not enter */
	f->n_env = 0;
	assert_int_equal(seteuid(65534), 0);
	expect_error(f, &none, "/.aws/config: Permission denied", "");
	assert_int_equal(seteuid(0), 0);
}

/* What stands in place of the credentials file. */
static void test_odd_files(void **state)
{
	static const char keys[] = "[default]\naws_access_key_id=L\naws_secret_access_key=s";
	struct fx *f = *state;
	char path[128], other[128], *large = malloc(AWS_FILE_MAX + 2);

	assert_non_null(large);
	snprintf(path, sizeof(path), "%s/.aws/credentials", f->home);
	assert_int_equal(mkfifo(path, 0600), 0);
	expect_error(f, &none, "/.aws/credentials: not a regular file", "");
	assert_int_equal(remove(path), 0);
	assert_int_equal(mkdir(path, 0700), 0);
	expect_error(f, &none, "/.aws/credentials: Is a directory", "");
	assert_int_equal(remove(path), 0);

	fx_write(f, "other", "[default]\naws_access_key_id=LINK\naws_secret_access_key=s\n");
	snprintf(other, sizeof(other), "%s/.aws/other", f->home);
	assert_int_equal(symlink(other, path), 0);
	expect(f, &none, "LINK", NULL);
	assert_int_equal(remove(other), 0);
	expect_error(f, &none, "Unable to locate credentials", ""); /* it leads nowhere: no file */
	assert_int_equal(remove(path), 0);
	assert_int_equal(symlink(path, path), 0);
	expect_error(f, &none, "/.aws/credentials: Too many levels of symbolic links", "");
	assert_int_equal(remove(path), 0);

	/* the largest, and one byte more */
	memset(large, '\n', AWS_FILE_MAX + 1);
	large[AWS_FILE_MAX + 1] = '\0';
	memcpy(large, keys, strlen(keys));
	fx_write(f, "credentials", large);
	expect_error(f, &none, "/.aws/credentials: the file is too large", "");
	large[AWS_FILE_MAX] = '\0';
	fx_write(f, "credentials", large);
	expect(f, &none, "L", NULL);
	free(large);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, fx_setup, fx_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_order),     CASE(test_profile_names), CASE(test_paths),
		CASE(test_missing),   CASE(test_partial),	CASE(test_unreadable),
		CASE(test_odd_files), CASE(test_login_session),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
