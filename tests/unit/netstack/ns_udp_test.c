// SPDX-License-Identifier: MIT
/*
 * ns_udp_test.c - datagrams and echo requests for their owner, and the answers to them
 *
 * Cases, each for both families: a datagram handed over with addresses and bytes; refused by its owner; answered from inside the event; wrong,
 * missing and vouched checksums; multicast and broadcast; the largest; ns_udp_send() with the checksum complete, left to the link, and where it
 * would be 0; its limits; what the link says. Echo requests: of the stack's own address, handed over, answered later from a copy, refused, with a
 * wrong checksum, with IP options; replies are no requests.
 */
#include "ns_fixture.h"

#include "netstack/ns_packet.h"

#define REFUSED_PORT 1 /* the owner takes nothing at this port */
#define ECHO_PORT 7    /* and answers at once at this one */

static bool on_udp(void *arg, const struct ns_flow_key *key, const uint8_t *p, size_t len)
{
	struct fixture *f = arg;

	f->datagrams++;
	f->datagram = *key;
	f->n_bytes = len;
	memcpy(f->bytes, p, MIN(len, sizeof(f->bytes)));
	if (key->dst.port == ECHO_PORT)
		assert_int_equal(ns_udp_send(f->ns, &key->dst, &key->src, p, len), 0);
	return key->dst.port != REFUSED_PORT;
}

static void on_echo(void *arg, const struct net_addr *src, const struct net_addr *dst,
		    const uint8_t *packet, size_t len)
{
	struct fixture *f = arg;

	f->echoes++;
	f->echo_src = *src;
	f->echo_dst = *dst;
	f->n_bytes = len;
	memcpy(f->bytes, packet, MIN(len, sizeof(f->bytes)));
}

static const struct ns_events takes_udp = { .syn = on_syn, .udp = on_udp, .echo = on_echo };

static struct fixture *begin_udp(bool offload)
{
	return begin_for(&takes_udp, 0, offload);
}

/* Reads the datagram that the stack sent as number @i; its checksum, if the link should finish it, is finished here. */
static void assert_sent(struct fixture *f, size_t i, const struct net_endpoint *from,
			const struct net_endpoint *to, const void *data, size_t len)
{
	static uint8_t want[65535];
	size_t n = put_udp(want, from, to, data, len);
	struct out *o = &f->out[i];
	size_t l4 = ip_header_len(want);

	assert_true(i < f->n_out);
	assert_int_equal(o->len, n);
	if (o->csum_start) {
		assert_int_equal(o->csum_start, l4);
		assert_int_equal(o->csum_offset, 6);
		uint32_t sum = sum16(o->ip + l4, n - l4, 0);
		be16_put(o->ip + l4 + 6, sum == 0xffff ? 0xffff : (uint16_t)~sum);
	}
	assert_true(sums_ok(o->ip, n));
	if (from->addr.family == 4) { /* the identification is the stack's own */
		memcpy(o->ip + 4, want + 4, 2);
		memcpy(o->ip + 10, want + 10, 2);
	}
	assert_memory_equal(o->ip, want, n);
}

static void handed_over(void **state)
{
	(void)state;
	for (int v6 = 0; v6 < 2; v6++) {
		struct fixture *f = begin_udp(false);
		struct peer p = peer(f, v6, 5000);
		uint8_t buf[128];

		ns_input(f->ns, buf, put_udp(buf, &p.self, &p.far, "hello", 5), false, 0);
		assert_int_equal(f->datagrams, 1);
		assert_int_equal(f->n_bytes, 5);
		assert_memory_equal(f->bytes, "hello", 5);
		assert_true(net_addr_eq(&f->datagram.src.addr, &p.self.addr));
		assert_true(net_addr_eq(&f->datagram.dst.addr, &p.far.addr));
		assert_int_equal(f->datagram.src.port, 5000);
		assert_int_equal(f->datagram.dst.port, 443);
		ns_input(f->ns, buf, put_udp(buf, &p.self, &p.far, "", 0), false, 0);
		assert_int_equal(f->datagrams, 2);
		assert_int_equal(f->n_bytes, 0);
		take_nothing(f);
		assert_int_equal(stats(f).dropped_in, 0);
		/* The stack's own address is one like any other. */
		assert_int_equal(net_addr_parse(&p.far.addr, v6 ? STACK6 : STACK4), 0);
		ns_input(f->ns, buf, put_udp(buf, &p.self, &p.far, "dns", 3), false, 0);
		assert_int_equal(f->datagrams, 3);
		end(f);
	}
}

static void refused_by_its_owner(void **state)
{
	(void)state;
	for (int v6 = 0; v6 < 2; v6++) {
		struct fixture *f = begin_udp(false);
		struct peer p = peer(f, v6, 5000);
		size_t l4 = v6 ? 40 : 20, len;
		uint8_t buf[128];

		p.far.port = REFUSED_PORT;
		len = put_udp(buf, &p.self, &p.far, "quic", 4);
		ns_input(f->ns, buf, len, false, 0);
		assert_int_equal(f->datagrams, 1);
		assert_int_equal(f->n_out, 1);
		assert_true(sums_ok(f->out[0].ip, f->out[0].len));
		assert_int_equal(f->out[0].ip[l4], v6 ? 1 : 3);
		assert_int_equal(f->out[0].ip[l4 + 1], v6 ? 4 : 3); /* port unreachable */
		assert_memory_equal(f->out[0].ip + l4 + 8, buf, len);
		end(f);
	}
}

static void answered_at_once(void **state)
{
	(void)state;
	for (int i = 0; i < 4; i++) {
		struct fixture *f = begin_udp(i & 2);
		struct peer p = peer(f, i & 1, 5000);
		uint8_t buf[128];

		p.far.port = ECHO_PORT;
		ns_input(f->ns, buf, put_udp(buf, &p.self, &p.far, "odd", 3), false, 0);
		assert_int_equal(f->n_out, 1);
		assert_int_equal(f->out[0].csum_start != 0, (i & 2) != 0);
		assert_sent(f, 0, &p.far, &p.self, "odd", 3);
		end(f);
	}
}

static void checksums(void **state)
{
	(void)state;
	for (int v6 = 0; v6 < 2; v6++) {
		struct fixture *f = begin_udp(false);
		struct peer p = peer(f, v6, 5000);
		size_t l4 = v6 ? 40 : 20;
		uint8_t buf[128];
		size_t len = put_udp(buf, &p.self, &p.far, "hello", 5);

		buf[len - 1] ^= 1;
		ns_input(f->ns, buf, len, false, 0);
		assert_int_equal(f->datagrams, 0);
		ns_input(f->ns, buf, len, true, 0); /* vouched for, may be unfinished */
		assert_int_equal(f->datagrams, 1);
		be16_put(buf + l4 + 6, 0); /* none: IPv4 only */
		ns_input(f->ns, buf, len, false, 0);
		assert_int_equal(f->datagrams, v6 ? 1 : 2);
		take_nothing(f);
		end(f);
	}
}

static void not_to_one_host(void **state)
{
	static const char *const many[] = { "224.0.0.251", "255.255.255.255", "239.255.255.250",
					    "ff02::fb" };
	struct fixture *f = begin_udp(false);
	uint8_t buf[128];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(many); i++) {
		struct peer p = peer(f, i == 3, 5353);

		assert_int_equal(net_addr_parse(&p.far.addr, many[i]), 0);
		ns_input(f->ns, buf, put_udp(buf, &p.self, &p.far, "x", 1), false, 0);
	}
	assert_int_equal(f->datagrams, 0);
	assert_int_equal(stats(f).dropped_in, ARRAY_LEN(many));
	take_nothing(f);
	end(f);
}

static void the_largest(void **state)
{
	static uint8_t data[65535], buf[65535];

	(void)state;
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 7);
	for (int i = 0; i < 4; i++) {
		struct fixture *f = begin_udp(i & 2);
		struct peer p = peer(f, i & 1, 5000);
		size_t max = i & 1 ? NS_UDP6_MAX : NS_UDP4_MAX;

		ns_input(f->ns, buf, put_udp(buf, &p.self, &p.far, data, max), false, 0);
		assert_int_equal(f->n_bytes, max);
		assert_int_equal(ns_udp_send(f->ns, &p.far, &p.self, data, max), 0);
		assert_int_equal(f->out[0].len, 65535);
		assert_sent(f, 0, &p.far, &p.self, data, max);
		assert_int_equal(ns_udp_send(f->ns, &p.far, &p.self, data, max + 1), ST_EINVAL);
		assert_int_equal(f->n_out, 1);
		end(f);
	}
}

static void sent(void **state)
{
	static const size_t sizes[] = { 0, 1, 2, 3, 511, 512, 1232 };
	static uint8_t data[1232];

	(void)state;
	memset(data, 0xff, sizeof(data));
	for (int i = 0; i < 4; i++) {
		struct fixture *f = begin_udp(i & 2);
		struct peer p = peer(f, i & 1, 5000);
		struct net_endpoint other = peer(f, !(i & 1), 1).self, none = { .port = 1 };

		for (size_t k = 0; k < ARRAY_LEN(sizes); k++) {
			assert_int_equal(ns_udp_send(f->ns, &p.far, &p.self, data, sizes[k]), 0);
			assert_sent(f, k, &p.far, &p.self, data, sizes[k]);
		}
		forget_output(f);
		assert_int_equal(ns_udp_send(f->ns, &p.far, &other, data, 1), ST_EINVAL);
		assert_int_equal(ns_udp_send(f->ns, &none, &none, data, 1), ST_EINVAL);
		take_nothing(f);
		f->link_error = ST_EAGAIN;
		assert_int_equal(ns_udp_send(f->ns, &p.far, &p.self, data, 1), ST_EAGAIN);
		assert_int_equal(stats(f).output_errors, 1);
		end(f);
	}
}

/* Two of the 65,536 possible payloads of 2 bytes give a checksum of 0 or 0xffff: both are sent as 0xffff. */
static void a_checksum_of_zero(void **state)
{
	(void)state;
	for (int v6 = 0; v6 < 2; v6++) {
		struct fixture *f = begin_udp(false);
		struct peer p = peer(f, v6, 5000);
		size_t l4 = v6 ? 40 : 20, full = 0;
		uint8_t data[2];

		for (uint32_t i = 0; i < 65536; i++) {
			be16_put(data, (uint16_t)i);
			assert_int_equal(ns_udp_send(f->ns, &p.far, &p.self, data, 2), 0);
			assert_int_not_equal(be16_get(f->out[0].ip + l4 + 6), 0);
			assert_true(sums_ok(f->out[0].ip, f->out[0].len));
			full += be16_get(f->out[0].ip + l4 + 6) == 0xffff;
			forget_output(f);
		}
		assert_in_range(full, 1, 2);
		end(f);
	}
}

/* --- echo */

static void echo_handed_over(void **state)
{
	(void)state;
	for (int v6 = 0; v6 < 2; v6++) {
		struct fixture *f = begin_udp(v6);
		struct peer p = peer(f, v6, 0);
		size_t l4 = v6 ? 40 : 20, len;
		struct net_addr stack;
		uint8_t buf[128];

		len = put_ping(buf, &p.self.addr, &p.far.addr, "ping!", 5);
		ns_input(f->ns, buf, len, false, 0);
		assert_int_equal(f->echoes, 1);
		assert_true(net_addr_eq(&f->echo_src, &p.self.addr));
		assert_true(net_addr_eq(&f->echo_dst, &p.far.addr));
		assert_int_equal(f->n_bytes, len);
		assert_memory_equal(f->bytes, buf, len);
		take_nothing(f);
		/* Later, from the copy. */
		ns_echo_reply(f->ns, f->bytes, f->n_bytes);
		assert_int_equal(f->n_out, 1);
		assert_int_equal(f->out[0].len, len);
		assert_int_equal(f->out[0].csum_start, 0);
		assert_true(sums_ok(f->out[0].ip, len));
		assert_int_equal(f->out[0].ip[l4], v6 ? 129 : 0);
		assert_memory_equal(f->out[0].ip + l4 + 4, buf + l4 + 4, 4 + 5);
		assert_memory_equal(f->out[0].ip + (v6 ? 8 : 12), p.far.addr.b, v6 ? 16 : 4);
		assert_memory_equal(f->out[0].ip + (v6 ? 24 : 16), p.self.addr.b, v6 ? 16 : 4);
		forget_output(f);
		ns_refuse_packet(f->ns, f->bytes, f->n_bytes, NS_REFUSE_HOST_UNREACHABLE);
		assert_int_equal(f->n_out, 1);
		assert_int_equal(f->out[0].ip[l4], v6 ? 1 : 3);
		forget_output(f);
		/* The stack's own address is answered by the stack. */
		assert_int_equal(net_addr_parse(&stack, v6 ? STACK6 : STACK4), 0);
		ns_input(f->ns, buf, put_ping(buf, &p.self.addr, &stack, "p", 1), false, 0);
		assert_int_equal(f->echoes, 1);
		assert_int_equal(f->n_out, 1);
		assert_int_equal(f->out[0].ip[l4], v6 ? 129 : 0);
		end(f);
	}
}

static void no_echo(void **state)
{
	(void)state;
	for (int v6 = 0; v6 < 2; v6++) {
		struct fixture *f = begin_udp(false);
		struct peer p = peer(f, v6, 5000);
		size_t l4 = v6 ? 40 : 20, len;
		uint8_t buf[128];

		len = put_ping(buf, &p.self.addr, &p.far.addr, "ping!", 5);
		buf[len - 1] ^= 1; /* wrong, and nobody vouches for ICMP */
		ns_input(f->ns, buf, len, true, 0);
		ns_echo_reply(f->ns, buf, len);
		buf[len - 1] ^= 1;
		buf[l4] = v6 ? 129 : 0; /* a reply */
		put_l4_sum(buf, len, 2);
		ns_input(f->ns, buf, len, false, 0);
		ns_echo_reply(f->ns, buf, len);
		len = put_udp(buf, &p.self, &p.far, "x", 1);
		ns_echo_reply(f->ns, buf, len);
		for (size_t i = 0; i < len; i++)
			ns_echo_reply(f->ns, buf, i);
		assert_int_equal(f->echoes, 0);
		take_nothing(f);
		end(f);
	}
}

/* Options of the request are not sent back. */
static void echo_with_options(void **state)
{
	struct fixture *f = begin_udp(false);
	struct peer p = peer(f, false, 0);
	uint8_t plain[64], buf[64] = { 0 };
	size_t len = put_ping(plain, &p.self.addr, &p.far.addr, "ping", 4);

	(void)state;
	memcpy(buf, plain, 20);
	memset(buf + 20, 1, 4); /* four times "no operation" */
	memcpy(buf + 24, plain + 20, len - 20);
	buf[0] = 0x46;
	be16_put(buf + 2, (uint16_t)(len + 4));
	be16_put(buf + 10, 0);
	be16_put(buf + 10, (uint16_t)~sum16(buf, 24, 0));
	ns_input(f->ns, buf, len + 4, false, 0);
	assert_int_equal(f->echoes, 1);
	ns_echo_reply(f->ns, f->bytes, f->n_bytes);
	assert_int_equal(f->out[0].len, len);
	assert_true(sums_ok(f->out[0].ip, len));
	assert_memory_equal(f->out[0].ip + 24, plain + 24, len - 24);
	end(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(handed_over),
		cmocka_unit_test(refused_by_its_owner),
		cmocka_unit_test(answered_at_once),
		cmocka_unit_test(checksums),
		cmocka_unit_test(not_to_one_host),
		cmocka_unit_test(the_largest),
		cmocka_unit_test(sent),
		cmocka_unit_test(a_checksum_of_zero),
		cmocka_unit_test(echo_handed_over),
		cmocka_unit_test(no_echo),
		cmocka_unit_test(echo_with_options),
	};

	return cmocka_run_group_tests_name("ns_udp", tests, NULL, NULL);
}
