// SPDX-License-Identifier: MIT
/*
 * ssm_oom_test.c - two ends of a channel while memory runs out
 *
 * Cases: a session (handshake with and without encryption, data both ways with losses, copies and
 * disorder, a stalled owner, a cut) is played again and again, and each time the next allocation
 * fails: once, or every one from it on until the wire has done its worst. Afterwards everything has
 * arrived in order, or a channel is closed with a reason; nothing is lost silently, and a sanitizer
 * sees no leak.
 *
 * proto/'s own calls are wrapped by the linker, jansson's by its hook.
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
#include "proto/ssm_chan.h"

#define START_US UINT64_C(1000000)
#define WIRE_MSGS 512U
#define WIRE_BYTES 2048U
#define CHUNK 300U
#define TYPED 70U	   /* messages of their own: more than a ring's first size */
#define BULK_BYTES 4000U   /* that may join each other */
#define HEAL_ROUNDS 20000U /* far more than needed */

/* ---- allocation ---- */

static bool armed;	/* inside a call of a channel */
static long countdown;	/* allocations before the failing one */
static long fails_left; /* how many fail from there on */
static unsigned failed;
static bool jansson_fails;

static bool fails(void)
{
	if (!armed)
		return false;
	if (countdown > 0) {
		countdown--;
		return false;
	}
	if (fails_left == 0)
		return false;
	fails_left--;
	failed++;
	return true;
}

/* What the linker makes of malloc() and the like in the objects of this program. */
void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t size);
char *__real_strdup(const char *s);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t size);
char *__wrap_strdup(const char *s);

void *__wrap_malloc(size_t size)
{
	return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
	return fails() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t size)
{
	return fails() ? NULL : __real_realloc(p, size);
}

char *__wrap_strdup(const char *s)
{
	return fails() ? NULL : __real_strdup(s);
}

/* ---- the session ---- */

enum { CLIENT, AGENT, ENDS };

struct end {
	struct ssm_chan *chan;
	struct play *play;
	size_t typed, sent, received; /* bytes of the pattern; messages of their own */
	bool refuse, key_wanted;
	unsigned ready, closed, ready_for_more;
	int close_err;
	size_t len[WIRE_MSGS], wire_n; /* under way to this end; the bytes are in wires[] */
};

static uint8_t wires[ENDS][WIRE_MSGS][WIRE_BYTES];

struct play {
	struct end ends[ENDS];
	uint64_t now_us;
	bool encrypted;
	unsigned disorder; /* messages that met a bad wire */
};

static uint8_t pattern(int from, size_t at)
{
	return (uint8_t)(at * 7 + at / 251 + (size_t)from * 101);
}

static void on_ready(void *arg, const char *customer_message)
{
	struct end *e = arg;

	(void)customer_message;
	e->ready++;
}

static int on_data(void *arg, uint32_t payload_type, const uint8_t *p, size_t len)
{
	struct end *e = arg;
	int from = e == &e->play->ends[CLIENT] ? AGENT : CLIENT;

	(void)payload_type;
	if (e->refuse)
		return ST_EAGAIN;
	for (size_t i = 0; i < len; i++)
		if (p[i] != pattern(from, e->received + i))
			ST_BUG("byte %zu is wrong", e->received + i);
	e->received += len;
	return 0;
}

static void on_writable(void *arg)
{
	struct end *e = arg;

	e->ready_for_more++;
}

static void on_key_wanted(void *arg, const struct ssm_key_wanted *w)
{
	struct end *e = arg;

	(void)w;
	e->key_wanted = true;
}

static void on_closed(void *arg, int err, const char *reason)
{
	struct end *e = arg;

	(void)reason;
	e->closed++;
	e->close_err = err;
}

static const struct ssm_chan_events events = {
	.ready = on_ready,
	.data = on_data,
	.writable = on_writable,
	.key_wanted = on_key_wanted,
	.closed = on_closed,
};

static int end_open(struct play *w, int which)
{
	struct end *e = &w->ends[which];
	struct ssm_chan_opts opts = {
		.role = which == CLIENT ? SSM_ROLE_CLIENT : SSM_ROLE_AGENT,
		.now_us = w->now_us,
		.unix_ms = 1,
		.max_payload = 512,
		.properties_json = "{\"portNumber\":\"22\"}",
		.kms_key_id = which == AGENT && w->encrypted ? "key" : NULL,
		.events = &events,
		.arg = e,
	};
	int r;

	e->play = w;
	armed = true;
	r = ssm_chan_new(&e->chan, &opts);
	if (r == 0)
		ssm_chan_transport_up(e->chan, w->now_us);
	armed = false;
	return r;
}

static void key_give(struct end *e)
{
	static const uint8_t key[SSM_DATA_KEY_LEN] = { 7 };
	bool is_client = e == &e->play->ends[CLIENT];
	int r;

	if (!e->key_wanted)
		return;
	armed = true;
	r = ssm_chan_key(e->chan, key, is_client ? (const uint8_t *)"cipher" : NULL,
			 is_client ? 6 : 0, e->play->now_us);
	armed = false;
	e->key_wanted = r == ST_ENOMEM && !e->closed; /* tried again */
}

/* Messages of their own first, then bytes that may join. */
static void send_some(struct end *e)
{
	int from = e == &e->play->ends[CLIENT] ? CLIENT : AGENT;
	uint8_t bytes[CHUNK];
	size_t n = e->typed < TYPED ? 5 : MIN(CHUNK, TYPED * 5 + BULK_BYTES - e->sent);

	for (size_t i = 0; i < n; i++)
		bytes[i] = pattern(from, e->sent + i);
	armed = true;
	if (e->typed == TYPED)
		e->sent += ssm_chan_send(e->chan, bytes, n, e->play->now_us);
	else if (ssm_chan_send_typed(e->chan, SSM_PT_OUTPUT, bytes, n, e->play->now_us) == 0) {
		e->typed++;
		e->sent += n;
	}
	armed = false;
}

static void wire_push(struct end *to, const uint8_t *p, size_t len)
{
	if (to->wire_n == WIRE_MSGS || len > WIRE_BYTES)
		return;
	memcpy(wires[to - to->play->ends][to->wire_n], p, len);
	to->len[to->wire_n++] = len;
}

static void pump(struct play *w, int from)
{
	const uint8_t *p;
	size_t len;

	for (;;) {
		int more;

		armed = true;
		more = ssm_chan_next_output(w->ends[from].chan, &p, &len, w->now_us);
		armed = false;
		if (!more)
			return;
		wire_push(&w->ends[!from], p, len);
	}
}

static void arrive(struct end *e, size_t at)
{
	armed = true;
	ssm_chan_input(e->chan, wires[e - e->play->ends][at], e->len[at], e->play->now_us);
	armed = false;
}

/* All that is under way arrives. On a bad wire one in five is lost, one in five comes twice, and the rest backwards. */
static void deliver(struct play *w, int to, bool bad)
{
	struct end *e = &w->ends[to];
	size_t n = e->wire_n;

	for (size_t i = 0; i < n; i++) {
		size_t at = bad ? n - 1 - i : i;
		unsigned luck = bad ? w->disorder++ % 5 : 2;

		if (luck > 0)
			arrive(e, at);
		if (luck == 1)
			arrive(e, at);
	}
	e->wire_n = 0;
}

static void pass_time(struct play *w, uint64_t us)
{
	w->now_us += us;
	for (int i = 0; i < ENDS; i++) {
		armed = true;
		if (ssm_chan_deadline(w->ends[i].chan) <= w->now_us)
			ssm_chan_expire(w->ends[i].chan, w->now_us);
		armed = false;
	}
}

static void round_go(struct play *w, bool bad)
{
	for (int i = 0; i < ENDS; i++) {
		key_give(&w->ends[i]);
		for (int k = 0; k < 8; k++)
			send_some(&w->ends[i]);
		pump(w, i);
	}
	pass_time(w, 2000);
	deliver(w, CLIENT, bad);
	deliver(w, AGENT, bad);
	pass_time(w, 8000);
}

static void refuse(struct play *w, int which, bool on)
{
	struct end *e = &w->ends[which];

	e->refuse = on;
	armed = true;
	if (!on)
		ssm_chan_resume_input(e->chan, w->now_us);
	armed = false;
}

static void cut(struct play *w, int which)
{
	armed = true;
	ssm_chan_transport_down(w->ends[which].chan, w->now_us);
	ssm_chan_transport_up(w->ends[which].chan, w->now_us);
	armed = false;
	w->ends[CLIENT].wire_n = w->ends[AGENT].wire_n = 0;
}

static bool is_over(const struct play *w)
{
	return w->ends[CLIENT].closed || w->ends[AGENT].closed;
}

static bool is_done(const struct play *w)
{
	for (int i = 0; i < ENDS; i++)
		if (w->ends[i].received < TYPED * 5 + BULK_BYTES)
			return false;
	return true;
}

static void worst(struct play *w)
{
	for (int n = 0; n < 26 && !is_over(w); n++) {
		refuse(w, n & 1, n % 10 > 6);
		if (n == 12)
			cut(w, CLIENT);
		if (n == 18)
			cut(w, AGENT);
		round_go(w, n % 3 == 1);
	}
}

static void heal(struct play *w)
{
	for (int i = 0; i < ENDS; i++)
		refuse(w, i, false);
	for (unsigned n = 0; !is_done(w) && !is_over(w); n++) {
		assert_true(n < HEAL_ROUNDS);
		round_go(w, false);
	}
}

/* jansson can't say why a text can't be read or written: then it may be the peer's or the caller's fault. */
static bool is_reason(int err)
{
	return err == ST_ENOMEM || err == ST_EPEER || (jansson_fails && err == ST_EINVAL);
}

static void outcome_check(const struct play *w)
{
	if (!is_over(w))
		assert_true(w->ends[CLIENT].ready == 1 && w->ends[AGENT].ready == 1);
	for (int i = 0; i < ENDS; i++)
		if (w->ends[i].closed)
			assert_true(w->ends[i].closed == 1 && is_reason(w->ends[i].close_err));
}

/* Return: whether the session came to data both ways */
static bool play(bool encrypted)
{
	struct play *w = __real_calloc(1, sizeof(*w));
	bool done = false;
	int r;

	assert_non_null(w);
	w->now_us = START_US;
	w->encrypted = encrypted;
	r = end_open(w, CLIENT);
	if (r == 0)
		r = end_open(w, AGENT);
	if (r == 0) {
		worst(w);
		fails_left = 0;
		heal(w);
		outcome_check(w);
		done = is_done(w);
	} else {
		assert_true(r == ST_ENOMEM || r == ST_EINVAL);
	}
	for (int i = 0; i < ENDS; i++)
		ssm_chan_free(w->ends[i].chan);
	free(w);
	return done;
}

/* Every allocation in turn is the first of @many that fail; until none does. */
static void each_fails(bool encrypted, long many)
{
	unsigned done = 0, played = 0;

	for (long at = 0;; at++) {
		countdown = at;
		fails_left = many;
		failed = 0;
		done += play(encrypted);
		if (failed == 0)
			break;
		played++;
	}
	print_message("%u allocations, %u sessions went on\n", played, done - 1);
	assert_true(played > 100);
	/* a message or an acknowledgement less ends nothing; a step of the handshake may */
	assert_true(done > played / 3);
}

static void ours_fail_once(void **state)
{
	(void)state;
	each_fails(false, 1);
}

static void ours_fail_once_encrypted(void **state)
{
	(void)state;
	each_fails(true, 1);
}

static void ours_fail_for_a_while(void **state)
{
	(void)state;
	each_fails(true, 20);
}

static void jansson_and_ours_fail(void **state)
{
	(void)state;
	json_set_alloc_funcs(__wrap_malloc, free);
	jansson_fails = true;
	each_fails(true, 1);
	jansson_fails = false;
	json_set_alloc_funcs(__real_malloc, free);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ours_fail_once),
		cmocka_unit_test(ours_fail_once_encrypted),
		cmocka_unit_test(ours_fail_for_a_while),
		cmocka_unit_test(jansson_and_ours_fail),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
