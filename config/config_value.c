// SPDX-License-Identifier: MIT
/*
 * config_value.c - one value into its field: the kinds of the table
 *
 * Every kind has one function that checks text and sets the field; what it refuses it reports at the value's own place.
 * Secrets are never quoted in a message.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/aws_target.h"
#include "base/err.h"
#include "base/text.h"
#include "config/config_internal.h"

void *cfg_value_field(const struct cfg_value *v)
{
	return (char *)v->base + v->key->offset;
}

bool cfg_value_refuse(const struct cfg_value *v, const char *what)
{
	if (v->key->kind == CFG_K_SECRET)
		cfg_error(v->ld, &v->node->place, "%s: %s", v->path, what);
	else
		cfg_error(v->ld, &v->node->place, "%s: %s, not %s", v->path, what,
			  cfg_quote(v->node->text).s);
	return false;
}

char *cfg_value_keep(const struct cfg_value *v, const char *text)
{
	return cfg_strndup(&v->ld->owned->arena, text, strlen(text));
}

/* Of a text or number that must be one of few; the rest of design's choices are for later. */
static bool is_chosen(const struct cfg_value *v, unsigned *index)
{
	const char *const *c = v->key->choices;
	char all[160] = "";
	size_t at = 0;

	for (unsigned i = 0; c[i]; i++) {
		if (*c[i] && strcmp(c[i], v->node->text) == 0) {
			*index = i;
			return true;
		}
		if (*c[i] && at < sizeof(all))
			at += (size_t)snprintf(all + at, sizeof(all) - at, "%s%s", at ? ", " : "",
					       c[i]);
	}
	if (!c[1]) {
		cfg_error(v->ld, &v->node->place,
			  "%s: only %s is supported by this version, not %s", v->path, all,
			  cfg_quote(v->node->text).s);
		return false;
	}
	cfg_error(v->ld, &v->node->place, "%s: one of %s is expected, not %s", v->path, all,
		  cfg_quote(v->node->text).s);
	return false;
}

static bool set_text(const struct cfg_value *v)
{
	size_t len = strlen(v->node->text);
	char what[80];
	unsigned i;

	if (v->key->choices && !is_chosen(v, &i))
		return false;
	if (len < v->key->min || len > v->key->max) {
		snprintf(what, sizeof(what), "%llu to %llu characters are expected",
			 (unsigned long long)v->key->min, (unsigned long long)v->key->max);
		return cfg_value_refuse(v, what);
	}
	if (v->key->is_valid && !v->key->is_valid(v->node->text))
		return cfg_value_refuse(v, v->key->kind == CFG_K_SECRET
						   ? "it holds characters that can't be part of one"
						   : "a valid value is expected");
	*(const char **)cfg_value_field(v) = cfg_value_keep(v, v->node->text);
	return true;
}

/* "~/x" with the caller's home; else below the folder of the file, or of the process for a flag. */
static bool set_path(const struct cfg_value *v)
{
	const char *text = v->node->text, *file = v->ld->file.path, *slash;
	char cwd[1024] = "", out[4096];
	int n;

	if (!*text || strlen(text) > 1024)
		return cfg_value_refuse(v, "a path is expected");
	if (text[0] == '~' && text[1] != '/')
		return cfg_value_refuse(v, "~ stands for your home alone: a path is expected");
	if (text[0] == '/')
		n = snprintf(out, sizeof(out), "%s", text);
	else if (text[0] == '~')
		n = snprintf(out, sizeof(out), "%s%s", v->ld->opts->home ? v->ld->opts->home : "",
			     text + 1);
	else {
		slash = v->node->place.line && file ? strrchr(file, '/') : NULL;
		if ((!slash || file[0] != '/') && !getcwd(cwd, sizeof(cwd)))
			return cfg_value_refuse(v, "an absolute path is expected");
		n = snprintf(out, sizeof(out), "%s%s%.*s%s", cwd, *cwd ? "/" : "",
			     slash ? (int)(slash + 1 - file) : 0, slash ? file : "", text);
	}
	if (n < 0 || (size_t)n >= sizeof(out))
		return cfg_value_refuse(v, "a shorter path is expected");
	*(const char **)cfg_value_field(v) = cfg_value_keep(v, out);
	return true;
}

/* A file that is really called so is written ./instance-connect. */
static bool set_ssh_key(const struct cfg_value *v)
{
	struct cfg_ssh *ssh = &((struct cfg_upstream *)v->base)->ssh;

	ssh->instance_connect = strcmp(v->node->text, CFG_INSTANCE_CONNECT) == 0;
	ssh->key = NULL;
	return ssh->instance_connect || set_path(v);
}

/* Decimal digits alone. */
static bool number_parse(const char *text, size_t len, uint64_t *out)
{
	uint64_t n = 0;

	if (len == 0 || len > 18)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (text[i] < '0' || text[i] > '9')
			return false;
		n = n * 10 + (uint64_t)(text[i] - '0');
	}
	*out = n;
	return true;
}

struct unit {
	const char *name;
	uint64_t factor;
};

static bool unit_parse(const char *text, const struct unit *units, size_t n_units, uint64_t *out)
{
	size_t digits = strspn(text, "0123456789");
	uint64_t n;

	if (!number_parse(text, digits, &n))
		return false;
	for (size_t i = 0; i < n_units; i++)
		if (strcmp(text + digits, units[i].name) == 0) {
			if (n > UINT64_MAX / units[i].factor)
				return false;
			*out = n * units[i].factor;
			return true;
		}
	return false;
}

bool cfg_ms_parse(const char *text, uint64_t *out)
{
	static const struct unit units[] = {
		{ "ms", 1 }, { "s", 1000 }, { "m", 60000 }, { "h", 3600000 }
	};

	return unit_parse(text, units, ARRAY_LEN(units), out);
}

bool cfg_bytes_parse(const char *text, uint64_t *out)
{
	static const struct unit units[] = {
		{ "", 1 },
		{ "KiB", KIB(1) },
		{ "MiB", MIB(1) },
		{ "GiB", UINT64_C(1) << 30 },
	};

	return unit_parse(text, units, ARRAY_LEN(units), out);
}

static bool in_bounds(const struct cfg_value *v, uint64_t n)
{
	char what[120];

	if (n >= v->key->min && n <= v->key->max)
		return true;
	switch (v->key->kind) {
	case CFG_K_MS:
		snprintf(what, sizeof(what), "%llums to %llums is expected",
			 (unsigned long long)v->key->min, (unsigned long long)v->key->max);
		break;
	case CFG_K_BYTES:
		snprintf(what, sizeof(what), "%lluMiB to %lluMiB is expected",
			 (unsigned long long)(v->key->min >> 20),
			 (unsigned long long)(v->key->max >> 20));
		break;
	default:
		snprintf(what, sizeof(what), "%llu to %llu is expected",
			 (unsigned long long)v->key->min, (unsigned long long)v->key->max);
	}
	return cfg_value_refuse(v, what);
}

static bool set_number(const struct cfg_value *v)
{
	const char *text = v->node->text;
	uint64_t n;

	switch (v->key->kind) {
	case CFG_K_MS:
		if (!cfg_ms_parse(text, &n))
			return cfg_value_refuse(v, "a time as 10s, 500ms or 1m is expected");
		break;
	case CFG_K_BYTES:
		if (!cfg_bytes_parse(text, &n))
			return cfg_value_refuse(v, "a size as 96MiB is expected");
		break;
	default:
		if (!number_parse(text, strlen(text), &n))
			return cfg_value_refuse(v, "a number is expected");
	}
	if (!in_bounds(v, n))
		return false;
	if (v->key->kind == CFG_K_U16)
		*(uint16_t *)cfg_value_field(v) = (uint16_t)n;
	else if (v->key->kind == CFG_K_BYTES)
		*(uint64_t *)cfg_value_field(v) = n;
	else
		*(uint32_t *)cfg_value_field(v) = (uint32_t)n;
	return true;
}

static bool set_bool(const struct cfg_value *v)
{
	bool is_true = strcmp(v->node->text, "true") == 0;

	if (!is_true && strcmp(v->node->text, "false") != 0)
		return cfg_value_refuse(v, "true or false is expected");
	*(bool *)cfg_value_field(v) = is_true;
	return true;
}

static bool set_choice(const struct cfg_value *v)
{
	unsigned i;

	if (!is_chosen(v, &i))
		return false;
	*(unsigned *)cfg_value_field(v) =
		i; /* every enum here is as wide: the compiler's choice without negatives */
	return true;
}

static bool set_either(const struct cfg_value *v)
{
	unsigned i;

	if (!is_chosen(v, &i))
		return false;
	*(bool *)cfg_value_field(v) = i == 1;
	return true;
}

static bool set_nothing(const struct cfg_value *v)
{
	unsigned i;

	return !v->key->choices || is_chosen(v, &i);
}

/* "SHA256:" and 43 characters of unpadded base64, as ssh-keygen -l prints it */
static bool is_fingerprint(const char *text)
{
	static const char alphabet[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	return strncmp(text, "SHA256:", 7) == 0 && strlen(text + 7) == 43 &&
	       strspn(text + 7, alphabet) == 43;
}

static bool set_host_key(const struct cfg_value *v)
{
	struct cfg_ssh *ssh = &((struct cfg_upstream *)v->base)->ssh;
	const char *text = v->node->text;

	if (strcmp(text, "accept-new") == 0) {
		ssh->host_key = CFG_HOST_KEY_ACCEPT_NEW;
	} else if (strcmp(text, "strict") == 0) {
		ssh->host_key = CFG_HOST_KEY_STRICT;
	} else if (is_fingerprint(text)) {
		ssh->host_key = CFG_HOST_KEY_PINNED;
		ssh->fingerprint = cfg_value_keep(v, text);
	} else {
		return cfg_value_refuse(
			v, "accept-new, strict or a fingerprint \"SHA256:…\" is expected");
	}
	return true;
}

#define PACE_MAX 100000 /* ours: messages a second */

static bool set_pace(const struct cfg_value *v)
{
	struct cfg_upstream *u = v->base;
	const char *text = v->node->text;
	uint64_t n = 0;

	if (strcmp(text, "off") != 0 &&
	    (!number_parse(text, strlen(text), &n) || n < 1 || n > PACE_MAX))
		return cfg_value_refuse(v, "off or 1 to 100000 messages a second is expected");
	u->pace_per_s = (uint32_t)n;
	u->pace_set = true;
	return true;
}

static bool target_add(const struct cfg_value *v)
{
	struct cfg_upstream *u = v->base;
	const char *text = v->node->text;
	struct aws_target target;

	if (aws_target_parse(&target, text) < 0)
		return cfg_value_refuse(v, target.why);
	for (size_t i = 0; i < u->n_targets; i++)
		if (strcmp(u->targets[i], text) == 0) {
			cfg_error(v->ld, &v->node->place, "%s: %s stands twice", v->path,
				  cfg_quote(text).s);
			return false;
		}
	if (u->n_targets == CFG_TARGETS_MAX) {
		cfg_error(v->ld, &v->node->place, "%s: more than %u targets", v->path,
			  CFG_TARGETS_MAX);
		return false;
	}
	u->targets[u->n_targets++] = cfg_value_keep(v, text);
	return true;
}

bool cfg_value_each(const struct cfg_value *v, bool (*set)(const struct cfg_value *item))
{
	bool fine = true;

	if (v->node->kind == CFG_SCALAR)
		return set(v);
	if (!v->node->first) {
		cfg_error(v->ld, &v->node->place, "%s: the list is empty", v->path);
		return false;
	}
	for (const struct cfg_entry *e = v->node->first; e && !cfg_report_is_full(v->ld->report);
	     e = e->next) {
		struct cfg_value item = *v;

		item.node = e->node;
		if (e->node->kind == CFG_SCALAR)
			fine = set(&item) && fine;
		else {
			cfg_error(v->ld, &e->node->place, "%s: %s is expected here", v->path,
				  v->key->kind == CFG_K_TARGETS ? "a target's id" : "one value");
			fine = false;
		}
	}
	return fine;
}

static bool set_targets(const struct cfg_value *v)
{
	return cfg_value_each(v, target_add);
}

bool cfg_action_set(struct cfg_loader *ld, const struct cfg_node *node, const char *path,
		    enum cfg_action *action, uint32_t *upstream)
{
	static const char *const words[] = {
		[CFG_TO_DIRECT] = "direct", [CFG_TO_REJECT] = "reject", [CFG_TO_DROP] = "drop"
	};
	const struct config *c = &ld->owned->c;
	const char *names[CFG_UPSTREAMS_MAX + 3], *near;
	size_t n = 0;

	for (size_t i = CFG_TO_DIRECT; i < ARRAY_LEN(words); i++) {
		names[n++] = words[i];
		if (strcmp(node->text, words[i]) == 0) {
			*action = (enum cfg_action)i;
			return true;
		}
	}
	for (size_t i = 0; i < c->n_upstreams; i++) {
		names[n++] = c->upstreams[i].name;
		if (strcmp(node->text, c->upstreams[i].name) == 0) {
			*action = CFG_TO_UPSTREAM;
			*upstream = (uint32_t)i;
			return true;
		}
	}
	near = text_near(node->text, names, n);
	cfg_error(ld, &node->place,
		  "%s: no upstream is named %s (nor is it direct, reject or drop)%s%s%s", path,
		  cfg_quote(node->text).s, near ? ", did you mean " : "", near ? near : "",
		  near ? "?" : "");
	return false;
}

static bool set_action(const struct cfg_value *v)
{
	struct cfg_route *r = v->base;
	struct config *c = v->base;

	if (strncmp(v->key->path, "routes.", 7) == 0)
		return cfg_action_set(v->ld, v->node, v->path, &r->action, &r->upstream);
	return cfg_action_set(v->ld, v->node, v->path, &c->default_action, &c->default_upstream);
}

static bool (*const setters[])(const struct cfg_value *v) = {
	[CFG_K_TEXT] = set_text,       [CFG_K_SECRET] = set_text,
	[CFG_K_PATH] = set_path,       [CFG_K_U16] = set_number,
	[CFG_K_U32] = set_number,      [CFG_K_MS] = set_number,
	[CFG_K_BYTES] = set_number,    [CFG_K_BOOL] = set_bool,
	[CFG_K_CHOICE] = set_choice,   [CFG_K_TARGETS] = set_targets,
	[CFG_K_SSH_KEY] = set_ssh_key, [CFG_K_HOST_KEY] = set_host_key,
	[CFG_K_PACE] = set_pace,       [CFG_K_MATCH] = cfg_set_match,
	[CFG_K_EITHER] = set_either,   [CFG_K_RESOLVER] = cfg_set_resolver,
	[CFG_K_NAMES] = cfg_set_names, [CFG_K_ACCESS] = cfg_set_access,
	[CFG_K_ACTION] = set_action,   [CFG_K_NOTHING] = set_nothing,
};
_Static_assert(sizeof(enum cfg_match_order) == sizeof(unsigned), "set_choice() writes an unsigned");
_Static_assert(sizeof(enum cfg_dns_mode) == sizeof(unsigned), "set_choice() writes an unsigned");
_Static_assert(sizeof(enum cfg_dns_manager) == sizeof(unsigned), "set_choice() writes an unsigned");

bool cfg_value_set(struct cfg_loader *ld, const struct cfg_key *key, const struct cfg_node *node,
		   const char *path, void *base)
{
	struct cfg_value v = { ld, key, node, path, base };

	if (node->kind != CFG_SCALAR && !(node->kind == CFG_LIST && cfg_key_is_list(key))) {
		cfg_error(ld, &node->place, "%s: one value is expected here", path);
		return false;
	}
	return setters[key->kind](&v);
}
