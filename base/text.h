// SPDX-License-Identifier: MIT
/* text.h - printing text that came from outside (design, decision 17), and checks of names */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** text_utf8_get() - reads one character. Return: its bytes and *@cp; 0 if @len is 0 or @src does not start with valid UTF-8 */
size_t text_utf8_get(const void *src, size_t len, uint32_t *cp);
/** text_plain_len() - Return: bytes of the character at @p if it may be printed as it is (a backslash may);
 * 0 if @len is 0 or the first byte must be escaped: C0, C1, DEL, line and paragraph separators, bidirectional
 * controls (U+2028..202E, U+2066..2069), and what is not valid UTF-8 */
size_t text_plain_len(const void *p, size_t len);

/**
 * text_escape() - the rule of text_safe_n() into a buffer of the caller, of @max + 4 bytes
 * @backslash: escape backslashes too; false for text that holds escapes already
 * Return: the length without the NUL; at most @max, or up to @max + 3 when it was cut and ends in "..."
 */
size_t text_escape(char *dst, size_t max, const void *p, size_t len, bool backslash);

/* Bytes of the printed form of one piece of foreign text; decision 17 */
#define TEXT_SAFE_MAX 256U

/* A printed piece of foreign text by value, so that a log call can hold several: text_safe(s).s */
struct text_safe {
	char s[TEXT_SAFE_MAX + 4]; /* "..." and NUL when cut */
};

/**
 * text_safe_n() - foreign bytes made harmless
 * @p: @len bytes, any content; NULL reads as "(none)"
 * C0, C1, DEL, backslash, bidirectional controls, U+2028, U+2029 and bytes that are not valid UTF-8 become \xNN
 * (lower case, one for each byte); at most TEXT_SAFE_MAX bytes, cut at a whole character and ended with "...".
 */
struct text_safe text_safe_n(const void *p, size_t len);
/** text_safe() - the same for a NUL-terminated string */
struct text_safe text_safe(const char *s);

/** text_copy() - copies @src (NUL-terminated) to @dst of @cap bytes. Return: false if it was cut, at a whole character of
 * UTF-8: a text that was good JSON before still is */
bool text_copy(char *dst, size_t cap, const char *src);

/** text_near() - the entry of @words (@n of them) closest to @word by edits, or NULL if none is near
 * (more than a third of the letters differ); for "did you mean". */
const char *text_near(const char *word, const char *const *words, size_t n);

#endif
