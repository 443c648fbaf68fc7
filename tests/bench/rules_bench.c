// SPDX-License-Identifier: MIT
/*
 * rules_bench.c - what 5,000 prefixes and 5,000 rules of names under 50 suffixes cost: loading, memory, look-ups, on one core
 *
 * A look-up is measured over all destinations in turn, so that the tables don't just stay in the nearest cache. Half of the destinations have
 * a rule; names are plain, below a suffix, and of a pattern in equal parts. Each line is a median of rounds. Prints; asserts nothing but
 * that every look-up finds what it should.
 */
#include <malloc.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/err.h"
#include "config/config_internal.h"
#include "router/rt_kernel.h"
#include "router/rt_names.h"
#include "router/rt_rules.h"

#define EACH ((size_t)5000)
#define SUFFIXES 50U
#define ROUNDS 31U     /* odd: the median is one of them */
#define GOAL_NS 1000.0 /* of a look-up; a goal that the project has set itself */
#define GOAL_MIB 8.0   /* of all that these rules need */

struct tables {
	struct config *config;
	struct rt_rules *rules;
	struct rt_names *names[2]; /* specific, first */
};

static struct net_addr addrs[2 * EACH];
static char names[2 * EACH][64];

static void stay_here(void)
{
	cpu_set_t set;
	int cpu = sched_getcpu();

	CPU_ZERO(&set);
	CPU_SET(cpu < 0 ? 0 : (unsigned)cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
}

static double clock_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static double heap_mib(void)
{
	struct mallinfo2 m = mallinfo2();

	return (double)(m.uordblks + m.hblkhd) / (double)MIB(1);
}

/* What the process really holds, peaks that malloc kept included. */
static double rss_mib(void)
{
	FILE *f = fopen("/proc/self/status", "re");
	unsigned long kib = 0;
	char line[128];

	while (f && fgets(line, sizeof(line), f))
		if (strncmp(line, "RssAnon:", 8) == 0)
			kib = strtoul(line + 8, NULL, 10);
	if (f)
		fclose(f);
	return (double)kib / 1024;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

/* ---- rules and destinations */

/* Rule @i of a sort, in lengths from 16 to 32. */
static void prefix_put(char *out, size_t cap, uint32_t i)
{
	switch (i % 4) {
	case 0: snprintf(out, cap, "10.%u.%u.%u/32", i / 4 >> 8, i / 4 & 255, i % 251); break;
	case 1: snprintf(out, cap, "172.%u.%u.0/24", 16 + (i >> 10), i >> 2 & 255); break;
	case 2: snprintf(out, cap, "fd00:%x::/32", i); break;
	default: snprintf(out, cap, "10.%u.%u.%u/28", 64 + (i / 4 >> 8), i / 4 & 255, i * 16 & 240);
	}
}

static void name_put(char *out, size_t cap, uint32_t i, bool is_rule)
{
	uint32_t zone = i % SUFFIXES;

	switch (i % 3) {
	case 0: snprintf(out, cap, "host%u.z%u.prod.example.internal", i, zone); break;
	case 1:
		snprintf(out, cap, "%s.svc%u.z%u.prod.example.internal", is_rule ? "*" : "api", i,
			 zone);
		break;
	default:
		snprintf(out, cap, "db%u-%s.z%u.prod.example.internal", i, is_rule ? "*" : "main",
			 zone);
	}
}

static char *file_make(size_t *len)
{
	char *text = NULL, rule[80];
	FILE *f = open_memstream(&text, len);

	if (!f)
		return NULL;
	fputs("upstreams: {p: {instances: i-1}}\nroutes:\n", f);
	for (uint32_t i = 0; i < EACH; i++) {
		prefix_put(rule, sizeof(rule), i);
		fprintf(f, "  - {match: '%s', upstream: p}\n", rule);
		name_put(rule, sizeof(rule), i, true);
		fprintf(f, "  - {match: '%s', upstream: p}\n", rule);
	}
	fclose(f);
	return text;
}

/* An even place has a rule, an odd one has none. */
static void destinations_make(void)
{
	struct net_prefix p;
	char text[NET_PREFIX_STR];

	for (size_t i = 0; i < EACH; i++) {
		prefix_put(text, sizeof(text), (uint32_t)i);
		if (net_prefix_parse(&p, text) < 0)
			ST_BUG("prefix %s", text);
		addrs[2 * i] = addrs[2 * i + 1] = p.addr;
		addrs[2 * i + 1].b[0] ^= 1;
		name_put(names[2 * i], sizeof(names[0]), (uint32_t)i, false);
		name_put(names[2 * i + 1], sizeof(names[0]), (uint32_t)i, false);
		names[2 * i + 1][1] = 'x';
		if (i % 3 == 1)
			memcpy(strstr(names[2 * i + 1], "svc"), "sv_", 3);
	}
}

/* ---- measuring */

static void load(struct tables *t, const char *text, size_t len)
{
	static struct cfg_report report;
	const struct cfg_file file = { .path = "/f", .st = { .st_mode = S_IFREG | 0600 } };
	const struct cfg_opts opts = { .home = "/" };

	if (cfg_load_text(&t->config, &opts, &report, &file, text, len) < 0) {
		cfg_report_print(&report, stderr);
		ST_BUG("the file is refused");
	}
}

static void tables_make(struct tables *t)
{
	const struct config *c = t->config;
	struct rt_rule *rules = calloc(c->n_routes, sizeof(*rules));
	struct rt_name_rule *by_name = calloc(c->n_routes, sizeof(*by_name));
	size_t n_rules = 0, n_names = 0;

	if (!rules || !by_name)
		ST_BUG("no memory");
	for (size_t i = 0; i < c->n_routes; i++) {
		const struct cfg_route *r = &c->routes[i];

		if (r->match == CFG_MATCH_PREFIX)
			rules[n_rules++] = (struct rt_rule){ .prefix = r->prefix };
		else
			by_name[n_names++] = (struct rt_name_rule){ .pattern = r->name,
								    .order = r->order };
	}
	if (rt_rules_new(&t->rules, rules, n_rules) < 0 ||
	    rt_names_new(&t->names[0], by_name, n_names, false) < 0 ||
	    rt_names_new(&t->names[1], by_name, n_names, true) < 0)
		ST_BUG("no memory");
	free(rules);
	free(by_name);
}

static double addr_ns(const struct tables *t)
{
	double from = clock_ns();
	size_t found = 0;

	for (size_t i = 0; i < 2 * EACH; i++)
		found += rt_rules_find(t->rules, &addrs[i]) != NULL;
	if (found != EACH)
		ST_BUG("%zu addresses have a rule", found);
	return (clock_ns() - from) / (double)(2 * EACH);
}

static double names_ns(const struct tables *t, bool first)
{
	double from = clock_ns();
	size_t found = 0;

	for (size_t i = 0; i < 2 * EACH; i++)
		found += rt_names_find(t->names[first], names[i]) != NULL;
	if (found != EACH)
		ST_BUG("%zu names have a rule", found);
	return (clock_ns() - from) / (double)(2 * EACH);
}

static double specific_ns(const struct tables *t)
{
	return names_ns(t, false);
}

static double first_ns(const struct tables *t)
{
	return names_ns(t, true);
}

static void tell(const char *what, const struct tables *t, double (*measure)(const struct tables *))
{
	double v[ROUNDS];

	for (size_t i = 0; i < ROUNDS; i++)
		v[i] = measure(t);
	qsort(v, ROUNDS, sizeof(*v), by_value);
	printf("%-44s %6.0f ns (%.0f to %.0f), goal below %.0f: %s\n", what, v[ROUNDS / 2], v[0],
	       v[ROUNDS - 1], GOAL_NS, v[ROUNDS / 2] < GOAL_NS ? "met" : "MISSED");
}

static void tell_kernel(const struct tables *t)
{
	struct rt_kernel_route *routes;
	double from = clock_ns();
	size_t n;

	if (rt_kernel_routes(t->rules, NULL, 0, &routes, &n, NULL, NULL) < 0)
		ST_BUG("no memory");
	printf("%-44s %6.1f ms, %zu of them\n", "routes of the kernel", (clock_ns() - from) / 1e6,
	       n);
	free(routes);
}

int main(void)
{
	struct tables t = { 0 };
	size_t len;
	char *text = file_make(&len);
	double from, heap, rss;

	if (!text)
		ST_BUG("no memory");
	stay_here();
	destinations_make();
	heap = heap_mib();
	rss = rss_mib();
	from = clock_ns();
	load(&t, text, len);
	printf("%zu rules in %zu KiB:\n", 2 * EACH, len / 1024);
	printf("%-44s %6.1f ms, keeps %.1f MiB\n", "load and check", (clock_ns() - from) / 1e6,
	       heap_mib() - heap);
	from = clock_ns();
	tables_make(&t);
	rt_names_free(t.names[1]); /* a router has one of them */
	heap = heap_mib() - heap;
	printf("%-44s %6.1f ms, with them %.1f MiB, goal below %.0f: %s\n", "tables of the router",
	       (clock_ns() - from) / 1e6, heap, GOAL_MIB, heap < GOAL_MIB ? "met" : "MISSED");
	tell_kernel(&t);
	printf("%-44s %6.1f MiB more\n", "RssAnon of it all", rss_mib() - rss);
	rt_rules_free(t.rules);
	rt_names_free(t.names[0]);
	tables_make(&t);
	tell("rule of an address", &t, addr_ns);
	tell("rule of a name", &t, specific_ns);
	tell("rule of a name, match_order: first", &t, first_ns);
	rt_rules_free(t.rules);
	rt_names_free(t.names[0]);
	rt_names_free(t.names[1]);
	cfg_free(t.config);
	free(text);
	return 0;
}
