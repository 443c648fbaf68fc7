// SPDX-License-Identifier: MIT
/*
 * Cases: order of the region's sources, its form; host of every partition; order of the endpoint's sources, services
 * sections, AWS_IGNORE_CONFIGURED_ENDPOINT_URLS; URLs that are refused; host and port read from it; CA bundle; proxies
 * compared with Python's urllib.
 */
#include "tests/unit/aws/aws_fixture.h"

static int find(struct fx *f, const struct aws_account_opts *o, struct aws_endpoint *out,
		struct aws_error *e)
{
	struct aws_account *acc;
	struct aws_profile p;
	int err;

	assert_int_equal(aws_account_new(&acc, f->aws, o), 0);
	assert_int_equal(aws_profile_load(&p, acc, e), 0);
	err = aws_endpoint_find(out, acc, &p, AWS_SSM, NULL, e);
	aws_profile_fini(&p);
	aws_account_free(acc);
	return err;
}

static void expect_region(struct fx *f, const struct aws_account_opts *o, const char *region)
{
	struct aws_endpoint at;
	struct aws_error e;

	assert_int_equal(find(f, o, &at, &e), 0);
	assert_string_equal(at.region, region);
	aws_endpoint_fini(&at);
}

static void expect_url(struct fx *f, const struct aws_account_opts *o, const char *url)
{
	struct aws_endpoint at;
	struct aws_error e;

	assert_int_equal(find(f, o, &at, &e), 0);
	assert_string_equal(at.url, url);
	aws_endpoint_fini(&at);
}

static void test_region_order(void **state)
{
	struct fx *f = *state;
	struct aws_endpoint at;
	struct aws_error e;
	struct aws_account_opts none = { 0 };

	assert_int_equal(find(f, &none, &at, &e), ST_EINVAL);
	assert_string_equal(e.text, "You must specify a region. You can also configure your region "
				    "by running \"aws configure\".");
	assert_non_null(strstr(e.hint, "--region"));
	fx_write(f, "config", "[default]\nregion = r-config\n");
	expect_region(f, &none, "r-config");
	fx_write(f, "credentials", "[default]\nregion = r-creds\n");
	expect_region(f, &none, "r-creds");
	fx_setenv(f, "AWS_DEFAULT_REGION", "r-default");
	expect_region(f, &none, "r-default");
	fx_setenv(f, "AWS_REGION", "r-env");
	expect_region(f, &none, "r-env");
	expect_region(f, &(struct aws_account_opts){ .region = "r-flag" }, "r-flag");
	assert_int_equal(find(f, &(struct aws_account_opts){ .region = "a.b/c" }, &at, &e),
			 ST_EINVAL);
	assert_non_null(strstr(e.text, "'a.b/c' doesn't match a supported format"));
}

static void test_region_form(void **state)
{
	static const char *const good[] = { "eu-west-1", "a", "local1", "US-EAST-1" };
	static const char *const bad[] = { "",	      "-a",  "a-",  "123",  "a b",
					   "eu_west", "a:b", "a/b", "a\nb", "eu-west-1.evil.test",
					   "\xc3\xa9" };
	char longest[66];

	(void)state;
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
}

static void test_partitions(void **state)
{
	static const struct {
		const char *region, *url;
	} cases[] = {
		{ "eu-west-1", "https://ssm.eu-west-1.amazonaws.com/" },
		{ "us-gov-west-1", "https://ssm.us-gov-west-1.amazonaws.com/" },
		{ "cn-north-1", "https://ssm.cn-north-1.amazonaws.com.cn/" },
		{ "us-iso-east-1", "https://ssm.us-iso-east-1.c2s.ic.gov/" },
		{ "us-isob-east-1", "https://ssm.us-isob-east-1.sc2s.sgov.gov/" },
		{ "us-isof-south-1", "https://ssm.us-isof-south-1.csp.hci.ic.gov/" },
		{ "eu-isoe-west-1", "https://ssm.eu-isoe-west-1.cloud.adc-e.uk/" },
		{ "eusc-de-east-1", "https://ssm.eusc-de-east-1.amazonaws.eu/" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		expect_url(*state, &(struct aws_account_opts){ .region = cases[i].region },
			   cases[i].url);
}

static void test_url_order(void **state)
{
	struct fx *f = *state;
	struct aws_account_opts none = { .region = "r" };

	fx_write(f, "config",
		 "[default]\nendpoint_url = https://profile.test\n"
		 "[profile s]\nservices = dev\nendpoint_url = https://profile.test\n"
		 "[services dev]\ns3 =\n  endpoint_url = https://s3.test\nssm =\n  x = y\n"
		 "  endpoint_url = https://services.test\n");
	expect_url(f, &none, "https://profile.test/");
	expect_url(f, &(struct aws_account_opts){ .region = "r", .profile = "s" },
		   "https://services.test/");
	fx_setenv(f, "AWS_ENDPOINT_URL", "https://env.test:8443");
	expect_url(f, &none, "https://env.test:8443/");
	fx_setenv(f, "AWS_ENDPOINT_URL_SSM", "https://ssm.test/base/");
	expect_url(f, &none, "https://ssm.test/base/");
	expect_url(f, &(struct aws_account_opts){ .region = "r", .endpoint_url = "http://[::1]:1" },
		   "http://[::1]:1/");
	fx_setenv(f, "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true");
	expect_url(f, &none, "https://ssm.r.amazonaws.com/");
	expect_url(f, &(struct aws_account_opts){ .region = "r", .endpoint_url = "http://a" },
		   "http://a/");
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

/* What urllib decides for https://HOST with these variables, "-" for none. */
static void urllib(char *out, size_t cap, const char *host, const char *lower, const char *upper,
		   const char *no_lower, const char *no_upper)
{
	static const char *const script =
		"import urllib.request as u,sys;p=u.getproxies_environment().get('https');"
		"print(p if p and not u.proxy_bypass_environment(sys.argv[1]) else '-')";
	int fds[2];
	ssize_t n;
	pid_t pid;

	assert_int_equal(pipe(fds), 0);
	pid = fork();
	if (pid == 0) {
		dup2(fds[1], 1);
		clearenv();
		if (lower)
			setenv("https_proxy", lower, 1);
		if (upper)
			setenv("HTTPS_PROXY", upper, 1);
		if (no_lower)
			setenv("no_proxy", no_lower, 1);
		if (no_upper)
			setenv("NO_PROXY", no_upper, 1);
		execl("/usr/bin/python3", "python3", "-c", script, host, (char *)NULL);
		_exit(127);
	}
	close(fds[1]);
	n = read(fds[0], out, cap - 1);
	assert_true(n > 0);
	out[n - 1] = '\0';
	close(fds[0]);
}

static void test_proxy(void **state)
{
	static const struct {
		const char *host, *lower, *upper, *no_lower, *no_upper;
	} cases[] = {
		{ "a.test", NULL, NULL, NULL, NULL },
		{ "a.test", "http://l:1", "http://u:2", NULL, NULL },
		{ "a.test", NULL, "http://u:2", NULL, NULL },
		{ "a.test", "", "http://u:2", NULL, NULL },
		{ "a.test", NULL, "http://u:2", NULL, "*" },
		{ "a.test", NULL, "http://u:2", NULL, "b.test" },
		{ "a.test", NULL, "http://u:2", NULL, "b.test, a.test" },
		{ "a.test", NULL, "http://u:2", NULL, "A.TEST" },
		{ "x.a.test", NULL, "http://u:2", NULL, "a.test" },
		{ "x.a.test", NULL, "http://u:2", NULL, ".a.test" },
		{ "xa.test", NULL, "http://u:2", NULL, "a.test" },
		{ "a.test", NULL, "http://u:2", NULL, ".a.test" },
		{ "a.test", NULL, "http://u:2", NULL, "st" },
		{ "a.test", NULL, "http://u:2", "", "a.test" },
		{ "a.test", NULL, "http://u:2", "b", "a.test" },
		{ "10.0.0.1", NULL, "http://u:2", NULL, "10.0.0.1" },
		{ "10.0.0.1", NULL, "http://u:2", NULL, "10.0.0.0/8" },
		{ "a.test", NULL, "http://u:2", NULL, "" },
		{ "a.test", NULL, "http://u:2", NULL, ",," },
	};
	struct fx *f = *state;
	struct aws_account *acc;

	assert_int_equal(aws_account_new(&acc, f->aws, &(struct aws_account_opts){ 0 }), 0);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char theirs[128];
		const char *ours;

		f->n_env = 0;
		fx_setenv(f, "https_proxy", cases[i].lower);
		fx_setenv(f, "HTTPS_PROXY", cases[i].upper);
		fx_setenv(f, "no_proxy", cases[i].no_lower);
		fx_setenv(f, "NO_PROXY", cases[i].no_upper);
		urllib(theirs, sizeof(theirs), cases[i].host, cases[i].lower, cases[i].upper,
		       cases[i].no_lower, cases[i].no_upper);
		ours = aws_account_proxy(acc, cases[i].host);
		if (strcmp(ours ? ours : "-", theirs) != 0)
			print_error("case %zu\n", i);
		assert_string_equal(ours ? ours : "-", theirs);
	}
	aws_account_free(acc);
}

static void test_proxy_form(void **state)
{
	struct fx *f = *state;
	struct aws_account *acc;
	struct aws_endpoint at;
	struct aws_error e;

	assert_int_equal(aws_account_new(&acc, f->aws, &(struct aws_account_opts){ 0 }), 0);
	fx_setenv(f, "http_proxy", "http://never:1");
	assert_null(aws_account_proxy(acc, "a.test"));
	fx_setenv(f, "HTTPS_PROXY", "p.test:3128");
	assert_string_equal(aws_account_proxy(acc, "a.test"), "http://p.test:3128");
	f->n_env = 0;
	fx_setenv(f, "HTTPS_PROXY", "//p.test:3128");
	assert_string_equal(aws_account_proxy(acc, "a.test"), "http://p.test:3128");
	aws_account_free(acc);
	f->n_env = 0;
	fx_setenv(f, "HTTPS_PROXY", "http://user:geheim@p q.test:1");
	assert_int_equal(find(f, &(struct aws_account_opts){ .region = "r" }, &at, &e), ST_EINVAL);
	assert_null(strstr(e.text, "geheim"));
	assert_null(strstr(e.hint, "geheim"));
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, fx_setup, fx_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_region_order), CASE(test_region_form), CASE(test_partitions),
		CASE(test_url_order),	 CASE(test_url_form),	 CASE(test_ca_bundle),
		CASE(test_proxy),	 CASE(test_proxy_form),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
