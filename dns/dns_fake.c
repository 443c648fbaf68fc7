// SPDX-License-Identifier: MIT
/*
 * dns_fake.c - names and their fake addresses
 *
 * Theory of operation: a table by index, a hash table by name with a random seed, and a list in the order of use. A new name looks for a free index
 * from the place that a hash of the name alone says, so that it tends to get the same address again when the map was lost. An index is
 * the address's last 16 bits less 256: 198.18.1.0 is the first.
 */
#include "dns/dns_fake.h"

#include <stdlib.h>
#include <string.h>

#include "base/codec.h"
#include "base/err.h"
#include "base/list.h"
#include "base/text.h"

#define BUCKETS 16384U /* a power of two; ours: chains of 4 when the map is full */
#define FIRST_LOW 256U /* the low 16 bits of the first address */
#define FAKE6_BYTE 11U /* of a fake IPv6 address: ::1:0:0 and up */

struct fake {
	struct fake *next; /* of its chain */
	struct list_node used;
	uint32_t hash; /* with the seed */
	uint16_t index;
	char name[];
};

struct dns_fakes {
	struct fake *by_index[DNS_FAKES_MAX];
	struct fake *buckets[BUCKETS];
	struct list used; /* the least recently used first */
	uint32_t count, seed;
	struct net_prefix fake4, fake6;
	const struct dns_hooks *hooks;
	void *hooks_arg;
	struct dns_fakes_file *file; /* NULL: not kept */
};

/* FNV-1a: part of the map's promise, see above */
static uint32_t name_hash(const char *name, uint32_t seed)
{
	uint32_t h = 2166136261U ^ seed;

	for (; *name; name++)
		h = (h ^ (uint8_t)*name) * 16777619U;
	h ^= h >> 16;
	h *= 0x85ebca6bU;
	return h ^ h >> 13;
}

static struct fake **place(struct dns_fakes *f, const char *name, uint32_t hash)
{
	struct fake **at = &f->buckets[hash % BUCKETS];

	while (*at && !((*at)->hash == hash && strcmp((*at)->name, name) == 0))
		at = &(*at)->next;
	return at;
}

static void touch(struct dns_fakes *f, struct fake *e)
{
	list_del(&e->used);
	list_push_back(&f->used, &e->used);
}

static void fake_free(struct dns_fakes *f, struct fake *e)
{
	*place(f, e->name, e->hash) = e->next;
	f->by_index[e->index] = NULL;
	list_del(&e->used);
	f->count--;
	free(e);
}

/* @index is free and @name has none */
static int fake_new(struct dns_fakes *f, unsigned index, const char *name)
{
	size_t size = strlen(name) + 1;
	struct fake *e = calloc(1, sizeof(*e) + size);

	if (!e)
		return ST_ENOMEM;
	memcpy(e->name, name, size);
	e->hash = name_hash(name, f->seed);
	e->index = (uint16_t)index;
	e->next = f->buckets[e->hash % BUCKETS];
	f->buckets[e->hash % BUCKETS] = e;
	f->by_index[index] = e;
	list_push_back(&f->used, &e->used);
	f->count++;
	return 0;
}

/* ---- what the file calls ---- */

static bool is_plain(const char *name)
{
	size_t len = strlen(name);

	for (size_t i = 0; i < len; i++) {
		uint8_t c = (uint8_t)name[i];

		if (c <= ' ' || c >= 0x7f || c == '\\' || (c >= 'A' && c <= 'Z'))
			return false;
	}
	return len > 0 && len < DNS_NAME_MAX;
}

static int line_take(void *arg, unsigned index, const char *name)
{
	struct dns_fakes *f = arg;
	struct fake *old;

	if (index >= DNS_FAKES_MAX || !is_plain(name))
		return ST_EFORMAT;
	old = *place(f, name, name_hash(name, f->seed));
	if (old)
		fake_free(f, old);
	if (f->by_index[index])
		fake_free(f, f->by_index[index]);
	return fake_new(f, index, name);
}

static const char *line_next(void *arg, const void **pos, unsigned *index)
{
	struct dns_fakes *f = arg;
	const struct list_node *at = *pos ? *pos : &f->used.head;
	const struct fake *e;

	if (at->next == &f->used.head)
		return NULL;
	e = container_of(at->next, struct fake, used);
	*pos = &e->used;
	*index = e->index;
	return e->name;
}

/* ---- life ---- */

int dns_fakes_new(struct dns_fakes **out, const struct dns_opts *opts)
{
	struct dns_fakes *f = calloc(1, sizeof(*f));
	int r;

	if (!f)
		return ST_ENOMEM;
	list_init(&f->used);
	f->fake4 = opts->fake4;
	f->fake6 = opts->fake6;
	f->hooks = opts->hooks;
	f->hooks_arg = opts->arg;
	codec_random(&f->seed, sizeof(f->seed));
	if (opts->map_path) {
		r = dns_fakes_file_new(&f->file, opts->map_path, &f->fake4, opts->loop, line_take,
				       line_next, f);
		if (r < 0) {
			dns_fakes_free(f);
			return r;
		}
	}
	*out = f;
	return 0;
}

void dns_fakes_free(struct dns_fakes *f)
{
	if (!f)
		return;
	dns_fakes_file_free(f->file);
	while (!list_empty(&f->used))
		fake_free(f, container_of(f->used.head.next, struct fake, used));
	free(f);
}

/* ---- look-ups ---- */

int dns_fakes_addr(const struct dns_fakes *f, unsigned index, uint8_t family, struct net_addr *out)
{
	const struct net_prefix *p = family == 6 ? &f->fake6 : &f->fake4;
	uint16_t low = (uint16_t)(index + FIRST_LOW);

	if (p->addr.family != family)
		return ST_ENOENT;
	*out = p->addr;
	if (family == 6)
		out->b[FAKE6_BYTE] = 1;
	be16_put(out->b + net_addr_bytes(out) - 2, low);
	return 0;
}

bool dns_fakes_has(const struct dns_fakes *f, const struct net_addr *a)
{
	struct net_addr first;

	if (a->family != 4 && a->family != 6)
		return false;
	if (dns_fakes_addr(f, 0, a->family, &first) < 0 ||
	    memcmp(first.b, a->b, net_addr_bytes(a) - 2U) != 0)
		return false;
	return a->family == 6 || be16_get(a->b + 2) >= FIRST_LOW;
}

static struct fake *by_addr(const struct dns_fakes *f, const struct net_addr *a)
{
	unsigned low;

	if (!dns_fakes_has(f, a))
		return NULL;
	low = be16_get(a->b + net_addr_bytes(a) - 2);
	return low < FIRST_LOW ? NULL : f->by_index[low - FIRST_LOW];
}

const char *dns_fakes_name(struct dns_fakes *f, const struct net_addr *a)
{
	struct fake *e = by_addr(f, a);

	if (!e)
		return NULL;
	touch(f, e);
	return e->name;
}

int dns_fakes_find(const struct dns_fakes *f, const char *name)
{
	uint32_t hash = name_hash(name, f->seed);
	const struct fake *e = f->buckets[hash % BUCKETS];

	while (e && !(e->hash == hash && strcmp(e->name, name) == 0))
		e = e->next;
	return e ? e->index : ST_ENOENT;
}

uint32_t dns_fakes_count(const struct dns_fakes *f)
{
	return f->count;
}

/* ---- new names ---- */

static bool is_in_use(const struct dns_fakes *f, const struct fake *e)
{
	struct net_addr a;

	if (!f->hooks->in_use)
		return false;
	if (dns_fakes_addr(f, e->index, 4, &a) == 0 && f->hooks->in_use(f->hooks_arg, &a))
		return true;
	return dns_fakes_addr(f, e->index, 6, &a) == 0 && f->hooks->in_use(f->hooks_arg, &a);
}

/* The map is full: the index of the name that nobody used for longest */
static int index_reclaim(struct dns_fakes *f)
{
	list_for_each (it, &f->used) {
		struct fake *e = container_of(it, struct fake, used);
		int index = e->index;

		if (is_in_use(f, e))
			continue;
		fake_free(f, e);
		return index;
	}
	return ST_EFULL;
}

static int index_choose(struct dns_fakes *f, const char *name)
{
	unsigned i = name_hash(name, 0) % DNS_FAKES_MAX;

	if (f->count == DNS_FAKES_MAX)
		return index_reclaim(f);
	while (f->by_index[i])
		i = (i + 1) % DNS_FAKES_MAX;
	return (int)i;
}

int dns_fakes_get(struct dns_fakes *f, const char *name)
{
	struct fake *e = *place(f, name, name_hash(name, f->seed));
	int index, r;

	if (e) {
		touch(f, e);
		return e->index;
	}
	if (!is_plain(name))
		return ST_EINVAL;
	index = index_choose(f, name);
	if (index < 0)
		return index;
	if ((r = fake_new(f, (unsigned)index, name)) < 0)
		return r;
	if (f->file)
		dns_fakes_file_add(f->file, (unsigned)index, name);
	return index;
}
