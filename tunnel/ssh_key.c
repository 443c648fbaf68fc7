// SPDX-License-Identifier: MIT
/*
 * ssh_key.c - the user's private key file, checked when the program starts
 *
 * Theory of operation: the file's text (decrypted) lives in one locked mapping that no core dump holds and that is
 * wiped at the end; libssh2 reads the key from there at every log-in. The public half is taken out at once: it proves
 * that file and passphrase are good, and the agent is asked for it first (design, decision 16). An encrypted file whose
 * key an agent holds needs no passphrase.
 */
#include "tunnel/ssh_key.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/buf.h"
#include "base/codec.h"
#include "base/err.h"
#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "tunnel/ssh_agent.h"
#include "tunnel/ssh_open.h"
#include "tunnel/ssh_pair.h"
#include "tunnel/ssh_wire.h"

#define KEY_FILE_MAX KIB(48) /* ours: an RSA-16384 key is 13 KB */
#define PASSPHRASE_MAX 1024U
#define PASSPHRASE_TRIES 3

/* The locked mapping. */
struct secrets {
	char text[KEY_FILE_MAX + 1];
	char passphrase[PASSPHRASE_MAX];
};

struct tnl_key {
	char *path;
	uint8_t *blob;
	size_t blob_len;
	struct secrets *secret;
	size_t text_len;
	bool encrypted;
	bool unlocked; /* the private half can be used */
};

static struct secrets *secrets_new(void)
{
	void *p = mmap(NULL, sizeof(struct secrets), PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return NULL;
	/* RLIMIT_MEMLOCK may be 0: the key then can reach swap, which is no reason to refuse */
	if (mlock(p, sizeof(struct secrets)) < 0)
		log_debug("ssh key: memory can't be locked");
	madvise(p, sizeof(struct secrets), MADV_DONTDUMP);
	return p;
}

static void secrets_free(struct secrets *s)
{
	if (s == NULL)
		return;
	codec_wipe(s, sizeof(*s));
	munmap(s, sizeof(*s));
}

void tnl_key_free(struct tnl_key *k)
{
	if (k == NULL)
		return;
	secrets_free(k->secret);
	free(k->blob);
	free(k->path);
	free(k);
}

const char *ssh_key_path(const struct tnl_key *k)
{
	return k->path;
}

const uint8_t *ssh_key_blob(const struct tnl_key *k, size_t *len)
{
	*len = k->blob_len;
	return k->blob;
}

const char *ssh_key_private(const struct tnl_key *k, size_t *len)
{
	*len = k->text_len;
	return k->unlocked ? k->secret->text : NULL;
}

const char *ssh_key_passphrase(const struct tnl_key *k)
{
	return k->encrypted ? k->secret->passphrase : NULL;
}

const char *ssh_key_fingerprint(char out[SSH_KEY_PRINT], const uint8_t *blob, size_t len)
{
	uint8_t sha[CODEC_SHA256_LEN];
	char b64[CODEC_B64_LEN(CODEC_SHA256_LEN)];
	size_t n;

	codec_sha256(sha, blob, len);
	n = codec_b64_encode(b64, sha, sizeof(sha));
	while (n > 0 && b64[n - 1] == '=')
		b64[--n] = '\0';
	snprintf(out, SSH_KEY_PRINT, "SHA256:%s", b64);
	return out;
}

const char *ssh_key_print(char out[SSH_KEY_PRINT], const uint8_t *blob, size_t len)
{
	struct ssh_wire w = { blob, len };
	const uint8_t *type = (const uint8_t *)"?";
	size_t type_len = 1;
	char print[SSH_KEY_PRINT];

	if (!ssh_wire_string(&w, &type, &type_len)) {
		type = (const uint8_t *)"?";
		type_len = 1;
	}
	snprintf(out, SSH_KEY_PRINT, "%.48s %s", text_safe_n(type, type_len).s,
		 ssh_key_fingerprint(print, blob, len));
	return out;
}

/* ---- reading the file ---- */

/* The part of @text between the armour lines, its white space taken out, to @out. */
static ssize_t openssh_body(uint8_t *out, size_t cap, const char *text)
{
	static const char head[] = "-----BEGIN OPENSSH PRIVATE KEY-----";
	const char *p = strstr(text, head), *end;
	char *b64;
	size_t n = 0;
	ssize_t r;

	if (p == NULL)
		return ST_ENOENT;
	p += sizeof(head) - 1;
	end = strstr(p, "-----END");
	if (end == NULL)
		return ST_EFORMAT;
	b64 = malloc((size_t)(end - p) + 1);
	if (b64 == NULL)
		return ST_ENOMEM;
	for (; p < end; p++) {
		if (strchr(" \t\r\n", *p) == NULL)
			b64[n++] = *p;
	}
	r = codec_b64_decode(out, cap, b64, n);
	codec_wipe(b64, n);
	free(b64);
	return r;
}

/*
 * An OpenSSH file tells its cipher and public key in the clear: "openssh-key-v1\0", string cipher, string kdf,
 * string kdf options, u32 number of keys, string public key (OpenSSH's PROTOCOL.key).
 */
static int openssh_look(struct tnl_key *k)
{
	static const char magic[] = "openssh-key-v1"; /* with its NUL */
	uint8_t *raw = malloc(KEY_FILE_MAX);
	const uint8_t *cipher, *kdf, *opts, *blob;
	size_t cipher_len, kdf_len, opts_len, blob_len;
	struct ssh_wire w;
	uint32_t n;
	ssize_t len;
	int r = ST_EFORMAT;

	if (raw == NULL)
		return ST_ENOMEM;
	len = openssh_body(raw, KEY_FILE_MAX, k->secret->text);
	if (len < (ssize_t)sizeof(magic) || memcmp(raw, magic, sizeof(magic)) != 0) {
		r = len == ST_ENOENT ? ST_ENOENT : ST_EFORMAT;
		goto done;
	}
	w = (struct ssh_wire){ raw + sizeof(magic), (size_t)len - sizeof(magic) };
	if (!ssh_wire_string(&w, &cipher, &cipher_len) || !ssh_wire_string(&w, &kdf, &kdf_len) ||
	    !ssh_wire_string(&w, &opts, &opts_len) || !ssh_wire_u32(&w, &n) || n < 1 ||
	    !ssh_wire_string(&w, &blob, &blob_len) || blob_len == 0)
		goto done;
	k->encrypted = cipher_len != 4 || memcmp(cipher, "none", 4) != 0;
	k->blob = malloc(blob_len);
	if (k->blob != NULL) {
		memcpy(k->blob, blob, blob_len);
		k->blob_len = blob_len;
	}
	r = k->blob != NULL ? 0 : ST_ENOMEM;
done:
	codec_wipe(raw, KEY_FILE_MAX);
	free(raw);
	return r;
}

/* "PATH.pub", for an encrypted PEM file, which hides its public half. Failure is fine. */
static void pub_file_read(struct tnl_key *k)
{
	char path[4096], *b64, *end;
	struct buf text;
	uint8_t raw[KIB(8)];
	ssize_t n;

	buf_init(&text, KIB(16));
	if (snprintf(path, sizeof(path), "%s.pub", k->path) >= (int)sizeof(path) ||
	    file_read_follow(&text, path) < 0 || buf_put(&text, "", 1) < 0)
		goto done;
	b64 = strchr((char *)text.mem + text.head, ' ');
	if (b64 == NULL)
		goto done;
	end = b64 + 1 + strcspn(b64 + 1, " \r\n");
	n = codec_b64_decode(raw, sizeof(raw), b64 + 1, (size_t)(end - b64 - 1));
	if (n > 0 && (k->blob = malloc((size_t)n)) != NULL) {
		memcpy(k->blob, raw, (size_t)n);
		k->blob_len = (size_t)n;
	}
done:
	buf_fini(&text);
}

static int file_load(struct tnl_key *k, char *text, size_t cap)
{
	struct buf b;
	int r;

	buf_init(&b, KEY_FILE_MAX);
	r = file_read_follow(&b, k->path);
	if (r == ST_ENOENT)
		snprintf(text, cap, "ssh key %s: no such file", text_safe(k->path).s);
	else if (r == ST_EPERM)
		snprintf(text, cap, "ssh key %s: not readable by this user, or not a regular file",
			 text_safe(k->path).s);
	else if (r < 0)
		snprintf(text, cap, "ssh key %s: %s", text_safe(k->path).s, st_strerror(r));
	if (r == 0) {
		memcpy(k->secret->text, buf_data(&b), b.len);
		k->text_len = b.len;
	}
	buf_wipe(&b);
	return r;
}

/* What kind of file is it? Return: 0 for a private key; ST_EFORMAT with @text. */
static int kind_check(struct tnl_key *k, char *text, size_t cap)
{
	const char *t = k->secret->text;
	int r;

	if (strncmp(t, "PuTTY-User-Key-File", 19) == 0) {
		snprintf(text, cap,
			 "ssh key %s is in PuTTY's format: convert it with 'puttygen KEY -O "
			 "private-openssh'",
			 text_safe(k->path).s);
		return ST_EFORMAT;
	}
	if (strstr(t, "PRIVATE KEY-----") == NULL) {
		snprintf(text, cap, "ssh key %s is not a private key file%s", text_safe(k->path).s,
			 strncmp(t, "ssh-", 4) == 0 ? " but a public one: leave out '.pub'" : "");
		return ST_EFORMAT;
	}
	r = openssh_look(k);
	if (r != ST_ENOENT) {
		if (r < 0)
			snprintf(text, cap,
				 "ssh key %s is damaged: its OpenSSH header can't be read",
				 text_safe(k->path).s);
		return r;
	}
	/* "BEGIN ENCRYPTED PRIVATE KEY" or "Proc-Type: 4,ENCRYPTED" */
	k->encrypted = strstr(t, "ENCRYPTED") != NULL;
	if (k->encrypted)
		pub_file_read(k);
	return 0;
}

/* Puts the decrypted key in the place of the file's text; where that can't be, the passphrase stays. */
static void decrypt(struct tnl_key *k, LIBSSH2_SESSION *s)
{
	struct secrets *plain = secrets_new();
	ssize_t n;

	if (plain == NULL)
		return;
	n = ssh_open_plain_key(s, plain->text, sizeof(plain->text), k->secret->text, k->text_len,
			       k->secret->passphrase, k->blob, k->blob_len);
	if (n <= 0) {
		secrets_free(plain);
		return;
	}
	secrets_free(k->secret);
	k->secret = plain;
	k->text_len = (size_t)n;
	k->encrypted = false;
}

/* Reads the private half with the passphrase in place. Return: 0; ST_EAUTH; ST_EFORMAT */
static int unlock(struct tnl_key *k)
{
	LIBSSH2_SESSION *s = libssh2_session_init();
	uint8_t *blob = NULL;
	size_t len = 0;
	int r;

	if (s == NULL)
		return ST_ENOMEM;
	r = ssh_open_public_key(s, &blob, &len, k->secret->text, k->text_len,
				k->encrypted ? k->secret->passphrase : NULL);
	if (r == 0) {
		free(k->blob);
		k->blob = blob;
		k->blob_len = len;
		k->unlocked = true;
		if (k->encrypted)
			decrypt(k, s);
	}
	libssh2_session_free(s);
	if (r < 0) /* the PEM reader can't tell a wrong passphrase from a bad file */
		return k->encrypted ? ST_EAUTH : r;
	return 0;
}

/* Does an agent that this process can reach hold the key? Saves asking for a passphrase. */
static bool agent_has(const struct tnl_key *k)
{
	struct ssh_agent_key keys[SSH_AGENT_KEYS_MAX];
	struct buf req;
	uint8_t *answer;
	size_t len = 0;
	bool found = false;
	int n = 0;

	if (k->blob == NULL || getenv("SSH_AUTH_SOCK") == NULL)
		return false;
	buf_init(&req, 16);
	answer = malloc(SSH_AGENT_DATA_MAX);
	if (answer != NULL && ssh_agent_list_request(&req) == 0 &&
	    tnl_agent_job(buf_data(&req), req.len, answer, &len) == 0)
		n = ssh_agent_list_read(keys, ARRAY_LEN(keys), answer, len);
	for (int i = 0; i < n && !found; i++)
		found = keys[i].blob_len == k->blob_len &&
			memcmp(keys[i].blob, k->blob, k->blob_len) == 0;
	free(answer);
	buf_fini(&req);
	return found;
}

/* Return: 0 (unlocked, or left to the agent); ST_EAUTH or ST_ECANCELED with @text */
static int passphrase_ask(struct tnl_key *k, bool agent, tnl_ask_fn *ask, void *arg, char *text,
			  size_t cap)
{
	if (agent && agent_has(k))
		return 0;
	for (int i = 0; i < PASSPHRASE_TRIES; i++) {
		const int r = ask != NULL ? ask(arg, k->path, k->secret->passphrase, PASSPHRASE_MAX)
					  : ST_ENOENT;

		if (r == ST_ECANCELED) {
			snprintf(text, cap, "interrupted");
			return r;
		}
		if (r < 0) {
			if (agent && i == 0)
				return 0;
			snprintf(text, cap,
				 "ssh key %s is encrypted and there is no terminal to ask for its "
				 "passphrase: "
				 "run 'ssh-add %s' first",
				 text_safe(k->path).s, text_safe(k->path).s);
			return ST_EAUTH;
		}
		if (unlock(k) == 0)
			return 0;
		codec_wipe(k->secret->passphrase, PASSPHRASE_MAX);
	}
	snprintf(text, cap, "ssh key %s: wrong passphrase (to leave it to ssh-agent: 'ssh-add %s')",
		 text_safe(k->path).s, text_safe(k->path).s);
	return ST_EAUTH;
}

int tnl_key_load(struct tnl_key **out, const char *path, bool agent, tnl_ask_fn *ask, void *arg,
		 char *text, size_t cap)
{
	struct tnl_key *k = calloc(1, sizeof(*k));
	int r = ST_ENOMEM;

	if (cap > 0)
		text[0] = '\0';
	if (k == NULL)
		return ST_ENOMEM;
	k->path = strdup(path);
	k->secret = secrets_new();
	if (k->path == NULL || k->secret == NULL || libssh2_init(0) != 0)
		goto fail;
	if ((r = file_load(k, text, cap)) < 0 || (r = kind_check(k, text, cap)) < 0)
		goto fail;
	if (k->encrypted)
		r = passphrase_ask(k, agent, ask, arg, text, cap);
	else if ((r = unlock(k)) < 0)
		snprintf(text, cap,
			 "ssh key %s can't be read: its type is not supported or the file is "
			 "damaged",
			 text_safe(path).s);
	if (r < 0)
		goto fail;
	*out = k;
	return 0;
fail:
	tnl_key_free(k);
	return r;
}

/* ---- a pair of our own ---- */

int ssh_key_make(struct tnl_key **out, const char *name)
{
	struct tnl_key *k = calloc(1, sizeof(*k));
	ssize_t n = ST_ENOMEM;

	if (k == NULL)
		return ST_ENOMEM;
	k->path = strdup(name);
	k->secret = secrets_new();
	k->blob = malloc(SSH_PAIR_BLOB);
	if (k->path != NULL && k->secret != NULL && k->blob != NULL)
		/* the place of a passphrase is free, and locked too */
		n = ssh_pair_make(k->secret->text, sizeof(k->secret->text), k->blob,
				  (uint8_t *)k->secret->passphrase, PASSPHRASE_MAX);
	if (n < 0) {
		tnl_key_free(k);
		return (int)n;
	}
	codec_wipe(k->secret->passphrase, PASSPHRASE_MAX);
	k->blob_len = SSH_PAIR_BLOB;
	k->text_len = (size_t)n;
	k->unlocked = true;
	*out = k;
	return 0;
}

const char *ssh_key_line(char out[SSH_KEY_LINE], const struct tnl_key *k)
{
	char b64[CODEC_B64_LEN(SSH_PAIR_BLOB)];

	ST_ASSERT(k->blob_len == SSH_PAIR_BLOB);
	codec_b64_encode(b64, k->blob, k->blob_len);
	snprintf(out, SSH_KEY_LINE, "ssh-ed25519 %s ssm-tun", b64);
	return out;
}
