// SPDX-License-Identifier: MIT
/*
 * ns_answer.c - what a packet hears that opens no connection: RST, ICMP unreachable, an echo
 *
 * Theory of operation: an application must see what it would see on a LAN. lwIP makes the RSTs and the echoes; the
 * unreachable messages are ours (ns_packet.c), since lwIP would send them from its own idea of the packet. UDP is answered at
 * a bounded rate: it is the only answer that costs a sender nothing to cause.
 */
#include "netstack/netstack.h"

#include <netinet/in.h>

#include "netstack/ns_internal.h"

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

void ns_input_udp(struct ns *ns, const struct ns_packet *p)
{
	uint8_t out[NS_UNREACHABLE_MAX];

	if (!take_unreachable_token(ns)) {
		ns->stats.dropped_in++;
		return;
	}
	ns_send_flat(ns, out, ns_packet_unreachable(out, sizeof(out), p, NS_UNREACH_PORT));
}

/* An echo of another address would say that a host is up that may not be. */
void ns_input_icmp(struct ns *ns, const struct ns_packet *p)
{
	const struct net_addr *own = p->src.addr.family == 4 ? &ns->opts.stack4 : &ns->opts.stack6;

	if (p->echo_request && net_addr_eq(&p->dst.addr, own))
		ns_lwip_input(ns, p->ip, p->len, &p->dst.addr);
	else
		ns->stats.dropped_in++;
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
