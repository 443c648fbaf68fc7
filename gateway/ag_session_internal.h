// SPDX-License-Identifier: MIT
/* ag_session_internal.h - what ag_session.c (life and data channel) and its modes share */
#ifndef GATEWAY_AG_SESSION_INTERNAL_H
#define GATEWAY_AG_SESSION_INTERNAL_H

#include "base/buf.h"
#include "base/handle.h"
#include "gateway/ag_connect.h"
#include "gateway/ag_internal.h"
#include "proto/ssm_chan.h"

#define AGS_TO_TCP_MAX KIB(512) /* ours: bytes that wait for the TCP socket */
#define AGS_READ_MAX KIB(64)	/* ours: one read of the TCP socket */

enum ags_state { AGS_LIVE, AGS_FLUSHING, AGS_OVER, AGS_STATE_N };

struct ag_session;
struct ag_mux;

/* What a session does with its two streams of bytes. NULL: nothing to do. */
struct ag_mode {
	const char *name;
	/* it has been made: Return: as ag_tcp_dial() */
	int (*begin)(struct ag_session *s);
	/* the handshake is complete */
	void (*ready)(struct ag_session *s);
	/* Output payload, as data() of struct ssm_chan_events */
	int (*data)(struct ag_session *s, const uint8_t *p, size_t len);
	/* flag DisconnectToPort. Return: as data */
	int (*disconnect)(struct ag_session *s);
	/* ag_tcp.c: its connection has ended, @err 0 by end of file, else an errno */
	void (*gone)(struct ag_session *s, int err);
	/* gives ssm_chan more to send. Return: did it get some? May end the session */
	bool (*fill)(struct ag_session *s);
	/* the end of a turn: asks for those events that we could use now */
	void (*steer)(struct ag_session *s);
	/* the data channel has a socket again */
	void (*transport_up)(struct ag_session *s);
	/* the session is over; more than one call is fine */
	void (*close)(struct ag_session *s);
	/* after close(), outside of any callback */
	void (*free)(struct ag_session *s);
};

extern const struct ag_mode ag_mode_ssh;     /* ag_tcp.c: one connection, dialed at once */
extern const struct ag_mode ag_mode_forward; /* ag_forward.c: until it is known which of these */
extern const struct ag_mode ag_mode_basic;   /* ag_forward.c: one connection at a time */
extern const struct ag_mode ag_mode_mux;     /* ag_mux.c: many connections */

struct ag_session {
	struct ags *all;
	handle h;
	enum ags_state state;
	char id[GW_SESSION_ID_STR];
	const struct ag_mode *mode;
	struct ag_target target; /* what it is connected to */
	struct ssm_chan *chan;
	/* the data channel's socket */
	ws_conn conn; /* 0: none */
	bool ws_open;
	uint64_t open_ms; /* when it opened */
	char *url, *token;
	uint32_t retry_ms;
	struct loop_timer retry; /* ask for a fresh token */
	struct loop_timer gone;	 /* give up */
	uint64_t lost_ms;	 /* when the data channel was lost; 0: it was not, or is back */
	/* the TCP connection */
	int fd; /* -1: none */
	loop_watch watch;
	uint32_t watched; /* EPOLL* bits that are asked for */
	bool connected, paced;
	struct buf to_tcp;
	bool input_held;	 /* data() has said ST_EAGAIN */
	struct loop_timer limit; /* connect, then flush */
	struct loop_timer pace;
	/* forwarding */
	struct ag_connect connect; /* basic */
	struct ag_mux *mux;	   /* NULL before the client's first byte */
	struct loop_timer chan_due;
	struct loop_task flush;
};

struct ags {
	struct ag *ag;
	struct hnd_table table;
	struct loop_task reap;
	json_t *ends; /* bodies of session.end that could not be sent yet */
	uint8_t scratch[AGS_READ_MAX];
};

static inline struct loop *ags_loop(const struct ag_session *s)
{
	return s->all->ag->loop;
}

static inline uint64_t ags_now_us(const struct ag_session *s)
{
	return loop_now_us(ags_loop(s));
}

/* ---- ag_session.c ---- */

void ags_timer_set(struct ag_session *s, struct loop_timer *t, uint64_t in_ms);
void ags_set_state(struct ag_session *s, enum ags_state to, const char *why);
/** ags_end() - the session is over; may be called from any callback: the reaper frees it */
void ags_end(struct ag_session *s, const char *status, const char *output);
/** ags_flush_later() - at the end of this turn: what ssm_chan has to send, and which TCP events we want */
void ags_flush_later(struct ag_session *s);

/* ---- ag_tcp.c ---- */

/** ag_tcp_dial() - to a port of this machine. Return: 0, what comes of it is told by events; ST_EREFUSED; ST_ESYS
 * (logged); ST_EFULL */
int ag_tcp_dial(struct ag_session *s);
/** ag_tcp_adopt() - takes a connected socket. Return: 0; ST_EFULL, ST_ESYS, then it is closed */
int ag_tcp_adopt(struct ag_session *s, int fd);
void ag_tcp_close(struct ag_session *s);
/** ag_tcp_failed() - ends the session in words about @err, an errno */
void ag_tcp_failed(struct ag_session *s, int err);
/** ag_tcp_steer() - asks for exactly those events that we could use now */
void ag_tcp_steer(struct ag_session *s);
/** ag_tcp_data() - stream bytes for the port. Return: 0 all taken; ST_EAGAIN none taken, ssm_chan_resume_input() follows */
int ag_tcp_data(struct ag_session *s, const uint8_t *p, size_t len);
/* Timers of struct ag_session. */
void ag_tcp_on_limit(void *arg, uint64_t now_ms);
void ag_tcp_on_pace(void *arg, uint64_t now_ms);

/* ---- ag_forward.c ---- */

/** ag_target_read() - where a session of this document goes; @params have passed gw_document_check(). Port 22 of this
 * machine is --ssh-port */
void ag_target_read(struct ag_target *out, const struct ag_opts *o, const char *document,
		    const json_t *params);
/** ag_target_allowed() - this machine's port 22 and --ssh-port, and what --allow names */
bool ag_target_allowed(const struct ag_opts *o, const struct ag_target *t);
/** ag_properties() - of the handshake, as JSON text; to be freed, NULL without memory */
char *ag_properties(const char *document, const json_t *params);

#endif
