// SPDX-License-Identifier: MIT
/* ssh_hosts.h - is this the host it claims to be: known_hosts files in OpenSSH's format, or a pinned fingerprint */
#ifndef TUNNEL_SSH_HOSTS_H
#define TUNNEL_SSH_HOSTS_H

#include <stddef.h>

#include <libssh2.h>

#include "tunnel/tunnel.h"

struct ssh_hosts {
	enum tnl_host_key policy;
	const char *fingerprint; /* "SHA256:…" */
	const char *own;	 /* our file, read and written; NULL: none */
	const char *user;	 /* ~/.ssh/known_hosts, read only; NULL: none */
};

/** ssh_hosts_prefer() - before the handshake: ask for the key types that are stored for @name, else for all modern ones.
 * Return: 0; ST_ESYS */
int ssh_hosts_prefer(LIBSSH2_SESSION *s, const struct ssh_hosts *h, const char *name);

/**
 * ssh_hosts_check() - after the handshake: may we go on with the key that the host showed?
 * A new host is written to our file under TNL_HOST_KEY_ACCEPT_NEW.
 * Return: 0; ST_EHOSTKEY with one line in @text that says what to do; ST_ESYS if our file can't be written
 */
int ssh_hosts_check(LIBSSH2_SESSION *s, const struct ssh_hosts *h, const char *name, char *text,
		    size_t cap);

#endif
