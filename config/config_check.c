// SPDX-License-Identifier: MIT
/*
 * config_check.c - what concerns several values
 *
 * Each check reports at the place of the value that is to be changed. The order of rules is config_order.c's.
 * Source: design, section 5 and decision 13
 */
#include <stdlib.h>
#include <string.h>

#include "base/aws_target.h"
#include "config/config_internal.h"

/* Of the whole address space: what a route may hold only as a single address. */
static const struct {
	struct net_prefix prefix;
	const char *what;
} local_only[] = {
	{ { { 4, { 0 } }, 8 }, "this host" },
	{ { { 4, { 127 } }, 8 }, "loopback" },
	{ { { 4, { 169, 254 } }, 16 }, "link-local" },
	{ { { 4, { 224 } }, 4 }, "multicast" },
	{ { { 6, { 0 } }, 127 }, "loopback" },
	{ { { 6, { 0xfe, 0x80 } }, 10 }, "link-local" },
	{ { { 6, { 0xff } }, 8 }, "multicast" },
	{ { { 6, { [10] = 0xff, [11] = 0xff } }, 96 }, "IPv4-mapped (write it as IPv4)" },
};

const char *cfg_action_name(const struct config *c, enum cfg_action action, uint32_t upstream)
{
	switch (action) {
	case CFG_TO_UPSTREAM: return c->upstreams[upstream].name;
	case CFG_TO_DIRECT: return "direct";
	case CFG_TO_REJECT: return "reject";
	case CFG_TO_DROP: return "drop";
	}
	return "?";
}

/* What EC2 may know, by id or by a look-up. Not a hybrid node, nor a host of a gateway. */
static bool may_have_vpc(const char *target)
{
	struct aws_target t;

	return aws_target_parse(&t, target) == 0 &&
	       (t.kind != AWS_TARGET_ID || strncmp(t.text, "i-", 2) == 0);
}

static void check_vpc_target(struct cfg_loader *ld, const struct cfg_route *r)
{
	const struct cfg_upstream *u = &ld->owned->c.upstreams[r->upstream];

	for (size_t i = 0; i < u->n_targets; i++)
		if (may_have_vpc(u->targets[i]))
			return;
	if (u->n_targets)
		cfg_error(ld, &r->place,
			  "match: vpc: no target of upstream %s is an EC2 instance (i-…): hybrid "
			  "nodes and hosts of a gateway have no VPC, write their prefixes",
			  u->name);
}

static void check_vpc(struct cfg_loader *ld, size_t at)
{
	const struct config *c = &ld->owned->c;
	const struct cfg_route *r = &c->routes[at];

	if (r->action != CFG_TO_UPSTREAM) {
		cfg_error(ld, &r->place, "match: vpc needs the upstream whose VPC is meant, not %s",
			  cfg_action_name(c, r->action, 0));
		return;
	}
	for (size_t i = 0; i < at; i++)
		if (c->routes[i].match == CFG_MATCH_VPC && c->routes[i].upstream == r->upstream &&
		    c->routes[i].action == CFG_TO_UPSTREAM) {
			cfg_error(ld, &r->place,
				  "match: vpc stands twice for upstream %s; first in %s",
				  c->upstreams[r->upstream].name, cfg_where(&c->routes[i].place).s);
			return;
		}
	if (c->match_order == CFG_ORDER_FIRST)
		cfg_error(ld, &r->place,
			  "match: vpc can't be used with match_order: first: which prefixes it "
			  "stands for is not known from the file");
	check_vpc_target(ld, r);
}

static void check_prefix(struct cfg_loader *ld, const struct cfg_route *r)
{
	char text[NET_PREFIX_STR];

	net_prefix_str(text, &r->prefix);
	if (r->prefix.len == 0) {
		cfg_error(ld, &r->place,
			  "%s is the whole machine's traffic: for that use tun.mode: system and "
			  "default: NAME",
			  text);
		return;
	}
	if (r->prefix.len == net_addr_bits(&r->prefix.addr))
		return;
	for (size_t i = 0; i < ARRAY_LEN(local_only); i++)
		if (net_prefix_covers(&local_only[i].prefix, &r->prefix)) {
			cfg_error(ld, &r->place,
				  "%s is %s: never routed, but for a single address as /%u", text,
				  local_only[i].what, net_addr_bits(&r->prefix.addr));
			return;
		}
}

/* Where the value of @path stands; its file is "default" where it was not set. */
static const struct cfg_place *place_of(const struct cfg_loader *ld, const char *path)
{
	for (const struct cfg_source *s = ld->owned->sources; s; s = s->next)
		if (strcmp(s->path, path) == 0)
			return &s->place;
	return NULL;
}

static bool was_set(const struct cfg_loader *ld, const char *upstream, const char *key)
{
	char path[CFG_PATH_MAX];
	const struct cfg_place *at;

	snprintf(path, sizeof(path), "upstreams.%s.%s", upstream, key);
	at = place_of(ld, path);
	return at && strcmp(at->file, "default") != 0;
}

static void check_keys(struct cfg_loader *ld, const struct cfg_upstream *u)
{
	const struct cfg_aws *aws = &u->aws;

	if (aws->access_key && !aws->secret_key)
		cfg_error(ld, &u->place, "upstreams.%s.aws: access_key needs secret_key", u->name);
	if (!aws->access_key && (aws->secret_key || aws->session_token))
		cfg_error(ld, &u->place, "upstreams.%s.aws: %s needs access_key", u->name,
			  aws->secret_key ? "secret_key" : "session_token");
	if (aws->access_key && !aws->region)
		cfg_error(ld, &u->place, "upstreams.%s.aws: access_key needs region", u->name);
	if (aws->access_key && aws->profile)
		cfg_note(ld, &u->place,
			 "upstreams.%s.aws: access_key is used, not the profile's keys", u->name);
}

#define CONNECT_USER_MAX 32U /* InstanceOSUser; ssm-protocol.md 1.4 */

static void check_instance_connect(struct cfg_loader *ld, const struct cfg_upstream *u)
{
	struct aws_target t;

	if (!u->ssh.instance_connect)
		return;
	if (u->ssh.user && strlen(u->ssh.user) > CONNECT_USER_MAX) /* NULL: refused already */
		cfg_error(ld, &u->place,
			  "upstreams.%s.ssh: with key: instance-connect the user has at most %u "
			  "characters",
			  u->name, CONNECT_USER_MAX);
	for (size_t i = 0; i < u->n_targets; i++)
		if (aws_target_parse(&t, u->targets[i]) == 0 && aws_target_is_managed_node(&t))
			cfg_error(
				ld, &u->place,
				"upstreams.%s: key: instance-connect reaches EC2 instances alone, "
				"not the managed node %s: set ssh.key to a key of yours",
				u->name, cfg_quote(u->targets[i]).s);
}

static void check_upstream(struct cfg_loader *ld, struct cfg_upstream *u)
{
	if (!u->n_targets && !ld->report->n_errors)
		cfg_error(ld, &u->place, "upstreams.%s lacks \"instances\"", u->name);
	check_keys(ld, u);
	check_instance_connect(ld, u);
	if (u->sessions_min <= u->sessions_max)
		return;
	if (!was_set(ld, u->name, "sessions.max"))
		u->sessions_max = u->sessions_min;
	else if (!was_set(ld, u->name, "sessions.min"))
		u->sessions_min = u->sessions_max;
	else
		cfg_error(ld, &u->place, "upstreams.%s.sessions: min %u is more than max %u",
			  u->name, u->sessions_min, u->sessions_max);
}

static void check_file(struct cfg_loader *ld)
{
	const struct cfg_file *f = &ld->file;
	struct cfg_place at = { .file = f->path };
	mode_t mode = f->st.st_mode;

	if (!f->path)
		return;
	if (ld->owned->c.run_as && !f->is_roots)
		cfg_note(ld, &at, "run_as counts only in a file and folder of root's");
	/* root's file may be readable by a group: the system user of the daemon needs it */
	if (ld->secret.file && (mode & (f->st.st_uid == 0 ? S_IROTH : S_IRGRP | S_IROTH)))
		cfg_error(
			ld, &ld->secret,
			"the file holds a secret and others can read it (mode %04o): chmod 600 it",
			(unsigned)mode & 07777);
}

static void check_system(struct cfg_loader *ld)
{
	const struct config *c = &ld->owned->c;

	if (c->system && c->default_action != CFG_TO_UPSTREAM)
		cfg_error(ld, place_of(ld, "tun.mode"),
			  "tun.mode: system routes the whole machine into default, which must be "
			  "an upstream, not %s: set default: NAME",
			  cfg_action_name(c, c->default_action, 0));
}

/* Packets of other machines have no user. */
static void check_access(struct cfg_loader *ld)
{
	const struct config *c = &ld->owned->c;

	if (c->forward && c->n_access)
		cfg_error(ld, place_of(ld, "access"),
			  "access and forward: true exclude each other: forwarded packets have no "
			  "user that could be asked for");
}

/* Names without resolution: said once, at the first. */
static void check_names_off(struct cfg_loader *ld)
{
	const struct config *c = &ld->owned->c;
	const struct cfg_route *first = NULL;
	size_t n = 0;

	for (size_t i = 0; i < c->n_routes; i++)
		if (c->routes[i].match == CFG_MATCH_NAME && !n++)
			first = &c->routes[i];
	if (c->dns_mode == CFG_DNS_OFF && n)
		cfg_note(ld, &first->place,
			 "with dns.mode: off no name is resolved by us: %zu rule%s of names %s "
			 "nothing",
			 n, n > 1 ? "s" : "", n > 1 ? "do" : "does");
}

void cfg_check(struct cfg_loader *ld)
{
	struct config *c = &ld->owned->c;
	struct cfg_place at = { .file = ld->file.path };

	check_file(ld);
	if (!c->n_upstreams && !ld->report->n_errors)
		cfg_error(ld, ld->file.path ? &at : NULL, "there is no upstream");
	for (size_t i = 0; i < c->n_upstreams; i++)
		check_upstream(ld, &c->upstreams[i]);
	for (size_t i = 0; i < c->n_routes && !cfg_report_is_full(ld->report); i++)
		if (c->routes[i].match == CFG_MATCH_VPC)
			check_vpc(ld, i);
		else if (c->routes[i].match == CFG_MATCH_PREFIX)
			check_prefix(ld, &c->routes[i]);
	check_system(ld);
	check_access(ld);
	check_names_off(ld);
	if (!cfg_order_check(ld))
		return;
	if (!c->n_routes && !c->system && !ld->report->n_errors)
		cfg_note(ld, ld->file.path ? &at : NULL,
			 "there are no routes: nothing is tunnelled");
}
