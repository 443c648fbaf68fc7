// SPDX-License-Identifier: MIT
/*
 * ssm_mux_stock_test.c - our ends of a multiplexed port session against recorded stock peers
 *
 * Cases: our client in the place of the stock client, and our agent in the place of the stock agent, in session 2 of
 * tests/data/stock_sessions.txt. The owner does what the recorded frames show; our bytes are the stock program's.
 */
#include "mux_owner.h"

#include "base/codec.h"
#include "proto/ssm_msg.h"

#define SESSIONS "tests/data/stock_sessions.txt"
#define LINE_MAX_BYTES 65536U

static char texts[CONNS * 2][2048]; /* what pull() gives; one a frame with data */
static unsigned texts_n;

/* What the owner did so that the stock program wrote this frame. */
static void act_as(struct owner *o, const struct ssm_mux_frame *f, const uint8_t *data)
{
	struct conn *c = &o->conn[(f->id - 3) / 2];
	char *text = texts[texts_n];

	switch (f->cmd) {
	case SSM_MUX_SYN: assert_int_equal(open_conn(o)->id, f->id); break;
	case SSM_MUX_PSH:
		assert_true(texts_n < ARRAY_LEN(texts) && f->len < sizeof(texts[0]));
		memcpy(text, data, f->len);
		text[f->len] = 0;
		texts_n++;
		ready(c, text);
		break;
	default: ssm_mux_shutdown(o->m, c->h); break; /* the client's FIN answers the agent's */
	}
}

static void ours(struct owner *o, const struct ssm_msg *m)
{
	struct ssm_mux_frame f;
	size_t off = 0;

	while (off < m->payload_len) {
		assert_int_equal(ssm_mux_frame_decode(&f, m->payload + off, m->payload_len - off),
				 0);
		act_as(o, &f, m->payload + off + SSM_MUX_HDR_LEN);
		pump(o, sizeof(o->out));
		assert_int_equal(o->out_n, SSM_MUX_HDR_LEN + f.len);
		assert_memory_equal(o->out, m->payload + off, o->out_n);
		off += o->out_n;
	}
}

static void message(struct owner *o, const char *self, char *line)
{
	static uint8_t bytes[LINE_MAX_BYTES];
	const char *session = strtok(line, " \n");
	const char *writer = strtok(NULL, " \n");
	const char *hex = strtok(NULL, " \n");
	struct ssm_msg m;
	ssize_t n;

	if (strcmp(session, "2") != 0)
		return;
	n = codec_unhex(bytes, sizeof(bytes), hex, strlen(hex));
	assert_true(n > 0);
	assert_int_equal(ssm_msg_decode(&m, bytes, (size_t)n), 0);
	if (m.payload_type != SSM_PT_OUTPUT)
		return;
	if (strcmp(writer, self) == 0)
		ours(o, &m);
	else
		assert_int_equal(feed_bytes(o, m.payload, m.payload_len), 0);
}

static void replay(struct owner *o, const char *self)
{
	static char line[LINE_MAX_BYTES];
	FILE *f = fopen(SESSIONS, "r");

	assert_non_null(f);
	texts_n = 0;
	while (fgets(line, sizeof(line), f)) {
		if (line[0] != '#')
			message(o, self, line);
	}
	fclose(f);
	nothing_left(o);
	ends(o, 0);
	assert_int_equal(stats(o).opened, 2);
	assert_int_equal(stats(o).streams, 0);
	assert_int_equal(stats(o).stray_frames, 0);
	assert_int_equal(texts_n, 2);
}

static void test_client(void **state)
{
	struct owner o;

	(void)state;
	start_client(&o);
	replay(&o, "client");
	assert_non_null(strstr(o.log, "[data 3]HTTP/1.0 200 OK"));
	assert_non_null(strstr(o.log, "[closed 3][data 5]HTTP/1.0 404 File not found"));
	assert_non_null(strstr(o.log, "</html>\n[closed 5]"));
	ssm_mux_free(o.m);
}

static void test_agent(void **state)
{
	struct owner o;

	(void)state;
	start_agent(&o);
	replay(&o, "agent");
	assert_non_null(strstr(o.log, "[accept 3][data 3]GET /ca.crt HTTP/1.1"));
	assert_non_null(strstr(o.log, "[closed 3][accept 5][data 5]GET /nonexist HTTP/1.1"));
	assert_non_null(strstr(o.log, "[closed 5]"));
	ssm_mux_free(o.m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_client),
		cmocka_unit_test(test_agent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
