// SPDX-License-Identifier: MIT
/*
 * daemon_policy.c - configuration to policy rules and routing tables
 *
 * Table 5373 is what the rules need (rt_kernel_routes()), the stack's own addresses, the ranges of fake addresses, learned hosts,
 * and throw routes for resolvers that were there before us: a query to them must not go to a VPC that happens to use their
 * addresses. Table 5374 is everything else, but for what never enters the device (decision 13).
 */
#include "daemon/daemon_policy.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "base/text.h"
#include "base/util.h"

/* What is never routed, whatever the default is. */
static const char *const never[] = {
	"0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4",	   "255.255.255.255/32",
	"::1/128",   "fe80::/10",   "ff00::/8",	      "fd00:ec2::254/128",
};

static struct net_prefix prefix_of(const char *text)
{
	struct net_prefix p;

	if (net_prefix_parse(&p, text) < 0)
		ST_BUG("prefix %s", text);
	return p;
}

/* ---- who */

/* A number that @text begins with. Return: what follows it; NULL: none, or no user id */
static const char *read_uid(const char *text, uint32_t *out)
{
	char *end;

	if (!isdigit((unsigned char)text[0]))
		return NULL;
	errno = 0;
	unsigned long n = strtoul(text, &end, 10);
	*out = (uint32_t)n;
	return !errno && n < UINT32_MAX ? end : NULL;
}

/* @who: a name, a number, or a range of numbers. */
static bool find_uids(const char *who, struct tun_uids *out)
{
	const struct passwd *pw = getpwnam(who);
	const char *rest;

	if (pw) {
		*out = (struct tun_uids){ .first = pw->pw_uid, .last = pw->pw_uid };
		return true;
	}
	if (!(rest = read_uid(who, &out->first)))
		return false;
	out->last = out->first;
	if (*rest == '-')
		rest = read_uid(rest + 1, &out->last);
	return rest && !*rest && out->first <= out->last;
}

static int uid_cmp(const void *a, const void *b)
{
	const struct tun_uids *x = a, *y = b;

	return x->first < y->first ? -1 : x->first > y->first;
}

/* Neighbours become one range: each costs three rules and a look at every packet. */
static size_t join_ranges(struct tun_uids *v, size_t n)
{
	size_t kept = 0;

	qsort(v, n, sizeof(*v), uid_cmp);
	for (size_t i = 0; i < n; i++)
		if (kept && v[i].first <= v[kept - 1].last + 1)
			v[kept - 1].last = MAX(v[kept - 1].last, v[i].last);
		else
			v[kept++] = v[i];
	return kept;
}

int daemon_policy_users(struct policy_users *out, const struct config *c, const char **unknown)
{
	struct policy_users u = { .n = 0 };

	static_assert(TUN_UIDS_MAX >= CFG_ACCESS_MAX, "an access list has no room");
	for (size_t i = 0; i < c->n_access; i++) {
		if (!find_uids(c->access[i], &u.uids[u.n])) {
			log_error("access: this machine has no user %s", text_safe(c->access[i]).s);
			*unknown = c->access[i];
			return ST_ENOENT;
		}
		u.n++;
	}
	u.n = join_ranges(u.uids, u.n);
	*out = u;
	return 0;
}

/* ---- policy rules */

void daemon_policy_make(struct tun_policy *out, const struct config *c,
			const struct policy_facts *f)
{
	struct tun_policy p = {
		.system = c->system && f->engaged,
		.forward = c->forward,
		.own = f->own,
		.stack = { f->stack[0], f->stack[1] },
		.n_uids = f->users->n,
	};

	memcpy(p.uids, f->users->uids, f->users->n * sizeof(*p.uids));
	text_copy(p.device, sizeof(p.device), c->tun_name);
	for (size_t i = 0; f->capture && !p.system && i < f->n_former; i++)
		if (!net_addr_is_local_only(&f->former[i]) && p.n_resolvers < TUN_RESOLVERS_MAX)
			p.resolvers[p.n_resolvers++] = f->former[i];
	*out = p;
}

bool daemon_policy_may(const struct tun_policy *p, uint32_t uid)
{
	for (size_t i = 0; i < p->n_uids; i++)
		if (uid >= p->uids[i].first && uid <= p->uids[i].last)
			return true;
	return p->n_uids == 0;
}

/*
 * A reply to one of our own sockets is checked by the way back that a packet without our mark would take: with rp_filter 1 it is
 * dropped where that leads into the device. In system mode that is so for all of them. And replies to connections that came from
 * outside (a published port, sshd) must not follow our rules: they have no mark of their own, conntrack knows them.
 */
enum policy_filter daemon_policy_filter(const struct config *c, int rp_filter)
{
	if (c->system && rp_filter == 1)
		return POLICY_FILTER_MUST;
	return c->system || c->forward || rp_filter == 1 ? POLICY_FILTER_WISHED
							 : POLICY_FILTER_NONE;
}

/* ---- table 5373 */

bool daemon_policy_is_thrown(const struct rt_rules *rules, const struct net_addr *former)
{
	const struct rt_rule *rule = rt_rules_find(rules, former);

	return rule && rule->action != RT_DIRECT && rule->prefix.len < net_addr_bits(former);
}

struct list {
	struct tun_route *v;
	size_t n;
	bool fail_closed;
};

static void put(struct list *l, const struct net_prefix *p, enum tun_route_kind kind)
{
	l->v[l->n++] = (struct tun_route){ .prefix = *p, .kind = kind };
	if (kind == TUN_ROUTE_DEV && l->fail_closed)
		l->v[l->n++] = (struct tun_route){ .prefix = *p, .kind = TUN_ROUTE_UNREACHABLE };
}

static void put_host(struct list *l, const struct net_addr *a, enum tun_route_kind kind)
{
	put(l, &(struct net_prefix){ .addr = *a, .len = net_addr_bits(a) }, kind);
}

int daemon_policy_main(struct tun_route **out, const struct policy_main *m)
{
	const size_t most = m->n_routes + m->n_learned + m->n_former + ARRAY_LEN(m->stack) +
			    ARRAY_LEN(m->ranges);
	struct list l = { .v = calloc(2 * most + 1, sizeof(*l.v)), .fail_closed = m->fail_closed };

	if (!l.v)
		return ST_ENOMEM;
	for (size_t i = 0; i < ARRAY_LEN(m->stack); i++)
		if (m->stack[i].family)
			put_host(&l, &m->stack[i], TUN_ROUTE_DEV);
	for (size_t i = 0; i < ARRAY_LEN(m->ranges); i++)
		if (m->ranges[i].addr.family)
			put(&l, &m->ranges[i], TUN_ROUTE_DEV);
	for (size_t i = 0; i < m->n_routes; i++)
		put(&l, &m->routes[i].prefix, m->routes[i].away ? TUN_ROUTE_THROW : TUN_ROUTE_DEV);
	for (size_t i = 0; i < m->n_learned; i++)
		put_host(&l, &m->learned[i], TUN_ROUTE_DEV);
	for (size_t i = 0; i < m->n_former; i++)
		if (daemon_policy_is_thrown(m->rules, &m->former[i]))
			put_host(&l, &m->former[i], TUN_ROUTE_THROW);
	*out = l.v;
	return (int)l.n;
}

/* ---- table 5374 */

size_t daemon_policy_all(struct tun_route out[POLICY_ALL_MAX], const struct config *c,
			 const struct tun_policy *p, bool ipv6, bool device6)
{
	const struct net_prefix all4 = prefix_of("0.0.0.0/0"), all6 = prefix_of("::/0");
	struct list l = { .v = out, .fail_closed = c->fail_closed && p->system };
	static_assert(POLICY_ALL_MAX >= ARRAY_LEN(never) + 4, "table 5374 has no room");

	if (!p->system && p->n_resolvers == 0)
		return 0;
	put(&l, &all4, TUN_ROUTE_DEV);
	if (!p->system) { /* only rule 5301 leads here, by queries */
		put(&l, &all6, TUN_ROUTE_DEV);
		return l.n;
	}
	/* IPv6 that nobody carries must fail at once, not leave beside the tunnel. */
	if (ipv6 || !c->ipv6_direct)
		put(&l, &all6, device6 ? TUN_ROUTE_DEV : TUN_ROUTE_UNREACHABLE);
	for (size_t i = 0; i < ARRAY_LEN(never); i++) {
		const struct net_prefix one = prefix_of(never[i]);

		put(&l, &one, TUN_ROUTE_THROW);
	}
	return l.n;
}
