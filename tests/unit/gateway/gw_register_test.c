// SPDX-License-Identifier: MIT
/*
 * gw_register_test.c - the two steps, against a store in a temporary folder
 *
 * Cases: both forms of the signed text, and nothing else; a wrong key; replay; an id bound to its host_id; expiry
 * to the millisecond; the same key keeps its uid, another one is refused, also when it came between the steps;
 * names at their limits; members of wrong types; 10 a minute and address, IPv6 by /64; 1,024 pending; approval;
 * tokens authenticate, the session token for an hour; foreign text is stored harmless.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>
#include <openssl/evp.h>

#include "base/err.h"
#include "base/log.h"
#include "base/util.h"
#include "gateway/gw_envelope.h"
#include "gateway/gw_register.h"
#include "gateway_test.h"

#define T0_MS 1000000U
#define UNIX_S 1763650000

struct agent {
	EVP_PKEY *key;
	char pub64[64];
};

struct fixture {
	char dir[64];
	struct gw_store *store;
	struct gwr *reg;
	struct agent a, b;
	uint32_t addresses; /* a fresh one for each init, so that the rate does not matter */
};

enum form { NONCE_TEXT, NONCE_BYTES, NONCE_HEX, NO_HOST };

static void agent_make(struct agent *a)
{
	uint8_t pub[32];
	size_t len = sizeof(pub);

	a->key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	assert_non_null(a->key);
	assert_int_equal(EVP_PKEY_get_raw_public_key(a->key, pub, &len), 1);
	codec_b64_encode(a->pub64, pub, len);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_int_equal(test_store_make(f->dir, &f->store), 0);
	assert_int_equal(gwr_new(&f->reg, f->store, false), 0);
	agent_make(&f->a);
	agent_make(&f->b);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	gwr_free(f->reg);
	gw_store_close(f->store);
	EVP_PKEY_free(f->a.key);
	EVP_PKEY_free(f->b.key);
	test_dir_remove(f->dir);
	free(f);
	return 0;
}

static json_t *init_body(const struct agent *a, const char *host)
{
	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:{}, s:{s:s, s:s}, s:{}}", "org_id", "org",
			 "host_id", host, "agent_pubkey", a->pub64, "machine_id_hash", "mh",
			 "agent_version", "1.0", "capabilities", "platform", "arch", "x86_64", "os",
			 "linux", "network");
}

static struct gwr_answer init_from(struct fixture *f, json_t *body, struct net_addr peer,
				   uint64_t at)
{
	struct gwr_answer a;

	gwr_init(f->reg, &a, body, &peer, at, UNIX_S);
	json_decref(body);
	assert_int_equal(a.status == 200, a.body != NULL);
	assert_int_equal(a.status != 200, a.code != NULL);
	return a;
}

static struct net_addr fresh_peer(struct fixture *f)
{
	struct net_addr peer = { .family = 4 };

	be32_put(peer.b, UINT32_C(0x0a000000) + ++f->addresses);
	return peer;
}

static json_t *init_ok(struct fixture *f, const struct agent *a, const char *host)
{
	struct gwr_answer ans = init_from(f, init_body(a, host), fresh_peer(f), T0_MS);

	assert_int_equal(ans.status, 200);
	assert_string_equal(json_str(ans.body, "status"), "pending");
	return ans.body;
}

static void sign(char out[128], const struct agent *a, const json_t *challenge, const char *host,
		 enum form form)
{
	const char *nonce = json_str(challenge, "nonce"), *at = json_str(challenge, "server_time");
	uint8_t text[512], raw[32], sig[64];
	size_t n = 0, sig_len = sizeof(sig);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	char hex[65];

	assert_int_equal(codec_b64_decode(raw, sizeof(raw), nonce, strlen(nonce)), 32);
	codec_hex(hex, raw, sizeof(raw));
	if (form == NONCE_BYTES) {
		memcpy(text, raw, n = sizeof(raw));
	} else {
		n = strlen(form == NONCE_HEX ? hex : nonce);
		memcpy(text, form == NONCE_HEX ? hex : nonce, n);
	}
	n += (size_t)sprintf((char *)text + n, "%s%s", at, form == NO_HOST ? "" : host);
	assert_int_equal(EVP_DigestSignInit(ctx, NULL, NULL, NULL, a->key), 1);
	assert_int_equal(EVP_DigestSign(ctx, sig, &sig_len, text, n), 1);
	EVP_MD_CTX_free(ctx);
	codec_b64_encode(out, sig, sizeof(sig));
}

static struct gwr_answer complete(struct fixture *f, const struct agent *a, json_t *challenge,
				  const char *host, enum form form, uint64_t at)
{
	struct gwr_answer ans;
	char sig[128];
	json_t *body;

	sign(sig, a, challenge, host, form);
	body = json_pack("{s:s, s:s, s:s}", "registration_id",
			 json_str(challenge, "registration_id"), "host_id", host, "signature", sig);
	gwr_complete(f->reg, &ans, body, at, UNIX_S);
	json_decref(body);
	return ans;
}

/* Both steps. Return: the uid, to be freed */
static char *register_ok(struct fixture *f, const struct agent *a, const char *host, enum form form)
{
	json_t *challenge = init_ok(f, a, host);
	struct gwr_answer ans = complete(f, a, challenge, host, form, T0_MS + 1);
	char *uid;

	assert_int_equal(ans.status, 200);
	assert_string_equal(json_str(ans.body, "status"), "registered");
	assert_string_equal(json_str(ans.body, "agent_uid"), ans.agent_uid);
	assert_string_equal(ans.host_id, host);
	uid = strdup(ans.agent_uid);
	json_decref(ans.body);
	json_decref(challenge);
	return uid;
}

static void complete_refused(struct fixture *f, const struct agent *a, json_t *challenge,
			     const char *host, enum form form, uint64_t at, int status)
{
	struct gwr_answer ans = complete(f, a, challenge, host, form, at);

	assert_int_equal(ans.status, status);
	assert_null(ans.body);
	assert_non_null(ans.code);
}

static void test_both_forms(void **state)
{
	struct fixture *f = *state;
	char *one = register_ok(f, &f->a, "h1", NONCE_TEXT);
	char *two = register_ok(f, &f->a, "h2", NONCE_BYTES);

	assert_string_not_equal(one, two);
	assert_int_equal(gw_store_agent_by_host(f->store, "h2", NULL), 0);
	free(one);
	free(two);
}

static void test_wrong_signatures(void **state)
{
	struct fixture *f = *state;
	static const enum form forms[] = { NONCE_HEX, NO_HOST };
	json_t *c;

	for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
		c = init_ok(f, &f->a, "h1");
		complete_refused(f, &f->a, c, "h1", forms[i], T0_MS, 401);
		json_decref(c);
	}
	c = init_ok(f, &f->a, "h1");
	complete_refused(f, &f->b, c, "h1", NONCE_TEXT, T0_MS, 401);
	complete_refused(f, &f->a, c, "h1", NONCE_TEXT, T0_MS,
			 404); /* the wrong one has spent the id */
	json_decref(c);
	c = init_ok(f, &f->a, "h1");
	complete_refused(f, &f->a, c, "h2", NONCE_TEXT, T0_MS, 401); /* bound to its host_id */
	json_decref(c);
	assert_int_equal(gw_store_agent_by_host(f->store, "h1", NULL), ST_ENOENT);
	assert_int_equal(gw_store_agent_by_host(f->store, "h2", NULL), ST_ENOENT);
}

static void test_replay(void **state)
{
	struct fixture *f = *state;
	json_t *c = init_ok(f, &f->a, "h1");
	struct gwr_answer ans = complete(f, &f->a, c, "h1", NONCE_TEXT, T0_MS);

	assert_int_equal(ans.status, 200);
	json_decref(ans.body);
	complete_refused(f, &f->a, c, "h1", NONCE_TEXT, T0_MS, 404);
	json_decref(c);
}

static void test_expiry(void **state)
{
	struct fixture *f = *state;
	json_t *c = init_ok(f, &f->a, "h1");
	struct gwr_answer ans;

	assert_int_equal(gwr_pending(f->reg, T0_MS + GWR_LIFE_MS - 1), 1);
	assert_int_equal(gwr_pending(f->reg, T0_MS + GWR_LIFE_MS), 0);
	complete_refused(f, &f->a, c, "h1", NONCE_TEXT, T0_MS + GWR_LIFE_MS, 404);
	ans = complete(f, &f->a, c, "h1", NONCE_TEXT, T0_MS + GWR_LIFE_MS - 1);
	assert_int_equal(ans.status, 200);
	json_decref(ans.body);
	json_decref(c);
}

static void test_again(void **state)
{
	struct fixture *f = *state;
	char *one = register_ok(f, &f->a, "h1", NONCE_TEXT);
	char *two = register_ok(f, &f->a, "h1", NONCE_BYTES);
	json_t *late;
	struct gwr_answer ans;

	assert_string_equal(one, two);
	ans = init_from(f, init_body(&f->b, "h1"), fresh_peer(f), T0_MS);
	assert_int_equal(ans.status, 409);
	late = init_ok(f, &f->b, "h2"); /* both began before either was there */
	free(two);
	two = register_ok(f, &f->a, "h2", NONCE_TEXT);
	complete_refused(f, &f->b, late, "h2", NONCE_TEXT, T0_MS, 409);
	json_decref(late);
	assert_int_equal(gw_store_agent_remove(f->store, "h1", "test"), 0);
	free(two);
	two = register_ok(f, &f->b, "h1", NONCE_TEXT);
	assert_string_not_equal(one, two);
	free(one);
	free(two);
}

static void test_names(void **state)
{
	char longest[GW_NAME_MAX + 2];

	(void)state;
	memset(longest, 'a', sizeof(longest));
	longest[GW_NAME_MAX] = '\0';
	assert_true(gwr_name_ok(longest));
	longest[GW_NAME_MAX] = 'a';
	longest[GW_NAME_MAX + 1] = '\0';
	assert_false(gwr_name_ok(longest));
	assert_true(gwr_name_ok("0"));
	assert_true(gwr_name_ok("A.b_c-d"));
	assert_false(gwr_name_ok(""));
	assert_false(gwr_name_ok(NULL));
	assert_false(gwr_name_ok("-a"));
	assert_false(gwr_name_ok(".a"));
	assert_false(gwr_name_ok("a b"));
	assert_false(gwr_name_ok("a/b"));
	assert_false(gwr_name_ok("h\x1b[31m"));
	assert_false(gwr_name_ok("h\xc3\xa9"));
}

static void test_bad_bodies(void **state)
{
	static const char *const patches[] = {
		"{\"host_id\":null}",
		"{\"host_id\":7}",
		"{\"host_id\":\"h\\u001b[2J\"}",
		"{\"org_id\":\"\"}",
		"{\"org_id\":\"../x\"}",
		"{\"agent_pubkey\":\"AAAA\"}",
		"{\"agent_pubkey\":\"no base64 at all, but forty-four bytes long!!\"}",
		"{\"agent_pubkey\":null}",
		"{\"capabilities\":7}",
		"{\"platform\":[]}",
		"{\"network\":\"x\"}",
		("{\"network\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{"
		 "\"a\":1}}}}}}}}}}}"),
		"{\"machine_id_hash\":{}}",
		"{\"agent_version\":1}",
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_LEN(patches); i++) {
		json_t *body = init_body(&f->a, "h1"), *patch = json_loads(patches[i], 0, NULL);

		assert_non_null(patch);
		json_object_update(body, patch);
		json_decref(patch);
		if (init_from(f, body, fresh_peer(f), T0_MS).status != 400)
			fail_msg("accepted: %s", patches[i]);
	}
	assert_int_equal(init_from(f, json_object(), fresh_peer(f), T0_MS).status, 400);
	assert_int_equal(gwr_pending(f->reg, T0_MS), 0);
}

static void test_bad_completes(void **state)
{
	struct fixture *f = *state;
	static const char *const bodies[] = {
		"{}",
		"{\"registration_id\":\"x\",\"host_id\":\"h\"}",
		"{\"registration_id\":\"x\",\"host_id\":\"h\",\"signature\":\"AAAA\"}",
		"{\"registration_id\":1,\"host_id\":\"h\",\"signature\":\"AAAA\"}",
	};
	struct gwr_answer a;

	for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
		json_t *body = json_loads(bodies[i], 0, NULL);

		gwr_complete(f->reg, &a, body, T0_MS, UNIX_S);
		assert_int_equal(a.status, 400);
		json_decref(body);
	}
}

static void test_rate(void **state)
{
	struct fixture *f = *state;
	struct net_addr six = { .family = 6, .b = { 0x20, 0x01, 0x0d, 0xb8 } };
	struct net_addr four = { .family = 4, .b = { 192, 0, 2, 1 } };
	struct gwr_answer a;

	for (uint32_t i = 0; i < GWR_RATE_MAX; i++) {
		a = init_from(f, init_body(&f->a, "h1"), four, T0_MS + i);
		assert_int_equal(a.status, 200);
		json_decref(a.body);
		six.b[15] = (uint8_t)i; /* other addresses of one /64 */
		a = init_from(f, init_body(&f->a, "h1"), six, T0_MS + i);
		assert_int_equal(a.status, 200);
		json_decref(a.body);
	}
	assert_int_equal(init_from(f, init_body(&f->a, "h1"), four, T0_MS + 100).status, 429);
	assert_int_equal(init_from(f, init_body(&f->a, "h1"), six, T0_MS + 100).status, 429);
	assert_int_equal(init_from(f, json_object(), four, T0_MS + 100).status, 429);
	assert_int_equal(init_from(f, init_body(&f->a, "h1"), four, T0_MS + GWR_RATE_MS - 1).status,
			 429);
	a = init_from(f, init_body(&f->a, "h1"), four, T0_MS + GWR_RATE_MS);
	assert_int_equal(a.status, 200);
	json_decref(a.body);
	a = init_from(f, init_body(&f->a, "h1"), fresh_peer(f), T0_MS + 100);
	assert_int_equal(a.status, 200);
	json_decref(a.body);
}

static void test_pending_limit(void **state)
{
	struct fixture *f = *state;
	struct gwr_answer a;

	for (uint32_t i = 0; i < GWR_PENDING_MAX; i++)
		json_decref(init_ok(f, &f->a, "h1"));
	assert_int_equal(gwr_pending(f->reg, T0_MS), GWR_PENDING_MAX);
	assert_int_equal(init_from(f, init_body(&f->a, "h1"), fresh_peer(f), T0_MS).status, 429);
	a = init_from(f, init_body(&f->a, "h1"), fresh_peer(f), T0_MS + GWR_LIFE_MS);
	assert_int_equal(a.status, 200);
	json_decref(a.body);
}

static void test_approval(void **state)
{
	struct fixture *f = *state;
	struct gw_agent_rec rec;
	char *one;

	gwr_free(f->reg);
	assert_int_equal(gwr_new(&f->reg, f->store, true), 0);
	free(register_ok(f, &f->a, "h1", NONCE_TEXT));
	assert_int_equal(gw_store_agent_by_host(f->store, "h1", &rec), 0);
	assert_false(rec.approved);
	assert_int_equal(gw_store_agent_approve(f->store, "h1", "test"), 0);
	one = register_ok(f, &f->a, "h1", NONCE_TEXT); /* coming again does not lose the approval */
	assert_int_equal(gw_store_agent_by_uid(f->store, one, &rec), 0);
	assert_true(rec.approved);
	free(one);
}

static void test_tokens(void **state)
{
	struct fixture *f = *state;
	json_t *c = init_ok(f, &f->a, "h1");
	struct gwr_answer a = complete(f, &f->a, c, "h1", NONCE_TEXT, T0_MS);
	const char *boot = json_str(a.body, "bootstrap_token"),
		   *sess = json_str(a.body, "session_token");
	struct gw_agent_rec rec;

	assert_true(strlen(boot) >= 43 && strlen(sess) >= 43);
	assert_int_equal(gw_store_agent_auth(f->store, a.agent_uid, boot, UNIX_S, &rec), 0);
	assert_string_equal(rec.host_id, "h1");
	assert_int_equal(gw_store_agent_auth(f->store, a.agent_uid, boot, UNIX_S + 1000000, &rec),
			 0);
	assert_int_equal(gw_store_agent_auth(f->store, a.agent_uid, sess, UNIX_S + 3599, &rec), 0);
	assert_int_equal(gw_store_agent_auth(f->store, a.agent_uid, sess, UNIX_S + 3600, &rec),
			 ST_EAUTH);
	assert_int_equal(gw_store_agent_auth(f->store, a.agent_uid, "", UNIX_S, &rec), ST_EAUTH);
	assert_int_equal(gw_store_agent_auth(f->store, "nobody", boot, UNIX_S, &rec), ST_EAUTH);
	json_decref(a.body);
	json_decref(c);
}

static void test_foreign_text(void **state)
{
	struct fixture *f = *state;
	json_t *body = init_body(&f->a, "h1"), *challenge;
	struct gwr_answer a;
	struct gw_agent_rec rec;

	json_object_set_new(body, "agent_version", json_string("1\x1b]0;x\a"));
	json_object_set_new(body, "platform", json_pack("{s:[s]}", "o\x1b", "\x1b[2J"));
	a = init_from(f, body, fresh_peer(f), T0_MS);
	challenge = a.body;
	a = complete(f, &f->a, challenge, "h1", NONCE_TEXT, T0_MS);
	assert_int_equal(a.status, 200);
	assert_int_equal(gw_store_agent_by_host(f->store, "h1", &rec), 0);
	assert_string_equal(rec.version, "1\\x1b]0;x\\x07");
	assert_null(strchr(rec.platform, 0x1b));
	assert_null(strstr(rec.platform, "\\u001b"));
	assert_non_null(strstr(rec.platform, "x1b[2J"));
	json_decref(a.body);
	json_decref(challenge);
}

static void test_max_payload(void **state)
{
	static const struct {
		const char *caps;
		uint32_t want;
	} cases[] = {
		{ "{}", 1024 },
		{ "[]", 1024 },
		{ "[\"ssh\"]", 1024 },
		{ "{\"max_payload_bytes\":-1}", 1024 },
		{ "{\"max_payload_bytes\":1023}", 1024 },
		{ "{\"max_payload_bytes\":4096}", 4096 },
		{ "{\"max_payload_bytes\":99999999999}", 65536 },
		{ "{\"max_payload_bytes\":\"x\"}", 1024 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		json_t *caps = json_loads(cases[i].caps, 0, NULL);

		assert_int_equal(gwr_max_payload(caps), cases[i].want);
		json_decref(caps);
	}
	assert_int_equal(gwr_max_payload(NULL), 1024);
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_both_forms),	 CASE(test_wrong_signatures),
		CASE(test_replay),	 CASE(test_expiry),
		CASE(test_again),	 cmocka_unit_test(test_names),
		CASE(test_bad_bodies),	 CASE(test_bad_completes),
		CASE(test_rate),	 CASE(test_pending_limit),
		CASE(test_approval),	 CASE(test_tokens),
		CASE(test_foreign_text), cmocka_unit_test(test_max_payload),
	};

	log_setup(LOG_ERROR, LOG_TEXT);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
