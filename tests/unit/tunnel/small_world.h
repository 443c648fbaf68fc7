// SPDX-License-Identifier: MIT
/* small_world.h - a loop, the fake service, an account and one upstream with a real sshd, for tests of what happens at a start */
#ifndef TESTS_TUNNEL_SMALL_WORLD_H
#define TESTS_TUNNEL_SMALL_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/text.h"
#include "fakesvc.h"
#include "testlib.h"

#define PATIENCE_MS 30000U

struct small_world {
	struct loop *loop;
	struct ws_ctx *ws;
	struct fakesvc *svc;
	struct aws *aws;
	struct aws_account *account;
	struct tnl_upstream *u;
	enum tnl_state state;
	int err;
	char text[2048];
	bool stopped;
	char url[64];
	const char
		*elsewhere; /* AWS_ENDPOINT_URL_<SERVICE> of what must not be asked; NULL: none */
	void (*on_up)(void);
};

static struct small_world w;
static struct sshd d;

#define AWAIT(cond)                                                                                \
	do {                                                                                       \
		const uint64_t await_end = now_ms() + PATIENCE_MS;                                 \
		while (!(cond)) {                                                                  \
			if (now_ms() > await_end)                                                  \
				fail_msg("timed out: %s (state %s: %s)", #cond,                    \
					 tnl_state_name(w.state), w.text);                         \
			assert_int_equal(loop_turn(w.loop, 200), 0);                               \
		}                                                                                  \
	} while (0)

/* The service's URL stands for all services, but for what is in elsewhere. */
static const char *env(void *ctx, const char *name)
{
	(void)ctx;
	if (w.elsewhere != NULL && strcmp(name, w.elsewhere) == 0)
		return "http://127.0.0.1:1"; /* nobody listens */
	return strcmp(name, "AWS_ENDPOINT_URL") == 0 ? w.url : NULL;
}

static void on_state(void *arg, struct tnl_upstream *u, enum tnl_state s, int err, const char *text)
{
	(void)arg;
	(void)u;
	if (s == TNL_UP && w.state != TNL_UP && w.on_up != NULL)
		w.on_up();
	w.state = s;
	w.err = err;
	if (err != 0)
		text_copy(w.text, sizeof(w.text), text);
}

static const struct tnl_events events = { on_state };

static void world_begin(const struct fakesvc_conf *conf)
{
	const struct ws_ctx_opts wo = { 0 };
	struct aws_opts ao = { .home = d.dir, .getenv = env };
	struct aws_account_opts acc = { .region = "eu-west-1" };

	w = (struct small_world){ 0 };
	assert_int_equal(loop_new(&w.loop), 0);
	assert_int_equal(ws_ctx_new(&w.ws, w.loop, &wo), 0);
	fakesvc_start(&w.svc, w.loop, w.ws, conf);
	snprintf(w.url, sizeof(w.url), "http://127.0.0.1:%u", fakesvc_port(w.svc));
	ao.loop = w.loop;
	ao.svc = fakesvc_svc(w.svc);
	acc.access_key = "AKIDEXAMPLE";
	acc.secret_key = "secret";
	assert_int_equal(aws_new(&w.aws, &ao), 0);
	assert_int_equal(aws_account_new(&w.account, w.aws, &acc), 0);
}

static void world_up(const char *const *targets, size_t n, struct tnl_opts o)
{
	char own[128];

	snprintf(own, sizeof(own), "%s/known_hosts", d.dir);
	unlink(own);
	o.name = "prod";
	o.targets = targets;
	o.n_targets = n;
	o.account = w.account;
	o.document = "AWS-StartSSHSession";
	o.ssh_user = d.user;
	o.ssh_port = 22;
	o.known_hosts = own;
	o.sessions_min = MAX(o.sessions_min, 1U);
	o.sessions_max = 4;
	o.events = &events;
	assert_int_equal(tnl_upstream_new(&w.u, w.loop, w.ws, w.aws, fakesvc_svc(w.svc), &o), 0);
	tnl_upstream_start(w.u);
}

static void on_stopped(void *arg, uint64_t t)
{
	(void)arg;
	(void)t;
	w.stopped = true;
}

static void world_end(void)
{
	if (w.u != NULL) {
		tnl_upstream_stop(w.u, on_stopped, NULL);
		AWAIT(w.stopped);
		tnl_upstream_free(w.u);
	}
	aws_account_free(w.account);
	aws_free(w.aws);
	fakesvc_stop(w.svc);
	ws_ctx_free(w.ws);
	loop_free(w.loop);
}

#endif
