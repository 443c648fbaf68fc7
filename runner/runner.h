// SPDX-License-Identifier: MIT
/*
 * runner.h - the process that runs what may block or misbehave (design, decision 14)
 *
 * Forked before any thread, library initialisation or parsing of a user's file; has the caller's uid and groups,
 * no capabilities, and no descriptor of the daemon's but its end of a socket pair. Each job runs in a child
 * of the runner that is killed at its deadline: a job may block, crash or leak and harms nobody.
 */
#ifndef RUNNER_RUNNER_H
#define RUNNER_RUNNER_H

#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/handle.h"
#include "base/loop.h"
#include "base/svc.h"

#define RUN_JOBS_MAX 64U      /* jobs waiting or running; beyond: ST_EFULL */
#define RUN_PARALLEL 16U      /* children at once */
#define RUN_DATA_MAX KIB(192) /* bytes of a request or an answer (SOCK_SEQPACKET) */
#define RUN_KINDS_MAX 16U

/*
 * A kind of job: code that runs in the child. Registered by number before the fork, so that folders
 * above runner/ can bring their own (tunnel: ssh-agent, aws: credential_process).
 * @in: @in_len bytes from the daemon. @out: at most RUN_DATA_MAX bytes, *@out_len is set.
 * Return: 0 or a negative ST_E*, handed to the daemon as is. May block; must not log secrets.
 */
typedef int run_job_fn(const uint8_t *in, size_t in_len, uint8_t *out, size_t *out_len);

struct run_kind {
	const char *name;
	run_job_fn *fn;
};

/* Kinds 0 .. are the caller's; this one is the runner's own. */
#define RUN_KIND_RESOLVE 0U

struct run_identity {
	uint32_t uid, gid;
	const uint32_t *groups; /* supplementary groups, @n_groups of them */
	size_t n_groups;
	const char *home; /* HOME and the clean environment's USER, SHELL */
	const char *user, *shell;
	const char *const *
		env; /* further "NAME=value" that jobs may see (AWS_PROFILE, SSH_AUTH_SOCK, …), NULL-terminated */
};

/**
 * run_fork() - fork the runner; @kinds[0] must be NULL-named (RUN_KIND_RESOLVE is built in)
 * The child closes every descriptor but 2 and its end, drops to @id and serves until its end is closed; it has said that it could
 * drop to @id before this returns. A process that is not root can only take the identity that it has.
 * Return: 0, *@fd (ours, SOCK_SEQPACKET) and *@pid (the caller's to wait for); ST_ESYS (logged)
 */
int run_fork(int *fd, int *pid, const struct run_identity *id, const struct run_kind *kinds,
	     size_t n);

/* ---- the daemon's side ---- */

struct runner;

typedef handle run_job;
/* @err: 0, what the job returned (with its data), ST_ETIMEOUT (counted from run_start(), waiting included), ST_ESYS (the job crashed),
 * ST_EINVAL (no such kind), ST_ECLOSED (the runner died). @out: borrowed until return, wiped then. May call anything, run_free() too. */
typedef void run_done_fn(void *arg, int err, const uint8_t *out, size_t len);

/** run_new() - takes @fd, also on failure once there is memory for the runner. Return: 0; ST_ENOMEM; ST_ESYS */
int run_new(struct runner **out, struct loop *loop, int fd);
/** run_free() - no callback comes any more; the runner process ends by itself */
void run_free(struct runner *r);
/** run_start() - Return: 0 and *@out; ST_EFULL; ST_ECLOSED; ST_EINVAL (too long, unknown kind) */
int run_start(struct runner *r, run_job *out, uint32_t kind, const void *in, size_t len,
	      uint32_t timeout_ms, run_done_fn *done, void *arg);
void run_cancel(struct runner *r, run_job id); /* no callback; stale is fine */

/** run_note_log() - the runner and its later jobs write their log to @log_fd (borrowed) from now on: a detached daemon's runner must not
 * hold the launcher's stderr open. Return: 0; ST_EAGAIN (requests wait to be sent: try later); ST_ECLOSED; ST_ESYS (logged) */
int run_note_log(struct runner *r, int log_fd);

#define RUN_RESOLVE_ADDRS 16U
/* @err: 0; ST_ENOENT no such name; ST_ETIMEOUT; ST_ESYS. @text: the resolver's own words on failure. */
typedef void run_resolved_fn(void *arg, int err, const struct net_addr *addrs, size_t n,
			     const char *text);
/** run_resolve() - addresses of @host (a literal address is answered without a job, from the loop's next turn) */
int run_resolve(struct runner *r, run_job *out, const char *host, uint32_t timeout_ms,
		run_resolved_fn *done, void *arg);

struct ask;

/* What aws/ and tunnel/ ask of the process that wires them (base/svc.h), served by a runner and a terminal. */
struct run_svc {
	struct svc svc; /* its ctx is this struct, which must not move */
	struct runner *runner;
	struct ask *ask;
};
/** run_svc_init() - both are borrowed; @ask NULL: nobody is asked */
void run_svc_init(struct run_svc *s, struct runner *r, struct ask *ask);

#endif
