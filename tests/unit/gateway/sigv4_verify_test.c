// SPDX-License-Identifier: MIT
/*
 * sigv4_verify_test.c - against requests that botocore has signed
 *
 * Cases: 50 stored requests and 50 fresh ones (skipped where python3-botocore is missing) are good; the
 * same with any one thing changed are not: body, path, query, method, a signed header, a missing one,
 * secret, scope, date; time limits to the second; unknown key; every code of AWS; garbage in Authorization.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/codec.h"
#include "base/err.h"
#include "base/text.h"
#include "base/util.h"
#include "gateway/sigv4_verify.h"

#define STORED "tests/unit/gateway/signed_requests.json"
#define FRESH "/usr/bin/python3 tests/unit/gateway/sign_requests.py 50 %lu 2>/dev/null"
#define BODY_MAX 4096U

static json_t *stored;

struct signed_request {
	struct sigv4_request req;
	uint8_t body[BODY_MAX];
	json_t *headers; /* owned */
	const char *access_key, *secret;
	int64_t unix_s;
};

static const char *header_of(void *arg, const char *name)
{
	return json_string_value(json_object_get(arg, name));
}

static bool secret_of(void *arg, const char *access_key, char secret[SIGV4_SECRET_MAX + 1])
{
	const struct signed_request *s = arg;

	if (strcmp(access_key, s->access_key) != 0)
		return false;
	text_copy(secret, SIGV4_SECRET_MAX + 1, s->secret);
	return true;
}

static const char *str(const json_t *o, const char *key)
{
	const char *v = json_string_value(json_object_get(o, key));

	assert_non_null(v);
	return v;
}

static void request_load(struct signed_request *s, const json_t *o)
{
	const char *body = str(o, "body");
	ssize_t n = codec_b64_decode(s->body, sizeof(s->body), body, strlen(body));

	assert_true(n >= 0);
	s->headers = json_deep_copy(json_object_get(o, "headers"));
	s->access_key = str(o, "access_key");
	s->secret = str(o, "secret");
	s->unix_s = json_integer_value(json_object_get(o, "unix"));
	s->req = (struct sigv4_request){ .method = str(o, "method"),
					 .path = str(o, "path"),
					 .query = str(o, "query"),
					 .body = s->body,
					 .body_len = (size_t)n,
					 .header = header_of,
					 .arg = s->headers };
}

static const char *verdict(struct signed_request *s, struct sigv4_result *out)
{
	int r = sigv4_verify(out, &s->req, secret_of, s, s->unix_s);

	assert_int_equal(r, out->code ? ST_EAUTH : 0);
	if (out->code)
		assert_string_equal(out->access_key, "");
	return out->code ? out->code : "good";
}

#define assert_verdict(s, want)                                                                    \
	do {                                                                                       \
		struct sigv4_result res_;                                                          \
		assert_string_equal(verdict((s), &res_), (want));                                  \
	} while (0)

static void all_good(json_t *list)
{
	struct sigv4_result res;
	struct signed_request s;
	json_t *o;
	size_t i;

	assert_int_equal(json_array_size(list), 50);
	json_array_foreach(list, i, o)
	{
		request_load(&s, o);
		if (strcmp(verdict(&s, &res), "good") != 0)
			fail_msg("request %zu, %s: %s", i, s.req.path, res.code);
		assert_string_equal(res.access_key, s.access_key);
		assert_string_equal(res.service, str(o, "service"));
		assert_string_equal(res.region, str(o, "region"));
		json_decref(s.headers);
	}
}

static void test_stored(void **state)
{
	(void)state;
	all_good(stored);
}

static void test_fresh(void **state)
{
	char command[128];
	json_t *list;
	FILE *f;

	(void)state;
	snprintf(command, sizeof(command), FRESH, (unsigned long)time(NULL));
	f = popen(command, "r");
	list = f ? json_loadf(f, 0, NULL) : NULL;
	if (f)
		pclose(f);
	if (!list)
		skip();
	all_good(list);
	json_decref(list);
}

/* A stored POST with a body and a query-less path, as the API gets them. */
static void post_load(struct signed_request *s)
{
	json_t *o;
	size_t i;

	json_array_foreach(stored, i, o)
	{
		if (strcmp(str(o, "method"), "POST") != 0 || !*str(o, "body"))
			continue;
		request_load(s, o);
		return;
	}
	fail_msg("no POST with a body among the stored requests");
}

static void test_changed_request(void **state)
{
	struct signed_request s;
	json_t *o;
	size_t i;

	(void)state;
	json_array_foreach(stored, i, o)
	{
		request_load(&s, o);
		s.req.method = strcmp(s.req.method, "PATCH") != 0 ? "PATCH" : "POST";
		assert_verdict(&s, "InvalidSignatureException");
		s.req.method = str(o, "method");
		s.req.path = "/changed";
		assert_verdict(&s, "InvalidSignatureException");
		s.req.path = str(o, "path");
		s.req.query = "zz=1";
		assert_verdict(&s, "InvalidSignatureException");
		s.req.query = str(o, "query");
		s.body[s.req.body_len++] = 'x';
		assert_verdict(&s, "InvalidSignatureException");
		s.req.body_len--;
		s.secret = "another secret";
		assert_verdict(&s, "InvalidSignatureException");
		s.secret = str(o, "secret");
		assert_verdict(&s, "good");
		json_decref(s.headers);
	}
}

static void test_changed_headers(void **state)
{
	struct signed_request s;

	(void)state;
	post_load(&s);
	json_object_set_new(s.headers, "x-amz-target", json_string("AmazonSSM.Other"));
	assert_verdict(&s, "InvalidSignatureException");
	json_object_del(s.headers, "x-amz-target");
	assert_verdict(&s, "InvalidSignatureException");
	json_decref(s.headers);

	post_load(&s);
	json_object_set_new(s.headers, "host", json_string("elsewhere:8443"));
	assert_verdict(&s, "InvalidSignatureException");
	json_decref(s.headers);

	post_load(&s); /* what is not signed may change */
	json_object_set_new(s.headers, "user-agent", json_string("anything"));
	assert_verdict(&s, "good");
	json_decref(s.headers);
}

static void test_content_hash(void **state)
{
	char hex[2 * CODEC_SHA256_LEN + 1];
	uint8_t h[CODEC_SHA256_LEN];
	struct signed_request s;

	(void)state;
	post_load(&s);
	codec_sha256(h, s.req.body, s.req.body_len);
	codec_hex(hex, h, sizeof(h));
	json_object_set_new(s.headers, "x-amz-content-sha256", json_string(hex));
	assert_verdict(&s, "good");
	json_object_set_new(s.headers, "x-amz-content-sha256", json_string("UNSIGNED-PAYLOAD"));
	assert_verdict(&s, "InvalidSignatureException");
	hex[0] = hex[0] == '0' ? '1' : '0';
	json_object_set_new(s.headers, "x-amz-content-sha256", json_string(hex));
	assert_verdict(&s, "InvalidSignatureException");
	json_decref(s.headers);
}

static void test_time(void **state)
{
	struct signed_request s;
	int64_t at;

	(void)state;
	post_load(&s);
	at = s.unix_s;
	s.unix_s = at + SIGV4_SKEW_S;
	assert_verdict(&s, "good");
	s.unix_s = at - SIGV4_SKEW_S;
	assert_verdict(&s, "good");
	s.unix_s = at + SIGV4_SKEW_S + 1;
	assert_verdict(&s, "InvalidSignatureException");
	s.unix_s = at - SIGV4_SKEW_S - 1;
	assert_verdict(&s, "InvalidSignatureException");
	s.unix_s = at;
	json_object_set_new(s.headers, "x-amz-date", json_string("20011120T000000Z"));
	assert_verdict(&s, "InvalidSignatureException"); /* not the scope's day */
	json_object_set_new(s.headers, "x-amz-date", json_string("yesterday"));
	assert_verdict(&s, "IncompleteSignatureException");
	json_object_del(s.headers, "x-amz-date");
	assert_verdict(&s, "IncompleteSignatureException");
	json_decref(s.headers);
}

static void test_unknown_key(void **state)
{
	struct signed_request s;

	(void)state;
	post_load(&s);
	s.access_key = "AKIAOTHER";
	assert_verdict(&s, "UnrecognizedClientException");
	json_decref(s.headers);
	post_load(&s); /* our keys are never temporary ones */
	json_object_set_new(s.headers, "x-amz-security-token", json_string("token"));
	assert_verdict(&s, "UnrecognizedClientException");
	json_decref(s.headers);
}

static void test_authorization(void **state)
{
	static const struct {
		const char *value, *want;
	} cases[] = {
		{ "", "MissingAuthenticationTokenException" },
		{ "Basic dTpw", "IncompleteSignatureException" },
		{ "AWS4-HMAC-SHA256", "IncompleteSignatureException" },
		{ "AWS4-HMAC-SHA256 ", "IncompleteSignatureException" },
		{ "AWS4-HMAC-SHA256 ,,,", "IncompleteSignatureException" },
		{ "AWS4-HMAC-SHA256 Credential=, SignedHeaders=, Signature=",
		  "IncompleteSignatureException" },
		{ "AWS4-HMAC-SHA256 Credential=////, SignedHeaders=host, Signature=0",
		  "IncompleteSignatureException" },
		{ "AWS4-HMAC-SHA256 Credential=a/20250101/r/s/aws4_request, SignedHeaders=host",
		  "IncompleteSignatureException" },
		{ "AWS4-HMAC-SHA256 Credential=a/20250101/r/s/other, SignedHeaders=host, "
		  "Signature=0",
		  "IncompleteSignatureException" },
	};
	struct signed_request s;

	(void)state;
	post_load(&s);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		json_object_set_new(s.headers, "authorization", json_string(cases[i].value));
		assert_verdict(&s, cases[i].want);
	}
	json_object_del(s.headers, "authorization");
	assert_verdict(&s, "MissingAuthenticationTokenException");
	json_decref(s.headers);
}

/* Every shorter prefix and every changed byte of a good Authorization is refused, and nothing is read beyond. */
static void test_authorization_mutated(void **state)
{
	struct signed_request s;
	char *good, *bad;
	size_t len;

	(void)state;
	post_load(&s);
	good = strdup(header_of(s.headers, "authorization"));
	len = strlen(good);
	for (size_t i = 0; i < len; i++) {
		struct sigv4_result res;

		bad = strndup(good, i);
		json_object_set_new(s.headers, "authorization", json_string(bad));
		assert_string_not_equal(verdict(&s, &res), "good");
		free(bad);
		bad = strdup(good);
		bad[i] = bad[i] == 'x' ? 'y' : 'x';
		json_object_set_new(s.headers, "authorization", json_string(bad));
		assert_string_not_equal(verdict(&s, &res), "good");
		free(bad);
	}
	free(good);
	json_decref(s.headers);
}

static void test_unsigned_host(void **state)
{
	struct signed_request s = { 0 };
	char *auth, *at;

	(void)state;
	post_load(&s);
	auth = strdup(header_of(s.headers, "authorization"));
	at = strstr(auth, "host;");
	assert_non_null(at);
	memmove(at, at + 5, strlen(at + 5) + 1);
	json_object_set_new(s.headers, "authorization", json_string(auth));
	assert_verdict(&s, "IncompleteSignatureException");
	free(auth);
	json_decref(s.headers);
}

static int load(void **state)
{
	(void)state;
	stored = json_load_file(STORED, 0, NULL);
	return stored ? 0 : -1;
}

static int drop(void **state)
{
	(void)state;
	json_decref(stored);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_stored),
		cmocka_unit_test(test_fresh),
		cmocka_unit_test(test_changed_request),
		cmocka_unit_test(test_changed_headers),
		cmocka_unit_test(test_content_hash),
		cmocka_unit_test(test_time),
		cmocka_unit_test(test_unknown_key),
		cmocka_unit_test(test_authorization),
		cmocka_unit_test(test_authorization_mutated),
		cmocka_unit_test(test_unsigned_host),
	};

	return cmocka_run_group_tests(tests, load, drop);
}
