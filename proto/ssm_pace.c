// SPDX-License-Identifier: MIT
/*
 * ssm_pace.c - adaptive token bucket
 *
 * Theory of operation: tokens are counted in millionths so that rate * µs adds up exactly. Decision 7.
 *
 *   what happens                               what it does
 *   a message, data or acknowledgement         takes a token; without one it waits
 *   it took one of the last two tokens         "at the limit" begins, if it has not
 *   at the limit for 5 s                       rate +10 %, at most the ceiling; the 5 s begin anew
 *   the bucket is full again                   the spell at the limit ends: there was nothing to say
 *   pause_publication, the first               rate / 2; ceiling = 80 % of the rate, for 10 minutes
 *   pause_publication, later                   rate / 2; the lower ceiling, for good
 *   bounds                                     900/s at first (the owner's), burst 100, 50/s..100,000/s;
 *                                                a pause leaves a rate below 50/s as it is
 *
 * So a service that pauses above some rate sees two pauses in a session's life: the second ceiling,
 * 80 % of a rate that was too much, is never left again. Which message takes the token is decided in
 * ssm_chan.c: acknowledgements first, but with data waiting every other one is data.
 *
 * In simulation (tests/sim/run --scenario patience; a service that pauses above 1,000 messages a
 * second over 2 s and ends the session at the third pause; 100 ms RTT): an hour of bulk brings two
 * pauses an end at most and 861 KB/s one way, 428 KB/s each way in both; if the service counts
 * both directions together, 441 one way and 220 each way.
 */
#include "proto/ssm_pace.h"

#include "base/util.h"

#define TOKEN UINT64_C(1000000) /* one message in tokens_u */
#define FULL (SSM_PACE_BURST * TOKEN)

static uint64_t tokens_at(const struct ssm_pace *p, uint64_t now_us)
{
	uint64_t passed = now_us > p->filled_us ? now_us - p->filled_us : 0;

	/* a long idle time would overflow the product; it fills the bucket whatever the rate is */
	if (passed >= FULL / p->rate)
		return FULL;
	return MIN(FULL, p->tokens_u + passed * p->rate);
}

static uint32_t ceiling_at(const struct ssm_pace *p, uint64_t now_us)
{
	return p->ceiling && now_us < p->ceiling_until_us ? p->ceiling : SSM_PACE_MAX;
}

void ssm_pace_init(struct ssm_pace *p, uint32_t rate_per_s, uint64_t now_us)
{
	*p = (struct ssm_pace){
		.rate = MIN(rate_per_s, SSM_PACE_MAX),
		.tokens_u = FULL,
		.filled_us = now_us,
	};
}

bool ssm_pace_ready(const struct ssm_pace *p, uint64_t now_us)
{
	return p->rate == 0 || tokens_at(p, now_us) >= TOKEN;
}

static void limit_note(struct ssm_pace *p, uint64_t now_us)
{
	uint32_t ceiling = ceiling_at(p, now_us);

	if (p->tokens_u == FULL)
		p->limited_us = 0;
	if (p->tokens_u >= 2 * TOKEN)
		return;
	if (p->limited_us == 0) {
		p->limited_us = now_us;
	} else if (now_us - p->limited_us >= SSM_PACE_RAISE_US) {
		p->rate = MIN(ceiling, p->rate + MAX(p->rate / 10, 1U));
		p->limited_us = now_us;
	}
}

void ssm_pace_take(struct ssm_pace *p, uint64_t now_us)
{
	if (p->rate == 0)
		return;
	p->tokens_u = tokens_at(p, now_us);
	p->filled_us = MAX(now_us, p->filled_us);
	limit_note(p, now_us);
	p->tokens_u -= MIN(p->tokens_u, TOKEN);
}

uint64_t ssm_pace_next(const struct ssm_pace *p)
{
	if (p->rate == 0 || p->tokens_u >= TOKEN)
		return p->filled_us;
	return p->filled_us + (TOKEN - p->tokens_u + p->rate - 1) / p->rate;
}

void ssm_pace_paused(struct ssm_pace *p, uint64_t now_us)
{
	uint32_t ceiling, least;

	if (p->rate == 0)
		return;
	p->tokens_u = tokens_at(p, now_us);
	p->filled_us = MAX(now_us, p->filled_us);
	least = MIN(p->rate, SSM_PACE_MIN);
	ceiling = MAX(p->rate / 10 * 8, least);
	p->ceiling = p->ceiling && now_us < p->ceiling_until_us ? MIN(p->ceiling, ceiling)
								: ceiling;
	p->ceiling_until_us = p->pauses == 0 ? now_us + SSM_PACE_CEILING_US : UINT64_MAX;
	p->rate = MAX(p->rate / 2, least);
	p->limited_us = 0;
	p->pauses++;
}
