// SPDX-License-Identifier: MIT
/* dns_query_test.c - the life of a query, with scripted resolvers */
#include "dns/dns.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/log.h"
#include "base/text.h"
#include "dns/dns_core.h" /* its delays */
#include "dns_asks.h"

#define BUDGET_MS 300U
#define SOA "x.test. 60 IN SOA ns.x.test. root.x.test. 1 2 3 4 30"

static struct loop *loop;
static struct dns *dns;
static struct {
	unsigned replies;
	uint8_t msg[DNS_MESSAGE_MAX];
	size_t len;
	unsigned learned, learn_ttl_s, told;
	int learn_says;
	bool routed;
} got;

/* ---- hooks: the name's last label but one is the rule ---- */

static bool ends(const char *name, const char *tail)
{
	size_t n = strlen(name), t = strlen(tail);

	return n >= t && strcmp(name + n - t, tail) == 0;
}

static void judge(void *arg, const char *name, struct dns_verdict *out)
{
	static const struct {
		const char *tail;
		struct dns_verdict v;
	} rules[] = {
		{ ".fake.test", { .way = DNS_UPSTREAM, .via = { .upstream = 1 }, .fake = true } },
		{ ".fake6.test",
		  { .way = DNS_UPSTREAM, .via = { .upstream = 2 }, .fake = true, .ipv6 = true } },
		{ ".real.test", { .way = DNS_UPSTREAM, .via = { .upstream = 3 } } },
		{ ".real6.test", { .way = DNS_UPSTREAM, .via = { .upstream = 4 }, .ipv6 = true } },
		{ ".none.test", { .way = DNS_NONE } },
		{ ".direct.test", { .way = DNS_LOCAL } },
		{ ".default.test",
		  { .way = DNS_UPSTREAM, .via = { .upstream = 5 }, .unruled = true } },
	};

	(void)arg;
	*out = (struct dns_verdict){ .way = DNS_LOCAL, .unruled = true };
	for (size_t i = 0; i < ARRAY_LEN(rules); i++) {
		if (ends(name, rules[i].tail))
			*out = rules[i].v;
	}
}

static int learned(void *arg, const char *name, const struct dns_via *via,
		   const struct net_addr *addr, uint32_t ttl_s)
{
	(void)arg;
	(void)name;
	(void)addr;
	assert_true(via->upstream >= 3);
	got.learned++;
	got.learn_ttl_s = ttl_s;
	return got.learn_says;
}

static bool routed(void *arg, const struct net_addr *addr)
{
	(void)arg;
	return got.routed && addr->family == 4 && addr->b[0] == 10;
}

static const struct dns_hooks hooks = { .judge = judge, .learned = learned, .routed = routed };

static void on_line(void *arg, enum log_level level, const char *line)
{
	(void)arg;
	got.told += level <= LOG_WARN && strstr(line, "no such name");
}

/* ---- set-up ---- */

static void start(uint32_t budget_ms)
{
	struct dns_opts o = { .loop = loop, .hooks = &hooks, .budget_ms = budget_ms };
	struct net_endpoint forwarder = { .port = 53 };

	assert_int_equal(net_prefix_parse(&o.fake4, "198.18.0.0/16"), 0);
	assert_int_equal(net_prefix_parse(&o.fake6, "fd12:3456:789a:1::/64"), 0);
	assert_int_equal(dns_new(&dns, &o), 0);
	dns_set_forwarders(dns, &forwarder, 1);
}

static int set_up(void **state)
{
	(void)state;
	memset(&got, 0, sizeof(got));
	asks_reset();
	assert_int_equal(loop_new(&loop), 0);
	log_tee(on_line, NULL);
	start(BUDGET_MS);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	log_tee(NULL, NULL);
	dns_free(dns);
	loop_free(loop);
	return 0;
}

/* ---- asking ---- */

static void on_reply(void *arg, const uint8_t *msg, size_t len)
{
	(void)arg;
	got.replies++;
	got.len = len;
	memcpy(got.msg, msg, len);
}

static handle put(const uint8_t *msg, size_t len, const struct dns_ask *how)
{
	static const struct dns_ask udp = { 0 };

	return dns_query(dns, msg, len, how ? how : &udp, on_reply, NULL);
}

static handle query(const char *name, const char *type)
{
	uint8_t msg[DNS_QUERY_MAX];

	return put(msg, wire_query(msg, name, type), NULL);
}

static struct dns_stats stats(void)
{
	struct dns_stats s;

	dns_stats(dns, &s);
	return s;
}

/* ---- looking at the reply ---- */

static unsigned answers(void)
{
	return be16_get(got.msg + 6);
}

#define assert_reply(n, rcode)                                                                     \
	do {                                                                                       \
		assert_int_equal(got.replies, n);                                                  \
		assert_true(got.len >= DNS_HEADER_BYTES);                                          \
		assert_int_equal(dns_msg_id(got.msg), 0x1234);                                     \
		assert_int_equal(got.msg[2] & 0x80, 0x80);                                         \
		assert_int_equal(dns_msg_rcode(got.msg), rcode);                                   \
	} while (0)

/* The data of the only record, which is the last thing in the message */
static void assert_one_address(const char *text)
{
	struct net_addr a;
	size_t n;

	assert_int_equal(net_addr_parse(&a, text), 0);
	n = net_addr_bytes(&a);
	assert_int_equal(answers(), 1);
	assert_memory_equal(got.msg + got.len - n, a.b, n);
}

static uint32_t fake_ttl(void)
{
	return be32_get(got.msg + got.len - 4 - 6);
}

static struct net_addr fake_of(const char *name, uint8_t family)
{
	struct net_addr a;

	assert_int_equal(dns_fake_of(dns, name, family, &a), 0);
	return a;
}

static void assert_fake(const char *name, uint8_t family)
{
	char text[NET_ADDR_STR];
	struct net_addr a = fake_of(name, family);

	assert_one_address(net_addr_str(text, &a));
	assert_string_equal(dns_fake_name(dns, &a), name);
	assert_true(dns_is_fake(dns, &a));
}

/* ---- the cases ---- */

static void a_name_of_a_rule_gets_a_fake_address_once_it_exists(void **state)
{
	(void)state;
	query("DB.fake.test", "A");
	assert_int_equal(got.replies, 0);
	assert_true(ask_is(0, "db.fake.test", DNS_A));
	assert_int_equal(asks.v[0].via.upstream, 1);
	ask_answer(0, 0, "db.fake.test. 60 IN A 10.0.0.5", NULL);
	assert_reply(1, DNS_NOERROR);
	assert_fake("db.fake.test", 4);
	assert_int_equal(fake_ttl(), DNS_FAKE_TTL_S);
	assert_memory_equal(got.msg + DNS_HEADER_BYTES,
			    "\x02"
			    "DB",
			    3); /* as it was asked */
	query("db.fake.test", "A");
	assert_reply(2, DNS_NOERROR);
	assert_int_equal(asks.n, 1);
	assert_int_equal(stats().faked, 2);
	assert_int_equal(stats().pending, 0);
}

static void only_ipv6_behind_a_fake_ipv4_address_is_fine(void **state)
{
	(void)state;
	query("six.fake.test", "A");
	ask_answer(0, 0, NULL, SOA);
	assert_true(ask_is(1, "six.fake.test", DNS_AAAA));
	ask_answer(1, 0, "six.fake.test. 60 IN AAAA 2001:db8::1", NULL);
	assert_reply(1, DNS_NOERROR);
	assert_fake("six.fake.test", 4);
}

static void no_address_at_all_is_what_the_resolver_said(void **state)
{
	(void)state;
	query("mx.fake.test", "A");
	ask_answer(0, 0, NULL, SOA);
	ask_answer(1, 0, NULL, SOA);
	assert_reply(1, DNS_NOERROR);
	assert_int_equal(answers(), 0);
	assert_int_equal(be16_get(got.msg + 8), 1); /* the SOA, for the asker's cache */
	query("no.fake.test", "A");
	ask_answer(2, DNS_NXDOMAIN, NULL, SOA);
	assert_reply(2, DNS_NXDOMAIN);
	query("no.fake.test", "A"); /* both are kept */
	assert_reply(3, DNS_NXDOMAIN);
	query("mx.fake.test", "A");
	assert_reply(4, DNS_NOERROR);
	assert_int_equal(asks.n, 3);
	assert_int_equal(stats().fakes, 0);
	assert_int_equal(stats().cached, 2);
}

static void aaaa_needs_an_upstream_with_ipv6(void **state)
{
	(void)state;
	query("a.fake.test", "AAAA"); /* its existence is asked for */
	assert_true(ask_is(0, "a.fake.test", DNS_A));
	ask_answer(0, 0, "a.fake.test. 60 IN A 10.0.0.5", NULL);
	assert_reply(1, DNS_NOERROR);
	assert_int_equal(answers(), 0);
	query("b.fake.test", "AAAA");
	ask_answer(1, DNS_NXDOMAIN, NULL, SOA);
	assert_reply(2, DNS_NXDOMAIN);
	query("a.fake6.test", "AAAA");
	assert_true(ask_is(2, "a.fake6.test", DNS_AAAA));
	ask_answer(2, 0, NULL, SOA);
	assert_true(ask_is(3, "a.fake6.test", DNS_A));
	ask_answer(3, 0, "a.fake6.test. 60 IN A 10.0.0.5", NULL);
	assert_reply(3, DNS_NOERROR);
	assert_fake("a.fake6.test", 6);
	assert_int_equal(fake_of("a.fake6.test", 4).b[3], fake_of("a.fake6.test", 6).b[15]);
}

static void https_records_are_no_data(void **state)
{
	static const struct dns_ask tcp = { .tcp = true };
	uint8_t msg[DNS_QUERY_MAX];
	size_t len;

	(void)state;
	len = wire_query(msg, "w.fake.test", "A");
	be16_put(msg + len - 4, DNS_HTTPS);
	put(msg, len, &tcp);
	ask_answer(0, 0, "w.fake.test. 60 IN A 10.0.0.5", NULL);
	assert_reply(1, DNS_NOERROR);
	assert_int_equal(answers(), 0);
	assert_int_equal(be16_get(got.msg + got.len - 4), DNS_HTTPS);
	len = wire_query(msg, "w.real.test", "A");
	be16_put(msg + len - 4, DNS_SVCB);
	put(msg, len, &tcp);
	ask_answer(1, 0, "w.real.test. 60 IN A 10.0.0.5", NULL);
	assert_reply(2, DNS_NOERROR);
	assert_int_equal(answers(), 0);
	assert_int_equal(got.learned, 0);
}

static void any_is_answered_in_short(void **state)
{
	(void)state;
	query("a.fake.test", "ANY");
	assert_reply(1, DNS_NOERROR);
	assert_int_equal(answers(), 1);
	assert_memory_equal(got.msg + got.len - 9, "\x07RFC8482", 9);
	assert_int_equal(asks.n, 0);
}

static void other_types_are_real_answers(void **state)
{
	(void)state;
	query("a.fake.test", "TXT");
	assert_true(ask_is(0, "a.fake.test", 16));
	ask_answer(0, 0, "a.fake.test. 60 IN TXT \"hello\"", NULL);
	assert_reply(1, DNS_NOERROR);
	assert_int_equal(answers(), 1);
	assert_memory_equal(got.msg + got.len - 5, "hello", 5);
	assert_int_equal(got.msg[2] & 0x04, 0); /* not authoritative */
	assert_int_equal(got.msg[3] & 0x80, 0x80);
}

static void real_addresses_are_learned_before_the_answer(void **state)
{
	(void)state;
	query("a.real.test", "A");
	ask_answer(0, 0,
		   "a.real.test. 60 IN CNAME b.x.test.\nb.x.test. 90 IN A 10.0.0.5\nb.x.test. 90 "
		   "IN A 10.0.0.6",
		   NULL);
	assert_reply(1, DNS_NOERROR);
	assert_int_equal(answers(), 3);
	assert_int_equal(got.learned, 2);
	assert_in_range(got.learn_ttl_s, 59, 60);
	query("a.real.test", "A"); /* also when it is a kept one */
	assert_reply(2, DNS_NOERROR);
	assert_int_equal(got.learned, 4);
	got.learn_says = ST_EFULL;
	query("a.real.test", "A");
	assert_reply(3, DNS_SERVFAIL);
	assert_int_equal(asks.n, 1);
}

static void forbidden_addresses_are_left_out(void **state)
{
	(void)state;
	query("a.real.test", "A");
	ask_answer(0, 0, "a.real.test. 60 IN A 127.0.0.1\na.real.test. 60 IN A 10.0.0.6", NULL);
	assert_reply(1, DNS_NOERROR);
	assert_one_address("10.0.0.6");
	assert_int_equal(got.told, 0);
	query("b.real.test", "A");
	ask_answer(1, 0, "b.real.test. 60 IN A 127.0.0.1\nb.real.test. 60 IN A 169.254.169.254",
		   NULL);
	assert_reply(2, DNS_NXDOMAIN);
	assert_int_equal(answers(), 0);
	assert_int_equal(got.told, 1);
	query("c.fake.test", "A");
	ask_answer(2, 0, "c.fake.test. 60 IN A 169.254.169.254", NULL);
	ask_answer(3, 0, "c.fake.test. 60 IN AAAA ::1", NULL);
	assert_reply(3, DNS_NXDOMAIN);
	assert_int_equal(stats().fakes, 0);
	query("localhost", "A"); /* what the machine's own resolvers say is its own affair */
	ask_answer(4, 0, "localhost. 60 IN A 127.0.0.1", NULL);
	assert_reply(4, DNS_NOERROR);
	assert_one_address("127.0.0.1");
}

static void rebinding_is_blocked_if_told(void **state)
{
	(void)state;
	got.routed = true;
	query("evil.test", "A");
	ask_answer(0, 0, "evil.test. 60 IN A 10.1.2.3", NULL);
	assert_reply(1, DNS_NOERROR);
	dns_rules_changed(dns, true); /* forgets it */
	query("evil.test", "A");
	ask_answer(1, 0, "evil.test. 60 IN A 192.0.2.1\nevil.test. 60 IN A 10.1.2.3", NULL);
	assert_reply(2, DNS_NXDOMAIN);
	assert_int_equal(got.told, 1);
	query("a.real.test", "A"); /* a name of ours may */
	ask_answer(2, 0, "a.real.test. 60 IN A 10.1.2.3", NULL);
	assert_reply(3, DNS_NOERROR);
}

/* Where it would go unseen: behind many others, and as an IPv6 address that the kernel connects to by IPv4 */
static void rebinding_does_not_hide(void **state)
{
	char lines[4096] = "";
	size_t at = 0;

	(void)state;
	got.routed = true;
	dns_rules_changed(dns, true);
	for (unsigned i = 0; i < 40; i++)
		at += (size_t)snprintf(lines + at, sizeof(lines) - at,
				       "many.test. 60 IN A 192.0.2.%u\n", i);
	query("many.test", "A");
	ask_answer(0, 0, lines, NULL);
	assert_reply(1, DNS_NOERROR);
	snprintf(lines + at, sizeof(lines) - at, "evil.test. 60 IN A 10.1.2.3\n");
	query("evil.test", "A");
	ask_answer(1, 0, lines, NULL);
	assert_reply(2, DNS_NXDOMAIN);
	query("mapped.test", "AAAA");
	ask_answer(2, 0, "mapped.test. 60 IN AAAA ::ffff:10.1.2.3", NULL);
	assert_reply(3, DNS_NXDOMAIN);
	query("other.test", "AAAA");
	ask_answer(3, 0, "other.test. 60 IN AAAA ::ffff:192.0.2.1", NULL);
	assert_reply(4, DNS_NOERROR);
}

/* Whoever is asked; and a rule, also one that says direct, means that the name may. */
static void rebinding_is_of_names_without_a_rule(void **state)
{
	(void)state;
	got.routed = true;
	dns_rules_changed(dns, true);
	query("a.default.test", "A");
	ask_answer(0, 0, "a.default.test. 60 IN A 10.1.2.3", NULL);
	assert_reply(1, DNS_NXDOMAIN);
	assert_int_equal(got.learned, 0);
	query("a.direct.test", "A");
	ask_answer(1, 0, "a.direct.test. 60 IN A 10.1.2.3", NULL);
	assert_reply(2, DNS_NOERROR);
}

static void rejected_names_do_not_exist(void **state)
{
	(void)state;
	query("x.none.test", "A");
	assert_reply(1, DNS_NXDOMAIN);
	assert_int_equal(asks.n, 0);
}

static void who_may_not_use_our_routes_is_answered_as_without_us(void **state)
{
	static const struct dns_ask how = { .no_fake = true };
	uint8_t msg[DNS_QUERY_MAX];

	(void)state;
	put(msg, wire_query(msg, "db.fake.test", "A"), &how);
	assert_true(asks.v[0].local);
	ask_answer(0, DNS_NXDOMAIN, NULL, NULL);
	assert_reply(1, DNS_NXDOMAIN);
	assert_int_equal(stats().forwarded, 1);
}

static void without_resolvers_it_is_refused(void **state)
{
	(void)state;
	dns_set_forwarders(dns, NULL, 0);
	query("a.test", "A");
	assert_reply(1, DNS_REFUSED);
	assert_int_equal(stats().refused, 1);
	assert_int_equal(stats().pending, 0);
}

static void equal_questions_share_an_ask(void **state)
{
	handle h[20];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(h); i++)
		h[i] = query(i % 2 ? "a.test" : "A.Test", "A");
	assert_int_equal(asks.n, 1);
	query("a.test", "AAAA");
	assert_int_equal(asks.n, 2);
	for (size_t i = 0; i < 5; i++)
		dns_cancel(dns, h[i]);
	dns_cancel(dns, h[0]);
	ask_answer(0, 0, "a.test. 60 IN A 192.0.2.1", NULL);
	assert_reply(15, DNS_NOERROR);
	assert_int_equal(stats().pending, 1);
	assert_int_equal(asks_open(), 1);
}

static void an_ask_that_nobody_wants_ends(void **state)
{
	handle a, b;

	(void)state;
	a = query("a.test", "A");
	b = query("a.test", "A");
	assert_true(a && b);
	dns_cancel(dns, a);
	assert_int_equal(asks_open(), 1);
	dns_cancel(dns, b);
	assert_int_equal(asks_open(), 0);
	assert_int_equal(stats().pending, 0);
	query("a.test", "A");
	assert_int_equal(asks.n, 2);
}

static void freeing_ends_all_without_replies(void **state)
{
	(void)state;
	query("a.test", "A");
	query("a.test", "A");
	query("a.real.test", "A");
	dns_free(dns);
	assert_int_equal(asks_open(), 0);
	assert_int_equal(got.replies, 0);
	start(BUDGET_MS);
}

static struct {
	handle others[3];
	bool asks_anew;
	unsigned calls;
} chain;

static void on_first_reply(void *arg, const uint8_t *msg, size_t len)
{
	uint8_t again[DNS_QUERY_MAX];

	(void)arg;
	assert_true(len > DNS_HEADER_BYTES && dns_msg_id(msg) == 0x1234);
	chain.calls++;
	for (size_t i = 0; i < ARRAY_LEN(chain.others); i++)
		dns_cancel(dns, chain.others[i]);
	put(again, wire_query(again, "a.test", "A"), NULL);
}

static void a_reply_may_cancel_others_and_ask_anew(void **state)
{
	static const struct dns_ask udp = { 0 };
	uint8_t msg[DNS_QUERY_MAX];
	size_t len = wire_query(msg, "a.test", "A");

	(void)state;
	memset(&chain, 0, sizeof(chain));
	dns_query(dns, msg, len, &udp, on_first_reply, NULL);
	for (size_t i = 0; i < ARRAY_LEN(chain.others); i++)
		chain.others[i] = query("a.test", "A");
	ask_answer(0, 0, "a.test. 60 IN A 192.0.2.1", NULL);
	assert_int_equal(chain.calls, 1);
	assert_reply(1, DNS_NOERROR); /* the new one, from the cache; none of the cancelled */
	assert_int_equal(asks.n, 1);
	assert_int_equal(stats().pending, 0);
	query("b.test", "A"); /* and when there is nothing to keep */
	dns_query(dns, msg, len, &udp, on_first_reply, NULL);
	assert_int_equal(chain.calls, 2);
}

static void wait_ms(uint64_t ms)
{
	uint64_t until = loop_now_ms(loop) + ms;

	while (loop_now_ms(loop) < until)
		assert_int_equal(loop_turn(loop, (int)(until - loop_now_ms(loop))), 0);
}

static void silence_is_answered_when_the_budget_is_over(void **state)
{
	unsigned turns = 0;

	(void)state;
	query("a.real.test", "A");
	query("quick.real.test", "A");
	ask_answer(1, 0, "quick.real.test. 60 IN A 10.0.0.5", NULL); /* not held up */
	assert_reply(1, DNS_NOERROR);
	while (got.replies < 2 && turns++ < 100)
		loop_turn(loop, (int)BUDGET_MS);
	assert_reply(2, DNS_SERVFAIL);
	assert_int_equal(stats().failed, 1);
	assert_int_equal(asks_open(), 0);
	assert_int_equal(stats().pending, 0);
}

static void one_who_joins_late_has_a_budget_of_his_own(void **state)
{
	(void)state;
	query("a.real.test", "A");
	wait_ms(BUDGET_MS / 2);
	query("a.real.test", "A");
	assert_int_equal(asks.n, 1);
	wait_ms(asks.v[0].deadline_ms - loop_now_ms(loop));
	assert_reply(1, DNS_SERVFAIL);
	ask_fail(0, ST_ETIMEOUT);
	assert_int_equal(got.replies, 1);
	assert_int_equal(asks.n, 2);
	assert_true(asks.v[1].deadline_ms > asks.v[0].deadline_ms);
	ask_answer(1, 0, "a.real.test. 60 IN A 10.0.0.5", NULL);
	assert_reply(2, DNS_NOERROR);
}

static void a_known_name_keeps_its_fake_address_while_the_tunnel_is_down(void **state)
{
	(void)state;
	query("db.fake.test", "A");
	ask_answer(0, 0, "db.fake.test. 0 IN A 10.0.0.5", NULL); /* not to be kept */
	assert_reply(1, DNS_NOERROR);
	query("db.fake.test", "A");
	ask_fail(1, ST_ECLOSED);
	assert_reply(2, DNS_NOERROR);
	assert_fake("db.fake.test", 4);
	query("db.fake.test", "A");
	ask_answer(2, DNS_SERVFAIL, NULL, NULL);
	assert_reply(3, DNS_NOERROR);
	query("db.fake.test", "A");
	wait_ms(BUDGET_MS);
	assert_reply(4, DNS_NOERROR);
	asks.refuse = ST_EFULL;
	query("db.fake.test", "A");
	assert_reply(5, DNS_NOERROR);
	query("new.fake.test", "A");
	assert_reply(6, DNS_SERVFAIL);
	asks.refuse = 0;
	query("db.fake.test", "A"); /* but what is gone is gone */
	ask_answer(asks.n - 1, DNS_NXDOMAIN, NULL, SOA);
	assert_reply(7, DNS_NXDOMAIN);
	query("new.fake.test", "A");
	ask_fail(asks.n - 1, ST_ECLOSED);
	assert_reply(8, DNS_SERVFAIL);
}

static void a_known_name_does_not_wait_for_a_silent_resolver(void **state)
{
	uint64_t from_ms;

	(void)state;
	dns_free(dns);
	start(10000);
	query("db.fake.test", "A");
	ask_answer(0, 0, "db.fake.test. 0 IN A 10.0.0.5", NULL);
	from_ms = loop_now_ms(loop);
	query("db.fake.test", "A");
	query("new.fake.test", "A");
	while (got.replies < 2 && loop_now_ms(loop) - from_ms < 10000)
		loop_turn(loop, 100);
	assert_reply(2, DNS_NOERROR);
	assert_fake("db.fake.test", 4);
	assert_true(loop_now_ms(loop) - from_ms < UINT64_C(3) * DNS_KNOWN_WAIT_MS);
	assert_int_equal(stats().pending, 1);
	ask_answer(1, DNS_NXDOMAIN, NULL, SOA); /* the ask went on: what it brings is kept */
	query("db.fake.test", "A");
	assert_reply(3, DNS_NXDOMAIN);
	assert_int_equal(asks.n, 3);
}

static void reverse_names_of_fake_addresses(void **state)
{
	char name[128];
	struct net_addr a;

	(void)state;
	query("db.fake.test", "A");
	ask_answer(0, 0, "db.fake.test. 60 IN A 10.0.0.5", NULL);
	a = fake_of("db.fake.test", 4);
	snprintf(name, sizeof(name), "%u.%u.18.198.in-addr.arpa", a.b[3], a.b[2]);
	query(name, "PTR");
	assert_reply(2, DNS_NOERROR);
	assert_int_equal(answers(), 1);
	assert_memory_equal(got.msg + got.len - 14,
			    "\x02"
			    "db\x04"
			    "fake\x04"
			    "test",
			    14);
	snprintf(name, sizeof(name), "%u.%u.18.198.in-addr.arpa", (uint8_t)(a.b[3] + 1U), a.b[2]);
	query(name, "PTR");
	assert_reply(3, DNS_NXDOMAIN);
	a = fake_of("db.fake.test", 6);
	snprintf(name, sizeof(name),
		 "%x.%x.%x.%x.0.0.0.0.1.0.0.0.0.0.0.0.1.0.0.0.a.9.8.7.6.5.4.3.2.1.d.f.ip6.arpa",
		 a.b[15] & 15U, a.b[15] >> 4, a.b[14] & 15U, a.b[14] >> 4);
	query(name, "PTR");
	assert_reply(4, DNS_NOERROR);
	assert_int_equal(answers(), 1);
	assert_int_equal(asks.n, 1);
	query("1.0.0.10.in-addr.arpa", "PTR"); /* not ours */
	assert_true(asks.v[1].local);
}

static void a_resolver_inside_a_routed_prefix_is_asked_as_it_is(void **state)
{
	struct dns_ask how = { .relay = true, .relay_to = { .upstream = 5 } };
	uint8_t msg[DNS_QUERY_MAX + 64];
	size_t len;

	(void)state;
	len = wire_query_edns(msg, "DB.fake.test", "A", 1232, true);
	put(msg, len, &how);
	assert_int_equal(asks.v[0].via.upstream, 5);
	assert_int_equal(asks.v[0].len, len);
	assert_memory_equal(asks.v[0].msg, msg, len);
	ask_answer(0, 0, "DB.fake.test. 60 IN A 127.0.0.1", NULL);
	assert_reply(1, DNS_NOERROR);
	assert_int_equal(stats().relayed, 1);
	assert_int_equal(stats().fakes, 0);
	put(msg, len, &how); /* nothing of it is kept */
	ask_fail(1, ST_ECLOSED);
	assert_reply(2, DNS_SERVFAIL);
}

static void options_that_are_not_for_us_are_forwarded(void **state)
{
	/* a client subnet (RFC 7871), then a cookie alone */
	static const uint8_t subnet[] = { 0, 0, 41, 4, 0xd0, 0, 0, 0, 0, 0,
					  8, 0, 8,  0, 4,    0, 1, 0, 0 };
	static const uint8_t cookie[] = { 0,  0, 41, 4, 0xd0, 0, 0, 0, 0, 0, 12, 0,
					  10, 0, 8,  1, 2,    3, 4, 5, 6, 7, 8 };
	uint8_t msg[DNS_QUERY_MAX + 64];
	size_t len = wire_query(msg, "a.test", "A");

	(void)state;
	msg[11] = 1;
	memcpy(msg + len, subnet, sizeof(subnet));
	put(msg, len + sizeof(subnet), NULL);
	assert_int_equal(asks.v[0].len, len + sizeof(subnet));
	ask_answer(0, 0, "a.test. 60 IN A 192.0.2.1", NULL);
	assert_reply(1, DNS_NOERROR);
	memcpy(msg + len, cookie, sizeof(cookie));
	put(msg, len + sizeof(cookie), NULL);
	assert_int_equal(asks.v[1].len, len + DNS_OPT_BYTES);
	ask_answer(1, 0, "a.test. 60 IN A 192.0.2.1", NULL);
	assert_reply(2, DNS_NOERROR);
	assert_int_equal(be16_get(got.msg + 10), 1); /* OPT for OPT */
}

static void what_we_do_not_do(void **state)
{
	static const struct {
		size_t at;
		uint8_t v;
		unsigned rcode;
	} rows[] = {
		{ 2, 0x11, DNS_NOTIMP },     /* opcode IQUERY's neighbour */
		{ 2, 0x29, DNS_NOTIMP },     /* UPDATE */
		{ 5, 0, DNS_FORMERR },	     /* no question */
		{ 5, 2, DNS_FORMERR },	     /* two */
		{ 7, 1, DNS_FORMERR },	     /* an answer in a query */
		{ 11, 1, DNS_FORMERR },	     /* a record that is not there */
		{ 12, 0xc0, DNS_FORMERR },   /* a pointer to itself */
		{ 12, 0x41, DNS_FORMERR },   /* a label of an unknown kind */
		{ 24 - 2, 252, DNS_NOTIMP }, /* AXFR */
		{ 24 - 2, 251, DNS_NOTIMP }, /* IXFR */
		{ 24, 3, DNS_REFUSED },	     /* class CHAOS */
		{ 24 - 2, DNS_OPT, DNS_FORMERR },
	};
	uint8_t msg[DNS_QUERY_MAX];
	size_t len;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		len = wire_query(msg, "ab.test", "A");
		assert_int_equal(len, 25);
		msg[rows[i].at] = rows[i].v;
		put(msg, len, NULL);
		assert_reply(i + 1, rows[i].rcode);
	}
	assert_int_equal(asks.n, 0);
	len = wire_query(msg, "ab.test", "A");
	for (size_t n = 0; n < len; n++) { /* each shorter message */
		uint8_t *exact = malloc(n ? n : 1);

		memcpy(exact, msg, n);
		got.len = 99;
		put(exact, n, NULL);
		if (n < DNS_HEADER_BYTES)
			assert_int_equal(got.len, 0);
		else
			assert_int_equal(dns_msg_rcode(got.msg), DNS_FORMERR);
		free(exact);
	}
	msg[2] |= 0x80; /* an answer is not answered */
	put(msg, len, NULL);
	assert_int_equal(got.len, 0);
}

static void edns_of_another_version(void **state)
{
	static const uint8_t opt[] = { 0, 0, 41, 4, 0xd0, 0, 1, 0, 0, 0, 0 };
	uint8_t msg[DNS_QUERY_MAX + 64];
	size_t len = wire_query(msg, "a.test", "A");

	(void)state;
	memcpy(msg + len, opt, sizeof(opt));
	msg[11] = 1;
	put(msg, len + sizeof(opt), NULL);
	assert_reply(1, 0);
	assert_int_equal(got.msg[got.len - 6], 1); /* the high bits of BADVERS */
	memcpy(msg + len + sizeof(opt), opt, sizeof(opt));
	msg[len + 6] = msg[len + sizeof(opt) + 6] = 0;
	msg[11] = 2;
	put(msg, len + 2 * sizeof(opt), NULL); /* two OPT records */
	assert_reply(2, DNS_FORMERR);
	msg[11] = 1;
	put(msg, len + 2 * sizeof(opt), NULL); /* something behind the message */
	assert_reply(3, DNS_FORMERR);
}

static void names_with_odd_bytes_get_no_fake_address(void **state)
{
	(void)state;
	query("a\\.b.fake.test", "A");
	assert_reply(1, DNS_NXDOMAIN);
	query("db\\.fake.test", "A"); /* the dot belongs to the label: not inside the rule */
	assert_true(asks.v[0].local);
	query("x\\000y.fake.test", "TXT");
	assert_int_equal(asks.v[1].via.upstream, 1);
	assert_int_equal(stats().fakes, 0);
}

static void answers_are_cut_to_what_the_asker_takes(void **state)
{
	static const struct dns_ask tcp = { .tcp = true };
	char lines[4000] = "";
	uint8_t msg[DNS_QUERY_MAX];
	size_t at = 0;

	(void)state;
	for (unsigned i = 0; i < 60; i++)
		at += (size_t)snprintf(lines + at, sizeof(lines) - at,
				       "a.test. 60 IN A 192.0.2.%u\n", i);
	query("a.test", "A");
	ask_answer(0, 0, lines, NULL);
	assert_reply(1, DNS_NOERROR);
	assert_true(dns_msg_is_cut(got.msg));
	assert_true(got.len <= 512 && got.len > 512 - 16);
	assert_int_equal(answers(), (512 - 24) / 16);
	put(msg, wire_query(msg, "a.test", "A"), &tcp);
	assert_reply(2, DNS_NOERROR);
	assert_false(dns_msg_is_cut(got.msg));
	assert_int_equal(answers(), 60);
	put(msg, wire_query_edns(msg, "a.test", "A", 1232, false), NULL);
	ask_answer(1, 0, lines, NULL);
	assert_reply(3, DNS_NOERROR);
	assert_false(dns_msg_is_cut(got.msg));
	assert_int_equal(answers(), 60);
	put(msg, wire_query_edns(msg, "a.test", "A", 600, false), NULL);
	assert_reply(4, DNS_NOERROR);
	assert_true(dns_msg_is_cut(got.msg) && got.len <= 600);
	assert_int_equal(asks.n, 2);
}

static void beyond_the_limit_it_is_servfail_at_once(void **state)
{
	char name[64];

	(void)state;
	for (unsigned i = 0; i < DNS_PENDING_MAX; i++) {
		snprintf(name, sizeof(name), "n%u.real.test", i);
		query(name, "A");
	}
	/* a dead upstream leaves room for others */
	assert_int_equal(stats().pending, DNS_PENDING_MAX / 4 * 3);
	assert_reply(DNS_PENDING_MAX / 4, DNS_SERVFAIL);
	for (unsigned i = 0; i < DNS_PENDING_MAX / 4; i++) {
		snprintf(name, sizeof(name), "n%u.test", i);
		query(name, "A");
	}
	assert_int_equal(stats().pending, DNS_PENDING_MAX);
	assert_int_equal(got.replies, DNS_PENDING_MAX / 4);
	query("one-more.test", "A");
	assert_reply(DNS_PENDING_MAX / 4 + 1, DNS_SERVFAIL);
	assert_int_equal(stats().dropped, DNS_PENDING_MAX / 4 + 1);
}

static void an_upstream_that_goes_takes_its_answers_along(void **state)
{
	(void)state;
	query("a.real.test", "A");
	ask_answer(0, 0, "a.real.test. 60 IN A 10.0.0.5", NULL);
	query("a.test", "A");
	ask_answer(1, 0, "a.test. 60 IN A 192.0.2.1", NULL);
	dns_upstream_gone(dns, 3);
	assert_int_equal(asks.dropped, 3);
	query("a.test", "A");
	assert_int_equal(asks.n, 2);
	query("a.real.test", "A");
	assert_int_equal(asks.n, 3);
}

static void another_network_is_asked_anew(void **state)
{
	(void)state;
	query("a.real.test", "A");
	ask_answer(0, 0, "a.real.test. 60 IN A 10.0.0.5", NULL);
	query("a.test", "A");
	ask_answer(1, 0, "a.test. 60 IN A 192.0.2.1", NULL);
	query("a.test", "A");
	assert_int_equal(asks.n, 2);
	dns_network_changed(dns);
	query("a.real.test", "A");
	assert_int_equal(asks.n, 2);
	query("a.test", "A");
	assert_int_equal(asks.n, 3);
}

static void an_answer_that_cannot_be_read_is_servfail(void **state)
{
	struct ask_made *a = &asks.v[0];

	(void)state;
	query("a.real.test", "A");
	a->msg[2] |= 0x80;
	a->msg[7] = 9; /* nine records that are not there */
	a->open = false;
	a->done(a->arg, 0, a->msg, a->len, NULL);
	assert_reply(1, DNS_SERVFAIL);
}

/* ---- dns_resolve() ---- */

static struct {
	unsigned calls;
	int err;
	struct net_addr addrs[DNS_ADDRS_MAX];
	size_t n;
	char text[TEXT_SAFE_MAX];
} found;

static void on_addrs(void *arg, int err, const struct net_addr *addrs, size_t n, const char *text)
{
	(void)arg;
	found.calls++;
	found.err = err;
	found.n = n;
	if (n)
		memcpy(found.addrs, addrs, n * sizeof(*addrs));
	snprintf(found.text, sizeof(found.text), "%s", text);
}

static handle resolve(const char *name)
{
	static const struct dns_via via = { .upstream = 7 };

	memset(&found, 0, sizeof(found));
	return dns_resolve(dns, name, &via, on_addrs, NULL);
}

static void both_families_are_resolved(void **state)
{
	(void)state;
	assert_true(resolve("DB.x.test") != 0);
	assert_true(ask_is(0, "db.x.test", DNS_A));
	assert_true(ask_is(1, "db.x.test", DNS_AAAA));
	ask_answer(1, 0, "db.x.test. 60 IN AAAA 2001:db8::1", NULL);
	assert_int_equal(found.calls, 0);
	ask_answer(0, 0, "db.x.test. 60 IN A 10.0.0.5\ndb.x.test. 60 IN A 127.0.0.1", NULL);
	assert_int_equal(found.calls, 1);
	assert_int_equal(found.err, 0);
	assert_int_equal(found.n, 2);
	assert_int_equal(found.addrs[0].family, 4);
	assert_int_equal(found.addrs[1].family, 6);
	assert_string_equal(found.text, "");
	assert_int_equal(resolve("db.x.test"), 0); /* from the cache */
	assert_int_equal(found.n, 2);
	assert_int_equal(stats().pending, 0);
}

static void a_slow_family_is_not_waited_for(void **state)
{
	(void)state;
	resolve("db.x.test");
	ask_answer(0, 0, "db.x.test. 60 IN A 10.0.0.5", NULL);
	assert_int_equal(found.calls, 0);
	wait_ms(120);
	assert_int_equal(found.calls, 1);
	assert_int_equal(found.n, 1);
	ask_answer(1, 0, "db.x.test. 60 IN AAAA 2001:db8::1", NULL); /* for the cache */
	resolve("db.x.test");
	assert_int_equal(found.n, 2);
}

static void why_there_is_no_address(void **state)
{
	static const struct {
		const char *a;
		unsigned rcode;
		int fail, err;
	} rows[] = {
		{ NULL, DNS_NXDOMAIN, 0, ST_ENOENT },
		{ NULL, DNS_NOERROR, 0, ST_ENOENT },
		{ "r.test. 60 IN A 169.254.169.254", DNS_NOERROR, 0, ST_EPERM },
		{ NULL, DNS_SERVFAIL, 0, ST_ECLOSED },
		{ NULL, 0, ST_ECLOSED, ST_ECLOSED },
		{ NULL, 0, ST_ETIMEOUT, ST_ETIMEOUT },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		size_t first = asks.n;

		dns_upstream_gone(dns, 7);
		resolve("r.test");
		if (rows[i].fail) {
			ask_fail(first, rows[i].fail);
			ask_fail(first + 1, rows[i].fail);
		} else {
			ask_answer(first, rows[i].rcode, rows[i].a, NULL);
			ask_answer(first + 1, rows[i].rcode, NULL, NULL);
		}
		assert_int_equal(found.calls, 1);
		assert_int_equal(found.err, rows[i].err);
		assert_int_equal(found.n, 0);
		assert_true(found.text[0] != '\0');
	}
	resolve("not..a.name");
	assert_int_equal(found.err, ST_ENOENT);
}

static void resolving_has_a_budget_and_can_be_cancelled(void **state)
{
	handle h;

	(void)state;
	resolve("r.test");
	wait_ms(BUDGET_MS);
	assert_int_equal(found.calls, 1);
	assert_int_equal(found.err, ST_ETIMEOUT);
	h = resolve("r.test");
	dns_cancel(dns, h);
	assert_int_equal(found.calls, 0);
	assert_int_equal(asks_open(), 0);
	assert_int_equal(stats().pending, 0);
}

static void the_machines_own_resolvers_resolve_too(void **state)
{
	(void)state;
	memset(&found, 0, sizeof(found));
	dns_resolve(dns, "a.test", NULL, on_addrs, NULL);
	assert_true(asks.v[0].local && asks.v[1].local);
	ask_answer(0, 0, "a.test. 60 IN A 127.0.0.1", NULL);
	ask_answer(1, 0, NULL, NULL);
	assert_int_equal(found.err, ST_EPERM);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(a_name_of_a_rule_gets_a_fake_address_once_it_exists),
		CASE(only_ipv6_behind_a_fake_ipv4_address_is_fine),
		CASE(no_address_at_all_is_what_the_resolver_said),
		CASE(aaaa_needs_an_upstream_with_ipv6),
		CASE(https_records_are_no_data),
		CASE(any_is_answered_in_short),
		CASE(other_types_are_real_answers),
		CASE(real_addresses_are_learned_before_the_answer),
		CASE(forbidden_addresses_are_left_out),
		CASE(rebinding_is_blocked_if_told),
		CASE(rebinding_does_not_hide),
		CASE(rebinding_is_of_names_without_a_rule),
		CASE(rejected_names_do_not_exist),
		CASE(who_may_not_use_our_routes_is_answered_as_without_us),
		CASE(without_resolvers_it_is_refused),
		CASE(equal_questions_share_an_ask),
		CASE(an_ask_that_nobody_wants_ends),
		CASE(freeing_ends_all_without_replies),
		CASE(a_reply_may_cancel_others_and_ask_anew),
		CASE(silence_is_answered_when_the_budget_is_over),
		CASE(one_who_joins_late_has_a_budget_of_his_own),
		CASE(a_known_name_keeps_its_fake_address_while_the_tunnel_is_down),
		CASE(a_known_name_does_not_wait_for_a_silent_resolver),
		CASE(reverse_names_of_fake_addresses),
		CASE(a_resolver_inside_a_routed_prefix_is_asked_as_it_is),
		CASE(options_that_are_not_for_us_are_forwarded),
		CASE(what_we_do_not_do),
		CASE(edns_of_another_version),
		CASE(names_with_odd_bytes_get_no_fake_address),
		CASE(answers_are_cut_to_what_the_asker_takes),
		CASE(beyond_the_limit_it_is_servfail_at_once),
		CASE(an_upstream_that_goes_takes_its_answers_along),
		CASE(another_network_is_asked_anew),
		CASE(an_answer_that_cannot_be_read_is_servfail),
		CASE(both_families_are_resolved),
		CASE(a_slow_family_is_not_waited_for),
		CASE(why_there_is_no_address),
		CASE(resolving_has_a_budget_and_can_be_cancelled),
		CASE(the_machines_own_resolvers_resolve_too),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
