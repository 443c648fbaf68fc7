// SPDX-License-Identifier: MIT
/*
 * gw_sock.c - sockets of data channels, from the upgrade to the close
 *
 * Theory of operation: a socket is nobody's until its open message names a token; then it becomes
 * that side's socket in place of the earlier one, which is closed. Client and agent are told apart by
 * the token alone; a stock agent must have signed the upgrade besides. A socket without a valid open
 * message is closed after GWS_OPEN_MS. A socket that is being closed is "over": nothing it still says
 * counts; its last event frees it.
 */
#include "gateway/gw_session_internal.h"

#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "base/text.h"
#include "gateway/gw_envelope.h"

static void sock_free(struct gws_sock *k)
{
	loop_timer_cancel(k->all->gw->loop, &k->timer);
	list_del(&k->node);
	free(k);
}

void gws_sock_close(struct gws_sock *k, uint16_t code, const char *reason)
{
	k->over = true;
	k->session = 0;
	ws_close(k->all->gw->ws, k->conn, code, reason);
}

void gws_sock_leave(struct gws_sock *k)
{
	k->over = true;
	k->session = 0;
	if (loop_timer_set(k->all->gw->loop, &k->timer, gws_now(k->all) + GWS_STOCK_CLOSE_MS) < 0)
		ws_close(k->all->gw->ws, k->conn, 1000, "");
}

/* Counts @k among the sockets that have not sent a valid open message, or takes it out. */
static void sock_counted(struct gws_sock *k, bool unopened)
{
	if (unopened && !k->unopened)
		k->all->unopened++;
	else if (!unopened && k->unopened)
		k->all->unopened--;
	k->unopened = unopened;
}

static int sock_watch(struct gws_sock *k, uint64_t in_ms)
{
	return loop_timer_set(k->all->gw->loop, &k->timer, gws_now(k->all) + in_ms);
}

/* The side's socket is gone or given up; the session waits for another one. */
void gws_side_detach(struct gws_session *s, enum gw_side side)
{
	gw_relay_detach(&s->relay, side);
	s->side[side].sock = NULL;
	s->side[side].gone_ms = gws_now(s->all);
}

static void side_attach(struct gws_session *s, enum gw_side side, struct gws_sock *k)
{
	struct gws_side *sd = &s->side[side];

	if (sd->sock) {
		gws_sock_close(sd->sock, 1000, "replaced by a newer socket");
		gws_side_detach(s, side);
	}
	sock_counted(k, false);
	sock_watch(k, GWS_SILENT_MS);
	k->session = s->h;
	k->side = side;
	sd->sock = k;
	sd->opened = true;
	log_debug("session %s: the %s has opened", s->rec.id,
		  side == GW_CLIENT ? "client" : "agent");
	gw_relay_attach(&s->relay, side, k->conn);
	gws_session_opened(s);
}

/* May the peer of @k be that side at all? A stock agent must have signed the upgrade too. */
static bool side_fits(const struct gws_sock *k, const struct gws_session *s, enum gw_side side)
{
	if (side == GW_CLIENT || !s->stock)
		return true;
	return k->instances[0] && fnmatch(k->instances, s->rec.host_id, 0) == 0;
}

static void sock_open_message(struct gws_sock *k, const uint8_t *p, size_t len)
{
	json_t *doc = json_loadb((const char *)p, len, JSON_REJECT_DUPLICATES, NULL);
	const char *token = json_str(doc, "TokenValue");
	struct gws_session *s = gws_session_find(k->all, k->id);
	bool found = false;

	for (int i = 0; s && i < GW_SIDE_N && !found; i++) {
		if (!side_fits(k, s, (enum gw_side)i) ||
		    !gw_token_take(&s->side[i].token, token, gws_now(k->all)))
			continue;
		found = true;
		side_attach(s, (enum gw_side)i, k);
	}
	json_decref(doc);
	if (!found)
		gws_sock_close(k, 1008, "invalid open message");
}

static void on_open(void *arg, ws_conn c)
{
	struct gws_sock *k = arg;

	k->conn = c;
}

static void on_message(void *arg, ws_conn c, const uint8_t *p, size_t len, bool text)
{
	struct gws_sock *k = arg;
	struct gws_session *s = hnd_get(&k->all->table, k->session);

	k->conn = c;
	k->last_rx_ms = gws_now(k->all);
	if (k->over)
		return;
	if (s)
		gw_relay_message(&s->relay, k->side, p, len);
	else if (text)
		sock_open_message(k, p, len);
	else
		gws_sock_close(k, 1008, "the open message is missing");
}

static void on_writable(void *arg, ws_conn c)
{
	struct gws_sock *k = arg;
	struct gws_session *s = hnd_get(&k->all->table, k->session);

	(void)c;
	if (!s)
		return;
	gw_relay_writable(&s->relay, k->side);
	gws_session_told(s);
}

static void sock_lost(struct gws_sock *k, const char *why)
{
	struct gws_session *s = hnd_get(&k->all->table, k->session);
	enum gw_side side = k->side;

	sock_counted(k, false);
	sock_free(k);
	if (!s)
		return;
	log_debug("session %s: the %s's socket is gone: %s", s->rec.id,
		  side == GW_CLIENT ? "client" : "agent", text_safe(why).s);
	gws_side_detach(s, side);
	gws_session_lost(s, side);
}

static void on_closed(void *arg, ws_conn c, int err, int status, const char *reason)
{
	(void)c;
	(void)err;
	(void)status;
	sock_lost(arg, reason && *reason ? reason : st_strerror(err));
}

/* A ping or a pong. */
static void on_alive(void *arg, ws_conn c)
{
	struct gws_sock *k = arg;

	(void)c;
	k->last_rx_ms = gws_now(k->all);
}

static const struct ws_events sock_events = {
	.open = on_open,
	.message = on_message,
	.writable = on_writable,
	.closed = on_closed,
	.alive = on_alive,
};

void gws_sock_cut(struct gws_sock *k, const char *why)
{
	ws_drop(k->all->gw->ws, k->conn);
	sock_lost(k, why);
}

/* A socket that we do not read from at present can't show that it lives. */
static bool sock_is_stopped(const struct gws_sock *k)
{
	const struct gws_session *s = hnd_get(&k->all->table, k->session);

	return s && s->relay.end[k->side].stopped;
}

/* Either the open message did not come in time, or nothing at all came for long: a peer that has gone without a word. */
static void sock_timer(void *arg, uint64_t now_ms)
{
	struct gws_sock *k = arg;

	if (k->unopened) {
		sock_counted(k, false);
		gws_sock_close(k, 1008, "no open message");
	} else if (k->over) {
		ws_close(k->all->gw->ws, k->conn, 1000,
			 ""); /* left alone long enough, or a second time */
	} else if (sock_is_stopped(k) || now_ms - k->last_rx_ms < GWS_SILENT_MS) {
		sock_watch(k, GWS_SILENT_MS);
	} else {
		gws_sock_cut(k, "silent for too long");
	}
}

int gws_upgrade(struct gws *all, const char *id, const struct gw_key_rec *signer,
		const struct ws_events **events, void **events_arg)
{
	struct gws_sock *k;

	if (all->unopened >= GWS_UNOPENED_MAX || !(k = calloc(1, sizeof(*k))))
		return 503;
	if (!text_copy(k->id, sizeof(k->id), id)) {
		free(k);
		return 404;
	}
	k->all = all;
	if (signer && signer->kind == GW_KEY_AGENT)
		text_copy(k->instances, sizeof(k->instances), signer->targets);
	list_node_init(&k->node);
	loop_timer_init(&k->timer, sock_timer, k);
	if (sock_watch(k, GWS_OPEN_MS) < 0) {
		free(k);
		return 503;
	}
	list_push_back(&all->socks, &k->node);
	sock_counted(k, true);
	*events = &sock_events;
	*events_arg = k;
	return 0;
}

void gws_sock_drop_all(struct gws *all)
{
	list_for_each (n, &all->socks) {
		struct gws_sock *k = container_of(n, struct gws_sock, node);

		ws_drop(all->gw->ws, k->conn);
		sock_free(k);
	}
}
