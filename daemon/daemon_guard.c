// SPDX-License-Identifier: MIT
/*
 * daemon_guard.c - what collides with this machine's own networks, told once with the choice that was made
 *
 * Theory of operation: each making of the routes finds all collisions anew. One that is not in the list of the last time is told; the
 * list becomes what was found now, so one that went away and comes back, or is decided otherwise, is told again. Collisions are
 * those of a rule with a route of the main table (a LAN, a bridge, another VPN), of our own addresses with one, and of system mode's
 * default route with something that takes half of the world, as VPNs do. Hosts that this process itself connects to are compared
 * with the rules by address: our sockets pass the routes by, other programs' do not.
 */
#include "daemon/daemon_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "base/text.h"

#define TOLD_AT_ONCE 16U /* ours: lines */
#define WIDE_BITS 8U /* a route of the main table shorter than this is meant as a default route */
#define LOOK_TIMEOUT_MS 10000U

static bool same_prefix(const struct net_prefix *a, const struct net_prefix *b)
{
	return a->len == b->len && net_addr_eq(&a->addr, &b->addr);
}

static bool same_collision(const struct collision *a, const struct collision *b)
{
	return same_prefix(&a->ours, &b->ours) && same_prefix(&a->theirs, &b->theirs) &&
	       a->theirs_wins == b->theirs_wins && strcmp(a->ifname, b->ifname) == 0;
}

static bool is_told(const struct daemon *d, const struct collision *c)
{
	for (size_t i = 0; i < d->n_collisions; i++)
		if (same_collision(&d->collisions[i], c))
			return true;
	return false;
}

static const char *choice_of(const struct collision *c)
{
	if (!c->rule && c->ours.len == 0)
		return "it wins over system mode: that traffic does not come to us";
	if (!c->rule)
		return "programs can't reach that part of it while we are up";
	return c->theirs_wins ? "the local network keeps it" : "the rule has override";
}

void daemon_guard_text(char *out, size_t cap, const struct config *config,
		       const struct collision *c)
{
	char ours[NET_PREFIX_STR], theirs[NET_PREFIX_STR], where[TEXT_SAFE_MAX + 32] = "";

	if (c->line)
		snprintf(where, sizeof(where),
			 "%s:%u: ", config->file ? text_safe(config->file).s : "flags", c->line);
	else if (c->rule)
		snprintf(where, sizeof(where), "flags: ");
	snprintf(out, cap, "%s%s collides with %s on %s: %s", where, net_prefix_str(ours, &c->ours),
		 net_prefix_str(theirs, &c->theirs),
		 c->ifname[0] ? text_safe(c->ifname).s : "no device", choice_of(c));
}

struct found {
	struct collision *v;
	size_t n;
};

/* @rule: whose prefix @ours is; NULL: nobody's */
static void put(struct found *f, const struct net_prefix *ours, const struct rt_rule *rule,
		const struct tun_main_route *theirs, bool theirs_wins)
{
	struct collision *c;

	if (f->n == COLLISIONS_MAX)
		return;
	c = &f->v[f->n++];
	*c = (struct collision){ .ours = *ours,
				 .theirs = theirs->prefix,
				 .rule = rule != NULL,
				 .line = rule ? rule->line : 0,
				 .theirs_wins = theirs_wins };
	text_copy(c->ifname, sizeof(c->ifname), theirs->ifname);
}

/* Our own addresses and those of fake ones: chosen at the start, but a VPN may come later. */
static void find_range(struct found *f, const struct net_prefix *range,
		       const struct tun_main_route *r)
{
	if (range->addr.family &&
	    (net_prefix_covers(range, &r->prefix) ||
	     (r->prefix.len >= WIDE_BITS && net_prefix_covers(&r->prefix, range))))
		put(f, range, NULL, r, false);
}

static bool is_multicast(const struct net_prefix *p)
{
	return p->addr.family == 4 && p->len >= 4 && p->addr.b[0] >= 224;
}

static void find_wide(struct found *f, const struct config *c, const struct tun_main_route *r)
{
	const struct net_prefix all = { .addr = { .family = r->prefix.addr.family } };

	if (c->system && r->prefix.len < WIDE_BITS && !is_multicast(&r->prefix))
		put(f, &all, NULL, r, true);
}

size_t daemon_guard_find(struct collision out[COLLISIONS_MAX], const struct guard_input *in)
{
	struct found f = { .v = out };

	for (size_t i = 0; i < in->n_rules; i++)
		put(&f, &in->rules[i].rule->prefix, in->rules[i].rule,
		    &in->main_routes[in->rules[i].local], in->rules[i].local_wins);
	for (size_t i = 0; i < in->n_main; i++) {
		find_range(&f, &in->range, &in->main_routes[i]);
		find_wide(&f, in->config, &in->main_routes[i]);
	}
	return f.n;
}

void daemon_guard_tell(struct daemon *d, const struct guard_input *in)
{
	struct collision *now = calloc(COLLISIONS_MAX, sizeof(*now));
	char text[512];
	size_t lines = 0, n;

	if (!now)
		return; /* at the next change */
	n = daemon_guard_find(now, in);
	for (size_t i = 0; i < n; i++) {
		if (is_told(d, &now[i]) || lines++ >= TOLD_AT_ONCE)
			continue;
		daemon_guard_text(text, sizeof(text), in->config, &now[i]);
		log_warn("%s", text);
	}
	if (lines > TOLD_AT_ONCE)
		log_warn("and %zu collisions more: see `ssm-tun status --json`",
			 lines - TOLD_AT_ONCE);
	free(d->collisions);
	d->collisions = now;
	d->n_collisions = n;
}

/* ---- hosts of our own */

/* A rule that leads @a into the device; NULL: none does. */
static const struct rt_rule *rule_over(const struct daemon *d, const struct net_addr *a)
{
	const struct rt_rule *rule = d->rt ? rt_rules_find(rt_table(d->rt)->rules, a) : NULL;

	return rule && rule->action != RT_DIRECT ? rule : NULL;
}

static void look(struct endpoint *e)
{
	const struct rt_rule *rule = NULL;
	char addr[NET_ADDR_STR], prefix[NET_PREFIX_STR];
	size_t i;

	for (i = 0; i < e->n_addrs && !rule; i++)
		rule = rule_over(e->daemon, &e->addrs[i]);
	if (!rule) {
		e->inside = (struct net_prefix){ 0 };
		return;
	}
	if (same_prefix(&e->inside, &rule->prefix))
		return;
	e->inside = rule->prefix;
	log_warn("%s (%s) lies inside %s: this program's own connections to it go beside the "
		 "tunnel, those of other programs into it",
		 text_safe(e->host).s, net_addr_str(addr, &e->addrs[i - 1]),
		 net_prefix_str(prefix, &rule->prefix));
}

static void on_addresses(void *arg, int err, const struct net_addr *addrs, size_t n,
			 const char *text)
{
	struct endpoint *e = arg;

	(void)text;
	e->job = 0;
	if (err < 0)
		return; /* whoever connects to it tells why not */
	e->n_addrs = MIN(n, ARRAY_LEN(e->addrs));
	memcpy(e->addrs, addrs, e->n_addrs * sizeof(*addrs));
	look(e);
}

void daemon_guard_endpoint(struct daemon *d, const char *host)
{
	struct endpoint *e;

	for (size_t i = 0; i < d->n_endpoints; i++)
		if (strcmp(d->endpoints[i].host, host) == 0)
			return;
	if (d->n_endpoints == ENDPOINTS_MAX || !d->runner)
		return;
	e = &d->endpoints[d->n_endpoints];
	*e = (struct endpoint){ .daemon = d };
	if (text_copy(e->host, sizeof(e->host), host) &&
	    run_resolve(d->runner, &e->job, host, LOOK_TIMEOUT_MS, on_addresses, e) == 0)
		d->n_endpoints++;
}

void daemon_guard_endpoints_look(struct daemon *d)
{
	for (size_t i = 0; i < d->n_endpoints; i++)
		look(&d->endpoints[i]);
}

void daemon_guard_free(struct daemon *d)
{
	for (size_t i = 0; i < d->n_endpoints; i++)
		if (d->endpoints[i].job)
			run_cancel(d->runner, d->endpoints[i].job);
	d->n_endpoints = 0;
	free(d->collisions);
	d->collisions = NULL;
	d->n_collisions = 0;
}
