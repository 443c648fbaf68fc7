// SPDX-License-Identifier: MIT
/*
 * dns_pipe_test.c - streams that play a script, and a clock that the test moves
 *
 * Cases: one question and its answer, the id put back; many in any order; batches and frames in pieces, in both directions; answers with
 * unknown ids, another question, none, too short, no answer: what is ignored and what closes this channel only; a lost channel asked anew,
 * once; dials that fail, at once and later, and the pause; silence: the second channel, an old channel's late answer, a server that works
 * one after the other, four channels and no more; deadlines; cancel in every state; idle channels, the least used one of too many; an
 * upstream dropped; limits; owners that ask, cancel and drop from inside their callback; no turn while idle.
 */
#include "tests/unit/dns/net_fixture.h"

#include <stdlib.h>

#include "dns/dns_pipe_internal.h"

#define STREAMS 256U
#define WIRE 262144U
#define WINDOW 65536U

/* The far end of a channel: what was written to it, and what it has to say. */
struct stream {
	struct dns_via via;
	const struct dns_stream_events *events;
	void *arg;
	uint8_t got[WIRE], say[WIRE];
	size_t n_got, taken, n_say, said;
	size_t room;
	bool closed, eof, broken;
};

static struct loop *loop;
static struct dns d;
static struct dns_pipes *p;
static struct stream *streams[STREAMS];
static unsigned n_streams;
static int dial_error;
static const struct dns_via via1 = { .upstream = 1,
				     .resolver = { { 4, { 169, 254, 169, 253 } }, 53 } };
static const struct dns_via via2 = { .upstream = 2, .resolver = { { 4, { 10, 0, 0, 2 } }, 53 } };

/* --- the stream's side of the contract; a handle is an index + 1 */

static struct stream *at(handle h)
{
	assert_true(h > 0 && h <= n_streams);
	assert_false(streams[h - 1]->closed);
	return streams[h - 1];
}

static ssize_t s_read(void *owner, handle h, uint8_t *buf, size_t cap)
{
	struct stream *s = at(h);
	size_t n = MIN(cap, s->n_say - s->said);

	assert_ptr_equal(owner, &n_streams);
	if (n == 0)
		return s->broken ? ST_ECLOSED : s->eof ? 0 : ST_EAGAIN;
	memcpy(buf, s->say + s->said, n);
	s->said += n;
	return (ssize_t)n;
}

static size_t s_room(void *owner, handle h)
{
	(void)owner;
	return at(h)->room;
}

static int s_write(void *owner, handle h, const uint8_t *b, size_t len)
{
	struct stream *s = at(h);

	(void)owner;
	assert_true(len > 0 && len <= s->room && len <= WIRE - s->n_got);
	if (s->broken)
		return ST_ECLOSED;
	memcpy(s->got + s->n_got, b, len);
	s->n_got += len;
	s->room -= len;
	return 0;
}

static void s_close(void *owner, handle h)
{
	(void)owner;
	at(h)->closed = true;
}

static int dial(void *arg, const struct dns_via *via, struct dns_stream *out,
		const struct dns_stream_events *events, void *events_arg)
{
	static const struct dns_stream_ops ops = { s_read, s_room, s_write, s_close };
	struct stream *s;

	assert_ptr_equal(arg, &d);
	if (dial_error)
		return dial_error;
	assert_true(n_streams < STREAMS);
	s = streams[n_streams++] = calloc(1, sizeof(*s));
	assert_non_null(s);
	s->via = *via;
	s->events = events;
	s->arg = events_arg;
	s->room = WINDOW;
	*out = (struct dns_stream){ &ops, &n_streams, n_streams };
	return 0;
}

/* --- steps of a script */

static void turn(void)
{
	assert_int_equal(loop_turn(loop, 0), 0);
}

static void pass(uint64_t ms)
{
	clock_ms += ms;
	turn();
	turn(); /* what the first has posted */
}

static void opened(unsigned i)
{
	streams[i]->events->opened(streams[i]->arg);
	turn();
}

static void failed(unsigned i, const char *text)
{
	streams[i]->closed = true; /* the last event: no call may follow */
	streams[i]->events->failed(streams[i]->arg, text);
	turn();
}

static void gone(unsigned i)
{
	streams[i]->closed = true;
	streams[i]->events->gone(streams[i]->arg);
	turn();
}

static void io(unsigned i)
{
	streams[i]->events->io(streams[i]->arg);
	turn();
}

static void say(unsigned i, const void *b, size_t len)
{
	assert_true(len <= WIRE - streams[i]->n_say);
	memcpy(streams[i]->say + streams[i]->n_say, b, len);
	streams[i]->n_say += len;
}

static void say_frame(unsigned i, const uint8_t *msg, size_t len)
{
	uint8_t head[2];

	be16_put(head, (uint16_t)len);
	say(i, head, 2);
	say(i, msg, len);
}

/* The next question that stream @i got. Return: bytes, 0 if there is none */
static size_t question(unsigned i, uint8_t *out)
{
	struct stream *s = streams[i];
	size_t len;

	memset(out, 0, DNS_HEADER_BYTES);
	if (s->n_got - s->taken < 2)
		return 0;
	len = be16_get(s->got + s->taken);
	assert_true(len >= DNS_HEADER_BYTES && len <= MSG_MAX);
	if (s->n_got - s->taken - 2 < len)
		return 0;
	memcpy(out, s->got + s->taken + 2, len);
	s->taken += 2 + len;
	return len;
}

static void answer(unsigned i, const uint8_t *query, size_t len, uint8_t last)
{
	uint8_t msg[MSG_MAX];

	say_frame(i, msg, answer_make(msg, query, len, 0, last));
}

/* Takes stream @i's next question, which must be for @name, and answers it. */
static void serve(unsigned i, const char *name, uint8_t last)
{
	uint8_t q[MSG_MAX], want[MSG_MAX];
	size_t n = question(i, q), len = query_make(want, dns_msg_id(q), name);

	assert_int_equal(n, len);
	assert_memory_equal(q, want, len);
	answer(i, q, n, last);
	io(i);
}

static unsigned waiting(unsigned i)
{
	uint8_t q[MSG_MAX];
	size_t taken = streams[i]->taken;
	unsigned n = 0;

	while (question(i, q))
		n++;
	streams[i]->taken = taken;
	return n;
}

#define BUDGET 10000U

static int ask_via(struct told *t, const char *name, const struct dns_via *via)
{
	uint8_t q[MSG_MAX];
	size_t len = query_make(q, 0x1234, name);

	memset(t, 0, sizeof(*t));
	return dns_pipe_ask(p, &t->h, via, q, len, clock_ms + BUDGET, told_fn, t);
}

static void ask(struct told *t, const char *name)
{
	assert_int_equal(ask_via(t, name, &via1), 0);
	assert_int_equal(t->times, 0);
	turn();
}

static void is_answered(const struct told *t, const char *name, uint8_t last)
{
	uint8_t q[MSG_MAX];

	assert_true(told_address(t, q, query_make(q, 0x1234, name), last));
}

static void has_failed(const struct told *t, int err, const char *text)
{
	assert_int_equal(t->times, 1);
	assert_int_equal(t->err, err);
	assert_int_equal(t->len, 0);
	assert_non_null(strstr(t->text, text));
}

static int setup(void **state)
{
	static const struct dns_hooks hooks = { .dial = dial };

	(void)state;
	n_streams = 0;
	dial_error = 0;
	if (loop_new(&loop) < 0)
		return -1;
	d = (struct dns){ .loop = loop, .opts = { .loop = loop, .hooks = &hooks, .arg = &d } };
	loop_turn(loop, 0);
	return dns_pipes_new(&p, &d);
}

static int teardown(void **state)
{
	(void)state;
	dns_pipes_free(p);
	for (unsigned i = 0; i < n_streams; i++) {
		assert_true(streams[i]->closed);
		free(streams[i]);
	}
	loop_free(loop);
	return 0;
}

/* --- questions and answers */

static void one(void **state)
{
	struct told t;

	(void)state;
	ask(&t, "db.prod.internal");
	assert_int_equal(n_streams, 1);
	assert_int_equal(dns_pipes_count(p), 1);
	assert_memory_equal(&streams[0]->via.resolver, &via1.resolver, sizeof(via1.resolver));
	assert_int_equal(streams[0]->n_got, 0); /* not before it is open */
	opened(0);
	serve(0, "db.prod.internal", 7);
	is_answered(&t, "db.prod.internal", 7);
	ask(&t, "db2.prod.internal"); /* the channel is kept */
	serve(0, "db2.prod.internal", 8);
	is_answered(&t, "db2.prod.internal", 8);
	assert_int_equal(n_streams, 1);
}

static void any_order(void **state)
{
	enum { N = 500 };
	static struct told t[N];
	static uint8_t q[N][128];
	static size_t len[N];
	static bool seen[65536];
	char name[64];

	(void)state;
	for (unsigned i = 0; i < N; i++) {
		snprintf(name, sizeof(name), "h%u.prod.internal", i);
		assert_int_equal(ask_via(&t[i], name, &via1), 0);
	}
	opened(0);
	assert_int_equal(n_streams, 1);
	for (unsigned i = 0; i < N; i++) {
		uint8_t msg[MSG_MAX];

		len[i] = question(0, msg);
		assert_true(len[i] > 0 && len[i] < 128);
		memcpy(q[i], msg, len[i]);
		assert_false(seen[dns_msg_id(msg)]);
		seen[dns_msg_id(msg)] = true;
	}
	for (unsigned i = N; i-- > 0;)
		answer(0, q[i], len[i], (uint8_t)i);
	io(0);
	for (unsigned i = 0; i < N; i++) {
		snprintf(name, sizeof(name), "h%u.prod.internal", i);
		is_answered(&t[i], name, (uint8_t)i);
	}
	assert_int_equal(dns_pipes_ignored(p), 0);
}

/* Every question and answer in pieces of every size */
static void pieces(void **state)
{
	struct told a, b;

	(void)state;
	ask(&a, "x.internal");
	opened(0);
	serve(0, "x.internal", 1);
	for (size_t step = 1; step < 40; step++) {
		struct stream *s = streams[0];
		size_t end;

		s->room = 0;
		ask(&a, "a.internal");
		ask(&b, "b.internal");
		while (waiting(0) < 2) {
			s->room = step;
			io(0);
		}
		s->room = WINDOW;
		for (int i = 0; i < 2; i++) {
			uint8_t q[MSG_MAX];
			size_t n = question(0, q);

			answer(0, q, n, (uint8_t)step);
		}
		end = s->n_say;
		while (s->n_say = MIN(s->said + step, end), s->said < end)
			io(0);
		is_answered(&a, "a.internal", (uint8_t)step);
		is_answered(&b, "b.internal", (uint8_t)step);
	}
	assert_int_equal(n_streams, 1);
}

/* A frame of the largest size there is, both ways */
static void largest(void **state)
{
	static uint8_t q[DNS_MESSAGE_MAX], msg[DNS_MESSAGE_MAX];
	struct told t = { 0 };
	size_t len;

	(void)state;
	query_make(q, 1, "x.internal");
	assert_int_equal(dns_pipe_ask(p, &t.h, &via1, q, sizeof(q), clock_ms + BUDGET, told_fn, &t),
			 0);
	opened(0);
	assert_int_equal(streams[0]->n_got, WINDOW);
	streams[0]->room = WINDOW;
	io(0);
	assert_int_equal(streams[0]->n_got, 2 + DNS_MESSAGE_MAX);
	assert_int_equal(be16_get(streams[0]->got), DNS_MESSAGE_MAX);
	dns_pipe_cancel(p, t.h);

	ask(&t, "y.internal");
	memset(msg, 0, sizeof(msg));
	len = be16_get(streams[0]->got + 2 + DNS_MESSAGE_MAX);
	memcpy(msg, streams[0]->got + 4 + DNS_MESSAGE_MAX, len);
	streams[0]->taken = streams[0]->n_got;
	msg[2] |= 0x80;
	msg[0] = (uint8_t)~msg[0]; /* nobody's: the test's room is smaller than this */
	say_frame(0, msg, sizeof(msg));
	io(0);
	assert_int_equal(dns_pipes_ignored(p), 1);
	msg[0] = (uint8_t)~msg[0];
	say_frame(0, msg, 100);
	io(0);
	assert_int_equal(t.times, 1);
	assert_int_equal(t.len, 100);
}

/* --- answers that are none */

static void strangers(void **state)
{
	uint8_t q[MSG_MAX], other[MSG_MAX];
	struct told t, t2;
	size_t n, len;

	(void)state;
	ask(&t, "db.internal");
	opened(0);
	n = question(0, q);
	for (unsigned i = 0; i < 16; i++) { /* ids that are near, and far */
		memcpy(other, q, n);
		dns_msg_set_id(other, (uint16_t)(dns_msg_id(q) ^ 1U << i));
		answer(0, other, n, 66);
	}
	len = query_make(other, dns_msg_id(q), "dc.internal");
	answer(0, other, len, 66);
	len = query_make(other, dns_msg_id(q), "db.internal");
	other[len - 3] = 28; /* another type */
	answer(0, other, len, 66);
	io(0);
	assert_int_equal(t.times, 0);
	assert_int_equal(dns_pipes_ignored(p), 18);
	memcpy(other, q, n);
	other[DNS_HEADER_BYTES + 1] = 'D'; /* names have no case */
	answer(0, other, n, 5);
	answer(0, q, n, 66); /* and twice is once */
	io(0);
	is_answered(&t, "db.internal", 5);
	assert_int_equal(dns_pipes_ignored(p), 19);
	ask(&t2, "db2.internal");
	serve(0, "db2.internal", 9);
	is_answered(&t2, "db2.internal", 9);
	assert_int_equal(n_streams, 1);
}

static void bare_error(void **state)
{
	uint8_t q[MSG_MAX];
	struct told t;

	(void)state;
	ask(&t, "db.internal");
	opened(0);
	question(0, q);
	q[2] |= 0x80;
	q[3] = 1;
	q[5] = 0;
	say_frame(0, q, DNS_HEADER_BYTES);
	io(0);
	has_failed(&t, ST_ECLOSED, "error 1");
	assert_int_equal(dns_pipes_count(p), 1);
}

/* What can't be a message closes its channel and no other; the question is asked anew */
static void garbage(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
	} cases[] = {
		{ "\0\0", 2 },
		{ "\0\1x", 3 },
		{ "\0\13aaaaaaaaaaa", 13 },
		{ "\0\14\1\2\0\0\0\0\0\0\0\0\0\0", 14 }, /* no QR */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		unsigned first = n_streams;
		struct told t, other;

		assert_int_equal(ask_via(&other, "other.internal", &via2), 0);
		ask(&t, "db.internal");
		opened(first);
		opened(first + 1);
		say(first + 1, cases[i].bytes, cases[i].len);
		io(first + 1);
		assert_true(streams[first + 1]->closed);
		assert_false(streams[first]->closed);
		assert_int_equal(n_streams, first + 3);
		opened(first + 2);
		serve(first + 2, "db.internal", 3);
		serve(first, "other.internal", 4);
		is_answered(&t, "db.internal", 3);
		is_answered(&other, "other.internal", 4);
		dns_pipes_drop(p, 1);
		dns_pipes_drop(p, 2);
		turn();
	}
}

/* --- channels that are lost */

enum loss { LOSS_GONE, LOSS_EOF, LOSS_READ, LOSS_WRITE, LOSS_N };

static void lose(unsigned i, enum loss how)
{
	struct told t;

	switch (how) {
	case LOSS_EOF:
		streams[i]->eof = true;
		io(i);
		break;
	case LOSS_READ:
		streams[i]->broken = true;
		io(i);
		break;
	case LOSS_WRITE:
		streams[i]->broken = true;
		ask(&t, "late.internal");
		dns_pipe_cancel(p, t.h);
		break;
	default: gone(i);
	}
	assert_true(streams[i]->closed);
}

static void lost(void **state)
{
	(void)state;
	for (enum loss how = 0; how < LOSS_N; how++) {
		unsigned first = n_streams;
		struct told a, b, c;

		ask(&c, "c.internal");
		ask(&a, "a.internal");
		opened(first);
		serve(first, "c.internal", 1);
		ask(&b, "b.internal");
		lose(first, how);
		assert_int_equal(a.times + b.times, 0);
		assert_int_equal(n_streams, first + 2); /* one dial for both */
		opened(first + 1);
		serve(first + 1, "a.internal", 2);
		is_answered(&a, "a.internal", 2);
		lose(first + 1, LOSS_GONE);
		has_failed(&b, ST_ECLOSED, "169.254.169.253:53: the connection was lost");
		assert_int_equal(n_streams, first + 2);
		assert_int_equal(dns_pipes_count(p), 0);
		turn();
	}
}

/* One that never says a word is lost: asked anew at once, then a pause, although dials succeed */
static void lost_unheard(void **state)
{
	struct told t;

	(void)state;
	ask(&t, "a.internal");
	for (unsigned i = 0; i < 6; i++) {
		opened(2 * i);
		gone(2 * i);
		assert_int_equal(n_streams, 2 * i + 2);
		opened(2 * i + 1);
		gone(2 * i + 1);
		has_failed(&t, ST_ECLOSED, "connection was lost");
		ask(&t, "a.internal");
		turn();
		has_failed(&t, ST_ECLOSED, "connection was lost");
		assert_int_equal(n_streams, 2 * i + 2);
		pass(PIPE_BACKOFF_MAX_MS);
		ask(&t, "a.internal");
		assert_int_equal(n_streams, 2 * i + 3);
	}
	dns_pipe_cancel(p, t.h);
}

static void dial_fails(void **state)
{
	uint32_t pause = PIPE_BACKOFF_MS;
	struct told a, b;

	(void)state;
	for (unsigned i = 0; i < 8; i++) {
		ask(&a, "a.internal");
		ask(&b, "b.internal");
		assert_int_equal(n_streams, i + 1);
		failed(i, "Connection refused");
		has_failed(&a, ST_ECLOSED, "resolver 169.254.169.253:53: Connection refused");
		has_failed(&b, ST_ECLOSED, "Connection refused");
		pass(pause - 1);
		ask(&a, "a.internal");
		turn();
		has_failed(&a, ST_ECLOSED, "Connection refused");
		assert_int_equal(n_streams, i + 1);
		pass(1);
		pause = MIN(pause * 2, PIPE_BACKOFF_MAX_MS);
	}
	ask(&a, "a.internal"); /* an answer ends the pauses */
	opened(8);
	serve(8, "a.internal", 1);
	is_answered(&a, "a.internal", 1);
	gone(8);
	ask(&a, "a.internal");
	failed(9, "no");
	pass(PIPE_BACKOFF_MS);
	ask(&a, "a.internal");
	assert_int_equal(n_streams, 11);
	dns_pipe_cancel(p, a.h);
}

static void dial_refused(void **state)
{
	struct told t;

	(void)state;
	dial_error = ST_ENOENT;
	assert_int_equal(ask_via(&t, "a.internal", &via1), 0);
	assert_int_equal(t.times, 0); /* not from inside */
	turn();
	has_failed(&t, ST_ECLOSED, "upstream");
	dial_error = 0;
	ask(&t, "a.internal");
	turn();
	has_failed(&t, ST_ECLOSED, "upstream"); /* the pause */
	pass(PIPE_BACKOFF_MS);
	ask(&t, "a.internal");
	opened(0);
	serve(0, "a.internal", 1);
	is_answered(&t, "a.internal", 1);
}

/* --- silence */

/* A server that works one question after the other is stuck with the first: the others are answered over another channel */
static void stuck(void **state)
{
	struct told slow, a, b, c;
	uint8_t q[MSG_MAX];
	size_t n;

	(void)state;
	ask(&slow, "slow.internal");
	ask(&a, "a.internal");
	ask(&b, "b.internal");
	opened(0);
	pass(PIPE_STALL_MS - 1);
	assert_int_equal(n_streams, 1);
	pass(1);
	assert_int_equal(n_streams, 2);
	opened(1);
	assert_int_equal(waiting(1), 2); /* not the slow one */
	serve(1, "a.internal", 1);
	serve(1, "b.internal", 2);
	is_answered(&a, "a.internal", 1);
	is_answered(&b, "b.internal", 2);
	ask(&c, "c.internal"); /* new ones pass it by, too */
	serve(1, "c.internal", 3);
	is_answered(&c, "c.internal", 3);
	n = question(0, q);
	answer(0, q, n,
	       9); /* after a while it speaks: the slow one, then those that have had their answers */
	for (int i = 0; i < 2; i++) {
		n = question(0, q);
		answer(0, q, n, 66);
	}
	pass(3000);
	io(0);
	is_answered(&slow, "slow.internal", 9);
	is_answered(&a, "a.internal", 1);
	assert_int_equal(dns_pipes_ignored(p), 2);
	assert_int_equal(dns_pipes_count(p), 2);
	assert_int_equal(n_streams, 2);
}

/* All of a resolver's names are slow: what was asked first is answered first, on its first channel */
static void all_slow(void **state)
{
	struct told t[8];
	char name[32];

	(void)state;
	for (unsigned i = 0; i < 8; i++) {
		snprintf(name, sizeof(name), "s%u.internal", i);
		ask(&t[i], name);
	}
	for (unsigned i = 0; i < PIPE_CHANS_MAX; i++) {
		assert_int_equal(n_streams, i + 1);
		opened(i);
		assert_int_equal(waiting(i), 8 - i);
		pass(PIPE_STALL_MS);
	}
	assert_int_equal(n_streams, PIPE_CHANS_MAX); /* and no more */
	pass(PIPE_STALL_MS);
	assert_int_equal(n_streams, PIPE_CHANS_MAX);
	for (unsigned i = 0; i < 8; i++) {
		snprintf(name, sizeof(name), "s%u.internal", i);
		serve(0, name, (uint8_t)i);
		is_answered(&t[i], name, (uint8_t)i);
	}
	assert_int_equal(dns_pipes_count(p),
			 1); /* stalled ones that nobody waits on are given up */
}

/* A resolver that says nothing at all: each ends at its deadline, and its channel with it */
static void dead(void **state)
{
	struct told a, b;

	(void)state;
	ask(&a, "a.internal");
	opened(0);
	pass(5000);
	ask(&b, "b.internal");
	assert_int_equal(n_streams, 2);
	opened(1);
	pass(4999);
	assert_int_equal(a.times, 0);
	pass(1);
	has_failed(&a, ST_ETIMEOUT, "no answer");
	assert_true(streams[0]->closed);
	pass(5000);
	has_failed(&b, ST_ETIMEOUT, "no answer");
	assert_int_equal(dns_pipes_count(p), 0);
}

/* The one that it is stuck with ends, its channel is given up, and what waits there is asked anew if it is nowhere else */
static void stuck_to_the_end(void **state)
{
	struct told slow, late;

	(void)state;
	ask(&slow, "slow.internal");
	opened(0);
	pass(9500);
	dial_error = ST_ENOMEM; /* no other channel to be had: it must go to the stalled one */
	ask(&late, "late.internal");
	assert_int_equal(late.times, 0);
	assert_int_equal(waiting(0), 2);
	dial_error = 0;
	pass(500);
	has_failed(&slow, ST_ETIMEOUT, "no answer");
	assert_true(streams[0]->closed);
	assert_int_equal(n_streams, 2);
	opened(1);
	serve(1, "late.internal", 1);
	is_answered(&late, "late.internal", 1);
}

static void deadlines(void **state)
{
	uint8_t q[MSG_MAX];
	size_t len = query_make(q, 1, "a.internal");
	struct told t = { 0 }, u;

	(void)state;
	assert_int_equal(dns_pipe_ask(p, &t.h, &via1, q, len, clock_ms, told_fn, &t), 0);
	assert_int_equal(t.times, 0);
	pass(0);
	has_failed(&t, ST_ETIMEOUT, "no answer");
	ask(&t, "a.internal"); /* a dial that hangs */
	pass(BUDGET);
	has_failed(&t, ST_ETIMEOUT, "no answer");
	opened(0);
	ask(&t, "a.internal");
	pass(100);
	ask(&u, "b.internal");
	serve(0, "a.internal", 1);
	pass(BUDGET); /* the other is not answered, but the channel spoke */
	has_failed(&u, ST_ETIMEOUT, "no answer");
}

/* --- cancel */

static void cancelled(void **state)
{
	struct told t, other;
	uint8_t q[MSG_MAX];
	handle old;

	(void)state;
	ask(&t, "a.internal"); /* while dialling */
	dns_pipe_cancel(p, t.h);
	dns_pipe_cancel(p, t.h);
	opened(0);
	assert_int_equal(streams[0]->n_got, 0);
	ask(&t, "b.internal"); /* under way */
	ask(&other, "c.internal");
	assert_int_equal(waiting(0), 2);
	dns_pipe_cancel(p, t.h);
	old = t.h;
	serve(0, "b.internal", 66);
	serve(0, "c.internal", 2);
	is_answered(&other, "c.internal", 2);
	dns_pipe_cancel(p, other.h); /* stale */
	streams[0]->room = 5;	     /* half written: the rest of it follows */
	ask(&t, "d.internal");
	assert_true(t.h != old);
	dns_pipe_cancel(p, t.h);
	ask(&other, "e.internal");
	streams[0]->room = WINDOW;
	io(0);
	assert_true(question(0, q) > 0);
	serve(0, "e.internal", 3);
	is_answered(&other, "e.internal", 3);
	ask(&t, "f.internal"); /* failed, and not yet told */
	gone(0);
	streams[1]->closed = true;
	streams[1]->events->failed(streams[1]->arg, "no");
	dns_pipe_cancel(p, t.h);
	turn();
	assert_int_equal(t.times, 0);
	pass(PIPE_BACKOFF_MS);
	ask(&t, "g.internal"); /* on two channels */
	ask(&other, "h.internal");
	opened(2);
	pass(PIPE_STALL_MS);
	opened(3);
	dns_pipe_cancel(p, other.h);
	dns_pipe_cancel(p, t.h);
	turn();
	assert_int_equal(t.times, 0);
	assert_true(streams[2]->closed); /* it had stalled */
	assert_int_equal(dns_pipes_count(p), 1);
}

/* --- idle */

static void idle(void **state)
{
	struct told t;

	(void)state;
	ask(&t, "a.internal");
	opened(0);
	serve(0, "a.internal", 1);
	pass(PIPE_STALL_MS); /* the stall timer finds nothing */
	pass(PIPE_IDLE_MS - PIPE_STALL_MS - 1);
	assert_int_equal(dns_pipes_count(p), 1);
	pass(1);
	assert_int_equal(dns_pipes_count(p), 0);
	assert_true(streams[0]->closed);
	clock_ms += 1000000;
	sleeps(loop); /* nothing is armed */
	ask(&t, "a.internal");
	opened(1);
	serve(1, "a.internal", 2);
	is_answered(&t, "a.internal", 2);
}

/* The far side closes an idle one: nobody minds */
static void idle_closed(void **state)
{
	struct told t;

	(void)state;
	ask(&t, "a.internal");
	opened(0);
	serve(0, "a.internal", 1);
	streams[0]->eof = true;
	io(0);
	assert_int_equal(dns_pipes_count(p), 0);
	assert_int_equal(n_streams, 1);
	ask(&t, "b.internal");
	opened(1);
	serve(1, "b.internal", 2);
	is_answered(&t, "b.internal", 2);
}

static struct dns_via via_n(unsigned n)
{
	struct dns_via via = via1;

	via.resolver.addr.b[3] = (uint8_t)n;
	return via;
}

static void too_many_pipes(void **state)
{
	static struct told t[DNS_PIPES_MAX + 1];
	struct dns_via via;

	(void)state;
	for (unsigned i = 0; i < DNS_PIPES_MAX; i++) {
		via = via_n(i);
		assert_int_equal(ask_via(&t[i], "a.internal", &via), 0);
		turn();
		opened(i);
		clock_ms += 1;
	}
	assert_int_equal(dns_pipes_count(p), DNS_PIPES_MAX);
	via = via_n(DNS_PIPES_MAX);
	assert_int_equal(ask_via(&t[DNS_PIPES_MAX], "a.internal", &via), ST_EFULL);
	serve(9, "a.internal", 1); /* idle, and then this one: it is the one idle for longer */
	pass(1);
	serve(5, "a.internal", 1);
	assert_int_equal(ask_via(&t[DNS_PIPES_MAX], "a.internal", &via), 0);
	turn();
	assert_true(streams[9]->closed);
	assert_false(streams[5]->closed);
	assert_int_equal(dns_pipes_count(p), DNS_PIPES_MAX);
	opened(DNS_PIPES_MAX);
	serve(DNS_PIPES_MAX, "a.internal", 3);
	is_answered(&t[DNS_PIPES_MAX], "a.internal", 3);
	for (unsigned i = 0; i < DNS_PIPES_MAX; i++)
		dns_pipe_cancel(p, t[i].h);
}

/* What anybody may name is held to a part of the channels, and among those the idle one gives way. */
static void relays_have_a_part_of_the_pipes(void **state)
{
	static struct told t[PIPE_RELAYS_MAX + 3];
	struct dns_via via;

	(void)state;
	assert_int_equal(ask_via(&t[0], "a.internal", &via1), 0);
	turn();
	opened(0);
	serve(0, "a.internal", 1); /* idle for longest, and not a relay's */
	for (unsigned i = 1; i <= PIPE_RELAYS_MAX; i++) {
		via = via_n(i);
		via.relay = true;
		assert_int_equal(ask_via(&t[i], "a.internal", &via), 0);
		turn();
		opened(i);
		clock_ms += 1;
	}
	via = via_n(PIPE_RELAYS_MAX + 1);
	via.relay = true;
	assert_int_equal(ask_via(&t[PIPE_RELAYS_MAX + 1], "a.internal", &via), ST_EFULL);
	serve(5, "a.internal", 1);
	assert_int_equal(ask_via(&t[PIPE_RELAYS_MAX + 1], "a.internal", &via), 0);
	assert_true(streams[5]->closed);
	assert_false(streams[0]->closed);
	via = via_n(
		7); /* names go there, too: it is no relay's any more, and the other way round it stays */
	assert_int_equal(ask_via(&t[5], "b.internal", &via), 0);
	via.relay = true;
	assert_int_equal(ask_via(&t[0], "c.internal", &via), 0);
	via = via_n(PIPE_RELAYS_MAX + 2);
	via.relay = true;
	assert_int_equal(ask_via(&t[PIPE_RELAYS_MAX + 2], "a.internal", &via), 0);
	assert_int_equal(dns_pipes_count(p), PIPE_RELAYS_MAX + 2);
	for (unsigned i = 0; i < ARRAY_LEN(t); i++)
		dns_pipe_cancel(p, t[i].h);
}

/* Resolvers that can't be reached are forgotten one for another */
static void many_dead_resolvers(void **state)
{
	struct told t;

	(void)state;
	dial_error = ST_ENOENT;
	for (unsigned i = 0; i < 4 * DNS_PIPES_MAX; i++) {
		struct dns_via via = via_n(i % 256);

		via.upstream = i;
		assert_int_equal(ask_via(&t, "a.internal", &via), 0);
		pass(1);
		has_failed(&t, ST_ECLOSED, "upstream");
		assert_true(p->n_resolvers <= DNS_PIPES_MAX);
	}
}

/* --- the rest */

static void dropped(void **state)
{
	struct told a, b, c, e;

	(void)state;
	ask(&a, "a.internal");
	opened(0);
	serve(0, "a.internal", 1);
	ask(&a, "a.internal");
	assert_int_equal(ask_via(&b, "b.internal", &via2), 0);
	turn();
	ask(&c, "c.internal");
	dns_pipes_drop(p, 1);
	assert_int_equal(a.times + c.times, 0);		       /* from the loop */
	assert_int_equal(ask_via(&e, "e.internal", &via1), 0); /* a new one of that number */
	turn();
	has_failed(&a, ST_ECLOSED, "upstream");
	has_failed(&c, ST_ECLOSED, "upstream");
	assert_true(streams[0]->closed);
	opened(1);
	serve(1, "b.internal", 2);
	is_answered(&b, "b.internal", 2);
	opened(2);
	serve(2, "e.internal", 3);
	is_answered(&e, "e.internal", 3);
	dns_pipes_drop(p, 77);
}

static void limits(void **state)
{
	static struct told t[PIPE_ASKS_MAX + 1];
	static uint8_t q[DNS_MESSAGE_MAX + 1];
	size_t len = query_make(q, 1, "a.internal");
	handle h, big[64];
	unsigned n;

	(void)state;
	assert_int_equal(dns_pipe_ask(p, &h, &via1, q, sizeof(q), clock_ms, told_fn, t),
			 ST_EFORMAT);
	for (size_t i = 0; i < len; i++)
		assert_int_equal(dns_pipe_ask(p, &h, &via1, q, i, clock_ms, told_fn, t),
				 ST_EFORMAT);
	assert_int_equal(n_streams, 0);
	for (n = 0; n < PIPE_ASKS_MAX; n++)
		assert_int_equal(ask_via(&t[n], "a.internal", &via1), 0);
	assert_int_equal(ask_via(&t[n], "a.internal", &via1), ST_EFULL);
	dns_pipe_cancel(p, t[7].h);
	assert_int_equal(ask_via(&t[n], "a.internal", &via1), 0);
	for (n = 0; n <= PIPE_ASKS_MAX; n++)
		dns_pipe_cancel(p, t[n].h);
	for (n = 0; n < PIPE_BYTES_MAX / DNS_MESSAGE_MAX; n++)
		assert_int_equal(dns_pipe_ask(p, &big[n], &via1, q, DNS_MESSAGE_MAX, clock_ms + 1,
					      told_fn, t),
				 0);
	assert_int_equal(dns_pipe_ask(p, &h, &via1, q, DNS_MESSAGE_MAX, clock_ms + 1, told_fn, t),
			 ST_EFULL);
	while (n-- > 0)
		dns_pipe_cancel(p, big[n]);
	assert_int_equal(p->bytes, 0);
}

/* An owner that does everything from inside its callback */
struct mean {
	struct told t, other;
	unsigned left;
	bool drops;
};

static void mean_fn(void *arg, int err, const uint8_t *msg, size_t len, const char *text)
{
	struct mean *m = arg;
	uint8_t q[MSG_MAX];
	size_t n = query_make(q, 0x1234, "mean.internal");

	told_fn(&m->t, err, msg, len, text);
	dns_pipe_cancel(p, m->t.h);
	dns_pipe_cancel(p, m->other.h);
	if (m->drops)
		dns_pipes_drop(p, 1);
	if (m->left-- > 0)
		assert_int_equal(
			dns_pipe_ask(p, &m->t.h, &via1, q, n, clock_ms + BUDGET, mean_fn, m), 0);
}

static void reentrant(void **state)
{
	(void)state;
	for (int drops = 0; drops < 2; drops++) {
		for (int fails = 0; fails < 2; fails++) {
			struct mean m = { .left = 3, .drops = drops };
			unsigned first = n_streams, turns = 0;
			uint8_t q[MSG_MAX];
			size_t n = query_make(q, 0x1234, "mean.internal");

			assert_int_equal(dns_pipe_ask(p, &m.t.h, &via1, q, n, clock_ms + BUDGET,
						      mean_fn, &m),
					 0);
			ask(&m.other, "other.internal");
			opened(first);
			if (fails) {
				dial_error = ST_ENOMEM;
				gone(first);
			} else {
				for (int i = 0; i < 2; i++) {
					size_t len = question(first, q);

					answer(first, q, len, 1);
				}
				io(first);
			}
			while (m.t.times < 4 && turns++ < 20) {
				turn();
				for (unsigned s = first + 1; s < n_streams; s++) {
					if (streams[s]->closed)
						continue;
					opened(s);
					if (waiting(s))
						serve(s, "mean.internal", 1);
				}
				if (!drops && !fails && waiting(first))
					serve(first, "mean.internal", 1);
			}
			assert_int_equal(m.t.times, 4);
			assert_int_equal(m.other.times, 0);
			dial_error = 0;
			dns_pipes_drop(p, 1);
			pass(PIPE_BACKOFF_MAX_MS);
		}
	}
}

/* Freed with everything under way: without callbacks */
static void freed(void **state)
{
	struct told t[4];

	(void)state;
	ask(&t[0], "a.internal");
	opened(0);
	ask(&t[1], "b.internal");
	pass(PIPE_STALL_MS);
	assert_int_equal(ask_via(&t[2], "c.internal", &via2), 0);
	turn();
	failed(2, "no");
	assert_int_equal(ask_via(&t[3], "c.internal", &via2), 0); /* in the pause, not told yet */
	dns_pipes_free(p);
	p = NULL;
	turn();
	assert_int_equal(t[0].times + t[1].times + t[3].times, 0);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(one),
		CASE(any_order),
		CASE(pieces),
		CASE(largest),
		CASE(strangers),
		CASE(bare_error),
		CASE(garbage),
		CASE(lost),
		CASE(lost_unheard),
		CASE(dial_fails),
		CASE(dial_refused),
		CASE(stuck),
		CASE(all_slow),
		CASE(dead),
		CASE(stuck_to_the_end),
		CASE(deadlines),
		CASE(cancelled),
		CASE(idle),
		CASE(idle_closed),
		CASE(too_many_pipes),
		CASE(relays_have_a_part_of_the_pipes),
		CASE(many_dead_resolvers),
		CASE(dropped),
		CASE(limits),
		CASE(reentrant),
		CASE(freed),
	};

	return cmocka_run_group_tests_name("dns_pipe", tests, NULL, NULL);
}
