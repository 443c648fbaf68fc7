// SPDX-License-Identifier: MIT
/*
 * ssm_version.c - the two comparisons of versions, and the switches that hang on them
 *
 * Theory of operation: a client takes an agent for newer only if both versions are numbers joined by dots, as many
 * of them, and the first that differs is greater; anything else is "no". An agent compares part by part,
 * as numbers where both are, else as text, so that "abc" is newer than "1.1.70" and "" is older; of two versions that
 * agree as far as the shorter one goes the longer one is newer. Parts may be longer than any integer type.
 */
#include "proto/ssm_version.h"

#include <stddef.h>
#include <string.h>

#include "base/util.h"

/* The last versions without a feature, the first one with it; ssm-protocol, 5.4 */
#define AGENT_WITHOUT_TERMINATE "2.3.722.0"
#define AGENT_WITHOUT_MUX "3.0.196.0"
#define AGENT_WITH_KEEPALIVE "3.1.1511.0"
#define CLIENT_WITH_MUX "1.1.70"
#define CLIENT_WITH_KEEPALIVE "1.2.331.0"
#define CLIENT_WITHOUT_SEPARATE "1.2.295"

/* One part of a version: @len characters up to a dot or the end. */
struct part {
	const char *p;
	size_t len;
};

/* Takes the next part off *@at, which is NULL after the last one. Return: false if there is none */
static bool part_next(struct part *out, const char **at)
{
	if (!*at)
		return false;
	out->p = *at;
	out->len = strcspn(*at, ".");
	*at = out->p[out->len] == '.' ? out->p + out->len + 1 : NULL;
	return true;
}

static bool part_is_number(const struct part *part)
{
	return part->len > 0 && strspn(part->p, "0123456789") >= part->len;
}

static struct part part_significant(struct part part)
{
	while (part.len > 1 && *part.p == '0') {
		part.p++;
		part.len--;
	}
	return part;
}

static int text_compare(const struct part *a, const struct part *b)
{
	int r = memcmp(a->p, b->p, MIN(a->len, b->len));

	return r ? r : (a->len > b->len) - (a->len < b->len);
}

static int part_compare(struct part a, struct part b)
{
	if (!part_is_number(&a) || !part_is_number(&b))
		return text_compare(&a, &b);
	a = part_significant(a);
	b = part_significant(b);
	if (a.len != b.len)
		return a.len > b.len ? 1 : -1;
	return text_compare(&a, &b);
}

/* The client's rule: is @version certainly above @than? */
static bool is_above(const char *version, const char *than)
{
	struct part a, b;
	int order = 0;

	while (part_next(&a, &version)) {
		if (!part_next(&b, &than) || !part_is_number(&a) || !part_is_number(&b))
			return false;
		if (order == 0)
			order = part_compare(a, b);
	}
	return !than && order > 0;
}

/* The agent's rule. Return: < 0, 0 or > 0 as @version is older, the same or newer */
static int compare(const char *version, const char *than)
{
	struct part a, b;
	bool more_a, more_b;
	int order;

	for (;;) {
		more_a = part_next(&a, &version);
		more_b = part_next(&b, &than);
		if (!more_a || !more_b)
			return (int)more_a - (int)more_b;
		if ((order = part_compare(a, b)) != 0)
			return order;
	}
}

struct ssm_features ssm_features_of_agent(const char *version)
{
	return (struct ssm_features){
		.terminate_flag = is_above(version, AGENT_WITHOUT_TERMINATE),
		.mux = is_above(version, AGENT_WITHOUT_MUX),
		.mux_keepalive = !is_above(version, AGENT_WITH_KEEPALIVE),
	};
}

struct ssm_features ssm_features_of_client(const char *version)
{
	return (struct ssm_features){
		.terminate_flag = true,
		.mux = compare(version, CLIENT_WITH_MUX) >= 0,
		.mux_keepalive = compare(version, CLIENT_WITH_KEEPALIVE) <= 0,
		.separate_output = compare(version, CLIENT_WITHOUT_SEPARATE) > 0,
	};
}
