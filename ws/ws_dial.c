// SPDX-License-Identifier: MIT
/*
 * ws_dial.c - the client's way to an open connection
 *
 * Theory of operation: TCP and the proxy's CONNECT are ours; TLS and the upgrade are lws's. lws
 * 4.1.6 can't take a socket that is connected already, sets no mark on its own, hides why TCP or
 * the proxy refused, and loses bytes if a proxy's answer comes in pieces. So lws is made to start a
 * connect that can't finish: to a listening Unix socket of ours whose queue is kept full (the
 * "park"). Then our connected socket is put under its descriptor number by dup3(), and lws, served
 * as writable, finds a connected socket there.
 */
#include "ws/ws_internal.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/codec.h"
#include "base/text.h"

/* ---- the park ---- */

int dial_park_open(struct ws_ctx *ctx)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	socklen_t len =
		sizeof(address.sun_family); /* "autobind": the kernel chooses an abstract name */
	const int type = SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK;

	if ((ctx->park_fd = socket(AF_UNIX, type, 0)) < 0 ||
	    bind(ctx->park_fd, (struct sockaddr *)&address, len) < 0 || listen(ctx->park_fd, 0) < 0)
		return log_sys("ws: Unix socket");
	len = sizeof(address);
	if (getsockname(ctx->park_fd, (struct sockaddr *)&address, &len) < 0)
		return log_sys("ws: Unix socket");
	if ((ctx->park_filler_fd = socket(AF_UNIX, type, 0)) < 0 ||
	    connect(ctx->park_filler_fd, (struct sockaddr *)&address, len) < 0)
		return log_sys("ws: Unix socket");
	/* lws: "+@name" is the abstract name */
	snprintf(ctx->park_address, sizeof(ctx->park_address), "+@%.*s",
		 (int)(len - offsetof(struct sockaddr_un, sun_path) - 1), address.sun_path + 1);
	return 0;
}

void dial_park_close(struct ws_ctx *ctx)
{
	if (ctx->park_fd >= 0)
		close(ctx->park_fd);
	if (ctx->park_filler_fd >= 0)
		close(ctx->park_filler_fd);
}

/* ---- the URL ---- */

static int parse_port(uint16_t *out, const char *s, size_t len)
{
	uint32_t port = 0;

	if (!len || len > 5)
		return ST_EINVAL;
	for (size_t i = 0; i < len; i++) {
		if (s[i] < '0' || s[i] > '9')
			return ST_EINVAL;
		port = port * 10 + (uint32_t)(s[i] - '0');
	}
	if (!port || port > UINT16_MAX)
		return ST_EINVAL;
	*out = (uint16_t)port;
	return 0;
}

static int parse_authority(struct conn *c, const char *s, size_t len)
{
	const char *end = s + len, *host = s, *host_end, *after;
	struct net_addr ip;

	if (len && *s == '[') {
		host = s + 1;
		host_end = memchr(s, ']', len);
		if (!host_end)
			return ST_EINVAL;
		after = host_end + 1;
	} else {
		host_end = memchr(s, ':', len);
		if (!host_end)
			host_end = end;
		after = host_end;
	}
	if (host_end == host || host_end - host > (ptrdiff_t)WS_HOST_MAX - 10)
		return ST_EINVAL;
	for (const char *p = host; p < host_end; p++)
		if (!isalnum((unsigned char)*p) && !strchr("-._:", *p))
			return ST_EINVAL;
	c->port = c->tls ? 443 : 80;
	if (after != end &&
	    (*after != ':' || parse_port(&c->port, after + 1, (size_t)(end - after - 1)) < 0))
		return ST_EINVAL;
	if (!(c->host = strndup(host, (size_t)(host_end - host))))
		return ST_ENOMEM;
	c->host_is_ip = net_addr_parse(&ip, c->host) == 0;
	if (*s == '[' && !(c->host_is_ip && ip.family == 6))
		return ST_EINVAL;
	return 0;
}

static int parse_url(struct conn *c, const char *url)
{
	const char *authority, *path;
	int r;

	for (const char *p = url; *p; p++)
		if (*p <= ' ' || *p > '~')
			return ST_EINVAL;
	if (strncmp(url, "wss://", 6) == 0) {
		c->tls = true;
		authority = url + 6;
	} else if (strncmp(url, "ws://", 5) == 0) {
		authority = url + 5;
	} else {
		return ST_EINVAL;
	}
	path = authority + strcspn(authority, "/?#");
	if (strchr(path, '#') || strlen(path) + 1 > WS_PATH_MAX)
		return ST_EINVAL;
	if ((r = parse_authority(c, authority, (size_t)(path - authority))) < 0)
		return r;
	return asprintf(&c->path, "%s%s", *path == '/' ? "" : "/", path) < 0 ? ST_ENOMEM : 0;
}

/* "host" or "host:port" as HTTP writes it */
static void host_header(const struct conn *c, bool with_port, char *out, size_t cap)
{
	const bool v6 = strchr(c->host, ':') != NULL;
	char port[8] = "";

	if (with_port || c->port != (c->tls ? 443 : 80))
		snprintf(port, sizeof(port), ":%u", c->port);
	snprintf(out, cap, "%s%s%s%s", v6 ? "[" : "", c->host, v6 ? "]" : "", port);
}

static bool header_safe(const char *s)
{
	for (; *s; s++)
		if (((unsigned char)*s < ' ' && *s != '\t') || *s == 0x7f)
			return false;
	return true;
}

static int headers_build(struct conn *c, const char *const *pairs)
{
	struct buf b;
	int r = 0;

	buf_init(&b, WS_HEADERS_MAX);
	for (; pairs && pairs[0] && r == 0; pairs += 2) {
		if (!pairs[1] || !*pairs[0] || !header_safe(pairs[0]) ||
		    strpbrk(pairs[0], " \t:") || !header_safe(pairs[1]))
			r = ST_EINVAL;
		else
			r = buf_printf(&b, "%s: %s\r\n", pairs[0], pairs[1]);
	}
	if (r == 0 && b.len && !(c->headers = strndup((const char *)buf_data(&b), b.len)))
		r = ST_ENOMEM;
	buf_wipe(&b);
	return r == ST_EFULL ? ST_EINVAL : r;
}

static int proxy_build(struct conn *c, const char *auth)
{
	char target[WS_HOST_MAX + 16], *secret = NULL;
	const size_t len = auth ? strlen(auth) : 0;
	int r;

	host_header(c, true, target, sizeof(target));
	if (len > KIB(4))
		return ST_EINVAL;
	if (auth) {
		if (!(secret = malloc(CODEC_B64_LEN(len))))
			return ST_ENOMEM;
		codec_b64_encode(secret, auth, len);
	}
	r = asprintf(&c->proxy_request, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n%s%s%s\r\n", target,
		     target, secret ? "Proxy-Authorization: Basic " : "", secret ? secret : "",
		     secret ? "\r\n" : "");
	if (secret)
		codec_wipe(secret, CODEC_B64_LEN(len));
	free(secret);
	if (r < 0)
		c->proxy_request = NULL;
	return r < 0 ? ST_ENOMEM : 0;
}

/* ---- TCP ---- */

static void tcp_failure(struct conn *c, int error)
{
	static const struct {
		int error, err;
	} map[] = {
		{ ECONNREFUSED, ST_EREFUSED },	{ ETIMEDOUT, ST_ETIMEOUT },
		{ EHOSTUNREACH, ST_EUNREACH },	{ ENETUNREACH, ST_EUNREACH },
		{ EADDRNOTAVAIL, ST_EUNREACH }, { ENETDOWN, ST_EUNREACH },
		{ EACCES, ST_EPROHIBITED },	{ EPERM, ST_EPROHIBITED },
	};
	int err = ST_ECLOSED;

	for (size_t i = 0; i < ARRAY_LEN(map); i++)
		if (map[i].error == error)
			err = map[i].err;
	conn_kill(c, err, 0, strerror(error));
}

static int tcp_start(struct conn *c, const struct ws_connect_opts *opts)
{
	struct sockaddr_storage to;
	const socklen_t len = net_sockaddr(&to, &opts->address);
	const int one = 1;

	c->fd = socket(to.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (c->fd < 0)
		return log_sys("ws: socket");
	if (setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) < 0)
		return log_sys("ws: TCP_NODELAY");
	if (opts->mark &&
	    setsockopt(c->fd, SOL_SOCKET, SO_MARK, &opts->mark, sizeof(opts->mark)) < 0)
		return log_sys("ws: SO_MARK");
	if (connect(c->fd, (struct sockaddr *)&to, len) < 0 && errno != EINPROGRESS)
		tcp_failure(c, errno);
	return 0;
}

/* ---- handing over to lws ---- */

static void start_lws(struct conn *c)
{
	struct lws_client_connect_info info = { .context = c->ctx->lws };
	char host[WS_HOST_MAX + 16];
	struct lws *wsi;
	int fd;

	host_header(c, false, host, sizeof(host));
	info.vhost = c->vhost->lws;
	info.address = c->ctx->park_address;
	info.port = c->port;
	info.path = c->path;
	info.host = host;
	info.ssl_connection = (c->tls ? LCCSCF_USE_SSL : 0) | LCCSCF_HTTP_NO_FOLLOW_REDIRECT;
	info.ietf_version_or_minus_one = -1;
	info.local_protocol_name = "ws";
	info.opaque_user_data = c;
	conn_unwatch(c);
	wsi = lws_client_connect_via_info(&info);
	fd = wsi ? lws_get_socket_fd(wsi) : -1;
	if (fd < 0 || dup3(c->fd, fd, O_CLOEXEC) < 0) {
		conn_kill(c, ST_ENOMEM, 0, "libwebsockets refused the connection");
		return;
	}
	close(c->fd);
	c->fd = fd;
	c->wsi = wsi;
	conn_set_state(c, CONN_UPGRADE, "connected");
	conn_service(c, POLLOUT);
	conn_watch(c);
}

static void connected(struct conn *c)
{
	size_t len;

	if (!c->proxy_request) {
		start_lws(c);
		return;
	}
	len = strlen(c->proxy_request);
	/* an empty send buffer takes all of it */
	if (send(c->fd, c->proxy_request, len, MSG_NOSIGNAL) != (ssize_t)len) {
		conn_kill(c, ST_ECLOSED, 0, "the proxy takes no request");
		return;
	}
	conn_set_state(c, CONN_PROXY, "CONNECT sent");
	conn_watch(c);
}

/* "HTTP/1.1 200 text" */
static void proxy_answered(struct conn *c, const char *answer)
{
	char text[WS_REASON_MAX];
	int status = 0, at = 0;

	if (sscanf(answer, "HTTP/1.%*1[01] %3d%n", &status, &at) < 1 || at != 12) {
		conn_kill(c, ST_EPEER, 0, "the proxy does not speak HTTP");
		return;
	}
	if (status >= 200 && status < 300) {
		start_lws(c);
		return;
	}
	snprintf(text, sizeof(text), "the proxy refused: %.*s", (int)strcspn(answer + 9, "\r\n"),
		 answer + 9);
	conn_kill(c, ST_EPEER, status, text);
}

/* Reads no byte beyond the answer's headers: what follows belongs to TLS. */
static void read_proxy(struct conn *c)
{
	struct buf *b = &c->proxy_answer;
	char chunk[1024];
	ssize_t n = recv(c->fd, chunk, MIN(sizeof(chunk), buf_room(b)), MSG_PEEK);
	const size_t before = b->len;
	const char *all, *end;
	size_t take;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		conn_kill(c, buf_room(b) ? ST_ECLOSED : ST_EPEER, 0,
			  buf_room(b) ? "the proxy hung up" : "the proxy's answer is too long");
		return;
	}
	if (buf_put(b, chunk, (size_t)n) < 0) {
		conn_kill(c, ST_ENOMEM, 0, "out of memory");
		return;
	}
	all = (const char *)buf_data(b);
	end = memmem(all, b->len, "\r\n\r\n", 4);
	take = end ? (size_t)(end - all) + 4 - before : (size_t)n;
	if (recv(c->fd, chunk, take, 0) != (ssize_t)take) {
		conn_kill(c, ST_ECLOSED, 0, "the proxy hung up");
		return;
	}
	if (!end)
		return;
	*(char *)(uintptr_t)end = '\0';
	proxy_answered(c, all);
}

void dial_on_fd(struct conn *c, uint32_t events)
{
	socklen_t len = sizeof(int);
	int error = 0;

	(void)events;
	if (c->state == CONN_PROXY) {
		read_proxy(c);
		return;
	}
	if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		error = errno;
	if (error)
		tcp_failure(c, error);
	else
		connected(c);
}

int ws_connect(struct ws_ctx *ctx, ws_conn *out, const struct ws_connect_opts *opts,
	       const struct ws_events *events, void *arg)
{
	const char *ca = opts->ca_bundle ? opts->ca_bundle : ctx->ca_bundle;
	struct conn *c;
	int r;

	if (!opts->url || !opts->address.addr.family || !opts->address.port)
		return ST_EINVAL;
	if ((r = conn_new(&c, ctx, true)) < 0)
		return r;
	if ((r = parse_url(c, opts->url)) < 0 || (r = headers_build(c, opts->headers)) < 0 ||
	    (opts->via_proxy && (r = proxy_build(c, opts->proxy_auth)) < 0) ||
	    (r = tls_vhost_get(ctx, &c->vhost, c->tls ? ca : "", c->tls ? opts->client_cert : NULL,
			       c->tls ? opts->client_key : NULL)) < 0 ||
	    (r = tcp_start(c, opts)) < 0 || (r = hnd_add(&ctx->handles, c, &c->handle)) < 0)
		goto fail;
	r = loop_timer_set(ctx->loop, &c->limit,
			   loop_now_ms(ctx->loop) +
				   (opts->timeout_ms ? opts->timeout_ms : WS_CONNECT_MS));
	if (r < 0)
		goto fail;
	c->events = events;
	c->arg = arg;
	c->ping_ms = opts->ping_ms;
	conn_watch(c);
	*out = c->handle;
	return 0;
fail:
	conn_free(c);
	return r;
}
