// SPDX-License-Identifier: MIT
/*
 * replay_list.c - written messages in order, found by number, and compared
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "proto/ssm_ack.h"
#include "replay.h"

#define TOOK "{\"HandshakeTimeToComplete\":"

void replay_decoded(struct ssm_msg *m, const uint8_t *p, size_t len)
{
	int err = ssm_msg_decode(m, p, len);

	if (err < 0)
		fail_msg("a message does not decode: %s", st_strerror(err));
}

bool replay_is_stream(const struct ssm_msg *m)
{
	return m->type == SSM_INPUT_STREAM_DATA || m->type == SSM_OUTPUT_STREAM_DATA;
}

int64_t replay_acked_number(const struct ssm_msg *m)
{
	int64_t seq = -1;

	assert_int_equal(ssm_ack_read(&seq, m->payload, m->payload_len), 0);
	return seq;
}

/* Where the compared part of a payload begins: behind the time that the handshake took. */
static size_t payload_skip(const struct ssm_msg *m)
{
	size_t at = sizeof(TOOK) - 1;

	if (m->payload_type != SSM_PT_HANDSHAKE_COMPLETE)
		return 0;
	assert_true(m->payload_len > at && memcmp(m->payload, TOOK, at) == 0);
	while (at < m->payload_len && m->payload[at] >= '0' && m->payload[at] <= '9')
		at++;
	return at;
}

void replay_item_compare(const struct replay_item *ours, const struct replay_item *theirs)
{
	size_t from_a, from_b;
	struct ssm_msg a, b;

	replay_decoded(&a, ours->p, ours->len);
	replay_decoded(&b, theirs->p, theirs->len);
	assert_int_equal(a.header_len, b.header_len);
	assert_string_equal(a.type_name, b.type_name);
	assert_int_equal(a.schema_version, b.schema_version);
	assert_int_equal(a.seq, b.seq);
	assert_int_equal(a.flags, b.flags);
	assert_int_equal(a.payload_type, b.payload_type);
	from_a = payload_skip(&a);
	from_b = payload_skip(&b);
	assert_int_equal(a.payload_len - from_a, b.payload_len - from_b);
	assert_memory_equal(a.payload + from_a, b.payload + from_b, a.payload_len - from_a);
}

void replay_list_add(struct replay_list *l, const uint8_t *p, size_t len, uint64_t at_us)
{
	assert_true(l->n < REPLAY_MESSAGES);
	l->items[l->n++] = (struct replay_item){ .p = p, .len = len, .at_us = at_us };
}

int64_t replay_number_of(const struct replay_item *item)
{
	struct ssm_msg m;

	replay_decoded(&m, item->p, item->len);
	return replay_is_stream(&m) ? m.seq : replay_acked_number(&m);
}

const uint8_t *replay_copy(const uint8_t *p, size_t len)
{
	uint8_t *copy = malloc(len);

	assert_non_null(copy);
	memcpy(copy, p, len);
	return copy;
}

/* The first item from @from on with this number. Return: its index; l->n if there is none */
size_t replay_list_find(const struct replay_list *l, size_t from, int64_t number)
{
	while (from < l->n && replay_number_of(&l->items[from]) != number)
		from++;
	return from;
}

void replay_list_drop(struct replay_list *l)
{
	for (size_t i = 0; i < l->n; i++)
		free((void *)(uintptr_t)l->items[i].p);
}
