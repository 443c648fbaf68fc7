// SPDX-License-Identifier: MIT
/*
 * rt_learned.c - addresses that answers gave for names with a rule (dns: mode tunnel), and what they are routed for
 *
 * Theory of operation: an address is remembered with the name that it was given for, for max(TTL, 5 minutes) and as long as flows use it, and
 * its host route stands before the answer leaves. The rule is looked up by that name whenever a flow comes, so a new
 * table holds at once. An entry past its time is looked at again in LOOK_MS while flows hold it. At the limit the one whose time ends first, and
 * that no flow holds, makes room. A timer runs only while there are entries.
 */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "base/text.h"
#include "router/rt_internal.h"

#define KEEP_MS 300000U	 /* decision 12 */
#define LOOK_MS 30000U	 /* ours: entries are looked at this often at most */
#define TTL_MAX_S 86400U /* ours: a longer one is not believed; RFC 8767 caps alike */
#define BUCKETS 1024U

struct learned {
	struct list_node node; /* in its bucket */
	struct net_addr addr;
	char *name;
	uint32_t upstream;
	uint64_t until_ms;
};

struct rt_learned {
	struct rt *rt;
	struct list buckets[BUCKETS];
	uint32_t n;
	struct loop_timer timer;
};

static struct list *bucket_of(struct rt_learned *l, const struct net_addr *a)
{
	return &l->buckets[rt_addr_hash(a) % BUCKETS];
}

static struct learned *find(struct rt_learned *l, const struct net_addr *a)
{
	list_for_each (n, bucket_of(l, a)) {
		struct learned *e = container_of(n, struct learned, node);

		if (net_addr_eq(&e->addr, a))
			return e;
	}
	return NULL;
}

static int set_route(const struct rt_learned *l, const struct net_addr *a, bool on)
{
	const struct rt_dns *d = l->rt->dns;

	return d && d->opts.route ? d->opts.route(d->opts.arg, a, on) : 0;
}

static void entry_free(struct rt_learned *l, struct learned *e)
{
	list_del(&e->node);
	l->n--;
	free(e->name);
	free(e);
}

/* A rule for the very address has that route, too. */
static bool is_rules(const struct rt_learned *l, const struct net_addr *a)
{
	const struct rt_rule *rule = rt_rules_find(l->rt->table.rules, a);

	return rule && rule->action != RT_DIRECT && rule->prefix.len == net_addr_bits(a);
}

static void forget(struct rt_learned *l, struct learned *e)
{
	char addr[NET_ADDR_STR];
	int r = is_rules(l, &e->addr) ? 0 : set_route(l, &e->addr, false);

	if (r < 0)
		log_warn("the route of %s stays: %s", net_addr_str(addr, &e->addr), st_strerror(r));
	entry_free(l, e);
}

static void arm(struct rt_learned *l)
{
	if (l->n == 0 || loop_timer_armed(&l->timer))
		return;
	if (loop_timer_set(l->rt->loop, &l->timer, loop_now_ms(l->rt->loop) + LOOK_MS) < 0)
		log_warn("learned addresses stay: %s", st_strerror(ST_ENOMEM));
}

static void on_timer(void *arg, uint64_t now_ms)
{
	struct rt_learned *l = arg;

	for (size_t i = 0; i < BUCKETS; i++)
		list_for_each (n, &l->buckets[i]) {
			struct learned *e = container_of(n, struct learned, node);

			if (now_ms >= e->until_ms && !rt_flow_to(l->rt, &e->addr))
				forget(l, e);
		}
	arm(l);
}

/* Room for one more. Return: 0; ST_EFULL: flows hold all of them */
static int make_room(struct rt_learned *l)
{
	struct learned *first = NULL;

	if (l->n < RT_LEARNED_MAX)
		return 0;
	for (size_t i = 0; i < BUCKETS; i++)
		list_for_each (n, &l->buckets[i]) {
			struct learned *e = container_of(n, struct learned, node);

			if ((!first || e->until_ms < first->until_ms) &&
			    !rt_flow_to(l->rt, &e->addr))
				first = e;
		}
	if (!first)
		return ST_EFULL;
	forget(l, first);
	return 0;
}

static int entry_new(struct rt_learned *l, const struct net_addr *addr, const char *name,
		     struct learned **out)
{
	struct learned *e;
	int r = make_room(l);

	if (r < 0)
		return r;
	e = calloc(1, sizeof(*e));
	if (!e || !(e->name = strdup(name))) {
		free(e);
		return ST_ENOMEM;
	}
	if ((r = set_route(l, addr, true)) < 0) {
		free(e->name);
		free(e);
		return r;
	}
	e->addr = *addr;
	list_node_init(&e->node);
	list_push_back(bucket_of(l, addr), &e->node);
	l->n++;
	*out = e;
	return 0;
}

/* By its rule of now: a reload may have given its upstream another slot. */
static uint32_t upstream_of(const struct rt *r, const struct learned *e)
{
	struct rt_dest dest;

	rt_dest_of_name(r, e->name, &dest);
	return dest.action == RT_UPSTREAM ? dest.upstream : e->upstream;
}

/* The address is another name's from now on. */
static int rename_to(struct rt_learned *l, struct learned *e, const char *name, uint32_t upstream)
{
	char addr[NET_ADDR_STR], *copy;
	const struct rt *r = l->rt;
	uint32_t former;

	if (strcmp(e->name, name) == 0)
		return 0;
	former = upstream_of(r, e);
	if (former != upstream)
		log_limited(loop_now_ms(r->loop), LOG_WARN,
			    "%s is the address of %s and of %s, which have different upstreams "
			    "(%s, %s): the later answer holds; with dns: {mode: fake-ip} both work",
			    net_addr_str(addr, &e->addr), text_safe(e->name).s, text_safe(name).s,
			    r->upstreams[former].name ? r->upstreams[former].name : "?",
			    r->upstreams[upstream].name ? r->upstreams[upstream].name : "?");
	if (!(copy = strdup(name)))
		return ST_ENOMEM;
	free(e->name);
	e->name = copy;
	return 0;
}

/* By a rule of its name, to an upstream: only such an address is kept. */
static bool is_ours(const struct rt *r, const char *name)
{
	struct rt_dest dest;

	rt_dest_of_name(r, name, &dest);
	return dest.name_rule && dest.action != RT_DIRECT;
}

int rt_learned_add(void *arg, const char *name, const struct dns_via *via,
		   const struct net_addr *addr, uint32_t ttl_s)
{
	struct rt *r = arg;
	struct rt_learned *l = r->learned;
	struct learned *e = find(l, addr);
	int err = 0;

	if (!via || !is_ours(r, name))
		return 0;
	if (net_addr_is_local_only(addr) && !rt_rules_find(r->table.rules, addr))
		return ST_EPERM;
	ST_ASSERT(via->upstream < RT_UPSTREAMS_MAX);
	if (e)
		err = rename_to(l, e, name, via->upstream);
	else
		err = entry_new(l, addr, name, &e);
	if (err < 0)
		return err;
	const uint64_t keep_ms = MAX((uint64_t)MIN(ttl_s, TTL_MAX_S) * 1000U, KEEP_MS);
	e->upstream = via->upstream;
	e->until_ms = MAX(e->until_ms, loop_now_ms(r->loop) + keep_ms);
	arm(l);
	return 0;
}

const char *rt_learned_name(const struct rt *r, const struct net_addr *a)
{
	const struct learned *e = r->learned->n > 0 ? find(r->learned, a) : NULL;

	return e ? e->name : NULL;
}

void rt_learned_check(struct rt *r)
{
	struct rt_learned *l = r->learned;

	for (size_t i = 0; l->n > 0 && i < BUCKETS; i++)
		list_for_each (n, &l->buckets[i]) {
			struct learned *e = container_of(n, struct learned, node);

			if (!is_ours(r, e->name))
				forget(l, e);
		}
}

size_t rt_dns_learned(const struct rt *r, struct net_addr *out, size_t cap)
{
	size_t count = 0;

	for (size_t i = 0; r->learned->n > 0 && i < BUCKETS; i++)
		list_for_each (n, &r->learned->buckets[i])
			if (count < cap)
				out[count++] = container_of(n, struct learned, node)->addr;
	return count;
}

uint32_t rt_learned_count(const struct rt_learned *l)
{
	return l->n;
}

int rt_learned_new(struct rt_learned **out, struct rt *r)
{
	struct rt_learned *l = calloc(1, sizeof(*l));

	if (!l)
		return ST_ENOMEM;
	l->rt = r;
	for (size_t i = 0; i < BUCKETS; i++)
		list_init(&l->buckets[i]);
	loop_timer_init(&l->timer, on_timer, l);
	*out = l;
	return 0;
}

void rt_learned_free(struct rt_learned *l)
{
	if (!l)
		return;
	for (size_t i = 0; i < BUCKETS; i++)
		list_for_each (n, &l->buckets[i])
			entry_free(l, container_of(n, struct learned, node));
	loop_timer_cancel(l->rt->loop, &l->timer);
	free(l);
}
