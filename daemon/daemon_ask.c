// SPDX-License-Identifier: MIT
/* daemon_ask.c - finding a running daemon and asking it, for the subcommands */
#include "daemon/daemon.h"

#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "base/err.h"
#include "base/text.h"
#include "daemon/control.h"
#include "keeper/keeper.h"

#define ASK_TIMEOUT_MS 5000U
#define RELOAD_TIMEOUT_MS                                                                          \
	20000U /* ours: a reload asks the keeper, which gives the system's resolver 5 s each time */

bool daemon_name_ok(const char *name)
{
	return keep_name_ok(name);
}

int daemon_ask(char name[DAEMON_NAME_MAX + 1], const json_t *request, json_t **out, uid_t *owner)
{
	const char *cmd = json_string_value(json_object_get(request, "cmd"));
	char path[PATH_MAX];
	struct stat st;

	if (!name[0] && keep_first_name(name) < 0)
		text_copy(name, DAEMON_NAME_MAX + 1, DAEMON_NAME_DEFAULT);
	keep_path(path, sizeof(path), name, "control.sock");
	int r = control_ask(path, request,
			    cmd && strcmp(cmd, "reload") == 0 ? RELOAD_TIMEOUT_MS : ASK_TIMEOUT_MS,
			    out);
	if (r == ST_EPERM) {
		keep_path(path, sizeof(path), name, "");
		*owner = stat(path, &st) == 0 ? st.st_uid : (uid_t)-1;
	}
	return r;
}
