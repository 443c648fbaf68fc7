// SPDX-License-Identifier: MIT
/*
 * dns_share.c - one ask for all who want the same answer
 *
 * Theory of operation: a share is found by its key until its ask has ended. Wants that join late have later deadlines: an ask that ended with
 * its first want's time is asked again if others have time left. The answer is put into the cache and the share is out of the
 * table before any want hears of it, so whatever they do then meets a consistent state; wants are popped one at a time, because each may
 * end others.
 */
#include <stdlib.h>

#include "base/err.h"
#include "base/log.h"
#include "base/text.h"
#include "dns/dns_core.h"

struct dns_share {
	struct list_node node; /* of a bucket, or of the raw ones */
	struct dns *d;
	struct list wants;
	handle ask;
	uint64_t deadline_ms;
	struct dns_via via;
	bool local, raw;
	bool keep; /* goes on without wants */
	struct dns_key key;
};

static void on_answer(void *arg, int err, const uint8_t *msg, size_t len, const char *text);

static int ask(struct dns_share *s, const uint8_t *msg, size_t len)
{
	struct dns *d = s->d;

	if (s->local && d->n_forwarders == 0)
		return ST_ECLOSED;
	return s->local ? dns_forward_ask(d->forwards, &s->ask, msg, len, s->deadline_ms, on_answer,
					  s)
			: dns_pipe_ask(d->pipes, &s->ask, &s->via, msg, len, s->deadline_ms,
				       on_answer, s);
}

static int ask_key(struct dns_share *s)
{
	uint8_t msg[DNS_QUERY_MAX];
	size_t len = dns_key_query(msg, &s->key);

	return ask(s, msg, len);
}

static void unask(struct dns_share *s)
{
	if (s->ask && s->local)
		dns_forward_cancel(s->d->forwards, s->ask);
	else if (s->ask)
		dns_pipe_cancel(s->d->pipes, s->ask);
	s->ask = 0;
}

static void share_unlink(struct dns_share *s)
{
	list_del(&s->node);
	s->d->n_shares--;
}

/* The answer, or why there is none, to all who want it; frees @s */
static void share_end(struct dns_share *s, const struct dns_result *r)
{
	struct list_node *n;

	share_unlink(s);
	while ((n = list_pop_front(&s->wants))) {
		struct dns_want *w = container_of(n, struct dns_want, node);

		w->share = NULL;
		w->done(w, r);
	}
	free(s);
}

static uint64_t latest(const struct dns_share *s)
{
	uint64_t at_ms = 0;

	list_for_each (it, &s->wants) {
		const struct dns_want *w = container_of(it, struct dns_want, node);

		at_ms = MAX(at_ms, w->deadline_ms);
	}
	return at_ms;
}

/* Wants that joined later have time left */
static bool asked_again(struct dns_share *s)
{
	uint64_t until_ms = latest(s);

	if (s->raw || until_ms <= s->deadline_ms || until_ms <= loop_now_ms(s->d->opts.loop))
		return false;
	s->deadline_ms = until_ms;
	return ask_key(s) == 0;
}

static void forbidden_tell(const struct dns_share *s)
{
	char name[DNS_NAME_MAX];

	dns_key_name(name, &s->key);
	log_limited(loop_now_ms(s->d->opts.loop), LOG_WARN,
		    "dns: %s has only addresses that are never opened (loopback, link-local and "
		    "the like): no such name",
		    text_safe(name).s);
}

static void on_answer(void *arg, int err, const uint8_t *msg, size_t len, const char *text)
{
	struct dns_share *s = arg;
	struct dns_result r = { .err = err, .text = text ? text : "" };

	s->ask = 0;
	if (err == ST_ETIMEOUT && asked_again(s))
		return;
	if (err == 0 && s->raw) {
		r.raw = msg;
		r.raw_len = len;
	} else if (err == 0) {
		r.err = dns_answer_new(&r.answer, msg, len, !s->local,
				       loop_now_ms(s->d->opts.loop));
		r.text = r.err < 0 ? "the resolver's answer can't be read" : "";
	}
	if (r.answer && r.answer->forbidden)
		forbidden_tell(s);
	if (r.answer)
		dns_cache_put(s->d->cache, &s->key, r.answer);
	share_end(s, &r);
	dns_answer_unref(r.answer);
}

static struct list *bucket(struct dns *d, const struct dns_key *key)
{
	return &d->shares[dns_key_hash(key, d->seed) % DNS_SHARE_BUCKETS];
}

static struct dns_share *share_find(struct list *in, const struct dns_key *key)
{
	list_for_each (it, in) {
		struct dns_share *s = container_of(it, struct dns_share, node);

		if (dns_key_eq(&s->key, key))
			return s;
	}
	return NULL;
}

static void join(struct dns_share *s, struct dns_want *w)
{
	w->share = s;
	list_push_back(&s->wants, &w->node);
}

static int share_new(struct dns_share **out, struct dns *d, const struct dns_want *w,
		     const struct dns_via *via)
{
	struct dns_share *s;

	if (d->n_shares >= DNS_PENDING_MAX)
		return ST_EFULL;
	s = calloc(1, sizeof(*s));
	if (!s)
		return ST_ENOMEM;
	s->d = d;
	list_init(&s->wants);
	s->deadline_ms = w->deadline_ms;
	s->local = !via;
	if (via)
		s->via = *via;
	*out = s;
	return 0;
}

/* @s has been asked for, or @r says why not */
static int share_add(struct dns_share *s, struct list *to, struct dns_want *w, int r)
{
	if (r < 0) {
		free(s);
		return r;
	}
	s->d->n_shares++;
	list_push_back(to, &s->node);
	join(s, w);
	return 0;
}

int dns_want_start(struct dns *d, struct dns_want *w, const struct dns_key *key,
		   const struct dns_via *via)
{
	struct list *in = bucket(d, key);
	struct dns_share *s = share_find(in, key);
	int r;

	if (s) {
		join(s, w);
		return 0;
	}
	if ((r = share_new(&s, d, w, via)) < 0)
		return r;
	s->key = *key;
	return share_add(s, in, w, ask_key(s));
}

int dns_want_raw(struct dns *d, struct dns_want *w, const uint8_t *msg, size_t len,
		 const struct dns_via *via)
{
	struct dns_share *s;
	int r = share_new(&s, d, w, via);

	if (r < 0)
		return r;
	s->raw = true;
	return share_add(s, &d->raw_shares, w, ask(s, msg, len));
}

static void share_free(struct dns_share *s)
{
	unask(s);
	share_unlink(s);
	free(s);
}

void dns_want_leave(struct dns *d, struct dns_want *w, bool keep)
{
	struct dns_share *s = w->share;

	(void)d;
	if (!s)
		return;
	w->share = NULL;
	list_del(&w->node);
	s->keep = s->keep || keep;
	/* One whose ask has ended is just handing its answer out and frees itself. */
	if (list_empty(&s->wants) && !s->keep && s->ask)
		share_free(s);
}

static void list_free(struct list *l)
{
	struct list_node *n, *want;

	while ((n = list_pop_front(l))) {
		struct dns_share *s = container_of(n, struct dns_share, node);

		while ((want = list_pop_front(&s->wants)))
			container_of(want, struct dns_want, node)->share = NULL;
		share_free(s);
	}
}

void dns_shares_free(struct dns *d)
{
	for (size_t i = 0; i < DNS_SHARE_BUCKETS; i++)
		list_free(&d->shares[i]);
	list_free(&d->raw_shares);
}
