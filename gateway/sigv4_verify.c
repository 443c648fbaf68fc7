// SPDX-License-Identifier: MIT
/*
 * sigv4_verify.c - the receiving half of AWS Signature Version 4
 *
 * Theory of operation: Authorization is taken apart, the canonical request is built again from what
 * arrived (path normalised and encoded once more, query sorted as sent, the signed headers trimmed
 * and their blanks folded, the body's own hash), signed with the secret that we know for the access
 * key, and compared. Date, region and service come from the scope, so one verifier serves every
 * AWS-like API that the gateway offers. "host" and "x-amz-date" must be among the signed headers.
 */
#include "gateway/sigv4_verify.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "base/buf.h"
#include "base/codec.h"
#include "base/err.h"
#include "base/text.h"
#include "base/util.h"

#define ALGORITHM "AWS4-HMAC-SHA256"
#define HEX_LEN ((size_t)CODEC_SHA256_LEN * 2)
#define SIGNED_HEADERS_MAX 64U /* ours */
#define QUERY_PARTS_MAX 128U   /* ours */
#define CANONICAL_MAX KIB(64)  /* ours: headers are limited to less by the HTTP server */
#define DATE_LEN 16U	       /* 20251120T153000Z */

/* Authorization, taken apart; all point into a private copy. */
struct credential {
	char copy[4096];
	char *access_key, *date, *region, *service;
	char *signed_headers;
	char *signature;
};

static const char denied_token[] = "The security token included in the request is invalid.";
static const char denied_signature[] =
	"The request signature we calculated does not match the signature you provided. Check your "
	"AWS "
	"Secret Access Key and signing method. Consult the service documentation for details.";
static const char denied_date[] = "Signature expired or not yet current: the X-Amz-Date of the "
				  "request is more than 5 minutes off "
				  "the gateway's clock.";

static int deny(struct sigv4_result *out, const char *code, const char *message)
{
	out->access_key[0] = '\0';
	out->code = code;
	out->message = message;
	return ST_EAUTH;
}

static int deny_incomplete(struct sigv4_result *out, const char *message)
{
	return deny(out, "IncompleteSignatureException", message);
}

/* "Name=" at the start of the part @p: what follows, else NULL. */
static char *part_value(char *p, const char *name)
{
	size_t n = strlen(name);

	while (*p == ' ')
		p++;
	return strncmp(p, name, n) == 0 && p[n] == '=' ? p + n + 1 : NULL;
}

/* "AKID/20251120/eu-west-1/ssm/aws4_request" */
static bool scope_parse(struct credential *c, char *scope)
{
	char *save, *end;

	c->access_key = strtok_r(scope, "/", &save);
	c->date = strtok_r(NULL, "/", &save);
	c->region = strtok_r(NULL, "/", &save);
	c->service = strtok_r(NULL, "/", &save);
	end = strtok_r(NULL, "/", &save);
	return end && strcmp(end, "aws4_request") == 0 && !strtok_r(NULL, "/", &save) &&
	       strlen(c->access_key) <= SIGV4_ACCESS_KEY_MAX && strlen(c->date) == 8 &&
	       strlen(c->region) <= 64 && strlen(c->service) <= 64;
}

static bool authorization_parse(struct credential *c, const char *header)
{
	char *save, *scope = NULL, *v;

	memset(c, 0, sizeof(*c));
	if (!text_copy(c->copy, sizeof(c->copy), header + strlen(ALGORITHM)))
		return false;
	for (char *p = strtok_r(c->copy, ",", &save); p; p = strtok_r(NULL, ",", &save)) {
		if ((v = part_value(p, "Credential")))
			scope = v;
		else if ((v = part_value(p, "SignedHeaders")))
			c->signed_headers = v;
		else if ((v = part_value(p, "Signature")))
			c->signature = v;
	}
	return scope && c->signed_headers && c->signature && scope_parse(c, scope);
}

/* Seconds of "20251120T153000Z"; -1 if it is not of that form. */
static int64_t amz_date_parse(const char *s)
{
	struct tm tm = { 0 };
	const char *end;

	if (!s || strlen(s) != DATE_LEN)
		return -1;
	end = strptime(s, "%Y%m%dT%H%M%SZ", &tm);
	return end && !*end ? (int64_t)timegm(&tm) : -1;
}

static bool is_unreserved(char ch)
{
	return (ch >= 'A' && ch <= 'Z') || (ch >= 'a' && ch <= 'z') || (ch >= '0' && ch <= '9') ||
	       (ch && strchr("-._~", ch));
}

/* One path segment, encoded once more ("%41" becomes "%2541"), as every service but S3 wants it. */
static int put_segment(struct buf *b, const char *p, size_t len)
{
	int r = 0;

	for (size_t i = 0; i < len && r == 0; i++)
		r = is_unreserved(p[i]) ? buf_put(b, &p[i], 1)
					: buf_printf(b, "%%%02X", (unsigned)(unsigned char)p[i]);
	return r;
}

/* Drops what stands behind the last '/' of the path that begins at @start, that '/' included. */
static void drop_segment(struct buf *b, size_t start)
{
	while (b->len > start && b->mem[b->head + b->len - 1] != '/')
		b->len--;
	if (b->len > start)
		b->len--;
}

/* RFC 3986 dot segments and doubled slashes taken out, as botocore's normalize_url_path() does. */
static int put_path(struct buf *b, const char *path)
{
	size_t start = b->len, n;
	bool slash = true;
	int r = 0;

	for (const char *p = path; *p && r == 0; p += n) {
		while (*p == '/')
			p++;
		if (!(n = strcspn(p, "/")))
			break;
		slash = p[n] == '/';
		if (n == 1 && p[0] == '.')
			continue;
		if (n == 2 && p[0] == '.' && p[1] == '.') {
			drop_segment(b, start);
			continue;
		}
		if ((r = buf_put(b, "/", 1)) == 0)
			r = put_segment(b, p, n);
	}
	if (r == 0 && (b->len == start || slash))
		r = buf_put(b, "/", 1);
	return r;
}

/* One "name=value" of the query; the names are compared before the values. */
struct query_part {
	const char *name, *value;
};

static int query_part_cmp(const void *a, const void *b)
{
	const struct query_part *x = a, *y = b;
	int d = strcmp(x->name, y->name);

	return d ? d : strcmp(x->value, y->value);
}

static int put_query(struct buf *b, const char *query)
{
	struct query_part parts[QUERY_PARTS_MAX];
	char *copy = strdup(query), *save, *eq;
	size_t n = 0;
	int r = 0;

	if (!copy)
		return ST_ENOMEM;
	for (char *p = strtok_r(copy, "&", &save); p; p = strtok_r(NULL, "&", &save)) {
		if (n == ARRAY_LEN(parts)) {
			r = ST_EFULL;
			break;
		}
		if ((eq = strchr(p, '=')))
			*eq = '\0';
		parts[n++] = (struct query_part){ .name = p, .value = eq ? eq + 1 : "" };
	}
	if (n)
		qsort(parts, n, sizeof(parts[0]), query_part_cmp);
	for (size_t i = 0; i < n && r == 0; i++)
		r = buf_printf(b, "%s%s=%s", i ? "&" : "", parts[i].name, parts[i].value);
	free(copy);
	return r;
}

/* A header's value without blanks at its ends, runs of blanks inside made one. */
static int put_value(struct buf *b, const char *v)
{
	bool gap = false, any = false;
	int r = 0;

	for (; *v && r == 0; v++) {
		if (*v == ' ' || *v == '\t') {
			gap = any;
			continue;
		}
		if (gap)
			r = buf_put(b, " ", 1);
		if (r == 0)
			r = buf_put(b, v, 1);
		gap = false;
		any = true;
	}
	return r;
}

/* The signed headers, which must be sorted and include host and x-amz-date. Return: 0; ST_EINVAL; ST_ENOENT if one
 * of them is not in the request; ST_EFULL; ST_ENOMEM */
static int put_headers(struct buf *b, const char *names, const struct sigv4_request *req)
{
	char copy[2048], previous[256] = "", *save;
	bool host = false, date = false;
	size_t n = 0;
	int r;

	if (!text_copy(copy, sizeof(copy), names))
		return ST_EFULL;
	for (char *p = strtok_r(copy, ";", &save); p; p = strtok_r(NULL, ";", &save)) {
		const char *v = req->header(req->arg, p);

		if (n++ == SIGNED_HEADERS_MAX)
			return ST_EFULL;
		if (strcmp(previous, p) >= 0 || !text_copy(previous, sizeof(previous), p))
			return ST_EINVAL;
		if (!v)
			return ST_ENOENT;
		host |= strcmp(p, "host") == 0;
		date |= strcmp(p, "x-amz-date") == 0;
		if ((r = buf_printf(b, "%s:", p)) < 0 || (r = put_value(b, v)) < 0 ||
		    (r = buf_put(b, "\n", 1)) < 0)
			return r;
	}
	return host && date ? 0 : ST_EINVAL;
}

static void body_hash(char out[HEX_LEN + 1], const struct sigv4_request *req)
{
	uint8_t h[CODEC_SHA256_LEN];

	codec_sha256(h, req->body, req->body_len);
	codec_hex(out, h, sizeof(h));
}

/* SHA-256 in hex of the canonical request. Return: 0 or as put_headers() */
static int canonical_hash(char out[HEX_LEN + 1], const struct sigv4_request *req,
			  const char *signed_headers)
{
	char hash[HEX_LEN + 1];
	uint8_t h[CODEC_SHA256_LEN];
	struct buf b;
	int r;

	body_hash(hash, req);
	buf_init(&b, CANONICAL_MAX);
	if ((r = buf_printf(&b, "%s\n", req->method)) == 0 && (r = put_path(&b, req->path)) == 0 &&
	    (r = buf_put(&b, "\n", 1)) == 0 && (r = put_query(&b, req->query)) == 0 &&
	    (r = buf_put(&b, "\n", 1)) == 0 && (r = put_headers(&b, signed_headers, req)) == 0 &&
	    (r = buf_printf(&b, "\n%s\n%s", signed_headers, hash)) == 0) {
		codec_sha256(h, buf_data(&b), b.len);
		codec_hex(out, h, sizeof(h));
	}
	buf_fini(&b);
	return r;
}

static void hmac(uint8_t out[CODEC_SHA256_LEN], const void *key, size_t key_len, const char *text)
{
	if (!HMAC(EVP_sha256(), key, (int)key_len, (const unsigned char *)text, strlen(text), out,
		  NULL))
		ST_BUG("HMAC-SHA256 is not available");
}

static void sign(char out[HEX_LEN + 1], const char *secret, const struct credential *c,
		 const char *amz_date, const char *canonical)
{
	char seed[SIGV4_SECRET_MAX + 8], text[512];
	uint8_t k[CODEC_SHA256_LEN];

	snprintf(seed, sizeof(seed), "AWS4%s", secret);
	hmac(k, seed, strlen(seed), c->date);
	hmac(k, k, sizeof(k), c->region);
	hmac(k, k, sizeof(k), c->service);
	hmac(k, k, sizeof(k), "aws4_request");
	snprintf(text, sizeof(text), ALGORITHM "\n%s\n%s/%s/%s/aws4_request\n%s", amz_date, c->date,
		 c->region, c->service, canonical);
	hmac(k, k, sizeof(k), text);
	codec_hex(out, k, sizeof(k));
	codec_wipe(seed, sizeof(seed));
	codec_wipe(k, sizeof(k));
}

/* X-Amz-Content-Sha256, where it is sent, must be the body's own hash. */
static bool content_hash_agrees(const struct sigv4_request *req)
{
	const char *claimed = req->header(req->arg, "x-amz-content-sha256");
	char hash[HEX_LEN + 1];

	if (!claimed)
		return true;
	body_hash(hash, req);
	return strlen(claimed) == HEX_LEN && codec_equal(claimed, hash, HEX_LEN);
}

static int check_signature(struct sigv4_result *out, const struct credential *c,
			   const struct sigv4_request *req, sigv4_secret_fn *secret,
			   void *secret_arg, const char *amz_date)
{
	char key[SIGV4_SECRET_MAX + 1] = "", canonical[HEX_LEN + 1], want[HEX_LEN + 1];
	const char *session = req->header(req->arg, "x-amz-security-token");
	bool known, good;
	int r;

	r = canonical_hash(canonical, req, c->signed_headers);
	if (r == ST_EINVAL)
		return deny_incomplete(out, "'Host' and 'X-Amz-Date' must be signed headers, and "
					    "SignedHeaders must be sorted.");
	if (r < 0)
		return deny(out, "InvalidSignatureException", denied_signature);
	known = secret(secret_arg, c->access_key, key);
	sign(want, known ? key : "no such key", c, amz_date, canonical);
	codec_wipe(key, sizeof(key));
	good = strlen(c->signature) == HEX_LEN && codec_equal(want, c->signature, HEX_LEN);
	if (!known || (session && *session)) /* our keys are never temporary ones */
		return deny(out, "UnrecognizedClientException", denied_token);
	if (!good || !content_hash_agrees(req))
		return deny(out, "InvalidSignatureException", denied_signature);
	return 0;
}

int sigv4_verify(struct sigv4_result *out, const struct sigv4_request *req, sigv4_secret_fn *secret,
		 void *secret_arg, int64_t unix_s)
{
	const char *auth = req->header(req->arg, "authorization");
	const char *amz_date = req->header(req->arg, "x-amz-date");
	struct credential c;
	int64_t at = amz_date_parse(amz_date);
	int r;

	memset(out, 0, sizeof(*out));
	if (!auth || !*auth)
		return deny(out, "MissingAuthenticationTokenException",
			    "Missing Authentication Token");
	if (strncmp(auth, ALGORITHM " ", strlen(ALGORITHM) + 1) != 0)
		return deny_incomplete(out, "Authorization header must begin with " ALGORITHM ".");
	if (!authorization_parse(&c, auth))
		return deny_incomplete(out, "Authorization header requires 'Credential', "
					    "'SignedHeaders' and 'Signature' parameters.");
	if (at < 0)
		return deny_incomplete(out, "Date must be in ISO-8601 'basic format' in an "
					    "'X-Amz-Date' header.");
	if (strncmp(c.date, amz_date, 8) != 0)
		return deny(
			out, "InvalidSignatureException",
			"Date in Credential scope does not match YYYYMMDD from ISO-8601 version "
			"of date from HTTP.");
	if (at - unix_s > SIGV4_SKEW_S || unix_s - at > SIGV4_SKEW_S)
		return deny(out, "InvalidSignatureException", denied_date);
	if ((r = check_signature(out, &c, req, secret, secret_arg, amz_date)) < 0)
		return r;
	text_copy(out->access_key, sizeof(out->access_key), c.access_key);
	text_copy(out->region, sizeof(out->region), c.region);
	text_copy(out->service, sizeof(out->service), c.service);
	return 0;
}
