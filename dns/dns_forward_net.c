// SPDX-License-Identifier: MIT
/*
 * dns_forward_net.c - the sockets of one forwarded question
 *
 * Theory of operation: one UDP socket for each family, opened for this ask alone. The kernel gives it a random port of its ephemeral
 * range at the first packet (udp_lib_get_port() takes a cryptographic random number), which an attacker off the path must guess
 * together with the id. It is not connected: a resolver asked earlier may still answer after the next one was asked, so who sent a
 * datagram is compared with who was asked. Since only a connected socket gets ICMP errors by itself, IP_RECVERR brings them with the
 * address that they are about: a closed port is known at once and not after a second.
 *
 * TCP is one connection for one question, to a resolver whose answer was cut.
 */
#include "dns/dns_forward_internal.h"

#include <errno.h>
#include <linux/errqueue.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/addr.h"
#include "base/err.h"
#include "base/log.h"
#include "base/text.h"
#include "dns/dns_frame.h"

#define DATAGRAMS_A_TURN 16U /* ours: who floods one ask does not hold the loop */
#define READS_A_TURN 16U     /* alike; the rest is another event */

/* What went wrong, for the end of the ask. Return: ST_ESYS */
static int failure(struct fwd_ask *ask, const char *what)
{
	snprintf(ask->text, sizeof(ask->text), "%s: %s", what, strerror(errno));
	return ST_ESYS;
}

void fwd_close(struct fwd_ask *ask, unsigned sock)
{
	struct fwd_sock *s = &ask->socks[sock];

	if (s->fd < 0)
		return;
	loop_fd_del(ask->f->loop, &s->watch);
	close(s->fd);
	s->fd = -1;
	if (sock == FWD_TCP) {
		buf_fini(&ask->in);
		buf_fini(&ask->out);
	}
}

/* Return: 0; ST_ESYS with @ask->text */
static int sock_open(struct fwd_ask *ask, unsigned sock, uint8_t family, int type, uint32_t events,
		     loop_fd_fn *fn)
{
	const uint32_t mark = ask->f->opts->mark;
	struct fwd_sock *s = &ask->socks[sock];

	s->fd = socket(family == 6 ? AF_INET6 : AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (s->fd < 0)
		return failure(ask, "socket");
	/* Without it the question would come back to us. */
	if (mark && setsockopt(s->fd, SOL_SOCKET, SO_MARK, &mark, sizeof(mark)) < 0) {
		failure(ask, "SO_MARK");
		goto fail;
	}
	if (loop_fd_add(ask->f->loop, &s->watch, s->fd, events, fn, ask) == 0)
		return 0;
	text_copy(ask->text, sizeof(ask->text), "too many descriptors are watched");
fail:
	close(s->fd);
	s->fd = -1;
	return ST_ESYS;
}

/* ---- UDP */

/* An ICMP error about a datagram of ours. Return: false if there is none (any more) */
static bool icmp_take(int fd, struct net_endpoint *about, int *error)
{
	union {
		struct cmsghdr align;
		char bytes[512];
	} room;
	struct sockaddr_storage to;
	uint8_t ours[1];
	struct iovec iov = { ours, sizeof(ours) };
	struct msghdr msg = {
		.msg_name = &to,
		.msg_namelen = sizeof(to),
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &room,
		.msg_controllen = sizeof(room),
	};
	struct sock_extended_err e = { 0 };

	if (recvmsg(fd, &msg, MSG_ERRQUEUE) < 0)
		return false;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
		if ((c->cmsg_level == SOL_IP && c->cmsg_type == IP_RECVERR) ||
		    (c->cmsg_level == SOL_IPV6 && c->cmsg_type == IPV6_RECVERR))
			memcpy(&e, CMSG_DATA(c), sizeof(e));
	}
	*error = (int)e.ee_errno;
	return msg.msg_namelen > 0 && net_from_sockaddr(about, (struct sockaddr *)&to) == 0;
}

/* An error that stands for itself would be an event again and again. */
static void error_clear(int fd)
{
	int error;
	socklen_t len = sizeof(error);

	(void)getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len);
}

static bool is_alive(const struct dns_forwards *f, handle h, const struct fwd_ask *ask)
{
	return hnd_get(&f->asks, h) == ask;
}

static void udp_take(struct fwd_ask *ask, unsigned sock)
{
	struct dns_forwards *f = ask->f;
	const handle h = ask->h;

	for (unsigned i = 0; i < DATAGRAMS_A_TURN && ask->socks[sock].fd >= 0; i++) {
		struct net_endpoint from;
		struct sockaddr_storage sa;
		socklen_t sa_len = sizeof(sa);
		ssize_t n = recvfrom(ask->socks[sock].fd, f->in, sizeof(f->in), 0,
				     (struct sockaddr *)&sa, &sa_len);

		if (n < 0) /* EAGAIN, or an error that the queue of errors tells */
			return;
		if (net_from_sockaddr(&from, (struct sockaddr *)&sa) < 0)
			continue;
		fwd_answer(ask, &from, sock, f->in, (size_t)n);
		if (!is_alive(f, h, ask))
			return;
	}
}

static void udp_event(struct fwd_ask *ask, unsigned sock, uint32_t events)
{
	struct dns_forwards *f = ask->f;
	const handle h = ask->h;
	struct net_endpoint about;
	int error;

	if (events & EPOLLIN)
		udp_take(ask, sock);
	for (unsigned i = 0; i < DATAGRAMS_A_TURN && (events & EPOLLERR); i++) {
		if (!is_alive(f, h, ask) || ask->socks[sock].fd < 0)
			return;
		if (!icmp_take(ask->socks[sock].fd, &about, &error)) {
			error_clear(ask->socks[sock].fd);
			return;
		}
		if (error != EMSGSIZE) /* the path's MTU, which the next packet minds */
			fwd_failed(ask, &about, sock, strerror(error));
	}
}

static void on_udp4(void *arg, uint32_t events, uint64_t now_ms)
{
	(void)now_ms;
	udp_event(arg, FWD_UDP4, events);
}

static void on_udp6(void *arg, uint32_t events, uint64_t now_ms)
{
	(void)now_ms;
	udp_event(arg, FWD_UDP6, events);
}

static int udp_open(struct fwd_ask *ask, unsigned sock, uint8_t family)
{
	const int one = 1;
	int r = sock_open(ask, sock, family, SOCK_DGRAM, EPOLLIN, family == 6 ? on_udp6 : on_udp4);

	if (r < 0)
		return r;
	if (family == 6)
		r = setsockopt(ask->socks[sock].fd, SOL_IPV6, IPV6_RECVERR, &one, sizeof(one));
	else
		r = setsockopt(ask->socks[sock].fd, SOL_IP, IP_RECVERR, &one, sizeof(one));
	if (r == 0)
		return 0;
	failure(ask, "IP_RECVERR");
	fwd_close(ask, sock);
	return ST_ESYS;
}

int fwd_udp_send(struct fwd_ask *ask, const struct fwd_try *t)
{
	unsigned sock = t->at.addr.family == 6 ? FWD_UDP6 : FWD_UDP4;
	uint8_t id[2] = { (uint8_t)(ask->id >> 8), (uint8_t)ask->id };
	struct iovec iov[] = { { id, sizeof(id) },
			       { ask->msg + sizeof(id), ask->len - sizeof(id) } };
	struct sockaddr_storage sa;
	struct msghdr msg = { .msg_name = &sa,
			      .msg_namelen = net_sockaddr(&sa, &t->at),
			      .msg_iov = iov,
			      .msg_iovlen = ARRAY_LEN(iov) };

	if (ask->socks[sock].fd < 0 && udp_open(ask, sock, t->at.addr.family) < 0)
		return ST_ESYS;
	/* An error of an earlier datagram is told once by the next call, and is not this one's. */
	for (int i = 0; i < 2; i++) {
		if (sendmsg(ask->socks[sock].fd, &msg, 0) >= 0 || errno == EAGAIN)
			return 0;
	}
	return failure(ask, "sending");
}

/* ---- TCP */

static void tcp_lost(struct fwd_ask *ask, const char *text)
{
	const struct net_endpoint at = ask->tries[ask->tcp_try].at;
	char why[sizeof(ask->text)];

	snprintf(why, sizeof(why), "over TCP: %s", text);
	fwd_close(ask, FWD_TCP);
	fwd_failed(ask, &at, FWD_TCP, why);
}

/* Return: false if the ask is gone, or its connection */
static bool tcp_write(struct fwd_ask *ask)
{
	struct fwd_sock *s = &ask->socks[FWD_TCP];

	while (ask->out.len > 0) {
		ssize_t n = send(s->fd, buf_data(&ask->out), ask->out.len, MSG_NOSIGNAL);

		if (n < 0 && (errno == EAGAIN || errno == EINPROGRESS))
			return true;
		if (n < 0) {
			tcp_lost(ask, strerror(errno));
			return false;
		}
		buf_consume(&ask->out, (size_t)n);
	}
	return loop_fd_mod(ask->f->loop, s->watch, EPOLLIN) == 0;
}

/* As tcp_write() */
static bool frames_take(struct fwd_ask *ask)
{
	struct dns_forwards *f = ask->f;
	const handle h = ask->h;
	int n;

	while ((n = dns_frame_next(buf_data(&ask->in), ask->in.len)) >= 0) {
		const struct net_endpoint from = ask->tries[ask->tcp_try].at;

		/* The buffer may go during the call. */
		memcpy(f->in, buf_data(&ask->in) + DNS_FRAME_HEAD, (size_t)n);
		buf_consume(&ask->in, DNS_FRAME_HEAD + (size_t)n);
		fwd_answer(ask, &from, FWD_TCP, f->in, (size_t)n);
		if (!is_alive(f, h, ask) || ask->socks[FWD_TCP].fd < 0)
			return false;
	}
	if (n == ST_EAGAIN)
		return true;
	tcp_lost(ask, "it sent a message too short to be one");
	return false;
}

static void tcp_read(struct fwd_ask *ask)
{
	uint8_t *p;
	ssize_t n;

	for (unsigned i = 0; i < READS_A_TURN; i++) {
		if (buf_reserve(&ask->in, DNS_FRAME_READ, &p) < 0) {
			tcp_lost(ask, "out of memory");
			return;
		}
		n = recv(ask->socks[FWD_TCP].fd, p, DNS_FRAME_READ, 0);
		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0) {
			tcp_lost(ask, n == 0 ? "it closed the connection" : strerror(errno));
			return;
		}
		buf_commit(&ask->in, (size_t)n);
		if (!frames_take(ask))
			return;
	}
}

static void on_tcp(void *arg, uint32_t events, uint64_t now_ms)
{
	struct fwd_ask *ask = arg;

	(void)now_ms;
	if ((events & (EPOLLOUT | EPOLLERR)) && !tcp_write(ask))
		return;
	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
		tcp_read(ask);
}

int fwd_tcp_start(struct fwd_ask *ask, uint32_t i)
{
	struct sockaddr_storage sa;
	const socklen_t len = net_sockaddr(&sa, &ask->tries[i].at);

	fwd_close(ask, FWD_UDP4);
	fwd_close(ask, FWD_UDP6);
	if (sock_open(ask, FWD_TCP, ask->tries[i].at.addr.family, SOCK_STREAM, EPOLLOUT, on_tcp) <
	    0)
		return ST_ESYS;
	buf_init(&ask->in, DNS_FRAME_MAX + DNS_FRAME_READ);
	buf_init(&ask->out, DNS_FRAME_MAX);
	ask->tcp_try = i;
	if (dns_frame_put(&ask->out, ask->msg, ask->len, ask->id) < 0)
		errno = ENOMEM;
	else if (connect(ask->socks[FWD_TCP].fd, (struct sockaddr *)&sa, len) == 0 ||
		 errno == EINPROGRESS)
		return 0;
	failure(ask, "over TCP");
	fwd_close(ask, FWD_TCP);
	return ST_ESYS;
}
