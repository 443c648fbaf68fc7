// SPDX-License-Identifier: MIT
/*
 * ssh_conn_test.c - log-in to a real sshd
 *
 * user keys: ed25519, ecdsa, RSA (OpenSSH and PEM); encrypted with a passphrase; by the agent (plain, RSA, certificate, memo);
 *	file key that the agent holds; wrong key; no key; agent that is not there
 * host keys: RSA only; written and found again; changed; strict; pinned; the stored type is asked for; @revoked; user's file
 * peers: no SSH server; closes at once
 */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/file.h"
#include "testlib.h"
#include "tunnel/ssh_key.h"

static struct sshd d;
static pid_t agent_pid;

static int setup(void **state)
{
	(void)state;
	sshd_dir(&d);
	sshd_start(&d, "ed25519,ecdsa,rsa", NULL);
	return 0;
}

static void agent_start(void)
{
	char line[128];
	FILE *f;

	setenv("SSH_AUTH_SOCK", sshd_path(&d, "agent.sock"), 1);
	unlink(sshd_path(&d, "agent.sock"));
	run_cmd("cd %s && ssh-agent -a agent.sock >agent.out", d.dir);
	f = fopen(sshd_path(&d, "agent.out"), "r");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f) != NULL)
		sscanf(line, "SSH_AGENT_PID=%d", &agent_pid);
	fclose(f);
	assert_true(agent_pid > 1);
}

static void agent_stop(void)
{
	if (agent_pid > 1)
		kill(agent_pid, SIGTERM);
	agent_pid = 0;
	unsetenv("SSH_AUTH_SOCK");
}

static int teardown(void **state)
{
	(void)state;
	agent_stop(); /* a test that failed left it */
	sshd_stop(&d);
	return 0;
}

static void known_hosts_remove(void)
{
	unlink(sshd_path(&d, "known_hosts"));
}

/* Logs in with a key of the folder (NULL: the agent). Return: ready; @text gets the failure. */
static bool try_login(const char *key, bool agent, struct link *l)
{
	struct ssh_conn_opts o = opts_default(&d);
	struct tnl_key *k = key != NULL ? key_must_load(&d, key) : NULL;
	bool ready;

	o.key = k;
	o.agent = agent;
	link_open(l, &d, &o);
	ready = link_login(l);
	link_close(l);
	tnl_key_free(k);
	return ready;
}

static void file_keys(void **state)
{
	static const char *const names[] = { "id_ed25519", "id_ecdsa", "id_rsa" };
	struct link l = { 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (!try_login(names[i], false, &l))
			fail_msg("%s: %s", names[i], l.text);
	}
	run_cmd("cd %s && cp id_rsa id_pem && ssh-keygen -q -p -m PEM -N '' -P '' -f id_pem",
		d.dir);
	assert_true(try_login("id_pem", false, &l));
	assert_int_equal(l.agent_jobs, 0);
}

static int ask_secret(void *arg, const char *path, char *out, size_t cap)
{
	(void)path;
	++*(int *)arg;
	snprintf(out, cap, "%s", "correct horse");
	return 0;
}

/* Each kind but RSA in OpenSSH's format is decrypted when it is loaded, and logs in from what that made of it. */
static void encrypted_key(void **state)
{
	static const char *const kinds[] = { "ed25519", "ecdsa", "rsa", "rsa -m PEM" };
	struct ssh_conn_opts o = opts_default(&d);
	struct tnl_key *k;
	struct link l = { 0 };
	char text[512];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		int asked = 0;

		run_cmd("cd %s && set -- %s && cp id_$1 id_enc && shift && "
			"ssh-keygen -q -p $* -N 'correct horse' -P '' -f id_enc >/dev/null",
			d.dir, kinds[i]);
		assert_int_equal(tnl_key_load(&k, sshd_path(&d, "id_enc"), false, ask_secret,
					      &asked, text, sizeof(text)),
				 0);
		assert_int_equal(asked, 1);
		if ((ssh_key_passphrase(k) != NULL) != (strcmp(kinds[i], "rsa") == 0))
			fail_msg("%s: not decrypted", kinds[i]);
		o.key = k;
		link_open(&l, &d, &o);
		if (!link_login(&l))
			fail_msg("%s: %s", kinds[i], l.text);
		link_close(&l);
		tnl_key_free(k);
	}
}

static void agent_keys(void **state)
{
	static const char *const names[] = { "id_ed25519", "id_ecdsa", "id_rsa" };
	struct link l = { 0 };

	(void)state;
	agent_start();
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		run_cmd("cd %s && ssh-add -q -D 2>/dev/null && ssh-add -q %s 2>/dev/null", d.dir,
			names[i]);
		if (!try_login(NULL, true, &l))
			fail_msg("%s: %s", names[i], l.text);
		assert_int_equal(l.agent_jobs, 2);
	}
	agent_stop();
}

static void agent_memo(void **state)
{
	struct link l = { 0 };

	(void)state;
	agent_start();
	/* two that are refused come first; the third works and is remembered */
	run_cmd("cd %s && for i in 1 2; do rm -f no$i; ssh-keygen -q -N '' -t ed25519 -f no$i; "
		"ssh-add -q no$i 2>/dev/null; done; "
		"ssh-add -q id_rsa 2>/dev/null",
		d.dir);
	assert_true(try_login(NULL, true, &l));
	assert_true(l.memo.valid);
	run_cmd("cd %s && ssh-add -q -D 2>/dev/null && for i in 1 2; do ssh-add -q no$i "
		"2>/dev/null; done; "
		"rm -f no3 && ssh-keygen -q -N '' -t ed25519 -f no3 && ssh-add -q no3 2>/dev/null; "
		"ssh-add -q id_rsa 2>/dev/null",
		d.dir);
	assert_true(try_login(NULL, true, &l)); /* it is the fourth, beyond the tries */
	l.memo.valid = false;
	assert_false(try_login(NULL, true, &l));
	assert_int_equal(l.err, ST_EAUTH);
	assert_non_null(strstr(l.text, "(agent)"));
	agent_stop();
}

static void agent_certificate(void **state)
{
	struct link l = { 0 };

	(void)state;
	run_cmd("cd %s && rm -f ca cert* && ssh-keygen -q -N '' -t ed25519 -f ca && ssh-keygen -q "
		"-N '' -t ed25519 -f cert && "
		"ssh-keygen -q -s ca -I me -n %s cert.pub && cp authorized_keys ak && "
		"{ printf 'cert-authority '; cat ca.pub; } >>authorized_keys",
		d.dir, d.user);
	agent_start();
	run_cmd("cd %s && ssh-add -q cert 2>/dev/null", d.dir);
	assert_true(try_login(NULL, true, &l));
	agent_stop();
	run_cmd("cd %s && mv ak authorized_keys", d.dir);
}

static void agent_holds_file_key(void **state)
{
	struct ssh_conn_opts o = opts_default(&d);
	struct tnl_key *k;
	struct link l = { 0 };
	char text[512];
	int asked = 0;

	(void)state;
	run_cmd("cd %s && cp id_ecdsa id_enc2 && ssh-keygen -q -p -N 'correct horse' -P '' -f "
		"id_enc2",
		d.dir);
	agent_start();
	run_cmd("cd %s && ssh-add -q id_ed25519 id_rsa id_ecdsa 2>/dev/null", d.dir);
	assert_int_equal(tnl_key_load(&k, sshd_path(&d, "id_enc2"), true, ask_secret, &asked, text,
				      sizeof(text)),
			 0);
	assert_int_equal(asked, 0);
	o.key = k;
	o.agent = true;
	link_open(&l, &d, &o);
	assert_true(link_login(&l));
	assert_int_equal(l.agent_jobs, 2);
	link_close(&l);
	agent_stop();
	/* the agent is gone and there is no passphrase: the message says what to do */
	link_open(&l, &d, &o);
	assert_false(link_login(&l));
	assert_int_equal(l.err, ST_EAUTH);
	assert_non_null(strstr(l.text, "ssh-add"));
	link_close(&l);
	tnl_key_free(k);
}

static void wrong_key(void **state)
{
	struct link l = { 0 };

	(void)state;
	assert_false(try_login("id_other", false, &l));
	assert_int_equal(l.err, ST_EAUTH);
	assert_non_null(strstr(l.text, "@i-0123"));
	assert_non_null(strstr(l.text, "ssh-ed25519 SHA256:"));
	assert_non_null(strstr(l.text, "id_other"));
	assert_non_null(strstr(l.text, "authorized_keys"));
}

static void no_key(void **state)
{
	struct link l = { 0 };

	(void)state;
	assert_false(try_login(NULL, false, &l));
	assert_int_equal(l.err, ST_EAUTH);
	assert_non_null(strstr(l.text, "SSH_AUTH_SOCK is not set"));
	setenv("SSH_AUTH_SOCK", "/nonexistent/agent", 1);
	assert_false(try_login(NULL, true, &l));
	assert_non_null(strstr(l.text, "does not answer"));
	unsetenv("SSH_AUTH_SOCK");
}

/* ---- host keys ---- */

static void host_key_round_trip(void **state)
{
	struct link l = { 0 };
	struct buf b;

	(void)state;
	known_hosts_remove();
	assert_true(try_login("id_ed25519", false, &l));
	buf_init(&b, KIB(64));
	assert_int_equal(file_read(&b, sshd_path(&d, "known_hosts")), 0);
	assert_memory_equal(buf_data(&b), "i-0123 ssh-ed25519 AAAA", 23);
	buf_fini(&b);
	run_cmd("ssh-keygen -q -F i-0123 -f %s/known_hosts >/dev/null",
		d.dir); /* OpenSSH can read it */
	assert_true(try_login("id_ed25519", false, &l));
	run_cmd("test $(wc -l <%s/known_hosts) = 1", d.dir);
}

static void host_key_rsa_only(void **state)
{
	struct link l = { 0 };

	(void)state;
	sshd_kill(&d);
	sshd_start(&d, "rsa", NULL);
	known_hosts_remove();
	assert_true(try_login("id_rsa", false, &l));
	assert_true(try_login("id_rsa", false, &l));
	run_cmd("grep -q '^i-0123 ssh-rsa ' %s/known_hosts", d.dir);
	/* the host got further keys: the stored type is asked for, nothing looks changed */
	sshd_kill(&d);
	sshd_start(&d, "ed25519,ecdsa,rsa", NULL);
	assert_true(try_login("id_rsa", false, &l));
	run_cmd("test $(wc -l <%s/known_hosts) = 1", d.dir);
}

static void host_key_changed(void **state)
{
	struct link l = { 0 };

	(void)state;
	run_cmd("cd %s && { echo '# a comment'; echo 'this is no line'; printf 'i-0123 '; cut -d' "
		"' -f1,2 id_other.pub; } >known_hosts",
		d.dir);
	assert_false(try_login("id_ed25519", false, &l));
	assert_int_equal(l.err, ST_EHOSTKEY);
	assert_non_null(strstr(l.text, "known_hosts line 3 has ssh-ed25519 SHA256:"));
	assert_non_null(strstr(l.text, "offers ssh-ed25519 SHA256:"));
	run_cmd("cd %s && { printf '@revoked i-0123 '; cut -d' ' -f1,2 host_ed25519.pub; } "
		">known_hosts",
		d.dir);
	assert_false(try_login("id_ed25519", false, &l));
	assert_int_equal(l.err, ST_EHOSTKEY);
	assert_non_null(strstr(l.text, "@revoked"));
	known_hosts_remove();
}

static void host_key_strict_and_user_file(void **state)
{
	struct ssh_conn_opts o = opts_default(&d);
	struct tnl_key *k = key_must_load(&d, "id_ed25519");
	struct link l = { 0 };

	(void)state;
	known_hosts_remove();
	o.key = k;
	o.hosts.policy = TNL_HOST_KEY_STRICT;
	link_open(&l, &d, &o);
	assert_false(link_login(&l));
	assert_int_equal(l.err, ST_EHOSTKEY);
	assert_non_null(strstr(l.text, "strict"));
	link_close(&l);
	/* a hashed name in the user's own file is found; that file is not written */
	run_cmd("cd %s && { printf 'i-0123 '; cut -d' ' -f1,2 host_ecdsa.pub; } >user_hosts && "
		"ssh-keygen -q -H -f user_hosts 2>/dev/null >/dev/null; cp user_hosts user_copy",
		d.dir);
	o.hosts.user = sshd_path(&d, "user_hosts");
	link_open(&l, &d, &o);
	assert_true(link_login(&l));
	link_close(&l);
	run_cmd("cd %s && cmp user_hosts user_copy && test ! -e known_hosts", d.dir);
	tnl_key_free(k);
}

static void host_key_pinned(void **state)
{
	struct ssh_conn_opts o = opts_default(&d);
	struct tnl_key *k = key_must_load(&d, "id_ed25519");
	char print[256] = "";
	struct link l = { 0 };
	FILE *f;

	(void)state;
	run_cmd("ssh-keygen -l -f %s/host_ed25519.pub | cut -d' ' -f2 >%s/print", d.dir, d.dir);
	f = fopen(sshd_path(&d, "print"), "r");
	assert_non_null(fgets(print, sizeof(print), f));
	fclose(f);
	print[strcspn(print, "\n")] = '\0';
	o.key = k;
	o.hosts.policy = TNL_HOST_KEY_PINNED;
	o.hosts.fingerprint = print;
	link_open(&l, &d, &o);
	assert_true(link_login(&l));
	link_close(&l);
	o.hosts.fingerprint = "SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
	link_open(&l, &d, &o);
	assert_false(link_login(&l));
	assert_int_equal(l.err, ST_EHOSTKEY);
	assert_non_null(strstr(l.text, print));
	link_close(&l);
	tnl_key_free(k);
}

/* ---- other peers ---- */

static void peer_says(const char *words, int expect, const char *text)
{
	struct ssh_conn_opts o = opts_default(&d);
	struct link l = { 0 };
	int fd[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd), 0);
	assert_int_equal(write(fd[1], words, strlen(words)), (ssize_t)strlen(words));
	shutdown(fd[1], SHUT_WR);
	link_fd(&l, fd[0], &o);
	assert_false(link_login(&l));
	assert_int_equal(l.err, expect);
	if (strstr(l.text, text) == NULL)
		fail_msg("%s", l.text);
	link_close(&l);
	close(fd[1]);
}

static void other_peers(void **state)
{
	(void)state;
	peer_says("", ST_ECLOSED, "ended");
	peer_says("SSH-2.0-x\r\n", ST_ECLOSED, "ended");
	peer_says("SSH-2.0-x\r\n\xff\xff\xff\xff\xff\xff\xff\xff", ST_EPEER, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(file_keys),
		cmocka_unit_test(encrypted_key),
		cmocka_unit_test(agent_keys),
		cmocka_unit_test(agent_memo),
		cmocka_unit_test(agent_certificate),
		cmocka_unit_test(agent_holds_file_key),
		cmocka_unit_test(wrong_key),
		cmocka_unit_test(no_key),
		cmocka_unit_test(host_key_round_trip),
		cmocka_unit_test(host_key_rsa_only),
		cmocka_unit_test(host_key_changed),
		cmocka_unit_test(host_key_strict_and_user_file),
		cmocka_unit_test(host_key_pinned),
		cmocka_unit_test(other_peers),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
