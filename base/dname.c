// SPDX-License-Identifier: MIT
/*
 * dname.c - domain names and patterns in one form: lower case A-labels without the last dot
 *
 * Theory of operation: ASCII is only lowered and checked, so that A-labels and underscores pass as they are. What holds other
 * characters goes through libidn2 first (UTS 46 mapping, non-transitional: "faß" stays its own name), a whole name at once; a
 * pattern label by label, since a wild character is none of IDNA's. The result is checked by the rules of ASCII either way.
 *
 * A pattern is matched from the left with one place to go back to, behind its last star: any later star makes the earlier ones
 * irrelevant, so the time is at most the product of both lengths. "*.suffix" and a plain name are patterns like any other.
 */
#include "base/dname.h"

#include <string.h>
#include <strings.h>

#include <idn2.h>

#include "base/err.h"
#include "base/util.h"

#define LABEL_MAX 63U /* bytes; RFC 1035, 2.3.4 */
#define TYPED_MAX                                                                                  \
	1016U /* ours: 4 * DNAME_MAX bytes as typed; a character has 4 at most and becomes one at least */

/* dname_weight() */
#define EXACT 0x30000U
#define SUFFIX 0x20000U
#define GLOB 0x10000U

static const char wild[] = "*?";
static const char literal[] = "abcdefghijklmnopqrstuvwxyz0123456789_-";

static const char why_empty[] = "it is empty";
static const char why_label_empty[] = "two dots without a label between them, or one in front";
static const char why_label_long[] = "a label has more than 63 bytes";
static const char why_long[] = "it has more than 253 bytes";
static const char why_character[] =
	"a name is made of letters, digits, hyphens, underscores and dots";
static const char why_idna[] = "it holds characters that international domain names don't have";
static const char why_every[] = "it holds every name: that is what default is for";
static const char why_wild_idna[] = "a label with * or ? can't have other letters than a to z";

static int refuse(const char **why, const char *text)
{
	if (why)
		*why = text;
	return ST_EFORMAT;
}

static bool is_ascii(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)s[i] >= 0x80)
			return false;
	return true;
}

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/* Lowers @len bytes of @in to @out and judges labels; @more: wild characters that count as letters. */
static int ascii_set(char out[DNAME_MAX], const char *in, size_t len, const char *more,
		     const char **why)
{
	size_t label = 0;

	if (len >= DNAME_MAX)
		return refuse(why, why_long);
	for (size_t i = 0; i < len; i++) {
		char c = lower(in[i]);

		if (c == '.' && label == 0)
			return refuse(why, why_label_empty);
		if (c != '.' && !strchr(literal, c) && !strchr(more, c))
			return refuse(why, why_character);
		label = c == '.' ? 0 : label + 1;
		if (label > LABEL_MAX)
			return refuse(why, why_label_long);
		out[i] = c;
	}
	out[len] = '\0';
	return label ? 0 : refuse(why, len ? why_label_empty : why_empty);
}

static const char *why_not_idna(int err)
{
	switch (err) {
	case IDN2_TOO_BIG_DOMAIN: return why_long;
	case IDN2_TOO_BIG_LABEL:
	case IDN2_PUNYCODE_BIG_OUTPUT: return why_label_long;
	case IDN2_ENCODING_ERROR: return "it is not UTF-8";
	case IDN2_BIDI: return "it mixes directions of writing";
	case IDN2_MALLOC: return "no memory to read it";
	default: return why_idna;
	}
}

/* Other characters than ASCII: @in has @len bytes, less than TYPED_MAX. */
static int idna_set(char out[DNAME_MAX], const char *in, size_t len, const char **why)
{
	char typed[TYPED_MAX], *ascii = NULL;
	int r;

	memcpy(typed, in, len);
	typed[len] = '\0';
	r = idn2_to_ascii_8z(typed, &ascii, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL);
	if (r != IDN2_OK)
		return refuse(why, why_not_idna(r));
	len = strlen(ascii);
	if (len && ascii[len - 1] == '.') /* a full stop of another script was the last character */
		len--;
	r = ascii_set(out, ascii, len, "", why);
	idn2_free(ascii);
	return r;
}

/* Bytes of @in without one last dot; TYPED_MAX or more: too long to be looked at. */
static size_t typed_len(const char *in)
{
	size_t len = strnlen(in, TYPED_MAX + 1);

	return len && in[len - 1] == '.' ? len - 1 : len;
}

static int normal(char out[DNAME_MAX], const char *in, size_t len, const char **why)
{
	if (len >= TYPED_MAX)
		return refuse(why, why_long);
	return is_ascii(in, len) ? ascii_set(out, in, len, "", why) : idna_set(out, in, len, why);
}

int dname_normal(char out[DNAME_MAX], const char *in, const char **why)
{
	char name[DNAME_MAX];
	int r = normal(name, in, typed_len(in), why);

	if (r == 0)
		memcpy(out, name, strlen(name) + 1);
	return r;
}

/* One label of a pattern, or, where it is of another script with full stops of its own, several. */
static int label_set(char out[DNAME_MAX], const char *in, size_t len, const char **why)
{
	bool is_wild = memchr(in, '*', len) || memchr(in, '?', len);

	if (!is_wild)
		return len ? normal(out, in, len, why) : refuse(why, why_label_empty);
	if (!is_ascii(in, len) || (len >= 4 && strncasecmp(in, "xn--", 4) == 0))
		return refuse(why, why_wild_idna);
	return ascii_set(out, in, len, wild, why);
}

static int pattern(char out[DNAME_MAX], const char *in, size_t len, const char **why)
{
	char label[DNAME_MAX];
	size_t at = 0;
	int r;

	for (size_t i = 0, n; i <= len; i += n + 1) {
		const char *dot = memchr(in + i, '.', len - i);

		n = dot ? (size_t)(dot - (in + i)) : len - i;
		if ((r = label_set(label, in + i, n, why)) < 0)
			return r;
		if (strlen(label) + 1 > DNAME_MAX - at)
			return refuse(why, why_long);
		memcpy(out + at, label, strlen(label));
		at += strlen(label);
		out[at++] = '.'; /* of the last label it becomes the end */
	}
	out[at - 1] = '\0';
	return strpbrk(out, literal) ? 0 : refuse(why, why_every);
}

int dname_pattern(char out[DNAME_MAX], const char *in, const char **why)
{
	size_t len = typed_len(in);
	char text[DNAME_MAX];
	int r;

	if (!strpbrk(in, wild))
		return dname_normal(out, in, why);
	if (len >= TYPED_MAX)
		return refuse(why, why_long);
	if ((r = pattern(text, in, len, why)) == 0)
		memcpy(out, text, strlen(text) + 1);
	return r;
}

bool dname_is_below(const char *name, const char *suffix)
{
	size_t n = strlen(name), s = strlen(suffix);

	return n >= s && memcmp(name + n - s, suffix, s) == 0 && (n == s || name[n - s - 1] == '.');
}

int dname_cmp(const char *a, const char *b)
{
	size_t i = strlen(a), k = strlen(b);

	for (; i > 0 && k > 0; i--, k--) {
		char ca = a[i - 1], cb = b[k - 1];

		if (ca == cb)
			continue;
		if (ca == '.' || cb == '.')
			return ca == '.' ? -1 : 1;
		return (unsigned char)ca < (unsigned char)cb ? -1 : 1;
	}
	return i == k ? 0 : i < k ? -1 : 1;
}

/* May one character stand at this place of both? "?" is any but a dot. */
static bool char_fits(char a, char b)
{
	if (a == '?' || b == '?')
		return a != '.' && b != '.';
	return a == b;
}

/* @text may have "?" too: then whether there is a name that fits both. */
static bool fits(const char *pattern, const char *text)
{
	const char *star = NULL, *from = NULL;

	while (*text) {
		if (*pattern == '*') {
			star = ++pattern;
			from = text;
		} else if (*pattern && char_fits(*pattern, *text)) {
			pattern++;
			text++;
		} else if (star) {
			pattern = star;
			text = ++from;
		} else {
			return false;
		}
	}
	while (*pattern == '*')
		pattern++;
	return !*pattern;
}

bool dname_match(const char *pattern, const char *name)
{
	return fits(pattern, name);
}

/* Before the first star of either they must agree, behind the last one too; what is between goes into the stars. */
bool dname_meet(const char *a, const char *b)
{
	const char *end_a = a + strlen(a), *end_b = b + strlen(b);

	if (!strchr(a, '*'))
		return fits(b, a);
	if (!strchr(b, '*'))
		return fits(a, b);
	for (; *a != '*' && *b != '*'; a++, b++)
		if (!char_fits(*a, *b))
			return false;
	while (*--end_a != '*' && *--end_b != '*')
		if (!char_fits(*end_a, *end_b))
			return false;
	return true;
}

bool dname_is_suffix(const char *pattern)
{
	return pattern[0] == '*' && pattern[1] == '.' && !strpbrk(pattern + 2, wild);
}

const char *dname_tail(const char *pattern)
{
	const char *tail = pattern;

	for (const char *c = pattern; (c = strpbrk(c, wild)); c++)
		tail = c + strcspn(c, ".");
	return *tail == '.' ? tail + 1 : tail;
}

uint32_t dname_weight(const char *pattern)
{
	uint32_t literals = 0;

	for (const char *c = pattern; *c; c++)
		literals += *c != '*' && *c != '?';
	if (literals == strlen(pattern))
		return EXACT | literals;
	return (dname_is_suffix(pattern) ? SUFFIX : GLOB) | literals;
}

/* "10.0.0.*" and "10.0.0.1-10.0.0.9" are ranges of addresses in the hands of whoever writes them, and no name ends in a number. */
bool dname_looks_like(const char *in)
{
	size_t all = strlen(in), len = typed_len(in), digits = 0;

	if (!len || strpbrk(in, ":/"))
		return false;
	if (strspn(in, "*?.-") == all) /* "*" is a pattern, though none that is allowed */
		return strpbrk(in, wild) != NULL;
	if (strspn(in, "0123456789.*?-") == all)
		return false;
	while (digits < len && in[len - 1 - digits] >= '0' && in[len - 1 - digits] <= '9')
		digits++;
	return !digits || in[len - 1 - digits] != '.';
}
