// SPDX-License-Identifier: MIT
/*
 * ssm_json.c - see ssm_json.h
 *
 * Theory of operation: members that a peer leaves out or writes as null count as empty, as in the stock peers'
 * decoders. Texts that leave proto/ are from our malloc(), not from jansson's, so that free() is right for them.
 */
#include "proto/ssm_json.h"

#include <stdlib.h>
#include <string.h>

#include "base/codec.h"
#include "base/err.h"

json_t *ssm_json_load(const uint8_t *p, size_t len)
{
	json_t *root = json_loadb((const char *)p, len, 0, NULL);

	if (json_is_object(root))
		return root;
	json_decref(root);
	return NULL;
}

const char *ssm_json_text(const json_t *object, const char *key)
{
	const char *s = json_string_value(json_object_get(object, key));

	return s ? s : "";
}

int ssm_json_dump(char **out, json_t *root)
{
	size_t len = root ? json_dumpb(root, NULL, 0, JSON_COMPACT) : 0;
	char *text = len ? malloc(len + 1) : NULL;

	if (text) {
		json_dumpb(root, text, len, JSON_COMPACT);
		text[len] = '\0';
		*out = text;
	}
	json_decref(root);
	return text ? 0 : ST_ENOMEM;
}

ssize_t ssm_json_bytes(uint8_t **out, const json_t *object, const char *key, size_t max)
{
	const json_t *member = json_object_get(object, key);
	const char *text = json_string_value(member);
	size_t len = json_string_length(member);
	ssize_t n;

	*out = NULL;
	if (member && !text && !json_is_null(member))
		return ST_EFORMAT;
	if (len == 0)
		return 0;
	if (len / 4 * 3 > max + 2)
		return ST_EFULL;
	*out = malloc(len / 4 * 3 + 3);
	if (!*out)
		return ST_ENOMEM;
	n = codec_b64_decode(*out, max, text, len);
	if (n > 0)
		return n;
	free(*out);
	*out = NULL;
	return n;
}

json_t *ssm_json_of_bytes(const uint8_t *p, size_t len)
{
	char *text = malloc(CODEC_B64_LEN(len));
	json_t *value = NULL;

	if (text) {
		codec_b64_encode(text, p, len);
		value = json_string_nocheck(text);
	}
	free(text);
	return value;
}
