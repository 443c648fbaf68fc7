// SPDX-License-Identifier: MIT
/*
 * netstack.h - lwIP behind our own types: TCP for any address and port by holding the SYN
 *
 * Packets in by ns_input(), packets out by the link callback. A SYN for any destination becomes a held connection: the owner
 * accepts it when the far side has connected, or refuses it with a reason that the application sees as on a LAN
 * (design, section 3 and decision 3). No lwIP type crosses this header. One instance per process (lwIP has global state).
 */
#ifndef NETSTACK_NETSTACK_H
#define NETSTACK_NETSTACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/addr.h"
#include "base/handle.h"
#include "base/loop.h"

#define NS_FLOWS_MAX 4096U /* then RST */
/* receive window and send buffer of a connection, each; 32 KiB if it came beside 256 others */
#define NS_BUFFER_BYTES KIB(128)
#define NS_MTU 65535U

struct ns;
/* Stale handles are harmless: sizes are 0, calls do nothing or return ST_ECLOSED. */
typedef handle ns_conn;

/* How a held connection is refused, or why nothing is carried. */
enum ns_refusal {
	NS_REFUSE_RST, /* nobody listens there */
	NS_REFUSE_HOST_UNREACHABLE,
	NS_REFUSE_NET_UNREACHABLE,
	NS_REFUSE_PROHIBITED, /* ICMP administratively prohibited */
	NS_REFUSE_DROP,	      /* silence */
};

struct ns_flow_key {
	struct net_endpoint src; /* the application's end */
	struct net_endpoint dst;
};

/* Called from ns_input(), the stack's timer or the end of a turn, never from inside an ns_conn_ call, but for syn(), udp() and
 * echo(), which only ns_input() calls. Each may call any function below, ns_conn_abort() of the same connection included, but ns_free(). */
struct ns_events {
	/* a new connection is held; ns_conn_accept() or ns_conn_refuse() it, now or later. Repeated SYNs are swallowed meanwhile.
	 * Return: its owner's arg for the events below; NULL: refused with RST by us at once (a limit) */
	void *(*syn)(void *arg, ns_conn c, const struct ns_flow_key *key);
	/* the application gave up while held or before the handshake ended, or sent RST, or the connection timed out: the last event.
	 * Not called after ns_conn_refuse() or ns_conn_abort(), nor once both directions were closed in order */
	void (*gone)(void *conn_arg, ns_conn c);
	/* the handshake is complete: data may flow */
	void (*established)(void *conn_arg, ns_conn c);
	/* bytes or the application's FIN wait for ns_conn_read(); comes with each arrival, not again for what was left unread */
	void (*readable)(void *conn_arg, ns_conn c);
	/* ns_conn_room() has grown to at least a quarter of the buffer; comes with each acknowledgement that leaves it so */
	void (*writable)(void *conn_arg, ns_conn c);
	/* both FINs are acknowledged and ns_conn_read() has returned 0: the connection is over in order; the last event. Until
	 * that 0 was returned the handle stays good, so nothing received is lost */
	void (*finished)(void *conn_arg, ns_conn c);
	/* a UDP datagram, to any address and port but multicast and broadcast, its checksum good; only from inside ns_input(). Return: true: it was taken, silence or ns_udp_send()
	 * answers; false: ICMP port unreachable. NULL: always so */
	bool (*udp)(void *arg, const struct ns_flow_key *key, const uint8_t *p, size_t len);
	/* an echo request to an address that is not the stack's; @packet may be kept as a copy for ns_echo_reply() or
	 * ns_refuse_packet(). NULL: dropped */
	void (*echo)(void *arg, const struct net_addr *src, const struct net_addr *dst,
		     const uint8_t *packet, size_t len);
};

struct ns_link {
	/* one packet out; @csum_start and @csum_offset as tun_writev(). Return: 0 or a negative ST_E* (the packet is lost, TCP repeats it) */
	int (*output)(void *arg, const struct iovec *iov, int n, uint16_t csum_start,
		      uint16_t csum_offset);
	void *arg;
	bool csum_offload; /* the link finishes TCP checksums and vouches for received ones */
};

struct ns_opts {
	struct loop *loop;
	struct ns_link link;
	struct net_addr stack4,
		stack6;	    /* the stack's own addresses (answer ping); family 0: none */
	uint32_t flows_max; /* 0: NS_FLOWS_MAX */
	const struct ns_events *events; /* borrowed for life */
	void *arg;
};

/** ns_new() - Return: 0; ST_EEXIST for a second one in the process; ST_ENOMEM */
int ns_new(struct ns **out, const struct ns_opts *opts);
void ns_free(struct ns *ns); /* resets what is open, without events */

/** ns_input() - one IP packet; @csum_ok: its TCP checksum needs no check. Malformed ones, fragments and what is not TCP, UDP or
 * ICMP are dropped. UDP that udp() does not take gets ICMP port unreachable at once, 1,000 a second at most. */
void ns_input(struct ns *ns, const uint8_t *packet, size_t len, bool csum_ok, uint64_t now_ms);

/** ns_refuse_packet() - answer the raw packet @packet as a refusal (for packets that have no connection) */
void ns_refuse_packet(struct ns *ns, const uint8_t *packet, size_t len, enum ns_refusal why);

/** ns_udp_send() - one datagram, as if from @from. Return: 0; ST_EINVAL (families differ or are none, more than 65,507 bytes in IPv4 or 65,487 in
 * IPv6: there are no fragments); as the link's output */
int ns_udp_send(struct ns *ns, const struct net_endpoint *from, const struct net_endpoint *to,
		const uint8_t *p, size_t len);
/** ns_echo_reply() - answer the echo request @packet, a raw packet as echo() got it, in the name of its destination; anything else does nothing */
void ns_echo_reply(struct ns *ns, const uint8_t *packet, size_t len);

void ns_conn_accept(struct ns *ns, ns_conn c); /* SYN-ACK now */
void ns_conn_refuse(struct ns *ns, ns_conn c,
		    enum ns_refusal why); /* the handle is stale afterwards */

/** ns_conn_read() - move up to @cap received bytes to @buf; the window opens by what was moved
 * Return: bytes; 0 for end of file (the application's FIN, all before it was read); ST_EAGAIN nothing now; ST_ECLOSED stale */
ssize_t ns_conn_read(struct ns *ns, ns_conn c, uint8_t *buf, size_t cap);
/** ns_conn_readable() - bytes that wait */
size_t ns_conn_readable(struct ns *ns, ns_conn c);
/** ns_conn_room() - bytes that ns_conn_write() will surely take now */
size_t ns_conn_room(struct ns *ns, ns_conn c);
/** ns_conn_write() - all of @len (at most ns_conn_room()); copied. Sent at the end of the turn.
 * More than ns_conn_room() is a bug and aborts. Return: 0; ST_ECLOSED (stale, not yet established, or after ns_conn_shutdown());
 * ST_ENOMEM (the connection was reset: the handle is stale, no event follows) */
int ns_conn_write(struct ns *ns, ns_conn c, const uint8_t *p, size_t len);
/** ns_conn_shutdown() - FIN after what is queued, and after the handshake; reading goes on. Goes out at the end of the turn, or
 * when the application's window has room for what is queued */
void ns_conn_shutdown(struct ns *ns, ns_conn c);
/** ns_conn_abort() - RST at once; the handle is stale afterwards */
void ns_conn_abort(struct ns *ns, ns_conn c);

struct ns_stats {
	uint32_t flows, held;
	uint64_t packets_in, packets_out, dropped_in, output_errors, syns, resets;
	size_t buffered_bytes; /* received and unread plus written and unacknowledged */
};
void ns_stats(const struct ns *ns, struct ns_stats *out);

#endif
