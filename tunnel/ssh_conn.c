// SPDX-License-Identifier: MIT
/*
 * ssh_conn.c - a LIBSSH2_SESSION whose socket is two buffers
 *
 * Theory of operation: the RECV callback takes from c->in and says EAGAIN when it is empty. The SEND callback always takes
 * everything: a packet that libssh2 could send only in part would block every other channel until the very same call is
 * repeated. So what may be written is bounded before libssh2 is asked: ssh_chan_room() is 0 while more than
 * TNL_SSH_OUT_HIGH bytes wait. ssh_conn_pump() runs the state's step until the input stops shrinking (libssh2 may
 * return EAGAIN with input left). The one state function is conn_step(); failure is recorded by ssh_conn_fail() and told at the end of the pump.
 *
 *   kex ──▶ auth ──▶ ready          each ──▶ dead (failed() was called)
 */
#include "tunnel/ssh_conn.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <libssh2.h>

#include "base/err.h"
#include "base/log.h"
#include "base/text.h"
#include "tunnel/ssh_internal.h"

/* SHA-1 key exchanges and MACs, CBC and arcfour are left out; the first of each that the peer has is used. */
#define KEX_METHODS                                                                                \
	"curve25519-sha256,curve25519-sha256@libssh.org,ecdh-sha2-nistp256,ecdh-sha2-nistp384,"    \
	"ecdh-sha2-nistp521,diffie-hellman-group16-sha512,diffie-hellman-group18-sha512,"          \
	"diffie-hellman-group14-sha256,diffie-hellman-group-exchange-sha256"
#define CRYPT_METHODS                                                                              \
	"aes128-ctr,aes256-ctr,aes192-ctr,chacha20-poly1305@openssh.com,"                          \
	"aes128-gcm@openssh.com,aes256-gcm@openssh.com"
#define MAC_METHODS                                                                                \
	"hmac-sha2-256-etm@openssh.com,hmac-sha2-512-etm@openssh.com,hmac-sha2-256,hmac-sha2-512"

#define SWEEP_PUMPS                                                                                \
	1024U /* ours: what a hostile peer can pile up meanwhile is bounded, and the cost is nothing */

static const struct {
	const char *name;
	uint32_t next;
} states[] = {
	[SSH_KEX] = { "kex", BIT(SSH_AUTH) | BIT(SSH_DEAD) },
	[SSH_AUTH] = { "auth", BIT(SSH_READY) | BIT(SSH_DEAD) },
	[SSH_READY] = { "ready", BIT(SSH_DEAD) },
	[SSH_DEAD] = { "dead", 0 },
};
static_assert(ARRAY_LEN(states) == SSH_CONN_STATE_N, "states[] and enum ssh_conn_state differ");

static void set_state(struct ssh_conn *c, enum ssh_conn_state next)
{
	if (!(states[c->state].next & BIT(next)))
		ST_BUG("ssh %s: %s -> %s", c->o.target, states[c->state].name, states[next].name);
	log_debug("ssh %s: %s -> %s", text_safe(c->o.target).s, states[c->state].name,
		  states[next].name);
	c->state = next;
}

/* ---- libssh2's callbacks ---- */

static ssize_t cb_send(libssh2_socket_t fd, const void *p, size_t len, int flags, void **abstract)
{
	struct ssh_conn *c = *abstract;

	(void)fd;
	(void)flags;
	return buf_put(&c->out, p, len) < 0 ? -ENOBUFS : (ssize_t)len;
}

static ssize_t cb_recv(libssh2_socket_t fd, void *p, size_t len, int flags, void **abstract)
{
	struct ssh_conn *c = *abstract;
	size_t n = MIN(len, c->in.len);

	(void)fd;
	(void)flags;
	if (n == 0)
		return c->eof ? 0 : -EAGAIN;
	memcpy(p, buf_data(&c->in), n);
	buf_consume(&c->in, n);
	return (ssize_t)n;
}

static void cb_disconnect(LIBSSH2_SESSION *s, int reason, const char *message, int message_len,
			  const char *lang, int lang_len, void **abstract)
{
	struct ssh_conn *c = *abstract;

	(void)s;
	(void)reason;
	(void)lang;
	(void)lang_len;
	if (message != NULL && message_len > 0)
		text_copy(c->peer_words, sizeof(c->peer_words),
			  text_safe_n(message, (size_t)message_len).s);
}

/* ---- life ---- */

static int session_new(struct ssh_conn *c)
{
	static const int crypt[] = { LIBSSH2_METHOD_CRYPT_CS, LIBSSH2_METHOD_CRYPT_SC };
	static const int mac[] = { LIBSSH2_METHOD_MAC_CS, LIBSSH2_METHOD_MAC_SC };
	int r = 0;

	c->s = libssh2_session_init_ex(NULL, NULL, NULL, c);
	if (c->s == NULL)
		return ST_ENOMEM;
	libssh2_session_set_blocking(c->s, 0);
	libssh2_session_callback_set2(c->s, LIBSSH2_CALLBACK_SEND, (libssh2_cb_generic *)cb_send);
	libssh2_session_callback_set2(c->s, LIBSSH2_CALLBACK_RECV, (libssh2_cb_generic *)cb_recv);
	libssh2_session_callback_set2(c->s, LIBSSH2_CALLBACK_DISCONNECT,
				      (libssh2_cb_generic *)cb_disconnect);
	r |= libssh2_session_method_pref(c->s, LIBSSH2_METHOD_KEX, KEX_METHODS);
	for (size_t i = 0; i < ARRAY_LEN(crypt); i++) {
		r |= libssh2_session_method_pref(c->s, crypt[i], CRYPT_METHODS);
		r |= libssh2_session_method_pref(c->s, mac[i], MAC_METHODS);
	}
	return r == 0 ? 0 : ST_ENOMEM;
}

int ssh_conn_new(struct ssh_conn **out, const struct ssh_conn_opts *opts)
{
	struct ssh_conn *c = calloc(1, sizeof(*c));
	int r = ST_ENOMEM;

	if (c == NULL)
		return ST_ENOMEM;
	c->o = *opts;
	c->dummy_fd = -1;
	if (c->o.chans_max == 0)
		c->o.chans_max = TNL_CHANNELS_MAX;
	buf_init(&c->in, SSH_CONN_IN_MAX);
	buf_init(&c->out, SSH_CONN_OUT_MAX);
	buf_init(&c->auth.answer, SSH_AGENT_DATA_MAX);
	list_init(&c->chans);
	list_init(&c->closing);
	if (libssh2_init(0) != 0)
		goto fail;
	c->dummy_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (c->dummy_fd < 0) {
		r = log_sys("ssh: eventfd");
		goto fail;
	}
	if ((r = session_new(c)) < 0)
		goto fail;
	*out = c;
	return 0;
fail:
	ssh_conn_free(c);
	return r;
}

void ssh_conn_free(struct ssh_conn *c)
{
	if (c == NULL)
		return;
	ST_ASSERT(!c->pumping);
	ssh_auth_fini(c);
	/* libssh2 says goodbye to every channel when it frees one that is open: let it see a dead socket, where it does not wait */
	c->eof = true;
	buf_fini(&c->in);
	buf_init(&c->in, 0);
	ssh_chans_free(c);
	if (c->s != NULL)
		libssh2_session_free(c->s);
	buf_fini(&c->in);
	buf_fini(&c->out);
	if (c->dummy_fd >= 0)
		close(c->dummy_fd);
	free(c);
}

enum ssh_conn_state ssh_conn_state(const struct ssh_conn *c)
{
	return c->state;
}

uint32_t ssh_conn_chans(const struct ssh_conn *c)
{
	return c->n_chans;
}

uint32_t ssh_conn_opens(const struct ssh_conn *c)
{
	return c->n_opening;
}

struct buf *ssh_conn_out(struct ssh_conn *c)
{
	return &c->out;
}

void ssh_conn_backlog(struct ssh_conn *c, size_t bytes)
{
	c->backlog = bytes;
}

void ssh_conn_methods(struct ssh_conn *c, char *out, size_t cap)
{
	static const int which[] = { LIBSSH2_METHOD_KEX, LIBSSH2_METHOD_HOSTKEY,
				     LIBSSH2_METHOD_CRYPT_CS, LIBSSH2_METHOD_MAC_CS };
	size_t at = 0;

	*out = '\0';
	for (size_t i = 0; i < ARRAY_LEN(which) && at < cap; i++) {
		const char *name = libssh2_session_methods(c->s, which[i]);
		int n = snprintf(out + at, cap - at, "%s%s", i > 0 ? " " : "", name ? name : "?");

		at += n > 0 ? (size_t)n : 0;
	}
}

/* ---- failure ---- */

struct text_safe ssh_conn_last(struct ssh_conn *c)
{
	char *msg = NULL;

	libssh2_session_last_error(c->s, &msg, NULL, 0);
	return text_safe(msg != NULL ? msg : "");
}

void ssh_conn_fail(struct ssh_conn *c, int err, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	if (c->state == SSH_DEAD)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	set_state(c, SSH_DEAD);
	c->o.events->failed(c->o.arg, err, text);
}

/* The transport broke: the library's code and words become ours. */
static void conn_broken(struct ssh_conn *c, const char *when)
{
	const int code = libssh2_session_last_errno(c->s);

	if (c->peer_words[0] != '\0')
		ssh_conn_fail(c, ST_ECLOSED, "ssh to %s: sshd ended the connection %s: %s",
			      text_safe(c->o.target).s, when, c->peer_words);
	else if (c->eof || code == LIBSSH2_ERROR_SOCKET_DISCONNECT ||
		 code == LIBSSH2_ERROR_SOCKET_RECV)
		ssh_conn_fail(c, ST_ECLOSED, "ssh to %s: the connection ended %s",
			      text_safe(c->o.target).s, when);
	else
		ssh_conn_fail(c, ST_EPEER, "ssh to %s: %s %s", text_safe(c->o.target).s,
			      ssh_conn_last(c).s, when);
}

/* ---- the states' steps ---- */

static void kex_failed(struct ssh_conn *c, int code)
{
	if (code == LIBSSH2_ERROR_KEX_FAILURE || code == LIBSSH2_ERROR_KEY_EXCHANGE_FAILURE)
		ssh_conn_fail(c, ST_EPEER,
			      "ssh to %s: no common algorithms (%s); its sshd is very old, or the "
			      "host key type stored "
			      "for it in known_hosts is no longer offered: remove its lines there",
			      text_safe(c->o.target).s, ssh_conn_last(c).s);
	else if (code == LIBSSH2_ERROR_BANNER_RECV || code == LIBSSH2_ERROR_BANNER_NONE)
		ssh_conn_fail(c, ST_EPEER, "ssh to %s: what answers on the port is no SSH server",
			      text_safe(c->o.target).s);
	else
		conn_broken(c, "during the key exchange");
}

static void step_kex(struct ssh_conn *c)
{
	char text[512];
	int r;

	if (!c->prefer_set) {
		c->prefer_set = true;
		ssh_hosts_prefer(c->s, &c->o.hosts, c->o.target);
	}
	r = libssh2_session_handshake(c->s, c->dummy_fd);
	if (r == LIBSSH2_ERROR_EAGAIN)
		return;
	if (r != 0) {
		kex_failed(c, r);
		return;
	}
	r = ssh_hosts_check(c->s, &c->o.hosts, c->o.target, text, sizeof(text));
	if (r < 0) {
		ssh_conn_fail(c, r, "%s", text);
		return;
	}
	set_state(c, SSH_AUTH);
}

static void step_auth(struct ssh_conn *c)
{
	char text[768];
	int r = ssh_auth_run(c, text, sizeof(text));

	if (r == ST_EAGAIN)
		return;
	if (r == ST_ECLOSED) {
		conn_broken(c, "during the log-in");
		return;
	}
	if (r < 0) {
		ssh_conn_fail(c, r, "%s", text);
		return;
	}
	ssh_auth_fini(c);
	set_state(c, SSH_READY);
	ssh_conn_methods(c, text, sizeof(text));
	log_debug("ssh %s: %s", text_safe(c->o.target).s, text);
	c->o.events->ready(c->o.arg);
}

static void step_ready(struct ssh_conn *c)
{
	if (c->broken || ssh_open_drain(c->s) != 0) {
		conn_broken(c, "");
		return;
	}
	ssh_open_rekeyed(c->s);
	if (++c->pumps == SWEEP_PUMPS) {
		c->pumps = 0;
		ssh_open_sweep(c->s);
	}
	ssh_chans_pump(c);
}

static void conn_step(struct ssh_conn *c)
{
	switch (c->state) {
	case SSH_KEX: step_kex(c); break;
	case SSH_AUTH: step_auth(c); break;
	case SSH_READY: step_ready(c); break;
	default: break;
	}
}

void ssh_conn_pump(struct ssh_conn *c)
{
	enum ssh_conn_state state;
	size_t left;

	if (c->pumping)
		return;
	c->pumping = true;
	do {
		state = c->state;
		left = c->in.len;
		conn_step(c);
	} while (c->state != SSH_DEAD && (c->state != state || c->in.len < left));
	/* Also what broke in this very pass over the channels: nothing else may ever pump again. */
	if (c->broken || (c->eof && c->in.len == 0))
		conn_broken(c, c->state == SSH_READY ? "" : "before the log-in was done");
	c->pumping = false;
}

int ssh_conn_input(struct ssh_conn *c, const void *p, size_t len)
{
	int r;

	if (c->state == SSH_DEAD)
		return 0;
	r = buf_put(&c->in, p, len);
	return r == ST_EFULL ? ST_EAGAIN : r;
}

bool ssh_conn_has_room(const struct ssh_conn *c)
{
	return c->state == SSH_DEAD || c->in.len <= SSH_CONN_IN_MAX / 2;
}

void ssh_conn_eof(struct ssh_conn *c)
{
	c->eof = true;
}

void ssh_conn_disconnect(struct ssh_conn *c)
{
	if (c->state == SSH_READY && !ssh_open_rekeying(c->s))
		libssh2_session_disconnect(c->s, "ssm-tun ends");
	if (c->state != SSH_DEAD)
		set_state(c, SSH_DEAD);
}
