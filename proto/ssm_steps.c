// SPDX-License-Identifier: MIT
/*
 * ssm_steps.c - the handshake of one end, step by step
 *
 * Theory of operation: messages come in order and once, from ssm_session.c, only while the channel is in state
 * handshake. The answer to each is queued like any message, so it is repeated until it is acknowledged and never made
 * twice: a second request or response is ignored (ssm-protocol, 5.3). A step that lasts longer than the time-out
 * ends the session; each one has that time anew (5.2).
 *
 *   client  first ─request─▶ answer ─complete─▶ over            first ─complete─▶ over
 *           first ─request with KMS─▶ key ─owner's key─▶ answer ─challenge─▶ answer ─complete─▶ over
 *   agent   first ─response─▶ over
 *           first ─response with cipher key─▶ key ─owner's key─▶ answer ─challenge─▶ over
 *
 * A client answers a request that wants encryption when its owner has the data key: until then the request is kept.
 * Where the agent asked for encryption no end gets ready without it. An agent is ready when HandshakeComplete is queued:
 * that has a lower number than all data.
 */
#include "proto/ssm_internal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "base/text.h"

#define SEALED_LEN (SSM_CHALLENGE_LEN + SSM_CRYPT_OVERHEAD)
#define CHALLENGE_RANDOM_LEN 16U /* bytes behind the challenge of the request; 5.3 */
#define REQUEST_MAX KIB(64) /* ours: bytes of a HandshakeRequest; the largest key id is 2 KiB */
/* The stock agent's message in an encrypted session, and the gist of what it tells very old clients; 5.4, 5.5 */
#define ENCRYPTED_MESSAGE "This session is encrypted using AWS KMS."
#define UPDATE_MESSAGE                                                                             \
	"Please update session-manager-plugin to version 1.2.312.0 or above: this one can't tell " \
	"error output and exit status apart."

static const struct {
	const char *name;
	uint32_t next;
} steps[] = {
	[SSM_STEP_FIRST] = { "first",
			     BIT(SSM_STEP_KEY) | BIT(SSM_STEP_ANSWER) | BIT(SSM_STEP_OVER) },
	[SSM_STEP_KEY] = { "key", BIT(SSM_STEP_ANSWER) },
	[SSM_STEP_ANSWER] = { "answer", BIT(SSM_STEP_OVER) },
	[SSM_STEP_OVER] = { "over", 0 },
};
static_assert(ARRAY_LEN(steps) == SSM_STEP_N, "steps[] and enum ssm_step differ");

static void step_set(struct ssm_chan *c, enum ssm_step next)
{
	if (!(steps[c->step].next & BIT(next)))
		ST_BUG("ssm: handshake %s -> %s", steps[c->step].name, steps[next].name);
	log_debug("session %s: handshake %s -> %s", text_safe(c->session_id).s, steps[c->step].name,
		  steps[next].name);
	c->step = next;
	if (c->step_us != SSM_TIME_NEVER)
		c->step_us = c->now_us;
}

/* Queues a handshake text, which it takes. */
static int text_queue(struct ssm_chan *c, uint32_t payload_type, char *text)
{
	size_t len = strlen(text);
	int r = len <= SSM_PAYLOAD_MAX ? ssm_snd_queue(c, payload_type, text, len) : ST_EFULL;

	free(text);
	return r;
}

/* A step failed with @r: @words are for a peer's fault, which running out of memory is not. */
static void step_failed(struct ssm_chan *c, int r, const char *words)
{
	ssm_session_close(c, r == ST_EFORMAT ? ST_EPEER : r, r == ST_ENOMEM ? "" : words);
}

/* ---- encryption ---- */

static int challenge_queue(struct ssm_chan *c, uint32_t payload_type, const uint8_t *proof)
{
	uint8_t nonce[SSM_NONCE_LEN], sealed[SEALED_LEN];
	char *text;
	int r;

	codec_random(nonce, sizeof(nonce));
	memcpy(sealed + SSM_NONCE_LEN, proof, SSM_CHALLENGE_LEN);
	ssm_crypt_seal(c->crypt, sealed, SSM_CHALLENGE_LEN, nonce);
	r = ssm_handshake_challenge_write(&text, sealed, sizeof(sealed));
	return r < 0 ? r : text_queue(c, payload_type, text);
}

/* The random bytes of a challenge. Return: 0; ST_EPEER if it is malformed or made with another key; ST_ENOMEM */
static int challenge_open(struct ssm_chan *c, uint8_t proof[SSM_CHALLENGE_LEN], const uint8_t *p,
			  size_t len)
{
	uint8_t *sealed;
	ssize_t n = ssm_handshake_challenge_read(&sealed, SEALED_LEN, p, len);
	int r = n == ST_ENOMEM ? ST_ENOMEM : ST_EPEER;

	if (n < 0)
		return r;
	if (n == SEALED_LEN &&
	    ssm_crypt_open(c->crypt, proof, sealed, (size_t)n) == (ssize_t)SSM_CHALLENGE_LEN)
		r = 0;
	free(sealed);
	return r;
}

static void key_ask(struct ssm_chan *c, const char *key_id, const uint8_t *cipher_key,
		    size_t cipher_len)
{
	const struct ssm_key_wanted wanted = { .key_id = key_id,
					       .challenge = c->challenge,
					       .cipher_key = cipher_key,
					       .cipher_len = cipher_len };

	step_set(c, SSM_STEP_KEY);
	c->events->key_wanted(c->arg, &wanted);
}

/* ---- client ---- */

static void request_answer(struct ssm_chan *c, const struct ssm_kms_answer *kms)
{
	char *text;
	int r = ssm_handshake_answer(&text, c->refused, c->request, c->request_len,
				     c->client_version, kms);

	if (r == 0)
		r = text_queue(c, SSM_PT_HANDSHAKE_RESPONSE, text);
	free(c->request);
	c->request = NULL;
	if (r < 0) {
		step_failed(c, r, "malformed HandshakeRequest");
		return;
	}
	if (c->refused[0])
		log_warn("session %s: the agent asks for %s, which was not done",
			 text_safe(c->session_id).s, text_safe(c->refused).s);
	step_set(c, SSM_STEP_ANSWER);
}

static void request_note(struct ssm_chan *c, struct ssm_request *r)
{
	text_copy(c->peer_version, sizeof(c->peer_version), r->agent_version);
	text_copy(c->session_type, sizeof(c->session_type), r->session_type);
	c->features = ssm_features_of_agent(r->agent_version);
	c->properties = ssm_properties_read(r->properties_json);
	c->properties_json = r->properties_json;
	c->kms_key_id = r->kms_key_id;
	c->challenge = r->challenge;
	r->properties_json = r->kms_key_id = r->challenge = NULL;
}

static int request_keep(struct ssm_chan *c, const uint8_t *p, size_t len)
{
	if (len > REQUEST_MAX)
		return ST_EFORMAT;
	c->request = malloc(len);
	if (!c->request)
		return ST_ENOMEM;
	memcpy(c->request, p, len);
	c->request_len = len;
	return 0;
}

static void request_arrived(struct ssm_chan *c, const uint8_t *p, size_t len)
{
	struct ssm_request request = { 0 };
	int r;

	if (c->step != SSM_STEP_FIRST)
		return;
	r = request_keep(c, p, len);
	if (r == 0)
		r = ssm_handshake_request_read(&request, p, len);
	if (r < 0) {
		step_failed(c, r, "malformed HandshakeRequest");
		return;
	}
	request_note(c, &request);
	if (c->kms_key_id && c->events->key_wanted)
		key_ask(c, c->kms_key_id, NULL, 0);
	else
		request_answer(c, NULL);
	ssm_request_fini(&request);
}

static void challenge_arrived(struct ssm_chan *c, const uint8_t *p, size_t len)
{
	uint8_t proof[SSM_CHALLENGE_LEN];
	int r;

	if (c->step != SSM_STEP_ANSWER || !c->crypt) {
		ssm_session_close(c, ST_EPEER, "the agent sent a challenge without a key");
		return;
	}
	if (c->challenged)
		return;
	r = challenge_open(c, proof, p, len);
	if (r == 0)
		r = challenge_queue(c, SSM_PT_ENC_CHALLENGE_RESPONSE, proof);
	codec_wipe(proof, sizeof(proof));
	c->challenged = r == 0;
	if (r < 0)
		step_failed(c, r, "the agent's challenge was made with another data key");
}

static void complete_arrived(struct ssm_chan *c, const uint8_t *p, size_t len)
{
	char message[SSM_REASON_MAX];

	if (c->kms_key_id && !c->crypt) { /* not here yet, or refused by this end */
		ssm_session_close(c, ST_EPEER,
				  "the agent went on without the encryption it asked for");
	} else if (ssm_handshake_complete_read(message, p, len) < 0) {
		ssm_session_close(c, ST_EPEER, "malformed HandshakeComplete");
	} else {
		step_set(c, SSM_STEP_OVER);
		ssm_session_ready(c, message);
	}
}

static bool client_input(struct ssm_chan *c, uint32_t payload_type, const uint8_t *p, size_t len)
{
	switch (payload_type) {
	case SSM_PT_HANDSHAKE_REQUEST: request_arrived(c, p, len); return true;
	case SSM_PT_ENC_CHALLENGE_REQUEST: challenge_arrived(c, p, len); return true;
	case SSM_PT_HANDSHAKE_COMPLETE: complete_arrived(c, p, len); return true;
	default: break;
	}
	if (c->step == SSM_STEP_FIRST && !ssm_pt_is_handshake(payload_type)) {
		step_set(c, SSM_STEP_OVER);
		return false;
	}
	c->stats.dropped_in++;
	return true;
}

/* ---- agent ---- */

static const char *customer_message(const struct ssm_chan *c)
{
	if (c->crypt)
		return ENCRYPTED_MESSAGE;
	return c->properties.separate_output && !c->features.separate_output ? UPDATE_MESSAGE : "";
}

static void complete_send(struct ssm_chan *c)
{
	char *text = NULL;
	int r = ssm_handshake_complete_write(&text, (c->now_us - c->handshake_start_us) * 1000,
					     customer_message(c));

	if (r == 0)
		r = text_queue(c, SSM_PT_HANDSHAKE_COMPLETE, text);
	if (r < 0) {
		ssm_session_close(c, r, "");
		return;
	}
	step_set(c, SSM_STEP_OVER);
	ssm_session_ready(c, "");
}

static void response_go_on(struct ssm_chan *c, const struct ssm_response *response)
{
	if (!c->kms_key_id) {
		complete_send(c);
		return;
	}
	if (!response->cipher_key) {
		ssm_session_close(c, ST_EPEER, "the client did not set up encryption");
		return;
	}
	if (!response->challenge) { /* the context that the client used had none */
		free(c->challenge);
		c->challenge = NULL;
	}
	key_ask(c, c->kms_key_id, response->cipher_key, response->cipher_len);
}

static void response_arrived(struct ssm_chan *c, const uint8_t *p, size_t len)
{
	struct ssm_response response;
	int r;

	if (c->step != SSM_STEP_FIRST)
		return;
	r = ssm_handshake_response_read(&response, p, len);
	text_copy(c->peer_version, sizeof(c->peer_version), response.client_version);
	c->features = ssm_features_of_client(response.client_version);
	if (r < 0)
		step_failed(c, r, r == ST_EPEER ? response.reason : "malformed HandshakeResponse");
	else
		response_go_on(c, &response);
	free(response.cipher_key);
}

static void proof_arrived(struct ssm_chan *c, const uint8_t *p, size_t len)
{
	uint8_t proof[SSM_CHALLENGE_LEN];
	int r;

	if (c->step != SSM_STEP_ANSWER)
		return;
	r = challenge_open(c, proof, p, len);
	if (r == 0 && !codec_equal(proof, c->proof, sizeof(proof)))
		r = ST_EPEER;
	codec_wipe(proof, sizeof(proof));
	codec_wipe(c->proof, sizeof(c->proof));
	if (r < 0)
		step_failed(c, r, "the client's answer to the challenge is wrong");
	else
		complete_send(c);
}

static void agent_input(struct ssm_chan *c, uint32_t payload_type, const uint8_t *p, size_t len)
{
	if (payload_type == SSM_PT_HANDSHAKE_RESPONSE)
		response_arrived(c, p, len);
	else if (payload_type == SSM_PT_ENC_CHALLENGE_RESPONSE)
		proof_arrived(c, p, len);
	else
		c->stats.dropped_in++; /* acknowledged and thrown away, as by the stock agent; 4.4 */
}

static const char *or_default(const char *s, const char *fallback)
{
	return s ? s : fallback;
}

/* ssm-protocol, 5.1 */
static bool has_handshake(const struct ssm_chan *c)
{
	return c->kms_key_id || strcmp(c->session_type, "Port") == 0 ||
	       strcmp(c->session_type, "NonInteractiveCommands") == 0;
}

/* The texts of the options that outlive ssm_chan_new(). */
static int opts_keep(struct ssm_chan *c, const struct ssm_chan_opts *o)
{
	uint8_t random[CHALLENGE_RANDOM_LEN];

	text_copy(c->session_type, sizeof(c->session_type), or_default(o->session_type, "Port"));
	c->properties = ssm_properties_read(o->properties_json);
	if (o->properties_json && !(c->properties_json = strdup(o->properties_json)))
		return ST_ENOMEM;
	if (!o->kms_key_id)
		return 0;
	codec_random(random, sizeof(random));
	c->kms_key_id = strdup(o->kms_key_id);
	c->challenge = malloc(CODEC_B64_LEN(sizeof(random)));
	if (!c->kms_key_id || !c->challenge)
		return ST_ENOMEM;
	codec_b64_encode(c->challenge, random, sizeof(random));
	return 0;
}

int ssm_steps_start(struct ssm_chan *c, const struct ssm_chan_opts *opts)
{
	char *text;
	int r = opts_keep(c, opts);
	const struct ssm_request_opts request = {
		.agent_version = or_default(opts->agent_version, SSM_AGENT_VERSION),
		.session_type = c->session_type,
		.properties_json = c->properties_json,
		.kms_key_id = c->kms_key_id,
		.challenge = c->challenge,
	};

	if (r < 0)
		return r;
	if (!has_handshake(c)) {
		step_set(c, SSM_STEP_OVER);
		return 0;
	}
	r = ssm_handshake_request_write(&text, &request);
	return r < 0 ? r : text_queue(c, SSM_PT_HANDSHAKE_REQUEST, text);
}

/* ---- both ---- */

void ssm_steps_fini(struct ssm_chan *c)
{
	free(c->properties_json);
	free(c->kms_key_id);
	free(c->challenge);
	free(c->request);
	ssm_crypt_free(c->crypt);
	codec_wipe(c->proof, sizeof(c->proof));
}

bool ssm_steps_input(struct ssm_chan *c, uint32_t payload_type, const uint8_t *p, size_t len)
{
	if (c->role == SSM_ROLE_CLIENT)
		return client_input(c, payload_type, p, len);
	agent_input(c, payload_type, p, len);
	return true;
}

static int key_use(struct ssm_chan *c, const uint8_t *cipher_key, size_t cipher_len)
{
	const struct ssm_kms_answer kms = { .status = SSM_ACTION_SUCCESS,
					    .cipher_key = cipher_key,
					    .cipher_len = cipher_len,
					    .challenge = c->challenge != NULL };
	int r;

	if (c->role == SSM_ROLE_CLIENT) {
		request_answer(c, &kms);
		return 0;
	}
	codec_random(c->proof, sizeof(c->proof));
	r = challenge_queue(c, SSM_PT_ENC_CHALLENGE_REQUEST, c->proof);
	if (r == 0)
		step_set(c, SSM_STEP_ANSWER);
	return r;
}

int ssm_chan_key(struct ssm_chan *c, const uint8_t key[SSM_DATA_KEY_LEN], const uint8_t *cipher_key,
		 size_t cipher_len, uint64_t now_us)
{
	const bool is_client = c->role == SSM_ROLE_CLIENT;
	int r;

	ssm_chan_now_set(c, now_us);
	if (c->state != SSM_CHAN_HANDSHAKE || c->step != SSM_STEP_KEY || c->crypt)
		return ST_EINVAL;
	if (is_client && (cipher_len == 0 || cipher_len > SSM_CIPHER_KEY_MAX))
		return ST_EINVAL;
	r = ssm_crypt_new(&c->crypt, is_client, key);
	if (r == 0)
		r = key_use(c, cipher_key, cipher_len);
	if (r < 0) { /* the owner may try again */
		ssm_crypt_free(c->crypt);
		c->crypt = NULL;
	}
	return r;
}

void ssm_chan_key_failed(struct ssm_chan *c, const char *why, uint64_t now_us)
{
	const struct text_safe safe = text_safe(why);
	const struct ssm_kms_answer kms = { .status = SSM_ACTION_FAILED, .error = safe.s };

	ssm_chan_now_set(c, now_us);
	if (c->state != SSM_CHAN_HANDSHAKE || c->step != SSM_STEP_KEY)
		return;
	if (c->role == SSM_ROLE_CLIENT)
		request_answer(c, &kms);
	else
		ssm_session_close(c, ST_EAUTH, why);
}
