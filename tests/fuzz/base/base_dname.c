// SPDX-License-Identifier: MIT
/*
 * base_dname.c - any two texts as names and patterns: one form that stays as it is and within its limits, and relations that hold for any
 *
 * The two are parted by a line's end.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/dname.h"
#include "base/util.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect(bool cond)
{
	if (!cond)
		abort();
}

static void check_form(const char *s, const char *allowed)
{
	char again[DNAME_MAX];
	size_t len = strlen(s);

	expect(len > 0 && len < DNAME_MAX && strspn(s, allowed) == len);
	expect(s[0] != '.' && s[len - 1] != '.' && !strstr(s, ".."));
	for (const char *label = s; *label;
	     label += strcspn(label, ".") + (strchr(label, '.') != NULL))
		expect(strcspn(label, ".") <= 63);
	expect(dname_pattern(again, s, NULL) == 0 && strcmp(again, s) == 0);
}

#define LITERAL "abcdefghijklmnopqrstuvwxyz0123456789_-."

/* Return: is @text a pattern, in @out? */
static bool one(char out[DNAME_MAX], const char *text)
{
	char name[DNAME_MAX];
	const char *why = NULL;
	int r = dname_normal(name, text, &why);

	dname_looks_like(text);
	expect(r == 0 || why);
	if (r == 0)
		check_form(name, LITERAL);
	if (dname_pattern(out, text, &why) < 0) {
		expect(r < 0);
		return false;
	}
	expect(r < 0 || strcmp(name, out) == 0);
	check_form(out, LITERAL "*?");
	expect(dname_match(out, out) || strpbrk(out, "*?"));
	expect(dname_is_below(out, dname_tail(out)) || !*dname_tail(out) || dname_tail(out) == out);
	expect(dname_meet(out, out));
	return true;
}

static void two(const char *a, const char *b)
{
	bool a_is_plain = !strpbrk(a, "*?");

	expect(dname_meet(a, b) == dname_meet(b, a));
	if (a_is_plain)
		expect(dname_meet(a, b) == dname_match(b, a));
	if (a_is_plain && dname_match(b, a) && strpbrk(b, "*?"))
		expect(dname_weight(a) > dname_weight(b));
	if (a_is_plain && dname_is_suffix(b))
		expect(dname_match(b, a) == (dname_is_below(a, b + 2) && strcmp(a, b + 2) != 0));
	expect((dname_cmp(a, b) < 0) == (dname_cmp(b, a) > 0));
	expect((dname_cmp(a, b) == 0) == (strcmp(a, b) == 0));
	if (dname_is_below(a, b))
		expect(dname_cmp(a, b) >= 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char a[DNAME_MAX], b[DNAME_MAX], *text = calloc(1, size + 1), *second;

	if (!text)
		return 0;
	if (size)
		memcpy(text, data, size);
	if ((second = strchr(text, '\n')))
		*second++ = '\0';
	if (one(a, text) && second && one(b, second)) {
		two(a, b);
		two(b, a);
	}
	free(text);
	return 0;
}
