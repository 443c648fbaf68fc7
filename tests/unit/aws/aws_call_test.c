// SPDX-License-Identifier: MIT
/*
 * Cases: StartSession, ResumeSession, TerminateSession and what each sends; session token, MaxPayloadBytes, chunked
 * answer; every code of the service and its hint; prefixed codes, codes in a header, clock skew; throttling that ends and
 * that does not; connections that break, 503, hang; garbage, too large and just not too large; redirects; TLS
 * with the right and the wrong CA, with a bundle where the system would trust the server; proxy with and without its password; closed port; unknown name; no region, no
 * credentials; wrong secret; cancellation in each state; freeing in a callback; limit of calls; no wake-ups when idle.
 */
#include <sched.h>
#include <sys/mount.h>

#include "tests/unit/aws/aws_served.h"

static void test_start(void **state)
{
	struct fx *f = *state;
	struct got g = start(f, plain_account(f), "i-ok");

	assert_true(g.ok);
	assert_string_equal(g.session_id, "user-0123456789abcdef0");
	assert_string_equal(g.stream_url, "wss://ssmmessages.test/v1/data-channel/x?"
					  "role=publish_subscribe&cell-number=a+/=");
	assert_int_equal(g.token_len, 600);
	assert_int_equal(g.max_payload, 0);
	assert_int_equal(start(f, plain_account(f), "i-payload").max_payload, 65536);
	assert_true(start(f, plain_account(f), "i-chunked").ok);
	assert_int_equal(f->resolves, 0);
}

static void test_start_sends(void **state)
{
	struct fx *f = *state;
	struct got g = { 0 };
	struct aws_account *acc =
		account(f, &(struct aws_account_opts){
				   .region = "cn-north-1",
				   .access_key = "AKIDTEST",
				   .secret_key = "secret/+test",
				   .session_token = "FwoG//token==",
				   .endpoint_url = url_of("http", "127.0.0.1", server.http) });
	static const char *const parameters[] = { "portNumber", "9000", "host", "a b", NULL };
	struct aws_start s = { .target = "i-echo",
			       .document = "AWS-StartSSHSession",
			       .reason = "why not",
			       .parameters = parameters };

	assert_int_equal(aws_start_session(acc, NULL, &s, on_session, &g), 0);
	run_until(f, &g, 1);
	assert_true(g.ok);
	assert_string_equal(
		g.stream_url,
		"wss://echo/[\"AmazonSSM.StartSession\",{\"Target\":\"i-echo\",\"DocumentName\":"
		"\"AWS-StartSSHSession\",\"Reason\":\"why "
		"not\",\"Parameters\":{\"portNumber\":[\"9000\"],"
		"\"host\":[\"a b\"]}},\"FwoG//token==\",\"/\",\"cn-north-1\"]");
	aws_account_free(acc);
}

static void test_resume_and_terminate(void **state)
{
	struct fx *f = *state;
	struct got g = { 0 };
	struct aws_account *acc = plain_account(f);

	assert_int_equal(aws_resume_session(acc, NULL, "s-echo", NULL, on_session, &g), 0);
	run_until(f, &g, 1);
	assert_true(g.ok);
	assert_non_null(
		strstr(g.stream_url, "[\"AmazonSSM.ResumeSession\",{\"SessionId\":\"s-echo\"}"));

	assert_int_equal(aws_resume_session(acc, NULL, "s-notoken", NULL, on_session, &g), 0);
	run_until(f, &g, 2);
	assert_int_equal(g.error.err, ST_ENOENT); /* the session is over */
	assert_false(g.error.retryable);

	assert_int_equal(aws_terminate_session(acc, NULL, "s-x", NULL, on_done, &g), 0);
	run_until(f, &g, 3);
	assert_true(g.ok);
	aws_account_free(acc);
}

/* What the service may say, and what must be made of it. */
static const struct {
	const char *code;
	int err;
	bool retryable;
	const char *hint;
} code_cases[] = {
	{ "TargetNotConnected", ST_ECLOSED, true, "agent of i-code.TargetNotConnected is offline" },
	{ "AccessDeniedException", ST_EPERM, false, "ssm:StartSession" },
	{ "ExpiredTokenException", ST_EAUTH, false, "expired" },
	{ "UnrecognizedClientException", ST_EAUTH, false, "unknown" },
	{ "InvalidSignatureException", ST_EAUTH, false, "secret access key" },
	{ "IncompleteSignatureException", ST_EAUTH, false, "secret access key" },
	{ "MissingAuthenticationTokenException", ST_EAUTH, false, "Authorization" },
	{ "InvalidDocument", ST_EINVAL, false, "document" },
	{ "DoesNotExistException", ST_ENOENT, false, "session is over" },
	{ "InvalidInstanceId", ST_ENOENT, false, "not a managed node" },
	{ "ValidationException", ST_EINVAL, false, "" },
	{ "ThrottlingException", ST_EAGAIN, true, "too often" },
	{ "InternalServerError", ST_EAGAIN, true, "fault of the service" },
	{ "SomethingNew", ST_EPEER, false, "" },
};

static void test_codes(void **state)
{
	struct fx *f = *state;
	char target[80], text[160];

	for (size_t i = 0; i < ARRAY_LEN(code_cases); i++) {
		const char *code = code_cases[i].code;
		struct got g;

		snprintf(target, sizeof(target), "i-code.%s", code);
		g = start(f, plain_account(f), target);
		snprintf(
			text, sizeof(text),
			"An error occurred (%s) when calling the StartSession operation%s: says %s",
			code, code_cases[i].err == ST_EAGAIN ? " (reached max retries: 2)" : "",
			code);
		assert_false(g.ok);
		assert_int_equal(g.error.err, code_cases[i].err);
		assert_int_equal(g.error.retryable, code_cases[i].retryable);
		assert_int_equal(g.error.http_status, 400);
		assert_string_equal(g.error.code, code);
		assert_string_equal(g.error.request_id, "req-0001");
		assert_string_equal(g.error.text, text);
		assert_non_null(strstr(g.error.hint, code_cases[i].hint));
		assert_int_equal(g.error.hint[0] == '\0', code_cases[i].hint[0] == '\0');
	}
}

static void test_codes_in_other_forms(void **state)
{
	struct fx *f = *state;
	struct got g = start(f, plain_account(f), "i-prefixed");

	assert_string_equal(g.error.code, "AccessDeniedException");
	assert_non_null(strstr(g.error.text, "User: \\x1b[31mx is not"));
	g = start(f, plain_account(f), "i-header");
	assert_string_equal(g.error.code, "TargetNotConnected");
	assert_int_equal(g.error.err, ST_ECLOSED);
	g = start(f, plain_account(f), "i-skewed");
	assert_non_null(strstr(g.error.hint, "clock, "));
	assert_non_null(strstr(g.error.hint, "ahead of the service's, has been allowed for"));
	g = start(f, plain_account(f), "i-404");
	assert_int_equal(g.error.err, ST_EPEER);
	assert_int_equal(g.error.http_status, 404);
	assert_string_equal(g.error.code, "");
	g = start(f, plain_account(f), "i-redirect");
	assert_int_equal(g.error.err, ST_EPEER);
	assert_int_equal(g.error.http_status, 302);
}

static void test_retries(void **state)
{
	struct fx *f = *state;
	struct got g;

	assert_true(start(f, plain_account(f), "i-throttle1").ok);
	assert_true(start(f, plain_account(f), "i-throttle2").ok);
	assert_true(start(f, plain_account(f), "i-drop1").ok);
	g = start(f, plain_account(f), "i-throttle3");
	assert_int_equal(g.error.err, ST_EAGAIN);
	g = start(f, plain_account(f), "i-503");
	assert_int_equal(g.error.err, ST_EAGAIN);
	assert_int_equal(g.error.http_status, 503);
}

static void test_retry_respects_the_deadline(void **state)
{
	struct fx *f = *state;
	struct got g = { 0 };
	struct aws_account *acc = plain_account(f);

	f->aws->limits.call_ms = 400; /* pauses of up to an hour do not fit in it */
	f->aws->limits.backoff_ms = 3600000;
	assert_int_equal(aws_start_session(acc, NULL,
					   &(struct aws_start){ .target = "i-throttle9" },
					   on_session, &g),
			 0);
	run_until(f, &g, 1);
	assert_int_equal(g.error.err, ST_EAGAIN);
	assert_null(strstr(g.error.text, "max retries"));
	aws_account_free(acc);
}

static void test_hang(void **state)
{
	struct fx *f = *state;
	struct got g;

	f->aws->limits.attempt_ms = 60;
	g = start(f, plain_account(f), "i-hang");
	assert_int_equal(g.error.err, ST_ETIMEOUT);
	assert_true(g.error.retryable);
	assert_int_equal(g.error.http_status, 0);
}

static void test_nonsense(void **state)
{
	static const char *const targets[] = { "i-garbage", "i-list", "i-notoken", "i-big" };
	struct fx *f = *state;

	for (size_t i = 0; i < ARRAY_LEN(targets); i++) {
		struct got g = start(f, plain_account(f), targets[i]);

		assert_false(g.ok);
		assert_int_equal(g.error.err, ST_EPEER);
		assert_false(g.error.retryable);
	}
	assert_true(start(f, plain_account(f), "i-brim").ok);
	assert_true(
		start(f, plain_account(f), "i-plainurl").ok); /* the endpoint is not TLS either */
}

static struct aws_account *tls_account(struct fx *f, const char *host, const char *ca)
{
	return account(
		f, &(struct aws_account_opts){ .region = "eu-west-1",
					       .access_key = "AKIDTEST",
					       .secret_key = "secret/+test",
					       .endpoint_url = url_of("https", host, server.https),
					       .ca_bundle = ca });
}

static void test_tls(void **state)
{
	struct fx *f = *state;
	char ca[160];
	struct got g;

	snprintf(ca, sizeof(ca), "%s/ca.pem", server.folder);
	assert_true(start(f, tls_account(f, "127.0.0.1", ca), "i-ok").ok);
	assert_true(start(f, tls_account(f, "ssm.test", ca), "i-ok").ok);
	assert_int_equal(f->resolves, 1);
	assert_string_equal(f->asked, "ssm.test");
	g = start(f, tls_account(f, "ssm.test", ca), "i-plainurl");
	assert_int_equal(g.error.err, ST_EPEER); /* a token must not leave in the clear */

	g = start(f, tls_account(f, "other.test", ca), "i-ok");
	assert_int_equal(g.error.err, ST_ETLS);
	assert_false(g.error.retryable);
	g = start(f, tls_account(f, "127.0.0.1", NULL), "i-ok");
	assert_int_equal(g.error.err, ST_ETLS);
	assert_non_null(strstr(g.error.text, "SSL validation failed for https://127.0.0.1"));
	assert_non_null(strstr(g.error.hint, "--ca-bundle"));
	g = start(f, tls_account(f, "127.0.0.1", "/nonexistent/ca.pem"), "i-ok");
	assert_int_equal(g.error.err, ST_ETLS);
	assert_non_null(strstr(g.error.hint, "/nonexistent/ca.pem"));
}

/* The system trusts the server's CA as well: a folder of its own lies over /etc/ssl/certs, in a mount namespace of this process.
 * Needs root. */
static void system_trusts(const char *ca, const char *folder)
{
	char command[1024];

	assert_int_equal(unshare(CLONE_NEWNS), 0);
	assert_int_equal(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
	snprintf(command, sizeof(command),
		 "mkdir %s && cp %s /etc/ssl/certs/ca-certificates.crt %s && openssl rehash %s "
		 ">/dev/null 2>&1",
		 folder, ca, folder, folder);
	assert_int_equal(system(command), 0);
	assert_int_equal(mount(folder, "/etc/ssl/certs", NULL, MS_BIND, NULL), 0);
}

/* With a CA bundle only what it holds is trusted, as by the AWS CLI and by our WebSocket. */
static void test_bundle_alone(void **state)
{
	struct fx *f = *state;
	char ca[160], folder[160];
	struct got g;

	snprintf(ca, sizeof(ca), "%s/ca.pem", server.folder);
	snprintf(folder, sizeof(folder), "%s/certs", f->home);
	if (geteuid() != 0)
		skip(); /* scripts/test runs as root */
	system_trusts(ca, folder);
	assert_true(start(f, tls_account(f, "127.0.0.1", NULL), "i-ok").ok);
	g = start(f, tls_account(f, "127.0.0.1", "/etc/ssl/certs/ca-certificates.crt"), "i-ok");
	assert_int_equal(umount("/etc/ssl/certs"), 0);
	assert_int_equal(g.error.err, ST_ETLS);
}

static void test_tls_to_a_plain_port(void **state)
{
	struct fx *f = *state;
	struct got g = start(
		f,
		account(f, &(struct aws_account_opts){ .region = "eu-west-1",
						       .access_key = "AKIDTEST",
						       .secret_key = "secret/+test",
						       .endpoint_url = url_of("https", "127.0.0.1",
									      server.http) }),
		"i-ok");

	assert_int_equal(g.error.err, ST_ETLS);
}

static void test_proxy(void **state)
{
	struct fx *f = *state;
	char ca[160], good[64], bad[64];
	struct got g;

	snprintf(ca, sizeof(ca), "%s/ca.pem", server.folder);
	snprintf(good, sizeof(good), "http://u:p@proxy.test:%u", server.proxy);
	snprintf(bad, sizeof(bad), "127.0.0.1:%u", server.proxy);
	fx_setenv(f, "HTTPS_PROXY", good);
	fx_setenv(f, "NO_PROXY", "near.test");
	assert_true(start(f, tls_account(f, "ssm.test", ca), "i-ok").ok);
	assert_int_equal(f->resolves, 1);
	assert_string_equal(f->asked, "proxy.test"); /* the target's name is the proxy's business */
	g = start(f, tls_account(f, "forbidden.test", ca), "i-ok");
	assert_int_equal(g.error.err, ST_EREFUSED);
	assert_non_null(strstr(g.error.text, "answered 403 to CONNECT forbidden.test"));
	g = start(f, tls_account(f, "near.test", ca), "i-ok");
	assert_int_equal(g.error.err,
			 ST_ETLS); /* went there itself; the certificate has no such name */
	assert_string_equal(f->asked, "near.test");

	f->n_env = 0;
	fx_setenv(f, "https_proxy", bad);
	g = start(f, tls_account(f, "ssm.test", ca), "i-ok");
	assert_int_equal(g.error.err, ST_EAUTH);
	assert_non_null(strstr(g.error.text, "407"));
	assert_null(strstr(g.error.text, "u:p"));
	f->n_env = 0;
	snprintf(bad, sizeof(bad), "http://u:geheim@127.0.0.1:%u", server.closed);
	fx_setenv(f, "HTTPS_PROXY", bad);
	g = start(f, tls_account(f, "ssm.test", ca), "i-ok");
	assert_int_equal(g.error.err, ST_EREFUSED);
	assert_null(strstr(g.error.text, "geheim"));
	f->n_env = 0;
	fx_setenv(f, "http_proxy", bad); /* is for http:// alone */
	assert_true(start(f, tls_account(f, "ssm.test", ca), "i-ok").ok);
}

static void test_no_connection(void **state)
{
	struct fx *f = *state;
	struct aws_account_opts o = { .region = "eu-west-1",
				      .access_key = "AKIDTEST",
				      .secret_key = "secret/+test" };
	struct got g;

	o.endpoint_url = url_of("http", "127.0.0.1", server.closed);
	g = start(f, account(f, &o), "i-ok");
	assert_int_equal(g.error.err, ST_EREFUSED);
	assert_true(g.error.retryable);
	assert_non_null(strstr(g.error.text, "Could not connect to the endpoint URL: \"http://"));
	o.endpoint_url = "http://nowhere.test";
	g = start(f, account(f, &o), "i-ok");
	assert_int_equal(g.error.err, ST_EUNREACH);
	assert_non_null(strstr(g.error.text, "nowhere.test"));
	assert_int_equal(f->resolves, 3);
}

static void test_before_sending(void **state)
{
	struct fx *f = *state;
	struct aws_account_opts o = { .access_key = "AKIDTEST", .secret_key = "secret/+test" };
	struct got g = start(f, account(f, &o), "i-ok");

	assert_int_equal(g.error.err, ST_EINVAL);
	assert_non_null(strstr(g.error.text, "You must specify a region."));
	g = start(f, account(f, &(struct aws_account_opts){ .region = "eu-west-1" }), "i-ok");
	assert_int_equal(g.error.err, ST_EAUTH);
	assert_string_equal(g.error.text, "Unable to locate credentials");
	assert_non_null(strstr(g.error.hint, "AWS_ACCESS_KEY_ID"));
	assert_non_null(strstr(g.error.hint, ".aws/credentials"));
	o.region = "eu-west-1";
	o.secret_key = "wrong";
	o.endpoint_url = url_of("http", "127.0.0.1", server.http);
	g = start(f, account(f, &o), "i-ok");
	assert_string_equal(g.error.code, "InvalidSignatureException");
	o.access_key = "AKIDNOBODY";
	g = start(f, account(f, &o), "i-ok");
	assert_string_equal(g.error.code, "UnrecognizedClientException");
}

/* Decision 11: a profile that was mended counts at once. */
static void test_keys_are_read_anew(void **state)
{
	struct fx *f = *state;
	struct got g = { 0 };
	struct aws_account *acc = account(f, &(struct aws_account_opts){ 0 });
	struct aws_start s = { .target = "i-ok" };
	char config[256];

	snprintf(config, sizeof(config), "[default]\nregion = eu-west-1\nendpoint_url = %s\n",
		 url_of("http", "127.0.0.1", server.http));
	fx_write(f, "config", config);
	fx_write(f, "credentials",
		 "[default]\naws_access_key_id=AKIDTEST\naws_secret_access_key=old\n");
	assert_int_equal(aws_start_session(acc, NULL, &s, on_session, &g), 0);
	run_until(f, &g, 1);
	assert_string_equal(g.error.code, "InvalidSignatureException");
	fx_write(f, "credentials",
		 "[default]\naws_access_key_id=AKIDOTHER\naws_secret_access_key=another\n");
	assert_int_equal(aws_start_session(acc, NULL, &s, on_session, &g), 0);
	run_until(f, &g, 2);
	assert_true(g.ok);
	aws_account_free(acc);
}

static void test_cancel(void **state)
{
	struct fx *f = *state;
	struct got g = { 0 }, other = { 0 };
	struct aws_account *acc = plain_account(f);
	struct aws_account *named =
		account(f, &(struct aws_account_opts){
				   .region = "eu-west-1",
				   .access_key = "AKIDTEST",
				   .secret_key = "secret/+test",
				   .endpoint_url = url_of("http", "ssm.test", server.http) });
	struct aws_start hang = { .target = "i-hang" }, ok = { .target = "i-ok" };
	aws_call call;

	assert_int_equal(aws_start_session(acc, &call, &ok, on_session, &g), 0);
	aws_cancel(f->aws, call); /* before its first turn */
	aws_cancel(f->aws, call);
	assert_int_equal(aws_start_session(named, &call, &ok, on_session, &g), 0);
	while (f->resolves == 0)
		assert_int_equal(loop_turn(f->loop, 1000), 0);
	aws_cancel(f->aws, call); /* resolving */
	assert_int_equal(f->cancels, 1);
	assert_int_equal(aws_start_session(acc, &call, &hang, on_session, &g), 0);
	assert_int_equal(aws_start_session(acc, NULL, &ok, on_session, &other), 0);
	run_until(f, &other, 1); /* by now the other one is sending */
	aws_cancel(f->aws, call);
	assert_int_equal(aws_start_session(acc, NULL, &hang, on_session, &g), 0);
	assert_int_equal(loop_turn(f->loop, 1000), 0);
	aws_account_free(acc); /* ends its calls */
	assert_int_equal(aws_start_session(named, NULL, &hang, on_session, &g), 0);
	assert_int_equal(loop_turn(f->loop, 1000), 0);
	assert_int_equal(g.calls, 0);
	aws_free(f->aws); /* so does this; an account may outlive it */
	assert_int_equal(aws_start_session(named, NULL, &ok, on_session, &g), ST_ENOMEM);
	aws_account_free(named);
	f->aws = NULL;
	assert_int_equal(g.calls, 0);
}

static void test_account_freed_in_callback(void **state)
{
	struct fx *f = *state;
	struct got g = { .to_free = plain_account(f) }, never = { 0 };

	assert_int_equal(aws_start_session(g.to_free, NULL,
					   &(struct aws_start){ .target = "i-hang" }, on_session,
					   &never),
			 0);
	assert_int_equal(aws_start_session(g.to_free, NULL, &(struct aws_start){ .target = "i-ok" },
					   on_session, &g),
			 0);
	run_until(f, &g, 1);
	assert_true(g.ok);
	assert_int_equal(never.calls, 0);
}

static void test_limit_of_calls(void **state)
{
	struct fx *f = *state;
	struct got g = { 0 };
	struct aws_account *acc = plain_account(f);
	struct aws_start s = { .target = "i-ok" };

	for (unsigned i = 0; i < AWS_CALLS_MAX; i++)
		assert_int_equal(aws_start_session(acc, NULL, &s, on_session, &g), 0);
	assert_int_equal(aws_start_session(acc, NULL, &s, on_session, &g), ST_EFULL);
	run_until(f, &g, AWS_CALLS_MAX);
	assert_true(g.ok);
	aws_account_free(acc);
}

static void test_idle(void **state)
{
	struct fx *f = *state;
	uint64_t turns;

	f->aws->limits.idle_ms = 30;
	assert_true(start(f, plain_account(f), "i-ok").ok);
	assert_non_null(f->aws->multi);
	for (int i = 0; f->aws->multi && i < 100; i++)
		assert_int_equal(loop_turn(f->loop, 200), 0);
	assert_null(f->aws->multi); /* connections and CA store are given back */
	turns = loop_turns(f->loop);
	assert_int_equal(loop_turn(f->loop, 100), 0); /* returns by its own limit alone */
	assert_int_equal(loop_turns(f->loop), turns + 1);
	assert_false(loop_timer_armed(&f->aws->multi_timer));
	assert_false(loop_timer_armed(&f->aws->idle_timer));
	assert_true(start(f, plain_account(f), "i-ok").ok); /* and made again */
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, fx_setup, fx_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_start),
		CASE(test_start_sends),
		CASE(test_resume_and_terminate),
		CASE(test_codes),
		CASE(test_codes_in_other_forms),
		CASE(test_retries),
		CASE(test_retry_respects_the_deadline),
		CASE(test_hang),
		CASE(test_nonsense),
		CASE(test_tls),
		CASE(test_bundle_alone),
		CASE(test_tls_to_a_plain_port),
		CASE(test_proxy),
		CASE(test_no_connection),
		CASE(test_before_sending),
		CASE(test_keys_are_read_anew),
		CASE(test_cancel),
		CASE(test_account_freed_in_callback),
		CASE(test_limit_of_calls),
		CASE(test_idle),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, server_start, server_stop);
}
