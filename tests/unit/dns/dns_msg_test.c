// SPDX-License-Identifier: MIT
/* dns_msg_test.c - messages taken apart, put together, aged and cut */
#include "dns/dns_msg.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/util.h"
#include "dns_asks.h"

#define NOW_MS 5000000U
#define SOA(ttl, least) "test. " ttl " IN SOA ns.test. root.test. 1 2 3 4 " least

static uint8_t query[DNS_QUERY_MAX + 64], wire[DNS_MESSAGE_MAX], out[DNS_OUT_MAX];
static struct dns_asked asked;

/* The answer to a.test, @type */
static size_t make(const char *type, unsigned rcode, const char *answers, const char *authority)
{
	size_t len = wire_query(query, "a.test", type);

	assert_int_equal(dns_msg_asked(&asked, query, len), 0);
	return wire_answer(wire, query, len, rcode, answers, authority);
}

static struct dns_answer *read_answer(size_t len, bool far)
{
	struct dns_answer *a = NULL;

	assert_int_equal(dns_answer_new(&a, wire, len, far, NOW_MS), 0);
	return a;
}

/* ---- queries ---- */

static void a_query_is_taken_apart(void **state)
{
	size_t len = wire_query_edns(query, "Db.Prod.Internal", "AAAA", 1400, true);

	(void)state;
	query[3] |= 0x30; /* AD, CD */
	assert_int_equal(dns_msg_asked(&asked, query, len), 0);
	assert_string_equal(asked.name, "db.prod.internal");
	assert_int_equal(asked.id, 0x1234);
	assert_int_equal(asked.type, DNS_AAAA);
	assert_int_equal(asked.udp_max, 1400);
	assert_true(asked.rd && asked.ad && asked.cd && asked.edns && asked.dnssec_ok);
	assert_false(asked.options || asked.odd);
	assert_memory_equal(asked.question,
			    "\x02"
			    "Db",
			    3);
}

static void edns_sizes_are_clamped(void **state)
{
	static const struct {
		uint16_t says, counts;
	} rows[] = {
		{ 0, 512 }, { 100, 512 }, { 512, 512 }, { 1232, 1232 }, { 65535, DNS_UDP_MAX }
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		size_t len = wire_query_edns(query, "a.test", "A", 1, false);

		be16_put(query + len - 8, rows[i].says);
		assert_int_equal(dns_msg_asked(&asked, query, len), 0);
		assert_int_equal(asked.udp_max, rows[i].counts);
	}
}

static void the_root_and_the_longest_name(void **state)
{
	char name[DNS_NAME_MAX + 1];
	size_t len = wire_query(query, ".", "NS");

	(void)state;
	assert_int_equal(dns_msg_asked(&asked, query, len), 0);
	assert_string_equal(asked.name, "");
	memset(name, 'x', sizeof(name));
	for (size_t i = 63; i < 253; i += 64)
		name[i] = '.';
	name[253] = '\0';
	len = wire_query(query, name, "A");
	assert_int_equal(dns_msg_asked(&asked, query, len), 0);
	assert_string_equal(asked.name, name);
}

static void signed_queries_are_not_for_us(void **state)
{
	static const uint8_t tsig[] = { 1, 'k', 0, 0, 250, 0, 255, 0, 0, 0, 0, 0, 0 };
	size_t len = wire_query(query, "a.test", "A");

	(void)state;
	memcpy(query + len, tsig, sizeof(tsig));
	query[11] = 1;
	assert_true(dns_msg_asked(&asked, query, len + sizeof(tsig)) > 0);
}

static void broken_options_are_format_errors(void **state)
{
	static const uint8_t opt[] = { 0, 0, 41, 4, 0xd0, 0, 0, 0, 0, 0, 5, 0, 3, 0, 2, 9 };
	size_t len = wire_query(query, "a.test", "A");

	(void)state;
	memcpy(query + len, opt, sizeof(opt));
	query[11] = 1;
	assert_int_equal(dns_msg_asked(&asked, query, len + sizeof(opt)), DNS_FORMERR);
	query[len + 14] = 1;
	assert_int_equal(dns_msg_asked(&asked, query, len + sizeof(opt)), 0);
	assert_true(asked.options);
}

/* ---- answers ---- */

static void an_answer_is_taken_apart(void **state)
{
	size_t len = make("A", 0, "a.test. 60 IN CNAME b.test.\nb.test. 50 IN A 192.0.2.7", NULL);
	struct dns_answer *a = read_answer(len, false);

	(void)state;
	assert_int_equal(a->n_addrs, 1);
	assert_int_equal(a->addrs[0].b[3], 7);
	assert_int_equal(a->ttl_s, 50);
	assert_int_equal(a->until_ms, NOW_MS + 50000);
	assert_int_equal(dns_answer_left_s(a, NOW_MS + 1500), 48);
	assert_int_equal(dns_answer_left_s(a, NOW_MS + 99999999), 0);
	dns_answer_unref(a);
}

static void how_long_an_answer_is_kept(void **state)
{
	static const struct {
		const char *answers, *authority;
		unsigned rcode;
		uint32_t s;
	} rows[] = {
		{ "a.test. 60 IN A 192.0.2.1\na.test. 5 IN A 192.0.2.2", NULL, 0, 5 },
		{ "a.test. 0 IN A 192.0.2.1", NULL, 0, 0 },
		{ "a.test. 86400 IN A 192.0.2.1", NULL, 0, DNS_TTL_MAX_S },
		{ "a.test. 2147483647 IN A 192.0.2.1", NULL, 0, DNS_TTL_MAX_S },
		{ NULL, SOA("60", "30"), DNS_NXDOMAIN, 30 },
		{ NULL, SOA("20", "30"), DNS_NOERROR, 20 },
		{ NULL, SOA("86400", "86400"), DNS_NXDOMAIN, DNS_TTL_MAX_S },
		{ NULL, NULL, DNS_NXDOMAIN, 0 }, /* RFC 2308, 5 */
		{ "a.test. 9 IN CNAME b.test.", SOA("60", "30"), DNS_NOERROR, 9 },
		{ "a.test. 60 IN A 192.0.2.1", NULL, DNS_SERVFAIL, 0 },
		{ NULL, SOA("60", "30"), DNS_REFUSED, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		size_t len = make("A", rows[i].rcode, rows[i].answers, rows[i].authority);
		struct dns_answer *a = read_answer(len, true);

		assert_int_equal(a->ttl_s, rows[i].s);
		assert_int_equal(a->rcode, rows[i].rcode);
		dns_answer_unref(a);
		wire[2] |= 0x02; /* one that was cut is never kept */
		a = read_answer(len, true);
		assert_int_equal(a->until_ms, a->born_ms);
		dns_answer_unref(a);
	}
}

static void a_ttl_with_its_sign_bit_is_0(void **state)
{
	size_t len = make("A", 0, "a.test. 60 IN A 192.0.2.1", NULL);
	struct dns_answer *a;

	(void)state;
	wire[len - 10] = 0x80;
	a = read_answer(len, false);
	assert_int_equal(a->ttl_s, 0);
	dns_answer_unref(a);
}

static void from_afar_no_more_comes_than_is_learned(void **state)
{
	char lines[4096] = "";
	size_t len, at = 0;
	struct dns_answer *a;

	(void)state;
	for (unsigned i = 0; i < 40; i++)
		at += (size_t)snprintf(lines + at, sizeof(lines) - at,
				       "a.test. 60 IN A 192.0.2.%u\n", i);
	len = make("A", 0, lines, "test. 60 IN A 192.0.2.99");
	a = read_answer(len, true);
	assert_int_equal(a->n_addrs, DNS_ADDRS_MAX);
	assert_int_equal(be16_get(a->msg + 6), DNS_ADDRS_MAX);
	assert_int_equal(be16_get(a->msg + 8), 0);
	dns_answer_unref(a);
	a = read_answer(len, false);
	assert_int_equal(a->n_addrs, 40); /* all that is handed on can be looked at */
	assert_int_equal(be16_get(a->msg + 6), 40);
	assert_int_equal(be16_get(a->msg + 8), 1);
	dns_answer_unref(a);
}

static void every_shorter_answer_is_refused(void **state)
{
	size_t len = make("A", 0, "a.test. 60 IN CNAME b.test.\nb.test. 50 IN A 192.0.2.7",
			  SOA("60", "30"));
	struct dns_answer *a;

	(void)state;
	for (size_t n = 0; n < len; n++) {
		uint8_t *exact = malloc(n ? n : 1);

		memcpy(exact, wire, n);
		assert_int_equal(dns_answer_new(&a, exact, n, true, NOW_MS), ST_EFORMAT);
		free(exact);
	}
}

static void loops_of_pointers_are_refused(void **state)
{
	size_t len = make("A", 0, "a.test. 60 IN A 192.0.2.1", NULL);
	size_t at = len - 16; /* the record's name, a pointer to the question */
	struct dns_answer *a;

	(void)state;
	be16_put(wire + at, (uint16_t)(0xc000U | at));
	assert_int_equal(dns_answer_new(&a, wire, len, true, NOW_MS), ST_EFORMAT);
	be16_put(wire + at, 0xffff);
	assert_int_equal(dns_answer_new(&a, wire, len, true, NOW_MS), ST_EFORMAT);
}

/* As many records as are taken, each behind the longest chain of pointers that fits */
static void the_worst_answer_is_bounded(void **state)
{
	size_t len = make("A", 0, NULL, NULL), chain, last = 0x3ffe, at;
	struct dns_answer *a = NULL;
	struct timespec from, to;

	(void)state;
	at = len;
	wire[at++] = 0;		    /* a record that holds the chain */
	be16_put(wire + at, 65400); /* a private type */
	be16_put(wire + at + 2, 1);
	be32_put(wire + at + 4, 60);
	be16_put(wire + at + 8, (uint16_t)(last + 2 - (at + 10)));
	at += 10;
	chain = at;
	wire[chain++] = 0;
	if (chain % 2)
		chain++;
	be16_put(wire + chain, (uint16_t)(0xc000U | (len + 11)));
	for (size_t i = chain + 2; i <= last; i += 2)
		be16_put(wire + i, (uint16_t)(0xc000U | (i - 2)));
	at = last + 2;
	for (unsigned i = 0; i < DNS_RECORDS_MAX - 2; i++, at += 16) {
		be16_put(wire + at, (uint16_t)(0xc000U | last));
		be16_put(wire + at + 2, 1);
		be16_put(wire + at + 4, 1);
		be32_put(wire + at + 6, 60);
		be16_put(wire + at + 10, 4);
		be32_put(wire + at + 12, 0xc0000201U);
	}
	be16_put(wire + 6, DNS_RECORDS_MAX - 1);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &from);
	assert_int_equal(dns_answer_new(&a, wire, at, false, NOW_MS), 0);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &to);
	dns_answer_unref(a);
	print_message("%.1f ms\n", (double)(to.tv_sec - from.tv_sec) * 1e3 +
					   (double)(to.tv_nsec - from.tv_nsec) / 1e6);
	assert_true(to.tv_sec - from.tv_sec < 3);
	be16_put(wire + 6, DNS_RECORDS_MAX); /* and the question: one too many */
	assert_int_equal(dns_answer_new(&a, wire, at, false, NOW_MS), ST_EFORMAT);
}

static void several_opt_records_lose_no_memory(void **state)
{
	static const uint8_t opt[] = { 0, 0, 41, 4, 0xd0, 0, 0, 0, 0, 0, 5, 0, 3, 0, 1, 9 };
	size_t len = make("A", 0, "a.test. 60 IN A 192.0.2.1", NULL);
	struct dns_answer *a;

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		memcpy(wire + len, opt, sizeof(opt));
		len += sizeof(opt);
	}
	be16_put(wire + 10, 3);
	a = read_answer(len, false); /* the sanitizer's leak check is the test */
	assert_int_equal(be16_get(a->msg + 10), 0);
	dns_answer_unref(a);
}

static void an_extended_error_is_servfail(void **state)
{
	static const uint8_t opt[] = { 0, 0, 41, 4, 0xd0, 1, 0, 0, 0, 0, 0 };
	size_t len = make("A", 0, NULL, NULL);
	struct dns_answer *a;

	(void)state;
	memcpy(wire + len, opt, sizeof(opt));
	be16_put(wire + 10, 1);
	a = read_answer(len + sizeof(opt), false);
	assert_int_equal(a->rcode, DNS_SERVFAIL);
	dns_answer_unref(a);
}

/* ---- writing ---- */

static void times_to_live_count_down(void **state)
{
	size_t len = make("A", 0, "a.test. 60 IN A 192.0.2.1\na.test. 30 IN A 192.0.2.2",
			  "test. 100 IN NS ns.test.");
	struct dns_answer *a = read_answer(len, false), *b;
	static const uint32_t after[] = { 0, 29, 31, 3000 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(after); i++) {
		uint32_t least = after[i] > 30 ? 0 : 30 - after[i];

		len = dns_out_answer(out, &asked, a, NOW_MS + after[i] * 1000U);
		assert_int_equal(dns_answer_new(&b, out, len, false, NOW_MS), 0);
		assert_int_equal(b->ttl_s, least);
		assert_int_equal(b->n_addrs, 2);
		dns_answer_unref(b);
	}
	dns_answer_unref(a);
}

static void the_asker_gets_his_id_flags_and_spelling(void **state)
{
	size_t len = make("A", 0, "a.test. 60 IN A 192.0.2.1", NULL);
	struct dns_answer *a = read_answer(len, false);
	size_t n = wire_query(query, "A.tEST", "A");

	(void)state;
	query[0] = 0xab;
	query[2] = 0; /* no RD */
	query[3] = 0x10;
	assert_int_equal(dns_msg_asked(&asked, query, n), 0);
	dns_out_answer(out, &asked, a, NOW_MS);
	assert_int_equal(out[0], 0xab);
	assert_int_equal(out[2], 0x80);
	assert_int_equal(out[3], 0x90);
	assert_memory_equal(out + 12, query + 12, asked.question_len);
	dns_answer_unref(a);
}

static void only_what_is_additional_is_cut_in_silence(void **state)
{
	size_t len = make("A", 0, "a.test. 60 IN A 192.0.2.1", NULL), n;
	uint8_t glue[] = { 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 2 };
	struct dns_answer *a;

	(void)state;
	for (unsigned i = 0; i < 60; i++, len += sizeof(glue))
		memcpy(wire + len, glue, sizeof(glue));
	be16_put(wire + 10, 60);
	a = read_answer(len, false);
	n = dns_out_end(out, dns_out_answer(out, &asked, a, NOW_MS), &asked, false, 0);
	assert_true(n <= 512 && n > 490);
	assert_false(dns_msg_is_cut(out));
	assert_int_equal(be16_get(out + 6), 1);
	dns_answer_unref(a);
	a = NULL;
	assert_int_equal(dns_answer_new(&a, out, n, false, NOW_MS), 0); /* whole records */
	dns_answer_unref(a);
}

static void keys_tell_ways_and_bits_apart(void **state)
{
	struct dns_via one = { .upstream = 1 }, two = { .upstream = 2 };
	struct dns_key k[5], again;

	(void)state;
	make("A", 0, NULL, NULL);
	dns_key_set(&k[0], &asked, DNS_A, NULL);
	dns_key_set(&k[1], &asked, DNS_A, &one);
	dns_key_set(&k[2], &asked, DNS_A, &two);
	dns_key_set(&k[3], &asked, DNS_AAAA, &one);
	asked.cd = true;
	dns_key_set(&k[4], &asked, DNS_A, &one);
	for (size_t i = 0; i < ARRAY_LEN(k); i++) {
		for (size_t j = 0; j < ARRAY_LEN(k); j++)
			assert_int_equal(dns_key_eq(&k[i], &k[j]), i == j);
	}
	asked.cd = false;
	asked.question[1] = 'A';
	dns_key_set(&again, &asked, DNS_A, &one);
	assert_true(dns_key_eq(&again, &k[1]));
	assert_true(dns_key_is_of(&again, 1));
	assert_false(dns_key_is_of(&again, 0));
	assert_false(dns_key_is_of(&k[0], 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_query_is_taken_apart),
		cmocka_unit_test(edns_sizes_are_clamped),
		cmocka_unit_test(the_root_and_the_longest_name),
		cmocka_unit_test(signed_queries_are_not_for_us),
		cmocka_unit_test(broken_options_are_format_errors),
		cmocka_unit_test(an_answer_is_taken_apart),
		cmocka_unit_test(how_long_an_answer_is_kept),
		cmocka_unit_test(a_ttl_with_its_sign_bit_is_0),
		cmocka_unit_test(from_afar_no_more_comes_than_is_learned),
		cmocka_unit_test(every_shorter_answer_is_refused),
		cmocka_unit_test(loops_of_pointers_are_refused),
		cmocka_unit_test(the_worst_answer_is_bounded),
		cmocka_unit_test(several_opt_records_lose_no_memory),
		cmocka_unit_test(an_extended_error_is_servfail),
		cmocka_unit_test(times_to_live_count_down),
		cmocka_unit_test(the_asker_gets_his_id_flags_and_spelling),
		cmocka_unit_test(only_what_is_additional_is_cut_in_silence),
		cmocka_unit_test(keys_tell_ways_and_bits_apart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
