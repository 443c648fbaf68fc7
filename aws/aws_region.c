// SPDX-License-Identifier: MIT
/*
 * aws_region.c - which region an account's calls go to
 *
 * Theory of operation: flag or configuration, AWS_REGION, AWS_DEFAULT_REGION, the profile, in this order; an empty variable
 * counts as none. What a target's name says of its region (base/aws_target.h) comes with the call and is above all of them. A region named "fips-x" or "x-fips", as older configurations have it, is x with FIPS hosts.
 * Source: aws-cli v2 awscli/botocore/configprovider.py; botocore client.py _normalize_fips_region(), utils.py validate_region_name()
 */
#include <ctype.h>
#include <string.h>

#include "aws/aws_internal.h"
#include "base/text.h"

/* ^(?![0-9]+$)(?!-)[a-zA-Z0-9-]{,63}(?<!-)$, not empty; botocore utils.py validate_region_name() */
bool aws_region_is_valid(const char *region)
{
	size_t len = strlen(region), digits = strspn(region, "0123456789");

	if (len == 0 || len >= AWS_REGION_MAX || digits == len)
		return false;
	if (region[0] == '-' || region[len - 1] == '-')
		return false;
	for (size_t i = 0; i < len; i++)
		if (!isalnum((unsigned char)region[i]) && region[i] != '-')
			return false;
	return true;
}

const char *aws_region_find(const struct aws_account *acc, const struct aws_profile *p,
			    char from[64])
{
	static const char *const variables[] = { "AWS_REGION", "AWS_DEFAULT_REGION" };
	const char *region = acc->region;

	snprintf(from, 64, "--region");
	for (size_t i = 0; !region && i < ARRAY_LEN(variables); i++) {
		region = aws_env(acc->aws, variables[i]);
		snprintf(from, 64, "%s", variables[i]);
	}
	if (!region) {
		region = aws_profile_get(p, "region");
		snprintf(from, 64, "profile %.50s", text_safe(p->name).s);
	}
	return region;
}

static void cut_all(char *s, const char *what)
{
	const size_t len = strlen(what);

	while ((s = strstr(s, what)))
		memmove(s, s + len, strlen(s + len) + 1);
}

bool aws_region_plain(char out[AWS_REGION_MAX], const char *region)
{
	bool whole = text_copy(out, AWS_REGION_MAX, region);

	cut_all(out, "fips-");
	cut_all(out, "-fips");
	return whole && strcmp(out, region) != 0;
}
