// SPDX-License-Identifier: MIT
/* tnl_url.h - host and port out of URLs and "host[:port]" */
#ifndef TUNNEL_TNL_URL_H
#define TUNNEL_TNL_URL_H

#include <stddef.h>
#include <stdint.h>

#define TNL_HOST_MAX 256U

struct tnl_url {
	char host[TNL_HOST_MAX]; /* without brackets */
	uint16_t port;
	char auth[256]; /* "user:password", percent-decoded; "" if none; secret */
};

/** tnl_url_parse() - "scheme://[user:password@]host[:port][/…]" or "host[:port]"; @port if none is named.
 * Return: 0; ST_EFORMAT */
int tnl_url_parse(struct tnl_url *out, const char *url, uint16_t port);

#endif
