// SPDX-License-Identifier: MIT
/*
 * ns_test.c - what is no connection, and the life of the stack
 *
 * Cases: UDP and the rate of its answers; ping of the stack and of others; ns_refuse_packet(); garbage; a lost packet is
 * repeated; a second instance; ns_free() with connections in every state.
 */
#include "ns_fixture.h"

static void test_udp(void **state)
{
	struct fixture *f = begin();
	struct peer p = peer(f, false, 5000);
	uint8_t buf[64];
	size_t len = put_udp(buf, &p.self, &p.far, "x", 1), answers = 0;

	(void)state;
	ns_input(f->ns, buf, len, false, 1000);
	assert_int_equal(f->n_out, 1);
	assert_int_equal(f->out[0].ip[20], 3);
	assert_int_equal(f->out[0].ip[21], 3);
	assert_memory_equal(f->out[0].ip + 28, buf, len);
	for (int i = 0; i < 3000; i++) {
		forget_output(f);
		ns_input(f->ns, buf, len, false, 1000);
		answers += f->n_out;
	}
	assert_int_equal(answers, 999);
	for (int i = 0; i < 30; i++) {
		forget_output(f);
		ns_input(f->ns, buf, len, false, 1010);
		answers += f->n_out;
	}
	assert_int_equal(answers, 999 + 10);
	end(f);
}

static void test_ping(void **state)
{
	(void)state;
	for (int v6 = 0; v6 < 2; v6++) {
		struct fixture *f = begin();
		struct peer p = peer(f, v6, 0);
		struct net_addr stack;
		size_t l4 = v6 ? 40 : 20, len;
		uint8_t buf[64];

		assert_int_equal(net_addr_parse(&stack, v6 ? STACK6 : STACK4), 0);
		len = put_ping(buf, &p.self.addr, &stack, "ping", 4);
		ns_input(f->ns, buf, len, false, 0);
		assert_int_equal(f->n_out, 1);
		assert_int_equal(f->out[0].len, len);
		assert_true(sums_ok(f->out[0].ip, len));
		assert_int_equal(f->out[0].ip[l4], v6 ? 129 : 0);
		assert_memory_equal(f->out[0].ip + l4 + 4, buf + l4 + 4, 8);
		assert_memory_equal(f->out[0].ip + (v6 ? 8 : 12), stack.b, v6 ? 16 : 4);
		forget_output(f);
		len = put_ping(buf, &p.self.addr, &p.far.addr, "ping", 4);
		ns_input(f->ns, buf, len, false, 0);
		take_nothing(f);
		end(f);
	}
}

static void test_refuse_packet(void **state)
{
	struct fixture *f = begin();
	struct peer p = peer(f, false, 40000);
	struct seg s = { .src = p.self,
			 .dst = p.far,
			 .seq = 100,
			 .ack = 7777,
			 .flags = ACK,
			 .data = "abc",
			 .len = 3 };
	uint8_t buf[128];
	size_t len = put_tcp(buf, &s);

	(void)state;
	ns_refuse_packet(f->ns, buf, len, NS_REFUSE_RST);
	s = take(&p);
	assert_int_equal(s.flags, RST | ACK);
	assert_int_equal(s.seq, 7777);
	assert_int_equal(s.ack, 103);
	ns_refuse_packet(f->ns, buf, len, NS_REFUSE_PROHIBITED);
	assert_int_equal(f->n_out, 2);
	assert_int_equal(f->out[1].ip[21], 13);
	f->taken = 2;
	take_nothing(f);
	ns_refuse_packet(f->ns, buf, len, NS_REFUSE_DROP);
	s = (struct seg){ .src = p.self, .dst = p.far, .seq = 100, .flags = RST };
	ns_refuse_packet(f->ns, buf, put_tcp(buf, &s), NS_REFUSE_RST); /* no RST for a RST */
	len = put_ping(buf, &p.self.addr, &p.far.addr, "p", 1);
	buf[20] = 3; /* no error for an error */
	ns_refuse_packet(f->ns, buf, len, NS_REFUSE_HOST_UNREACHABLE);
	ns_refuse_packet(f->ns, buf, 3, NS_REFUSE_HOST_UNREACHABLE);
	take_nothing(f);
	buf[20] = 8;
	ns_refuse_packet(f->ns, buf, len, NS_REFUSE_HOST_UNREACHABLE);
	assert_int_equal(f->n_out, 1);
	end(f);
}

static void test_garbage(void **state)
{
	struct fixture *f = begin();
	struct peer p = peer(f, false, 40000);
	uint32_t x = 12345;
	uint8_t buf[96];

	(void)state;
	for (int i = 0; i < 20000; i++) {
		struct seg s = { .src = p.self, .dst = p.far, .flags = SYN };
		size_t len = put_tcp(buf, &s);

		for (int k = 0; k < 4; k++) {
			x = x * 1664525 + 1013904223;
			buf[(x >> 8) % len] = (uint8_t)(x >> 24);
		}
		ns_input(f->ns, buf, (x >> 4) % (sizeof(buf) + 1), x & 1, 0);
		forget_output(f);
		if (stats(f).flows)
			ns_conn_abort(f->ns, f->conn);
	}
	assert_int_equal(stats(f).packets_in, 20000);
	assert_true(stats(f).dropped_in > 10000);
	end(f);
}

static void test_lost_output(void **state)
{
	struct fixture *f = begin();
	struct peer p = peer(f, false, 40000);
	ns_conn c = open_conn(&p);

	(void)state;
	f->link_error = ST_EAGAIN;
	assert_int_equal(ns_conn_write(f->ns, c, (const uint8_t *)"lost", 4), 0);
	turn(f);
	assert_int_equal(stats(f).output_errors, 1);
	f->link_error = 0;
	while (f->n_out == 0) /* TCP repeats it: 1.5 to 3 s */
		assert_int_equal(loop_turn(f->loop, 5000), 0);
	assert_memory_equal(take(&p).data, "lost", 4);
	end(f);
}

static void test_one_instance(void **state)
{
	struct fixture *f = begin();
	struct ns_opts opts = { .loop = f->loop, .events = &events };
	struct ns *second;

	(void)state;
	assert_int_equal(ns_new(&second, &opts), ST_EEXIST);
	end(f);
	end(begin());
	ns_free(NULL);
}

static void test_free_with_all_open(void **state)
{
	struct fixture *f = begin();
	struct peer held = peer(f, false, 1), up = peer(f, true, 3), opening = peer(f, false, 4);

	(void)state;
	send_seg(&held, SYN, NULL, 0);
	open_conn(&up);
	send_seg(&up, ACK, "unread", 6);
	assert_int_equal(ns_conn_write(f->ns, f->conn, (const uint8_t *)"unsent", 6), 0);
	send_seg(&opening, SYN, NULL, 0);
	ns_conn_accept(f->ns, f->conn);
	end(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_udp),
		cmocka_unit_test(test_ping),
		cmocka_unit_test(test_refuse_packet),
		cmocka_unit_test(test_garbage),
		cmocka_unit_test(test_lost_output),
		cmocka_unit_test(test_one_instance),
		cmocka_unit_test(test_free_with_all_open),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
