// SPDX-License-Identifier: MIT
/*
 * tun_look_test.c - where a packet would go, and how strict rp_filter is, in a network namespace of its own
 *
 * Cases: ways: direct, by a gateway, by our table, by user, unreachable, prohibited, blackhole, none, both families; without rights;
 * rp_filter: nowhere, by all, by one interface, the strictest of several, ours and what is down left out.
 */
#include "tun/tun.h"

#include <sys/wait.h>

#include "tests/unit/tun/tun_fixture.h"

static void assert_path(const char *to, uint32_t uid, const char *dev, uint32_t number,
			const char *gateway, const char *source)
{
	struct net_addr dst = addr(to);
	struct tun_path p;
	char text[NET_ADDR_STR];

	assert_int_equal(tun_path_get(&dst, uid, &p), 0);
	assert_int_equal(p.error, 0);
	assert_string_equal(p.ifname, dev);
	assert_int_equal(p.table, number);
	assert_string_equal(net_addr_str(text, &p.gateway), gateway);
	assert_string_equal(net_addr_str(text, &p.source), source);
}

static void assert_no_path(const char *to, int error)
{
	struct net_addr dst = addr(to);
	struct tun_path p;

	assert_int_equal(tun_path_get(&dst, 0, &p), 0);
	assert_int_equal(p.error, error);
	assert_string_equal(p.ifname, "");
}

static void ways(void **state)
{
	const struct tun_route routes[] = { route("10.0.0.0/8", TUN_ROUTE_DEV),
					    route("fd00::/8", TUN_ROUTE_DEV),
					    route("fd11::/16", TUN_ROUTE_UNREACHABLE) };
	struct tun_policy users = { .uids = { { 1000, 1000 } }, .n_uids = 1 };
	struct net_addr own = addr("198.18.0.1"), own6 = addr("fd5a::1"), none = { 0 };
	struct tun *t = open_dev();
	struct tun_path p;

	(void)state;
	assert_int_equal(tun_addr_add(t, &own), 0);
	assert_int_equal(tun_addr_add(t, &own6), 0);
	run("ip tuntap add up0 mode tun; ip addr add 192.0.2.1/24 dev up0; ip link set up0 up");
	run("ip route add unreachable 10.66.0.0/16; ip route add prohibit 10.67.0.0/16; "
	    "ip route add blackhole 10.68.0.0/16; ip -6 route add unreachable 2001:db8::/32");
	assert_no_path("203.0.113.1", ENETUNREACH);
	assert_no_path("2001:db9::1", ENETUNREACH);
	assert_no_path("10.66.1.1", EHOSTUNREACH);
	assert_no_path("10.67.1.1", EACCES);
	assert_no_path("10.68.1.1", EINVAL);
	assert_no_path("2001:db8::1", EHOSTUNREACH);
	run("ip route add default via 192.0.2.254");
	assert_path("192.0.2.7", 0, "up0", 254, "none", "192.0.2.1");
	assert_path("10.1.2.3", 0, "up0", 254, "192.0.2.254", "192.0.2.1");
	assert_int_equal(tun_routes_set(t, TUN_TABLE, routes, ARRAY_LEN(routes)), 0);
	assert_int_equal(tun_rules_set(&users), 0);
	assert_path("10.1.2.3", 1000, DEV, 5373, "none", "198.18.0.1");
	assert_path("10.1.2.3", 1001, "up0", 254, "192.0.2.254", "192.0.2.1");
	assert_path("198.18.0.1", 0, "lo", 255, "none", "198.18.0.1");
	assert_path("fd00::7", 1000, DEV, 5373, "none", "fd5a::1");
	assert_int_equal(tun_rules_set(&(struct tun_policy){ 0 }), 0);
	assert_no_path("fd11::7", EHOSTUNREACH);
	assert_int_equal(tun_path_get(&none, 0, &p), ST_EINVAL);
	assert_string_equal(log_text, "");
	run("ip link del up0; ip route flush proto boot");
	run("ip -6 route del unreachable 2001:db8::/32");
	tun_close(t);
	assert_true(tun_rules_del() > 0);
}

static void without_rights(void **state)
{
	struct net_addr here = addr("127.0.0.1");
	struct tun_path p;
	pid_t child = fork();
	int status;

	(void)state;
	if (child == 0) {
		if (setresgid(65534, 65534, 65534) < 0 || setresuid(65534, 65534, 65534) < 0)
			_exit(2);
		if (tun_path_get(&here, 65534, &p) != 0 || strcmp(p.ifname, "lo") != 0)
			_exit(3);
		_exit(tun_rp_filter(NULL) == 0 ? 0 : 4);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void rp_filter_put(const char *link, const char *value)
{
	char path[128];

	snprintf(path, sizeof(path), "/proc/sys/net/ipv4/conf/%s/rp_filter", link);
	sysctl_put(path, value);
}

static void rp_filter(void **state)
{
	(void)state;
	rp_filter_put("all", "0");
	rp_filter_put("default", "0");
	rp_filter_put("lo", "1"); /* does not count */
	assert_int_equal(tun_rp_filter(DEV), 0);
	run("ip tuntap add a0 mode tun; ip link set a0 up; ip tuntap add b0 mode tun");
	run("ip tuntap add " DEV " mode tun; ip link set " DEV " up");
	assert_int_equal(tun_rp_filter(DEV), 0);
	rp_filter_put("b0", "1"); /* down */
	rp_filter_put(DEV, "1");
	assert_int_equal(tun_rp_filter(DEV), 0);
	assert_int_equal(tun_rp_filter(NULL), 1);
	rp_filter_put("a0", "2");
	assert_int_equal(tun_rp_filter(DEV), 2);
	run("ip link set b0 up");
	assert_int_equal(tun_rp_filter(DEV), 1); /* strict beats loose */
	rp_filter_put("all", "1");
	rp_filter_put("b0", "0");
	assert_int_equal(tun_rp_filter(DEV), 1);
	rp_filter_put("all", "2"); /* makes the strict one loose */
	rp_filter_put("b0", "1");
	assert_int_equal(tun_rp_filter(DEV), 2);
	rp_filter_put("all", "0");
	run("ip link del a0; ip link del b0; ip link del " DEV);
	assert_int_equal(tun_rp_filter(DEV), 0);
	rp_filter_put("lo", "0");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(ways, each_setup),
		cmocka_unit_test_setup(without_rights, each_setup),
		cmocka_unit_test_setup(rp_filter, each_setup),
	};

	RUN_IN_NAMESPACE(tests);
}
