// SPDX-License-Identifier: MIT
/*
 * keep_resolved_test.c - systemd-resolved as the resolver's manager: a fake of it on a bus of its own, and the real one if it is there; as root,
 * in network and mount namespaces of its own
 *
 * Cases: what the link gets in split and in system mode, what is flushed, what goodbye leaves; it restarts: told again; the bus
 * restarts: told again; it refuses: none with the reason, or an error if it was asked for by name; it does not start: the file; it is slow: told all the same; it hangs:
 * `up` goes on, and a dead daemon's rules are gone within 1 s all the same; no bus; another link than ours; 1024 suffixes; a suffix
 * less in a later set; the daemon dies; all are killed; the keeper sleeps. The real one: the same settings, read back.
 */
#include "keep_testing.h"

#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/syscall.h>

#include <jansson.h>

#define DEVICE "ssmkeep0"

static struct tun *device;
static pid_t bus, fake;
static char bus_dir[192], state_file[192];

/* ---- processes ---- */

/* Starts @argv and waits until it has printed a line. */
static pid_t start(const char *const *argv)
{
	struct pollfd p = { .events = POLLIN };
	int out[2];
	char line[512];
	pid_t pid;

	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	pid = fork();
	if (pid == 0) {
		union {
			const char *const *in;
			char *const *out;
		} args = { argv };

		dup2(out[1], STDOUT_FILENO);
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		execv(argv[0], args.out);
		_exit(127);
	}
	close(out[1]);
	p.fd = out[0];
	assert_int_equal(poll(&p, 1, AWAIT_MS), 1);
	assert_true(read(out[0], line, sizeof(line)) > 0);
	close(out[0]);
	return pid;
}

static void stop(pid_t *pid)
{
	if (*pid == 0)
		return;
	kill(*pid, SIGKILL);
	assert_int_equal(waitpid(*pid, NULL, 0), *pid);
	*pid = 0;
}

static void start_bus(void)
{
	const char *const argv[] = { PRIVATE_BUS, bus_dir, NULL };
	char path[224];

	snprintf(path, sizeof(path), "%s/bus", bus_dir);
	unlink(path);
	bus = start(argv);
}

static void start_fake(const char *option, const char *value)
{
	const char *const argv[] = { RESOLVED_FAKE, "--state", state_file, "--global",
				     "10.1.2.3",    option,    value,	   NULL };

	unlink(state_file);
	fake = start(argv);
}

/* ---- its state ---- */

static json_t *load_state(const char *text)
{
	return json_loads(text, 0, NULL);
}

/* "ours": our link as it should be, or with @arg as its domains. */
static bool has_link(const char *text, const void *arg)
{
	json_t *root = load_state(text), *want = json_loads(arg, 0, NULL);
	const json_t *link = json_object_get(json_object_get(root, "links"), DEVICE);
	bool is = link && json_equal(json_object_get(link, "domains"), want) &&
		  json_array_size(json_object_get(link, "dns")) == 2 &&
		  json_integer_value(json_object_get(root, "flushes")) >= 1;

	json_decref(root);
	json_decref(want);
	return is;
}

static bool has_no_link(const char *text, const void *arg)
{
	json_t *root = load_state(text);
	bool is = root && json_object_size(json_object_get(root, "links")) == 0 &&
		  json_integer_value(json_object_get(root, "flushes")) >= *(const int *)arg;

	json_decref(root);
	return is;
}

static void assert_setting(const char *key, const char *want)
{
	json_t *root = load_state(content(state_file));
	json_t *link = json_object_get(json_object_get(root, "links"), DEVICE);
	char *text;

	assert_non_null(link);
	text = json_dumps(json_object_get(link, key), JSON_COMPACT | JSON_ENCODE_ANY);
	assert_string_equal(text, want);
	free(text);
	json_decref(root);
}

/* ---- set-up ---- */

static int group_setup(void **state)
{
	char address[256];

	(void)state;
	if (make_base() < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return -1;
	snprintf(bus_dir, sizeof(bus_dir), "%s/run", test_base);
	snprintf(state_file, sizeof(state_file), "%s/state", test_base);
	snprintf(address, sizeof(address), "unix:path=%s/bus", bus_dir);
	if (setenv("DBUS_SYSTEM_BUS_ADDRESS", address, 1) < 0)
		return -1;
	write_to(at("/etc/resolv.conf"), "nameserver 127.0.0.53\n");
	write_to(at("/run/systemd/resolve/resolv.conf"),
		 "nameserver 10.1.2.3\nnameserver 198.18.0.2\n");
	return tun_open(&device, DEVICE, tun_clone_open());
}

static int group_teardown(void **state)
{
	(void)state;
	tun_close(device);
	return remove_base();
}

static int setup(void **state)
{
	(void)state;
	start_bus();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	stop(&fake);
	stop(&bus);
	if (strcmp(content(at("/etc/resolv.conf")), "nameserver 127.0.0.53\n") != 0)
		return -1;
	return !exists(at("/run/st/one")) && waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD ? 0
											       : -1;
}

static struct keep_dns wanted(void)
{
	return (struct keep_dns){ .manager = KEEP_DNS_AUTO,
				  .ifindex = tun_ifindex(device),
				  .servers = { addr("198.18.0.2"), addr("fd12::2") } };
}

static int keeper_of_device(int *pid)
{
	int fd = start_keeper("one", pid);

	assert_int_equal(keep_note_device(fd, DEVICE), 0);
	return fd;
}

static void set_two(int fd)
{
	struct keep_dns w = wanted();
	struct keep_dns_state s;

	assert_int_equal(keep_dns_suffix(fd, "prod.internal"), 0);
	assert_int_equal(keep_dns_suffix(fd, "10.in-addr.arpa"), 0);
	assert_int_equal(keep_dns_set(fd, &w, &s), 0);
	assert_string_equal(s.text, "");
	assert_int_equal(s.manager, KEEP_DNS_RESOLVED);
	assert_int_equal(s.n_former, 1); /* not the stub, which would ask us, and not us */
	assert_int_equal(s.former[0].b[3], 3);
}

#define TWO "[\"~prod.internal\",\"~10.in-addr.arpa\"]"

/* ---- the fake ---- */

static void set_and_goodbye(void **state)
{
	const int flushes = 2;
	struct keep_dns w = wanted();
	struct keep_dns_state s;
	int pid, fd = keeper_of_device(&pid);

	(void)state;
	start_fake(NULL, NULL);
	set_two(fd);
	assert_true(has_link(content(state_file), TWO));
	assert_setting("dns", "[\"198.18.0.2\",\"fd12::2\"]");
	assert_setting("default_route", "false");
	assert_setting("dnssec", "\"no\"");
	assert_setting("dns_over_tls", "\"no\"");
	assert_setting("llmnr", "\"no\"");
	assert_setting("mdns", "\"no\"");
	/* system mode, by a reload */
	w.default_route = true;
	assert_int_equal(keep_dns_suffix(fd, "a.b"), 0);
	assert_int_equal(keep_dns_set(fd, &w, &s), 0);
	assert_true(has_link(content(state_file), "[\"~.\",\"~a.b\"]"));
	assert_setting("default_route", "true");
	end_keeper(fd, pid);
	assert_true(has_no_link(content(state_file), &flushes));
}

static void it_restarts(void **state)
{
	struct keep_dns_state s;
	int pid, fd = keeper_of_device(&pid);

	(void)state;
	start_fake(NULL, NULL);
	set_two(fd);
	stop(&fake);
	start_fake(NULL, NULL);
	await_content(state_file, has_link, TWO);
	assert_int_equal(keep_dns_look(fd, &s), 0);
	end_keeper(fd, pid);
}

static void the_bus_restarts(void **state)
{
	int pid, fd = keeper_of_device(&pid);

	(void)state;
	start_fake(NULL, NULL);
	set_two(fd);
	stop(&fake);
	stop(&bus);
	start_bus();
	start_fake(NULL, NULL);
	await_content(state_file, has_link, TWO);
	end_keeper(fd, pid);
}

static void it_refuses(void **state)
{
	struct keep_dns w = wanted();
	struct keep_dns_state s;
	struct keep_journal j;
	int pid, fd = keeper_of_device(&pid);

	(void)state;
	start_fake("--refuse", NULL);
	assert_int_equal(keep_dns_set(fd, &w, &s), 0);
	assert_int_equal(s.manager, KEEP_DNS_NONE);
	assert_non_null(strstr(s.text, "Interactive authentication required"));
	assert_int_equal(keep_journal_read("one", &j), 0);
	assert_int_equal(j.resolver, KEEP_DNS_NONE);
	w.manager = KEEP_DNS_RESOLVED;
	assert_int_equal(keep_dns_set(fd, &w, &s), ST_EUNSUPPORTED);
	assert_non_null(strstr(s.text, "Interactive authentication required"));
	end_keeper(fd, pid);
}

static void it_is_slow(void **state)
{
	int pid, fd = keeper_of_device(&pid);

	(void)state;
	start_fake("--slow", "100");
	set_two(fd);
	assert_true(has_link(content(state_file), TWO));
	end_keeper(fd, pid);
}

/* Stopped: the bus has it, but it answers nothing. `up` waits 3 s and goes on; when it wakes up, it has been told. */
static void it_hangs(void **state)
{
	struct keep_dns w = wanted();
	struct keep_dns_state s;
	int pid, fd = keeper_of_device(&pid);

	(void)state;
	start_fake(NULL, NULL);
	assert_int_equal(kill(fake, SIGSTOP), 0);
	assert_int_equal(keep_dns_suffix(fd, "a.b"), 0);
	assert_int_equal(keep_dns_set(fd, &w, &s), 0);
	assert_int_equal(s.manager, KEEP_DNS_NONE);
	assert_non_null(strstr(s.text, "does not answer"));
	assert_int_equal(kill(fake, SIGCONT), 0);
	await_content(state_file, has_link, "[\"~a.b\"]");
	end_keeper(fd, pid);
}

/* The daemon dies while the keeper waits for a resolved that hangs: what matters goes first. */
static void dies_while_it_hangs(void **state)
{
	struct keep_dns w = wanted();
	struct keep_dns_state s;
	int pid, fd = keeper_of_device(&pid);
	uint64_t begin;
	pid_t asker;

	(void)state;
	start_fake(NULL, NULL);
	assert_int_equal(kill(fake, SIGSTOP), 0);
	assert_int_equal(keep_note_rules(fd), 0);
	assert_int_equal(tun_rules_set(&(struct tun_policy){ 0 }), 0);
	asker = fork();
	if (asker == 0) {
		keep_dns_set(fd, &w, &s);
		_exit(0);
	}
	close(fd);
	poll(NULL, 0, 300); /* it is in the wait */
	begin = keep_now_ms();
	kill(asker, SIGKILL);
	assert_int_equal(waitpid(asker, NULL, 0), asker);
	while (system("ip rule | grep -q 5373") == 0)
		assert_true(keep_now_ms() - begin < 3000U);
	print_message("rules gone after %d ms\n", (int)(keep_now_ms() - begin));
	reap(pid, 0);
	print_message("all undone after %d ms\n", (int)(keep_now_ms() - begin));
	assert_true(keep_now_ms() - begin < 3000U);
	assert_int_equal(kill(fake, SIGCONT), 0);
}

static void no_bus(void **state)
{
	struct keep_dns w = wanted();
	struct keep_dns_state s;
	int pid, fd = keeper_of_device(&pid);

	(void)state;
	stop(&bus);
	w.manager = KEEP_DNS_RESOLVED;
	assert_int_equal(keep_dns_set(fd, &w, &s), ST_EUNSUPPORTED);
	assert_non_null(strstr(s.text, "system's bus"));
	w.manager = KEEP_DNS_AUTO; /* its dead stub is named: before that, we are */
	assert_int_equal(keep_dns_set(fd, &w, &s), 0);
	assert_int_equal(s.manager, KEEP_DNS_FILE);
	assert_non_null(strstr(s.text, "leads to systemd-resolved, but"));
	end_keeper(fd, pid);
	/* a bus without it */
	start_bus();
	fd = keeper_of_device(&pid);
	w.manager = KEEP_DNS_RESOLVED;
	assert_int_equal(keep_dns_set(fd, &w, &s), ST_EUNSUPPORTED);
	assert_string_equal(s.text, "systemd-resolved does not run");
	end_keeper(fd, pid);
}

/* Switched off, but still named by nsswitch.conf, and on the list of what the bus could start: names go by the file. */
static void does_not_start(void **state)
{
	struct keep_dns w = wanted();
	struct keep_dns_state s;
	struct keep_journal j;
	char service[256];
	int pid, fd;

	(void)state;
	stop(&bus);
	snprintf(service, sizeof(service), "%s/org.freedesktop.resolve1.service", bus_dir);
	write_to(service,
		 "[D-BUS Service]\nName=org.freedesktop.resolve1\nExec=/bin/false\nUser=root\n");
	start_bus();
	write_to(at("/etc/resolv.conf"), "nameserver 9.9.9.9\n");
	write_to(at("/etc/nsswitch.conf"), "hosts: files resolve [!UNAVAIL=return] dns\n");
	fd = keeper_of_device(&pid);
	assert_int_equal(keep_dns_set(fd, &w, &s), 0);
	assert_int_equal(s.manager, KEEP_DNS_FILE);
	assert_non_null(strstr(s.text, "systemd-resolved: "));
	assert_int_equal(keep_journal_read("one", &j), 0);
	assert_int_equal(j.resolver, KEEP_DNS_FILE);
	assert_non_null(strstr(content(at("/etc/resolv.conf")), "nameserver 198.18.0.2\n"));
	w.manager = KEEP_DNS_RESOLVED;
	assert_int_equal(keep_dns_set(fd, &w, &s), ST_EUNSUPPORTED);
	end_keeper(fd, pid);
	assert_string_equal(content(at("/etc/resolv.conf")), "nameserver 9.9.9.9\n");
	write_to(at("/etc/resolv.conf"), "nameserver 127.0.0.53\n");
	assert_int_equal(unlink(service), 0);
	assert_int_equal(unlink(at("/etc/nsswitch.conf")), 0);
	stop(&bus);
	start_bus();
}

static void not_our_link(void **state)
{
	static const char *const names[] = { "lo", "nothing" };
	struct keep_dns w = wanted();
	struct keep_dns_state s;
	int pid, fd = start_keeper("one", &pid);

	(void)state;
	start_fake(NULL, NULL);
	assert_int_equal(keep_dns_set(fd, &w, &s), ST_EINVAL); /* no device was noted */
	assert_int_equal(keep_note_device(fd, DEVICE), 0);
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		w.ifindex = if_nametoindex(names[i]);
		assert_int_equal(keep_dns_set(fd, &w, &s), ST_EINVAL);
	}
	end_keeper(fd, pid);
	assert_null(strstr(content(state_file), "lo\""));
}

static void many_suffixes(void **state)
{
	struct keep_dns w = wanted();
	struct keep_dns_state s;
	int pid, fd = keeper_of_device(&pid);
	char name[32];
	json_t *root;

	(void)state;
	start_fake(NULL, NULL);
	for (int twice = 0; twice < 2; twice++) {
		for (unsigned i = 0; i < KEEP_SUFFIXES_MAX; i++) {
			snprintf(name, sizeof(name), "zone%u.internal", i);
			assert_int_equal(keep_dns_suffix(fd, name), 0);
		}
		w.default_route = twice; /* then one gives way to the root */
		assert_int_equal(keep_dns_set(fd, &w, &s), 0);
		assert_int_equal(s.manager, KEEP_DNS_RESOLVED);
		root = load_state(content(state_file));
		assert_int_equal(json_array_size(json_object_get(
					 json_object_get(json_object_get(root, "links"), DEVICE),
					 "domains")),
				 KEEP_SUFFIXES_MAX);
		json_decref(root);
	}
	end_keeper(fd, pid);
}

static void daemon_dies(void **state)
{
	const int flushes = 2;
	int pid, fd = keeper_of_device(&pid);

	(void)state;
	start_fake(NULL, NULL);
	set_two(fd);
	close(fd); /* the device stands: it is this test's */
	reap(pid, 0);
	assert_true(has_no_link(content(state_file), &flushes));
}

static void all_are_killed(void **state)
{
	const int flushes = 2;
	int pid, fd = keeper_of_device(&pid);

	(void)state;
	start_fake(NULL, NULL);
	set_two(fd);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	close(fd);
	assert_true(has_link(content(state_file), TWO));
	assert_int_equal(keep_undo("one"), 0);
	assert_true(has_no_link(content(state_file), &flushes));
	assert_int_equal(keep_undo("one"), 0);
}

static void sleeps_when_idle(void **state)
{
	int pid, fd = keeper_of_device(&pid);

	(void)state;
	start_fake(NULL, NULL);
	set_two(fd);
	assert_true(sleeps(pid));
	end_keeper(fd, pid);
}

/* ---- the real one ---- */

static pid_t start_real(void)
{
	const char *const argv[] = { RESOLVED_REAL, NULL };
	pid_t pid = fork();

	if (pid == 0) {
		union {
			const char *const *in;
			char *const *out;
		} args = { argv };

		int log = open(at("/real.log"), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

		dup2(log, STDERR_FILENO);
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		execv(argv[0], args.out);
		_exit(127);
	}
	return pid;
}

/* Return: what `busctl` prints of one of our link's properties */
static const char *real_property(const char *name)
{
	static char text[4096];
	char cmd[512];
	size_t len;
	FILE *f;

	snprintf(cmd, sizeof(cmd),
		 "busctl --address=\"$DBUS_SYSTEM_BUS_ADDRESS\" get-property "
		 "org.freedesktop.resolve1 "
		 "\"$(busctl --address=\"$DBUS_SYSTEM_BUS_ADDRESS\" call org.freedesktop.resolve1 "
		 "/org/freedesktop/resolve1 org.freedesktop.resolve1.Manager GetLink i %u | "
		 "cut -d'\"' -f2)\" org.freedesktop.resolve1.Link %s 2>&1",
		 tun_ifindex(device), name);
	f = popen(cmd, "r");
	assert_non_null(f);
	len = fread(text, 1, sizeof(text) - 1, f);
	text[len] = '\0';
	pclose(f);
	return text;
}

static bool bus_has_resolved(void)
{
	struct keep_bus *b;
	char why[KEEP_WHY];
	bool has;

	assert_int_equal(keep_bus_open(&b, KEEP_BUS_MS, -1, why), 0);
	has = keep_bus_has_resolved(b, -1);
	keep_bus_close(b);
	return has;
}

static void await_real(void)
{
	const uint64_t end = keep_now_ms() + AWAIT_MS;

	while (!bus_has_resolved()) /* a round trip each */
		assert_true(keep_now_ms() < end);
}

static void the_real_one(void **state)
{
	static const char *const lists[] = { "passwd", "group" }, *const lines[] = {
		"systemd-resolve:x:992:992::/:/usr/sbin/nologin", "systemd-resolve:x:992:"
	};
	int pid, fd;
	char path[64];

	(void)state;
	if (access(RESOLVED_REAL, X_OK) < 0) {
		print_message("skipped: %s is not there (scripts/setup fetches it)\n",
			      RESOLVED_REAL);
		skip();
	}
	/* Its run-time folder is its own here, and so is the list of users that it must be in. */
	assert_int_equal(mount("tmpfs", "/run", "tmpfs", 0, "mode=755"), 0);
	assert_int_equal(mkdir("/run/systemd", 0755), 0);
	for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
		run("{ grep -v ^systemd-resolve: /etc/%s; echo '%s'; } >%s/%s", lists[i], lines[i],
		    test_base, lists[i]);
		snprintf(path, sizeof(path), "/etc/%s", lists[i]);
		assert_int_equal(mount(at(i ? "/group" : "/passwd"), path, NULL, MS_BIND, NULL), 0);
	}
	fake = start_real();
	await_real();
	fd = keeper_of_device(&pid);
	set_two(fd);
	assert_string_equal(real_property("Domains"),
			    "a(sb) 2 \"prod.internal\" true \"10.in-addr.arpa\" true\n");
	assert_non_null(strstr(real_property("DNS"), "2 4 198 18 0 2"));
	assert_string_equal(real_property("DefaultRoute"), "b false\n");
	assert_string_equal(real_property("DNSSEC"), "s \"no\"\n");
	assert_non_null(strstr(content("/run/systemd/resolve/resolv.conf"), "198.18.0.2"));
	end_keeper(fd, pid);
	assert_string_equal(real_property("Domains"), "a(sb) 0\n");
	assert_string_equal(real_property("DNS"), "a(iay) 0\n");
	stop(&fake);
	assert_int_equal(umount("/etc/group") | umount("/etc/passwd") | umount("/run"), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(set_and_goodbye), TEST(it_restarts),	  TEST(the_bus_restarts),
		TEST(it_refuses),      TEST(does_not_start),	  TEST(it_is_slow),
		TEST(it_hangs),	       TEST(dies_while_it_hangs), TEST(no_bus),
		TEST(not_our_link),    TEST(many_suffixes),	  TEST(daemon_dies),
		TEST(all_are_killed),  TEST(sleeps_when_idle),	  TEST(the_real_one),
	};
	const struct CMUnitTest none[] = { cmocka_unit_test(needs_rights) };

	if (geteuid() != 0 || unshare(CLONE_NEWNET | CLONE_NEWNS) < 0 ||
	    system("command -v dbus-daemon >/dev/null && ip link set lo up") != 0)
		return cmocka_run_group_tests_name("keep_resolved", none, NULL, NULL);
	return cmocka_run_group_tests_name("keep_resolved", tests, group_setup, group_teardown);
}
