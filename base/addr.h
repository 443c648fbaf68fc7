// SPDX-License-Identifier: MIT
/* addr.h - IP addresses, prefixes and endpoints of both families, in network byte order */
#ifndef BASE_ADDR_H
#define BASE_ADDR_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

struct net_addr {
	uint8_t family; /* 4, 6; 0: none */
	uint8_t b[16];	/* network order; a family 4 address uses the first 4, the rest is 0 */
};

struct net_prefix {
	struct net_addr addr; /* host bits are 0 */
	uint8_t len;	      /* bits */
};

struct net_endpoint {
	struct net_addr addr;
	uint16_t port; /* host byte order */
};

#define NET_ADDR_STR 46U     /* INET6_ADDRSTRLEN */
#define NET_PREFIX_STR 50U   /* "addr/128" */
#define NET_ENDPOINT_STR 54U /* "[addr]:65535" */

/** net_addr_parse() - "10.0.0.1" or "fd00::1", nothing else (no zone, no brackets). Return: 0; ST_EFORMAT */
int net_addr_parse(struct net_addr *out, const char *s);
/** net_prefix_parse() - "10.0.0.0/8"; an address alone is /32 or /128. Return: 0; ST_EFORMAT; ST_EINVAL if
 * bits behind the length are set (*@out then has them cleared, for a suggestion) */
int net_prefix_parse(struct net_prefix *out, const char *s);
/* "none" for family 0. Each writes a NUL-terminated string to @out (of the size above) and returns it. */
const char *net_addr_str(char out[NET_ADDR_STR], const struct net_addr *a);
const char *net_prefix_str(char out[NET_PREFIX_STR], const struct net_prefix *p);
const char *net_endpoint_str(char out[NET_ENDPOINT_STR], const struct net_endpoint *e);

bool net_addr_eq(const struct net_addr *a, const struct net_addr *b);
/** net_addr_cmp() - family, then bytes; <0, 0, >0 */
int net_addr_cmp(const struct net_addr *a, const struct net_addr *b);
bool net_prefix_has(const struct net_prefix *p, const struct net_addr *a);
/** net_prefix_covers() - @outer holds all of @inner (equal counts) */
bool net_prefix_covers(const struct net_prefix *outer, const struct net_prefix *inner);
static inline uint8_t net_addr_bits(const struct net_addr *a)
{
	return a->family == 6 ? 128 : 32;
}
static inline uint8_t net_addr_bytes(const struct net_addr *a)
{
	return a->family == 6 ? 16 : 4;
}
/** net_addr_is_local_only() - loopback, link-local, multicast, broadcast or 0/8, of either family, also as an
 * IPv4-mapped address or behind NAT64's well-known prefix, and fd00:ec2::254 (the instance metadata service, which IPv6 does not make link-local):
 * never routed and never opened on an upstream (design, decision 13) */
bool net_addr_is_local_only(const struct net_addr *a);

/** net_sockaddr() - fills @out. Return: its length */
socklen_t net_sockaddr(struct sockaddr_storage *out, const struct net_endpoint *e);
/** net_from_sockaddr() - Return: 0; ST_EINVAL if it is not AF_INET or AF_INET6 */
int net_from_sockaddr(struct net_endpoint *out, const struct sockaddr *sa);

#endif
