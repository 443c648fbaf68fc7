// SPDX-License-Identifier: MIT
/*
 * daemon_upstreams.c - accounts and upstreams from the configuration, each in a slot of its own
 *
 * Theory of operation: a slot never moves and keeps its number while anything of it lives, because the router's rules, flows and
 * names know it by that. A reload fills free slots and drains those whose upstream it has changed or removed: no rule leads there any
 * more, its flows go on until they end, DRAIN_MAX_MS at most; then it says goodbye and the slot is free.
 */
#include "daemon/daemon_internal.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "base/text.h"

#define DRAIN_MAX_MS                                                                               \
	600000U /* ours: long enough for a copy to end, short enough to be rid of a session that nobody wants */
#define DRAIN_LOOK_MS 1000U /* ours: so often it is looked whether flows are left */

/* Whoever logs in does so by a program of this machine, whose packets wait for this very upstream. */
static void tell_shut_out(const struct upstream *u)
{
	const struct daemon *d = u->daemon;
	const struct config *c = d->plan.config;

	if (d->engaged && c->system && u->slot == SLOT_USED &&
	    &d->upstreams[d->plan.slots[c->default_upstream]] == u)
		log_warn("system mode: this machine reaches no page to log in at while it waits: "
			 "run `ssm-tun down %s`, log in, "
			 "and run `up` again",
			 d->name);
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
		log_info("%s: connected", u->name);
	if (s == TNL_WAITING)
		tell_shut_out(u);
	if (u->slot != SLOT_USED)
		return;
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

/* Says why an upstream can't be made, also to whoever asked for a reload. Return: @err */
static int trouble(struct daemon *d, int err, const char *fmt, ...) ST_PRINTF(3, 4);

static int trouble(struct daemon *d, int err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(d->trouble, sizeof(d->trouble), fmt, ap);
	va_end(ap);
	log_error("%s", d->trouble);
	return err;
}

/* While up there is nobody who could be waited for. */
static int ask_nobody(void *arg, const char *path, char *out, size_t cap)
{
	(void)arg;
	(void)path;
	(void)out;
	(void)cap;
	return ST_ENOENT;
}

static int load_key(struct daemon *d, const struct cfg_upstream *cfg, bool may_ask,
		    struct tnl_key **out)
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
	if (!cfg->ssh.key && !agent)
		return trouble(d, ST_EAUTH,
			       "%s: no SSH key: set upstreams.%s.ssh.key (to a file, or to "
			       "instance-connect for an EC2 instance), or start an ssh-agent and "
			       "`ssh-add` a key",
			       cfg->name, cfg->name);
	if (!cfg->ssh.key)
		return 0;
	int r = tnl_key_load(out, cfg->ssh.key, agent, may_ask ? ask_passphrase : ask_nobody, d,
			     text, sizeof(text));
	return r < 0 ? trouble(d, r, "%s: %s", cfg->name, text) : 0;
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

static int account_new(struct daemon *d, struct upstream *u, const struct cfg_aws *a)
{
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

static int tunnel_new(struct daemon *d, struct upstream *u, const struct config *c,
		      const struct cfg_upstream *cfg, struct tnl_key *key)
{
	static const struct tnl_events events = { .state = on_state };
	char user_hosts[PATH_MAX];

	snprintf(user_hosts, sizeof(user_hosts), "%s/.ssh/known_hosts", d->id.home);
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
		.connect_budget_ms = c->limits.connect_budget_ms,
		.opens_max = c->limits.pending_opens,
		.events = &events,
		.arg = u,
	};
	return tnl_upstream_new(&u->tnl, d->loop, d->ws, d->aws, &d->svc.svc, &opts);
}

static void drain_look(void *arg, uint64_t now_ms);

int daemon_upstream_make(struct daemon *d, struct upstream *u, const struct config *c,
			 const struct cfg_upstream *cfg, bool may_ask)
{
	struct tnl_key *key = NULL;
	int r;

	*u = (struct upstream){ .daemon = d, .slot = SLOT_USED, .cfg = cfg, .state = TNL_DOWN };
	loop_timer_init(&u->drain_timer, drain_look, u);
	if (!(u->name = strdup(cfg->name))) {
		*u = (struct upstream){ 0 };
		return ST_ENOMEM;
	}
	if ((r = account_new(d, u, &cfg->aws)) < 0 || (r = load_key(d, cfg, may_ask, &key)) < 0 ||
	    (r = tunnel_new(d, u, c, cfg, key)) < 0) {
		if (!u->tnl)
			tnl_key_free(key); /* stayed ours */
		daemon_upstream_drop(u);
	}
	return r;
}

void daemon_upstream_drop(struct upstream *u)
{
	if (u->slot == SLOT_FREE)
		return;
	loop_timer_cancel(u->daemon->loop, &u->drain_timer);
	daemon_vpc_free(u);
	if (u->tnl)
		tnl_upstream_free(u->tnl);
	aws_account_free(u->account);
	free(u->name);
	*u = (struct upstream){ 0 };
}

static uint32_t number_of(const struct upstream *u)
{
	return (uint32_t)(u - u->daemon->upstreams);
}

void daemon_upstream_tell_router(struct daemon *d, struct upstream *u)
{
	rt_set_upstream(d->rt, number_of(u),
			&(struct rt_upstream){ .name = u->name,
					       .tnl = u->tnl,
					       .resolver = u->cfg->resolver,
					       .ipv6 = u->cfg->ipv6 });
}

struct upstream *daemon_upstream_at(struct daemon *d, size_t i)
{
	return &d->upstreams[d->plan.slots[i]];
}

struct upstream *daemon_upstream_free_slot(struct daemon *d)
{
	for (size_t i = 0; i < RT_UPSTREAMS_MAX; i++)
		if (d->upstreams[i].slot == SLOT_FREE)
			return &d->upstreams[i];
	return NULL;
}

int daemon_upstreams_new(struct daemon *d)
{
	const struct config *c = d->plan.config;

	static_assert(RT_UPSTREAMS_MAX >= 2 * CFG_UPSTREAMS_MAX, "a reload lacks slots");
	if (!(d->upstreams = calloc(RT_UPSTREAMS_MAX, sizeof(*d->upstreams))))
		return ST_ENOMEM;
	for (uint32_t i = 0; i < c->n_upstreams; i++) {
		int r = daemon_upstream_make(d, &d->upstreams[i], c, &c->upstreams[i], true);

		if (r < 0)
			return r;
		d->plan.slots[i] = i;
	}
	return 0;
}

/* ---- beginning and end */

void daemon_upstreams_start(struct daemon *d)
{
	/* One that fails at once ends `up`: the others are not started then. */
	for (size_t i = 0; i < d->plan.config->n_upstreams && d->phase == DAEMON_STARTING; i++)
		tnl_upstream_start(daemon_upstream_at(d, i)->tnl);
	/* A configuration without upstreams (all rejected or dropped) is up at once. */
	daemon_check_ready(d);
}

static void end_loop_if_all_stopped(struct daemon *d)
{
	for (size_t i = 0; d->upstreams && i < RT_UPSTREAMS_MAX; i++)
		if (d->upstreams[i].tnl && !d->upstreams[i].stopped)
			return;
	loop_stop(d->loop);
}

static void on_stopped(void *arg, uint64_t now_ms)
{
	struct upstream *u = arg;
	struct daemon *d = u->daemon;

	(void)now_ms;
	u->stopped = true;
	if (d->phase == DAEMON_STOPPING) {
		end_loop_if_all_stopped(d);
		return;
	}
	log_info("%s: the sessions of its former configuration have ended", u->name);
	rt_set_upstream(d->rt, number_of(u), &(struct rt_upstream){ 0 });
	daemon_upstream_drop(u);
}

static void stop(struct upstream *u)
{
	if (u->slot == SLOT_STOPPING)
		return;
	loop_timer_cancel(u->daemon->loop, &u->drain_timer);
	u->slot = SLOT_STOPPING;
	tnl_upstream_stop(u->tnl, on_stopped, u);
}

void daemon_upstreams_stop(struct daemon *d)
{
	for (size_t i = 0; d->upstreams && i < RT_UPSTREAMS_MAX; i++)
		if (d->upstreams[i].tnl)
			stop(&d->upstreams[i]);
	end_loop_if_all_stopped(d);
}

void daemon_upstreams_free(struct daemon *d)
{
	for (size_t i = 0; d->upstreams && i < RT_UPSTREAMS_MAX; i++)
		daemon_upstream_drop(&d->upstreams[i]);
	free(d->upstreams);
	d->upstreams = NULL;
}

/* ---- draining */

static void drain_look(void *arg, uint64_t now_ms)
{
	struct upstream *u = arg;
	struct tnl_status st;

	tnl_upstream_status(u->tnl, &st);
	if (st.channels + st.pending_opens > 0 && now_ms < u->drain_end_ms) {
		if (loop_timer_set(u->daemon->loop, &u->drain_timer, now_ms + DRAIN_LOOK_MS) == 0)
			return;
	}
	if (st.channels > 0)
		log_warn("%s: %u flows of its former configuration are reset: they had %u minutes",
			 u->name, st.channels, DRAIN_MAX_MS / 60000);
	stop(u);
}

void daemon_upstream_drain(struct upstream *u)
{
	const uint64_t now_ms = loop_now_ms(u->daemon->loop);

	daemon_vpc_free(u);
	u->slot = SLOT_DRAINING;
	u->cfg = NULL;
	u->drain_end_ms = now_ms + DRAIN_MAX_MS;
	/* not at once: resets that the new rules have caused are still on their way */
	if (loop_timer_set(u->daemon->loop, &u->drain_timer, now_ms) < 0)
		stop(u);
}
