// SPDX-License-Identifier: MIT
/*
 * tun_rules_test.c - our policy rules for each kind of policy, in a network namespace of its own
 *
 * Cases: split mode: add, twice, delete; our own sockets pass; foreign rules refused and untouched; each kind of policy as text, both families;
 * impossible policies; from one policy to another: no gap (nothing is deleted before all is added, what stays is not touched), also where
 * one rule selects less than its neighbour; odd leftovers of our number go; where the kernel sends packets: users, resolvers,
 * DHCP, local networks, forwarded packets, and what comes out of the device; answers under strict rp_filter with an access list;
 * the largest policy; exceptions go last. What the kernel holds is read back by iproute2.
 */
#include "tun/tun.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <linux/fib_rules.h>
#include <linux/rtnetlink.h>

#include "tests/unit/tun/tun_fixture.h"

#define RULES4 "ip -N rule show | grep proto.83"
#define RULES6 "ip -N -6 rule show | grep proto.83"

static void rules(void **state)
{
	(void)state;
	assert_int_equal(tun_rules_del(), 0);
	assert_int_equal(tun_rules_set(&(struct tun_policy){ 0 }), 0);
	assert_int_equal(tun_rules_set(&(struct tun_policy){ 0 }), 0); /* a crash left them */
	assert_string_equal(output("ip rule show pref 5302"),
			    "5302:\tfrom all iif lo lookup 5373 proto 83\n");
	assert_string_equal(output("ip -6 rule show pref 5302"),
			    "5302:\tfrom all iif lo lookup 5373 proto 83\n");
	assert_string_equal(output("ip rule show pref 5299; ip rule show pref 5309"),
			    "5299:\tfrom all fwmark 0x5373 iif lo goto 5309 proto 83\n"
			    "5309:\tfrom all nop proto 83\n");
	assert_string_equal(output("ip -6 rule show pref 5299; ip -6 rule show pref 5309"),
			    "5299:\tfrom all fwmark 0x5373 iif lo goto 5309 proto 83\n"
			    "5309:\tfrom all nop proto 83\n");
	assert_int_equal(tun_rules_foreign(NULL, 0), 0);
	/* Another of ours, as system mode will have it. */
	run("ip rule add pref 5299 lookup main suppress_prefixlength 0 proto 83");
	assert_int_equal(tun_rules_del(), 7);
	assert_silent_about("ip rule; ip -6 rule", "53");
}

/* Sockets with our mark pass our table by, and go where the rules of others and the main table send them. */
static void own_sockets(void **state)
{
	const struct tun_route to_us = route("10.0.0.0/8", TUN_ROUTE_DEV);
	struct tun *t = open_dev();

	(void)state;
	run("ip tuntap add own0 mode tun; ip link set own0 up; ip route add 10.0.0.0/7 dev own0");
	assert_int_equal(tun_routes_set(t, TUN_TABLE, &to_us, 1), 0);
	assert_int_equal(tun_rules_set(&(struct tun_policy){ 0 }), 0);
	assert_non_null(strstr(output("ip route get 10.1.2.3"), "dev " DEV));
	assert_non_null(strstr(output("ip route get 10.1.2.3 mark 0x5373"), "dev own0"));
	assert_non_null(strstr(output("ip route get 10.1.2.3 mark 0x5372"), "dev " DEV));
	run("ip rule add pref 6000 fwmark 0x5373 to 10.1.0.0/16 unreachable");
	assert_null(strstr(output("ip route get 10.1.2.3 mark 0x5373 2>&1"), "dev"));
	run("ip rule del pref 6000; ip link del own0");
	assert_int_equal(tun_rules_del(), 6);
	tun_close(t);
}

static void foreign_rules(void **state)
{
	char text[8][128];

	(void)state;
	run("ip rule add pref 5301 from 10.0.0.0/8 iif lo lookup 12");
	run("ip -6 rule add pref 5310 not from all unreachable");
	run("ip rule add pref 5300 lookup 5373");	   /* like ours, but somebody else's */
	run("ip rule add pref 5311 lookup 5373 proto 83"); /* outside of the band */
	run("ip rule add pref 5298 lookup 5373 proto 83");
	assert_int_equal(tun_rules_foreign(text, 8), 3);
	assert_string_equal(text[0], "5300: from all lookup 5373");
	assert_string_equal(text[1], "5301: from 10.0.0.0/8 iif lo lookup 12");
	assert_string_equal(text[2], "5310: not from all unreachable (IPv6)");
	assert_int_equal(tun_rules_foreign(text, 1), 1);
	assert_int_equal(tun_rules_set(&(struct tun_policy){ 0 }), ST_EEXIST);
	assert_non_null(strstr(log_text, "5301: from 10.0.0.0/8 iif lo lookup 12"));
	assert_non_null(strstr(log_text, "5310: not from all unreachable (IPv6)"));
	assert_int_equal(tun_rules_del(), 0);
	assert_int_equal(tun_rules_foreign(text, 8), 3);
	run("ip rule del pref 5301; ip -6 rule del pref 5310; ip rule del pref 5300");
	run("ip rule del pref 5311; ip rule del pref 5298");
}

/* ---- kinds of policy ---- */

static const struct tun_policy split = { 0 };

static void system_mode_rules(void **state)
{
	const struct tun_policy p = { .system = true, .own = addr("198.18.0.1") };

	(void)state;
	assert_int_equal(tun_rules_set(&p), 0);
	assert_string_equal(
		output(RULES4),
		"5299:\tfrom all fwmark 0x5373 iif lo goto 5309 proto 83\n"
		"5300:\tfrom all iif lo ipproto ipproto-17 sport 68 dport 67 goto 5309 proto 83\n"
		"5301:\tfrom all iif lo ipproto ipproto-17 dport 53 lookup 5374 proto 83\n"
		"5301:\tfrom all iif lo ipproto ipproto-6 dport 53 lookup 5374 proto 83\n"
		"5301:\tfrom 198.18.0.1 iif lo lookup 5374 proto 83\n"
		"5302:\tfrom all iif lo lookup 5373 proto 83\n"
		"5303:\tfrom all iif lo lookup 254 suppress_prefixlength 0 proto 83\n"
		"5304:\tfrom all iif lo lookup 5374 proto 83\n"
		"5309:\tfrom all nop proto 83\n");
	assert_says(RULES6,
		    "5300:\tfrom all iif lo ipproto ipproto-17 dport 547 goto 5309 proto 83");
	assert_int_equal(tun_rules_set(&split), 0);
	assert_int_equal(atoi(output(RULES4 " | wc -l")), 3);
	assert_int_equal(atoi(output(RULES6 " | wc -l")), 3);
	assert_int_equal(tun_rules_del(), 6);
}

static void resolvers_rules(void **state)
{
	const struct tun_policy p = { .resolvers = { addr("192.0.2.53"), addr("2001:db8::53") },
				      .n_resolvers = 2 };

	(void)state;
	assert_int_equal(tun_rules_set(&p), 0);
	assert_string_equal(output(RULES4 " | grep 5301"),
			    "5301:\tfrom all to 192.0.2.53 iif lo ipproto ipproto-17 dport 53 "
			    "lookup 5374 proto 83\n"
			    "5301:\tfrom all to 192.0.2.53 iif lo ipproto ipproto-6 dport 53 "
			    "lookup 5374 proto 83\n");
	assert_string_equal(output(RULES6 " | grep 5301"),
			    "5301:\tfrom all to 2001:db8::53 iif lo ipproto ipproto-17 dport 53 "
			    "lookup 5374 proto 83\n"
			    "5301:\tfrom all to 2001:db8::53 iif lo ipproto ipproto-6 dport 53 "
			    "lookup 5374 proto 83\n");
	assert_int_equal(tun_rules_del(), 10);
}

static void forward_rules(void **state)
{
	const struct tun_policy p = { .system = true, .forward = true, .device = DEV };

	(void)state;
	assert_int_equal(tun_rules_set(&p), 0);
	assert_string_equal(
		output(RULES4),
		"5299:\tfrom all fwmark 0x5373 goto 5309 proto 83\n"
		"5299:\tfrom all iif " DEV " [detached] goto 5309 proto 83\n"
		"5300:\tfrom all iif lo ipproto ipproto-17 sport 68 dport 67 goto 5309 proto 83\n"
		"5301:\tfrom all ipproto ipproto-17 dport 53 lookup 5374 proto 83\n"
		"5301:\tfrom all ipproto ipproto-6 dport 53 lookup 5374 proto 83\n"
		"5302:\tfrom all lookup 5373 proto 83\n"
		"5303:\tfrom all lookup 254 suppress_prefixlength 0 proto 83\n"
		"5304:\tfrom all lookup 5374 proto 83\n"
		"5309:\tfrom all nop proto 83\n");
	assert_int_equal(tun_rules_set(&split), 0);
	assert_silent_about(RULES4, "5302:\tfrom all lookup");
	assert_int_equal(tun_rules_del(), 6);
}

static void access_rules(void **state)
{
	const struct tun_policy p = { .uids = { { 1000, 1000 }, { 2000, 2999 } },
				      .n_uids = 2,
				      .resolvers = { addr("192.0.2.53") },
				      .n_resolvers = 1,
				      .own = addr("198.18.0.1"),
				      .stack = { addr("198.18.0.2"), addr("fd5a::2") } };

	(void)state;
	assert_int_equal(tun_rules_set(&p), 0);
	assert_string_equal(output(RULES4 " | grep 5302"),
			    "5302:\tfrom all to 198.18.0.2 iif lo lookup 5373 proto 83\n"
			    "5302:\tfrom 198.18.0.1 iif lo lookup 5373 proto 83\n"
			    "5302:\tfrom all iif lo uidrange 1000-1000 lookup 5373 proto 83\n"
			    "5302:\tfrom all iif lo uidrange 2000-2999 lookup 5373 proto 83\n");
	assert_says(RULES4, "5301:\tfrom 198.18.0.1 to 192.0.2.53 iif lo lookup 5374 proto 83");
	assert_int_equal(atoi(output(RULES4 " | grep -c 5301")), 5);
	assert_string_equal(output(RULES6 " | grep 530[1-4]"),
			    "5302:\tfrom all to fd5a::2 iif lo lookup 5373 proto 83\n"
			    "5302:\tfrom all iif lo uidrange 1000-1000 lookup 5373 proto 83\n"
			    "5302:\tfrom all iif lo uidrange 2000-2999 lookup 5373 proto 83\n");
	assert_int_equal(tun_rules_del(), 16);
}

static void impossible_policies(void **state)
{
	const struct tun_policy bad[] = {
		{ .uids = { { 2, 1 } }, .n_uids = 1 },
		{ .uids = { { 0, UINT32_MAX } }, .n_uids = 1 },
		{ .n_uids = TUN_UIDS_MAX + 1 },
		{ .n_resolvers = TUN_RESOLVERS_MAX + 1 },
		{ .forward = true },
		{ .forward = true, .device = "a/b" },
		{ .forward = true, .device = DEV, .uids = { { 1, 1 } }, .n_uids = 1 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(tun_rules_set(&bad[i]), ST_EINVAL);
	assert_string_equal(output("ip rule | grep 53"), "");
}

/* ---- from one policy to another ---- */

struct heard {
	int added, deleted, added_late;
};

static int listen_for_rules(void)
{
	struct sockaddr_nl self = { .nl_family = AF_NETLINK,
				    .nl_groups = 1U << (RTNLGRP_IPV4_RULE - 1) };
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&self, sizeof(self)), 0);
	return fd;
}

static struct heard hear(int fd)
{
	_Alignas(struct nlmsghdr) uint8_t in[4096];
	struct heard h = { 0 };

	while (recv(fd, in, sizeof(in), 0) > 0) {
		const struct nlmsghdr *nlh = (void *)in;

		if (nlh->nlmsg_type == RTM_NEWRULE) {
			h.added++;
			h.added_late += h.deleted > 0;
		} else if (nlh->nlmsg_type == RTM_DELRULE) {
			h.deleted++;
		}
	}
	return h;
}

static void assert_change(int fd, const struct tun_policy *p, int added, int deleted)
{
	struct heard h;

	assert_int_equal(tun_rules_set(p), 0);
	h = hear(fd);
	assert_int_equal(h.added, added);
	assert_int_equal(h.deleted, deleted);
	assert_int_equal(h.added_late, 0);
}

static void changes_without_a_gap(void **state)
{
	const struct tun_policy system_mode = { .system = true };
	const struct tun_policy one = { .resolvers = { addr("192.0.2.53") }, .n_resolvers = 1 };
	const struct tun_policy other = { .resolvers = { addr("192.0.2.54") }, .n_resolvers = 1 };
	const struct tun_policy users = { .uids = { { 7, 7 } }, .n_uids = 1 };
	int fd = listen_for_rules();

	(void)state;
	assert_change(fd, &split, 3, 0);
	assert_change(fd, &split, 0, 0);
	assert_change(fd, &one, 2, 0);
	assert_change(fd, &other, 2, 2);
	assert_change(fd, &system_mode, 5, 2);
	assert_change(fd, &split, 0, 5);
	assert_change(fd, &users, 1, 1);
	assert_change(fd, &split, 1, 1);
	close(fd);
	assert_int_equal(tun_rules_del(), 6);
}

/* "Delete the rule without users" may hit the one with users that stands before it. */
/* Priorities of the IPv4 rules that the kernel tells as deleted, in that order. Return: count */
static size_t deleted_priorities(int fd, uint32_t *out, size_t cap)
{
	_Alignas(struct nlmsghdr) char in[16384];
	size_t n = 0;
	ssize_t got;

	while ((got = recv(fd, in, sizeof(in), MSG_DONTWAIT)) > 0) {
		size_t left = (size_t)got;

		for (struct nlmsghdr *h = (void *)in; NLMSG_OK(h, left); h = NLMSG_NEXT(h, left)) {
			const struct fib_rule_hdr *frh = NLMSG_DATA(h);
			const struct rtattr *a = (const void *)(frh + 1);
			size_t rest = h->nlmsg_len - NLMSG_LENGTH(sizeof(*frh));

			for (; h->nlmsg_type == RTM_DELRULE && RTA_OK(a, rest);
			     a = RTA_NEXT(a, rest))
				if (a->rta_type == FRA_PRIORITY && n < cap)
					memcpy(&out[n++], RTA_DATA(a), sizeof(*out));
		}
	}
	return n;
}

/* Else packets of our own sockets would be taken in, for a moment. */
static void exceptions_are_deleted_last(void **state)
{
	const struct sockaddr_nl self = { .nl_family = AF_NETLINK, .nl_groups = RTMGRP_IPV4_RULE };
	const struct tun_policy policy = { .system = true };
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	uint32_t gone[32];
	size_t n;

	(void)state;
	assert_int_equal(bind(fd, (const struct sockaddr *)&self, sizeof(self)), 0);
	assert_int_equal(tun_rules_set(&policy), 0);
	assert_true(tun_rules_del() > 0);
	n = deleted_priorities(fd, gone, ARRAY_LEN(gone));
	assert_true(n > 3);
	assert_int_equal(gone[n - 1], TUN_RULE_PASSED);
	assert_int_equal(gone[n - 2], TUN_RULE_MAIN);
	for (size_t i = 0; i < n; i++)
		if (gone[i] == TUN_RULE_OWN)
			assert_true(i >= n - 4); /* beside DHCP's and main's */
	close(fd);
}

static void the_kernel_deletes_the_wrong_one(void **state)
{
	const struct tun_policy users = { .uids = { { 7, 7 } }, .n_uids = 1 };

	(void)state;
	assert_int_equal(tun_rules_set(&users), 0);
	run("ip rule add pref 5302 iif lo lookup 5373 proto 83");
	run("ip -6 rule add pref 5302 iif lo lookup 5373 proto 83");
	assert_int_equal(tun_rules_set(&users), 0);
	assert_string_equal(output(RULES4 " | grep 5302; " RULES6 " | grep 5302"),
			    "5302:\tfrom all iif lo uidrange 7-7 lookup 5373 proto 83\n"
			    "5302:\tfrom all iif lo uidrange 7-7 lookup 5373 proto 83\n");
	assert_int_equal(tun_rules_del(), 6);
}

/* What another version, or a hand, left with our number. */
static void odd_leftovers_go(void **state)
{
	static const char *const odd[] = {
		"not iif lo lookup 5373",
		"iif lo tos 0x10 lookup 5373",
		"iif lo oif lo lookup 5373",
		"iif lo fwmark 1/0xff lookup 5373",
		"iif lo dport 53-54 lookup 5373",
		"iif lo lookup 5373 suppress_prefixlength 8",
		"iif lo lookup 5374",
		"iif lo from 10.0.0.0/8 lookup 5373",
		"iif lo unreachable",
	};
	char cmd[256];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(odd); i++) {
		snprintf(cmd, sizeof(cmd), "ip rule add pref 5302 %s proto 83", odd[i]);
		run(cmd);
	}
	assert_int_equal(tun_rules_set(&split), 0);
	assert_string_equal(output(RULES4 " | grep 5302"),
			    "5302:\tfrom all iif lo lookup 5373 proto 83\n");
	assert_int_equal(tun_rules_del(), 6);
}

/* ---- where packets go ---- */

/* An uplink with a default route, a LAN, and what the device takes: 10/8 by rules, all in system mode. */
static struct tun *make_world(void)
{
	const struct tun_route routed = route("10.0.0.0/8", TUN_ROUTE_DEV);
	const struct tun_route all = route("0.0.0.0/0", TUN_ROUTE_DEV);
	struct net_addr own = addr("198.18.0.1");
	struct tun *t = open_dev();

	assert_int_equal(tun_addr_add(t, &own), 0);
	assert_int_equal(tun_routes_set(t, TUN_TABLE, &routed, 1), 0);
	assert_int_equal(tun_routes_set(t, TUN_TABLE_ALL, &all, 1), 0);
	run("ip tuntap add up0 mode tun; ip addr add 192.0.2.1/24 dev up0; ip link set up0 up; "
	    "ip route add default via 192.0.2.254");
	run("ip tuntap add br0 mode tun; ip addr add 172.17.0.1/16 dev br0; ip link set br0 up");
	sysctl_put("/proc/sys/net/ipv4/ip_forward", "1");
	return t;
}

static void end_world(struct tun *t)
{
	run("ip link del up0; ip link del br0");
	sysctl_put("/proc/sys/net/ipv4/ip_forward", "0");
	tun_close(t);
	assert_true(tun_rules_del() > 0);
}

static void assert_way(const char *query, const char *dev)
{
	char cmd[256], want[64];

	snprintf(cmd, sizeof(cmd), "ip route get %s 2>&1", query);
	snprintf(want, sizeof(want), "dev %s ", dev);
	assert_says(cmd, want);
}

static void ways_in_split_mode(void **state)
{
	const struct tun_policy p = { .resolvers = { addr("192.0.2.53") },
				      .n_resolvers = 1,
				      .uids = { { 1000, 1000 } },
				      .n_uids = 1,
				      .own = addr("198.18.0.1"),
				      .stack = { addr("10.0.0.2") } };
	struct tun *t = make_world();

	(void)state;
	assert_int_equal(tun_rules_set(&split), 0);
	assert_way("10.1.2.3", DEV);
	assert_way("8.8.8.8", "up0");
	assert_way("10.1.2.3 from 172.17.0.2 iif br0", "up0"); /* no forwarded packets */
	assert_int_equal(tun_rules_set(&p), 0);
	assert_way("10.1.2.3 uid 1000", DEV);
	assert_way("10.1.2.3 uid 1001", "up0");
	assert_way("10.0.0.2 uid 1001", DEV);
	assert_way("192.0.2.53 uid 1000 ipproto udp dport 53", DEV);
	assert_way("192.0.2.53 uid 1000 ipproto tcp dport 53", DEV);
	assert_way("192.0.2.53 uid 1000 ipproto tcp dport 853", "up0");
	assert_way("192.0.2.53 uid 1001 ipproto udp dport 53", "up0");
	end_world(t);
}

static void ways_in_system_mode(void **state)
{
	const struct tun_policy p = { .system = true };
	struct tun *t = make_world();

	(void)state;
	assert_int_equal(tun_rules_set(&p), 0);
	assert_way("8.8.8.8", DEV);
	assert_way("8.8.8.8 mark 0x5373", "up0");
	assert_way("192.0.2.9", "up0"); /* the local network */
	assert_way("192.0.2.9 ipproto udp dport 53", DEV);
	assert_way("192.0.2.254 ipproto udp sport 68 dport 67", "up0");
	assert_way("8.8.8.8 ipproto udp sport 68 dport 67",
		   "up0"); /* a relay's lease is renewed directly */
	assert_way("8.8.8.8 ipproto udp sport 69 dport 67", DEV);
	assert_way("8.8.8.8 from 172.17.0.2 iif br0", "up0");
	end_world(t);
}

static void ways_with_forward(void **state)
{
	const struct tun_policy p = { .system = true, .forward = true, .device = DEV };
	struct tun *t = make_world();

	(void)state;
	assert_int_equal(tun_rules_set(&p), 0);
	assert_way("8.8.8.8 from 172.17.0.2 iif br0", DEV);
	assert_way("10.1.2.3 from 172.17.0.2 iif br0", DEV);
	assert_way("8.8.8.8 from 172.17.0.2 iif br0 mark 0x5373", "up0"); /* published port */
	assert_way("172.17.0.2 from 8.8.8.8 iif " DEV, "br0");
	/* Never back into the device, even where a rule takes the containers' network itself. */
	const struct tun_route theirs[] = { route("10.0.0.0/8", TUN_ROUTE_DEV),
					    route("172.17.0.0/16", TUN_ROUTE_DEV) };
	assert_int_equal(tun_routes_set(t, TUN_TABLE, theirs, 2), 0);
	assert_way("172.17.0.2 from 8.8.8.8 iif " DEV, "br0");
	assert_way("9.9.9.9 from 8.8.8.8 iif " DEV, "up0");
	end_world(t);
}

/* A client of user 1000: asks @to and waits for the answer. Its exit status: 0 answered. */
static pid_t ask_as_user(const char *to, uint16_t port)
{
	struct net_endpoint far = { .addr = addr(to), .port = port };
	struct timeval limit = { .tv_sec = WAIT_MS / 1000 };
	struct sockaddr_storage sa;
	socklen_t len = net_sockaddr(&sa, &far);
	pid_t child = fork();
	char in[16];
	int fd;

	assert_true(child >= 0);
	if (child > 0)
		return child;
	if (setresuid(1000, 1000, 1000) < 0)
		_exit(2);
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) < 0 ||
	    connect(fd, (struct sockaddr *)&sa, len) < 0 || send(fd, "ping!", 5, 0) != 5)
		_exit(3);
	_exit(recv(fd, in, sizeof(in), 0) == 5 ? 0 : 4);
}

static void assert_answered(struct tun *t, const char *to, uint16_t port)
{
	pid_t child = ask_as_user(to, port);
	struct iovec part;
	uint8_t p[2048];
	ssize_t len;
	int status;
	bool ok;

	await(tun_fd(t));
	len = tun_read(t, p, sizeof(p), &ok);
	assert_int_equal(len, IP_LEN + UDP_LEN + 5);
	turn_round(p, (size_t)len);
	part = (struct iovec){ p, (size_t)len };
	assert_int_equal(tun_writev(t, &part, 1, IP_LEN, 6), 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

/* Sources are looked up as user 0, who may not: see tun_policy.c. */
static void answers_under_strict_rp_filter(void **state)
{
	const struct tun_policy policies[] = {
		{ .resolvers = { addr("192.0.2.53") },
		  .n_resolvers = 1,
		  .own = addr("198.18.0.1") },
		{ .uids = { { 1000, 1000 } },
		  .n_uids = 1,
		  .resolvers = { addr("192.0.2.53") },
		  .n_resolvers = 1,
		  .own = addr("198.18.0.1") },
		{ .system = true, .own = addr("198.18.0.1") },
		{ .system = true,
		  .uids = { { 1000, 1000 } },
		  .n_uids = 1,
		  .own = addr("198.18.0.1") },
		{ .system = true, .forward = true, .device = DEV, .own = addr("198.18.0.1") },
	};
	struct tun *t;

	(void)state;
	sysctl_put("/proc/sys/net/ipv4/conf/all/rp_filter", "1");
	t = make_world();
	for (size_t i = 0; i < ARRAY_LEN(policies); i++) {
		assert_int_equal(tun_rules_set(&policies[i]), 0);
		assert_answered(t, "10.1.2.3", 7);
		assert_answered(t, "192.0.2.53", 53);
		if (policies[i].system)
			assert_answered(t, "203.0.113.9", 7);
	}
	end_world(t);
	sysctl_put("/proc/sys/net/ipv4/conf/all/rp_filter", "0");
}

static void the_largest_policy(void **state)
{
	struct tun_policy p = { .n_uids = TUN_UIDS_MAX, .n_resolvers = TUN_RESOLVERS_MAX };

	(void)state;
	p.own = addr("198.18.0.1");
	p.stack[0] = addr("198.18.0.2");
	for (uint32_t i = 0; i < TUN_UIDS_MAX; i++)
		p.uids[i] = (struct tun_uids){ 1000 + i * 10, 1000 + i * 10 + 5 };
	for (uint8_t i = 0; i < TUN_RESOLVERS_MAX; i++) {
		p.resolvers[i] = addr("192.0.2.0");
		p.resolvers[i].b[3] = i;
	}
	p.uids[63] = p.uids[62]; /* twice */
	assert_int_equal(tun_rules_set(&p), 0);
	assert_int_equal(atoi(output(RULES4 " | wc -l")), 2 + 2 + 8 + 63 * (2 * 8 + 1));
	p.uids[0].last = 1006; /* all of its rules change, the others stay */
	assert_int_equal(tun_rules_set(&p), 0);
	assert_int_equal(atoi(output(RULES4 " | wc -l")), 2 + 2 + 8 + 63 * (2 * 8 + 1));
	assert_silent_about(RULES4, "uidrange 1000-1005");
	assert_int_equal(tun_rules_set(&split), 0);
	assert_int_equal(tun_rules_del(), 6);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(rules, each_setup),
		cmocka_unit_test_setup(own_sockets, each_setup),
		cmocka_unit_test_setup(foreign_rules, each_setup),
		cmocka_unit_test_setup(system_mode_rules, each_setup),
		cmocka_unit_test_setup(resolvers_rules, each_setup),
		cmocka_unit_test_setup(forward_rules, each_setup),
		cmocka_unit_test_setup(access_rules, each_setup),
		cmocka_unit_test_setup(impossible_policies, each_setup),
		cmocka_unit_test_setup(changes_without_a_gap, each_setup),
		cmocka_unit_test_setup(exceptions_are_deleted_last, each_setup),
		cmocka_unit_test_setup(the_kernel_deletes_the_wrong_one, each_setup),
		cmocka_unit_test_setup(odd_leftovers_go, each_setup),
		cmocka_unit_test_setup(ways_in_split_mode, each_setup),
		cmocka_unit_test_setup(ways_in_system_mode, each_setup),
		cmocka_unit_test_setup(ways_with_forward, each_setup),
		cmocka_unit_test_setup(answers_under_strict_rp_filter, each_setup),
		cmocka_unit_test_setup(the_largest_policy, each_setup),
	};

	RUN_IN_NAMESPACE(tests);
}
