// SPDX-License-Identifier: MIT
/*
 * ws_http.c - HTTP requests and upgrades of a server connection
 *
 * Theory of operation: lws parses requests. When one is whole it goes to the owner, and the
 * connection is not read until ws_reply() gave the answer: that is the back-pressure, and lws would
 * mistake further input for a second end of the same body. The answer is composed whole and
 * written at the end of the turn. Headers stay in lws's table and are copied out when asked for.
 */
#include "ws/ws_internal.h"

#include <ctype.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/x509.h>

#include "base/text.h"

#define REPLY_MAX MIB(16) /* ours: one answer */

static const struct {
	enum lws_token_indexes token;
	const char *name;
	bool body; /* must say how long its body is */
} methods[] = {
	{ WSI_TOKEN_GET_URI, "GET", false },	   { WSI_TOKEN_POST_URI, "POST", true },
	{ WSI_TOKEN_HEAD_URI, "HEAD", false },	   { WSI_TOKEN_PUT_URI, "PUT", true },
	{ WSI_TOKEN_DELETE_URI, "DELETE", false }, { WSI_TOKEN_OPTIONS_URI, "OPTIONS", false },
	{ WSI_TOKEN_PATCH_URI, "PATCH", true },
};

static const char *status_text(int status)
{
	static const struct {
		int status;
		const char *text;
	} texts[] = {
		{ 200, "OK" },
		{ 201, "Created" },
		{ 202, "Accepted" },
		{ 204, "No Content" },
		{ 400, "Bad Request" },
		{ 401, "Unauthorized" },
		{ 403, "Forbidden" },
		{ 404, "Not Found" },
		{ 405, "Method Not Allowed" },
		{ 409, "Conflict" },
		{ 411, "Length Required" },
		{ 413, "Payload Too Large" },
		{ 426, "Upgrade Required" },
		{ 429, "Too Many Requests" },
		{ 500, "Internal Server Error" },
		{ 503, "Service Unavailable" },
	};

	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		if (texts[i].status == status)
			return texts[i].text;
	return "Status";
}

void http_req_init(struct http_req *q)
{
	*q = (struct http_req){ .method = "" };
	list_init(&q->headers);
	buf_init(&q->body, WS_HTTP_BODY_MAX);
	buf_init(&q->reply, REPLY_MAX);
}

static void headers_free(struct http_req *q)
{
	struct list_node *n;

	while ((n = list_pop_front(&q->headers))) {
		struct ws_header *h = container_of(n, struct ws_header, node);

		OPENSSL_cleanse(h->value, strlen(h->value));
		free(h->value);
		free(h);
	}
}

void http_req_fini(struct conn *c)
{
	struct http_req *q = &c->req;

	hnd_del(&c->ctx->requests, q->handle);
	q->handle = 0;
	headers_free(q);
	free(q->path);
	free(q->query);
	q->path = q->query = NULL;
	buf_wipe(&q->body);
	buf_fini(&q->reply);
}

/* ---- headers ---- */

/* @name: lower case. Return: lws's token, or -1 for a header that lws has no name for */
static int token_of(const char *name)
{
	const size_t len = strlen(name);

	for (int t = 0; t < WSI_TOKEN_COUNT; t++) {
		const char *s = (const char *)lws_token_to_string((enum lws_token_indexes)t);

		if (s && strncmp(s, name, len) == 0 && strcmp(s + len, ":") == 0)
			return t;
	}
	return -1;
}

static char *header_copy(struct lws *wsi, const char *name)
{
	const int token = token_of(name);
	char key[128], *value;
	int len, n;

	n = snprintf(key, sizeof(key), "%s:", name);
	if (n < 0 || (size_t)n >= sizeof(key))
		return NULL;
	len = token >= 0 ? lws_hdr_total_length(wsi, (enum lws_token_indexes)token)
			 : lws_hdr_custom_length(wsi, key, n);
	if (len < 0 || (token >= 0 && len == 0) || !(value = malloc((size_t)len + 2)))
		return NULL;
	n = token >= 0 ? lws_hdr_copy(wsi, value, len + 2, (enum lws_token_indexes)token)
		       : lws_hdr_custom_copy(wsi, value, len + 2, key, n);
	if (n < 0) {
		free(value);
		return NULL;
	}
	while (n && (value[n - 1] == ' ' || value[n - 1] == '\t')) /* lws strips the front only */
		n--;
	value[n] = '\0';
	return value;
}

static const char *header_get(struct conn *c, const char *name)
{
	const size_t len = strlen(name);
	struct ws_header *h;

	list_for_each (n, &c->req.headers) {
		h = container_of(n, struct ws_header, node);
		if (strcasecmp(h->name, name) == 0)
			return h->value;
	}
	if (!c->wsi || !(h = malloc(sizeof(*h) + len + 1)))
		return NULL;
	for (size_t i = 0; i <= len; i++)
		h->name[i] = (char)tolower((unsigned char)name[i]);
	if (!(h->value = header_copy(c->wsi, h->name))) {
		free(h);
		return NULL;
	}
	list_node_init(&h->node);
	list_push_back(&c->req.headers, &h->node);
	return h->value;
}

const char *ws_req_header(struct ws_ctx *ctx, ws_req r, const char *name)
{
	struct conn *c = hnd_get(&ctx->requests, r);

	return c ? header_get(c, name) : NULL;
}

/* ---- answers ---- */

static bool pair_safe(const char *s)
{
	for (; *s; s++)
		if ((unsigned char)*s < ' ' && *s != '\t')
			return false;
	return true;
}

static int compose(struct http_req *q, int status, const char *type, const void *body, size_t len,
		   const char *const *headers)
{
	int r = buf_printf(&q->reply, "HTTP/1.1 %d %s\r\nContent-Length: %zu\r\n", status,
			   status_text(status), len);

	if (r == 0 && type)
		r = buf_printf(&q->reply, "Content-Type: %s\r\n", type);
	for (; r == 0 && headers && headers[0]; headers += 2) {
		ST_ASSERT(pair_safe(headers[0]) && pair_safe(headers[1]));
		r = buf_printf(&q->reply, "%s: %s\r\n", headers[0], headers[1]);
	}
	if (r == 0)
		r = buf_printf(&q->reply, "%s\r\n", q->close ? "Connection: close\r\n" : "");
	if (r == 0 && !q->head)
		r = buf_put(&q->reply, body, len);
	return r;
}

/* Return: what lws_http_transaction_completed() says: nonzero to close */
static int send_reply(struct conn *c)
{
	struct http_req *q = &c->req;
	int r;

	r = lws_write(c->wsi, (unsigned char *)(uintptr_t)buf_data(&q->reply), q->reply.len,
		      LWS_WRITE_HTTP_FINAL);
	http_req_fini(c);
	http_req_init(q);
	reqline_reset(c);
	c->http_since_ms = conn_now(c);
	return r < 0 ? -1 : 0;
}

/* An answer of our own, from inside a callback of lws. */
static int refuse(struct conn *c, int status, const char *text, bool close)
{
	struct http_req *q = &c->req;

	q->close |= close;
	if (compose(q, status, "text/plain", text, strlen(text), NULL) < 0 || send_reply(c) < 0)
		return -1;
	if (close)
		return -1;
	return lws_http_transaction_completed(c->wsi) ? -1 : 0;
}

void http_flush(struct conn *c)
{
	if (!c->req.reply.len || !c->wsi)
		return;
	lws_rx_flow_control(c->wsi, 1);
	if (send_reply(c) < 0) {
		conn_kill(c, ST_ECLOSED, 0, "connection lost");
		return;
	}
	conn_unwatch(c);
	if (lws_http_transaction_completed(c->wsi)) {
		lws_set_timeout(c->wsi, PENDING_TIMEOUT_USER_OK, LWS_TO_KILL_SYNC);
		ctx_busy(c->ctx);
	} else {
		/* lws reads the next request only after it was told that it may write */
		conn_service(c, POLLOUT);
		conn_service(c, POLLOUT);
		ctx_busy(c->ctx);
	}
	if (c->state == CONN_DEAD)
		conn_mark(c);
}

void ws_reply(struct ws_ctx *ctx, ws_req r, int status, const char *content_type, const void *body,
	      size_t len, const char *const *headers)
{
	struct conn *c = hnd_get(&ctx->requests, r);

	if (!c || c->kill || c->req.reply.len)
		return;
	if (compose(&c->req, status, content_type, body, len, headers) < 0)
		conn_kill(c, ST_ENOMEM, 0, "out of memory");
	conn_mark(c);
}

/* ---- requests ---- */

static char *join_query(struct lws *wsi)
{
	char part[WS_HEADERS_MAX];
	struct buf b;
	char *out = NULL;
	int r = 0;

	buf_init(&b, WS_HEADERS_MAX);
	for (int i = 0; r == 0; i++) {
		if (lws_hdr_copy_fragment(wsi, part, (int)sizeof(part), WSI_TOKEN_HTTP_URI_ARGS,
					  i) < 0)
			break;
		r = buf_printf(&b, "%s%s", i ? "&" : "", part);
	}
	if (r == 0)
		out = strndup(b.len ? (const char *)buf_data(&b) : "", b.len);
	buf_fini(&b);
	return out;
}

/* Fills the connection's request from lws's tables. Return: the method's index; -1 */
static int take_request(struct conn *c, const char *path)
{
	struct http_req *q = &c->req;
	size_t m = 0;

	http_req_fini(c);
	http_req_init(q);
	while (m < ARRAY_LEN(methods) && !lws_hdr_total_length(c->wsi, methods[m].token))
		m++;
	if (m == ARRAY_LEN(methods))
		return -1;
	q->method = methods[m].name;
	q->head = methods[m].token == WSI_TOKEN_HEAD_URI;
	q->path = strdup(path);
	q->query = join_query(c->wsi);
	if (!q->path || !q->query)
		return -1;
	reqline_use(c);
	return (int)m;
}

static void cert_name(struct conn *c, char *out, size_t cap)
{
	SSL *ssl = c->tls ? lws_get_ssl(c->wsi) : NULL;
	X509 *cert = ssl && SSL_get_verify_result(ssl) == X509_V_OK ? SSL_get1_peer_certificate(ssl)
								    : NULL;

	out[0] = '\0';
	if (cert && X509_NAME_get_text_by_NID(X509_get_subject_name(cert), NID_commonName, out,
					      (int)cap) < 0)
		out[0] = '\0';
	X509_free(cert);
}

static struct ws_request describe(struct conn *c, char name[128])
{
	const struct http_req *q = &c->req;

	cert_name(c, name, 128);
	return (struct ws_request){
		.method = q->method,
		.path = q->path,
		.query = q->query,
		.body = buf_data(&q->body),
		.body_len = q->body.len,
		.peer = c->peer,
		.tls = c->tls,
		.client_cert_name = name[0] ? name : NULL,
	};
}

static int deliver(struct conn *c)
{
	const struct ws_server *s = c->server;
	struct ws_request request;
	char name[128];

	if (!s || hnd_add(&c->ctx->requests, c, &c->req.handle) < 0)
		return refuse(c, 503, "busy\n", true);
	lws_set_timeout(c->wsi, NO_PENDING_TIMEOUT, 0); /* the owner may take its time */
	lws_rx_flow_control(c->wsi, 0);
	c->http_since_ms = 0;
	request = describe(c, name);
	s->events->request(s->arg, c->req.handle, &request);
	return 0;
}

/* curl, for one, waits a second for this before a larger body. */
static int ask_for_body(struct conn *c)
{
	static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
	const char *expect = header_get(c, "expect");

	if (!expect || strcasecmp(expect, "100-continue") != 0)
		return 0;
	return lws_write(c->wsi, (unsigned char *)(uintptr_t)go_on, strlen(go_on), LWS_WRITE_HTTP) <
			       0
		       ? -1
		       : 0;
}

int http_on_request(struct conn *c, const char *path)
{
	const int m = take_request(c, path);
	const char *length, *connection;
	char *end;
	unsigned long long n;

	if (m < 0)
		return refuse(c, 405, "unknown method\n", true);
	connection = header_get(c, "connection");
	c->req.close = connection && strcasecmp(connection, "close") == 0;
	/* lws 4.1.6 reads no chunked requests. */
	length = header_get(c, "content-length");
	if (header_get(c, "transfer-encoding") || (methods[m].body && !length))
		return refuse(c, 411, "Content-Length, please\n", true);
	if (!length)
		return deliver(c);
	n = strtoull(length, &end, 10);
	if (*end || end == length || *length == '-' || *length == '+')
		return refuse(c, 400, "bad Content-Length\n", true);
	if (n > WS_HTTP_BODY_MAX)
		return refuse(c, 413, "too large\n", n > INT64_MAX);
	if (n == 0 && methods[m].token != WSI_TOKEN_POST_URI)
		return deliver(c);
	/* http_on_body_end() follows, for an empty POST too */
	return n ? ask_for_body(c) : 0;
}

int http_on_body(struct conn *c, const uint8_t *p, size_t len)
{
	return len && buf_put(&c->req.body, p, len) < 0 ? -1 : 0;
}

int http_on_body_end(struct conn *c)
{
	if (c->req.handle)
		return -1; /* input behind the body, before the answer: see the theory above */
	return deliver(c);
}

static bool has_word(const char *list, const char *word)
{
	const size_t len = strlen(word);

	for (const char *p = list; *p;) {
		p += strspn(p, ", \t");
		const size_t n = strcspn(p, ", \t");

		if (n == len && strncasecmp(p, word, n) == 0)
			return true;
		p += n;
	}
	return false;
}

static int upgrade_fault(struct conn *c, const char *to)
{
	const char *version = header_get(c, "sec-websocket-version");
	const char *connection = header_get(c, "connection");

	if (strcasecmp(to, "websocket") != 0 || strcmp(c->req.method, "GET") != 0)
		return 400;
	if (!version || strcmp(version, "13") != 0)
		return 426;
	if (!connection || !has_word(connection, "upgrade") || !header_get(c, "host") ||
	    !header_get(c, "sec-websocket-key"))
		return 400;
	return 0;
}

/* Return: 0 to accept; 1: answered, close; -1: close */
int http_on_upgrade(struct conn *c, const char *to)
{
	const struct ws_server *s = c->server;
	const struct ws_events *events = NULL;
	struct ws_request request;
	char name[128], *path = NULL;
	void *arg = NULL;
	int status, len = 0;

	if (!s || lws_http_get_uri_and_method(c->wsi, &path, &len) < 0 || !path ||
	    take_request(c, path) < 0)
		return -1;
	status = upgrade_fault(c, to);
	/* Before the owner is asked: once it has accepted, its closed() will come. */
	if (!status && (hnd_add(&c->ctx->requests, c, &c->req.handle) < 0 ||
			hnd_add(&c->ctx->handles, c, &c->handle) < 0))
		status = 503;
	if (!status) {
		request = describe(c, name);
		status = s->events->upgrade ? s->events->upgrade(s->arg, c->req.handle, &request,
								 &events, &arg)
					    : 404;
	}
	if (status) {
		(void)refuse(c, status, "", true);
		return 1;
	}
	http_req_fini(c);
	http_req_init(&c->req);
	c->events = events;
	c->arg = arg;
	return c->kill ? -1 : 0;
}
