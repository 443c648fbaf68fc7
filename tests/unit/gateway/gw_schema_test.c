// SPDX-License-Identifier: MIT
/*
 * gw_schema_test.c - a store of the first version becomes today's, with everything in it
 *
 * Cases: the tables of version 1, as that version made them, with an agent and a key: after opening, both are there, ours
 * and a client's; opening twice changes nothing; a store of a later version is refused and left alone; what was half
 * upgraded when the process died is upgraded by the next one; a damaged file is refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "base/err.h"
#include "base/log.h"
#include "gateway_test.h"

/* Released with version 0.1.0: never to be changed. */
static const char version_1[] =
	"PRAGMA journal_mode = WAL;"
	"CREATE TABLE agents(uid TEXT PRIMARY KEY, org_id TEXT NOT NULL, host_id TEXT NOT NULL "
	"UNIQUE, pubkey BLOB NOT NULL,"
	" machine_id_hash TEXT NOT NULL, version TEXT NOT NULL, platform TEXT NOT NULL, network "
	"TEXT NOT NULL,"
	" approved INTEGER NOT NULL, max_payload INTEGER NOT NULL, bootstrap_hash BLOB NOT NULL, "
	"session_hash BLOB NOT NULL,"
	" session_until INTEGER NOT NULL, created INTEGER NOT NULL, last_seen INTEGER NOT NULL) "
	"WITHOUT ROWID;"
	"CREATE TABLE keys(access_key TEXT PRIMARY KEY, secret TEXT NOT NULL, name TEXT NOT NULL "
	"UNIQUE,"
	" targets TEXT NOT NULL, created INTEGER NOT NULL) WITHOUT ROWID;"
	"CREATE TABLE sessions(id TEXT PRIMARY KEY, key_name TEXT NOT NULL, agent_uid TEXT NOT "
	"NULL, host_id TEXT NOT NULL,"
	" document TEXT NOT NULL, reason TEXT NOT NULL, boot_id TEXT NOT NULL, output TEXT NOT "
	"NULL,"
	" started INTEGER NOT NULL, ended INTEGER NOT NULL) WITHOUT ROWID;"
	"CREATE INDEX sessions_active ON sessions(ended, started);"
	"CREATE TABLE audit(n INTEGER PRIMARY KEY AUTOINCREMENT, at_ms INTEGER NOT NULL, who TEXT "
	"NOT NULL,"
	" what TEXT NOT NULL, detail TEXT NOT NULL);"
	"PRAGMA user_version = 1;"
	"INSERT INTO agents "
	"VALUES('uid-1','org','host-1',zeroblob(32),'mh','1.2','{}','{}',1,4096,zeroblob(32),"
	"zeroblob(32),"
	" 0, 100, 200);"
	"INSERT INTO keys VALUES('AKIAXXXXXXXXXXXXXXXX','secret','alice','web-*',300);";

static void sql_in(const char *dir, const char *text)
{
	char path[128];
	sqlite3 *db;

	snprintf(path, sizeof(path), "%s/store.db", dir);
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, text, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
}

static void old_store(char dir[64])
{
	strcpy(dir, "/tmp/ssm-tun-store-XXXXXX");
	assert_non_null(mkdtemp(dir));
	sql_in(dir, version_1);
}

static void check_contents(struct gw_store *s)
{
	struct gw_agent_rec agent;
	struct gw_key_rec key;

	assert_int_equal(gw_store_agent_by_host(s, "host-1", &agent), 0);
	assert_int_equal(agent.kind, GW_AGENT_OWN);
	assert_string_equal(agent.uid, "uid-1");
	assert_int_equal(agent.max_payload, 4096);
	assert_int_equal(gw_store_key_get(s, "AKIAXXXXXXXXXXXXXXXX", &key), 0);
	assert_int_equal(key.kind, GW_KEY_CLIENT);
	assert_string_equal(key.targets, "web-*");
	assert_int_equal(key.created, 300);
}

static void test_upgrade(void **state)
{
	struct gw_store *s = NULL;
	char dir[64];

	(void)state;
	old_store(dir);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(gw_store_open(&s, dir), 0);
		check_contents(s);
		gw_store_close(s);
	}
	test_dir_remove(dir);
}

/* Two processes open the old store at once, again and again. */
static void test_at_once(void **state)
{
	char dir[64];

	(void)state;
	for (int i = 0; i < 10; i++) {
		struct gw_store *s = NULL;
		pid_t pid;
		int status;

		old_store(dir);
		if ((pid = fork()) == 0)
			_exit(gw_store_open(&s, dir) == 0 ? 0 : 1);
		assert_int_equal(gw_store_open(&s, dir), 0);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(status, 0);
		check_contents(s);
		gw_store_close(s);
		test_dir_remove(dir);
	}
}

static void test_newer(void **state)
{
	struct gw_store *s = NULL;
	char dir[64];

	(void)state;
	old_store(dir);
	for (int i = 0; i < 2; i++) {
		sql_in(dir, i ? "PRAGMA user_version = -1;" : "PRAGMA user_version = 99;");
		assert_int_equal(gw_store_open(&s, dir), ST_EUNSUPPORTED);
		assert_null(s);
	}
	sql_in(dir, "PRAGMA user_version = 1;");
	assert_int_equal(gw_store_open(&s, dir), 0);
	check_contents(s);
	gw_store_close(s);
	test_dir_remove(dir);
}

static void test_damaged(void **state)
{
	struct gw_store *s = NULL;
	char dir[64], path[128];
	FILE *f;

	(void)state;
	strcpy(dir, "/tmp/ssm-tun-store-XXXXXX");
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/store.db", dir);
	assert_non_null(f = fopen(path, "w"));
	for (int i = 0; i < 1000; i++)
		fputs("no database ", f);
	fclose(f);
	assert_int_equal(gw_store_open(&s, dir), ST_ESYS);
	assert_null(s);
	test_dir_remove(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_upgrade),
		cmocka_unit_test(test_at_once),
		cmocka_unit_test(test_newer),
		cmocka_unit_test(test_damaged),
	};

	log_setup(LOG_ERROR, LOG_TEXT);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
