// SPDX-License-Identifier: MIT
/*
 * ssm_mux_out.c - frames for the peer
 *
 * Theory of operation: frames are made when the channel has room, not before; the owner's bytes are read
 * straight into them, so a byte that can't be sent stays in the kernel's socket buffer, where TCP sees
 * it. SYN, FIN and NOP go first, they open and end connections and cost 8 bytes; a SYN thereby
 * precedes its data, and a FIN can't overtake any, since no data waits here. Then the ready streams in
 * turn, one frame each, until the room is used.
 *
 * Frame size: the wire permits 64 KiB and the stock peers send up to 32 KiB. An echo waits for one frame of
 * every bulk stream: at the 0.65 MB/s of a stock session 32 KiB are 50 ms each, 4 KiB are 6 ms. A
 * frame of 4096 bytes with its header fills four messages of 1024 bytes exactly, which matters where
 * messages a second are limited, and its header costs 0.2 %. Where the service lets messages be larger the owner
 * may choose larger frames (opts.frame_max).
 */
#include "proto/ssm_mux_internal.h"

#include "base/err.h"

void ssm_mux_refuse(struct ssm_mux *m, uint32_t id)
{
	m->stats.refused++;
	if (m->refused_n == SSM_MUX_REFUSED_MAX) {
		ssm_mux_end(m, ST_EPEER, "%u refused streams wait for their FIN", m->refused_n);
		return;
	}
	m->refused[(m->refused_head + m->refused_n++) % SSM_MUX_REFUSED_MAX] = id;
}

bool ssm_mux_is_refused(const struct ssm_mux *m, uint32_t id)
{
	for (uint32_t i = 0; i < m->refused_n; i++) {
		if (m->refused[(m->refused_head + i) % SSM_MUX_REFUSED_MAX] == id)
			return true;
	}
	return false;
}

void ssm_mux_fin_due(struct ssm_mux *m, struct mux_stream *s)
{
	list_del(&s->ready);
	if (s->tx == MUX_TX_FIN)
		return;
	ssm_mux_set_tx(s, MUX_TX_FIN);
	list_push_back(&m->ctl, &s->ctl);
}

static size_t frame_put(struct ssm_mux *m, uint8_t *buf, enum ssm_mux_cmd cmd, uint32_t id,
			size_t len)
{
	const struct ssm_mux_frame f = { .cmd = cmd, .len = (uint16_t)len, .id = id };

	ssm_mux_frame_encode(buf, &f);
	m->stats.frames_out++;
	m->stats.bytes_out += len;
	return SSM_MUX_HDR_LEN + len;
}

/* SYN or FIN of a stream of ours; both never, since one that ends before its SYN leaves just goes. */
static size_t stream_put(struct ssm_mux *m, struct mux_stream *s, uint8_t *buf)
{
	const uint32_t id = s->id;

	if (s->syn_due) {
		s->syn_due = false;
		return frame_put(m, buf, SSM_MUX_SYN, id, 0);
	}
	ssm_mux_set_tx(s, MUX_TX_DONE);
	if (s->rx == MUX_RX_OVER)
		ssm_mux_stream_free(m, s);
	return frame_put(m, buf, SSM_MUX_FIN, id, 0);
}

/* Return: bytes of the next frame without data; 0 if none is due */
static size_t control_put(struct ssm_mux *m, uint8_t *buf)
{
	struct list_node *node;
	uint32_t id;

	/* before our own SYNs: the next one may have the id that the peer took */
	if (m->refused_n > 0) {
		id = m->refused[m->refused_head];
		m->refused_head = (m->refused_head + 1) % SSM_MUX_REFUSED_MAX;
		m->refused_n--;
		return frame_put(m, buf, SSM_MUX_FIN, id, 0);
	}
	node = list_pop_front(&m->ctl);
	if (node)
		return stream_put(m, container_of(node, struct mux_stream, ctl), buf);
	if (!m->nop_due)
		return 0;
	m->nop_due = false;
	return frame_put(m, buf, SSM_MUX_NOP, 0, 0);
}

/* Asks the next ready stream. Return: bytes of its frame; 0 if it had nothing: it is not ready any more */
static size_t data_put(struct ssm_mux *m, uint8_t *buf, size_t cap)
{
	struct mux_stream *s = container_of(list_pop_front(&m->ready), struct mux_stream, ready);
	const size_t room = MIN(cap - SSM_MUX_HDR_LEN, m->frame_max);
	const uint32_t id = s->id;
	const handle h = s->h;
	size_t n = m->events->pull(m->arg, h, s->ctx, buf + SSM_MUX_HDR_LEN, room);

	ST_ASSERT(n <= room);
	s = hnd_get(&m->streams, h);
	if (n == 0) {
		if (s)
			list_del(&s->ready); /* it may have said ready from inside */
		return 0;
	}
	ssm_mux_ready(m, h);
	return frame_put(m, buf, SSM_MUX_PSH, id, n);
}

size_t ssm_mux_output(struct ssm_mux *m, uint8_t *buf, size_t cap, uint64_t now_us)
{
	size_t n = 0;

	ST_ASSERT(m->depth == 0);
	ssm_mux_now(m, now_us);
	if (m->err < 0)
		return 0;
	ssm_mux_enter(m);
	while (cap - n >= SSM_MUX_HDR_LEN) {
		size_t len = control_put(m, buf + n);

		if (len == 0) {
			if (list_empty(&m->ready) || cap - n == SSM_MUX_HDR_LEN)
				break;
			len = data_put(m, buf + n, cap - n);
		}
		n += len;
	}
	if (n > 0)
		m->last_out_us = m->now_us;
	ssm_mux_leave(m);
	return n;
}

bool ssm_mux_has_output(const struct ssm_mux *m)
{
	if (m->err < 0)
		return false;
	return m->nop_due || m->refused_n > 0 || !list_empty(&m->ctl) || !list_empty(&m->ready);
}
