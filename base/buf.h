// SPDX-License-Identifier: MIT
/* buf.h - a FIFO of bytes with a stated maximum; memory grows as needed and is given back when empty */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/util.h"

struct buf {
	uint8_t *mem;
	size_t cap;  /* bytes of mem */
	size_t head; /* first unread byte */
	size_t len;  /* unread bytes */
	size_t max;  /* len never exceeds it */
	bool secret; /* memory is zeroed whenever it is given back */
};

void buf_init(struct buf *b, size_t max);
/** buf_init_secret() - buf_init() for secrets: also what growing and emptying give back is zeroed first */
void buf_init_secret(struct buf *b, size_t max);
void buf_fini(
	struct
	buf *b); /* frees, wiping first what buf_init_secret() made; buf_init() again before use */
/** buf_wipe() - buf_fini() for secrets: the memory is zeroed before it is freed */
void buf_wipe(struct buf *b);

static inline size_t buf_room(const struct buf *b)
{
	return b->max - b->len;
}

static inline const uint8_t *buf_data(const struct buf *b)
{
	/* b->len bytes, never NULL; valid until the next call that changes @b */
	return b->mem ? b->mem + b->head : (const uint8_t *)"";
}

/** buf_put() - appends all of @p or nothing. Return: 0; ST_EFULL beyond max; ST_ENOMEM */
int buf_put(struct buf *b, const void *p, size_t len) ST_MUST_USE;
/**
 * buf_reserve() - *@out is where @len bytes may be written, then buf_commit() up to as many
 * Return: 0; ST_EFULL; ST_ENOMEM. *@out is valid until the next call that changes @b.
 */
int buf_reserve(struct buf *b, size_t len, uint8_t **out) ST_MUST_USE;
void buf_commit(struct buf *b, size_t len);
/** buf_consume() - drops the first @len bytes (at most b->len, else a bug) */
void buf_consume(struct buf *b, size_t len);
/** buf_printf() - appends formatted text without its NUL. Return as buf_put(). */
int buf_printf(struct buf *b, const char *fmt, ...) ST_PRINTF(2, 3) ST_MUST_USE;

#endif
