// SPDX-License-Identifier: MIT
/* cli_config.h - loading the configuration in a subcommand's own process */
#ifndef CLI_CLI_CONFIG_H
#define CLI_CLI_CONFIG_H

#include "cli/cli.h"

/** cli_load_config() - become the caller for good, then load; problems go to stderr
 * Return: exit status; with CLI_OK *@out is to be freed by cfg_free() */
int cli_load_config(const struct cli_args *args, struct config **out);

#endif
