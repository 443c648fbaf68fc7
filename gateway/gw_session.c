// SPDX-License-Identifier: MIT
/*
 * gw_session.c - the life of a session
 *
 * Theory of operation: a session is an entry of the store and two sides, each with a token (only its
 * hash is kept) and at most one socket (gw_sock). Messages pass through gw_relay. One timer a session
 * waits for the nearest of its limits. A session that ended stays for a while with its last words,
 * channel_closed, for a client that is not connected just then. After our own restart the active
 * sessions of the store are back without sockets: agents reopen, clients resume. How an agent is told
 * depends on its kind (gw_session_agent).
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
#include "gateway/gw_envelope.h"
#include "gateway/gw_host.h"
#include "gateway/gw_session_internal.h"
#include "proto/ssm_chan.h"

#define ID_RANDOM_BYTES 9U /* 17 of their 18 hex digits */

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

void gws_session_note_agent(struct gws_session *s)
{
	bool there = s->side[GW_AGENT].sock ||
		     gw_host_is_online(s->all->gw, s->rec.agent_uid, NULL);

	if (there) {
		s->agent_gone_ms = 0;
		s->agent_grace_ms = GWS_AGENT_GONE_MS;
	} else if (!s->agent_gone_ms) {
		s->agent_gone_ms = gws_now(s->all);
	}
	gws_session_arm(s);
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
	gws_session_note_agent(s);
	gws_session_told(s);
}

void gws_session_lost(struct gws_session *s, enum gw_side side)
{
	if (s->state == GWS_ENDED && side == GW_CLIENT && gw_relay_is_drained(&s->relay, GW_CLIENT))
		gws_session_free(s);
	else if (s->state != GWS_ENDED && side == GW_AGENT && s->last_words_ms)
		gws_session_end(s, s->last_words, s->rec.host_id);
	else
		gws_session_note_agent(s);
}

static void relay_cut(void *arg, enum gw_side side)
{
	struct gws_session *s = arg;

	if (s->side[side].sock)
		gws_sock_cut(s->side[side].sock, "cut by --fault");
}

/* ---- the end ---- */

ssize_t gws_channel_closed_make(struct gws_session *s, const char *output,
				uint8_t out[GWS_CHANNEL_CLOSED_MAX])
{
	uint8_t uuid[CODEC_UUID_LEN];
	char id[CODEC_UUID_STR], date[24];
	int64_t ms = gw_unix_ms();
	struct ssm_msg m = {
		.type = SSM_CHANNEL_CLOSED,
		.header_len = SSM_HEADER_LEN_OLD,
		.created_ms = (uint64_t)ms,
		.flags = SSM_FLAGS_ACK,
	};
	ssize_t n = ST_ENOMEM;
	char *text = NULL;
	json_t *doc;

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
		n = ssm_msg_encode(out, GWS_CHANNEL_CLOSED_MAX, &m);
	}
	free(text);
	json_decref(doc);
	return n;
}

void gws_channel_closed_send(struct gws_session *s, enum gw_side to, const char *output)
{
	uint8_t out[GWS_CHANNEL_CLOSED_MAX];
	ssize_t n = gws_channel_closed_make(s, output, out);

	if (n > 0)
		gw_relay_deliver(&s->relay, to, out, (size_t)n);
	else
		log_error("session %s: no channel_closed: %s", s->rec.id, st_strerror((int)n));
}

void gws_session_end(struct gws_session *s, const char *output, const char *who)
{
	if (s->state == GWS_ENDED)
		return;
	set_state(s, GWS_ENDED, *output ? output : "ordinary end");
	log_info("session %s: ended by %s%s%s", s->rec.id, who, *output ? ": " : "", output);
	if (gw_store_session_end(s->all->gw->store, s->rec.id, output, who) < 0)
		log_warn("session %s: its end could not be stored", s->rec.id);
	gws_agent_tell(s);
	gws_channel_closed_send(s, GW_CLIENT, output);
	gws_session_arm(s);
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
	struct limit l = { .at_ms = UINT64_MAX, .output = "" };

	if (s->state == GWS_ENDED) {
		nearer(&l, s->state_ms + GWS_LINGER_MS, "");
		return l;
	}
	if (s->last_words_ms) { /* whatever else happens, they are what the client hears */
		nearer(&l, s->last_words_ms + GWS_STOCK_LAST_MS, s->last_words);
		return l;
	}
	if (s->state == GWS_STARTING)
		nearer(&l, s->state_ms + GWS_START_MS,
		       s->side[GW_AGENT].opened ? "the client did not open its data channel"
						: "the agent did not open its data channel");
	if (s->agent_gone_ms)
		nearer(&l, s->agent_gone_ms + s->agent_grace_ms, "agent gone");
	if (s->stock && s->state == GWS_RUNNING && !s->side[GW_AGENT].sock && !s->agent_gone_ms)
		nearer(&l, MAX(s->side[GW_AGENT].gone_ms, s->agent_up_ms) + GWS_STOCK_REOPEN_MS,
		       "the agent did not reopen its data channel");
	if (!client->sock)
		nearer(&l, client->gone_ms + GWS_CLIENT_GONE_MS, "client gone");
	return l;
}

void gws_session_arm(struct gws_session *s)
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
		gws_session_arm(s);
	else if (s->state == GWS_ENDED)
		gws_session_free(s);
	else
		gws_session_end(s, l.output, s->last_words_ms ? s->rec.host_id : "gateway");
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

static void ticket_fill(struct gws_session *s, struct gws_ticket *out)
{
	text_copy(out->session_id, sizeof(out->session_id), s->rec.id);
	out->max_payload = s->max_payload;
	gw_token_make(&s->side[GW_CLIENT].token, out->token, gws_now(s->all));
}

int gws_start(struct gws *all, const struct gws_order *o, struct gws_ticket *out)
{
	struct gw_session_rec rec = { 0 };
	struct gws_session *s;
	int r;

	if (!gw_host_is_online(all->gw, o->agent->uid, NULL))
		return ST_ENOENT;
	rec_fill(&rec, o, gwa_boot_id(all->gw->agents, o->agent->uid));
	if (!(s = session_new(all, &rec, GWS_STARTING)))
		return all->table.used >= GWS_SESSIONS_MAX ? ST_EFULL : ST_ENOMEM;
	s->max_payload = MIN(o->agent->max_payload, SSM_PAYLOAD_MAX);
	s->stock = o->agent->kind == GW_AGENT_STOCK;
	if ((r = gw_store_session_add(all->gw->store, &s->rec)) < 0)
		goto fail;
	ticket_fill(s, out);
	if ((r = gws_agent_ask(s, o)) < 0) {
		gw_store_session_end(all->gw->store, rec.id,
				     r == ST_ENOENT ? "the agent has just gone" : st_strerror(r),
				     "gateway");
		goto fail;
	}
	gws_session_arm(s);
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
		gws_session_end(s, "", key_name);
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
	if (gw_store_agent_by_uid(all->gw->store, rec->agent_uid, &agent) == 0) {
		s->max_payload = agent.max_payload;
		s->stock = agent.kind == GW_AGENT_STOCK;
	}
	s->agent_gone_ms = gws_now(all);
	s->agent_grace_ms = GWS_AFTER_RESTART_MS;
	gws_session_arm(s);
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
