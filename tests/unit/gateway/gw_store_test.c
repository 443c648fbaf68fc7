// SPDX-License-Identifier: MIT
/*
 * gw_store_test.c - what was acknowledged is there, whatever happens
 *
 * Cases: a child that writes and is killed with SIGKILL right after an acknowledgement, 20 times: all that it
 * acknowledged is found; audit lines can neither be changed nor removed; no token and no nonce is in the files;
 * never overwritten; agents, keys and sessions come back as they went in; a second process sees changes at once.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/file.h"
#include "base/log.h"
#include "gateway_test.h"

static struct gw_agent_rec agent_rec(unsigned n)
{
	struct gw_agent_rec rec = { .org_id = "org",
				    .approved = true,
				    .max_payload = 4096,
				    .created = 100,
				    .last_seen = 200 };

	snprintf(rec.uid, sizeof(rec.uid), "uid-%u", n);
	snprintf(rec.host_id, sizeof(rec.host_id), "host-%u", n);
	memset(rec.pubkey, (int)n, sizeof(rec.pubkey));
	strcpy(rec.platform, "{\"os\":\"linux\"}");
	strcpy(rec.network, "{}");
	strcpy(rec.version, "1.2");
	strcpy(rec.machine_id_hash, "mh");
	return rec;
}

static const struct gw_agent_tokens tokens = { .bootstrap = "bootstrap-token-in-clear-text",
					       .session = "session-token-in-clear-text",
					       .session_until = 1000 };

/* Writes agents for ever and tells the number of each by the pipe as soon as it is acknowledged. */
static void child_write(const char *dir, unsigned from, int fd)
{
	struct gw_store *s = NULL;

	if (gw_store_open(&s, dir) < 0)
		_exit(1);
	for (unsigned n = from;; n++) {
		struct gw_agent_rec rec = agent_rec(n);

		if (gw_store_agent_put(s, &rec, &tokens, "child") < 0 ||
		    write(fd, &n, sizeof(n)) != (ssize_t)sizeof(n))
			_exit(1);
	}
}

static unsigned kill_after_acknowledgement(const char *dir, unsigned from)
{
	unsigned n = 0, last = 0;
	int fds[2], status;
	pid_t pid;

	assert_int_equal(pipe(fds), 0);
	if ((pid = fork()) == 0)
		child_write(dir, from, fds[1]);
	close(fds[1]);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(read(fds[0], &n, sizeof(n)), sizeof(n));
		last = n;
	}
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	while (read(fds[0], &n, sizeof(n)) == (ssize_t)sizeof(n))
		last = n;
	close(fds[0]);
	return last;
}

static void test_kill(void **state)
{
	char dir[64], host[32];
	struct gw_store *s = NULL;
	unsigned last = 0;

	(void)state;
	assert_int_equal(test_store_make(dir, NULL), 0);
	for (int round = 0; round < 20; round++) {
		last = kill_after_acknowledgement(dir, last + 1);
		assert_int_equal(gw_store_open(&s, dir), 0);
		for (unsigned n = 1; n <= last; n++) {
			struct gw_agent_rec rec, want = agent_rec(n);

			snprintf(host, sizeof(host), "host-%u", n);
			assert_int_equal(gw_store_agent_by_host(s, host, &rec), 0);
			assert_memory_equal(rec.pubkey, want.pubkey, sizeof(rec.pubkey));
			assert_int_equal(gw_store_agent_auth(s, rec.uid, tokens.bootstrap, 0, &rec),
					 0);
		}
		gw_store_close(s);
	}
	test_dir_remove(dir);
}

static void test_round_trips(void **state)
{
	char dir[64];
	struct gw_store *s = NULL, *other = NULL;
	struct gw_agent_rec rec = agent_rec(7), got;
	struct gw_key_rec key = { .name = "demo", .targets = "web-*" }, key_got;
	struct gw_session_rec ses = { .id = "demo-1",
				      .key_name = "demo",
				      .agent_uid = "uid-7",
				      .host_id = "host-7",
				      .document = "AWS-StartSSHSession",
				      .reason = "why",
				      .boot_id = "b",
				      .started = 5 },
			      ses_got;

	(void)state;
	assert_int_equal(test_store_make(dir, &s), 0);
	assert_int_equal(gw_store_open(&other, dir), 0);
	assert_int_equal(gw_store_agent_put(s, &rec, &tokens, "t"), 0);
	assert_int_equal(gw_store_agent_by_uid(other, "uid-7", &got), 0);
	assert_memory_equal(&got, &rec, sizeof(rec));
	assert_int_equal(gw_store_agent_seen(other, "uid-7", 300), 0);
	assert_int_equal(gw_store_agent_limit(other, "uid-7", 1024), 0);
	assert_int_equal(gw_store_agent_by_host(s, "host-7", &got), 0);
	assert_int_equal(got.last_seen, 300);
	assert_int_equal(got.max_payload, 1024);
	assert_int_equal(gw_store_agent_seen(s, "nobody", 1), ST_ENOENT);

	assert_int_equal(gw_store_key_add(s, &key, "t"), 0);
	assert_int_equal(strlen(key.access_key), 20);
	assert_int_equal(strlen(key.secret), 40);
	assert_int_equal(gw_store_key_get(other, key.access_key, &key_got), 0);
	assert_string_equal(key_got.secret, key.secret);
	assert_string_equal(key_got.targets, "web-*");
	assert_int_equal(
		gw_store_key_add(s, &(struct gw_key_rec){ .name = "demo", .targets = "*" }, "t"),
		ST_EEXIST);
	assert_int_equal(gw_store_key_remove(other, "demo", "t"), 0);
	assert_int_equal(gw_store_key_get(s, key.access_key, &key_got), ST_ENOENT);
	assert_int_equal(gw_store_key_remove(s, "demo", "t"), ST_ENOENT);

	assert_int_equal(gw_store_session_add(s, &ses), 0);
	assert_int_equal(gw_store_session_get(other, "demo-1", &ses_got), 0);
	assert_memory_equal(&ses_got, &ses, sizeof(ses));
	assert_int_equal(gw_store_session_end(s, "demo-1", "first", "t"), 0);
	assert_int_equal(gw_store_session_end(s, "demo-1", "second", "t"), 0);
	assert_int_equal(gw_store_session_get(other, "demo-1", &ses_got), 0);
	assert_string_equal(ses_got.output, "first");
	assert_true(ses_got.ended > 0);
	gw_store_close(other);
	gw_store_close(s);
	test_dir_remove(dir);
}

static int audit_exec(const char *dir, const char *sql)
{
	char path[128];
	sqlite3 *db;
	int rc;

	snprintf(path, sizeof(path), "%s/store.db", dir);
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	rc = sqlite3_exec(db, sql, NULL, NULL, NULL);
	sqlite3_close(db);
	return rc;
}

static void test_audit(void **state)
{
	char dir[64];
	struct gw_store *s = NULL;

	(void)state;
	assert_int_equal(test_store_make(dir, &s), 0);
	assert_int_equal(gw_store_audit(s, "me", "key.add", "demo"), 0);
	gw_store_close(s);
	assert_int_equal(audit_exec(dir, "SELECT * FROM audit"), SQLITE_OK);
	assert_int_not_equal(audit_exec(dir, "DELETE FROM audit"), SQLITE_OK);
	assert_int_not_equal(audit_exec(dir, "UPDATE audit SET who = 'you'"), SQLITE_OK);
	test_dir_remove(dir);
}

static void file_lacks(const char *dir, const char *name, const char *secret)
{
	char path[128];
	struct buf b;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	buf_init(&b, MIB(8));
	if (file_read(&b, path) == 0 && b.len)
		assert_null(memmem(buf_data(&b), b.len, secret, strlen(secret)));
	buf_fini(&b);
}

static void test_no_clear_tokens(void **state)
{
	static const char *const files[] = { "store.db", "store.db-wal" };
	struct gw_agent_rec rec = agent_rec(1);
	char dir[64];
	struct gw_store *s = NULL;

	(void)state;
	assert_int_equal(test_store_make(dir, &s), 0);
	assert_int_equal(gw_store_agent_put(s, &rec, &tokens, "t"), 0);
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		file_lacks(dir, files[i], tokens.bootstrap);
		file_lacks(dir, files[i], tokens.session);
	}
	gw_store_close(s);
	file_lacks(dir, "store.db", tokens.bootstrap);
	test_dir_remove(dir);
}

static void test_not_overwritten(void **state)
{
	char dir[64];
	struct gw_store *s = NULL;

	(void)state;
	assert_int_equal(test_store_make(dir, NULL), 0);
	assert_int_equal(gw_store_create(dir), ST_EEXIST);
	test_dir_remove(dir);
	assert_int_equal(gw_store_open(&s, dir), ST_ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kill),
		cmocka_unit_test(test_round_trips),
		cmocka_unit_test(test_audit),
		cmocka_unit_test(test_no_clear_tokens),
		cmocka_unit_test(test_not_overwritten),
	};

	log_setup(LOG_ERROR, LOG_TEXT);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
