// SPDX-License-Identifier: MIT
/*
 * dns_forward.c - questions to the resolvers that this machine had before
 *
 * Theory of operation: an ask knows the resolvers in the order in which it tries them: those that are up as configured, then those that are
 * down. One is asked, the next after FORWARD_SILENCE_MS of silence, or at once after an error; answers of all that were asked count,
 * whichever comes first. SERVFAIL and REFUSED are kept, and handed on when no resolver says better. One that has said or had an
 * error is not asked again for this name; the others are, round and round, until the deadline.
 *
 * A resolver is down when it was silent (to everybody, not only to one slow name) or unreachable. It is up again with its first answer. Nobody
 * waits for one that is down while another is up: now and then a question that comes anyway is also sent to it, as an ask of its own
 * without an owner (a probe).
 *
 * What an answer must have: the address and port that were asked, our random id, on the ask's own socket (random port), and the
 * question. The rest is ignored and counted. An answer that was cut is asked for again over TCP.
 *
 * At most FORWARD_AT_ONCE_MAX asks have sockets. The others wait their turn, for which one gives way that has waited for
 * FORWARD_YIELD_MS: a crowd of names that nobody answers does not hold up the others.
 */
#include "dns/dns_forward_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/codec.h"
#include "base/err.h"
#include "base/log.h"
#include "base/text.h"

#define RCODE_SERVFAIL 2U
#define RCODE_REFUSED 5U
#define NO_RESOLVER "this machine has no other resolver"

/* ---- resolvers */

static bool same_endpoint(const struct net_endpoint *a, const struct net_endpoint *b)
{
	return a->port == b->port && net_addr_eq(&a->addr, &b->addr);
}

static struct fwd_resolver *resolver_find(struct dns_forwards *f, const struct net_endpoint *at)
{
	for (size_t i = 0; i < f->n_resolvers; i++) {
		if (same_endpoint(&f->resolvers[i].at, at))
			return &f->resolvers[i];
	}
	return NULL;
}

static void resolver_down(struct dns_forwards *f, const struct net_endpoint *at, const char *why)
{
	struct fwd_resolver *r = resolver_find(f, at);
	uint64_t now_ms = loop_now_ms(f->loop);
	char where[NET_ENDPOINT_STR];

	if (!r || r->down)
		return;
	r->down = true;
	r->probe_at_ms = now_ms + FORWARD_PROBE_MS;
	log_limited(now_ms, LOG_DEBUG, "dns: resolver %s: %s; it is asked last from now on",
		    net_endpoint_str(where, at), why);
}

static void resolver_heard(struct dns_forwards *f, const struct net_endpoint *at)
{
	struct fwd_resolver *r = resolver_find(f, at);

	if (!r)
		return;
	r->down = false;
	r->heard_ms = loop_now_ms(f->loop);
}

static struct fwd_ask *first_of(struct list *l)
{
	/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): it misses that a freed ask's list_del() changed the head */
	return container_of(l->head.next, struct fwd_ask, node);
}

static void timer_set(struct fwd_ask *ask, uint64_t at_ms)
{
	/* Needs memory only if it has just rung, and then there is the place that it left. */
	if (loop_timer_set(ask->f->loop, &ask->timer, MIN(at_ms, ask->deadline_ms)) < 0)
		log_limited(loop_now_ms(ask->f->loop), LOG_WARN, "dns: out of memory for a timer");
}

/* ---- the end of an ask */

static void ask_free(struct fwd_ask *ask)
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
	ask_free(ask);
	if (done)
		done(arg, err, msg, len, why);
}

/* No answer that is better than what was kept */
static void ask_give_up(struct fwd_ask *ask, int err, const char *text)
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

static void tries_set(struct fwd_ask *ask)
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
		if (same_endpoint(&ask->tries[i].at, at))
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
		resolver_down(ask->f, &t->at, ask->text);
		text_of(ask, &t->at, ask->text);
	}
	if (!any_try(ask, FWD_ASKED))
		ask_give_up(ask, ST_ECLOSED, ask->text);
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
		resolver_down(ask->f, at, text);
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
	resolver_heard(ask->f, from);
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
		const struct fwd_resolver *r = resolver_find(ask->f, &t->at);

		if (t->state == FWD_ASKED && now_ms >= t->asked_ms + FORWARD_SILENCE_MS && r &&
		    r->heard_ms < t->asked_ms)
			resolver_down(ask->f, &t->at, "no answer");
	}
}

static void timer_rings(void *arg, uint64_t now_ms);

static int ask_new(struct dns_forwards *f, const uint8_t *msg, size_t len, uint64_t deadline_ms,
		   struct fwd_ask **out)
{
	struct fwd_ask *ask;
	int r = ST_EFULL;

	if (len > FORWARD_BYTES_MAX - f->bytes)
		return r;
	if (!(ask = calloc(1, sizeof(*ask) + len)))
		return ST_ENOMEM;
	ask->f = f;
	ask->deadline_ms = deadline_ms;
	ask->len = len;
	memcpy(ask->msg, msg, len);
	codec_random(&ask->id, sizeof(ask->id));
	for (unsigned i = 0; i < FWD_SOCK_N; i++)
		ask->socks[i].fd = -1;
	loop_timer_init(&ask->timer, timer_rings, ask);
	if ((r = loop_timer_set(f->loop, &ask->timer, deadline_ms)) < 0)
		goto fail;
	if ((r = hnd_add(&f->asks, ask, &ask->h)) < 0) {
		loop_timer_cancel(f->loop, &ask->timer);
		goto fail;
	}
	f->bytes += len;
	list_push_back(&f->waiting, &ask->node);
	loop_task_post(
		f->loop,
		&f->begin); /* not here: nobody is called back from inside dns_forward_ask() */
	*out = ask;
	return 0;
fail:
	free(ask);
	return r;
}

static bool any_up(const struct dns_forwards *f)
{
	for (size_t i = 0; i < f->n_resolvers; i++) {
		if (!f->resolvers[i].down)
			return true;
	}
	return false;
}

/* A question that is asked anyway also goes to those that are down, if another is up. */
static void probes_send(const struct fwd_ask *of, uint64_t now_ms)
{
	struct dns_forwards *f = of->f;
	struct fwd_ask *probe;

	for (size_t i = 0; i < f->n_resolvers && any_up(f); i++) {
		struct fwd_resolver *r = &f->resolvers[i];

		if (!r->down || now_ms < r->probe_at_ms)
			continue;
		r->probe_at_ms = now_ms + FORWARD_PROBE_MS;
		if (ask_new(f, of->msg, of->len, now_ms + FORWARD_YIELD_MS, &probe) < 0)
			return;
		probe->tries[0] = (struct fwd_try){ .at = r->at };
		probe->n_tries = 1;
	}
}

/* Room for one more with sockets, made if need be. Return: false: it has to wait */
static bool room_make(struct dns_forwards *f, uint64_t now_ms)
{
	struct fwd_ask *oldest;

	if (f->n_active < FORWARD_AT_ONCE_MAX)
		return true;
	oldest = first_of(&f->active);
	if (now_ms < oldest->began_ms + FORWARD_YIELD_MS)
		return false;
	ask_give_up(oldest, ST_ETIMEOUT, "no answer, and others wait");
	return true;
}

/* The ask may be gone afterwards. */
static void ask_begin(struct fwd_ask *ask, uint64_t now_ms)
{
	struct dns_forwards *f = ask->f;

	list_del(&ask->node);
	list_push_back(&f->active, &ask->node);
	f->n_active++;
	ask->active = true;
	ask->began_ms = now_ms;
	if (ask->done) {
		tries_set(ask);
		probes_send(ask, now_ms);
	}
	if (ask->n_tries == 0)
		ask_end(ask, ST_ECLOSED, NULL, 0, NO_RESOLVER);
	else
		ask_next(ask, false);
}

/* Those that wait begin, as far as there is room. */
static void waiting_begin(void *arg, uint64_t now_ms)
{
	struct dns_forwards *f = arg;
	uint32_t n = f->asks.used - f->n_active; /* what comes meanwhile has the next turn */

	while (n-- > 0 && !list_empty(&f->waiting) && room_make(f, now_ms)) {
		if (!list_empty(
			    &f->waiting)) /* the owner of the one that gave way may have cancelled it */
			ask_begin(first_of(&f->waiting), now_ms);
	}
	loop_timer_cancel(f->loop, &f->yield);
	if (list_empty(&f->waiting))
		return;
	if (f->n_active < FORWARD_AT_ONCE_MAX)
		loop_task_post(f->loop, &f->begin);
	else
		(void)loop_timer_set(f->loop, &f->yield, /* else they begin as others end */
				     first_of(&f->active)->began_ms + FORWARD_YIELD_MS);
}

static void timer_rings(void *arg, uint64_t now_ms)
{
	struct fwd_ask *ask = arg;

	if (ask->active)
		silence_note(ask, now_ms);
	if (now_ms >= ask->deadline_ms) {
		ask_give_up(ask, ST_ETIMEOUT, "no answer from this machine's resolvers");
		return;
	}
	if (ask->n_tries == 0) {
		ask_end(ask, ST_ECLOSED, NULL, 0, NO_RESOLVER);
		return;
	}
	if (ask->socks[FWD_TCP].fd >= 0) {
		struct fwd_try *t = &ask->tries[ask->tcp_try];

		fwd_close(ask, FWD_TCP);
		text_of(ask, &t->at, "no answer over TCP");
		t->state = FWD_FAILED;
	}
	ask_next(ask, false);
}

/* ---- what dns.c calls */

int dns_forward_ask(struct dns_forwards *f, handle *out, const uint8_t *msg, size_t len,
		    uint64_t deadline_ms, dns_answer_fn *done, void *arg)
{
	struct fwd_ask *ask;
	int r;

	if (len > DNS_MESSAGE_MAX || dns_msg_question_len(msg, len) == 0)
		return ST_EFORMAT;
	if ((r = ask_new(f, msg, len, deadline_ms, &ask)) < 0)
		return r;
	ask->done = done;
	ask->arg = arg;
	*out = ask->h;
	return 0;
}

void dns_forward_cancel(struct dns_forwards *f, handle h)
{
	struct fwd_ask *ask = hnd_get(&f->asks, h);

	if (ask)
		ask_free(ask);
}

static bool same_list(const struct dns_forwards *f, const struct net_endpoint *v, size_t n)
{
	if (n != f->n_resolvers)
		return false;
	for (size_t i = 0; i < n; i++) {
		if (!same_endpoint(&v[i], &f->resolvers[i].at))
			return false;
	}
	return true;
}

/* The list is another: those under way begin anew, a probe has lost its sense. */
static void asks_restart(struct dns_forwards *f)
{
	struct fwd_ask *ask;
	uint32_t pos = 0;

	while ((ask = hnd_next(&f->asks, &pos))) {
		if (!ask->done) {
			ask_free(ask);
			continue;
		}
		if (!ask->active)
			continue;
		for (unsigned i = 0; i < FWD_SOCK_N; i++)
			fwd_close(ask, i);
		tries_set(ask);
		timer_set(ask, 0);
	}
}

void dns_forwards_set(struct dns_forwards *f, const struct net_endpoint *v, size_t n)
{
	struct fwd_resolver next[DNS_FORWARDERS_MAX] = { 0 };

	n = MIN(n, DNS_FORWARDERS_MAX);
	if (same_list(f, v, n))
		return;
	for (size_t i = 0; i < n; i++) {
		const struct fwd_resolver *old = resolver_find(f, &v[i]);

		if (old)
			next[i] = *old;
		next[i].at = v[i];
	}
	memcpy(f->resolvers, next, sizeof(next));
	f->n_resolvers = n;
	asks_restart(f);
}

int dns_forwards_new(struct dns_forwards **out, struct dns *d)
{
	struct dns_forwards *f = calloc(1, sizeof(*f));

	if (!f)
		return ST_ENOMEM;
	f->loop = dns_loop(d);
	f->opts = dns_options(d);
	hnd_init(&f->asks, FORWARD_ASKS_MAX);
	list_init(&f->waiting);
	list_init(&f->active);
	loop_task_init(&f->begin, LOOP_FLUSH, waiting_begin, f);
	loop_timer_init(&f->yield, waiting_begin, f);
	*out = f;
	return 0;
}

void dns_forwards_free(struct dns_forwards *f)
{
	struct fwd_ask *ask;
	uint32_t pos = 0;

	if (!f)
		return;
	while ((ask = hnd_next(&f->asks, &pos)))
		ask_free(ask);
	loop_task_cancel(&f->begin);
	loop_timer_cancel(f->loop, &f->yield);
	hnd_fini(&f->asks);
	free(f);
}

uint64_t dns_forwards_ignored(const struct dns_forwards *f)
{
	return f->ignored;
}
