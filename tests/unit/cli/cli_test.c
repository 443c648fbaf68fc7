// SPDX-License-Identifier: MIT
/* cli_test.c - durations, and what the command line refuses and with which status */
#include "cli/cli.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static void durations(void **state)
{
	static const struct {
		const char *text;
		bool good;
		uint32_t ms;
	} cases[] = {
		{ "60", true, 60000 },	  { "60s", true, 60000 },
		{ "500ms", true, 500 },	  { "2m", true, 120000 },
		{ "1h", true, 3600000 },  { "", false, 0 },
		{ "s", false, 0 },	  { "-1s", false, 0 },
		{ "1x", false, 0 },	  { "1s ", false, 0 },
		{ "1000000h", false, 0 }, { "99999999999999999999", false, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		uint32_t ms = 0;

		assert_int_equal(cli_duration_ms(cases[i].text, &ms), cases[i].good);
		if (cases[i].good)
			assert_int_equal(ms, cases[i].ms);
	}
}

#define WORDS_MAX 6

/* stderr and stdout of cli_main() go to a file; its text is returned. */
static int run(const char *const *words, char *out, size_t cap)
{
	char *argv[WORDS_MAX + 2] = { strdup("ssm-tun") };
	FILE *f = tmpfile();
	int argc = 1, saved[2] = { dup(1), dup(2) };

	assert_non_null(f);
	while (words[argc - 1]) {
		argv[argc] = strdup(words[argc - 1]);
		argc++;
	}
	fflush(stdout);
	dup2(fileno(f), 1);
	dup2(fileno(f), 2);
	int status = cli_main(argc, argv);
	fflush(stdout);
	dup2(saved[0], 1);
	dup2(saved[1], 2);
	close(saved[0]);
	close(saved[1]);
	rewind(f);
	out[fread(out, 1, cap - 1, f)] = 0;
	fclose(f);
	for (int i = 0; i < argc; i++)
		free(argv[i]);
	return status;
}

static void refusals(void **state)
{
	static const struct {
		const char *words[WORDS_MAX];
		int status;
		const char *says;
	} cases[] = {
		{ { NULL }, CLI_USAGE, "ssm-tun up" },
		{ { "upp", NULL }, CLI_USAGE, "did you mean up" },
		{ { "reload", NULL }, CLI_USAGE, "not yet supported" },
		{ { "up", "a b", NULL }, CLI_USAGE, "1 to 32" },
		{ { "up", "one", "two", NULL }, CLI_USAGE, "one word too many" },
		{ { "up", "--timeot=3", NULL }, CLI_USAGE, "did you mean timeout" },
		{ { "up", "--timeout", NULL }, CLI_USAGE, "lacks its value" },
		{ { "up", "--timeout=soon", NULL }, CLI_USAGE, "--timeout takes a duration" },
		{ { "up", "--json", NULL }, CLI_USAGE, "takes no such option" },
		{ { "up", "--partial=yes", NULL }, CLI_USAGE, "takes no value" },
		{ { "up", "--domain=*.x", NULL }, CLI_USAGE, "not yet supported" },
		{ { "up", "-x", NULL }, CLI_USAGE, "unknown option" },
		{ { "status", "-d", NULL }, CLI_USAGE, "takes no such option" },
		{ { "up", "\x1b[31mred", NULL }, CLI_USAGE, "\\x1b[31mred" },
		{ { "login", "one", "two", NULL }, CLI_USAGE, "one word too many" },
		{ { "login", "--target=x", NULL }, CLI_USAGE, "takes no such option" },
		{ { "login", "-h", NULL }, CLI_OK, "[PROFILE]" },
		{ { "config", "hide", NULL }, CLI_USAGE, "config show" },
		{ { "check", "--log-format=xml", NULL }, CLI_USAGE, "text or json" },
		{ { "version", NULL }, CLI_OK, "ssm-tun " SSM_TUN_VERSION },
		{ { "--version", NULL }, CLI_OK, "ssm-tun " },
		{ { "help", NULL }, CLI_OK, "ssm-tun status" },
		{ { "help", "up", NULL }, CLI_OK, "--detach" },
		{ { "up", "-h", NULL }, CLI_OK, "--detach" },
		{ { "help", "nothing", NULL }, CLI_USAGE, "there is no command" },
	};
	char out[16384];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		int status = run(cases[i].words, out, sizeof(out));

		if (status != cases[i].status || !strstr(out, cases[i].says))
			fail_msg("case %zu (%s): status %d, output: %s", i,
				 cases[i].words[0] ? cases[i].words[0] : "", status, out);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(durations),
		cmocka_unit_test(refusals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
