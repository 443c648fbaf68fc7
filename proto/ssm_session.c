// SPDX-License-Identifier: MIT
/*
 * ssm_session.c - states of one end of a data channel
 *
 * Theory of operation: ssm_recv.c hands over stream messages in order; the state decides here
 * whether one is a step of the handshake (ssm_steps.c) or the owner's, to whom it goes decrypted.
 *
 * States (ssm-protocol, 5):
 *   handshake  client: a first message that is no HandshakeRequest means a session without handshake
 *              (a shell, or a very old agent): ready at once.
 *              agent: what is no step is acknowledged and thrown away, as by the stock agent (4.4);
 *              a session that needs no handshake is ready when the transport is up for the first time.
 *   ready      data both ways; late handshake messages are acknowledged and ignored
 *   closed     only acknowledgements still leave
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

void ssm_session_ready(struct ssm_chan *c, const char *customer_message)
{
	set_state(c, SSM_CHAN_READY, "handshake complete");
	if (c->role == SSM_ROLE_CLIENT)
		c->snd.hold_until_us = c->now_us + SSM_READY_DELAY_US;
	if (c->events->ready)
		c->events->ready(c->arg, customer_message);
}

static bool is_terminate(uint32_t payload_type, const uint8_t *p, size_t len)
{
	return payload_type == SSM_PT_FLAG && ssm_flag_read(p, len) == SSM_FLAG_TERMINATE;
}

/* Room for a decrypted payload of @len bytes. */
static bool plain_reserve(struct ssm_chan *c, size_t len)
{
	uint8_t *plain;

	if (len <= c->plain_cap)
		return true;
	plain = realloc(c->plain, len);
	if (!plain)
		return false;
	c->plain = plain;
	c->plain_cap = len;
	return true;
}

/* A type that the other end encrypts. One that is not authentic never will be: the session is over. */
static int encrypted_deliver(struct ssm_chan *c, uint32_t payload_type, const uint8_t *p,
			     size_t len)
{
	ssize_t n;

	if (!plain_reserve(c, len)) {
		ssm_session_close(c, ST_ENOMEM, "");
		return 0;
	}
	n = ssm_crypt_open(c->crypt, c->plain, p, len);
	if (n < 0) {
		ssm_session_close(c, ST_EPEER,
				  "a payload was not encrypted with the data key of the session");
		return 0;
	}
	return n == 0 ? 0 : c->events->data(c->arg, payload_type, c->plain, (size_t)n);
}

static int owner_deliver(struct ssm_chan *c, uint32_t payload_type, const uint8_t *p, size_t len)
{
	int r;

	if (ssm_pt_is_handshake(payload_type) || !c->events->data)
		return 0;
	if (c->crypt && ssm_pt_is_encrypted(payload_type, c->role == SSM_ROLE_AGENT))
		r = encrypted_deliver(c, payload_type, p, len);
	else
		r = c->events->data(c->arg, payload_type, p, len);
	if (r < 0 && r != ST_EAGAIN) {
		ssm_session_close(c, r, "");
		return 0;
	}
	return r;
}

int ssm_session_deliver(struct ssm_chan *c, uint32_t payload_type, const uint8_t *p, size_t len)
{
	if (c->role == SSM_ROLE_AGENT && is_terminate(payload_type, p, len)) {
		ssm_session_close(c, ST_ECLOSED, "terminated by the client");
		return 0;
	}
	if (c->state == SSM_CHAN_HANDSHAKE) {
		if (ssm_steps_input(c, payload_type, p, len))
			return 0;
		text_copy(c->session_type, sizeof(c->session_type), "Standard_Stream");
		ssm_session_ready(c, "");
	}
	return owner_deliver(c, payload_type, p, len);
}

void ssm_session_up(struct ssm_chan *c)
{
	if (c->handshake_start_us != SSM_TIME_NEVER)
		return;
	c->handshake_start_us = c->step_us = c->now_us;
	if (c->step == SSM_STEP_OVER && c->state == SSM_CHAN_HANDSHAKE)
		ssm_session_ready(c, "");
}

uint64_t ssm_session_deadline(const struct ssm_chan *c)
{
	if (c->state != SSM_CHAN_HANDSHAKE || c->step_us == SSM_TIME_NEVER)
		return SSM_TIME_NEVER;
	return c->step_us + c->handshake_timeout_us;
}

void ssm_session_time_out(struct ssm_chan *c)
{
	ssm_session_close(c, ST_ETIMEOUT, TIMEOUT_REASON);
}

void ssm_session_fini(struct ssm_chan *c)
{
	ssm_steps_fini(c);
	if (c->plain)
		codec_wipe(c->plain, c->plain_cap);
	free(c->plain);
}
