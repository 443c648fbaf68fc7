// SPDX-License-Identifier: MIT
/*
 * cli.c - the command line, parsed by tables
 *
 * Theory of operation: the first word is the subcommand. Options stand anywhere behind it, as --name VALUE or --name=VALUE;
 * one that is not in the table below is looked up among the configuration's flags, which the parser of the
 * configuration shares. What the subcommand does not take is a usage error, told with what is near.
 */
#include "cli/cli.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "base/util.h"

static const struct cli_command commands[] = {
	{ "up", "[NAME] [-c FILE] [--target i-… --route CIDR… --domain GLOB…] [--system] [-d]",
	  "start the tunnel", CLI_TAKES_NAME | CLI_TAKES_CONFIG | CLI_TAKES_UP, cmd_up },
	{ "down", "[NAME] [--crashed]", "end it and undo whatever a crash left; idempotent",
	  CLI_TAKES_NAME | CLI_TAKES_DOWN, cmd_down },
	{ "status", "[NAME] [--json]", "upstreams, sessions, flows, names, collisions",
	  CLI_TAKES_NAME | CLI_TAKES_JSON, cmd_status },
	{ "reload", "[NAME]",
	  "take the configuration anew: routes and names at once, live flows kept", CLI_TAKES_NAME,
	  cmd_reload },
	{ "explain", "HOST|IP[:PORT] [-c FILE] [--json]",
	  "which rule, upstream, session, resolver and kernel route, and why",
	  CLI_TAKES_NAME | CLI_TAKES_CONFIG | CLI_TAKES_JSON, cmd_explain },
	{ "login", "[PROFILE] [--json]",
	  "log in for an AWS profile: SSO by a page and a code, a role with MFA by its code",
	  CLI_TAKES_NAME | CLI_TAKES_PROFILE | CLI_TAKES_JSON, cmd_login },
	{ "check", "[-c FILE]",
	  "every problem of the configuration, and what collides with this machine",
	  CLI_TAKES_NAME | CLI_TAKES_CONFIG, cmd_check },
	{ "config", "show [-c FILE]", "the effective configuration and where each value came from",
	  CLI_TAKES_NAME | CLI_TAKES_CONFIG, cmd_config },
	{ "version", "", "print the version", 0, cmd_version },
	{ "help", "[COMMAND]", "this text", CLI_TAKES_NAME, cmd_help },
};

/* Subcommands of the design that a later version brings. */
static const char *const later[] = { "doctor", "flows" };

/* Options that are no keys of the configuration. */
enum opt {
	OPT_CONFIG,
	OPT_DETACH,
	OPT_PARTIAL,
	OPT_NO_WAIT,
	OPT_TIMEOUT,
	OPT_JSON,
	OPT_CRASHED,
	OPT_VERBOSE,
	OPT_QUIET,
	OPT_LOG_FORMAT,
	OPT_HELP
};

static const struct option_row {
	const char *name;
	char letter;
	bool value;
	unsigned takes; /* the subcommand must have one of these bits; 0: all have it */
	enum opt opt;
} options[] = {
	{ "config", 'c', true, CLI_TAKES_CONFIG, OPT_CONFIG },
	{ "detach", 'd', false, CLI_TAKES_UP, OPT_DETACH },
	{ "partial", 0, false, CLI_TAKES_UP, OPT_PARTIAL },
	{ "no-wait", 0, false, CLI_TAKES_UP, OPT_NO_WAIT },
	{ "timeout", 0, true, CLI_TAKES_UP, OPT_TIMEOUT },
	{ "json", 0, false, CLI_TAKES_JSON, OPT_JSON },
	{ "crashed", 0, false, CLI_TAKES_DOWN, OPT_CRASHED },
	{ "verbose", 'v', false, 0, OPT_VERBOSE },
	{ "quiet", 'q', false, 0, OPT_QUIET },
	{ "log-format", 0, true, 0, OPT_LOG_FORMAT },
	{ "help", 'h', false, 0, OPT_HELP },
};

struct parser {
	const struct cli_command *command;
	struct cli_args *args;
	char **argv;
	int argc, at;
	bool help;
};

const struct cli_command *cli_commands(size_t *n)
{
	*n = ARRAY_LEN(commands);
	return commands;
}

static int usage_error(const char *what, const char *word, const char *near)
{
	fprintf(stderr, "ssm-tun: %s: %s", what, text_safe(word).s);
	if (near)
		fprintf(stderr, "; did you mean %s?", near);
	fputs("\nTry: ssm-tun help\n", stderr);
	return CLI_USAGE;
}

int cli_bad_name(const char *name)
{
	return usage_error("a name has 1 to 32 of A-Z a-z 0-9 _ -", name, NULL);
}

bool cli_duration_ms(const char *text, uint32_t *out)
{
	static const struct {
		const char *unit;
		uint64_t ms;
	} units[] = { { "", 1000 }, { "s", 1000 }, { "ms", 1 }, { "m", 60000 }, { "h", 3600000 } };
	char *end;

	errno = 0;
	unsigned long long n = strtoull(text, &end, 10);
	if (errno || end == text || text[0] == '-')
		return false;
	for (size_t i = 0; i < ARRAY_LEN(units); i++) {
		if (strcmp(end, units[i].unit) != 0 || n > UINT32_MAX / units[i].ms)
			continue;
		*out = (uint32_t)(n * units[i].ms);
		return true;
	}
	return false;
}

static int set_log_format(struct cli_args *a, const char *value)
{
	if (strcmp(value, "json") == 0)
		a->format = LOG_JSON;
	else if (strcmp(value, "text") == 0)
		a->format = LOG_TEXT;
	else
		return usage_error("--log-format takes text or json", value, NULL);
	return CLI_OK;
}

static int apply(struct parser *p, enum opt opt, const char *value)
{
	struct cli_args *a = p->args;

	switch (opt) {
	case OPT_CONFIG: a->config_path = value; break;
	case OPT_DETACH: a->detach = true; break;
	case OPT_PARTIAL: a->partial = true; break;
	case OPT_NO_WAIT: a->no_wait = true; break;
	case OPT_TIMEOUT: a->timeout = value; break;
	case OPT_JSON: a->json = true; break;
	case OPT_CRASHED: a->crashed = true; break;
	case OPT_VERBOSE: a->level = a->level < LOG_DEBUG ? LOG_DEBUG : LOG_TRACE; break;
	case OPT_QUIET: a->level = LOG_WARN; break;
	case OPT_LOG_FORMAT: return set_log_format(a, value);
	case OPT_HELP: p->help = true; break;
	}
	return CLI_OK;
}

/* The value behind "=", or the next word. */
static int take_value(struct parser *p, const char *word, const char *inline_value,
		      const char **out)
{
	*out = inline_value;
	if (!*out && p->at + 1 < p->argc)
		*out = p->argv[++p->at];
	return *out ? CLI_OK : usage_error("an option lacks its value", word, NULL);
}

static int parse_config_flag(struct parser *p, const char *word, const char *name,
			     const char *inline_value)
{
	struct cli_args *a = p->args;
	bool list, not_yet;
	const char *value = NULL;

	if (!cfg_flag_known(name, &list, &not_yet)) {
		const char *names[ARRAY_LEN(options)];

		for (size_t i = 0; i < ARRAY_LEN(options); i++)
			names[i] = options[i].name;
		return usage_error("unknown option", word,
				   text_near(name, names, ARRAY_LEN(names)));
	}
	if (not_yet)
		return usage_error("not yet supported", word, NULL);
	if (strcmp(name, "profile") == 0 && (p->command->takes & CLI_TAKES_PROFILE)) {
		if (a->name)
			return usage_error("one word too many", word, NULL);
		return take_value(p, word, inline_value, &a->name);
	}
	if (!(p->command->takes & CLI_TAKES_CONFIG))
		return usage_error("this command takes no such option", word, NULL);
	int r = CLI_OK;
	if (cfg_flag_takes_value(name))
		r = take_value(p, word, inline_value, &value);
	else if (inline_value)
		r = usage_error("this option takes no value", word, NULL);
	if (r != CLI_OK)
		return r;
	if (a->n_flags == CLI_FLAGS_MAX)
		return usage_error("too many options", word, NULL);
	char *copy = strdup(name);
	if (!copy) {
		fputs("ssm-tun: out of memory\n", stderr);
		return CLI_FAILED;
	}
	a->flags[a->n_flags++] = (struct cfg_flag){ .name = copy, .value = value };
	return CLI_OK;
}

static int parse_row(struct parser *p, const struct option_row *row, const char *word,
		     const char *inline_value)
{
	const char *value = NULL;
	int r;

	if (row->takes && !(p->command->takes & row->takes))
		return usage_error("this command takes no such option", word, NULL);
	if (!row->value && inline_value)
		return usage_error("this option takes no value", word, NULL);
	if (row->value && (r = take_value(p, word, inline_value, &value)) != CLI_OK)
		return r;
	return apply(p, row->opt, value);
}

static int parse_long(struct parser *p, const char *word)
{
	char name[128];
	const char *eq = strchr(word, '=');
	size_t len = eq ? (size_t)(eq - word) - 2 : strlen(word) - 2;

	if (len >= sizeof(name))
		return usage_error("unknown option", word, NULL);
	memcpy(name, word + 2, len);
	name[len] = 0;
	for (size_t i = 0; i < ARRAY_LEN(options); i++)
		if (strcmp(options[i].name, name) == 0)
			return parse_row(p, &options[i], word, eq ? eq + 1 : NULL);
	return parse_config_flag(p, word, name, eq ? eq + 1 : NULL);
}

static int parse_short(struct parser *p, const char *word)
{
	for (const char *c = word + 1; *c; c++) {
		const struct option_row *row = NULL;
		int r;

		for (size_t i = 0; i < ARRAY_LEN(options) && !row; i++)
			if (options[i].letter == *c)
				row = &options[i];
		if (!row)
			return usage_error("unknown option", word, NULL);
		if (row->value)
			return parse_row(p, row, word, c[1] ? c + 1 : NULL);
		if ((r = parse_row(p, row, word, NULL)) != CLI_OK)
			return r;
	}
	return CLI_OK;
}

static int parse_word(struct parser *p, const char *word)
{
	if (strncmp(word, "--", 2) == 0 && word[2])
		return parse_long(p, word);
	if (word[0] == '-' && word[1])
		return parse_short(p, word);
	if (!(p->command->takes & CLI_TAKES_NAME) || p->args->name)
		return usage_error("one word too many", word, NULL);
	p->args->name = word;
	return CLI_OK;
}

static const struct cli_command *find_command(const char *word)
{
	if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)
		word = "help";
	if (strcmp(word, "--version") == 0)
		word = "version";
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		if (strcmp(commands[i].name, word) == 0)
			return &commands[i];
	return NULL;
}

static int unknown_command(const char *word)
{
	const char *names[ARRAY_LEN(commands)];

	for (size_t i = 0; i < ARRAY_LEN(later); i++)
		if (strcmp(later[i], word) == 0)
			return usage_error("not yet supported", word, NULL);
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		names[i] = commands[i].name;
	return usage_error("unknown command", word, text_near(word, names, ARRAY_LEN(names)));
}

int cli_main(int argc, char **argv)
{
	struct cli_args args = { .level = LOG_INFO, .format = LOG_TEXT };

	if (argc < 2) {
		cmd_help(&args);
		return CLI_USAGE;
	}
	struct parser p = { .args = &args, .argc = argc, .argv = argv, .at = 2 };
	if (!(p.command = find_command(argv[1])))
		return unknown_command(argv[1]);
	for (; p.at < argc; p.at++) {
		int r = parse_word(&p, argv[p.at]);

		if (r != CLI_OK)
			return r;
	}
	log_setup(args.level, args.format);
	if (p.help) {
		args.name = p.command->name;
		return cmd_help(&args);
	}
	return p.command->run(&args);
}
