// SPDX-License-Identifier: MIT
/* aws_fixture.h - a struct aws with an environment, a home and a resolver made up by the test */
#ifndef TESTS_AWS_FIXTURE_H
#define TESTS_AWS_FIXTURE_H

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

#define FX_ENV_MAX 16

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

static inline void fx_cancel(void *ctx, handle job)
{
	struct fx *f = ctx;

	(void)job;
	f->cancels++;
	loop_timer_cancel(f->loop, &f->resolver);
}

static inline void fx_write(const struct fx *f, const char *name, const char *text)
{
	char path[160];
	FILE *file;

	snprintf(path, sizeof(path), "%s/.aws/%s", f->home, name);
	file = fopen(path, "w");
	assert_non_null(file);
	assert_int_equal(fwrite(text, 1, strlen(text), file), strlen(text));
	assert_int_equal(fclose(file), 0);
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
	f->svc = (struct svc){ .ctx = f, .resolve = fx_resolve, .cancel = fx_cancel };
	loop_timer_init(&f->resolver, fx_resolver_answers, f);
	assert_int_equal(aws_new(&f->aws, &(struct aws_opts){ .loop = f->loop,
							      .svc = &f->svc,
							      .home = f->home,
							      .getenv = fx_getenv,
							      .getenv_ctx = f }),
			 0);
	*state = f;
	return 0;
}

static inline int fx_teardown(void **state)
{
	struct fx *f = *state;
	static const char *const names[] = { "config", "credentials", "ca.pem", "" };
	char path[160];

	aws_free(f->aws);
	loop_free(f->loop);
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		snprintf(path, sizeof(path), "%s/.aws/%s", f->home, names[i]);
		remove(path);
	}
	assert_int_equal(rmdir(f->home), 0);
	free(f);
	return 0;
}

#endif
