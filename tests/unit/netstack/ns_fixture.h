// SPDX-License-Identifier: MIT
/* ns_fixture.h - a stack whose link is an array of packets, an owner that counts events, and a hand-made peer */
#ifndef TESTS_UNIT_NETSTACK_NS_FIXTURE_H
#define TESTS_UNIT_NETSTACK_NS_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "base/err.h"
#include "base/loop.h"
#include "netstack/netstack.h"
#include "packets.h"

#define OUT_MAX 512
#define STACK4 "198.18.0.2"
#define STACK6 "fd00:5::2"

struct out {
	uint8_t *ip;
	size_t len;
	uint16_t csum_start, csum_offset;
};

/* What the owner does inside an event, besides counting it. */
enum reaction {
	NOTHING,
	ABORT_IN_ESTABLISHED,
	ABORT_IN_READABLE,
	ABORT_IN_WRITABLE,
	ABORT_IN_SYN,
	ACCEPT_IN_SYN,
	REFUSE_IN_SYN,
	NULL_IN_SYN,
	NULL_AFTER_ACCEPT
};

struct fixture {
	struct loop *loop;
	struct ns *ns;
	struct out out[OUT_MAX];
	size_t n_out, taken;
	enum reaction reaction;
	ns_conn conn; /* of the last SYN */
	struct ns_flow_key key;
	uint32_t syns, gone, established, readable, writable, finished;
	int link_error;
	/* datagrams and echo requests, as far as the test's owner takes them */
	struct ns_flow_key datagram;
	uint8_t bytes[2048];
	size_t n_bytes;
	uint32_t datagrams, echoes;
	struct net_addr echo_src, echo_dst;
};

/* The application's end of a connection. */
struct peer {
	struct fixture *f;
	struct net_endpoint self, far;
	uint32_t seq, ack;
	uint16_t wnd;
};

/* --- link and owner */

static inline int output(void *arg, const struct iovec *iov, int n, uint16_t csum_start,
			 uint16_t csum_offset)
{
	struct fixture *f = arg;
	struct out *o;
	size_t len = 0;

	if (f->link_error)
		return f->link_error;
	assert_true(f->n_out < OUT_MAX);
	o = &f->out[f->n_out++];
	o->csum_start = csum_start;
	o->csum_offset = csum_offset;
	for (int i = 0; i < n; i++)
		len += iov[i].iov_len;
	o->ip = malloc(len);
	assert_non_null(o->ip);
	for (int i = 0; i < n; i++) {
		memcpy(o->ip + o->len, iov[i].iov_base, iov[i].iov_len);
		o->len += iov[i].iov_len;
	}
	return 0;
}

static inline void *on_syn(void *arg, ns_conn c, const struct ns_flow_key *key)
{
	struct fixture *f = arg;

	f->syns++;
	f->conn = c;
	f->key = *key;
	if (f->reaction == ACCEPT_IN_SYN || f->reaction == NULL_AFTER_ACCEPT)
		ns_conn_accept(f->ns, c);
	if (f->reaction == REFUSE_IN_SYN)
		ns_conn_refuse(f->ns, c, NS_REFUSE_HOST_UNREACHABLE);
	if (f->reaction == ABORT_IN_SYN)
		ns_conn_abort(f->ns, c);
	return f->reaction == NULL_IN_SYN || f->reaction == NULL_AFTER_ACCEPT ? NULL : f;
}

static inline void react(struct fixture *f, enum reaction when)
{
	if (f->reaction == when)
		ns_conn_abort(f->ns, f->conn);
}

static inline void on_gone(void *arg, ns_conn c)
{
	struct fixture *f = arg;

	assert_int_equal(ns_conn_read(f->ns, c, NULL, 0), ST_ECLOSED);
	f->gone++;
}

static inline void on_established(void *arg, ns_conn c)
{
	struct fixture *f = arg;

	(void)c;
	f->established++;
	react(f, ABORT_IN_ESTABLISHED);
}

static inline void on_readable(void *arg, ns_conn c)
{
	struct fixture *f = arg;

	(void)c;
	f->readable++;
	react(f, ABORT_IN_READABLE);
}

static inline void on_writable(void *arg, ns_conn c)
{
	struct fixture *f = arg;

	assert_true(ns_conn_room(f->ns, c) >= NS_BUFFER_BYTES / 4);
	f->writable++;
	react(f, ABORT_IN_WRITABLE);
}

static inline void on_finished(void *arg, ns_conn c)
{
	struct fixture *f = arg;

	assert_int_equal(ns_conn_read(f->ns, c, NULL, 0), ST_ECLOSED);
	f->finished++;
}

static const struct ns_events events = {
	.syn = on_syn,
	.gone = on_gone,
	.established = on_established,
	.readable = on_readable,
	.writable = on_writable,
	.finished = on_finished,
};

/* --- fixture */

static inline struct fixture *begin_for(const struct ns_events *owner, uint32_t flows_max,
					bool offload)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct ns_opts opts = { .events = owner, .arg = f, .flows_max = flows_max };

	assert_non_null(f);
	assert_int_equal(loop_new(&f->loop), 0);
	opts.loop = f->loop;
	opts.link = (struct ns_link){ .output = output, .arg = f, .csum_offload = offload };
	assert_int_equal(net_addr_parse(&opts.stack4, STACK4), 0);
	assert_int_equal(net_addr_parse(&opts.stack6, STACK6), 0);
	assert_int_equal(ns_new(&f->ns, &opts), 0);
	return f;
}

static inline struct fixture *begin_with(uint32_t flows_max, bool offload)
{
	return begin_for(&events, flows_max, offload);
}

static inline struct fixture *begin(void)
{
	return begin_with(0, false);
}

static inline void forget_output(struct fixture *f)
{
	for (size_t i = 0; i < f->n_out; i++)
		free(f->out[i].ip);
	memset(f->out, 0, sizeof(f->out));
	f->n_out = f->taken = 0;
}

static inline void end(struct fixture *f)
{
	ns_free(f->ns);
	forget_output(f);
	loop_free(f->loop);
	free(f);
}

static inline struct ns_stats stats(const struct fixture *f)
{
	struct ns_stats s;

	ns_stats(f->ns, &s);
	return s;
}

/* --- the peer */

static inline struct peer peer(struct fixture *f, bool v6, uint16_t port)
{
	struct peer p = {
		.f = f, .self.port = port, .far.port = 443, .seq = 0xfffffff0, .wnd = 64240
	};

	assert_int_equal(net_addr_parse(&p.self.addr, v6 ? "fd00:5::1" : "198.18.0.1"), 0);
	assert_int_equal(net_addr_parse(&p.far.addr, v6 ? "fd00:9::7" : "10.1.2.3"), 0);
	return p;
}

static inline void send_seg(struct peer *p, uint8_t flags, const void *data, size_t len)
{
	static uint8_t buf[65535];
	struct seg s = { .src = p->self,
			 .dst = p->far,
			 .seq = p->seq,
			 .flags = flags,
			 .wnd = p->wnd,
			 .data = data,
			 .len = len };

	if (flags & ACK)
		s.ack = p->ack;
	if (flags & SYN) {
		s.options = syn_options;
		s.options_len = sizeof(syn_options);
	}
	ns_input(p->f->ns, buf, put_tcp(buf, &s), false, loop_now_ms(p->f->loop));
	p->seq += (uint32_t)len + !!(flags & (SYN | FIN));
}

/* The next packet that the stack sent, which must be TCP from the far end to this peer, checksums right. */
static inline struct seg take(struct peer *p)
{
	struct fixture *f = p->f;
	struct out *o;
	struct seg s;

	assert_true(f->taken < f->n_out);
	o = &f->out[f->taken++];
	assert_true(sums_ok(o->ip, o->len));
	assert_true(get_tcp(&s, o->ip, o->len));
	assert_true(net_addr_eq(&s.src.addr, &p->far.addr) && s.src.port == p->far.port);
	assert_true(net_addr_eq(&s.dst.addr, &p->self.addr) && s.dst.port == p->self.port);
	return s;
}

static inline void take_nothing(struct fixture *f)
{
	assert_int_equal(f->taken, f->n_out);
	forget_output(f);
}

static inline void turn(struct fixture *f)
{
	assert_int_equal(loop_turn(f->loop, 0), 0);
}

/* SYN, accepted at once, ACK. Return: the handle */
static inline ns_conn open_conn(struct peer *p)
{
	struct seg s;

	send_seg(p, SYN, NULL, 0);
	ns_conn_accept(p->f->ns, p->f->conn);
	s = take(p);
	assert_int_equal(s.flags, SYN | ACK);
	p->ack = s.seq + 1;
	send_seg(p, ACK, NULL, 0);
	take_nothing(p->f);
	return p->f->conn;
}

#endif
