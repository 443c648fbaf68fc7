// SPDX-License-Identifier: MIT
/* cli_ask.c - asking the running daemon */
#include "cli/cli_ask.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/text.h"

const char *cli_str(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

json_int_t cli_num(const json_t *o, const char *key)
{
	return json_integer_value(json_object_get(o, key));
}

bool cli_bool(const json_t *o, const char *key)
{
	return json_is_true(json_object_get(o, key));
}

void cli_print_json(const json_t *o)
{
	json_dumpf(o, stdout, JSON_COMPACT);
	putchar('\n');
}

int cli_ask(const char *name, const json_t *request, json_t **out, char who[DAEMON_NAME_MAX + 1])
{
	uid_t owner = 0;
	int r;

	*out = NULL;
	who[0] = 0;
	if (name && !daemon_name_ok(name))
		return cli_bad_name(name);
	if (name)
		text_copy(who, DAEMON_NAME_MAX + 1, name);
	r = daemon_ask(who, request, out, &owner);
	if (r == 0)
		return CLI_OK;
	if (r == ST_ENOENT) {
		fprintf(stderr, "ssm-tun: %s is not running\n", who);
		return CLI_NOT_RUNNING;
	}
	if (r == ST_EPERM)
		fprintf(stderr,
			"ssm-tun: %s belongs to user id %d: only that user and root may ask it\n",
			who, (int)owner);
	else
		fprintf(stderr, "ssm-tun: %s does not answer: %s\n", who, st_strerror(r));
	return CLI_FAILED;
}
