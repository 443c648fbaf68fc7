// SPDX-License-Identifier: MIT
/* ssm_open.c - see ssm_open.h */
#include "proto/ssm_open.h"

#include "base/err.h"
#include "proto/ssm_handshake.h"
#include "proto/ssm_json.h"

#define SCHEMA "1.0"

int ssm_open_write(char **out, const struct ssm_open *o)
{
	const char *version = o->client_version ? o->client_version : SSM_CLIENT_VERSION;
	char id[CODEC_UUID_STR];
	json_t *root;

	codec_uuid_str(id, o->request_id);
	if (o->role == SSM_ROLE_CLIENT)
		root = json_pack("{s:s, s:s, s:s, s:s, s:s}", "MessageSchemaVersion", SCHEMA,
				 "RequestId", id, "TokenValue", o->token, "ClientId", o->client_id,
				 "ClientVersion", version);
	else
		root = json_pack("{s:s, s:s, s:s, s:s, s:s}", "MessageSchemaVersion", SCHEMA,
				 "RequestId", id, "TokenValue", o->token, "ClientInstanceId",
				 o->client_id, "ClientId", "");
	return root ? ssm_json_dump(out, root) : ST_EINVAL;
}

int ssm_session_state_write(char **out, const char *session_id, const char *state)
{
	json_t *root = json_pack("{s:i, s:s, s:s}", "SchemaVersion", 1, "SessionState", state,
				 "SessionId", session_id);

	return root ? ssm_json_dump(out, root) : ST_EINVAL;
}
