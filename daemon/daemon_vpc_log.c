// SPDX-License-Identifier: MIT
/* daemon_vpc_log.c - what a VPC reaches, and how that has changed, in one line of bounded length each */
#include "daemon/daemon_internal.h"

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/log.h"

#define ITEMS_SHOWN 12U /* ours: of one kind in a line */

/* A line that grows; what finds no room is left out and counted. */
struct line {
	char text[1024];
	size_t len, shown, more;
};

static void put(struct line *l, const char *text)
{
	int n = snprintf(l->text + l->len, sizeof(l->text) - l->len, "%s", text);

	l->len = MIN(l->len + (size_t)n, sizeof(l->text) - 1);
}

static void put_item(struct line *l, const char *head, const char *item)
{
	if (l->shown == ITEMS_SHOWN || strlen(item) + 64 > sizeof(l->text) - l->len) {
		l->more++;
		return;
	}
	put(l, l->shown ? ", " : head);
	put(l, item);
	l->shown++;
}

static void end_items(struct line *l)
{
	char text[40];

	if (l->more) {
		snprintf(text, sizeof(text), " and %zu more", l->more);
		put(l, text);
	}
	l->shown = l->more = 0;
}

static const struct net_prefix *prefix_at(const struct aws_vpc *v, size_t i)
{
	return i < v->n_own ? &v->own[i] : &v->routed[i - v->n_own];
}

static bool has_prefix(const struct aws_vpc *v, const struct net_prefix *p)
{
	for (size_t i = 0; v && i < v->n_own + v->n_routed; i++)
		if (prefix_at(v, i)->len == p->len && net_addr_eq(&prefix_at(v, i)->addr, &p->addr))
			return true;
	return false;
}

static bool has_name(const struct aws_vpc *v, const char *name)
{
	for (size_t i = 0; v && i < v->n_suffixes; i++)
		if (strcmp(v->suffixes[i], name) == 0)
			return true;
	return false;
}

/* What @a has and @b lacks; @names NULL: prefixes alone. */
static void put_difference(struct line *l, const struct aws_vpc *a, const struct aws_vpc *b,
			   const char *prefixes, const char *names)
{
	char text[NET_PREFIX_STR];

	for (size_t i = 0; a && i < a->n_own + a->n_routed; i++)
		if (!has_prefix(b, prefix_at(a, i)))
			put_item(l, prefixes, net_prefix_str(text, prefix_at(a, i)));
	end_items(l);
	for (size_t i = 0; a && names && i < a->n_suffixes; i++)
		if (!has_name(b, a->suffixes[i]))
			put_item(l, names, a->suffixes[i]);
	end_items(l);
}

static void tell_missing(const char *name, const struct aws_vpc *before, const struct aws_vpc *now)
{
	struct line l = { .len = 0 };
	bool same = before && before->n_missing == now->n_missing;

	for (size_t i = 0; same && i < now->n_missing; i++)
		same = before->missing[i] == now->missing[i] ||
		       strcmp(before->missing[i], now->missing[i]) == 0;
	if (same || !now->n_missing)
		return;
	for (size_t i = 0; i < now->n_missing; i++)
		put_item(&l, "", now->missing[i]);
	end_items(&l);
	log_warn("%s: the IAM identity lacks %s: what they tell about %s is left out", name, l.text,
		 now->vpc_id);
}

static void tell_cut(const char *name, const struct aws_vpc *before, const struct aws_vpc *now)
{
	if (now->cut_prefixes && (!before || before->cut_prefixes != now->cut_prefixes))
		log_warn("%s: %s reaches more than %u prefixes: the %zu smallest are left out",
			 name, now->vpc_id, AWS_VPC_PREFIXES_MAX, now->cut_prefixes);
	if (now->cut_suffixes && (!before || before->cut_suffixes != now->cut_suffixes))
		log_warn("%s: %s has more than %u private zones: %zu are left out", name,
			 now->vpc_id, AWS_VPC_SUFFIXES_MAX, now->cut_suffixes);
}

void daemon_vpc_tell(const struct vpc_rule *v, const struct aws_vpc *before,
		     const struct aws_vpc *now)
{
	const char *name = v->upstream->name;
	/* else those of before stay */
	const bool names_known = !now->zones_error[0] || !before ||
				 strcmp(before->vpc_id, now->vpc_id) != 0;
	struct line l = { .len = 0 };

	if (before) {
		put_difference(&l, now, before, "; added ",
			       names_known ? "; added the names " : NULL);
		put_difference(&l, before, now, "; removed ",
			       names_known ? "; removed the names " : NULL);
	} else {
		put_difference(&l, now, NULL, ": ", "; names: ");
	}
	if (l.len)
		log_info("%s: %s, the VPC of %s%s", name, now->vpc_id, now->instance_id, l.text);
	if (now->zones_error[0] && !(before && before->zones_error[0]))
		log_warn("%s: the private zones of %s are not known: %s", name, now->vpc_id,
			 now->zones_error);
	tell_missing(name, before, now);
	tell_cut(name, before, now);
}
