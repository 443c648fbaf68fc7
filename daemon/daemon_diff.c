// SPDX-License-Identifier: MIT
/*
 * daemon_diff.c - what differs between two configurations
 *
 * Places in the file do not count: a comment that was added moves everything and changes nothing. Upstreams are known by their
 * names. Files that an upstream names (keys, CA bundles) are not looked into.
 */
#include "daemon/daemon_diff.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/util.h"

static bool same_text(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

static bool same_list(const char *const *a, size_t n_a, const char *const *b, size_t n_b)
{
	bool same = n_a == n_b;

	for (size_t i = 0; same && i < n_a; i++)
		same = same_text(a[i], b[i]);
	return same;
}

static bool same_aws(const struct cfg_aws *a, const struct cfg_aws *b)
{
	return same_text(a->profile, b->profile) && same_text(a->region, b->region) &&
	       same_text(a->access_key, b->access_key) && same_text(a->secret_key, b->secret_key) &&
	       same_text(a->session_token, b->session_token) &&
	       same_text(a->endpoint_url, b->endpoint_url) &&
	       same_text(a->data_endpoint, b->data_endpoint) &&
	       same_text(a->ca_bundle, b->ca_bundle);
}

static bool same_ssh(const struct cfg_ssh *a, const struct cfg_ssh *b)
{
	return same_text(a->user, b->user) && same_text(a->key, b->key) &&
	       a->instance_connect == b->instance_connect && a->port == b->port &&
	       a->host_key == b->host_key && same_text(a->fingerprint, b->fingerprint);
}

bool daemon_diff_upstream(const struct cfg_upstream *a, const struct cfg_upstream *b)
{
	return same_text(a->name, b->name) &&
	       same_list(a->targets, a->n_targets, b->targets, b->n_targets) &&
	       same_aws(&a->aws, &b->aws) && same_ssh(&a->ssh, &b->ssh) &&
	       a->sessions_min == b->sessions_min && a->sessions_max == b->sessions_max &&
	       a->pace_per_s == b->pace_per_s && a->pace_set == b->pace_set &&
	       same_text(a->document, b->document) && same_text(a->reason, b->reason);
}

const struct cfg_upstream *daemon_diff_find(const struct config *c, const char *name)
{
	for (size_t i = 0; i < c->n_upstreams; i++)
		if (strcmp(c->upstreams[i].name, name) == 0)
			return &c->upstreams[i];
	return NULL;
}

size_t daemon_diff_fixed(const char *out[DIFF_FIXED_MAX], const struct config *a,
			 const struct config *b)
{
	const struct {
		const char *key;
		bool same;
	} fixed[] = {
		{ "tun.name", same_text(a->tun_name, b->tun_name) },
		{ "run_as", same_text(a->run_as, b->run_as) },
		{ "limits.flows", a->limits.flows == b->limits.flows },
		{ "limits.connect_budget",
		  a->limits.connect_budget_ms == b->limits.connect_budget_ms },
		{ "limits.pending_opens", a->limits.pending_opens == b->limits.pending_opens },
		{ "limits.memory", a->limits.memory_bytes == b->limits.memory_bytes },
	};
	size_t n = 0;

	static_assert(ARRAY_LEN(fixed) <= DIFF_FIXED_MAX, "out[] is too short");
	for (size_t i = 0; i < ARRAY_LEN(fixed); i++)
		if (!fixed[i].same)
			out[n++] = fixed[i].key;
	return n;
}

/* ---- routes */

/* A route as it works: its upstream by name, without its place. */
struct key {
	const struct cfg_route *route;
	const char *upstream;
};

static int text_cmp(const char *a, const char *b)
{
	return strcmp(a ? a : "", b ? b : "");
}

static int key_cmp(const void *pa, const void *pb)
{
	const struct key *a = pa, *b = pb;
	const struct cfg_route *x = a->route, *y = b->route;
	int c = (int)x->match - (int)y->match;

	if (c == 0 && x->match == CFG_MATCH_PREFIX &&
	    (c = net_addr_cmp(&x->prefix.addr, &y->prefix.addr)) == 0)
		c = (int)x->prefix.len - (int)y->prefix.len;
	if (c == 0)
		c = text_cmp(x->name, y->name);
	if (c == 0)
		c = (int)x->action - (int)y->action;
	if (c == 0)
		c = text_cmp(a->upstream, b->upstream);
	return c ? c : (int)x->override - (int)y->override;
}

static struct key *sorted_keys(const struct config *c)
{
	struct key *v = calloc(c->n_routes + 1, sizeof(*v));

	for (size_t i = 0; v && i < c->n_routes; i++)
		v[i] = (struct key){ .route = &c->routes[i],
				     .upstream = c->routes[i].action == CFG_TO_UPSTREAM
							 ? c->upstreams[c->routes[i].upstream].name
							 : NULL };
	if (v)
		qsort(v, c->n_routes, sizeof(*v), key_cmp);
	return v;
}

static void count_routes(struct diff_counts *out, const struct key *a, size_t n_a,
			 const struct key *b, size_t n_b)
{
	size_t i = 0, j = 0;

	while (i < n_a || j < n_b) {
		int c = i == n_a ? 1 : j == n_b ? -1 : key_cmp(&a[i], &b[j]);

		out->routes_removed += c < 0;
		out->routes_added += c > 0;
		i += c <= 0;
		j += c >= 0;
	}
}

/* With match_order: first the places of names decide, even if the set of them is the same. */
static bool same_order(const struct config *a, const struct config *b)
{
	if (a->match_order != b->match_order)
		return false;
	if (a->match_order != CFG_ORDER_FIRST || a->n_routes != b->n_routes)
		return true;
	for (size_t i = 0; i < a->n_routes; i++)
		if (text_cmp(a->routes[i].name, b->routes[i].name) != 0)
			return false;
	return true;
}

static bool same_default(const struct config *a, const struct config *b)
{
	return a->default_action == b->default_action &&
	       (a->default_action != CFG_TO_UPSTREAM ||
		same_text(a->upstreams[a->default_upstream].name,
			  b->upstreams[b->default_upstream].name));
}

static bool same_settings(const struct config *a, const struct config *b)
{
	return same_order(a, b) && same_default(a, b) && a->system == b->system &&
	       a->ipv6_direct == b->ipv6_direct && a->forward == b->forward &&
	       a->fail_closed == b->fail_closed &&
	       same_list(a->access, a->n_access, b->access, b->n_access) &&
	       a->dns_mode == b->dns_mode && a->dns_manager == b->dns_manager &&
	       a->dns_public_local == b->dns_public_local &&
	       a->dns_rebind_block == b->dns_rebind_block &&
	       same_list(a->dns_suffixes, a->n_dns_suffixes, b->dns_suffixes, b->n_dns_suffixes) &&
	       a->limits.vpc_refresh_ms == b->limits.vpc_refresh_ms;
}

/* What an upstream's slot is told while its sessions go on. */
static bool same_slot(const struct cfg_upstream *a, const struct cfg_upstream *b)
{
	return net_addr_eq(&a->resolver.addr, &b->resolver.addr) &&
	       a->resolver.port == b->resolver.port && a->ipv6 == b->ipv6;
}

int daemon_diff_counts(struct diff_counts *out, const struct config *a, const struct config *b)
{
	struct key *x = sorted_keys(a), *y = sorted_keys(b);
	int r = x && y ? 0 : ST_ENOMEM;

	*out = (struct diff_counts){ .settings = !same_settings(a, b) };
	if (r == 0)
		count_routes(out, x, a->n_routes, y, b->n_routes);
	free(x);
	free(y);
	for (size_t i = 0; i < a->n_upstreams; i++)
		out->removed += !daemon_diff_find(b, a->upstreams[i].name);
	for (size_t i = 0; i < b->n_upstreams; i++) {
		const struct cfg_upstream *was = daemon_diff_find(a, b->upstreams[i].name);

		if (!was)
			out->added++;
		else if (!daemon_diff_upstream(was, &b->upstreams[i]))
			out->changed++;
		else
			out->settings = out->settings || !same_slot(was, &b->upstreams[i]);
	}
	return r;
}

bool daemon_diff_none(const struct diff_counts *d)
{
	return !d->added && !d->changed && !d->removed && !d->routes_added && !d->routes_removed &&
	       !d->settings;
}
