// SPDX-License-Identifier: MIT
/* cmd_login.c - `ssm-tun login`: what to open in a browser, and for whom it was */
#include "cli/cli.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <jansson.h>

#include "base/err.h"
#include "base/text.h"
#include "daemon/identity.h"
#include "session/session.h"

/* Of the caller's own clock: "2026-07-01 12:00" */
static const char *when(char out[32], int64_t t_s)
{
	const time_t t = (time_t)t_s;
	struct tm tm;

	if (!localtime_r(&t, &tm) || !strftime(out, 32, "%Y-%m-%d %H:%M", &tm))
		text_copy(out, 32, "?");
	return out;
}

static void print_json(json_t *o)
{
	json_dumpf(o, stdout, JSON_COMPACT);
	putchar('\n');
	fflush(stdout);
	json_decref(o);
}

static void code_show(void *arg, const struct aws_login_code *c)
{
	const struct cli_args *a = arg;

	if (a->json) {
		print_json(json_pack("{s:s, s:s, s:s, s:s, s:i}", "event", "code", "url", c->url,
				     "url_with_code", c->url_with_code, "code", c->code,
				     "expires_in_s", (int)c->expires_s));
		return;
	}
	printf("Open this page in a browser, on whatever device:\n\n    %s\n\n"
	       "or open %s and enter the code %s.\n"
	       "It is waited for, up to %" PRIu32 " minutes; Ctrl-C breaks off.\n",
	       c->url_with_code, c->url, c->code, (c->expires_s + 59) / 60);
	fflush(stdout);
}

static void error_show(const struct cli_args *a, const struct aws_error *e)
{
	char line[sizeof(e->text) + sizeof(e->hint) + 16];

	aws_error_line(line, sizeof(line), "ssm-tun", e);
	fprintf(stderr, "%s\n", line);
	if (a->json)
		print_json(json_pack("{s:s, s:b, s:s, s:s}", "event", "done", "ok", 0, "error",
				     e->text, "hint", e->hint));
}

static json_t *time_json(int64_t t_s)
{
	return t_s ? json_integer(t_s) : json_null();
}

static void result_json(const struct aws_login_result *r)
{
	print_json(json_pack("{s:s, s:b, s:s, s:s, s:b, s:s?, s:s?, s:o, s:o, s:b}", "event",
			     "done", "ok", 1, "profile", r->profile, "source", r->source, "needed",
			     r->needed, "account", r->account, "role", r->role, "until",
			     time_json(r->until_s), "session_until", time_json(r->session_until_s),
			     "renews", r->renews));
}

static void result_show(const struct aws_login_result *r)
{
	char until[32];

	if (!r->needed)
		printf("profile %s needs no login: it has credentials, from %s\n",
		       text_safe(r->profile).s, r->source);
	else if (r->account && r->role)
		printf("logged in: profile %s is the role %s in account %s until %s\n",
		       text_safe(r->profile).s, text_safe(r->role).s, text_safe(r->account).s,
		       when(until, r->until_s));
	else if (r->until_s)
		printf("logged in: profile %s has credentials (%s) until %s\n",
		       text_safe(r->profile).s, r->source, when(until, r->until_s));
	else
		printf("logged in: profile %s\n", text_safe(r->profile).s);
	if (r->session_until_s)
		printf("the login itself lasts until %s%s\n", when(until, r->session_until_s),
		       r->renews ? ", and is renewed by itself" : "");
}

static void done_show(void *arg, const struct aws_error *error, const struct aws_login_result *r)
{
	const struct cli_args *a = arg;

	if (error)
		error_show(a, error);
	else if (a->json)
		result_json(r);
	else
		result_show(r);
}

static int login(const struct cli_args *a, struct identity *id)
{
	static const struct aws_login_events events = { .code = code_show, .done = done_show };
	const bool is_root = geteuid() == 0;
	const char *env[IDENTITY_ENV_MAX + 1];
	const struct session_caller caller = {
		.uid = id->uid,
		.gid = is_root ? id->gid : getegid(), /* newgrp(1) */
		.groups = id->groups,
		.n_groups = (size_t)id->n_groups,
		.home = id->home,
		.user = id->user,
		.shell = id->shell,
		.env = env,
		.getenv = identity_getenv,
		.getenv_ctx = id,
	};
	struct cli_args args = *a;
	struct session *s;
	int r;

	identity_job_env(id, env);
	if (session_new(&s, &caller) < 0)
		return CLI_FAILED;
	r = is_root ? identity_assume(id, false) : 0;
	if (r == 0)
		r = session_login(s, a->name, &events, &args);
	session_free(s);
	if (r == ST_ECANCELED)
		fputs("ssm-tun: broken off\n", stderr);
	return r == 0 ? CLI_OK : CLI_FAILED;
}

int cmd_login(const struct cli_args *a)
{
	struct identity id;

	if (identity_find(&id, identity_needs_run_as() ? "root" : NULL) < 0)
		return CLI_FAILED;
	const int status = login(a, &id);
	identity_fini(&id);
	return status;
}
