// SPDX-License-Identifier: MIT
/*
 * control.c - the control socket's two ends
 *
 * Theory of operation: a client sends one line and gets one line. Clients sit in a fixed table; each has a
 * bounded input, a bounded output and one deadline. A client that is slow, greedy or garbled loses its own connection only.
 */
#include "daemon/control.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/log.h"

#define ACCEPT_RETRY_MS 200U /* ours */

struct client {
	struct control *control;
	int fd; /* -1: free */
	loop_watch watch;
	struct loop_timer deadline;
	struct buf in, out;
};

struct control {
	struct loop *loop;
	int fd;
	loop_watch watch;
	struct loop_timer retry; /* accept again after descriptors or memory ran out */
	uid_t owner;
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	control_fn *handle;
	void *arg;
	struct client clients[CONTROL_CLIENTS_MAX];
};

static void client_drop(struct client *cl)
{
	if (cl->fd < 0)
		return;
	loop_timer_cancel(cl->control->loop, &cl->deadline);
	loop_fd_del(cl->control->loop, &cl->watch);
	close(cl->fd);
	cl->fd = -1;
	buf_fini(&cl->in);
	buf_fini(&cl->out);
}

static void on_deadline(void *arg, uint64_t now_ms)
{
	(void)now_ms;
	client_drop(arg);
}

static void client_flush(struct client *cl)
{
	while (cl->out.len > 0) {
		ssize_t n = send(cl->fd, buf_data(&cl->out), cl->out.len, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			loop_fd_mod(cl->control->loop, cl->watch, EPOLLOUT);
			return;
		}
		if (n < 0)
			break;
		buf_consume(&cl->out, (size_t)n);
	}
	client_drop(cl); /* one exchange a connection */
}

static void client_answer(struct client *cl, json_t *answer)
{
	static const char too_long[] = "{\"ok\":false,\"error\":\"the answer is longer than 256 "
				       "KiB, or there is no memory "
				       "for it: see the log\"}";
	char *text = json_dumps(answer, JSON_COMPACT);
	const char *line = text && strlen(text) < CONTROL_BACKLOG_MAX ? text : too_long;

	json_decref(answer);
	if (line == too_long)
		log_warn("control: an answer did not fit %zu bytes", (size_t)CONTROL_BACKLOG_MAX);
	if (buf_put(&cl->out, line, strlen(line)) < 0 || buf_put(&cl->out, "\n", 1) < 0)
		client_drop(cl);
	else
		client_flush(cl);
	free(text);
}

static json_t *refusal(const char *text)
{
	return json_pack("{s:b, s:s}", "ok", 0, "error", text);
}

static void client_request(struct client *cl, size_t line_len)
{
	json_error_t e;
	json_t *request = json_loadb((const char *)buf_data(&cl->in), line_len, 0, &e);

	buf_consume(&cl->in, cl->in.len);
	if (!json_is_object(request)) {
		json_decref(request);
		client_answer(cl, refusal("a request is one JSON object on one line"));
		return;
	}
	json_t *answer = cl->control->handle(cl->control->arg, request);
	json_decref(request);
	client_answer(cl, answer);
}

static void on_client(void *arg, uint32_t events, uint64_t now_ms)
{
	struct client *cl = arg;
	uint8_t *p;

	(void)now_ms;
	if (cl->out.len > 0) {
		if (events & (EPOLLERR | EPOLLHUP))
			client_drop(cl);
		else
			client_flush(cl);
		return;
	}
	size_t room = buf_room(&cl->in);
	if (room == 0) {
		client_answer(cl, refusal("the request is longer than 64 KiB"));
		return;
	}
	room = MIN(room, KIB(4));
	if (buf_reserve(&cl->in, room, &p) < 0) {
		client_drop(cl);
		return;
	}
	ssize_t n = recv(cl->fd, p, room, 0);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		client_drop(cl);
		return;
	}
	buf_commit(&cl->in, (size_t)n);
	const uint8_t *end = memchr(buf_data(&cl->in), '\n', cl->in.len);
	if (end)
		client_request(cl, (size_t)(end - buf_data(&cl->in)));
}

static bool peer_allowed(const struct control *c, int fd)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
		return false;
	return cred.uid == 0 || cred.uid == c->owner;
}

static void refuse_now(int fd, const char *line)
{
	(void)!send(fd, line, strlen(line), MSG_NOSIGNAL | MSG_DONTWAIT);
	close(fd);
}

/* The connection stays in the kernel's queue, where it would wake us at once again: do not look for a while. */
static void accept_failed(struct control *c, uint64_t now_ms)
{
	if (errno != EMFILE && errno != ENFILE && errno != ENOMEM && errno != ENOBUFS)
		return;
	log_limited(now_ms, LOG_WARN, "control: can't accept a connection: out of resources");
	if (loop_timer_set(c->loop, &c->retry, now_ms + ACCEPT_RETRY_MS) == 0)
		loop_fd_mod(c->loop, c->watch, 0);
}

static void on_retry(void *arg, uint64_t now_ms)
{
	struct control *c = arg;

	(void)now_ms;
	loop_fd_mod(c->loop, c->watch, EPOLLIN);
}

static void on_connect(void *arg, uint32_t events, uint64_t now_ms)
{
	struct control *c = arg;
	struct client *cl = NULL;
	int fd = accept4(c->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	(void)events;
	if (fd < 0) {
		accept_failed(c, now_ms);
		return;
	}
	if (!peer_allowed(c, fd)) {
		refuse_now(fd, "{\"ok\":false,\"error\":\"only root and the user who started this "
			       "ssm-tun may "
			       "ask it\"}\n");
		return;
	}
	for (size_t i = 0; i < CONTROL_CLIENTS_MAX && !cl; i++)
		if (c->clients[i].fd < 0)
			cl = &c->clients[i];
	if (!cl) {
		refuse_now(fd, "{\"ok\":false,\"error\":\"8 clients are connected already\"}\n");
		return;
	}
	cl->fd = fd;
	buf_init(&cl->in, CONTROL_LINE_MAX);
	buf_init(&cl->out, CONTROL_BACKLOG_MAX);
	if (loop_fd_add(c->loop, &cl->watch, fd, EPOLLIN, on_client, cl) < 0 ||
	    loop_timer_set(c->loop, &cl->deadline, now_ms + CONTROL_REQUEST_MS) < 0)
		client_drop(cl);
}

int control_listen(struct control **out, struct loop *loop, const char *path, uid_t owner,
		   control_fn *handle, void *arg)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	struct control *c;
	mode_t mask;
	int r;

	if (strlen(path) >= sizeof(sa.sun_path))
		return ST_EINVAL;
	if (!(c = calloc(1, sizeof(*c))))
		return ST_ENOMEM;
	memcpy(sa.sun_path, path, strlen(path));
	memcpy(c->path, path, strlen(path));
	c->loop = loop;
	c->owner = owner;
	c->handle = handle;
	c->arg = arg;
	loop_timer_init(&c->retry, on_retry, c);
	for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++) {
		c->clients[i] = (struct client){ .control = c, .fd = -1 };
		loop_timer_init(&c->clients[i].deadline, on_deadline, &c->clients[i]);
	}
	c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (c->fd < 0) {
		r = log_sys("control socket");
		goto fail;
	}
	mask = umask(0177);
	r = bind(c->fd, (struct sockaddr *)&sa, sizeof(sa));
	umask(mask);
	if (r < 0 || listen(c->fd, 8) < 0) {
		r = log_sys("control socket %s", path);
		goto fail_fd;
	}
	if ((r = loop_fd_add(loop, &c->watch, c->fd, EPOLLIN, on_connect, c)) < 0)
		goto fail_path;
	*out = c;
	return 0;
fail_path:
	unlink(path);
fail_fd:
	close(c->fd);
fail:
	free(c);
	return r;
}

void control_free(struct control *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++)
		client_drop(&c->clients[i]);
	loop_timer_cancel(c->loop, &c->retry);
	loop_fd_del(c->loop, &c->watch);
	close(c->fd);
	unlink(c->path);
	free(c);
}

/* ---- the client's end */

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int connect_to(const char *path)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };

	if (strlen(path) >= sizeof(sa.sun_path))
		return ST_EINVAL;
	memcpy(sa.sun_path, path, strlen(path));
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return log_sys("control socket");
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0)
		return fd;
	int e = errno;
	close(fd);
	errno = e;
	if (e == EACCES || e == EPERM)
		return ST_EPERM;
	return e == ENOENT || e == ECONNREFUSED ? ST_ENOENT : log_sys("connect %s", path);
}

/* Reads to the end of the peer's one line. */
static int read_answer(int fd, struct buf *b, int64_t deadline_ms)
{
	for (;;) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		int64_t left = deadline_ms - now_ms();
		uint8_t *at;
		int r = left > 0 ? poll(&p, 1, (int)left) : 0;

		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0)
			return r == 0 ? ST_ETIMEOUT : log_sys("control socket: wait");
		r = buf_reserve(b, KIB(4), &at);
		if (r < 0)
			return r;
		ssize_t n = recv(fd, at, KIB(4), 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return b->len ? 0 : ST_ECLOSED;
		buf_commit(b, (size_t)n);
		if (memchr(at, '\n', (size_t)n))
			return 0;
	}
}

/* The one line that an answer is. */
static int parse_answer(const struct buf *b, json_t **out)
{
	json_error_t e;

	*out = json_loadb((const char *)buf_data(b), b->len, JSON_DISABLE_EOF_CHECK, &e);
	if (json_is_object(*out))
		return 0;
	json_decref(*out);
	*out = NULL; /* callers release it whatever we return */
	return ST_EFORMAT;
}

/* @request as one line. Return: bytes, and *@out to be freed; ST_ENOMEM; ST_EINVAL */
static ssize_t make_line(const json_t *request, char **out)
{
	char *text = json_dumps(request, JSON_COMPACT);
	size_t len = text ? strlen(text) : 0;

	if (!text)
		return ST_ENOMEM;
	if (len >= CONTROL_LINE_MAX) {
		free(text);
		return ST_EINVAL;
	}
	text[len] = '\n'; /* in place of the NUL */
	*out = text;
	return (ssize_t)len + 1;
}

int control_ask(const char *path, const json_t *request, uint32_t timeout_ms, json_t **out)
{
	int64_t deadline = now_ms() + timeout_ms;
	struct buf b;
	char *line;
	ssize_t n = make_line(request, &line);
	int r, fd;

	if (n < 0)
		return (int)n;
	if ((fd = connect_to(path)) < 0) {
		free(line);
		return fd;
	}
	buf_init(&b, CONTROL_BACKLOG_MAX + KIB(8));
	/* A peer that refuses us may have closed already: its line is still there to be read. */
	(void)!send(fd, line, (size_t)n, MSG_NOSIGNAL);
	free(line);
	r = read_answer(fd, &b, deadline);
	close(fd);
	if (r == 0)
		r = parse_answer(&b, out);
	buf_fini(&b);
	return r;
}

int control_cmd(const char *path, const char *cmd, uint32_t timeout_ms, json_t **out)
{
	json_t *request = json_pack("{s:s}", "cmd", cmd);
	int r = request ? control_ask(path, request, timeout_ms, out) : ST_ENOMEM;

	json_decref(request);
	return r;
}
