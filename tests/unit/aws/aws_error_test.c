// SPDX-License-Identifier: MIT
/*
 * Cases: codes of every service, where each protocol has them, and what is made of them: our code, whether it is worth trying
 * again and when, whether a person is waited for, the hint; an answer without a code; a text that is foreign and long; what a
 * denial says about action, resource and policy; the clock, with and without allowance; where the region was found
 */
#include <time.h>

#include "tests/unit/aws/aws_fixture.h"

static struct aws_error told(enum aws_op op, long status, const char *type_header, const char *body,
			     struct aws_failure f)
{
	struct aws_endpoint at = { 0 };
	struct aws_answer_head head = { .status = status, .date_s = time(NULL) };
	struct aws_error e;
	json_t *root = NULL;

	strcpy(at.region, "eu-west-1");
	strcpy(at.region_from, "AWS_REGION");
	snprintf(head.error_type, sizeof(head.error_type), "%s", type_header);
	if (f.head)
		head.date_s = f.head->date_s;
	aws_proto_read(&root, op, body, strlen(body));
	f.op = op;
	f.at = &at;
	f.head = &head;
	f.root = root;
	aws_error_from_answer(&e, &f);
	json_decref(root);
	return e;
}

static const char *json_body(const char *code, const char *message)
{
	static char body[4096];

	snprintf(body, sizeof(body), "{\"__type\":\"%s\",\"message\":\"%s\"}", code, message);
	return body;
}

static const char *ec2_body(const char *code)
{
	static char body[512];

	snprintf(body, sizeof(body),
		 "<Response><Errors><Error><Code>%s</Code><Message>m</Message></Error></"
		 "Errors><RequestID>r</RequestID></Response>",
		 code);
	return body;
}

static const char *query_body(const char *code)
{
	static char body[512];

	snprintf(body, sizeof(body),
		 "<ErrorResponse><Error><Code>%s</Code><Message>m</Message></Error><RequestId>r</"
		 "RequestId></ErrorResponse>",
		 code);
	return body;
}

enum again { NEVER, LATER, SOON };

static const struct {
	enum aws_op op;
	int status;
	const char *code;
	int err;
	enum again again;
	bool person;
	const char *hint;
} codes[] = {
	{ AWS_START_SESSION, 400, "TargetNotConnected", ST_ECLOSED, LATER, false,
	  "region than eu-west-1 (from AWS_REGION)" },
	{ AWS_START_SESSION, 400, "ExpiredTokenException", ST_EAUTH, NEVER, true, "have expired" },
	{ AWS_START_SESSION, 400, "UnrecognizedClientException", ST_EAUTH, NEVER, false,
	  "(from AWS_REGION)" },
	{ AWS_START_SESSION, 400, "ThrottlingException", ST_EAGAIN, SOON, false, "too often" },
	{ AWS_START_SESSION, 500, "SomethingNew", ST_EAGAIN, SOON, false, "fault of the service" },
	{ AWS_START_SESSION, 403, "SomethingNew", ST_EPERM, NEVER, false,
	  "ssm:StartSession on i-1 and on" },
	{ AWS_START_SESSION, 400, "SomethingNew", ST_EPEER, NEVER, false, "" },
	{ AWS_SEND_SSH_PUBLIC_KEY, 400, "AuthException", ST_EPERM, NEVER, false,
	  "ec2-instance-connect:SendSSHPublicKey on i-1" },
	{ AWS_SEND_SSH_PUBLIC_KEY, 400, "EC2InstanceNotFoundException", ST_ENOENT, NEVER, false,
	  "i-1 does not exist in region eu-west-1 (from AWS_REGION)" },
	{ AWS_SEND_SSH_PUBLIC_KEY, 400, "EC2InstanceStateInvalidException", ST_ECLOSED, LATER,
	  false, "start it" },
	{ AWS_SEND_SSH_PUBLIC_KEY, 400, "EC2InstanceUnavailableException", ST_ECLOSED, LATER, false,
	  "i-1" },
	{ AWS_SEND_SSH_PUBLIC_KEY, 500, "ServiceException", ST_EAGAIN, SOON, false, "service" },
	{ AWS_SEND_SSH_PUBLIC_KEY, 400, "InvalidArgsException", ST_EINVAL, NEVER, false, "" },
	{ AWS_GENERATE_DATA_KEY, 400, "NotFoundException", ST_ENOENT, NEVER, false, "KMS key" },
	{ AWS_GENERATE_DATA_KEY, 400, "DisabledException", ST_EINVAL, NEVER, false, "KMS key" },
	{ AWS_GENERATE_DATA_KEY, 500, "KMSInternalException", ST_EAGAIN, SOON, false, "service" },
	{ AWS_GENERATE_DATA_KEY, 400, "AccessDeniedException", ST_EPERM, NEVER, false,
	  "kms:GenerateDataKey on i-1" },
	{ AWS_DESCRIBE_INSTANCES, 403, "UnauthorizedOperation", ST_EPERM, NEVER, false,
	  "ec2:DescribeInstances" },
	{ AWS_DESCRIBE_INSTANCES, 401, "AuthFailure", ST_EAUTH, NEVER, false,
	  "access key is unknown" },
	{ AWS_DESCRIBE_INSTANCES, 400, "RequestExpired", ST_EAUTH, NEVER, true, "expired" },
	{ AWS_DESCRIBE_INSTANCES, 401, "OptInRequired", ST_EPERM, NEVER, false, "enabled" },
	{ AWS_DESCRIBE_INSTANCES, 403, "Blocked", ST_EPERM, NEVER, false, "account" },
	{ AWS_DESCRIBE_INSTANCES, 503, "RequestLimitExceeded", ST_EAGAIN, SOON, false,
	  "too often" },
	{ AWS_DESCRIBE_INSTANCES, 400, "InvalidInstanceID.NotFound", ST_ENOENT, NEVER, false,
	  "i-1 does not exist" },
	{ AWS_DESCRIBE_INSTANCES, 400, "InvalidInstanceID.Malformed", ST_EINVAL, NEVER, false, "" },
	{ AWS_DESCRIBE_VPCS, 403, "SignatureDoesNotMatch", ST_EAUTH, NEVER, false,
	  "secret access key" },
	{ AWS_ASSUME_ROLE, 403, "AccessDenied", ST_EPERM, NEVER, false, "sts:AssumeRole on i-1" },
	{ AWS_ASSUME_ROLE, 403, "InvalidClientTokenId", ST_EAUTH, NEVER, false,
	  "access key is unknown" },
	{ AWS_ASSUME_ROLE, 403, "ExpiredToken", ST_EAUTH, NEVER, true, "have expired" },
	{ AWS_ASSUME_ROLE, 403, "RegionDisabledException", ST_EPERM, NEVER, false,
	  "region eu-west-1" },
	{ AWS_ASSUME_ROLE, 400, "PackedPolicyTooLarge", ST_EINVAL, NEVER, false, "" },
	{ AWS_ASSUME_ROLE_WITH_WEB_IDENTITY, 400, "InvalidIdentityToken", ST_EAUTH, NEVER, false,
	  "" },
	{ AWS_ASSUME_ROLE_WITH_WEB_IDENTITY, 400, "IDPCommunicationError", ST_EAGAIN, SOON, false,
	  "service" },
	{ AWS_GET_ROLE_CREDENTIALS, 401, "UnauthorizedException", ST_EAUTH, NEVER, true,
	  "run: aws sso login --profile 'a b'" },
	{ AWS_GET_ROLE_CREDENTIALS, 403, "ForbiddenException", ST_EPERM, NEVER, false,
	  "sso_role_name" },
	{ AWS_GET_ROLE_CREDENTIALS, 429, "TooManyRequestsException", ST_EAGAIN, SOON, false,
	  "too often" },
	{ AWS_CREATE_TOKEN, 400, "AuthorizationPendingException", ST_EAGAIN, LATER, false, "" },
	{ AWS_CREATE_TOKEN, 400, "SlowDownException", ST_EAGAIN, LATER, false, "" },
	{ AWS_CREATE_TOKEN, 400, "InvalidGrantException", ST_EAUTH, NEVER, true, "aws sso login" },
	{ AWS_LIST_HOSTED_ZONES_BY_VPC, 403, "AccessDenied", ST_EPERM, NEVER, false,
	  "route53:ListHostedZonesByVPC" },
	{ AWS_LIST_HOSTED_ZONES_BY_VPC, 400, "InvalidInput", ST_EINVAL, NEVER, false, "" },
};

static const char *body_of(enum aws_op op, const char *code)
{
	switch (aws_ops[op].protocol) {
	case AWS_EC2_QUERY: return ec2_body(code);
	case AWS_QUERY:
	case AWS_REST_XML: return query_body(code);
	case AWS_REST_JSON: return "{\"message\":\"m\"}";
	default: return json_body(code, "m");
	}
}

static void test_codes(void **state)
{
	char text[256];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(codes); i++) {
		const enum aws_op op = codes[i].op;
		const bool rest = aws_ops[op].protocol == AWS_REST_JSON;
		const struct aws_error e = told(
			op, codes[i].status, rest ? codes[i].code : "", body_of(op, codes[i].code),
			(struct aws_failure){ .subject = "i-1", .profile = "a b" });

		snprintf(text, sizeof(text),
			 "An error occurred (%s) when calling the %s operation: m", codes[i].code,
			 aws_ops[op].name);
		assert_string_equal(e.text, text);
		assert_string_equal(e.code, codes[i].code);
		assert_int_equal(e.err, codes[i].err);
		assert_int_equal(e.retryable, codes[i].again != NEVER);
		assert_int_equal(aws_error_is_transient(&e), codes[i].again == SOON);
		assert_int_equal(e.person, codes[i].person);
		if (!strstr(e.hint, codes[i].hint) || !*codes[i].hint != !*e.hint)
			fail_msg("%s: hint %s", codes[i].code, e.hint);
	}
}

/* RFC 6749's and 8628's words in the body, without a header. */
static void test_oauth(void **state)
{
	struct aws_error e =
		told(AWS_CREATE_TOKEN, 400, "",
		     "{\"error\":\"authorization_pending\",\"error_description\":\"wait\"}",
		     (struct aws_failure){ 0 });

	(void)state;
	assert_string_equal(e.code, "AuthorizationPendingException");
	assert_string_equal(e.text,
			    "An error occurred (AuthorizationPendingException) when calling the "
			    "CreateToken operation: wait");
	e = told(AWS_CREATE_TOKEN, 400, "", "{\"error\":\"new_one\"}", (struct aws_failure){ 0 });
	assert_string_equal(e.code, "new_one");
	e = told(AWS_CREATE_TOKEN, 400, "SlowDownException",
		 "{\"error\":\"authorization_pending\"}", (struct aws_failure){ 0 });
	assert_string_equal(e.code, "SlowDownException");
}

static void test_without_code(void **state)
{
	struct aws_error e = told(AWS_START_SESSION, 503, "", "<html>busy</html>",
				  (struct aws_failure){ .retries = 2 });

	(void)state;
	assert_string_equal(
		e.text, "An error occurred (503) when calling the StartSession operation (reached "
			"max retries: 2): Service Unavailable");
	assert_string_equal(e.code, "");
	assert_int_equal(e.err, ST_EAGAIN);
	e = told(AWS_DESCRIBE_VPCS, 404, "", "not XML", (struct aws_failure){ 0 });
	assert_string_equal(
		e.text,
		"An error occurred (404) when calling the DescribeVpcs operation: Not Found");
	assert_string_equal(e.hint, "is the endpoint URL one of AWS?");
	e = told(AWS_DESCRIBE_VPCS, 418, "", "<a><b/></a>", (struct aws_failure){ 0 });
	assert_non_null(strstr(e.text, "(418)"));
	assert_int_equal(e.err, ST_EPEER);
	e = told(AWS_START_SESSION, 400, "", "{\"__type\":\"TargetNotConnected\"}",
		 (struct aws_failure){ .retries = 2 });
	assert_string_equal(e.text,
			    "An error occurred (TargetNotConnected) when calling the StartSession "
			    "operation: (no text)");
}

static void test_foreign_text(void **state)
{
	char message[3000], code[300];
	struct aws_error e;

	(void)state;
	memset(message, 'm', sizeof(message) - 1);
	message[sizeof(message) - 1] = '\0';
	e = told(AWS_START_SESSION, 400, "", json_body("AccessDeniedException", message),
		 (struct aws_failure){ 0 });
	assert_int_equal(strlen(e.text), sizeof(e.text) - 1);
	assert_string_equal(e.text + strlen(e.text) - 4, "m...");
	memset(message + 400, '\0', 1);
	e = told(AWS_START_SESSION, 400, "", json_body("AccessDeniedException", message),
		 (struct aws_failure){ 0 });
	assert_non_null(strstr(e.text, message)); /* whole: the CLI prints it so */
	memset(code, 'c', sizeof(code) - 1);
	code[sizeof(code) - 1] = '\0';
	e = told(AWS_START_SESSION, 400, "", json_body(code, "a\\u001b[31mb\\nc"),
		 (struct aws_failure){ 0 });
	assert_int_equal(strlen(e.code), sizeof(e.code) - 1);
	assert_non_null(strstr(e.text, ": a\\x1b[31mb\\x0ac"));
	e = told(AWS_START_SESSION, 400, "", json_body("ns#Ev\\u001b[1mil:http://x", "m"),
		 (struct aws_failure){ 0 });
	assert_string_equal(e.code, "Ev\\x1b[1mil");
}

#define WHO "User: arn:aws:sts::123456789012:assumed-role/dev/alice is not authorized to perform: "
#define DOCUMENT "arn:aws:ssm:eu-west-1::document/AWS-StartSSHSession"

static const struct {
	const char *message, *hint;
} denials[] = {
	{ "", "the IAM identity needs ssm:StartSession on i-1 and on the session document" },
	{ WHO "ssm:StartSession on resource: " DOCUMENT
	      " because no identity-based policy allows the ssm:StartSession action",
	  "the IAM identity needs ssm:StartSession on " DOCUMENT
	  "; what has to allow it: identity-based policy" },
	{ WHO "ssm:StartSession on resource: " DOCUMENT,
	  "the IAM identity needs ssm:StartSession on " DOCUMENT },
	{ WHO "ssm:StartSession on resource: " DOCUMENT
	      " with an explicit deny in a service control policy",
	  "ssm:StartSession on " DOCUMENT " is denied explicitly in a service control policy: "
	  "allowing it elsewhere does not help" },
	{ WHO "ssm:StartSession on resource: " DOCUMENT
	      " with an explicit deny in an identity-based policy: arn:aws:iam::1:policy/x",
	  "ssm:StartSession on " DOCUMENT " is denied explicitly in an identity-based policy: "
	  "allowing it elsewhere does not help" },
	{ WHO "ssm:StartSession with an explicit deny",
	  "ssm:StartSession on i-1 is denied explicitly by a policy: allowing it elsewhere does "
	  "not help" },
	{ "You are not authorized to perform this operation. Encoded authorization failure "
	  "message: abcdef",
	  "the IAM identity needs ssm:StartSession on i-1 and on the session document" },
};

static void test_denials(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(denials); i++)
		assert_string_equal(told(AWS_START_SESSION, 400, "",
					 json_body("AccessDeniedException", denials[i].message),
					 (struct aws_failure){ .subject = "i-1" })
					    .hint,
				    denials[i].hint);
}

static const struct {
	const char *code;
	int ahead_s, skew_s; /* of our clock; what it was made up for */
	const char *hint;
} clocks[] = {
	{ "InvalidSignatureException", 0, 0,
	  "the secret access key does not belong to this access key id" },
	{ "InvalidSignatureException", 3600, 0,
	  "clock is 3600 s ahead of the service's: set it right" },
	{ "InvalidSignatureException", -3600, 0,
	  "clock is 3600 s behind the service's: set it right" },
	{ "InvalidSignatureException", 3600, -3600,
	  "3600 s ahead of the service's, has been allowed for" },
	{ "InvalidSignatureException", -3600, 3600,
	  "3600 s behind the service's, has been allowed for" },
	{ "RequestExpired", 3600, 0, "clock is 3600 s ahead of" },
	{ "RequestExpired", 100, 0, "expired" },
	{ "AuthFailure", -600, 0, "clock is 600 s behind" },
};

static void test_clocks(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(clocks); i++) {
		const struct aws_answer_head head = { .date_s = time(NULL) - clocks[i].ahead_s };
		const struct aws_error e =
			told(AWS_START_SESSION, 400, "", json_body(clocks[i].code, "m"),
			     (struct aws_failure){ .head = &head, .skew_s = clocks[i].skew_s });

		if (!strstr(e.hint, clocks[i].hint)) /* a second may have passed */
			assert_true(strstr(e.hint, "3601 s") || strstr(e.hint, "3599 s") ||
				    strstr(e.hint, "599 s"));
	}
}

static void test_sources(void **state)
{
	static const struct {
		const char *source, *profile, *hint;
	} cases[] = {
		{ "sso", "dev", "run: aws sso login --profile dev" },
		{ "sso", "default", "run: aws sso login" },
		{ "sso", "x'; reboot #", "run: aws sso login --profile 'x'\\''; reboot #'" },
		{ "sso", "-x", "run: aws sso login --profile '-x'" },
		{ "env", "dev", "the environment have expired" },
		{ "assume-role", "dev", "credentials of assume-role have expired" },
		{ NULL, NULL, "the temporary credentials have expired" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct aws_error e =
			told(AWS_START_SESSION, 400, "", json_body("ExpiredTokenException", "m"),
			     (struct aws_failure){ .source = cases[i].source,
						   .profile = cases[i].profile });

		assert_true(e.person && aws_error_is_expired(&e));
		assert_non_null(strstr(e.hint, cases[i].hint));
	}
}

/* Text and hint are one sentence after the other, without two marks between them. */
static void test_line(void **state)
{
	static const struct {
		const char *text, *hint, *before, *line;
	} rows[] = {
		{ "No.", "do it", "prod", "prod: No; do it" },
		{ "No", "do it", "prod", "prod: No; do it" },
		{ "No.", "", "", "No." },
		{ "", "do it", "", "; do it" },
	};
	char line[64];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct aws_error e = { 0 };

		strcpy(e.text, rows[i].text);
		strcpy(e.hint, rows[i].hint);
		aws_error_line(line, sizeof(line), rows[i].before, &e);
		assert_string_equal(line, rows[i].line);
	}
	aws_error_line(line, 5, "prod", &(struct aws_error){ .text = "No." });
	assert_string_equal(line, "prod");
}

/* tinyproxy answers a wrong password with 401, others with 407. */
static void test_proxy(void **state)
{
	struct aws_endpoint at = { .url = (char[]){ "https://x.test/" },
				   .host = "x.test",
				   .port = 443 };
	struct aws_transport t = { .code = CURLE_RECV_ERROR, .detail = "", .endpoint = &at };
	struct aws_error e;

	(void)state;
	strcpy(at.proxy_host, "p.test");
	for (long status = 401; status <= 407; status++) {
		t.connect_status = status;
		aws_error_from_transport(&e, &t);
		assert_int_equal(e.err, status == 401 || status == 407 ? ST_EAUTH : ST_EREFUSED);
		assert_int_equal(!strstr(e.hint, "password"), e.err != ST_EAUTH);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_codes),	     cmocka_unit_test(test_oauth),
		cmocka_unit_test(test_without_code), cmocka_unit_test(test_foreign_text),
		cmocka_unit_test(test_denials),	     cmocka_unit_test(test_clocks),
		cmocka_unit_test(test_sources),	     cmocka_unit_test(test_line),
		cmocka_unit_test(test_proxy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
