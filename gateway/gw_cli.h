// SPDX-License-Identifier: MIT
/* gw_cli.h - the command line of ssm-tun-gateway */
#ifndef GATEWAY_GW_CLI_H
#define GATEWAY_GW_CLI_H

/** gw_cli_main() - Return: the exit status: 0 fine, 1 failed, 2 usage */
int gw_cli_main(int argc, char **argv);

#endif
