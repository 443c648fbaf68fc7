// SPDX-License-Identifier: MIT
/*
 * tnl_wire.c - see tnl_wire.h
 *
 * Theory of operation: one state machine, walked once per connection. The token is fresh at every walk and is wiped when
 * it was sent; the stream URL is that of StartSession for good (the stock client ignores the one of ResumeSession too).
 * A wire is up when the open message is queued: the service does not answer it, a bad token shows as a closed socket.
 *
 * A target that is no id is looked up before its StartSession; what StartSession refused is looked up anew.
 *
 *   down ──▶ (finding ──▶) asking ──▶ resolving ──▶ opening ──▶ up ──▶ closing ──▶ down       each ──▶ down on failure
 */
#include "tunnel/tnl_wire.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/codec.h"
#include "base/err.h"
#include "base/log.h"
#include "proto/ssm_open.h"
#include "tunnel/tnl_url.h"

#define ADDRS_MAX 8U
#define RESOLVE_MS 5000U

enum wire_state {
	WIRE_DOWN,
	WIRE_FINDING,
	WIRE_ASKING,
	WIRE_RESOLVING,
	WIRE_OPENING,
	WIRE_UP,
	WIRE_CLOSING,
	WIRE_STATE_N
};

static const struct {
	const char *name;
	uint32_t next;
	uint32_t limit_ms;
} states[] = {
	[WIRE_DOWN] = { "down", BIT(WIRE_FINDING) | BIT(WIRE_ASKING) | BIT(WIRE_CLOSING), 0 },
	/* calls bound themselves, and a person may have to type a code for one */
	[WIRE_FINDING] = { "finding", BIT(WIRE_ASKING) | BIT(WIRE_CLOSING) | BIT(WIRE_DOWN), 0 },
	[WIRE_ASKING] = { "asking", BIT(WIRE_RESOLVING) | BIT(WIRE_CLOSING) | BIT(WIRE_DOWN), 0 },
	[WIRE_RESOLVING] = { "resolving", BIT(WIRE_OPENING) | BIT(WIRE_CLOSING) | BIT(WIRE_DOWN),
			     RESOLVE_MS + 1000 },
	[WIRE_OPENING] = { "ws-opening", BIT(WIRE_UP) | BIT(WIRE_CLOSING) | BIT(WIRE_DOWN),
			   WS_CONNECT_MS + 1000 },
	[WIRE_UP] = { "up", BIT(WIRE_CLOSING) | BIT(WIRE_DOWN), 0 },
	[WIRE_CLOSING] = { "closing", BIT(WIRE_DOWN), 1500 },
};
static_assert(ARRAY_LEN(states) == WIRE_STATE_N, "states[] and enum wire_state differ");

struct tnl_wire {
	struct tnl_upstream *u;
	struct tnl_target *target;
	struct tnl_target_wait wait;
	struct tnl_found found;	   /* id "": not yet */
	char label[TNL_LABEL_MAX]; /* for people; made safe */
	const struct tnl_wire_events *events;
	void *arg;
	enum wire_state state;
	struct loop_timer timer; /* limit_ms; in closing without a socket, or with not_asked: now */
	int not_asked;		 /* why the call for a token could not be made; 0: it was */
	char *session_id, *url, *token;
	uint32_t max_payload;
	char client_id[CODEC_UUID_STR];
	aws_call call;
	handle job;
	ws_conn conn;
	struct tnl_url dial; /* where the socket goes: data endpoint, proxy or the URL's host */
	char *rehosted; /* the URL with the data endpoint's host; secret; NULL: the URL as it is */
	bool via_proxy;
	struct net_addr addrs[ADDRS_MAX];
	size_t n_addrs, addr_at;
};

static void secret_free(char **s)
{
	if (*s != NULL)
		codec_wipe(*s, strlen(*s));
	free(*s);
	*s = NULL;
}

static void set_state(struct tnl_wire *w, enum wire_state next, const char *why)
{
	const struct tnl_upstream *u = w->u;

	if (!(states[w->state].next & BIT(next)))
		ST_BUG("wire: %s -> %s", states[w->state].name, states[next].name);
	log_debug("%s %s: wire %s -> %s: %s", u->o.name, w->label, states[w->state].name,
		  states[next].name, why);
	w->state = next;
	loop_timer_cancel(u->loop, &w->timer);
	if (states[next].limit_ms > 0)
		loop_timer_set(u->loop, &w->timer, loop_now_ms(u->loop) + states[next].limit_ms);
}

/* Ends what is under way, without events. */
static void wire_cut(struct tnl_wire *w)
{
	struct tnl_upstream *u = w->u;

	tnl_target_cancel(&w->wait);
	if (w->call != 0)
		aws_cancel(u->aws, w->call);
	if (w->job != 0)
		u->svc->cancel(u->svc->ctx, w->job);
	if (w->conn != 0)
		ws_drop(u->ws, w->conn);
	w->call = 0;
	w->job = 0;
	w->conn = 0;
	secret_free(&w->token);
}

static void wire_down(struct tnl_wire *w, const struct tnl_fault *f)
{
	const bool closing = w->state == WIRE_CLOSING;

	wire_cut(w);
	set_state(w, WIRE_DOWN, f != NULL ? st_strerror(f->err) : "closed");
	w->events->down(w->arg, closing ? NULL : f);
}

static void wire_fail(struct tnl_wire *w, int err, bool for_good, const char *fmt, ...)
	ST_PRINTF(4, 5);

static void wire_fail(struct tnl_wire *w, int err, bool for_good, const char *fmt, ...)
{
	char text[TNL_TEXT_MAX];
	const struct tnl_fault f = { .err = err, .for_good = for_good, .text = text };
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	wire_down(w, &f);
}

static void on_limit(void *arg, uint64_t now_ms)
{
	struct tnl_wire *w = arg;

	(void)now_ms;
	if (w->state == WIRE_CLOSING)
		wire_down(w, NULL);
	else if (w->not_asked < 0)
		wire_fail(w, w->not_asked, false, "%s: the service can't be asked for a token: %s",
			  w->u->o.name, st_strerror(w->not_asked));
	else
		wire_fail(w, ST_ETIMEOUT, false, "%s: no answer in state %s for %u s", w->u->o.name,
			  states[w->state].name, states[w->state].limit_ms / 1000);
}

/* ---- the WebSocket ---- */

/* Return: the text, which holds the token; NULL without memory */
static char *open_message(const struct tnl_wire *w)
{
	struct ssm_open o = { .role = SSM_ROLE_CLIENT,
			      .token = w->token,
			      .client_id = w->client_id };
	char *text;

	codec_uuid4(o.request_id);
	return ssm_open_write(&text, &o) == 0 ? text : NULL;
}

static void ws_on_open(void *arg, ws_conn c)
{
	struct tnl_wire *w = arg;
	char *text = open_message(w);
	int r = ST_ENOMEM;

	if (text != NULL)
		r = ws_send(w->u->ws, c, (const uint8_t *)text, strlen(text), true);
	secret_free(&text);
	secret_free(&w->token);
	if (r < 0) {
		wire_fail(w, r, false, "%s: the open message could not be sent: %s", w->u->o.name,
			  st_strerror(r));
		return;
	}
	set_state(w, WIRE_UP, "open");
	w->events->up(w->arg, w->max_payload);
}

static void ws_on_message(void *arg, ws_conn c, const uint8_t *p, size_t len, bool text)
{
	struct tnl_wire *w = arg;

	(void)c;
	(void)text; /* the stock readers take either; ssm-protocol, 2.1 */
	if (w->state == WIRE_UP)
		w->events->message(w->arg, p, len);
}

static void ws_on_writable(void *arg, ws_conn c)
{
	struct tnl_wire *w = arg;

	(void)c;
	if (w->state == WIRE_UP)
		w->events->writable(w->arg);
}

static void ws_start(struct tnl_wire *w);

static void opening_failed(struct tnl_wire *w, int err, int status, const char *reason)
{
	const char *name = w->u->o.name;
	const struct text_safe host = text_safe(w->dial.host), why = text_safe(reason);

	if (err == ST_ETLS)
		wire_fail(w, err, true,
			  "%s: TLS with %s:%u failed: %s; for a gateway of your own, name its CA "
			  "file in "
			  "aws.ca_bundle",
			  name, host.s, w->dial.port, why.s);
	else if (err == ST_EREFUSED)
		wire_fail(w, err, false, "%s: %s:%u refuses the WebSocket's connection%s", name,
			  host.s, w->dial.port,
			  w->via_proxy ? "; it is the proxy of HTTPS_PROXY" : "");
	else if (err == ST_EPEER)
		wire_fail(w, err, false, "%s: %s:%u refused the WebSocket: HTTP status %d %s", name,
			  host.s, w->dial.port, status, why.s);
	else
		wire_fail(w, err, false, "%s: no WebSocket to %s:%u: %s %s", name, host.s,
			  w->dial.port, st_strerror(err), why.s);
}

static void ws_on_closed(void *arg, ws_conn c, int err, int status, const char *reason)
{
	struct tnl_wire *w = arg;

	(void)c;
	w->conn = 0;
	if (w->state == WIRE_CLOSING)
		wire_down(w, NULL);
	else if (w->state == WIRE_UP)
		wire_fail(w, err, false, "%s: the WebSocket was closed: %s (%d)", w->u->o.name,
			  text_safe(reason != NULL ? reason : st_strerror(err)).s, status);
	else if ((err == ST_EREFUSED || err == ST_EUNREACH) && ++w->addr_at < w->n_addrs)
		ws_start(w);
	else
		opening_failed(w, err, status, reason != NULL ? reason : "");
}

static const struct ws_events ws_events = {
	.open = ws_on_open,
	.message = ws_on_message,
	.writable = ws_on_writable,
	.closed = ws_on_closed,
};

static void ws_start(struct tnl_wire *w)
{
	const struct tnl_upstream *u = w->u;
	const char *ca = u->o.ca_bundle != NULL ? u->o.ca_bundle
						: aws_account_ca_bundle(u->o.account);
	const struct ws_connect_opts o = {
		.url = w->rehosted != NULL ? w->rehosted : w->url,
		.address = { .addr = w->addrs[w->addr_at], .port = w->dial.port },
		.via_proxy = w->via_proxy,
		.proxy_auth = w->via_proxy && w->dial.auth[0] != '\0' ? w->dial.auth : NULL,
		.ca_bundle = ca,
		.ping_ms = u->o.ping_ms,
		.mark = u->o.mark,
	};
	const int r = ws_connect(u->ws, &w->conn, &o, &ws_events, w);

	if (r == 0)
		return;
	w->conn = 0;
	wire_fail(w, r, r == ST_ETLS || r == ST_EINVAL, "%s: no WebSocket to %s:%u: %s%s",
		  u->o.name, text_safe(w->dial.host).s, w->dial.port, st_strerror(r),
		  r == ST_ETLS ? "; is aws.ca_bundle a readable PEM file?" : "");
}

/* ---- the name ---- */

static void on_resolved(void *arg, int err, const struct net_addr *addrs, size_t n,
			const char *text)
{
	struct tnl_wire *w = arg;

	w->job = 0;
	if (err < 0 || n == 0) {
		wire_fail(w, err < 0 ? err : ST_ENOENT, false,
			  "%s: the name %s can't be resolved: %s; is this machine online?",
			  w->u->o.name, text_safe(w->dial.host).s,
			  text_safe(text != NULL ? text : st_strerror(err)).s);
		return;
	}
	w->n_addrs = MIN(n, ADDRS_MAX);
	w->addr_at = 0;
	memcpy(w->addrs, addrs, w->n_addrs * sizeof(*addrs));
	set_state(w, WIRE_OPENING, "resolved");
	ws_start(w);
}

/*
 * A data endpoint that is a name takes the place of the URL's host altogether, as it does in the AWS clients: in TLS, in Host
 * and for a proxy. One that is an address has no name to verify: the socket goes there, without proxy, and all else
 * is the URL's. Source: ssm-protocol 1.2
 */
static int data_endpoint_use(struct tnl_wire *w, const struct tnl_url *url, bool *is_address)
{
	struct net_addr addr;
	int r = tnl_url_parse(&w->dial, w->u->o.data_endpoint, url->port);

	if (r < 0)
		return r;
	*is_address = net_addr_parse(&addr, w->dial.host) == 0;
	return *is_address ? 0 : tnl_url_rehost(&w->rehosted, w->url, &w->dial);
}

static int dial_choose(struct tnl_wire *w)
{
	const struct tnl_upstream *u = w->u;
	struct tnl_url url;
	bool is_address = false;
	const char *proxy;
	int r = tnl_url_parse(&url, w->url, strncmp(w->url, "ws://", 5) == 0 ? 80 : 443);

	w->via_proxy = false;
	secret_free(&w->rehosted);
	w->dial = url;
	if (!r && u->o.data_endpoint != NULL)
		r = data_endpoint_use(w, &url, &is_address);
	if (r < 0 || is_address)
		return r;
	proxy = aws_account_proxy(u->o.account, url.tls, w->dial.host, w->dial.port);
	if (proxy == NULL)
		return 0;
	w->via_proxy = true;
	r = tnl_url_parse(&w->dial, proxy, 80);
	return r == 0 && w->dial.tls ? ST_EINVAL : r;
}

/* What is wrong with the setting that dial_choose() could not use. */
static const char *dial_source(const struct tnl_wire *w)
{
	if (w->via_proxy)
		return w->dial.tls ? "HTTPS_PROXY, a proxy that wants TLS (https://),"
				   : "HTTPS_PROXY";
	return w->u->o.data_endpoint != NULL ? "aws.data_endpoint" : "the service's stream URL";
}

static void resolve_start(struct tnl_wire *w)
{
	struct tnl_upstream *u = w->u;
	int r = dial_choose(w);

	set_state(w, WIRE_RESOLVING, "token");
	if (r < 0) {
		wire_fail(w, r, true, "%s: %s is no usable address for the WebSocket", u->o.name,
			  dial_source(w));
		return;
	}
	r = u->svc->resolve(u->svc->ctx, &w->job, w->dial.host, RESOLVE_MS, on_resolved, w);
	if (r < 0) {
		w->job = 0;
		wire_fail(w, r, false, "%s: the name %s can't be looked up: %s", u->o.name,
			  text_safe(w->dial.host).s, st_strerror(r));
	}
}

/* ---- the token ---- */

/* Does the service say that the session is over, or never ours again? ST_ENOENT is said by its code or by a missing token;
 * a 403 without a code may be a proxy's or a portal's. "already terminated": ssm-protocol, 2.6 */
static bool says_over(const struct tnl_wire *w, const struct aws_error *e)
{
	if (w->session_id == NULL)
		return false;
	return e->err == ST_ENOENT || (e->err == ST_EPERM && e->code[0] != '\0') ||
	       strcasestr(e->text, "already terminated") != NULL;
}

/* What only a person can mend by a login or new keys is waited for; other refusals are final. */
static void ask_failed(struct tnl_wire *w, const struct aws_error *e)
{
	char text[TNL_TEXT_MAX];
	struct tnl_fault f = { .err = e->err, .person = e->person, .text = text };

	/* ST_ECLOSED: the target is not connected. It may be later, but who starts us wants to know now. */
	f.for_good = !f.person && (e->err == ST_EAUTH || e->err == ST_EPERM ||
				   e->err == ST_ENOENT || e->err == ST_EINVAL ||
				   e->err == ST_ECLOSED || (e->err == ST_ETLS && !e->retryable));
	f.over = says_over(w, e);
	aws_error_line(text, sizeof(text), w->u->o.name, e);
	wire_down(w, &f);
}

static int session_keep(struct tnl_wire *w, const struct aws_session *s)
{
	w->token = strdup(s->token);
	if (w->session_id == NULL) {
		w->u->last_found = w->found;
		w->session_id = strdup(s->session_id);
		w->url = strdup(s->stream_url);
		w->max_payload = s->max_payload;
	}
	return w->token != NULL && w->session_id != NULL && w->url != NULL ? 0 : ST_ENOMEM;
}

/* ssm-protocol, 2.5: the session is over */
static void no_token(struct tnl_wire *w, const struct aws_session *s)
{
	char text[TNL_TEXT_MAX];
	const struct tnl_fault f = { .err = ST_ENOENT, .over = true, .text = text };

	snprintf(text, sizeof(text), "%s: session %s is over, says the service", w->u->o.name,
		 text_safe(s->session_id).s);
	wire_down(w, &f);
}

static void on_session(void *arg, const struct aws_error *e, const struct aws_session *s)
{
	struct tnl_wire *w = arg;

	w->call = 0;
	if (e != NULL) {
		tnl_target_forget(w->target);
		ask_failed(w, e);
		return;
	}
	if (s->token == NULL || s->token[0] == '\0') {
		no_token(w, s);
		return;
	}
	if (session_keep(w, s) < 0) {
		wire_fail(w, ST_ENOMEM, false, "%s: %s", w->u->o.name, st_strerror(ST_ENOMEM));
		return;
	}
	resolve_start(w);
}

/* What can't be begun is told from the loop. */
static void not_asked(struct tnl_wire *w, int err)
{
	w->not_asked = err;
	loop_timer_set(w->u->loop, &w->timer, 0);
}

static void ask_start(struct tnl_wire *w)
{
	const struct tnl_opts *o = &w->u->o;
	char port[8];
	const char *const parameters[] = { "portNumber", port, NULL };
	const struct aws_start start = { .target = w->found.id,
					 .region = w->found.region,
					 .document = o->document,
					 .reason = o->reason,
					 .parameters = parameters };
	int r;

	snprintf(port, sizeof(port), "%u", o->ssh_port);
	tnl_target_label(w->label, w->target, &w->found);
	set_state(w, WIRE_ASKING, w->session_id == NULL ? "StartSession" : "ResumeSession");
	if (w->session_id == NULL)
		r = aws_start_session(o->account, &w->call, &start, on_session, w);
	else
		r = aws_resume_session(o->account, &w->call, w->session_id, w->found.region,
				       on_session, w);
	if (r == 0)
		return;
	w->call = 0;
	not_asked(w, r); /* too many calls under way */
}

static void find_or_ask(struct tnl_wire *w)
{
	int r;

	if (w->session_id != NULL || tnl_target_now(w->target, &w->found)) {
		ask_start(w);
		return;
	}
	if (w->state != WIRE_FINDING)
		set_state(w, WIRE_FINDING, "DescribeInstances");
	r = tnl_target_find(&w->wait);
	if (r < 0)
		not_asked(w, r);
}

static void on_found(void *arg, const struct tnl_fault *f)
{
	if (f != NULL)
		wire_down(arg, f);
	else
		find_or_ask(arg);
}

void tnl_wire_start(struct tnl_wire *w)
{
	w->not_asked = 0;
	find_or_ask(w);
}

/* ---- the rest ---- */

int tnl_wire_new(struct tnl_wire **out, struct tnl_upstream *u, struct tnl_target *target,
		 const struct tnl_wire_events *events, void *arg)
{
	struct tnl_wire *w = calloc(1, sizeof(*w));
	uint8_t id[CODEC_UUID_LEN];

	if (w == NULL)
		return ST_ENOMEM;
	w->u = u;
	w->target = target;
	tnl_target_wait_init(&w->wait, target, on_found, w);
	tnl_target_label(w->label, target, NULL);
	w->events = events;
	w->arg = arg;
	codec_uuid4(id);
	codec_uuid_str(w->client_id, id);
	loop_timer_init(&w->timer, on_limit, w);
	*out = w;
	return 0;
}

void tnl_wire_free(struct tnl_wire *w)
{
	if (w == NULL)
		return;
	wire_cut(w);
	loop_timer_cancel(w->u->loop, &w->timer);
	secret_free(&w->url);
	secret_free(&w->rehosted);
	free(w->session_id);
	codec_wipe(&w->dial, sizeof(w->dial));
	free(w);
}

bool tnl_wire_room(const struct tnl_wire *w)
{
	/* ws.h: writable() comes after more than half was queued */
	return w->state == WIRE_UP && ws_queued(w->u->ws, w->conn) <= WS_QUEUE_MAX / 2;
}

int tnl_wire_send(struct tnl_wire *w, const uint8_t *p, size_t len)
{
	return w->state == WIRE_UP ? ws_send(w->u->ws, w->conn, p, len, false) : ST_ECLOSED;
}

void tnl_wire_close(struct tnl_wire *w)
{
	const bool was_up = w->state == WIRE_UP;

	if (w->state == WIRE_CLOSING)
		return;
	if (!was_up)
		wire_cut(w);
	set_state(w, WIRE_CLOSING, "close");
	if (was_up)
		ws_close(w->u->ws, w->conn, 1000, "");
	else
		loop_timer_set(w->u->loop, &w->timer, 0);
}

void tnl_wire_distrust(struct tnl_wire *w)
{
	if (w->state == WIRE_UP)
		wire_fail(w, ST_ETIMEOUT, false, "%s: this machine was asleep", w->u->o.name);
}

void tnl_wire_probe(struct tnl_wire *w)
{
	if (w->state == WIRE_UP)
		ws_probe(w->u->ws, w->conn, TNL_PROBE_MS);
}

const struct tnl_found *tnl_wire_found(const struct tnl_wire *w)
{
	return &w->found;
}

const char *tnl_wire_label(const struct tnl_wire *w)
{
	return w->label;
}

const char *tnl_wire_state_name(const struct tnl_wire *w)
{
	return states[w->state].name;
}

const char *tnl_wire_session_id(const struct tnl_wire *w)
{
	return w->session_id != NULL ? w->session_id : "";
}
