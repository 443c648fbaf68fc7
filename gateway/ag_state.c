// SPDX-License-Identifier: MIT
/*
 * ag_state.c - the agent's key and tokens on disk
 *
 * agent.key holds the Ed25519 seed in base64, written once, 0600; agent.json uid and bootstrap token,
 * replaced atomically. Both are read again at each start: a registered agent stays who it is.
 */
#include "gateway/ag_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "base/err.h"
#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "gateway/gw_envelope.h"
#include "gateway/gw_init.h"

#define KEY_FILE "agent.key"
#define STATE_FILE "agent.json"
#define FILE_BYTES_MAX 4096U

static EVP_PKEY *key_of(const struct ag_identity *id)
{
	EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, id->seed,
						     sizeof(id->seed));

	if (!key)
		ST_BUG("Ed25519 is not available");
	return key;
}

void ag_sign(const struct ag_identity *id, const void *text, size_t len, uint8_t sig[64])
{
	EVP_PKEY *key = key_of(id);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	size_t sig_len = 64;

	if (!ctx || EVP_DigestSignInit(ctx, NULL, NULL, NULL, key) != 1 ||
	    EVP_DigestSign(ctx, sig, &sig_len, text, len) != 1)
		ST_BUG("Ed25519 signing failed");
	EVP_MD_CTX_free(ctx);
	EVP_PKEY_free(key);
}

static int key_write(struct ag_identity *id, const char *path)
{
	char b64[CODEC_B64_LEN(sizeof(id->seed)) + 1];
	size_t n;
	int r;

	codec_random(id->seed, sizeof(id->seed));
	n = codec_b64_encode(b64, id->seed, sizeof(id->seed));
	b64[n++] = '\n';
	r = file_write_atomic(path, b64, n, 0600);
	codec_wipe(b64, sizeof(b64));
	return r;
}

static int key_load(struct ag_identity *id, const char *path)
{
	size_t len = sizeof(id->pubkey);
	struct buf b;
	EVP_PKEY *key;
	int r;

	buf_init(&b, FILE_BYTES_MAX);
	r = file_read(&b, path);
	if (r == ST_ENOENT) {
		r = key_write(id, path);
	} else if (r == 0) {
		size_t n = b.len && buf_data(&b)[b.len - 1] == '\n' ? b.len - 1 : b.len;

		if (codec_b64_decode(id->seed, sizeof(id->seed), (const char *)buf_data(&b), n) !=
		    (ssize_t)sizeof(id->seed))
			r = ST_EFORMAT;
	}
	buf_wipe(&b);
	if (r < 0) {
		log_error("agent key %s: %s", text_safe(path).s, st_strerror(r));
		return r;
	}
	key = key_of(id);
	EVP_PKEY_get_raw_public_key(key, id->pubkey, &len);
	EVP_PKEY_free(key);
	return 0;
}

/* A state file that cannot be read is no reason to fail: we register again with the same key. */
static void state_read(struct ag_identity *id, const char *path)
{
	const char *uid, *token;
	struct buf b;
	json_t *o = NULL;

	buf_init(&b, FILE_BYTES_MAX);
	if (file_read(&b, path) == 0 && b.len)
		o = json_loadb((const char *)buf_data(&b), b.len, 0, NULL);
	uid = json_str(o, "agent_uid");
	token = json_str(o, "bootstrap_token");
	if (uid && token && strlen(uid) < sizeof(id->uid) && strlen(token) < sizeof(id->token)) {
		text_copy(id->uid, sizeof(id->uid), uid);
		text_copy(id->token, sizeof(id->token), token);
	}
	json_decref(o);
	buf_wipe(&b);
}

int ag_state_load(struct ag_identity *id, const char *dir)
{
	char key[4096], state[4096];
	int r;

	*id = (struct ag_identity){ 0 };
	if ((r = file_mkdirs(dir, 0700)) < 0 ||
	    (r = gw_path(key, sizeof(key), dir, KEY_FILE)) < 0 ||
	    (r = gw_path(state, sizeof(state), dir, STATE_FILE)) < 0 || (r = key_load(id, key)) < 0)
		return r;
	state_read(id, state);
	return 0;
}

int ag_state_save(const struct ag_identity *id, const char *dir)
{
	json_t *o = json_pack("{s:s, s:s}", "agent_uid", id->uid, "bootstrap_token", id->token);
	char *text = o ? json_dumps(o, JSON_INDENT(2)) : NULL, path[4096];
	int r = ST_ENOMEM;

	if (text && (r = gw_path(path, sizeof(path), dir, STATE_FILE)) == 0)
		r = file_write_atomic(path, text, strlen(text), 0600);
	if (text)
		codec_wipe(text, strlen(text));
	free(text);
	json_decref(o);
	return r;
}
