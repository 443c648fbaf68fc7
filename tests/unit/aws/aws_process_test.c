// SPDX-License-Identifier: MIT
/*
 * aws_process_test.c - credential_process, run by a real runner process
 *
 * Cases: words as botocore splits them, on a table and on 3000 random lines, and their limits; keys with and without token and
 * Expiration; the profile's place in the chain; every way to fail: no program, no permission, not executable, exit status, signal,
 * no JSON, no object, versions, missing and odd members, too much output, expired; stderr made safe and cut, stdout never shown;
 * a process that hangs with children of its own: all gone at the deadline, and when the account goes; one that leaves a child behind;
 * stdin, terminal, environment, descriptors, arguments; kept until shortly before the end, once for all who wait, dropped when
 * refused, still used while renewing fails; without Expiration kept too, for a while.
 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>

#include "base/codec.h"
#include "base/log.h"
#include "runner/runner.h"
#include <sys/stat.h>

#include "tests/unit/aws/aws_fixture.h"

#define WAIT_MS 10000
#define GOOD "{\"Version\":1,\"AccessKeyId\":\"K\",\"SecretAccessKey\":\"s\"}"

static const struct aws_account_opts none = { 0 };

/* ---- words ---- */

static const char *const lines[] = {
	"a",
	"a b  c",
	"  a\tb  ",
	"",
	"   ",
	"'a b' c",
	"\"a b\" c",
	"a'b'\"c\"d",
	"''",
	"\"\"",
	"'' a \"\"",
	"a\\ b",
	"\\a",
	"\\\\",
	"\"\\a\"",
	"\"\\\"\"",
	"\"\\\\\"",
	"'\\'",
	"'\\a'",
	"a\\",
	"\"a",
	"'a",
	"\"a\\",
	"'it'\\''s'",
	"a#b #c",
	"$HOME `x` *",
	"a;b|c>d",
	"\"a'b\" 'c\"d'",
	"/opt/x --name \"a b\" --flag='c d'",
	"\xc3\xa4 '\xc3\xb6'",
};

static void line_random(char out[32])
{
	static const char letters[] = "ab  \t'\"\\#$";
	size_t n = (size_t)rand() % 12;

	for (size_t i = 0; i < n; i++)
		out[i] = letters[(size_t)rand() % (sizeof(letters) - 1)];
	out[n] = '\0';
}

/* What we make of @line in the oracle's form. */
static void line_split(char out[256], const char *line)
{
	char *words[64], *room = malloc(strlen(line) + 1);
	const char *why;
	int n;

	assert_non_null(room);
	n = aws_words_split(words, ARRAY_LEN(words), room, line, &why);
	if (n < 0)
		snprintf(out, 256, "- %s", why);
	else
		snprintf(out, 256, "%d ", n);
	for (int i = 0; i < n; i++)
		snprintf(out + strlen(out), 256 - strlen(out), "%s%s", i ? "|" : "", words[i]);
	free(room);
}

static void test_words(void **state)
{
	const struct fx *f = *state;
	char path[128], command[256], line[256], theirs[256], ours[256];
	FILE *file, *oracle;

	snprintf(path, sizeof(path), "%s/lines", f->home);
	file = fopen(path, "w+");
	assert_non_null(file);
	for (size_t i = 0; i < ARRAY_LEN(lines); i++)
		assert_true(fprintf(file, "%s\n", lines[i]) > 0);
	srand(4);
	for (size_t i = 0; i < 3000; i++) {
		line_random(line);
		assert_true(fprintf(file, "%s\n", line) > 0);
	}
	assert_int_equal(fflush(file), 0);
	rewind(file);
	snprintf(command, sizeof(command), "/usr/bin/python3 tests/unit/aws/words_oracle.py %s",
		 path);
	oracle = popen(command, "r");
	assert_non_null(oracle);
	for (size_t i = 0; i < ARRAY_LEN(lines) + 3000; i++) {
		assert_non_null(fgets(line, sizeof(line), file));
		line[strcspn(line, "\n")] = '\0';
		assert_non_null(fgets(theirs, sizeof(theirs), oracle));
		theirs[strcspn(theirs, "\n")] = '\0';
		line_split(ours, line);
		assert_string_equal(ours, theirs);
	}
	fclose(file);
	assert_int_equal(pclose(oracle), 0);
}

static void test_words_limits(void **state)
{
	char *words[3], room[16];
	const char *why = NULL;

	(void)state;
	assert_int_equal(aws_words_split(words, 3, room, "a\nb\r\nc", &why), 3);
	assert_string_equal(words[2], "c");
	assert_int_equal(aws_words_split(words, 3, room, "a b c d", &why), ST_EFULL);
	assert_non_null(why);
	assert_int_equal(aws_words_split(words, 3, room, "a b c ", &why), 3);
}

/* ---- a process ---- */

struct rig {
	struct fx *f;
	struct runner *runner;
	int pid;
};
static struct rig rig;

static int rig_run(void *ctx, handle *out, enum svc_job_kind kind, const void *in, size_t len,
		   uint32_t timeout_ms, svc_done_fn *done, void *arg)
{
	struct fx *f = ctx;

	f->jobs[kind]++;
	return run_start(rig.runner, out, kind, in, len, timeout_ms, done, arg);
}

static void rig_cancel(void *ctx, handle job)
{
	struct fx *f = ctx;

	f->cancels++;
	run_cancel(rig.runner, job);
}

static int rig_setup(void **state)
{
	static const struct run_kind kinds[SVC_JOB_N] = {
		[SVC_AWS_PROCESS] = { .name = "credential_process", .fn = aws_process_job },
	};
	static const char *const env[] = { "AWS_PROFILE=of-the-caller", NULL };
	const struct run_identity id = {
		.uid = getuid(), .gid = getgid(), .home = "/home/of-the-caller", .env = env
	};
	int fd;

	if (run_fork(&fd, &rig.pid, &id, kinds, SVC_JOB_N) < 0 || fx_setup(state) != 0)
		return -1;
	rig.f = *state;
	rig.f->svc.run = rig_run;
	rig.f->svc.cancel = rig_cancel;
	return run_new(&rig.runner, rig.f->loop, fd);
}

static int rig_teardown(void **state)
{
	int status;

	run_free(rig.runner);
	assert_int_equal(waitpid(rig.pid, &status, 0), rig.pid);
	return fx_teardown(state);
}

/* A program of the profile "default": @body of a shell script, run with the home as its argument. */
static void program_set(const struct fx *f, const char *body)
{
	char text[2048], path[128];

	snprintf(text, sizeof(text), "#!/bin/sh\n%s\n", body);
	fx_write(f, "program", text);
	snprintf(path, sizeof(path), "%s/.aws/program", f->home);
	assert_int_equal(chmod(path, 0700), 0);
	snprintf(text, sizeof(text), "[default]\ncredential_process = %s %s\n", path, f->home);
	fx_write(f, "config", text);
}

static void expect_found(struct fx *f, struct aws_account *acc, const char *refused,
			 const char *key, const char *token)
{
	struct aws_creds c;
	struct aws_error e;

	if (fx_get(f, acc, refused, &c, &e) < 0)
		fail_msg("%s; %s", e.text, e.hint);
	assert_string_equal(c.access_key, key);
	assert_string_equal(c.secret_key, "s");
	assert_string_equal(c.source, "custom-process");
	if (token)
		assert_string_equal(c.token, token);
	else
		assert_null(c.token);
	aws_creds_wipe(&c);
}

static void expect_once(struct fx *f, const char *body, const char *key, const char *token)
{
	struct aws_account *acc;

	program_set(f, body);
	assert_int_equal(aws_account_new(&acc, f->aws, &none), 0);
	expect_found(f, acc, NULL, key, token);
	aws_account_free(acc);
}

static void expect_error(struct fx *f, const char *text)
{
	struct aws_creds c;
	struct aws_error e;

	assert_int_equal(fx_find(f, &none, &c, &e), ST_EAUTH);
	if (!strstr(e.text, text))
		fail_msg("\n%s\nlacks\n%s", e.text, text);
	assert_non_null(strstr(e.hint, "profile default"));
	assert_null(strstr(e.text, "SECRET"));
	assert_null(strstr(e.hint, "SECRET"));
	assert_null(strchr(e.text, '\n'));
	assert_true(e.person);
}

static void test_good(void **state)
{
	struct fx *f = *state;

	expect_once(f, "echo '" GOOD "'", "K", NULL);
	expect_once(f,
		    "echo '{\"Version\": 1, \"AccessKeyId\": \"K2\", \"SecretAccessKey\": \"s\","
		    " \"SessionToken\": \"T\", \"Expiration\": \"2999-01-01T00:00:00Z\"}'",
		    "K2", "T");
	/* null and "" are none; what else is in there does not matter */
	expect_once(f,
		    "echo '{\"Version\":1.0,\"AccessKeyId\":\"K3\",\"SecretAccessKey\":\"s\","
		    "\"SessionToken\":null,\"Expiration\":null,\"AccountId\":\"1\"}'; echo x >&2",
		    "K3", NULL);
}

static void test_order(void **state)
{
	struct fx *f = *state;
	struct aws_creds c;
	struct aws_error e;
	char text[512];

	program_set(f, "echo '" GOOD "'");
	snprintf(text, sizeof(text),
		 "[default]\ncredential_process = %s/.aws/program\naws_access_key_id = FILE\n"
		 "aws_secret_access_key = s\n",
		 f->home);
	fx_write(f, "config", text);
	assert_int_equal(fx_find(f, &none, &c, &e), 0);
	assert_string_equal(c.source, "custom-process");
	aws_creds_wipe(&c);
	fx_write(f, "credentials", "[default]\naws_access_key_id=C\naws_secret_access_key=s\n");
	assert_int_equal(fx_find(f, &none, &c, &e), 0);
	assert_string_equal(c.source, "shared-credentials-file");
	aws_creds_wipe(&c);
	/* the credentials file may name one too, and comes first */
	snprintf(text, sizeof(text), "[default]\ncredential_process = %s/.aws/program\n", f->home);
	fx_write(f, "credentials", text);
	fx_write(f, "config", "[default]\ncredential_process = /nowhere\n");
	assert_int_equal(fx_find(f, &none, &c, &e), 0);
	assert_string_equal(c.source, "custom-process");
	aws_creds_wipe(&c);
}

#define RETRIEVING "Error when retrieving credentials from custom-process: "

static void test_bad(void **state)
{
	static const struct {
		const char *body, *text;
	} cases[] = {
		{ "echo 'no luck' >&2; exit 3", RETRIEVING "it ended with exit status 3: no luck" },
		{ "echo SECRET; exit 1",
		  RETRIEVING "it ended with exit status 1 and no word on stderr" },
		{ "printf 'a\\n\\n  b\\033[31m\\\\\\n' >&2; exit 1",
		  "status 1: a b\\x1b[31m\\x5c" },
		{ "kill -TERM $$", RETRIEVING "it was ended by signal 15 (Terminated)" },
		{ "echo why >&2; kill -KILL $$", "ended by signal 9 (Killed): why" },
		{ "", RETRIEVING "its output is no JSON (line 1, column 0)" },
		{ "echo SECRET", RETRIEVING "its output is no JSON (line 1, column " },
		{ "echo '" GOOD " SECRET'", "its output is no JSON (line 1," },
		{ "echo '[\"SECRET\"]'", RETRIEVING "its output is JSON, but no object" },
		{ "echo '{}'", RETRIEVING
		  "Unsupported version '<Version key not provided>' for credential process "
		  "provider, supported versions: 1" },
		{ "echo '{\"Version\":2}'", "Unsupported version '2'" },
		{ "echo '{\"Version\":\"1\"}'", "Unsupported version '\"1\"'" },
		{ "echo '{\"Version\":1}'",
		  RETRIEVING "Missing required key in response: 'AccessKeyId'" },
		{ "echo '{\"Version\":1,\"AccessKeyId\":\"SECRET\"}'",
		  "Missing required key in response: 'SecretAccessKey'" },
		{ "echo '{\"Version\":1,\"AccessKeyId\":5,\"SecretAccessKey\":\"SECRET\"}'",
		  "Missing required key in response: 'AccessKeyId'" },
		{ "echo '{\"Version\":1,\"AccessKeyId\":\"K\",\"SecretAccessKey\":\"SECRET "
		  "X\"}'",
		  "the answer of custom-process hold blanks" },
		{ "echo '{\"Version\":1,\"AccessKeyId\":\"K\",\"SecretAccessKey\":\"SECRET\","
		  "\"Expiration\":\"soon\"}'",
		  RETRIEVING "Expiration is no ISO 8601 time: soon" },
		{ "echo '{\"Version\":1,\"AccessKeyId\":\"K\",\"SecretAccessKey\":\"SECRET\","
		  "\"Expiration\":\"2020-01-01T00:00:00Z\"}'",
		  "Credentials were refreshed, but the refreshed credentials are still expired: "
		  "custom-process gave what ended at 2020-01-01T00:00:00Z" },
		{ "head -c 300000 /dev/zero; sleep 60",
		  RETRIEVING "it wrote more than any credentials are" },
	};
	struct fx *f = *state;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		program_set(f, cases[i].body);
		expect_error(f, cases[i].text);
	}
}

/* Of much on stderr the end is told. */
static void test_noise(void **state)
{
	struct fx *f = *state;
	struct aws_creds c;
	struct aws_error e;

	program_set(f, "seq 100000 >&2; exit 1");
	assert_int_equal(fx_find(f, &none, &c, &e), ST_EAUTH);
	assert_non_null(strstr(e.text, "99999 100000"));
	assert_null(strstr(e.text, "99000 "));
	expect_once(f, "seq 100000 >&2; echo '" GOOD "'", "K", NULL);
}

static void test_no_program(void **state)
{
	static const struct {
		const char *command, *text;
	} cases[] = {
		{ "/nowhere/program x", RETRIEVING "/nowhere/program: No such file or directory" },
		{ "no-such-program-anywhere",
		  "no-such-program-anywhere: No such file or directory: not in PATH, which is /" },
		{ "/etc", RETRIEVING "/etc: " },
		{ "/proc/version x", RETRIEVING "/proc/version: Permission denied" },
		{ "''", RETRIEVING },
		{ "/bin/echo 'open", RETRIEVING "No closing quotation" },
		{ "/bin/echo \\", RETRIEVING "No escaped character" },
	};
	struct fx *f = *state;
	char text[256];

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		snprintf(text, sizeof(text), "[default]\ncredential_process = %s\n",
			 cases[i].command);
		fx_write(f, "config", text);
		expect_error(f, cases[i].text);
	}
}

/* The other end of a FIFO that processes of the case hold open for writing. */
static int fifo_open(const struct fx *f)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/fifo", f->home);
	assert_int_equal(mkfifo(path, 0600), 0);
	fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

/* Its end: all who held it are gone. */
static void fifo_expect_end(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	char bytes[64];
	ssize_t n;

	do {
		assert_int_equal(poll(&p, 1, WAIT_MS), 1);
		n = read(fd, bytes, sizeof(bytes));
	} while (n > 0);
	assert_int_equal(n, 0);
	close(fd);
}

#define HANGS "exec 3>$1/fifo; echo up >&3; sleep 1000 & sleep 1000 & echo SECRET; wait"

static void test_hangs(void **state)
{
	struct fx *f = *state;
	int fifo = fifo_open(f);

	f->aws->limits.process_ms = 1000;
	program_set(f, HANGS);
	expect_error(f, RETRIEVING "it did not end within 1 s and was killed");
	fifo_expect_end(fifo);
}

static void on_up(void *arg, uint32_t events, uint64_t now_ms)
{
	(void)events;
	(void)now_ms;
	loop_stop(arg);
}

static void on_creds_never(void *arg, const struct aws_error *error, const struct aws_creds *c)
{
	(void)arg;
	(void)error;
	(void)c;
	fail_msg("the account has gone");
}

static void test_account_goes(void **state)
{
	struct fx *f = *state;
	int fifo = fifo_open(f);
	struct aws_account *acc;
	loop_watch watch;
	handle wait;

	program_set(f, HANGS);
	assert_int_equal(aws_account_new(&acc, f->aws, &none), 0);
	assert_int_equal(aws_chain_get(acc, &wait, NULL, on_creds_never, NULL), 0);
	assert_int_equal(loop_fd_add(f->loop, &watch, fifo, EPOLLIN, on_up, f->loop), 0);
	assert_int_equal(loop_run(f->loop), 0); /* it is up */
	loop_fd_del(f->loop, &watch);
	aws_account_free(acc);
	assert_int_equal(f->cancels, 1);
	fifo_expect_end(fifo);
}

/* A child that is left behind holds stdout and stderr: neither waits the answer for it, nor does it stay. */
static void test_leaves_child(void **state)
{
	struct fx *f = *state;
	int fifo = fifo_open(f);

	expect_once(f, "exec 3>$1/fifo; sleep 1000 & echo '" GOOD "'", "K", NULL);
	fifo_expect_end(fifo);
}

static void read_home(const struct fx *f, const char *name, char *out, size_t cap)
{
	char path[128];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "%s/%s", f->home, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	n = read(fd, out, cap - 1);
	assert_true(n >= 0);
	out[n] = '\0';
	close(fd);
}

static void test_surroundings(void **state)
{
	struct fx *f = *state;
	char text[4096];

	/* what a process of its own sees; ls has one descriptor more, for the folder */
	expect_once(f,
		    "env >$1/env; ls /proc/self/fd | wc -l >$1/fds; read x && echo stdin >$1/in; "
		    "(exec 4<>/dev/tty) 2>$1/tty; cat /proc/$$/cmdline >$1/argv; echo '" GOOD "'",
		    "K", NULL);
	read_home(f, "env", text, sizeof(text));
	assert_non_null(strstr(text, "HOME=/home/of-the-caller\n"));
	assert_non_null(strstr(text, "AWS_PROFILE=of-the-caller\n"));
	assert_non_null(strstr(text, "PATH=/"));
	assert_null(strstr(text, "CMOCKA"));
	assert_null(strstr(text, "DEBUG"));
	read_home(f, "fds", text, sizeof(text));
	assert_int_equal(atoi(text), 4);
	read_home(f, "tty", text, sizeof(text));
	assert_non_null(strstr(text, "/dev/tty"));
	snprintf(text, sizeof(text), "%s/in", f->home);
	assert_int_equal(access(text, F_OK), -1);
}

/* ---- what is kept ---- */

/* Counts its runs; the time of the end is the second argument's offset from now. */
static void counter_set(const struct fx *f, int lives_s)
{
	char body[512], until[AWS_TIME_STR];

	aws_time_print(until, (int64_t)time(NULL) + lives_s);
	snprintf(body, sizeof(body),
		 "echo x >>$1/runs; n=$(wc -l <$1/runs); [ -e $1/broken ] && exit 7\n"
		 "echo '{\"Version\":1,\"AccessKeyId\":\"K'$n'\",\"SecretAccessKey\":\"s\"%s%s%s}'",
		 lives_s ? ",\"Expiration\":\"" : "", lives_s ? until : "", lives_s ? "\"" : "");
	program_set(f, body);
}

static void home_touch(const struct fx *f, const char *name)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", f->home, name);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	close(fd);
}

static void test_kept(void **state)
{
	struct fx *f = *state;
	struct aws_account *acc;
	struct aws_creds c;
	struct aws_error e;

	counter_set(f, 3600);
	assert_int_equal(aws_account_new(&acc, f->aws, &none), 0);
	expect_found(f, acc, NULL, "K1", NULL);
	expect_found(f, acc, NULL, "K1", NULL);
	expect_found(f, acc, "K0", "K1", NULL); /* an older one was refused */
	expect_found(f, acc, "K1", "K2", NULL);
	expect_found(f, acc, NULL, "K2", NULL);
	/* the clock of the service: in their last minute it is waited for new ones, in vain: the old ones serve, and it isn't tried again at once */
	home_touch(f, "broken");
	acc->skew_s = 3545;
	expect_found(f, acc, NULL, "K2", NULL);
	assert_int_equal(f->jobs[SVC_AWS_PROCESS], 3);
	expect_found(f, acc, NULL, "K2", NULL);
	assert_int_equal(f->jobs[SVC_AWS_PROCESS], 3);
	acc->skew_s = 3580;
	expect_found(f, acc, NULL, "K2", NULL);
	assert_int_equal(f->jobs[SVC_AWS_PROCESS], 4);
	/* at their end the failure is told */
	acc->skew_s = 3601;
	assert_int_equal(fx_get(f, acc, NULL, &c, &e), ST_EAUTH);
	assert_non_null(strstr(e.text, "exit status 7"));
	aws_account_free(acc);
}

static void test_kept_without_end(void **state)
{
	struct fx *f = *state;
	struct aws_account *acc;

	counter_set(f, 0);
	assert_int_equal(aws_account_new(&acc, f->aws, &none), 0);
	expect_found(f, acc, NULL, "K1", NULL);
	acc->skew_s = 890;
	expect_found(f, acc, NULL, "K1", NULL);
	acc->skew_s = 910;
	expect_found(f, acc, NULL, "K2", NULL);
	expect_found(f, acc, "K2", "K3", NULL);
	/* in vain: they have no end */
	home_touch(f, "broken");
	acc->skew_s = 2000;
	expect_found(f, acc, NULL, "K3", NULL);
	aws_account_free(acc);
}

/* The second run waits at the gate: what is kept serves meanwhile, until a minute before its end. */
static void test_kept_while_renewed(void **state)
{
	struct fx *f = *state;
	struct aws_account *acc;
	char body[512], until[AWS_TIME_STR], gate[128];
	int fd;

	snprintf(gate, sizeof(gate), "%s/gate", f->home);
	assert_int_equal(mkfifo(gate, 0600), 0);
	assert_true((fd = open(gate, O_RDWR | O_CLOEXEC)) >= 0);
	aws_time_print(until, (int64_t)time(NULL) + 3600);
	snprintf(body, sizeof(body),
		 "echo x >>$1/runs; n=$(wc -l <$1/runs); [ $n -gt 1 ] && read x <$1/gate\n"
		 "echo '{\"Version\":1,\"AccessKeyId\":\"K'$n'\",\"SecretAccessKey\":\"s\","
		 "\"Expiration\":\"%s\"}'",
		 until);
	program_set(f, body);
	assert_int_equal(aws_account_new(&acc, f->aws, &none), 0);
	expect_found(f, acc, NULL, "K1", NULL);
	acc->skew_s = 3400;
	for (int i = 0; i < 3; i++)
		expect_found(f, acc, NULL, "K1", NULL);
	assert_int_equal(f->jobs[SVC_AWS_PROCESS], 2);
	acc->skew_s = 3550;
	assert_int_equal(write(fd, "\n", 1), 1);
	expect_found(f, acc, NULL, "K2", NULL);
	assert_int_equal(f->jobs[SVC_AWS_PROCESS], 2);
	close(fd);
	aws_account_free(acc);
}

struct crowd {
	struct fx *f;
	unsigned told;
};

static void on_crowd(void *arg, const struct aws_error *error, const struct aws_creds *c)
{
	struct crowd *crowd = arg;

	assert_null(error);
	assert_string_equal(c->access_key, "K1");
	if (++crowd->told == 10)
		loop_stop(crowd->f->loop);
}

static void test_one_for_all(void **state)
{
	struct fx *f = *state;
	struct crowd crowd = { .f = f };
	struct aws_account *acc;
	handle wait[12];

	counter_set(f, 3600);
	assert_int_equal(aws_account_new(&acc, f->aws, &none), 0);
	for (size_t i = 0; i < ARRAY_LEN(wait); i++)
		assert_int_equal(aws_chain_get(acc, &wait[i], NULL, on_crowd, &crowd), 0);
	aws_chain_cancel(acc, wait[3]);
	aws_chain_cancel(acc, wait[11]);
	assert_int_equal(loop_run(f->loop), 0);
	assert_int_equal(f->jobs[SVC_AWS_PROCESS], 1);
	aws_account_free(acc);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_words, fx_setup, fx_teardown),
		cmocka_unit_test(test_words_limits),
		CASE(test_good),
		CASE(test_order),
		CASE(test_bad),
		CASE(test_noise),
		CASE(test_no_program),
		CASE(test_hangs),
		CASE(test_account_goes),
		CASE(test_leaves_child),
		CASE(test_surroundings),
		CASE(test_kept),
		CASE(test_kept_while_renewed),
		CASE(test_kept_without_end),
		CASE(test_one_for_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
