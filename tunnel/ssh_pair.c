// SPDX-License-Identifier: MIT
/*
 * ssh_pair.c - see ssh_pair.h
 *
 * Source: OpenSSH's PROTOCOL.key: "openssh-key-v1\0", cipher, kdf, kdf options, number of keys, public key, and a section of
 * two equal check numbers, the key (type, public, private ‖ public), comment and padding 1, 2, 3, … to a multiple of 8.
 * RFC 8709, 4 for the public key.
 */
#include "tunnel/ssh_pair.h"

#include <stdio.h>
#include <string.h>

#include <openssl/evp.h>

#include "base/buf.h"
#include "base/codec.h"
#include "base/err.h"
#include "base/log.h"
#include "base/util.h"

#define RAW 32U	       /* of either half; RFC 8032 */
#define LINE_BYTES 48U /* 64 characters of base64 a line */
#define HEAD "-----BEGIN OPENSSH PRIVATE KEY-----\n"
#define TAIL "-----END OPENSSH PRIVATE KEY-----\n"

/* Writes ahead in the scratch. */
struct out {
	uint8_t *p;
	size_t len, cap;
};

static void put(struct out *o, const void *p, size_t len)
{
	ST_ASSERT(len <= o->cap - o->len);
	memcpy(o->p + o->len, p, len);
	o->len += len;
}

static void put_u32(struct out *o, size_t v)
{
	uint8_t b[4];

	be32_put(b, (uint32_t)v);
	put(o, b, sizeof(b));
}

static void put_string(struct out *o, const void *p, size_t len)
{
	put_u32(o, len);
	put(o, p, len);
}

static int raw_make(uint8_t secret[RAW], uint8_t public[RAW])
{
	EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	size_t secret_len = RAW, public_len = RAW;
	const bool ok = key != NULL &&
			EVP_PKEY_get_raw_private_key(key, secret, &secret_len) == 1 &&
			EVP_PKEY_get_raw_public_key(key, public, &public_len) == 1;

	EVP_PKEY_free(key);
	return ok && secret_len == RAW && public_len == RAW ? 0 : ST_ESYS;
}

static void blob_make(uint8_t blob[SSH_PAIR_BLOB], const uint8_t public[RAW])
{
	struct out o = { blob, 0, SSH_PAIR_BLOB };

	put_string(&o, "ssh-ed25519", 11);
	put_string(&o, public, RAW);
}

static void key_put(struct out *o, const uint8_t blob[SSH_PAIR_BLOB], const uint8_t secret[RAW])
{
	const uint8_t *public = blob + SSH_PAIR_BLOB - RAW;
	size_t at, section;
	uint8_t check[4];

	put(o, "openssh-key-v1", 15);
	put_string(o, "none", 4);
	put_string(o, "none", 4);
	put_string(o, "", 0);
	put_u32(o, 1);
	put_string(o, blob, SSH_PAIR_BLOB);
	at = o->len;
	put_u32(o, 0);
	section = o->len;
	codec_random(check, sizeof(check));
	put(o, check, sizeof(check));
	put(o, check, sizeof(check));
	put(o, blob, SSH_PAIR_BLOB);
	put_u32(o, (size_t)2 * RAW);
	put(o, secret, RAW);
	put(o, public, RAW);
	put_string(o, "ssm-tun", 7);
	for (uint8_t pad = 1; (o->len - section) % 8 != 0; pad++)
		put(o, &pad, 1);
	be32_put(o->p + at, (uint32_t)(o->len - section));
}

static ssize_t armour(char *text, size_t cap, const uint8_t *p, size_t len)
{
	const size_t lines = (len + LINE_BYTES - 1) / LINE_BYTES;
	size_t at = strlen(HEAD), n;

	if (strlen(HEAD) + CODEC_B64_LEN(len) + lines + strlen(TAIL) + 1 > cap)
		return ST_EFULL;
	strcpy(text, HEAD);
	for (; len > 0; p += n, len -= n) {
		n = MIN(len, LINE_BYTES);
		at += codec_b64_encode(text + at, p, n);
		text[at++] = '\n';
	}
	strcpy(text + at, TAIL);
	return (ssize_t)(at + strlen(TAIL));
}

ssize_t ssh_pair_make(char *text, size_t cap, uint8_t blob[SSH_PAIR_BLOB], uint8_t *scratch,
		      size_t scratch_len)
{
	struct out o = { scratch + RAW, 0, scratch_len - RAW };
	uint8_t public[RAW];

	if (scratch_len < 512)
		return ST_EFULL;
	if (raw_make(scratch, public) < 0) {
		log_error("ssh key: OpenSSL can't make an Ed25519 key");
		return ST_ESYS;
	}
	blob_make(blob, public);
	key_put(&o, blob, scratch);
	return armour(text, cap, o.p, o.len);
}
