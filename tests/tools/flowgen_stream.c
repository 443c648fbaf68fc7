// SPDX-License-Identifier: MIT
/* flowgen_stream.c - streams that are cheap to make and impossible to confuse, and their sums */
#include "tests/tools/flowgen.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STAMP_EVERY 4096U

static uint64_t splitmix(uint64_t *x)
{
	uint64_t z = *x += 0x9e3779b97f4a7c15U;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
	return z ^ (z >> 31);
}

int fg_stream_init(struct fg_stream *s, uint64_t seed, uint64_t total)
{
	uint64_t x = seed;

	*s = (struct fg_stream){ .seed = seed, .total = total, .block = malloc(FG_CHUNK) };
	if (!s->block)
		return -1;
	for (size_t i = 0; i < FG_CHUNK; i += sizeof(x)) {
		uint64_t v = splitmix(&x);

		memcpy(s->block + i, &v, sizeof(v));
	}
	return 0;
}

void fg_stream_fini(struct fg_stream *s)
{
	free(s->block);
	s->block = NULL;
}

const uint8_t *fg_stream_peek(struct fg_stream *s, size_t *len)
{
	size_t at = (size_t)(s->offset % FG_CHUNK);
	uint64_t left = s->total - s->offset;

	*len = FG_CHUNK - at;
	if (*len > left)
		*len = (size_t)left;
	if (*len > 0) {
		uint64_t base = s->offset - at;

		/* Stamped anew at each pass; the same bytes whenever the pass is the same. */
		for (size_t i = 0; i < FG_CHUNK; i += STAMP_EVERY) {
			uint64_t stamp = (base + i) ^ s->seed;

			memcpy(s->block + i, &stamp, sizeof(stamp));
		}
	}
	return s->block + at;
}

void fg_stream_advance(struct fg_stream *s, size_t n)
{
	s->offset += n;
}

int fg_digest_init(struct fg_digest *d, bool wanted)
{
	*d = (struct fg_digest){ 0 };
	if (!wanted)
		return 0;
	d->ctx = EVP_MD_CTX_new();
	return d->ctx && EVP_DigestInit_ex(d->ctx, EVP_sha256(), NULL) == 1 ? 0 : -1;
}

void fg_digest_add(struct fg_digest *d, const void *p, size_t n)
{
	d->bytes += n;
	if (d->ctx)
		EVP_DigestUpdate(d->ctx, p, n);
}

void fg_digest_hex(struct fg_digest *d, char out[FG_DIGEST_HEX])
{
	uint8_t sum[EVP_MAX_MD_SIZE];
	unsigned n = 0;

	memcpy(out, "-", 2);
	if (!d->ctx)
		return;
	EVP_DigestFinal_ex(d->ctx, sum, &n);
	EVP_MD_CTX_free(d->ctx);
	d->ctx = NULL;
	for (unsigned i = 0; i < n && i < (FG_DIGEST_HEX - 1) / 2; i++)
		snprintf(out + (size_t)2 * i, 3, "%02x", sum[i]);
}
