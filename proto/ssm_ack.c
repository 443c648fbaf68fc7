// SPDX-License-Identifier: MIT
/*
 * ssm_ack.c - acknowledge texts
 *
 * Theory of operation: stock peers and ours write the four members in one order and without white
 * space. The fast reader walks exactly that form; on the first byte that differs jansson
 * reads the whole text anew, so that both ways accept the same set of texts.
 */
#include "proto/ssm_ack.h"

#include <string.h>

#include <jansson.h>

#include "base/err.h"
#include "base/util.h"

#define PART_TYPE "{\"AcknowledgedMessageType\":\""
#define PART_ID "\",\"AcknowledgedMessageId\":\""
#define PART_SEQ "\",\"AcknowledgedMessageSequenceNumber\":"
#define PART_END ",\"IsSequentialMessage\":true}"
#define UUID_CHARS (CODEC_UUID_STR - 1U)
#define FAST_DIGITS 18U /* any number of so many digits fits an int64_t */

static char *put(char *at, const char *text, size_t len)
{
	memcpy(at, text, len);
	return at + len;
}

#define PUT(at, literal) put((at), (literal), sizeof(literal) - 1)

static char *put_number(char *at, int64_t v)
{
	char digits[24];
	size_t n = sizeof(digits);
	uint64_t left = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;

	do {
		digits[--n] = (char)('0' + left % 10);
		left /= 10;
	} while (left);
	if (v < 0)
		digits[--n] = '-';
	return put(at, digits + n, sizeof(digits) - n);
}

size_t ssm_ack_write(char out[SSM_ACK_MAX], enum ssm_type type, const uint8_t id[CODEC_UUID_LEN],
		     int64_t seq)
{
	const char *name = ssm_type_name(type);
	char *at = out;

	at = PUT(at, PART_TYPE);
	at = put(at, name, strlen(name));
	at = PUT(at, PART_ID);
	codec_uuid_str(at, id);
	at += UUID_CHARS;
	at = PUT(at, PART_SEQ);
	at = put_number(at, seq);
	at = PUT(at, PART_END);
	return (size_t)(at - out);
}

struct cursor {
	const uint8_t *p;
	size_t left;
};

static bool skip(struct cursor *cur, const char *text, size_t len)
{
	if (cur->left < len || memcmp(cur->p, text, len) != 0)
		return false;
	cur->p += len;
	cur->left -= len;
	return true;
}

#define SKIP(cur, literal) skip((cur), (literal), sizeof(literal) - 1)

static bool skip_type(struct cursor *cur)
{
	return SKIP(cur, "output_stream_data") || SKIP(cur, "input_stream_data");
}

/* Hex digits and hyphens need no look at escapes or UTF-8. */
static bool skip_uuid(struct cursor *cur)
{
	if (cur->left < UUID_CHARS)
		return false;
	for (size_t i = 0; i < UUID_CHARS; i++) {
		uint8_t ch = cur->p[i];

		if (!((ch >= '0' && ch <= '9') || (ch >= 'a' && ch <= 'f') || ch == '-'))
			return false;
	}
	cur->p += UUID_CHARS;
	cur->left -= UUID_CHARS;
	return true;
}

static bool take_number(struct cursor *cur, int64_t *out)
{
	int64_t v = 0;
	size_t n = 0;

	while (n < cur->left && n < FAST_DIGITS && cur->p[n] >= '0' && cur->p[n] <= '9')
		v = v * 10 + (cur->p[n++] - '0');
	if (n == 0 || (n > 1 && cur->p[0] == '0'))
		return false;
	cur->p += n;
	cur->left -= n;
	*out = v;
	return true;
}

static bool read_fast(int64_t *seq, const uint8_t *p, size_t len)
{
	struct cursor cur = { .p = p, .left = len };

	return SKIP(&cur, PART_TYPE) && skip_type(&cur) && SKIP(&cur, PART_ID) && skip_uuid(&cur) &&
	       SKIP(&cur, PART_SEQ) && take_number(&cur, seq) && SKIP(&cur, PART_END) &&
	       cur.left == 0;
}

static int read_json(int64_t *seq, const uint8_t *p, size_t len)
{
	json_t *root = json_loadb((const char *)p, len, 0, NULL);
	const json_t *number = json_object_get(root, "AcknowledgedMessageSequenceNumber");
	int r = ST_EFORMAT;

	if (json_is_integer(number)) {
		*seq = json_integer_value(number);
		r = 0;
	}
	json_decref(root);
	return r;
}

int ssm_ack_read(int64_t *seq, const uint8_t *p, size_t len)
{
	int64_t v = 0;
	int r = 0;

	if (!read_fast(&v, p, len))
		r = read_json(&v, p, len);
	if (r == 0)
		*seq = v;
	return r;
}
