// SPDX-License-Identifier: MIT
/*
 * Cases: pairs of profile files, hand-made and random ones (quotes, comments, nested sections, [profile x] and [x] in both files,
 * blanks, doubles, byte-order marks, CR LF, other alphabets, empty values, bad bytes), are read by us and by the AWS CLI, and
 * must give the same error, or the same region, keys and credentials; paths of the files.
 */
#include "tests/unit/aws/aws_fixture.h"

#include "base/log.h"

#define RANDOM_CASES "500"

static const char *const keys[] = { "region",
				    "output",
				    "ca_bundle",
				    "endpoint_url",
				    "aws_access_key_id",
				    "aws_secret_access_key" };

struct found {
	struct fx *f;
	struct aws_creds c;
	int err;
};

static void on_creds(void *arg, const struct aws_error *error, const struct aws_creds *c)
{
	struct found *found = arg;

	if (error)
		found->err = error->err;
	else
		assert_int_equal(aws_creds_copy(&found->c, c), 0);
	loop_stop(found->f->loop);
}

/* The two sources that read keys from files, for the profile of @p. */
static void files_ask(struct found *found, struct aws_account *acc, const struct aws_profile *p)
{
	static const struct aws_source *const sources[] = { &aws_source_shared, &aws_source_config,
							    NULL };
	const struct aws_walk above = { .acc = acc, .profile = *p };
	struct aws_walk *w;

	assert_int_equal(aws_walk_new(&w, &above, p->name, sources, on_creds, found), 0);
	assert_int_equal(loop_run(found->f->loop), 0);
	aws_walk_free(w);
}

static bool is_key(const char *s)
{
	size_t n = 0;

	while (s && s[n] > 0x20 && s[n] < 0x7f)
		n++;
	return s && n && s[n] == '\0';
}

static const char *or_none(const char *s)
{
	return s && *s ? s : "-";
}

static const char *text_at(const json_t *list, size_t i)
{
	return json_string_value(json_array_get(list, i));
}

/* access key, secret key and token as a request can carry them; a nested section is none */
static bool are_keys(const json_t *theirs)
{
	const json_t *token = json_array_get(theirs, 2);

	return is_key(text_at(theirs, 0)) && is_key(text_at(theirs, 1)) &&
	       (json_is_null(token) ||
		(json_is_string(token) &&
		 (!*json_string_value(token) || is_key(json_string_value(token)))));
}

/* Ours are refused if they hold what no key holds: the AWS CLI learns that from the service. */
static void creds_compare(const struct found *found, const json_t *theirs)
{
	if (!json_is_array(theirs) || !are_keys(theirs)) { /* none, or "partial", or unusable */
		assert_int_equal(found->err, ST_EAUTH);
		return;
	}
	assert_int_equal(found->err, 0);
	assert_string_equal(found->c.access_key, text_at(theirs, 0));
	assert_string_equal(found->c.secret_key, text_at(theirs, 1));
	assert_string_equal(or_none(found->c.token), or_none(text_at(theirs, 2)));
	assert_string_equal(found->c.source, text_at(theirs, 3));
}

static void profile_compare(struct fx *f, struct aws_account *acc, const struct aws_profile *p,
			    const json_t *theirs)
{
	struct found found = { .f = f };
	char from[64];

	assert_string_equal(or_none(aws_region_find(acc, p, from)),
			    or_none(aws_text(theirs, "region")));
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		const char *value = aws_text(json_object_get(theirs, "keys"), keys[i]);

		assert_string_equal(or_none(aws_profile_get(p, keys[i])), or_none(value));
	}
	files_ask(&found, acc, p);
	creds_compare(&found, json_object_get(theirs, "creds"));
	aws_creds_wipe(&found.c);
}

static void env_set(struct fx *f, const json_t *env, const char *config, const char *creds)
{
	const char *name;
	json_t *value;

	f->n_env = 0;
	json_object_foreach((json_t *)env, name, value)
		fx_setenv(f, name, json_string_value(value));
	fx_setenv(f, "AWS_CONFIG_FILE", config);
	fx_setenv(f, "AWS_SHARED_CREDENTIALS_FILE", creds);
}

static void case_compare(struct fx *f, const json_t *theirs)
{
	const struct aws_account_opts o = { .profile = aws_text(theirs, "profile") };
	const char *error = aws_text(theirs, "error");
	struct aws_account *acc;
	struct aws_profile p;
	struct aws_error e = { 0 };
	int err;

	assert_int_equal(aws_account_new(&acc, f->aws, &o), 0);
	err = aws_profile_load(&p, acc, &e);
	if (error) {
		assert_int_equal(err, ST_EAUTH);
		assert_non_null(strstr(e.text, strcmp(error, "unreadable") == 0
						       ? "Unable to parse config file"
						       : "could not be found"));
	} else {
		assert_string_equal(e.text, "");
		profile_compare(f, acc, &p, theirs);
		aws_profile_fini(&p);
	}
	aws_account_free(acc);
}

static void test_as_the_cli(void **state)
{
	struct fx *f = *state;
	char folder[] = "/tmp/aws-profiles-XXXXXX", command[160], config[96], creds[96];
	unsigned n = 0, readable = 0;
	json_error_t why;
	json_t *theirs;
	FILE *oracle;

	assert_non_null(mkdtemp(folder));
	snprintf(command, sizeof(command),
		 "/usr/bin/python3 tests/unit/aws/profile_oracle.py %s 1 " RANDOM_CASES, folder);
	oracle = popen(command, "r");
	assert_non_null(oracle);
	while ((theirs = json_loadf(oracle, JSON_DISABLE_EOF_CHECK, &why))) {
		snprintf(config, sizeof(config), "%s/%u.config", folder, n);
		snprintf(creds, sizeof(creds), "%s/%u.credentials", folder, n);
		env_set(f, json_object_get(theirs, "env"), config, creds);
		print_message("pair %u\n", n); /* what is last when a comparison fails */
		case_compare(f, theirs);
		readable += !json_object_get(theirs, "error");
		json_decref(theirs);
		unlink(config);
		unlink(creds);
		n++;
	}
	assert_int_equal(pclose(oracle), 0);
	assert_true(n > 500 && readable > 200);
	assert_int_equal(rmdir(folder), 0);
}

static void test_paths(void **state)
{
	static const char *const at_home[] = { "~/.aws/moved", "$HOME/.aws/moved",
					       "${HOME}/.aws/moved" };
	struct fx *f = *state;
	struct aws_account *acc;
	char moved[96], path[96], *out;

	snprintf(path, sizeof(path), "%s/.aws/moved", f->home);
	for (size_t i = 0; i < ARRAY_LEN(at_home); i++) {
		assert_non_null(out = aws_path_expand(f->aws, at_home[i]));
		assert_string_equal(out, path);
		free(out);
	}
	assert_non_null(out = aws_path_expand(f->aws, "$HOMER/x"));
	assert_string_equal(out, "$HOMER/x");
	free(out);
	assert_int_equal(aws_account_new(&acc, f->aws, &(struct aws_account_opts){ 0 }), 0);
	fx_write(f, "moved", "[default]\nregion = eu-west-1\n");
	fx_setenv(f, "AWS_CONFIG_FILE", "$HOME/.aws/moved");
	assert_string_equal(aws_account_region(acc), "eu-west-1");
	aws_account_free(acc);
	snprintf(moved, sizeof(moved), "%s/.aws/moved", f->home);
	unlink(moved);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, fx_setup, fx_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_as_the_cli),
		CASE(test_paths),
	};

	log_setup(LOG_ERROR, LOG_TEXT);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
