// SPDX-License-Identifier: MIT
/*
 * Cases: an answer; a hidden one is not echoed, and the echo is back afterwards; questions in turn; a line end alone; end of file; too
 * long; time is over, asked or waiting; cancelled, asked or waiting; what was typed before does not count; freed while one is
 * asked; too many; without a terminal, in the background. Each runs in a session of its own, on a pseudo-terminal.
 */
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
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/ask.h"
#include "base/err.h"

/* In the child an assertion is an exit status. */
#define MUST(cond)                                                                                 \
	do {                                                                                       \
		if (!(cond)) {                                                                     \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond);                 \
			_exit(1);                                                                  \
		}                                                                                  \
	} while (0)

struct got {
	unsigned calls;
	int err;
	char line[64];
};

static struct {
	struct loop *loop;
	struct ask *ask;
	int master, slave;
	char seen[4096]; /* on the screen */
	size_t n_seen;
} w;

static void on_answer(void *arg, int err, const uint8_t *out, size_t len)
{
	struct got *g = arg;

	g->calls++;
	g->err = err;
	MUST(len < sizeof(g->line));
	memcpy(g->line, out, len);
	g->line[len] = '\0';
}

static handle put(struct got *g, const char *prompt, bool hidden, uint32_t timeout_ms)
{
	handle h;

	*g = (struct got){ 0 };
	MUST(ask_line(w.ask, &h, prompt, hidden, timeout_ms, on_answer, g) == 0);
	return h;
}

static void look(void)
{
	struct pollfd p = { .fd = w.master, .events = POLLIN };

	while (poll(&p, 1, 0) > 0) {
		const ssize_t n = read(w.master, w.seen + w.n_seen, sizeof(w.seen) - 1 - w.n_seen);

		if (n <= 0)
			break;
		w.n_seen += (size_t)n;
		w.seen[w.n_seen] = '\0';
	}
}

static bool screen_has(const char *text)
{
	for (unsigned i = 0; i < 100 && !strstr(w.seen, text); i++) {
		MUST(loop_turn(w.loop, 10) == 0);
		look();
	}
	return strstr(w.seen, text) != NULL;
}

static void type(const char *text)
{
	MUST(write(w.master, text, strlen(text)) == (ssize_t)strlen(text));
}

static void await(const struct got *g)
{
	for (unsigned i = 0; !g->calls; i++) {
		MUST(i < 200);
		MUST(loop_turn(w.loop, 10) == 0);
	}
	look();
}

static bool echoes(void)
{
	struct termios t;

	MUST(tcgetattr(w.slave, &t) == 0);
	return t.c_lflag & ECHO;
}

static void shown_and_hidden(void)
{
	struct got g;

	put(&g, "Name: ", false, 2000);
	MUST(screen_has("Name: "));
	MUST(echoes());
	type("Alice\n");
	await(&g);
	MUST(g.err == 0 && strcmp(g.line, "Alice") == 0);
	MUST(screen_has("Alice"));
	put(&g, "Code: ", true, 2000);
	MUST(screen_has("Code: "));
	MUST(!echoes());
	type("123456\n");
	await(&g);
	MUST(g.err == 0 && strcmp(g.line, "123456") == 0);
	MUST(!strstr(w.seen, "123456"));
	MUST(echoes());
	put(&g, "Empty: ", false, 2000);
	MUST(screen_has("Empty: "));
	type("\n");
	await(&g);
	MUST(g.err == 0 && g.line[0] == '\0');
}

static void in_turn(void)
{
	struct got a, b, c;
	handle hb;

	put(&a, "first? ", false, 2000);
	hb = put(&b, "second? ", false, 2000);
	put(&c, "third? ", false, 2000);
	MUST(screen_has("first? "));
	MUST(!strstr(w.seen, "second? "));
	type("1\n");
	await(&a);
	MUST(strcmp(a.line, "1") == 0 && !b.calls);
	MUST(screen_has("second? "));
	ask_cancel(w.ask, hb);
	ask_cancel(w.ask, hb);
	MUST(screen_has("third? "));
	type("3\n");
	await(&c);
	MUST(strcmp(c.line, "3") == 0 && b.calls == 0);
}

static void no_answer(void)
{
	struct got a, b;
	char *endless = malloc(2001);

	put(&a, "eof? ", true, 2000);
	MUST(screen_has("eof? "));
	type("\004");
	await(&a);
	MUST(a.err == ST_ECANCELED && echoes());
	MUST(endless != NULL);
	memset(endless, 'x', 2000);
	strcpy(endless + 1999, "\n");
	put(&a, "long? ", true, 2000);
	MUST(screen_has("long? "));
	type(endless);
	await(&a);
	MUST(a.err == ST_EFULL);
	free(endless);
	put(&a, "late? ", true, 100);
	put(&b, "later? ", true, 50); /* never asked */
	await(&a);
	MUST(a.err == ST_ETIMEOUT && b.calls == 1 && b.err == ST_ETIMEOUT);
	MUST(echoes() && !strstr(w.seen, "later? "));
}

static void typed_before(void)
{
	struct got g;

	type("premature\n");
	for (unsigned i = 0; i < 5; i++)
		loop_turn(w.loop, 10);
	put(&g, "now? ", true, 2000);
	MUST(screen_has("now? "));
	for (unsigned i = 0; i < 5; i++)
		loop_turn(w.loop, 10);
	MUST(g.calls == 0);
	type("yes\n");
	await(&g);
	MUST(strcmp(g.line, "yes") == 0);
}

static void given_back(void)
{
	struct got g[ASK_QUESTIONS_MAX + 1];
	handle h;

	for (size_t i = 0; i < ASK_QUESTIONS_MAX; i++)
		put(&g[i], "many? ", true, 2000);
	MUST(ask_line(w.ask, &h, "x", false, 1, on_answer, &g[ASK_QUESTIONS_MAX]) == ST_EFULL);
	MUST(screen_has("many? "));
	MUST(!echoes());
	ask_free(w.ask);
	w.ask = NULL;
	MUST(echoes());
	for (size_t i = 0; i < ASK_QUESTIONS_MAX; i++)
		MUST(g[i].calls == 0);
}

static void in_the_background(void)
{
	handle h;
	struct got g;
	const pid_t other = fork();
	int status;

	MUST(other >= 0);
	if (other == 0) {
		setpgid(0, 0);
		_exit(ask_line(w.ask, &h, "x", false, 1, on_answer, &g) == ST_ENOENT ? 0 : 1);
	}
	MUST(waitpid(other, &status, 0) == other && status == 0);
}

static void no_terminal(void)
{
	handle h;
	struct got g;

	signal(SIGHUP, SIG_IGN);
	MUST(ioctl(w.slave, TIOCNOTTY) == 0);
	MUST(ask_line(w.ask, &h, "x", false, 1, on_answer, &g) == ST_ENOENT);
}

static void on_terminal_of_its_own(void (*fn)(void))
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		w.master = posix_openpt(O_RDWR | O_NOCTTY);
		MUST(w.master >= 0 && grantpt(w.master) == 0 && unlockpt(w.master) == 0);
		MUST(setsid() >= 0);
		w.slave = open(ptsname(w.master), O_RDWR); /* becomes ours to control */
		MUST(w.slave >= 0);
		MUST(loop_new(&w.loop) == 0 && ask_new(&w.ask, w.loop) == 0);
		fn();
		ask_free(w.ask);
		loop_free(w.loop);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

#define ON_A_TERMINAL(name)                                                                        \
	static void test_##name(void **state)                                                      \
	{                                                                                          \
		(void)state;                                                                       \
		on_terminal_of_its_own(name);                                                      \
	}

ON_A_TERMINAL(shown_and_hidden)
ON_A_TERMINAL(in_turn)
ON_A_TERMINAL(no_answer)
ON_A_TERMINAL(typed_before)
ON_A_TERMINAL(given_back)
ON_A_TERMINAL(in_the_background)
ON_A_TERMINAL(no_terminal)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_shown_and_hidden), cmocka_unit_test(test_in_turn),
		cmocka_unit_test(test_no_answer),	 cmocka_unit_test(test_typed_before),
		cmocka_unit_test(test_given_back),	 cmocka_unit_test(test_in_the_background),
		cmocka_unit_test(test_no_terminal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
