// SPDX-License-Identifier: MIT
/*
 * ns_conn.c - one TCP connection: lwIP's callbacks on one side, the owner's calls on the other
 *
 * Theory of operation: lwIP's callbacks copy received bytes to the flow's buffer and mark events; they never call the owner
 * and never close or abort (ns.c says why). The copy bounds memory by bytes, which lwIP's own buffers don't: a pbuf of one
 * byte, or one trimmed to it, keeps far more. The window opens by what the owner has read (tcp_recved()).
 *
 * Limits: receive window and send buffer are limit_bytes each. lwIP knows one window for all, so ns_conn_attach() makes the
 * new pcb's window smaller before its SYN-ACK goes out, which nothing later enlarges: tcp_recved() only gives back what was
 * received. The maximum segment size goes to half of the window with it, since lwIP announces a window only when it has
 * moved by a segment (tcp_update_rcv_ann_wnd()).
 *
 * Closing: only tcp_shutdown() of the sending side is used, never tcp_close(), which sends RST while the window is not at
 * its maximum. A FIN goes out when all data before it has left and the window has room for it: in LAST_ACK lwIP gives up
 * early, and Linux before 6.11 takes no FIN into a closed window. While it waits the peer is probed (ns_conn_tick()), since the
 * ACK that opens the window may get lost. The end is seen in two ways: the pcb has gone to TIME_WAIT
 * (looked at after each packet), or the error callback says ERR_CLSD (the application's FIN came first).
 */
#include <string.h>

#include "base/err.h"
#include "netstack/ns_internal.h"

#define MSS_MIN                                                                                    \
	64U /* bytes; smaller ones are a peer's joke and would cost more headers than data */
#define PEER_WINDOW_MIN 536U /* bytes; see ns_conn_attach() */
#define FIN_PROBE_TICKS 4U   /* 1 s; ours */
#define QUEUE_SPARE                                                                                \
	8U /* pbufs kept back in ns_conn_room(): the calls of tcp_write() it takes, and a FIN */

_Static_assert(TCP_WND == NS_BUFFER_BYTES && TCP_SND_BUF == NS_BUFFER_BYTES,
	       "lwipopts.h and netstack.h differ");

/* --- lwIP's callbacks */

static err_t on_recv(void *arg, struct tcp_pcb *pcb, struct pbuf *p, err_t err)
{
	struct ns_flow *f = ns_flow_of_arg(arg);
	uint8_t *to;

	(void)pcb;
	(void)err;
	if (!f)
		ST_BUG("lwIP calls for a connection without a flow");
	if (!p) {
		f->fin_received = true;
		ns_flow_mark(ns_instance, f, EV_READABLE);
		return ERR_OK;
	}
	if (buf_reserve(&f->rx, p->tot_len, &to) < 0)
		return ERR_MEM; /* lwIP keeps it and tries again with its timer */
	pbuf_copy_partial(p, to, p->tot_len, 0);
	buf_commit(&f->rx, p->tot_len);
	pbuf_free(p);
	ns_flow_mark(ns_instance, f, EV_READABLE);
	return ERR_OK;
}

static err_t on_sent(void *arg, struct tcp_pcb *pcb, u16_t len)
{
	struct ns_flow *f = ns_flow_of_arg(arg);

	(void)pcb;
	(void)len;
	if (f)
		ns_flow_mark(ns_instance, f, EV_WRITABLE);
	return ERR_OK;
}

/* The pcb has been freed, or is about to be. */
static void on_err(void *arg, err_t err)
{
	struct ns_flow *f = ns_flow_of_arg(arg);

	if (!f)
		return;
	f->pcb = NULL;
	if (err == ERR_CLSD)
		ns_conn_over(ns_instance, f);
	else
		ns_flow_mark(ns_instance, f, EV_GONE);
	ns_flow_account(ns_instance, f);
}

err_t ns_conn_on_accept(void *arg, struct tcp_pcb *pcb, err_t err)
{
	struct ns_flow *f = ns_flow_of_arg(arg);

	if (err != ERR_OK || !pcb || !f)
		return ERR_VAL; /* no memory for a pcb: ns_conn_accept() finds none */
	ns_flow_state_set(f, FLOW_UP);
	ns_flow_mark(ns_instance, f, EV_ESTABLISHED);
	return ERR_OK;
}

/* --- joining and leaving */

void ns_conn_attach(struct ns *ns, struct ns_flow *f, struct tcp_pcb *pcb)
{
	tcpwnd_size_t wnd = MIN(pcb->rcv_wnd, (tcpwnd_size_t)f->limit_bytes);
	uint32_t mss = MAX((uint32_t)pcb->mss, MSS_MIN);

	(void)ns;
	f->pcb = pcb;
	tcp_recv(pcb, on_recv);
	tcp_sent(pcb, on_sent);
	tcp_err(pcb, on_err);
	tcp_nagle_disable(pcb); /* what is written in one turn goes out together anyway */
	pcb->rcv_wnd = pcb->rcv_ann_wnd = wnd;
	pcb->mss = (u16_t)MIN(mss, f->limit_bytes / 2);
	/* tcp_write() cuts segments by half of this and asserts that they never shrink; a peer that opens with window 0
	 * and goes on with a tiny one would make them. */
	pcb->snd_wnd_max = MAX(pcb->snd_wnd_max, (tcpwnd_size_t)(2 * PEER_WINDOW_MIN));
}

void ns_conn_detach(struct ns_flow *f)
{
	tcp_arg(f->pcb, NULL);
	tcp_recv(f->pcb, NULL);
	tcp_sent(f->pcb, NULL);
	tcp_err(f->pcb, NULL);
	f->pcb = NULL;
}

static void finish_if_read(struct ns *ns, struct ns_flow *f)
{
	if (f->state == FLOW_OVER && f->eof_read)
		ns_flow_mark(ns, f, EV_FINISHED);
}

void ns_conn_over(struct ns *ns, struct ns_flow *f)
{
	ns_flow_unhash(ns, f); /* the 4-tuple may be used again */
	ns_flow_state_set(f, FLOW_OVER);
	finish_if_read(ns, f);
}

void ns_conn_settle(struct ns *ns, struct ns_flow *f)
{
	if (f->pcb && f->pcb->state == TIME_WAIT) {
		ns_conn_detach(f);
		ns_conn_over(ns, f);
	}
	ns_flow_account(ns, f);
	if (f->pcb && f->fin_wanted && !f->fin_sent)
		ns_conn_flush(ns, f);
}

/* --- reading */

static struct ns_flow *readable_flow(const struct ns *ns, ns_conn c)
{
	struct ns_flow *f = ns_flow_get(ns, c);

	return f && !(f->events & EV_GONE) ? f : NULL;
}

/* tcp_recved() takes 16 bits at most and announces after each call; what is more goes in beforehand, for one ACK in all. */
static void open_window(struct tcp_pcb *pcb, size_t len)
{
	u16_t last = (u16_t)MIN(len, 65535U);

	pcb->rcv_wnd += (tcpwnd_size_t)(len - last);
	tcp_recved(pcb, last);
}

ssize_t ns_conn_read(struct ns *ns, ns_conn c, uint8_t *buf, size_t cap)
{
	struct ns_flow *f = readable_flow(ns, c);
	size_t n;

	if (!f)
		return ST_ECLOSED;
	if (f->rx.len == 0 && f->fin_received) {
		f->eof_read = true;
		finish_if_read(ns, f);
		return 0;
	}
	if ((n = MIN(cap, f->rx.len)) == 0)
		return ST_EAGAIN;
	memcpy(buf, buf_data(&f->rx), n);
	buf_consume(&f->rx, n);
	if (f->pcb)
		open_window(f->pcb, n);
	ns_flow_account(ns, f);
	return (ssize_t)n;
}

size_t ns_conn_readable(struct ns *ns, ns_conn c)
{
	struct ns_flow *f = readable_flow(ns, c);

	return f ? f->rx.len : 0;
}

/* --- writing */

static bool can_write(const struct ns_flow *f)
{
	return f && f->state == FLOW_UP && f->pcb && !f->fin_wanted;
}

/* Bytes for which lwIP's limit of pbufs has room: a call of tcp_write() makes one for each segment and at most one more
 * to fill up the last one. The size of a segment as in tcp_write(). */
static size_t queue_room(const struct tcp_pcb *pcb)
{
	size_t mss = MIN((size_t)pcb->mss, pcb->snd_wnd_max / 2);
	size_t used = pcb->snd_queuelen + QUEUE_SPARE;

	return used < TCP_SND_QUEUELEN ? (TCP_SND_QUEUELEN - used) * mss : 0;
}

size_t ns_conn_room(struct ns *ns, ns_conn c)
{
	struct ns_flow *f = ns_flow_get(ns, c);
	size_t waiting;

	if (!can_write(f))
		return 0;
	waiting = TCP_SND_BUF - f->pcb->snd_buf;
	if (waiting >= f->limit_bytes)
		return 0;
	return MIN(f->limit_bytes - waiting, queue_room(f->pcb));
}

int ns_conn_write(struct ns *ns, ns_conn c, const uint8_t *p, size_t len)
{
	struct ns_flow *f = ns_flow_get(ns, c);

	if (!can_write(f))
		return ST_ECLOSED;
	if (len > ns_conn_room(ns, c))
		ST_BUG("%zu bytes written where %zu fit", len, ns_conn_room(ns, c));
	while (len > 0) {
		u16_t part = (u16_t)MIN(len, 65535U);

		if (tcp_write(f->pcb, p, part, TCP_WRITE_FLAG_COPY | TCP_WRITE_FLAG_MORE) !=
		    ERR_OK) {
			ns_conn_abort(ns, c);
			return ST_ENOMEM;
		}
		p += part;
		len -= part;
	}
	ns_flow_account(ns, f);
	ns_flow_touch(ns, f);
	return 0;
}

void ns_conn_shutdown(struct ns *ns, ns_conn c)
{
	struct ns_flow *f = ns_flow_get(ns, c);

	if (!f || f->state == FLOW_OVER || f->fin_wanted)
		return;
	f->fin_wanted = true;
	ns_flow_touch(ns, f);
}

/* TCP_WRITE_FLAG_MORE, which lets small writes share a pbuf, also leaves out PSH; without it the receiver delays its ACK. */
static void push_last(struct tcp_pcb *pcb)
{
	struct tcp_seg *seg = pcb->unsent;

	while (seg && seg->next)
		seg = seg->next;
	if (seg && seg->len > 0)
		TCPH_SET_FLAG(seg->tcphdr, TCP_PSH);
}

static void send_fin(struct ns_flow *f)
{
	struct tcp_pcb *pcb = f->pcb;

	if (pcb->state != ESTABLISHED && pcb->state != CLOSE_WAIT)
		return; /* the handshake is not complete */
	if (pcb->unsent || pcb->snd_nxt - pcb->lastack >= pcb->snd_wnd)
		return; /* ns_conn_settle() and the timer come back to it */
	if (tcp_shutdown(pcb, 0, 1) == ERR_OK)
		f->fin_sent = true;
}

void ns_conn_flush(struct ns *ns, struct ns_flow *f)
{
	(void)ns;
	if (!f->pcb)
		return;
	push_last(f->pcb);
	tcp_output(f->pcb);
	if (f->fin_wanted && !f->fin_sent)
		send_fin(f);
}

void ns_conn_tick(struct ns *ns, struct ns_flow *f)
{
	if (!f->pcb)
		return;
	/* lwIP drops LAST_ACK 2 * TCP_MSL after the last packet, be the data acknowledged or not; its limit of
	 * retransmissions is the right end of it. */
	if (f->pcb->state == LAST_ACK)
		f->pcb->tmr = tcp_ticks;
	if (!f->fin_wanted || f->fin_sent)
		return;
	ns_conn_flush(ns, f);
	if (!f->fin_sent && f->pcb->state >= ESTABLISHED && !f->pcb->unsent &&
	    ++f->fin_wait_ticks % FIN_PROBE_TICKS == 0)
		tcp_keepalive(f->pcb); /* a byte that the peer has: it answers with its window */
}
