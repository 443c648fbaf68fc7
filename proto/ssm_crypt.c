// SPDX-License-Identifier: MIT
/*
 * ssm_crypt.c - AES-256-GCM by OpenSSL
 *
 * Theory of operation: one cipher context a direction, keyed once; a message sets only its nonce. The contexts are the
 * only place that holds a key.
 */
#include "proto/ssm_crypt.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "base/err.h"
#include "base/util.h"

#define KEY_LEN (SSM_DATA_KEY_LEN / 2U)

struct ssm_crypt {
	EVP_CIPHER_CTX *seal, *open;
};

int ssm_crypt_new(struct ssm_crypt **out, bool is_client, const uint8_t key[SSM_DATA_KEY_LEN])
{
	const uint8_t *down = key, *up = key + KEY_LEN;
	struct ssm_crypt *k = calloc(1, sizeof(*k));

	if (!k)
		return ST_ENOMEM;
	k->seal = EVP_CIPHER_CTX_new();
	k->open = EVP_CIPHER_CTX_new();
	if (!k->seal || !k->open ||
	    EVP_EncryptInit_ex(k->seal, EVP_aes_256_gcm(), NULL, is_client ? up : down, NULL) !=
		    1 ||
	    EVP_DecryptInit_ex(k->open, EVP_aes_256_gcm(), NULL, is_client ? down : up, NULL) !=
		    1) {
		ssm_crypt_free(k);
		return ST_ENOMEM;
	}
	*out = k;
	return 0;
}

/* EVP_CIPHER_CTX_free() wipes what it frees. */
void ssm_crypt_free(struct ssm_crypt *k)
{
	if (!k)
		return;
	EVP_CIPHER_CTX_free(k->seal);
	EVP_CIPHER_CTX_free(k->open);
	free(k);
}

void ssm_crypt_seal(struct ssm_crypt *k, uint8_t *buf, size_t len,
		    const uint8_t nonce[SSM_NONCE_LEN])
{
	uint8_t *text = buf + SSM_NONCE_LEN;
	int n = 0, tail = 0;

	memcpy(buf, nonce, SSM_NONCE_LEN);
	if (EVP_EncryptInit_ex(k->seal, NULL, NULL, NULL, nonce) != 1 ||
	    EVP_EncryptUpdate(k->seal, text, &n, text, (int)len) != 1 ||
	    EVP_EncryptFinal_ex(k->seal, text + n, &tail) != 1 ||
	    EVP_CIPHER_CTX_ctrl(k->seal, EVP_CTRL_GCM_GET_TAG, SSM_TAG_LEN, text + len) != 1)
		ST_BUG("a payload of %zu bytes can't be encrypted", len);
}

ssize_t ssm_crypt_open(struct ssm_crypt *k, uint8_t *out, const uint8_t *p, size_t len)
{
	uint8_t tag[SSM_TAG_LEN];
	size_t text_len;
	int n = 0, tail = 0;

	if (len < SSM_CRYPT_OVERHEAD)
		return ST_ESHORT;
	text_len = len - SSM_CRYPT_OVERHEAD;
	memcpy(tag, p + len - SSM_TAG_LEN, sizeof(tag));
	if (EVP_DecryptInit_ex(k->open, NULL, NULL, NULL, p) != 1 ||
	    EVP_DecryptUpdate(k->open, out, &n, p + SSM_NONCE_LEN, (int)text_len) != 1 ||
	    EVP_CIPHER_CTX_ctrl(k->open, EVP_CTRL_GCM_SET_TAG, SSM_TAG_LEN, tag) != 1 ||
	    EVP_DecryptFinal_ex(k->open, out + n, &tail) != 1)
		return ST_EPEER;
	return (ssize_t)text_len;
}
