// SPDX-License-Identifier: MIT
/*
 * ns_answer.c - what has no connection: RST, ICMP unreachable, echoes, datagrams
 *
 * Theory of operation: an application must see what it would see on a LAN. lwIP makes the RSTs and the echoes of the stack's own address; the
 * unreachable messages, the datagrams and the echoes in the name of others are ours (ns_packet.c), since lwIP would send them from its own
 * idea of addresses.
 *
 * What the owner does not take of UDP is answered at a bounded rate: it is the only answer that costs a sender nothing to cause. The
 * bound is the kernel's global one (net.ipv4.icmp_msgs_per_sec). The kernel's second one, a few answers a second to each peer
 * (icmp_ratelimit), would do harm here: our peers are the programs of this machine, all of them one address, and each attempt at
 * QUIC must hear at once that it has to fall back to TCP.
 */
#include "netstack/netstack.h"

#include <netinet/in.h>

#include "base/err.h"
#include "netstack/ns_internal.h"

#define UDP_HEADER_LEN 8U
#define UDP_CSUM_OFFSET 6U /* of the checksum field in the UDP header */

void ns_send_rst(struct ns *ns, const struct ns_packet *p)
{
	ip_addr_t local, remote;
	uint32_t seq = p->tcp_flags & NS_TCP_ACK ? p->ack : 0;
	uint32_t ack = p->seq + (uint32_t)(p->len - p->payload);

	if (p->tcp_flags & NS_TCP_RST)
		return;
	if (p->tcp_flags & (NS_TCP_SYN | NS_TCP_FIN))
		ack++;
	ns_addr_to_lwip(&local, &p->dst.addr);
	ns_addr_to_lwip(&remote, &p->src.addr);
	ns_own_address_set(ns, &p->dst.addr); /* lwIP wants some address on the interface */
	tcp_rst_netif(&ns->netif, seq, ack, &local, &remote, p->dst.port, p->src.port);
	ns->stats.resets++;
}

void ns_send_refusal(struct ns *ns, const struct ns_packet *p, enum ns_refusal why)
{
	static const enum ns_unreachable answers[] = {
		[NS_REFUSE_HOST_UNREACHABLE] = NS_UNREACH_HOST,
		[NS_REFUSE_NET_UNREACHABLE] = NS_UNREACH_NET,
		[NS_REFUSE_PROHIBITED] = NS_UNREACH_PROHIBITED,
	};
	uint8_t out[NS_UNREACHABLE_MAX];

	if (why == NS_REFUSE_DROP)
		return;
	if (why == NS_REFUSE_RST) {
		if (p->proto == IPPROTO_TCP)
			ns_send_rst(ns, p);
		return;
	}
	ns_send_flat(ns, out, ns_packet_unreachable(out, sizeof(out), p, answers[why]));
}

static bool take_unreachable_token(struct ns *ns)
{
	uint64_t past_ms = ns->now_ms - MIN(ns->unreachable_at_ms, ns->now_ms);
	uint64_t tokens = ns->unreachable_tokens + past_ms * NS_UNREACHABLE_PER_SECOND / 1000U;

	ns->unreachable_at_ms = ns->now_ms;
	ns->unreachable_tokens = (uint32_t)MIN(tokens, (uint64_t)NS_UNREACHABLE_PER_SECOND);
	if (ns->unreachable_tokens == 0)
		return false;
	ns->unreachable_tokens--;
	return true;
}

static bool owner_takes(struct ns *ns, const struct ns_packet *p)
{
	const struct ns_flow_key key = { .src = p->src, .dst = p->dst };
	bool taken;

	if (!ns->opts.events->udp)
		return false;
	ns->inside++;
	taken = ns->opts.events->udp(ns->opts.arg, &key, p->ip + p->payload, p->len - p->payload);
	ns->inside--;
	return taken;
}

void ns_input_udp(struct ns *ns, const struct ns_packet *p)
{
	uint8_t out[NS_UNREACHABLE_MAX];

	if (owner_takes(ns, p))
		return;
	if (!take_unreachable_token(ns)) {
		ns->stats.dropped_in++;
		return;
	}
	ns_send_flat(ns, out, ns_packet_unreachable(out, sizeof(out), p, NS_UNREACH_PORT));
}

int ns_udp_send(struct ns *ns, const struct net_endpoint *from, const struct net_endpoint *to,
		const uint8_t *p, size_t len)
{
	const bool offload = ns->opts.link.csum_offload;
	uint8_t headers[NS_UDP_HEADERS_MAX];
	struct iovec iov[2];
	size_t n;

	if (from->addr.family != to->addr.family ||
	    (from->addr.family != 4 && from->addr.family != 6) ||
	    len > (from->addr.family == 4 ? NS_UDP4_MAX : NS_UDP6_MAX))
		return ST_EINVAL;
	n = ns_packet_udp_headers(headers, from, to, p, len, ns->next_id++, !offload);
	iov[0] = (struct iovec){ .iov_base = headers, .iov_len = n };
	iov[1] = (struct iovec){ .iov_base = (void *)p, .iov_len = len }; /* is only read */
	return ns_link_output(ns, iov, len > 0 ? 2 : 1,
			      offload ? (uint16_t)(n - UDP_HEADER_LEN) : 0,
			      offload ? UDP_CSUM_OFFSET : 0);
}

/* An echo of another address would say that a host is up that may not be: its owner knows. */
void ns_input_icmp(struct ns *ns, const struct ns_packet *p)
{
	const struct net_addr *own = p->src.addr.family == 4 ? &ns->opts.stack4 : &ns->opts.stack6;

	if (p->echo_request && net_addr_eq(&p->dst.addr, own)) {
		ns_lwip_input(ns, p->ip, p->len, &p->dst.addr);
	} else if (p->echo_request && ns->opts.events->echo) {
		ns->inside++;
		ns->opts.events->echo(ns->opts.arg, &p->src.addr, &p->dst.addr, p->ip, p->len);
		ns->inside--;
	} else {
		ns->stats.dropped_in++;
	}
}

void ns_echo_reply(struct ns *ns, const uint8_t *packet, size_t len)
{
	static uint8_t out[NS_PACKET_MAX];
	struct ns_packet p;

	if (ns_packet_parse(&p, packet, len, true) == 0 && p.echo_request)
		ns_send_flat(ns, out, ns_packet_echo_reply(out, &p, ns->next_id++));
}

void ns_refuse_packet(struct ns *ns, const uint8_t *packet, size_t len, enum ns_refusal why)
{
	struct ns_packet p;

	if (ns_packet_parse(&p, packet, len, true) < 0)
		return;
	/* No error answers an error: RFC 1122, 3.2.2; RFC 4443, 2.4(e) */
	if ((p.proto == IPPROTO_ICMP || p.proto == IPPROTO_ICMPV6) && !p.echo_request)
		return;
	ns_send_refusal(ns, &p, why);
}
