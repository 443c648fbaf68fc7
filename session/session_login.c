// SPDX-License-Identifier: MIT
/* session_login.c - `ssm-tun login`: one account, one login */
#include "base/err.h"
#include "session/session_internal.h"

struct login {
	struct session *s;
	const struct aws_login_events *events;
	void *arg;
};

static void on_code(void *arg, const struct aws_login_code *code)
{
	const struct login *l = arg;

	l->events->code(l->arg, code);
}

static void on_done(void *arg, const struct aws_error *error, const struct aws_login_result *r)
{
	const struct login *l = arg;

	l->events->done(l->arg, error, r);
	session_end(l->s, error ? error->err : 0);
}

int session_login(struct session *s, const char *profile, const struct aws_login_events *events,
		  void *arg)
{
	static const struct aws_login_events own = { .code = on_code, .done = on_done };
	const struct aws_account_opts opts = { .profile = profile };
	struct login l = { .s = s, .events = events, .arg = arg };
	struct aws_account *acc = NULL;
	struct aws_login *login = NULL;
	int r;

	if ((r = session_open(s)) < 0 || (r = aws_account_new(&acc, s->aws, &opts)) < 0)
		return r;
	if ((r = aws_login_new(&login, acc, &own, &l)) == 0)
		r = session_run(s);
	aws_login_free(login);
	aws_account_free(acc);
	return r;
}
