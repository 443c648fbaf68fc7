// SPDX-License-Identifier: MIT
/*
 * ssm_pace.h - messages a second toward a service that pauses, then kills, fast senders
 *
 * A token bucket whose rate adapts; design, decision 7. Times are µs of the channel's clock.
 */
#ifndef PROTO_SSM_PACE_H
#define PROTO_SSM_PACE_H

#include <stdbool.h>
#include <stdint.h>

#define SSM_PACE_BURST 100U		    /* messages; decision 7 */
#define SSM_PACE_RAISE_US UINT64_C(5000000) /* at the limit for so long without a pause: +10 % */
#define SSM_PACE_CEILING_US UINT64_C(600000000) /* how long the first pause's ceiling holds */
#define SSM_PACE_MIN 50U     /* ours: messages a second that halving never goes below */
#define SSM_PACE_MAX 100000U /* ours: what raising never goes above */

struct ssm_pace {
	uint32_t rate;	  /* messages a second; 0: unlimited */
	uint32_t ceiling; /* rate never exceeds it until ceiling_until_us; 0: none */
	uint64_t ceiling_until_us;
	uint64_t tokens_u;   /* millionths of a message */
	uint64_t filled_us;  /* tokens_u is right for this time */
	uint64_t limited_us; /* at the limit since; 0: not */
	uint32_t pauses;
};

void ssm_pace_init(struct ssm_pace *p, uint32_t rate_per_s, uint64_t now_us);
/** ssm_pace_ready() - may a message go now? */
bool ssm_pace_ready(const struct ssm_pace *p, uint64_t now_us);
/** ssm_pace_take() - a message goes; without a token the bucket is left empty */
void ssm_pace_take(struct ssm_pace *p, uint64_t now_us);
/** ssm_pace_next() - when a message may go; a past time if it may already */
uint64_t ssm_pace_next(const struct ssm_pace *p);
/** ssm_pace_paused() - the service sent pause_publication */
void ssm_pace_paused(struct ssm_pace *p, uint64_t now_us);

#endif
