// SPDX-License-Identifier: MIT
/*
 * ask.c - see ask.h
 *
 * Theory of operation: one question is put at a time, the others wait in order. The terminal is opened for each and watched by the
 * loop; it gives a line at a time, so one read is an answer. Nothing here waits: output that the terminal does not take (^S) is
 * lost, and settings are changed without waiting for it. Callers are called last, since they may free anything; the
 * next question is put from a task. A process in the background is not at the terminal: reading there would stop it.
 */
#include "base/ask.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "base/codec.h"
#include "base/err.h"
#include "base/handle.h"
#include "base/list.h"
#include "base/util.h"

#define ASK_LINE_MAX 4096U /* of a terminal's line, its end included; n_tty.c N_TTY_BUF_SIZE */

struct terminal {
	int fd; /* -1: closed */
	struct termios before;
};

struct question {
	struct list_node node;
	handle id;
	char *prompt;
	bool hidden;
	uint32_t timeout_ms;
	svc_done_fn *done;
	void *arg;
};

struct ask {
	struct loop *loop;
	struct hnd_table ids;
	struct list questions; /* the first one is put once term is open */
	struct terminal term;
	loop_watch watch;
	struct loop_timer limit;
	struct loop_task next;
	bool left;
};

/* ---- the terminal ---- */

/* Background: tcsetattr() and read() would stop the process. */
static void stops_block(sigset_t *before)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTTIN);
	sigaddset(&set, SIGTTOU);
	sigprocmask(SIG_BLOCK, &set, before);
}

static void settings_set(int fd, const struct termios *settings)
{
	sigset_t before;

	stops_block(&before);
	tcsetattr(fd, TCSANOW, settings);
	tcflush(fd,
		TCIFLUSH); /* what was typed before the question is no answer, what is left over no command */
	sigprocmask(SIG_SETMASK, &before, NULL);
}

/* What the terminal does not take at once is lost. */
static void terminal_print(const struct terminal *t, const char *text)
{
	(void)!write(t->fd, text, strlen(text));
}

/* Return: 0; ST_ENOENT */
static int terminal_open(struct terminal *t, const char *prompt, bool hidden)
{
	struct termios quiet;

	t->fd = open("/dev/tty", O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	if (t->fd < 0)
		return ST_ENOENT;
	if (tcgetpgrp(t->fd) != getpgrp() || tcgetattr(t->fd, &t->before) < 0) {
		close(t->fd);
		t->fd = -1;
		return ST_ENOENT;
	}
	quiet = t->before;
	quiet.c_lflag |= ICANON | ISIG;
	if (hidden)
		quiet.c_lflag &= ~(tcflag_t)ECHO;
	quiet.c_cc[VQUIT] = quiet.c_cc[VSUSP] = _POSIX_VDISABLE;
	settings_set(t->fd, &quiet);
	terminal_print(t, prompt);
	return 0;
}

static void terminal_close(struct terminal *t)
{
	if (t->fd < 0)
		return;
	settings_set(t->fd, &t->before);
	terminal_print(t, "\n");
	close(t->fd);
	t->fd = -1;
}

/* Return: the length of the line, which has no end then; ST_EAGAIN; ST_ECANCELED: end of input; ST_ENOENT: the terminal has gone */
static ssize_t terminal_read(const struct terminal *t, char line[ASK_LINE_MAX])
{
	sigset_t before;
	ssize_t n;

	stops_block(&before);
	n = read(t->fd, line, ASK_LINE_MAX - 1);
	sigprocmask(SIG_SETMASK, &before, NULL);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? ST_EAGAIN : ST_ENOENT;
	if (n == 0)
		return ST_ECANCELED;
	line[n] = '\0';
	line[strcspn(line, "\n")] = '\0';
	return (ssize_t)strlen(line);
}

/* ---- questions ---- */

static struct question *first(const struct ask *a)
{
	return list_empty(&a->questions)
		       ? NULL
		       : container_of(a->questions.head.next, struct question, node);
}

static void put_back(struct ask *a)
{
	loop_fd_del(a->loop, &a->watch);
	loop_timer_cancel(a->loop, &a->limit);
	terminal_close(&a->term);
}

static void question_free(struct ask *a, struct question *q)
{
	hnd_del(&a->ids, q->id);
	list_del(&q->node);
	free(q->prompt);
	free(q);
}

/* The first question has its answer, or none: the last thing that is done. */
static void answer(struct ask *a, int err, const char *line, size_t len)
{
	struct question *q = first(a);
	svc_done_fn *done = q->done;
	void *arg = q->arg;

	put_back(a);
	question_free(a, q);
	if (!list_empty(&a->questions))
		loop_task_post(a->loop, &a->next);
	done(arg, err, (const uint8_t *)line, len);
}

static void on_terminal(void *arg, uint32_t events, uint64_t now_ms)
{
	struct ask *a = arg;
	char line[ASK_LINE_MAX];
	ssize_t n = terminal_read(&a->term, line);

	(void)now_ms;
	if (n < 0 && (events & (EPOLLHUP | EPOLLERR)))
		n = ST_ENOENT;
	if (n == ST_EAGAIN)
		return;
	answer(a, n < 0 ? (int)n : 0, line, n < 0 ? 0 : (size_t)n);
	codec_wipe(line, sizeof(line));
}

static void on_limit(void *arg, uint64_t now_ms)
{
	(void)now_ms;
	answer(arg, ST_ETIMEOUT, "", 0);
}

/* Return: 0; ST_ENOENT; ST_EFULL, ST_ESYS, ST_ENOMEM from the loop */
static int put(struct ask *a, const struct question *q)
{
	int err = a->left ? ST_ENOENT : terminal_open(&a->term, q->prompt, q->hidden);

	if (!err)
		err = loop_fd_add(a->loop, &a->watch, a->term.fd, EPOLLIN, on_terminal, a);
	if (!err)
		err = loop_timer_set(a->loop, &a->limit, loop_now_ms(a->loop) + q->timeout_ms);
	if (err < 0)
		put_back(a);
	return err;
}

static void on_next(void *arg, uint64_t now_ms)
{
	struct ask *a = arg;
	const struct question *q = first(a);
	int err;

	(void)now_ms;
	if (!q || a->term.fd >= 0)
		return;
	if ((err = put(a, q)) < 0)
		answer(a, err, "", 0);
}

static struct question *question_new(struct ask *a, const char *prompt)
{
	struct question *q = calloc(1, sizeof(*q));

	if (!q || !(q->prompt = strdup(prompt))) {
		free(q);
		return NULL;
	}
	list_node_init(&q->node);
	list_push_back(&a->questions, &q->node);
	return q;
}

int ask_line(struct ask *a, handle *out, const char *prompt, bool hidden, uint32_t timeout_ms,
	     svc_done_fn *done, void *arg)
{
	struct question *q;
	int err;

	if (a->left)
		return ST_ENOENT;
	if (!(q = question_new(a, prompt)))
		return ST_ENOMEM;
	q->hidden = hidden;
	q->timeout_ms = timeout_ms;
	q->done = done;
	q->arg = arg;
	err = hnd_add(&a->ids, q, &q->id);
	if (!err && first(a) == q)
		err = put(a, q);
	if (err < 0) {
		question_free(a, q);
		return err;
	}
	*out = q->id;
	return 0;
}

void ask_cancel(struct ask *a, handle question)
{
	struct question *q = hnd_get(&a->ids, question);

	if (!q)
		return;
	if (q == first(a))
		put_back(a);
	question_free(a, q);
	if (!list_empty(&a->questions))
		loop_task_post(a->loop, &a->next);
}

void ask_leave(struct ask *a)
{
	a->left = true;
	put_back(a);
	if (!list_empty(&a->questions))
		loop_task_post(a->loop, &a->next); /* which can't be put any more */
}

int ask_new(struct ask **out, struct loop *loop)
{
	struct ask *a = calloc(1, sizeof(*a));

	if (!a)
		return ST_ENOMEM;
	a->loop = loop;
	a->term.fd = -1;
	hnd_init(&a->ids, ASK_QUESTIONS_MAX);
	list_init(&a->questions);
	loop_timer_init(&a->limit, on_limit, a);
	loop_task_init(&a->next, LOOP_FLUSH, on_next, a);
	*out = a;
	return 0;
}

void ask_free(struct ask *a)
{
	if (!a)
		return;
	put_back(a);
	while (first(a))
		question_free(a, first(a));
	hnd_fini(&a->ids);
	loop_task_cancel(&a->next);
	free(a);
}

/* ---- without a loop ---- */

/* Return: 0: there is a line; ST_ECANCELED */
static int wait_for_line(int fd, int cancel_fd)
{
	struct pollfd p[] = { { .fd = fd, .events = POLLIN },
			      { .fd = cancel_fd, .events = POLLIN } };

	while (poll(p, ARRAY_LEN(p), -1) < 0)
		if (errno != EINTR)
			return ST_ECANCELED;
	return p[1].revents ? ST_ECANCELED : 0;
}

int ask_now(const char *prompt, int cancel_fd, char *out, size_t cap)
{
	char line[ASK_LINE_MAX];
	struct terminal t;
	ssize_t n = ST_EAGAIN;
	int err = terminal_open(&t, prompt, true);

	if (err < 0)
		return err;
	while (n == ST_EAGAIN && !err) {
		err = wait_for_line(t.fd, cancel_fd);
		if (!err)
			n = terminal_read(&t, line);
	}
	terminal_close(&t);
	if (!err && n < 0)
		err = ST_ENOENT;
	if (!err)
		snprintf(out, cap, "%s", line);
	codec_wipe(line, sizeof(line));
	return err;
}
