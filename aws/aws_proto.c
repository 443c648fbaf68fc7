// SPDX-License-Identifier: MIT
/*
 * aws_proto.c - what a call sends and what comes back, by protocol
 *
 * Theory of operation: the members of a request are JSON whatever the service speaks. JSON services get them as they are;
 * query services get them flattened ("Filter.1.Value.2=x" for EC2, "List.member.1=x" for STS), REST services as query or
 * body by the operation's method. Where a member is called differently on the wire than in the API, the row's names say so.
 * Names and values in forms and queries are percent-encoded as RFC 3986 has it, and queries are sorted by the encoded
 * name, which is how they are signed.
 * Source: Smithy 2.0 specification, "AWS protocols": awsJson1_1, awsQuery, ec2Query, restJson1, restXml
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "aws/aws_internal.h"
#include "base/err.h"

#define FORM_MAX KIB(256) /* ours: a web identity token has up to 20,000 characters */
#define NAME_MAX_LEN 256U
#define DEPTH_MAX 8U

struct form {
	struct buf b;
	const struct aws_op_row *row;
};

int aws_encode_put(struct buf *b, const char *s, size_t len, const char *also)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "0123456789-._~";
	int err = 0;

	for (size_t i = 0; !err && i < len; i++)
		err = s[i] && (strchr(plain, s[i]) || strchr(also, s[i]))
			      ? buf_put(b, s + i, 1)
			      : buf_printf(b, "%%%02X", (unsigned)(unsigned char)s[i]);
	return err;
}

static int put_encoded(struct buf *b, const char *s)
{
	return aws_encode_put(b, s, strlen(s), "");
}

static int put_pair(struct form *f, const char *name, const char *value)
{
	int err = f->b.len ? buf_put(&f->b, "&", 1) : 0;

	if (!err)
		err = put_encoded(&f->b, name);
	if (!err)
		err = buf_put(&f->b, "=", 1);
	return err ? err : put_encoded(&f->b, value);
}

static int put_value(struct form *f, const char *name, const json_t *value, unsigned depth);

static const char *wire_name(const struct aws_op_row *row, const char *name)
{
	for (const struct aws_name *n = row->names; n && n->api; n++)
		if (strcmp(n->api, name) == 0)
			return n->wire;
	return name;
}

/* An empty list is told by awsQuery alone. */
static int put_list(struct form *f, const char *name, const json_t *list, unsigned depth)
{
	const bool ec2 = f->row->protocol == AWS_EC2_QUERY;
	char sub[NAME_MAX_LEN];
	size_t i;
	json_t *item;
	int err = 0;

	if (!ec2 && json_array_size(list) == 0)
		return put_pair(f, name, "");
	json_array_foreach(list, i, item)
	{
		snprintf(sub, sizeof(sub), ec2 ? "%s.%zu" : "%s.member.%zu", name, i + 1);
		if ((err = put_value(f, sub, item, depth + 1)) < 0)
			break;
	}
	return err;
}

static int put_object(struct form *f, const char *name, const json_t *object, unsigned depth)
{
	char sub[NAME_MAX_LEN];
	const char *key;
	json_t *item;
	int err = 0;

	json_object_foreach((json_t *)(uintptr_t)object, key, item)
	{
		if (snprintf(sub, sizeof(sub), "%s%s%s", name, *name ? "." : "",
			     wire_name(f->row, key)) >= (int)sizeof(sub))
			return ST_EINVAL;
		if ((err = put_value(f, sub, item, depth + 1)) < 0)
			break;
	}
	return err;
}

static int put_value(struct form *f, const char *name, const json_t *value, unsigned depth)
{
	char number[32];

	if (depth > DEPTH_MAX || strlen(name) >= NAME_MAX_LEN - 32)
		return ST_EINVAL;
	switch (json_typeof(value)) {
	case JSON_OBJECT: return put_object(f, name, value, depth);
	case JSON_ARRAY: return put_list(f, name, value, depth);
	case JSON_STRING: return put_pair(f, name, json_string_value(value));
	case JSON_INTEGER:
		snprintf(number, sizeof(number), "%" JSON_INTEGER_FORMAT,
			 json_integer_value(value));
		return put_pair(f, name, number);
	case JSON_TRUE: return put_pair(f, name, "true");
	case JSON_FALSE: return put_pair(f, name, "false");
	default: return 0;
	}
}

/* Return: 0 and *@out, caller frees; @err; ST_ENOMEM */
static int form_take(char **out, struct form *f, int err)
{
	*out = NULL;
	if (!err)
		err = buf_put(&f->b, "", 1);
	if (!err && !(*out = strdup((const char *)buf_data(&f->b))))
		err = ST_ENOMEM;
	buf_wipe(&f->b);
	return err;
}

static int query_write(struct aws_outgoing *out, const struct aws_op_row *row, const json_t *params)
{
	struct form f = { .row = row };
	int err;

	buf_init_secret(&f.b, FORM_MAX);
	if (!(err = put_pair(&f, "Action", row->name)) &&
	    !(err = put_pair(&f, "Version", aws_services[row->service].version)))
		err = put_object(&f, "", params, 0);
	out->content_type = "application/x-www-form-urlencoded; charset=utf-8";
	out->path = strdup("/");
	err = form_take(&out->body, &f, err);
	return (err || out->path) ? err : ST_ENOMEM;
}

/* One member of a query string. */
struct member {
	char *name; /* as it is sent, encoded: what the query is sorted by */
	const json_t *value;
};

#define QUERY_MAX 16U /* members of one GET; ours */

static int by_name(const void *a, const void *b)
{
	const struct member *l = a, *r = b;

	return strcmp(l->name, r->name);
}

static char *encoded(const char *s)
{
	struct buf b;
	char *text = NULL;

	buf_init(&b, KIB(4));
	if (aws_encode_put(&b, s, strlen(s), "") == 0 && buf_put(&b, "", 1) == 0)
		text = strdup((const char *)buf_data(&b));
	buf_fini(&b);
	return text;
}

/* Return: 0; ST_EFULL; ST_ENOMEM; @n are to be freed in any case */
static int members_read(struct member m[QUERY_MAX], size_t *n, const struct aws_op_row *row,
			const json_t *params)
{
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)params, key, value)
	{
		if (*n == QUERY_MAX)
			return ST_EFULL;
		if (!(m[*n].name = encoded(wire_name(row, key))))
			return ST_ENOMEM;
		m[(*n)++].value = value;
	}
	qsort(m, *n, sizeof(m[0]), by_name);
	return 0;
}

static int put_query(struct buf *b, const struct member *m, size_t n)
{
	int err = 0;

	for (size_t i = 0; !err && i < n; i++) {
		if (!json_is_string(m[i].value))
			return ST_EINVAL;
		err = buf_printf(b, "%s%s=", i ? "&" : "?", m[i].name);
		if (!err)
			err = put_encoded(b, json_string_value(m[i].value));
	}
	return err;
}

static int get_write(struct aws_outgoing *out, const struct aws_op_row *row, const json_t *params)
{
	struct member m[QUERY_MAX] = { 0 };
	struct form f = { .row = row };
	size_t n = 0;
	int err = members_read(m, &n, row, params);

	buf_init_secret(&f.b, FORM_MAX);
	if (!err)
		err = buf_put(&f.b, row->path, strlen(row->path));
	if (!err)
		err = put_query(&f.b, m, n);
	while (n > 0)
		free(m[--n].name);
	return form_take(&out->path, &f, err);
}

static int json_write(struct aws_outgoing *out, const struct aws_op_row *row, const json_t *params)
{
	const struct aws_service_row *service = &aws_services[row->service];
	const bool rest = row->protocol == AWS_REST_JSON;

	out->content_type = rest ? "application/json" : "application/x-amz-json-1.1";
	if (!rest)
		snprintf(out->target, sizeof(out->target), "%s.%s", service->target, row->name);
	out->path = strdup(rest ? row->path : "/");
	out->body = json_dumps(params, JSON_COMPACT);
	return out->path && out->body ? 0 : ST_ENOMEM;
}

int aws_proto_write(struct aws_outgoing *out, enum aws_op op, const json_t *params)
{
	const struct aws_op_row *row = &aws_ops[op];
	int err;

	*out = (struct aws_outgoing){ .method = row->method ? row->method : "POST" };
	if (row->protocol == AWS_QUERY || row->protocol == AWS_EC2_QUERY)
		err = query_write(out, row, params);
	else if (strcmp(out->method, "GET") == 0)
		err = get_write(out, row, params);
	else
		err = json_write(out, row, params);
	if (err < 0)
		aws_outgoing_fini(out);
	return err;
}

void aws_outgoing_fini(struct aws_outgoing *o)
{
	free(o->path);
	aws_secret_free(o->body);
	*o = (struct aws_outgoing){ 0 };
}

/* awsQuery wraps the members into <OpResult>. */
static json_t *unwrap(json_t *root, const char *name)
{
	char result[96];
	json_t *inner;

	snprintf(result, sizeof(result), "%sResult", name);
	if (!json_is_object(inner = json_object_get(root, result)))
		return root;
	json_incref(inner);
	json_decref(root);
	return inner;
}

int aws_proto_read(json_t **out, enum aws_op op, const void *body, size_t len)
{
	const struct aws_op_row *row = &aws_ops[op];
	int err;

	*out = NULL;
	if (row->protocol == AWS_JSON || row->protocol == AWS_REST_JSON) {
		*out = len ? json_loadb(body, len, 0, NULL) : json_object();
		if (json_is_object(*out))
			return 0;
		json_decref(*out);
		*out = NULL;
		return ST_EFORMAT;
	}
	if ((err = aws_xml_read(out, row->item, body, len)) < 0)
		return err;
	if (row->protocol == AWS_QUERY)
		*out = unwrap(*out, row->name);
	return 0;
}
