// SPDX-License-Identifier: MIT
/*
 * Cases: children, lists by each name, empty ones, text between children, repeated names, strays, entities, CDATA, comments,
 * namespaces, encodings; what is refused: DOCTYPE, unknown entities, no object at the root, open ends, a second root, bytes
 * that are no UTF-8, 33 levels, a name of 128 bytes, 64 KiB of text, a document of more than 1 MiB; every prefix
 */
#include "tests/unit/aws/aws_fixture.h"

static const struct {
	const char *item, *xml, *json; /* json NULL: refused */
} cases[] = {
	{ NULL, "<r><a>1</a><b>x y</b></r>", "{\"a\":\"1\",\"b\":\"x y\"}" },
	{ NULL, "<?xml version=\"1.0\"?>\n<!-- c --><r>\n <a> 1 </a>\n</r>\n", "{\"a\":\" 1 \"}" },
	{ NULL, "<r><s><item>1</item><item><a>2</a></item></s></r>",
	  "{\"s\":[\"1\",{\"a\":\"2\"}]}" },
	{ NULL, "<r><s><member>1</member></s></r>", "{\"s\":[\"1\"]}" },
	{ "Zone", "<r><s><Zone>1</Zone><Zone>2</Zone></s></r>", "{\"s\":[\"1\",\"2\"]}" },
	{ NULL, "<r><s><Zone>1</Zone><Zone>2</Zone></s></r>", "{\"s\":{\"Zone\":\"2\"}}" },
	{ NULL, "<r><s><item/></s><t/><u></u></r>", "{\"s\":[\"\"],\"t\":\"\",\"u\":\"\"}" },
	{ NULL, "<r><s>before<item>1</item>after</s></r>", "{\"s\":[\"1\"]}" },
	{ NULL, "<r><s><item>1</item><a>stray</a><item>2</item></s></r>", "{\"s\":[\"1\",\"2\"]}" },
	{ NULL, "<r><s><a>1</a><item>2</item></s></r>", "{\"s\":{\"a\":\"1\",\"item\":\"2\"}}" },
	{ NULL, "<r><a>&lt;&#65;&#x20ac;&amp;&quot;&apos;&gt;</a></r>", "{\"a\":\"<A€&\\\"'>\"}" },
	{ NULL, "<r><a>x<![CDATA[<&]]>y</a></r>", "{\"a\":\"x<&y\"}" },
	{ NULL, "<r xmlns=\"http://x\" k=\"v\"><a k=\"v\">1</a></r>", "{\"a\":\"1\"}" },
	{ NULL, "<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><r><a>\xfc</a></r>",
	  "{\"a\":\"ü\"}" },
	{ NULL, "<r><a>ü</a></r>", "{\"a\":\"ü\"}" },
	{ NULL, "<r><a>1</a></r><!-- c -->", "{\"a\":\"1\"}" },
	{ NULL, "", NULL },
	{ NULL, " ", NULL },
	{ NULL, "<r/>", NULL },
	{ NULL, "<r>text</r>", NULL },
	{ NULL, "<r><item>1</item></r>", NULL },
	{ NULL, "<r><a>1</a>", NULL },
	{ NULL, "<r><a>1</b></r>", NULL },
	{ NULL, "<r><a>1</a></r><r/>", NULL },
	{ NULL, "<r><a>\xff</a></r>", NULL },
	{ NULL, "<r><a>&other;</a></r>", NULL },
	{ NULL, "<!DOCTYPE r><r><a>1</a></r>", NULL },
	{ NULL, "<!DOCTYPE r [<!ENTITY a \"b\">]><r><a>&a;</a></r>", NULL },
	{ NULL, "<!DOCTYPE r SYSTEM \"file:///etc/passwd\"><r><a>1</a></r>", NULL },
	{ NULL, "{\"a\":1}", NULL },
};

static void test_cases(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		json_t *want = cases[i].json ? json_loads(cases[i].json, 0, NULL) : NULL, *got;
		int err = aws_xml_read(&got, cases[i].item, cases[i].xml, strlen(cases[i].xml));

		if (err != (want ? 0 : ST_EFORMAT) || (want && !json_equal(want, got)))
			fail_msg("%s: %d", cases[i].xml, err);
		assert_int_equal(got != NULL, want != NULL);
		json_decref(want);
		json_decref(got);
	}
}

/* @n times @piece between @head and @tail; caller frees */
static char *repeated(const char *head, const char *piece, size_t n, const char *tail)
{
	const size_t len = strlen(piece);
	char *text = malloc(strlen(head) + n * len + strlen(tail) + 1), *to = text;

	assert_non_null(text);
	to = stpcpy(to, head);
	for (; n > 0; n--)
		to = stpcpy(to, piece);
	strcpy(to, tail);
	return text;
}

static int read_text(char *text)
{
	json_t *got;
	int err = aws_xml_read(&got, NULL, text, strlen(text));

	json_decref(got);
	free(text);
	return err;
}

static char *nested(size_t n)
{
	char *open = repeated("", "<a>", n, ""), *all = repeated(open, "</a>", n, "");

	free(open);
	return all;
}

static void test_bounds(void **state)
{
	char *open, *name, *both;

	(void)state;
	assert_int_equal(read_text(nested(32)), 0);
	assert_int_equal(read_text(nested(33)), ST_EFORMAT);
	assert_int_equal(read_text(nested(100000)), ST_EFORMAT);
	for (size_t len = 127; len <= 128; len++) {
		name = repeated("", "n", len, "");
		open = repeated("<r><", name, 1, "/></r>");
		free(name);
		assert_int_equal(read_text(open), len == 127 ? 0 : ST_EFORMAT);
	}
	/* expat tells the end of an empty element that was refused at its start: at the root there is nothing to end */
	assert_int_equal(read_text(repeated("<", "n", 128, "/>")), ST_EFORMAT);
	open = repeated("", "<a>", 32, "<b/>");
	both = repeated(open, "</a>", 32, "");
	free(open);
	assert_int_equal(read_text(both), ST_EFORMAT);
	assert_int_equal(read_text(repeated("<r><a>", "x", KIB(64), "</a></r>")), 0);
	assert_int_equal(read_text(repeated("<r><a>", "x", KIB(64) + 1, "</a></r>")), ST_EFORMAT);
	assert_int_equal(read_text(repeated("<r><a>1</a>", " ", MIB(1) - 15, "</r>")),
			 ST_EFORMAT); /* text of r */
	both = repeated("<r><a>1</a>", "<b/>", MIB(1) / 4, "</r>");
	assert_int_equal(read_text(both), ST_EFORMAT); /* more than an answer has */
	assert_int_equal(read_text(repeated("<r><a>1</a>", "<b/>", 200000, "</r>")), 0);
}

static void test_prefixes(void **state)
{
	static const char text[] =
		"<?xml version=\"1.0\"?><r><s><item>1</item><item><a>&lt;</a></item></s></r>";
	json_t *got;

	(void)state;
	for (size_t len = 0; len < sizeof(text) - 1; len++) {
		char *exact = malloc(len ? len : 1);

		memcpy(exact, text, len);
		assert_int_equal(aws_xml_read(&got, NULL, exact, len), ST_EFORMAT);
		assert_null(got);
		free(exact);
	}
	assert_int_equal(aws_xml_read(&got, NULL, text, sizeof(text) - 1), 0);
	json_decref(got);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cases),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_prefixes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
