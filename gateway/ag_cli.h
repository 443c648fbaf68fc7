// SPDX-License-Identifier: MIT
/* ag_cli.h - the command line of ssm-tun-agent, and its loop */
#ifndef GATEWAY_AG_CLI_H
#define GATEWAY_AG_CLI_H

/** ag_cli_main() - Return: the exit status: 0 fine, 1 failed, 2 usage */
int ag_cli_main(int argc, char **argv);

#endif
