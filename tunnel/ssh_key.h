// SPDX-License-Identifier: MIT
/* ssh_key.h - what the log-in needs of a struct tnl_key, and printed names of public keys */
#ifndef TUNNEL_SSH_KEY_H
#define TUNNEL_SSH_KEY_H

#include <stddef.h>
#include <stdint.h>

#include "tunnel/tunnel.h"

const char *ssh_key_path(const struct tnl_key *k);
/** ssh_key_make() - a new Ed25519 pair, in locked memory alone; its path reads @name. Return: 0 (tnl_key_free()); ST_ENOMEM; ST_ESYS */
int ssh_key_make(struct tnl_key **out, const char *name);
#define SSH_KEY_LINE 128U
/** ssh_key_line() - an Ed25519 pair's public half as a line of authorized_keys, without newline; @out of SSH_KEY_LINE bytes.
 * Return: @out */
const char *ssh_key_line(char out[SSH_KEY_LINE], const struct tnl_key *k);
/** ssh_key_blob() - the public key as on the wire; NULL if it is not known (an encrypted PEM file without a .pub beside it) */
const uint8_t *ssh_key_blob(const struct tnl_key *k, size_t *len);
/** ssh_key_private() - the file's text, secret; NULL if only the agent can sign */
const char *ssh_key_private(const struct tnl_key *k, size_t *len);
const char *ssh_key_passphrase(const struct tnl_key *k); /* secret; NULL: none needed */

#define SSH_KEY_PRINT 128U
/** ssh_key_print() - "ssh-ed25519 SHA256:…" of a public key blob, as ssh-keygen -l writes it; returns @out */
const char *ssh_key_print(char out[SSH_KEY_PRINT], const uint8_t *blob, size_t len);
/** ssh_key_fingerprint() - "SHA256:…" alone; @out of SSH_KEY_PRINT bytes */
const char *ssh_key_fingerprint(char out[SSH_KEY_PRINT], const uint8_t *blob, size_t len);

#endif
