// SPDX-License-Identifier: MIT
/* codec.h - base64, hex, UUIDs, SHA-256, HMAC and random bytes, by OpenSSL */
#ifndef BASE_CODEC_H
#define BASE_CODEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define CODEC_SHA256_LEN 32U
#define CODEC_SHA1_LEN 20U
#define CODEC_UUID_LEN 16U
#define CODEC_UUID_STR 37U /* 36 and NUL */
#define CODEC_B64_LEN(n)                                                                           \
	(((n) + 2U) / 3U * 4U + 1U) /* bytes of the text of @n bytes, NUL included */

/** codec_b64_encode() - padded standard base64 of @len bytes to @out (CODEC_B64_LEN(@len)); returns the length */
size_t codec_b64_encode(char *out, const void *p, size_t len);
/** codec_b64_decode() - strict: padded, no white space, no stray bits. Return: bytes written; ST_EFORMAT; ST_EFULL beyond @cap */
ssize_t codec_b64_decode(uint8_t *out, size_t cap, const char *s, size_t len);
/** codec_b64url_encode() - unpadded base64url; @out as codec_b64_encode() */
size_t codec_b64url_encode(char *out, const void *p, size_t len);
/** codec_hex() - lower-case hex to @out (2 * @len + 1) */
void codec_hex(char *out, const void *p, size_t len);
/** codec_unhex() - Return: bytes written; ST_EFORMAT; ST_EFULL */
ssize_t codec_unhex(uint8_t *out, size_t cap, const char *s, size_t len);

/** codec_sha256() - about 0.6 µs for 1 KiB; from one thread of a process only (it keeps its OpenSSL context) */
void codec_sha256(uint8_t out[CODEC_SHA256_LEN], const void *p, size_t len);
/** codec_sha1() - for names of cache files that others compute too; protects nothing */
void codec_sha1(uint8_t out[CODEC_SHA1_LEN], const void *p, size_t len);
/** codec_hmac_sha256() - HMAC of @len bytes at @p; @out may be @key */
void codec_hmac_sha256(uint8_t out[CODEC_SHA256_LEN], const void *key, size_t key_len,
		       const void *p, size_t len);
/** codec_equal() - comparison in constant time */
bool codec_equal(const void *a, const void *b, size_t len);

/** codec_random() - cryptographic random bytes; aborts if the system has none (it always has) */
void codec_random(void *out, size_t len);
void codec_uuid4(uint8_t out[CODEC_UUID_LEN]);
/** codec_uuid_str() - "00112233-4455-4677-8899-aabbccddeeff" */
void codec_uuid_str(char out[CODEC_UUID_STR], const uint8_t uuid[CODEC_UUID_LEN]);

/** codec_wipe() - zeroes memory that held a secret, not optimised away */
void codec_wipe(void *p, size_t len);

#endif
