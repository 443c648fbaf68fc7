// SPDX-License-Identifier: MIT
/* gw_main.c - ssm-tun-gateway */
#include "gateway/gw_cli.h"

int main(int argc, char **argv)
{
	return gw_cli_main(argc, argv);
}
