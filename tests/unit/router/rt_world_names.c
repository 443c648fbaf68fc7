// SPDX-License-Identifier: MIT
/* rt_world_names.c - dns, direct, datagrams and pings, scripted */
#include "rt_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/text.h"

struct world *world;

void world_new(void)
{
	world = calloc(1, sizeof(*world));
	assert_non_null(world);
	world->state = TNL_UP;
}

void world_free(void)
{
	for (size_t i = 0; i < WORLD_MANY; i++) {
		free(world->conn[i].bytes);
		free(world->chan[i].bytes);
	}
	free(world);
	world = NULL;
}

struct net_addr world_addr(const char *text)
{
	struct net_addr a;

	assert_int_equal(net_addr_parse(&a, text), 0);
	return a;
}

void world_fake_add(const char *name, const char *addr)
{
	struct world_fake *f = &world->fake[world->n_fakes++];

	text_copy(f->name, sizeof(f->name), name);
	f->addr = world_addr(addr);
}

/* ---- dns */

struct dns {
	int unused;
};
static struct dns the_dns;

int dns_new(struct dns **out, const struct dns_opts *opts)
{
	world->hooks = opts->hooks;
	world->hooks_arg = opts->arg;
	*out = &the_dns;
	return 0;
}

void dns_free(struct dns *d)
{
	(void)d;
	for (size_t i = 0; i < world->n_queries; i++)
		world->query[i].open = false;
	for (size_t i = 0; i < world->n_resolves; i++)
		world->resolve[i].open = false;
}

void dns_set_forwarders(struct dns *d, const struct net_endpoint *v, size_t n)
{
	(void)d;
	(void)v;
	world->forwarders = (uint32_t)n;
}

void dns_rules_changed(struct dns *d, bool rebind_block)
{
	(void)d;
	(void)rebind_block;
	world->rules_changed++;
}

void dns_upstream_gone(struct dns *d, uint32_t upstream)
{
	(void)d;
	(void)upstream;
	world->upstreams_gone++;
}

void world_reply(size_t i, size_t len)
{
	struct world_query *q = &world->query[i];

	assert_true(q->open);
	q->open = false;
	q->msg[2] |= 0x80;
	q->reply(q->arg, q->msg, len);
}

handle dns_query(struct dns *d, const uint8_t *msg, size_t len, const struct dns_ask *ask,
		 dns_reply_fn *reply, void *arg)
{
	const size_t i = world->n_queries++;

	(void)d;
	assert_true(i < WORLD_MANY);
	struct world_query *q = &world->query[i];
	*q = (struct world_query){
		.open = true, .len = len, .ask = *ask, .reply = reply, .arg = arg
	};
	memcpy(q->msg, msg, MIN(len, sizeof(q->msg)));
	if (!world->answer_at_once)
		return i + 1;
	world_reply(i, len);
	return 0;
}

void dns_cancel(struct dns *d, handle h)
{
	(void)d;
	/* Queries and resolves have handles of their own ranges. */
	if (h > WORLD_MANY) {
		struct world_resolve *s = &world->resolve[h - WORLD_MANY - 1];
		s->cancelled = s->open;
		s->open = false;
	} else {
		struct world_query *q = &world->query[h - 1];
		q->cancelled = q->open;
		q->open = false;
	}
}

handle dns_resolve(struct dns *d, const char *name, const struct dns_via *via, dns_addrs_fn *done,
		   void *arg)
{
	const size_t i = world->n_resolves++;

	(void)d;
	assert_true(i < WORLD_MANY);
	struct world_resolve *s = &world->resolve[i];
	*s = (struct world_resolve){ .open = true, .has_via = via, .done = done, .arg = arg };
	if (via)
		s->via = *via;
	text_copy(s->name, sizeof(s->name), name);
	if (!world->resolve_at_once)
		return WORLD_MANY + i + 1;
	s->open = false;
	if (world->resolve_at_once > 0)
		done(arg, 0, &world->resolve_addr, 1, "");
	else
		done(arg, world->resolve_at_once, NULL, 0, "the way there is down");
	return 0;
}

void world_resolved(size_t i, int err, const char *a, const char *b)
{
	struct net_addr v[2];
	size_t n = 0;

	assert_true(world->resolve[i].open);
	world->resolve[i].open = false;
	if (a)
		v[n++] = world_addr(a);
	if (b)
		v[n++] = world_addr(b);
	world->resolve[i].done(world->resolve[i].arg, err, v, n, err ? "why not" : "");
}

bool dns_is_fake(const struct dns *d, const struct net_addr *a)
{
	(void)d;
	return a->family == 4 && a->b[0] == 198 && a->b[1] == 18 && a->b[2] > 0;
}

const char *dns_fake_name(struct dns *d, const struct net_addr *a)
{
	(void)d;
	for (size_t i = 0; i < world->n_fakes; i++)
		if (net_addr_eq(&world->fake[i].addr, a))
			return world->fake[i].name;
	return NULL;
}

int dns_fake_of(const struct dns *d, const char *name, uint8_t family, struct net_addr *out)
{
	(void)d;
	for (size_t i = 0; i < world->n_fakes; i++)
		if (strcmp(world->fake[i].name, name) == 0 &&
		    world->fake[i].addr.family == family) {
			*out = world->fake[i].addr;
			return 0;
		}
	return ST_ENOENT;
}

void dns_stats(const struct dns *d, struct dns_stats *out)
{
	(void)d;
	*out = (struct dns_stats){ .queries = world->n_queries };
}

/* ---- direct */

struct dir {
	int unused;
};
static struct dir the_dir;

int dir_new(struct dir **out, const struct dir_opts *opts)
{
	(void)opts;
	*out = &the_dir;
	return 0;
}

void dir_free(struct dir *d)
{
	(void)d;
}

int dir_open(struct dir *d, dir_conn *out, const struct net_endpoint *dst, bool any,
	     const struct dir_events *events, void *arg)
{
	const size_t i = world->n_dirs++;

	(void)d;
	assert_true(i < WORLD_MANY);
	if (world->open_fails)
		return world->open_fails;
	world->dir[i] = (struct world_dir){
		.open = true, .dst = *dst, .any = any, .events = events, .arg = arg
	};
	*out = i + 1;
	return 0;
}

ssize_t dir_read(struct dir *d, dir_conn c, uint8_t *buf, size_t cap)
{
	(void)d;
	(void)c;
	(void)buf;
	(void)cap;
	return ST_EAGAIN;
}

size_t dir_room(struct dir *d, dir_conn c)
{
	(void)d;
	(void)c;
	return 0;
}

int dir_write(struct dir *d, dir_conn c, const uint8_t *p, size_t len)
{
	(void)d;
	(void)c;
	(void)p;
	return len ? ST_ECLOSED : 0;
}

void dir_shutdown(struct dir *d, dir_conn c)
{
	(void)d;
	(void)c;
}

void dir_close(struct dir *d, dir_conn c)
{
	(void)d;
	assert_true(world->dir[c - 1].open);
	world->dir[c - 1].open = false;
	world->dir[c - 1].closed = true;
}

/* ---- datagrams, pings, states */

int ns_udp_send(struct ns *ns, const struct net_endpoint *from, const struct net_endpoint *to,
		const uint8_t *p, size_t len)
{
	struct world_datagram *g = &world->sent[world->n_sent++];

	(void)ns;
	*g = (struct world_datagram){ .from = *from, .to = *to, .len = len };
	memcpy(g->p, p, MIN(len, sizeof(g->p)));
	return 0;
}

void ns_echo_reply(struct ns *ns, const uint8_t *packet, size_t len)
{
	(void)ns;
	(void)packet;
	assert_true(len > 0);
	world->echo_replies++;
}

void ns_refuse_packet(struct ns *ns, const uint8_t *packet, size_t len, enum ns_refusal why)
{
	(void)ns;
	(void)packet;
	assert_true(len > 0);
	world->packets_refused++;
	world->packet_refusal = why;
}

void tnl_upstream_status(struct tnl_upstream *u, struct tnl_status *out)
{
	(void)u;
	*out = (struct tnl_status){ .state = world->state };
}
