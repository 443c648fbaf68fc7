// SPDX-License-Identifier: MIT
/*
 * dns_pipe.c - resolvers behind upstreams, asked over kept and pipelined channels (RFC 7766)
 *
 * Theory of operation: a resolver has up to PIPE_CHANS_MAX channels (dns_pipe_chan.c), normally one, on which any number of questions
 * are under way and are answered in any order. A question goes to the channel with the fewest among those that speak; the first one
 * dials. A channel that is idle for PIPE_IDLE_MS is closed; at DNS_PIPES_MAX the one idle for longest is.
 *
 * A slow name must not hold up others, also where the far server answers one question after the other: a channel that said nothing for
 * PIPE_STALL_MS gets no new questions, and all that wait on it but the oldest, which may be what it is stuck with, are asked once more
 * on another channel. Whichever answers first counts. When the oldest has run out of its time the channel is given up.
 *
 * A channel that is lost is dialled anew at once for the questions that were on it; one that loses two channels fails. A channel that
 * could not be opened, or was lost before it answered anything, makes the resolver fail: what waits is answered ST_ECLOSED, and so is
 * what comes during a pause that doubles from PIPE_BACKOFF_MS to PIPE_BACKOFF_MAX_MS. No timer runs for that: the next question
 * after the pause dials.
 *
 * Callbacks: an answer is handed on from inside the event that brought it; every failure goes through `ended` and is told at the end of the
 * turn, so that no list changes while it is walked.
 */
#include "dns/dns_pipe_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/handle.h"

/* ---- the end of an ask */

/* Nothing of ours names it any more. */
static void ask_detach(struct pipe_ask *ask)
{
	struct dns_pipes *p = ask->pipes;

	for (size_t i = 0; i < PIPE_CHANS_MAX; i++)
		pipe_flight_off(&ask->flights[i]);
	loop_timer_cancel(p->loop, &ask->deadline);
	list_del(&ask->node);
	ask->r = NULL;
}

static void ask_free(struct pipe_ask *ask)
{
	ask_detach(ask);
	hnd_del(&ask->pipes->asks, ask->h);
	ask->pipes->bytes -= ask->len;
	free(ask->text);
	free(ask);
}

/* Told at the end of the turn. */
static void ask_fail(struct pipe_ask *ask, int err, const char *text)
{
	char where[NET_ENDPOINT_STR];

	if (asprintf(&ask->text, "resolver %s: %s", net_endpoint_str(where, &ask->r->via.resolver),
		     text) < 0)
		ask->text = NULL;
	ask->err = err;
	ask_detach(ask);
	list_push_back(&ask->pipes->ended, &ask->node);
	loop_task_post(ask->pipes->loop, &ask->pipes->tell);
}

static void ended_tell(void *arg_p, uint64_t now_ms)
{
	struct dns_pipes *p = arg_p;
	struct list_node *node;
	struct list now;

	(void)now_ms;
	/* What fails during these calls is told the next turn: an owner that asks again at once can't hold this one. */
	list_init(&now);
	list_splice_back(&now, &p->ended);
	while ((node = list_pop_front(&now))) {
		struct pipe_ask *ask = container_of(node, struct pipe_ask, node);
		dns_answer_fn *done = ask->done;
		void *arg = ask->arg;
		char *text = ask->text;
		int err = ask->err;

		ask->text = NULL;
		ask_free(ask);
		done(arg, err, NULL, 0, text ? text : st_strerror(err));
		free(text);
	}
}

void pipe_answered(struct pipe_flight *f, uint8_t *msg, size_t len)
{
	struct pipe_ask *ask = f->ask;
	dns_answer_fn *done = ask->done;
	void *arg = ask->arg;

	dns_msg_set_id(msg, dns_msg_id(ask->msg));
	ask_free(ask);
	done(arg, 0, msg, len, "");
}

void pipe_refused(struct pipe_flight *f, const char *text)
{
	ask_fail(f->ask, ST_ECLOSED, text);
}

/* ---- which channel */

static bool ask_is_on(const struct pipe_ask *ask, const struct pipe_chan *ch)
{
	for (size_t i = 0; i < PIPE_CHANS_MAX; i++) {
		if (ask->flights[i].chan == ch)
			return true;
	}
	return false;
}

/* The channel with the fewest questions, those of @stalled that don't have @ask already; NULL: none */
static struct pipe_chan *chan_best(const struct pipe_ask *ask, bool stalled)
{
	struct pipe_chan *best = NULL;

	list_for_each (it, &ask->r->chans) {
		struct pipe_chan *ch = container_of(it, struct pipe_chan, node);

		if (ch->stalled == stalled && !ask_is_on(ask, ch) &&
		    (!best || ch->n_flights < best->n_flights))
			best = ch;
	}
	return best;
}

static void ask_put_on(struct pipe_ask *ask, struct pipe_chan *ch)
{
	for (size_t i = 0; i < PIPE_CHANS_MAX; i++) {
		struct pipe_flight *f = &ask->flights[i];

		if (f->chan)
			continue;
		f->ask = ask;
		pipe_chan_add(ch, f);
		return;
	}
	ST_BUG("an ask is on more channels than there are");
}

/* A new channel for @ask. Return: NULL: there are too many, or it can't be dialled (then the resolver has failed) */
static struct pipe_chan *chan_dial(struct pipe_ask *ask)
{
	struct pipe_resolver *r = ask->r;
	struct pipe_chan *ch;
	int err;

	if (r->n_chans == PIPE_CHANS_MAX || !pipe_chan_room(ask->pipes, r->via.relay))
		return NULL;
	err = pipe_chan_new(ask->pipes, r, &ch);
	if (err == 0)
		return ch;
	pipe_resolver_failed(ask->pipes, r,
			     err == ST_ENOENT ? "its upstream is not there" : st_strerror(err));
	return NULL;
}

/* @again: its channel was lost, a pause does not count. Return: false: there is no channel for it */
static bool ask_place(struct pipe_ask *ask, bool again)
{
	struct pipe_chan *ch = chan_best(ask, false);

	if (!ch && (again || !pipe_resolver_pauses(ask->pipes, ask->r)))
		ch = chan_dial(ask);
	if (!ch)
		ch = chan_best(ask, true);
	if (ch)
		ask_put_on(ask, ch);
	return ch;
}

/* ---- channels that fail */

static bool ask_waits(const struct pipe_ask *ask)
{
	for (size_t i = 0; i < PIPE_CHANS_MAX; i++) {
		if (ask->flights[i].chan)
			return true;
	}
	return false;
}

/* Its channel is lost. @dialled: the channel had been open */
static void ask_lost(struct pipe_ask *ask, bool dialled, const char *text)
{
	if (ask_waits(ask))
		return;
	if (dialled && ++ask->losses > 1) {
		ask_fail(ask, ST_ECLOSED, text);
		return;
	}
	if (!dialled && ask->r->n_chans == 0) {
		ask_fail(ask, ST_ECLOSED, text);
		return;
	}
	if (!ask_place(ask, dialled))
		ask_fail(ask, ST_ECLOSED, ask->r->text[0] ? ask->r->text : text);
}

/* Ends the flights of @from and moves their asks to @asks */
static void flights_end(struct list *from, struct list *asks)
{
	while (!list_empty(from)) {
		struct pipe_flight *f = container_of(from->head.next, struct pipe_flight, node);
		struct list_node *node = &f->ask->node;

		pipe_flight_off(f);
		list_del(node);
		list_push_back(asks, node);
	}
}

void pipe_chan_lost(struct pipe_chan *ch, const char *text)
{
	struct dns_pipes *p = ch->pipes;
	struct pipe_resolver *r = ch->r;
	bool dialled = ch->state == PIPE_OPEN;
	struct list_node *node;
	struct list asks;

	if (!ch->answered)
		pipe_resolver_failed(p, r, text);
	list_init(&asks);
	flights_end(&ch->sent, &asks);
	flights_end(&ch->unsent, &asks);
	pipe_chan_kill(ch);
	while ((node = list_pop_front(&asks))) {
		list_push_back(&r->asks, node);
		ask_lost(container_of(node, struct pipe_ask, node), dialled, text);
	}
}

/* Asks @f's question beside @ch, unless that was done and what was asked speaks */
static void hedge(struct pipe_flight *f)
{
	struct pipe_ask *ask = f->ask;
	struct pipe_chan *ch;

	for (size_t i = 0; i < PIPE_CHANS_MAX; i++) {
		if (ask->flights[i].chan && !ask->flights[i].chan->stalled)
			return;
	}
	ch = chan_best(ask, false);
	if (!ch && !pipe_resolver_pauses(ask->pipes, ask->r))
		ch = chan_dial(ask);
	if (ch)
		ask_put_on(ask, ch);
}

void pipe_chan_stalled(struct pipe_chan *ch)
{
	struct list_node *oldest = list_empty(&ch->sent) ? NULL : ch->sent.head.next;

	list_for_each (it, &ch->sent) {
		if (it != oldest)
			hedge(container_of(it, struct pipe_flight, node));
	}
	list_for_each (it, &ch->unsent) {
		hedge(container_of(it, struct pipe_flight, node));
	}
}

/* ---- asks */

static bool is_oldest(const struct pipe_flight *f)
{
	return f->chan->sent.head.next == &f->node;
}

/* A channel that has said nothing since it was asked this is stuck with it, or dead. */
static void deadline_rings(void *arg, uint64_t now_ms)
{
	struct pipe_ask *ask = arg;
	struct pipe_chan *stuck[PIPE_CHANS_MAX];
	size_t n = 0;

	(void)now_ms;
	for (size_t i = 0; i < PIPE_CHANS_MAX; i++) {
		struct pipe_flight *f = &ask->flights[i];

		if (f->chan && f->chan->stalled && is_oldest(f))
			stuck[n++] = f->chan;
	}
	ask_fail(ask, ST_ETIMEOUT, "no answer in time");
	while (n-- > 0) {
		if (stuck[n]->state != PIPE_DEAD)
			pipe_chan_lost(stuck[n], "no answer in time");
	}
}

static int ask_new(struct dns_pipes *p, struct pipe_resolver *r, const uint8_t *msg, size_t len,
		   struct pipe_ask **out)
{
	struct pipe_ask *ask = calloc(1, sizeof(*ask) + len);
	int err;

	if (!ask)
		return ST_ENOMEM;
	if ((err = hnd_add(&p->asks, ask, &ask->h)) < 0) {
		free(ask);
		return err;
	}
	ask->pipes = p;
	ask->r = r;
	ask->len = len;
	memcpy(ask->msg, msg, len);
	loop_timer_init(&ask->deadline, deadline_rings, ask);
	list_push_back(&r->asks, &ask->node);
	p->bytes += len;
	*out = ask;
	return 0;
}

int dns_pipe_ask(struct dns_pipes *p, handle *out, const struct dns_via *via, const uint8_t *msg,
		 size_t len, uint64_t deadline_ms, dns_answer_fn *done, void *arg)
{
	struct pipe_resolver *r;
	struct pipe_ask *ask;
	int err;

	if (len > DNS_MESSAGE_MAX || dns_msg_question_len(msg, len) == 0)
		return ST_EFORMAT;
	if (len > PIPE_BYTES_MAX - p->bytes)
		return ST_EFULL;
	if ((err = pipe_resolver_get(p, via, &r)) < 0 || (err = ask_new(p, r, msg, len, &ask)) < 0)
		goto out;
	ask->done = done;
	ask->arg = arg;
	if ((err = loop_timer_set(p->loop, &ask->deadline, deadline_ms)) < 0) {
		ask_free(ask);
		goto out;
	}
	*out = ask->h;
	if (!ask_place(ask, false))
		ask_fail(ask, ST_ECLOSED, r->text);
out:
	loop_task_post(p->loop, &p->reap); /* a resolver that was made for nothing */
	return err;
}

void dns_pipe_cancel(struct dns_pipes *p, handle h)
{
	struct pipe_ask *ask = hnd_get(&p->asks, h);

	if (ask)
		ask_free(ask);
}

/* ---- all of them */

static void reap(void *arg, uint64_t now_ms)
{
	struct dns_pipes *p = arg;
	struct list_node *node;

	(void)now_ms;
	while ((node = list_pop_front(&p->dead)))
		pipe_chan_free(container_of(node, struct pipe_chan, node));
	list_for_each (it, &p->resolvers) {
		struct pipe_resolver *r = container_of(it, struct pipe_resolver, node);

		if (pipe_resolver_unused(r) && !r->backoff_ms)
			pipe_resolver_free(p, r);
	}
}

int dns_pipes_new(struct dns_pipes **out, struct dns *d)
{
	struct dns_pipes *p = calloc(1, sizeof(*p));

	if (!p)
		return ST_ENOMEM;
	p->loop = dns_loop(d);
	p->opts = dns_options(d);
	hnd_init(&p->asks, PIPE_ASKS_MAX);
	list_init(&p->resolvers);
	list_init(&p->ended);
	list_init(&p->dead);
	loop_task_init(&p->tell, LOOP_FLUSH, ended_tell, p);
	loop_task_init(&p->reap, LOOP_REAP, reap, p);
	*out = p;
	return 0;
}

static void chans_kill(struct pipe_resolver *r)
{
	list_for_each (it, &r->chans) {
		pipe_chan_kill(container_of(it, struct pipe_chan, node));
	}
}

void dns_pipes_free(struct dns_pipes *p)
{
	struct pipe_ask *ask;
	uint32_t pos = 0;

	if (!p)
		return;
	while ((ask = hnd_next(&p->asks, &pos)))
		ask_free(ask);
	list_for_each (it, &p->resolvers) {
		struct pipe_resolver *r = container_of(it, struct pipe_resolver, node);

		chans_kill(r);
		pipe_resolver_free(p, r);
	}
	reap(p, 0);
	loop_task_cancel(&p->tell);
	loop_task_cancel(&p->reap);
	hnd_fini(&p->asks);
	free(p);
}

void dns_pipes_drop(struct dns_pipes *p, uint32_t upstream)
{
	list_for_each (rit, &p->resolvers) {
		struct pipe_resolver *r = container_of(rit, struct pipe_resolver, node);

		if (r->via.upstream != upstream)
			continue;
		while (!list_empty(&r->asks))
			ask_fail(container_of(r->asks.head.next, struct pipe_ask, node), ST_ECLOSED,
				 "its upstream is not there any more");
		chans_kill(r);
		pipe_resolver_free(p, r);
	}
}

uint32_t dns_pipes_count(const struct dns_pipes *p)
{
	return p->n_chans;
}

uint64_t dns_pipes_ignored(const struct dns_pipes *p)
{
	return p->ignored;
}
