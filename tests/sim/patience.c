// SPDX-License-Identifier: MIT
/*
 * patience.c - a service that pauses who sends too much, and ends the session at the third pause
 *
 * Theory of operation: the service counts what each socket writes, data and acknowledgements alike:
 * above 1,000 messages a second over 2 s comes pause_publication, start_publication a second
 * later (ssm-protocol, 4.7 and 10). The reference does not say whether a session's two directions
 * are counted together: "whole" is a service that does, and pauses both ends. Up to an hour of bulk,
 * 100 ms RTT, our pace at 900 a second in both ends.
 */
#include <math.h>

#include "scenario.h"

#define HOUR_S 3600U
#define PART_S 1200U /* twice the time for which the first pause's ceiling holds */
#define LIMIT_PER_S 1000U
#define KILL_PAUSES 3U
#define PACE_PER_S 900U
#define ENDLESS (UINT64_C(1) << 40)

static void lab_run(struct scenario_world *w, bool client_sends, bool agent_sends, bool whole,
		    unsigned for_s)
{
	static const char *const got[] = { "goodput down", "goodput up" };
	static const char *const pauses[] = { "pauses of our client", "pauses of our agent" };
	struct relay_opts relay = { .delay_us = 50 * SIM_MS,
				    .meter_per_s = LIMIT_PER_S,
				    .meter_whole = whole,
				    .kill_pauses = KILL_PAUSES };
	struct ours_opts o = { .pace_per_s = PACE_PER_S };
	struct sim_session *ss = world_pair(w, &relay, &o, &o);

	if (client_sends)
		app_more(ss->end[SIM_CLIENT], ENDLESS);
	if (agent_sends)
		app_more(ss->end[SIM_AGENT], ENDLESS);
	world_run(w, for_s * SIM_SECOND);
	figure_add(w, "sessions killed", "", ss->killed, -INFINITY, 0);
	for (int i = 0; i < SIM_ENDS; i++) {
		figure_add(w, pauses[i], "", ss->side[i].meter.pauses, -INFINITY, KILL_PAUSES - 1);
		if (i == SIM_CLIENT ? agent_sends : client_sends)
			figure_add(w, got[i], "KB/s", (double)ss->app[i].received / for_s / 1000,
				   100, INFINITY);
	}
}

static void up(struct scenario_world *w, unsigned arg)
{
	(void)arg;
	lab_run(w, true, false, false, PART_S);
}

static void both(struct scenario_world *w, unsigned arg)
{
	(void)arg;
	lab_run(w, true, true, false, HOUR_S);
}

static void down(struct scenario_world *w, unsigned arg)
{
	(void)arg;
	lab_run(w, false, true, false, PART_S);
}

static void whole_up(struct scenario_world *w, unsigned arg)
{
	(void)arg;
	lab_run(w, true, false, true, PART_S);
}

static void whole_both(struct scenario_world *w, unsigned arg)
{
	(void)arg;
	lab_run(w, true, true, true, PART_S);
}

const struct scenario patience_scenarios[] = {
	{ "patience-up", "20 minutes of bulk up", up, 0 },
	{ "patience-down", "20 minutes of bulk down", down, 0 },
	{ "patience-both", "an hour of bulk both ways", both, 0 },
	{ "patience-whole-up", "20 minutes of bulk up, both directions counted together", whole_up,
	  0 },
	{ "patience-whole-both", "20 minutes of bulk both ways, counted together", whole_both, 0 },
};
const unsigned patience_scenarios_n = ARRAY_LEN(patience_scenarios);
