// SPDX-License-Identifier: MIT
/*
 * ssm_steps_test.c - the handshake of both ends with each other: types of session, versions, encryption
 *
 * Cases: a port session and what each end learns of it; mux by versions and type; a shell has no handshake; a command's
 * update message; flags 1 and 3; an agent too old for TerminateSession; an encrypted session, with and without
 * challenge, key at once and later, data of each type both ways and what is on the wire; no key at the client, at the agent,
 * a client that can't; an agent that goes on all the same; another key at one end; no cipher key; another proof; a second response; a request beyond its limit; challenges out of place; forged payloads; calls out of
 * place; a slow owner times out.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/text.h"
#include "base/util.h"
#include "proto/ssm_chan.h"
#include "proto/ssm_handshake.h"

#define START_US UINT64_C(1000000)
#define SECOND UINT64_C(1000000)

struct end {
	struct pair *pair;
	struct ssm_chan *chan;
	unsigned ready, closed, wanted;
	int close_err;
	char close_reason[SSM_REASON_MAX], message[SSM_REASON_MAX];
	char key_id[64], challenge[64], cipher[64]; /* of key_wanted() */
	uint8_t key;				    /* first byte of the data key that it uses */
	bool at_once;				    /* answers key_wanted() from inside */
	uint32_t got_type;			    /* of the latest data */
	char got[2048];
	size_t got_len;
};

/* Two ends and a wire without delay; what the client wrote last of each payload type is kept. */
struct pair {
	struct end client, agent;
	uint64_t now_us;
	char wire[16][2048];
	size_t wire_len[16];
};

static void key_fill(uint8_t key[SSM_DATA_KEY_LEN], uint8_t first)
{
	for (unsigned i = 0; i < SSM_DATA_KEY_LEN; i++)
		key[i] = (uint8_t)(first + i);
}

static int key_give(struct end *e)
{
	uint8_t key[SSM_DATA_KEY_LEN];
	const bool client = e == &e->pair->client;

	key_fill(key, e->key);
	return ssm_chan_key(e->chan, key, client ? (const uint8_t *)"sealed" : NULL, client ? 6 : 0,
			    e->pair->now_us);
}

static void on_ready(void *arg, const char *message)
{
	struct end *e = arg;

	e->ready++;
	text_copy(e->message, sizeof(e->message), message);
}

static void on_key_wanted(void *arg, const struct ssm_key_wanted *w)
{
	struct end *e = arg;

	e->wanted++;
	text_copy(e->key_id, sizeof(e->key_id), w->key_id);
	text_copy(e->challenge, sizeof(e->challenge), w->challenge ? w->challenge : "");
	if (w->cipher_key)
		memcpy(e->cipher, w->cipher_key, MIN(w->cipher_len, sizeof(e->cipher) - 1));
	if (e->at_once)
		assert_int_equal(key_give(e), 0);
}

static int on_data(void *arg, uint32_t payload_type, const uint8_t *p, size_t len)
{
	struct end *e = arg;

	assert_true(len < sizeof(e->got));
	e->got_type = payload_type;
	memcpy(e->got, p, len);
	e->got[len] = '\0';
	e->got_len = len;
	return 0;
}

static void on_closed(void *arg, int err, const char *reason)
{
	struct end *e = arg;

	e->closed++;
	e->close_err = err;
	text_copy(e->close_reason, sizeof(e->close_reason), reason);
}

static const struct ssm_chan_events with_kms = {
	.ready = on_ready, .key_wanted = on_key_wanted, .data = on_data, .closed = on_closed
};
static const struct ssm_chan_events without_kms = { .ready = on_ready,
						    .data = on_data,
						    .closed = on_closed };

static struct pair *pair_new(struct ssm_chan_opts client, struct ssm_chan_opts agent)
{
	struct pair *p = calloc(1, sizeof(*p));
	struct end *ends[] = { &p->client, &p->agent };
	struct ssm_chan_opts *opts[] = { &client, &agent };

	p->now_us = START_US;
	for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
		ends[i]->pair = p;
		ends[i]->key = 1;
		ends[i]->at_once = true;
		opts[i]->role = i ? SSM_ROLE_AGENT : SSM_ROLE_CLIENT;
		opts[i]->now_us = p->now_us;
		opts[i]->unix_ms = 1700000000000;
		if (!opts[i]->events)
			opts[i]->events = &with_kms;
		opts[i]->arg = ends[i];
		assert_int_equal(ssm_chan_new(&ends[i]->chan, opts[i]), 0);
	}
	return p;
}

static void pair_free(struct pair *p)
{
	ssm_chan_free(p->client.chan);
	ssm_chan_free(p->agent.chan);
	free(p);
}

static bool carry(struct pair *p, struct end *from, struct end *to)
{
	const uint8_t *bytes;
	struct ssm_msg m;
	bool any = false;
	size_t len;

	while (ssm_chan_next_output(from->chan, &bytes, &len, p->now_us)) {
		assert_int_equal(ssm_msg_decode(&m, bytes, len), 0);
		if (m.type != SSM_ACKNOWLEDGE) {
			assert_true(m.payload_len < sizeof(p->wire[0]));
			memcpy(p->wire[m.payload_type], m.payload, m.payload_len);
			p->wire[m.payload_type][m.payload_len] = '\0';
			p->wire_len[m.payload_type] = m.payload_len;
		}
		if (ssm_chan_state(to->chan) != SSM_CHAN_CLOSED)
			assert_int_equal(ssm_chan_input(to->chan, bytes, len, p->now_us), 0);
		any = true;
	}
	return any;
}

/* Until both have nothing to say, and the client's delay before its first data is over. */
static void settle(struct pair *p)
{
	bool any;

	for (unsigned i = 0; i < 3; i++) {
		do {
			any = carry(p, &p->client, &p->agent);
			any = carry(p, &p->agent, &p->client) || any;
		} while (any);
		p->now_us += 10000;
	}
}

static void start(struct pair *p)
{
	ssm_chan_transport_up(p->client.chan, p->now_us);
	ssm_chan_transport_up(p->agent.chan, p->now_us);
	settle(p);
}

static struct ssm_peer peer_of(const struct end *e)
{
	struct ssm_peer peer;

	ssm_chan_peer(e->chan, &peer);
	return peer;
}

/* A message that the other end of @to would not write: its next number. */
static void forge(struct end *to, int64_t seq, uint32_t payload_type, const char *text, size_t len)
{
	static uint8_t wire[KIB(80)];
	struct ssm_msg m = {
		.type = to == &to->pair->client ? SSM_OUTPUT_STREAM_DATA : SSM_INPUT_STREAM_DATA,
		.created_ms = 1,
		.seq = seq,
		.payload_type = payload_type,
		.payload = (const uint8_t *)text,
		.payload_len = len,
	};
	ssize_t n = ssm_msg_encode(wire, sizeof(wire), &m);

	assert_true(n > 0);
	assert_int_equal(ssm_chan_input(to->chan, wire, (size_t)n, to->pair->now_us), 0);
}

/* ---- types and versions ---- */

static void a_port_session(void **state)
{
	struct pair *p =
		pair_new((struct ssm_chan_opts){ .client_version = "1.2.500.0" },
			 (struct ssm_chan_opts){ .properties_json = "{\"portNumber\":\"22\"}" });

	(void)state;
	assert_string_equal(peer_of(&p->client).session_type, "");
	start(p);
	assert_int_equal(p->client.ready, 1);
	assert_int_equal(p->agent.ready, 1);
	assert_string_equal(peer_of(&p->client).version, SSM_AGENT_VERSION);
	assert_string_equal(peer_of(&p->agent).version, "1.2.500.0");
	assert_string_equal(peer_of(&p->client).session_type, "Port");
	assert_string_equal(peer_of(&p->agent).session_type, "Port");
	assert_string_equal(peer_of(&p->client).properties_json, "{\"portNumber\":\"22\"}");
	assert_string_equal(peer_of(&p->agent).properties_json, "{\"portNumber\":\"22\"}");
	assert_false(peer_of(&p->client).encrypted || peer_of(&p->client).mux);
	pair_free(p);
}

static void mux_by_versions_and_type(void **state)
{
	static const char forwarding[] = "{\"type\":\"LocalPortForwarding\"}";
	static const struct {
		const char *client, *agent, *properties;
		bool client_mux, agent_mux, client_keepalive, agent_keepalive;
	} cases[] = {
		{ "1.2.707.0", "3.3.0.0", forwarding, true, true, false, false },
		{ "1.2.707.0", "3.3.0.0", "{}", false, false, false, false },
		{ "1.1.69.0", "3.0.0.0", forwarding, false, false, true, true },
		{ "1.2.0.0", "3.1.0.0", forwarding, true, true, true, true },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct pair *p =
			pair_new((struct ssm_chan_opts){ .client_version = cases[i].client },
				 (struct ssm_chan_opts){ .agent_version = cases[i].agent,
							 .properties_json = cases[i].properties });

		start(p);
		assert_int_equal(peer_of(&p->client).mux, cases[i].client_mux);
		assert_int_equal(peer_of(&p->agent).mux, cases[i].agent_mux);
		assert_int_equal(peer_of(&p->client).mux_keepalive, cases[i].client_keepalive);
		assert_int_equal(peer_of(&p->agent).mux_keepalive, cases[i].agent_keepalive);
		pair_free(p);
	}
}

static void a_shell_has_no_handshake(void **state)
{
	struct pair *p = pair_new((struct ssm_chan_opts){ 0 },
				  (struct ssm_chan_opts){ .session_type = "Standard_Stream" });

	(void)state;
	assert_int_equal(ssm_chan_deadline(p->agent.chan), SSM_TIME_NEVER);
	ssm_chan_transport_up(p->agent.chan, p->now_us);
	assert_int_equal(p->agent.ready, 1);
	ssm_chan_transport_up(p->client.chan, p->now_us);
	settle(p);
	assert_int_equal(p->client.ready, 0);
	ssm_chan_transport_down(p->agent.chan, p->now_us);
	ssm_chan_transport_up(p->agent.chan, p->now_us);
	assert_int_equal(p->agent.ready, 1);
	assert_int_equal(ssm_chan_send(p->agent.chan, (const uint8_t *)"$ ", 2, p->now_us), 2);
	settle(p);
	assert_int_equal(p->client.ready, 1);
	assert_string_equal(p->client.got, "$ ");
	assert_string_equal(peer_of(&p->client).session_type, "Standard_Stream");
	assert_int_equal(ssm_chan_send_typed(p->client.chan, SSM_PT_SIZE, "{}", 2, p->now_us), 0);
	settle(p);
	assert_int_equal(p->agent.got_type, SSM_PT_SIZE);
	assert_int_equal(p->wire_len[SSM_PT_HANDSHAKE_REQUEST], 0);
	/* nobody can know the agent's version: the flag costs nothing */
	assert_true(ssm_chan_terminate(p->client.chan, p->now_us));
	pair_free(p);
}

static void a_command_asks_an_old_client_to_update(void **state)
{
	static const char separate[] = "{\"separateOutputStream\":\"true\"}";
	static const struct {
		const char *version, *properties;
		bool told;
	} cases[] = { { "1.2.295", separate, true },
		      { "1.2.295", "{}", false },
		      { "1.2.707.0", separate, false } };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct pair *p =
			pair_new((struct ssm_chan_opts){ .client_version = cases[i].version },
				 (struct ssm_chan_opts){ .session_type = "NonInteractiveCommands",
							 .properties_json = cases[i].properties });

		start(p);
		assert_int_equal(p->client.ready, 1);
		assert_int_equal(strstr(p->client.message, "1.2.312.0") != NULL, cases[i].told);
		assert_int_equal(peer_of(&p->client).separate_output,
				 cases[i].properties == separate);
		pair_free(p);
	}
}

static void flags_go_both_ways(void **state)
{
	struct pair *p = pair_new((struct ssm_chan_opts){ 0 }, (struct ssm_chan_opts){ 0 });

	(void)state;
	assert_int_equal(ssm_chan_send_flag(p->client.chan, SSM_FLAG_DISCONNECT, p->now_us),
			 ST_EAGAIN);
	start(p);
	assert_int_equal(ssm_chan_send_flag(p->client.chan, SSM_FLAG_DISCONNECT, p->now_us), 0);
	assert_int_equal(ssm_chan_send_flag(p->agent.chan, SSM_FLAG_CONNECT_ERROR, p->now_us), 0);
	settle(p);
	assert_int_equal(ssm_flag_read((const uint8_t *)p->agent.got, p->agent.got_len),
			 SSM_FLAG_DISCONNECT);
	assert_int_equal(ssm_flag_read((const uint8_t *)p->client.got, p->client.got_len),
			 SSM_FLAG_CONNECT_ERROR);
	assert_int_equal(ssm_flag_read((const uint8_t *)"\0\0\0", 3), 0);
	assert_false(ssm_chan_terminate(p->agent.chan, p->now_us));
	pair_free(p);
}

static void an_agent_too_old_for_the_flag(void **state)
{
	struct pair *p = pair_new((struct ssm_chan_opts){ 0 },
				  (struct ssm_chan_opts){ .agent_version = "2.3.722.0" });

	(void)state;
	start(p);
	assert_false(ssm_chan_terminate(p->client.chan, p->now_us));
	settle(p);
	assert_int_equal(p->wire_len[SSM_PT_FLAG], 0);
	pair_free(p);
	p = pair_new((struct ssm_chan_opts){ 0 },
		     (struct ssm_chan_opts){ .agent_version = "2.3.723.0" });
	start(p);
	assert_true(ssm_chan_terminate(p->client.chan, p->now_us));
	assert_true(ssm_chan_terminate(p->client.chan, p->now_us));
	settle(p);
	assert_int_equal(p->agent.close_err, ST_ECLOSED);
	assert_false(ssm_chan_terminate(p->agent.chan, p->now_us));
	pair_free(p);
}

/* ---- encryption ---- */

static const struct ssm_chan_opts encrypted = { .session_type = "Standard_Stream",
						.kms_key_id = "arn:key" };

static struct pair *encrypted_pair(void)
{
	struct pair *p = pair_new((struct ssm_chan_opts){ 0 }, encrypted);

	start(p);
	assert_int_equal(p->client.ready, 1);
	assert_int_equal(p->agent.ready, 1);
	return p;
}

static void send(struct pair *p, struct end *from, uint32_t payload_type, const char *text)
{
	struct end *to = from == &p->client ? &p->agent : &p->client;

	assert_int_equal(
		ssm_chan_send_typed(from->chan, payload_type, text, strlen(text), p->now_us), 0);
	settle(p);
	assert_int_equal(to->got_type, payload_type);
	assert_string_equal(to->got, text);
}

static void an_encrypted_session(void **state)
{
	struct pair *p = encrypted_pair();
	struct ssm_chan_stats stats;

	(void)state;
	assert_int_equal(p->client.wanted, 1);
	assert_string_equal(p->client.key_id, "arn:key");
	assert_int_equal(strlen(p->client.challenge), 24);
	assert_string_equal(p->agent.challenge, p->client.challenge);
	assert_string_equal(p->agent.cipher, "sealed");
	assert_string_equal(p->client.message, "This session is encrypted using AWS KMS.");
	assert_true(peer_of(&p->client).encrypted && peer_of(&p->agent).encrypted);
	assert_int_equal(p->wire_len[SSM_PT_ENC_CHALLENGE_REQUEST],
			 strlen("{\"Challenge\":\"\"}") + 124);

	send(p, &p->client, SSM_PT_OUTPUT, "ls");
	assert_int_equal(p->wire_len[SSM_PT_OUTPUT], 2 + SSM_CRYPT_OVERHEAD);
	send(p, &p->client, SSM_PT_SIZE, "{}");
	assert_string_equal(p->wire[SSM_PT_SIZE], "{}");
	send(p, &p->agent, SSM_PT_OUTPUT, "file");
	assert_int_equal(p->wire_len[SSM_PT_OUTPUT], 4 + SSM_CRYPT_OVERHEAD);
	send(p, &p->agent, SSM_PT_STDERR, "oh");
	assert_int_equal(p->wire_len[SSM_PT_STDERR], 2 + SSM_CRYPT_OVERHEAD);
	send(p, &p->agent, SSM_PT_EXIT_CODE, "EXIT_CODE: 0");
	assert_int_equal(p->wire_len[SSM_PT_EXIT_CODE], 12 + SSM_CRYPT_OVERHEAD);

	ssm_chan_stats(p->agent.chan, &stats);
	assert_int_equal(stats.in_flight_bytes, 0);
	assert_int_equal(stats.queued_bytes, 0);
	pair_free(p);
}

/* Chunks of the largest size, and small ones that join in the queue. */
static void encrypted_bytes_in_chunks(void **state)
{
	struct pair *p = encrypted_pair();
	uint8_t bytes[3 * SSM_CHUNK];
	struct ssm_chan_stats before, stats;

	(void)state;
	ssm_chan_stats(p->client.chan, &before);
	memset(bytes, 'x', sizeof(bytes));
	assert_int_equal(ssm_chan_send(p->client.chan, bytes, sizeof(bytes), p->now_us),
			 sizeof(bytes));
	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(ssm_chan_send(p->client.chan, bytes, 1, p->now_us), 1);
	settle(p);
	ssm_chan_stats(p->client.chan, &stats);
	assert_int_equal(stats.bytes_out - before.bytes_out, sizeof(bytes) + 100);
	assert_int_equal(stats.in_flight_bytes, 0);
	assert_int_equal(p->agent.got_len, 100);
	pair_free(p);
}

static void the_key_may_come_later(void **state)
{
	struct pair *p = pair_new((struct ssm_chan_opts){ 0 }, encrypted);
	uint8_t key[SSM_DATA_KEY_LEN];

	(void)state;
	p->client.at_once = p->agent.at_once = false;
	key_fill(key, 1);
	assert_int_equal(key_give(&p->client), ST_EINVAL);
	start(p);
	assert_int_equal(p->wire_len[SSM_PT_HANDSHAKE_RESPONSE], 0);
	assert_int_equal(ssm_chan_key(p->client.chan, key, (const uint8_t *)"", 0, p->now_us),
			 ST_EINVAL);
	assert_int_equal(ssm_chan_key(p->client.chan, key, key, SSM_CIPHER_KEY_MAX + 1, p->now_us),
			 ST_EINVAL);
	/* nearly the whole time, at each of the steps */
	p->now_us += 14 * SECOND;
	assert_int_equal(key_give(&p->client), 0);
	assert_int_equal(key_give(&p->client), ST_EINVAL);
	ssm_chan_key_failed(p->client.chan, "too late", p->now_us);
	settle(p);
	assert_int_equal(p->agent.wanted, 1);
	p->now_us += 14 * SECOND;
	assert_int_equal(key_give(&p->agent), 0);
	assert_int_equal(key_give(&p->agent), ST_EINVAL);
	settle(p);
	assert_int_equal(p->client.ready + p->agent.ready, 2);
	send(p, &p->client, SSM_PT_OUTPUT, "ls");
	pair_free(p);
}

static void nobody_gives_a_key(void **state)
{
	struct pair *p = pair_new((struct ssm_chan_opts){ 0 }, encrypted);

	(void)state;
	p->client.at_once = false;
	start(p);
	p->now_us += 16 * SECOND;
	ssm_chan_expire(p->client.chan, p->now_us);
	assert_int_equal(p->client.close_err, ST_ETIMEOUT);
	assert_int_equal(key_give(&p->client), ST_EINVAL);
	ssm_chan_key_failed(p->client.chan, "too late", p->now_us);
	assert_int_equal(p->client.closed, 1);
	pair_free(p);
}

static void the_client_gets_no_key(void **state)
{
	struct pair *p = pair_new((struct ssm_chan_opts){ 0 }, encrypted);

	(void)state;
	p->client.at_once = false;
	start(p);
	ssm_chan_key_failed(p->client.chan, "kms:GenerateDataKey is not allowed\n", p->now_us);
	settle(p);
	assert_int_equal(p->agent.close_err, ST_EPEER);
	assert_string_equal(p->agent.close_reason,
			    "KMSEncryption failed on client with status 2 error: "
			    "kms:GenerateDataKey is not allowed\\x0a");
	assert_int_equal(p->client.ready, 0);
	pair_free(p);
}

static void the_agent_gets_no_key(void **state)
{
	struct pair *p = pair_new((struct ssm_chan_opts){ 0 }, encrypted);

	(void)state;
	p->agent.at_once = false;
	start(p);
	ssm_chan_key_failed(p->agent.chan, "kms:Decrypt is not allowed", p->now_us);
	assert_int_equal(p->agent.close_err, ST_EAUTH);
	assert_string_equal(p->agent.close_reason, "kms:Decrypt is not allowed");
	pair_free(p);
}

static void a_client_that_can_not(void **state)
{
	struct pair *p = pair_new((struct ssm_chan_opts){ .events = &without_kms }, encrypted);

	(void)state;
	start(p);
	assert_int_equal(p->client.ready, 0);
	assert_int_equal(p->agent.close_err, ST_EPEER);
	assert_non_null(
		strstr(p->agent.close_reason, "KMSEncryption failed on client with status 3"));
	pair_free(p);
}

static void an_agent_that_can_not(void **state)
{
	struct ssm_chan_opts o = encrypted;
	struct ssm_chan *c;

	(void)state;
	o.role = SSM_ROLE_AGENT;
	o.unix_ms = 1;
	o.events = &without_kms;
	assert_int_equal(ssm_chan_new(&c, &o), ST_EINVAL);
	o.role = SSM_ROLE_CLIENT;
	o.events = &with_kms;
	assert_int_equal(ssm_chan_new(&c, &o), ST_EINVAL);
	o.role = SSM_ROLE_AGENT;
	o.kms_key_id = "\xff";
	assert_int_equal(ssm_chan_new(&c, &o), ST_EINVAL);
}

static void another_key_at_one_end(void **state)
{
	struct pair *p = pair_new((struct ssm_chan_opts){ 0 }, encrypted);

	(void)state;
	p->client.key = 2;
	start(p);
	assert_int_equal(p->client.close_err, ST_EPEER);
	assert_non_null(strstr(p->client.close_reason, "another data key"));
	assert_int_equal(p->agent.ready, 0);
	pair_free(p);
}

static const char answer[] = "{\"ClientVersion\":\"1.2.707.0\",\"ProcessedClientActions\":[]}";

static void an_answer_without_a_key(void **state)
{
	struct pair *p = pair_new((struct ssm_chan_opts){ 0 }, encrypted);

	(void)state;
	forge(&p->agent, 0, SSM_PT_HANDSHAKE_RESPONSE, answer, strlen(answer));
	assert_int_equal(p->agent.close_err, ST_EPEER);
	assert_string_equal(p->agent.close_reason, "the client did not set up encryption");
	pair_free(p);
}

static void a_client_without_the_challenge(void **state)
{
	static const char text[] =
		"{\"ProcessedClientActions\":[{\"ActionType\":\"KMSEncryption\",\"ActionStatus\":1,"
		"\"ActionResult\":{\"KMSCipherTextKey\":\"YWJj\"},\"Error\":\"\"}]}";
	struct pair *p = pair_new((struct ssm_chan_opts){ 0 }, encrypted);

	(void)state;
	p->agent.at_once = false;
	forge(&p->agent, 0, SSM_PT_HANDSHAKE_RESPONSE, text, strlen(text));
	assert_int_equal(p->agent.wanted, 1);
	assert_string_equal(p->agent.challenge, "");
	assert_string_equal(p->agent.cipher, "abc");
	pair_free(p);
}

static void a_wrong_answer_to_the_challenge(void **state)
{
	static const char *const texts[] = { "{}", "{\"Challenge\":\"AAAA\"}", "no" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts) + 1; i++) {
		struct pair *p = pair_new((struct ssm_chan_opts){ 0 }, encrypted);
		const char *text = i < ARRAY_LEN(texts) ? texts[i] : NULL;

		p->client.at_once = false;
		start(p);
		assert_int_equal(key_give(&p->client), 0);
		carry(p, &p->client, &p->agent);
		if (!text) { /* the agent's own challenge, played back */
			carry(p, &p->agent, &p->client);
			text = p->wire[SSM_PT_ENC_CHALLENGE_REQUEST];
		}
		forge(&p->agent, 1, SSM_PT_ENC_CHALLENGE_RESPONSE, text, strlen(text));
		assert_int_equal(p->agent.close_err, ST_EPEER);
		assert_int_equal(p->agent.ready, 0);
		pair_free(p);
	}
}

/* A client that has the data key and sends back other bytes. */
static void another_proof(void **state)
{
	uint8_t key[SSM_DATA_KEY_LEN], nonce[SSM_NONCE_LEN] = { 3 };
	uint8_t sealed[64 + SSM_CRYPT_OVERHEAD] = { 0 };
	struct pair *p = pair_new((struct ssm_chan_opts){ 0 }, encrypted);
	struct ssm_crypt *client;
	char *text;

	(void)state;
	p->client.at_once = false;
	start(p);
	assert_int_equal(key_give(&p->client), 0);
	carry(p, &p->client, &p->agent);
	key_fill(key, 1);
	assert_int_equal(ssm_crypt_new(&client, true, key), 0);
	ssm_crypt_seal(client, sealed, 64, nonce);
	assert_int_equal(ssm_handshake_challenge_write(&text, sealed, sizeof(sealed)), 0);
	forge(&p->agent, 1, SSM_PT_ENC_CHALLENGE_RESPONSE, text, strlen(text));
	assert_int_equal(p->agent.close_err, ST_EPEER);
	assert_string_equal(p->agent.close_reason, "the client's answer to the challenge is wrong");
	assert_int_equal(p->agent.ready, 0);
	free(text);
	ssm_crypt_free(client);
	pair_free(p);
}

static void a_second_response_is_ignored(void **state)
{
	struct pair *p = pair_new((struct ssm_chan_opts){ 0 }, encrypted);

	(void)state;
	p->agent.at_once = false;
	start(p);
	assert_int_equal(p->agent.wanted, 1);
	forge(&p->agent, 1, SSM_PT_HANDSHAKE_RESPONSE, answer, strlen(answer));
	assert_int_equal(p->agent.closed, 0);
	assert_int_equal(p->agent.wanted, 1);
	assert_int_equal(key_give(&p->agent), 0);
	pair_free(p);
}

static void a_request_beyond_its_limit(void **state)
{
	static char text[65536 + 2];

	(void)state;
	memset(text, ' ', sizeof(text));
	text[0] = '{';
	text[1] = '}';
	for (size_t over = 0; over < 2; over++) {
		struct pair *p = pair_new((struct ssm_chan_opts){ 0 }, (struct ssm_chan_opts){ 0 });

		forge(&p->client, 0, SSM_PT_HANDSHAKE_REQUEST, text, 65536 + over);
		assert_int_equal(p->client.close_err, over ? ST_EPEER : 0);
		pair_free(p);
	}
}

static void challenges_out_of_place(void **state)
{
	struct pair *p = pair_new((struct ssm_chan_opts){ 0 }, (struct ssm_chan_opts){ 0 });

	(void)state;
	/* an agent that has sent none ignores an answer; a client without a key can't answer one */
	forge(&p->agent, 0, SSM_PT_ENC_CHALLENGE_RESPONSE, "{}", 2);
	assert_int_equal(p->agent.closed, 0);
	forge(&p->client, 0, SSM_PT_ENC_CHALLENGE_REQUEST, "{}", 2);
	assert_int_equal(p->client.close_err, ST_EPEER);
	pair_free(p);
}

static void complete_before_the_key(void **state)
{
	struct pair *p = pair_new((struct ssm_chan_opts){ 0 }, encrypted);

	(void)state;
	p->client.at_once = false;
	start(p);
	forge(&p->client, 1, SSM_PT_HANDSHAKE_COMPLETE, "{}", 2);
	assert_int_equal(p->client.close_err, ST_EPEER);
	assert_int_equal(p->client.ready, 0);
	pair_free(p);
}

/* An agent ends a session whose encryption was refused; one that does not must not get clear text. */
static void complete_after_a_refusal(void **state)
{
	(void)state;
	for (int can = 0; can < 2; can++) {
		struct pair *p = pair_new(
			(struct ssm_chan_opts){ .events = can ? NULL : &without_kms }, encrypted);

		p->client.at_once = false;
		ssm_chan_transport_up(p->agent.chan, p->now_us);
		ssm_chan_transport_up(p->client.chan, p->now_us);
		carry(p, &p->agent, &p->client);
		ssm_chan_key_failed(p->client.chan, "not allowed", p->now_us);
		assert_int_equal(p->client.closed, 0);
		forge(&p->client, 1, SSM_PT_HANDSHAKE_COMPLETE, "{}", 2);
		assert_int_equal(p->client.close_err, ST_EPEER);
		assert_int_equal(p->client.ready, 0);
		pair_free(p);
	}
}

static void a_second_challenge_is_ignored(void **state)
{
	struct pair *p = pair_new((struct ssm_chan_opts){ 0 }, encrypted);
	uint8_t copy[2048];
	size_t len;

	(void)state;
	p->agent.at_once = false;
	start(p);
	assert_int_equal(key_give(&p->agent), 0);
	carry(p, &p->agent, &p->client);
	len = p->wire_len[SSM_PT_ENC_CHALLENGE_REQUEST];
	memcpy(copy, p->wire[SSM_PT_ENC_CHALLENGE_REQUEST], len);
	forge(&p->client, 2, SSM_PT_ENC_CHALLENGE_REQUEST, (const char *)copy, len);
	assert_int_equal(p->client.closed, 0);
	pair_free(p);
}

static void forged_payloads(void **state)
{
	struct pair *p = encrypted_pair();

	(void)state;
	forge(&p->client, 3, SSM_PT_OUTPUT, "clear text that is long enough for a nonce and a tag",
	      52);
	assert_int_equal(p->client.close_err, ST_EPEER);
	assert_int_equal(p->client.got_len, 0);
	pair_free(p);
	p = encrypted_pair();
	forge(&p->agent, 2, SSM_PT_OUTPUT, "short", 5);
	assert_int_equal(p->agent.close_err, ST_EPEER);
	pair_free(p);
}

/* An encrypted payload of nothing is taken and not the owner's. */
static void an_encrypted_nothing(void **state)
{
	uint8_t key[SSM_DATA_KEY_LEN], sealed[SSM_CRYPT_OVERHEAD], nonce[SSM_NONCE_LEN] = { 1 };
	struct pair *p = encrypted_pair();
	struct ssm_crypt *agent;

	(void)state;
	key_fill(key, 1);
	assert_int_equal(ssm_crypt_new(&agent, false, key), 0);
	ssm_crypt_seal(agent, sealed, 0, nonce);
	forge(&p->client, 3, SSM_PT_OUTPUT, (const char *)sealed, sizeof(sealed));
	assert_int_equal(p->client.closed, 0);
	assert_int_equal(p->client.got_type, 0);
	ssm_crypt_free(agent);
	pair_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_port_session),
		cmocka_unit_test(mux_by_versions_and_type),
		cmocka_unit_test(a_shell_has_no_handshake),
		cmocka_unit_test(a_command_asks_an_old_client_to_update),
		cmocka_unit_test(flags_go_both_ways),
		cmocka_unit_test(an_agent_too_old_for_the_flag),
		cmocka_unit_test(an_encrypted_session),
		cmocka_unit_test(encrypted_bytes_in_chunks),
		cmocka_unit_test(the_key_may_come_later),
		cmocka_unit_test(nobody_gives_a_key),
		cmocka_unit_test(the_client_gets_no_key),
		cmocka_unit_test(the_agent_gets_no_key),
		cmocka_unit_test(a_client_that_can_not),
		cmocka_unit_test(an_agent_that_can_not),
		cmocka_unit_test(another_key_at_one_end),
		cmocka_unit_test(an_answer_without_a_key),
		cmocka_unit_test(a_client_without_the_challenge),
		cmocka_unit_test(a_wrong_answer_to_the_challenge),
		cmocka_unit_test(another_proof),
		cmocka_unit_test(a_second_response_is_ignored),
		cmocka_unit_test(a_request_beyond_its_limit),
		cmocka_unit_test(challenges_out_of_place),
		cmocka_unit_test(complete_before_the_key),
		cmocka_unit_test(complete_after_a_refusal),
		cmocka_unit_test(a_second_challenge_is_ignored),
		cmocka_unit_test(forged_payloads),
		cmocka_unit_test(an_encrypted_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
