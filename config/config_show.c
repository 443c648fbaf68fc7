// SPDX-License-Identifier: MIT
/*
 * config_show.c - the effective configuration as YAML that loads again, but for its secrets
 *
 * Theory of operation: the table's rows are printed in its order; a row's section opens when it differs from the last one's.
 * Each value carries a comment that says where it came from. Secrets are shown as "(set)".
 */
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "config/config_internal.h"

#define COMMENT_COLUMN 48

struct shower {
	FILE *to;
	const struct cfg_owned *owned;
	char section[CFG_PATH_MAX]; /* that is open, without its pattern */
};

static const struct cfg_place *source_of(const struct cfg_owned *o, const char *path)
{
	const struct cfg_place *place = NULL;

	for (const struct cfg_source *s = o->sources; s; s = s->next)
		if (strcmp(s->path, path) == 0)
			place = &s->place;
	return place;
}

static void print_line(const struct shower *sh, unsigned indent, const char *text,
		       const struct cfg_place *at)
{
	int width = fprintf(sh->to, "%*s%s", (int)indent, "", text);

	if (at && at->file) {
		fprintf(sh->to, "%*s# %s", MAX(COMMENT_COLUMN - width, 1), "",
			text_safe(at->file).s);
		if (at->line)
			fprintf(sh->to, ":%u:%u", at->line, at->column);
	}
	fputc('\n', sh->to);
}

/* Plain where YAML has no second reading of it; else quoted, where \xNN of text_safe() is YAML's own escape. */
static void text_format(char *out, size_t cap, const char *text)
{
	static const char plain[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789./-_";
	const struct text_safe safe = text_safe(text);
	size_t at = 0;

	if (*text && *text != '-' && strspn(text, plain) == strlen(text)) {
		text_copy(out, cap, text);
		return;
	}
	out[at++] = '"';
	for (const char *c = safe.s; *c && at + 6 < cap; c++) {
		if (*c == '"')
			at += (size_t)snprintf(out + at, cap - at, "\\x22");
		else
			out[at++] = *c;
	}
	out[at++] = '"';
	out[at] = '\0';
}

static void bytes_format(char *out, size_t cap, uint64_t n)
{
	if (n && n % MIB(1) == 0)
		snprintf(out, cap, "%lluMiB", (unsigned long long)(n >> 20));
	else
		snprintf(out, cap, "%llu", (unsigned long long)n);
}

static void ms_format(char *out, size_t cap, uint32_t ms)
{
	if (ms % 1000 == 0)
		snprintf(out, cap, "%us", ms / 1000);
	else
		snprintf(out, cap, "%ums", ms);
}

static void list_format(char *out, size_t cap, const char *const *words, size_t n)
{
	size_t at = (size_t)snprintf(out, cap, "[");

	for (size_t i = 0; i < n && at < cap; i++) {
		char one[TEXT_SAFE_MAX * 4 + 8];

		text_format(one, sizeof(one), words[i]);
		at += (size_t)snprintf(out + at, cap - at, "%s%s", i ? ", " : "", one);
	}
	if (at < cap)
		snprintf(out + at, cap - at, "]");
}

static void access_format(char *out, size_t cap, const struct config *c)
{
	if (c->n_access)
		list_format(out, cap, c->access, c->n_access);
	else
		text_copy(out, cap, "all");
}

static void resolver_format(char *out, size_t cap, const struct net_endpoint *e)
{
	char text[NET_ENDPOINT_STR];

	if (e->port == 53)
		net_addr_str(text, &e->addr);
	else
		net_endpoint_str(text, e);
	text_format(out, cap, text);
}

/* Return: false if there is nothing to show */
static bool ssh_key_format(char *out, size_t cap, const struct cfg_ssh *ssh)
{
	if (ssh->instance_connect)
		text_copy(out, cap, CFG_INSTANCE_CONNECT);
	else if (ssh->key)
		text_format(out, cap, ssh->key);
	return ssh->instance_connect || ssh->key;
}

static void host_key_format(char *out, size_t cap, const struct cfg_ssh *ssh)
{
	switch (ssh->host_key) {
	case CFG_HOST_KEY_ACCEPT_NEW: text_copy(out, cap, "accept-new"); break;
	case CFG_HOST_KEY_STRICT: text_copy(out, cap, "strict"); break;
	case CFG_HOST_KEY_PINNED: text_format(out, cap, ssh->fingerprint); break;
	}
}

static void pace_format(char *out, size_t cap, const struct cfg_upstream *u)
{
	if (u->pace_per_s)
		snprintf(out, cap, "%u", u->pace_per_s);
	else
		text_copy(out, cap, "off");
}

/* Return: false if there is nothing to show */
static bool value_format(char *out, size_t cap, const struct cfg_owned *o,
			 const struct cfg_key *key, const void *base)
{
	const void *field = (const char *)base + key->offset;
	const char *text;
	char safe[TEXT_SAFE_MAX * 4 + 8];

	switch (key->kind) {
	case CFG_K_TEXT:
	case CFG_K_PATH:
		if (!(text = *(const char *const *)field))
			return false;
		text_format(safe, sizeof(safe), text);
		text_copy(out, cap, safe);
		return true;
	case CFG_K_SECRET: text_copy(out, cap, "(set)"); return *(const char *const *)field != NULL;
	case CFG_K_U16: snprintf(out, cap, "%u", *(const uint16_t *)field); return true;
	case CFG_K_U32: snprintf(out, cap, "%u", *(const uint32_t *)field); return true;
	case CFG_K_MS: ms_format(out, cap, *(const uint32_t *)field); return true;
	case CFG_K_BYTES: bytes_format(out, cap, *(const uint64_t *)field); return true;
	case CFG_K_BOOL: text_copy(out, cap, *(const bool *)field ? "true" : "false"); return true;
	case CFG_K_CHOICE:
		text_copy(out, cap, key->choices[*(const unsigned *)field]);
		return *out != '\0';
	case CFG_K_TARGETS: {
		const struct cfg_upstream *u = base;

		list_format(out, cap, u->targets, u->n_targets);
		return true;
	}
	case CFG_K_SSH_KEY:
		return ssh_key_format(out, cap, &((const struct cfg_upstream *)base)->ssh);
	case CFG_K_HOST_KEY:
		host_key_format(out, cap, &((const struct cfg_upstream *)base)->ssh);
		return true;
	case CFG_K_PACE:
		pace_format(out, cap, base);
		return ((const struct cfg_upstream *)base)->pace_set;
	case CFG_K_ACTION:
		text_copy(out, cap,
			  cfg_action_name(&o->c, o->c.default_action, o->c.default_upstream));
		return true;
	case CFG_K_EITHER: text_copy(out, cap, key->choices[*(const bool *)field]); return true;
	case CFG_K_RESOLVER: resolver_format(out, cap, field); return true;
	case CFG_K_ACCESS: access_format(out, cap, &o->c); return true;
	case CFG_K_MATCH: /* of routes, which have their own lines */
	case CFG_K_NAMES: /* a line each */
	case CFG_K_NOTHING: return false;
	}
	return false;
}

/* Opens the section of @rest ("aws.region" below the pattern), prints its key. */
static void show_row(struct shower *sh, unsigned indent, const char *rest, const char *value,
		     const struct cfg_place *at)
{
	const char *dot = strchr(rest, '.');
	size_t len = dot ? (size_t)(dot - rest) : 0;
	char line[KIB(9)];

	if (len && (strncmp(sh->section, rest, len) != 0 || sh->section[len])) {
		snprintf(line, sizeof(line), "%.*s:", (int)len, rest);
		print_line(sh, indent, line, NULL);
	}
	snprintf(sh->section, sizeof(sh->section), "%.*s", (int)len, rest);
	snprintf(line, sizeof(line), "%s: %s", dot ? dot + 1 : rest, value);
	print_line(sh, dot ? indent + 2 : indent, line, at);
}

/* As many as there may be, each with up to 253 bytes: a line each, below "dns:", which is open. */
static void show_suffixes(struct shower *sh)
{
	const struct config *c = &sh->owned->c;
	char line[TEXT_SAFE_MAX * 4 + 16], quoted[TEXT_SAFE_MAX * 4 + 8];

	if (c->n_dns_suffixes)
		print_line(sh, 2, "suffixes:", source_of(sh->owned, "dns.suffixes"));
	for (size_t i = 0; i < c->n_dns_suffixes; i++) {
		text_format(quoted, sizeof(quoted), c->dns_suffixes[i]);
		snprintf(line, sizeof(line), "- %s", quoted);
		print_line(sh, 4, line, NULL);
	}
}

/* The rows below @pattern; @shown is what the sources call it. */
static void show_scope(struct shower *sh, unsigned indent, const char *pattern, const char *shown,
		       const void *base)
{
	size_t len = strlen(pattern);
	char value[KIB(8)], path[CFG_PATH_MAX];

	sh->section[0] = '\0';
	for (size_t i = 0; i < cfg_keys_n; i++) {
		const struct cfg_key *key = &cfg_keys[i];
		const char *rest = len ? key->path + len + 1 : key->path;

		if (key->serve == CFG_LATER ||
		    (len ? strncmp(key->path, pattern, len) != 0 : strchr(key->path, '*') != NULL))
			continue;
		if (key->kind == CFG_K_NAMES) {
			show_suffixes(sh);
			continue;
		}
		if (!value_format(value, sizeof(value), sh->owned, key, base))
			continue;
		snprintf(path, sizeof(path), "%s%s%s", shown, len ? "." : "", rest);
		show_row(sh, indent, rest, value, source_of(sh->owned, path));
	}
}

static const char *match_text(char prefix[NET_PREFIX_STR], const struct cfg_route *r)
{
	switch (r->match) {
	case CFG_MATCH_PREFIX: return net_prefix_str(prefix, &r->prefix);
	case CFG_MATCH_VPC: return "vpc";
	case CFG_MATCH_NAME: break;
	}
	return r->name;
}

static void show_routes(struct shower *sh)
{
	const struct config *c = &sh->owned->c;
	char prefix[NET_PREFIX_STR], quoted[TEXT_SAFE_MAX + 8], line[TEXT_SAFE_MAX + 128];

	print_line(sh, 0, c->n_routes ? "routes:" : "routes: []", NULL);
	for (size_t i = 0; i < c->n_routes; i++) {
		const struct cfg_route *r = &c->routes[i];

		text_format(quoted, sizeof(quoted), match_text(prefix, r));
		snprintf(line, sizeof(line), "- {match: %s, upstream: %s%s}", quoted,
			 cfg_action_name(c, r->action, r->upstream),
			 r->override ? ", override: true" : "");
		print_line(sh, 2, line, &r->place);
	}
}

void cfg_show(const struct config *c, FILE *to)
{
	struct shower sh = {
		.to = to,
		.owned = (const struct cfg_owned *)(const void *)((const char *)c -
								  offsetof(struct cfg_owned, c))
	};
	char line[CFG_PATH_MAX];

	print_line(&sh, 0, "upstreams:", NULL);
	for (size_t i = 0; i < c->n_upstreams; i++) {
		snprintf(line, sizeof(line), "%s:", c->upstreams[i].name);
		print_line(&sh, 2, line, &c->upstreams[i].place);
		snprintf(line, sizeof(line), "upstreams.%s", c->upstreams[i].name);
		show_scope(&sh, 4, "upstreams.*", line, &c->upstreams[i]);
	}
	show_routes(&sh);
	show_scope(&sh, 0, "", "", c);
}
