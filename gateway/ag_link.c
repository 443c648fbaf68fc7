// SPDX-License-Identifier: MIT
/*
 * ag_link.c - the agent's control connection: dial, register, heartbeat, dial again
 *
 * Theory of operation: with a uid and token from an earlier life the connection counts as online as
 * soon as it is open, and the first message is a heartbeat; the gateway's "invalid_token" or
 * "not_registered" sends us to registration on the same connection. Any loss leads back to WAITING
 * with a delay that doubles from 1 s to 60 s, with jitter, and stays at 5 s while there are sessions: a
 * gateway that was restarted keeps them for 60 s only. A connection that was online for 10 s sets it
 * back. A gateway from which nothing came for 60 s, heartbeats being answered, is given up.
 *
 * States: WAITING for the dial timer; DIALING; REGISTERING: init sent; PROVING: complete sent; ONLINE.
 */
#include "gateway/ag_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>

#include "base/err.h"
#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "gateway/ag_keys.h"
#include "gateway/gw_envelope.h"

#define BACKOFF_FIRST_MS 1000U /* gateway.md, Registration, rules */
#define BACKOFF_MAX_MS 60000U
#define BACKOFF_HELD_MS 5000U /* ours: with sessions */
#define STEADY_MS 10000U      /* ours: online for so long sets the back-off back */
#define HEARTBEAT_MS 20000U   /* gateway.md */
#define SILENCE_MS 60000U     /* ours: three heartbeats without an answer */
#define ANSWER_MS 30000U      /* ours: for a registration's answer */

enum link_state { WAITING, DIALING, REGISTERING, PROVING, ONLINE, STATE_N };

static const struct {
	const char *name;
	uint32_t next;
} states[] = {
	[WAITING] = { "waiting", BIT(DIALING) | BIT(WAITING) },
	[DIALING] = { "dialing", BIT(REGISTERING) | BIT(ONLINE) | BIT(WAITING) },
	[REGISTERING] = { "registering", BIT(PROVING) | BIT(WAITING) },
	[PROVING] = { "proving", BIT(ONLINE) | BIT(WAITING) },
	[ONLINE] = { "online", BIT(REGISTERING) | BIT(WAITING) },
};
_Static_assert(ARRAY_LEN(states) == STATE_N, "states[] and enum link_state differ");

struct ag_link {
	struct ag *ag;
	enum link_state state;
	ws_conn conn;
	struct net_endpoint address; /* as last resolved */
	uint32_t backoff_ms;
	uint64_t online_ms, last_rx_ms;
	struct loop_timer timer; /* WAITING: dial; ONLINE: heartbeat; else: give up */
};

static void dial(struct ag_link *l);
static void wait_and_dial(struct ag_link *l);

static uint64_t now(const struct ag_link *l)
{
	return loop_now_ms(l->ag->loop);
}

static int64_t unix_s(void)
{
	return (int64_t)time(NULL);
}

static void set_timer(struct ag_link *l, uint64_t in_ms)
{
	if (loop_timer_set(l->ag->loop, &l->timer, now(l) + in_ms) < 0)
		log_error("link: no memory for a timer");
}

static void set_state(struct ag_link *l, enum link_state to, const char *why)
{
	if (!(states[l->state].next & BIT(to)))
		ST_BUG("link %s -> %s: %s", states[l->state].name, states[to].name, why);
	log_debug("link: %s -> %s: %s", states[l->state].name, states[to].name, why);
	l->state = to;
}

static int send_text(struct ag_link *l, char *text)
{
	int r = text ? ws_send(l->ag->ws, l->conn, (const uint8_t *)text, strlen(text), true)
		     : ST_ENOMEM;

	free(text);
	return r;
}

int ag_link_request(struct ag_link *l, const char *channel, const json_t *body)
{
	if (l->state != ONLINE)
		return ST_EAGAIN;
	return send_text(l, env_format(ENV_REQUEST, NULL, channel, body, NULL, unix_s()));
}

bool ag_link_is_online(const struct ag_link *l)
{
	return l->state == ONLINE;
}

static void heartbeat(struct ag_link *l)
{
	char channel[GW_NAME_MAX + 32];

	snprintf(channel, sizeof(channel), "agent.%s.heartbeat", l->ag->opts->host_id);
	send_text(l, env_format(ENV_HEARTBEAT, NULL, channel, NULL, NULL, unix_s()));
	set_timer(l, HEARTBEAT_MS);
}

static void go_online(struct ag_link *l, const char *why)
{
	set_state(l, ONLINE, why);
	l->online_ms = now(l);
	heartbeat(l);
	ags_online(l->ag->sessions);
}

/* ---- registration ---- */

/* SHA-256 of /etc/machine-id under our name, so that the id itself does not leave the machine. */
static void machine_hash(char out[2 * CODEC_SHA256_LEN + 1])
{
	uint8_t h[CODEC_SHA256_LEN];
	struct buf b;

	buf_init(&b, 256);
	if (file_read(&b, "/etc/machine-id") < 0 || buf_put(&b, "ssm-tun-agent", 13) < 0)
		log_debug("no /etc/machine-id");
	codec_sha256(h, b.len ? buf_data(&b) : (const uint8_t *)"", b.len);
	codec_hex(out, h, sizeof(h));
	buf_fini(&b);
}

static void register_start(struct ag_link *l, const char *why)
{
	const struct ag_opts *o = l->ag->opts;
	char hash[2 * CODEC_SHA256_LEN + 1], key[CODEC_B64_LEN(GW_PUBKEY_LEN)];
	struct utsname u = { 0 };
	json_t *body;

	set_state(l, REGISTERING, why);
	machine_hash(hash);
	codec_b64_encode(key, l->ag->id.pubkey, GW_PUBKEY_LEN);
	uname(&u);
	body = json_pack("{s:s, s:s, s:s, s:s, s:s, s:{s:i}, s:{s:s, s:s}, s:{}}", "org_id",
			 o->org_id, "host_id", o->host_id, "agent_pubkey", key, "machine_id_hash",
			 hash, "agent_version", SSM_TUN_VERSION, "capabilities",
			 "max_payload_bytes", (int)o->max_payload, "platform", "arch", u.machine,
			 "os", "linux", "network");
	send_text(l, env_format(ENV_REQUEST, NULL, CH_REGISTER, body, NULL, unix_s()));
	json_decref(body);
	set_timer(l, ANSWER_MS);
}

static void on_challenge(struct ag_link *l, const json_t *body)
{
	const char *id = json_str(body, "registration_id"), *nonce = json_str(body, "nonce");
	const char *at = json_str(body, "server_time");
	char sig64[CODEC_B64_LEN(64)];
	uint8_t sig[64];
	struct buf text;
	json_t *out;

	if (!id || !nonce || !at) {
		log_error("registration: the gateway's answer lacks a member");
		return; /* the timer gives up */
	}
	buf_init(&text, 1024);
	if (buf_printf(&text, "%s%s%s", nonce, at, l->ag->opts->host_id) == 0) {
		ag_sign(&l->ag->id, buf_data(&text), text.len, sig);
		codec_b64_encode(sig64, sig, sizeof(sig));
		set_state(l, PROVING, "challenged");
		out = json_pack("{s:s, s:s, s:s}", "registration_id", id, "host_id",
				l->ag->opts->host_id, "signature", sig64);
		send_text(l, env_format(ENV_REQUEST, NULL, CH_COMPLETE, out, NULL, unix_s()));
		json_decref(out);
		set_timer(l, ANSWER_MS);
	}
	buf_fini(&text);
}

static void on_registered(struct ag_link *l, const json_t *body)
{
	const char *uid = json_str(body, "agent_uid"), *token = json_str(body, "bootstrap_token");
	struct ag_identity *id = &l->ag->id;

	if (!uid || !token || strlen(uid) >= sizeof(id->uid) ||
	    strlen(token) >= sizeof(id->token)) {
		log_error("registration: the gateway's answer lacks agent_uid or bootstrap_token");
		return;
	}
	text_copy(id->uid, sizeof(id->uid), uid);
	text_copy(id->token, sizeof(id->token), token);
	ag_state_save(id, l->ag->opts->state_dir);
	log_info("registered as %s", text_safe(uid).s);
	go_online(l, "registered");
}

/* ---- messages ---- */

static void on_error(struct ag_link *l, const json_t *body)
{
	const char *code = json_str(body, "error"), *message = json_str(body, "message");

	if (l->state == ONLINE && code &&
	    (strcmp(code, "invalid_token") == 0 || strcmp(code, "not_registered") == 0)) {
		register_start(l, "the gateway does not know our token");
		return;
	}
	log_warn("gateway: %s: %s", text_safe(code).s, text_safe(message).s);
	if (l->state == REGISTERING || l->state == PROVING) {
		if (code && strcmp(code, "not_registered") == 0)
			return; /* about the heartbeat that went before */
		ws_close(l->ag->ws, l->conn, 1000, "registration refused");
	}
}

static void on_response(struct ag_link *l, const struct env *e)
{
	if (l->state == REGISTERING && strcmp(e->channel, CH_REGISTER) == 0)
		on_challenge(l, e->body);
	else if (l->state == PROVING && strcmp(e->channel, CH_COMPLETE) == 0)
		on_registered(l, e->body);
	else if (strcmp(e->channel, CH_SESSION_REOPEN) == 0)
		ags_reopened(l->ag->sessions, e->body);
}

static void on_ssh_key(struct ag_link *l, const struct env *e)
{
	const char *id = json_str(e->body, "push_id");
	json_t *answer = json_pack("{s:s*, s:s}", "push_id", id, "result",
				   ag_keys_add(l->ag->keys, e->body));

	send_text(l, env_format(ENV_RESPONSE, NULL, CH_SSH_KEY, answer, e->id, unix_s()));
	json_decref(answer);
}

static void on_request(struct ag_link *l, const struct env *e)
{
	if (strcmp(e->channel, CH_SESSION_START) == 0)
		ags_start(l->ag->sessions, e->body);
	else if (strcmp(e->channel, CH_SESSION_TERMINATE) == 0)
		ags_terminate(l->ag->sessions, e->body);
	else if (strcmp(e->channel, CH_SSH_KEY) == 0)
		on_ssh_key(l, e);
	else
		log_debug("link: request on %s ignored", text_safe(e->channel).s);
}

static void on_message(void *arg, ws_conn c, const uint8_t *p, size_t len, bool text)
{
	struct ag_link *l = arg;
	const char *code, *why;
	struct env e;

	(void)c;
	(void)text;
	l->last_rx_ms = now(l);
	if (env_parse(&e, p, len, &code, &why) < 0) {
		log_limited(now(l), LOG_WARN, "gateway sent a bad message: %s", why);
		return;
	}
	if (e.type == ENV_RESPONSE)
		on_response(l, &e);
	else if (e.type == ENV_REQUEST)
		on_request(l, &e);
	else if (e.type == ENV_ERROR)
		on_error(l, e.body);
	env_fini(&e);
}

/* ---- the connection ---- */

static void on_open(void *arg, ws_conn c)
{
	struct ag_link *l = arg;

	l->conn = c;
	l->last_rx_ms = now(l);
	log_info("connected to the gateway");
	if (l->ag->id.uid[0])
		go_online(l, "open, with a token");
	else
		register_start(l, "open");
}

static void on_closed(void *arg, ws_conn c, int err, int status, const char *reason)
{
	struct ag_link *l = arg;

	(void)c;
	log_warn("gateway: %s%s%s (%d)", st_strerror(err), reason && *reason ? ": " : "",
		 reason && *reason ? text_safe(reason).s : "", status);
	wait_and_dial(l);
}

static const struct ws_events link_events = {
	.open = on_open,
	.message = on_message,
	.closed = on_closed,
};

static void wait_and_dial(struct ag_link *l)
{
	const uint32_t max_ms = ags_count(l->ag->sessions) ? BACKOFF_HELD_MS : BACKOFF_MAX_MS;
	uint32_t rnd;

	if (l->state == ONLINE && now(l) - l->online_ms >= STEADY_MS)
		l->backoff_ms = BACKOFF_FIRST_MS;
	l->conn = 0;
	set_state(l, WAITING, "no connection");
	l->backoff_ms = MIN(l->backoff_ms, max_ms);
	codec_random(&rnd, sizeof(rnd));
	set_timer(l, l->backoff_ms / 2 + rnd % (l->backoff_ms / 2 + 1));
	l->backoff_ms = MIN(l->backoff_ms * 2, BACKOFF_MAX_MS);
}

static void dial(struct ag_link *l)
{
	const struct ag *ag = l->ag;
	char url[512], key[CODEC_B64_LEN(GW_PUBKEY_LEN)], limit[16];
	const char *headers[] = { "User-Agent",
				  ("ssm-tun-agent/" SSM_TUN_VERSION),
				  "X-Agent-ID",
				  ag->opts->host_id,
				  "X-Agent-Public-Key",
				  key,
				  "X-Agent-Boot-Id",
				  ag->boot_id,
				  "X-Agent-Max-Payload",
				  limit,
				  ag->id.uid[0] ? "X-Agent-Uid" : NULL,
				  ag->id.uid,
				  "X-Bootstrap-Token",
				  ag->id.token,
				  NULL };
	struct ws_connect_opts o = { .url = url, .ca_bundle = ag->opts->ca, .headers = headers };
	int r;

	set_state(l, DIALING, "time to dial");
	codec_b64_encode(key, ag->id.pubkey, GW_PUBKEY_LEN);
	snprintf(limit, sizeof(limit), "%u", ag->opts->max_payload);
	snprintf(url, sizeof(url), "%s/ws/agent", ag->opts->gateway);
	if ((r = ag_resolve(&l->address, url)) == 0) {
		o.address = l->address;
		r = ws_connect(ag->ws, &l->conn, &o, &link_events, l);
	}
	if (r < 0) {
		log_warn("gateway: %s", st_strerror(r));
		wait_and_dial(l);
	}
}

static void on_timer(void *arg, uint64_t now_ms)
{
	struct ag_link *l = arg;

	if (l->state == WAITING) {
		dial(l);
	} else if (l->state == ONLINE && now_ms - l->last_rx_ms < SILENCE_MS) {
		heartbeat(l);
	} else {
		log_warn("gateway: no answer");
		ws_drop(l->ag->ws, l->conn);
		wait_and_dial(l);
	}
}

bool ag_link_address(const struct ag_link *l, const char *url, struct net_endpoint *out)
{
	size_t n = strlen(l->ag->opts->gateway);

	*out = l->address;
	return l->address.port && strncmp(url, l->ag->opts->gateway, n) == 0 && url[n] == '/';
}

int ag_link_new(struct ag_link **out, struct ag *ag)
{
	struct ag_link *l = calloc(1, sizeof(*l));

	if (!l)
		return ST_ENOMEM;
	l->ag = ag;
	l->backoff_ms = BACKOFF_FIRST_MS;
	loop_timer_init(&l->timer, on_timer, l);
	set_timer(l, 0);
	*out = l;
	return 0;
}

void ag_link_free(struct ag_link *l)
{
	if (!l)
		return;
	loop_timer_cancel(l->ag->loop, &l->timer);
	ws_drop(l->ag->ws, l->conn);
	free(l);
}
