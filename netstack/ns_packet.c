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

static bool l4_sum_ok(const struct ns_packet *p)
{
	size_t len = p->len - p->l4;

	return fold((uint32_t)ns_packet_pseudo_sum(p->ip, p->proto, len) +
		    sum_of(p->ip + p->l4, len)) == 0xffffU;
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

/* lwIP checks the checksum of what it answers. */
static int parse_icmp(struct ns_packet *out)
{
	const uint8_t *h = out->ip + out->l4;

	if (out->len - out->l4 < ICMP_HEADER)
		return ST_ESHORT;
	out->payload = out->l4 + ICMP_HEADER;
	out->echo_request = h[1] == 0 && h[0] == (out->proto == IPPROTO_ICMP ? ICMP4_ECHO_REQUEST
									     : ICMP6_ECHO_REQUEST);
	return 0;
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

static size_t unreachable4(uint8_t *out, const struct ns_packet *in, uint8_t code)
{
	size_t quoted = MIN(in->len, ICMP4_ANSWER_MAX - IP4_HEADER_MIN - ICMP_HEADER);
	size_t len = IP4_HEADER_MIN + ICMP_HEADER + quoted;
	uint8_t *icmp = out + IP4_HEADER_MIN;

	memset(out, 0, IP4_HEADER_MIN + ICMP_HEADER);
	out[0] = 0x45;
	be16_put(out + 2, (uint16_t)len);
	out[8] = HOP_LIMIT;
	out[9] = IPPROTO_ICMP;
	memcpy(out + 12, in->dst.addr.b, 4);
	memcpy(out + 16, in->src.addr.b, 4);
	sum_store(out + 10, sum_of(out, IP4_HEADER_MIN));
	icmp[0] = ICMP4_UNREACHABLE;
	icmp[1] = code;
	memcpy(icmp + ICMP_HEADER, in->ip, quoted);
	sum_store(icmp + 2, sum_of(icmp, ICMP_HEADER + quoted));
	return len;
}

static size_t unreachable6(uint8_t *out, const struct ns_packet *in, uint8_t code)
{
	size_t quoted = MIN(in->len, NS_UNREACHABLE_MAX - IP6_HEADER - ICMP_HEADER);
	size_t l4_len = ICMP_HEADER + quoted;
	uint8_t *icmp = out + IP6_HEADER;

	memset(out, 0, IP6_HEADER + ICMP_HEADER);
	out[0] = 0x60;
	be16_put(out + 4, (uint16_t)l4_len);
	out[6] = IPPROTO_ICMPV6;
	out[7] = HOP_LIMIT;
	memcpy(out + 8, in->dst.addr.b, 16);
	memcpy(out + 24, in->src.addr.b, 16);
	icmp[0] = ICMP6_UNREACHABLE;
	icmp[1] = code;
	memcpy(icmp + ICMP_HEADER, in->ip, quoted);
	sum_store(icmp + 2, fold((uint32_t)ns_packet_pseudo_sum(out, IPPROTO_ICMPV6, l4_len) +
				 sum_of(icmp, l4_len)));
	return IP6_HEADER + l4_len;
}

size_t ns_packet_unreachable(uint8_t *out, size_t cap, const struct ns_packet *in,
			     enum ns_unreachable why)
{
	ST_ASSERT(cap >= NS_UNREACHABLE_MAX && why < NS_UNREACH_N);
	return in->src.addr.family == 4 ? unreachable4(out, in, unreachable[why].code4)
					: unreachable6(out, in, unreachable[why].code6);
}
