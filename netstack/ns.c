// SPDX-License-Identifier: MIT
/*
 * ns.c - the stack itself: lwIP's interface to the link, its clock, and when the owner hears of events
 *
 * Theory of operation: lwIP is used as a TCP engine only. It has one interface, and just before a packet is given to it
 * that interface's address becomes the packet's destination, so every address is "ours" (ns_lwip_input()). netif_set_addr()
 * would abort the connections of the former address, so the field is written.
 *
 * Nothing of the owner's runs inside lwIP. lwIP's callbacks only store data and mark events (ns_conn.c); ns_deliver() calls
 * the owner when lwIP has returned, so the owner may call anything, an abort of the same connection included, and ERR_ABRT
 * never arises. What the owner writes is sent once at the end of the turn, from the flush task.
 *
 * tcp_tmr() runs each 250 ms only while lwIP has a connection, one in TIME_WAIT included: an idle process makes no wake-ups.
 * A late timer (a suspended laptop) is one tick, not many: no connection times out for a sleep.
 */
#include "netstack/netstack.h"

#include <stdlib.h>
#include <string.h>
#include <netinet/in.h>

#include <lwip/init.h>
#include <lwip/ip.h>

#include "base/codec.h"
#include "base/err.h"
#include "base/log.h"
#include "netstack/ns_internal.h"

#define IOV_MAX_SEGMENT 96U /* pbufs of one segment; longer chains are copied together */
#define TCP_CSUM_OFFSET 16U /* of the checksum field in the TCP header */

struct ns *ns_instance;
static u8_t
	accept_hook; /* lwIP's index of our passive_open callback; one for the life of the process */

/* --- output */

int ns_link_output(struct ns *ns, const struct iovec *iov, int n, uint16_t csum_start,
		   uint16_t csum_offset)
{
	int r = ns->opts.link.output(ns->opts.link.arg, iov, n, csum_start, csum_offset);

	ns->stats.packets_out++;
	if (r < 0)
		ns->stats.output_errors++;
	return r;
}

void ns_send_flat(struct ns *ns, const uint8_t *packet, size_t len)
{
	struct iovec iov = { .iov_base = (void *)packet, .iov_len = len }; /* is only read */

	ns_link_output(ns, &iov, 1, 0, 0);
}

/* The TCP checksum field gets the pseudo header's sum; the link does the rest. lwIP's headers lie in the first pbuf.
 * Return: offset of the TCP header; 0 if the packet is not TCP */
static uint16_t prepare_offload(struct pbuf *p)
{
	uint8_t *ip = p->payload;
	bool v6 = ip[0] >> 4 == 6;
	uint16_t l4 = v6 ? 40U : (uint16_t)((ip[0] & 0x0fU) * 4U);
	uint16_t sum;

	if ((v6 ? ip[6] : ip[9]) != IPPROTO_TCP)
		return 0;
	ST_ASSERT(p->len >= l4 + TCP_CSUM_OFFSET + sizeof(sum));
	sum = ns_packet_pseudo_sum(ip, IPPROTO_TCP, (size_t)p->tot_len - l4);
	memcpy(ip + l4 + TCP_CSUM_OFFSET, &sum, sizeof(sum));
	return l4;
}

/* A lost packet is repeated by TCP: lwIP is told that all went well, or it would wait for an event that never comes. */
static err_t netif_send(struct netif *netif, struct pbuf *p)
{
	struct ns *ns = netif->state;
	uint16_t csum_start = ns->opts.link.csum_offload ? prepare_offload(p) : 0;
	struct iovec iov[IOV_MAX_SEGMENT];
	static uint8_t flat[NS_PACKET_MAX];
	size_t n = 0;

	for (struct pbuf *q = p; q; q = q->next) {
		if (n == IOV_MAX_SEGMENT) {
			pbuf_copy_partial(p, flat, p->tot_len, 0);
			iov[0] = (struct iovec){ .iov_base = flat, .iov_len = p->tot_len };
			n = 1;
			break;
		}
		iov[n++] = (struct iovec){ .iov_base = q->payload, .iov_len = q->len };
	}
	ns_link_output(ns, iov, (int)n, csum_start, csum_start ? TCP_CSUM_OFFSET : 0);
	return ERR_OK;
}

static err_t netif_output4(struct netif *netif, struct pbuf *p, const ip4_addr_t *to)
{
	(void)to;
	return netif_send(netif, p);
}

static err_t netif_output6(struct netif *netif, struct pbuf *p, const ip6_addr_t *to)
{
	(void)to;
	return netif_send(netif, p);
}

static err_t netif_setup(struct netif *netif)
{
	const struct ns *ns = netif->state;
	u16_t checks = NETIF_CHECKSUM_GEN_IP | NETIF_CHECKSUM_GEN_ICMP | NETIF_CHECKSUM_GEN_ICMP6 |
		       NETIF_CHECKSUM_CHECK_ICMP | NETIF_CHECKSUM_CHECK_ICMP6;

	if (!ns->opts.link.csum_offload)
		checks |= NETIF_CHECKSUM_GEN_TCP;
	NETIF_SET_CHECKSUM_CTRL(netif, checks);
	netif->name[0] = 's';
	netif->name[1] = 't';
	netif->mtu = NS_MTU;
	netif->output = netif_output4;
	netif->output_ip6 = netif_output6;
	netif->flags = NETIF_FLAG_UP |
		       NETIF_FLAG_LINK_UP; /* no BROADCAST: every address is a host's */
	return ERR_OK;
}

/* --- input */

void ns_addr_to_lwip(ip_addr_t *out, const struct net_addr *a)
{
	memset(out, 0, sizeof(*out));
	if (a->family == 4) {
		memcpy(&ip_2_ip4(out)->addr, a->b, 4);
		IP_SET_TYPE_VAL(*out, IPADDR_TYPE_V4);
	} else {
		memcpy(ip_2_ip6(out)->addr, a->b, 16);
		IP_SET_TYPE_VAL(*out, IPADDR_TYPE_V6);
	}
}

void ns_own_address_set(struct ns *ns, const struct net_addr *a)
{
	ip_addr_t own;

	ns_addr_to_lwip(&own, a);
	if (a->family == 4) {
		ip_addr_copy(ns->netif.ip_addr, own);
		return;
	}
	ip_addr_copy(ns->netif.ip6_addr[1],
		     own); /* [0] is the link-local one by lwIP's convention */
	ns->netif.ip6_addr_state[1] = IP6_ADDR_PREFERRED;
}

void ns_lwip_input(struct ns *ns, const uint8_t *packet, size_t len, const struct net_addr *dst)
{
	struct pbuf *p = pbuf_alloc(PBUF_RAW, (u16_t)len, PBUF_RAM);

	if (!p) {
		ns->stats.dropped_in++;
		return;
	}
	memcpy(p->payload, packet, len);
	ns_own_address_set(ns, dst);
	ns->inside++;
	if (ns->netif.input(p, &ns->netif) != ERR_OK)
		pbuf_free(p);
	ns->inside--;
}

void ns_input(struct ns *ns, const uint8_t *packet, size_t len, bool csum_ok, uint64_t now_ms)
{
	struct ns_packet p;

	ns->now_ms = now_ms;
	ns->stats.packets_in++;
	if (ns_packet_parse(&p, packet, len, csum_ok) < 0) {
		ns->stats.dropped_in++;
		return;
	}
	switch (p.proto) {
	case IPPROTO_TCP: ns_flow_input_tcp(ns, &p); break;
	case IPPROTO_UDP: ns_input_udp(ns, &p); break;
	default: ns_input_icmp(ns, &p); break;
	}
	ns_deliver(ns);
}

/* --- events, flushing, time */

static void deliver_flow(struct ns *ns, struct ns_flow *f)
{
	const struct ns_events *to = ns->opts.events;
	uint32_t events = f->events;
	void *owner = f->owner;
	ns_conn id = f->id;

	f->events = 0;
	if (events & EV_GONE) {
		ns_flow_free(ns, f);
		to->gone(owner, id);
		return;
	}
	if (events & EV_ESTABLISHED)
		to->established(owner, id);
	if ((events & EV_READABLE) && ns_flow_get(ns, id))
		to->readable(owner, id);
	if ((events & EV_WRITABLE) && (f = ns_flow_get(ns, id)) &&
	    ns_conn_room(ns, id) >= f->limit_bytes / 4)
		to->writable(owner, id);
	if ((events & EV_FINISHED) && (f = ns_flow_get(ns, id))) {
		ns_flow_free(ns, f);
		to->finished(owner, id);
	}
}

void ns_deliver(struct ns *ns)
{
	struct list_node *n;

	if (ns->inside || ns->delivering)
		return;
	ns->delivering = true;
	while ((n = list_pop_front(&ns->pending)))
		deliver_flow(ns, container_of(n, struct ns_flow, pending));
	ns->delivering = false;
}

static void flush(void *arg, uint64_t now_ms)
{
	struct ns *ns = arg;
	struct list_node *n;

	ns->now_ms = now_ms;
	while ((n = list_pop_front(&ns->dirty)))
		ns_conn_flush(ns, container_of(n, struct ns_flow, dirty));
	ns_deliver(ns);
	ns_timer_arm(ns);
}

static void tick(void *arg, uint64_t now_ms)
{
	struct ns *ns = arg;
	struct ns_flow *f;
	uint32_t pos = 0;

	ns->now_ms = now_ms;
	ns->inside++;
	while ((f = hnd_next(&ns->flows, &pos)))
		ns_conn_tick(ns, f);
	tcp_tmr();
	ns->inside--;
	ns_deliver(ns);
	ns_timer_arm(ns);
}

void ns_timer_arm(struct ns *ns)
{
	if ((!tcp_active_pcbs && !tcp_tw_pcbs) || loop_timer_armed(&ns->timer))
		return;
	if (loop_timer_set(ns->opts.loop, &ns->timer,
			   loop_now_ms(ns->opts.loop) + TCP_TMR_INTERVAL) < 0)
		log_warn("netstack: no memory for a timer; TCP repeats nothing until the next "
			 "packet");
}

/* --- life */

static err_t passive_open(u8_t id, struct tcp_pcb_listen *listener, struct tcp_pcb *pcb)
{
	struct ns_flow *f = ns_flow_of_arg(pcb->callback_arg);

	(void)id;
	(void)listener;
	if (!f)
		return ERR_VAL;
	ns_conn_attach(ns_instance, f, pcb);
	return ERR_OK;
}

static void init_lwip_once(void)
{
	static bool done;

	if (done)
		return;
	done = true;
	lwip_init();
	accept_hook = tcp_ext_arg_alloc_id();
}

/* One listener for all ports: its port is 0, which ns_packet_parse() lets nobody reach, but for the moment in which an
 * accepted SYN is given to lwIP (ns_flow.c). */
static struct tcp_pcb_listen *listener_new(void)
{
	static const struct tcp_ext_arg_callbacks callbacks = { .passive_open = passive_open };
	struct tcp_pcb *bound = tcp_new_ip_type(IPADDR_TYPE_ANY), *listener;

	if (!bound)
		return NULL;
	tcp_ext_arg_set_callbacks(bound, accept_hook, &callbacks);
	if (tcp_bind(bound, IP_ANY_TYPE, 1) != ERR_OK || !(listener = tcp_listen(bound))) {
		tcp_abort(bound);
		return NULL;
	}
	tcp_accept(listener, ns_conn_on_accept);
	listener->local_port = 0;
	return (struct tcp_pcb_listen *)(void *)listener;
}

int ns_new(struct ns **out, const struct ns_opts *opts)
{
	static const struct net_addr some4 = { .family = 4, .b = { 198, 18, 0, 2 } };
	struct ns *ns;

	if (ns_instance)
		return ST_EEXIST;
	if (!(ns = calloc(1, sizeof(*ns))))
		return ST_ENOMEM;
	ns->opts = *opts;
	if (ns->opts.flows_max == 0)
		ns->opts.flows_max = NS_FLOWS_MAX;
	hnd_init(&ns->flows, ns->opts.flows_max);
	codec_random(ns->hash_key, sizeof(ns->hash_key));
	codec_random(&ns->next_id, sizeof(ns->next_id));
	list_init(&ns->dirty);
	list_init(&ns->pending);
	loop_task_init(&ns->flush, LOOP_FLUSH, flush, ns);
	loop_timer_init(&ns->timer, tick, ns);
	ns->unreachable_tokens = NS_UNREACHABLE_PER_SECOND;

	init_lwip_once();
	if (!(ns->listener = listener_new()))
		goto fail;
	netif_add_noaddr(&ns->netif, ns, netif_setup, ip_input);
	netif_set_default(&ns->netif);
	ns_own_address_set(ns,
			   &some4); /* lwIP sends nothing from an interface without an address */
	ns_instance = ns;
	*out = ns;
	return 0;
fail:
	hnd_fini(&ns->flows);
	free(ns);
	return ST_ENOMEM;
}

void ns_free(struct ns *ns)
{
	struct ns_flow *f;
	uint32_t pos = 0;

	if (!ns)
		return;
	ns->delivering = true; /* no event from here on */
	while ((f = hnd_next(&ns->flows, &pos)))
		ns_conn_abort(ns, f->id);
	while (tcp_tw_pcbs)
		tcp_abort(tcp_tw_pcbs);
	loop_task_cancel(&ns->flush);
	loop_timer_cancel(ns->opts.loop, &ns->timer);
	tcp_close((struct tcp_pcb *)(void *)ns->listener);
	netif_remove(&ns->netif);
	ns_instance = NULL;
	hnd_fini(&ns->flows);
	free(ns);
}

void ns_stats(const struct ns *ns, struct ns_stats *out)
{
	*out = ns->stats;
	out->flows = ns->flows.used;
	out->held = ns->held;
	out->buffered_bytes = ns->buffered_bytes;
}
