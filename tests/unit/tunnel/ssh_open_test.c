// SPDX-License-Identifier: MIT
/*
 * ssh_open_test.c - what ssh_open.c assumes of the libssh2 that we build
 *
 * the private functions have the types that it calls them by (this file fails to compile if not), the fields it reads are there and have their
 * sizes, key exchange extensions survive our preferences
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "libssh2_priv.h"
#include "channel.h"
#include "packet.h"
#include "transport.h"

#include "base/err.h"
#include "base/util.h"
#include "tunnel/ssh_open.h"

static int (*const pin_send)(LIBSSH2_SESSION *, const unsigned char *, size_t,
			     const unsigned char *, size_t) = _libssh2_transport_send;
static int (*const pin_read)(LIBSSH2_SESSION *) = _libssh2_transport_read;
static uint32_t (*const pin_nextid)(LIBSSH2_SESSION *) = _libssh2_channel_nextid;
static LIBSSH2_CHANNEL *(*const pin_locate)(LIBSSH2_SESSION *, uint32_t) = _libssh2_channel_locate;

#define FIELD_SIZE(type, field) sizeof(((type *)0)->field)

static void symbols_and_fields(void **state)
{
	(void)state;
	assert_non_null(pin_send);
	assert_non_null(pin_read);
	assert_non_null(pin_nextid);
	assert_non_null(pin_locate);
	assert_int_equal(FIELD_SIZE(LIBSSH2_CHANNEL, local.id), 4);
	assert_int_equal(FIELD_SIZE(LIBSSH2_CHANNEL, local.window_size), 4);
	assert_int_equal(FIELD_SIZE(LIBSSH2_CHANNEL, remote.window_size_initial), 4);
	assert_int_equal(FIELD_SIZE(LIBSSH2_CHANNEL, read_avail), sizeof(size_t));
	assert_int_equal(FIELD_SIZE(LIBSSH2_PACKET, data_len), sizeof(size_t));
	assert_true(LIBSSH2_VERSION_NUM >= 0x010b01);
	assert_string_equal(libssh2_version(0x010b01), LIBSSH2_VERSION);
}

/* A session whose SEND callback keeps what is sent. */
struct tape {
	uint8_t bytes[4096];
	size_t len;
};

static ssize_t tape_send(libssh2_socket_t fd, const void *p, size_t len, int flags, void **abstract)
{
	struct tape *t = *abstract;

	(void)fd;
	(void)flags;
	assert_true(len <= sizeof(t->bytes) - t->len);
	memcpy(t->bytes + t->len, p, len);
	t->len += len;
	return (ssize_t)len;
}

static LIBSSH2_SESSION *tape_session(struct tape *t)
{
	LIBSSH2_SESSION *s = libssh2_session_init_ex(NULL, NULL, NULL, t);

	assert_non_null(s);
	libssh2_session_set_blocking(s, 0);
	libssh2_session_callback_set2(s, LIBSSH2_CALLBACK_SEND, (libssh2_cb_generic *)tape_send);
	return s;
}

static const struct ssh_open_target to = { .host = "10.0.0.1",
					   .source = "198.18.0.1",
					   .port = 5432,
					   .source_port = 40000,
					   .window = 131072 };

/* The packet of RFC 4254, 7.2, in the clear: the session has no keys yet. */
static void open_packet(void **state)
{
	static const uint8_t want[] = "\x5a\0\0\0\x0c"
				      "direct-tcpip"
				      "\0\0\0\0"
				      "\0\2\0\0"
				      "\0\0\x80\0"
				      "\0\0\0\x08"
				      "10.0.0.1"
				      "\0\0\x15\x38"
				      "\0\0\0\x0a"
				      "198.18.0.1"
				      "\0\0\x9c\x40";
	struct tape t = { .len = 0 };
	LIBSSH2_SESSION *s = tape_session(&t);
	LIBSSH2_CHANNEL *c;

	(void)state;
	assert_int_equal(ssh_open_start(s, &c, &to), 0);
	assert_memory_equal(t.bytes + 5, want,
			    sizeof(want) - 1); /* behind length and padding length */
	ssh_open_drop(c);
	libssh2_session_free(s);
}

static void packet_add(LIBSSH2_SESSION *s, const void *p, size_t len)
{
	LIBSSH2_PACKET *packet = calloc(1, sizeof(*packet));

	packet->data = malloc(len > 0 ? len : 1);
	memcpy(packet->data, p, len);
	packet->data_len = len;
	_libssh2_list_add(&s->packets, &packet->node);
}

/* Every shorter prefix of either answer, an unknown id, a length that lies: nothing is read beyond, nothing is kept. */
static void hostile_answers(void **state)
{
	static const uint8_t yes[] = "\x5b\0\0\0\0\0\0\0\7\0\x20\0\0\0\0\x80\0";
	static const uint8_t no[] = "\x5c\0\0\0\0\0\0\0\2\xff\xff\xff\xff"
				    "Connection refused";
	static const uint8_t other[] = "\x5b\0\0\0\x63\0\0\0\7\0\x20\0\0\0\0\x80\0";
	struct tape t = { .len = 0 };
	LIBSSH2_SESSION *s = tape_session(&t);
	struct ssh_open_result r;
	struct ssh_open_state st;
	LIBSSH2_CHANNEL *c;

	(void)state;
	assert_int_equal(ssh_open_start(s, &c, &to), 0);
	for (size_t len = 0; len < sizeof(yes) - 1; len++) {
		packet_add(s, yes, len);
		assert_false(ssh_open_next(s, &r));
	}
	for (size_t len = 0; len < 13; len++) {
		packet_add(s, no, len);
		assert_false(ssh_open_next(s, &r));
	}
	packet_add(s, other, sizeof(other) - 1);
	assert_false(ssh_open_next(s, &r));
	packet_add(s, no, sizeof(no) - 1);
	assert_true(ssh_open_next(s, &r));
	assert_false(r.open);
	assert_int_equal(r.reason, 2);
	assert_string_equal(r.text, "Connection refused");
	packet_add(s, yes, sizeof(yes) - 1);
	assert_true(ssh_open_next(s, &r));
	assert_true(r.open && r.chan == c);
	ssh_open_state(c, &st);
	assert_int_equal(st.send_window, 0x200000);
	assert_false(st.eof || st.closed);
	ssh_open_drop(c);
	/* the empty prefix alone is left; the session frees it */
	libssh2_session_free(s);
}

static size_t packets_count(LIBSSH2_SESSION *s)
{
	size_t n = 0;

	for (LIBSSH2_PACKET *p = _libssh2_list_first(&s->packets); p != NULL;
	     p = _libssh2_list_next(&p->node))
		n++;
	return n;
}

static void sweep(void **state)
{
	static const uint8_t stays[] = { SSH_MSG_CHANNEL_DATA,
					 SSH_MSG_CHANNEL_EXTENDED_DATA,
					 SSH_MSG_CHANNEL_OPEN_CONFIRMATION,
					 SSH_MSG_CHANNEL_OPEN_FAILURE,
					 SSH_MSG_KEXINIT,
					 31 };
	static const uint8_t goes[] = { SSH_MSG_REQUEST_SUCCESS, SSH_MSG_REQUEST_FAILURE,
					SSH_MSG_CHANNEL_SUCCESS, SSH_MSG_CHANNEL_FAILURE, 255 };
	struct tape t = { .len = 0 };
	LIBSSH2_SESSION *s = tape_session(&t);

	(void)state;
	for (size_t i = 0; i < sizeof(stays); i++)
		packet_add(s, &stays[i], 1);
	for (size_t i = 0; i < sizeof(goes); i++)
		packet_add(s, &goes[i], 1);
	packet_add(s, "", 0);
	ssh_open_sweep(s);
	assert_int_equal(packets_count(s), sizeof(stays));
	libssh2_session_free(s);
}

static void strict_kex_is_kept(void **state)
{
	LIBSSH2_SESSION *s = libssh2_session_init();

	(void)state;
	assert_int_equal(libssh2_session_method_pref(s, LIBSSH2_METHOD_KEX, "curve25519-sha256"),
			 0);
	assert_non_null(strstr(s->kex_prefs, "kex-strict-c-v00@openssh.com"));
	assert_non_null(strstr(s->kex_prefs, "ext-info-c"));
	libssh2_session_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(symbols_and_fields), cmocka_unit_test(open_packet),
		cmocka_unit_test(hostile_answers),    cmocka_unit_test(sweep),
		cmocka_unit_test(strict_kex_is_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
