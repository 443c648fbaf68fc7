// SPDX-License-Identifier: MIT
/*
 * ssm_crypt.h - encryption of payloads in a session with a KMS key
 *
 * AES-256-GCM without additional data; a payload becomes nonce (12 bytes), ciphertext, tag (16 bytes). The data key of
 * 64 bytes holds the key of each direction: 0 to 31 agent to client, 32 to 63 client to agent. ssm-protocol, 5.5.
 */
#ifndef PROTO_SSM_CRYPT_H
#define PROTO_SSM_CRYPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define SSM_DATA_KEY_LEN 64U /* bytes that KMS is asked for */
#define SSM_NONCE_LEN 12U
#define SSM_TAG_LEN 16U
#define SSM_CRYPT_OVERHEAD (SSM_NONCE_LEN + SSM_TAG_LEN)

struct ssm_crypt;

/** ssm_crypt_new() - @key is copied; @is_client: whose end this is. Return: 0; ST_ENOMEM */
int ssm_crypt_new(struct ssm_crypt **out, bool is_client, const uint8_t key[SSM_DATA_KEY_LEN]);
void ssm_crypt_free(struct ssm_crypt *k); /* the keys are wiped; NULL is fine */

/**
 * ssm_crypt_seal() - encrypt in place what this end sends
 * @buf: SSM_NONCE_LEN bytes of room, @len bytes of text, SSM_TAG_LEN bytes of room
 * @nonce: never to be used twice with a key: random
 */
void ssm_crypt_seal(struct ssm_crypt *k, uint8_t *buf, size_t len,
		    const uint8_t nonce[SSM_NONCE_LEN]);
/**
 * ssm_crypt_open() - decrypt what the other end sent
 * @out: room for @len - SSM_CRYPT_OVERHEAD bytes, may be @p + SSM_NONCE_LEN
 * Return: bytes of text; ST_ESHORT if @len is below SSM_CRYPT_OVERHEAD; ST_EPEER if it is not authentic: another
 * key, or changed on its way
 */
ssize_t ssm_crypt_open(struct ssm_crypt *k, uint8_t *out, const uint8_t *p, size_t len);

#endif
