// SPDX-License-Identifier: MIT
/*
 * svc.h - what aws/ and tunnel/ ask of the process that wires them
 *
 * They may not call runner/ (design, section 2): the daemon or a session verb hands them this table. A call
 * either fails at once or is answered exactly once from the loop, unless it was cancelled.
 */
#ifndef BASE_SVC_H
#define BASE_SVC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/handle.h"

typedef void svc_resolved_fn(void *arg, int err, const struct net_addr *addrs, size_t n,
			     const char *text);
typedef void svc_done_fn(void *arg, int err, const uint8_t *out, size_t len);

/* Kinds of jobs, the numbers that run_fork() registers. */
enum svc_job_kind {
	SVC_RESOLVE,
	SVC_SSH_AGENT,
	SVC_AWS_READ,
	SVC_AWS_WRITE,
	SVC_AWS_PROCESS,
	SVC_JOB_N
};

struct svc {
	void *ctx;
	int (*resolve)(void *ctx, handle *out, const char *host, uint32_t timeout_ms,
		       svc_resolved_fn *done, void *arg);
	int (*run)(void *ctx, handle *out, enum svc_job_kind kind, const void *in, size_t len,
		   uint32_t timeout_ms, svc_done_fn *done, void *arg);
	void (*cancel)(void *ctx, handle job);
	/* Ask the person at the terminal for one line, without echo if @hidden; one question at a time, the others wait. @done gets
	 * the line without its end, wiped after return; ST_ENOENT: nobody can be asked (no terminal, detached); ST_ECANCELED: the
	 * person broke off; ST_ETIMEOUT. Return: 0; ST_ENOENT; ST_EFULL. The pointer itself is NULL where nobody is ever asked */
	int (*ask)(void *ctx, handle *out, const char *prompt, bool hidden, uint32_t timeout_ms,
		   svc_done_fn *done, void *arg);
	void (*ask_cancel)(void *ctx, handle question); /* no callback; stale is fine */
};

#endif
