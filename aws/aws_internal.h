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
#define AWS_KEY_ID_MAX 129U	  /* 128 and NUL; STS model accessKeyIdType */
#define AWS_STREAM_URL_MAX KIB(8) /* ours; live ones have some 200 bytes */

/* All in ms. Tests make them short. */
struct aws_limits {
	uint32_t connect_ms; /* TCP, proxy and TLS of one attempt */
	uint32_t attempt_ms; /* one attempt as a whole */
	uint32_t call_ms;    /* all attempts, their look-ups and pauses */
	uint32_t backoff_ms; /* the longest pause before the second attempt; doubles */
	uint32_t poll_ms;    /* what a second of a login's polling interval lasts */
	uint32_t idle_ms;    /* kept connections and the CA store are given back after it */
	uint32_t process_ms; /* a credential_process as a whole */
	uint32_t file_ms;    /* a job that reads or writes a file */
	uint32_t container_ms,
		container_pause_ms; /* one request to the endpoint, and between two */
	uint32_t imds_quiet_ms;	    /* IMDS that did not answer is not asked again before */
	uint32_t mfa_ms;	    /* how long a person has to type a code */
};

struct aws {
	struct loop *loop;
	const struct svc *svc;
	char *home;
	const char *(*getenv)(void *ctx, const char *name);
	void *getenv_ctx;
	uint32_t mark;
	CURLM *multi;	   /* NULL while idle */
	struct list socks; /* that libcurl wants watched */
	bool dropped;	   /* one of them went in this action */
	struct loop_timer multi_timer, idle_timer;
	struct hnd_table calls; /* of struct call */
	struct list accounts;
	struct list mfa; /* aws_mfa.c: of struct aws_mfa, who asks for a code */
	struct aws_limits limits;
	const char *container_base, *imds_base; /* URLs of AWS; tests have their own */
	uint64_t imds_quiet_until_ms;		/* loop's time until which IMDS is not asked */
	struct aws_sso_memory *sso;		/* aws_sso_token.c; NULL: nothing to remember yet */
};

struct aws_account {
	struct aws *aws; /* NULL once that has gone */
	struct list_node node;
	char *profile, *region;
	char *access_key, *secret_key, *session_token;
	char *endpoint_url, *ca_bundle;
	void (*changed)(void *arg);
	void *changed_arg;
	char *ended_key; /* access key id that a service has called expired, with what it said; NULL: none */
	struct aws_error *ended;
	char *ca_bundle_found, *proxy_found; /* last answers of the public look-ups */
	char region_found[AWS_REGION_MAX], *profile_found;
	char refused[AWS_KEY_ID_MAX]; /* access key id that a service has last called expired; "" */
	int64_t skew_s; /* what to add to our clock to have the service's; 0 while it is within 60 s */
	struct aws_chain *chain;	 /* aws_chain.c; made when first needed */
	struct aws_watch *watch;	 /* aws_watch.c; NULL: nothing is watched */
	struct aws_explained *explained; /* aws_explain.c; NULL: nothing */
	uint64_t imds_quiet_until_ms;	 /* loop's time until which IMDS is not asked */
};

/* aws.c */
/** aws_free_wiping() - free() that zeroes first: what jansson, libcurl and expat get as theirs */
void aws_free_wiping(void *p);
const char *aws_env(const struct aws *a, const char *name); /* NULL if unset or empty */
/** aws_multi_init() - lists and timers; without a multi handle */
void aws_multi_init(struct aws *a);
/** aws_multi_close() - after the last call: the multi handle, its connections and watches; nothing without one */
void aws_multi_close(struct aws *a);
/** aws_socket_open() - CURLOPT_OPENSOCKETFUNCTION; @arg: the struct aws. See aws_multi.c for why */
curl_socket_t aws_socket_open(void *arg, curlsocktype purpose, struct curl_sockaddr *at);
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
/** aws_ini_section() - the section "[KIND name]" of the config file, quoted as a profile's ("sso-session x"); the last one wins.
 * Return: NULL if none */
const char *aws_ini_section(const struct aws_ini *ini, const char *kind, const char *name);
/** aws_ini_nested() - @key of the lines "key = value" that stand indented below @block of @section; the last one wins.
 * Return: 0 and *@out (caller frees); ST_ENOENT if absent or empty; ST_ENOMEM */
int aws_ini_nested(char **out, const struct aws_ini *ini, const char *section, const char *block,
		   const char *key);

/* aws_profile.c: the two files and one profile of them, read anew for each attempt */
struct aws_profile {
	const char *name; /* borrowed from the account, the environment, or whoever selected it */
	bool is_chosen;	  /* by flag or configuration: then keys of the environment don't count */
	bool exists;
	struct aws_ini *config, *creds; /* NULL: no such file */
	const char *config_section;	/* NULL: the config file lacks it */
	char *config_path, *creds_path;
	bool is_view; /* of another one's files */
};
/** aws_profile_load() - Return: 0; the error's code, with @error filled in */
int aws_profile_load(struct aws_profile *p, const struct aws_account *acc, struct aws_error *error);
/** aws_profile_select() - another profile of the files that @of holds, which must outlive it; @name is borrowed. p->exists tells whether there is one */
void aws_profile_select(struct aws_profile *p, const struct aws_profile *of, const char *name);
void aws_profile_fini(struct aws_profile *p);
/** aws_profile_stamp() - a number that changes when one of the two files does: inode, size, time; nothing is read */
uint64_t aws_profile_stamp(const struct aws_account *acc);
/** aws_profile_get() - a key of the profile: credentials file before config file; nested values are absent */
const char *aws_profile_get(const struct aws_profile *p, const char *key);

/* aws_time.c */
#define AWS_TIME_STR 24U
/** aws_time_parse() - an ISO 8601 time as @text has it (see there). Return: 0 and *@out (Unix time); ST_EFORMAT */
int aws_time_parse(int64_t *out, const char *text);
/** aws_time_print() - "2026-11-26T10:00:00Z", as AWS and its CLI write times. Return: @out */
const char *aws_time_print(char out[AWS_TIME_STR], int64_t time_s);

/* ---- credentials ---- */

struct aws_creds {
	char *access_key, *secret_key, *token; /* token NULL: none */
	int64_t expires_s;		       /* Unix time; 0: not known to end */
	int64_t again_s; /* Unix time; their source is asked again from then on; 0: as expires_s has it */
	char source
		[48]; /* where they are from, for -v: "env", "sso", "assume-role", … as botocore names them */
};
void aws_creds_wipe(struct aws_creds *c);
/** aws_creds_copy() - Return: 0; ST_ENOMEM (@out is empty) */
int aws_creds_copy(struct aws_creds *out, const struct aws_creds *from);
/**
 * aws_creds_set() - keys that were found, checked and copied; @where and @secret_name are for messages
 * Return: 0; ST_EAUTH (partial, or characters that no key has), ST_ENOMEM, with @error filled in
 */
int aws_creds_set(struct aws_creds *out, const char *access_key, const char *secret_key,
		  const char *token, const char *where, const char *secret_name,
		  struct aws_error *error);
void aws_secret_free(char *secret); /* wipes; NULL is fine */
/**
 * aws_creds_read() - AccessKeyId, SecretAccessKey, a token and Expiration of an answer in JSON, the form that processes, containers
 * and IMDS share. @token_key: "Token" (it and Expiration must be there) or "SessionToken" (they need not). @source: its name,
 * which begins the message. Return: 0; ST_EAUTH; ST_ENOMEM, with @error filled in
 */
int aws_creds_read(struct aws_creds *out, const json_t *root, const char *token_key,
		   const char *source, struct aws_error *error);
/** aws_retrieval_error() - "Error when retrieving credentials from SOURCE: …" as the AWS CLI has it. Return: @err */
int aws_retrieval_error(struct aws_error *e, int err, const char *source, const char *fmt, ...)
	ST_PRINTF(4, 5);

/* aws_cache.c: ~/.aws/cli/cache, where the AWS CLI keeps temporary credentials for its later runs and we for each other */
#define AWS_CACHE_MIN_S                                                                            \
	900 /* what is kept must live for that long; botocore credentials.py CachedCredentialFetcher */

#define AWS_JSON_NAME_LEN 41 /* hex of a SHA-1, and NUL */
/**
 * aws_json_name() - the SHA-1 of @args (borrowed) as Python's json.dumps(sort_keys=True) writes them; @compact: without blanks
 * Return: 0; ST_ENOMEM; ST_EFULL (64 KiB of JSON)
 */
int aws_json_name(char out[AWS_JSON_NAME_LEN], const json_t *args, bool compact);

struct aws_cache;
/* @c: what was found, borrowed until return; NULL: nothing that may be used, or something was written */
typedef void aws_cache_fn(void *arg, const struct aws_creds *c);
/* One file of it; within its owner's struct, all zero before init. */
struct aws_cache {
	struct aws_account *acc;
	char *path;
	handle job; /* 0: none */
	aws_cache_fn *done;
	void *arg;
	struct aws_creds found;
};
/**
 * aws_cache_init() - @args (borrowed): what is asked for, whose JSON, sorted, as Python writes it, names the file; @compact: without
 * blanks (SSO). Return: 0; ST_ENOMEM; ST_EFULL (64 KiB of JSON)
 */
int aws_cache_init(struct aws_cache *c, struct aws_account *acc, const json_t *args, bool compact,
		   aws_cache_fn *done, void *arg);
void aws_cache_fini(
	struct aws_cache *c); /* ends what is under way without callback; all zero is fine */
/**
 * aws_cache_get() - look there. Nothing is found if there is no file, it makes no sense, or what it keeps ends within
 * AWS_CACHE_MIN_S or was refused by a service, or others may write it. One that others may read is mended.
 * Return: 0, and done() will be called; else there is nothing, and it will not
 */
int aws_cache_get(struct aws_cache *c);
/** aws_cache_put() - keep @response there: {…, "Credentials": {…}}, borrowed. What fails is told to the log. Return: as aws_cache_get() */
int aws_cache_put(struct aws_cache *c, const json_t *response);
/** aws_creds_from_response() - of "Credentials" in @response: AccessKeyId, SecretAccessKey, SessionToken, Expiration. Return: 0; ST_EFORMAT; ST_ENOMEM */
int aws_creds_from_response(struct aws_creds *out, const json_t *response);

typedef void aws_creds_fn(void *arg, const struct aws_error *error, const struct aws_creds *c);

/*
 * aws_chain.c: the account's chain. Temporary credentials are kept until AWS_REFRESH_S before they expire; a refresh serves all
 * who wait for it, and while it fails in the last AWS_REFRESH_S the old ones are used to their end.
 */
#define AWS_REFRESH_S                                                                              \
	300 /* botocore: advisory at 15 min, mandatory at 10; at most half of their life */
/**
 * aws_chain_get() - @refused: the access key id that the service has just called expired or unknown: it is not given again from
 * memory; NULL: none. @done is called once, never from within. Return: 0 and *@out; ST_ENOMEM
 */
int aws_chain_get(struct aws_account *acc, handle *out, const char *refused, aws_creds_fn *done,
		  void *arg);
/** aws_chain_watch() - a person must act: the profile files are watched, too, since what they say is what is asked */
void aws_chain_watch(struct aws_account *acc);
void aws_chain_cancel(struct aws_account *acc, handle wait); /* no callback; stale is fine */
void aws_chain_free(
	struct aws_account *acc); /* no callback; with what it holds; NULL chain is fine */

/*
 * One walk through sources for one profile: the account's own, or for the source profile of a role. A source's begin() starts
 * its step; the step is ended by exactly one of the three functions below, from within begin() or later from the loop; the
 * walk may be gone when they return.
 */
struct aws_walk;
struct aws_source {
	const char *name; /* botocore's METHOD: "env", "assume-role", … */
	void (*begin)(struct aws_walk *w);
	/* drop what begin() started (calls, jobs, questions, nested walks) and free w->state (which may be NULL), wiped; after every step,
	 * also one that was cut short; may be NULL */
	void (*end)(struct aws_walk *w);
};
struct aws_walk {
	struct aws_account *acc;
	struct aws_profile profile; /* whose keys are read */
	bool use_env; /* the environment's keys count: not with a chosen profile, not for a source profile */
	unsigned depth; /* of roles on roles */
	const struct aws_walk
		*above; /* the walk whose role needs this one's credentials; NULL: none */
	const struct aws_source *const *sources; /* NULL-terminated */
	size_t at;
	void *state; /* of the source under way; NULL at begin() */
	aws_creds_fn *done;
	void *arg;
	/* the engine's own */
	bool stepping, stepped, over;
	struct loop_timer begin;
	struct aws_creds result;
	struct aws_error error;
};
#define AWS_ROLES_MAX 8U /* ours: roles on roles */
/** aws_walk_found() - takes what @c holds; what has expired by our clock ends the walk as aws_walk_fail() does */
void aws_walk_found(struct aws_walk *w, struct aws_creds *c);
/** aws_walk_skip() - the source does not apply: the next one is asked; the reason is told with -v when it is another than last time */
void aws_walk_skip(struct aws_walk *w, const char *fmt, ...) ST_PRINTF(2, 3);
/** aws_walk_warn() - told once, and again when it changes, as a warning; no step ends by it */
void aws_walk_warn(struct aws_walk *w, const char *fmt, ...) ST_PRINTF(2, 3);
/** aws_walk_fail() - the source applies and can't answer: the walk ends */
void aws_walk_fail(struct aws_walk *w, const struct aws_error *error);
/** aws_walk_new() - a walk for profile @name of @of's files (borrowed while it walks) below @above. @done once, never from within.
 * Return: 0; ST_ENOMEM */
int aws_walk_new(struct aws_walk **out, const struct aws_walk *above, const char *name,
		 const struct aws_source *const *sources, aws_creds_fn *done, void *arg);
void aws_walk_free(struct aws_walk *w); /* no callback; NULL is fine */

/* aws_exec.c */
/**
 * aws_words_split() - a command line into words as a POSIX shell quotes them (nothing is expanded). @room: strlen(@text) + 1 bytes,
 * which hold the words. Return: how many; ST_EFULL beyond @max; ST_EFORMAT (an open quote or escape), with *@why said
 */
int aws_words_split(char **words, size_t max, char *room, const char *text, const char **why);

/*
 * aws_watch.c: inotify on what a person is waited for. Calls acc->changed when the file appears or is written, or its folder
 * is made; one-shot per aws_watch_add(). Several files may be watched (at most 8; beyond, the 5 s poll of the tunnel serves).
 */
struct aws_watch_seen {
	bool exists;
	uint64_t device, inode, size, changed_ns;
};
/** aws_watch_look() - what @path is like now: before it is read */
void aws_watch_look(struct aws_watch_seen *out, const char *path);
/** aws_watch_add() - @path is absolute; copied. changed() comes from the loop, never from within */
void aws_watch_add(struct aws_account *acc, const char *path);
/** aws_watch_add_since() - the same, and at once if it is no longer as it was when looked at */
void aws_watch_add_since(struct aws_account *acc, const char *path,
			 const struct aws_watch_seen *seen);
void aws_watch_free(struct aws_account *acc); /* no callback; NULL watch is fine */

/*
 * aws_assume.c: what both ways to take on a role share: the cache, then whoever is to ask STS, then the cache again.
 * Within the state of a step; @w's step is ended by it.
 */
struct aws_assume;
struct aws_assume_how {
	enum aws_op op;
	void (*miss)(struct aws_assume
			     *s); /* the cache has nothing: get ready, then aws_assume_call() */
	/* STS refused: mend @e's hint. Return: false: something else is under way, the step goes on */
	bool (*failed)(struct aws_assume *s, struct aws_error *e);
	/* Right before the step is ended: with @error, or @c. May be NULL */
	void (*ending)(struct aws_assume *s, const struct aws_error *error,
		       const struct aws_creds *c);
};
struct aws_assume {
	struct aws_walk *w;
	const struct aws_assume_how *how;
	json_t *args; /* of the request, as far as they are configured: they name the file; RoleArn is one */
	struct aws_cache cache;
	aws_call call; /* 0: none */
	struct aws_creds got;
};
/** aws_assume_init() - takes @args, also on failure. Return: as aws_cache_init() */
int aws_assume_init(struct aws_assume *s, struct aws_walk *w, const struct aws_assume_how *how,
		    json_t *args);
/** aws_assume_again() - look into the cache: for the first time, or once more */
void aws_assume_again(struct aws_assume *s);
/** aws_assume_call() - ask STS, with one more argument unless @name is NULL; @value is secret */
void aws_assume_call(struct aws_assume *s, const struct aws_creds *as, const char *name,
		     const char *value);
void aws_assume_found(struct aws_assume *s, const struct aws_creds *c); /* copies; ends the step */
void aws_assume_fail(struct aws_assume *s, const struct aws_error *error); /* ends the step */
void aws_assume_end(struct aws_assume *s); /* drops all; all zero is fine */

/*
 * aws_mfa.c: the code of a person's MFA device. One step asks for all that want the same file of the cache; the others get
 * what came of it, also the error: its question is the same.
 */
struct aws_mfa;
struct aws_mfa_how {
	void (*code)(void *arg, const char *code);		  /* typed by the person; secret */
	void (*failed)(void *arg, const struct aws_error *error); /* nobody answered */
	/* another one has asked: @error or @c, or both NULL: it has gone before it knew. Begin again then */
	void (*told)(void *arg, const struct aws_error *error, const struct aws_creds *c);
};
struct aws_mfa {
	struct aws_account *acc;
	const struct aws_mfa_how *how;
	void *arg;
	const char *serial, *path;  /* of the device, of the cache's file; borrowed */
	struct aws_watch_seen seen; /* path's file, before it was read */
	handle question;	    /* 0: none */
	unsigned tries;
	char why[128];	       /* the last answer was none; "" */
	struct list_node node; /* in aws->mfa, or in the leader's */
	struct list followers; /* of struct aws_mfa */
	bool is_leader;
	struct loop_task tell;
	struct aws_creds given;
	struct aws_error error;
};
void aws_mfa_init(struct aws_mfa *m, struct aws_account *acc, const char *serial, const char *path,
		  const struct aws_mfa_how *how, void *arg);
/** aws_mfa_lead() - Return: false if another one asks already: told() will be called */
bool aws_mfa_lead(struct aws_mfa *m);
/** aws_mfa_ask() - code() or failed() will be called, failed() also from within: the last thing that the caller does */
void aws_mfa_ask(struct aws_mfa *m);
/** aws_mfa_refused() - STS refused with @e, whose hint is mended if that is for the code. Return: true if the person may give
 * another one: aws_mfa_ask() */
bool aws_mfa_refused(struct aws_mfa *m, struct aws_error *e);
/** aws_mfa_over() - what came of it, for those who wait */
void aws_mfa_over(struct aws_mfa *m, const struct aws_error *error, const struct aws_creds *c);
void aws_mfa_fini(struct aws_mfa *m);

/** aws_role_applies() - does a profile assume a role (not by web identity)? */
bool aws_role_applies(const struct aws_profile *p);

/* The sources, each in the file behind it. */
extern const struct aws_source aws_source_given;  /* aws_creds.c: keys of our configuration */
extern const struct aws_source aws_source_env;	  /* aws_creds.c */
extern const struct aws_source aws_source_shared; /* aws_creds.c: the credentials file */
extern const struct aws_source
	aws_source_login; /* aws_creds.c: of `aws login`, named and not served */
extern const struct aws_source aws_source_config; /* aws_creds.c: the config file */
extern const struct aws_source
	aws_source_role; /* aws_role.c: role_arn with source_profile or credential_source */
extern const struct aws_source
	aws_source_lacking; /* aws_role.c: the last one of a source_profile: it must have credentials */
extern const struct aws_source
	aws_source_web; /* aws_web.c: a web identity token file, of env or profile */
extern const struct aws_source aws_source_sso;	     /* aws_sso.c */
extern const struct aws_source aws_source_process;   /* aws_process.c */
extern const struct aws_source aws_source_container; /* aws_container.c */
extern const struct aws_source aws_source_imds;	     /* aws_imds.c */
extern const struct aws_source *const aws_sources[]; /* aws_chain.c: all, in the AWS CLI's order */
extern const struct aws_source
	*const aws_sources_of_profile[]; /* those that a source_profile may use */

/* ---- endpoints ---- */

enum aws_service {
	AWS_SSM,
	AWS_EC2,
	AWS_EIC,
	AWS_STS,
	AWS_SSO,
	AWS_OIDC,
	AWS_ROUTE53,
	AWS_KMS,
	AWS_SERVICE_N
};

/* aws_endpoint.c */
struct aws_endpoint {
	char region[AWS_REGION_MAX]; /* of the account, for messages */
	char sign_region
		[AWS_REGION_MAX]; /* of the credential scope: another one for global services */
	/* where the region was found: "--region", "AWS_REGION", "profile x", for hints; "" if the caller named it */
	char region_from[64];
	bool fips; /* the region's name asked for it: "fips-x", "x-fips" */
	char *url; /* with path, normalised; an operation's path is joined with one slash */
	char host[AWS_HOST_MAX]; /* without brackets */
	uint16_t port;
	bool tls, port_is_default;
	char *ca_bundle;	       /* NULL: the system's */
	char *proxy;		       /* URL; NULL: none; may hold a password */
	char proxy_host[AWS_HOST_MAX]; /* "" without proxy */
	uint16_t proxy_port;
};
/** aws_endpoint_find() - @region: instead of the account's (SSO's own, a role's); NULL: the account's. Return: 0; the error's code,
 * with @error filled in */
int aws_endpoint_find(struct aws_endpoint *out, const struct aws_account *acc,
		      const struct aws_profile *p, enum aws_service service, const char *region,
		      struct aws_error *error);
/** aws_endpoint_url() - for a plain URL that isn't AWS's (container, IMDS), with a query if it has one; no proxy for loopback
 * and link-local addresses. Return: as aws_endpoint_find() */
int aws_endpoint_url(struct aws_endpoint *out, const struct aws_account *acc, const char *url,
		     struct aws_error *error);
void aws_endpoint_fini(struct aws_endpoint *e);
/** aws_ca_bundle_find() - Return: 0 and *@out (NULL: the system's; caller frees); ST_ENOMEM */
int aws_ca_bundle_find(char **out, const struct aws_account *acc, const struct aws_profile *p);
/** aws_path_expand() - "~", "$HOME" and "${HOME}" at the beginning with the caller's home; caller frees; NULL without memory */
char *aws_path_expand(const struct aws *a, const char *path);

/* aws_region.c */
/** aws_region_find() - Return: the region, valid as long as @acc and @p; NULL: none. *@from: where it was found */
const char *aws_region_find(const struct aws_account *acc, const struct aws_profile *p,
			    char from[64]);
bool aws_region_is_valid(const char *region);
/** aws_region_plain() - "fips-x" and "x-fips" as "x". Return: true if it was one of these */
bool aws_region_plain(char out[AWS_REGION_MAX], const char *region);

/* aws_partition.c */
/** aws_host_find() - the service's host and the region of its signature; any valid @region has one */
void aws_host_find(char host[AWS_HOST_MAX], char sign_region[AWS_REGION_MAX],
		   enum aws_service service, const char *region, bool fips, bool dual_stack);

/* aws_proxy.c */
/** aws_proxy_find() - as Python's urllib chooses. Return: 0 and *@out (NULL: none; caller frees); ST_ENOMEM */
int aws_proxy_find(char **out, const struct aws *a, bool tls, const char *host, uint16_t port);
/** aws_proxy_is_never() - a host that is this machine or its link: what is fetched there takes no proxy */
bool aws_proxy_is_never(const char *host);

/* ---- operations: aws_ops.c (tables), aws_proto.c (what goes out and comes back), aws_xml.c ---- */

enum aws_protocol {
	AWS_JSON,      /* POST /, X-Amz-Target */
	AWS_QUERY,     /* POST /, form; answers XML inside <OpResponse><OpResult> */
	AWS_EC2_QUERY, /* POST /, form with lists as Name.1; answers XML inside <OpResponse> */
	AWS_REST_JSON,
	AWS_REST_XML,
};
enum aws_sign {
	AWS_SIGN_CHAIN,	 /* SigV4 with the account's credentials */
	AWS_SIGN_NOT,	 /* open operations */
	AWS_SIGN_BEARER, /* x-amz-sso_bearer_token */
};
struct aws_service_row {
	const char
		*id; /* of "services" sections and AWS_ENDPOINT_URL_<ID>: "ec2_instance_connect" */
	const char *prefix;  /* of the host: "ec2-instance-connect" */
	const char *signing; /* name in the credential scope */
	const char *target;  /* X-Amz-Target before the dot; NULL */
	const char *version; /* of query protocols; NULL */
};
extern const struct aws_service_row aws_services[AWS_SERVICE_N];
/* A member that has another name on the wire than in the API. */
struct aws_name {
	const char *api, *wire;
};
struct aws_op_row {
	const char *name;
	enum aws_service service;
	enum aws_protocol protocol;
	enum aws_sign sign;
	bool again; /* may be sent again when the connection broke after the request had left */
	const char *method; /* of the REST protocols; NULL: POST */
	const char *path;
	const char *iam;			 /* action that it needs; NULL: none */
	const char *token_in, *token_out, *list; /* pages; NULL: none. list: the member to join */
	const char *item; /* list name of its XML beside "item" and "member"; NULL */
	const struct aws_name
		*names; /* of query and REST members, at any depth; ended by NULLs; NULL: none */
};
extern const struct aws_op_row aws_ops[AWS_OP_N];

/* What one call sends. */
struct aws_outgoing {
	const char *method; /* "POST", "GET", "PUT" */
	char *path;	    /* with query, sorted as SigV4 wants it; "/…" */
	char *body;	    /* NULL: none; secret */
	const char *content_type;
	char target[96];	    /* X-Amz-Target; "" */
	const char *bearer;	    /* borrowed; NULL */
	const char *const *headers; /* further "Name: value", NULL-terminated; borrowed; NULL */
};
/** aws_encode_put() - @len bytes as RFC 3986 has them in a query; what is in @also stays. Return: as buf_put() */
int aws_encode_put(struct buf *b, const char *s, size_t len, const char *also);
/** aws_proto_write() - Return: 0; ST_ENOMEM; ST_EINVAL (deeper than 8, a name of more than 220 bytes, a query's member that is
 * no string); ST_EFULL (256 KiB, 16 members of a query) */
int aws_proto_write(struct aws_outgoing *out, enum aws_op op, const json_t *params);
void aws_outgoing_fini(struct aws_outgoing *o);
/** aws_proto_read() - the body of an answer, whatever its status. Return: 0 and *@out (caller: json_decref()); ST_EFORMAT; ST_ENOMEM */
int aws_proto_read(json_t **out, enum aws_op op, const void *body, size_t len);
/** aws_xml_read() - as aws_answer_fn says: the children of the root element; depth 32, no DTD, no entities but XML's own.
 * Return: 0; ST_EFORMAT; ST_ENOMEM */
int aws_xml_read(json_t **out, const char *item, const void *p, size_t len);

/* ---- calls: aws_call.c, aws_attempt.c, aws_answer.c ---- */

/* Who and where, instead of the account's chain and region; for the sources of credentials. */
struct aws_as {
	const struct aws_creds *creds; /* NULL: the chain, or not signed */
	const char *bearer;
	const char *region; /* NULL or "": the account's */
	bool own_gateway;   /* struct aws_at's */
};
/** aws_ask_as() - as aws_ask(); @as is copied */
int aws_ask_as(struct aws_account *acc, aws_call *out, enum aws_op op, json_t *params,
	       const char *subject, const struct aws_as *as, aws_answer_fn *done, void *arg);

/* One plain HTTP request that is no API call (container, IMDS): one attempt, not signed, no proxy for link-local and loopback. */
struct aws_fetch {
	const char *method, *url;
	const char *const *headers; /* "Name: value", NULL-terminated; secrets are fine; copied */
	uint32_t within_ms;
};
/* @error: no answer. @status and body else, NUL-terminated behind its length, borrowed until return */
typedef void aws_fetch_fn(void *arg, const struct aws_error *error, long status, const char *body,
			  size_t len);
int aws_fetch(struct aws_account *acc, aws_call *out, const struct aws_fetch *f, aws_fetch_fn *done,
	      void *arg);

/* aws_call.c's view of a call */
struct aws_request {
	enum aws_op op;
	json_t *params;	     /* owned; NULL with fetch */
	char *subject;	     /* for messages; owned; may be NULL */
	struct aws_creds as; /* access_key NULL: none given */
	char *bearer, *region;
	bool own_gateway;
	/* a fetch; url NULL: it is none */
	char *url, **headers;
	const char *method;
	uint32_t within_ms;
	aws_fetch_fn *fetch_fn; /* one of the four is not NULL */
	aws_answer_fn *answer_fn;
	aws_session_fn *session_fn;
	aws_done_fn *done_fn;
	void *arg;
};
/** aws_call_begin() - takes rq->params, which may be NULL for want of memory, also on failure; @subject and @as are copied and may
 * be NULL. Return: 0; ST_EFULL; ST_ENOMEM */
int aws_call_begin(struct aws_account *acc, aws_call *out, const struct aws_request *rq,
		   const char *subject, const struct aws_as *as);
/** aws_call_done() - libcurl is through with @easy */
void aws_call_done(struct aws *a, CURL *easy, CURLcode code);
void aws_calls_drop(struct aws *a, const struct aws_account *acc); /* all of @acc, or all if NULL */
/** aws_session_read() - StartSession's and ResumeSession's answer. Return: 0 and @out (points into @root); an error code with
 * @error filled in */
int aws_session_read(struct aws_session *out, enum aws_op op, json_t *root, bool tls,
		     struct aws_error *error);

/* aws_sign.c: Signature Version 4 */
struct aws_to_sign {
	const char *method, *url; /* the URL as it is sent: absolute, its query sorted by name */
	const struct curl_slist
		*headers; /* "Name: value", no name twice; Host and X-Amz-Date are among them */
	const void *body;
	size_t body_len;
	const char *date;	       /* as X-Amz-Date: "20150830T123600Z" */
	const char *region, *service;  /* of the credential scope */
	const struct aws_creds *creds; /* whose token, if there is one, is among the headers */
};
/** aws_sign() - appends the value of the Authorization header to @out. Return: 0; ST_ENOMEM; ST_EFULL (24 headers; 128 KiB of them) */
int aws_sign(struct buf *out, const struct aws_to_sign *s);

/* aws_explain.c: why StartSession's target is not connected */
struct aws_explain;
struct aws_explained;
#define AWS_EXPLAIN_MS 3000U /* ours: what the explanation may add to a failure */
typedef void aws_explained_fn(void *arg, const struct aws_error *error);
/** aws_explain_new() - @error, copied, comes back with a better hint if one is found. @done is called once, never from within, and frees.
 * Return: 0 and *@out; ST_ENOENT (no such thing for this kind of target); ST_EFULL; ST_ENOMEM */
int aws_explain_new(struct aws_explain **out, struct aws_account *acc,
		    const struct aws_error *error, const char *target,
		    const struct aws_endpoint *at, aws_explained_fn *done, void *arg);
void aws_explain_free(struct aws_explain *x); /* no callback; NULL is fine */
void aws_explained_free(struct aws_explained *e);

/* aws_http.c: one attempt; all zero when there is none */
struct aws_answer_head {
	long status; /* 0: no answer */
	char request_id[80], error_type[128];
	int64_t date_s;		/* of the Date header; 0: none */
	uint32_t retry_after_s; /* of Retry-After; 0: none */
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
/* What is sent, how and to whom; all borrowed until aws_http_end(). */
struct aws_http_send {
	const struct aws_endpoint *at;
	const struct aws_outgoing *out;
	const struct aws_creds *creds; /* NULL: not signed */
	const char *signing;	       /* service in the credential scope */
	int64_t skew_s;		       /* what to add to our clock to have the service's */
	uint32_t within_ms;
	void *owner; /* what CURLINFO_PRIVATE gives back */
};
/** aws_http_resolve() - the addresses that @host has; before aws_http_send(). Return: 0; ST_ENOMEM */
int aws_http_resolve(struct aws_http *h, const char *host, uint16_t port,
		     const struct net_addr *addrs, size_t n);
/** aws_http_send() - Return: 0; ST_ENOMEM */
int aws_http_send(struct aws_http *h, struct aws *a, const struct aws_http_send *s);
void aws_http_end(struct aws_http *h, struct aws *a); /* wipes; may be called at any time */

/* ---- aws_prefixes.c: prefixes as sets ---- */
struct aws_prefixes {
	struct net_prefix *v;
	size_t n, cap;
	size_t lost; /* beyond AWS_PREFIXES_RAW_MAX */
};
#define AWS_PREFIXES_RAW_MAX 16384U /* ours: before they are made few */
/**
 * aws_prefixes_add() - @text as an answer has it. What is no prefix, as good as a default route (shorter than /8, in IPv6 /7) or never
 * routed (link-local and the like) is left out. Return: 0; ST_ENOMEM
 */
int aws_prefixes_add(struct aws_prefixes *s, const char *text);
/** aws_prefixes_add_cut() - the part of @text that lies in @within (of the same family; none: all of it). Return: 0; ST_ENOMEM */
int aws_prefixes_add_cut(struct aws_prefixes *s, const char *text,
			 const struct aws_prefixes *within);
/** aws_prefixes_reduce() - both sorted; what lies in another one is left out: an own one in an own one, a routed one in any. Only
 * beyond @max together are neighbours joined, and if that is not enough, the longest prefixes cut, routed ones first.
 * Return: how many were cut */
size_t aws_prefixes_reduce(struct aws_prefixes *own, struct aws_prefixes *routed, size_t max);
void aws_prefixes_fini(struct aws_prefixes *s);

/* ---- aws_error.c ---- */
struct aws_transport {
	CURLcode code;
	const char *detail;	       /* libcurl's text; may be "" */
	long os_errno, connect_status; /* status of the proxy's answer to CONNECT; 0: none */
	const struct aws_endpoint *endpoint;
	bool too_big;
};
/* What an answer that is no success is judged by. */
struct aws_failure {
	enum aws_op op;
	const char *subject; /* may be NULL */
	const struct aws_endpoint *at;
	const struct aws_answer_head *head;
	const json_t *root;  /* NULL: not readable */
	const char *profile; /* for the line to run */
	const char *source;  /* of the credentials; may be NULL */
	int64_t skew_s;	     /* what the request's date was made up for */
	unsigned retries;
};
/* What to say beside an error; aws_hint.c */
enum aws_hint {
	HINT_NONE,
	HINT_DENIED,
	HINT_EXPIRED,
	HINT_LOGIN,
	HINT_NO_ROLE,
	HINT_UNKNOWN_KEY,
	HINT_SIGNATURE,
	HINT_NO_KEY,
	HINT_OFFLINE,
	HINT_DOCUMENT,
	HINT_SESSION,
	HINT_TARGET,
	HINT_UNKNOWN,
	HINT_STOPPED,
	HINT_KMS,
	HINT_ACCOUNT,
	HINT_THROTTLED,
	HINT_SERVICE,
};
/** aws_hint_fill() - @message: the service's, as it came */
void aws_hint_fill(struct aws_error *e, enum aws_hint hint, const struct aws_failure *f,
		   const char *message);
/* "eu-west-1 (from AWS_REGION)", by value so that a call can hold several */
struct region_text {
	char s[AWS_REGION_MAX + 80];
};
struct region_text aws_region_text(const struct aws_endpoint *at);
/* A word in a line that a person is to run: as it is, or in single quotes; by value */
struct shell_word {
	char s[160];
};
struct shell_word aws_shell_word(const char *word);
/** aws_error_set() - everything else is cleared. Return: @err */
int aws_error_set(struct aws_error *e, int err, const char *fmt, ...) ST_PRINTF(3, 4);
void aws_error_hint(struct aws_error *e, const char *fmt, ...) ST_PRINTF(2, 3);
void aws_error_from_answer(struct aws_error *e, const struct aws_failure *f);
void aws_error_from_transport(struct aws_error *e, const struct aws_transport *t);
/** aws_error_is_expired() - the service says that the credentials (not the caller's rights) are at an end: the chain is asked again */
bool aws_error_is_expired(const struct aws_error *e);
/** aws_error_is_transient() - the service says that the same call is worth another attempt at once */
bool aws_error_is_transient(const struct aws_error *e);

#endif
