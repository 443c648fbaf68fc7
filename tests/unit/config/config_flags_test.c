// SPDX-License-Identifier: MIT
/*
 * Cases: the single-target form; each short flag; flags over a file's values, by full path and within the only upstream; lists;
 * several upstreams; aliases that share a map; flags that are unknown, for later, secret, empty or wrong, with
 * their own names as the place; cfg_flag_known() for every row; the help names every key.
 */
#include "tests/unit/config/config_fixture.h"

static const char one[] = "upstreams:\n  p:\n    instances: [i-1]\n    aws: {region: r-1}\n"
			  "routes: [{match: 10.0.0.0/8, upstream: p}]\n";
static const char two[] = "upstreams:\n  p: &p {instances: [i-1], aws: {region: r-1}}\n  q: *p\n"
			  "routes: [{match: 10.0.0.0/8, upstream: p}]\n";

static struct config *good(const char *text, const struct cfg_flag *flags, size_t n)
{
	struct cfg_report *r = calloc(1, sizeof(*r));
	struct config *c;

	assert_non_null(r);
	if (cx_load(&c, r, text, flags, n))
		cfg_report_print(r, stderr);
	assert_non_null(c);
	free(r);
	return c;
}

static void test_single_target(void **state)
{
	const struct cfg_flag flags[] = {
		{ "route", "10.0.0.0/8" },  { "target", "i-1" },
		{ "profile", "prod" },	    { "region", "eu-west-1" },
		{ "target", "mi-2" },	    { "user", "admin" },
		{ "reason", "why not" },    { "endpoint-url", "https://e.test" },
		{ "ca-bundle", "/ca.pem" }, { "route", "fd00::/8" },
		{ "route", "vpc" },	    { "ssh.port", "2222" },
	};
	struct config *c = good("", flags, ARRAY_LEN(flags));
	const struct cfg_upstream *u = &c->upstreams[0];

	(void)state;
	assert_int_equal(c->n_upstreams, 1);
	assert_string_equal(u->name, "default");
	assert_int_equal(u->n_targets, 2);
	assert_string_equal(u->targets[0], "i-1");
	assert_string_equal(u->targets[1], "mi-2");
	assert_string_equal(u->aws.profile, "prod");
	assert_string_equal(u->aws.region, "eu-west-1");
	assert_string_equal(u->ssh.user, "admin");
	assert_int_equal(u->ssh.port, 2222);
	assert_string_equal(u->reason, "why not");
	assert_string_equal(u->aws.endpoint_url, "https://e.test");
	assert_string_equal(u->aws.ca_bundle, "/ca.pem");
	assert_int_equal(c->n_routes, 3);
	assert_true(c->routes[2].match == CFG_MATCH_VPC);
	assert_int_equal(c->routes[0].action, CFG_TO_UPSTREAM);
	assert_string_equal(c->routes[0].place.file, "flag --route");
	cfg_free(c);
}

static void test_over_a_file(void **state)
{
	const struct cfg_flag flags[] = {
		{ "tun.name", "vpn1" },
		{ "aws.region", "r-2" },
		{ "limits.flows", "7" },
		{ "upstreams.p.ssh.port", "99" },
		{ "sessions.max", "3" },
		{ "route", "11.0.0.0/8" },
		{ "match_order", "first" },
		{ "default", "reject" },
		{ "upstreams.p.instances", "i-8" },
		{ "upstreams.p.instances", "i-9" },
	};
	struct config *c = good(one, flags, ARRAY_LEN(flags));

	(void)state;
	assert_string_equal(c->tun_name, "vpn1");
	assert_string_equal(c->upstreams[0].aws.region, "r-2");
	assert_int_equal(c->limits.flows, 7);
	assert_int_equal(c->upstreams[0].ssh.port, 99);
	assert_int_equal(c->upstreams[0].sessions_max, 3);
	assert_int_equal(c->n_routes, 2);
	assert_int_equal(c->match_order, CFG_ORDER_FIRST);
	assert_int_equal(c->default_action, CFG_TO_REJECT);
	assert_int_equal(c->upstreams[0].n_targets, 2);
	assert_string_equal(c->upstreams[0].targets[1], "i-9");
	cfg_free(c);
}

/* The line of the design: names, prefixes and the whole machine, without a file. */
static void test_names_and_system(void **state)
{
	const struct cfg_flag flags[] = {
		{ "target", "i-1" },	    { "domain", "*.Prod.internal" },
		{ "domain", "db?.x.test" }, { "route", "10.0.0.0/8" },
		{ "system", NULL },	    { "dns.suffixes", "corp" },
		{ "dns.suffixes", "lan" },  { "access", "bob" },
		{ "access", "1000-1999" },  { "resolver", "10.0.0.2" },
		{ "dns.manager", "file" },  { "ipv6", "direct" },
		{ "fail_closed", "true" },
	};
	struct config *c = good("", flags, ARRAY_LEN(flags));

	(void)state;
	assert_true(c->system && c->ipv6_direct && c->fail_closed);
	assert_int_equal(c->default_action, CFG_TO_UPSTREAM);
	assert_int_equal(c->n_routes, 3);
	assert_string_equal(c->routes[1].name, "*.prod.internal");
	assert_string_equal(c->routes[1].place.file, "flag --domain");
	assert_string_equal(c->routes[2].name, "db?.x.test");
	assert_int_equal(c->n_dns_suffixes, 2);
	assert_int_equal(c->n_access, 2);
	assert_int_equal(c->upstreams[0].resolver.addr.b[3], 2);
	assert_int_equal(c->dns_manager, CFG_MANAGER_FILE);
	cfg_free(c);
}

/* --system takes the only upstream where nothing else is said, in the file or by a flag. */
static void test_system_default(void **state)
{
	static const char named[] = "upstreams:\n  p: {instances: i-1}\n  q: {instances: i-2}\n"
				    "default: q\n";
	const struct cfg_flag flags[] = { { "system", "" }, { "default", "p" } };
	struct config *c = good(one, flags, 1);

	(void)state;
	assert_true(c->system && c->default_action == CFG_TO_UPSTREAM && c->default_upstream == 0);
	cfg_free(c);
	c = good(named, flags, 1);
	assert_int_equal(c->default_upstream, 1);
	cfg_free(c);
	c = good(named, flags, 2);
	assert_int_equal(c->default_upstream, 0);
	cfg_free(c);
}

/* A map that hangs at two places by an alias is changed at one only. */
static void test_shared_map(void **state)
{
	const struct cfg_flag flags[] = { { "upstreams.q.aws.region", "r-2" } };
	struct config *c = good(two, flags, 1);

	(void)state;
	assert_string_equal(c->upstreams[0].aws.region, "r-1");
	assert_string_equal(c->upstreams[1].aws.region, "r-2");
	assert_string_equal(c->upstreams[1].targets[0], "i-1");
	cfg_free(c);
}

static void test_new_upstream(void **state)
{
	const struct cfg_flag flags[] = { { "upstreams.n.instances", "i-5" } };
	struct config *c = good(one, flags, 1);

	(void)state;
	assert_int_equal(c->n_upstreams, 2);
	assert_string_equal(c->upstreams[1].name, "n");
	assert_string_equal(c->upstreams[1].place.file, "flag --upstreams.n.instances");
	cfg_free(c);
}

static void test_errors(void **state)
{
	static const struct {
		const char *text, *name, *value, *says;
	} cases[] = {
		{ one, "nonsense", "x", "there is no such flag" },
		{ one, "upstreams.p.nonsense", "x", "there is no such flag" },
		{ one, "upstreams.*.document", "x", "there is no such flag" },
		{ one, "routes.0.match", "x", "there is no such flag" },
		{ one, "aws.secret_key", "x", "there is no such flag" },
		{ one, "upstreams.p.aws.session_token", "x", "there is no such flag" },
		{ one, "domain", "10.0.0.0/8", "that is for --route" },
		{ one, "domain", "10.0.0", "that is for --route" },
		{ one, "domain", "vpc", "that is for --route" },
		{ one, "domain", "*", "it holds every name" },
		{ one, "domain", "", "needs a value" },
		{ two, "domain", "*.x", "there are 2 upstreams" },
		{ one, "system", "x", "takes no value" },
		{ two, "system", NULL, "must be an upstream, not direct" },
		{ one, "access", "10-", "a user's name, number or a range" },
		{ one, "dns.suffixes", "x..y", "two dots" },
		{ one, "resolver", "127.0.0.1", "the far side can ask" },
		{ one, "listen", "127.0.0.1:1", "not yet supported" },
		{ one, "tun.name", "", "needs a value" },
		{ one, "tun.name", NULL, "needs a value" },
		{ one, "ssh.port", "x", "a number is expected" },
		{ one, "route", "10.0.0.1/8", "did you mean 10.0.0.0/8?" },
		{ one, "route", "169.254.0.0/16", "link-local" },
		{ one, "route", "Vpc", "did you mean vpc?" },
		{ two, "route", "vpc", "there are 2 upstreams" },
		{ one, "limits.flows", "0", "1 to 65536 is expected" },
		{ two, "region", "r-9", "there are 2 upstreams" },
		{ two, "route", "10.0.0.0/8", "there are 2 upstreams" },
		{ two, "target", "i-9", "there are 2 upstreams" },
		{ "", "region", "r-9", "give --target too" },
		{ "upstreams: 5\n", "upstreams.p.document", "AWS-StartSSHSession", NULL },
		{ "upstreams: {p: {instances: i-1, aws: 5}}\n", "region", "r", NULL },
		{ "upstreams: {p: {instances: i-1}}\nroutes: 5\n", "route", "10.0.0.0/8", NULL },
	};
	struct cfg_report *r = calloc(1, sizeof(*r));

	(void)state;
	assert_non_null(r);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct cfg_flag flag = { cases[i].name, cases[i].value };
		char place[64];
		struct config *c;

		assert_int_equal(cx_load(&c, r, cases[i].text, &flag, 1), ST_ECONFIG);
		assert_null(c);
		if (!cases[i].says)
			continue;
		snprintf(place, sizeof(place), "flag --%s", cases[i].name);
		assert_string_equal(cx_find(r, cases[i].says, false)->place.file, place);
	}
	free(r);
}

static void test_known(void **state)
{
	char name[CFG_PATH_MAX];
	bool list, later;

	(void)state;
	for (size_t i = 0; i < cfg_keys_n; i++) {
		const struct cfg_key *key = &cfg_keys[i];
		const char *star = strchr(key->path, '*');

		if (star)
			snprintf(name, sizeof(name), "%.*sx%s", (int)(star - key->path), key->path,
				 star + 1);
		else
			snprintf(name, sizeof(name), "%s", key->path);
		assert_int_equal(cfg_flag_known(name, &list, &later),
				 key->kind != CFG_K_SECRET && strncmp(name, "routes.", 7) != 0);
		if (key->kind == CFG_K_SECRET || strncmp(name, "routes.", 7) == 0)
			continue;
		assert_int_equal(list, key->kind == CFG_K_TARGETS || !strcmp(name, "access") ||
					       !strcmp(name, "dns.suffixes"));
		assert_true(cfg_flag_takes_value(name));
		assert_int_equal(later, key->serve == CFG_LATER);
	}
	assert_true(cfg_flag_known("target", &list, &later) && list && !later);
	assert_true(cfg_flag_known("route", &list, &later) && list && !later);
	assert_true(cfg_flag_known("domain", &list, &later) && list && !later);
	assert_true(cfg_flag_known("system", &list, &later) && !list && !later);
	assert_false(cfg_flag_takes_value("system"));
	assert_true(cfg_flag_takes_value("domain"));
	assert_true(cfg_flag_known("profile", &list, &later) && !list && !later);
	assert_false(cfg_flag_known("", &list, &later));
	assert_false(cfg_flag_known("upstreams", &list, &later));
	assert_false(cfg_flag_known("upstreams..document", &list, &later));
	memset(name, 'a', sizeof(name));
	name[sizeof(name) - 1] = '\0';
	assert_false(cfg_flag_known(name, &list, &later));
	memcpy(name, "upstreams.", 10);
	memcpy(name + 100, ".reason", 8);
	assert_false(cfg_flag_known(name, &list, &later));
}

static void test_help(void **state)
{
	char *text = NULL;
	size_t len;
	FILE *to = open_memstream(&text, &len);

	(void)state;
	assert_non_null(to);
	cfg_flags_help(to);
	fclose(to);
	assert_non_null(strstr(text, "--target ID"));
	assert_non_null(strstr(text, "--upstreams.NAME.ssh.port=N"));
	assert_non_null(strstr(text, "--limits.memory=SIZE"));
	assert_null(strstr(text, "secret_key="));
	assert_null(strstr(text, "--listen"));
	assert_non_null(strstr(text, "--domain GLOB"));
	assert_non_null(strstr(text, "  --system   "));
	assert_non_null(strstr(text, "--dns.manager=WORD"));
	assert_non_null(strstr(text, "--access=all|USER"));
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_single_target),
		cmocka_unit_test(test_over_a_file),
		cmocka_unit_test(test_names_and_system),
		cmocka_unit_test(test_system_default),
		cmocka_unit_test(test_shared_map),
		cmocka_unit_test(test_new_upstream),
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_known),
		cmocka_unit_test(test_help),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
