// SPDX-License-Identifier: MIT
/*
 * ssm_chan.c - one end of a data channel: messages in, messages out, time
 *
 * Theory of operation: everything happens inside the owner's calls; the owner's time is kept in
 * c->now_us by every call that brings one, and never goes back. Stream messages go through
 * ssm_recv.c, which hands them over in order to ssm_session.c; what is to be sent is queued in
 * ssm_queue.c and leaves through ssm_send.c. Acknowledgements leave before everything else. All
 * messages pass the pace, but for the flag that ends the session.
 */
#include "proto/ssm_internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "base/text.h"

#define HANDSHAKE_TIMEOUT_US UINT64_C(15000000) /* as the stock agent; 5.2 */

void ssm_chan_now_set(struct ssm_chan *c, uint64_t now_us)
{
	c->now_us = MAX(c->now_us, now_us);
}

uint64_t ssm_chan_unix_ms(const struct ssm_chan *c)
{
	return c->unix_ms + (c->now_us - c->start_us) / 1000;
}

/* One call for random bytes costs as much as a whole message: they are fetched for 32 ids at a time. */
void ssm_chan_uuid(struct ssm_chan *c, uint8_t out[CODEC_UUID_LEN])
{
	if (c->uuid) {
		c->uuid(c->arg, out);
		return;
	}
	if (c->uuids_left == 0) {
		codec_random(c->uuids, sizeof(c->uuids));
		c->uuids_left = SSM_UUID_POOL;
	}
	memcpy(out, c->uuids[--c->uuids_left], CODEC_UUID_LEN);
	out[6] = (uint8_t)((out[6] & 0x0f) | 0x40);
	out[8] = (uint8_t)((out[8] & 0x3f) | 0x80);
}

static void pause_set(struct ssm_chan *c, bool paused)
{
	if (paused && !c->snd.paused) {
		c->stats.pauses++;
		ssm_pace_paused(&c->pace, c->now_us);
	}
	if (paused != c->snd.paused)
		log_debug("session %s: the service %s publication", text_safe(c->session_id).s,
			  paused ? "paused" : "restarted");
	c->snd.paused = paused;
}

static void writable_check(struct ssm_chan *c)
{
	struct ssm_snd *s = &c->snd;

	if (!s->want_writable || ssm_chan_room(c) < SSM_SEND_QUEUE_MAX / 2)
		return;
	s->want_writable = false;
	if (c->events->writable)
		c->events->writable(c->arg);
}

static int ack_arrived(struct ssm_chan *c, const struct ssm_msg *m)
{
	int64_t seq;
	int r = ssm_ack_read(&seq, m->payload, m->payload_len);

	if (r < 0)
		return r;
	pause_set(c, false);
	ssm_snd_ack(c, seq, m->created_ms);
	ssm_snd_collect(c);
	writable_check(c);
	return 0;
}

static void closed_arrived(struct ssm_chan *c, const struct ssm_msg *m)
{
	char output[SSM_REASON_MAX];

	ssm_closed_read(output, m->payload, m->payload_len);
	ssm_session_close(c, ST_ECLOSED, output);
}

int ssm_chan_input(struct ssm_chan *c, const uint8_t *msg, size_t len, uint64_t now_us)
{
	enum ssm_type stream = c->role == SSM_ROLE_CLIENT ? SSM_OUTPUT_STREAM_DATA
							  : SSM_INPUT_STREAM_DATA;
	struct ssm_msg m;
	int r;

	ssm_chan_now_set(c, now_us);
	if (c->state == SSM_CHAN_CLOSED)
		return ST_ECLOSED;
	if ((r = ssm_msg_decode(&m, msg, len)) < 0) {
		c->stats.dropped_in++;
		return r;
	}
	if (m.type == stream) {
		pause_set(c, false);
		ssm_rcv_stream(c, &m);
	} else if (m.type == SSM_ACKNOWLEDGE) {
		return ack_arrived(c, &m);
	} else if (m.type == SSM_CHANNEL_CLOSED) {
		closed_arrived(c, &m);
	} else if (m.type == SSM_PAUSE_PUBLICATION || m.type == SSM_START_PUBLICATION) {
		pause_set(c, m.type == SSM_PAUSE_PUBLICATION);
	}
	return 0;
}

/* ---- life ---- */

static int opts_check(const struct ssm_chan_opts *opts)
{
	if (!opts->events || (opts->role != SSM_ROLE_CLIENT && opts->role != SSM_ROLE_AGENT))
		return ST_EINVAL;
	if (opts->max_payload > SSM_PAYLOAD_MAX || opts->unix_ms == 0)
		return ST_EINVAL;
	if (opts->window_max > SSM_WINDOW_MAX_OWN)
		return ST_EINVAL;
	if (opts->kms_key_id && (opts->role != SSM_ROLE_AGENT || !opts->events->key_wanted))
		return ST_EINVAL;
	return 0;
}

int ssm_chan_new(struct ssm_chan **out, const struct ssm_chan_opts *opts)
{
	struct ssm_chan *c;
	int r = opts_check(opts);

	if (r < 0)
		return r;
	c = calloc(1, sizeof(*c));
	if (!c)
		return ST_ENOMEM;
	c->role = opts->role;
	c->events = opts->events;
	c->arg = opts->arg;
	c->now_us = c->start_us = opts->now_us;
	c->unix_ms = opts->unix_ms;
	c->max_payload = opts->max_payload ? opts->max_payload : SSM_CHUNK;
	c->handshake_timeout_us = opts->handshake_timeout_us ? opts->handshake_timeout_us
							     : HANDSHAKE_TIMEOUT_US;
	c->handshake_start_us = c->step_us = SSM_TIME_NEVER;
	c->uuid = opts->uuid;
	text_copy(c->session_id, sizeof(c->session_id), opts->session_id ? opts->session_id : "");
	text_copy(c->client_version, sizeof(c->client_version),
		  opts->client_version ? opts->client_version : SSM_CLIENT_VERSION);
	ssm_snd_init(c, opts->window_max ? opts->window_max : SSM_WINDOW_MAX_FOREIGN);
	ssm_pace_init(&c->pace, opts->pace_per_s, opts->now_us);
	if (c->role == SSM_ROLE_AGENT && (r = ssm_steps_start(c, opts)) < 0) {
		ssm_chan_free(c);
		return r;
	}
	*out = c;
	return 0;
}

void ssm_chan_free(struct ssm_chan *c)
{
	if (!c)
		return;
	ssm_snd_fini(c);
	ssm_rcv_fini(c);
	ssm_session_fini(c);
	free(c);
}

enum ssm_chan_state ssm_chan_state(const struct ssm_chan *c)
{
	return c->state;
}

int ssm_chan_close_reason(const struct ssm_chan *c, const char **reason)
{
	if (reason)
		*reason = c->close_reason;
	return c->close_err;
}

/* ---- sending ---- */

size_t ssm_chan_room(const struct ssm_chan *c)
{
	if (c->state != SSM_CHAN_READY || c->snd.urgent)
		return 0;
	return ssm_snd_room(c);
}

size_t ssm_chan_send(struct ssm_chan *c, const uint8_t *p, size_t len, uint64_t now_us)
{
	size_t taken;

	ssm_chan_now_set(c, now_us);
	taken = ssm_snd_append(c, p, MIN(len, ssm_chan_room(c)));
	if (taken < len)
		c->snd.want_writable = true;
	return taken;
}

int ssm_chan_send_typed(struct ssm_chan *c, uint32_t payload_type, const void *p, size_t len,
			uint64_t now_us)
{
	ssm_chan_now_set(c, now_us);
	if (c->state == SSM_CHAN_HANDSHAKE)
		return ST_EAGAIN;
	if (c->state == SSM_CHAN_CLOSED || c->snd.urgent)
		return ST_ECLOSED;
	if (len == 0 || len > SSM_PAYLOAD_MAX)
		return ST_EINVAL;
	if (len > ssm_snd_room(c))
		return ST_EFULL;
	return ssm_snd_queue(c, payload_type, p, len);
}

int ssm_chan_send_flag(struct ssm_chan *c, enum ssm_flag flag, uint64_t now_us)
{
	uint8_t payload[SSM_FLAG_LEN];

	be32_put(payload, flag);
	return ssm_chan_send_typed(c, SSM_PT_FLAG, payload, sizeof(payload), now_us);
}

bool ssm_chan_terminate(struct ssm_chan *c, uint64_t now_us)
{
	const bool too_old = c->peer_version[0] != '\0' && !c->features.terminate_flag;
	uint8_t payload[SSM_FLAG_LEN];

	ssm_chan_now_set(c, now_us);
	if (c->role != SSM_ROLE_CLIENT || c->state == SSM_CHAN_CLOSED)
		return false;
	if (c->snd.urgent)
		return true;
	ssm_snd_drop_queue(c);
	if (too_old)
		return false;
	be32_put(payload, SSM_FLAG_TERMINATE);
	c->snd.urgent = ssm_snd_queue(c, SSM_PT_FLAG, payload, sizeof(payload)) == 0;
	return c->snd.urgent;
}

bool ssm_chan_has_output(const struct ssm_chan *c, uint64_t now_us)
{
	bool urgent = c->snd.urgent && ssm_snd_waiting(c, now_us);

	if (!c->up)
		return false;
	if (urgent)
		return true;
	return ssm_pace_ready(&c->pace, now_us) && (c->rcv.ack_n > 0 || ssm_snd_waiting(c, now_us));
}

/* Acknowledgements leave first, but where the pace limits both every other message is data: two ends
 * that send at once would else settle anywhere, one of them near nothing. */
static size_t ack_output(struct ssm_chan *c)
{
	if (c->pace.rate && c->ack_was_last && ssm_snd_waiting(c, c->now_us))
		return 0;
	return ssm_rcv_ack_next(c);
}

int ssm_chan_next_output(struct ssm_chan *c, const uint8_t **msg, size_t *len, uint64_t now_us)
{
	const struct ssm_out *e;

	ssm_chan_now_set(c, now_us);
	if (c->up)
		writable_check(c);
	if (!ssm_chan_has_output(c, c->now_us)) {
		if (c->up && ssm_pace_ready(&c->pace, c->now_us))
			ssm_snd_blocked(c);
		return 0;
	}
	ssm_pace_take(&c->pace, c->now_us);
	*len = ack_output(c);
	c->ack_was_last = *len > 0;
	if (*len > 0) {
		*msg = c->ack_wire;
		return 1;
	}
	e = ssm_snd_next(c);
	if (!e)
		return 0;
	*msg = e->wire;
	*len = SSM_OVERHEAD + e->len;
	return 1;
}

void ssm_chan_transport_down(struct ssm_chan *c, uint64_t now_us)
{
	ssm_chan_now_set(c, now_us);
	c->up = false;
}

void ssm_chan_transport_up(struct ssm_chan *c, uint64_t now_us)
{
	ssm_chan_now_set(c, now_us);
	c->up = true;
	pause_set(c, false);
	ssm_snd_resend_all(c);
	ssm_session_up(c);
}

void ssm_chan_resume_input(struct ssm_chan *c, uint64_t now_us)
{
	ssm_chan_now_set(c, now_us);
	if (c->rcv.stalled)
		ssm_rcv_drain(c);
}

/* ---- time ---- */

/* Output that only waits for a token. */
static uint64_t pace_deadline(const struct ssm_chan *c)
{
	if (ssm_pace_ready(&c->pace, c->now_us))
		return SSM_TIME_NEVER;
	if (c->rcv.ack_n == 0 && !ssm_snd_waiting(c, c->now_us))
		return SSM_TIME_NEVER;
	return MAX(ssm_pace_next(&c->pace), c->now_us + 1);
}

uint64_t ssm_chan_deadline(const struct ssm_chan *c)
{
	uint64_t at_us = ssm_session_deadline(c);

	if (!c->up)
		return at_us;
	at_us = MIN(at_us, pace_deadline(c));
	return c->state == SSM_CHAN_CLOSED ? at_us : MIN(at_us, ssm_snd_deadline(c));
}

void ssm_chan_expire(struct ssm_chan *c, uint64_t now_us)
{
	ssm_chan_now_set(c, now_us);
	if (ssm_session_deadline(c) <= c->now_us) {
		ssm_session_time_out(c);
		return;
	}
	if (!c->up || c->state == SSM_CHAN_CLOSED)
		return;
	if (ssm_snd_given_up(c)) {
		ssm_session_close(c, ST_ETIMEOUT, "a message was not acknowledged for 5 minutes");
		return;
	}
	ssm_snd_collect(c);
}

void ssm_chan_stats(const struct ssm_chan *c, struct ssm_chan_stats *out)
{
	*out = c->stats;
	out->in_flight_bytes = c->snd.flight_bytes;
	out->window_bytes = c->snd.window.bytes;
	out->queued_bytes = c->snd.queued_bytes;
	out->reorder_bytes = c->rcv.bytes;
	out->rtt_us = (uint32_t)MIN(c->snd.window.srtt_us, UINT32_MAX);
	out->rttvar_us = (uint32_t)MIN(c->snd.window.rttvar_us, UINT32_MAX);
}

void ssm_chan_peer(const struct ssm_chan *c, struct ssm_peer *out)
{
	*out = (struct ssm_peer){
		.version = c->peer_version,
		.session_type = c->session_type,
		.properties_json = c->properties_json,
		.encrypted = c->crypt != NULL,
		.mux = c->properties.local_forwarding && c->features.mux,
		.mux_keepalive = c->features.mux_keepalive,
		.separate_output = c->role == SSM_ROLE_CLIENT ? c->properties.separate_output
							      : c->features.separate_output,
	};
}

const char *ssm_chan_agent_version(const struct ssm_chan *c)
{
	return c->peer_version;
}
