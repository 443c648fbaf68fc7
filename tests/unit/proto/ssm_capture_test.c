// SPDX-License-Identifier: MIT
/*
 * ssm_capture_test.c - our ends against seven recorded sessions of the stock client and agent
 *
 * Cases: every recorded frame decodes and is written again byte by byte; the opening texts and session
 * states are the ones that we write; each session with our client in the stock client's place, and
 * with our agent in the stock agent's: the same states, the payloads in order, the same answers. Where
 * ours differs on purpose, the table below has the count:
 * - our client acknowledges old numbers again; the stock client does not (ssm-protocol, 4.3)
 * - an acknowledgement that ours wrote into a socket that was cut is not in the record
 * - a client's data waits for the first data's acknowledgement (4.3); nothing behind a message that the
 *   owner has not taken is acknowledged (9, trap 8)
 * - resends: ours backs off, where the stock agent repeats every 100 ms; what the stock client
 *   repeats although it was acknowledged, ours does not
 * - the stock client leaves without a word; ours sends TerminateSession (4.3, 11)
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/err.h"
#include "base/util.h"
#include "capture.h"
#include "proto/ssm_open.h"
#include "replay.h"

static struct capture capture;

static int setup(void **state)
{
	(void)state;
	capture_load(&capture);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	capture_drop(&capture);
	return 0;
}

struct place {
	const char *name;
	char session; /* its title's first character */
	enum ssm_role role;
	const char *trace;  /* states reached, and the frames that led there */
	unsigned acks;	    /* of ours, each with the stock peer's bytes */
	unsigned streams;   /* likewise */
	bool silent;	    /* the stock client left without a word */
	bool slow_port;	    /* the agent's port took 300 ms: the first data was repeated */
	unsigned late_acks; /* not given before the owner took the bytes; the stock agent does */
	unsigned late_data; /* waited for the first data's acknowledgement */
	unsigned cuts, lost, reacks, pauses, stock_resent, resent_min, resent_max;
};

#define CLIENT_READY "ready at handshake-complete"
#define AGENT_READY "ready at handshake-response"
#define TERMINATED AGENT_READY "; closed at flag: ST_ECLOSED 'terminated by the client'"

static const struct place places[] = {
	{ "an SSH session, our client", '1', SSM_ROLE_CLIENT, CLIENT_READY, .acks = 16,
	  .streams = 15, .silent = true },
	{ "an SSH session, our agent", '1', SSM_ROLE_AGENT, AGENT_READY, .acks = 15, .streams = 16,
	  .pauses = 1 },
	{ "two forwarded connections, our client", '2', SSM_ROLE_CLIENT, CLIENT_READY, .acks = 4,
	  .streams = 8 },
	{ "two forwarded connections, our agent", '2', SSM_ROLE_AGENT, TERMINATED, .acks = 8,
	  .streams = 4 },
	{ "a closed port forwarded, our client", '3', SSM_ROLE_CLIENT, CLIENT_READY, .acks = 4,
	  .streams = 5 },
	{ "a closed port forwarded, our agent", '3', SSM_ROLE_AGENT, TERMINATED, .acks = 5,
	  .streams = 4 },
	{ "SSH to a closed port, our client", '4', SSM_ROLE_CLIENT,
	  CLIENT_READY "; closed at channel_closed: ST_ECLOSED 'document process failed "
		       "unexpectedly: ipc messaging received timeout signal , check "
		       "[ssm-document-worker]/[ssm-session-worker] log for crash reason'",
	  .acks = 2, .streams = 1, .pauses = 1 },
	{ "SSH to a closed port, our agent", '4', SSM_ROLE_AGENT, AGENT_READY, .acks = 1,
	  .streams = 2 },
	{ "terminated by the API, our client", '6', SSM_ROLE_CLIENT,
	  CLIENT_READY "; closed at channel_closed: ST_ECLOSED ''", .acks = 14, .streams = 14,
	  .late_data = 2, .stock_resent = 1, .resent_min = 1, .resent_max = 3 },
	{ "terminated by the API, our agent", '6', SSM_ROLE_AGENT,
	  AGENT_READY "; closed at channel_closed: ST_ECLOSED ''", .acks = 14, .streams = 14,
	  .slow_port = true, .late_acks = 2 },
	/* the client's last message is never acknowledged: the record's client has gone */
	{ "the client's socket cut, our client", '7', SSM_ROLE_CLIENT, CLIENT_READY, .acks = 54,
	  .streams = 15, .silent = true, .cuts = 1, .lost = 1, .reacks = 30, .stock_resent = 1,
	  .resent_min = 1, .resent_max = 3 },
	{ "the client's socket cut, our agent", '7', SSM_ROLE_AGENT, AGENT_READY, .acks = 16,
	  .streams = 55, .pauses = 1, .stock_resent = 40, .resent_min = 3, .resent_max = 20 },
	{ "the agent's socket cut, our client", '8', SSM_ROLE_CLIENT, CLIENT_READY, .acks = 55,
	  .streams = 15, .silent = true },
	{ "the agent's socket cut, our agent", '8', SSM_ROLE_AGENT, AGENT_READY, .acks = 15,
	  .streams = 55, .cuts = 1 },
};

static const struct cap_session *session_of(char title)
{
	for (size_t i = 0; i < capture.n; i++)
		if (capture.sessions[i].title[0] == title)
			return &capture.sessions[i];
	fail();
	return NULL;
}

static void every_frame_decodes_and_is_written_again(void **state)
{
	unsigned binary = 0, text = 0;

	(void)state;
	assert_int_equal(capture.n, 8);
	for (size_t i = 0; i < capture.n; i++) {
		for (size_t k = 0; k < capture.sessions[i].n; k++) {
			const struct cap_frame *f = &capture.sessions[i].frames[k];
			uint8_t *again = malloc(f->len);
			struct ssm_msg m;

			if (f->text) {
				assert_int_equal(ssm_msg_decode(&m, f->p, f->len), ST_EFORMAT);
				text++;
			} else {
				assert_int_equal(ssm_msg_decode(&m, f->p, f->len), 0);
				assert_int_not_equal(m.type, SSM_TYPE_OTHER);
				assert_int_equal(ssm_msg_encode(again, f->len, &m), f->len);
				assert_memory_equal(again, f->p, f->len);
				binary++;
			}
			free(again);
		}
	}
	assert_int_equal(binary, 997);
	assert_int_equal(text, 17);
}

static void uuid_read(uint8_t out[CODEC_UUID_LEN], const char *text)
{
	char hex[2 * CODEC_UUID_LEN + 1];
	size_t n = 0;

	for (; *text && n < sizeof(hex) - 1; text++)
		if (*text != '-')
			hex[n++] = *text;
	assert_int_equal(codec_unhex(out, CODEC_UUID_LEN, hex, n), CODEC_UUID_LEN);
}

/* Our text with the ids of @f is @f. */
static void opening_check(const struct cap_frame *f, const json_t *o)
{
	bool is_agent = f->from == CAP_AGENT;
	struct ssm_open open = {
		.role = is_agent ? SSM_ROLE_AGENT : SSM_ROLE_CLIENT,
		.token = json_string_value(json_object_get(o, "TokenValue")),
		.client_id = json_string_value(
			json_object_get(o, is_agent ? "ClientInstanceId" : "ClientId")),
		.client_version = json_string_value(json_object_get(o, "ClientVersion")),
	};
	char *text;

	uuid_read(open.request_id, json_string_value(json_object_get(o, "RequestId")));
	assert_int_equal(ssm_open_write(&text, &open), 0);
	assert_int_equal(strlen(text), f->len);
	assert_memory_equal(text, f->p, f->len);
	free(text);
}

static bool session_state_check(const struct cap_frame *f)
{
	struct ssm_msg m;
	json_t *o;
	char *text;

	assert_int_equal(ssm_msg_decode(&m, f->p, f->len), 0);
	if (m.type != SSM_AGENT_SESSION_STATE)
		return false;
	o = json_loadb((const char *)m.payload, m.payload_len, 0, NULL);
	assert_int_equal(
		ssm_session_state_write(&text, json_string_value(json_object_get(o, "SessionId")),
					json_string_value(json_object_get(o, "SessionState"))),
		0);
	assert_int_equal(strlen(text), m.payload_len);
	assert_memory_equal(text, m.payload, m.payload_len);
	free(text);
	json_decref(o);
	return true;
}

static void texts_before_the_handshake(void **state)
{
	unsigned opens = 0, states = 0;

	(void)state;
	for (size_t i = 0; i < capture.n; i++) {
		for (size_t k = 0; k < capture.sessions[i].n; k++) {
			const struct cap_frame *f = &capture.sessions[i].frames[k];

			if (f->control)
				continue;
			if (f->text) {
				json_t *o = json_loadb((const char *)f->p, f->len, 0, NULL);

				opening_check(f, o);
				json_decref(o);
				opens++;
			} else {
				states += session_state_check(f);
			}
		}
	}
	assert_int_equal(opens, 16);
	assert_int_equal(states, 7);
}

/* What the stock client does not say when it leaves. */
static void goodbye_check(struct replay *r)
{
	size_t before = r->ours[REPLAY_STREAM].n;
	const struct replay_item *last;
	struct ssm_msg m;

	ssm_chan_terminate(r->chan, r->now_us);
	replay_drain(r);
	assert_int_equal(r->ours[REPLAY_STREAM].n, before + 1);
	last = &r->ours[REPLAY_STREAM].items[before];
	assert_int_equal(ssm_msg_decode(&m, last->p, last->len), 0);
	assert_int_equal(m.payload_type, SSM_PT_FLAG);
	assert_int_equal(m.payload_len, 4);
	assert_int_equal(be32_get(m.payload), SSM_FLAG_TERMINATE);
}

/* A paused agent keeps still, whatever is due. */
static void pause_check(struct replay *r)
{
	assert_int_equal(ssm_chan_send(r->chan, (const uint8_t *)"x", 1, r->now_us), 1);
	ssm_chan_expire(r->chan, r->now_us + 10000000);
	assert_false(ssm_chan_has_output(r->chan, r->now_us + 10000000));
}

static void differences_check(const struct replay *r, const struct place *place)
{
	struct ssm_chan_stats stats;

	ssm_chan_stats(r->chan, &stats);
	assert_int_equal(r->late[REPLAY_ACK], place->late_acks);
	assert_int_equal(r->late[REPLAY_STREAM], place->late_data);
	assert_int_equal(r->cuts, place->cuts);
	assert_int_equal(r->lost.n, place->lost);
	assert_int_equal(r->reacks, place->reacks);
	assert_int_equal(stats.pauses, place->pauses);
	assert_int_equal(r->stock_resent, place->stock_resent);
	assert_in_range(r->resent, place->resent_min, place->resent_max);
}

static void a_session(void **state)
{
	const struct place *place = *state;
	struct replay *r = calloc(1, sizeof(*r));

	replay_run(r, session_of(place->session), place->role, place->slow_port);
	assert_string_equal(r->trace, place->trace);
	assert_int_equal(r->ours[REPLAY_ACK].n, place->acks);
	assert_int_equal(r->ours[REPLAY_STREAM].n, place->streams);
	differences_check(r, place);
	if (place->silent)
		goodbye_check(r);
	if (place->role == SSM_ROLE_AGENT && place->pauses)
		pause_check(r);
	replay_drop(r);
	free(r);
}

int main(void)
{
	struct CMUnitTest tests[ARRAY_LEN(places) + 2] = {
		cmocka_unit_test(every_frame_decodes_and_is_written_again),
		cmocka_unit_test(texts_before_the_handshake),
	};

	for (size_t i = 0; i < ARRAY_LEN(places); i++)
		tests[i + 2] = (struct CMUnitTest){
			.name = places[i].name,
			.test_func = a_session,
			.initial_state = (void *)(uintptr_t)&places[i],
		};
	return cmocka_run_group_tests(tests, setup, teardown);
}
