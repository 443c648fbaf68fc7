// SPDX-License-Identifier: MIT
/*
 * gw_mgs_http.c - CreateControlChannel and CreateDataChannel
 *
 * Theory of operation: the request is JSON, the answer 201 with XML, an error XML whose root is the
 * error's name: stock agents put the whole text into their own error and look for two things in it,
 * <AccessDeniedException> (they fall back to polling) and "Session is already terminated" (they stop
 * reopening a data channel). A session that never was gets the same words as one that is over.
 */
#include "gateway/gw_mgs.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/log.h"
#include "base/text.h"
#include "gateway/gw_api.h"
#include "gateway/gw_instance.h"
#include "gateway/gw_mgs_internal.h"
#include "gateway/gw_session.h"

#define CONTROL_CHANNEL "/v1/control-channel/"
#define DATA_CHANNEL "/v1/data-channel/"
#define XML_MAX KIB(4) /* ours: an answer */

static int put_xml(struct buf *b, const char *s)
{
	static const char *const names[] = {
		['<'] = "&lt;",	  ['>'] = "&gt;",    ['&'] = "&amp;",
		['"'] = "&quot;", ['\''] = "&apos;",
	};
	int r = 0;

	for (; *s && r == 0; s++) {
		unsigned char ch = (unsigned char)*s;

		r = ch < ARRAY_LEN(names) && names[ch] ? buf_put(b, names[ch], strlen(names[ch]))
						       : buf_put(b, s, 1);
	}
	return r;
}

/* <@root><@name>@text</@name></@root>; with @schema a MessageSchemaVersion before */
static void reply_xml(struct gw *gw, ws_req r, int status, const char *root, bool schema,
		      const char *name, const char *text)
{
	char id[CODEC_UUID_STR];
	uint8_t raw[CODEC_UUID_LEN];
	const char *headers[] = { "x-amzn-RequestId", id, NULL };
	struct buf b;

	codec_uuid4(raw);
	codec_uuid_str(id, raw);
	buf_init_secret(&b, XML_MAX);
	if (buf_printf(&b, "<%s>%s<%s>", root,
		       schema ? "<MessageSchemaVersion>1.0</MessageSchemaVersion>" : "",
		       name) < 0 ||
	    put_xml(&b, text) < 0 || buf_printf(&b, "</%s></%s>", name, root) < 0) {
		status = 500;
		buf_consume(&b, b.len);
	}
	ws_reply(gw->ws, r, status, "text/xml", buf_data(&b), b.len, headers);
	buf_wipe(&b);
}

static void reply_error(struct gw *gw, ws_req r, int status, const char *code, const char *message)
{
	log_debug("mgs: answered %s", code);
	reply_xml(gw, r, status, code, false, "Message", message);
}

static void reply_token(struct gw *gw, ws_req r, const char *root, char token[GW_TOKEN_STR])
{
	reply_xml(gw, r, 201, root, true, "TokenValue", token);
	codec_wipe(token, GW_TOKEN_STR);
}

/* Signature and body. Return: false and it is answered */
static bool admitted(struct gw_listener *l, ws_req r, const struct ws_request *req,
		     struct gw_key_rec *key)
{
	struct sigv4_result who;
	json_t *body;
	bool good;

	if (gw_api_verify_for(l->gw, &who, r, req, "ssmmessages", key) < 0) {
		reply_error(l->gw, r, who.code ? 403 : 500,
			    who.code ? who.code : "InternalServerError",
			    who.message ? who.message : "The store failed.");
		return false;
	}
	if (key->kind != GW_KEY_AGENT) {
		reply_error(l->gw, r, 403, "AccessDeniedException",
			    "This access key is a client's, not an agent's.");
		gw_store_audit(l->gw->store, key->name, "mgs.denied", "a client's key");
		return false;
	}
	body = json_loadb((const char *)req->body, req->body_len, JSON_REJECT_DUPLICATES, NULL);
	good = json_is_object(body);
	json_decref(body);
	if (!good)
		reply_error(l->gw, r, 400, "SerializationException", "The body is no JSON object.");
	return good;
}

static void not_seen(struct gw *gw, ws_req r, const struct gw_key_rec *key, const char *id, int e)
{
	if (e == ST_EPERM) {
		reply_error(gw, r, 403, "AccessDeniedException",
			    "This access key may not be that instance.");
		gw_store_audit(gw->store, key->name, "mgs.denied", text_safe(id).s);
	} else if (e == ST_EINVAL) {
		reply_error(gw, r, 400, "ValidationException", "The instance id is malformed.");
	} else {
		reply_error(gw, r, e == ST_EFULL ? 429 : 500,
			    e == ST_EFULL ? "ThrottlingException" : "InternalServerError",
			    st_strerror(e));
	}
}

void gwm_post_control(struct gw_listener *l, ws_req r, const struct ws_request *req)
{
	const char *id = req->path + strlen(CONTROL_CHANNEL);
	char token[GW_TOKEN_STR];
	struct gw_key_rec key;
	struct gw_agent_rec rec;
	struct gwm_channel *c;
	int e;

	if (!admitted(l, r, req, &key))
		return;
	if ((e = gwi_seen(l->gw, &key, id, &rec)) < 0) {
		not_seen(l->gw, r, &key, id, e);
		return;
	}
	if (!(c = gwm_channel_get(l->gw->mgs, &rec))) {
		not_seen(l->gw, r, &key, id, ST_EFULL);
		return;
	}
	gw_token_make(&c->token, token, loop_now_ms(l->gw->loop));
	reply_token(l->gw, r, "CreateControlChannelResponse", token);
}

void gwm_post_data(struct gw_listener *l, ws_req r, const struct ws_request *req)
{
	const char *id = req->path + strlen(DATA_CHANNEL);
	char token[GW_TOKEN_STR];
	struct gw_key_rec key;

	if (!admitted(l, r, req, &key))
		return;
	if (gws_stock_reopen(l->gw->sessions, &key, id, token) < 0) {
		reply_error(l->gw, r, 400, "InvalidSessionException",
			    "Session is already terminated");
		return;
	}
	gwm_start_done(l->gw->mgs, id);
	reply_token(l->gw, r, "CreateDataChannelResponse", token);
}
