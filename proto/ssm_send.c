// SPDX-License-Identifier: MIT
/*
 * ssm_send.c - outgoing stream messages: window and retransmission
 *
 * Theory of operation: messages stand in the ring of ssm_queue.c. The header, with digest, is
 * written in place at the first sending; copies are sent from the same bytes.
 *
 * Whatever was sent is in one list: flight[k] (sent k + 1 times) or resend (due). A flight list is in
 * order of sending and its members share one time-out (RTO << k), so only the heads are ever looked
 * at. A head is also lost when three messages sent later, once each, were acknowledged and its own
 * RTT with some slack has passed; this applies to the first two sendings only, so that a message that
 * the peer never acknowledges again (4.3) costs one copy per SSM_RTO_MAX_US. Handshake messages and
 * the first data message wait for a peer that is not there yet: they have lists of their own, and
 * are repeated without back-off at first.
 *
 * While the peer sets up, data does not run ahead: the agent's waits for the acknowledgement of
 * HandshakeComplete (a stock client that gets data before it loses that data, 4.3), and on both
 * sides one message is in flight until it is acknowledged. The agent does not wait for ever, since
 * a stock client acknowledges each number once and that may be lost: data from the client tells the
 * same, and so, at last, do SSM_READY_SENDS copies.
 *
 * When a cut has swallowed the acknowledgements of all that is in flight, a stock client answers
 * none of the copies. So an agent whose every message was sent SSM_STALE_SENDS times sends a new one past
 * the window; what is acknowledged of it makes the others stale.
 *
 * A message sent SSM_STALE_SENDS times while later ones were acknowledged is stale: it no longer counts
 * in the window, and once base has reached it, it leaves the ring for the stale list, which is in order
 * of numbers; it is resent for ever, or until so many later ones were acknowledged that a stock client
 * must have it, since it keeps no more than SSM_STALE_PROOF out of order. Where SSM_STALE_MAX or
 * SSM_STALE_BYTES are stale already, the next ones stay in the window: a peer that leaves out numbers at will
 * closes it, and does not make us keep what is beyond.
 */
#include "proto/ssm_internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"

/* Dates beyond are no dates: 9999-12-31. Below it nothing overflows as µs. */
#define SSM_PEER_MS_MAX UINT64_C(253402300800000)

/* Is it time for a message past the window? All in flight stand in the lists of SSM_STALE_SENDS and more
 * sendings. */
static bool probe_due(const struct ssm_snd *s, const struct ssm_out *e)
{
	if (!s->no_reack || s->flight_bytes + e->len > s->window.max_bytes + SSM_PROBE_BYTES)
		return false;
	for (unsigned k = 0; k < SSM_STALE_SENDS - 1; k++)
		if (!list_empty(&s->flight[k]))
			return false;
	return list_empty(&s->resend);
}

static bool window_full(const struct ssm_snd *s, const struct ssm_out *e)
{
	if (s->flight_msgs >= SSM_FLIGHT_MSGS)
		return true;
	if (s->flight_bytes == 0 || s->flight_bytes + e->len <= s->window.bytes)
		return false;
	return !probe_due(s, e);
}

/* Is the message with number @seq unacknowledged, with hope left that it will be? */
static bool ack_awaited(const struct ssm_snd *s, int64_t seq)
{
	const struct ssm_out *e = seq >= s->base ? *ssm_snd_slot(s, seq) : NULL;

	return e && !(s->no_reack && e->sends >= SSM_READY_SENDS);
}

/* Would data now run ahead of a peer that is still setting up? */
static bool runs_ahead(const struct ssm_snd *s)
{
	if (s->peer_ready)
		return false;
	return (s->complete_seq >= 0 && ack_awaited(s, s->complete_seq)) ||
	       (s->first_data_seq >= 0 && ack_awaited(s, s->first_data_seq));
}

/* Does something but the window hold the queued message @e back? */
static bool is_held(const struct ssm_snd *s, const struct ssm_out *e, uint64_t now_us)
{
	if (s->paused)
		return true;
	if (ssm_pt_is_handshake(e->payload_type))
		return false;
	return now_us < s->hold_until_us || runs_ahead(s);
}

/* May the queued message @e be sent for the first time? */
static bool new_allowed(const struct ssm_snd *s, const struct ssm_out *e, uint64_t now_us)
{
	return s->urgent || (!is_held(s, e, now_us) && !window_full(s, e));
}

void ssm_snd_blocked(struct ssm_chan *c)
{
	struct ssm_snd *s = &c->snd;
	const struct ssm_out *e = ssm_snd_head(s);

	if (e && !is_held(s, e, c->now_us) && window_full(s, e))
		s->limited_tx = s->tx_no;
}

bool ssm_snd_waiting(const struct ssm_chan *c, uint64_t now_us)
{
	const struct ssm_snd *s = &c->snd;
	const struct ssm_out *e = ssm_snd_head(s);

	if (!s->paused && !list_empty(&s->resend))
		return true;
	return e && new_allowed(s, e, now_us);
}

static bool later_acked(const struct ssm_snd *s, const struct ssm_out *e)
{
	return s->acked_tx[0] > e->tx_no;
}

static void flight_count(struct ssm_snd *s, struct ssm_out *e)
{
	e->counted = true;
	s->flight_bytes += e->len;
	s->flight_msgs++;
}

static void flight_uncount(struct ssm_snd *s, struct ssm_out *e)
{
	e->counted = false;
	s->flight_bytes -= e->len;
	s->flight_msgs--;
}

/* Is there hope no more that it is acknowledged soon, and room for one more such? */
static bool goes_stale(const struct ssm_snd *s, const struct ssm_out *e)
{
	return e->counted && e->sends >= SSM_STALE_SENDS && later_acked(s, e) &&
	       s->stale_n < SSM_STALE_MAX && e->len <= SSM_STALE_BYTES - s->stale_bytes;
}

static void stale_count(struct ssm_snd *s, const struct ssm_out *e)
{
	s->stale_n++;
	s->stale_bytes += e->len;
}

static void stale_uncount(struct ssm_snd *s, const struct ssm_out *e)
{
	s->stale_n--;
	s->stale_bytes -= e->len;
}

/* The peer has it. */
static void forget(struct ssm_snd *s, struct ssm_out *e)
{
	if (e->counted)
		flight_uncount(s, e);
	else
		stale_uncount(s, e);
	list_del(&e->node);
	list_del(&e->stale_node);
	s->known_n++;
	free(e);
}

/* The stale messages that the peer has: of known_n messages no more than @seq + 1 are not later. */
static void stale_prove(struct ssm_snd *s)
{
	while (s->no_reack && !list_empty(&s->stale)) {
		struct ssm_out *e = container_of(s->stale.head.next, struct ssm_out, stale_node);

		/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): list_del() took the freed one off the head */
		if (s->known_n - e->seq <= SSM_STALE_PROOF)
			return;
		forget(s, e);
	}
}

/* Moves base over what is acknowledged, and what is stale to its list. */
static void base_advance(struct ssm_snd *s)
{
	stale_prove(s);
	while (s->base < s->next_send) {
		struct ssm_out **slot = ssm_snd_slot(s, s->base);

		if (*slot && (*slot)->counted)
			return;
		if (*slot)
			list_push_back(&s->stale, &(*slot)->stale_node);
		*slot = NULL;
		s->base++;
	}
}

static void encrypt(struct ssm_chan *c, struct ssm_out *e)
{
	uint8_t *payload = e->wire + SSM_OVERHEAD;
	uint8_t nonce[SSM_NONCE_LEN];

	codec_random(nonce, sizeof(nonce));
	memmove(payload + SSM_NONCE_LEN, payload, e->len);
	ssm_crypt_seal(c->crypt, payload, e->len, nonce);
	e->len += SSM_CRYPT_OVERHEAD;
}

/* Encryption, header and digest; from here on the bytes never change. */
static void seal(struct ssm_chan *c, struct ssm_out *e)
{
	const bool encrypted = c->crypt &&
			       ssm_pt_is_encrypted(e->payload_type, c->role == SSM_ROLE_CLIENT);
	struct ssm_msg m = {
		.type = c->role == SSM_ROLE_CLIENT ? SSM_INPUT_STREAM_DATA : SSM_OUTPUT_STREAM_DATA,
		.created_ms = ssm_chan_unix_ms(c),
		.seq = e->seq,
		.flags = c->role == SSM_ROLE_AGENT && e->seq == 0 ? SSM_FLAGS_SYN : SSM_FLAGS_DATA,
		.payload_type = e->payload_type,
		.payload = e->wire + SSM_OVERHEAD,
	};

	if (encrypted)
		encrypt(c, e);
	m.payload_len = e->len;
	ssm_chan_uuid(c, m.id);
	if (ssm_msg_encode(e->wire, SSM_OVERHEAD + SSM_CRYPT_OVERHEAD + e->cap, &m) < 0)
		ST_BUG("message %lld of %u bytes can't be written", (long long)e->seq, e->len);
	list_node_init(&e->node);
	list_node_init(&e->stale_node);
}

static unsigned flight_of(const struct ssm_snd *s, const struct ssm_out *e)
{
	if (ssm_pt_is_handshake(e->payload_type))
		return SSM_FLIGHT_HANDSHAKE;
	if (e->seq == s->first_data_seq)
		return SSM_FLIGHT_FIRST;
	return MIN(e->sends - 1, SSM_BACKOFF_N - 1);
}

/* Bookkeeping of one sending, the first or a later one. */
static void transmit(struct ssm_chan *c, struct ssm_out *e)
{
	struct ssm_snd *s = &c->snd;

	e->sends++;
	if (goes_stale(s, e)) {
		flight_uncount(s, e);
		stale_count(s, e);
		base_advance(s);
	}
	e->sent_us = c->now_us;
	e->tx_no = ++s->tx_no;
	list_push_back(&s->flight[flight_of(s, e)], &e->node);
}

static struct ssm_out *send_again(struct ssm_chan *c)
{
	struct list_node *node = list_pop_front(&c->snd.resend);
	struct ssm_out *e = container_of(node, struct ssm_out, node);

	e->resent = true;
	c->stats.resent++;
	transmit(c, e);
	return e;
}

/* The memory that a message joined by nobody has too much of. */
static struct ssm_out *trim(struct ssm_chan *c, struct ssm_out *e)
{
	struct ssm_out *small;

	if (e->cap - e->len < e->cap / 2)
		return e;
	small = realloc(e, SSM_OUT_SIZE(e->len));
	if (!small)
		return e;
	small->cap = small->len;
	*ssm_snd_slot(&c->snd, small->seq) = small;
	return small;
}

static struct ssm_out *send_new(struct ssm_chan *c, struct ssm_out *e)
{
	struct ssm_snd *s = &c->snd;

	e = trim(c, e);
	s->queued_bytes -= e->len;
	c->stats.bytes_out += e->len;
	seal(c, e);
	s->next_send++;
	e->first_us = c->now_us;
	flight_count(s, e);
	if (e->payload_type == SSM_PT_HANDSHAKE_COMPLETE)
		s->complete_seq = e->seq;
	if (s->first_data_seq < 0 && !ssm_pt_is_handshake(e->payload_type)) {
		s->first_data_seq = e->seq;
		s->first_data_us = c->now_us;
	}
	transmit(c, e);
	c->stats.msgs_out++;
	return e;
}

const struct ssm_out *ssm_snd_next(struct ssm_chan *c)
{
	struct ssm_snd *s = &c->snd;
	struct ssm_out *e = ssm_snd_head(s);

	if (!s->paused && !list_empty(&s->resend))
		return send_again(c);
	if (e && new_allowed(s, e, c->now_us))
		return send_new(c, e);
	return NULL;
}

static struct ssm_out *find(const struct ssm_snd *s, int64_t seq)
{
	if (seq >= s->next_send || seq < 0)
		return NULL;
	if (seq >= s->base)
		return *ssm_snd_slot(s, seq);
	list_for_each (it, &s->stale) {
		struct ssm_out *e = container_of(it, struct ssm_out, stale_node);

		if (e->seq >= seq)
			return e->seq == seq ? e : NULL;
	}
	return NULL;
}

static void acked_tx_note(struct ssm_snd *s, uint64_t tx_no)
{
	uint64_t *top = s->acked_tx;

	if (tx_no > top[0]) {
		top[2] = top[1];
		top[1] = top[0];
		top[0] = tx_no;
	} else if (tx_no > top[1]) {
		top[2] = top[1];
		top[1] = tx_no;
	} else if (tx_no > top[2]) {
		top[2] = tx_no;
	}
}

/* A clean measure: the message was sent once. */
static void measure(struct ssm_chan *c, const struct ssm_out *e, uint64_t peer_ms)
{
	struct ssm_snd *s = &c->snd;

	if (peer_ms < SSM_PEER_MS_MAX)
		ssm_window_forward(&s->window, (int64_t)peer_ms * 1000, e->sent_us, c->now_us);
	ssm_window_acked(&s->window, c->now_us - MIN(e->sent_us, c->now_us), e->len,
			 e->tx_no <= s->limited_tx, c->now_us);
	acked_tx_note(s, e->tx_no);
}

void ssm_snd_ack(struct ssm_chan *c, int64_t seq, uint64_t peer_ms)
{
	struct ssm_snd *s = &c->snd;
	struct ssm_out *e = find(s, seq);

	if (!e)
		return;
	if (!e->resent)
		measure(c, e, peer_ms);
	if (!ssm_pt_is_handshake(e->payload_type))
		s->peer_ready = true;
	if (!list_linked(&e->stale_node))
		*ssm_snd_slot(s, seq) = NULL;
	forget(s, e);
	base_advance(s);
}

static bool is_lost(const struct ssm_snd *s, const struct ssm_out *e)
{
	return e->sends < SSM_STALE_SENDS && e->tx_no < s->acked_tx[2];
}

static uint64_t first_data_wait_us(const struct ssm_snd *s, const struct ssm_out *e)
{
	if (e->sent_us - s->first_data_us < SSM_FIRST_RETRY_FOR_US)
		return SSM_FIRST_RETRY_US;
	return ssm_window_rto(&s->window, e->sends);
}

/* When @e, the head of flight[@k], is sent again. */
static uint64_t due_us(const struct ssm_snd *s, const struct ssm_out *e, unsigned k)
{
	if (k == SSM_FLIGHT_HANDSHAKE)
		return e->sent_us +
		       (e->sends < SSM_HANDSHAKE_SENDS ? SSM_HANDSHAKE_RETRY_US : SSM_RTO_MAX_US);
	if (k == SSM_FLIGHT_FIRST)
		return e->sent_us + first_data_wait_us(s, e);
	if (is_lost(s, e))
		return e->sent_us + ssm_window_fast(&s->window);
	return e->sent_us + ssm_window_rto(&s->window, k);
}

static struct ssm_out *flight_head(const struct ssm_snd *s, unsigned k)
{
	const struct list *l = &s->flight[k];

	return list_empty(l) ? NULL : container_of(l->head.next, struct ssm_out, node);
}

void ssm_snd_collect(struct ssm_chan *c)
{
	struct ssm_snd *s = &c->snd;
	struct ssm_out *e;

	if (s->paused)
		return;
	for (unsigned k = 0; k < SSM_FLIGHT_N; k++) {
		while ((e = flight_head(s, k)) && due_us(s, e, k) <= c->now_us) {
			if (k < SSM_BACKOFF_N && e->counted && !is_lost(s, e))
				ssm_window_timeout(&s->window, c->now_us);
			list_del(&e->node);
			list_push_back(&s->resend, &e->node);
		}
	}
}

static void resend_fresh(struct ssm_snd *s, struct ssm_out *e, uint64_t now_us)
{
	e->first_us = now_us;
	e->sends = 0;
	e->resent = true;
	list_del(&e->node);
	list_push_back(&s->resend, &e->node);
}

void ssm_snd_resend_all(struct ssm_chan *c)
{
	struct ssm_snd *s = &c->snd;

	list_for_each (it, &s->stale)
		resend_fresh(s, container_of(it, struct ssm_out, stale_node), c->now_us);
	for (int64_t seq = s->base; seq < s->next_send; seq++)
		if (*ssm_snd_slot(s, seq))
			resend_fresh(s, *ssm_snd_slot(s, seq), c->now_us);
	ssm_window_path_changed(&s->window);
}

/* The message with the lowest number that was sent and not acknowledged; NULL: none */
static const struct ssm_out *oldest(const struct ssm_snd *s)
{
	if (!list_empty(&s->stale))
		return container_of(s->stale.head.next, struct ssm_out, stale_node);
	return s->base < s->next_send ? *ssm_snd_slot(s, s->base) : NULL;
}

/* The agent resends for ever, as the stock one: a stock client may have acknowledged and will not do
 * it again. The stock client gives up, and so does ours: acknowledgements of later messages are no
 * sign of life, the peer may keep those and be stuck at this one (4.3). */
static uint64_t give_up_us(const struct ssm_chan *c)
{
	const struct ssm_out *e = c->role == SSM_ROLE_CLIENT ? oldest(&c->snd) : NULL;

	return e ? e->first_us + SSM_GIVE_UP_US : SSM_TIME_NEVER;
}

bool ssm_snd_given_up(const struct ssm_chan *c)
{
	return give_up_us(c) <= c->now_us;
}

uint64_t ssm_snd_deadline(const struct ssm_chan *c)
{
	const struct ssm_snd *s = &c->snd;
	uint64_t at_us = give_up_us(c);

	for (unsigned k = 0; k < SSM_FLIGHT_N && !s->paused; k++) {
		const struct ssm_out *e = flight_head(s, k);

		if (e)
			at_us = MIN(at_us, due_us(s, e, k));
	}
	if (ssm_snd_head(s) && s->hold_until_us > c->now_us)
		at_us = MIN(at_us, s->hold_until_us);
	return at_us;
}
