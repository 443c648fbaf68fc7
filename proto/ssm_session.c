// SPDX-License-Identifier: MIT
/*
 * ssm_session.c - states and handshake of one end of a data channel
 *
 * Theory of operation: ssm_recv.c hands over stream messages in order; role and state decide here
 * whether one is a step of the handshake or the owner's.
 *
 * States (ssm-protocol, 5):
 *   handshake  client: answers the HandshakeRequest once, waits for HandshakeComplete. A first
 *              message that is no HandshakeRequest means a session without handshake (a shell):
 *              ready at once.
 *              agent: its HandshakeRequest is number 0, and is repeated like any message; waits for
 *              the response. What else arrives is acknowledged and thrown away, as by the stock
 *              agent (4.4).
 *   ready      data both ways; late handshake messages are acknowledged and ignored
 *   closed     only acknowledgements still leave
 *
 * The agent is ready when HandshakeComplete is queued: its number is below that of all data.
 */
#include "proto/ssm_internal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "base/text.h"

/* the stock agent's words; 5.2 */
#define TIMEOUT_REASON                                                                             \
	"Handshake timed out. Please ensure that you have the latest version of the session "      \
	"manager plugin."

static const struct {
	const char *name;
	uint32_t next;
} states[] = {
	[SSM_CHAN_HANDSHAKE] = { "handshake", BIT(SSM_CHAN_READY) | BIT(SSM_CHAN_CLOSED) },
	[SSM_CHAN_READY] = { "ready", BIT(SSM_CHAN_CLOSED) },
	[SSM_CHAN_CLOSED] = { "closed", 0 },
};
static_assert(ARRAY_LEN(states) == SSM_CHAN_STATE_N, "states[] and enum ssm_chan_state differ");

static void set_state(struct ssm_chan *c, enum ssm_chan_state next, const char *why)
{
	if (!(states[c->state].next & BIT(next)))
		ST_BUG("ssm: %s -> %s: %s", states[c->state].name, states[next].name, why);
	log_debug("session %s: %s -> %s: %s", text_safe(c->session_id).s, states[c->state].name,
		  states[next].name, text_safe(why).s);
	c->state = next;
}

void ssm_session_close(struct ssm_chan *c, int err, const char *reason)
{
	if (c->state == SSM_CHAN_CLOSED)
		return;
	c->close_err = err;
	text_copy(c->close_reason, sizeof(c->close_reason), reason);
	set_state(c, SSM_CHAN_CLOSED, reason[0] ? reason : st_strerror(err));
	ssm_snd_fini(c);
	if (c->events->closed)
		c->events->closed(c->arg, err, c->close_reason);
}

static void become_ready(struct ssm_chan *c, const char *customer_message)
{
	set_state(c, SSM_CHAN_READY, "handshake complete");
	if (c->role == SSM_ROLE_CLIENT)
		c->snd.hold_until_us = c->now_us + SSM_READY_DELAY_US;
	if (c->events->ready)
		c->events->ready(c->arg, customer_message);
}

/* Queues a handshake text, which it takes. */
static int queue_text(struct ssm_chan *c, uint32_t payload_type, char *text)
{
	size_t len = strlen(text);
	int r = len <= SSM_PAYLOAD_MAX ? ssm_snd_queue(c, payload_type, text, len) : ST_EFULL;

	free(text);
	return r;
}

/* ---- client ---- */

static void request_arrived(struct ssm_chan *c, const uint8_t *p, size_t len)
{
	struct ssm_handshake_answer answer;
	int r;

	if (c->handshake_seen)
		return;
	c->handshake_seen = true;
	r = ssm_handshake_answer(&answer, p, len, c->client_version);
	if (r == 0) {
		text_copy(c->peer_version, sizeof(c->peer_version), answer.agent_version);
		text_copy(c->refused, sizeof(c->refused), answer.refused);
		r = queue_text(c, SSM_PT_HANDSHAKE_RESPONSE, answer.response);
	}
	if (r < 0)
		ssm_session_close(c, r == ST_EFORMAT ? ST_EPEER : r, "malformed HandshakeRequest");
	else if (c->refused[0])
		log_warn("session %s: the agent asks for %s, which is not supported",
			 text_safe(c->session_id).s, text_safe(c->refused).s);
}

static void complete_arrived(struct ssm_chan *c, const uint8_t *p, size_t len)
{
	char message[SSM_REASON_MAX];

	if (ssm_handshake_complete_read(message, p, len) < 0)
		ssm_session_close(c, ST_EPEER, "malformed HandshakeComplete");
	else
		become_ready(c, message);
}

static int client_handshake(struct ssm_chan *c, uint32_t payload_type, const uint8_t *p, size_t len)
{
	if (payload_type == SSM_PT_HANDSHAKE_REQUEST) {
		request_arrived(c, p, len);
	} else if (payload_type == SSM_PT_HANDSHAKE_COMPLETE) {
		complete_arrived(c, p, len);
	} else if (!c->handshake_seen && !ssm_pt_is_handshake(payload_type)) {
		become_ready(c, "");
		return ssm_session_deliver(c, payload_type, p, len);
	} else {
		c->stats.dropped_in++;
	}
	return 0;
}

/* ---- agent ---- */

static void response_arrived(struct ssm_chan *c, const uint8_t *p, size_t len)
{
	char reason[SSM_REASON_MAX];
	char *text = NULL;
	int r;

	r = ssm_handshake_response_read(c->peer_version, reason, p, len);
	if (r < 0) {
		ssm_session_close(c, ST_EPEER,
				  r == ST_EPEER ? reason : "malformed HandshakeResponse");
		return;
	}
	r = ssm_handshake_complete_write(&text, (c->now_us - c->handshake_start_us) * 1000, "");
	if (r == 0)
		r = queue_text(c, SSM_PT_HANDSHAKE_COMPLETE, text);
	if (r < 0)
		ssm_session_close(c, r, "");
	else
		become_ready(c, "");
}

static bool is_terminate(uint32_t payload_type, const uint8_t *p, size_t len)
{
	return payload_type == SSM_PT_FLAG && len >= 4 && be32_get(p) == SSM_FLAG_TERMINATE;
}

static int agent_handshake(struct ssm_chan *c, uint32_t payload_type, const uint8_t *p, size_t len)
{
	if (payload_type == SSM_PT_HANDSHAKE_RESPONSE)
		response_arrived(c, p, len);
	else
		c->stats.dropped_in++;
	return 0;
}

/* ---- both ---- */

int ssm_session_deliver(struct ssm_chan *c, uint32_t payload_type, const uint8_t *p, size_t len)
{
	int r;

	if (c->role == SSM_ROLE_AGENT && is_terminate(payload_type, p, len)) {
		ssm_session_close(c, ST_ECLOSED, "terminated by the client");
		return 0;
	}
	if (c->state == SSM_CHAN_HANDSHAKE)
		return c->role == SSM_ROLE_CLIENT ? client_handshake(c, payload_type, p, len)
						  : agent_handshake(c, payload_type, p, len);
	if (ssm_pt_is_handshake(payload_type) || !c->events->data)
		return 0;
	r = c->events->data(c->arg, payload_type, p, len);
	if (r < 0 && r != ST_EAGAIN) {
		ssm_session_close(c, r, "");
		return 0;
	}
	return r;
}

static const char *or_default(const char *s, const char *fallback)
{
	return s ? s : fallback;
}

int ssm_session_start(struct ssm_chan *c, const struct ssm_chan_opts *opts)
{
	char *text;
	int r = ssm_handshake_request_write(
		&text, or_default(opts->agent_version, SSM_AGENT_VERSION),
		or_default(opts->session_type, "Port"), opts->properties_json);

	return r < 0 ? r : queue_text(c, SSM_PT_HANDSHAKE_REQUEST, text);
}

uint64_t ssm_session_deadline(const struct ssm_chan *c)
{
	if (c->state != SSM_CHAN_HANDSHAKE || c->handshake_start_us == SSM_TIME_NEVER)
		return SSM_TIME_NEVER;
	return c->handshake_start_us + c->handshake_timeout_us;
}

void ssm_session_time_out(struct ssm_chan *c)
{
	ssm_session_close(c, ST_ETIMEOUT, TIMEOUT_REASON);
}
