// SPDX-License-Identifier: MIT
/*
 * config.c - loads a configuration: file, flags, table, checks
 *
 * Theory of operation: the file becomes a tree (config_tree.c), flags are laid over it (config_flags.c), the tree is
 * walked along the table of keys (config_walk.c, config_value.c), and what concerns several values is checked last
 * (config_check.c). Each step reports every problem it finds; a load without errors gives a struct config that never
 * changes again. Its strings live in one arena, which is wiped as a whole.
 */
#include "config/config.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/codec.h"
#include "base/err.h"
#include "config/config_internal.h"

#define BLOCK_BYTES KIB(16)	 /* ours */
#define BLOCK_MAX_BYTES KIB(512) /* ours: a large file needs few, and gives whole ones back */

struct cfg_block {
	struct cfg_block *next;
	size_t size;
	_Alignas(max_align_t) unsigned char mem[];
};

void *cfg_alloc(struct cfg_arena *a, size_t size)
{
	size_t need = (size + 15U) & ~(size_t)15U;
	struct cfg_block *b;

	if (!a->blocks || need > a->room) {
		size_t bytes = a->blocks ? MIN(a->blocks->size * 2, BLOCK_MAX_BYTES) : BLOCK_BYTES;

		bytes = MAX(need, bytes);

		if (!(b = calloc(1, sizeof(*b) + bytes))) {
			a->failed = true;
			return NULL;
		}
		*b = (struct cfg_block){ .next = a->blocks, .size = bytes };
		a->blocks = b;
		a->room = bytes;
	}
	b = a->blocks;
	a->room -= need;
	return b->mem + (b->size - a->room - need);
}

char *cfg_strndup(struct cfg_arena *a, const char *s, size_t len)
{
	char *copy = cfg_alloc(a, len + 1);

	if (copy)
		memcpy(copy, s, len);
	return copy;
}

void cfg_arena_wipe(struct cfg_arena *a)
{
	while (a->blocks) {
		struct cfg_block *next = a->blocks->next;

		codec_wipe(a->blocks->mem, a->blocks->size);
		free(a->blocks);
		a->blocks = next;
	}
	*a = (struct cfg_arena){ 0 };
}

static void owned_free(struct cfg_owned *o)
{
	if (!o)
		return;
	cfg_arena_wipe(&o->arena);
	free(o);
}

void cfg_free(struct config *c)
{
	if (c)
		owned_free(container_of(c, struct cfg_owned, c));
}

static int loader_init(struct cfg_loader *ld, const struct cfg_opts *opts,
		       struct cfg_report *report)
{
	*ld = (struct cfg_loader){ .opts = opts, .report = report };
	ld->owned = calloc(1, sizeof(*ld->owned));
	report->n = report->n_errors = report->names_len = 0;
	return ld->owned ? 0 : ST_ENOMEM;
}

/* With the tree in ld->root: the rest, and the result. Takes what @ld holds. */
static int finish(struct cfg_loader *ld, struct config **out, int err)
{
	struct cfg_place top = { .file = ld->file.path };
	struct config *c = &ld->owned->c;
	bool is_large;

	if (!err && !ld->root && !(ld->root = cfg_node_new(ld, CFG_MAP, &top)))
		err = ST_ENOMEM;
	if (!err && !cfg_walk_is_ours(ld))
		err = ST_ECONFIG;
	if (!err) {
		c->file = ld->file.path;
		c->file_is_roots = ld->file.is_roots;
		cfg_flags_merge(ld);
		cfg_walk(ld);
		cfg_check(ld);
	}
	if (ld->temp.failed || ld->owned->arena.failed)
		err = ST_ENOMEM;
	else if (!err && ld->report->n_errors)
		err = ST_ECONFIG;
	cfg_report_sort(ld->report);
	is_large = ld->temp.blocks && ld->temp.blocks->size >= BLOCK_MAX_BYTES;
	cfg_arena_wipe(&ld->temp);
	if (err)
		owned_free(ld->owned);
	else
		*out = c;
#ifdef __GLIBC__
	if (is_large)
		malloc_trim(0); /* the tree of 10,000 rules is larger than all that stays */
#endif
	return err;
}

int cfg_load_text(struct config **out, const struct cfg_opts *opts, struct cfg_report *report,
		  const struct cfg_file *file, const char *text, size_t len)
{
	struct cfg_loader ld;
	int err;

	if ((err = loader_init(&ld, opts, report)) < 0)
		return err;
	ld.file = *file;
	if (file->path &&
	    !(ld.file.path = cfg_strndup(&ld.owned->arena, file->path, strlen(file->path))))
		err = ST_ENOMEM;
	else if (text)
		err = cfg_tree_parse(&ld, text, len);
	return finish(&ld, out, err);
}

/* ./config.yaml may be another program's: without a top-level upstreams: it is none of ours. */
static bool is_foreign(struct cfg_loader *ld, int err)
{
	struct cfg_place at = { .file = ld->file.path };

	if (!ld->file.is_found || err == ST_ENOMEM)
		return false;
	if (ld->root && cfg_node_find(ld->root, "upstreams"))
		return false;
	ld->report->n = ld->report->n_errors = 0; /* whatever was found in it is not about us */
	cfg_note(ld, &at, "skipped: no top-level \"upstreams:\"%s",
		 err ? " (and it can't be read as YAML)" : "");
	cfg_arena_wipe(&ld->temp);
	ld->root = NULL;
	ld->file = (struct cfg_file){ 0 };
	return true;
}

/* Finds the file and makes the tree. Return: 0, also without a file where none is needed */
static int load_file(struct cfg_loader *ld)
{
	unsigned state = 0;
	struct buf text;
	int err;

	if (!ld->opts->path && !ld->opts->name && cfg_flags_have(ld->opts, "target"))
		return 0;
	do {
		buf_init_secret(&text, CFG_FILE_MAX);
		err = cfg_file_next(ld, &state, &text);
		if (!err)
			err = cfg_tree_parse(ld, (const char *)buf_data(&text), text.len);
		buf_wipe(&text);
	} while (ld->file.path && is_foreign(ld, err));
	return err;
}

int cfg_load(struct config **out, const struct cfg_opts *opts, struct cfg_report *report)
{
	struct cfg_loader ld;
	int err = loader_init(&ld, opts, report);

	return err < 0 ? err : finish(&ld, out, load_file(&ld));
}
