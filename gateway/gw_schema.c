// SPDX-License-Identifier: MIT
/*
 * gw_schema.c - tables of the store, by version
 *
 * Theory of operation: PRAGMA user_version counts the steps below that a database has seen. A new
 * store runs all of them, an older one those that it lacks; each step and its new number are one
 * transaction, which another process that opens the store at the same time waits for.
 */
#include "gateway/gw_schema.h"

#include <stdio.h>

#include "base/err.h"
#include "base/log.h"
#include "base/text.h"
#include "base/util.h"

static const char tables[] =
	"CREATE TABLE agents("
	" uid TEXT PRIMARY KEY, org_id TEXT NOT NULL, host_id TEXT NOT NULL UNIQUE, pubkey BLOB "
	"NOT NULL,"
	" machine_id_hash TEXT NOT NULL, version TEXT NOT NULL, platform TEXT NOT NULL,"
	" network TEXT NOT NULL, approved INTEGER NOT NULL, max_payload INTEGER NOT NULL,"
	" bootstrap_hash BLOB NOT NULL, session_hash BLOB NOT NULL, session_until INTEGER NOT NULL,"
	" created INTEGER NOT NULL, last_seen INTEGER NOT NULL) WITHOUT ROWID;"
	"CREATE TABLE keys("
	" access_key TEXT PRIMARY KEY, secret TEXT NOT NULL, name TEXT NOT NULL UNIQUE,"
	" targets TEXT NOT NULL, created INTEGER NOT NULL) WITHOUT ROWID;"
	"CREATE TABLE sessions("
	" id TEXT PRIMARY KEY, key_name TEXT NOT NULL, agent_uid TEXT NOT NULL, host_id TEXT NOT "
	"NULL,"
	" document TEXT NOT NULL, reason TEXT NOT NULL, boot_id TEXT NOT NULL, output TEXT NOT "
	"NULL,"
	" started INTEGER NOT NULL, ended INTEGER NOT NULL) WITHOUT ROWID;"
	"CREATE INDEX sessions_active ON sessions(ended, started);"
	"CREATE TABLE audit("
	" n INTEGER PRIMARY KEY AUTOINCREMENT, at_ms INTEGER NOT NULL, who TEXT NOT NULL,"
	" what TEXT NOT NULL, detail TEXT NOT NULL);"
	"CREATE TRIGGER audit_no_update BEFORE UPDATE ON audit"
	" BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;"
	"CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit"
	" BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;";

/* Stock agents: whatever was there before is ours, and every key a client's. */
static const char kinds[] = "ALTER TABLE agents ADD COLUMN kind INTEGER NOT NULL DEFAULT 0;"
			    "ALTER TABLE keys ADD COLUMN kind INTEGER NOT NULL DEFAULT 0;";

/* steps[n] makes version n + 1. Never changed once released; only appended to. */
static const char *const steps[] = { tables, kinds };

static int failed(sqlite3 *db, const char *what)
{
	log_error("store: %s: %s", what, text_safe(sqlite3_errmsg(db)).s);
	return ST_ESYS;
}

static int exec(sqlite3 *db, const char *sql)
{
	return sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : failed(db, "tables");
}

/* Return: 0; ST_ESYS; ST_EUNSUPPORTED for a version that is none of ours */
static int version_get(sqlite3 *db, int *version)
{
	sqlite3_stmt *st = NULL;
	int r = 0;

	if (sqlite3_prepare_v2(db, "PRAGMA user_version", -1, &st, NULL) != SQLITE_OK ||
	    sqlite3_step(st) != SQLITE_ROW)
		r = failed(db, "version");
	else
		*version = sqlite3_column_int(st, 0);
	sqlite3_finalize(st);
	if (r == 0 && (*version < 0 || *version > (int)ARRAY_LEN(steps))) {
		log_error("store: version %d is unknown here: a newer program has written it",
			  *version);
		return ST_EUNSUPPORTED;
	}
	return r;
}

/* Inside of a transaction: the version is read again, since another process may have been faster. */
static int steps_run(sqlite3 *db)
{
	char pragma[48];
	int version, r;

	if ((r = version_get(db, &version)) < 0)
		return r;
	for (size_t i = (size_t)version; i < ARRAY_LEN(steps); i++)
		if ((r = exec(db, steps[i])) < 0)
			return r;
	snprintf(pragma, sizeof(pragma), "PRAGMA user_version = %zu", ARRAY_LEN(steps));
	return exec(db, pragma);
}

int gw_schema_create(sqlite3 *db)
{
	int r;

	if ((r = exec(db, "BEGIN IMMEDIATE")) < 0)
		return r;
	if ((r = steps_run(db)) == 0)
		return exec(db, "COMMIT");
	if (!sqlite3_get_autocommit(db))
		(void)exec(db, "ROLLBACK");
	return r;
}

int gw_schema_upgrade(sqlite3 *db)
{
	int version, r;

	if ((r = version_get(db, &version)) < 0)
		return r;
	if (version == (int)ARRAY_LEN(steps))
		return 0;
	log_info("store: brought from version %d to %zu", version, ARRAY_LEN(steps));
	return gw_schema_create(db);
}
