// SPDX-License-Identifier: MIT
/*
 * sim.h - a simulated world: virtual time, a generator, ends that talk over a relay
 *
 * A run is a function of its seed and options alone: no clock, no address, no hash of a pointer
 * takes part. Times are µs of virtual time; sim->now_us only moves when an event is taken.
 */
#ifndef TEST_SIM_SIM_H
#define TEST_SIM_SIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/codec.h"
#include "base/util.h"

#define SIM_NEVER UINT64_MAX
#define SIM_MS UINT64_C(1000)
#define SIM_SECOND UINT64_C(1000000)
#define SIM_START_US SIM_SECOND			 /* not 0, which is "none" in places */
#define SIM_UNIX_MS UINT64_C(1700000000000)	 /* wall clock at 0 µs */
#define SIM_REASON_MAX 160U			 /* bytes of a failure's text */
#define SIM_PACKET_POOLED ((size_t)1280)	 /* bytes of a packet that is reused, not freed */
#define SIM_EVENTS_AT_ONE_TIME UINT32_C(1000000) /* more mean that time has stopped */

struct sim;
struct sim_session;
struct sim_end;

/* A WebSocket message. The bytes never change once it is on the wire or in a buffer. */
struct sim_packet {
	struct sim_packet *next; /* while free */
	uint32_t refs;
	uint32_t len, cap;
	uint8_t bytes[];
};

/* What an end is made of; one table for ours, and one for each model. A function that is NULL is not called. */
struct sim_end_ops {
	const char *name;
	void (*input)(struct sim_end *e, struct sim_packet *p); /* borrowed until return */
	/* the socket of this end is gone (it has noticed), or a new one is there */
	void (*transport)(struct sim_end *e, bool up);
	uint64_t (*deadline)(const struct sim_end *e);
	void (*expire)(struct sim_end *e);
	/* after every event of this end: takes bytes from its app, writes what may go */
	void (*settle)(struct sim_end *e);
	void (*resume_input)(struct sim_end *e); /* the app takes bytes again */
	/* has this end nothing to do? *@why says what is left */
	bool (*idle)(const struct sim_end *e, const char **why);
	void (*free)(struct sim_end *e);
};

enum { SIM_CLIENT, SIM_AGENT, SIM_ENDS };

struct sim_app;

/* One end of a session; the first member of what ours and the models keep. */
struct sim_end {
	const struct sim_end_ops *ops;
	struct sim_session *session;
	struct sim *sim;
	int side;
	bool over;	   /* it has ended by itself or by the peer */
	uint64_t armed_us; /* its earliest timer among the events; SIM_NEVER: none */
	struct sim_app *app;
};

enum sim_event_kind {
	SIM_EV_PACKET, /* ptr: struct relay_hop */
	SIM_EV_TIMER,  /* ptr: struct sim_end */
	SIM_EV_RELAY,  /* ptr: struct sim_session, arg: enum relay_action */
	SIM_EV_APP,    /* ptr: struct sim_end: its app takes bytes again */
	SIM_EV_PROBE,  /* ptr: what on_probe() gets */
};

struct sim_event {
	uint64_t at_us, order;
	void *ptr;
	uint32_t kind, arg;
};

struct sim {
	uint64_t now_us;
	uint64_t random;
	uint64_t trace; /* a hash of every event so far */
	uint64_t events, order;
	struct sim_event *heap;
	size_t heap_n, heap_cap;
	struct sim_packet *pool;
	bool verbose; /* prints every event */
	bool failed;
	char reason[SIM_REASON_MAX];
	void (*on_probe)(struct sim *s, void *ptr);
};

void sim_init(struct sim *s, uint64_t seed);
/** sim_fini() - frees events and pool; sessions are freed before */
void sim_fini(struct sim *s);

/** sim_random() - 64 bits of the seeded generator; sim_below() - 0..@n-1, 0 if @n is 0 */
uint64_t sim_random(struct sim *s);
uint64_t sim_below(struct sim *s, uint64_t n);
/** sim_chance() - true with @permille in 1000; a chance of 0 draws no number */
bool sim_chance(struct sim *s, unsigned permille);
/** sim_uuid() - a message id from the generator; fits ssm_chan_opts.uuid with @arg a struct sim_end */
void sim_uuid(void *arg, uint8_t out[CODEC_UUID_LEN]);

void sim_at(struct sim *s, uint64_t at_us, enum sim_event_kind kind, void *ptr, uint32_t arg);
/** sim_arm() - notes the deadline of @e as an event if it is earlier than what is noted */
void sim_arm(struct sim_end *e);
/** sim_settle() - lets @e write, and arms it; after whatever concerned it */
void sim_settle(struct sim_end *e);
/** sim_step() - takes the next event. Return: false if there is none until @until_us (now_us is then @until_us) or the
 * run has failed */
bool sim_step(struct sim *s, uint64_t until_us);

/** sim_fail() - the run has failed; the first reason is kept */
void sim_fail(struct sim *s, const char *fmt, ...) ST_PRINTF(2, 3);
/** sim_note() - one event into the hash, and into the trace if it is verbose */
void sim_note(struct sim *s, const char *what, int side, uint64_t a, uint64_t b);

/** sim_packet_new() - room for @len bytes, one reference */
struct sim_packet *sim_packet_new(struct sim *s, size_t len);
struct sim_packet *sim_packet_ref(struct sim_packet *p);
void sim_packet_unref(struct sim *s, struct sim_packet *p);

/** sim_xmalloc() - zeroed memory; a test that gets none ends */
void *sim_xmalloc(size_t size);

#endif
