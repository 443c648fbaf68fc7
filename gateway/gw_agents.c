// SPDX-License-Identifier: MIT
/*
 * gw_agents.c - what agents say on /ws/agent, and what we say to them
 *
 * Theory of operation: a connection is NEW until it registers (two requests) or its upgrade carried
 * X-Agent-Uid with a good token; then it is ONLINE, at most one of them per agent: a newer one
 * replaces the older. Everything that arrives restarts the connection's idle timer. A message that
 * is no good envelope is answered by an error; GWA_BAD_MAX of them in a row end the connection.
 */
#include "gateway/gw_agents.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "base/text.h"
#include "gateway/gw_envelope.h"
#include "gateway/gw_push.h"
#include "gateway/gw_session.h"
#include "proto/ssm_chan.h"

#define HOST_HEADER_MAX 255U
#define CONNS_MAX 4096U /* ours */
#define SEEN_MS 60000U	/* ours: last_seen is written so often at most; each write is an fsync */

struct agent_conn {
	struct list_node node;
	struct gwa *all;
	ws_conn conn;
	struct net_endpoint peer;
	bool tls;
	char host[HOST_HEADER_MAX + 1]; /* the Host header: how this agent reaches us */
	bool online, over;
	bool bad_token; /* its upgrade carried a token that we don't know */
	char uid[CODEC_UUID_STR], host_id[GW_NAME_MAX + 1];
	char boot_id[GWA_BOOT_ID_MAX + 1];
	uint32_t bad_in_row;
	int64_t last_rx_s; /* Unix seconds */
	uint64_t seen_ms;  /* when last_seen was written */
	struct loop_timer idle;
};

struct gwa {
	struct gw *gw;
	struct list conns;
	uint32_t n;
};

static struct agent_conn *conn_find(const struct gwa *a, const char *uid)
{
	list_for_each (n, &a->conns) {
		struct agent_conn *c = container_of(n, struct agent_conn, node);

		if (c->online && strcmp(c->uid, uid) == 0)
			return c;
	}
	return NULL;
}

static int conn_send(struct agent_conn *c, char *text)
{
	int r = text ? ws_send(c->all->gw->ws, c->conn, (const uint8_t *)text, strlen(text), true)
		     : ST_ENOMEM;

	free(text);
	if (r == 0)
		c->all->gw->messages_sent++;
	else
		log_debug("agent %s: message not sent: %s", c->host_id, st_strerror(r));
	return r;
}

static void send_error(struct agent_conn *c, const char *code, const char *message,
		       const char *reply_to)
{
	json_t *body = json_pack("{s:s, s:s}", "error", code, "message", message);

	conn_send(c, env_format(ENV_ERROR, NULL, CH_ERROR, body, reply_to, gw_unix_s()));
	json_decref(body);
}

static void idle_restart(struct agent_conn *c)
{
	uint64_t at = loop_now_ms(c->all->gw->loop) + (c->online ? GWA_IDLE_MS : GWA_FIRST_IDLE_MS);

	if (loop_timer_set(c->all->gw->loop, &c->idle, at) < 0)
		log_error("agents: no memory for a timer");
}

static void conn_close(struct agent_conn *c, uint16_t code, const char *reason)
{
	c->over = true;
	ws_close(c->all->gw->ws, c->conn, code, reason);
}

static void idle_timer(void *arg, uint64_t now_ms)
{
	struct agent_conn *c = arg;

	(void)now_ms;
	log_info("agent %s: idle time-out", c->host_id[0] ? c->host_id : "(unregistered)");
	conn_close(c, 1001, "idle timeout");
}

/* ---- online and offline ---- */

static void go_offline(struct agent_conn *c)
{
	struct gw *gw = c->all->gw;

	if (!c->online)
		return;
	c->online = false;
	gw_store_agent_seen(gw->store, c->uid, c->last_rx_s);
	gws_agent_down(gw->sessions, c->uid);
}

static void go_online(struct agent_conn *c, const char *uid, const char *host_id)
{
	struct agent_conn *old = conn_find(c->all, uid);

	if (old && old != c) {
		old->online = false; /* without telling the sessions: the agent is not gone */
		conn_close(old, 1000, "replaced by a newer connection");
	}
	if (c->online && strcmp(c->uid, uid) != 0)
		go_offline(c);
	text_copy(c->uid, sizeof(c->uid), uid);
	text_copy(c->host_id, sizeof(c->host_id), host_id);
	c->online = true;
	c->seen_ms = loop_now_ms(c->all->gw->loop);
	idle_restart(c);
	gws_agent_up(c->all->gw->sessions, uid, c->boot_id);
}

/* ---- messages ---- */

static void send_answer(struct agent_conn *c, const struct env *e, struct gwr_answer *a)
{
	if (a->status == 200 && a->body)
		conn_send(c,
			  env_format(ENV_RESPONSE, NULL, e->channel, a->body, e->id, gw_unix_s()));
	else
		send_error(c, a->code ? a->code : "internal",
			   a->message ? a->message : "out of memory", e->id);
	json_decref(a->body);
}

static void on_register(struct agent_conn *c, const struct env *e)
{
	struct gwr_answer a;

	gwr_init(c->all->gw->reg, &a, e->body, &c->peer.addr, loop_now_ms(c->all->gw->loop),
		 gw_unix_s());
	send_answer(c, e, &a);
}

static void on_complete(struct agent_conn *c, const struct env *e)
{
	struct gwr_answer a;

	gwr_complete(c->all->gw->reg, &a, e->body, loop_now_ms(c->all->gw->loop), gw_unix_s());
	send_answer(c, e, &a);
	if (a.status == 200)
		go_online(c, a.agent_uid, a.host_id);
}

/* A heartbeat also finds out whether an operator has removed the agent meanwhile. */
static void on_heartbeat(struct agent_conn *c, const struct env *e)
{
	uint64_t now_ms = loop_now_ms(c->all->gw->loop);
	int r = 0;

	if (now_ms - c->seen_ms >= SEEN_MS) {
		c->seen_ms = now_ms;
		r = gw_store_agent_seen(c->all->gw->store, c->uid, c->last_rx_s);
	} else {
		r = gw_store_agent_by_uid(c->all->gw->store, c->uid, NULL);
	}
	if (r == ST_ENOENT) {
		gws_agent_removed(c->all->gw->sessions, c->uid);
		go_offline(c);
		conn_close(c, 1008, "removed by the operator");
		return;
	}
	conn_send(c, env_echo(e, gw_unix_s()));
}

static void on_reopen(struct agent_conn *c, const struct env *e)
{
	const char *id = json_str(e->body, "session_id");
	char token[GW_TOKEN_STR], *url = NULL;
	json_t *body = NULL;

	if (id && gws_agent_reopen(c->all->gw->sessions, c->uid, id, token) == 0 &&
	    (url = gwa_data_url(c->all, c->uid, id)))
		body = json_pack("{s:s, s:s, s:s}", "session_id", id, "token", token, "url", url);
	else if (id)
		body = json_pack("{s:s, s:s}", "session_id", text_safe(id).s, "error",
				 "no_such_session");
	if (body)
		conn_send(c, env_format(ENV_RESPONSE, NULL, e->channel, body, e->id, gw_unix_s()));
	else
		send_error(c, "invalid_request", "session_id is needed", e->id);
	codec_wipe(token, sizeof(token));
	json_decref(body);
	free(url);
}

static void on_ended(struct agent_conn *c, const struct env *e)
{
	const char *id = json_str(e->body, "session_id");

	if (id)
		gws_agent_ended(c->all->gw->sessions, c->uid, id, json_str(e->body, "output"));
	else
		send_error(c, "invalid_request", "session_id is needed", e->id);
}

static const struct {
	const char *channel;
	void (*fn)(struct agent_conn *c, const struct env *e);
	bool anyone; /* also on a connection that is not registered */
} requests[] = {
	{ CH_REGISTER, on_register, true },	  { CH_COMPLETE, on_complete, true },
	{ CH_COMPLETE_ALIAS, on_complete, true }, { CH_SESSION_REOPEN, on_reopen, false },
	{ CH_SESSION_END, on_ended, false },
};

static void dispatch(struct agent_conn *c, const struct env *e)
{
	for (size_t i = 0; i < ARRAY_LEN(requests) && e->type == ENV_REQUEST; i++) {
		if (strcmp(e->channel, requests[i].channel) != 0)
			continue;
		if (!c->online && !requests[i].anyone)
			break;
		requests[i].fn(c, e);
		return;
	}
	if (c->online && e->type == ENV_RESPONSE && strcmp(e->channel, CH_SSH_KEY) == 0)
		gwk_answered(c->all->gw->keys, c->uid, e->body);
	else if (!c->online)
		send_error(c, "not_registered", "register first", e->id);
	else if (e->type == ENV_HEARTBEAT)
		on_heartbeat(c, e);
	else if (e->type == ENV_REQUEST)
		send_error(c, "unknown_channel", "there is no such channel", e->id);
	else
		log_debug("agent %s: %s ignored", c->host_id, text_safe(e->channel).s);
}

static void on_bad(struct agent_conn *c, const char *code, const char *why)
{
	send_error(c, code, why, NULL);
	if (++c->bad_in_row < GWA_BAD_MAX)
		return;
	log_info("agent %s: %u malformed messages in a row", c->host_id[0] ? c->host_id : "?",
		 c->bad_in_row);
	conn_close(c, 1008, "too many malformed messages");
}

static void on_message(void *arg, ws_conn conn, const uint8_t *p, size_t len, bool text)
{
	struct agent_conn *c = arg;
	const char *code, *why;
	struct env e;

	(void)text;
	c->conn = conn;
	if (c->over)
		return;
	c->all->gw->messages_received++;
	c->last_rx_s = gw_unix_s();
	idle_restart(c);
	if (env_parse(&e, p, len, &code, &why) < 0) {
		on_bad(c, code, why);
		return;
	}
	c->bad_in_row = 0;
	dispatch(c, &e);
	env_fini(&e);
}

static void on_open(void *arg, ws_conn conn)
{
	struct agent_conn *c = arg;

	c->conn = conn;
	if (c->uid[0])
		go_online(c, c->uid, c->host_id);
	else if (c->bad_token)
		send_error(c, "invalid_token",
			   "X-Agent-Uid and X-Bootstrap-Token are not known: register", NULL);
}

static void conn_free(struct agent_conn *c)
{
	loop_timer_cancel(c->all->gw->loop, &c->idle);
	list_del(&c->node);
	c->all->n--;
	free(c);
}

static void on_closed(void *arg, ws_conn conn, int err, int status, const char *reason)
{
	struct agent_conn *c = arg;

	(void)conn;
	if (c->host_id[0])
		log_info("agent %s: connection closed: %s (%d)", c->host_id,
			 reason && *reason ? text_safe(reason).s : st_strerror(err), status);
	go_offline(c);
	conn_free(c);
}

static const struct ws_events conn_events = {
	.open = on_open,
	.message = on_message,
	.closed = on_closed,
};

/* ---- the upgrade ---- */

/* The reconnection headers, if there are any. */
static void authenticate(struct agent_conn *c, ws_req r)
{
	struct gw *gw = c->all->gw;
	const char *uid = ws_req_header(gw->ws, r, "x-agent-uid");
	const char *token = ws_req_header(gw->ws, r, "x-bootstrap-token");
	const char *limit = ws_req_header(gw->ws, r, "x-agent-max-payload");
	struct gw_agent_rec rec;
	json_t *caps;

	if (!uid || !token)
		return;
	if (gw_store_agent_auth(gw->store, uid, token, gw_unix_s(), &rec) < 0) {
		log_limited(loop_now_ms(gw->loop), LOG_WARN, "agent %s: unknown uid or token",
			    text_safe(uid).s);
		c->bad_token = true;
		return;
	}
	text_copy(c->uid, sizeof(c->uid), rec.uid);
	text_copy(c->host_id, sizeof(c->host_id), rec.host_id);
	if (!limit)
		return;
	caps = json_pack("{s:I}", "max_payload_bytes", (json_int_t)strtoul(limit, NULL, 10));
	if (caps && gwr_max_payload(caps) != rec.max_payload)
		gw_store_agent_limit(gw->store, rec.uid, gwr_max_payload(caps));
	json_decref(caps);
}

int gwa_upgrade(struct gwa *a, ws_req r, const struct ws_request *req, bool tls,
		const struct ws_events **events, void **events_arg)
{
	const char *host = ws_req_header(a->gw->ws, r, "host");
	const char *boot = ws_req_header(a->gw->ws, r, "x-agent-boot-id");
	struct agent_conn *c;

	if (a->n >= CONNS_MAX || !(c = calloc(1, sizeof(*c))))
		return 503;
	c->all = a;
	c->peer = req->peer;
	c->tls = tls;
	if (!text_copy(c->host, sizeof(c->host), host ? host : "") ||
	    !text_copy(c->boot_id, sizeof(c->boot_id), boot ? boot : "")) {
		free(c);
		return 400;
	}
	list_node_init(&c->node);
	list_push_back(&a->conns, &c->node);
	a->n++;
	a->gw->total_connections++;
	c->last_rx_s = gw_unix_s();
	loop_timer_init(&c->idle, idle_timer, c);
	authenticate(c, r);
	idle_restart(c);
	*events = &conn_events;
	*events_arg = c;
	return 0;
}

/* ---- what the rest of the gateway asks ---- */

bool gwa_is_online(const struct gwa *a, const char *uid, int64_t *last_seen)
{
	const struct agent_conn *c = conn_find(a, uid);

	if (c && last_seen)
		*last_seen = c->last_rx_s;
	return c != NULL;
}

const char *gwa_boot_id(const struct gwa *a, const char *uid)
{
	const struct agent_conn *c = conn_find(a, uid);

	return c ? c->boot_id : "";
}

int gwa_request(struct gwa *a, const char *uid, const char *channel, const json_t *body)
{
	struct agent_conn *c = conn_find(a, uid);

	if (!c)
		return ST_ENOENT;
	return conn_send(c, env_format(ENV_REQUEST, NULL, channel, body, NULL, gw_unix_s()));
}

char *gwa_data_url(const struct gwa *a, const char *uid, const char *session_id)
{
	const struct agent_conn *c = conn_find(a, uid);
	char *url;

	if (!c || asprintf(&url, "%s://%s/v1/data-channel/%s?role=publish_subscribe",
			   c->tls ? "wss" : "ws", c->host, session_id) < 0)
		return NULL;
	return url;
}

uint32_t gwa_connections(const struct gwa *a)
{
	return a->n;
}

int gwa_new(struct gwa **out, struct gw *gw)
{
	struct gwa *a = calloc(1, sizeof(*a));

	if (!a)
		return ST_ENOMEM;
	a->gw = gw;
	list_init(&a->conns);
	*out = a;
	return 0;
}

void gwa_free(struct gwa *a)
{
	if (!a)
		return;
	list_for_each (n, &a->conns) {
		struct agent_conn *c = container_of(n, struct agent_conn, node);

		if (c->online)
			gw_store_agent_seen(a->gw->store, c->uid, c->last_rx_s);
		ws_drop(a->gw->ws, c->conn);
		conn_free(c);
	}
	free(a);
}
