// SPDX-License-Identifier: MIT
/*
 * Cases: each text is read by us and by botocore, which must agree on every profile, key and value, or on that the file
 * can't be read; lines of errors; every prefix of a text; NUL bytes.
 */
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

static void test_as_botocore(void **state)
{
	struct fx *f = *state;
	char command[256], path[96];

	snprintf(path, sizeof(path), "%s/.aws/config", f->home);
	snprintf(command, sizeof(command), "/usr/bin/python3 tests/unit/aws/ini_oracle.py %s 2>&1",
		 path);
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		char theirs[4096], *mine = NULL;
		size_t len = 0, n;
		FILE *to = open_memstream(&mine, &len), *from;

		assert_non_null(to);
		ours(to, texts[i]);
		fclose(to);
		fx_write(f, "config", texts[i]);
		from = popen(command, "r");
		assert_non_null(from);
		n = fread(theirs, 1, sizeof(theirs) - 1, from);
		theirs[n] = '\0';
		assert_int_equal(pclose(from), 0);
		if (strcmp(mine, theirs) != 0)
			print_error("text %zu:\n%s\n", i, texts[i]);
		assert_string_equal(mine, theirs);
		free(mine);
	}
}

static void test_bad_line(void **state)
{
	static const struct {
		const char *text;
		uint32_t line;
	} cases[] = {
		{ "a = b\n", 1 },
		{ "\n\n[x]\na\n", 4 },
		{ "[x]\na=1\na=2\n", 3 },
		{ "[x]\r\n[y]\r\n[x]\r\n", 3 },
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

static void test_nul(void **state)
{
	struct aws_ini *ini;
	uint32_t line;

	(void)state;
	assert_int_equal(aws_ini_parse(&ini, "[x]\na=\0b\n", 9, &line), ST_EFORMAT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_as_botocore, fx_setup, fx_teardown),
		cmocka_unit_test(test_bad_line),
		cmocka_unit_test(test_every_prefix),
		cmocka_unit_test(test_nul),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
