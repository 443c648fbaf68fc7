// SPDX-License-Identifier: MIT
/*
 * window.c - how fast the window opens where nothing is in its way
 *
 * Theory of operation: 100 ms RTT, no bottleneck, bulk from the moment that the channel is ready.
 * Counted are round trips from ready to the first time that the window has its cap.
 */
#include <math.h>

#include "scenario.h"

#define RTT_US (100 * SIM_MS)
#define RTTS_MAX 10.0
#define TICK_US SIM_MS
#define RUN_US (5 * SIM_SECOND)
#define ENDLESS (UINT64_C(1) << 40)

struct lab {
	struct scenario_world *w;
	struct sim_session *ss;
	int from;
	size_t cap;
	uint64_t ready_us, cap_us;
};

static void tick(struct sim *s, void *arg)
{
	struct lab *l = arg;
	const struct ssm_chan *chan = ours_chan(l->ss->end[l->from]);
	struct ssm_chan_stats st;

	sim_at(s, s->now_us + TICK_US, SIM_EV_PROBE, l, 0);
	ssm_chan_stats(chan, &st);
	if (l->ready_us == 0 && ssm_chan_state(chan) == SSM_CHAN_READY)
		l->ready_us = s->now_us;
	if (l->cap_us == 0 && st.window_bytes == l->cap)
		l->cap_us = s->now_us;
}

static void lab_run(struct scenario_world *w, int from, struct ours_opts o)
{
	struct lab l = { .w = w, .from = from, .cap = o.window_max };
	struct relay_opts relay = { .delay_us = RTT_US / 2 };

	w->sim.on_probe = tick;
	l.ss = world_pair(w, &relay, &o, &o);
	app_more(l.ss->end[from], ENDLESS);
	sim_at(&w->sim, w->sim.now_us + TICK_US, SIM_EV_PROBE, &l, 0);
	world_run(w, RUN_US);
	figure_add(w, "from ready to the cap", "RTTs",
		   l.cap_us ? (double)(l.cap_us - l.ready_us) / (double)RTT_US : INFINITY,
		   -INFINITY, RTTS_MAX);
	figure_add(w, "received in 5 s", "MB", (double)l.ss->app[!from].received / 1e6, -INFINITY,
		   INFINITY);
}

static void foreign(struct scenario_world *w, unsigned arg)
{
	(void)arg;
	lab_run(w, SIM_CLIENT, (struct ours_opts){ .window_max = SSM_WINDOW_MAX_FOREIGN });
}

static void own(struct scenario_world *w, unsigned arg)
{
	(void)arg;
	lab_run(w, SIM_CLIENT, (struct ours_opts){ .window_max = SSM_WINDOW_MAX_OWN });
}

static void own_large(struct scenario_world *w, unsigned arg)
{
	(void)arg;
	lab_run(w, SIM_CLIENT,
		(struct ours_opts){ .window_max = SSM_WINDOW_MAX_OWN,
				    .max_payload = SSM_PAYLOAD_MAX });
}

static void own_down(struct scenario_world *w, unsigned arg)
{
	(void)arg;
	lab_run(w, SIM_AGENT, (struct ours_opts){ .window_max = SSM_WINDOW_MAX_OWN });
}

const struct scenario window_scenarios[] = {
	{ "window-foreign", "client, cap of 256 KiB", foreign, 0 },
	{ "window-own", "client, cap of 4 MiB", own, 0 },
	{ "window-own-large", "client, cap of 4 MiB, messages of 64 KiB", own_large, 0 },
	{ "window-own-down", "agent, cap of 4 MiB", own_down, 0 },
};
const unsigned window_scenarios_n = ARRAY_LEN(window_scenarios);
