// SPDX-License-Identifier: MIT
/*
 * ssm_mux_in.c - bytes from the peer: frames, and their data to the owner
 *
 * Theory of operation: a header is gathered over as many calls as it takes; data is not gathered but
 * passed on as it comes, so a frame of 64 KiB costs no 64 KiB. A call is all or nothing: before it
 * starts, all of its bytes fit under SSM_MUX_BUFFER_MAX even if no owner takes one. So a message is
 * either acknowledged or untouched, and no position inside it need be kept over a refusal.
 *
 * Memory: a stream's buffer holds at most four times the bytes in it, or 4 KiB. Without that limit a
 * peer could fill stream after stream, and let each owner leave its last byte in a block of megabytes.
 */
#include "proto/ssm_mux_internal.h"

#include <assert.h>
#include <string.h>

#include "base/err.h"

#define TRIM_MIN KIB(4) /* ours: blocks up to it are not worth a copy */

/* Offers bytes to the owner. Return: @s, *@taken; NULL if it was closed meanwhile */
static struct mux_stream *offer(struct ssm_mux *m, struct mux_stream *s, const uint8_t *p,
				size_t len, size_t *taken)
{
	const handle h = s->h;

	s->offering = true;
	*taken = m->events->data(m->arg, h, s->ctx, p, len);
	ST_ASSERT(*taken <= len);
	s = hnd_get(&m->streams, h);
	if (s)
		s->offering = false;
	return s;
}

/* The stream has given all that it had, and its peer will send no more. */
static void over(struct ssm_mux *m, struct mux_stream *s)
{
	const handle h = s->h;
	void *ctx = s->ctx;

	ssm_mux_detach(m, s);
	m->events->closed(m->arg, h, ctx);
}

static void keep(struct ssm_mux *m, struct mux_stream *s, const uint8_t *p, size_t len)
{
	if (buf_put(&s->in, p, len) < 0) {
		ssm_mux_end(m, ST_ENOMEM, "no memory for the bytes of a stream");
		return;
	}
	m->buffered += len;
}

/* Moves what is left to a smaller block; without memory for one it stays where it is. */
static void trim(struct buf *b)
{
	struct buf smaller;

	if (b->cap <= TRIM_MIN || b->len > b->cap / 4)
		return;
	buf_init(&smaller, b->max);
	if (buf_put(&smaller, buf_data(b), b->len) < 0)
		return;
	buf_fini(b);
	*b = smaller;
}

void ssm_mux_drain(struct ssm_mux *m, struct mux_stream *s)
{
	size_t taken = 0;

	if (s->in.len > 0) {
		s = offer(m, s, buf_data(&s->in), s->in.len, &taken);
		if (!s)
			return;
		buf_consume(&s->in, taken);
		trim(&s->in);
		m->buffered -= taken;
	}
	ssm_mux_set_rx(s, s->in.len > 0 ? MUX_RX_STALLED : MUX_RX_FLOW);
	if (s->in.len == 0 && s->fin_in)
		over(m, s);
}

/* Data of the current PSH. */
static void body(struct ssm_mux *m, const uint8_t *p, size_t len)
{
	struct mux_stream *s = hnd_get(&m->streams, m->body_to);
	size_t taken = 0;

	if (!s) {
		m->stats.stray_bytes += len;
		return;
	}
	m->stats.bytes_in += len;
	if (s->rx == MUX_RX_FLOW) {
		s = offer(m, s, p, len, &taken);
		if (!s || taken == len)
			return;
		ssm_mux_set_rx(s, MUX_RX_STALLED);
	}
	keep(m, s, p + taken, len - taken);
}

/* The stream that a frame of the peer is for; NULL, counted, if it can't be for one. */
static struct mux_stream *target(struct ssm_mux *m, uint32_t id)
{
	struct mux_stream *s = ssm_mux_find(m, id);

	if (s && !s->syn_due && !s->fin_in && s->rx != MUX_RX_OVER)
		return s;
	m->stats.stray_frames++;
	return NULL;
}

static void frame_syn(struct ssm_mux *m, const struct ssm_mux_frame *f)
{
	struct mux_stream *s;
	void *ctx;
	handle h;
	int r;

	/* an id that is tried again before its FIN has left: that FIN would end the new stream */
	if (ssm_mux_find(m, f->id) || ssm_mux_is_refused(m, f->id)) {
		m->stats.ignored_syns++;
		return;
	}
	if (m->role != SSM_ROLE_AGENT || f->id % 2 == 0 ||
	    !(s = ssm_mux_stream_new(m, f->id, &r))) {
		ssm_mux_refuse(m, f->id);
		return;
	}
	h = s->h;
	ctx = m->events->accept(m->arg, h, f->id);
	s = hnd_get(&m->streams, h);
	if (s)
		s->ctx = ctx;
}

static void frame_fin(struct ssm_mux *m, const struct ssm_mux_frame *f)
{
	struct mux_stream *s = target(m, f->id);

	if (!s)
		return;
	s->fin_in = true;
	list_del(&s->ready);
	if (s->tx == MUX_TX_HELD || s->tx == MUX_TX_OPEN)
		ssm_mux_set_tx(s, MUX_TX_SHUT);
	if (s->in.len == 0)
		over(m, s);
}

static void frame_psh(struct ssm_mux *m, const struct ssm_mux_frame *f)
{
	const struct mux_stream *s = target(m, f->id);

	m->body_left = f->len;
	m->body_to = s ? s->h : 0;
}

static void frame_nop(struct ssm_mux *m, const struct ssm_mux_frame *f)
{
	(void)m;
	(void)f;
}

static void (*const frames[])(struct ssm_mux *m, const struct ssm_mux_frame *f) = {
	[SSM_MUX_SYN] = frame_syn,
	[SSM_MUX_FIN] = frame_fin,
	[SSM_MUX_PSH] = frame_psh,
	[SSM_MUX_NOP] = frame_nop,
};
static_assert(ARRAY_LEN(frames) == SSM_MUX_CMD_N, "frames[] and enum ssm_mux_cmd differ");

static void header(struct ssm_mux *m)
{
	struct ssm_mux_frame f;
	int r = ssm_mux_frame_decode(&f, m->hdr, sizeof(m->hdr));

	if (r < 0) {
		ssm_mux_end(m, r, "no smux frame: version %u, command %u, length %u", m->hdr[0],
			    m->hdr[1], m->hdr[2] | (unsigned)m->hdr[3] << 8);
		return;
	}
	m->stats.frames_in++;
	frames[f.cmd](m, &f);
}

/* Return: how many of the @len bytes were used, at least one */
static size_t step(struct ssm_mux *m, const uint8_t *p, size_t len)
{
	size_t n;

	if (m->body_left > 0) {
		n = MIN(len, m->body_left);
		m->body_left -= n;
		body(m, p, n);
		return n;
	}
	n = MIN(len, sizeof(m->hdr) - m->hdr_len);
	memcpy(m->hdr + m->hdr_len, p, n);
	m->hdr_len += n;
	if (m->hdr_len == sizeof(m->hdr)) {
		m->hdr_len = 0;
		header(m);
	}
	return n;
}

int ssm_mux_input(struct ssm_mux *m, const uint8_t *p, size_t len, uint64_t now_us)
{
	ST_ASSERT(m->depth == 0);
	if (m->err < 0)
		return m->err;
	if (len > SSM_MUX_BUFFER_MAX)
		return ST_EINVAL;
	ssm_mux_now(m, now_us);
	m->last_in_us = m->now_us;
	m->blocked = len > SSM_MUX_BUFFER_MAX - m->buffered;
	m->blocked_len = len;
	if (m->blocked)
		return ST_EAGAIN;
	ssm_mux_enter(m);
	while (len > 0 && m->err == 0) {
		size_t n = step(m, p, len);

		p += n;
		len -= n;
	}
	ssm_mux_leave(m);
	return m->err;
}
