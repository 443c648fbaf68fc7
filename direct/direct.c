// SPDX-License-Identifier: MIT
/*
 * direct.c - flows that leave by a marked socket of this machine
 *
 * Theory of operation: one non-blocking socket for each flow, watched edge-triggered for both directions from the start, so that no call
 * changes what is watched, and bytes that the owner can't take yet wake nobody twice: they stay in the kernel, whose window stops the
 * far side. What the owner writes goes to the kernel at once; only what that does not take now waits in our own buffer, whose room is
 * what dir_room() promises. A socket without the mark could be led back into our device: if it can't be marked, it is not opened.
 *
 * Events come from the loop: most from the descriptor's callback, those that a call finds out (refused at once, reset while reading) from
 * a task at the end of the turn. After each event the flow is looked up again: its owner may have closed it.
 *
 * An end in order outlives its owner: once both directions have ended, what is still in our buffer is sent on, for
 * LINGER_BUDGETS at most.
 */
#include "direct/direct.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/list.h"
#include "base/log.h"

/* bytes that the kernel does not take now; what it takes itself is by its own tcp_wmem. Fewer for one that came beside MANY_FLOWS */
#define OUT_MAX KIB(64)
#define OUT_MAX_MANY KIB(16)
#define MANY_FLOWS 256U
#define LINGER_BUDGETS 3U /* ours: connect budgets for the last 64 KiB to a slow far side, 30 s */

/*
 * States:
 * CONNECTING  in dir.connecting. Nothing can be read or written. Ends by the kernel's answer or the budget.
 * OPEN        data flows; each direction ends by itself: eof_read one way, fin_wanted and fin_sent the other.
 * ENDED       the last event (failed or gone) waits in dir.pending; no socket.
 * LINGERING   in dir.lingering: closed by its owner in order, no handle; the rest is being sent.
 */
enum conn_state { CONN_CONNECTING, CONN_OPEN, CONN_ENDED, CONN_LINGERING };

struct conn {
	dir_conn id;
	struct dir *dir;
	enum conn_state state;
	const struct dir_events *events;
	void *arg;
	int fd; /* -1: closed */
	loop_watch watch;
	struct list_node node; /* in the list of its state */
	uint64_t deadline_ms;  /* while CONNECTING or LINGERING */
	struct buf out;
	size_t counted; /* of @out, in dir.buffered */
	bool eof_read, fin_wanted, fin_sent;
	bool was_open; /* ENDED: gone, else failed */
	enum dir_failure why;
	int error; /* errno value of @why; 0: the budget */
};

struct dir {
	struct dir_opts opts;
	struct hnd_table conns;
	uint32_t n;			   /* conns and lingering ones */
	size_t buffered;		   /* bytes in the buffers of all */
	struct list connecting, lingering; /* by deadline: each list has one budget */
	struct list pending;
	struct loop_task task;
	struct loop_timer timer;
};

/* --- sockets */

static const struct {
	int error;
	enum dir_failure why;
} failures[] = {
	{ ECONNREFUSED, DIR_REFUSED },
	{ ECONNRESET, DIR_REFUSED },
	{ EHOSTUNREACH, DIR_HOST_UNREACHABLE },
	{ EHOSTDOWN, DIR_HOST_UNREACHABLE },
	{ ENETUNREACH, DIR_NET_UNREACHABLE },
	{ ENETDOWN, DIR_NET_UNREACHABLE },
	{ EAFNOSUPPORT, DIR_NET_UNREACHABLE }, /* no IPv6 here */
	{ EINVAL, DIR_NET_UNREACHABLE },       /* what a blackhole route says */
	{ EACCES, DIR_PROHIBITED },
	{ EPERM, DIR_PROHIBITED },
	{ ETIMEDOUT, DIR_TIMEOUT },
	{ EADDRNOTAVAIL, DIR_LIMIT }, /* no local port is left */
	{ EMFILE, DIR_LIMIT },
	{ ENFILE, DIR_LIMIT },
	{ ENOBUFS, DIR_LIMIT },
	{ ENOMEM, DIR_LIMIT },
	{ EAGAIN, DIR_LIMIT },
};

static enum dir_failure failure_of(int error)
{
	for (size_t i = 0; i < ARRAY_LEN(failures); i++)
		if (failures[i].error == error)
			return failures[i].why;
	return DIR_FAILED;
}

/* Return: 0; ST_EPERM: not marked, so not to be used */
static int socket_mark(const struct dir *d, int fd)
{
	const uint32_t mark = d->opts.mark;

	if (!mark || setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof(mark)) == 0)
		return 0;
	log_limited(loop_now_ms(d->opts.loop), LOG_ERROR,
		    "direct: mark a socket: %s (needs CAP_NET_ADMIN)", strerror(errno));
	return ST_EPERM;
}

/* Return: 0; an errno value: what the kernel says of the way or the far side at once */
static int socket_connect(int fd, const struct net_endpoint *dst)
{
	struct sockaddr_storage sa;
	socklen_t len = net_sockaddr(&sa, dst);
	const int one = 1;

	/* Both only for comfort: bytes are forwarded as they come, and a far side that died is noticed some day. */
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
	if (connect(fd, (struct sockaddr *)&sa, len) == 0 || errno == EINPROGRESS)
		return 0;
	return errno;
}

static void socket_close(struct conn *c, bool reset)
{
	const struct linger now = { .l_onoff = 1, .l_linger = 0 };

	if (c->fd < 0)
		return;
	loop_fd_del(c->dir->opts.loop, &c->watch);
	if (reset)
		setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(c->fd);
	c->fd = -1;
}

/* --- life of a flow */

static struct conn *conn_get(const struct dir *d, dir_conn c)
{
	return hnd_get(&d->conns, c);
}

/* After each change of @c's buffer. */
static void count(struct conn *c)
{
	c->dir->buffered += c->out.len - c->counted; /* unsigned: the difference may be negative */
	c->counted = c->out.len;
}

static void timer_arm(struct dir *d)
{
	const struct list *lists[] = { &d->connecting, &d->lingering };
	uint64_t at_ms = UINT64_MAX;

	for (size_t i = 0; i < ARRAY_LEN(lists); i++)
		if (!list_empty(lists[i]))
			at_ms = MIN(
				at_ms,
				container_of(lists[i]->head.next, struct conn, node)->deadline_ms);
	if (at_ms == UINT64_MAX)
		loop_timer_cancel(d->opts.loop, &d->timer);
	else if (loop_timer_set(d->opts.loop, &d->timer, at_ms) < 0)
		log_warn("direct: no memory for a timer: time limits hold from the next flow on");
}

static void conn_free(struct conn *c, bool reset)
{
	struct dir *d = c->dir;

	socket_close(c, reset);
	if (list_linked(&c->node))
		list_del(&c->node);
	hnd_del(&d->conns, c->id);
	buf_fini(&c->out);
	d->buffered -= c->counted;
	free(c);
	d->n--;
	timer_arm(d);
}

/* The last event waits; what is in our buffer has nobody to go to. */
static void conn_end(struct conn *c, int error)
{
	socket_close(c, true);
	buf_fini(&c->out);
	buf_init(&c->out, 0);
	count(c);
	if (list_linked(&c->node))
		list_del(&c->node);
	c->was_open = c->state == CONN_OPEN;
	c->why = error ? failure_of(error) : DIR_TIMEOUT;
	c->error = error;
	c->state = CONN_ENDED;
	list_push_back(&c->dir->pending, &c->node);
	loop_task_post(c->dir->opts.loop, &c->dir->task);
	timer_arm(c->dir);
}

static void tell_end(struct conn *c)
{
	const struct dir_events *to = c->events;
	const bool gone = c->was_open;
	const enum dir_failure why = c->why;
	const dir_conn id = c->id;
	void *arg = c->arg;
	char text[96];

	if (c->error)
		snprintf(text, sizeof(text), "%s", strerror(c->error));
	else
		snprintf(text, sizeof(text), "no answer within %u s",
			 c->dir->opts.connect_budget_ms / 1000U);
	conn_free(c, true);
	if (gone)
		to->gone(arg, id);
	else
		to->failed(arg, id, why, text);
}

static void tell_ends(void *arg, uint64_t now_ms)
{
	struct dir *d = arg;
	struct list_node *n;
	struct list now;

	(void)now_ms;
	list_init(
		&now); /* an owner that opens the next one at each failure waits for the next turn */
	list_splice_back(&now, &d->pending);
	while ((n = list_pop_front(&now)))
		tell_end(container_of(n, struct conn, node));
}

/* Return: the first of @l if its time is over, taken out */
static struct conn *pop_expired(struct list *l, uint64_t now_ms)
{
	/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): it misses that list_pop_front() changed the head before a node was freed */
	if (list_empty(l) || container_of(l->head.next, struct conn, node)->deadline_ms > now_ms)
		return NULL;
	return container_of(list_pop_front(l), struct conn, node);
}

static void expire(void *arg, uint64_t now_ms)
{
	struct dir *d = arg;
	struct conn *c;

	while ((c = pop_expired(&d->connecting, now_ms)))
		conn_end(c, 0);
	while ((c = pop_expired(&d->lingering, now_ms)))
		conn_free(c, true);
	timer_arm(d);
}

/* --- what the socket says */

/* Sends what waits, then the FIN if it is its turn. Return: 0; an errno value: the connection is over */
static int flush(struct conn *c)
{
	while (c->out.len > 0) {
		ssize_t n = send(c->fd, buf_data(&c->out), c->out.len, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? 0 : errno;
		buf_consume(&c->out, (size_t)n);
		count(c);
	}
	if (c->fin_wanted && !c->fin_sent) {
		c->fin_sent = true;
		if (shutdown(c->fd, SHUT_WR) < 0)
			return errno;
	}
	return 0;
}

static int socket_error(const struct conn *c)
{
	int error = 0;
	socklen_t len = sizeof(error);

	return getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0 ? errno : error;
}

static void on_connected(struct conn *c)
{
	list_del(&c->node);
	timer_arm(c->dir);
	c->state = CONN_OPEN;
	c->events->opened(c->arg, c->id);
}

static void on_lingering(struct conn *c, uint32_t events)
{
	int error = events & EPOLLERR ? socket_error(c) : 0;

	if (!error)
		error = flush(c);
	if (error || c->fin_sent)
		conn_free(c, error != 0);
}

static void on_writable(struct dir *d, dir_conn id)
{
	struct conn *c = conn_get(d, id);
	int error;

	if (!c || c->state != CONN_OPEN || c->out.len == 0)
		return;
	if ((error = flush(c)))
		conn_end(c, error);
	else if (!c->fin_wanted && buf_room(&c->out) >= c->out.max / 4)
		c->events->writable(c->arg, id);
}

static void on_readable(struct dir *d, dir_conn id)
{
	const struct conn *c = conn_get(d, id);

	if (c && c->state == CONN_OPEN && !c->eof_read)
		c->events->readable(c->arg, id);
}

static void on_socket(void *arg, uint32_t events, uint64_t now_ms)
{
	struct conn *c = arg;
	struct dir *d = c->dir;
	const dir_conn id = c->id;
	int error;

	(void)now_ms;
	if (c->state == CONN_LINGERING) {
		on_lingering(c, events);
		return;
	}
	if ((events & EPOLLERR) && (error = socket_error(c))) {
		conn_end(c, error);
		return;
	}
	if (c->state == CONN_CONNECTING) {
		if (!(events & EPOLLOUT))
			return;
		on_connected(c);
	}
	if (events & EPOLLOUT)
		on_writable(d, id);
	if (events & (EPOLLIN | EPOLLHUP))
		on_readable(d, id);
}

/* --- calls */

int dir_new(struct dir **out, const struct dir_opts *opts)
{
	struct dir *d = calloc(1, sizeof(*d));

	if (!d)
		return ST_ENOMEM;
	d->opts = *opts;
	if (d->opts.flows_max == 0)
		d->opts.flows_max = DIR_FLOWS_MAX;
	if (d->opts.connect_budget_ms == 0)
		d->opts.connect_budget_ms = DIR_CONNECT_BUDGET_MS;
	hnd_init(&d->conns, d->opts.flows_max);
	list_init(&d->connecting);
	list_init(&d->lingering);
	list_init(&d->pending);
	loop_task_init(&d->task, LOOP_FLUSH, tell_ends, d);
	loop_timer_init(&d->timer, expire, d);
	*out = d;
	return 0;
}

void dir_free(struct dir *d)
{
	struct list_node *n;
	struct conn *c;
	uint32_t pos = 0;

	if (!d)
		return;
	while ((c = hnd_next(&d->conns, &pos)))
		conn_free(c, true);
	while ((n = list_pop_front(&d->lingering)))
		conn_free(container_of(n, struct conn, node), true);
	loop_task_cancel(&d->task);
	loop_timer_cancel(d->opts.loop, &d->timer);
	hnd_fini(&d->conns);
	free(d);
}

/* Each flow costs one: who has many must allow many. */
static void tell_no_descriptor(const struct dir *d, int error)
{
	struct rlimit files = { 0 };

	getrlimit(RLIMIT_NOFILE, &files);
	log_limited(loop_now_ms(d->opts.loop), LOG_WARN,
		    "direct: new connections are reset: %s (RLIMIT_NOFILE is %llu, %u connections "
		    "are open here): allow more by ulimit -n or LimitNOFILE=",
		    strerror(error), (unsigned long long)files.rlim_cur, d->n - 1);
}

/* What the kernel refuses at once is the far side's answer and comes as an event. */
static int conn_start(struct conn *c, const struct net_endpoint *dst)
{
	struct dir *d = c->dir;
	int error, r;

	c->fd = socket(dst->addr.family == 6 ? AF_INET6 : AF_INET,
		       SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (c->fd < 0) {
		error = errno;
		if (error == EMFILE || error == ENFILE)
			tell_no_descriptor(d, error);
		conn_end(c, error);
		return 0;
	}
	if ((r = socket_mark(d, c->fd)) < 0)
		return r;
	if ((error = socket_connect(c->fd, dst))) {
		conn_end(c, error);
		return 0;
	}
	r = loop_fd_add(d->opts.loop, &c->watch, c->fd, EPOLLIN | EPOLLOUT | EPOLLET, on_socket, c);
	if (r < 0)
		return r;
	c->deadline_ms = loop_now_ms(d->opts.loop) + d->opts.connect_budget_ms;
	list_push_back(&d->connecting, &c->node);
	timer_arm(d);
	return 0;
}

int dir_open(struct dir *d, dir_conn *out, const struct net_endpoint *dst, bool any,
	     const struct dir_events *events, void *arg)
{
	struct conn *c;
	int r;

	if (!dst->addr.family || dst->port == 0)
		return ST_EINVAL;
	if (!any && net_addr_is_local_only(&dst->addr))
		return ST_EPERM;
	if (d->n >= d->opts.flows_max)
		return ST_EFULL;
	if (!(c = calloc(1, sizeof(*c))))
		return ST_ENOMEM;
	*c = (struct conn){ .dir = d, .fd = -1, .events = events, .arg = arg };
	list_node_init(&c->node);
	buf_init(&c->out, d->n >= MANY_FLOWS ? OUT_MAX_MANY : OUT_MAX);
	if ((r = hnd_add(&d->conns, c, &c->id)) < 0) {
		free(c);
		return r;
	}
	d->n++;
	if ((r = conn_start(c, dst)) < 0) {
		conn_free(c, true);
		return r;
	}
	*out = c->id;
	return 0;
}

size_t dir_buffered(const struct dir *d)
{
	return d->buffered;
}

ssize_t dir_read(struct dir *d, dir_conn id, uint8_t *buf, size_t cap)
{
	struct conn *c = conn_get(d, id);
	ssize_t n;

	if (!c || c->state == CONN_ENDED)
		return ST_ECLOSED;
	if (c->state != CONN_OPEN || cap == 0)
		return ST_EAGAIN;
	if (c->eof_read)
		return 0;
	do
		n = recv(c->fd, buf, cap, 0);
	while (n < 0 && errno == EINTR);
	if (n > 0)
		return n;
	if (n == 0) {
		c->eof_read = true;
		return 0;
	}
	if (errno == EAGAIN)
		return ST_EAGAIN;
	conn_end(c, errno);
	return ST_ECLOSED;
}

size_t dir_room(struct dir *d, dir_conn id)
{
	const struct conn *c = conn_get(d, id);

	return c && c->state == CONN_OPEN && !c->fin_wanted ? buf_room(&c->out) : 0;
}

/* What the kernel takes now does not pass through our buffer. Return: 0; an errno value: the connection is over */
static int send_or_keep(struct conn *c, const uint8_t *p, size_t len)
{
	ssize_t n = 0;

	if (c->out.len == 0)
		n = send(c->fd, p, len, MSG_NOSIGNAL);
	if (n < 0 && errno != EAGAIN && errno != EINTR)
		return errno;
	n = MAX(n, 0);
	if ((size_t)n == len)
		return 0;
	if (buf_put(&c->out, p + n, len - (size_t)n) < 0)
		return ENOMEM;
	count(c);
	return flush(c); /* up to EAGAIN: only that promises an edge */
}

int dir_write(struct dir *d, dir_conn id, const uint8_t *p, size_t len)
{
	struct conn *c = conn_get(d, id);
	int error;

	if (!c || c->state != CONN_OPEN || c->fin_wanted)
		return ST_ECLOSED;
	ST_ASSERT(len <= buf_room(&c->out));
	if (len == 0 || !(error = send_or_keep(c, p, len)))
		return 0;
	conn_end(c, error);
	return error == ENOMEM ? ST_ENOMEM : ST_ECLOSED;
}

void dir_shutdown(struct dir *d, dir_conn id)
{
	struct conn *c = conn_get(d, id);
	int error;

	if (!c || c->state != CONN_OPEN || c->fin_wanted)
		return;
	c->fin_wanted = true;
	if ((error = flush(c)))
		conn_end(c, error);
}

static void linger(struct conn *c)
{
	struct dir *d = c->dir;

	hnd_del(&d->conns, c->id);
	c->id = 0;
	c->state = CONN_LINGERING;
	c->deadline_ms = loop_now_ms(d->opts.loop) +
			 LINGER_BUDGETS * (uint64_t)d->opts.connect_budget_ms;
	list_push_back(&d->lingering, &c->node);
	timer_arm(d);
}

void dir_close(struct dir *d, dir_conn id)
{
	struct conn *c = conn_get(d, id);

	if (!c)
		return;
	if (c->state == CONN_OPEN && c->eof_read && c->fin_wanted && !c->fin_sent)
		linger(c);
	else
		conn_free(c, !(c->eof_read && c->fin_sent));
}
