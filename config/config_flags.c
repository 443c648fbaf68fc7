// SPDX-License-Identifier: MIT
/*
 * config_flags.c - flags laid over the file's tree, so that one parser judges both
 *
 * Theory of operation: a flag is the path of a key, whole ("upstreams.prod.aws.region"), or within the only upstream
 * ("aws.region"), or one of the short names below. Its value replaces what the file says; several values of a list
 * replace it together. Secrets have no flag: every process of the machine can read an argv.
 */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/dname.h"
#include "base/text.h"
#include "config/config_internal.h"

#define ONE_UPSTREAM "upstreams.*."
#define DEFAULT_NAME "default"

static const struct {
	const char *name, *path; /* @path NULL: a route */
	const char *word;	 /* that stands for the value, which is not given; NULL: it is */
	const char *value, *help;
} shorts[] = {
	{ "target", ONE_UPSTREAM "instances", NULL, "ID", "a target; several are tried in order" },
	{ "profile", ONE_UPSTREAM "aws.profile", NULL, "NAME", NULL },
	{ "region", ONE_UPSTREAM "aws.region", NULL, "NAME", NULL },
	{ "user", ONE_UPSTREAM "ssh.user", NULL, "NAME", NULL },
	{ "route", NULL, NULL, "CIDR|vpc",
	  "route this prefix, or what the target's VPC reaches, into the upstream; may be "
	  "repeated" },
	{ "reason", ONE_UPSTREAM "reason", NULL, "TEXT", NULL },
	{ "endpoint-url", ONE_UPSTREAM "aws.endpoint_url", NULL, "URL", NULL },
	{ "ca-bundle", ONE_UPSTREAM "aws.ca_bundle", NULL, "FILE", NULL },
	{ "domain", NULL, NULL, "GLOB",
	  "names that go into the upstream: NAME, *.SUFFIX or a pattern; may be repeated" },
	{ "system", "tun.mode", "system", "",
	  "route the whole machine into the only upstream, or into default" },
};

/* The row of "--name", its path in @path: upstream names are "*" there and in @upstream (NULL: the only one). */
static const struct cfg_key *row_of(const char *name, char path[CFG_PATH_MAX],
				    char upstream[CFG_NAME_MAX + 1])
{
	const struct cfg_key *key;
	const char *rest, *dot;

	upstream[0] = '\0';
	for (size_t i = 0; i < ARRAY_LEN(shorts); i++)
		if (shorts[i].path && strcmp(shorts[i].name, name) == 0) {
			text_copy(path, CFG_PATH_MAX, shorts[i].path);
			return cfg_key_find(path);
		}
	if (strlen(name) + sizeof(ONE_UPSTREAM) > CFG_PATH_MAX || strchr(name, '*'))
		return NULL;
	if (strncmp(name, "upstreams.", 10) == 0 && (dot = strchr(name + 10, '.'))) {
		rest = name + 10;
		if ((size_t)(dot - rest) > CFG_NAME_MAX)
			return NULL;
		memcpy(upstream, rest, (size_t)(dot - rest));
		upstream[dot - rest] = '\0';
		if (!cfg_name_is_valid(upstream))
			return NULL;
		snprintf(path, CFG_PATH_MAX, ONE_UPSTREAM "%s", dot + 1);
		return cfg_key_find(path);
	}
	text_copy(path, CFG_PATH_MAX, name);
	if (strncmp(name, "routes.", 7) != 0 && (key = cfg_key_find(path)))
		return key;
	snprintf(path, CFG_PATH_MAX, ONE_UPSTREAM "%s", name);
	return cfg_key_find(path);
}

bool cfg_flag_known(const char *name, bool *takes_list, bool *later)
{
	char path[CFG_PATH_MAX], upstream[CFG_NAME_MAX + 1];
	const struct cfg_key *key = row_of(name, path, upstream);

	*takes_list = *later = false;
	for (size_t i = 0; i < ARRAY_LEN(shorts); i++)
		if (!shorts[i].path && strcmp(shorts[i].name, name) == 0) {
			*takes_list = true;
			return true;
		}
	if (!key || key->kind == CFG_K_SECRET)
		return false;
	*later = key->serve == CFG_LATER;
	*takes_list = cfg_key_is_list(key);
	return true;
}

static const char *word_of(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(shorts); i++)
		if (strcmp(shorts[i].name, name) == 0)
			return shorts[i].word;
	return NULL;
}

bool cfg_flag_takes_value(const char *name)
{
	return !word_of(name);
}

bool cfg_flags_have(const struct cfg_opts *opts, const char *name)
{
	for (size_t i = 0; i < opts->n_flags; i++)
		if (strcmp(opts->flags[i].name, name) == 0)
			return true;
	return false;
}

/* The map at @key of @map, made if it is not there. Return: NULL if something else stands there (the walk says so) */
static struct cfg_node *map_in(struct cfg_loader *ld, struct cfg_node *map, const char *key,
			       const struct cfg_place *at)
{
	struct cfg_entry *e = cfg_node_find(map, key);
	struct cfg_node *node;

	if (e && e->node->kind != CFG_MAP && !cfg_node_is_nothing(e->node))
		return NULL;
	if (!(node = cfg_node_new(ld, CFG_MAP, at)))
		return NULL;
	if (e) {
		/* a copy: by an alias the map may hang elsewhere too */
		for (const struct cfg_entry *old = e->node->first; old; old = old->next)
			cfg_node_add(ld, node, old->key, &old->key_place, old->node);
		e->node = node;
		return node;
	}
	return cfg_node_add(ld, map, cfg_strndup(&ld->temp, key, strlen(key)), at, node) ? node
											 : NULL;
}

/* The name of the only upstream; NULL if that is not one (reported). */
static const char *only_upstream(struct cfg_loader *ld, const struct cfg_place *at)
{
	const struct cfg_entry *e = cfg_node_find(ld->root, "upstreams");
	size_t n = e && e->node->kind == CFG_MAP ? e->node->n : 0;

	if (n == 1)
		return e->node->first->key;
	if (n == 0 && cfg_flags_have(ld->opts, "target"))
		return DEFAULT_NAME;
	if (n == 0)
		cfg_error(ld, at, "there is no upstream that this could be for: give --target too");
	else
		cfg_error(
			ld, at,
			"there are %zu upstreams: say for which one, as --upstreams.NAME.key=VALUE",
			n);
	return NULL;
}

static void set_leaf(struct cfg_loader *ld, struct cfg_node *map, const char *name,
		     const struct cfg_flag *flag, bool is_list, const struct cfg_place *at)
{
	struct cfg_node *value = cfg_scalar_new(ld, flag->value, strlen(flag->value), at);
	struct cfg_entry *e = cfg_node_find(map, name);
	struct cfg_node *list;

	if (!value)
		return;
	if (is_list) {
		list = e && e->node->is_flag ? e->node : cfg_node_new(ld, CFG_LIST, at);
		if (!list || !cfg_node_add(ld, list, NULL, NULL, value))
			return;
		list->is_flag = true;
		value = list;
	}
	if (e) {
		e->node = value;
		e->key_place = *at;
	} else {
		cfg_node_add(ld, map, cfg_strndup(&ld->temp, name, strlen(name)), at, value);
	}
}

static void set_path(struct cfg_loader *ld, const char *path, const char *upstream,
		     const struct cfg_flag *flag, bool is_list, const struct cfg_place *at)
{
	struct cfg_node *map = ld->root;
	char part[CFG_PATH_MAX];
	const char *dot;

	for (; map && (dot = strchr(path, '.')); path = dot + 1) {
		snprintf(part, sizeof(part), "%.*s", (int)(dot - path), path);
		map = map_in(ld, map, strcmp(part, "*") != 0 ? part : upstream, at);
	}
	if (map)
		set_leaf(ld, map, path, flag, is_list, at);
}

static void add_route(struct cfg_loader *ld, const struct cfg_flag *flag,
		      const struct cfg_place *at)
{
	const char *upstream = only_upstream(ld, at);
	struct cfg_entry *e = cfg_node_find(ld->root, "routes");
	struct cfg_node *route = cfg_node_new(ld, CFG_MAP, at), *list = e ? e->node : NULL;

	if (!upstream || !route)
		return;
	if (!e || cfg_node_is_nothing(e->node)) {
		if (!(list = cfg_node_new(ld, CFG_LIST, at)))
			return;
		if (e)
			e->node = list;
		else
			cfg_node_add(ld, ld->root, "routes", at, list);
	}
	if (list->kind == CFG_LIST &&
	    cfg_node_add(ld, route, "match", at,
			 cfg_scalar_new(ld, flag->value, strlen(flag->value), at)) &&
	    cfg_node_add(ld, route, "upstream", at,
			 cfg_scalar_new(ld, upstream, strlen(upstream), at)))
		cfg_node_add(ld, list, NULL, NULL, route);
}

/* Is @flag one that may be given so? Reports what is wrong. */
static bool is_fine(struct cfg_loader *ld, const struct cfg_flag *flag, const struct cfg_place *at)
{
	const char *value = flag->value ? flag->value : "";
	bool has_value = *value, is_list, later;

	if (!cfg_flag_known(flag->name, &is_list, &later))
		cfg_error(ld, at, "there is no such flag");
	else if (later)
		cfg_error(ld, at, "not yet supported");
	else if (has_value != cfg_flag_takes_value(flag->name))
		cfg_error(ld, at, has_value ? "takes no value" : "needs a value");
	else if (strcmp(flag->name, "domain") == 0 &&
		 (!dname_looks_like(value) || strcasecmp(value, "vpc") == 0))
		cfg_error(ld, at,
			  "a name or a pattern of names is expected, not %s: that is for --route",
			  cfg_quote(value).s);
	else
		return true;
	return false;
}

/* --system alone is for the only upstream, as the other short flags are. */
static void default_to_upstream(struct cfg_loader *ld, const struct cfg_place *at)
{
	const struct cfg_entry *e = cfg_node_find(ld->root, "upstreams");
	struct cfg_flag flag = { .name = "default" };

	if (cfg_node_find(ld->root, "default") || cfg_flags_have(ld->opts, "default") || !e ||
	    e->node->kind != CFG_MAP || e->node->n != 1)
		return;
	flag.value = e->node->first->key;
	set_path(ld, flag.name, "", &flag, false, at);
}

static void merge_one(struct cfg_loader *ld, const struct cfg_flag *given)
{
	char path[CFG_PATH_MAX], named[CFG_NAME_MAX + 1];
	const char *upstream = named;
	struct cfg_flag flag = *given;
	struct cfg_place at = { .file = NULL };
	const struct cfg_key *key;
	char *where = cfg_alloc(&ld->owned->arena, strlen(flag.name) + sizeof("flag --"));

	if (!where)
		return;
	sprintf(where, "flag --%s", flag.name);
	at.file = where;
	if (!is_fine(ld, &flag, &at))
		return;
	key = row_of(flag.name, path, named);
	if (!key) {
		add_route(ld, &flag, &at);
		return;
	}
	if (strstr(path, "*") && !*named && !(upstream = only_upstream(ld, &at)))
		return;
	if (word_of(flag.name)) {
		flag.value = word_of(flag.name);
		default_to_upstream(ld, &at);
	}
	set_path(ld, path, upstream, &flag, cfg_key_is_list(key), &at);
}

void cfg_flags_merge(struct cfg_loader *ld)
{
	/* targets first: they make the upstream that the others are for */
	for (unsigned pass = 0; pass < 2; pass++)
		for (size_t i = 0; i < ld->opts->n_flags; i++)
			if ((strcmp(ld->opts->flags[i].name, "target") == 0) == (pass == 0))
				merge_one(ld, &ld->opts->flags[i]);
}

static const char *value_name(const struct cfg_key *key)
{
	static const char *const names[] = {
		[CFG_K_TEXT] = "TEXT",
		[CFG_K_SECRET] = "",
		[CFG_K_PATH] = "FILE",
		[CFG_K_U16] = "N",
		[CFG_K_U32] = "N",
		[CFG_K_MS] = "TIME",
		[CFG_K_BYTES] = "SIZE",
		[CFG_K_BOOL] = "true|false",
		[CFG_K_CHOICE] = "WORD",
		[CFG_K_TARGETS] = "ID",
		[CFG_K_SSH_KEY] = "PATH|instance-connect",
		[CFG_K_HOST_KEY] = "WORD",
		[CFG_K_PACE] = "N|off",
		[CFG_K_MATCH] = "CIDR|NAME",
		[CFG_K_EITHER] = "WORD",
		[CFG_K_RESOLVER] = "ADDRESS[:PORT]",
		[CFG_K_NAMES] = "NAME",
		[CFG_K_ACCESS] = "all|USER",
		[CFG_K_ACTION] = "NAME",
		[CFG_K_NOTHING] = "WORD",
	};

	return names[key->kind];
}

void cfg_flags_help(FILE *to)
{
	char line[200];

	for (size_t i = 0; i < ARRAY_LEN(shorts); i++) {
		const struct cfg_key *key = shorts[i].path ? cfg_key_find(shorts[i].path) : NULL;
		const char *help = shorts[i].help ? shorts[i].help : key ? key->help : "";

		snprintf(line, sizeof(line), "--%s%s%s", shorts[i].name,
			 *shorts[i].value ? " " : "", shorts[i].value);
		fprintf(to, "  %-34s %s\n", line, help);
	}
	fputs("\nkeys of the file; with one upstream \"upstreams.NAME.\" may be left out:\n", to);
	for (size_t i = 0; i < cfg_keys_n; i++) {
		const struct cfg_key *key = &cfg_keys[i];
		const char *star = strchr(key->path, '*');

		if (key->serve == CFG_LATER || key->kind == CFG_K_SECRET ||
		    strncmp(key->path, "routes.", 7) == 0)
			continue;
		if (star)
			snprintf(line, sizeof(line), "--%.*sNAME%s=%s", (int)(star - key->path),
				 key->path, star + 1, value_name(key));
		else
			snprintf(line, sizeof(line), "--%s=%s", key->path, value_name(key));
		fprintf(to, "  %-46s %s%s%s%s\n", line, key->help, key->def ? " (" : "",
			key->def ? key->def : "", key->def ? ")" : "");
	}
}
