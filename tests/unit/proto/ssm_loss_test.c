// SPDX-License-Identifier: MIT
/*
 * ssm_loss_test.c - two ends over bad wires: every byte once and in order, both ways
 *
 * Cases: a clean wire; loss 10 %; reordering 30 %; copies 10 %; all three; all three with cuts;
 * loss of 40 %; the same with chunks of 64 KiB. Each with several seeds; the harness compares
 * every byte.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sim.h"

#define SEEDS 5U
#define SECOND UINT64_C(1000000)

static void exchange(struct sim_opts opts, uint64_t bytes, uint64_t limit_us)
{
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		struct sim *s;

		opts.seed = seed;
		s = sim_new(&opts);
		s->end[SIM_CLIENT].to_send = bytes;
		s->end[SIM_AGENT].to_send = bytes;
		sim_run_done(s, limit_us);
		assert_int_equal(s->end[SIM_CLIENT].ready, 1);
		assert_int_equal(s->end[SIM_AGENT].ready, 1);
		/* whatever was still on its way: acknowledged, and both ends fall silent */
		sim_run_for(s, 120 * SECOND);
		assert_int_equal(s->end[SIM_CLIENT].received, bytes);
		assert_int_equal(sim_stats(s, SIM_CLIENT).in_flight_bytes, 0);
		assert_int_equal(sim_stats(s, SIM_AGENT).in_flight_bytes, 0);
		assert_int_equal(sim_stats(s, SIM_CLIENT).reorder_bytes, 0);
		if (!opts.cut_every_us) {
			assert_int_equal(ssm_chan_deadline(s->end[SIM_CLIENT].chan),
					 SSM_TIME_NEVER);
			assert_int_equal(ssm_chan_deadline(s->end[SIM_AGENT].chan), SSM_TIME_NEVER);
		}
		sim_free(s);
	}
}

static void clean_wire(void **state)
{
	(void)state;
	exchange((struct sim_opts){ 0 }, 1000000, 10 * SECOND);
}

static void lossy_wire(void **state)
{
	(void)state;
	exchange((struct sim_opts){ .loss_pct = 10 }, 500000, 60 * SECOND);
}

static void reordering_wire(void **state)
{
	(void)state;
	exchange((struct sim_opts){ .reorder_pct = 30 }, 500000, 60 * SECOND);
}

static void copying_wire(void **state)
{
	(void)state;
	exchange((struct sim_opts){ .dup_pct = 10 }, 500000, 60 * SECOND);
}

static void bad_wire(void **state)
{
	(void)state;
	exchange((struct sim_opts){ .loss_pct = 10, .reorder_pct = 30, .dup_pct = 10 }, 500000,
		 60 * SECOND);
}

static void bad_wire_with_cuts(void **state)
{
	(void)state;
	exchange(
		(struct sim_opts){
			.loss_pct = 10, .reorder_pct = 30, .dup_pct = 10, .cut_every_us = 200000 },
		500000, 120 * SECOND);
}

static void very_lossy_wire(void **state)
{
	(void)state;
	exchange((struct sim_opts){ .loss_pct = 40 }, 100000, 600 * SECOND);
}

static void large_chunks(void **state)
{
	(void)state;
	exchange((struct sim_opts){ .loss_pct = 10,
				    .reorder_pct = 30,
				    .chan = { .max_payload = SSM_PAYLOAD_MAX,
					      .window_max = SSM_WINDOW_MAX_OWN } },
		 4000000, 60 * SECOND);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(clean_wire),	   cmocka_unit_test(lossy_wire),
		cmocka_unit_test(reordering_wire), cmocka_unit_test(copying_wire),
		cmocka_unit_test(bad_wire),	   cmocka_unit_test(bad_wire_with_cuts),
		cmocka_unit_test(very_lossy_wire), cmocka_unit_test(large_chunks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
