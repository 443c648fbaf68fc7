// SPDX-License-Identifier: MIT
/* daemon_status_net.c - what status says of routes, names and this machine's network */
#include "daemon/daemon_internal.h"

#include <string.h>

#include "base/text.h"

/* Lists are shortened beyond these; the counts beside them are whole, and the whole answer stays below CONTROL_BACKLOG_MAX. Ours */
#define ROUTES_BYTES KIB(48)
#define SUFFIXES_SHOWN 64U
#define COLLISIONS_SHOWN 64U

static const char *match_text(char out[NET_PREFIX_STR], const struct cfg_route *r)
{
	switch (r->match) {
	case CFG_MATCH_VPC: return "vpc";
	case CFG_MATCH_NAME: return r->name;
	case CFG_MATCH_PREFIX: break;
	}
	return net_prefix_str(out, &r->prefix);
}

static const char *target_text(const struct config *c, enum cfg_action action, uint32_t upstream)
{
	switch (action) {
	case CFG_TO_UPSTREAM: return c->upstreams[upstream].name;
	case CFG_TO_DIRECT: return "direct";
	case CFG_TO_REJECT: return "reject";
	case CFG_TO_DROP: break;
	}
	return "drop";
}

json_t *daemon_status_routes(const struct daemon *d)
{
	const struct config *c = d->plan.config;
	json_t *out = json_array();
	size_t room = ROUTES_BYTES;

	for (size_t i = 0; i < c->n_routes; i++) {
		const struct cfg_route *r = &c->routes[i];
		char prefix[NET_PREFIX_STR];
		const char *match = match_text(prefix, r);
		const char *to = target_text(c, r->action, r->upstream);
		const size_t need = strlen(match) + strlen(to) +
				    sizeof("{'match':'','upstream':''},");

		if (room < need)
			break;
		room -= need;
		json_array_append_new(out, json_pack("{s:s, s:s}", "match", match, "upstream", to));
	}
	return out;
}

/* ---- names */

static const char *mode_name(const struct config *c)
{
	switch (c->dns_mode) {
	case CFG_DNS_FAKE_IP: return "fake-ip";
	case CFG_DNS_TUNNEL: return "tunnel";
	case CFG_DNS_OFF: break;
	}
	return "off";
}

static json_t *addr_json(const struct net_addr *a)
{
	char text[NET_ADDR_STR];

	return a->family ? json_string(net_addr_str(text, a)) : json_null();
}

static json_t *former_json(const struct keep_dns_state *s)
{
	json_t *out = json_array();

	for (size_t i = 0; i < s->n_former; i++)
		json_array_append_new(out, addr_json(&s->former[i]));
	return out;
}

static json_t *suffixes_json(const struct names *n)
{
	json_t *out = json_array();

	for (size_t i = 0; i < n->n_suffixes && i < SUFFIXES_SHOWN; i++)
		json_array_append_new(out, json_string(n->suffixes[i]));
	return out;
}

static json_t *counts_json(const struct daemon *d)
{
	struct dns_stats s = { 0 };

	if (d->names.started)
		rt_dns_stats(d->rt, &s);
	return json_pack(
		"{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:i, s:i, s:i, s:I, s:I}",
		"queries", (json_int_t)s.queries, "garbage", (json_int_t)s.garbage, "cached",
		(json_int_t)s.cached, "faked", (json_int_t)s.faked, "forwarded",
		(json_int_t)s.forwarded, "relayed", (json_int_t)s.relayed, "by_upstream",
		(json_int_t)s.by_upstream, "failed", (json_int_t)s.failed, "refused",
		(json_int_t)s.refused, "dropped", (json_int_t)s.dropped, "pending", (int)s.pending,
		"fakes", (int)s.fakes, "pipes", (int)s.pipes, "cache_entries",
		(json_int_t)s.cache_entries, "cache_bytes", (json_int_t)s.cache_bytes);
}

json_t *daemon_status_dns(const struct daemon *d)
{
	const struct names *n = &d->names;
	char range[NET_PREFIX_STR];

	return json_pack("{s:s, s:s, s:s, s:o, s:o, s:s, s:o, s:I, s:I, s:I, s:b, s:o, s:o}",
			 "mode", mode_name(d->plan.config), "manager",
			 daemon_manager_name(n->state.manager), "text", text_safe(n->state.text).s,
			 "server", addr_json(&d->stack4), "server6", addr_json(&d->stack6), "range",
			 net_prefix_str(range, &d->range4), "suffixes", suffixes_json(n),
			 "n_suffixes", (json_int_t)n->n_suffixes, "folded", (json_int_t)n->folded,
			 "without_suffix", (json_int_t)n->n_wild, "all_names",
			 n->default_route && n->state.manager != KEEP_DNS_NONE, "former",
			 former_json(&n->state), "counts", counts_json(d));
}

/* ---- this machine's network */

static json_t *collisions_json(const struct daemon *d)
{
	json_t *out = json_array();

	for (size_t i = 0; i < d->n_collisions && i < COLLISIONS_SHOWN; i++) {
		const struct collision *c = &d->collisions[i];
		char ours[NET_PREFIX_STR], theirs[NET_PREFIX_STR];

		json_array_append_new(out, json_pack("{s:s, s:s, s:s, s:i, s:s}", "ours",
						     net_prefix_str(ours, &c->ours), "theirs",
						     net_prefix_str(theirs, &c->theirs), "device",
						     text_safe(c->ifname).s, "line", (int)c->line,
						     "wins", c->theirs_wins ? "theirs" : "ours"));
	}
	return out;
}

static json_t *access_json(const struct config *c)
{
	json_t *out;

	if (c->n_access == 0)
		return json_string("all");
	out = json_array();
	for (size_t i = 0; i < c->n_access; i++)
		json_array_append_new(out, json_string(text_safe(c->access[i]).s));
	return out;
}

json_t *daemon_status_network(const struct daemon *d)
{
	const struct config *c = d->plan.config;
	struct rt_stats rt;

	rt_stats(d->rt, &rt);
	return json_pack("{s:s, s:s, s:b, s:b, s:b, s:b, s:o, s:I, s:I, s:I, s:o}", "mode",
			 c->system ? "system" : "split", "default",
			 target_text(c, c->default_action, c->default_upstream), "engaged",
			 d->engaged || !c->system, "forward", c->forward, "fail_closed",
			 c->fail_closed, "filter", d->filter, "access", access_json(c), "n_routes",
			 (json_int_t)c->n_routes, "learned_hosts", (json_int_t)rt.learned,
			 "n_collisions", (json_int_t)d->n_collisions, "collisions",
			 collisions_json(d));
}
