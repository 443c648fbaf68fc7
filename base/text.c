// SPDX-License-Identifier: MIT
/*
 * text.c - printing text that came from outside
 *
 * Theory of operation: one scanner, text_plain_len(), says of the bytes at hand whether they are a
 * whole character that is safe to print. What is not is escaped one byte at a time, so the second
 * and later bytes of a refused character come by as stray continuation bytes and are escaped too.
 */
#include "base/text.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"

#define UTF8_MAX 4U	  /* bytes of a character; RFC 3629 */
#define NEAR_WORD_MAX 64U /* bytes, ours: no key or verb of ours is longer */

/* Bytes that the lead byte @c announces, 0 if no character starts so; RFC 3629 section 4 */
static size_t utf8_lead_len(uint8_t c)
{
	if (c < 0x80)
		return 1;
	if (c >= 0xc2 && c <= 0xdf)
		return 2;
	if (c >= 0xe0 && c <= 0xef)
		return 3;
	if (c >= 0xf0 && c <= 0xf4)
		return 4;
	return 0;
}

size_t text_utf8_get(const void *src, size_t len, uint32_t *cp)
{
	const uint8_t *p = src;
	static const uint8_t lead_mask[] = { 0, 0x7f, 0x1f, 0x0f, 0x07 };
	static const uint32_t lowest[] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t n = len > 0 ? utf8_lead_len(p[0]) : 0;
	uint32_t v;

	if (n == 0 || n > len)
		return 0;
	v = p[0] & lead_mask[n];
	for (size_t i = 1; i < n; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		v = v << 6 | (p[i] & 0x3fU);
	}
	if (v < lowest[n] || v > 0x10ffff || (v >= 0xd800 && v <= 0xdfff))
		return 0;
	*cp = v;
	return n;
}

/* Controls, and what reorders or breaks a line on a screen (Unicode TR 36, section 2.2) */
static bool is_unsafe(uint32_t cp)
{
	return cp < 0x20 || (cp >= 0x7f && cp <= 0x9f) || (cp >= 0x2028 && cp <= 0x202e) ||
	       (cp >= 0x2066 && cp <= 0x2069);
}

size_t text_plain_len(const void *p, size_t len)
{
	uint32_t cp;
	size_t n = text_utf8_get(p, len, &cp);

	return n > 0 && !is_unsafe(cp) ? n : 0;
}

size_t text_escape(char *dst, size_t max, const void *p, size_t len, bool backslash)
{
	static const char digits[] = "0123456789abcdef";
	const uint8_t *src = p;
	size_t out = 0;

	for (size_t at = 0; at < len;) {
		size_t n = text_plain_len(src + at, len - at);
		bool plain = n > 0 && !(backslash && src[at] == '\\');

		if ((plain ? n : 4U) > max - out) {
			memcpy(dst + out, "...", 4);
			return out + 3;
		}
		if (plain) {
			memcpy(dst + out, src + at, n);
			out += n;
			at += n;
			continue;
		}
		dst[out++] = '\\';
		dst[out++] = 'x';
		dst[out++] = digits[src[at] >> 4];
		dst[out++] = digits[src[at] & 0x0f];
		at++;
	}
	dst[out] = '\0';
	return out;
}

struct text_safe text_safe_n(const void *p, size_t len)
{
	static const char none[] = "(none)";
	struct text_safe t = { .s = "" };

	text_escape(t.s, TEXT_SAFE_MAX, p ? p : none, p ? len : sizeof(none) - 1, true);
	return t;
}

struct text_safe text_safe(const char *s)
{
	/* Every source byte is at least one printed byte: what is behind the limit can't show. */
	return text_safe_n(s, s ? strnlen(s, TEXT_SAFE_MAX + 4U) : 0);
}

bool text_copy(char *dst, size_t cap, const char *src)
{
	size_t len = strnlen(src, cap);

	if (cap == 0)
		return false;
	if (len < cap) {
		memcpy(dst, src, len + 1);
		return true;
	}
	len = cap - 1;
	while (len > 0 && cap - len < UTF8_MAX && ((unsigned char)src[len] & 0xc0) == 0x80)
		len--;
	memcpy(dst, src, len);
	dst[len] = '\0';
	return false;
}

/* Insertions, deletions, changes and swaps of neighbours that turn @a into @b (optimal string alignment) */
static size_t edits(const char *a, size_t a_len, const char *b, size_t b_len)
{
	size_t rows[3][NEAR_WORD_MAX + 1];
	size_t *before = rows[0], *above = rows[1], *row = rows[2];

	for (size_t j = 0; j <= b_len; j++)
		row[j] = before[j] = above[j] = j;
	for (size_t i = 1; i <= a_len; i++) {
		size_t *oldest = before;

		before = above;
		above = row;
		row = oldest;
		row[0] = i;
		for (size_t j = 1; j <= b_len; j++) {
			size_t best = above[j - 1] + (a[i - 1] != b[j - 1]);

			best = MIN(best, above[j] + 1);
			best = MIN(best, row[j - 1] + 1);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				best = MIN(best, before[j - 2] + 1);
			row[j] = best;
		}
	}
	return row[b_len];
}

const char *text_near(const char *word, const char *const *words, size_t n)
{
	size_t word_len = strnlen(word, NEAR_WORD_MAX + 1);
	size_t best = SIZE_MAX;
	const char *found = NULL;

	if (word_len > NEAR_WORD_MAX)
		return NULL;
	for (size_t i = 0; i < n; i++) {
		size_t len = strnlen(words[i], NEAR_WORD_MAX + 1);
		size_t d;

		if (len > NEAR_WORD_MAX)
			continue;
		d = edits(word, word_len, words[i], len);
		if (d * 3 <= MAX(word_len, len) && d < best) {
			best = d;
			found = words[i];
		}
	}
	return found;
}
