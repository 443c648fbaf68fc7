// SPDX-License-Identifier: MIT
/* gw_token.h - a token that serves once and only for a while; its SHA-256 alone is kept */
#ifndef GATEWAY_GW_TOKEN_H
#define GATEWAY_GW_TOKEN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/codec.h"
#include "gateway/gw_store.h"

#define GW_TOKEN_MS 60000U /* a token that nobody used; gateway.md, Sessions */

struct gw_token {
	uint8_t hash[CODEC_SHA256_LEN];
	uint64_t until_ms; /* 0: none waits for its use */
};

/** gw_token_make() - a fresh token in place of the earlier one; wipe @text after use */
void gw_token_make(struct gw_token *t, char text[GW_TOKEN_STR], uint64_t now_ms);
/** gw_token_waits() - does a token wait for its use? */
bool gw_token_waits(const struct gw_token *t, uint64_t now_ms);
/** gw_token_take() - is @text the token that waits? If so it is spent. @text may be NULL. Compared in constant time. */
bool gw_token_take(struct gw_token *t, const char *text, uint64_t now_ms);

#endif
