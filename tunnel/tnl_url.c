// SPDX-License-Identifier: MIT
#include "tunnel/tnl_url.h"

#include <stdlib.h>
#include <string.h>

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

int tnl_url_parse(struct tnl_url *out, const char *url, uint16_t port)
{
	const char *p = strstr(url, "://"), *end, *at, *host_end;

	*out = (struct tnl_url){ .port = port };
	p = p != NULL ? p + 3 : url;
	end = p + strcspn(p, "/?#");
	at = memchr(p, '@', (size_t)(end - p));
	if (at != NULL) {
		if (percent_decode(out->auth, sizeof(out->auth), p, (size_t)(at - p)) < 0)
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
