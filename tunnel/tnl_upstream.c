// SPDX-License-Identifier: MIT
/*
 * tnl_upstream.c - keeps an upstream's sessions alive
 *
 * Theory of operation: manage() starts sessions until as many are there as are wanted. Until one is ready, one is tried at a
 * time, so that a wrong key knocks once; then up to TNL_LOGINS_MAX at once. A failed attempt goes to the next target at
 * once; when every target has failed, a round is over and the next waits: 0.5 s, doubled up to 30 s, with jitter; 30 s and
 * more when sshd took none of the keys. A lost session is replaced at once. If the first round fails for good at every
 * target, the upstream has failed and stops trying; later nothing is final. Missing credentials are a state, not a
 * failure: the chain is asked again every few seconds, which costs no network call while it has none.
 *
 * A session whose wire is down stays, with its flows, and counts: no other is started in its place. New flows go to sessions that
 * carry; without one they are held for their budget. It is lost only when it says so.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/codec.h"
#include "base/err.h"
#include "base/log.h"
#include "tunnel/tnl_eic.h"
#include "tunnel/tnl_internal.h"

#define BACKOFF_FIRST_MS 500U
#define BACKOFF_MAX_MS 30000U
#define LOGIN_BACKOFF_MS                                                                           \
	30000U /* all users of a bastion reach its sshd from one address; decision 9 */
#define WAITING_MS 5000U
#define STABLE_MS                                                                                  \
	5000U /* ours: a session lost sooner than this after it was ready counts as a failed attempt */
#define STOP_MS 3000U

static const char *const state_names[] = {
	[TNL_DOWN] = "down",	 [TNL_STARTING] = "starting",
	[TNL_UP] = "up",	 [TNL_WAITING] = "waiting for login",
	[TNL_FAILED] = "failed",
};
static_assert(ARRAY_LEN(state_names) == TNL_STATE_N, "state_names[] and enum tnl_state differ");

const char *tnl_state_name(enum tnl_state s)
{
	return s < TNL_STATE_N ? state_names[s] : "?";
}

static void set_state(struct tnl_upstream *u, enum tnl_state next, const struct tnl_fault *f)
{
	const bool same = next == u->state;

	if (same && (f == NULL || strcmp(u->last_text, f->text) == 0))
		return;
	if (f != NULL) {
		u->last_err = f->err;
		text_copy(u->last_text, sizeof(u->last_text), f->text);
	}
	if (!same)
		log_debug("%s: %s -> %s", u->o.name, state_names[u->state], state_names[next]);
	if ((next == TNL_WAITING) != (u->state == TNL_WAITING))
		tnl_opens_wait(u, next == TNL_WAITING);
	u->state = next;
	u->o.events->state(u->o.arg, u, next, f != NULL ? f->err : 0, f != NULL ? f->text : "");
}

/* ---- starting sessions ---- */

static void retry_at(struct tnl_upstream *u, uint64_t delay_ms)
{
	loop_timer_set(u->loop, &u->retry, loop_now_ms(u->loop) + delay_ms);
}

static void session_start(struct tnl_upstream *u)
{
	struct tnl_session *s;

	if (tnl_session_new(&s, u, &u->targets[u->target_at]) < 0) {
		retry_at(u, BACKOFF_FIRST_MS);
		return;
	}
	list_push_back(&u->sessions, tnl_session_node(s));
	u->n_sessions++;
}

static void manage(struct tnl_upstream *u)
{
	const uint32_t at_once = u->n_ready > 0 ? TNL_LOGINS_MAX : 1;

	while (u->started && !u->stopping && u->state != TNL_FAILED && u->n_sessions < u->want &&
	       u->n_sessions - u->n_ready < at_once && !loop_timer_armed(&u->retry))
		session_start(u);
}

static void on_retry(void *arg, uint64_t now_ms)
{
	(void)now_ms;
	manage(arg);
}

static uint32_t count(struct tnl_upstream *u, bool (*is)(const struct tnl_session *s))
{
	uint32_t n = 0;

	list_for_each (node, &u->sessions)
		n += is(tnl_session_of(node));
	return n;
}

void tnl_upstream_grow(struct tnl_upstream *u)
{
	/* a pause is no lack of sessions */
	if (count(u, tnl_session_is_paused) > 0)
		return;
	if (u->n_ready == 0 || u->n_ready < u->n_sessions || u->want >= u->o.sessions_max ||
	    u->n_sessions < u->want)
		return;
	u->want++;
	manage(u);
}

/* ---- what sessions report ---- */

void tnl_upstream_session_ready(struct tnl_upstream *u, struct tnl_session *s)
{
	(void)s;
	u->n_ready++;
	u->was_up = true;
	u->round_fails = u->round_for_good = 0;
	u->last_ready_ms = loop_now_ms(u->loop);
	set_state(u, TNL_UP, NULL);
	tnl_opens_place(u);
	manage(u);
}

static uint64_t round_delay_ms(struct tnl_upstream *u, bool login)
{
	uint64_t ms = MIN((uint64_t)BACKOFF_FIRST_MS << MIN(u->rounds, 10U), BACKOFF_MAX_MS);
	uint32_t jitter;

	u->rounds++;
	if (login)
		ms = MAX(ms, LOGIN_BACKOFF_MS);
	codec_random(&jitter, sizeof(jitter));
	return ms + jitter % (ms / 2);
}

/* An attempt failed: next target, next round, or the end. Return: true if the upstream has failed */
static bool attempt_failed(struct tnl_upstream *u, const struct tnl_fault *f)
{
	u->round_fails++;
	u->round_for_good += f->for_good;
	u->target_at = (u->target_at + 1) % u->o.n_targets;
	if (u->round_fails < u->o.n_targets)
		return false;
	if (!u->was_up && u->round_for_good == u->round_fails)
		return true;
	u->round_fails = u->round_for_good = 0;
	retry_at(u, round_delay_ms(u, f->login));
	return false;
}

/* The state that the sessions make, after @f happened to one of them. */
static enum tnl_state state_now(struct tnl_upstream *u, const struct tnl_fault *f)
{
	if (count(u, tnl_session_carries) > 0)
		return TNL_UP;
	if (f->person || count(u, tnl_session_waits) > 0)
		return TNL_WAITING;
	if (u->state == TNL_WAITING && count(u, tnl_session_is_paused) > 0)
		return TNL_WAITING; /* until the wire is back: only then is it "up" again */
	return u->n_ready > 0 ? TNL_UP : TNL_STARTING;
}

void tnl_upstream_session_paused(struct tnl_upstream *u, const struct tnl_fault *f)
{
	const enum tnl_state next = state_now(u, f);

	if (next != u->state) {
		set_state(u, next, f);
		return;
	}
	/* the session has told its log; what is the matter shows in the status */
	u->last_err = f->err;
	text_copy(u->last_text, sizeof(u->last_text), f->text);
}

void tnl_upstream_session_resumed(struct tnl_upstream *u)
{
	if (count(u, tnl_session_carries) > 0)
		set_state(u, TNL_UP, NULL);
	tnl_opens_place(u);
}

void tnl_upstream_hurry(struct tnl_upstream *u)
{
	list_for_each (node, &u->sessions)
		tnl_session_hurry(tnl_session_of(node));
}

void tnl_upstream_retry_login(struct tnl_upstream *u)
{
	list_for_each (node, &u->sessions)
		tnl_session_retry_login(tnl_session_of(node));
	if (u->state == TNL_WAITING && loop_timer_armed(&u->retry))
		retry_at(u, 0);
}

static void after_loss(struct tnl_upstream *u, bool was_ready, const struct tnl_fault *f)
{
	const uint64_t now_ms = loop_now_ms(u->loop);

	if (f->person) {
		retry_at(u, WAITING_MS);
		set_state(u, state_now(u, f), f);
		return;
	}
	if (was_ready && now_ms - u->last_ready_ms >= STABLE_MS)
		u->rounds = 0;
	else if (was_ready)
		retry_at(u, round_delay_ms(u, false));
	else if (attempt_failed(u, f)) {
		set_state(u, TNL_FAILED, f);
		tnl_opens_reset(u);
		return;
	}
	set_state(u, state_now(u, f), f);
}

void tnl_upstream_session_lost(struct tnl_upstream *u, struct tnl_session *s, bool was_ready,
			       const struct tnl_fault *f)
{
	list_del(tnl_session_node(s));
	list_push_back(&u->dying, tnl_session_node(s));
	u->n_sessions--;
	u->n_ready -= was_ready;
	tnl_opens_lost(u, s);
	if (u->stopping)
		return;
	after_loss(u, was_ready, f);
	if (u->state != TNL_FAILED && u->state != TNL_WAITING) /* these the owner tells */
		log_warn("%s", f->text);
	tnl_opens_place(u);
	manage(u);
}

void tnl_upstream_session_done(struct tnl_upstream *u, struct tnl_session *s)
{
	(void)s;
	loop_task_post(u->loop, &u->reap);
}

/* ---- ending ---- */

static void stop_tell(struct tnl_upstream *u, uint64_t now_ms)
{
	loop_fn *stopped = u->stopped;

	loop_timer_cancel(u->loop, &u->stop_timer);
	u->stopped = NULL;
	u->started = false;
	set_state(u, TNL_DOWN, NULL);
	if (stopped != NULL)
		stopped(u->stopped_arg, now_ms);
}

static void on_reap(void *arg, uint64_t now_ms)
{
	struct tnl_upstream *u = arg;

	list_for_each (node, &u->dying) {
		struct tnl_session *s = tnl_session_of(node);

		if (tnl_session_is_done(s))
			tnl_session_free(s);
	}
	if (u->stopping && u->started && list_empty(&u->dying))
		stop_tell(u, now_ms);
}

static void on_stop_limit(void *arg, uint64_t now_ms)
{
	stop_tell(arg, now_ms);
}

void tnl_upstream_start(struct tnl_upstream *u)
{
	if (u->started)
		return;
	u->started = true;
	u->want = u->o.sessions_min;
	set_state(u, TNL_STARTING, NULL);
	manage(u);
}

void tnl_upstream_stop(struct tnl_upstream *u, loop_fn *stopped, void *arg)
{
	if (u->stopping)
		return;
	u->stopping = true;
	u->stopped = stopped;
	u->stopped_arg = arg;
	u->started = true;
	loop_timer_cancel(u->loop, &u->retry);
	tnl_opens_reset(u);
	while (!list_empty(&u->sessions)) {
		struct list_node *n = list_pop_front(&u->sessions);

		list_push_back(&u->dying, n);
		tnl_session_close(tnl_session_of(n));
	}
	u->n_sessions = u->n_ready = 0;
	loop_timer_set(u->loop, &u->stop_timer, loop_now_ms(u->loop) + STOP_MS);
	loop_task_post(u->loop, &u->reap);
}

/* ---- life ---- */

static bool dup(const char **field)
{
	if (*field == NULL)
		return true;
	*field = strdup(*field);
	return *field != NULL;
}

static bool opts_copy(struct tnl_upstream *u, const struct tnl_opts *o)
{
	const char **fields[] = { &u->o.name,	       &u->o.document,	  &u->o.reason,
				  &u->o.data_endpoint, &u->o.ca_bundle,	  &u->o.ssh_user,
				  &u->o.fingerprint,   &u->o.known_hosts, &u->o.user_known_hosts };
	bool ok = true;

	u->o = *o;
	u->o.targets = NULL;
	for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
		if (!dup(fields[i]))
			ok = false;
	}
	for (size_t i = 0; i < o->n_targets; i++) {
		const char *text = strdup(o->targets[i]);

		ok = text != NULL && tnl_target_init(&u->targets[i], u, text) == 0 && ok;
	}
	return ok;
}

/* The copies are ours, though the options call them const. */
static void copy_free(const char *s)
{
	void *p;

	memcpy(&p, &s, sizeof(p));
	free(p);
}

static void opts_free(struct tnl_upstream *u)
{
	const char *fields[] = { u->o.name,	     u->o.document,    u->o.reason,
				 u->o.data_endpoint, u->o.ca_bundle,   u->o.ssh_user,
				 u->o.fingerprint,   u->o.known_hosts, u->o.user_known_hosts };

	for (size_t i = 0; i < ARRAY_LEN(fields); i++)
		copy_free(fields[i]);
	for (size_t i = 0; i < TNL_TARGETS_MAX; i++) {
		tnl_target_fini(&u->targets[i]);
		copy_free(u->targets[i].text);
	}
}

static bool targets_valid(const struct tnl_opts *o)
{
	struct aws_target t;

	for (size_t i = 0; i < o->n_targets; i++)
		if (aws_target_parse(&t, o->targets[i]) < 0)
			return false;
	return o->n_targets >= 1 && o->n_targets <= TNL_TARGETS_MAX;
}

static bool opts_valid(const struct tnl_opts *o)
{
	return o->name != NULL && targets_valid(o) && o->account != NULL && o->ssh_user != NULL &&
	       o->events != NULL && o->document != NULL && o->sessions_max <= TNL_SESSIONS_MAX &&
	       o->sessions_min <= o->sessions_max && !(o->instance_connect && o->key != NULL) &&
	       (o->host_key != TNL_HOST_KEY_PINNED || o->fingerprint != NULL);
}

int tnl_upstream_new(struct tnl_upstream **out, struct loop *loop, struct ws_ctx *ws,
		     struct aws *aws, const struct svc *svc, const struct tnl_opts *opts)
{
	struct tnl_upstream *u;

	if (!opts_valid(opts))
		return ST_EINVAL;
	u = calloc(1, sizeof(*u));
	if (u == NULL)
		return ST_ENOMEM;
	u->loop = loop;
	u->ws = ws;
	u->aws = aws;
	u->svc = svc;
	list_init(&u->sessions);
	list_init(&u->dying);
	loop_timer_init(&u->retry, on_retry, u);
	loop_timer_init(&u->stop_timer, on_stop_limit, u);
	loop_task_init(&u->reap, LOOP_REAP, on_reap, u);
	tnl_opens_init(u);
	if (!opts_copy(u, opts) || (u->o.instance_connect && tnl_eic_new(&u->eic, u) < 0)) {
		u->o.key = NULL; /* stays the caller's */
		tnl_upstream_free(u);
		return ST_ENOMEM;
	}
	if (u->o.connect_budget_ms == 0)
		u->o.connect_budget_ms = TNL_CONNECT_BUDGET_MS;
	if (u->o.opens_max == 0)
		u->o.opens_max = TNL_OPENS_MAX;
	if (u->o.ping_ms == 0)
		u->o.ping_ms = TNL_PING_MS;
	*out = u;
	return 0;
}

void tnl_upstream_free(struct tnl_upstream *u)
{
	if (u == NULL)
		return;
	tnl_opens_fini(u);
	while (!list_empty(&u->sessions))
		tnl_session_free(tnl_session_of(u->sessions.head.next));
	while (!list_empty(&u->dying))
		tnl_session_free(tnl_session_of(u->dying.head.next));
	loop_timer_cancel(u->loop, &u->retry);
	loop_timer_cancel(u->loop, &u->stop_timer);
	loop_task_cancel(&u->reap);
	tnl_eic_free(u->eic);
	tnl_key_free(u->o.key);
	opts_free(u);
	free(u);
}

/* ---- status ---- */

void tnl_upstream_status(struct tnl_upstream *u, struct tnl_status *out)
{
	*out = (struct tnl_status){
		.state = u->state,
		.last_err = u->last_err,
		.sessions_min = u->o.sessions_min,
		.sessions_max = u->o.sessions_max,
		.pending_opens = u->n_pending,
	};
	text_copy(out->last_text, sizeof(out->last_text), u->last_text);
	list_for_each (node, &u->sessions) {
		if (out->sessions == TNL_SESSIONS_MAX)
			break;
		tnl_session_status_get(tnl_session_of(node), &out->session[out->sessions]);
		out->channels += out->session[out->sessions++].channels;
	}
}

const char *tnl_upstream_target(const struct tnl_upstream *u, const char **region)
{
	if (region != NULL)
		*region = u->last_found.region;
	return u->last_found.id[0] != '\0' ? u->last_found.id : NULL;
}
