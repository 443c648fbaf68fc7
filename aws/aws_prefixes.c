// SPDX-License-Identifier: MIT
/*
 * aws_prefixes.c - prefixes that answers named, made few
 *
 * Theory of operation: prefixes are gathered as they come, sorted once by address and then length, and walked: of a sorted set only the
 * last one kept can hold the next, and of a set without overlaps only the last at or before an address can hold it.
 */
#include <stdlib.h>
#include <string.h>

#include "aws/aws_internal.h"
#include "base/err.h"

#define SHORTEST4                                                                                  \
	8U /* 0.0.0.0/1 twice is a default route, too; real networks are 10.0.0.0/8 at most */
#define SHORTEST6 7U /* fc00::/7 */

static uint8_t shortest(const struct net_addr *a)
{
	return a->family == 6 ? SHORTEST6 : SHORTEST4;
}

/* Return: false if @text is nothing that may be routed */
static bool prefix_read(struct net_prefix *out, const char *text)
{
	int err = text ? net_prefix_parse(out, text) : ST_EFORMAT;

	if (err && err != ST_EINVAL) /* bits behind the length: they are cleared in *@out */
		return false;
	return out->len >= shortest(&out->addr) && !net_addr_is_local_only(&out->addr);
}

static int put(struct aws_prefixes *s, const struct net_prefix *p)
{
	if (s->n == AWS_PREFIXES_RAW_MAX) {
		s->lost++;
		return 0;
	}
	if (s->n == s->cap) {
		size_t cap = s->cap ? s->cap * 2 : 16;
		struct net_prefix *more = realloc(s->v, cap * sizeof(*more));

		if (!more)
			return ST_ENOMEM;
		s->v = more;
		s->cap = cap;
	}
	s->v[s->n++] = *p;
	return 0;
}

int aws_prefixes_add(struct aws_prefixes *s, const char *text)
{
	struct net_prefix p;

	return prefix_read(&p, text) ? put(s, &p) : 0;
}

/* Two prefixes overlap only if one holds the other: the longer one is what they share. */
int aws_prefixes_add_cut(struct aws_prefixes *s, const char *text,
			 const struct aws_prefixes *within)
{
	struct net_prefix p;
	bool bounded = false;
	int err = 0;

	/* a default route counts here: through a peering it leads to the other VPC and no further */
	if (!text || ((err = net_prefix_parse(&p, text)) && err != ST_EINVAL))
		return 0;
	err = 0;
	for (size_t i = 0; !err && i < within->n; i++) {
		const struct net_prefix *w = &within->v[i];

		if (w->addr.family != p.addr.family)
			continue;
		bounded = true;
		if (net_prefix_covers(&p, w))
			err = put(s, w);
		else if (net_prefix_covers(w, &p))
			err = put(s, &p);
	}
	return bounded ? err : aws_prefixes_add(s, text);
}

static int by_address(const void *pa, const void *pb)
{
	const struct net_prefix *a = pa, *b = pb;
	int c = net_addr_cmp(&a->addr, &b->addr);

	return c ? c : (int)a->len - (int)b->len;
}

static int by_size(const void *pa, const void *pb)
{
	const struct net_prefix *a = pa, *b = pb;

	return a->len != b->len ? (int)a->len - (int)b->len : net_addr_cmp(&a->addr, &b->addr);
}

static void sort(struct aws_prefixes *s, int (*cmp)(const void *, const void *))
{
	if (s->n)
		qsort(s->v, s->n, sizeof(*s->v), cmp);
}

static void drop_inner(struct aws_prefixes *s)
{
	size_t kept = 0;

	sort(s, by_address);
	for (size_t i = 0; i < s->n; i++)
		if (!kept || !net_prefix_covers(&s->v[kept - 1], &s->v[i]))
			s->v[kept++] = s->v[i];
	s->n = kept;
}

/* @by: sorted, without overlaps */
static bool is_covered(const struct aws_prefixes *by, const struct net_prefix *p)
{
	size_t low = 0, high = by->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (net_addr_cmp(&by->v[middle].addr, &p->addr) <= 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low && net_prefix_covers(&by->v[low - 1], p);
}

static void drop_covered(struct aws_prefixes *s, const struct aws_prefixes *by)
{
	size_t kept = 0;

	for (size_t i = 0; i < s->n; i++)
		if (!is_covered(by, &s->v[i]))
			s->v[kept++] = s->v[i];
	s->n = kept;
}

/* The prefix that is exactly @a and @b. Return: false if there is none, or it is too short */
static bool parent_of(struct net_prefix *out, const struct net_prefix *a,
		      const struct net_prefix *b)
{
	unsigned bit;

	if (a->addr.family != b->addr.family || a->len != b->len || a->len <= shortest(&a->addr))
		return false;
	bit = a->len - 1U;
	*out = (struct net_prefix){ .addr = a->addr, .len = (uint8_t)bit };
	out->addr.b[bit / 8] = (uint8_t)(out->addr.b[bit / 8] & ~(0x80U >> bit % 8));
	return net_addr_eq(&out->addr, &a->addr) && net_prefix_covers(out, b);
}

/* Joins neighbours, and what came of them, as far as it goes. */
static void join(struct aws_prefixes *s)
{
	size_t kept = 0;

	for (size_t i = 0; i < s->n; i++) {
		struct net_prefix parent;

		s->v[kept++] = s->v[i];
		while (kept > 1 && parent_of(&parent, &s->v[kept - 2], &s->v[kept - 1]))
			s->v[--kept - 1] = parent;
	}
	s->n = kept;
}

static size_t cut(struct aws_prefixes *s, size_t max)
{
	size_t over = s->n > max ? s->n - max : 0;

	if (over) {
		sort(s, by_size);
		s->n = max;
		sort(s, by_address);
	}
	return over;
}

size_t aws_prefixes_reduce(struct aws_prefixes *own, struct aws_prefixes *routed, size_t max)
{
	size_t over = own->lost + routed->lost;

	drop_inner(own);
	drop_inner(routed);
	drop_covered(routed, own);
	if (own->n + routed->n <= max)
		return over;
	join(own);
	join(routed);
	drop_covered(routed, own);
	over += cut(own, max);
	return over + cut(routed, max - own->n);
}

void aws_prefixes_fini(struct aws_prefixes *s)
{
	free(s->v);
	*s = (struct aws_prefixes){ 0 };
}
