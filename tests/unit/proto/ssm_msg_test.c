// SPDX-License-Identifier: MIT
/*
 * ssm_msg_test.c - the codec against every message of tests/data/vectors.json
 *
 * Cases: what the stock client accepts decodes to the recorded fields, what it refuses or dies of
 * is an error, and where ours is stricter than a stock reader is listed; every shorter prefix; each
 * is written as the stock writers write it; each field at its limits; encode's refusals; names.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/err.h"
#include "base/util.h"
#include "proto/ssm_msg.h"

#define VECTORS "tests/data/vectors.json"

/* Fields that our writer makes canonical, and where they stand on the wire; ssm-protocol, 3.1 */
enum { F_TYPE = 1, F_SCHEMA = 2, F_DIGEST = 4, F_LEN = 8 };
static const struct {
	unsigned bit, offset, len;
} fields[] = {
	{ F_TYPE, 4, SSM_TYPE_LEN },
	{ F_SCHEMA, 36, 4 },
	{ F_DIGEST, 80, CODEC_SHA256_LEN },
	{ F_LEN, SSM_HEADER_LEN, 4 },
};

/* Whose reader takes the vector although ours does not. */
enum { CLIENT_TAKES = 1, AGENT_TAKES = 2 };

/* The vectors that are not simply read as by the stock peers and written again byte by byte. */
static const struct verdict {
	const char *name;
	int err;	   /* of reading */
	unsigned stricter; /* than which stock reader, on purpose */
	int write_err;
	unsigned rewritten; /* fields that our writer writes otherwise */
} verdicts[] = {
	/* the stock readers take any HeaderLength that stays within the message; no writer is known to
	 * send one but 112 and 116, and where PayloadType ends is then a guess: strict */
	{ "header_length_120", ST_EFORMAT, CLIENT_TAKES | AGENT_TAKES, 0, 0 },
	/* the agent adds 4 in 32 bits and reads the header as payload */
	{ "header_length_wraps", ST_EFORMAT, AGENT_TAKES, 0, 0 },
	/* the agent never looks at the digest; 3.3 */
	{ "wrong_digest", ST_EDIGEST, AGENT_TAKES, 0, 0 },
	/* the stock client wants 120 bytes at least; ours reads the header and finds the payload cut,
	 * which the agent does not look for */
	{ "truncated_118_h112", ST_EDIGEST, AGENT_TAKES, 0, 0 },
	/* of these both stock readers go deaf */
	{ "header_length_too_big", ST_EFORMAT, 0, 0, 0 },
	{ "truncated_119", ST_ESHORT, 0, 0, 0 },
	/* refused by all */
	{ "header_length_0", ST_EFORMAT, 0, 0, 0 },
	{ "truncated_60", ST_ESHORT, 0, 0, 0 },
	{ "truncated_3", ST_ESHORT, 0, 0, 0 },
	{ "type_blank", ST_EFORMAT, 0, 0, 0 },
	{ "created_date_0", ST_EFORMAT, 0, 0, 0 },
	/* a date of 0 besides: the agent refuses it, the client and ours skip every check for this type (3.4) */
	{ "start_publication_bad_digest", 0, 0, ST_EINVAL, 0 },
	/* read, but written otherwise */
	{ "empty_payload", 0, 0, ST_EINVAL, 0 },
	{ "empty_payload_zero_digest", 0, 0, ST_EINVAL, 0 },
	{ "type_nul_padded", 0, 0, 0, F_TYPE },
	{ "type_right_aligned_nul", 0, 0, 0, F_TYPE },
	{ "type_right_aligned_space", 0, 0, 0, F_TYPE },
	{ "digest_skipped_because_plen0", 0, 0, 0, F_DIGEST | F_LEN },
	{ "payload_length_too_small", 0, 0, 0, F_LEN },
	{ "payload_length_too_big", 0, 0, 0, F_LEN },
	{ "schema_version_9", 0, 0, 0, F_SCHEMA },
};

static json_t *vectors;

static int vectors_load(void **state)
{
	(void)state;
	vectors = json_load_file(VECTORS, 0, NULL);
	return vectors ? 0 : -1;
}

static int vectors_drop(void **state)
{
	(void)state;
	json_decref(vectors);
	return 0;
}

struct vector {
	const char *name;
	const json_t *decoded;
	bool client_ok, agent_ok;
	bool client_writes; /* the stock client's writer reproduces it */
	uint8_t *bytes;	    /* of exactly @len, so that a sanitizer sees a read beyond */
	size_t len;
};

static const char *text_at(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	assert_non_null(s);
	return s;
}

static uint8_t *unhex(const char *hex, size_t *len)
{
	size_t n = strlen(hex) / 2;
	uint8_t *out = malloc(n + 1);

	assert_non_null(out);
	assert_int_equal(codec_unhex(out, n, hex, 2 * n), n);
	*len = n;
	return out;
}

static bool is_outcome(const json_t *o, const char *reader, const char *outcome)
{
	return strcmp(text_at(json_object_get(o, reader), "outcome"), outcome) == 0;
}

static void vector_get(struct vector *v, size_t i)
{
	const json_t *o = json_array_get(json_object_get(vectors, "messages"), i);
	const char *writer = json_string_value(json_object_get(o, "plugin_writer_reproduces"));
	uint8_t *loose;

	*v = (struct vector){
		.name = text_at(o, "name"),
		.decoded = json_object_get(o, "decoded"),
		.client_ok = is_outcome(o, "plugin_reader", "ok"),
		.agent_ok = is_outcome(o, "agent_reader", "ok"),
		.client_writes = writer && strcmp(writer, "identical") == 0,
	};
	loose = unhex(text_at(o, "hex"), &v->len);
	v->bytes = malloc(v->len);
	memcpy(v->bytes, loose, v->len);
	free(loose);
}

static size_t vectors_n(void)
{
	return json_array_size(json_object_get(vectors, "messages"));
}

static const struct verdict *verdict_of(const struct vector *v)
{
	static const struct verdict plain = { .name = "" };

	for (size_t i = 0; i < ARRAY_LEN(verdicts); i++)
		if (strcmp(verdicts[i].name, v->name) == 0)
			return &verdicts[i];
	return &plain;
}

static void fields_check(const struct vector *v, const struct ssm_msg *m)
{
	const json_t *d = v->decoded;
	char uuid[CODEC_UUID_STR];
	uint8_t *payload, *digest;
	size_t payload_len, digest_len;

	assert_int_equal(m->header_len, json_integer_value(json_object_get(d, "header_length")));
	assert_string_equal(m->type_name, text_at(d, "message_type"));
	assert_int_equal(m->schema_version,
			 json_integer_value(json_object_get(d, "schema_version")));
	assert_true(m->created_ms ==
		    (uint64_t)json_integer_value(json_object_get(d, "created_date")));
	assert_true(m->seq == strtoll(text_at(d, "sequence_number"), NULL, 10));
	assert_true(m->flags == strtoull(text_at(d, "flags"), NULL, 10));
	codec_uuid_str(uuid, m->id);
	assert_string_equal(uuid, text_at(d, "message_id"));
	digest = unhex(text_at(d, "payload_digest_hex"), &digest_len);
	assert_memory_equal(m->digest, digest, digest_len);
	payload = unhex(text_at(d, "payload_hex"), &payload_len);
	assert_int_equal(m->payload_len, payload_len);
	assert_memory_equal(m->payload, payload, payload_len);
	/* with the old header the recorded fields are the stock readers' misreadings */
	if (m->header_len == SSM_HEADER_LEN) {
		assert_int_equal(m->payload_type,
				 json_integer_value(json_object_get(d, "payload_type")));
		assert_int_equal(m->payload_len_field,
				 json_integer_value(json_object_get(d, "payload_length_field")));
	} else {
		assert_int_equal(m->payload_type, SSM_PT_NONE);
		assert_int_equal(m->payload_len_field, payload_len);
	}
	free(digest);
	free(payload);
}

/* Ours takes nothing that the stock client refuses; what it refuses beyond the stock peers is listed. */
static void verdict_check(const struct vector *v, int r)
{
	const struct verdict *want = verdict_of(v);

	if (r != want->err)
		fail_msg("%s: %s", v->name, st_errname(r));
	if (!v->client_ok)
		assert_true(r < 0);
	if (r < 0) {
		assert_int_equal(v->client_ok, (want->stricter & CLIENT_TAKES) != 0);
		assert_int_equal(v->agent_ok, (want->stricter & AGENT_TAKES) != 0);
	}
}

static void every_vector_decodes_or_is_refused(void **state)
{
	(void)state;
	assert_int_equal(vectors_n(), 42);
	for (size_t i = 0; i < vectors_n(); i++) {
		struct ssm_msg m, untouched;
		struct vector v;
		int r;

		vector_get(&v, i);
		memset(&m, 0x5a, sizeof(m));
		untouched = m;
		r = ssm_msg_decode(&m, v.bytes, v.len);
		verdict_check(&v, r);
		if (r == 0)
			fields_check(&v, &m);
		else
			assert_memory_equal(&m, &untouched, sizeof(m));
		free(v.bytes);
	}
}

static void every_listed_vector_exists(void **state)
{
	unsigned found = 0;

	(void)state;
	for (size_t i = 0; i < vectors_n(); i++) {
		struct vector v;

		vector_get(&v, i);
		found += verdict_of(&v)->name[0] != '\0';
		free(v.bytes);
	}
	assert_int_equal(found, ARRAY_LEN(verdicts));
}

static void prefixes_check(const struct vector *v)
{
	struct ssm_msg whole;

	assert_int_equal(ssm_msg_decode(&whole, v->bytes, v->len), 0);
	for (size_t len = 0; len < v->len; len++) {
		uint8_t *cut = malloc(len ? len : 1);
		struct ssm_msg m;
		int r;

		memcpy(cut, v->bytes, len);
		r = ssm_msg_decode(&m, cut, len);
		if (len < whole.header_len + 4)
			assert_int_equal(r, ST_ESHORT);
		else if (whole.type == SSM_START_PUBLICATION ||
			 whole.type == SSM_PAUSE_PUBLICATION || whole.payload_len_field == 0)
			assert_int_equal(r, 0); /* nothing to check a cut by */
		else
			assert_int_equal(r, ST_EDIGEST);
		if (r == 0)
			assert_int_equal(m.payload_len, len - whole.header_len - 4);
		free(cut);
	}
}

static void every_shorter_prefix_is_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < vectors_n(); i++) {
		struct vector v;

		vector_get(&v, i);
		if (verdict_of(&v)->err == 0)
			prefixes_check(&v);
		free(v.bytes);
	}
}

/* Blanks the fields that are written otherwise, which they must be. */
static void rewritten_blank(const struct vector *v, uint8_t *out, unsigned rewritten)
{
	for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
		if (!(rewritten & fields[i].bit))
			continue;
		assert_memory_not_equal(out + fields[i].offset, v->bytes + fields[i].offset,
					fields[i].len);
		memcpy(out + fields[i].offset, v->bytes + fields[i].offset, fields[i].len);
	}
}

static void writing_check(const struct vector *v, const struct ssm_msg *m)
{
	const struct verdict *want = verdict_of(v);
	uint8_t *out = malloc(v->len);
	struct ssm_msg again;

	assert_int_equal(ssm_msg_size(m, m->payload_len), v->len);
	if (want->write_err) {
		assert_int_equal(ssm_msg_encode(out, v->len, m), want->write_err);
		free(out);
		return;
	}
	assert_int_equal(ssm_msg_encode(out, v->len, m), v->len);
	assert_int_equal(ssm_msg_decode(&again, out, v->len), 0);
	assert_string_equal(again.type_name, m->type_name);
	assert_int_equal(again.payload_len_field, m->payload_len);
	assert_int_equal(ssm_msg_encode(out, v->len - 1, m), ST_ESHORT);
	rewritten_blank(v, out, want->rewritten);
	if (memcmp(out, v->bytes, v->len) != 0)
		fail_msg("%s is written otherwise", v->name);
	/* schema_version_9: ours writes 1 always; the old header is the service's alone */
	if (want->rewritten != F_SCHEMA && m->header_len == SSM_HEADER_LEN)
		assert_int_equal(v->client_writes, want->rewritten == 0);
	free(out);
}

/* Ours writes what the stock client's writer does, byte by byte; the rest becomes canonical. */
static void every_vector_is_written_again(void **state)
{
	unsigned written = 0;

	(void)state;
	for (size_t i = 0; i < vectors_n(); i++) {
		struct ssm_msg m;
		struct vector v;

		vector_get(&v, i);
		if (ssm_msg_decode(&m, v.bytes, v.len) == 0) {
			writing_check(&v, &m);
			written++;
		}
		free(v.bytes);
	}
	assert_int_equal(written, 31);
}

static void old_header_round_trip(void **state)
{
	uint8_t wire[256];
	struct ssm_msg in = {
		.type = SSM_CHANNEL_CLOSED,
		.header_len = SSM_HEADER_LEN_OLD,
		.created_ms = 1,
		.flags = SSM_FLAGS_ACK,
		.payload = (const uint8_t *)"{}",
		.payload_len = 2,
	};
	struct ssm_msg out;
	ssize_t len;

	(void)state;
	len = ssm_msg_encode(wire, sizeof(wire), &in);
	assert_int_equal(len, SSM_HEADER_LEN_OLD + 4 + 2);
	assert_int_equal(ssm_msg_decode(&out, wire, (size_t)len), 0);
	assert_int_equal(out.type, SSM_CHANNEL_CLOSED);
	assert_int_equal(out.header_len, SSM_HEADER_LEN_OLD);
	assert_int_equal(out.payload_len_field, 2);
	assert_memory_equal(out.payload, "{}", 2);
}

static void fields_at_their_limits(void **state)
{
	static const int64_t seqs[] = { 0, 1, -1, INT64_MAX, INT64_MIN };
	static const uint64_t words[] = { 1, UINT64_C(0x8000000000000000), UINT64_MAX };
	static const uint32_t types[] = { 0, 12, 13, UINT32_MAX };
	uint8_t wire[SSM_OVERHEAD + 1], payload = 0xff;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(seqs) * ARRAY_LEN(words) * ARRAY_LEN(types); i++) {
		struct ssm_msg out, in = {
			.type = (enum ssm_type)(i % SSM_TYPE_OTHER),
			.created_ms = words[i % ARRAY_LEN(words)],
			.flags = words[(i + 1) % ARRAY_LEN(words)],
			.seq = seqs[i % ARRAY_LEN(seqs)],
			.payload_type = types[i % ARRAY_LEN(types)],
			.payload = &payload,
			.payload_len = 1,
		};

		memset(in.id, (int)i, sizeof(in.id));
		in.id[0] = 1;
		assert_int_equal(ssm_msg_encode(wire, sizeof(wire), &in), sizeof(wire));
		assert_int_equal(ssm_msg_decode(&out, wire, sizeof(wire)), 0);
		assert_int_equal(out.type, in.type);
		assert_true(out.created_ms == in.created_ms && out.flags == in.flags &&
			    out.seq == in.seq);
		assert_int_equal(out.payload_type, in.payload_type);
		assert_memory_equal(out.id, in.id, sizeof(in.id));
	}
}

/* Like the stock readers: what stands behind a NUL within the field is part of the name. */
static void a_nul_within_the_type(void **state)
{
	struct ssm_msg m;
	struct vector v;

	(void)state;
	vector_get(&v, 1);
	v.bytes[4 + 17] = 0;
	v.bytes[4 + 18] = 'x';
	assert_int_equal(ssm_msg_decode(&m, v.bytes, v.len), 0);
	assert_int_equal(m.type, SSM_TYPE_OTHER);
	assert_string_equal(m.type_name, "input_stream_data?x");
	memset(v.bytes + 4, 0, SSM_TYPE_LEN);
	v.bytes[4 + 7] = ' ';
	assert_int_equal(ssm_msg_decode(&m, v.bytes, v.len), ST_EFORMAT);
	free(v.bytes);
}

/* NULs first, then white space: what the stock readers take off either end. */
static void what_is_trimmed_off_the_type(void **state)
{
	static const struct {
		const char *field;
		size_t len;
		enum ssm_type type;
	} cases[] = {
		{ "\0\0\t\n acknowledge\v\f\r \0", 20, SSM_ACKNOWLEDGE },
		{ " \0acknowledge", 13, SSM_TYPE_OTHER }, /* a NUL that stands within */
		{ "\x08"
		  "acknowledge",
		  12, SSM_TYPE_OTHER },
		{ "acknowledge\x0e", 12, SSM_TYPE_OTHER },
		{ "Acknowledge", 11, SSM_TYPE_OTHER },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct ssm_msg m;
		struct vector v;

		vector_get(&v, 1);
		memset(v.bytes + 4, 0, SSM_TYPE_LEN);
		memcpy(v.bytes + 4, cases[i].field, cases[i].len);
		assert_int_equal(ssm_msg_decode(&m, v.bytes, v.len), 0);
		assert_int_equal(m.type, cases[i].type);
		free(v.bytes);
	}
}

static void one_flipped_payload_bit_is_seen(void **state)
{
	struct ssm_msg m;
	struct vector v;

	(void)state;
	vector_get(&v, 1);
	assert_string_equal(v.name, "input_stream_data_output");
	for (size_t bit = 0; bit < 40; bit++) {
		v.bytes[SSM_OVERHEAD + bit / 8] ^= (uint8_t)(1U << bit % 8);
		assert_int_equal(ssm_msg_decode(&m, v.bytes, v.len), ST_EDIGEST);
		v.bytes[SSM_OVERHEAD + bit / 8] ^= (uint8_t)(1U << bit % 8);
	}
	assert_int_equal(ssm_msg_decode(&m, v.bytes, v.len), 0);
	free(v.bytes);
}

static void what_cant_be_written(void **state)
{
	uint8_t wire[256], byte = 1;
	struct ssm_msg m = { .type = SSM_INPUT_STREAM_DATA, .created_ms = 1, .payload = &byte };

	(void)state;
	assert_int_equal(ssm_msg_encode(wire, sizeof(wire), &m), ST_EINVAL); /* empty */
	m.payload_len = 1;
	m.created_ms = 0;
	assert_int_equal(ssm_msg_encode(wire, sizeof(wire), &m), ST_EINVAL);
	m.created_ms = 1;
	m.header_len = 120;
	assert_int_equal(ssm_msg_encode(wire, sizeof(wire), &m), ST_EINVAL);
	m.header_len = 0;
	m.type = SSM_TYPE_N;
	assert_int_equal(ssm_msg_encode(wire, sizeof(wire), &m), ST_EINVAL);
	m.type = SSM_INPUT_STREAM_DATA;
	m.payload_len = SSM_MESSAGE_MAX;
	assert_int_equal(ssm_msg_encode(wire, sizeof(wire), &m), ST_EINVAL);
	m.payload_len = 1;
	assert_int_equal(ssm_msg_encode(wire, 120, &m), ST_ESHORT);
	assert_int_equal(ssm_msg_encode(wire, 121, &m), 121);
}

static void the_longest_message(void **state)
{
	uint8_t *wire = calloc(1, SSM_MESSAGE_MAX + 1), *payload = calloc(1, SSM_MESSAGE_MAX);
	struct ssm_msg m = {
		.type = SSM_INPUT_STREAM_DATA,
		.created_ms = 1,
		.payload = payload,
		.payload_len = SSM_MESSAGE_MAX - SSM_OVERHEAD,
	};

	(void)state;
	assert_int_equal(ssm_msg_encode(wire, SSM_MESSAGE_MAX, &m), SSM_MESSAGE_MAX);
	assert_int_equal(ssm_msg_decode(&m, wire, SSM_MESSAGE_MAX), 0);
	assert_int_equal(ssm_msg_decode(&m, wire, SSM_MESSAGE_MAX + 1), ST_EFORMAT);
	free(wire);
	free(payload);
}

static void names(void **state)
{
	(void)state;
	assert_string_equal(ssm_type_name(SSM_ACKNOWLEDGE), "acknowledge");
	assert_string_equal(ssm_type_name(SSM_TYPE_OTHER), "?");
	assert_string_equal(ssm_type_name(SSM_TYPE_N), "?");
	for (unsigned i = 0; i < SSM_TYPE_OTHER; i++)
		assert_in_range(strlen(ssm_type_name((enum ssm_type)i)), 9, SSM_TYPE_LEN);
	assert_string_equal(ssm_payload_type_name(SSM_PT_FLAG), "flag");
	assert_string_equal(ssm_payload_type_name(13), "?");
	assert_string_equal(ssm_payload_type_name(UINT32_MAX), "?");
	assert_false(ssm_pt_is_handshake(SSM_PT_N) || ssm_pt_is_handshake(UINT32_MAX));
	assert_false(ssm_pt_is_encrypted(SSM_PT_N, true) || ssm_pt_is_encrypted(UINT32_MAX, false));
	assert_true(ssm_pt_is_encrypted(SSM_PT_OUTPUT, true) &&
		    ssm_pt_is_encrypted(SSM_PT_STDERR, false));
	assert_false(ssm_pt_is_encrypted(SSM_PT_STDERR, true) ||
		     ssm_pt_is_encrypted(SSM_PT_FLAG, true));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_vector_decodes_or_is_refused),
		cmocka_unit_test(every_listed_vector_exists),
		cmocka_unit_test(every_shorter_prefix_is_refused),
		cmocka_unit_test(every_vector_is_written_again),
		cmocka_unit_test(old_header_round_trip),
		cmocka_unit_test(fields_at_their_limits),
		cmocka_unit_test(a_nul_within_the_type),
		cmocka_unit_test(what_is_trimmed_off_the_type),
		cmocka_unit_test(one_flipped_payload_bit_is_seen),
		cmocka_unit_test(what_cant_be_written),
		cmocka_unit_test(the_longest_message),
		cmocka_unit_test(names),
	};

	return cmocka_run_group_tests(tests, vectors_load, vectors_drop);
}
