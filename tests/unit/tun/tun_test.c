// SPDX-License-Identifier: MIT
/*
 * tun_test.c - the device, its addresses, routes and news, in a network namespace of its own
 *
 * Cases: a device's settings, and that it goes with all it had; names; a name that is taken; no rights; addresses
 * of both families, twice; IPv6 switched off; packets out with a vouched checksum; packets in with an unfinished, a right and
 * a wrong checksum, under strict rp_filter; a vanished device; routes: set, differ, change kind, throw, heal, too many, full
 * table, flush, foreign ones untouched, unreachable ones behind the device's and alone, left behind on wish, in both tables;
 * single hosts; main table; monitor.
 * What the kernel holds is read back by iproute2.
 */
#include "tun/tun.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "tests/unit/tun/tun_fixture.h"

static void device_settings(void **state)
{
	struct tun *t = open_dev();

	(void)state;
	assert_string_equal(tun_name(t), DEV);
	assert_true(tun_ifindex(t) > 0);
	assert_true(tun_device_exists(DEV));
	assert_says("ip -j link show dev " DEV, "\"mtu\":65535");
	assert_says("ip -j link show dev " DEV, "\"UP\"");
	assert_silent_about("ip -j link show dev " DEV, "MULTICAST");
	assert_says("ip -j -d link show dev " DEV, "\"inet6_addr_gen_mode\":\"none\"");
	assert_says("ip -j -d link show dev " DEV, "\"vnet_hdr\":true");
	assert_silent_about("ip -j addr show dev " DEV, "\"local\"");
	/* The kernel said nothing by itself. */
	uint8_t packet[2048];
	bool ok;
	assert_int_equal(tun_read(t, packet, sizeof(packet), &ok), ST_EAGAIN);
	tun_close(t);
	assert_false(tun_device_exists(DEV));
}

static void all_goes_with_the_device(void **state)
{
	const struct tun_route routes[] = { route("10.0.0.0/8", TUN_ROUTE_DEV),
					    route("10.9.0.0/16", TUN_ROUTE_THROW),
					    route("fd00:9::/32", TUN_ROUTE_DEV),
					    route("fd00:9:1::/48", TUN_ROUTE_THROW) };
	struct net_addr own = addr("198.18.0.1");
	struct tun *t = open_dev();

	(void)state;
	assert_int_equal(tun_addr_add(t, &own), 0);
	assert_int_equal(tun_routes_set(t, TUN_TABLE, routes, 4), 0);
	assert_says("ip -j route show table 5373", "10.9.0.0/16");
	tun_close(t);
	assert_string_equal(output("ip route show table 5373; ip -6 route show table 5373"), "");
	assert_silent_about("ip addr", "198.18.0.1");
}

static void names(void **state)
{
	static const char *const bad[] = {
		"", "0123456789abcdef", "a/b", "a b", "tun%d", "..", ".", "all", "default", "a\n"
	};
	struct tun *t = NULL;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(tun_open(&t, bad[i], tun_clone_open()), ST_EINVAL);
	assert_int_equal(tun_open(&t, "0123456789abcde", tun_clone_open()), 0);
	tun_close(t);
	tun_close(NULL);
}

static void name_is_taken(void **state)
{
	struct tun *t = open_dev(), *second = NULL;

	(void)state;
	assert_int_equal(tun_open(&second, DEV, tun_clone_open()), ST_EEXIST);
	assert_null(second);
	assert_non_null(strstr(log_text, "exists already"));
	tun_close(t);
	/* A device that somebody made to stay is not taken over either. */
	run("ip tuntap add dev " DEV " mode tun");
	assert_int_equal(tun_open(&second, DEV, tun_clone_open()), ST_EEXIST);
	assert_true(tun_device_exists(DEV));
	run("ip link del " DEV);
}

static void without_rights(void **state)
{
	pid_t child = fork();
	int status;

	(void)state;
	if (child == 0) {
		struct tun *t;
		int fd = tun_clone_open();

		log_to_fd(open("/dev/null", O_WRONLY | O_CLOEXEC));
		if (setresgid(65534, 65534, 65534) < 0 || setresuid(65534, 65534, 65534) < 0)
			_exit(2);
		if (tun_open(&t, DEV, fd) != ST_EPERM || !strstr(log_text, "sudo"))
			_exit(3);
		_exit(tun_rules_set(&(struct tun_policy){ 0 }) == ST_EPERM ? 0 : 4);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void addresses(void **state)
{
	struct net_addr four = addr("198.18.0.1"), six = addr("fd5a:1::1");
	const struct net_addr none = { 0 };
	struct tun *t = open_dev();

	(void)state;
	for (int twice = 0; twice < 2; twice++) {
		assert_int_equal(tun_addr_add(t, &four), 0);
		assert_int_equal(tun_addr_add(t, &six), 0);
	}
	assert_int_equal(tun_addr_add(t, &none), ST_EINVAL);
	assert_says("ip -j addr show dev " DEV, "\"local\":\"198.18.0.1\",\"prefixlen\":32");
	assert_says("ip -j addr show dev " DEV, "\"local\":\"fd5a:1::1\",\"prefixlen\":128");
	assert_says("ip -j -6 addr show dev " DEV, "\"nodad\":true");
	assert_silent_about("ip -j -6 addr show dev " DEV, "tentative");
	assert_silent_about("ip route; ip -6 route", DEV);
	tun_close(t);
}

static void ipv6_switched_off(void **state)
{
	const struct tun_route routes[] = { route("10.0.0.0/8", TUN_ROUTE_DEV),
					    route("fd00:9::/32", TUN_ROUTE_DEV) };
	const struct tun_route all[] = { route("::/0", TUN_ROUTE_UNREACHABLE),
					 route("fe80::/10", TUN_ROUTE_THROW) };
	struct net_addr six = addr("fd5a:1::1");
	struct tun *t;

	(void)state;
	sysctl_put("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1");
	t = open_dev();
	assert_int_equal(tun_addr_add(t, &six), 0);
	assert_int_equal(tun_routes_set(t, TUN_TABLE, routes, 2), 0);
	assert_says("ip -j route show table 5373", "10.0.0.0/8");
	assert_string_equal(output("ip -6 route show table 5373"), "");
	const char *told = strstr(log_text, "IPv6 is switched off");
	assert_non_null(told);
	assert_null(strstr(told + 1, "IPv6 is switched off")); /* once */
	/* another interface may have it all the same: what must not leave must not */
	assert_int_equal(tun_routes_set(t, TUN_TABLE_ALL, all, 2), 0);
	assert_says("ip -6 route show table 5374", "unreachable default");
	assert_says("ip -6 route show table 5374", "throw fe80::/10");
	tun_close(t);
	assert_string_equal(output("ip -6 route show table 5374"), "");
	sysctl_put("/proc/sys/net/ipv6/conf/default/disable_ipv6", "0");
}

/* ---- packets ---- */

static void packets(void **state)
{
	static const uint8_t ping[] = { 'p', 'i', 'n', 'g', '!' };
	static const uint8_t pong[] = { 'p', 'o', 'n', 'g', '!' };
	const struct tun_route to_us = route("10.0.0.0/8", TUN_ROUTE_DEV);
	struct net_addr own = addr("198.18.0.1");
	struct net_endpoint far = { .addr = addr("10.1.2.3"), .port = 53 };
	struct sockaddr_storage sa;
	uint8_t p[2048], in[64];
	bool csum_ok = false;
	ssize_t len;
	socklen_t sa_len;
	struct tun *t;
	int sock;

	(void)state;
	sysctl_put("/proc/sys/net/ipv4/conf/all/rp_filter", "1");
	t = open_dev();
	assert_int_equal(tun_addr_add(t, &own), 0);
	assert_int_equal(tun_routes_set(t, TUN_TABLE, &to_us, 1), 0);
	assert_int_equal(tun_rules_set(&(struct tun_policy){ 0 }), 0);
	sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	sa_len = net_sockaddr(&sa, &far);
	assert_int_equal(connect(sock, (struct sockaddr *)&sa, sa_len), 0);
	assert_int_equal(send(sock, ping, sizeof(ping), 0), sizeof(ping));
	await(tun_fd(t));
	len = tun_read(t, p, sizeof(p), &csum_ok);
	assert_int_equal(len, IP_LEN + UDP_LEN + 5);
	assert_true(csum_ok);
	assert_memory_equal(p + 12, own.b, 4);
	assert_memory_equal(p + IP_LEN + UDP_LEN, ping, sizeof(ping));

	/* Complete but wrong: dropped. Then unfinished, in two parts: arrives. Then complete and right: arrives. */
	turn_round(p, (size_t)len);
	uint16_t unfinished = be16_get(p + IP_LEN + 6);
	uint16_t right = (uint16_t)~sum_of(p + IP_LEN, (size_t)len - IP_LEN, 0);
	struct iovec parts[2] = { { p, 30 }, { p + 30, (size_t)len - 30 } };
	be16_put(p + IP_LEN + 6, (uint16_t)(right ^ 0x1234));
	assert_int_equal(tun_writev(t, parts, 2, 0, 0), 0);
	be16_put(p + IP_LEN + 6, unfinished);
	memcpy(p + IP_LEN + UDP_LEN, pong, sizeof(pong));
	assert_int_equal(tun_writev(t, parts, 2, IP_LEN, 6), 0);
	await(sock);
	assert_int_equal(recv(sock, in, sizeof(in), 0), 5);
	assert_memory_equal(in, pong, sizeof(pong));
	memcpy(p + IP_LEN + UDP_LEN, ping, sizeof(ping));
	be16_put(p + IP_LEN + 6, right);
	assert_int_equal(tun_writev(t, parts, 2, 0, 0), 0);
	await(sock);
	assert_int_equal(recv(sock, in, sizeof(in), 0), 5);
	assert_memory_equal(in, ping, sizeof(ping));
	assert_int_equal(recv(sock, in, sizeof(in), MSG_DONTWAIT), -1);

	assert_int_equal(tun_writev(t, parts, 0, 0, 0), ST_EINVAL);
	assert_int_equal(tun_writev(t, parts, 257, 0, 0), ST_EINVAL);
	run("ip link set " DEV " down");
	assert_int_equal(tun_writev(t, parts, 2, 0, 0), ST_ESYS);
	run("ip link del " DEV);
	assert_int_equal(tun_read(t, p, sizeof(p), &csum_ok), ST_ECLOSED);
	close(sock);
	tun_close(t);
	assert_int_equal(tun_rules_del(), 6);
	sysctl_put("/proc/sys/net/ipv4/conf/all/rp_filter", "0");
}

/* ---- routes ---- */

static void routes_differ(void **state)
{
	const struct tun_route first[] = { route("10.0.0.0/8", TUN_ROUTE_DEV),
					   route("172.16.0.0/12", TUN_ROUTE_DEV),
					   route("10.1.0.0/16", TUN_ROUTE_THROW),
					   route("fd00:9::/32", TUN_ROUTE_DEV),
					   route("fd00:9:1::/48", TUN_ROUTE_THROW) };
	const struct tun_route second[] = { route("10.1.0.0/16", TUN_ROUTE_DEV),
					    route("10.0.0.0/8", TUN_ROUTE_DEV),
					    route("fd00:9::/32", TUN_ROUTE_THROW),
					    route("fd00:9:1::/48", TUN_ROUTE_DEV),
					    route("192.168.0.0/16", TUN_ROUTE_DEV) };
	struct tun *t = open_dev();

	(void)state;
	assert_int_equal(tun_routes_set(t, TUN_TABLE, first, ARRAY_LEN(first)), 0);
	assert_string_equal(output("ip route show table 5373"),
			    "10.0.0.0/8 dev " DEV " proto 83 scope link \n"
			    "throw 10.1.0.0/16 proto 83 \n"
			    "172.16.0.0/12 dev " DEV " proto 83 scope link \n");
	assert_says("ip -6 route show table 5373", "throw fd00:9:1::/48");
	assert_says("ip -6 route show table 5373", "fd00:9::/32 dev " DEV);
	assert_int_equal(tun_routes_set(t, TUN_TABLE, second, ARRAY_LEN(second)), 0);
	assert_string_equal(output("ip route show table 5373"),
			    "10.0.0.0/8 dev " DEV " proto 83 scope link \n"
			    "10.1.0.0/16 dev " DEV " proto 83 scope link \n"
			    "192.168.0.0/16 dev " DEV " proto 83 scope link \n");
	assert_says("ip -6 route show table 5373", "throw fd00:9::/32");
	assert_says("ip -6 route show table 5373", "fd00:9:1::/48 dev " DEV);
	assert_silent_about("ip -6 route show table 5373", "throw fd00:9:1::/48");
	assert_int_equal(tun_routes_set(t, TUN_TABLE, NULL, 0), 0);
	assert_string_equal(output("ip route show table 5373; ip -6 route show table 5373"), "");
	assert_string_equal(log_text, "");
	tun_close(t);
}

/* Nothing is touched that need not be: a listener of our own hears no message between two marks. */
static void routes_unchanged_cause_no_change(void **state)
{
	const struct tun_route same[] = { route("10.0.0.0/8", TUN_ROUTE_DEV),
					  route("10.1.0.0/16", TUN_ROUTE_THROW),
					  route("fd00:9::/32", TUN_ROUTE_DEV) };
	struct tun *t = open_dev();
	uint8_t in[4096];
	int fd;

	(void)state;
	assert_int_equal(tun_routes_set(t, TUN_TABLE, same, 3), 0);
	fd = tun_monitor_open();
	assert_true(fd >= 0);
	assert_int_equal(tun_routes_set(t, TUN_TABLE, same, 3), 0);
	assert_int_equal(recv(fd, in, sizeof(in), 0), -1);
	assert_int_equal(errno, EAGAIN);
	assert_int_equal(tun_routes_set(t, TUN_TABLE, same, 2), 0); /* the listener does hear */
	assert_true(recv(fd, in, sizeof(in), 0) > 0);
	close(fd);
	tun_close(t);
}

static void routes_heal_and_leave_others(void **state)
{
	const struct tun_route routes[] = { route("10.0.0.0/8", TUN_ROUTE_DEV),
					    route("10.1.0.0/16", TUN_ROUTE_THROW) };
	struct tun *t = open_dev();

	(void)state;
	assert_int_equal(tun_routes_set(t, TUN_TABLE, routes, 2), 0);
	run("ip route del 10.0.0.0/8 table 5373");
	run("ip route add throw 172.20.0.0/16 table 5373 proto 83"); /* as a crash leaves it */
	run("ip route add blackhole 172.21.0.0/16 table 5373 proto static");
	assert_int_equal(tun_routes_set(t, TUN_TABLE, routes, 2), 0);
	assert_says("ip route show table 5373", "10.0.0.0/8 dev " DEV);
	assert_silent_about("ip route show table 5373", "172.20.0.0");
	assert_says("ip route show table 5373", "blackhole 172.21.0.0/16");
	assert_int_equal(tun_routes_flush(), 0);
	assert_string_equal(output("ip route show table 5373"),
			    "blackhole 172.21.0.0/16 proto static \n");
	run("ip route flush table 5373");
	assert_int_equal(tun_routes_flush(), 0);
	tun_close(t);
}

static void equal_prefixes_throw_wins(void **state)
{
	const struct tun_route routes[] = { route("10.1.0.0/16", TUN_ROUTE_DEV),
					    route("10.1.0.0/16", TUN_ROUTE_THROW),
					    route("10.1.0.0/16", TUN_ROUTE_DEV) };
	struct tun *t = open_dev();

	(void)state;
	assert_int_equal(tun_routes_set(t, TUN_TABLE, routes, 3), 0);
	assert_string_equal(output("ip route show table 5373"), "throw 10.1.0.0/16 proto 83 \n");
	tun_close(t);
}

/* Sorted text of both families of a table. */
static const char *table(const char *number)
{
	char cmd[128];

	snprintf(cmd, sizeof(cmd), "ip route show table %s; ip -6 route show table %s", number,
		 number);
	return output(cmd);
}

static void unreachable_routes(void **state)
{
	const struct tun_route routes[] = {
		route("10.0.0.0/8", TUN_ROUTE_UNREACHABLE), route("10.0.0.0/8", TUN_ROUTE_DEV),
		route("10.1.0.0/16", TUN_ROUTE_THROW),	    route("10.0.0.0/8", TUN_ROUTE_DEV),
		route("::/0", TUN_ROUTE_UNREACHABLE),	    route("fd00::/8", TUN_ROUTE_DEV),
		route("fd00::/8", TUN_ROUTE_UNREACHABLE),   route("0.0.0.0/0", TUN_ROUTE_DEV),
	};
	static const char all[] =
		"default dev " DEV " proto 83 scope link \n"
		"10.0.0.0/8 dev " DEV " proto 83 scope link \n"
		"unreachable 10.0.0.0/8 proto 83 metric 4294967295 \n"
		"throw 10.1.0.0/16 proto 83 \n"
		"fd00::/8 dev " DEV " proto 83 metric 1024 pref medium\n"
		"unreachable fd00::/8 dev lo proto 83 metric 4294967295 pref medium\n"
		"unreachable default dev lo proto 83 metric 4294967295 pref medium\n";
	struct tun *t = open_dev();
	int fd;

	(void)state;
	assert_int_equal(tun_routes_set(t, TUN_TABLE_ALL, routes, ARRAY_LEN(routes)), 0);
	assert_string_equal(table("5374"), all);
	assert_string_equal(table("5373"), "");
	/* Set again: nothing changes. */
	fd = tun_monitor_open();
	assert_int_equal(tun_routes_set(t, TUN_TABLE_ALL, routes, ARRAY_LEN(routes)), 0);
	struct pollfd heard = { .fd = fd, .events = POLLIN };
	assert_int_equal(poll(&heard, 1, 0), 0);
	close(fd);
	/* The device's route goes, what stands behind it stays, and the other way round. */
	assert_int_equal(tun_routes_set(t, TUN_TABLE_ALL, routes, 1), 0);
	assert_string_equal(table("5374"), "unreachable 10.0.0.0/8 proto 83 metric 4294967295 \n");
	assert_int_equal(tun_routes_set(t, TUN_TABLE_ALL, routes, ARRAY_LEN(routes)), 0);
	assert_int_equal(tun_routes_set(t, TUN_TABLE_ALL, routes + 5, 1), 0);
	assert_string_equal(table("5374"),
			    "fd00::/8 dev " DEV " proto 83 metric 1024 pref medium\n");
	/* Another metric than ours is not what was asked for. */
	run("ip route add unreachable 10.9.0.0/16 metric 7 table 5374 proto 83");
	run("ip -6 route add unreachable fd00::/8 metric 2000 table 5374 proto 83");
	assert_int_equal(tun_routes_set(t, TUN_TABLE_ALL, routes, ARRAY_LEN(routes)), 0);
	assert_string_equal(table("5374"), all);
	assert_string_equal(log_text, "");
	tun_close(t);
	assert_string_equal(table("5374"), "");
}

/* A crash, or a wish: unreachable routes stand where the device's were. */
static void unreachable_routes_stay(void **state)
{
	const struct tun_route routes[] = { route("10.0.0.0/8", TUN_ROUTE_DEV),
					    route("10.0.0.0/8", TUN_ROUTE_UNREACHABLE),
					    route("10.1.0.0/16", TUN_ROUTE_THROW),
					    route("::/0", TUN_ROUTE_DEV),
					    route("::/0", TUN_ROUTE_UNREACHABLE) };
	struct tun *t = open_dev();

	(void)state;
	assert_int_equal(tun_routes_set(t, TUN_TABLE, routes, ARRAY_LEN(routes)), 0);
	assert_int_equal(tun_routes_set(t, TUN_TABLE_ALL, routes, ARRAY_LEN(routes)), 0);
	assert_int_equal(tun_rules_set(&(struct tun_policy){ .system = true }), 0);
	tun_leave_unreachable(t, true);
	tun_close(t);
	assert_string_equal(table("5373"),
			    "unreachable 10.0.0.0/8 proto 83 metric 4294967295 \n"
			    "unreachable default dev lo proto 83 metric 4294967295 pref medium\n");
	assert_string_equal(table("5374"), table("5373"));
	assert_says("ip route get 10.2.2.3 2>&1", "No route to host");
	assert_says("ip route get 2001:db8::1 2>&1", "No route to host");
	/* The next device takes over. */
	t = open_dev();
	assert_int_equal(tun_routes_set(t, TUN_TABLE, routes, ARRAY_LEN(routes)), 0);
	assert_says("ip route get 10.2.2.3", "dev " DEV);
	assert_says("ip route get 2001:db8::1", "dev " DEV);
	assert_int_equal(tun_routes_flush(), 0);
	assert_string_equal(table("5373"), "");
	assert_string_equal(table("5374"), "");
	tun_close(t);
	assert_true(tun_rules_del() > 0);
}

static void single_hosts(void **state)
{
	const struct tun_route away = route("10.9.9.9/32", TUN_ROUTE_THROW);
	struct net_addr four = addr("10.1.2.3"), six = addr("fd00::9"), kept = addr("10.9.9.9");
	struct tun *t = open_dev();

	(void)state;
	assert_int_equal(tun_routes_set(t, TUN_TABLE, &away, 1), 0);
	for (int twice = 0; twice < 2; twice++) {
		assert_int_equal(tun_route_host(t, &four, true), 0);
		assert_int_equal(tun_route_host(t, &six, true), 0);
		assert_int_equal(tun_route_host(t, &kept, true), 0); /* the local one wins */
	}
	assert_string_equal(table("5373"),
			    "10.1.2.3 dev " DEV " proto 83 scope link \n"
			    "throw 10.9.9.9 proto 83 \n"
			    "fd00::9 dev " DEV " proto 83 metric 1024 pref medium\n");
	for (int twice = 0; twice < 2; twice++) {
		assert_int_equal(tun_route_host(t, &four, false), 0);
		assert_int_equal(tun_route_host(t, &six, false), 0);
		assert_int_equal(tun_route_host(t, &kept, false), 0);
	}
	assert_string_equal(table("5373"), "throw 10.9.9.9 proto 83 \n");
	assert_int_equal(tun_route_host(t, &four, true), 0);
	assert_int_equal(tun_routes_set(t, TUN_TABLE, &away, 1), 0); /* names it no longer */
	assert_string_equal(table("5373"), "throw 10.9.9.9 proto 83 \n");
	assert_string_equal(log_text, "");
	run("ip link set " DEV " down");
	assert_int_equal(tun_route_host(t, &four, true), ST_ESYS);
	assert_non_null(strstr(log_text, "the route of 10.1.2.3"));
	tun_close(t);
}

static void routes_at_the_limit(void **state)
{
	struct tun_route *routes = calloc(TUN_ROUTES_MAX + 1, sizeof(*routes));
	struct tun *t = open_dev();

	(void)state;
	assert_non_null(routes);
	for (uint32_t i = 0; i <= TUN_ROUTES_MAX; i++) {
		routes[i] = (struct tun_route){ .prefix = { .addr = { .family = 4 }, .len = 32 },
						.kind = i % 2 ? TUN_ROUTE_DEV : TUN_ROUTE_THROW };
		be32_put(routes[i].prefix.addr.b, 0x0a000000 + i * 7);
	}
	assert_int_equal(tun_routes_set(t, TUN_TABLE, routes, TUN_ROUTES_MAX + 1), ST_EFULL);
	assert_int_equal(tun_routes_set(t, TUN_TABLE, routes, TUN_ROUTES_MAX), 0);
	assert_int_equal(atoi(output("ip route show table 5373 | wc -l")), TUN_ROUTES_MAX);
	assert_int_equal(tun_routes_set(t, TUN_TABLE, routes, 1), 0);
	assert_int_equal(atoi(output("ip route show table 5373 | wc -l")), 1);
	tun_close(t);
	free(routes);
}

/* A route that the kernel refuses is named, and the others stand. */
static void refused_route_is_named(void **state)
{
	struct tun_route routes[] = { route("10.0.0.0/8", TUN_ROUTE_DEV),
				      route("10.5.0.0/16", TUN_ROUTE_DEV) };
	struct tun *t = open_dev();

	(void)state;
	run("ip link set " DEV " down");
	assert_int_equal(tun_routes_set(t, TUN_TABLE, routes, 2), ST_ESYS);
	assert_non_null(strstr(log_text, "10.5.0.0/16: Network is down"));
	run("ip link set " DEV " up");
	routes[1].prefix.addr.b[3] = 1; /* host bits: EINVAL */
	assert_int_equal(tun_routes_set(t, TUN_TABLE, routes, 2), ST_ESYS);
	assert_non_null(strstr(log_text, "10.5.0.1/16: Invalid argument"));
	assert_says("ip route show table 5373", "10.0.0.0/8 dev " DEV);
	tun_close(t);
}

/* ---- the main table and its news ---- */

static const struct tun_main_route *find(const struct tun_main_route *v, int n, const char *prefix)
{
	char text[NET_PREFIX_STR];

	for (int i = 0; i < n; i++)
		if (strcmp(net_prefix_str(text, &v[i].prefix), prefix) == 0)
			return &v[i];
	return NULL;
}

static void main_table(void **state)
{
	struct tun_main_route v[64];
	uint32_t dummy;
	int n;

	(void)state;
	run("ip tuntap add d0 mode tun && ip addr add 192.0.2.1/24 dev d0 && ip link set d0 up");
	run("ip tuntap add d1 mode tun && ip link set d1 up");
	run("ip route add default via 192.0.2.254 && ip route add 10.7.0.0/16 via 192.0.2.2");
	run("ip route add blackhole 10.8.0.0/16 && ip route add 10.9.0.0/16 dev d1");
	run("ip route add 10.6.0.0/16 nexthop via 192.0.2.2 nexthop via 192.0.2.3");
	run("ip -6 route add fd00:7::/32 dev d0 && ip route add 10.5.0.0/16 dev d0 table 5373");
	n = tun_main_routes(v, ARRAY_LEN(v), 0);
	assert_true(n >= 6);
	assert_string_equal(find(v, n, "192.0.2.0/24")->ifname, "d0");
	assert_string_equal(find(v, n, "10.7.0.0/16")->ifname, "d0");
	assert_string_equal(find(v, n, "10.6.0.0/16")->ifname, "d0");
	assert_string_equal(find(v, n, "10.8.0.0/16")->ifname, "");
	assert_string_equal(find(v, n, "10.9.0.0/16")->ifname, "d1");
	assert_string_equal(find(v, n, "fd00:7::/32")->ifname, "d0");
	assert_null(find(v, n, "0.0.0.0/0"));
	assert_null(find(v, n, "10.5.0.0/16"));
	dummy = find(v, n, "10.9.0.0/16")->ifindex;
	n = tun_main_routes(v, ARRAY_LEN(v), dummy);
	assert_null(find(v, n, "10.9.0.0/16"));
	assert_non_null(find(v, n, "10.7.0.0/16"));
	assert_int_equal(tun_main_routes(v, 2, 0), ST_EFULL);
	run("ip link del d0 && ip link del d1 && ip route del blackhole 10.8.0.0/16");
}

static void monitor(void **state)
{
	int fd = tun_monitor_open();

	(void)state;
	assert_true(fd >= 0);
	assert_false(tun_monitor_drain(fd));
	run("ip route add throw 10.77.0.0/16 table 5373");
	await(fd);
	assert_false(tun_monitor_drain(fd)); /* not the main table */
	run("ip route add blackhole 10.77.0.0/16");
	await(fd);
	assert_true(tun_monitor_drain(fd));
	assert_false(tun_monitor_drain(fd));
	run("ip tuntap add d0 mode tun");
	await(fd);
	assert_true(tun_monitor_drain(fd));
	run("ip addr add 192.0.2.1/32 dev d0");
	await(fd);
	assert_true(tun_monitor_drain(fd));
	run("ip link del d0; ip route del blackhole 10.77.0.0/16; ip route flush table 5373");
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(device_settings, each_setup),
		cmocka_unit_test_setup(all_goes_with_the_device, each_setup),
		cmocka_unit_test_setup(names, each_setup),
		cmocka_unit_test_setup(name_is_taken, each_setup),
		cmocka_unit_test_setup(without_rights, each_setup),
		cmocka_unit_test_setup(addresses, each_setup),
		cmocka_unit_test_setup(ipv6_switched_off, each_setup),
		cmocka_unit_test_setup(packets, each_setup),
		cmocka_unit_test_setup(routes_differ, each_setup),
		cmocka_unit_test_setup(routes_unchanged_cause_no_change, each_setup),
		cmocka_unit_test_setup(routes_heal_and_leave_others, each_setup),
		cmocka_unit_test_setup(equal_prefixes_throw_wins, each_setup),
		cmocka_unit_test_setup(unreachable_routes, each_setup),
		cmocka_unit_test_setup(unreachable_routes_stay, each_setup),
		cmocka_unit_test_setup(single_hosts, each_setup),
		cmocka_unit_test_setup(routes_at_the_limit, each_setup),
		cmocka_unit_test_setup(refused_route_is_named, each_setup),
		cmocka_unit_test_setup(main_table, each_setup),
		cmocka_unit_test_setup(monitor, each_setup),
	};

	RUN_IN_NAMESPACE(tests);
}
