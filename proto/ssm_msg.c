// SPDX-License-Identifier: MIT
/*
 * ssm_msg.c - codec of data channel messages
 *
 * Theory of operation: every field but PayloadType, PayloadLength and the payload stands at a fixed
 * offset. HeaderLength says where PayloadLength is; clients and agents write 116, the service
 * writes 112 and then has no PayloadType. Any other value is refused: the stock readers take 120 as
 * well and go deaf on values beyond the end, no writer is known to send either. PayloadLength is not
 * trusted by the stock readers: the payload is what follows up to the end, the field only
 * tells whether the digest is checked. ssm-protocol, 3.1 to 3.4.
 */
#include "proto/ssm_msg.h"

#include <assert.h>
#include <string.h>

#include "base/err.h"
#include "base/util.h"

/* Offsets of the fields; ssm-protocol, 3.1 */
#define OFF_HEADER_LEN 0U
#define OFF_TYPE 4U
#define OFF_SCHEMA 36U
#define OFF_CREATED 40U
#define OFF_SEQ 48U
#define OFF_FLAGS 56U
#define OFF_ID 64U
#define OFF_DIGEST 80U
#define OFF_PAYLOAD_TYPE 112U

#define PAYLOAD_LEN_SIZE 4U
#define SCHEMA_VERSION 1U

/* unchecked: the service sends these with a wrong digest and date; 3.4 */
static const struct {
	const char *name;
	bool unchecked;
} types[] = {
	[SSM_INPUT_STREAM_DATA] = { "input_stream_data", false },
	[SSM_OUTPUT_STREAM_DATA] = { "output_stream_data", false },
	[SSM_ACKNOWLEDGE] = { "acknowledge", false },
	[SSM_CHANNEL_CLOSED] = { "channel_closed", false },
	[SSM_START_PUBLICATION] = { "start_publication", true },
	[SSM_PAUSE_PUBLICATION] = { "pause_publication", true },
	[SSM_AGENT_SESSION_STATE] = { "agent_session_state", false },
	[SSM_INTERACTIVE_SHELL] = { "interactive_shell", false },
	[SSM_AGENT_TASK_COMPLETE] = { "agent_task_complete", false },
	[SSM_AGENT_TASK_ACKNOWLEDGE] = { "agent_task_acknowledge", false },
	[SSM_AGENT_TASK_REPLY] = { "agent_task_reply", false },
	[SSM_AGENT_JOB] = { "agent_job", false },
	[SSM_AGENT_JOB_ACK] = { "agent_job_ack", false },
	[SSM_AGENT_JOB_REPLY] = { "agent_job_reply", false },
	[SSM_AGENT_JOB_REPLY_ACK] = { "agent_job_reply_ack", false },
	[SSM_AGENT_TELEMETRY] = { "AgentTelemetry", false },
	[SSM_AGENT_UPDATE_RESULT] = { "AgentUpdateResult", false },
	[SSM_TYPE_OTHER] = { "?", false },
};
static_assert(ARRAY_LEN(types) == SSM_TYPE_N, "types[] and enum ssm_type differ");

/* What a payload type is. In a session with a KMS key the client encrypts the types of up, the agent
 * those of down; 3.6 and 5.5. */
static const struct {
	const char *name;
	bool handshake;
	bool up, down;
} payload_types[] = {
	[SSM_PT_NONE] = { "none", false, false, false },
	[SSM_PT_OUTPUT] = { "output", false, true, true },
	[SSM_PT_ERROR] = { "error", false, false, false },
	[SSM_PT_SIZE] = { "size", false, false, false },
	[SSM_PT_PARAMETER] = { "parameter", false, false, false },
	[SSM_PT_HANDSHAKE_REQUEST] = { "handshake-request", true, false, false },
	[SSM_PT_HANDSHAKE_RESPONSE] = { "handshake-response", true, false, false },
	[SSM_PT_HANDSHAKE_COMPLETE] = { "handshake-complete", true, false, false },
	[SSM_PT_ENC_CHALLENGE_REQUEST] = { "challenge-request", true, false, false },
	[SSM_PT_ENC_CHALLENGE_RESPONSE] = { "challenge-response", true, false, false },
	[SSM_PT_FLAG] = { "flag", false, false, false },
	[SSM_PT_STDERR] = { "stderr", false, false, true },
	[SSM_PT_EXIT_CODE] = { "exit-code", false, false, true },
};
static_assert(ARRAY_LEN(payload_types) == SSM_PT_N,
	      "payload_types[] and enum ssm_payload_type differ");

const char *ssm_type_name(enum ssm_type type)
{
	return (unsigned)type < SSM_TYPE_N ? types[type].name : "?";
}

const char *ssm_payload_type_name(uint32_t payload_type)
{
	return payload_type < SSM_PT_N ? payload_types[payload_type].name : "?";
}

bool ssm_pt_is_handshake(uint32_t payload_type)
{
	return payload_type < SSM_PT_N && payload_types[payload_type].handshake;
}

bool ssm_pt_is_encrypted(uint32_t payload_type, bool by_client)
{
	if (payload_type >= SSM_PT_N)
		return false;
	return by_client ? payload_types[payload_type].up : payload_types[payload_type].down;
}

uint32_t ssm_flag_read(const uint8_t *p, size_t len)
{
	return len >= SSM_FLAG_LEN ? be32_get(p) : 0;
}

static bool is_space(uint8_t ch)
{
	return ch == ' ' || (ch >= '\t' && ch <= '\r');
}

/* NULs off both ends, then white space off both ends: the order of the stock readers. A NUL within
 * makes an unknown type for them; as '?' it does so here too, where it would end the text. */
static void type_trim(char out[SSM_TYPE_LEN + 1], const uint8_t *p)
{
	size_t from = 0, to = SSM_TYPE_LEN;

	while (from < to && p[from] == 0)
		from++;
	while (to > from && p[to - 1] == 0)
		to--;
	while (from < to && is_space(p[from]))
		from++;
	while (to > from && is_space(p[to - 1]))
		to--;
	for (size_t i = from; i < to; i++)
		out[i - from] = p[i] ? (char)p[i] : '?';
	out[to - from] = '\0';
}

static enum ssm_type type_find(const char *name)
{
	for (unsigned i = 0; i < SSM_TYPE_OTHER; i++)
		if (strcmp(types[i].name, name) == 0)
			return (enum ssm_type)i;
	return SSM_TYPE_OTHER;
}

/* The wire carries the second half of a UUID first; 3.2. */
static void id_swap(uint8_t out[CODEC_UUID_LEN], const uint8_t in[CODEC_UUID_LEN])
{
	memcpy(out, in + CODEC_UUID_LEN / 2, CODEC_UUID_LEN / 2);
	memcpy(out + CODEC_UUID_LEN / 2, in, CODEC_UUID_LEN / 2);
}

static void fixed_fields_get(struct ssm_msg *m, const uint8_t *buf)
{
	type_trim(m->type_name, buf + OFF_TYPE);
	m->type = type_find(m->type_name);
	m->schema_version = be32_get(buf + OFF_SCHEMA);
	m->created_ms = be64_get(buf + OFF_CREATED);
	m->seq = (int64_t)be64_get(buf + OFF_SEQ);
	m->flags = be64_get(buf + OFF_FLAGS);
	id_swap(m->id, buf + OFF_ID);
	memcpy(m->digest, buf + OFF_DIGEST, CODEC_SHA256_LEN);
}

static int content_check(const struct ssm_msg *m)
{
	uint8_t digest[CODEC_SHA256_LEN];

	if (m->type_name[0] == '\0')
		return ST_EFORMAT;
	if (types[m->type].unchecked)
		return 0;
	if (m->created_ms == 0)
		return ST_EFORMAT;
	if (m->payload_len_field == 0)
		return 0;
	codec_sha256(digest, m->payload, m->payload_len);
	return memcmp(digest, m->digest, sizeof(digest)) == 0 ? 0 : ST_EDIGEST;
}

int ssm_msg_decode(struct ssm_msg *out, const uint8_t *buf, size_t len)
{
	struct ssm_msg m = { 0 };
	int r;

	if (len < SSM_HEADER_LEN_OLD + PAYLOAD_LEN_SIZE)
		return ST_ESHORT;
	if (len > SSM_MESSAGE_MAX)
		return ST_EFORMAT;
	m.header_len = be32_get(buf + OFF_HEADER_LEN);
	if (m.header_len != SSM_HEADER_LEN && m.header_len != SSM_HEADER_LEN_OLD)
		return ST_EFORMAT;
	if (len - m.header_len < PAYLOAD_LEN_SIZE)
		return ST_ESHORT;

	fixed_fields_get(&m, buf);
	if (m.header_len == SSM_HEADER_LEN)
		m.payload_type = be32_get(buf + OFF_PAYLOAD_TYPE);
	m.payload_len_field = be32_get(buf + m.header_len);
	m.payload = buf + m.header_len + PAYLOAD_LEN_SIZE;
	m.payload_len = len - m.header_len - PAYLOAD_LEN_SIZE;
	if ((r = content_check(&m)) < 0)
		return r;
	*out = m;
	return 0;
}

static uint32_t header_len_of(const struct ssm_msg *m)
{
	return m->header_len ? m->header_len : SSM_HEADER_LEN;
}

size_t ssm_msg_size(const struct ssm_msg *m, size_t payload_len)
{
	return header_len_of(m) + PAYLOAD_LEN_SIZE + payload_len;
}

static void type_put(uint8_t *out, const struct ssm_msg *m)
{
	const char *name = m->type == SSM_TYPE_OTHER ? m->type_name : types[m->type].name;
	size_t len = strnlen(name, SSM_TYPE_LEN);

	memset(out, header_len_of(m) == SSM_HEADER_LEN_OLD ? '\0' : ' ', SSM_TYPE_LEN);
	memcpy(out, name, len);
}

ssize_t ssm_msg_encode(uint8_t *out, size_t cap, const struct ssm_msg *m)
{
	uint32_t header_len = header_len_of(m);
	uint8_t *payload = out + header_len + PAYLOAD_LEN_SIZE;

	if (m->payload_len == 0 || m->created_ms == 0 || (unsigned)m->type >= SSM_TYPE_N)
		return ST_EINVAL;
	if (header_len != SSM_HEADER_LEN && header_len != SSM_HEADER_LEN_OLD)
		return ST_EINVAL;
	if (m->payload_len > SSM_MESSAGE_MAX - SSM_OVERHEAD)
		return ST_EINVAL;
	if (cap < ssm_msg_size(m, m->payload_len))
		return ST_ESHORT;

	be32_put(out + OFF_HEADER_LEN, header_len);
	type_put(out + OFF_TYPE, m);
	be32_put(out + OFF_SCHEMA, SCHEMA_VERSION);
	be64_put(out + OFF_CREATED, m->created_ms);
	be64_put(out + OFF_SEQ, (uint64_t)m->seq);
	be64_put(out + OFF_FLAGS, m->flags);
	id_swap(out + OFF_ID, m->id);
	codec_sha256(out + OFF_DIGEST, m->payload, m->payload_len);
	if (header_len == SSM_HEADER_LEN)
		be32_put(out + OFF_PAYLOAD_TYPE, m->payload_type);
	be32_put(out + header_len, (uint32_t)m->payload_len);
	if (m->payload != payload)
		memmove(payload, m->payload, m->payload_len);
	return (ssize_t)ssm_msg_size(m, m->payload_len);
}
