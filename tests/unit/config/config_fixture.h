// SPDX-License-Identifier: MIT
/* config_fixture.h - loads a text as if it were the file "f" */
#ifndef TESTS_CONFIG_FIXTURE_H
#define TESTS_CONFIG_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/err.h"
#include "config/config_internal.h"

static inline int cx_load(struct config **out, struct cfg_report *report, const char *text,
			  const struct cfg_flag *flags, size_t n_flags)
{
	const struct cfg_file file = { .path = "/d/f",
				       .st = { .st_mode = S_IFREG | 0600, .st_uid = getuid() } };
	const struct cfg_opts opts = {
		.home = "/home/u", .caller = getuid(), .flags = flags, .n_flags = n_flags
	};

	*out = NULL;
	return cfg_load_text(out, &opts, report, &file, text, strlen(text));
}

/* "line:column: text" of the first problem of this sort that holds @text; aborts the test if there is none. */
static inline const struct cfg_problem *cx_find(const struct cfg_report *r, const char *text,
						bool warning)
{
	for (size_t i = 0; i < r->n; i++)
		if (r->problems[i].warning == warning && strstr(r->problems[i].text, text))
			return &r->problems[i];
	print_error("no %s with \"%s\" among:\n", warning ? "note" : "error", text);
	cfg_report_print(r, stderr);
	fail();
	return NULL;
}

static inline struct config *cx_good(const char *text)
{
	struct cfg_report *r = calloc(1, sizeof(*r));
	struct config *c;

	assert_non_null(r);
	if (cx_load(&c, r, text, NULL, 0))
		cfg_report_print(r, stderr);
	assert_non_null(c);
	assert_int_equal(r->n_errors, 0);
	free(r);
	return c;
}

#endif
