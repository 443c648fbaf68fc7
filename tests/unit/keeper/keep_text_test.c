// SPDX-License-Identifier: MIT
/*
 * keep_text_test.c - resolv.conf and nsswitch.conf as text
 *
 * Cases: what is made, and taken out again; files without a last line end, empty ones; what others did to it meanwhile: lines put between,
 * comments dropped, our line moved; lines that only look like ours; addresses of "nameserver" lines; nsswitch's order; the maximum.
 */
#include "keeper/keep_dns.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"

static const struct net_addr none[KEEP_SERVERS];
static struct net_addr ours[KEEP_SERVERS];

static int setup(void **state)
{
	(void)state;
	return net_addr_parse(&ours[0], "198.18.0.2") | net_addr_parse(&ours[1], "fd12::2");
}

static void text_of(struct buf *b, const char *text)
{
	buf_init(b, KEEP_CONF_MAX);
	assert_int_equal(buf_put(b, text, strlen(text)), 0);
}

static void assert_text(const struct buf *b, const char *want)
{
	assert_int_equal(b->len, strlen(want));
	assert_memory_equal(buf_data(b), want, b->len);
}

static void assert_stripped(const char *in, const char *want, const struct net_addr *servers)
{
	struct buf from, to;

	text_of(&from, in);
	buf_init(&to, KEEP_CONF_MAX);
	assert_int_equal(keep_text_strip(&to, &from, servers), 0);
	assert_text(&to, want);
	buf_fini(&from);
	buf_fini(&to);
}

static void made_and_taken_out(void **state)
{
	static const char *const files[] = {
		"",
		"\n",
		"nameserver 9.9.9.9\n",
		"# c\nsearch a b\nnameserver ::1\noptions edns0 timeout:3\n",
		"nameserver 198.18.0.3\r\n",
		"nameserver fe80::1%eth0\n\n\n",
	};
	struct net_addr found[KEEP_RESOLVERS_MAX];
	struct buf former, made, back;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		text_of(&former, files[i]);
		buf_init(&made, KEEP_CONF_MAX);
		buf_init(&back, KEEP_CONF_MAX);
		assert_int_equal(keep_text_make(&made, &former, "prod", ours), 0);
		assert_true(keep_text_has_ours(&made));
		assert_false(keep_text_has_ours(&former));
		/* one of ours: libraries read three servers at most */
		assert_true(keep_text_servers(found, KEEP_RESOLVERS_MAX, &made) >= 1);
		assert_true(net_addr_eq(&found[0], &ours[0]));
		assert_null(memmem(buf_data(&made), made.len, "fd12::2", 7));
		assert_memory_equal(buf_data(&made) + made.len - 18, "options timeout:1\n", 18);
		/* Also by who doesn't know the servers any more. */
		assert_int_equal(keep_text_strip(&back, &made, none), 0);
		assert_text(&back, files[i]);
		buf_fini(&former);
		buf_fini(&made);
		buf_fini(&back);
	}
}

/* IPv6 alone is told where there is no IPv4. */
static void one_of_ours(void **state)
{
	const struct net_addr six[KEEP_SERVERS] = { { 0 }, ours[1] };
	struct net_addr found[2];
	struct buf former, made;

	(void)state;
	text_of(&former, "nameserver 9.9.9.9\n");
	buf_init(&made, KEEP_CONF_MAX);
	assert_int_equal(keep_text_make(&made, &former, "prod", six), 0);
	assert_int_equal(keep_text_servers(found, 2, &made), 2);
	assert_true(net_addr_eq(&found[0], &ours[1]));
	buf_fini(&former);
	buf_fini(&made);
}

static void no_last_line_end(void **state)
{
	struct buf former, made;

	(void)state;
	text_of(&former, "nameserver 9.9.9.9");
	buf_init(&made, KEEP_CONF_MAX);
	assert_int_equal(keep_text_make(&made, &former, "prod", ours), 0);
	assert_non_null(memmem(buf_data(&made), made.len, "nameserver 9.9.9.9\n#", 20));
	buf_fini(&former);
	buf_fini(&made);
}

static void what_others_did(void **state)
{
	(void)state;
	/* a line between the mark and ours: theirs stays, ours is known by its address */
	assert_stripped("# ssm-tun: x\nsearch a\nnameserver 198.18.0.2\nnameserver 9.9.9.9\n",
			"search a\nnameserver 9.9.9.9\n", ours);
	/* comments dropped */
	assert_stripped("nameserver 9.9.9.9\nnameserver\t198.18.0.2 \nnameserver fd12:0::2\n",
			"nameserver 9.9.9.9\n", ours);
	assert_stripped("nameserver 198.18.0.2\n", "nameserver 198.18.0.2\n", none);
	/* a mark at the end, and one before another's option */
	assert_stripped("nameserver 9.9.9.9\n# ssm-tun: y\n", "nameserver 9.9.9.9\n", ours);
	assert_stripped("# ssm-tun: y\noptions edns0\n", "options edns0\n", ours);
	assert_stripped("# ssm-tun: y\n# ssm-tun: y\noptions timeout:1", "", ours);
	/* not ours */
	assert_stripped("#ssm-tun: y\nnameserver 1.1.1.1\n", "#ssm-tun: y\nnameserver 1.1.1.1\n",
			ours);
	assert_stripped("nameserver 198.18.0.20\n", "nameserver 198.18.0.20\n", ours);
}

static void servers(void **state)
{
	static const char text[] =
		"nameserver 1.1.1.1\n"
		" nameserver 2.2.2.2\n"
		"nameservers 3.3.3.3\n"
		"#nameserver 4.4.4.4\n"
		"nameserver\n"
		"nameserver \n"
		"nameserver x\n"
		"nameserver 5.5.5.5.5\n"
		"nameserver fe80::1%eth0\n"
		"nameserver \t fd00::1 # c\r\n"
		"nameserver 00000000000000000000000000000000000000000000000000001\n"
		"nameserver 6.6.6.6";
	struct net_addr found[3], want[3];
	struct buf b;

	(void)state;
	text_of(&b, text);
	net_addr_parse(&want[0], "1.1.1.1");
	net_addr_parse(&want[1], "fd00::1");
	net_addr_parse(&want[2], "6.6.6.6");
	assert_int_equal(keep_text_servers(found, 3, &b), 3);
	for (size_t i = 0; i < 3; i++)
		assert_true(net_addr_eq(&found[i], &want[i]));
	assert_int_equal(keep_text_servers(found, 1, &b), 1);
	assert_int_equal(keep_text_servers(found, 0, &b), 0);
	buf_fini(&b);
	buf_init(&b, 64);
	assert_int_equal(buf_put(&b, "nameserver \0\nnameserver 1.1.1.1\0\n", 33), 0);
	assert_int_equal(keep_text_servers(found, 3, &b), 1);
	buf_fini(&b);
}

static void nsswitch(void **state)
{
	static const struct {
		const char *text;
		bool want;
	} cases[] = {
		{ "hosts: files resolve [!UNAVAIL=return] dns\n", true },
		{ "passwd: files\n\thosts:\tmymachines resolve\n", true },
		{ "hosts: files dns resolve\n", false },
		{ "hosts: files dns\n", false },
		{ "hosts: files myresolve dns\n", false },
		{ "#hosts: resolve\nhosts: files\n", false },
		{ "networks: resolve\n", false },
		{ "hosts:resolve", true },
		{ "", false },
	};
	struct buf b;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		text_of(&b, cases[i].text);
		assert_int_equal(keep_text_nss_resolve(&b), cases[i].want);
		buf_fini(&b);
	}
}

static void at_the_maximum(void **state)
{
	struct buf former, made;

	(void)state;
	text_of(&former, "nameserver 9.9.9.9\n");
	buf_init(&made, 64);
	assert_int_equal(keep_text_make(&made, &former, "prod", ours), ST_EFULL);
	buf_fini(&made);
	buf_init(&made, 4);
	assert_int_equal(keep_text_strip(&made, &former, ours), ST_EFULL);
	buf_fini(&made);
	buf_fini(&former);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(made_and_taken_out),
		cmocka_unit_test(no_last_line_end),
		cmocka_unit_test(one_of_ours),
		cmocka_unit_test(what_others_did),
		cmocka_unit_test(servers),
		cmocka_unit_test(nsswitch),
		cmocka_unit_test(at_the_maximum),
	};

	return cmocka_run_group_tests_name("keep_text", tests, setup, NULL);
}
