// SPDX-License-Identifier: MIT
/*
 * dns_pipe.c - fuzz target: resolvers behind streams that say anything, break at any time, and are asked by an owner without plan
 *
 * The input is a list of steps, see step(). However it goes, each ask that was not cancelled is told exactly once, an answer has its question
 * and its id, and a stream that was closed or lost is not touched any more.
 */
#include "tests/fuzz/dns/steps.h"

#include "base/log.h"
#include "dns/dns_pipe_internal.h"

#define STREAMS 64U
#define WIRE 8192U

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum life { DIALLING, OPEN, OVER };

struct stream {
	const struct dns_stream_events *events;
	void *arg;
	enum life life;
	uint8_t got[WIRE], say[WIRE]; /* the last bytes written; what is to be read */
	size_t n_got, taken, n_say, said, room;
	bool eof, broken;
};

static struct loop *loop;
static struct dns d;
static struct dns_pipes *p;
static struct stream streams[STREAMS];
static size_t n_streams;
static int dial_error;

static struct stream *at(handle h)
{
	ST_ASSERT(h > 0 && h <= n_streams && streams[h - 1].life != OVER);
	return &streams[h - 1];
}

static ssize_t s_read(void *owner, handle h, uint8_t *buf, size_t cap)
{
	struct stream *s = at(h);
	size_t n = MIN(cap, s->n_say - s->said);

	(void)owner;
	if (n == 0)
		return s->broken ? ST_ECLOSED : s->eof ? 0 : ST_EAGAIN;
	memcpy(buf, s->say + s->said, n);
	s->said += n;
	if (s->said == s->n_say)
		s->said = s->n_say = 0;
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
	ST_ASSERT(s->life == OPEN && len > 0 && len <= s->room);
	s->room -= len;
	if (s->broken)
		return ST_ECLOSED;
	if (len > WIRE - s->n_got) /* nobody looks at what was there */
		s->n_got = s->taken = 0;
	memcpy(s->got + s->n_got, b, MIN(len, WIRE));
	s->n_got += MIN(len, WIRE);
	return 0;
}

static void s_close(void *owner, handle h)
{
	(void)owner;
	at(h)->life = OVER;
}

static int dial(void *arg, const struct dns_via *via, struct dns_stream *out,
		const struct dns_stream_events *events, void *events_arg)
{
	static const struct dns_stream_ops ops = { s_read, s_room, s_write, s_close };
	struct stream *s = &streams[n_streams];

	(void)arg;
	(void)via;
	if (dial_error || n_streams == STREAMS)
		return dial_error ? dial_error : ST_ENOENT;
	s->events = events;
	s->arg = events_arg;
	s->life = DIALLING;
	s->room = 4096;
	s->n_got = s->taken = s->n_say = s->said = 0;
	s->eof = s->broken = false;
	*out = (struct dns_stream){ &ops, NULL, ++n_streams };
	return 0;
}

static void turn(void)
{
	if (loop_turn(loop, 0) < 0)
		abort();
}

/* --- steps */

static void do_ask(struct steps *s)
{
	uint8_t how = step_byte(s);
	const struct dns_via via = {
		.upstream = how & 3U,
		.resolver = { { 4, { 10, 0, 0, how >> 2 & 3 } }, 53 },
		.relay = how >> 4 & 1,
	};
	struct asked *a = asked_new();

	if (a && dns_pipe_ask(p, &a->h, &via, a->query, a->len,
			      clock_ms + (how >> 4) * UINT64_C(900), asked_told, a) < 0)
		a->cancelled = true;
}

static void do_cancel(struct steps *s)
{
	struct asked *a = &asks[step_byte(s) % ASKS];

	if (a >= asks + n_asks)
		return;
	dns_pipe_cancel(p, a->h);
	if (!a->told)
		a->cancelled = true;
}

static void do_event(struct steps *s)
{
	uint8_t how = step_byte(s);
	struct stream *to = &streams[how % STREAMS];

	if (to >= streams + n_streams || to->life == OVER)
		return;
	if (to->life == DIALLING && how & 0x40) {
		to->life = OVER;
		to->events->failed(to->arg, "no");
	} else if (to->life == DIALLING) {
		to->life = OPEN;
		to->events->opened(to->arg);
	} else if (how & 0x40) {
		to->life = OVER;
		to->events->gone(to->arg);
	} else {
		to->events->io(to->arg);
	}
}

/* The stream says what the input says. */
static void do_say(struct steps *s)
{
	struct stream *from = &streams[step_byte(s) % STREAMS];
	size_t len = step_byte(s) % 80U;
	const uint8_t *b = step_bytes(s, &len);

	if (from >= streams + n_streams || len > WIRE - from->n_say)
		return;
	memcpy(from->say + from->n_say, b, len);
	from->n_say += len;
}

/* The stream answers the next question that it got, more or less well. */
static void do_answer(struct steps *s)
{
	struct stream *from = &streams[step_byte(s) % STREAMS];
	uint8_t where = step_byte(s), by = step_byte(s), rcode = step_byte(s), msg[256];
	const uint8_t *q = from->got + from->taken;
	size_t len;

	if (from >= streams + n_streams || from->n_got - from->taken < 2)
		return;
	len = be16_get(q);
	if (len < DNS_HEADER_BYTES || len > 64 || from->n_got - from->taken - 2 < len)
		return;
	if (!(rcode & 0x40)) /* else it is answered again */
		from->taken += 2 + len;
	len = answer_bent(msg + 2, q + 2, len, where, by, rcode);
	be16_put(msg, (uint16_t)len);
	if (2 + len > WIRE - from->n_say)
		return;
	memcpy(from->say + from->n_say, msg, 2 + len);
	from->n_say += 2 + len;
}

static void do_time(struct steps *s)
{
	uint8_t n = step_byte(s);

	clock_ms += (uint64_t)n * n;
}

static void do_drop(struct steps *s)
{
	dns_pipes_drop(p, step_byte(s) & 3U);
}

static void do_stream(struct steps *s)
{
	uint8_t i = step_byte(s), how = step_byte(s);
	struct stream *to = &streams[i % STREAMS];

	to->eof = i & 0x40;
	to->broken = i & 0x80;
	to->room = how;
}

static void do_dial(struct steps *s)
{
	static const int errors[] = { 0, 0, ST_ENOENT, ST_ENOMEM };

	dial_error = errors[step_byte(s) % ARRAY_LEN(errors)];
}

static void step(struct steps *s)
{
	static void (*const kinds[])(struct steps *) = { do_ask,    do_cancel, do_event, do_say,
							 do_answer, do_time,   do_drop,	 do_stream,
							 do_dial,   do_answer };
	uint8_t what = step_byte(s);

	kinds[(what & 0x7f) % ARRAY_LEN(kinds)](s);
	if (!(what & 0x80)) /* else more happens in this turn */
		turn();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct dns_hooks hooks = { .dial = dial };
	struct steps s = { data, MIN(size, 2048U) };

	log_setup(LOG_ERROR, LOG_TEXT);
	if (!loop && loop_new(&loop) < 0)
		abort();
	d = (struct dns){ .loop = loop, .opts = { .loop = loop, .hooks = &hooks } };
	if (dns_pipes_new(&p, &d) < 0)
		abort();
	n_asks = n_streams = 0;
	dial_error = 0;
	turn();
	while (s.left > 0)
		step(&s);
	for (int i = 0; i < 4; i++) { /* every deadline is over, and what failed is told */
		clock_ms += OVER_MS;
		turn();
	}
	for (size_t i = 0; i < n_asks; i++)
		ST_ASSERT(asks[i].told + asks[i].cancelled == 1);
	dns_pipes_free(p);
	for (size_t i = 0; i < n_streams; i++)
		ST_ASSERT(streams[i].life == OVER);
	return 0;
}
