// SPDX-License-Identifier: MIT
/* cli.h - the command line: one file a subcommand, one table of them */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include <stdbool.h>
#include <stddef.h>

#include "base/log.h"
#include "config/config.h"

/* Exit statuses; design, section 4. */
enum { CLI_OK = 0, CLI_FAILED = 1, CLI_USAGE = 2, CLI_NOT_RUNNING = 3 };

#define CLI_FLAGS_MAX 128U

/* What the command line said, whatever the subcommand; each checks that it takes what was given. */
struct cli_args {
	const char *name;	 /* the one positional argument; NULL: none */
	const char *config_path; /* -c, --config */
	bool detach, partial, no_wait, json, crashed;
	const char *timeout; /* --timeout, not yet parsed */
	enum log_level level;
	enum log_format format;
	struct cfg_flag flags[CLI_FLAGS_MAX];
	size_t n_flags;
};

/* Options that a subcommand takes, as bits. */
enum {
	CLI_TAKES_NAME = 1 << 0,
	CLI_TAKES_CONFIG = 1 << 1, /* -c and every flag of the configuration */
	CLI_TAKES_UP = 1 << 2,	   /* -d --partial --no-wait --timeout */
	CLI_TAKES_JSON = 1 << 3,
	CLI_TAKES_PROFILE =
		1 << 4, /* --profile X for the positional argument, as `aws sso login` has it */
	CLI_TAKES_DOWN = 1 << 5, /* --crashed */
};

struct cli_command {
	const char *name;
	const char *usage; /* what follows "ssm-tun NAME" */
	const char *help;  /* one line */
	unsigned takes;
	int (*run)(const struct cli_args *args); /* Return: exit status */
};

/** cli_commands() - the table, in the order of the help */
const struct cli_command *cli_commands(size_t *n);

/** cli_main() - parse, run. Return: exit status */
int cli_main(int argc, char **argv);

/** cli_duration_ms() - "60", "60s", "500ms", "2m", "1h" to *@out. Return: false if it is none or above 49 days */
bool cli_duration_ms(const char *text, uint32_t *out);

/** cli_bad_name() - says what an instance name may be. Return: CLI_USAGE */
int cli_bad_name(const char *name);

int cmd_up(const struct cli_args *args);
int cmd_down(const struct cli_args *args);
int cmd_status(const struct cli_args *args);
int cmd_reload(const struct cli_args *args);
int cmd_explain(const struct cli_args *args);
int cmd_check(const struct cli_args *args);
int cmd_config(const struct cli_args *args);
int cmd_login(const struct cli_args *args);
int cmd_version(const struct cli_args *args);
int cmd_help(const struct cli_args *args);

#endif
