// SPDX-License-Identifier: MIT
/* list.h - intrusive doubly linked list; a node that is in no list points to itself */
#ifndef BASE_LIST_H
#define BASE_LIST_H

#include <stdbool.h>

#include "base/util.h"

struct list_node {
	struct list_node *prev, *next;
};

struct list {
	struct list_node head;
};

static inline void list_node_init(struct list_node *n)
{
	n->prev = n->next = n;
}

static inline void list_init(struct list *l)
{
	list_node_init(&l->head);
}

static inline bool list_empty(const struct list *l)
{
	return l->head.next == &l->head;
}

static inline bool list_linked(const struct list_node *n)
{
	return n->next != n;
}

static inline void list_insert_after(struct list_node *at, struct list_node *n)
{
	n->prev = at;
	n->next = at->next;
	at->next->prev = n;
	at->next = n;
}

static inline void list_push_back(struct list *l, struct list_node *n)
{
	list_insert_after(l->head.prev, n);
}

static inline void list_push_front(struct list *l, struct list_node *n)
{
	list_insert_after(&l->head, n);
}

/** list_del() - takes @n out of whatever list it is in; none is fine */
static inline void list_del(struct list_node *n)
{
	n->prev->next = n->next;
	n->next->prev = n->prev;
	list_node_init(n);
}

/** list_splice_back() - moves all of @from behind the nodes of @to; @from is empty then */
static inline void list_splice_back(struct list *to, struct list *from)
{
	if (list_empty(from))
		return;
	from->head.next->prev = to->head.prev;
	from->head.prev->next = &to->head;
	to->head.prev->next = from->head.next;
	to->head.prev = from->head.prev;
	list_init(from);
}

/** list_pop_front() - Return: the first node, taken out; NULL if empty */
static inline struct list_node *list_pop_front(struct list *l)
{
	struct list_node *n = l->head.next;

	if (list_empty(l))
		return NULL;
	/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): it misses that a freed node's list_del() changed the head */
	list_del(n);
	return n;
}

/* Safe against removal of the current node, not of the next one. */
/* NOLINTBEGIN(bugprone-macro-parentheses): @it is a name that the macro declares */
#define list_for_each(it, l)                                                                       \
	for (struct list_node *it = (l)->head.next, *it##_next = it->next; it != &(l)->head;       \
	     it = it##_next, it##_next = it->next)
/* NOLINTEND(bugprone-macro-parentheses) */

#endif
