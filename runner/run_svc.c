// SPDX-License-Identifier: MIT
/* run_svc.c - the callback table of base/svc.h, served by a runner and a terminal */
#include "base/ask.h"
#include "runner/runner.h"

static int svc_resolve(void *ctx, handle *out, const char *host, uint32_t timeout_ms,
		       svc_resolved_fn *done, void *arg)
{
	const struct run_svc *s = ctx;

	return run_resolve(s->runner, out, host, timeout_ms, done, arg);
}

static int svc_run(void *ctx, handle *out, enum svc_job_kind kind, const void *in, size_t len,
		   uint32_t timeout_ms, svc_done_fn *done, void *arg)
{
	const struct run_svc *s = ctx;

	return run_start(s->runner, out, kind, in, len, timeout_ms, done, arg);
}

static void svc_cancel(void *ctx, handle job)
{
	const struct run_svc *s = ctx;

	run_cancel(s->runner, job);
}

static int svc_ask(void *ctx, handle *out, const char *prompt, bool hidden, uint32_t timeout_ms,
		   svc_done_fn *done, void *arg)
{
	const struct run_svc *s = ctx;

	return ask_line(s->ask, out, prompt, hidden, timeout_ms, done, arg);
}

static void svc_ask_cancel(void *ctx, handle question)
{
	const struct run_svc *s = ctx;

	ask_cancel(s->ask, question);
}

void run_svc_init(struct run_svc *s, struct runner *r, struct ask *ask)
{
	*s = (struct run_svc){ .runner = r, .ask = ask };
	s->svc = (struct svc){ .ctx = s,
			       .resolve = svc_resolve,
			       .run = svc_run,
			       .cancel = svc_cancel,
			       .ask = ask ? svc_ask : NULL,
			       .ask_cancel = ask ? svc_ask_cancel : NULL };
}
