// SPDX-License-Identifier: MIT
/*
 * gw_ssh_line_test.c - public keys and users of SendSSHPublicKey: what sshd takes comes through without its comment, all else, and every
 * text that could become a second line or an option, is refused; lengths to the byte; names of users
 */
#include "gateway/gw_ssh_line.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/codec.h"
#include "base/err.h"
#include "base/util.h"

#define ED "AAAAC3NzaC1lZDI1NTE5AAAAIEeKmhPJjZ5zEkOAJBfKq4zTGQJ3zuhJqF3dyqrzLhRn"
#define EC "AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBAAAAAAAAAAAAAAAAAAA"

static void lines(void **state)
{
	static const struct {
		const char *in, *out; /* out NULL: refused */
	} cases[] = {
		{ "ssh-ed25519 " ED, "ssh-ed25519 " ED },
		{ "ssh-ed25519 " ED "\n", "ssh-ed25519 " ED },
		{ "ssh-ed25519 " ED " me@here", "ssh-ed25519 " ED },
		{ "ssh-ed25519 " ED " z\303\274rich\n", "ssh-ed25519 " ED },
		{ "ecdsa-sha2-nistp256 " EC, "ecdsa-sha2-nistp256 " EC },
		{ "", NULL },
		{ "\n", NULL },
		{ "ssh-ed25519", NULL },
		{ "ssh-ed25519 ", NULL },
		{ "ssh-ed25519  " ED, NULL },
		{ " ssh-ed25519 " ED, NULL },
		{ "ssh-ed25519\t" ED " a comment of some length", NULL },
		{ "command=\"x\" ssh-ed25519 " ED, NULL },
		{ "ssh-ed25519 " ED "\nssh-ed25519 " ED, NULL },
		{ "ssh-ed25519 " ED "\r\n", NULL },
		{ "ssh-ed25519 " ED " a\001b", NULL },
		{ "ssh-ed25519 " ED " \377", NULL },
		{ "ssh-ed25519 " ED "=", NULL },
		{ "ssh-ed25519 " ED "*", NULL },
		{ "ssh-rsa " ED " but it is none", NULL },
		{ "ssh-dss " ED " and a long comment", NULL },
		{ "sk-ssh-ed25519@openssh.com " ED, NULL },
		{ "ssh-ed25519-cert-v01@openssh.com " ED, NULL },
	};
	char out[GW_SSH_LINE_MAX + 1];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const int r = gw_ssh_line_read(out, cases[i].in);

		if (r != (cases[i].out ? 0 : ST_EFORMAT) ||
		    (cases[i].out && strcmp(out, cases[i].out) != 0))
			fail_msg("%zu: %s: %d", i, cases[i].in, r);
	}
}

/* An ssh-rsa line of exactly @len characters, its comment included. */
static void rsa_line(char *out, size_t len)
{
	uint8_t blob[2400] = { 0, 0, 0, 7, 's', 's', 'h', '-', 'r', 's', 'a', 1 };
	size_t at = (size_t)snprintf(out, 16, "ssh-rsa ");

	at += codec_b64_encode(out + at, blob, len > 3500 ? sizeof(blob) : 45);
	out[at++] = ' ';
	while (at < len)
		out[at++] = 'c';
	out[at] = '\0';
}

static void lengths(void **state)
{
	char in[GW_SSH_LINE_MAX + 8], out[GW_SSH_LINE_MAX + 1];

	(void)state;
	for (size_t n = GW_SSH_LINE_MIN - 2; n <= GW_SSH_LINE_MIN + 1; n++) {
		rsa_line(in, n);
		assert_int_equal(gw_ssh_line_read(out, in), n >= GW_SSH_LINE_MIN ? 0 : ST_EFORMAT);
	}
	for (size_t n = GW_SSH_LINE_MAX - 1; n <= GW_SSH_LINE_MAX + 2; n++) {
		rsa_line(in, n);
		assert_int_equal(gw_ssh_line_read(out, in), n <= GW_SSH_LINE_MAX ? 0 : ST_EFORMAT);
	}
}

static void users(void **state)
{
	static const char *const good[] = { "root",	    "ec2-user",
					    "_x",	    "a",
					    "DOMAIN\\user", "a.b@c",
					    "machine$",	    "abcdefghijklmnopqrstuvwxyz012345" };
	static const char *const bad[] = { "",
					   ".",
					   "..",
					   ".x",
					   "-x",
					   "1a",
					   "a/b",
					   "a b",
					   "$",
					   "a$b",
					   "a\nb",
					   "\303\274",
					   "abcdefghijklmnopqrstuvwxyz0123456" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		if (!gw_ssh_user_ok(good[i]))
			fail_msg("%s", good[i]);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (gw_ssh_user_ok(bad[i]))
			fail_msg("%s", bad[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines),
		cmocka_unit_test(lengths),
		cmocka_unit_test(users),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
