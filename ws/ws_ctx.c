// SPDX-License-Identifier: MIT
/*
 * ws_ctx.c - libwebsockets on our loop
 *
 * Theory of operation: Debian's lws (4.1.6) can't tell an outer loop which descriptors it wants
 * served. But it serves any one descriptor on request (lws_service_fd), and we know every
 * descriptor it has: a client's socket is connected by us and slipped under lws (ws_dial.c), a
 * server's is accepted by us and adopted. So each connection is watched level-triggered on our
 * loop, EPOLLOUT only while lws holds bytes that the kernel did not take (lws_partial_buffered()).
 * After every read lws is also served "writable": its Pong or Close frame leaves then.
 *
 * lws's own timers run inside lws_service() only. It is called with -1 (never blocks) every 250 ms
 * while a connection is not settled (handshake, HTTP, closing), and when lws says that it holds
 * input which needs no network event. Open connections that rest cause no wake-up.
 *
 * Unwatching: lws closes descriptors itself. An open connection tells us before (CLOSED); one in
 * a handshake may not, so these are not watched while lws runs (ctx_service_all(), conn_service()).
 */
#include "ws/ws_internal.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/text.h"

/* lws's keepalive of connections is off: a timer of ours sends the pings. */
static const lws_retry_bo_t no_idle_policy;

static struct ws_ctx *log_owner; /* whose calls into lws are running: for the quiet ones */

static void log_emit(int level, const char *line)
{
	if (log_owner && log_owner->quiet)
		return;
	log_debug("lws: %s%s", level == LLL_ERR ? "error: " : "",
		  text_safe_n(line, strcspn(line, "\n")).s);
}

static int on_closed(struct conn *c)
{
	conn_unwatch(c);
	if (c->client && c->state == CONN_UPGRADE)
		tls_failure(c);
	else
		conn_cause(c, ST_ECLOSED, c->client || c->handle ? 1006 : 0, "connection lost");
	return 0;
}

static void on_connect_error(struct conn *c, const char *why, size_t len)
{
	const int status = (int)lws_http_client_http_response(c->wsi);
	char text[WS_REASON_MAX];

	conn_unwatch(c);
	if (status && status != 101) {
		snprintf(text, sizeof(text), "the server answered %d to the upgrade", status);
		conn_cause(c, ST_EPEER, status, text);
		return;
	}
	if (c->tls && (!lws_get_ssl(c->wsi) || !SSL_is_init_finished(lws_get_ssl(c->wsi)))) {
		tls_failure(c);
		return;
	}
	snprintf(text, sizeof(text), "%.*s", why ? (int)MIN(len, sizeof(text) - 1) : 0,
		 why ? why : "");
	conn_cause(c, status == 101 ? ST_EPEER : ST_ECLOSED, 0, text);
}

static int on_peer_close(struct conn *c, const uint8_t *p, size_t len)
{
	char text[WS_CONTROL_MAX] = "";
	int status = 1005; /* no status code present; RFC 6455 7.4.1 */

	if (len >= 2) {
		status = be16_get(p);
		snprintf(text, sizeof(text), "%.*s", (int)(len - 2), (const char *)p + 2);
	}
	if (c->state != CONN_CLOSING)
		conn_cause(c, ST_ECLOSED, status, text);
	buf_consume(&c->tx, c->tx.len); /* lws answers, and nothing may follow a Close frame */
	return 0;
}

static int append_headers(struct conn *c, unsigned char **at, size_t room)
{
	const size_t len = c->headers ? strlen(c->headers) : 0;

	if (len >= room) {
		conn_cause(c, ST_EINVAL, 0, "the headers of the upgrade are too long");
		return -1;
	}
	if (len)
		memcpy(*at, c->headers, len);
	*at += len;
	return 0;
}

static int on_lws_conn(struct conn *c, enum lws_callback_reasons reason, void *in, size_t len)
{
	switch (reason) {
	case LWS_CALLBACK_CLIENT_APPEND_HANDSHAKE_HEADER: return append_headers(c, in, len);
	case LWS_CALLBACK_CLIENT_CONNECTION_ERROR: on_connect_error(c, in, len); return 0;
	case LWS_CALLBACK_CLIENT_ESTABLISHED:
	case LWS_CALLBACK_ESTABLISHED: conn_on_open(c); return c->kill ? -1 : 0;
	case LWS_CALLBACK_CLIENT_RECEIVE:
	case LWS_CALLBACK_RECEIVE: conn_on_receive(c, in, len); return 0;
	case LWS_CALLBACK_CLIENT_RECEIVE_PONG:
	case LWS_CALLBACK_RECEIVE_PONG: conn_on_pong(c); return 0;
	case LWS_CALLBACK_CLIENT_WRITEABLE:
	case LWS_CALLBACK_SERVER_WRITEABLE: return conn_on_writeable(c);
	case LWS_CALLBACK_WS_PEER_INITIATED_CLOSE: return on_peer_close(c, in, len);
	case LWS_CALLBACK_HTTP_CONFIRM_UPGRADE: return http_on_upgrade(c, in);
	case LWS_CALLBACK_HTTP: return http_on_request(c, in);
	case LWS_CALLBACK_HTTP_BODY: return http_on_body(c, in, len);
	case LWS_CALLBACK_HTTP_BODY_COMPLETION: return http_on_body_end(c);
	case LWS_CALLBACK_CLIENT_CLOSED:
	case LWS_CALLBACK_CLOSED:
	case LWS_CALLBACK_CLOSED_HTTP: return on_closed(c);
	case LWS_CALLBACK_WSI_DESTROY: conn_dead(c); return 0;
	default: return 0;
	}
}

static int on_lws(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
		  size_t len)
{
	struct ws_ctx *ctx;
	struct conn *c;

	if (reason == LWS_CALLBACK_OPENSSL_LOAD_EXTRA_SERVER_VERIFY_CERTS) {
		/* @wsi is a fake of lws's here: only its context is real */
		ctx = lws_context_user(lws_get_context(wsi));
		return ctx->new_server ? tls_server_setup(ctx->new_server, user) : 0;
	}
	if (reason == LWS_CALLBACK_GET_THREAD_ID || reason == LWS_CALLBACK_PROTOCOL_INIT ||
	    reason == LWS_CALLBACK_PROTOCOL_DESTROY || !wsi ||
	    reason == LWS_CALLBACK_OPENSSL_LOAD_EXTRA_CLIENT_VERIFY_CERTS ||
	    reason == LWS_CALLBACK_EVENT_WAIT_CANCELLED)
		return 0;
	c = lws_get_opaque_user_data(wsi);
	if (!c)
		return 0;
	c->wsi = wsi; /* during lws_adopt_…() it is not known yet */
	return on_lws_conn(c, reason, in, len);
}

static const struct lws_protocols protocols[] = {
	{ .name = "ws",
	  .callback = on_lws,
	  .rx_buffer_size = WS_RX_CHUNK,
	  .tx_packet_size = WS_RX_CHUNK - LWS_PRE - 4 /* lws adds them: one TLS record a write */ },
	{ 0 },
};

void vhost_info_init(struct lws_context_creation_info *info, struct ws_ctx *ctx)
{
	*info = (struct lws_context_creation_info){
		.port = CONTEXT_PORT_NO_LISTEN,
		.protocols = protocols,
		.vhost_name = "ws", /* lws keeps the pointer */
		.alpn = "http/1.1",
		.options = LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT,
		/* else lws loads the CA store for each vhost, and forgets it if a second context is made */
		.provided_client_ssl_ctx = ctx->no_tls,
		.gid = -1,
		.uid = -1,
		.timeout_secs = 60, /* ours are shorter */
		.timeout_secs_ah_idle = 60,
		.keepalive_timeout = 60,
		.retry_and_idle_policy = &no_idle_policy,
		/* Without this lws takes http_proxy from the environment, for wss too. */
		.http_proxy_address = "",
	};
}

static bool unsettled(const struct conn *c)
{
	return c->state == CONN_UPGRADE || c->state == CONN_HTTP;
}

static void ctx_service_all(struct ws_ctx *ctx)
{
	list_for_each (n, &ctx->conns) {
		struct conn *c = container_of(n, struct conn, node);

		if (unsettled(c))
			conn_unwatch(c);
	}
	log_owner = ctx;
	lws_service(ctx->lws, -1);
	list_for_each (n, &ctx->conns)
		conn_watch(container_of(n, struct conn, node));
}

void ctx_busy(struct ws_ctx *ctx)
{
	if (!loop_timer_armed(&ctx->tick))
		(void)loop_timer_set(ctx->loop, &ctx->tick, loop_now_ms(ctx->loop) + WS_TICK_MS);
}

static void on_tick(void *arg, uint64_t now_ms)
{
	struct ws_ctx *ctx = arg;
	bool busy = false;

	ctx_service_all(ctx);
	list_for_each (n, &ctx->conns) {
		struct conn *c = container_of(n, struct conn, node);

		if (c->state == CONN_HTTP && c->http_since_ms &&
		    now_ms >= c->http_since_ms + (lws_partial_buffered(c->wsi) ? WS_HTTP_SEND_MS
									       : WS_HTTP_IDLE_MS))
			conn_kill(c, ST_ETIMEOUT, 0, "idle");
		busy |= unsettled(c) || c->state == CONN_CLOSING;
	}
	if (busy)
		ctx_busy(ctx);
}

static void on_flush(void *arg, uint64_t now_ms)
{
	struct ws_ctx *ctx = arg;
	struct list_node *n;
	struct list todo;

	(void)now_ms;
	/* What is marked again from here on waits for the next round. */
	list_init(&todo);
	while ((n = list_pop_front(&ctx->dirty)))
		list_push_back(&todo, n);
	while ((n = list_pop_front(&todo)))
		conn_flush(container_of(n, struct conn, dirty));
	if (!lws_service_adjust_timeout(ctx->lws, 1, 0)) {
		ctx_service_all(ctx);
		if (!lws_service_adjust_timeout(ctx->lws, 1, 0))
			loop_task_post(ctx->loop, &ctx->flush);
	}
}

static void on_reap(void *arg, uint64_t now_ms)
{
	struct ws_ctx *ctx = arg;
	struct list_node *n;

	(void)now_ms;
	while ((n = list_pop_front(&ctx->graves)))
		conn_free(container_of(n, struct conn, node));
}

/* lws sizes (and touches) its tables by the limit of descriptors, which can be a million. */
static struct lws_context *context_create(const struct lws_context_creation_info *info)
{
	struct rlimit limit, ours;
	struct lws_context *lws;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0) {
		log_sys("ws: getrlimit");
		return NULL;
	}
	ours = limit;
	ours.rlim_cur = MIN(limit.rlim_max, WS_FDS);
	if (setrlimit(RLIMIT_NOFILE, &ours) < 0)
		log_sys("ws: setrlimit");
	lws = lws_create_context(info);
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		log_sys("ws: setrlimit");
	return lws;
}

static int context_open(struct ws_ctx *ctx)
{
	struct lws_context_creation_info info;

	lws_set_log_level(LLL_ERR | LLL_WARN, log_emit);
	if (!(ctx->no_tls = SSL_CTX_new(TLS_client_method())))
		return ST_ENOMEM;
	vhost_info_init(&info, ctx);
	info.options |= LWS_SERVER_OPTION_EXPLICIT_VHOSTS;
	info.user = ctx;
	info.pt_serv_buf_size = WS_SERV_BUF;
	info.max_http_header_data2 = WS_HEADERS_MAX;
	ctx->quiet = true;
	log_owner = ctx;
	ctx->lws = context_create(&info);
	ctx->quiet = false;
	if (ctx->lws)
		return 0;
	log_error("ws: libwebsockets does not start");
	return ST_ENOMEM;
}

int ws_ctx_new(struct ws_ctx **out, struct loop *loop, const struct ws_ctx_opts *opts)
{
	struct ws_ctx *ctx = calloc(1, sizeof(*ctx));
	struct vhost *vhost;
	int r;

	if (!ctx)
		return ST_ENOMEM;
	ctx->loop = loop;
	ctx->park_fd = ctx->park_filler_fd = -1;
	ctx->masks_used = sizeof(ctx->masks);
	hnd_init(&ctx->handles, WS_CONNS_MAX);
	hnd_init(&ctx->requests, WS_CONNS_MAX);
	list_init(&ctx->conns);
	list_init(&ctx->graves);
	list_init(&ctx->dirty);
	list_init(&ctx->vhosts);
	list_init(&ctx->servers);
	loop_timer_init(&ctx->tick, on_tick, ctx);
	loop_task_init(&ctx->flush, LOOP_FLUSH, on_flush, ctx);
	loop_task_init(&ctx->reap, LOOP_REAP, on_reap, ctx);
	r = ST_ENOMEM;
	if (opts && opts->ca_bundle && !(ctx->ca_bundle = strdup(opts->ca_bundle)))
		goto fail;
	if ((r = context_open(ctx)) < 0 || (r = dial_park_open(ctx)) < 0)
		goto fail;
	/* A bad bundle is told now, not at the first connection; the system's is loaded when needed. */
	if (ctx->ca_bundle && (r = tls_vhost_get(ctx, &vhost, ctx->ca_bundle, NULL, NULL)) < 0)
		goto fail;
	*out = ctx;
	return 0;
fail:
	ws_ctx_free(ctx);
	return r;
}

void ws_ctx_free(struct ws_ctx *ctx)
{
	struct list_node *n;

	if (!ctx)
		return;
	list_for_each (it, &ctx->conns) {
		struct conn *c = container_of(it, struct conn, node);

		c->events = NULL;
		conn_kill(c, ST_ECANCELED, 0, "");
		conn_flush(c);
	}
	while ((n = list_pop_front(&ctx->servers)))
		ws_server_free(container_of(n, struct ws_server, node));
	log_owner = ctx;
	/* What lws still holds for a polite TLS end goes with it. */
	list_for_each (it, &ctx->conns)
		conn_unwatch(container_of(it, struct conn, node));
	if (ctx->lws)
		lws_context_destroy(ctx->lws);
	log_owner = NULL;
	while ((n = list_pop_front(&ctx->conns)))
		conn_free(container_of(n, struct conn, node));
	while ((n = list_pop_front(&ctx->graves)))
		conn_free(container_of(n, struct conn, node));
	tls_vhosts_free(ctx);
	SSL_CTX_free(ctx->no_tls);
	dial_park_close(ctx);
	loop_timer_cancel(ctx->loop, &ctx->tick);
	loop_task_cancel(&ctx->flush);
	loop_task_cancel(&ctx->reap);
	hnd_fini(&ctx->handles);
	hnd_fini(&ctx->requests);
	free(ctx->ca_bundle);
	free(ctx);
}
