// SPDX-License-Identifier: MIT
/*
 * runner_internal.h - what the two ends of the runner's socket share
 *
 * Both ends are the same program, forked: integers are in host order, structs as the compiler lays them out.
 * One packet is a header and header.len bytes.
 */
#ifndef RUNNER_RUNNER_INTERNAL_H
#define RUNNER_RUNNER_INTERNAL_H

#include "base/buf.h"
#include "runner/runner.h"

enum run_op { RUN_OP_START = 1, RUN_OP_CANCEL, RUN_OP_LOG /* with a descriptor */ };

struct run_request {
	uint64_t id;
	uint32_t op, kind, timeout_ms, len;
};

struct run_answer {
	uint64_t id; /* 0: the runner's first word, that it serves or why not */
	int32_t err;
	uint32_t len;
};

/** run_serve() - the runner process: serves @fd until its other end is closed. Return: its exit status */
int run_serve(int fd, const struct run_kind *kinds, size_t n);

/** run_identity_take() - become @id for good: groups, ids, no capabilities, no_new_privs, its environment. Return: 0; ST_EPERM (logged) */
int run_identity_take(const struct run_identity *id);

/** run_detach() - own signals and no descriptor but stderr and @fd; 0 and 1 lead nowhere */
void run_detach(int fd);

/* A child that runs one job. */
struct run_child {
	int pid, pidfd, out_fd; /* out_fd: its answer as struct run_answer and data, non-blocking */
};

/** run_child_start() - Return: 0; ST_ESYS (logged) */
int run_child_start(struct run_child *c, run_job_fn *fn, const uint8_t *in, size_t len);
/** run_child_kill() - SIGKILL to it and all that it started; it remains to be reaped */
void run_child_kill(const struct run_child *c);
/** run_child_reap() - after pidfd has become readable: collects it, kills what it left running, closes. Return: its wait status */
int run_child_reap(struct run_child *c);

/* RUN_KIND_RESOLVE: the name without NUL in; addresses out, or the resolver's words with an error. */
int run_resolve_job(const uint8_t *in, size_t in_len, uint8_t *out, size_t *out_len);
/** run_resolve_decode() - Return: how many addresses of @data were put into @out */
size_t run_resolve_decode(struct net_addr out[RUN_RESOLVE_ADDRS], const uint8_t *data, size_t len);

#endif
