// SPDX-License-Identifier: MIT
/*
 * gw_register.c - who an agent is, proved by its Ed25519 key
 *
 * Theory of operation: init remembers key, host_id and a nonce under a random registration id;
 * complete takes that entry away (an id serves once), checks the signature over
 * nonce ‖ server_time ‖ host_id and writes the agent to the store before it answers. Agents of this
 * family sign the nonce as base64 text or as raw bytes: either is accepted. Entries live in memory
 * only, since the signature needs the nonce itself: after a restart an agent simply begins again.
 * Two bounds keep strangers from filling memory: GWR_PENDING_MAX entries, and GWR_RATE_MAX inits a
 * minute from one address, of which the least recently seen is forgotten when the table is full.
 */
#include "gateway/gw_register.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/evp.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/log.h"
#include "base/text.h"
#include "gateway/gw_envelope.h"
#include "proto/ssm_chan.h"

#define NONCE_LEN 32U
#define SIGNATURE_LEN 64U
#define ADDRESSES_MAX 4096U /* ours */

struct pending {
	char id[CODEC_UUID_STR]; /* "": free */
	uint64_t until_ms;
	uint8_t nonce[NONCE_LEN];
	char server_time[GW_TIME_STR];
	struct gw_agent_rec rec; /* what init told */
};

struct address {
	struct net_addr addr;	      /* family 0: free */
	uint64_t at_ms[GWR_RATE_MAX]; /* a ring of the last inits */
	uint32_t n, next;
	uint64_t last_ms;
};

struct gwr {
	struct gw_store *store;
	bool approve;
	struct pending *pending;   /* GWR_PENDING_MAX */
	struct address *addresses; /* ADDRESSES_MAX */
};

void gw_time_str(char out[GW_TIME_STR], int64_t unix_s)
{
	time_t t = (time_t)unix_s;
	struct tm tm;

	if (!gmtime_r(&t, &tm) || !strftime(out, GW_TIME_STR, "%Y-%m-%dT%H:%M:%SZ", &tm))
		out[0] = '\0';
}

int gwr_new(struct gwr **out, struct gw_store *store, bool approve)
{
	struct gwr *r = calloc(1, sizeof(*r));

	if (!r)
		return ST_ENOMEM;
	r->store = store;
	r->approve = approve;
	r->pending = calloc(GWR_PENDING_MAX, sizeof(*r->pending));
	r->addresses = calloc(ADDRESSES_MAX, sizeof(*r->addresses));
	if (!r->pending || !r->addresses) {
		gwr_free(r);
		return ST_ENOMEM;
	}
	*out = r;
	return 0;
}

void gwr_free(struct gwr *r)
{
	if (!r)
		return;
	free(r->pending);
	free(r->addresses);
	free(r);
}

bool gwr_must_approve(const struct gwr *r)
{
	return r->approve;
}

bool gwr_name_ok(const char *s)
{
	static const char alnum[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
	size_t len = s ? strlen(s) : 0;

	return len > 0 && len <= GW_NAME_MAX && strchr(alnum, s[0]) &&
	       strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") ==
		       len;
}

uint32_t gwr_max_payload(const json_t *capabilities)
{
	json_int_t v = json_integer_value(json_object_get(capabilities, "max_payload_bytes"));

	if (v < (json_int_t)SSM_CHUNK)
		return SSM_CHUNK;
	return (uint32_t)MIN(v, (json_int_t)SSM_PAYLOAD_MAX);
}

static void refuse(struct gwr_answer *a, int status, const char *code, const char *message)
{
	a->status = status;
	a->code = code;
	a->message = message;
}

/* ---- the limit of one address ---- */

static struct address *address_find(struct gwr *r, const struct net_addr *peer)
{
	struct net_addr key = *peer;
	struct address *oldest = &r->addresses[0];

	if (key.family == 6)
		memset(key.b + 8, 0, 8); /* whoever has one address of a /64 has them all */
	for (size_t i = 0; i < ADDRESSES_MAX; i++) {
		struct address *a = &r->addresses[i];

		if (a->addr.family && net_addr_eq(&a->addr, &key))
			return a;
		if (!a->addr.family || (oldest->addr.family && a->last_ms < oldest->last_ms))
			oldest = a;
		if (!a->addr.family)
			break; /* entries are filled from the front and never emptied */
	}
	*oldest = (struct address){ .addr = key };
	return oldest;
}

static bool rate_ok(struct gwr *r, const struct net_addr *peer, uint64_t now_ms)
{
	struct address *a = address_find(r, peer);

	a->last_ms = now_ms;
	if (a->n == GWR_RATE_MAX && now_ms - a->at_ms[a->next] < GWR_RATE_MS)
		return false;
	a->at_ms[a->next] = now_ms;
	a->next = (a->next + 1) % GWR_RATE_MAX;
	a->n = MIN(a->n + 1, GWR_RATE_MAX);
	return true;
}

/* ---- pending registrations ---- */

static struct pending *pending_free_slot(struct gwr *r, uint64_t now_ms)
{
	for (size_t i = 0; i < GWR_PENDING_MAX; i++)
		if (!r->pending[i].id[0] || r->pending[i].until_ms <= now_ms)
			return &r->pending[i];
	return NULL;
}

static struct pending *pending_find(struct gwr *r, const char *id, uint64_t now_ms)
{
	for (size_t i = 0; i < GWR_PENDING_MAX; i++) {
		struct pending *p = &r->pending[i];

		if (p->id[0] && p->until_ms > now_ms && strcmp(p->id, id) == 0)
			return p;
	}
	return NULL;
}

uint32_t gwr_pending(const struct gwr *r, uint64_t now_ms)
{
	uint32_t n = 0;

	for (size_t i = 0; i < GWR_PENDING_MAX; i++)
		n += r->pending[i].id[0] && r->pending[i].until_ms > now_ms;
	return n;
}

/* ---- first step ---- */

/* An optional string member that is shown to people, made harmless. Return: false if it is there and no string */
static bool text_member(char *dst, size_t cap, const json_t *body, const char *key)
{
	const json_t *v = json_object_get(body, key);

	text_copy(dst, cap, json_is_string(v) ? text_safe(json_string_value(v)).s : "");
	return !v || json_is_null(v) || json_is_string(v);
}

/* An optional object member as harmless JSON text. Return: false if it is no object or too large */
static bool object_member(char *dst, size_t cap, const json_t *body, const char *key)
{
	const json_t *v = json_object_get(body, key);
	json_t *safe;
	size_t n;

	text_copy(dst, cap, "{}");
	if (!v || json_is_null(v))
		return true;
	if (!json_is_object(v) || !(safe = json_safe_copy(v)))
		return false;
	n = json_dumpb(safe, dst, cap - 1, JSON_COMPACT);
	json_decref(safe);
	if (n == 0 || n > cap - 1)
		return false;
	dst[n] = '\0';
	return true;
}

static const char *init_read(struct gw_agent_rec *rec, const json_t *body)
{
	const char *org = json_str(body, "org_id"), *host = json_str(body, "host_id");
	const char *key = json_str(body, "agent_pubkey");
	const json_t *caps = json_object_get(body, "capabilities");

	if (!gwr_name_ok(host))
		return "host_id must match [A-Za-z0-9][A-Za-z0-9._-]{0,127}";
	if (!gwr_name_ok(org))
		return "org_id must match [A-Za-z0-9][A-Za-z0-9._-]{0,127}";
	if (!key || codec_b64_decode(rec->pubkey, sizeof(rec->pubkey), key, strlen(key)) !=
			    (ssize_t)GW_PUBKEY_LEN)
		return "agent_pubkey must be base64 of a raw Ed25519 key of 32 bytes";
	if (caps && !json_is_object(caps) && !json_is_array(caps) && !json_is_null(caps))
		return "capabilities must be an object or an array";
	if (!text_member(rec->machine_id_hash, sizeof(rec->machine_id_hash), body,
			 "machine_id_hash") ||
	    !text_member(rec->version, sizeof(rec->version), body, "agent_version"))
		return "machine_id_hash and agent_version must be strings";
	if (!object_member(rec->platform, sizeof(rec->platform), body, "platform") ||
	    !object_member(rec->network, sizeof(rec->network), body, "network"))
		return "platform and network must be objects of at most 2 KiB";
	text_copy(rec->host_id, sizeof(rec->host_id), host);
	text_copy(rec->org_id, sizeof(rec->org_id), org);
	rec->max_payload = gwr_max_payload(caps);
	return NULL;
}

/* Is the host_id free, or this very key's? 0; ST_EEXIST: another key's, or a stock agent's; ST_ESYS. *@known: the record of before */
static int host_check(struct gwr *r, const struct gw_agent_rec *rec, struct gw_agent_rec *known,
		      bool *exists)
{
	int e = gw_store_agent_by_host(r->store, rec->host_id, known);

	*exists = e == 0;
	if (e == ST_ENOENT)
		return 0;
	if (e == 0 &&
	    (known->kind != GW_AGENT_OWN || memcmp(known->pubkey, rec->pubkey, GW_PUBKEY_LEN) != 0))
		return ST_EEXIST;
	return e;
}

static bool host_refused(int e, struct gwr_answer *a)
{
	if (e == ST_EEXIST)
		refuse(a, 409, "host_exists",
		       "this host_id is registered with another key; an operator must remove it "
		       "first");
	else if (e < 0)
		refuse(a, 500, "internal", "the store failed");
	return e < 0;
}

static void uuid_text(char out[CODEC_UUID_STR])
{
	uint8_t raw[CODEC_UUID_LEN];

	codec_uuid4(raw);
	codec_uuid_str(out, raw);
}

void gwr_init(struct gwr *r, struct gwr_answer *a, const json_t *body, const struct net_addr *peer,
	      uint64_t now_ms, int64_t unix_s)
{
	struct gw_agent_rec rec = { 0 }, known;
	char nonce[CODEC_B64_LEN(NONCE_LEN)];
	struct pending *p;
	const char *why;
	bool exists;

	*a = (struct gwr_answer){ .status = 200 };
	if (!rate_ok(r, peer, now_ms)) {
		refuse(a, 429, "rate_limited",
		       "more than 10 registrations a minute from this address");
		return;
	}
	if ((why = init_read(&rec, body))) {
		refuse(a, 400, "invalid_request", why);
		return;
	}
	if (host_refused(host_check(r, &rec, &known, &exists), a))
		return;
	if (!(p = pending_free_slot(r, now_ms))) {
		refuse(a, 429, "too_many_pending", "too many registrations are pending");
		return;
	}
	*p = (struct pending){ .until_ms = now_ms + GWR_LIFE_MS, .rec = rec };
	uuid_text(p->id);
	codec_random(p->nonce, sizeof(p->nonce));
	codec_b64_encode(nonce, p->nonce, sizeof(p->nonce));
	gw_time_str(p->server_time, unix_s);
	a->body = json_pack("{s:s, s:s, s:s, s:s}", "registration_id", p->id, "nonce", nonce,
			    "server_time", p->server_time, "status", "pending");
}

/* ---- second step ---- */

static bool ed25519_verify(const uint8_t key[GW_PUBKEY_LEN], const uint8_t sig[SIGNATURE_LEN],
			   const uint8_t *text, size_t len)
{
	EVP_PKEY *pkey = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, key, GW_PUBKEY_LEN);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool good = pkey && ctx && EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, pkey) == 1 &&
		    EVP_DigestVerify(ctx, sig, SIGNATURE_LEN, text, len) == 1;

	EVP_MD_CTX_free(ctx);
	EVP_PKEY_free(pkey);
	return good;
}

static bool signature_ok(const struct pending *p, const uint8_t sig[SIGNATURE_LEN])
{
	char nonce[CODEC_B64_LEN(NONCE_LEN)];
	struct buf b;
	bool good = false;

	codec_b64_encode(nonce, p->nonce, sizeof(p->nonce));
	buf_init(&b, 512);
	if (buf_printf(&b, "%s%s%s", nonce, p->server_time, p->rec.host_id) == 0)
		good = ed25519_verify(p->rec.pubkey, sig, buf_data(&b), b.len);
	buf_consume(&b, b.len);
	if (!good && buf_put(&b, p->nonce, sizeof(p->nonce)) == 0 &&
	    buf_printf(&b, "%s%s", p->server_time, p->rec.host_id) == 0)
		good = ed25519_verify(p->rec.pubkey, sig, buf_data(&b), b.len);
	buf_fini(&b);
	return good;
}

static void token_make(char out[GW_TOKEN_STR])
{
	uint8_t raw[GW_TOKEN_BYTES];

	codec_random(raw, sizeof(raw));
	codec_b64url_encode(out, raw, sizeof(raw));
	codec_wipe(raw, sizeof(raw));
}

/* Keeps uid, first date and approval of a host that comes again with its key. */
static int agent_enrol(struct gwr *r, struct gwr_answer *a, struct gw_agent_rec *rec,
		       int64_t unix_s)
{
	struct gw_agent_tokens tokens = { .session_until = unix_s + GWR_SESSION_TOKEN_S };
	struct gw_agent_rec known;
	bool exists;
	int e;

	if (host_refused(e = host_check(r, rec, &known, &exists), a))
		return e;
	if (exists)
		text_copy(rec->uid, sizeof(rec->uid), known.uid);
	else
		uuid_text(rec->uid);
	rec->created = exists ? known.created : unix_s;
	rec->approved = exists ? known.approved : !r->approve;
	rec->last_seen = unix_s;
	token_make(tokens.bootstrap);
	token_make(tokens.session);
	if ((e = gw_store_agent_put(r->store, rec, &tokens, rec->host_id)) < 0)
		refuse(a, 500, "internal", "the store failed");
	else
		a->body = json_pack("{s:s, s:s, s:s, s:s}", "agent_uid", rec->uid, "status",
				    "registered", "bootstrap_token", tokens.bootstrap,
				    "session_token", tokens.session);
	codec_wipe(&tokens, sizeof(tokens));
	return e;
}

void gwr_complete(struct gwr *r, struct gwr_answer *a, const json_t *body, uint64_t now_ms,
		  int64_t unix_s)
{
	const char *id = json_str(body, "registration_id"), *host = json_str(body, "host_id");
	const char *sig64 = json_str(body, "signature");
	uint8_t sig[SIGNATURE_LEN];
	struct pending *p, taken;

	*a = (struct gwr_answer){ .status = 200 };
	if (!id || !host || !sig64 ||
	    codec_b64_decode(sig, sizeof(sig), sig64, strlen(sig64)) != (ssize_t)SIGNATURE_LEN) {
		refuse(a, 400, "invalid_request",
		       "registration_id, host_id and signature (base64 of 64 bytes) are needed");
		return;
	}
	if (!(p = pending_find(r, id, now_ms))) {
		refuse(a, 404, "unknown_registration", "unknown, used or expired registration_id");
		return;
	}
	taken = *p;
	codec_wipe(p, sizeof(*p)); /* id[0] is 0: the entry is free and the id spent */
	if (strcmp(host, taken.rec.host_id) != 0 || !signature_ok(&taken, sig)) {
		refuse(a, 401, "bad_signature", "the signature does not fit the registration");
		gw_store_audit(r->store, taken.rec.host_id, "agent.denied", "bad signature");
		return;
	}
	if (agent_enrol(r, a, &taken.rec, unix_s) < 0)
		return;
	text_copy(a->agent_uid, sizeof(a->agent_uid), taken.rec.uid);
	text_copy(a->host_id, sizeof(a->host_id), taken.rec.host_id);
	log_info("agent %s: registered as %s%s", taken.rec.host_id, taken.rec.uid,
		 taken.rec.approved ? "" : ", waits for approval");
}
