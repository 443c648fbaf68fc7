// SPDX-License-Identifier: MIT
/* main.c - ssm-tun */
#include "cli/cli.h"

#include "base/fd.h"

int main(int argc, char **argv)
{
	return fd_open_std() ? cli_main(argc, argv) : CLI_FAILED;
}
