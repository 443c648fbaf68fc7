// SPDX-License-Identifier: MIT
/*
 * ssm_window.c - RTT estimator and window
 *
 * Theory of operation: only messages sent exactly once give samples (Karn). So that a path whose
 * RTT is above the time-out is ever measured, each time-out doubles the time-out of all messages
 * until a clean sample comes (RFC 6298, 5.5). A message's own back-off counts beside it, not on top.
 * RTO = SRTT + 4 * RTTVAR with the variance term within 10 ms..1 s and the whole within 100 ms..5 s.
 * The window grows by what is acknowledged if it was full meanwhile and the RTT shows no
 * added delay (doubling per RTT), holds between "no added delay" and "inflated", and shrinks by a
 * quarter once per RTT when the RTT is inflated. A time-out halves it at most once per time-out.
 */
#include "proto/ssm_window.h"

#include "base/util.h"

/* Ours: scheduling and batching are no queue. Growth stops at the lesser one: with 15 ms a copy kept a queue of 1.8 MB standing, in
 * which an echo waited, with 3 ms of 1.1 MB, and was no slower. Shrinking starts late, so that jitter starves nobody. */
#define INFLATED_SLACK_US UINT64_C(30000)
#define ADDED_SLACK_US UINT64_C(3000)

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

static bool rtt_inflated(const struct ssm_window *w)
{
	return w->srtt_us > 2 * w->min_rtt_us + INFLATED_SLACK_US;
}

static bool rtt_added(const struct ssm_window *w)
{
	return w->srtt_us > w->min_rtt_us + w->min_rtt_us / 2 + ADDED_SLACK_US;
}

static void shrink(struct ssm_window *w, size_t to, uint64_t now_us)
{
	w->bytes = MAX(to, MIN(SSM_WINDOW_MIN, w->max_bytes));
	w->shrunk_us = now_us;
}

void ssm_window_acked(struct ssm_window *w, uint64_t rtt_us, size_t len, bool limited,
		      uint64_t now_us)
{
	rtt_sample(w, rtt_us);
	if (rtt_inflated(w)) {
		if (now_us - w->shrunk_us >= w->srtt_us)
			shrink(w, w->bytes / 4 * 3, now_us);
		return;
	}
	if (!rtt_added(w) && limited)
		w->bytes = MIN(w->max_bytes, w->bytes + len);
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
	uint64_t var_us = MIN(MAX(4 * w->rttvar_us, SSM_RTO_VAR_MIN_US), SSM_RTO_VAR_MAX_US);
	uint64_t rto_us = w->srtt_us ? MAX(w->srtt_us + var_us, SSM_RTO_MIN_US) : SSM_RTO_START_US;

	/* 16 doublings of the smallest are beyond the cap already */
	rto_us = MIN(rto_us, SSM_RTO_MAX_US) << MIN(MAX(w->rto_shift, backoff), 16U);
	return MIN(rto_us, SSM_RTO_MAX_US);
}

uint64_t ssm_window_fast(const struct ssm_window *w)
{
	return MIN(w->srtt_us + MAX(w->srtt_us / 4, 2 * w->rttvar_us), ssm_window_rto(w, 0));
}
