// SPDX-License-Identifier: MIT
/*
 * gw_session_agent.c - a session and its agent, of either kind
 *
 * Theory of operation: ssm-tun-agent is told by requests on its control connection, which carry token
 * and address of the data channel. A stock agent is told by interactive_shell and channel_closed; it
 * asks for its token itself (CreateDataChannel), the first time as well as after a cut, and says by
 * agent_task_complete that a session is over, when it has closed the data socket. That message may
 * overtake what is still in the data socket: so the session ends with that socket, or soon after.
 */
#include "gateway/gw_session.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "base/text.h"
#include "gateway/gw_envelope.h"
#include "gateway/gw_host.h"
#include "gateway/gw_instance.h"
#include "gateway/gw_session_internal.h"

/* ---- what we tell ---- */

static int ask_own(struct gws_session *s, const struct gws_order *o)
{
	struct gwa *agents = s->all->gw->agents;
	char *url = gwa_data_url(agents, s->rec.agent_uid, s->rec.id), token[GW_TOKEN_STR];
	json_t *body;
	int r;

	if (!url)
		return ST_ENOENT;
	gw_token_make(&s->side[GW_AGENT].token, token, gws_now(s->all));
	body = json_pack("{s:s, s:s, s:s, s:s, s:O*, s:I}", "session_id", s->rec.id, "token", token,
			 "url", url, "document", s->rec.document, "parameters", o->parameters,
			 "max_payload_bytes", (json_int_t)s->max_payload);
	r = body ? gwa_request(agents, s->rec.agent_uid, CH_SESSION_START, body) : ST_ENOMEM;
	json_decref(body);
	codec_wipe(token, sizeof(token));
	free(url);
	return r;
}

/* A stock agent gets its token and the address by CreateDataChannel. */
static int ask_stock(struct gws_session *s, const struct gws_order *o)
{
	const struct gwm_start start = {
		.uid = s->rec.agent_uid,
		.session_id = s->rec.id,
		.owner = s->rec.key_name,
		.document = s->rec.document,
		.params = o->parameters,
	};

	return gwm_session_start(s->all->gw->mgs, &start);
}

int gws_agent_ask(struct gws_session *s, const struct gws_order *o)
{
	return s->stock ? ask_stock(s, o) : ask_own(s, o);
}

/* A stock agent ends its worker by either message and closes the data socket itself; closed by us
 * first, it would try to reopen it. What ended by the agent's own word it need not be told. */
static void tell_stock(struct gws_session *s)
{
	struct gws_sock *k = s->side[GW_AGENT].sock;
	uint8_t out[GWS_CHANNEL_CLOSED_MAX];
	ssize_t n = s->last_words_ms ? 0 : gws_channel_closed_make(s, "", out);

	gwm_session_end(s->all->gw->mgs, s->rec.agent_uid, s->rec.id, n > 0 ? out : NULL,
			n > 0 ? (size_t)n : 0);
	if (!k)
		return;
	if (n > 0)
		gw_relay_deliver(&s->relay, GW_AGENT, out, (size_t)n);
	gws_sock_leave(k);
	gws_side_detach(s, GW_AGENT);
}

/* Tells the agent by both of its connections: the data channel may be gone, the control one busy. */
static void tell_own(struct gws_session *s)
{
	struct gws_sock *k = s->side[GW_AGENT].sock;
	json_t *body = json_pack("{s:s}", "session_id", s->rec.id);

	gwa_request(s->all->gw->agents, s->rec.agent_uid, CH_SESSION_TERMINATE, body);
	json_decref(body);
	if (!k)
		return;
	gws_channel_closed_send(s, GW_AGENT, "");
	gws_sock_close(k, 1000, "");
	gws_side_detach(s, GW_AGENT);
}

void gws_agent_tell(struct gws_session *s)
{
	if (s->stock)
		tell_stock(s);
	else
		tell_own(s);
}

/* ---- what the agent tells ---- */

void gws_agent_up(struct gws *all, const char *uid, const char *boot_id)
{
	struct gws_session *s;
	uint32_t pos = 0;

	while ((s = hnd_next(&all->table, &pos))) {
		if (strcmp(s->rec.agent_uid, uid) != 0 || s->state == GWS_ENDED)
			continue;
		s->agent_up_ms = gws_now(all);
		if (*boot_id && *s->rec.boot_id && strcmp(boot_id, s->rec.boot_id) != 0)
			gws_session_end(s, "agent gone", "gateway");
		else
			gws_session_note_agent(s);
	}
}

void gws_agent_down(struct gws *all, const char *uid)
{
	struct gws_session *s;
	uint32_t pos = 0;

	while ((s = hnd_next(&all->table, &pos)))
		if (strcmp(s->rec.agent_uid, uid) == 0 && s->state != GWS_ENDED)
			gws_session_note_agent(s);
}

void gws_agent_removed(struct gws *all, const char *uid)
{
	struct gws_session *s;
	uint32_t pos = 0;

	while ((s = hnd_next(&all->table, &pos)))
		if (strcmp(s->rec.agent_uid, uid) == 0)
			gws_session_end(s, "the host was removed", "gateway");
}

void gws_agent_ended(struct gws *all, const char *uid, const char *session_id, const char *output)
{
	struct gws_session *s = gws_session_find(all, session_id);

	if (!s || strcmp(s->rec.agent_uid, uid) != 0 || s->last_words_ms)
		return; /* a stock agent repeats its words, or has others behind the first */
	text_copy(s->last_words, sizeof(s->last_words),
		  output && *output ? text_safe(output).s : "");
	s->last_words_ms = gws_now(all);
	/* A stock agent closed its data socket before, but what is in there may come to us later. */
	if (s->stock && s->side[GW_AGENT].sock)
		gws_session_arm(s);
	else
		gws_session_end(s, s->last_words, s->rec.host_id);
}

int gws_agent_reopen(struct gws *all, const char *uid, const char *session_id,
		     char token[GW_TOKEN_STR])
{
	struct gws_session *s = gws_session_find(all, session_id);

	if (!s || s->state == GWS_ENDED || strcmp(s->rec.agent_uid, uid) != 0)
		return ST_ENOENT;
	gw_token_make(&s->side[GW_AGENT].token, token, gws_now(all));
	return 0;
}

int gws_stock_reopen(struct gws *all, const struct gw_key_rec *key, const char *session_id,
		     char token[GW_TOKEN_STR])
{
	struct gws_session *s = gws_session_find(all, session_id);

	if (!s || s->state == GWS_ENDED || !s->stock || !gwi_may(key, s->rec.host_id) ||
	    gw_store_agent_by_uid(all->gw->store, s->rec.agent_uid, NULL) == ST_ENOENT)
		return ST_ENOENT;
	gw_token_make(&s->side[GW_AGENT].token, token, gws_now(all));
	return 0;
}
