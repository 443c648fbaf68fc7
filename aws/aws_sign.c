// SPDX-License-Identifier: MIT
/*
 * aws_sign.c - Signature Version 4
 *
 * Theory of operation: what a request consists of is written down in one agreed form, and the hash of that is signed with a key
 * made from secret, day, region and service. All headers that we give libcurl are signed; each name is there once. Path
 * and query come as they are sent: the path is encoded once more, the query is in order already (aws_proto.c). libcurl's
 * own signer (CURLOPT_AWS_SIGV4) is not used: that of 7.88 sends an X-Amz-Date that it is given twice, so that a wrong
 * clock can't be made up for, does not encode the path again, and leaves keys in memory.
 * Source: AWS IAM User Guide, "Create a signed AWS API request"; botocore auth.py SigV4Auth, utils.py normalize_url_path()
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "aws/aws_internal.h"
#include "base/codec.h"
#include "base/err.h"

#define FIELDS_MAX 24U	       /* ours: headers of one request */
#define CANONICAL_MAX KIB(128) /* ours: a token has at most some 20 KiB */
#define DAY_LEN 8U	       /* of "20150830T123600Z" */

/* One header, as it is signed: "name:value" */
struct field {
	char *text;
	size_t name_len;
};

struct fields {
	struct field of[FIELDS_MAX];
	size_t n;
};

static int by_name(const void *a, const void *b)
{
	const struct field *l = a, *r = b;
	int diff = memcmp(l->text, r->text, MIN(l->name_len, r->name_len));

	return diff ? diff : (l->name_len > r->name_len) - (l->name_len < r->name_len);
}

/* Lower-case name, value without blanks around it and with one for each run of them inside. */
static char *field_canonical(const char *line, size_t name_len)
{
	char *text = malloc(strlen(line) + 1), *to = text;
	const char *from = line + name_len + 1;

	for (size_t i = 0; text && i < name_len; i++)
		*to++ = (char)tolower((unsigned char)line[i]);
	if (!text)
		return NULL;
	*to++ = ':';
	while (*(from += strspn(from, " \t")) != '\0') {
		const size_t word = strcspn(from, " \t");

		if (to != text + name_len + 1)
			*to++ = ' ';
		memcpy(to, from, word);
		to += word;
		from += word;
	}
	*to = '\0';
	return text;
}

/* Return: 0; ST_ENOMEM; ST_EFULL */
static int fields_read(struct fields *f, const struct curl_slist *headers)
{
	for (; headers; headers = headers->next) {
		struct field *one = &f->of[f->n];

		if (f->n == FIELDS_MAX)
			return ST_EFULL;
		one->name_len = strcspn(headers->data, ":");
		if (!(one->text = field_canonical(headers->data, one->name_len)))
			return ST_ENOMEM;
		f->n++;
	}
	qsort(f->of, f->n, sizeof(f->of[0]), by_name);
	return 0;
}

static void fields_fini(struct fields *f)
{
	while (f->n > 0)
		aws_secret_free(f->of[--f->n].text);
}

static int put_names(struct buf *b, const struct fields *f)
{
	int err = 0;

	for (size_t i = 0; !err && i < f->n; i++)
		err = buf_printf(b, "%s%.*s", i ? ";" : "", (int)f->of[i].name_len, f->of[i].text);
	return err;
}

static int put_hash(struct buf *b, const void *p, size_t len)
{
	uint8_t hash[CODEC_SHA256_LEN];
	char text[2 * CODEC_SHA256_LEN + 1];

	codec_sha256(hash, p, len);
	codec_hex(text, hash, sizeof(hash));
	return buf_put(b, text, 2 * sizeof(hash));
}

/* Path and query of an absolute URL, each on its line. Slashes in a row are one. */
static int put_target(struct buf *b, const char *url)
{
	const char *at = strstr(url, "://");
	const char *path = at ? at + 3 + strcspn(at + 3, "/?") : "";
	const size_t len = strcspn(path, "?");
	int err = *path == '/' ? 0 : buf_put(b, "/", 1);

	for (size_t i = 0; !err && i < len; i++)
		if (path[i] != '/' || i == 0 || path[i - 1] != '/')
			err = aws_encode_put(b, path + i, 1, "/");
	return err ? err : buf_printf(b, "\n%s\n", path[len] ? path + len + 1 : "");
}

static int put_canonical(struct buf *b, const struct aws_to_sign *s, const struct fields *f)
{
	int err = buf_printf(b, "%s\n", s->method);

	if (!err)
		err = put_target(b, s->url);
	for (size_t i = 0; !err && i < f->n; i++)
		err = buf_printf(b, "%s\n", f->of[i].text);
	if (!err)
		err = buf_put(b, "\n", 1);
	if (!err)
		err = put_names(b, f);
	if (!err)
		err = buf_put(b, "\n", 1);
	return err ? err : put_hash(b, s->body, s->body_len);
}

static void key_make(uint8_t key[CODEC_SHA256_LEN], const char *secret, const struct aws_to_sign *s)
{
	codec_hmac_sha256(key, secret, strlen(secret), s->date, DAY_LEN);
	codec_hmac_sha256(key, key, CODEC_SHA256_LEN, s->region, strlen(s->region));
	codec_hmac_sha256(key, key, CODEC_SHA256_LEN, s->service, strlen(s->service));
	codec_hmac_sha256(key, key, CODEC_SHA256_LEN, "aws4_request", 12);
}

/* Hex of the signature over what the canonical form @c says. */
static int signature_make(char out[2 * CODEC_SHA256_LEN + 1], const struct aws_to_sign *s,
			  const struct buf *c)
{
	uint8_t key[CODEC_SHA256_LEN];
	struct buf b;
	char *secret;
	int err;

	if (asprintf(&secret, "AWS4%s", s->creds->secret_key) < 0)
		return ST_ENOMEM;
	key_make(key, secret, s);
	aws_secret_free(secret);
	buf_init(&b, KIB(1));
	err = buf_printf(&b, "AWS4-HMAC-SHA256\n%s\n%.*s/%s/%s/aws4_request\n", s->date,
			 (int)DAY_LEN, s->date, s->region, s->service);
	if (!err)
		err = put_hash(&b, buf_data(c), c->len);
	if (!err)
		codec_hmac_sha256(key, key, sizeof(key), buf_data(&b), b.len);
	codec_hex(out, key, sizeof(key));
	codec_wipe(key, sizeof(key));
	buf_fini(&b);
	return err;
}

static int put_authorization(struct buf *out, const struct aws_to_sign *s, const struct fields *f)
{
	char signature[2 * CODEC_SHA256_LEN + 1];
	struct buf canonical;
	int err;

	buf_init_secret(&canonical, CANONICAL_MAX);
	if (!(err = put_canonical(&canonical, s, f)))
		err = signature_make(signature, s, &canonical);
	buf_wipe(&canonical);
	if (!err)
		err = buf_printf(out,
				 "AWS4-HMAC-SHA256 Credential=%s/%.*s/%s/%s/aws4_request, "
				 "SignedHeaders=",
				 s->creds->access_key, (int)DAY_LEN, s->date, s->region,
				 s->service);
	if (!err)
		err = put_names(out, f);
	return err ? err : buf_printf(out, ", Signature=%s", signature);
}

int aws_sign(struct buf *out, const struct aws_to_sign *s)
{
	struct fields f = { 0 };
	int err = fields_read(&f, s->headers);

	if (!err)
		err = put_authorization(out, s, &f);
	fields_fini(&f);
	return err;
}
