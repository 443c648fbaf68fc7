// SPDX-License-Identifier: MIT
/* aws_web.h - a plain HTTP server on the test's own loop that answers by a table, for what plays IMDS and the container endpoint */
#ifndef TESTS_AWS_WEB_H
#define TESTS_AWS_WEB_H

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "tests/unit/aws/aws_fixture.h"

#define WEB_ROWS_MAX 16
#define WEB_CONNS_MAX 16
#define WEB_GOT_MAX 512

struct web_row {
	const char *method, *path;
	int status; /* 0: the connection is closed without an answer; -1: no answer at all */
	const char *body;
	const char
		*needs; /* a part of the request without which the answer is 401; NULL: nothing */
	uint32_t delay_ms;
	unsigned left; /* how many times it answers; 0: always */
};

struct web;
struct web_conn {
	struct web *web;
	int fd; /* -1: free */
	loop_watch watch;
	struct loop_timer timer;
	char in[2048];
	size_t len;
	const struct web_row *row;
};

struct web {
	struct loop *loop;
	int fd;
	loop_watch watch;
	char url[64]; /* "http://127.0.0.1:PORT" */
	struct web_row rows[WEB_ROWS_MAX];
	size_t n_rows;
	struct web_conn conns[WEB_CONNS_MAX];
	char got[WEB_GOT_MAX][128]; /* "GET /path", in order */
	size_t n_got;
	char last[2048]; /* the whole last request */
};

static inline void web_close(struct web_conn *c)
{
	loop_timer_cancel(c->web->loop, &c->timer);
	loop_fd_del(c->web->loop, &c->watch);
	close(c->fd);
	c->fd = -1;
}

static inline void web_answer(void *arg, uint64_t now_ms)
{
	struct web_conn *c = arg;
	const struct web_row *row = c->row;
	const char *body = row && row->body ? row->body : "";
	int status = row ? row->status : 404;
	char out[4096];
	int n;

	(void)now_ms;
	if (row && row->needs && !strstr(c->in, row->needs)) {
		status = 401;
		body = "";
	}
	n = snprintf(out, sizeof(out),
		     "HTTP/1.1 %d X\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n%s", status,
		     strlen(body), body);
	assert_true(n > 0 && (size_t)n < sizeof(out));
	if (status > 0 && send(c->fd, out, (size_t)n, MSG_NOSIGNAL) < 0)
		assert_int_equal(errno, EPIPE); /* nobody waits any more */
	web_close(c);
}

static inline struct web_row *web_row_of(struct web *w, const char *got)
{
	char line[256];

	for (size_t i = 0; i < w->n_rows; i++) {
		struct web_row *row = &w->rows[i];

		snprintf(line, sizeof(line), "%s %s", row->method, row->path);
		if (strcmp(line, got) != 0)
			continue;
		if (row->left == 1) { /* used up */
			row->method = "-";
			row->left = 0;
		}
		row->left -= row->left > 0;
		return row;
	}
	return NULL;
}

static inline void web_take(struct web_conn *c)
{
	struct web *w = c->web;
	char *got = w->got[w->n_got];
	size_t len = strcspn(c->in, " ");

	assert_true(w->n_got < WEB_GOT_MAX);
	w->n_got++;
	len += 1 + strcspn(c->in + len + 1, " ");
	assert_true(len < sizeof(w->got[0]));
	memcpy(got, c->in, len);
	got[len] = '\0';
	memcpy(w->last, c->in, sizeof(w->last));
	c->row = web_row_of(w, got);
	loop_fd_del(w->loop, &c->watch);
	if (c->row && c->row->status < 0)
		return; /* it hangs */
	assert_int_equal(loop_timer_set(w->loop, &c->timer,
					loop_now_ms(w->loop) + (c->row ? c->row->delay_ms : 0)),
			 0);
}

static inline void web_on_data(void *arg, uint32_t events, uint64_t now_ms)
{
	struct web_conn *c = arg;
	ssize_t n = read(c->fd, c->in + c->len, sizeof(c->in) - 1 - c->len);

	(void)events;
	(void)now_ms;
	if (n <= 0) {
		web_close(c);
		return;
	}
	c->len += (size_t)n;
	c->in[c->len] = '\0';
	if (strstr(c->in, "\r\n\r\n"))
		web_take(c);
}

static inline void web_on_conn(void *arg, uint32_t events, uint64_t now_ms)
{
	struct web *w = arg;

	(void)events;
	(void)now_ms;
	for (size_t i = 0; i < WEB_CONNS_MAX; i++) {
		struct web_conn *c = &w->conns[i];

		if (c->fd >= 0)
			continue;
		*c = (struct web_conn){ .web = w };
		loop_timer_init(&c->timer, web_answer, c);
		c->fd = accept4(w->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		assert_true(c->fd >= 0);
		assert_int_equal(loop_fd_add(w->loop, &c->watch, c->fd, EPOLLIN, web_on_data, c),
				 0);
		return;
	}
	fail_msg("more connections than expected");
}

static inline void web_start(struct web *w, struct loop *loop)
{
	struct sockaddr_in at = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(at);

	*w = (struct web){ .loop = loop };
	for (size_t i = 0; i < WEB_CONNS_MAX; i++)
		w->conns[i].fd = -1;
	w->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(w->fd >= 0);
	assert_int_equal(bind(w->fd, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(getsockname(w->fd, (struct sockaddr *)&at, &len), 0);
	assert_int_equal(listen(w->fd, 8), 0);
	snprintf(w->url, sizeof(w->url), "http://127.0.0.1:%u", ntohs(at.sin_port));
	assert_int_equal(loop_fd_add(loop, &w->watch, w->fd, EPOLLIN, web_on_conn, w), 0);
}

static inline void web_add(struct web *w, struct web_row row)
{
	assert_true(w->n_rows < WEB_ROWS_MAX);
	w->rows[w->n_rows++] = row;
}

/* Forgets rows and requests. */
static inline void web_clear(struct web *w)
{
	w->n_rows = w->n_got = 0;
}

static inline void web_stop(struct web *w)
{
	for (size_t i = 0; i < WEB_CONNS_MAX; i++)
		if (w->conns[i].fd >= 0)
			web_close(&w->conns[i]);
	loop_fd_del(w->loop, &w->watch);
	close(w->fd);
}

#endif
