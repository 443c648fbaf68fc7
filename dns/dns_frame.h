// SPDX-License-Identifier: MIT
/* dns_frame.h - DNS over a stream: each message behind its length, 2 bytes, big-endian (RFC 1035, 4.2.2) */
#ifndef DNS_DNS_FRAME_H
#define DNS_DNS_FRAME_H

#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/util.h"
#include "dns/dns_internal.h"

#define DNS_FRAME_HEAD 2U
#define DNS_FRAME_MAX (DNS_FRAME_HEAD + DNS_MESSAGE_MAX)
#define DNS_FRAME_READ 4096U /* bytes of a read, ours */

/** dns_frame_next() - the frame that @p, @len bytes that were read, begins with
 * Return: bytes of its message, which is at @p + DNS_FRAME_HEAD; ST_EAGAIN: it isn't whole yet; ST_EFORMAT: too short to be a message */
static inline int dns_frame_next(const uint8_t *p, size_t len)
{
	unsigned n;

	if (len < DNS_FRAME_HEAD)
		return ST_EAGAIN;
	n = be16_get(p);
	if (n < DNS_HEADER_BYTES)
		return ST_EFORMAT;
	return len - DNS_FRAME_HEAD < n ? ST_EAGAIN : (int)n;
}

/** dns_frame_put() - @msg (@len: at most DNS_MESSAGE_MAX bytes) as a frame, with @id in place of its own. Return as buf_put() */
static inline int dns_frame_put(struct buf *out, const uint8_t *msg, size_t len, uint16_t id)
{
	uint8_t *p;
	int r = buf_reserve(out, DNS_FRAME_HEAD + len, &p);

	if (r < 0)
		return r;
	be16_put(p, (uint16_t)len);
	memcpy(p + DNS_FRAME_HEAD, msg, len);
	dns_msg_set_id(p + DNS_FRAME_HEAD, id);
	buf_commit(out, DNS_FRAME_HEAD + len);
	return 0;
}

#endif
