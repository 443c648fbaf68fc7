// SPDX-License-Identifier: MIT
/*
 * buf.c - a FIFO of bytes with a stated maximum
 *
 * Theory of operation: one block, unread bytes in its middle. Room at the end is made first by moving
 * the bytes to the front, if that frees at least half of the block (so that moving costs O(1) a
 * byte), then by a larger block. An emptied buffer gives its block back: thousands of idle flows hold
 * nothing.
 */
#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"

#define BLOCK_MIN 512U /* bytes, ours */

void buf_init(struct buf *b, size_t max)
{
	*b = (struct buf){ .max = max };
}

void buf_init_secret(struct buf *b, size_t max)
{
	*b = (struct buf){ .max = max, .secret = true };
}

static void release(struct buf *b)
{
	if (b->secret && b->mem)
		explicit_bzero(b->mem, b->cap);
	free(b->mem);
	b->mem = NULL;
	b->cap = b->head = b->len = 0;
}

void buf_fini(struct buf *b)
{
	release(b);
}

void buf_wipe(struct buf *b)
{
	b->secret = true;
	release(b);
}

static int grow(struct buf *b, size_t need)
{
	size_t cap = MAX(b->cap, BLOCK_MIN);
	uint8_t *mem;

	while (cap < need)
		cap = cap > SIZE_MAX / 2 ? need : cap * 2;
	/* No more than a full buffer and the NUL of buf_printf() can use. */
	if (b->max < SIZE_MAX)
		cap = MAX(MIN(cap, b->max + 1), need);
	mem = malloc(cap);
	if (!mem)
		return ST_ENOMEM;
	memcpy(mem, buf_data(b), b->len);
	if (b->secret && b->mem)
		explicit_bzero(b->mem, b->cap);
	free(b->mem);
	b->mem = mem;
	b->cap = cap;
	b->head = 0;
	return 0;
}

/* Makes @len bytes writable behind the unread ones; b->len + @len does not wrap */
static int make_room(struct buf *b, size_t len)
{
	if (b->mem && b->cap - b->head - b->len >= len)
		return 0;
	if (b->mem && b->len <= b->cap / 2 && b->cap - b->len >= len) {
		memmove(b->mem, b->mem + b->head, b->len);
		b->head = 0;
		return 0;
	}
	return grow(b, b->len + len);
}

int buf_reserve(struct buf *b, size_t len, uint8_t **out)
{
	int r;

	if (len > buf_room(b))
		return ST_EFULL;
	if ((r = make_room(b, len)) < 0)
		return r;
	*out = b->mem + b->head + b->len;
	return 0;
}

void buf_commit(struct buf *b, size_t len)
{
	ST_ASSERT(len <= buf_room(b) && len <= b->cap - b->head - b->len);
	b->len += len;
}

int buf_put(struct buf *b, const void *p, size_t len)
{
	uint8_t *to;
	int r;

	if (len == 0)
		return 0;
	if ((r = buf_reserve(b, len, &to)) < 0)
		return r;
	memcpy(to, p, len);
	b->len += len;
	return 0;
}

void buf_consume(struct buf *b, size_t len)
{
	ST_ASSERT(len <= b->len);
	b->len -= len;
	b->head += len;
	if (b->len == 0)
		release(b);
}

int buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list ap;
	int n, r;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0)
		return ST_EINVAL;
	if ((size_t)n > buf_room(b))
		return ST_EFULL;
	if ((r = make_room(b, (size_t)n + 1)) < 0)
		return r;
	va_start(ap, fmt);
	vsnprintf((char *)b->mem + b->head + b->len, (size_t)n + 1, fmt, ap);
	va_end(ap);
	b->len += (size_t)n;
	return 0;
}
