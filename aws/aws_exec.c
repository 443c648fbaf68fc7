// SPDX-License-Identifier: MIT
/*
 * aws_exec.c - the job that runs a credential_process: words, program, what it wrote, how it ended
 *
 * Theory of operation: runs in a child of the runner, with the caller's identity, a clean environment, no terminal and nothing on
 * stdin; no shell is involved. The program stays in the job's process group, so that the runner's kill at the deadline reaches it and
 * what it started. It has answered when it has ended, not when its pipes end: something that it left running may hold
 * them. Of its stdout nothing is ever part of a message, of its stderr the end is.
 * Source: botocore 1.29 ProcessProvider (shlex.split(), no shell); CPython shlex.py, POSIX mode
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "aws/aws_internal.h"
#include "base/err.h"
#include "base/text.h"

#define WORDS_MAX 256U	       /* ours */
#define TAIL_MAX ((size_t)400) /* bytes of stderr that a message shows; ours */
#define NOISE_MAX KIB(4)       /* bytes of stderr that are kept at once; ours */
#define DRAIN_READS 64U	       /* ours: of NOISE_MAX / 2 at least, a pipe holds 64 KiB */

extern char **environ;

/* ---- words ---- */

/* Where in a word the next character is. */
enum place { BETWEEN, WORD, SINGLE, DOUBLE };

struct splitter {
	char **words, *to;
	size_t n, max;
	enum place place;
};

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Return: false if there are too many */
static bool word_begin(struct splitter *s)
{
	if (s->place != BETWEEN)
		return true;
	if (s->n >= s->max)
		return false;
	s->words[s->n++] = s->to;
	s->place = WORD;
	return true;
}

/* A backslash and what is behind it, in or out of double quotes. Return: how much was taken; 0 if nothing is behind it */
static size_t escape_take(struct splitter *s, const char *c)
{
	if (!c[1])
		return 0;
	if (s->place == DOUBLE && c[1] != '"' && c[1] != '\\')
		*s->to++ = '\\';
	*s->to++ = c[1];
	return 2;
}

/* Return: how much was taken; 0 at a backslash that escapes nothing */
static size_t char_take(struct splitter *s, const char *c)
{
	if (*c == '\\' && s->place != SINGLE)
		return escape_take(s, c);
	if (s->place == WORD && is_blank(*c)) {
		*s->to++ = '\0';
		s->place = BETWEEN;
	} else if (s->place == WORD && *c == '\'') {
		s->place = SINGLE;
	} else if (s->place == WORD && *c == '"') {
		s->place = DOUBLE;
	} else if ((s->place == SINGLE && *c == '\'') || (s->place == DOUBLE && *c == '"')) {
		s->place = WORD;
	} else {
		*s->to++ = *c;
	}
	return 1;
}

int aws_words_split(char **words, size_t max, char *room, const char *text, const char **why)
{
	struct splitter s = { .words = words, .to = room, .max = max };

	while (*text) {
		size_t n;

		if (s.place == BETWEEN && is_blank(*text)) {
			text++;
			continue;
		}
		if (!word_begin(&s)) {
			*why = "it has too many words";
			return ST_EFULL;
		}
		if ((n = char_take(&s, text)) == 0) {
			*why = "No escaped character";
			return ST_EFORMAT;
		}
		text += n;
	}
	*s.to = '\0';
	*why = "No closing quotation";
	return s.place == SINGLE || s.place == DOUBLE ? ST_EFORMAT : (int)s.n;
}

/* ---- the program ---- */

struct program {
	pid_t pid;
	int pidfd, out_fd, err_fd;
	uint8_t *out;
	size_t out_len;
	bool out_full;
	char noise[NOISE_MAX]; /* the last of stderr */
	size_t noise_len;
};

/* Both are read without waiting. Return: false with errno */
static bool pipes_make(struct program *p, int *out_end, int *err_end)
{
	int out[2], err[2];

	if (pipe2(out, O_CLOEXEC) < 0)
		return false;
	if (pipe2(err, O_CLOEXEC) < 0) {
		close(out[0]);
		close(out[1]);
		return false;
	}
	p->out_fd = out[0];
	p->err_fd = err[0];
	*out_end = out[1];
	*err_end = err[1];
	return fcntl(out[0], F_SETFL, O_NONBLOCK) == 0 && fcntl(err[0], F_SETFL, O_NONBLOCK) == 0;
}

/* Return: 0 or an errno */
static int spawn(struct program *p, char **words, int out_end, int err_end)
{
	posix_spawn_file_actions_t actions;
	int err = posix_spawn_file_actions_init(&actions);

	if (err)
		return err;
	if (!(err = posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)) &&
	    !(err = posix_spawn_file_actions_adddup2(&actions, out_end, 1)) &&
	    !(err = posix_spawn_file_actions_adddup2(&actions, err_end, 2)))
		err = posix_spawnp(&p->pid, words[0], &actions, NULL, words, environ);
	posix_spawn_file_actions_destroy(&actions);
	return err;
}

/* Return: 0 or an errno; with 0 the program runs */
static int program_start(struct program *p, char **words)
{
	int out_end = -1, err_end = -1, err;

	p->out_fd = p->err_fd = p->pidfd = -1;
	err = pipes_make(p, &out_end, &err_end) ? spawn(p, words, out_end, err_end) : errno;
	if (out_end >= 0)
		close(out_end);
	if (err_end >= 0)
		close(err_end);
	if (!err && (p->pidfd = (int)syscall(SYS_pidfd_open, p->pid, 0)) < 0) {
		err = errno;
		kill(p->pid, SIGKILL);
		waitpid(p->pid, NULL, 0);
	}
	return err;
}

static void program_close(struct program *p)
{
	const int fds[] = { p->out_fd, p->err_fd, p->pidfd };

	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		if (fds[i] >= 0)
			close(fds[i]);
}

/* What is there of stdout. Return: bytes; 0: nothing now; -1: its end */
static ssize_t out_read(struct program *p)
{
	const size_t room = AWS_JOB_MAX - p->out_len;
	char extra;
	ssize_t n = read(p->out_fd, room ? (void *)(p->out + p->out_len) : &extra, room ? room : 1);

	if (n > 0 && room)
		p->out_len += (size_t)n;
	p->out_full = p->out_full || (n > 0 && !room);
	return n > 0 ? n : n < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : -1;
}

/* The same of stderr; the older half makes room for it. */
static ssize_t err_read(struct program *p)
{
	ssize_t n;

	if (p->noise_len == NOISE_MAX) {
		memmove(p->noise, p->noise + NOISE_MAX / 2, NOISE_MAX / 2);
		p->noise_len = NOISE_MAX / 2;
	}
	n = read(p->err_fd, p->noise + p->noise_len, NOISE_MAX - p->noise_len);
	if (n > 0)
		p->noise_len += (size_t)n;
	return n > 0 ? n : n < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : -1;
}

/* Its last words are in the pipes when it ends; what it left running may go on writing there, so there is a bound. */
static void program_drain(struct program *p)
{
	for (unsigned i = 0; i < DRAIN_READS && !p->out_full && out_read(p) > 0; i++)
		;
	for (unsigned i = 0; i < DRAIN_READS && err_read(p) > 0; i++)
		;
}

/* Until the program has ended or has written too much. */
static void program_follow(struct program *p)
{
	struct pollfd fds[] = { { .fd = p->out_fd, .events = POLLIN },
				{ .fd = p->err_fd, .events = POLLIN },
				{ .fd = p->pidfd, .events = POLLIN } };

	while (!p->out_full) {
		if (poll(fds, ARRAY_LEN(fds), -1) < 0)
			continue; /* a signal */
		if (fds[2].revents) {
			program_drain(p);
			return;
		}
		if (fds[0].revents && out_read(p) < 0)
			fds[0].fd = -1;
		if (fds[1].revents && err_read(p) < 0)
			fds[1].fd = -1;
	}
}

static int say(uint8_t *out, size_t *out_len, int err, const char *words)
{
	*out_len = strlen(words);
	memcpy(out, words, *out_len);
	return err;
}

/* The end of stderr as one line: blanks and ends of lines become one blank. */
static void tail_print(char out[TAIL_MAX * 4 + 4], const struct program *p)
{
	char line[TAIL_MAX + 1];
	const size_t from = p->noise_len > TAIL_MAX ? p->noise_len - TAIL_MAX : 0;
	size_t n = 0;

	for (size_t i = from; i < p->noise_len; i++) {
		if (!is_blank(p->noise[i]))
			line[n++] = p->noise[i];
		else if (n > 0 && line[n - 1] != ' ')
			line[n++] = ' ';
	}
	if (n > 0 && line[n - 1] == ' ')
		n--;
	text_escape(out, TAIL_MAX * 4, line, n, true);
}

/* How the program ended, from its wait status. */
static int program_judge(struct program *p, int status, size_t *out_len)
{
	char tail[TAIL_MAX * 4 + 4], text[TAIL_MAX * 4 + 128];

	if (!p->out_full && WIFEXITED(status) && WEXITSTATUS(status) == 0) {
		*out_len = p->out_len;
		return 0;
	}
	memset(p->out, 0, p->out_len);
	if (p->out_full)
		return say(p->out, out_len, ST_EPERM, "it wrote more than any credentials are");
	tail_print(tail, p);
	if (WIFSIGNALED(status))
		snprintf(text, sizeof(text), "it was ended by signal %d (%s)%s%s", WTERMSIG(status),
			 strsignal(WTERMSIG(status)), tail[0] ? ": " : "", tail);
	else
		snprintf(text, sizeof(text), "it ended with exit status %d%s%s",
			 WEXITSTATUS(status), tail[0] ? ": " : " and no word on stderr", tail);
	return say(p->out, out_len, ST_EPERM, text);
}

static int program_run(char **words, uint8_t *out, size_t *out_len)
{
	struct program p = { .out = out };
	char text[TEXT_SAFE_MAX * 2 + 128];
	int err = program_start(&p, words), status = 0;

	if (err) {
		const char *path = err == ENOENT && !strchr(words[0], '/') ? getenv("PATH") : NULL;

		snprintf(text, sizeof(text), "%s: %s%s%s", text_safe(words[0]).s, strerror(err),
			 path ? ": not in PATH, which is " : "", path ? text_safe(path).s : "");
		program_close(&p);
		return say(out, out_len, ST_EPERM, text);
	}
	program_follow(&p);
	if (p.out_full)
		kill(p.pid, SIGKILL);
	while (waitpid(p.pid, &status, 0) < 0 && errno == EINTR)
		;
	program_close(&p);
	return program_judge(&p, status, out_len);
}

int aws_process_job(const uint8_t *in, size_t in_len, uint8_t *out, size_t *out_len)
{
	char *text = strndup((const char *)in, in_len), *room = malloc(in_len + 1);
	char *words[WORDS_MAX + 1] = { NULL };
	const char *why;
	int n, err = ST_ENOMEM;

	*out_len = 0;
	if (text && room) {
		n = aws_words_split(words, WORDS_MAX, room, text, &why);
		if (n > 0)
			err = program_run(words, out, out_len);
		else
			err = say(out, out_len, ST_EPERM, n < 0 ? why : "it names no program");
	}
	free(text);
	free(room);
	return err;
}
