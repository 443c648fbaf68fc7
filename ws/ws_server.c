// SPDX-License-Identifier: MIT
/*
 * ws_server.c - listening, accepting, handing sockets to lws
 *
 * Theory of operation: we listen and accept; lws adopts each accepted socket into the vhost of its
 * listener, which carries the certificate. lws never listens. A vhost outlives its server until
 * the context goes: lws rebinds connections between vhosts by their Host header, and closes those
 * bound to a vhost that ends.
 */
#include "ws/ws_internal.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define ACCEPT_BATCH 64	     /* ours: connections taken in one turn */
#define ACCEPT_RETRY_MS 200U /* ours: after EMFILE and the like */
#define MAX_CONNS 4096U

static void adopt(struct ws_server *s, int fd, const struct sockaddr *from)
{
	lws_adopt_desc_t desc = { .vh = s->vhost,
				  .type = LWS_ADOPT_SOCKET | LWS_ADOPT_HTTP | LWS_ADOPT_ALLOW_SSL,
				  .fd = { .sockfd = fd } };
	const int one = 1;
	struct conn *c;

	if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) < 0 ||
	    conn_new(&c, s->ctx, false) < 0) {
		close(fd);
		return;
	}
	(void)net_from_sockaddr(&c->peer, from);
	c->server = s;
	s->conns++;
	c->tls = s->tls;
	c->fd = fd;
	c->http_since_ms = loop_now_ms(s->ctx->loop);
	desc.opaque = c;
	c->wsi = lws_adopt_descriptor_vhost_via_info(&desc);
	if (!c->wsi) { /* it has closed the socket */
		c->fd = -1;
		conn_dead(c);
		return;
	}
	ctx_busy(s->ctx);
	conn_watch(c);
}

static void on_accept(void *arg, uint32_t events, uint64_t now_ms)
{
	struct ws_server *s = arg;
	struct sockaddr_storage from;
	socklen_t len;

	(void)events;
	for (int i = 0; i < ACCEPT_BATCH && s->conns < s->max_conns; i++) {
		len = sizeof(from);
		const int fd = accept4(s->fd, (struct sockaddr *)&from, &len,
				       SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd >= 0) {
			adopt(s, fd, (struct sockaddr *)&from);
			continue;
		}
		if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
			log_limited(now_ms, LOG_WARN,
				    "ws: can't accept a connection: out of resources");
			(void)loop_fd_mod(s->ctx->loop, s->watch, 0);
			(void)loop_timer_set(s->ctx->loop, &s->retry, now_ms + ACCEPT_RETRY_MS);
		}
		return;
	}
	/* Full: the kernel's queue waits until one leaves (ws_conn.c). */
	if (s->conns >= s->max_conns)
		(void)loop_fd_mod(s->ctx->loop, s->watch, 0);
}

static void on_retry(void *arg, uint64_t now_ms)
{
	struct ws_server *s = arg;

	(void)now_ms;
	(void)loop_fd_mod(s->ctx->loop, s->watch, EPOLLIN);
}

static int open_socket(struct ws_server *s, const struct net_endpoint *at)
{
	char text[NET_ENDPOINT_STR];
	struct sockaddr_storage sa;
	socklen_t len = net_sockaddr(&sa, at);
	struct net_endpoint bound;
	const int one = 1;

	net_endpoint_str(text, at);
	s->fd = socket(sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (s->fd < 0)
		return log_sys("ws: socket");
	if (setsockopt(s->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
	    (at->addr.family == 6 &&
	     setsockopt(s->fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one)) < 0) ||
	    bind(s->fd, (struct sockaddr *)&sa, len) < 0 || listen(s->fd, SOMAXCONN) < 0)
		return log_sys("ws: listen on %s", text);
	len = sizeof(sa);
	if (getsockname(s->fd, (struct sockaddr *)&sa, &len) < 0 ||
	    net_from_sockaddr(&bound, (struct sockaddr *)&sa) < 0)
		return log_sys("ws: listen on %s", text);
	s->port = bound.port;
	return 0;
}

static int open_vhost(struct ws_server *s, const struct ws_listen_opts *opts)
{
	struct lws_context_creation_info info;
	int r;

	if (s->tls && (r = tls_server_check(opts)) < 0)
		return r;
	vhost_info_init(&info, s->ctx);
	info.port = CONTEXT_PORT_NO_LISTEN_SERVER;
	info.ssl_cert_filepath = opts->cert_file;
	info.ssl_private_key_filepath = opts->key_file;
	s->client_ca_file = opts->client_ca_file;
	s->ctx->new_server = s;
	s->ctx->quiet = true;
	s->vhost = lws_create_vhost(s->ctx->lws, &info);
	s->ctx->quiet = false;
	s->ctx->new_server = NULL;
	s->client_ca_file = NULL;
	if (s->vhost)
		return 0;
	log_error("ws: libwebsockets makes no server");
	return s->tls ? ST_ETLS : ST_ENOMEM;
}

int ws_listen(struct ws_ctx *ctx, struct ws_server **out, const struct ws_listen_opts *opts,
	      const struct ws_server_events *events, void *arg)
{
	struct ws_server *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return ST_ENOMEM;
	s->ctx = ctx;
	s->events = events;
	s->arg = arg;
	s->fd = -1;
	s->tls = opts->cert_file != NULL;
	s->max_conns = opts->max_conns ? opts->max_conns : MAX_CONNS;
	list_push_back(&ctx->servers, &s->node);
	loop_timer_init(&s->retry, on_retry, s);
	if ((r = open_socket(s, &opts->address)) < 0 || (r = open_vhost(s, opts)) < 0 ||
	    (r = loop_fd_add(ctx->loop, &s->watch, s->fd, EPOLLIN, on_accept, s)) < 0) {
		ws_server_free(s);
		return r;
	}
	*out = s;
	return 0;
}

uint16_t ws_server_port(const struct ws_server *s)
{
	return s->port;
}

void ws_server_free(struct ws_server *s)
{
	if (!s)
		return;
	loop_fd_del(s->ctx->loop, &s->watch);
	loop_timer_cancel(s->ctx->loop, &s->retry);
	if (s->fd >= 0)
		close(s->fd);
	list_for_each (n, &s->ctx->conns) {
		struct conn *c = container_of(n, struct conn, node);

		if (c->server != s)
			continue;
		c->server = NULL;
		if (c->state == CONN_HTTP)
			conn_kill(c, ST_ECANCELED, 0, "the server stops");
	}
	list_del(&s->node);
	free(s);
}
