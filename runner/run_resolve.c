// SPDX-License-Identifier: MIT
/* run_resolve.c - the built-in job: a name to addresses, by the system's resolver */
#include "runner/runner_internal.h"

#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"

#define NAME_MAX_LEN 253U /* RFC 1035: 255 on the wire */
#define ADDR_LEN 17U	  /* family 4 or 6, then 16 bytes */

static int answer_text(uint8_t *out, size_t *out_len, int err, const char *text)
{
	*out_len = strlen(text);
	memcpy(out, text, *out_len);
	return err;
}

static int answer_failure(uint8_t *out, size_t *out_len, int gai, int saved_errno)
{
	switch (gai) {
	case EAI_NONAME:
	case EAI_NODATA:
	case EAI_ADDRFAMILY: return answer_text(out, out_len, ST_ENOENT, gai_strerror(gai));
	case EAI_SYSTEM: return answer_text(out, out_len, ST_ESYS, strerror(saved_errno));
	default: return answer_text(out, out_len, ST_ESYS, gai_strerror(gai));
	}
}

int run_resolve_job(const uint8_t *in, size_t in_len, uint8_t *out, size_t *out_len)
{
	const struct addrinfo hints = { .ai_flags = AI_ADDRCONFIG, .ai_socktype = SOCK_STREAM };
	struct net_endpoint ep;
	struct addrinfo *list;
	char name[NAME_MAX_LEN + 1];
	size_t n = 0;
	int gai;

	if (in_len == 0 || in_len > NAME_MAX_LEN || memchr(in, '\0', in_len))
		return answer_text(out, out_len, ST_ENOENT, "not a host name");
	memcpy(name, in, in_len);
	name[in_len] = '\0';
	if ((gai = getaddrinfo(name, NULL, &hints, &list)) != 0)
		return answer_failure(out, out_len, gai, errno);
	for (const struct addrinfo *a = list; a && n < RUN_RESOLVE_ADDRS; a = a->ai_next) {
		if (net_from_sockaddr(&ep, a->ai_addr) < 0)
			continue;
		out[n * ADDR_LEN] = ep.addr.family;
		memcpy(out + n * ADDR_LEN + 1, ep.addr.b, sizeof(ep.addr.b));
		n++;
	}
	freeaddrinfo(list);
	*out_len = n * ADDR_LEN;
	return n > 0 ? 0 : answer_text(out, out_len, ST_ENOENT, "no address of a known family");
}

size_t run_resolve_decode(struct net_addr out[RUN_RESOLVE_ADDRS], const uint8_t *data, size_t len)
{
	size_t n = 0;

	for (; len >= ADDR_LEN && n < RUN_RESOLVE_ADDRS; data += ADDR_LEN, len -= ADDR_LEN) {
		if (data[0] != 4 && data[0] != 6)
			continue;
		out[n] = (struct net_addr){ .family = data[0] };
		memcpy(out[n].b, data + 1, sizeof(out[n].b));
		n++;
	}
	return n;
}
