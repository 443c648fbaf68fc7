// SPDX-License-Identifier: MIT
/* rawpeer.h - the other end spoken by hand: blocking, in a thread of its own, plain or TLS */
#ifndef TESTS_UNIT_WS_RAWPEER_H
#define TESTS_UNIT_WS_RAWPEER_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <openssl/ssl.h>

struct raw {
	int listen_fd, fd;
	uint16_t port;
	SSL_CTX *tls_ctx;
	SSL *tls;
	pthread_t thread;
	bool running;
	char request[4096];
	void (*play)(struct raw *raw); /* runs after the upgrade (or at once, see no_upgrade) */
	bool no_upgrade;
	const char *failure; /* what went wrong in the thread */
	unsigned messages, pings, pongs;
	unsigned char digest[32];
	unsigned todo; /* for play() */
};

struct raw_frame {
	uint8_t op;
	bool fin, masked;
	size_t len;
	uint8_t *p; /* unmasked, to be freed */
};

/* @cert NULL: plain */
void raw_start(struct raw *raw, const char *cert, const char *key, void (*play)(struct raw *raw));
void raw_join(struct raw *raw);
bool raw_write(struct raw *raw, const void *p, size_t len);
bool raw_read(struct raw *raw, void *p, size_t len);
/* An unmasked frame */
bool raw_send(struct raw *raw, uint8_t op, bool fin, const void *p, size_t len);
bool raw_recv(struct raw *raw, struct raw_frame *f);

#endif
