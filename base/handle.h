// SPDX-License-Identifier: MIT
/*
 * handle.h - things held across time by index + generation
 *
 * A table gives every object a 64-bit handle; a look-up with a handle of an object that has gone
 * finds NULL, also when its slot serves another object by now. Handle 0 is never valid.
 */
#ifndef BASE_HANDLE_H
#define BASE_HANDLE_H

#include <stddef.h>
#include <stdint.h>

#include "base/util.h"

typedef uint64_t handle;

struct hnd_table {
	struct hnd_slot *slots;
	uint32_t cap;  /* slots that exist */
	uint32_t used; /* slots in use */
	uint32_t max;  /* cap never exceeds it */
	uint32_t free; /* first free slot + 1; 0: none */
};

void hnd_init(struct hnd_table *t, uint32_t max);
void hnd_fini(struct hnd_table *t); /* the objects are the caller's */
/** hnd_add() - Return: 0 and *@out; ST_EFULL at max; ST_ENOMEM. @obj must not be NULL. */
int hnd_add(struct hnd_table *t, void *obj, handle *out) ST_MUST_USE;
/** hnd_get() - Return: the object, or NULL if @h is 0, stale or foreign */
void *hnd_get(const struct hnd_table *t, handle h);
/** hnd_del() - Return: the object that @h named; NULL as hnd_get() */
void *hnd_del(struct hnd_table *t, handle h);
/** hnd_next() - the first object at or after *@pos, which moves on; NULL at the end. Start at 0.
 * Objects may be added and deleted between calls. */
void *hnd_next(const struct hnd_table *t, uint32_t *pos);

#endif
