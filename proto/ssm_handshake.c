// SPDX-License-Identifier: MIT
/*
 * ssm_handshake.c - handshake texts, by jansson
 *
 * Theory of operation: nothing here knows of messages or states; texts in, texts and verdicts out.
 * A member of a wrong type makes the text malformed where the member matters. The client's actions are a table:
 * an action is judged by its row, and what stands in no row is unsupported.
 */
#include "proto/ssm_handshake.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/text.h"
#include "base/util.h"
#include "proto/ssm_json.h"

#define ACTION_SESSION_TYPE "SessionType"
#define ACTION_KMS "KMSEncryption"

/* Session types that the stock client runs; ssm-protocol, 1.3 */
static const char *const session_types[] = {
	"Port",
	"Standard_Stream",
	"InteractiveCommands",
	"NonInteractiveCommands",
};

/* ---- request, agent ---- */

static json_t *kms_action(const struct ssm_request_opts *o)
{
	if (!o->challenge)
		return json_pack("{s:s, s:{s:s}}", "ActionType", ACTION_KMS, "ActionParameters",
				 "KMSKeyId", o->kms_key_id);
	return json_pack("{s:s, s:{s:s, s:s}}", "ActionType", ACTION_KMS, "ActionParameters",
			 "KMSKeyId", o->kms_key_id, "Challenge", o->challenge);
}

int ssm_handshake_request_write(char **out, const struct ssm_request_opts *o)
{
	json_t *properties = o->properties_json ? json_loads(o->properties_json, 0, NULL)
						: json_null();
	json_t *root;

	if (!properties)
		return ST_EINVAL;
	root = json_pack("{s:s, s:[{s:s, s:{s:s, s:o}}]}", "AgentVersion", o->agent_version,
			 "RequestedClientActions", "ActionType", ACTION_SESSION_TYPE,
			 "ActionParameters", "SessionType", o->session_type, "Properties",
			 properties);
	if (!root)
		return ST_EINVAL;
	if (o->kms_key_id && json_array_append_new(json_object_get(root, "RequestedClientActions"),
						   kms_action(o)) < 0) {
		json_decref(root);
		return ST_EINVAL;
	}
	return ssm_json_dump(out, root);
}

/* ---- request, client ---- */

/* The actions of a request. Return: 0 and *@out, NULL if there are none; ST_EFORMAT */
static int actions_get(const json_t **out, const json_t *request)
{
	const json_t *actions = json_object_get(request, "RequestedClientActions");

	*out = NULL;
	if (!request || (actions && !json_is_array(actions) && !json_is_null(actions)))
		return ST_EFORMAT;
	if (json_array_size(actions) > SSM_ACTIONS_MAX)
		return ST_EFORMAT;
	for (size_t i = 0; i < json_array_size(actions); i++)
		if (ssm_json_text(json_array_get(actions, i), "ActionType")[0] == '\0')
			return ST_EFORMAT;
	*out = actions;
	return 0;
}

/* A copy of @text if it is not empty. */
static int text_keep(char **out, const char *text, size_t max)
{
	if (*out || text[0] == '\0')
		return 0;
	if (strlen(text) > max)
		return ST_EFORMAT;
	*out = strdup(text);
	return *out ? 0 : ST_ENOMEM;
}

static int session_type_read(struct ssm_request *out, const json_t *parameters)
{
	const json_t *properties = json_object_get(parameters, "Properties");
	char *text;
	int r;

	if (out->session_type[0])
		return 0;
	text_copy(out->session_type, sizeof(out->session_type),
		  ssm_json_text(parameters, "SessionType"));
	if (!json_is_object(properties))
		return 0;
	r = ssm_json_dump(&text, json_incref((json_t *)properties));
	if (r == 0)
		out->properties_json = text;
	return r;
}

static int kms_read(struct ssm_request *out, const json_t *parameters)
{
	int r = text_keep(&out->kms_key_id, ssm_json_text(parameters, "KMSKeyId"), SSM_KEY_ID_MAX);

	return r < 0 ? r
		     : text_keep(&out->challenge, ssm_json_text(parameters, "Challenge"),
				 SSM_CHALLENGE_TEXT_MAX);
}

static int action_read(struct ssm_request *out, const json_t *action)
{
	const char *type = ssm_json_text(action, "ActionType");
	const json_t *parameters = json_object_get(action, "ActionParameters");

	if (strcmp(type, ACTION_SESSION_TYPE) == 0)
		return session_type_read(out, parameters);
	if (strcmp(type, ACTION_KMS) == 0)
		return kms_read(out, parameters);
	return 0;
}

int ssm_handshake_request_read(struct ssm_request *out, const uint8_t *p, size_t len)
{
	json_t *root = ssm_json_load(p, len);
	struct ssm_request request = { 0 };
	const json_t *actions;
	int r = actions_get(&actions, root);

	text_copy(request.agent_version, sizeof(request.agent_version),
		  ssm_json_text(root, "AgentVersion"));
	for (size_t i = 0; r == 0 && i < json_array_size(actions); i++)
		r = action_read(&request, json_array_get(actions, i));
	json_decref(root);
	if (r < 0)
		ssm_request_fini(&request);
	else
		*out = request;
	return r;
}

void ssm_request_fini(struct ssm_request *r)
{
	free(r->properties_json);
	free(r->kms_key_id);
	free(r->challenge);
	*r = (struct ssm_request){ 0 };
}

/* ---- response, client ---- */

struct verdict {
	enum ssm_action_status status;
	const char *error;
	json_t *result; /* ActionResult, taken; NULL: null */
};

static struct verdict session_type_judge(const json_t *action, const struct ssm_kms_answer *kms)
{
	const char *name = ssm_json_text(json_object_get(action, "ActionParameters"),
					 "SessionType");

	(void)kms;
	for (size_t i = 0; i < ARRAY_LEN(session_types); i++)
		if (strcmp(session_types[i], name) == 0)
			return (struct verdict){ SSM_ACTION_SUCCESS, "", NULL };
	return (struct verdict){ SSM_ACTION_FAILED, "unknown session type", NULL };
}

static struct verdict kms_judge(const json_t *action, const struct ssm_kms_answer *kms)
{
	struct verdict v = { SSM_ACTION_UNSUPPORTED, "encryption is not supported", NULL };

	(void)action;
	if (!kms)
		return v;
	v.status = kms->status;
	v.error = kms->status == SSM_ACTION_SUCCESS ? "" : kms->error;
	if (kms->status != SSM_ACTION_SUCCESS)
		return v;
	v.result = json_pack("{s:o, s:n}", "KMSCipherTextKey",
			     ssm_json_of_bytes(kms->cipher_key, kms->cipher_len),
			     "KMSCipherTextHash");
	if (!v.result)
		return (struct verdict){ SSM_ACTION_FAILED, st_strerror(ST_ENOMEM), NULL };
	if (kms->challenge)
		json_object_set_new(v.result, "ChallengeAcknowledgement", json_true());
	return v;
}

static const struct {
	const char *type;
	struct verdict (*judge)(const json_t *action, const struct ssm_kms_answer *kms);
} judges[] = {
	{ ACTION_SESSION_TYPE, session_type_judge },
	{ ACTION_KMS, kms_judge },
};

static struct verdict action_judge(const json_t *action, const struct ssm_kms_answer *kms)
{
	const char *type = ssm_json_text(action, "ActionType");

	for (size_t i = 0; i < ARRAY_LEN(judges); i++)
		if (strcmp(judges[i].type, type) == 0)
			return judges[i].judge(action, kms);
	return (struct verdict){ SSM_ACTION_UNSUPPORTED, "unsupported action", NULL };
}

/* Appends the result of @action to @results. */
static int action_answer(char refused[SSM_VERSION_MAX], json_t *results, const json_t *action,
			 const struct ssm_kms_answer *kms)
{
	const char *type = ssm_json_text(action, "ActionType");
	struct verdict v = action_judge(action, kms);
	json_t *result;

	if (v.status != SSM_ACTION_SUCCESS && refused[0] == '\0')
		text_copy(refused, SSM_VERSION_MAX, type);
	result = json_pack("{s:s, s:i, s:o?, s:s}", "ActionType", type, "ActionStatus",
			   (int)v.status, "ActionResult", v.result, "Error", v.error);
	return json_array_append_new(results, result) == 0 ? 0 : ST_ENOMEM;
}

int ssm_handshake_answer(char **out, char refused[SSM_VERSION_MAX], const uint8_t *p, size_t len,
			 const char *client_version, const struct ssm_kms_answer *kms)
{
	json_t *request = ssm_json_load(p, len);
	json_t *results = json_array();
	const json_t *actions;
	int r = actions_get(&actions, request);

	refused[0] = '\0';
	for (size_t i = 0; r == 0 && i < json_array_size(actions); i++)
		r = action_answer(refused, results, json_array_get(actions, i), kms);
	if (r == 0)
		r = ssm_json_dump(out, json_pack("{s:s, s:O, s:n}", "ClientVersion", client_version,
						 "ProcessedClientActions", results, "Errors"));
	json_decref(results);
	json_decref(request);
	return r;
}

/* ---- response, agent ---- */

static int cipher_key_read(struct ssm_response *out, const json_t *result)
{
	const json_t *r = json_object_get(result, "ActionResult");
	ssize_t n;

	free(out->cipher_key);
	n = ssm_json_bytes(&out->cipher_key, r, "KMSCipherTextKey", SSM_CIPHER_KEY_MAX);
	out->cipher_len = n > 0 ? (size_t)n : 0;
	out->challenge = json_is_true(json_object_get(r, "ChallengeAcknowledgement"));
	return n == ST_EFULL ? ST_EFORMAT : (int)MIN(n, 0);
}

/* The words of the stock agent; 5.3 */
static int result_check(struct ssm_response *out, const json_t *result)
{
	const char *type = ssm_json_text(result, "ActionType");
	const json_t *status = json_object_get(result, "ActionStatus");

	if (!json_is_object(result) || !json_is_integer(status))
		return ST_EFORMAT;
	if (json_integer_value(status) != SSM_ACTION_SUCCESS) {
		snprintf(out->reason, sizeof(out->reason),
			 "%s failed on client with status %lld error: %s", type,
			 (long long)json_integer_value(status), ssm_json_text(result, "Error"));
		return ST_EPEER;
	}
	return strcmp(type, ACTION_KMS) == 0 ? cipher_key_read(out, result) : 0;
}

static int response_check(struct ssm_response *out, const json_t *response)
{
	const json_t *results = json_object_get(response, "ProcessedClientActions");
	int r = 0;

	if (results && !json_is_array(results) && !json_is_null(results))
		return ST_EFORMAT;
	for (size_t i = 0; r == 0 && i < json_array_size(results); i++)
		r = result_check(out, json_array_get(results, i));
	return r;
}

int ssm_handshake_response_read(struct ssm_response *out, const uint8_t *p, size_t len)
{
	json_t *response = ssm_json_load(p, len);
	int r;

	*out = (struct ssm_response){ 0 };
	if (!response)
		return ST_EFORMAT;
	text_copy(out->client_version, sizeof(out->client_version),
		  ssm_json_text(response, "ClientVersion"));
	r = response_check(out, response);
	json_decref(response);
	if (r < 0) {
		free(out->cipher_key);
		out->cipher_key = NULL;
		out->cipher_len = 0;
	}
	return r;
}

/* ---- the rest ---- */

int ssm_handshake_challenge_write(char **out, const uint8_t *p, size_t len)
{
	return ssm_json_dump(out, json_pack("{s:o}", "Challenge", ssm_json_of_bytes(p, len)));
}

ssize_t ssm_handshake_challenge_read(uint8_t **out, size_t max, const uint8_t *p, size_t len)
{
	json_t *root = ssm_json_load(p, len);
	ssize_t n = ssm_json_bytes(out, root, "Challenge", max);

	json_decref(root);
	return n == 0 ? ST_EFORMAT : n;
}

int ssm_handshake_complete_write(char **out, uint64_t took_ns, const char *customer_message)
{
	json_t *root = json_pack("{s:I, s:s}", "HandshakeTimeToComplete", (json_int_t)took_ns,
				 "CustomerMessage", customer_message);

	return root ? ssm_json_dump(out, root) : ST_EINVAL;
}

int ssm_handshake_complete_read(char customer_message[SSM_REASON_MAX], const uint8_t *p, size_t len)
{
	json_t *root = ssm_json_load(p, len);

	if (!root)
		return ST_EFORMAT;
	text_copy(customer_message, SSM_REASON_MAX, ssm_json_text(root, "CustomerMessage"));
	json_decref(root);
	return 0;
}

/* The service writes true as a text, some peers as a boolean. */
static bool is_true(const json_t *object, const char *key)
{
	return json_is_true(json_object_get(object, key)) ||
	       strcmp(ssm_json_text(object, key), "true") == 0;
}

struct ssm_properties ssm_properties_read(const char *json)
{
	json_t *root = json ? ssm_json_load((const uint8_t *)json, strlen(json)) : NULL;
	const struct ssm_properties out = {
		.local_forwarding = strcmp(ssm_json_text(root, "type"), "LocalPortForwarding") == 0,
		.separate_output = is_true(root, "separateOutputStream"),
	};

	json_decref(root);
	return out;
}

void ssm_closed_read(char output[SSM_REASON_MAX], const uint8_t *p, size_t len)
{
	json_t *root = ssm_json_load(p, len);

	text_copy(output, SSM_REASON_MAX, ssm_json_text(root, "Output"));
	json_decref(root);
}
