// SPDX-License-Identifier: MIT
/* ag_main.c - ssm-tun-agent */
#include "gateway/ag_cli.h"

int main(int argc, char **argv)
{
	return ag_cli_main(argc, argv);
}
