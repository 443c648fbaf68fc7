// SPDX-License-Identifier: MIT
/*
 * aws_ini.c - ~/.aws/config and ~/.aws/credentials, as botocore reads them
 *
 * Theory of operation: botocore uses Python's RawConfigParser(default_section=None), and so do we, rule by rule:
 * a line whose first letter is # or ; is a comment (nothing else is: "key = v # x" keeps its end); a section header runs to
 * the line's last ]; the first = or : ends a key, which is lower-cased; a line indented deeper than its key
 * continues the value, joined by '\n'; a section or key given twice, a key before any section and a line without
 * = or : make the whole file unreadable. Values are never unquoted. A value that begins with '\n' is a nested section.
 * Source: CPython 3.11 Lib/configparser.py _read(); botocore 1.29 configloader.py raw_config_parse(), build_profile_map()
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "aws/aws_internal.h"
#include "base/codec.h"
#include "base/err.h"

#define INI_ITEMS_MAX 65536U /* ours: sections and keys of one file */

/* A section when @key is NULL; its keys follow it. */
struct item {
	char *section;
	char *key;
	char *value;
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
	size_t section_at;  /* SIZE_MAX before the first header */
	size_t blank_lines; /* inside the current value, kept only if more follows */
	bool in_value;
	size_t indent; /* of the current key */
};

static bool is_blank(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r') || (c >= 0x1c && c <= 0x1f);
}

static struct span trim(struct span s)
{
	while (s.len && is_blank(s.p[0])) {
		s.p++;
		s.len--;
	}
	while (s.len && is_blank(s.p[s.len - 1]))
		s.len--;
	return s;
}

static char *span_dup(struct span s)
{
	return strndup(s.p, s.len);
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

static int ini_add(struct aws_ini *ini, char *section, char *key, char *value)
{
	struct item it = { .section = section, .key = key, .value = value };

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

static int read_header(struct reader *r, struct span line)
{
	const char *end = memrchr(line.p, ']', line.len);
	struct span name;

	if (!end || end == line.p + 1)
		return ST_EFORMAT;
	name = (struct span){ line.p + 1, (size_t)(end - line.p) - 1 };
	if (section_find(r->ini, name) != SIZE_MAX)
		return ST_EFORMAT;
	r->in_value = false;
	r->section_at = r->ini->n;
	return ini_add(r->ini, span_dup(name), NULL, NULL);
}

/* A section's keys stand behind it, up to the next section. */
static struct item *key_find(const struct aws_ini *ini, size_t section_at, const char *key)
{
	for (size_t i = section_at + 1; i < ini->n && ini->items[i].key; i++)
		if (strcmp(ini->items[i].key, key) == 0)
			return &ini->items[i];
	return NULL;
}

static int read_key(struct reader *r, struct span line)
{
	size_t at = 0;
	struct span name, value;
	char *key;

	while (at < line.len && line.p[at] != '=' && line.p[at] != ':')
		at++;
	name = trim((struct span){ line.p, at });
	if (at == line.len || !name.len)
		return ST_EFORMAT;
	value = trim((struct span){ line.p + at + 1, line.len - at - 1 });
	if (!(key = span_dup(name)))
		return ST_ENOMEM;
	for (char *c = key; *c; c++)
		*c = (char)tolower((unsigned char)*c);
	if (key_find(r->ini, r->section_at, key)) {
		free(key);
		return ST_EFORMAT;
	}
	r->in_value = true;
	r->blank_lines = 0;
	return ini_add(r->ini, NULL, key, span_dup(value));
}

static int read_more(struct reader *r, struct span line)
{
	struct item *it = &r->ini->items[r->ini->n - 1];
	size_t old = strlen(it->value), gap = r->blank_lines + 1;
	char *value = malloc(old + gap + line.len + 1);

	if (!value)
		return ST_ENOMEM;
	memcpy(value, it->value, old);
	memset(value + old, '\n', gap);
	memcpy(value + old + gap, line.p, line.len);
	value[old + gap + line.len] = '\0';
	aws_secret_free(it->value);
	it->value = value;
	r->blank_lines = 0;
	return 0;
}

static int read_line(struct reader *r, struct span raw)
{
	struct span line = trim(raw);
	size_t indent = (size_t)(line.p - raw.p);

	if (memchr(raw.p, '\0', raw.len))
		return ST_EFORMAT;
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

int aws_ini_parse(struct aws_ini **out, const char *text, size_t len, uint32_t *bad_line)
{
	struct reader r = { .ini = calloc(1, sizeof(*r.ini)), .section_at = SIZE_MAX };
	size_t at = 0;
	uint32_t line_no = 0;
	int err = 0;

	if (!r.ini)
		return ST_ENOMEM;
	while (!err && at < len) {
		size_t end = at;

		while (end < len && text[end] != '\n' && text[end] != '\r')
			end++;
		line_no++;
		err = read_line(&r, (struct span){ text + at, end - at });
		if (end < len && text[end] == '\r' && end + 1 < len && text[end + 1] == '\n')
			end++;
		at = end + 1;
	}
	if (err) {
		*bad_line = line_no;
		aws_ini_free(r.ini);
		return err;
	}
	*out = r.ini;
	return 0;
}

bool aws_ini_has(const struct aws_ini *ini, const char *section)
{
	return section_find(ini, (struct span){ section, strlen(section) }) != SIZE_MAX;
}

const char *aws_ini_get(const struct aws_ini *ini, const char *section, const char *key)
{
	size_t at = section_find(ini, (struct span){ section, strlen(section) });
	const struct item *it = at == SIZE_MAX ? NULL : key_find(ini, at, key);

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
