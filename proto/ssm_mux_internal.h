// SPDX-License-Identifier: MIT
/* ssm_mux_internal.h - what the parts of the mux share: ssm_mux.c (streams, time), ssm_mux_in.c, ssm_mux_out.c */
#ifndef PROTO_SSM_MUX_INTERNAL_H
#define PROTO_SSM_MUX_INTERNAL_H

#include "base/buf.h"
#include "base/list.h"
#include "proto/ssm_mux.h"

#define MUX_ID_BUCKETS 256U

/* From the peer to the owner. */
enum mux_rx {
	MUX_RX_HELD,	/* being dialed: bytes are kept */
	MUX_RX_FLOW,	/* nothing is kept: bytes go to data() as they come */
	MUX_RX_STALLED, /* data() took less than offered: bytes are kept until resume */
	MUX_RX_OVER, /* the owner is done with the stream, or told that it is over: bytes are stray */
	MUX_RX_N
};

/* From the owner to the peer. */
enum mux_tx {
	MUX_TX_HELD, /* being dialed: nothing is pulled */
	MUX_TX_OPEN, /* pulled when ready */
	MUX_TX_SHUT, /* no more data, FIN is not due yet: the owner shut it down (client), or the peer's FIN came */
	MUX_TX_FIN,  /* FIN waits for output */
	MUX_TX_DONE, /* FIN has left */
	MUX_TX_N
};

/* Freed as soon as rx is over and tx is done, or if it is over before its SYN left. */
struct mux_stream {
	handle h; /* in streams until rx is over */
	uint32_t id;
	enum mux_rx rx;
	enum mux_tx tx;
	bool syn_due;  /* client: SYN waits for output; the peer can't know the stream */
	bool fin_in;   /* the peer's FIN came */
	bool offering; /* inside data() */
	void *ctx;
	struct list_node by_id;
	struct list_node ctl;	/* in ctl: SYN or FIN is due */
	struct list_node ready; /* in ready: to be pulled */
	struct buf in;		/* kept bytes */
};

struct ssm_mux {
	enum ssm_role role;
	uint32_t frame_max;
	bool keepalive;
	const struct ssm_mux_events *events;
	void *arg;

	int err; /* what ended the mux */
	char reason[64];

	struct hnd_table streams; /* those that the owner knows */
	uint32_t stream_n;	  /* all */
	struct list by_id[MUX_ID_BUCKETS];
	uint32_t next_id; /* client; 0: used up */

	/* in */
	uint8_t hdr[SSM_MUX_HDR_LEN];
	size_t hdr_len;
	size_t body_left; /* bytes of the current PSH that are still to come */
	handle body_to;	  /* the stream that they are for; 0: stray */
	size_t buffered;  /* bytes kept for all streams, at most SSM_MUX_BUFFER_MAX */
	bool blocked;	  /* input refused blocked_len bytes */
	size_t blocked_len;
	unsigned depth; /* of public calls that may free buffered bytes */

	/* out */
	struct list ctl, ready;
	uint32_t refused[SSM_MUX_REFUSED_MAX]; /* ring of ids to answer by FIN */
	uint32_t refused_head, refused_n;
	bool nop_due;

	uint64_t now_us, last_in_us, last_out_us;
	struct ssm_mux_stats stats;
};

/* ssm_mux.c */
void ssm_mux_now(struct ssm_mux *m, uint64_t now_us);
/* unblocked() must find the mux at rest: it comes when the outermost call leaves */
void ssm_mux_enter(struct ssm_mux *m);
void ssm_mux_leave(struct ssm_mux *m);
/** ssm_mux_end() - ends the mux. Return: @err */
int ssm_mux_end(struct ssm_mux *m, int err, const char *fmt, ...) ST_PRINTF(3, 4);
void ssm_mux_set_rx(struct mux_stream *s, enum mux_rx rx);
void ssm_mux_set_tx(struct mux_stream *s, enum mux_tx tx);
struct mux_stream *ssm_mux_find(struct ssm_mux *m, uint32_t id);
/** ssm_mux_stream_new() - Return: NULL at a limit or without memory, *@err then */
struct mux_stream *ssm_mux_stream_new(struct ssm_mux *m, uint32_t id, int *err);
void ssm_mux_stream_free(struct ssm_mux *m, struct mux_stream *s);
/** ssm_mux_detach() - the owner's side is over: kept bytes are dropped, FIN becomes due; may free @s */
void ssm_mux_detach(struct ssm_mux *m, struct mux_stream *s);

/* ssm_mux_in.c */
/** ssm_mux_drain() - offers what is kept, all of it once; may end and free @s */
void ssm_mux_drain(struct ssm_mux *m, struct mux_stream *s);

/* ssm_mux_out.c */
/** ssm_mux_refuse() - FIN for a stream that never was; ends the mux when too many wait */
void ssm_mux_refuse(struct ssm_mux *m, uint32_t id);
/** ssm_mux_is_refused() - does a refusal of @id still wait for output? */
bool ssm_mux_is_refused(const struct ssm_mux *m, uint32_t id);
void ssm_mux_fin_due(struct ssm_mux *m, struct mux_stream *s);

#endif
