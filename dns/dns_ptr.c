// SPDX-License-Identifier: MIT
/*
 * dns_ptr.c - names of the reverse tree
 *
 * RFC 1035, 3.5: the four bytes as decimal labels, the last first. RFC 3596, 2.5: 32 hexadecimal digits, the last first.
 */
#include "dns/dns_ptr.h"

#include <string.h>

#include "base/util.h"

#define TAIL4 "in-addr.arpa"
#define TAIL6 "ip6.arpa"
#define BYTE_DIGITS 3U

/* One decimal label without leading zeros and the dot behind it. NULL: something else */
static const char *byte_read(const char *p, uint8_t *out)
{
	unsigned v = 0, n = 0;

	for (; p[n] >= '0' && p[n] <= '9' && n <= BYTE_DIGITS; n++)
		v = v * 10 + (unsigned)(p[n] - '0');
	if (n == 0 || n > BYTE_DIGITS || v > 255 || (n > 1 && p[0] == '0') || p[n] != '.')
		return NULL;
	*out = (uint8_t)v;
	return p + n + 1;
}

static bool four_read(struct net_addr *out, const char *p)
{
	*out = (struct net_addr){ .family = 4 };
	for (unsigned i = 4; p && i-- > 0;)
		p = byte_read(p, &out->b[i]);
	return p && strcmp(p, TAIL4) == 0;
}

static bool six_read(struct net_addr *out, const char *p)
{
	static const char digits[] = "0123456789abcdef";

	*out = (struct net_addr){ .family = 6 };
	for (unsigned i = 32; i-- > 0; p += 2) {
		const char *at = *p ? strchr(digits, *p) : NULL;

		if (!at || p[1] != '.')
			return false;
		out->b[i / 2] |= (uint8_t)((unsigned)(at - digits) << (i % 2 ? 0 : 4));
	}
	return strcmp(p, TAIL6) == 0;
}

bool dns_ptr_addr(struct net_addr *out, const char *name)
{
	return four_read(out, name) || six_read(out, name);
}
