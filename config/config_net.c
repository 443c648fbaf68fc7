// SPDX-License-Identifier: MIT
/*
 * config_net.c - values that are addresses, names or users
 *
 * What a rule matches is told by its form: "vpc", a prefix, or a name (base/dname.h). A typing error in an address must not become a name that
 * nothing ever asks for, so whatever has the look of an address is judged as one.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/dname.h"
#include "base/err.h"
#include "config/config_internal.h"

#define DNS_PORT 53
#define USER_MAX 64U		      /* ours: characters of a user's name */
#define UID_MAX_TEXT 10U	      /* digits of 4294967294 */
#define UID_LAST UINT64_C(4294967294) /* (uid_t)-1 is none */

/* A name or a pattern of names in the form of base/dname.h. Return: NULL if it is none (reported) */
static const char *name_of(const struct cfg_value *v,
			   int (*normal)(char out[DNAME_MAX], const char *in, const char **why))
{
	char name[DNAME_MAX];
	const char *why;

	if (normal(name, v->node->text, &why) == 0)
		return cfg_value_keep(v, name);
	cfg_error(v->ld, &v->node->place, "%s: %s is not a name: %s", v->path,
		  cfg_quote(v->node->text).s, why);
	return NULL;
}

static bool set_prefix(const struct cfg_value *v, struct net_prefix *out)
{
	const char *text = v->node->text;
	char near[NET_PREFIX_STR];
	int err = net_prefix_parse(out, text);

	if (err == 0)
		return true;
	if (err != ST_EINVAL)
		return cfg_value_refuse(
			v, "an address or a prefix as 10.0.0.0/8, or a name, is expected");
	cfg_error(v->ld, &v->node->place, "%s: %s has bits behind its length, did you mean %s?",
		  v->path, cfg_quote(text).s, net_prefix_str(near, out));
	return false;
}

bool cfg_set_match(const struct cfg_value *v)
{
	struct cfg_route *r = v->base;
	const char *text = v->node->text;

	if (strcasecmp(text, "vpc") == 0) {
		r->match = CFG_MATCH_VPC;
		return strcmp(text, "vpc") == 0 ||
		       cfg_value_refuse(v, "did you mean vpc? That is written in lower case");
	}
	if (!dname_looks_like(text))
		return set_prefix(v, &r->prefix);
	r->match = CFG_MATCH_NAME;
	r->name = name_of(v, dname_pattern);
	return r->name != NULL;
}

/* "53" to "65535". Return: 0 if it is none */
static uint16_t port_parse(const char *s)
{
	size_t len = strlen(s);
	unsigned long n;

	if (!len || len > 5 || strspn(s, "0123456789") != len)
		return 0;
	n = strtoul(s, NULL, 10);
	return n <= UINT16_MAX ? (uint16_t)n : 0;
}

/* ADDRESS, ADDRESS:PORT, [v6] or [v6]:PORT */
static bool endpoint_parse(struct net_endpoint *out, const char *text)
{
	bool has_brackets = *text == '[';
	const char *end = has_brackets ? strchr(text, ']') : strrchr(text, ':'), *rest;
	char addr[NET_ADDR_STR];
	size_t len;

	out->port = DNS_PORT;
	if (net_addr_parse(&out->addr, text) == 0)
		return true;
	if (!end)
		return false;
	text += has_brackets;
	len = (size_t)(end - text);
	rest = has_brackets ? end + 1 : end;
	if (len >= sizeof(addr))
		return false;
	memcpy(addr, text, len);
	addr[len] = '\0';
	if (net_addr_parse(&out->addr, addr) < 0 || (out->addr.family == 6) != has_brackets)
		return false;
	if (!*rest)
		return has_brackets;
	return *rest == ':' && (out->port = port_parse(rest + 1)) != 0;
}

/* The resolver of a VPC is link-local itself; nothing else that is local only is asked, above all not the metadata service. */
static bool may_resolve(const struct net_addr *a)
{
	bool is_link_local = a->family == 4 && a->b[0] == 169 && a->b[1] == 254;
	bool is_imds = is_link_local && a->b[2] == 169 && a->b[3] == 254;

	return !net_addr_is_local_only(a) || (is_link_local && !is_imds);
}

bool cfg_set_resolver(const struct cfg_value *v)
{
	struct net_endpoint e;

	if (!endpoint_parse(&e, v->node->text))
		return cfg_value_refuse(v, "an address as 10.0.0.2, 10.0.0.2:53 or [fd00::2]:53 is "
					   "expected");
	if (!may_resolve(&e.addr))
		return cfg_value_refuse(v, "an address that the far side can ask is expected, none "
					   "of loopback, link-local or multicast");
	*(struct net_endpoint *)cfg_value_field(v) = e;
	return true;
}

/* Is one more of @words (@n, @max at most) fine? */
static bool has_room(const struct cfg_value *v, const char *const *words, size_t n, size_t max,
		     const char *word)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(words[i], word) == 0) {
			cfg_error(v->ld, &v->node->place, "%s: %s stands twice", v->path,
				  cfg_quote(v->node->text).s);
			return false;
		}
	if (n == max)
		cfg_error(v->ld, &v->node->place, "%s: more than %zu values", v->path, max);
	return n < max;
}

static bool suffix_add(const struct cfg_value *v)
{
	struct config *c = v->base;
	const char *name;

	if (!dname_looks_like(v->node->text))
		return cfg_value_refuse(v, "a name as corp.example is expected");
	if (!(name = name_of(v, dname_normal)) ||
	    !has_room(v, c->dns_suffixes, c->n_dns_suffixes, CFG_SUFFIXES_MAX, name))
		return false;
	c->dns_suffixes[c->n_dns_suffixes++] = name;
	return true;
}

bool cfg_set_names(const struct cfg_value *v)
{
	return cfg_value_each(v, suffix_add);
}

/* Decimal digits up to @end. */
static bool uid_parse(const char *s, const char *end, uint64_t *out)
{
	size_t len = (size_t)(end - s);

	*out = 0;
	if (!len || len > UID_MAX_TEXT)
		return false;
	for (; s < end; s++)
		*out = *out * 10 + (uint64_t)(*s - '0');
	return *out <= UID_LAST;
}

/* "1000" or "1000-1999", known to be made of digits and hyphens. */
static bool uids_are_valid(const char *text)
{
	const char *hyphen = strchr(text, '-'), *end = text + strlen(text);
	uint64_t first, last;

	if (!hyphen)
		return uid_parse(text, end, &first);
	return !strchr(hyphen + 1, '-') && uid_parse(text, hyphen, &first) &&
	       uid_parse(hyphen + 1, end, &last) && first <= last;
}

static bool access_add(const struct cfg_value *v)
{
	struct config *c = v->base;
	const char *text = v->node->text, *copy;
	bool is_number = strspn(text, "0123456789-") == strlen(text);

	if (strcmp(text, "all") == 0)
		return cfg_value_refuse(v, "all stands alone: a user is expected");
	if (!*text || strlen(text) > USER_MAX ||
	    !(is_number ? uids_are_valid(text) : cfg_user_is_valid(text)))
		return cfg_value_refuse(
			v, "a user's name, number or a range as 1000-1999 is expected");
	if (!has_room(v, c->access, c->n_access, CFG_ACCESS_MAX, text) ||
	    !(copy = cfg_value_keep(v, text)))
		return false;
	c->access[c->n_access++] = copy;
	return true;
}

bool cfg_set_access(const struct cfg_value *v)
{
	if (v->node->kind == CFG_SCALAR && strcmp(v->node->text, "all") == 0)
		return true;
	return cfg_value_each(v, access_add);
}
