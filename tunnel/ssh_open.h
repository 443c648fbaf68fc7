// SPDX-License-Identifier: MIT
/*
 * ssh_open.h - concurrent direct-tcpip opens and the state of a channel, which libssh2's public API hides
 *
 * Implemented on the private headers of the libssh2 that we build (design, decision 5).
 */
#ifndef TUNNEL_SSH_OPEN_H
#define TUNNEL_SSH_OPEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <libssh2.h>

#define SSH_OPEN_PACKET_MAX 32768U /* bytes of a channel data packet that we take; RFC 4253, 6.1 */

struct ssh_open_target {
	const char *host; /* a literal address */
	const char *source;
	uint16_t port, source_port;
	uint32_t window; /* receive window at first, bytes */
	void *arg;	 /* comes back in the result */
};

/**
 * ssh_open_start() - send CHANNEL_OPEN and return at once; the answer comes from ssh_open_next()
 * Return: 0 and *@out, which libssh2 lists already; ST_EAGAIN while keys are exchanged (nothing was sent: try again
 * after input); ST_ENOMEM; ST_ECLOSED if the transport failed
 */
int ssh_open_start(LIBSSH2_SESSION *s, LIBSSH2_CHANNEL **out, const struct ssh_open_target *t);

struct ssh_open_result {
	LIBSSH2_CHANNEL *chan;
	void *arg;
	bool open;
	uint32_t reason; /* RFC 4254, 5.1; 0 if open */
	char text[128];	 /* the peer's own words, foreign text, cut; "" if open */
};

/**
 * ssh_open_next() - take one answer to an open out of what was received
 * An answer that names no open of ours, or is cut, is dropped.
 * Return: false if there is none
 */
bool ssh_open_next(LIBSSH2_SESSION *s, struct ssh_open_result *out);

/** ssh_open_drop() - forget a channel whose open failed: nothing is sent */
void ssh_open_drop(LIBSSH2_CHANNEL *chan);

/** ssh_open_drain() - take in all packets that the RECV callback has. Return: 0; a LIBSSH2_ERROR_* if the transport failed */
int ssh_open_drain(LIBSSH2_SESSION *s);

/** ssh_open_sweep() - drop received packets that nobody will ask for: a hostile peer could pile them up */
void ssh_open_sweep(LIBSSH2_SESSION *s);

struct ssh_open_state {
	size_t readable;      /* bytes received and not yet read */
	uint32_t send_window; /* bytes that the peer takes */
	bool eof, closed;     /* from the peer; closed sets eof too */
};
void ssh_open_state(LIBSSH2_CHANNEL *chan, struct ssh_open_state *out);

/** ssh_open_window_set() - the receive window that reads keep up from now on */
void ssh_open_window_set(LIBSSH2_CHANNEL *chan, uint32_t window);

/** ssh_open_rekeying() - keys are being exchanged: everything that sends returns EAGAIN */
bool ssh_open_rekeying(LIBSSH2_SESSION *s);

/** ssh_open_rekeyed() - after a key exchange: frees the host key's copy, which libssh2 1.11.1 else leaks at the next one */
void ssh_open_rekeyed(LIBSSH2_SESSION *s);

/**
 * ssh_open_public_key() - the public key blob of a private key
 * @out: malloc'ed, the caller frees. Return: 0; ST_EAUTH for a wrong or missing passphrase; ST_EFORMAT
 */
int ssh_open_public_key(LIBSSH2_SESSION *s, uint8_t **out, size_t *out_len, const char *priv,
			size_t priv_len, const char *passphrase);

/**
 * ssh_open_plain_key() - an encrypted private key as unencrypted PKCS#8 PEM, so that log-ins need not derive its key again:
 * OpenSSH's bcrypt takes 0.1 s, twice a log-in
 * @blob: its public key, which tells the type. @out: @cap bytes, secret, NUL-terminated.
 * Return: its length; ST_EUNSUPPORTED for another type than Ed25519, ECDSA and RSA, for RSA in OpenSSH's own format (libssh2
 * takes n, e and d out of it, PKCS#8 wants the primes too), and beyond @cap
 */
ssize_t ssh_open_plain_key(LIBSSH2_SESSION *s, char *out, size_t cap, const char *priv,
			   size_t priv_len, const char *passphrase, const uint8_t *blob,
			   size_t blob_len);

#endif
