// SPDX-License-Identifier: MIT
/*
 * Cases: a full file and every field; defaults; each rule with a text that breaks it and the place of the problem; all
 * problems at once, in the file's order; notes; targets and key: instance-connect; order of rules in all three modes; aliases, bombs, depth, size; secrets and
 * contents that no message may show; `config show` of all of it, which loads again; speed.
 */
#include <time.h>

#include "tests/unit/config/config_fixture.h"

#define UP "upstreams:\n  p:\n    instances: [i-0a]\n"
#define RT "routes:\n  - {match: 10.0.0.0/8, upstream: p}\n"

static const char full[] =
	"upstreams:\n"
	"  prod:\n"
	"    instances: [i-0aaa, mi-0bbb, host.7]\n"
	"    aws: {profile: 'my prod', region: eu-west-1, endpoint_url: 'https://e.test:8443/x',\n"
	"          data_endpoint: 'd.test:99', ca_bundle: ca.pem}\n"
	"    ssh: {user: admin, key: ~/.ssh/id_ed25519, port: 2222, host_key: strict}\n"
	"    sessions: {min: 2, max: 12, idle: off, pace: 500}\n"
	"    resolver: '[fd00::2]:5353'\n"
	"    ipv6: true\n"
	"    document: AWS-StartSSHSession\n"
	"    reason: \"ticket \\\"7\\\"\"\n"
	"  dev:\n"
	"    instances: i-0ccc\n"
	"    aws: {access_key: AKIDEXAMPLEEXAMPLE, secret_key: geheim/1, session_token: geheim/2,\n"
	"          region: us-east-1}\n"
	"    ssh: {host_key: 'SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA'}\n"
	"    sessions: {pace: off}\n"
	"routes:\n"
	"  - {match: 10.1.0.0/16, upstream: dev}\n"
	"  - {match: 10.0.0.0/8, upstream: prod, override: true}\n"
	"  - {match: 10.2.3.4, upstream: prod}\n"
	"  - {match: 'fd00::/8', upstream: reject}\n"
	"  - {match: 192.168.7.0/24, upstream: drop}\n"
	"  - {match: 192.168.8.0/24, upstream: direct}\n"
	"  - {match: '*.Prod.internal.', upstream: prod}\n"
	"  - {match: DB-?.dev.internal, upstream: dev}\n"
	"  - {match: \"b\\u00fccher.example\", upstream: direct}\n"
	"default: prod\n"
	"match_order: specific\n"
	"tun: {name: vpn7, mode: system}\n"
	"ipv6: direct\n"
	"fail_closed: true\n"
	"forward: false\n"
	"access: [alice, '1000', 2000-2999, 'corp\\bob']\n"
	"dns: {mode: tunnel, manager: resolvconf, suffixes: [Corp.example., lan], public: local, "
	"rebind: block}\n"
	"run_as: alice\n"
	"limits: {flows: 100, connect_budget: 1500ms, pending_opens: 7, memory: 8MiB}\n"
	"sleep_detection_threshold: 30s\n";

static void check_prod(const struct cfg_upstream *u)
{
	assert_string_equal(u->name, "prod");
	assert_int_equal(u->n_targets, 3);
	assert_string_equal(u->targets[0], "i-0aaa");
	assert_string_equal(u->targets[2], "host.7");
	assert_string_equal(u->aws.profile, "my prod");
	assert_string_equal(u->aws.region, "eu-west-1");
	assert_string_equal(u->aws.endpoint_url, "https://e.test:8443/x");
	assert_string_equal(u->aws.data_endpoint, "d.test:99");
	assert_string_equal(u->aws.ca_bundle, "/d/ca.pem");
	assert_null(u->aws.access_key);
	assert_string_equal(u->ssh.user, "admin");
	assert_string_equal(u->ssh.key, "/home/u/.ssh/id_ed25519");
	assert_int_equal(u->ssh.port, 2222);
	assert_int_equal(u->ssh.host_key, CFG_HOST_KEY_STRICT);
	assert_int_equal(u->sessions_min, 2);
	assert_int_equal(u->sessions_max, 12);
	assert_true(u->pace_set);
	assert_int_equal(u->pace_per_s, 500);
	assert_string_equal(u->document, "AWS-StartSSHSession");
	assert_string_equal(u->reason, "ticket \"7\"");
	assert_int_equal(u->place.line, 2);
	assert_int_equal(u->place.column, 3);
	assert_int_equal(u->resolver.addr.family, 6);
	assert_int_equal(u->resolver.port, 5353);
	assert_true(u->ipv6);
}

static void check_net(const struct config *c)
{
	static const char *const names[] = { "*.prod.internal", "db-?.dev.internal",
					     "xn--bcher-kva.example" };
	static const char *const access[] = { "alice", "1000", "2000-2999", "corp\\bob" };

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		const struct cfg_route *r = &c->routes[c->n_routes - ARRAY_LEN(names) + i];

		assert_true(r->match == CFG_MATCH_NAME);
		assert_string_equal(r->name, names[i]);
		assert_int_equal(r->order, 6 + i);
	}
	assert_true(c->system && c->ipv6_direct && c->fail_closed && !c->forward);
	assert_int_equal(c->n_access, ARRAY_LEN(access));
	for (size_t i = 0; i < ARRAY_LEN(access); i++)
		assert_string_equal(c->access[i], access[i]);
	assert_int_equal(c->dns_mode, CFG_DNS_TUNNEL);
	assert_int_equal(c->dns_manager, CFG_MANAGER_RESOLVCONF);
	assert_true(c->dns_public_local && c->dns_rebind_block);
	assert_int_equal(c->n_dns_suffixes, 2);
	assert_string_equal(c->dns_suffixes[0], "corp.example");
	assert_string_equal(c->dns_suffixes[1], "lan");
}

static void check_dev(const struct cfg_upstream *u)
{
	assert_int_equal(u->n_targets, 1);
	assert_string_equal(u->targets[0], "i-0ccc");
	assert_null(u->aws.profile);
	assert_string_equal(u->aws.access_key, "AKIDEXAMPLEEXAMPLE");
	assert_string_equal(u->aws.secret_key, "geheim/1");
	assert_string_equal(u->aws.session_token, "geheim/2");
	assert_string_equal(u->ssh.user, "ec2-user");
	assert_null(u->ssh.key);
	assert_int_equal(u->ssh.port, 22);
	assert_int_equal(u->ssh.host_key, CFG_HOST_KEY_PINNED);
	assert_string_equal(u->ssh.fingerprint,
			    "SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
	assert_int_equal(u->sessions_min, 1);
	assert_int_equal(u->sessions_max, 8);
	assert_true(u->pace_set);
	assert_int_equal(u->pace_per_s, 0);
}

static void test_full(void **state)
{
	struct config *c = cx_good(full);
	static const struct {
		const char *prefix;
		enum cfg_action action;
		uint32_t upstream;
	} routes[] = {
		{ "10.2.3.4/32", CFG_TO_UPSTREAM, 0 },	{ "192.168.7.0/24", CFG_TO_DROP, 0 },
		{ "192.168.8.0/24", CFG_TO_DIRECT, 0 }, { "10.1.0.0/16", CFG_TO_UPSTREAM, 1 },
		{ "10.0.0.0/8", CFG_TO_UPSTREAM, 0 },	{ "fd00::/8", CFG_TO_REJECT, 0 },
	};

	(void)state;
	assert_int_equal(c->n_upstreams, 2);
	check_prod(&c->upstreams[0]);
	check_dev(&c->upstreams[1]);
	assert_int_equal(c->n_routes, ARRAY_LEN(routes) + 3);
	check_net(c);
	for (size_t i = 0; i < ARRAY_LEN(routes); i++) {
		char text[NET_PREFIX_STR];

		assert_string_equal(net_prefix_str(text, &c->routes[i].prefix), routes[i].prefix);
		assert_int_equal(c->routes[i].action, routes[i].action);
		assert_int_equal(c->routes[i].upstream, routes[i].upstream);
		assert_int_equal(c->routes[i].override, strcmp(text, "10.0.0.0/8") == 0);
	}
	assert_int_equal(c->default_action, CFG_TO_UPSTREAM);
	assert_int_equal(c->default_upstream, 0);
	assert_int_equal(c->match_order, CFG_ORDER_SPECIFIC);
	assert_string_equal(c->tun_name, "vpn7");
	assert_string_equal(c->run_as, "alice");
	assert_int_equal(c->limits.flows, 100);
	assert_int_equal(c->limits.connect_budget_ms, 1500);
	assert_int_equal(c->limits.pending_opens, 7);
	assert_int_equal(c->limits.memory_bytes, MIB(8));
	assert_string_equal(c->file, "/d/f");
	cfg_free(c);
}

static void test_defaults(void **state)
{
	struct config *c = cx_good(UP RT);

	(void)state;
	assert_string_equal(c->upstreams[0].ssh.user, "ec2-user");
	assert_string_equal(c->upstreams[0].document, "AWS-StartSSHSession");
	assert_false(c->upstreams[0].pace_set);
	assert_null(c->upstreams[0].aws.region);
	assert_int_equal(c->default_action, CFG_TO_DIRECT);
	assert_int_equal(c->match_order, CFG_ORDER_UNSET);
	assert_string_equal(c->tun_name, "ssm0");
	assert_int_equal(c->dns_mode, CFG_DNS_FAKE_IP);
	assert_int_equal(c->dns_manager, CFG_MANAGER_AUTO);
	assert_false(c->system || c->ipv6_direct || c->forward || c->fail_closed);
	assert_false(c->dns_public_local || c->dns_rebind_block);
	assert_int_equal(c->n_access + c->n_dns_suffixes, 0);
	assert_false(c->upstreams[0].ipv6);
	assert_int_equal(c->upstreams[0].resolver.port, 53);
	assert_memory_equal(c->upstreams[0].resolver.addr.b, "\xa9\xfe\xa9\xfd", 4);
	assert_null(c->run_as);
	assert_int_equal(c->limits.flows, 4096);
	assert_int_equal(c->limits.connect_budget_ms, 10000);
	assert_int_equal(c->limits.pending_opens, 256);
	assert_int_equal(c->limits.memory_bytes, MIB(96));
	assert_int_equal(c->limits.vpc_refresh_ms, 600000);
	cfg_free(c);
}

/* sessions: one bound that is given moves the other's default. */
static void test_sessions_defaults(void **state)
{
	struct config *c = cx_good(UP "    sessions: {min: 10}\n" RT);

	(void)state;
	assert_int_equal(c->upstreams[0].sessions_min, 10);
	assert_int_equal(c->upstreams[0].sessions_max, 10);
	cfg_free(c);
	c = cx_good(UP "    sessions: {max: 1}\n" RT);
	assert_int_equal(c->upstreams[0].sessions_max, 1);
	cfg_free(c);
}

#define HEX64 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static const struct {
	const char *text;
	uint32_t line, column;
	const char *says;
} errors[] = {
	/* form of the file */
	{ "", 0, 0, "there is no upstream" },
	{ "# nothing\n", 0, 0, "there is no upstream" },
	{ "{}\n", 0, 0, "there is no upstream" },
	{ "hello\n", 1, 1, "a mapping of keys is expected" },
	{ "- a\n- b\n", 1, 1, "a mapping of keys is expected" },
	{ "'quoted'", 1, 1, "a mapping of keys is expected" },
	{ "*x", 1, 1, "a mapping of keys is expected" },
	{ "upstreams: [\n", 2, 1, "did not find" },
	{ "upstreams:\n\t- a\n", 2, 1, "cannot start any token" },
	{ "a: \"\xff\"\n", 1, 1, "not UTF-8" },
	{ "a: \"\\0\"\n", 1, 4, "NUL byte" },
	{ UP RT "---\na: b\n", 6, 1, "only one document" },
	{ UP "    ? {a: b}\n    : c\n", 4, 7, "a key must be a plain word" },
	{ "x: [[[[[[[[[[[[[[[[[[[[", 1, 19, "nested too deeply" },
	{ UP RT "tun: *nowhere\n", 6, 6, "without its anchor" },
	{ UP "\"a b\": 1\n", 4, 1, "unknown key \"(not a word)\"" },
	{ "tun: &a [*a]\n", 1, 10, "an alias inside of what it names" },
	{ "x: &a {name: y}\ntun:\n  <<: *a\n", 3, 3, "merge keys" },
	{ "upstream: {p: {instances: i-1}}\n", 1, 1,
	  "no key that is known, did you mean \"upstreams\"?" },
	/* keys */
	{ UP RT "tunn: {}\n", 6, 1, "unknown key \"tunn\", did you mean \"tun\"?" },
	{ UP "    instance: x\n", 4, 5, "did you mean \"instances\"?" },
	{ UP "    aws: {regoin: x}\n", 4, 11,
	  "unknown key \"regoin\" in upstreams.p.aws, did you mean \"region\"?" },
	{ UP RT "zzzzzz: 1\n", 6, 1, "unknown key \"zzzzzz\"" },
	{ UP RT "tun.name: x\n", 6, 1, "unknown key \"tun.name\"" },
	{ UP "    instances: [i-1]\n", 4, 5, "\"instances\" stands twice; first in line 3" },
	{ UP "  p:\n    instances: [i-1]\n", 4, 3, "\"p\" stands twice" },
	{ UP RT "tun: 5\n", 6, 6, "tun must hold keys" },
	{ UP RT "tun: {name: }\n", 6, 7, "tun.name has no value" },
	{ UP RT "tun: {name: [a]}\n", 6, 13, "one value is expected" },
	/* later */
	{ UP RT "listen: 127.0.0.1:28881\n", 6, 1, "listen is not yet supported" },
	{ UP RT "auth: {user: a, pass: b}\n", 6, 8, "auth.user is not yet supported" },
	{ UP "    document: AWS-StartInteractiveCommand\n" RT, 4, 15, "only AWS-StartSSHSession" },
	{ UP "    sessions: {idle: 15m}\n" RT, 4, 22, "only off is supported" },
	/* upstreams */
	{ "upstreams: {p: {aws: {region: a}}}\n", 1, 13, "lacks \"instances\"" },
	{ "upstreams: {p: }\n", 1, 13, "lacks \"instances\"" },
	{ "upstreams: {p: 5}\n", 1, 16, "upstreams.p must hold keys" },
	{ "upstreams: {direct: {instances: i-1}}\n", 1, 13, "can't be named direct" },
	{ "upstreams: {'a b': {instances: i-1}}\n", 1, 13, "an upstream's name" },
	{ "upstreams: {p: {instances: []}}\n", 1, 28, "the list is empty" },
	{ "upstreams: {p: {instances: [[a]]}}\n", 1, 29, "a target's id is expected" },
	{ "upstreams: {p: {instances: [\"i 1\"]}}\n", 1, 29, "an id as i-" },
	{ "upstreams: {p: {instances: [\"tag:Name\"]}}\n", 1, 29, "tag:KEY=VALUE is expected" },
	{ "upstreams: {p: {instances: [i-1, \"arn:aws:s3:::b\"]}}\n", 1, 34,
	  "an ARN as arn:aws:ec2" },
	{ "upstreams: {p: {instances: [i-01234567--EU]}}\n", 1, 29, "a region is expected" },
	{ "upstreams: {p: {instances: [i-1, mi-0123456789abcdef0], ssh: {key: "
	  "instance-connect}}}\n",
	  1, 13, "not the managed node" },
	{ "upstreams: {p: {instances: i-1, ssh: {key: instance-connect, user: "
	  "a12345678901234567890123456789012}}}\n",
	  1, 13, "at most 32 characters" },
	{ "upstreams: {p: {instances: i-1, ssh: {key: instance-connect, user: a/b}}}\n", 1, 68,
	  "upstreams.p.ssh.user" },
	{ "upstreams: {p: {instances: [i-1, i-1]}}\n", 1, 34, "stands twice" },
	{ "upstreams: {p: {instances: [a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,q,r]}}\n", 1, 61,
	  "more than 16" },
	{ UP "    aws: {region: eu_west}\n" RT, 4, 19, "upstreams.p.aws.region" },
	{ UP "    aws: {access_key: AKIDEXAMPLEEXAMPLE, region: r}\n" RT, 2, 3,
	  "access_key needs secret_key" },
	{ UP "    aws: {access_key: AKIDEXAMPLEEXAMPLE, secret_key: x}\n" RT, 2, 3,
	  "access_key needs region" },
	{ UP "    aws: {secret_key: x}\n" RT, 2, 3, "secret_key needs access_key" },
	{ UP "    aws: {session_token: x}\n" RT, 2, 3, "session_token needs access_key" },
	{ UP "    aws: {endpoint_url: ftp://x}\n" RT, 4, 25, "upstreams.p.aws.endpoint_url" },
	{ UP "    aws: {data_endpoint: a/b}\n" RT, 4, 26, "upstreams.p.aws.data_endpoint" },
	{ UP "    ssh: {port: 0}\n" RT, 4, 17, "1 to 65535 is expected" },
	{ UP "    ssh: {port: 65536}\n" RT, 4, 17, "1 to 65535 is expected" },
	{ UP "    ssh: {port: 22x}\n" RT, 4, 17, "a number is expected" },
	{ UP "    ssh: {port: -1}\n" RT, 4, 17, "a number is expected" },
	{ UP "    ssh: {port: 99999999999999999999}\n" RT, 4, 17, "a number is expected" },
	{ UP "    ssh: {user: -oProxy}\n" RT, 4, 17, "upstreams.p.ssh.user" },
	{ UP "    ssh: {key: ~root/x}\n" RT, 4, 16, "~ stands for your home alone" },
	{ UP "    ssh: {host_key: yes}\n" RT, 4, 21, "accept-new, strict or a fingerprint" },
	{ UP "    ssh: {host_key: 'SHA256:short'}\n" RT, 4, 21,
	  "accept-new, strict or a fingerprint" },
	{ UP "    sessions: {min: 3, max: 2}\n" RT, 2, 3, "min 3 is more than max 2" },
	{ UP "    sessions: {max: 13}\n" RT, 4, 21, "1 to 12 is expected" },
	{ UP "    sessions: {min: 0}\n" RT, 4, 21, "1 to 12 is expected" },
	{ UP "    sessions: {pace: fast}\n" RT, 4, 22, "off or 1 to 100000" },
	{ UP "    sessions: {pace: 0}\n" RT, 4, 22, "off or 1 to 100000" },
	{ UP "    reason: \"a\\nb\"\n" RT, 4, 13, "upstreams.p.reason" },
	{ UP "    reason: " HEX64 HEX64 HEX64 HEX64 "x\n" RT, 4, 13, "1 to 256 characters" },
	/* routes */
	{ UP "routes: 5\n", 4, 9, "routes must be a list" },
	{ UP "routes: [5]\n", 4, 10, "a route is written as" },
	{ UP "routes: [{match: 10.0.0.0/8}]\n", 4, 10, "routes[0] lacks \"upstream\"" },
	{ UP "routes: [{upstream: p}]\n", 4, 10, "routes[0] lacks \"match\"" },
	{ UP "routes: [{match: 10.0.0.0/8, upstream: q}]\n", 4, 40, "no upstream is named \"q\"" },
	{ UP "routes: [{match: 10.0.0.0/8, upstream: dirct}]\n", 4, 40, "did you mean direct?" },
	{ UP "routes: [{match: 10.0.0.1/8, upstream: p}]\n", 4, 18, "did you mean 10.0.0.0/8?" },
	{ UP "routes: [{match: 10.0.0/8, upstream: p}]\n", 4, 18, "an address or a prefix" },
	{ UP "routes: [{match: 10.0.0.0/33, upstream: p}]\n", 4, 18, "an address or a prefix" },
	{ UP "routes: [{match: 'fd00::1::', upstream: p}]\n", 4, 18, "an address or a prefix" },
	{ UP "routes: [{match: 0.0.0.0/0, upstream: p}]\n", 4, 10,
	  "for that use tun.mode: system and default: NAME" },
	{ UP "routes: [{match: '::/0', upstream: p}]\n", 4, 10,
	  "for that use tun.mode: system and default: NAME" },
	{ UP "routes: [{match: 127.0.0.0/8, upstream: p}]\n", 4, 10, "loopback" },
	{ UP "routes: [{match: 127.1.0.0/16, upstream: p}]\n", 4, 10, "loopback" },
	{ UP "routes: [{match: 169.254.0.0/16, upstream: p}]\n", 4, 10, "link-local" },
	{ UP "routes: [{match: 169.254.169.0/24, upstream: p}]\n", 4, 10, "as /32" },
	{ UP "routes: [{match: 224.0.0.0/4, upstream: p}]\n", 4, 10, "multicast" },
	{ UP "routes: [{match: 0.0.0.0/8, upstream: p}]\n", 4, 10, "this host" },
	{ UP "routes: [{match: 'fe80::/10', upstream: p}]\n", 4, 10, "link-local" },
	{ UP "routes: [{match: 'ff02::/16', upstream: p}]\n", 4, 10, "as /128" },
	{ UP "routes: [{match: '::ffff:10.0.0.0/104', upstream: p}]\n", 4, 10, "IPv4-mapped" },
	{ UP "routes: [{match: 10.0.0.0/8, upstream: p, override: yes}]\n", 4, 53,
	  "true or false" },
	{ UP "routes: [{match: 10.0.0.0/8, upstream: p}, {match: 10.0.0.0/8, upstream: drop}]\n", 4,
	  44, "line 4 has the same prefix with -> p" },
	/* match: vpc */
	{ UP "routes: [{match: vpc, upstream: direct}]\n", 4, 10,
	  "match: vpc needs the upstream whose VPC is meant, not direct" },
	{ UP "routes: [{match: vpc, upstream: reject}]\n", 4, 10, "is meant, not reject" },
	{ UP "routes: [{match: vpc, upstream: drop}]\n", 4, 10, "is meant, not drop" },
	{ UP "routes: [{match: vpc, upstream: p}, {match: 10.0.0.0/8, upstream: p},\n"
	     "  {match: vpc, upstream: p}]\n",
	  5, 3, "match: vpc stands twice for upstream p; first in line 4" },
	{ UP "routes: [{match: vpc, upstream: p}]\nmatch_order: first\n", 4, 10,
	  "can't be used with match_order: first" },
	{ "upstreams: {p: {instances: [mi-0a, host-7]}}\nroutes: [{match: vpc, upstream: p}]\n", 2,
	  10, "no target of upstream p is an EC2 instance" },
	{ UP "routes: [{match: VPC, upstream: p}]\n", 4, 18, "did you mean vpc?" },
	{ UP "routes: [{match: vpc}]\n", 4, 10, "routes[0] lacks \"upstream\"" },
	{ UP RT "limits: {vpc_refresh: 10}\n", 6, 23, "a time as 10s" },
	{ UP RT "limits: {vpc_refresh: 999ms}\n", 6, 23, "1000ms to 86400000ms" },
	/* names */
	{ UP "routes: [{match: 10.0.0, upstream: p}]\n", 4, 18, "an address or a prefix" },
	{ UP "routes: [{match: '10.0.0.*', upstream: p}]\n", 4, 18, "an address or a prefix" },
	{ UP "routes: [{match: 10.0.0.0-10.0.0.9, upstream: p}]\n", 4, 18,
	  "an address or a prefix" },
	{ UP "routes: [{match: a.b/8, upstream: p}]\n", 4, 18, "an address or a prefix" },
	{ UP "routes: [{match: '*', upstream: p}]\n", 4, 18,
	  "routes[0].match: \"*\" is not a name: it holds every name: that is what default is "
	  "for" },
	{ UP "routes: [{match: 'a b', upstream: p}]\n", 4, 18, "is not a name: a name is made of" },
	{ UP "routes: [{match: 'x..y', upstream: p}]\n", 4, 18, "two dots" },
	{ UP "routes: [{match: '*b\xc3\xbc.x', upstream: p}]\n", 4, 18, "a label with * or ?" },
	{ UP "routes: [{match: \"\\x41\\uFFFE.x\", upstream: p}]\n", 4, 18,
	  "international domain names" },
	{ UP "routes: [{match: x.test, upstream: nobody}]\n", 4, 36, "no upstream is named" },
	/* resolver */
	{ UP "    resolver: 10.0.0\n" RT, 4, 15,
	  "upstreams.p.resolver: an address as 10.0.0.2, 10.0.0.2:53 or [fd00::2]:53 is expected, "
	  "not \"10.0.0\"" },
	{ UP "    resolver: dns.test\n" RT, 4, 15, "an address as" },
	{ UP "    resolver: '10.0.0.2:'\n" RT, 4, 15, "an address as" },
	{ UP "    resolver: 10.0.0.2:0\n" RT, 4, 15, "an address as" },
	{ UP "    resolver: 10.0.0.2:65536\n" RT, 4, 15, "an address as" },
	{ UP "    resolver: 10.0.0.2:5x\n" RT, 4, 15, "an address as" },
	{ UP "    resolver: '[10.0.0.2]:53'\n" RT, 4, 15, "an address as" },
	{ UP "    resolver: '[fd00::2'\n" RT, 4, 15, "an address as" },
	{ UP "    resolver: '[fd00::2]53'\n" RT, 4, 15, "an address as" },
	{ UP "    resolver: '[]'\n" RT, 4, 15, "an address as" },
	{ UP "    resolver: '" HEX64 ":53'\n" RT, 4, 15, "an address as" },
	{ UP "    resolver: 127.0.0.53\n" RT, 4, 15, "an address that the far side can ask" },
	{ UP "    resolver: 224.0.0.251\n" RT, 4, 15, "an address that the far side can ask" },
	{ UP "    resolver: 0.0.0.0\n" RT, 4, 15, "an address that the far side can ask" },
	{ UP "    resolver: 169.254.169.254\n" RT, 4, 15, "an address that the far side can ask" },
	{ UP "    resolver: '[::1]:53'\n" RT, 4, 15, "an address that the far side can ask" },
	{ UP "    resolver: 'fe80::1'\n" RT, 4, 15, "an address that the far side can ask" },
	{ UP "    resolver: 'ff02::fb'\n" RT, 4, 15, "an address that the far side can ask" },
	{ UP "    resolver: '::ffff:127.0.0.1'\n" RT, 4, 15,
	  "an address that the far side can ask" },
	{ UP "    resolver: [10.0.0.2]\n" RT, 4, 15, "one value is expected" },
	{ UP "    ipv6: maybe\n" RT, 4, 11, "upstreams.p.ipv6: true or false" },
	/* system mode, and whom it serves */
	{ UP RT "tun: {mode: system}\n", 6, 13,
	  "which must be an upstream, not direct: set default" },
	{ UP RT "tun: {mode: system}\ndefault: reject\n", 6, 13, "not reject: set default: NAME" },
	{ UP RT "tun: {mode: all}\n", 6, 13, "one of split, system is expected" },
	{ UP RT "ipv6: off\n", 6, 7, "one of tunnel, direct is expected" },
	{ UP RT "forward: yes\n", 6, 10, "true or false is expected" },
	{ UP RT "fail_closed: 1\n", 6, 14, "true or false is expected" },
	{ UP RT "access: []\n", 6, 9, "the list is empty" },
	{ UP RT "access: [all]\n", 6, 10, "all stands alone" },
	{ UP RT "access: [bob, all]\n", 6, 15, "all stands alone" },
	{ UP RT "access: [bob, bob]\n", 6, 15, "access: \"bob\" stands twice" },
	{ UP RT "access: [[bob]]\n", 6, 10, "one value is expected" },
	{ UP RT "access: {bob: 1}\n", 6, 9, "one value is expected" },
	{ UP RT "access: -bob\n", 6, 9, "a user's name, number or a range" },
	{ UP RT "access: b:b\n", 6, 9, "a user's name, number or a range" },
	{ UP RT "access: ''\n", 6, 9, "a user's name, number or a range" },
	{ UP RT "access: " HEX64 "x\n", 6, 9, "a user's name, number or a range" },
	{ UP RT "access: 4294967295\n", 6, 9, "a user's name, number or a range" },
	{ UP RT "access: 99999999999\n", 6, 9, "a user's name, number or a range" },
	{ UP RT "access: 10-9\n", 6, 9, "a user's name, number or a range" },
	{ UP RT "access: 10-\n", 6, 9, "a user's name, number or a range" },
	{ UP RT "access: '1-2-3'\n", 6, 9, "a user's name, number or a range" },
	{ UP RT "access: bob\nforward: true\n", 6, 9, "exclude each other" },
	/* dns */
	{ UP RT "dns: {manager: systemd}\n", 6, 16,
	  "one of auto, resolved, resolvconf, file, none is expected" },
	{ UP RT "dns: {public: no}\n", 6, 15, "one of tunnel, local is expected" },
	{ UP RT "dns: {rebind: true}\n", 6, 15, "one of allow, block is expected" },
	{ UP RT "dns: {suffixes: []}\n", 6, 17, "the list is empty" },
	{ UP RT "dns: {suffixes: ['*.x.test']}\n", 6, 18, "is not a name: a name is made of" },
	{ UP RT "dns: {suffixes: [10.0.0.0]}\n", 6, 18, "a name as corp.example is expected" },
	{ UP RT "dns: {suffixes: [X.test, x.test.]}\n", 6, 26, "\"x.test.\" stands twice" },
	/* the rest */
	{ UP RT "default: nobody\n", 6, 10, "no upstream is named \"nobody\"" },
	{ UP RT "match_order: last\n", 6, 14, "one of specific, first is expected" },
	{ UP RT "match_order: ''\n", 6, 14, "one of specific, first is expected" },
	{ UP RT "tun: {name: 1234567890123456}\n", 6, 13, "1 to 15 characters" },
	{ UP RT "tun: {name: a/b}\n", 6, 13, "tun.name" },
	{ UP RT "dns: {mode: magic}\n", 6, 13, "fake-ip, tunnel, off" },
	{ UP RT "limits: {flows: 0}\n", 6, 17, "1 to 65536 is expected" },
	{ UP RT "limits: {connect_budget: 10}\n", 6, 26, "a time as 10s" },
	{ UP RT "limits: {connect_budget: 3h}\n", 6, 26, "100ms to 127000ms" },
	{ UP RT "limits: {memory: 1GB}\n", 6, 18, "a size as 96MiB" },
	{ UP RT "limits: {memory: 1}\n", 6, 18, "1MiB to 65536MiB" },
};

static void test_errors(void **state)
{
	struct cfg_report *r = calloc(1, sizeof(*r));

	(void)state;
	assert_non_null(r);
	for (size_t i = 0; i < ARRAY_LEN(errors); i++) {
		struct config *c;
		const struct cfg_problem *p;

		if (cx_load(&c, r, errors[i].text, NULL, 0) != ST_ECONFIG) {
			print_error("taken: %s\n", errors[i].text);
			fail();
		}
		assert_null(c);
		p = cx_find(r, errors[i].says, false);
		if (p->place.line != errors[i].line || p->place.column != errors[i].column)
			print_error("%s\nis told at %u:%u\n", errors[i].text, p->place.line,
				    p->place.column);
		assert_int_equal(p->place.line, errors[i].line);
		assert_int_equal(p->place.column, errors[i].column);
		assert_string_equal(p->place.file, "/d/f");
	}
	free(r);
}

/* It stands beside prefixes of any length and any action, and comes last. */
static void test_vpc(void **state)
{
	struct config *c = cx_good("upstreams:\n  p: {instances: [mi-0b, i-0a]}\n"
				   "  q: {instances: i-0c}\n"
				   "routes:\n  - {match: vpc, upstream: q, override: true}\n"
				   "  - {match: 10.0.0.0/8, upstream: direct}\n"
				   "  - {match: vpc, upstream: p}\n"
				   "  - {match: 10.1.0.0/16, upstream: direct}\n"
				   "limits: {vpc_refresh: 1m}\n");

	(void)state;
	assert_int_equal(c->n_routes, 4);
	assert_false(c->routes[0].match == CFG_MATCH_VPC || c->routes[1].match == CFG_MATCH_VPC);
	assert_int_equal(c->routes[0].prefix.len, 16);
	assert_true(c->routes[2].match == CFG_MATCH_VPC && c->routes[3].match == CFG_MATCH_VPC);
	assert_int_equal(c->routes[2].upstream, 0);
	assert_int_equal(c->routes[2].place.line, 7);
	assert_false(c->routes[2].override);
	assert_int_equal(c->routes[3].upstream, 1);
	assert_true(c->routes[3].override);
	assert_int_equal(c->routes[3].prefix.addr.family, 0);
	assert_int_equal(c->limits.vpc_refresh_ms, 60000);
	cfg_free(c);
}

static void test_targets_and_key(void **state)
{
	static const char *const targets[] = {
		"tag:Name=my bastion",
		"tag:aws:autoscaling:groupName=b-*",
		"ip-10-0-0-1.eu-west-1.compute.internal",
		"10.0.1.5",
		"arn:aws:ec2:eu-west-1:1:instance/i-0123456789abcdef0",
		"i-0123456789abcdef0--eu-west-1"
	};
	struct config *c = cx_good(
		"upstreams:\n  p:\n    instances:\n"
		"    - tag:Name=my bastion\n    - 'tag:aws:autoscaling:groupName=b-*'\n"
		"    - ip-10-0-0-1.eu-west-1.compute.internal\n    - 10.0.1.5\n"
		"    - arn:aws:ec2:eu-west-1:1:instance/i-0123456789abcdef0\n"
		"    - i-0123456789abcdef0--eu-west-1\n"
		"    ssh: {key: instance-connect}\n" RT);
	char text[KIB(8)] = "";
	FILE *f = fmemopen(text, sizeof(text), "w");

	(void)state;
	assert_int_equal(c->upstreams[0].n_targets, ARRAY_LEN(targets));
	for (size_t i = 0; i < ARRAY_LEN(targets); i++)
		assert_string_equal(c->upstreams[0].targets[i], targets[i]);
	assert_true(c->upstreams[0].ssh.instance_connect);
	assert_null(c->upstreams[0].ssh.key);
	cfg_show(c, f);
	fclose(f);
	assert_non_null(strstr(text, "key: instance-connect"));
	cfg_free(c);
	c = cx_good(text);
	assert_string_equal(c->upstreams[0].targets[0], targets[0]);
	assert_string_equal(c->upstreams[0].targets[1], targets[1]);
	assert_true(c->upstreams[0].ssh.instance_connect);
	cfg_free(c);
	/* a file of that name */
	c = cx_good(UP "    ssh: {key: ./instance-connect}\n" RT);
	assert_false(c->upstreams[0].ssh.instance_connect);
	assert_string_equal(c->upstreams[0].ssh.key, "/d/./instance-connect");
	cfg_free(c);
}

/* A single address of what is local only may be routed: a rule names it (decision 13). */
static void test_single_local_addresses(void **state)
{
	struct config *c = cx_good(UP "routes:\n  - {match: 169.254.169.253, upstream: p}\n"
				      "  - {match: '::ffff:10.0.0.1', upstream: p}\n"
				      "  - {match: 127.0.0.9/32, upstream: p}\n");

	(void)state;
	assert_int_equal(c->n_routes, 3);
	cfg_free(c);
}

static void test_all_at_once(void **state)
{
	struct cfg_report *r = calloc(1, sizeof(*r));
	struct config *c;
	char *printed = NULL;
	size_t len;
	FILE *to = open_memstream(&printed, &len);

	(void)state;
	assert_non_null(r);
	assert_int_equal(cx_load(&c, r,
				 "routes:\n- {match: 1.2.3.4/8, upstream: x}\nlisten: a\n"
				 "upstreams:\n  p: {instances: [i-1], ssh: {port: q}}\n"
				 "sleep_detection_threshold: 30s\n",
				 NULL, 0),
			 ST_ECONFIG);
	cfg_report_print(r, to);
	fclose(to);
	assert_string_equal(
		printed,
		"/d/f:2:11: routes[0].match: \"1.2.3.4/8\" has bits behind its length, did you "
		"mean "
		"1.0.0.0/8?\n"
		"/d/f:2:32: routes[0].upstream: no upstream is named \"x\" (nor is it direct, "
		"reject "
		"or drop)\n"
		"/d/f:3:1: listen is not yet supported\n"
		"/d/f:5:37: upstreams.p.ssh.port: a number is expected, not \"q\"\n"
		"/d/f:6:1: note: sleep_detection_threshold: accepted and not needed: sleep is "
		"noticed anyway\n");
	assert_int_equal(r->n_errors, 4);
	free(printed);
	free(r);
}

static void test_many_problems(void **state)
{
	struct cfg_report *r = calloc(1, sizeof(*r));
	char *text = calloc(1, KIB(64));
	struct config *c;
	size_t at = (size_t)sprintf(text, UP RT);

	(void)state;
	assert_non_null(r);
	assert_non_null(text);
	for (int i = 0; i < 3000; i++)
		at += (size_t)sprintf(text + at, "zone%d: 1\n", i);
	assert_int_equal(cx_load(&c, r, text, NULL, 0), ST_ECONFIG);
	assert_int_equal(r->n, CFG_PROBLEMS_MAX);
	assert_true(r->n_errors >= CFG_PROBLEMS_MAX);
	free(text);
	free(r);
}

static void test_notes(void **state)
{
	static const struct {
		const char *text;
		uint32_t line;
		const char *says;
	} cases[] = {
		{ UP RT "sleep_detection_threshold: 30\n", 6, "not needed" },
		{ UP RT "  - {match: '*.x.test', upstream: p}\n  - {match: y.test, upstream: p}\n"
			"dns: {mode: off}\n",
		  6, "no name is resolved by us: 2 rules of names do nothing" },
		{ UP "routes: [{match: y.test, upstream: p}]\ndns: {mode: off}\n", 4,
		  "1 rule of names does nothing" },
		{ UP "    aws: {profile: q, access_key: AKIDEXAMPLEEXAMPLE, secret_key: x, region: "
		     "r}\n" RT,
		  2, "access_key is used" },
		{ UP, 0, "there are no routes" },
		{ UP RT "  - {match: 10.0.0.0/8, upstream: p}\n", 6,
		  "10.0.0.0/8 is never reached: line 5" },
		{ UP RT "run_as: bob\n", 0, "run_as counts only in a file" },
	};
	struct cfg_report *r = calloc(1, sizeof(*r));

	(void)state;
	assert_non_null(r);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct config *c;

		assert_int_equal(cx_load(&c, r, cases[i].text, NULL, 0), 0);
		assert_int_equal(cx_find(r, cases[i].says, true)->place.line, cases[i].line);
		assert_int_equal(r->n, 1);
		cfg_free(c);
	}
	free(r);
}

#define ORDER                                                                                      \
	"upstreams: {p: {instances: i-1}, q: {instances: i-2}}\nroutes:\n"                         \
	"  - {match: 10.0.0.0/8, upstream: p}\n"                                                   \
	"  - {match: 10.9.0.0/16, upstream: q}\n"                                                  \
	"  - {match: 10.9.9.0/24, upstream: p}\n"                                                  \
	"  - {match: 11.0.0.0/8, upstream: q}\n"

static void test_order(void **state)
{
	struct cfg_report *r = calloc(1, sizeof(*r));
	struct config *c;
	const struct cfg_problem *p;

	(void)state;
	assert_non_null(r);
	assert_int_equal(cx_load(&c, r, ORDER, NULL, 0), ST_ECONFIG);
	assert_int_equal(r->n_errors, 2);
	p = cx_find(r, "10.9.0.0/16 -> q stands behind the broader 10.0.0.0/8 -> p of line 3",
		    false);
	assert_int_equal(p->place.line, 4);
	p = cx_find(r, "10.9.9.0/24 -> p stands behind the broader 10.9.0.0/16 -> q of line 4",
		    false);
	assert_int_equal(p->place.line, 5);

	assert_int_equal(cx_load(&c, r, ORDER "match_order: specific\n", NULL, 0), 0);
	assert_int_equal(r->n, 0);
	assert_int_equal(c->n_routes, 4);
	assert_int_equal(c->routes[0].prefix.len, 24);
	assert_int_equal(c->routes[1].prefix.len, 16);
	assert_int_equal(c->routes[1].upstream, 1);
	cfg_free(c);

	assert_int_equal(cx_load(&c, r, ORDER "match_order: first\n", NULL, 0), 0);
	assert_int_equal(c->n_routes, 2);
	assert_int_equal(r->n, 2);
	cx_find(r, "10.9.0.0/16 is never reached: line 3 comes first", true);
	assert_int_equal(c->routes[0].upstream, 0);
	cfg_free(c);
	free(r);
}

/* Narrow before broad is the same in both orders. */
static void test_order_agrees(void **state)
{
	struct config *c = cx_good(UP "routes:\n  - {match: 10.9.0.0/16, upstream: direct}\n"
				      "  - {match: 10.0.0.0/8, upstream: p}\n"
				      "  - {match: 10.1.0.0/16, upstream: p}\n");

	(void)state;
	assert_int_equal(c->n_routes, 3);
	assert_int_equal(c->routes[2].prefix.len, 8);
	cfg_free(c);
}

static void test_aliases(void **state)
{
	struct config *c = cx_good("upstreams:\n"
				   "  p: &p\n    instances: [&id i-1]\n    aws: &a {region: r-1}\n"
				   "  q:\n    instances: [*id]\n    aws: *a\n"
				   "  s: *p\n" RT);

	(void)state;
	assert_int_equal(c->n_upstreams, 3);
	assert_string_equal(c->upstreams[1].targets[0], "i-1");
	assert_string_equal(c->upstreams[1].aws.region, "r-1");
	assert_string_equal(c->upstreams[2].aws.region, "r-1");
	cfg_free(c);
}

static void test_bombs(void **state)
{
	struct cfg_report *r = calloc(1, sizeof(*r));
	char *text = malloc(MIB(1) + 1);
	struct config *c;
	struct timespec a, b;
	size_t at = 0;

	(void)state;
	assert_non_null(r);
	assert_non_null(text);
	clock_gettime(CLOCK_MONOTONIC, &a);
	at = (size_t)sprintf(text, "a0: &a0 [x,x,x,x,x,x,x,x,x]\n");
	for (int i = 1; i < 60; i++)
		at += (size_t)sprintf(
			text + at, "a%d: &a%d [*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d]\n", i,
			i, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1);
	sprintf(text + at, "upstreams: {p: {instances: *a59}}\nroutes: *a59\n");
	assert_int_equal(cx_load(&c, r, text, NULL, 0), ST_ECONFIG);
	memset(text, '[', MIB(1));
	text[MIB(1)] = '\0';
	assert_int_equal(cx_load(&c, r, text, NULL, 0), ST_ECONFIG);
	memset(text, '{', MIB(1));
	assert_int_equal(cx_load(&c, r, text, NULL, 0), ST_ECONFIG);
	memcpy(text, "k: [", 4);
	for (at = 4; at + 4 < MIB(1); at += 2)
		memcpy(text + at, "a,", 3);
	assert_int_equal(cx_load(&c, r, text, NULL, 0), ST_ECONFIG);
	cx_find(r, "too many values", false);
	clock_gettime(CLOCK_MONOTONIC, &b);
	assert_true(b.tv_sec - a.tv_sec < 10); /* harmless also under a sanitizer */
	free(text);
	free(r);
}

/* What must never be shown: contents of other programs' files, secrets, long values. */
static void test_discretion(void **state)
{
	static const char *const texts[] = {
		"root:$6$geheim:19000:0:99999:7:::\nuser:$6$geheim:19000:0:99999:7:::\n",
		"geheim\n",
		"-----BEGIN OPENSSH PRIVATE KEY-----\ngeheim\n-----END OPENSSH PRIVATE KEY-----\n",
		"[default]\naws_secret_access_key = geheim\n",
		UP "    aws: {secret_key: 'geheim geheim'}\n",
		UP "    aws: {secret_key: [geheim]}\n",
		UP "    aws: {access_key: a, session_token: \"geheim\\n\"}\n",
		UP RT "auth: {pass: geheim}\n",
	};
	struct cfg_report *r = calloc(1, sizeof(*r));
	struct config *c;

	(void)state;
	assert_non_null(r);
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		assert_int_equal(cx_load(&c, r, texts[i], NULL, 0), ST_ECONFIG);
		for (size_t k = 0; k < r->n; k++) {
			if (strstr(r->problems[k].text, "geheim"))
				print_error("%s\nshows: %s\n", texts[i], r->problems[k].text);
			assert_null(strstr(r->problems[k].text, "geheim"));
			assert_null(strstr(r->problems[k].text, "root"));
		}
	}
	assert_int_equal(cx_load(&c, r,
				 UP RT
				 "limits: {flows: \"\\e[31mAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
				 "AAAAAAAAAAAAAAAAAAA\"}\n",
				 NULL, 0),
			 ST_ECONFIG);
	assert_non_null(
		strstr(r->problems[0].text, "\"\\x1b[31mAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA...\""));
	free(r);
}

/* not inlined: GCC 12 takes the buffer for a dangling one */
static __attribute__((noinline)) char *show(const struct config *c)
{
	char *text = NULL;
	size_t len;
	FILE *to = open_memstream(&text, &len);

	assert_non_null(to);
	cfg_show(c, to);
	fclose(to);
	return text;
}

static void test_show(void **state)
{
	struct config *c = cx_good(full), *again;
	char *text = show(c);

	(void)state;
	assert_null(strstr(text, "geheim"));
	assert_non_null(strstr(text, "secret_key: (set)"));
	assert_non_null(strstr(text, "region: eu-west-1                         # /d/f:4:39\n"));
	assert_non_null(strstr(text, "# default\n"));
	assert_non_null(strstr(text, "reason: \"ticket \\x227\\x22\""));
	cfg_free(c);
	/* it loads again, once the masked values are something that keys may be */
	for (char *mask = strstr(text, "(set)"); mask; mask = strstr(mask, "(set)"))
		memset(mask, 'x', strlen("(set)"));
	again = cx_good(text);
	assert_string_equal(again->upstreams[0].reason, "ticket \"7\"");
	assert_int_equal(again->upstreams[0].pace_per_s, 500);
	assert_int_equal(again->n_routes, 9);
	assert_int_equal(again->upstreams[0].resolver.port, 5353);
	check_net(again);
	cfg_free(again);
	free(text);
}

static void test_show_vpc(void **state)
{
	struct config *c = cx_good(UP RT "  - {match: vpc, upstream: p, override: true}\n"), *again;
	char *text = show(c);

	(void)state;
	assert_non_null(strstr(text, "- {match: vpc, upstream: p, override: true} "));
	assert_non_null(strstr(text, "vpc_refresh: 600s"));
	cfg_free(c);
	again = cx_good(text);
	assert_true(again->n_routes == 2 && again->routes[1].match == CFG_MATCH_VPC &&
		    again->routes[1].override);
	cfg_free(again);
	free(text);
}

static void test_speed(void **state)
{
	struct timespec a, b;
	double best_ms = 1e9;

	(void)state;
	for (int i = 0; i < 20; i++) {
		struct config *c;

		clock_gettime(CLOCK_MONOTONIC, &a);
		c = cx_good(full);
		clock_gettime(CLOCK_MONOTONIC, &b);
		cfg_free(c);
		best_ms = MIN(best_ms, (double)(b.tv_sec - a.tv_sec) * 1e3 +
					       (double)(b.tv_nsec - a.tv_nsec) / 1e6);
	}
	print_message("best of 20 loads: %.3f ms\n", best_ms);
	assert_true(best_ms < 20); /* 2 ms without sanitizers */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_full),
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_sessions_defaults),
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_vpc),
		cmocka_unit_test(test_targets_and_key),
		cmocka_unit_test(test_single_local_addresses),
		cmocka_unit_test(test_all_at_once),
		cmocka_unit_test(test_many_problems),
		cmocka_unit_test(test_notes),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_order_agrees),
		cmocka_unit_test(test_aliases),
		cmocka_unit_test(test_bombs),
		cmocka_unit_test(test_discretion),
		cmocka_unit_test(test_show),
		cmocka_unit_test(test_show_vpc),
		cmocka_unit_test(test_speed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
