// SPDX-License-Identifier: MIT
/* gw_store.h - what the gateway must not forget: agents, access keys, sessions, audit log (SQLite) */
#ifndef GATEWAY_GW_STORE_H
#define GATEWAY_GW_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/codec.h"
#include "base/util.h"

#define GW_NAME_MAX 128U   /* host_id and org_id; gateway.md, Registration */
#define GW_PUBKEY_LEN 32U  /* raw Ed25519 */
#define GW_TOKEN_BYTES 32U /* 256 random bits */
#define GW_TOKEN_STR CODEC_B64_LEN(GW_TOKEN_BYTES)
#define GW_ACCESS_KEY_STR 21U /* 20 characters as AWS's, and NUL */
#define GW_SECRET_STR 41U     /* 40 characters as AWS's, and NUL */
#define GW_SESSION_ID_STR 97U /* 96 characters; ssm-protocol 1.2 */
#define GW_KEY_NAME_MAX 64U   /* ours: leaves room for "-" and 17 hex digits in a SessionId */
#define GW_JSON_MAX 2048U     /* ours: bytes of the platform and network objects, each */

/* What stands behind a host: ssm-tun-agent, which proves itself by its Ed25519 key on /ws/agent, or an unchanged
 * amazon-ssm-agent, which signs with an access key of kind GW_KEY_AGENT. */
enum gw_agent_kind { GW_AGENT_OWN, GW_AGENT_STOCK };

struct gw_agent_rec {
	enum gw_agent_kind kind;
	char uid[CODEC_UUID_STR];
	char org_id[GW_NAME_MAX + 1];
	char host_id[GW_NAME_MAX + 1];
	uint8_t pubkey
		[GW_PUBKEY_LEN]; /* GW_AGENT_STOCK: zeroes, and nothing is ever checked against them */
	char machine_id_hash[GW_NAME_MAX + 1];
	char version[GW_NAME_MAX + 1];
	char platform[GW_JSON_MAX]; /* JSON text of an object */
	char network[GW_JSON_MAX];
	bool approved;
	uint32_t max_payload;	    /* bytes; SSM_CHUNK if the agent did not say */
	int64_t created, last_seen; /* Unix seconds */
};

/* Whose key it is. A client's starts and sees sessions; an agent's makes control and data channels for the
 * instance ids of its glob. Neither may do what the other does. */
enum gw_key_kind { GW_KEY_CLIENT, GW_KEY_AGENT };

struct gw_key_rec {
	enum gw_key_kind kind;
	char access_key[GW_ACCESS_KEY_STR];
	char secret[GW_SECRET_STR]; /* wipe after use */
	char name[GW_KEY_NAME_MAX + 1];
	char targets[GW_NAME_MAX + 1]; /* a glob over host_id */
	int64_t created;
};

struct gw_session_rec {
	char id[GW_SESSION_ID_STR];
	char key_name[GW_KEY_NAME_MAX + 1];
	char agent_uid[CODEC_UUID_STR];
	char host_id[GW_NAME_MAX + 1];
	char document[129];
	char reason[257]; /* made harmless before it is stored */
	char boot_id[65]; /* of the agent's process, "" if it told none */
	char output[257];
	int64_t started, ended; /* Unix seconds; ended 0: active */
};

struct gw_store;

/**
 * gw_store_open() - the store in @dir, which gw_store_create() has made
 * Several processes may have it open: the running gateway and the keys and agents commands. A store of an earlier
 * version is brought up to date first.
 * Return: 0 and *@out; ST_ENOENT (logged); ST_EUNSUPPORTED for a store of a later version (logged); ST_ESYS for anything
 * SQLite says (logged); ST_EINVAL the path is too long; ST_ENOMEM
 */
int gw_store_open(struct gw_store **out, const char *dir);
/** gw_store_create() - a new, empty store. Return: 0; ST_EEXIST (logged); ST_ESYS */
int gw_store_create(const char *dir);
void gw_store_close(struct gw_store *s); /* NULL is fine */

/* Every call that changes something has it on the disk when it returns 0, also through kill -9 or a power cut. */

/** gw_store_agent_by_host(), _by_uid() - Return: 0; ST_ENOENT; ST_ESYS. @out may be NULL. */
int gw_store_agent_by_host(struct gw_store *s, const char *host_id, struct gw_agent_rec *out);
int gw_store_agent_by_uid(struct gw_store *s, const char *uid, struct gw_agent_rec *out);

/* The two tokens that a registration hands out; only their SHA-256 is kept. */
struct gw_agent_tokens {
	char bootstrap[GW_TOKEN_STR];
	char session[GW_TOKEN_STR];
	int64_t session_until; /* Unix seconds */
};

/** gw_store_agent_put() - adds or replaces (same uid) an agent with its tokens, and one audit line by @who */
int gw_store_agent_put(struct gw_store *s, const struct gw_agent_rec *rec,
		       const struct gw_agent_tokens *tokens, const char *who);
/** gw_store_agent_auth() - is @token the bootstrap token, or the live session token, of agent @uid?
 * Return: 0 and *@out; ST_EAUTH (unknown agent too); ST_ESYS */
int gw_store_agent_auth(struct gw_store *s, const char *uid, const char *token, int64_t unix_s,
			struct gw_agent_rec *out);
int gw_store_agent_seen(struct gw_store *s, const char *uid, int64_t unix_s);
int gw_store_agent_limit(struct gw_store *s, const char *uid, uint32_t max_payload);
/** gw_store_agent_info() - version, platform, network and last_seen of @rec->uid become @rec's. Return: 0; ST_ENOENT; ST_ESYS */
int gw_store_agent_info(struct gw_store *s, const struct gw_agent_rec *rec);
/** gw_store_agent_count() - agents of that kind. Return: their number; ST_ESYS */
int gw_store_agent_count(struct gw_store *s, enum gw_agent_kind kind);
/** gw_store_agent_approve(), _remove() - Return: 0; ST_ENOENT; ST_ESYS */
int gw_store_agent_approve(struct gw_store *s, const char *host_id, const char *who);
int gw_store_agent_remove(struct gw_store *s, const char *host_id, const char *who);
/** gw_store_agent_each() - in the order of host_id; @fn must not change the store. Return: 0; ST_ESYS */
typedef void gw_agent_fn(void *arg, const struct gw_agent_rec *rec);
int gw_store_agent_each(struct gw_store *s, gw_agent_fn *fn, void *arg);

/** gw_store_key_add() - @rec has kind, name and targets, and gets the rest. Return: 0; ST_EEXIST (the name); ST_ESYS */
int gw_store_key_add(struct gw_store *s, struct gw_key_rec *rec, const char *who);
int gw_store_key_get(struct gw_store *s, const char *access_key, struct gw_key_rec *out);
int gw_store_key_remove(struct gw_store *s, const char *name, const char *who);
/** gw_store_key_each() - without secrets (""), in the order of names */
typedef void gw_key_fn(void *arg, const struct gw_key_rec *rec);
int gw_store_key_each(struct gw_store *s, gw_key_fn *fn, void *arg);

int gw_store_session_add(struct gw_store *s, const struct gw_session_rec *rec);
/** gw_store_session_end() - Return: 0, also if it had ended; ST_ESYS */
int gw_store_session_end(struct gw_store *s, const char *id, const char *output, const char *who);
int gw_store_session_get(struct gw_store *s, const char *id, struct gw_session_rec *out);
/** gw_store_session_each() - sessions of @key_name (NULL: of all), active or ended, newest first */
typedef void gw_session_fn(void *arg, const struct gw_session_rec *rec);
int gw_store_session_each(struct gw_store *s, const char *key_name, bool active, gw_session_fn *fn,
			  void *arg);

/** gw_store_audit() - one line that nothing changes or removes: who, what, and @detail (harmless text) */
int gw_store_audit(struct gw_store *s, const char *who, const char *what, const char *detail);

#endif
