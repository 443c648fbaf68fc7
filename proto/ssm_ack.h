// SPDX-License-Identifier: MIT
/*
 * ssm_ack.h - the JSON inside an acknowledge message
 *
 * There is one for every stream message, up to 100,000 a second: what looks as the stock peers
 * write it is read and written by hand, the rest by jansson. ssm-protocol, 4.2.
 */
#ifndef PROTO_SSM_ACK_H
#define PROTO_SSM_ACK_H

#include <stddef.h>
#include <stdint.h>

#include "base/codec.h"
#include "proto/ssm_msg.h"

#define SSM_ACK_MAX                                                                                \
	224U /* bytes of the text: 176 with one digit, and room for the longest number */

/**
 * ssm_ack_write() - the text that acknowledges message @seq of @type (one of the two stream types)
 * @out: SSM_ACK_MAX bytes; no NUL is written
 * Return: its length
 */
size_t ssm_ack_write(char out[SSM_ACK_MAX], enum ssm_type type, const uint8_t id[CODEC_UUID_LEN],
		     int64_t seq);

/**
 * ssm_ack_read() - the sequence number that an acknowledge text names; type and id are not looked
 * at (4.2)
 * Return: 0 and *@seq; ST_EFORMAT if it is no JSON object or the number is missing or no integer
 */
int ssm_ack_read(int64_t *seq, const uint8_t *p, size_t len);

#endif
