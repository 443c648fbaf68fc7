// SPDX-License-Identifier: MIT
/*
 * ssh_key_test.c - private key files, the agent's answers, URLs
 *
 * files: missing, a folder, public half, PuTTY's format, damaged at every length, PEM encrypted, wrong passphrase, no terminal
 * agent: list and signature, every shorter prefix; RSA flags; a certificate's algorithm; sk- keys; refusal; job refuses others
 * URLs: hosts, ports, brackets, proxies with passwords, nonsense
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/file.h"
#include "testlib.h"
#include "tunnel/ssh_agent.h"
#include "tunnel/ssh_key.h"
#include "tunnel/tnl_url.h"

static struct sshd d;

static int setup(void **state)
{
	(void)state;
	sshd_dir(&d);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	sshd_stop(&d);
	return 0;
}

static const char *secret;
static int asked;
static bool broken_off; /* the person pressed Ctrl-C */

static int ask(void *arg, const char *path, char *out, size_t cap)
{
	(void)arg;
	(void)path;
	asked++;
	if (broken_off)
		return ST_ECANCELED;
	if (secret == NULL)
		return ST_ENOENT;
	snprintf(out, cap, "%s", secret);
	return 0;
}

static void load(const char *name, bool agent, int expect, const char *words)
{
	struct tnl_key *k = NULL;
	char text[512];
	const int r = tnl_key_load(&k, sshd_path(&d, name), agent, ask, NULL, text, sizeof(text));

	if (r != expect)
		fail_msg("%s: %s: %s", name, st_errname(r), text);
	if (strstr(text, words) == NULL)
		fail_msg("%s: %s", name, text);
	tnl_key_free(k);
}

static void bad_files(void **state)
{
	(void)state;
	run_cmd("cd %s && mkdir folder && : >empty && printf 'PuTTY-User-Key-File-3: "
		"ssh-ed25519\\n' >putty && "
		"printf -- '-----BEGIN RSA PRIVATE KEY-----\\nAAAA\\n-----END RSA PRIVATE "
		"KEY-----\\n' >nonsense",
		d.dir);
	load("absent", false, ST_ENOENT, "no such file");
	load("folder", false, ST_EPERM, "not a regular file");
	load("empty", false, ST_EFORMAT, "not a private key");
	load("id_rsa.pub", false, ST_EFORMAT, "leave out '.pub'");
	load("putty", false, ST_EFORMAT, "puttygen");
	load("nonsense", false, ST_EFORMAT, "can't be read");
}

static void cut_file(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, KIB(16));
	assert_int_equal(file_read(&b, sshd_path(&d, "id_ed25519")), 0);
	for (size_t len = 0; len + 40 < b.len; len += 7) {
		struct tnl_key *k = NULL;
		char text[512];

		assert_int_equal(file_write_atomic(sshd_path(&d, "cut"), buf_data(&b), len, 0600),
				 0);
		assert_int_equal(tnl_key_load(&k, sshd_path(&d, "cut"), false, ask, NULL, text,
					      sizeof(text)),
				 ST_EFORMAT);
	}
	buf_fini(&b);
}

static void encrypted(void **state)
{
	(void)state;
	run_cmd("cd %s && for k in ed25519 rsa; do cp id_$k enc_$k; ssh-keygen -q -p -P '' -N "
		"abcde -f enc_$k >/dev/null; done; "
		"cp id_rsa enc_pem && cp id_rsa.pub enc_pem.pub && ssh-keygen -q -p -m PEM -P '' "
		"-N abcde -f enc_pem >/dev/null",
		d.dir);
	secret = "abcde";
	load("enc_ed25519", false, 0, "");
	load("enc_rsa", false, 0, "");
	load("enc_pem", false, 0, "");
	secret = "wrong";
	asked = 0;
	load("enc_ed25519", false, ST_EAUTH, "wrong passphrase");
	assert_int_equal(asked, 3);
	load("enc_pem", true, ST_EAUTH, "wrong passphrase");
	broken_off = true;
	asked = 0;
	load("enc_ed25519", false, ST_ECANCELED, "interrupted");
	load("enc_ed25519", true, ST_ECANCELED, "interrupted");
	assert_int_equal(asked, 2);
	broken_off = false;
	secret = NULL;
	load("enc_ed25519", false, ST_EAUTH, "ssh-add");
	load("enc_ed25519", true, 0,
	     ""); /* the agent may hold it; without its key the log-in says so */
}

static void no_private_half_without_passphrase(void **state)
{
	struct tnl_key *k;
	char text[512], print[SSH_KEY_PRINT], want[512] = "";
	size_t len;
	FILE *f;

	(void)state;
	secret = NULL;
	assert_int_equal(
		tnl_key_load(&k, sshd_path(&d, "enc_rsa"), true, ask, NULL, text, sizeof(text)), 0);
	assert_null(ssh_key_private(k, &len));
	assert_non_null(ssh_key_blob(k, &len));
	ssh_key_fingerprint(print, ssh_key_blob(k, &len), len);
	tnl_key_free(k);
	run_cmd("ssh-keygen -l -f %s/id_rsa.pub >%s/print", d.dir, d.dir);
	f = fopen(sshd_path(&d, "print"), "r");
	assert_non_null(fgets(want, sizeof(want), f));
	fclose(f);
	assert_non_null(strstr(want, print));
}

/* ---- the agent ---- */

static void agent_list(void **state)
{
	static const uint8_t answer[] = "\x0c\0\0\0\2"
					"\0\0\0\3abc\0\0\0\1x"
					"\0\0\0\1z\0\0\0\0";
	struct ssh_agent_key k[4];

	(void)state;
	assert_int_equal(ssh_agent_list_read(k, 4, answer, sizeof(answer) - 1), 2);
	assert_int_equal(k[0].blob_len, 3);
	assert_memory_equal(k[0].blob, "abc", 3);
	assert_int_equal(k[1].comment_len, 0);
	assert_int_equal(ssh_agent_list_read(k, 1, answer, sizeof(answer) - 1), 1);
	for (size_t len = 0; len < sizeof(answer) - 1; len++) {
		uint8_t *copy = malloc(len > 0 ? len : 1); /* exact: ASan sees one byte too much */

		memcpy(copy, answer, len);
		assert_int_equal(ssh_agent_list_read(k, 4, copy, len), ST_EFORMAT);
		free(copy);
	}
	assert_int_equal(ssh_agent_list_read(k, 4, (const uint8_t *)"\5", 1), ST_EFORMAT);
}

static int sign_read(const char *answer, size_t len, const char *alg, const char *expect)
{
	const uint8_t *sig = NULL;
	size_t n = 0;
	const int r = ssh_agent_sign_read(&sig, &n, (const uint8_t *)answer, len,
					  (const uint8_t *)alg, strlen(alg));

	if (r == 0) {
		assert_int_equal(n, strlen(expect));
		assert_memory_equal(sig, expect, n);
	}
	return r;
}

static void agent_signature(void **state)
{
	static const char rsa[] = "\x0e\0\0\0\x17\0\0\0\x0c"
				  "rsa-sha2-512"
				  "\0\0\0\3SIG";
	static const char sk[] = "\x0e\0\0\0\x29\0\0\0\x1a"
				 "sk-ssh-ed25519@openssh.com"
				 "\0\0\0\2SG\1\2\3\4\5";
	const uint8_t *sig;
	size_t n;

	(void)state;
	assert_int_equal(sign_read(rsa, sizeof(rsa) - 1, "rsa-sha2-512", "SIG"), 0);
	assert_int_equal(
		sign_read(rsa, sizeof(rsa) - 1, "rsa-sha2-512-cert-v01@openssh.com", "SIG"), 0);
	assert_int_equal(sign_read(rsa, sizeof(rsa) - 1, "rsa-sha2-256", ""), ST_EUNSUPPORTED);
	assert_int_equal(sign_read("\5", 1, "rsa-sha2-256", ""), ST_EAUTH);
	for (size_t len = 0; len < sizeof(rsa) - 1; len++)
		assert_int_equal(sign_read(rsa, len, "rsa-sha2-512", ""), ST_EFORMAT);
	assert_int_equal(ssh_agent_sign_read(&sig, &n, (const uint8_t *)sk, sizeof(sk) - 1,
					     (const uint8_t *)"sk-ssh-ed25519@openssh.com", 26),
			 0);
	assert_int_equal(n, 11); /* string, flags and counter */
}

static void agent_flags(void **state)
{
	static const struct {
		const char *alg;
		uint8_t flags;
	} rows[] = { { "rsa-sha2-512", 4 }, { "rsa-sha2-256", 2 }, { "ssh-ed25519", 0 } };
	struct buf b;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		buf_init(&b, 256);
		assert_int_equal(ssh_agent_sign_request(
					 &b, (const uint8_t *)"KEY", 3, (const uint8_t *)"data", 4,
					 (const uint8_t *)rows[i].alg, strlen(rows[i].alg)),
				 0);
		assert_memory_equal(buf_data(&b), "\x0d\0\0\0\3KEY\0\0\0\4data\0\0\0", 19);
		assert_int_equal(buf_data(&b)[19], rows[i].flags);
		buf_fini(&b);
	}
}

static void agent_job_refuses(void **state)
{
	uint8_t out[16];
	size_t len = 1;

	(void)state;
	/* 19: remove all identities */
	assert_int_equal(tnl_agent_job((const uint8_t *)"\x13", 1, out, &len), ST_EINVAL);
	assert_int_equal(len, 0);
	assert_int_equal(tnl_agent_job(out, 0, out, &len), ST_EINVAL);
	unsetenv("SSH_AUTH_SOCK");
	assert_int_equal(tnl_agent_job((const uint8_t *)"\x0b", 1, out, &len), ST_ENOENT);
}

/* ---- URLs ---- */

static void urls(void **state)
{
	static const struct {
		const char *url, *host, *auth; /* host NULL: ST_EFORMAT */
		uint16_t port;
	} rows[] = {
		{ "wss://ssmmessages.eu-west-1.amazonaws.com/v1/data-channel/x?a=1:2@",
		  "ssmmessages.eu-west-1.amazonaws.com", "", 443 },
		{ "ws://127.0.0.1:8080/x", "127.0.0.1", "", 8080 },
		{ "wss://[::1]:8443/", "::1", "", 8443 },
		{ "wss://[::1]", "::1", "", 443 },
		{ "host", "host", "", 443 },
		{ "host:99", "host", "", 99 },
		{ "http://me:p%40ss@proxy:3128", "proxy", "me:p@ss", 3128 },
		{ "http://me:p@ss@proxy:3128", "proxy", "me:p@ss", 3128 },
		{ "http://m%3Ae:p%3Ass@proxy", "proxy", "m:e:p:ss", 443 },
		{ "http://me@proxy", "proxy", "me:", 443 },
		{ "http://me:@proxy", "proxy", "me:", 443 },
		{ "http://@proxy", "proxy", "", 443 },
		{ "", NULL, "", 0 },
		{ "wss://", NULL, "", 0 },
		{ "wss://:1", NULL, "", 0 },
		{ "wss://[::1", NULL, "", 0 },
		{ "wss://[::1]x", NULL, "", 0 },
		{ "host:0", NULL, "", 0 },
		{ "host:65536", NULL, "", 0 },
		{ "host:1x", NULL, "", 0 },
		{ "host:", NULL, "", 0 },
		{ "http://a%0@h", NULL, "", 0 },
		{ "http://a%00@h", NULL, "", 0 },
	};
	struct tnl_url u;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const int r = tnl_url_parse(&u, rows[i].url, 443);

		if (r != (rows[i].host != NULL ? 0 : ST_EFORMAT))
			fail_msg("%s: %s", rows[i].url, st_errname(r));
		if (rows[i].host == NULL)
			continue;
		assert_string_equal(u.host, rows[i].host);
		assert_string_equal(u.auth, rows[i].auth);
		assert_int_equal(u.port, rows[i].port);
	}
}

static void rehosted(void **state)
{
	static const struct {
		const char *url, *at, *out; /* out NULL: ST_EFORMAT */
	} rows[] = {
		{ "wss://a.test/v1/data-channel/s?role=x&cell-number=a+/=", "vpce.test",
		  "wss://vpce.test/v1/data-channel/s?role=x&cell-number=a+/=" },
		{ "wss://a.test:8443/x?b=c@d", "vpce.test:99", "wss://vpce.test:99/x?b=c@d" },
		{ "ws://[::1]:1", "[fd00::1]", "ws://[fd00::1]:443" },
		{ "wss://a.test?x", "b", "wss://b?x" },
		{ "a.test/x", "b", NULL },
	};
	struct tnl_url at;
	char *out;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		assert_int_equal(tnl_url_parse(&at, rows[i].at, 443), 0);
		assert_int_equal(tnl_url_rehost(&out, rows[i].url, &at),
				 rows[i].out ? 0 : ST_EFORMAT);
		if (rows[i].out != NULL)
			assert_string_equal(out, rows[i].out);
		free(out);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bad_files),   cmocka_unit_test(cut_file),
		cmocka_unit_test(encrypted),   cmocka_unit_test(no_private_half_without_passphrase),
		cmocka_unit_test(agent_list),  cmocka_unit_test(agent_signature),
		cmocka_unit_test(agent_flags), cmocka_unit_test(agent_job_refuses),
		cmocka_unit_test(urls),	       cmocka_unit_test(rehosted),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
