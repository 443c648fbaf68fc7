// SPDX-License-Identifier: MIT
/*
 * dns_forward.c - questions to the resolvers that this machine had before: which of these are up, and whose turn it is
 *
 * Theory of operation: the course of one ask is dns_forward_ask.c, its sockets are dns_forward_net.c.
 *
 * A resolver is down when it was silent (to everybody, not only to one slow name) or unreachable. It is up again with its first answer. Nobody
 * waits for one that is down while another is up: now and then a question that comes anyway is also sent to it, as an ask of its own
 * without an owner (a probe).
 *
 * At most FORWARD_AT_ONCE_MAX asks have sockets. The others wait their turn, for which one gives way that has waited for
 * FORWARD_YIELD_MS: a crowd of names that nobody answers does not hold up the others.
 */
#include "dns/dns_forward_internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/codec.h"
#include "base/err.h"
#include "base/log.h"

/* ---- resolvers */

bool fwd_same_endpoint(const struct net_endpoint *a, const struct net_endpoint *b)
{
	return a->port == b->port && net_addr_eq(&a->addr, &b->addr);
}

struct fwd_resolver *fwd_resolver_find(struct dns_forwards *f, const struct net_endpoint *at)
{
	for (size_t i = 0; i < f->n_resolvers; i++) {
		if (fwd_same_endpoint(&f->resolvers[i].at, at))
			return &f->resolvers[i];
	}
	return NULL;
}

void fwd_resolver_down(struct dns_forwards *f, const struct net_endpoint *at, const char *why)
{
	struct fwd_resolver *r = fwd_resolver_find(f, at);
	uint64_t now_ms = loop_now_ms(f->loop);
	char where[NET_ENDPOINT_STR];

	if (!r || r->down)
		return;
	r->down = true;
	r->probe_at_ms = now_ms + FORWARD_PROBE_MS;
	log_limited(now_ms, LOG_DEBUG, "dns: resolver %s: %s; it is asked last from now on",
		    net_endpoint_str(where, at), why);
}

void fwd_resolver_heard(struct dns_forwards *f, const struct net_endpoint *at)
{
	struct fwd_resolver *r = fwd_resolver_find(f, at);

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

/* ---- asks that wait, and how many are active */

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
	loop_timer_init(&ask->timer, fwd_ask_rings, ask);
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
	fwd_ask_give_up(oldest, ST_ETIMEOUT, "no answer, and others wait");
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
		fwd_ask_tries(ask);
		probes_send(ask, now_ms);
	}
	fwd_ask_go(ask);
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
		fwd_ask_free(ask);
}

static bool same_list(const struct dns_forwards *f, const struct net_endpoint *v, size_t n)
{
	if (n != f->n_resolvers)
		return false;
	for (size_t i = 0; i < n; i++) {
		if (!fwd_same_endpoint(&v[i], &f->resolvers[i].at))
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
			fwd_ask_free(ask);
			continue;
		}
		if (ask->active)
			fwd_ask_restart(ask);
	}
}

void dns_forwards_set(struct dns_forwards *f, const struct net_endpoint *v, size_t n)
{
	struct fwd_resolver next[DNS_FORWARDERS_MAX] = { 0 };

	n = MIN(n, DNS_FORWARDERS_MAX);
	if (same_list(f, v, n))
		return;
	for (size_t i = 0; i < n; i++) {
		const struct fwd_resolver *old = fwd_resolver_find(f, &v[i]);

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
		fwd_ask_free(ask);
	loop_task_cancel(&f->begin);
	loop_timer_cancel(f->loop, &f->yield);
	hnd_fini(&f->asks);
	free(f);
}

uint64_t dns_forwards_ignored(const struct dns_forwards *f)
{
	return f->ignored;
}
