// SPDX-License-Identifier: MIT
#include "tunnel/tnl_url.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/codec.h"
#include "base/err.h"

static int percent_decode(char *out, size_t cap, const char *p, size_t len)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++, n++) {
		uint8_t b = (uint8_t)p[i];

		if (n + 1 >= cap)
			return ST_EFULL;
		if (p[i] == '%') {
			if (len - i < 3 || codec_unhex(&b, 1, p + i + 1, 2) != 1 || b == 0)
				return ST_EFORMAT;
			i += 2;
		}
		out[n] = (char)b;
	}
	out[n] = '\0';
	return 0;
}

static int port_parse(uint16_t *out, const char *p, size_t len)
{
	unsigned long v = 0;

	if (len == 0 || len > 5)
		return ST_EFORMAT;
	for (size_t i = 0; i < len; i++) {
		if (p[i] < '0' || p[i] > '9')
			return ST_EFORMAT;
		v = v * 10 + (unsigned long)(p[i] - '0');
	}
	if (v == 0 || v > UINT16_MAX)
		return ST_EFORMAT;
	*out = (uint16_t)v;
	return 0;
}

/* As libcurl does it for the API calls: the last '@' ends it, a user without ':' has an empty password. */
static int auth_parse(struct tnl_url *out, const char *p, size_t len)
{
	size_t n;

	if (percent_decode(out->auth, sizeof(out->auth), p, len) < 0)
		return ST_EFORMAT;
	n = strlen(out->auth);
	if (n == 0 || memchr(p, ':', len))
		return 0;
	if (n + 2 > sizeof(out->auth))
		return ST_EFORMAT;
	out->auth[n] = ':';
	out->auth[n + 1] = '\0';
	return 0;
}

int tnl_url_parse(struct tnl_url *out, const char *url, uint16_t port)
{
	const char *p = strstr(url, "://"), *end, *at, *host_end;

	*out = (struct tnl_url){ .port = port,
				 .tls = strncasecmp(url, "https:", 6) == 0 ||
					strncasecmp(url, "wss:", 4) == 0 };
	p = p != NULL ? p + 3 : url;
	end = p + strcspn(p, "/?#");
	at = memrchr(p, '@', (size_t)(end - p));
	if (at != NULL) {
		if (auth_parse(out, p, (size_t)(at - p)) < 0)
			return ST_EFORMAT;
		p = at + 1;
	}
	if (p < end && *p == '[') {
		host_end = memchr(p, ']', (size_t)(end - p));
		p++;
	} else {
		host_end = memchr(p, ':', (size_t)(end - p));
		if (host_end == NULL)
			host_end = end;
	}
	if (host_end == NULL || host_end <= p || (size_t)(host_end - p) >= sizeof(out->host))
		return ST_EFORMAT;
	memcpy(out->host, p, (size_t)(host_end - p));
	out->host[host_end - p] = '\0';
	if (*host_end == ']')
		host_end++;
	if (host_end == end)
		return 0;
	return *host_end == ':' ? port_parse(&out->port, host_end + 1, (size_t)(end - host_end - 1))
				: ST_EFORMAT;
}

int tnl_url_rehost(char **out, const char *url, const struct tnl_url *at)
{
	const char *p = strstr(url, "://"), *end;
	const bool is_v6 = strchr(at->host, ':') != NULL;
	char port[8] = "";

	*out = NULL;
	if (p == NULL)
		return ST_EFORMAT;
	end = p + 3 + strcspn(p + 3, "/?#");
	if (at->port != (strncmp(url, "ws:", 3) == 0 ? 80 : 443))
		snprintf(port, sizeof(port), ":%u", at->port);
	if (asprintf(out, "%.*s%s%s%s%s%s", (int)(p + 3 - url), url, is_v6 ? "[" : "", at->host,
		     is_v6 ? "]" : "", port, end) >= 0)
		return 0;
	*out = NULL;
	return ST_ENOMEM;
}
