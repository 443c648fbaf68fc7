// SPDX-License-Identifier: MIT
/*
 * gw_fault.c - loss, delay, duplicates and disorder for tests of what the protocol survives
 *
 * Theory of operation: a message that is not lost gets a due time (now, the delay, and some more if
 * it is to be overtaken) and is inserted into its direction's queue by that time, equal times in
 * order of arrival. The dice are a small generator seeded per direction, so that a run with the
 * same seed and the same traffic fails in the same way.
 */
#include "gateway/gw_fault.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/codec.h"
#include "base/err.h"

#define REORDER_MS 15U /* ours: a message is held back so long at most */
#define SPEC_MAX 512U

struct waiting {
	struct list_node node;
	uint64_t due_ms;
	size_t len;
	uint8_t data[];
};

/* ---- the text ---- */

static bool parse_probability(double *out, const char *v)
{
	char *end;
	double d;

	errno = 0;
	d = strtod(v, &end);
	if (errno || end == v || *end || !(d >= 0.0 && d <= 1.0))
		return false;
	*out = d;
	return true;
}

static bool parse_number(uint64_t *out, const char *v, uint64_t max)
{
	unsigned long long n;
	char *end;

	errno = 0;
	if (*v < '0' || *v > '9')
		return false;
	n = strtoull(v, &end, 10);
	if (errno || *end || n > max)
		return false;
	*out = n;
	return true;
}

static bool parse_side(struct gwf_spec *s, const char *v)
{
	s->cut_client = strcmp(v, "client") == 0 || strcmp(v, "both") == 0;
	s->cut_agent = strcmp(v, "agent") == 0 || strcmp(v, "both") == 0;
	return s->cut_client || s->cut_agent;
}

static bool parse_pair(struct gwf_spec *s, const char *key, const char *v)
{
	uint64_t n = 0;
	bool ok;

	if (strcmp(key, "loss") == 0)
		return parse_probability(&s->loss, v);
	if (strcmp(key, "ack-loss") == 0)
		return parse_probability(&s->ack_loss, v);
	if (strcmp(key, "reorder") == 0)
		return parse_probability(&s->reorder, v);
	if (strcmp(key, "dup") == 0)
		return parse_probability(&s->dup, v);
	if (strcmp(key, "cut-after") == 0)
		return parse_number(&s->cut_after, v, UINT64_MAX);
	if (strcmp(key, "seed") == 0)
		return parse_number(&s->seed, v, UINT64_MAX);
	if (strcmp(key, "cut-side") == 0)
		return parse_side(s, v);
	ok = parse_number(&n, v, 60000);
	if (strcmp(key, "delay") == 0)
		s->delay_ms = (uint32_t)n;
	else if (strcmp(key, "pause-unacked") == 0)
		s->pause_unacked = (uint32_t)n;
	else
		return false;
	return ok;
}

int gwf_parse(struct gwf_spec *out, const char *text, const char **why)
{
	struct gwf_spec s = { .cut_client = true };
	char copy[SPEC_MAX], *save, *eq;

	*why = "faults are loss, ack-loss, reorder, dup (0..1), delay (ms), cut-after (bytes), "
	       "cut-side (client, agent, both), pause-unacked (messages) and seed, as key=value "
	       "separated by commas, or off";
	if (strlen(text) >= sizeof(copy))
		return ST_EINVAL;
	memcpy(copy, text, strlen(text) + 1);
	if (strcmp(copy, "off") != 0) {
		for (char *p = strtok_r(copy, ",", &save); p; p = strtok_r(NULL, ",", &save)) {
			if (!(eq = strchr(p, '=')))
				return ST_EINVAL;
			*eq = '\0';
			if (!parse_pair(&s, p, eq + 1))
				return ST_EINVAL;
		}
	}
	*out = s;
	return 0;
}

bool gwf_active(const struct gwf_spec *s)
{
	return s->loss > 0 || s->ack_loss > 0 || s->reorder > 0 || s->dup > 0 || s->delay_ms ||
	       s->cut_after || s->pause_unacked;
}

/* ---- the queue ---- */

void gwf_init(struct gwf_dir *d, uint64_t seed)
{
	list_init(&d->queue);
	d->queued_bytes = 0;
	d->dice = seed;
	if (!seed)
		codec_random(&d->dice, sizeof(d->dice));
}

void gwf_fini(struct gwf_dir *d)
{
	struct list_node *n;

	while ((n = list_pop_front(&d->queue)))
		free(container_of(n, struct waiting, node));
	d->queued_bytes = 0;
}

/* splitmix64 (Vigna): every seed is fine, 0 included. Return: 0 <= x < 1 */
static double dice_throw(struct gwf_dir *d)
{
	uint64_t z = d->dice += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return (double)((z ^ (z >> 31)) >> 11) / 9007199254740992.0; /* 2^53 */
}

static void queue_insert(struct gwf_dir *d, const uint8_t *p, size_t len, uint64_t due_ms)
{
	struct list_node *at = d->queue.head.prev;
	struct waiting *w;

	if (len > GWF_HELD_MAX - d->queued_bytes || !(w = malloc(sizeof(*w) + len)))
		return; /* a loss more */
	w->due_ms = due_ms;
	w->len = len;
	memcpy(w->data, p, len);
	while (at != &d->queue.head && container_of(at, struct waiting, node)->due_ms > due_ms)
		at = at->prev;
	list_insert_after(at, &w->node);
	d->queued_bytes += len;
}

void gwf_put(struct gwf_dir *d, const struct gwf_spec *spec, const uint8_t *p, size_t len,
	     bool is_ack, uint64_t now_ms)
{
	uint64_t due = now_ms + spec->delay_ms;

	if (dice_throw(d) < (is_ack ? spec->ack_loss : spec->loss))
		return;
	if (dice_throw(d) < spec->dup)
		queue_insert(d, p, len, due);
	if (dice_throw(d) < spec->reorder)
		due += 1 + (uint64_t)(dice_throw(d) * (REORDER_MS - 1));
	queue_insert(d, p, len, due);
}

const uint8_t *gwf_take(struct gwf_dir *d, size_t *len, void **mem, uint64_t now_ms)
{
	struct waiting *w;

	if (gwf_deadline(d) > now_ms)
		return NULL;
	w = container_of(list_pop_front(&d->queue), struct waiting, node);
	d->queued_bytes -= w->len;
	*len = w->len;
	*mem = w;
	return w->data;
}

uint64_t gwf_deadline(const struct gwf_dir *d)
{
	if (list_empty(&d->queue))
		return GWF_NEVER;
	return container_of(d->queue.head.next, struct waiting, node)->due_ms;
}
