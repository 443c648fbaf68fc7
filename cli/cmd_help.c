// SPDX-License-Identifier: MIT
/* cmd_help.c - `ssm-tun help` and `ssm-tun version` */
#include "cli/cli.h"

#include <stdio.h>
#include <string.h>

#include "base/text.h"

static void print_all(void)
{
	size_t n;
	const struct cli_command *c = cli_commands(&n);

	puts("ssm-tun: private VPC networks for every program on this machine, over AWS Session "
	     "Manager\n");
	for (size_t i = 0; i < n; i++)
		printf("  ssm-tun %s %s\n      %s\n", c[i].name, c[i].usage, c[i].help);
	puts("\nEverywhere: -v (twice for more), -q, --log-format text|json, --help");
	puts("Details: man ssm-tun, man ssm-tun.yaml");
}

static int print_one(const char *name)
{
	size_t n;
	const struct cli_command *c = cli_commands(&n);

	for (size_t i = 0; i < n; i++) {
		if (strcmp(c[i].name, name) != 0)
			continue;
		printf("ssm-tun %s %s\n    %s\n", c[i].name, c[i].usage, c[i].help);
		if (c[i].takes & CLI_TAKES_UP)
			puts("\n  -d, --detach     return once the tunnel is really up\n"
			     "  --partial        come up even if an upstream fails for good\n"
			     "  --no-wait        fail instead of waiting for a login\n"
			     "  --timeout T      bound all of start: 60s, 2m");
		if (c[i].takes & CLI_TAKES_JSON)
			puts("\n  --json           JSON on stdout, one object a line");
		if (c[i].takes & CLI_TAKES_CONFIG) {
			puts("\n  -c, --config FILE\n");
			cfg_flags_help(stdout);
		}
		return CLI_OK;
	}
	fprintf(stderr, "ssm-tun: there is no command %s\n", text_safe(name).s);
	return CLI_USAGE;
}

int cmd_help(const struct cli_args *a)
{
	if (a->name)
		return print_one(a->name);
	print_all();
	return CLI_OK;
}

int cmd_version(const struct cli_args *a)
{
	(void)a;
	puts("ssm-tun " SSM_TUN_VERSION);
	return CLI_OK;
}
