// SPDX-License-Identifier: MIT
/*
 * ws_frame.c - building WebSocket frames, and cutting the queue into batches
 *
 * Theory of operation: lws would send one TLS record and three system calls for every message. So
 * we build the frames and give lws whole ones, as many as fit one TLS record, as raw bytes
 * (LWS_WRITE_HTTP, which a ws connection sends unchanged). lws puts its own Pong and Close frames
 * between two such writes: a write must never end inside a frame. Receiving stays lws's.
 */
#include "ws/ws_internal.h"

#include <string.h>

#include <openssl/rand.h>

#include "base/codec.h"

#define HEADER_MAX 14U /* 2, 8 of length, 4 of mask; RFC 6455 5.2 */
#define FIN 0x80U
#define MASKED 0x80U

/* 4 random bytes; one call of the generator serves 1024 frames */
static void mask_next(struct ws_ctx *ctx, uint8_t mask[4])
{
	if (ctx->masks_used + 4 > sizeof(ctx->masks)) {
		codec_random(ctx->masks, sizeof(ctx->masks));
		ctx->masks_used = 0;
	}
	memcpy(mask, ctx->masks + ctx->masks_used, 4);
	ctx->masks_used += 4;
}

static void mask_copy(uint8_t *out, const uint8_t *p, size_t len, const uint8_t mask[4])
{
	uint64_t wide, word;
	size_t i = 0;

	memcpy(&wide, mask, 4);
	memcpy((uint8_t *)&wide + 4, mask, 4);
	for (; len - i >= 8; i += 8) {
		memcpy(&word, p + i, 8);
		word ^= wide;
		memcpy(out + i, &word, 8);
	}
	for (; i < len; i++)
		out[i] = p[i] ^ mask[i & 3];
}

static size_t header_put(uint8_t *out, bool masked, enum ws_opcode op, size_t len)
{
	const uint8_t bit = masked ? MASKED : 0;

	out[0] = (uint8_t)(FIN | op);
	if (len < 126) {
		out[1] = (uint8_t)(bit | len);
		return 2;
	}
	if (len <= UINT16_MAX) {
		out[1] = (uint8_t)(bit | 126);
		be16_put(out + 2, (uint16_t)len);
		return 4;
	}
	out[1] = (uint8_t)(bit | 127);
	be64_put(out + 2, len);
	return 10;
}

int frame_put(struct ws_ctx *ctx, struct buf *out, bool masked, enum ws_opcode op, const uint8_t *p,
	      size_t len)
{
	uint8_t *to, mask[4];
	size_t n;
	int r;

	if (len > SIZE_MAX - HEADER_MAX ||
	    (r = buf_reserve(out, len + HEADER_MAX, &to)) == ST_EFULL)
		return ST_EAGAIN;
	if (r < 0)
		return r;
	n = header_put(to, masked, op, len);
	if (masked) {
		mask_next(ctx, mask);
		memcpy(to + n, mask, 4);
		n += 4;
		mask_copy(to + n, p, len, mask);
	} else if (len) {
		memcpy(to + n, p, len);
	}
	buf_commit(out, n + len);
	return 0;
}

/* Length of the frame at @p, of which we wrote every byte. */
static size_t frame_len(const uint8_t *p)
{
	const size_t mask = p[1] & MASKED ? 4 : 0;
	const size_t len = p[1] & 0x7fU;

	if (len < 126)
		return 2 + mask + len;
	if (len == 126)
		return 4 + mask + be16_get(p + 2);
	return 10 + mask + (size_t)be64_get(p + 2);
}

size_t frame_batch(const struct buf *tx)
{
	const uint8_t *p = buf_data(tx);
	size_t n = 0;

	while (n < tx->len) {
		const size_t next = frame_len(p + n);

		if (n && n + next > WS_BATCH_MAX)
			break;
		n += next;
		if (n >= WS_BATCH_MAX)
			break;
	}
	return n;
}
