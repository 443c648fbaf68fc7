// SPDX-License-Identifier: MIT
/* dns_ptr_test.c - names of the reverse tree */
#include "dns/dns_ptr.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/util.h"

#define SIX "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2." /* 2001:db8::1 */

static void good_names(void **state)
{
	static const struct {
		const char *name, *addr;
	} rows[] = {
		{ "4.3.2.1.in-addr.arpa", "1.2.3.4" },
		{ "255.0.18.198.in-addr.arpa", "198.18.0.255" },
		{ "0.0.0.0.in-addr.arpa", "0.0.0.0" },
		{ SIX "ip6.arpa", "2001:db8::1" },
	};
	char text[NET_ADDR_STR];
	struct net_addr a;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		assert_true(dns_ptr_addr(&a, rows[i].name));
		assert_string_equal(net_addr_str(text, &a), rows[i].addr);
	}
}

static void other_names(void **state)
{
	static const char *const rows[] = {
		"",
		".",
		"in-addr.arpa",
		"1.in-addr.arpa",
		"3.2.1.in-addr.arpa",
		"5.4.3.2.1.in-addr.arpa",
		"4.3.2.256.in-addr.arpa",
		"4.3.2.01.in-addr.arpa",
		"4.3.2.1000.in-addr.arpa",
		"4.3.2.-1.in-addr.arpa",
		"4.3.2.x.in-addr.arpa",
		"4.3.2.1.in-addr.arpa.test",
		"4.3.2.1.in-addr",
		"4.3.2.1",
		"4.3.2.1.",
		"ip6.arpa",
		"1.2.ip6.arpa",
	};
	struct net_addr a;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_false(dns_ptr_addr(&a, rows[i]));
	assert_false(dns_ptr_addr(&a, "1." SIX "ip6.arpa"));
	assert_false(dns_ptr_addr(&a, "g" SIX "ip6.arpa"));
	assert_false(dns_ptr_addr(&a, "10" SIX "ip6.arpa"));
	assert_false(dns_ptr_addr(&a, SIX "ip6.arp"));
	for (const char *p = SIX "ip6.arpa" + 1; *p;
	     p++) /* each name that lacks some of its start */
		assert_false(dns_ptr_addr(&a, p));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_names),
		cmocka_unit_test(other_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
