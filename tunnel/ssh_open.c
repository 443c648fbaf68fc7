// SPDX-License-Identifier: MIT
/*
 * ssh_open.c - many CHANNEL_OPENs in flight in one LIBSSH2_SESSION
 *
 * Theory of operation: the public libssh2_channel_open_ex() keeps its state in the session, so that one open is in
 * flight at a time, and it throws away why an open failed. Here a channel is put in the session's list as the library
 * would, CHANNEL_OPEN is sent, and the answer is found among the received packets by our channel id. From
 * then on the channel is an ordinary one and the public API serves it. The private key functions are here too, since only
 * this file sees the private headers. The library is not patched; the symbols and fields used
 * are pinned below, so that another version of it fails to compile rather than to work.
 */
#include "tunnel/ssh_open.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include "libssh2_priv.h"
#include "channel.h"
#include "packet.h"
#include "transport.h"

#include "base/err.h"
#include "base/util.h"
#include "tunnel/ssh_wire.h"

static_assert(LIBSSH2_VERSION_NUM >= 0x010b01,
	      "libssh2 1.11.1 or newer: RSA with SHA-2, strict kex");
static_assert(sizeof(((LIBSSH2_CHANNEL *)0)->local.window_size) == 4, "window_size is 32 bits");
static_assert(sizeof(((LIBSSH2_CHANNEL *)0)->read_avail) == sizeof(size_t),
	      "read_avail is a size_t");

/* The private functions, with the types that we call them by. */
static int (*const transport_send)(LIBSSH2_SESSION *, const unsigned char *, size_t,
				   const unsigned char *, size_t) = _libssh2_transport_send;
static int (*const transport_read)(LIBSSH2_SESSION *) = _libssh2_transport_read;
static uint32_t (*const channel_nextid)(LIBSSH2_SESSION *) = _libssh2_channel_nextid;
static LIBSSH2_CHANNEL *(*const channel_locate)(LIBSSH2_SESSION *,
						uint32_t) = _libssh2_channel_locate;

#define TYPE_NAME "direct-tcpip"
#define TYPE_NAME_LEN 12U

/* Packet layouts: RFC 4254, 5.1. Both begin with the type and the recipient's channel id. */
#define CONFIRMATION_LEN 17U
#define FAILURE_LEN 13U

static LIBSSH2_CHANNEL *chan_new(LIBSSH2_SESSION *s, uint32_t window)
{
	LIBSSH2_CHANNEL *c = LIBSSH2_CALLOC(s, sizeof(*c));

	if (c == NULL)
		return NULL;
	c->channel_type = LIBSSH2_ALLOC(s, TYPE_NAME_LEN);
	if (c->channel_type == NULL) {
		LIBSSH2_FREE(s, c);
		return NULL;
	}
	memcpy(c->channel_type, TYPE_NAME, TYPE_NAME_LEN);
	c->channel_type_len = TYPE_NAME_LEN;
	c->session = s;
	c->local.id = channel_nextid(s);
	/* "remote" is what the remote side may send */
	c->remote.window_size = c->remote.window_size_initial = window;
	c->remote.packet_size = SSH_OPEN_PACKET_MAX;
	return c;
}

static void chan_free(LIBSSH2_SESSION *s, LIBSSH2_CHANNEL *c)
{
	LIBSSH2_FREE(s, c->channel_type);
	LIBSSH2_FREE(s, c);
}

int ssh_open_start(LIBSSH2_SESSION *s, LIBSSH2_CHANNEL **out, const struct ssh_open_target *t)
{
	unsigned char packet[256], *p = packet;
	LIBSSH2_CHANNEL *c;
	int r;

	ST_ASSERT(strlen(t->host) < 64 && strlen(t->source) < 64);
	c = chan_new(s, t->window);
	if (c == NULL)
		return ST_ENOMEM;
	*p++ = SSH_MSG_CHANNEL_OPEN;
	_libssh2_store_str(&p, TYPE_NAME, TYPE_NAME_LEN);
	_libssh2_store_u32(&p, c->local.id);
	_libssh2_store_u32(&p, t->window);
	_libssh2_store_u32(&p, SSH_OPEN_PACKET_MAX);
	_libssh2_store_str(&p, t->host, strlen(t->host));
	_libssh2_store_u32(&p, t->port);
	_libssh2_store_str(&p, t->source, strlen(t->source));
	_libssh2_store_u32(&p, t->source_port);
	c->abstract = t->arg;
	r = transport_send(s, packet, (size_t)(p - packet), NULL, 0);
	if (r != 0) {
		chan_free(s, c);
		return r == LIBSSH2_ERROR_EAGAIN ? ST_EAGAIN : ST_ECLOSED;
	}
	_libssh2_list_add(&s->channels, &c->node);
	*out = c;
	return 0;
}

static bool confirmed(LIBSSH2_CHANNEL *c, const LIBSSH2_PACKET *p)
{
	if (p->data_len < CONFIRMATION_LEN)
		return false;
	c->remote.id = be32_get(p->data + 5);
	c->local.window_size = c->local.window_size_initial = be32_get(p->data + 9);
	c->local.packet_size = be32_get(p->data + 13);
	return true;
}

static bool refused(struct ssh_open_result *out, const LIBSSH2_PACKET *p)
{
	size_t len;

	if (p->data_len < FAILURE_LEN)
		return false;
	out->reason = be32_get(p->data + 5);
	len = MIN((size_t)be32_get(p->data + 9), p->data_len - FAILURE_LEN);
	snprintf(out->text, sizeof(out->text), "%.*s", (int)MIN(len, sizeof(out->text) - 1),
		 (const char *)p->data + FAILURE_LEN);
	return true;
}

/* Return: true if @p answers an open of ours; *@out is filled in. */
static bool answer_read(LIBSSH2_SESSION *s, const LIBSSH2_PACKET *p, struct ssh_open_result *out)
{
	LIBSSH2_CHANNEL *c;

	if (p->data_len < 5)
		return false;
	c = channel_locate(s, be32_get(p->data + 1));
	if (c == NULL)
		return false;
	*out = (struct ssh_open_result){ .chan = c,
					 .arg = c->abstract,
					 .open = p->data[0] == SSH_MSG_CHANNEL_OPEN_CONFIRMATION };
	return out->open ? confirmed(c, p) : refused(out, p);
}

static void packet_free(LIBSSH2_SESSION *s, LIBSSH2_PACKET *p)
{
	_libssh2_list_remove(&p->node);
	LIBSSH2_FREE(s, p->data);
	LIBSSH2_FREE(s, p);
}

/* Of the connection protocol (80 and above) only answers to opens and data wait to be taken; the rest is acted on
 * when it arrives, or answers requests that we never make. */
static bool is_stray(const LIBSSH2_PACKET *p)
{
	if (p->data_len < 1)
		return true;
	switch (p->data[0]) {
	case SSH_MSG_CHANNEL_OPEN_CONFIRMATION:
	case SSH_MSG_CHANNEL_OPEN_FAILURE:
	case SSH_MSG_CHANNEL_DATA:
	case SSH_MSG_CHANNEL_EXTENDED_DATA: return false;
	default: return p->data[0] >= SSH_MSG_GLOBAL_REQUEST;
	}
}

void ssh_open_sweep(LIBSSH2_SESSION *s)
{
	LIBSSH2_PACKET *p = _libssh2_list_first(&s->packets), *next;

	for (; p != NULL; p = next) {
		next = _libssh2_list_next(&p->node);
		if (is_stray(p))
			packet_free(s, p);
	}
}

bool ssh_open_next(LIBSSH2_SESSION *s, struct ssh_open_result *out)
{
	LIBSSH2_PACKET *p = _libssh2_list_first(&s->packets), *next;
	bool found = false;

	for (; p != NULL && !found; p = next) {
		next = _libssh2_list_next(&p->node);
		if (p->data_len < 1 || (p->data[0] != SSH_MSG_CHANNEL_OPEN_CONFIRMATION &&
					p->data[0] != SSH_MSG_CHANNEL_OPEN_FAILURE))
			continue;
		found = answer_read(s, p, out);
		packet_free(s, p);
	}
	return found;
}

void ssh_open_drop(LIBSSH2_CHANNEL *chan)
{
	_libssh2_list_remove(&chan->node);
	chan_free(chan->session, chan);
}

int ssh_open_drain(LIBSSH2_SESSION *s)
{
	int r;

	do
		r = transport_read(s);
	while (r > 0);
	return r == LIBSSH2_ERROR_EAGAIN ? 0 : r;
}

void ssh_open_state(LIBSSH2_CHANNEL *chan, struct ssh_open_state *out)
{
	*out = (struct ssh_open_state){
		.readable = chan->read_avail,
		.send_window = chan->local.window_size,
		.eof = chan->remote.eof != 0,
		.closed = chan->remote.close != 0,
	};
}

void ssh_open_window_set(LIBSSH2_CHANNEL *chan, uint32_t window)
{
	chan->remote.window_size_initial = window;
}

bool ssh_open_rekeying(LIBSSH2_SESSION *s)
{
	return (s->state & LIBSSH2_STATE_EXCHANGING_KEYS) != 0;
}

void ssh_open_rekeyed(LIBSSH2_SESSION *s)
{
	if (s->server_hostkey == NULL || ssh_open_rekeying(s))
		return;
	LIBSSH2_FREE(s, s->server_hostkey);
	s->server_hostkey = NULL;
	s->server_hostkey_len = 0;
}

int ssh_open_public_key(LIBSSH2_SESSION *s, uint8_t **out, size_t *out_len, const char *priv,
			size_t priv_len, const char *passphrase)
{
	unsigned char *method = NULL, *blob = NULL;
	size_t method_len = 0, blob_len = 0;
	int r = _libssh2_pub_priv_keyfilememory(s, &method, &method_len, &blob, &blob_len, priv,
						priv_len, passphrase);

	if (r == 0 && blob != NULL && (*out = malloc(blob_len)) != NULL) {
		memcpy(*out, blob, blob_len);
		*out_len = blob_len;
	} else if (r == 0) {
		r = LIBSSH2_ERROR_ALLOC;
	}
	if (method != NULL)
		LIBSSH2_FREE(s, method);
	if (blob != NULL)
		LIBSSH2_FREE(s, blob);
	if (r == 0)
		return 0;
	return r == LIBSSH2_ERROR_KEYFILE_AUTH_FAILED ? ST_EAUTH : ST_EFORMAT;
}

static EVP_PKEY *key_open(LIBSSH2_SESSION *s, const char *priv, size_t len, const char *passphrase,
			  const uint8_t *type, size_t type_len)
{
	const unsigned char *pass = (const unsigned char *)passphrase;
	EVP_PKEY *key = NULL; /* what the private contexts are with OpenSSL 3 */
	int r = LIBSSH2_ERROR_METHOD_NOT_SUPPORTED;

	if (type_len == 11 && memcmp(type, "ssh-ed25519", 11) == 0)
		r = _libssh2_ed25519_new_private_frommemory(&key, s, priv, len, pass);
	else if (type_len > 6 && memcmp(type, "ecdsa-", 6) == 0)
		r = _libssh2_ecdsa_new_private_frommemory(&key, s, priv, len, pass);
	else if (type_len == 7 && memcmp(type, "ssh-rsa", 7) == 0)
		r = _libssh2_rsa_new_private_frommemory(&key, s, priv, len, pass);
	return r == 0 ? key : NULL;
}

ssize_t ssh_open_plain_key(LIBSSH2_SESSION *s, char *out, size_t cap, const char *priv,
			   size_t priv_len, const char *passphrase, const uint8_t *blob,
			   size_t blob_len)
{
	struct ssh_wire w = { blob, blob_len };
	const uint8_t *type;
	size_t type_len;
	ssize_t r = ST_EUNSUPPORTED;
	EVP_PKEY *key;
	char *text = NULL;
	BIO *bio;
	long len = 0;

	if (!ssh_wire_string(&w, &type, &type_len))
		return ST_EUNSUPPORTED;
	key = key_open(s, priv, priv_len, passphrase, type, type_len);
	if (key == NULL)
		return ST_EUNSUPPORTED;
	bio = BIO_new(BIO_s_mem()); /* wipes its memory when it is freed */
	if (bio != NULL && PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) == 1)
		len = BIO_get_mem_data(bio, &text);
	if (len > 0 && (size_t)len < cap) {
		memcpy(out, text, (size_t)len);
		out[len] = '\0';
		r = len;
	}
	BIO_free(bio);
	EVP_PKEY_free(key);
	return r;
}
