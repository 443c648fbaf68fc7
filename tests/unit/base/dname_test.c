// SPDX-License-Identifier: MIT
/*
 * Cases: names to their one form: case, last dots, A-labels, other scripts, underscores; every limit at its edge and one beyond; what is refused and
 * why; the output is untouched on error; patterns and what they may not hold; names below a suffix; matching and
 * meeting of random patterns against the plainest form; weight and tails; names and addresses told apart.
 */
#include "base/dname.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/util.h"

#define L63 "abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmnopqrstuvwxyz0"
#define L61 "abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmnopqrstuvwxy"
#define N253 L63 "." L63 "." L63 "." L61

static const struct {
	const char *in, *out;
} names[] = {
	{ "db.prod.internal", "db.prod.internal" },
	{ "DB.Prod.INTERNAL.", "db.prod.internal" },
	{ "a", "a" },
	{ "B\xc3\xbc"
	  "cher.example",
	  "xn--bcher-kva.example" },
	{ "B\xc3\x9c"
	  "CHER.Example.",
	  "xn--bcher-kva.example" },
	{ "bu\xcc\x88"
	  "cher.example",
	  "xn--bcher-kva.example" }, /* u and a combining mark */
	{ "fa\xc3\x9f.de", "xn--fa-hia.de" },
	{ "XN--BCHER-KVA.example", "xn--bcher-kva.example" },
	{ "xn--not.a-label", "xn--not.a-label" },
	{ "\xe4\xbe\x8b\xe3\x80\x82\xe4\xbe\x8b\xe3\x80\x82", "xn--fsq.xn--fsq" },
	{ "\xef\xbd\x84\xef\xbd\x82.x", "db.x" }, /* full width */
	{ "_ldap._tcp.dc.internal", "_ldap._tcp.dc.internal" },
	{ "_sip.b\xc3\xbc"
	  "cher.example",
	  "_sip.xn--bcher-kva.example" },
	{ "-a.b-.c", "-a.b-.c" },
	{ "1.2.x", "1.2.x" },
	{ L63 ".x", L63 ".x" },
	{ N253, N253 },
	{ N253 ".", N253 },
};

static void test_names(void **state)
{
	char out[DNAME_MAX];
	const char *why;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		why = NULL;
		if (dname_normal(out, names[i].in, &why))
			fail_msg("%s: %s", names[i].in, why);
		assert_string_equal(out, names[i].out);
		assert_int_equal(dname_normal(out, out, NULL), 0); /* it stays so */
		assert_string_equal(out, names[i].out);
		assert_int_equal(dname_pattern(out, names[i].in, NULL), 0);
		assert_string_equal(out, names[i].out);
	}
}

static const struct {
	const char *in, *why;
} no_names[] = {
	{ "", "empty" },
	{ ".", "empty" },
	{ "..", "two dots" },
	{ ".a", "two dots" },
	{ "a..b", "two dots" },
	{ "a..", "two dots" },
	{ L63 "x", "more than 63" },
	{ "a." L63 "x.b", "more than 63" },
	{ N253 "x", "more than 253" },
	{ N253 "x.", "more than 253" },
	{ "a b", "made of letters" },
	{ "a\\b", "made of letters" },
	{ "a/b", "made of letters" },
	{ "a\x01", "made of letters" },
	{ "a\x7f", "made of letters" },
	{ "*.a", "made of letters" },
	{ "a?", "made of letters" },
	{ "\xff.a", "not UTF-8" },
	{ "a\xc3", "not UTF-8" },
	{ "a\xc0\xaf.b", "not UTF-8" },
	{ "\xed\xa0\x80.b", "not UTF-8" },
	{ "\xe2\x80\xae"
	  "a.b",
	  "international domain names" }, /* a bidirectional override */
	{ "\xcc\x88"
	  "a.b",
	  "international domain names" }, /* a combining mark in front */
	{ "\xd7\x90"
	  "a.b",
	  "directions" },
	{ "b\xc3\xbc..c", "" },
};

static void test_no_names(void **state)
{
	char out[DNAME_MAX] = "untouched", longest[5000];
	const char *why;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(no_names); i++) {
		why = NULL;
		if (dname_normal(out, no_names[i].in, &why) != ST_EFORMAT)
			fail_msg("\"%s\" is accepted as \"%s\"", no_names[i].in, out);
		assert_non_null(why);
		if (!strstr(why, no_names[i].why))
			fail_msg("\"%s\": %s", no_names[i].in, why);
		assert_int_equal(dname_normal(out, no_names[i].in, NULL), ST_EFORMAT);
		assert_string_equal(out, "untouched");
	}
	for (size_t len = 1000; len < sizeof(longest); len += 13) { /* "ü" without end */
		for (size_t i = 0; i + 1 < len; i += 2)
			memcpy(longest + i, "\xc3\xbc", 3);
		assert_int_equal(dname_normal(out, longest, &why), ST_EFORMAT);
		assert_int_equal(dname_pattern(out, longest, &why), ST_EFORMAT);
	}
}

static const struct {
	const char *in, *out, *why; /* @out NULL: refused */
} patterns[] = {
	{ "*.Prod.Internal.", "*.prod.internal", NULL },
	{ "*.b\xc3\xbc"
	  "cher.Example",
	  "*.xn--bcher-kva.example", NULL },
	{ "db-??.prod.internal", "db-??.prod.internal", NULL },
	{ "DB*", "db*", NULL },
	{ "a.*.b", "a.*.b", NULL },
	{ "*.*.b", "*.*.b", NULL },
	{ "?.b", "?.b", NULL },
	{ "*." L63 "." L63 "." L63 "." L61, NULL, "more than 253" },
	{ "*." L63 "." L63 "." L61, "*." L63 "." L63 "." L61, NULL },
	{ "*", NULL, "every name" },
	{ "*.", NULL, "every name" },
	{ "*.*", NULL, "every name" },
	{ "?*", NULL, "every name" },
	{ "*.b..c", NULL, "two dots" },
	{ "*..c", NULL, "two dots" },
	{ ".*", NULL, "two dots" },
	{ "*.a b", NULL, "made of letters" },
	{ "*.[ab].c", NULL, "made of letters" },
	{ "*b\xc3\xbc"
	  "cher.example",
	  NULL, "a label with * or ?" },
	{ "xn--*.example", NULL, "a label with * or ?" },
	{ "Xn--bcher-kva?.example", NULL, "a label with * or ?" },
	{ "*.\xff", NULL, "not UTF-8" },
	{ "*." L63 "x", NULL, "more than 63" },
	{ L63 "*.x", NULL, "more than 63" },
	{ "", NULL, "empty" },
};

static void test_patterns(void **state)
{
	char out[DNAME_MAX];
	const char *why;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(patterns); i++) {
		int r = dname_pattern(out, patterns[i].in, &why);

		if ((r == 0) != (patterns[i].out != NULL))
			fail_msg("\"%s\": %s", patterns[i].in, r ? why : out);
		if (r == 0)
			assert_string_equal(out, patterns[i].out);
		else if (!strstr(why, patterns[i].why))
			fail_msg("\"%s\": %s", patterns[i].in, why);
	}
}

static void test_below(void **state)
{
	static const char *const sorted[] = { "",     "b",   "c.b", "a.c.b", "x.c.b",
					      "ac.b", "d.b", "ab",  "c" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(sorted); i++)
		for (size_t k = 0; k < ARRAY_LEN(sorted); k++) {
			int c = dname_cmp(sorted[i], sorted[k]);

			assert_int_equal(c, i < k ? -1 : i > k ? 1 : 0);
		}
	assert_true(dname_is_below("a.b.c", "b.c"));
	assert_true(dname_is_below("b.c", "b.c"));
	assert_true(dname_is_below("a.b.c", "c"));
	assert_false(dname_is_below("ab.c", "b.c"));
	assert_false(dname_is_below("c", "b.c"));
	assert_false(dname_is_below(".b.d", "b.c"));
	assert_false(dname_is_below("b.c.a", "b.c"));
}

/* The rule in its plainest form, exponential. */
static bool naive(const char *p, const char *n)
{
	if (*p == '*')
		return naive(p + 1, n) || (*n && naive(p, n + 1));
	if (!*n || !*p)
		return !*n && !*p;
	return (*p == *n || (*p == '?' && *n != '.')) && naive(p + 1, n + 1);
}

/* Is there a name that fits both? All of @alphabet up to 6 characters are tried. */
static bool naive_meet(const char *a, const char *b, char *name, size_t len)
{
	static const char alphabet[] = "ab.";

	name[len] = '\0';
	if (naive(a, name) && naive(b, name))
		return true;
	for (size_t i = 0; len < 6 && i < 3; i++) {
		name[len] = alphabet[i];
		if (naive_meet(a, b, name, len + 1))
			return true;
	}
	return false;
}

static void random_text(char *out, const char *alphabet, unsigned *seed, size_t max)
{
	size_t len = (size_t)rand_r(seed) % (max + 1);

	for (size_t i = 0; i < len; i++)
		out[i] = alphabet[(size_t)rand_r(seed) % strlen(alphabet)];
	out[len] = '\0';
}

static void test_match(void **state)
{
	unsigned seed = 1;
	char a[16], b[16], name[16];
	int found[2] = { 0 };

	(void)state;
	for (int i = 0; i < 200000; i++) {
		random_text(a, "ab.?**", &seed, 7);
		random_text(name, "ab.", &seed, 10);
		if (dname_match(a, name) != naive(a, name))
			fail_msg("%s %s", a, name);
		found[naive(a, name)]++;
	}
	assert_true(found[0] > 1000 && found[1] > 1000);
	found[0] = found[1] = 0;
	for (int i = 0; i < 3000; i++) {
		random_text(a, "ab.?*", &seed, 3);
		random_text(b, "ab.?*", &seed, 3);
		bool meet = naive_meet(a, b, name, 0);

		if (dname_meet(a, b) != meet || dname_meet(b, a) != meet)
			fail_msg("%s %s", a, b);
		found[meet]++;
	}
	assert_true(found[0] > 100 && found[1] > 100);
	assert_true(dname_match("*.x.y", "a.b.x.y"));
	assert_false(dname_match("*.x.y", "x.y"));
	assert_false(dname_match("a?b.x", "a.b.x"));
}

static void test_parts(void **state)
{
	static const char *const by_weight[] = { "b.c", "a",	  "*.b.c.d", "*.c.d",
						 "*.d", "a*.c.d", "?.d",     "*d" };
	static const char *const tails[][2] = {
		{ "a.b", "a.b" },    { "*.a.b", "a.b" }, { "x*.a.b", "a.b" }, { "*.*.b", "b" },
		{ "a.*.b?.c", "c" }, { "a.b*", "" },	 { "*", "" },	      { "a.?", "" },
	};

	(void)state;
	for (size_t i = 1; i < ARRAY_LEN(by_weight); i++)
		assert_true(dname_weight(by_weight[i - 1]) > dname_weight(by_weight[i]));
	for (size_t i = 0; i < ARRAY_LEN(tails); i++)
		assert_string_equal(dname_tail(tails[i][0]), tails[i][1]);
	assert_true(dname_is_suffix("*.a") && dname_is_suffix("*.a.b"));
	assert_false(dname_is_suffix("*a") || dname_is_suffix("*.a.*") || dname_is_suffix("a.b"));
}

static void test_looks_like(void **state)
{
	static const char *const yes[] = {
		"a",	"db.test",   "*.x.test", "db-?.x",  "*",   "1.x", "b\xc3\xbc.test",
		"x.y.", "10.0.0.0x", "a_b.c",	 "3com.de", "a b", "*.*", "db1",
		"*.a1"
	};
	static const char *const no[] = {
		"",	     "10.0.0.0/33", "10.0.0",	"10.0.0/8", "10",
		"fd00::1::", "::",	    "10.0.0.*", "10.*",	    "10.0.0.1-10.0.0.9",
		"a/b",	     "10.0.0.1",    "a.b.300",	"10.0.0.",  "db.1.",
		".",	     "a:53",	    "-",	"0x7f.0.1", "http://a.b/"
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(yes); i++)
		if (!dname_looks_like(yes[i]))
			fail_msg("%s", yes[i]);
	for (size_t i = 0; i < ARRAY_LEN(no); i++)
		if (dname_looks_like(no[i]))
			fail_msg("%s", no[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),	   cmocka_unit_test(test_no_names),
		cmocka_unit_test(test_patterns),   cmocka_unit_test(test_below),
		cmocka_unit_test(test_match),	   cmocka_unit_test(test_parts),
		cmocka_unit_test(test_looks_like),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
