// SPDX-License-Identifier: MIT
/*
 * keep_file_test.c - /etc/resolv.conf and resolvconf as the resolver's settings, by requests to a real keeper; as root, in namespaces of its own
 *
 * Cases: set, looked at, goodbye: byte for byte as before; no file before; the daemon dies; all are killed and the next undoing comes from
 * the journal, or after a reboot without one; twice; set again is no write; rewritten by others: ours is first again, theirs follow; a
 * fight is given up; a log that nobody reads; what others wrote after a crash is kept; links: followed to root's files, else refused; mounted files: written in
 * place; read-only: none, with the reason; requests that are refused; what the journal holds; a forged copy; killed before a rename; the
 * keeper sleeps; resolvconf of both kinds, one that fails, once or always, one that hangs; the choice between managers; nobody named.
 */
#include "keep_testing.h"

#include <sched.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#define FORMER                                                                                     \
	"# by hand\nsearch a.example\nnameserver 9.9.9.9\nnameserver 2001:db8::1\noptions "        \
	"timeout:3"
#define OURS "198.18.0.2"

static char conf[192];

static int group_setup(void **state)
{
	(void)state;
	if (make_base() < 0)
		return -1;
	snprintf(conf, sizeof(conf), "%s/etc/resolv.conf", test_base);
	return mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
}

static int group_teardown(void **state)
{
	(void)state;
	return remove_base();
}

static int setup(void **state)
{
	(void)state;
	unlink(conf);
	write_to(conf, FORMER);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	unlink(at("/sbin/resolvconf"));
	unlink(at("/etc/nsswitch.conf"));
	if (exists(at("/run/st/one")) || (waitpid(-1, NULL, WNOHANG) >= 0 || errno != ECHILD))
		return -1;
	return 0;
}

static const struct keep_dns want = {
	.manager = KEEP_DNS_AUTO,
	.servers = { { .family = 4, .b = { 198, 18, 0, 2 } } },
};

static void set(int fd, enum keep_dns_manager wish, enum keep_dns_manager in_force)
{
	struct keep_dns w = want;
	struct keep_dns_state state;

	w.manager = wish;
	assert_int_equal(keep_dns_suffix(fd, "prod.internal"), 0);
	assert_int_equal(keep_dns_set(fd, &w, &state), 0);
	assert_int_equal(state.manager, in_force);
}

static bool ours_first(const char *text, const void *arg)
{
	struct net_addr found[KEEP_RESOLVERS_MAX], ours = addr(OURS);
	struct buf b;
	uint32_t n;

	buf_init(&b, KEEP_CONF_MAX);
	assert_int_equal(buf_put(&b, text, strlen(text)), 0);
	n = keep_text_servers(found, KEEP_RESOLVERS_MAX, &b);
	buf_fini(&b);
	return n > 0 && net_addr_eq(&found[0], &ours) && strstr(text, arg);
}

static void set_and_goodbye(void **state)
{
	struct keep_dns_state s;
	struct keep_journal j;
	struct stat before, st;
	int pid, fd = start_keeper("one", &pid);

	(void)state;
	assert_int_equal(chmod(conf, 0640), 0);
	assert_int_equal(stat(conf, &before), 0);
	assert_int_equal(keep_dns_look(fd, &s), 0); /* before it is set */
	assert_int_equal(s.manager, KEEP_DNS_NONE);
	assert_int_equal(s.n_former, 2);
	set(fd, KEEP_DNS_AUTO, KEEP_DNS_FILE);
	assert_true(ours_first(content(conf), "options timeout:3\n# ssm-tun: "));
	assert_non_null(strstr(content(conf), "\noptions timeout:1\n"));
	assert_int_equal(stat(conf, &st), 0);
	assert_int_equal(st.st_mode, before.st_mode);
	assert_int_equal(keep_journal_read("one", &j), 0);
	assert_int_equal(j.resolver, KEEP_DNS_FILE);
	assert_true(net_addr_eq(&j.servers[0], &want.servers[0]));
	assert_int_equal(keep_dns_look(fd, &s), 0);
	assert_int_equal(s.manager, KEEP_DNS_FILE);
	assert_int_equal(s.n_former, 2);
	assert_true(
		net_addr_eq(&s.former[0], &(struct net_addr){ .family = 4, .b = { 9, 9, 9, 9 } }));
	end_keeper(fd, pid);
	assert_string_equal(content(conf), FORMER);
	assert_int_equal(stat(conf, &st), 0);
	assert_int_equal(st.st_mode, before.st_mode);
}

static void no_file_before(void **state)
{
	int pid, fd = start_keeper("one", &pid);

	(void)state;
	assert_int_equal(unlink(conf), 0);
	set(fd, KEEP_DNS_AUTO, KEEP_DNS_FILE);
	assert_true(ours_first(content(conf), ""));
	end_keeper(fd, pid);
	assert_false(exists(conf));
}

static void daemon_dies(void **state)
{
	int pid, fd = start_keeper("one", &pid);
	uint64_t start;

	(void)state;
	set(fd, KEEP_DNS_AUTO, KEEP_DNS_FILE);
	start = keep_now_ms();
	close(fd);
	reap(pid, 0);
	assert_true(keep_now_ms() - start < 3000U);
	assert_string_equal(content(conf), FORMER);
}

/* What kill -9 of everything leaves: names still resolve by the servers behind ours. */
static void kill_all(void)
{
	int pid, fd = start_keeper("one", &pid);

	set(fd, KEEP_DNS_AUTO, KEEP_DNS_FILE);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	close(fd);
	assert_true(ours_first(content(conf), "\nnameserver 9.9.9.9\n"));
}

static void undone_from_the_journal(void **state)
{
	(void)state;
	kill_all();
	assert_int_equal(keep_undo("one"), 0);
	assert_string_equal(content(conf), FORMER);
	assert_int_equal(keep_undo("one"), 0);
	assert_string_equal(content(conf), FORMER);
}

static void undone_after_a_reboot(void **state)
{
	(void)state;
	kill_all();
	run("rm -r %s", test_run);
	assert_int_equal(keep_undo("one"), 0);
	assert_string_equal(content(conf), FORMER "\n");
	/* or by the next up, under whatever name */
	kill_all();
	run("rm -r %s", test_run);
	struct keep_journal other;
	assert_int_equal(keep_claim("two", 65534, 65534, &other), 0);
	assert_string_equal(content(conf), FORMER "\n");
	assert_int_equal(keep_undo("two"), 0);
}

static void written_by_others_after_a_crash(void **state)
{
	(void)state;
	kill_all();
	replace(conf, "nameserver 198.18.0.2\nnameserver 8.8.8.8\n"); /* comments dropped */
	assert_int_equal(keep_undo("one"), 0);
	assert_string_equal(content(conf), "nameserver 8.8.8.8\n");
	write_to(conf, FORMER);
	kill_all();
	replace(conf, "nameserver 8.8.4.4\n");
	assert_int_equal(keep_undo("one"), 0);
	assert_string_equal(content(conf), "nameserver 8.8.4.4\n");
}

/* Killed between the new file and its rename. */
static void killed_before_the_rename(void **state)
{
	(void)state;
	kill_all();
	write_to(at("/etc/.resolv.conf.ssm-tun"), FORMER);
	assert_int_equal(keep_undo("one"), 0);
	assert_string_equal(content(conf), FORMER);
	assert_false(exists(at("/etc/.resolv.conf.ssm-tun")));
	/* also where the file itself was not reached any more */
	write_to(at("/etc/.resolv.conf.ssm-tun"), FORMER);
	assert_int_equal(keep_undo("one"), 0);
	assert_false(exists(at("/etc/.resolv.conf.ssm-tun")));
}

/* The user's folder holds another "copy" of his own making. */
static void forged_copy(void **state)
{
	char copy[192];

	(void)state;
	kill_all();
	keep_path(copy, sizeof(copy), "one", "resolv.conf");
	assert_string_equal(content(copy), "file\n" FORMER);
	assert_int_equal(unlink(copy), 0);
	write_to(copy, "file\nnameserver 6.6.6.6\n");
	assert_int_equal(chown(copy, 65534, 65534), 0);
	assert_int_equal(keep_undo("one"), 0);
	assert_string_equal(content(conf), FORMER "\n");
}

static void set_again(void **state)
{
	struct stat first, second;
	int pid, fd = start_keeper("one", &pid);

	(void)state;
	set(fd, KEEP_DNS_AUTO, KEEP_DNS_FILE);
	assert_int_equal(stat(conf, &first), 0);
	set(fd, KEEP_DNS_FILE, KEEP_DNS_FILE);
	assert_int_equal(stat(conf, &second), 0);
	assert_int_equal(first.st_ino, second.st_ino);
	set(fd, KEEP_DNS_NONE, KEEP_DNS_NONE); /* a reload that asks for none */
	assert_string_equal(content(conf), FORMER);
	end_keeper(fd, pid);
}

/* Another Wi-Fi: theirs are the former ones from now on. */
static void rewritten_by_others(void **state)
{
	struct keep_dns_state s;
	int pid, fd = start_keeper("one", &pid);

	(void)state;
	set(fd, KEEP_DNS_AUTO, KEEP_DNS_FILE);
	replace(conf, "nameserver 8.8.8.8\n");
	await_content(conf, ours_first, "\nnameserver 8.8.8.8\n");
	assert_int_equal(keep_dns_look(fd, &s), 0);
	assert_int_equal(s.n_former, 1);
	assert_true(
		net_addr_eq(&s.former[0], &(struct net_addr){ .family = 4, .b = { 8, 8, 8, 8 } }));
	write_to(conf, "nameserver 8.8.4.4\n"); /* in place */
	await_content(conf, ours_first, "\nnameserver 8.8.4.4\n");
	end_keeper(fd, pid);
	assert_string_equal(content(conf), "nameserver 8.8.4.4\n");
}

/* A stopped terminal, or a pager that is not scrolled. */
static void log_that_nobody_reads(void **state)
{
	struct pollfd p = { .events = POLLIN };
	int pid, fd = start_keeper("one", &pid), log_pipe[2], n;
	char room[4096] = { 0 };

	(void)state;
	assert_int_equal(pipe2(log_pipe, O_CLOEXEC | O_NONBLOCK), 0);
	while (write(log_pipe[1], room, sizeof(room)) > 0)
		;
	assert_int_equal(fcntl(log_pipe[1], F_SETFL, 0), 0);
	set(fd, KEEP_DNS_AUTO, KEEP_DNS_FILE);
	assert_int_equal(keep_note_log(fd, log_pipe[1]), 0);
	replace(conf, "nameserver 8.8.8.8\n"); /* which it tells */
	await_content(conf, ours_first, "\nnameserver 8.8.8.8\n");
	close(fd);
	p.fd = (int)syscall(SYS_pidfd_open, pid, 0);
	n = poll(&p, 1, 3000);
	close(p.fd);
	close(log_pipe[0]);
	close(log_pipe[1]);
	reap(pid, 0);
	assert_int_equal(n, 1);
	assert_string_equal(content(conf), "nameserver 8.8.8.8\n");
}

static bool given_up(int fd)
{
	struct keep_dns_state s;

	assert_int_equal(keep_dns_look(fd, &s), 0);
	if (s.manager == KEEP_DNS_FILE)
		return false;
	assert_non_null(strstr(s.text, "others keep rewriting"));
	return true;
}

static void fight(void **state)
{
	const uint64_t end = keep_now_ms() + AWAIT_MS;
	int pid, fd = start_keeper("one", &pid), n;
	struct keep_dns_state s;
	char text[64];

	(void)state;
	set(fd, KEEP_DNS_AUTO, KEEP_DNS_FILE);
	for (n = 0; n < 5; n++) {
		snprintf(text, sizeof(text), "nameserver 8.8.8.%d\n", n);
		replace(conf, text);
		await_content(conf, ours_first, text);
	}
	/* what others do beside it, and our own writing, are no rewrites */
	write_to(at("/etc/other"), "");
	poll(NULL, 0, 500);
	assert_int_equal(keep_dns_look(fd, &s), 0);
	assert_int_equal(s.manager, KEEP_DNS_FILE);
	assert_int_equal(unlink(at("/etc/other")), 0);
	replace(conf, "nameserver 8.8.8.8\n");
	while (!given_up(fd)) { /* each look is a round trip; the keeper settles for 100 ms */
		assert_true(keep_now_ms() < end);
		poll(NULL, 0, 10);
	}
	assert_string_equal(content(conf), "nameserver 8.8.8.8\n");
	set(fd, KEEP_DNS_AUTO, KEEP_DNS_FILE); /* a reload tries again */
	end_keeper(fd, pid);
	assert_string_equal(content(conf), "nameserver 8.8.8.8\n");
}

static void links(void **state)
{
	static const char *const refused[] = { "/etc/elsewhere", "../run/theirs/resolv.conf",
					       "../run/mine/theirs", "../run/mine/folder",
					       "../run/mine/link" };
	struct keep_dns_state s;
	int pid, fd = start_keeper("one", &pid);

	(void)state;
	run("mkdir -p %s/run/mine/folder %s/run/theirs", test_base, test_base);
	run("chown 65534 %s/run/theirs", test_base);
	write_to(at("/run/mine/resolv.conf"), FORMER);
	write_to(at("/run/mine/theirs"), FORMER);
	write_to(at("/run/theirs/resolv.conf"), FORMER);
	run("chown 65534 %s/run/mine/theirs; ln -s resolv.conf %s/run/mine/link", test_base,
	    test_base);
	for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
		unlink(conf);
		assert_int_equal(symlink(refused[i], conf), 0);
		assert_int_equal(keep_dns_set(fd, &want, &s), 0);
		assert_int_equal(s.manager, KEEP_DNS_NONE);
		assert_non_null(strstr(s.text, "/etc/resolv.conf"));
	}
	assert_string_equal(content(at("/run/mine/theirs")), FORMER);
	for (int i = 0; i < 2; i++) { /* relative, and absolute below our root */
		unlink(conf);
		assert_int_equal(
			symlink(i ? "/run/mine/resolv.conf" : "../run/mine/resolv.conf", conf), 0);
		set(fd, KEEP_DNS_AUTO, KEEP_DNS_FILE);
		assert_true(ours_first(content(at("/run/mine/resolv.conf")), "9.9.9.9"));
		write_to(at("/run/mine/resolv.conf"), "nameserver 8.8.8.8\n"); /* seen there, too */
		await_content(at("/run/mine/resolv.conf"), ours_first, "8.8.8.8");
		set(fd, KEEP_DNS_NONE, KEEP_DNS_NONE);
		write_to(at("/run/mine/resolv.conf"), FORMER);
	}
	end_keeper(fd, pid);
	assert_string_equal(content(at("/run/mine/resolv.conf")), FORMER);
	run("rm -r %s/run/mine %s/run/theirs", test_base, test_base);
}

/* As in a container: rename() over a mount point is refused. */
static void mounted(void **state)
{
	struct keep_dns_state s;
	struct keep_dns w = want;
	int pid, fd;

	(void)state;
	write_to(at("/mounted"), FORMER);
	assert_int_equal(mount(at("/mounted"), conf, NULL, MS_BIND, NULL), 0);
	fd = start_keeper("one", &pid);
	set(fd, KEEP_DNS_AUTO, KEEP_DNS_FILE);
	assert_true(ours_first(content(conf), "9.9.9.9"));
	assert_true(ours_first(content(at("/mounted")), "9.9.9.9"));
	set(fd, KEEP_DNS_NONE, KEEP_DNS_NONE);
	assert_string_equal(content(at("/mounted")), FORMER);
	assert_int_equal(mount(NULL, conf, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL), 0);
	assert_int_equal(keep_dns_set(fd, &w, &s), 0);
	assert_int_equal(s.manager, KEEP_DNS_NONE);
	assert_non_null(strstr(s.text, "can't be written: Read-only file system"));
	w.manager = KEEP_DNS_FILE;
	assert_int_equal(keep_dns_set(fd, &w, &s), ST_EUNSUPPORTED);
	end_keeper(fd, pid);
	assert_string_equal(content(conf), FORMER);
	assert_int_equal(umount(conf), 0);
	assert_false(exists(at("/etc/.resolv.conf.ssm-tun")));
}

static int raw(int fd, struct keep_request *req)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	struct keep_answer a;

	assert_int_equal(send(fd, req, sizeof(*req), 0), sizeof(*req));
	assert_int_equal(poll(&p, 1, AWAIT_MS), 1);
	assert_int_equal(recv(fd, &a, sizeof(a), 0), sizeof(a));
	return a.result;
}

static void refused_requests(void **state)
{
	static const char *const bad[] = { "",	   ".",	   "a.",     ".a",  "a..b", "A.b", "a b",
					   "a\nb", "ä.de", "a/../b", "*.a", "a\n",  "a\"b" };
	struct keep_dns_state s;
	struct keep_dns w = want;
	struct keep_request req = { .op = KEEP_OP_SUFFIX };
	char label[66];
	int pid, fd = start_keeper("one", &pid);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(keep_dns_suffix(fd, bad[i]), ST_EINVAL);
	memset(label, 'a', 64);
	label[64] = '\0';
	assert_int_equal(keep_dns_suffix(fd, label), ST_EINVAL);
	label[63] = '\0';
	assert_int_equal(keep_dns_suffix(fd, label), 0);
	memset(req.suffix, 'a', sizeof(req.suffix)); /* without an end */
	assert_int_equal(raw(fd, &req), ST_EINVAL);
	for (unsigned i = 0; i < KEEP_SUFFIXES_MAX; i++)
		assert_int_equal(keep_dns_suffix(fd, "x.y"), 0);
	assert_int_equal(keep_dns_suffix(fd, "x.y"), ST_EFULL);
	assert_int_equal(keep_dns_suffix(fd, "x.y"), 0); /* the list begins anew */
	req = (struct keep_request){ .op = KEEP_OP_DNS_SET, .manager = KEEP_DNS_MANAGER_N };
	req.servers[0] = want.servers[0];
	assert_int_equal(raw(fd, &req), ST_EINVAL);
	req.manager = KEEP_DNS_AUTO;
	req.servers[1].family = 5;
	assert_int_equal(raw(fd, &req), ST_EINVAL);
	w.servers[0].family = 0; /* nobody to point to */
	assert_int_equal(keep_dns_set(fd, &w, &s), ST_EINVAL);
	w = want;
	w.manager = KEEP_DNS_RESOLVCONF;
	assert_int_equal(keep_dns_set(fd, &w, &s), ST_EUNSUPPORTED);
	assert_non_null(strstr(s.text, "no resolvconf"));
	assert_string_equal(content(conf), FORMER);
	end_keeper(fd, pid);
}

static void sleeps_when_idle(void **state)
{
	int pid, fd = start_keeper("one", &pid);

	(void)state;
	set(fd, KEEP_DNS_AUTO, KEEP_DNS_FILE);
	assert_true(sleeps(pid));
	end_keeper(fd, pid);
}

/* ---- resolvconf ---- */

/* Keeps one record, as the programs do, and puts it before what the machine has. */
#define RESOLVCONF                                                                                 \
	"#!/bin/sh\necho \"$*\" >>%s/calls; env >%s/env; last=; for a; do last=$a; done\n"         \
	"case $* in *-d*) rm -f %s/record-$last ;; *) cat >%s/record-$last ;; esac\n"              \
	"{ echo '# Generated by resolvconf'; cat %s/record-* 2>/dev/null; echo nameserver "        \
	"9.9.9.9; } >%s\n"

static void install(const char *body)
{
	write_to(at("/sbin/resolvconf"), body);
	assert_int_equal(chmod(at("/sbin/resolvconf"), 0755), 0);
}

static void install_resolvconf(void)
{
	char text[1024];

	snprintf(text, sizeof(text), RESOLVCONF, test_base, test_base, test_base, test_base,
		 test_base, conf);
	install(text);
	write_to(conf, "# Generated by resolvconf\nnameserver 9.9.9.9\n");
	unlink(at("/calls"));
}

static void resolvconf(void **state)
{
	struct keep_dns_state s;
	int pid, fd = start_keeper("one", &pid);

	(void)state;
	install_resolvconf();
	assert_int_equal(setenv("SECRET", "x", 1), 0);
	assert_int_equal(keep_note_device(fd, "ssmkeep0"), 0);
	set(fd, KEEP_DNS_AUTO, KEEP_DNS_RESOLVCONF);
	assert_string_equal(content(at("/calls")), "-m 0 -a ssmkeep0.one\n");
	assert_string_equal(content(at("/record-ssmkeep0.one")),
			    "nameserver 198.18.0.2\noptions timeout:1\n");
	assert_null(strstr(content(at("/env")), "SECRET"));
	assert_int_equal(keep_dns_look(fd, &s), 0);
	assert_int_equal(s.n_former, 1);
	assert_string_equal(s.text, "");
	close(fd); /* dies */
	reap(pid, 0);
	assert_false(exists(at("/record-ssmkeep0.one")));
	assert_string_equal(content(conf), "# Generated by resolvconf\nnameserver 9.9.9.9\n");
	/* Debian's own kind orders by name. */
	run("mkdir %s/etc/resolvconf && echo 'tun*' >%s/etc/resolvconf/interface-order", test_base,
	    test_base);
	install_resolvconf();
	fd = start_keeper("one", &pid);
	set(fd, KEEP_DNS_RESOLVCONF, KEEP_DNS_RESOLVCONF);
	assert_string_equal(content(at("/calls")), "-a tun-ssm-tun.one\n");
	/* everybody is killed: the journal is enough */
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	close(fd);
	assert_int_equal(keep_undo("one"), 0);
	assert_string_equal(content(at("/calls")), "-a tun-ssm-tun.one\n-d tun-ssm-tun.one\n");
	run("rm -r %s/etc/resolvconf", test_base);
}

static void resolvconf_fails(void **state)
{
	struct keep_dns_state s;
	struct keep_dns w = want;
	int pid, fd = start_keeper("one", &pid);

	(void)state;
	install("#!/bin/sh\nexit 3\n");
	w.manager = KEEP_DNS_RESOLVCONF;
	assert_int_equal(keep_dns_set(fd, &w, &s), ST_EUNSUPPORTED);
	assert_non_null(strstr(s.text, "resolvconf failed"));
	/* systemd's is not one */
	assert_int_equal(unlink(at("/sbin/resolvconf")), 0);
	assert_int_equal(symlink("/usr/bin/resolvectl", at("/sbin/resolvconf")), 0);
	assert_int_equal(keep_dns_set(fd, &w, &s), ST_EUNSUPPORTED);
	assert_non_null(strstr(s.text, "no resolvconf but"));
	end_keeper(fd, pid);
}

/* What could not be taken back at once is taken back at the end. */
static void resolvconf_fails_to_forget(void **state)
{
	struct keep_journal j;
	int pid, fd = start_keeper("one", &pid);

	(void)state;
	install_resolvconf();
	set(fd, KEEP_DNS_RESOLVCONF, KEEP_DNS_RESOLVCONF);
	run("mv %s/sbin/resolvconf %s/kept", test_base, test_base);
	install("#!/bin/sh\nexit 3\n");
	set(fd, KEEP_DNS_NONE, KEEP_DNS_NONE);
	assert_int_equal(keep_journal_read("one", &j), 0);
	assert_int_equal(j.resolver, KEEP_DNS_RESOLVCONF);
	assert_true(exists(at("/record-ssm-tun.one")));
	run("mv %s/kept %s/sbin/resolvconf", test_base, test_base);
	end_keeper(fd, pid);
	assert_false(exists(at("/record-ssm-tun.one")));
}

/* A hook that hangs holds neither the daemon for long nor the rest of the undoing. */
static void resolvconf_hangs(void **state)
{
	int pid, fd = start_keeper("one", &pid);
	struct keep_dns_state s;
	struct keep_dns w = want;
	uint64_t start;
	pid_t closer;

	(void)state;
	install("#!/bin/sh\nsleep 100\n");
	w.manager = KEEP_DNS_RESOLVCONF;
	closer = fork(); /* a second holder of our end: the hang-up comes when it ends */
	if (closer == 0) {
		keep_dns_set(fd, &w, &s);
		_exit(0);
	}
	close(fd);
	poll(NULL, 0, 200);
	start = keep_now_ms();
	assert_int_equal(kill(closer, SIGKILL), 0);
	assert_int_equal(waitpid(closer, NULL, 0), closer);
	reap(pid, 0);
	assert_true(keep_now_ms() - start < 3000); /* 1.5 s of the hanging resolvconf -d */
	while (waitpid(-1, NULL, 0) > 0) /* what the hook had started was killed with it */
		;
}

/* ---- the choice ---- */

static void choice(void **state)
{
	char why[KEEP_WHY];

	(void)state;
	assert_int_equal(setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent/bus", 1), 0);
	assert_int_equal(keep_choose(KEEP_DNS_AUTO, -1, why), KEEP_DNS_FILE);
	assert_string_equal(why, "");
	assert_int_equal(keep_choose(KEEP_DNS_NONE, -1, why), KEEP_DNS_NONE);
	assert_int_equal(keep_choose(KEEP_DNS_RESOLVED, -1, why), KEEP_DNS_NONE);
	assert_non_null(strstr(why, "system's bus"));
	/* resolved is named but not there: our server before the dead stub is better than nothing */
	write_to(conf, "nameserver 127.0.0.53\n");
	assert_int_equal(keep_choose(KEEP_DNS_AUTO, -1, why), KEEP_DNS_FILE);
	assert_non_null(strstr(why, "leads to systemd-resolved, but"));
	write_to(conf, FORMER);
	write_to(at("/etc/nsswitch.conf"), "hosts: files resolve [!UNAVAIL=return] dns\n");
	assert_int_equal(keep_choose(KEEP_DNS_AUTO, -1, why), KEEP_DNS_FILE);
	/* a resolvconf that nobody uses */
	install("#!/bin/sh\n");
	assert_int_equal(keep_choose(KEEP_DNS_AUTO, -1, why), KEEP_DNS_FILE);
	write_to(conf, "# Generated by resolvconf\n");
	assert_int_equal(keep_choose(KEEP_DNS_AUTO, -1, why), KEEP_DNS_RESOLVCONF);
}

static void former_servers(void **state)
{
	const struct net_addr ours[KEEP_SERVERS] = { addr(OURS) };
	struct net_addr found[KEEP_RESOLVERS_MAX];
	uint32_t n = keep_former(found, ours);

	(void)state;
	assert_int_equal(n, 2);
	write_to(conf, "nameserver 127.0.0.53\n");
	assert_int_equal(keep_former(found, ours), 0); /* its stub would ask us again */
	write_to(at("/run/systemd/resolve/resolv.conf"),
		 "nameserver 198.18.0.2\nnameserver 10.0.0.1\nnameserver 10.0.0.2\n");
	assert_int_equal(keep_former(found, ours), 2);
	assert_int_equal(found[0].b[0], 10);
	unlink(at("/run/systemd/resolve/resolv.conf"));
}

/* resolv.conf(5): without a "nameserver" line it is the one of this machine that is asked. */
static void nobody_named(void **state)
{
	const struct net_addr here = addr("127.0.0.1");
	struct keep_dns_state s;
	int pid, fd;

	(void)state;
	for (int i = 0; i < 2; i++) {
		unlink(conf);
		if (i == 1)
			write_to(conf, "search a.example\n");
		fd = start_keeper("one", &pid);
		set(fd, KEEP_DNS_AUTO, KEEP_DNS_FILE);
		assert_true(ours_first(content(conf), "\nnameserver 127.0.0.1\n"));
		assert_int_equal(keep_dns_look(fd, &s), 0);
		assert_int_equal(s.n_former, 1);
		assert_true(net_addr_eq(&s.former[0], &here));
		end_keeper(fd, pid);
		assert_string_equal(content(conf), i == 1 ? "search a.example\n" : "");
		assert_int_equal(exists(conf), i == 1);
	}
	/* a zone is somebody, but none that we could ask */
	write_to(conf, "nameserver fe80::1%eth0\n");
	assert_int_equal(keep_former(&s.former[0], want.servers), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(set_and_goodbye),
		TEST(no_file_before),
		TEST(daemon_dies),
		TEST(undone_from_the_journal),
		TEST(undone_after_a_reboot),
		TEST(written_by_others_after_a_crash),
		TEST(killed_before_the_rename),
		TEST(forged_copy),
		TEST(set_again),
		TEST(rewritten_by_others),
		TEST(log_that_nobody_reads),
		TEST(fight),
		TEST(links),
		TEST(mounted),
		TEST(refused_requests),
		TEST(sleeps_when_idle),
		TEST(resolvconf),
		TEST(resolvconf_fails),
		TEST(resolvconf_fails_to_forget),
		TEST(resolvconf_hangs),
		TEST(choice),
		TEST(former_servers),
		TEST(nobody_named),
	};
	const struct CMUnitTest none[] = { cmocka_unit_test(needs_rights) };

	if (geteuid() != 0 || unshare(CLONE_NEWNET | CLONE_NEWNS) < 0)
		return cmocka_run_group_tests_name("keep_file", none, NULL, NULL);
	return cmocka_run_group_tests_name("keep_file", tests, group_setup, group_teardown);
}
