// SPDX-License-Identifier: MIT
/*
 * dns_pipe_chan.c - one channel to a resolver: frames out and in, and which question has which id
 *
 * Theory of operation: questions wait in `unsent`, are copied to `out` a batch at a time when `out` is empty, and wait in `sent` for
 * their answers. One that is not wanted any more is just forgotten: what comes for its id later is ignored. Ids are random among those
 * that the channel has not in use.
 *
 * What a resolver sends is not trusted: a frame too short for a header, or a message that is no answer, means that the two of us don't
 * agree where frames begin, and closes the channel. An unknown id or another question is ignored and counted.
 *
 * One timer: while questions wait it asks whether the channel has stalled, else whether it has been idle for long. An answer does not move
 * it; it looks at the clock when it rings and sets itself anew.
 */
#include "dns/dns_pipe_internal.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/codec.h"
#include "base/err.h"
#include "base/log.h"
#include "dns/dns_frame.h"

#define PIPE_BATCH                                                                                 \
	1200U /* bytes of small frames written at once, ours: one message of the tunnel */

static uint64_t now_of(const struct pipe_chan *ch)
{
	return loop_now_ms(ch->pipes->loop);
}

static void timer_arm(struct pipe_chan *ch)
{
	bool waits = ch->n_flights > 0;
	uint64_t at_ms = waits ? ch->heard_ms + PIPE_STALL_MS : ch->used_ms + PIPE_IDLE_MS;

	if (waits &&
	    (ch->state != PIPE_OPEN || ch->stalled)) { /* the deadlines of its asks are armed */
		loop_timer_cancel(ch->pipes->loop, &ch->timer);
		return;
	}
	if (loop_timer_armed(&ch->timer) && ch->timer.at_ms <= at_ms)
		return;
	if (loop_timer_set(ch->pipes->loop, &ch->timer, at_ms) < 0)
		log_limited(now_of(ch), LOG_WARN, "dns: out of memory for a timer");
}

static void timer_rings(void *arg, uint64_t now_ms)
{
	struct pipe_chan *ch = arg;

	if (ch->n_flights == 0 && now_ms >= ch->used_ms + PIPE_IDLE_MS) {
		pipe_chan_kill(ch);
		return;
	}
	if (ch->n_flights > 0 && ch->state == PIPE_OPEN && !ch->stalled &&
	    now_ms >= ch->heard_ms + PIPE_STALL_MS) {
		ch->stalled = true;
		pipe_chan_stalled(ch);
		return;
	}
	timer_arm(ch);
}

/* ---- out */

/* Return: false if there is nothing to write, or no memory for it now */
static bool batch_make(struct pipe_chan *ch)
{
	while (!list_empty(&ch->unsent)) {
		struct pipe_flight *f = container_of(ch->unsent.head.next, struct pipe_flight,
						     node);

		if (ch->out.len > 0 && ch->out.len + DNS_FRAME_HEAD + f->ask->len > PIPE_BATCH)
			break;
		if (dns_frame_put(&ch->out, f->ask->msg, f->ask->len, f->id) < 0)
			break;
		list_del(&f->node);
		list_push_back(&ch->sent, &f->node);
	}
	return ch->out.len > 0;
}

static void chan_flush(struct pipe_chan *ch)
{
	const struct dns_stream *s = &ch->stream;

	while (ch->state == PIPE_OPEN && (ch->out.len > 0 || batch_make(ch))) {
		size_t n = MIN(s->ops->room(s->owner, s->h), ch->out.len);

		if (n == 0)
			return;
		if (s->ops->write(s->owner, s->h, buf_data(&ch->out), n) < 0) {
			pipe_chan_lost(ch, "the connection was closed");
			return;
		}
		buf_consume(&ch->out, n);
	}
}

static void flush_runs(void *arg, uint64_t now_ms)
{
	(void)now_ms;
	chan_flush(arg);
}

/* ---- in */

static struct list *bucket(struct pipe_chan *ch, uint16_t id)
{
	return &ch->by_id[id % PIPE_ID_BUCKETS];
}

static struct pipe_flight *flight_find(struct pipe_chan *ch, uint16_t id)
{
	list_for_each (it, bucket(ch, id)) {
		struct pipe_flight *f = container_of(it, struct pipe_flight, by_id);

		if (f->id == id)
			return f;
	}
	return NULL;
}

/* An error so early that the resolver did not even repeat the question (RFC 1035 asks it to, some don't) */
static bool is_bare_error(const uint8_t *msg)
{
	return be16_get(msg + 4) == 0 && dns_msg_rcode(msg) != 0;
}

static void bare_error(struct pipe_flight *f, const uint8_t *msg)
{
	char text[64];

	snprintf(text, sizeof(text), "it answered error %u without the question",
		 dns_msg_rcode(msg));
	pipe_refused(f, text);
}

/* The channel may be DEAD afterwards. */
static void message_take(struct pipe_chan *ch, uint8_t *msg, size_t len)
{
	struct pipe_flight *f;

	if (!(msg[2] & 0x80)) {
		pipe_chan_lost(ch, "it sent something that is no answer");
		return;
	}
	ch->heard_ms = now_of(ch);
	ch->stalled = false;
	ch->answered = true;
	ch->r->backoff_ms = 0;
	timer_arm(ch);
	f = flight_find(ch, dns_msg_id(msg));
	if (f && dns_msg_same_question(msg, len, f->id, f->ask->msg, f->ask->len)) {
		pipe_answered(f, msg, len);
		return;
	}
	if (f && is_bare_error(msg)) {
		bare_error(f, msg);
		return;
	}
	ch->pipes->ignored++;
}

/* Takes the whole frames out of @ch->in. Return: false if the channel is DEAD by now */
static bool frames_take(struct pipe_chan *ch)
{
	int n;

	while ((n = dns_frame_next(buf_data(&ch->in), ch->in.len)) >= 0) {
		message_take(ch, (uint8_t *)buf_data(&ch->in) + DNS_FRAME_HEAD, (size_t)n);
		if (ch->state == PIPE_DEAD)
			return false;
		buf_consume(&ch->in, DNS_FRAME_HEAD + (size_t)n);
	}
	if (n == ST_EAGAIN)
		return true;
	pipe_chan_lost(ch, "it sent a message too short to be one");
	return false;
}

static void input_take(struct pipe_chan *ch)
{
	const struct dns_stream *s = &ch->stream;
	uint8_t *p;
	ssize_t n;

	do {
		if (buf_reserve(&ch->in, DNS_FRAME_READ, &p) < 0) {
			pipe_chan_lost(ch, "out of memory");
			return;
		}
		n = s->ops->read(s->owner, s->h, p, DNS_FRAME_READ);
		if (n == ST_EAGAIN)
			return;
		if (n <= 0) {
			pipe_chan_lost(ch, n == 0 ? "it closed the connection"
						  : "the connection was lost");
			return;
		}
		buf_commit(&ch->in, (size_t)n);
	} while (frames_take(ch));
}

/* ---- the stream's events */

static void on_opened(void *arg)
{
	struct pipe_chan *ch = arg;

	ch->state = PIPE_OPEN;
	ch->heard_ms = ch->used_ms = now_of(ch);
	timer_arm(ch);
	chan_flush(ch);
}

static void on_failed(void *arg, const char *text)
{
	struct pipe_chan *ch = arg;

	ch->stream.ops = NULL;
	pipe_chan_lost(ch, text);
}

static void on_io(void *arg)
{
	struct pipe_chan *ch = arg;

	input_take(ch);
	chan_flush(ch);
}

static void on_gone(void *arg)
{
	on_failed(arg, "the connection was lost");
}

/* ---- flights */

static uint16_t free_id(struct pipe_chan *ch)
{
	uint16_t id;

	static_assert(PIPE_ASKS_MAX < UINT16_MAX / 2, "a random id is soon a free one");
	do {
		codec_random(&id, sizeof(id));
	} while (flight_find(ch, id));
	return id;
}

void pipe_chan_add(struct pipe_chan *ch, struct pipe_flight *f)
{
	f->chan = ch;
	f->id = free_id(ch);
	list_push_back(&ch->unsent, &f->node);
	list_push_back(bucket(ch, f->id), &f->by_id);
	ch->used_ms = now_of(ch);
	if (ch->n_flights++ == 0)
		ch->heard_ms = ch->used_ms;
	timer_arm(ch);
	loop_task_post(ch->pipes->loop, &ch->flush);
}

void pipe_flight_off(struct pipe_flight *f)
{
	struct pipe_chan *ch = f->chan;

	if (!ch)
		return;
	list_del(&f->node);
	list_del(&f->by_id);
	f->chan = NULL;
	ch->used_ms = now_of(ch);
	if (--ch->n_flights == 0 && ch->stalled)
		pipe_chan_kill(ch);
	else
		timer_arm(ch);
}

/* ---- life */

static void chan_init(struct pipe_chan *ch, struct dns_pipes *p, struct pipe_resolver *r)
{
	*ch = (struct pipe_chan){ .pipes = p, .r = r, .state = PIPE_DIALING };
	buf_init(&ch->in, DNS_FRAME_MAX + DNS_FRAME_READ);
	buf_init(&ch->out, DNS_FRAME_MAX);
	list_init(&ch->unsent);
	list_init(&ch->sent);
	for (size_t i = 0; i < PIPE_ID_BUCKETS; i++)
		list_init(&ch->by_id[i]);
	loop_timer_init(&ch->timer, timer_rings, ch);
	loop_task_init(&ch->flush, LOOP_FLUSH, flush_runs, ch);
	ch->used_ms = loop_now_ms(p->loop);
	list_push_back(&r->chans, &ch->node);
	r->n_chans++;
	p->n_chans++;
}

int pipe_chan_new(struct dns_pipes *p, struct pipe_resolver *r, struct pipe_chan **out)
{
	static const struct dns_stream_events events = {
		.opened = on_opened,
		.failed = on_failed,
		.io = on_io,
		.gone = on_gone,
	};
	struct pipe_chan *ch = malloc(sizeof(*ch));
	int err;

	if (!ch)
		return ST_ENOMEM;
	chan_init(ch, p, r);
	if ((err = p->opts->hooks->dial(p->opts->arg, &r->via, &ch->stream, &events, ch)) < 0) {
		ch->stream.ops = NULL;
		pipe_chan_kill(ch);
		return err;
	}
	*out = ch;
	return 0;
}

void pipe_chan_kill(struct pipe_chan *ch)
{
	if (ch->state == PIPE_DEAD)
		return;
	ST_ASSERT(ch->n_flights == 0);
	if (ch->stream.ops)
		ch->stream.ops->close(ch->stream.owner, ch->stream.h);
	ch->state = PIPE_DEAD;
	loop_timer_cancel(ch->pipes->loop, &ch->timer);
	loop_task_cancel(&ch->flush);
	list_del(&ch->node);
	ch->r->n_chans--;
	ch->r = NULL;
	ch->pipes->n_chans--;
	list_push_back(&ch->pipes->dead, &ch->node);
	loop_task_post(ch->pipes->loop, &ch->pipes->reap);
}

void pipe_chan_free(struct pipe_chan *ch)
{
	buf_fini(&ch->in);
	buf_fini(&ch->out);
	free(ch);
}
