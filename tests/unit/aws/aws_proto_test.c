// SPDX-License-Identifier: MIT
/*
 * Cases: requests of every operation, all members and random ones, as botocore writes them; answers made from the models,
 * as botocore reads them; errors in each protocol's form; an empty list, one of nothing, members that are too deep, too
 * many, too long or no strings; nothing, other types and other roots as an answer
 */
#include "tests/unit/aws/aws_fixture.h"

static enum aws_op op_of(const char *name)
{
	int op = 0;

	while (op < AWS_OP_N && strcmp(aws_ops[op].name, name) != 0)
		op++;
	assert_true(op < AWS_OP_N);
	return (enum aws_op)op;
}

static void unescape(char *s)
{
	char *to = s;

	for (; *s; s++) {
		unsigned byte;

		if (*s == '%' && sscanf(s + 1, "%2X", &byte) == 1) {
			*to++ = (char)byte;
			s += 2;
		} else {
			*to++ = *s;
		}
	}
	*to = '\0';
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* "b=2&a=1" as [["a", "1"], ["b", "2"]] */
static json_t *pairs_of(const char *text)
{
	char *copy = strdup(text), *pair[400] = { NULL }, *save = NULL;
	json_t *list = json_array();
	size_t n = 0;

	for (char *p = strtok_r(copy, "&", &save); p; p = strtok_r(NULL, "&", &save)) {
		assert_true(n < ARRAY_LEN(pair));
		pair[n++] = p;
	}
	for (size_t i = 0; i < n; i++) {
		char *value = strchr(pair[i], '=');

		assert_non_null(value);
		*value++ = '\0';
		unescape(value);
	}
	qsort(pair, n, sizeof(pair[0]), by_text);
	for (size_t i = 0; i < n; i++) {
		/* the name was cut off above, the value is behind it in the copy */
		const char *value = pair[i] + strlen(pair[i]) + 1;

		unescape(pair[i]);
		json_array_append_new(list, json_pack("[ss]", pair[i], value));
	}
	free(copy);
	return list;
}

static void assert_json(const json_t *got, const json_t *want, const char *what)
{
	if (json_equal(got, want))
		return;
	print_error("%s\n got  %s\n want %s\n", what, json_dumps(got, JSON_ENCODE_ANY),
		    json_dumps(want, JSON_ENCODE_ANY));
	fail();
}

static void check_pairs(const char *text, json_t *want, const char *what)
{
	json_t *got = pairs_of(text);

	assert_json(got, want, what);
	json_decref(got);
}

static void check_write(json_t *c, const char *name)
{
	struct aws_outgoing out;
	char *query;
	json_t *got;

	assert_int_equal(aws_proto_write(&out, op_of(name), json_object_get(c, "params")), 0);
	assert_string_equal(out.method, aws_text(c, "method"));
	assert_string_equal(out.content_type ? out.content_type : "", aws_text(c, "type"));
	assert_string_equal(out.target, aws_text(c, "target"));
	query = strchr(out.path, '?');
	if (query)
		*query++ = '\0';
	assert_string_equal(out.path, aws_text(c, "path"));
	check_pairs(query ? query : "", json_object_get(c, "query"), name);
	if (json_object_get(c, "form")) {
		check_pairs(out.body, json_object_get(c, "form"), name);
	} else if (json_object_get(c, "json")) {
		assert_non_null(got = json_loads(out.body, 0, NULL));
		assert_json(got, json_object_get(c, "json"), name);
		json_decref(got);
	}
	aws_outgoing_fini(&out);
}

static void check_read(json_t *c, const char *name)
{
	const char *body = aws_text(c, "body");
	json_t *got;

	assert_int_equal(aws_proto_read(&got, op_of(name), body, strlen(body)), 0);
	assert_json(got, json_object_get(c, "answer"), name);
	json_decref(got);
}

static void check_error(json_t *c, const char *name)
{
	const struct aws_endpoint at = { .region = "eu-west-1", .region_from = "AWS_REGION" };
	const char *body = aws_text(c, "body"), *message = aws_text(c, "message");
	struct aws_answer_head head = { .status =
						json_integer_value(json_object_get(c, "status")) };
	struct aws_failure f = { .op = op_of(name), .at = &at, .head = &head, .profile = "p" };
	struct aws_error e;
	json_t *root;
	char text[512];

	snprintf(head.error_type, sizeof(head.error_type), "%s", aws_text(c, "type_header"));
	assert_int_equal(aws_proto_read(&root, f.op, body, strlen(body)), 0);
	f.root = root;
	aws_error_from_answer(&e, &f);
	assert_string_equal(e.code, aws_text(c, "code"));
	assert_string_equal(e.request_id, aws_text(c, "request_id"));
	snprintf(text, sizeof(text), "An error occurred (%s) when calling the %s operation: %s",
		 aws_text(c, "code"), name, *message ? message : "(no text)");
	assert_string_equal(e.text, text);
	json_decref(root);
}

static void test_oracle(void **state)
{
	static const struct {
		const char *key;
		void (*check)(json_t *c, const char *name);
	} kinds[] = { { "write", check_write }, { "read", check_read }, { "error", check_error } };
	unsigned n[ARRAY_LEN(kinds)] = { 0 };
	FILE *oracle = popen("/usr/bin/python3 tests/unit/aws/proto_oracle.py", "r");
	char *line = NULL;
	size_t cap = 0;

	(void)state;
	assert_non_null(oracle);
	while (getline(&line, &cap, oracle) > 0) {
		json_t *c = json_loads(line, 0, NULL);

		assert_non_null(c);
		for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
			if (aws_text(c, kinds[i].key)) {
				kinds[i].check(c, aws_text(c, kinds[i].key));
				n[i]++;
			}
		json_decref(c);
	}
	free(line);
	assert_int_equal(pclose(oracle), 0);
	assert_int_equal(n[0], AWS_OP_N * 12);
	assert_true(n[1] > AWS_OP_N * 5 && n[2] == 12);
}

static void check_refused(enum aws_op op, json_t *params, int err)
{
	struct aws_outgoing out;

	assert_int_equal(aws_proto_write(&out, op, params), err);
	json_decref(params);
}

static void test_write_bounds(void **state)
{
	char text[300];
	json_t *deep = json_string("x"), *many = json_object();

	(void)state;
	for (int i = 0; i < 9; i++)
		deep = json_pack("[o]", deep);
	check_refused(AWS_DESCRIBE_VPCS, json_pack("{s:o}", "Filters", deep), ST_EINVAL);
	memset(text, 'n', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	check_refused(AWS_ASSUME_ROLE, json_pack("{s:s}", text, "x"), ST_EINVAL);
	check_refused(AWS_LIST_HOSTED_ZONES_BY_VPC, json_pack("{s:i}", "MaxItems", 1), ST_EINVAL);
	for (int i = 0; i < 17; i++) {
		snprintf(text, sizeof(text), "m%d", i);
		json_object_set_new(many, text, json_string(""));
	}
	check_refused(AWS_LIST_HOSTED_ZONES_BY_VPC, many, ST_EFULL);
	char *large = calloc(1, KIB(256) + 1);
	memset(large, 'x', KIB(256));
	check_refused(AWS_ASSUME_ROLE, json_pack("{s:s}", "Policy", large), ST_EFULL);
	free(large);
}

static void test_read_others(void **state)
{
	static const struct {
		enum aws_op op;
		const char *body;
		int err;
	} cases[] = {
		{ AWS_START_SESSION, "", 0 },
		{ AWS_START_SESSION, "[]", ST_EFORMAT },
		{ AWS_START_SESSION, "null", ST_EFORMAT },
		{ AWS_START_SESSION, "{\"a\":1", ST_EFORMAT },
		{ AWS_START_SESSION, "<html>", ST_EFORMAT },
		{ AWS_DESCRIBE_VPCS, "", ST_EFORMAT },
		{ AWS_DESCRIBE_VPCS, "{}", ST_EFORMAT },
		{ AWS_DESCRIBE_VPCS, "<a/>", ST_EFORMAT },
		{ AWS_DESCRIBE_VPCS, "<a><item/></a>", ST_EFORMAT },
		{ AWS_DESCRIBE_VPCS, "<a><b/></a>", 0 },
		{ AWS_GET_CALLER_IDENTITY, "<a><GetCallerIdentityResult/></a>", 0 },
	};
	json_t *got;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_int_equal(
			aws_proto_read(&got, cases[i].op, cases[i].body, strlen(cases[i].body)),
			cases[i].err);
		assert_int_equal(got != NULL, cases[i].err == 0);
		json_decref(got);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_oracle),
		cmocka_unit_test(test_write_bounds),
		cmocka_unit_test(test_read_others),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
