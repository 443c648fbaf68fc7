// SPDX-License-Identifier: MIT
/*
 * Cases: each sort of pattern, and which of them wins in both orders; equal patterns; no rule; limits; random rules and names against a naive
 * scan, in both orders; 5,000 rules under 50 suffixes, found, and in little memory; suffixes for the system's resolver: the least set, globs,
 * direct rules, more of them, folding to common parents and no further than needed, more last labels than may be.
 */
#include "router/rt_names.h"

#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/util.h"

static struct rt_names *names_of(const char *const *patterns, size_t n, bool first)
{
	struct rt_name_rule *rules = calloc(n + 1, sizeof(*rules));
	struct rt_names *names = NULL;

	assert_non_null(rules);
	for (uint32_t i = 0; i < n; i++)
		rules[i] = (struct rt_name_rule){
			.pattern = patterns[i], .upstream = i, .line = i + 10, .order = i
		};
	assert_int_equal(rt_names_new(&names, rules, n, first), 0);
	free(rules);
	return names;
}

static const char *found(const struct rt_names *n, const char *name)
{
	const struct rt_name_rule *r = rt_names_find(n, name);

	return r ? r->pattern : "none";
}

static const char *const some[] = {
	"*.internal", "d?.prod.internal", "*.prod.internal",  "db.prod.internal", "d*.internal",
	"*-x.prod.*", "a.*.c.test",	  "db.prod.internal", "single",		  "*db*",
};

static const struct {
	const char *name, *specific, *first;
} finds[] = {
	{ "db.prod.internal", "db.prod.internal", "*.internal" },
	{ "dc.prod.internal", "*.prod.internal", "*.internal" },
	{ "x.y.prod.internal", "*.prod.internal", "*.internal" },
	{ "prod.internal", "*.internal", "*.internal" },
	{ "internal", "none", "none" },
	{ "xinternal", "none", "none" },
	{ "q-x.prod.test", "*-x.prod.*", "*-x.prod.*" },
	{ "a.b.c.test", "a.*.c.test", "a.*.c.test" },
	{ "a.b.b.c.test", "a.*.c.test", "a.*.c.test" },
	{ "a.c.test", "none", "none" },
	{ "single", "single", "single" },
	{ "x.single", "none", "none" },
	{ "mydb1.example", "*db*", "*db*" },
	{ "adb-x.prod.test", "*-x.prod.*", "*-x.prod.*" },
	{ "", "none", "none" },
};

static void test_find(void **state)
{
	struct rt_names *specific = names_of(some, ARRAY_LEN(some), false);
	struct rt_names *first = names_of(some, ARRAY_LEN(some), true);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(finds); i++) {
		assert_string_equal(found(specific, finds[i].name), finds[i].specific);
		assert_string_equal(found(first, finds[i].name), finds[i].first);
	}
	assert_int_equal(rt_names_find(specific, "db.prod.internal")->line,
			 13); /* of two the first */
	rt_names_free(specific);
	rt_names_free(first);
	rt_names_free(NULL);
}

static void test_limits(void **state)
{
	struct rt_name_rule *rules = calloc(RT_NAMES_MAX + 1, sizeof(*rules));
	char(*texts)[16] = calloc(RT_NAMES_MAX + 1, sizeof(*texts)), deep[254];
	struct rt_names *n;
	size_t count;

	(void)state;
	assert_non_null(rules);
	assert_non_null(texts);
	for (uint32_t i = 0; i <= RT_NAMES_MAX; i++) {
		sprintf(texts[i], i % 3 ? "*.h%u.x" : "h%u.x", i);
		rules[i] = (struct rt_name_rule){ .pattern = texts[i], .order = i };
	}
	assert_int_equal(rt_names_new(&n, rules, RT_NAMES_MAX + 1, false), ST_EFULL);
	assert_int_equal(rt_names_new(&n, rules, RT_NAMES_MAX, false), 0);
	assert_string_equal(found(n, "a.h16382.x"), "*.h16382.x");
	assert_string_equal(found(n, "h16383.x"), "h16383.x");
	assert_int_equal(rt_names_all(n, &count)->action, RT_UPSTREAM);
	assert_int_equal(count, RT_NAMES_MAX);
	rt_names_free(n);
	assert_int_equal(rt_names_new(&n, NULL, 0, true), 0);
	assert_null(rt_names_find(n, "a.b"));
	rt_names_free(n);
	/* 127 labels, all of them an end of some rule */
	for (size_t i = 0; i < sizeof(deep); i++)
		deep[i] = i % 2 ? '.' : 'a';
	deep[253] = '\0';
	for (uint32_t i = 0; i < 127; i++)
		rules[i] = (struct rt_name_rule){ .pattern = deep + 2 * (size_t)i, .order = i };
	assert_int_equal(rt_names_new(&n, rules, 127, false), 0);
	for (uint32_t i = 0; i < 127; i++)
		assert_string_equal(found(n, deep + 2 * (size_t)i), deep + 2 * (size_t)i);
	rt_names_free(n);
	free(rules);
	free(texts);
}

/* ---- against a naive scan */

static bool naive_match(const char *p, const char *n)
{
	if (*p == '*')
		return naive_match(p + 1, n) || (*n && naive_match(p, n + 1));
	if (!*n || !*p)
		return !*n && !*p;
	return (*p == *n || (*p == '?' && *n != '.')) && naive_match(p + 1, n + 1);
}

/* 0: a plain name; 1: a suffix; 2: a glob */
static int naive_sort(const char *p)
{
	const char *wild = strpbrk(p, "*?");

	if (!wild)
		return 0;
	return wild == p && p[0] == '*' && p[1] == '.' && !strpbrk(p + 1, "*?") ? 1 : 2;
}

static size_t literals(const char *p)
{
	size_t n = 0;

	for (; *p; p++)
		n += *p != '*' && *p != '?';
	return n;
}

static bool naive_better(const struct rt_name_rule *a, const struct rt_name_rule *b, bool first)
{
	int sa = naive_sort(a->pattern), sb = naive_sort(b->pattern);

	if (!first && sa != sb)
		return sa < sb;
	if (!first && literals(a->pattern) != literals(b->pattern))
		return literals(a->pattern) > literals(b->pattern);
	return a->order < b->order;
}

static const struct rt_name_rule *naive_find(const struct rt_name_rule *rules, size_t n,
					     const char *name, bool first)
{
	const struct rt_name_rule *best = NULL;

	for (size_t i = 0; i < n; i++)
		if (naive_match(rules[i].pattern, name) &&
		    (!best || naive_better(&rules[i], best, first)))
			best = &rules[i];
	return best;
}

/* Few labels of few letters, so that patterns and names meet often. */
static void random_name(char *out, unsigned *seed, bool is_pattern)
{
	static const char *const labels[] = { "a", "b", "ab", "ba", "abc", "x" };
	static const char *const wilds[] = { "*", "?", "a*", "*b", "a?", "*", "?b*", "*a*" };
	int n = rand_r(seed) % 4 + 1;
	size_t at = 0;

	for (int i = 0; i < n; i++) {
		bool is_wild = is_pattern && rand_r(seed) % (i ? 8 : 2) == 0;
		const char *label = is_wild ? wilds[(size_t)rand_r(seed) % ARRAY_LEN(wilds)]
					    : labels[(size_t)rand_r(seed) % ARRAY_LEN(labels)];

		at += (size_t)sprintf(out + at, "%s%s", i ? "." : "", label);
	}
}

#define RANDOM_RULES 60

static void random_round(unsigned *seed, unsigned *hits)
{
	struct rt_name_rule rules[RANDOM_RULES];
	char texts[RANDOM_RULES][64], name[64];
	size_t n_rules = (size_t)rand_r(seed) % RANDOM_RULES;
	bool first = rand_r(seed) % 2;
	struct rt_names *n;

	for (uint32_t i = 0; i < n_rules; i++) {
		random_name(texts[i], seed, true);
		/* orders in disarray, all different */
		rules[i] = (struct rt_name_rule){ .pattern = texts[i], .order = i * 37 % 61 };
	}
	assert_int_equal(rt_names_new(&n, rules, n_rules, first), 0);
	for (int i = 0; i < 200; i++) {
		const struct rt_name_rule *want, *is;

		random_name(name, seed, false);
		want = naive_find(rules, n_rules, name, first);
		is = rt_names_find(n, name);
		*hits += want != NULL;
		if ((want == NULL) != (is == NULL) || (is && is->order != want->order))
			fail_msg("%s, %s: %s, not %s", name, first ? "first" : "specific",
				 is ? is->pattern : "none", want ? want->pattern : "none");
	}
	rt_names_free(n);
}

static void test_random(void **state)
{
	unsigned seed = 7, hits = 0;

	(void)state;
	for (int i = 0; i < 2000; i++)
		random_round(&seed, &hits);
	assert_in_range(hits, 100000, 390000); /* of 400,000: both answers are common */
}

/* ---- the size that the design names */

/* A plain name, a suffix and a glob in turn, and a name below each. */
static void large_text(char *out, size_t cap, uint32_t i, uint32_t zone, bool is_name)
{
	switch (i % 3) {
	case 0: snprintf(out, cap, "h%u.z%u.internal", i, zone); break;
	case 1: snprintf(out, cap, "%s.s%u.z%u.internal", is_name ? "a" : "*", i, zone); break;
	default: snprintf(out, cap, "g%u-%s.z%u.internal", i, is_name ? "b" : "*", zone);
	}
}

static void test_large(void **state)
{
	enum { N = 5000, SUFFIXES = 50 };
	struct rt_name_rule *rules = calloc(N, sizeof(*rules));
	char(*texts)[64] = calloc(N, sizeof(*texts)), name[80];
	size_t folded, wild, before;
	struct rt_names *n;
	char **suffixes;

	(void)state;
	for (uint32_t i = 0; i < N; i++) {
		large_text(texts[i], sizeof(texts[i]), i, i % SUFFIXES, false);
		rules[i] = (struct rt_name_rule){ .pattern = texts[i], .upstream = i, .order = i };
	}
	before = mallinfo2().uordblks + mallinfo2().hblkhd;
	assert_int_equal(rt_names_new(&n, rules, N, false), 0);
	before = mallinfo2().uordblks + mallinfo2().hblkhd - before;
	print_message("%d rules: %zu KiB\n", N, before / 1024);
	assert_true(before < MIB(2)); /* 0 under a sanitizer, which has its own heap */
	for (uint32_t i = 0; i < N; i++) {
		large_text(name, sizeof(name), i, i % SUFFIXES, true);
		assert_int_equal(rt_names_find(n, name)->upstream, i);
	}
	/* all zones have a glob in the zone itself */
	assert_int_equal(rt_names_suffixes(n, NULL, 0, 256, &suffixes, &folded, &wild), SUFFIXES);
	assert_int_equal(folded + wild, 0);
	free(suffixes);
	assert_int_equal(rt_names_suffixes(n, NULL, 0, 30, &suffixes, &folded, &wild), 1);
	assert_string_equal(suffixes[0], "internal");
	assert_int_equal(folded, SUFFIXES);
	free(suffixes);
	rt_names_free(n);
	free(rules);
	free(texts);
}

/* ---- suffixes */

static const struct {
	const char *patterns[10]; /* "=" in front: direct */
	const char *more[4];
	size_t max;
	const char *out; /* in any order that is sorted by labels */
	size_t folded, wild;
} suffix_cases[] = {
	{ { NULL }, { NULL }, 5, "", 0, 0 },
	{ { "db.prod.internal" }, { NULL }, 5, "db.prod.internal ", 0, 0 },
	{ { "db.prod.internal", "*.prod.internal", "x.db.prod.internal" },
	  { NULL },
	  5,
	  "prod.internal ",
	  0,
	  0 },
	{ { "db-*.prod.internal", "xprod.internal" },
	  { NULL },
	  5,
	  "prod.internal xprod.internal ",
	  0,
	  0 },
	{ { "a.*.c.test", "a.b*", "*.d" }, { NULL }, 5, "d c.test ", 0, 1 },
	{ { "=x.corp", "=*y*", "*.z" }, { NULL }, 5, "z ", 0, 0 },
	{ { "*.z" }, { "a.z", "corp", "b.a" }, 5, "b.a corp z ", 0, 0 },
	/* the longest first, and only until there is room */
	{ { "a.b.c.x", "d.b.c.x", "e.x", "f.x" }, { NULL }, 3, "b.c.x e.x f.x ", 2, 0 },
	{ { "a.b.c.x", "d.b.c.x", "e.x", "f.x" }, { NULL }, 2, "x ", 5, 0 },
	{ { "a.b.x", "c.b.x", "d.y", "e.y" }, { NULL }, 3, "b.x d.y e.y ", 2, 0 },
	{ { "a.b.x", "c.b.x", "d.y", "e.y" }, { NULL }, 2, "b.x y ", 4, 0 },
	/* the largest family first */
	{ { "a.b.x", "c.b.x", "a.d.x", "b.d.x", "c.d.x" }, { NULL }, 3, "a.b.x c.b.x d.x ", 3, 0 },
	/* one without brothers comes with its parent's */
	{ { "a.b.c.x", "q.c.x", "z.y" }, { NULL }, 2, "c.x z.y ", 2, 0 },
	/* nothing in common */
	{ { "a.b", "c.d", "e.f" }, { NULL }, 2, "a.b c.d ", 0, 1 },
};

static void test_suffixes(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(suffix_cases); i++) {
		struct rt_name_rule rules[10] = { 0 };
		size_t n_rules = 0, n_more = 0, folded = 99, wild = 99;
		struct rt_names *n;
		char **out, all[300] = "";
		int r;

		for (; n_rules < 10 && suffix_cases[i].patterns[n_rules]; n_rules++) {
			const char *text = suffix_cases[i].patterns[n_rules];

			rules[n_rules].action = *text == '=' ? RT_DIRECT : RT_UPSTREAM;
			rules[n_rules].pattern = text + (*text == '=');
		}
		while (n_more < 4 && suffix_cases[i].more[n_more])
			n_more++;
		assert_int_equal(rt_names_new(&n, rules, n_rules, false), 0);
		r = rt_names_suffixes(n, suffix_cases[i].more, n_more, suffix_cases[i].max, &out,
				      &folded, &wild);
		rt_names_free(n);
		assert_true(r >= 0 && (size_t)r <= suffix_cases[i].max);
		for (int k = 0; k < r; k++) {
			strcat(all, out[k]);
			strcat(all, " ");
		}
		if (strcmp(all, suffix_cases[i].out) != 0)
			fail_msg("case %zu: %s", i, all);
		if (folded != suffix_cases[i].folded || wild != suffix_cases[i].wild)
			fail_msg("case %zu: %zu folded, %zu wild", i, folded, wild);
		free(out);
	}
}

/* Whatever is folded: every rule's names still lie below a suffix, and there are no more than may be. */
static void test_suffixes_random(void **state)
{
	unsigned seed = 3;

	(void)state;
	for (int round = 0; round < 500; round++) {
		struct rt_name_rule rules[RANDOM_RULES];
		char texts[RANDOM_RULES][64];
		size_t n_rules = (size_t)rand_r(&seed) % RANDOM_RULES, folded, wild;
		size_t max = (size_t)rand_r(&seed) % 20 + 7; /* last labels are six */
		struct rt_names *n;
		char **out;
		int r;

		for (uint32_t i = 0; i < n_rules; i++) {
			random_name(texts[i], &seed, false);
			rules[i] = (struct rt_name_rule){ .pattern = texts[i], .order = i };
		}
		assert_int_equal(rt_names_new(&n, rules, n_rules, false), 0);
		r = rt_names_suffixes(n, NULL, 0, max, &out, &folded, &wild);
		assert_in_range(r, 0, max);
		assert_int_equal(wild, 0);
		for (size_t i = 0; i < n_rules; i++) {
			int below = 0;

			for (int k = 0; k < r; k++) {
				size_t len = strlen(out[k]), all = strlen(texts[i]);

				below += all >= len && strcmp(texts[i] + all - len, out[k]) == 0 &&
					 (all == len || texts[i][all - len - 1] == '.');
			}
			assert_int_equal(below, 1);
		}
		free(out);
		rt_names_free(n);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_find),	 cmocka_unit_test(test_limits),
		cmocka_unit_test(test_random),	 cmocka_unit_test(test_large),
		cmocka_unit_test(test_suffixes), cmocka_unit_test(test_suffixes_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
