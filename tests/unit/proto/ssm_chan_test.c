// SPDX-License-Identifier: MIT
/*
 * ssm_chan_test.c - states, handshake, flags, pause, cuts
 *
 * Cases: options; a new channel is down; the handshake and its timing; request repeated and
 * answered once; refusal; malformed texts; time-outs; a session without handshake; data before its
 * time; garbage in every state; flags 1, 2, 3; channel_closed; terminate; pause and restart; a
 * cut; an idle channel.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "sim.h"

#define SECOND UINT64_C(1000000)
#define HANDSHAKE_MS 15000U

static struct sim *sim_ready(struct sim_opts opts)
{
	struct sim *s = sim_new(&opts);

	sim_run_ready(s);
	return s;
}

static int inject(struct sim *s, int to, enum ssm_type type, int64_t seq, uint32_t payload_type,
		  const char *text)
{
	struct ssm_msg m = {
		.type = type,
		.created_ms = SIM_UNIX_MS,
		.seq = seq,
		.id = { 1 },
		.payload_type = payload_type,
		.payload = (const uint8_t *)text,
		.payload_len = strlen(text),
	};

	return sim_inject(s, to, &m);
}

static bool drop_all(struct sim *s, int from, const struct ssm_msg *m)
{
	(void)s;
	(void)from;
	(void)m;
	return true;
}

static void options(void **state)
{
	static const struct ssm_chan_events none = { 0 };
	struct ssm_chan_opts good = {
		.role = SSM_ROLE_AGENT, .unix_ms = 1, .events = &none, .session_id = "s-1"
	};
	struct ssm_chan_opts bad;
	struct ssm_chan *c;

	(void)state;
	assert_int_equal(ssm_chan_new(&c, &good), 0);
	assert_int_equal(ssm_chan_state(c), SSM_CHAN_HANDSHAKE);
	ssm_chan_free(c);
	ssm_chan_free(NULL);
	bad = good;
	bad.events = NULL;
	assert_int_equal(ssm_chan_new(&c, &bad), ST_EINVAL);
	bad = good;
	bad.unix_ms = 0;
	assert_int_equal(ssm_chan_new(&c, &bad), ST_EINVAL);
	bad = good;
	bad.max_payload = SSM_PAYLOAD_MAX + 1;
	assert_int_equal(ssm_chan_new(&c, &bad), ST_EINVAL);
	bad = good;
	bad.window_max = SSM_WINDOW_MAX_OWN + 1;
	assert_int_equal(ssm_chan_new(&c, &bad), ST_EINVAL);
	bad = good;
	bad.properties_json = "{";
	assert_int_equal(ssm_chan_new(&c, &bad), ST_EINVAL);
	bad = good;
	bad.role = (enum ssm_role)7;
	assert_int_equal(ssm_chan_new(&c, &bad), ST_EINVAL);
}

static void a_new_channel_is_down(void **state)
{
	static const struct ssm_chan_events none = { 0 };
	struct ssm_chan_opts opts = { .role = SSM_ROLE_AGENT, .unix_ms = 1, .events = &none };
	const uint8_t *p;
	struct ssm_msg m;
	struct ssm_chan *c;
	size_t len;

	(void)state;
	assert_int_equal(ssm_chan_new(&c, &opts), 0);
	assert_false(ssm_chan_has_output(c, 1));
	assert_int_equal(ssm_chan_next_output(c, &p, &len, 1), 0);
	assert_true(ssm_chan_deadline(c) == SSM_TIME_NEVER);
	ssm_chan_transport_up(c, 2);
	assert_true(ssm_chan_has_output(c, 2));
	assert_int_equal(ssm_chan_next_output(c, &p, &len, 2), 1);
	assert_int_equal(ssm_msg_decode(&m, p, len), 0);
	assert_int_equal(m.type, SSM_OUTPUT_STREAM_DATA);
	assert_int_equal(m.payload_type, SSM_PT_HANDSHAKE_REQUEST);
	assert_int_equal(m.seq, 0);
	assert_int_equal(m.flags, SSM_FLAGS_SYN);
	assert_int_equal(ssm_chan_next_output(c, &p, &len, 2), 0);
	ssm_chan_free(c);
}

static void the_handshake(void **state)
{
	struct sim *s = sim_new(&(struct sim_opts){ .chan = { .agent_version = "3.3.1.0" } });
	struct sim_end *client = &s->end[SIM_CLIENT];

	(void)state;
	assert_int_equal(ssm_chan_room(client->chan), 0);
	assert_int_equal(ssm_chan_send(client->chan, (const uint8_t *)"x", 1, s->now_us), 0);
	assert_int_equal(ssm_chan_send_typed(client->chan, SSM_PT_SIZE, "{}", 2, s->now_us),
			 ST_EAGAIN);
	assert_string_equal(ssm_chan_agent_version(client->chan), "");
	client->to_send = 100;
	sim_run_ready(s);
	assert_string_equal(ssm_chan_agent_version(client->chan), "3.3.1.0");
	assert_string_equal(ssm_chan_agent_version(s->end[SIM_AGENT].chan), "1.2.707.0");
	assert_int_equal(client->ready_us, SIM_START_US + 15000); /* three one-way delays */
	assert_int_equal(client->msgs[SSM_PT_OUTPUT], 0);
	sim_run_done(s, SECOND);
	assert_int_equal(client->last_tx_us, client->ready_us + 5000);
	assert_int_equal(client->msgs[SSM_PT_HANDSHAKE_RESPONSE], 1);
	assert_int_equal(s->end[SIM_AGENT].msgs[SSM_PT_HANDSHAKE_REQUEST], 1);
	assert_int_equal(s->end[SIM_AGENT].msgs[SSM_PT_HANDSHAKE_COMPLETE], 1);
	sim_free(s);
}

static bool drop_first_two_responses(struct sim *s, int from, const struct ssm_msg *m)
{
	return from == SIM_CLIENT && m->payload_type == SSM_PT_HANDSHAKE_RESPONSE &&
	       s->end[SIM_CLIENT].msgs[SSM_PT_HANDSHAKE_RESPONSE] <= 2;
}

static bool drop_first_acks(struct sim *s, int from, const struct ssm_msg *m)
{
	return from == SIM_CLIENT && m->type == SSM_ACKNOWLEDGE && s->drops < 3;
}

static void lost_response_is_repeated(void **state)
{
	struct sim *s = sim_ready((struct sim_opts){ .drop = drop_first_two_responses });

	(void)state;
	assert_int_equal(s->end[SIM_CLIENT].msgs[SSM_PT_HANDSHAKE_RESPONSE], 3);
	assert_int_equal(s->end[SIM_AGENT].ready, 1);
	assert_int_equal(sim_stats(s, SIM_CLIENT).msgs_out, 1);
	sim_free(s);
}

static void repeated_request_is_answered_once(void **state)
{
	struct sim *s = sim_ready((struct sim_opts){ .drop = drop_first_acks });

	(void)state;
	sim_run_for(s, 5 * SECOND);
	assert_true(s->end[SIM_AGENT].msgs[SSM_PT_HANDSHAKE_REQUEST] > 1);
	assert_int_equal(sim_stats(s, SIM_CLIENT).msgs_out, 1);
	assert_int_equal(s->end[SIM_CLIENT].ready, 1);
	assert_true(sim_stats(s, SIM_CLIENT).duplicates_in > 0);
	assert_int_equal(sim_stats(s, SIM_AGENT).in_flight_bytes, 0);
	sim_free(s);
}

/* A client that answers @response to the agent's request. */
static struct sim *answered(const char *response)
{
	struct sim *s = sim_new(&(struct sim_opts){ .drop = drop_all });

	sim_run_for(s, 1000);
	assert_int_equal(
		inject(s, SIM_AGENT, SSM_INPUT_STREAM_DATA, 0, SSM_PT_HANDSHAKE_RESPONSE, response),
		0);
	return s;
}

static void refused_by_the_client(void **state)
{
	struct sim *s = answered(
		"{\"ClientVersion\":\"1.2.707.0\",\"ProcessedClientActions\":[{\"ActionType\":"
		"\"SessionType\",\"ActionStatus\":2,\"ActionResult\":null,\"Error\":\"no\"}]}");
	const char *reason;

	(void)state;
	assert_int_equal(s->end[SIM_AGENT].closed, 1);
	assert_int_equal(s->end[SIM_AGENT].close_err, ST_EPEER);
	assert_string_equal(s->end[SIM_AGENT].close_reason,
			    "SessionType failed on client with status 2 error: no");
	assert_int_equal(ssm_chan_close_reason(s->end[SIM_AGENT].chan, &reason), ST_EPEER);
	assert_string_equal(reason, s->end[SIM_AGENT].close_reason);
	assert_int_equal(inject(s, SIM_AGENT, SSM_INPUT_STREAM_DATA, 1, SSM_PT_OUTPUT, "x"),
			 ST_ECLOSED);
	assert_int_equal(s->end[SIM_AGENT].closed, 1);
	sim_free(s);
}

static void malformed_response(void **state)
{
	struct sim *s = answered("{");

	(void)state;
	assert_int_equal(s->end[SIM_AGENT].close_err, ST_EPEER);
	sim_free(s);
}

static void a_second_response_is_ignored(void **state)
{
	struct sim *s = answered("{\"ClientVersion\":\"1.2.707.0\",\"ProcessedClientActions\":[]}");

	(void)state;
	assert_int_equal(s->end[SIM_AGENT].ready, 1);
	assert_int_equal(
		inject(s, SIM_AGENT, SSM_INPUT_STREAM_DATA, 1, SSM_PT_HANDSHAKE_RESPONSE, "{"), 0);
	assert_int_equal(s->end[SIM_AGENT].ready, 1);
	assert_int_equal(s->end[SIM_AGENT].closed, 0);
	sim_free(s);
}

static struct sim *asked(const char *request)
{
	struct sim *s = sim_new(&(struct sim_opts){ .drop = drop_all });

	assert_int_equal(
		inject(s, SIM_CLIENT, SSM_OUTPUT_STREAM_DATA, 0, SSM_PT_HANDSHAKE_REQUEST, request),
		0);
	return s;
}

static void unknown_actions_are_answered(void **state)
{
	struct sim *s = asked("{\"AgentVersion\":\"3.3.0.0\",\"RequestedClientActions\":["
			      "{\"ActionType\":\"KMSEncryption\",\"ActionParameters\":{}}]}");
	const uint8_t *p;
	struct ssm_msg m;
	size_t len;

	(void)state;
	/* the acknowledgement leaves before the answer */
	assert_int_equal(ssm_chan_next_output(s->end[SIM_CLIENT].chan, &p, &len, s->now_us), 1);
	assert_int_equal(ssm_msg_decode(&m, p, len), 0);
	assert_int_equal(m.type, SSM_ACKNOWLEDGE);
	assert_int_equal(ssm_chan_next_output(s->end[SIM_CLIENT].chan, &p, &len, s->now_us), 1);
	assert_int_equal(ssm_msg_decode(&m, p, len), 0);
	assert_int_equal(m.payload_type, SSM_PT_HANDSHAKE_RESPONSE);
	assert_non_null(memmem(m.payload, m.payload_len, "\"ActionStatus\":3", 16));
	assert_int_equal(s->end[SIM_CLIENT].closed, 0);
	sim_free(s);
}

static void malformed_request(void **state)
{
	struct sim *s = asked("[]");

	(void)state;
	assert_int_equal(s->end[SIM_CLIENT].close_err, ST_EPEER);
	sim_free(s);
}

static void malformed_complete(void **state)
{
	struct sim *s = asked("{}");

	(void)state;
	inject(s, SIM_CLIENT, SSM_OUTPUT_STREAM_DATA, 1, SSM_PT_HANDSHAKE_COMPLETE, "no");
	assert_int_equal(s->end[SIM_CLIENT].close_err, ST_EPEER);
	sim_free(s);
}

static void customer_message(void **state)
{
	struct sim *s = asked("{}");

	(void)state;
	inject(s, SIM_CLIENT, SSM_OUTPUT_STREAM_DATA, 1, SSM_PT_HANDSHAKE_COMPLETE,
	       "{\"HandshakeTimeToComplete\":1,\"CustomerMessage\":\"mind the gap\"}");
	assert_int_equal(s->end[SIM_CLIENT].ready, 1);
	assert_string_equal(s->end[SIM_CLIENT].customer_message, "mind the gap");
	sim_free(s);
}

static void both_ends_time_out(void **state)
{
	struct sim *s = sim_new(&(struct sim_opts){ .drop = drop_all });

	(void)state;
	sim_run_for(s, UINT64_C(1000) * (HANDSHAKE_MS - 1));
	assert_int_equal(s->end[SIM_CLIENT].closed + s->end[SIM_AGENT].closed, 0);
	assert_int_equal(s->end[SIM_AGENT].msgs[SSM_PT_HANDSHAKE_REQUEST], 50); /* every 300 ms */
	sim_run_for(s, 1000);
	for (int i = 0; i < SIM_ENDS; i++) {
		assert_int_equal(s->end[i].closed, 1);
		assert_int_equal(s->end[i].close_err, ST_ETIMEOUT);
		assert_int_equal(ssm_chan_state(s->end[i].chan), SSM_CHAN_CLOSED);
		assert_true(ssm_chan_deadline(s->end[i].chan) == SSM_TIME_NEVER);
		assert_false(ssm_chan_has_output(s->end[i].chan, s->now_us));
	}
	sim_free(s);
}

static void the_timeout_is_an_option(void **state)
{
	struct sim *s = sim_new(&(struct sim_opts){
		.drop = drop_all, .chan = { .handshake_timeout_us = 3 * SECOND } });

	(void)state;
	sim_run_for(s, 3 * SECOND);
	assert_int_equal(s->end[SIM_CLIENT].close_err, ST_ETIMEOUT);
	sim_free(s);
}

static void a_session_without_handshake(void **state)
{
	struct sim *s = sim_new(&(struct sim_opts){ .drop = drop_all });
	char first[2] = { (char)sim_pattern(SIM_AGENT, 0), 0 };

	(void)state;
	assert_int_equal(inject(s, SIM_CLIENT, SSM_OUTPUT_STREAM_DATA, 0, SSM_PT_OUTPUT, first), 0);
	assert_int_equal(s->end[SIM_CLIENT].ready, 1);
	assert_int_equal(s->end[SIM_CLIENT].received, 1);
	sim_free(s);
}

static void data_before_its_time(void **state)
{
	struct sim *s = sim_new(&(struct sim_opts){ .drop = drop_all });

	(void)state;
	/* the agent acknowledges and throws away; the numbers go on */
	inject(s, SIM_AGENT, SSM_INPUT_STREAM_DATA, 0, SSM_PT_OUTPUT, "x");
	assert_true(ssm_chan_has_output(s->end[SIM_AGENT].chan, s->now_us));
	inject(s, SIM_AGENT, SSM_INPUT_STREAM_DATA, 1, SSM_PT_HANDSHAKE_RESPONSE, "{}");
	assert_int_equal(s->end[SIM_AGENT].ready, 1);
	assert_int_equal(s->end[SIM_AGENT].received, 0);
	/* the client, between request and complete */
	inject(s, SIM_CLIENT, SSM_OUTPUT_STREAM_DATA, 0, SSM_PT_HANDSHAKE_REQUEST, "{}");
	inject(s, SIM_CLIENT, SSM_OUTPUT_STREAM_DATA, 1, SSM_PT_OUTPUT, "x");
	assert_int_equal(s->end[SIM_CLIENT].received, 0);
	inject(s, SIM_CLIENT, SSM_OUTPUT_STREAM_DATA, 2, SSM_PT_HANDSHAKE_COMPLETE, "{}");
	assert_int_equal(s->end[SIM_CLIENT].ready, 1);
	sim_free(s);
}

static void garbage_is_survived(void **state)
{
	struct sim *s = sim_new(&(struct sim_opts){ 0 });
	uint8_t noise[512];

	(void)state;
	for (unsigned round = 0; round < 2; round++) {
		for (unsigned i = 0; i < 2000; i++) {
			size_t len = sim_random(s) % sizeof(noise);

			for (size_t k = 0; k < len; k++)
				noise[k] = (uint8_t)sim_random(s);
			assert_true(ssm_chan_input(s->end[i % 2].chan, noise, len, s->now_us) < 0);
		}
		sim_run_ready(s);
	}
	assert_int_equal(inject(s, SIM_CLIENT, SSM_ACKNOWLEDGE, 0, 0, "{"), ST_EFORMAT);
	assert_int_equal(inject(s, SIM_CLIENT, SSM_AGENT_SESSION_STATE, 0, 0, "{"), 0);
	/* a stream message of the wrong direction */
	assert_int_equal(inject(s, SIM_CLIENT, SSM_INPUT_STREAM_DATA, 2, SSM_PT_OUTPUT, "x"), 0);
	s->end[SIM_CLIENT].to_send = s->end[SIM_AGENT].to_send = 10000;
	sim_run_done(s, SECOND);
	assert_int_equal(sim_stats(s, SIM_CLIENT).dropped_in, 2000);
	sim_free(s);
}

static void flags_and_other_types_reach_the_owner(void **state)
{
	struct sim *s = sim_ready((struct sim_opts){ 0 });
	uint8_t flag[4] = { 0, 0, 0, SSM_FLAG_DISCONNECT };

	(void)state;
	assert_int_equal(
		ssm_chan_send_typed(s->end[SIM_CLIENT].chan, SSM_PT_FLAG, flag, 4, s->now_us), 0);
	sim_run_for(s, SECOND);
	assert_int_equal(s->end[SIM_AGENT].last_type, SSM_PT_FLAG);
	assert_memory_equal(s->end[SIM_AGENT].last, flag, 4);
	flag[3] = SSM_FLAG_CONNECT_ERROR;
	assert_int_equal(
		ssm_chan_send_typed(s->end[SIM_AGENT].chan, SSM_PT_FLAG, flag, 4, s->now_us), 0);
	sim_run_for(s, SECOND);
	assert_memory_equal(s->end[SIM_CLIENT].last, flag, 4);
	assert_int_equal(s->end[SIM_CLIENT].closed + s->end[SIM_AGENT].closed, 0);
	assert_int_equal(
		ssm_chan_send_typed(s->end[SIM_CLIENT].chan, SSM_PT_SIZE, "", 0, s->now_us),
		ST_EINVAL);
	/* flag 2 is for agents only, and a flag may be cut */
	flag[3] = SSM_FLAG_TERMINATE;
	ssm_chan_send_typed(s->end[SIM_AGENT].chan, SSM_PT_FLAG, flag, 4, s->now_us);
	ssm_chan_send_typed(s->end[SIM_CLIENT].chan, SSM_PT_FLAG, flag, 3, s->now_us);
	sim_run_for(s, SECOND);
	assert_int_equal(s->end[SIM_CLIENT].closed + s->end[SIM_AGENT].closed, 0);
	sim_free(s);
}

static void terminate_passes_everything(void **state)
{
	struct sim *s = sim_ready((struct sim_opts){ .chan = { .pace_per_s = 100 } });
	struct sim_end *client = &s->end[SIM_CLIENT];
	uint8_t bytes[2048] = { 0 };

	(void)state;
	/* the window, the pace, the first data message and a pause all hold data back */
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = sim_pattern(SIM_CLIENT, i);
	ssm_chan_send(client->chan, bytes, sizeof(bytes), s->now_us);
	inject(s, SIM_CLIENT, SSM_PAUSE_PUBLICATION, 0, 0, "pause_publication");
	ssm_chan_terminate(client->chan, s->now_us);
	ssm_chan_terminate(client->chan, s->now_us);
	assert_int_equal(ssm_chan_room(client->chan), 0);
	assert_int_equal(sim_stats(s, SIM_CLIENT).queued_bytes, 4);
	assert_int_equal(ssm_chan_send_typed(client->chan, SSM_PT_SIZE, "{}", 2, s->now_us),
			 ST_ECLOSED);
	assert_true(ssm_chan_has_output(client->chan, s->now_us));
	sim_run_for(s, SECOND);
	assert_int_equal(client->msgs[SSM_PT_FLAG], 1);
	assert_int_equal(client->msgs[SSM_PT_OUTPUT], 0);
	assert_int_equal(s->end[SIM_AGENT].closed, 1);
	assert_int_equal(s->end[SIM_AGENT].close_err, ST_ECLOSED);
	/* the closed agent still acknowledged it */
	assert_int_equal(sim_stats(s, SIM_CLIENT).in_flight_bytes, 0);
	assert_int_equal(client->closed, 0);
	ssm_chan_terminate(s->end[SIM_AGENT].chan, s->now_us);
	sim_free(s);
}

static void closed_by_the_service(void **state)
{
	struct sim *s = sim_ready((struct sim_opts){ 0 });

	(void)state;
	s->end[SIM_CLIENT].to_send = 100000;
	sim_run_for(s, 12000);
	inject(s, SIM_CLIENT, SSM_CHANNEL_CLOSED, 0, 0, "{\"Output\":\"idle\"}");
	assert_int_equal(s->end[SIM_CLIENT].closed, 1);
	assert_int_equal(s->end[SIM_CLIENT].close_err, ST_ECLOSED);
	assert_string_equal(s->end[SIM_CLIENT].close_reason, "idle");
	assert_int_equal(ssm_chan_room(s->end[SIM_CLIENT].chan), 0);
	assert_int_equal(ssm_chan_send(s->end[SIM_CLIENT].chan, (const uint8_t *)"x", 1, s->now_us),
			 0);
	inject(s, SIM_AGENT, SSM_CHANNEL_CLOSED, 0, 0, "not json");
	assert_int_equal(s->end[SIM_AGENT].close_err, ST_ECLOSED);
	assert_string_equal(s->end[SIM_AGENT].close_reason, "");
	sim_run_for(s, SECOND);
	assert_true(ssm_chan_deadline(s->end[SIM_CLIENT].chan) == SSM_TIME_NEVER);
	sim_free(s);
}

/* A client with data in mid-flow that was paused, and its last time of sending. */
static struct sim *paused(void)
{
	struct sim *s = sim_ready((struct sim_opts){ 0 });

	s->end[SIM_CLIENT].to_send = 1000000;
	sim_run_for(s, 30000);
	assert_true(s->end[SIM_AGENT].received > 0);
	/* everything on its way arrives first: any acknowledgement would undo the pause */
	ssm_chan_transport_down(s->end[SIM_CLIENT].chan, s->now_us);
	sim_run_for(s, 100000);
	ssm_chan_transport_up(s->end[SIM_CLIENT].chan, s->now_us);
	assert_true(s->end[SIM_AGENT].received < 1000000);
	inject(s, SIM_CLIENT, SSM_PAUSE_PUBLICATION, 0, 0, "pause_publication");
	return s;
}

static void pause_stops_data(void **state)
{
	struct sim *s = paused();
	uint64_t sent = s->end[SIM_CLIENT].msgs[SSM_PT_OUTPUT];

	(void)state;
	sim_run_for(s, 100 * SECOND);
	assert_int_equal(s->end[SIM_CLIENT].msgs[SSM_PT_OUTPUT], sent);
	assert_int_equal(sim_stats(s, SIM_CLIENT).pauses, 1);
	inject(s, SIM_CLIENT, SSM_START_PUBLICATION, 0, 0, "start_publication");
	sim_run_done(s, 10 * SECOND);
	sim_free(s);
}

static void pause_lets_acks_through_and_input_ends_it(void **state)
{
	struct sim *s = paused();

	(void)state;
	sim_run_for(s, SECOND);
	assert_true(s->end[SIM_AGENT].received < 1000000);
	s->end[SIM_AGENT].to_send = 1;
	sim_run_done(s, 10 * SECOND);
	sim_run_for(s, SECOND);
	assert_int_equal(sim_stats(s, SIM_AGENT).in_flight_bytes, 0);
	sim_free(s);
}

static void any_ack_ends_a_pause(void **state)
{
	struct sim *s = paused();

	(void)state;
	inject(s, SIM_CLIENT, SSM_ACKNOWLEDGE, 0, 0, "{\"AcknowledgedMessageSequenceNumber\":0}");
	sim_run_done(s, 10 * SECOND);
	sim_free(s);
}

static void a_cut_loses_nothing(void **state)
{
	struct sim *s = sim_ready((struct sim_opts){ 0 });
	uint64_t sent;

	(void)state;
	s->end[SIM_CLIENT].to_send = s->end[SIM_AGENT].to_send = 3000000;
	sim_run_for(s, 60000);
	sim_cut(s);
	sent = s->end[SIM_CLIENT].msgs[SSM_PT_OUTPUT];
	sim_run_for(s, 600 * SECOND); /* longer than the time after which a client gives up */
	assert_int_equal(s->end[SIM_CLIENT].msgs[SSM_PT_OUTPUT], sent);
	assert_true(ssm_chan_deadline(s->end[SIM_CLIENT].chan) == SSM_TIME_NEVER);
	assert_int_equal(sim_stats(s, SIM_CLIENT).queued_bytes, SSM_SEND_QUEUE_MAX);
	assert_int_equal(ssm_chan_room(s->end[SIM_CLIENT].chan), 0);
	sim_join(s);
	sim_run_done(s, 10 * SECOND);
	assert_true(s->end[SIM_CLIENT].writable > 0);
	assert_int_equal(s->end[SIM_CLIENT].ready, 1);
	sim_free(s);
}

static void an_idle_channel_has_no_deadline(void **state)
{
	struct sim *s = sim_ready((struct sim_opts){ .chan = { .pace_per_s = 900 } });

	(void)state;
	s->end[SIM_CLIENT].to_send = s->end[SIM_AGENT].to_send = 10000;
	sim_run_done(s, 10 * SECOND);
	sim_run_for(s, SECOND);
	for (int i = 0; i < SIM_ENDS; i++) {
		assert_true(ssm_chan_deadline(s->end[i].chan) == SSM_TIME_NEVER);
		assert_int_equal(sim_stats(s, i).resent, 0);
		assert_int_equal(sim_stats(s, i).duplicates_in, 0);
	}
	sim_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(options),
		cmocka_unit_test(a_new_channel_is_down),
		cmocka_unit_test(the_handshake),
		cmocka_unit_test(lost_response_is_repeated),
		cmocka_unit_test(repeated_request_is_answered_once),
		cmocka_unit_test(refused_by_the_client),
		cmocka_unit_test(malformed_response),
		cmocka_unit_test(a_second_response_is_ignored),
		cmocka_unit_test(unknown_actions_are_answered),
		cmocka_unit_test(malformed_request),
		cmocka_unit_test(malformed_complete),
		cmocka_unit_test(customer_message),
		cmocka_unit_test(both_ends_time_out),
		cmocka_unit_test(the_timeout_is_an_option),
		cmocka_unit_test(a_session_without_handshake),
		cmocka_unit_test(data_before_its_time),
		cmocka_unit_test(garbage_is_survived),
		cmocka_unit_test(flags_and_other_types_reach_the_owner),
		cmocka_unit_test(terminate_passes_everything),
		cmocka_unit_test(closed_by_the_service),
		cmocka_unit_test(pause_stops_data),
		cmocka_unit_test(pause_lets_acks_through_and_input_ends_it),
		cmocka_unit_test(any_ack_ends_a_pause),
		cmocka_unit_test(a_cut_loses_nothing),
		cmocka_unit_test(an_idle_channel_has_no_deadline),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
