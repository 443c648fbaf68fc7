// SPDX-License-Identifier: MIT
/*
 * rt_alive.c - ping of an address that an upstream carries: an answer only while somebody is there
 *
 * Theory of operation: SSH carries no ICMP, so what is known of a host comes from connections: one that opened or was refused shows
 * that it is alive, for ALIVE_MS. An echo to a host of which nothing is known is held while one connection to PROBE_PORT is
 * tried, by the same way and budget as a flow; then it is answered, or gets host unreachable, which holds for DEAD_MS. Hosts are known by the
 * address that was pinged, so that of two names with one address each has its own. Everything is bounded: hosts (the least lately
 * used goes), probes, one held echo for each; further echoes of a host under probe are let go, ping sends another.
 */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "router/rt_internal.h"

#define ALIVE_MS 30000U
#define DEAD_MS 10000U
#define HOSTS_MAX 1024U /* ours */
#define PROBES_MAX 16U
#define ECHO_MAX                                                                                   \
	1500U /* bytes of a held echo: an Ethernet packet; a longer one is answered once the host is known */
#define PROBE_PORT                                                                                 \
	443U /* ours: most often let through by security groups; a refusal tells as much */
#define BUCKETS 256U

enum host_state { HOST_ALIVE, HOST_DEAD, HOST_PROBED };

struct host {
	struct list_node node;	 /* in its bucket */
	struct list_node by_use; /* in alive->by_use, the last used last */
	struct rt_alive *alive;
	struct net_addr addr;
	enum host_state state;
	uint64_t until_ms;   /* ALIVE and DEAD */
	enum ns_refusal why; /* DEAD */
	struct rt_far far;   /* PROBED */
	char *name;	     /* of a fake address, while it is probed */
	uint8_t *echo;	     /* PROBED: @echo_len bytes; NULL: none is held */
	size_t echo_len;
};

struct rt_alive {
	struct rt *rt;
	struct list buckets[BUCKETS];
	struct list by_use;
	uint32_t n, probes;
};

static struct list *bucket_of(struct rt_alive *a, const struct net_addr *addr)
{
	return &a->buckets[rt_addr_hash(addr) % BUCKETS];
}

static struct host *find(struct rt_alive *a, const struct net_addr *addr)
{
	list_for_each (n, bucket_of(a, addr)) {
		struct host *h = container_of(n, struct host, node);

		if (net_addr_eq(&h->addr, addr))
			return h;
	}
	return NULL;
}

static void probe_end(struct host *h)
{
	if (h->state != HOST_PROBED)
		return;
	h->alive->probes--;
	rt_far_close(&h->far);
	free(h->echo);
	free(h->name);
	h->echo = NULL;
	h->name = NULL;
}

static void host_free(struct host *h)
{
	probe_end(h);
	list_del(&h->node);
	list_del(&h->by_use);
	h->alive->n--;
	free(h);
}

/* A host under probe is not let go for another: its far end is in the middle of something. */
static bool make_room(struct rt_alive *a)
{
	if (a->n < HOSTS_MAX)
		return true;
	list_for_each (n, &a->by_use) {
		struct host *h = container_of(n, struct host, by_use);

		if (h->state != HOST_PROBED) {
			host_free(h);
			return true;
		}
	}
	return false;
}

/* Return: NULL: no room */
static struct host *host_of(struct rt_alive *a, const struct net_addr *addr)
{
	struct host *h = find(a, addr);

	if (!h) {
		if (!make_room(a) || !(h = calloc(1, sizeof(*h))))
			return NULL;
		h->alive = a;
		h->addr = *addr;
		h->state = HOST_DEAD; /* and until 0: nothing is known */
		list_node_init(&h->node);
		list_node_init(&h->by_use);
		list_push_back(bucket_of(a, addr), &h->node);
		a->n++;
	}
	list_del(&h->by_use);
	list_push_back(&a->by_use, &h->by_use);
	return h;
}

/* ---- the probe */

static void answer(struct host *h, enum host_state state, uint64_t keep_ms, enum ns_refusal why)
{
	struct rt *r = h->alive->rt;

	if (h->echo && state == HOST_ALIVE)
		ns_echo_reply(r->ns, h->echo, h->echo_len);
	else if (h->echo && why != NS_REFUSE_DROP)
		ns_refuse_packet(r->ns, h->echo, h->echo_len, why);
	probe_end(h);
	h->state = state;
	h->why = why;
	h->until_ms = loop_now_ms(r->loop) + keep_ms;
}

static void far_opened(void *arg)
{
	answer(arg, HOST_ALIVE, ALIVE_MS, NS_REFUSE_DROP);
}

/* What says nothing about the host is not kept; RST has no meaning for an echo. */
static void far_failed(void *arg, enum far_failure why, const char *text)
{
	const enum ns_refusal refusal = far_failure_refusal(why);

	(void)text;
	if (why == FAR_REFUSED)
		answer(arg, HOST_ALIVE, ALIVE_MS, NS_REFUSE_DROP);
	else if (why == FAR_LIMIT)
		answer(arg, HOST_DEAD, 0, NS_REFUSE_DROP);
	else
		answer(arg, HOST_DEAD, why == FAR_NO_SESSION || why == FAR_NO_ANSWER ? 0 : DEAD_MS,
		       refusal == NS_REFUSE_RST ? NS_REFUSE_HOST_UNREACHABLE : refusal);
}

static void far_nothing(void *arg)
{
	(void)arg;
}

static void probe_begin(struct host *h, const struct net_addr *src, const struct rt_dest *dest)
{
	static const struct rt_far_events events = {
		.opening = far_nothing,
		.opened = far_opened,
		.failed = far_failed,
		.io = far_nothing,
		.gone = far_nothing, /* never: the probe ends when it opens */
	};
	const struct rt_far_target to = {
		.dst = { .addr = h->addr, .port = PROBE_PORT },
		.src = { .addr = *src },
		.name = h->name,
		.upstream = dest->upstream,
		.any = dest->rule != NULL,
	};

	h->state = HOST_PROBED;
	h->alive->probes++;
	rt_far_open(&h->far, h->alive->rt, &to, &events, h);
}

/* Holds the echo and looks whether somebody is there. At a limit it is let go: ping sends another. */
static void probe(struct rt_alive *a, struct host *h, const struct net_addr *src,
		  const struct rt_dest *dest, const uint8_t *packet, size_t len)
{
	if (a->probes >= PROBES_MAX)
		return;
	if (dest->fake && !(h->name = strdup(dest->name)))
		return;
	if (len <= ECHO_MAX && (h->echo = malloc(len))) {
		memcpy(h->echo, packet, len);
		h->echo_len = len;
	}
	probe_begin(h, src, dest);
}

/* ---- the netstack's event */

static void echo_of_host(struct rt *r, const struct net_addr *src, const struct net_addr *dst,
			 const struct rt_dest *dest, const uint8_t *packet, size_t len)
{
	struct host *h = host_of(r->alive, dst);

	if (!h || h->state == HOST_PROBED)
		return;
	if (h->until_ms <= loop_now_ms(r->loop))
		probe(r->alive, h, src, dest, packet, len);
	else if (h->state == HOST_ALIVE)
		ns_echo_reply(r->ns, packet, len);
	else
		ns_refuse_packet(r->ns, packet, len, h->why);
}

void rt_echo(void *arg, const struct net_addr *src, const struct net_addr *dst,
	     const uint8_t *packet, size_t len)
{
	struct rt *r = arg;
	struct rt_dest dest;

	rt_dest_of_addr(r, dst, &dest);
	if (dest.action == RT_DROP)
		return;
	if (dest.action == RT_UPSTREAM && rt_upstream_of(r, dest.upstream))
		echo_of_host(r, src, dst, &dest, packet, len);
	else
		ns_refuse_packet(r->ns, packet, len,
				 dest.unknown_fake ? NS_REFUSE_HOST_UNREACHABLE
				 : dest.no_ipv6	   ? NS_REFUSE_NET_UNREACHABLE
						   : NS_REFUSE_PROHIBITED);
}

/* ---- what flows tell */

void rt_alive_seen(struct rt *r, const struct net_addr *dst)
{
	struct host *h = host_of(r->alive, dst);

	if (h)
		answer(h, HOST_ALIVE, ALIVE_MS, NS_REFUSE_DROP);
}

void rt_alive_forget(struct rt *r)
{
	list_for_each (n, &r->alive->by_use)
		host_free(container_of(n, struct host, by_use));
}

uint32_t rt_alive_probes(const struct rt_alive *a)
{
	return a->probes;
}

int rt_alive_new(struct rt_alive **out, struct rt *r)
{
	struct rt_alive *a = calloc(1, sizeof(*a));

	if (!a)
		return ST_ENOMEM;
	a->rt = r;
	list_init(&a->by_use);
	for (size_t i = 0; i < BUCKETS; i++)
		list_init(&a->buckets[i]);
	*out = a;
	return 0;
}

void rt_alive_free(struct rt_alive *a)
{
	if (!a)
		return;
	list_for_each (n, &a->by_use)
		host_free(container_of(n, struct host, by_use));
	free(a);
}
