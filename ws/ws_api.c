// SPDX-License-Identifier: MIT
/*
 * ws_api.c - what the owner of a connection may do with it
 *
 * Theory of operation: each call finds the connection by its handle, changes its state or queue, and
 * marks it: the work and the callbacks happen in conn_flush() at the end of the turn. A handle that
 * finds nothing is normal: the connection has gone.
 */
#include "ws/ws_internal.h"

#include "base/text.h"

int ws_send(struct ws_ctx *ctx, ws_conn h, const uint8_t *p, size_t len, bool text)
{
	struct conn *c = hnd_get(&ctx->handles, h);
	int r;

	if (!c || c->kill || c->state >= CONN_CLOSING)
		return ST_ECLOSED;
	if (len > WS_QUEUE_MAX)
		return ST_EINVAL;
	if (c->tx.len + c->in_lws + len > WS_QUEUE_MAX) {
		c->want_writable = true;
		return ST_EAGAIN;
	}
	if ((r = frame_put(ctx, &c->tx, c->client, text ? WS_OP_TEXT : WS_OP_BINARY, p, len)) < 0) {
		c->want_writable |= r == ST_EAGAIN;
		return r;
	}
	if (c->tx.len + c->in_lws > WS_QUEUE_MAX / 2)
		c->want_writable = true;
	conn_mark(c);
	return 0;
}

size_t ws_queued(struct ws_ctx *ctx, ws_conn h)
{
	const struct conn *c = hnd_get(&ctx->handles, h);

	return c ? c->tx.len + c->in_lws : 0;
}

void ws_close(struct ws_ctx *ctx, ws_conn h, uint16_t code, const char *reason)
{
	struct conn *c = hnd_get(&ctx->handles, h);

	if (!c || c->state >= CONN_CLOSING || c->kill)
		return;
	if (c->state != CONN_OPEN) {
		conn_kill(c, ST_ECLOSED, 0, "closed before it was open");
		return;
	}
	conn_set_state(c, CONN_CLOSING, "ws_close");
	conn_cause(c, ST_ECLOSED, code, reason);
	c->close_code = code;
	text_copy(c->close_reason, sizeof(c->close_reason), reason ? reason : "");
	conn_close_limit(c);
	if (c->paused) {
		c->paused = false; /* the peer's Close frame must be read */
		c->resume = true;
	}
	conn_mark(c);
}

void ws_drop(struct ws_ctx *ctx, ws_conn h)
{
	struct conn *c = hnd_del(&ctx->handles, h);

	if (!c)
		return;
	c->handle = 0;
	c->events = NULL;
	conn_kill(c, ST_ECANCELED, 0, "dropped");
}

void ws_pause(struct ws_ctx *ctx, ws_conn h, bool stop)
{
	struct conn *c = hnd_get(&ctx->handles, h);

	if (!c || c->paused == stop || c->state != CONN_OPEN || c->kill)
		return;
	c->paused = stop;
	c->resume = !stop;
	if (stop)
		lws_rx_flow_control(c->wsi, 0);
	conn_mark(c);
}

void ws_probe(struct ws_ctx *ctx, ws_conn h, uint32_t within_ms)
{
	struct conn *c = hnd_get(&ctx->handles, h);

	if (c)
		conn_probe(c, within_ms);
}

void ws_set_events(struct ws_ctx *ctx, ws_conn h, const struct ws_events *events, void *arg)
{
	struct conn *c = hnd_get(&ctx->handles, h);

	if (!c)
		return;
	c->events = events;
	c->arg = arg;
}
