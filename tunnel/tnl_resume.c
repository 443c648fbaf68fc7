// SPDX-License-Identifier: MIT
#include "tunnel/tnl_resume.h"

#include "base/util.h"

/* Was the wire that is lost now a good one? */
static bool was_good(const struct tnl_resume *r, uint64_t now_ms)
{
	const uint64_t stood_ms = now_ms - MIN(r->up_ms, now_ms);

	if (!r->heard)
		return stood_ms >= TNL_RESUME_STEADY_MS;
	return stood_ms >= TNL_RESUME_BRIEF_MS ||
	       r->last_bytes >= r->first_bytes + TNL_RESUME_MOVED;
}

static void down_note(struct tnl_resume *r, uint64_t now_ms)
{
	if (r->since_ms != 0)
		return;
	if (was_good(r, now_ms)) {
		r->spent_ms = 0;
		r->tries = 0;
	}
	if (r->tries == 0)
		r->failed_ms = now_ms;
	r->since_ms = MAX(now_ms, 1U);
}

uint64_t tnl_resume_up(struct tnl_resume *r, uint64_t now_ms)
{
	const uint64_t ms = r->since_ms != 0 ? now_ms - MIN(r->since_ms, now_ms) : 0;

	r->since_ms = 0;
	r->up_ms = now_ms;
	r->heard = false;
	return ms;
}

void tnl_resume_heard(struct tnl_resume *r, uint64_t bytes)
{
	if (!r->heard)
		r->first_bytes = bytes;
	r->last_bytes = bytes;
	r->heard = true;
}

static uint64_t step_ms(const struct tnl_resume *r)
{
	const uint64_t doubled = (uint64_t)TNL_RESUME_FIRST_MS << MIN(r->tries - 2, 16U);
	const uint64_t quarter = r->spent_ms / 4;

	return MIN(doubled,
		   MIN(MAX(quarter, TNL_RESUME_STEP_MIN_MS), (uint64_t)TNL_RESUME_STEP_MAX_MS));
}

uint64_t tnl_resume_failed(struct tnl_resume *r, uint64_t now_ms, uint64_t limit_ms,
			   uint32_t random)
{
	uint64_t step;

	down_note(r, now_ms);
	r->spent_ms += MIN(now_ms - MIN(r->failed_ms, now_ms), TNL_RESUME_GAP_MAX_MS);
	r->failed_ms = now_ms;
	if (r->spent_ms >= limit_ms)
		return TNL_RESUME_NEVER;
	if (r->tries++ == 0)
		return 0;
	r->tries = MIN(r->tries, 32U);
	step = step_ms(r);
	return step / 2 + random % step;
}

void tnl_resume_waits(struct tnl_resume *r, uint64_t now_ms)
{
	down_note(r, now_ms);
	r->failed_ms = now_ms;
}

uint64_t tnl_resume_hurry(struct tnl_resume *r, uint64_t now_ms)
{
	r->tries = MIN(r->tries, 1U);
	return MAX(now_ms, r->failed_ms + TNL_RESUME_HURRY_MS);
}
