// SPDX-License-Identifier: MIT
/* cli_test.c - durations, what the command line refuses and with which status, and what the programs of a login see */
#include "cli/cli.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
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
		{ { "doctor", NULL }, CLI_USAGE, "not yet supported" },
		{ { "up", "a b", NULL }, CLI_USAGE, "1 to 32" },
		{ { "up", "one", "two", NULL }, CLI_USAGE, "one word too many" },
		{ { "up", "--timeot=3", NULL }, CLI_USAGE, "did you mean timeout" },
		{ { "up", "--timeout", NULL }, CLI_USAGE, "lacks its value" },
		{ { "up", "--timeout=soon", NULL }, CLI_USAGE, "--timeout takes a duration" },
		{ { "up", "--json", NULL }, CLI_USAGE, "takes no such option" },
		{ { "up", "--partial=yes", NULL }, CLI_USAGE, "takes no value" },
		{ { "up", "--listen=127.0.0.1:1", NULL }, CLI_USAGE, "not yet supported" },
		{ { "up", "--system=x", NULL }, CLI_USAGE, "takes no value" },
		{ { "up", "-x", NULL }, CLI_USAGE, "unknown option" },
		{ { "up", "--crashed", NULL }, CLI_USAGE, "takes no such option" },
		{ { "down", "a b", "--crashed", NULL }, CLI_USAGE, "1 to 32" },
		{ { "status", "-d", NULL }, CLI_USAGE, "takes no such option" },
		{ { "up", "\x1b[31mred", NULL }, CLI_USAGE, "\\x1b[31mred" },
		{ { "login", "one", "two", NULL }, CLI_USAGE, "one word too many" },
		{ { "login", "one", "--profile", "two", NULL }, CLI_USAGE, "one word too many" },
		{ { "login", "--profile", NULL }, CLI_USAGE, "lacks its value" },
		{ { "login", "--target=x", NULL }, CLI_USAGE, "takes no such option" },
		{ { "login", "-h", NULL }, CLI_OK, "[PROFILE]" },
		{ { "config", "hide", NULL }, CLI_USAGE, "config show" },
		{ { "check", "--log-format=xml", NULL }, CLI_USAGE, "text or json" },
		{ { "explain", NULL }, CLI_USAGE, "HOST|IP" },
		{ { "reload", "a b", NULL }, CLI_USAGE, "1 to 32" },
		{ { "reload", "--json", NULL }, CLI_USAGE, "takes no such option" },
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

/* ---- login ---- */

/* @text in @folder, which a shell may run. */
static void file_write(const char *folder, const char *name, const char *text)
{
	char path[128];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	f = fopen(path, "w");
	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fchmod(fileno(f), 0700), 0);
	assert_int_equal(fclose(f), 0);
}

static void file_read_and_remove(const char *folder, const char *name, char *out, size_t cap)
{
	char path[128];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	f = fopen(path, "r");
	out[0] = 0;
	if (f) {
		out[fread(out, 1, cap - 1, f)] = 0;
		fclose(f);
	}
	unlink(path);
}

/* A login forbids dumps for its whole process: a child's. */
static int login(const char *folder, const char *profile)
{
	const char *const words[] = { "login", profile, NULL };
	char path[128], out[4096];
	int status = 0;
	pid_t pid = fork();

	if (pid == 0) {
		snprintf(path, sizeof(path), "%s/config", folder);
		setenv("AWS_CONFIG_FILE", path, 1);
		setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent/credentials", 1);
		setenv("AWS_SECRET_ACCESS_KEY", "PLANTED", 1);
		setenv("AWS_SESSION_TOKEN", "PLANTED", 1);
		setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "PLANTED", 1);
		setenv("HTTPS_PROXY", "http://me:PLANTED@proxy.test:8080", 1);
		unsetenv("SUDO_UID");
		status = run(words, out, sizeof(out));
		_exit(status ? status : strstr(out, "PLANTED") != NULL);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

/* The programs that a login starts see what leads to the files, and no secret. */
static void login_environment(void **state)
{
	char folder[] = "/tmp/cli-login-XXXXXX", text[512], seen[8192];

	(void)state;
	assert_non_null(mkdtemp(folder));
	snprintf(text, sizeof(text),
		 "#!/bin/sh\ntr '\\0' '\\n' </proc/$$/environ >%s/seen\necho '{\"Version\":1,"
		 "\"AccessKeyId\":\"AKID\",\"SecretAccessKey\":\"s\"}'\n",
		 folder);
	file_write(folder, "program", text);
	snprintf(text, sizeof(text), "[profile p]\ncredential_process = %s/program\n", folder);
	file_write(folder, "config", text);
	assert_int_equal(login(folder, "p"), 0);
	assert_int_equal(login(folder, "--profile=p"), 0);
	file_read_and_remove(folder, "seen", seen, sizeof(seen));
	file_read_and_remove(folder, "program", text, sizeof(text));
	file_read_and_remove(folder, "config", text, sizeof(text));
	assert_int_equal(rmdir(folder), 0);
	assert_non_null(strstr(seen, "AWS_CONFIG_FILE="));
	assert_null(strstr(seen, "PLANTED"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(durations),
		cmocka_unit_test(refusals),
		cmocka_unit_test(login_environment),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
