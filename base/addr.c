// SPDX-License-Identifier: MIT
/* addr.c - IP addresses, prefixes and endpoints of both families */
#include "base/addr.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/util.h"

int net_addr_parse(struct net_addr *out, const char *s)
{
	struct net_addr a = { 0 };

	if (inet_pton(AF_INET, s, a.b) == 1)
		a.family = 4;
	else if (inet_pton(AF_INET6, s, a.b) == 1)
		a.family = 6;
	else
		return ST_EFORMAT;
	*out = a;
	return 0;
}

/* "0" to "128": digits only, no leading zero. Return: the number, or -1 */
static int prefix_len_parse(const char *s, int max)
{
	int v = 0;

	if (s[0] == '\0' || (s[0] == '0' && s[1] != '\0'))
		return -1;
	for (; *s; s++) {
		if (*s < '0' || *s > '9')
			return -1;
		v = v * 10 + (*s - '0');
		if (v > max)
			return -1;
	}
	return v;
}

/* Return: whether a bit behind the first @len was set */
static bool clear_host_bits(struct net_addr *a, uint8_t len)
{
	bool found = false;

	for (uint8_t i = len / 8U; i < net_addr_bytes(a); i++) {
		unsigned keep = i == len / 8U ? (0xff00U >> (len % 8U)) & 0xffU : 0;

		found = found || (a->b[i] & ~keep) != 0;
		a->b[i] = (uint8_t)(a->b[i] & keep);
	}
	return found;
}

int net_prefix_parse(struct net_prefix *out, const char *s)
{
	char addr[NET_ADDR_STR];
	const char *slash = strchr(s, '/');
	size_t addr_len = slash ? (size_t)(slash - s) : strlen(s);
	struct net_prefix p;
	int len;

	if (addr_len >= sizeof(addr))
		return ST_EFORMAT;
	memcpy(addr, s, addr_len);
	addr[addr_len] = '\0';
	if (net_addr_parse(&p.addr, addr) < 0)
		return ST_EFORMAT;
	len = net_addr_bits(&p.addr);
	if (slash && (len = prefix_len_parse(slash + 1, len)) < 0)
		return ST_EFORMAT;
	p.len = (uint8_t)len;
	len = clear_host_bits(&p.addr, p.len) ? ST_EINVAL : 0;
	*out = p;
	return len;
}

const char *net_addr_str(char out[NET_ADDR_STR], const struct net_addr *a)
{
	if (a->family == 0)
		memcpy(out, "none", sizeof("none"));
	else
		inet_ntop(a->family == 6 ? AF_INET6 : AF_INET, a->b, out, NET_ADDR_STR);
	return out;
}

const char *net_prefix_str(char out[NET_PREFIX_STR], const struct net_prefix *p)
{
	char addr[NET_ADDR_STR];

	snprintf(out, NET_PREFIX_STR, "%s/%u", net_addr_str(addr, &p->addr), p->len);
	return out;
}

const char *net_endpoint_str(char out[NET_ENDPOINT_STR], const struct net_endpoint *e)
{
	char addr[NET_ADDR_STR];

	snprintf(out, NET_ENDPOINT_STR, e->addr.family == 6 ? "[%s]:%u" : "%s:%u",
		 net_addr_str(addr, &e->addr), e->port);
	return out;
}

int net_addr_cmp(const struct net_addr *a, const struct net_addr *b)
{
	if (a->family != b->family)
		return a->family < b->family ? -1 : 1;
	return a->family == 0 ? 0 : memcmp(a->b, b->b, net_addr_bytes(a));
}

bool net_addr_eq(const struct net_addr *a, const struct net_addr *b)
{
	return net_addr_cmp(a, b) == 0;
}

bool net_prefix_has(const struct net_prefix *p, const struct net_addr *a)
{
	size_t whole = p->len / 8U;
	uint8_t mask = (uint8_t)(0xff00U >> (p->len % 8U));

	if (p->addr.family == 0 || p->addr.family != a->family ||
	    memcmp(p->addr.b, a->b, whole) != 0)
		return false;
	return mask == 0 || ((p->addr.b[whole] ^ a->b[whole]) & mask) == 0;
}

bool net_prefix_covers(const struct net_prefix *outer, const struct net_prefix *inner)
{
	return outer->len <= inner->len && net_prefix_has(outer, &inner->addr);
}

static bool is_local_only4(const uint8_t b[4])
{
	return b[0] == 0 || b[0] == 127 || (b[0] == 169 && b[1] == 254) || (b[0] & 0xf0) == 0xe0 ||
	       be32_get(b) == INADDR_BROADCAST;
}

bool net_addr_is_local_only(const struct net_addr *a)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	static const uint8_t nat64[12] = { 0x00, 0x64, 0xff, 0x9b }; /* RFC 6052, 2.1 */
	static const uint8_t loopback[16] = { [15] = 1 };
	static const uint8_t none[16];
	/* docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-retrieval.html */
	static const uint8_t imds[16] = { 0xfd, 0x00, 0x0e, 0xc2, [14] = 0x02, [15] = 0x54 };
	const uint8_t *b = a->b;

	if (a->family != 6)
		return a->family == 4 && is_local_only4(b);
	if (memcmp(b, mapped, sizeof(mapped)) == 0 || memcmp(b, nat64, sizeof(nat64)) == 0)
		return is_local_only4(b + sizeof(mapped));
	return b[0] == 0xff || (b[0] == 0xfe && (b[1] & 0xc0) == 0x80) ||
	       memcmp(b, loopback, 16) == 0 || memcmp(b, none, 16) == 0 || memcmp(b, imds, 16) == 0;
}

socklen_t net_sockaddr(struct sockaddr_storage *out, const struct net_endpoint *e)
{
	memset(out, 0, sizeof(*out));
	if (e->addr.family == 6) {
		struct sockaddr_in6 sin6 = { .sin6_family = AF_INET6, .sin6_port = htons(e->port) };

		memcpy(&sin6.sin6_addr, e->addr.b, 16);
		memcpy(out, &sin6, sizeof(sin6));
		return sizeof(sin6);
	}
	struct sockaddr_in sin = { .sin_family = AF_INET, .sin_port = htons(e->port) };

	memcpy(&sin.sin_addr, e->addr.b, 4);
	memcpy(out, &sin, sizeof(sin));
	return sizeof(sin);
}

int net_from_sockaddr(struct net_endpoint *out, const struct sockaddr *sa)
{
	*out = (struct net_endpoint){ 0 };
	if (sa->sa_family == AF_INET) {
		struct sockaddr_in sin;

		memcpy(&sin, sa, sizeof(sin));
		out->addr.family = 4;
		memcpy(out->addr.b, &sin.sin_addr, 4);
		out->port = ntohs(sin.sin_port);
		return 0;
	}
	if (sa->sa_family == AF_INET6) {
		struct sockaddr_in6 sin6;

		memcpy(&sin6, sa, sizeof(sin6));
		out->addr.family = 6;
		memcpy(out->addr.b, &sin6.sin6_addr, 16);
		out->port = ntohs(sin6.sin6_port);
		return 0;
	}
	return ST_EINVAL;
}
