// SPDX-License-Identifier: MIT
/* codec.c - base64, hex, UUIDs, SHA-256, HMAC and random bytes, by OpenSSL */
#include "base/codec.h"

#include <limits.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

#include "base/err.h"
#include "base/util.h"

/* EVP's base64 counts in int; a multiple of 3, so that only the last piece is padded */
#define B64_PIECE ((size_t)3 << 20)

size_t codec_b64_encode(char *out, const void *p, size_t len)
{
	const uint8_t *src = p;
	size_t n = 0;

	out[0] = '\0';
	while (len > 0) {
		size_t piece = MIN(len, B64_PIECE);

		n += (size_t)EVP_EncodeBlock((uint8_t *)out + n, src, (int)piece);
		src += piece;
		len -= piece;
	}
	return n;
}

/* @s: four characters, the last @pad of them '='; refuses bits that encode nothing (RFC 4648, 3.5) */
static int b64_decode_last(uint8_t out[3], const char *s, size_t pad)
{
	uint8_t again[5];

	if (EVP_DecodeBlock(out, (const uint8_t *)s, 4) != 3)
		return ST_EFORMAT;
	EVP_EncodeBlock(again, out, (int)(3 - pad));
	return memcmp(again, s, 4) == 0 ? 0 : ST_EFORMAT;
}

ssize_t codec_b64_decode(uint8_t *out, size_t cap, const char *s, size_t len)
{
	size_t pad, body, n = 0;
	uint8_t last[3];

	if (len == 0)
		return 0;
	if (len % 4 != 0)
		return ST_EFORMAT;
	pad = s[len - 1] != '=' ? 0 : s[len - 2] != '=' ? 1 : 2;
	/* EVP reads '=' as a zero anywhere, and trims white space: the counts below find that. */
	if (memchr(s, '=', len - pad))
		return ST_EFORMAT;
	if (len / 4 * 3 - pad > cap)
		return ST_EFULL;
	for (body = len - 4; body > 0;) {
		size_t piece = MIN(body, B64_PIECE / 3 * 4);

		if (EVP_DecodeBlock(out + n, (const uint8_t *)s, (int)piece) !=
		    (int)(piece / 4 * 3))
			return ST_EFORMAT;
		n += piece / 4 * 3;
		s += piece;
		body -= piece;
	}
	if (b64_decode_last(last, s, pad) < 0)
		return ST_EFORMAT;
	memcpy(out + n, last, 3 - pad);
	return (ssize_t)(n + 3 - pad);
}

size_t codec_b64url_encode(char *out, const void *p, size_t len)
{
	size_t n = codec_b64_encode(out, p, len);

	while (n > 0 && out[n - 1] == '=')
		out[--n] = '\0';
	for (char *c = out; *c; c++)
		*c = *c == '+' ? '-' : *c == '/' ? '_' : *c;
	return n;
}

void codec_hex(char *out, const void *p, size_t len)
{
	static const char digits[] = "0123456789abcdef";
	const uint8_t *src = p;

	for (size_t i = 0; i < len; i++) {
		*out++ = digits[src[i] >> 4];
		*out++ = digits[src[i] & 0x0f];
	}
	*out = '\0';
}

ssize_t codec_unhex(uint8_t *out, size_t cap, const char *s, size_t len)
{
	if (len % 2 != 0)
		return ST_EFORMAT;
	if (len / 2 > cap)
		return ST_EFULL;
	for (size_t i = 0; i < len / 2; i++) {
		int high = OPENSSL_hexchar2int((unsigned char)s[2 * i]);
		int low = OPENSSL_hexchar2int((unsigned char)s[2 * i + 1]);

		if (high < 0 || low < 0)
			return ST_EFORMAT;
		out[i] = (uint8_t)(high << 4 | low);
	}
	return (ssize_t)(len / 2);
}

void codec_sha256(uint8_t out[CODEC_SHA256_LEN], const void *p, size_t len)
{
	/* Kept for the life of the process: fetching and allocating cost more than 1 KiB of hashing. */
	static EVP_MD *md;
	static EVP_MD_CTX *ctx;

	if (!md) {
		md = EVP_MD_fetch(NULL, "SHA256", NULL);
		ctx = EVP_MD_CTX_new();
	}
	if (!md || !ctx || !EVP_DigestInit_ex2(ctx, md, NULL) || !EVP_DigestUpdate(ctx, p, len) ||
	    !EVP_DigestFinal_ex(ctx, out, NULL))
		ST_BUG("OpenSSL has no SHA-256");
}

void codec_sha1(uint8_t out[CODEC_SHA1_LEN], const void *p, size_t len)
{
	if (EVP_Digest(p, len, out, NULL, EVP_sha1(), NULL) != 1)
		ST_BUG("OpenSSL has no SHA-1");
}

void codec_hmac_sha256(uint8_t out[CODEC_SHA256_LEN], const void *key, size_t key_len,
		       const void *p, size_t len)
{
	uint8_t sum[CODEC_SHA256_LEN];
	unsigned n = sizeof(sum);

	ST_ASSERT(key_len <= INT_MAX);
	if (!HMAC(EVP_sha256(), key, (int)key_len, p, len, sum, &n))
		ST_BUG("OpenSSL has no HMAC");
	memcpy(out, sum, sizeof(sum));
	codec_wipe(sum, sizeof(sum));
}

bool codec_equal(const void *a, const void *b, size_t len)
{
	return CRYPTO_memcmp(a, b, len) == 0;
}

void codec_random(void *out, size_t len)
{
	uint8_t *to = out;

	while (len > 0) {
		size_t piece = MIN(len, (size_t)INT_MAX);

		if (RAND_bytes(to, (int)piece) != 1)
			ST_BUG("no random bytes");
		to += piece;
		len -= piece;
	}
}

void codec_uuid4(uint8_t out[CODEC_UUID_LEN])
{
	codec_random(out, CODEC_UUID_LEN);
	out[6] = (uint8_t)((out[6] & 0x0f) | 0x40); /* version 4; RFC 9562, 5.4 */
	out[8] = (uint8_t)((out[8] & 0x3f) | 0x80);
}

void codec_uuid_str(char out[CODEC_UUID_STR], const uint8_t uuid[CODEC_UUID_LEN])
{
	static const size_t group_len[] = { 4, 2, 2, 2, 6 };

	for (size_t i = 0; i < ARRAY_LEN(group_len); i++) {
		codec_hex(out, uuid, group_len[i]);
		uuid += group_len[i];
		out += 2U * group_len[i];
		*out++ = '-';
	}
	out[-1] = '\0';
}

void codec_wipe(void *p, size_t len)
{
	OPENSSL_cleanse(p, len);
}
