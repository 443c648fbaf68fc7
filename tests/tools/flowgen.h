// SPDX-License-Identifier: MIT
/*
 * flowgen.h - what the two ends of the traffic tool share
 *
 * The wire: the client sends one line, "xfer BYTES SEED\n" or "echo\n". xfer: each side sends a stream (the server BYTES of them,
 * the client as many as it likes) and ends it by FIN; before its FIN the server adds the line "SHA256 COUNT\n" of what it got.
 * echo: bytes come back until FIN.
 */
#ifndef TESTS_TOOLS_FLOWGEN_H
#define TESTS_TOOLS_FLOWGEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include <openssl/evp.h>

#define FG_CHUNK ((size_t)256 * 1024) /* bytes a send or receive moves at most */
#define FG_LINE_MAX 128U
#define FG_DIGEST_HEX 65U /* SHA-256 in hex and a NUL */

/* A stream of a known number of bytes that no two seeds share; every 4 KiB carry their own offset, so that a chunk that is lost,
 * doubled or moved changes the sum even though the filling repeats. */
struct fg_stream {
	uint8_t *block; /* FG_CHUNK bytes of filling */
	uint64_t seed, offset, total;
};

int fg_stream_init(struct fg_stream *s, uint64_t seed, uint64_t total);
void fg_stream_fini(struct fg_stream *s);
/** fg_stream_peek() - the bytes at the current offset; *@len of them, 0 at the end. Valid until the next call */
const uint8_t *fg_stream_peek(struct fg_stream *s, size_t *len);
void fg_stream_advance(struct fg_stream *s, size_t n);

/* The sum of what went by; @ctx NULL: nobody wants it. */
struct fg_digest {
	EVP_MD_CTX *ctx;
	uint64_t bytes;
};

int fg_digest_init(struct fg_digest *d, bool wanted);
void fg_digest_add(struct fg_digest *d, const void *p, size_t n);
/** fg_digest_hex() - ends the sum and frees it; "-" if nobody wanted it */
void fg_digest_hex(struct fg_digest *d, char out[FG_DIGEST_HEX]);

double fg_now(void); /* seconds, monotonic */
/** fg_address() - numeric IPv4 or IPv6 and a port. Return: 0 or -1 (told) */
int fg_address(struct sockaddr_storage *ss, socklen_t *len, const char *address, const char *port);

int fg_serve(const char *address, const char *port);
int fg_client(int argc, char **argv);

#endif
