// SPDX-License-Identifier: MIT
/*
 * scenario.c - sim_scenario: runs the scenarios, prints their figures, fails on a bound that is broken
 *
 * The worlds of latency.c, window.c, patience.c and models.c; what each figure means stands there.
 */
#include "scenario.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct sim_session *world_pair(struct scenario_world *w, const struct relay_opts *relay,
			       const struct ours_opts *client, const struct ours_opts *agent)
{
	struct sim_session *ss = &w->session[w->sessions++];

	relay_init(ss, &w->sim, relay);
	ours_new(ss, SIM_CLIENT, client);
	ours_new(ss, SIM_AGENT, agent);
	for (int i = 0; i < SIM_ENDS; i++)
		ss->app[i].expect = UINT64_MAX;
	for (int i = 0; i < SIM_ENDS; i++)
		sim_settle(ss->end[i]);
	return ss;
}

uint64_t world_now(const struct scenario_world *w)
{
	return w->sim.now_us - SIM_START_US;
}

void world_run(struct scenario_world *w, uint64_t us)
{
	while (sim_step(&w->sim, SIM_START_US + us))
		;
}

void app_more(struct sim_end *e, uint64_t n)
{
	e->app->to_send += n;
	sim_settle(e);
}

void figure_add(struct scenario_world *w, const char *name, const char *unit, double value,
		double min, double max)
{
	if (w->figures_n == SCENARIO_FIGURES_MAX)
		ST_BUG("too many figures");
	w->figures[w->figures_n++] = (struct figure){
		.name = name, .unit = unit, .value = value, .min = min, .max = max
	};
}

void sample_add(struct samples *s, uint64_t us)
{
	if (s->n < SCENARIO_SAMPLES_MAX)
		s->us[s->n++] = (uint32_t)MIN(us, UINT32_MAX);
}

static int by_value(const void *a, const void *b)
{
	const uint32_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

uint64_t sample_at(struct samples *s, unsigned percent)
{
	if (s->n == 0)
		return 0;
	qsort(s->us, s->n, sizeof(s->us[0]), by_value);
	return s->us[(uint64_t)(s->n - 1) * percent / 100];
}

/* ---- the program ---- */

static bool figure_print(const struct figure *f)
{
	bool ok = f->value >= f->min && f->value <= f->max;

	printf("    %-34s %10.2f %-5s", f->name, f->value, f->unit);
	if (isfinite(f->max))
		printf("  at most %g", f->max);
	if (isfinite(f->min))
		printf("  at least %g", f->min);
	printf("%s\n", ok ? "" : "  FAILED");
	return ok;
}

static void world_fini(struct scenario_world *w)
{
	relay_drop_events(&w->sim);
	for (unsigned i = 0; i < w->sessions; i++)
		relay_fini(&w->session[i]);
	sim_fini(&w->sim);
	free(w);
}

static bool scenario_run(const struct scenario *sc)
{
	struct scenario_world *w = sim_xmalloc(sizeof(*w));
	bool ok = true;

	printf("%s: %s\n", sc->name, sc->what);
	sim_init(&w->sim, 1);
	sc->run(w, sc->arg);
	for (unsigned i = 0; i < w->figures_n; i++)
		ok &= figure_print(&w->figures[i]);
	if (w->sim.failed) {
		printf("    FAILED: %s\n", w->sim.reason);
		ok = false;
	}
	world_fini(w);
	return ok;
}

static unsigned group_run(const struct scenario *list, unsigned n, const char *only, unsigned *ran)
{
	unsigned failed = 0;

	for (unsigned i = 0; i < n; i++) {
		if (only && strncmp(list[i].name, only, strlen(only)) != 0)
			continue;
		++*ran;
		failed += !scenario_run(&list[i]);
	}
	return failed;
}

int main(int argc, char **argv)
{
	const char *only = argc > 1 ? argv[1] : NULL;
	unsigned failed = 0, ran = 0;

	failed += group_run(latency_scenarios, latency_scenarios_n, only, &ran);
	failed += group_run(window_scenarios, window_scenarios_n, only, &ran);
	failed += group_run(patience_scenarios, patience_scenarios_n, only, &ran);
	failed += group_run(models_scenarios, models_scenarios_n, only, &ran);
	printf("%u scenarios, %u failed\n", ran, failed);
	if (ran == 0)
		fprintf(stderr, "sim_scenario: no scenario starts with \"%s\"\n", only);
	return failed || ran == 0 ? 1 : 0;
}
