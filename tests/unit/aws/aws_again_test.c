// SPDX-License-Identifier: MIT
/*
 * Cases: a Retry-After; a cut answer of what may and what may not be repeated; a fetch is never repeated; a clock that is ahead, behind,
 * and right again, for one call and for several at once; expired credentials: with newer ones in the file, with the same, with keys that
 * can't expire, with keys of the caller, for a call that is not signed; pages joined, an empty first one, too many, too large, expiring between two;
 * a target that is offline: since when, unknown, online, denied, in time or not, asked once, cancelled, its account freed by
 * whoever is told. No turn of the loop takes a second.
 */
#include <time.h>

#include "tests/unit/aws/aws_served.h"

/* ---- pauses ---- */

static void test_retry_after(void **state)
{
	struct fx *f = *state;
	struct got g = start(f, plain_account(f), "i-after");
	unsigned tenths = 0;

	assert_true(g.ok);
	assert_int_equal(sscanf(g.session_id, "paused-%u", &tenths), 1);
	assert_true(tenths >= 10); /* the jitter alone has 2 ms */
}

/* How often the server has been asked for @target. */
static unsigned asked(struct fx *f, const char *target)
{
	struct aws_account *acc = plain_account(f);
	struct got g = { 0 };
	unsigned n = 0;

	assert_int_equal(
		aws_start_session(acc, NULL,
				  &(struct aws_start){ .target = "i-count", .reason = target },
				  on_session, &g),
		0);
	run_until(f, &g, 1);
	assert_int_equal(sscanf(g.session_id, "count-%u", &n), 1);
	aws_account_free(acc);
	return n;
}

static void test_cut(void **state)
{
	struct fx *f = *state;
	struct got g = start(f, plain_account(f), "i-cut");

	assert_int_equal(g.error.err, ST_EPEER);
	assert_int_equal(asked(f, "i-cut"), 3);
}

static void on_fetch(void *arg, const struct aws_error *error, long status, const char *body,
		     size_t len)
{
	struct got *g = arg;

	g->calls++;
	g->ok = !error;
	if (error)
		g->error = *error;
	g->max_payload = (uint32_t)status;
	assert_true(strlen(body) <= len);
}

static void test_fetch_is_not_repeated(void **state)
{
	struct fx *f = *state;
	struct aws_account *acc = plain_account(f);
	struct got g = { 0 };
	char url[160];
	struct aws_fetch fetch = { .method = "GET", .url = url, .within_ms = 5000 };

	f->aws->limits.backoff_ms = 0; /* it would be repeated at once */
	snprintf(url, sizeof(url), "%s", "http://nowhere.test/");
	assert_int_equal(aws_fetch(acc, NULL, &fetch, on_fetch, &g), 0);
	run_until(f, &g, 1);
	assert_int_equal(g.error.err, ST_EUNREACH);
	assert_int_equal(f->resolves, 1);
	snprintf(url, sizeof(url), "%s/", url_of("http", "127.0.0.1", server.closed));
	assert_int_equal(aws_fetch(acc, NULL, &fetch, on_fetch, &g), 0);
	run_until(f, &g, 2);
	assert_int_equal(g.error.err, ST_EREFUSED);
	snprintf(url, sizeof(url), "%s/", url_of("http", "127.0.0.1", server.http));
	assert_int_equal(aws_fetch(acc, NULL, &fetch, on_fetch, &g), 0);
	run_until(f, &g, 3);
	assert_true(g.ok); /* whatever the status says */
	assert_int_equal(g.max_payload, 501);
	aws_account_free(acc);
}

/* ---- the clock ---- */

static struct got again(struct fx *f, struct aws_account *acc, const char *target)
{
	struct got g = { 0 };

	assert_int_equal(aws_start_session(acc, NULL, &(struct aws_start){ .target = target },
					   on_session, &g),
			 0);
	run_until(f, &g, 1);
	return g;
}

static void test_clock(void **state)
{
	static const struct {
		const char *target;
		int skew_s;
	} steps[] = {
		{ "i-clock3600", 3600 },			    /* learnt from a refusal */
		{ "i-clock3600", 3600 },   { "i-clock3630", 3600 }, /* near enough */
		{ "i-clock200", 200 }, /* learnt from a success: 200 s are let pass; then 3400 off */
		{ "i-clock0", 0 },     /* right again */
		{ "i-clock-7200", -7200 }, { "i-clock-7200", -7200 }, { "i-clock7200", 7200 },
		{ "i-clock0", 0 },	   { "i-clock50", 0 }, /* right enough */
	};
	struct fx *f = *state;
	struct aws_account *acc = plain_account(f);

	for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
		struct got g = again(f, acc, steps[i].target);

		if (!g.ok)
			fail_msg("%s: %s", steps[i].target, g.error.text);
		assert_true(acc->skew_s >= steps[i].skew_s - 2 &&
			    acc->skew_s <= steps[i].skew_s + 2);
	}
	aws_account_free(acc);
}

/* All were sent before the first answer came: each is dated anew. */
static void test_clock_of_many(void **state)
{
	struct fx *f = *state;
	struct aws_account *acc = plain_account(f);
	struct got g[8] = { 0 };

	for (size_t i = 0; i < ARRAY_LEN(g); i++)
		assert_int_equal(aws_start_session(acc, NULL,
						   &(struct aws_start){ .target = "i-clock-3600" },
						   on_session, &g[i]),
				 0);
	for (size_t i = 0; i < ARRAY_LEN(g); i++) {
		run_until(f, &g[i], 1);
		assert_true(g[i].ok);
	}
	aws_account_free(acc);
}

/* ---- credentials that have expired ---- */

static struct aws_account *file_account(struct fx *f, const char *keys)
{
	char config[256];

	snprintf(config, sizeof(config), "[default]\nregion = eu-west-1\nendpoint_url = %s\n",
		 url_of("http", "127.0.0.1", server.http));
	fx_write(f, "config", config);
	fx_write(f, "credentials", keys);
	return account(f, &(struct aws_account_opts){ 0 });
}

#define OLD_KEYS "[default]\naws_access_key_id=AKIDOLD\naws_secret_access_key=old\n"
#define NEW_KEYS "[default]\naws_access_key_id=AKIDTEST\naws_secret_access_key=secret/+test\n"

static void test_expired(void **state)
{
	struct fx *f = *state;
	struct got g = start(f, file_account(f, OLD_KEYS), "i-expired");
	unsigned before = asked(f, "i-expired");

	assert_int_equal(before, 1); /* the chain had nothing newer */
	assert_string_equal(g.error.code, "ExpiredTokenException");
	assert_true(g.error.person);
	assert_non_null(strstr(g.error.hint, "expired"));
	g = start(f, file_account(f, NEW_KEYS), "i-expired");
	assert_true(g.ok);
}

/* Keys without a token have no end: a request that came too late (of a machine that slept) does not take them away. */
static void test_request_expired(void **state)
{
	struct fx *f = *state;
	struct aws_account *acc = file_account(f, NEW_KEYS);
	const struct got g = again(f, acc, "k-code.RequestExpired");

	assert_string_equal(g.error.code, "RequestExpired");
	assert_true(again(f, acc, "i-ok").ok);
	aws_account_free(acc);
}

/* Someone mends the file while the request is out. */
static void test_expired_and_mended(void **state)
{
	struct fx *f = *state;
	struct aws_account *acc = file_account(f, OLD_KEYS);
	struct got g = { 0 };

	assert_int_equal(aws_start_session(acc, NULL, &(struct aws_start){ .target = "i-expired" },
					   on_session, &g),
			 0);
	/* its keys have been read once the request is in libcurl's hands */
	for (int running = 0; !running;) {
		assert_int_equal(loop_turn(f->loop, 1000), 0);
		if (f->aws->multi)
			assert_int_equal(curl_multi_perform(f->aws->multi, &running), CURLM_OK);
	}
	fx_write(f, "credentials", NEW_KEYS);
	run_until(f, &g, 1);
	assert_true(g.ok);
	aws_account_free(acc);
}

static void on_answer(void *arg, const struct aws_error *error, json_t *answer)
{
	struct got *g = arg;

	g->calls++;
	g->ok = !error;
	if (error)
		g->error = *error;
	if (answer && aws_list(answer, "Sessions"))
		g->max_payload = (uint32_t)json_array_size(aws_list(answer, "Sessions"));
}

/* The caller's own keys are not the chain's to renew; who is not signed for has none. */
static void test_expired_elsewhere(void **state)
{
	struct fx *f = *state;
	struct aws_account *acc = file_account(f, NEW_KEYS);
	char key[] = "AKIDOLD", secret[] = "old";
	const struct aws_creds creds = { .access_key = key, .secret_key = secret };
	struct got g = { 0 };

	assert_int_equal(aws_ask_as(acc, NULL, AWS_START_SESSION,
				    json_pack("{s:s}", "Target", "j-expired"), NULL,
				    &(struct aws_as){ .creds = &creds }, on_answer, &g),
			 0);
	run_until(f, &g, 1);
	assert_string_equal(g.error.code, "ExpiredTokenException");
	assert_int_equal(asked(f, "j-expired"), 1);
	assert_int_equal(aws_ask(acc, NULL, AWS_CREATE_TOKEN,
				 json_pack("{s:s}", "Target", "k-code.ExpiredTokenException"), NULL,
				 on_answer, &g),
			 0);
	run_until(f, &g, 2);
	assert_false(g.ok);
	aws_account_free(acc);
}

/* ---- pages ---- */

static struct got sessions(struct fx *f, const char *kind)
{
	struct aws_account *acc = plain_account(f);
	struct got g = { 0 };

	assert_int_equal(aws_ask(acc, NULL, AWS_DESCRIBE_SESSIONS,
				 json_pack("{s:s}", "State", kind), NULL, on_answer, &g),
			 0);
	run_until(f, &g, 1);
	aws_account_free(acc);
	return g;
}

static void test_pages(void **state)
{
	struct fx *f = *state;
	struct got g;

	assert_int_equal(sessions(f, "s-1.0.9").max_payload, 0);
	assert_int_equal(sessions(f, "s-1.7.9").max_payload, 7);
	assert_int_equal(sessions(f, "s-3.7.9").max_payload, 21);
	assert_int_equal(sessions(f, "s-50.2.9").max_payload, 100);
	g = sessions(f, "s-51.1.9");
	assert_int_equal(g.error.err, ST_EFULL);
	assert_int_equal(asked(f, "s-51.1.9"), 50);
	g = sessions(f, "s-40.1.700000"); /* 700 kB each */
	assert_int_equal(g.error.err, ST_EFULL);
	assert_true(asked(f, "s-40.1.700000") < 40);
}

/* ---- why a target is offline ---- */

static void check_offline(struct fx *f, const char *target, const char *hint)
{
	const struct got g = start(f, plain_account(f), target);

	assert_int_equal(g.error.err, ST_ECLOSED);
	assert_string_equal(g.error.code, "TargetNotConnected");
	assert_string_equal(g.error.request_id, "req-0001");
	if (!strstr(g.error.hint, hint))
		fail_msg("%s: %s", target, g.error.hint);
}

static void test_offline(void **state)
{
	struct fx *f = *state;

	check_offline(f, "i-off.lost",
		      "the agent of i-off.lost was last heard 3 h ago (ConnectionLost): start the "
		      "instance or its agent");
	check_offline(f, "i-off.none",
		      "i-off.none is not registered with SSM in region eu-west-1 (from --region)");
	check_offline(f, "i-off.online",
		      "was last heard 20 s ago and is online, but takes no sessions");
	check_offline(f, "i-off.denied", "ssm:DescribeInstanceInformation");
	check_offline(f, "x-off.none",
		      "the agent of x-off.none is offline"); /* no managed node: not asked */
	assert_int_equal(asked(f, "x-off.none"), 1);
}

static void test_offline_in_time(void **state)
{
	struct fx *f = *state;
	const uint64_t begin_ms = loop_now_ms(f->loop);

	check_offline(f, "i-off.hang", "the agent of i-off.hang is offline");
	assert_true(loop_now_ms(f->loop) - begin_ms >= AWS_EXPLAIN_MS);
	assert_true(loop_now_ms(f->loop) - begin_ms < AWS_EXPLAIN_MS + 2000);
}

static void test_offline_is_asked_once(void **state)
{
	struct fx *f = *state;
	struct aws_account *acc = plain_account(f);

	for (unsigned i = 0; i < 3; i++) {
		const struct got g = again(f, acc, "i-off.again");

		assert_non_null(strstr(g.error.hint, "3 h ago"));
	}
	assert_int_equal(asked(f, "i-off.again"), 4); /* three times StartSession */
	aws_account_free(acc);
}

static unsigned calls_under_way(const struct fx *f)
{
	uint32_t pos = 0;
	unsigned n = 0;

	while (hnd_next(&f->aws->calls, &pos))
		n++;
	return n;
}

static void test_offline_is_cancelled(void **state)
{
	struct fx *f = *state;
	struct aws_account *acc = plain_account(f);
	struct aws_start s = { .target = "i-off.hang" };
	struct got g = { 0 };
	aws_call call;

	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(aws_start_session(acc, &call, &s, on_session, &g), 0);
		while (calls_under_way(f) < 2) /* the explanation is a call of its own */
			assert_int_equal(loop_turn(f->loop, 1000), 0);
		if (i == 0)
			aws_cancel(f->aws, call);
		else if (i == 1)
			aws_account_free(acc);
		else
			aws_free(f->aws);
		if (i == 1)
			acc = plain_account(f);
	}
	f->aws = NULL;
	aws_account_free(acc);
	assert_int_equal(g.calls, 0);
}

/* The owner frees the account when it is told, in time or not, or from what was kept. */
static void test_offline_and_freed(void **state)
{
	static const char *const targets[] = { "i-off.lost", "i-off.none", "i-off.hang" };
	struct fx *f = *state;

	for (size_t i = 0; i < ARRAY_LEN(targets); i++) {
		struct got g = { .to_free = plain_account(f) };
		const struct aws_start s = { .target = targets[i] };

		if (i == 0)
			again(f, g.to_free, targets[i]);
		assert_int_equal(aws_start_session(g.to_free, NULL, &s, on_session, &g), 0);
		run_until(f, &g, 1);
		assert_int_equal(g.error.err, ST_ECLOSED);
		assert_int_equal(calls_under_way(f), 0);
	}
}

/* 28 answers of 700 kB joined are the most that is done at a time. */
static int teardown(void **state)
{
	const struct fx *f = *state;

	assert_true(loop_longest_us(f->loop) < 1000000);
	return fx_teardown(state);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, fx_setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_retry_after),
		CASE(test_cut),
		CASE(test_fetch_is_not_repeated),
		CASE(test_clock),
		CASE(test_clock_of_many),
		CASE(test_expired),
		CASE(test_request_expired),
		CASE(test_expired_and_mended),
		CASE(test_expired_elsewhere),
		CASE(test_pages),
		CASE(test_offline),
		CASE(test_offline_in_time),
		CASE(test_offline_is_asked_once),
		CASE(test_offline_is_cancelled),
		CASE(test_offline_and_freed),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, server_start, server_stop);
}
