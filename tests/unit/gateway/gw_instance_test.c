// SPDX-License-Identifier: MIT
/*
 * gw_instance_test.c - instances of stock agents in the store
 *
 * Cases: only an agent's key and only within its glob; names; the first call enrols, approved or pending; ssm-tun-agent's
 * hosts are never taken over, and the other way round by registration; what the instance tells is kept, made
 * harmless and bounded, and written only when it is new; an instance that was removed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/log.h"
#include "gateway/gw_instance.h"
#include "gateway/gw_register.h"
#include "gateway_test.h"

static const struct gw_key_rec agent_key = { .kind = GW_KEY_AGENT,
					     .name = "agents",
					     .targets = "mi-*" };
static const struct gw_key_rec client_key = { .kind = GW_KEY_CLIENT,
					      .name = "alice",
					      .targets = "*" };

struct fixture {
	char dir[64];
	struct gw gw;
};

static void fixture_make(struct fixture *f, bool approve)
{
	*f = (struct fixture){ 0 };
	assert_int_equal(test_store_make(f->dir, &f->gw.store), 0);
	assert_int_equal(gwr_new(&f->gw.reg, f->gw.store, approve), 0);
}

static void fixture_end(struct fixture *f)
{
	gwr_free(f->gw.reg);
	gw_store_close(f->gw.store);
	test_dir_remove(f->dir);
}

static void test_who(void **state)
{
	static const char *const bad[] = { "", "-x", "a b", "a/b", "a%20b", "\xc3\xa4" };
	struct gw_agent_rec rec;
	char long_name[GW_NAME_MAX + 2];
	struct fixture f;

	(void)state;
	fixture_make(&f, false);
	assert_true(gwi_may(&agent_key, "mi-1"));
	assert_false(gwi_may(&agent_key, "i-1"));
	assert_false(gwi_may(&client_key, "mi-1"));
	assert_int_equal(gwi_seen(&f.gw, &client_key, "mi-1", &rec), ST_EPERM);
	assert_int_equal(gwi_seen(&f.gw, &agent_key, "web-1", &rec), ST_EPERM);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(gwi_seen(&f.gw, &agent_key, bad[i], &rec), ST_EINVAL);
	memset(long_name, 'm', sizeof(long_name));
	long_name[GW_NAME_MAX + 1] = '\0';
	assert_int_equal(gwi_seen(&f.gw, &agent_key, long_name, &rec), ST_EINVAL);
	assert_int_equal(gw_store_agent_count(f.gw.store, GW_AGENT_STOCK), 0);
	fixture_end(&f);
}

static void test_enrolment(void **state)
{
	struct gw_agent_rec rec, again;
	struct fixture f;

	(void)state;
	for (int approve = 0; approve < 2; approve++) {
		fixture_make(&f, approve);
		assert_int_equal(gwi_seen(&f.gw, &agent_key, "mi-1", &rec), 0);
		assert_int_equal(rec.approved, !approve);
		assert_int_equal(rec.kind, GW_AGENT_STOCK);
		assert_int_equal(rec.max_payload, 1024);
		assert_int_equal(gwi_seen(&f.gw, &agent_key, "mi-1", &again), 0);
		assert_string_equal(again.uid, rec.uid);
		assert_int_equal(gw_store_agent_count(f.gw.store, GW_AGENT_STOCK), 1);
		assert_int_equal(gw_store_agent_count(f.gw.store, GW_AGENT_OWN), 0);
		/* Nobody has the tokens of ssm-tun-agent for it. */
		assert_int_equal(gw_store_agent_auth(f.gw.store, rec.uid, "", 0, &again), ST_EAUTH);
		assert_int_equal(gw_store_agent_approve(f.gw.store, "mi-1", "op"), 0);
		assert_int_equal(gwi_seen(&f.gw, &agent_key, "mi-1", &again), 0);
		assert_true(again.approved);
		fixture_end(&f);
	}
}

static void test_no_takeover(void **state)
{
	struct gw_agent_rec rec = { .uid = "uid-1", .host_id = "mi-ours", .org_id = "o" };
	const struct gw_agent_tokens tokens = { .bootstrap = "a", .session = "b" };
	struct net_addr peer = { .family = 4, .b = { 127, 0, 0, 1 } };
	uint8_t zeroes[GW_PUBKEY_LEN] = { 0 };
	char pubkey[CODEC_B64_LEN(GW_PUBKEY_LEN)];
	struct gwr_answer a;
	struct fixture f;
	json_t *body;

	(void)state;
	fixture_make(&f, false);
	strcpy(rec.platform, "{}");
	strcpy(rec.network, "{}");
	assert_int_equal(gw_store_agent_put(f.gw.store, &rec, &tokens, "t"), 0);
	assert_int_equal(gwi_seen(&f.gw, &agent_key, "mi-ours", &rec), ST_EPERM);
	/* Not even with the key that stands in a stock agent's record. */
	assert_int_equal(gwi_seen(&f.gw, &agent_key, "mi-1", &rec), 0);
	assert_memory_equal(rec.pubkey, zeroes, sizeof(zeroes));
	codec_b64_encode(pubkey, zeroes, sizeof(zeroes));
	body = json_pack("{s:s, s:s, s:s}", "org_id", "o", "host_id", "mi-1", "agent_pubkey",
			 pubkey);
	gwr_init(f.gw.reg, &a, body, &peer, 0, 0);
	assert_int_equal(a.status, 409);
	json_decref(body);
	fixture_end(&f);
}

static void check_text(const struct gw_agent_rec *rec, const char *member, const char *want)
{
	char *v = gwi_text(rec, member, "(none)");

	assert_string_equal(v, want);
	free(v);
}

static void test_information(void **state)
{
	struct gw_agent_rec rec, stored;
	char many[5001];
	struct fixture f;
	json_t *in;

	(void)state;
	fixture_make(&f, false);
	assert_int_equal(gwi_seen(&f.gw, &agent_key, "mi-1", &rec), 0);
	in = json_pack("{s:s, s:s, s:s, s:s, s:s}", "AgentVersion", "3.3.1142.0", "PlatformType",
		       "Linux", "PlatformName", "Debian\x1b[2J", "IPAddress", "192.0.2.7",
		       "InstanceType", "ignored");
	assert_int_equal(gwi_update(&f.gw, &rec, in), 0);
	json_decref(in);
	assert_int_equal(gw_store_agent_by_host(f.gw.store, "mi-1", &stored), 0);
	assert_string_equal(stored.version, "3.3.1142.0");
	check_text(&stored, "PlatformName", "Debian\\x1b[2J");
	check_text(&stored, "IPAddress", "192.0.2.7");
	check_text(&stored, "ComputerName", "(none)");
	check_text(&stored, "InstanceType", "(none)");
	/* The empty ping takes nothing away, and what is no text counts as absent. */
	in = json_pack("{s:s, s:i, s:n, s:s}", "AgentVersion", "3.3.1142.0", "PlatformName", 7,
		       "IPAddress", "PlatformVersion", "");
	assert_int_equal(gwi_update(&f.gw, &rec, in), 0);
	json_decref(in);
	check_text(&rec, "PlatformName", "Debian\\x1b[2J");
	memset(many, 'x', sizeof(many) - 1);
	many[sizeof(many) - 1] = '\0';
	in = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "AgentVersion", many, "PlatformType", many,
		       "PlatformName", many, "PlatformVersion", many, "IPAddress", many,
		       "ComputerName", many);
	assert_int_equal(gwi_update(&f.gw, &rec, in), 0);
	json_decref(in);
	assert_int_equal(gw_store_agent_by_host(f.gw.store, "mi-1", &stored), 0);
	assert_true(strlen(stored.version) == GW_NAME_MAX);
	assert_true(strlen(stored.platform) < 1000 && stored.platform[0] == '{');
	/* Cut between characters: half of one would make no JSON of the lists that tell it. */
	for (size_t i = 1; i + 1 < sizeof(many); i += 2)
		memcpy(many + i, "\u00e9", 2);
	many[sizeof(many) - 2] = '\0';
	in = json_pack("{s:s}", "AgentVersion", many);
	assert_int_equal(gwi_update(&f.gw, &rec, in), 0);
	json_decref(in);
	in = json_string(rec.version);
	assert_non_null(in);
	json_decref(in);
	fixture_end(&f);
}

static void test_removed(void **state)
{
	json_t *in = json_pack("{s:s}", "AgentVersion", "1.2.3.4"), *same = json_object();
	struct gw_agent_rec rec;
	struct fixture f;

	(void)state;
	fixture_make(&f, false);
	assert_int_equal(gwi_seen(&f.gw, &agent_key, "mi-1", &rec), 0);
	assert_int_equal(gw_store_agent_remove(f.gw.store, "mi-1", "op"), 0);
	assert_int_equal(gwi_update(&f.gw, &rec, same), 0); /* nothing new, so nothing is written */
	assert_int_equal(gwi_update(&f.gw, &rec, in), ST_ENOENT);
	json_decref(in);
	json_decref(same);
	fixture_end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_who),	    cmocka_unit_test(test_enrolment),
		cmocka_unit_test(test_no_takeover), cmocka_unit_test(test_information),
		cmocka_unit_test(test_removed),
	};

	log_setup(LOG_ERROR, LOG_TEXT);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
