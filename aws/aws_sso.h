// SPDX-License-Identifier: MIT
/* aws_sso.h - IAM Identity Center within aws/: what a profile says of it, its token, and the file where everybody keeps that */
#ifndef AWS_AWS_SSO_H
#define AWS_AWS_SSO_H

#include "aws/aws_internal.h"

/* ---- aws_sso_conf.c: what a profile says ---- */

struct aws_sso {
	char *profile; /* as behind --profile */
	char *session; /* name of the sso-session; NULL: a legacy profile */
	char *start_url, *region;
	char *scopes;	      /* sso_registration_scopes as written; NULL */
	char *account, *role; /* NULL only after aws_sso_find() without @role */
	char *path;	      /* of the token, in ~/.aws/sso/cache */
};
/**
 * aws_sso_find() - @role: credentials are wanted, so that account and role must be there, and a profile with neither is none
 * Return: 0, and aws_sso_fini() is due; ST_ENOENT: no SSO profile, nothing said; ST_EAUTH, ST_ENOMEM with @error filled in
 */
int aws_sso_find(struct aws_sso *out, const struct aws *a, const struct aws_profile *p, bool role,
		 struct aws_error *error);
void aws_sso_fini(struct aws_sso *s);
/** aws_sso_file() - "~/.aws/sso/cache/NAME.json"; caller frees; NULL without memory */
char *aws_sso_file(const struct aws *a, const char *name);
/** aws_login_hint() - a person must log in for @profile: the lines to run, quoted for a shell */
void aws_login_hint(struct aws_error *error, const char *profile);

/* ---- aws_sso_token.c: a token that may be used ---- */

/* As in the file. */
struct aws_sso_token {
	json_t *json;	    /* NULL: none */
	const char *access; /* of json */
	int64_t expires_s;
};
void aws_sso_token_fini(struct aws_sso_token *t);
/** aws_sso_token_take() - of @json (taken). Return: 0; ST_EFORMAT: no accessToken or expiresAt, or of a wrong kind */
int aws_sso_token_take(struct aws_sso_token *out, json_t *json);
/**
 * aws_sso_token_made() - of CreateToken's @answer, in the AWS CLI's form
 * @client: an object with clientId, clientSecret and the end of the registration as @client_end names it
 * Return: 0; ST_EFORMAT; ST_ENOMEM
 */
int aws_sso_token_made(struct aws_sso_token *out, const struct aws_sso *s, const json_t *client,
		       const char *client_end, const json_t *answer);

/* @error NULL: @token, which lives for a while yet */
typedef void aws_sso_token_fn(void *arg, const struct aws_error *error,
			      const struct aws_sso_token *token);
/**
 * aws_sso_token_get() - reads the file, renews the token when it is about to expire and can be, and writes it back. One renewal
 * of a file is under way at a time, and what another program has written meanwhile is taken. If a person must log in, the file is
 * watched for the account. @s is borrowed. @done once, never from within. Return: 0; ST_ENOMEM; what svc->run() said
 */
struct aws_sso_get;
int aws_sso_token_get(struct aws_sso_get **out, struct aws_account *acc, const struct aws_sso *s,
		      aws_sso_token_fn *done, void *arg);
void aws_sso_get_free(struct aws_sso_get *g); /* no callback; also from @done; NULL is fine */

/**
 * aws_sso_refused() - the portal does not take @token: it counts as expired from now on, without another call
 * @error: filled in as for a token that has expired
 */
void aws_sso_refused(const struct aws_sso_get *g, const struct aws_sso_token *token,
		     struct aws_error *error);

/** aws_sso_write() - replaces a file of ~/.aws/sso/cache by a job; @job is 0 on failure. Return: 0; ST_EFULL; ST_ENOMEM; as svc->run() */
int aws_sso_write(struct aws *a, handle *job, const char *path, const json_t *json,
		  svc_done_fn *done, void *arg);

/* What the process knows of all tokens; aws_free() frees it. */
struct aws_sso_memory;
void aws_sso_memory_free(struct aws *a);

/* ---- aws_sso.c: the source, and what proves a login ---- */

/** aws_sso_role_ask() - GetRoleCredentials for @s with @token */
int aws_sso_role_ask(struct aws_account *acc, aws_call *out, const struct aws_sso *s,
		     const struct aws_sso_token *token, aws_answer_fn *done, void *arg);
/** aws_sso_is_refusal() - of GetRoleCredentials: the portal does not take the token */
bool aws_sso_is_refusal(const struct aws_error *error);
/** aws_sso_response() - GetRoleCredentials' @answer as the AWS CLI keeps it. Return: caller's; NULL: makes no sense, or no memory */
json_t *aws_sso_response(const struct aws_sso *s, json_t *answer);
/** aws_sso_role_error() - what a refusal by GetRoleCredentials means here; an expired token is the caller's */
void aws_sso_role_error(struct aws_error *error, const struct aws_sso *s);

#endif
