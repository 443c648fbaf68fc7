// SPDX-License-Identifier: MIT
/*
 * daemon.c - the daemon proper, as the caller: building, the loop, taking down
 *
 * Theory of operation: build() takes things in the order in which they depend on each other, tear_down() gives them back in
 * reverse and is right after any part of build(). Every end goes through daemon_stop(): first our rules, so that nothing new
 * is routed to us, then the upstreams' goodbyes, which end the loop.
 */
#include "daemon/daemon_internal.h"

#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "keeper/keeper.h"

#define START_TIMEOUT_MS 120000U /* without a terminal; design, section 4 */
#define FDS_UNWATCHED 512U	 /* ours: beside those that the loop watches, or direct flows */

/* ---- the end */

void daemon_stop(struct daemon *d, int status, const char *why)
{
	if (d->phase == DAEMON_STOPPING) {
		loop_stop(d->loop); /* a second request: do not wait for goodbyes */
		return;
	}
	/* An error that ends what was up is a crash that was seen coming. */
	d->stays_closed = d->fail_closed &&
			  (d->keeper_died || (status && d->phase == DAEMON_RUNNING));
	d->phase = DAEMON_STOPPING;
	d->status = status;
	if (d->ask)
		ask_leave(d->ask); /* a question would stand there while we say goodbye */
	if (why && status)
		log_error("%s", why);
	else if (why)
		log_info("%s", why);
	loop_timer_cancel(d->loop, &d->start_timer);
	daemon_net_undo_rules(d); /* first: nothing new is routed to us */
	daemon_vpcs_stop(d);
	daemon_upstreams_stop(d);
}

/* SIGHUP is also how a terminal takes leave: a tunnel that was started on it, and does not run detached, ends with it. */
static bool terminal_has_gone(const struct daemon *d)
{
	struct pollfd p = { .fd = STDERR_FILENO };

	return d->on_terminal && poll(&p, 1, 0) > 0 && (p.revents & POLLHUP);
}

static void on_signal(void *arg, uint32_t events, uint64_t now_ms)
{
	struct daemon *d = arg;
	struct signalfd_siginfo si;

	(void)events;
	(void)now_ms;
	while (read(d->signal_fd, &si, sizeof(si)) == (ssize_t)sizeof(si)) {
		if (si.ssi_signo == SIGHUP && d->phase == DAEMON_RUNNING && !terminal_has_gone(d))
			json_decref(daemon_reload(d)); /* it has logged what came of it */
		else
			daemon_stop(d, d->phase == DAEMON_STARTING ? 1 : 0,
				    si.ssi_signo == SIGINT ? "interrupted" : "asked to end");
	}
}

static void on_keeper(void *arg, uint32_t events, uint64_t now_ms)
{
	struct daemon *d = arg;

	(void)events;
	(void)now_ms;
	loop_fd_del(d->loop, &d->keeper_watch);
	d->keeper_died = true;
	daemon_stop(d, 1,
		    "the keeper process has died; this ssm-tun removes its rules itself and ends");
}

static void on_start_timeout(void *arg, uint64_t now_ms)
{
	struct daemon *d = arg;
	char why[128];

	snprintf(why, sizeof(why), "not up after %" PRIu64 " s (--timeout)",
		 (now_ms - d->start_ms + 500) / 1000);
	daemon_stop(d, 1, why);
}

/* ---- the control socket */

static json_t *on_request(void *arg, const json_t *request)
{
	struct daemon *d = arg;
	const char *cmd = json_string_value(json_object_get(request, "cmd"));

	if (cmd && strcmp(cmd, "status") == 0)
		return daemon_status(d);
	if (cmd && strcmp(cmd, "down") == 0) {
		daemon_stop(d, 0, "asked to end by `down`");
		return json_pack("{s:b, s:i}", "ok", 1, "pid", (int)getpid());
	}
	if (cmd && strcmp(cmd, "reload") == 0)
		return daemon_reload(d);
	if (cmd && strcmp(cmd, "explain") == 0)
		return daemon_explain(d, request);
	return json_pack("{s:b, s:s+}", "ok", 0, "error",
			 "unknown command: ", cmd ? text_safe(cmd).s : "(none)");
}

static int write_pid_file(const struct daemon *d)
{
	char path[PATH_MAX], text[16];

	keep_path(path, sizeof(path), d->name, "pid");
	int n = snprintf(text, sizeof(text), "%d\n", (int)getpid());
	return file_write_atomic(path, text, (size_t)n, 0644);
}

static int open_control(struct daemon *d)
{
	char path[PATH_MAX];
	int r = write_pid_file(d);

	keep_path(path, sizeof(path), d->name, "control.sock");
	return r < 0 ? r : control_listen(&d->control, d->loop, path, d->id.uid, on_request, d);
}

/* ---- building */

static int watch_signals(struct daemon *d)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	if ((d->signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC)) < 0)
		return log_sys("signalfd");
	return loop_fd_add(d->loop, &d->signal_watch, d->signal_fd, EPOLLIN, on_signal, d);
}

int daemon_config_load(struct daemon *d, struct config **out, struct cfg_report **report)
{
	const struct cfg_opts opts = {
		.path = d->opts->config_path,
		.name = d->opts->name_is_config ? d->name : NULL,
		.home = d->id.home,
		.xdg_config_home = identity_getenv(&d->id, "XDG_CONFIG_HOME"),
		.caller = d->id.uid,
		.flags = d->opts->flags,
		.n_flags = d->opts->n_flags,
	};

	if (!(*report = calloc(1, sizeof(**report))))
		return ST_ENOMEM;
	return cfg_load(out, &opts, *report);
}

static int load_config(struct daemon *d)
{
	struct cfg_report *report;
	const char *unknown;
	int r = daemon_config_load(d, &d->plan.config, &report);

	if (report)
		cfg_report_print(report, stderr);
	free(report);
	if (r < 0)
		return r;
	log_info("configuration: %s",
		 d->plan.config->file ? text_safe(d->plan.config->file).s : "flags");
	return daemon_policy_users(&d->plan.users, d->plan.config, &unknown);
}

static int make_router(struct daemon *d)
{
	const struct config *c = d->plan.config;
	const struct rt_opts opts = {
		.loop = d->loop,
		.flows_max = c->limits.flows,
		.memory_bytes = c->limits.memory_bytes,
		.mark = TUN_MARK,
		.connect_budget_ms = c->limits.connect_budget_ms,
	};
	struct rt_table table;
	int r = daemon_table_make(d, &table);

	if (r < 0)
		return r;
	if ((r = rt_new(&d->rt, &opts)) < 0) {
		daemon_table_free(&table);
		return r;
	}
	for (size_t i = 0; i < c->n_upstreams; i++)
		daemon_upstream_tell_router(d, daemon_upstream_at(d, i));
	rt_set_table(d->rt, &table);
	return 0;
}

static int make_transports(struct daemon *d)
{
	const struct ws_ctx_opts ws = { .ca_bundle = NULL };
	const struct aws_opts aws = {
		.loop = d->loop,
		.svc = &d->svc.svc,
		.home = d->id.home,
		.getenv = identity_getenv,
		.getenv_ctx = &d->id,
		.mark = TUN_MARK,
	};
	int r = ws_ctx_new(&d->ws, d->loop, &ws);

	return r < 0 ? r : aws_new(&d->aws, &aws);
}

static void arm_start_timeout(struct daemon *d)
{
	uint32_t ms = d->opts->timeout_ms;

	loop_timer_init(&d->start_timer, on_start_timeout, d);
	if (ms == 0 && !isatty(STDERR_FILENO))
		ms = START_TIMEOUT_MS;
	if (ms > 0)
		loop_timer_set(d->loop, &d->start_timer, d->start_ms + ms);
}

static int build(struct daemon *d, int runner_fd)
{
	int r;

	if ((r = run_new(&d->runner, d->loop, runner_fd)) < 0 ||
	    (r = ask_new(&d->ask, d->loop)) < 0)
		return r;
	/* --no-wait: a person is there, but is not to be waited for */
	run_svc_init(&d->svc, d->runner, d->opts->no_wait ? NULL : d->ask);
	daemon_dns_watch_names(d);
	/* For its hang-up only: an answer that came too late does not mean that it has died. */
	if ((r = loop_fd_add(d->loop, &d->keeper_watch, d->keeper_fd, 0, on_keeper, d)) < 0 ||
	    (r = watch_signals(d)) < 0 || (r = load_config(d)) < 0 ||
	    (r = state_prepare(&d->paths, &d->id, d->name)) < 0 || (r = make_transports(d)) < 0 ||
	    (r = daemon_upstreams_new(d)) < 0 || (r = daemon_vpcs_new(d)) < 0 ||
	    (r = make_router(d)) < 0 || (r = daemon_net_open(d)) < 0)
		return r;
	return open_control(d);
}

static void tear_down(struct daemon *d)
{
	control_free(d->control);
	rt_free(d->rt);
	d->rt = NULL;
	daemon_upstreams_free(d);
	daemon_net_close(d);
	aws_free(d->aws);
	ws_ctx_free(d->ws);
	ask_free(d->ask);
	run_free(d->runner);
	if (d->signal_fd >= 0) {
		loop_fd_del(d->loop, &d->signal_watch);
		close(d->signal_fd);
	}
	loop_fd_del(d->loop, &d->keeper_watch);
	loop_free(d->loop);
	cfg_free(d->plan.config);
}

/*
 * A direct flow costs a descriptor, and the usual limit of 1,024 is for programs that use select(), which none of ours does. The
 * helpers were forked before and keep theirs, and so does what they run.
 */
static void allow_descriptors(void)
{
	const size_t want = LOOP_WATCH_MAX + FDS_UNWATCHED, may = fd_limit_raise(want);

	if (may < DIR_FLOWS_MAX + FDS_UNWATCHED)
		log_info("this process may have %zu descriptors (the hard limit, RLIMIT_NOFILE): "
			 "that many connections at most can be direct, fewer than %u",
			 may, DIR_FLOWS_MAX);
}

int daemon_run(struct daemon *d, int runner_fd)
{
	int r = loop_new(&d->loop);

	if (r < 0) {
		close(runner_fd);
		return 1;
	}
	allow_descriptors();
	d->start_ms = loop_now_ms(d->loop);
	d->on_terminal = isatty(STDERR_FILENO);
	loop_timer_init(&d->start_timer, on_start_timeout, d);
	if ((r = build(d, runner_fd)) == 0) {
		arm_start_timeout(d);
		daemon_upstreams_start(d);
		r = loop_run(d->loop);
	} else {
		log_debug("start failed: %s", st_strerror(r));
		d->status = 1;
	}
	daemon_net_undo_rules(d);
	tear_down(d);
	if (r < 0)
		d->status = 1;
	return d->status;
}
