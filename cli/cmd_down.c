// SPDX-License-Identifier: MIT
/* cmd_down.c - `ssm-tun down` */
#include "cli/cli.h"

#include "daemon/daemon.h"

int cmd_down(const struct cli_args *a)
{
	if (a->name && !daemon_name_ok(a->name))
		return cli_bad_name(a->name);
	return daemon_down(a->name, a->crashed);
}
