// SPDX-License-Identifier: MIT
/*
 * keep_filter_test.c - our nftables table and src_valid_mark, by requests to a real keeper; as root, between two network namespaces
 *
 * Cases: on and off, with the sysctl at 0 and at 1; twice; somebody else's change of the sysctl; the daemon dies; all are killed; fail_closed
 * keeps rules, routes and table until the undoing, and gives the resolver back; a kernel without the sysctl.
 * With policy rules that send everything into the device, and rp_filter 1: our own connection gets its answers; a server here answers a client
 * outside; a connection that stood before goes on. Each is first seen to fail without the table.
 */
#include "keep_testing.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/socket.h>

#include "keeper/keep_filter.h"

#define DEVICE "ssmkeep0"
#define HERE "10.77.0.1"
#define THERE "10.77.0.2"
#define PORT 7000
#define SYSCTL "/proc/sys/net/ipv4/conf/all/src_valid_mark"
#define CONNECT_MS 3000 /* what works does so at once, or at the second SYN */
#define REFUSED_MS 300	/* what is swallowed gets no answer at all */

static struct tun *device;
static int there_in, there_out; /* commands to the other namespace, and its answers */
static pid_t there;

/* ---- the other namespace ---- */

/* Return: the connected socket; -1 */
static int dial(const char *to, uint32_t mark, int wait_ms)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_port = htons(PORT) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), error = 0;
	struct pollfd p = { .fd = fd, .events = POLLOUT };
	socklen_t len = sizeof(error);

	inet_pton(AF_INET, to, &sa.sin_addr);
	if (mark)
		setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof(mark));
	(void)connect(fd, (struct sockaddr *)&sa, sizeof(sa));
	if (poll(&p, 1, wait_ms) == 1 && getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0 &&
	    error == 0)
		return fd;
	close(fd);
	return -1;
}

static int listening(void)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_port = htons(PORT) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 || listen(fd, 16) < 0)
		return -1;
	return fd;
}

/* Commands: c connect to us, and keep it; f the same, where it should fail; r read from it. Answers: y or n. */
static _Noreturn void be_there(int in, int out)
{
	int server, fd = -1;
	char c, data;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (unshare(CLONE_NEWNET) < 0 || write(out, "y", 1) != 1 || read(in, &c, 1) != 1 ||
	    system("ip addr add " THERE "/24 dev kt1 && ip link set kt1 up && ip link set lo up && "
		   "ip route add 10.88.0.0/24 via " HERE) != 0)
		_exit(1);
	server = listening();
	c = server >= 0 ? 'y' : 'n';
	while (write(out, &c, 1) == 1 && read(in, &c, 1) == 1) {
		if (c == 'c' || c == 'f') {
			if (fd >= 0)
				close(fd);
			fd = dial(HERE, 0, c == 'c' ? CONNECT_MS : REFUSED_MS);
			c = fd >= 0 ? 'y' : 'n';
		} else {
			struct pollfd p = { .fd = fd, .events = POLLIN };

			c = poll(&p, 1, CONNECT_MS) == 1 && read(fd, &data, 1) == 1 ? 'y' : 'n';
		}
	}
	_exit(0);
}

static bool tell(char command)
{
	char c;

	assert_int_equal(write(there_in, &command, 1), 1);
	assert_int_equal(read(there_out, &c, 1), 1);
	return c == 'y';
}

static int group_setup(void **state)
{
	char cmd[256], c;
	int in[2], out[2];

	(void)state;
	if (make_base() < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    pipe2(in, O_CLOEXEC) < 0 || pipe2(out, O_CLOEXEC) < 0)
		return -1;
	write_to(at("/etc/resolv.conf"), "nameserver 9.9.9.9\n");
	there = fork();
	if (there == 0)
		be_there(in[0], out[1]);
	there_in = in[1], there_out = out[0];
	close(in[0]);
	close(out[1]);
	if (read(there_out, &c, 1) != 1)
		return -1;
	snprintf(cmd, sizeof(cmd),
		 "ip link set lo up && ip link add kt0 type veth peer name kt1 netns %d && "
		 "ip addr add " HERE "/24 dev kt0 && ip link set kt0 up",
		 there);
	if (system(cmd) != 0 || !tell('x'))
		return -1;
	write_to("/proc/sys/net/ipv4/conf/kt0/rp_filter", "1");
	if (tun_open(&device, DEVICE, tun_clone_open()) < 0)
		return -1;
	return system("ip route add default dev " DEVICE
		      " table 5374"); /* not ours, or it would be undone */
}

static int group_teardown(void **state)
{
	(void)state;
	kill(there, SIGKILL);
	waitpid(there, NULL, 0);
	tun_close(device);
	return remove_base();
}

static int setup(void **state)
{
	(void)state;
	write_to(SYSCTL, "0");
	return 0;
}

static void rules(const char *verb)
{
	run("ip rule %s pref 5299 iif lo fwmark 0x5373 goto 5309 2>/dev/null && ip rule %s pref "
	    "5304 iif lo lookup "
	    "5374 && ip rule %s pref 5309 nop",
	    verb, verb, verb);
}

static bool has_table(void)
{
	return system("nft list table inet ssm_tun >/dev/null 2>&1") == 0;
}

static int teardown(void **state)
{
	(void)state;
	return has_table() || exists(at("/run/st/one")) ? -1 : 0;
}

static int keeper(int *pid)
{
	int fd = start_keeper("one", pid);

	assert_int_equal(keep_note_device(fd, DEVICE), 0);
	return fd;
}

/* ---- what is done and undone ---- */

static void on_and_off(void **state)
{
	int pid, fd = keeper(&pid);
	struct keep_journal j;

	(void)state;
	for (int before = 0; before < 2; before++) {
		write_to(SYSCTL, before ? "1" : "0");
		assert_int_equal(keep_filter(fd, true), 0);
		assert_true(has_table());
		assert_string_equal(content(SYSCTL), "1\n");
		assert_int_equal(keep_journal_read("one", &j), 0);
		assert_true(j.filter);
		assert_int_equal(j.src_valid_mark, before);
		assert_int_equal(keep_filter(fd, true), 0); /* its own 1 is not the former value */
		assert_int_equal(keep_filter(fd, false), 0);
		assert_false(has_table());
		assert_string_equal(content(SYSCTL), before ? "1\n" : "0\n");
		assert_int_equal(keep_journal_read("one", &j), 0);
		assert_false(j.filter);
		assert_int_equal(j.src_valid_mark, -1);
		assert_int_equal(keep_filter(fd, false), 0);
	}
	write_to(SYSCTL, "0");
	assert_int_equal(keep_filter(fd, true), 0);
	run("nft delete table inet ssm_tun"); /* by others */
	write_to(SYSCTL, "0");
	end_keeper(fd, pid);
	assert_string_equal(content(SYSCTL), "0\n");
}

static void daemon_dies(void **state)
{
	int pid, fd = keeper(&pid);

	(void)state;
	assert_int_equal(keep_filter(fd, true), 0);
	close(fd);
	reap(pid, 0);
	assert_false(has_table());
	assert_string_equal(content(SYSCTL), "0\n");
}

static void all_are_killed(void **state)
{
	char journal[192];

	(void)state;
	for (int without = 0; without < 2; without++) {
		int pid, fd = keeper(&pid);

		assert_int_equal(keep_filter(fd, true), 0);
		assert_int_equal(kill(pid, SIGKILL), 0);
		assert_int_equal(waitpid(pid, NULL, 0), pid);
		close(fd);
		assert_true(has_table());
		keep_path(journal, sizeof(journal), "one", "journal");
		if (without) /* the user may remove it: the table goes, the sysctl's former value is lost */
			assert_int_equal(unlink(journal), 0);
		assert_int_equal(keep_undo("one"), 0);
		assert_false(has_table());
		assert_string_equal(content(SYSCTL), without ? "1\n" : "0\n");
		assert_int_equal(keep_undo("one"), 0);
	}
}

static void fail_closed(void **state)
{
	const struct keep_dns want = { .manager = KEEP_DNS_FILE,
				       .servers = { addr("198.18.0.2") } };
	int pid, fd = keeper(&pid);
	struct keep_dns_state s;
	struct keep_journal j;
	char path[192];

	(void)state;
	run("ip route add unreachable 10.99.0.0/16 table 5373 proto 83 metric 1000");
	assert_int_equal(tun_rules_set(&(struct tun_policy){ 0 }), 0);
	assert_int_equal(keep_note_rules(fd), 0);
	assert_int_equal(keep_note_fail_closed(fd, true), 0);
	assert_int_equal(keep_filter(fd, true), 0);
	assert_int_equal(keep_dns_set(fd, &want, &s), 0);
	keep_path(path, sizeof(path), "one", "pid");
	write_to(path, "1\n");
	close(fd);
	reap(pid, 0);
	assert_true(has_table());
	assert_int_equal(
		system("ip rule | grep -q 5373 && ip route show table 5373 | grep -q unreachable"),
		0);
	assert_string_equal(content(at("/etc/resolv.conf")), "nameserver 9.9.9.9\n");
	assert_false(exists(path));
	assert_int_equal(keep_journal_read("one", &j), 0);
	assert_true(j.fail_closed && j.rules && j.filter);
	assert_int_equal(j.resolver, KEEP_DNS_NONE);
	for (int i = 0; i < 2; i++) /* down --crashed, as systemd's unit has it */
		assert_int_equal(keep_undo_crashed("one"), 0);
	assert_true(has_table());
	assert_int_equal(system("ip rule | grep -q 5373"), 0);
	assert_int_equal(keep_journal_read("one", &j), 0);
	assert_true(j.fail_closed);
	assert_int_equal(keep_undo("one"), 0); /* down */
	assert_int_equal(keep_undo_crashed("one"), 0);
	assert_false(has_table());
	assert_int_equal(system("ip rule | grep -q 5373"), 1 << 8);
	assert_int_equal(system("ip route show table 5373 2>&1 | grep -q unreachable"), 1 << 8);
	assert_string_equal(content(SYSCTL), "0\n");
	/* An orderly end leaves nothing, nor a crash after it was taken back. */
	for (int crash = 0; crash < 2; crash++) {
		fd = keeper(&pid);
		assert_int_equal(keep_note_fail_closed(fd, true), 0);
		assert_int_equal(keep_filter(fd, true), 0);
		if (crash) {
			assert_int_equal(keep_note_fail_closed(fd, false), 0);
			close(fd);
			reap(pid, 0);
		} else {
			end_keeper(fd, pid);
		}
		assert_false(has_table());
	}
}

/* Half of it is not done. */
static void no_sysctl(void **state)
{
	int pid, fd = keeper(&pid);
	struct keep_journal j;

	(void)state;
	run("mkdir -p %s/empty && mount --bind %s/empty /proc/sys/net/ipv4/conf/all", test_base,
	    test_base);
	assert_int_equal(keep_filter(fd, true), ST_ESYS);
	assert_false(has_table());
	run("umount /proc/sys/net/ipv4/conf/all");
	assert_int_equal(keep_journal_read("one", &j), 0);
	assert_false(j.filter);
	end_keeper(fd, pid);
	assert_string_equal(content(SYSCTL), "0\n");
}

/* ---- what it is for ---- */

static bool own_connects(int wait_ms)
{
	int fd = dial(THERE, TUN_MARK, wait_ms);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

static void own_connections(void **state)
{
	int pid, fd = keeper(&pid);

	(void)state;
	rules("add");
	assert_false(own_connects(REFUSED_MS)); /* its answers are dropped by rp_filter */
	assert_int_equal(keep_filter(fd, true), 0);
	assert_true(own_connects(CONNECT_MS));
	assert_int_equal(dial(THERE, 0, REFUSED_MS),
			 -1); /* what is not ours goes into the device */
	rules("del");
	end_keeper(fd, pid);
}

static void servers_here(void **state)
{
	int pid, fd = keeper(&pid), server = listening();

	(void)state;
	assert_true(server >= 0);
	write_to("/proc/sys/net/ipv4/conf/kt0/rp_filter", "0"); /* else not even the SYN came in */
	rules("add");
	assert_false(tell('f')); /* its answers go into the device */
	assert_int_equal(keep_filter(fd, true), 0);
	assert_true(tell('c'));
	rules("del");
	end_keeper(fd, pid);
	close(server);
	write_to("/proc/sys/net/ipv4/conf/kt0/rp_filter", "1");
}

/* `up` was typed in a login from there: the server speaks first. */
static void stood_before(void **state)
{
	int pid, fd = keeper(&pid), server = listening(), login;

	(void)state;
	assert_true(server >= 0);
	write_to("/proc/sys/net/ipv4/conf/kt0/rp_filter", "0");
	assert_true(tell('c'));
	login = accept(server, NULL, NULL);
	assert_true(login >= 0);
	assert_int_equal(keep_filter(fd, true), 0);
	rules("add");
	assert_int_equal(write(login, "x", 1), 1);
	assert_true(tell('r'));
	rules("del");
	end_keeper(fd, pid);
	close(login);
	close(server);
	write_to("/proc/sys/net/ipv4/conf/kt0/rp_filter", "1");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(on_and_off), TEST(daemon_dies),	 TEST(all_are_killed), TEST(fail_closed),
		TEST(no_sysctl),  TEST(own_connections), TEST(servers_here),   TEST(stood_before),
	};
	const struct CMUnitTest none[] = { cmocka_unit_test(needs_rights) };

	if (geteuid() != 0 || unshare(CLONE_NEWNET | CLONE_NEWNS) < 0)
		return cmocka_run_group_tests_name("keep_filter", none, NULL, NULL);
	return cmocka_run_group_tests_name("keep_filter", tests, group_setup, group_teardown);
}
