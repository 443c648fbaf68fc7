// SPDX-License-Identifier: MIT
/*
 * ask.c - see ask.h
 *
 * Theory of operation: the terminal is opened for each question and given back after it, with its own settings again: also when a
 * question is cancelled or the loop ends by a signal, provided that the owner calls ask_free(). It stays in line mode, so that the
 * kernel does the editing and one read is one line. A signal of the keyboard is the process's own business.
 */
#include "base/ask.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "base/codec.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/list.h"
#include "base/text.h"

struct question {
	struct list_node node;
	struct ask *a;
	handle id;
	char prompt[ASK_PROMPT_MAX];
	bool hidden;
	struct loop_timer limit; /* from the moment that it was put to us */
	svc_done_fn *done;
	void *arg;
};

struct ask {
	struct loop *loop;
	struct hnd_table table;
	struct list questions; /* the first is the one that is asked */
	struct loop_task next;
	int fd; /* the terminal; -1: nothing is asked now */
	loop_watch watch;
	struct termios own; /* its settings */
};

/* Return: the terminal, if it is ours to use; -1 */
static int terminal_open(void)
{
	int fd = open("/dev/tty", O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);

	if (fd >= 0 && tcgetpgrp(fd) == getpgrp())
		return fd;
	if (fd >= 0)
		close(fd);
	return -1;
}

static bool somebody_is_there(void)
{
	int fd = terminal_open();

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

static void terminal_close(struct ask *a)
{
	if (a->fd < 0)
		return;
	loop_fd_del(a->loop, &a->watch);
	if (tcgetpgrp(a->fd) == getpgrp()) /* else setting it would stop us */
		tcsetattr(a->fd, TCSANOW, &a->own);
	close(a->fd);
	a->fd = -1;
}

static void question_free(struct question *q)
{
	struct ask *a = q->a;
	const bool was_asked = a->fd >= 0 && a->questions.head.next == &q->node;

	hnd_del(&a->table, q->id);
	loop_timer_cancel(a->loop, &q->limit);
	list_del(&q->node);
	free(q);
	if (!was_asked)
		return;
	terminal_close(a);
	loop_task_post(a->loop, &a->next);
}

/* The owner may free everything. */
static void answer(struct question *q, int err, const char *line, size_t len)
{
	svc_done_fn *done = q->done;
	void *arg = q->arg;

	question_free(q);
	done(arg, err, (const uint8_t *)line, len);
}

static struct question *first(struct ask *a)
{
	return list_empty(&a->questions)
		       ? NULL
		       : container_of(a->questions.head.next, struct question, node);
}

static void on_terminal(void *arg, uint32_t events, uint64_t now_ms)
{
	struct ask *a = arg;
	struct question *q = first(a);
	char line[ASK_LINE_MAX];
	const ssize_t n = read(a->fd, line, sizeof(line));

	(void)events;
	(void)now_ms;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (q->hidden || n <= 0)
		(void)!write(a->fd, "\n", 1);
	if (n <= 0)
		answer(q, ST_ECANCELED, "", 0);
	else if (line[n - 1] != '\n' && n == (ssize_t)sizeof(line))
		answer(q, ST_EFULL, "", 0);
	else
		answer(q, 0, line, (size_t)n - (line[n - 1] == '\n'));
	codec_wipe(line, sizeof(line));
}

static bool terminal_begin(struct ask *a, const struct question *q)
{
	struct termios quiet;

	if (tcgetattr(a->fd, &a->own) < 0)
		return false;
	quiet = a->own;
	if (q->hidden)
		quiet.c_lflag &= ~(tcflag_t)ECHO;
	/* What was typed before the question is no answer to it. */
	return tcsetattr(a->fd, TCSAFLUSH, &quiet) == 0 &&
	       fd_write_all(a->fd, q->prompt, strlen(q->prompt)) == 0 &&
	       loop_fd_add(a->loop, &a->watch, a->fd, EPOLLIN, on_terminal, a) == 0;
}

static void on_next(void *arg, uint64_t now_ms)
{
	struct ask *a = arg;
	struct question *q = first(a);

	(void)now_ms;
	if (!q || a->fd >= 0)
		return;
	if ((a->fd = terminal_open()) >= 0 && terminal_begin(a, q))
		return;
	if (a->fd >= 0)
		close(a->fd);
	a->fd = -1;
	loop_task_post(a->loop, &a->next);
	answer(q, ST_ENOENT, "", 0);
}

static void on_limit(void *arg, uint64_t now_ms)
{
	struct question *q = arg;

	(void)now_ms;
	if (q->a->fd >= 0 && first(q->a) == q)
		(void)!write(q->a->fd, "\n", 1);
	answer(q, ST_ETIMEOUT, "", 0);
}

int ask_line(void *ctx, handle *out, const char *prompt, bool hidden, uint32_t timeout_ms,
	     svc_done_fn *done, void *arg)
{
	struct ask *a = ctx;
	struct question *q;
	int err;

	if (!somebody_is_there())
		return ST_ENOENT;
	if (!(q = calloc(1, sizeof(*q))))
		return ST_ENOMEM;
	*q = (struct question){ .a = a, .hidden = hidden, .done = done, .arg = arg };
	text_copy(q->prompt, sizeof(q->prompt), prompt);
	loop_timer_init(&q->limit, on_limit, q);
	if ((err = hnd_add(&a->table, q, &q->id)) < 0) {
		free(q);
		return err;
	}
	list_push_back(&a->questions, &q->node);
	*out = q->id;
	if ((err = loop_timer_set(a->loop, &q->limit, loop_now_ms(a->loop) + timeout_ms)) < 0) {
		question_free(q);
		return err;
	}
	loop_task_post(a->loop, &a->next);
	return 0;
}

void ask_cancel(void *ctx, handle question)
{
	struct ask *a = ctx;
	struct question *q = hnd_get(&a->table, question);

	if (q)
		question_free(q);
}

int ask_new(struct ask **out, struct loop *loop)
{
	struct ask *a = calloc(1, sizeof(*a));

	if (!a)
		return ST_ENOMEM;
	a->loop = loop;
	a->fd = -1;
	hnd_init(&a->table, ASK_QUESTIONS_MAX);
	list_init(&a->questions);
	loop_task_init(&a->next, LOOP_FLUSH, on_next, a);
	*out = a;
	return 0;
}

void ask_free(struct ask *a)
{
	if (!a)
		return;
	while (!list_empty(&a->questions))
		question_free(first(a));
	terminal_close(a);
	loop_task_cancel(&a->next);
	hnd_fini(&a->table);
	free(a);
}
