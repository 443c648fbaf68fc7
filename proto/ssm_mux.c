// SPDX-License-Identifier: MIT
/*
 * ssm_mux.c - streams of a multiplexed port session: opening, ending, time
 *
 * Theory of operation: the mux stores no bytes on the way out (pull() writes into the frame, when the
 * channel has room) and as few as possible on the way in (data() reads from the message). What the
 * owner does not take is kept per stream and counted for all of them: version 1 gives no credit to a
 * single stream, so at SSM_MUX_BUFFER_MAX input stops as a whole, a message at a time, and nothing is
 * acknowledged until an owner has moved.
 *
 * States: the two directions of a stream are two small machines, enum mux_rx and enum mux_tx.
 *
 *	in	held ----> flow <--> stalled		any -> over: closed() told, or the owner closed
 *		  dialed	took less / resumed
 *	out	held ----> open ----> shut ----> fin ----> done
 *		  dialed	|		  ^  output
 *				+-----------------+
 *
 * The owner's shutdown() takes "out" to shut in the client role and to fin in the agent role; the
 * peer's FIN takes it to shut. When "in" is over, by the peer's FIN after the last kept byte or by the
 * owner's close(), fin follows unless it was before. An owner knows a stream by its handle, which dies
 * with "in"; the stream itself lives until its FIN has left, and counts toward the limit until then: so
 * neither a peer that opens nor an owner that opens and closes while nothing can be sent grows
 * anything without bound. FINs for opens that we refuse need no stream, only their id in a ring; it
 * overflows only for a peer that opens 1,024 streams too many and takes none of our bytes: that ends the mux.
 *
 * Callbacks may close the very stream they are for: after each one the handle is looked up again.
 */
#include "proto/ssm_mux_internal.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"

#define FIRST_ID 3U /* 6.4 */

static const uint32_t rx_next[] = {
	[MUX_RX_HELD] = BIT(MUX_RX_FLOW) | BIT(MUX_RX_STALLED) | BIT(MUX_RX_OVER),
	[MUX_RX_FLOW] = BIT(MUX_RX_STALLED) | BIT(MUX_RX_OVER),
	[MUX_RX_STALLED] = BIT(MUX_RX_FLOW) | BIT(MUX_RX_STALLED) | BIT(MUX_RX_OVER),
	[MUX_RX_OVER] = 0,
};
static_assert(ARRAY_LEN(rx_next) == MUX_RX_N, "rx_next[] and enum mux_rx differ");

static const uint32_t tx_next[] = {
	[MUX_TX_HELD] = BIT(MUX_TX_OPEN) | BIT(MUX_TX_SHUT) | BIT(MUX_TX_FIN),
	[MUX_TX_OPEN] = BIT(MUX_TX_SHUT) | BIT(MUX_TX_FIN),
	[MUX_TX_SHUT] = BIT(MUX_TX_FIN),
	[MUX_TX_FIN] = BIT(MUX_TX_DONE),
	[MUX_TX_DONE] = 0,
};
static_assert(ARRAY_LEN(tx_next) == MUX_TX_N, "tx_next[] and enum mux_tx differ");

void ssm_mux_set_rx(struct mux_stream *s, enum mux_rx rx)
{
	ST_ASSERT(rx_next[s->rx] & BIT(rx));
	s->rx = rx;
}

void ssm_mux_set_tx(struct mux_stream *s, enum mux_tx tx)
{
	ST_ASSERT(tx_next[s->tx] & BIT(tx));
	s->tx = tx;
}

void ssm_mux_now(struct ssm_mux *m, uint64_t now_us)
{
	m->now_us = MAX(m->now_us, now_us);
}

void ssm_mux_enter(struct ssm_mux *m)
{
	m->depth++;
}

void ssm_mux_leave(struct ssm_mux *m)
{
	if (--m->depth > 0 || !m->blocked || m->err < 0 ||
	    m->blocked_len > SSM_MUX_BUFFER_MAX - m->buffered)
		return;
	m->blocked = false;
	m->events->unblocked(m->arg);
}

int ssm_mux_end(struct ssm_mux *m, int err, const char *fmt, ...)
{
	va_list ap;

	m->err = err;
	va_start(ap, fmt);
	vsnprintf(m->reason, sizeof(m->reason), fmt, ap);
	va_end(ap);
	return err;
}

static bool opts_good(const struct ssm_mux_opts *opts)
{
	const struct ssm_mux_events *e = opts->events;

	if (!e || !e->data || !e->closed || !e->pull || !e->unblocked)
		return false;
	if (opts->role == SSM_ROLE_AGENT && !e->accept)
		return false;
	if (opts->first_id != 0 && opts->first_id % 2 == 0)
		return false;
	return opts->frame_max <= SSM_MUX_FRAME_MAX;
}

int ssm_mux_new(struct ssm_mux **out, const struct ssm_mux_opts *opts)
{
	struct ssm_mux *m;

	if (!opts_good(opts))
		return ST_EINVAL;
	m = calloc(1, sizeof(*m));
	if (!m)
		return ST_ENOMEM;
	m->role = opts->role;
	m->frame_max = opts->frame_max ? opts->frame_max : SSM_MUX_FRAME_DATA;
	m->keepalive = opts->keepalive;
	m->events = opts->events;
	m->arg = opts->arg;
	m->next_id = opts->first_id ? opts->first_id : FIRST_ID;
	m->now_us = m->last_in_us = m->last_out_us = opts->now_us;
	hnd_init(&m->streams, SSM_MUX_STREAMS_MAX);
	for (unsigned i = 0; i < MUX_ID_BUCKETS; i++)
		list_init(&m->by_id[i]);
	list_init(&m->ctl);
	list_init(&m->ready);
	*out = m;
	return 0;
}

void ssm_mux_free(struct ssm_mux *m)
{
	if (!m)
		return;
	for (unsigned i = 0; i < MUX_ID_BUCKETS; i++) {
		list_for_each (it, &m->by_id[i])
			ssm_mux_stream_free(m, container_of(it, struct mux_stream, by_id));
	}
	hnd_fini(&m->streams);
	free(m);
}

static struct list *id_bucket(struct ssm_mux *m, uint32_t id)
{
	return &m->by_id[id / 2 % MUX_ID_BUCKETS]; /* ids are odd */
}

struct mux_stream *ssm_mux_find(struct ssm_mux *m, uint32_t id)
{
	list_for_each (it, id_bucket(m, id)) {
		struct mux_stream *s = container_of(it, struct mux_stream, by_id);

		if (s->id == id)
			return s;
	}
	return NULL;
}

struct mux_stream *ssm_mux_stream_new(struct ssm_mux *m, uint32_t id, int *err)
{
	struct mux_stream *s;

	*err = ST_EFULL;
	if (m->stream_n == SSM_MUX_STREAMS_MAX)
		return NULL;
	*err = ST_ENOMEM;
	s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	*err = hnd_add(&m->streams, s, &s->h);
	if (*err < 0) {
		free(s);
		return NULL;
	}
	s->id = id;
	list_push_back(id_bucket(m, id), &s->by_id);
	list_node_init(&s->ctl);
	list_node_init(&s->ready);
	buf_init(&s->in, SSM_MUX_BUFFER_MAX);
	m->stream_n++;
	m->stats.opened++;
	return s;
}

void ssm_mux_stream_free(struct ssm_mux *m, struct mux_stream *s)
{
	list_del(&s->by_id);
	list_del(&s->ctl);
	list_del(&s->ready);
	buf_fini(&s->in);
	free(s);
	m->stream_n--;
}

void ssm_mux_detach(struct ssm_mux *m, struct mux_stream *s)
{
	hnd_del(&m->streams, s->h);
	m->buffered -= s->in.len;
	buf_fini(&s->in);
	ssm_mux_set_rx(s, MUX_RX_OVER);
	if (s->syn_due || s->tx == MUX_TX_DONE)
		ssm_mux_stream_free(m, s);
	else
		ssm_mux_fin_due(m, s);
}

int ssm_mux_open(struct ssm_mux *m, void *ctx, handle *out)
{
	struct mux_stream *s;
	int r;

	if (m->err < 0)
		return m->err;
	if (m->role != SSM_ROLE_CLIENT)
		return ST_EINVAL;
	if (m->next_id == 0)
		return ST_EFULL;
	s = ssm_mux_stream_new(m, m->next_id, &r);
	if (!s)
		return r;
	m->next_id = m->next_id == UINT32_MAX ? 0 : m->next_id + 2;
	s->ctx = ctx;
	s->rx = MUX_RX_FLOW;
	s->tx = MUX_TX_OPEN;
	s->syn_due = true;
	list_push_back(&m->ctl, &s->ctl);
	*out = s->h;
	return 0;
}

/* Return: 0 and *@out, a stream that is being dialed */
static int dialed(const struct ssm_mux *m, handle h, struct mux_stream **out)
{
	*out = hnd_get(&m->streams, h);
	if (m->err < 0)
		return m->err;
	if (!*out)
		return ST_ENOENT;
	return (*out)->rx == MUX_RX_HELD && !(*out)->offering ? 0 : ST_EINVAL;
}

int ssm_mux_accept_ok(struct ssm_mux *m, handle h)
{
	struct mux_stream *s;
	int r = dialed(m, h, &s);

	if (r < 0)
		return r;
	ssm_mux_enter(m);
	if (s->tx == MUX_TX_HELD)
		ssm_mux_set_tx(s, MUX_TX_OPEN);
	ssm_mux_drain(m, s);
	ssm_mux_leave(m);
	return 0;
}

int ssm_mux_accept_fail(struct ssm_mux *m, handle h)
{
	struct mux_stream *s;
	int r = dialed(m, h, &s);

	if (r < 0)
		return r;
	ssm_mux_close(m, h);
	return 0;
}

void ssm_mux_ready(struct ssm_mux *m, handle h)
{
	struct mux_stream *s = hnd_get(&m->streams, h);

	if (s && s->tx == MUX_TX_OPEN && !list_linked(&s->ready))
		list_push_back(&m->ready, &s->ready);
}

void ssm_mux_shutdown(struct ssm_mux *m, handle h)
{
	struct mux_stream *s = hnd_get(&m->streams, h);

	if (!s || s->tx != MUX_TX_OPEN)
		return;
	list_del(&s->ready);
	if (m->role == SSM_ROLE_CLIENT)
		ssm_mux_set_tx(s, MUX_TX_SHUT);
	else
		ssm_mux_fin_due(m, s);
}

void ssm_mux_close(struct ssm_mux *m, handle h)
{
	struct mux_stream *s = hnd_get(&m->streams, h);

	if (!s)
		return;
	ssm_mux_enter(m);
	ssm_mux_detach(m, s);
	ssm_mux_leave(m);
}

void ssm_mux_resume(struct ssm_mux *m, handle h)
{
	struct mux_stream *s = hnd_get(&m->streams, h);

	if (!s || s->rx != MUX_RX_STALLED || s->offering || m->err < 0)
		return;
	ssm_mux_enter(m);
	ssm_mux_drain(m, s);
	ssm_mux_leave(m);
}

uint32_t ssm_mux_stream_id(const struct ssm_mux *m, handle h)
{
	const struct mux_stream *s = hnd_get(&m->streams, h);

	return s ? s->id : 0;
}

size_t ssm_mux_stream_buffered(const struct ssm_mux *m, handle h)
{
	const struct mux_stream *s = hnd_get(&m->streams, h);

	return s ? s->in.len : 0;
}

bool ssm_mux_stream_next(const struct ssm_mux *m, uint32_t *pos, handle *h, void **ctx)
{
	const struct mux_stream *s = hnd_next(&m->streams, pos);

	if (!s)
		return false;
	*h = s->h;
	*ctx = s->ctx;
	return true;
}

int ssm_mux_error(const struct ssm_mux *m, const char **reason)
{
	if (reason)
		*reason = m->reason;
	return m->err;
}

uint64_t ssm_mux_deadline(const struct ssm_mux *m)
{
	uint64_t timeout = m->last_in_us + SSM_MUX_TIMEOUT_US;

	if (!m->keepalive || m->err < 0)
		return SSM_TIME_NEVER;
	return m->nop_due ? timeout : MIN(timeout, m->last_out_us + SSM_MUX_NOP_US);
}

int ssm_mux_expire(struct ssm_mux *m, uint64_t now_us)
{
	ssm_mux_now(m, now_us);
	if (!m->keepalive || m->err < 0)
		return m->err;
	if (m->blocked) /* it is we who don't listen */
		m->last_in_us = m->now_us;
	if (m->now_us - m->last_in_us >= SSM_MUX_TIMEOUT_US)
		return ssm_mux_end(m, ST_ETIMEOUT, "no smux frame for %u s",
				   (unsigned)(SSM_MUX_TIMEOUT_US / 1000000));
	if (m->now_us - m->last_out_us >= SSM_MUX_NOP_US)
		m->nop_due = true;
	return 0;
}

void ssm_mux_keepalive_restart(struct ssm_mux *m, uint64_t now_us)
{
	ssm_mux_now(m, now_us);
	m->last_in_us = m->now_us;
}

void ssm_mux_stats(const struct ssm_mux *m, struct ssm_mux_stats *out)
{
	*out = m->stats;
	out->streams = m->stream_n;
	out->buffered_bytes = m->buffered;
}
