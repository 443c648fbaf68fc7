// SPDX-License-Identifier: MIT
/*
 * proto_msg.c - fuzz target: any bytes as a message
 *
 * What decodes is written again; the copy must decode to the same fields.
 */
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "proto/ssm_msg.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void again(const struct ssm_msg *m)
{
	size_t size = ssm_msg_size(m, m->payload_len);
	uint8_t *wire = malloc(size);
	struct ssm_msg copy;

	ST_ASSERT(wire);
	ST_ASSERT(ssm_msg_encode(wire, size, m) == (ssize_t)size);
	ST_ASSERT(ssm_msg_decode(&copy, wire, size) == 0);
	ST_ASSERT(copy.type == m->type && copy.seq == m->seq && copy.flags == m->flags);
	ST_ASSERT(copy.created_ms == m->created_ms && copy.header_len == m->header_len);
	ST_ASSERT(copy.payload_type == m->payload_type && copy.payload_len == m->payload_len);
	ST_ASSERT(memcmp(copy.id, m->id, sizeof(copy.id)) == 0);
	ST_ASSERT(memcmp(copy.payload, m->payload, m->payload_len) == 0);
	ST_ASSERT(strcmp(copy.type_name, m->type_name) == 0);
	free(wire);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ssm_msg m;

	if (ssm_msg_decode(&m, data, size) < 0)
		return 0;
	ST_ASSERT(m.payload_len <= size && m.payload + m.payload_len == data + size);
	ST_ASSERT(strlen(m.type_name) > 0 && strlen(m.type_name) <= SSM_TYPE_LEN);
	if (m.payload_len > 0 && m.created_ms > 0)
		again(&m);
	return 0;
}
