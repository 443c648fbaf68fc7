// SPDX-License-Identifier: MIT
/*
 * ws_conn.c - one connection, client or server: messages out and in, its end
 *
 * Theory of operation: ws_send() builds the frame at once into conn.tx; at the end of the turn
 * (conn_flush()) batches of whole frames go to lws until the kernel is full. lws then keeps the rest
 * of that one batch, we the others. Received bytes come from lws in pieces of at most one TLS
 * record and are joined in conn.rx, unless a message came in one piece. Nothing ends a connection
 * inside a callback of lws but that callback's own result; all else is marked and done at the end
 * of the turn. closed() is told there too, then the reaper frees.
 */
#include "ws/ws_internal.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"

static const struct {
	const char *name;
	uint32_t next;
} states[] = {
	[CONN_TCP] = { "tcp", BIT(CONN_PROXY) | BIT(CONN_UPGRADE) | BIT(CONN_DEAD) },
	[CONN_PROXY] = { "proxy", BIT(CONN_UPGRADE) | BIT(CONN_DEAD) },
	[CONN_UPGRADE] = { "upgrade", BIT(CONN_OPEN) | BIT(CONN_DEAD) },
	[CONN_HTTP] = { "http", BIT(CONN_OPEN) | BIT(CONN_DEAD) },
	[CONN_OPEN] = { "open", BIT(CONN_CLOSING) | BIT(CONN_DEAD) },
	[CONN_CLOSING] = { "closing", BIT(CONN_DEAD) },
	[CONN_DEAD] = { "dead", 0 },
};
static_assert(ARRAY_LEN(states) == CONN_STATE_N, "states[] and enum conn_state differ");

uint64_t conn_now(const struct conn *c)
{
	return loop_now_ms(c->ctx->loop);
}

void conn_set_state(struct conn *c, enum conn_state next, const char *why)
{
	if (!(states[c->state].next & BIT(next)))
		ST_BUG("ws: %s -> %s: %s", states[c->state].name, states[next].name, why);
	log_trace("ws %d: %s -> %s: %s", c->fd, states[c->state].name, states[next].name, why);
	c->state = next;
	if (next == CONN_UPGRADE || next == CONN_CLOSING)
		ctx_busy(c->ctx);
}

/* Connecting or closing takes too long. */
static void on_limit(void *arg, uint64_t now_ms)
{
	(void)now_ms;
	conn_kill(arg, ST_ETIMEOUT, 0, "no answer in time");
}

void conn_close_limit(struct conn *c)
{
	if (loop_timer_set(c->ctx->loop, &c->limit, conn_now(c) + WS_CLOSE_MS) < 0)
		conn_kill(c, ST_ENOMEM, 0, "out of memory");
}

static void ping_arm(struct conn *c)
{
	if (c->ping_ms)
		(void)loop_timer_set(c->ctx->loop, &c->ping, c->last_rx_ms + c->ping_ms);
}

static void ping_send(struct conn *c)
{
	if (frame_put(c->ctx, &c->tx, c->client, WS_OP_PING, (const uint8_t *)"keepalive", 9) == 0)
		conn_mark(c);
	c->ping_sent = true;
}

/* When the ping timer has something to do, with what was heard until now. */
static uint64_t ping_due_ms(const struct conn *c)
{
	if (c->probe_until_ms)
		return c->probe_until_ms;
	return c->last_rx_ms + (uint64_t)c->ping_ms * (c->ping_sent ? 2 : 1);
}

/* Every ping_ms without input: a ping; as long again, or to the end of a probe: the end. Input only moves last_rx_ms. */
static void on_ping(void *arg, uint64_t now_ms)
{
	struct conn *c = arg;

	if (c->state != CONN_OPEN)
		return;
	if (c->paused) {
		/* We do not read: silence proves nothing. */
		c->last_rx_ms = now_ms;
		c->ping_sent = false;
		c->probe_until_ms = 0;
		ping_arm(c);
		return;
	}
	if (!c->ping_ms && !c->probe_until_ms)
		return; /* there was a probe only, and it was answered */
	if (now_ms < ping_due_ms(c)) {
		(void)loop_timer_set(c->ctx->loop, &c->ping, ping_due_ms(c));
		return;
	}
	if (c->ping_sent) {
		conn_kill(c, ST_ETIMEOUT, 0, "no answer to a ping");
		return;
	}
	ping_send(c);
	(void)loop_timer_set(c->ctx->loop, &c->ping, ping_due_ms(c));
}

void conn_probe(struct conn *c, uint32_t within_ms)
{
	if (c->state != CONN_OPEN || c->kill || c->paused || c->probe_until_ms)
		return;
	ping_send(c);
	c->probe_until_ms = conn_now(c) + within_ms;
	(void)loop_timer_set(c->ctx->loop, &c->ping, c->probe_until_ms);
}

int conn_new(struct conn **out, struct ws_ctx *ctx, bool client)
{
	struct conn *c = calloc(1, sizeof(*c));

	if (!c)
		return ST_ENOMEM;
	c->ctx = ctx;
	c->client = client;
	c->state = client ? CONN_TCP : CONN_HTTP;
	c->fd = -1;
	list_node_init(&c->dirty);
	list_push_back(&ctx->conns, &c->node);
	buf_init(&c->tx, WS_QUEUE_MAX + WS_CONTROL_ROOM);
	buf_init(&c->rx, WS_MESSAGE_MAX);
	buf_init(&c->proxy_answer, KIB(8));
	buf_init(&c->line, KIB(8));
	http_req_init(&c->req);
	loop_timer_init(&c->limit, on_limit, c);
	loop_timer_init(&c->ping, on_ping, c);
	*out = c;
	return 0;
}

void conn_free(struct conn *c)
{
	list_del(&c->node);
	list_del(&c->dirty);
	conn_unwatch(c);
	if (c->fd >= 0 && !c->wsi)
		close(c->fd);
	loop_timer_cancel(c->ctx->loop, &c->limit);
	loop_timer_cancel(c->ctx->loop, &c->ping);
	hnd_del(&c->ctx->handles, c->handle);
	http_req_fini(c);
	buf_fini(&c->tx);
	buf_fini(&c->rx);
	buf_fini(&c->proxy_answer);
	buf_fini(&c->line);
	free(c->host);
	if (c->path) /* of a stream URL */
		OPENSSL_cleanse(c->path, strlen(c->path));
	free(c->path);
	free(c->headers);
	if (c->proxy_request)
		OPENSSL_cleanse(c->proxy_request, strlen(c->proxy_request));
	free(c->proxy_request);
	free(c);
}

void conn_unwatch(struct conn *c)
{
	loop_fd_del(c->ctx->loop, &c->watch);
}

static uint32_t wanted(const struct conn *c)
{
	switch (c->state) {
	case CONN_TCP: return EPOLLOUT;
	case CONN_PROXY: return EPOLLIN;
	case CONN_HTTP: /* the next request waits for the answer to this one */
		return (c->req.handle ? 0U : (uint32_t)EPOLLIN) |
		       (lws_partial_buffered(c->wsi) ? (uint32_t)EPOLLOUT : 0U);
	case CONN_UPGRADE:
	case CONN_OPEN:
	case CONN_CLOSING:
		return (c->paused ? 0U : (uint32_t)EPOLLIN) |
		       (lws_partial_buffered(c->wsi) || (c->tx.len && c->state != CONN_UPGRADE)
				? (uint32_t)EPOLLOUT
				: 0U);
	default: return 0;
	}
}

void conn_watch(struct conn *c)
{
	const bool ours = c->state == CONN_TCP || c->state == CONN_PROXY;
	uint32_t want;
	int r = 0;

	if (c->fd < 0 || c->state == CONN_DEAD || (!ours && !c->wsi))
		return;
	want = wanted(c);
	if (!c->watch)
		r = loop_fd_add(c->ctx->loop, &c->watch, c->fd, want, conn_on_fd, c);
	else if (want != c->watched)
		r = loop_fd_mod(c->ctx->loop, c->watch, want);
	c->watched = want;
	if (r < 0)
		conn_kill(c, r, 0, "can't watch the socket");
}

void conn_service(struct conn *c, short revents)
{
	struct lws_pollfd fd = { .fd = c->fd, .events = POLLIN | POLLOUT, .revents = revents };

	if (!c->wsi)
		return;
	if (c->state == CONN_UPGRADE || c->state == CONN_HTTP)
		conn_unwatch(c);
	lws_service_fd(c->ctx->lws, &fd);
}

void conn_mark(struct conn *c)
{
	if (!list_linked(&c->dirty))
		list_push_back(&c->ctx->dirty, &c->dirty);
	loop_task_post(c->ctx->loop, &c->ctx->flush);
}

void conn_cause(struct conn *c, int err, int status, const char *reason)
{
	if (c->err)
		return;
	c->err = err;
	c->status = status;
	text_copy(c->reason, sizeof(c->reason), reason ? reason : "");
}

void conn_kill(struct conn *c, int err, int status, const char *reason)
{
	if (c->state == CONN_DEAD)
		return;
	conn_cause(c, err, status, reason);
	c->kill = true;
	conn_mark(c);
}

void conn_dead(struct conn *c)
{
	if (c->state == CONN_DEAD)
		return;
	conn_unwatch(c);
	if (!c->wsi && c->fd >= 0)
		close(c->fd);
	c->wsi = NULL;
	c->fd = -1;
	conn_cause(c, ST_ECLOSED, 0, "connection lost");
	conn_set_state(c, CONN_DEAD, c->reason);
	loop_timer_cancel(c->ctx->loop, &c->limit);
	loop_timer_cancel(c->ctx->loop, &c->ping);
	conn_mark(c);
}

/* Tells the owner, and hands the memory to the reaper. */
static void bury(struct conn *c)
{
	const struct ws_events *events = c->events;

	if (c->server)
		c->server->conns--;
	if (c->server && c->server->watch)
		(void)loop_fd_mod(c->ctx->loop, c->server->watch, EPOLLIN);
	c->server = NULL;
	c->events = NULL;
	list_del(&c->node);
	list_push_back(&c->ctx->graves, &c->node);
	loop_task_post(c->ctx->loop, &c->ctx->reap);
	http_req_fini(c);
	if (events && events->closed)
		events->closed(c->arg, c->handle, c->err, c->status, c->reason);
	hnd_del(&c->ctx->handles, c->handle);
	c->handle = 0;
}

/* Return: 0; -1 if the connection is broken */
static int write_batches(struct conn *c)
{
	while (c->tx.len && !lws_partial_buffered(c->wsi)) {
		const size_t n = frame_batch(&c->tx);

		/* raw bytes: lws reads nothing before them and does not change them */
		if (lws_write(c->wsi, (unsigned char *)(uintptr_t)buf_data(&c->tx), n,
			      LWS_WRITE_HTTP) < 0)
			return -1;
		buf_consume(&c->tx, n);
		c->in_lws = n;
	}
	if (!lws_partial_buffered(c->wsi))
		c->in_lws = 0;
	return 0;
}

static void tell_writable(struct conn *c)
{
	if (!c->want_writable || c->tx.len + c->in_lws >= WS_QUEUE_MAX / 4 || c->state != CONN_OPEN)
		return;
	c->want_writable = false;
	if (c->events && c->events->writable)
		c->events->writable(c->arg, c->handle);
}

int conn_on_writeable(struct conn *c)
{
	if (c->kill)
		return -1;
	if (c->state != CONN_OPEN && c->state != CONN_CLOSING)
		return 0;
	if (write_batches(c) < 0)
		return -1;
	if (c->state == CONN_CLOSING && !c->tx.len && !c->close_sent &&
	    !lws_partial_buffered(c->wsi)) {
		c->close_sent = true;
		lws_close_reason(c->wsi, c->close_code, (unsigned char *)c->close_reason,
				 strlen(c->close_reason));
		return -1; /* lws sends the frame and waits 5 s for the peer's */
	}
	return 0;
}

/* Let lws send what it has: its own frames, the rest of a batch, ours. */
static void pump_out(struct conn *c)
{
	for (int pass = 0; pass < 4 && c->wsi; pass++) {
		const bool held = lws_partial_buffered(c->wsi) != 0;
		const bool settled = c->state == CONN_OPEN;

		conn_service(c, POLLOUT);
		if (!c->wsi || lws_partial_buffered(c->wsi))
			return;
		if (!held && settled)
			return;
	}
}

/* A hang-up without input is the one event on which lws closes without ceremony, in every state. */
static void kill_now(struct conn *c)
{
	conn_unwatch(c);
	conn_service(c, POLLHUP);
	if (c->wsi)
		lws_set_opaque_user_data(c->wsi, NULL); /* never seen; it must not find us again */
	conn_dead(c);
}

void conn_flush(struct conn *c)
{
	if (c->state != CONN_DEAD && c->kill)
		kill_now(c);
	if (c->state == CONN_DEAD) {
		if (list_linked(&c->node))
			bury(c);
		return;
	}
	if (c->state == CONN_HTTP)
		http_flush(c);
	if (c->resume && c->wsi) {
		c->resume = false;
		lws_rx_flow_control(c->wsi, 1);
		conn_service(c, POLLIN);
	}
	if (c->state == CONN_OPEN || c->state == CONN_CLOSING) {
		if (write_batches(c) < 0)
			conn_kill(c, ST_ECLOSED, 1006, "connection lost");
		else if (c->state == CONN_CLOSING)
			pump_out(c);
		tell_writable(c);
	}
	conn_watch(c);
}

static void heard(struct conn *c)
{
	c->last_rx_ms = conn_now(c);
	c->ping_sent = false;
	c->probe_until_ms = 0;
}

void conn_on_pong(struct conn *c)
{
	heard(c);
	c->saw_any = true;
	if (c->state == CONN_OPEN && c->events && c->events->alive)
		c->events->alive(c->arg, c->handle);
}

/* lws reads one TLS record a call. */
static void pump_in(struct conn *c, short revents)
{
	bool more;

	c->saw_any = false;
	c->rx_turn = 0;
	do {
		const size_t before = c->rx_turn;

		if (c->state == CONN_HTTP)
			reqline_look(c);
		conn_service(c, revents);
		more = c->state == CONN_OPEN && c->rx_turn > before && c->rx_turn < WS_RX_TURN;
	} while (more && !c->paused && !c->kill);
	if (!c->wsi || c->kill)
		return;
	heard(c);
	if (!c->saw_any)
		conn_on_pong(c); /* lws answers a ping by itself and tells nobody */
}

void conn_on_fd(void *arg, uint32_t events, uint64_t now_ms)
{
	struct conn *c = arg;
	short revents = 0;

	(void)now_ms;
	if (c->kill)
		return;
	if (c->state == CONN_TCP || c->state == CONN_PROXY) {
		dial_on_fd(c, events);
		return;
	}
	if (events & (EPOLLIN | EPOLLERR))
		revents = (short)(revents | POLLIN);
	if ((events & (EPOLLHUP | EPOLLERR)) && !(c->watched & EPOLLIN))
		revents = POLLHUP; /* nobody reads: all that is left to do is to end it */
	if (revents)
		pump_in(c, revents);
	if (!c->kill)
		pump_out(c);
	if (c->wsi && c->state == CONN_OPEN)
		tell_writable(c);
	conn_watch(c);
	if (!lws_service_adjust_timeout(c->ctx->lws, 1, 0))
		loop_task_post(c->ctx->loop, &c->ctx->flush);
}

void conn_on_open(struct conn *c)
{
	conn_set_state(c, CONN_OPEN, "upgraded");
	loop_timer_cancel(c->ctx->loop, &c->limit);
	c->saw_any = true;
	c->last_rx_ms = conn_now(c);
	ping_arm(c);
	conn_mark(c);
	if (c->events && c->events->open)
		c->events->open(c->arg, c->handle);
}

/* The peer's fault: a Close frame that says so, and nothing behind it. */
static void refuse(struct conn *c, uint16_t code, const char *why)
{
	conn_cause(c, ST_EPEER, code, why);
	conn_set_state(c, CONN_CLOSING, why);
	c->close_code = code;
	text_copy(c->close_reason, sizeof(c->close_reason), why);
	buf_consume(&c->tx, c->tx.len);
	conn_close_limit(c);
	conn_mark(c);
}

/*
 * lws 4.1.6 is never told to close from here: it would leave what it has collected of the frame where it is, read on for the
 * peer's Close frame, and write behind the end of its buffer.
 */
void conn_on_receive(struct conn *c, const uint8_t *p, size_t len)
{
	const bool end = lws_is_final_fragment(c->wsi) && !lws_remaining_packet_payload(c->wsi);
	bool whole;

	heard(c);
	c->saw_any = true;
	c->rx_turn += len;
	if (c->state != CONN_OPEN || c->kill)
		return; /* we said Close: what comes now is read for its answer only */
	whole = end && !c->rx_busy;
	if (!c->rx_busy)
		c->rx_text = !lws_frame_is_binary(c->wsi);
	c->rx_busy = !end;
	if (len > WS_MESSAGE_MAX - c->rx.len) {
		refuse(c, 1009, "message too big");
		return;
	}
	if (!whole && buf_put(&c->rx, p, len) < 0) {
		refuse(c, 1011, "out of memory");
		return;
	}
	if (!end)
		return;
	if (c->events && c->events->message) {
		if (whole)
			c->events->message(c->arg, c->handle, p, len, c->rx_text);
		else
			c->events->message(c->arg, c->handle, buf_data(&c->rx), c->rx.len,
					   c->rx_text);
	}
	buf_consume(&c->rx, c->rx.len);
}
