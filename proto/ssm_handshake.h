// SPDX-License-Identifier: MIT
/*
 * ssm_handshake.h - the JSON texts of the handshake and of channel_closed
 *
 * Texts that are returned by pointer are the caller's, to be given to free(). ssm-protocol, 5.3
 * and 2.4.
 */
#ifndef PROTO_SSM_HANDSHAKE_H
#define PROTO_SSM_HANDSHAKE_H

#include <stddef.h>
#include <stdint.h>

#define SSM_CLIENT_VERSION "1.2.707.0" /* ours: four parts above 1.2.331.0; 5.4 */
#define SSM_AGENT_VERSION "3.3.0.0"    /* ours: four parts; 5.4 */
#define SSM_VERSION_MAX 64U	       /* bytes kept of a peer's version */
#define SSM_ACTIONS_MAX 16U /* ours: actions of one request that are answered; stock agents ask 2 */
#define SSM_REASON_MAX 512U /* bytes kept of a peer's reason */

enum ssm_action_status {
	SSM_ACTION_SUCCESS = 1,
	SSM_ACTION_FAILED = 2,
	SSM_ACTION_UNSUPPORTED = 3
};

/**
 * ssm_handshake_request_write() - the agent's first message
 * @properties_json: the Properties member as JSON text; NULL: null
 * Return: 0 and *@out; ST_EINVAL if @properties_json is no JSON or a text no UTF-8; ST_ENOMEM
 */
int ssm_handshake_request_write(char **out, const char *agent_version, const char *session_type,
				const char *properties_json);

/* What a client makes of a HandshakeRequest. */
struct ssm_handshake_answer {
	char agent_version[SSM_VERSION_MAX]; /* foreign text */
	char refused[SSM_VERSION_MAX]; /* the first action not done, foreign text; "" if all were */
	char *response;		       /* the HandshakeResponse to send */
};

/**
 * ssm_handshake_answer() - read a HandshakeRequest and write its HandshakeResponse
 * SessionType of a known type succeeds, another fails; any other action is unsupported
 * (KMSEncryption too).
 * Return: 0 and *@out, whose response is the caller's; ST_EFORMAT if the request is malformed or
 * has more than SSM_ACTIONS_MAX actions; ST_ENOMEM
 */
int ssm_handshake_answer(struct ssm_handshake_answer *out, const uint8_t *p, size_t len,
			 const char *client_version);

/**
 * ssm_handshake_response_read() - the agent's look at a HandshakeResponse
 * @version: the ClientVersion, foreign text
 * Return: 0 if the client did everything; ST_EPEER if it did not, @reason says what in the words
 * of the stock agent (foreign text); ST_EFORMAT
 */
int ssm_handshake_response_read(char version[SSM_VERSION_MAX], char reason[SSM_REASON_MAX],
				const uint8_t *p, size_t len);

/** ssm_handshake_complete_write() - Return: 0 and *@out; ST_EINVAL if @customer_message is no
 * UTF-8; ST_ENOMEM */
int ssm_handshake_complete_write(char **out, uint64_t took_ns, const char *customer_message);

/**
 * ssm_handshake_complete_read() - the client's look at a HandshakeComplete
 * Return: 0 and the message to show, "" if none (cut to fit, foreign text); ST_EFORMAT
 */
int ssm_handshake_complete_read(char customer_message[SSM_REASON_MAX], const uint8_t *p,
				size_t len);

/** ssm_closed_read() - the Output of a channel_closed, foreign text; "" if there is none or the text
 * is malformed, which the stock client takes for an end all the same */
void ssm_closed_read(char output[SSM_REASON_MAX], const uint8_t *p, size_t len);

#endif
