// SPDX-License-Identifier: MIT
/*
 * dns_server.c - fuzz target: queries of any content to a server whose resolvers, rules and clock the script plays
 *
 * The first byte chooses the set-up; then each operation is a byte and its operands: a query of given bytes or a plausible one, an answer of given
 * records or plausible ones, a failure, a cancel, a dns_resolve(), a change of rules, time. Whatever the script does: each query is answered
 * exactly once unless it was cancelled, and by the end of its budget; an answer has its asker's id and fits his size; what we wrote ourselves can be read;
 * an upstream's address is learned before it leaves and is never a forbidden one; a fake address is that of the name; the cache keeps its limit.
 */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/util.h"
#include "dns/dns.h"
#include "dns_asks.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define QUERIES_MAX 1024U
#define CACHE_BYTES 8000U
#define LEARNED_MAX 4096U

struct query {
	handle h;
	uint16_t id;
	bool tcp, raw, ended;
	uint64_t due_ms;
	struct dns_asked asked;
	bool readable; /* asked is good */
};

static struct {
	const uint8_t *p;
	size_t left;
	struct dns *d;
	struct query queries[QUERIES_MAX];
	size_t n;
	struct net_addr learned[LEARNED_MAX];
	size_t n_learned;
	unsigned resolving, resolved;
	handle resolve;
	bool routed, refuses;
} w;

/* ---- the clock: dns/ asks nothing else of the loop ---- */

#define TIMERS_MAX 8U
static uint64_t now_ms;
static struct loop_timer *timers[TIMERS_MAX];

uint64_t loop_now_ms(const struct loop *loop)
{
	(void)loop;
	return now_ms;
}

void loop_timer_init(struct loop_timer *timer, loop_fn *fn, void *arg)
{
	*timer = (struct loop_timer){ .fn = fn, .arg = arg };
}

bool loop_timer_armed(const struct loop_timer *timer)
{
	return timer->pos > 0;
}

void loop_timer_cancel(struct loop *loop, struct loop_timer *timer)
{
	(void)loop;
	if (timer->pos)
		timers[timer->pos - 1] = NULL;
	timer->pos = 0;
}

int loop_timer_set(struct loop *loop, struct loop_timer *timer, uint64_t at_ms)
{
	loop_timer_cancel(loop, timer);
	timer->at_ms = at_ms;
	for (size_t i = 0; i < TIMERS_MAX; i++) {
		if (timers[i])
			continue;
		timers[i] = timer;
		timer->pos = i + 1;
		return 0;
	}
	ST_BUG("dns/ has more timers");
}

static void clock_advance(uint64_t ms)
{
	uint64_t end_ms = now_ms + ms;

	for (;;) {
		struct loop_timer *next = NULL;

		for (size_t i = 0; i < TIMERS_MAX; i++) {
			if (timers[i] && timers[i]->at_ms <= end_ms &&
			    (!next || timers[i]->at_ms < next->at_ms))
				next = timers[i];
		}
		if (!next)
			break;
		now_ms = MAX(now_ms, next->at_ms);
		loop_timer_cancel(NULL, next);
		next->fn(next->arg, now_ms);
	}
	now_ms = end_ms;
}

/* ---- the script ---- */

static uint8_t take(void)
{
	if (w.left == 0)
		return 0;
	w.left--;
	return *w.p++;
}

static size_t take_bytes(uint8_t *out, size_t max)
{
	size_t n = (size_t)take() * 4U;

	n = MIN(n, MIN(max, w.left));
	memcpy(out, w.p, n);
	w.p += n;
	w.left -= n;
	return n;
}

static const char *const names[] = {
	"a.fake.test",
	"B.fake.test",
	"a.fake6.test",
	"a.real.test",
	"a.real6.test",
	"a.none.test",
	"a.test",
	"x\\.y.fake.test",
	".",
	"localhost",
	"0.1.18.198.in-addr.arpa",
	"fake.test",
};
static const uint16_t types[] = { 1, 28, 65, 64, 255, 12, 16, 5, 6, 252, 41, 15 };

static bool ends(const char *name, const char *tail)
{
	size_t n = strlen(name), t = strlen(tail);

	return n >= t && strcmp(name + n - t, tail) == 0;
}

static void judge(void *arg, const char *name, struct dns_verdict *out)
{
	(void)arg;
	*out = (struct dns_verdict){ .way = DNS_UPSTREAM, .via = { .upstream = 1 } };
	if (ends(name, ".fake.test")) {
		out->fake = true;
	} else if (ends(name, ".fake6.test")) {
		out->fake = out->ipv6 = true;
	} else if (ends(name, ".real6.test")) {
		out->ipv6 = true;
		out->via.upstream = 2;
	} else if (ends(name, ".none.test")) {
		out->way = DNS_NONE;
	} else if (!ends(name, ".real.test")) {
		out->way = DNS_LOCAL;
		out->unruled = true;
	}
}

static int learned(void *arg, const char *name, const struct dns_via *via,
		   const struct net_addr *addr, uint32_t ttl_s)
{
	(void)arg;
	(void)name;
	ST_ASSERT(via->upstream == 1 || via->upstream == 2);
	ST_ASSERT(!net_addr_is_local_only(addr) && ttl_s <= DNS_TTL_MAX_S);
	if (w.refuses)
		return ST_EFULL;
	if (w.n_learned < LEARNED_MAX)
		w.learned[w.n_learned++] = *addr;
	return 0;
}

static bool routed(void *arg, const struct net_addr *addr)
{
	(void)arg;
	return w.routed && addr->b[0] == 10;
}

static bool in_use(void *arg, const struct net_addr *fake)
{
	(void)arg;
	return fake->b[3] & 1;
}

static const struct dns_hooks hooks = {
	.judge = judge, .learned = learned, .routed = routed, .in_use = in_use
};

/* ---- what is answered ---- */

static bool was_learned(const struct net_addr *a)
{
	for (size_t i = 0; i < w.n_learned; i++) {
		if (net_addr_eq(&w.learned[i], a))
			return true;
	}
	return w.n_learned == LEARNED_MAX;
}

static void check_addresses(const struct query *q, const struct dns_answer *a)
{
	struct dns_verdict v;

	judge(NULL, q->asked.name, &v);
	if (v.way != DNS_UPSTREAM)
		return;
	for (size_t i = 0; i < a->n_addrs; i++) {
		const struct net_addr *addr = &a->addrs[i];

		ST_ASSERT(!net_addr_is_local_only(addr));
		ST_ASSERT(v.ipv6 || addr->family == 4 || q->asked.type != DNS_AAAA);
		if (v.fake && (q->asked.type == DNS_A || q->asked.type == DNS_AAAA))
			ST_ASSERT(dns_is_fake(w.d, addr) && a->n_addrs == 1 &&
				  strcmp(dns_fake_name(w.d, addr), q->asked.name) == 0);
		else
			ST_ASSERT(was_learned(addr));
	}
}

static void on_reply(void *arg, const uint8_t *msg, size_t len)
{
	struct query *q = arg;
	struct dns_answer *a;

	ST_ASSERT(!q->ended && now_ms <= q->due_ms);
	q->ended = true;
	q->h = 0;
	if (len == 0)
		return;
	ST_ASSERT(len >= DNS_HEADER_BYTES && len <= DNS_MESSAGE_MAX && dns_msg_id(msg) == q->id &&
		  msg[2] & 0x80);
	if (!q->readable || q->raw)
		return;
	ST_ASSERT(q->tcp || len <= q->asked.udp_max);
	ST_ASSERT(memcmp(msg + DNS_HEADER_BYTES, q->asked.question, q->asked.question_len) == 0);
	ST_ASSERT(dns_answer_new(&a, msg, len, false, now_ms) == 0);
	check_addresses(q, a);
	dns_answer_unref(a);
}

static void on_addrs(void *arg, int err, const struct net_addr *addrs, size_t n, const char *text)
{
	(void)arg;
	ST_ASSERT((err == 0) == (n > 0) && n <= DNS_ADDRS_MAX && (err == 0) == (text[0] == '\0'));
	for (size_t i = 0; i < n; i++)
		ST_ASSERT(!net_addr_is_local_only(&addrs[i]));
	w.resolved++;
}

/* ---- operations ---- */

static void query(const uint8_t *msg, size_t len)
{
	unsigned how = take();
	struct dns_ask ask = {
		.tcp = how & 1,
		.no_fake = (how & 6) == 6,
		.relay = (how & 24) == 24,
		.relay_to = { .upstream = 3 },
	};
	struct query *q = &w.queries[w.n];

	if (w.n == QUERIES_MAX || asks.n >= ASKS_MAX - 4)
		return;
	w.n++;
	*q = (struct query){ .id = len >= 2 ? dns_msg_id(msg) : 0,
			     .tcp = ask.tcp,
			     .due_ms = now_ms + DNS_BUDGET_MS };
	q->readable = dns_msg_asked(&q->asked, msg, len) == 0;
	q->raw = ask.relay || ask.no_fake || q->asked.options;
	q->h = dns_query(w.d, msg, len, &ask, on_reply, q);
	ST_ASSERT((q->h == 0) == q->ended);
}

static void op_bytes(void)
{
	uint8_t msg[1100];
	size_t n = take_bytes(msg, sizeof(msg));

	query(msg, n);
}

/* A plausible query, of which one byte may be another */
static void op_query(void)
{
	const char *name = names[take() % ARRAY_LEN(names)];
	uint16_t type = types[take() % ARRAY_LEN(types)];
	unsigned bits = take();
	uint8_t msg[DNS_QUERY_MAX];
	size_t len = bits & 1 ? wire_query_edns(msg, name, "A", (uint16_t)(bits * 16), bits & 2)
			      : wire_query(msg, name, "A");
	size_t end = DNS_HEADER_BYTES + dns_msg_question_len(msg, len);

	be16_put(msg + end - 4, type);
	if (bits & 4)
		msg[take() % len] = take();
	if (bits & 8)
		msg[3] = (uint8_t)(bits & 0x30);
	query(msg, len);
}

static struct ask_made *ask_open(void)
{
	size_t at = asks.n ? take() % asks.n : 0;

	for (size_t i = 0; i < asks.n; i++) {
		struct ask_made *a = &asks.v[(at + i) % asks.n];

		if (a->open)
			return a;
	}
	return NULL;
}

/* The question as it must come back, then any bytes */
static void op_answer_bytes(void)
{
	struct ask_made *a = ask_open();
	static uint8_t msg[8192];
	size_t len, question;

	if (!a)
		return;
	question = dns_msg_question_len(a->msg, a->len);
	len = DNS_HEADER_BYTES + question;
	memcpy(msg, a->msg, len);
	msg[2] = (uint8_t)(take() | 0x80);
	msg[3] = take();
	for (size_t i = 7; i < DNS_HEADER_BYTES; i += 2)
		be16_put(msg + i - 1, take());
	len += take_bytes(msg + len, 1000);
	a->open = false;
	a->done(a->arg, 0, msg, len, NULL);
}

static size_t record(uint8_t *out, unsigned kind)
{
	static const struct {
		uint16_t type;
		uint8_t len;
		uint8_t data[24];
	} kinds[] = {
		{ 1, 4, { 10, 0, 0, 5 } },
		{ 1, 4, { 192, 0, 2, 1 } },
		{ 1, 4, { 127, 0, 0, 1 } },
		{ 1, 4, { 169, 254, 169, 254 } },
		{ 28, 16, { 0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1 } },
		{ 28, 16, { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1 } },
		{ 5, 4, { 1, 'c', 0xc0, 12 } },
		{ 16, 3, { 2, 'h', 'i' } },
		{ 6, 24, { 0, 0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0, 30 } },
		{ 41, 0, { 0 } },
	};
	size_t k = kind % ARRAY_LEN(kinds), n = kinds[k].len;

	if (kinds[k].type == 6)
		n = 22;
	be16_put(out, 0xc00c);
	be16_put(out + 2, kinds[k].type);
	be16_put(out + 4, 1);
	be32_put(out + 6, (uint32_t)kind * 7U);
	be16_put(out + 10, (uint16_t)n);
	memcpy(out + 12, kinds[k].data, n);
	return 12 + n;
}

static void op_answer(void)
{
	struct ask_made *a = ask_open();
	static uint8_t msg[8192];
	unsigned n = take() % 48, spread = take();
	size_t len;

	if (!a)
		return;
	len = DNS_HEADER_BYTES + dns_msg_question_len(a->msg, a->len);
	memcpy(msg, a->msg, len);
	memset(msg + 6, 0, 6);
	msg[2] |= 0x80;
	msg[3] = (uint8_t)(spread & 0xa3);
	for (unsigned i = 0; i < n; i++)
		len += record(msg + len, take());
	be16_put(msg + 6, (uint16_t)(spread & 4 ? 0 : n));
	be16_put(msg + 8, (uint16_t)(spread & 4 ? n : 0));
	a->open = false;
	a->done(a->arg, 0, msg, len, NULL);
}

static void op_fail(void)
{
	struct ask_made *a = ask_open();

	if (!a)
		return;
	a->open = false;
	a->done(a->arg, take() & 1 ? ST_ECLOSED : ST_ETIMEOUT, NULL, 0, "why");
}

static void op_cancel(void)
{
	struct query *q = w.n ? &w.queries[take() % w.n] : NULL;

	if (!q || !q->h)
		return;
	dns_cancel(w.d, q->h);
	q->h = 0;
	q->ended = true;
}

static void op_resolve(void)
{
	static const struct dns_via via = { .upstream = 1 };
	const char *name = names[take() % ARRAY_LEN(names)];

	if (asks.n >= ASKS_MAX - 4)
		return;
	w.resolving++;
	w.resolve = dns_resolve(w.d, name, take() & 1 ? &via : NULL, on_addrs, NULL);
}

static void op_unresolve(void)
{
	unsigned before = w.resolved;
	struct dns_stats s;
	uint32_t pending;

	dns_stats(w.d, &s);
	pending = s.pending;
	dns_cancel(w.d, w.resolve);
	dns_stats(w.d, &s);
	ST_ASSERT(w.resolved == before);
	w.resolved += pending - s.pending;
}

static void op_change(void)
{
	static const struct net_endpoint forwarder = { .port = 53 };
	unsigned what = take();

	w.routed = what & 1;
	w.refuses = (what & 6) == 6;
	asks.refuse = (what & 0x18) == 0x18 ? ST_EFULL : 0;
	if (what & 0x20)
		dns_rules_changed(w.d, what & 2);
	if (what & 0x40)
		dns_upstream_gone(w.d, what & 3);
	if (what & 0x80)
		dns_set_forwarders(w.d, &forwarder, what & 1);
}

static void op_time(void)
{
	clock_advance((uint64_t)take() * 50U);
}

static void check(void)
{
	struct dns_stats s;

	dns_stats(w.d, &s);
	ST_ASSERT(s.cache_bytes <= CACHE_BYTES && s.pending <= DNS_PENDING_MAX);
	ST_ASSERT(s.pending > 0 || s.cache_entries <= s.cache_bytes);
}

static void finish(void)
{
	struct dns_stats s;

	if (take() & 1) { /* else it is freed as it stands */
		clock_advance(DNS_BUDGET_MS);
		for (size_t i = 0; i < w.n; i++)
			ST_ASSERT(w.queries[i].ended);
		ST_ASSERT(w.resolved == w.resolving);
		dns_stats(w.d, &s);
		ST_ASSERT(s.pending == 0 && s.queries == w.n);
	}
	dns_free(w.d);
	for (size_t i = 0; i < TIMERS_MAX; i++)
		ST_ASSERT(!timers[i]);
	ST_ASSERT(asks_open() == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const ops[])(void) = { op_query, op_answer, op_bytes,   op_answer_bytes,
					     op_fail,  op_cancel, op_resolve, op_change,
					     op_time,  op_query,  op_answer,  op_unresolve };
	static const struct net_endpoint forwarder = { .port = 53 };
	struct dns_opts o = {
		.loop = (struct loop *)(void *)&now_ms, /* never looked into */
		.hooks = &hooks,
		.cache_bytes = CACHE_BYTES,
	};
	unsigned setup;

	log_setup(LOG_ERROR, LOG_TEXT);
	memset(&w, 0, offsetof(__typeof__(w), queries));
	w.n = w.n_learned = 0;
	w.resolving = w.resolved = 0;
	w.resolve = 0;
	w.routed = w.refuses = false;
	w.p = data;
	w.left = size;
	now_ms = 1000;
	asks_reset();
	setup = take();
	o.rebind_block = setup & 1;
	net_prefix_parse(&o.fake4, "198.18.0.0/16");
	if (setup & 2)
		net_prefix_parse(&o.fake6, "fd12:3456:789a:1::/64");
	ST_ASSERT(dns_new(&w.d, &o) == 0);
	dns_set_forwarders(w.d, &forwarder, 1);
	while (w.left > 0) {
		ops[take() % ARRAY_LEN(ops)]();
		check();
	}
	finish();
	return 0;
}
