// SPDX-License-Identifier: MIT
/*
 * ssm_open.h - the text that opens a data channel: the first WebSocket message of either end
 *
 * One text frame, which the service does not answer: a bad token shows as a closed socket. ssm-protocol, 2.1 and 7.2.
 */
#ifndef PROTO_SSM_OPEN_H
#define PROTO_SSM_OPEN_H

#include "base/codec.h"
#include "proto/ssm_chan.h"

struct ssm_open {
	enum ssm_role role;
	uint8_t request_id[CODEC_UUID_LEN]; /* fresh for every open */
	const char *token;		    /* secret */
	/* client: a UUID as text, the same as long as the session lives; agent: the instance id */
	const char *client_id;
	const char *client_version; /* client; NULL: SSM_CLIENT_VERSION */
};

/**
 * ssm_open_write() - members in the order in which the stock peers write them
 * @out: a text that holds the token: the caller wipes it before free()
 * Return: 0; ST_EINVAL if a text is no UTF-8; ST_ENOMEM
 */
int ssm_open_write(char **out, const struct ssm_open *o);

/** ssm_session_state_write() - the payload of SSM_AGENT_SESSION_STATE, for free(); 7.3
 * @state: "Connected" or "Terminating". Return: 0; ST_EINVAL if a text is no UTF-8; ST_ENOMEM */
int ssm_session_state_write(char **out, const char *session_id, const char *state);

#endif
