// SPDX-License-Identifier: MIT
/* addr_test.c - text forms both ways, prefixes at every length, addresses that stay on the machine, sockaddr */
#include "base/addr.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <netinet/in.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/util.h"

static struct net_addr addr(const char *s)
{
	struct net_addr a;

	assert_int_equal(net_addr_parse(&a, s), 0);
	return a;
}

static struct net_prefix prefix(const char *s)
{
	struct net_prefix p;

	assert_int_equal(net_prefix_parse(&p, s), 0);
	return p;
}

static void addresses_round_trip(void **state)
{
	static const char *const good[] = {
		"0.0.0.0", "10.0.0.1", "255.255.255.255",      "::",
		"::1",	   "fd00::1",  "2001:db8:1:2:3:4:5:6", "::ffff:10.0.0.1"
	};
	static const char *const bad[] = {
		"",	     " 10.0.0.1",  "10.0.0.1 ", "10.0.0", "10.0.0.256",
		"010.0.0.1", "0x0a.0.0.1", "167772161", "[::1]",  "fe80::1%eth0",
		"::1::",     "10.0.0.1/8", "localhost", ":::",	  "1:2:3:4:5:6:7:8:9"
	};
	char out[NET_ADDR_STR];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		struct net_addr a = addr(good[i]);

		assert_int_equal(a.family, strchr(good[i], ':') ? 6 : 4);
		assert_string_equal(net_addr_str(out, &a), good[i]);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct net_addr a = { .family = 99 };

		assert_int_equal(net_addr_parse(&a, bad[i]), ST_EFORMAT);
		assert_int_equal(a.family, 99);
	}
	assert_string_equal(net_addr_str(out, &(struct net_addr){ 0 }), "none");
}

static void prefixes_round_trip(void **state)
{
	static const struct {
		const char *in, *out;
		int r;
	} cases[] = {
		{ "10.0.0.0/8", "10.0.0.0/8", 0 },
		{ "10.1.2.3", "10.1.2.3/32", 0 },
		{ "fd00::1", "fd00::1/128", 0 },
		{ "0.0.0.0/0", "0.0.0.0/0", 0 },
		{ "::/0", "::/0", 0 },
		{ "10.0.0.1/8", "10.0.0.0/8", ST_EINVAL },
		{ "10.255.255.255/9", "10.128.0.0/9", ST_EINVAL },
		{ "10.0.0.1/0", "0.0.0.0/0", ST_EINVAL },
		{ "fd00::1/127", "fd00::/127", ST_EINVAL },
		{ "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/61", "ffff:ffff:ffff:fff8::/61",
		  ST_EINVAL },
	};
	static const char *const bad[] = { "",
					   "/",
					   "/8",
					   "10.0.0.0/",
					   "10.0.0.0/33",
					   "::/129",
					   "10.0.0.0/+8",
					   "10.0.0.0/-1",
					   "10.0.0.0/08",
					   "10.0.0.0/8 ",
					   "10.0.0.0/8/8",
					   "x/8",
					   "10.0.0.0/99999999999999999999",
					   "1111:1111:1111:1111:1111:1111:1111:1111:1111:1111/8" };
	char out[NET_PREFIX_STR];
	struct net_prefix p;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_int_equal(net_prefix_parse(&p, cases[i].in), cases[i].r);
		assert_string_equal(net_prefix_str(out, &p), cases[i].out);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(net_prefix_parse(&p, bad[i]), ST_EFORMAT);
}

static void endpoints(void **state)
{
	struct net_endpoint e = { .addr = addr("10.0.0.1"), .port = 65535 };
	char out[NET_ENDPOINT_STR];

	(void)state;
	assert_string_equal(net_endpoint_str(out, &e), "10.0.0.1:65535");
	e.addr = addr("fd00::1");
	e.port = 0;
	assert_string_equal(net_endpoint_str(out, &e), "[fd00::1]:0");
}

static void order(void **state)
{
	struct net_addr a = addr("10.0.0.1"), b = addr("10.0.0.2"), c = addr("::1");

	(void)state;
	assert_true(net_addr_eq(&a, &a));
	assert_false(net_addr_eq(&a, &b));
	assert_true(net_addr_cmp(&a, &b) < 0 && net_addr_cmp(&b, &a) > 0);
	assert_true(net_addr_cmp(&b, &c) < 0 && net_addr_cmp(&c, &b) > 0);
}

static void membership(void **state)
{
	static const struct {
		const char *prefix, *addr;
		bool has;
	} cases[] = {
		{ "10.0.0.0/8", "10.255.255.255", true },
		{ "10.0.0.0/8", "11.0.0.0", false },
		{ "10.128.0.0/9", "10.127.0.0", false },
		{ "0.0.0.0/0", "1.2.3.4", true },
		{ "0.0.0.0/0", "::1", false },
		{ "10.0.0.4/31", "10.0.0.5", true },
		{ "10.0.0.4/31", "10.0.0.6", false },
		{ "10.0.0.4", "10.0.0.4", true },
		{ "10.0.0.4", "10.0.0.5", false },
		{ "fd00::/8", "fdff::1", true },
		{ "fd00::/8", "fe00::1", false },
		{ "::/0", "fd00::1", true },
		{ "2001:db8::1", "2001:db8::1", true },
		{ "2001:db8::1", "2001:db8::2", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct net_prefix p = prefix(cases[i].prefix);
		struct net_addr a = addr(cases[i].addr);

		assert_int_equal(net_prefix_has(&p, &a), cases[i].has);
	}
}

/* Every length of both families: the prefix has its own address, and not the one that differs in its last bit. */
static void every_length(void **state)
{
	static const char *const bases[] = { "165.165.165.165",
					     "a5a5:a5a5:a5a5:a5a5:a5a5:a5a5:a5a5:a5a5" };

	(void)state;
	for (size_t f = 0; f < ARRAY_LEN(bases); f++) {
		struct net_addr a = addr(bases[f]);

		for (unsigned len = 1; len <= net_addr_bits(&a); len++) {
			struct net_prefix p = { .addr = a, .len = (uint8_t)len };
			struct net_prefix wider = { .addr = a, .len = (uint8_t)(len - 1) };
			struct net_addr other = a;

			other.b[(len - 1) / 8] ^= (uint8_t)(0x80U >> ((len - 1) % 8));
			assert_true(net_prefix_has(&p, &a));
			assert_false(net_prefix_has(&p, &other));
			assert_true(net_prefix_has(&wider, &other));
			assert_true(net_prefix_covers(&wider, &p));
			assert_true(net_prefix_covers(&p, &p));
			assert_false(net_prefix_covers(&p, &wider));
		}
	}
}

static void local_only(void **state)
{
	static const char *const yes[] = { "127.0.0.1",
					   "127.255.255.255",
					   "169.254.169.254",
					   "169.254.0.0",
					   "224.0.0.1",
					   "239.255.255.255",
					   "255.255.255.255",
					   "0.0.0.0",
					   "0.1.2.3",
					   "::1",
					   "::",
					   "fe80::1",
					   "febf::1",
					   "ff02::1",
					   "::ffff:127.0.0.1",
					   "::ffff:169.254.169.254",
					   "::ffff:0.0.0.0",
					   "fd00:ec2::254",
					   "64:ff9b::127.0.0.1",
					   "64:ff9b::a9fe:a9fe" };
	static const char *const no[] = { "10.0.0.1",
					  "126.255.255.255",
					  "128.0.0.1",
					  "169.253.0.1",
					  "169.255.0.1",
					  "223.255.255.255",
					  "240.0.0.1",
					  "255.255.255.254",
					  "1.0.0.0",
					  "::2",
					  "fec0::1",
					  "fd00::1",
					  "fd00:ec2::253",
					  "::ffff:10.0.0.1",
					  "2001:db8::1",
					  "64:ff9b::10.0.0.1",
					  "64:ff9b:1::127.0.0.1" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(yes); i++) {
		struct net_addr a = addr(yes[i]);

		assert_true(net_addr_is_local_only(&a));
	}
	for (size_t i = 0; i < ARRAY_LEN(no); i++) {
		struct net_addr a = addr(no[i]);

		assert_false(net_addr_is_local_only(&a));
	}
	assert_false(net_addr_is_local_only(&(struct net_addr){ 0 }));
}

static void sockaddr_both_ways(void **state)
{
	static const char *const texts[] = { "10.1.2.3", "2001:db8::7" };
	struct sockaddr_storage ss;
	struct net_endpoint back;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		struct net_endpoint e = { .addr = addr(texts[i]), .port = 0x1234 };
		socklen_t len = net_sockaddr(&ss, &e);

		assert_int_equal(len,
				 i == 0 ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6));
		assert_int_equal(net_from_sockaddr(&back, (struct sockaddr *)&ss), 0);
		assert_true(net_addr_eq(&back.addr, &e.addr));
		assert_int_equal(back.port, 0x1234);
	}
	ss.ss_family = AF_UNIX;
	assert_int_equal(net_from_sockaddr(&back, (struct sockaddr *)&ss), ST_EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses_round_trip),
		cmocka_unit_test(prefixes_round_trip),
		cmocka_unit_test(endpoints),
		cmocka_unit_test(order),
		cmocka_unit_test(membership),
		cmocka_unit_test(every_length),
		cmocka_unit_test(local_only),
		cmocka_unit_test(sockaddr_both_ways),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
