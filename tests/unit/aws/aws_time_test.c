// SPDX-License-Identifier: MIT
/*
 * Cases: each form of a time against botocore's parser, on this table and on 300 random ones; what is no time; days that do not exist,
 * in leap years and others; every prefix; printing is the reverse of reading.
 */
#include "tests/unit/aws/aws_fixture.h"

static const char *const times[] = {
	"2026-11-26T10:00:00Z",
	"2026-11-26T10:00:00.123Z",
	"2026-11-26T10:00:00.123456789Z",
	"2026-11-26T10:00:00,5Z",
	"2026-11-26t10:00:00z",
	"2026-11-26 10:00:00Z",
	"2026-11-26T10:00:00",
	"2026-11-26T10:00Z",
	"2026-11-26T10:00",
	"2026-11-26",
	"20261126T100000Z",
	"20261126T1000Z",
	"2026-11-26T10:00:00UTC",
	"2026-11-26T10:00:00 UTC",
	"2026-11-26T10:00:00GMT",
	"2026-11-26T10:00:00+00:00",
	"2026-11-26T10:00:00+01:00",
	"2026-11-26T10:00:00-0130",
	"2026-11-26T10:00:00.5+05:45",
	"2026-11-26T10:00:00-08",
	"2026-11-26 10:00:00 +0200",
	"2024-02-29T00:00:00Z",
	"2000-02-29T00:00:00Z",
	"1970-01-01T00:00:00Z",
	"9999-12-31T23:59:59Z",
	"2026-12-31T23:00:00-05:00",
};

static void oracle_write(FILE *file, const char *text)
{
	assert_true(fprintf(file, "%s\n", text) > 0);
}

/* Random ones in the forms that AWS and the tools around it write. */
static void random_time(char out[64])
{
	static const char *const zones[] = { "Z", "+07:30", ".25-11:00", "", " UTC" };

	snprintf(out, 64, "%04d-%02d-%02d%c%02d:%02d:%02d%s", 1971 + rand() % 120, 1 + rand() % 12,
		 1 + rand() % 28, rand() % 2 ? 'T' : ' ', rand() % 24, rand() % 60, rand() % 60,
		 zones[(size_t)rand() % ARRAY_LEN(zones)]);
}

static void test_as_botocore(void **state)
{
	const struct fx *f = *state;
	char path[128], command[256], line[64], text[64];
	long long theirs;
	int64_t ours;
	FILE *file, *oracle;

	snprintf(path, sizeof(path), "%s/times", f->home);
	file = fopen(path, "w+");
	assert_non_null(file);
	for (size_t i = 0; i < ARRAY_LEN(times); i++)
		oracle_write(file, times[i]);
	srand(4);
	for (size_t i = 0; i < 300; i++) {
		random_time(text);
		oracle_write(file, text);
	}
	assert_int_equal(fflush(file), 0);
	rewind(file);
	snprintf(command, sizeof(command), "/usr/bin/python3 tests/unit/aws/time_oracle.py %s",
		 path);
	oracle = popen(command, "r");
	assert_non_null(oracle);
	for (size_t i = 0; i < ARRAY_LEN(times) + 300; i++) {
		assert_non_null(fgets(text, sizeof(text), file));
		text[strcspn(text, "\n")] = '\0';
		assert_non_null(fgets(line, sizeof(line), oracle));
		assert_int_equal(sscanf(line, "%lld", &theirs), 1);
		if (aws_time_parse(&ours, text) < 0 || ours != theirs)
			fail_msg("%s: botocore reads %lld", text, theirs);
	}
	fclose(file);
	assert_int_equal(pclose(oracle), 0);
}

static void test_none(void **state)
{
	static const char *const none[] = {
		"",
		"x",
		"now",
		"2026",
		"2026-11",
		"2026-1-1",
		"2026-11-26T",
		"2026-11-26T1",
		"2026-11-26T10",
		"2026-11-26T10:0",
		"2026-11-26T10:00:0Z",
		"2026-11-26T10:00:00.Z",
		"2026-11-26T10:00:00ZZ",
		"2026-11-26T10:00:00Z more",
		"2026-11-26T10:00:00EST",
		"2026-11-26T10:00:00+1",
		"2026-11-26T10:00:00+24:00",
		"2026-11-26T10:00:00+00:60",
		"2026-11-26T10:00:00+00:000",
		"2026-13-01T00:00:00Z",
		"2026-00-01T00:00:00Z",
		"2026-04-31T00:00:00Z",
		"2026-02-29T00:00:00Z",
		"2100-02-29T00:00:00Z",
		"2026-01-00T00:00:00Z",
		"2026-01-32T00:00:00Z",
		"2026-11-26T24:00:00Z",
		"2026-11-26T10:60:00Z",
		"2026-11-26T10:00:61Z",
		"1969-12-31T23:59:59Z",
		"-026-11-26T10:00:00Z",
		"+2026-11-26T10:00:00Z",
		"1764151200",
		"\xff\xff\xff\xff",
	};
	int64_t t = 77;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(none); i++)
		if (aws_time_parse(&t, none[i]) != ST_EFORMAT)
			fail_msg("%s is no time", none[i]);
	assert_int_equal(t, 77);
}

/* Each is a time or is none; none is read beyond its end (the address sanitizer sees to that). */
static void test_prefixes(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(times); i++)
		for (size_t len = 0; len <= strlen(times[i]); len++) {
			char *part = strndup(times[i], len);
			int64_t t;
			int err;

			assert_non_null(part);
			err = aws_time_parse(&t, part);
			assert_true(err == 0 || err == ST_EFORMAT);
			free(part);
		}
}

static void test_print(void **state)
{
	char text[AWS_TIME_STR];
	int64_t t;

	(void)state;
	assert_string_equal(aws_time_print(text, 1764151200), "2025-11-26T10:00:00Z");
	assert_int_equal(aws_time_parse(&t, text), 0);
	assert_int_equal(t, 1764151200);
	assert_string_equal(aws_time_print(text, INT64_MAX), "?");
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, fx_setup, fx_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_as_botocore),
		CASE(test_none),
		CASE(test_prefixes),
		CASE(test_print),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
