// SPDX-License-Identifier: MIT
/* gw_envelope.c - frames of /ws/agent; jansson does the JSON, this file the rules of gateway.md */
#include "gateway/gw_envelope.h"

#include <stdlib.h>
#include <string.h>

#include "base/codec.h"
#include "base/err.h"
#include "base/text.h"

#define SAFE_DEPTH_MAX 8

static const char *const type_names[] = {
	[ENV_REQUEST] = "request",     [ENV_RESPONSE] = "response", [ENV_EVENT] = "event",
	[ENV_HEARTBEAT] = "heartbeat", [ENV_ERROR] = "error",
};
_Static_assert(ARRAY_LEN(type_names) == ENV_TYPE_N, "type_names[] and enum env_type differ");

const char *json_str(const json_t *o, const char *key)
{
	return json_string_value(json_object_get(o, key));
}

static json_t *safe_copy(const json_t *v, int depth)
{
	json_t *out, *item;
	const char *key;
	size_t i;

	if (depth > SAFE_DEPTH_MAX)
		return NULL;
	if (json_is_string(v))
		return json_string(text_safe_n(json_string_value(v), json_string_length(v)).s);
	if (json_is_array(v)) {
		out = json_array();
		json_array_foreach(
			(json_t *)v, i,
			item) if (json_array_append_new(out, safe_copy(item, depth + 1)) <
				  0) goto fail;
		return out;
	}
	if (json_is_object(v)) {
		out = json_object();
		json_object_foreach((json_t *)v, key,
				    item) if (json_object_set_new(out, text_safe(key).s,
								  safe_copy(item, depth + 1)) <
					      0) goto fail;
		return out;
	}
	return json_copy((json_t *)v);
fail:
	json_decref(out);
	return NULL;
}

json_t *json_safe_copy(const json_t *v)
{
	return safe_copy(v, 0);
}

static bool type_parse(enum env_type *out, const char *name)
{
	for (size_t i = 0; name && i < ENV_TYPE_N; i++) {
		if (strcmp(name, type_names[i]) != 0)
			continue;
		*out = (enum env_type)i;
		return true;
	}
	return false;
}

/* The JSON object of a base64 payload; NULL if it is none. *@base64_ok tells which half was wrong. */
static json_t *body_of_base64(const char *payload, bool *base64_ok)
{
	size_t len = strlen(payload), cap = len / 4 * 3 + 3;
	uint8_t *raw = malloc(cap);
	json_t *body = NULL;
	ssize_t n;

	*base64_ok = false;
	if (!raw)
		return NULL;
	if ((n = codec_b64_decode(raw, cap, payload, len)) >= 0) {
		*base64_ok = true;
		body = json_loadb((const char *)raw, (size_t)n, JSON_REJECT_DUPLICATES, NULL);
	}
	free(raw);
	if (body && !json_is_object(body)) {
		json_decref(body);
		body = NULL;
	}
	return body;
}

static json_t *body_of_text(const char *payload)
{
	json_t *body = json_loads(payload, JSON_REJECT_DUPLICATES, NULL);
	bool ignored;

	if (json_is_object(body))
		return body;
	json_decref(body);
	return body_of_base64(payload, &ignored);
}

static bool members_read(struct env *e, const char **why)
{
	*why = "a member is missing, of the wrong type or too long: id, type, channel, timestamp, "
	       "payload and headers are needed";
	if (!json_is_object(e->doc))
		return false;
	e->id = json_str(e->doc, "id");
	e->channel = json_str(e->doc, "channel");
	e->payload = json_str(e->doc, "payload");
	e->headers = json_object_get(e->doc, "headers");
	if (!e->id || !e->channel || !e->payload || !json_is_object(e->headers) ||
	    !json_is_integer(json_object_get(e->doc, "timestamp")))
		return false;
	if (!*e->id || strlen(e->id) > ENV_ID_MAX || strlen(e->channel) > ENV_CHANNEL_MAX)
		return false;
	if (type_parse(&e->type, json_str(e->doc, "type")))
		return true;
	*why = "type is none of request, response, event, heartbeat and error";
	return false;
}

static int body_read(struct env *e, const char **code, const char **why)
{
	bool base64_ok;

	if (e->type != ENV_REQUEST) {
		e->body = body_of_text(e->payload);
		return 0;
	}
	if ((e->body = body_of_base64(e->payload, &base64_ok)))
		return 0;
	*code = base64_ok ? "bad_payload" : "bad_base64";
	*why = base64_ok ? "the payload of a request must be a JSON object in base64"
			 : "the payload of a request is no padded standard base64";
	return ST_EFORMAT;
}

int env_parse(struct env *out, const uint8_t *p, size_t len, const char **code, const char **why)
{
	struct env e = { 0 };

	*code = "bad_json";
	*why = "the frame is no JSON object of at most 64 KiB";
	if (len > ENV_MAX ||
	    !(e.doc = json_loadb((const char *)p, len, JSON_REJECT_DUPLICATES, NULL)))
		return ST_EFORMAT;
	*code = "bad_envelope";
	if (!members_read(&e, why) || body_read(&e, code, why) < 0) {
		env_fini(&e);
		return ST_EFORMAT;
	}
	*out = e;
	return 0;
}

void env_fini(struct env *e)
{
	json_decref(e->body);
	json_decref(e->doc);
	*e = (struct env){ 0 };
}

static char *body_text(enum env_type type, const json_t *body)
{
	char *text, *b64;
	size_t len;

	if (!body)
		return strdup("");
	if (!(text = json_dumps(body, JSON_COMPACT)) || type != ENV_REQUEST)
		return text;
	len = strlen(text);
	if ((b64 = malloc(CODEC_B64_LEN(len))))
		codec_b64_encode(b64, text, len);
	free(text);
	return b64;
}

char *env_format(enum env_type type, const char *id, const char *channel, const json_t *body,
		 const char *reply_to, int64_t unix_s)
{
	char uuid[CODEC_UUID_STR], *payload = body_text(type, body), *text = NULL;
	uint8_t raw[CODEC_UUID_LEN];
	json_t *doc;

	if (!id) {
		codec_uuid4(raw);
		codec_uuid_str(uuid, raw);
		id = uuid;
	}
	doc = json_pack("{s:s, s:s, s:s, s:I, s:s, s:{s:s*}}", "id", id, "type", type_names[type],
			"channel", channel, "timestamp", (json_int_t)unix_s, "payload",
			payload ? payload : "", "headers", "in_reply_to", reply_to);
	if (doc && payload)
		text = json_dumps(doc, JSON_COMPACT);
	json_decref(doc);
	free(payload);
	return text;
}

char *env_echo(const struct env *e, int64_t unix_s)
{
	json_t *doc = json_copy(e->doc);
	char *text = NULL;

	if (doc && json_object_set_new(doc, "timestamp", json_integer((json_int_t)unix_s)) == 0)
		text = json_dumps(doc, JSON_COMPACT);
	json_decref(doc);
	return text;
}
