// SPDX-License-Identifier: MIT
/*
 * log.c - one log for the process
 *
 * Theory of operation: a message is formatted, made harmless and cut, then framed for where it goes
 * (terminal, journal, plain file; text or JSON) and written by one write(2), so that lines of several
 * processes on one descriptor do not mix. Where it goes is looked up once after every change of
 * settings. A line that can't be written is lost: logging never blocks on purpose and never fails.
 */
#include "base/log.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "base/text.h"

#define STAMP_LEN 32U /* "2025-01-31T23:59:59.123Z" and NUL fit */
#define FRAME_MAX 96U /* what surrounds a message: stamp, level, colour, JSON keys, line feed */

enum target { TARGET_FILE, TARGET_TERMINAL, TARGET_JOURNAL };

static const struct {
	const char *name;
	const char *colour;
	int priority; /* syslog(3) */
} levels[] = {
	[LOG_ERROR] = { "error", "\033[31m", 3 }, [LOG_WARN] = { "warn", "\033[33m", 4 },
	[LOG_INFO] = { "info", "\033[32m", 6 },	  [LOG_DEBUG] = { "debug", "\033[36m", 7 },
	[LOG_TRACE] = { "trace", "\033[2m", 7 },
};
_Static_assert(ARRAY_LEN(levels) == LOG_LEVEL_N, "levels[] and enum log_level differ");

static struct {
	enum log_level level;
	enum log_format format;
	enum target target;
	bool target_known;
	bool colour;
	int fd; /* -1: stderr */
	bool never_wait;
	log_tee_fn *tee;
	void *tee_arg;
} lg = { .level = LOG_INFO, .format = LOG_TEXT, .fd = -1 };

void log_setup(enum log_level level, enum log_format format)
{
	lg.level = level;
	lg.format = format;
	lg.target_known = false;
}

void log_to_fd(int fd)
{
	lg.fd = fd;
	lg.target_known = false;
}

void log_never_wait(void)
{
	lg.never_wait = true;
}

void log_tee(log_tee_fn *fn, void *arg)
{
	lg.tee = fn;
	lg.tee_arg = arg;
}

bool log_enabled(enum log_level level)
{
	return level <= lg.level;
}

/* systemd.exec(5): JOURNAL_STREAM is "device:inode" of the stream; a redirected stderr has others. */
static bool is_journal(int fd)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long dev, ino;
	struct stat st;

	if (!stream || sscanf(stream, "%llu:%llu", &dev, &ino) != 2 || fstat(fd, &st) < 0)
		return false;
	return st.st_dev == dev && st.st_ino == ino;
}

static bool wants_colour(void)
{
	const char *no_color = getenv("NO_COLOR");
	const char *term = getenv("TERM");

	return !(no_color && no_color[0]) && term && strcmp(term, "dumb") != 0;
}

static void find_target(int fd)
{
	lg.target = TARGET_FILE;
	if (isatty(fd))
		lg.target = TARGET_TERMINAL;
	else if (is_journal(fd))
		lg.target = TARGET_JOURNAL;
	lg.colour = lg.target == TARGET_TERMINAL && wants_colour();
	lg.target_known = true;
}

/* RFC 3339, UTC, milliseconds */
static void stamp(char out[STAMP_LEN])
{
	struct timespec ts;
	struct tm tm;
	size_t n;

	clock_gettime(CLOCK_REALTIME, &ts);
	gmtime_r(&ts.tv_sec, &tm);
	n = strftime(out, STAMP_LEN, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(out + n, STAMP_LEN - n, ".%03uZ", (unsigned)(ts.tv_nsec / 1000000) % 1000U);
}

static size_t frame_text(char *line, size_t cap, enum log_level level, const char *msg)
{
	const char *colour = lg.colour ? levels[level].colour : "";
	const char *plain = lg.colour ? "\033[0m" : "";
	char lead[STAMP_LEN + 1] = "";
	int n;

	if (lg.target == TARGET_JOURNAL) {
		snprintf(lead, sizeof(lead), "<%d>", levels[level].priority);
	} else if (lg.target == TARGET_FILE) {
		stamp(lead);
		strcat(lead, " ");
	}
	n = snprintf(line, cap, "%s%s%s:%s %s\n", lead, colour, levels[level].name, plain, msg);
	return MIN((size_t)n, cap - 1);
}

/* @msg holds no control characters by now: only the quote and the backslash are left to escape. */
static size_t frame_json(char *line, size_t cap, enum log_level level, const char *msg)
{
	char ts[STAMP_LEN];
	size_t len;

	stamp(ts);
	len = (size_t)snprintf(line, cap, "{\"ts\":\"%s\",\"level\":\"%s\",\"msg\":\"", ts,
			       levels[level].name);
	for (; *msg; msg++) {
		if (*msg == '"' || *msg == '\\')
			line[len++] = '\\';
		line[len++] = *msg;
	}
	memcpy(line + len, "\"}\n", 4);
	return len + 3;
}

/* A pipe that can be written takes PIPE_BUF bytes at once, more than a line has. */
static bool would_wait(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };

	return poll(&p, 1, 0) == 0;
}

static void emit(enum log_level level, const char *msg)
{
	char line[2U * (LOG_LINE_MAX + 4U) + FRAME_MAX];
	int fd = lg.fd >= 0 ? lg.fd : STDERR_FILENO;
	size_t len;
	ssize_t n;

	if (!lg.target_known)
		find_target(fd);
	len = lg.format == LOG_JSON ? frame_json(line, sizeof(line), level, msg)
				    : frame_text(line, sizeof(line), level, msg);
	do {
		n = lg.never_wait && would_wait(fd) ? 0 : write(fd, line, len);
	} while (n < 0 && errno == EINTR);
	if (lg.tee)
		lg.tee(lg.tee_arg, level, msg);
}

/* @suffix is ours and follows the message; errno is as before on return */
__attribute__((format(printf, 3, 0))) static void emit_v(enum log_level level, const char *suffix,
							 const char *fmt, va_list ap)
{
	/* A character that the end of raw cuts in two lies behind LOG_LINE_MAX, so it can't show. */
	char raw[LOG_LINE_MAX + 8];
	char msg[LOG_LINE_MAX + 4];
	int saved_errno = errno;
	size_t len;
	int n;

	n = vsnprintf(raw, sizeof(raw), fmt, ap);
	len = MIN((size_t)MAX(n, 0), sizeof(raw) - 1);
	if (suffix && len < sizeof(raw) - 1) {
		n = snprintf(raw + len, sizeof(raw) - len, "%s", suffix);
		len += MIN((size_t)MAX(n, 0), sizeof(raw) - len - 1);
	}
	text_escape(msg, LOG_LINE_MAX, raw, len, false);
	emit(level, msg);
	errno = saved_errno;
}

void log_msg(enum log_level level, const char *fmt, ...)
{
	va_list ap;

	if (!log_enabled(level))
		return;
	va_start(ap, fmt);
	emit_v(level, NULL, fmt, ap);
	va_end(ap);
}

int log_sys(const char *fmt, ...)
{
	int saved_errno = errno;
	char suffix[128];
	va_list ap;

	snprintf(suffix, sizeof(suffix), ": %s", strerror(saved_errno));
	errno = saved_errno;
	va_start(ap, fmt);
	emit_v(LOG_ERROR, suffix, fmt, ap);
	va_end(ap);
	return ST_ESYS;
}

void log_msg_limited(struct log_limit *limit, uint64_t now_ms, enum log_level level,
		     const char *fmt, ...)
{
	char suffix[64];
	va_list ap;

	if (!log_enabled(level))
		return;
	if (now_ms - limit->window_start_ms >= LOG_LIMIT_MS) {
		limit->window_start_ms = now_ms;
		limit->shown = 0;
	}
	if (limit->shown >= LOG_LIMIT_BURST) {
		limit->hidden += limit->hidden < UINT32_MAX;
		return;
	}
	snprintf(suffix, sizeof(suffix), " (%u lines like it left out)", limit->hidden);
	va_start(ap, fmt);
	emit_v(level, limit->hidden > 0 ? suffix : NULL, fmt, ap);
	va_end(ap);
	limit->shown++;
	limit->hidden = 0;
}
