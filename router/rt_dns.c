// SPDX-License-Identifier: MIT
/*
 * rt_dns.c - what dns/ asks of the router: whose name is this, a way to its resolver, a route to its address
 *
 * Theory of operation: dns/ knows queries and answers, the router knows rules, upstreams and flows; this file holds the hooks between them.
 * A resolver behind an upstream is reached by a channel of that upstream, which dns sees as a dns_stream (struct dial). With
 * mode off the same server runs, but without anybody to ask: it refuses. Queries come in by rt_dns_udp.c and rt_dns_tcp.c.
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/dname.h"
#include "base/err.h"
#include "base/log.h"
#include "base/text.h"
#include "router/rt_internal.h"

#define DNS_PORT 53U
#define OWN_NAMES_MAX 256U
#define DIALS_MAX (2U * DNS_PIPES_MAX) /* closed ones may overlap with their successors */

struct own_name {
	struct list_node node;
	char name[DNAME_MAX];
};

/* A channel to a resolver. */
struct dial {
	struct rt_dns *d;
	handle h;
	struct tnl_upstream *upstream;
	tnl_chan chan;
	const struct dns_stream_events *events;
	void *arg;
};

struct dns *rt_dns_of(const struct rt *r)
{
	return r->dns ? r->dns->dns : NULL;
}

bool rt_dns_is_off(const struct rt *r)
{
	return !r->dns || r->dns->opts.mode == RT_DNS_OFF;
}

/* ---- whose name is this? */

/* Names that mean something near this machine only, whatever its default route is: RFC 6761, 6762 (and its appendix G), 8375, and what
 * home routers call their networks. */
static const char *const local_suffixes[] = {
	"local", "localhost", "localdomain", "home.arpa", "lan", "home", "fritz.box",
};

/* Addresses whose reverse names nobody far away can know: RFC 6303, 6598, 4193, 4291 */
static const char *const local_prefixes[] = {
	"10.0.0.0/8",	  "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10",
	"169.254.0.0/16", "127.0.0.0/8",   "fc00::/7",	     "fe80::/10",
};

static bool is_own(const struct rt *r, const char *name)
{
	list_for_each (n, &r->own_names)
		if (strcmp(container_of(n, struct own_name, node)->name, name) == 0)
			return true;
	return false;
}

static bool is_local_name(const char *name)
{
	if (!strchr(name, '.'))
		return true;
	for (size_t i = 0; i < ARRAY_LEN(local_suffixes); i++)
		if (dname_is_below(name, local_suffixes[i]))
			return true;
	return false;
}

/* One label of a reverse name from its end: a number below @limit. Return: its first byte; NULL if it is none */
static const char *label_back(const char *name, const char *end, int base, unsigned long limit,
			      uint8_t *out)
{
	const char *at = end;
	char *stop;

	while (at > name && at[-1] != '.')
		at--;
	unsigned long v = strtoul(at, &stop, base);
	if (!isxdigit((unsigned char)*at) || end - at > (base == 16 ? 1 : 3) || stop != end ||
	    v >= limit)
		return NULL;
	*out = (uint8_t)v;
	return at;
}

/* "3.2.1.10.in-addr.arpa" is 10.1.2.3/32, "10.in-addr.arpa" is 10.0.0.0/8; ip6.arpa alike by nibbles. */
static bool reverse_prefix(const char *name, struct net_prefix *out)
{
	static const char v4[] = ".in-addr.arpa", v6[] = ".ip6.arpa";
	const bool six = dname_is_below(name, v6 + 1);
	const size_t tail = six ? sizeof(v6) - 1 : sizeof(v4) - 1, len = strlen(name);
	const unsigned step = six ? 4 : 8;

	if ((!six && !dname_is_below(name, v4 + 1)) || len <= tail)
		return false;
	*out = (struct net_prefix){ .addr.family = six ? 6 : 4 };
	for (const char *end = name + len - tail;; end--) {
		uint8_t v;

		if (out->len >= net_addr_bits(&out->addr) ||
		    !(end = label_back(name, end, six ? 16 : 10, 1UL << step, &v)))
			return false;
		out->addr.b[out->len / 8] |= (uint8_t)(v << (8 - step - out->len % 8));
		out->len = (uint8_t)(out->len + step);
		if (end == name)
			return true;
	}
}

static void via_upstream(const struct rt *r, uint32_t slot, struct dns_verdict *out)
{
	*out = (struct dns_verdict){ .way = DNS_UPSTREAM,
				     .via = { .upstream = slot,
					      .resolver = r->upstreams[slot].resolver },
				     .ipv6 = r->upstreams[slot].ipv6 };
}

static void by_action(const struct rt *r, enum rt_action action, uint32_t slot,
		      struct dns_verdict *out)
{
	switch (action) {
	case RT_UPSTREAM: via_upstream(r, slot, out); return;
	case RT_REJECT:
	case RT_DROP: *out = (struct dns_verdict){ .way = DNS_NONE }; return;
	case RT_DIRECT: return;
	}
}

static bool is_local_prefix(const struct net_prefix *p)
{
	struct net_prefix local;

	for (size_t i = 0; i < ARRAY_LEN(local_prefixes); i++) {
		if (net_prefix_parse(&local, local_prefixes[i]) < 0)
			ST_BUG("prefix %s", local_prefixes[i]);
		if (net_prefix_covers(&local, p))
			return true;
	}
	return false;
}

/* A reverse name is asked of whoever carries its address. Return: false: by the default */
static bool judge_reverse(const struct rt *r, const char *name, struct dns_verdict *out)
{
	struct net_prefix p;
	const struct rt_rule *rule;

	if (!reverse_prefix(name, &p))
		return false;
	rule = rt_rules_find(r->table.rules, &p.addr);
	if (!rule || rule->prefix.len > p.len)
		return is_local_prefix(&p);
	by_action(r, rule->action, rule->upstream, out);
	return true;
}

void rt_dns_judge(void *arg, const char *name, struct dns_verdict *out)
{
	const struct rt *r = arg;
	const struct rt_name_rule *rule = NULL;

	*out = (struct dns_verdict){ .way = DNS_LOCAL, .ipv6 = true };
	if (rt_dns_is_off(r) || is_own(r, name))
		return;
	if (r->table.names)
		rule = rt_names_find(r->table.names, name);
	if (rule) {
		by_action(r, rule->action, rule->upstream, out);
		out->fake = out->way == DNS_UPSTREAM && r->dns->opts.mode == RT_DNS_FAKE;
		return;
	}
	if (judge_reverse(r, name, out))
		return;
	if (!is_local_name(name) && r->table.names_default &&
	    r->table.default_action == RT_UPSTREAM)
		via_upstream(r, r->table.default_upstream, out);
	out->unruled = true;
}

/* ---- a way to a resolver */

static struct dial *dial_of(void *owner, handle h)
{
	struct rt_dns *d = owner;

	return hnd_get(&d->dials, h);
}

static ssize_t stream_read(void *owner, handle h, uint8_t *buf, size_t cap)
{
	const struct dial *l = dial_of(owner, h);

	return l ? tnl_chan_read(l->upstream, l->chan, buf, cap) : ST_ECLOSED;
}

static size_t stream_room(void *owner, handle h)
{
	const struct dial *l = dial_of(owner, h);

	return l ? tnl_chan_room(l->upstream, l->chan) : 0;
}

static int stream_write(void *owner, handle h, const uint8_t *p, size_t len)
{
	const struct dial *l = dial_of(owner, h);

	return l ? tnl_chan_write(l->upstream, l->chan, p, len) : ST_ECLOSED;
}

static void stream_close(void *owner, handle h)
{
	struct rt_dns *d = owner;
	struct dial *l = hnd_del(&d->dials, h);

	if (!l)
		return;
	tnl_chan_close(l->upstream, l->chan);
	free(l);
}

static void chan_opened(void *arg, tnl_chan c)
{
	const struct dial *l = arg;

	(void)c;
	l->events->opened(l->arg);
}

static void chan_io(void *arg, tnl_chan c)
{
	const struct dial *l = arg;

	(void)c;
	l->events->io(l->arg);
}

/* The last event takes the dial with it before dns hears of it: what dns does then finds nothing, which is fine. */
static struct dial last_of(struct dial *l)
{
	struct dial copy = *l;

	hnd_del(&l->d->dials, l->h);
	free(l);
	return copy;
}

static void chan_failed(void *arg, tnl_chan c, enum tnl_open_failure why, const char *text)
{
	static const char *const texts[] = {
		[TNL_OPEN_REFUSED] = "the resolver refused the connection",
		[TNL_OPEN_HOST_UNREACHABLE] = "the resolver is unreachable",
		[TNL_OPEN_NET_UNREACHABLE] = "the resolver's network is unreachable",
		[TNL_OPEN_PROHIBITED] = "sshd does not permit the connection to the resolver",
		[TNL_OPEN_TIMEOUT] = "the resolver does not answer",
		[TNL_OPEN_NO_SESSION] = "no session",
		[TNL_OPEN_LIMIT] = "too many opens",
		[TNL_OPEN_FAILED] = "the connection to the resolver failed",
	};
	const struct dial l = last_of(arg);

	(void)c;
	log_debug("dns: %s: %s", texts[why], text ? text_safe(text).s : "");
	l.events->failed(l.arg, texts[why]);
}

static void chan_gone(void *arg, tnl_chan c)
{
	const struct dial l = last_of(arg);

	(void)c;
	l.events->gone(l.arg);
}

/* Nothing gets there before a person has acted: names that are known already are then answered at once. */
static bool is_stuck(struct tnl_upstream *u)
{
	struct tnl_status status;

	tnl_upstream_status(u, &status);
	return status.state == TNL_WAITING || status.state == TNL_FAILED;
}

static int open_dial(struct rt_dns *d, struct dial *l, const struct dns_via *via)
{
	static const struct tnl_chan_events events = {
		.opened = chan_opened,
		.failed = chan_failed,
		.readable = chan_io,
		.writable = chan_io,
		.gone = chan_gone,
	};
	const struct net_endpoint src = { .addr = d->opts.stack4.family ? d->opts.stack4
									: d->opts.stack6,
					  .port = DNS_PORT };
	int r = hnd_add(&d->dials, l, &l->h);

	if (r < 0)
		return ST_ENOMEM;
	r = tnl_open(l->upstream, &l->chan, &via->resolver, &src, &events, l);
	if (r < 0)
		hnd_del(&d->dials, l->h);
	return r;
}

static int hook_dial(void *arg, const struct dns_via *via, struct dns_stream *out,
		     const struct dns_stream_events *events, void *events_arg)
{
	static const struct dns_stream_ops ops = {
		.read = stream_read,
		.room = stream_room,
		.write = stream_write,
		.close = stream_close,
	};
	struct rt *r = arg;
	struct tnl_upstream *u = rt_upstream_of(r, via->upstream);
	struct dial *l;
	int e;

	if (!u || is_stuck(u))
		return ST_ENOENT;
	if (!(l = calloc(1, sizeof(*l))))
		return ST_ENOMEM;
	*l = (struct dial){ .d = r->dns, .upstream = u, .events = events, .arg = events_arg };
	if ((e = open_dial(r->dns, l, via)) < 0) {
		free(l);
		return e;
	}
	*out = (struct dns_stream){ .ops = &ops, .owner = r->dns, .h = l->h };
	return 0;
}

/* ---- the other hooks */

static bool hook_routed(void *arg, const struct net_addr *addr)
{
	const struct rt *r = arg;
	const struct rt_rule *rule = rt_rules_find(r->table.rules, addr);

	return (rule && rule->action != RT_DIRECT) || dns_is_fake(rt_dns_of(r), addr);
}

static bool hook_in_use(void *arg, const struct net_addr *fake)
{
	return rt_flow_to(arg, fake);
}

static const struct dns_hooks hooks = {
	.judge = rt_dns_judge,
	.dial = hook_dial,
	.learned = rt_learned_add,
	.routed = hook_routed,
	.in_use = hook_in_use,
};

/* ---- what is done with a query */

static bool is_stack(const struct rt_dns *d, const struct net_addr *a)
{
	return net_addr_eq(a, &d->opts.stack4) || net_addr_eq(a, &d->opts.stack6);
}

/* A resolver that this machine had before, and no rule names: one of a network here, although a prefix of ours may hold its address. */
static bool is_former(const struct rt_dns *d, const struct net_addr *a)
{
	const struct rt_rule *rule = rt_rules_find(d->rt->table.rules, a);

	if (rule && rule->prefix.len == net_addr_bits(a))
		return false;
	for (size_t i = 0; i < d->rt->n_forwarders; i++)
		if (net_addr_eq(a, &d->rt->forwarders[i].addr))
			return true;
	return false;
}

enum rt_query rt_dns_query_to(struct rt *r, const struct net_endpoint *dst, struct dns_via *via)
{
	const struct rt_dns *d = r->dns;
	struct rt_dest dest;

	if (d && dst->port == DNS_PORT && is_stack(d, &dst->addr))
		return RT_QUERY_SERVE;
	rt_dest_of_addr(r, &dst->addr, &dest);
	if (dest.action == RT_DROP && (dst->port != DNS_PORT || dest.rule || dest.never))
		return RT_QUERY_DROP;
	if (!d || dst->port != DNS_PORT || dest.unknown_fake)
		return RT_QUERY_REFUSE;
	const bool explicit = dest.rule || dest.name_rule || dest.fake;
	if (!rt_dns_is_off(r) && (!explicit || is_former(d, &dst->addr)))
		return RT_QUERY_SERVE;
	*via = (struct dns_via){ .upstream = dest.upstream, .resolver = *dst };
	switch (dest.action) {
	case RT_UPSTREAM: return RT_QUERY_RELAY;
	case RT_DIRECT: return rt_dns_is_off(r) || dest.fake ? RT_QUERY_REFUSE : RT_QUERY_SERVE;
	case RT_DROP: return RT_QUERY_DROP;
	case RT_REJECT: break;
	}
	return RT_QUERY_REFUSE;
}

bool rt_dns_serves(struct rt *r, const struct net_endpoint *dst)
{
	struct dns_via via;

	return dst->port == DNS_PORT && rt_dns_query_to(r, dst, &via) == RT_QUERY_SERVE;
}

bool rt_dns_may(const struct rt *r, const struct ns_flow_key *key, bool tcp)
{
	const struct rt_dns_opts *o = &r->dns->opts;

	return !o->may || o->may(o->arg, &key->src, &key->dst, tcp);
}

/* ---- start, end, changes */

static void tell_forwarders(const struct rt_dns *d);

int rt_dns_start(struct rt *r, const struct rt_dns_opts *opts)
{
	struct rt_dns *d = calloc(1, sizeof(*d));
	const struct dns_opts dns = {
		.loop = r->loop,
		.hooks = &hooks,
		.arg = r,
		.fake4 = opts->fake4,
		.fake6 = opts->fake6,
		.map_path = opts->map_path,
		.mark = r->mark,
		.rebind_block = r->table.rebind_block,
	};
	int e = ST_ENOMEM;

	if (!d)
		return ST_ENOMEM;
	ST_ASSERT(!r->dns);
	d->rt = r;
	d->opts = *opts;
	hnd_init(&d->dials, DIALS_MAX);
	r->dns = d;
	if (rt_udp_asks_new(&d->udp, r) < 0 || rt_dns_tcp_new(&d->tcp, r) < 0 ||
	    (e = dns_new(&d->dns, &dns)) < 0) {
		rt_dns_free(r);
		return e;
	}
	tell_forwarders(d);
	return 0;
}

void rt_own_names_free(struct rt *r)
{
	struct list_node *n;

	while ((n = list_pop_front(&r->own_names)))
		free(container_of(n, struct own_name, node));
	r->n_own_names = 0;
}

void rt_dns_free(struct rt *r)
{
	struct rt_dns *d = r->dns;
	uint32_t pos = 0;
	struct dial *l;

	if (!d)
		return;
	rt_dns_tcp_free(d->tcp);
	dns_free(d->dns);
	d->dns = NULL;
	rt_udp_asks_free(d->udp);
	while ((l = hnd_next(&d->dials, &pos)))
		stream_close(d, l->h);
	hnd_fini(&d->dials);
	r->dns = NULL;
	free(d);
}

/* Refusing is having nobody to ask; and we are not among those that were there before. */
static void tell_forwarders(const struct rt_dns *d)
{
	struct net_endpoint v[DNS_FORWARDERS_MAX];
	const struct rt *r = d->rt;
	size_t n = 0;

	for (size_t i = 0; i < r->n_forwarders && d->opts.mode != RT_DNS_OFF; i++)
		if (!is_stack(d, &r->forwarders[i].addr))
			v[n++] = r->forwarders[i];
	dns_set_forwarders(d->dns, v, n);
}

void rt_dns_mode(struct rt *r, enum rt_dns_mode mode)
{
	if (!r->dns || r->dns->opts.mode == mode)
		return;
	r->dns->opts.mode = mode;
	tell_forwarders(r->dns);
	rt_dns_table_changed(r);
}

void rt_dns_forwarders(struct rt *r, const struct net_endpoint *v, size_t n)
{
	r->n_forwarders = MIN(n, DNS_FORWARDERS_MAX);
	for (size_t i = 0; i < r->n_forwarders; i++)
		r->forwarders[i] = v[i];
	if (r->dns)
		tell_forwarders(r->dns);
}

void rt_dns_network_changed(struct rt *r)
{
	if (r->dns)
		dns_network_changed(r->dns->dns);
}

void rt_dns_table_changed(struct rt *r)
{
	if (r->dns)
		dns_rules_changed(r->dns->dns, r->table.rebind_block);
}

void rt_dns_upstream_gone(struct rt *r, uint32_t slot)
{
	if (r->dns)
		dns_upstream_gone(r->dns->dns, slot);
}

static struct own_name *own_take(struct rt *r, const char *name)
{
	list_for_each (n, &r->own_names) {
		struct own_name *o = container_of(n, struct own_name, node);

		if (strcmp(o->name, name) == 0) {
			list_del(&o->node);
			return o;
		}
	}
	if (r->n_own_names < OWN_NAMES_MAX) {
		struct own_name *o = calloc(1, sizeof(*o));

		r->n_own_names += o != NULL;
		return o;
	}
	struct list_node *last = r->own_names.head.prev;
	list_del(last);
	return container_of(last, struct own_name, node);
}

void rt_dns_own_name(struct rt *r, const char *host)
{
	struct dns_verdict before;
	char name[DNAME_MAX];
	struct own_name *o;

	if (!dname_looks_like(host) || dname_normal(name, host, NULL) < 0)
		return;
	rt_dns_judge(r, name, &before);
	if (!(o = own_take(r, name))) {
		log_limited(loop_now_ms(r->loop), LOG_WARN, "dns: a host of ours: %s",
			    st_strerror(ST_ENOMEM));
		return;
	}
	text_copy(o->name, sizeof(o->name), name);
	list_node_init(&o->node);
	list_push_front(&r->own_names, &o->node);
	if (before.way != DNS_LOCAL)
		rt_dns_table_changed(r); /* answers of before would stay */
}

void rt_dns_stats(const struct rt *r, struct dns_stats *out)
{
	*out = (struct dns_stats){ 0 };
	if (r->dns)
		dns_stats(r->dns->dns, out);
}
