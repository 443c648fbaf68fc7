// SPDX-License-Identifier: MIT
/* ag_session_internal.h - what ag_session.c (life and data channel) and ag_tcp.c (the port) share */
#ifndef GATEWAY_AG_SESSION_INTERNAL_H
#define GATEWAY_AG_SESSION_INTERNAL_H

#include "base/buf.h"
#include "base/handle.h"
#include "gateway/ag_internal.h"
#include "proto/ssm_chan.h"

#define AGS_TO_TCP_MAX KIB(512) /* ours: bytes that wait for the TCP socket */
#define AGS_READ_MAX KIB(64)	/* ours: one read of the TCP socket */

enum ags_state { AGS_LIVE, AGS_FLUSHING, AGS_OVER, AGS_STATE_N };

struct ag_session {
	struct ags *all;
	handle h;
	enum ags_state state;
	char id[GW_SESSION_ID_STR];
	uint16_t port;
	struct ssm_chan *chan;
	/* the data channel's socket */
	ws_conn conn; /* 0: none */
	bool ws_open;
	char *url, *token;
	uint32_t retry_ms;
	struct loop_timer retry; /* ask for a fresh token */
	/* the TCP connection */
	int fd; /* -1: none */
	loop_watch watch;
	uint32_t watched; /* EPOLL* bits that are asked for */
	bool connected, paced;
	struct buf to_tcp;
	bool input_held;	 /* data() has said ST_EAGAIN */
	struct loop_timer limit; /* connect, then flush */
	struct loop_timer pace;
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

/** ag_tcp_dial() - Return: 0, what comes of it is told by events; ST_EREFUSED; ST_ESYS (logged); ST_EFULL */
int ag_tcp_dial(struct ag_session *s);
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

#endif
