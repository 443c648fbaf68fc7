// SPDX-License-Identifier: MIT
/*
 * ag_mux.c - a forwarding session with many connections (ssm-protocol 6.4)
 *
 * Theory of operation: ssm_mux splits the session's bytes into streams; each is a TCP connection to the session's
 * target. It is made at the client's first byte, so that nothing reaches a stock client that is not set up yet. Dials run
 * side by side. What a target's socket does not take stays in ssm_mux, which refuses input at its limit; sockets are
 * read by pull(), straight into frames, while the channel has little waiting. A socket that is readable is not watched
 * until pull() has emptied it. A refused dial is told by flag 3 and FIN. Streams are marked dead in callbacks and freed by a
 * reaper.
 */
#include "gateway/ag_session_internal.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "proto/ssm_mux.h"

#define QUEUED_MAX                                                                                 \
	KIB(64) /* ours: bytes of the channel's queue, which a quick stream has before it */
#define LINGER_MS 30000U /* ours: for the client's FIN after the target's end of file */
#define PACE_CHUNK 1024U /* --pace stock; ssm-protocol 10 */
#define PACE_MS 1U

struct stream {
	struct ag_mux *m;
	struct list_node node; /* in live, then in dead */
	bool dead;
	handle h;
	uint32_t id;
	struct ag_connect dial;
	int fd; /* -1: being dialed, or over */
	loop_watch watch;
	uint32_t watched;
	bool ready;   /* ssm_mux will pull */
	bool blocked; /* the socket took less than offered */
	bool shut;    /* end of file was read */
	struct loop_timer linger;
};

struct ag_mux {
	struct ag_session *s;
	struct ssm_mux *mux;
	struct list live, dead;
	struct loop_task reap;
	struct loop_timer due;
};

/* ---- streams ---- */

static void stream_steer(struct stream *st)
{
	uint32_t want = (st->ready || st->shut ? 0U : EPOLLIN) | (st->blocked ? EPOLLOUT : 0U);

	if (st->fd >= 0 && want != st->watched &&
	    loop_fd_mod(ags_loop(st->m->s), st->watch, want) == 0)
		st->watched = want;
}

static void stream_end(struct stream *st, const char *why)
{
	struct loop *loop = ags_loop(st->m->s);

	if (st->dead)
		return;
	log_debug("session %s: stream %u: closed: %s", st->m->s->id, st->id, why);
	st->dead = true;
	st->m->s->all->ag->streams--;
	ag_connect_stop(&st->dial);
	loop_fd_del(loop, &st->watch);
	loop_timer_cancel(loop, &st->linger);
	if (st->fd >= 0)
		close(st->fd);
	st->fd = -1;
	list_del(&st->node);
	list_push_back(&st->m->dead, &st->node);
	loop_task_post(loop, &st->m->reap);
}

/* Our own end: the mux says FIN. */
static void stream_abort(struct stream *st, const char *why)
{
	if (st->dead)
		return;
	ssm_mux_close(st->m->mux, st->h);
	stream_end(st, why);
}

static void on_linger(void *arg, uint64_t now_ms)
{
	struct stream *st = arg;

	(void)now_ms;
	stream_abort(st, "the client did not answer its end");
	ags_flush_later(st->m->s);
}

static void refuse(struct ag_mux *m, handle h, uint32_t id, const char *why)
{
	struct ag_session *s = m->s;

	log_debug("session %s: stream %u: not connected: %s", s->id, id, why);
	if (ssm_chan_send_flag(s->chan, SSM_FLAG_CONNECT_ERROR, ags_now_us(s)) < 0)
		log_debug("session %s: stream %u: no room for flag 3", s->id, id);
	ssm_mux_accept_fail(m->mux, h);
	ags_flush_later(s);
}

static void stream_refused(struct stream *st, const char *why)
{
	refuse(st->m, st->h, st->id, why);
	stream_end(st, "refused");
}

/* ---- its socket ---- */

/* A hang-up can't be asked off: what is left is read by pull(), which finds the error. */
static void socket_unwatch(struct stream *st)
{
	loop_fd_del(ags_loop(st->m->s), &st->watch);
	st->watched = 0;
	if (st->shut)
		stream_abort(st, "reset by the target");
}

static void on_socket(void *arg, uint32_t events, uint64_t now_ms)
{
	struct stream *st = arg;
	struct ag_session *s = st->m->s;

	(void)now_ms;
	if (st->dead)
		return;
	if (events & (EPOLLERR | EPOLLHUP))
		socket_unwatch(st);
	if (st->blocked && !st->dead) {
		st->blocked = false;
		ssm_mux_resume(st->m->mux, st->h);
	}
	if (!st->dead && !st->ready && !st->shut && (events & ~(uint32_t)EPOLLOUT)) {
		st->ready = true;
		ssm_mux_ready(st->m->mux, st->h);
	}
	if (!st->dead)
		stream_steer(st);
	ags_flush_later(s);
}

static void on_dialed(void *arg, int fd, int err)
{
	struct stream *st = arg;
	struct ag_session *s = st->m->s;

	if (err) {
		stream_refused(st, strerror(err));
		return;
	}
	if (loop_fd_add(ags_loop(s), &st->watch, fd, EPOLLIN, on_socket, st) < 0) {
		close(fd);
		stream_refused(st, "too many connections");
		return;
	}
	st->fd = fd;
	st->watched = EPOLLIN;
	log_debug("session %s: stream %u: connected", s->id, st->id);
	ssm_mux_accept_ok(st->m->mux, st->h);
	if (!st->dead)
		stream_steer(st);
	ags_flush_later(s);
}

/* ---- what the mux tells ---- */

static void *mux_accept(void *arg, handle h, uint32_t id)
{
	struct ag_mux *m = arg;
	struct ag_session *s = m->s;
	struct ag *ag = s->all->ag;
	struct stream *st = NULL;

	if (ag->streams >= ag->streams_max || !(st = calloc(1, sizeof(*st)))) {
		refuse(m, h, id, "too many connections");
		return NULL;
	}
	ag->streams++;
	st->m = m;
	st->h = h;
	st->id = id;
	st->fd = -1;
	loop_timer_init(&st->linger, on_linger, st);
	list_push_back(&m->live, &st->node);
	ag_connect_init(&st->dial, ags_loop(s), &ag->lookups, on_dialed, st);
	ag_connect_start(&st->dial, s->target.host, s->target.port);
	return st;
}

static size_t mux_data(void *arg, handle h, void *ctx, const uint8_t *p, size_t len)
{
	struct stream *st = ctx;
	ssize_t n = send(st->fd, p, len, MSG_NOSIGNAL | MSG_DONTWAIT);

	(void)arg;
	(void)h;
	if (n < 0 && errno != EAGAIN && errno != EINTR) {
		stream_abort(st, strerror(errno));
		return len;
	}
	if (n < (ssize_t)len) {
		st->blocked = true;
		stream_steer(st);
	}
	return n > 0 ? (size_t)n : 0;
}

static void mux_closed(void *arg, handle h, void *ctx)
{
	(void)arg;
	(void)h;
	stream_end(ctx, "by the client");
}

static size_t mux_pull(void *arg, handle h, void *ctx, uint8_t *buf, size_t cap)
{
	struct stream *st = ctx;
	const int one = 1;
	ssize_t n = recv(st->fd, buf, cap, MSG_DONTWAIT);

	(void)arg;
	if (n > 0) { /* as in ag_tcp.c: a target with Nagle on waits for this acknowledgement */
		setsockopt(st->fd, IPPROTO_TCP, TCP_QUICKACK, &one, sizeof(one));
		return (size_t)n;
	}
	st->ready = false;
	if (n < 0 && errno != EAGAIN && errno != EINTR) {
		stream_abort(st, strerror(errno));
		return 0;
	}
	if (n == 0) {
		st->shut = true;
		ssm_mux_shutdown(st->m->mux, h);
		ags_timer_set(st->m->s, &st->linger, LINGER_MS);
	}
	stream_steer(st);
	return 0;
}

static void mux_unblocked(void *arg)
{
	struct ag_mux *m = arg;

	ssm_chan_resume_input(m->s->chan, ags_now_us(m->s));
}

static const struct ssm_mux_events mux_events = {
	.accept = mux_accept,
	.data = mux_data,
	.closed = mux_closed,
	.pull = mux_pull,
	.unblocked = mux_unblocked,
};

/* ---- the session's mode ---- */

static void on_reap(void *arg, uint64_t now_ms)
{
	struct ag_mux *m = arg;
	struct list_node *n;

	(void)now_ms;
	while ((n = list_pop_front(&m->dead)))
		free(container_of(n, struct stream, node));
}

/* Keepalive frames are due, or the client's have not come. */
static void on_due(void *arg, uint64_t now_ms)
{
	struct ag_mux *m = arg;

	(void)now_ms;
	if (ssm_mux_expire(m->mux, ags_now_us(m->s)) < 0)
		ags_end(m->s, "Failed", "the client sent no keepalive");
	else
		ags_flush_later(m->s);
}

static int mux_make(struct ag_session *s)
{
	struct ag_mux *m = calloc(1, sizeof(*m));
	struct ssm_mux_opts opts = {
		.role = SSM_ROLE_AGENT,
		.now_us = ags_now_us(s),
		.events = &mux_events,
		.arg = m,
	};
	struct ssm_peer peer;
	int r;

	if (!m)
		return ST_ENOMEM;
	ssm_chan_peer(s->chan, &peer);
	opts.keepalive = peer.mux_keepalive;
	m->s = s;
	list_init(&m->live);
	list_init(&m->dead);
	loop_task_init(&m->reap, LOOP_REAP, on_reap, m);
	loop_timer_init(&m->due, on_due, m);
	if ((r = ssm_mux_new(&m->mux, &opts)) < 0) {
		free(m);
		return r;
	}
	s->mux = m;
	return 0;
}

static int mode_data(struct ag_session *s, const uint8_t *p, size_t len)
{
	const char *reason;
	int r;

	if (!s->mux && (r = mux_make(s)) < 0)
		return r;
	r = ssm_mux_input(s->mux->mux, p, len, ags_now_us(s));
	if (r < 0 && r != ST_EAGAIN && s->state != AGS_OVER && ssm_mux_error(s->mux->mux, &reason))
		log_info("session %s: the client's frames: %s", s->id, reason);
	return r;
}

/* Room for the next frames: little enough that a quick stream does not wait for a bulk one. */
static size_t mode_room(const struct ag_session *s)
{
	struct ssm_chan_stats st;
	size_t room;

	ssm_chan_stats(s->chan, &st);
	if (s->paced || st.queued_bytes >= QUEUED_MAX)
		return 0;
	room = MIN(ssm_chan_room(s->chan), QUEUED_MAX - st.queued_bytes);
	if (s->all->ag->opts->stock_pace)
		room = MIN(room, PACE_CHUNK);
	return MIN(room, sizeof(s->all->scratch));
}

static bool mode_fill(struct ag_session *s)
{
	size_t n, room = mode_room(s);

	if (!s->mux || !room || !ssm_mux_has_output(s->mux->mux))
		return false;
	n = ssm_mux_output(s->mux->mux, s->all->scratch, room, ags_now_us(s));
	if (!n)
		return false;
	if (ssm_chan_send(s->chan, s->all->scratch, n, ags_now_us(s)) < n) {
		ags_end(s, "Failed", "out of memory");
		return false;
	}
	if (s->all->ag->opts->stock_pace) {
		s->paced = true;
		ags_timer_set(s, &s->pace, PACE_MS);
	}
	return true;
}

static void mode_steer(struct ag_session *s)
{
	uint64_t at = s->mux ? ssm_mux_deadline(s->mux->mux) : SSM_TIME_NEVER;

	if (!s->mux)
		return;
	if (at == SSM_TIME_NEVER)
		loop_timer_cancel(ags_loop(s), &s->mux->due);
	else if (loop_timer_set(ags_loop(s), &s->mux->due, at / 1000 + 1) < 0)
		log_error("session %s: no memory for a timer", s->id);
}

static void mode_transport_up(struct ag_session *s)
{
	if (s->mux)
		ssm_mux_keepalive_restart(s->mux->mux, ags_now_us(s));
}

/* Multiplexing clients close streams by FIN and sessions by flag 2. */
static int mode_disconnect(struct ag_session *s)
{
	log_debug("session %s: flag 1 means nothing here", s->id);
	return 0;
}

static void mode_close(struct ag_session *s)
{
	struct ag_mux *m = s->mux;

	if (!m)
		return;
	list_for_each (n, &m->live)
		stream_end(container_of(n, struct stream, node), "with the session");
	loop_timer_cancel(ags_loop(s), &m->due);
}

static void mode_free(struct ag_session *s)
{
	struct ag_mux *m = s->mux;

	if (!m)
		return;
	loop_task_cancel(&m->reap);
	on_reap(m, 0);
	ssm_mux_free(m->mux);
	free(m);
	s->mux = NULL;
}

const struct ag_mode ag_mode_mux = {
	.name = "mux",
	.data = mode_data,
	.disconnect = mode_disconnect,
	.fill = mode_fill,
	.steer = mode_steer,
	.transport_up = mode_transport_up,
	.close = mode_close,
	.free = mode_free,
};
