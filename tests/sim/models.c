// SPDX-License-Identifier: MIT
/*
 * models.c - are the models like the programs? The two against each other, as the lab measured them
 *
 * Theory of operation: the reference (ssm-protocol, 11) has the real plugin and the real agent under
 * faults, 300 KB by ssh. Here the same faults meet the two models, 100 seeds each, in one direction as
 * there. A session ends well when every byte has arrived within two minutes. What was
 * measured a few times each is a bound with room here:
 *
 *   fault                       measured                       asked of the models
 *   none                                                       all
 *   1 % of data lost            up ok 2.0 s, down ok 1.0 s     up all, down most
 *   5 % of data lost            up ok 4.0 s, down fails 4 of 9 up all, down 25..85 %
 *   1 % of data and acks lost   up ok 2.9 s, down hangs 7 of 7 up all, down few
 *   client's socket cut         up dies 8 of 8, down ok        up none, down all
 *   agent's socket cut          ok, ok                         up all, down most
 *
 * The lab's relay is taken to have kept what it had for a side that was away, and a cut was noticed at
 * once: everything was on one machine.
 */
#include <math.h>
#include <stdlib.h>

#include "scenario.h"
#include "stock.h"

#define SEEDS 100U
#define BYTES UINT64_C(300000)
#define LIMIT_US (120 * SIM_SECOND)
#define CUT_US                                                                                     \
	(500 * SIM_MS) /* the outage; the plugin's third call is at 0.45 s, the fourth at 1.05 s */

struct fault {
	unsigned loss_permille;
	bool acks_spared;
	int cut;				     /* side; -1: none */
	double min_pct[SIM_ENDS], max_pct[SIM_ENDS]; /* of sessions that end well, by sender */
};

static const struct fault faults[] = {
	{ 0, false, -1, { 100, 100 }, { 100, 100 } },
	{ 10, true, -1, { 100, 60 }, { 100, 100 } },
	{ 50, true, -1, { 100, 25 }, { 100, 85 } },
	{ 10, false, -1, { 100, 0 }, { 100, 40 } },
	{ 0, false, SIM_CLIENT, { 0, 100 }, { 0, 100 } },
	{ 0, false, SIM_AGENT, { 100, 60 }, { 100, 100 } },
};

static bool session_ok(const struct fault *f, int from, uint64_t seed, uint64_t *took_us)
{
	struct sim_session *ss = sim_xmalloc(sizeof(*ss));
	struct relay_opts o = { .delay_us = SIM_MS,
				.loss_permille = f->loss_permille,
				.acks_spared = f->acks_spared,
				.survive_permille = 1000,
				.hold_max = UINT32_MAX,
				.notice_us = 1,
				.write_error_permille = 500 };
	struct sim s;
	bool ok;

	if (f->cut >= 0)
		o.cuts[o.cuts_n++] = (struct relay_plan){ .at_bytes = BYTES / 2,
							  .for_us = CUT_US,
							  .side = f->cut };
	sim_init(&s, seed);
	relay_init(ss, &s, &o);
	stock_client_new(ss);
	stock_agent_new(ss);
	ss->app[from].to_send = ss->app[!from].expect = BYTES;
	sim_settle(ss->end[SIM_CLIENT]);
	sim_settle(ss->end[SIM_AGENT]);
	while (!app_done(&ss->app[!from]) && sim_step(&s, SIM_START_US + LIMIT_US))
		;
	ok = !s.failed && app_done(&ss->app[!from]);
	*took_us += ok ? s.now_us - SIM_START_US : 0;
	relay_drop_events(&s);
	relay_fini(ss);
	sim_fini(&s);
	free(ss);
	return ok;
}

static void direction_run(struct scenario_world *w, const struct fault *f, int from)
{
	static const char *const well[] = { "up: end well", "down: end well" };
	static const char *const took[] = { "up: mean time", "down: mean time" };
	uint64_t took_us = 0;
	unsigned ok = 0;

	for (uint64_t seed = 1; seed <= SEEDS; seed++)
		ok += session_ok(f, from, seed, &took_us);
	figure_add(w, well[from], "%", ok * 100.0 / SEEDS, f->min_pct[from], f->max_pct[from]);
	if (ok)
		figure_add(w, took[from], "s", (double)took_us / 1e6 / ok, -INFINITY, INFINITY);
}

static void fault_run(struct scenario_world *w, unsigned i)
{
	direction_run(w, &faults[i], SIM_CLIENT);
	direction_run(w, &faults[i], SIM_AGENT);
}

const struct scenario models_scenarios[] = {
	{ "models-0", "the two models, no fault", fault_run, 0 },
	{ "models-1", "the two models, 1 % of data lost", fault_run, 1 },
	{ "models-2", "the two models, 5 % of data lost", fault_run, 2 },
	{ "models-3", "the two models, 1 % of data and acknowledgements lost", fault_run, 3 },
	{ "models-4", "the two models, the client's socket cut", fault_run, 4 },
	{ "models-5", "the two models, the agent's socket cut", fault_run, 5 },
};
const unsigned models_scenarios_n = ARRAY_LEN(models_scenarios);
