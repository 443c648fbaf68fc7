// SPDX-License-Identifier: MIT
/*
 * ag_keys_test.c - keys for a minute: what is taken and what is not, limits, what sshd is told, ends that come by the clock and by the
 * file's own word, files that go, folders that others may write to
 */
#include "gateway/ag_keys.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/codec.h"
#include "base/err.h"
#include "base/util.h"

static char dir[64], keys_dir[80];
static struct loop *loop;
static struct ag_keys *keys;

/* An Ed25519 key of its own for each @n. */
static void line_make(char out[96], uint8_t n)
{
	uint8_t blob[51] = { 0,	  0,   0,   11,	 's', 's', 'h', '-', 'e', 'd',
			     '2', '5', '5', '1', '9', 0,   0,	0,   32,  n };
	size_t at = (size_t)snprintf(out, 96, "ssh-ed25519 ");

	codec_b64_encode(out + at, blob, sizeof(blob));
}

static const char *add(const char *user, uint8_t n, int life_s)
{
	char line[96];
	json_t *body;
	const char *result;

	line_make(line, n);
	body = json_pack("{s:s, s:s, s:s, s:i}", "push_id", "p", "user", user, "key", line,
			 "life_s", life_s);
	result = ag_keys_add(keys, body);
	json_decref(body);
	return result;
}

static const char *printed(const char *user)
{
	static char text[8192];
	FILE *f = fmemopen(text, sizeof(text), "w");

	memset(text, 0, sizeof(text));
	assert_int_equal(ag_keys_print(keys_dir, user, f), 0);
	fclose(f);
	return text;
}

static int setup(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/ag-keys-XXXXXX");
	assert_non_null(mkdtemp(dir));
	snprintf(keys_dir, sizeof(keys_dir), "%s/a/keys", dir);
	assert_int_equal(loop_new(&loop), 0);
	assert_int_equal(ag_keys_new(&keys, loop, keys_dir), 0);
	return 0;
}

static int teardown(void **state)
{
	char path[96];

	(void)state;
	ag_keys_free(keys);
	loop_free(loop);
	assert_int_equal(rmdir(keys_dir), 0); /* nothing was left */
	snprintf(path, sizeof(path), "%s/a", dir);
	assert_int_equal(rmdir(path), 0);
	assert_int_equal(rmdir(dir), 0);
	return 0;
}

static void taken(void **state)
{
	char a[96], b[96], want[256], path[128];
	struct stat st;

	(void)state;
	line_make(a, 1);
	line_make(b, 2);
	assert_string_equal(printed("alice"), "");
	assert_string_equal(add("alice", 1, 60), "ok");
	assert_string_equal(add("alice", 2, 60), "ok");
	assert_string_equal(add("bob", 1, 60), "ok");
	snprintf(want, sizeof(want), "%s\n%s\n", a, b);
	assert_string_equal(printed("alice"), want);
	snprintf(want, sizeof(want), "%s\n", a);
	assert_string_equal(printed("bob"), want);
	assert_string_equal(printed("carol"), "");
	snprintf(path, sizeof(path), "%s/alice", keys_dir);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
}

static void refused(void **state)
{
	static const char *const bodies[] = {
		"{}",
		"{\"user\":\"a\",\"key\":\"x\",\"life_s\":60}",
		"{\"user\":\"a\",\"life_s\":60}",
		"{\"user\":5,\"key\":5,\"life_s\":60}",
	};
	json_t *body;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
		body = json_loads(bodies[i], 0, NULL);
		assert_string_equal(ag_keys_add(keys, body), "invalid");
		assert_string_equal(ag_keys_add(NULL, body), "unsupported");
		json_decref(body);
	}
	assert_string_equal(add("../x", 1, 60), "invalid");
	assert_string_equal(add("a", 1, 0), "invalid");
	assert_string_equal(add("a", 1, 61), "invalid");
	assert_string_equal(add("a", 1, -1), "invalid");
	assert_int_equal(ag_keys_print(keys_dir, "../x", stdout), ST_EINVAL);
}

static void limits(void **state)
{
	char user[16];

	(void)state;
	for (unsigned i = 0; i < AG_KEYS_MAX; i++) {
		snprintf(user, sizeof(user), "u%u", i / AG_KEYS_USER_MAX);
		assert_string_equal(add(user, (uint8_t)i, 60), "ok");
		if (i + 1 == AG_KEYS_USER_MAX)
			assert_string_equal(add(user, 99, 60), "full");
	}
	assert_string_equal(add("another", 1, 60), "full");
}

static void ends(void **state)
{
	char path[128];

	(void)state;
	assert_string_equal(add("alice", 1, 1), "ok");
	assert_string_equal(add("bob", 2, 60), "ok");
	snprintf(path, sizeof(path), "%s/alice", keys_dir);
	for (uint64_t t = loop_now_ms(loop); access(path, F_OK) == 0;) {
		assert_true(loop_now_ms(loop) - t < 10000);
		assert_int_equal(loop_turn(loop, 2000), 0);
	}
	assert_string_not_equal(printed("bob"), "");
}

/* The agent was killed, or the clock was set back: the file alone says how long. */
static void by_the_files_word(void **state)
{
	static const struct {
		long ahead_s;
		bool valid;
	} cases[] = { { -1, false }, { 0, false }, { 30, true }, { 59, true }, { 3600, false } };
	char a[96], path[128];
	FILE *f;

	(void)state;
	line_make(a, 1);
	snprintf(path, sizeof(path), "%s/alice", keys_dir);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		f = fopen(path, "w");
		fprintf(f, "x\n%ld %s\n%ld\n\n", (long)time(NULL) + cases[i].ahead_s, a,
			(long)time(NULL) + 9);
		fclose(f);
		if ((strstr(printed("alice"), a) != NULL) != cases[i].valid)
			fail_msg("%ld s ahead", cases[i].ahead_s);
	}
	assert_int_equal(unlink(path), 0);
}

static void folders(void **state)
{
	struct ag_keys *other;

	(void)state;
	assert_int_equal(ag_keys_print("/nonexistent/x", "alice", stdout), 0);
	assert_int_equal(chmod(keys_dir, 0770), 0);
	assert_int_equal(ag_keys_print(keys_dir, "alice", stdout), ST_EPERM);
	assert_int_equal(ag_keys_new(&other, loop, keys_dir), ST_EPERM);
	assert_int_equal(chmod(keys_dir, 0700), 0);
	assert_int_equal(ag_keys_print(keys_dir, "alice", stdout), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(taken, setup, teardown),
		cmocka_unit_test_setup_teardown(refused, setup, teardown),
		cmocka_unit_test_setup_teardown(limits, setup, teardown),
		cmocka_unit_test_setup_teardown(ends, setup, teardown),
		cmocka_unit_test_setup_teardown(by_the_files_word, setup, teardown),
		cmocka_unit_test_setup_teardown(folders, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
