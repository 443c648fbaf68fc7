// SPDX-License-Identifier: MIT
/*
 * tun_socket_test.c - whose socket a packet comes from, in a network namespace of its own
 *
 * Cases: UDP connected, unconnected, bound to an address, to our device, to another device; TCP while it connects, connected, and
 * only listening; IPv6, and IPv6 sockets that speak IPv4; nobody's; closed; families that differ; without rights.
 * Every socket belongs to user 1234, made by a child that only stays alive.
 */
#include "tun/tun.h"

#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "tests/unit/tun/tun_fixture.h"

#define USER 1234U

/* How the child's socket is made. */
struct how {
	int domain, type;
	const char *bind_to; /* NULL: not bound */
	const char *connect_to;
	const char *device; /* SO_BINDTODEVICE */
	bool listens;
	uint16_t port; /* of @connect_to */
};

struct owner {
	pid_t pid;
	int link; /* closed: the child ends */
	uint16_t port;
};

static struct sockaddr_storage sockaddr_of(const char *text, uint16_t port, socklen_t *len)
{
	struct net_endpoint e = { .addr = addr(text), .port = port };
	struct sockaddr_storage sa;

	*len = net_sockaddr(&sa, &e);
	return sa;
}

/* An IPv4 address for an AF_INET6 socket is given as ::ffff:a.b.c.d, which net_addr_parse() reads as IPv6. */
static int make_socket(const struct how *how)
{
	struct sockaddr_storage sa;
	socklen_t len;
	int fd = socket(how->domain, how->type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	if (how->device && setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, how->device,
				      (socklen_t)strlen(how->device)) < 0)
		return -1;
	if (how->bind_to) {
		sa = sockaddr_of(how->bind_to, 0, &len);
		if (bind(fd, (struct sockaddr *)&sa, len) < 0)
			return -1;
	}
	if (how->connect_to) {
		sa = sockaddr_of(how->connect_to, how->port, &len);
		if (connect(fd, (struct sockaddr *)&sa, len) < 0 && errno != EINPROGRESS)
			return -1;
	}
	if (how->listens && listen(fd, 1) < 0)
		return -1;
	return fd;
}

static uint16_t port_of(int fd)
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);
	struct net_endpoint e;

	if (getsockname(fd, (struct sockaddr *)&sa, &len) < 0 ||
	    net_from_sockaddr(&e, (struct sockaddr *)&sa) < 0)
		return 0;
	return e.port;
}

static struct owner own(const struct how *how)
{
	struct owner o = { 0 };
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	o.pid = fork();
	assert_true(o.pid >= 0);
	if (o.pid == 0) {
		char c;

		close(pair[0]);
		if (setresuid(USER, USER, USER) < 0)
			_exit(1);
		o.port = port_of(make_socket(how));
		if (write(pair[1], &o.port, sizeof(o.port)) < 0 || read(pair[1], &c, 1) < 0)
			_exit(2);
		_exit(0);
	}
	close(pair[1]);
	o.link = pair[0];
	assert_int_equal(read(o.link, &o.port, sizeof(o.port)), sizeof(o.port));
	assert_int_not_equal(o.port, 0);
	return o;
}

static void end(struct owner *o)
{
	int status;

	close(o->link);
	assert_int_equal(waitpid(o->pid, &status, 0), o->pid);
	assert_int_equal(status, 0);
}

static int ask(const struct tun *t, const char *from, uint16_t from_port, const char *to,
	       uint16_t to_port, bool tcp)
{
	const struct net_endpoint src = { .addr = addr(from), .port = from_port };
	const struct net_endpoint dst = { .addr = addr(to), .port = to_port };
	uint32_t uid = 0;
	int r = tun_socket_uid(t, &src, &dst, tcp, &uid);

	return r < 0 ? r : (int)uid;
}

#define MINE "198.18.0.1"
#define MINE6 "fd5a::1"
#define FAR "10.1.2.3"
#define FAR6 "fd00::3"

static struct tun *make_device(void)
{
	const struct tun_route routes[] = { route("10.0.0.0/8", TUN_ROUTE_DEV),
					    route("fd00::/16", TUN_ROUTE_DEV) };
	struct net_addr own4 = addr(MINE), own6 = addr(MINE6);
	struct tun *t = open_dev();

	assert_int_equal(tun_addr_add(t, &own4), 0);
	assert_int_equal(tun_addr_add(t, &own6), 0);
	assert_int_equal(tun_routes_set(t, TUN_TABLE, routes, 2), 0);
	assert_int_equal(tun_rules_set(&(struct tun_policy){ 0 }), 0);
	return t;
}

static void end_device(struct tun *t)
{
	tun_close(t);
	assert_true(tun_rules_del() > 0);
}

static void whose(void **state)
{
	static const struct {
		struct how how;
		const char *from, *to;
	} cases[] = {
		{ { AF_INET, SOCK_DGRAM, .connect_to = FAR, .port = 53 }, MINE, FAR },
		{ { AF_INET, SOCK_DGRAM, .bind_to = "0.0.0.0" }, MINE, FAR },
		{ { AF_INET, SOCK_DGRAM, .bind_to = MINE }, MINE, FAR },
		{ { AF_INET, SOCK_DGRAM, .bind_to = "0.0.0.0", .device = DEV }, MINE, FAR },
		{ { AF_INET6, SOCK_DGRAM, .connect_to = FAR6, .port = 53 }, MINE6, FAR6 },
		{ { AF_INET6, SOCK_DGRAM, .bind_to = "::" }, MINE6, FAR6 },
		{ { AF_INET6, SOCK_DGRAM, .bind_to = "::" }, MINE, FAR },
		{ { AF_INET6, SOCK_DGRAM, .connect_to = "::ffff:" FAR, .port = 53 }, MINE, FAR },
		{ { AF_INET, SOCK_STREAM, .connect_to = FAR, .port = 53 }, MINE, FAR },
		{ { AF_INET, SOCK_STREAM, .connect_to = FAR, .port = 53, .device = DEV },
		  MINE,
		  FAR },
		{ { AF_INET6, SOCK_STREAM, .connect_to = FAR6, .port = 53 }, MINE6, FAR6 },
		{ { AF_INET6, SOCK_STREAM, .connect_to = "::ffff:" FAR, .port = 53 }, MINE, FAR },
	};
	struct tun *t = make_device();

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const bool tcp = cases[i].how.type == SOCK_STREAM;
		struct owner o = own(&cases[i].how);

		print_message("case %zu\n", i);
		assert_int_equal(ask(t, cases[i].from, o.port, cases[i].to, 53, tcp), USER);
		assert_int_equal(ask(t, cases[i].from, o.port, cases[i].to, 53, !tcp), ST_ENOENT);
		if (tcp || cases[i].how.connect_to)
			assert_int_equal(ask(t, cases[i].from, o.port, cases[i].to, 54, tcp),
					 ST_ENOENT);
		if (!cases[i].how.device)
			assert_int_equal(ask(NULL, cases[i].from, o.port, cases[i].to, 53, tcp),
					 USER);
		end(&o);
		assert_int_equal(ask(t, cases[i].from, o.port, cases[i].to, 53, tcp), ST_ENOENT);
	}
	assert_string_equal(log_text, "");
	end_device(t);
}

static void not_the_sender(void **state)
{
	const struct net_endpoint four = { .addr = addr(MINE), .port = 1 },
				  six = { .addr = addr(MINE6), .port = 1 }, none = { 0 };
	const struct how listener = { AF_INET, SOCK_STREAM, .bind_to = MINE, .listens = true };
	const struct how elsewhere = { AF_INET, SOCK_DGRAM, .bind_to = "0.0.0.0", .device = "lo" };
	const struct how only6 = { AF_INET6, SOCK_DGRAM, .bind_to = MINE6 };
	struct tun *t = make_device();
	struct owner o = own(&listener);
	uint32_t uid;

	(void)state;
	assert_int_equal(ask(t, MINE, o.port, FAR, 53, true), ST_ENOENT);
	end(&o);
	o = own(&elsewhere);
	assert_int_equal(ask(t, MINE, o.port, FAR, 53, false), ST_ENOENT);
	end(&o);
	o = own(&only6);
	assert_int_equal(ask(t, MINE, o.port, FAR, 53, false), ST_ENOENT);
	end(&o);
	assert_int_equal(ask(t, "172.17.0.2", 5000, FAR, 53, false), ST_ENOENT);
	assert_int_equal(tun_socket_uid(t, &four, &six, false, &uid), ST_EINVAL);
	assert_int_equal(tun_socket_uid(t, &none, &none, false, &uid), ST_EINVAL);
	end_device(t);
}

static void connected_tcp(void **state)
{
	const struct how server = { AF_INET, SOCK_STREAM, .bind_to = "127.0.0.1", .listens = true };
	struct owner o = own(&server), client;

	(void)state;
	client = own(
		&(struct how){ AF_INET, SOCK_STREAM, .connect_to = "127.0.0.1", .port = o.port });
	assert_int_equal(ask(NULL, "127.0.0.1", client.port, "127.0.0.1", o.port, true), USER);
	end(&client);
	/* What is left of it belongs to nobody, not to user 0. */
	assert_int_equal(ask(NULL, "127.0.0.1", client.port, "127.0.0.1", o.port, true), ST_ENOENT);
	end(&o);
}

/* The daemon has CAP_NET_ADMIN, but needs it not for this. */
static void without_rights(void **state)
{
	const struct how how = { AF_INET, SOCK_DGRAM, .bind_to = "0.0.0.0" };
	struct owner o = own(&how);
	pid_t child = fork();
	int status;

	(void)state;
	if (child == 0) {
		if (setresuid(65534, 65534, 65534) < 0)
			_exit(1);
		_exit(ask(NULL, MINE, o.port, FAR, 53, false) == USER ? 0 : 2);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	end(&o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(whose, each_setup),
		cmocka_unit_test_setup(not_the_sender, each_setup),
		cmocka_unit_test_setup(connected_tcp, each_setup),
		cmocka_unit_test_setup(without_rights, each_setup),
	};

	RUN_IN_NAMESPACE(tests);
}
