// SPDX-License-Identifier: MIT
/* stock.c - shared by the models of the stock peers */
#include "stock.h"

#include <stdlib.h>
#include <string.h>

#include "proto/ssm_ack.h"

#define RING_START 256U
#define RTT_START_US (100 * SIM_MS)
#define RTO_START_US (200 * SIM_MS)
#define RTO_VAR_MIN_US (10 * SIM_MS)

/* ---- buffers ---- */

static struct stock_slot *slot_of(const struct stock_buffer *b, int64_t seq)
{
	return &b->ring[(uint64_t)seq & (b->cap - 1)];
}

static void buffer_reserve(struct stock_buffer *b, int64_t from, int64_t to)
{
	uint32_t cap = MAX(b->cap, RING_START);
	struct stock_slot *ring;

	while (cap < (uint64_t)(to - from))
		cap *= 2;
	if (cap == b->cap)
		return;
	ring = sim_xmalloc(cap * sizeof(*ring));
	for (int64_t seq = b->base; seq < b->next; seq++)
		ring[(uint64_t)seq & (cap - 1)] = *slot_of(b, seq);
	free(b->ring);
	b->ring = ring;
	b->cap = cap;
}

void stock_buffer_put(struct sim *s, struct stock_buffer *b, int64_t seq, struct sim_packet *p)
{
	int64_t from = b->n ? MIN(b->base, seq) : seq;
	int64_t to = b->n ? MAX(b->next, seq + 1) : seq + 1;

	stock_buffer_del(s, b, seq);
	buffer_reserve(b, from, to);
	b->base = from;
	b->next = to;
	b->n++;
	*slot_of(b, seq) = (struct stock_slot){ .p = sim_packet_ref(p) };
}

struct stock_slot *stock_buffer_get(const struct stock_buffer *b, int64_t seq)
{
	struct stock_slot *slot;

	if (b->n == 0 || seq < b->base || seq >= b->next)
		return NULL;
	slot = slot_of(b, seq);
	return slot->p ? slot : NULL;
}

void stock_buffer_del(struct sim *s, struct stock_buffer *b, int64_t seq)
{
	struct stock_slot *slot = stock_buffer_get(b, seq);

	if (!slot)
		return;
	sim_packet_unref(s, slot->p);
	slot->p = NULL;
	b->n--;
}

struct stock_slot *stock_buffer_oldest(struct stock_buffer *b, int64_t *seq)
{
	if (b->n == 0)
		return NULL;
	while (!slot_of(b, b->base)->p)
		b->base++;
	*seq = b->base;
	return slot_of(b, b->base);
}

void stock_buffer_fini(struct sim *s, struct stock_buffer *b)
{
	for (uint32_t i = 0; i < b->cap; i++)
		if (b->ring[i].p)
			sim_packet_unref(s, b->ring[i].p);
	free(b->ring);
}

/* ---- time ---- */

void stock_rtt_init(struct stock_rtt *r)
{
	*r = (struct stock_rtt){ .srtt_us = RTT_START_US, .rto_us = RTO_START_US };
}

void stock_rtt_sample(struct stock_rtt *r, uint64_t rtt_us)
{
	uint64_t diff = r->srtt_us > rtt_us ? r->srtt_us - rtt_us : rtt_us - r->srtt_us;

	r->var_us = (3 * r->var_us + diff) / 4;
	r->srtt_us = (7 * r->srtt_us + rtt_us) / 8;
	r->rto_us = MIN(r->srtt_us + MAX(RTO_VAR_MIN_US, 4 * r->var_us), STOCK_RTO_MAX_US);
}

uint64_t stock_tick_at(uint64_t phase_us, uint64_t us)
{
	return phase_us + (us - phase_us + STOCK_TICK_US - 1) / STOCK_TICK_US * STOCK_TICK_US;
}

uint64_t stock_open_delay(struct sim *s, unsigned call, uint64_t first_us)
{
	(void)s;
	return call == 0 ? 0 : first_us << (call - 1);
}

size_t stock_read(struct sim *s, size_t max)
{
	return sim_chance(s, 900) ? max : 1 + sim_below(s, max);
}

/* ---- messages ---- */

static uint64_t unix_ms(const struct sim *s)
{
	return SIM_UNIX_MS + s->now_us / 1000;
}

static struct sim_packet *write_out(struct sim_end *e, struct ssm_msg *m)
{
	struct sim_packet *p = sim_packet_new(e->sim, ssm_msg_size(m, m->payload_len));

	m->created_ms = unix_ms(e->sim);
	sim_uuid(e, m->id);
	if (ssm_msg_encode(p->bytes, p->len, m) < 0)
		ST_BUG("a message of %zu bytes can't be written", m->payload_len);
	return p;
}

struct sim_packet *stock_stream(struct sim_end *e, int64_t seq, uint32_t payload_type,
				const void *p, size_t len)
{
	struct ssm_msg m = {
		.type = e->side == SIM_CLIENT ? SSM_INPUT_STREAM_DATA : SSM_OUTPUT_STREAM_DATA,
		.seq = seq,
		.flags = e->side == SIM_AGENT && seq == 0 ? SSM_FLAGS_SYN : SSM_FLAGS_DATA,
		.payload_type = payload_type,
		.payload = p,
		.payload_len = len,
	};

	return write_out(e, &m);
}

bool stock_ack(struct sim_end *e, const struct ssm_msg *m)
{
	char text[SSM_ACK_MAX];
	struct ssm_msg ack = {
		.type = SSM_ACKNOWLEDGE,
		.flags = SSM_FLAGS_ACK,
		.payload = (const uint8_t *)text,
		.payload_len = ssm_ack_write(text, m->type, m->id, m->seq),
	};
	struct sim_packet *p = write_out(e, &ack);
	bool r = relay_send(e, p);

	sim_packet_unref(e->sim, p);
	return r;
}
