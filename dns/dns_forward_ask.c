// SPDX-License-Identifier: MIT
/*
 * dns_forward_ask.c - the course of one forwarded question
 *
 * Theory of operation: an ask knows the resolvers in the order in which it tries them: those that are up as configured, then those that are
 * down. One is asked, the next after FORWARD_SILENCE_MS of silence, or at once after an error; answers of all that were asked count,
 * whichever comes first. SERVFAIL and REFUSED are kept, and handed on when no resolver says better. One that has said so or had an
 * error is not asked again for this name; the others are, round and round, until the deadline.
 *
 * What an answer must have: the address and port that were asked, our random id, on the ask's own socket (random port), and the
 * question. The rest is ignored and counted. An answer that was cut is asked for again over TCP.
 */
#include "dns/dns_forward_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "base/text.h"

#define RCODE_SERVFAIL 2U
#define RCODE_REFUSED 5U

static void timer_set(struct fwd_ask *ask, uint64_t at_ms)
{
	/* Needs memory only if it has just rung, and then there is the place that it left. */
	if (loop_timer_set(ask->f->loop, &ask->timer, MIN(at_ms, ask->deadline_ms)) < 0)
		log_limited(loop_now_ms(ask->f->loop), LOG_WARN, "dns: out of memory for a timer");
}

/* ---- the end of an ask */

void fwd_ask_free(struct fwd_ask *ask)
{
	struct dns_forwards *f = ask->f;

	for (unsigned i = 0; i < FWD_SOCK_N; i++)
		fwd_close(ask, i);
	loop_timer_cancel(f->loop, &ask->timer);
	list_del(&ask->node);
	f->n_active -= ask->active;
	hnd_del(&f->asks, ask->h);
	f->bytes -= ask->len;
	free(ask->kept);
	free(ask);
	if (!list_empty(&f->waiting))
		loop_task_post(f->loop, &f->begin);
}

static void ask_end(struct fwd_ask *ask, int err, uint8_t *msg, size_t len, const char *text)
{
	dns_answer_fn *done = ask->done;
	void *arg = ask->arg;
	char why[sizeof(ask->text)];

	text_copy(why, sizeof(why), text);
	if (msg)
		dns_msg_set_id(msg, dns_msg_id(ask->msg));
	fwd_ask_free(ask);
	if (done)
		done(arg, err, msg, len, why);
}

/* No answer that is better than what was kept */
void fwd_ask_give_up(struct fwd_ask *ask, int err, const char *text)
{
	uint8_t *kept = ask->kept;

	if (!kept) {
		ask_end(ask, err, NULL, 0, text);
		return;
	}
	ask->kept = NULL;
	ask_end(ask, 0, kept, ask->kept_len, "");
	free(kept);
}

/* ---- whom to ask */

void fwd_ask_tries(struct fwd_ask *ask)
{
	const struct dns_forwards *f = ask->f;

	ask->n_tries = 0;
	ask->next = 0;
	for (unsigned down = 0; down < 2; down++) {
		for (size_t i = 0; i < f->n_resolvers; i++) {
			if (f->resolvers[i].down == (down != 0))
				ask->tries[ask->n_tries++] =
					(struct fwd_try){ .at = f->resolvers[i].at };
		}
	}
}

static struct fwd_try *try_find(struct fwd_ask *ask, const struct net_endpoint *at)
{
	for (uint32_t i = 0; i < ask->n_tries; i++) {
		if (fwd_same_endpoint(&ask->tries[i].at, at))
			return &ask->tries[i];
	}
	return NULL;
}

static bool any_try(const struct fwd_ask *ask, enum fwd_state state)
{
	for (uint32_t i = 0; i < ask->n_tries; i++) {
		if (ask->tries[i].state == state)
			return true;
	}
	return false;
}

/* The next in turn that has not failed; NULL: all have. @untried: only those that were not asked */
static struct fwd_try *try_next(struct fwd_ask *ask, bool untried)
{
	for (uint32_t n = 0; n < ask->n_tries; n++) {
		struct fwd_try *t = &ask->tries[(ask->next + n) % ask->n_tries];

		if (t->state == FWD_UNTRIED || (!untried && t->state == FWD_ASKED)) {
			ask->next = (uint32_t)(t - ask->tries) + 1;
			return t;
		}
	}
	return NULL;
}

/* What the asker is told if there is nothing better */
static void text_of(struct fwd_ask *ask, const struct net_endpoint *at, const char *text)
{
	char where[NET_ENDPOINT_STR],
		why[sizeof(ask->text) - sizeof(where) - sizeof("resolver : ")];

	text_copy(why, sizeof(why), text);
	snprintf(ask->text, sizeof(ask->text), "resolver %s: %s", net_endpoint_str(where, at), why);
}

/* Asks the next resolver that can be asked. The ask may be gone afterwards. */
static void ask_next(struct fwd_ask *ask, bool untried)
{
	uint64_t now_ms = loop_now_ms(ask->f->loop);
	struct fwd_try *t;

	while ((t = try_next(ask, untried))) {
		t->asked_ms = now_ms;
		if (fwd_udp_send(ask, t) == 0) {
			t->state = FWD_ASKED;
			timer_set(ask, now_ms + FORWARD_SILENCE_MS);
			return;
		}
		t->state = FWD_FAILED;
		fwd_resolver_down(ask->f, &t->at, ask->text);
		text_of(ask, &t->at, ask->text);
	}
	if (!any_try(ask, FWD_ASKED))
		fwd_ask_give_up(ask, ST_ECLOSED, ask->text);
}

/* ---- what comes */

/* @t has had an error: the next one, if nobody else is under way. The ask may be gone afterwards. */
static void try_failed(struct fwd_ask *ask, struct fwd_try *t)
{
	t->state = FWD_FAILED;
	ask_next(ask, true);
}

void fwd_failed(struct fwd_ask *ask, const struct net_endpoint *at, unsigned sock, const char *text)
{
	struct fwd_try *t = try_find(ask, at);

	if (!t || t->state != FWD_ASKED)
		return;
	text_of(ask, at, text);
	if (sock != FWD_TCP) /* else it has answered over UDP just now */
		fwd_resolver_down(ask->f, at, text);
	try_failed(ask, t);
}

static void keep(struct fwd_ask *ask, const uint8_t *msg, size_t len)
{
	uint8_t *copy = malloc(len);

	if (!copy)
		return;
	memcpy(copy, msg, len);
	free(ask->kept);
	ask->kept = copy;
	ask->kept_len = len;
}

/* The others' answers can't come any more. */
static void ask_over_tcp(struct fwd_ask *ask, struct fwd_try *t)
{
	for (uint32_t i = 0; i < ask->n_tries; i++) {
		if (&ask->tries[i] != t && ask->tries[i].state == FWD_ASKED)
			ask->tries[i].state = FWD_UNTRIED;
	}
	t->asked_ms = loop_now_ms(ask->f->loop);
	if (fwd_tcp_start(ask, (uint32_t)(t - ask->tries)) < 0)
		try_failed(ask, t);
	else
		timer_set(ask, t->asked_ms + FORWARD_TCP_MS);
}

/* An error so early that the resolver did not even repeat the question */
static bool is_bare_error(const uint8_t *msg, size_t len, uint16_t id)
{
	return len >= DNS_HEADER_BYTES && dns_msg_id(msg) == id && (msg[2] & 0x80) &&
	       be16_get(msg + 4) == 0 && dns_msg_rcode(msg) != 0;
}

void fwd_answer(struct fwd_ask *ask, const struct net_endpoint *from, unsigned sock, uint8_t *msg,
		size_t len)
{
	struct fwd_try *t = try_find(ask, from);
	bool bare = is_bare_error(msg, len, ask->id);

	if (!t || t->state != FWD_ASKED ||
	    (!bare && !dns_msg_same_question(msg, len, ask->id, ask->msg, ask->len))) {
		ask->f->ignored++;
		return;
	}
	fwd_resolver_heard(ask->f, from);
	if (bare) {
		text_of(ask, from, "it answered an error without the question");
	} else if (dns_msg_rcode(msg) == RCODE_SERVFAIL || dns_msg_rcode(msg) == RCODE_REFUSED) {
		keep(ask, msg, len);
	} else if (sock != FWD_TCP && dns_msg_is_cut(msg)) {
		if (ask->socks[FWD_TCP].fd < 0)
			ask_over_tcp(ask, t);
		return;
	} else {
		ask_end(ask, 0, msg, len, "");
		return;
	}
	if (sock == FWD_TCP)
		fwd_close(ask, FWD_TCP);
	try_failed(ask, t);
}

/* ---- time */

/* Those that were asked FORWARD_SILENCE_MS ago and said nothing to anybody since are down. */
static void silence_note(struct fwd_ask *ask, uint64_t now_ms)
{
	for (uint32_t i = 0; i < ask->n_tries; i++) {
		const struct fwd_try *t = &ask->tries[i];
		const struct fwd_resolver *r = fwd_resolver_find(ask->f, &t->at);

		if (t->state == FWD_ASKED && now_ms >= t->asked_ms + FORWARD_SILENCE_MS && r &&
		    r->heard_ms < t->asked_ms)
			fwd_resolver_down(ask->f, &t->at, "no answer");
	}
}

void fwd_ask_rings(void *arg, uint64_t now_ms)
{
	struct fwd_ask *ask = arg;

	if (ask->active)
		silence_note(ask, now_ms);
	if (now_ms >= ask->deadline_ms) {
		fwd_ask_give_up(ask, ST_ETIMEOUT, "no answer from this machine's resolvers");
		return;
	}
	if (ask->socks[FWD_TCP].fd >= 0) {
		struct fwd_try *t = &ask->tries[ask->tcp_try];

		fwd_close(ask, FWD_TCP);
		text_of(ask, &t->at, "no answer over TCP");
		t->state = FWD_FAILED;
	}
	fwd_ask_go(ask);
}

void fwd_ask_go(struct fwd_ask *ask)
{
	if (ask->n_tries == 0)
		ask_end(ask, ST_ECLOSED, NULL, 0, "this machine has no other resolver");
	else
		ask_next(ask, false);
}

void fwd_ask_restart(struct fwd_ask *ask)
{
	for (unsigned i = 0; i < FWD_SOCK_N; i++)
		fwd_close(ask, i);
	fwd_ask_tries(ask);
	timer_set(ask, 0);
}
