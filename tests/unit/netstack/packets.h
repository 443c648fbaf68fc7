// SPDX-License-Identifier: MIT
/* packets.h - hand-made packets of both families, with checksums computed apart from the code under test */
#ifndef TESTS_UNIT_NETSTACK_PACKETS_H
#define TESTS_UNIT_NETSTACK_PACKETS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <netinet/in.h>

#include "base/addr.h"
#include "base/util.h"

#define FIN 0x01U
#define SYN 0x02U
#define RST 0x04U
#define PSH 0x08U
#define ACK 0x10U

/* MSS 65495, window scale 7, SACK permitted: as this kernel's SYN over an MTU of 65535 */
static const uint8_t syn_options[12] = { 2, 4, 0xff, 0xd7, 1, 3, 3, 7, 1, 1, 4, 2 };

struct seg {
	struct net_endpoint src, dst;
	uint32_t seq, ack;
	uint8_t flags;
	uint16_t wnd;
	const uint8_t *options;
	size_t options_len; /* a multiple of 4 */
	const void *data;
	size_t len;
};

static uint32_t sum16(const uint8_t *p, size_t len, uint32_t sum)
{
	for (size_t i = 0; i + 1 < len; i += 2)
		sum += be16_get(p + i);
	if (len & 1)
		sum += (uint32_t)p[len - 1] << 8;
	while (sum >> 16)
		sum = (sum >> 16) + (sum & 0xffff);
	return sum;
}

static inline size_t ip_header_len(const uint8_t *ip)
{
	return ip[0] >> 4 == 6 ? 40 : (size_t)(ip[0] & 15) * 4;
}

static inline uint8_t ip_proto(const uint8_t *ip)
{
	return ip[0] >> 4 == 6 ? ip[6] : ip[9];
}

/* The one's complement sum of the transport part with its pseudo header: 0xffff if the checksum is right. */
static inline uint32_t l4_sum(const uint8_t *ip, size_t len)
{
	size_t header = ip_header_len(ip);
	uint32_t sum = ip_proto(ip) + (uint32_t)(len - header);

	if (ip_proto(ip) == IPPROTO_ICMP)
		sum = 0;
	else
		sum = ip[0] >> 4 == 6 ? sum16(ip + 8, 32, sum) : sum16(ip + 12, 8, sum);
	return sum16(ip + header, len - header, sum);
}

static inline bool sums_ok(const uint8_t *ip, size_t len)
{
	if (ip[0] >> 4 == 4 && sum16(ip, ip_header_len(ip), 0) != 0xffff)
		return false;
	return l4_sum(ip, len) == 0xffff;
}

/* An IP header for @l4_len bytes of @proto. Return: its length */
static inline size_t put_ip(uint8_t *out, const struct net_addr *src, const struct net_addr *dst,
			    uint8_t proto, size_t l4_len)
{
	if (src->family == 6) {
		memset(out, 0, 40);
		out[0] = 0x60;
		be16_put(out + 4, (uint16_t)l4_len);
		out[6] = proto;
		out[7] = 64;
		memcpy(out + 8, src->b, 16);
		memcpy(out + 24, dst->b, 16);
		return 40;
	}
	memset(out, 0, 20);
	out[0] = 0x45;
	be16_put(out + 2, (uint16_t)(20 + l4_len));
	out[8] = 64;
	out[9] = proto;
	memcpy(out + 12, src->b, 4);
	memcpy(out + 16, dst->b, 4);
	be16_put(out + 10, (uint16_t)~sum16(out, 20, 0));
	return 20;
}

static inline void put_l4_sum(uint8_t *ip, size_t len, size_t offset)
{
	uint8_t *at = ip + ip_header_len(ip) + offset;

	be16_put(at, 0);
	be16_put(at, (uint16_t)~l4_sum(ip, len));
}

static inline size_t put_tcp(uint8_t *out, const struct seg *s)
{
	size_t header = 20 + s->options_len, l4_len = header + s->len;
	size_t l4 = put_ip(out, &s->src.addr, &s->dst.addr, IPPROTO_TCP, l4_len);
	uint8_t *h = out + l4;

	memset(h, 0, 20);
	be16_put(h, s->src.port);
	be16_put(h + 2, s->dst.port);
	be32_put(h + 4, s->seq);
	be32_put(h + 8, s->ack);
	h[12] = (uint8_t)(header / 4 << 4);
	h[13] = s->flags;
	be16_put(h + 14, s->wnd);
	if (s->options_len)
		memcpy(h + 20, s->options, s->options_len);
	if (s->len)
		memcpy(h + header, s->data, s->len);
	put_l4_sum(out, l4 + l4_len, 16);
	return l4 + l4_len;
}

static inline size_t put_udp(uint8_t *out, const struct net_endpoint *src,
			     const struct net_endpoint *dst, const void *data, size_t len)
{
	size_t l4 = put_ip(out, &src->addr, &dst->addr, IPPROTO_UDP, 8 + len);
	uint8_t *h = out + l4;

	be16_put(h, src->port);
	be16_put(h + 2, dst->port);
	be16_put(h + 4, (uint16_t)(8 + len));
	memcpy(h + 8, data, len);
	put_l4_sum(out, l4 + 8 + len, 6);
	return l4 + 8 + len;
}

static inline size_t put_ping(uint8_t *out, const struct net_addr *src, const struct net_addr *dst,
			      const void *data, size_t len)
{
	bool v6 = src->family == 6;
	size_t l4 = put_ip(out, src, dst, v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP, 8 + len);
	uint8_t *h = out + l4;

	memset(h, 0, 8);
	h[0] = v6 ? 128 : 8;
	be32_put(h + 4, 0x12340001);
	memcpy(h + 8, data, len);
	put_l4_sum(out, l4 + 8 + len, 2);
	return l4 + 8 + len;
}

/* Reads a TCP packet that the stack sent, strictly. Return: false if it is no well-formed TCP. */
static inline bool get_tcp(struct seg *out, const uint8_t *ip, size_t len)
{
	bool v6 = len > 0 && ip[0] >> 4 == 6;
	const uint8_t *h;
	size_t l4, header;

	*out = (struct seg){ 0 };
	if (len < 40 || ip_proto(ip) != IPPROTO_TCP)
		return false;
	if (len != (v6 ? 40U + be16_get(ip + 4) : be16_get(ip + 2)))
		return false;
	l4 = ip_header_len(ip);
	h = ip + l4;
	header = (size_t)(h[12] >> 4) * 4;
	out->src.addr.family = out->dst.addr.family = v6 ? 6 : 4;
	memcpy(out->src.addr.b, ip + (v6 ? 8 : 12), v6 ? 16 : 4);
	memcpy(out->dst.addr.b, ip + (v6 ? 24 : 16), v6 ? 16 : 4);
	out->src.port = be16_get(h);
	out->dst.port = be16_get(h + 2);
	out->seq = be32_get(h + 4);
	out->ack = be32_get(h + 8);
	out->flags = h[13];
	out->wnd = be16_get(h + 14);
	out->options = h + 20;
	out->options_len = header - 20;
	out->data = h + header;
	out->len = len - l4 - header;
	return true;
}

#endif
