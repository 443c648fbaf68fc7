// SPDX-License-Identifier: MIT
/*
 * config_report.c - the problems of one load, in the order of the file
 *
 * A report has room for CFG_PROBLEMS_MAX problems; the rest is counted. Names of files and flags are copied into it.
 */
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "config/config_internal.h"

static const char *name_keep(struct cfg_report *r, const char *name)
{
	size_t len, at = 0;

	if (!name)
		return NULL;
	while (at < r->names_len) {
		if (strcmp(r->names + at, name) == 0)
			return r->names + at;
		at += strlen(r->names + at) + 1;
	}
	len = strlen(name) + 1;
	if (len > sizeof(r->names) - r->names_len)
		return "(a long name)";
	memcpy(r->names + at, name, len);
	r->names_len += len;
	return r->names + at;
}

static void add(struct cfg_report *r, const struct cfg_place *at, bool warning, const char *fmt,
		va_list ap) ST_PRINTF(4, 0);

static void add(struct cfg_report *r, const struct cfg_place *at, bool warning, const char *fmt,
		va_list ap)
{
	struct cfg_problem *p;

	if (!warning)
		r->n_errors++;
	if (r->n == CFG_PROBLEMS_MAX)
		return;
	p = &r->problems[r->n++];
	*p = (struct cfg_problem){ .warning = warning };
	if (at)
		p->place = (struct cfg_place){ name_keep(r, at->file), at->line, at->column };
	vsnprintf(p->text, sizeof(p->text), fmt, ap);
}

void cfg_error(struct cfg_loader *ld, const struct cfg_place *at, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	add(ld->report, at, false, fmt, ap);
	va_end(ap);
}

void cfg_note(struct cfg_loader *ld, const struct cfg_place *at, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	add(ld->report, at, true, fmt, ap);
	va_end(ap);
}

bool cfg_report_is_full(const struct cfg_report *report)
{
	return report->n == CFG_PROBLEMS_MAX;
}

/* What has no line (the search, flags) comes first and keeps its order. */
static bool is_before(const struct cfg_problem *a, const struct cfg_problem *b)
{
	if (a->place.line != b->place.line)
		return a->place.line < b->place.line;
	return a->place.line && a->place.column < b->place.column;
}

void cfg_report_sort(struct cfg_report *report)
{
	for (size_t i = 1; i < report->n; i++) {
		struct cfg_problem p = report->problems[i];
		size_t at = i;

		for (; at > 0 && is_before(&p, &report->problems[at - 1]); at--)
			report->problems[at] = report->problems[at - 1];
		report->problems[at] = p;
	}
}

void cfg_report_print(const struct cfg_report *report, FILE *to)
{
	for (size_t i = 0; i < report->n; i++) {
		const struct cfg_problem *p = &report->problems[i];

		if (p->place.file)
			fprintf(to, "%s:", text_safe(p->place.file).s);
		if (p->place.line)
			fprintf(to, "%u:%u:", p->place.line, p->place.column);
		fprintf(to, "%s%s%s\n", p->place.file || p->place.line ? " " : "",
			p->warning ? "note: " : "", p->text);
	}
	if (cfg_report_is_full(report))
		fprintf(to, "only the first %u problems are shown\n", CFG_PROBLEMS_MAX);
}

struct cfg_where cfg_where(const struct cfg_place *at)
{
	struct cfg_where w = { 0 };

	if (at->line)
		snprintf(w.s, sizeof(w.s), "line %u", at->line);
	else
		text_copy(w.s, sizeof(w.s), at->file ? at->file : "flags");
	return w;
}

struct cfg_quoted cfg_quote(const char *value)
{
	struct cfg_quoted q;
	size_t len = strnlen(value, CFG_QUOTE_MAX + 1);
	bool cut = len > CFG_QUOTE_MAX;

	snprintf(q.s, sizeof(q.s), "\"%.*s%s\"", (int)CFG_QUOTE_MAX * 4,
		 text_safe_n(value, MIN(len, CFG_QUOTE_MAX)).s, cut ? "..." : "");
	return q;
}
