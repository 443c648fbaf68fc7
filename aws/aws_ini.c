// SPDX-License-Identifier: MIT
/*
 * aws_ini.c - ~/.aws/config and ~/.aws/credentials, as botocore reads them
 *
 * Theory of operation: botocore uses Python's RawConfigParser, and we do as that does, rule by rule:
 * a line whose first letter is # or ; is a comment (nothing else is: "key = v # x" keeps its end); a section header runs to
 * the line's last ]; the first = or : ends a key, which is lower-cased; a line indented deeper than its key
 * continues the value, joined by '\n'; a section or key given twice, a key before any section and a line without
 * = or : make the whole file unreadable, and so does a byte that is not UTF-8. Blanks are Unicode's (a no-break space that was
 * pasted is one). Values are never unquoted. What stands in [DEFAULT] counts in every section that lacks it. A value that
 * begins with '\n' is a nested section, and each of its lines needs a =. Ours: a NUL byte is refused, and of a key
 * only A to Z are lower-cased. What was given is found by a hash table while the file is read, and values grow by doubling: large
 * organisations have thousands of profiles, and a file is read for each attempt of a call.
 * Source: CPython 3.11 Lib/configparser.py _read(); botocore 1.29 configloader.py raw_config_parse(), build_profile_map()
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "aws/aws_internal.h"
#include "base/codec.h"
#include "base/err.h"
#include "base/text.h"

#define INI_ITEMS_MAX 65536U /* ours: sections and keys of one file */

/* A section when @key is NULL; its keys follow it. */
struct item {
	char *section;
	char *key;
	char *value;
	size_t of;     /* of a key: its section's place; one for all of [DEFAULT] */
	uint32_t line; /* from 1 */
};

struct aws_ini {
	struct item *items;
	size_t n, cap;
};

struct span {
	const char *p;
	size_t len;
};

struct reader {
	struct aws_ini *ini;
	size_t section_at;	     /* SIZE_MAX before the first header */
	size_t of;		     /* struct item's, for the keys that follow */
	size_t blank_lines;	     /* inside the current value, kept only if more follows */
	size_t value_len, value_cap; /* of the current value */
	uint32_t *slots;	     /* places of items, and 1, by hash; 0: free */
	size_t mask;		     /* slots - 1 */
	bool in_value;
	size_t indent; /* of the current key, in characters */
	uint32_t line;
};

/* Python's str.isspace() */
static bool is_blank(uint32_t c)
{
	return c == ' ' || (c >= '\t' && c <= '\r') || (c >= 0x1c && c <= 0x1f) || c == 0x85 ||
	       c == 0xa0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 ||
	       c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000;
}

/* The first or the last character, which is valid: lines are checked before. Return: its bytes if it is blank, else 0 */
static size_t blank_first(struct span s)
{
	uint32_t c = 0;
	size_t n = text_utf8_get(s.p, s.len, &c);

	return is_blank(c) ? n : 0;
}

static size_t blank_last(struct span s)
{
	size_t n = 1;

	while (n < s.len && ((uint8_t)s.p[s.len - n] & 0xc0) == 0x80)
		n++;
	return s.len ? blank_first((struct span){ s.p + s.len - n, n }) : 0;
}

/* @indent: blanks before it; may be NULL */
static struct span trim(struct span s, size_t *indent)
{
	size_t n, before = 0;

	for (; (n = blank_first(s)); before++) {
		s.p += n;
		s.len -= n;
	}
	while ((n = blank_last(s)))
		s.len -= n;
	if (indent)
		*indent = before;
	return s;
}

static bool is_utf8(struct span s)
{
	uint32_t c;
	size_t n = 0;

	while (s.len && (n = text_utf8_get(s.p, s.len, &c)) && c) {
		s.p += n;
		s.len -= n;
	}
	return s.len == 0;
}

static char *span_dup(struct span s)
{
	return strndup(s.p, s.len);
}

static struct span span_of(const char *text)
{
	return (struct span){ text, strlen(text) };
}

static bool span_is(struct span s, const char *text)
{
	return text && strlen(text) == s.len && memcmp(text, s.p, s.len) == 0;
}

static void item_fini(struct item *it)
{
	aws_secret_free(it->value);
	free(it->section);
	free(it->key);
}

void aws_ini_free(struct aws_ini *ini)
{
	if (!ini)
		return;
	for (size_t i = 0; i < ini->n; i++)
		item_fini(&ini->items[i]);
	free(ini->items);
	free(ini);
}

/* ---- what was given already ---- */

#define OF_HEADERS SIZE_MAX	  /* struct item's of, for headers */
#define OF_DEFAULT (SIZE_MAX - 1) /* and for keys of [DEFAULT] */

static size_t hash(size_t of, struct span name) /* FNV-1a */
{
	uint64_t h = UINT64_C(0xcbf29ce484222325) ^ (of * UINT64_C(0x9e3779b97f4a7c15));

	for (size_t i = 0; i < name.len; i++)
		h = (h ^ (unsigned char)name.p[i]) * UINT64_C(0x100000001b3);
	return (size_t)(h ^ h >> 32);
}

/* The slot of a section or key, or the free one where it would be. There are twice as many slots as lines. */
static uint32_t *slot_find(const struct reader *r, size_t of, struct span name)
{
	size_t at = hash(of, name);

	for (;; at++) {
		uint32_t *slot = &r->slots[at & r->mask];
		const struct item *it = *slot ? &r->ini->items[*slot - 1] : NULL;

		if (!it || (it->of == of && span_is(name, it->key ? it->key : it->section)))
			return slot;
	}
}

static bool slots_make(struct reader *r, const char *text, size_t len)
{
	size_t lines = 1, n = 64;

	for (size_t i = 0; i < len; i++)
		lines += text[i] == '\n' || text[i] == '\r';
	while (n < 2 * MIN(lines, (size_t)INI_ITEMS_MAX))
		n *= 2;
	r->mask = n - 1;
	return (r->slots = calloc(n, sizeof(*r->slots))) != NULL;
}

static int ini_add(struct reader *r, char *section, char *key, char *value)
{
	struct item it = { .section = section,
			   .key = key,
			   .value = value,
			   .of = key ? r->of : OF_HEADERS,
			   .line = r->line };
	struct aws_ini *ini = r->ini;

	if ((!section && !key) || (key && !value) || ini->n >= INI_ITEMS_MAX)
		goto fail;
	if (ini->n == ini->cap) {
		size_t cap = ini->cap ? ini->cap * 2 : 32;
		struct item *more = realloc(ini->items, cap * sizeof(*more));

		if (!more)
			goto fail;
		ini->items = more;
		ini->cap = cap;
	}
	ini->items[ini->n++] = it;
	*slot_find(r, it.of, span_of(key ? key : section)) = (uint32_t)ini->n;
	return 0;
fail:
	item_fini(&it);
	return ST_ENOMEM;
}

static size_t section_find(const struct aws_ini *ini, struct span name)
{
	for (size_t i = 0; i < ini->n; i++)
		if (ini->items[i].section && span_is(name, ini->items[i].section))
			return i;
	return SIZE_MAX;
}

static const char defaults[] = "DEFAULT"; /* may come more than once */

static int read_header(struct reader *r, struct span line)
{
	const char *end = memrchr(line.p, ']', line.len);
	struct span name;

	if (!end || end == line.p + 1)
		return ST_EFORMAT;
	name = (struct span){ line.p + 1, (size_t)(end - line.p) - 1 };
	if (!span_is(name, defaults) && *slot_find(r, OF_HEADERS, name))
		return ST_EFORMAT;
	r->in_value = false;
	r->section_at = r->ini->n;
	r->of = span_is(name, defaults) ? OF_DEFAULT : r->ini->n;
	return ini_add(r, span_dup(name), NULL, NULL);
}

/* A section's keys stand behind it, up to the next section. */
static struct item *key_find(const struct aws_ini *ini, size_t section_at, const char *key)
{
	for (size_t i = section_at + 1; i < ini->n && ini->items[i].key; i++)
		if (strcmp(ini->items[i].key, key) == 0)
			return &ini->items[i];
	return NULL;
}

/* The same in all sections of that name. */
static struct item *default_find(const struct aws_ini *ini, const char *key)
{
	struct item *found = NULL;

	for (size_t i = 0; i < ini->n && !found; i++)
		if (ini->items[i].section && strcmp(ini->items[i].section, defaults) == 0)
			found = key_find(ini, i, key);
	return found;
}

static int read_key(struct reader *r, struct span line)
{
	size_t at = 0;
	struct span name, value;
	char *key;

	while (at < line.len && line.p[at] != '=' && line.p[at] != ':')
		at++;
	name = trim((struct span){ line.p, at }, NULL);
	if (at == line.len || !name.len)
		return ST_EFORMAT;
	value = trim((struct span){ line.p + at + 1, line.len - at - 1 }, NULL);
	if (!(key = span_dup(name)))
		return ST_ENOMEM;
	for (char *c = key; *c; c++)
		*c = (char)tolower((unsigned char)*c);
	if (*slot_find(r, r->of, span_of(key))) {
		free(key);
		return ST_EFORMAT;
	}
	r->in_value = true;
	r->blank_lines = 0;
	r->value_len = value.len;
	r->value_cap = value.len + 1;
	return ini_add(r, NULL, key, span_dup(value));
}

static int read_more(struct reader *r, struct span line)
{
	struct item *it = &r->ini->items[r->ini->n - 1];
	const size_t gap = r->blank_lines + 1, need = r->value_len + gap + line.len + 1;

	if (need > r->value_cap) {
		char *value = malloc(2 * need);

		if (!value)
			return ST_ENOMEM;
		memcpy(value, it->value, r->value_len);
		value[r->value_len] = '\0';
		aws_secret_free(it->value);
		it->value = value;
		r->value_cap = 2 * need;
	}
	memset(it->value + r->value_len, '\n', gap);
	memcpy(it->value + r->value_len + gap, line.p, line.len);
	it->value[need - 1] = '\0';
	r->value_len = need - 1;
	r->blank_lines = 0;
	return 0;
}

static int read_line(struct reader *r, struct span raw)
{
	struct span line;
	size_t indent;

	if (!is_utf8(raw)) /* nor a NUL */
		return ST_EFORMAT;
	line = trim(raw, &indent);
	if (!line.len) {
		r->blank_lines += r->in_value;
		return 0;
	}
	if (line.p[0] == '#' || line.p[0] == ';')
		return 0;
	if (r->in_value && indent > r->indent)
		return read_more(r, line);
	r->indent = indent;
	if (line.p[0] == '[' && memchr(line.p, ']', line.len))
		return read_header(r, line);
	return r->section_at == SIZE_MAX ? ST_EFORMAT : read_key(r, line);
}

static int read_text(struct reader *r, const char *text, size_t len)
{
	size_t at = 0;
	int err = 0;

	while (!err && at < len) {
		size_t end = at;

		while (end < len && text[end] != '\n' && text[end] != '\r')
			end++;
		r->line++;
		err = read_line(r, (struct span){ text + at, end - at });
		if (end < len && text[end] == '\r' && end + 1 < len && text[end + 1] == '\n')
			end++;
		at = end + 1;
	}
	return err;
}

/* ---- nested sections ---- */

/* The next line of a nested section that is not empty. Return: false: there is none */
static bool nested_next(const char **at, struct span *line)
{
	while (**at) {
		const size_t len = strcspn(*at, "\n");

		*line = trim((struct span){ *at, len }, NULL);
		*at += len + ((*at)[len] == '\n');
		if (line->len)
			return true;
	}
	return false;
}

static bool is_nested(const char *value)
{
	return value && value[0] == '\n';
}

/* What botocore splits when it has read the file; nobody sees what stands in [DEFAULT] when there is no other section. */
static int nested_check(struct reader *r)
{
	size_t sections = 0;

	for (size_t i = 0; i < r->ini->n; i++)
		sections += r->ini->items[i].section &&
			    strcmp(r->ini->items[i].section, defaults) != 0;
	for (size_t i = 0; sections && i < r->ini->n; i++) {
		const char *at = r->ini->items[i].value;
		struct span line;

		while (is_nested(r->ini->items[i].value) && nested_next(&at, &line))
			if (!memchr(line.p, '=', line.len)) {
				r->line = r->ini->items[i].line;
				return ST_EFORMAT;
			}
	}
	return 0;
}

int aws_ini_nested(char **out, const struct aws_ini *ini, const char *section, const char *block,
		   const char *key)
{
	const char *at = aws_ini_get(ini, section, block);
	struct span line, found = { NULL, 0 };

	if (!is_nested(at))
		return ST_ENOENT;
	while (nested_next(&at, &line)) {
		const char *mark = memchr(line.p, '=', line.len);
		const size_t before = mark ? (size_t)(mark - line.p) : line.len;

		if (mark && span_is(trim((struct span){ line.p, before }, NULL), key))
			found = trim((struct span){ mark + 1, line.len - before - 1 }, NULL);
	}
	if (!found.len)
		return ST_ENOENT;
	return (*out = span_dup(found)) ? 0 : ST_ENOMEM;
}

/* ---- the whole ---- */

int aws_ini_parse(struct aws_ini **out, const char *text, size_t len, uint32_t *bad_line)
{
	struct reader r = { .ini = calloc(1, sizeof(*r.ini)), .section_at = SIZE_MAX };
	int err;

	if (!r.ini)
		return ST_ENOMEM;
	err = slots_make(&r, text, len) ? read_text(&r, text, len) : ST_ENOMEM;
	if (!err)
		err = nested_check(&r);
	free(r.slots);
	if (err) {
		*bad_line = r.line;
		aws_ini_free(r.ini);
		return err;
	}
	*out = r.ini;
	return 0;
}

bool aws_ini_has(const struct aws_ini *ini, const char *section)
{
	return strcmp(section, defaults) != 0 && section_find(ini, span_of(section)) != SIZE_MAX;
}

const char *aws_ini_get(const struct aws_ini *ini, const char *section, const char *key)
{
	size_t at = section_find(ini, span_of(section));
	const struct item *it = at == SIZE_MAX ? NULL : key_find(ini, at, key);

	if (!it && at != SIZE_MAX)
		it = default_find(ini, key);
	return it ? it->value : NULL;
}

/*
 * Python's shlex.split(): words apart by blanks; '…' as it stands, "…" with \" and \\, elsewhere \x is x.
 * Return: number of words (at most 3 counted), the second one in @word of @cap bytes; 0 for open quotes.
 */
static int shell_words(const char *s, char *word, size_t cap)
{
	int n = 0;
	size_t len = 0;
	bool in_word = false;
	char quote = 0;

	for (; *s; s++) {
		char c = *s;

		if (!quote && (c == ' ' || c == '\t' || c == '\r' || c == '\n')) {
			in_word = false;
			continue;
		}
		if (!in_word) {
			in_word = true;
			n++;
		}
		if (!quote && (c == '\'' || c == '"')) {
			quote = c;
			continue;
		}
		if (c == quote) {
			quote = 0;
			continue;
		}
		if (c == '\\' && (!quote || (quote == '"' && (s[1] == '"' || s[1] == '\\')))) {
			c = *++s;
			if (!c)
				return 0;
		}
		if (n == 2 && len + 1 < cap)
			word[len++] = c;
	}
	word[len] = '\0';
	return quote ? 0 : MIN(n, 3);
}

static bool section_is(const char *section, const char *kind, const char *name)
{
	char word[512];

	return strncmp(section, kind, strlen(kind)) == 0 &&
	       shell_words(section, word, sizeof(word)) == 2 && strcmp(word, name) == 0;
}

const char *aws_ini_section(const struct aws_ini *ini, const char *kind, const char *name)
{
	const char *found = NULL;

	for (size_t i = 0; i < ini->n; i++)
		if (ini->items[i].section && section_is(ini->items[i].section, kind, name))
			found = ini->items[i].section;
	return found;
}

const char *aws_ini_profile(const struct aws_ini *ini, const char *profile)
{
	const char *found = NULL;

	for (size_t i = 0; i < ini->n; i++) {
		const char *section = ini->items[i].section;

		if (!section)
			continue;
		if (section_is(section, "profile", profile) ||
		    (strcmp(section, "default") == 0 && strcmp(profile, "default") == 0))
			found = section;
	}
	return found;
}
