// SPDX-License-Identifier: MIT
/*
 * ssm_mux.h - many TCP connections in one port session (smux, version 1), without I/O and without a clock
 *
 * Sits between a channel, whose Output payloads are one stream of bytes each way, and an owner that has one TCP
 * connection per stream. Both roles: a client opens streams, an agent accepts them. Times are µs of the channel's clock.
 *
 * Toward the channel:
 *	data() of ssm_chan:	return ssm_mux_input(mux, p, len, now_us);	  for SSM_PT_OUTPUT
 *	unblocked() of the mux:	ssm_chan_resume_input(chan, now_us);
 *	before the channel's next output, while ssm_mux_has_output(mux):
 *				n = ssm_mux_output(mux, buf, MIN(sizeof(buf), ssm_chan_room(chan)), now_us);
 *				taken = ssm_chan_send(chan, buf, n, now_us);
 * What ssm_mux_output() gave belongs to the byte stream: taken < n (no memory) is the session's end. What waits in the
 * channel is ahead of every later byte of an interactive stream: an owner keeps queued_bytes of the channel's statistics
 * low (64 KiB is plenty) by giving less room than ssm_chan_room().
 *
 * Toward a TCP connection:
 *	readable:		 ssm_mux_ready(); pull() then reads from the socket straight into the frame
 *	end of file read:	 ssm_mux_shutdown()
 *	reset, or no more interest: ssm_mux_close()
 *	writable again after data() took less than offered: ssm_mux_resume()
 *	closed() from the mux:	 write out what data() took, then close the socket
 *
 * A stream ends in both directions at once: version 1 has no half-close. A peer that has sent FIN reads nothing any
 * more, one that has got FIN sends nothing any more. Hence ssm_mux_shutdown() differs by role, see there.
 *
 * There is no flow control for a stream either. What the owner does not take is kept, SSM_MUX_BUFFER_MAX bytes for all
 * streams together; then ssm_mux_input() refuses, the channel acknowledges nothing, and all streams stand until the
 * slow one moves or is closed. ssm_mux_stream_buffered() tells which one it is.
 */
#ifndef PROTO_SSM_MUX_H
#define PROTO_SSM_MUX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/handle.h"
#include "base/util.h"
#include "proto/ssm_chan.h"
#include "proto/ssm_mux_frame.h"

#define SSM_MUX_STREAMS_MAX                                                                        \
	1024U /* ours; also the stock peers' backlog of streams not yet accepted */
#define SSM_MUX_REFUSED_MAX 1024U /* ours: refused opens whose FIN has not left yet */
#define SSM_MUX_BUFFER_MAX                                                                         \
	MIB(4) /* bytes of all streams that wait for their owner; as the stock peers */
#define SSM_MUX_FRAME_DATA (4096U - 8U)	  /* ours: data of a frame, see ssm_mux_out.c */
#define SSM_MUX_FRAME_MAX 32768U	  /* data of the largest frame that the stock peers send */
#define SSM_MUX_NOP_US UINT64_C(10000000) /* keepalive: a NOP after so long without output */
#define SSM_MUX_TIMEOUT_US UINT64_C(30000000) /* keepalive: over after so long without input */

/* What the mux tells its owner. Every callback may call any ssm_mux function but ssm_mux_free(), ssm_mux_input() and
 * ssm_mux_output(). @h names the stream, @ctx is what the owner gave for it. After closed(), and after the owner's own
 * ssm_mux_close(), none comes for that stream. */
struct ssm_mux_events {
	/* agent role: the client opened a stream. The owner dials and answers by ssm_mux_accept_ok() or _fail(), at once
	 * or later; other streams run on meanwhile (the stock agent dials one at a time), and what comes for this one is
	 * kept within SSM_MUX_BUFFER_MAX. Return: its ctx, may be NULL */
	void *(*accept)(void *arg, handle h, uint32_t id);
	/* bytes of a stream in order; borrowed until return or ssm_mux_close(). Return: bytes taken; fewer than @len
	 * keeps the rest until ssm_mux_resume(), which has no effect from inside this call for the same stream */
	size_t (*data)(void *arg, handle h, void *ctx, const uint8_t *p, size_t len);
	/* the peer's FIN came and all its bytes are taken: the stream is over, @h names nothing any more, our FIN
	 * follows by itself. May come while the owner still dials: nobody waits for that connection */
	void (*closed)(void *arg, handle h, void *ctx);
	/* put up to @cap (at least 1) bytes of the stream to @buf. Only after ssm_mux_ready(), inside ssm_mux_output().
	 * Return: bytes put; 0 none now: it is asked again after the next ssm_mux_ready() */
	size_t (*pull)(void *arg, handle h, void *ctx, uint8_t *buf, size_t cap);
	/* ssm_mux_input() would take now what it refused last with ST_EAGAIN; here it may be called, as the last thing.
	 * Comes at the end of the owner's ssm_mux_resume(), _close(), _accept_ok() or _accept_fail(), and of ssm_mux_output()
	 * when pull() called one of them */
	void (*unblocked)(void *arg);
};

struct ssm_mux_opts {
	enum ssm_role role;
	uint64_t now_us;
	uint32_t
		frame_max; /* bytes of data in a frame of ours; 0: SSM_MUX_FRAME_DATA; at most SSM_MUX_FRAME_MAX */
	uint32_t first_id; /* client role: odd; 0: 3 as the stock client */
	/* NOP frames and the time-out. Both ends must agree: an end that expects them kills one that sends none. Off
	 * unless the versions say on (5.4), and they keep the service's idle time-out from ever coming */
	bool keepalive;
	const struct ssm_mux_events
		*events; /* borrowed for life; all set but accept in the client role */
	void *arg;
};

struct ssm_mux;

/** ssm_mux_new() - Return: 0 and *@out; ST_ENOMEM; ST_EINVAL for options out of their bounds or a missing event */
int ssm_mux_new(struct ssm_mux **out, const struct ssm_mux_opts *opts) ST_MUST_USE;
/** ssm_mux_free() - the streams go without an event: ssm_mux_stream_next() walks them before. NULL is fine. */
void ssm_mux_free(struct ssm_mux *m);

/**
 * ssm_mux_input() - the next bytes from the peer; frames are split and joined freely over calls
 * @p: @len bytes, at most SSM_MUX_BUFFER_MAX
 * Return: 0, all of them are taken; ST_EAGAIN if @len is more than is left of SSM_MUX_BUFFER_MAX: none is taken, the
 * same bytes are due again after unblocked(); ST_EINVAL beyond SSM_MUX_BUFFER_MAX, none is taken. Else the mux is over:
 * ST_EPEER, ST_EFORMAT for a broken frame as ssm_mux_frame_decode(), ST_EPEER also for more than SSM_MUX_REFUSED_MAX
 * opens at once that had to be refused; ST_ENOMEM; ST_ETIMEOUT by ssm_mux_expire(). All later calls return the same.
 *
 * Frames that change nothing are counted: PSH and FIN for a stream that is not there or that FIN has ended (they cross
 * our own FIN on the wire); a SYN for a stream that is there, which the stock peers ignore too, or whose refusal has not left. A SYN with an even id or
 * 0, in the client role, beyond SSM_MUX_STREAMS_MAX or without memory is answered by FIN.
 */
int ssm_mux_input(struct ssm_mux *m, const uint8_t *p, size_t len, uint64_t now_us) ST_MUST_USE;

/**
 * ssm_mux_output() - whole frames for the peer: SYN, FIN and NOP first, then data of the ready streams in turn, a frame each
 * @buf: up to @cap bytes; below SSM_MUX_HDR_LEN + 1 nothing or no data is put
 * Return: bytes put; 0 if there is none now or the mux is over
 */
size_t ssm_mux_output(struct ssm_mux *m, uint8_t *buf, size_t cap, uint64_t now_us);
/** ssm_mux_has_output() - is ssm_mux_output() worth a call? A ready stream may turn out to have nothing */
bool ssm_mux_has_output(const struct ssm_mux *m);

/** ssm_mux_open() - client role: a new stream, usable at once (smux confirms nothing). Return: 0 and *@out; ST_EFULL at
 * SSM_MUX_STREAMS_MAX, or for ever once the 2^31 ids are used up; ST_ENOMEM; ST_EINVAL in the agent role; the code that
 * ended the mux */
int ssm_mux_open(struct ssm_mux *m, void *ctx, handle *out) ST_MUST_USE;
/** ssm_mux_accept_ok() - the dial has succeeded: what came meanwhile goes to data() inside this call. Return: 0;
 * ST_ENOENT if the stream has gone; ST_EINVAL if it is not being dialed; the code that ended the mux */
int ssm_mux_accept_ok(struct ssm_mux *m, handle h);
/** ssm_mux_accept_fail() - the dial has failed: FIN, and @h names nothing any more. Before it the owner sends flag 3
 * (ConnectToPortError) by ssm_chan_send_typed(), as the stock agent does; it names no stream. Return: as accept_ok */
int ssm_mux_accept_fail(struct ssm_mux *m, handle h);

/** ssm_mux_ready() - the stream has bytes for the peer: pull() is called when its turn comes. Kept until pull() gives 0.
 * No effect on a stream that is dialed, shut down or ended by the peer. */
void ssm_mux_ready(struct ssm_mux *m, handle h);
/**
 * ssm_mux_shutdown() - the owner has no more bytes for the peer, but still takes the peer's; pull() is not called any more
 * Agent role: FIN goes out; the peer's bytes still on their way come to data() until its own FIN, then closed(). The stock
 * client answers FIN by FIN. Client role: FIN is held back until the peer's FIN, because the stock agent would drop the
 * answer. So the target does not see this end of file: one that waits for it, waits until the owner calls
 * ssm_mux_close(), for which an owner has a timer (some seconds without data() after its shutdown). Only one role
 * holds back, so the two ends never wait for each other.
 */
void ssm_mux_shutdown(struct ssm_mux *m, handle h);
/** ssm_mux_close() - FIN now; bytes not yet taken are dropped and @h names nothing any more. Unknown handles are fine. */
void ssm_mux_close(struct ssm_mux *m, handle h);
/** ssm_mux_resume() - data() can take again after it took less than offered; called inside this call */
void ssm_mux_resume(struct ssm_mux *m, handle h);

/** ssm_mux_stream_id() - the id on the wire, for logs; 0 if @h names nothing */
uint32_t ssm_mux_stream_id(const struct ssm_mux *m, handle h);
/** ssm_mux_stream_buffered() - bytes that wait for the owner (or for its dial) */
size_t ssm_mux_stream_buffered(const struct ssm_mux *m, handle h);
/** ssm_mux_stream_next() - walks the owner's streams: *@pos starts at 0. Streams may be opened and closed between calls.
 * Return: false at the end, else *@h and *@ctx */
bool ssm_mux_stream_next(const struct ssm_mux *m, uint32_t *pos, handle *h, void **ctx);

/** ssm_mux_error() - Return: the ST_E* that ended the mux, 0 while it is not over; *@reason (may be NULL): a few of our
 * own words or "", valid as long as @m */
int ssm_mux_error(const struct ssm_mux *m, const char **reason);

/** ssm_mux_deadline() - when ssm_mux_expire() must be called; SSM_TIME_NEVER without keepalive or when over */
uint64_t ssm_mux_deadline(const struct ssm_mux *m);
/** ssm_mux_expire() - may make a NOP due. Return: 0; ST_ETIMEOUT: nothing came for SSM_MUX_TIMEOUT_US, the mux is over;
 * what ended it before. Input that we refuse is no silence. */
int ssm_mux_expire(struct ssm_mux *m, uint64_t now_us);
/** ssm_mux_keepalive_restart() - silence counts from now: the transport was down and is back */
void ssm_mux_keepalive_restart(struct ssm_mux *m, uint64_t now_us);

struct ssm_mux_stats {
	uint64_t frames_in, frames_out;
	uint64_t bytes_in, bytes_out;	    /* data for and of streams */
	uint64_t opened, refused;	    /* streams; SYNs answered by FIN */
	uint64_t ignored_syns;		    /* for a stream that is there or just refused */
	uint64_t stray_frames, stray_bytes; /* PSH and FIN for a stream that is not there */
	uint32_t streams;		    /* now, those whose FIN waits for output included */
	size_t buffered_bytes;		    /* now, of all streams */
};
void ssm_mux_stats(const struct ssm_mux *m, struct ssm_mux_stats *out);

#endif
