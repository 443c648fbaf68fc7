// SPDX-License-Identifier: MIT
/*
 * ssh_auth.c - the log-in: which keys are tried in which order, and signatures that an agent makes elsewhere
 *
 * Theory of operation: with a key file, that key alone, by the agent if it holds it, else by us. Without one, the agent's
 * keys: at most SSH_AGENT_TRIES, the one that worked last time first. The agent may block for as long as a person
 * looks for a token, so it is asked in the runner's child: libssh2 calls sign_cb() when it wants a signature, which starts
 * the request and returns EAGAIN until the answer is there; libssh2 1.11.1 supports that (userauth.c, state sent1).
 * With a source it alone is asked, for one key, and again when sshd refused that, as often as it has another.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "base/text.h"
#include "tunnel/ssh_agent.h"
#include "tunnel/ssh_internal.h"
#include "tunnel/ssh_wire.h"

#define AGENT_LIST_MS 5000U
#define AGENT_SIGN_MS 60000U /* a person may have to touch a token or confirm */

/* ---- candidates ---- */

static int cand_add(struct ssh_auth *a, const uint8_t *blob, size_t len, bool by_agent)
{
	struct ssh_candidate *k = &a->cand[a->n];

	if (a->n == SSH_CANDIDATES)
		return ST_EFULL;
	*k = (struct ssh_candidate){ .by_agent = by_agent };
	if (blob != NULL && len > 0) {
		k->blob = malloc(len);
		if (k->blob == NULL)
			return ST_ENOMEM;
		memcpy(k->blob, blob, len);
		k->blob_len = len;
	}
	a->n++;
	return 0;
}

static bool is_memo(const struct ssh_conn *c, const uint8_t *blob, size_t len)
{
	uint8_t sha[CODEC_SHA256_LEN];

	if (c->o.memo == NULL || !c->o.memo->valid)
		return false;
	codec_sha256(sha, blob, len);
	return memcmp(sha, c->o.memo->sha256, sizeof(sha)) == 0;
}

/* The agent's keys that are wanted, from its answer. */
static int agent_keys_pick(struct ssh_conn *c, const uint8_t *p, size_t len)
{
	struct ssh_agent_key keys[SSH_AGENT_KEYS_MAX];
	const int n = ssh_agent_list_read(keys, ARRAY_LEN(keys), p, len);
	size_t want_len = 0;
	const uint8_t *want = c->o.key ? ssh_key_blob(c->o.key, &want_len) : NULL;

	if (n < 0)
		return n;
	for (int pass = 0; pass < 2; pass++) {
		for (int i = 0; i < n && c->auth.n < SSH_AGENT_TRIES; i++) {
			const bool wanted = keys[i].blob_len == want_len && want != NULL &&
					    memcmp(keys[i].blob, want, want_len) == 0;
			const bool memo = is_memo(c, keys[i].blob, keys[i].blob_len);

			if (keys[i].blob_len == 0)
				continue;
			if (c->o.key != NULL ? pass > 0 || !wanted : memo != (pass == 0))
				continue;
			if (cand_add(&c->auth, keys[i].blob, keys[i].blob_len, true) == ST_ENOMEM)
				return ST_ENOMEM;
		}
	}
	return 0;
}

/* After the agent answered, or without one: the file itself comes last. */
static void candidates_complete(struct ssh_conn *c)
{
	size_t len;

	if (c->o.key != NULL && ssh_key_private(c->o.key, &len) != NULL) {
		const uint8_t *blob = ssh_key_blob(c->o.key, &len);

		if (cand_add(&c->auth, blob, len, false) < 0)
			log_warn("ssh %s: no memory for a key", text_safe(c->o.target).s);
	}
	c->auth.step = SSH_AUTH_TRY;
}

static void list_done(void *arg, int err, const uint8_t *out, size_t len)
{
	struct ssh_conn *c = arg;

	c->auth.job = 0;
	if (err == 0)
		err = agent_keys_pick(c, out, len);
	if (err < 0) {
		c->auth.agent_down = true;
		log_debug("ssh %s: the agent could not be asked: %s", text_safe(c->o.target).s,
			  st_strerror(err));
	}
	candidates_complete(c);
	c->o.events->kick(c->o.arg);
}

static void cands_drop(struct ssh_auth *a)
{
	for (size_t i = 0; i < a->n; i++)
		free(a->cand[i].blob);
	a->n = a->at = 0;
}

/* Return: 0; ST_EAGAIN; ST_EAUTH with @text; ST_ENOMEM */
static int source_ask(struct ssh_conn *c, char *text, size_t cap)
{
	const struct ssh_key_source *source = c->o.source;
	int r = source->get(source->arg, &c->auth.key, text, cap);
	const uint8_t *blob;
	size_t len;

	if (r < 0)
		return r;
	blob = ssh_key_blob(c->auth.key, &len);
	r = cand_add(&c->auth, blob, len, false);
	c->auth.step = SSH_AUTH_TRY;
	if (r < 0)
		snprintf(text, cap, "ssh: %s", st_strerror(r));
	return r;
}

static void list_start(struct ssh_conn *c)
{
	struct buf req;
	int r = ST_ENOENT;

	c->auth.key = c->o.key;
	if (c->auth.job != 0)
		return;
	buf_init(&req, 16);
	if (c->o.agent && c->o.svc != NULL && ssh_agent_list_request(&req) == 0)
		r = c->o.svc->run(c->o.svc->ctx, &c->auth.job, SVC_SSH_AGENT, buf_data(&req),
				  req.len, AGENT_LIST_MS, list_done, c);
	buf_fini(&req);
	if (r < 0) {
		c->auth.job = 0;
		c->auth.agent_down = c->o.agent;
		candidates_complete(c);
	}
}

/* ---- signatures by the agent ---- */

static void sign_done(void *arg, int err, const uint8_t *out, size_t len)
{
	struct ssh_conn *c = arg;
	struct ssh_auth *a = &c->auth;

	a->job = 0;
	a->sign = SSH_SIGN_ANSWERED;
	a->sign_err = err;
	if (err == 0)
		a->sign_err = buf_put(&a->answer, out, len);
	c->o.events->kick(c->o.arg);
}

/*
 * The algorithm that libssh2 chose stands in what is to be signed: string session id, byte 50, string user, string service,
 * string "publickey", bool, string algorithm, … (RFC 4252, 7).
 */
static bool alg_find(const uint8_t *data, size_t len, const uint8_t **alg, size_t *alg_len)
{
	struct ssh_wire w = { data, len };
	const uint8_t *s;
	size_t n;
	uint8_t b;

	/* libssh2 puts the session id in as a string */
	return ssh_wire_string(&w, &s, &n) && ssh_wire_u8(&w, &b) && ssh_wire_string(&w, &s, &n) &&
	       ssh_wire_string(&w, &s, &n) && ssh_wire_string(&w, &s, &n) && ssh_wire_u8(&w, &b) &&
	       ssh_wire_string(&w, alg, alg_len);
}

static int sign_ask(struct ssh_conn *c, const uint8_t *data, size_t len, const uint8_t *alg,
		    size_t alg_len)
{
	const struct ssh_candidate *k = &c->auth.cand[c->auth.at];
	struct buf req;
	int r;

	buf_init(&req, SSH_AGENT_DATA_MAX);
	r = ssh_agent_sign_request(&req, k->blob, k->blob_len, data, len, alg, alg_len);
	if (r == 0)
		r = c->o.svc->run(c->o.svc->ctx, &c->auth.job, SVC_SSH_AGENT, buf_data(&req),
				  req.len, AGENT_SIGN_MS, sign_done, c);
	buf_fini(&req);
	if (r < 0)
		return LIBSSH2_ERROR_AGENT_PROTOCOL;
	c->auth.sign = SSH_SIGN_ASKED;
	return LIBSSH2_ERROR_EAGAIN;
}

static int sign_take(struct ssh_auth *a, unsigned char **sig, size_t *sig_len, const uint8_t *alg,
		     size_t alg_len)
{
	const uint8_t *p = NULL;
	size_t n = 0;
	int r = a->sign_err;

	a->sign = SSH_SIGN_IDLE;
	if (r == 0)
		r = ssh_agent_sign_read(&p, &n, buf_data(&a->answer), a->answer.len, alg, alg_len);
	if (r == 0) {
		*sig = malloc(n + 1); /* the session was made with libssh2's default allocator */
		if (*sig != NULL)
			memcpy(*sig, p, n);
		*sig_len = n;
		r = *sig != NULL ? 0 : ST_ENOMEM;
	}
	buf_consume(&a->answer, a->answer.len);
	if (r == ST_EUNSUPPORTED)
		return LIBSSH2_ERROR_ALGO_UNSUPPORTED;
	return r == 0 ? 0 : LIBSSH2_ERROR_AGENT_PROTOCOL;
}

static int sign_cb(LIBSSH2_SESSION *s, unsigned char **sig, size_t *sig_len,
		   const unsigned char *data, size_t data_len, void **abstract)
{
	struct ssh_conn *c = *abstract;
	const uint8_t *alg;
	size_t alg_len;

	(void)s;
	if (!alg_find(data, data_len, &alg, &alg_len))
		return LIBSSH2_ERROR_PROTO;
	switch (c->auth.sign) {
	case SSH_SIGN_IDLE: return sign_ask(c, data, data_len, alg, alg_len);
	case SSH_SIGN_ASKED: return LIBSSH2_ERROR_EAGAIN;
	default: return sign_take(&c->auth, sig, sig_len, alg, alg_len);
	}
}

/* ---- trying ---- */

static int cand_try(struct ssh_conn *c, const struct ssh_candidate *k)
{
	void *abstract = c;
	const char *priv;
	size_t len = 0;

	if (k->by_agent)
		return libssh2_userauth_publickey(c->s, c->o.user, k->blob, k->blob_len, sign_cb,
						  &abstract);
	priv = ssh_key_private(c->auth.key, &len);
	return libssh2_userauth_publickey_frommemory(c->s, c->o.user, strlen(c->o.user), NULL, 0,
						     priv, len, ssh_key_passphrase(c->auth.key));
}

static void tried_note(struct ssh_conn *c, const struct ssh_candidate *k)
{
	struct ssh_auth *a = &c->auth;
	char print[SSH_KEY_PRINT] = "key";
	const size_t at = strlen(a->tried);

	if (k->blob != NULL)
		ssh_key_print(print, k->blob, k->blob_len);
	snprintf(a->tried + at, sizeof(a->tried) - at, "%s%s (%.80s)", at > 0 ? ", " : "", print,
		 k->by_agent ? "agent" : text_safe(ssh_key_path(c->auth.key)).s);
}

static void memo_set(struct ssh_conn *c, const struct ssh_candidate *k)
{
	if (c->o.memo == NULL || !k->by_agent)
		return;
	codec_sha256(c->o.memo->sha256, k->blob, k->blob_len);
	c->o.memo->valid = true;
}

static void none_text(struct ssh_conn *c, char *text, size_t cap)
{
	const char *user = c->o.user, *target = c->o.target;

	if (c->auth.tried[0] != '\0')
		snprintf(text, cap,
			 "ssh: %s@%s accepts none of the keys tried: %s; add the public key to "
			 "~%s/.ssh/authorized_keys "
			 "there, or set ssh.user or ssh.key",
			 text_safe(user).s, text_safe(target).s, c->auth.tried, text_safe(user).s);
	else if (c->o.key != NULL)
		snprintf(text, cap,
			 "ssh: the key %s is encrypted and ssh-agent does not hold it: run "
			 "'ssh-add %s'",
			 text_safe(ssh_key_path(c->o.key)).s, text_safe(ssh_key_path(c->o.key)).s);
	else
		snprintf(text, cap, "ssh: no key for %s@%s: %s; set ssh.key, or run 'ssh-add KEY'",
			 text_safe(user).s, text_safe(target).s,
			 !c->o.agent	      ? "SSH_AUTH_SOCK is not set"
			 : c->auth.agent_down ? "ssh-agent does not answer"
					      : "ssh-agent holds none");
}

/* Codes that mean "this key not", as against a connection that broke. */
static bool is_refusal(int code)
{
	switch (code) {
	case LIBSSH2_ERROR_AUTHENTICATION_FAILED:
	case LIBSSH2_ERROR_PUBLICKEY_UNVERIFIED:
	case LIBSSH2_ERROR_ALGO_UNSUPPORTED:
	case LIBSSH2_ERROR_AGENT_PROTOCOL:
	case LIBSSH2_ERROR_METHOD_NONE:
	case LIBSSH2_ERROR_FILE: return true;
	default: return false;
	}
}

/* Return: 0; ST_EAGAIN; ST_ECLOSED; ST_EAUTH: none was taken */
static int try_next(struct ssh_conn *c)
{
	struct ssh_auth *a = &c->auth;

	for (; a->at < a->n; a->at++) {
		const struct ssh_candidate *k = &a->cand[a->at];
		const int r = cand_try(c, k);

		if (r == LIBSSH2_ERROR_EAGAIN)
			return ST_EAGAIN;
		if (r == 0) {
			memo_set(c, k);
			a->step = SSH_AUTH_DONE;
			return 0;
		}
		if (!is_refusal(r) || c->peer_words[0] != '\0' || (c->eof && c->in.len == 0))
			return ST_ECLOSED;
		tried_note(c, k);
	}
	return ST_EAUTH;
}

/* The source decides how often that can go on. */
static int source_run(struct ssh_conn *c, char *text, size_t cap)
{
	int r;

	for (;;) {
		if (c->auth.step == SSH_AUTH_LIST && (r = source_ask(c, text, cap)) < 0)
			return r;
		if ((r = try_next(c)) != ST_EAUTH)
			return r;
		cands_drop(&c->auth);
		c->auth.step = SSH_AUTH_LIST;
		if ((r = c->o.source->refused(c->o.source->arg, text, cap)) < 0)
			return r;
	}
}

int ssh_auth_run(struct ssh_conn *c, char *text, size_t cap)
{
	int r;

	if (c->o.source != NULL)
		return source_run(c, text, cap);
	if (c->auth.step == SSH_AUTH_LIST)
		list_start(c);
	if (c->auth.step == SSH_AUTH_LIST)
		return ST_EAGAIN;
	if ((r = try_next(c)) == ST_EAUTH)
		none_text(c, text, cap);
	return r;
}

void ssh_auth_fini(struct ssh_conn *c)
{
	if (c->auth.job != 0)
		c->o.svc->cancel(c->o.svc->ctx, c->auth.job);
	c->auth.job = 0;
	cands_drop(&c->auth);
	buf_fini(&c->auth.answer);
}
