// SPDX-License-Identifier: MIT
/* ours.h - an end of the simulation that is a struct ssm_chan with an owner as the tunnel is one */
#ifndef TEST_SIM_OURS_H
#define TEST_SIM_OURS_H

#include "proto/ssm_chan.h"
#include "sim.h"

struct ours_opts {
	size_t window_max;    /* 0: for a foreign service */
	uint32_t pace_per_s;  /* 0: none */
	uint32_t max_payload; /* 0: 1024 */
	uint64_t reopen_us;   /* first delay of a new socket; doubles up to 5 s; 0: 100 ms */
	size_t queue_max; /* bytes that the owner keeps queued in the channel; 0: all that it takes */
};

struct sim_end *ours_new(struct sim_session *ss, int side, const struct ours_opts *o);
/** ours_chan() - the channel inside; @e must be of ours_new() */
struct ssm_chan *ours_chan(const struct sim_end *e);
/** ours_is() - is @e one of ours? */
bool ours_is(const struct sim_end *e);
/** ours_close_err() - why the channel closed, 0: it did not */
int ours_close_err(const struct sim_end *e);

#endif
