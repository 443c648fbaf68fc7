// SPDX-License-Identifier: MIT
/*
 * ns_flow.c - the table of flows, and what becomes of a TCP packet
 *
 * Theory of operation: lwIP never decides whether a connection may open. A SYN of an unknown 4-tuple makes a flow in state
 * HELD that stores the SYN's headers; the owner says when lwIP gets it (accept) or what the application hears instead. Our
 * hash, keyed with random bits, knows every connection of lwIP's but those in TIME_WAIT, so lwIP's linear lists can be
 * hidden from it where they hold nothing of interest: a held SYN is given to empty lists, which makes new connections cheap
 * beside thousands and lets a SYN reuse the 4-tuple of a connection in TIME_WAIT; a packet of no flow sees only TIME_WAIT.
 *
 * A flow is held by its handle everywhere but within one call; the pcb's callback_arg is that handle. Every pcb outside
 * TIME_WAIT belongs to exactly one flow.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <netinet/in.h>

#include "base/err.h"
#include "base/log.h"
#include "netstack/ns_internal.h"

static const struct {
	const char *name;
	uint32_t next;
} states[] = {
	[FLOW_HELD] = { "held", BIT(FLOW_OPENING) },
	[FLOW_OPENING] = { "opening", BIT(FLOW_UP) },
	[FLOW_UP] = { "up", BIT(FLOW_OVER) },
	[FLOW_OVER] = { "over", 0 },
};
_Static_assert(ARRAY_LEN(states) == FLOW_STATE_N, "states[] and enum ns_flow_state differ");

struct flow_text {
	char s[2 * NET_ENDPOINT_STR + 32];
};

static struct flow_text flow_text(const struct ns_flow *f)
{
	struct flow_text t;
	char src[NET_ENDPOINT_STR], dst[NET_ENDPOINT_STR];

	snprintf(t.s, sizeof(t.s), "flow %u.%u %s -> %s", (uint32_t)f->id, (uint32_t)(f->id >> 32),
		 net_endpoint_str(src, &f->key.src), net_endpoint_str(dst, &f->key.dst));
	return t;
}

void ns_flow_state_set(struct ns_flow *f, enum ns_flow_state to)
{
	if (!(states[f->state].next & BIT(to)))
		ST_BUG("%s: %s -> %s", flow_text(f).s, states[f->state].name, states[to].name);
	log_trace("%s: %s -> %s", flow_text(f).s, states[f->state].name, states[to].name);
	f->state = to;
}

/* --- the hash */

static uint32_t bucket_of(const struct ns *ns, const struct ns_flow_key *key)
{
	uint64_t words[5] = { 0 }, h = ns->hash_key[0];

	memcpy(&words[0], key->src.addr.b, 16);
	memcpy(&words[2], key->dst.addr.b, 16);
	words[4] = (uint64_t)key->src.addr.family << 32 | (uint64_t)key->src.port << 16 |
		   key->dst.port;
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		h = (h ^ words[i]) * (ns->hash_key[1] | 1U);
		h ^= h >> 29;
	}
	return (uint32_t)(h >> 32) % NS_BUCKETS;
}

static bool endpoint_eq(const struct net_endpoint *a, const struct net_endpoint *b)
{
	return a->port == b->port && net_addr_eq(&a->addr, &b->addr);
}

static struct ns_flow *find(const struct ns *ns, const struct ns_flow_key *key)
{
	struct ns_flow *f = ns->buckets[bucket_of(ns, key)];

	while (f && !(endpoint_eq(&f->key.src, &key->src) && endpoint_eq(&f->key.dst, &key->dst)))
		f = f->hash_next;
	return f;
}

void ns_flow_unhash(struct ns *ns, struct ns_flow *f)
{
	struct ns_flow **at = &ns->buckets[bucket_of(ns, &f->key)];

	while (*at && *at != f)
		at = &(*at)->hash_next;
	if (*at)
		*at = f->hash_next;
	f->hash_next = NULL;
}

/* --- life of a flow */

struct ns_flow *ns_flow_get(const struct ns *ns, ns_conn c)
{
	return hnd_get(&ns->flows, c);
}

static struct ns_flow *flow_new(struct ns *ns, const struct ns_flow_key *key)
{
	struct ns_flow *f = calloc(1, sizeof(*f)), **bucket;

	if (!f)
		return NULL;
	if (hnd_add(&ns->flows, f, &f->id) < 0) {
		free(f);
		return NULL;
	}
	f->key = *key;
	f->state = FLOW_HELD;
	f->limit_bytes = ns->flows.used > NS_MANY_FLOWS ? NS_SMALL_BUFFER_BYTES : NS_BUFFER_BYTES;
	list_node_init(&f->dirty);
	list_node_init(&f->pending);
	buf_init(&f->rx, f->limit_bytes);
	bucket = &ns->buckets[bucket_of(ns, key)];
	f->hash_next = *bucket;
	*bucket = f;
	ns->held++;
	return f;
}

void ns_flow_free(struct ns *ns, struct ns_flow *f)
{
	ST_ASSERT(!f->pcb);
	if (f->state == FLOW_HELD)
		ns->held--;
	ns_flow_unhash(ns, f);
	list_del(&f->dirty);
	list_del(&f->pending);
	buf_fini(&f->rx);
	ns->buffered_bytes -= f->counted_bytes;
	hnd_del(&ns->flows, f->id);
	free(f);
}

void ns_flow_mark(struct ns *ns, struct ns_flow *f, uint32_t events)
{
	f->events |= events;
	if (!list_linked(&f->pending))
		list_push_back(&ns->pending, &f->pending);
	loop_task_post(ns->opts.loop, &ns->flush); /* at the latest then */
}

void ns_flow_touch(struct ns *ns, struct ns_flow *f)
{
	if (!list_linked(&f->dirty))
		list_push_back(&ns->dirty, &f->dirty);
	loop_task_post(ns->opts.loop, &ns->flush);
}

void ns_flow_account(struct ns *ns, struct ns_flow *f)
{
	size_t now = f->rx.len + (f->pcb ? TCP_SND_BUF - f->pcb->snd_buf : 0);

	ns->buffered_bytes += now - f->counted_bytes; /* unsigned: the difference may be negative */
	f->counted_bytes = now;
}

/* --- holding a SYN */

static void syn_store(struct ns_flow *f, const struct ns_packet *p)
{
	f->syn_len =
		(uint16_t)p
			->payload; /* at most NS_TCP_HEADERS_MAX, by the widths of the length fields */
	memcpy(f->syn, p->ip, f->syn_len);
	f->syn_seq = p->seq;
}

/* The stored SYN as a packet again; borrowed from @f. */
static struct ns_packet syn_packet(const struct ns_flow *f)
{
	return (struct ns_packet){
		.ip = f->syn,
		.len = f->syn_len,
		.payload = f->syn_len,
		.proto = IPPROTO_TCP,
		.src = f->key.src,
		.dst = f->key.dst,
		.seq = f->syn_seq,
		.tcp_flags = NS_TCP_SYN,
	};
}

static void hold(struct ns *ns, const struct ns_packet *p)
{
	struct ns_flow_key key = { .src = p->src, .dst = p->dst };
	struct ns_flow *f = flow_new(ns, &key);
	void *owner;
	ns_conn id;

	ns->stats.syns++;
	if (!f) {
		log_limited(ns->now_ms, LOG_WARN,
			    "netstack: %u connections are open, new ones are reset",
			    ns->flows.used);
		ns_send_rst(ns, p);
		return;
	}
	syn_store(f, p);
	id = f->id;
	ns->inside++;
	owner = ns->opts.events->syn(ns->opts.arg, id, &key);
	ns->inside--;
	if (!(f = ns_flow_get(ns, id)))
		return; /* refused or aborted in there */
	f->owner = owner;
	if (!owner)
		ns_conn_abort(ns, id);
}

/* The kernel repeats its SYN after 1, 3, 7 s …; another sequence number means that the application began anew. */
static void input_held(struct ns *ns, struct ns_flow *f, const struct ns_packet *p)
{
	if (p->tcp_flags & NS_TCP_RST) {
		if (p->seq == f->syn_seq || p->seq == f->syn_seq + 1)
			ns_flow_mark(ns, f, EV_GONE);
		return;
	}
	if ((p->tcp_flags & (NS_TCP_SYN | NS_TCP_ACK)) == NS_TCP_SYN)
		syn_store(f, p);
}

/* Gives the SYN to lwIP with a listener on its port; ns_conn_attach() is called from in there. */
static void release_syn(struct ns *ns, struct ns_flow *f)
{
	struct tcp_pcb *active = tcp_active_pcbs, *waiting = tcp_tw_pcbs;
	uint8_t *ip = f->syn;

	/* Data of the SYN was not stored, so the length says so; the checksums were checked before. */
	if (f->key.dst.addr.family == 4)
		be16_put(ip + 2, f->syn_len);
	else
		be16_put(ip + 4, (uint16_t)(f->syn_len - 40U));
	ns->listener->local_port = f->key.dst.port;
	ns->listener->callback_arg = ns_arg_of(f);
	tcp_active_pcbs = tcp_tw_pcbs = NULL;
	ns_lwip_input(ns, f->syn, f->syn_len, &f->key.dst.addr);
	ns->listener->local_port = 0;
	ns->listener->callback_arg = NULL;
	if (tcp_active_pcbs) {
		ST_ASSERT(tcp_active_pcbs == f->pcb && !f->pcb->next);
		f->pcb->next = active;
	} else {
		tcp_active_pcbs = active;
	}
	tcp_tw_pcbs = waiting;
}

void ns_conn_accept(struct ns *ns, ns_conn c)
{
	struct ns_flow *f = ns_flow_get(ns, c);

	if (!f || f->state != FLOW_HELD || (f->events & EV_GONE))
		return;
	ns_flow_state_set(f, FLOW_OPENING);
	ns->held--;
	release_syn(ns, f);
	if (!f->pcb) { /* no memory */
		struct ns_packet p = syn_packet(f);

		ns_send_rst(ns, &p);
		ns_flow_mark(ns, f, EV_GONE);
	}
	ns_timer_arm(ns);
}

void ns_conn_refuse(struct ns *ns, ns_conn c, enum ns_refusal why)
{
	struct ns_flow *f = ns_flow_get(ns, c);
	struct ns_packet p;

	if (!f)
		return;
	if (f->state != FLOW_HELD) {
		ns_conn_abort(ns, c);
		return;
	}
	p = syn_packet(f);
	if (!(f->events & EV_GONE))
		ns_send_refusal(ns, &p, why);
	ns_flow_free(ns, f);
}

void ns_conn_abort(struct ns *ns, ns_conn c)
{
	struct ns_flow *f = ns_flow_get(ns, c);
	struct tcp_pcb *pcb;

	if (!f)
		return;
	if (f->state == FLOW_HELD) {
		ns_conn_refuse(ns, c, NS_REFUSE_RST);
		return;
	}
	if ((pcb = f->pcb)) {
		ns_conn_detach(f);
		tcp_abort(pcb);
		ns->stats.resets++;
	}
	ns_flow_free(ns, f);
}

/* --- packets */

/* lwIP's queue for what comes out of order takes a first segment that ends behind the window, and trips over it when
 * the gap closes (LWIP_ASSERT "ooseq tcplen > rcv_wnd"). No kernel sends one. */
static bool overruns_window(const struct tcp_pcb *pcb, const struct ns_packet *p)
{
	uint32_t len = (uint32_t)(p->len - p->payload) + (p->tcp_flags & NS_TCP_FIN ? 1 : 0);

	return TCP_SEQ_GT(p->seq, pcb->rcv_nxt) &&
	       TCP_SEQ_GT(p->seq + len, pcb->rcv_nxt + pcb->rcv_wnd);
}

/* A repeated SYN of a connection whose SYN-ACK got lost. lwIP would read its options again, onto a window that
 * ns_conn_attach() may have made smaller. */
static void input_syn_again(struct ns_flow *f, const struct ns_packet *p)
{
	if (p->seq == f->syn_seq && tcp_rexmit(f->pcb) == ERR_OK)
		tcp_output(f->pcb);
}

static void input_stray(struct ns *ns, const struct ns_packet *p)
{
	struct tcp_pcb *active = tcp_active_pcbs;

	tcp_active_pcbs = NULL;
	ns_lwip_input(ns, p->ip, p->len, &p->dst.addr);
	tcp_active_pcbs = active;
}

void ns_flow_input_tcp(struct ns *ns, const struct ns_packet *p)
{
	struct ns_flow_key key = { .src = p->src, .dst = p->dst };
	struct ns_flow *f = find(ns, &key);
	bool syn = p->tcp_flags & NS_TCP_SYN;

	if (!f && syn && !(p->tcp_flags & NS_TCP_ACK)) {
		hold(ns, p);
		return;
	}
	if (!f) {
		input_stray(ns, p);
		return;
	}
	if (f->state == FLOW_HELD) {
		input_held(ns, f, p);
		return;
	}
	if (!f->pcb || overruns_window(f->pcb, p)) {
		ns->stats.dropped_in++;
		return;
	}
	if (f->state == FLOW_OPENING && syn) {
		input_syn_again(f, p);
		return;
	}
	ns_lwip_input(ns, p->ip, p->len, &p->dst.addr);
	ns_conn_settle(ns, f);
	ns_timer_arm(ns);
}
