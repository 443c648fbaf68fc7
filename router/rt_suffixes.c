// SPDX-License-Identifier: MIT
/*
 * rt_suffixes.c - the suffixes that the system's resolver is to ask us for
 *
 * Theory of operation: every rule that is not direct has an end (base/dname.h), which is a suffix that its names lie under. Sorted by their labels from the last to
 * the first, what lies below another one comes right behind it and is left out. Where more are left than may be, those with the most
 * labels are folded: all that share the parent with one label less become that parent, largest families first, level by
 * level, and no further than needed. Every suffix is a tail of a text that somebody else holds, so folding moves a pointer.
 */
#include "router/rt_names.h"

#include <stdlib.h>
#include <string.h>

#include "base/dname.h"
#include "base/err.h"
#include "base/util.h"

struct suffix {
	const char *text;
	uint32_t labels;
};

struct family {
	size_t at, n; /* place and number of its members */
};

static uint32_t labels_of(const char *text)
{
	uint32_t n = 1;

	while ((text = strchr(text, '.'))) {
		text++;
		n++;
	}
	return n;
}

static int by_labels(const void *pa, const void *pb)
{
	const struct suffix *a = pa, *b = pb;

	return dname_cmp(a->text, b->text);
}

/* Leaves out what lies below another one. Return: how many are left */
static size_t thin_out(struct suffix *v, size_t n)
{
	size_t kept = 0;

	for (size_t i = 0; i < n; i++)
		if (!kept || !dname_is_below(v[i].text, v[kept - 1].text))
			v[kept++] = v[i];
	return kept;
}

/* The end of @s that has @labels labels, or all of it. */
static const char *parent_of(const struct suffix *s, uint32_t labels)
{
	const char *text = s->text;

	for (uint32_t i = s->labels; i > labels; i--)
		text = strchr(text, '.') + 1;
	return text;
}

static int by_size(const void *pa, const void *pb)
{
	const struct family *a = pa, *b = pb;

	if (a->n != b->n)
		return a->n > b->n ? -1 : 1;
	return a->at < b->at ? -1 : 1;
}

/* Those below a common parent of @labels labels, in @out. Return: how many families with two members or more */
static size_t families_of(const struct suffix *v, size_t n, uint32_t labels, struct family *out)
{
	size_t found = 0;

	for (size_t i = 0, k; i < n; i = k) {
		const char *parent = parent_of(&v[i], labels);

		for (k = i + 1; k < n && dname_is_below(v[k].text, parent); k++)
			;
		if (k - i > 1)
			out[found++] = (struct family){ i, k - i };
	}
	qsort(out, found, sizeof(*out), by_size);
	return found;
}

/* One level. Return: how many suffixes are left */
static size_t fold_to(struct suffix *v, size_t n, uint32_t labels, size_t max, size_t *folded,
		      struct family *families)
{
	size_t found = families_of(v, n, labels, families), left = n;

	for (size_t i = 0; i < found && left > max; i++) {
		const struct family *f = &families[i];
		const char *parent = parent_of(&v[f->at], labels);

		for (size_t k = f->at; k < f->at + f->n; k++)
			v[k] = (struct suffix){ parent, labels };
		*folded += f->n;
		left -= f->n - 1;
	}
	return left == n ? n : thin_out(v, n);
}

static int fold(struct suffix *v, size_t *n, size_t max, size_t *folded)
{
	struct family *families;
	uint32_t most = 0;

	if (*n <= max)
		return 0;
	if (!(families = calloc(*n, sizeof(*families))))
		return ST_ENOMEM;
	for (size_t i = 0; i < *n; i++)
		most = MAX(most, v[i].labels);
	for (uint32_t labels = most; --labels > 0 && *n > max;)
		*n = fold_to(v, *n, labels, max, folded, families);
	free(families);
	return 0;
}

/* The ends of the rules, and @more. What a direct rule holds alone is answered right by whoever is asked now. Return: how many */
static size_t gather(struct suffix *v, const struct rt_names *names, const char *const *more,
		     size_t n_more, size_t *n_wild)
{
	size_t n_rules, n = 0;
	const struct rt_name_rule *rules = rt_names_all(names, &n_rules);

	*n_wild = 0;
	for (size_t i = 0; i < n_rules; i++) {
		const char *end = dname_tail(rules[i].pattern);

		if (rules[i].action == RT_DIRECT)
			continue;
		if (*end)
			v[n++] = (struct suffix){ end, labels_of(end) };
		else
			(*n_wild)++;
	}
	for (size_t i = 0; i < n_more; i++)
		v[n++] = (struct suffix){ more[i], labels_of(more[i]) };
	return n;
}

/* Pointers and texts in one piece. */
static char **pack(const struct suffix *v, size_t n, size_t max)
{
	size_t bytes = (max + 1) * sizeof(char *);
	char **out, *at;

	for (size_t i = 0; i < n; i++)
		bytes += strlen(v[i].text) + 1;
	if (!(out = calloc(1, bytes)))
		return NULL;
	at = (char *)(out + max + 1);
	for (size_t i = 0; i < n; i++) {
		size_t len = strlen(v[i].text) + 1;

		out[i] = memcpy(at, v[i].text, len);
		at += len;
	}
	return out;
}

int rt_names_suffixes(const struct rt_names *names, const char *const *more, size_t n_more,
		      size_t max, char ***out, size_t *folded, size_t *n_wild)
{
	size_t n_rules, n;
	struct suffix *v;

	rt_names_all(names, &n_rules);
	*folded = 0;
	if (!(v = calloc(n_rules + n_more + 1, sizeof(*v))))
		return ST_ENOMEM;
	n = gather(v, names, more, n_more, n_wild);
	qsort(v, n, sizeof(*v), by_labels);
	n = thin_out(v, n);
	if (fold(v, &n, max, folded) < 0) {
		free(v);
		return ST_ENOMEM;
	}
	*n_wild += n - MIN(n, max); /* different last labels, more of them than may be */
	n = MIN(n, max);
	*out = pack(v, n, max);
	free(v);
	return *out ? (int)n : ST_ENOMEM;
}
