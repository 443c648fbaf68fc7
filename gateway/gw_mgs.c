// SPDX-License-Identifier: MIT
/*
 * gw_mgs.c - control channels of stock agents
 *
 * Theory of operation: CreateControlChannel (gw_mgs_http) leaves a token with the instance. The
 * upgrade of the control channel must be signed by a key that may be the instance; its first message
 * names the token, which is spent by it. Then the socket is the instance's channel, in place of the
 * earlier one, which is closed. Whatever comes, pings included, shows that it lives; with each ping it
 * is also looked up whether key and instance are still in the store; if not, its sessions end with it.
 * The only message that matters is agent_task_complete: it ends a session, and every copy of it is
 * acknowledged. A socket that is being closed is "over": nothing it still says counts; its last event
 * frees it.
 */
#include "gateway/gw_mgs.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "base/text.h"
#include "gateway/gw_api.h"
#include "gateway/gw_envelope.h"
#include "gateway/gw_instance.h"
#include "gateway/gw_mgs_internal.h"
#include "gateway/gw_session.h"

#define CONTROL_CHANNEL "/v1/control-channel/"
#define TASK_COMPLETE "agent_task_complete"

struct gwm_sock {
	struct list_node node;
	struct gwm *all;
	ws_conn conn;
	struct gwm_channel *channel; /* NULL: no open message yet, or replaced */
	char access_key[GW_ACCESS_KEY_STR];
	char id[GW_NAME_MAX + 1]; /* instance id of the path */
	bool over, unopened;
	uint64_t last_rx_ms;
	int64_t last_rx_s; /* Unix seconds */
	struct loop_timer timer;
};

/* ---- instances ---- */

static struct gwm_channel *channel_find(const struct gwm *m, const char *uid)
{
	list_for_each (n, &m->channels) {
		struct gwm_channel *c = container_of(n, struct gwm_channel, node);

		if (strcmp(c->uid, uid) == 0)
			return c;
	}
	return NULL;
}

static void channel_free(struct gwm *m, struct gwm_channel *c)
{
	list_del(&c->node);
	m->n_channels--;
	free(c);
}

/* Entries without a socket whose token ran out. */
static void channels_sweep(struct gwm *m)
{
	list_for_each (n, &m->channels) {
		struct gwm_channel *c = container_of(n, struct gwm_channel, node);

		if (!c->sock && !gw_token_waits(&c->token, loop_now_ms(m->gw->loop)))
			channel_free(m, c);
	}
}

struct gwm_channel *gwm_channel_get(struct gwm *m, const struct gw_agent_rec *rec)
{
	struct gwm_channel *c = channel_find(m, rec->uid);

	if (c)
		return c;
	if (m->n_channels >= GWM_CHANNELS_MAX)
		channels_sweep(m);
	if (m->n_channels >= GWM_CHANNELS_MAX || !(c = calloc(1, sizeof(*c))))
		return NULL;
	text_copy(c->uid, sizeof(c->uid), rec->uid);
	text_copy(c->host_id, sizeof(c->host_id), rec->host_id);
	list_push_back(&m->channels, &c->node);
	m->n_channels++;
	return c;
}

/* ---- sockets ---- */

static int sock_watch(struct gwm_sock *k, uint64_t in_ms)
{
	return loop_timer_set(k->all->gw->loop, &k->timer, loop_now_ms(k->all->gw->loop) + in_ms);
}

static void sock_counted(struct gwm_sock *k, bool unopened)
{
	if (unopened && !k->unopened)
		k->all->unopened++;
	else if (!unopened && k->unopened)
		k->all->unopened--;
	k->unopened = unopened;
}

static void sock_free(struct gwm_sock *k)
{
	loop_timer_cancel(k->all->gw->loop, &k->timer);
	sock_counted(k, false);
	list_del(&k->node);
	free(k);
}

/* The instance has no control channel any more. */
static void go_offline(struct gwm_sock *k)
{
	struct gwm_channel *c = k->channel;
	struct gw *gw = k->all->gw;

	if (!c)
		return;
	c->sock = NULL;
	k->channel = NULL;
	gw_store_agent_seen(gw->store, c->uid, k->last_rx_s);
	log_info("instance %s: its control channel is closed", c->host_id);
	gws_agent_down(gw->sessions, c->uid);
}

static void sock_close(struct gwm_sock *k, uint16_t code, const char *reason)
{
	k->over = true;
	go_offline(k);
	ws_close(k->all->gw->ws, k->conn, code, reason);
}

static void go_online(struct gwm_sock *k, struct gwm_channel *c)
{
	struct gwm_sock *old = c->sock;

	if (old) {
		old->channel = NULL; /* without telling the sessions: the agent is not gone */
		old->over = true;
		ws_close(k->all->gw->ws, old->conn, 1000, "replaced by a newer connection");
	}
	sock_counted(k, false);
	c->sock = k;
	k->channel = c;
	sock_watch(k, GWM_SILENT_MS);
	log_info("instance %s: control channel %s", c->host_id, old ? "replaced" : "open");
	gws_agent_up(k->all->gw->sessions, c->uid, "");
}

/* {"TokenValue", "AgentVersion", "PlatformType", …} as text */
static void open_message(struct gwm_sock *k, const uint8_t *p, size_t len)
{
	json_t *doc = json_loadb((const char *)p, len, JSON_REJECT_DUPLICATES, NULL);
	struct gw_agent_rec rec;
	struct gwm_channel *c = NULL;

	if (gw_store_agent_by_host(k->all->gw->store, k->id, &rec) == 0)
		c = channel_find(k->all, rec.uid);
	if (c && gw_token_take(&c->token, json_str(doc, "TokenValue"), k->last_rx_ms)) {
		go_online(k, c);
	} else {
		log_limited(k->last_rx_ms, LOG_WARN, "instance %s: invalid open message", k->id);
		sock_close(k, 1008, "invalid open message");
	}
	json_decref(doc);
}

static void heard(struct gwm_sock *k, ws_conn c)
{
	k->conn = c;
	k->last_rx_ms = loop_now_ms(k->all->gw->loop);
	k->last_rx_s = gw_unix_s();
}

/* ---- messages ---- */

ssize_t gwm_msg_make(uint8_t **out, enum ssm_type type, const json_t *payload)
{
	struct ssm_msg m = { .type = type, .created_ms = (uint64_t)gw_unix_ms() };
	char *text = json_dumps(payload, JSON_COMPACT);
	ssize_t n = ST_ENOMEM;
	size_t cap;

	*out = NULL;
	if (!text)
		return ST_ENOMEM;
	codec_uuid4(m.id);
	m.payload = (const uint8_t *)text;
	m.payload_len = strlen(text);
	cap = ssm_msg_size(&m, m.payload_len);
	if ((*out = malloc(cap)) && (n = ssm_msg_encode(*out, cap, &m)) < 0) {
		free(*out);
		*out = NULL;
	}
	free(text);
	return n;
}

int gwm_send(struct gwm *m, const char *uid, const uint8_t *p, size_t len)
{
	struct gwm_channel *c = channel_find(m, uid);

	return c && c->sock ? ws_send(m->gw->ws, c->sock->conn, p, len, false) : ST_ENOENT;
}

static void acknowledge(struct gwm_sock *k, const struct ssm_msg *m, const char *session_id)
{
	char id[CODEC_UUID_STR];
	json_t *body;
	uint8_t *out;
	ssize_t n;

	codec_uuid_str(id, m->id);
	body = json_pack("{s:i, s:s, s:s, s:s}", "SchemaVersion", 1, "MessageId", id, "TaskId",
			 session_id, "Topic", TASK_COMPLETE);
	n = body ? gwm_msg_make(&out, SSM_AGENT_TASK_ACKNOWLEDGE, body) : ST_ENOMEM;
	json_decref(body);
	if (n < 0 || ws_send(k->all->gw->ws, k->conn, out, (size_t)n, false) < 0)
		log_debug("instance %s: no acknowledgement sent", k->id); /* it asks again */
	if (n >= 0)
		free(out);
}

static void task_complete(struct gwm_sock *k, const struct ssm_msg *m)
{
	json_t *body = json_loadb((const char *)m->payload, m->payload_len, 0, NULL);
	const char *id = json_str(body, "TaskId"), *output = json_str(body, "Output");
	const char *status = json_str(body, "FinalTaskStatus");

	if (id) {
		log_debug("instance %s: session %s is complete: %s", k->id, text_safe(id).s,
			  text_safe(status).s);
		acknowledge(k, m, id);
		gws_agent_ended(k->all->gw->sessions, k->channel->uid, id, output);
	} else {
		log_debug("instance %s: " TASK_COMPLETE " without a TaskId", k->id);
	}
	json_decref(body);
}

static void control_message(struct gwm_sock *k, const uint8_t *p, size_t len)
{
	struct ssm_msg m;
	int r = ssm_msg_decode(&m, p, len);

	if (r < 0)
		log_limited(k->last_rx_ms, LOG_DEBUG, "instance %s: message dropped: %s", k->id,
			    st_strerror(r));
	else if (m.type == SSM_AGENT_TASK_COMPLETE)
		task_complete(k, &m);
	else
		log_debug("instance %s: %s ignored", k->id, text_safe(m.type_name).s);
}

static void on_open(void *arg, ws_conn c)
{
	heard(arg, c);
}

static void on_message(void *arg, ws_conn c, const uint8_t *p, size_t len, bool text)
{
	struct gwm_sock *k = arg;

	heard(k, c);
	if (k->over)
		return;
	if (k->channel)
		control_message(k, p, len);
	else if (text)
		open_message(k, p, len);
	else
		sock_close(k, 1008, "the open message is missing");
}

/* May this key still be this instance? An operator may have removed either. */
static bool sock_is_allowed(const struct gwm_sock *k)
{
	struct gw_store *store = k->all->gw->store;
	struct gw_key_rec key;
	int r = gw_store_key_get(store, k->access_key, &key);

	codec_wipe(key.secret, sizeof(key.secret));
	if (r == ST_ENOENT || (r == 0 && !gwi_may(&key, k->id)))
		return false;
	return gw_store_agent_by_uid(store, k->channel->uid, NULL) != ST_ENOENT;
}

static void on_alive(void *arg, ws_conn c)
{
	struct gwm_sock *k = arg;

	heard(k, c);
	if (k->over || !k->channel || sock_is_allowed(k))
		return;
	log_info("instance %s: removed by the operator", k->id);
	gws_agent_removed(k->all->gw->sessions, k->channel->uid);
	sock_close(k, 1008, "removed by the operator");
}

static void on_closed(void *arg, ws_conn c, int err, int status, const char *reason)
{
	struct gwm_sock *k = arg;

	(void)c;
	log_debug("instance %s: socket closed: %s (%d)", k->id,
		  reason && *reason ? text_safe(reason).s : st_strerror(err), status);
	go_offline(k);
	sock_free(k);
}

static const struct ws_events sock_events = {
	.open = on_open,
	.message = on_message,
	.closed = on_closed,
	.alive = on_alive,
};

/* No open message, or silence for long: a peer that has gone without a word. */
static void sock_timer(void *arg, uint64_t now_ms)
{
	struct gwm_sock *k = arg;

	if (k->over)
		return;
	if (k->unopened) {
		sock_counted(k, false);
		sock_close(k, 1008, "no open message");
	} else if (now_ms - k->last_rx_ms < GWM_SILENT_MS) {
		sock_watch(k, GWM_SILENT_MS);
	} else {
		ws_drop(k->all->gw->ws, k->conn);
		go_offline(k);
		sock_free(k);
	}
}

int gwm_upgrade(struct gw_listener *l, ws_req r, const struct ws_request *req,
		const struct ws_events **events, void **events_arg)
{
	const char *id = req->path + strlen(CONTROL_CHANNEL);
	struct gwm *m = l->gw->mgs;
	struct sigv4_result who;
	struct gw_key_rec key;
	struct gwm_sock *k;

	if (gw_api_verify_for(l->gw, &who, r, req, "ssmmessages", &key) < 0 || !gwi_may(&key, id)) {
		log_limited(loop_now_ms(l->gw->loop), LOG_WARN,
			    "instance %s: control channel denied: %s", text_safe(id).s,
			    who.code ? who.code : "not this key's");
		return 403;
	}
	if (m->unopened >= GWM_UNOPENED_MAX || !(k = calloc(1, sizeof(*k))))
		return 503;
	k->all = m;
	text_copy(k->access_key, sizeof(k->access_key), who.access_key);
	list_node_init(&k->node);
	loop_timer_init(&k->timer, sock_timer, k);
	if (!text_copy(k->id, sizeof(k->id), id) || sock_watch(k, GWM_OPEN_MS) < 0) {
		free(k);
		return 503;
	}
	list_push_back(&m->socks, &k->node);
	sock_counted(k, true);
	*events = &sock_events;
	*events_arg = k;
	return 0;
}

/* ---- all of them ---- */

bool gwm_is_online(const struct gwm *m, const char *uid, int64_t *last_seen)
{
	const struct gwm_channel *c = channel_find(m, uid);

	if (!c || !c->sock)
		return false;
	if (last_seen)
		*last_seen = c->sock->last_rx_s;
	return true;
}

int gwm_new(struct gwm **out, struct gw *gw)
{
	struct gwm *m = calloc(1, sizeof(*m));

	if (!m)
		return ST_ENOMEM;
	m->gw = gw;
	list_init(&m->channels);
	list_init(&m->socks);
	list_init(&m->starts);
	*out = m;
	return 0;
}

void gwm_free(struct gwm *m)
{
	if (!m)
		return;
	gwm_starts_free(m);
	list_for_each (n, &m->socks) {
		struct gwm_sock *k = container_of(n, struct gwm_sock, node);

		if (k->channel)
			gw_store_agent_seen(m->gw->store, k->channel->uid, k->last_rx_s);
		ws_drop(m->gw->ws, k->conn);
		sock_free(k);
	}
	list_for_each (n, &m->channels)
		channel_free(m, container_of(n, struct gwm_channel, node));
	free(m);
}
