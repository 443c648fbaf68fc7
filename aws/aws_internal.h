// SPDX-License-Identifier: MIT
/* aws_internal.h - what the files of aws/ share; no other folder includes it, tests of this folder do */
#ifndef AWS_AWS_INTERNAL_H
#define AWS_AWS_INTERNAL_H

#include <curl/curl.h>
#include <jansson.h>

#include "aws/aws.h"
#include "base/addr.h"
#include "base/buf.h"
#include "base/list.h"
#include "base/util.h"

#define AWS_CALLS_MAX 64U	  /* ours */
#define AWS_ANSWER_MAX MIB(1)	  /* bytes of an answer's body; ours */
#define AWS_FILE_MAX MIB(1)	  /* bytes of a profile file; ours */
#define AWS_ATTEMPTS_MAX 3U	  /* botocore's standard retry mode: max_attempts */
#define AWS_REGION_MAX 64U	  /* 63 and NUL; botocore utils.py validate_region_name */
#define AWS_HOST_MAX 256U	  /* a DNS name and NUL */
#define AWS_STREAM_URL_MAX KIB(8) /* ours; live ones have some 200 bytes */

/* All in ms. Tests make them short. */
struct aws_limits {
	uint32_t connect_ms; /* TCP, proxy and TLS of one attempt */
	uint32_t attempt_ms; /* one attempt as a whole */
	uint32_t call_ms;    /* all attempts, their look-ups and pauses */
	uint32_t backoff_ms; /* the longest pause before the second attempt; doubles */
	uint32_t idle_ms;    /* kept connections and the CA store are given back after it */
};

struct aws {
	struct loop *loop;
	const struct svc *svc;
	char *home;
	const char *(*getenv)(void *ctx, const char *name);
	void *getenv_ctx;
	uint32_t mark;
	CURLM *multi; /* NULL while idle */
	struct loop_timer multi_timer, idle_timer;
	struct hnd_table calls; /* of struct call */
	struct list accounts;
	struct aws_limits limits;
};

struct aws_account {
	struct aws *aws; /* NULL once that has gone */
	struct list_node node;
	char *profile, *region;
	char *access_key, *secret_key, *session_token;
	char *endpoint_url, *ca_bundle;
	char *ca_bundle_found, *proxy_found; /* last answers of the two public look-ups */
};

/* aws.c */
const char *aws_env(const struct aws *a, const char *name); /* NULL if unset or empty */
/** aws_multi() - the multi handle, made when needed. Return: NULL if there is no memory */
CURLM *aws_multi(struct aws *a);
/** aws_multi_kick() - libcurl has new work: ask it when it wants to be called */
void aws_multi_kick(struct aws *a);

/* aws_ini.c: the format of both files as botocore (Python's RawConfigParser) reads it */
struct aws_ini;
/** aws_ini_parse() - Return: 0; ST_EFORMAT and *@bad_line (from 1); ST_ENOMEM */
int aws_ini_parse(struct aws_ini **out, const char *text, size_t len, uint32_t *bad_line);
void aws_ini_free(struct aws_ini *ini); /* wipes; NULL is fine */
bool aws_ini_has(const struct aws_ini *ini, const char *section);
/** aws_ini_get() - lines of a value are joined by '\n'. Return: NULL if absent; valid as long as @ini */
const char *aws_ini_get(const struct aws_ini *ini, const char *section, const char *key);
/** aws_ini_profile() - the section of the config file that holds @profile: "default", "profile x",
 * "profile 'x y'"; the last one wins. Return: NULL if none */
const char *aws_ini_profile(const struct aws_ini *ini, const char *profile);

/* aws_profile.c: the profile that an account uses, read anew for each attempt */
struct aws_profile {
	const char *name; /* borrowed from the account or the environment */
	bool is_chosen;	  /* by flag or configuration: then keys of the environment don't count */
	bool exists;
	struct aws_ini *config, *creds; /* NULL: no such file */
	const char *config_section;	/* NULL: the config file lacks it */
	char *config_path, *creds_path;
};
/** aws_profile_load() - Return: 0; the error's code, with @error filled in */
int aws_profile_load(struct aws_profile *p, const struct aws_account *acc, struct aws_error *error);
void aws_profile_fini(struct aws_profile *p);
/** aws_profile_get() - a key of the profile: credentials file before config file; nested values are absent */
const char *aws_profile_get(const struct aws_profile *p, const char *key);

/* aws_creds.c */
struct aws_creds {
	char *access_key, *secret_key, *token; /* token NULL: none */
};
int aws_creds_find(struct aws_creds *out, const struct aws_account *acc,
		   const struct aws_profile *p, struct aws_error *error);
void aws_creds_wipe(struct aws_creds *c);
void aws_secret_free(char *secret); /* wipes; NULL is fine */

/* aws_endpoint.c */
struct aws_endpoint {
	char region[AWS_REGION_MAX];
	char *url;		 /* with path, normalised */
	char host[AWS_HOST_MAX]; /* without brackets */
	uint16_t port;
	bool tls, port_is_default;
	char *ca_bundle;	       /* NULL: the system's */
	char *proxy;		       /* URL; NULL: none; may hold a password */
	char proxy_host[AWS_HOST_MAX]; /* "" without proxy */
	uint16_t proxy_port;
};
int aws_endpoint_find(struct aws_endpoint *out, const struct aws_account *acc,
		      const struct aws_profile *p, struct aws_error *error);
void aws_endpoint_fini(struct aws_endpoint *e);
/** aws_proxy_find() - as Python's urllib chooses. Return: 0 and *@out (NULL: none; caller frees); ST_ENOMEM */
int aws_proxy_find(char **out, const struct aws *a, bool tls, const char *host, uint16_t port);
bool aws_region_is_valid(const char *region);
/** aws_ca_bundle_find() - Return: 0 and *@out (NULL: the system's; caller frees); ST_ENOMEM */
int aws_ca_bundle_find(char **out, const struct aws_account *acc, const struct aws_profile *p);
/** aws_path_expand() - "~" and "~/x" with the caller's home; caller frees; NULL without memory */
char *aws_path_expand(const struct aws *a, const char *path);

/* aws_ops.c, aws_call.c */
enum aws_op { AWS_START_SESSION, AWS_RESUME_SESSION, AWS_TERMINATE_SESSION, AWS_OP_N };
struct aws_op_row {
	const char *name, *iam;
};
extern const struct aws_op_row aws_ops[AWS_OP_N];

/* What one answer means to its operation; @root may be NULL (not an object), its secrets are wiped by the caller.
 * Calls the owner back. */
struct aws_request {
	enum aws_op op;
	char *body;    /* JSON; owned */
	char *subject; /* target or session id, for messages; owned */
	aws_session_fn *session_fn;
	aws_done_fn *done_fn;
	void *arg;
};
/** aws_op_answer() - reads the JSON body of a 200. Return: 0 and @out (points into @root); an error code with
 * @error filled in */
int aws_op_answer(struct aws_session *out, json_t *root, const struct aws_request *rq, bool tls,
		  struct aws_error *error);
/** aws_call_begin() - takes rq->body and rq->subject, also on failure. Return: 0; ST_EFULL; ST_ENOMEM */
int aws_call_begin(struct aws_account *acc, aws_call *out, const struct aws_request *rq);
/** aws_call_done() - libcurl is through with @easy */
void aws_call_done(struct aws *a, CURL *easy, CURLcode code);
void aws_calls_drop(struct aws *a, const struct aws_account *acc); /* all of @acc, or all if NULL */

/* aws_http.c: one attempt; all zero when there is none */
struct aws_answer_head {
	long status; /* 0: no answer */
	char request_id[80], error_type[128];
	int64_t date_s; /* of the Date header; 0: none */
};
struct aws_http {
	CURL *easy;
	struct curl_slist *headers, *resolve;
	struct buf answer;
	struct aws_answer_head head;
	uint32_t mark;
	bool too_big;
	char text[CURL_ERROR_SIZE];
};
/** aws_http_resolve() - the addresses that @host has; before aws_http_send(). Return: 0; ST_ENOMEM */
int aws_http_resolve(struct aws_http *h, const char *host, uint16_t port,
		     const struct net_addr *addrs, size_t n);
/** aws_http_send() - the rest is borrowed until aws_http_end(); @owner is what CURLINFO_PRIVATE gives back.
 * Return: 0; ST_ENOMEM */
int aws_http_send(struct aws_http *h, struct aws *a, const struct aws_endpoint *at,
		  const struct aws_creds *creds, const struct aws_request *rq, uint32_t within_ms,
		  void *owner);
void aws_http_end(struct aws_http *h, struct aws *a); /* wipes; may be called at any time */

/* aws_error.c */
struct aws_transport {
	CURLcode code;
	const char *detail;	       /* libcurl's text; may be "" */
	long os_errno, connect_status; /* status of the proxy's answer to CONNECT; 0: none */
	const struct aws_endpoint *endpoint;
	bool too_big;
};
/** aws_error_set() - everything else is cleared. Return: @err */
int aws_error_set(struct aws_error *e, int err, const char *fmt, ...) ST_PRINTF(3, 4);
void aws_error_hint(struct aws_error *e, const char *fmt, ...) ST_PRINTF(2, 3);
void aws_error_from_answer(struct aws_error *e, const struct aws_request *rq, const char *region,
			   const struct aws_answer_head *head, json_t *root, unsigned retries);
void aws_error_from_transport(struct aws_error *e, const struct aws_transport *t);

#endif
