// SPDX-License-Identifier: MIT
/*
 * ag_tcp.c - the one TCP connection of a session that does not multiplex
 *
 * Theory of operation: read only while ssm_chan has room, and with --pace stock one chunk, then a
 * pause. What the socket does not take waits in to_tcp; when that is full the bytes are refused, so
 * that they stay unacknowledged, and asked for again at half. Its end is told to the session's mode: an SSH session
 * (ag_mode_ssh, here) dials its port of this machine at once, and flushes and ends at end of file.
 */
#include "gateway/ag_session_internal.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"

#define CONNECT_MS 10000U /* ours: a port of this machine */
#define FLUSH_MS 2000U	  /* ssm-protocol 7.3 */
#define PACE_CHUNK 1024U  /* --pace stock; ssm-protocol 10 */
#define PACE_MS 1U

void ag_tcp_close(struct ag_session *s)
{
	loop_fd_del(ags_loop(s), &s->watch);
	if (s->fd >= 0)
		close(s->fd);
	s->fd = -1;
	s->connected = false;
}

/* Asks for exactly those events that we could use now. */
void ag_tcp_steer(struct ag_session *s)
{
	uint32_t want = 0;

	if (s->fd < 0)
		return;
	if (!s->connected || s->to_tcp.len)
		want |= EPOLLOUT;
	if (s->connected && s->state == AGS_LIVE && !s->paced && ssm_chan_room(s->chan))
		want |= EPOLLIN;
	if (want != s->watched && loop_fd_mod(ags_loop(s), s->watch, want) == 0)
		s->watched = want;
}

void ag_tcp_failed(struct ag_session *s, int err)
{
	char text[sizeof(s->target.host) + 128];

	char where[sizeof(s->target.host) + 16];

	if (strcmp(s->target.host, "localhost") == 0)
		snprintf(where, sizeof(where), "port %u", s->target.port);
	else
		snprintf(where, sizeof(where), "%s:%u", s->target.host, s->target.port);
	if (err == ECONNREFUSED)
		snprintf(text, sizeof(text), "connection to %s refused%s", where,
			 s->mode == &ag_mode_ssh ? ": is sshd running?" : "");
	else
		snprintf(text, sizeof(text), "connection to %s: %s", where, strerror(err));
	ags_end(s, "Failed", text);
}

static int tcp_write(struct ag_session *s, const uint8_t *p, size_t len, size_t *taken)
{
	ssize_t n = send(s->fd, p, len, MSG_NOSIGNAL | MSG_DONTWAIT);

	*taken = n > 0 ? (size_t)n : 0;
	return n >= 0 || errno == EAGAIN || errno == EINTR ? 0 : errno;
}

static void input_resume(struct ag_session *s)
{
	if (!s->input_held)
		return;
	s->input_held = false;
	ssm_chan_resume_input(s->chan, ags_now_us(s));
}

static void tcp_write_waiting(struct ag_session *s)
{
	size_t taken = 1;
	int err = 0;

	while (s->to_tcp.len && taken && !err) {
		err = tcp_write(s, buf_data(&s->to_tcp), s->to_tcp.len, &taken);
		buf_consume(&s->to_tcp, taken);
	}
	if (err) {
		s->mode->gone(s, err);
		return;
	}
	if (s->to_tcp.len <= AGS_TO_TCP_MAX / 2)
		input_resume(s);
}

static void tcp_read(struct ag_session *s)
{
	size_t max = MIN(ssm_chan_room(s->chan), sizeof(s->all->scratch));
	ssize_t n;

	if (s->all->ag->opts->stock_pace)
		max = MIN(max, PACE_CHUNK);
	if (!max)
		return;
	n = recv(s->fd, s->all->scratch, max, MSG_DONTWAIT);
	if (n > 0) {
		const int one = 1;

		/* sshd leaves Nagle on: its next small packet waits for this one's acknowledgement, which Linux would delay
		 * by 40 ms. The option lasts for one read. */
		setsockopt(s->fd, IPPROTO_TCP, TCP_QUICKACK, &one, sizeof(one));
		ssm_chan_send(s->chan, s->all->scratch, (size_t)n, ags_now_us(s));
		if (s->all->ag->opts->stock_pace) {
			s->paced = true;
			ags_timer_set(s, &s->pace, PACE_MS);
		}
	} else if (n == 0) {
		s->mode->gone(s, 0);
	} else if (errno != EAGAIN && errno != EINTR) {
		s->mode->gone(s, errno);
	}
}

static void tcp_connected(struct ag_session *s)
{
	int err = 0;
	socklen_t len = sizeof(err);

	if (getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &err, &len) < 0)
		err = errno;
	if (err) {
		ag_tcp_failed(s, err);
		return;
	}
	s->connected = true;
	loop_timer_cancel(ags_loop(s), &s->limit);
	log_debug("session %s: connected to port %u", s->id, s->target.port);
	input_resume(s);
}

static void on_tcp(void *arg, uint32_t events, uint64_t now_ms)
{
	struct ag_session *s = arg;

	(void)now_ms;
	if (s->state == AGS_OVER)
		return;
	if (!s->connected)
		tcp_connected(s);
	else if (events & EPOLLOUT)
		tcp_write_waiting(s);
	if (s->state == AGS_FLUSHING && (events & (EPOLLHUP | EPOLLERR)))
		ag_tcp_close(s); /* gone both ways: it would wake us until all is acknowledged */
	if (s->state == AGS_LIVE && s->connected && (events & (EPOLLIN | EPOLLHUP | EPOLLERR))) {
		if (!ssm_chan_room(s->chan) && !(events & EPOLLIN)) {
			s->mode->gone(s, ECONNRESET); /* a hang-up that can't be asked off */
			return;
		}
		tcp_read(s);
	}
	if (s->state != AGS_OVER)
		ags_flush_later(s);
}

int ag_tcp_dial(struct ag_session *s)
{
	struct sockaddr_in sa = { .sin_family = AF_INET,
				  .sin_port = htons(s->target.port),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int one = 1, r;

	s->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (s->fd < 0)
		return log_sys("socket");
	setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (connect(s->fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 && errno != EINPROGRESS)
		return errno == ECONNREFUSED ? ST_EREFUSED
					     : log_sys("connect to port %u", s->target.port);
	s->watched = EPOLLOUT;
	if ((r = loop_fd_add(ags_loop(s), &s->watch, s->fd, EPOLLOUT, on_tcp, s)) < 0)
		return r;
	ags_timer_set(s, &s->limit, CONNECT_MS);
	return 0;
}

int ag_tcp_adopt(struct ag_session *s, int fd)
{
	int r;

	s->watched = EPOLLIN;
	if ((r = loop_fd_add(ags_loop(s), &s->watch, fd, EPOLLIN, on_tcp, s)) < 0) {
		close(fd);
		return r;
	}
	s->fd = fd;
	s->connected = true;
	input_resume(s);
	return 0;
}

int ag_tcp_data(struct ag_session *s, const uint8_t *p, size_t len)
{
	size_t taken = 0;
	int err;

	if (s->fd < 0)
		return 0; /* the port has gone: nobody takes it */
	if (!s->connected || len > buf_room(&s->to_tcp)) {
		s->input_held = true;
		return ST_EAGAIN;
	}
	if (!s->to_tcp.len && (err = tcp_write(s, p, len, &taken))) {
		s->mode->gone(s, err);
		return 0;
	}
	if (taken < len && buf_put(&s->to_tcp, p + taken, len - taken) < 0)
		ags_end(s, "Failed", "out of memory");
	return 0;
}

void ag_tcp_on_limit(void *arg, uint64_t now_ms)
{
	struct ag_session *s = arg;

	(void)now_ms;
	if (s->state == AGS_FLUSHING)
		ags_end(s, "Success", "");
	else if (s->state == AGS_LIVE && !s->connected)
		ag_tcp_failed(s, ETIMEDOUT);
}

void ag_tcp_on_pace(void *arg, uint64_t now_ms)
{
	struct ag_session *s = arg;

	(void)now_ms;
	s->paced = false;
	ags_flush_later(s);
}

/* ---- an SSH session ---- */

static void ssh_gone(struct ag_session *s, int err)
{
	if (err) {
		ag_tcp_failed(s, err);
		return;
	}
	ags_set_state(s, AGS_FLUSHING, "end of file");
	ags_timer_set(s, &s->limit, FLUSH_MS);
}

/* ssm-protocol 6.3: it ends an SSH session */
static int ssh_disconnect(struct ag_session *s)
{
	ags_end(s, "Success", "");
	return 0;
}

const struct ag_mode ag_mode_ssh = {
	.name = "ssh",
	.begin = ag_tcp_dial,
	.data = ag_tcp_data,
	.disconnect = ssh_disconnect,
	.gone = ssh_gone,
	.steer = ag_tcp_steer,
	.close = ag_tcp_close,
};
