// SPDX-License-Identifier: MIT
/*
 * ns_packet.c - reading IP packets strictly, and making the ICMP answers that quote them
 *
 * Theory of operation: every packet passes here before lwIP or a flow sees it, so what is checked here is checked nowhere
 * else: lengths, checksums, and the few addresses and flags that would reach corners of lwIP that it guards by assertions.
 * Each layer is one function that takes the offset where it starts and says where the next one does.
 */
#include "netstack/ns_packet.h"

#include <string.h>
#include <netinet/in.h>

#include <lwip/inet_chksum.h>

#include "base/err.h"
#include "base/util.h"

#define IP4_HEADER_MIN 20U
#define IP6_HEADER 40U
#define TCP_HEADER_MIN 20U
#define TCP_OPTION_END 0U
#define TCP_OPTION_NOP 1U
#define UDP_HEADER 8U
#define ICMP_HEADER 8U
#define IP4_FRAGMENT_BITS 0x3fffU /* more fragments, and the offset; RFC 791 */
#define ICMP4_ECHO_REQUEST 8U
#define ICMP6_ECHO_REQUEST 128U
#define ICMP4_ECHO_REPLY 0U
#define ICMP6_ECHO_REPLY 129U
#define ICMP4_UNREACHABLE 3U
#define ICMP6_UNREACHABLE 1U
#define ICMP4_ANSWER_MAX 576U /* RFC 1812, 4.3.2.3 */
#define HOP_LIMIT 64U

/* --- checksums: one's complement sums in memory order (RFC 1071) */

static uint16_t fold(uint32_t sum)
{
	sum = (sum >> 16) + (sum & 0xffffU);
	return (uint16_t)(sum + (sum >> 16));
}

static uint16_t sum_of(const uint8_t *p, size_t len)
{
	return (uint16_t)~inet_chksum(p, (uint16_t)len);
}

uint16_t ns_packet_pseudo_sum(const uint8_t *ip, uint8_t proto, size_t l4_len)
{
	bool v6 = ip[0] >> 4 == 6;
	uint32_t sum = v6 ? sum_of(ip + 8, 32) : sum_of(ip + 12, 8);

	return fold(sum + htons(proto) + htons((uint16_t)l4_len));
}

/* ICMP of IPv4 alone has no pseudo header. */
static bool l4_sum_ok(const struct ns_packet *p)
{
	size_t len = p->len - p->l4;
	uint32_t pseudo = p->proto == IPPROTO_ICMP ? 0 : ns_packet_pseudo_sum(p->ip, p->proto, len);

	return fold(pseudo + sum_of(p->ip + p->l4, len)) == 0xffffU;
}

/* --- parsing */

static bool src_is_possible(const struct net_addr *a)
{
	return !net_addr_is_local_only(a);
}

/* Link-local destinations pass: a rule may name one (decision 13), and the router decides. */
static bool dst_is_possible(const struct net_addr *a)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	static const uint8_t zero[15] = { 0 };

	if (a->family == 4)
		return a->b[0] != 0 && a->b[0] != 127 && a->b[0] < 224;
	if (a->b[0] == 0xff || memcmp(a->b, mapped, sizeof(mapped)) == 0)
		return false;
	return memcmp(a->b, zero, sizeof(zero)) != 0 || a->b[15] > 1; /* not :: nor ::1 */
}

static int parse_ip4(struct ns_packet *out, size_t len)
{
	const uint8_t *ip = out->ip;
	size_t header, total;

	if (len < IP4_HEADER_MIN)
		return ST_ESHORT;
	header = (size_t)(ip[0] & 0x0fU) * 4U;
	total = be16_get(ip + 2);
	if (header < IP4_HEADER_MIN || total < header || total > len)
		return ST_EFORMAT;
	if (sum_of(ip, header) != 0xffffU)
		return ST_EDIGEST;
	if (be16_get(ip + 6) & IP4_FRAGMENT_BITS)
		return ST_EUNSUPPORTED;
	out->len = total;
	out->l4 = header;
	out->proto = ip[9];
	out->src.addr.family = out->dst.addr.family = 4;
	memcpy(out->src.addr.b, ip + 12, 4);
	memcpy(out->dst.addr.b, ip + 16, 4);
	return out->proto == IPPROTO_ICMPV6 ? ST_EUNSUPPORTED : 0;
}

static int parse_ip6(struct ns_packet *out, size_t len)
{
	const uint8_t *ip = out->ip;
	size_t payload;

	if (len < IP6_HEADER)
		return ST_ESHORT;
	payload = be16_get(ip + 4);
	if (payload == 0 || payload > len - IP6_HEADER)
		return ST_EFORMAT;
	out->len = IP6_HEADER + payload;
	out->l4 = IP6_HEADER;
	out->proto = ip[6];
	out->src.addr.family = out->dst.addr.family = 6;
	memcpy(out->src.addr.b, ip + 8, 16);
	memcpy(out->dst.addr.b, ip + 24, 16);
	return out->proto == IPPROTO_ICMP ? ST_EUNSUPPORTED : 0;
}

static int parse_ports(struct ns_packet *out)
{
	const uint8_t *h = out->ip + out->l4;

	out->src.port = be16_get(h);
	out->dst.port = be16_get(h + 2);
	return out->src.port != 0 && out->dst.port != 0 ? 0 : ST_EFORMAT;
}

/* lwIP reads the length of an option before it looks where the options end. */
static bool options_are_whole(const uint8_t *p, size_t len)
{
	while (len > 0 && p[0] != TCP_OPTION_END) {
		size_t one = 1;

		if (p[0] != TCP_OPTION_NOP) {
			if (len < 2 || p[1] < 2 || p[1] > len)
				return false;
			one = p[1];
		}
		p += one;
		len -= one;
	}
	return true;
}

static int parse_tcp(struct ns_packet *out, bool csum_ok)
{
	const uint8_t *h = out->ip + out->l4;
	size_t len = out->len - out->l4, header;
	int r;

	if (len < TCP_HEADER_MIN)
		return ST_ESHORT;
	header = (size_t)(h[12] >> 4) * 4U;
	if (header < TCP_HEADER_MIN || header > len)
		return ST_EFORMAT;
	if (!options_are_whole(h + TCP_HEADER_MIN, header - TCP_HEADER_MIN))
		return ST_EFORMAT;
	if ((r = parse_ports(out)) < 0)
		return r;
	out->payload = out->l4 + header;
	out->seq = be32_get(h + 4);
	out->ack = be32_get(h + 8);
	out->tcp_flags = h[13];
	/* Only a first SYN and a RST come without ACK, and a SYN begins nothing that it ends. */
	if (!(out->tcp_flags & (NS_TCP_SYN | NS_TCP_RST | NS_TCP_ACK)))
		return ST_EFORMAT;
	if ((out->tcp_flags & NS_TCP_SYN) && (out->tcp_flags & (NS_TCP_FIN | NS_TCP_RST)))
		return ST_EFORMAT;
	return csum_ok || l4_sum_ok(out) ? 0 : ST_EDIGEST;
}

static int parse_udp(struct ns_packet *out, bool csum_ok)
{
	const uint8_t *h = out->ip + out->l4;
	size_t len = out->len - out->l4;
	int r;

	if (len < UDP_HEADER)
		return ST_ESHORT;
	if (be16_get(h + 4) != len)
		return ST_EFORMAT;
	if ((r = parse_ports(out)) < 0)
		return r;
	out->payload = out->l4 + UDP_HEADER;
	if (be16_get(h + 6) == 0) /* none: allowed in IPv4 only, RFC 8200 8.1 */
		return out->src.addr.family == 4 ? 0 : ST_EDIGEST;
	return csum_ok || l4_sum_ok(out) ? 0 : ST_EDIGEST;
}

/* Nothing but an echo request is looked at any further. */
static int parse_icmp(struct ns_packet *out)
{
	const uint8_t *h = out->ip + out->l4;

	if (out->len - out->l4 < ICMP_HEADER)
		return ST_ESHORT;
	out->payload = out->l4 + ICMP_HEADER;
	out->echo_request = h[1] == 0 && h[0] == (out->proto == IPPROTO_ICMP ? ICMP4_ECHO_REQUEST
									     : ICMP6_ECHO_REQUEST);
	return !out->echo_request || l4_sum_ok(out) ? 0 : ST_EDIGEST;
}

int ns_packet_parse(struct ns_packet *out, const uint8_t *p, size_t len, bool csum_ok)
{
	int r;

	*out = (struct ns_packet){ .ip = p };
	if (len == 0)
		return ST_ESHORT;
	if (len > NS_PACKET_MAX)
		return ST_EFORMAT;
	switch (p[0] >> 4) {
	case 4: r = parse_ip4(out, len); break;
	case 6: r = parse_ip6(out, len); break;
	default: return ST_EFORMAT;
	}
	if (r < 0)
		return r;
	if (!src_is_possible(&out->src.addr) || !dst_is_possible(&out->dst.addr))
		return ST_EFORMAT;
	switch (out->proto) {
	case IPPROTO_TCP: return parse_tcp(out, csum_ok);
	case IPPROTO_UDP: return parse_udp(out, csum_ok);
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6: return parse_icmp(out);
	default: return ST_EUNSUPPORTED;
	}
}

/* --- answers */

static const struct {
	uint8_t code4, code6;
} unreachable[] = {
	[NS_UNREACH_HOST] = { 1, 3 },
	[NS_UNREACH_NET] = { 0, 0 },
	[NS_UNREACH_PROHIBITED] = { 13, 1 },
	[NS_UNREACH_PORT] = { 3, 4 },
};
_Static_assert(ARRAY_LEN(unreachable) == NS_UNREACH_N,
	       "unreachable[] and enum ns_unreachable differ");

static void sum_store(uint8_t *at, uint16_t sum)
{
	sum = (uint16_t)~sum;
	memcpy(at, &sum, sizeof(sum)); /* sums are in memory order */
}

/* An IP header before @l4_len bytes of @proto. @id: of IPv4, which may be fragmented on its way to another machine (forward); IPv6 is
 * not. Return: its length */
static size_t put_ip(uint8_t *out, const struct net_addr *from, const struct net_addr *to,
		     uint8_t proto, size_t l4_len, uint16_t id)
{
	if (from->family == 6) {
		memset(out, 0, IP6_HEADER);
		out[0] = 0x60;
		be16_put(out + 4, (uint16_t)l4_len);
		out[6] = proto;
		out[7] = HOP_LIMIT;
		memcpy(out + 8, from->b, 16);
		memcpy(out + 24, to->b, 16);
		return IP6_HEADER;
	}
	memset(out, 0, IP4_HEADER_MIN);
	out[0] = 0x45;
	be16_put(out + 2, (uint16_t)(IP4_HEADER_MIN + l4_len));
	be16_put(out + 4, id);
	out[8] = HOP_LIMIT;
	out[9] = proto;
	memcpy(out + 12, from->b, 4);
	memcpy(out + 16, to->b, 4);
	sum_store(out + 10, sum_of(out, IP4_HEADER_MIN));
	return IP4_HEADER_MIN;
}

/* The checksum of an ICMP message of @len bytes behind the IP header, whose field is 0. */
static void put_icmp_sum(uint8_t *ip, size_t header, uint8_t proto, size_t len)
{
	uint32_t pseudo = proto == IPPROTO_ICMP ? 0 : ns_packet_pseudo_sum(ip, proto, len);

	sum_store(ip + header + 2, fold(pseudo + sum_of(ip + header, len)));
}

static size_t put_unreachable(uint8_t *out, const struct ns_packet *in, uint8_t type, uint8_t code,
			      size_t max)
{
	const uint8_t proto = in->src.addr.family == 4 ? IPPROTO_ICMP : IPPROTO_ICMPV6;
	const size_t ip = in->src.addr.family == 4 ? IP4_HEADER_MIN : IP6_HEADER;
	size_t quoted = MIN(in->len, max - ip - ICMP_HEADER);
	uint8_t *icmp = out +
			put_ip(out, &in->dst.addr, &in->src.addr, proto, ICMP_HEADER + quoted, 0);

	memset(icmp, 0, ICMP_HEADER);
	icmp[0] = type;
	icmp[1] = code;
	memcpy(icmp + ICMP_HEADER, in->ip, quoted);
	put_icmp_sum(out, ip, proto, ICMP_HEADER + quoted);
	return ip + ICMP_HEADER + quoted;
}

size_t ns_packet_unreachable(uint8_t *out, size_t cap, const struct ns_packet *in,
			     enum ns_unreachable why)
{
	ST_ASSERT(cap >= NS_UNREACHABLE_MAX && why < NS_UNREACH_N);
	return in->src.addr.family == 4
		       ? put_unreachable(out, in, ICMP4_UNREACHABLE, unreachable[why].code4,
					 ICMP4_ANSWER_MAX)
		       : put_unreachable(out, in, ICMP6_UNREACHABLE, unreachable[why].code6,
					 NS_UNREACHABLE_MAX);
}

size_t ns_packet_echo_reply(uint8_t *out, const struct ns_packet *in, uint16_t id)
{
	const bool v6 = in->proto == IPPROTO_ICMPV6;
	size_t len = in->len - in->l4;
	size_t ip = put_ip(out, &in->dst.addr, &in->src.addr, in->proto, len, id);

	memcpy(out + ip, in->ip + in->l4, len);
	out[ip] = v6 ? ICMP6_ECHO_REPLY : ICMP4_ECHO_REPLY;
	memset(out + ip + 2, 0, 2);
	put_icmp_sum(out, ip, in->proto, len);
	return ip + len;
}

/* --- datagrams */

size_t ns_packet_udp_headers(uint8_t out[NS_UDP_HEADERS_MAX], const struct net_endpoint *from,
			     const struct net_endpoint *to, const uint8_t *p, size_t len,
			     uint16_t id, bool finish)
{
	size_t l4_len = UDP_HEADER + len;
	size_t ip = put_ip(out, &from->addr, &to->addr, IPPROTO_UDP, l4_len, id);
	uint16_t sum = ns_packet_pseudo_sum(out, IPPROTO_UDP, l4_len);
	uint8_t *h = out + ip;

	be16_put(h, from->port);
	be16_put(h + 2, to->port);
	be16_put(h + 4, (uint16_t)l4_len);
	memset(h + 6, 0, 2);
	if (finish) {
		sum = fold((uint32_t)sum + sum_of(h, UDP_HEADER) + sum_of(p, len));
		if (sum != 0xffffU) /* 0 would mean: none; RFC 768 */
			sum = (uint16_t)~sum;
	}
	memcpy(h + 6, &sum, sizeof(sum)); /* sums are in memory order */
	return ip + UDP_HEADER;
}
