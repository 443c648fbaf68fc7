// SPDX-License-Identifier: MIT
/*
 * ws_reqline.c - a request's path and query as they were sent
 *
 * Theory of operation: lws keeps a URI decoded and tidied only (%41 is A, a + in the query is a
 * space, // is /), but a signature covers what was sent. So before lws reads the beginning of a
 * request, its first line is looked at in OpenSSL or in the socket, without taking it. What was seen
 * counts only if it decodes to what lws has: else (pipelined requests, untidy paths, a line in
 * more pieces than we saw) lws's form is used.
 */
#include "ws/ws_internal.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <openssl/err.h>

static ssize_t peek(const struct conn *c, void *p, size_t cap)
{
	SSL *ssl = c->tls ? lws_get_ssl(c->wsi) : NULL;
	int n;

	if (!c->tls)
		return recv(c->fd, p, cap, MSG_PEEK | MSG_DONTWAIT);
	if (!ssl || !SSL_is_init_finished(ssl))
		return 0;
	ERR_clear_error();
	n = SSL_peek(ssl, p, (int)cap);
	ERR_clear_error();
	return n;
}

void reqline_look(struct conn *c)
{
	struct buf *line = &c->line;
	char p[2048];
	const char *end;
	ssize_t n;

	if (c->line_done || !c->wsi)
		return;
	n = peek(c, p, sizeof(p));
	if (n <= 0)
		return;
	end = memchr(p, '\n', (size_t)n);
	c->line_done = end || (size_t)n == sizeof(p) || buf_put(line, p, (size_t)n) < 0;
	if (end && buf_put(line, p, (size_t)(end - p)) < 0)
		buf_consume(line, line->len);
}

void reqline_reset(struct conn *c)
{
	c->line_done = false;
	buf_consume(&c->line, c->line.len);
}

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)tolower((unsigned char)c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Whether @raw, decoded as lws decodes it, reads @decoded. */
static bool reads(const char *raw, size_t len, const char *decoded, bool query)
{
	const char *d = decoded;
	size_t i = 0;

	for (; i < len && *d; i++, d++) {
		char c = raw[i];

		if (c == '%' && len - i > 2 && hex(raw[i + 1]) >= 0 && hex(raw[i + 2]) >= 0) {
			c = (char)(hex(raw[i + 1]) * 16 + hex(raw[i + 2]));
			i += 2;
		} else if (c == '+') {
			c = ' ';
		} else if (query && c == ';') {
			c = '&';
		}
		if (c != *d)
			return false;
	}
	return i == len && !*d;
}

void reqline_use(struct conn *c)
{
	struct http_req *q = &c->req;
	const char *line = (const char *)buf_data(&c->line), *path, *end, *mark;
	char *raw_path, *raw_query;
	size_t query_len;

	if (!c->line.len || !(path = memchr(line, ' ', c->line.len)))
		return;
	path++;
	end = memchr(path, ' ', c->line.len - (size_t)(path - line));
	if (!end)
		return;
	mark = memchr(path, '?', (size_t)(end - path));
	query_len = mark ? (size_t)(end - mark) - 1 : 0;
	if (!reads(path, (size_t)((mark ? mark : end) - path), q->path, false) ||
	    !reads(mark ? mark + 1 : "", query_len, q->query, true))
		return;
	raw_path = strndup(path, (size_t)((mark ? mark : end) - path));
	raw_query = strndup(mark ? mark + 1 : "", query_len);
	if (!raw_path || !raw_query) {
		free(raw_path);
		free(raw_query);
		return;
	}
	free(q->path);
	free(q->query);
	q->path = raw_path;
	q->query = raw_query;
}
