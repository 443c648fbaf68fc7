// SPDX-License-Identifier: MIT
/* config_internal.h - what the files of config/ share; tests and the fuzzer of this folder may include it */
#ifndef CONFIG_CONFIG_INTERNAL_H
#define CONFIG_CONFIG_INTERNAL_H

#include <sys/stat.h>

#include "base/util.h"
#include "config/config.h"

#define CFG_NODES_MAX                                                                              \
	131072U		  /* ours: values of one file; CFG_ROUTES_MAX routes of 7 and some more */
#define CFG_DEPTH_MAX 16U /* ours: the deepest key stands at 5 */
#define CFG_PATH_MAX 160U /* ours: "upstreams.NAME.aws.session_token" and NUL, with room */
#define CFG_NAME_MAX 32U  /* of an upstream; design, section 4 */
#define CFG_QUOTE_MAX 40U /* bytes of a value in a message; design, section 5 */

/* Memory that is given back, and wiped, at once. */
struct cfg_arena {
	struct cfg_block *blocks;
	size_t room; /* in the newest block */
	bool failed; /* an allocation did; its owner checks once at the end */
};
void *cfg_alloc(struct cfg_arena *a, size_t size); /* zeroed; NULL without memory */
char *cfg_strndup(struct cfg_arena *a, const char *s, size_t len);
void cfg_arena_wipe(struct cfg_arena *a);

/* The file as a tree. A node may hang at several places (aliases), never below itself. */
enum cfg_node_kind { CFG_SCALAR, CFG_LIST, CFG_MAP };
struct cfg_entry {
	struct cfg_entry *next;
	const char *key; /* NULL in a list */
	struct cfg_place key_place;
	struct cfg_node *node;
};
struct cfg_node {
	enum cfg_node_kind kind;
	const char *text; /* of a scalar; no NUL inside */
	bool is_plain;	  /* not quoted: "", "~" and "null" mean nothing */
	bool is_flag;	  /* a list made by flags: more may be added */
	struct cfg_place place;
	struct cfg_entry *first, *last;
	size_t n;
};

/* Where a value of the configuration came from, for `config show`. */
struct cfg_source {
	struct cfg_source *next;
	const char *path; /* "upstreams.prod.aws.region" */
	struct cfg_place place;
};

/* The struct config that callers see is the first member of this. */
struct cfg_owned {
	struct config c;
	struct cfg_arena arena;
	struct cfg_source *sources, *last_source;
};

struct cfg_file {
	const char *path; /* NULL: no file */
	struct stat st;
	bool is_roots;
	bool is_found; /* ./config.yaml, which nobody named: counts only with a top-level upstreams: and may not set what is guarded */
};

struct cfg_loader {
	const struct cfg_opts *opts;
	struct cfg_report *report;
	struct cfg_owned *owned;
	struct cfg_arena temp; /* the tree */
	struct cfg_node *root; /* a map, once there is one */
	struct cfg_file file;
	struct cfg_place secret; /* of the first one in the file; file NULL: none */
};

/* config_report.c */
void cfg_error(struct cfg_loader *ld, const struct cfg_place *at, const char *fmt, ...)
	ST_PRINTF(3, 4);
void cfg_note(struct cfg_loader *ld, const struct cfg_place *at, const char *fmt, ...)
	ST_PRINTF(3, 4);
void cfg_report_sort(struct cfg_report *report);
bool cfg_report_is_full(const struct cfg_report *report);

/* A value as messages may show it: at most CFG_QUOTE_MAX printable bytes in quotes. */
struct cfg_quoted {
	char s[CFG_QUOTE_MAX * 4 + 8];
};
struct cfg_quoted cfg_quote(const char *value);

/* "line 12", or the flag */
struct cfg_where {
	char s[64];
};
struct cfg_where cfg_where(const struct cfg_place *at);

/* config_file.c */
/** cfg_file_next() - the next candidate after *@state (0 at first) that exists and is trusted, read into @text.
 * Return: 0; ST_ENOENT when there is none left; ST_ECONFIG (reported); ST_ENOMEM */
struct buf;
int cfg_file_next(struct cfg_loader *ld, unsigned *state, struct buf *text);

/* config_tree.c */
/** cfg_tree_parse() - ld->root from YAML. Return: 0; ST_ECONFIG (reported); ST_ENOMEM */
int cfg_tree_parse(struct cfg_loader *ld, const char *text, size_t len);
struct cfg_node *cfg_node_new(struct cfg_loader *ld, enum cfg_node_kind kind,
			      const struct cfg_place *at);
struct cfg_node *cfg_scalar_new(struct cfg_loader *ld, const char *text, size_t len,
				const struct cfg_place *at);
/** cfg_node_add() - @key NULL in a list. Return: false without memory */
bool cfg_node_add(struct cfg_loader *ld, struct cfg_node *to, const char *key,
		  const struct cfg_place *key_place, struct cfg_node *node);
struct cfg_entry *cfg_node_find(const struct cfg_node *map, const char *key); /* NULL: none */
bool cfg_node_is_nothing(const struct cfg_node *node); /* "key:" without a value */

/* config_keys.c: the table */
enum cfg_kind {
	CFG_K_TEXT,
	CFG_K_SECRET,
	CFG_K_PATH,
	CFG_K_U16,
	CFG_K_U32,
	CFG_K_MS,
	CFG_K_BYTES,
	CFG_K_BOOL,
	CFG_K_CHOICE,
	CFG_K_TARGETS,
	CFG_K_SSH_KEY,
	CFG_K_HOST_KEY,
	CFG_K_PACE,
	CFG_K_MATCH,
	CFG_K_ACTION,
	CFG_K_EITHER, /* a bool: the second of two choices */
	CFG_K_RESOLVER,
	CFG_K_NAMES,
	CFG_K_ACCESS,
	CFG_K_NOTHING, /* checked by its choices, stored nowhere */
};
enum cfg_serve { CFG_SERVED, CFG_NOTED, CFG_LATER };
#define CFG_INSTANCE_CONNECT "instance-connect" /* in the place of a key's path */
struct cfg_key {
	const char *path; /* "*" stands for a name or a place in a list */
	enum cfg_serve serve;
	enum cfg_kind kind;
	size_t offset;			    /* in struct config, cfg_upstream or cfg_route */
	uint64_t min, max;		    /* of a number, or of a text's length */
	const char *def;		    /* NULL: not set */
	const char *const *choices;	    /* NULL-terminated; the index is the value */
	bool (*is_valid)(const char *text); /* NULL: any */
	bool is_guarded; /* ./config.yaml may not set it to anything but its default */
	const char *help;
	const char *note; /* with CFG_NOTED: said when the key is there */
};
extern const struct cfg_key cfg_keys[];
extern const size_t cfg_keys_n;
#define CFG_KEYS_MAX 64U
const struct cfg_key *cfg_key_find(const char *path);
bool cfg_key_is_section(const char *path);
/** cfg_key_near() - the key below @section that @word may have meant; NULL if none */
const char *cfg_key_near(char out[CFG_PATH_MAX], const char *section, const char *word);
bool cfg_key_is_list(const struct cfg_key *key); /* several values; one alone may stand by itself */
bool cfg_name_is_valid(const char *name);	 /* of an upstream */
bool cfg_user_is_valid(const char *text);	 /* the characters that a user's name may have */

/* config_flags.c */
/** cfg_flags_merge() - lays the flags over ld->root */
void cfg_flags_merge(struct cfg_loader *ld);
bool cfg_flags_have(const struct cfg_opts *opts, const char *name);

/* config_walk.c */
/** cfg_walk_is_ours() - has the file any top-level key of ours? /etc/shadow is a YAML mapping too: nothing of a file
 * without one is shown. Return: false (reported) */
bool cfg_walk_is_ours(struct cfg_loader *ld);
void cfg_walk(struct cfg_loader *ld);

/* config_value.c */
/* What a setter knows. */
struct cfg_value {
	struct cfg_loader *ld;
	const struct cfg_key *key;
	const struct cfg_node *node;
	const char *path;
	void *base;
};
/** cfg_value_refuse() - "path: @what, not "value"". Return: false */
bool cfg_value_refuse(const struct cfg_value *v, const char *what);
void *cfg_value_field(const struct cfg_value *v);
char *cfg_value_keep(const struct cfg_value *v,
		     const char *text); /* a copy that lives as long as the configuration */
/** cfg_value_each() - @set for the value itself or for every one of the list. Return: false if one was refused, or there is none (reported) */
bool cfg_value_each(const struct cfg_value *v, bool (*set)(const struct cfg_value *item));
/** cfg_value_set() - one value into the field of @base that @key names. Return: false if it was refused (reported) */
bool cfg_value_set(struct cfg_loader *ld, const struct cfg_key *key, const struct cfg_node *node,
		   const char *path, void *base);
bool cfg_action_set(struct cfg_loader *ld, const struct cfg_node *node, const char *path,
		    enum cfg_action *action, uint32_t *upstream);
/** cfg_ms_parse(), cfg_bytes_parse() - "10s", "96MiB"; false if it is none */
bool cfg_ms_parse(const char *text, uint64_t *out);
bool cfg_bytes_parse(const char *text, uint64_t *out);

/* config_net.c: setters of what is said of addresses, names and users */
bool cfg_set_match(const struct cfg_value *v);
bool cfg_set_resolver(const struct cfg_value *v);
bool cfg_set_names(const struct cfg_value *v);
bool cfg_set_access(const struct cfg_value *v);

/* config_check.c: what concerns several values */
void cfg_check(struct cfg_loader *ld);

/* config_order.c */
/** cfg_order_check() - tells where the order of the file and specificity choose differently, takes out what is never reached and sorts what is
 * left. Return: false without memory */
bool cfg_order_check(struct cfg_loader *ld);
const char *cfg_action_name(const struct config *c, enum cfg_action action, uint32_t upstream);

/* config.c */
/** cfg_load_text() - cfg_load() from here on: @file says where @text came from; @text NULL: flags alone */
int cfg_load_text(struct config **out, const struct cfg_opts *opts, struct cfg_report *report,
		  const struct cfg_file *file, const char *text, size_t len);

#endif
