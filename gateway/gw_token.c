// SPDX-License-Identifier: MIT
/* gw_token.c - 256 random bits in base64url, and the moment until which they are good */
#include "gateway/gw_token.h"

#include <string.h>

void gw_token_make(struct gw_token *t, char text[GW_TOKEN_STR], uint64_t now_ms)
{
	uint8_t raw[GW_TOKEN_BYTES];

	codec_random(raw, sizeof(raw));
	codec_b64url_encode(text, raw, sizeof(raw));
	codec_wipe(raw, sizeof(raw));
	codec_sha256(t->hash, text, strlen(text));
	t->until_ms = now_ms + GW_TOKEN_MS;
}

bool gw_token_waits(const struct gw_token *t, uint64_t now_ms)
{
	return now_ms < t->until_ms;
}

bool gw_token_take(struct gw_token *t, const char *text, uint64_t now_ms)
{
	uint8_t hash[CODEC_SHA256_LEN];

	codec_sha256(hash, text ? text : "", text ? strlen(text) : 0);
	if (!text || !codec_equal(hash, t->hash, sizeof(hash)) || !gw_token_waits(t, now_ms))
		return false;
	t->until_ms = 0;
	return true;
}
