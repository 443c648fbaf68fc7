// SPDX-License-Identifier: MIT
/*
 * rt_names.c - which rule a name has, by a table of the ends of patterns
 *
 * Theory of operation: rules are kept best first, so that of two that hold a name the one with the lower index counts, whatever the order
 * is called. The end of a pattern is what it holds behind its last label with a wild character; a plain name is its own end. Every
 * distinct end is one slot of an open-addressed table: the rule of that very name, the rule of "*.end", and a row of the globs with
 * that end. A name is hashed from its last character to its first, with one look-up at each label's start, at most as many as the
 * longest end has labels; then the rows that were met are gone through as far as their rules are better than what was found.
 * A glob's first bytes up to a wild character are kept as one word: most of a long row is passed over by one comparison.
 * There is a slot a rule at most, so RT_NAMES_MAX bounds it all; the texts are one allocation.
 */
#include "router/rt_names.h"

#include <stdlib.h>
#include <string.h>

#include "base/dname.h"
#include "base/err.h"
#include "base/util.h"

#define NONE UINT32_MAX
#define HASH_START 2166136261U /* FNV-1a */
#define HASH_FACTOR 16777619U
#define LABELS_MAX 128U /* of a name: 253 bytes hold 127 */

struct slot {
	const char *end; /* within its pattern; NULL: free */
	uint32_t hash;
	uint32_t exact, suffix; /* index of the rule, or NONE */
	uint32_t globs, n_globs;
};

struct glob {
	uint64_t head, mask; /* the first bytes up to a wild character, as they lie in memory */
	uint32_t rule;
	uint32_t end_len; /* bytes behind the last wild character */
};

struct rt_names {
	struct rt_name_rule *rules;
	size_t n;
	char *texts;
	struct slot *slots;
	uint32_t mask;	      /* slots - 1 */
	uint32_t most_labels; /* of an end */
	struct glob *globs;
	struct slot no_end; /* of the globs whose last label is wild */
};

/* ---- making */

/* One rule on its way to its place. */
struct ranked {
	uint64_t key; /* less is better */
	uint32_t index;
};

static int by_key(const void *pa, const void *pb)
{
	const struct ranked *a = pa, *b = pb;

	if (a->key != b->key)
		return a->key < b->key ? -1 : 1;
	return a->index < b->index ? -1 : 1;
}

/* Copies the rules and their texts, best first. Return: 0; ST_ENOMEM */
static int rules_copy(struct rt_names *n, const struct rt_name_rule *rules, bool first)
{
	struct ranked *ranks = calloc(n->n + 1, sizeof(*ranks));
	size_t bytes = 1;
	char *at;

	for (uint32_t i = 0; ranks && i < n->n; i++) {
		uint64_t lightness = first ? 0 : UINT32_MAX - dname_weight(rules[i].pattern);

		ranks[i] = (struct ranked){ lightness << 32 | rules[i].order, i };
		bytes += strlen(rules[i].pattern) + 1;
	}
	n->rules = calloc(n->n + 1, sizeof(*n->rules));
	at = n->texts = malloc(bytes);
	if (!ranks || !n->rules || !n->texts) {
		free(ranks);
		return ST_ENOMEM;
	}
	qsort(ranks, n->n, sizeof(*ranks), by_key);
	for (size_t i = 0; i < n->n; i++) {
		const struct rt_name_rule *r = &rules[ranks[i].index];
		size_t len = strlen(r->pattern) + 1;

		n->rules[i] = *r;
		n->rules[i].pattern = memcpy(at, r->pattern, len);
		at += len;
	}
	free(ranks);
	return 0;
}

static uint32_t hash_add(uint32_t hash, char c)
{
	return (hash ^ (unsigned char)c) * HASH_FACTOR;
}

/* The slot of @end, of @len bytes, or the free one where it belongs. */
static struct slot *slot_at(const struct rt_names *n, const char *end, size_t len, uint32_t hash)
{
	uint32_t i = (hash ^ hash >> 15) & n->mask;

	for (; n->slots[i].end; i = (i + 1) & n->mask)
		if (n->slots[i].hash == hash && strncmp(n->slots[i].end, end, len) == 0 &&
		    !n->slots[i].end[len])
			break;
	return &n->slots[i];
}

static struct slot *slot_make(struct rt_names *n, const char *end)
{
	uint32_t hash = HASH_START, labels = 1;
	struct slot *s;

	if (!*end)
		return &n->no_end;
	for (size_t i = strlen(end); i-- > 0;) {
		labels += end[i] == '.';
		hash = hash_add(hash, end[i]);
	}
	s = slot_at(n, end, strlen(end), hash);
	if (!s->end)
		*s = (struct slot){ .end = end, .hash = hash, .exact = NONE, .suffix = NONE };
	n->most_labels = MAX(n->most_labels, labels);
	return s;
}

/* A plain name or a suffix goes into its slot, of equal ones the best; a glob is only counted there. */
static void rule_add(struct rt_names *n, uint32_t i)
{
	const char *pattern = n->rules[i].pattern, *end = dname_tail(pattern);
	struct slot *s = slot_make(n, end);

	if (end == pattern && *end)
		s->exact = MIN(s->exact, i);
	else if (dname_is_suffix(pattern))
		s->suffix = MIN(s->suffix, i);
	else
		s->n_globs++;
}

static uint64_t first_bytes(const char *text, size_t len)
{
	uint64_t word = 0;

	memcpy(&word, text, MIN(len, sizeof(word)));
	return word;
}

static struct glob glob_of(const struct rt_names *n, uint32_t rule)
{
	const char *pattern = n->rules[rule].pattern, *behind = pattern;
	size_t len = strcspn(pattern, "*?");

	for (const char *c = pattern; (c = strpbrk(c, "*?")); c++)
		behind = c + 1;
	return (struct glob){ .head = first_bytes(pattern, len),
			      .mask = first_bytes("\xff\xff\xff\xff\xff\xff\xff\xff", len),
			      .rule = rule,
			      .end_len = (uint32_t)strlen(behind) };
}

static bool is_glob(const char *pattern)
{
	return strpbrk(pattern, "*?") && !dname_is_suffix(pattern);
}

/* Gives every slot that counted globs its part of one array, and fills them in the order of the rules. Return: 0; ST_ENOMEM */
static int globs_add(struct rt_names *n)
{
	uint32_t at = n->no_end.n_globs;

	for (uint32_t i = 0; i <= n->mask; i++) {
		n->slots[i].globs = at;
		at += n->slots[i].n_globs;
		n->slots[i].n_globs = 0;
	}
	n->no_end.n_globs = 0;
	if (!(n->globs = calloc(at + 1U, sizeof(*n->globs))))
		return ST_ENOMEM;
	for (uint32_t i = 0; i < n->n; i++)
		if (is_glob(n->rules[i].pattern)) {
			struct slot *s = slot_make(n, dname_tail(n->rules[i].pattern));

			n->globs[s->globs + s->n_globs++] = glob_of(n, i);
		}
	return 0;
}

int rt_names_new(struct rt_names **out, const struct rt_name_rule *rules, size_t n_rules,
		 bool first)
{
	struct rt_names *n;
	uint32_t slots = 16;

	if (n_rules > RT_NAMES_MAX)
		return ST_EFULL;
	while (slots < 2 * n_rules)
		slots *= 2;
	if (!(n = calloc(1, sizeof(*n))))
		return ST_ENOMEM;
	n->n = n_rules;
	n->mask = slots - 1;
	n->slots = calloc(slots, sizeof(*n->slots));
	if (!n->slots || rules_copy(n, rules, first) < 0)
		goto fail;
	for (uint32_t i = 0; i < n_rules; i++)
		rule_add(n, i);
	if (globs_add(n) < 0)
		goto fail;
	*out = n;
	return 0;
fail:
	rt_names_free(n);
	return ST_ENOMEM;
}

void rt_names_free(struct rt_names *n)
{
	if (!n)
		return;
	free(n->rules);
	free(n->texts);
	free(n->slots);
	free(n->globs);
	free(n);
}

/* ---- finding */

struct search {
	const struct rt_names *n;
	const char *name;
	size_t len;
	uint32_t best;				 /* rule so far, or NONE */
	const struct slot *rows[LABELS_MAX + 1]; /* whose globs may hold the name */
	size_t n_rows;
};

/* One end of the name, from @at on: all of it, or what is behind a dot. */
static void meet_end(struct search *s, size_t at, uint32_t hash)
{
	const struct slot *slot = slot_at(s->n, s->name + at, s->len - at, hash);

	if (!slot->end)
		return;
	if (at == 0) {
		s->best = MIN(s->best, slot->exact);
		return;
	}
	s->best = MIN(s->best, slot->suffix);
	if (slot->n_globs)
		s->rows[s->n_rows++] = slot;
}

static void meet_ends(struct search *s)
{
	uint32_t hash = HASH_START, labels = 0, most = MIN(s->n->most_labels, LABELS_MAX);

	for (size_t at = s->len; at > 0 && labels < most; at--) {
		if (s->name[at - 1] == '.') {
			meet_end(s, at, hash);
			labels++;
		}
		hash = hash_add(hash, s->name[at - 1]);
		if (at == 1)
			meet_end(s, 0, hash);
	}
}

/* Best first, so that the first one that fits ends it. */
static void try_globs(struct search *s, const struct slot *row)
{
	const struct glob *g = s->n->globs + row->globs, *end = g + row->n_globs;
	uint64_t head = first_bytes(s->name, s->len);

	for (; g < end && g->rule < s->best; g++) {
		const char *pattern = s->n->rules[g->rule].pattern;

		if ((head & g->mask) != g->head || g->end_len > s->len ||
		    memcmp(s->name + s->len - g->end_len, pattern + strlen(pattern) - g->end_len,
			   g->end_len) != 0)
			continue;
		if (dname_match(pattern, s->name))
			s->best = g->rule;
	}
}

const struct rt_name_rule *rt_names_find(const struct rt_names *n, const char *name)
{
	struct search s;

	s.n = n;
	s.name = name;
	s.len = strlen(name);
	s.best = NONE;
	s.n_rows = 0;
	meet_ends(&s);
	try_globs(&s, &n->no_end);
	for (size_t i = 0; i < s.n_rows; i++)
		try_globs(&s, s.rows[i]);
	return s.best == NONE ? NULL : &n->rules[s.best];
}

const struct rt_name_rule *rt_names_all(const struct rt_names *n, size_t *count)
{
	*count = n->n;
	return n->rules;
}
