// SPDX-License-Identifier: MIT
/*
 * Cases: the form of a region; the order of its sources and what is said of where it was found; an empty variable; regions that
 * mean FIPS.
 */
#include "tests/unit/aws/aws_fixture.h"

static int find(struct fx *f, const struct aws_account_opts *o, const char *region,
		struct aws_endpoint *out, struct aws_error *e)
{
	struct aws_account *acc;
	struct aws_profile p;
	int err;

	assert_int_equal(aws_account_new(&acc, f->aws, o), 0);
	assert_int_equal(aws_profile_load(&p, acc, e), 0);
	err = aws_endpoint_find(out, acc, &p, AWS_SSM, region, e);
	aws_profile_fini(&p);
	aws_account_free(acc);
	return err;
}

static void test_order(void **state)
{
	/* Which of the sources are there: each stands above the next. */
	static const char config[] = "[default]\nregion = r-config\n[profile x]\nregion = r-x\n"
				     "[profile empty]\nregion = r-hidden\n";
	static const char creds[] =
		"[x]\nregion = r-creds\n[empty]\nregion =\n[only]\nregion=r-only\n";
	static const struct {
		const char *flag, *env, *env_default, *profile; /* NULL: not set */
		const char *region, *from;			/* NULL: none is found */
	} cases[] = {
		{ "r-flag", "r-env", "r-default", "x", "r-flag", "--region" },
		{ NULL, "r-env", "r-default", "x", "r-env", "AWS_REGION" },
		{ NULL, NULL, "r-default", "x", "r-default", "AWS_DEFAULT_REGION" },
		{ NULL, "", "r-default", "x", "r-default", "AWS_DEFAULT_REGION" },
		{ NULL, "", "", "x", "r-creds", "profile x" },
		{ "", NULL, NULL, "x", "r-creds", "profile x" },
		{ NULL, NULL, NULL, NULL, "r-config", "profile default" },
		{ NULL, NULL, NULL, "only", "r-only", "profile only" },
		{ NULL, NULL, NULL, "empty", NULL, NULL },
		{ NULL, "fips-us-east-1", NULL, NULL, "us-east-1", "AWS_REGION" },
	};
	struct fx *f = *state;

	fx_write(f, "config", config);
	fx_write(f, "credentials", creds);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct aws_account_opts o = { .region = cases[i].flag,
						    .profile = cases[i].profile };
		struct aws_endpoint at;
		struct aws_error e;

		f->n_env = 0;
		fx_setenv(f, "AWS_REGION", cases[i].env);
		fx_setenv(f, "AWS_DEFAULT_REGION", cases[i].env_default);
		if (!cases[i].region) {
			assert_int_equal(find(f, &o, NULL, &at, &e), ST_EINVAL);
			assert_non_null(strstr(e.text, "You must specify a region"));
			assert_non_null(strstr(e.hint, "--region"));
			continue;
		}
		assert_int_equal(find(f, &o, NULL, &at, &e), 0);
		assert_string_equal(at.region, cases[i].region);
		assert_string_equal(at.region_from, cases[i].from);
		aws_endpoint_fini(&at);
		assert_int_equal(find(f, &o, "r-target", &at, &e), 0); /* beats them all */
		assert_string_equal(at.region, "r-target");
		assert_string_equal(at.region_from, "");
		assert_string_equal(at.url, "https://ssm.r-target.amazonaws.com/");
		aws_endpoint_fini(&at);
	}
}

static void test_account(void **state)
{
	static const struct {
		const char *env, *region;
	} cases[] = { { "eu-west-1", "eu-west-1" },
		      { "us-east-1-fips", "us-east-1" },
		      { "a b", NULL },
		      { "fips-", NULL },
		      { NULL, NULL } };
	struct fx *f = *state;
	struct aws_account *acc;

	assert_int_equal(aws_account_new(&acc, f->aws, &(struct aws_account_opts){ 0 }), 0);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const char *region;

		f->n_env = 0;
		fx_setenv(f, "AWS_REGION", cases[i].env);
		region = aws_account_region(acc);
		assert_string_equal(region ? region : "-", cases[i].region ? cases[i].region : "-");
	}
	aws_account_free(acc);
}

static void test_form(void **state)
{
	static const char *const good[] = { "eu-west-1", "a", "local1", "US-EAST-1" };
	static const char *const bad[] = { "",	      "-a",  "a-",  "123",  "a b",
					   "eu_west", "a:b", "a/b", "a\nb", "eu-west-1.evil.test",
					   "\xc3\xa9" };
	struct aws_endpoint at;
	struct aws_error e;
	char longest[66];

	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		assert_true(aws_region_is_valid(good[i]));
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(aws_region_is_valid(bad[i]));
	memset(longest, 'a', sizeof(longest));
	longest[63] = '\0';
	assert_true(aws_region_is_valid(longest));
	longest[63] = 'a';
	longest[64] = '\0';
	assert_false(aws_region_is_valid(longest));
	assert_int_equal(
		find(*state, &(struct aws_account_opts){ .region = "a.b/c" }, NULL, &at, &e),
		ST_EINVAL);
	assert_non_null(strstr(e.text, "'a.b/c' doesn't match a supported format"));
	assert_string_equal(e.hint, "it is from --region");
}

static void test_fips_names(void **state)
{
	static const struct {
		const char *region, *plain;
		bool is;
	} cases[] = {
		{ "fips-us-gov-west-1", "us-gov-west-1", true },
		{ "us-gov-west-1-fips", "us-gov-west-1", true },
		{ "eu-west-1", "eu-west-1", false },
		{ "fips", "fips", false },
	};
	struct aws_endpoint at;
	struct aws_error e;
	char plain[AWS_REGION_MAX];

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_int_equal(aws_region_plain(plain, cases[i].region), cases[i].is);
		assert_string_equal(plain, cases[i].plain);
	}
	assert_int_equal(find(*state, &(struct aws_account_opts){ .region = "fips-eu-west-1" },
			      NULL, &at, &e),
			 0);
	assert_string_equal(at.url, "https://ssm-fips.eu-west-1.amazonaws.com/");
	assert_string_equal(at.sign_region, "eu-west-1");
	aws_endpoint_fini(&at);
	assert_int_equal(
		find(*state, &(struct aws_account_opts){ .region = "fips-1" }, NULL, &at, &e),
		ST_EINVAL);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, fx_setup, fx_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_order),
		CASE(test_account),
		CASE(test_form),
		CASE(test_fips_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
