// SPDX-License-Identifier: MIT
/* ns_internal.h - the stack's own structs and what its files ask of each other; only netstack/ includes it */
#ifndef NETSTACK_NS_INTERNAL_H
#define NETSTACK_NS_INTERNAL_H

#include <lwip/netif.h>
#include <lwip/priv/tcp_priv.h>
#include <lwip/tcp.h>

#include "base/buf.h"
#include "base/list.h"
#include "netstack/netstack.h"
#include "netstack/ns_packet.h"

#define NS_BUCKETS 8192U /* of the hash of flows: two for each of NS_FLOWS_MAX */
#define NS_SMALL_BUFFER_BYTES                                                                      \
	KIB(32) /* window and send buffer of a connection opened beside many; design, section 8 */
#define NS_MANY_FLOWS 256U
#define NS_UNREACHABLE_PER_SECOND 1000U /* ICMP answers to UDP, as net.ipv4.icmp_msgs_per_sec */

/* Events that wait for delivery to the owner; bits of ns_flow.events. */
enum {
	EV_ESTABLISHED = BIT(0),
	EV_READABLE = BIT(1),
	EV_WRITABLE = BIT(2),
	EV_FINISHED = BIT(3),
	EV_GONE = BIT(4),
};

/*
 * States of a flow:
 * HELD     its SYN is stored, lwIP knows nothing of it. Ends by ns_conn_accept(), _refuse(), _abort() or a RST.
 * OPENING  lwIP has sent SYN-ACK; pcb is set. Nothing can be read or written. Ends by the handshake's ACK, a RST or lwIP's
 *          time-out of 20 s.
 * UP       data flows, each direction closes by itself: fin_received and eof_read one way, fin_wanted and fin_sent the other.
 * OVER     both FINs are acknowledged; pcb is NULL, the flow is out of the hash. Lives until its owner has read the rest.
 * In any state but HELD and OVER a pcb of NULL says that lwIP has given up: EV_GONE waits for delivery.
 */
enum ns_flow_state { FLOW_HELD, FLOW_OPENING, FLOW_UP, FLOW_OVER, FLOW_STATE_N };

struct ns_flow {
	ns_conn id;
	struct ns_flow_key key;
	enum ns_flow_state state;
	void *owner;	     /* of the events; NULL until syn() has returned */
	struct tcp_pcb *pcb; /* lwIP's end; its callback_arg is our id */
	struct ns_flow *hash_next;
	struct list_node
		dirty; /* in ns.dirty: something may have to be sent at the end of the turn */
	struct list_node pending; /* in ns.pending: events wait */
	uint32_t events;	  /* EV_* */
	uint32_t limit_bytes;	  /* receive window and send buffer, each */
	bool fin_received, eof_read, fin_wanted, fin_sent;
	uint32_t
		fin_wait_ticks; /* of lwIP's clock, while the FIN waits for the application's window */
	struct buf rx;		/* received, unread; never beyond the window */
	size_t counted_bytes; /* of this flow in ns.buffered_bytes */
	uint32_t syn_seq;
	uint16_t syn_len;
	uint8_t syn[NS_TCP_HEADERS_MAX]; /* the held SYN without data that it may carry */
};

struct ns {
	struct ns_opts opts;
	struct netif netif;
	struct tcp_pcb_listen
		*listener; /* its local_port is set only while a SYN is given to lwIP */
	struct hnd_table flows;
	struct ns_flow *buckets[NS_BUCKETS];
	uint64_t hash_key[2];
	uint32_t held;
	size_t buffered_bytes;
	struct ns_stats stats; /* the counters of it */
	struct list dirty, pending;
	struct loop_task flush;
	struct loop_timer timer; /* armed while lwIP has a connection */
	uint64_t now_ms;
	unsigned int
		inside; /* calls into lwIP or the owner's syn(), udp() or echo() on the stack: no events now */
	bool delivering;
	uint32_t unreachable_tokens; /* answers to UDP left; one comes back each ms */
	uint64_t unreachable_at_ms;
	uint16_t next_id; /* IPv4's identification of what is not TCP */
};

/* ns.c */
/** ns_lwip_input() - one whole IP packet to lwIP, as if its destination @dst were ours; copied */
void ns_lwip_input(struct ns *ns, const uint8_t *packet, size_t len, const struct net_addr *dst);
/** ns_link_output() - one packet in parts, counted. Return: as the link's output */
int ns_link_output(struct ns *ns, const struct iovec *iov, int n, uint16_t csum_start,
		   uint16_t csum_offset);
/** ns_send_flat() - one whole packet out */
void ns_send_flat(struct ns *ns, const uint8_t *packet, size_t len);
void ns_addr_to_lwip(ip_addr_t *out, const struct net_addr *a);
/** ns_own_address_set() - the interface's address of that family; lwIP sends nothing from an interface without one */
void ns_own_address_set(struct ns *ns, const struct net_addr *a);
void ns_timer_arm(struct ns *ns);
/** ns_deliver() - the events that wait, unless lwIP or a delivery is on the stack */
void ns_deliver(struct ns *ns);

/* ns_answer.c */
/** ns_send_rst() - refuse the TCP packet @p; nothing for a RST */
void ns_send_rst(struct ns *ns, const struct ns_packet *p);
void ns_send_refusal(struct ns *ns, const struct ns_packet *p, enum ns_refusal why);
void ns_input_udp(struct ns *ns, const struct ns_packet *p);
void ns_input_icmp(struct ns *ns, const struct ns_packet *p);

/* ns_flow.c */
struct ns_flow *ns_flow_get(const struct ns *ns, ns_conn c);
void ns_flow_state_set(struct ns_flow *f, enum ns_flow_state to);
/** ns_flow_free() - without events; its pcb must be gone */
void ns_flow_free(struct ns *ns, struct ns_flow *f);
/** ns_flow_mark() - events for the owner, delivered as soon as it is safe */
void ns_flow_mark(struct ns *ns, struct ns_flow *f, uint32_t events);
/** ns_flow_touch() - to be flushed at the end of the turn */
void ns_flow_touch(struct ns *ns, struct ns_flow *f);
/** ns_flow_account() - brings ns.buffered_bytes up to date */
void ns_flow_account(struct ns *ns, struct ns_flow *f);
void ns_flow_input_tcp(struct ns *ns, const struct ns_packet *p);

/* ns_conn.c */
/** ns_conn_attach() - lwIP has made @pcb of a SYN of @f, and has sent nothing yet */
void ns_conn_attach(struct ns *ns, struct ns_flow *f, struct tcp_pcb *pcb);
/** ns_conn_detach() - forget the pcb; it makes no callbacks any more */
void ns_conn_detach(struct ns_flow *f);
/** ns_conn_flush() - send what is queued, then the FIN if it is its turn */
void ns_conn_flush(struct ns *ns, struct ns_flow *f);
/** ns_conn_tick() - what @f needs each TCP_TMR_INTERVAL, before lwIP's own timers run */
void ns_conn_tick(struct ns *ns, struct ns_flow *f);
/** ns_conn_settle() - after lwIP has worked on @f: has the connection ended? */
void ns_conn_settle(struct ns *ns, struct ns_flow *f);
err_t ns_conn_on_accept(void *arg, struct tcp_pcb *pcb, err_t err);
/** ns_conn_over() - both directions are closed in order */
void ns_conn_over(struct ns *ns, struct ns_flow *f);
void ns_flow_unhash(struct ns *ns, struct ns_flow *f);

/* The one instance: lwIP's callbacks have no other way to it. */
extern struct ns *ns_instance;

static inline void *ns_arg_of(const struct ns_flow *f)
{
	_Static_assert(sizeof(void *) >= sizeof(ns_conn), "a handle fits lwIP's callback_arg");
	return (void *)(uintptr_t)f->id;
}

static inline struct ns_flow *ns_flow_of_arg(void *arg)
{
	return ns_instance ? ns_flow_get(ns_instance, (ns_conn)(uintptr_t)arg) : NULL;
}

#endif
