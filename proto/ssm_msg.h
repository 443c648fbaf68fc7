// SPDX-License-Identifier: MIT
/*
 * ssm_msg.h - one message of the Session Manager data channel: bytes to struct and back
 *
 * No I/O, no clock, no allocation. Integers on the wire are big-endian. The layout, with sources:
 * shared reference "ssm-protocol", section 3; checked against every entry of vectors.json.
 */
#ifndef PROTO_SSM_MSG_H
#define PROTO_SSM_MSG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/codec.h"

#define SSM_TYPE_LEN 32U /* bytes of the MessageType field */
#define SSM_HEADER_LEN                                                                             \
	116U /* value of HeaderLength in what clients and agents write; bytes before PayloadLength */
#define SSM_HEADER_LEN_OLD 112U /* value in what the service writes: no PayloadType field */
#define SSM_OVERHEAD 120U	/* bytes before the payload with SSM_HEADER_LEN */
#define SSM_FLAG_LEN 4U		/* payload bytes of SSM_PT_FLAG: one big-endian number */
#define SSM_PAYLOAD_MAX 65536U	/* ours: the largest payload that we send or announce */
#define SSM_MESSAGE_MAX                                                                            \
	((size_t)1024 * 1024) /* ours: the largest message that is accepted; design, section 8 */

enum ssm_type {
	SSM_INPUT_STREAM_DATA,
	SSM_OUTPUT_STREAM_DATA,
	SSM_ACKNOWLEDGE,
	SSM_CHANNEL_CLOSED,
	SSM_START_PUBLICATION,
	SSM_PAUSE_PUBLICATION,
	SSM_AGENT_SESSION_STATE,
	SSM_INTERACTIVE_SHELL,
	SSM_AGENT_TASK_COMPLETE,
	SSM_AGENT_TASK_ACKNOWLEDGE,
	SSM_AGENT_TASK_REPLY,
	SSM_AGENT_JOB,
	SSM_AGENT_JOB_ACK,
	SSM_AGENT_JOB_REPLY,
	SSM_AGENT_JOB_REPLY_ACK,
	SSM_AGENT_TELEMETRY,
	SSM_AGENT_UPDATE_RESULT,
	SSM_TYPE_OTHER, /* well-formed, not in our table: ignored, never acknowledged */
	SSM_TYPE_N
};

enum ssm_payload_type {
	SSM_PT_NONE = 0,
	SSM_PT_OUTPUT = 1,
	SSM_PT_ERROR = 2,
	SSM_PT_SIZE = 3,
	SSM_PT_PARAMETER = 4,
	SSM_PT_HANDSHAKE_REQUEST = 5,
	SSM_PT_HANDSHAKE_RESPONSE = 6,
	SSM_PT_HANDSHAKE_COMPLETE = 7,
	SSM_PT_ENC_CHALLENGE_REQUEST = 8,
	SSM_PT_ENC_CHALLENGE_RESPONSE = 9,
	SSM_PT_FLAG = 10,
	SSM_PT_STDERR = 11,
	SSM_PT_EXIT_CODE = 12,
	SSM_PT_N
};

enum ssm_flag { SSM_FLAG_DISCONNECT = 1, SSM_FLAG_TERMINATE = 2, SSM_FLAG_CONNECT_ERROR = 3 };

#define SSM_FLAGS_DATA UINT64_C(0) /* stream messages; the agent's first one carries SSM_FLAG_SYN */
#define SSM_FLAGS_SYN UINT64_C(1)
#define SSM_FLAGS_ACK UINT64_C(3) /* acks and service messages; 3.7 */

struct ssm_msg {
	enum ssm_type type;
	char type_name[SSM_TYPE_LEN + 1]; /* as received, trimmed; foreign text */
	uint32_t header_len;
	uint32_t schema_version;
	uint64_t created_ms; /* Unix time */
	int64_t seq;
	uint64_t flags;
	uint8_t id[CODEC_UUID_LEN]; /* textual order; the wire has the halves swapped */
	uint8_t digest[CODEC_SHA256_LEN];
	uint32_t
		payload_type; /* enum ssm_payload_type or anything a peer sent; SSM_PT_NONE with the old header */
	uint32_t
		payload_len_field; /* the field as received; the payload is what follows to the end */
	const uint8_t *payload;
	size_t payload_len;
};

/** ssm_type_name() - the wire name, "?" for SSM_TYPE_OTHER; ssm_payload_type_name() likewise */
const char *ssm_type_name(enum ssm_type type);
const char *ssm_payload_type_name(uint32_t payload_type);
/** ssm_pt_is_handshake() - is it a step of the handshake, which the owner of a channel never sees? */
bool ssm_pt_is_handshake(uint32_t payload_type);
/** ssm_pt_is_encrypted() - does a writer encrypt it in a session with a KMS key? @by_client: who
 * writes; ssm-protocol, 5.5 */
bool ssm_pt_is_encrypted(uint32_t payload_type, bool by_client);
/** ssm_flag_read() - the number in the payload of SSM_PT_FLAG; 0, which is no flag, if it is cut */
uint32_t ssm_flag_read(const uint8_t *p, size_t len);

/**
 * ssm_msg_decode() - read one message from a whole WebSocket message
 * @out: filled in on success, untouched on error; out->payload points into @buf and lives as long as it does
 * Return: 0; ST_ESHORT if @len cuts the header; ST_EFORMAT if HeaderLength is not 112 or 116 or points past the
 * end, the type is blank, or the date is 0 (both: not for start/pause_publication); ST_EDIGEST if the payload's SHA-256
 * differs (not checked for start/pause_publication, nor when the length field is 0: 3.3, 3.4).
 */
int ssm_msg_decode(struct ssm_msg *out, const uint8_t *buf, size_t len);

/** ssm_msg_size() - bytes that ssm_msg_encode() will write for @payload_len */
size_t ssm_msg_size(const struct ssm_msg *m, size_t payload_len);

/**
 * ssm_msg_encode() - write one message: type, created_ms, seq, flags, id, payload_type, payload are taken from
 * @m; header_len 0 means SSM_HEADER_LEN; SSM_HEADER_LEN_OLD is the service's form, whose type is padded with
 * NULs instead of spaces; the digest is computed
 * Return: bytes written; ST_ESHORT if @cap is too small; ST_EINVAL for an empty payload (the stock readers'
 * writers can't make one) or a created_ms of 0
 */
ssize_t ssm_msg_encode(uint8_t *out, size_t cap, const struct ssm_msg *m);

#endif
