// SPDX-License-Identifier: MIT
/* cmd_reload.c - `ssm-tun reload`: the running tunnel takes its file anew, or says why not */
#include <stdio.h>

#include "cli/cli_ask.h"

static void print_lines(const json_t *lines)
{
	for (size_t i = 0; i < json_array_size(lines); i++)
		fprintf(stderr, "%s\n", json_string_value(json_array_get(lines, i)));
}

int cmd_reload(const struct cli_args *a)
{
	char who[DAEMON_NAME_MAX + 1];
	json_t *request = json_pack("{s:s}", "cmd", "reload"), *answer = NULL;
	int r = cli_ask(a->name, request, &answer, who);

	json_decref(request);
	if (r != CLI_OK)
		return r;
	if (cli_bool(answer, "ok")) {
		print_lines(json_object_get(answer, "notes"));
		printf("%s: %s\n", who, cli_str(answer, "text"));
	} else {
		print_lines(json_object_get(answer, "problems"));
		fprintf(stderr, "ssm-tun: %s: %s\n", who, cli_str(answer, "error"));
		r = CLI_FAILED;
	}
	json_decref(answer);
	return r;
}
