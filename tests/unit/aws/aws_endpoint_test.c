// SPDX-License-Identifier: MIT
/*
 * Cases: each source of the URL above the next, for each service's id; services sections, their quotes and what is missing in
 * them; what turns configured URLs off; FIPS and dual-stack; the region of the signature; URLs that are refused; host
 * and port read from it; CA bundle. Which host a region has: aws_partition_test.c
 */
#include "tests/unit/aws/aws_fixture.h"

static int find_of(struct fx *f, const struct aws_account_opts *o, enum aws_service service,
		   struct aws_endpoint *at, struct aws_error *e)
{
	struct aws_account *acc;
	struct aws_profile p;
	int err;

	assert_int_equal(aws_account_new(&acc, f->aws, o), 0);
	assert_int_equal(aws_profile_load(&p, acc, e), 0);
	err = aws_endpoint_find(at, acc, &p, service, NULL, e);
	aws_profile_fini(&p);
	aws_account_free(acc);
	return err;
}

static int find(struct fx *f, const struct aws_account_opts *o, struct aws_endpoint *at,
		struct aws_error *e)
{
	return find_of(f, o, AWS_SSM, at, e);
}

static void expect_url(struct fx *f, const struct aws_account_opts *o, const char *url)
{
	struct aws_endpoint at;
	struct aws_error e;

	assert_int_equal(find(f, o, &at, &e), 0);
	assert_string_equal(at.url, url);
	aws_endpoint_fini(&at);
}

/* ---- which URL ---- */

#define CONFIG                                                                                     \
	"[default]\nendpoint_url = https://profile.test\n"                                         \
	"[profile s]\nservices = dev\nendpoint_url = https://profile.test\n"                       \
	"[profile off]\nendpoint_url = https://off.test\nignore_configured_endpoint_urls = TRUE\n" \
	"[profile plain]\n"                                                                        \
	"[profile role]\nrole_arn = x\nsource_profile = s\n"                                       \
	"[profile gone]\nservices = nowhere\nendpoint_url = https://profile.test\n"                \
	"[profile quoted]\nservices = a b\n"                                                       \
	"[profile both]\nservices = dev\n"                                                         \
	"[services dev]\ns3 =\n  endpoint_url = https://s3.test\nssm =\n  x = y\n"                 \
	"  endpoint_url = https://first.test\n  endpoint_url=https://services.test\n"              \
	"ec2_instance_connect =\n  endpoint_url = https://eic.test/base\n"                         \
	"sts =\n  endpoint_url =\nkms = https://flat.test\nroute_53 =\n  endpoint_urls = x\n"      \
	"[services 'a b']\nsso_oidc =\n  endpoint_url = https://oidc.test\n"

/* Which service of which profile with which variables: "NAME=value", at most three. */
static const struct {
	enum aws_service service;
	const char *profile;
	const char *env[4];
	const char *url; /* NULL: an error that names "what" */
	const char *what;
} urls[] = {
	/* each source above the next */
	{ AWS_SSM,
	  "s",
	  { "AWS_ENDPOINT_URL_SSM=https://e1", "AWS_ENDPOINT_URL=https://e2" },
	  "https://e1/",
	  NULL },
	{ AWS_SSM, "s", { "AWS_ENDPOINT_URL=https://e2" }, "https://e2/", NULL },
	{ AWS_SSM, "s", { NULL }, "https://services.test/", NULL },
	{ AWS_EC2, "s", { NULL }, "https://profile.test/", NULL },
	{ AWS_SSM, NULL, { NULL }, "https://profile.test/", NULL },
	{ AWS_SSM, "plain", { NULL }, "https://ssm.r.amazonaws.com/", NULL },
	/* the id of each service */
	{ AWS_EC2, "plain", { "AWS_ENDPOINT_URL_EC2=https://e" }, "https://e/", NULL },
	{ AWS_EIC,
	  "plain",
	  { "AWS_ENDPOINT_URL_EC2_INSTANCE_CONNECT=https://e" },
	  "https://e/",
	  NULL },
	{ AWS_STS, "plain", { "AWS_ENDPOINT_URL_STS=https://e" }, "https://e/", NULL },
	{ AWS_SSO, "plain", { "AWS_ENDPOINT_URL_SSO=https://e" }, "https://e/", NULL },
	{ AWS_OIDC, "plain", { "AWS_ENDPOINT_URL_SSO_OIDC=https://e" }, "https://e/", NULL },
	{ AWS_ROUTE53, "plain", { "AWS_ENDPOINT_URL_ROUTE_53=https://e" }, "https://e/", NULL },
	{ AWS_KMS, "plain", { "AWS_ENDPOINT_URL_KMS=https://e" }, "https://e/", NULL },
	{ AWS_EC2,
	  "plain",
	  { "AWS_ENDPOINT_URL_SSM=https://e" },
	  "https://ec2.r.amazonaws.com/",
	  NULL },
	{ AWS_SSO,
	  "plain",
	  { "AWS_ENDPOINT_URL_SSO_OIDC=https://e" },
	  "https://portal.sso.r.amazonaws.com/",
	  NULL },
	/* services sections */
	{ AWS_EIC, "s", { NULL }, "https://eic.test/base", NULL },
	{ AWS_STS, "s", { NULL }, "https://profile.test/", NULL },
	{ AWS_STS, "both", { NULL }, "https://sts.r.amazonaws.com/", NULL },
	{ AWS_KMS, "both", { NULL }, "https://kms.r.amazonaws.com/", NULL },
	{ AWS_ROUTE53, "both", { NULL }, "https://route53.amazonaws.com/", NULL },
	{ AWS_OIDC, "quoted", { NULL }, "https://oidc.test/", NULL },
	{ AWS_SSM, "gone", { NULL }, NULL, "\"nowhere\" services configuration does not exist" },
	{ AWS_SSM, "gone", { "AWS_ENDPOINT_URL=https://e2" }, "https://e2/", NULL },
	/* a source profile's section does not count */
	{ AWS_SSM, "role", { NULL }, "https://ssm.r.amazonaws.com/", NULL },
	/* what turns configured URLs off */
	{ AWS_SSM,
	  "s",
	  { "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS=true", "AWS_ENDPOINT_URL=https://e" },
	  "https://ssm.r.amazonaws.com/",
	  NULL },
	{ AWS_SSM,
	  "s",
	  { "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS=True" },
	  "https://ssm.r.amazonaws.com/",
	  NULL },
	{ AWS_SSM,
	  "gone",
	  { "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS=true" },
	  "https://ssm.r.amazonaws.com/",
	  NULL },
	{ AWS_SSM,
	  "s",
	  { "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS=1" },
	  "https://services.test/",
	  NULL },
	{ AWS_SSM, "off", { NULL }, "https://ssm.r.amazonaws.com/", NULL },
	{ AWS_SSM,
	  "off",
	  { "AWS_ENDPOINT_URL_SSM=https://e1" },
	  "https://ssm.r.amazonaws.com/",
	  NULL },
	{ AWS_SSM,
	  "off",
	  { "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS=false" },
	  "https://off.test/",
	  NULL },
	/* FIPS and dual-stack are of AWS's own hosts */
	{ AWS_SSM,
	  "plain",
	  { "AWS_USE_FIPS_ENDPOINT=true" },
	  "https://ssm-fips.r.amazonaws.com/",
	  NULL },
	{ AWS_SSM, "plain", { "AWS_USE_DUALSTACK_ENDPOINT=TRUE" }, "https://ssm.r.api.aws/", NULL },
	{ AWS_SSM,
	  "plain",
	  { "AWS_USE_FIPS_ENDPOINT=true", "AWS_USE_DUALSTACK_ENDPOINT=true" },
	  "https://ssm-fips.r.api.aws/",
	  NULL },
	{ AWS_SSM,
	  "plain",
	  { "AWS_USE_FIPS_ENDPOINT=1", "AWS_USE_DUALSTACK_ENDPOINT=yes" },
	  "https://ssm.r.amazonaws.com/",
	  NULL },
	{ AWS_SSM,
	  "s",
	  { "AWS_USE_FIPS_ENDPOINT=true", "AWS_USE_DUALSTACK_ENDPOINT=true" },
	  "https://services.test/",
	  NULL },
	{ AWS_STS,
	  "plain",
	  { "AWS_STS_REGIONAL_ENDPOINTS=legacy" },
	  "https://sts.r.amazonaws.com/",
	  NULL },
};

static void set_env(struct fx *f, const char *const env[4], char names[4][64])
{
	f->n_env = 0;
	for (size_t i = 0; i < 4 && env[i]; i++) {
		snprintf(names[i], 64, "%.*s", (int)strcspn(env[i], "="), env[i]);
		fx_setenv(f, names[i], strchr(env[i], '=') + 1);
	}
}

static void test_url_order(void **state)
{
	struct fx *f = *state;
	char names[4][64];

	fx_write(f, "config", CONFIG);
	for (size_t i = 0; i < ARRAY_LEN(urls); i++) {
		struct aws_endpoint at;
		struct aws_error e;
		int err;

		set_env(f, urls[i].env, names);
		err = find_of(
			f, &(struct aws_account_opts){ .region = "r", .profile = urls[i].profile },
			urls[i].service, &at, &e);
		if (!urls[i].url) {
			assert_int_equal(err, ST_EINVAL);
			assert_non_null(strstr(e.text, urls[i].what));
			continue;
		}
		if (err || strcmp(at.url, urls[i].url) != 0)
			fail_msg("case %zu: %s instead of %s", i, err ? e.text : at.url,
				 urls[i].url);
		aws_endpoint_fini(&at);
	}
}

static void test_url_of_profile_flags(void **state)
{
	static const struct {
		const char *config, *url;
	} cases[] = {
		{ "[default]\nuse_fips_endpoint = true\n", "https://ssm-fips.r.amazonaws.com/" },
		{ "[default]\nuse_dualstack_endpoint = True\n", "https://ssm.r.api.aws/" },
		{ "[default]\nuse_dualstack_endpoint = no\n", "https://ssm.r.amazonaws.com/" },
		{ "[default]\nsts_regional_endpoints = legacy\n", "https://ssm.r.amazonaws.com/" },
	};
	struct fx *f = *state;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		fx_write(f, "config", cases[i].config);
		expect_url(f, &(struct aws_account_opts){ .region = "r" }, cases[i].url);
	}
	fx_write(f, "config", "[default]\nuse_fips_endpoint = true\n");
	fx_setenv(f, "AWS_USE_FIPS_ENDPOINT", "false");
	expect_url(f, &(struct aws_account_opts){ .region = "r" }, "https://ssm.r.amazonaws.com/");
}

/* endpoint_url of the flag or our configuration: for ssm before all others, also when those are turned off. */
static void test_url_given(void **state)
{
	const struct aws_account_opts o = { .region = "r", .endpoint_url = "http://[::1]:1" };
	struct fx *f = *state;
	struct aws_endpoint at;
	struct aws_error e;

	fx_setenv(f, "AWS_ENDPOINT_URL_SSM", "https://e1");
	fx_setenv(f, "AWS_ENDPOINT_URL_EC2", "https://e2");
	expect_url(f, &o, "http://[::1]:1/");
	assert_int_equal(find_of(f, &o, AWS_EC2, &at, &e), 0);
	assert_string_equal(at.url, "https://e2/");
	aws_endpoint_fini(&at);
	fx_setenv(f, "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true");
	expect_url(f, &o, "http://[::1]:1/");
	assert_int_equal(find_of(f, &o, AWS_EC2, &at, &e), 0);
	assert_string_equal(at.url, "https://ec2.r.amazonaws.com/");
	aws_endpoint_fini(&at);
}

/* The region in the credential scope. */
static void test_signed_for(void **state)
{
	static const struct {
		enum aws_service service;
		const char *region, *url, *sign; /* url: AWS_ENDPOINT_URL */
	} cases[] = {
		{ AWS_SSM, "eu-west-1", NULL, "eu-west-1" },
		{ AWS_ROUTE53, "eu-west-1", NULL, "us-east-1" },
		{ AWS_ROUTE53, "cn-north-1", NULL, "cn-northwest-1" },
		{ AWS_ROUTE53, "eu-west-1", "https://e", "eu-west-1" },
		{ AWS_STS, "aws-global", NULL, "us-east-1" },
		{ AWS_STS, "us-west-2", NULL, "us-west-2" },
		{ AWS_STS, "fips-us-east-1", "https://e", "us-east-1" },
	};
	struct fx *f = *state;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct aws_endpoint at;
		struct aws_error e;

		f->n_env = 0;
		fx_setenv(f, "AWS_ENDPOINT_URL", cases[i].url);
		assert_int_equal(find_of(f, &(struct aws_account_opts){ .region = cases[i].region },
					 cases[i].service, &at, &e),
				 0);
		assert_string_equal(at.sign_region, cases[i].sign);
		aws_endpoint_fini(&at);
	}
}

static void test_url_form(void **state)
{
	static const char *const bad[] = {
		"ftp://a",     "a.test",	 "https://",	       "https://a?q=1",
		"https://a#f", "https://u:p@a",	 "file:///etc/passwd", "https://a b",
		"https://a:0", "https://a:65536"
	};
	struct aws_endpoint at;
	struct aws_error e;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		int err = find(*state,
			       &(struct aws_account_opts){ .region = "r", .endpoint_url = bad[i] },
			       &at, &e);

		if (err != ST_EINVAL)
			print_error("taken: %s\n", bad[i]);
		assert_int_equal(err, ST_EINVAL);
		assert_non_null(strstr(e.text, "Invalid endpoint"));
		assert_null(strstr(e.text, "u:p"));
	}
	assert_int_equal(find(*state,
			      &(struct aws_account_opts){
				      .region = "r", .endpoint_url = "https://[fd00::1]:99/x" },
			      &at, &e),
			 0);
	assert_string_equal(at.host, "fd00::1");
	assert_int_equal(at.port, 99);
	assert_true(at.tls);
	assert_false(at.port_is_default);
	aws_endpoint_fini(&at);
}

static void test_ca_bundle(void **state)
{
	struct fx *f = *state;
	struct aws_account *acc, *given;
	char path[128];

	assert_int_equal(aws_account_new(&acc, f->aws, &(struct aws_account_opts){ 0 }), 0);
	assert_int_equal(aws_account_new(&given, f->aws,
					 &(struct aws_account_opts){ .ca_bundle = "/flag.pem" }),
			 0);
	assert_null(aws_account_ca_bundle(acc));
	fx_setenv(f, "REQUESTS_CA_BUNDLE", "$HOME/last.pem");
	snprintf(path, sizeof(path), "%s/last.pem", f->home);
	assert_string_equal(aws_account_ca_bundle(acc), path);
	fx_write(f, "config", "[default]\nca_bundle = ~/ca.pem\n");
	snprintf(path, sizeof(path), "%s/ca.pem", f->home);
	assert_string_equal(aws_account_ca_bundle(acc), path);
	fx_setenv(f, "AWS_CA_BUNDLE", "/env.pem");
	assert_string_equal(aws_account_ca_bundle(acc), "/env.pem");
	assert_string_equal(aws_account_ca_bundle(given), "/flag.pem");
	fx_setenv(f, "AWS_PROFILE", "gone"); /* the call itself will say so */
	assert_string_equal(aws_account_ca_bundle(acc), "/env.pem");
	aws_account_free(acc);
	aws_account_free(given);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, fx_setup, fx_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_url_order), CASE(test_url_of_profile_flags),
		CASE(test_url_given), CASE(test_signed_for),
		CASE(test_url_form),  CASE(test_ca_bundle),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
