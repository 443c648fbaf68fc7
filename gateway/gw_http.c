// SPDX-License-Identifier: MIT
/*
 * gw_http.c - which request goes where, and the small answers
 *
 * Theory of operation: one table of routes; each names its listener, method and path. A path that no
 * row knows is 404, a known path with another method 405. Errors of this surface are
 * {"error","message","timestamp"}; those of the AWS-compatible API are AWS's (gw_api.c). On the
 * actions listener a GET that tells about agents needs SigV4 or a client certificate unless the
 * listener is on loopback.
 */
#include "gateway/gw_http.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "base/text.h"
#include "gateway/gw_agents.h"
#include "gateway/gw_api.h"
#include "gateway/gw_envelope.h"
#include "gateway/gw_host.h"
#include "gateway/gw_mgs.h"
#include "gateway/gw_session.h"

#define JSON "application/json"
#define DATA_CHANNEL "/v1/data-channel/"
#define CONTROL_CHANNEL "/v1/control-channel/"
#define AGENT_PATH "/ws/agent"

typedef void route_fn(struct gw_listener *l, ws_req r, const struct ws_request *req);

static void reply_json(struct gw *gw, ws_req r, int status, json_t *body)
{
	char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;

	ws_reply(gw->ws, r, text ? status : 500, JSON, text ? text : "{}", text ? strlen(text) : 2,
		 NULL);
	free(text);
	json_decref(body);
}

static void reply_error(struct gw *gw, ws_req r, int status, const char *code, const char *message)
{
	char at[GW_TIME_STR];

	gw_time_str(at, gw_unix_s());
	reply_json(
		gw, r, status,
		json_pack("{s:s, s:s, s:s}", "error", code, "message", message, "timestamp", at));
}

/* ---- health ---- */

static void get_healthz(struct gw_listener *l, ws_req r, const struct ws_request *req)
{
	(void)req;
	ws_reply(l->gw->ws, r, 200, "text/plain", "ok", 2, NULL);
}

static void get_health(struct gw_listener *l, ws_req r, const struct ws_request *req)
{
	struct gw *gw = l->gw;
	char at[GW_TIME_STR];

	(void)req;
	gw_time_str(at, gw_unix_s());
	reply_json(gw, r, 200,
		   json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:s}", "status", "healthy",
			     "active_connections", (json_int_t)gwa_connections(gw->agents),
			     "total_connections", (json_int_t)gw->total_connections,
			     "messages_received", (json_int_t)gw->messages_received,
			     "messages_sent", (json_int_t)gw->messages_sent, "uptime",
			     (json_int_t)((loop_now_ms(gw->loop) - gw->started_ms) / 1000),
			     "timestamp", at));
}

/* ---- agents ---- */

static bool may_read(struct gw_listener *l, ws_req r, const struct ws_request *req)
{
	struct sigv4_result who;
	struct gw_key_rec key;

	if (gw_is_loopback(&l->address.addr) || req->client_cert_name)
		return true;
	if (gw_api_verify(l->gw, &who, r, req, &key) == 0) {
		if (key.kind == GW_KEY_CLIENT)
			return true;
		reply_error(l->gw, r, 403, "denied", "this access key is an agent's");
		return false;
	}
	reply_error(l->gw, r, 401, who.code ? who.code : "internal",
		    who.message ? who.message : "the store failed");
	return false;
}

static json_t *object_of(const char *text)
{
	json_t *o = json_loads(text, 0, NULL);

	return o ? o : json_object();
}

static json_t *agent_json(struct gw *gw, const struct gw_agent_rec *rec)
{
	char created[GW_TIME_STR], seen[GW_TIME_STR];
	int64_t last = rec->last_seen;
	bool online = gw_host_is_online(gw, rec->uid, &last);

	gw_time_str(created, rec->created);
	gw_time_str(seen, last);
	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:o, s:o, s:[], s:s, s:s, s:b, s:s}",
			 "agent_uid", rec->uid, "org_id", rec->org_id, "host_id", rec->host_id,
			 "machine_id_hash", rec->machine_id_hash, "agent_version", rec->version,
			 "platform", object_of(rec->platform), "network", object_of(rec->network),
			 "labels", "created", created, "last_seen", seen, "connected", online,
			 "state", rec->approved ? "approved" : "pending");
}

struct agent_list {
	struct gw *gw;
	json_t *list;
};

static void agent_add(void *arg, const struct gw_agent_rec *rec)
{
	struct agent_list *l = arg;

	json_array_append_new(l->list, agent_json(l->gw, rec));
}

static void get_agents(struct gw_listener *l, ws_req r, const struct ws_request *req)
{
	struct agent_list list = { .gw = l->gw };
	json_int_t total;

	if (!may_read(l, r, req))
		return;
	list.list = json_array();
	if (gw_store_agent_each(l->gw->store, agent_add, &list) < 0) {
		json_decref(list.list);
		reply_error(l->gw, r, 500, "internal", "the store failed");
		return;
	}
	total = (json_int_t)json_array_size(list.list);
	reply_json(l->gw, r, 200, json_pack("{s:o, s:I}", "agents", list.list, "total", total));
}

static void get_agent(struct gw_listener *l, ws_req r, const struct ws_request *req)
{
	struct gw_agent_rec rec;

	if (!may_read(l, r, req))
		return;
	if (gw_store_agent_by_uid(l->gw->store, req->path + strlen("/agents/"), &rec) < 0)
		reply_error(l->gw, r, 404, "not_found", "there is no such agent");
	else
		reply_json(l->gw, r, 200, agent_json(l->gw, &rec));
}

/* ---- registration over HTTP ---- */

static json_t *body_read(struct gw_listener *l, ws_req r, const struct ws_request *req)
{
	json_t *body = json_loadb((const char *)req->body, req->body_len, JSON_REJECT_DUPLICATES,
				  NULL);

	if (json_is_object(body))
		return body;
	json_decref(body);
	reply_error(l->gw, r, 400, "invalid_request", "the body is no JSON object");
	return NULL;
}

static void answer_registration(struct gw_listener *l, ws_req r, struct gwr_answer *a)
{
	if (a->status == 200)
		reply_json(l->gw, r, 200, a->body);
	else
		reply_error(l->gw, r, a->status, a->code, a->message);
}

static void post_init(struct gw_listener *l, ws_req r, const struct ws_request *req)
{
	json_t *body = body_read(l, r, req);
	struct gwr_answer a;

	if (!body)
		return;
	gwr_init(l->gw->reg, &a, body, &req->peer.addr, loop_now_ms(l->gw->loop), gw_unix_s());
	answer_registration(l, r, &a);
	json_decref(body);
}

static void post_complete(struct gw_listener *l, ws_req r, const struct ws_request *req)
{
	json_t *body = body_read(l, r, req);
	struct gwr_answer a;

	if (!body)
		return;
	gwr_complete(l->gw->reg, &a, body, loop_now_ms(l->gw->loop), gw_unix_s());
	answer_registration(l, r, &a);
	json_decref(body);
}

/* ---- faults while running ---- */

static void post_faults(struct gw_listener *l, ws_req r, const struct ws_request *req)
{
	struct gwf_spec spec;
	const char *why;
	char text[512];

	if (!l->gw->fault_allowed || !gw_is_loopback(&req->peer.addr)) {
		reply_error(
			l->gw, r, 403, "refused",
			"start the gateway with --fault (it may be off), and ask from loopback");
		return;
	}
	if (req->body_len >= sizeof(text)) {
		reply_error(l->gw, r, 400, "invalid_request", "too long");
		return;
	}
	memcpy(text, req->body, req->body_len);
	text[req->body_len] = '\0';
	text[strcspn(text, "\r\n")] = '\0';
	if (gwf_parse(&spec, text, &why) < 0) {
		reply_error(l->gw, r, 400, "invalid_request", why);
		return;
	}
	l->gw->fault = spec;
	log_info("faults: %s", gwf_active(&spec) ? text_safe(text).s : "off");
	reply_json(l->gw, r, 200, json_pack("{s:b}", "active", gwf_active(&spec)));
}

/* ---- routes ---- */

static void upgrade_needed(struct gw_listener *l, ws_req r, const struct ws_request *req)
{
	(void)req;
	reply_error(l->gw, r, 400, "upgrade_required", "this is a WebSocket endpoint");
}

static const struct route {
	enum gw_door door;
	const char *method;
	const char *path;
	bool prefix; /* anything may follow */
	route_fn *fn;
} routes[] = {
	{ GW_CONTROL, "POST", "/", false, gw_api_call },
	{ GW_CONTROL, "GET", DATA_CHANNEL, true, upgrade_needed },
	{ GW_CONTROL, "HEAD", DATA_CHANNEL, true, upgrade_needed },
	{ GW_CONTROL, "POST", DATA_CHANNEL, true, gwm_post_data },
	{ GW_CONTROL, "GET", CONTROL_CHANNEL, true, upgrade_needed },
	{ GW_CONTROL, "HEAD", CONTROL_CHANNEL, true, upgrade_needed },
	{ GW_CONTROL, "POST", CONTROL_CHANNEL, true, gwm_post_control },
	{ GW_AGENTS, "GET", DATA_CHANNEL, true, upgrade_needed },
	{ GW_AGENTS, "HEAD", DATA_CHANNEL, true, upgrade_needed },
	{ GW_AGENTS, "GET", AGENT_PATH, false, upgrade_needed },
	{ GW_AGENTS, "HEAD", AGENT_PATH, false, upgrade_needed },
	{ GW_AGENTS, "GET", "/health", false, get_health },
	{ GW_AGENTS, "HEAD", "/health", false, get_health },
	{ GW_ACTIONS, "GET", "/healthz", false, get_healthz },
	{ GW_ACTIONS, "HEAD", "/healthz", false, get_healthz },
	{ GW_ACTIONS, "GET", "/agents", false, get_agents },
	{ GW_ACTIONS, "POST", "/agents/register/init", false, post_init },
	{ GW_ACTIONS, "POST", "/agents/register/complete", false, post_complete },
	{ GW_ACTIONS, "GET", "/agents/", true, get_agent },
	{ GW_ACTIONS, "POST", "/faults", false, post_faults },
};

static bool path_under(const char *path, const char *prefix)
{
	size_t n = strlen(prefix);

	return strncmp(path, prefix, n) == 0 && path[n];
}

static bool path_fits(const struct route *rt, const char *path)
{
	return rt->prefix ? path_under(path, rt->path) : strcmp(path, rt->path) == 0;
}

static void on_request(void *arg, ws_req r, const struct ws_request *req)
{
	struct gw_listener *l = arg;
	bool known = false;

	for (size_t i = 0; i < ARRAY_LEN(routes); i++) {
		if (routes[i].door != l->door || !path_fits(&routes[i], req->path))
			continue;
		known = true;
		if (strcmp(req->method, routes[i].method) != 0)
			continue;
		routes[i].fn(l, r, req);
		return;
	}
	if (known)
		reply_error(l->gw, r, 405, "method_not_allowed", "not with this method");
	else
		reply_error(l->gw, r, 404, "not_found", "there is nothing here");
}

/* A stock agent signs the upgrade of its data channel; clients and ssm-tun-agent have the token only. */
static int upgrade_data(struct gw_listener *l, ws_req r, const struct ws_request *req,
			const struct ws_events **events, void **events_arg)
{
	const char *id = req->path + strlen(DATA_CHANNEL);
	struct sigv4_result who;
	struct gw_key_rec key;

	if (l->door != GW_CONTROL || !ws_req_header(l->gw->ws, r, "authorization"))
		return gws_upgrade(l->gw->sessions, id, NULL, events, events_arg);
	if (gw_api_verify_for(l->gw, &who, r, req, "ssmmessages", &key) < 0)
		return 403;
	return gws_upgrade(l->gw->sessions, id, &key, events, events_arg);
}

static int on_upgrade(void *arg, ws_req r, const struct ws_request *req,
		      const struct ws_events **events, void **events_arg)
{
	struct gw_listener *l = arg;

	if (l->door == GW_AGENTS && strcmp(req->path, AGENT_PATH) == 0)
		return gwa_upgrade(l->gw->agents, r, req, l->tls, events, events_arg);
	if (l->door == GW_CONTROL && path_under(req->path, CONTROL_CHANNEL))
		return gwm_upgrade(l, r, req, events, events_arg);
	if (l->door != GW_ACTIONS && path_under(req->path, DATA_CHANNEL))
		return upgrade_data(l, r, req, events, events_arg);
	return 404;
}

const struct ws_server_events gw_http_events = {
	.request = on_request,
	.upgrade = on_upgrade,
};
