// SPDX-License-Identifier: MIT
/*
 * gw_session.c - the life of a session
 *
 * Theory of operation: a session is an entry of the store and two sides, each with a token (only its
 * hash is kept) and at most one socket (gw_sock). Messages pass through gw_relay. One timer a session
 * waits for the nearest of its limits. A session that ended stays for a while with its last words,
 * channel_closed, for a client that is not connected just then. After our own restart the active
 * sessions of the store are back without sockets: agents reopen, clients resume.
 *
 * States: GWS_STARTING until both sides have opened once; GWS_RUNNING while at least one of them is
 * there or may come back; GWS_ENDED from the end's cause until the client has been told or nobody
 * came for it.
 */
#include "gateway/gw_session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "base/text.h"
#include "gateway/gw_agents.h"
#include "gateway/gw_envelope.h"
#include "gateway/gw_session_internal.h"
#include "proto/ssm_chan.h"

#define ID_RANDOM_BYTES 9U /* 17 of their 18 hex digits */
#define CHANNEL_CLOSED_MAX 1200U

static const struct {
	const char *name;
	uint32_t next;
} states[] = {
	[GWS_STARTING] = { "starting", BIT(GWS_RUNNING) | BIT(GWS_ENDED) },
	[GWS_RUNNING] = { "running", BIT(GWS_ENDED) },
	[GWS_ENDED] = { "ended", 0 },
};
_Static_assert(ARRAY_LEN(states) == GWS_STATE_N, "states[] and enum gws_state differ");

static void session_timer(void *arg, uint64_t now_ms);
static void session_arm(struct gws_session *s);
static void session_end(struct gws_session *s, const char *output, const char *who);

static void set_state(struct gws_session *s, enum gws_state to, const char *why)
{
	if (!(states[s->state].next & BIT(to)))
		ST_BUG("session %s -> %s: %s", states[s->state].name, states[to].name, why);
	log_debug("session %s: %s -> %s: %s", s->rec.id, states[s->state].name, states[to].name,
		  why);
	s->state = to;
	s->state_ms = gws_now(s->all);
}

struct gws_session *gws_session_find(struct gws *all, const char *id)
{
	struct gws_session *s;
	uint32_t pos = 0;

	while ((s = hnd_next(&all->table, &pos)))
		if (strcmp(s->rec.id, id) == 0)
			return s;
	return NULL;
}

static void token_make(struct gws_side *side, char out[GW_TOKEN_STR], uint64_t now_ms)
{
	uint8_t raw[GW_TOKEN_BYTES];

	codec_random(raw, sizeof(raw));
	codec_b64url_encode(out, raw, sizeof(raw));
	codec_wipe(raw, sizeof(raw));
	codec_sha256(side->token_hash, out, strlen(out));
	side->token_until_ms = now_ms + GWS_TOKEN_MS;
}

static void note_agent(struct gws_session *s)
{
	bool there = s->side[GW_AGENT].sock ||
		     gwa_is_online(s->all->gw->agents, s->rec.agent_uid, NULL);

	if (there) {
		s->agent_gone_ms = 0;
		s->agent_grace_ms = GWS_AGENT_GONE_MS;
	} else if (!s->agent_gone_ms) {
		s->agent_gone_ms = gws_now(s->all);
	}
	session_arm(s);
}

void gws_session_free(struct gws_session *s)
{
	for (int i = 0; i < GW_SIDE_N; i++)
		if (s->side[i].sock)
			gws_sock_close(s->side[i].sock, 1000, "");
	gw_relay_fini(&s->relay);
	loop_timer_cancel(s->all->gw->loop, &s->timer);
	hnd_del(&s->all->table, s->h);
	free(s);
}

/* An ended session whose client has everything: close its socket, which frees the session. */
void gws_session_told(struct gws_session *s)
{
	struct gws_sock *k = s->side[GW_CLIENT].sock;

	if (s->state == GWS_ENDED && k && gw_relay_is_drained(&s->relay, GW_CLIENT) && !k->over) {
		k->over = true;
		ws_close(s->all->gw->ws, k->conn, 1000, "");
	}
}

void gws_session_opened(struct gws_session *s)
{
	if (s->state == GWS_STARTING && s->side[GW_CLIENT].opened && s->side[GW_AGENT].opened)
		set_state(s, GWS_RUNNING, "both sides have opened");
	note_agent(s);
	gws_session_told(s);
}

void gws_session_lost(struct gws_session *s, enum gw_side side)
{
	if (s->state == GWS_ENDED && side == GW_CLIENT && gw_relay_is_drained(&s->relay, GW_CLIENT))
		gws_session_free(s);
	else
		note_agent(s);
}

static void relay_cut(void *arg, enum gw_side side)
{
	struct gws_session *s = arg;

	if (s->side[side].sock)
		gws_sock_cut(s->side[side].sock, "cut by --fault");
}

/* ---- the end ---- */

static void send_channel_closed(struct gws_session *s, enum gw_side to, const char *output)
{
	uint8_t uuid[CODEC_UUID_LEN], out[CHANNEL_CLOSED_MAX];
	char id[CODEC_UUID_STR], date[24];
	int64_t ms = gw_unix_ms();
	struct ssm_msg m = {
		.type = SSM_CHANNEL_CLOSED,
		.header_len = SSM_HEADER_LEN_OLD,
		.created_ms = (uint64_t)ms,
		.flags = SSM_FLAGS_ACK,
	};
	char *text = NULL;
	json_t *doc;
	ssize_t n;

	codec_uuid4(uuid);
	memcpy(m.id, uuid, sizeof(uuid));
	codec_uuid_str(id, uuid);
	snprintf(date, sizeof(date), "%lld", (long long)ms);
	doc = json_pack("{s:s, s:s, s:s, s:s, s:s, s:i, s:s}", "MessageId", id, "CreatedDate", date,
			"DestinationId", s->rec.host_id, "SessionId", s->rec.id, "MessageType",
			"channel_closed", "SchemaVersion", 1, "Output", output);
	if (doc && (text = json_dumps(doc, JSON_COMPACT))) {
		m.payload = (const uint8_t *)text;
		m.payload_len = strlen(text);
		if ((n = ssm_msg_encode(out, sizeof(out), &m)) > 0)
			gw_relay_deliver(&s->relay, to, out, (size_t)n);
	}
	free(text);
	json_decref(doc);
}

/* Tells the agent by both of its connections: the data channel may be gone, the control one busy. */
static void tell_agent(struct gws_session *s)
{
	struct gws_sock *k = s->side[GW_AGENT].sock;
	json_t *body = json_pack("{s:s}", "session_id", s->rec.id);

	gwa_request(s->all->gw->agents, s->rec.agent_uid, CH_SESSION_TERMINATE, body);
	json_decref(body);
	if (!k)
		return;
	send_channel_closed(s, GW_AGENT, "");
	gws_sock_close(k, 1000, "");
	gws_side_detach(s, GW_AGENT);
}

/* @output: harmless text for the client, "" for an ordinary end. @who: for the audit log. */
static void session_end(struct gws_session *s, const char *output, const char *who)
{
	if (s->state == GWS_ENDED)
		return;
	set_state(s, GWS_ENDED, *output ? output : "ordinary end");
	log_info("session %s: ended by %s%s%s", s->rec.id, who, *output ? ": " : "", output);
	if (gw_store_session_end(s->all->gw->store, s->rec.id, output, who) < 0)
		log_warn("session %s: its end could not be stored", s->rec.id);
	tell_agent(s);
	send_channel_closed(s, GW_CLIENT, output);
	session_arm(s);
	gws_session_told(s);
}

/* ---- limits ---- */

struct limit {
	uint64_t at_ms;
	const char *output;
};

static void nearer(struct limit *l, uint64_t at_ms, const char *output)
{
	if (at_ms < l->at_ms)
		*l = (struct limit){ .at_ms = at_ms, .output = output };
}

static struct limit session_limit(const struct gws_session *s)
{
	const struct gws_side *client = &s->side[GW_CLIENT];
	struct limit l = { .at_ms = UINT64_MAX };

	if (s->state == GWS_ENDED) {
		nearer(&l, s->state_ms + GWS_LINGER_MS, "");
		return l;
	}
	if (s->state == GWS_STARTING)
		nearer(&l, s->state_ms + GWS_TOKEN_MS,
		       s->side[GW_AGENT].opened ? "the client did not open its data channel"
						: "the agent did not open its data channel");
	if (s->agent_gone_ms)
		nearer(&l, s->agent_gone_ms + s->agent_grace_ms, "agent gone");
	if (!client->sock)
		nearer(&l, client->gone_ms + GWS_CLIENT_GONE_MS, "client gone");
	return l;
}

static void session_arm(struct gws_session *s)
{
	struct limit l = session_limit(s);

	if (l.at_ms == UINT64_MAX)
		loop_timer_cancel(s->all->gw->loop, &s->timer);
	else if (loop_timer_set(s->all->gw->loop, &s->timer, l.at_ms) < 0)
		log_error("session %s: no memory for its timer", s->rec.id);
}

static void session_timer(void *arg, uint64_t now_ms)
{
	struct gws_session *s = arg;
	struct limit l = session_limit(s);

	if (l.at_ms > now_ms)
		session_arm(s);
	else if (s->state == GWS_ENDED)
		gws_session_free(s);
	else
		session_end(s, l.output, "gateway");
}

/* ---- start, resume, terminate ---- */

static struct gws_session *session_new(struct gws *all, const struct gw_session_rec *rec,
				       enum gws_state state)
{
	struct gws_session *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->all = all;
	s->rec = *rec;
	s->state = state;
	s->state_ms = gws_now(all);
	s->agent_grace_ms = GWS_AGENT_GONE_MS;
	s->max_payload = SSM_CHUNK;
	for (int i = 0; i < GW_SIDE_N; i++)
		s->side[i].gone_ms = s->state_ms;
	loop_timer_init(&s->timer, session_timer, s);
	gw_relay_init(&s->relay, all->gw, relay_cut, s);
	if (hnd_add(&all->table, s, &s->h) < 0) {
		gw_relay_fini(&s->relay);
		free(s);
		return NULL;
	}
	return s;
}

static void rec_fill(struct gw_session_rec *rec, const struct gws_order *o, const char *boot_id)
{
	uint8_t rnd[ID_RANDOM_BYTES];
	char hex[2 * ID_RANDOM_BYTES + 1];

	codec_random(rnd, sizeof(rnd));
	codec_hex(hex, rnd, sizeof(rnd));
	snprintf(rec->id, sizeof(rec->id), "%s-%.17s", o->key->name, hex);
	text_copy(rec->key_name, sizeof(rec->key_name), o->key->name);
	text_copy(rec->agent_uid, sizeof(rec->agent_uid), o->agent->uid);
	text_copy(rec->host_id, sizeof(rec->host_id), o->agent->host_id);
	text_copy(rec->document, sizeof(rec->document), o->document);
	text_copy(rec->reason, sizeof(rec->reason), o->reason ? text_safe(o->reason).s : "");
	text_copy(rec->boot_id, sizeof(rec->boot_id), boot_id);
	rec->started = gw_unix_s();
}

static int ask_agent(struct gws_session *s, const struct gws_order *o)
{
	struct gwa *agents = s->all->gw->agents;
	char *url = gwa_data_url(agents, s->rec.agent_uid, s->rec.id), token[GW_TOKEN_STR];
	json_t *body;
	int r;

	if (!url)
		return ST_ENOENT;
	token_make(&s->side[GW_AGENT], token, gws_now(s->all));
	body = json_pack("{s:s, s:s, s:s, s:s, s:O*, s:I}", "session_id", s->rec.id, "token", token,
			 "url", url, "document", s->rec.document, "parameters", o->parameters,
			 "max_payload_bytes", (json_int_t)s->max_payload);
	r = body ? gwa_request(agents, s->rec.agent_uid, CH_SESSION_START, body) : ST_ENOMEM;
	json_decref(body);
	codec_wipe(token, sizeof(token));
	free(url);
	return r;
}

static void ticket_fill(struct gws_session *s, struct gws_ticket *out)
{
	text_copy(out->session_id, sizeof(out->session_id), s->rec.id);
	out->max_payload = s->max_payload;
	token_make(&s->side[GW_CLIENT], out->token, gws_now(s->all));
}

int gws_start(struct gws *all, const struct gws_order *o, struct gws_ticket *out)
{
	struct gw_session_rec rec = { 0 };
	struct gws_session *s;
	int r;

	if (!gwa_is_online(all->gw->agents, o->agent->uid, NULL))
		return ST_ENOENT;
	rec_fill(&rec, o, gwa_boot_id(all->gw->agents, o->agent->uid));
	if (!(s = session_new(all, &rec, GWS_STARTING)))
		return all->table.used >= GWS_SESSIONS_MAX ? ST_EFULL : ST_ENOMEM;
	s->max_payload = MIN(o->agent->max_payload, SSM_PAYLOAD_MAX);
	if ((r = gw_store_session_add(all->gw->store, &s->rec)) < 0)
		goto fail;
	ticket_fill(s, out);
	if ((r = ask_agent(s, o)) < 0) {
		gw_store_session_end(all->gw->store, rec.id, "the agent has just gone", "gateway");
		goto fail;
	}
	session_arm(s);
	log_info("session %s: started to %s", rec.id, rec.host_id);
	return 0;
fail:
	gws_session_free(s);
	return r;
}

/* A session of this key, live or lingering; else what the store remembers of it. */
static int owned(struct gws *all, const char *id, const char *key_name, struct gws_session **out)
{
	struct gw_session_rec rec;
	int r;

	if ((*out = gws_session_find(all, id)))
		return strcmp((*out)->rec.key_name, key_name) != 0 ? ST_ENOENT
		       : (*out)->state == GWS_ENDED		   ? ST_ECLOSED
								   : 0;
	if ((r = gw_store_session_get(all->gw->store, id, &rec)) < 0)
		return r;
	return strcmp(rec.key_name, key_name) != 0 ? ST_ENOENT : ST_ECLOSED;
}

int gws_resume(struct gws *all, const char *id, const char *key_name, struct gws_ticket *out)
{
	struct gws_session *s;
	int r;

	if ((r = owned(all, id, key_name, &s)) == 0)
		ticket_fill(s, out);
	return r;
}

int gws_terminate(struct gws *all, const char *id, const char *key_name)
{
	struct gws_session *s;
	int r;

	if ((r = owned(all, id, key_name, &s)) == 0)
		session_end(s, "", key_name);
	return r == ST_ECLOSED ? 0 : r;
}

const char *gws_status(struct gws *all, const char *id)
{
	const struct gws_session *s = gws_session_find(all, id);

	if (!s || s->state == GWS_ENDED)
		return "Terminated";
	if (s->state == GWS_STARTING)
		return "Connecting";
	return s->side[GW_CLIENT].sock ? "Connected" : "Disconnected";
}

/* ---- what the control connections tell ---- */

void gws_agent_up(struct gws *all, const char *uid, const char *boot_id)
{
	struct gws_session *s;
	uint32_t pos = 0;

	while ((s = hnd_next(&all->table, &pos))) {
		if (strcmp(s->rec.agent_uid, uid) != 0 || s->state == GWS_ENDED)
			continue;
		if (*boot_id && *s->rec.boot_id && strcmp(boot_id, s->rec.boot_id) != 0)
			session_end(s, "agent gone", "gateway");
		else
			note_agent(s);
	}
}

void gws_agent_down(struct gws *all, const char *uid)
{
	struct gws_session *s;
	uint32_t pos = 0;

	while ((s = hnd_next(&all->table, &pos)))
		if (strcmp(s->rec.agent_uid, uid) == 0 && s->state != GWS_ENDED)
			note_agent(s);
}

void gws_agent_ended(struct gws *all, const char *uid, const char *session_id, const char *output)
{
	struct gws_session *s = gws_session_find(all, session_id);

	if (s && strcmp(s->rec.agent_uid, uid) == 0)
		session_end(s, output && *output ? text_safe(output).s : "", s->rec.host_id);
}

int gws_agent_reopen(struct gws *all, const char *uid, const char *session_id,
		     char token[GW_TOKEN_STR])
{
	struct gws_session *s = gws_session_find(all, session_id);

	if (!s || s->state == GWS_ENDED || strcmp(s->rec.agent_uid, uid) != 0)
		return ST_ENOENT;
	token_make(&s->side[GW_AGENT], token, gws_now(all));
	return 0;
}

/* ---- all of them ---- */

static void session_restore(void *arg, const struct gw_session_rec *rec)
{
	struct gws *all = arg;
	struct gws_session *s = session_new(all, rec, GWS_RUNNING);
	struct gw_agent_rec agent;

	if (!s) {
		log_warn("session %s: not restored", rec->id);
		return;
	}
	if (gw_store_agent_by_uid(all->gw->store, rec->agent_uid, &agent) == 0)
		s->max_payload = agent.max_payload;
	s->agent_gone_ms = gws_now(all);
	s->agent_grace_ms = GWS_AFTER_RESTART_MS;
	session_arm(s);
}

int gws_new(struct gws **out, struct gw *gw)
{
	struct gws *all = calloc(1, sizeof(*all));
	int r;

	if (!all)
		return ST_ENOMEM;
	all->gw = gw;
	hnd_init(&all->table, GWS_SESSIONS_MAX);
	list_init(&all->socks);
	*out = all;
	if ((r = gw_store_session_each(gw->store, NULL, true, session_restore, all)) < 0) {
		gws_free(all);
		*out = NULL;
	}
	return r;
}

void gws_free(struct gws *all)
{
	struct gws_session *s;
	uint32_t pos = 0;

	if (!all)
		return;
	while ((s = hnd_next(&all->table, &pos)))
		gws_session_free(s);
	gws_sock_drop_all(all);
	hnd_fini(&all->table);
	free(all);
}
