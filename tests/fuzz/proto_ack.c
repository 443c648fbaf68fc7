// SPDX-License-Identifier: MIT
/*
 * proto_ack.c - fuzz target: the hand-made reader of acknowledgements against jansson
 *
 * The first byte says what the rest is. Even: a text as it is. Odd: a number (8 bytes) whose
 * acknowledgement is written, then changed at places (offset, byte), so that most inputs end deep in
 * the form that the hand-made reader knows.
 */
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "proto/ssm_ack.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What the hand-made reader takes must read the same with white space, which is for jansson alone. */
static void compare(const uint8_t *p, size_t len)
{
	uint8_t *exact = malloc(len ? len : 1), *spaced = malloc(len + 1);
	int64_t a = 42, b = 42;
	int r;

	if (!exact || !spaced)
		abort();
	memcpy(exact, p, len);
	spaced[0] = ' ';
	memcpy(spaced + 1, p, len);
	r = ssm_ack_read(&a, exact, len);
	ST_ASSERT(ssm_ack_read(&b, spaced, len + 1) == r);
	ST_ASSERT(a == b && (r == 0 || a == 42));
	free(exact);
	free(spaced);
}

static void changed(const uint8_t *p, size_t len)
{
	static const uint8_t id[CODEC_UUID_LEN] = { 0xab, 0xcd, 0x12 };
	char text[SSM_ACK_MAX];
	int64_t seq, again = 0;
	size_t n;

	if (len < 8)
		return;
	seq = (int64_t)be64_get(p);
	n = ssm_ack_write(text, seq & 1 ? SSM_INPUT_STREAM_DATA : SSM_OUTPUT_STREAM_DATA, id, seq);
	ST_ASSERT(n <= sizeof(text));
	ST_ASSERT(ssm_ack_read(&again, (const uint8_t *)text, n) == 0 && again == seq);
	for (size_t i = 8; i + 1 < len; i += 2)
		text[p[i] % n] = (char)p[i + 1];
	compare((const uint8_t *)text, n);
	/* and cut, or with a tail */
	compare((const uint8_t *)text, n - p[7] % n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	if (data[0] & 1)
		changed(data + 1, size - 1);
	else
		compare(data + 1, size - 1);
	return 0;
}
