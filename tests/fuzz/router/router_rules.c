// SPDX-License-Identifier: MIT
/*
 * router_rules.c - any rules and destinations: the tries find what a naive scan of the rules finds, and the suffixes hold every rule's names
 *
 * Lines of the input: ">NAME" or ">ADDRESS" is looked up, everything else is a rule if it is one. The first byte says whether the order is first.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/dname.h"
#include "base/util.h"
#include "router/rt_names.h"
#include "router/rt_rules.h"

#define RULES_MAX 256U

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct lines {
	char patterns[RULES_MAX][DNAME_MAX];
	struct rt_name_rule by_name[RULES_MAX];
	struct rt_rule by_addr[RULES_MAX];
	size_t n_names, n_addrs;
	bool first;
};

static void expect(bool cond)
{
	if (!cond)
		abort();
}

/* row[k]: do the first characters of @p fit the first k of @n? One character of @p after the other. */
static bool naive_match(const char *p, const char *n)
{
	bool row[DNAME_MAX + 1] = { true };
	size_t len = strlen(n);

	for (; *p; p++) {
		bool before = row[0]; /* of the last row, at k - 1 */

		row[0] = row[0] && *p == '*';
		for (size_t k = 1; k <= len; k++) {
			bool here = row[k];

			if (*p == '*')
				row[k] = here || row[k - 1];
			else
				row[k] = before &&
					 (*p == n[k - 1] || (*p == '?' && n[k - 1] != '.'));
			before = here;
		}
	}
	return row[len];
}

static uint32_t rank(const char *p)
{
	uint32_t literals = 0;
	bool is_suffix = strncmp(p, "*.", 2) == 0 && !strpbrk(p + 2, "*?");

	for (const char *c = p; *c; c++)
		literals += *c != '*' && *c != '?';
	return literals + (!strpbrk(p, "*?") ? 2000 : is_suffix ? 1000 : 0);
}

static const struct rt_name_rule *naive_name(const struct lines *l, const char *name)
{
	const struct rt_name_rule *best = NULL;

	for (size_t i = 0; i < l->n_names; i++) {
		const struct rt_name_rule *r = &l->by_name[i];

		if (naive_match(r->pattern, name) &&
		    (!best || (!l->first && rank(r->pattern) > rank(best->pattern))))
			best = r;
	}
	return best;
}

static const struct rt_rule *naive_addr(const struct lines *l, const struct net_addr *a)
{
	const struct rt_rule *best = NULL;

	for (size_t i = 0; i < l->n_addrs; i++)
		if (net_prefix_has(&l->by_addr[i].prefix, a) &&
		    (!best || l->by_addr[i].prefix.len > best->prefix.len))
			best = &l->by_addr[i];
	if (best && net_addr_is_local_only(a) && best->prefix.len < net_addr_bits(a))
		return NULL;
	return best;
}

static void look_up(const struct lines *l, const struct rt_names *names,
		    const struct rt_rules *rules, const char *text)
{
	const struct rt_name_rule *want, *is;
	char name[DNAME_MAX];
	struct net_addr a;

	if (net_addr_parse(&a, text) == 0) {
		const struct rt_rule *r = rt_rules_find(rules, &a), *w = naive_addr(l, &a);

		expect((r == NULL) == (w == NULL) && (!r || r->line == w->line));
	}
	if (dname_normal(name, text, NULL) < 0)
		return;
	want = naive_name(l, name);
	is = rt_names_find(names, name);
	expect((is == NULL) == (want == NULL) && (!is || is->line == want->line));
}

/* The least set of what every rule ends in: none below another one, and every end below one of them. */
static void check_suffixes(const struct rt_names *names, size_t max)
{
	size_t folded, wild, n, ends = 0, endless = 0;
	const struct rt_name_rule *rules = rt_names_all(names, &n);
	char **out;
	int r = rt_names_suffixes(names, NULL, 0, max, &out, &folded, &wild);

	if (r < 0)
		return;
	expect((size_t)r <= max);
	for (int i = 0; i < r; i++)
		for (int k = 0; k < r; k++)
			expect(i == k || !dname_is_below(out[i], out[k]));
	for (size_t i = 0; i < n; i++) {
		endless += !*dname_tail(rules[i].pattern);
		for (int k = 0; k < r; k++)
			if (dname_is_below(dname_tail(rules[i].pattern), out[k])) {
				ends++;
				break;
			}
	}
	if (wild == endless) /* nothing was left out */
		expect(ends + endless == n);
	free(out);
}

static void rule_add(struct lines *l, const char *text)
{
	struct net_prefix p;

	if (net_prefix_parse(&p, text) == 0 && l->n_addrs < RULES_MAX) {
		l->by_addr[l->n_addrs] = (struct rt_rule){ .prefix = p,
							   .line = (uint32_t)l->n_addrs };
		l->n_addrs++;
	}
	if (l->n_names < RULES_MAX && dname_pattern(l->patterns[l->n_names], text, NULL) == 0) {
		uint32_t i = (uint32_t)l->n_names++;

		l->by_name[i] =
			(struct rt_name_rule){ .pattern = l->patterns[i], .line = i, .order = i };
	}
}

/* Calls for each line of @text, whose ends become NULs the first time. */
static void each_line(char *text, size_t len, struct lines *l, const struct rt_names *names,
		      const struct rt_rules *rules)
{
	for (size_t at = 0; at < len; at += strlen(text + at) + 1) {
		text[at + strcspn(text + at, "\n")] = '\0';
		if (text[at] != '>' && !names)
			rule_add(l, text + at);
		else if (text[at] == '>' && names)
			look_up(l, names, rules, text + at + 1);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct lines l;
	struct rt_names *names;
	struct rt_rules *rules;
	char *text;

	if (size < 2 || !(text = calloc(1, size)))
		return 0;
	memcpy(text, data + 1, size - 1);
	l.n_names = l.n_addrs = 0;
	l.first = data[0] & 1;
	each_line(text, size - 1, &l, NULL, NULL);
	if (rt_names_new(&names, l.by_name, l.n_names, l.first) == 0) {
		if (rt_rules_new(&rules, l.by_addr, l.n_addrs) == 0) {
			each_line(text, size - 1, &l, names, rules);
			rt_rules_free(rules);
		}
		check_suffixes(names, 300);
		check_suffixes(names, 3 + data[0] / 2U % 8);
		rt_names_free(names);
	}
	free(text);
	return 0;
}
