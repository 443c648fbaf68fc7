// SPDX-License-Identifier: MIT
/*
 * ssm_open.c - see ssm_open.h
 *
 * Theory of operation: jansson copies the token; its copy is wiped as soon as the text is made.
 */
#include "proto/ssm_open.h"

#include "base/err.h"
#include "proto/ssm_handshake.h"
#include "proto/ssm_json.h"

#define SCHEMA "1.0"

static void member_wipe(const json_t *root, const char *key)
{
	json_t *value = json_object_get(root, key);

	/* jansson has no call for it; the string is the value's own */
	codec_wipe((void *)(uintptr_t)json_string_value(value), json_string_length(value));
}

int ssm_open_write(char **out, const struct ssm_open *o)
{
	const char *version = o->client_version ? o->client_version : SSM_CLIENT_VERSION;
	char id[CODEC_UUID_STR];
	json_t *root;
	int r;

	codec_uuid_str(id, o->request_id);
	if (o->role == SSM_ROLE_CLIENT)
		root = json_pack("{s:s, s:s, s:s, s:s, s:s}", "MessageSchemaVersion", SCHEMA,
				 "RequestId", id, "TokenValue", o->token, "ClientId", o->client_id,
				 "ClientVersion", version);
	else
		root = json_pack("{s:s, s:s, s:s, s:s, s:s}", "MessageSchemaVersion", SCHEMA,
				 "RequestId", id, "TokenValue", o->token, "ClientInstanceId",
				 o->client_id, "ClientId", "");
	if (!root)
		return ST_EINVAL;
	r = ssm_json_dump(out, json_incref(root));
	member_wipe(root, "TokenValue");
	json_decref(root);
	return r;
}

int ssm_session_state_write(char **out, const char *session_id, const char *state)
{
	json_t *root = json_pack("{s:i, s:s, s:s}", "SchemaVersion", 1, "SessionState", state,
				 "SessionId", session_id);

	return root ? ssm_json_dump(out, root) : ST_EINVAL;
}
