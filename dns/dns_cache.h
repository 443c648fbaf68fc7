// SPDX-License-Identifier: MIT
/* dns_cache.h - answers by question and way, for as long as they are good, in bounded memory */
#ifndef DNS_DNS_CACHE_H
#define DNS_DNS_CACHE_H

#include "dns/dns_msg.h"

struct dns_cache;

/** dns_cache_new() - @bytes: of entries, answers and keys; beyond, the least recently used go. Return: 0; ST_ENOMEM */
int dns_cache_new(struct dns_cache **out, size_t bytes);
void dns_cache_free(struct dns_cache *c); /* NULL is fine */

/** dns_cache_find() - Return: a reference of the caller's, or NULL: not there, or not good any more */
struct dns_answer *dns_cache_find(struct dns_cache *c, const struct dns_key *k, uint64_t now_ms);
/** dns_cache_put() - keeps a reference of its own in place of what was there; an answer that is not to be kept (dns_answer.until_ms) or is larger
 * than a quarter of the cache is let by, and so is one for which there is no memory */
void dns_cache_put(struct dns_cache *c, const struct dns_key *k, struct dns_answer *a);
void dns_cache_clear(struct dns_cache *c);
/** dns_cache_drop() - what came from @upstream is forgotten */
void dns_cache_drop(struct dns_cache *c, uint32_t upstream);
/** dns_cache_drop_local() - what came from the resolvers that were there before is */
void dns_cache_drop_local(struct dns_cache *c);
void dns_cache_stats(const struct dns_cache *c, size_t *entries, size_t *bytes);

#endif
