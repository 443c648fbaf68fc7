// SPDX-License-Identifier: MIT
/*
 * gw_content.c - what stands in a session document
 *
 * Theory of operation: one row a document: its session type, and its properties with {{ name }} where
 * the agent puts a parameter; the parameters with their defaults are those of gw_document. A command
 * runs as the agent's own unprivileged user (runAsElevated false); of a plain one the agent tells
 * standard error and exit status apart.
 */
#include "gateway/gw_content.h"

#include <string.h>

#include "base/util.h"
#include "gateway/gw_document.h"

#define FORWARD                                                                                    \
	"\"portNumber\":\"{{ portNumber }}\",\"type\":\"LocalPortForwarding\","                    \
	"\"localPortNumber\":\"{{ localPortNumber }}\""
#define COMMAND "\"commands\":\"{{ command }}\",\"runAsElevated\":false"
#define PLAIN COMMAND ",\"separateOutputStream\":true"

static const struct content {
	const char *name, *session_type;
	const char *properties; /* JSON; NULL: none */
} contents[] = {
	{ GW_DOC_SSH, "Port", "{\"portNumber\":\"{{ portNumber }}\"}" },
	{ GW_DOC_FORWARD, "Port", "{" FORWARD "}" },
	{ GW_DOC_FORWARD_HOST, "Port", "{" FORWARD ",\"host\":\"{{ host }}\"}" },
	{ GW_DOC_SHELL, "Standard_Stream", NULL },
	{ GW_DOC_COMMAND, "InteractiveCommands",
	  "{\"linux\":{" COMMAND "},\"macos\":{" COMMAND "},\"windows\":{" COMMAND "}}" },
	{ GW_DOC_COMMAND_PLAIN, "NonInteractiveCommands",
	  "{\"linux\":{" PLAIN "},\"macos\":{" PLAIN "},\"windows\":{" PLAIN "}}" },
};

/* {"portNumber": {"type": "String", "default": "22", "description": ""}} */
static json_t *parameters_make(const char *document)
{
	json_t *all = json_object();
	const char *name;

	for (size_t i = 0; (name = gw_document_param_name(document, i)); i++)
		json_object_set_new(all, name,
				    json_pack("{s:s, s:s*, s:s}", "type", "String", "default",
					      gw_document_param(document, NULL, name),
					      "description", ""));
	return all;
}

/* As the service sends them where an account has no preferences: no log, no KMS, no RunAs. */
static json_t *inputs_make(void)
{
	return json_pack("{s:s, s:s, s:b, s:s, s:b, s:s, s:b, s:s, s:{s:s, s:s}}", "s3BucketName",
			 "", "s3KeyPrefix", "", "s3EncryptionEnabled", 0, "cloudWatchLogGroupName",
			 "", "cloudWatchEncryptionEnabled", 0, "kmsKeyId", "", "runAsEnabled", 0,
			 "runAsDefaultUser", "", "shellProfile", "linux", "", "windows", "");
}

json_t *gw_content_make(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(contents); i++) {
		const struct content *c = &contents[i];

		if (strcmp(c->name, name) != 0)
			continue;
		return json_pack("{s:s, s:s, s:s, s:o, s:o, s:o*}", "schemaVersion", "1.0",
				 "description", "", "sessionType", c->session_type, "inputs",
				 inputs_make(), "parameters", parameters_make(name), "properties",
				 c->properties ? json_loads(c->properties, 0, NULL) : NULL);
	}
	return NULL;
}

json_t *gw_content_params(const json_t *params)
{
	json_t *out = json_object();
	const char *name;
	const json_t *v;

	json_object_foreach((json_t *)params, name, v)
		json_object_set(out, name, json_array_get(v, 0));
	return out;
}
