// SPDX-License-Identifier: MIT
/*
 * replay.c - one end of ours in the place of a recorded stock peer
 *
 * Theory of operation: a frame of the record that was written to our peer is input; one that our
 * peer wrote makes the owner send the same payload (unless the channel writes such a message of its
 * own accord), and joins the list that ours is compared with. Between frames the clock runs through
 * every deadline of our end. Where ours holds the first data back after HandshakeComplete
 * (ssm-protocol, 4.4) and the stock client did not, the rest of the record is shifted by that time.
 *
 * A second open message means that the socket was cut after the frame before it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/err.h"
#include "base/text.h"
#include "base/util.h"
#include "proto/ssm_ack.h"
#include "proto/ssm_handshake.h"
#include "replay.h"

#define START_US UINT64_C(1000000)
#define SHIFT_MAX_US UINT64_C(5000) /* the hold after HandshakeComplete */

/* ---- the owner ---- */

static int on_data(void *arg, uint32_t payload_type, const uint8_t *p, size_t len)
{
	struct replay *r = arg;

	(void)payload_type;
	if (r->refuse)
		return ST_EAGAIN;
	assert_true(len <= sizeof(r->delivered.p) - r->delivered.n);
	memcpy(r->delivered.p + r->delivered.n, p, len);
	r->delivered.n += len;
	return 0;
}

static const struct ssm_chan_events events = { .data = on_data };

/* ---- the record ---- */

static enum cap_who our_place(const struct replay *r)
{
	return r->role == SSM_ROLE_CLIENT ? CAP_CLIENT : CAP_AGENT;
}

static bool is_ours(const struct replay *r, const struct cap_frame *f)
{
	return !f->control && (f->from == our_place(r) || f->to == our_place(r));
}

static bool is_terminate(const struct ssm_msg *m)
{
	return m->payload_type == SSM_PT_FLAG && be32_get(m->payload) == SSM_FLAG_TERMINATE;
}

static bool is_handshake(const struct ssm_msg *m)
{
	return m->payload_type >= SSM_PT_HANDSHAKE_REQUEST &&
	       m->payload_type <= SSM_PT_HANDSHAKE_COMPLETE;
}

/* What our end must announce to write what the stock peer wrote. */
static void settings_take(struct replay *r, const struct ssm_msg *m)
{
	json_t *root = json_loadb((const char *)m->payload, m->payload_len, 0, NULL);
	const json_t *params =
		json_object_get(json_array_get(json_object_get(root, "RequestedClientActions"), 0),
				"ActionParameters");
	const char *key = m->payload_type == SSM_PT_HANDSHAKE_REQUEST ? "AgentVersion"
								      : "ClientVersion";

	text_copy(r->version, sizeof(r->version), json_string_value(json_object_get(root, key)));
	if (params) {
		text_copy(r->type, sizeof(r->type),
			  json_string_value(json_object_get(params, "SessionType")));
		r->properties = json_dumps(json_object_get(params, "Properties"), JSON_COMPACT);
	}
	json_decref(root);
}

static void settings_find(struct replay *r)
{
	for (size_t i = 0; i < r->session->n && !r->version[0]; i++) {
		const struct cap_frame *f = &r->session->frames[i];
		struct ssm_msg m;

		if (f->from != our_place(r) || f->control || f->text)
			continue;
		replay_decoded(&m, f->p, f->len);
		if (m.payload_type == SSM_PT_HANDSHAKE_REQUEST ||
		    m.payload_type == SSM_PT_HANDSHAKE_RESPONSE)
			settings_take(r, &m);
	}
	assert_true(r->version[0] != '\0');
}

/* The k-th message with a number is compared with the k-th. */
static void lists_compare(struct replay *r, enum replay_kind kind)
{
	const struct replay_list *ours = &r->ours[kind], *theirs = &r->theirs[kind];
	size_t next[REPLAY_MESSAGES] = { 0 };

	assert_int_equal(ours->n, theirs->n);
	for (size_t i = 0; i < theirs->n; i++) {
		int64_t number = replay_number_of(&theirs->items[i]);
		size_t at = replay_list_find(ours, next[number], number);

		assert_true(at < ours->n);
		next[number] = at + 1;
		replay_item_compare(&ours->items[at], &theirs->items[i]);
		if (ours->items[at].at_us > theirs->items[i].at_us)
			r->late[kind]++;
	}
}

/* ---- our end ---- */

static void ours_add(struct replay *r, enum replay_kind kind, const uint8_t *p, size_t len)
{
	replay_list_add(&r->ours[kind], replay_copy(p, len), len, r->now_us);
}

static const struct replay_item *find_either(const struct replay_list *a,
					     const struct replay_list *b, int64_t number)
{
	size_t in_a = replay_list_find(a, 0, number), in_b = replay_list_find(b, 0, number);

	if (in_a < a->n)
		return &a->items[in_a];
	return in_b < b->n ? &b->items[in_b] : NULL;
}

static void ack_written(struct replay *r, const struct ssm_msg *m, const uint8_t *p, size_t len)
{
	const struct replay_item *old = find_either(&r->ours[REPLAY_ACK], &r->lost,
						    replay_acked_number(m));
	struct ssm_msg first;

	/* the stock client never acknowledges a number again; the stock agent does, as ours */
	if (!old || r->role == SSM_ROLE_AGENT) {
		ours_add(r, REPLAY_ACK, p, len);
		return;
	}
	replay_decoded(&first, old->p, old->len);
	assert_int_equal(m->payload_len, first.payload_len);
	assert_memory_equal(m->payload, first.payload, first.payload_len);
	r->reacks++;
}

static void stream_written(struct replay *r, const struct ssm_msg *m, const uint8_t *p, size_t len)
{
	struct replay_list *ours = &r->ours[REPLAY_STREAM];
	size_t old = replay_list_find(ours, 0, m->seq);

	if (old == ours->n) {
		assert_int_equal(m->seq, ours->n);
		ours_add(r, REPLAY_STREAM, p, len);
		return;
	}
	assert_int_equal(len, ours->items[old].len);
	assert_memory_equal(p, ours->items[old].p, len);
	r->resent++;
}

void replay_drain(struct replay *r)
{
	const uint8_t *p;
	struct ssm_msg m;
	size_t len;

	while (ssm_chan_next_output(r->chan, &p, &len, r->now_us)) {
		replay_decoded(&m, p, len);
		if (replay_is_stream(&m))
			stream_written(r, &m, p, len);
		else
			ack_written(r, &m, p, len);
	}
}

/* Acknowledgements of what ours had not yet written. */
static void early_acks_feed(struct replay *r)
{
	for (size_t i = 0; i < r->early_acks.n; i++) {
		struct replay_item *ack = &r->early_acks.items[i];

		if (!ack->p || replay_list_find(&r->ours[REPLAY_STREAM], 0,
						replay_number_of(ack)) == r->ours[REPLAY_STREAM].n)
			continue;
		assert_int_equal(ssm_chan_input(r->chan, ack->p, ack->len, r->now_us), 0);
		ack->p = NULL;
		replay_drain(r);
	}
}

static void tick(struct replay *r, uint64_t now_us)
{
	r->now_us = now_us;
	ssm_chan_expire(r->chan, now_us);
	replay_drain(r);
}

static void run_until(struct replay *r, uint64_t now_us)
{
	while (ssm_chan_deadline(r->chan) <= now_us)
		tick(r, MAX(ssm_chan_deadline(r->chan), r->now_us));
	r->now_us = now_us;
	replay_drain(r);
}

/* Ours may hold back what the stock peer wrote at once: the record waits. */
static void wait_for_ours(struct replay *r)
{
	while (r->ours[REPLAY_STREAM].n < r->theirs[REPLAY_STREAM].n) {
		uint64_t at_us = ssm_chan_deadline(r->chan);

		if (at_us - r->now_us > SHIFT_MAX_US - r->shift_us)
			return;
		r->shift_us += at_us - r->now_us;
		r->theirs[REPLAY_STREAM].items[r->theirs[REPLAY_STREAM].n - 1].at_us = at_us;
		tick(r, at_us);
	}
}

static void owner_sends(struct replay *r, const struct ssm_msg *m)
{
	if (is_handshake(m))
		return;
	if (is_terminate(m))
		ssm_chan_terminate(r->chan, r->now_us);
	else
		assert_int_equal(ssm_chan_send_typed(r->chan, m->payload_type, m->payload,
						     m->payload_len, r->now_us),
				 0);
	replay_drain(r);
}

/* ---- the frames ---- */

/* The stock peer in our place wrote @f. */
static void stock_wrote(struct replay *r, const struct cap_frame *f)
{
	struct replay_list *streams = &r->theirs[REPLAY_STREAM];
	struct ssm_msg m;
	size_t old;

	replay_decoded(&m, f->p, f->len);
	if (m.type == SSM_AGENT_SESSION_STATE) /* the owner's */
		return;
	if (!replay_is_stream(&m)) {
		assert_int_equal(m.type, SSM_ACKNOWLEDGE);
		replay_list_add(&r->theirs[REPLAY_ACK], f->p, f->len, r->now_us);
		return;
	}
	old = replay_list_find(streams, 0, m.seq);
	if (old < streams->n) {
		assert_int_equal(f->len, streams->items[old].len);
		assert_memory_equal(f->p, streams->items[old].p, f->len);
		r->stock_resent++;
		return;
	}
	owner_sends(r, &m);
	replay_list_add(streams, f->p, f->len, r->now_us);
	wait_for_ours(r);
}

static void expect_payload(struct replay *r, const struct ssm_msg *m)
{
	if (!replay_is_stream(m))
		return;
	if (m->seq < r->next_in) {
		r->refuse = false;
		return;
	}
	assert_int_equal(m->seq, r->next_in++);
	if (is_handshake(m) || (is_terminate(m) && r->role == SSM_ROLE_AGENT))
		return;
	memcpy(r->expected.p + r->expected.n, m->payload, m->payload_len);
	r->expected.n += m->payload_len;
}

static void state_note(struct replay *r, const struct ssm_msg *m)
{
	static const char *const names[] = { "handshake", "ready", "closed" };
	enum ssm_chan_state state = ssm_chan_state(r->chan);
	size_t at = strlen(r->trace);
	const char *reason;
	int err;

	if (state == r->state)
		return;
	r->state = state;
	snprintf(r->trace + at, sizeof(r->trace) - at, "%s%s at %s", at ? "; " : "", names[state],
		 replay_is_stream(m) ? ssm_payload_type_name(m->payload_type) : m->type_name);
	at = strlen(r->trace);
	err = ssm_chan_close_reason(r->chan, &reason);
	if (state == SSM_CHAN_CLOSED)
		snprintf(r->trace + at, sizeof(r->trace) - at, ": %s '%s'", st_errname(err),
			 reason);
}

static void feed(struct replay *r, const struct cap_frame *f)
{
	struct ssm_msg m;

	replay_decoded(&m, f->p, f->len);
	if (m.type == SSM_ACKNOWLEDGE &&
	    replay_list_find(&r->ours[REPLAY_STREAM], 0, replay_acked_number(&m)) ==
		    r->ours[REPLAY_STREAM].n) {
		replay_list_add(&r->early_acks, f->p, f->len, r->now_us);
		return;
	}
	expect_payload(r, &m);
	assert_int_equal(ssm_chan_input(r->chan, f->p, f->len, r->now_us), 0);
	state_note(r, &m);
	replay_drain(r);
}

static void opened(struct replay *r)
{
	r->opens++;
	ssm_chan_transport_up(r->chan, r->now_us);
	replay_drain(r);
}

/* What ours wrote and the record has not, got lost with the socket. */
static void cut(struct replay *r)
{
	for (unsigned k = 0; k < REPLAY_KIND_N; k++)
		while (r->ours[k].n > r->theirs[k].n)
			r->lost.items[r->lost.n++] = r->ours[k].items[--r->ours[k].n];
	r->cuts++;
	ssm_chan_transport_down(r->chan, r->now_us);
}

/* Is the next frame of our place, after @i, an open message again? */
static bool cut_follows(const struct replay *r, size_t i)
{
	while (++i < r->session->n) {
		const struct cap_frame *f = &r->session->frames[i];

		if (is_ours(r, f))
			return f->text;
	}
	return false;
}

static void step(struct replay *r, size_t i)
{
	const struct cap_frame *f = &r->session->frames[i];

	run_until(r, START_US + f->at_us + r->shift_us);
	if (!is_ours(r, f))
		return;
	if (f->text)
		opened(r);
	else if (f->to == our_place(r))
		feed(r, f);
	else
		stock_wrote(r, f);
	early_acks_feed(r);
	if (r->opens > 0 && cut_follows(r, i))
		cut(r);
}

void replay_run(struct replay *r, const struct cap_session *session, enum ssm_role role,
		bool slow_port)
{
	struct ssm_chan_opts opts = {
		.role = role, .now_us = START_US, .unix_ms = 1, .events = &events, .arg = r
	};

	*r = (struct replay){ .role = role, .session = session, .now_us = START_US };
	r->refuse = slow_port;
	settings_find(r);
	opts.client_version = opts.agent_version = r->version;
	opts.session_type = r->type;
	opts.properties_json = r->properties;
	assert_int_equal(ssm_chan_new(&r->chan, &opts), 0);
	for (size_t i = 0; i < session->n; i++)
		step(r, i);
	assert_int_equal(r->delivered.n, r->expected.n);
	assert_memory_equal(r->delivered.p, r->expected.p, r->expected.n);
	for (unsigned k = 0; k < REPLAY_KIND_N; k++)
		lists_compare(r, (enum replay_kind)k);
}

void replay_drop(struct replay *r)
{
	for (unsigned k = 0; k < REPLAY_KIND_N; k++)
		replay_list_drop(&r->ours[k]);
	replay_list_drop(&r->lost);
	free(r->properties);
	ssm_chan_free(r->chan);
}
