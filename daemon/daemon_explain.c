// SPDX-License-Identifier: MIT
/*
 * daemon_explain.c - where a name or an address goes, and why; the names in the answer are an interface
 *
 * The router says which rule decides and who is asked for the name (rt_explain()), the kernel what it would do with a packet of the
 * asker's; beside these stand the upstream's state and whom the system's resolver asks. Nothing is asked of anybody else.
 */
#include "daemon/daemon_internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/dname.h"
#include "base/err.h"
#include "base/text.h"

/* What was asked about: host without port. */
struct subject {
	char host[DNS_NAME_MAX]; /* a normal name, or an address */
	uint32_t port;		 /* 0: none was given */
};

static bool read_port(const char *text, uint32_t *out)
{
	char *end;
	unsigned long n = strtoul(text, &end, 10);

	*out = (uint32_t)n;
	return text[0] >= '0' && text[0] <= '9' && !*end && n > 0 && n <= UINT16_MAX;
}

/* "host", "host:443", "10.0.0.1", "fd00::1", "[fd00::1]:443". Return: NULL; what is wrong with it */
static const char *read_subject(struct subject *out, const char *text)
{
	char host[512];
	const char *colon = strrchr(text, ':'), *why = NULL, *end;
	struct net_addr a;

	*out = (struct subject){ 0 };
	if (net_addr_parse(&a, text) == 0)
		return text_copy(out->host, sizeof(out->host), text) ? NULL : "it is too long";
	end = colon ? colon : text + strlen(text);
	if (colon && !read_port(colon + 1, &out->port))
		return "a port is a number of 1 to 65535";
	if (text[0] == '[' && end > text && end[-1] == ']') {
		text++;
		end--;
	}
	if ((size_t)(end - text) >= sizeof(host))
		return "it is too long";
	memcpy(host, text, (size_t)(end - text));
	host[end - text] = 0;
	if (net_addr_parse(&a, host) == 0)
		return text_copy(out->host, sizeof(out->host), host) ? NULL : "it is too long";
	if (dname_normal(out->host, host, &why) < 0)
		return why ? why : "it is neither a name nor an address";
	return NULL;
}

static json_t *refusal(const char *host, const char *why)
{
	return json_pack("{s:b, s:s++}", "ok", 0, "error", text_safe(host).s, ": ", why);
}

/* ---- parts of the answer */

/* What is never routed is the machine's own business, although the router drops what reaches it anyway. */
static const char *action_name(const struct rt_why *w)
{
	if (w->never)
		return "direct";
	switch (w->action) {
	case RT_UPSTREAM: return "upstream";
	case RT_DIRECT: return "direct";
	case RT_REJECT: return "reject";
	case RT_DROP: break;
	}
	return "drop";
}

static json_t *addr_json(const struct net_addr *a)
{
	char text[NET_ADDR_STR];

	return a->family ? json_string(net_addr_str(text, a)) : json_null();
}

static json_t *rule_json(const struct rt_why *w, const struct config *c)
{
	char prefix[NET_PREFIX_STR];
	const char *by = w->no_ipv6	 ? "no-ipv6"
			 : w->is_default ? "default"
			 : w->never	 ? "never"
					 : "none",
		   *match = "";
	uint32_t line = 0;

	if (w->name_rule) {
		by = "name";
		match = w->name_rule->pattern;
		line = w->name_rule->line;
	} else if (w->rule) {
		by = "address";
		match = net_prefix_str(prefix, &w->rule->prefix);
		line = w->rule->line;
	}
	return json_pack("{s:s, s:s, s:s, s:i}", "by", by, "match", match, "file",
			 c->file ? text_safe(c->file).s : "(flags)", "line", (int)line);
}

static json_t *upstream_json(struct upstream *u)
{
	struct tnl_status st;
	json_t *sessions = json_array();

	tnl_upstream_status(u->tnl, &st);
	for (uint32_t i = 0; i < st.sessions && i < TNL_SESSIONS_MAX; i++)
		json_array_append_new(sessions, json_pack("{s:s, s:s, s:s}", "session_id",
							  st.session[i].session_id, "target",
							  st.session[i].target, "state",
							  st.session[i].state));
	return json_pack("{s:s, s:s, s:s, s:o}", "name", u->name, "state",
			 st.state == TNL_WAITING ? "waiting-for-login" : tnl_state_name(st.state),
			 "last_error", st.last_text, "sessions", sessions);
}

/* Whom the system's resolver asks for @name. */
static bool system_asks_us(const struct daemon *d, const char *name)
{
	const struct names *n = &d->names;

	if (!n->set || n->state.manager == KEEP_DNS_NONE)
		return false;
	for (size_t i = 0; i < n->n_suffixes; i++)
		if (dname_is_below(name, n->suffixes[i]))
			return true;
	return n->default_route;
}

static json_t *former_json(const struct daemon *d)
{
	json_t *list = json_array();

	for (size_t i = 0; i < d->names.state.n_former; i++)
		json_array_append_new(list, addr_json(&d->names.state.former[i]));
	return list;
}

static json_t *dns_json(const struct rt_why *w, const struct daemon *d, const char *via)
{
	static const char *const ways[] = {
		[DNS_LOCAL] = "local", [DNS_UPSTREAM] = "upstream", [DNS_NONE] = "none"
	};
	char resolver[NET_ENDPOINT_STR] = "";
	json_t *out;

	if (w->dns.way == DNS_UPSTREAM)
		net_endpoint_str(resolver, &w->dns.via.resolver);
	out = json_pack("{s:s, s:s, s:s, s:b, s:b}", "way", ways[w->dns.way], "upstream", via,
			"resolver", resolver, "fake", w->dns.fake, "ipv6", w->dns.ipv6);
	if (out && d) {
		json_object_set_new(out, "manager",
				    json_string(daemon_manager_name(d->names.state.manager)));
		json_object_set_new(out, "system_asks_us",
				    json_boolean(system_asks_us(d, w->name)));
		json_object_set_new(out, "former", former_json(d));
	}
	return out;
}

static json_t *kernel_json(const struct net_addr *a, uint32_t uid)
{
	struct tun_path p;

	if (!a->family || tun_path_get(a, uid, &p) < 0)
		return json_null();
	return json_pack("{s:o, s:s, s:i, s:o, s:o, s:s, s:i}", "address", addr_json(a), "device",
			 text_safe(p.ifname).s, "table", (int)p.table, "gateway",
			 addr_json(&p.gateway), "source", addr_json(&p.source), "error",
			 p.error ? strerror(p.error) : "", "uid", (int)uid);
}

/* What the router alone knows. */
static json_t *why_json(const struct rt_why *w, const struct subject *s, const struct config *c)
{
	return json_pack("{s:b, s:s, s:i, s:s, s:o, s:b, s:b, s:b, s:b, s:o, s:s}", "ok", 1,
			 "asked", s->host, "port", (int)s->port, "name", w->name, "address",
			 addr_json(&w->addr), "fake", w->fake, "learned", w->learned,
			 "unknown_fake", w->unknown_fake, "never", w->never, "rule",
			 rule_json(w, c), "action", action_name(w));
}

/* ---- a running daemon */

static uint32_t asker_of(const struct daemon *d, const json_t *request)
{
	const json_t *uid = json_object_get(request, "uid");

	return json_is_integer(uid) ? (uint32_t)json_integer_value(uid) : (uint32_t)d->id.uid;
}

static struct upstream *slot_at(struct daemon *d, uint32_t i)
{
	return i < RT_UPSTREAMS_MAX && d->upstreams[i].tnl ? &d->upstreams[i] : NULL;
}

json_t *daemon_explain(struct daemon *d, const json_t *request)
{
	const char *host = json_string_value(json_object_get(request, "host")), *wrong;
	const uint32_t uid = asker_of(d, request);
	struct upstream *u = NULL, *via;
	struct subject s;
	struct rt_why w;
	json_t *out;

	if (!host)
		return refusal("explain", "which host?");
	if ((wrong = read_subject(&s, host)))
		return refusal(host, wrong);
	if (rt_explain(d->rt, s.host, &w) < 0)
		return refusal(host, "it is neither a name nor an address");
	if (w.action == RT_UPSTREAM)
		u = slot_at(d, w.upstream);
	via = w.dns.way == DNS_UPSTREAM ? slot_at(d, w.dns.via.upstream) : NULL;
	if (!(out = why_json(&w, &s, d->plan.config)))
		return refusal(host, "out of memory");
	json_object_set_new(out, "upstream", u ? upstream_json(u) : json_null());
	json_object_set_new(out, "dns",
			    w.name[0] ? dns_json(&w, d, via ? via->name : "") : json_null());
	json_object_set_new(out, "kernel", kernel_json(&w.addr, uid));
	json_object_set_new(out, "allowed", json_boolean(daemon_policy_may(&d->policy, uid)));
	return out;
}

/* ---- a file alone */

/* The router that @c would have, without anything behind it: what it says of @host. Takes @t. Return: as rt_explain(), and what making it
 * may fail by; @r and @loop are the caller's in any case. */
static int ask_router(struct loop **loop, struct rt **r, struct rt_table *t, const struct config *c,
		      const char *host, struct rt_why *out)
{
	const struct rt_dns_opts dns = { .mode = daemon_dns_mode_of(c) };
	int e;

	if ((e = loop_new(loop)) < 0 || (e = rt_new(r, &(struct rt_opts){ .loop = *loop })) < 0)
		return e;
	for (uint32_t i = 0; i < c->n_upstreams; i++)
		rt_set_upstream(*r, i,
				&(struct rt_upstream){ .name = c->upstreams[i].name,
						       .resolver = c->upstreams[i].resolver,
						       .ipv6 = c->upstreams[i].ipv6 });
	rt_set_table(*r, t);
	*t = (struct rt_table){ 0 };
	return (e = rt_dns_start(*r, &dns)) < 0 ? e : rt_explain(*r, host, out);
}

static json_t *file_json(const struct rt_why *w, const struct subject *s, const struct config *c)
{
	const char *to = w->action == RT_UPSTREAM ? c->upstreams[w->upstream].name : NULL;
	const char *via = w->dns.way == DNS_UPSTREAM ? c->upstreams[w->dns.via.upstream].name : "";
	json_t *out = why_json(w, s, c);

	if (!out)
		return NULL;
	json_object_set_new(out, "upstream",
			    to ? json_pack("{s:s, s:s}", "name", to, "state", "not running")
			       : json_null());
	json_object_set_new(out, "dns", w->name[0] ? dns_json(w, NULL, via) : json_null());
	json_object_set_new(out, "kernel", json_null());
	return out;
}

json_t *daemon_explain_file(const struct config *c, const char *host)
{
	struct loop *loop = NULL;
	struct rt *r = NULL;
	struct rt_table t = { 0 };
	const char *wrong;
	struct subject s;
	struct rt_why w;
	struct daemon d;
	json_t *out = NULL;

	if ((wrong = read_subject(&s, host)))
		return refusal(host, wrong);
	if (daemon_host_stage(&d, c) == 0 && daemon_table_make(&d, &t) == 0 &&
	    ask_router(&loop, &r, &t, c, s.host, &w) == 0)
		out = file_json(&w, &s, c);
	daemon_table_free(&t);
	rt_free(r);
	loop_free(loop);
	free(d.upstreams);
	return out ? out : refusal(host, "out of memory");
}
