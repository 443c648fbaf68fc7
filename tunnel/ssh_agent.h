// SPDX-License-Identifier: MIT
/*
 * ssh_agent.h - the ssh-agent protocol: requests, answers, and the blocking exchange that runs in the runner's child
 *
 * Source: draft-ietf-sshm-ssh-agent, 3.5 and 3.6. libssh2's own agent client is not used: it drops the flags and counter of
 * sk- signatures (agent_sign() in its agent.c), and it mixes the blocking exchange with the session.
 */
#ifndef TUNNEL_SSH_AGENT_H
#define TUNNEL_SSH_AGENT_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

#define SSH_AGENT_DATA_MAX KIB(192) /* a request or an answer; what the runner carries */
#define SSH_AGENT_KEYS_MAX 64U	    /* ours: keys of one agent that are looked at */
#define SSH_AGENT_COMMENT 64U

/* A key of an answer; points into the answer. */
struct ssh_agent_key {
	const uint8_t *blob;
	size_t blob_len;
	const uint8_t *comment; /* foreign text */
	size_t comment_len;
};

/** ssh_agent_list_request() - append the request. Return as buf_put() */
int ssh_agent_list_request(struct buf *out);
/** ssh_agent_list_read() - Return: number of keys, at most @max; ST_EFORMAT */
int ssh_agent_list_read(struct ssh_agent_key *keys, size_t max, const uint8_t *p, size_t len);

/** ssh_agent_sign_request() - sign @data with the key @blob by the signature algorithm @alg ("rsa-sha2-512", …) */
int ssh_agent_sign_request(struct buf *out, const uint8_t *blob, size_t blob_len,
			   const uint8_t *data, size_t data_len, const uint8_t *alg,
			   size_t alg_len);
/**
 * ssh_agent_sign_read() - *@sig points into @p: what libssh2's sign callback hands back, which for sk- keys includes
 * flags and counter
 * Return: 0; ST_EAUTH if the agent refused; ST_EUNSUPPORTED if it signed by another algorithm than @alg; ST_EFORMAT
 */
int ssh_agent_sign_read(const uint8_t **sig, size_t *sig_len, const uint8_t *p, size_t len,
			const uint8_t *alg, size_t alg_len);

#endif
