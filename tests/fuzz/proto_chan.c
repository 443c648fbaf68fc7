// SPDX-License-Identifier: MIT
/*
 * proto_chan.c - fuzz target: a script of everything that may happen to a channel
 *
 * The first byte chooses role, pace and chunk size; then each operation is a byte and its operands.
 * Framed messages get a right header and digest, so that the script reaches what is behind them;
 * acknowledgements and the handshake's texts are written for it too. What the channel writes must
 * decode, number its messages without a gap, and repeat them byte by byte; what it tells its owner
 * must be possible in its state.
 */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/util.h"
#include "proto/ssm_ack.h"
#include "proto/ssm_chan.h"
#include "proto/ssm_handshake.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define OUTPUT_MAX 100000U /* messages in a row; more would be an endless output */
#define REMEMBERED 512U	   /* outgoing numbers whose header is compared with its copies' */

struct script {
	const uint8_t *p;
	size_t left;
	struct ssm_chan *chan;
	enum ssm_role role;
	uint64_t now_us;
	uint64_t date_ms; /* of what is put in */
	bool refuse;
	unsigned ready, closed, keys;
	uint64_t delivered; /* calls of data() that took */
	int64_t next_seq;   /* of the channel's stream messages */
	uint8_t headers[REMEMBERED][SSM_OVERHEAD];
};

static uint8_t take(struct script *s)
{
	if (s->left == 0)
		return 0;
	s->left--;
	return *s->p++;
}

static const uint8_t *take_bytes(struct script *s, size_t *len)
{
	const uint8_t *p = s->p;

	*len = MIN(*len, s->left);
	s->p += *len;
	s->left -= *len;
	return p;
}

static void on_ready(void *arg, const char *customer_message)
{
	struct script *s = arg;

	ST_ASSERT(strlen(customer_message) < 1024 && ++s->ready == 1 && !s->closed);
}

static int on_data(void *arg, uint32_t payload_type, const uint8_t *p, size_t len)
{
	struct script *s = arg;

	(void)payload_type;
	ST_ASSERT(ssm_chan_state(s->chan) == SSM_CHAN_READY && s->ready && !s->closed && len > 0);
	if (p[0] == 0xee)
		return ST_ENOMEM;
	if (p[0] == 0xdd)
		ssm_chan_terminate(s->chan, s->now_us);
	if (p[0] == 0xcc)
		ssm_chan_resume_input(s->chan, s->now_us);
	ssm_chan_send(s->chan, p, len, s->now_us);
	if (s->refuse)
		return ST_EAGAIN;
	s->delivered += len;
	return 0;
}

static void on_key_wanted(void *arg, const struct ssm_key_wanted *w)
{
	struct script *s = arg;

	ST_ASSERT(w->key_id && !s->ready && !s->closed && ++s->keys == 1);
	ST_ASSERT((w->cipher_key == NULL) == (s->role == SSM_ROLE_CLIENT));
}

static void on_writable(void *arg)
{
	struct script *s = arg;

	ST_ASSERT(ssm_chan_room(s->chan) > 0);
}

static void on_closed(void *arg, int err, const char *reason)
{
	struct script *s = arg;

	ST_ASSERT(err < 0 && reason && ++s->closed == 1);
	ST_ASSERT(ssm_chan_room(s->chan) == 0 && ssm_chan_state(s->chan) == SSM_CHAN_CLOSED);
	ST_ASSERT(ssm_chan_close_reason(s->chan, NULL) == err);
}

static void on_uuid(void *arg, uint8_t out[CODEC_UUID_LEN])
{
	(void)arg;
	memset(out, 0x42, CODEC_UUID_LEN);
}

/* @m: type, seq, payload type and payload */
static void put(struct script *s, struct ssm_msg *m)
{
	size_t cap = ssm_msg_size(m, m->payload_len);
	uint8_t *wire = malloc(cap);
	ssize_t n;

	ST_ASSERT(wire);
	m->created_ms = MAX(s->date_ms, 1U);
	n = ssm_msg_encode(wire, cap, m);
	if (n > 0)
		ssm_chan_input(s->chan, wire, (size_t)n, s->now_us);
	free(wire);
}

static void framed(struct script *s, enum ssm_type type, int64_t seq)
{
	struct ssm_msg m = { .type = type, .seq = seq };

	m.payload_type = take(s);
	/* as the service writes: the old header */
	m.header_len = m.payload_type & 0x80 ? SSM_HEADER_LEN_OLD : SSM_HEADER_LEN;
	m.payload_type %= 14;
	m.payload_len = take(s);
	m.payload = take_bytes(s, &m.payload_len);
	put(s, &m);
}

static void ack(struct script *s, int64_t seq)
{
	static const uint8_t id[CODEC_UUID_LEN];
	char text[SSM_ACK_MAX];
	struct ssm_msg m = { .type = SSM_ACKNOWLEDGE, .payload = (const uint8_t *)text };

	m.payload_len = ssm_ack_write(text, SSM_INPUT_STREAM_DATA, id, seq);
	put(s, &m);
}

/* What makes a channel ready, by messages of the next numbers. */
static void handshake(struct script *s, enum ssm_type stream)
{
	static const struct {
		uint32_t payload_type;
		const char *text;
	} steps[][2] = {
		[SSM_ROLE_CLIENT] = { { SSM_PT_HANDSHAKE_REQUEST,
					"{\"AgentVersion\":\"3.3.0.0\",\"RequestedClientActions\":["
					"{\"ActionType\":\"SessionType\",\"ActionParameters\":"
					"{\"SessionType\":\"Port\",\"Properties\":{}}}]}" },
				      { SSM_PT_HANDSHAKE_COMPLETE, "{\"HandshakeTimeToComplete\":1,"
								   "\"CustomerMessage\":\"m\"}" } },
		[SSM_ROLE_AGENT] = { { SSM_PT_HANDSHAKE_RESPONSE,
				       "{\"ClientVersion\":\"1.2.707.0\","
				       "\"ProcessedClientActions\":[]}" } },
	};

	for (int64_t i = 0; i < 2 && steps[s->role][i].text; i++) {
		struct ssm_msg m = {
			.type = stream,
			.seq = i,
			.payload_type = steps[s->role][i].payload_type,
			.payload = (const uint8_t *)steps[s->role][i].text,
			.payload_len = strlen(steps[s->role][i].text),
		};

		put(s, &m);
	}
}

static void written_check(struct script *s, const struct ssm_msg *m, const uint8_t *p)
{
	uint8_t *header;

	if (m->type == SSM_ACKNOWLEDGE) {
		ST_ASSERT(m->seq == 0 && m->flags == SSM_FLAGS_ACK);
		return;
	}
	ST_ASSERT(m->type ==
		  (s->role == SSM_ROLE_CLIENT ? SSM_INPUT_STREAM_DATA : SSM_OUTPUT_STREAM_DATA));
	ST_ASSERT(m->seq >= 0 && m->seq <= s->next_seq);
	header = s->headers[MIN(m->seq, REMEMBERED - 1)];
	if (m->seq == s->next_seq) {
		s->next_seq++;
		memcpy(header, p, SSM_OVERHEAD);
	} else if (m->seq < (int64_t)REMEMBERED - 1) {
		ST_ASSERT(memcmp(header, p, SSM_OVERHEAD) == 0); /* with the payload's digest */
	}
}

static void drain(struct script *s, unsigned limit)
{
	const uint8_t *p;
	struct ssm_msg m;
	size_t len;
	unsigned n = 0;

	while (n < limit && ssm_chan_next_output(s->chan, &p, &len, s->now_us)) {
		ST_ASSERT(ssm_msg_decode(&m, p, len) == 0);
		written_check(s, &m, p);
		ST_ASSERT(++n < OUTPUT_MAX);
	}
	ST_ASSERT(n == limit || !ssm_chan_has_output(s->chan, s->now_us));
}

static void pass_time(struct script *s, uint64_t us)
{
	s->now_us += us;
	if (ssm_chan_deadline(s->chan) > s->now_us)
		return;
	ssm_chan_expire(s->chan, s->now_us);
	ST_ASSERT(ssm_chan_deadline(s->chan) > s->now_us);
}

static void stats_check(const struct script *s)
{
	struct ssm_chan_stats stats;

	ssm_chan_stats(s->chan, &stats);
	ST_ASSERT(stats.queued_bytes <= SSM_SEND_QUEUE_MAX + SSM_PAYLOAD_MAX);
	ST_ASSERT(stats.reorder_bytes <= SSM_REORDER_BYTES + SSM_MESSAGE_MAX);
	ST_ASSERT(stats.bytes_in >= s->delivered);
	ST_ASSERT((ssm_chan_state(s->chan) == SSM_CHAN_CLOSED) == (s->closed == 1));
	ST_ASSERT(stats.in_flight_bytes <= SSM_WINDOW_MAX_FOREIGN + SSM_PAYLOAD_MAX);
}

static void key_give(struct script *s)
{
	static const uint8_t key[SSM_DATA_KEY_LEN];
	static const uint8_t cipher_key[25 * 256];
	size_t len = (size_t)take(s) * 25; /* 0 and those above the limit are refused */

	ssm_chan_key(s->chan, key, s->role == SSM_ROLE_CLIENT ? cipher_key : NULL,
		     s->role == SSM_ROLE_CLIENT ? len : 0, s->now_us);
}

static void op_send(struct script *s)
{
	static uint8_t bytes[16 * 256];
	size_t len = (size_t)take(s) * 16;
	size_t taken = ssm_chan_send(s->chan, bytes, len, s->now_us);

	ST_ASSERT(taken <= len);
}

static void op(struct script *s)
{
	enum ssm_type stream = s->role == SSM_ROLE_CLIENT ? SSM_OUTPUT_STREAM_DATA
							  : SSM_INPUT_STREAM_DATA;
	size_t len;
	const uint8_t *p;

	switch (take(s) % 20) {
	case 0:
		len = take(s);
		len |= (size_t)(take(s) & 7) << 8;
		p = take_bytes(s, &len);
		ssm_chan_input(s->chan, p, len, s->now_us);
		break;
	case 1:
	case 2: framed(s, stream, (int8_t)take(s)); break;
	case 3: framed(s, (enum ssm_type)(take(s) % SSM_TYPE_OTHER), take(s)); break;
	case 4: op_send(s); break;
	case 5: pass_time(s, take(s) * UINT64_C(40000)); break;
	case 6: ssm_chan_transport_down(s->chan, s->now_us); break;
	case 7: ssm_chan_transport_up(s->chan, s->now_us); break;
	case 8: drain(s, take(s) ? OUTPUT_MAX : 1); break;
	case 9:
		s->refuse = !s->refuse;
		ssm_chan_resume_input(s->chan, s->now_us);
		break;
	case 10: ssm_chan_terminate(s->chan, s->now_us); break;
	case 11: ack(s, (int8_t)take(s)); break;
	case 12: ack(s, s->next_seq - 1 - take(s)); break;
	case 13: pass_time(s, take(s) * UINT64_C(4000000)); break;
	case 14: handshake(s, stream); break;
	case 15: key_give(s); break;
	case 17: s->date_ms += take(s); break;
	case 18:
		len = sizeof(s->date_ms);
		p = take_bytes(s, &len);
		memcpy(&s->date_ms, p, len);
		break;
	case 16: ssm_chan_key_failed(s->chan, "no", s->now_us); break;
	default:
		len = take(s);
		p = take_bytes(s, &len);
		ssm_chan_send_typed(s->chan, SSM_PT_FLAG, p, len, s->now_us);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct ssm_chan_events events = {
		.ready = on_ready,
		.key_wanted = on_key_wanted,
		.data = on_data,
		.writable = on_writable,
		.closed = on_closed,
	};
	struct script s = { .p = data, .left = size, .now_us = 1 };
	uint8_t kind = take(&s);
	struct ssm_chan_opts opts = {
		.role = kind & 1 ? SSM_ROLE_AGENT : SSM_ROLE_CLIENT,
		.now_us = s.now_us,
		.unix_ms = 1,
		.max_payload = kind & 2 ? 31 : 0,
		.pace_per_s = kind & 4 ? 10 : 0,
		.window_max = kind & 8 ? 2000 : 0,
		.kms_key_id = (kind & 17) == 17 ? "key" : NULL /* the agent asks */,
		.session_type = kind & 32 ? "Standard_Stream" : NULL,
		.uuid = on_uuid,
		.events = &events,
		.arg = &s,
	};

	s.role = opts.role;
	ST_ASSERT(ssm_chan_new(&s.chan, &opts) == 0);
	while (s.left > 0) {
		op(&s);
		stats_check(&s);
	}
	ssm_chan_free(s.chan);
	return 0;
}
