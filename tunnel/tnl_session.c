// SPDX-License-Identifier: MIT
/*
 * tnl_session.c - one session: the wire to the service, the SSM channel on it, the SSH connection in that
 *
 * Theory of operation: bytes are moved elsewhere (tnl_session_io.c); here is what happens to a session. A lost wire
 * does not end the session: the SSM channel keeps numbering and holding what is unacknowledged, ResumeSession gets a new
 * token, and SSH only pauses. That is tried for READY_RESUME_MS (tnl_resume.h has the steps); only the service's own word that
 * the session is over ends it sooner. Credentials that a person must renew are waited for without limit. A session that
 * carries no flows yet is given up after EARLY_RESUME_MS: a fresh attempt costs nobody anything, and maybe at another target.
 * The limit of a stage stands still while the wire is down. A session that is over, whatever the reason, reports so at once and then ends in good order by itself: SSH
 * disconnect, SSM TerminateSession flag, WebSocket close, TerminateSession call. The reaper frees it after that.
 *
 *   connecting ──▶ handshake ──▶ ssh-kex ──▶ ssh-auth ──▶ ready        each ──▶ closing ──▶ done
 */
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/codec.h"
#include "base/err.h"
#include "base/log.h"
#include "tunnel/tnl_session_internal.h"

#define HEARD_MS                                                                                   \
	2000U /* ours: a session that has spoken so lately is alive although acks are out */
#define PACE_DEFAULT 900U /* messages a second toward a service that is not ours; decision 7 */
#define READY_RESUME_MS                                                                            \
	900000U /* ours: a nap, a tunnel, a router that restarts; suspends don't count */
#define EARLY_RESUME_MS 10000U /* ours: before READY */
#define PERSON_MS                                                                                  \
	5000U	       /* ours: the chain is asked so often; no network call while it has nothing */
#define SHORT_MS 5000U /* ours: after "resource shortage" */
#define KEX_MORE_MS 15000U /* once sshd has said something */

static const struct {
	const char *name;
	uint32_t next;
	uint32_t limit_ms;
} stages[] = {
	[SES_CONNECTING] = { "connecting", BIT(SES_HANDSHAKE) | BIT(SES_CLOSING),
			     0 }, /* the wire has limits */
	[SES_HANDSHAKE] = { "handshake", BIT(SES_KEX) | BIT(SES_CLOSING), 8000 },
	/* sshd speaks first: silence means that nothing listens on the port; a user is told within 5 s */
	[SES_KEX] = { "ssh-kex", BIT(SES_AUTH) | BIT(SES_CLOSING), 4000 },
	[SES_AUTH] = { "ssh-auth", BIT(SES_READY) | BIT(SES_CLOSING),
		       70000 }, /* a person may have to touch a token */
	[SES_READY] = { "ready", BIT(SES_CLOSING), 0 },
	[SES_CLOSING] = { "closing", BIT(SES_DONE), 2900 },
	[SES_DONE] = { "done", 0, 0 },
};
static_assert(ARRAY_LEN(stages) == SES_STAGE_N, "stages[] and enum stage differ");

void tnl_session_stage_limit(struct tnl_session *s)
{
	struct loop *loop = s->u->loop;
	const uint32_t limit_ms = stages[s->stage].limit_ms;

	loop_timer_cancel(loop, &s->limit);
	if (limit_ms > 0)
		loop_timer_set(loop, &s->limit, loop_now_ms(loop) + limit_ms);
}

void tnl_session_stage_set(struct tnl_session *s, enum stage next, const char *why)
{
	if (!(stages[s->stage].next & BIT(next)))
		ST_BUG("session: %s -> %s", stages[s->stage].name, stages[next].name);
	log_debug("%s %s: %s -> %s: %s", s->u->o.name, s->target, stages[s->stage].name,
		  stages[next].name, why);
	s->stage = next;
	tnl_session_stage_limit(s);
}

/* ---- failure ---- */

void tnl_session_lost(struct tnl_session *s, const struct tnl_fault *f)
{
	const bool was_ready = s->stage == SES_READY;

	if (s->stage >= SES_CLOSING)
		return;
	tnl_session_stage_set(s, SES_CLOSING, st_strerror(f->err));
	loop_timer_cancel(s->u->loop, &s->resume_timer);
	tnl_eic_login_end(&s->login); /* the log-in is not carried on */
	tnl_kms_cancel(s);
	tnl_session_kick(s);
	tnl_upstream_session_lost(s->u, s, was_ready, f);
}

static void session_fail(struct tnl_session *s, int err, const char *fmt, ...) ST_PRINTF(3, 4);

static void session_fail(struct tnl_session *s, int err, const char *fmt, ...)
{
	char text[TNL_TEXT_MAX];
	const struct tnl_fault f = { .err = err,
				     .text = text,
				     /* ST_EREFUSED: nothing on sshd's port */
				     .for_good = err == ST_EHOSTKEY || err == ST_EAUTH ||
						 err == ST_EREFUSED,
				     .login = err == ST_EAUTH };
	size_t at;
	va_list ap;

	at = (size_t)snprintf(text, sizeof(text), "%s: ", s->u->o.name);
	va_start(ap, fmt);
	vsnprintf(text + at, sizeof(text) - at, fmt, ap);
	va_end(ap);
	tnl_session_lost(s, &f);
}

/* @reason: the service's words, or "" */
static void port_is_dead(struct tnl_session *s, const char *reason)
{
	if (reason[0] != '\0')
		session_fail(s, ST_EREFUSED,
			     "no SSH on port %u of %s: %s (check sshd there, or ssh.port)",
			     s->u->o.ssh_port, s->target, text_safe(reason).s);
	else
		session_fail(
			s, ST_EREFUSED,
			"nothing answers on port %u of %s: is sshd running and listening there? "
			"(ssh.port)",
			s->u->o.ssh_port, s->target);
}

void tnl_session_done(struct tnl_session *s)
{
	tnl_session_stage_set(s, SES_DONE, "said goodbye");
	tnl_upstream_session_done(s->u, s);
}

static void on_limit(void *arg, uint64_t now_ms)
{
	struct tnl_session *s = arg;

	switch (s->stage) {
	case SES_HANDSHAKE:
		session_fail(s, ST_ETIMEOUT,
			     "the SSM agent of %s took the session but does not speak: is it up to "
			     "date and running?",
			     s->target);
		break;
	case SES_KEX:
		if (!s->sshd_spoke)
			port_is_dead(s, "");
		else if (now_ms - s->kex_since_ms < KEX_MORE_MS)
			loop_timer_set(s->u->loop, &s->limit, s->kex_since_ms + KEX_MORE_MS);
		else
			session_fail(s, ST_ETIMEOUT, "sshd of %s does not finish the key exchange",
				     s->target);
		break;
	case SES_AUTH:
		session_fail(s, ST_ETIMEOUT, "the log-in to %s@%s does not end%s",
			     text_safe(s->u->o.ssh_user).s, s->target,
			     s->u->eic != NULL ? s->login.text
			     : s->u->o.agent   ? ": does ssh-agent wait for you?"
					       : "");
		break;
	case SES_CLOSING: tnl_session_done(s); break;
	default: break;
	}
}

/* ---- SSH's events ---- */

static void ssh_on_ready(void *arg)
{
	struct tnl_session *s = arg;

	tnl_eic_login_end(&s->login);
	tnl_session_stage_set(s, SES_READY, "logged in");
	log_info("%s: session %s with %s is up", s->u->o.name,
		 text_safe(tnl_wire_session_id(s->wire)).s, s->target);
	tnl_upstream_session_ready(s->u, s);
}

static void ssh_on_failed(void *arg, int err, const char *text)
{
	struct tnl_session *s = arg;

	if (s->stage == SES_KEX && err == ST_ECLOSED && !s->sshd_spoke)
		port_is_dead(s, "");
	else if (s->login.fault.err != 0)
		tnl_session_lost(s, &s->login.fault);
	else
		session_fail(s, err, "%s", text);
}

static void ssh_on_kick(void *arg)
{
	struct tnl_session *s = arg;

	s->pump_due = true;
	tnl_session_kick(s);
}

static const struct ssh_conn_events ssh_events = { ssh_on_ready, ssh_on_failed, ssh_on_kick };

static int ssh_start(struct tnl_session *s)
{
	struct tnl_upstream *u = s->u;
	const struct ssh_conn_opts o = {
		.user = u->o.ssh_user,
		.target = tnl_wire_found(s->wire)->id,
		.key = u->o.key,
		.source = u->eic != NULL ? &s->login.source : NULL,
		.agent = u->o.agent,
		.svc = u->svc,
		.hosts = { .policy = u->o.host_key,
			   .fingerprint = u->o.fingerprint,
			   .own = u->o.known_hosts,
			   .user = u->o.user_known_hosts },
		.memo = &u->memo,
		.events = &ssh_events,
		.arg = s,
	};

	if (u->eic != NULL)
		tnl_eic_login_init(&s->login, u->eic, tnl_wire_found(s->wire), s->own_gateway,
				   ssh_on_kick, s);
	s->pump_due = true;
	return ssh_conn_new(&s->ssh, &o);
}

/* ---- the SSM channel's events ---- */

static void ssm_on_ready(void *arg, const char *customer_message)
{
	struct tnl_session *s = arg;
	int r;

	if (s->stage != SES_HANDSHAKE)
		return;
	if (customer_message[0] != '\0')
		log_info("%s: the service says: %s", s->u->o.name, text_safe(customer_message).s);
	r = ssh_start(s);
	if (r < 0) {
		session_fail(s, r, "SSH could not be set up: %s", st_strerror(r));
		return;
	}
	s->kex_since_ms = loop_now_ms(s->u->loop);
	tnl_session_stage_set(s, SES_KEX, "channel ready");
	tnl_session_kick(s);
}

static int ssm_on_data(void *arg, uint32_t payload_type, const uint8_t *p, size_t len)
{
	struct tnl_session *s = arg;
	int r;

	if (payload_type != SSM_PT_OUTPUT || s->ssh == NULL || s->stage >= SES_CLOSING)
		return 0;
	s->sshd_spoke = true;
	r = ssh_conn_input(s->ssh, p, len);
	s->pump_due = true;
	tnl_session_kick(s);
	if (r == 0)
		return 0;
	s->input_refused = true;
	return ST_EAGAIN;
}

static void ssm_on_writable(void *arg)
{
	tnl_session_kick(arg);
}

static void ssm_on_closed(void *arg, int err, const char *reason)
{
	struct tnl_session *s = arg;

	if (s->stage == SES_KEX && !s->sshd_spoke)
		port_is_dead(s, reason);
	else if (s->stage == SES_HANDSHAKE)
		session_fail(s, ST_EREFUSED, "the session with %s ended before it began: %s",
			     s->target, text_safe(reason[0] != '\0' ? reason : st_strerror(err)).s);
	else
		session_fail(s, err, "the session with %s was ended: %s", s->target,
			     text_safe(reason[0] != '\0' ? reason : st_strerror(err)).s);
}

static void ssm_on_key_wanted(void *arg, const struct ssm_key_wanted *w)
{
	tnl_kms_ask(arg, w);
}

static const struct ssm_chan_events ssm_events = {
	.ready = ssm_on_ready,
	.key_wanted = ssm_on_key_wanted,
	.data = ssm_on_data,
	.writable = ssm_on_writable,
	.closed = ssm_on_closed,
};

static int ssm_start(struct tnl_session *s, uint32_t max_payload)
{
	const struct tnl_opts *o = &s->u->o;
	struct timespec t;
	struct ssm_chan_opts c = {
		.role = SSM_ROLE_CLIENT,
		.now_us = loop_now_us(s->u->loop),
		.session_id = tnl_wire_session_id(s->wire),
		.max_payload = MIN(max_payload, SSM_PAYLOAD_MAX),
		.window_max = max_payload > 0 ? SSM_WINDOW_MAX_OWN : SSM_WINDOW_MAX_FOREIGN,
		.pace_per_s = o->pace_per_s,
		.events = &ssm_events,
		.arg = s,
	};

	clock_gettime(CLOCK_REALTIME, &t);
	c.unix_ms = (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
	if (o->pace_default)
		c.pace_per_s = max_payload > 0 ? 0 : PACE_DEFAULT;
	s->max_payload = max_payload > 0 ? c.max_payload : SSM_CHUNK;
	s->own_gateway = max_payload > 0;
	return ssm_chan_new(&s->ssm, &c);
}

/* ---- the wire's events ---- */

/* The wire is back: what stood still goes on. */
static void wire_is_back(struct tnl_session *s)
{
	const uint64_t now_ms = loop_now_ms(s->u->loop);
	uint64_t ms;

	if (!tnl_resume_is_down(&s->resume))
		return;
	ms = tnl_resume_up(&s->resume, now_ms);
	log_info("%s: session with %s resumed after %llu ms", s->u->o.name, s->target,
		 (unsigned long long)ms);
	s->waits = false;
	s->kex_since_ms = now_ms;
	tnl_session_stage_limit(s);
	ssm_chan_transport_up(s->ssm, loop_now_us(s->u->loop));
	tnl_upstream_session_resumed(s->u);
}

static void wire_on_up(void *arg, uint32_t max_payload)
{
	struct tnl_session *s = arg;
	int r;

	if (s->stage >= SES_CLOSING)
		return;
	if (s->ssm != NULL) {
		wire_is_back(s);
	} else if ((r = ssm_start(s, max_payload)) < 0) {
		session_fail(s, r, "the SSM channel could not be set up: %s", st_strerror(r));
		return;
	} else {
		tnl_session_stage_set(s, SES_HANDSHAKE, "open");
		ssm_chan_transport_up(s->ssm, loop_now_us(s->u->loop));
	}
	tnl_session_kick(s);
}

/* Bytes of both ways that the other end has acknowledged or that came here. */
static uint64_t arrived_bytes(const struct tnl_session *s)
{
	struct ssm_chan_stats st;

	ssm_chan_stats(s->ssm, &st);
	return st.bytes_in + st.bytes_out - MIN(st.in_flight_bytes, st.bytes_out);
}

static void wire_on_message(void *arg, const uint8_t *p, size_t len)
{
	struct tnl_session *s = arg;
	int r;

	if (s->ssm == NULL)
		return;
	s->heard_ms = loop_now_ms(s->u->loop);
	tnl_resume_heard(&s->resume, arrived_bytes(s));
	r = ssm_chan_input(s->ssm, p, len, loop_now_us(s->u->loop));
	if (r < 0 && r != ST_ECLOSED)
		log_limited(loop_now_ms(s->u->loop), LOG_WARN, "%s: a message was dropped: %s",
			    s->u->o.name, st_strerror(r));
	tnl_session_kick(s);
}

static void wire_on_writable(void *arg)
{
	tnl_session_kick(arg);
}

/* Is there no sense in asking for the session again? Flows hang on one that was ready: only the service's own word ends it.
 * All else may pass: a target that is offline comes back, and a certificate that does not fit is the hotel's portal's. */
static bool is_final(const struct tnl_session *s, const struct tnl_fault *f)
{
	return f->over || (s->stage < SES_READY && (f->person || f->for_good));
}

/* Nothing came of it in all that time: @f is the last failure. */
static void resume_give_up(struct tnl_session *s, const struct tnl_fault *f)
{
	char text[TNL_TEXT_MAX];
	struct tnl_fault last = *f;

	snprintf(text, sizeof(text), "%s; tried for %u s, the session is given up", f->text,
		 (unsigned int)(s->resume.spent_ms / 1000));
	last.text = text;
	tnl_session_lost(s, &last);
}

/* The wire was lost, or a try failed: when is the next one? */
static void resume_later(struct tnl_session *s, const struct tnl_fault *f)
{
	const uint64_t now_ms = loop_now_ms(s->u->loop);
	const uint64_t limit_ms = s->stage == SES_READY ? READY_RESUME_MS : EARLY_RESUME_MS;
	uint64_t in_ms = PERSON_MS;
	uint32_t random;

	codec_random(&random, sizeof(random));
	s->waits = f->person;
	if (s->waits)
		tnl_resume_waits(&s->resume, now_ms);
	else
		in_ms = tnl_resume_failed(&s->resume, now_ms, limit_ms, random);
	if (in_ms == TNL_RESUME_NEVER) {
		resume_give_up(s, f);
		return;
	}
	loop_timer_set(s->u->loop, &s->resume_timer, now_ms + in_ms);
	tnl_upstream_session_paused(s->u, f);
}

static void wire_on_down(void *arg, const struct tnl_fault *f)
{
	struct tnl_session *s = arg;

	if (s->stage >= SES_CLOSING || f == NULL) {
		s->wire_closed = true;
		tnl_session_kick(s);
		return;
	}
	if (s->stage < SES_KEX || is_final(s, f)) {
		tnl_session_lost(s, f);
		return;
	}
	if (tnl_resume_is_down(&s->resume)) {
		log_debug("%s", f->text);
	} else {
		log_info("%s: resuming the session", f->text);
		ssm_chan_transport_down(s->ssm, loop_now_us(s->u->loop));
		loop_timer_cancel(s->u->loop, &s->limit);
	}
	resume_later(s, f);
}

static void on_resume(void *arg, uint64_t now_ms)
{
	struct tnl_session *s = arg;

	(void)now_ms;
	tnl_wire_start(s->wire);
}

void tnl_session_hurry(struct tnl_session *s)
{
	uint64_t at_ms;

	tnl_wire_probe(s->wire);
	if (!loop_timer_armed(&s->resume_timer) || s->waits)
		return;
	at_ms = tnl_resume_hurry(&s->resume, loop_now_ms(s->u->loop));
	loop_timer_set(s->u->loop, &s->resume_timer, MIN(at_ms, s->resume_timer.at_ms));
}

void tnl_session_retry_login(struct tnl_session *s)
{
	if (s->waits && loop_timer_armed(&s->resume_timer))
		loop_timer_set(s->u->loop, &s->resume_timer, loop_now_ms(s->u->loop));
}

static const struct tnl_wire_events wire_events = { wire_on_up, wire_on_message, wire_on_writable,
						    wire_on_down };

/* ---- life ---- */

int tnl_session_new(struct tnl_session **out, struct tnl_upstream *u, struct tnl_target *target)
{
	struct tnl_session *s = calloc(1, sizeof(*s));
	int r;

	if (s == NULL)
		return ST_ENOMEM;
	s->u = u;
	s->born_ms = loop_now_ms(u->loop);
	list_node_init(&s->node);
	list_init(&s->chans);
	loop_timer_init(&s->limit, on_limit, s);
	loop_timer_init(&s->resume_timer, on_resume, s);
	tnl_session_io_init(s);
	r = tnl_wire_new(&s->wire, u, target, &wire_events, s);
	if (r < 0) {
		free(s);
		return r;
	}
	s->target = tnl_wire_label(s->wire);
	tnl_wire_start(s->wire);
	*out = s;
	return 0;
}

void tnl_session_free(struct tnl_session *s)
{
	struct loop *loop = s->u->loop;

	ST_ASSERT(list_empty(&s->chans));
	list_del(&s->node);
	loop_timer_cancel(loop, &s->limit);
	loop_timer_cancel(loop, &s->resume_timer);
	tnl_session_io_fini(s);
	tnl_wire_free(s->wire);
	ssh_conn_free(s->ssh);
	tnl_eic_login_end(&s->login);
	tnl_kms_cancel(s);
	if (s->ssm != NULL)
		ssm_chan_free(s->ssm);
	free(s);
}

void tnl_session_close(struct tnl_session *s)
{
	if (s->stage >= SES_CLOSING)
		return;
	tnl_session_stage_set(s, SES_CLOSING, "stop");
	tnl_eic_login_end(&s->login);
	tnl_kms_cancel(s);
	loop_timer_cancel(s->u->loop, &s->resume_timer);
	tnl_session_kick(s);
}

struct ssh_conn *tnl_session_ssh(struct tnl_session *s)
{
	return s->ssh;
}

bool tnl_session_is_done(const struct tnl_session *s)
{
	return s->stage == SES_DONE;
}

uint32_t tnl_session_load(const struct tnl_session *s)
{
	if (!tnl_session_carries(s) || ssh_conn_chans(s->ssh) >= TNL_CHANNELS_MAX ||
	    loop_now_ms(s->u->loop) < s->short_until_ms)
		return UINT32_MAX;
	return ssh_conn_chans(s->ssh);
}

bool tnl_session_carries(const struct tnl_session *s)
{
	return s->stage == SES_READY && !tnl_resume_is_down(&s->resume);
}

bool tnl_session_is_paused(const struct tnl_session *s)
{
	return s->stage == SES_READY && tnl_resume_is_down(&s->resume);
}

bool tnl_session_waits(const struct tnl_session *s)
{
	return s->waits;
}

bool tnl_session_answers(const struct tnl_session *s)
{
	struct ssm_chan_stats st;

	if (s->ssm == NULL || tnl_resume_is_down(&s->resume))
		return false;
	ssm_chan_stats(s->ssm, &st);
	return st.in_flight_bytes == 0 || loop_now_ms(s->u->loop) - s->heard_ms < HEARD_MS;
}

void tnl_session_is_short(struct tnl_session *s)
{
	s->short_until_ms = loop_now_ms(s->u->loop) + SHORT_MS;
}

struct list *tnl_session_chans(struct tnl_session *s)
{
	return &s->chans;
}

struct list_node *tnl_session_node(struct tnl_session *s)
{
	return &s->node;
}

struct tnl_session *tnl_session_of(struct list_node *node)
{
	return container_of(node, struct tnl_session, node);
}

void tnl_session_status_get(struct tnl_session *s, struct tnl_session_status *out)
{
	const uint64_t now_ms = loop_now_ms(s->u->loop);
	const bool down = tnl_resume_is_down(&s->resume);
	struct ssm_chan_stats st = { 0 };

	*out = (struct tnl_session_status){
		.state = s->stage == SES_CONNECTING ? tnl_wire_state_name(s->wire)
			 : s->waits		    ? "waiting-for-login"
			 : down			    ? "resuming"
						    : stages[s->stage].name,
		.age_ms = now_ms - s->born_ms,
		.paused_ms = down ? MAX(now_ms - s->resume.since_ms, 1U) : 0,
		.max_payload = s->max_payload,
	};
	text_copy(out->session_id, sizeof(out->session_id),
		  text_safe(tnl_wire_session_id(s->wire)).s);
	text_copy(out->target, sizeof(out->target), s->target);
	if (s->ssh != NULL) {
		out->channels = ssh_conn_chans(s->ssh);
		out->pending_opens = ssh_conn_opens(s->ssh);
	}
	if (s->ssm == NULL)
		return;
	ssm_chan_stats(s->ssm, &st);
	out->rtt_us = st.rtt_us;
	out->bytes_in = st.bytes_in;
	out->bytes_out = st.bytes_out;
	out->messages_in = st.msgs_in;
	out->messages_out = st.msgs_out;
	out->resent = st.resent;
}
