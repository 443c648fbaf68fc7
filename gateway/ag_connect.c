// SPDX-License-Identifier: MIT
/*
 * ag_connect.c - from a host and a port to a connected socket, without blocking
 *
 * Theory of operation: getaddrinfo() blocks, so a name is looked up by a child process that writes one answer
 * to a pipe and ends; it keeps no other descriptor of ours, or closed connections would live on in it. Then the
 * addresses are tried one after another. Every failure is told from the loop, never from inside ag_connect_start().
 *
 * States: IDLE; LOOKUP until the pipe speaks; DIALING, one address at a time; FAILED, to be told by the timer.
 */
#include "gateway/ag_connect.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/text.h"
#include "gateway/gw_internal.h" /* gw_is_loopback() */

/* What the child says, in one write that a pipe takes whole. */
struct answer {
	int gai_error;
	uint32_t n;
	struct net_endpoint addr[AG_CONNECT_ADDRS];
};
_Static_assert(sizeof(struct answer) <= 4096, "an answer is one PIPE_BUF");

static void try_next(struct ag_connect *c);

static void drop_fd(struct ag_connect *c)
{
	loop_fd_del(c->loop, &c->watch);
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
}

static void drop_child(struct ag_connect *c)
{
	if (!c->child)
		return;
	kill(c->child, SIGKILL);
	while (waitpid(c->child, NULL, 0) < 0 && errno == EINTR)
		;
	c->child = 0;
	--*c->lookups;
}

void ag_connect_stop(struct ag_connect *c)
{
	drop_fd(c);
	drop_child(c);
	loop_timer_cancel(c->loop, &c->timer);
	c->state = AG_CONNECT_IDLE;
}

/* The end: what it means is the owner's. */
static void tell(struct ag_connect *c, int fd, int err)
{
	ag_connect_stop(c);
	c->fn(c->arg, fd, err);
}

static void arm(struct ag_connect *c, uint64_t in_ms)
{
	if (loop_timer_set(c->loop, &c->timer, loop_now_ms(c->loop) + in_ms) < 0)
		log_error("connect: no memory for a timer");
}

static void fail_later(struct ag_connect *c, int err)
{
	c->state = AG_CONNECT_FAILED;
	c->err = err;
	arm(c, 0);
}

/* ---- addresses ---- */

static void on_socket(void *arg, uint32_t events, uint64_t now_ms)
{
	struct ag_connect *c = arg;
	socklen_t len = sizeof(c->err);
	int fd = c->fd;

	(void)events;
	(void)now_ms;
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &c->err, &len) < 0)
		c->err = errno;
	if (c->err) {
		drop_fd(c);
		try_next(c);
		return;
	}
	loop_fd_del(c->loop, &c->watch);
	c->fd = -1; /* the owner's */
	tell(c, fd, 0);
}

/* Return: 0 under way; else errno */
static int try_one(struct ag_connect *c, const struct net_endpoint *to)
{
	struct sockaddr_storage sa;
	socklen_t len = net_sockaddr(&sa, to);
	int one = 1;

	c->fd = socket(sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (c->fd < 0)
		return errno;
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (connect(c->fd, (struct sockaddr *)&sa, len) < 0 && errno != EINPROGRESS)
		return errno;
	return loop_fd_add(c->loop, &c->watch, c->fd, EPOLLOUT, on_socket, c) < 0 ? EMFILE : 0;
}

static void try_next(struct ag_connect *c)
{
	c->state = AG_CONNECT_DIALING;
	while (c->next < c->n) {
		int err = try_one(c, &c->addr[c->next++]);

		if (!err) {
			arm(c, AG_CONNECT_MS);
			return;
		}
		c->err = err;
		drop_fd(c);
	}
	fail_later(c, c->err);
}

/* ---- names ---- */

/* Whoever answers for a name can't point it at the metadata service and its like: those are reached by their address only.
 * Loopback may be meant: the machine's own name often stands in /etc/hosts so. */
static bool answer_fits(const struct net_addr *a)
{
	return !net_addr_is_local_only(a) || gw_is_loopback(a);
}

static void answer_make(struct answer *out, const char *host, uint16_t port)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG }, *list;

	out->gai_error = getaddrinfo(host, NULL, &hints, &list);
	if (out->gai_error)
		return;
	for (struct addrinfo *a = list; a && out->n < AG_CONNECT_ADDRS; a = a->ai_next)
		if (net_from_sockaddr(&out->addr[out->n], a->ai_addr) == 0 &&
		    answer_fits(&out->addr[out->n].addr))
			out->addr[out->n++].port = port;
	freeaddrinfo(list);
}

/* The life of the child. */
_Noreturn static void look_up(int to_parent, const char *host, uint16_t port)
{
	struct answer a = { 0 };

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	fd_keep_only(to_parent);
	answer_make(&a, host, port);
	_exit(fd_write_all(to_parent, &a, sizeof(a)) < 0);
}

static void on_pipe(void *arg, uint32_t events, uint64_t now_ms)
{
	struct ag_connect *c = arg;
	struct answer a;
	ssize_t n = read(c->fd, &a, sizeof(a));

	(void)events;
	(void)now_ms;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	drop_fd(c);
	drop_child(c);
	if (n != (ssize_t)sizeof(a) || a.gai_error || !a.n) {
		log_limited(loop_now_ms(c->loop), LOG_WARN, "look-up failed: %s",
			    n == (ssize_t)sizeof(a) && a.gai_error ? gai_strerror(a.gai_error)
								   : "no address");
		fail_later(c, EHOSTUNREACH);
		return;
	}
	c->n = MIN(a.n, AG_CONNECT_ADDRS);
	memcpy(c->addr, a.addr, sizeof(c->addr));
	try_next(c);
}

static void look_up_start(struct ag_connect *c, const char *host, uint16_t port)
{
	int ends[2];

	if (*c->lookups >= AG_LOOKUPS_MAX || pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0) {
		fail_later(c, EAGAIN);
		return;
	}
	c->fd = ends[0];
	c->child = fork();
	if (c->child == 0)
		look_up(ends[1], host, port);
	close(ends[1]);
	if (c->child < 0) {
		c->child = 0;
		drop_fd(c);
		fail_later(c, EAGAIN);
		return;
	}
	++*c->lookups;
	if (loop_fd_add(c->loop, &c->watch, c->fd, EPOLLIN, on_pipe, c) < 0) {
		drop_fd(c);
		drop_child(c);
		fail_later(c, EMFILE);
		return;
	}
	c->state = AG_CONNECT_LOOKUP;
	arm(c, AG_CONNECT_MS);
}

/* ---- the calls ---- */

static void on_timer(void *arg, uint64_t now_ms)
{
	struct ag_connect *c = arg;

	(void)now_ms;
	if (c->state != AG_CONNECT_DIALING) {
		tell(c, -1, c->state == AG_CONNECT_FAILED ? c->err : ETIMEDOUT);
		return;
	}
	c->err = ETIMEDOUT;
	drop_fd(c);
	try_next(c);
}

void ag_connect_init(struct ag_connect *c, struct loop *loop, uint32_t *lookups, ag_connect_fn *fn,
		     void *arg)
{
	*c = (struct ag_connect){
		.loop = loop, .lookups = lookups, .fn = fn, .arg = arg, .fd = -1
	};
	loop_timer_init(&c->timer, on_timer, c);
}

static void addr_add(struct ag_connect *c, const char *literal, uint16_t port)
{
	if (net_addr_parse(&c->addr[c->n].addr, literal) == 0)
		c->addr[c->n++].port = port;
}

void ag_connect_start(struct ag_connect *c, const char *host, uint16_t port)
{
	ST_ASSERT(ag_connect_is_idle(c));
	c->n = c->next = 0;
	c->err = EHOSTUNREACH;
	if (strcasecmp(host, "localhost") == 0) {
		addr_add(c, "127.0.0.1", port);
		addr_add(c, "::1", port);
	} else {
		addr_add(c, host, port);
	}
	if (c->n)
		try_next(c);
	else
		look_up_start(c, host, port);
}
