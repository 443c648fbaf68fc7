// SPDX-License-Identifier: MIT
/*
 * aws_ops.c - the operations: the JSON that each sends and what it reads from the answer
 *
 * Source: ssm-protocol.md 1.2, 2.5
 */
#include <stdlib.h>
#include <string.h>

#include "aws/aws_internal.h"
#include "base/err.h"

const struct aws_op_row aws_ops[AWS_OP_N] = {
	[AWS_START_SESSION] = { "StartSession", "ssm:StartSession" },
	[AWS_RESUME_SESSION] = { "ResumeSession", "ssm:ResumeSession" },
	[AWS_TERMINATE_SESSION] = { "TerminateSession", "ssm:TerminateSession" },
};

/* MaxPayloadBytes: sane bounds; gateway.md: 1024 for a stock agent, at most 64 KiB */
#define MAX_PAYLOAD_MIN 1
#define MAX_PAYLOAD_MAX 65536

static const char *string_of(const json_t *root, const char *key)
{
	const char *value = json_string_value(json_object_get(root, key));

	return value && *value ? value : NULL;
}

static int nonsense(const struct aws_request *rq, const char *what, struct aws_error *error)
{
	return aws_error_set(error, ST_EPEER, "the answer to %s makes no sense: %s",
			     aws_ops[rq->op].name, what);
}

static int over(const struct aws_request *rq, struct aws_error *error)
{
	(void)rq;
	aws_error_set(error, ST_ENOENT, "the session is over: ResumeSession gave no token");
	aws_error_hint(error, "a new session is needed");
	return ST_ENOENT;
}

int aws_op_answer(struct aws_session *out, json_t *root, const struct aws_request *rq, bool tls,
		  struct aws_error *error)
{
	json_int_t max = json_integer_value(json_object_get(root, "MaxPayloadBytes"));
	size_t url_len;

	*out = (struct aws_session){ 0 };
	if (!json_is_object(root))
		return nonsense(rq, "not a JSON object", error);
	if (rq->op == AWS_TERMINATE_SESSION)
		return 0;
	out->session_id = string_of(root, "SessionId");
	out->token = string_of(root, "TokenValue");
	out->stream_url = string_of(root, "StreamUrl");
	if (!out->token && rq->op == AWS_RESUME_SESSION)
		return over(rq, error);
	if (!out->session_id || strlen(out->session_id) > 256)
		return nonsense(rq, "no usable SessionId", error);
	if (!out->token || strlen(out->token) > AWS_TOKEN_MAX)
		return nonsense(rq, "no usable TokenValue", error);
	url_len = out->stream_url ? strlen(out->stream_url) : 0;
	if (url_len == 0 || url_len > AWS_STREAM_URL_MAX)
		return nonsense(rq, "no usable StreamUrl", error);
	/* A token must not be led to the clear by an answer that came encrypted. */
	if (strncmp(out->stream_url, "wss://", 6) != 0 &&
	    (tls || strncmp(out->stream_url, "ws://", 5) != 0))
		return nonsense(rq, "StreamUrl is not wss://", error);
	if (max >= MAX_PAYLOAD_MIN && max <= MAX_PAYLOAD_MAX)
		out->max_payload = (uint32_t)max;
	return 0;
}

/* Takes @body. */
static int begin(struct aws_account *acc, aws_call *out, struct aws_request *rq, json_t *body,
		 const char *subject)
{
	if (body) {
		rq->body = json_dumps(body, JSON_COMPACT);
		json_decref(body);
	}
	rq->subject = strdup(subject);
	if (!rq->body || !rq->subject || !acc->aws) {
		free(rq->body);
		free(rq->subject);
		return ST_ENOMEM;
	}
	return aws_call_begin(acc, out, rq);
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
	json_t *body = json_pack("{s:s, s:s*, s:s*}", "Target", s->target, "DocumentName",
				 s->document, "Reason", s->reason);

	if (body && s->parameters &&
	    json_object_set_new(body, "Parameters", parameters_json(s->parameters))) {
		json_decref(body);
		body = NULL;
	}
	return begin(acc, out, &rq, body, s->target);
}

int aws_resume_session(struct aws_account *acc, aws_call *out, const char *session_id,
		       aws_session_fn *done, void *arg)
{
	struct aws_request rq = { .op = AWS_RESUME_SESSION, .session_fn = done, .arg = arg };

	return begin(acc, out, &rq, json_pack("{s:s}", "SessionId", session_id), session_id);
}

int aws_terminate_session(struct aws_account *acc, aws_call *out, const char *session_id,
			  aws_done_fn *done, void *arg)
{
	struct aws_request rq = { .op = AWS_TERMINATE_SESSION, .done_fn = done, .arg = arg };

	return begin(acc, out, &rq, json_pack("{s:s}", "SessionId", session_id), session_id);
}
