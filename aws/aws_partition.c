// SPDX-License-Identifier: MIT
/*
 * aws_partition.c - the host that a service has in a region, and the region of its signature
 *
 * Theory of operation: a region belongs to the partition whose form its name has, else to "aws". A host is
 * PREFIX[-fips].REGION.SUFFIX, with the partition's other suffix for dual-stack; every partition has both. What
 * departs from it: FIPS hosts of GovCloud that are its plain hosts, Route 53, which has one host for a whole
 * partition, and STS in the region "aws-global". STS is always asked in the region: the AWS CLI v2 has no
 * sts_regional_endpoints.
 * Source: partitions.json and the endpoint-rule-set-1.json of the eight services in botocore 1.43; compared with the ones of
 * 1.29 by tests/unit/aws/endpoint_oracle.py
 */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "aws/aws_internal.h"
#include "base/text.h"

#define PLAIN 0U
#define DUAL 1U
#define FIPS 2U

struct partition {
	const char *prefix; /* of its regions; "" takes what no other row takes */
	const char *global; /* the name for all of it */
	const char *suffix, *dual_suffix;
	const char *home;	/* the region that signs for Route 53 */
	const char *route53[4]; /* by PLAIN, DUAL, FIPS, FIPS | DUAL */
	bool is_gov;
};

#define ROUTE53(plain, dual, fips, both)                                                           \
	{                                                                                          \
		plain, dual, fips, both                                                            \
	}

static const struct partition partitions[] = {
	{ "cn-", "aws-cn-global", "amazonaws.com.cn", "api.amazonwebservices.com.cn",
	  "cn-northwest-1", ROUTE53("route53", "route53.global", "route53-fips", "route53-fips"),
	  false },
	{ "us-gov-", "aws-us-gov-global", "amazonaws.com", "api.aws", "us-gov-west-1",
	  ROUTE53("route53.us-gov", "route53.us-gov", "route53.us-gov", "route53.us-gov"), true },
	{ "us-iso-", "aws-iso-global", "c2s.ic.gov", "api.aws.ic.gov", "us-iso-east-1",
	  ROUTE53("route53", "route53", "route53-fips", "route53-fips"), false },
	{ "us-isob-", "aws-iso-b-global", "sc2s.sgov.gov", "api.aws.scloud", "us-isob-east-1",
	  ROUTE53("route53", "route53", "route53-fips", "route53-fips"), false },
	{ "eu-isoe-", "aws-iso-e-global", "cloud.adc-e.uk", "api.cloud-aws.adc-e.uk",
	  "eu-isoe-west-1", ROUTE53("route53", "route53", "route53-fips", "route53-fips"), false },
	{ "us-isof-", "aws-iso-f-global", "csp.hci.ic.gov", "api.aws.hci.ic.gov", "us-isof-south-1",
	  ROUTE53("route53", "route53", "route53-fips", "route53-fips"), false },
	{ "eusc-de-", "aws-eusc-global", "amazonaws.eu", "api.amazonwebservices.eu",
	  "eusc-de-east-1", ROUTE53("route53", "route53.global", "route53-fips", "route53-fips"),
	  false },
	{ "", "aws-global", "amazonaws.com", "api.aws", "us-east-1",
	  ROUTE53("route53", "route53.global", "route53-fips", "route53-fips.global"), false },
};

/* FIPS in GovCloud is what the plain host does; KMS and Instance Connect have hosts of their own for it. */
static const bool gov_is_fips[AWS_SERVICE_N] = {
	[AWS_SSM] = true, [AWS_EC2] = true, [AWS_STS] = true, [AWS_SSO] = true, [AWS_OIDC] = true,
};

/* \w+-\d+ behind the prefix */
static bool is_place(const char *s)
{
	size_t word = 0, digits;

	while (isalnum((unsigned char)s[word]) || s[word] == '_')
		word++;
	if (word == 0 || s[word] != '-')
		return false;
	digits = strspn(s + word + 1, "0123456789");
	return digits > 0 && s[word + 1 + digits] == '\0';
}

static const struct partition *partition_find(const char *region)
{
	const struct partition *p = partitions;

	for (; p->prefix[0]; p++) {
		size_t len = strlen(p->prefix);

		if (strcmp(region, p->global) == 0 ||
		    (strncmp(region, p->prefix, len) == 0 && is_place(region + len)))
			break;
	}
	return p;
}

void aws_host_find(char host[AWS_HOST_MAX], char sign_region[AWS_REGION_MAX],
		   enum aws_service service, const char *region, bool fips, bool dual_stack)
{
	const struct partition *p = partition_find(region);
	const char *suffix = dual_stack ? p->dual_suffix : p->suffix;
	const unsigned variant = (fips ? FIPS : PLAIN) | (dual_stack ? DUAL : PLAIN);

	text_copy(sign_region, AWS_REGION_MAX, region);
	if (service == AWS_ROUTE53) {
		text_copy(sign_region, AWS_REGION_MAX, p->home);
		snprintf(host, AWS_HOST_MAX, "%s.%s", p->route53[variant], suffix);
	} else if (service == AWS_STS && strcmp(region, "aws-global") == 0 && variant == PLAIN) {
		text_copy(sign_region, AWS_REGION_MAX, p->home);
		snprintf(host, AWS_HOST_MAX, "sts.%s", suffix);
	} else {
		const bool marked = fips && !(p->is_gov && !dual_stack && gov_is_fips[service]);

		snprintf(host, AWS_HOST_MAX, "%s%s.%s.%s", aws_services[service].prefix,
			 marked ? "-fips" : "", region, suffix);
	}
}
