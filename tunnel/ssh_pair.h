// SPDX-License-Identifier: MIT
/* ssh_pair.h - a new Ed25519 key pair in OpenSSH's private format, the one that libssh2 1.11.1 takes for it from memory */
#ifndef TUNNEL_SSH_PAIR_H
#define TUNNEL_SSH_PAIR_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define SSH_PAIR_BLOB 51U /* public key on the wire: string "ssh-ed25519", string of 32 bytes */

/**
 * ssh_pair_make() - @text gets the private key's file, @blob the public half. @scratch holds secrets meanwhile and is the
 * caller's to wipe, as @text is; 512 bytes are enough for both.
 * Return: length of the text, which ends with NUL; ST_EFULL; ST_ESYS: OpenSSL made no key
 */
ssize_t ssh_pair_make(char *text, size_t cap, uint8_t blob[SSH_PAIR_BLOB], uint8_t *scratch,
		      size_t scratch_len);

#endif
