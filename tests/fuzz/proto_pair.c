// SPDX-License-Identifier: MIT
/*
 * proto_pair.c - fuzz target: two ends, and a script of what the wire between them does
 *
 * Messages are genuine; the script loses, repeats, reorders and holds them, cuts the sockets, pauses
 * an end, lets time pass and has owners refuse. Whatever it does, each end must get a prefix of what the
 * other sent, and all of it once the wire is good again, unless the channel ended meanwhile.
 *
 * The first byte chooses pace, chunk, window, encryption, kind of session and where the script begins; then each operation is a byte and its operands.
 */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/util.h"
#include "proto/ssm_chan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define WIRE_MSGS 256U	    /* on the way in one direction; more are lost */
#define SEND_MAX 12000U	    /* bytes of the pattern in each direction */
#define HEAL_ROUNDS 5000U   /* of both ends' deadlines */
#define ROUND_US 1000000U   /* a round waits so long at most */
#define HEAL_DELAY_US 1000U /* one way */

enum { CLIENT, AGENT, ENDS };

struct msg {
	uint8_t *p;
	size_t len;
};

struct end {
	struct ssm_chan *chan;
	struct pair *pair;
	struct msg wire[WIRE_MSGS]; /* toward this end */
	size_t wire_n;
	size_t sent, received; /* bytes of the pattern */
	bool up, refuse;
	bool key_wanted; /* and not yet given */
	unsigned ready, closed;
};

struct pair {
	struct end ends[ENDS];
	const uint8_t *p;
	size_t left;
	uint64_t now_us;
	bool key_later; /* KMS answers when the script says so */
};

static uint8_t take(struct pair *w)
{
	if (w->left == 0)
		return 0;
	w->left--;
	return *w->p++;
}

static uint8_t pattern(int from, size_t at)
{
	return (uint8_t)(at * 7 + at / 251 + (size_t)from * 101);
}

/* ---- the owners ---- */

static void on_ready(void *arg, const char *customer_message)
{
	struct end *e = arg;

	ST_ASSERT(customer_message && ++e->ready == 1);
}

static int on_data(void *arg, uint32_t payload_type, const uint8_t *p, size_t len)
{
	struct end *e = arg;
	int from = e == &e->pair->ends[CLIENT] ? AGENT : CLIENT;

	ST_ASSERT(e->ready && !e->closed && payload_type == SSM_PT_OUTPUT);
	if (e->refuse)
		return ST_EAGAIN;
	for (size_t i = 0; i < len; i++)
		ST_ASSERT(p[i] == pattern(from, e->received + i));
	e->received += len;
	ST_ASSERT(e->received <= e->pair->ends[from].sent);
	return 0;
}

static void key_give(struct end *e)
{
	static const uint8_t key[SSM_DATA_KEY_LEN] = { 1, 2, 3 };
	bool is_client = e == &e->pair->ends[CLIENT];

	if (!e->key_wanted)
		return;
	e->key_wanted = false;
	ssm_chan_key(e->chan, key, is_client ? (const uint8_t *)"cipher" : NULL,
		     is_client ? strlen("cipher") : 0, e->pair->now_us);
}

static void on_key_wanted(void *arg, const struct ssm_key_wanted *w)
{
	struct end *e = arg;

	ST_ASSERT(!e->ready && !e->closed && strcmp(w->key_id, "key") == 0 && w->challenge);
	ST_ASSERT((w->cipher_key == NULL) == (e == &e->pair->ends[CLIENT]));
	e->key_wanted = true;
	if (!e->pair->key_later)
		key_give(e);
}

static void on_closed(void *arg, int err, const char *reason)
{
	struct end *e = arg;

	ST_ASSERT(err < 0 && reason && ++e->closed == 1);
}

static void on_uuid(void *arg, uint8_t out[CODEC_UUID_LEN])
{
	(void)arg;
	memset(out, 0x42, CODEC_UUID_LEN);
}

static void send_some(struct pair *w, int from, size_t len)
{
	struct end *e = &w->ends[from];
	uint8_t bytes[4096];

	len = MIN(len, SEND_MAX - e->sent);
	for (size_t i = 0; i < len; i++)
		bytes[i] = pattern(from, e->sent + i);
	e->sent += ssm_chan_send(e->chan, bytes, len, w->now_us);
}

/* ---- the wire ---- */

static void wire_push(struct end *to, const uint8_t *p, size_t len)
{
	struct msg m = { .p = malloc(len), .len = len };

	ST_ASSERT(m.p);
	memcpy(m.p, p, len);
	if (to->wire_n == WIRE_MSGS)
		free(m.p);
	else
		to->wire[to->wire_n++] = m;
}

static struct msg wire_take(struct end *to, size_t at)
{
	struct msg m = to->wire[at];

	memmove(&to->wire[at], &to->wire[at + 1], (--to->wire_n - at) * sizeof(m));
	return m;
}

static void wire_clear(struct end *to)
{
	while (to->wire_n > 0)
		free(to->wire[--to->wire_n].p);
}

static void pump(struct pair *w, int from)
{
	struct end *e = &w->ends[from];
	const uint8_t *p;
	size_t len;

	while (ssm_chan_next_output(e->chan, &p, &len, w->now_us))
		wire_push(&w->ends[!from], p, len);
}

/* The message at @at of the wire arrives; kept there too if @again. */
static void arrive(struct pair *w, int to, size_t at, bool again)
{
	struct end *e = &w->ends[to];
	struct msg m;

	if (at >= e->wire_n || !e->up)
		return;
	m = wire_take(e, at);
	if (again)
		wire_push(e, m.p, m.len);
	ssm_chan_input(e->chan, m.p, m.len, w->now_us);
	free(m.p);
}

/* What is under way is lost in both directions: the service has one socket less. */
static void cut(struct pair *w, int which)
{
	struct end *e = &w->ends[which];

	if (e->up) {
		wire_clear(&w->ends[CLIENT]);
		wire_clear(&w->ends[AGENT]);
		ssm_chan_transport_down(e->chan, w->now_us);
	} else {
		ssm_chan_transport_up(e->chan, w->now_us);
	}
	e->up = !e->up;
}

static void publication(struct pair *w, int to, enum ssm_type type)
{
	struct ssm_msg m = {
		.type = type, .created_ms = 1, .payload = (const uint8_t *)"{}", .payload_len = 2
	};
	uint8_t wire[SSM_OVERHEAD + 2];

	ST_ASSERT(ssm_msg_encode(wire, sizeof(wire), &m) == sizeof(wire));
	ssm_chan_input(w->ends[to].chan, wire, sizeof(wire), w->now_us);
}

static void refuse(struct pair *w, int which, bool on)
{
	struct end *e = &w->ends[which];

	e->refuse = on;
	if (!on)
		ssm_chan_resume_input(e->chan, w->now_us);
}

static void pass_time(struct pair *w, uint64_t us)
{
	w->now_us += us;
	for (int i = 0; i < ENDS; i++)
		if (ssm_chan_deadline(w->ends[i].chan) <= w->now_us)
			ssm_chan_expire(w->ends[i].chan, w->now_us);
}

/* ---- the script ---- */

static void op(struct pair *w)
{
	uint8_t what = take(w);
	int which = what & 1;
	struct end *e = &w->ends[which];

	switch (what / 2 % 12) {
	case 0: send_some(w, which, (size_t)take(w) * 16); break;
	case 1: pump(w, which); break;
	case 2: arrive(w, which, 0, false); break;
	case 3: arrive(w, which, take(w), false); break;
	case 4: arrive(w, which, take(w), true); break;
	case 5:
		if (e->wire_n > 0)
			free(wire_take(e, take(w) % e->wire_n).p);
		break;
	case 6: cut(w, which); break;
	case 7: pass_time(w, take(w) * UINT64_C(5000)); break;
	case 8: refuse(w, which, !e->refuse); break;
	case 10: key_give(e); break;
	case 11:
		if (take(w) == 0xff)
			ssm_chan_terminate(e->chan, w->now_us);
		break;
	default:
		publication(w, which, take(w) & 1 ? SSM_PAUSE_PUBLICATION : SSM_START_PUBLICATION);
		break;
	}
}

static bool is_done(const struct pair *w)
{
	return w->ends[CLIENT].received == w->ends[AGENT].sent &&
	       w->ends[AGENT].received == w->ends[CLIENT].sent;
}

static bool is_over(const struct pair *w)
{
	return w->ends[CLIENT].closed || w->ends[AGENT].closed;
}

static bool is_ready(const struct pair *w)
{
	return w->ends[CLIENT].ready && w->ends[AGENT].ready;
}

/* Both write what they have, all of it arrives, and time goes on to what is due next. */
static void good_round(struct pair *w)
{
	uint64_t at_us;

	pump(w, CLIENT);
	pump(w, AGENT);
	pass_time(w, HEAL_DELAY_US);
	for (int i = 0; i < ENDS; i++)
		for (size_t k = w->ends[i].wire_n; k > 0; k--)
			arrive(w, i, 0, false);
	at_us = MIN(ssm_chan_deadline(w->ends[CLIENT].chan),
		    ssm_chan_deadline(w->ends[AGENT].chan));
	if (at_us != SSM_TIME_NEVER && at_us > w->now_us)
		pass_time(w, MIN(at_us - w->now_us, ROUND_US));
	for (int i = 0; i < ENDS; i++)
		key_give(&w->ends[i]);
	/* a client knows a session without handshake by its first byte */
	if (w->ends[AGENT].ready && !w->ends[CLIENT].ready && w->ends[AGENT].sent == 0)
		send_some(w, AGENT, 1);
}

/* From here on nothing gets lost: @is_reached must become true. */
static void heal(struct pair *w, bool (*is_reached)(const struct pair *w))
{
	for (int i = 0; i < ENDS; i++) {
		if (!w->ends[i].up)
			cut(w, i);
		refuse(w, i, false);
		publication(w, i, SSM_START_PUBLICATION);
	}
	for (unsigned n = 0; !is_reached(w) && !is_over(w); n++) {
		ST_ASSERT(n < HEAL_ROUNDS);
		good_round(w);
	}
}

static void end_open(struct pair *w, int which, uint8_t kind)
{
	static const struct ssm_chan_events events = {
		.ready = on_ready,
		.key_wanted = on_key_wanted,
		.data = on_data,
		.closed = on_closed,
	};
	struct end *e = &w->ends[which];
	struct ssm_chan_opts opts = {
		.role = which == CLIENT ? SSM_ROLE_CLIENT : SSM_ROLE_AGENT,
		.now_us = w->now_us,
		.unix_ms = 1,
		.max_payload = kind & 1 ? 61 : 0,
		.window_max = kind & 2 ? 3000 : 0,
		.pace_per_s = kind & 4 ? 400 : 0,
		.kms_key_id = kind & 16 && which == AGENT ? "key" : NULL,
		.session_type = kind & 64 ? "Standard_Stream" : "Port",
		.uuid = on_uuid,
		.events = &events,
		.arg = e,
	};

	e->pair = w;
	ST_ASSERT(ssm_chan_new(&e->chan, &opts) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pair *w = calloc(1, sizeof(*w));
	uint8_t kind;

	if (!w)
		abort();
	w->p = data;
	w->left = size;
	w->now_us = 1;
	kind = take(w);
	w->key_later = kind & 32;
	for (int i = 0; i < ENDS; i++)
		end_open(w, i, kind);
	if (!(kind & 8)) /* else the script has the handshake, too */
		heal(w, is_ready);
	while (w->left > 0)
		op(w);
	heal(w, is_done);
	for (int i = 0; i < ENDS; i++) {
		ssm_chan_free(w->ends[i].chan);
		wire_clear(&w->ends[i]);
	}
	free(w);
	return 0;
}
