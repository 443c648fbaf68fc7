// SPDX-License-Identifier: MIT
/*
 * text_test.c - what foreign text looks like when printed
 *
 * Cases: plain ASCII and UTF-8 pass; C0, C1, DEL, backslash, bidirectional controls and line separators
 * are escaped; every kind of invalid UTF-8; the limit to the byte, also in the midst of a character;
 * text_copy() at its limits; text_near() hits and misses.
 */
#include "base/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/util.h"

static void rule_of_each_kind(void **state)
{
	static const struct {
		const char *in;
		const char *out;
	} cases[] = {
		{ "", "" },
		{ "plain ~!", "plain ~!" },
		{ "gr\303\274n \342\202\254 \360\237\230\200",
		  "gr\303\274n \342\202\254 \360\237\230\200" },
		{ "\001\033[2J", "\\x01\\x1b[2J" },
		{ "a\r\n\tb", "a\\x0d\\x0a\\x09b" },
		{ "\177", "\\x7f" },
		{ "\\x1b", "\\x5cx1b" },
		{ "\302\200\302\233\302\237\302\240", "\\xc2\\x80\\xc2\\x9b\\xc2\\x9f\302\240" },
		{ "\342\200\252", "\\xe2\\x80\\xaa" },		/* U+202A */
		{ "\342\200\256", "\\xe2\\x80\\xae" },		/* U+202E */
		{ "\342\200\257", "\342\200\257" },		/* U+202F, a space */
		{ "\342\200\250", "\\xe2\\x80\\xa8" },		/* U+2028 */
		{ "\342\200\251", "\\xe2\\x80\\xa9" },		/* U+2029 */
		{ "\342\200\247", "\342\200\247" },		/* U+2027 */
		{ "\342\201\246", "\\xe2\\x81\\xa6" },		/* U+2066 */
		{ "\342\201\251", "\\xe2\\x81\\xa9" },		/* U+2069 */
		{ "\342\201\245", "\342\201\245" },		/* U+2065 */
		{ "\200", "\\x80" },				/* stray continuation */
		{ "\300\257", "\\xc0\\xaf" },			/* overlong, 2 bytes */
		{ "\340\200\257", "\\xe0\\x80\\xaf" },		/* overlong, 3 bytes */
		{ "\360\200\200\257", "\\xf0\\x80\\x80\\xaf" }, /* overlong, 4 bytes */
		{ "\355\240\200", "\\xed\\xa0\\x80" },		/* surrogate */
		{ "\364\220\200\200", "\\xf4\\x90\\x80\\x80" }, /* beyond U+10FFFF */
		{ "\364\217\277\277", "\364\217\277\277" },	/* U+10FFFF */
		{ "\365\200\200\200", "\\xf5\\x80\\x80\\x80" },
		{ "\377", "\\xff" },
		{ "\342\202", "\\xe2\\x82" }, /* ends too early */
		{ "\342A", "\\xe2"
			   "A" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_string_equal(text_safe(cases[i].in).s, cases[i].out);
}

static void null_and_nul(void **state)
{
	(void)state;
	assert_string_equal(text_safe(NULL).s, "(none)");
	assert_string_equal(text_safe_n(NULL, 5).s, "(none)");
	assert_string_equal(text_safe_n("a\0b", 3).s, "a\\x00b");
	assert_string_equal(text_safe_n("abc", 0).s, "");
}

static void limit_to_the_byte(void **state)
{
	char in[TEXT_SAFE_MAX + 8];
	struct text_safe t;

	(void)state;
	memset(in, 'a', sizeof(in));
	assert_int_equal(strlen(text_safe_n(in, TEXT_SAFE_MAX).s), TEXT_SAFE_MAX);
	t = text_safe_n(in, TEXT_SAFE_MAX + 1);
	assert_int_equal(strlen(t.s), TEXT_SAFE_MAX + 3);
	assert_string_equal(t.s + TEXT_SAFE_MAX, "...");
	in[sizeof(in) - 1] = '\0';
	assert_string_equal(text_safe(in).s, t.s);

	/* An escape that would end one byte behind the limit is left out whole. */
	in[TEXT_SAFE_MAX - 3] = '\033';
	t = text_safe_n(in, TEXT_SAFE_MAX);
	assert_string_equal(t.s + TEXT_SAFE_MAX - 3, "...");
	/* So is a character. */
	memcpy(in + TEXT_SAFE_MAX - 2, "\342\202\254", 3);
	in[TEXT_SAFE_MAX - 3] = 'a';
	t = text_safe_n(in, TEXT_SAFE_MAX + 1);
	assert_string_equal(t.s + TEXT_SAFE_MAX - 3, "a...");
	memcpy(in + TEXT_SAFE_MAX - 3, "\342\202\254", 3);
	t = text_safe_n(in, TEXT_SAFE_MAX);
	assert_string_equal(t.s + TEXT_SAFE_MAX - 3, "\342\202\254");
}

/* text_safe() looks at a bounded piece of a string: the piece's end must not change what is printed. */
static void long_string_is_cut_at_a_character(void **state)
{
	char in[4 * TEXT_SAFE_MAX];

	(void)state;
	for (size_t shift = 0; shift < 4; shift++) {
		memset(in, 'a', sizeof(in));
		for (size_t i = shift; i + 4 < sizeof(in); i += 4)
			memcpy(in + i, "\360\237\230\200", 4);
		in[sizeof(in) - 1] = '\0';
		assert_string_equal(text_safe(in).s, text_safe_n(in, sizeof(in) - 1).s);
		assert_null(strchr(text_safe(in).s, '\\'));
	}
}

static void every_byte_alone_is_printable(void **state)
{
	(void)state;
	for (unsigned c = 0; c < 256; c++) {
		uint8_t byte = (uint8_t)c;
		struct text_safe t = text_safe_n(&byte, 1);
		char want[8];

		snprintf(want, sizeof(want), c >= 32 && c < 127 && c != '\\' ? "%c" : "\\x%02x", c);
		assert_string_equal(t.s, want);
	}
}

static void escape_keeps_backslashes_if_told(void **state)
{
	char out[16 + 4];

	(void)state;
	assert_int_equal(text_escape(out, 16, "a\\\n", 3, false), 6);
	assert_string_equal(out, "a\\\\x0a");
	assert_int_equal(text_escape(out, 2, "abc", 3, false), 5);
	assert_string_equal(out, "ab...");
	assert_int_equal(text_escape(out, 0, "", 0, false), 0);
	assert_string_equal(out, "");
}

static void copy_at_its_limits(void **state)
{
	char dst[4] = "zzz";

	(void)state;
	assert_true(text_copy(dst, sizeof(dst), ""));
	assert_string_equal(dst, "");
	assert_true(text_copy(dst, sizeof(dst), "abc"));
	assert_string_equal(dst, "abc");
	assert_false(text_copy(dst, sizeof(dst), "wxyz"));
	assert_string_equal(dst, "wxy");
	assert_false(text_copy(dst, 0, "q"));
	assert_string_equal(dst, "wxy");
	assert_true(text_copy(dst, sizeof(dst), "\u20ac")); /* three bytes */
	assert_string_equal(dst, "\u20ac");
	assert_false(text_copy(dst, sizeof(dst), "\u20acx"));
	assert_string_equal(dst, "\u20ac");
	assert_false(text_copy(dst, sizeof(dst), "a\u20ac")); /* never a part of it */
	assert_string_equal(dst, "a");
	assert_false(text_copy(dst, sizeof(dst), "\U0001f600")); /* four bytes */
	assert_string_equal(dst, "");
	assert_false(text_copy(dst, 1, "\u00e9"));
	assert_string_equal(dst, "");
}

static void near_words(void **state)
{
	static const char *const words[] = { "upstreams", "routes", "default", "down", "up" };
	char longer[100];

	(void)state;
	assert_string_equal(text_near("upstream", words, ARRAY_LEN(words)), "upstreams");
	assert_string_equal(text_near("rotues", words, ARRAY_LEN(words)), "routes");
	assert_string_equal(text_near("dwon", words, ARRAY_LEN(words)), "down");
	assert_string_equal(text_near("defalut", words, ARRAY_LEN(words)), "default");
	assert_string_equal(text_near("up", words, ARRAY_LEN(words)), "up");
	assert_null(text_near("xyzzy", words, ARRAY_LEN(words)));
	assert_null(text_near("ub", words, ARRAY_LEN(words)));
	assert_null(text_near("", words, ARRAY_LEN(words)));
	assert_null(text_near("up", words, 0));
	memset(longer, 'u', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	assert_null(text_near(longer, words, ARRAY_LEN(words)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rule_of_each_kind),
		cmocka_unit_test(null_and_nul),
		cmocka_unit_test(limit_to_the_byte),
		cmocka_unit_test(long_string_is_cut_at_a_character),
		cmocka_unit_test(every_byte_alone_is_printable),
		cmocka_unit_test(escape_keeps_backslashes_if_told),
		cmocka_unit_test(copy_at_its_limits),
		cmocka_unit_test(near_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
