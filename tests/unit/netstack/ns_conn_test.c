// SPDX-License-Identifier: MIT
/*
 * ns_conn_test.c - data, closing, windows and checksums of a connection
 *
 * Cases: data both ways, sent at the turn's end; each side closes first, unread data outlives the connection; shutdown
 * before the handshake; a FIN waits for the window; RST; the owner aborts inside each event; stale handles; small writes
 * share segments; the window follows the reader, also when it is small beside many; checksums left to the link, and wrong.
 */
#include "ns_fixture.h"

static size_t fill(struct peer *p, ns_conn c, size_t most)
{
	static const uint8_t data[1000];
	size_t before = ns_conn_readable(p->f->ns, c);

	for (size_t sent = 0; sent < most; sent += sizeof(data)) {
		send_seg(p, ACK, data, sizeof(data));
		forget_output(p->f);
	}
	return ns_conn_readable(p->f->ns, c) - before;
}

static void test_data(void **state)
{
	(void)state;
	for (int v6 = 0; v6 < 2; v6++) {
		struct fixture *f = begin();
		struct peer p = peer(f, v6, 40000);
		ns_conn c = open_conn(&p);
		uint8_t buf[16];
		struct seg s;

		send_seg(&p, ACK | PSH, "hello", 5);
		assert_int_equal(f->readable, 1);
		assert_int_equal(ns_conn_readable(f->ns, c), 5);
		assert_int_equal(stats(f).buffered_bytes, 5);
		assert_int_equal(ns_conn_read(f->ns, c, buf, 3), 3);
		assert_int_equal(ns_conn_read(f->ns, c, buf + 3, 9), 2);
		assert_memory_equal(buf, "hello", 5);
		assert_int_equal(ns_conn_read(f->ns, c, buf, 9), ST_EAGAIN);
		assert_int_equal(stats(f).buffered_bytes, 0);

		assert_int_equal(ns_conn_write(f->ns, c, (const uint8_t *)"wor", 3), 0);
		assert_int_equal(ns_conn_write(f->ns, c, (const uint8_t *)"ld!", 3), 0);
		assert_int_equal(stats(f).buffered_bytes, 6);
		take_nothing(f); /* nothing leaves before the turn's end */
		turn(f);
		s = take(&p);
		assert_int_equal(s.flags, ACK | PSH);
		assert_int_equal(s.ack, p.seq);
		assert_int_equal(s.seq, p.ack);
		assert_int_equal(s.len, 6);
		assert_memory_equal(s.data, "world!", 6);
		p.ack += 6;
		send_seg(&p, ACK, NULL, 0);
		assert_int_equal(f->writable, 1);
		assert_int_equal(stats(f).buffered_bytes, 0);
		take_nothing(f);
		end(f);
	}
}

static void test_application_closes_first(void **state)
{
	struct fixture *f = begin();
	struct peer p = peer(f, false, 40000);
	ns_conn c = open_conn(&p);
	uint8_t buf[16];
	struct seg s;

	(void)state;
	send_seg(&p, ACK | FIN, "last", 4);
	assert_int_equal(take(&p).ack, p.seq);
	assert_int_equal(ns_conn_read(f->ns, c, buf, 16), 4);
	assert_int_equal(ns_conn_read(f->ns, c, buf, 16), 0);
	assert_int_equal(ns_conn_read(f->ns, c, buf, 16), 0);
	assert_int_equal(ns_conn_write(f->ns, c, (const uint8_t *)"bye", 3),
			 0); /* the other way goes on */
	ns_conn_shutdown(f->ns, c);
	ns_conn_shutdown(f->ns, c);
	assert_int_equal(ns_conn_room(f->ns, c), 0);
	assert_int_equal(ns_conn_write(f->ns, c, buf, 1), ST_ECLOSED);
	turn(f);
	s = take(&p);
	assert_int_equal(s.len, 3);
	s = take(&p);
	assert_int_equal(s.flags, ACK | FIN);
	assert_int_equal(s.seq, p.ack + 3);
	take_nothing(f);
	p.ack += 4;
	send_seg(&p, ACK, NULL, 0);
	assert_int_equal(f->finished, 1);
	assert_int_equal(f->gone, 0);
	assert_int_equal(stats(f).flows, 0);
	end(f);
}

static void test_far_side_closes_first(void **state)
{
	struct fixture *f = begin();
	struct peer p = peer(f, true, 40000);
	ns_conn c = open_conn(&p);
	uint8_t buf[16];

	(void)state;
	ns_conn_shutdown(f->ns, c);
	turn(f);
	assert_int_equal(take(&p).flags, ACK | FIN);
	p.ack++;
	send_seg(&p, ACK, NULL, 0);
	send_seg(&p, ACK, "more", 4);
	assert_int_equal(ns_conn_read(f->ns, c, buf, 16), 4);
	send_seg(&p, ACK | FIN, "end", 3);
	assert_int_equal(f->finished, 0); /* 3 bytes and the end are unread */
	assert_int_equal(stats(f).flows, 1);
	assert_int_equal(ns_conn_readable(f->ns, c), 3);
	assert_int_equal(ns_conn_read(f->ns, c, buf, 16), 3);
	turn(f);
	assert_int_equal(f->finished, 0);
	assert_int_equal(ns_conn_read(f->ns, c, buf, 16), 0);
	assert_int_equal(f->finished, 0); /* not from inside a call of ours */
	turn(f);
	assert_int_equal(f->finished, 1);
	assert_int_equal(stats(f).flows, 0);
	assert_int_equal(stats(f).buffered_bytes, 0);
	end(f);
}

static void test_shutdown_before_handshake(void **state)
{
	struct fixture *f = begin();
	struct peer p = peer(f, false, 40000);
	struct seg s;

	(void)state;
	send_seg(&p, SYN, NULL, 0);
	ns_conn_shutdown(f->ns, f->conn);
	ns_conn_accept(f->ns, f->conn);
	turn(f);
	s = take(&p);
	assert_int_equal(s.flags, SYN | ACK);
	take_nothing(f);
	p.ack = s.seq + 1;
	send_seg(&p, ACK, NULL, 0);
	assert_int_equal(take(&p).flags, ACK | FIN);
	end(f);
}

/* The application's window is closed when our FIN is due: it is probed, and the FIN goes out once there is room. */
static void test_fin_waits_for_window(void **state)
{
	struct fixture *f = begin();
	struct peer p = peer(f, false, 40000);
	ns_conn c = open_conn(&p);
	struct seg s;

	(void)state;
	send_seg(&p, ACK, "x", 1);
	p.wnd = 0;
	send_seg(&p, ACK, NULL, 0);
	ns_conn_shutdown(f->ns, c);
	forget_output(f);
	while (f->n_out < 2) /* the late ACK of "x", then the probe: FIN_PROBE_TICKS are 1 s */
		assert_int_equal(loop_turn(f->loop, 5000), 0);
	take(&p);
	s = take(&p);
	assert_int_equal(s.flags, ACK);
	assert_int_equal(s.seq, p.ack - 1);
	take_nothing(f);
	p.wnd = 100;
	send_seg(&p, ACK, NULL, 0);
	s = take(&p);
	assert_int_equal(s.flags, ACK | FIN);
	assert_int_equal(s.seq, p.ack);
	end(f);
}

static void test_reset_by_application(void **state)
{
	struct fixture *f = begin();
	struct peer p = peer(f, false, 40000);
	ns_conn c = open_conn(&p);

	(void)state;
	send_seg(&p, ACK, "unread", 6);
	send_seg(&p, RST, NULL, 0);
	assert_int_equal(f->gone, 1);
	assert_int_equal(f->finished, 0);
	assert_int_equal(stats(f).flows, 0);
	assert_int_equal(stats(f).buffered_bytes, 0);
	assert_int_equal(ns_conn_readable(f->ns, c), 0);
	assert_int_equal(ns_conn_write(f->ns, c, (const uint8_t *)"x", 1), ST_ECLOSED);
	ns_conn_shutdown(f->ns, c);
	ns_conn_abort(f->ns, c);
	take_nothing(f);
	end(f);
}

static void test_abort_inside_events(void **state)
{
	static const enum reaction reactions[] = { ABORT_IN_ESTABLISHED, ABORT_IN_READABLE,
						   ABORT_IN_WRITABLE };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(reactions); i++) {
		struct fixture *f = begin();
		struct peer p = peer(f, i % 2, 40000);
		struct seg s;

		send_seg(&p, SYN, NULL, 0);
		ns_conn_accept(f->ns, f->conn);
		p.ack = take(&p).seq + 1;
		f->reaction = reactions[i];
		send_seg(&p, ACK, NULL, 0);
		if (reactions[i] == ABORT_IN_READABLE)
			send_seg(&p, ACK | FIN, "x", 1);
		if (reactions[i] == ABORT_IN_WRITABLE) {
			assert_int_equal(ns_conn_write(f->ns, f->conn, (const uint8_t *)"y", 1), 0);
			turn(f);
			take(&p);
			p.ack++;
			send_seg(&p, ACK, "with data", 9);
		}
		do
			s = take(&p);
		while (!(s.flags & RST));
		assert_int_equal(s.seq, p.ack);
		assert_int_equal(stats(f).flows, 0);
		assert_int_equal(stats(f).resets, 1);
		assert_int_equal(f->gone + f->finished, 0);
		turn(f);
		take_nothing(f);
		send_seg(&p, ACK, "late", 4); /* nobody's any more */
		assert_int_equal(take(&p).flags & RST, RST);
		end(f);
	}
}

static void test_small_writes_share_segments(void **state)
{
	struct fixture *f = begin();
	struct peer p = peer(f, false, 40000);
	ns_conn c = open_conn(&p);

	(void)state;
	for (int i = 0; i < 5000; i++)
		assert_int_equal(ns_conn_write(f->ns, c, (const uint8_t *)"12345678", 8), 0);
	turn(f);
	assert_int_equal(f->n_out, 1);
	assert_int_equal(take(&p).len, 40000);
	end(f);
}

static void test_window_follows_reader(void **state)
{
	static uint8_t buf[NS_BUFFER_BYTES];
	struct fixture *f = begin();
	struct peer p = peer(f, false, 40000);
	ns_conn c = open_conn(&p);
	uint32_t first = p.seq;

	(void)state;
	assert_int_equal(fill(&p, c, NS_BUFFER_BYTES + 5000), NS_BUFFER_BYTES);
	assert_int_equal(stats(f).buffered_bytes, NS_BUFFER_BYTES);
	assert_int_equal(ns_conn_read(f->ns, c, buf, sizeof(buf)), NS_BUFFER_BYTES);
	assert_true(f->n_out >= 1); /* the window's update does not wait */
	assert_int_equal(take(&p).wnd, NS_BUFFER_BYTES >> 2);
	forget_output(f);
	p.seq = first + (uint32_t)NS_BUFFER_BYTES;
	assert_int_equal(fill(&p, c, 2000), 2000);
	end(f);
}

static void test_small_window_beside_many(void **state)
{
	static uint8_t buf[NS_BUFFER_BYTES];
	struct fixture *f = begin();
	struct peer p = peer(f, false, 40000);
	uint32_t first;
	struct seg s;
	ns_conn c;

	(void)state;
	for (uint16_t i = 0; i < 256; i++) {
		struct peer other = peer(f, true, (uint16_t)(1000 + i));

		send_seg(&other, SYN, NULL, 0);
	}
	send_seg(&p, SYN, NULL, 0);
	c = f->conn;
	ns_conn_accept(f->ns, c);
	s = take(&p);
	assert_int_equal(s.wnd, KIB(32));
	p.ack = s.seq + 1;
	send_seg(&p, ACK, NULL, 0);
	forget_output(f);
	assert_int_equal(ns_conn_room(f->ns, c), KIB(32));
	first = p.seq;
	for (int round = 1; round <= 8;
	     round++) { /* it stays as small as it began, and never stalls */
		assert_int_equal(fill(&p, c, KIB(32) + 3000), KIB(32));
		assert_int_equal(ns_conn_read(f->ns, c, buf, sizeof(buf)), KIB(32));
		assert_int_equal(take(&p).wnd, KIB(32) >> 2);
		forget_output(f);
		p.seq = first + (uint32_t)(KIB(32) * (size_t)round);
	}
	assert_int_equal(ns_conn_write(f->ns, c, buf, KIB(32)), 0);
	assert_int_equal(ns_conn_room(f->ns, c), 0);
	turn(f);
	p.ack += (uint32_t)KIB(32);
	send_seg(&p, ACK, NULL, 0);
	assert_int_equal(ns_conn_room(f->ns, c), KIB(32));
	end(f);
}

static void test_offloaded_checksums(void **state)
{
	(void)state;
	for (int v6 = 0; v6 < 2; v6++) {
		struct fixture *f = begin_with(0, true);
		struct peer p = peer(f, v6, 40000);
		uint16_t l4 = v6 ? 40 : 20;
		uint8_t *ip;
		uint32_t pseudo;
		size_t len;

		send_seg(&p, SYN, NULL, 0);
		ns_conn_accept(f->ns, f->conn);
		assert_int_equal(f->out[0].csum_start, l4);
		assert_int_equal(f->out[0].csum_offset, 16);
		ip = f->out[0].ip;
		len = f->out[0].len;
		pseudo = IPPROTO_TCP + (uint32_t)(len - l4);
		pseudo = v6 ? sum16(ip + 8, 32, pseudo) : sum16(ip + 12, 8, pseudo);
		assert_int_equal(be16_get(ip + l4 + 16), pseudo);
		be16_put(ip + l4 + 16,
			 (uint16_t)~sum16(ip + l4, len - l4, 0)); /* what the kernel does */
		assert_true(sums_ok(ip, len));
		assert_int_equal(take(&p).flags, SYN | ACK);

		forget_output(f);
		ns_refuse_packet(f->ns, (uint8_t[1]){ 0 }, 1, NS_REFUSE_RST);
		end(f);
	}
}

static void test_wrong_checksum(void **state)
{
	struct fixture *f = begin();
	struct peer p = peer(f, false, 40000);
	struct seg s = { .src = p.self, .dst = p.far, .flags = SYN };
	uint8_t buf[64];
	size_t len = put_tcp(buf, &s);

	(void)state;
	buf[36] ^= 1;
	ns_input(f->ns, buf, len, false, 0);
	assert_int_equal(f->syns, 0);
	assert_int_equal(stats(f).dropped_in, 1);
	ns_input(f->ns, buf, len, true, 0); /* the link vouches */
	assert_int_equal(f->syns, 1);
	end(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_data),
		cmocka_unit_test(test_application_closes_first),
		cmocka_unit_test(test_far_side_closes_first),
		cmocka_unit_test(test_shutdown_before_handshake),
		cmocka_unit_test(test_fin_waits_for_window),
		cmocka_unit_test(test_reset_by_application),
		cmocka_unit_test(test_abort_inside_events),
		cmocka_unit_test(test_small_writes_share_segments),
		cmocka_unit_test(test_window_follows_reader),
		cmocka_unit_test(test_small_window_beside_many),
		cmocka_unit_test(test_offloaded_checksums),
		cmocka_unit_test(test_wrong_checksum),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
