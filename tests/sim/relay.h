// SPDX-License-Identifier: MIT
/*
 * relay.h - the service between two ends: two sockets, and what happens to messages and sockets
 *
 * Each end has one socket to the service. A message takes half of the one-way delay to the service
 * and half from there. See relay.c for what a cut does.
 */
#ifndef TEST_SIM_RELAY_H
#define TEST_SIM_RELAY_H

#include "app.h"
#include "proto/ssm_msg.h"
#include "sim.h"

#define RELAY_CUTS_MAX 8U
#define RELAY_PAUSES_MAX 4U
#define RELAY_BUCKETS 20U /* of the service's meter */
#define RELAY_BUCKET_US (100 * SIM_MS)

/* One direction of a line with a bottleneck; several sessions may share it. */
struct relay_pipe {
	uint64_t bytes_per_s;
	uint64_t free_us; /* when what was put in before has left */
	uint64_t bytes;	  /* put in so far */
};

/* A thing that happens to the socket of @side when so many bytes have arrived at both ends together. */
struct relay_plan {
	uint64_t at_bytes;
	uint64_t after_us; /* and so long after */
	uint64_t for_us;   /* cut: no new socket for so long; pause: until start_publication */
	int side;
};

struct relay_opts {
	uint64_t delay_us; /* one way */
	unsigned loss_permille, dup_permille, reorder_permille;
	bool acks_spared;	       /* loss meets data only */
	unsigned survive_permille;     /* of the messages that a cut or an outage meets */
	uint32_t hold_max;	       /* messages that the service keeps for a side that is away */
	uint64_t notice_us;	       /* an end notices a cut within this; 0: 20 ms */
	unsigned write_error_permille; /* a write to a dead socket fails at once */
	struct relay_pipe *pipe[SIM_ENDS]; /* by sender; NULL: no bottleneck */
	struct relay_plan cuts[RELAY_CUTS_MAX];
	uint32_t cuts_n; /* in order of at_bytes, as the pauses */
	struct relay_plan pauses[RELAY_PAUSES_MAX];
	uint32_t pauses_n;
	/* the service's patience with one sender: 0 is endless */
	uint32_t meter_per_s; /* messages a second over 2 s, more bring a pause */
	bool meter_whole;     /* of both senders together, and both are paused */
	uint32_t kill_pauses; /* so many pauses end the session */
};

enum relay_action {
	RELAY_CUT_CLIENT,
	RELAY_CUT_AGENT,
	RELAY_NOTICE_CLIENT, /* the end finds its socket dead */
	RELAY_NOTICE_AGENT,
	RELAY_PAUSE_CLIENT,
	RELAY_PAUSE_AGENT,
	RELAY_START_CLIENT,
	RELAY_START_AGENT,
	RELAY_CLOSED_CLIENT, /* channel_closed reaches the client */
};

/* A message between two sockets. */
struct relay_hop {
	struct relay_hop *next; /* free or held */
	struct sim_session *session;
	struct sim_packet *packet;
	uint64_t sent_us, relay_us; /* left the sender, reached the service */
	int from;
	bool survives;
};

struct relay_meter {
	uint64_t bucket_no;
	uint32_t count[RELAY_BUCKETS];
	uint32_t sum, pauses;
};

struct relay_side {
	bool up;      /* its socket lives */
	bool noticed; /* the end knows that it does not */
	uint64_t cut_us, up_us, refuse_until_us, outage_us;
	struct relay_hop *held, **held_end;
	uint32_t held_n;
	struct relay_meter meter;
	uint64_t msgs; /* written to its socket */
};

struct sim_session {
	struct sim *sim;
	struct sim_end *end[SIM_ENDS];
	struct sim_app app[SIM_ENDS];
	struct relay_opts o;
	struct relay_side side[SIM_ENDS];
	uint32_t cut_next, pause_next, cuts_done;
	struct relay_hop *free_hops;
	bool closed_due; /* channel_closed waits for the client's socket */
	bool killed;	 /* by the meter */
	void (*on_send)(struct sim_session *ss, int from, const struct sim_packet *p);
};

/** relay_init() - both sockets up, ends and apps are the caller's to set */
void relay_init(struct sim_session *ss, struct sim *s, const struct relay_opts *o);
/** relay_fini() - frees ends and what is held; what is on its way is freed by relay_drop_events() */
void relay_fini(struct sim_session *ss);
/** relay_drop_events() - frees the messages among the events of @s */
void relay_drop_events(struct sim *s);

/** relay_send() - @e writes @p, of which it keeps its reference. Return: false if the write failed, the socket being dead */
bool relay_send(struct sim_end *e, struct sim_packet *p);
/** relay_send_bytes() - the same with bytes that are copied */
bool relay_send_bytes(struct sim_end *e, const uint8_t *p, size_t len);
/** relay_open() - @e asks for a new socket. Return: false: refused now; true: it is up, held messages follow */
bool relay_open(struct sim_end *e);
/** relay_close() - the agent side has ended: the service tells the client */
void relay_close(struct sim_session *ss);
/** relay_progress() - bytes have arrived somewhere: sets the next cuts and pauses off */
void relay_progress(struct sim_session *ss);

void relay_arrive(struct relay_hop *hop);
void relay_act(struct sim_session *ss, enum relay_action action);

#endif
