// SPDX-License-Identifier: MIT
/*
 * Cases: where the order of the file and specificity differ among names: each pair of sorts of pattern, either way round, with the lines of
 * both; equal names; what is never reached, in each order; names stand last, in the file's order; 10,000 rules (half of them names, under 50
 * suffixes) load, are ordered and shown in time and in little memory; 5,000 globs with one end; 16,384 equal rules; the limit.
 */
#include <malloc.h>
#include <time.h>

#include "tests/unit/config/config_fixture.h"

#define HEAD "upstreams: {p: {instances: i-1}, q: {instances: i-2}}\nroutes:\n"
#define TO_P(match) "  - {match: '" match "', upstream: p}\n"
#define TO_Q(match) "  - {match: '" match "', upstream: q}\n"

/* Both rules are in lines 3 and 4. */
static const struct {
	const char *text;
	const char *says; /* NULL: both orders agree */
} conflicts[] = {
	{ TO_P("*.x") TO_Q("db.x"),
	  "db.x -> q stands behind the broader *.x -> p of line 3: the first match" },
	{ TO_Q("db.x") TO_P("*.x"), NULL },
	{ TO_P("*.x") TO_P("db.x"), NULL },
	{ TO_P("*.x") TO_Q("x"), NULL },
	{ TO_P("*.x") TO_Q("*.b.x"), "*.b.x -> q stands behind the broader *.x -> p of line 3" },
	{ TO_P("*.b.x") TO_Q("*.x"), NULL },
	{ TO_P("*.b.x") TO_Q("*.bb.x"), NULL },
	{ TO_P("db-*.x") TO_Q("*.x"),
	  "*.x -> q stands behind db-*.x -> p of line 3, and a name may fit both" },
	{ TO_P("db-*.x") TO_Q("*.a.x"), "a name may fit both" },
	{ TO_P("db.*.x") TO_Q("*.a.x"), "a name may fit both" },
	{ TO_P("?.x") TO_Q("*.a.x"), NULL },
	{ TO_P("?.x") TO_Q("a.x"), "a.x -> q stands behind ?.x -> p of line 3" },
	{ TO_P("?.x") TO_Q("ab.x"), NULL },
	{ TO_P("db.*") TO_Q("db.x"), "db.x -> q stands behind db.* -> p" },
	{ TO_P("db.*") TO_Q("dc.x"), NULL },
	{ TO_P("*db*") TO_Q("*.x"), "a name may fit both" },
	{ TO_P("a*.x") TO_Q("ab*.x"), "ab*.x -> q stands behind a*.x -> p" },
	{ TO_P("ab*.x") TO_Q("a*.x"), NULL },
	{ TO_P("a*.x") TO_Q("*b.x"), NULL },
	{ TO_P("a*.x") TO_Q("bb*.x"), NULL },
	{ TO_P("*a.x") TO_Q("*bb.x"), NULL },
	{ TO_P("*.x") TO_Q("y.z"), NULL },
	{ TO_P("DB.x.") TO_Q("db.X"), "db.x -> q: line 3 has the same name with -> p" },
	{ TO_P("*.x") TO_Q("*.x"), "*.x -> q: line 3 has the same name with -> p" },
	{ TO_P("10.0.0.0/8") TO_Q("*.x"), NULL },
};

static void test_conflicts(void **state)
{
	struct cfg_report *r = calloc(1, sizeof(*r));

	(void)state;
	assert_non_null(r);
	for (size_t i = 0; i < ARRAY_LEN(conflicts); i++) {
		bool is_equal = conflicts[i].says && strstr(conflicts[i].says, "same name");
		char text[400];
		struct config *c;

		snprintf(text, sizeof(text), HEAD "%s", conflicts[i].text);
		if (!conflicts[i].says) {
			c = cx_good(text);
			cfg_free(c);
			continue;
		}
		assert_int_equal(cx_load(&c, r, text, NULL, 0), ST_ECONFIG);
		assert_int_equal(r->n_errors, 1);
		assert_int_equal(cx_find(r, conflicts[i].says, false)->place.line, 4);
		/* a word of the file settles it, but for equal names */
		strcat(text, "match_order: first\n");
		assert_int_equal(cx_load(&c, r, text, NULL, 0), 0);
		cfg_free(c);
		strcpy(strstr(text, "first\n"), "specific\n");
		assert_int_equal(cx_load(&c, r, text, NULL, 0), is_equal ? ST_ECONFIG : 0);
		cfg_free(c);
	}
	free(r);
}

/* In lines from 3 on. */
static const struct {
	const char *text;
	const char *left; /* names, in their order */
	const char *says; /* a note; NULL: none */
	uint32_t line;
} reached[] = {
	{ TO_P("b.x") TO_P("a.x") TO_P("b.x"), "b.x a.x ",
	  "b.x is never reached: line 3 comes first", 5 },
	{ TO_P("*.x") TO_Q("g*.x"), "*.x ", "g*.x is never reached: line 3", 4 },
	{ TO_P("*.x") TO_P("g*.x") TO_P("d.x"), "*.x g*.x d.x ", NULL, 0 },
	{ TO_Q("g*.b.x") TO_P("*.x") "match_order: specific\n", "*.x ",
	  "g*.b.x is never reached: line 4", 3 },
	{ TO_Q("g*.b.x") TO_P("*.x") "match_order: first\n", "g*.b.x *.x ", NULL, 0 },
	{ TO_P("*.x") TO_Q("db.x") "match_order: first\n", "*.x ", "db.x is never reached: line 3",
	  4 },
	{ TO_P("*.x") TO_Q("x") TO_Q("y") "match_order: first\n", "*.x x y ", NULL, 0 },
	{ TO_P("*.x") TO_Q("*.b.x") "match_order: first\n", "*.x ",
	  "*.b.x is never reached: line 3", 4 },
	{ TO_P("a.b.x") TO_Q("*.b.x") TO_P("*.x") "match_order: first\n", "a.b.x *.b.x *.x ", NULL,
	  0 },
	{ TO_P("a.x") TO_Q("a.x") "match_order: first\n", "a.x ", "a.x is never reached: line 3",
	  4 },
};

static void test_never_reached(void **state)
{
	struct cfg_report *r = calloc(1, sizeof(*r));

	(void)state;
	assert_non_null(r);
	for (size_t i = 0; i < ARRAY_LEN(reached); i++) {
		char text[400], left[200] = "";
		struct config *c;

		snprintf(text, sizeof(text), HEAD "%s", reached[i].text);
		assert_int_equal(cx_load(&c, r, text, NULL, 0), 0);
		for (size_t k = 0; k < c->n_routes; k++) {
			strcat(left, c->routes[k].name);
			strcat(left, " ");
		}
		assert_string_equal(left, reached[i].left);
		assert_int_equal(r->n, reached[i].says != NULL);
		if (reached[i].says)
			assert_int_equal(cx_find(r, reached[i].says, true)->place.line,
					 reached[i].line);
		cfg_free(c);
	}
	free(r);
}

static void test_place(void **state)
{
	struct config *c = cx_good(HEAD TO_P("z.x") TO_P("10.0.0.0/8") TO_Q("a.x") TO_P("vpc")
					   TO_P("10.1.0.0/16") TO_P("*.m"));
	static const enum cfg_match matches[] = {
		CFG_MATCH_PREFIX, CFG_MATCH_PREFIX, CFG_MATCH_VPC,
		CFG_MATCH_NAME,	  CFG_MATCH_NAME,   CFG_MATCH_NAME
	};
	static const uint32_t orders[] = { 4, 1, 3, 0, 2, 5 };

	(void)state;
	assert_int_equal(c->n_routes, 6);
	for (size_t i = 0; i < 6; i++) {
		assert_int_equal(c->routes[i].match, matches[i]);
		assert_int_equal(c->routes[i].order, orders[i]);
	}
	cfg_free(c);
}

/* ---- size */

/* Of this process alone: what else the machine does is not the point. */
static double cpu_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static size_t heap_bytes(void)
{
	struct mallinfo2 m = mallinfo2();

	return m.uordblks + m.hblkhd;
}

static size_t put_rule(char *out, unsigned i)
{
	switch (i % 6) {
	case 0:
		return (size_t)sprintf(out, TO_P("host%u.svc%u.z%u.example.internal"), i, i % 7,
				       i % 50);
	case 2: return (size_t)sprintf(out, TO_P("*.sub%u.z%u.example.internal"), i, i % 50);
	case 4: return (size_t)sprintf(out, TO_P("db%u-*.z%u.example.internal"), i, i % 50);
	default:
		return (size_t)sprintf(out, TO_P("10.%u.%u.%u/32"), i >> 14, i >> 7 & 127, i & 127);
	}
}

static void test_large(void **state)
{
	enum { N = 10000 };
	char *text = malloc(MIB(1)), *shown = NULL;
	size_t at = (size_t)sprintf(text, HEAD), shown_len, held;
	struct cfg_report *r = calloc(1, sizeof(*r));
	struct config *c;
	double start;
	FILE *to = open_memstream(&shown, &shown_len);

	(void)state;
	assert_non_null(to);
	assert_non_null(r);
	for (unsigned i = 0; i < N; i++)
		at += put_rule(text + at, i);
	held = heap_bytes();
	start = cpu_ms();
	assert_int_equal(cx_load(&c, r, text, NULL, 0), 0);
	print_message("%d rules of %zu KiB: %.0f ms, %zu KiB kept\n", N, at / 1024,
		      cpu_ms() - start, (heap_bytes() - held) / 1024);
	assert_true(cpu_ms() - start <
		    5000); /* well under 500 where nothing else runs, and no sanitizer */
	assert_true(heap_bytes() - held < MIB(3));
	assert_int_equal(c->n_routes, N);
	assert_int_equal(r->n, 0);
	cfg_show(c, to);
	fclose(to);
	cfg_free(c);
	assert_int_equal(cx_load(&c, r, shown, NULL, 0), 0); /* it loads again */
	assert_int_equal(c->n_routes, N);
	cfg_free(c);
	free(shown);
	free(text);
	free(r);
}

/* Prefixes around prefixes, equal ones, and globs with the same end: what is compared in pairs, or once was. */
static void test_adverse(void **state)
{
	enum { GLOBS = 5000 };
	char *text = malloc(MIB(1) * 2);
	struct cfg_report *r = calloc(1, sizeof(*r));
	size_t at = (size_t)sprintf(text, HEAD);
	struct config *c;
	double start = cpu_ms();

	(void)state;
	assert_non_null(r);
	for (unsigned i = 0; i < GLOBS; i++)
		at += (size_t)sprintf(text + at, i % 2 ? TO_P("a%u*") : TO_Q("a%u*"), 10000 + i);
	assert_int_equal(cx_load(&c, r, text, NULL, 0), 0);
	assert_int_equal(c->n_routes, GLOBS);
	cfg_free(c);
	print_message("%u globs without an end: %.0f ms\n", GLOBS, cpu_ms() - start);

	start = cpu_ms();
	at = (size_t)sprintf(text, HEAD);
	for (unsigned i = 0; i < CFG_ROUTES_MAX; i++)
		at += (size_t)sprintf(text + at, "%s", i % 3 ? TO_P("10.0.0.0/8") : TO_P("*.x"));
	assert_int_equal(cx_load(&c, r, text, NULL, 0), 0);
	assert_int_equal(c->n_routes, 2);
	assert_int_equal(r->n, CFG_PROBLEMS_MAX);
	cfg_free(c);
	print_message("%u equal rules: %.0f ms\n", CFG_ROUTES_MAX, cpu_ms() - start);
	assert_true(cpu_ms() - start < 5000);
	sprintf(text + at, TO_P("a.b"));
	assert_int_equal(cx_load(&c, r, text, NULL, 0), ST_ECONFIG);
	cx_find(r, "more than 16384 routes", false);
	free(text);
	free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_conflicts), cmocka_unit_test(test_never_reached),
		cmocka_unit_test(test_place),	  cmocka_unit_test(test_large),
		cmocka_unit_test(test_adverse),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
