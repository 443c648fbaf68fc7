// SPDX-License-Identifier: MIT
/*
 * aws_fixture.h - a struct aws with an environment, a home, a resolver, a runner and a person made up by the test
 *
 * Jobs (svc.run) are the real ones, run in this process and answered from the loop. The person (svc.ask) says the lines of fx_says()
 * in turn, and is nobody before the first of them.
 */
#ifndef TESTS_AWS_FIXTURE_H
#define TESTS_AWS_FIXTURE_H

#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "aws/aws_internal.h"
#include "base/addr.h"
#include "base/err.h"

#define FX_ENV_MAX 32
#define FX_LATER_MAX 8 /* jobs and questions at once */
#define FX_SAYS_MAX 8

struct fx;

/* A job or a question that is answered from the loop's next turn. */
struct fx_later {
	struct fx *f;
	handle id; /* 0: free */
	struct loop_timer timer;
	svc_done_fn *done;
	void *arg;
	int err;
	uint8_t *out;
	size_t len;
};

struct fx {
	struct loop *loop;
	struct aws *aws;
	struct svc svc;
	char home[64];
	struct {
		const char *name, *value;
	} env[FX_ENV_MAX];
	size_t n_env;
	/* the resolver: every name ends at 127.0.0.1, but "nowhere.test" does not exist */
	struct loop_timer resolver;
	svc_resolved_fn *resolved;
	void *resolved_arg;
	char asked[128];
	unsigned resolves, cancels;
	/* the runner */
	struct fx_later later[FX_LATER_MAX];
	handle last_id;
	unsigned jobs[SVC_JOB_N]; /* how many were started */
	/* the person */
	const char *says[FX_SAYS_MAX]; /* NULL: breaks off */
	size_t n_says, asked_n;
	char prompt[256]; /* the last one */
	bool hidden;
};

static inline const char *fx_getenv(void *ctx, const char *name)
{
	const struct fx *f = ctx;

	for (size_t i = 0; i < f->n_env; i++)
		if (strcmp(f->env[i].name, name) == 0)
			return f->env[i].value;
	return NULL;
}

static inline void fx_setenv(struct fx *f, const char *name, const char *value)
{
	assert_true(f->n_env < FX_ENV_MAX);
	f->env[f->n_env].name = name;
	f->env[f->n_env++].value = value;
}

static inline void fx_resolver_answers(void *arg, uint64_t now_ms)
{
	struct fx *f = arg;
	struct net_addr addr;

	(void)now_ms;
	if (strcmp(f->asked, "nowhere.test") == 0) {
		f->resolved(f->resolved_arg, ST_ENOENT, NULL, 0, "Name or service not known");
		return;
	}
	assert_int_equal(net_addr_parse(&addr, "127.0.0.1"), 0);
	f->resolved(f->resolved_arg, 0, &addr, 1, NULL);
}

static inline int fx_resolve(void *ctx, handle *out, const char *host, uint32_t timeout_ms,
			     svc_resolved_fn *done, void *arg)
{
	struct fx *f = ctx;

	assert_true(timeout_ms > 0);
	snprintf(f->asked, sizeof(f->asked), "%s", host);
	f->resolved = done;
	f->resolved_arg = arg;
	f->resolves++;
	*out = 1;
	return loop_timer_set(f->loop, &f->resolver, loop_now_ms(f->loop) + 1);
}

static inline void fx_later_free(struct fx_later *l)
{
	loop_timer_cancel(l->f->loop, &l->timer);
	free(l->out);
	*l = (struct fx_later){ 0 };
}

static inline void fx_later_answers(void *arg, uint64_t now_ms)
{
	struct fx_later own = *(struct fx_later *)arg;

	(void)now_ms;
	((struct fx_later *)arg)->out = NULL;
	fx_later_free(arg);
	own.done(own.arg, own.err, own.out, own.len);
	free(own.out);
}

/* Takes @data. */
static inline int fx_later_add(struct fx *f, handle *out, svc_done_fn *done, void *arg, int err,
			       uint8_t *data, size_t len)
{
	for (size_t i = 0; i < FX_LATER_MAX; i++) {
		struct fx_later *l = &f->later[i];

		if (l->id)
			continue;
		*l = (struct fx_later){ .f = f, .done = done, .arg = arg, .err = err };
		l->id = *out = 1000 + ++f->last_id;
		l->out = data;
		l->len = len;
		loop_timer_init(&l->timer, fx_later_answers, l);
		return loop_timer_set(f->loop, &l->timer, loop_now_ms(f->loop));
	}
	free(data);
	return ST_EFULL;
}

static inline int fx_run(void *ctx, handle *out, enum svc_job_kind kind, const void *in, size_t len,
			 uint32_t timeout_ms, svc_done_fn *done, void *arg)
{
	static int (*const jobs[SVC_JOB_N])(const uint8_t *, size_t, uint8_t *, size_t *) = {
		[SVC_AWS_READ] = aws_read_job,
		[SVC_AWS_WRITE] = aws_write_job,
		[SVC_AWS_PROCESS] = aws_process_job,
	};
	struct fx *f = ctx;
	uint8_t *answer = calloc(1, KIB(192));
	size_t answer_len = 0;
	int err;

	assert_non_null(answer);
	assert_non_null(jobs[kind]);
	assert_true(timeout_ms > 0);
	f->jobs[kind]++;
	err = jobs[kind](in, len, answer, &answer_len);
	return fx_later_add(f, out, done, arg, err, answer, answer_len);
}

static inline int fx_ask(void *ctx, handle *out, const char *prompt, bool hidden,
			 uint32_t timeout_ms, svc_done_fn *done, void *arg)
{
	struct fx *f = ctx;
	const char *line = f->asked_n < f->n_says ? f->says[f->asked_n] : NULL;
	uint8_t *data = line ? (uint8_t *)strdup(line) : NULL;

	assert_true(timeout_ms > 0);
	snprintf(f->prompt, sizeof(f->prompt), "%s", prompt);
	f->hidden = hidden;
	f->asked_n++;
	return fx_later_add(f, out, done, arg, line ? 0 : ST_ECANCELED, data,
			    line ? strlen(line) : 0);
}

static inline void fx_later_cancel(struct fx *f, handle id)
{
	for (size_t i = 0; i < FX_LATER_MAX; i++)
		if (f->later[i].id == id && id)
			fx_later_free(&f->later[i]);
}

static inline void fx_ask_cancel(void *ctx, handle question)
{
	fx_later_cancel(ctx, question);
}

static inline void fx_cancel(void *ctx, handle job)
{
	struct fx *f = ctx;

	f->cancels++;
	if (job == 1)
		loop_timer_cancel(f->loop, &f->resolver);
	else
		fx_later_cancel(f, job);
}

/* The next line that the person types; NULL: breaks off there */
static inline void fx_says(struct fx *f, const char *line)
{
	assert_true(f->n_says < FX_SAYS_MAX);
	f->says[f->n_says++] = line;
	f->svc.ask = fx_ask;
	f->svc.ask_cancel = fx_ask_cancel;
}

static inline void fx_write(const struct fx *f, const char *name, const char *text)
{
	char path[160];
	FILE *file;

	snprintf(path, sizeof(path), "%s/.aws/%s", f->home, name);
	file = fopen(path, "w");
	assert_non_null(file);
	assert_int_equal(fchmod(fileno(file), 0600), 0);
	assert_int_equal(fwrite(text, 1, strlen(text), file), strlen(text));
	assert_int_equal(fclose(file), 0);
}

/* ---- asking the chain ---- */

struct fx_found {
	struct fx *f;
	struct aws_creds *c;
	struct aws_error *e;
};

static inline void fx_on_creds(void *arg, const struct aws_error *error, const struct aws_creds *c)
{
	struct fx_found *found = arg;

	if (error)
		*found->e = *error;
	else
		assert_int_equal(aws_creds_copy(found->c, c), 0);
	loop_stop(found->f->loop);
}

/* What the chain of @acc has. Return: 0 and @c, which the caller wipes; @e->err */
static inline int fx_get(struct fx *f, struct aws_account *acc, const char *refused,
			 struct aws_creds *c, struct aws_error *e)
{
	struct fx_found found = { f, c, e };
	handle wait;

	*c = (struct aws_creds){ 0 };
	*e = (struct aws_error){ 0 };
	assert_int_equal(aws_chain_get(acc, &wait, refused, fx_on_creds, &found), 0);
	assert_int_equal(loop_run(f->loop), 0);
	return e->err;
}

/* The same for an account that lives for one question. */
static inline int fx_find(struct fx *f, const struct aws_account_opts *o, struct aws_creds *c,
			  struct aws_error *e)
{
	struct aws_account *acc;

	assert_int_equal(aws_account_new(&acc, f->aws, o), 0);
	fx_get(f, acc, NULL, c, e);
	aws_account_free(acc);
	return e->err;
}

static inline int fx_setup(void **state)
{
	struct fx *f = calloc(1, sizeof(*f));
	char path[96];

	assert_non_null(f);
	strcpy(f->home, "/tmp/aws-home-XXXXXX");
	assert_non_null(mkdtemp(f->home));
	snprintf(path, sizeof(path), "%s/.aws", f->home);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(loop_new(&f->loop), 0);
	f->svc =
		(struct svc){ .ctx = f, .resolve = fx_resolve, .run = fx_run, .cancel = fx_cancel };
	loop_timer_init(&f->resolver, fx_resolver_answers, f);
	assert_int_equal(aws_new(&f->aws, &(struct aws_opts){ .loop = f->loop,
							      .svc = &f->svc,
							      .home = f->home,
							      .getenv = fx_getenv,
							      .getenv_ctx = f }),
			 0);
	/* AWS's own addresses are not asked: nobody is at this port */
	f->aws->imds_base = f->aws->container_base = "http://127.0.0.1:9";
	*state = f;
	return 0;
}

static inline int fx_remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
	(void)st;
	(void)kind;
	(void)at;
	return remove(path);
}

static inline int fx_teardown(void **state)
{
	struct fx *f = *state;

	aws_free(f->aws);
	for (size_t i = 0; i < FX_LATER_MAX; i++) {
		assert_int_equal(f->later[i].id, 0); /* whoever started it has ended it */
	}
	loop_free(f->loop);
	assert_int_equal(nftw(f->home, fx_remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
	free(f);
	return 0;
}

/* Turns of the loop until @cond, 20 s at most. */
#define TURN_UNTIL(f, cond)                                                                        \
	do {                                                                                       \
		for (unsigned turns_ = 0; !(cond); turns_++) {                                     \
			assert_true(turns_ < 400);                                                 \
			assert_int_equal(loop_turn((f)->loop, 50), 0);                             \
		}                                                                                  \
	} while (0)

#endif
