// SPDX-License-Identifier: MIT
/*
 * ask.h - a question to the person at the terminal, without blocking the loop: what struct svc's ask is made of
 *
 * It goes to the controlling terminal, whatever stdin and stdout are. One question at a time, the others wait in turn. Nobody
 * is asked where there is no terminal, or where it is another program's turn there (we run in the background).
 */
#ifndef BASE_ASK_H
#define BASE_ASK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/handle.h"
#include "base/loop.h"
#include "base/svc.h"

#define ASK_QUESTIONS_MAX 8U /* ours: asked and waiting */
#define ASK_LINE_MAX 1024U   /* bytes of an answer; a terminal gives 4,095 at most */
#define ASK_PROMPT_MAX 512U

struct ask;

/** ask_new() - Return: 0; ST_ENOMEM */
int ask_new(struct ask **out, struct loop *loop);
/** ask_free() - no callback; the terminal is as it was. NULL is fine */
void ask_free(struct ask *a);

/** ask_line() - as svc->ask; @ctx is a struct ask. @prompt is copied. Return: 0; ST_ENOENT: nobody is there; ST_EFULL; ST_ENOMEM */
int ask_line(void *ctx, handle *out, const char *prompt, bool hidden, uint32_t timeout_ms,
	     svc_done_fn *done, void *arg);
void ask_cancel(void *ctx, handle question);

#endif
