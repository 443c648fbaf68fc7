// SPDX-License-Identifier: MIT
/*
 * config_order.c - the order of rules
 *
 * The most specific rule wins here (the longest prefix; a plain name, then the longest suffix, then the pattern with the most
 * literal characters), the first in the file in session-proxy. A rule that stands behind a less specific one with another action, and shares
 * destinations with it, is where the two differ: an error that shows both lines, until match_order says which is meant. With "first"
 * every rule that an earlier one covers is taken out, since it can never be reached. What is left of the prefixes gives the same answers in
 * both orders, so that they are always handed on most specific first; names keep the order of the file.
 *
 * Theory of operation: rules are sorted so that what surrounds a rule comes before it: prefixes by address and length, names by the labels
 * of their ends (base/dname.h). One sweep keeps what surrounds the current one on a stack, 129 prefixes or 128 ends deep at most, and
 * leaves a verdict for each rule: the first earlier one that it contradicts, the first earlier one that covers it. So many rules cost
 * little more than their sorting; only patterns with the same end are compared in pairs. Verdicts are told in the order of the file.
 * Source: design, section 5
 */
#include <stdlib.h>
#include <string.h>

#include "base/dname.h"
#include "config/config_internal.h"

#define NONE UINT32_MAX
#define AROUND_MAX                                                                                 \
	130U /* ours: prefixes of 0 to 128 bits, or ends of 0 to 127 labels, that may lie around each other */

struct verdict {
	uint32_t conflict, cover; /* indices of earlier rules, or NONE */
};

/* Of rules with the same destinations: the first one, and the first with another action than that one's. */
struct firsts {
	uint32_t one, other;
};

/* What lies around the rule that is looked at. */
struct around {
	uint32_t from, to;    /* places in the sorted indices, or among the patterns */
	struct firsts firsts; /* of a prefix */
	uint32_t suffix;      /* of names: the place of "*.end"; NONE: there is none */
};

struct order {
	const struct cfg_route *routes;
	enum cfg_match_order match_order;
	uint32_t *sorted; /* indices of routes */
	uint32_t n;
	struct pattern *patterns;
	struct verdict *verdicts;
	struct around stack[AROUND_MAX];
	uint32_t depth;
};

static bool same_action(const struct cfg_route *a, const struct cfg_route *b)
{
	return a->action == b->action &&
	       (a->action != CFG_TO_UPSTREAM || a->upstream == b->upstream);
}

static bool same_match(const struct cfg_route *a, const struct cfg_route *b)
{
	if (a->match != b->match)
		return false;
	if (a->match == CFG_MATCH_NAME)
		return strcmp(a->name, b->name) == 0;
	return a->prefix.len == b->prefix.len && net_addr_eq(&a->prefix.addr, &b->prefix.addr);
}

/* Where the run of equal rules at @from ends; in it indices ascend. */
static uint32_t run_end(const struct order *o, uint32_t from)
{
	uint32_t to = from + 1;

	while (to < o->n && same_match(&o->routes[o->sorted[from]], &o->routes[o->sorted[to]]))
		to++;
	return to;
}

static struct firsts firsts_of(const struct order *o, uint32_t from, uint32_t to)
{
	struct firsts f = { o->sorted[from], NONE };

	for (uint32_t i = from + 1; i < to && f.other == NONE; i++)
		if (!same_action(&o->routes[f.one], &o->routes[o->sorted[i]]))
			f.other = o->sorted[i];
	return f;
}

/* Notes the rules of @f against rule @j. */
static void judge(struct order *o, uint32_t j, const struct firsts *f, bool conflicts, bool covers)
{
	struct verdict *v = &o->verdicts[j];
	uint32_t against = same_action(&o->routes[f->one], &o->routes[j]) ? f->other : f->one;

	if (conflicts && against < j)
		v->conflict = MIN(v->conflict, against);
	if (covers && f->one < j)
		v->cover = MIN(v->cover, f->one);
}

/* Of equal rules: a contradiction unless the first counts anyway. */
static void judge_equals(struct order *o, uint32_t from, uint32_t to, const struct firsts *f)
{
	for (uint32_t i = from; i < to; i++)
		judge(o, o->sorted[i], f, o->match_order != CFG_ORDER_FIRST, true);
}

/* ---- prefixes */

static int by_address(const void *pa, const void *pb, void *arg)
{
	const struct order *o = arg;
	uint32_t ia = *(const uint32_t *)pa, ib = *(const uint32_t *)pb;
	const struct net_prefix *a = &o->routes[ia].prefix, *b = &o->routes[ib].prefix;
	int c = net_addr_cmp(&a->addr, &b->addr);

	if (c)
		return c;
	if (a->len != b->len)
		return a->len < b->len ? -1 : 1;
	return ia < ib ? -1 : 1;
}

static const struct net_prefix *prefix_at(const struct order *o, uint32_t place)
{
	return &o->routes[o->sorted[place]].prefix;
}

static void sweep_prefixes(struct order *o)
{
	bool unset = o->match_order == CFG_ORDER_UNSET, first = o->match_order == CFG_ORDER_FIRST;

	for (uint32_t from = 0, to; from < o->n; from = to) {
		struct around *top;

		to = run_end(o, from);
		while (o->depth && !net_prefix_covers(prefix_at(o, o->stack[o->depth - 1].from),
						      prefix_at(o, from)))
			o->depth--;
		for (uint32_t i = from; i < to; i++)
			for (uint32_t k = 0; k < o->depth; k++)
				judge(o, o->sorted[i], &o->stack[k].firsts, unset, first);
		top = &o->stack[o->depth++];
		*top = (struct around){ .from = from, .to = to, .firsts = firsts_of(o, from, to) };
		judge_equals(o, from, to, &top->firsts);
	}
}

/* ---- names */

/* The first rule of a pattern, in the order of the sweep; what pairs are compared by is at hand. */
struct pattern {
	const char *name;
	uint32_t weight, action, route;
};

static int by_end(const void *pa, const void *pb, void *arg)
{
	const struct order *o = arg;
	uint32_t ia = *(const uint32_t *)pa, ib = *(const uint32_t *)pb;
	const char *a = o->routes[ia].name, *b = o->routes[ib].name;
	int c = dname_cmp(dname_tail(a), dname_tail(b));

	if (!c)
		c = strcmp(a, b);
	return c ? c : ia < ib ? -1 : 1;
}

/* Judges equal rules and leaves the first of each kind in o->patterns. Return: how many */
static uint32_t patterns_make(struct order *o)
{
	uint32_t n = 0;

	for (uint32_t from = 0, to; from < o->n; from = to) {
		const struct cfg_route *r = &o->routes[o->sorted[from]];
		struct firsts f;

		to = run_end(o, from);
		f = firsts_of(o, from, to);
		judge_equals(o, from, to, &f);
		o->patterns[n++] = (struct pattern){
			.name = r->name,
			.weight = dname_weight(r->name),
			.action = r->action == CFG_TO_UPSTREAM ? r->upstream
							       : UINT32_MAX - (uint32_t)r->action,
			.route = o->sorted[from],
		};
	}
	return n;
}

/* Different patterns that may share names: the later one is in conflict if it is the more specific. */
static void judge_pair(struct order *o, const struct pattern *a, const struct pattern *b)
{
	const struct pattern *early = a->route < b->route ? a : b, *late = early == a ? b : a;

	if (late->weight > early->weight && late->action != early->action &&
	    dname_meet(early->name, late->name))
		o->verdicts[late->route].conflict = MIN(o->verdicts[late->route].conflict,
							early->route);
}

/* @suffix holds all names of @p: is it asked before? Before a pattern it is wherever they stand, unless the order of the file counts: the pattern
 * is lost silently, which is told where the actions differ. */
static void judge_suffix(struct order *o, const struct pattern *p, const struct pattern *suffix)
{
	struct verdict *v = &o->verdicts[p->route];

	if (o->match_order == CFG_ORDER_FIRST
		    ? suffix->route < p->route
		    : suffix->weight > p->weight && suffix->action != p->action)
		v->cover = MIN(v->cover, suffix->route);
}

/* The pattern at @place against those with the end of @k, which is its own or lies around it. Of its own each pair comes once. */
static void judge_name(struct order *o, uint32_t place, const struct around *k)
{
	const struct pattern *p = &o->patterns[place];
	bool is_own = place < k->to;

	if (k->suffix != NONE && k->suffix != place && (!is_own || dname_tail(p->name) != p->name))
		judge_suffix(o, p, &o->patterns[k->suffix]);
	if (o->match_order == CFG_ORDER_UNSET)
		for (uint32_t i = k->from; i < (is_own ? place : k->to); i++)
			judge_pair(o, &o->patterns[i], p);
}

/* The patterns from @from on that have the same end. */
static struct around same_end(const struct order *o, uint32_t from, uint32_t n)
{
	struct around k = { .from = from, .to = from, .suffix = NONE };
	const char *end = dname_tail(o->patterns[from].name);

	for (; k.to < n && strcmp(dname_tail(o->patterns[k.to].name), end) == 0; k.to++)
		if (dname_is_suffix(o->patterns[k.to].name))
			k.suffix = k.to;
	return k;
}

static bool is_around(const struct order *o, const struct around *outer, const struct around *inner)
{
	const char *end = dname_tail(o->patterns[outer->from].name);

	return !*end || dname_is_below(dname_tail(o->patterns[inner->from].name), end);
}

static void sweep_names(struct order *o)
{
	uint32_t n = patterns_make(o);

	for (uint32_t from = 0; from < n; from = o->stack[o->depth - 1].to) {
		struct around own = same_end(o, from, n);

		while (o->depth && !is_around(o, &o->stack[o->depth - 1], &own))
			o->depth--;
		o->stack[o->depth++] = own;
		for (uint32_t i = own.from; i < own.to; i++)
			for (uint32_t k = 0; k < o->depth; k++)
				judge_name(o, i, &o->stack[k]);
	}
}

/* ---- verdicts */

struct rule_text {
	char s[DNAME_MAX + CFG_NAME_MAX + 8];
};

static struct rule_text text_of(const struct cfg_route *r)
{
	struct rule_text t = { 0 };

	if (r->match == CFG_MATCH_NAME)
		snprintf(t.s, sizeof(t.s), "%s", r->name);
	else
		net_prefix_str(t.s, &r->prefix);
	return t;
}

static void tell_conflict(struct cfg_loader *ld, const struct cfg_route *early,
			  const struct cfg_route *late)
{
	const struct config *c = &ld->owned->c;
	const char *early_to = cfg_action_name(c, early->action, early->upstream);
	const char *late_to = cfg_action_name(c, late->action, late->upstream);
	bool is_name = late->match == CFG_MATCH_NAME;
	bool is_around = !is_name || dname_is_suffix(early->name); /* all that @late holds */

	if (same_match(early, late))
		cfg_error(ld, &late->place, "%s -> %s: %s has the same %s with -> %s",
			  text_of(late).s, late_to, cfg_where(&early->place).s,
			  is_name ? "name" : "prefix", early_to);
	else if (is_around)
		cfg_error(ld, &late->place,
			  "%s -> %s stands behind the broader %s -> %s of %s: the first match or "
			  "the most specific? Say it with match_order: specific or match_order: "
			  "first",
			  text_of(late).s, late_to, text_of(early).s, early_to,
			  cfg_where(&early->place).s);
	else
		cfg_error(ld, &late->place,
			  "%s -> %s stands behind %s -> %s of %s, and a name may fit both: the "
			  "first match or the most specific (a name, then the longest suffix, "
			  "then patterns)? Say it with match_order: specific or match_order: "
			  "first",
			  text_of(late).s, late_to, text_of(early).s, early_to,
			  cfg_where(&early->place).s);
}

static void tell_conflicts(struct cfg_loader *ld, const struct verdict *v)
{
	const struct config *c = &ld->owned->c;

	for (size_t j = 0; j < c->n_routes && !cfg_report_is_full(ld->report); j++)
		if (v[j].conflict != NONE)
			tell_conflict(ld, &c->routes[v[j].conflict], &c->routes[j]);
}

static void drop_covered(struct cfg_loader *ld, const struct verdict *v)
{
	struct config *c = &ld->owned->c;
	size_t kept = 0;

	for (size_t j = 0; j < c->n_routes; j++)
		if (v[j].cover != NONE)
			cfg_note(ld, &c->routes[j].place, "%s is never reached: %s comes first",
				 text_of(&c->routes[j]).s,
				 cfg_where(&c->routes[v[j].cover].place).s);
	for (size_t j = 0; j < c->n_routes; j++)
		if (v[j].cover == NONE)
			c->routes[kept++] = c->routes[j];
	c->n_routes = kept;
}

static int by_specificity(const void *pa, const void *pb)
{
	const struct cfg_route *a = pa, *b = pb;

	if (a->match != b->match)
		return a->match < b->match ? -1 : 1;
	if (a->match == CFG_MATCH_NAME)
		return a->order < b->order ? -1 : 1;
	if (a->match == CFG_MATCH_VPC)
		return a->upstream < b->upstream ? -1 : 1;
	if (a->prefix.len != b->prefix.len)
		return a->prefix.len > b->prefix.len ? -1 : 1;
	return net_addr_cmp(&a->prefix.addr, &b->prefix.addr);
}

static void sort(struct order *o, enum cfg_match match, size_t n_routes,
		 int (*cmp)(const void *, const void *, void *))
{
	o->n = o->depth = 0;
	for (uint32_t i = 0; i < n_routes; i++)
		if (o->routes[i].match == match)
			o->sorted[o->n++] = i;
	qsort_r(o->sorted, o->n, sizeof(*o->sorted), cmp, o);
}

static void judge_all(struct order *o, size_t n_routes)
{
	for (size_t i = 0; i < n_routes; i++)
		o->verdicts[i] = (struct verdict){ NONE, NONE };
	sort(o, CFG_MATCH_PREFIX, n_routes, by_address);
	sweep_prefixes(o);
	sort(o, CFG_MATCH_NAME, n_routes, by_end);
	sweep_names(o);
}

bool cfg_order_check(struct cfg_loader *ld)
{
	struct config *c = &ld->owned->c;
	struct order o = { .routes = c->routes, .match_order = c->match_order };

	if (!c->n_routes)
		return true;
	o.sorted = cfg_alloc(&ld->temp, c->n_routes * sizeof(*o.sorted));
	o.patterns = cfg_alloc(&ld->temp, c->n_routes * sizeof(*o.patterns));
	o.verdicts = cfg_alloc(&ld->temp, c->n_routes * sizeof(*o.verdicts));
	if (!o.sorted || !o.patterns || !o.verdicts)
		return false;
	judge_all(&o, c->n_routes);
	tell_conflicts(ld, o.verdicts);
	if (ld->report->n_errors)
		return true;
	drop_covered(ld, o.verdicts);
	qsort(c->routes, c->n_routes, sizeof(*c->routes), by_specificity);
	return true;
}
