// SPDX-License-Identifier: MIT
/*
 * dns.c - the whole: what is made and freed together, what changes under it, and its counters
 *
 * Theory of operation: see dns_core.h. Nothing here waits: a query that can't be answered from the fake map or the cache is a party with a
 * budget, which ends by its answer, by its budget, or by dns_cancel().
 */
#include "dns/dns.h"

#include <stdlib.h>
#include <string.h>

#include "base/codec.h"
#include "base/err.h"
#include "dns/dns_core.h"

/* ---- queues ---- */

static void on_due(void *arg, uint64_t now_ms)
{
	struct dns_queue *q = arg;

	while (!list_empty(&q->waiting)) {
		struct dns_wait *w = container_of(q->waiting.head.next, struct dns_wait, node);

		if (w->at_ms > now_ms) {
			loop_timer_set(q->loop, &q->timer, w->at_ms); /* its place is there */
			return;
		}
		list_del(&w->node);
		q->over(w);
	}
}

void dns_queue_init(struct dns_queue *q, struct loop *loop, uint32_t delay_ms,
		    void (*over)(struct dns_wait *w))
{
	list_init(&q->waiting);
	loop_timer_init(&q->timer, on_due, q);
	q->loop = loop;
	q->delay_ms = delay_ms;
	q->over = over;
}

void dns_queue_fini(struct dns_queue *q)
{
	if (q->loop)
		loop_timer_cancel(q->loop, &q->timer);
}

int dns_queue_add(struct dns_queue *q, struct dns_wait *w)
{
	w->at_ms = loop_now_ms(q->loop) + q->delay_ms;
	if (!loop_timer_armed(&q->timer) && loop_timer_set(q->loop, &q->timer, w->at_ms) < 0)
		return ST_ENOMEM;
	list_push_back(&q->waiting, &w->node);
	return 0;
}

/* ---- parties ---- */

static uint8_t via_slot(const struct dns_via *via)
{
	if (!via)
		return DNS_VIA_LOCAL;
	return via->relay ? DNS_VIA_RELAY : (uint8_t)(via->upstream % DNS_VIA_SLOTS);
}

int dns_party_add(struct dns *d, struct dns_party *p, enum dns_party_kind kind,
		  const struct dns_via *via)
{
	const uint8_t slot = via_slot(via);
	int r;

	p->d = d;
	p->kind = kind;
	dns_wait_init(&p->budget);
	if (d->by_via[slot] >= DNS_VIA_MAX)
		return ST_EFULL;
	if ((r = dns_queue_add(&d->budgets, &p->budget)) < 0)
		return r;
	if ((r = hnd_add(&d->parties, p, &p->h)) < 0) {
		dns_wait_end(&p->budget);
		return r;
	}
	p->via_slot = slot;
	d->by_via[slot]++;
	return 0;
}

void dns_party_del(struct dns_party *p)
{
	if (!p->h)
		return;
	dns_wait_end(&p->budget);
	hnd_del(&p->d->parties, p->h);
	p->d->by_via[p->via_slot]--;
	p->h = 0;
}

static void on_budget_over(struct dns_wait *w)
{
	struct dns_party *p = container_of(w, struct dns_party, budget);

	if (p->kind == DNS_PARTY_QUERY)
		dns_query_over(p);
	else
		dns_resolve_over(p);
}

static void party_free(struct dns_party *p)
{
	if (p->kind == DNS_PARTY_QUERY)
		dns_query_free(p);
	else
		dns_resolve_free(p);
}

void dns_cancel(struct dns *d, handle h)
{
	struct dns_party *p = hnd_get(&d->parties, h);

	if (p)
		party_free(p);
}

/* ---- life ---- */

int dns_new(struct dns **out, const struct dns_opts *opts)
{
	struct dns *d = calloc(1, sizeof(*d));
	int r;

	if (!d)
		return ST_ENOMEM;
	d->opts = *opts;
	if (d->opts.budget_ms == 0)
		d->opts.budget_ms = DNS_BUDGET_MS;
	hnd_init(&d->parties, DNS_PENDING_MAX);
	for (size_t i = 0; i < DNS_SHARE_BUCKETS; i++)
		list_init(&d->shares[i]);
	list_init(&d->raw_shares);
	codec_random(&d->seed, sizeof(d->seed));
	dns_queue_init(&d->budgets, opts->loop, d->opts.budget_ms, on_budget_over);
	dns_queue_init(&d->known, opts->loop, DNS_KNOWN_WAIT_MS, dns_query_known_over);
	dns_queue_init(&d->grace, opts->loop, DNS_GRACE_MS, dns_resolve_grace_over);
	if ((r = dns_cache_new(&d->cache,
			       opts->cache_bytes ? opts->cache_bytes : DNS_CACHE_BYTES)) < 0 ||
	    (r = dns_fakes_new(&d->fakes, opts)) < 0 || (r = dns_pipes_new(&d->pipes, d)) < 0 ||
	    (r = dns_forwards_new(&d->forwards, d)) < 0) {
		dns_free(d);
		return r;
	}
	*out = d;
	return 0;
}

void dns_free(struct dns *d)
{
	struct dns_party *p;

	if (!d)
		return;
	for (uint32_t pos = 0; (p = hnd_next(&d->parties, &pos));)
		party_free(p);
	dns_shares_free(d);
	if (d->forwards)
		dns_forwards_free(d->forwards);
	if (d->pipes)
		dns_pipes_free(d->pipes);
	dns_queue_fini(&d->budgets);
	dns_queue_fini(&d->known);
	dns_queue_fini(&d->grace);
	dns_fakes_free(d->fakes);
	dns_cache_free(d->cache);
	hnd_fini(&d->parties);
	free(d);
}

struct loop *dns_loop(const struct dns *d)
{
	return d->opts.loop;
}

const struct dns_opts *dns_options(const struct dns *d)
{
	return &d->opts;
}

/* ---- changes ---- */

void dns_set_forwarders(struct dns *d, const struct net_endpoint *v, size_t n)
{
	d->n_forwarders = MIN(n, DNS_FORWARDERS_MAX);
	dns_forwards_set(d->forwards, v, d->n_forwarders);
	dns_cache_clear(d->cache);
}

void dns_rules_changed(struct dns *d, bool rebind_block)
{
	d->opts.rebind_block = rebind_block;
	dns_cache_clear(d->cache);
}

void dns_network_changed(struct dns *d)
{
	dns_cache_drop_local(d->cache);
}

void dns_upstream_gone(struct dns *d, uint32_t upstream)
{
	dns_cache_drop(d->cache, upstream);
	dns_pipes_drop(d->pipes, upstream);
}

/* ---- fake addresses and counters ---- */

bool dns_is_fake(const struct dns *d, const struct net_addr *a)
{
	return dns_fakes_has(d->fakes, a);
}

const char *dns_fake_name(struct dns *d, const struct net_addr *a)
{
	return dns_fakes_name(d->fakes, a);
}

int dns_fake_of(const struct dns *d, const char *name, uint8_t family, struct net_addr *out)
{
	int index = dns_fakes_find(d->fakes, name);

	return index < 0 ? index : dns_fakes_addr(d->fakes, (unsigned)index, family, out);
}

void dns_stats(const struct dns *d, struct dns_stats *out)
{
	*out = d->stats;
	out->pending = d->parties.used;
	out->fakes = dns_fakes_count(d->fakes);
	out->pipes = dns_pipes_count(d->pipes);
	dns_cache_stats(d->cache, &out->cache_entries, &out->cache_bytes);
}
