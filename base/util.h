// SPDX-License-Identifier: MIT
/* util.h - the handful of macros and inline functions that every folder uses */
#ifndef BASE_UTIL_H
#define BASE_UTIL_H

#include <stddef.h>
#include <stdint.h>

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define BIT(n) (UINT32_C(1) << (n))
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))
#define KIB(n) ((size_t)(n)*1024U)
#define MIB(n) ((size_t)(n)*1024U * 1024U)

/* The struct of type @type whose member @member is at @ptr. */
#define container_of(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

#define ST_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define ST_MUST_USE __attribute__((warn_unused_result))

/* Our own bug: says where, and aborts. Never for what a peer or a user did. */
#define ST_BUG(...) st_bug(__FILE__, __LINE__, __VA_ARGS__)
#define ST_ASSERT(cond)                                                                            \
	do {                                                                                       \
		if (!(cond))                                                                       \
			ST_BUG("assertion failed: %s", #cond);                                     \
	} while (0)

_Noreturn void st_bug(const char *file, int line, const char *fmt, ...) ST_PRINTF(3, 4);

/* Big-endian integers at any alignment: the SSM and SSH wire formats. */
static inline uint16_t be16_get(const uint8_t *p)
{
	return (uint16_t)((uint32_t)p[0] << 8 | p[1]);
}

static inline uint32_t be32_get(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static inline uint64_t be64_get(const uint8_t *p)
{
	return (uint64_t)be32_get(p) << 32 | be32_get(p + 4);
}

static inline void be16_put(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static inline void be32_put(uint8_t *p, uint32_t v)
{
	be16_put(p, (uint16_t)(v >> 16));
	be16_put(p + 2, (uint16_t)v);
}

static inline void be64_put(uint8_t *p, uint64_t v)
{
	be32_put(p, (uint32_t)(v >> 32));
	be32_put(p + 4, (uint32_t)v);
}

#endif
