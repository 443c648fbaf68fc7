// SPDX-License-Identifier: MIT
/*
 * ag_session.c - one session: a data channel on one side, TCP connections to its target on the other
 *
 * Theory of operation: session.start makes a session, dials the data channel and, in an SSH session, the port at
 * once. ssm_chan does the protocol; we carry its messages to the WebSocket and its stream bytes to the session's mode
 * (struct ag_mode), which has the TCP side. Back-pressure both ways: TCP is read only while ssm_chan has
 * room; what the TCP socket does not take waits in a bounded buffer, and when that is full data() says
 * ST_EAGAIN, so that nothing is acknowledged. A lost data socket is reopened with a fresh token (session.reopen); numbering and
 * buffers stay, the port only waits. Whether the session still lives the gateway says, also after its own restart;
 * without a gateway for GONE_MS it ends. End of file from sshd: wait until all is acknowledged, 2 s at most, then end. The end
 * is told by session.end, later if the control connection is down just then.
 *
 * States: AGS_LIVE; AGS_FLUSHING after end of file; AGS_OVER, to be freed by the reaper.
 */
#include "gateway/ag_session_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/err.h"
#include "base/log.h"
#include "base/text.h"
#include "gateway/gw_envelope.h"
#include "proto/ssm_open.h"

#define SESSIONS_MAX 256U   /* ours */
#define RETRY_FIRST_MS 100U /* ssm-protocol 2.6: 100..199 ms, doubled, 5 s at most */
#define RETRY_MAX_MS 5000U
#define STEADY_MS 10000U /* ours: a socket that stood for so long was a good one, though silent */
#define GONE_MS 1800000U /* ours: longer than a gateway waits for a client */
#define ENDS_MAX 256U	 /* session.end messages that wait for the control connection */

static const struct {
	const char *name;
	uint32_t next;
} states[] = {
	[AGS_LIVE] = { "live", BIT(AGS_FLUSHING) | BIT(AGS_OVER) },
	[AGS_FLUSHING] = { "flushing", BIT(AGS_OVER) },
	[AGS_OVER] = { "over", 0 },
};
_Static_assert(ARRAY_LEN(states) == AGS_STATE_N, "states[] and enum ags_state differ");

void ags_timer_set(struct ag_session *s, struct loop_timer *t, uint64_t in_ms)
{
	if (loop_timer_set(ags_loop(s), t, loop_now_ms(ags_loop(s)) + in_ms) < 0)
		log_error("session %s: no memory for a timer", s->id);
}

void ags_set_state(struct ag_session *s, enum ags_state to, const char *why)
{
	if (!(states[s->state].next & BIT(to)))
		ST_BUG("session %s -> %s: %s", states[s->state].name, states[to].name, why);
	log_debug("session %s: %s -> %s: %s", s->id, states[s->state].name, states[to].name, why);
	s->state = to;
}

/* ---- from ssm_chan to the WebSocket ---- */

static bool all_acknowledged(const struct ag_session *s)
{
	struct ssm_chan_stats st;

	ssm_chan_stats(s->chan, &st);
	return !st.in_flight_bytes && !st.queued_bytes;
}

static void chan_timer_arm(struct ag_session *s)
{
	uint64_t at = ssm_chan_deadline(s->chan);

	if (at == SSM_TIME_NEVER)
		loop_timer_cancel(ags_loop(s), &s->chan_due);
	else if (loop_timer_set(ags_loop(s), &s->chan_due, at / 1000 + 1) < 0)
		log_error("session %s: no memory for a timer", s->id);
}

/* Above half of its queue ws/ tells when there is room again. */
static bool ws_takes(const struct ag_session *s)
{
	return s->ws_open && ws_queued(s->all->ag->ws, s->conn) <= WS_QUEUE_MAX / 2;
}

static void chan_drain(struct ag_session *s)
{
	const uint8_t *p;
	size_t len;

	while (ws_takes(s) && ssm_chan_next_output(s->chan, &p, &len, ags_now_us(s)) == 1)
		if (ws_send(s->all->ag->ws, s->conn, p, len, false) < 0)
			break; /* the retransmission repeats it */
}

/* At the end of a turn: what the turn gathered leaves together. */
static void on_flush(void *arg, uint64_t now_ms)
{
	struct ag_session *s = arg;
	bool more;

	(void)now_ms;
	do {
		if (s->state == AGS_OVER)
			return;
		more = s->mode->fill && s->mode->fill(s);
		chan_drain(s);
	} while (more && ws_takes(s));
	if (s->state == AGS_FLUSHING && all_acknowledged(s))
		ags_end(s, "Success", "");
	if (s->state == AGS_OVER)
		return;
	s->mode->steer(s);
	chan_timer_arm(s);
}

void ags_flush_later(struct ag_session *s)
{
	loop_task_post(ags_loop(s), &s->flush);
}

static void on_chan_due(void *arg, uint64_t now_ms)
{
	struct ag_session *s = arg;

	(void)now_ms;
	ssm_chan_expire(s->chan, ags_now_us(s));
	ags_flush_later(s);
}

/* ---- what ssm_chan tells ---- */

static void chan_ready(void *arg, const char *customer_message)
{
	struct ag_session *s = arg;

	(void)customer_message;
	if (s->mode->ready)
		s->mode->ready(s);
	ags_flush_later(s);
}

static int chan_data(void *arg, uint32_t payload_type, const uint8_t *p, size_t len)
{
	struct ag_session *s = arg;

	if (s->state == AGS_OVER)
		return 0;
	if (payload_type == SSM_PT_FLAG && len >= 4 && be32_get(p) == SSM_FLAG_DISCONNECT)
		return s->mode->disconnect(s);
	return payload_type == SSM_PT_OUTPUT ? s->mode->data(s, p, len) : 0;
}

static void chan_writable(void *arg)
{
	ags_flush_later(arg);
}

static void chan_closed(void *arg, int err, const char *reason)
{
	struct ag_session *s = arg;

	if (s->state == AGS_OVER)
		return;
	if (err == ST_ECLOSED)
		ags_end(s, "Success", "");
	else
		ags_end(s, "Failed", reason && *reason ? reason : st_strerror(err));
}

static const struct ssm_chan_events chan_events = {
	.ready = chan_ready,
	.data = chan_data,
	.writable = chan_writable,
	.closed = chan_closed,
};

/* ---- the data channel's socket ---- */

static uint64_t unix_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static void send_open(struct ag_session *s)
{
	struct ssm_open o = { .role = SSM_ROLE_AGENT,
			      .token = s->token,
			      .client_id = s->all->ag->opts->host_id };
	char *text;

	codec_uuid4(o.request_id);
	if (ssm_open_write(&text, &o) < 0)
		return;
	ws_send(s->all->ag->ws, s->conn, (const uint8_t *)text, strlen(text), true);
	codec_wipe(text, strlen(text));
	free(text);
}

/* agent_session_state Connected; ssm-protocol 7.3 */
static void send_state(struct ag_session *s)
{
	uint8_t out[512];
	struct ssm_msg m = { .type = SSM_AGENT_SESSION_STATE,
			     .created_ms = unix_ms(),
			     .flags = SSM_FLAGS_ACK };
	char *text;
	ssize_t n;

	if (ssm_session_state_write(&text, s->id, "Connected") < 0)
		return;
	codec_uuid4(m.id);
	m.payload_len = strlen(text);
	m.payload = (const uint8_t *)text;
	if ((n = ssm_msg_encode(out, sizeof(out), &m)) > 0)
		ws_send(s->all->ag->ws, s->conn, out, (size_t)n, false);
	free(text);
}

static void on_ws_open(void *arg, ws_conn c)
{
	struct ag_session *s = arg;

	s->conn = c;
	s->ws_open = true;
	s->open_ms = loop_now_ms(ags_loop(s));
	if (s->lost_ms)
		log_info("session %s: data channel back after %llu ms", s->id,
			 (unsigned long long)(loop_now_ms(ags_loop(s)) - s->lost_ms));
	s->lost_ms = 0;
	loop_timer_cancel(ags_loop(s), &s->gone);
	send_open(s);
	codec_wipe(s->token, strlen(s->token));
	send_state(s);
	ssm_chan_transport_up(s->chan, ags_now_us(s));
	if (s->mode->transport_up)
		s->mode->transport_up(s);
	ags_flush_later(s);
}

static void on_ws_message(void *arg, ws_conn c, const uint8_t *p, size_t len, bool text)
{
	struct ag_session *s = arg;
	int r;

	(void)c;
	(void)text;
	if (s->state == AGS_OVER)
		return;
	s->retry_ms = RETRY_FIRST_MS;
	r = ssm_chan_input(s->chan, p, len, ags_now_us(s));
	if (r < 0 && r != ST_ECLOSED)
		log_limited(loop_now_ms(ags_loop(s)), LOG_WARN, "session %s: message dropped: %s",
			    s->id, st_strerror(r));
	ags_flush_later(s);
}

static void on_ws_writable(void *arg, ws_conn c)
{
	(void)c;
	ags_flush_later(arg);
}

static void retry_later(struct ag_session *s)
{
	uint8_t rnd;

	codec_random(&rnd, 1);
	ags_timer_set(s, &s->retry, s->retry_ms + s->retry_ms * rnd / 256U);
	s->retry_ms = MIN(s->retry_ms * 2, RETRY_MAX_MS);
}

static void note_lost(struct ag_session *s, int err, int status, const char *reason)
{
	if (s->lost_ms) { /* one more try that failed */
		log_debug("session %s: data channel: %s %s (%d)", s->id, st_strerror(err),
			  text_safe(reason).s, status);
		return;
	}
	log_info("session %s: data channel lost: %s %s (%d)", s->id, st_strerror(err),
		 text_safe(reason).s, status);
	s->lost_ms = MAX(loop_now_ms(ags_loop(s)), 1U);
	ags_timer_set(s, &s->gone, GONE_MS);
}

static void on_gone(void *arg, uint64_t now_ms)
{
	(void)now_ms;
	ags_end(arg, "Failed", "the gateway has been away for too long");
}

static void on_ws_closed(void *arg, ws_conn c, int err, int status, const char *reason)
{
	struct ag_session *s = arg;
	const bool was_open = s->ws_open;

	(void)c;
	s->conn = 0;
	s->ws_open = false;
	if (s->state == AGS_OVER)
		return;
	/* One that is closed at its open message was no success: the delays go on. */
	if (was_open && loop_now_ms(ags_loop(s)) - s->open_ms >= STEADY_MS)
		s->retry_ms = RETRY_FIRST_MS;
	note_lost(s, err, status, reason ? reason : "");
	ssm_chan_transport_down(s->chan, ags_now_us(s));
	retry_later(s);
	ags_flush_later(s);
}

static const struct ws_events ws_session_events = {
	.open = on_ws_open,
	.message = on_ws_message,
	.writable = on_ws_writable,
	.closed = on_ws_closed,
};

static void session_dial(struct ag_session *s)
{
	struct ag *ag = s->all->ag;
	struct ws_connect_opts o = { .url = s->url, .ca_bundle = ag->opts->ca, .ping_ms = 54000 };
	int r;

	if ((ag_link_address(ag->link, s->url, &o.address) ||
	     (r = ag_resolve(&o.address, s->url)) == 0) &&
	    (r = ws_connect(ag->ws, &s->conn, &o, &ws_session_events, s)) == 0)
		return;
	log_warn("session %s: data channel: %s", s->id, st_strerror(r));
	retry_later(s);
}

/* While the control connection is down there is nobody to ask; ags_online() comes back to it. */
static void on_retry(void *arg, uint64_t now_ms)
{
	struct ag_session *s = arg;
	json_t *body = json_pack("{s:s}", "session_id", s->id);

	(void)now_ms;
	if (s->state != AGS_OVER && !s->conn && ag_link_is_online(s->all->ag->link)) {
		ag_link_request(s->all->ag->link, CH_SESSION_REOPEN, body);
		retry_later(s); /* in case that no answer comes, or that it could not be sent */
	}
	json_decref(body);
}

/* ---- beginning and end ---- */

static void session_free(struct ag_session *s)
{
	struct loop *loop = ags_loop(s);

	loop_timer_cancel(loop, &s->retry);
	loop_timer_cancel(loop, &s->gone);
	loop_timer_cancel(loop, &s->limit);
	loop_timer_cancel(loop, &s->pace);
	loop_timer_cancel(loop, &s->chan_due);
	loop_task_cancel(&s->flush);
	s->mode->close(s);
	if (s->mode->free)
		s->mode->free(s);
	ssm_chan_free(s->chan);
	buf_fini(&s->to_tcp);
	hnd_del(&s->all->table, s->h);
	free(s->url);
	free(s->token);
	free(s);
}

static void on_reap(void *arg, uint64_t now_ms)
{
	struct ags *all = arg;
	struct ag_session *s;
	uint32_t pos = 0;

	(void)now_ms;
	while ((s = hnd_next(&all->table, &pos)))
		if (s->state == AGS_OVER)
			session_free(s);
}

static void tell_end(struct ags *all, const char *id, const char *status, const char *output)
{
	json_t *body = json_pack("{s:s, s:s, s:s}", "session_id", id, "status", status, "output",
				 output);

	if (body && ag_link_request(all->ag->link, CH_SESSION_END, body) < 0 &&
	    json_array_size(all->ends) < ENDS_MAX)
		json_array_append(all->ends, body);
	json_decref(body);
}

/* May be called from any callback: the session is only marked, the reaper frees it. */
void ags_end(struct ag_session *s, const char *status, const char *output)
{
	static const struct ws_events no_events = { 0 };

	if (s->state == AGS_OVER)
		return;
	ags_set_state(s, AGS_OVER, *output ? text_safe(output).s : "ordinary end");
	log_info("session %s: ended%s%s", s->id, *output ? ": " : "", text_safe(output).s);
	tell_end(s->all, s->id, status, output);
	s->mode->close(s);
	if (s->conn) { /* what is queued still leaves, but nobody listens any more */
		ws_set_events(s->all->ag->ws, s->conn, &no_events, NULL);
		ws_close(s->all->ag->ws, s->conn, 1000, "");
		s->conn = 0;
	}
	loop_task_post(ags_loop(s), &s->all->reap);
}

static int session_chan(struct ag_session *s, const char *properties, uint32_t max_payload)
{
	const struct ag_opts *ao = s->all->ag->opts;
	const struct ssm_chan_opts o = {
		.role = SSM_ROLE_AGENT,
		.now_us = ags_now_us(s),
		.unix_ms = unix_ms(),
		.session_id = s->id,
		.session_type = "Port",
		.properties_json = properties,
		.max_payload = MIN(MAX(max_payload, SSM_CHUNK), ao->max_payload),
		.window_max = SSM_WINDOW_MAX_OWN,
		.events = &chan_events,
		.arg = s,
	};

	return ssm_chan_new(&s->chan, &o);
}

static struct ag_session *session_new(struct ags *all, const char *id)
{
	struct ag_session *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->all = all;
	s->fd = -1;
	s->retry_ms = RETRY_FIRST_MS;
	text_copy(s->id, sizeof(s->id), id);
	buf_init(&s->to_tcp, AGS_TO_TCP_MAX);
	loop_timer_init(&s->retry, on_retry, s);
	loop_timer_init(&s->gone, on_gone, s);
	loop_timer_init(&s->limit, ag_tcp_on_limit, s);
	loop_timer_init(&s->pace, ag_tcp_on_pace, s);
	loop_timer_init(&s->chan_due, on_chan_due, s);
	loop_task_init(&s->flush, LOOP_FLUSH, on_flush, s);
	if (hnd_add(&all->table, s, &s->h) == 0)
		return s;
	free(s);
	return NULL;
}

static struct ag_session *session_find(struct ags *all, const char *id)
{
	struct ag_session *s;
	uint32_t pos = 0;

	while ((s = hnd_next(&all->table, &pos)))
		if (s->state != AGS_OVER && strcmp(s->id, id) == 0)
			return s;
	return NULL;
}

/* A session that cannot even begin. */
static void refuse(struct ags *all, const char *id, const char *why)
{
	log_warn("session %s: refused: %s", text_safe(id).s, why);
	tell_end(all, id, "Failed", why);
}

static int session_fill(struct ag_session *s, const json_t *body)
{
	const char *doc = json_str(body, "document");
	json_int_t max = json_integer_value(json_object_get(body, "max_payload_bytes"));
	char *properties = ag_properties(doc, json_object_get(body, "parameters"));
	int r = ST_ENOMEM;

	s->url = strdup(json_str(body, "url"));
	s->token = strdup(json_str(body, "token"));
	if (properties && s->url && s->token)
		r = session_chan(s, properties,
				 (uint32_t)MIN(MAX(max, 0), (json_int_t)SSM_PAYLOAD_MAX));
	free(properties);
	return r;
}

static void session_begin(struct ags *all, const char *id, const json_t *body,
			  const struct ag_target *target)
{
	struct ag_session *s = session_new(all, id);
	int r;

	if (!s) {
		refuse(all, id, "the agent has too many sessions");
		return;
	}
	s->target = *target;
	s->mode = strcmp(json_str(body, "document"), GW_DOC_SSH) == 0 ? &ag_mode_ssh
								      : &ag_mode_forward;
	if (session_fill(s, body) < 0) {
		refuse(all, id, "out of memory");
		session_free(s);
		return;
	}
	log_info("session %s: started to %s:%u", s->id, target->host, target->port);
	if (s->mode->begin && (r = s->mode->begin(s)) < 0)
		ag_tcp_failed(s, r == ST_EREFUSED ? ECONNREFUSED : EIO);
	else
		session_dial(s);
}

/* Where to, if the document is ours and the target allowed. Return: false and *@why */
static bool target_of(struct ags *all, const json_t *body, struct ag_target *out, char *why,
		      size_t why_max)
{
	const json_t *params = json_object_get(body, "parameters");
	const char *doc = json_str(body, "document");

	if (gw_document_check(doc ? doc : "(none)", params, why, why_max) < 0)
		return false;
	ag_target_read(out, all->ag->opts, doc, params);
	if (ag_target_allowed(all->ag->opts, out))
		return true;
	snprintf(why, why_max, "this agent does not allow %s, port %u", out->host, out->port);
	return false;
}

void ags_start(struct ags *all, const json_t *body)
{
	const char *id = json_str(body, "session_id"), *url = json_str(body, "url");
	struct ag_target target;
	char why[sizeof(target.host) + 200];

	if (!id || !url || !json_str(body, "token") || strlen(id) >= GW_SESSION_ID_STR) {
		log_warn("session.start lacks a member");
		return;
	}
	if (!target_of(all, body, &target, why, sizeof(why)))
		refuse(all, id, why);
	else if (!ag_url_is_safe(all->ag->opts->gateway, url))
		refuse(all, id, "the data channel is not encrypted though the gateway is");
	else if (session_find(all, id))
		log_warn("session %s: started twice", text_safe(id).s);
	else
		session_begin(all, id, body, &target);
}

void ags_terminate(struct ags *all, const json_t *body)
{
	const char *id = json_str(body, "session_id");
	struct ag_session *s = id ? session_find(all, id) : NULL;

	if (s)
		ags_end(s, "Success", "");
}

void ags_reopened(struct ags *all, const json_t *body)
{
	const char *id = json_str(body, "session_id"), *url = json_str(body, "url");
	const char *token = json_str(body, "token");
	struct ag_session *s = id ? session_find(all, id) : NULL;
	char *new_url, *new_token;

	if (!s || s->conn)
		return;
	if (!url || !token || !ag_url_is_safe(all->ag->opts->gateway, url)) {
		ags_end(s, "Failed", "data channel lost");
		return;
	}
	new_url = strdup(url);
	new_token = strdup(token);
	if (!new_url || !new_token) {
		free(new_url);
		free(new_token);
		return; /* the retry timer asks again */
	}
	free(s->url);
	free(s->token);
	s->url = new_url;
	s->token = new_token;
	loop_timer_cancel(ags_loop(s), &s->retry);
	session_dial(s);
}

uint32_t ags_count(const struct ags *all)
{
	return all->table.used;
}

void ags_online(struct ags *all)
{
	struct ag_session *s;
	json_t *body;
	uint32_t pos = 0;
	size_t i;

	json_array_foreach(all->ends, i, body) ag_link_request(all->ag->link, CH_SESSION_END, body);
	json_array_clear(all->ends);
	while ((s = hnd_next(&all->table, &pos)))
		if (s->state != AGS_OVER && !s->conn) {
			s->retry_ms = RETRY_FIRST_MS;
			retry_later(s);
		}
}

int ags_new(struct ags **out, struct ag *ag)
{
	struct ags *all = calloc(1, sizeof(*all));

	if (!all || !(all->ends = json_array())) {
		free(all);
		return ST_ENOMEM;
	}
	all->ag = ag;
	hnd_init(&all->table, SESSIONS_MAX);
	loop_task_init(&all->reap, LOOP_REAP, on_reap, all);
	*out = all;
	return 0;
}

void ags_free(struct ags *all)
{
	struct ag_session *s;
	uint32_t pos = 0;

	if (!all)
		return;
	while ((s = hnd_next(&all->table, &pos))) {
		ws_drop(all->ag->ws, s->conn);
		session_free(s);
	}
	loop_task_cancel(&all->reap);
	hnd_fini(&all->table);
	json_decref(all->ends);
	free(all);
}
