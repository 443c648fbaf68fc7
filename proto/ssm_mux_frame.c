// SPDX-License-Identifier: MIT
/*
 * ssm_mux_frame.c - the frame header of multiplexed port sessions
 *
 * Theory of operation: a reader of a byte stream that has lost its place finds no frame again, so every
 * header that no peer can have meant is refused at once.
 */
#include "proto/ssm_mux_frame.h"

#include "base/err.h"

int ssm_mux_frame_decode(struct ssm_mux_frame *out, const uint8_t *buf, size_t len)
{
	uint16_t data_len;

	if (len < SSM_MUX_HDR_LEN)
		return ST_ESHORT;
	if (buf[0] != SSM_MUX_VERSION || buf[1] >= SSM_MUX_CMD_N)
		return ST_EPEER;
	data_len = (uint16_t)(buf[2] | (unsigned)buf[3] << 8);
	if (data_len > 0 && buf[1] != SSM_MUX_PSH)
		return ST_EFORMAT;
	*out = (struct ssm_mux_frame){
		.cmd = (enum ssm_mux_cmd)buf[1],
		.len = data_len,
		.id = buf[4] | (uint32_t)buf[5] << 8 | (uint32_t)buf[6] << 16 |
		      (uint32_t)buf[7] << 24,
	};
	return 0;
}

void ssm_mux_frame_encode(uint8_t out[SSM_MUX_HDR_LEN], const struct ssm_mux_frame *f)
{
	out[0] = SSM_MUX_VERSION;
	out[1] = (uint8_t)f->cmd;
	out[2] = (uint8_t)f->len;
	out[3] = (uint8_t)(f->len >> 8);
	for (unsigned i = 0; i < 4; i++)
		out[4 + i] = (uint8_t)(f->id >> (8 * i));
}
