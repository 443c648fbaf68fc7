// SPDX-License-Identifier: MIT
/*
 * ssm_mux_frame.h - the frame header of multiplexed port sessions (smux, version 1)
 *
 * Eight bytes, little-endian unlike everything else of the data channel: version u8, command u8,
 * length u16, stream id u32; then length bytes of data. ssm-protocol.md, 6.4.
 */
#ifndef PROTO_SSM_MUX_FRAME_H
#define PROTO_SSM_MUX_FRAME_H

#include <stddef.h>
#include <stdint.h>

#include "base/util.h"

#define SSM_MUX_VERSION 1U
#define SSM_MUX_HDR_LEN 8U	    /* bytes before the data */
#define SSM_MUX_DATA_MAX UINT16_MAX /* bytes of data that a header can announce */

enum ssm_mux_cmd {
	SSM_MUX_SYN, /* opens a stream */
	SSM_MUX_FIN, /* ends a stream, both directions of it */
	SSM_MUX_PSH, /* data of a stream; the only command that has a body */
	SSM_MUX_NOP, /* keepalive */
	SSM_MUX_CMD_N
};

struct ssm_mux_frame {
	enum ssm_mux_cmd cmd;
	uint16_t len; /* bytes of data behind the header */
	uint32_t id;
};

/**
 * ssm_mux_frame_decode() - read a header
 * @buf: @len bytes; those behind the first SSM_MUX_HDR_LEN are not looked at
 * Return: 0; ST_ESHORT below SSM_MUX_HDR_LEN bytes; ST_EPEER for another version or a command that version 1 does not
 * have (UPD, 4, is version 2's); ST_EFORMAT for a length on a command without data: the stock reader would not skip
 * those bytes, so no reading of them is right. @out is untouched on error.
 */
int ssm_mux_frame_decode(struct ssm_mux_frame *out, const uint8_t *buf, size_t len) ST_MUST_USE;
/** ssm_mux_frame_encode() - write the header of @f; a length is the caller's to give to PSH alone */
void ssm_mux_frame_encode(uint8_t out[SSM_MUX_HDR_LEN], const struct ssm_mux_frame *f);

#endif
