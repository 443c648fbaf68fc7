// SPDX-License-Identifier: MIT
/*
 * gw_store.c - the gateway's store in one SQLite file
 *
 * Theory of operation: WAL with synchronous=FULL, so a call that returned 0 survives kill -9 and a
 * power cut. All statements are prepared once, from one table; a call binds, steps and resets. A
 * change and its audit line are one transaction. The audit table refuses UPDATE and DELETE by
 * triggers. Tokens are kept as SHA-256 only: they are 256 random bits, so no salt is needed. The
 * secrets of access keys are kept as they are, since SigV4 needs them; the folder is 0700.
 */
#include "gateway/gw_store.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <sqlite3.h>

#include "base/err.h"
#include "base/log.h"
#include "base/text.h"
#include "gateway/gw_schema.h"

#define STORE_FILE "store.db"
#define STORE_BUSY_MS 5000 /* ours: another process's transaction is one fsync long */

#define AGENT_COLUMNS                                                                              \
	"uid, org_id, host_id, pubkey, machine_id_hash, version, platform, network, approved,"     \
	" max_payload, created, last_seen, kind"
#define KEY_COLUMNS "name, targets, created, kind"
#define SESSION_COLUMNS                                                                            \
	"id, key_name, agent_uid, host_id, document, reason, boot_id, output, started, ended"

enum query {
	Q_BEGIN,
	Q_COMMIT,
	Q_ROLLBACK,
	Q_AGENT_BY_HOST,
	Q_AGENT_BY_UID,
	Q_AGENT_PUT,
	Q_AGENT_AUTH,
	Q_AGENT_SEEN,
	Q_AGENT_LIMIT,
	Q_AGENT_INFO,
	Q_AGENT_COUNT,
	Q_AGENT_APPROVE,
	Q_AGENT_REMOVE,
	Q_AGENT_EACH,
	Q_KEY_ADD,
	Q_KEY_GET,
	Q_KEY_REMOVE,
	Q_KEY_EACH,
	Q_SESSION_ADD,
	Q_SESSION_END,
	Q_SESSION_GET,
	Q_SESSION_EACH,
	Q_AUDIT,
	Q_N
};

static const char *const sql[] = {
	[Q_BEGIN] = "BEGIN IMMEDIATE",
	[Q_COMMIT] = "COMMIT",
	[Q_ROLLBACK] = "ROLLBACK",
	[Q_AGENT_BY_HOST] = "SELECT " AGENT_COLUMNS " FROM agents WHERE host_id = ?1",
	[Q_AGENT_BY_UID] = "SELECT " AGENT_COLUMNS " FROM agents WHERE uid = ?1",
	[Q_AGENT_PUT] = "INSERT OR REPLACE INTO agents(" AGENT_COLUMNS
			", bootstrap_hash, session_hash, session_until)"
			" VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,?16)",
	[Q_AGENT_AUTH] =
		"SELECT bootstrap_hash, session_hash, session_until FROM agents WHERE uid = ?1",
	[Q_AGENT_SEEN] = "UPDATE agents SET last_seen = ?2 WHERE uid = ?1",
	[Q_AGENT_LIMIT] = "UPDATE agents SET max_payload = ?2 WHERE uid = ?1",
	[Q_AGENT_INFO] =
		"UPDATE agents SET version = ?2, platform = ?3, network = ?4, last_seen = ?5"
		" WHERE uid = ?1",
	[Q_AGENT_COUNT] = "SELECT count(*) FROM agents WHERE kind = ?1",
	[Q_AGENT_APPROVE] = "UPDATE agents SET approved = 1 WHERE host_id = ?1",
	[Q_AGENT_REMOVE] = "DELETE FROM agents WHERE host_id = ?1",
	[Q_AGENT_EACH] = "SELECT " AGENT_COLUMNS " FROM agents ORDER BY host_id",
	[Q_KEY_ADD] = "INSERT INTO keys(access_key, secret, " KEY_COLUMNS
		      ") VALUES(?1,?2,?3,?4,?5,?6)",
	[Q_KEY_GET] = "SELECT access_key, secret, " KEY_COLUMNS " FROM keys WHERE access_key = ?1",
	[Q_KEY_REMOVE] = "DELETE FROM keys WHERE name = ?1",
	[Q_KEY_EACH] = "SELECT access_key, '', " KEY_COLUMNS " FROM keys ORDER BY name",
	[Q_SESSION_ADD] = "INSERT INTO sessions(" SESSION_COLUMNS ")"
			  " VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10)",
	[Q_SESSION_END] = "UPDATE sessions SET ended = ?2, output = ?3 WHERE id = ?1 AND ended = 0",
	[Q_SESSION_GET] = "SELECT " SESSION_COLUMNS " FROM sessions WHERE id = ?1",
	[Q_SESSION_EACH] =
		"SELECT " SESSION_COLUMNS " FROM sessions WHERE (ended = 0) = ?2"
		" AND (?1 IS NULL OR key_name = ?1) ORDER BY started DESC, id LIMIT 10000",
	[Q_AUDIT] = "INSERT INTO audit(at_ms, who, what, detail) VALUES(?1,?2,?3,?4)",
};
_Static_assert(ARRAY_LEN(sql) == Q_N, "sql[] and enum query differ");

struct gw_store {
	sqlite3 *db;
	sqlite3_stmt *st[Q_N];
};

static int64_t unix_ms_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static int db_error(struct gw_store *s, const char *what)
{
	log_error("store: %s: %s", what, text_safe(sqlite3_errmsg(s->db)).s);
	return ST_ESYS;
}

static int store_path(char *out, size_t cap, const char *dir)
{
	int n = snprintf(out, cap, "%s/" STORE_FILE, dir);

	return n > 0 && (size_t)n < cap ? 0 : ST_EINVAL;
}

static int store_open_db(struct gw_store *s, const char *path, int flags)
{
	if (sqlite3_open_v2(path, &s->db, flags | SQLITE_OPEN_NOFOLLOW, NULL) != SQLITE_OK)
		return db_error(s, "open");
	sqlite3_extended_result_codes(s->db, 1);
	sqlite3_busy_timeout(s->db, STORE_BUSY_MS);
	if (sqlite3_exec(s->db,
			 "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
			 "PRAGMA foreign_keys=ON; PRAGMA secure_delete=ON;",
			 NULL, NULL, NULL) != SQLITE_OK)
		return db_error(s, "settings");
	return 0;
}

static int store_prepare(struct gw_store *s)
{
	for (size_t i = 0; i < Q_N; i++)
		if (sqlite3_prepare_v3(s->db, sql[i], -1, SQLITE_PREPARE_PERSISTENT, &s->st[i],
				       NULL) != SQLITE_OK)
			return db_error(s, "prepare");
	return 0;
}

int gw_store_open(struct gw_store **out, const char *dir)
{
	struct gw_store *s = calloc(1, sizeof(*s));
	char path[4096];
	int r;

	if (!s)
		return ST_ENOMEM;
	if ((r = store_path(path, sizeof(path), dir)) < 0)
		goto fail;
	if (access(path, F_OK) < 0) {
		log_error("no store in %s: run ssm-tun-gateway init first", text_safe(dir).s);
		r = ST_ENOENT;
		goto fail;
	}
	if ((r = store_open_db(s, path, SQLITE_OPEN_READWRITE)) < 0 ||
	    (r = gw_schema_upgrade(s->db)) < 0 || (r = store_prepare(s)) < 0)
		goto fail;
	*out = s;
	return 0;
fail:
	gw_store_close(s);
	return r;
}

int gw_store_create(const char *dir)
{
	struct gw_store s = { 0 };
	char path[4096];
	int r;

	if ((r = store_path(path, sizeof(path), dir)) < 0)
		return r;
	if (access(path, F_OK) == 0) {
		log_error("%s exists already: nothing was changed", text_safe(path).s);
		return ST_EEXIST;
	}
	if ((r = store_open_db(&s, path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE)) == 0)
		r = gw_schema_create(s.db);
	sqlite3_close(s.db);
	return r;
}

void gw_store_close(struct gw_store *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < Q_N; i++)
		sqlite3_finalize(s->st[i]);
	sqlite3_close(s->db);
	free(s);
}

/* ---- binding and stepping ---- */

static void bind_text(sqlite3_stmt *st, int i, const char *v)
{
	/* A failed bind leaves NULL, which the NOT NULL columns refuse in the step. */
	sqlite3_bind_text(st, i, v, -1, SQLITE_TRANSIENT);
}

static void col_text(char *dst, size_t cap, sqlite3_stmt *st, int i)
{
	const unsigned char *v = sqlite3_column_text(st, i);

	text_copy(dst, cap, v ? (const char *)v : "");
}

static void done(sqlite3_stmt *st)
{
	sqlite3_reset(st);
	sqlite3_clear_bindings(st);
}

/* Runs a statement without rows. Return: rows changed; ST_EEXIST for a broken UNIQUE; ST_ESYS */
static int run(struct gw_store *s, enum query q)
{
	int rc = sqlite3_step(s->st[q]);
	int r = 0;

	if (rc == SQLITE_CONSTRAINT_UNIQUE || rc == SQLITE_CONSTRAINT_PRIMARYKEY)
		r = ST_EEXIST;
	else if (rc != SQLITE_DONE)
		r = db_error(s, sql[q]);
	else
		r = sqlite3_changes(s->db);
	done(s->st[q]);
	return r;
}

static int audit_run(struct gw_store *s, const char *who, const char *what, const char *detail)
{
	sqlite3_stmt *st = s->st[Q_AUDIT];
	int r;

	sqlite3_bind_int64(st, 1, unix_ms_now());
	bind_text(st, 2, who);
	bind_text(st, 3, what);
	bind_text(st, 4, detail);
	r = run(s, Q_AUDIT);
	return r < 0 ? r : 0;
}

/* Runs @q (bound) and its audit line as one transaction. Return as run(). */
static int run_audited(struct gw_store *s, enum query q, const char *who, const char *what,
		       const char *detail)
{
	int r, changed;

	if ((r = run(s, Q_BEGIN)) < 0) {
		done(s->st[q]);
		return r;
	}
	changed = r = run(s, q);
	if (r > 0)
		r = audit_run(s, who, what, detail);
	if (r >= 0 && (r = run(s, Q_COMMIT)) >= 0)
		return changed;
	if (!sqlite3_get_autocommit(s->db))
		(void)run(s, Q_ROLLBACK);
	return r;
}

int gw_store_audit(struct gw_store *s, const char *who, const char *what, const char *detail)
{
	return audit_run(s, who, what, detail);
}

/* ---- agents ---- */

static void agent_read(struct gw_agent_rec *out, sqlite3_stmt *st)
{
	memset(out, 0, sizeof(*out));
	col_text(out->uid, sizeof(out->uid), st, 0);
	col_text(out->org_id, sizeof(out->org_id), st, 1);
	col_text(out->host_id, sizeof(out->host_id), st, 2);
	if (sqlite3_column_bytes(st, 3) == (int)GW_PUBKEY_LEN)
		memcpy(out->pubkey, sqlite3_column_blob(st, 3), GW_PUBKEY_LEN);
	col_text(out->machine_id_hash, sizeof(out->machine_id_hash), st, 4);
	col_text(out->version, sizeof(out->version), st, 5);
	col_text(out->platform, sizeof(out->platform), st, 6);
	col_text(out->network, sizeof(out->network), st, 7);
	out->approved = sqlite3_column_int(st, 8) != 0;
	out->max_payload = (uint32_t)sqlite3_column_int64(st, 9);
	out->created = sqlite3_column_int64(st, 10);
	out->last_seen = sqlite3_column_int64(st, 11);
	out->kind = sqlite3_column_int(st, 12) == GW_AGENT_STOCK ? GW_AGENT_STOCK : GW_AGENT_OWN;
}

/* One row of a bound query. Return: 1 a row stands in the statement, to be ended by done(); else an error */
static int one_row(struct gw_store *s, enum query q)
{
	int rc = sqlite3_step(s->st[q]), r = 1;

	if (rc == SQLITE_ROW)
		return 1;
	r = rc == SQLITE_DONE ? ST_ENOENT : db_error(s, sql[q]);
	done(s->st[q]);
	return r;
}

static int agent_get(struct gw_store *s, enum query q, const char *v, struct gw_agent_rec *out)
{
	int r;

	bind_text(s->st[q], 1, v);
	if ((r = one_row(s, q)) < 0)
		return r;
	if (out)
		agent_read(out, s->st[q]);
	done(s->st[q]);
	return 0;
}

int gw_store_agent_by_host(struct gw_store *s, const char *host_id, struct gw_agent_rec *out)
{
	return agent_get(s, Q_AGENT_BY_HOST, host_id, out);
}

int gw_store_agent_by_uid(struct gw_store *s, const char *uid, struct gw_agent_rec *out)
{
	return agent_get(s, Q_AGENT_BY_UID, uid, out);
}

static void bind_hash(sqlite3_stmt *st, int i, const char *token)
{
	uint8_t h[CODEC_SHA256_LEN];

	codec_sha256(h, token, strlen(token));
	sqlite3_bind_blob(st, i, h, sizeof(h), SQLITE_TRANSIENT);
}

int gw_store_agent_put(struct gw_store *s, const struct gw_agent_rec *rec,
		       const struct gw_agent_tokens *tokens, const char *who)
{
	sqlite3_stmt *st = s->st[Q_AGENT_PUT];
	int r;

	bind_text(st, 1, rec->uid);
	bind_text(st, 2, rec->org_id);
	bind_text(st, 3, rec->host_id);
	sqlite3_bind_blob(st, 4, rec->pubkey, GW_PUBKEY_LEN, SQLITE_TRANSIENT);
	bind_text(st, 5, rec->machine_id_hash);
	bind_text(st, 6, rec->version);
	bind_text(st, 7, rec->platform);
	bind_text(st, 8, rec->network);
	sqlite3_bind_int(st, 9, rec->approved);
	sqlite3_bind_int64(st, 10, rec->max_payload);
	sqlite3_bind_int64(st, 11, rec->created);
	sqlite3_bind_int64(st, 12, rec->last_seen);
	sqlite3_bind_int(st, 13, (int)rec->kind);
	bind_hash(st, 14, tokens->bootstrap);
	bind_hash(st, 15, tokens->session);
	sqlite3_bind_int64(st, 16, tokens->session_until);
	r = run_audited(s, Q_AGENT_PUT, who, "agent.register", rec->host_id);
	return r < 0 ? r : 0;
}

static bool hash_equal(sqlite3_stmt *st, int col, const uint8_t h[CODEC_SHA256_LEN])
{
	return sqlite3_column_bytes(st, col) == (int)CODEC_SHA256_LEN &&
	       codec_equal(sqlite3_column_blob(st, col), h, CODEC_SHA256_LEN);
}

int gw_store_agent_auth(struct gw_store *s, const char *uid, const char *token, int64_t unix_s,
			struct gw_agent_rec *out)
{
	sqlite3_stmt *st = s->st[Q_AGENT_AUTH];
	uint8_t h[CODEC_SHA256_LEN];
	bool good;
	int r;

	codec_sha256(h, token, strlen(token));
	bind_text(st, 1, uid);
	if ((r = one_row(s, Q_AGENT_AUTH)) < 0)
		return r == ST_ENOENT ? ST_EAUTH : r;
	good = hash_equal(st, 0, h);
	if (hash_equal(st, 1, h) && unix_s < sqlite3_column_int64(st, 2))
		good = true;
	done(st);
	if (!good)
		return ST_EAUTH;
	return gw_store_agent_by_uid(s, uid, out);
}

int gw_store_agent_seen(struct gw_store *s, const char *uid, int64_t unix_s)
{
	int r;

	bind_text(s->st[Q_AGENT_SEEN], 1, uid);
	sqlite3_bind_int64(s->st[Q_AGENT_SEEN], 2, unix_s);
	r = run(s, Q_AGENT_SEEN);
	return r < 0 ? r : r ? 0 : ST_ENOENT;
}

int gw_store_agent_limit(struct gw_store *s, const char *uid, uint32_t max_payload)
{
	int r;

	bind_text(s->st[Q_AGENT_LIMIT], 1, uid);
	sqlite3_bind_int64(s->st[Q_AGENT_LIMIT], 2, max_payload);
	r = run(s, Q_AGENT_LIMIT);
	return r < 0 ? r : r ? 0 : ST_ENOENT;
}

int gw_store_agent_info(struct gw_store *s, const struct gw_agent_rec *rec)
{
	sqlite3_stmt *st = s->st[Q_AGENT_INFO];
	int r;

	bind_text(st, 1, rec->uid);
	bind_text(st, 2, rec->version);
	bind_text(st, 3, rec->platform);
	bind_text(st, 4, rec->network);
	sqlite3_bind_int64(st, 5, rec->last_seen);
	r = run(s, Q_AGENT_INFO);
	return r < 0 ? r : r ? 0 : ST_ENOENT;
}

int gw_store_agent_count(struct gw_store *s, enum gw_agent_kind kind)
{
	int r;

	sqlite3_bind_int(s->st[Q_AGENT_COUNT], 1, (int)kind);
	if ((r = one_row(s, Q_AGENT_COUNT)) < 0)
		return r;
	r = sqlite3_column_int(s->st[Q_AGENT_COUNT], 0);
	done(s->st[Q_AGENT_COUNT]);
	return r;
}

static int by_name(struct gw_store *s, enum query q, const char *name, const char *who,
		   const char *what)
{
	int r;

	bind_text(s->st[q], 1, name);
	r = run_audited(s, q, who, what, text_safe(name).s);
	return r < 0 ? r : r ? 0 : ST_ENOENT;
}

int gw_store_agent_approve(struct gw_store *s, const char *host_id, const char *who)
{
	return by_name(s, Q_AGENT_APPROVE, host_id, who, "agent.approve");
}

int gw_store_agent_remove(struct gw_store *s, const char *host_id, const char *who)
{
	return by_name(s, Q_AGENT_REMOVE, host_id, who, "agent.remove");
}

int gw_store_agent_each(struct gw_store *s, gw_agent_fn *fn, void *arg)
{
	sqlite3_stmt *st = s->st[Q_AGENT_EACH];
	struct gw_agent_rec rec;
	int rc;

	while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
		agent_read(&rec, st);
		fn(arg, &rec);
	}
	done(st);
	return rc == SQLITE_DONE ? 0 : db_error(s, "list agents");
}

/* ---- access keys ---- */

static void key_make(struct gw_key_rec *rec)
{
	static const char base32[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
	uint8_t rnd[30];

	codec_random(rnd, sizeof(rnd));
	memcpy(rec->access_key, "AKIA", 4);
	for (size_t i = 4; i < GW_ACCESS_KEY_STR - 1; i++)
		rec->access_key[i] = base32[rnd[i] & 31U];
	rec->access_key[GW_ACCESS_KEY_STR - 1] = '\0';
	codec_random(rnd, sizeof(rnd));
	codec_b64_encode(rec->secret, rnd, sizeof(rnd)); /* 30 bytes are 40 characters */
	codec_wipe(rnd, sizeof(rnd));
}

int gw_store_key_add(struct gw_store *s, struct gw_key_rec *rec, const char *who)
{
	sqlite3_stmt *st = s->st[Q_KEY_ADD];
	int r;

	key_make(rec);
	rec->created = unix_ms_now() / 1000;
	bind_text(st, 1, rec->access_key);
	bind_text(st, 2, rec->secret);
	bind_text(st, 3, rec->name);
	bind_text(st, 4, rec->targets);
	sqlite3_bind_int64(st, 5, rec->created);
	sqlite3_bind_int(st, 6, (int)rec->kind);
	r = run_audited(s, Q_KEY_ADD, who, "key.add", rec->name);
	return r < 0 ? r : 0;
}

static void key_read(struct gw_key_rec *out, sqlite3_stmt *st)
{
	memset(out, 0, sizeof(*out));
	col_text(out->access_key, sizeof(out->access_key), st, 0);
	col_text(out->secret, sizeof(out->secret), st, 1);
	col_text(out->name, sizeof(out->name), st, 2);
	col_text(out->targets, sizeof(out->targets), st, 3);
	out->created = sqlite3_column_int64(st, 4);
	out->kind = sqlite3_column_int(st, 5) == GW_KEY_AGENT ? GW_KEY_AGENT : GW_KEY_CLIENT;
}

int gw_store_key_get(struct gw_store *s, const char *access_key, struct gw_key_rec *out)
{
	int r;

	bind_text(s->st[Q_KEY_GET], 1, access_key);
	if ((r = one_row(s, Q_KEY_GET)) < 0)
		return r;
	key_read(out, s->st[Q_KEY_GET]);
	done(s->st[Q_KEY_GET]);
	return 0;
}

int gw_store_key_remove(struct gw_store *s, const char *name, const char *who)
{
	return by_name(s, Q_KEY_REMOVE, name, who, "key.remove");
}

int gw_store_key_each(struct gw_store *s, gw_key_fn *fn, void *arg)
{
	sqlite3_stmt *st = s->st[Q_KEY_EACH];
	struct gw_key_rec rec;
	int rc;

	while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
		key_read(&rec, st);
		fn(arg, &rec);
	}
	done(st);
	return rc == SQLITE_DONE ? 0 : db_error(s, "list keys");
}

/* ---- sessions ---- */

int gw_store_session_add(struct gw_store *s, const struct gw_session_rec *rec)
{
	sqlite3_stmt *st = s->st[Q_SESSION_ADD];
	char detail[512];
	int r;

	bind_text(st, 1, rec->id);
	bind_text(st, 2, rec->key_name);
	bind_text(st, 3, rec->agent_uid);
	bind_text(st, 4, rec->host_id);
	bind_text(st, 5, rec->document);
	bind_text(st, 6, rec->reason);
	bind_text(st, 7, rec->boot_id);
	bind_text(st, 8, rec->output);
	sqlite3_bind_int64(st, 9, rec->started);
	sqlite3_bind_int64(st, 10, rec->ended);
	snprintf(detail, sizeof(detail), "%s to %s by %s", rec->id, rec->host_id, rec->document);
	r = run_audited(s, Q_SESSION_ADD, rec->key_name, "session.start", detail);
	return r < 0 ? r : 0;
}

int gw_store_session_end(struct gw_store *s, const char *id, const char *output, const char *who)
{
	sqlite3_stmt *st = s->st[Q_SESSION_END];
	char detail[512];
	int r;

	bind_text(st, 1, id);
	sqlite3_bind_int64(st, 2, unix_ms_now() / 1000);
	bind_text(st, 3, output);
	snprintf(detail, sizeof(detail), "%s %s", id, output);
	r = run_audited(s, Q_SESSION_END, who, "session.end", detail);
	return r < 0 ? r : 0;
}

static void session_read(struct gw_session_rec *out, sqlite3_stmt *st)
{
	memset(out, 0, sizeof(*out));
	col_text(out->id, sizeof(out->id), st, 0);
	col_text(out->key_name, sizeof(out->key_name), st, 1);
	col_text(out->agent_uid, sizeof(out->agent_uid), st, 2);
	col_text(out->host_id, sizeof(out->host_id), st, 3);
	col_text(out->document, sizeof(out->document), st, 4);
	col_text(out->reason, sizeof(out->reason), st, 5);
	col_text(out->boot_id, sizeof(out->boot_id), st, 6);
	col_text(out->output, sizeof(out->output), st, 7);
	out->started = sqlite3_column_int64(st, 8);
	out->ended = sqlite3_column_int64(st, 9);
}

int gw_store_session_get(struct gw_store *s, const char *id, struct gw_session_rec *out)
{
	int r;

	bind_text(s->st[Q_SESSION_GET], 1, id);
	if ((r = one_row(s, Q_SESSION_GET)) < 0)
		return r;
	session_read(out, s->st[Q_SESSION_GET]);
	done(s->st[Q_SESSION_GET]);
	return 0;
}

int gw_store_session_each(struct gw_store *s, const char *key_name, bool active, gw_session_fn *fn,
			  void *arg)
{
	sqlite3_stmt *st = s->st[Q_SESSION_EACH];
	struct gw_session_rec rec;
	int rc;

	if (key_name)
		bind_text(st, 1, key_name);
	sqlite3_bind_int(st, 2, active);
	while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
		session_read(&rec, st);
		fn(arg, &rec);
	}
	done(st);
	return rc == SQLITE_DONE ? 0 : db_error(s, "list sessions");
}
