// SPDX-License-Identifier: MIT
/*
 * stock.h - what the models of the two stock peers share: buffers by number, their RTT formula, messages
 *
 * The models write and read messages with proto/ssm_msg.h and proto/ssm_ack.h; states, buffers and
 * timers are their own. "4.3" and the like are sections of the shared reference ssm-protocol.
 */
#ifndef TEST_SIM_STOCK_H
#define TEST_SIM_STOCK_H

#include "app.h"
#include "proto/ssm_msg.h"
#include "relay.h"
#include "sim.h"

#define STOCK_TICK_US (100 * SIM_MS)   /* looks at the oldest message; 4.5 */
#define STOCK_RTO_MAX_US SIM_SECOND    /* 4.5 */
#define STOCK_CHUNK ((size_t)1024)     /* 4.6 */
#define STOCK_SLEEP_US SIM_MS	       /* after each chunk; 10 */
#define STOCK_OPEN_CALLS 6U	       /* 2.5, 2.6 */
#define STOCK_LATE_MAX_US (3 * SIM_MS) /* an inner hand-over between two of its threads */

/* Messages by number, with holes. */
struct stock_slot {
	struct sim_packet *p; /* NULL: none */
	uint64_t first_us, last_us;
	uint32_t sends;
};

struct stock_buffer {
	struct stock_slot *ring; /* number & (cap - 1) */
	uint32_t cap, n;
	int64_t base, next; /* none below, none from here on */
};

/** stock_buffer_put() - takes a reference of its own; replaces one of the same number */
void stock_buffer_put(struct sim *s, struct stock_buffer *b, int64_t seq, struct sim_packet *p);
/** stock_buffer_get() - NULL: not there */
struct stock_slot *stock_buffer_get(const struct stock_buffer *b, int64_t seq);
void stock_buffer_del(struct sim *s, struct stock_buffer *b, int64_t seq);
/** stock_buffer_oldest() - NULL: empty; *@seq its number */
struct stock_slot *stock_buffer_oldest(struct stock_buffer *b, int64_t *seq);
void stock_buffer_fini(struct sim *s, struct stock_buffer *b);

/* 4.5: no floor, no back-off, samples of resent messages count. */
struct stock_rtt {
	uint64_t srtt_us, var_us, rto_us;
};

void stock_rtt_init(struct stock_rtt *r);
void stock_rtt_sample(struct stock_rtt *r, uint64_t rtt_us);

/** stock_tick_at() - the first tick of the 100 ms grid with @phase_us that is not before @us */
uint64_t stock_tick_at(uint64_t phase_us, uint64_t us);

/** stock_stream() - a stream message of @e's; the caller's reference */
struct sim_packet *stock_stream(struct sim_end *e, int64_t seq, uint32_t payload_type,
				const void *p, size_t len);
/** stock_ack() - acknowledges @m of the other end. Return: as relay_send() */
bool stock_ack(struct sim_end *e, const struct ssm_msg *m);
/** stock_open_delay() - before the @call'th attempt at a new socket, 0: the first */
uint64_t stock_open_delay(struct sim *s, unsigned call, uint64_t first_us);
/** stock_read() - how many of @max bytes one read() of a pump returns: mostly all */
size_t stock_read(struct sim *s, size_t max);

struct sim_end *stock_client_new(struct sim_session *ss);
/* @cut: its own socket is going to be cut, acknowledgements may fail to be written */
struct sim_end *stock_agent_new(struct sim_session *ss);

#endif
