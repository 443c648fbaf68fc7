// SPDX-License-Identifier: MIT
/* dns_fake_test.c - fake addresses: handed out, kept over restarts and kills, and begun anew when the file is no good */
#include "dns/dns_fake.h"

#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/log.h"

static struct {
	char dir[64], path[128];
	struct loop *loop;
	struct dns_opts opts;
	unsigned warned;
	int held; /* index whose address a flow goes to; -1: none */
} t;

static bool in_use(void *arg, const struct net_addr *fake)
{
	(void)arg;
	return fake->family == 4 && t.held >= 0 && be16_get(fake->b + 2) == t.held + 256;
}

static const struct dns_hooks hooks = { .in_use = in_use };

static void on_line(void *arg, enum log_level level, const char *line)
{
	(void)arg;
	(void)line;
	t.warned += level == LOG_WARN;
}

static int set_up(void **state)
{
	(void)state;
	memset(&t, 0, sizeof(t));
	t.held = -1;
	strcpy(t.dir, "/tmp/dns_fake_test.XXXXXX");
	assert_non_null(mkdtemp(t.dir));
	snprintf(t.path, sizeof(t.path), "%s/map", t.dir);
	assert_int_equal(loop_new(&t.loop), 0);
	t.opts = (struct dns_opts){ .loop = t.loop, .hooks = &hooks, .map_path = t.path };
	assert_int_equal(net_prefix_parse(&t.opts.fake4, "198.18.0.0/16"), 0);
	assert_int_equal(net_prefix_parse(&t.opts.fake6, "fd12:3456:789a:1::/64"), 0);
	log_tee(on_line, NULL);
	return 0;
}

static int tear_down(void **state)
{
	char old[160];

	(void)state;
	log_tee(NULL, NULL);
	loop_free(t.loop);
	snprintf(old, sizeof(old), "%s.old", t.path);
	unlink(old);
	unlink(t.path);
	rmdir(t.path);
	return rmdir(t.dir);
}

static struct dns_fakes *open_map(void)
{
	struct dns_fakes *f = NULL;

	assert_int_equal(dns_fakes_new(&f, &t.opts), 0);
	return f;
}

static void write_map(const char *text)
{
	FILE *f = fopen(t.path, "w");

	assert_non_null(f);
	assert_int_equal(fwrite(text, 1, strlen(text), f), strlen(text));
	fclose(f);
}

static unsigned lines_of_map(void)
{
	FILE *f = fopen(t.path, "r");
	unsigned n = 0;
	int c;

	assert_non_null(f);
	while ((c = fgetc(f)) != EOF)
		n += c == '\n';
	fclose(f);
	return n;
}

static void assert_addr(const struct dns_fakes *f, int index, uint8_t family, const char *text)
{
	char got[NET_ADDR_STR];
	struct net_addr a;

	assert_int_equal(dns_fakes_addr(f, (unsigned)index, family, &a), 0);
	assert_string_equal(net_addr_str(got, &a), text);
}

/* ---- addresses ---- */

static void an_index_is_an_address_of_each_family(void **state)
{
	struct net_addr a;
	struct dns_fakes *f;

	(void)state;
	f = open_map();
	assert_addr(f, 0, 4, "198.18.1.0");
	assert_addr(f, DNS_FAKES_MAX - 1, 4, "198.18.255.255");
	assert_addr(f, 0, 6, "fd12:3456:789a:1:0:1:0:100");
	assert_addr(f, DNS_FAKES_MAX - 1, 6, "fd12:3456:789a:1:0:1:0:ffff");
	net_addr_parse(&a, "198.18.0.255");
	assert_false(dns_fakes_has(f, &a));
	net_addr_parse(&a, "198.19.1.0");
	assert_false(dns_fakes_has(f, &a));
	net_addr_parse(&a, "fd12:3456:789a:1:0:1:0:5"); /* in the range, and nobody's */
	assert_true(dns_fakes_has(f, &a));
	assert_null(dns_fakes_name(f, &a));
	net_addr_parse(&a, "fd12:3456:789a:1::2");
	assert_false(dns_fakes_has(f, &a));
	net_addr_parse(&a, "198.18.1.0");
	assert_true(dns_fakes_has(f, &a));
	assert_null(dns_fakes_name(f, &a));
	dns_fakes_free(f);
	t.opts.fake6.addr.family = 0;
	f = open_map();
	assert_int_equal(dns_fakes_addr(f, 0, 6, &a), ST_ENOENT);
	dns_fakes_free(f);
}

static void a_name_keeps_its_address(void **state)
{
	struct dns_fakes *f = open_map();
	struct net_addr a;
	int i = dns_fakes_get(f, "db.test"), j = dns_fakes_get(f, "web.test");

	(void)state;
	assert_true(i >= 0 && j >= 0 && i != j);
	assert_int_equal(dns_fakes_get(f, "db.test"), i);
	assert_int_equal(dns_fakes_find(f, "db.test"), i);
	assert_int_equal(dns_fakes_find(f, "other.test"), ST_ENOENT);
	for (uint8_t family = 4; family <= 6; family += 2) {
		assert_int_equal(dns_fakes_addr(f, (unsigned)j, family, &a), 0);
		assert_string_equal(dns_fakes_name(f, &a), "web.test");
	}
	assert_int_equal(dns_fakes_count(f), 2);
	dns_fakes_free(f);
	unlink(t.path);
	f = open_map(); /* the map is lost: the names tend to get the same */
	assert_int_equal(dns_fakes_get(f, "db.test"), i);
	assert_int_equal(dns_fakes_get(f, "web.test"), j);
	assert_int_equal(dns_fakes_get(f, "two\nlines"), ST_EINVAL);
	assert_int_equal(dns_fakes_get(f, ""), ST_EINVAL);
	dns_fakes_free(f);
}

static void a_full_map_takes_the_least_recently_used_that_no_flow_holds(void **state)
{
	struct dns_fakes *f;
	struct net_addr a;
	char name[32];
	int first, second, r;

	(void)state;
	t.opts.map_path = NULL;
	f = open_map();
	for (unsigned i = 0; i < DNS_FAKES_MAX; i++) {
		snprintf(name, sizeof(name), "n%u.test", i);
		assert_true(dns_fakes_get(f, name) >= 0);
	}
	assert_int_equal(dns_fakes_count(f), DNS_FAKES_MAX);
	first = dns_fakes_find(f, "n0.test");
	second = dns_fakes_find(f, "n1.test");
	t.held = second;
	assert_int_equal(dns_fakes_addr(f, (unsigned)first, 4, &a), 0);
	assert_string_equal(dns_fakes_name(f, &a), "n0.test"); /* used just now */
	r = dns_fakes_find(f, "n2.test");
	assert_int_equal(dns_fakes_get(f, "new.test"), r);
	assert_int_equal(dns_fakes_find(f, "n2.test"), ST_ENOENT);
	assert_int_equal(dns_fakes_find(f, "n0.test"), first);
	assert_int_equal(dns_fakes_find(f, "n1.test"), second);
	assert_int_equal(dns_fakes_count(f), DNS_FAKES_MAX);
	dns_fakes_free(f);
}

/* ---- the file ---- */

static void the_map_outlives_a_restart(void **state)
{
	struct dns_fakes *f = open_map();
	int i = dns_fakes_get(f, "db.test");
	struct stat st;

	(void)state;
	dns_fakes_free(f);
	assert_int_equal(stat(t.path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	f = open_map();
	assert_int_equal(dns_fakes_find(f, "db.test"), i);
	assert_int_equal(dns_fakes_count(f), 1);
	dns_fakes_free(f);
	assert_int_equal(t.warned, 0);
}

/* The child ends without a word right after it got its address */
static void the_map_outlives_a_kill(void **state)
{
	struct dns_fakes *f;
	char name[32];
	int status;
	pid_t pid;

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		pid = fork();
		assert_true(pid >= 0);
		if (pid == 0) {
			f = open_map();
			snprintf(name, sizeof(name), "n%u.test", i);
			dns_fakes_get(f, name);
			_exit(0);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(status, 0);
	}
	f = open_map();
	assert_int_equal(dns_fakes_count(f), 3);
	assert_true(dns_fakes_find(f, "n0.test") >= 0);
	assert_true(dns_fakes_find(f, "n2.test") >= 0);
	dns_fakes_free(f);
	assert_int_equal(t.warned, 0);
	assert_int_equal(lines_of_map(), 4);
}

static void later_lines_override_earlier_ones(void **state)
{
	struct dns_fakes *f;

	(void)state;
	write_map("ssm-tun fake map 1 198.18.0.0/16\n5 a.test\n6 b.test\n5 c.test\n7 b.test\n");
	f = open_map();
	assert_int_equal(dns_fakes_count(f), 2);
	assert_int_equal(dns_fakes_find(f, "a.test"), ST_ENOENT);
	assert_int_equal(dns_fakes_find(f, "c.test"), 5);
	assert_int_equal(dns_fakes_find(f, "b.test"), 7);
	dns_fakes_free(f);
}

static ino_t inode(void)
{
	struct stat st;

	assert_int_equal(stat(t.path, &st), 0);
	return st.st_ino;
}

/* @n lines, of which each index has @n / @names */
static void write_many(unsigned n, unsigned names)
{
	FILE *f = fopen(t.path, "w");

	assert_non_null(f);
	fputs("ssm-tun fake map 1 198.18.0.0/16\n", f);
	for (unsigned i = 0; i < n; i++)
		fprintf(f, "%u n%u.test\n", i % names, i);
	fclose(f);
}

static void only_overridden_lines_are_compacted_away(void **state)
{
	struct dns_fakes *f;
	ino_t old;

	(void)state;
	write_many(DNS_FAKES_MAX, DNS_FAKES_MAX);
	old = inode();
	f = open_map(); /* full, and as short as it can be */
	assert_int_equal(dns_fakes_count(f), DNS_FAKES_MAX);
	assert_true(inode() == old);
	dns_fakes_free(f);
	assert_true(inode() == old);
	write_many(40000, 100);
	f = open_map();
	assert_int_equal(dns_fakes_count(f), 100);
	assert_int_equal(lines_of_map(), 101);
	dns_fakes_free(f);
}

static void damaged_lines_are_left_out_and_told_once(void **state)
{
	struct dns_fakes *f;
	char text[4096] =
		"ssm-tun fake map 1 198.18.0.0/16\n5 a.test\n65280 b.test\n-1 c.test\n 7 "
		"d.test\n8\n9 \n10 E.test\n11 f\\.test\n12 g test\n\n99999999999999999999 "
		"h.test\n13 i.test\n14 ";

	(void)state;
	memset(text + strlen(text), 'x', 300);
	strcat(text, "\n15 j.test\n16 half");
	write_map(text);
	f = open_map();
	assert_int_equal(dns_fakes_count(f), 3);
	assert_int_equal(dns_fakes_find(f, "i.test"), 13);
	assert_int_equal(dns_fakes_find(f, "j.test"), 15);
	assert_int_equal(t.warned, 1);
	dns_fakes_free(f);
	f = open_map(); /* it was mended */
	assert_int_equal(dns_fakes_count(f), 3);
	assert_int_equal(t.warned, 1);
	dns_fakes_free(f);
}

static void another_range_or_kind_is_set_aside(void **state)
{
	static const char *const texts[] = {
		"ssm-tun fake map 1 198.19.0.0/16\n5 a.test\n",
		"ssm-tun fake map 2 198.18.0.0/16\n5 a.test\n",
		"5 a.test\n",
		"\n",
	};
	char old[160];

	(void)state;
	snprintf(old, sizeof(old), "%s.old", t.path);
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		struct dns_fakes *f;

		write_map(texts[i]);
		f = open_map();
		assert_int_equal(dns_fakes_count(f), 0);
		assert_int_equal(t.warned, i + 1);
		assert_int_equal(access(old, F_OK), 0);
		assert_int_equal(unlink(old), 0);
		assert_true(dns_fakes_get(f, "n.test") >= 0);
		dns_fakes_free(f);
	}
}

static void what_is_no_file_of_ours_is_left_alone(void **state)
{
	char target[160];
	struct dns_fakes *f;
	struct stat st;

	(void)state;
	snprintf(target, sizeof(target), "%s/target", t.dir);
	assert_int_equal(symlink(target, t.path), 0);
	write_map("ssm-tun fake map 1 198.18.0.0/16\n"); /* through the link */
	f = open_map();
	assert_int_equal(t.warned, 1);
	assert_true(dns_fakes_get(f, "a.test") >= 0);
	dns_fakes_free(f);
	assert_int_equal(lstat(t.path, &st), 0);
	assert_true(S_ISLNK(st.st_mode));
	assert_int_equal(lines_of_map(), 1);
	unlink(target);
	unlink(t.path);
	assert_int_equal(mkdir(t.path, 0700), 0);
	f = open_map();
	assert_true(dns_fakes_get(f, "a.test") >= 0);
	dns_fakes_free(f);
	assert_int_equal(t.warned, 2);
}

/* An append that fails is made good by the rewrite a second later */
static void a_failed_append_is_made_good(void **state)
{
	struct dns_fakes *f = open_map();
	uint64_t until;
	int fd = -1;

	(void)state;
	for (int i = 3; i < 64 && fd < 0; i++) { /* the map's own descriptor */
		char link[64], to[PATH_MAX];
		ssize_t n;

		snprintf(link, sizeof(link), "/proc/self/fd/%d", i);
		n = readlink(link, to, sizeof(to) - 1);
		if (n > 0 && (size_t)n == strlen(t.path) && memcmp(to, t.path, (size_t)n) == 0)
			fd = i;
	}
	assert_true(fd >= 0);
	assert_int_equal(dup2(open("/dev/full", O_WRONLY | O_CLOEXEC), fd), fd);
	assert_true(dns_fakes_get(f, "a.test") >= 0);
	assert_true(dns_fakes_get(f, "b.test") >= 0);
	assert_int_equal(t.warned, 1);
	assert_int_equal(lines_of_map(), 1);
	until = loop_now_ms(t.loop) + 3000;
	while (lines_of_map() < 3 && loop_now_ms(t.loop) < until)
		loop_turn(t.loop, 100);
	assert_int_equal(lines_of_map(), 3);
	assert_true(dns_fakes_get(f, "c.test") >= 0);
	assert_int_equal(lines_of_map(), 4);
	dns_fakes_free(f);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(an_index_is_an_address_of_each_family),
		CASE(a_name_keeps_its_address),
		CASE(a_full_map_takes_the_least_recently_used_that_no_flow_holds),
		CASE(the_map_outlives_a_restart),
		CASE(the_map_outlives_a_kill),
		CASE(later_lines_override_earlier_ones),
		CASE(only_overridden_lines_are_compacted_away),
		CASE(damaged_lines_are_left_out_and_told_once),
		CASE(another_range_or_kind_is_set_aside),
		CASE(what_is_no_file_of_ours_is_left_alone),
		CASE(a_failed_append_is_made_good),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
