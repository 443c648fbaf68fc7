// SPDX-License-Identifier: MIT
/*
 * aws_xml.c - XML answers as JSON values, by expat
 *
 * Theory of operation: a stack of the elements that are open. An element without children is its text; one with children is an
 * object of them, text between them is dropped; one whose children are list items ("item", "member", or the operation's own
 * name) is an array. Of two children with one name the last counts. Attributes are dropped. A document with a DOCTYPE is
 * refused: no service sends one, and entities are how XML is made to grow. A parser that was stopped still tells the end of
 * an empty element: after an error nothing is done any more.
 */
#include <expat.h>
#include <stdlib.h>
#include <string.h>

#include "aws/aws_internal.h"
#include "base/err.h"

#define DEPTH_MAX 32U
#define TEXT_MAX KIB(64) /* ours: of one element */

struct element {
	json_t *value; /* object or array; NULL: no child yet */
	char name[128];
};

struct reader {
	XML_Parser parser;
	const char *item;
	struct element open[DEPTH_MAX];
	size_t depth;
	struct buf text; /* of the innermost element */
	json_t *root;
	int err;
};

static void fail(struct reader *r, int err)
{
	if (!r->err)
		r->err = err;
	XML_StopParser(r->parser, XML_FALSE);
}

static bool is_item(const struct reader *r, const char *name)
{
	return strcmp(name, "item") == 0 || strcmp(name, "member") == 0 ||
	       (r->item && strcmp(name, r->item) == 0);
}

static void XMLCALL on_start(void *arg, const char *name, const char **attributes)
{
	struct reader *r = arg;
	struct element *e;

	(void)attributes;
	if (r->err)
		return;
	if (r->depth == DEPTH_MAX || strlen(name) >= sizeof(e->name)) {
		fail(r, ST_EFORMAT);
		return;
	}
	e = &r->open[r->depth];
	memcpy(e->name, name, strlen(name) + 1);
	e->value = NULL;
	r->depth++;
	buf_consume(&r->text, r->text.len);
}

/* Takes @value. Return: false without memory */
static bool put_child(const struct reader *r, struct element *parent, const char *name,
		      json_t *value)
{
	const bool item = is_item(r, name);

	if (!parent->value)
		parent->value = item ? json_array() : json_object();
	if (json_is_array(parent->value)) {
		if (item)
			return json_array_append_new(parent->value, value) == 0;
		json_decref(value); /* a stray one in a list */
		return true;
	}
	return json_object_set_new(parent->value, name, value) == 0;
}

static void XMLCALL on_end(void *arg, const char *name)
{
	struct reader *r = arg;
	struct element *e;
	json_t *value;

	if (r->err)
		return;
	e = &r->open[r->depth - 1];
	value = e->value;
	if (!value)
		value = json_stringn((const char *)buf_data(&r->text), r->text.len);
	e->value = NULL;
	r->depth--;
	buf_consume(&r->text, r->text.len);
	if (!value)
		fail(r, ST_ENOMEM);
	else if (r->depth == 0)
		r->root = value;
	else if (!put_child(r, &r->open[r->depth - 1], name, value))
		fail(r, ST_ENOMEM);
}

static void XMLCALL on_text(void *arg, const char *s, int len)
{
	struct reader *r = arg;
	int err = r->err ? 0 : buf_put(&r->text, s, (size_t)len);

	if (err < 0)
		fail(r, err == ST_EFULL ? ST_EFORMAT : err);
}

static void XMLCALL on_doctype(void *arg, const char *name, const char *system, const char *pub,
			       int internal)
{
	(void)name;
	(void)system;
	(void)pub;
	(void)internal;
	fail(arg, ST_EFORMAT);
}

static int parse(struct reader *r, const void *p, size_t len)
{
	XML_SetUserData(r->parser, r);
	XML_SetElementHandler(r->parser, on_start, on_end);
	XML_SetCharacterDataHandler(r->parser, on_text);
	XML_SetStartDoctypeDeclHandler(r->parser, on_doctype);
	if (XML_Parse(r->parser, p, (int)len, 1) != XML_STATUS_OK && !r->err)
		r->err = XML_GetErrorCode(r->parser) == XML_ERROR_NO_MEMORY ? ST_ENOMEM
									    : ST_EFORMAT;
	if (!r->err && !json_is_object(r->root))
		r->err = ST_EFORMAT;
	return r->err;
}

int aws_xml_read(json_t **out, const char *item, const void *p, size_t len)
{
	const XML_Memory_Handling_Suite memory = { malloc, realloc, aws_free_wiping };
	struct reader r = { .item = item };

	*out = NULL;
	if (len > AWS_ANSWER_MAX)
		return ST_EFORMAT;
	if (!(r.parser = XML_ParserCreate_MM(NULL, &memory, NULL)))
		return ST_ENOMEM;
	buf_init_secret(&r.text, TEXT_MAX);
	if (parse(&r, p, len) < 0) {
		json_decref(r.root);
		r.root = NULL;
	}
	while (r.depth > 0)
		json_decref(r.open[--r.depth].value);
	buf_wipe(&r.text);
	XML_ParserFree(r.parser);
	*out = r.root;
	return r.err;
}
