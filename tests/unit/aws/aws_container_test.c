// SPDX-License-Identifier: MIT
/*
 * aws_container_test.c - the credentials endpoint of containers, played on the test's loop
 *
 * Cases: relative and full URL, the relative one first; what is sent; tokens of the variable and of the file, which wins and is
 * read each time; tokens that are no header; which hosts may be asked in clear text; three attempts and their pause; every kind of bad
 * answer, with nothing secret in the message; answers in time and late; kept until shortly before their end; an account that goes.
 */
#include <time.h>

#include "tests/unit/aws/aws_web.h"

#define RELATIVE "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"
#define FULL "AWS_CONTAINER_CREDENTIALS_FULL_URI"
#define TOKEN "AWS_CONTAINER_AUTHORIZATION_TOKEN"
#define TOKEN_FILE "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"

#define GOOD                                                                                       \
	"{\"RoleArn\":\"r\",\"AccessKeyId\":\"K\",\"SecretAccessKey\":\"s\",\"Token\":\"T\","      \
	"\"Expiration\":\"2999-01-01T00:00:00Z\"}"

static const struct aws_account_opts none = { 0 };
static struct web web;
static char full[128];

static int container_setup(void **state)
{
	struct fx *f;

	if (fx_setup(state) != 0)
		return -1;
	f = *state;
	web_start(&web, f->loop);
	f->aws->container_base = web.url;
	f->aws->limits.container_ms = 400;
	f->aws->limits.container_pause_ms = 20;
	snprintf(full, sizeof(full), "%s/full", web.url);
	return 0;
}

static int container_teardown(void **state)
{
	web_stop(&web);
	return fx_teardown(state);
}

static void expect_found_for(struct fx *f, const struct aws_account_opts *o, const char *key)
{
	struct aws_creds c;
	struct aws_error e;

	if (fx_find(f, o, &c, &e) < 0)
		fail_msg("%s; %s", e.text, e.hint);
	assert_string_equal(c.access_key, key);
	assert_string_equal(c.secret_key, "s");
	assert_string_equal(c.token, "T");
	assert_string_equal(c.source, "container-role");
	aws_creds_wipe(&c);
}

static void expect_found(struct fx *f, const char *key)
{
	expect_found_for(f, &none, key);
}

static void expect_error(struct fx *f, int err, const char *text)
{
	struct aws_creds c;
	struct aws_error e;

	assert_int_equal(fx_find(f, &none, &c, &e), err);
	if (!strstr(e.text, text))
		fail_msg("\n%s\nlacks\n%s", e.text, text);
	assert_null(strstr(e.text, "SECRET"));
	assert_null(strstr(e.hint, "SECRET"));
	assert_null(strchr(e.text, '\n'));
	assert_non_null(strstr(e.hint, "AWS_CONTAINER_CREDENTIALS_"));
	assert_int_equal(e.person, err == ST_EAUTH);
	assert_int_equal(e.retryable, err == ST_EAGAIN);
}

static void test_urls(void **state)
{
	struct fx *f = *state;

	web_add(&web,
		(struct web_row){ "GET", "/v2/credentials/1?id=a%20b", 200, GOOD, NULL, 0, 0 });
	web_add(&web, (struct web_row){ "GET", "/full", 200, GOOD, NULL, 0, 0 });
	fx_setenv(f, FULL, full);
	expect_found(f, "K");
	assert_string_equal(web.got[0], "GET /full");
	assert_non_null(strstr(web.last, "\r\nAccept: application/json\r\n"));
	assert_null(strstr(web.last, "Authorization"));
	fx_setenv(f, RELATIVE, "/v2/credentials/1?id=a%20b");
	expect_found(f, "K");
	assert_string_equal(web.got[1], "GET /v2/credentials/1?id=a%20b");
	/* neither takes a proxy */
	fx_setenv(f, "http_proxy", "http://127.0.0.1:9");
	expect_found(f, "K");
	/* a chosen profile does not switch it off */
	fx_write(f, "config", "[profile x]\n");
	expect_found_for(f, &(struct aws_account_opts){ .profile = "x" }, "K");
	assert_int_equal(f->jobs[SVC_AWS_READ], 0);
}

static void test_hosts(void **state)
{
	static const struct {
		const char *url;
		bool allowed;
	} cases[] = {
		{ "http://127.0.0.1:9/x", true },
		{ "http://127.9.9.9:9/x", true },
		{ "http://[::1]:9/x", true },
		{ "http://localhost:9/x", true },
		{ "http://LOCALHOST:9/x", true },
		{ "https://127.0.0.1:9/x", true },
		{ "https://nowhere.test:9/x", true },
		{ "http://nowhere.test:9/x", false },
		{ "http://192.0.2.1:9/x", false },
		{ "http://169.254.169.254:9/x", false },
		{ "http://169.254.170.3:9/x", false },
		{ "http://[fd00:ec2::24]:9/x", false },
		{ "http://localhost.test:9/x", false },
		{ "http://128.0.0.1:9/x", false },
		{ "http://[::ffff:192.0.2.1]:9/x", false },
	};
	struct fx *f = *state;

	f->aws->limits.container_pause_ms = 1;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		f->n_env = 0;
		fx_setenv(f, FULL, cases[i].url);
		if (cases[i].allowed)
			expect_error(f, ST_EAGAIN,
				     "Error when retrieving credentials from container-role: "
				     "Received error when attempting to retrieve ECS metadata: ");
		else
			expect_error(f, ST_EAUTH, "Unsupported host '");
	}
}

static void test_odd_urls(void **state)
{
	static const char *const odd[] = { "x", "ftp://127.0.0.1/", "http://",
					   "http://u:p@127.0.0.1/", "file:///etc/passwd" };
	struct fx *f = *state;
	struct aws_creds c;
	struct aws_error e;

	for (size_t i = 0; i < ARRAY_LEN(odd); i++) {
		f->n_env = 0;
		fx_setenv(f, FULL, odd[i]);
		assert_true(fx_find(f, &none, &c, &e) < 0);
		assert_true(e.err == ST_EAUTH || e.err == ST_EINVAL);
	}
	f->n_env = 0;
	fx_setenv(f, RELATIVE, "@192.0.2.1/x");
	expect_error(f, ST_EAUTH, "does not begin with a slash");
	assert_int_equal(web.n_got, 0);
}

static void test_tokens(void **state)
{
	struct fx *f = *state;
	char path[128];

	fx_setenv(f, FULL, full);
	fx_setenv(f, TOKEN, "Basic of-the-variable");
	web_add(&web, (struct web_row){ "GET", "/full", 200, GOOD,
					"\r\nAuthorization: Basic of-the-variable\r\n", 0, 0 });
	expect_found(f, "K");
	snprintf(path, sizeof(path), "%s/.aws/token", f->home);
	fx_setenv(f, TOKEN_FILE, path);
	for (size_t i = 0; i < 2; i++) {
		web_clear(&web);
		fx_write(f, "token", i ? "second" : "first");
		web_add(&web, (struct web_row){ "GET", "/full", 200, GOOD,
						i ? "\r\nAuthorization: second\r\n"
						  : "\r\nAuthorization: first\r\n",
						0, 0 });
		expect_found(f, "K");
	}
	assert_int_equal(f->jobs[SVC_AWS_READ], 2);
}

static void test_bad_tokens(void **state)
{
	static const char *const bad[] = { "SECRET\n", "SECRET\r\nX: y", "a\tb", "" };
	struct fx *f = *state;
	char path[128];

	fx_setenv(f, FULL, full);
	snprintf(path, sizeof(path), "%s/.aws/token", f->home);
	fx_setenv(f, TOKEN_FILE, path);
	expect_error(f, ST_EAUTH,
		     "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE can't be read: No such file or "
		     "directory");
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		fx_write(f, "token", bad[i]);
		expect_error(f, ST_EAUTH,
			     "Auth token value is not a legal header value: "
			     "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
	}
	f->n_env = 0;
	fx_setenv(f, FULL, full);
	fx_setenv(f, TOKEN, "SECRET\r\nX: y");
	expect_error(f, ST_EAUTH,
		     "Auth token value is not a legal header value: "
		     "AWS_CONTAINER_AUTHORIZATION_TOKEN");
	assert_int_equal(web.n_got, 0);
}

static void test_attempts(void **state)
{
	struct fx *f = *state;
	const uint64_t start_ms = loop_now_ms(f->loop);

	fx_setenv(f, FULL, full);
	/* cut, refused, then good */
	web_add(&web, (struct web_row){ "GET", "/full", 0, NULL, NULL, 0, 1 });
	web_add(&web, (struct web_row){ "GET", "/full", 503, "later", NULL, 0, 1 });
	web_add(&web, (struct web_row){ "GET", "/full", 200, GOOD, NULL, 0, 0 });
	expect_found(f, "K");
	assert_int_equal(web.n_got, 3);
	assert_true(loop_now_ms(f->loop) >= start_ms + 40);
	/* not more than three */
	web_clear(&web);
	web_add(&web, (struct web_row){ "GET", "/full", 503, "later\033 on", NULL, 0, 0 });
	expect_error(f, ST_EAGAIN,
		     "Received non 200 response (503) from ECS metadata: later\\x1b on");
	assert_int_equal(web.n_got, 3);
	/* none answers */
	web_clear(&web);
	f->aws->limits.container_ms = 50;
	web_add(&web, (struct web_row){ "GET", "/full", -1, NULL, NULL, 0, 0 });
	expect_error(f, ST_EAGAIN, "Received error when attempting to retrieve ECS metadata: ");
	assert_int_equal(web.n_got, 3);
}

static void test_bad_answers(void **state)
{
	static const struct {
		int status;
		const char *body, *text;
		int err;
		size_t asked;
	} cases[] = {
		{ 404, "{\"code\":\"c\",\"message\":\"no such task\",\"x\":\"SECRET\"}",
		  "Received non 200 response (404) from ECS metadata: no such task", ST_EAUTH, 3 },
		{ 403, "{\"SecretAccessKey\":\"SECRET\"}", "Received non 200 response (403)",
		  ST_EAUTH, 3 },
		{ 302, "", "Received non 200 response (302)", ST_EAUTH, 3 },
		{ 200, "", "Unable to parse JSON returned from ECS metadata services", ST_EAGAIN,
		  3 },
		{ 200, "{\"SecretAccessKey\":\"SECRET\"", "Unable to parse JSON", ST_EAGAIN, 3 },
		{ 200, "[]", "Missing required key in response: 'AccessKeyId'", ST_EAUTH, 1 },
		{ 200, "{\"AccessKeyId\":\"K\",\"SecretAccessKey\":\"SECRET\"}",
		  "Missing required key in response: 'Token'", ST_EAUTH, 1 },
		{ 200, "{\"AccessKeyId\":\"K\",\"SecretAccessKey\":\"SECRET\",\"Token\":\"T\"}",
		  "Missing required key in response: 'Expiration'", ST_EAUTH, 1 },
		{ 200,
		  "{\"AccessKeyId\":\"K\",\"SecretAccessKey\":\"SECRET\",\"Token\":\"T\","
		  "\"Expiration\":\"later\"}",
		  "Expiration is no ISO 8601 time: later", ST_EAUTH, 1 },
		{ 200,
		  "{\"AccessKeyId\":\"K\",\"SecretAccessKey\":\"SECRET\",\"Token\":\"T\\r\\nX: "
		  "y\",\"Expiration\":\"2999-01-01T00:00:00Z\"}",
		  "the answer of container-role hold blanks", ST_EAUTH, 1 },
	};
	struct fx *f = *state;

	fx_setenv(f, FULL, full);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		web_clear(&web);
		web_add(&web, (struct web_row){ "GET", "/full", cases[i].status, cases[i].body,
						NULL, 0, 0 });
		expect_error(f, cases[i].err, cases[i].text);
		assert_int_equal(web.n_got, cases[i].asked);
	}
}

static void body_until(char out[512], const char *key, int lives_s)
{
	char until[AWS_TIME_STR];

	snprintf(out, 512,
		 "{\"AccessKeyId\":\"%s\",\"SecretAccessKey\":\"s\",\"Token\":\"T\","
		 "\"Expiration\":\"%s\"}",
		 key, aws_time_print(until, (int64_t)time(NULL) + lives_s));
}

static bool has_key(struct fx *f, struct aws_account *acc, const char *key)
{
	struct aws_creds c;
	struct aws_error e;
	bool is;

	assert_int_equal(fx_get(f, acc, NULL, &c, &e), 0);
	is = strcmp(c.access_key, key) == 0;
	aws_creds_wipe(&c);
	return is;
}

static void test_kept(void **state)
{
	struct fx *f = *state;
	char first[512], second[512];
	struct aws_account *acc;
	struct aws_creds c;
	struct aws_error e;

	body_until(first, "K1", 1000);
	body_until(second, "K2", 3000);
	fx_setenv(f, FULL, full);
	web_add(&web, (struct web_row){ "GET", "/full", 200, first, NULL, 0, 1 });
	web_add(&web, (struct web_row){ "GET", "/full", 200, second, NULL, 0, 0 });
	assert_int_equal(aws_account_new(&acc, f->aws, &none), 0);
	for (int skew_s = 0; skew_s <= 800; skew_s += 100) {
		acc->skew_s = skew_s;
		assert_int_equal(fx_get(f, acc, NULL, &c, &e), 0);
		/* from 300 s before their end on others are asked for, and the old ones serve meanwhile */
		assert_string_equal(c.access_key, skew_s <= 700 ? "K1" : "K2");
		aws_creds_wipe(&c);
		if (skew_s == 700)
			TURN_UNTIL(f, has_key(f, acc, "K2"));
	}
	assert_int_equal(web.n_got, 2);
	aws_account_free(acc);
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

/* The account goes while the file is read, while it asks, and while it pauses. */
static void test_account_goes(void **state)
{
	struct fx *f = *state;
	struct loop_timer timer;
	struct aws_account *acc;
	handle wait;

	fx_setenv(f, FULL, full);
	fx_setenv(f, TOKEN_FILE, "/dev/null");
	f->aws->limits.container_pause_ms = 100000;
	for (unsigned i = 0; i < 3; i++) {
		web_clear(&web);
		web_add(&web,
			(struct web_row){ "GET", "/full", i == 1 ? -1 : 500, NULL, NULL, 0, 0 });
		if (i == 1)
			f->n_env = 1;
		assert_int_equal(aws_account_new(&acc, f->aws, &none), 0);
		assert_int_equal(aws_chain_get(acc, &wait, NULL, on_never, NULL), 0);
		loop_timer_init(&timer, on_stop, f->loop);
		assert_int_equal(
			loop_timer_set(f->loop, &timer, loop_now_ms(f->loop) + (i ? 100 : 0)), 0);
		assert_int_equal(loop_run(f->loop), 0);
		assert_int_equal(web.n_got, i ? 1 : 0);
		aws_account_free(acc);
	}
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, container_setup, container_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_urls),	CASE(test_hosts),      CASE(test_odd_urls),
		CASE(test_tokens),	CASE(test_bad_tokens), CASE(test_attempts),
		CASE(test_bad_answers), CASE(test_kept),       CASE(test_account_goes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
