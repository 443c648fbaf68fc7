// SPDX-License-Identifier: MIT
/* cmd_check.c - `ssm-tun check`: the configuration with the caller's rights, every problem at once, and what collides with this machine */
#include "cli/cli.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "cli/cli_config.h"
#include "daemon/daemon.h"

int cmd_check(const struct cli_args *a)
{
	struct config *c = NULL;
	int r = cli_load_config(a, &c);

	if (r == CLI_OK) {
		daemon_check_host(c, stderr);
		printf("%s: ok, %zu upstreams, %zu routes\n", c->file ? c->file : "flags",
		       c->n_upstreams, c->n_routes);
	}
	cfg_free(c);
	return r;
}
