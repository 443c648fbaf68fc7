// SPDX-License-Identifier: MIT
/*
 * ssm_recv.c - incoming stream messages: order, reorder buffer, acknowledgements
 *
 * Theory of operation: the expected message goes straight to the owner and is acknowledged when
 * taken. Later ones are copied to a ring by number and acknowledged, within the limits of design
 * section 8; what does not fit is dropped unacknowledged, so that the peer sends it again. Old
 * ones are acknowledged again, always: the first acknowledgement may have been lost, and the stock
 * agent resends nothing else until it has one (ssm-protocol, 4.3, 11).
 *
 * When data() says ST_EAGAIN the expected message waits in the ring too (whatever the limits), and
 * from then on nothing is acknowledged that was not taken: the peer's window closes.
 *
 * Acknowledgements wait as number and id in a ring; their text is made when they are sent.
 */
#include "proto/ssm_internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"

#define RING_START 64U /* slots; a power of two */

static struct ssm_slot *slot_of(const struct ssm_rcv *r, int64_t seq)
{
	return &r->ring[(uint64_t)seq & (r->cap - 1)];
}

void ssm_rcv_fini(struct ssm_chan *c)
{
	struct ssm_rcv *r = &c->rcv;

	for (uint32_t i = 0; i < r->cap; i++)
		free(r->ring[i].p);
	free(r->ring);
	free(r->acks);
	*r = (struct ssm_rcv){ .expected = r->expected };
}

static int acks_grow(struct ssm_rcv *r)
{
	uint32_t cap = r->ack_cap ? r->ack_cap * 2 : RING_START;
	struct ssm_ack_item *acks = malloc(cap * sizeof(*acks));

	if (!acks)
		return ST_ENOMEM;
	for (uint32_t i = 0; i < r->ack_n; i++)
		acks[i] = r->acks[(r->ack_head + i) & (r->ack_cap - 1)];
	free(r->acks);
	r->acks = acks;
	r->ack_cap = cap;
	r->ack_head = 0;
	return 0;
}

static void ack_push(struct ssm_rcv *r, const uint8_t id[CODEC_UUID_LEN], int64_t seq)
{
	struct ssm_ack_item *item;

	if (r->ack_n == r->ack_cap && (r->ack_cap == SSM_ACK_QUEUE_MAX || acks_grow(r) < 0)) {
		if (r->ack_n == 0)
			return;
		r->ack_head = (r->ack_head + 1) & (r->ack_cap - 1);
		r->ack_n--;
	}
	item = &r->acks[(r->ack_head + r->ack_n++) & (r->ack_cap - 1)];
	memcpy(item->id, id, CODEC_UUID_LEN);
	item->seq = seq;
}

static bool ack_pop(struct ssm_rcv *r, struct ssm_ack_item *out)
{
	if (r->ack_n == 0)
		return false;
	*out = r->acks[r->ack_head];
	r->ack_head = (r->ack_head + 1) & (r->ack_cap - 1);
	r->ack_n--;
	return true;
}

size_t ssm_rcv_ack_next(struct ssm_chan *c)
{
	struct ssm_msg m = {
		.type = SSM_ACKNOWLEDGE,
		.created_ms = ssm_chan_unix_ms(c),
		.flags = SSM_FLAGS_ACK,
		.payload_type = SSM_PT_NONE,
		.payload = c->ack_wire + SSM_OVERHEAD,
	};
	struct ssm_ack_item item;
	ssize_t len;

	if (!ack_pop(&c->rcv, &item))
		return 0;
	m.payload_len = ssm_ack_write((char *)c->ack_wire + SSM_OVERHEAD,
				      c->role == SSM_ROLE_CLIENT ? SSM_OUTPUT_STREAM_DATA
								 : SSM_INPUT_STREAM_DATA,
				      item.id, item.seq);
	ssm_chan_uuid(c, m.id);
	len = ssm_msg_encode(c->ack_wire, sizeof(c->ack_wire), &m);
	if (len < 0)
		ST_BUG("an acknowledgement can't be written");
	return (size_t)len;
}

/* Makes room for numbers up to @seq. */
static int ring_reserve(struct ssm_rcv *r, int64_t seq)
{
	uint32_t span = (uint32_t)(seq - r->expected) + 1;
	uint32_t cap = r->cap ? r->cap : RING_START;
	struct ssm_slot *ring;

	while (cap < span)
		cap *= 2;
	if (cap == r->cap)
		return 0;
	ring = calloc(cap, sizeof(*ring));
	if (!ring)
		return ST_ENOMEM;
	for (uint32_t i = 0; i < r->cap; i++) {
		int64_t old = r->expected + i;

		ring[(uint64_t)old & (cap - 1)] = *slot_of(r, old);
	}
	free(r->ring);
	r->ring = ring;
	r->cap = cap;
	return 0;
}

/* Copies @m to its slot. Return: false without memory */
static bool store(struct ssm_rcv *r, const struct ssm_msg *m, bool acked)
{
	struct ssm_slot *slot;
	uint8_t *copy;

	if (ring_reserve(r, m->seq) < 0)
		return false;
	copy = malloc(MAX(m->payload_len, 1U));
	if (!copy)
		return false;
	if (m->payload_len)
		memcpy(copy, m->payload, m->payload_len);
	slot = slot_of(r, m->seq);
	*slot = (struct ssm_slot){
		.p = copy,
		.len = (uint32_t)m->payload_len,
		.payload_type = m->payload_type,
		.acked = acked,
	};
	memcpy(slot->id, m->id, CODEC_UUID_LEN);
	r->count++;
	r->bytes += m->payload_len;
	return true;
}

static struct ssm_slot *stored(const struct ssm_rcv *r, int64_t seq)
{
	struct ssm_slot *slot;

	if (r->count == 0 || seq - r->expected >= r->cap)
		return NULL;
	slot = slot_of(r, seq);
	return slot->p ? slot : NULL;
}

/* A number above the expected one. */
static void early(struct ssm_chan *c, const struct ssm_msg *m)
{
	struct ssm_rcv *r = &c->rcv;
	const struct ssm_slot *slot = stored(r, m->seq);

	if (slot) {
		c->stats.duplicates_in++;
		if (slot->acked)
			ack_push(r, m->id, m->seq);
		return;
	}
	if (m->seq - r->expected >= SSM_REORDER_MSGS || r->count >= SSM_REORDER_MSGS ||
	    m->payload_len > SSM_REORDER_BYTES - MIN(r->bytes, SSM_REORDER_BYTES) ||
	    !store(r, m, !r->stalled)) {
		c->stats.dropped_in++;
		return;
	}
	if (!r->stalled)
		ack_push(r, m->id, m->seq);
}

static int deliver(struct ssm_chan *c, uint32_t payload_type, const uint8_t *p, size_t len)
{
	int r;

	c->rcv.draining = true;
	r = len ? ssm_session_deliver(c, payload_type, p, len) : 0;
	c->rcv.draining = false;
	if (r < 0)
		return r;
	c->rcv.expected++;
	c->stats.msgs_in++;
	c->stats.bytes_in += len;
	/* a client sends data only when it has seen HandshakeComplete and can take ours */
	if (c->role == SSM_ROLE_AGENT && c->state == SSM_CHAN_READY &&
	    !ssm_pt_is_handshake(payload_type))
		c->snd.peer_ready = true;
	return 0;
}

void ssm_rcv_drain(struct ssm_chan *c)
{
	struct ssm_rcv *r = &c->rcv;
	struct ssm_slot *slot;

	if (r->draining)
		return;
	while (c->state != SSM_CHAN_CLOSED && (slot = stored(r, r->expected))) {
		int64_t seq = r->expected;

		r->stalled = deliver(c, slot->payload_type, slot->p, slot->len) < 0;
		if (r->stalled)
			return;
		/* the callback can't have moved the ring: only input does */
		if (!slot->acked)
			ack_push(r, slot->id, seq);
		r->count--;
		r->bytes -= slot->len;
		free(slot->p);
		slot->p = NULL;
	}
}

static void expected(struct ssm_chan *c, const struct ssm_msg *m)
{
	struct ssm_rcv *r = &c->rcv;

	if (r->stalled) {
		c->stats.duplicates_in++;
		ssm_rcv_drain(c);
		return;
	}
	if (deliver(c, m->payload_type, m->payload, m->payload_len) == 0) {
		ack_push(r, m->id, m->seq);
		ssm_rcv_drain(c);
		return;
	}
	r->stalled = store(r, m, false);
	if (!r->stalled)
		c->stats.dropped_in++;
}

void ssm_rcv_stream(struct ssm_chan *c, const struct ssm_msg *m)
{
	struct ssm_rcv *r = &c->rcv;

	if (m->seq < r->expected) {
		c->stats.duplicates_in++;
		ack_push(r, m->id, m->seq);
	} else if (m->seq > r->expected) {
		early(c, m);
	} else {
		expected(c, m);
	}
}
