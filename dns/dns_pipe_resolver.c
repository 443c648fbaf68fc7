// SPDX-License-Identifier: MIT
/*
 * dns_pipe_resolver.c - resolvers behind upstreams: found by upstream and endpoint, and the pause after a failure
 *
 * Theory of operation: one lives as long as it has channels or asks, and is kept for its pause. Since each has a channel or can go,
 * there are never more than DNS_PIPES_MAX.
 */
#include "dns/dns_pipe_internal.h"

#include <stdlib.h>

#include "base/err.h"
#include "base/log.h"
#include "base/text.h"

static struct pipe_resolver *resolver_find(struct dns_pipes *p, const struct dns_via *via)
{
	list_for_each (it, &p->resolvers) {
		struct pipe_resolver *r = container_of(it, struct pipe_resolver, node);

		if (r->via.upstream == via->upstream &&
		    r->via.resolver.port == via->resolver.port &&
		    net_addr_eq(&r->via.resolver.addr, &via->resolver.addr))
			return r;
	}
	return NULL;
}

void pipe_resolver_free(struct dns_pipes *p, struct pipe_resolver *r)
{
	list_del(&r->node);
	p->n_resolvers--;
	free(r);
}

bool pipe_resolver_unused(const struct pipe_resolver *r)
{
	return r->n_chans == 0 && list_empty(&r->asks);
}

/* Room for one more: those without channels are kept for their pause only, the one that failed first goes. */
static bool resolver_room(struct dns_pipes *p)
{
	struct pipe_resolver *oldest = NULL;

	if (p->n_resolvers < DNS_PIPES_MAX)
		return true;
	list_for_each (it, &p->resolvers) {
		struct pipe_resolver *r = container_of(it, struct pipe_resolver, node);

		if (pipe_resolver_unused(r) && (!oldest || r->retry_at_ms < oldest->retry_at_ms))
			oldest = r;
	}
	if (oldest)
		pipe_resolver_free(p, oldest);
	return oldest;
}

bool pipe_resolver_pauses(const struct dns_pipes *p, const struct pipe_resolver *r)
{
	return r->backoff_ms && loop_now_ms(p->loop) < r->retry_at_ms;
}

static uint32_t relays(const struct dns_pipes *p)
{
	uint32_t n = 0;

	list_for_each (it, &p->resolvers) {
		const struct pipe_resolver *r = container_of(it, struct pipe_resolver, node);

		n += r->via.relay ? r->n_chans : 0;
	}
	return n;
}

/* The channel that is idle for longest, of all or those of relays; NULL: all have questions */
static struct pipe_chan *idlest(struct dns_pipes *p, bool relay)
{
	struct pipe_chan *oldest = NULL;

	list_for_each (rit, &p->resolvers) {
		struct pipe_resolver *r = container_of(rit, struct pipe_resolver, node);

		if (relay && !r->via.relay)
			continue;
		list_for_each (it, &r->chans) {
			struct pipe_chan *ch = container_of(it, struct pipe_chan, node);

			if (ch->n_flights == 0 && (!oldest || ch->used_ms < oldest->used_ms))
				oldest = ch;
		}
	}
	return oldest;
}

bool pipe_chan_room(struct dns_pipes *p, bool relay)
{
	const bool relays_full = relay && relays(p) >= PIPE_RELAYS_MAX;
	struct pipe_chan *idle;

	if (!relays_full && p->n_chans < DNS_PIPES_MAX)
		return true;
	if ((idle = idlest(p, relays_full)))
		pipe_chan_kill(idle);
	return idle;
}

int pipe_resolver_get(struct dns_pipes *p, const struct dns_via *via, struct pipe_resolver **out)
{
	struct pipe_resolver *r = resolver_find(p, via);

	*out = r;
	if (r) {
		r->via.relay = r->via.relay && via->relay;
		if (r->n_chans > 0 || pipe_resolver_pauses(p, r))
			return 0;
		return pipe_chan_room(p, r->via.relay) ? 0 : ST_EFULL;
	}
	if (!pipe_chan_room(p, via->relay) || !resolver_room(p))
		return ST_EFULL;
	r = calloc(1, sizeof(*r));
	if (!r)
		return ST_ENOMEM;
	r->via = *via;
	list_init(&r->chans);
	list_init(&r->asks);
	list_push_back(&p->resolvers, &r->node);
	p->n_resolvers++;
	*out = r;
	return 0;
}

void pipe_resolver_failed(struct dns_pipes *p, struct pipe_resolver *r, const char *text)
{
	char where[NET_ENDPOINT_STR];
	uint64_t now_ms = loop_now_ms(p->loop);

	r->backoff_ms = r->backoff_ms ? MIN(r->backoff_ms * 2, PIPE_BACKOFF_MAX_MS)
				      : PIPE_BACKOFF_MS;
	r->retry_at_ms = now_ms + r->backoff_ms;
	text_copy(r->text, sizeof(r->text), text);
	log_limited(now_ms, LOG_DEBUG, "dns: resolver %s: %s; not dialled for %u ms",
		    net_endpoint_str(where, &r->via.resolver), r->text, r->backoff_ms);
}
