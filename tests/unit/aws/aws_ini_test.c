// SPDX-License-Identifier: MIT
/*
 * Cases: each text is read by us and by botocore, which must agree on every profile, key and value, or on that the file
 * can't be read; lines of errors; every prefix of a text; keys of nested sections; NUL bytes; files as large as may be. Pairs of files: aws_profile_test.c
 */
#include <time.h>

#include "tests/unit/aws/aws_fixture.h"

/* Texts for the comparison; the profiles and keys that they use stand in the two lists below. */
static const char *const texts[] = {
	"",
	"\n\n# only a comment\n; and another\n",
	"[default]\nregion = eu-west-1\n",
	"[profile x]\nregion=a\n[profile y]\nregion: b\n",
	"[x]\nregion = not a profile\n",
	"[default]\nregion = eu-west-1 # stays\noutput = json ; stays\n",
	"[default]\n# no\n  # no\n\t; no\nregion=a\n",
	"[default]\nREGION = upper\n",
	"[default]\nregion = \"quoted\"\noutput = 'q'\n",
	"[default]\nregion\t =\t  blanks  \t\n",
	"[default]\nregion = a=b:c\n",
	"[default]\nregion: a=b\n",
	"[default]\nregion =\noutput = x\n",
	"[default]\nregion = a\n  more\n\toutput = x\n",
	"[default]\nregion = a\n\n  after a gap\noutput = y\n",
	"[default]\nregion = a\n  # a comment inside\n  more\n",
	"[default]\ns3 =\n  region = inner\n  output = inner\nregion = outer\n",
	"[default]\n  region = indented\n  output = too\n",
	"[default]\n  region = indented\noutput = not\n",
	"[default]\n    region = deep\n  output = less\n      more\n",
	"[profile \"x y\"]\nregion = quoted\n",
	"[profile 'x y']\nregion = quoted\n",
	"[profile x\\ y]\nregion = escaped\n",
	"[profile \"x\\\"q\"]\nregion = quote\n",
	"[profile 'open]\nregion = open\n",
	"[profile x y]\nregion = three words\n",
	"[profile]\nregion = no name\n",
	"[profile   x  ]\nregion = blanks\n",
	"[profile\tx]\nregion = tab\n",
	"[profiled x]\nregion = odd\n",
	"[profile default]\nregion = a\n[default]\nregion = b\n",
	"[default]\nregion = b\n[profile default]\nregion = a\n",
	"[ default ]\nregion = blanks\n",
	"[DEFAULT]\nregion = upper\n",
	"[profile x] # comment\nregion = a\n",
	"[profile x]]\nregion = a\n",
	"[profile x]\nregion = a\n[profile x]\noutput = b\n",
	"[default]\nregion = a\nregion = b\n",
	"[default]\nregion = a\nRegion = b\n",
	"region = a\n",
	"[default]\nregion\n",
	"[default]\n= a\n",
	"[]\nregion = a\n",
	"[default\nregion = a\n",
	"  [default]\nregion = indented header\n",
	"[default]\nregion = a\n  [profile x]\noutput = x\n",
	"[default]\r\nregion = dos\r\noutput = x\r\n",
	"[default]\rregion = mac\r",
	"[default]\nregion = no end",
	"[sso-session x]\nregion = a\n[plugins]\nregion = b\n",
	"[default]\nregion = a\n\n\n[profile x]\nregion = b\n",
	"[default]\nregion = backslash\\n stays\n",
};
static const char *const profiles[] = { "DEFAULT", "default", "x", "x y", "x\"q", "x]", "y" };
static const char *const keys[] = { "output", "region" };

static void escape(FILE *to, const char *s)
{
	for (; *s; s++) {
		if (*s == '\n')
			fputs("\\n", to);
		else if (*s == '\\')
			fputs("\\\\", to);
		else
			fputc(*s, to);
	}
}

static void ours(FILE *to, const char *text)
{
	struct aws_ini *ini;
	uint32_t bad_line;

	if (aws_ini_parse(&ini, text, strlen(text), &bad_line) < 0) {
		fprintf(to, "unreadable\n");
		return;
	}
	for (size_t p = 0; p < ARRAY_LEN(profiles); p++) {
		const char *section = aws_ini_profile(ini, profiles[p]);

		for (size_t k = 0; section && k < ARRAY_LEN(keys); k++) {
			const char *value = aws_ini_get(ini, section, keys[k]);

			if (!value || *value == '\n')
				continue;
			fprintf(to, "%s\t%s\t", profiles[p], keys[k]);
			escape(to, value);
			fputc('\n', to);
		}
	}
	aws_ini_free(ini);
}

/* What the oracle says of one text, up to its "." */
static void theirs_read(FILE *from, char *out, size_t cap)
{
	size_t len = 0;

	out[0] = '\0';
	while (fgets(out + len, (int)(cap - len), from) && strcmp(out + len, ".\n") != 0)
		len += strlen(out + len);
	out[len] = '\0';
}

/* Writes all texts. Return: the oracle's command line, to be freed */
static char *oracle_command(const struct fx *f)
{
	char *command = NULL, name[32];
	size_t len = 0;
	FILE *to = open_memstream(&command, &len);

	assert_non_null(to);
	fprintf(to, "/usr/bin/python3 tests/unit/aws/ini_oracle.py");
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		snprintf(name, sizeof(name), "text%zu", i);
		fx_write(f, name, texts[i]);
		fprintf(to, " %s/.aws/%s", f->home, name);
	}
	fclose(to);
	return command;
}

static void test_as_botocore(void **state)
{
	struct fx *f = *state;
	char theirs[4096], path[96], *command = oracle_command(f);
	FILE *from = popen(command, "r");

	assert_non_null(from);
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		char *mine = NULL;
		size_t len = 0;
		FILE *to = open_memstream(&mine, &len);

		assert_non_null(to);
		ours(to, texts[i]);
		fclose(to);
		theirs_read(from, theirs, sizeof(theirs));
		if (strcmp(mine, theirs) != 0)
			print_error("text %zu:\n%s\n", i, texts[i]);
		assert_string_equal(mine, theirs);
		free(mine);
		snprintf(path, sizeof(path), "%s/.aws/text%zu", f->home, i);
		unlink(path);
	}
	assert_int_equal(pclose(from), 0);
	free(command);
}

static void test_bad_line(void **state)
{
	static const struct {
		const char *text;
		uint32_t line;
	} cases[] = {
		{ "a = b\n", 1 },	   { "\n\n[x]\na\n", 4 },
		{ "[x]\na=1\na=2\n", 3 },  { "[x]\r\n[y]\r\n[x]\r\n", 3 },
		{ "[x]\na=1\n\xff\n", 3 }, { "[x]\na=1\nb =\n  c = d\n  e\n", 3 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct aws_ini *ini;
		uint32_t line = 0;

		assert_int_equal(aws_ini_parse(&ini, cases[i].text, strlen(cases[i].text), &line),
				 ST_EFORMAT);
		assert_int_equal(line, cases[i].line);
	}
}

static void test_every_prefix(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		for (size_t len = 0; len <= strlen(texts[i]); len++) {
			struct aws_ini *ini;
			uint32_t line = 0;
			char *part = malloc(len ? len
						: 1); /* exact, so that ASan sees an overrun */
			int err;

			assert_non_null(part);
			memcpy(part, texts[i], len);
			err = aws_ini_parse(&ini, part, len, &line);
			assert_true(err == 0 || (err == ST_EFORMAT && line > 0));
			if (err == 0)
				aws_ini_free(ini);
			free(part);
		}
}

static void test_nested(void **state)
{
	static const char text[] =
		"[DEFAULT]\nfar =\n  k = 9\n[services 'a b']\nssm =\n k = 1\n\n k=2=3\n # k = 4\n"
		"  K = 5\n e =\nflat = x\n";
	static const struct {
		const char *block, *key, *value; /* NULL: absent */
	} cases[] = {
		{ "ssm", "k", "2=3" }, { "ssm", "K", "5" },   { "ssm", "e", NULL },
		{ "ssm", "g", NULL },  { "flat", "x", NULL }, { "gone", "k", NULL },
		{ "far", "k", "9" },
	};
	struct aws_ini *ini;
	const char *section;
	uint32_t line;

	(void)state;
	assert_int_equal(aws_ini_parse(&ini, text, strlen(text), &line), 0);
	assert_non_null(section = aws_ini_section(ini, "services", "a b"));
	assert_null(aws_ini_section(ini, "services", "a"));
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char *value = NULL;
		int err = aws_ini_nested(&value, ini, section, cases[i].block, cases[i].key);

		assert_int_equal(err, cases[i].value ? 0 : ST_ENOENT);
		if (cases[i].value)
			assert_string_equal(value, cases[i].value);
		free(value);
	}
	aws_ini_free(ini);
}

static void test_nul(void **state)
{
	struct aws_ini *ini;
	uint32_t line;

	(void)state;
	assert_int_equal(aws_ini_parse(&ini, "[x]\na=\0b\n", 9, &line), ST_EFORMAT);
}

/* A file as large as one may be, of lines with a number each behind @head, is read within one turn of the loop. */
static void check_large(const char *head, const char *before, const char *after, int result)
{
	const size_t max = AWS_FILE_MAX;
	struct timespec begin, end;
	char *text = malloc(max + 1);
	size_t len = (size_t)sprintf(text, "%s", head);
	struct aws_ini *ini = NULL;
	uint32_t bad = 0;

	for (unsigned i = 0; len + 64 < max; i++)
		len += (size_t)sprintf(text + len, "%s%u%s", before, i, after);
	clock_gettime(CLOCK_MONOTONIC, &begin);
	assert_int_equal(aws_ini_parse(&ini, text, len, &bad), result);
	clock_gettime(CLOCK_MONOTONIC, &end);
	assert_true(end.tv_sec - begin.tv_sec <= 1);
	if (result == 0)
		aws_ini_free(ini);
	free(text);
}

static void test_large(void **state)
{
	(void)state;
	check_large("", "[profile number-", "]\nregion = eu-west-1\n", 0);
	check_large("", "[", "]\n", ST_ENOMEM); /* more than 65536 */
	check_large("[x]\n", "key-number-", "-with-a-name = x\n", 0);
	check_large("[x]\na =\n", " b", " = c\n", 0);
	check_large("[x]\na =\n", " ", "\n", ST_EFORMAT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_as_botocore, fx_setup, fx_teardown),
		cmocka_unit_test(test_bad_line),
		cmocka_unit_test(test_every_prefix),
		cmocka_unit_test(test_nested),
		cmocka_unit_test(test_nul),
		cmocka_unit_test(test_large),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
