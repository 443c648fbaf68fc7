// SPDX-License-Identifier: MIT
/*
 * ssm_queue.c - outgoing stream messages by number: the ring and its queued end
 *
 * Theory of operation: [base, next_send) were sent, [next_send, next_seq) are queued. A queued
 * message has no header yet, only room for one, so that small writes join the last one: what the
 * service limits is messages a second. A message is one allocation from queueing to its
 * acknowledgement. The ring grows to SSM_SEND_RING_MAX slots and no further.
 */
#include "proto/ssm_internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"

#define RING_START 64U	    /* slots; a power of two */
#define QUEUE_CAP_MIN 1024U /* payload bytes of a fresh message: later small writes join it */

void ssm_snd_init(struct ssm_chan *c, size_t window_max)
{
	struct ssm_snd *s = &c->snd;

	for (unsigned k = 0; k < SSM_FLIGHT_N; k++)
		list_init(&s->flight[k]);
	list_init(&s->resend);
	list_init(&s->stale);
	s->first_data_seq = s->complete_seq = -1;
	s->no_reack = c->role == SSM_ROLE_AGENT;
	ssm_window_init(&s->window, SSM_WINDOW_START, window_max);
}

void ssm_snd_fini(struct ssm_chan *c)
{
	struct ssm_snd *s = &c->snd;

	list_for_each (it, &s->stale)
		free(container_of(it, struct ssm_out, stale_node));
	for (int64_t seq = s->base; seq < s->next_seq; seq++)
		free(*ssm_snd_slot(s, seq));
	free(s->ring);
	s->ring = NULL;
	s->cap = 0;
	s->base = s->next_send = s->next_seq;
	s->queued_bytes = s->flight_bytes = s->stale_bytes = 0;
	s->flight_msgs = s->stale_n = 0;
	for (unsigned k = 0; k < SSM_FLIGHT_N; k++)
		list_init(&s->flight[k]);
	list_init(&s->resend);
	list_init(&s->stale);
}

static int ring_grow(struct ssm_snd *s)
{
	uint32_t cap = s->cap ? s->cap * 2 : RING_START;
	struct ssm_out **ring = calloc(cap, sizeof(struct ssm_out *));

	if (!ring)
		return ST_ENOMEM;
	for (int64_t seq = s->base; seq < s->next_seq; seq++)
		ring[(uint64_t)seq & (cap - 1)] = *ssm_snd_slot(s, seq);
	free(s->ring);
	s->ring = ring;
	s->cap = cap;
	return 0;
}

static uint32_t span_left(const struct ssm_snd *s)
{
	return SSM_SEND_RING_MAX - (uint32_t)(s->next_seq - s->base);
}

static int queue_new(struct ssm_chan *c, uint32_t payload_type, size_t cap, struct ssm_out **out)
{
	struct ssm_snd *s = &c->snd;
	struct ssm_out *e;
	int r;

	if (span_left(s) == 0)
		return ST_EFULL;
	if ((uint32_t)(s->next_seq - s->base) == s->cap && (r = ring_grow(s)) < 0)
		return r;
	e = malloc(SSM_OUT_SIZE(cap));
	if (!e)
		return ST_ENOMEM;
	*e = (struct ssm_out){
		.seq = s->next_seq,
		.payload_type = payload_type,
		.cap = (uint32_t)cap,
	};
	*ssm_snd_slot(s, s->next_seq++) = e;
	*out = e;
	return 0;
}

static void payload_add(struct ssm_snd *s, struct ssm_out *e, const void *p, size_t len)
{
	memcpy(e->wire + SSM_OVERHEAD + e->len, p, len);
	e->len += (uint32_t)len;
	s->queued_bytes += len;
}

int ssm_snd_queue(struct ssm_chan *c, uint32_t payload_type, const void *p, size_t len)
{
	struct ssm_out *e;
	int r = queue_new(c, payload_type, len, &e);

	if (r == 0)
		payload_add(&c->snd, e, p, len);
	return r;
}

/* The last queued message if stream bytes may join it. */
static struct ssm_out *tail_open(const struct ssm_chan *c)
{
	const struct ssm_snd *s = &c->snd;
	struct ssm_out *e;

	if (s->next_send == s->next_seq)
		return NULL;
	e = *ssm_snd_slot(s, s->next_seq - 1);
	return e->payload_type == SSM_PT_OUTPUT && e->len < c->max_payload ? e : NULL;
}

/* Return: the message with room for @len more bytes, possibly moved; NULL without memory */
static struct ssm_out *tail_reserve(struct ssm_chan *c, struct ssm_out *e, size_t len)
{
	size_t cap;

	if (e->cap - e->len >= len)
		return e;
	cap = MIN(MAX(e->len + len, (size_t)e->cap * 2), c->max_payload);
	e = realloc(e, SSM_OUT_SIZE(cap));
	if (!e)
		return NULL;
	e->cap = (uint32_t)cap;
	*ssm_snd_slot(&c->snd, e->seq) = e;
	return e;
}

size_t ssm_snd_append(struct ssm_chan *c, const uint8_t *p, size_t len)
{
	size_t taken = 0;

	while (taken < len) {
		struct ssm_out *e = tail_open(c);
		size_t n = len - taken;

		if (e) {
			n = MIN(n, c->max_payload - e->len);
			e = tail_reserve(c, e, n);
		} else {
			n = MIN(n, c->max_payload);
			if (queue_new(c, SSM_PT_OUTPUT, MIN(MAX(n, QUEUE_CAP_MIN), c->max_payload),
				      &e) < 0)
				e = NULL;
		}
		if (!e)
			break;
		payload_add(&c->snd, e, p + taken, n);
		taken += n;
	}
	return taken;
}

size_t ssm_snd_room(const struct ssm_chan *c)
{
	const struct ssm_snd *s = &c->snd;
	size_t bytes = SSM_SEND_QUEUE_MAX - MIN(s->queued_bytes, SSM_SEND_QUEUE_MAX);

	return MIN(bytes, (size_t)span_left(s) * c->max_payload);
}

void ssm_snd_drop_queue(struct ssm_chan *c)
{
	struct ssm_snd *s = &c->snd;

	while (s->next_seq > s->next_send) {
		struct ssm_out **slot = ssm_snd_slot(s, --s->next_seq);

		free(*slot);
		*slot = NULL;
	}
	s->queued_bytes = 0;
}
