// SPDX-License-Identifier: MIT
/*
 * aws.h - signed API calls, by libcurl's multi interface on our loop; the only folder that includes libcurl
 *
 * One struct aws per process; one aws_account per upstream (region, endpoint, credentials). Credentials are asked from the
 * chain at every call, never snapshot (decision 11); temporary ones are kept until shortly before they expire.
 */
#ifndef AWS_AWS_H
#define AWS_AWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "base/addr.h"
#include "base/aws_target.h"
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
	/* what credentials come from (an SSO token, a cache, a profile) has changed since a person was last asked for: try
	 * again now. From the loop; may be NULL */
	void (*changed)(void *arg);
	void *changed_arg;
};

/** aws_new() - Return: 0; ST_ENOMEM; ST_ESYS */
int aws_new(struct aws **out, const struct aws_opts *opts);
/** aws_free() - calls under way end without callback; not from a callback of a call; accounts may be freed later. NULL is fine */
void aws_free(struct aws *a);
/** aws_account_new() - strings are copied. Return: 0; ST_ENOMEM */
int aws_account_new(struct aws_account **out, struct aws *a, const struct aws_account_opts *opts);
/** aws_account_free() - its calls end without callback; also from a callback. NULL is fine */
void aws_account_free(struct aws_account *acc);
/** aws_account_ca_bundle(), aws_account_proxy() - what the WebSocket must use too: PEM path or NULL; URL of the proxy to @host
 * (without brackets) and @port or NULL (it may hold a password). Asked anew each time; valid until the next call of the same
 * function on @acc */
const char *aws_account_ca_bundle(struct aws_account *acc);
const char *aws_account_proxy(struct aws_account *acc, bool tls, const char *host, uint16_t port);

#define AWS_TOKEN_MAX KIB(16) /* ours: TokenValue; real ones exceed the model's 300 */

/*
 * err: ST_EAUTH credentials missing or refused; ST_EPERM denied; ST_ENOENT unknown target or session; ST_ECLOSED target
 * not connected; ST_EINVAL no usable region, endpoint, document or parameter; ST_EAGAIN throttled or a fault of the
 * service; ST_EREFUSED, ST_EUNREACH, ST_ETIMEOUT, ST_ETLS transport; ST_EPEER nonsense; ST_ENOMEM
 */
struct aws_error {
	int err;
	bool retryable; /* the same call may succeed later without a person */
	bool person; /* a person must act first: log in, give new keys; the hint has the line to run */
	int http_status; /* 0: no answer */
	char code[128];	 /* "AccessDeniedException"; "" if none; foreign text made safe */
	char request_id[80];
	/* "An error occurred (X) when calling the StartSession operation: …" made safe, one line */
	char text[1024];
	char hint[512]; /* one line that says what to do; "" if nothing is known */
};

/** aws_error_line() - @before, text and hint as one line for a person; @before may be "" */
void aws_error_line(char *out, size_t cap, const char *before, const struct aws_error *e);

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

/* ---- any operation ---- */

enum aws_op {
	AWS_START_SESSION,
	AWS_RESUME_SESSION,
	AWS_TERMINATE_SESSION,
	AWS_DESCRIBE_INSTANCE_INFORMATION,
	AWS_GET_CONNECTION_STATUS,
	AWS_DESCRIBE_SESSIONS,
	AWS_DESCRIBE_INSTANCES,
	AWS_DESCRIBE_VPCS,
	AWS_DESCRIBE_SUBNETS,
	AWS_DESCRIBE_ROUTE_TABLES,
	AWS_DESCRIBE_VPC_PEERING_CONNECTIONS,
	AWS_DESCRIBE_MANAGED_PREFIX_LISTS,
	AWS_GET_MANAGED_PREFIX_LIST_ENTRIES,
	AWS_SEND_SSH_PUBLIC_KEY,
	AWS_ASSUME_ROLE,
	AWS_ASSUME_ROLE_WITH_WEB_IDENTITY,
	AWS_GET_CALLER_IDENTITY,
	AWS_GET_ROLE_CREDENTIALS,
	AWS_CREATE_TOKEN,
	AWS_REGISTER_CLIENT,
	AWS_START_DEVICE_AUTHORIZATION,
	AWS_LIST_HOSTED_ZONES_BY_VPC,
	AWS_GENERATE_DATA_KEY,
	AWS_OP_N
};

/*
 * @answer: an object, borrowed until return. JSON services: as they send it. XML services: an element is an object of its
 * children by name, or a string if it has none; one whose children are "item", "member" or the row's own list name is an
 * array (an empty one is ""; read it with aws_list()). Of an operation with pages it is the first page, with the lists of all
 * pages joined; at most 50 pages and 16 MiB, beyond: ST_EFULL.
 */
typedef void aws_answer_fn(void *arg, const struct aws_error *error, json_t *answer);

/**
 * aws_ask() - @params: the members of the request by their names in the API, taken, also on failure; lists as arrays.
 * @subject: what the call is about (a target, a VPC), for messages; copied; may be NULL.
 * At most 3 attempts and 40 s; @out may be NULL. @done is never called from within.
 * Return: 0 and *@out; ST_EFULL (64 calls under way); ST_ENOMEM
 */
int aws_ask(struct aws_account *acc, aws_call *out, enum aws_op op, json_t *params,
	    const char *subject, aws_answer_fn *done, void *arg);
/* Where a call goes, when it is not where the account's region and endpoints say. */
struct aws_at {
	const char *region; /* NULL or "": the account's */
	bool own_gateway; /* ssm is served by a gateway of ours, which serves this call at the same endpoint */
};
/** aws_ask_at() - aws_ask() elsewhere; @at is copied, NULL: as aws_ask() */
int aws_ask_at(struct aws_account *acc, aws_call *out, enum aws_op op, json_t *params,
	       const char *subject, const struct aws_at *at, aws_answer_fn *done, void *arg);
/** aws_list(), aws_text() - a member of an answer as array or string. Return: NULL if it is absent or something else */
json_t *aws_list(const json_t *object, const char *key);
const char *aws_text(const json_t *object, const char *key);
/** aws_account_region() - the region that calls of @acc go to; valid until the next call of it. NULL: none, or not a valid one */
const char *aws_account_region(struct aws_account *acc);
/** aws_account_profile() - the profile's name as the user would write it behind --profile; "default" if none is named */
const char *aws_account_profile(struct aws_account *acc);

/* ---- jobs of the runner: run_fork() registers them; signature of run_job_fn ---- */

#define AWS_JOB_MAX KIB(128) /* bytes of a file that is read or written; ours, below RUN_DATA_MAX */

/* SVC_AWS_READ. In: a path. Out: uint32_t mode bits of the file, then its bytes; with an error (ST_ENOENT, ST_EPERM: no access or
 * not a regular file, ST_EFULL, ST_ESYS) the system's words without NUL */
int aws_read_job(const uint8_t *in, size_t in_len, uint8_t *out, size_t *out_len);
/* SVC_AWS_WRITE. In: a path, NUL, bytes: replaces the file, 0600; folders that lack are made 0700. Out: nothing;
 * with an error (ST_ENOENT, ST_EPERM, ST_EINVAL: no path, ST_ESYS) the system's words */
int aws_write_job(const uint8_t *in, size_t in_len, uint8_t *out, size_t *out_len);
/* SVC_AWS_PROCESS. In: the command line of credential_process. Out: what it wrote to stdout; with ST_EPERM (it failed): one
 * line on how it ended and, made safe, the end of its stderr */
int aws_process_job(const uint8_t *in, size_t in_len, uint8_t *out, size_t *out_len);

/* ---- what a VPC reaches: aws_vpc.c ---- */

#define AWS_VPC_PREFIXES_MAX 1024U /* ours: own and routed together */
#define AWS_VPC_SUFFIXES_MAX 256U  /* ours */
#define AWS_VPC_MISSING_MAX 8U

struct aws_vpc {
	char instance_id[32], vpc_id[32], subnet_id[32], region[64];
	/* sorted by family and address; no own one lies in another, no routed one in any other */
	struct net_prefix *own;	   /* the VPC's CIDR blocks */
	struct net_prefix *routed; /* what the instance's route table leads to */
	size_t n_own, n_routed;
	char **suffixes; /* names of the private zones, lower case, without the last dot; sorted */
	size_t n_suffixes;
	size_t cut_prefixes, cut_suffixes;	  /* left out beyond the maxima */
	const char *missing[AWS_VPC_MISSING_MAX]; /* IAM actions that were denied, sorted; static */
	size_t n_missing;
	char zones_error[512]; /* Route 53 failed, not by a denial: suffixes are not known; "" */
};
void aws_vpc_free(struct aws_vpc *v); /* NULL is fine */

struct aws_vpc_ask;
/* @vpc: owned by the callee; NULL with @error, which is valid until return */
typedef void aws_vpc_fn(void *arg, const struct aws_error *error, struct aws_vpc *vpc);
/**
 * aws_vpc_find() - everything that an instance reaches, as far as permissions go: CIDR blocks of its VPC, what its route
 * table leads to (see aws_vpc.c), names of the private zones
 * @region: instead of the account's; NULL: the account's. @done is called once, never from within; @out is stale then.
 * The question must be cancelled before @acc or its struct aws are freed.
 * error: ST_ENOENT no such instance, or one without a VPC; ST_EPERM nothing may be asked: the hint names the actions; as aws_error
 * Return: 0 and *@out; ST_EFULL (64 calls under way); ST_ENOMEM
 */
int aws_vpc_find(struct aws_account *acc, struct aws_vpc_ask **out, const char *instance_id,
		 const char *region, aws_vpc_fn *done, void *arg);
void aws_vpc_cancel(struct aws_vpc_ask *q); /* no callback; NULL is fine */
/** aws_id_is_instance() - has @id the form of an EC2 instance's id, i-…? */
bool aws_id_is_instance(const char *id);

/* ---- logging in ---- */

/* What the person opens in a browser: checked to be plain text; borrowed until return. */
struct aws_login_code {
	const char *url, *url_with_code, *code;
	uint32_t expires_s;
};
struct aws_login_result {
	const char *profile; /* that was logged in: maybe the source profile of a role */
	const char *source;  /* "sso", "assume-role", "shared-credentials-file", … */
	bool needed;	     /* false: nothing of this profile needs a login, it has credentials */
	const char *account,
		*role;		 /* of the credentials; NULL: not known, or none were asked for */
	int64_t until_s;	 /* Unix time; when these end; 0: not known to end */
	int64_t session_until_s; /* when SSO's token ends; 0: no SSO */
	bool renews;		 /* and it is renewed by itself */
};
struct aws_login_events {
	void (*code)(void *arg, const struct aws_login_code *code); /* shows it; frees nothing */
	/* once, the last; the login is freed by its owner, also from here. @error NULL: @r */
	void (*done)(void *arg, const struct aws_error *error, const struct aws_login_result *r);
};
struct aws_login;
/**
 * aws_login_new() - log a person in for @acc's profile: SSO by a device code (a token is written where the AWS CLI has it, and tried), a
 * role with MFA by its code (svc->ask); of any other profile it is looked up what it uses. Ends of itself when the code does.
 * Return: 0, and events come from the loop; ST_ENOMEM
 */
int aws_login_new(struct aws_login **out, struct aws_account *acc,
		  const struct aws_login_events *events, void *arg);
void aws_login_free(struct aws_login *l); /* no event; before aws_account_free(); NULL is fine */

/* ---- SSM's sessions ---- */

struct aws_start {
	const char *target, *document, *reason; /* reason may be NULL */
	const char *region;			/* of the target; NULL or "": the account's */
	const char *const *
		parameters; /* "name", "value" pairs, NULL-terminated; each becomes a list of one */
};
/** aws_start_session() - at most 3 attempts and 40 s; @out may be NULL. @done is never called from within.
 * Return: 0 and *@out; ST_EFULL (64 calls under way); ST_ENOMEM */
int aws_start_session(struct aws_account *acc, aws_call *out, const struct aws_start *s,
		      aws_session_fn *done, void *arg);
/** aws_resume_session(), aws_terminate_session() - @region: as StartSession's. Return: as aws_start_session() */
int aws_resume_session(struct aws_account *acc, aws_call *out, const char *session_id,
		       const char *region, aws_session_fn *done, void *arg);
int aws_terminate_session(struct aws_account *acc, aws_call *out, const char *session_id,
			  const char *region, aws_done_fn *done, void *arg);
void aws_cancel(struct aws *a, aws_call call); /* no callback; stale is fine */

/* ---- targets (base/aws_target.h): aws_target.c ---- */

/* What a target stands for now. */
struct aws_found {
	const char *id;	    /* what StartSession takes: "i-…", "mi-…", a gateway's host id */
	const char *region; /* of the target; "": the account's */
	const char *zone;   /* availability zone; "" if nothing was looked up */
	const char *
		name; /* the Name tag; foreign text; "" if there is none, or nothing was looked up */
};
/* Once, from the loop. @error NULL: found. All is borrowed until return. */
typedef void aws_found_fn(void *arg, const struct aws_error *error, const struct aws_found *found);

/* One look-up, in a struct of the caller's; all zero when there is none. */
struct aws_look {
	struct aws_account *acc;
	struct aws_target target;
	aws_call call;
	aws_found_fn *done;
	void *arg;
};
/** aws_target_is_found() - does StartSession take @t as it is, so that nothing need be looked up? */
bool aws_target_is_found(const struct aws_target *t);
/**
 * aws_target_find() - ask EC2's DescribeInstances which running instance @t (copied) is; never a cached answer
 * @error: also ST_ENOENT, none is running (one that is not is named); ST_EINVAL, several are: the text lists 10 of them
 * at most. @done is never called from within.
 * Return: 0; as aws_ask(); ST_EINVAL if aws_target_is_found()
 */
int aws_target_find(struct aws_look *l, struct aws_account *acc, const struct aws_target *t,
		    aws_found_fn *done, void *arg);
void aws_target_find_cancel(struct aws_look *l); /* no callback; none under way is fine */

#endif
