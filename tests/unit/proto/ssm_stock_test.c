// SPDX-License-Identifier: MIT
/*
 * ssm_stock_test.c - our ends against recorded messages of the stock client and agent
 *
 * Cases: our client is fed what a stock agent wrote, our agent what a stock client wrote, for two
 * recorded sessions (tests/data/stock_sessions.txt). Both get ready, deliver the payloads in
 * order, and acknowledge each message with the very text that the stock peer wrote for it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/util.h"
#include "proto/ssm_ack.h"
#include "proto/ssm_chan.h"
#include "proto/ssm_handshake.h"

#define SESSIONS "tests/data/stock_sessions.txt"
#define LINE_MAX_BYTES 65536U
#define MESSAGES_MAX 64U

struct message {
	uint8_t bytes[8192];
	size_t len;
};

/* One side's messages of one session. */
struct side {
	struct message msgs[MESSAGES_MAX];
	size_t n;
};

static void side_load(struct side *side, int session, const char *who)
{
	char *line = malloc(LINE_MAX_BYTES);
	FILE *f = fopen(SESSIONS, "r");

	assert_non_null(f);
	memset(side, 0, sizeof(*side));
	while (fgets(line, LINE_MAX_BYTES, f)) {
		char *number = strtok(line, " \n");
		const char *writer = strtok(NULL, " \n");
		const char *hex = strtok(NULL, " \n");
		struct message *m = &side->msgs[side->n];
		ssize_t len;

		if (number[0] == '#' || atoi(number) != session || strcmp(writer, who) != 0)
			continue;
		assert_true(side->n < MESSAGES_MAX);
		len = codec_unhex(m->bytes, sizeof(m->bytes), hex, strlen(hex));
		assert_true(len > 0);
		m->len = (size_t)len;
		side->n++;
	}
	assert_true(side->n > 5);
	fclose(f);
	free(line);
}

struct fix {
	struct ssm_chan *chan;
	enum ssm_role role;
	uint64_t now_us;
	unsigned ready, closed, acks;
	size_t got_len, expected_len;
	uint8_t got[65536], expected[65536];
	struct side theirs; /* who our end talks to */
	struct side ours;   /* the stock program in whose place our end stands */
};

static void on_ready(void *arg, const char *customer_message)
{
	struct fix *f = arg;

	assert_string_equal(customer_message, "");
	f->ready++;
}

static int on_data(void *arg, uint32_t payload_type, const uint8_t *p, size_t len)
{
	struct fix *f = arg;

	(void)payload_type;
	assert_true(len <= sizeof(f->got) - f->got_len);
	memcpy(f->got + f->got_len, p, len);
	f->got_len += len;
	return 0;
}

static void on_closed(void *arg, int err, const char *reason)
{
	struct fix *f = arg;

	(void)reason;
	assert_int_equal(err, ST_ECLOSED);
	f->closed++;
}

static const struct ssm_chan_events events = { .ready = on_ready,
					       .data = on_data,
					       .closed = on_closed };

/* What the stock program in our place wrote to acknowledge number @seq. */
static void ack_compare(const struct fix *f, const struct ssm_msg *ack, int64_t seq)
{
	for (size_t i = 0; i < f->ours.n; i++) {
		struct ssm_msg m;
		int64_t number;

		assert_int_equal(ssm_msg_decode(&m, f->ours.msgs[i].bytes, f->ours.msgs[i].len), 0);
		if (m.type != SSM_ACKNOWLEDGE)
			continue;
		assert_int_equal(ssm_ack_read(&number, m.payload, m.payload_len), 0);
		if (number != seq)
			continue;
		assert_int_equal(ack->payload_len, m.payload_len);
		assert_memory_equal(ack->payload, m.payload, m.payload_len);
		assert_int_equal(ack->flags, m.flags);
		assert_int_equal(ack->seq, m.seq);
		assert_int_equal(ack->payload_type, m.payload_type);
		assert_int_equal(ack->header_len, m.header_len);
		return;
	}
	fail_msg("the stock program never acknowledged %lld", (long long)seq);
}

static void write_all(struct fix *f)
{
	const uint8_t *p;
	struct ssm_msg m;
	int64_t seq;
	size_t len;

	while (ssm_chan_next_output(f->chan, &p, &len, f->now_us)) {
		assert_int_equal(ssm_msg_decode(&m, p, len), 0);
		if (m.type != SSM_ACKNOWLEDGE)
			continue;
		assert_int_equal(ssm_ack_read(&seq, m.payload, m.payload_len), 0);
		ack_compare(f, &m, seq);
		f->acks++;
	}
}

static bool is_terminate(const struct ssm_msg *m)
{
	return m->payload_type == SSM_PT_FLAG && be32_get(m->payload) == SSM_FLAG_TERMINATE;
}

/* Feeds their messages; returns how many stream messages that were. */
static unsigned play(struct fix *f)
{
	unsigned streams = 0;

	for (size_t i = 0; i < f->theirs.n; i++) {
		const struct message *in = &f->theirs.msgs[i];
		struct ssm_msg m;

		assert_int_equal(ssm_msg_decode(&m, in->bytes, in->len), 0);
		if (m.type == SSM_INPUT_STREAM_DATA || m.type == SSM_OUTPUT_STREAM_DATA)
			streams++;
		if ((m.payload_type == SSM_PT_OUTPUT || m.payload_type == SSM_PT_FLAG) &&
		    !is_terminate(&m)) {
			memcpy(f->expected + f->expected_len, m.payload, m.payload_len);
			f->expected_len += m.payload_len;
		}
		f->now_us += 1000;
		write_all(f);
		if (f->closed)
			break;
		assert_int_equal(ssm_chan_input(f->chan, in->bytes, in->len, f->now_us), 0);
		write_all(f);
	}
	return streams;
}

static void run(enum ssm_role role, int session, unsigned closed)
{
	const char *ours = role == SSM_ROLE_CLIENT ? "client" : "agent";
	const char *theirs = role == SSM_ROLE_CLIENT ? "agent" : "client";
	struct fix *f = calloc(1, sizeof(*f));
	struct ssm_chan_opts opts = {
		.role = role, .now_us = 1, .unix_ms = 1, .events = &events, .arg = f
	};
	unsigned streams;

	f->now_us = 1;
	side_load(&f->theirs, session, theirs);
	side_load(&f->ours, session, ours);
	assert_int_equal(ssm_chan_new(&f->chan, &opts), 0);
	ssm_chan_transport_up(f->chan, f->now_us);
	streams = play(f);
	assert_int_equal(f->ready, 1);
	assert_int_equal(f->closed, closed);
	assert_int_equal(f->acks, streams);
	assert_true(f->expected_len > 0);
	assert_int_equal(f->got_len, f->expected_len);
	assert_memory_equal(f->got, f->expected, f->got_len);
	assert_string_equal(ssm_chan_agent_version(f->chan),
			    role == SSM_ROLE_CLIENT ? "3.3.1142.0" : "1.2.677.0");
	ssm_chan_free(f->chan);
	free(f);
}

static void our_client_with_a_stock_agent(void **state)
{
	(void)state;
	run(SSM_ROLE_CLIENT, 1, 0);
	run(SSM_ROLE_CLIENT, 2, 0);
}

static void our_agent_with_a_stock_client(void **state)
{
	(void)state;
	run(SSM_ROLE_AGENT, 1, 0);
	run(SSM_ROLE_AGENT, 2, 1); /* by the TerminateSession flag */
}

/* The answer of our client to the stock agent's request is the stock client's, byte by byte. */
static void the_same_handshake_response(void **state)
{
	char refused[SSM_VERSION_MAX];
	char *answer = NULL;
	struct side *agent = calloc(2, sizeof(*agent)), *client = agent + 1;
	unsigned compared = 0;
	struct ssm_msg m;

	(void)state;
	side_load(agent, 1, "agent");
	side_load(client, 1, "client");
	for (size_t i = 0; i < agent->n; i++) {
		assert_int_equal(ssm_msg_decode(&m, agent->msgs[i].bytes, agent->msgs[i].len), 0);
		if (m.payload_type == SSM_PT_HANDSHAKE_REQUEST && !answer)
			assert_int_equal(ssm_handshake_answer(&answer, refused, m.payload,
							      m.payload_len, "1.2.677.0", NULL),
					 0);
	}
	assert_non_null(answer);
	for (size_t i = 0; i < client->n; i++) {
		assert_int_equal(ssm_msg_decode(&m, client->msgs[i].bytes, client->msgs[i].len), 0);
		if (m.payload_type != SSM_PT_HANDSHAKE_RESPONSE)
			continue;
		/* NOLINTNEXTLINE(clang-analyzer-core.NonNullParamChecker): cmocka's assert above ends it */
		assert_int_equal(m.payload_len, strlen(answer));
		assert_memory_equal(m.payload, answer, m.payload_len);
		compared++;
	}
	assert_int_equal(compared, 1);
	free(answer);
	free(agent);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(our_client_with_a_stock_agent),
		cmocka_unit_test(our_agent_with_a_stock_client),
		cmocka_unit_test(the_same_handshake_response),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
