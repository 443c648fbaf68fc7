// SPDX-License-Identifier: MIT
/* dns_cache_test.c - answers kept in bounded memory */
#include "dns/dns_cache.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "dns_asks.h"

#define CACHE_BYTES 20000U
#define NOW_MS 1000000U

static struct dns_cache *cache;

static int set_up(void **state)
{
	(void)state;
	return dns_cache_new(&cache, CACHE_BYTES);
}

static int tear_down(void **state)
{
	(void)state;
	dns_cache_free(cache);
	return 0;
}

static struct dns_key key_of(unsigned i, const struct dns_via *via)
{
	uint8_t query[DNS_QUERY_MAX];
	struct dns_asked asked;
	struct dns_key k;
	char name[32];

	snprintf(name, sizeof(name), "n%u.test", i);
	assert_int_equal(dns_msg_asked(&asked, query, wire_query(query, name, "A")), 0);
	dns_key_set(&k, &asked, DNS_A, via);
	return k;
}

static void put(unsigned i, const struct dns_via *via, unsigned ttl_s)
{
	static uint8_t wire[DNS_MESSAGE_MAX];
	struct dns_key k = key_of(i, via);
	uint8_t query[DNS_QUERY_MAX];
	struct dns_answer *a;
	char line[64];
	size_t len = dns_key_query(query, &k);

	snprintf(line, sizeof(line), "n%u.test. %u IN A 192.0.2.1", i, ttl_s);
	len = wire_answer(wire, query, len, 0, line, NULL);
	assert_int_equal(dns_answer_new(&a, wire, len, false, NOW_MS), 0);
	dns_cache_put(cache, &k, a);
	dns_answer_unref(a);
}

static bool has(unsigned i, const struct dns_via *via, uint64_t now_ms)
{
	struct dns_key k = key_of(i, via);
	struct dns_answer *a = dns_cache_find(cache, &k, now_ms);

	dns_answer_unref(a);
	return a != NULL;
}

static size_t bytes(void)
{
	size_t entries, n;

	dns_cache_stats(cache, &entries, &n);
	assert_int_equal(entries == 0, n == 0);
	return n;
}

static void an_answer_is_kept_for_its_time(void **state)
{
	(void)state;
	put(1, NULL, 10);
	assert_true(has(1, NULL, NOW_MS));
	assert_true(has(1, NULL, NOW_MS + 9999));
	assert_false(has(2, NULL, NOW_MS));
	assert_false(has(1, NULL, NOW_MS + 10000));
	assert_int_equal(bytes(), 0);
	put(3, NULL, 0);
	assert_false(has(3, NULL, NOW_MS));
}

static void ways_are_kept_apart(void **state)
{
	static const struct dns_via one = { .upstream = 1 }, two = { .upstream = 2 };

	(void)state;
	put(1, &one, 10);
	assert_false(has(1, NULL, NOW_MS));
	assert_false(has(1, &two, NOW_MS));
	put(1, &two, 10);
	put(1, NULL, 10);
	dns_cache_drop(cache, 1);
	assert_false(has(1, &one, NOW_MS));
	assert_true(has(1, &two, NOW_MS));
	assert_true(has(1, NULL, NOW_MS));
	dns_cache_clear(cache);
	assert_false(has(1, NULL, NOW_MS));
	assert_int_equal(bytes(), 0);
}

static void the_least_recently_used_go(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 2000; i++) {
		put(i, NULL, 10);
		assert_true(bytes() <= CACHE_BYTES);
		assert_true(has(0, NULL, NOW_MS)); /* used again and again */
	}
	assert_true(bytes() > CACHE_BYTES / 2);
	assert_true(has(1999, NULL, NOW_MS));
	assert_false(has(1, NULL, NOW_MS));
}

static void a_newer_answer_takes_the_place(void **state)
{
	size_t one;

	(void)state;
	put(1, NULL, 10);
	one = bytes();
	put(1, NULL, 20);
	assert_int_equal(bytes(), one);
	assert_true(has(1, NULL, NOW_MS + 15000));
	put(1, NULL, 0); /* one that is not to be kept ends the old one */
	assert_int_equal(bytes(), 0);
}

static void an_answer_may_outlive_its_entry(void **state)
{
	struct dns_key k = key_of(1, NULL);
	struct dns_answer *a;

	(void)state;
	put(1, NULL, 10);
	a = dns_cache_find(cache, &k, NOW_MS);
	dns_cache_clear(cache);
	assert_int_equal(a->n_addrs, 1);
	assert_int_equal(a->addrs[0].b[0], 192);
	dns_answer_unref(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(an_answer_is_kept_for_its_time, set_up, tear_down),
		cmocka_unit_test_setup_teardown(ways_are_kept_apart, set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_least_recently_used_go, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_newer_answer_takes_the_place, set_up, tear_down),
		cmocka_unit_test_setup_teardown(an_answer_may_outlive_its_entry, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
