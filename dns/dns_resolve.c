// SPDX-License-Identifier: MIT
/*
 * dns_resolve.c - the addresses of a name, for a flow that is to be opened
 *
 * Theory of operation: A and AAAA are asked for at once. When the first brings addresses, the other may take DNS_GRACE_MS more: no connection waits for
 * a family that the name may not have. What came is handed on with IPv4 first; the caller knows which family its flow wants.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/text.h"
#include "dns/dns_core.h"

enum { FOUR, SIX, FAMILIES };

struct resolve;

struct half {
	struct dns_want want;
	struct resolve *r;
	bool ended;
	int err;		   /* no answer */
	struct dns_answer *answer; /* NULL: none (yet) */
};

struct resolve {
	struct dns_party party;
	struct dns *d;
	struct dns_wait grace;
	struct half halves[FAMILIES];
	bool keep; /* what is still under way goes on */
	char why[TEXT_SAFE_MAX];
	dns_addrs_fn *done;
	void *arg;
};

/* ---- ends ---- */

void dns_resolve_free(struct dns_party *p)
{
	struct resolve *r = container_of(p, struct resolve, party);

	for (size_t i = 0; i < FAMILIES; i++) {
		dns_want_leave(r->d, &r->halves[i].want, r->keep);
		dns_answer_unref(r->halves[i].answer);
	}
	dns_wait_end(&r->grace);
	dns_party_del(p);
	free(r);
}

/* Adds the addresses of one family that may be opened. Return: does @a have others? */
static bool collect(const struct dns_answer *a, struct net_addr *addrs, size_t *n)
{
	bool forbidden = a->forbidden;

	for (size_t i = 0; i < a->n_addrs; i++) {
		if (net_addr_is_local_only(&a->addrs[i]))
			forbidden = true;
		else if (*n < DNS_ADDRS_MAX)
			addrs[(*n)++] = a->addrs[i];
	}
	return forbidden;
}

static bool is_definite(const struct half *h)
{
	return h->answer && (h->answer->rcode == DNS_NOERROR || h->answer->rcode == DNS_NXDOMAIN);
}

/* Why there is no address. @text has room for TEXT_SAFE_MAX */
static int reason(const struct resolve *r, bool forbidden, char *text)
{
	if (forbidden) {
		snprintf(text, TEXT_SAFE_MAX, "only addresses that are never opened");
		return ST_EPERM;
	}
	for (size_t i = 0; i < FAMILIES; i++) {
		const struct half *h = &r->halves[i];

		if (is_definite(h))
			continue;
		if (h->answer) {
			snprintf(text, TEXT_SAFE_MAX, "the resolver answered with code %u",
				 h->answer->rcode);
			return ST_ECLOSED;
		}
		if (!h->ended || h->err == ST_ETIMEOUT) {
			snprintf(text, TEXT_SAFE_MAX, "no answer from the resolver in time");
			return ST_ETIMEOUT;
		}
		snprintf(text, TEXT_SAFE_MAX, "%s", r->why);
		return ST_ECLOSED;
	}
	snprintf(text, TEXT_SAFE_MAX, "no such name, or none with an address");
	return ST_ENOENT;
}

/* Tells what there is; frees @r */
static void finish(struct resolve *r)
{
	struct net_addr addrs[DNS_ADDRS_MAX];
	char text[TEXT_SAFE_MAX] = "";
	dns_addrs_fn *done = r->done;
	void *arg = r->arg;
	bool forbidden = false;
	size_t n = 0;
	int err;

	for (size_t i = 0; i < FAMILIES; i++) {
		if (r->halves[i].answer && collect(r->halves[i].answer, addrs, &n))
			forbidden = true;
	}
	err = n > 0 ? 0 : reason(r, forbidden, text);
	dns_resolve_free(&r->party);
	done(arg, err, addrs, n, text);
}

void dns_resolve_over(struct dns_party *p)
{
	finish(container_of(p, struct resolve, party));
}

void dns_resolve_grace_over(struct dns_wait *w)
{
	struct resolve *r = container_of(w, struct resolve, grace);

	r->keep = true;
	finish(r);
}

/* ---- what came ---- */

static void half_end(struct half *h, int err, struct dns_answer *a, const char *text)
{
	h->ended = true;
	h->err = err;
	h->answer = a;
	if (err < 0)
		snprintf(h->r->why, sizeof(h->r->why), "%s", text);
}

static bool has_addresses(const struct half *h)
{
	return h->answer && h->answer->n_addrs > 0;
}

static bool is_complete(const struct resolve *r)
{
	return r->halves[FOUR].ended && r->halves[SIX].ended;
}

/* Only one has ended so far */
static void grace_start(struct resolve *r)
{
	if (!has_addresses(&r->halves[FOUR]) && !has_addresses(&r->halves[SIX]))
		return;
	dns_queue_add(&r->d->grace, &r->grace); /* without memory: the budget's end does */
}

static void on_done(struct dns_want *w, const struct dns_result *got)
{
	struct half *h = container_of(w, struct half, want);
	struct resolve *r = h->r;

	half_end(h, got->err, got->answer ? dns_answer_ref(got->answer) : NULL, got->text);
	if (is_complete(r))
		finish(r);
	else
		grace_start(r);
}

/* ---- asking ---- */

static void half_start(struct resolve *r, struct half *h, const struct dns_asked *asked,
		       uint16_t type, const struct dns_via *via)
{
	struct dns_answer *a;
	struct dns_key key;
	int e;

	dns_key_set(&key, asked, type, via);
	a = dns_cache_find(r->d->cache, &key, loop_now_ms(r->d->opts.loop));
	if (a) {
		half_end(h, 0, a, "");
		return;
	}
	h->want.deadline_ms = r->party.budget.at_ms;
	if ((e = dns_want_start(r->d, &h->want, &key, via)) < 0)
		half_end(h, e, NULL, e == ST_ECLOSED ? "no resolver to ask" : st_strerror(e));
}

/* Return: false: @name is none */
static bool question(struct dns_asked *a, const char *name)
{
	size_t n = dns_msg_name(a->question, name);

	a->question_len = (uint16_t)(n + 4);
	return n > 0;
}

static struct resolve *resolve_new(struct dns *d, dns_addrs_fn *done, void *arg)
{
	struct resolve *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->d = d;
	r->done = done;
	r->arg = arg;
	dns_wait_init(&r->grace);
	for (size_t i = 0; i < FAMILIES; i++) {
		r->halves[i].r = r;
		r->halves[i].want.done = on_done;
		list_node_init(&r->halves[i].want.node);
	}
	return r;
}

handle dns_resolve(struct dns *d, const char *name, const struct dns_via *via, dns_addrs_fn *done,
		   void *arg)
{
	struct dns_asked asked = { 0 };
	struct resolve *r;
	int e;

	if (!question(&asked, name)) {
		done(arg, ST_ENOENT, NULL, 0, "not a name");
		return 0;
	}
	r = resolve_new(d, done, arg);
	e = r ? dns_party_add(d, &r->party, DNS_PARTY_RESOLVE, via) : ST_ENOMEM;
	if (e < 0) {
		free(r);
		done(arg, ST_ECLOSED, NULL, 0, st_strerror(e));
		return 0;
	}
	half_start(r, &r->halves[FOUR], &asked, DNS_A, via);
	half_start(r, &r->halves[SIX], &asked, DNS_AAAA, via);
	if (is_complete(r)) {
		finish(r);
		return 0;
	}
	if (r->halves[FOUR].ended || r->halves[SIX].ended)
		grace_start(r);
	return r->party.h;
}
