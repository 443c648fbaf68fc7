// SPDX-License-Identifier: MIT
/*
 * capture.c - reader of tests/data/capture.txt; the file's head describes its lines
 */
#include "capture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/codec.h"
#include "base/err.h"
#include "base/util.h"

#define FILE_NAME "tests/data/capture.txt"
#define LINE_BYTES 16384U
#define FIELDS 7U

static const char *const whos[] = {
	[CAP_CLIENT] = "client",
	[CAP_AGENT] = "agent",
	[CAP_SERVICE] = "service",
};

static enum cap_who who_of(const char *name)
{
	for (unsigned i = 0; i < ARRAY_LEN(whos); i++)
		if (strcmp(whos[i], name) == 0)
			return (enum cap_who)i;
	ST_BUG("capture: who is %s", name);
}

static void *grown(void *array, size_t n, size_t size)
{
	void *p = realloc(array, (n + 1) * size);

	ST_ASSERT(p);
	return p;
}

static void session_add(struct capture *c, const char *title)
{
	struct cap_session *s;

	c->sessions = grown(c->sessions, c->n, sizeof(*c->sessions));
	s = &c->sessions[c->n++];
	*s = (struct cap_session){ .n = 0 };
	snprintf(s->title, sizeof(s->title), "%s", title);
}

/* The bytes of a frame of their own, so that a sanitizer sees a read beyond. */
static void bytes_set(struct cap_frame *f, const struct cap_session *s, const char *text)
{
	const struct cap_frame *same = NULL;

	if (text[0] == '=') {
		size_t i = strtoul(text + 1, NULL, 10);

		ST_ASSERT(i < s->n);
		same = &s->frames[i];
	}
	f->len = same ? same->len : strlen(text) / 2;
	f->p = malloc(f->len);
	ST_ASSERT(f->p);
	if (same)
		memcpy(f->p, same->p, f->len);
	else
		ST_ASSERT(codec_unhex(f->p, f->len, text, strlen(text)) == (ssize_t)f->len);
}

/* @line: number, ms, channel, from, to, opcode, bytes */
static void frame_add(struct cap_session *s, char *line)
{
	char *field[FIELDS], *rest = line;
	struct cap_frame f = { 0 };

	for (size_t i = 0; i < FIELDS; i++) {
		field[i] = strtok_r(rest, " ", &rest);
		ST_ASSERT(field[i]);
	}
	ST_ASSERT(strtoul(field[0], NULL, 10) == s->n);
	f.at_us = (uint64_t)(strtod(field[1], NULL) * 1000);
	f.control = strcmp(field[2], "control") == 0;
	f.from = who_of(field[3]);
	f.to = who_of(field[4]);
	f.text = strcmp(field[5], "text") == 0;
	bytes_set(&f, s, field[6]);
	s->frames = grown(s->frames, s->n, sizeof(*s->frames));
	s->frames[s->n++] = f;
}

void capture_load(struct capture *out)
{
	FILE *file = fopen(FILE_NAME, "r");
	char *line = malloc(LINE_BYTES);

	if (!file || !line)
		abort();
	*out = (struct capture){ .n = 0 };
	while (fgets(line, LINE_BYTES, file)) {
		line[strcspn(line, "\n")] = '\0';
		if (line[0] == '#')
			continue;
		if (strncmp(line, "== ", 3) == 0)
			session_add(out, line + 3);
		else
			frame_add(&out->sessions[out->n - 1], line);
	}
	fclose(file);
	free(line);
}

void capture_drop(struct capture *c)
{
	for (size_t i = 0; i < c->n; i++) {
		for (size_t k = 0; k < c->sessions[i].n; k++)
			free(c->sessions[i].frames[k].p);
		free(c->sessions[i].frames);
	}
	free(c->sessions);
	*c = (struct capture){ .n = 0 };
}
