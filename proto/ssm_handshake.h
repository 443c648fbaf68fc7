// SPDX-License-Identifier: MIT
/*
 * ssm_handshake.h - the JSON texts of the handshake and of channel_closed
 *
 * Texts that are returned by pointer are the caller's, to be given to free(). ssm-protocol, 5.3
 * and 2.4.
 */
#ifndef PROTO_SSM_HANDSHAKE_H
#define PROTO_SSM_HANDSHAKE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define SSM_CLIENT_VERSION "1.2.707.0" /* ours: four parts above 1.2.331.0; 5.4 */
#define SSM_AGENT_VERSION "3.3.0.0"    /* ours: four parts; 5.4 */
#define SSM_VERSION_MAX 64U	       /* bytes kept of a peer's version */
#define SSM_SESSION_TYPE_MAX 32U       /* bytes kept of a session type, NUL included */
#define SSM_ACTIONS_MAX 16U /* ours: actions of one request that are answered; stock agents ask 2 */
#define SSM_REASON_MAX 512U /* bytes kept of a peer's reason */
#define SSM_CIPHER_KEY_MAX                                                                         \
	6144U		     /* bytes of an encrypted data key: what KMS Decrypt takes at most */
#define SSM_KEY_ID_MAX 2048U /* characters of a KMS key id: as KMS */
#define SSM_CHALLENGE_TEXT_MAX                                                                     \
	1024U /* ours: characters of the request's challenge; stock agents send 24 */

enum ssm_action_status {
	SSM_ACTION_SUCCESS = 1,
	SSM_ACTION_FAILED = 2,
	SSM_ACTION_UNSUPPORTED = 3
};

/* ---- the agent's first message ---- */

struct ssm_request_opts {
	const char *agent_version, *session_type;
	const char *properties_json; /* the Properties member as JSON text; NULL: null */
	const char *kms_key_id;	     /* NULL: no encryption is asked for */
	const char *challenge;	     /* base64; with kms_key_id; NULL: none, as old agents */
};
/**
 * ssm_handshake_request_write() - a HandshakeRequest
 * Return: 0 and *@out; ST_EINVAL if properties_json is no JSON or a text no UTF-8; ST_ENOMEM
 */
int ssm_handshake_request_write(char **out, const struct ssm_request_opts *o);

/* What a client reads in it; all foreign text. */
struct ssm_request {
	char agent_version[SSM_VERSION_MAX];
	char session_type[SSM_SESSION_TYPE_MAX]; /* "" if the agent named none */
	char *properties_json;			 /* NULL: null or none */
	char *kms_key_id;			 /* NULL: no encryption is asked for */
	char *challenge;			 /* base64 text; NULL: none */
};
/** ssm_handshake_request_read() - Return: 0 and *@out, to be given to ssm_request_fini(); ST_EFORMAT if it is malformed
 * or beyond a limit above; ST_ENOMEM */
int ssm_handshake_request_read(struct ssm_request *out, const uint8_t *p, size_t len);
void ssm_request_fini(struct ssm_request *r); /* one that was never filled in is fine if zeroed */

/* ---- the client's answer ---- */

/* What became of the wish for encryption. */
struct ssm_kms_answer {
	enum ssm_action_status status;
	const char *error;	   /* unless it is a success */
	const uint8_t *cipher_key; /* the data key as KMS encrypted it */
	size_t cipher_len;
	bool challenge; /* the encryption context held the challenge */
};
/**
 * ssm_handshake_answer() - read a HandshakeRequest and write its HandshakeResponse
 * @refused: the first action not done, foreign text; "" if all were
 * @kms: the answer to KMSEncryption; NULL: unsupported
 * SessionType of a known type succeeds, another fails; other actions are unsupported.
 * Return: 0 and *@out; ST_EFORMAT if the request is malformed or has more than SSM_ACTIONS_MAX actions; ST_ENOMEM
 */
int ssm_handshake_answer(char **out, char refused[SSM_VERSION_MAX], const uint8_t *p, size_t len,
			 const char *client_version, const struct ssm_kms_answer *kms);

/* What an agent reads in the answer; texts are foreign. */
struct ssm_response {
	char client_version[SSM_VERSION_MAX];
	char reason
		[SSM_REASON_MAX]; /* why the session can't be, in the words of the stock agent; "" */
	uint8_t *cipher_key;	  /* NULL: none; the caller's, for free() */
	size_t cipher_len;
	bool challenge; /* the client used the challenge */
};
/**
 * ssm_handshake_response_read() - the agent's look at a HandshakeResponse
 * Return: 0 if the client did everything; ST_EPEER if it did not: out->reason; ST_EFORMAT; ST_ENOMEM.
 * On failure out->cipher_key is NULL.
 */
int ssm_handshake_response_read(struct ssm_response *out, const uint8_t *p, size_t len);

/* ---- the rest of the handshake ---- */

/** ssm_handshake_challenge_write() - the text of both EncChallengeRequest and EncChallengeResponse
 * @p: @len encrypted bytes. Return: 0 and *@out; ST_ENOMEM */
int ssm_handshake_challenge_write(char **out, const uint8_t *p, size_t len);
/** ssm_handshake_challenge_read() - Return: the number of encrypted bytes and *@out, at most @max; ST_EFORMAT,
 * also if there are none; ST_EFULL; ST_ENOMEM */
ssize_t ssm_handshake_challenge_read(uint8_t **out, size_t max, const uint8_t *p, size_t len);

/** ssm_handshake_complete_write() - Return: 0 and *@out; ST_EINVAL if @customer_message is no
 * UTF-8; ST_ENOMEM */
int ssm_handshake_complete_write(char **out, uint64_t took_ns, const char *customer_message);

/**
 * ssm_handshake_complete_read() - the client's look at a HandshakeComplete
 * Return: 0 and the message to show, "" if none (cut to fit, foreign text); ST_EFORMAT
 */
int ssm_handshake_complete_read(char customer_message[SSM_REASON_MAX], const uint8_t *p,
				size_t len);

/* What the Properties of a session type say; 1.3. */
struct ssm_properties {
	bool local_forwarding; /* type LocalPortForwarding: the mode of a port session depends on versions */
	bool separate_output; /* a command's stdout, stderr and exit code are told apart */
};
/** ssm_properties_read() - @json NULL or no object: nothing is set */
struct ssm_properties ssm_properties_read(const char *json);

/** ssm_closed_read() - the Output of a channel_closed, foreign text; "" if there is none or the text
 * is malformed, which the stock client takes for an end all the same */
void ssm_closed_read(char output[SSM_REASON_MAX], const uint8_t *p, size_t len);

#endif
