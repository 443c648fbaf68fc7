// SPDX-License-Identifier: MIT
/*
 * dns_cache.c - answers by question and way
 *
 * Theory of operation: a hash table of fixed size with chains, whose seed is random so that names can't be chosen to share one, and a list
 * in the order of use. An entry whose time is over goes when it is met or when its turn comes at the list's end; no timer
 * runs for it.
 */
#include "dns/dns_cache.h"

#include <stdlib.h>
#include <string.h>

#include "base/codec.h"
#include "base/err.h"
#include "base/list.h"

#define BUCKETS 8192U /* a power of two; ours: the default size holds some 10,000 small answers */
#define MALLOC_BYTES 32U /* ours: what the two blocks of an entry cost beside their sizes */

struct entry {
	struct entry *next; /* of its chain */
	struct list_node used;
	struct dns_answer *answer;
	size_t bytes;
	uint32_t hash;
	struct dns_key key; /* allocated only as far as key.len */
};

struct dns_cache {
	struct entry *buckets[BUCKETS];
	struct list used; /* the least recently used first */
	size_t max, bytes, entries;
	uint32_t seed;
};

int dns_cache_new(struct dns_cache **out, size_t bytes)
{
	struct dns_cache *c = calloc(1, sizeof(*c));

	if (!c)
		return ST_ENOMEM;
	list_init(&c->used);
	c->max = bytes;
	codec_random(&c->seed, sizeof(c->seed));
	*out = c;
	return 0;
}

void dns_cache_free(struct dns_cache *c)
{
	if (!c)
		return;
	dns_cache_clear(c);
	free(c);
}

static struct entry **place(struct dns_cache *c, const struct dns_key *k, uint32_t hash)
{
	struct entry **at = &c->buckets[hash % BUCKETS];

	while (*at && !((*at)->hash == hash && dns_key_eq(&(*at)->key, k)))
		at = &(*at)->next;
	return at;
}

static void entry_free(struct dns_cache *c, struct entry **at)
{
	struct entry *e = *at;

	*at = e->next;
	list_del(&e->used);
	c->bytes -= e->bytes;
	c->entries--;
	dns_answer_unref(e->answer);
	free(e);
}

static void evict(struct dns_cache *c, struct entry *e)
{
	struct entry **at = place(c, &e->key, e->hash);

	ST_ASSERT(*at == e);
	entry_free(c, at);
}

struct dns_answer *dns_cache_find(struct dns_cache *c, const struct dns_key *k, uint64_t now_ms)
{
	struct entry **at = place(c, k, dns_key_hash(k, c->seed));
	struct entry *e = *at;

	if (!e)
		return NULL;
	if (e->answer->until_ms <= now_ms) {
		entry_free(c, at);
		return NULL;
	}
	list_del(&e->used);
	list_push_back(&c->used, &e->used);
	return dns_answer_ref(e->answer);
}

void dns_cache_put(struct dns_cache *c, const struct dns_key *k, struct dns_answer *a)
{
	size_t size = offsetof(struct entry, key.b) + k->len;
	size_t bytes = size + dns_answer_bytes(a) + MALLOC_BYTES;
	uint32_t hash = dns_key_hash(k, c->seed);
	struct entry **at = place(c, k, hash);
	struct entry *e;

	if (*at)
		entry_free(c, at);
	if (a->until_ms <= a->born_ms || bytes > c->max / 4)
		return;
	e = malloc(size);
	if (!e)
		return;
	e->answer = dns_answer_ref(a);
	e->bytes = bytes;
	e->hash = hash;
	e->key.len = k->len;
	memcpy(e->key.b, k->b, k->len);
	e->next = c->buckets[hash % BUCKETS];
	c->buckets[hash % BUCKETS] = e;
	list_push_back(&c->used, &e->used);
	c->bytes += bytes;
	c->entries++;
	while (c->bytes > c->max)
		evict(c, container_of(c->used.head.next, struct entry, used));
}

void dns_cache_clear(struct dns_cache *c)
{
	while (!list_empty(&c->used))
		evict(c, container_of(c->used.head.next, struct entry, used));
}

void dns_cache_drop(struct dns_cache *c, uint32_t upstream)
{
	list_for_each (it, &c->used) {
		struct entry *e = container_of(it, struct entry, used);

		if (dns_key_is_of(&e->key, upstream))
			evict(c, e);
	}
}

void dns_cache_drop_local(struct dns_cache *c)
{
	list_for_each (it, &c->used) {
		struct entry *e = container_of(it, struct entry, used);

		if (dns_key_is_local(&e->key))
			evict(c, e);
	}
}

void dns_cache_stats(const struct dns_cache *c, size_t *entries, size_t *bytes)
{
	*entries = c->entries;
	*bytes = c->bytes;
}
