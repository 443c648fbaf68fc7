// SPDX-License-Identifier: MIT
/*
 * ag_forward.c - sessions that forward a port of this machine or of a host that it reaches
 *
 * Theory of operation: documents and allow-list say where to; the client's version, known when the
 * handshake is complete, says how. Clients from 1.1.70 on multiplex (ag_mux.c). Older ones have one connection
 * at a time, which is this file's basic mode: it is dialed when the session is ready, since a server may speak first;
 * flag 1 of the client closes it, so does the target's end, of which the client can't be told; the next data dials
 * again. What it can't dial ends the session: a basic client has no other way to learn of it.
 */
#include "gateway/ag_session_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/err.h"
#include "base/log.h"
#include "base/text.h"

/* ---- where to ---- */

static bool is_local(const char *host)
{
	return strcasecmp(host, "localhost") == 0 || strcmp(host, "127.0.0.1") == 0 ||
	       strcmp(host, "::1") == 0;
}

static bool same_host(const char *a, const char *b)
{
	struct net_addr x, y;

	if (is_local(a) && is_local(b))
		return true;
	if (net_addr_parse(&x, a) == 0 && net_addr_parse(&y, b) == 0)
		return net_addr_eq(&x, &y);
	return strcasecmp(a, b) == 0;
}

void ag_target_read(struct ag_target *out, const struct ag_opts *o, const char *document,
		    const json_t *params)
{
	const char *host = gw_document_param(document, params, "host");

	text_copy(out->host, sizeof(out->host), host ? host : "localhost");
	out->port = (uint16_t)strtoul(gw_document_param(document, params, "portNumber"), NULL, 10);
	if (out->port == 22 && is_local(out->host))
		out->port = o->ssh_port;
}

bool ag_target_allowed(const struct ag_opts *o, const struct ag_target *t)
{
	if (is_local(t->host) && t->port == o->ssh_port)
		return true;
	for (size_t i = 0; i < o->n_allow; i++)
		if (o->allow[i].port == t->port && same_host(o->allow[i].host, t->host))
			return true;
	return false;
}

/* In the order of the stock agent; ssm-protocol 1.3 */
char *ag_properties(const char *document, const json_t *params)
{
	static const char *const names[] = { "portNumber", "type", "localPortNumber", "host" };
	json_t *o = json_object();
	char *text;

	for (size_t i = 0; o && i < ARRAY_LEN(names); i++) {
		const char *v =
			strcmp(names[i], "type") == 0
				? (strcmp(document, GW_DOC_SSH) == 0 ? NULL : "LocalPortForwarding")
				: gw_document_param(document, params, names[i]);

		if (v)
			json_object_set_new(o, names[i], json_string(v));
	}
	text = o ? json_dumps(o, JSON_COMPACT) : NULL;
	json_decref(o);
	return text;
}

/* ---- which way ---- */

static void forward_ready(struct ag_session *s)
{
	struct ssm_peer peer;

	ssm_chan_peer(s->chan, &peer);
	s->mode = peer.mux ? &ag_mode_mux : &ag_mode_basic;
	log_debug("session %s: client %s, mode %s", s->id, text_safe(peer.version).s,
		  s->mode->name);
	if (s->mode->ready)
		s->mode->ready(s);
}

static void nothing(struct ag_session *s)
{
	(void)s;
}

/* There is no input before ready(). */
static int forward_data(struct ag_session *s, const uint8_t *p, size_t len)
{
	(void)s;
	(void)p;
	(void)len;
	return ST_EAGAIN;
}

static int forward_disconnect(struct ag_session *s)
{
	(void)s;
	return ST_EAGAIN;
}

const struct ag_mode ag_mode_forward = {
	.name = "forward",
	.ready = forward_ready,
	.data = forward_data,
	.disconnect = forward_disconnect,
	.steer = nothing,
	.close = nothing,
};

/* ---- basic ---- */

static void basic_dial(struct ag_session *s)
{
	if (s->fd < 0 && ag_connect_is_idle(&s->connect))
		ag_connect_start(&s->connect, s->target.host, s->target.port);
}

static void basic_connected(void *arg, int fd, int err)
{
	struct ag_session *s = arg;

	if (fd >= 0 && ag_tcp_adopt(s, fd) < 0)
		err = EMFILE;
	if (err)
		ag_tcp_failed(s, err);
	else
		ags_flush_later(s);
}

static void basic_ready(struct ag_session *s)
{
	ag_connect_init(&s->connect, ags_loop(s), &s->all->ag->lookups, basic_connected, s);
	basic_dial(s);
}

static int basic_data(struct ag_session *s, const uint8_t *p, size_t len)
{
	if (s->fd >= 0)
		return ag_tcp_data(s, p, len);
	s->input_held = true;
	basic_dial(s);
	return ST_EAGAIN;
}

static void basic_drop(struct ag_session *s, const char *why)
{
	log_debug("session %s: connection closed: %s", s->id, why);
	ag_connect_stop(&s->connect);
	ag_tcp_close(s);
	buf_consume(&s->to_tcp, s->to_tcp.len);
}

/* What the client sent last goes out first. */
static int basic_disconnect(struct ag_session *s)
{
	if (s->fd >= 0 && s->to_tcp.len) {
		s->input_held = true;
		return ST_EAGAIN;
	}
	basic_drop(s, "by the client");
	return 0;
}

static void basic_gone(struct ag_session *s, int err)
{
	basic_drop(s, err ? strerror(err) : "end of file");
	if (s->input_held) {
		s->input_held = false;
		ssm_chan_resume_input(s->chan, ags_now_us(s));
	}
	ags_flush_later(s);
}

static void basic_close(struct ag_session *s)
{
	ag_connect_stop(&s->connect);
	ag_tcp_close(s);
}

const struct ag_mode ag_mode_basic = {
	.name = "basic",
	.ready = basic_ready,
	.data = basic_data,
	.disconnect = basic_disconnect,
	.gone = basic_gone,
	.steer = ag_tcp_steer,
	.close = basic_close,
};
