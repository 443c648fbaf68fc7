// SPDX-License-Identifier: MIT
/*
 * sim.h - two ends of a channel over a bad wire, in virtual time
 *
 * The wire loses, delays, reorders, copies and is cut, as a seeded generator says: a run is
 * repeated exactly by its seed. Each end sends a byte pattern and checks what arrives against the
 * other's. Checks of the harness itself are cmocka assertions.
 */
#ifndef TEST_PROTO_SIM_H
#define TEST_PROTO_SIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/ssm_chan.h"

#define SIM_START_US UINT64_C(1000000)
#define SIM_UNIX_MS UINT64_C(1700000000000)
#define SIM_WIRE_MAX 65536U

enum { SIM_CLIENT, SIM_AGENT, SIM_ENDS };

struct sim;

struct sim_opts {
	uint64_t seed;
	unsigned loss_pct, reorder_pct, dup_pct;
	uint64_t delay_us;	   /* one way; 0: 5 ms */
	uint64_t bytes_per_s;	   /* 0: no limit; each way, behind an endless queue */
	uint64_t cut_every_us;	   /* 0: never; the wire is down for delay_us * 3 */
	struct ssm_chan_opts chan; /* for both ends; role, time, callbacks, uuid are filled in */
	/* loses a message for a reason of the test's; NULL: none */
	bool (*drop)(struct sim *s, int from, const struct ssm_msg *m);
};

struct sim_end {
	struct sim *sim;
	int index;
	struct ssm_chan *chan;
	uint64_t to_send, sent, received; /* bytes of the pattern */
	unsigned ready, closed, writable; /* how often the event came */
	uint64_t ready_us;		  /* when it came last */
	int close_err;
	char close_reason[256];
	char customer_message[256];
	bool refuse;	    /* data() answers ST_EAGAIN */
	unsigned refused;   /* how often it did */
	uint32_t last_type; /* of a message that was no pattern */
	uint8_t last[64];
	size_t last_len;
	uint64_t msgs
		[16]; /* sent on the wire by payload type, copies included; acks at SSM_PT_NONE */
	uint64_t last_tx_us; /* of the latest stream message on the wire */
};

struct sim_packet {
	uint64_t at_us, order;
	int to;
	size_t len;
	uint8_t *bytes;
};

struct sim {
	struct sim_opts opts;
	struct sim_end end[SIM_ENDS];
	uint64_t now_us, order, random;
	uint64_t wire_free_us[SIM_ENDS]; /* when the last byte of what was sent before has left */
	uint64_t cut_at_us, up_at_us;
	struct sim_packet wire[SIM_WIRE_MAX];
	size_t wire_n;
	unsigned drops;
};

/** sim_new() - both ends, transports up, nothing sent yet */
struct sim *sim_new(const struct sim_opts *opts);
void sim_free(struct sim *s);
/** sim_step() - to the next event, at most to @until_us. Return: false if there is none before */
bool sim_step(struct sim *s, uint64_t until_us);
void sim_run_for(struct sim *s, uint64_t us);
/** sim_run_ready() - until both ends are ready; fails the test after 10 s */
void sim_run_ready(struct sim *s);
/** sim_run_done() - until both patterns have arrived; fails the test after @limit_us */
void sim_run_done(struct sim *s, uint64_t limit_us);
/** sim_cut() - the wire dies with all that is on it; sim_join() brings a new one */
void sim_cut(struct sim *s);
void sim_join(struct sim *s);
/** sim_inject() - a message of the test's making arrives at an end now. Return: as ssm_chan_input() */
int sim_inject(struct sim *s, int to, const struct ssm_msg *m);
uint64_t sim_random(struct sim *s);
uint8_t sim_pattern(int from, uint64_t pos);
struct ssm_chan_stats sim_stats(const struct sim *s, int end);

#endif
