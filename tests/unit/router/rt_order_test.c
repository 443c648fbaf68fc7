// SPDX-License-Identifier: MIT
/*
 * Cases: files of random rules, as the configuration hands them on, in the tries: for random destinations the rule is the one that a naive scan of the
 * file finds, with match_order specific and first, for prefixes of both families and for names; without match_order a file is refused, or both
 * scans agree on every destination.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "config/config_internal.h"
#include "router/rt_names.h"
#include "router/rt_rules.h"

#define RULES_MAX 24
#define UPSTREAMS 3

/* What the file says, kept beside it. */
struct written {
	bool is_name;
	struct net_prefix prefix;
	char name[64];
	uint32_t upstream;
};

static unsigned seed = 11;

static unsigned dice(unsigned sides)
{
	return (unsigned)rand_r(&seed) % sides;
}

/* Few values a byte, so that prefixes lie in each other often. */
static void random_address(struct net_addr *out)
{
	*out = (struct net_addr){ .family = dice(2) ? 4 : 6 };
	out->b[0] = out->family == 4 ? 10 : 0xfd;
	for (size_t i = 1; i < 4; i++)
		out->b[i] = (uint8_t)(dice(3) * 0x55);
}

static void random_prefix(struct net_prefix *out)
{
	struct net_addr a;
	char text[NET_PREFIX_STR], addr[NET_ADDR_STR];

	random_address(&a);
	snprintf(text, sizeof(text), "%s/%u", net_addr_str(addr, &a), 8 + dice(25));
	net_prefix_parse(out, text); /* with the bits behind it cleared */
}

static void random_name(char *out, bool is_pattern)
{
	static const char *const labels[] = { "a", "b", "ab", "ba" };
	static const char *const wilds[] = { "*", "a*", "*b", "?", "a?" };
	unsigned n = dice(3) + 2;
	size_t at = 0;

	for (unsigned i = 0; i < n; i++) {
		bool is_wild = is_pattern && dice(i ? 8 : 2) == 0;

		at += (size_t)sprintf(out + at, "%s%s", i ? "." : "",
				      is_wild ? wilds[dice(5)] : labels[dice(4)]);
	}
}

/* With @distinct no destinations are written twice: with different actions that is an error in any order but first. */
static size_t random_rules(struct written *w, bool distinct)
{
	size_t n = 0, want = dice(RULES_MAX) + 1;

	for (unsigned tries = 0; n < want && tries < 200; tries++) {
		struct written *r = &w[n];
		bool twice = false;

		memset(r, 0, sizeof(*r));
		r->is_name = dice(2);
		r->upstream = dice(UPSTREAMS);
		if (r->is_name)
			random_name(r->name, true);
		else
			random_prefix(&r->prefix);
		if (r->is_name && !strpbrk(r->name, "ab"))
			continue;
		for (size_t i = 0; i < n && distinct; i++)
			twice = twice ||
				(w[i].is_name == r->is_name &&
				 memcmp(&w[i].prefix, &r->prefix, sizeof(r->prefix)) == 0 &&
				 strcmp(w[i].name, r->name) == 0);
		n += !twice;
	}
	return n;
}

static void write_file(char *out, const struct written *w, size_t n, const char *order)
{
	char prefix[NET_PREFIX_STR];
	size_t at = (size_t)sprintf(out,
				    "upstreams:\n  u0: {instances: i-1}\n  u1: {instances: i-1}\n"
				    "  u2: {instances: i-1}\nroutes:\n");

	for (size_t i = 0; i < n; i++)
		at += (size_t)sprintf(out + at, "  - {match: '%s', upstream: u%u}\n",
				      w[i].is_name ? w[i].name
						   : net_prefix_str(prefix, &w[i].prefix),
				      w[i].upstream);
	sprintf(out + at, "%s\n", order);
}

struct tables {
	struct rt_rules *rules;
	struct rt_names *names;
};

/* As the daemon does it. */
static void tables_make(struct tables *t, const struct config *c)
{
	struct rt_rule rules[RULES_MAX];
	struct rt_name_rule names[RULES_MAX];
	size_t n_rules = 0, n_names = 0;

	for (size_t i = 0; i < c->n_routes; i++) {
		const struct cfg_route *r = &c->routes[i];

		if (r->match == CFG_MATCH_PREFIX)
			rules[n_rules++] = (struct rt_rule){ .prefix = r->prefix,
							     .upstream = r->upstream,
							     .line = r->place.line };
		else
			names[n_names++] = (struct rt_name_rule){ .pattern = r->name,
								  .upstream = r->upstream,
								  .line = r->place.line,
								  .order = r->order };
	}
	assert_int_equal(rt_rules_new(&t->rules, rules, n_rules), 0);
	assert_int_equal(rt_names_new(&t->names, names, n_names, c->match_order == CFG_ORDER_FIRST),
			 0);
}

static void tables_free(struct tables *t)
{
	rt_rules_free(t->rules);
	rt_names_free(t->names);
}

static bool naive_match(const char *p, const char *n)
{
	if (*p == '*')
		return naive_match(p + 1, n) || (*n && naive_match(p, n + 1));
	if (!*n || !*p)
		return !*n && !*p;
	return (*p == *n || (*p == '?' && *n != '.')) && naive_match(p + 1, n + 1);
}

/* Of names: plain before suffix before glob, then by literal characters; of prefixes the length. */
static unsigned specificity(const struct written *w)
{
	unsigned literals = 0;
	bool is_suffix = strncmp(w->name, "*.", 2) == 0 && !strpbrk(w->name + 2, "*?");

	if (!w->is_name)
		return w->prefix.len;
	for (const char *c = w->name; *c; c++)
		literals += *c != '*' && *c != '?';
	return literals + (!strpbrk(w->name, "*?") ? 2000 : is_suffix ? 1000 : 0);
}

/* Place in the file of the rule for @addr or @name; -1: none. */
static int naive_find(const struct written *w, size_t n, const struct net_addr *addr,
		      const char *name, bool first)
{
	int best = -1;

	for (size_t i = 0; i < n; i++) {
		if (w[i].is_name != (name != NULL) ||
		    !(name ? naive_match(w[i].name, name) : net_prefix_has(&w[i].prefix, addr)))
			continue;
		if (best < 0 || (!first && specificity(&w[i]) > specificity(&w[best])))
			best = (int)i;
	}
	return best;
}

static int hits;

/* The line may be that of a rule that says the same; the upstream is what counts. */
static void compare(const struct tables *t, const struct written *w, size_t n, bool first)
{
	char name[64], addr[NET_ADDR_STR];
	struct net_addr a;

	for (int i = 0; i < 40; i++) {
		random_address(&a);
		random_name(name, false);
		const struct rt_rule *r = rt_rules_find(t->rules, &a);
		const struct rt_name_rule *nr = rt_names_find(t->names, name);
		int want = naive_find(w, n, &a, NULL, first);
		int want_name = naive_find(w, n, NULL, name, first);

		hits += (want >= 0) + (want_name >= 0);
		if ((want < 0) != (r == NULL) || (r && r->upstream != w[want].upstream))
			fail_msg("%s, %s: not rule %d", net_addr_str(addr, &a),
				 first ? "first" : "specific", want);
		if ((want_name < 0) != (nr == NULL) ||
		    (nr && nr->upstream != w[want_name].upstream))
			fail_msg("%s, %s: not rule %d", name, first ? "first" : "specific",
				 want_name);
	}
}

static int load(struct config **c, struct cfg_report *report, const char *text)
{
	const struct cfg_file file = { .path = "/f", .st = { .st_mode = S_IFREG | 0600 } };
	const struct cfg_opts opts = { .home = "/" };

	*c = NULL;
	return cfg_load_text(c, &opts, report, &file, text, strlen(text));
}

static void one_round(struct cfg_report *report, int *refused)
{
	static const char *const orders[] = { "match_order: specific", "match_order: first", "" };
	struct written w[RULES_MAX];
	unsigned order = dice(3);
	size_t n = random_rules(w, order == 0);
	char text[RULES_MAX * 160 + 400];
	struct tables t;
	struct config *c;
	int err;

	if (order == 2 && n > 6) /* else nearly all are refused */
		n = 6;
	write_file(text, w, n, orders[order]);
	err = load(&c, report, text);
	if (order == 2 && err == ST_ECONFIG) {
		(*refused)++;
		return;
	}
	if (err) {
		fputs(text, stderr);
		cfg_report_print(report, stderr);
	}
	assert_int_equal(err, 0);
	tables_make(&t, c);
	if (order != 1)
		compare(&t, w, n, false);
	if (order != 0)
		compare(&t, w, n, true);
	tables_free(&t);
	cfg_free(c);
}

static void test_random_files(void **state)
{
	struct cfg_report *report = calloc(1, sizeof(*report));
	int refused = 0;

	(void)state;
	assert_non_null(report);
	for (int i = 0; i < 2000; i++)
		one_round(report, &refused);
	print_message("%d files refused, %d destinations had a rule\n", refused, hits);
	assert_in_range(refused, 60, 600);
	assert_true(hits > 10000);
	free(report);
}

/* Without match_order: what is accepted is the same in both orders for every destination that is tried, and most of what is refused is not (some
 * names that tell two patterns apart are none of those tried). */
static void test_refused_for_a_reason(void **state)
{
	struct cfg_report *report = calloc(1, sizeof(*report));
	int refused = 0, accepted = 0, told = 0;

	(void)state;
	assert_non_null(report);
	for (int round = 0; round < 1000; round++) {
		struct written w[RULES_MAX];
		size_t n = random_rules(w, true);
		char text[RULES_MAX * 160 + 400];
		bool differs = false;
		struct config *c;
		int err;

		n = n > 3 ? 3 : n;
		write_file(text, w, n, "");
		err = load(&c, report, text);
		for (int i = 0; i < 3000 && !differs; i++) {
			struct net_addr a;
			char name[64];

			random_address(&a);
			random_name(name, false);
			int s = naive_find(w, n, &a, NULL, false),
			    f = naive_find(w, n, &a, NULL, true);
			int sn = naive_find(w, n, NULL, name, false),
			    fn = naive_find(w, n, NULL, name, true);

			differs = (s >= 0 && w[s].upstream != w[f].upstream) ||
				  (sn >= 0 && w[sn].upstream != w[fn].upstream);
		}
		if (differs && !err)
			fail_msg("both orders differ:\n%s", text);
		refused += err != 0;
		accepted += !err;
		told += differs;
		cfg_free(c);
	}
	print_message("%d refused, %d of them told apart, %d accepted\n", refused, told, accepted);
	assert_true(refused > 25 && accepted > 250 && told > refused / 2);
	free(report);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random_files),
		cmocka_unit_test(test_refused_for_a_reason),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
