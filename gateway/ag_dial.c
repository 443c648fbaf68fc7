// SPDX-License-Identifier: MIT
/* ag_dial.c - from a URL to an address; getaddrinfo() may block, which an agent at (re)connect can bear */
#include "gateway/ag_internal.h"

#include <netdb.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "base/text.h"

/* Splits "wss://[::1]:8080/x" into host "::1" and port "8080". */
static int url_split(const char *url, char host[256], char port[6])
{
	const char *p = strstr(url, "://"), *end, *colon;
	size_t len, plen;

	if (!p)
		return ST_EINVAL;
	text_copy(port, 6, strncmp(url, "wss:", 4) == 0 ? "443" : "80");
	p += 3;
	end = p + strcspn(p, "/?#");
	colon = memrchr(p, ':', (size_t)(end - p));
	if (*p == '[') {
		const char *close = memchr(p, ']', (size_t)(end - p));

		if (!close)
			return ST_EINVAL;
		p++;
		len = (size_t)(close - p);
		colon = close + 1 < end && close[1] == ':' ? close + 1 : NULL;
	} else {
		len = (size_t)((colon ? colon : end) - p);
	}
	if (colon) {
		plen = (size_t)(end - colon - 1);
		if (!plen || plen > 5)
			return ST_EINVAL;
		memcpy(port, colon + 1, plen);
		port[plen] = '\0';
	}
	if (!len || len > 255)
		return ST_EINVAL;
	memcpy(host, p, len);
	host[len] = '\0';
	return 0;
}

int ag_resolve(struct net_endpoint *out, const char *url)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG }, *list;
	char host[256], port[6];
	int r;

	if ((r = url_split(url, host, port)) < 0)
		return r;
	if (net_addr_parse(&out->addr, host) == 0) {
		out->port = (uint16_t)strtoul(port, NULL, 10);
		return 0;
	}
	if ((r = getaddrinfo(host, port, &hints, &list)) != 0) {
		log_warn("%s: %s", text_safe(host).s, gai_strerror(r));
		return ST_EUNREACH;
	}
	r = net_from_sockaddr(out, list->ai_addr);
	freeaddrinfo(list);
	return r;
}

bool ag_url_is_safe(const char *gateway, const char *url)
{
	if (strncmp(url, "wss://", 6) == 0)
		return true;
	return strncmp(url, "ws://", 5) == 0 && strncmp(gateway, "ws://", 5) == 0;
}
