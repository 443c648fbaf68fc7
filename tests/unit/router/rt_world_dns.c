// SPDX-License-Identifier: MIT
/* rt_world_dns.c - dns, scripted */
#include "rt_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/text.h"

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

void dns_network_changed(struct dns *d)
{
	(void)d;
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
