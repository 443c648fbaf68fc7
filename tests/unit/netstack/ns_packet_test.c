// SPDX-License-Identifier: MIT
/*
 * ns_packet_test.c - reading packets and answering them as unreachable
 *
 * Cases: a good packet of each kind and family; every shorter prefix; bytes behind the packet; each length field at its
 * limits; checksums wrong and vouched for; fragments; extension headers; impossible ports, flags,
 * options and addresses; each answer
 * byte by byte, with the quote cut to its limit.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/err.h"
#include "netstack/ns_packet.h"
#include "packets.h"

static struct net_endpoint endpoint(const char *addr, uint16_t port)
{
	struct net_endpoint e = { .port = port };

	assert_int_equal(net_addr_parse(&e.addr, addr), 0);
	return e;
}

static struct seg a_syn(bool v6)
{
	return (struct seg){
		.src = endpoint(v6 ? "fd00:5::1" : "198.18.0.1", 40000),
		.dst = endpoint(v6 ? "fd00:9::7" : "10.1.2.3", 443),
		.seq = 0xfffffff0,
		.flags = SYN,
		.wnd = 64240,
		.options = syn_options,
		.options_len = sizeof(syn_options),
	};
}

static int parse(const uint8_t *p, size_t len)
{
	struct ns_packet out;

	return ns_packet_parse(&out, p, len, false);
}

static void test_tcp(void **state)
{
	uint8_t buf[256];

	(void)state;
	for (int v6 = 0; v6 < 2; v6++) {
		struct seg s = a_syn(v6);
		struct ns_packet p;
		size_t len;

		s.data = "abc"; /* odd length: the last byte counts as the high one */
		s.len = 3;
		len = put_tcp(buf, &s);
		assert_true(sums_ok(buf, len));
		assert_int_equal(ns_packet_parse(&p, buf, len + 9, false),
				 0); /* 9 bytes behind it */
		assert_int_equal(p.len, len);
		assert_int_equal(p.l4, v6 ? 40 : 20);
		assert_int_equal(p.payload, p.l4 + 32);
		assert_int_equal(p.proto, IPPROTO_TCP);
		assert_int_equal(p.src.port, 40000);
		assert_int_equal(p.dst.port, 443);
		assert_true(net_addr_eq(&p.src.addr, &s.src.addr));
		assert_true(net_addr_eq(&p.dst.addr, &s.dst.addr));
		assert_int_equal(p.seq, 0xfffffff0);
		assert_int_equal(p.tcp_flags, NS_TCP_SYN);
		for (size_t i = 0; i < len; i++)
			assert_true(parse(buf, i) < 0);
	}
}

static void test_udp_icmp(void **state)
{
	uint8_t buf[256];
	struct ns_packet p;

	(void)state;
	for (int v6 = 0; v6 < 2; v6++) {
		struct seg s = a_syn(v6);
		size_t len = put_udp(buf, &s.src, &s.dst, "hello", 5);

		assert_int_equal(ns_packet_parse(&p, buf, len, false), 0);
		assert_int_equal(p.proto, IPPROTO_UDP);
		assert_int_equal(p.dst.port, 443);
		for (size_t i = 0; i < len; i++)
			assert_true(parse(buf, i) < 0);
		be16_put(buf + p.l4 + 4, 12); /* UDP's own length disagrees */
		assert_int_equal(parse(buf, len), ST_EFORMAT);
		be16_put(buf + p.l4 + 4, 13);
		be16_put(buf + p.l4 + 6, 0); /* no checksum */
		assert_int_equal(parse(buf, len), v6 ? ST_EDIGEST : 0);

		len = put_ping(buf, &s.src.addr, &s.dst.addr, "ping", 4);
		assert_int_equal(ns_packet_parse(&p, buf, len, false), 0);
		assert_true(p.echo_request);
		assert_int_equal(p.dst.port, 0);
		for (size_t i = 0; i < len; i++)
			assert_true(parse(buf, i) < 0);
		buf[p.l4] = v6 ? 1 : 3; /* an error, not an echo */
		assert_int_equal(ns_packet_parse(&p, buf, len, false), 0);
		assert_false(p.echo_request);
	}
}

static void test_checksums(void **state)
{
	uint8_t buf[256];
	struct ns_packet p;

	(void)state;
	for (int v6 = 0; v6 < 2; v6++) {
		struct seg s = a_syn(v6);
		size_t len = put_tcp(buf, &s), l4 = v6 ? 40 : 20;

		buf[l4 + 16] ^= 0x40;
		assert_int_equal(ns_packet_parse(&p, buf, len, false), ST_EDIGEST);
		assert_int_equal(ns_packet_parse(&p, buf, len, true), 0);
	}
	struct seg s = a_syn(false);
	size_t len = put_tcp(buf, &s);

	buf[10] ^= 1; /* IPv4's own is checked always */
	assert_int_equal(ns_packet_parse(&p, buf, len, true), ST_EDIGEST);
}

/* Sets a byte of a good packet and mends IPv4's checksum. */
static int parse_with(bool v6, size_t at, uint8_t value)
{
	uint8_t buf[256];
	struct seg s = a_syn(v6);
	struct ns_packet p;
	size_t len = put_tcp(buf, &s);

	buf[at] = value;
	if (!v6) {
		be16_put(buf + 10, 0);
		be16_put(buf + 10, (uint16_t)~sum16(buf, 20, 0));
	}
	return ns_packet_parse(&p, buf, len, true);
}

static void test_fields(void **state)
{
	(void)state;
	assert_int_equal(parse_with(false, 0, 0x45), 0);
	assert_int_equal(parse_with(false, 0, 0x44), ST_EFORMAT); /* header of 16 bytes */
	assert_true(parse_with(false, 0, 0x4f) < 0);		  /* header as long as the packet */
	assert_int_equal(parse_with(false, 0, 0x55), ST_EFORMAT); /* version 5 */
	assert_int_equal(parse_with(false, 2, 0x01),
			 ST_EFORMAT);				/* total length beyond the packet */
	assert_int_equal(parse_with(false, 3, 19), ST_EFORMAT); /* total length below the header */
	assert_int_equal(parse_with(false, 6, 0x20), ST_EUNSUPPORTED); /* more fragments */
	assert_int_equal(parse_with(false, 7, 0x01), ST_EUNSUPPORTED); /* fragment offset */
	assert_int_equal(parse_with(false, 6, 0x40), 0);	       /* don't fragment */
	assert_int_equal(parse_with(false, 9, 58), ST_EUNSUPPORTED);   /* ICMPv6 in IPv4 */
	assert_int_equal(parse_with(false, 9, 47), ST_EUNSUPPORTED);   /* GRE */
	assert_int_equal(parse_with(true, 4, 0x01), ST_EFORMAT); /* payload beyond the packet */
	assert_int_equal(parse_with(true, 5, 0), ST_EFORMAT);	 /* jumbogram */
	assert_int_equal(parse_with(true, 5, 19), ST_ESHORT);
	assert_int_equal(parse_with(true, 6, 0), ST_EUNSUPPORTED);  /* hop by hop */
	assert_int_equal(parse_with(true, 6, 44), ST_EUNSUPPORTED); /* fragment */
	assert_int_equal(parse_with(true, 6, 43), ST_EUNSUPPORTED); /* routing */
	assert_int_equal(parse_with(true, 6, 1), ST_EUNSUPPORTED);  /* ICMP in IPv6 */
	for (int v6 = 0; v6 < 2; v6++) {
		size_t l4 = v6 ? 40 : 20;

		assert_int_equal(parse_with(v6, l4 + 12, 0x40),
				 ST_EFORMAT); /* TCP header of 16 bytes */
		assert_int_equal(parse_with(v6, l4 + 12, 0x90),
				 ST_EFORMAT); /* of 36, where 32 are */
		assert_int_equal(parse_with(v6, l4 + 12, 0x80), 0);
	}
}

static void test_flags(void **state)
{
	static const struct {
		uint8_t flags;
		int r;
	} cases[] = {
		{ SYN, 0 },
		{ SYN | ACK, 0 },
		{ RST, 0 },
		{ ACK, 0 },
		{ FIN | ACK, 0 },
		{ 0, ST_EFORMAT },
		{ FIN, ST_EFORMAT },
		{ PSH, ST_EFORMAT },
		{ SYN | FIN, ST_EFORMAT },
		{ SYN | RST, ST_EFORMAT },
		{ 0xff, ST_EFORMAT },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_int_equal(parse_with(false, 33, cases[i].flags), cases[i].r);
}

static void test_options(void **state)
{
	static const struct {
		uint8_t bytes[4];
		int r;
	} cases[] = {
		{ { 1, 1, 1, 1 }, 0 },
		{ { 0, 3, 99, 99 }, 0 }, /* behind the end nothing counts */
		{ { 3, 3, 7, 0 }, 0 },
		{ { 2, 4, 5, 6 }, 0 },
		{ { 1, 1, 1, 3 }, ST_EFORMAT }, /* no length */
		{ { 1, 3, 3, 7 }, 0 },
		{ { 1, 1, 3, 3 }, ST_EFORMAT }, /* cut short */
		{ { 254, 0, 1, 1 }, ST_EFORMAT },
		{ { 254, 1, 1, 1 }, ST_EFORMAT },
		{ { 254, 5, 1, 1 }, ST_EFORMAT },
	};
	uint8_t buf[256];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct seg s = a_syn(i % 2);

		s.options = cases[i].bytes;
		s.options_len = 4;
		assert_int_equal(parse(buf, put_tcp(buf, &s)), cases[i].r);
	}
}

static void test_addresses(void **state)
{
	static const char *const bad_src[] = {
		"127.0.0.1", "0.0.0.0", "224.0.0.1", "255.255.255.255", "169.254.1.1",
		"::",	     "::1",	"fe80::1",   "ff02::1",		"::ffff:127.0.0.1"
	};
	static const char *const bad_dst[] = {
		"127.0.0.1",	   "0.0.0.0", "0.1.2.3", "224.0.0.251", "240.0.0.1",
		"255.255.255.255", "::",      "::1",	 "ff02::2",	"::ffff:10.0.0.1"
	};
	static const char *const good_dst[] = { "169.254.169.253", "10.0.0.1", "223.255.255.255",
						"fe80::1",	   "::2",      "fd00::1" };
	uint8_t buf[256];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad_src) + ARRAY_LEN(bad_dst) + ARRAY_LEN(good_dst); i++) {
		size_t d = i - ARRAY_LEN(bad_src), g = d - ARRAY_LEN(bad_dst);
		const char *text = i < ARRAY_LEN(bad_src)   ? bad_src[i]
				   : d < ARRAY_LEN(bad_dst) ? bad_dst[d]
							    : good_dst[g];
		struct seg s = a_syn(strchr(text, ':') != NULL);
		bool good = i >= ARRAY_LEN(bad_src) + ARRAY_LEN(bad_dst);

		if (i < ARRAY_LEN(bad_src))
			s.src = endpoint(text, 40000);
		else
			s.dst = endpoint(text, 443);
		assert_int_equal(parse(buf, put_tcp(buf, &s)), good ? 0 : ST_EFORMAT);
	}
	for (int i = 0; i < 2; i++) {
		struct seg s = a_syn(false);

		*(i ? &s.src.port : &s.dst.port) = 0;
		assert_int_equal(parse(buf, put_tcp(buf, &s)), ST_EFORMAT);
	}
}

static void test_unreachable(void **state)
{
	static const uint8_t codes[NS_UNREACH_N][2] = {
		[NS_UNREACH_HOST] = { 1, 3 },
		[NS_UNREACH_NET] = { 0, 0 },
		[NS_UNREACH_PROHIBITED] = { 13, 1 },
		[NS_UNREACH_PORT] = { 3, 4 },
	};
	uint8_t buf[256], out[NS_UNREACHABLE_MAX], want[NS_UNREACHABLE_MAX];

	(void)state;
	for (int v6 = 0; v6 < 2; v6++) {
		struct seg s = a_syn(v6);
		size_t len = put_tcp(buf, &s);

		for (int why = 0; why < NS_UNREACH_N; why++) {
			struct ns_packet p;
			size_t n, l4;

			assert_int_equal(ns_packet_parse(&p, buf, len, false), 0);
			n = ns_packet_unreachable(out, sizeof(out), &p, (enum ns_unreachable)why);
			l4 = put_ip(want, &s.dst.addr, &s.src.addr,
				    v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP, 8 + len);
			memset(want + l4, 0, 8);
			want[l4] = v6 ? 1 : 3;
			want[l4 + 1] = codes[why][v6];
			memcpy(want + l4 + 8, buf, len);
			put_l4_sum(want, l4 + 8 + len, 2);
			assert_int_equal(n, l4 + 8 + len);
			assert_memory_equal(out, want, n);
			assert_true(sums_ok(out, n));
		}
	}
}

static void test_long_quotes(void **state)
{
	static uint8_t buf[65535], data[60000];
	uint8_t out[NS_UNREACHABLE_MAX];

	(void)state;
	for (int v6 = 0; v6 < 2; v6++) {
		struct seg s = a_syn(v6);
		struct ns_packet p;
		size_t len = put_udp(buf, &s.src, &s.dst, data, sizeof(data)), n;

		assert_int_equal(ns_packet_parse(&p, buf, len, false), 0);
		n = ns_packet_unreachable(out, sizeof(out), &p, NS_UNREACH_PORT);
		assert_int_equal(n, v6 ? 1280 : 576);
		assert_true(sums_ok(out, n));
	}
}

static void test_largest(void **state)
{
	static uint8_t buf[70000], data[65535 - 40];
	struct seg s = a_syn(false);
	struct ns_packet p;
	size_t len;

	(void)state;
	s.options_len = 0;
	s.flags = ACK;
	s.data = data;
	s.len = sizeof(data);
	len = put_tcp(buf, &s);
	assert_int_equal(len, 65535);
	assert_int_equal(ns_packet_parse(&p, buf, len, false), 0);
	assert_int_equal(ns_packet_parse(&p, buf, len + 1, false), ST_EFORMAT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tcp),	    cmocka_unit_test(test_udp_icmp),
		cmocka_unit_test(test_checksums),   cmocka_unit_test(test_fields),
		cmocka_unit_test(test_flags),	    cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_options),	    cmocka_unit_test(test_unreachable),
		cmocka_unit_test(test_long_quotes), cmocka_unit_test(test_largest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
