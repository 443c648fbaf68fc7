// SPDX-License-Identifier: MIT
/*
 * ssm_pace.c - adaptive token bucket
 *
 * Theory of operation: tokens are counted in millionths so that rate * µs adds up exactly. "At the
 * limit" means that a message took one of the last tokens; the spell ends when the bucket has
 * filled up again, that is when the sender had nothing to say for a burst's time. A pause halves
 * the rate and makes 80 % of the rate at which it came the ceiling: for ten minutes after the
 * first pause, for good after the second. Decision 7.
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
	uint32_t ceiling;

	if (p->rate == 0)
		return;
	p->tokens_u = tokens_at(p, now_us);
	p->filled_us = MAX(now_us, p->filled_us);
	ceiling = MAX(p->rate / 10 * 8, SSM_PACE_MIN);
	p->ceiling = p->ceiling && now_us < p->ceiling_until_us ? MIN(p->ceiling, ceiling)
								: ceiling;
	p->ceiling_until_us = p->pauses == 0 ? now_us + SSM_PACE_CEILING_US : UINT64_MAX;
	p->rate = MAX(p->rate / 2, SSM_PACE_MIN);
	p->limited_us = 0;
	p->pauses++;
}
