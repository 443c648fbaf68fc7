// SPDX-License-Identifier: MIT
/*
 * aws_sso_token.c - an SSO token that may be used: from its file, renewed where that is due
 *
 * Theory of operation: the file belongs to every program of the person, so it is read each time and believed. A token of an
 * sso-session that ends within RENEW_S is renewed by CreateToken. A refresh token serves once: one renewal of a file is under way
 * in this process (the others wait and read again), and before its result is written the file is read once more: what another
 * program has written meanwhile wins. A result that can't be written is kept in memory, as long as the file is the one
 * that it replaces. Tokens that the service has refused are remembered by their digests, so that looking again every few seconds
 * costs no call. As in botocore a renewal that fails is no failure while the old token lives.
 *
 *   reading ──▶ renewing ──▶ checking ──▶ writing ──▶ over        queued ──▶ reading; each ──▶ over
 * Source: aws-cli v2 awscli/botocore/tokens.py SSOTokenProvider, utils.py SSOTokenLoader, credentials.py SSOCredentialFetcher
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "aws/aws_sso.h"
#include "base/codec.h"
#include "base/err.h"
#include "base/log.h"
#include "base/text.h"

#define RENEW_S 900	     /* botocore SSOTokenProvider._REFRESH_WINDOW */
#define JOB_MS 5000U	     /* ours: a file of one's home that takes longer is not there */
#define ROUNDS_MAX 3U	     /* ours: how often a file may change under our hands */
#define REFUSED_MAX 16U	     /* ours: tokens; the oldest is forgotten */
#define KEPT_MAX 8U	     /* ours: sessions whose files can't be written */
#define LIFE_MAX_S 315360000 /* ours: ten years; what a token says beyond is nonsense */

enum state {
	GET_READING,
	GET_QUEUED,   /* another one renews the same token */
	GET_RENEWING, /* CreateToken is out */
	GET_CHECKING, /* the file is read once more */
	GET_WRITING,
	GET_OVER, /* the owner has been told, or will be in this turn */
	GET_STATE_N
};

static const struct {
	const char *name;
	uint32_t next;
} states[] = {
	[GET_READING] = { "reading", BIT(GET_QUEUED) | BIT(GET_RENEWING) | BIT(GET_OVER) },
	[GET_QUEUED] = { "queued", BIT(GET_READING) | BIT(GET_OVER) },
	[GET_RENEWING] = { "renewing", BIT(GET_CHECKING) | BIT(GET_OVER) },
	[GET_CHECKING] = { "checking", BIT(GET_READING) | BIT(GET_WRITING) | BIT(GET_OVER) },
	[GET_WRITING] = { "writing", BIT(GET_OVER) },
	[GET_OVER] = { "over", 0 },
};
static_assert(ARRAY_LEN(states) == GET_STATE_N, "states[] and enum state differ");

/* A token that is newer than its file. */
struct kept {
	char *path;			  /* NULL: free */
	uint8_t digest[CODEC_SHA256_LEN]; /* of the file that it replaces */
	json_t *json;
};

struct aws_sso_memory {
	struct list renewing; /* of struct aws_sso_get: from queued to writing */
	uint8_t refused[REFUSED_MAX][CODEC_SHA256_LEN];
	size_t refused_at, kept_at;
	struct kept kept[KEPT_MAX];
	bool told_mode;
};

struct aws_sso_get {
	struct list_node node; /* in memory->renewing */
	struct aws_account *acc;
	const struct aws_sso *sso;
	struct aws_sso_memory *memory;
	enum state state;
	unsigned rounds;
	struct loop_timer again; /* queued: the other one is through */
	handle job;
	aws_call call;
	struct aws_watch_seen seen;
	uint8_t digest[CODEC_SHA256_LEN]; /* of the file as it was read */
	struct aws_sso_token old, fresh;
	aws_sso_token_fn *done;
	void *arg;
};

/* ---- a token as a value ---- */

void aws_sso_token_fini(struct aws_sso_token *t)
{
	json_decref(t->json);
	*t = (struct aws_sso_token){ 0 };
}

/* It becomes a header's value. */
static bool is_plain(const char *s)
{
	for (const unsigned char *c = (const unsigned char *)s; *c; c++)
		if (*c < 0x21 || *c > 0x7e)
			return false;
	return *s != '\0';
}

int aws_sso_token_take(struct aws_sso_token *out, json_t *json)
{
	const char *access = aws_text(json, "accessToken"), *end = aws_text(json, "expiresAt");
	int64_t expires_s;

	*out = (struct aws_sso_token){ 0 };
	if (!access || !is_plain(access) || !end || aws_time_parse(&expires_s, end) < 0) {
		json_decref(json);
		return ST_EFORMAT;
	}
	*out = (struct aws_sso_token){ .json = json, .access = access, .expires_s = expires_s };
	return 0;
}

int aws_sso_token_made(struct aws_sso_token *out, const struct aws_sso *s, const json_t *client,
		       const char *client_end, const json_t *answer)
{
	const json_int_t life_s = json_integer_value(json_object_get(answer, "expiresIn"));
	const char *access = aws_text(answer, "accessToken");
	char end[AWS_TIME_STR];
	json_t *json;

	*out = (struct aws_sso_token){ 0 };
	if (!access || life_s <= 0 || life_s > LIFE_MAX_S)
		return ST_EFORMAT;
	aws_time_print(end, (int64_t)time(NULL) + life_s);
	json = json_pack("{s:s, s:s, s:s, s:s, s:s*, s:s*, s:s*, s:s*}", "startUrl", s->start_url,
			 "region", s->region, "accessToken", access, "expiresAt", end, "clientId",
			 aws_text(client, "clientId"), "clientSecret",
			 aws_text(client, "clientSecret"), "registrationExpiresAt",
			 aws_text(client, client_end), "refreshToken",
			 aws_text(answer, "refreshToken"));
	return json ? aws_sso_token_take(out, json) : ST_ENOMEM;
}

/* ---- what the process remembers ---- */

static struct aws_sso_memory *memory_of(struct aws *a)
{
	if (!a->sso && (a->sso = calloc(1, sizeof(*a->sso))))
		list_init(&a->sso->renewing);
	return a->sso;
}

static void kept_drop(struct kept *k)
{
	free(k->path);
	json_decref(k->json);
	*k = (struct kept){ 0 };
}

void aws_sso_memory_free(struct aws *a)
{
	for (size_t i = 0; a->sso && i < KEPT_MAX; i++)
		kept_drop(&a->sso->kept[i]);
	free(a->sso);
	a->sso = NULL;
}

static void refused_add(struct aws_sso_memory *m, const char *token)
{
	codec_sha256(m->refused[m->refused_at], token, strlen(token));
	m->refused_at = (m->refused_at + 1) % REFUSED_MAX;
}

static bool is_refused(const struct aws_sso_memory *m, const char *token)
{
	uint8_t digest[CODEC_SHA256_LEN];

	codec_sha256(digest, token, strlen(token));
	for (size_t i = 0; i < REFUSED_MAX; i++)
		if (memcmp(m->refused[i], digest, sizeof(digest)) == 0)
			return true;
	return false;
}

static struct kept *kept_find(struct aws_sso_memory *m, const char *path)
{
	for (size_t i = 0; i < KEPT_MAX; i++)
		if (m->kept[i].path && strcmp(m->kept[i].path, path) == 0)
			return &m->kept[i];
	return NULL;
}

static void kept_set(struct aws_sso_get *g)
{
	struct aws_sso_memory *m = g->memory;
	struct kept *k = kept_find(m, g->sso->path);

	if (!k) {
		k = &m->kept[m->kept_at];
		m->kept_at = (m->kept_at + 1) % KEPT_MAX;
	}
	kept_drop(k);
	if (!(k->path = strdup(g->sso->path)))
		return;
	memcpy(k->digest, g->digest, sizeof(k->digest));
	k->json = json_incref(g->fresh.json);
}

/* Return: a reference to what replaces the file that was read; NULL: the file counts */
static json_t *kept_for(struct aws_sso_get *g)
{
	struct kept *k = kept_find(g->memory, g->sso->path);

	if (!k)
		return NULL;
	if (memcmp(k->digest, g->digest, sizeof(k->digest)) == 0)
		return json_incref(k->json);
	kept_drop(k); /* somebody has logged in or renewed it */
	return NULL;
}

/* ---- the end ---- */

static void set_state(struct aws_sso_get *g, enum state to, const char *why)
{
	if (!(states[g->state].next & BIT(to)))
		ST_BUG("aws sso: %s -> %s: %s", states[g->state].name, states[to].name, why);
	log_trace("aws: SSO token of %s: %s -> %s: %s", text_safe(g->sso->profile).s,
		  states[g->state].name, states[to].name, why);
	g->state = to;
}

static void leave(struct aws_sso_get *g);

static void tell_token(struct aws_sso_get *g, const struct aws_sso_token *t, const char *why)
{
	set_state(g, GET_OVER, why);
	leave(g);
	g->done(g->arg, NULL, t);
}

static void tell_error(struct aws_sso_get *g, const struct aws_error *error)
{
	set_state(g, GET_OVER, error->text);
	leave(g);
	g->done(g->arg, error, NULL);
}

static void person_needed(const struct aws_sso_get *g, struct aws_error *error)
{
	error->person = true;
	aws_login_hint(error, g->sso->profile);
	aws_watch_add_since(g->acc, g->sso->path, &g->seen);
}

static void tell_login(struct aws_sso_get *g, struct aws_error *error)
{
	person_needed(g, error);
	tell_error(g, error);
}

static void tell_err(struct aws_sso_get *g, int err)
{
	struct aws_error error;

	aws_error_set(&error, err, "Error loading SSO Token: %s", st_strerror(err));
	error.retryable = true;
	tell_error(g, &error);
}

static void session_over(struct aws_error *error)
{
	aws_error_set(error, ST_EAUTH,
		      "The SSO session associated with this profile has expired or is otherwise "
		      "invalid.");
}

static void tell_expired(struct aws_sso_get *g)
{
	struct aws_error error;

	if (g->sso->session)
		aws_error_set(&error, ST_EAUTH,
			      "Error when retrieving token from sso: Token has expired and refresh "
			      "failed");
	else
		session_over(&error);
	tell_login(g, &error);
}

void aws_sso_refused(const struct aws_sso_get *g, const struct aws_sso_token *token,
		     struct aws_error *error)
{
	refused_add(g->memory, token->access);
	session_over(error);
	person_needed(g, error);
}

/* ---- reading ---- */

static void on_read(void *arg, int err, const uint8_t *out, size_t len);

static int read_start(struct aws_sso_get *g)
{
	const struct svc *svc = g->acc->aws->svc;
	int err;

	aws_watch_look(&g->seen, g->sso->path);
	err = svc->run(svc->ctx, &g->job, SVC_AWS_READ, g->sso->path, strlen(g->sso->path), JOB_MS,
		       on_read, g);
	if (err < 0)
		g->job = 0;
	return err;
}

static void tell_unreadable(struct aws_sso_get *g, int err, const uint8_t *words, size_t len)
{
	const struct aws_sso *s = g->sso;
	struct aws_error error;

	if (err == ST_ENOENT)
		aws_error_set(&error, ST_EAUTH,
			      "Error loading SSO Token: Token for %s does not exist",
			      text_safe(s->session ? s->session : s->start_url).s);
	else
		aws_error_set(&error, ST_EAUTH, "Error loading SSO Token: %s: %s",
			      text_safe(s->path).s,
			      len ? text_safe_n(words, len).s : st_strerror(err));
	tell_login(g, &error);
}

static void tell_invalid(struct aws_sso_get *g)
{
	struct aws_error error;

	aws_error_set(&error, ST_EAUTH, "Error loading SSO Token: Token for %s is invalid",
		      text_safe(g->sso->start_url).s);
	tell_login(g, &error);
}

static void mode_check(struct aws_sso_get *g, uint32_t mode)
{
	if (!(mode & 077U) || g->memory->told_mode)
		return;
	g->memory->told_mode = true;
	log_warn("aws: others may read or write %s (mode %03o): chmod 600 it",
		 text_safe(g->sso->path).s, mode);
}

static void decide(struct aws_sso_get *g);

static void looked(struct aws_sso_get *g, int err, const uint8_t *out, size_t len)
{
	uint32_t mode;
	json_t *json;

	if (err == 0 && len < sizeof(mode))
		err = ST_EPEER;
	if (err == ST_ETIMEOUT || err == ST_ECLOSED || err == ST_ENOMEM) {
		tell_err(g, err);
		return;
	}
	if (err < 0) {
		tell_unreadable(g, err, out, len);
		return;
	}
	memcpy(&mode, out, sizeof(mode));
	mode_check(g, mode);
	codec_sha256(g->digest, out, len);
	if (!(json = kept_for(g)))
		json = json_loadb((const char *)out + sizeof(mode), len - sizeof(mode), 0, NULL);
	aws_sso_token_fini(&g->old);
	if (aws_sso_token_take(&g->old, json) < 0)
		tell_invalid(g);
	else
		decide(g);
}

/* ---- renewing ---- */

static int64_t left_s(const struct aws_sso_get *g, const struct aws_sso_token *t)
{
	return is_refused(g->memory, t->access) ? 0 : t->expires_s - (int64_t)time(NULL);
}

static bool may_renew(const struct aws_sso_get *g)
{
	static const char *const keys[] = { "refreshToken", "clientId", "clientSecret",
					    "registrationExpiresAt" };
	const char *why = NULL;
	int64_t end_s;

	if (!g->sso->session)
		return false;
	for (size_t i = 0; i < ARRAY_LEN(keys) && !why; i++)
		if (!aws_text(g->old.json, keys[i]))
			why = keys[i];
	if (!why && (aws_time_parse(&end_s, aws_text(g->old.json, "registrationExpiresAt")) < 0 ||
		     end_s <= (int64_t)time(NULL)))
		why = "the client's registration has ended";
	if (!why && is_refused(g->memory, aws_text(g->old.json, "refreshToken")))
		why = "its refresh token was refused";
	if (why)
		log_debug("aws: SSO token of %s can't be renewed: %s", text_safe(g->sso->profile).s,
			  why);
	return !why;
}

static void on_renewed(void *arg, const struct aws_error *error, json_t *answer);

static void renew(struct aws_sso_get *g)
{
	const json_t *old = g->old.json;
	const struct aws_as as = { .region = g->sso->region };
	json_t *params = json_pack("{s:s, s:O, s:O, s:O}", "grantType", "refresh_token", "clientId",
				   json_object_get(old, "clientId"), "clientSecret",
				   json_object_get(old, "clientSecret"), "refreshToken",
				   json_object_get(old, "refreshToken"));
	int err = aws_ask_as(g->acc, &g->call, AWS_CREATE_TOKEN, params, NULL, &as, on_renewed, g);

	if (err < 0) {
		g->call = 0;
		tell_err(g, err);
	}
}

static void renew_or_wait(struct aws_sso_get *g)
{
	bool busy = false;

	list_for_each (it, &g->memory->renewing) {
		const struct aws_sso_get *other = container_of(it, struct aws_sso_get, node);

		if (other->state != GET_QUEUED && strcmp(other->sso->path, g->sso->path) == 0)
			busy = true;
	}
	list_push_back(&g->memory->renewing, &g->node);
	set_state(g, busy ? GET_QUEUED : GET_RENEWING, "it ends soon");
	if (!busy)
		renew(g);
}

static void decide(struct aws_sso_get *g)
{
	const int64_t left = left_s(g, &g->old);

	if (left < RENEW_S && may_renew(g))
		renew_or_wait(g);
	else if (left > 0)
		tell_token(g, &g->old, "it lives");
	else
		tell_expired(g);
}

static void on_again(void *arg, uint64_t now_ms)
{
	struct aws_sso_get *g = arg;
	int err;

	(void)now_ms;
	set_state(g, GET_READING, "another one was renewing it");
	if ((err = read_start(g)) < 0)
		tell_err(g, err);
}

/* Out of those that renew: whoever waits for this one reads the file again. */
static void leave(struct aws_sso_get *g)
{
	struct loop *loop = g->acc->aws->loop;
	const bool held = list_linked(&g->node);

	list_del(&g->node);
	if (!held)
		return;
	list_for_each (it, &g->memory->renewing) {
		struct aws_sso_get *other = container_of(it, struct aws_sso_get, node);

		if (other->state != GET_QUEUED || strcmp(other->sso->path, g->sso->path) != 0)
			continue;
		list_del(&other->node);
		if (loop_timer_set(loop, &other->again, loop_now_ms(loop)) < 0)
			log_error("aws: no memory for a timer");
	}
}

static void check(struct aws_sso_get *g, const char *why)
{
	int err;

	set_state(g, GET_CHECKING, why);
	if ((err = read_start(g)) < 0)
		on_read(g, err, NULL, 0);
}

/* No connection, or a service that is ill: nothing is known of the token. */
static void renew_failed(struct aws_sso_get *g, const struct aws_error *error)
{
	log_warn("aws: the SSO token of profile %s could not be renewed: %s",
		 text_safe(g->sso->profile).s, error->text);
	if (error->http_status && !error->retryable) {
		refused_add(g->memory, aws_text(g->old.json, "refreshToken"));
		check(g, "refused");
	} else if (left_s(g, &g->old) > 0) {
		tell_token(g, &g->old, "not renewed, but it lives");
	} else {
		tell_error(g, error);
	}
}

static void on_renewed(void *arg, const struct aws_error *error, json_t *answer)
{
	struct aws_sso_get *g = arg;
	struct aws_error nonsense;

	g->call = 0;
	if (error) {
		renew_failed(g, error);
		return;
	}
	if (aws_sso_token_made(&g->fresh, g->sso, g->old.json, "registrationExpiresAt", answer) <
	    0) {
		aws_error_set(&nonsense, ST_EPEER, "the answer to CreateToken makes no sense");
		nonsense.http_status = 200;
		renew_failed(g, &nonsense);
		return;
	}
	check(g, "renewed");
}

/* ---- writing back ---- */

static void on_written(void *arg, int err, const uint8_t *out, size_t len)
{
	struct aws_sso_get *g = arg;
	struct kept *k = kept_find(g->memory, g->sso->path);

	g->job = 0;
	if (err < 0) {
		log_warn("aws: the renewed SSO token can't be written to %s: %s: it is kept in "
			 "memory, other programs will ask for a login",
			 text_safe(g->sso->path).s,
			 len ? text_safe_n(out, len).s : st_strerror(err));
		kept_set(g);
	} else if (k) {
		kept_drop(k);
	}
	tell_token(g, &g->fresh, "renewed");
}

static void write_back(struct aws_sso_get *g)
{
	int err;

	set_state(g, GET_WRITING, "unchanged");
	err = aws_sso_write(g->acc->aws, &g->job, g->sso->path, g->fresh.json, on_written, g);
	if (err < 0)
		on_written(g, err, NULL, 0);
}

static bool has_changed(const struct aws_sso_get *g, int err, const uint8_t *out, size_t len)
{
	uint8_t digest[CODEC_SHA256_LEN];

	if (err < 0)
		return err == ST_ENOENT; /* logged out */
	codec_sha256(digest, out, len);
	return memcmp(digest, g->digest, sizeof(digest)) != 0;
}

/* CreateToken has answered, and this is the file now. */
static void checked(struct aws_sso_get *g, int err, const uint8_t *out, size_t len)
{
	if (g->rounds < ROUNDS_MAX && has_changed(g, err, out, len)) {
		log_debug("aws: another program has changed %s: its token counts",
			  text_safe(g->sso->path).s);
		g->rounds++;
		leave(g);
		aws_sso_token_fini(&g->fresh);
		set_state(g, GET_READING, "changed");
		looked(g, err, out, len);
	} else if (g->fresh.json) {
		write_back(g);
	} else if (left_s(g, &g->old) > 0) {
		tell_token(g, &g->old, "not renewed, but it lives");
	} else {
		tell_expired(g);
	}
}

static void on_read(void *arg, int err, const uint8_t *out, size_t len)
{
	struct aws_sso_get *g = arg;

	g->job = 0;
	if (g->state == GET_CHECKING)
		checked(g, err, out, len);
	else
		looked(g, err, out, len);
}

/* ---- life ---- */

int aws_sso_write(struct aws *a, handle *job, const char *path, const json_t *json,
		  svc_done_fn *done, void *arg)
{
	char *text = json_dumps(json, 0);
	struct buf b;
	int err = text ? 0 : ST_ENOMEM;

	buf_init_secret(&b, AWS_JOB_MAX);
	if (!err)
		err = buf_put(&b, path, strlen(path) + 1);
	if (!err)
		err = buf_put(&b, text, strlen(text));
	if (!err)
		err = a->svc->run(a->svc->ctx, job, SVC_AWS_WRITE, buf_data(&b), b.len, JOB_MS,
				  done, arg);
	if (err < 0)
		*job = 0;
	buf_wipe(&b);
	aws_free_wiping(text);
	return err;
}

int aws_sso_token_get(struct aws_sso_get **out, struct aws_account *acc, const struct aws_sso *s,
		      aws_sso_token_fn *done, void *arg)
{
	struct aws_sso_memory *m = memory_of(acc->aws);
	struct aws_sso_get *g = m ? calloc(1, sizeof(*g)) : NULL;
	int err;

	if (!g)
		return ST_ENOMEM;
	*g = (struct aws_sso_get){
		.acc = acc, .sso = s, .memory = m, .state = GET_READING, .done = done, .arg = arg
	};
	list_node_init(&g->node);
	loop_timer_init(&g->again, on_again, g);
	if ((err = read_start(g)) < 0) {
		free(g);
		return err;
	}
	*out = g;
	return 0;
}

void aws_sso_get_free(struct aws_sso_get *g)
{
	struct aws *a;

	if (!g)
		return;
	a = g->acc->aws;
	if (g->job)
		a->svc->cancel(a->svc->ctx, g->job);
	if (g->call)
		aws_cancel(a, g->call);
	loop_timer_cancel(a->loop, &g->again);
	leave(g);
	aws_sso_token_fini(&g->old);
	aws_sso_token_fini(&g->fresh);
	free(g);
}
