// SPDX-License-Identifier: MIT
/*
 * log_test.c - what a reader of the log sees
 *
 * Cases: levels; text in a file, on a terminal, in the journal; JSON; one write a line; control
 * characters; the length limit; log_sys(); the rate limit; the tee.
 */
#include "base/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <fcntl.h>
#include <pty.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/err.h"

/* A SEQPACKET socket keeps the bounds of write(2) calls. */
static int log_fd = -1, read_fd = -1;

static int setup(void **state)
{
	int pair[2];

	(void)state;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
		return -1;
	log_fd = pair[0];
	read_fd = pair[1];
	log_to_fd(log_fd);
	log_setup(LOG_INFO, LOG_TEXT);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	log_to_fd(-1);
	log_setup(LOG_INFO, LOG_TEXT);
	log_tee(NULL, NULL);
	unsetenv("JOURNAL_STREAM");
	close(log_fd);
	close(read_fd);
	return 0;
}

/* One write's bytes, "" if there was none */
static const char *written(void)
{
	static char line[4 * LOG_LINE_MAX];
	ssize_t n = read(read_fd, line, sizeof(line) - 1);

	line[n > 0 ? n : 0] = '\0';
	return line;
}

static void assert_matches(const char *s, const char *pattern)
{
	regex_t re;

	assert_int_equal(regcomp(&re, pattern, REG_EXTENDED | REG_NOSUB), 0);
	if (regexec(&re, s, 0, NULL, 0) != 0)
		fail_msg("\"%s\" does not match \"%s\"", s, pattern);
	regfree(&re);
}

#define STAMP "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{3}Z"

static void levels(void **state)
{
	(void)state;
	log_setup(LOG_WARN, LOG_TEXT);
	log_info("no");
	log_debug("no");
	log_trace("no");
	assert_string_equal(written(), "");
	assert_false(log_enabled(LOG_INFO));
	log_warn("yes");
	assert_matches(written(), " warn: yes\n$");
	log_error("yes");
	assert_matches(written(), " error: yes\n$");
	log_setup(LOG_TRACE, LOG_TEXT);
	log_trace("%s", "t");
	assert_matches(written(), " trace: t\n$");
	log_debug("%d", 5);
	assert_matches(written(), " debug: 5\n$");
}

static void text_in_a_file(void **state)
{
	(void)state;
	log_info("connected to %s", "prod");
	assert_matches(written(), "^" STAMP " info: connected to prod\n$");
	assert_string_equal(written(), "");
}

static void text_in_the_journal(void **state)
{
	char stream[64];
	struct stat st;

	(void)state;
	assert_int_equal(fstat(log_fd, &st), 0);
	snprintf(stream, sizeof(stream), "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
	setenv("JOURNAL_STREAM", stream, 1);
	log_setup(LOG_TRACE, LOG_TEXT);
	log_error("e");
	assert_string_equal(written(), "<3>error: e\n");
	log_warn("w");
	assert_string_equal(written(), "<4>warn: w\n");
	log_info("i");
	assert_string_equal(written(), "<6>info: i\n");
	log_debug("d");
	assert_string_equal(written(), "<7>debug: d\n");

	/* The variable is inherited: it may name another stream than ours. */
	snprintf(stream, sizeof(stream), "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino + 1);
	setenv("JOURNAL_STREAM", stream, 1);
	log_setup(LOG_INFO, LOG_TEXT);
	log_error("e");
	assert_matches(written(), "^" STAMP " error: e\n$");
}

static void text_on_a_terminal(void **state)
{
	char line[128];
	int master, slave;
	ssize_t n;

	(void)state;
	assert_int_equal(openpty(&master, &slave, NULL, NULL, NULL), 0);
	setenv("TERM", "xterm", 1);
	unsetenv("NO_COLOR");
	log_to_fd(slave);
	log_error("e");
	n = read(master, line, sizeof(line) - 1);
	assert_true(n > 0);
	line[n] = '\0';
	assert_string_equal(line, "\033[31merror:\033[0m e\r\n");

	setenv("NO_COLOR", "1", 1);
	log_setup(LOG_INFO, LOG_TEXT);
	log_error("e");
	n = read(master, line, sizeof(line) - 1);
	assert_true(n > 0);
	line[n] = '\0';
	assert_string_equal(line, "error: e\r\n");
	unsetenv("NO_COLOR");
	log_to_fd(log_fd);
	close(master);
	close(slave);
}

static void json(void **state)
{
	(void)state;
	log_setup(LOG_INFO, LOG_JSON);
	log_warn("a \"quoted\" \\ and\n\001 gr\303\274n \377");
	assert_matches(written(),
		       "^\\{\"ts\":\"" STAMP "\",\"level\":\"warn\",\"msg\":\"a \\\\\"quoted\\\\\" "
		       "\\\\\\\\ and\\\\\\\\x0a\\\\\\\\x01 gr\303\274n \\\\\\\\xff\"\\}\n$");
}

static void control_characters(void **state)
{
	(void)state;
	log_info("a\033[2J\nb \\x1b");
	assert_matches(written(), " info: a\\\\x1b\\[2J\\\\x0ab \\\\x1b\n$");
}

static void long_lines_are_cut(void **state)
{
	char in[2 * LOG_LINE_MAX];
	const char *line;

	(void)state;
	memset(in, 'a', sizeof(in));
	in[LOG_LINE_MAX] = '\0';
	log_info("%s", in);
	line = strstr(written(), "info: ");
	assert_int_equal(strlen(line), 6 + LOG_LINE_MAX + 1);
	in[LOG_LINE_MAX] = 'a';
	in[LOG_LINE_MAX + 1] = '\0';
	log_info("%s", in);
	line = strstr(written(), "info: ");
	assert_string_equal(line + 6 + LOG_LINE_MAX, "...\n");

	/* The longest possible line of either format, and characters cut by the end of the inner buffer. */
	memset(in, '"', sizeof(in) - 1);
	in[sizeof(in) - 1] = '\0';
	log_setup(LOG_INFO, LOG_JSON);
	log_error("%s", in);
	assert_matches(written(), "\\\\\"\\.\\.\\.\"\\}\n$");
	log_setup(LOG_INFO, LOG_TEXT);
	for (size_t shift = 0; shift < 3; shift++) {
		memset(in, 'a', sizeof(in) - 1);
		for (size_t i = shift; i + 3 < sizeof(in); i += 3)
			memcpy(in + i, "\342\202\254", 3);
		log_info("%s", in);
		line = written();
		assert_matches(line, "\\.\\.\\.\n$");
		assert_null(strchr(line, '\\'));
	}
}

static void system_errors(void **state)
{
	(void)state;
	errno = ENOENT;
	assert_int_equal(log_sys("open %s", "/x"), ST_ESYS);
	assert_int_equal(errno, ENOENT);
	assert_matches(written(), " error: open /x: No such file or directory\n$");
}

static void rate_limit(void **state)
{
	struct log_limit limit = { 0 };
	uint64_t now_ms = 5000000;

	(void)state;
	for (unsigned i = 0; i < LOG_LIMIT_BURST; i++) {
		log_msg_limited(&limit, now_ms + i, LOG_WARN, "flood %u", i);
		assert_matches(written(), "flood [0-9]\n$");
	}
	for (unsigned i = 0; i < 7; i++)
		log_msg_limited(&limit, now_ms + LOG_LIMIT_MS - 1, LOG_WARN, "flood");
	assert_string_equal(written(), "");
	log_msg_limited(&limit, now_ms + LOG_LIMIT_MS, LOG_WARN, "flood");
	assert_matches(written(), "flood \\(7 lines like it left out\\)\n$");
	log_msg_limited(&limit, now_ms + LOG_LIMIT_MS, LOG_WARN, "flood");
	assert_matches(written(), "flood\n$");

	/* What the level hides uses up nothing. */
	limit = (struct log_limit){ 0 };
	for (int i = 0; i < 100; i++)
		log_msg_limited(&limit, now_ms, LOG_DEBUG, "flood");
	assert_int_equal(limit.shown + limit.hidden, 0);
	for (int i = 0; i < 7; i++)
		log_limited(now_ms, LOG_WARN, "here");
	for (unsigned i = 0; i < LOG_LIMIT_BURST; i++)
		assert_matches(written(), "here\n$");
	assert_string_equal(written(), "");
}

struct seen {
	int lines;
	enum log_level level;
	char last[64];
};

static void see(void *arg, enum log_level level, const char *line)
{
	struct seen *seen = arg;

	seen->lines++;
	seen->level = level;
	snprintf(seen->last, sizeof(seen->last), "%s", line);
}

static void tee_sees_what_is_shown(void **state)
{
	struct seen seen = { 0 };

	(void)state;
	log_tee(see, &seen);
	log_debug("hidden");
	log_warn("a\tb");
	assert_int_equal(seen.lines, 1);
	assert_int_equal(seen.level, LOG_WARN);
	assert_string_equal(seen.last, "a\\x09b");
	log_tee(NULL, NULL);
	log_warn("c");
	assert_int_equal(seen.lines, 1);
}

static void a_full_pipe_loses_lines_only(void **state)
{
	(void)state;
	for (int i = 0; i < 10000; i++)
		log_info("line %d", i);
	assert_matches(written(), "line 0\n$");
	errno = EBADF;
	log_info("again");
	assert_int_equal(errno, EBADF);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(levels),
		TEST(text_in_a_file),
		TEST(text_in_the_journal),
		TEST(text_on_a_terminal),
		TEST(json),
		TEST(control_characters),
		TEST(long_lines_are_cut),
		TEST(system_errors),
		TEST(rate_limit),
		TEST(tee_sees_what_is_shown),
		TEST(a_full_pipe_loses_lines_only),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
