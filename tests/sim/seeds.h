// SPDX-License-Identifier: MIT
/* seeds.h - one session per seed: what befalls it, and the verdict */
#ifndef TEST_SIM_SEEDS_H
#define TEST_SIM_SEEDS_H

#include "sim.h"

enum seed_pair {
	SEED_OURS,	/* our client and our agent; cuts on both sides */
	SEED_PLUGIN,	/* the stock client and our agent; cuts on the agent's side */
	SEED_AGENT,	/* our client and the stock agent; cuts on the client's side */
	SEED_AGENT_CUT, /* the same; cuts on the agent's side, SSH records */
	SEED_PAIR_N
};

/** seed_pair_name() - what --pair takes */
const char *seed_pair_name(enum seed_pair pair);

struct seed_result {
	bool ok;
	char reason[SIM_REASON_MAX];
	uint64_t trace;		 /* a hash of every event */
	uint64_t virtual_us;	 /* until the last byte had arrived, or the end */
	uint32_t cuts, ssh_ends; /* sessions that SSH ended */
	uint64_t resent, lost_bytes;
};

/** seed_run() - one session of @up bytes from the client and @down bytes to it. @verbose prints every event */
void seed_run(struct seed_result *out, enum seed_pair pair, uint64_t seed, uint64_t up,
	      uint64_t down, bool verbose);

#endif
