// SPDX-License-Identifier: MIT
/*
 * ask.h - asking the person at the terminal: from the loop, or before it runs
 *
 * The terminal is /dev/tty, whatever stdin is. It is as it was before whenever no question is open, so a process that ends by a
 * signal must take that by its loop (signalfd) and call ask_leave() or ask_free(). ^C is left to the process; ^Z and ^\ are off
 * while a question is open.
 */
#ifndef BASE_ASK_H
#define BASE_ASK_H

#include "base/loop.h"
#include "base/svc.h"

#define ASK_QUESTIONS_MAX                                                                          \
	16U /* open or waiting; ours: as many as upstreams that one would type codes for */

struct ask;

/** ask_new() - opens nothing yet. Return: 0; ST_ENOMEM */
int ask_new(struct ask **out, struct loop *loop);
void ask_free(struct ask *a); /* no callback; also from one; NULL is fine */
/**
 * ask_line() - as svc->ask (base/svc.h); @prompt (copied) is harmless text. The time runs from when the question is put. @done also gets
 * ST_ENOENT if the terminal goes, or ask_leave() is called; ST_ECANCELED at the end of input (^D).
 * Return: 0 and *@out; ST_ENOENT: no terminal, or another process group is at it; ST_EFULL; ST_ENOMEM
 */
int ask_line(struct ask *a, handle *out, const char *prompt, bool hidden, uint32_t timeout_ms,
	     svc_done_fn *done, void *arg);
void ask_cancel(struct ask *a, handle question); /* no callback; stale is fine */
/** ask_leave() - the terminal is given back for good; questions end with ST_ENOENT from the loop, new ones at once */
void ask_leave(struct ask *a);

/**
 * ask_now() - one hidden line, waiting for it: where no loop runs. @cancel_fd: readable ends it (a signalfd), which takes nothing
 * @out: the line without its end, @cap bytes with NUL; longer ones are cut. Return: 0; ST_ENOENT: nobody there, or end of input; ST_ECANCELED
 */
int ask_now(const char *prompt, int cancel_fd, char *out, size_t cap);

#endif
