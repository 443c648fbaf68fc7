// SPDX-License-Identifier: MIT
/*
 * dns_query.c - the life of a query
 *
 * Theory of operation: a query is taken apart and judged, which gives it a plan. Then it runs: the answer to the question of its plan
 * comes from the cache at once or it waits for it as a party, and what came ends it or makes it run with another question:
 *
 *   real    the question as it is; addresses from an upstream are learned before the answer leaves
 *   fake    addresses of the asked family, then of the other: any gives a fake address, none gives the first answer
 *   exists  IPv4 addresses of the name, for what is answered by "no data" if only the name exists: AAAA without IPv6, SVCB and HTTPS
 *           (their hints would lead around us)
 *   raw     the message as it is, for nobody else
 *
 * A query ends in finish(), which frees it and then tells the asker. Whoever calls what may end there must not use it afterwards.
 */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "base/text.h"
#include "dns/dns_core.h"
#include "dns/dns_ptr.h"

enum plan { PLAN_REAL, PLAN_FAKE, PLAN_EXISTS, PLAN_RAW };

struct query {
	struct dns_party party;
	struct dns *d;
	struct dns_wait known; /* of DNS_KNOWN_WAIT_MS */
	struct dns_want want;
	dns_reply_fn *reply;
	void *arg;
	enum plan plan;
	uint16_t type; /* that is asked for now */
	bool tcp, local, keep;
	bool unruled;		  /* see struct dns_verdict */
	handle *h;		  /* in dns_query(): what it returns, if the query waits */
	bool waited;		  /* its answer was not in the cache */
	struct dns_via via;	  /* unless local */
	struct dns_answer *first; /* fake: the first family has no address */
	struct dns_asked asked;
};

/* What a query for any type is answered by; RFC 8482, 4.2 */
static const uint8_t hinfo[] = "\x07RFC8482"; /* its NUL is the second, empty string */

/* ---- ends ---- */

static void query_unlink(struct query *q)
{
	dns_want_leave(q->d, &q->want, q->keep);
	dns_wait_end(&q->known);
	dns_party_del(&q->party);
	dns_answer_unref(q->first);
}

void dns_query_free(struct dns_party *p)
{
	struct query *q = container_of(p, struct query, party);

	query_unlink(q);
	free(q);
}

/* @len bytes of d->out go to the asker */
static void finish(struct query *q, size_t len)
{
	struct dns *d = q->d;
	dns_reply_fn *reply = q->reply;
	void *arg = q->arg;

	dns_query_free(&q->party);
	reply(arg, d->out, len);
}

static void finish_out(struct query *q, size_t len, unsigned rcode)
{
	finish(q, dns_out_end(q->d->out, len, &q->asked, q->tcp, rcode));
}

static void finish_rcode(struct query *q, unsigned rcode)
{
	if (rcode == DNS_SERVFAIL)
		q->d->stats.failed++;
	if (rcode == DNS_REFUSED || rcode == DNS_NOTIMP)
		q->d->stats.refused++;
	finish_out(q, dns_out_begin(q->d->out, &q->asked, rcode), rcode);
}

static void finish_record(struct query *q, uint16_t type, uint32_t ttl_s, const void *rdata,
			  size_t rdata_len)
{
	size_t len = dns_out_begin(q->d->out, &q->asked, DNS_NOERROR);

	finish_out(q, dns_out_add(q->d->out, len, type, ttl_s, rdata, rdata_len), DNS_NOERROR);
}

static void finish_fake(struct query *q)
{
	uint8_t family = q->asked.type == DNS_AAAA ? 6 : 4;
	int index = dns_fakes_get(q->d->fakes, q->asked.name);
	struct net_addr a;

	if (index < 0 || dns_fakes_addr(q->d->fakes, (unsigned)index, family, &a) < 0) {
		log_limited(loop_now_ms(q->d->opts.loop), LOG_WARN,
			    "dns: no fake address for %s: %s", text_safe(q->asked.name).s,
			    st_strerror(index < 0 ? index : ST_ENOENT));
		finish_rcode(q, DNS_SERVFAIL);
		return;
	}
	q->d->stats.faked++;
	finish_record(q, q->asked.type, DNS_FAKE_TTL_S, a.b, net_addr_bytes(&a));
}

/* ---- real answers ---- */

/* The kernel connects to ::ffff:10.1.2.3 by IPv4. */
static struct net_addr as_connected(const struct net_addr *a)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	struct net_addr four = { .family = 4 };

	if (a->family != 6 || memcmp(a->b, mapped, sizeof(mapped)) != 0)
		return *a;
	memcpy(four.b, a->b + sizeof(mapped), net_addr_bytes(&four));
	return four;
}

/* dns: {rebind: block} - a name that is not ours leads inside a prefix of ours */
static bool is_rebind(const struct query *q, const struct dns_answer *a)
{
	const struct dns_opts *o = &q->d->opts;
	char text[NET_ADDR_STR];

	if (!q->unruled || !o->rebind_block || !o->hooks->routed)
		return false;
	for (size_t i = 0; i < a->n_addrs; i++) {
		const struct net_addr to = as_connected(&a->addrs[i]);

		if (!o->hooks->routed(o->arg, &to))
			continue;
		log_limited(loop_now_ms(o->loop), LOG_WARN,
			    "dns: %s, which no rule matches, has the address %s inside a routed "
			    "prefix: no such name (dns: {rebind: block})",
			    text_safe(q->asked.name).s, net_addr_str(text, &a->addrs[i]));
		return true;
	}
	return false;
}

/* What must stand before the answer leaves */
static int learn(const struct query *q, const struct dns_answer *a)
{
	const struct dns_opts *o = &q->d->opts;
	uint32_t left_s = dns_answer_left_s(a, loop_now_ms(o->loop));
	int r = 0;

	if (q->local || q->plan != PLAN_REAL || !o->hooks->learned)
		return 0;
	for (size_t i = 0; r == 0 && i < a->n_addrs; i++)
		r = o->hooks->learned(o->arg, q->asked.name, &q->via, &a->addrs[i], left_s);
	return r;
}

static void finish_answer(struct query *q, const struct dns_answer *a)
{
	if (is_rebind(q, a)) {
		finish_rcode(q, DNS_NXDOMAIN);
	} else if (learn(q, a) < 0) {
		finish_rcode(q, DNS_SERVFAIL);
	} else {
		q->d->stats.cached += !q->waited;
		q->d->stats.failed += a->rcode == DNS_SERVFAIL;
		finish_out(q, dns_out_answer(q->d->out, &q->asked, a, loop_now_ms(q->d->opts.loop)),
			   a->rcode);
	}
}

static bool raw_is_rebind(const struct query *q, const struct dns_result *r)
{
	struct dns_answer *a;
	bool yes;

	if (!q->unruled || !q->d->opts.rebind_block)
		return false;
	if (dns_answer_new(&a, r->raw, r->raw_len, false, loop_now_ms(q->d->opts.loop)) < 0)
		return true; /* what can't be read can't be let by */
	yes = is_rebind(q, a);
	dns_answer_unref(a);
	return yes;
}

static void finish_raw(struct query *q, const struct dns_result *r)
{
	size_t len = r->raw_len;

	if (len > DNS_MESSAGE_MAX || len < DNS_HEADER_BYTES + q->asked.question_len) {
		finish_rcode(q, DNS_SERVFAIL);
		return;
	}
	if (raw_is_rebind(q, r)) {
		finish_rcode(q, DNS_NXDOMAIN);
		return;
	}
	memcpy(q->d->out, r->raw, len);
	memcpy(q->d->out + DNS_HEADER_BYTES, q->asked.question, q->asked.question_len);
	finish(q, q->tcp ? len : dns_out_cut(q->d->out, len, &q->asked));
}

/* ---- what came ---- */

static bool is_known(const struct query *q)
{
	return dns_fakes_find(q->d->fakes, q->asked.name) >= 0;
}

/* The resolver could not be asked: a name that has a fake address keeps it, and its flow waits in our place */
static void fail(struct query *q, int err)
{
	if (q->plan == PLAN_FAKE && is_known(q))
		finish_fake(q);
	else
		finish_rcode(q, q->local && err == ST_ECLOSED && q->d->n_forwarders == 0
					? DNS_REFUSED
					: DNS_SERVFAIL);
}

/* Return: true: the query goes on, with another question */
static bool take_fake(struct query *q, struct dns_answer *a)
{
	bool none = a->n_addrs == 0 && (a->rcode == DNS_NOERROR || a->forbidden);

	if (a->n_addrs > 0) {
		finish_fake(q);
	} else if (none && !q->first) {
		q->first = dns_answer_ref(a);
		q->type = q->type == DNS_A ? DNS_AAAA : DNS_A;
		return true;
	} else if (none || a->rcode == DNS_NXDOMAIN) {
		struct dns_answer *says = dns_answer_ref(q->first ? q->first : a);

		finish_answer(q, says);
		dns_answer_unref(says);
	} else if (a->rcode == DNS_SERVFAIL) {
		fail(q, ST_ECLOSED);
	} else {
		finish_answer(q, a);
	}
	return false;
}

static bool take(struct query *q, struct dns_answer *a)
{
	if (q->plan == PLAN_FAKE)
		return take_fake(q, a);
	if (q->plan == PLAN_EXISTS && a->n_addrs > 0)
		finish_rcode(q, DNS_NOERROR);
	else
		finish_answer(q, a);
	return false;
}

static void run(struct query *q);

static void on_done(struct dns_want *w, const struct dns_result *r)
{
	struct query *q = container_of(w, struct query, want);

	if (r->err < 0)
		fail(q, r->err);
	else if (q->plan == PLAN_RAW)
		finish_raw(q, r);
	else if (take(q, r->answer))
		run(q);
}

void dns_query_over(struct dns_party *p)
{
	fail(container_of(p, struct query, party), ST_ETIMEOUT);
}

void dns_query_known_over(struct dns_wait *w)
{
	struct query *q = container_of(w, struct query, known);

	q->keep = true;
	fail(q, ST_ETIMEOUT);
}

/* ---- running ---- */

/* The query becomes a party. Return: 0; ST_EFULL; ST_ENOMEM */
static int park(struct query *q)
{
	int r;

	if (q->waited)
		return 0;
	if ((r = dns_party_add(q->d, &q->party, DNS_PARTY_QUERY, q->local ? NULL : &q->via)) < 0) {
		q->d->stats.dropped++;
		return r;
	}
	q->waited = true;
	*q->h = q->party.h;
	q->h = NULL;
	q->want.deadline_ms = q->party.budget.at_ms;
	if (q->plan == PLAN_FAKE && is_known(q))
		dns_queue_add(&q->d->known, &q->known); /* without memory: the budget's end does */
	return 0;
}

static void run(struct query *q)
{
	struct dns *d = q->d;
	struct dns_key key;
	bool more;
	int r;

	do {
		struct dns_answer *a;

		dns_key_set(&key, &q->asked, q->type, q->local ? NULL : &q->via);
		a = dns_cache_find(d->cache, &key, loop_now_ms(d->opts.loop));
		if (!a) {
			if ((r = park(q)) < 0 ||
			    (r = dns_want_start(d, &q->want, &key, q->local ? NULL : &q->via)) < 0)
				fail(q, r);
			return;
		}
		more = take(q, a);
		dns_answer_unref(a);
	} while (more);
}

static void run_raw(struct query *q, const uint8_t *msg, size_t len)
{
	int r;

	q->plan = PLAN_RAW;
	if ((r = park(q)) < 0 ||
	    (r = dns_want_raw(q->d, &q->want, msg, len, q->local ? NULL : &q->via)) < 0)
		fail(q, r);
}

/* ---- plans ---- */

/* A name inside an upstream's rule */
static void plan_upstream(struct query *q, const struct dns_verdict *v)
{
	uint16_t type = q->asked.type;
	bool address = type == DNS_A || type == DNS_AAAA;
	bool six = v->ipv6 && (!v->fake || q->d->opts.fake6.addr.family == 6);

	q->local = false;
	q->via = v->via;
	q->type = type;
	q->d->stats.by_upstream++;
	if (type == DNS_ANY) {
		finish_record(q, DNS_HINFO, DNS_TTL_MAX_S, hinfo, sizeof(hinfo));
	} else if (address && v->fake && q->asked.odd) {
		finish_rcode(q, DNS_NXDOMAIN); /* no host name; see dns_asked.odd */
	} else if ((type == DNS_AAAA && !six) || type == DNS_SVCB || type == DNS_HTTPS) {
		q->plan = PLAN_EXISTS;
		q->type = DNS_A;
		if (v->fake && is_known(q))
			finish_rcode(q, DNS_NOERROR);
		else
			run(q);
	} else {
		q->plan = address && v->fake ? PLAN_FAKE : PLAN_REAL;
		run(q);
	}
}

static void plan_local(struct query *q, const uint8_t *msg, size_t len)
{
	q->local = true;
	q->type = q->asked.type;
	q->d->stats.forwarded++;
	if (q->asked.options)
		run_raw(q, msg, len);
	else
		run(q);
}

static void plan_relay(struct query *q, const struct dns_ask *ask, const uint8_t *msg, size_t len)
{
	q->via = ask->relay_to;
	q->via.relay = true;
	q->d->stats.relayed++;
	run_raw(q, msg, len);
}

/* A name of the reverse tree that stands for an address of the fake range. Return: false: it doesn't */
static bool plan_reverse(struct query *q)
{
	uint8_t wire[DNS_WIRE_NAME_MAX];
	struct net_addr a;
	const char *name;

	if (!dns_ptr_addr(&a, q->asked.name) || !dns_fakes_has(q->d->fakes, &a))
		return false;
	name = dns_fakes_name(q->d->fakes, &a);
	if (!name)
		finish_rcode(q, DNS_NXDOMAIN);
	else if (q->asked.type == DNS_PTR || q->asked.type == DNS_ANY)
		finish_record(q, DNS_PTR, DNS_FAKE_TTL_S, wire, dns_msg_name(wire, name));
	else
		finish_rcode(q, DNS_NOERROR);
	return true;
}

static void plan(struct query *q, const struct dns_ask *ask, const uint8_t *msg, size_t len)
{
	const struct dns_opts *o = &q->d->opts;
	struct dns_verdict v = { .way = DNS_LOCAL };

	if (ask->relay) {
		plan_relay(q, ask, msg, len);
		return;
	}
	if (!ask->no_fake) {
		if (plan_reverse(q))
			return;
		o->hooks->judge(o->arg, q->asked.name, &v);
	}
	q->unruled = v.unruled;
	switch (v.way) {
	case DNS_UPSTREAM: plan_upstream(q, &v); break;
	case DNS_NONE: finish_rcode(q, DNS_NXDOMAIN); break;
	case DNS_LOCAL: plan_local(q, msg, len); break;
	}
}

handle dns_query(struct dns *d, const uint8_t *msg, size_t len, const struct dns_ask *ask,
		 dns_reply_fn *reply, void *arg)
{
	struct query *q = calloc(1, sizeof(*q));
	handle h = 0;
	int r;

	d->stats.queries++;
	if (!q) {
		reply(arg, d->out, 0);
		return 0;
	}
	q->d = d;
	q->reply = reply;
	q->arg = arg;
	q->tcp = ask->tcp;
	q->h = &h;
	dns_wait_init(&q->known);
	list_node_init(&q->want.node);
	q->want.done = on_done;
	r = dns_msg_asked(&q->asked, msg, len);
	d->stats.garbage += r == DNS_FORMERR || r < 0;
	if (r < 0)
		finish(q, 0);
	else if (r > 0)
		finish_rcode(q, (unsigned)r);
	else
		plan(q, ask, msg, len);
	return hnd_get(&d->parties, h) ? h : 0; /* it may have ended since */
}
