// SPDX-License-Identifier: MIT
/*
 * log.h - one log for the process: stderr, as text or as one JSON object a line
 *
 * error: someone must act. warn: degraded, carrying on. info: a life event. debug: per flow.
 * trace: per packet or message. Never logged: tokens, stream URLs, keys, payload bytes. Foreign
 * text goes through text_safe() (base/text.h) at the call; log lines are made harmless once more
 * here, so that a forgotten call can't move a terminal's cursor.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/util.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG, LOG_TRACE, LOG_LEVEL_N };
enum log_format { LOG_TEXT, LOG_JSON };

/* LOG_LINE_MAX: bytes of one message; what is longer is cut there and "..." follows (ours) */
#define LOG_LINE_MAX 1024U

/**
 * log_setup() - choose level and format; may be called again at any time
 * Text lines carry a time stamp unless stderr is the journal (JOURNAL_STREAM) or a terminal; in the
 * journal they carry a "<n>" priority prefix. Before the first call: LOG_INFO, LOG_TEXT.
 */
void log_setup(enum log_level level, enum log_format format);

/** log_to_fd() - write to @fd (borrowed) in place of stderr; -1 means stderr again */
void log_to_fd(int fd);

/** log_never_wait() - from now on a line is lost where writing it would wait: a stopped terminal, a pipe that nobody reads. For a process
 * that others count on */
void log_never_wait(void);

/** log_tee() - a second reader of every line that passes the level, e.g. a test or the launcher of a
 * detached daemon; NULL stops it. @line is valid until return. What the callback logs comes back to it. */
typedef void log_tee_fn(void *arg, enum log_level level, const char *line);
void log_tee(log_tee_fn *fn, void *arg);

bool log_enabled(enum log_level level);

void log_msg(enum log_level level, const char *fmt, ...) ST_PRINTF(2, 3);

/** log_sys() - an error line that ends in errno's text. Return: ST_ESYS, errno unchanged. */
int log_sys(const char *fmt, ...) ST_PRINTF(1, 2);

#define log_error(...) log_msg(LOG_ERROR, __VA_ARGS__)
#define log_warn(...) log_msg(LOG_WARN, __VA_ARGS__)
#define log_info(...) log_msg(LOG_INFO, __VA_ARGS__)
#define log_debug(...)                                                                             \
	do {                                                                                       \
		if (log_enabled(LOG_DEBUG))                                                        \
			log_msg(LOG_DEBUG, __VA_ARGS__);                                           \
	} while (0)
#define log_trace(...)                                                                             \
	do {                                                                                       \
		if (log_enabled(LOG_TRACE))                                                        \
			log_msg(LOG_TRACE, __VA_ARGS__);                                           \
	} while (0)

/* A line that a peer can cause again and again: at most LOG_LIMIT_BURST lines per LOG_LIMIT_MS and
 * place; the next line after a quiet spell says how many were left out. */
#define LOG_LIMIT_MS 10000U
#define LOG_LIMIT_BURST 5U

struct log_limit {
	uint64_t window_start_ms;
	uint32_t shown;
	uint32_t hidden;
};

void log_msg_limited(struct log_limit *limit, uint64_t now_ms, enum log_level level,
		     const char *fmt, ...) ST_PRINTF(4, 5);

/* One limiter for each place in the code. */
#define log_limited(now_ms, level, ...)                                                            \
	do {                                                                                       \
		static struct log_limit log_limit_here;                                            \
		log_msg_limited(&log_limit_here, (now_ms), (level), __VA_ARGS__);                  \
	} while (0)

#endif
