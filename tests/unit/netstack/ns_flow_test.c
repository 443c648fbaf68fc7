// SPDX-License-Identifier: MIT
/*
 * ns_flow_test.c - what becomes of a SYN, and of segments that fit no connection
 *
 * Hand-made packets of both families, answers read byte by byte. Cases: the SYN is held, repeated ones are swallowed, SYN-ACK has
 * our window, MSS and scale; initial sequence numbers; each refusal; RST while held; each decision inside syn(); data of a
 * SYN; the limit of flows; a SYN over TIME_WAIT; a repeated SYN after SYN-ACK; segments out of order, behind the window and
 * of no connection.
 */
#include "ns_fixture.h"

static const uint8_t *option(const struct seg *s, uint8_t kind)
{
	for (size_t i = 0; i < s->options_len;) {
		if (s->options[i] == kind)
			return s->options + i;
		i += s->options[i] < 2 ? 1 : s->options[i + 1];
	}
	return NULL;
}

static void test_hold_and_accept(void **state)
{
	(void)state;
	for (int v6 = 0; v6 < 2; v6++) {
		struct fixture *f = begin();
		struct peer p = peer(f, v6, 40000);
		struct seg s;

		send_seg(&p, SYN, NULL, 0);
		assert_int_equal(f->syns, 1);
		assert_true(net_addr_eq(&f->key.src.addr, &p.self.addr) &&
			    f->key.src.port == 40000);
		assert_true(net_addr_eq(&f->key.dst.addr, &p.far.addr) && f->key.dst.port == 443);
		p.seq--;
		send_seg(&p, SYN, NULL, 0); /* as the kernel does after 1 s */
		assert_int_equal(f->syns, 1);
		take_nothing(f);
		assert_int_equal(stats(f).held, 1);
		assert_int_equal(stats(f).flows, 1);
		assert_int_equal(ns_conn_read(f->ns, f->conn, (uint8_t[1]){ 0 }, 1), ST_EAGAIN);
		assert_int_equal(ns_conn_room(f->ns, f->conn), 0);

		ns_conn_accept(f->ns, f->conn);
		s = take(&p);
		assert_int_equal(s.flags, SYN | ACK);
		assert_int_equal(s.ack, p.seq);
		assert_int_equal(s.wnd, 65535); /* a SYN-ACK's window is not scaled */
		assert_int_equal(be16_get(option(&s, 2) + 2), v6 ? 65475 : 65495);
		assert_int_equal(option(&s, 3)[2], 2);
		assert_non_null(option(&s, 4));
		take_nothing(f);
		assert_int_equal(stats(f).held, 0);
		assert_int_equal(f->established, 0);
		p.ack = s.seq + 1;
		send_seg(&p, ACK, NULL, 0);
		assert_int_equal(f->established, 1);
		assert_int_equal(ns_conn_room(f->ns, f->conn), NS_BUFFER_BYTES);
		ns_conn_accept(f->ns, f->conn); /* again: nothing */
		take_nothing(f);
		end(f);
	}
}

static void test_new_syn_while_held(void **state)
{
	struct fixture *f = begin();
	struct peer p = peer(f, false, 40000);

	(void)state;
	send_seg(&p, SYN, NULL, 0);
	p.seq = 5000; /* the application began anew */
	send_seg(&p, SYN, NULL, 0);
	assert_int_equal(f->syns, 1);
	ns_conn_accept(f->ns, f->conn);
	assert_int_equal(take(&p).ack, 5001);
	end(f);
}

static void test_initial_sequence_numbers(void **state)
{
	struct fixture *f = begin();
	uint32_t seen[32];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(seen); i++) {
		struct peer p = peer(f, false, (uint16_t)(40000 + i));

		send_seg(&p, SYN, NULL, 0);
		ns_conn_accept(f->ns, f->conn);
		seen[i] = take(&p).seq;
		for (size_t k = 0; k < i; k++) /* chance of a false alarm: 1 in 4 million */
			assert_true(seen[i] - seen[k] > 1 && seen[k] - seen[i] > 1);
	}
	end(f);
}

static void test_refusals(void **state)
{
	static const struct {
		enum ns_refusal why;
		uint8_t code4, code6;
	} cases[] = {
		{ NS_REFUSE_HOST_UNREACHABLE, 1, 3 },
		{ NS_REFUSE_NET_UNREACHABLE, 0, 0 },
		{ NS_REFUSE_PROHIBITED, 13, 1 },
	};

	(void)state;
	for (size_t i = 0; i < 2 * ARRAY_LEN(cases); i++) {
		bool v6 = i % 2;
		struct fixture *f = begin();
		struct peer p = peer(f, v6, 40000);
		size_t l4 = v6 ? 40 : 20;
		const uint8_t *ip, *quote;

		send_seg(&p, SYN, NULL, 0);
		ns_conn_refuse(f->ns, f->conn, cases[i / 2].why);
		assert_int_equal(f->n_out, 1);
		ip = f->out[0].ip;
		assert_true(sums_ok(ip, f->out[0].len));
		assert_int_equal(ip_proto(ip), v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP);
		assert_memory_equal(ip + (v6 ? 24 : 16), p.self.addr.b, v6 ? 16 : 4);
		assert_int_equal(ip[l4], v6 ? 1 : 3);
		assert_int_equal(ip[l4 + 1], v6 ? cases[i / 2].code6 : cases[i / 2].code4);
		quote = ip + l4 + 8; /* the SYN as it came */
		assert_int_equal(f->out[0].len, l4 + 8 + l4 + 32);
		assert_true(sums_ok(quote, l4 + 32));
		assert_int_equal(be16_get(quote + l4), 40000);
		assert_int_equal(be32_get(quote + l4 + 4), 0xfffffff0);
		assert_int_equal(stats(f).flows, 0);
		assert_int_equal(f->gone, 0);
		end(f);
	}
}

static void test_refuse_rst_and_drop(void **state)
{
	(void)state;
	for (int v6 = 0; v6 < 2; v6++) {
		struct fixture *f = begin();
		struct peer p = peer(f, v6, 40000);
		struct seg s;

		send_seg(&p, SYN, NULL, 0);
		ns_conn_refuse(f->ns, f->conn, NS_REFUSE_RST);
		s = take(&p);
		assert_int_equal(s.flags, RST | ACK);
		assert_int_equal(s.seq, 0);
		assert_int_equal(s.ack, p.seq);
		assert_int_equal(stats(f).resets, 1);
		send_seg(&p, SYN, NULL, 0); /* and once more */
		assert_int_equal(f->syns, 2);
		ns_conn_refuse(f->ns, f->conn, NS_REFUSE_DROP);
		take_nothing(f);
		assert_int_equal(stats(f).flows, 0);
		assert_int_equal(stats(f).held, 0);
		end(f);
	}
}

static void test_rst_while_held(void **state)
{
	struct fixture *f = begin();
	struct peer p = peer(f, false, 40000);

	(void)state;
	send_seg(&p, SYN, NULL, 0);
	p.seq += 1000;
	send_seg(&p, RST, NULL, 0); /* not its sequence number: a guess */
	assert_int_equal(f->gone, 0);
	p.seq -= 1000;
	send_seg(&p, RST, NULL, 0);
	assert_int_equal(f->gone, 1);
	assert_int_equal(stats(f).flows, 0);
	assert_int_equal(stats(f).held, 0);
	ns_conn_accept(f->ns, f->conn); /* stale */
	ns_conn_refuse(f->ns, f->conn, NS_REFUSE_RST);
	take_nothing(f);
	end(f);
}

static void test_decisions_inside_syn(void **state)
{
	static const struct {
		enum reaction reaction;
		uint8_t flags; /* of the answer; 0: not TCP */
		uint32_t flows;
	} cases[] = {
		{ ACCEPT_IN_SYN, SYN | ACK, 1 },
		{ REFUSE_IN_SYN, 0, 0 },
		{ ABORT_IN_SYN, RST | ACK, 0 },
		{ NULL_IN_SYN, RST | ACK, 0 },
	};
	struct fixture *f;
	struct peer p;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		f = begin();
		p = peer(f, false, 40000);
		f->reaction = cases[i].reaction;
		send_seg(&p, SYN, NULL, 0);
		assert_int_equal(f->n_out, 1);
		if (cases[i].flags)
			assert_int_equal(take(&p).flags, cases[i].flags);
		assert_int_equal(stats(f).flows, cases[i].flows);
		assert_int_equal(stats(f).held, 0);
		assert_int_equal(f->gone, 0);
		end(f);
	}
	f = begin();
	p = peer(f, false, 40000);
	f->reaction = NULL_AFTER_ACCEPT; /* SYN-ACK is out, then RST */
	send_seg(&p, SYN, NULL, 0);
	assert_int_equal(take(&p).flags, SYN | ACK);
	assert_int_equal(take(&p).flags, RST | ACK);
	assert_int_equal(stats(f).flows, 0);
	end(f);
}

static void test_syn_with_data(void **state)
{
	struct fixture *f = begin();
	struct peer p = peer(f, false, 40000);

	(void)state;
	send_seg(&p, SYN, "early", 5);
	ns_conn_accept(f->ns, f->conn);
	assert_int_equal(take(&p).ack, p.seq - 5); /* not taken: the application sends it again */
	end(f);
}

static void test_flows_max(void **state)
{
	struct fixture *f = begin_with(2, false);
	struct peer p[3];

	(void)state;
	for (uint16_t i = 0; i < 3; i++) {
		p[i] = peer(f, false, (uint16_t)(40000 + i));
		send_seg(&p[i], SYN, NULL, 0);
	}
	assert_int_equal(f->syns, 2);
	assert_int_equal(take(&p[2]).flags, RST | ACK);
	assert_int_equal(stats(f).flows, 2);
	assert_int_equal(stats(f).syns, 3);
	ns_conn_refuse(f->ns, f->conn, NS_REFUSE_DROP);
	p[2].seq--;
	send_seg(&p[2], SYN, NULL, 0);
	assert_int_equal(f->syns, 3);
	end(f);
}

static void test_time_wait_reuse(void **state)
{
	struct fixture *f = begin();
	struct peer p = peer(f, false, 40000);
	ns_conn c = open_conn(&p), again;
	uint8_t b;

	(void)state;
	ns_conn_shutdown(f->ns, c);
	turn(f);
	take(&p);
	p.ack++;
	send_seg(&p, ACK | FIN, NULL, 0);
	assert_int_equal(ns_conn_read(f->ns, c, &b, 1), 0);
	turn(f);
	assert_int_equal(f->finished, 1);
	forget_output(f);
	p.seq--; /* its last ACK was lost: TIME_WAIT answers again */
	send_seg(&p, ACK | FIN, NULL, 0);
	assert_int_equal(take(&p).ack, p.seq);
	take_nothing(f);
	p.seq += 100;
	again = open_conn(&p);
	assert_int_not_equal(again, c);
	assert_int_equal(f->established, 2);
	send_seg(&p, ACK, "new", 3);
	assert_int_equal(ns_conn_readable(f->ns, again), 3);
	end(f);
}

static void test_repeated_syn_after_accept(void **state)
{
	struct fixture *f = begin();
	struct peer p = peer(f, false, 40000);
	struct seg first, again;

	(void)state;
	send_seg(&p, SYN, NULL, 0);
	ns_conn_accept(f->ns, f->conn);
	first = take(&p);
	p.seq--;
	send_seg(&p, SYN, NULL, 0);
	again = take(&p);
	assert_int_equal(again.flags, SYN | ACK);
	assert_int_equal(again.seq, first.seq);
	take_nothing(f);
	p.seq += 77;
	send_seg(&p, SYN, NULL, 0); /* not the one that we know */
	take_nothing(f);
	assert_int_equal(stats(f).flows, 1);
	end(f);
}

static void test_out_of_order(void **state)
{
	struct fixture *f = begin();
	struct peer p = peer(f, false, 40000);
	ns_conn c = open_conn(&p);
	uint8_t buf[16];
	uint32_t at = p.seq;

	(void)state;
	p.seq = at + 3;
	send_seg(&p, ACK, "def", 3);
	assert_int_equal(ns_conn_readable(f->ns, c), 0);
	assert_int_equal(take(&p).ack, at);
	p.seq = at + (uint32_t)NS_BUFFER_BYTES - 1; /* ends behind the window */
	send_seg(&p, ACK, "xyz", 3);
	assert_int_equal(stats(f).dropped_in, 1);
	p.seq = at;
	send_seg(&p, ACK, "abc", 3);
	assert_int_equal(ns_conn_read(f->ns, c, buf, 16), 6);
	assert_memory_equal(buf, "abcdef", 6);
	end(f);
}

static void test_stray_segments(void **state)
{
	struct fixture *f = begin();
	struct peer p = peer(f, false, 40000);

	(void)state;
	p.ack = 5;
	send_seg(&p, ACK, "stray", 5);
	assert_int_equal(take(&p).flags & RST, RST);
	send_seg(&p, RST, NULL, 0);
	send_seg(&p, SYN | ACK, NULL, 0);
	assert_int_equal(take(&p).flags & RST, RST);
	take_nothing(f);
	assert_int_equal(f->syns, 0);
	end(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hold_and_accept),
		cmocka_unit_test(test_new_syn_while_held),
		cmocka_unit_test(test_initial_sequence_numbers),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_refuse_rst_and_drop),
		cmocka_unit_test(test_rst_while_held),
		cmocka_unit_test(test_decisions_inside_syn),
		cmocka_unit_test(test_syn_with_data),
		cmocka_unit_test(test_flows_max),
		cmocka_unit_test(test_time_wait_reuse),
		cmocka_unit_test(test_repeated_syn_after_accept),
		cmocka_unit_test(test_out_of_order),
		cmocka_unit_test(test_stray_segments),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
