// SPDX-License-Identifier: MIT
/* cmd_config.c - `ssm-tun config show`, and loading a configuration as the caller */
#include "cli/cli.h"

#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/text.h"
#include "cli/cli_config.h"
#include "daemon/identity.h"

/* Under sudo the caller's rights are in force; root by itself reads as root. */
static int become_caller(struct identity *id)
{
	int r = identity_find(id, identity_needs_run_as() ? "root" : NULL);

	return r < 0 || geteuid() != 0 ? r : identity_assume(id, false);
}

int cli_load_config(const struct cli_args *a, struct config **out)
{
	struct identity id;
	int status = CLI_FAILED;

	if (become_caller(&id) < 0)
		return CLI_FAILED;
	struct cfg_report *report = calloc(1, sizeof(*report));
	const struct cfg_opts opts = {
		.path = a->config_path,
		.name = a->config_path ? NULL : a->name,
		.home = id.home,
		.xdg_config_home = identity_getenv(&id, "XDG_CONFIG_HOME"),
		.caller = id.uid,
		.flags = a->flags,
		.n_flags = a->n_flags,
	};

	if (report) {
		status = cfg_load(out, &opts, report) == 0 ? CLI_OK : CLI_FAILED;
		cfg_report_print(report, stderr);
	}
	free(report);
	identity_fini(&id);
	return status;
}

int cmd_config(const struct cli_args *a)
{
	struct cli_args args = *a;
	struct config *c = NULL;

	if (!a->name || strcmp(a->name, "show") != 0) {
		fputs("ssm-tun: usage: ssm-tun config show [-c FILE]\n", stderr);
		return CLI_USAGE;
	}
	args.name = NULL;
	int r = cli_load_config(&args, &c);
	if (r == CLI_OK)
		cfg_show(c, stdout);
	cfg_free(c);
	return r;
}
