// SPDX-License-Identifier: MIT
/* cmd_up.c - `ssm-tun up` */
#include "cli/cli.h"

#include <stdio.h>

#include "base/text.h"
#include "daemon/daemon.h"

int cmd_up(const struct cli_args *a)
{
	struct up_opts opts = {
		.name = a->name,
		.name_is_config = a->name && !a->config_path,
		.config_path = a->config_path,
		.flags = a->flags,
		.n_flags = a->n_flags,
		.detach = a->detach,
		.partial = a->partial,
		.no_wait = a->no_wait,
		.level = a->level,
		.format = a->format,
	};

	if (a->name && !daemon_name_ok(a->name))
		return cli_bad_name(a->name);
	if (a->timeout &&
	    (!cli_duration_ms(a->timeout, &opts.timeout_ms) || opts.timeout_ms == 0)) {
		fprintf(stderr, "ssm-tun: --timeout takes a duration such as 60s or 2m: %s\n",
			text_safe(a->timeout).s);
		return CLI_USAGE;
	}
	return daemon_up(&opts);
}
