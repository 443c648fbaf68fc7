// SPDX-License-Identifier: MIT
/*
 * config_walk.c - the tree against the table of keys
 *
 * Theory of operation: a map is walked with two paths, one with "*" for look-ups in the table and one with names for messages
 * and `config show`. Upstreams come first, since routes and the default name them. A key that was set marks its row
 * in the scope (whole file, one upstream, one route); the rows of the scope that are left get their defaults through
 * the same parser. The walk goes no deeper than the table does, so aliases can't make it long.
 */
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "config/config_internal.h"

/* One struct that is being filled. */
struct scope {
	const char *pattern; /* "", "upstreams.*", "routes.*" */
	const char *shown;   /* "", "upstreams.prod", "routes[2]" */
	void *base;
	uint64_t seen; /* rows of the table */
};

static void path_join(char out[CFG_PATH_MAX], const char *section, const char *key)
{
	if (snprintf(out, CFG_PATH_MAX, "%s%s%s", section, *section ? "." : "", key) >=
	    (int)CFG_PATH_MAX)
		out[0] = '\0'; /* no row has that */
}

static void source_add(struct cfg_loader *ld, const char *path, const struct cfg_place *at)
{
	struct cfg_source *s;

	if (strncmp(path, "routes[", 7) == 0) /* thousands; a route has its own place */
		return;
	s = cfg_alloc(&ld->owned->arena, sizeof(*s));
	if (!s || !(s->path = cfg_strndup(&ld->owned->arena, path, strlen(path))))
		return;
	s->place = *at;
	if (ld->owned->last_source)
		ld->owned->last_source->next = s;
	else
		ld->owned->sources = s;
	ld->owned->last_source = s;
}

/* Nobody named ./config.yaml: it may not take the whole machine, nor open it to others (design, section 5). */
static bool is_forbidden(const struct cfg_loader *ld, const struct cfg_key *key,
			 const struct cfg_node *node)
{
	return key->is_guarded && ld->file.is_found && node->place.line &&
	       (node->kind != CFG_SCALAR || strcmp(node->text, key->def) != 0);
}

static void leaf(struct cfg_loader *ld, struct scope *sc, const struct cfg_key *key,
		 const struct cfg_entry *e, const char *shown)
{
	const struct cfg_place *at = &e->key_place;

	sc->seen |= UINT64_C(1) << (key - cfg_keys);
	if (key->serve == CFG_LATER) {
		cfg_error(ld, at, "%s is not yet supported", shown);
		return;
	}
	if (cfg_node_is_nothing(e->node)) {
		cfg_error(ld, at, "%s has no value", shown);
		return;
	}
	if (is_forbidden(ld, key, e->node)) {
		cfg_error(ld, at,
			  "%s may only be set in a file that was named with -c, not in %s: name "
			  "it, or leave it at %s",
			  shown, ld->file.path, key->def);
		return;
	}
	if (key->kind == CFG_K_SECRET && !ld->secret.file && at->line)
		ld->secret = *at;
	if (!cfg_value_set(ld, key, e->node, shown, sc->base))
		return;
	if (key->note)
		cfg_note(ld, at, "%s: %s", shown, key->note);
	source_add(ld, shown, &e->node->place);
}

/* A line of any file may end in a colon and so be a "key": only what looks like a key is shown. */
static struct cfg_quoted key_quote(const char *key)
{
	static const char word[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";

	return cfg_quote(strspn(key, word) == strlen(key) ? key : "(not a word)");
}

static void unknown(struct cfg_loader *ld, const struct cfg_entry *e, const char *section,
		    const char *shown)
{
	char near[CFG_PATH_MAX];
	const char *word = cfg_key_near(near, section, e->key);

	cfg_error(ld, &e->key_place, "unknown key %s%s%s%s%s%s", key_quote(e->key).s,
		  *shown ? " in " : "", shown, word ? ", did you mean \"" : "", word ? word : "",
		  word ? "\"?" : "");
}

static bool is_repeated(struct cfg_loader *ld, const struct cfg_node *map,
			const struct cfg_entry *e)
{
	const struct cfg_entry *first = map->first;

	while (first != e && strcmp(first->key, e->key) != 0)
		first = first->next;
	if (first == e)
		return false;
	cfg_error(ld, &e->key_place, "%s stands twice; first in %s", key_quote(e->key).s,
		  cfg_where(&first->key_place).s);
	return true;
}

static bool is_map(struct cfg_loader *ld, const struct cfg_entry *e, const char *shown)
{
	if (e->node->kind == CFG_MAP)
		return true;
	if (!cfg_node_is_nothing(e->node))
		cfg_error(ld, &e->node->place, "%s must hold keys, as in \"%s: {key: value}\"",
			  shown, shown);
	return false;
}

/* A leaf or a section below @section; the table ends the descent. */
static void walk_map(struct cfg_loader *ld, struct scope *sc, const struct cfg_node *map,
		     const char *section, const char *section_shown)
{
	char path[CFG_PATH_MAX], shown[CFG_PATH_MAX];

	for (const struct cfg_entry *e = map->first; e && !cfg_report_is_full(ld->report);
	     e = e->next) {
		const struct cfg_key *key;

		if (is_repeated(ld, map, e))
			continue;
		path_join(path, section, e->key);
		path_join(shown, section_shown, e->key);
		if (!*sc->pattern &&
		    (strcmp(path, "upstreams") == 0 || strcmp(path, "routes") == 0))
			continue;
		if ((key = cfg_key_find(path)) && !strchr(e->key, '.') && !strchr(e->key, '*'))
			leaf(ld, sc, key, e, shown);
		else if (*path && !strchr(e->key, '.') && cfg_key_is_section(path)) {
			if (is_map(ld, e, shown))
				walk_map(ld, sc, e->node, path, shown);
		} else
			unknown(ld, e, section, section_shown);
	}
}

static bool row_is_of(const struct cfg_key *key, const struct scope *sc)
{
	size_t len = strlen(sc->pattern);

	if (!len)
		return !strchr(key->path, '*');
	return strncmp(key->path, sc->pattern, len) == 0 && key->path[len] == '.';
}

static void set_defaults(struct cfg_loader *ld, struct scope *sc)
{
	static const struct cfg_place nowhere = { .file = "default" };
	char shown[CFG_PATH_MAX];

	for (size_t i = 0; i < cfg_keys_n; i++) {
		const struct cfg_key *key = &cfg_keys[i];
		struct cfg_node node = { .kind = CFG_SCALAR, .text = key->def, .place = nowhere };

		if (!key->def || (sc->seen >> i & 1) || !row_is_of(key, sc))
			continue;
		if (*sc->pattern)
			path_join(shown, sc->shown, key->path + strlen(sc->pattern) + 1);
		else
			text_copy(shown, sizeof(shown), key->path);
		if (cfg_value_set(ld, key, &node, shown, sc->base))
			source_add(ld, shown, &nowhere);
	}
}

static void walk_upstream(struct cfg_loader *ld, const struct cfg_entry *e)
{
	struct config *c = &ld->owned->c;
	char shown[CFG_PATH_MAX];
	struct cfg_upstream *u = &c->upstreams[c->n_upstreams];
	struct scope sc = { .pattern = "upstreams.*", .shown = shown, .base = u };

	if (!cfg_name_is_valid(e->key)) {
		cfg_error(ld, &e->key_place,
			  "an upstream's name is made of 1 to %u letters, digits, _ and -, not %s",
			  CFG_NAME_MAX, cfg_quote(e->key).s);
		return;
	}
	if (strcmp(e->key, "direct") == 0 || strcmp(e->key, "reject") == 0 ||
	    strcmp(e->key, "drop") == 0) {
		cfg_error(ld, &e->key_place, "an upstream can't be named %s: that is an action",
			  e->key);
		return;
	}
	path_join(shown, "upstreams", e->key);
	u->name = cfg_strndup(&ld->owned->arena, e->key, strlen(e->key));
	u->place = e->key_place;
	c->n_upstreams++;
	if (is_map(ld, e, shown))
		walk_map(ld, &sc, e->node, "upstreams.*", shown);
	set_defaults(ld, &sc);
}

static void walk_upstreams(struct cfg_loader *ld)
{
	const struct cfg_entry *e = cfg_node_find(ld->root, "upstreams");
	struct config *c = &ld->owned->c;
	size_t n = 0;

	if (!e || !is_map(ld, e, "upstreams"))
		return;
	c->upstreams = cfg_alloc(&ld->owned->arena,
				 MIN(e->node->n, CFG_UPSTREAMS_MAX) * sizeof(*c->upstreams) + 1);
	for (const struct cfg_entry *u = e->node->first; u && c->upstreams; u = u->next, n++) {
		if (n == CFG_UPSTREAMS_MAX) {
			cfg_error(ld, &u->key_place, "more than %u upstreams", CFG_UPSTREAMS_MAX);
			return;
		}
		if (!is_repeated(ld, e->node, u))
			walk_upstream(ld, u);
	}
}

static void walk_route(struct cfg_loader *ld, const struct cfg_entry *e, size_t n)
{
	struct config *c = &ld->owned->c;
	char shown[CFG_PATH_MAX];
	struct cfg_route *r = &c->routes[c->n_routes];
	struct scope sc = { .pattern = "routes.*", .shown = shown, .base = r };
	size_t errors = ld->report->n_errors;
	static const char *const needed[] = { "match", "upstream" };

	snprintf(shown, sizeof(shown), "routes[%zu]", n);
	if (e->node->kind != CFG_MAP) {
		cfg_error(ld, &e->node->place,
			  "a route is written as {match: 10.0.0.0/8, upstream: NAME}");
		return;
	}
	*r = (struct cfg_route){ .place = e->node->place, .order = (uint32_t)n };
	walk_map(ld, &sc, e->node, "routes.*", shown);
	set_defaults(ld, &sc);
	for (size_t i = 0; i < ARRAY_LEN(needed); i++)
		if (!cfg_node_find(e->node, needed[i]))
			cfg_error(ld, &e->node->place, "%s lacks \"%s\"", shown, needed[i]);
	if (ld->report->n_errors == errors)
		c->n_routes++;
}

static void walk_routes(struct cfg_loader *ld)
{
	const struct cfg_entry *e = cfg_node_find(ld->root, "routes");
	struct config *c = &ld->owned->c;
	size_t n = 0;

	if (!e || cfg_node_is_nothing(e->node))
		return;
	if (e->node->kind != CFG_LIST) {
		cfg_error(ld, &e->node->place,
			  "routes must be a list: \"- {match: …, upstream: …}\"");
		return;
	}
	c->routes = cfg_alloc(&ld->owned->arena,
			      MIN(e->node->n, CFG_ROUTES_MAX) * sizeof(*c->routes) + 1);
	for (const struct cfg_entry *r = e->node->first; r && c->routes; r = r->next, n++) {
		if (n == CFG_ROUTES_MAX) {
			cfg_error(ld, &r->node->place, "more than %u routes", CFG_ROUTES_MAX);
			return;
		}
		walk_route(ld, r, n);
	}
}

bool cfg_walk_is_ours(struct cfg_loader *ld)
{
	char near[CFG_PATH_MAX];
	const char *word = NULL;

	for (const struct cfg_entry *e = ld->root->first; e; e = e->next) {
		if (!strchr(e->key, '.') && (cfg_key_find(e->key) || cfg_key_is_section(e->key)))
			return true;
		if (!word && strlen(e->key) < CFG_NAME_MAX)
			word = cfg_key_near(near, "", e->key);
	}
	if (!ld->root->first)
		return true;
	cfg_error(ld, &ld->root->place,
		  "this is no configuration: it has no key that is known%s%s%s",
		  word ? ", did you mean \"" : "", word ? word : "", word ? "\"?" : "");
	return false;
}

void cfg_walk(struct cfg_loader *ld)
{
	struct scope sc = { .pattern = "", .shown = "", .base = &ld->owned->c };

	walk_upstreams(ld);
	walk_map(ld, &sc, ld->root, "", "");
	set_defaults(ld, &sc);
	walk_routes(ld);
}
