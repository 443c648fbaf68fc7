// SPDX-License-Identifier: MIT
/*
 * ssm_mux_stock_test.c - our ends of a multiplexed port session against recorded stock peers
 *
 * Cases: our client in the place of the stock client, and our agent in the place of the stock agent, in session 2 of
 * tests/data/capture.txt. The owner does what the recorded frames show; our bytes are the stock program's.
 */
#include "mux_owner.h"

#include "capture.h"
#include "proto/ssm_msg.h"

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

static void message(struct owner *o, enum cap_who self, const struct cap_frame *f)
{
	struct ssm_msg m;

	if (f->control || f->text || f->from == CAP_SERVICE)
		return;
	assert_int_equal(ssm_msg_decode(&m, f->p, f->len), 0);
	if (m.payload_type != SSM_PT_OUTPUT)
		return;
	if (f->from == self)
		ours(o, &m);
	else
		assert_int_equal(feed_bytes(o, m.payload, m.payload_len), 0);
}

static void replay(struct owner *o, enum cap_who self)
{
	const struct cap_session *s;
	struct capture capture;

	capture_load(&capture);
	assert_true(capture.n > 2);
	s = &capture.sessions[2];
	assert_int_equal(s->title[0], '2');
	texts_n = 0;
	for (size_t i = 0; i < s->n; i++)
		message(o, self, &s->frames[i]);
	capture_drop(&capture);
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
	replay(&o, CAP_CLIENT);
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
	replay(&o, CAP_AGENT);
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
