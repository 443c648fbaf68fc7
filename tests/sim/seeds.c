// SPDX-License-Identifier: MIT
/*
 * seeds.c - what a seed means, and what must hold at the end
 *
 * Theory of operation: the seed draws a one-way delay of 0.2 to 50 ms, loss and duplication of up
 * to 10 %, reordering of up to 30 % (of data and acknowledgements alike), 1 to 5 cuts and up to 2
 * pauses spread over the transfer, how long each lasts, and what the service keeps for a side that
 * is away. Then both apps send their bytes.
 *
 * Held against a run: every byte arrives once and in order; within a virtual time that is generous
 * but no hang (below); our channel never exceeds its limits (ours.c); every cut happened; no end
 * ended by itself; and in the end each side falls idle. What can be asked for depends on the pair:
 *
 *   pair       cuts      bytes   idle in the end
 *   ours       both      all     both ends: nothing in flight, no deadline
 *   plugin     agent's   all     the plugin; our agent only so far as its numbers were
 *                                acknowledged: the plugin acknowledges a number once (4.3), so where
 *                                that is lost, the message is repeated for ever
 *   agent      client's  all     both ends
 *   agent-cut  agent's   all, or until our channel has closed: because SSH ended the session over a
 *                                message that the agent processed twice (4.3), or for want of
 *                                acknowledgements where that message was the HandshakeResponse
 *
 * A stock sender has a limit of its own that no receiver can lift: it resends ten messages a second at
 * best and sends a thousand, so from 1 % of loss on its unacknowledged messages, and our reorder
 * buffer, grow to 10,000 (4.5), after some 10 MB at full speed; then the plugin forgets data.
 */
#include "seeds.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "ours.h"
#include "relay.h"
#include "stock.h"

/* Ours. The stock agent resends one message in 100 ms at best, after up to 1 s of RTO each; of 1024
 * messages every fifth needs it (data or acknowledgement lost). */
#define LIMIT_US (600 * SIM_SECOND)
#define LIMIT_PER_MIB_US (1200 * SIM_SECOND)
#define SSH_END_US (5 * SIM_SECOND) /* from SSH's error to our channel's end */
#define IDLE_US (600 * SIM_SECOND)

struct world {
	struct sim sim;
	struct sim_session session;
	enum seed_pair pair;
};

static struct sim_end *our_client(struct sim_session *ss)
{
	return ours_new(ss, SIM_CLIENT, &(struct ours_opts){ 0 });
}

static struct sim_end *our_agent(struct sim_session *ss)
{
	return ours_new(ss, SIM_AGENT, &(struct ours_opts){ 0 });
}

static const struct {
	const char *name;
	struct sim_end *(*client)(struct sim_session *ss), *(*agent)(struct sim_session *ss);
	bool cut[SIM_ENDS];
	bool ssh;
} pairs[] = {
	[SEED_OURS] = { "ours", our_client, our_agent, { true, true }, false },
	[SEED_PLUGIN] = { "plugin", stock_client_new, our_agent, { false, true }, false },
	[SEED_AGENT] = { "agent", our_client, stock_agent_new, { true, false }, false },
	[SEED_AGENT_CUT] = { "agent-cut", our_client, stock_agent_new, { false, true }, true },
};

const char *seed_pair_name(enum seed_pair pair)
{
	return pairs[pair].name;
}

/* ---- the profile ---- */

static int by_bytes(const void *a, const void *b)
{
	const struct relay_plan *x = a, *y = b;

	return (x->at_bytes > y->at_bytes) - (x->at_bytes < y->at_bytes);
}

/* Short ones as often as long ones. */
static uint64_t draw_log(struct sim *s, uint64_t min, uint64_t max)
{
	uint64_t top = min;

	while (top < max && sim_below(s, 4) != 0)
		top = MIN(top * 2, max);
	return min + sim_below(s, top - min + 1);
}

static uint32_t draw_plans(struct sim *s, struct relay_plan *plans, uint32_t n, uint64_t bytes,
			   const bool sides[SIM_ENDS])
{
	for (uint32_t i = 0; i < n; i++) {
		uint64_t at = 1 +
			      sim_below(s, bytes); /* past the handshake, whose time is limited */

		plans[i] = (struct relay_plan){
			.at_bytes = MIN(at, bytes - 1),
			.after_us = sim_below(s, 50 * SIM_MS),
			.for_us = draw_log(s, 5 * SIM_MS, 3 * SIM_SECOND),
			.side = sides[SIM_CLIENT] && (!sides[SIM_AGENT] || sim_below(s, 2))
					? SIM_CLIENT
					: SIM_AGENT,
		};
	}
	qsort(plans, n, sizeof(*plans), by_bytes);
	return n;
}

static void draw(struct sim *s, struct relay_opts *o, enum seed_pair pair, uint64_t bytes)
{
	static const bool both[SIM_ENDS] = { true, true };

	o->delay_us = draw_log(s, 200, 50 * SIM_MS);
	o->loss_permille = (unsigned)sim_below(s, 101);
	o->dup_permille = (unsigned)sim_below(s, 101);
	o->reorder_permille = (unsigned)sim_below(s, 301);
	o->survive_permille = (unsigned)sim_below(s, 1001);
	o->hold_max = sim_below(s, 2) ? (uint32_t)sim_below(s, 256) : 0;
	o->write_error_permille = 500;
	o->cuts_n = draw_plans(s, o->cuts, 1 + (uint32_t)sim_below(s, 5), bytes, pairs[pair].cut);
	if (sim_below(s, 8) == 0)
		o->cuts[0].at_bytes = 0; /* while the handshake runs */
	o->pauses_n = draw_plans(s, o->pauses, (uint32_t)sim_below(s, 3), bytes, both);
}

/* ---- the run ---- */

static void world_init(struct world *w, enum seed_pair pair, uint64_t seed, uint64_t up,
		       uint64_t down)
{
	const uint64_t bytes[SIM_ENDS] = { [SIM_CLIENT] = up, [SIM_AGENT] = down };
	struct sim_session *ss = &w->session;
	struct relay_opts o = { 0 };

	sim_init(&w->sim, seed);
	draw(&w->sim, &o, pair, up + down);
	relay_init(ss, &w->sim, &o);
	pairs[pair].client(ss);
	pairs[pair].agent(ss);
	for (int i = 0; i < SIM_ENDS; i++) {
		struct sim_app *a = &ss->app[i];

		a->to_send = bytes[i];
		a->expect = bytes[!i];
		a->ssh = pairs[pair].ssh;
		if (ours_is(ss->end[i]) && sim_below(&w->sim, 4) == 0)
			a->refuse_permille = 20;
	}
	w->pair = pair;
}

static bool all_arrived(const struct sim_session *ss)
{
	return app_done(&ss->app[SIM_CLIENT]) && app_done(&ss->app[SIM_AGENT]);
}

/* The one outcome beside success that is right, and only with the agent's socket cut. */
static bool may_end(const struct world *w)
{
	return w->pair == SEED_AGENT_CUT && w->session.end[SIM_CLIENT]->over;
}

static bool ssh_ended(const struct sim_session *ss)
{
	return ss->app[SIM_CLIENT].broken || ss->app[SIM_AGENT].broken;
}

static void run_transfer(struct world *w, uint64_t limit_us)
{
	struct sim_session *ss = &w->session;

	while (!all_arrived(ss) && !ssh_ended(ss) && !may_end(w)) {
		if (sim_step(&w->sim, SIM_START_US + limit_us))
			continue;
		sim_fail(&w->sim, "hangs: client got %llu, agent got %llu",
			 (unsigned long long)ss->app[SIM_CLIENT].received,
			 (unsigned long long)ss->app[SIM_AGENT].received);
		return;
	}
}

static bool all_idle(struct world *w, int *side, const char **why)
{
	*side = SIM_CLIENT;
	*why = "waits for a cut";
	if (w->session.cuts_done < w->session.o.cuts_n)
		return false;
	for (*side = 0; *side < SIM_ENDS; (*side)++)
		if (!(w->pair == SEED_PLUGIN && *side == SIM_AGENT) &&
		    !w->session.end[*side]->ops->idle(w->session.end[*side], why))
			return false;
	return true;
}

static void run_idle(struct world *w)
{
	uint64_t until_us = w->sim.now_us + IDLE_US;
	const char *why = "";
	int side;

	while (!all_idle(w, &side, &why) && !may_end(w)) {
		if (sim_step(&w->sim, until_us))
			continue;
		/* with its own socket cut the model may have gone deaf */
		if (w->pair != SEED_AGENT_CUT || side == SIM_CLIENT)
			sim_fail(&w->sim, "%s %s for ever", w->session.end[side]->ops->name, why);
		return;
	}
}

static void run_ssh_end(struct world *w)
{
	uint64_t until_us = w->sim.now_us + SSH_END_US;
	const struct sim_end *ours = w->session.end[SIM_CLIENT];

	while (!ours->over)
		if (!sim_step(&w->sim, until_us)) {
			sim_fail(&w->sim, "SSH ended the session, our channel stays");
			return;
		}
}

static void judge(struct world *w)
{
	struct sim_session *ss = &w->session;

	if (w->sim.failed)
		return;
	if (may_end(w) && !ssh_ended(ss) && ours_close_err(ss->end[SIM_CLIENT]) != ST_ETIMEOUT)
		sim_fail(&w->sim, "our client ended without a reason");
	if (ssh_ended(ss))
		run_ssh_end(w);
	if (may_end(w))
		return;
	run_idle(w);
	if (w->sim.failed || may_end(w))
		return;
	for (int i = 0; i < SIM_ENDS; i++)
		if (ss->end[i]->over)
			sim_fail(&w->sim, "%s has ended", ss->end[i]->ops->name);
	if (ss->cuts_done != ss->o.cuts_n)
		sim_fail(&w->sim, "%u of %u cuts happened", ss->cuts_done, ss->o.cuts_n);
}

static void stats_add(struct seed_result *out, const struct sim_end *e)
{
	struct ssm_chan_stats st;

	if (!ours_is(e))
		return;
	ssm_chan_stats(ours_chan(e), &st);
	out->resent += st.resent;
}

void seed_run(struct seed_result *out, enum seed_pair pair, uint64_t seed, uint64_t up,
	      uint64_t down, bool verbose)
{
	struct world w = { 0 };
	struct sim_session *ss = &w.session;

	*out = (struct seed_result){ 0 };
	world_init(&w, pair, seed, up, down);
	w.sim.verbose = verbose;
	relay_progress(ss);
	sim_settle(ss->end[SIM_CLIENT]);
	sim_settle(ss->end[SIM_AGENT]);
	run_transfer(&w, LIMIT_US + MAX(up, down) * (LIMIT_PER_MIB_US / MIB(1)));
	out->virtual_us = w.sim.now_us - SIM_START_US;
	judge(&w);
	out->ok = !w.sim.failed;
	memcpy(out->reason, w.sim.reason, sizeof(out->reason));
	out->trace = w.sim.trace;
	out->cuts = ss->cuts_done;
	out->ssh_ends = ssh_ended(ss);
	for (int i = 0; i < SIM_ENDS; i++)
		stats_add(out, ss->end[i]);
	relay_drop_events(&w.sim);
	relay_fini(ss);
	sim_fini(&w.sim);
}
