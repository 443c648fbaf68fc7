// SPDX-License-Identifier: MIT
/* tnl_url.h - host and port out of URLs and "host[:port]" */
#ifndef TUNNEL_TNL_URL_H
#define TUNNEL_TNL_URL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TNL_HOST_MAX 256U

struct tnl_url {
	char host[TNL_HOST_MAX]; /* without brackets */
	uint16_t port;
	char auth
		[256]; /* "user:password", percent-decoded, the ':' always there; "" if none; secret */
	bool tls;      /* the scheme is https or wss */
};

/** tnl_url_rehost() - @url with @at's host and port in place of its own; the rest stays byte for byte.
 * Return: 0 and *@out (caller frees); ST_EFORMAT (@url has no scheme); ST_ENOMEM */
int tnl_url_rehost(char **out, const char *url, const struct tnl_url *at);
/** tnl_url_parse() - "scheme://[user:password@]host[:port][/…]" or "host[:port]"; @port if none is named.
 * Return: 0; ST_EFORMAT */
int tnl_url_parse(struct tnl_url *out, const char *url, uint16_t port);

#endif
