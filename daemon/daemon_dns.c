// SPDX-License-Identifier: MIT
/*
 * daemon_dns.c - names: the server in the stack, and what the system's resolver is told of it
 *
 * Theory of operation: the router serves names (rt_dns_start()); the keeper alone may change the system's resolver, and says which ones
 * the machine had before: those are asked for names that no rule matches, by marked sockets. The system is told of the least set of
 * suffixes under which the rules' names lie, and of nothing where there is none. What it was told last is remembered: a change that
 * changes no suffix asks the keeper for nothing, unless it has failed meanwhile: then the former manager may have forgotten us already.
 *
 * A host that this process itself looks up is made known to the router first: its look-up goes through the system's resolver, may come
 * to our own server, and must then be asked of the former resolvers, or the tunnel would wait for itself.
 */
#include "daemon/daemon_internal.h"

#include <assert.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/dname.h"
#include "base/err.h"
#include "base/log.h"
#include "base/text.h"

#define DNS_PORT 53U

const char *daemon_manager_name(enum keep_dns_manager m)
{
	static const char *const names[] = {
		[KEEP_DNS_NONE] = "none",
		[KEEP_DNS_AUTO] = "auto",
		[KEEP_DNS_RESOLVED] = "systemd-resolved",
		[KEEP_DNS_RESOLVCONF] = "resolvconf",
		[KEEP_DNS_FILE] = "/etc/resolv.conf",
	};
	static_assert(ARRAY_LEN(names) == KEEP_DNS_MANAGER_N, "a manager lacks its name");

	return (unsigned)m < ARRAY_LEN(names) ? names[m] : "?";
}

static enum keep_dns_manager wish_of(const struct config *c)
{
	switch (c->dns_manager) {
	case CFG_MANAGER_AUTO: return KEEP_DNS_AUTO;
	case CFG_MANAGER_RESOLVED: return KEEP_DNS_RESOLVED;
	case CFG_MANAGER_RESOLVCONF: return KEEP_DNS_RESOLVCONF;
	case CFG_MANAGER_FILE: return KEEP_DNS_FILE;
	case CFG_MANAGER_NONE: break;
	}
	return KEEP_DNS_NONE;
}

enum rt_dns_mode daemon_dns_mode_of(const struct config *c)
{
	switch (c->dns_mode) {
	case CFG_DNS_FAKE_IP: return RT_DNS_FAKE;
	case CFG_DNS_TUNNEL: return RT_DNS_TUNNEL;
	case CFG_DNS_OFF: break;
	}
	return RT_DNS_OFF;
}

/* ---- hosts of our own */

static int resolve_own(void *ctx, handle *out, const char *host, uint32_t timeout_ms,
		       svc_resolved_fn *done, void *arg)
{
	struct daemon *d = container_of((struct run_svc *)ctx, struct daemon, svc);
	struct net_addr literal;

	if (d->rt && net_addr_parse(&literal, host) < 0)
		rt_dns_own_name(d->rt, host);
	daemon_guard_endpoint(d, host);
	return d->resolve(ctx, out, host, timeout_ms, done, arg);
}

void daemon_dns_watch_names(struct daemon *d)
{
	d->resolve = d->svc.svc.resolve;
	d->svc.svc.resolve = resolve_own;
}

/* ---- who may use our routes */

/* Programs that ask for others: what they are told everybody gets. */
static const char *const caches[CACHES_KNOWN] = { "systemd-resolve", "dnsmasq", "unbound", "nscd" };

/* Once: passwd may be behind a network, and connections do not wait for it. */
static void find_caches(struct names *n)
{
	for (size_t i = 0; i < ARRAY_LEN(caches); i++) {
		const struct passwd *pw = getpwnam(caches[i]);

		n->caches[i] = pw ? pw->pw_uid : 0;
	}
}

static bool is_cache(struct names *n, uint32_t uid)
{
	for (size_t i = 0; uid && i < ARRAY_LEN(n->caches); i++) {
		if (n->caches[i] != uid)
			continue;
		if (!n->told_uid)
			log_warn("access: %s asks for all users of this machine: they all get our "
				 "answers, and only those of the list reach what is behind them",
				 caches[i]);
		n->told_uid = true;
		return true;
	}
	return false;
}

static bool may_ask(void *arg, const struct net_endpoint *src, const struct net_endpoint *dst,
		    bool tcp)
{
	struct daemon *d = arg;
	uint32_t uid;

	if (d->policy.n_uids == 0)
		return true;
	/* ST_ENOENT: a machine or container behind this one; those have no user */
	if (tun_socket_uid(d->tun, src, dst, tcp, &uid) < 0)
		return false;
	return daemon_policy_may(&d->policy, uid) || is_cache(&d->names, uid);
}

/* ---- the server */

static int route_host(void *arg, const struct net_addr *addr, bool on)
{
	struct daemon *d = arg;

	/* the list of them is the router's: rt_dns_learned() */
	return d->tun && d->phase != DAEMON_STOPPING ? tun_route_host(d->tun, addr, on) : 0;
}

int daemon_dns_start(struct daemon *d)
{
	const struct rt_dns_opts opts = {
		.mode = daemon_dns_mode_of(d->plan.config),
		.stack4 = d->stack4,
		.stack6 = d->stack6,
		.fake4 = d->range4,
		.fake6 = d->range6,
		.map_path = d->paths.fakes,
		.route = route_host,
		.may = may_ask,
		.arg = d,
	};
	int r;

	find_caches(&d->names);
	r = rt_dns_start(d->rt, &opts);
	d->names.started = r == 0;
	return r;
}

/* ---- the resolvers that were there before */

static bool is_ours(const struct daemon *d, const struct net_addr *a)
{
	return net_addr_eq(a, &d->stack4) || net_addr_eq(a, &d->stack6) ||
	       net_prefix_has(&d->range4, a) ||
	       (d->range6.addr.family && net_prefix_has(&d->range6, a));
}

/* Link-local IPv4 is not: clouds have their resolvers there. */
static bool is_this_machine(const struct net_addr *a)
{
	const bool link_local = a->family == 4 && a->b[0] == 169 && a->b[1] == 254;
	struct tun_path path;

	return (net_addr_is_local_only(a) && !link_local) ||
	       (tun_path_get(a, 0, &path) == 0 && strcmp(path.ifname, "lo") == 0);
}

/* A program of this machine: would a question that we hand it come back to us? systemd-resolved sends us the suffixes that we asked for;
 * in system mode every query of every program comes to us. */
static bool comes_back(const struct daemon *d, const struct net_addr *a)
{
	return (d->names.state.manager == KEEP_DNS_RESOLVED || d->plan.config->system) &&
	       is_this_machine(a);
}

static bool same_forwarders(const struct names *names, const struct net_endpoint *v, size_t n)
{
	bool same = names->n_forwarders == n;

	for (size_t i = 0; same && i < n; i++)
		same = net_addr_eq(&names->forwarders[i].addr, &v[i].addr);
	return same;
}

void daemon_dns_forwarders(struct daemon *d)
{
	struct names *names = &d->names;
	const struct keep_dns_state *s = &names->state;
	struct net_endpoint v[DNS_FORWARDERS_MAX];
	size_t n = 0, left_out = 0;

	for (size_t i = 0; i < s->n_former && n < ARRAY_LEN(v); i++) {
		const struct net_addr *a = &s->former[i];

		if (is_ours(d, a))
			continue;
		if (comes_back(d, a)) {
			left_out++;
			continue;
		}
		v[n++] = (struct net_endpoint){ .addr = *a, .port = DNS_PORT };
	}
	if (n == 0 && left_out && !names->told_stub)
		log_warn("this machine's only resolver is a program on it, whose own queries would "
			 "come back to us: names that no rule has can't be looked up");
	names->told_stub = n == 0 && left_out;
	if (same_forwarders(names, v, n))
		return;
	memcpy(names->forwarders, v, n * sizeof(*v));
	names->n_forwarders = n;
	rt_dns_forwarders(d->rt, v, n);
}

void daemon_dns_tell_thrown(struct daemon *d)
{
	const struct keep_dns_state *s = &d->names.state;
	struct names *names = &d->names;
	char text[NET_ADDR_STR];

	for (size_t i = 0; i < s->n_former; i++) {
		const struct net_addr *a = &s->former[i];
		bool told = !daemon_policy_is_thrown(rt_table(d->rt)->rules, a);

		for (size_t j = 0; j < ARRAY_LEN(names->thrown); j++)
			told = told || net_addr_eq(&names->thrown[j], a);
		if (told)
			continue;
		names->thrown[names->n_thrown++ % ARRAY_LEN(names->thrown)] = *a;
		log_warn(
			"%s, a resolver of this machine, lies inside of a routed prefix: it stays "
			"reachable without the tunnel, and a host of that address behind it is not",
			net_addr_str(text, a));
	}
}

static bool same_former(const struct keep_dns_state *a, const struct keep_dns_state *b)
{
	if (a->n_former != b->n_former || a->manager != b->manager)
		return false;
	for (size_t i = 0; i < a->n_former; i++)
		if (!net_addr_eq(&a->former[i], &b->former[i]))
			return false;
	return true;
}

/* Takes what the keeper said. Return: true if something has changed */
static bool take_state(struct daemon *d, struct keep_dns_state *now)
{
	struct keep_dns_state *s = &d->names.state;
	bool changed;

	now->n_former = MIN(now->n_former, KEEP_RESOLVERS_MAX);
	now->text[sizeof(now->text) - 1] = 0;
	changed = !same_former(s, now);
	if (now->text[0] && strcmp(now->text, s->text) != 0)
		log_info("names: %s", text_safe(now->text).s);
	*s = *now;
	return changed;
}

bool daemon_dns_look(struct daemon *d)
{
	struct keep_dns_state now = { 0 };
	int r = keep_dns_look(d->keeper_fd, &now);

	if (r < 0) {
		log_warn("the resolvers of this machine can't be found out: %s", st_strerror(r));
		return false;
	}
	return take_state(d, &now);
}

void daemon_dns_refresh(struct daemon *d)
{
	if (d->names.set && d->phase != DAEMON_STOPPING && daemon_dns_look(d))
		loop_timer_set(d->loop, &d->routes_timer, loop_now_ms(d->loop));
}

void daemon_dns_doubt(struct daemon *d)
{
	struct names *names = &d->names;

	daemon_dns_refresh(d);
	names->unsure = names->unsure || (names->set && names->state.manager == KEEP_DNS_NONE);
}

/* ---- what the system is told */

/* What the system's resolver should be told. */
struct telling {
	enum keep_dns_manager wish;
	char **suffixes; /* one allocation */
	size_t n, folded, n_wild;
	bool default_route;
};

/* "18.198.in-addr.arpa": names of fake addresses are asked of us too. */
static void reverse_of(char out[40], const struct net_prefix *range)
{
	snprintf(out, 40, "%u.%u.in-addr.arpa", range->addr.b[1], range->addr.b[0]);
}

static int make_telling(struct daemon *d, const struct rt_table *t, struct telling *out)
{
	const struct config *c = d->plan.config;
	const char *more[CFG_SUFFIXES_MAX + 1];
	char reverse[40];
	size_t n_more = 0, n_rules;

	*out = (struct telling){ .default_route = t->names_default };
	if (c->dns_mode == CFG_DNS_OFF)
		return 0;
	rt_names_all(t->names, &n_rules);
	for (size_t i = 0; i < c->n_dns_suffixes; i++)
		more[n_more++] = c->dns_suffixes[i];
	if (c->dns_mode == CFG_DNS_FAKE_IP && n_rules) {
		reverse_of(reverse, &d->range4);
		more[n_more++] = reverse;
	}
	int n = rt_names_suffixes(t->names, more, n_more, KEEP_SUFFIXES_MAX, &out->suffixes,
				  &out->folded, &out->n_wild);
	if (n < 0)
		return n;
	out->n = (size_t)n;
	if (out->n || out->default_route)
		out->wish = wish_of(c);
	return 0;
}

static bool same_telling(const struct names *was, const struct telling *now)
{
	if (was->wish != now->wish || was->default_route != now->default_route ||
	    was->n_suffixes != now->n)
		return false;
	for (size_t i = 0; i < now->n; i++)
		if (strcmp(was->suffixes[i], now->suffixes[i]) != 0)
			return false;
	return true;
}

/* What a person should know of it. */
static void tell(const struct daemon *d, const struct telling *now)
{
	const struct names *was = &d->names;

	if (now->folded && now->folded != was->folded)
		log_info(
			"names: %zu suffixes are folded to common parents: the system's resolver "
			"is told of %u at most; names below them that no rule has are asked of the "
			"resolvers that were there before",
			now->folded, KEEP_SUFFIXES_MAX);
	if (now->n_wild && now->n_wild != was->n_wild && !now->default_route)
		log_warn("names: %zu patterns have no suffix that the system's resolver could be "
			 "told of: they hold for programs that ask us of themselves; "
			 "dns: {suffixes: […]} adds what is to be asked of us",
			 now->n_wild);
	if (now->n && wish_of(d->plan.config) == KEEP_DNS_NONE && !was->set)
		log_warn("names: dns.manager is none: nobody asks us for the names of the rules "
			 "unless pointed at the stack's address");
}

static void telling_keep(struct names *names, struct telling *now)
{
	free(names->suffixes);
	names->suffixes = now->suffixes;
	names->n_suffixes = now->n;
	names->folded = now->folded;
	names->n_wild = now->n_wild;
	names->default_route = now->default_route;
	names->wish = now->wish;
}

static int ask_keeper(struct daemon *d, const struct telling *now, struct keep_dns_state *state)
{
	const struct keep_dns want = {
		.manager = now->wish,
		.ifindex = tun_ifindex(d->tun),
		.servers = { d->stack4, d->stack6 },
		.default_route = now->default_route,
	};

	for (size_t i = 0; i < now->n; i++) {
		int r = keep_dns_suffix(d->keeper_fd, now->suffixes[i]);

		if (r == 0)
			continue;
		log_error("names: the suffix %s was not taken: %s", text_safe(now->suffixes[i]).s,
			  st_strerror(r));
		return r;
	}
	return keep_dns_set(d->keeper_fd, &want, state);
}

static void tell_set(const struct names *names)
{
	const char *manager = daemon_manager_name(names->state.manager);

	if (!names->set)
		log_info("names: this machine's resolver is as it was before us");
	else if (names->state.manager == KEEP_DNS_NONE)
		log_warn("names: this machine's resolver does not ask us: names of the rules "
			 "resolve only for programs that ask the "
			 "stack's address of themselves");
	else if (names->default_route)
		log_info("names: all are asked of us, by %s", manager);
	else
		log_info("names: those below %zu suffixes are asked of us, by %s",
			 names->n_suffixes, manager);
}

int daemon_dns_set(struct daemon *d, const struct rt_table *t)
{
	struct keep_dns_state state = { 0 };
	struct telling now;
	int r;

	if (!d->names.started)
		return 0;
	if ((r = make_telling(d, t, &now)) < 0)
		return r;
	tell(d, &now);
	/* nobody was told, and nobody is to be told */
	if ((!d->names.set && now.wish == KEEP_DNS_NONE) ||
	    (d->names.set && !d->names.unsure && same_telling(&d->names, &now))) {
		telling_keep(&d->names, &now);
		return 0;
	}
	d->names.unsure = (r = ask_keeper(d, &now, &state)) < 0;
	if (r < 0) {
		text_copy(d->names.refusal, sizeof(d->names.refusal), state.text);
		log_error("names: the system's resolver could not be set: %s%s%s", st_strerror(r),
			  state.text[0] ? ": " : "", text_safe(state.text).s);
		free(now.suffixes);
		return r;
	}
	d->names.set = now.wish != KEEP_DNS_NONE;
	telling_keep(&d->names, &now);
	take_state(d, &state);
	tell_set(&d->names);
	return 0;
}

void daemon_dns_undo(struct daemon *d)
{
	const struct keep_dns none = { .manager = KEEP_DNS_NONE };
	struct keep_dns_state state;

	if (!d->names.set)
		return;
	d->names.set = false;
	if (d->keeper_died)
		log_error("the system's resolver still points at us: `ssm-tun down %s` mends it",
			  d->name);
	else if (keep_dns_set(d->keeper_fd, &none, &state) < 0)
		log_debug("names: the keeper will set the system's resolver back at its end");
}

void daemon_dns_free(struct daemon *d)
{
	free(d->names.suffixes);
	d->names.suffixes = NULL;
}
