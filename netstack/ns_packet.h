// SPDX-License-Identifier: MIT
/* ns_packet.h - reading IP packets strictly, and making the ICMP answers that quote them */
#ifndef NETSTACK_NS_PACKET_H
#define NETSTACK_NS_PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"

#define NS_PACKET_MAX 65535U	/* bytes; also what lwIP's 16-bit lengths hold */
#define NS_TCP_HEADERS_MAX 120U /* IPv4 header and TCP header, 60 each with all options */
#define NS_UNREACHABLE_MAX                                                                         \
	1280U /* bytes of an answer of ns_packet_unreachable(): IPv6's least MTU */

#define NS_UDP_HEADERS_MAX 48U /* IPv6 header and UDP header */
/* Bytes of a datagram that fit into a packet: NS_PACKET_MAX less the headers */
#define NS_UDP4_MAX 65507U
#define NS_UDP6_MAX 65487U

/* Bits of the TCP header's flags; RFC 9293, 3.1 */
#define NS_TCP_FIN 0x01U
#define NS_TCP_SYN 0x02U
#define NS_TCP_RST 0x04U
#define NS_TCP_ACK 0x10U

/* A packet that passed ns_packet_parse(). */
struct ns_packet {
	const uint8_t *ip; /* borrowed; lives as long as the bytes given to ns_packet_parse() */
	size_t len;	   /* bytes by the IP header; what came behind them is ignored */
	size_t l4;	   /* offset of the TCP, UDP or ICMP header */
	size_t payload;	   /* offset of the data behind that header */
	uint8_t proto;	   /* IPPROTO_TCP, _UDP, _ICMP, _ICMPV6 */
	struct net_endpoint src, dst; /* ports: 0 in ICMP, never 0 else */
	uint32_t seq, ack;	      /* TCP only */
	uint8_t tcp_flags;
	bool echo_request; /* ICMP only */
};

/* Why a packet is answered as unreachable; columns of a table in ns_packet.c. */
enum ns_unreachable {
	NS_UNREACH_HOST,
	NS_UNREACH_NET,
	NS_UNREACH_PROHIBITED,
	NS_UNREACH_PORT,
	NS_UNREACH_N
};

/**
 * ns_packet_parse() - check @p of @len bytes down to the transport header
 * @csum_ok: the checksum of TCP or UDP needs no check (and may be unfinished); IPv4's own and an echo request's are always checked
 * Return: 0; ST_ESHORT; ST_EFORMAT (lengths that disagree, TCP options cut short, impossible flags, port 0, addresses that no connection can
 * have: a source that is loopback, link-local, multicast or 0; a destination that is loopback, multicast, broadcast, 0 or
 * IPv4-mapped); ST_EDIGEST; ST_EUNSUPPORTED (a fragment, an IPv6 extension header, another protocol).
 * *@out is valid only after 0.
 */
int ns_packet_parse(struct ns_packet *out, const uint8_t *p, size_t len, bool csum_ok);

/**
 * ns_packet_unreachable() - the ICMP or ICMPv6 answer to @in, from its destination to its source
 * @out: @cap bytes, at least NS_UNREACHABLE_MAX. Return: bytes written
 * Codes: RFC 792 and RFC 1812 5.2.7.1; RFC 4443 3.1. Linux maps them for connect(): IPv4 host 1 and prohibited 13 to
 * EHOSTUNREACH, net 0 to ENETUNREACH; IPv6 address 3 to EHOSTUNREACH, no route 0 to ENETUNREACH, prohibited 1 to EACCES.
 */
size_t ns_packet_unreachable(uint8_t *out, size_t cap, const struct ns_packet *in,
			     enum ns_unreachable why);

/** ns_packet_udp_headers() - the IP and UDP headers of a datagram of @len bytes at @p, which fit (NS_UDP4_MAX, NS_UDP6_MAX); one family
 * @id: IPv4's identification
 * @finish: the checksum is complete; else its field holds the pseudo header's sum, at 6 bytes behind the UDP header's start
 * Return: bytes of both headers; the UDP header is the last 8 */
size_t ns_packet_udp_headers(uint8_t out[NS_UDP_HEADERS_MAX], const struct net_endpoint *from,
			     const struct net_endpoint *to, const uint8_t *p, size_t len,
			     uint16_t id, bool finish);

/** ns_packet_echo_reply() - the answer to the echo request @in into @out of NS_PACKET_MAX bytes. Return: bytes written */
size_t ns_packet_echo_reply(uint8_t *out, const struct ns_packet *in, uint16_t id);

/** ns_packet_pseudo_sum() - the folded sum of the pseudo header of @proto and @l4_len bytes, in memory order and not
 * inverted: what a TCP checksum field holds when the link finishes it. @ip: an IPv4 or IPv6 header */
uint16_t ns_packet_pseudo_sum(const uint8_t *ip, uint8_t proto, size_t l4_len);

#endif
