// SPDX-License-Identifier: MIT
/* rt_world_flows.c - the netstack's connections and the tunnel's channels, scripted */
#include "rt_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"

static struct world_bytes *bytes_of(struct world_bytes **at)
{
	if (!*at) {
		*at = calloc(1, sizeof(**at));
		assert_non_null(*at);
		(*at)->room = WORLD_BYTES;
	}
	return *at;
}

static ssize_t bytes_read(struct world_bytes *b, uint8_t *buf, size_t cap)
{
	const size_t n = MIN(cap, b->in_len - b->in_at);

	if (n == 0)
		return b->in_eof ? 0 : ST_EAGAIN;
	memcpy(buf, b->in + b->in_at, n);
	b->in_at += n;
	return (ssize_t)n;
}

static int bytes_write(struct world_bytes *b, const uint8_t *p, size_t len)
{
	assert_true(len <= b->room);
	assert_false(b->shut);
	memcpy(b->out + b->out_len, p, len);
	b->out_len += len;
	b->room -= len;
	return 0;
}

/* ---- netstack */

ns_conn world_syn(struct rt *r, const char *dst, uint16_t port)
{
	const ns_conn c = ++world->n_conns;
	const struct ns_flow_key key = {
		.src = { .addr = world_addr(strchr(dst, ':') ? "fd00:5::1" : "198.18.0.1"),
			 .port = (uint16_t)(40000 + c) },
		.dst = { .addr = world_addr(dst), .port = port },
	};

	assert_true(c <= WORLD_MANY);
	world->conn[c - 1] = (struct world_conn){ .open = true, .refused = -1 };
	world->conn[c - 1].owner = rt_ns_events()->syn(r, c, &key);
	return c;
}

static struct world_conn *conn_of(ns_conn c)
{
	assert_true(c >= 1 && c <= world->n_conns);
	assert_true(world->conn[c - 1].open);
	return &world->conn[c - 1];
}

struct world_bytes *world_conn_bytes(ns_conn c)
{
	return bytes_of(&world->conn[c - 1].bytes);
}

void ns_conn_accept(struct ns *ns, ns_conn c)
{
	(void)ns;
	assert_false(conn_of(c)->accepted);
	conn_of(c)->accepted = true;
}

void ns_conn_refuse(struct ns *ns, ns_conn c, enum ns_refusal why)
{
	(void)ns;
	assert_false(conn_of(c)->accepted);
	conn_of(c)->refused = (int)why;
	conn_of(c)->open = false;
}

ssize_t ns_conn_read(struct ns *ns, ns_conn c, uint8_t *buf, size_t cap)
{
	(void)ns;
	return bytes_read(bytes_of(&conn_of(c)->bytes), buf, cap);
}

size_t ns_conn_room(struct ns *ns, ns_conn c)
{
	(void)ns;
	return bytes_of(&conn_of(c)->bytes)->room;
}

int ns_conn_write(struct ns *ns, ns_conn c, const uint8_t *p, size_t len)
{
	(void)ns;
	return bytes_write(bytes_of(&conn_of(c)->bytes), p, len);
}

void ns_conn_shutdown(struct ns *ns, ns_conn c)
{
	(void)ns;
	bytes_of(&conn_of(c)->bytes)->shut = true;
}

void ns_conn_abort(struct ns *ns, ns_conn c)
{
	(void)ns;
	conn_of(c)->aborted = true;
	conn_of(c)->open = false;
}

void ns_stats(const struct ns *ns, struct ns_stats *out)
{
	(void)ns;
	*out = (struct ns_stats){ .buffered_bytes = world->buffered };
}

/* ---- tunnel */

static struct world_chan *chan_of(tnl_chan c)
{
	assert_true(c >= 1 && c <= world->n_chans);
	assert_true(world->chan[c - 1].open);
	return &world->chan[c - 1];
}

int tnl_open(struct tnl_upstream *u, tnl_chan *out, const struct net_endpoint *dst,
	     const struct net_endpoint *src, const struct tnl_chan_events *events, void *arg)
{
	const size_t i = world->n_chans++;

	(void)src;
	assert_true(i < WORLD_MANY);
	if (world->open_fails)
		return world->open_fails;
	world->chan[i] = (struct world_chan){
		.open = true, .upstream = u, .dst = *dst, .events = events, .arg = arg
	};
	*out = i + 1;
	return 0;
}

ssize_t tnl_chan_read(struct tnl_upstream *u, tnl_chan c, uint8_t *buf, size_t cap)
{
	(void)u;
	return bytes_read(bytes_of(&chan_of(c)->bytes), buf, cap);
}

size_t tnl_chan_room(struct tnl_upstream *u, tnl_chan c)
{
	(void)u;
	return bytes_of(&chan_of(c)->bytes)->room;
}

int tnl_chan_write(struct tnl_upstream *u, tnl_chan c, const uint8_t *p, size_t len)
{
	(void)u;
	return bytes_write(bytes_of(&chan_of(c)->bytes), p, len);
}

void tnl_chan_shutdown(struct tnl_upstream *u, tnl_chan c)
{
	(void)u;
	bytes_of(&chan_of(c)->bytes)->shut = true;
}

void tnl_chan_close(struct tnl_upstream *u, tnl_chan c)
{
	(void)u;
	chan_of(c)->closed = true;
	chan_of(c)->open = false;
}
