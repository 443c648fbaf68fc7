// SPDX-License-Identifier: MIT
/*
 * Cases: the published vectors that apply, which botocore's signer gives, too; 200 random requests, always the same, sent by
 * aws_http and signed once more by botocore: methods, paths, queries, bodies, regions, services, tokens of 16 KiB, header values with
 * blanks inside, a clock that is put right; too many headers, too long ones
 */
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

#include "base/codec.h"
#include "tests/unit/aws/aws_fixture.h"

#define HOST "Host: example.amazonaws.com"
#define DATE "X-Amz-Date: 20150830T123600Z"
#define PLAIN "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
#define TOKEN                                                                                      \
	"AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmx" \
	"fpSPfIeoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0K" \
	"PkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZb" \
	"qBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA=="

/* The AWS Signature Version 4 test suite of 2015: key AKIDEXAMPLE, region us-east-1, service "service". Queries are in order
 * here: that is aws_proto.c's part. */
static const struct {
	const char *name, *method, *target;
	const char *headers[4];
	const char *body, *signature;
} vectors[] = {
	{ "get-vanilla",
	  "GET",
	  "/",
	  { HOST, DATE },
	  "",
	  "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31" },
	{ "get-vanilla-query-order-key-case",
	  "GET",
	  "/?Param1=value1&Param2=value2",
	  { HOST, DATE },
	  "",
	  "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500" },
	{ "get-vanilla-empty-query-key",
	  "GET",
	  "?Param1=value1",
	  { HOST, DATE },
	  "",
	  "a67d582fa61cc504c4bae71f336f98b97f1ea3c7a6bfe1b6e45aec72011b9aeb" },
	{ "get-vanilla-query-unreserved",
	  "GET",
	  "/?-._~" PLAIN "=-._~" PLAIN,
	  { HOST, DATE },
	  "",
	  "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197" },
	{ "get-vanilla-utf8-query",
	  "GET",
	  "/?%E1%88%B4=bar",
	  { HOST, DATE },
	  "",
	  "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04" },
	{ "get-unreserved",
	  "GET",
	  "/-._~" PLAIN,
	  { HOST, DATE },
	  "",
	  "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f" },
	{ "get-slashes",
	  "GET",
	  "//example//",
	  { HOST, DATE },
	  "",
	  "9a624bd73a37c9a373b5312afbebe7a714a789de108f0bdfe846570885f57e84" },
	{ "get-header-value-trim",
	  "GET",
	  "/",
	  { "My-Header1:  value1", "My-Header2: \"a   b   c\"  ", HOST, DATE },
	  "",
	  "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736" },
	{ "post-vanilla",
	  "POST",
	  "/",
	  { HOST, DATE },
	  "",
	  "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b" },
	{ "post-header-key-sort",
	  "POST",
	  "/",
	  { HOST, "My-Header1:value1", DATE },
	  "",
	  "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c" },
	{ "post-header-value-case",
	  "POST",
	  "/",
	  { HOST, "My-Header1:VALUE1", DATE },
	  "",
	  "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d" },
	{ "post-vanilla-query",
	  "POST",
	  "/?Param1=value1",
	  { HOST, DATE },
	  "",
	  "28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11" },
	{ "post-x-www-form-urlencoded",
	  "POST",
	  "/",
	  { "Content-Type:application/x-www-form-urlencoded", HOST, DATE },
	  "Param1=value1",
	  "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a" },
	{ "post-x-www-form-urlencoded-parameters",
	  "POST",
	  "/",
	  { "Content-Type:application/x-www-form-urlencoded; charset=utf8", HOST, DATE },
	  "Param1=value1",
	  "1a72ec8f64bd914b0e42e42607c7fbce7fb2c7465f63e3092b3b0d39fa77a6fe" },
	{ "post-sts-header-before",
	  "POST",
	  "/",
	  { HOST, DATE, "X-Amz-Security-Token:" TOKEN },
	  "",
	  "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead" },
};

static int sign(struct buf *out, const struct curl_slist *headers, const char *method,
		const char *url, const char *body)
{
	char access_key[] = "AKIDEXAMPLE", secret[] = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
	const struct aws_creds creds = { .access_key = access_key, .secret_key = secret };
	const struct aws_to_sign s = { .method = method,
				       .url = url,
				       .headers = headers,
				       .body = body,
				       .body_len = strlen(body),
				       .date = "20150830T123600Z",
				       .region = "us-east-1",
				       .service = "service",
				       .creds = &creds };

	return aws_sign(out, &s);
}

static void test_vectors(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(vectors); i++) {
		struct curl_slist *headers = NULL;
		char url[512];
		struct buf b;

		for (size_t k = 0; k < ARRAY_LEN(vectors[i].headers) && vectors[i].headers[k]; k++)
			headers = curl_slist_append(headers, vectors[i].headers[k]);
		snprintf(url, sizeof(url), "https://example.amazonaws.com%s", vectors[i].target);
		buf_init(&b, KIB(2));
		assert_int_equal(sign(&b, headers, vectors[i].method, url, vectors[i].body), 0);
		assert_int_equal(buf_put(&b, "", 1), 0);
		if (!strstr((const char *)buf_data(&b), vectors[i].signature))
			fail_msg("%s: %s", vectors[i].name, (const char *)buf_data(&b));
		buf_fini(&b);
		curl_slist_free_all(headers);
	}
}

static void test_bounds(void **state)
{
	struct curl_slist *many = NULL, *large = NULL;
	char *line = calloc(1, KIB(128) + 3);
	struct buf b;

	(void)state;
	for (int i = 0; i < 25; i++)
		many = curl_slist_append(many, "A: b");
	memset(line, 'a', KIB(128) + 2);
	line[1] = ':';
	large = curl_slist_append(NULL, line);
	buf_init(&b, KIB(2));
	assert_int_equal(sign(&b, many, "GET", "http://a/", ""), ST_EFULL);
	assert_int_equal(sign(&b, large, "GET", "http://a/", ""), ST_EFULL);
	buf_fini(&b);
	curl_slist_free_all(many);
	curl_slist_free_all(large);
	free(line);
}

/* ---- random requests ---- */

static struct {
	pid_t pid;
	int stdin_fd;
	unsigned port;
} server;

static int server_start(void **state)
{
	int in[2], out[2];
	char line[32] = "";

	(void)state;
	if (pipe2(in, O_CLOEXEC) < 0 || pipe2(out, O_CLOEXEC) < 0)
		return -1;
	server.pid = fork();
	if (server.pid == 0) {
		dup2(in[0], 0);
		dup2(out[1], 1);
		execl("/usr/bin/python3", "python3", "tests/unit/aws/sign_server.py", (char *)NULL);
		_exit(127);
	}
	close(in[0]);
	close(out[1]);
	server.stdin_fd = in[1];
	for (size_t n = 0; n < sizeof(line) - 1 && !strchr(line, '\n'); n++)
		if (read(out[0], line + n, 1) != 1)
			break;
	close(out[0]);
	return sscanf(line, "%u", &server.port) == 1 ? 0 : -1;
}

static int server_stop(void **state)
{
	int status;

	(void)state;
	close(server.stdin_fd);
	return waitpid(server.pid, &status, 0) == server.pid && status == 0 ? 0 : -1;
}

static uint64_t seed = 20150830;

static unsigned any(unsigned n) /* xorshift; always the same numbers */
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (unsigned)(seed >> 11) % n;
}

/* @len characters out of @from. */
static char *any_text(size_t len, const char *from)
{
	char *text = calloc(1, len + 1);

	assert_non_null(text);
	for (size_t i = 0; i < len; i++)
		text[i] = from[any((unsigned)strlen(from))];
	return text;
}

/* Every byte but NUL, which no body of ours has. */
static char *any_body(void)
{
	const size_t len = any(4) ? any(3000) : 0;
	char *body = calloc(1, len + 1);

	for (size_t i = 0; i < len; i++)
		body[i] = (char)(i < 255 ? i + 1 : any(255) + 1);
	return body;
}

/* By what writes queries: names and values of all kinds. */
static char *any_query(void)
{
	static const char *const words[] = { "a",  "A", "a b",	"a+b", "a&b=c", "grün",
					     "€",  "~", "-._~", "%41", "a/b?",	"*'()",
					     "#x", "1", "a1",	"a-",  "\"<>" };
	struct aws_outgoing out;
	json_t *params = json_object();
	char *query;

	for (unsigned n = any(10); n > 0; n--)
		json_object_set_new(params, words[any(ARRAY_LEN(words))],
				    json_string(words[any(ARRAY_LEN(words))]));
	assert_int_equal(aws_proto_write(&out, AWS_LIST_HOSTED_ZONES_BY_VPC, params), 0);
	query = strdup(strchr(out.path, '?') ? strchr(out.path, '?') : "");
	aws_outgoing_fini(&out);
	json_decref(params);
	return query;
}

/* One request of everything; all are freed. */
struct random_request {
	char *body, *query, *path, *access_key, *secret, *token, *blanks;
	char region[64], service[64], lines[4][96];
	int skew_s;
};

static void request_make(struct random_request *r)
{
	static const char *const paths[] = {
		"/",	    "",	    "/2013-04-01/hostedzonesbyvpc", "/a%20b",
		"/a//b///", "/x~y", "/%E2%82%AC/+,=@:;$!*'()"
	};
	char *region = any_text(any(4) ? 1 + any(20) : 63, PLAIN);
	char *blanks = any_text(1 + any(60), "ab \t\",;=");

	*r = (struct random_request){
		.body = any_body(),
		.query = any_query(),
		.path = strdup(paths[any(ARRAY_LEN(paths))]),
		.access_key = any_text(16 + any(100), PLAIN),
		.token = any(2) ? any_text(any(3) ? 1 + any(1000) : KIB(16), PLAIN "/+=") : NULL,
		.skew_s = any(3) ? 0 : (int)any(200000) - 100000,
	};
	snprintf(r->region, sizeof(r->region), "%s", region);
	snprintf(r->service, sizeof(r->service), "%s", aws_services[any(AWS_SERVICE_N)].signing);
	r->secret = calloc(1, strlen(r->access_key) + 16);
	memcpy(r->secret, "secret/+", 8);
	for (size_t i = 0, n = strlen(r->access_key); i < n; i++)
		r->secret[8 + i] = r->access_key[n - 1 - i];
	snprintf(r->lines[0], sizeof(r->lines[0]), "X-Region: %s", region);
	snprintf(r->lines[1], sizeof(r->lines[1]), "X-Service: %s", r->service);
	snprintf(r->lines[2], sizeof(r->lines[2]), "X-Skew: %d", r->skew_s);
	snprintf(r->lines[3], sizeof(r->lines[3]), "X-Blanks:  x%sx ", blanks);
	free(region);
	free(blanks);
}

static void request_fini(struct random_request *r)
{
	free(r->body);
	free(r->query);
	free(r->path);
	free(r->access_key);
	free(r->secret);
	free(r->token);
}

/* libcurl by itself, without the loop: there is no call that would take the end of the transfer. */
static void transfer(struct fx *f, struct aws_http *h)
{
	int running = 1, left;
	const CURLMsg *msg;

	while (running) {
		assert_int_equal(curl_multi_perform(f->aws->multi, &running), CURLM_OK);
		if (running)
			curl_multi_poll(f->aws->multi, NULL, 0, 10000, NULL);
	}
	assert_non_null(msg = curl_multi_info_read(f->aws->multi, &left));
	if (msg->data.result != CURLE_OK)
		fail_msg("%s", h->text);
	assert_int_equal(buf_put(&h->answer, "", 1), 0);
}

static void request_check(struct fx *f, const struct random_request *r)
{
	static const char *const methods[] = { "GET", "POST", "PUT" };
	const char *const lines[] = { r->lines[0], r->lines[1], r->lines[2], r->lines[3], NULL };
	struct aws_endpoint at = { .port = (uint16_t)server.port, .sign_region = "", .url = NULL };
	struct aws_outgoing out = { .method = methods[any(3)], .headers = lines };
	const struct aws_creds creds = { .access_key = r->access_key,
					 .secret_key = r->secret,
					 .token = r->token };
	struct aws_http h = { 0 };

	strcpy(at.host, "127.0.0.1");
	snprintf(at.sign_region, sizeof(at.sign_region), "%s", r->region);
	assert_true(asprintf(&at.url, "http://127.0.0.1:%u/", server.port) > 0);
	assert_true(asprintf(&out.path, "%s%s", r->path, r->query) > 0);
	if (strcmp(out.method, "GET") != 0) {
		out.body = r->body;
		out.content_type = "application/x-amz-json-1.1";
		snprintf(out.target, sizeof(out.target), "Service.Operation%u", any(100));
	}
	assert_int_equal(aws_http_send(&h, f->aws,
				       &(struct aws_http_send){ .at = &at,
								.out = &out,
								.creds = &creds,
								.signing = r->service,
								.skew_s = r->skew_s,
								.within_ms = 20000 }),
			 0);
	transfer(f, &h);
	if (h.answer.len != 1)
		fail_msg("%s %s: %s", out.method, out.path, (const char *)buf_data(&h.answer));
	aws_http_end(&h, f->aws);
	free(at.url);
	free(out.path);
}

static void test_random(void **state)
{
	struct fx *f = *state;

	for (int i = 0; i < 200; i++) {
		struct random_request r;

		request_make(&r);
		request_check(f, &r);
		request_fini(&r);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test_setup_teardown(test_random, fx_setup, fx_teardown),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, server_start, server_stop);
}
