// SPDX-License-Identifier: MIT
/* ssh_wire.h - reading SSH's strings and integers (RFC 4251, 5) from foreign bytes */
#ifndef TUNNEL_SSH_WIRE_H
#define TUNNEL_SSH_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/util.h"

struct ssh_wire {
	const uint8_t *p; /* moves on with every read */
	size_t len;
};

/* Each returns false, and reads nothing, if the bytes end too early. */
static inline bool ssh_wire_u8(struct ssh_wire *w, uint8_t *out)
{
	if (w->len < 1)
		return false;
	*out = *w->p++;
	w->len--;
	return true;
}

static inline bool ssh_wire_u32(struct ssh_wire *w, uint32_t *out)
{
	if (w->len < 4)
		return false;
	*out = be32_get(w->p);
	w->p += 4;
	w->len -= 4;
	return true;
}

/* *@out points into the bytes read. */
static inline bool ssh_wire_string(struct ssh_wire *w, const uint8_t **out, size_t *out_len)
{
	uint32_t n;

	if (w->len < 4 || (n = be32_get(w->p)) > w->len - 4)
		return false;
	*out = w->p + 4;
	*out_len = n;
	w->p += 4 + (size_t)n;
	w->len -= 4 + (size_t)n;
	return true;
}

#endif
