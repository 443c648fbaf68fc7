// SPDX-License-Identifier: MIT
/*
 * rt_dns_udp.c - datagrams: queries to our own server, or through an upstream; nothing else is carried
 *
 * Theory of operation: each query that is not answered at once is one struct ask, whose answer leaves in the name of the address that
 * was asked. A query to the fake address of a name server waits for that name's address first. Each that waits is one of dns's, which bounds
 * them in all and answers those beyond; for each source they are bounded here, so that one machine behind this one can't use up
 * everybody's: beyond, what would have to wait is dropped (its sender repeats it), what is known is still answered.
 */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "router/rt_internal.h"

#define ASKS_PER_SOURCE                                                                            \
	(DNS_PENDING_MAX / 8U *                                                                    \
	 7U) /* ours: more than dns lets one way have, so that a dead resolver leaves this machine room for the others */
#define SOURCE_BUCKETS 64U

struct source {
	struct list_node node; /* in its bucket */
	struct net_addr addr;
	uint32_t asks;
};

struct ask {
	struct list_node node;
	struct rt_udp_asks *asks;
	struct source *source;
	struct ns_flow_key key;
	struct dns_ask how;
	uint8_t *msg; /* while the name server's own address is asked for */
	size_t len;
};

struct rt_udp_asks {
	struct rt *rt;
	struct list all;
	struct list sources[SOURCE_BUCKETS];
};

int rt_udp_asks_new(struct rt_udp_asks **out, struct rt *r)
{
	struct rt_udp_asks *u = calloc(1, sizeof(*u));

	if (!u)
		return ST_ENOMEM;
	u->rt = r;
	list_init(&u->all);
	for (size_t i = 0; i < SOURCE_BUCKETS; i++)
		list_init(&u->sources[i]);
	*out = u;
	return 0;
}

static struct source *source_take(struct rt_udp_asks *u, const struct net_addr *addr)
{
	struct list *bucket = &u->sources[rt_addr_hash(addr) % SOURCE_BUCKETS];
	struct source *s = NULL;

	list_for_each (n, bucket)
		if (net_addr_eq(&container_of(n, struct source, node)->addr, addr))
			s = container_of(n, struct source, node);
	if (!s && !(s = calloc(1, sizeof(*s))))
		return NULL;
	if (s->asks++ == 0) {
		s->addr = *addr;
		list_node_init(&s->node);
		list_push_back(bucket, &s->node);
	}
	return s;
}

static void source_put(struct source *s)
{
	if (--s->asks > 0)
		return;
	list_del(&s->node);
	free(s);
}

static void ask_free(struct ask *a)
{
	list_del(&a->node);
	source_put(a->source);
	free(a->msg);
	free(a);
}

void rt_udp_asks_free(struct rt_udp_asks *u)
{
	if (!u)
		return;
	list_for_each (n, &u->all)
		ask_free(container_of(n, struct ask, node));
	free(u);
}

/* Return: NULL without memory */
static struct ask *ask_new(struct rt_udp_asks *u, const struct ns_flow_key *key)
{
	struct source *source = source_take(u, &key->src.addr);
	struct ask *a = source ? calloc(1, sizeof(*a)) : NULL;

	if (!a) {
		if (source)
			source_put(source);
		return NULL;
	}
	*a = (struct ask){ .asks = u, .source = source, .key = *key };
	list_node_init(&a->node);
	list_push_back(&u->all, &a->node);
	return a;
}

static void on_reply(void *arg, const uint8_t *msg, size_t len)
{
	struct ask *a = arg;
	int r = 0;

	if (len > 0)
		r = ns_udp_send(a->asks->rt->ns, &a->key.dst, &a->key.src, msg, len);
	if (r < 0)
		log_debug("dns: an answer was lost: %s", st_strerror(r));
	ask_free(a);
}

/* The name server behind a fake address has one by now, or has none: then the query stays unanswered, as it would there. */
static void on_server(void *arg, int err, const struct net_addr *addrs, size_t n, const char *text)
{
	struct ask *a = arg;

	if (err < 0 || n == 0) {
		log_debug("dns: a name server's own name: %s: %s", st_strerror(err), text);
		ask_free(a);
		return;
	}
	uint8_t *msg = a->msg; /* outlives the ask, which the reply may take with it */

	a->msg = NULL;
	a->how.relay_to.resolver.addr = addrs[0];
	const struct dns_ask how = a->how;
	dns_query(rt_dns_of(a->asks->rt), msg, a->len, &how, on_reply, a);
	free(msg);
}

/* Return: what dns_resolve() said */
static handle resolve_server(struct ask *a, const char *name, const uint8_t *p, size_t len)
{
	struct rt *r = a->asks->rt;
	const uint32_t slot = a->how.relay_to.upstream;
	const struct dns_via via = { .upstream = slot, .resolver = r->upstreams[slot].resolver };

	if (!(a->msg = malloc(len ? len : 1))) {
		ask_free(a);
		return 0;
	}
	memcpy(a->msg, p, len);
	a->len = len;
	return dns_resolve(rt_dns_of(r), name, &via, on_server, a);
}

/* @h is what @a waits for, though its source has too many that wait */
static void drop(struct ask *a, handle h)
{
	const struct rt *r = a->asks->rt;
	char text[NET_ADDR_STR];

	log_limited(loop_now_ms(r->loop), LOG_WARN,
		    "dns: queries of %s are dropped: %u are under way",
		    net_addr_str(text, &a->source->addr), ASKS_PER_SOURCE);
	dns_cancel(rt_dns_of(r), h);
	ask_free(a);
}

static void query(struct rt *r, const struct ns_flow_key *key, const struct dns_ask *how,
		  const uint8_t *p, size_t len)
{
	struct dns *dns = rt_dns_of(r);
	struct ask *a = ask_new(r->dns->udp, key);
	const char *name;
	handle h = 0;
	bool over;

	if (!a)
		return;
	over = a->source->asks > ASKS_PER_SOURCE;
	a->how = *how;
	if (!how->relay || !dns_is_fake(dns, &key->dst.addr))
		h = dns_query(dns, p, len, how, on_reply, a);
	else if ((name = dns_fake_name(dns, &key->dst.addr)))
		h = resolve_server(a, name, p, len);
	else
		ask_free(a);
	if (h && over) /* @a is still there */
		drop(a, h);
}

bool rt_udp(void *arg, const struct ns_flow_key *key, const uint8_t *p, size_t len)
{
	struct rt *r = arg;
	struct dns_ask how = { 0 };

	switch (rt_dns_query_to(r, &key->dst, &how.relay_to)) {
	case RT_QUERY_SERVE: how.no_fake = !rt_dns_may(r, key, false); break;
	case RT_QUERY_RELAY:
		how.relay = true;
		if (!rt_dns_may(r, key, false))
			return false;
		break;
	case RT_QUERY_REFUSE: return false;
	case RT_QUERY_DROP: return true;
	}
	query(r, key, &how, p, len);
	return true;
}
