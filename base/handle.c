// SPDX-License-Identifier: MIT
/*
 * handle.c - things held across time by index + generation
 *
 * Theory of operation: an array of slots, free ones chained by index. A slot's generation moves on
 * when its object leaves, and skips 0, so no handle is 0; the same handle comes back only after
 * 4 billion reuses of one slot. The chain is last in, first out: the slots in use stay few and warm.
 */
#include "base/handle.h"

#include <stdlib.h>

#include "base/err.h"

#define SLOTS_MIN 16U /* ours */

struct hnd_slot {
	void *obj; /* NULL: free */
	uint32_t gen;
	uint32_t next_free; /* index + 1; 0: none */
};

void hnd_init(struct hnd_table *t, uint32_t max)
{
	*t = (struct hnd_table){ .max = max };
}

void hnd_fini(struct hnd_table *t)
{
	free(t->slots);
	*t = (struct hnd_table){ .max = t->max };
}

static int grow(struct hnd_table *t)
{
	uint32_t cap = t->cap < SLOTS_MIN ? SLOTS_MIN : t->cap > t->max / 2 ? t->max : t->cap * 2;
	struct hnd_slot *slots;

	cap = MIN(cap, t->max);
	if (cap <= t->cap)
		return ST_EFULL;
	slots = reallocarray(t->slots, cap, sizeof(*slots));
	if (!slots)
		return ST_ENOMEM;
	for (uint32_t i = cap; i-- > t->cap;) {
		slots[i] = (struct hnd_slot){ .gen = 1, .next_free = t->free };
		t->free = i + 1;
	}
	t->slots = slots;
	t->cap = cap;
	return 0;
}

int hnd_add(struct hnd_table *t, void *obj, handle *out)
{
	struct hnd_slot *slot;
	uint32_t i;
	int r;

	ST_ASSERT(obj);
	if (t->free == 0 && (r = grow(t)) < 0)
		return r;
	i = t->free - 1;
	slot = &t->slots[i];
	t->free = slot->next_free;
	slot->obj = obj;
	t->used++;
	*out = (handle)slot->gen << 32 | i;
	return 0;
}

static struct hnd_slot *find(const struct hnd_table *t, handle h)
{
	uint32_t i = (uint32_t)h;

	if (i >= t->cap || t->slots[i].gen != (uint32_t)(h >> 32) || !t->slots[i].obj)
		return NULL;
	return &t->slots[i];
}

void *hnd_get(const struct hnd_table *t, handle h)
{
	const struct hnd_slot *slot = find(t, h);

	return slot ? slot->obj : NULL;
}

void *hnd_del(struct hnd_table *t, handle h)
{
	struct hnd_slot *slot = find(t, h);
	void *obj;

	if (!slot)
		return NULL;
	obj = slot->obj;
	slot->obj = NULL;
	slot->gen = slot->gen == UINT32_MAX ? 1 : slot->gen + 1;
	slot->next_free = t->free;
	t->free = (uint32_t)h + 1;
	t->used--;
	return obj;
}

void *hnd_next(const struct hnd_table *t, uint32_t *pos)
{
	while (*pos < t->cap) {
		void *obj = t->slots[(*pos)++].obj;

		if (obj)
			return obj;
	}
	return NULL;
}
