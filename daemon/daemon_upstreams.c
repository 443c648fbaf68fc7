// SPDX-License-Identifier: MIT
/*
 * daemon_upstreams.c - accounts and upstreams from the configuration, and the moment when `up` is up
 *
 * "Up" means: every upstream has a session, or waits for a person on a terminal (design, section 4). One that fails for good
 * before that ends `up`, unless --partial. Afterwards nothing ends it but a signal, `down`, or the loss of device or keeper.
 */
#include "daemon/daemon_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "keeper/keeper.h"

#define UPSTREAM_RULE_TEXT 256U

/* ---- becoming up */

static bool wait_for_person(const struct daemon *d)
{
	return isatty(STDERR_FILENO) && !d->opts->no_wait;
}

static void report_ready(struct daemon *d, size_t up, size_t failed)
{
	char summary[UPSTREAM_RULE_TEXT];
	uint64_t ms = loop_now_ms(d->loop) - d->start_ms;

	d->phase = DAEMON_RUNNING;
	loop_timer_cancel(d->loop, &d->start_timer);
	snprintf(summary, sizeof(summary),
		 "up: %zu of %zu upstreams, device %s, after %" PRIu64 " ms%s", up, up + failed,
		 tun_name(d->tun), ms, failed ? " (--partial)" : "");
	if (d->launch.report_fd < 0)
		log_info("%s", summary);
	else
		ask_leave(d->ask); /* it is the starter's, which ends now */
	int log_fd = launch_ready(&d->launch, &d->paths, summary);
	if (log_fd < 0)
		return;
	/* They were forked with the starter's stderr, which somebody may wait to see closed. */
	if (keep_note_log(d->keeper_fd, log_fd) < 0 || run_note_log(d->runner, log_fd) < 0)
		log_warn("a helper process keeps the terminal's stderr");
}

/* What rules "match: vpc" do to the start. Return: true if `up` has to wait for one, or has failed by one */
static bool vpcs_hold(struct daemon *d)
{
	bool wait = false;

	for (size_t i = 0; i < d->n_vpcs; i++) {
		const struct vpc_rule *v = &d->vpcs[i];

		if (v->state == VPC_FAILED && !d->opts->partial) {
			daemon_stop(d, 1, NULL);
			return true;
		}
		wait = wait || (v->state == VPC_WAITING && v->upstream->state != TNL_FAILED);
	}
	return wait;
}

/* Counts states; reports once all upstreams, and what they are to route, have settled. */
void daemon_check_ready(struct daemon *d)
{
	size_t n[TNL_STATE_N] = { 0 };

	if (d->phase != DAEMON_STARTING)
		return;
	for (size_t i = 0; i < d->config->n_upstreams; i++)
		n[d->upstreams[i].state]++;
	if (n[TNL_FAILED] > 0 && (!d->opts->partial || n[TNL_FAILED] == d->config->n_upstreams)) {
		daemon_stop(d, 1, NULL);
		return;
	}
	if (n[TNL_WAITING] > 0 && !wait_for_person(d)) {
		daemon_stop(
			d, 1,
			"a login is needed, and nobody is there to wait for: log in as told above, "
			"then run `up` again");
		return;
	}
	if (!vpcs_hold(d) && n[TNL_UP] + n[TNL_FAILED] == d->config->n_upstreams)
		report_ready(d, n[TNL_UP], n[TNL_FAILED]);
}

static void on_state(void *arg, struct tnl_upstream *t, enum tnl_state s, int err, const char *text)
{
	struct upstream *u = arg;

	(void)t;
	u->state = s;
	/* @text names the upstream; what is lost and tried again was told by the tunnel. */
	if (s == TNL_FAILED)
		log_error("%s", text && text[0] ? text : st_strerror(err));
	else if (s == TNL_WAITING)
		log_warn("waiting for login: %s", text && text[0] ? text : st_strerror(err));
	else if (s == TNL_UP)
		log_info("%s: connected", u->cfg->name);
	if (s == TNL_UP)
		daemon_vpc_upstream_up(u);
	daemon_check_ready(u->daemon);
}

/* ---- keys */

/* The loop does not run yet; a signal that comes meanwhile ends the wait, and is taken by the loop. */
static int ask_passphrase(void *arg, const char *path, char *out, size_t cap)
{
	const struct daemon *d = arg;
	char prompt[TEXT_SAFE_MAX + 32];

	snprintf(prompt, sizeof(prompt), "Passphrase of %s: ", text_safe(path).s);
	return ask_now(prompt, d->signal_fd, out, cap);
}

static int load_key(struct daemon *d, const struct cfg_upstream *cfg, struct tnl_key **out)
{
	const char *socket = identity_getenv(&d->id, "SSH_AUTH_SOCK");
	bool agent = socket != NULL;
	char text[512];

	*out = NULL;
	if (cfg->ssh.instance_connect)
		return 0;
	/* sudo took it from our own environment, where the key's file is compared with what the agent holds. */
	if (agent && setenv("SSH_AUTH_SOCK", socket, 1) < 0)
		return ST_ENOMEM;
	if (!cfg->ssh.key && !agent) {
		log_error("%s: no SSH key: set upstreams.%s.ssh.key (to a file, or to "
			  "instance-connect for an EC2 instance), or start an ssh-agent and "
			  "`ssh-add` a key",
			  cfg->name, cfg->name);
		return ST_EAUTH;
	}
	if (!cfg->ssh.key)
		return 0;
	int r = tnl_key_load(out, cfg->ssh.key, agent, ask_passphrase, d, text, sizeof(text));
	if (r < 0)
		log_error("%s: %s", cfg->name, text);
	return r;
}

/* ---- making them */

/* Somebody has logged in, it seems. */
static void on_credentials_changed(void *arg)
{
	struct upstream *u = arg;

	if (u->tnl && u->daemon->phase != DAEMON_STOPPING)
		tnl_upstream_retry_login(u->tnl);
	daemon_vpc_credentials_changed(u);
}

static int account_new(struct daemon *d, struct upstream *u)
{
	const struct cfg_aws *a = &u->cfg->aws;
	const struct aws_account_opts opts = {
		.profile = a->profile,
		.region = a->region,
		.access_key = a->access_key,
		.secret_key = a->secret_key,
		.session_token = a->session_token,
		.endpoint_url = a->endpoint_url,
		.ca_bundle = a->ca_bundle,
		.changed = on_credentials_changed,
		.changed_arg = u,
	};

	return aws_account_new(&u->account, d->aws, &opts);
}

static enum tnl_host_key host_key_of(enum cfg_host_key k)
{
	switch (k) {
	case CFG_HOST_KEY_STRICT: return TNL_HOST_KEY_STRICT;
	case CFG_HOST_KEY_PINNED: return TNL_HOST_KEY_PINNED;
	case CFG_HOST_KEY_ACCEPT_NEW: break;
	}
	return TNL_HOST_KEY_ACCEPT_NEW;
}

static int upstream_new(struct daemon *d, struct upstream *u, const struct cfg_upstream *cfg)
{
	static const struct tnl_events events = { .state = on_state };
	char user_hosts[PATH_MAX];
	struct tnl_key *key;
	int r;

	u->daemon = d;
	u->cfg = cfg;
	u->state = TNL_DOWN;
	snprintf(user_hosts, sizeof(user_hosts), "%s/.ssh/known_hosts", d->id.home);
	if ((r = account_new(d, u)) < 0 || (r = load_key(d, cfg, &key)) < 0)
		return r;
	const struct tnl_opts opts = {
		.name = cfg->name,
		.targets = cfg->targets,
		.n_targets = cfg->n_targets,
		.account = u->account,
		.document = cfg->document,
		.reason = cfg->reason,
		.data_endpoint = cfg->aws.data_endpoint,
		.ca_bundle = cfg->aws.ca_bundle,
		.ssh_user = cfg->ssh.user,
		.ssh_port = cfg->ssh.port,
		.key = key,
		.agent = identity_getenv(&d->id, "SSH_AUTH_SOCK") != NULL,
		.instance_connect = cfg->ssh.instance_connect,
		.host_key = host_key_of(cfg->ssh.host_key),
		.fingerprint = cfg->ssh.fingerprint,
		.known_hosts = d->paths.known_hosts,
		.user_known_hosts = user_hosts,
		.mark = TUN_MARK,
		.sessions_min = cfg->sessions_min,
		.sessions_max = cfg->sessions_max,
		.pace_per_s = cfg->pace_per_s,
		.pace_default = !cfg->pace_set,
		.connect_budget_ms = d->config->limits.connect_budget_ms,
		.opens_max = d->config->limits.pending_opens,
		.events = &events,
		.arg = u,
	};
	if ((r = tnl_upstream_new(&u->tnl, d->loop, d->ws, d->aws, &d->svc.svc, &opts)) < 0)
		tnl_key_free(key); /* stayed ours */
	return r;
}

int daemon_upstreams_new(struct daemon *d)
{
	size_t n = d->config->n_upstreams;

	d->upstreams = calloc(n + 1, sizeof(*d->upstreams));
	if (!d->upstreams)
		return ST_ENOMEM;
	for (size_t i = 0; i < n; i++) {
		int r = upstream_new(d, &d->upstreams[i], &d->config->upstreams[i]);

		if (r < 0)
			return r;
	}
	return 0;
}

void daemon_upstreams_start(struct daemon *d)
{
	/* One that fails at once ends `up`: the others are not started then. */
	for (size_t i = 0; i < d->config->n_upstreams && d->phase == DAEMON_STARTING; i++)
		tnl_upstream_start(d->upstreams[i].tnl);
	/* A configuration without upstreams (all rejected or dropped) is up at once. */
	daemon_check_ready(d);
}

static void on_stopped(void *arg, uint64_t now_ms)
{
	struct upstream *u = arg;
	struct daemon *d = u->daemon;

	(void)now_ms;
	u->stopped = true;
	for (size_t i = 0; i < d->config->n_upstreams; i++)
		if (d->upstreams[i].tnl && !d->upstreams[i].stopped)
			return;
	loop_stop(d->loop);
}

void daemon_upstreams_stop(struct daemon *d)
{
	size_t n = d->upstreams ? d->config->n_upstreams : 0, live = 0;

	for (size_t i = 0; i < n; i++)
		live += d->upstreams[i].tnl != NULL;
	if (live == 0)
		loop_stop(d->loop);
	for (size_t i = 0; i < n; i++)
		if (d->upstreams[i].tnl)
			tnl_upstream_stop(d->upstreams[i].tnl, on_stopped, &d->upstreams[i]);
}

void daemon_upstreams_free(struct daemon *d)
{
	for (size_t i = 0; d->upstreams && i < d->config->n_upstreams; i++) {
		if (d->upstreams[i].tnl)
			tnl_upstream_free(d->upstreams[i].tnl);
		aws_account_free(d->upstreams[i].account);
	}
	free(d->upstreams);
}
