// SPDX-License-Identifier: MIT
/*
 * netstack_input.c - packets, time and an owner's calls in any order: nothing may crash, leak or trip an assertion of lwIP
 *
 * The input is a list of records, each a 2-byte big-endian length and as many bytes. A record that begins with a nibble of 4
 * or 6 is an IP packet as it is. Since no mutation guesses sequence numbers, the others are steps:
 *   00 tuple flags seq16 ack16 wnd16 optlen …  a TCP segment of one of 8 4-tuples, seq and ack relative to what that
 *                                             tuple is at (signed), options, then data; bit 7 of optlen: repeat the data
 *                                             64 times
 *   01 n                                      n (at most 64) ticks of lwIP's clock
 *   02 what conn n16                          a call of the owner's
 *   03 what port16 data …                     a datagram, or (bit 1 of what) an echo request; bit 0: IPv6
 * The destination port of a tuple says how its owner behaves: accept at once, hold, refuse or return NULL; and whether it
 * echoes, only reads or is deaf. That of a datagram: answered, taken, taken and a connection aborted, refused.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <netinet/in.h>

#include "base/log.h"
#include "netstack/ns_internal.h"

#define TUPLES 8U
#define CONNS 64U

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct ns *ns;
static ns_conn conns[CONNS];
static size_t n_conns;
static struct {
	uint32_t seq, ack; /* the application's next byte; the stack's as last acknowledged */
} peers[TUPLES];
static uint64_t now_ms = 1;

/* --- the link: learns where the stack's sequence numbers are */

static int output(void *arg, const struct iovec *iov, int n, uint16_t csum_start,
		  uint16_t csum_offset)
{
	static uint8_t flat[NS_MTU];
	struct ns_packet p;
	size_t len = 0;

	(void)arg;
	(void)csum_offset;
	for (int i = 0; i < n; i++) {
		if (iov[i].iov_len > sizeof(flat) - len)
			abort();
		memcpy(flat + len, iov[i].iov_base, iov[i].iov_len);
		len += iov[i].iov_len;
	}
	if (ns_packet_parse(&p, flat, len, csum_start != 0) < 0)
		return 0; /* answers to hostile addresses may be odd */
	if (p.proto == IPPROTO_TCP && p.dst.port >= 1000 && p.dst.port < 1000 + TUPLES) {
		uint32_t span = (uint32_t)(p.len - p.payload) +
				(p.tcp_flags & (NS_TCP_SYN | NS_TCP_FIN) ? 1U : 0U);

		peers[p.dst.port - 1000].ack = p.seq + span;
	}
	return 0;
}

/* --- the owner */

static void move(ns_conn c, bool echo)
{
	uint8_t buf[4096];
	ssize_t n;

	while ((n = ns_conn_read(ns, c, buf, sizeof(buf))) > 0)
		if (echo)
			ns_conn_write(ns, c, buf, MIN((size_t)n, ns_conn_room(ns, c)));
	if (n == 0)
		ns_conn_shutdown(ns, c);
}

static void *on_syn(void *arg, ns_conn c, const struct ns_flow_key *key)
{
	(void)arg;
	conns[n_conns++ % CONNS] = c;
	switch (key->dst.port & 3) {
	case 0: ns_conn_accept(ns, c); break;
	case 1: break;
	case 2: ns_conn_refuse(ns, c, (enum ns_refusal)(key->dst.port >> 2 & 3)); break;
	default: return NULL;
	}
	return (void *)(uintptr_t)(key->dst.port >> 2 | 0x8000U);
}

static void on_event(void *conn_arg, ns_conn c)
{
	uintptr_t how = (uintptr_t)conn_arg & 3U;

	if (how < 2)
		move(c, how == 0);
	else if (how == 3)
		ns_conn_abort(ns, c);
}

static void on_end(void *conn_arg, ns_conn c)
{
	(void)conn_arg;
	if (ns_conn_readable(ns, c) != 0 || ns_conn_room(ns, c) != 0)
		abort();
}

static bool on_udp(void *arg, const struct ns_flow_key *key, const uint8_t *p, size_t len)
{
	(void)arg;
	switch (key->dst.port & 3) {
	case 0:
		if (ns_udp_send(ns, &key->dst, &key->src, p, len) < 0)
			abort();
		return true;
	case 1: return true;
	case 2: ns_conn_abort(ns, conns[len % CONNS]); return true;
	default: return false;
	}
}

static void on_echo(void *arg, const struct net_addr *src, const struct net_addr *dst,
		    const uint8_t *packet, size_t len)
{
	(void)arg;
	if (src->family != dst->family)
		abort();
	if (len & 1)
		ns_echo_reply(ns, packet, len);
	else
		ns_refuse_packet(ns, packet, len, NS_REFUSE_HOST_UNREACHABLE);
}

static const struct ns_events events = {
	.syn = on_syn,
	.gone = on_end,
	.established = on_event,
	.readable = on_event,
	.writable = on_event,
	.finished = on_end,
	.udp = on_udp,
	.echo = on_echo,
};

/* --- steps */

static size_t put_ip(uint8_t *out, bool v6, uint8_t proto, size_t l4_len)
{
	static const uint8_t app4[4] = { 198, 18, 0, 1 }, dst4[4] = { 10, 0, 0, 1 };

	memset(out, 0, 40);
	if (v6) {
		out[0] = 0x60;
		be16_put(out + 4, (uint16_t)l4_len);
		out[6] = proto;
		out[8] = out[24] = 0xfd;
		out[23] = 1;
		out[39] = 2;
		return 40;
	}
	out[0] = 0x45;
	be16_put(out + 2, (uint16_t)(20 + l4_len));
	out[9] = proto;
	memcpy(out + 12, app4, 4);
	memcpy(out + 16, dst4, 4);
	uint32_t sum = 0;
	for (size_t i = 0; i < 20; i += 2)
		sum += be16_get(out + i);
	sum = (sum >> 16) + (sum & 0xffff);
	be16_put(out + 10, (uint16_t) ~(sum + (sum >> 16)));
	return 20;
}

static int32_t signed16(const uint8_t *p)
{
	return (int16_t)be16_get(p);
}

static void step_segment(const uint8_t *p, size_t len)
{
	static uint8_t out[NS_MTU];
	uint32_t tuple, repeat;
	size_t l4, options, header, data;

	if (len < 10)
		return;
	tuple = p[1] % TUPLES;
	options = MIN((size_t)(p[9] & 0x28U), (len - 10) & ~(size_t)3);
	data = len - 10 - options;
	repeat = p[9] & 0x80U ? 64 : 1;
	if (data * repeat > 60000)
		repeat = 1;
	header = 20 + options;
	l4 = put_ip(out, tuple & 4, IPPROTO_TCP, header + data * repeat);
	be16_put(out + l4, (uint16_t)(1000 + tuple));
	be16_put(out + l4 + 2, (uint16_t)(16 + (p[1] >> 4))); /* how the owner behaves */
	be32_put(out + l4 + 4, peers[tuple].seq + (uint32_t)signed16(p + 3));
	be32_put(out + l4 + 8, peers[tuple].ack + (uint32_t)signed16(p + 5));
	out[l4 + 12] = (uint8_t)(header / 4 << 4);
	out[l4 + 13] = p[2];
	be16_put(out + l4 + 14, be16_get(p + 7));
	be32_put(out + l4 + 16, 0);
	memcpy(out + l4 + 20, p + 10, options);
	for (uint32_t i = 0; i < repeat; i++)
		memcpy(out + l4 + header + i * data, p + 10 + options, data);
	ns_input(ns, out, l4 + header + data * repeat, true, now_ms);
	if (be16_get(p + 3) == 0) /* in order: the application goes on behind it */
		peers[tuple].seq += (uint32_t)(data * repeat) +
				    (p[2] & (NS_TCP_SYN | NS_TCP_FIN) ? 1U : 0U);
}

/* ICMP's checksum is checked whoever vouches. */
static void put_ping_sum(uint8_t *out, bool v6, size_t l4, size_t len)
{
	uint32_t sum = v6 ? ntohs(ns_packet_pseudo_sum(out, IPPROTO_ICMPV6, len)) : 0;

	be16_put(out + l4 + 2, 0);
	for (size_t i = 0; i < len; i++)
		sum += i & 1 ? out[l4 + i] : (uint32_t)out[l4 + i] << 8;
	sum = (sum >> 16) + (sum & 0xffff);
	be16_put(out + l4 + 2, (uint16_t) ~(sum + (sum >> 16)));
}

static void step_datagram(const uint8_t *p, size_t len)
{
	static uint8_t out[NS_MTU];
	const uint8_t icmp[2] = { IPPROTO_ICMP, IPPROTO_ICMPV6 };
	bool v6, ping;
	size_t l4, data;

	if (len < 4)
		return;
	v6 = p[1] & 1;
	ping = p[1] & 2;
	data = MIN(len - 4, sizeof(out) - 48);
	l4 = put_ip(out, v6, ping ? icmp[v6] : IPPROTO_UDP, 8 + data);
	memset(out + l4, 0, 8);
	memcpy(out + l4 + 8, p + 4, data);
	if (ping) {
		out[l4] = v6 ? 128 : 8;
		put_ping_sum(out, v6, l4, 8 + data);
	} else {
		be16_put(out + l4, 5000);
		be16_put(out + l4 + 2, be16_get(p + 2));
		be16_put(out + l4 + 4, (uint16_t)(8 + data));
		be16_put(out + l4 + 6, 1); /* vouched for */
	}
	ns_input(ns, out, l4 + 8 + data, true, now_ms);
}

static void step_owner(const uint8_t *p, size_t len)
{
	static const uint8_t bytes[65535];
	ns_conn c;

	if (len < 5)
		return;
	c = conns[p[2] % CONNS];
	switch (p[1] & 7) {
	case 0: ns_conn_accept(ns, c); break;
	case 1: ns_conn_refuse(ns, c, (enum ns_refusal)(p[3] % 5)); break;
	case 2:
		ns_conn_write(ns, c, bytes, MIN((size_t)be16_get(p + 3), ns_conn_room(ns, c)));
		break;
	case 3: ns_conn_shutdown(ns, c); break;
	case 4: ns_conn_abort(ns, c); break;
	case 5: move(c, true); break;
	case 6: move(c, false); break;
	default:
		ns_refuse_packet(ns, p + 5, len - 5, (enum ns_refusal)(p[3] % 5));
		ns_echo_reply(ns, p + 5, len - 5);
		break;
	}
}

static void step(const uint8_t *p, size_t len)
{
	if (len == 0 || p[0] >> 4 == 4 || p[0] >> 4 == 6) {
		ns_input(ns, p, len, len > 1 && p[1] & 1, now_ms);
		return;
	}
	switch (p[0]) {
	case 0: step_segment(p, len); break;
	case 1:
		for (unsigned int i = 0; len > 1 && i < (p[1] & 63U); i++) {
			now_ms += TCP_TMR_INTERVAL;
			ns->timer.fn(ns->timer.arg, now_ms);
		}
		break;
	case 2: step_owner(p, len); break;
	case 3: step_datagram(p, len); break;
	default: break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct loop *loop;
	struct ns_opts opts = { .events = &events, .link = { .output = output }, .flows_max = 6 };
	struct ns_stats stats;

	if (!loop && loop_new(&loop) < 0)
		abort();
	log_setup(LOG_ERROR, LOG_TEXT);
	opts.loop = loop;
	opts.link.csum_offload = size & 1;
	opts.stack4 = (struct net_addr){ .family = 4, .b = { 10, 0, 0, 53 } };
	opts.stack6 = (struct net_addr){ .family = 6, .b = { 0xfd, [15] = 0x53 } };
	n_conns = 0;
	memset(conns, 0, sizeof(conns));
	for (size_t i = 0; i < TUPLES; i++)
		peers[i].seq = (uint32_t)i * 0x20000000U - 8;
	if (ns_new(&ns, &opts) < 0)
		abort();
	while (size >= 2) {
		size_t len = MIN((size_t)be16_get(data), size - 2);

		step(data + 2, len);
		if (loop_turn(loop, 0) < 0)
			abort();
		data += 2 + len;
		size -= 2 + len;
	}
	ns_stats(ns, &stats);
	if (stats.flows > 6 || stats.buffered_bytes > 12 * NS_BUFFER_BYTES)
		abort();
	for (size_t i = 0; i < CONNS; i++)
		ns_conn_abort(ns, conns[i]);
	ns_stats(ns, &stats);
	if (stats.flows || stats.held || stats.buffered_bytes)
		abort();
	ns_free(ns);
	return 0;
}
