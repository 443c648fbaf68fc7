// SPDX-License-Identifier: MIT
/*
 * ssm_handshake.c - handshake texts, by jansson
 *
 * Theory of operation: nothing here knows of messages or states; texts in, texts and verdicts out.
 * Members that a peer leaves out or writes as null count as empty, as in the stock peers' decoders;
 * a member of a wrong type makes the text malformed where the member matters.
 */
#include "proto/ssm_handshake.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/err.h"
#include "base/text.h"
#include "base/util.h"

/* Session types that the stock client runs; ssm-protocol, 1.3 */
static const char *const session_types[] = {
	"Port",
	"Standard_Stream",
	"InteractiveCommands",
	"NonInteractiveCommands",
};

static json_t *text_load(const uint8_t *p, size_t len)
{
	json_t *root = json_loadb((const char *)p, len, 0, NULL);

	if (json_is_object(root))
		return root;
	json_decref(root);
	return NULL;
}

/* The text of a member; "" if it is missing, null or no string. */
static const char *text_of(const json_t *object, const char *key)
{
	const char *s = json_string_value(json_object_get(object, key));

	return s ? s : "";
}

/* Takes @root. The text is from our malloc(), not from jansson's, so that free() is right for it. */
static int text_dump(char **out, json_t *root)
{
	size_t len = root ? json_dumpb(root, NULL, 0, JSON_COMPACT) : 0;
	char *text = len ? malloc(len + 1) : NULL;

	if (text) {
		json_dumpb(root, text, len, JSON_COMPACT);
		text[len] = '\0';
		*out = text;
	}
	json_decref(root);
	return text ? 0 : ST_ENOMEM;
}

int ssm_handshake_request_write(char **out, const char *agent_version, const char *session_type,
				const char *properties_json)
{
	json_t *properties = NULL;
	json_t *root;

	properties = properties_json ? json_loads(properties_json, 0, NULL) : json_null();
	if (!properties)
		return ST_EINVAL;
	root = json_pack("{s:s, s:[{s:s, s:{s:s, s:o}}]}", "AgentVersion", agent_version,
			 "RequestedClientActions", "ActionType", "SessionType", "ActionParameters",
			 "SessionType", session_type, "Properties", properties);
	if (!root)
		return ST_EINVAL;
	return text_dump(out, root);
}

static bool session_type_known(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(session_types); i++)
		if (strcmp(session_types[i], name) == 0)
			return true;
	return false;
}

static enum ssm_action_status action_judge(const json_t *action, char *error, size_t cap)
{
	const char *type = text_of(action, "ActionType");
	const char *name = text_of(json_object_get(action, "ActionParameters"), "SessionType");

	error[0] = '\0';
	if (strcmp(type, "SessionType") != 0) {
		text_copy(error, cap, "unsupported action");
		return SSM_ACTION_UNSUPPORTED;
	}
	if (session_type_known(name))
		return SSM_ACTION_SUCCESS;
	text_copy(error, cap, "unknown session type");
	return SSM_ACTION_FAILED;
}

/* Appends the result of @action to @results. */
static int action_answer(struct ssm_handshake_answer *out, json_t *results, const json_t *action)
{
	const char *type = text_of(action, "ActionType");
	char error[SSM_VERSION_MAX];
	enum ssm_action_status status;
	json_t *result;

	if (!json_is_object(action) || type[0] == '\0')
		return ST_EFORMAT;
	status = action_judge(action, error, sizeof(error));
	if (status != SSM_ACTION_SUCCESS && out->refused[0] == '\0')
		text_copy(out->refused, sizeof(out->refused), type);
	result = json_pack("{s:s, s:i, s:n, s:s}", "ActionType", type, "ActionStatus", (int)status,
			   "ActionResult", "Error", error);
	return json_array_append_new(results, result) == 0 ? 0 : ST_ENOMEM;
}

static int actions_answer(struct ssm_handshake_answer *out, json_t *results, const json_t *actions)
{
	int r;

	if (json_array_size(actions) > SSM_ACTIONS_MAX)
		return ST_EFORMAT;
	for (size_t i = 0; i < json_array_size(actions); i++)
		if ((r = action_answer(out, results, json_array_get(actions, i))) < 0)
			return r;
	return 0;
}

int ssm_handshake_answer(struct ssm_handshake_answer *out, const uint8_t *p, size_t len,
			 const char *client_version)
{
	json_t *request = text_load(p, len);
	json_t *results = json_array();
	struct ssm_handshake_answer answer = { 0 };
	const json_t *actions = json_object_get(request, "RequestedClientActions");
	int r = ST_EFORMAT;

	if (!request || (actions && !json_is_array(actions) && !json_is_null(actions)))
		goto out;
	text_copy(answer.agent_version, sizeof(answer.agent_version),
		  text_of(request, "AgentVersion"));
	if ((r = actions_answer(&answer, results, actions)) < 0)
		goto out;
	r = text_dump(&answer.response,
		      json_pack("{s:s, s:O, s:n}", "ClientVersion", client_version,
				"ProcessedClientActions", results, "Errors"));
	if (r == 0)
		*out = answer;
out:
	json_decref(results);
	json_decref(request);
	return r;
}

/* The words of the stock agent; 5.3 */
static int result_check(const json_t *result, char reason[SSM_REASON_MAX])
{
	const json_t *status = json_object_get(result, "ActionStatus");

	if (!json_is_object(result) || !json_is_integer(status))
		return ST_EFORMAT;
	if (json_integer_value(status) == SSM_ACTION_SUCCESS)
		return 0;
	snprintf(reason, SSM_REASON_MAX, "%s failed on client with status %lld error: %s",
		 text_of(result, "ActionType"), (long long)json_integer_value(status),
		 text_of(result, "Error"));
	return ST_EPEER;
}

static int response_check(const json_t *response, char reason[SSM_REASON_MAX])
{
	const json_t *results = json_object_get(response, "ProcessedClientActions");
	int r;

	if (results && !json_is_array(results) && !json_is_null(results))
		return ST_EFORMAT;
	for (size_t i = 0; i < json_array_size(results); i++)
		if ((r = result_check(json_array_get(results, i), reason)) < 0)
			return r;
	return 0;
}

int ssm_handshake_response_read(char version[SSM_VERSION_MAX], char reason[SSM_REASON_MAX],
				const uint8_t *p, size_t len)
{
	json_t *response = text_load(p, len);
	int r;

	version[0] = reason[0] = '\0';
	if (!response)
		return ST_EFORMAT;
	text_copy(version, SSM_VERSION_MAX, text_of(response, "ClientVersion"));
	r = response_check(response, reason);
	json_decref(response);
	return r;
}

int ssm_handshake_complete_write(char **out, uint64_t took_ns, const char *customer_message)
{
	json_t *root = json_pack("{s:I, s:s}", "HandshakeTimeToComplete", (json_int_t)took_ns,
				 "CustomerMessage", customer_message);

	return root ? text_dump(out, root) : ST_EINVAL;
}

int ssm_handshake_complete_read(char customer_message[SSM_REASON_MAX], const uint8_t *p, size_t len)
{
	json_t *root = text_load(p, len);

	if (!root)
		return ST_EFORMAT;
	text_copy(customer_message, SSM_REASON_MAX, text_of(root, "CustomerMessage"));
	json_decref(root);
	return 0;
}

void ssm_closed_read(char output[SSM_REASON_MAX], const uint8_t *p, size_t len)
{
	json_t *root = text_load(p, len);

	text_copy(output, SSM_REASON_MAX, text_of(root, "Output"));
	json_decref(root);
}
