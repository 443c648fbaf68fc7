// SPDX-License-Identifier: MIT
/*
 * Cases: every service in every region that Debian's botocore knows, with FIPS, dual-stack, both and none, is where botocore finds
 * it, but for the listed differences; partitions and hosts that it does not know yet; every region's host fits.
 */
#include "tests/unit/aws/aws_fixture.h"

#define PLAIN BIT(0)
#define DUAL BIT(1)
#define FIPS BIT(2)
#define BOTH BIT(3)

/* Where botocore 1.29 has it differently, and why. A row that excuses nothing is an error. */
static struct {
	const char *service, *region; /* "" any; the region's beginning */
	uint32_t variants;
	const char *why;
	unsigned used;
} differences[] = {
	{ "", "us-iso-", DUAL | BOTH, "dual-stack was opened there in 2025", 0 },
	{ "", "us-isob-", DUAL | BOTH, "dual-stack was opened there in 2025", 0 },
	{ "", "aws-iso-", DUAL | BOTH, "dual-stack was opened there in 2025", 0 },
	{ "sso", "us-gov-", FIPS, "its plain host is the FIPS one since 2023", 0 },
	{ "sso", "aws-us-gov-", FIPS, "its plain host is the FIPS one since 2023", 0 },
	{ "sso_oidc", "us-gov-", FIPS, "its plain host is the FIPS one since 2023", 0 },
	{ "sso_oidc", "aws-us-gov-", FIPS, "its plain host is the FIPS one since 2023", 0 },
	{ "route_53", "", DUAL | FIPS | BOTH, "1.29 made up a host for every region", 0 },
};

static enum aws_service service_of(const char *id)
{
	enum aws_service s = 0;

	while (s < AWS_SERVICE_N && strcmp(aws_services[s].id, id) != 0)
		s++;
	assert_true(s < AWS_SERVICE_N);
	return s;
}

static bool is_excused(const char *service, const char *region, unsigned variant)
{
	for (size_t i = 0; i < ARRAY_LEN(differences); i++) {
		const char *prefix = differences[i].region;

		if ((differences[i].service[0] && strcmp(differences[i].service, service) != 0) ||
		    strncmp(region, prefix, strlen(prefix)) != 0 ||
		    !(differences[i].variants & BIT(variant)))
			continue;
		differences[i].used++;
		return true;
	}
	return false;
}

static void test_as_botocore(void **state)
{
	FILE *oracle = popen("/usr/bin/python3 tests/unit/aws/endpoint_oracle.py", "r");
	char service[32], region[64], theirs[256], their_sign[64], host[AWS_HOST_MAX],
		sign[AWS_REGION_MAX];
	int fips, dual;
	unsigned n = 0;

	(void)state;
	assert_non_null(oracle);
	while (fscanf(oracle, "%31s %63s %d %d %255s %63s", service, region, &fips, &dual, theirs,
		      their_sign) == 6) {
		const unsigned variant = (unsigned)(fips * 2 + dual);

		n++;
		aws_host_find(host, sign, service_of(service), region, fips, dual);
		if (strcmp(host, theirs) == 0 && strcmp(sign, their_sign) == 0)
			continue;
		if (!is_excused(service, region, variant))
			fail_msg("%s %s fips %d dual %d: %s (%s), botocore %s (%s)", service,
				 region, fips, dual, host, sign, theirs, their_sign);
	}
	assert_int_equal(pclose(oracle), 0);
	assert_true(n > 1000);
	for (size_t i = 0; i < ARRAY_LEN(differences); i++)
		if (!differences[i].used)
			fail_msg("nothing differs: %s %s", differences[i].service,
				 differences[i].region);
}

static void test_newer(void **state)
{
	static const struct {
		enum aws_service service;
		const char *region;
		bool fips, dual;
		const char *host, *sign;
	} cases[] = {
		{ AWS_SSM, "eusc-de-east-1", false, false, "ssm.eusc-de-east-1.amazonaws.eu", "" },
		{ AWS_SSM, "eusc-de-east-1", true, true,
		  "ssm-fips.eusc-de-east-1.api.amazonwebservices.eu", "" },
		{ AWS_EC2, "eu-isoe-west-1", false, false, "ec2.eu-isoe-west-1.cloud.adc-e.uk",
		  "" },
		{ AWS_EC2, "eu-isoe-west-1", false, true,
		  "ec2.eu-isoe-west-1.api.cloud-aws.adc-e.uk", "" },
		{ AWS_KMS, "us-isof-south-1", true, false,
		  "kms-fips.us-isof-south-1.csp.hci.ic.gov", "" },
		{ AWS_KMS, "us-isof-east-1", false, true, "kms.us-isof-east-1.api.aws.hci.ic.gov",
		  "" },
		{ AWS_STS, "us-iso-east-1", false, true, "sts.us-iso-east-1.api.aws.ic.gov", "" },
		{ AWS_STS, "us-isob-east-1", false, true, "sts.us-isob-east-1.api.aws.scloud", "" },
		{ AWS_SSO, "us-gov-west-1", true, false, "portal.sso.us-gov-west-1.amazonaws.com",
		  "" },
		{ AWS_OIDC, "us-gov-west-1", true, true, "oidc-fips.us-gov-west-1.api.aws", "" },
		{ AWS_EIC, "us-gov-east-1", true, false,
		  "ec2-instance-connect-fips.us-gov-east-1.amazonaws.com", "" },
		{ AWS_ROUTE53, "il-central-1", false, false, "route53.amazonaws.com", "us-east-1" },
		{ AWS_ROUTE53, "eu-west-1", true, true, "route53-fips.global.api.aws",
		  "us-east-1" },
		{ AWS_ROUTE53, "cn-north-1", false, true,
		  "route53.global.api.amazonwebservices.com.cn", "cn-northwest-1" },
		{ AWS_ROUTE53, "us-gov-east-1", true, true, "route53.us-gov.api.aws",
		  "us-gov-west-1" },
		{ AWS_ROUTE53, "eusc-de-east-1", false, false, "route53.amazonaws.eu",
		  "eusc-de-east-1" },
		{ AWS_ROUTE53, "us-iso-west-1", true, false, "route53-fips.c2s.ic.gov",
		  "us-iso-east-1" },
	};
	char host[AWS_HOST_MAX], sign[AWS_REGION_MAX];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		aws_host_find(host, sign, cases[i].service, cases[i].region, cases[i].fips,
			      cases[i].dual);
		assert_string_equal(host, cases[i].host);
		assert_string_equal(sign, cases[i].sign[0] ? cases[i].sign : cases[i].region);
	}
}

static void test_longest(void **state)
{
	static const char suffix[] = ".api.cloud-aws.adc-e.uk";
	char host[AWS_HOST_MAX], sign[AWS_REGION_MAX], region[AWS_REGION_MAX];

	(void)state;
	/* 63 characters */
	assert_int_equal(snprintf(region, sizeof(region), "eu-isoe-%053d-1", 0), 63);
	assert_true(aws_region_is_valid(region));
	for (enum aws_service s = 0; s < AWS_SERVICE_N; s++) {
		aws_host_find(host, sign, s, region, true, true);
		assert_string_equal(host + strlen(host) - strlen(suffix), suffix);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_as_botocore),
		cmocka_unit_test(test_newer),
		cmocka_unit_test(test_longest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
