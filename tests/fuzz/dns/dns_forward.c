// SPDX-License-Identifier: MIT
/*
 * dns_forward.c - fuzz target: resolvers on loopback that say anything, from anywhere, over UDP and TCP
 *
 * The input is a list of steps, see step(). Two resolvers are ours, at the port of the third nobody is. However it goes, each ask that was
 * not cancelled is told exactly once, an answer has its question and its id, and no socket or byte is left.
 */
#include "tests/fuzz/dns/steps.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "dns/dns_forward_internal.h"

#define SERVERS 2U
#define CONNS 8U
#define NOBODY_PORT 1U /* tcpmux */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct server {
	struct net_endpoint at;
	int udp, listener;
	int conns[CONNS]; /* -1: none */
	uint8_t got[512]; /* the last question over UDP */
	size_t n_got;
	struct sockaddr_storage from;
	socklen_t from_len;
};

static struct loop *loop;
static struct dns d;
static struct dns_forwards *f;
static struct server servers[SERVERS];
static int stranger; /* a socket of nobody whom we ask */

static int bound(int type, uint16_t *port)
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
				   .sin_port = htons(*port) };
	socklen_t len = sizeof(sin);
	int fd = socket(AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		abort();
	if (bind(fd, (struct sockaddr *)&sin, sizeof(sin)) < 0) {
		close(fd);
		return -1;
	}
	if (getsockname(fd, (struct sockaddr *)&sin, &len) < 0)
		abort();
	*port = ntohs(sin.sin_port);
	return fd;
}

static void server_open(struct server *s)
{
	do {
		s->at = (struct net_endpoint){ .addr = { 4, { 127, 0, 0, 1 } } };
		s->udp = bound(SOCK_DGRAM, &s->at.port);
		s->listener = bound(SOCK_STREAM, &s->at.port);
		if (s->listener < 0)
			close(s->udp);
	} while (s->listener < 0);
	for (size_t i = 0; i < CONNS; i++)
		s->conns[i] = -1;
	if (listen(s->listener, 64) < 0)
		abort();
}

static void once(void)
{
	uint16_t port = 0;

	log_setup(LOG_ERROR, LOG_TEXT);
	if (loop_new(&loop) < 0)
		abort();
	for (size_t i = 0; i < SERVERS; i++)
		server_open(&servers[i]);
	stranger = bound(SOCK_DGRAM, &port);
}

/* By RST, so that no port waits for its time. */
static void conn_close(int *fd)
{
	const struct linger now = { 1, 0 };

	if (*fd < 0)
		return;
	setsockopt(*fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(*fd);
	*fd = -1;
}

static void turn(void)
{
	if (loop_turn(loop, 0) < 0)
		abort();
}

/* What has come to the servers */
static void servers_look(void)
{
	for (struct server *s = servers; s < servers + SERVERS; s++) {
		uint8_t b[512];
		ssize_t n;
		int fd;

		for (;;) {
			struct sockaddr_storage from;
			socklen_t len = sizeof(from);

			n = recvfrom(s->udp, b, sizeof(b), MSG_DONTWAIT, (struct sockaddr *)&from,
				     &len);
			if (n < DNS_HEADER_BYTES)
				break;
			memcpy(s->got, b, (size_t)n);
			s->n_got = (size_t)n;
			s->from = from;
			s->from_len = len;
		}
		while ((fd = accept4(s->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
			size_t i = 0;

			while (i < CONNS - 1 && s->conns[i] >= 0)
				i++;
			conn_close(&s->conns[i]);
			s->conns[i] = fd;
		}
	}
}

/* --- steps */

static void do_ask(struct steps *s)
{
	uint8_t how = step_byte(s);
	struct asked *a = asked_new();

	if (a && dns_forward_ask(f, &a->h, a->query, a->len, clock_ms + how * UINT64_C(60),
				 asked_told, a) < 0)
		a->cancelled = true;
}

static void do_cancel(struct steps *s)
{
	struct asked *a = &asks[step_byte(s) % ASKS];

	if (a >= asks + n_asks)
		return;
	dns_forward_cancel(f, a->h);
	if (!a->told)
		a->cancelled = true;
}

static void send_to(int fd, const struct server *s, const void *b, size_t len)
{
	if (s->n_got) /* an asker that has gone is fine */
		(void)!sendto(fd, b, len, MSG_DONTWAIT, (const struct sockaddr *)&s->from,
			      s->from_len);
}

static void do_say(struct steps *s)
{
	uint8_t who = step_byte(s);
	size_t len = step_byte(s);
	const uint8_t *b = step_bytes(s, &len);

	send_to(who & 2 ? stranger : servers[who & 1].udp, &servers[who & 1], b, len);
}

/* An answer to the last question of a server, more or less good; a stranger's must not count, however good. */
static void do_answer(struct steps *s)
{
	uint8_t who = step_byte(s), where = step_byte(s), by = step_byte(s), rcode = step_byte(s),
		msg[768];
	const struct server *to = &servers[who & 1];

	if (to->n_got)
		send_to(who & 2 ? stranger : to->udp, to, msg,
			answer_bent(msg, to->got, to->n_got, where, by, rcode));
}

static void do_tcp_say(struct steps *s)
{
	uint8_t who = step_byte(s);
	size_t len = step_byte(s);
	const uint8_t *b = step_bytes(s, &len);
	int fd = servers[who & 1].conns[who >> 1 & (CONNS - 1)];

	if (fd >= 0)
		(void)!send(fd, b, len, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* The same over TCP, where the id is that of UDP; in two pieces. */
static void do_tcp_answer(struct steps *s)
{
	uint8_t who = step_byte(s), where = step_byte(s), by = step_byte(s), rcode = step_byte(s),
		msg[768];
	const struct server *from = &servers[who & 1];
	int fd = from->conns[who >> 1 & (CONNS - 1)];
	size_t len, cut;

	if (fd < 0 || !from->n_got)
		return;
	len = answer_bent(msg + 2, from->got, from->n_got, where, by, rcode);
	be16_put(msg, (uint16_t)len);
	cut = by % (len + 2);
	(void)!send(fd, msg, cut, MSG_NOSIGNAL | MSG_DONTWAIT);
	turn();
	(void)!send(fd, msg + cut, len + 2 - cut, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void do_tcp_close(struct steps *s)
{
	uint8_t who = step_byte(s);
	int *fd = &servers[who & 1].conns[who >> 1 & (CONNS - 1)];

	if (*fd >= 0 && who & 0x80)
		shutdown(*fd, SHUT_WR);
	else
		conn_close(fd);
}

static void do_time(struct steps *s)
{
	uint8_t n = step_byte(s);

	clock_ms += (uint64_t)n * n;
}

static void do_list(struct steps *s)
{
	uint8_t how = step_byte(s);
	struct net_endpoint v[3] = { servers[how & 1].at,
				     servers[~how & 1].at,
				     { { 4, { 127, 0, 0, 1 } }, NOBODY_PORT } };

	if (how & 2)
		v[1] = v[2];
	dns_forwards_set(f, v + (how >> 2 & 1), (how >> 3) % 3);
}

static void step(struct steps *s)
{
	static void (*const kinds[])(struct steps *) = { do_ask,       do_cancel,  do_say,
							 do_answer,    do_tcp_say, do_tcp_answer,
							 do_tcp_close, do_time,	   do_list };
	uint8_t what = step_byte(s);

	kinds[(what & 0x7f) % ARRAY_LEN(kinds)](s);
	if (what & 0x80) /* more happens in this turn */
		return;
	turn();
	servers_look();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct dns_hooks hooks;
	struct steps s = { data, MIN(size, 1024U) };
	struct net_endpoint v[SERVERS];

	if (!loop)
		once();
	d = (struct dns){ .loop = loop, .opts = { .loop = loop, .hooks = &hooks } };
	if (dns_forwards_new(&f, &d) < 0)
		abort();
	n_asks = 0;
	for (size_t i = 0; i < SERVERS; i++) {
		v[i] = servers[i].at;
		servers[i].n_got = 0;
	}
	dns_forwards_set(f, v, SERVERS);
	turn();
	while (s.left > 0)
		step(&s);
	for (int i = 0; i < 4;
	     i++) { /* every deadline is over, also those that were told the next turn */
		clock_ms += OVER_MS;
		turn();
	}
	for (size_t i = 0; i < n_asks; i++)
		ST_ASSERT(asks[i].told + asks[i].cancelled == 1);
	ST_ASSERT(f->n_active == 0 && f->bytes == 0);
	dns_forwards_free(f);
	servers_look();
	for (struct server *of = servers; of < servers + SERVERS; of++) {
		for (size_t i = 0; i < CONNS; i++)
			conn_close(&of->conns[i]);
	}
	return 0;
}
