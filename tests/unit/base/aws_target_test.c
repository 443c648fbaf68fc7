// SPDX-License-Identifier: MIT
/*
 * aws_target_test.c - the names of targets: every form with its parts, what is refused and why, host ids that look alike,
 * lengths to the byte
 */
#include "base/aws_target.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/util.h"

#define ID "i-0123456789abcdef0"

static void forms(void **state)
{
	static const struct {
		const char *in;
		enum aws_target_kind kind;
		const char *text, *tag, *region;
	} cases[] = {
		{ ID, AWS_TARGET_ID, ID, "", "" },
		{ "i-01234567", AWS_TARGET_ID, "i-01234567", "", "" },
		{ "mi-0123456789abcdef0", AWS_TARGET_ID, "mi-0123456789abcdef0", "", "" },
		{ ID "--eu-west-1", AWS_TARGET_ID, ID, "", "eu-west-1" },
		{ "mi-0123456789abcdef0--us-gov-east-1", AWS_TARGET_ID, "mi-0123456789abcdef0", "",
		  "us-gov-east-1" },
		{ "arn:aws:ec2:eu-west-1:123456789012:instance/" ID, AWS_TARGET_ID, ID, "",
		  "eu-west-1" },
		{ "arn:aws-cn:ssm:cn-north-1:123456789012:managed-instance/mi-0123456789abcdef0",
		  AWS_TARGET_ID, "mi-0123456789abcdef0", "", "cn-north-1" },
		{ "tag:Name=bastion", AWS_TARGET_TAG, "bastion", "Name", "" },
		{ "tag:aws:autoscaling:groupName=bastion-*", AWS_TARGET_TAG, "bastion-*",
		  "aws:autoscaling:groupName", "" },
		{ "tag:a key=a value = x", AWS_TARGET_TAG, "a value = x", "a key", "" },
		{ "tag:Name=z\303\274rich", AWS_TARGET_TAG, "z\303\274rich", "Name", "" },
		{ "ip-10-0-0-1.eu-west-1.compute.internal", AWS_TARGET_DNS,
		  "ip-10-0-0-1.eu-west-1.compute.internal", "", "eu-west-1" },
		{ "ip-10-0-0-1.ec2.internal", AWS_TARGET_DNS, "ip-10-0-0-1.ec2.internal", "",
		  "us-east-1" },
		{ "ip-10-0-0-1.corp.example", AWS_TARGET_DNS, "ip-10-0-0-1.corp.example", "", "" },
		{ ID ".us-west-2.compute.internal", AWS_TARGET_DNS,
		  ID ".us-west-2.compute.internal", "", "us-west-2" },
		{ "10.0.1.5", AWS_TARGET_IP, "10.0.1.5", "", "" },
		{ "10.0.1.5--ap-south-1", AWS_TARGET_IP, "10.0.1.5", "", "ap-south-1" },
		{ "fd77:0::5", AWS_TARGET_IP, "fd77::5", "", "" },
		/* a gateway's */
		{ "vpc-1", AWS_TARGET_ID, "vpc-1", "", "" },
		{ "db--1", AWS_TARGET_ID, "db--1", "", "" },
		{ "ip-10-0-0-1", AWS_TARGET_ID, "ip-10-0-0-1", "", "" },
		{ "ip-10-0-0-999.corp.example", AWS_TARGET_ID, "ip-10-0-0-999.corp.example", "",
		  "" },
		{ "web.example.com", AWS_TARGET_ID, "web.example.com", "", "" },
		{ "10.0.1.5.example", AWS_TARGET_ID, "10.0.1.5.example", "", "" },
		{ "i-0123", AWS_TARGET_ID, "i-0123", "", "" },
		{ "i-0123--x", AWS_TARGET_ID, "i-0123--x", "", "" },
	};
	struct aws_target t;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		if (aws_target_parse(&t, cases[i].in) != 0 || t.kind != cases[i].kind)
			fail_msg("%s: kind %d, %s", cases[i].in, t.kind, t.why ? t.why : "");
		assert_string_equal(t.text, cases[i].text);
		assert_string_equal(t.tag, cases[i].tag);
		assert_string_equal(t.region, cases[i].region);
	}
}

static void refused(void **state)
{
	static const struct {
		const char *in, *why;
	} cases[] = {
		{ "", "an id" },
		{ "a b", "an id" },
		{ "tag", NULL },
		{ "tag:", "tag:KEY=VALUE" },
		{ "tag:Name", "tag:KEY=VALUE" },
		{ "tag:=x", "tag:KEY=VALUE" },
		{ "tag:Name=", "tag:KEY=VALUE" },
		{ "tag:Name=a\nb", "tag:KEY=VALUE" },
		{ "tag:Name=\377", "tag:KEY=VALUE" },
		{ "arn:aws:ec2:eu-west-1", "an ARN" },
		{ "arn:aws:ec2:eu-west-1:123456789012:instance", "an ARN" },
		{ "arn:aws:ec2::123456789012:instance/" ID, "an ARN" },
		{ "arn:aws:ec2:eu-west-1::instance/" ID, "an ARN" },
		{ "arn:aws:ec2:eu-west-1:123456789012:volume/" ID, "an ARN" },
		{ "arn:aws:ec2:eu-west-1:123456789012:instance/mi-0123456789abcdef0", "an ARN" },
		{ "arn:aws:ssm:eu-west-1:123456789012:managed-instance/" ID, "an ARN" },
		{ "arn:aws:ec2:eu-west-1:123456789012:instance/x", "an ARN" },
		{ ID "--", "a region" },
		{ ID "--EU", "a region" },
		{ ID "--eu-west-1-", "a region" },
		{ ID "--12345", "a region" },
		{ "ip-10-0-0-1.a_b.internal", "a private DNS name" },
		{ "ip-10-0-0-1.ec2.internal.", "a private DNS name" },
	};
	struct aws_target t;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const int r = aws_target_parse(&t, cases[i].in);

		if (cases[i].why == NULL) {
			assert_int_equal(r, 0);
			continue;
		}
		assert_int_equal(r, ST_EINVAL);
		if (strncmp(t.why, cases[i].why, strlen(cases[i].why)) != 0)
			fail_msg("%s: %s", cases[i].in, t.why);
	}
}

static void lengths(void **state)
{
	char text[700], fill[500];
	struct aws_target t;

	(void)state;
	memset(fill, 'a', sizeof(fill));
	fill[sizeof(fill) - 1] = '\0';
	for (int n = 399; n <= 402; n++) {
		snprintf(text, sizeof(text), "%.*s", n, fill);
		assert_int_equal(aws_target_parse(&t, text), n <= 400 ? 0 : ST_EINVAL);
	}
	for (int n = 127; n <= 130; n++) {
		snprintf(text, sizeof(text), "tag:%.*s=x", n, fill);
		assert_int_equal(aws_target_parse(&t, text), n <= 128 ? 0 : ST_EINVAL);
	}
	for (int n = 255; n <= 258; n++) {
		snprintf(text, sizeof(text), "tag:k=%.*s", n, fill);
		assert_int_equal(aws_target_parse(&t, text), n <= 256 ? 0 : ST_EINVAL);
	}
	snprintf(text, sizeof(text), ID "--a-%.*s", 61, fill);
	assert_int_equal(aws_target_parse(&t, text), 0);
	snprintf(text, sizeof(text), ID "--a-%.*s", 62, fill);
	assert_int_equal(aws_target_parse(&t, text), ST_EINVAL);
	snprintf(text, sizeof(text), "ip-%.*s", 400, fill);
	assert_int_equal(aws_target_parse(&t, text), ST_EINVAL);
}

static void managed_nodes(void **state)
{
	struct aws_target t;

	(void)state;
	assert_int_equal(aws_target_parse(&t, "mi-0123456789abcdef0--eu-west-1"), 0);
	assert_true(aws_target_is_managed_node(&t));
	assert_int_equal(aws_target_parse(&t, ID), 0);
	assert_false(aws_target_is_managed_node(&t));
	assert_int_equal(aws_target_parse(&t, "mi-dbhost"), 0); /* a gateway's */
	assert_false(aws_target_is_managed_node(&t));
	assert_int_equal(aws_target_parse(&t, "tag:Name=mi-0123456789abcdef0"), 0);
	assert_false(aws_target_is_managed_node(&t));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(forms),
		cmocka_unit_test(refused),
		cmocka_unit_test(lengths),
		cmocka_unit_test(managed_nodes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
