// SPDX-License-Identifier: MIT
/*
 * aws_target.c - see aws_target.h
 *
 * Theory of operation: one row a form, asked in order; a form that claims the text decides about it, well-formed or not. What
 * none claims is an id. Only forms that no host id of a gateway looks like by chance are claimed.
 * Source: EC2 user guide, "Amazon EC2 instance hostname types"; service authorization reference for the two ARNs
 */
#include "base/aws_target.h"

#include <stdio.h>
#include <string.h>

#include "base/addr.h"
#include "base/err.h"
#include "base/text.h"
#include "base/util.h"

#define ID_MAX 400U
#define TAG_VALUE_MAX 256U /* EC2 */

static bool keep(char *out, size_t cap, const char *s, size_t len)
{
	if (len >= cap)
		return false;
	memcpy(out, s, len);
	out[len] = '\0';
	return true;
}

static bool is_made_of(const char *s, size_t len, const char *chars)
{
	for (size_t i = 0; i < len; i++)
		if (!strchr(chars, s[i]))
			return false;
	return len > 0;
}

#define DIGITS "0123456789"
#define LOWER "abcdefghijklmnopqrstuvwxyz"
#define UPPER "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

/* As botocore's validate_region_name(): a host label that is no number; ours: of lower case, with a hyphen inside. */
static bool is_region(const char *s, size_t len)
{
	return is_made_of(s, len, LOWER DIGITS "-") && memchr(s, '-', len) && s[0] != '-' &&
	       s[len - 1] != '-' && !is_made_of(s, len, DIGITS) && len < AWS_TARGET_REGION_MAX;
}

/* "i-" or "mi-" and 8 to 17 hexadecimal digits */
static bool is_instance_id(const char *s, size_t len)
{
	const size_t head = len > 3 && memcmp(s, "mi-", 3) == 0	 ? 3
			    : len > 2 && memcmp(s, "i-", 2) == 0 ? 2
								 : 0;

	return head && len - head >= 8 && len - head <= 17 &&
	       is_made_of(s + head, len - head, "abcdef" DIGITS);
}

/* ---- the forms: each returns 0; ST_ENOENT: not mine; ST_EINVAL with out->why ---- */

static int refuse(struct aws_target *out, const char *why)
{
	out->why = why;
	return ST_EINVAL;
}

static int as_tag(struct aws_target *out, const char *text)
{
	static const char why[] =
		"tag:KEY=VALUE is expected, with a key of 1 to 128 and a value of 1 "
		"to 256 printable characters";
	const char *key = text + 4, *value;

	if (strncmp(text, "tag:", 4) != 0)
		return ST_ENOENT;
	value = strchr(key, '=');
	if (!value || value == key || strlen(value + 1) < 1 || strlen(value + 1) > TAG_VALUE_MAX)
		return refuse(out, why);
	for (size_t n = 0, at = 0; text[at]; at += n)
		if ((n = text_plain_len(text + at, strlen(text + at))) == 0)
			return refuse(out, why);
	out->kind = AWS_TARGET_TAG;
	if (!keep(out->tag, sizeof(out->tag), key, (size_t)(value - key)) ||
	    !keep(out->text, sizeof(out->text), value + 1, strlen(value + 1)))
		return refuse(out, why);
	return 0;
}

/* arn:PARTITION:ec2:REGION:ACCOUNT:instance/i-… and arn:PARTITION:ssm:REGION:ACCOUNT:managed-instance/mi-… */
static int as_arn(struct aws_target *out, const char *text)
{
	static const char why[] = "an ARN as arn:aws:ec2:REGION:ACCOUNT:instance/i-… or "
				  "arn:aws:ssm:REGION:ACCOUNT:managed-instance/mi-… is expected";
	const char *part[6], *id;
	size_t len[6], n = 0;

	if (strncmp(text, "arn:", 4) != 0)
		return ST_ENOENT;
	for (const char *p = text; n < 6; p += len[n++] + 1) {
		part[n] = p;
		len[n] = n < 5 ? strcspn(p, ":") : strlen(p);
		if (n < 5 && p[len[n]] == '\0')
			return refuse(out, why);
	}
	id = memchr(part[5], '/', len[5]);
	if (!id || !is_instance_id(id + 1, strlen(id + 1)) || !is_region(part[3], len[3]) ||
	    !is_made_of(part[4], len[4], DIGITS))
		return refuse(out, why);
	if (!(strncmp(part[2], "ec2:", 4) == 0 && strncmp(part[5], "instance/i", 10) == 0) &&
	    !(strncmp(part[2], "ssm:", 4) == 0 && strncmp(part[5], "managed-instance/mi", 19) == 0))
		return refuse(out, why);
	out->kind = AWS_TARGET_ID;
	keep(out->region, sizeof(out->region), part[3], len[3]);
	keep(out->text, sizeof(out->text), id + 1, strlen(id + 1));
	return 0;
}

/* "ip-10-0-0-1", with what stands behind it in *@rest */
static bool is_ip_name(const char *text, const char **rest)
{
	char address[NET_ADDR_STR];
	const size_t len = strcspn(text, ".");
	struct net_addr a;

	if (strncmp(text, "ip-", 3) != 0 || !keep(address, sizeof(address), text + 3, len - 3))
		return false;
	for (char *c = address; *c; c++)
		if (*c == '-')
			*c = '.';
	*rest = text + len;
	return net_addr_parse(&a, address) == 0 && a.family == 4;
}

/* Names by address or by resource: under ec2.internal in us-east-1, REGION.compute.internal elsewhere, or the VPC's own domain. */
static int as_dns(struct aws_target *out, const char *text)
{
	static const char tail[] = ".compute.internal";
	const size_t label = strcspn(text, ".");
	const char *rest = text + label;
	const bool by_ip = is_ip_name(text, &rest);
	size_t len;

	if (*rest != '.' || (!by_ip && !is_instance_id(text, label)))
		return ST_ENOENT;
	len = strlen(rest);
	if (strlen(text) > 253 || !is_made_of(text, strlen(text), LOWER UPPER DIGITS "-.") ||
	    text[strlen(text) - 1] == '.')
		return refuse(out,
			      "a private DNS name as ip-10-0-0-1.eu-west-1.compute.internal is "
			      "expected");
	out->kind = AWS_TARGET_DNS;
	keep(out->text, sizeof(out->text), text, strlen(text));
	if (strcmp(rest, ".ec2.internal") == 0)
		keep(out->region, sizeof(out->region), "us-east-1", 9);
	else if (len > sizeof(tail) && strcmp(rest + len - strlen(tail), tail) == 0 &&
		 is_region(rest + 1, len - 1 - strlen(tail)))
		keep(out->region, sizeof(out->region), rest + 1, len - 1 - strlen(tail));
	return 0;
}

/* An address or an instance, alone or with "--REGION" behind it. */
static int as_address_or_id(struct aws_target *out, const char *text)
{
	const char *region = strstr(text, "--");
	const size_t len = region ? (size_t)(region - text) : strlen(text);
	struct net_addr a;

	if (!keep(out->text, sizeof(out->text), text, len))
		return ST_ENOENT;
	if (net_addr_parse(&a, out->text) == 0) {
		out->kind = AWS_TARGET_IP;
		net_addr_str(out->text, &a);
	} else if (is_instance_id(text, len)) {
		out->kind = AWS_TARGET_ID;
	} else {
		return ST_ENOENT;
	}
	if (!region)
		return 0;
	if (!is_region(region + 2, strlen(region + 2)))
		return refuse(out, "a region is expected behind \"--\", as in i-…--eu-west-1");
	keep(out->region, sizeof(out->region), region + 2, strlen(region + 2));
	return 0;
}

static int as_host(struct aws_target *out, const char *text)
{
	out->kind = AWS_TARGET_ID;
	if (!is_made_of(text, strlen(text), LOWER UPPER DIGITS "-_.:/") || strlen(text) > ID_MAX)
		return refuse(out,
			      "an id as i-… or mi-…, tag:KEY=VALUE, an ARN, or a private name or "
			      "address is expected");
	keep(out->text, sizeof(out->text), text, strlen(text));
	return 0;
}

int aws_target_parse(struct aws_target *out, const char *text)
{
	static int (*const forms[])(struct aws_target * out, const char *text) = {
		as_tag, as_arn, as_dns, as_address_or_id, as_host,
	};
	int r = ST_ENOENT;

	for (size_t i = 0; r == ST_ENOENT && i < ARRAY_LEN(forms); i++) {
		*out = (struct aws_target){ .kind = AWS_TARGET_ID };
		r = forms[i](out, text);
	}
	return r;
}

bool aws_target_is_managed_node(const struct aws_target *t)
{
	return t->kind == AWS_TARGET_ID && strncmp(t->text, "mi-", 3) == 0 &&
	       is_instance_id(t->text, strlen(t->text));
}
