// SPDX-License-Identifier: MIT
/*
 * ssm_window.h - round-trip time, retransmission time-out and the in-flight window
 *
 * Pure arithmetic on what the sender saw. Times are µs, sizes are payload bytes. Design, decision 7.
 */
#ifndef PROTO_SSM_WINDOW_H
#define PROTO_SSM_WINDOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SSM_RTO_START_US UINT64_C(200000) /* before the first sample; as the stock peers, 4.5 */
#define SSM_RTO_MIN_US                                                                             \
	UINT64_C(100000) /* ours: the stock peers have none and resend on every jitter */
#define SSM_RTO_MAX_US UINT64_C(5000000)   /* ours: also the cap of the back-off */
#define SSM_RTO_VAR_MIN_US UINT64_C(10000) /* as the stock peers */
#define SSM_RTO_VAR_MAX_US                                                                         \
	UINT64_C(1000000) /* ours: the stock cap of 1 s on the whole is wrong above 1 s of RTT */
#define SSM_WINDOW_MIN ((size_t)16384) /* ours: what shrinking never goes below */

struct ssm_window {
	size_t bytes; /* the window */
	size_t max_bytes;
	uint64_t srtt_us; /* 0: no sample yet */
	uint64_t rttvar_us;
	uint64_t min_rtt_us; /* UINT64_MAX: no sample yet */
	/* from here to the peer, by two clocks that disagree by some constant: only differences tell */
	int64_t forward_us, min_forward_us, last_forward_us;
	int64_t peer_ref_us;  /* the peer's clock when ours was ref_us */
	uint64_t ref_us;      /* 0: no sample yet */
	bool forward_ok;      /* the peer's clock goes as ours does */
	unsigned rto_shift;   /* doublings of the time-out since the last clean sample */
	uint64_t shifted_us;  /* when rto_shift rose */
	uint64_t shrunk_us;   /* when bytes shrank */
	uint64_t added_at_us; /* when delay was seen last; 0: never on this path */
};

void ssm_window_init(struct ssm_window *w, size_t start, size_t max);
/** ssm_window_path_changed() - a new connection: RTT and time-out are learned anew, the size stays */
void ssm_window_path_changed(struct ssm_window *w);
/**
 * ssm_window_forward() - what an acknowledgement tells of the way there, before ssm_window_acked()
 * @peer_us: the peer's clock when it wrote the acknowledgement (CreatedDate), from any start
 * @sent_us: when the message was sent, once
 */
void ssm_window_forward(struct ssm_window *w, int64_t peer_us, uint64_t sent_us, uint64_t now_us);
/**
 * ssm_window_acked() - a message sent once was acknowledged
 * @rtt_us: since it was sent; @len: its payload; @limited: the window was full after it was sent
 */
void ssm_window_acked(struct ssm_window *w, uint64_t rtt_us, size_t len, bool limited,
		      uint64_t now_us);
/** ssm_window_timeout() - a message's time-out ran out */
void ssm_window_timeout(struct ssm_window *w, uint64_t now_us);
/** ssm_window_rto() - the time-out of a message that was sent @backoff + 1 times */
uint64_t ssm_window_rto(const struct ssm_window *w, unsigned backoff);
/** ssm_window_fast() - age at which a message counts as lost once three later ones were acknowledged */
uint64_t ssm_window_fast(const struct ssm_window *w);

#endif
