// SPDX-License-Identifier: MIT
/* list_test.c - order, removal from any place, removal while iterating, splicing */
#include "base/list.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct item {
	int id;
	struct list_node node;
};

/* The ids as one decimal number, in both directions */
static int ids(struct list *l)
{
	int forth = 0, back = 0, place = 1;

	list_for_each (n, l)
		forth = forth * 10 + container_of(n, struct item, node)->id;
	for (struct list_node *n = l->head.next; n != &l->head; n = n->next, place *= 10)
		back += place * container_of(n, struct item, node)->id;
	for (struct list_node *n = l->head.prev; n != &l->head; n = n->prev) {
		place /= 10;
		back -= place * container_of(n, struct item, node)->id;
	}
	assert_int_equal(back, 0);
	return forth;
}

static void fill(struct list *l, struct item *items, int first, int n)
{
	list_init(l);
	for (int i = 0; i < n; i++) {
		items[i].id = first + i;
		list_push_back(l, &items[i].node);
	}
}

static void order_and_removal(void **state)
{
	struct item items[3], front = { .id = 9 };
	struct list l;

	(void)state;
	fill(&l, items, 1, 3);
	assert_int_equal(ids(&l), 123);
	list_push_front(&l, &front.node);
	assert_int_equal(ids(&l), 9123);
	list_del(&items[1].node);
	assert_int_equal(ids(&l), 913);
	assert_false(list_linked(&items[1].node));
	list_del(&items[1].node);
	assert_int_equal(ids(&l), 913);
	assert_ptr_equal(list_pop_front(&l), &front.node);
	assert_ptr_equal(list_pop_front(&l), &items[0].node);
	assert_ptr_equal(list_pop_front(&l), &items[2].node);
	assert_null(list_pop_front(&l));
	assert_true(list_empty(&l));
}

static void removal_while_iterating(void **state)
{
	struct item items[4];
	struct list l;

	(void)state;
	fill(&l, items, 1, 4);
	list_for_each (n, &l) {
		if (container_of(n, struct item, node)->id % 2 == 0)
			list_del(n);
	}
	assert_int_equal(ids(&l), 13);
}

static void splice(void **state)
{
	struct item a[2], b[2];
	struct list l, m;

	(void)state;
	fill(&l, a, 1, 2);
	fill(&m, b, 3, 2);
	list_splice_back(&l, &m);
	assert_int_equal(ids(&l), 1234);
	assert_true(list_empty(&m));
	list_splice_back(&l, &m);
	assert_int_equal(ids(&l), 1234);
	list_splice_back(&m, &l);
	assert_int_equal(ids(&m), 1234);
	assert_true(list_empty(&l));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(order_and_removal),
		cmocka_unit_test(removal_while_iterating),
		cmocka_unit_test(splice),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
