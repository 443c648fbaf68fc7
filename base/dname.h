// SPDX-License-Identifier: MIT
/* dname.h - domain names and patterns as people write them, in the one form that everything else compares */
#ifndef BASE_DNAME_H
#define BASE_DNAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DNAME_MAX 254U /* bytes as text without the last dot, and NUL; RFC 1035, 2.3.4 */

/** dname_normal() - @in, UTF-8 or A-labels, any case, a last dot or none, to lower case A-labels (IDNA2008 with UTS 46 mapping)
 * Letters, digits, hyphens and underscores; labels of 1 to 63 bytes. Return: 0; ST_EFORMAT: *@why (may be NULL) is a constant text that
 * says what is wrong, for a message behind the quoted name */
int dname_normal(char out[DNAME_MAX], const char *in, const char **why);
/** dname_pattern() - the same for a rule: "*" and "?" are allowed, "*." in front is a suffix. A label with a wild character may not
 * be IDNA. "*" alone is refused: that is what default is for */
int dname_pattern(char out[DNAME_MAX], const char *in, const char **why);
/** dname_is_below() - is @name @suffix or below it? Both normal */
bool dname_is_below(
	const char *name,
	const char *
		suffix); /** dname_cmp() - by labels from the last to the first: a name comes before all that are below it, and nothing else is between */
int dname_cmp(const char *a, const char *b);

/* Of normal names and patterns of dname_pattern(), which may be plain names too: */

/** dname_match() - "*" is any characters, dots too, or none; "?" is one that is not a dot */
bool dname_match(const char *pattern, const char *name);
/** dname_meet() - can a name fit both patterns? */
bool dname_meet(const char *a, const char *b);
/** dname_is_suffix() - "*.suffix" without another wild character? */
bool dname_is_suffix(const char *pattern);
/** dname_tail() - the labels behind the last one with a wild character, within @pattern; "" if that is the last; all of a plain name */
const char *dname_tail(const char *pattern);
/** dname_weight() - of two patterns that hold a name the heavier one is more specific: a plain name, then the longest suffix, then the glob
 * with the most literal characters. Equal for two different globs that have as many */
uint32_t dname_weight(const char *pattern);

/** dname_looks_like() - can @in be meant as a name or pattern of names, not as an address or prefix? */
bool dname_looks_like(const char *in);

#endif
