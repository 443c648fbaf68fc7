// SPDX-License-Identifier: MIT
/*
 * dns_fake_file.c - the fake map's file
 *
 * Format: a line "ssm-tun fake map 1 RANGE", then lines "INDEX NAME", the least recently used first. A later line overrides earlier ones of
 * the same index or name, so a new name is one line appended: what write() has taken outlives a kill -9 of ours, and no answer
 * waits for a disk. Appended lines are compacted away, by writing the file anew as file_write_atomic() does, when there are
 * many of them, when one could not be written whole, and at the end. A line that is damaged is left out; what stands
 * behind a half one begins with its own line, because a failed append is always followed by such a rewrite.
 */
#include "dns/dns_fake.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/file.h"
#include "base/log.h"
#include "base/text.h"

#define HEAD "ssm-tun fake map 1 "
#define LINE_MAX_BYTES (DNS_NAME_MAX + 8U) /* "65279 ", the name, a new line */
#define APPENDED_MAX 32768U		   /* lines, ours; then the file is written anew */
#define FILE_BYTES_MAX                                                                             \
	((size_t)(DNS_FAKES_MAX + APPENDED_MAX) * LINE_MAX_BYTES + 128U) /* what we would write */
#define REWRITE_MS 1000U /* after the event that asks for it */
#define RETRY_MS 60000U	 /* after a rewrite that failed */
#define FILE_MODE 0600

struct dns_fakes_file {
	char path[PATH_MAX];
	char head[sizeof(HEAD) + NET_PREFIX_STR + 1];
	struct loop *loop;
	struct loop_timer timer; /* rewrite */
	dns_fakes_next_fn *next;
	void *arg;
	int fd;		   /* to append; -1: the next rewrite opens it */
	uint32_t appended; /* lines since the last rewrite, or that later ones override */
	bool dirty;	   /* the file is not what a rewrite would write */
};

/* ---- reading ---- */

/* Digits and a space. Return: what stands behind them; NULL: something else */
static const char *index_read(const char *line, unsigned *index)
{
	unsigned long v;
	char *end;

	if (*line < '0' || *line > '9')
		return NULL;
	errno = 0;
	v = strtoul(line, &end, 10);
	if (errno || v >= DNS_FAKES_MAX || *end != ' ')
		return NULL;
	*index = (unsigned)v;
	return end + 1;
}

/* Names that the map has now */
static uint32_t names(const struct dns_fakes_file *file)
{
	const void *pos = NULL;
	unsigned index;
	uint32_t n = 0;

	while (file->next(file->arg, &pos, &index))
		n++;
	return n;
}

/* The line at *@p, which moves behind it. NULL: it is too long, holds a NUL or has no end */
static const char *line_cut(const char **p, const char *end, char out[LINE_MAX_BYTES + 1])
{
	const char *nl = memchr(*p, '\n', (size_t)(end - *p));
	size_t len = (size_t)((nl ? nl : end) - *p);
	const char *start = *p;

	*p = nl ? nl + 1 : end;
	if (!nl || len > LINE_MAX_BYTES || memchr(start, '\0', len))
		return NULL;
	memcpy(out, start, len);
	out[len] = '\0';
	return out;
}

static int lines_read(struct dns_fakes_file *file, const char *p, const char *end,
		      dns_fakes_line_fn *line)
{
	char text[LINE_MAX_BYTES + 1];
	unsigned bad = 0, good = 0, index;
	int r;

	while (p < end) {
		const char *one = line_cut(&p, end, text);
		const char *name = one ? index_read(one, &index) : NULL;

		r = name ? line(file->arg, index, name) : ST_EFORMAT;
		if (r == ST_ENOMEM)
			return r;
		bad += r < 0;
		good += r == 0;
	}
	file->appended = good - names(file);
	if (bad == 0)
		return 0;
	log_warn("dns: %u damaged line%s of %s left out", bad, bad == 1 ? "" : "s",
		 text_safe(file->path).s);
	file->dirty = true;
	return 0;
}

static void set_aside(struct dns_fakes_file *file, const char *why)
{
	char old[PATH_MAX + 4];

	snprintf(old, sizeof(old), "%s.old", file->path);
	if (rename(file->path, old) < 0)
		log_sys("dns: set %s aside", text_safe(file->path).s);
	log_warn("dns: %s %s: set aside as %s.old, fake addresses begin anew",
		 text_safe(file->path).s, why, text_safe(file->path).s);
	file->dirty = true;
}

static int content_read(struct dns_fakes_file *file, const struct buf *b, dns_fakes_line_fn *line)
{
	const char *p = (const char *)buf_data(b), *end = p + b->len;
	size_t head = strlen(file->head);

	if (b->len == 0) { /* made and not yet written */
		file->dirty = true;
		return 0;
	}
	if (b->len < head || memcmp(p, HEAD, strlen(HEAD)) != 0) {
		set_aside(file, "is not a map of ours");
		return 0;
	}
	if (memcmp(p, file->head, head) != 0) {
		set_aside(file, "is of another range");
		return 0;
	}
	return lines_read(file, p + head, end, line);
}

/* Return: 0; ST_ENOMEM; ST_EPERM: told, nothing can be kept */
static int file_load(struct dns_fakes_file *file, dns_fakes_line_fn *line)
{
	struct buf b;
	int r;

	buf_init(&b, FILE_BYTES_MAX);
	r = file_read(&b, file->path);
	if (r == 0) {
		r = content_read(file, &b, line);
	} else if (r == ST_ENOENT) {
		file->dirty = true;
		r = 0;
	} else if (r == ST_EFULL) {
		set_aside(file, "is too large for a map of ours");
		r = 0;
	} else if (r != ST_ENOMEM) {
		log_warn("dns: fake addresses are not kept over a restart: %s: %s",
			 text_safe(file->path).s, strerror(errno));
		r = ST_EPERM;
	}
	buf_fini(&b);
	return r;
}

/* ---- writing ---- */

static int content_write(struct dns_fakes_file *file, struct buf *b)
{
	const void *pos = NULL;
	const char *name;
	unsigned index = 0;
	int r = buf_put(b, file->head, strlen(file->head));

	while (r == 0 && (name = file->next(file->arg, &pos, &index)))
		r = buf_printf(b, "%u %s\n", index, name);
	return r;
}

static void append_open(struct dns_fakes_file *file)
{
	if (file->fd >= 0)
		close(file->fd);
	file->fd = open(file->path, O_WRONLY | O_APPEND | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	if (file->fd < 0)
		log_sys("dns: open %s", text_safe(file->path).s);
}

static int rewrite(struct dns_fakes_file *file)
{
	struct buf b;
	int r;

	buf_init(&b, FILE_BYTES_MAX);
	r = content_write(file, &b);
	if (r == 0)
		r = file_write_atomic(file->path, buf_data(&b), b.len, FILE_MODE);
	buf_fini(&b);
	if (r < 0)
		return r;
	file->dirty = false;
	file->appended = 0;
	append_open(file);
	return 0;
}

static void rewrite_at(struct dns_fakes_file *file, uint64_t at_ms)
{
	if (!loop_timer_armed(&file->timer) && loop_timer_set(file->loop, &file->timer, at_ms) < 0)
		log_warn("dns: out of memory: %s is written at the end", text_safe(file->path).s);
}

static void on_timer(void *arg, uint64_t now_ms)
{
	struct dns_fakes_file *file = arg;

	if (rewrite(file) < 0)
		rewrite_at(file, now_ms + RETRY_MS);
}

static bool append(const struct dns_fakes_file *file, const char *line, size_t len)
{
	ssize_t n;

	if (file->fd < 0)
		return false;
	do {
		n = write(file->fd, line, len);
	} while (n < 0 && errno == EINTR);
	return n == (ssize_t)len;
}

void dns_fakes_file_add(struct dns_fakes_file *file, unsigned index, const char *name)
{
	char line[LINE_MAX_BYTES + 1];
	int len = snprintf(line, sizeof(line), "%u %s\n", index, name);
	uint64_t now_ms = loop_now_ms(file->loop);

	/* A failed one may have left half a line: nothing is appended until the file is whole again. */
	if (!append(file, line, (size_t)len)) {
		if (file->fd >= 0) {
			log_limited(now_ms, LOG_WARN, "dns: append to %s: %s",
				    text_safe(file->path).s, strerror(errno));
			close(file->fd);
			file->fd = -1;
		}
		file->dirty = true;
	}
	file->appended++;
	if (file->dirty || file->appended > APPENDED_MAX)
		rewrite_at(file, now_ms + REWRITE_MS);
}

/* ---- life ---- */

int dns_fakes_file_new(struct dns_fakes_file **out, const char *path,
		       const struct net_prefix *range, struct loop *loop, dns_fakes_line_fn *line,
		       dns_fakes_next_fn *next, void *arg)
{
	struct dns_fakes_file *file = calloc(1, sizeof(*file));
	char text[NET_PREFIX_STR];
	int r;

	*out = NULL;
	if (!file)
		return ST_ENOMEM;
	file->fd = -1;
	file->loop = loop;
	file->next = next;
	file->arg = arg;
	loop_timer_init(&file->timer, on_timer, file);
	snprintf(file->head, sizeof(file->head), "%s%s\n", HEAD, net_prefix_str(text, range));
	r = text_copy(file->path, sizeof(file->path), path) ? file_load(file, line) : ST_EPERM;
	if (r < 0) {
		free(file);
		return r == ST_ENOMEM ? r : 0;
	}
	if (file->dirty || file->appended > APPENDED_MAX) {
		if (rewrite(file) < 0)
			file->dirty = true; /* told; tried again with the first name */
	} else {
		append_open(file);
	}
	*out = file;
	return 0;
}

void dns_fakes_file_free(struct dns_fakes_file *file)
{
	if (!file)
		return;
	loop_timer_cancel(file->loop, &file->timer);
	if (file->dirty || file->appended > 0)
		rewrite(file);
	if (file->fd >= 0)
		close(file->fd);
	free(file);
}
