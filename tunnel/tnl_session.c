// SPDX-License-Identifier: MIT
/*
 * tnl_session.c - one session: the wire to the service, the SSM channel on it, the SSH connection in that
 *
 * Theory of operation: bytes are only moved by the flush task, once at the end of a turn: it pumps SSH, cuts what SSH wants
 * to send into SSM messages straight from its buffer, and gives messages to the wire while that has room. A lost wire
 * does not end the session: the SSM channel keeps numbering and holding what is unacknowledged, ResumeSession gets a new
 * token, and SSH only pauses; after RESUME_MS without success, or when the service says that the session is over, it is
 * lost. A session that is over, whatever the reason, reports so at once and then ends in good order by itself: SSH
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
#include "proto/ssm_chan.h"
#include "tunnel/tnl_wire.h"

#define PACE_DEFAULT 900U    /* messages a second toward a service that is not ours; decision 7 */
#define RESUME_MS 10000U     /* ours: a lost wire is given up after this */
#define RESUME_FIRST_MS 150U /* ssm-protocol, 2.5 */
#define RESUME_STEP_MAX_MS 2500U
#define SHORT_MS 5000U	   /* ours: after "resource shortage" */
#define KEX_MORE_MS 15000U /* once sshd has said something */
#define FLUSH_ROUNDS 4

enum stage {
	SES_CONNECTING,
	SES_HANDSHAKE,
	SES_KEX,
	SES_AUTH,
	SES_READY,
	SES_CLOSING,
	SES_DONE,
	SES_STAGE_N
};

static const struct {
	const char *name;
	uint32_t next;
	uint32_t limit_ms;
} stages[] = {
	[SES_CONNECTING] = { "connecting", BIT(SES_HANDSHAKE) | BIT(SES_CLOSING),
			     0 }, /* the wire has limits */
	[SES_HANDSHAKE] = { "handshake", BIT(SES_KEX) | BIT(SES_CLOSING), 8000 },
	/* sshd speaks first: silence means that nothing listens on the port; a user is told within 5 s */
	[SES_KEX] = { "ssh-kex", BIT(SES_AUTH) | BIT(SES_CLOSING), 4500 },
	[SES_AUTH] = { "ssh-auth", BIT(SES_READY) | BIT(SES_CLOSING),
		       70000 }, /* a person may have to touch a token */
	[SES_READY] = { "ready", BIT(SES_CLOSING), 0 },
	[SES_CLOSING] = { "closing", BIT(SES_DONE), 2900 },
	[SES_DONE] = { "done", 0, 0 },
};
static_assert(ARRAY_LEN(stages) == SES_STAGE_N, "stages[] and enum stage differ");

struct tnl_session {
	struct list_node node;
	struct tnl_upstream *u;
	const char *target;
	enum stage stage;
	struct tnl_wire *wire;
	struct ssm_chan *ssm;
	struct ssh_conn *ssh;
	struct list chans;
	struct loop_timer limit, ssm_timer, resume;
	struct loop_task flush;
	uint64_t born_ms, short_until_ms;
	uint64_t resume_since_ms; /* 0: the wire is up */
	uint32_t resume_tries;
	uint32_t max_payload;
	uint64_t kex_since_ms;
	bool sshd_spoke;    /* bytes came out of the port */
	bool input_refused; /* data() said EAGAIN */
	bool pump_due;
	bool ended; /* the farewell was said */
	bool wire_closed;
	aws_call terminate;
};

static void set_stage(struct tnl_session *s, enum stage next, const char *why)
{
	struct loop *loop = s->u->loop;

	if (!(stages[s->stage].next & BIT(next)))
		ST_BUG("session: %s -> %s", stages[s->stage].name, stages[next].name);
	log_debug("%s %s: %s -> %s: %s", s->u->o.name, text_safe(s->target).s,
		  stages[s->stage].name, stages[next].name, why);
	s->stage = next;
	loop_timer_cancel(loop, &s->limit);
	if (stages[next].limit_ms > 0)
		loop_timer_set(loop, &s->limit, loop_now_ms(loop) + stages[next].limit_ms);
}

static void kick(struct tnl_session *s)
{
	loop_task_post(s->u->loop, &s->flush);
}

/* ---- failure ---- */

static void session_lost(struct tnl_session *s, const struct tnl_fault *f)
{
	const bool was_ready = s->stage == SES_READY;

	if (s->stage >= SES_CLOSING)
		return;
	set_stage(s, SES_CLOSING, st_strerror(f->err));
	loop_timer_cancel(s->u->loop, &s->resume);
	kick(s);
	tnl_upstream_session_lost(s->u, s, was_ready, f);
}

static void session_fail(struct tnl_session *s, int err, const char *fmt, ...) ST_PRINTF(3, 4);

static void session_fail(struct tnl_session *s, int err, const char *fmt, ...)
{
	char text[TNL_TEXT_MAX];
	const struct tnl_fault f = { .err = err,
				     .text = text,
				     .for_good = err == ST_EHOSTKEY || err == ST_EAUTH,
				     .login = err == ST_EAUTH };
	size_t at;
	va_list ap;

	at = (size_t)snprintf(text, sizeof(text), "%s: ", s->u->o.name);
	va_start(ap, fmt);
	vsnprintf(text + at, sizeof(text) - at, fmt, ap);
	va_end(ap);
	session_lost(s, &f);
}

static void port_is_dead(struct tnl_session *s, int err, const char *reason)
{
	session_fail(s, err,
		     "nothing answers on port %u of %s%s%s: is sshd running and listening there? "
		     "(ssh.port)",
		     s->u->o.ssh_port, text_safe(s->target).s, reason[0] != '\0' ? ": " : "",
		     text_safe(reason).s);
}

static void done(struct tnl_session *s)
{
	set_stage(s, SES_DONE, "said goodbye");
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
			     text_safe(s->target).s);
		break;
	case SES_KEX:
		if (!s->sshd_spoke)
			port_is_dead(s, ST_ETIMEOUT, "");
		else if (now_ms - s->kex_since_ms < KEX_MORE_MS)
			loop_timer_set(s->u->loop, &s->limit, s->kex_since_ms + KEX_MORE_MS);
		else
			session_fail(s, ST_ETIMEOUT, "sshd of %s does not finish the key exchange",
				     text_safe(s->target).s);
		break;
	case SES_AUTH:
		session_fail(s, ST_ETIMEOUT, "the log-in to %s@%s does not end%s",
			     text_safe(s->u->o.ssh_user).s, text_safe(s->target).s,
			     s->u->o.agent ? ": does ssh-agent wait for you?" : "");
		break;
	case SES_CLOSING: done(s); break;
	default: break;
	}
}

/* ---- SSH's events ---- */

static void ssh_on_ready(void *arg)
{
	struct tnl_session *s = arg;

	set_stage(s, SES_READY, "logged in");
	log_info("%s: session %s with %s is up", s->u->o.name,
		 text_safe(tnl_wire_session_id(s->wire)).s, text_safe(s->target).s);
	tnl_upstream_session_ready(s->u, s);
}

static void ssh_on_failed(void *arg, int err, const char *text)
{
	struct tnl_session *s = arg;

	if (s->stage == SES_KEX && err == ST_ECLOSED && !s->sshd_spoke)
		port_is_dead(s, err, "");
	else
		session_fail(s, err, "%s", text);
}

static void ssh_on_kick(void *arg)
{
	struct tnl_session *s = arg;

	s->pump_due = true;
	kick(s);
}

static const struct ssh_conn_events ssh_events = { ssh_on_ready, ssh_on_failed, ssh_on_kick };

static int ssh_start(struct tnl_session *s)
{
	struct tnl_upstream *u = s->u;
	const struct ssh_conn_opts o = {
		.user = u->o.ssh_user,
		.target = s->target,
		.key = u->o.key,
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
	set_stage(s, SES_KEX, "channel ready");
	kick(s);
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
	kick(s);
	if (r == 0)
		return 0;
	s->input_refused = true;
	return ST_EAGAIN;
}

static void ssm_on_writable(void *arg)
{
	kick(arg);
}

static void ssm_on_closed(void *arg, int err, const char *reason)
{
	struct tnl_session *s = arg;

	if (s->stage == SES_KEX && !s->sshd_spoke)
		port_is_dead(s, err, reason);
	else if (s->stage == SES_HANDSHAKE)
		session_fail(s, err, "the session with %s ended before it began: %s",
			     text_safe(s->target).s,
			     text_safe(reason[0] != '\0' ? reason : st_strerror(err)).s);
	else
		session_fail(s, err, "the session with %s was ended: %s", text_safe(s->target).s,
			     text_safe(reason[0] != '\0' ? reason : st_strerror(err)).s);
}

static const struct ssm_chan_events ssm_events = { ssm_on_ready, ssm_on_data, ssm_on_writable,
						   ssm_on_closed };

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
	return ssm_chan_new(&s->ssm, &c);
}

/* ---- the wire's events ---- */

static void wire_on_up(void *arg, uint32_t max_payload)
{
	struct tnl_session *s = arg;
	int r;

	if (s->stage >= SES_CLOSING)
		return;
	if (s->ssm == NULL) {
		r = ssm_start(s, max_payload);
		if (r < 0) {
			session_fail(s, r, "the SSM channel could not be set up: %s",
				     st_strerror(r));
			return;
		}
		set_stage(s, SES_HANDSHAKE, "open");
	} else {
		log_info("%s: session with %s resumed after %llu ms", s->u->o.name,
			 text_safe(s->target).s,
			 (unsigned long long)(loop_now_ms(s->u->loop) - s->resume_since_ms));
	}
	s->resume_since_ms = 0;
	s->resume_tries = 0;
	ssm_chan_transport_up(s->ssm, loop_now_us(s->u->loop));
	kick(s);
}

static void wire_on_message(void *arg, const uint8_t *p, size_t len)
{
	struct tnl_session *s = arg;
	int r;

	if (s->ssm == NULL)
		return;
	r = ssm_chan_input(s->ssm, p, len, loop_now_us(s->u->loop));
	if (r < 0 && r != ST_ECLOSED)
		log_limited(loop_now_ms(s->u->loop), LOG_WARN, "%s: a message was dropped: %s",
			    s->u->o.name, st_strerror(r));
	kick(s);
}

static void wire_on_writable(void *arg)
{
	kick(arg);
}

static void resume_schedule(struct tnl_session *s, uint64_t now_ms)
{
	const uint32_t step = MIN(RESUME_FIRST_MS << MIN(s->resume_tries, 5U), RESUME_STEP_MAX_MS);
	uint16_t jitter;

	codec_random(&jitter, sizeof(jitter));
	loop_timer_set(s->u->loop, &s->resume,
		       s->resume_tries++ == 0 ? now_ms : now_ms + step / 2 + jitter % step);
}

static void wire_on_down(void *arg, const struct tnl_fault *f)
{
	struct tnl_session *s = arg;
	const uint64_t now_ms = loop_now_ms(s->u->loop);

	if (s->stage >= SES_CLOSING || f == NULL) {
		s->wire_closed = true;
		kick(s);
		return;
	}
	if (s->stage < SES_KEX) {
		session_lost(s, f);
		return;
	}
	ssm_chan_transport_down(s->ssm, loop_now_us(s->u->loop));
	if (s->resume_since_ms == 0) {
		s->resume_since_ms = now_ms;
		log_info("%s: resuming the session", f->text);
	}
	if (f->for_good || f->person || f->err == ST_ENOENT ||
	    now_ms - s->resume_since_ms > RESUME_MS)
		session_lost(s, f);
	else
		resume_schedule(s, now_ms);
}

static void on_resume(void *arg, uint64_t now_ms)
{
	struct tnl_session *s = arg;

	(void)now_ms;
	tnl_wire_start(s->wire);
}

static const struct tnl_wire_events wire_events = { wire_on_up, wire_on_message, wire_on_writable,
						    wire_on_down };

/* ---- moving bytes ---- */

/* SSH's bytes to the SSM channel. Return: the level of waiting bytes fell below where channels may write again */
static bool ssm_feed(struct tnl_session *s)
{
	struct buf *out = ssh_conn_out(s->ssh);
	struct ssm_chan_stats st;
	size_t before, n = 0;

	ssm_chan_stats(s->ssm, &st);
	before = out->len + st.queued_bytes;
	if (out->len > 0)
		n = ssm_chan_send(s->ssm, buf_data(out), out->len, loop_now_us(s->u->loop));
	if (n > 0)
		buf_consume(out, n);
	return before > TNL_SSH_OUT_HIGH / 2;
}

static void ssm_to_wire(struct tnl_session *s)
{
	const uint64_t now_us = loop_now_us(s->u->loop);
	const uint8_t *p;
	size_t len;

	while (tnl_wire_room(s->wire) && ssm_chan_next_output(s->ssm, &p, &len, now_us) == 1) {
		if (tnl_wire_send(s->wire, p, len) < 0)
			return; /* counts as lost: it is sent again */
	}
}

static void ssm_timer_arm(struct tnl_session *s)
{
	const uint64_t at_us = ssm_chan_deadline(s->ssm);

	if (at_us == SSM_TIME_NEVER)
		loop_timer_cancel(s->u->loop, &s->ssm_timer);
	else
		loop_timer_set(s->u->loop, &s->ssm_timer, at_us / 1000 + (at_us % 1000 != 0));
}

static void on_ssm_timer(void *arg, uint64_t now_ms)
{
	struct tnl_session *s = arg;

	(void)now_ms;
	ssm_chan_expire(s->ssm, loop_now_us(s->u->loop));
	kick(s);
}

static void terminate_done(void *arg, const struct aws_error *e)
{
	struct tnl_session *s = arg;

	s->terminate = 0;
	if (e != NULL)
		log_debug("%s: TerminateSession: %s", s->u->o.name, e->text);
	kick(s);
}

/* SSH says goodbye, the flag and the close go behind it, and the service is told by its API. */
static void farewell(struct tnl_session *s)
{
	struct tnl_upstream *u = s->u;

	s->ended = true;
	if (s->ssh != NULL) {
		ssh_conn_disconnect(s->ssh);
		if (s->ssm != NULL)
			ssm_feed(s);
	}
	if (s->ssm != NULL) {
		ssm_chan_terminate(s->ssm, loop_now_us(u->loop));
		ssm_to_wire(s);
	}
	tnl_wire_close(s->wire);
	if (tnl_wire_session_id(s->wire)[0] != '\0' &&
	    aws_terminate_session(u->o.account, &s->terminate, tnl_wire_session_id(s->wire),
				  terminate_done, s) < 0)
		s->terminate = 0;
}

static void pump_rounds(struct tnl_session *s)
{
	bool again = true;

	for (int i = 0; again && i < FLUSH_ROUNDS && s->stage < SES_CLOSING; i++) {
		struct ssm_chan_stats st;

		if (s->pump_due || i > 0) {
			s->pump_due = false;
			ssh_conn_pump(s->ssh);
		}
		if (s->stage == SES_KEX && ssh_conn_state(s->ssh) == SSH_AUTH)
			set_stage(s, SES_AUTH, "host key accepted");
		again = ssm_feed(s);
		ssm_chan_stats(s->ssm, &st);
		ssh_conn_backlog(s->ssh, st.queued_bytes);
		again = again &&
			ssh_conn_out(s->ssh)->len + st.queued_bytes <= TNL_SSH_OUT_HIGH / 2;
		if (s->input_refused) {
			s->input_refused = false;
			ssm_chan_resume_input(s->ssm, loop_now_us(s->u->loop));
			again = true;
		}
		again = again || s->pump_due;
		ssm_to_wire(s);
	}
	if (again)
		kick(s);
}

static void on_flush(void *arg, uint64_t now_ms)
{
	struct tnl_session *s = arg;

	(void)now_ms;
	if (s->stage == SES_DONE)
		return;
	if (s->stage == SES_CLOSING) {
		loop_timer_cancel(s->u->loop, &s->ssm_timer);
		if (!s->ended)
			farewell(s);
		if (s->wire_closed && s->terminate == 0)
			done(s);
		return;
	}
	if (s->ssm == NULL)
		return;
	if (s->ssh != NULL)
		pump_rounds(s);
	if (s->stage >= SES_CLOSING)
		return;
	ssm_to_wire(s);
	ssm_timer_arm(s);
}

/* ---- life ---- */

int tnl_session_new(struct tnl_session **out, struct tnl_upstream *u, const char *target)
{
	struct tnl_session *s = calloc(1, sizeof(*s));
	int r;

	if (s == NULL)
		return ST_ENOMEM;
	s->u = u;
	s->target = target;
	s->born_ms = loop_now_ms(u->loop);
	list_node_init(&s->node);
	list_init(&s->chans);
	loop_timer_init(&s->limit, on_limit, s);
	loop_timer_init(&s->ssm_timer, on_ssm_timer, s);
	loop_timer_init(&s->resume, on_resume, s);
	loop_task_init(&s->flush, LOOP_FLUSH, on_flush, s);
	r = tnl_wire_new(&s->wire, u, target, &wire_events, s);
	if (r < 0) {
		free(s);
		return r;
	}
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
	loop_timer_cancel(loop, &s->ssm_timer);
	loop_timer_cancel(loop, &s->resume);
	loop_task_cancel(&s->flush);
	if (s->terminate != 0)
		aws_cancel(s->u->aws, s->terminate);
	tnl_wire_free(s->wire);
	ssh_conn_free(s->ssh);
	if (s->ssm != NULL)
		ssm_chan_free(s->ssm);
	free(s);
}

void tnl_session_close(struct tnl_session *s)
{
	if (s->stage >= SES_CLOSING)
		return;
	set_stage(s, SES_CLOSING, "stop");
	loop_timer_cancel(s->u->loop, &s->resume);
	kick(s);
}

struct ssh_conn *tnl_session_ssh(struct tnl_session *s)
{
	return s->ssh;
}

bool tnl_session_is_ready(const struct tnl_session *s)
{
	return s->stage == SES_READY;
}

bool tnl_session_is_done(const struct tnl_session *s)
{
	return s->stage == SES_DONE;
}

uint32_t tnl_session_load(const struct tnl_session *s)
{
	if (s->stage != SES_READY || ssh_conn_chans(s->ssh) >= TNL_CHANNELS_MAX ||
	    loop_now_ms(s->u->loop) < s->short_until_ms)
		return UINT32_MAX;
	/* one whose wire is down comes after all others */
	return ssh_conn_chans(s->ssh) + (s->resume_since_ms != 0 ? TNL_CHANNELS_MAX : 0);
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
	struct ssm_chan_stats st = { 0 };

	*out = (struct tnl_session_status){
		.state = s->stage == SES_CONNECTING ? tnl_wire_state_name(s->wire)
			 : s->resume_since_ms != 0  ? "resuming"
						    : stages[s->stage].name,
		.age_ms = loop_now_ms(s->u->loop) - s->born_ms,
		.max_payload = s->max_payload,
	};
	text_copy(out->session_id, sizeof(out->session_id),
		  text_safe(tnl_wire_session_id(s->wire)).s);
	text_copy(out->target, sizeof(out->target), text_safe(s->target).s);
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
