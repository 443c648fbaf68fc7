// SPDX-License-Identifier: MIT
/*
 * ssm_window.c - RTT estimator and window
 *
 * Theory of operation: only messages sent exactly once give samples (Karn). So that a path whose
 * RTT is above the time-out is ever measured, each time-out doubles the time-out of all messages
 * until a clean sample comes (RFC 6298, 5.5). A message's own back-off counts beside it, not on top.
 * RTO = SRTT + max(4 * RTTVAR, SRTT up to 100 ms, 10 ms), at most 1 s above SRTT, within 100 ms..5 s:
 * a window that doubles may double the RTT before the variance knows.
 *
 * The window looks at the delay that its own messages add: the RTT above the least one, but never
 * more than the way there has become longer by the date that the peer wrote into its
 * acknowledgements. With the RTT alone, of two ends that send at once the one whose acknowledgements
 * wait in the other's queue would take that for its own and shrink. The two clocks need not agree,
 * only go alike within 1 s and 1 %; the least way there is taken anew whenever the RTT shows no
 * delay, so slow drift does no harm, and a clock that is set costs nothing but this refinement.
 *
 *   what is seen                                    what it does (bytes)
 *   the window was not full                         stays
 *   no delay: sample and mean add at most           grows by what is acknowledged: doubles per RTT
 *     half the least RTT + 3 ms
 *   no delay, but there was within 16 RTTs          grows by an eighth of that
 *   some delay                                      stays
 *   inflated: the mean adds more than               once per SRTT: cut to what would add half the
 *     the least RTT + 30 ms                           least RTT + 3 ms, not below half of itself
 *   a time-out                                      half, once per time-out
 *   a new connection                                stays; RTT, delay and time-out are learned anew
 *   bounds                                          64 KiB at first, 16 KiB at least, the cap
 *
 * In simulation (tests/sim/run --scenario; 50 ms RTT, 1 MB/s, messages of 1 KiB): one bulk sender
 * adds 55 ms to an echo beside it and 60 ms to a byte of its own stream, line used to 99.7 %; two bulk
 * senders 44 and 84 ms, 99.6 %; bulk both ways 92 ms (both queues) and 116 ms, 94.8 %; messages
 * of 64 KiB 51 and 56 ms, 97.0 %. At 100 ms RTT without a bottleneck the cap of 256 KiB is reached 3, of
 * 4 MiB 7 to 8 round trips after the channel is ready.
 */
#include "proto/ssm_window.h"

#include <stdlib.h>

#include "base/util.h"

/* Ours: scheduling and batching are no queue. Growth stops at the lesser one: with 15 ms a copy kept a queue of 1.8 MB standing, in
 * which an echo waited, with 3 ms of 1.1 MB, and was no slower. Shrinking starts late, so that jitter starves nobody. */
#define INFLATED_SLACK_US UINT64_C(30000)
#define ADDED_SLACK_US UINT64_C(3000)
/* Ours: doubling again at once ran into the same queue over and over, up to 200 ms of it */
#define GROW_SLOW_RTTS 16U
#define GROW_SLOW_PART 8U
/* Ours: with a time-out of SRTT + 50 ms the first doubling at a bottleneck was taken for loss */
#define RTO_QUEUE_MAX_US UINT64_C(100000)

/* Ours: the peer's clock may differ from ours by this, which covers any delay, and 1 % */
#define CLOCK_SLACK_US INT64_C(1000000)
#define CLOCK_DRIFT 100

void ssm_window_init(struct ssm_window *w, size_t start, size_t max)
{
	*w = (struct ssm_window){
		.bytes = MIN(start, max),
		.max_bytes = max,
		.min_rtt_us = UINT64_MAX,
	};
}

void ssm_window_path_changed(struct ssm_window *w)
{
	w->srtt_us = w->rttvar_us = 0;
	w->min_rtt_us = UINT64_MAX;
	w->rto_shift = 0;
	w->ref_us = w->added_at_us = 0;
	w->forward_ok = false;
}

static void rtt_sample(struct ssm_window *w, uint64_t rtt_us)
{
	uint64_t diff;

	rtt_us = MAX(rtt_us, 1U);
	w->rto_shift = 0;
	w->min_rtt_us = MIN(w->min_rtt_us, rtt_us);
	if (w->srtt_us == 0) {
		w->srtt_us = rtt_us;
		w->rttvar_us = rtt_us / 2;
		return;
	}
	diff = w->srtt_us > rtt_us ? w->srtt_us - rtt_us : rtt_us - w->srtt_us;
	w->rttvar_us = (3 * w->rttvar_us + diff) / 4;
	w->srtt_us = MAX((7 * w->srtt_us + rtt_us) / 8, 1U);
}

static uint64_t rtt_added_us(const struct ssm_window *w, uint64_t rtt_us)
{
	return rtt_us - MIN(rtt_us, w->min_rtt_us);
}

/* What this end's messages wait for on their way: never more than what the round trip shows. */
static uint64_t added_us(const struct ssm_window *w, uint64_t rtt_us, int64_t forward_us)
{
	uint64_t added = rtt_added_us(w, rtt_us);

	if (!w->forward_ok)
		return added;
	return MIN(added, (uint64_t)MAX(forward_us - w->min_forward_us, 0));
}

static uint64_t smooth_added_us(const struct ssm_window *w)
{
	return added_us(w, w->srtt_us, w->forward_us);
}

static bool is_inflated(const struct ssm_window *w)
{
	return smooth_added_us(w) > w->min_rtt_us + INFLATED_SLACK_US;
}

static bool is_added(const struct ssm_window *w, uint64_t added)
{
	return added > w->min_rtt_us / 2 + ADDED_SLACK_US;
}

/* A date that stands still, counts something else or was set anew is no measure. */
static bool clock_agrees(const struct ssm_window *w, int64_t peer_us, uint64_t now_us)
{
	int64_t passed_us = (int64_t)(now_us - w->ref_us);
	int64_t diff_us = peer_us - w->peer_ref_us - passed_us;

	return llabs(diff_us) <= CLOCK_SLACK_US + passed_us / CLOCK_DRIFT;
}

void ssm_window_forward(struct ssm_window *w, int64_t peer_us, uint64_t sent_us, uint64_t now_us)
{
	int64_t forward_us = peer_us - (int64_t)sent_us;

	w->last_forward_us = forward_us;
	if (w->ref_us == 0 || !clock_agrees(w, peer_us, now_us)) {
		w->forward_ok = w->ref_us == 0;
		w->ref_us = MAX(now_us, 1U);
		w->peer_ref_us = peer_us;
		w->forward_us = w->min_forward_us = forward_us;
		return;
	}
	w->forward_us += (forward_us - w->forward_us) / 8;
	w->min_forward_us = MIN(w->min_forward_us, forward_us);
	/* nothing waits anywhere now: follows clocks that drift apart, and forgives one that was set */
	if (w->srtt_us && rtt_added_us(w, w->srtt_us) <= ADDED_SLACK_US) {
		w->min_forward_us = w->forward_us;
		w->forward_ok = true;
	}
}

/* The window that would leave as much delay as growth bears: not less than half at once. */
static size_t shrunk_bytes(const struct ssm_window *w)
{
	uint64_t excess_us = smooth_added_us(w) - (w->min_rtt_us / 2 + ADDED_SLACK_US);

	excess_us = MIN(excess_us, w->srtt_us / 2);
	return (size_t)((uint64_t)w->bytes * (w->srtt_us - excess_us) / w->srtt_us);
}

static void shrink(struct ssm_window *w, size_t to, uint64_t now_us)
{
	w->bytes = MAX(to, MIN(SSM_WINDOW_MIN, w->max_bytes));
	w->shrunk_us = now_us;
}

/* Is there delay, in this sample or in the mean? The sample tells early, the mean is not fooled. */
static bool delay_note(struct ssm_window *w, uint64_t rtt_us, uint64_t now_us)
{
	if (!is_added(w, added_us(w, rtt_us, w->last_forward_us)) &&
	    !is_added(w, smooth_added_us(w)))
		return false;
	w->added_at_us = MAX(now_us, 1U);
	return true;
}

/* Doubles per round trip; an eighth where delay was seen lately, so that it is met slowly again. */
static void grow(struct ssm_window *w, size_t len, uint64_t now_us)
{
	bool lately = w->added_at_us && now_us - w->added_at_us < GROW_SLOW_RTTS * w->srtt_us;

	w->bytes = MIN(w->max_bytes, w->bytes + (lately ? len / GROW_SLOW_PART : len));
}

void ssm_window_acked(struct ssm_window *w, uint64_t rtt_us, size_t len, bool limited,
		      uint64_t now_us)
{
	bool delay;

	rtt_sample(w, rtt_us);
	delay = delay_note(w, rtt_us, now_us);
	if (is_inflated(w)) {
		if (now_us - w->shrunk_us >= w->srtt_us)
			shrink(w, shrunk_bytes(w), now_us);
		return;
	}
	if (limited && !delay)
		grow(w, len, now_us);
}

void ssm_window_timeout(struct ssm_window *w, uint64_t now_us)
{
	uint64_t rto_us = ssm_window_rto(w, 0);

	if (now_us - w->shifted_us < rto_us)
		return;
	w->shifted_us = now_us;
	if (rto_us < SSM_RTO_MAX_US)
		w->rto_shift++;
	shrink(w, w->bytes / 2, now_us);
}

uint64_t ssm_window_rto(const struct ssm_window *w, unsigned backoff)
{
	/* within one round trip a window that doubles may double the round trip */
	uint64_t queue_us = MIN(w->srtt_us, RTO_QUEUE_MAX_US);
	uint64_t var_us = MIN(MAX(MAX(4 * w->rttvar_us, queue_us), SSM_RTO_VAR_MIN_US),
			      SSM_RTO_VAR_MAX_US);
	uint64_t rto_us = w->srtt_us ? MAX(w->srtt_us + var_us, SSM_RTO_MIN_US) : SSM_RTO_START_US;

	/* 16 doublings of the smallest are beyond the cap already */
	rto_us = MIN(rto_us, SSM_RTO_MAX_US) << MIN(MAX(w->rto_shift, backoff), 16U);
	return MIN(rto_us, SSM_RTO_MAX_US);
}

uint64_t ssm_window_fast(const struct ssm_window *w)
{
	return MIN(w->srtt_us + MAX(w->srtt_us / 4, 2 * w->rttvar_us), ssm_window_rto(w, 0));
}
