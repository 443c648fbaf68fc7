// SPDX-License-Identifier: MIT
/*
 * aws.h - signed API calls, by libcurl's multi interface on our loop; the only folder that includes libcurl
 *
 * One struct aws per process; one aws_account per upstream (region, endpoint, credentials). Credentials are asked from the
 * chain at every call, never snapshot (decision 11). This version's chain: keys of the configuration, environment (not with a
 * profile given by flag or config), the profile's keys of the credentials file and of the config file.
 */
#ifndef AWS_AWS_H
#define AWS_AWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/handle.h"
#include "base/loop.h"
#include "base/svc.h"

struct aws;
struct aws_account;

struct aws_opts {
	struct loop *loop;
	const struct svc *svc; /* names are resolved there, not by curl; borrowed for life */
	const char *home;      /* of the caller */
	/* the caller's environment as the process found it (design, section 4: under sudo); NULL if unset */
	const char *(*getenv)(void *ctx, const char *name);
	void *getenv_ctx;
	uint32_t mark; /* SO_MARK of our sockets, 0: none */
};

struct aws_account_opts {
	const char *profile, *region;
	const char *access_key, *secret_key, *session_token;
	const char *endpoint_url, *ca_bundle; /* all may be NULL; flag > environment > profile */
};

/** aws_new() - Return: 0; ST_ENOMEM; ST_ESYS */
int aws_new(struct aws **out, const struct aws_opts *opts);
/** aws_free() - calls under way end without callback; not from a callback of a call; accounts may be freed later. NULL is fine */
void aws_free(struct aws *a);
/** aws_account_new() - strings are copied. Return: 0; ST_ENOMEM */
int aws_account_new(struct aws_account **out, struct aws *a, const struct aws_account_opts *opts);
/** aws_account_free() - its calls end without callback; also from a callback. NULL is fine */
void aws_account_free(struct aws_account *acc);
/** aws_account_ca_bundle(), aws_account_proxy() - what the WebSocket must use too: PEM path or NULL; proxy URL for an https host
 * or NULL (it may hold a password). Asked anew each time; valid until the next call of the same function on @acc */
const char *aws_account_ca_bundle(struct aws_account *acc);
const char *aws_account_proxy(struct aws_account *acc, const char *host);

#define AWS_TOKEN_MAX KIB(16) /* ours: TokenValue; real ones exceed the model's 300 */

/*
 * err: ST_EAUTH credentials missing or refused; ST_EPERM denied; ST_ENOENT unknown target or session; ST_ECLOSED target
 * not connected; ST_EINVAL no usable region, endpoint, document or parameter; ST_EAGAIN throttled or a fault of the
 * service; ST_EREFUSED, ST_EUNREACH, ST_ETIMEOUT, ST_ETLS transport; ST_EPEER nonsense; ST_ENOMEM
 */
struct aws_error {
	int err;
	bool retryable;	 /* the same call may succeed later without a person */
	int http_status; /* 0: no answer */
	char code[128];	 /* "AccessDeniedException"; "" if none; foreign text made safe */
	char request_id[80];
	/* "An error occurred (X) when calling the StartSession operation: …" made safe, one line */
	char text[1024];
	char hint[512]; /* one line that says what to do; "" if nothing is known */
};

struct aws_session {
	const char *session_id;
	const char *token;	/* secret */
	const char *stream_url; /* used byte for byte; secret */
	uint32_t max_payload;	/* MaxPayloadBytes of our own gateway; 0: not announced */
};

/* Each is called once, from the loop. @error NULL: success; what is pointed to is valid until return. */
typedef void aws_session_fn(void *arg, const struct aws_error *error, const struct aws_session *s);
typedef void aws_done_fn(void *arg, const struct aws_error *error);

typedef handle aws_call;

struct aws_start {
	const char *target, *document, *reason; /* reason may be NULL */
	const char *const *
		parameters; /* "name", "value" pairs, NULL-terminated; each becomes a list of one */
};
/** aws_start_session() - at most 3 attempts and 40 s; @out may be NULL. @done is never called from within.
 * Return: 0 and *@out; ST_EFULL (64 calls under way); ST_ENOMEM */
int aws_start_session(struct aws_account *acc, aws_call *out, const struct aws_start *s,
		      aws_session_fn *done, void *arg);
int aws_resume_session(struct aws_account *acc, aws_call *out, const char *session_id,
		       aws_session_fn *done, void *arg);
int aws_terminate_session(struct aws_account *acc, aws_call *out, const char *session_id,
			  aws_done_fn *done, void *arg);
void aws_cancel(struct aws *a, aws_call call); /* no callback; stale is fine */

#endif
