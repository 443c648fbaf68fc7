// SPDX-License-Identifier: MIT
/*
 * aws_sso.c - credentials of a role by IAM Identity Center
 *
 * Theory of operation: what the AWS CLI keeps of that role in ~/.aws/cli/cache serves as long as it lives; else a token is got
 * (aws_sso_token.c) and GetRoleCredentials called with it, in the region of SSO. What the portal refuses for the token's
 * sake needs a login; what it refuses for the role's sake is configuration, and no login helps.
 * Source: aws-cli v2 awscli/botocore/credentials.py SSOProvider, SSOCredentialFetcher
 */
#include <stdlib.h>
#include <string.h>

#include "aws/aws_sso.h"
#include "base/err.h"
#include "base/text.h"

struct step {
	struct aws_sso sso;
	struct aws_cache cache;
	struct aws_sso_get *get;
	const struct aws_sso_token *token; /* of get; for the call */
	aws_call call;
	struct aws_creds got; /* to be told once it is written */
};

static void fail_err(struct aws_walk *w, int err)
{
	struct aws_error error;

	aws_error_set(&error, err, "%s", st_strerror(err));
	error.retryable = true;
	aws_walk_fail(w, &error);
}

/* ---- the role ---- */

int aws_sso_role_ask(struct aws_account *acc, aws_call *out, const struct aws_sso *s,
		     const struct aws_sso_token *token, aws_answer_fn *done, void *arg)
{
	const struct aws_as as = { .bearer = token->access, .region = s->region };

	return aws_ask_as(acc, out, AWS_GET_ROLE_CREDENTIALS,
			  json_pack("{s:s, s:s}", "role_name", s->role, "account_id", s->account),
			  s->account, &as, done, arg);
}

bool aws_sso_is_refusal(const struct aws_error *error)
{
	return error->http_status == 401 || strcmp(error->code, "UnauthorizedException") == 0;
}

/* Only what the service itself says: a page of a portal has no code. */
void aws_sso_role_error(struct aws_error *error, const struct aws_sso *s)
{
	if (!error->http_status || error->retryable || !error->code[0])
		return;
	error->err = ST_EAUTH;
	error->person = false;
	aws_error_hint(error,
		       "%s has no role %s in account %s for you: see sso_account_id and "
		       "sso_role_name of profile %s, or ask for the role",
		       text_safe(s->start_url).s, text_safe(s->role).s, text_safe(s->account).s,
		       text_safe(s->profile).s);
}

json_t *aws_sso_response(const struct aws_sso *s, json_t *answer)
{
	json_t *c = json_object_get(answer, "roleCredentials");
	const json_int_t end_ms = json_integer_value(json_object_get(c, "expiration"));
	char end[AWS_TIME_STR];

	if (end_ms <= 0)
		return NULL;
	aws_time_print(end, end_ms / 1000);
	return json_pack("{s:s, s:{s:s*, s:s*, s:s*, s:s, s:s}}", "ProviderType", "sso",
			 "Credentials", "AccessKeyId", aws_text(c, "accessKeyId"),
			 "SecretAccessKey", aws_text(c, "secretAccessKey"), "SessionToken",
			 aws_text(c, "sessionToken"), "Expiration", end, "AccountId", s->account);
}

static void nonsense(struct aws_walk *w)
{
	struct aws_error error;

	aws_error_set(&error, ST_EPEER,
		      "the answer to GetRoleCredentials makes no sense: no usable credentials");
	aws_walk_fail(w, &error);
}

static void found(struct aws_walk *w)
{
	struct step *st = w->state;
	struct aws_creds own = st->got;

	st->got = (struct aws_creds){ 0 };
	aws_walk_found(w, &own);
}

static void on_role(void *arg, const struct aws_error *error, json_t *answer)
{
	struct aws_walk *w = arg;
	struct step *st = w->state;
	json_t *response;
	struct aws_error own;

	st->call = 0;
	if (error) {
		own = *error;
		if (aws_sso_is_refusal(error))
			aws_sso_refused(st->get, st->token, &own);
		else
			aws_sso_role_error(&own, &st->sso);
		aws_walk_fail(w, &own);
		return;
	}
	response = aws_sso_response(&st->sso, answer);
	if (aws_creds_from_response(&st->got, response) < 0)
		nonsense(w);
	else if (aws_cache_put(&st->cache, response) < 0)
		found(w);
	json_decref(response);
}

static void on_token(void *arg, const struct aws_error *error, const struct aws_sso_token *token)
{
	struct aws_walk *w = arg;
	struct step *st = w->state;
	int err;

	if (error) {
		aws_walk_fail(w, error);
		return;
	}
	st->token = token;
	err = aws_sso_role_ask(w->acc, &st->call, &st->sso, token, on_role, w);
	if (err < 0) {
		st->call = 0;
		fail_err(w, err);
	}
}

/* ---- the step ---- */

static void token_get(struct aws_walk *w)
{
	struct step *st = w->state;
	int err = aws_sso_token_get(&st->get, w->acc, &st->sso, on_token, w);

	if (err < 0)
		fail_err(w, err);
}

/* What was looked for, or what has been written. */
static void on_cache(void *arg, const struct aws_creds *c)
{
	struct aws_walk *w = arg;
	struct step *st = w->state;

	if (st->got.access_key)
		found(w);
	else if (!c)
		token_get(w);
	else if (aws_creds_copy(&st->got, c) < 0)
		fail_err(w, ST_ENOMEM);
	else
		found(w);
}

static json_t *cache_args(const struct aws_sso *s)
{
	return json_pack("{s:s, s:s, s:s}", "roleName", s->role, "accountId", s->account,
			 s->session ? "sessionName" : "startUrl",
			 s->session ? s->session : s->start_url);
}

static void step_begin(struct aws_walk *w)
{
	struct step *st = w->state;
	json_t *args = cache_args(&st->sso);
	int err = args ? aws_cache_init(&st->cache, w->acc, args, true, on_cache, w) : ST_EINVAL;

	json_decref(args);
	if (err < 0)
		fail_err(w, err);
	else if (aws_cache_get(&st->cache) < 0)
		token_get(w);
}

static void sso_begin(struct aws_walk *w)
{
	struct step *st = calloc(1, sizeof(*st));
	struct aws_error error;
	int err = st ? aws_sso_find(&st->sso, w->acc->aws, &w->profile, true, &error) : ST_ENOMEM;

	if (err == 0) {
		w->state = st;
		step_begin(w);
		return;
	}
	free(st);
	if (err == ST_ENOENT)
		aws_walk_skip(w, "no sso_account_id or sso_role_name in profile %s",
			      text_safe(w->profile.name).s);
	else if (st)
		aws_walk_fail(w, &error);
	else
		fail_err(w, err);
}

static void sso_end(struct aws_walk *w)
{
	struct step *st = w->state;

	if (!st)
		return;
	if (st->call)
		aws_cancel(w->acc->aws, st->call);
	aws_sso_get_free(st->get);
	aws_cache_fini(&st->cache);
	aws_creds_wipe(&st->got);
	aws_sso_fini(&st->sso);
	free(st);
}

const struct aws_source aws_source_sso = { .name = "sso", .begin = sso_begin, .end = sso_end };
