// SPDX-License-Identifier: MIT
/*
 * gw_document.c - the session documents: AWS's names, parameters and defaults (ssm-protocol 1.3)
 *
 * Theory of operation: one table of documents, one of parameters with their checks. The gateway
 * asks before it stores a session, the agent again before it dials: neither trusts the other. A stock
 * agent takes any text, so for it the gateway's look is the only one.
 * A value is a list of one string, as StartSession has it.
 */
#include "gateway/gw_document.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/text.h"
#include "base/util.h"

/* Decimal digits without a leading zero, as the service's pattern has it; 0 itself only if @min is 0. */
static bool is_port(const char *v, unsigned long min)
{
	size_t n = strlen(v);

	if (!n || n > 5 || strspn(v, "0123456789") != n || (v[0] == '0' && n > 1))
		return false;
	return strtoul(v, NULL, 10) >= min && strtoul(v, NULL, 10) <= 65535;
}

static bool port_ok(const char *v)
{
	return is_port(v, 1);
}

static bool local_port_ok(const char *v)
{
	return is_port(v, 0);
}

/* A name or an address literal: letters, digits, and ".:-_". */
bool gw_document_host_ok(const char *v)
{
	size_t n = strlen(v);

	if (!n || n > GW_DOC_HOST_MAX || v[0] == '-')
		return false;
	for (; *v; v++)
		if (!isalnum((unsigned char)*v) && !strchr(".:-_", *v))
			return false;
	return true;
}

static bool command_ok(const char *v)
{
	return *v;
}

static const struct param {
	const char *name;
	bool (*ok)(const char *v);
	const char *rule;
} params_known[] = {
	{ "portNumber", port_ok, "a number from 1 to 65535" },
	{ "localPortNumber", local_port_ok, "a number from 0 to 65535" },
	{ "host", gw_document_host_ok, "a host name or an address" },
	{ "command", command_ok, "a command" },
};

#define PARAMS_MAX 3U

static const struct document {
	const char *name;
	bool own; /* ssm-tun-agent serves it too */
	struct {
		const char *name, *value; /* the default; NULL: it must be given */
	} params[PARAMS_MAX + 1];	  /* the last has no name */
} documents[] = {
	{ GW_DOC_SSH, true, { { "portNumber", "22" } } },
	{ GW_DOC_FORWARD, true, { { "portNumber", "80" }, { "localPortNumber", "0" } } },
	{ GW_DOC_FORWARD_HOST,
	  true,
	  { { "portNumber", "80" }, { "localPortNumber", "0" }, { "host", "localhost" } } },
	{ GW_DOC_SHELL, false, { { NULL, NULL } } },
	{ GW_DOC_COMMAND, false, { { "command", NULL } } },
	{ GW_DOC_COMMAND_PLAIN, false, { { "command", NULL } } },
};

static const struct document *document_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(documents); i++)
		if (strcmp(documents[i].name, name) == 0)
			return &documents[i];
	return NULL;
}

/* Return: the parameter's place in the document; -1 if it has no such */
static int param_find(const struct document *d, const char *param)
{
	for (int i = 0; d->params[i].name; i++)
		if (strcmp(d->params[i].name, param) == 0)
			return i;
	return -1;
}

/* A list of one string of a sane length, without NUL inside; NULL for anything else. */
static const char *only_value(const json_t *list)
{
	const json_t *v = json_array_get(list, 0);

	if (json_array_size(list) != 1 || !json_is_string(v) ||
	    strlen(json_string_value(v)) != json_string_length(v) ||
	    json_string_length(v) > GW_DOC_VALUE_MAX)
		return NULL;
	return json_string_value(v);
}

static int param_check(const struct document *d, const char *name, const json_t *list, char *why,
		       size_t why_max)
{
	const char *v = only_value(list);

	if (param_find(d, name) < 0) {
		snprintf(why, why_max, "%s does not take the parameter %s.", d->name,
			 text_safe(name).s);
		return ST_EINVAL;
	}
	for (size_t i = 0; i < ARRAY_LEN(params_known); i++) {
		if (strcmp(params_known[i].name, name) != 0)
			continue;
		if (v && params_known[i].ok(v))
			return 0;
		snprintf(why, why_max, "%s must be a list of one string: %s.", name,
			 params_known[i].rule);
		return ST_EINVAL;
	}
	ST_BUG("parameter %s of %s has no rule", name, d->name);
}

/* Is everything there that has no default? */
static int complete_check(const struct document *d, const json_t *params, char *why, size_t why_max)
{
	for (size_t i = 0; d->params[i].name; i++) {
		if (d->params[i].value || json_object_get(params, d->params[i].name))
			continue;
		snprintf(why, why_max, "%s needs the parameter %s.", d->name, d->params[i].name);
		return ST_EINVAL;
	}
	return 0;
}

static int document_check(const struct document *d, const json_t *params, char *why, size_t why_max)
{
	const char *key;
	const json_t *v;
	int r;

	if (params && !json_is_null(params) && !json_is_object(params)) {
		snprintf(why, why_max, "Parameters must be a map of lists of strings.");
		return ST_EINVAL;
	}
	json_object_foreach((json_t *)params, key, v)
	{
		if ((r = param_check(d, key, v, why, why_max)) < 0)
			return r;
	}
	return complete_check(d, params, why, why_max);
}

int gw_document_check(const char *name, const json_t *params, char *why, size_t why_max)
{
	const struct document *d = document_find(name);

	if (d && d->own)
		return document_check(d, params, why, why_max);
	snprintf(why, why_max, "Document %s is not offered here; %s, %s and %s are.",
		 text_safe(name).s, GW_DOC_SSH, GW_DOC_FORWARD, GW_DOC_FORWARD_HOST);
	return ST_ENOENT;
}

int gw_document_check_stock(const char *name, const json_t *params, char *why, size_t why_max)
{
	const struct document *d = document_find(name);

	if (d)
		return document_check(d, params, why, why_max);
	snprintf(why, why_max, "Document %s is not offered here.", text_safe(name).s);
	return ST_ENOENT;
}

const char *gw_document_param_name(const char *name, size_t i)
{
	const struct document *d = document_find(name);

	return d && i < PARAMS_MAX ? d->params[i].name : NULL;
}

const char *gw_document_param(const char *name, const json_t *params, const char *param)
{
	const struct document *d = document_find(name);
	const char *v = only_value(json_object_get(params, param));
	int i = d ? param_find(d, param) : -1;

	return i < 0 ? NULL : v ? v : d->params[i].value;
}
