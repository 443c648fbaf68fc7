// SPDX-License-Identifier: MIT
/*
 * Cases: a question is put, hidden or not, and answered; the loop goes on meanwhile; what was typed before is no answer; several in
 * order, up to the limit; taken back, first and later ones; time over; end of input; leaving; the terminal is as it was after each;
 * answers that ask again, take back and free; a process in the background and one without a terminal; a terminal that takes
 * no output; a line as long as a terminal's; the same without a loop; the terminal goes.
 *
 * The tests run in a child whose controlling terminal is a pseudo-terminal: the other end of it is the person.
 */
#include "base/ask.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/util.h"

static int person = -1, slave = -1; /* the two ends */

struct fx {
	struct loop *loop;
	struct ask *ask;
	struct termios before;
};

struct said {
	struct fx *f;
	handle id;
	unsigned n;
	int err;
	char line[5000];
	unsigned serial; /* order of answers */
	void (*then)(struct said *s);
};

static unsigned serial;

static void on_said(void *arg, int err, const uint8_t *out, size_t len)
{
	struct said *s = arg;

	s->n++;
	s->err = err;
	s->serial = ++serial;
	assert_true(len < sizeof(s->line));
	memcpy(s->line, out, len);
	s->line[len] = '\0';
	if (s->then)
		s->then(s);
}

static int setup(void **state)
{
	struct fx *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	assert_int_equal(tcflush(slave, TCIOFLUSH), 0);
	assert_int_equal(tcgetattr(slave, &f->before), 0);
	assert_true(f->before.c_lflag & ECHO);
	assert_int_equal(loop_new(&f->loop), 0);
	assert_int_equal(ask_new(&f->ask, f->loop), 0);
	*state = f;
	return 0;
}

static bool is_as_before(const struct fx *f)
{
	struct termios now;

	assert_int_equal(tcgetattr(slave, &now), 0);
	return now.c_lflag == f->before.c_lflag &&
	       memcmp(now.c_cc, f->before.c_cc, sizeof(now.c_cc)) == 0;
}

static int teardown(void **state)
{
	struct fx *f = *state;
	char rest[4096];

	ask_free(f->ask);
	assert_true(is_as_before(f));
	loop_free(f->loop);
	free(f);
	while (read(person, rest, sizeof(rest)) > 0)
		;
	return 0;
}

static void type(const char *text)
{
	assert_int_equal(write(person, text, strlen(text)), strlen(text));
}

/* Waits until @text is on the screen. Return: all that was there */
static const char *see(const char *text)
{
	static char screen[8192];
	struct pollfd p = { .fd = person, .events = POLLIN };
	size_t len = 0;
	ssize_t n;

	screen[0] = '\0';
	while (!strstr(screen, text)) {
		assert_int_equal(poll(&p, 1, 5000), 1);
		n = read(person, screen + len, sizeof(screen) - 1 - len);
		assert_true(n > 0);
		len += (size_t)n;
		screen[len] = '\0';
	}
	return screen;
}

static int put(struct fx *f, struct said *s, const char *prompt, bool hidden, uint32_t ms)
{
	*s = (struct said){ .f = f, .then = s->then };
	return ask_line(f->ask, &s->id, prompt, hidden, ms, on_said, s);
}

static void wait_for(const struct said *s)
{
	for (unsigned i = 0; i < 100 && s->n == 0; i++)
		assert_int_equal(loop_turn(s->f->loop, 100), 0);
	assert_int_equal(s->n, 1);
}

static void test_answers(void **state)
{
	static const struct {
		bool hidden;
		const char *typed, *line;
	} rows[] = {
		{ true, "123456\n", "123456" },
		{ false, "yes\n", "yes" },
		{ true, "\n", "" },
		{ true,
		  "ab\x7f\x7f"
		  "c\n",
		  "c" },
	};
	struct fx *f = *state;
	struct said s = { 0 };

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const char *screen;

		type("typed too early\n");
		see("early\r\n");
		assert_int_equal(put(f, &s, "Code: ", rows[i].hidden, 5000), 0);
		see("Code: ");
		assert_false(is_as_before(f));
		type(rows[i].typed);
		wait_for(&s);
		assert_int_equal(s.err, 0);
		assert_string_equal(s.line, rows[i].line);
		assert_true(is_as_before(f));
		screen = see("\n");
		if (rows[i].hidden)
			assert_string_equal(screen, "\r\n");
		else
			assert_non_null(strstr(screen, "yes"));
	}
}

static void on_tick(void *arg, uint64_t now_ms)
{
	(void)now_ms;
	++*(unsigned *)arg;
}

static void test_loop_goes_on(void **state)
{
	struct fx *f = *state;
	struct said s = { 0 };
	struct loop_timer timer;
	unsigned ticks = 0;
	uint64_t turns;

	loop_timer_init(&timer, on_tick, &ticks);
	assert_int_equal(put(f, &s, "Code: ", true, 5000), 0);
	type("123"); /* no line yet */
	for (unsigned i = 0; i < 5; i++) {
		assert_int_equal(loop_timer_set(f->loop, &timer, loop_now_ms(f->loop) + 2), 0);
		while (ticks == i)
			assert_int_equal(loop_turn(f->loop, 1000), 0);
	}
	assert_int_equal(s.n, 0);
	turns = loop_turns(f->loop);
	assert_int_equal(loop_turn(f->loop, 20), 0); /* and it sleeps */
	assert_int_equal(loop_turns(f->loop), turns + 1);
	type("456\n");
	wait_for(&s);
	assert_string_equal(s.line, "123456");
}

static void test_several(void **state)
{
	struct fx *f = *state;
	struct said s[ASK_QUESTIONS_MAX + 1] = { 0 };
	char prompt[32], line[32];

	for (size_t i = 0; i < ASK_QUESTIONS_MAX; i++) {
		snprintf(prompt, sizeof(prompt), "Code %zu: ", i);
		assert_int_equal(put(f, &s[i], prompt, true, 5000), 0);
	}
	assert_int_equal(put(f, &s[ASK_QUESTIONS_MAX], "one too many", true, 5000), ST_EFULL);
	for (size_t i = 0; i < ASK_QUESTIONS_MAX; i++) {
		snprintf(prompt, sizeof(prompt), "Code %zu: ", i);
		see(prompt);
		snprintf(line, sizeof(line), "%zu\n", i * 7);
		type(line);
		wait_for(&s[i]);
		line[strlen(line) - 1] = '\0';
		assert_string_equal(s[i].line, line);
	}
	assert_true(is_as_before(f));
}

static void test_taken_back(void **state)
{
	struct fx *f = *state;
	struct said s[3] = { 0 };

	for (size_t i = 0; i < ARRAY_LEN(s); i++)
		assert_int_equal(put(f, &s[i], i == 2 ? "Third: " : "Other: ", true, 5000), 0);
	see("Other: ");
	ask_cancel(f->ask, s[1].id);
	ask_cancel(f->ask, s[1].id); /* stale */
	ask_cancel(f->ask, s[0].id);
	assert_true(is_as_before(f));
	assert_int_equal(loop_turn(f->loop, 0), 0);
	see("Third: ");
	type("3\n");
	wait_for(&s[2]);
	assert_string_equal(s[2].line, "3");
	assert_int_equal(s[0].n + s[1].n, 0);
}

static void test_time_over(void **state)
{
	struct fx *f = *state;
	struct said s[2] = { 0 };

	assert_int_equal(put(f, &s[0], "Slow: ", true, 30), 0);
	assert_int_equal(put(f, &s[1], "Next: ", true, 5000), 0);
	wait_for(&s[0]);
	assert_int_equal(s[0].err, ST_ETIMEOUT);
	see("Next: ");
	type("n\n");
	wait_for(&s[1]);
	assert_int_equal(s[1].err, 0);
}

static void test_end_of_input(void **state)
{
	struct fx *f = *state;
	struct said s = { 0 };

	assert_int_equal(put(f, &s, "Code: ", true, 5000), 0);
	see("Code: ");
	type("\x04");
	wait_for(&s);
	assert_int_equal(s.err, ST_ECANCELED);
	assert_true(is_as_before(f));
}

static void test_leaving(void **state)
{
	struct fx *f = *state;
	struct said s[3] = { 0 };

	assert_int_equal(put(f, &s[0], "Code: ", true, 5000), 0);
	assert_int_equal(put(f, &s[1], "Code: ", true, 5000), 0);
	ask_leave(f->ask);
	assert_true(is_as_before(f));
	assert_int_equal(s[0].n + s[1].n, 0); /* never from within */
	wait_for(&s[0]);
	wait_for(&s[1]);
	assert_int_equal(s[0].err, ST_ENOENT);
	assert_int_equal(s[1].err, ST_ENOENT);
	assert_int_equal(put(f, &s[2], "Code: ", true, 5000), ST_ENOENT);
}

static void then_ask(struct said *s)
{
	s->then = NULL;
	s->n = 0;
	assert_int_equal(ask_line(s->f->ask, &s->id, "Again: ", true, 5000, on_said, s), 0);
}

static void then_free(struct said *s)
{
	ask_free(s->f->ask);
	s->f->ask = NULL;
}

static void test_from_answers(void **state)
{
	struct fx *f = *state;
	struct said s[3] = { { .then = then_ask }, { .then = then_free } };

	for (size_t i = 0; i < ARRAY_LEN(s); i++)
		assert_int_equal(put(f, &s[i], "Code: ", true, 5000), 0);
	see("Code: ");
	type("wrong\n");
	while (s[0].then)
		assert_int_equal(loop_turn(f->loop, 1000), 0);
	see("Code: "); /* the second one's: who asks again is last */
	type("free\n");
	while (f->ask)
		assert_int_equal(loop_turn(f->loop, 1000), 0);
	assert_int_equal(loop_turn(f->loop, 0), 0);
	assert_string_equal(s[1].line, "free");
	assert_int_equal(s[0].n + s[2].n, 0);
}

static void test_long_line(void **state)
{
	struct fx *f = *state;
	struct said s = { 0 };
	char line[4095];

	memset(line, 'x', sizeof(line));
	line[sizeof(line) - 1] = '\0';
	assert_int_equal(put(f, &s, "Code: ", true, 5000), 0);
	see("Code: ");
	for (const char *p = line; *p;
	     p += MIN(strlen(p), 512)) /* its buffer is no larger than that for sure */
		assert_int_equal(write(person, p, MIN(strlen(p), 512)), MIN(strlen(p), 512));
	type("\n");
	wait_for(&s);
	assert_int_equal(s.err, 0);
	assert_int_equal(strlen(s.line), sizeof(line) - 1);
}

/* ^S: nothing that we do waits for it to be taken back. */
static void test_stopped_output(void **state)
{
	struct fx *f = *state;
	struct said s = { 0 };

	assert_int_equal(tcflow(slave, TCOOFF), 0);
	assert_int_equal(put(f, &s, "Code: ", true, 5000), 0);
	type("5\n");
	wait_for(&s);
	assert_string_equal(s.line, "5");
	assert_int_equal(tcflow(slave, TCOON), 0);
}

/* Runs @fn in a process of its own. Return: its exit status; -1: a signal stopped or ended it */
static int in_child(int (*fn)(struct fx *f), struct fx *f)
{
	pid_t pid = fork();
	int status;

	if (pid == 0)
		_exit(fn(f));
	assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
	if (!WIFEXITED(status))
		kill(pid, SIGKILL);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int ask_all(struct fx *f)
{
	struct said s = { 0 };
	char line[16];

	return put(f, &s, "Code: ", true, 5000) == ST_ENOENT &&
			       ask_now("Code: ", -1, line, sizeof(line)) == ST_ENOENT
		       ? 42
		       : 1;
}

static int in_background(struct fx *f)
{
	setpgid(0, 0);
	return ask_all(f);
}

static int without_terminal(struct fx *f)
{
	return setsid() < 0 ? 2 : ask_all(f);
}

static void test_nobody(void **state)
{
	assert_int_equal(in_child(in_background, *state), 42);
	assert_int_equal(in_child(without_terminal, *state), 42);
}

static int no_loop_child(struct fx *f)
{
	char line[8];

	(void)f;
	if (ask_now("Passphrase: ", -1, line, sizeof(line)) != 0)
		return 1;
	return strcmp(line, "secret") == 0 ? 42 : 2;
}

static void test_without_loop(void **state)
{
	struct fx *f = *state;
	const int cancel = eventfd(1, EFD_CLOEXEC);
	char line[8];
	pid_t pid;
	int status;

	assert_int_equal(ask_now("Passphrase: ", cancel, line, sizeof(line)), ST_ECANCELED);
	assert_true(is_as_before(f));
	close(cancel);
	see("Passphrase: \r\n");
	pid = fork();
	if (pid == 0)
		_exit(no_loop_child(f));
	see("Passphrase: ");
	type("secret\n");
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(WEXITSTATUS(status), 42);
	assert_string_equal(see("\n"), "\r\n");
	assert_true(is_as_before(f));
}

/* The last one: there is no terminal any more. */
static void test_terminal_goes(void **state)
{
	struct fx *f = *state;
	struct said s = { 0 };

	signal(SIGHUP, SIG_IGN);
	assert_int_equal(put(f, &s, "Code: ", true, 5000), 0);
	close(person);
	wait_for(&s);
	assert_int_equal(s.err, ST_ENOENT);
	ask_free(f->ask);
	loop_free(f->loop);
	free(f);
}

#define CASE(fn_) cmocka_unit_test_setup_teardown(fn_, setup, teardown)

static int run(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_answers),
		CASE(test_loop_goes_on),
		CASE(test_several),
		CASE(test_taken_back),
		CASE(test_time_over),
		CASE(test_end_of_input),
		CASE(test_leaving),
		CASE(test_from_answers),
		CASE(test_long_line),
		CASE(test_stopped_output),
		CASE(test_nobody),
		CASE(test_without_loop),
		cmocka_unit_test_setup(test_terminal_goes, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
	pid_t pid = fork();
	int status = 1;

	if (pid != 0)
		return waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status)
									    : 1;
	person = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	if (setsid() < 0 || person < 0 || grantpt(person) < 0 || unlockpt(person) < 0 ||
	    (slave = open(ptsname(person), O_RDWR | O_NOCTTY | O_CLOEXEC)) < 0 ||
	    ioctl(slave, TIOCSCTTY, 0) < 0)
		return 1;
	return run();
}
