// SPDX-License-Identifier: MIT
/*
 * gw_api.c - StartSession and its sisters, as AWS SDKs call them
 *
 * Theory of operation: a table of operations by X-Amz-Target, each with the kind of key that may call
 * it. SigV4 names the access key; the key's glob over host_id decides what it may see. An operation
 * fills one struct gw_call with a JSON body or an AWS error code; one function sends it, unless the
 * operation has said that it will be answered later. Answers about a target that a key may not see are
 * the same whether or not the target exists.
 */
#include "gateway/gw_api.h"

#include <fnmatch.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "base/text.h"
#include "gateway/gw_api_internal.h"
#include "gateway/gw_document.h"
#include "gateway/gw_envelope.h"
#include "gateway/gw_host.h"
#include "gateway/gw_push.h"
#include "gateway/gw_session.h"
#include "gateway/gw_ssh_line.h"

#define CONTENT_TYPE "application/x-amz-json-1.1"

void gw_call_fail(struct gw_call *c, const char *code, const char *fmt, ...)
{
	va_list ap;

	c->code = code;
	va_start(ap, fmt);
	vsnprintf(c->message, sizeof(c->message), fmt, ap);
	va_end(ap);
}

/* ---- who is asking ---- */

struct header_arg {
	struct gw *gw;
	ws_req r;
};

static const char *header_of(void *arg, const char *name)
{
	const struct header_arg *h = arg;

	return ws_req_header(h->gw->ws, h->r, name);
}

static bool secret_of(void *arg, const char *access_key, char secret[SIGV4_SECRET_MAX + 1])
{
	struct gw_key_rec key;
	bool found = gw_store_key_get(arg, access_key, &key) == 0;

	if (found)
		text_copy(secret, SIGV4_SECRET_MAX + 1, key.secret);
	codec_wipe(&key, sizeof(key));
	return found;
}

int gw_api_verify(struct gw *gw, struct sigv4_result *out, ws_req r, const struct ws_request *req,
		  struct gw_key_rec *key)
{
	struct header_arg h = { .gw = gw, .r = r };
	const struct sigv4_request s = {
		.method = req->method,
		.path = req->path,
		.query = req->query,
		.body = req->body,
		.body_len = req->body_len,
		.header = header_of,
		.arg = &h,
	};
	int e = sigv4_verify(out, &s, secret_of, gw->store, gw_unix_s());

	if (e < 0)
		return e;
	e = gw_store_key_get(gw->store, out->access_key, key);
	codec_wipe(key->secret, sizeof(key->secret));
	return e;
}

int gw_api_verify_for(struct gw *gw, struct sigv4_result *out, ws_req r,
		      const struct ws_request *req, const char *service, struct gw_key_rec *key)
{
	int e = gw_api_verify(gw, out, r, req, key);

	if (e < 0 || strcmp(out->service, service) == 0)
		return e;
	out->code = "InvalidSignatureException";
	out->message = "Credential should be scoped to correct service.";
	return ST_EAUTH;
}

/* ---- targets ---- */

bool gw_key_may(const struct gw_key_rec *key, const char *host_id)
{
	return key->kind == GW_KEY_CLIENT && fnmatch(key->targets, host_id, 0) == 0;
}

/* A target by host_id or agent_uid that this key may use. Return: false and the call has failed */
static bool target_find(struct gw_call *c, const char *target, struct gw_agent_rec *rec)
{
	int r = gw_store_agent_by_host(c->gw->store, target, rec);

	if (r == ST_ENOENT)
		r = gw_store_agent_by_uid(c->gw->store, target, rec);
	if (r == ST_ESYS) {
		gw_call_fail(c, "InternalServerError", "The store failed.");
		return false;
	}
	if (!gw_key_may(&c->key, r == 0 ? rec->host_id : target)) {
		gw_call_fail(c, "AccessDeniedException",
			     "Key %s is not authorized to start or see sessions on %s.",
			     c->key.name, text_safe(target).s);
		return false;
	}
	if (r < 0 || !rec->approved || !gw_host_is_online(c->gw, rec->uid, NULL)) {
		gw_call_fail(c, "TargetNotConnected", "%s is not connected.", text_safe(target).s);
		return false;
	}
	return true;
}

/* ---- sessions ---- */

bool gw_charset_ok(const char *s, size_t min, size_t max, const char *allowed)
{
	size_t len = strlen(s);

	return len >= min && len <= max && strspn(s, allowed) == len;
}

/* What does not depend on the target. */
static bool start_read(struct gw_call *c, struct gws_order *o, const char **target)
{
	static const char doc_chars[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-.:/";

	*target = json_str(c->in, "Target");
	o->document = json_str(c->in, "DocumentName");
	o->reason = json_str(c->in, "Reason");
	o->parameters = json_object_get(c->in, "Parameters");
	if (!*target || !**target || strlen(*target) > 400) {
		gw_call_fail(c, "ValidationException",
			     "Target must be a string of 1 to 400 characters.");
		return false;
	}
	if (o->reason && (!*o->reason || strlen(o->reason) > 256)) {
		gw_call_fail(c, "ValidationException", "Reason must have 1 to 256 characters.");
		return false;
	}
	if (o->document && !gw_charset_ok(o->document, 3, 128, doc_chars)) {
		gw_call_fail(c, "ValidationException", "DocumentName is malformed.");
		return false;
	}
	return true;
}

/* The document, by what the host's agent serves, and its parameters. */
static bool document_read(struct gw_call *c, struct gws_order *o, enum gw_agent_kind kind)
{
	char why[400];
	int r;

	if (!o->document)
		o->document = GW_DOC_SHELL;
	r = kind == GW_AGENT_STOCK
		    ? gw_document_check_stock(o->document, o->parameters, why, sizeof(why))
		    : gw_document_check(o->document, o->parameters, why, sizeof(why));
	if (r < 0)
		gw_call_fail(c, r == ST_ENOENT ? "InvalidDocument" : "ValidationException", "%s",
			     why);
	return r == 0;
}

static void answer_ticket(struct gw_call *c, struct gws_ticket *t)
{
	const char *host = ws_req_header(c->gw->ws, c->req, "host");
	char *url = NULL;

	if (asprintf(&url, "%s://%s/v1/data-channel/%s?role=publish_subscribe",
		     c->listener->tls ? "wss" : "ws", host ? host : "localhost", t->session_id) < 0)
		url = NULL;
	c->out = json_pack("{s:s, s:s, s:s, s:I}", "SessionId", t->session_id, "TokenValue",
			   t->token, "StreamUrl", url ? url : "", "MaxPayloadBytes",
			   (json_int_t)t->max_payload);
	codec_wipe(t, sizeof(*t));
	free(url);
}

static void start_session(struct gw_call *c)
{
	struct gw_agent_rec agent;
	struct gws_order order = { .key = &c->key, .agent = &agent };
	struct gws_ticket ticket;
	const char *target;
	int r;

	if (!start_read(c, &order, &target) || !target_find(c, target, &agent) ||
	    !document_read(c, &order, agent.kind))
		return;
	r = gws_start(c->gw->sessions, &order, &ticket);
	if (r == 0)
		answer_ticket(c, &ticket);
	else if (r == ST_ENOENT)
		gw_call_fail(c, "TargetNotConnected", "%s is not connected.", text_safe(target).s);
	else
		gw_call_fail(c, r == ST_EFULL ? "ThrottlingException" : "InternalServerError",
			     "The session could not be started: %s.", st_strerror(r));
}

static const char *session_id_of(struct gw_call *c)
{
	const char *id = json_str(c->in, "SessionId");

	if (id && *id && strlen(id) < GW_SESSION_ID_STR)
		return id;
	gw_call_fail(c, "ValidationException", "SessionId must be a string of 1 to 96 characters.");
	return NULL;
}

static void resume_session(struct gw_call *c)
{
	const char *id = session_id_of(c);
	struct gws_ticket ticket;
	int r;

	if (!id)
		return;
	r = gws_resume(c->gw->sessions, id, c->key.name, &ticket);
	if (r == 0) {
		gw_store_audit(c->gw->store, c->key.name, "session.resume", ticket.session_id);
		answer_ticket(c, &ticket);
	} else if (r == ST_ECLOSED) { /* ssm-protocol 2.5: no token means over */
		c->out = json_pack("{s:s, s:n, s:n}", "SessionId", text_safe(id).s, "TokenValue",
				   "StreamUrl");
	} else if (r == ST_ENOENT) {
		gw_call_fail(c, "DoesNotExistException", "Session %s does not exist.",
			     text_safe(id).s);
	} else {
		gw_call_fail(c, "InternalServerError", "The store failed.");
	}
}

static void terminate_session(struct gw_call *c)
{
	const char *id = session_id_of(c);
	int r;

	if (!id)
		return;
	r = gws_terminate(c->gw->sessions, id, c->key.name);
	if (r == 0)
		c->out = json_pack("{s:s}", "SessionId", text_safe(id).s);
	else if (r == ST_ENOENT)
		gw_call_fail(c, "DoesNotExistException", "Session %s does not exist.",
			     text_safe(id).s);
	else
		gw_call_fail(c, "InternalServerError", "The store failed.");
}

static void connection_status(struct gw_call *c)
{
	const char *target = json_str(c->in, "Target");
	struct gw_agent_rec rec;
	bool there;

	if (!target || !*target) {
		gw_call_fail(c, "ValidationException", "Target is needed.");
		return;
	}
	there = target_find(c, target, &rec);
	if (c->code && strcmp(c->code, "InternalServerError") == 0)
		return;
	c->code = NULL;
	c->out = json_pack("{s:s, s:s}", "Target", text_safe(target).s, "Status",
			   there ? "connected" : "notconnected");
}

/* The key goes to the host's agent, whose word is the answer. */
static void send_ssh_key(struct gw_call *c)
{
	const char *target = json_str(c->in, "InstanceId");
	const char *user = json_str(c->in, "InstanceOSUser");
	const char *key = json_str(c->in, "SSHPublicKey");
	char line[GW_SSH_LINE_MAX + 1], what[GW_NAME_MAX + GW_SSH_USER_MAX + 2];
	struct gw_agent_rec agent;
	int r;

	if (!target || !*target || strlen(target) > GW_NAME_MAX || !user || !gw_ssh_user_ok(user)) {
		gw_call_fail(c, "ValidationException",
			     "InstanceId and InstanceOSUser (1 to %u characters) are needed.",
			     GW_SSH_USER_MAX);
		return;
	}
	if (!key || gw_ssh_line_read(line, key) < 0) {
		gw_call_fail(c, "InvalidArgsException",
			     "SSHPublicKey is no Ed25519, ECDSA or RSA key in OpenSSH's format.");
		return;
	}
	if (!target_find(c, target, &agent)) {
		if (strcmp(c->code, "TargetNotConnected") == 0)
			c->code = "EC2InstanceUnavailableException";
		return;
	}
	if (agent.kind == GW_AGENT_STOCK) {
		gw_call_fail(
			c, "UnsupportedOperation",
			"The agent of %s is a stock one, which takes no keys: put the key into "
			"authorized_keys on the host.",
			agent.host_id);
		return;
	}
	r = gwk_send(c->gw->keys, c->req, agent.uid, user, line);
	c->later = r == 0;
	if (r < 0)
		gw_call_fail(c, r == ST_EFULL ? "ThrottlingException" : "ServiceException",
			     "The key could not be handed on: %s.", st_strerror(r));
	snprintf(what, sizeof(what), "%s %s", agent.host_id, user);
	if (r == 0)
		gw_store_audit(c->gw->store, c->key.name, "ssh.key", what);
}

/* ---- the call ---- */

static const struct {
	const char *target;
	const char *service;   /* the scope must name it */
	enum gw_key_kind kind; /* whose keys may call it */
	void (*fn)(struct gw_call *c);
} operations[] = {
	{ "AmazonSSM.StartSession", "ssm", GW_KEY_CLIENT, start_session },
	{ "AmazonSSM.ResumeSession", "ssm", GW_KEY_CLIENT, resume_session },
	{ "AmazonSSM.TerminateSession", "ssm", GW_KEY_CLIENT, terminate_session },
	{ "AmazonSSM.DescribeSessions", "ssm", GW_KEY_CLIENT, gw_call_describe_sessions },
	{ "AmazonSSM.DescribeInstanceInformation", "ssm", GW_KEY_CLIENT,
	  gw_call_describe_instances },
	{ "AmazonSSM.GetConnectionStatus", "ssm", GW_KEY_CLIENT, connection_status },
	{ "AWSEC2InstanceConnectService.SendSSHPublicKey", "ec2-instance-connect", GW_KEY_CLIENT,
	  send_ssh_key },
	{ "AmazonSSM.UpdateInstanceInformation", "ssm", GW_KEY_AGENT, gw_call_update_instance },
	{ "AmazonSSM.ListInstanceAssociations", "ssm", GW_KEY_AGENT, gw_call_list_associations },
	{ "EC2WindowsMessageDeliveryService.GetMessages", "ec2messages", GW_KEY_AGENT,
	  gw_call_get_messages },
};

void gw_api_answer(struct gw *gw, ws_req r, int status, const json_t *body)
{
	char id[CODEC_UUID_STR];
	uint8_t raw[CODEC_UUID_LEN];
	const char *headers[] = { "x-amzn-RequestId", id, NULL };
	char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;

	codec_uuid4(raw);
	codec_uuid_str(id, raw);
	ws_reply(gw->ws, r, text ? status : 500, CONTENT_TYPE, text ? text : "",
		 text ? strlen(text) : 0, headers);
	free(text);
}

static void reply(struct gw_call *c)
{
	if (!c->code && !c->out)
		gw_call_fail(c, "InternalServerError", "out of memory");
	if (c->code) {
		json_decref(c->out);
		c->out = json_pack("{s:s, s:s}", "__type", c->code, "message", c->message);
	}
	gw_api_answer(c->gw, c->req,
		      !c->code					    ? 200
		      : strcmp(c->code, "InternalServerError") == 0 ? 500
								    : 400,
		      c->out);
}

static void dispatch(struct gw_call *c, const struct ws_request *req)
{
	const char *target = ws_req_header(c->gw->ws, c->req, "x-amz-target");
	struct sigv4_result who;

	if (gw_api_verify(c->gw, &who, c->req, req, &c->key) < 0) {
		gw_call_fail(c, who.code ? who.code : "InternalServerError", "%s",
			     who.message ? who.message : "The store failed.");
		return;
	}
	c->in = req->body_len ? json_loadb((const char *)req->body, req->body_len, 0, NULL)
			      : json_object();
	if (!json_is_object(c->in)) {
		gw_call_fail(c, "SerializationException", "The body is no JSON object.");
		return;
	}
	for (size_t i = 0; target && i < ARRAY_LEN(operations); i++) {
		if (strcmp(target, operations[i].target) != 0)
			continue;
		if (strcmp(who.service, operations[i].service) != 0)
			gw_call_fail(c, "InvalidSignatureException",
				     "Credential should be scoped to correct service: '%s'.",
				     operations[i].service);
		else if (c->key.kind != operations[i].kind)
			gw_call_fail(c, "AccessDeniedException",
				     "Key %s is %s: it may not call this operation.", c->key.name,
				     c->key.kind == GW_KEY_AGENT ? "an agent's" : "a client's");
		else
			operations[i].fn(c);
		return;
	}
	gw_call_fail(c, "UnknownOperationException", "There is no such operation.");
}

void gw_api_call(struct gw_listener *l, ws_req r, const struct ws_request *req)
{
	struct gw_call c = { .gw = l->gw, .listener = l, .req = r };

	dispatch(&c, req);
	if (c.code)
		log_debug("api: %s answered %s", c.key.name[0] ? c.key.name : "(nobody)", c.code);
	if (c.code && strcmp(c.code, "AccessDeniedException") == 0)
		gw_store_audit(l->gw->store, c.key.name, "api.denied", c.message);
	if (!c.later)
		reply(&c);
	json_decref(c.in);
	json_decref(c.out);
}
