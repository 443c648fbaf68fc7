// SPDX-License-Identifier: MIT
/*
 * scenario.h - figures of our channel in a world that does not lose anything
 *
 * A scenario builds a world, lets it run for some virtual time, and reports figures by name, each with
 * the bound that must hold.
 */
#ifndef TEST_SIM_SCENARIO_H
#define TEST_SIM_SCENARIO_H

#include "ours.h"
#include "relay.h"
#include "sim.h"

#define SCENARIO_SESSIONS_MAX 4U
#define SCENARIO_FIGURES_MAX 8U
#define SCENARIO_SAMPLES_MAX 65536U

struct figure {
	const char *name, *unit;
	double value;
	double min, max; /* the bound; INFINITY: none on that side */
};

struct samples {
	uint32_t n;
	uint32_t us[SCENARIO_SAMPLES_MAX];
};

struct scenario_world {
	struct sim sim;
	struct relay_pipe pipe[SIM_ENDS];
	struct sim_session session[SCENARIO_SESSIONS_MAX];
	unsigned sessions;
	struct figure figures[SCENARIO_FIGURES_MAX];
	unsigned figures_n;
};

struct scenario {
	const char *name, *what;
	void (*run)(struct scenario_world *w, unsigned arg);
	unsigned arg;
};

extern const struct scenario latency_scenarios[], window_scenarios[], patience_scenarios[],
	models_scenarios[];
extern const unsigned latency_scenarios_n, window_scenarios_n, patience_scenarios_n,
	models_scenarios_n;

/** world_pair() - adds a session of two ends of ours. Return: it */
struct sim_session *world_pair(struct scenario_world *w, const struct relay_opts *relay,
			       const struct ours_opts *client, const struct ours_opts *agent);
/** world_run() - until @us of virtual time after the start; fails the run when it stops before */
void world_run(struct scenario_world *w, uint64_t us);
/** world_now() - µs since the start */
uint64_t world_now(const struct scenario_world *w);
/** app_more() - the app of @e has @n more bytes to send, now */
void app_more(struct sim_end *e, uint64_t n);
void figure_add(struct scenario_world *w, const char *name, const char *unit, double value,
		double min, double max);
void sample_add(struct samples *s, uint64_t us);
/** sample_at() - the value that @percent of the samples do not exceed; 0 without samples. Sorts them */
uint64_t sample_at(struct samples *s, unsigned percent);

#endif
