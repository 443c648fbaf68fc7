// SPDX-License-Identifier: MIT
/* rawpeer.c - see rawpeer.h */
#include "rawpeer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "base/codec.h"
#include "base/util.h"
#include "testkit.h"

bool raw_write(struct raw *raw, const void *p, size_t len)
{
	const uint8_t *at = p;

	while (len) {
		ssize_t n = raw->tls ? SSL_write(raw->tls, at, (int)len)
				     : send(raw->fd, at, len, MSG_NOSIGNAL);

		if (n <= 0)
			return false;
		at += n;
		len -= (size_t)n;
	}
	return true;
}

bool raw_read(struct raw *raw, void *p, size_t len)
{
	uint8_t *at = p;

	while (len) {
		ssize_t n = raw->tls ? SSL_read(raw->tls, at, (int)len) : recv(raw->fd, at, len, 0);

		if (n <= 0)
			return false;
		at += n;
		len -= (size_t)n;
	}
	return true;
}

bool raw_send(struct raw *raw, uint8_t op, bool fin, const void *p, size_t len)
{
	uint8_t h[10] = { (uint8_t)((fin ? 0x80 : 0) | op) };
	size_t n = 2;

	if (len < 126) {
		h[1] = (uint8_t)len;
	} else if (len <= UINT16_MAX) {
		h[1] = 126;
		be16_put(h + 2, (uint16_t)len);
		n = 4;
	} else {
		h[1] = 127;
		be64_put(h + 2, len);
		n = 10;
	}
	return raw_write(raw, h, n) && raw_write(raw, p, len);
}

bool raw_recv(struct raw *raw, struct raw_frame *f)
{
	uint8_t h[8], mask[4] = { 0 };

	if (!raw_read(raw, h, 2))
		return false;
	*f = (struct raw_frame){ .op = h[0] & 0xf, .fin = h[0] & 0x80, .masked = h[1] & 0x80 };
	f->len = h[1] & 0x7f;
	if (h[0] & 0x70)
		raw->failure = "reserved bits are set: not a frame's beginning";
	if (f->len == 126 && raw_read(raw, h, 2))
		f->len = be16_get(h);
	else if (f->len == 127 && raw_read(raw, h, 8))
		f->len = (size_t)be64_get(h);
	if (f->len > MIB(4) || raw->failure)
		return false;
	if (f->masked && !raw_read(raw, mask, 4))
		return false;
	f->p = malloc(f->len + 1);
	if (!f->p || !raw_read(raw, f->p, f->len)) {
		free(f->p);
		return false;
	}
	for (size_t i = 0; i < f->len; i++)
		f->p[i] ^= mask[i & 3];
	return true;
}

static bool read_request(struct raw *raw)
{
	size_t n = 0;

	while (n + 1 < sizeof(raw->request) && raw_read(raw, raw->request + n, 1)) {
		raw->request[++n] = '\0';
		if (n >= 4 && memcmp(raw->request + n - 4, "\r\n\r\n", 4) == 0)
			return true;
	}
	return false;
}

static bool upgrade(struct raw *raw)
{
	static const char head[] = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
				   "Connection: Upgrade\r\n";
	static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
	unsigned char sha[20];
	char text[128], accept[CODEC_B64_LEN(20)];
	const char *key;

	if (!read_request(raw) || !(key = strcasestr(raw->request, "Sec-WebSocket-Key: ")))
		return false;
	snprintf(text, sizeof(text), "%.24s%s", key + 19, guid);
	EVP_Digest(text, strlen(text), sha, NULL, EVP_sha1(), NULL);
	codec_b64_encode(accept, sha, sizeof(sha));
	snprintf(text, sizeof(text), "Sec-WebSocket-Accept: %s\r\n\r\n", accept);
	return raw_write(raw, head, strlen(head)) && raw_write(raw, text, strlen(text));
}

static void *run(void *arg)
{
	struct raw *raw = arg;

	raw->fd = accept(raw->listen_fd, NULL, NULL);
	if (raw->fd < 0) {
		raw->failure = "accept";
		return NULL;
	}
	if (raw->tls_ctx) {
		raw->tls = SSL_new(raw->tls_ctx);
		SSL_set_fd(raw->tls, raw->fd);
		if (SSL_accept(raw->tls) != 1) {
			raw->failure = "SSL_accept";
			return NULL;
		}
	}
	if (!raw->no_upgrade && !upgrade(raw))
		raw->failure = "upgrade";
	else
		raw->play(raw);
	return NULL;
}

void raw_start(struct raw *raw, const char *cert, const char *key, void (*play)(struct raw *raw))
{
	raw->play = play;
	raw->listen_fd = kit_listen(&raw->port);
	if (cert) {
		raw->tls_ctx = SSL_CTX_new(TLS_server_method());
		assert_int_equal(SSL_CTX_use_certificate_chain_file(raw->tls_ctx, cert), 1);
		assert_int_equal(SSL_CTX_use_PrivateKey_file(raw->tls_ctx, key, SSL_FILETYPE_PEM),
				 1);
	}
	assert_int_equal(pthread_create(&raw->thread, NULL, run, raw), 0);
	raw->running = true;
}

void raw_join(struct raw *raw)
{
	assert_true(raw->running);
	pthread_join(raw->thread, NULL);
	SSL_free(raw->tls);
	SSL_CTX_free(raw->tls_ctx);
	if (raw->fd >= 0)
		close(raw->fd);
	close(raw->listen_fd);
	if (raw->failure)
		fail_msg("raw peer: %s", raw->failure);
}
