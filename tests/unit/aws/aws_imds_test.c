// SPDX-License-Identifier: MIT
/*
 * aws_imds_test.c - the instance metadata service, played on the test's loop
 *
 * Cases: IMDSv2 and what is sent; IMDSv1 where there is no token (403, 404, 405, a token that gets lost, 5xx), unless it is disabled;
 * no role, a role that EC2 may not assume, odd roles, bad answers; switched off; where it is asked: environment before profile,
 * IPv6, odd modes; one second in all for one that is slow, at each step; refused connections; both remembered for a while, for one
 * account; attempts and time-outs of environment and profile; keys that have ended are used on; the last of the chain; no proxy;
 * an account that goes.
 */
#include <time.h>

#include "tests/unit/aws/aws_web.h"

#define TOKEN_PATH "/latest/api/token"
#define ROLE_PATH "/latest/meta-data/iam/security-credentials/"
#define KEYS                                                                                       \
	"{\"Code\":\"Success\",\"AccessKeyId\":\"K\",\"SecretAccessKey\":\"s\",\"Token\":\"T\","   \
	"\"Expiration\":\"2999-01-01T00:00:00Z\"}"
#define NOT_FOUND "Unable to locate credentials"

static const struct aws_account_opts none = { 0 };
static struct web web;

static int imds_setup(void **state)
{
	struct fx *f;

	if (fx_setup(state) != 0)
		return -1;
	f = *state;
	web_start(&web, f->loop);
	f->aws->imds_base = web.url;
	return 0;
}

/* Empties the environment; but what is answered is not lost because the machine is busy for a second. */
static void patient(struct fx *f)
{
	f->n_env = 0;
	fx_setenv(f, "AWS_METADATA_SERVICE_TIMEOUT", "30");
}

static int patient_setup(void **state)
{
	if (imds_setup(state) != 0)
		return -1;
	patient(*state);
	return 0;
}

static int imds_teardown(void **state)
{
	web_stop(&web);
	return fx_teardown(state);
}

static void add_token(int status, unsigned times)
{
	web_add(&web, (struct web_row){ "PUT", TOKEN_PATH, status, status == 200 ? "TOK" : "",
					"\r\nX-aws-ec2-metadata-token-ttl-seconds: 21600\r\n", 0,
					times });
}

/* @token NULL: IMDSv1 */
static void add_rest(const char *role, const char *keys, const char *token)
{
	static char path[256];

	snprintf(path, sizeof(path), ROLE_PATH "%s", role);
	web_add(&web, (struct web_row){ "GET", ROLE_PATH, 200, role, token, 0, 0 });
	web_add(&web, (struct web_row){ "GET", path, 200, keys, token, 0, 0 });
}

#define WITH_TOKEN "\r\nX-aws-ec2-metadata-token: TOK\r\n"

static void expect_found(struct fx *f, const struct aws_account_opts *o, const char *source)
{
	struct aws_creds c;
	struct aws_error e;

	if (fx_find(f, o, &c, &e) < 0)
		fail_msg("%s; %s", e.text, e.hint);
	assert_string_equal(c.secret_key, "s");
	assert_string_equal(c.source, source);
	aws_creds_wipe(&c);
}

static void expect_error(struct fx *f, const struct aws_account_opts *o, const char *text)
{
	struct aws_creds c;
	struct aws_error e;

	assert_int_equal(fx_find(f, o, &c, &e), ST_EAUTH);
	if (!strstr(e.text, text))
		fail_msg("\n%s\nlacks\n%s", e.text, text);
	assert_null(strstr(e.text, "SECRET"));
	assert_null(strchr(e.text, '\n'));
}

static void test_v2(void **state)
{
	struct fx *f = *state;

	add_token(200, 0);
	add_rest("my-role", KEYS, WITH_TOKEN);
	expect_found(f, &none, "iam-role");
	assert_int_equal(web.n_got, 3);
	assert_string_equal(web.got[0], "PUT " TOKEN_PATH);
	assert_string_equal(web.got[1], "GET " ROLE_PATH);
	assert_string_equal(web.got[2], "GET " ROLE_PATH "my-role");
	fx_write(f, "config", "[profile x]\n");
	expect_found(f, &(struct aws_account_opts){ .profile = "x" }, "iam-role");
}

static void test_v1(void **state)
{
	static const int statuses[] = { 403, 404, 405, 500 };
	struct fx *f = *state;

	for (size_t i = 0; i < ARRAY_LEN(statuses); i++) {
		web_clear(&web);
		add_token(statuses[i], 0);
		add_rest("r", KEYS, NULL);
		expect_found(f, &none, "iam-role");
		assert_null(strstr(web.last, "metadata-token"));
		assert_int_equal(web.n_got, 3);
	}
	/* in a container one hop behind: the token's answer gets lost */
	web_clear(&web);
	add_token(-1, 0);
	add_rest("r", KEYS, NULL);
	expect_found(f, &none, "iam-role");
	/* a refused request is no reason to go on without a token */
	web_clear(&web);
	add_token(400, 0);
	add_rest("r", KEYS, NULL);
	expect_error(f, &none, NOT_FOUND);
}

static void test_v1_disabled(void **state)
{
	struct fx *f = *state;

	add_token(403, 0);
	add_rest("r", KEYS, NULL);
	fx_setenv(f, "AWS_EC2_METADATA_V1_DISABLED", "true");
	expect_error(
		f, &none,
		"Error when retrieving credentials from iam-role: Unable to retrieve token for "
		"use in IMDSv2 call and IMDSv1 has been disabled: its answer has status 403");
	patient(f);
	fx_write(f, "config", "[default]\nec2_metadata_v1_disabled = True\n");
	expect_error(f, &none, "IMDSv1 has been disabled");
	fx_setenv(f, "AWS_EC2_METADATA_V1_DISABLED", "false");
	expect_found(f, &none, "iam-role");
}

static void test_no_role(void **state)
{
	struct fx *f = *state;

	add_token(200, 0);
	expect_error(f, &none, NOT_FOUND);
	assert_int_equal(web.n_got, 2);
	/* that was an answer: it is asked again the next time */
	web_clear(&web);
	add_token(200, 0);
	add_rest("r", KEYS, WITH_TOKEN);
	expect_found(f, &none, "iam-role");
}

static void test_odd_answers(void **state)
{
	static const struct {
		const char *role, *keys, *text;
	} cases[] = {
		{ "", KEYS, NOT_FOUND },
		{ "a/b", KEYS, NOT_FOUND },
		{ "a?b", KEYS, NOT_FOUND },
		{ "\na", KEYS, NOT_FOUND },
		{ "r", "", NOT_FOUND },
		{ "r", "SECRET", NOT_FOUND },
		{ "r", "{}", "Missing required key in response: 'AccessKeyId'" },
		{ "r", "{\"AccessKeyId\":\"K\",\"SecretAccessKey\":\"SECRET\",\"Token\":\"T\"}",
		  "Missing required key in response: 'Expiration'" },
		{ "r",
		  "{\"Code\":\"AssumeRoleUnauthorizedAccess\",\"Message\":\"EC2 cannot assume the "
		  "role r.\\n\"}",
		  "Error when retrieving credentials from iam-role: role r: "
		  "AssumeRoleUnauthorizedAccess: EC2 cannot assume the role r.\\x0a" },
	};
	struct fx *f = *state;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		web_clear(&web);
		add_token(200, 0);
		add_rest(cases[i].role, cases[i].keys, WITH_TOKEN);
		expect_error(f, &none, cases[i].text);
	}
	/* what is behind the role's line does not matter */
	web_clear(&web);
	add_token(200, 0);
	web_add(&web, (struct web_row){ "GET", ROLE_PATH, 200, "r\nother\n", WITH_TOKEN, 0, 0 });
	web_add(&web, (struct web_row){ "GET", ROLE_PATH "r", 200, KEYS, WITH_TOKEN, 0, 0 });
	expect_found(f, &none, "iam-role");
	/* a token that is none */
	web_clear(&web);
	web_add(&web, (struct web_row){ "PUT", TOKEN_PATH, 200, "a\r\nX: y", NULL, 0, 0 });
	add_rest("r", KEYS, NULL);
	expect_found(f, &none, "iam-role");
	assert_null(strstr(web.last, "X: y"));
}

static void test_off(void **state)
{
	struct fx *f = *state;

	add_token(200, 0);
	add_rest("r", KEYS, WITH_TOKEN);
	fx_setenv(f, "AWS_EC2_METADATA_DISABLED", "True");
	expect_error(f, &none, NOT_FOUND);
	assert_int_equal(web.n_got, 0);
	patient(f);
	fx_setenv(f, "AWS_EC2_METADATA_DISABLED", "1");
	expect_found(f, &none, "iam-role");
}

static void test_where(void **state)
{
	struct fx *f = *state;
	char url[128], text[256];

	f->aws->imds_base = "http://127.0.0.1:9";
	snprintf(url, sizeof(url), "%s/", web.url);
	snprintf(text, sizeof(text), "[default]\nec2_metadata_service_endpoint = %s\n", web.url);
	add_token(200, 0);
	add_rest("r", KEYS, WITH_TOKEN);
	fx_write(f, "config", text);
	expect_found(f, &none, "iam-role");
	fx_write(f, "config",
		 "[default]\nec2_metadata_service_endpoint = http://127.0.0.1:9\n"
		 "ec2_metadata_service_endpoint_mode = IPv6\n");
	fx_setenv(f, "AWS_EC2_METADATA_SERVICE_ENDPOINT", url);
	expect_found(f, &none, "iam-role");
	fx_setenv(f, "HTTP_PROXY", "http://127.0.0.1:9");
	fx_setenv(f, "http_proxy", "http://127.0.0.1:9");
	expect_found(f, &none, "iam-role");
	fx_setenv(f, "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE", "IPv5");
	expect_error(f, &none,
		     "Invalid EC2 Instance Metadata endpoint mode: IPv5 Valid endpoint "
		     "modes (case-insensitive): ['ipv4', 'ipv6'].");
	patient(f);
	fx_setenv(f, "AWS_EC2_METADATA_SERVICE_ENDPOINT", "ftp://127.0.0.1/");
	fx_setenv(f, "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE", "ipv4");
	struct aws_creds c;
	struct aws_error e;
	assert_int_equal(fx_find(f, &none, &c, &e), ST_EINVAL);
}

/* Real time: a second is what a call may lose. */
static uint64_t elapsed_ms(struct fx *f, struct aws_account *acc)
{
	struct timespec from, to;
	struct aws_creds c;
	struct aws_error e;

	clock_gettime(CLOCK_MONOTONIC, &from);
	assert_int_equal(fx_get(f, acc, NULL, &c, &e), ST_EAUTH);
	clock_gettime(CLOCK_MONOTONIC, &to);
	assert_string_equal(e.text, NOT_FOUND);
	return (uint64_t)((to.tv_sec - from.tv_sec) * 1000 + (to.tv_nsec - from.tv_nsec) / 1000000);
}

static void test_slow(void **state)
{
	struct fx *f = *state;
	struct aws_account *acc;
	uint64_t ms;

	/* each step hangs once: token and then role; role; keys */
	for (unsigned step = 0; step < 3; step++) {
		web_clear(&web);
		add_token(step == 0 ? -1 : 200, 0);
		web_add(&web,
			(struct web_row){ "GET", ROLE_PATH, step < 2 ? -1 : 200, "r", NULL, 0, 0 });
		web_add(&web, (struct web_row){ "GET", ROLE_PATH "r", -1, "", NULL, 0, 0 });
		assert_int_equal(aws_account_new(&acc, f->aws, &none), 0);
		ms = elapsed_ms(f, acc);
		assert_in_range(ms, 900, 1900);
		/* and once in a while only */
		assert_in_range(elapsed_ms(f, acc), 0, 899);
		assert_int_equal(web.n_got, step == 0 ? 2 : step + 1);
		aws_account_free(acc);
	}
}

static void test_nobody(void **state)
{
	struct fx *f = *state;
	struct aws_account *acc;
	struct aws_creds c;
	struct aws_error e;

	f->aws->imds_base = "http://127.0.0.1:9";
	f->aws->limits.imds_quiet_ms = 300;
	assert_int_equal(aws_account_new(&acc, f->aws, &none), 0);
	assert_in_range(elapsed_ms(f, acc), 0, 899);
	f->aws->imds_base = web.url;
	add_token(200, 0);
	add_rest("r", KEYS, WITH_TOKEN);
	elapsed_ms(f, acc);
	assert_int_equal(web.n_got, 0);
	while (loop_now_ms(f->loop) < acc->imds_quiet_until_ms)
		fx_get(f, acc, NULL, &c, &e), aws_creds_wipe(&c);
	assert_int_equal(fx_get(f, acc, NULL, &c, &e), 0);
	aws_creds_wipe(&c);
	aws_account_free(acc);
}

static void test_attempts(void **state)
{
	struct fx *f = *state;
	struct aws_account *acc;

	fx_write(f, "config",
		 "[default]\nmetadata_service_num_attempts = 3\nmetadata_service_timeout = 7\n");
	add_token(500, 2);
	add_token(200, 1);
	web_add(&web, (struct web_row){ "GET", ROLE_PATH, 0, NULL, NULL, 0, 1 });
	web_add(&web, (struct web_row){ "GET", ROLE_PATH, 503, NULL, NULL, 0, 1 });
	web_add(&web, (struct web_row){ "GET", ROLE_PATH "r", 200, "{", NULL, 0, 2 });
	add_rest("r", KEYS, WITH_TOKEN);
	expect_found(f, &none, "iam-role");
	assert_int_equal(web.n_got, 9);
	/* the environment's number comes first; one that is none is 1 */
	fx_setenv(f, "AWS_METADATA_SERVICE_NUM_ATTEMPTS", "two");
	web_clear(&web);
	add_token(200, 0);
	web_add(&web, (struct web_row){ "GET", ROLE_PATH, 503, NULL, NULL, 0, 0 });
	expect_error(f, &none, NOT_FOUND);
	assert_int_equal(web.n_got, 2);
	/* 2 s for one that hangs */
	fx_setenv(f, "AWS_METADATA_SERVICE_TIMEOUT", "2");
	web_clear(&web);
	add_token(200, 0);
	web_add(&web, (struct web_row){ "GET", ROLE_PATH, -1, NULL, NULL, 0, 0 });
	assert_int_equal(aws_account_new(&acc, f->aws, &none), 0);
	assert_in_range(elapsed_ms(f, acc), 1900, 3900);
	aws_account_free(acc);
}

/* What IMDS gives out has ended: it is used on, and IMDS asked again after 2 to 10 minutes. */
static void test_used_on(void **state)
{
	static const int ends_s[] = { -3600, 100, 299 };
	struct fx *f = *state;
	char keys[512], until[AWS_TIME_STR];
	struct aws_account *acc;
	struct aws_creds c;
	struct aws_error e;

	for (size_t i = 0; i < ARRAY_LEN(ends_s); i++) {
		const int64_t now_s = (int64_t)time(NULL);

		snprintf(keys, sizeof(keys),
			 "{\"AccessKeyId\":\"K\",\"SecretAccessKey\":\"s\",\"Token\":\"T\","
			 "\"Expiration\":\"%s\"}",
			 aws_time_print(until, now_s + ends_s[i]));
		web_clear(&web);
		add_token(200, 0);
		add_rest("r", keys, WITH_TOKEN);
		assert_int_equal(aws_account_new(&acc, f->aws, &none), 0);
		assert_int_equal(fx_get(f, acc, NULL, &c, &e), 0);
		assert_in_range(c.again_s - now_s, 120, 601);
		assert_true(c.expires_s > c.again_s);
		aws_creds_wipe(&c);
		acc->skew_s = 110;
		assert_int_equal(fx_get(f, acc, NULL, &c, &e), 0);
		aws_creds_wipe(&c);
		assert_int_equal(web.n_got, 3);
		acc->skew_s = 605;
		assert_int_equal(fx_get(f, acc, NULL, &c, &e), 0);
		aws_creds_wipe(&c);
		TURN_UNTIL(f, web.n_got == 6); /* the old ones served meanwhile */
		aws_account_free(acc);
	}
}

static void test_last(void **state)
{
	struct fx *f = *state;
	char full[128];

	add_token(200, 0);
	add_rest("r", KEYS, WITH_TOKEN);
	web_add(&web, (struct web_row){ "GET", "/full", 200, KEYS, NULL, 0, 0 });
	snprintf(full, sizeof(full), "%s/full", web.url);
	fx_setenv(f, "AWS_CONTAINER_CREDENTIALS_FULL_URI", full);
	expect_found(f, &none, "container-role");
	fx_write(f, "config", "[default]\naws_access_key_id = F\naws_secret_access_key = s\n");
	expect_found(f, &none, "config-file");
}

static void on_never(void *arg, const struct aws_error *error, const struct aws_creds *c)
{
	(void)arg;
	(void)error;
	(void)c;
	fail_msg("the account has gone");
}

static void on_stop(void *arg, uint64_t now_ms)
{
	(void)now_ms;
	loop_stop(arg);
}

static void test_account_goes(void **state)
{
	struct fx *f = *state;
	struct loop_timer timer;
	struct aws_account *acc;
	handle wait;

	add_token(-1, 0);
	assert_int_equal(aws_account_new(&acc, f->aws, &none), 0);
	assert_int_equal(aws_chain_get(acc, &wait, NULL, on_never, NULL), 0);
	loop_timer_init(&timer, on_stop, f->loop);
	assert_int_equal(loop_timer_set(f->loop, &timer, loop_now_ms(f->loop) + 100), 0);
	assert_int_equal(loop_run(f->loop), 0);
	assert_int_equal(web.n_got, 1);
	aws_account_free(acc);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, patient_setup, imds_teardown)
/* With the second that users have: what hangs is a part of the case. */
#define HASTY(name) cmocka_unit_test_setup_teardown(name, imds_setup, imds_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_v2),
		HASTY(test_v1),
		CASE(test_v1_disabled),
		CASE(test_no_role),
		CASE(test_odd_answers),
		CASE(test_off),
		CASE(test_where),
		HASTY(test_slow),
		HASTY(test_nobody),
		HASTY(test_attempts),
		CASE(test_used_on),
		CASE(test_last),
		HASTY(test_account_goes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
