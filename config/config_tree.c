// SPDX-License-Identifier: MIT
/*
 * config_tree.c - YAML text to a tree of nodes that know their places
 *
 * Theory of operation: libyaml's events are put together with a stack of open lists and maps. An alias hangs the anchor's
 * node into a second place, it is never copied, and only a finished node can be named: so no text grows, and the tree has
 * no cycles. Depth and number of nodes are bounded. Texts of libyaml's errors are constants: nothing of the file
 * gets into them. What is not one map of keys is refused without a word of its content.
 */
#include <string.h>

#include <yaml.h>

#include "base/err.h"
#include "base/text.h"
#include "config/config_internal.h"

#define ANCHORS_MAX 256U /* ours */

struct anchor {
	struct anchor *next;
	const char *name;
	struct cfg_node *node;
	bool is_open;
};

struct level {
	struct cfg_node *node;
	struct anchor *anchor;
	const char *key; /* of a map: read, its value is next */
	struct cfg_place key_place;
};

struct builder {
	struct cfg_loader *ld;
	struct level levels[CFG_DEPTH_MAX];
	size_t depth;
	size_t nodes, n_anchors;
	struct anchor *anchors;
	unsigned documents;
	int err; /* set: stop */
};

struct cfg_node *cfg_node_new(struct cfg_loader *ld, enum cfg_node_kind kind,
			      const struct cfg_place *at)
{
	struct cfg_node *n = cfg_alloc(&ld->temp, sizeof(*n));

	if (n)
		*n = (struct cfg_node){ .kind = kind, .place = *at };
	return n;
}

struct cfg_node *cfg_scalar_new(struct cfg_loader *ld, const char *text, size_t len,
				const struct cfg_place *at)
{
	struct cfg_node *n = cfg_node_new(ld, CFG_SCALAR, at);

	if (n && !(n->text = cfg_strndup(&ld->temp, text, len)))
		return NULL;
	return n;
}

bool cfg_node_add(struct cfg_loader *ld, struct cfg_node *to, const char *key,
		  const struct cfg_place *key_place, struct cfg_node *node)
{
	struct cfg_entry *e = cfg_alloc(&ld->temp, sizeof(*e));

	if (!e || !node)
		return false;
	*e = (struct cfg_entry){ .key = key, .node = node };
	e->key_place = key_place ? *key_place : node->place;
	if (to->last)
		to->last->next = e;
	else
		to->first = e;
	to->last = e;
	to->n++;
	return true;
}

struct cfg_entry *cfg_node_find(const struct cfg_node *map, const char *key)
{
	if (map->kind != CFG_MAP)
		return NULL;
	for (struct cfg_entry *e = map->first; e; e = e->next)
		if (strcmp(e->key, key) == 0)
			return e;
	return NULL;
}

bool cfg_node_is_nothing(const struct cfg_node *node)
{
	return node->kind == CFG_SCALAR && node->is_plain &&
	       (!*node->text || strcmp(node->text, "~") == 0 || strcmp(node->text, "null") == 0);
}

static struct cfg_place place_of(const struct builder *b, const yaml_mark_t *mark)
{
	return (struct cfg_place){ b->ld->file.path, (uint32_t)mark->line + 1,
				   (uint32_t)mark->column + 1 };
}

static void refuse(struct builder *b, const yaml_mark_t *mark, const char *text)
{
	struct cfg_place at = place_of(b, mark);

	cfg_error(b->ld, &at, "%s", text);
	b->err = ST_ECONFIG;
}

/* Nothing of the content is shown before the first document is known to be a map. */
static void refuse_top(struct builder *b, const yaml_mark_t *mark)
{
	refuse(b, mark,
	       "this is no configuration: a mapping of keys is expected, as in \"upstreams:\"");
}

static struct anchor *anchor_new(struct builder *b, const yaml_char_t *name, struct cfg_node *node,
				 bool is_open)
{
	struct anchor *a;

	if (!name)
		return NULL;
	if (++b->n_anchors > ANCHORS_MAX) {
		yaml_mark_t mark = { .line = node->place.line - 1,
				     .column = node->place.column - 1 };

		refuse(b, &mark, "too many anchors (&)");
		return NULL;
	}
	if (!(a = cfg_alloc(&b->ld->temp, sizeof(*a))))
		return NULL;
	*a = (struct anchor){ .next = b->anchors, .node = node, .is_open = is_open };
	if (!(a->name = cfg_strndup(&b->ld->temp, (const char *)name, strlen((const char *)name))))
		return NULL;
	b->anchors = a;
	return a;
}

/* Puts a finished or opened node where it belongs: as the root, an item, a key or a key's value. */
static void place_node(struct builder *b, struct cfg_node *node, const yaml_mark_t *mark)
{
	struct level *top = b->depth ? &b->levels[b->depth - 1] : NULL;

	if (!top) {
		if (node->kind == CFG_MAP)
			b->ld->root = node;
		else
			refuse_top(b, mark);
		return;
	}
	if (top->node->kind == CFG_LIST) {
		cfg_node_add(b->ld, top->node, NULL, NULL, node);
		return;
	}
	if (top->key) {
		cfg_node_add(b->ld, top->node, top->key, &top->key_place, node);
		top->key = NULL;
		return;
	}
	if (node->kind != CFG_SCALAR) {
		refuse(b, mark, "a key must be a plain word");
		return;
	}
	if (strcmp(node->text, "<<") == 0 && node->is_plain) {
		refuse(b, mark, "merge keys (<<) are not supported: write the keys out");
		return;
	}
	top->key = node->text;
	top->key_place = node->place;
}

static bool is_too_many(struct builder *b, const yaml_mark_t *mark)
{
	if (++b->nodes <= CFG_NODES_MAX)
		return false;
	refuse(b, mark, "the file holds too many values");
	return true;
}

static void on_scalar(struct builder *b, const yaml_event_t *ev)
{
	struct cfg_place at = place_of(b, &ev->start_mark);
	struct cfg_node *n;

	if (is_too_many(b, &ev->start_mark))
		return;
	if (memchr(ev->data.scalar.value, '\0', ev->data.scalar.length)) {
		refuse(b, &ev->start_mark, "a NUL byte in a value");
		return;
	}
	n = cfg_scalar_new(b->ld, (const char *)ev->data.scalar.value, ev->data.scalar.length, &at);
	if (!n)
		return;
	n->is_plain = ev->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
	anchor_new(b, ev->data.scalar.anchor, n, false);
	place_node(b, n, &ev->start_mark);
}

static void on_open(struct builder *b, const yaml_event_t *ev, enum cfg_node_kind kind,
		    const yaml_char_t *anchor)
{
	struct cfg_place at = place_of(b, &ev->start_mark);
	struct cfg_node *n;

	if (is_too_many(b, &ev->start_mark))
		return;
	if (b->depth == CFG_DEPTH_MAX) {
		refuse(b, &ev->start_mark, "nested too deeply");
		return;
	}
	if (!(n = cfg_node_new(b->ld, kind, &at)))
		return;
	place_node(b, n, &ev->start_mark);
	b->levels[b->depth++] = (struct level){ .node = n,
						.anchor = anchor_new(b, anchor, n, true) };
}

static void on_close(struct builder *b)
{
	struct anchor *a;

	ST_ASSERT(b->depth > 0); /* libyaml ends nothing that it did not begin */
	a = b->levels[--b->depth].anchor;
	if (a)
		a->is_open = false;
}

static void on_alias(struct builder *b, const yaml_event_t *ev)
{
	const char *name = (const char *)ev->data.alias.anchor;
	struct anchor *a = b->anchors;

	if (!b->depth) {
		refuse_top(b, &ev->start_mark);
		return;
	}
	if (is_too_many(b, &ev->start_mark))
		return;
	while (a && strcmp(a->name, name) != 0)
		a = a->next;
	if (!a || a->is_open)
		refuse(b, &ev->start_mark,
		       a ? "an alias inside of what it names"
			 : "an alias (*) without its anchor (&)");
	else
		place_node(b, a->node, &ev->start_mark);
}

static void on_event(struct builder *b, const yaml_event_t *ev)
{
	switch (ev->type) {
	case YAML_DOCUMENT_START_EVENT:
		if (b->documents++)
			refuse(b, &ev->start_mark, "only one document (---) is expected");
		break;
	case YAML_SCALAR_EVENT:
		if (b->depth)
			on_scalar(b, ev);
		else if (ev->data.scalar.length || ev->data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
			refuse_top(b, &ev->start_mark);
		break;
	case YAML_SEQUENCE_START_EVENT:
		if (b->depth)
			on_open(b, ev, CFG_LIST, ev->data.sequence_start.anchor);
		else
			refuse_top(b, &ev->start_mark);
		break;
	case YAML_MAPPING_START_EVENT:
		on_open(b, ev, CFG_MAP, ev->data.mapping_start.anchor);
		break;
	case YAML_SEQUENCE_END_EVENT:
	case YAML_MAPPING_END_EVENT: on_close(b); break;
	case YAML_ALIAS_EVENT: on_alias(b, ev); break;
	default: break;
	}
	if (b->ld->temp.failed)
		b->err = ST_ENOMEM;
}

static void syntax_error(struct builder *b, const yaml_parser_t *p)
{
	if (p->error == YAML_MEMORY_ERROR)
		b->err = ST_ENOMEM;
	else if (p->error == YAML_READER_ERROR)
		refuse(b, &p->mark, "not UTF-8 text, or a control character in it");
	else
		refuse(b, &p->problem_mark, p->problem ? p->problem : "not YAML");
}

int cfg_tree_parse(struct cfg_loader *ld, const char *text, size_t len)
{
	struct builder b = { .ld = ld };
	yaml_parser_t p;
	bool done = false;

	if (!yaml_parser_initialize(&p))
		return ST_ENOMEM;
	yaml_parser_set_encoding(&p, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&p, (const unsigned char *)text, len);
	while (!done && !b.err) {
		yaml_event_t ev;

		if (!yaml_parser_parse(&p, &ev)) {
			syntax_error(&b, &p);
			break;
		}
		on_event(&b, &ev);
		done = ev.type == YAML_STREAM_END_EVENT;
		yaml_event_delete(&ev);
	}
	yaml_parser_delete(&p);
	return b.err;
}
