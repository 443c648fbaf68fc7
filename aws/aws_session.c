// SPDX-License-Identifier: MIT
/*
 * aws_session.c - SSM's three calls about sessions, with their answers checked
 *
 * Source: ssm-protocol.md 1.2, 2.5
 */
#include <stdlib.h>
#include <string.h>

#include "aws/aws_internal.h"
#include "base/err.h"

/* MaxPayloadBytes: sane bounds; gateway.md: 1024 for a stock agent, at most 64 KiB */
#define MAX_PAYLOAD_MIN 1
#define MAX_PAYLOAD_MAX 65536

static const char *string_of(const json_t *root, const char *key)
{
	const char *value = aws_text(root, key);

	return value && *value ? value : NULL;
}

static int nonsense(enum aws_op op, const char *what, struct aws_error *error)
{
	return aws_error_set(error, ST_EPEER, "the answer to %s makes no sense: %s",
			     aws_ops[op].name, what);
}

static int over(struct aws_error *error)
{
	aws_error_set(error, ST_ENOENT, "the session is over: ResumeSession gave no token");
	aws_error_hint(error, "a new session is needed");
	return ST_ENOENT;
}

int aws_session_read(struct aws_session *out, enum aws_op op, json_t *root, bool tls,
		     struct aws_error *error)
{
	json_int_t max = json_integer_value(json_object_get(root, "MaxPayloadBytes"));
	size_t url_len;

	*out = (struct aws_session){
		.session_id = string_of(root, "SessionId"),
		.token = string_of(root, "TokenValue"),
		.stream_url = string_of(root, "StreamUrl"),
	};
	if (!out->token && op == AWS_RESUME_SESSION)
		return over(error);
	if (!out->session_id || strlen(out->session_id) > 256)
		return nonsense(op, "no usable SessionId", error);
	if (!out->token || strlen(out->token) > AWS_TOKEN_MAX)
		return nonsense(op, "no usable TokenValue", error);
	url_len = out->stream_url ? strlen(out->stream_url) : 0;
	if (url_len == 0 || url_len > AWS_STREAM_URL_MAX)
		return nonsense(op, "no usable StreamUrl", error);
	/* A token must not be led to the clear by an answer that came encrypted. */
	if (strncmp(out->stream_url, "wss://", 6) != 0 &&
	    (tls || strncmp(out->stream_url, "ws://", 5) != 0))
		return nonsense(op, "StreamUrl is not wss://", error);
	if (max >= MAX_PAYLOAD_MIN && max <= MAX_PAYLOAD_MAX)
		out->max_payload = (uint32_t)max;
	return 0;
}

static json_t *parameters_json(const char *const *parameters)
{
	json_t *map = json_object();

	for (; map && parameters[0] && parameters[1]; parameters += 2)
		if (json_object_set_new(map, parameters[0], json_pack("[s]", parameters[1]))) {
			json_decref(map);
			return NULL;
		}
	return map;
}

int aws_start_session(struct aws_account *acc, aws_call *out, const struct aws_start *s,
		      aws_session_fn *done, void *arg)
{
	struct aws_request rq = { .op = AWS_START_SESSION, .session_fn = done, .arg = arg };
	const struct aws_as as = { .region = s->region };

	rq.params = json_pack("{s:s, s:s*, s:s*}", "Target", s->target, "DocumentName", s->document,
			      "Reason", s->reason);
	if (rq.params && s->parameters &&
	    json_object_set_new(rq.params, "Parameters", parameters_json(s->parameters))) {
		json_decref(rq.params);
		rq.params = NULL;
	}
	return aws_call_begin(acc, out, &rq, s->target, &as);
}

int aws_resume_session(struct aws_account *acc, aws_call *out, const char *session_id,
		       const char *region, aws_session_fn *done, void *arg)
{
	struct aws_request rq = { .op = AWS_RESUME_SESSION, .session_fn = done, .arg = arg };
	const struct aws_as as = { .region = region };

	rq.params = json_pack("{s:s}", "SessionId", session_id);
	return aws_call_begin(acc, out, &rq, session_id, &as);
}

int aws_terminate_session(struct aws_account *acc, aws_call *out, const char *session_id,
			  const char *region, aws_done_fn *done, void *arg)
{
	struct aws_request rq = { .op = AWS_TERMINATE_SESSION, .done_fn = done, .arg = arg };
	const struct aws_as as = { .region = region };

	rq.params = json_pack("{s:s}", "SessionId", session_id);
	return aws_call_begin(acc, out, &rq, session_id, &as);
}
