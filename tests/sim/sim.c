// SPDX-License-Identifier: MIT
/*
 * sim.c - virtual time
 *
 * Theory of operation: what is going to happen stands in a binary heap by time, then by order of
 * noting. A step takes the first event, hands it to whom it concerns, and lets that one end write;
 * the other ends have not changed. An end's deadline moves with every message, so it is noted only
 * when it has become earlier; a noted one that came too early is noted anew when it is taken.
 */
#include "sim.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "relay.h"

void *sim_xmalloc(size_t size)
{
	void *p = calloc(1, size);

	if (!p)
		ST_BUG("no memory for %zu bytes", size);
	return p;
}

void sim_init(struct sim *s, uint64_t seed)
{
	*s = (struct sim){ .now_us = SIM_START_US, .random = seed, .trace = seed };
}

void sim_fini(struct sim *s)
{
	struct sim_packet *p;

	while ((p = s->pool)) {
		s->pool = p->next;
		free(p);
	}
	free(s->heap);
}

/* ---- the generator: splitmix64 ---- */

static uint64_t mix(uint64_t z)
{
	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

uint64_t sim_random(struct sim *s)
{
	return mix(s->random += UINT64_C(0x9e3779b97f4a7c15));
}

uint64_t sim_below(struct sim *s, uint64_t n)
{
	return n ? sim_random(s) % n : 0;
}

bool sim_chance(struct sim *s, unsigned permille)
{
	return permille && sim_random(s) % 1000 < permille;
}

void sim_uuid(void *arg, uint8_t out[CODEC_UUID_LEN])
{
	const struct sim_end *e = arg;

	be64_put(out, sim_random(e->sim));
	be64_put(out + 8, sim_random(e->sim));
}

/* ---- events ---- */

static bool earlier(const struct sim_event *a, const struct sim_event *b)
{
	return a->at_us != b->at_us ? a->at_us < b->at_us : a->order < b->order;
}

void sim_at(struct sim *s, uint64_t at_us, enum sim_event_kind kind, void *ptr, uint32_t arg)
{
	struct sim_event ev = { .at_us = MAX(at_us, s->now_us),
				.order = s->order++,
				.ptr = ptr,
				.kind = kind,
				.arg = arg };
	size_t i = s->heap_n++;

	if (s->heap_n > s->heap_cap) {
		s->heap_cap = MAX(s->heap_cap * 2, (size_t)256);
		s->heap = realloc(s->heap, s->heap_cap * sizeof(*s->heap));
		if (!s->heap)
			ST_BUG("no memory for %zu events", s->heap_cap);
	}
	for (; i > 0 && earlier(&ev, &s->heap[(i - 1) / 2]); i = (i - 1) / 2)
		s->heap[i] = s->heap[(i - 1) / 2];
	s->heap[i] = ev;
}

static struct sim_event heap_pop(struct sim *s)
{
	struct sim_event first = s->heap[0], last = s->heap[--s->heap_n];
	size_t i = 0, child;

	while ((child = 2 * i + 1) < s->heap_n) {
		if (child + 1 < s->heap_n && earlier(&s->heap[child + 1], &s->heap[child]))
			child++;
		if (!earlier(&s->heap[child], &last))
			break;
		s->heap[i] = s->heap[child];
		i = child;
	}
	s->heap[i] = last;
	return first;
}

void sim_arm(struct sim_end *e)
{
	uint64_t at_us = e->over ? SIM_NEVER : e->ops->deadline(e);

	at_us = MAX(at_us, e->sim->now_us);
	if (at_us >= e->armed_us)
		return;
	e->armed_us = at_us;
	sim_at(e->sim, at_us, SIM_EV_TIMER, e, 0);
}

void sim_settle(struct sim_end *e)
{
	if (!e->over)
		e->ops->settle(e);
	sim_arm(e);
}

static void timer_run(struct sim_end *e, uint64_t at_us)
{
	if (at_us != e->armed_us)
		return;
	e->armed_us = SIM_NEVER;
	if (!e->over && e->ops->deadline(e) <= e->sim->now_us)
		e->ops->expire(e);
	sim_settle(e);
}

static void event_run(struct sim *s, const struct sim_event *ev)
{
	switch (ev->kind) {
	case SIM_EV_PACKET: relay_arrive(ev->ptr); break;
	case SIM_EV_TIMER: timer_run(ev->ptr, ev->at_us); break;
	case SIM_EV_RELAY: relay_act(ev->ptr, ev->arg); break;
	case SIM_EV_APP: {
		struct sim_end *e = ev->ptr;

		if (!e->over)
			e->ops->resume_input(e);
		sim_settle(e);
		break;
	}
	default: s->on_probe(s, ev->ptr);
	}
}

bool sim_step(struct sim *s, uint64_t until_us)
{
	struct sim_event ev;

	if (s->failed)
		return false;
	if (s->heap_n == 0 || s->heap[0].at_us > until_us) {
		s->now_us = MAX(s->now_us, until_us);
		return false;
	}
	ev = heap_pop(s);
	if (ev.at_us > s->now_us)
		s->events = 0;
	else if (++s->events > SIM_EVENTS_AT_ONE_TIME)
		sim_fail(s, "time stands still");
	s->now_us = ev.at_us;
	event_run(s, &ev);
	return !s->failed;
}

/* ---- outcome and trace ---- */

void sim_fail(struct sim *s, const char *fmt, ...)
{
	va_list args;

	if (s->failed)
		return;
	s->failed = true;
	va_start(args, fmt);
	vsnprintf(s->reason, sizeof(s->reason), fmt, args);
	va_end(args);
}

void sim_note(struct sim *s, const char *what, int side, uint64_t a, uint64_t b)
{
	s->trace = mix(s->trace ^ (s->now_us * 3 + (uint64_t)side)) + mix(a * 5 + b);
	if (s->verbose)
		printf("%10.3f ms  %-6s %-9s %" PRIu64 " %" PRIu64 "\n",
		       (double)(s->now_us - SIM_START_US) / 1000,
		       side == SIM_CLIENT ? "client" : "agent", what, a, b);
}

/* ---- packets ---- */

struct sim_packet *sim_packet_new(struct sim *s, size_t len)
{
	struct sim_packet *p = s->pool;

	if (len <= SIM_PACKET_POOLED && p) {
		s->pool = p->next;
	} else {
		size_t cap = MAX(len, SIM_PACKET_POOLED);

		p = sim_xmalloc(sizeof(*p) + cap);
		p->cap = (uint32_t)cap;
	}
	p->refs = 1;
	p->len = (uint32_t)len;
	return p;
}

struct sim_packet *sim_packet_ref(struct sim_packet *p)
{
	p->refs++;
	return p;
}

void sim_packet_unref(struct sim *s, struct sim_packet *p)
{
	if (--p->refs > 0)
		return;
	if (p->cap == SIM_PACKET_POOLED) {
		p->next = s->pool;
		s->pool = p;
	} else {
		free(p);
	}
}
