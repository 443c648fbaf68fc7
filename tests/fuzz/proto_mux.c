// SPDX-License-Identifier: MIT
/*
 * proto_mux.c - fuzz target: a script of everything that may happen to one end of a multiplexed port session
 *
 * The first byte chooses role, keepalive, frame size and dialing; then each operation is a byte and its operands.
 * What comes out must be frames that a strict reader takes, for streams that it knows; what was refused is
 * given again when the mux says so.
 */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/util.h"
#include "proto/ssm_mux.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define HANDLES 16U
#define IDS 512U /* that the reader of our frames looks at */
#define FRAME_TINY 3U
#define TAKE_ALL 255U
#define BIG_MAX 80U /* frames of 64 KiB in a run: the limit of 4 MiB, and speed */

struct script {
	const uint8_t *p;
	size_t left;
	struct ssm_mux *m;
	bool agent, dial_at_once;
	uint32_t frame_max;
	uint64_t now_us;
	handle h[HANDLES];
	unsigned h_n;
	uint8_t take, give; /* of data(), of pull() */
	uint8_t inside;	    /* what callbacks do */
	bool known[IDS];    /* the peer has the stream */
	uint8_t *refused;
	size_t refused_len;
	unsigned big_n;
};

static uint8_t take(struct script *s)
{
	if (s->left == 0)
		return 0;
	s->left--;
	return *s->p++;
}

static handle any(struct script *s)
{
	return s->h[take(s) % HANDLES];
}

static void input(struct script *s, const uint8_t *p, size_t len)
{
	uint8_t *copy = malloc(MAX(len, 1U)); /* of exactly the size, for the sanitizer */
	int r;

	if (!copy)
		abort();
	memcpy(copy, p, len);
	r = ssm_mux_input(s->m, copy, len, s->now_us);
	if (r == ST_EAGAIN) {
		free(s->refused);
		s->refused = copy;
		s->refused_len = len;
		return;
	}
	ST_ASSERT(r == ssm_mux_error(s->m, NULL));
	free(copy);
}

static void inside(struct script *s, handle h)
{
	switch (s->inside % 8) {
	case 1: ssm_mux_close(s->m, h); break;
	case 2: ssm_mux_shutdown(s->m, h); break;
	case 3: ssm_mux_ready(s->m, h); break;
	case 4: ssm_mux_resume(s->m, h); break;
	case 5: ssm_mux_accept_ok(s->m, h); break;
	case 6: ssm_mux_close(s->m, s->h[s->inside / 8 % HANDLES]); break;
	case 7: ssm_mux_resume(s->m, s->h[s->inside / 8 % HANDLES]); break;
	default: break;
	}
}

static void *on_accept(void *arg, handle h, uint32_t id)
{
	struct script *s = arg;

	ST_ASSERT(s->agent && id % 2 == 1 && ssm_mux_stream_id(s->m, h) == id);
	s->h[s->h_n++ % HANDLES] = h;
	if (id < IDS)
		s->known[id] = true;
	if (s->dial_at_once)
		ST_ASSERT(ssm_mux_accept_ok(s->m, h) == 0);
	inside(s, h);
	return s;
}

static size_t on_data(void *arg, handle h, void *ctx, const uint8_t *p, size_t len)
{
	struct script *s = arg;
	size_t n = s->take == TAKE_ALL ? len : MIN(len, s->take);
	volatile uint8_t sum = 0;

	ST_ASSERT(len > 0 && ssm_mux_stream_id(s->m, h) && ctx == s);
	for (size_t i = 0; i < n; i += 64)
		sum = (uint8_t)(sum + p[i]);
	inside(s, h);
	return n;
}

static void on_closed(void *arg, handle h, void *ctx)
{
	struct script *s = arg;

	ST_ASSERT(ctx == s && ssm_mux_stream_id(s->m, h) == 0);
	inside(s, h);
}

static size_t on_pull(void *arg, handle h, void *ctx, uint8_t *buf, size_t cap)
{
	struct script *s = arg;
	size_t n = MIN(cap, s->give);

	ST_ASSERT(cap > 0 && cap <= s->frame_max && ctx == s);
	memset(buf, 'x', n);
	inside(s, h);
	if (s->give > 0)
		s->give--;
	return n;
}

static void on_unblocked(void *arg)
{
	struct script *s = arg;
	uint8_t *p = s->refused;
	size_t len = s->refused_len;
	int r;

	ST_ASSERT(p);
	s->refused = NULL;
	r = ssm_mux_input(s->m, p, len, s->now_us);
	ST_ASSERT(r != ST_EAGAIN && r == ssm_mux_error(s->m, NULL));
	free(p);
}

static void reader(struct script *s, const uint8_t *p, size_t len)
{
	struct ssm_mux_frame f;

	for (size_t off = 0; off < len; off += SSM_MUX_HDR_LEN + f.len) {
		ST_ASSERT(ssm_mux_frame_decode(&f, p + off, len - off) == 0);
		ST_ASSERT(f.len <= len - off - SSM_MUX_HDR_LEN && f.len <= s->frame_max);
		if (f.cmd == SSM_MUX_SYN)
			ST_ASSERT(!s->agent && (f.id >= IDS || !s->known[f.id]));
		if (f.cmd == SSM_MUX_PSH)
			ST_ASSERT(f.len > 0 && (f.id >= IDS || s->known[f.id]));
		if (f.id < IDS)
			s->known[f.id] = f.cmd == SSM_MUX_SYN || f.cmd == SSM_MUX_PSH;
	}
}

static void op_output(struct script *s)
{
	size_t cap = take(s) * (size_t)8 + take(s) % 8, n;
	uint8_t *buf = malloc(MAX(cap, 1U));

	ST_ASSERT(buf);
	n = ssm_mux_output(s->m, buf, cap, s->now_us);
	ST_ASSERT(n <= cap && (n == 0 || ssm_mux_error(s->m, NULL) == 0));
	reader(s, buf, n);
	free(buf);
}

static void op_raw(struct script *s)
{
	size_t len = take(s);
	const uint8_t *p = s->p;

	len = MIN(len, s->left);
	s->p += len;
	s->left -= len;
	input(s, p, len);
}

static void op_frame(struct script *s)
{
	struct ssm_mux_frame f = { .cmd = (enum ssm_mux_cmd)(take(s) % SSM_MUX_CMD_N) };
	uint8_t frame[SSM_MUX_HDR_LEN + 255];

	f.id = take(s);
	f.len = f.cmd == SSM_MUX_PSH ? take(s) : 0;
	memset(frame, 'd', sizeof(frame));
	ssm_mux_frame_encode(frame, &f);
	input(s, frame, SSM_MUX_HDR_LEN + f.len);
}

/* Up to 1 MiB for one stream, in the largest frames. */
static void op_big(struct script *s)
{
	static uint8_t frame[SSM_MUX_HDR_LEN + SSM_MUX_DATA_MAX];
	const struct ssm_mux_frame f = {
		.cmd = SSM_MUX_PSH,
		.len = SSM_MUX_DATA_MAX,
		.id = take(s),
	};

	ssm_mux_frame_encode(frame, &f);
	for (unsigned n = take(s) % 16 + 1; n > 0 && s->big_n < BIG_MAX; n--) {
		s->big_n++;
		input(s, frame, sizeof(frame));
	}
}

/* Many opens, for the limits of streams and of refusals. */
static void op_opens(struct script *s)
{
	struct ssm_mux_frame f = { .cmd = SSM_MUX_SYN, .id = (uint32_t)take(s) * 4 };
	uint8_t frame[SSM_MUX_HDR_LEN];

	for (unsigned n = take(s); n > 0; n--, f.id += 2) {
		ssm_mux_frame_encode(frame, &f);
		input(s, frame, sizeof(frame));
	}
}

static void op_open(struct script *s)
{
	handle h;
	int r = ssm_mux_open(s->m, s, &h);

	if (r < 0)
		return;
	ST_ASSERT(!s->agent);
	s->h[s->h_n++ % HANDLES] = h;
}

static void op_time(struct script *s)
{
	int r;

	s->now_us += take(s) * UINT64_C(200000);
	if (ssm_mux_deadline(s->m) > s->now_us)
		return;
	r = ssm_mux_expire(s->m, s->now_us);
	ST_ASSERT(r == ssm_mux_error(s->m, NULL) && ssm_mux_deadline(s->m) > s->now_us);
}

static void op_behave(struct script *s)
{
	s->take = take(s);
	s->give = take(s);
	s->inside = take(s);
}

static void op_close(struct script *s)
{
	ssm_mux_close(s->m, any(s));
}

static void op_shutdown(struct script *s)
{
	ssm_mux_shutdown(s->m, any(s));
}

static void op_ready(struct script *s)
{
	ssm_mux_ready(s->m, any(s));
}

static void op_resume(struct script *s)
{
	ssm_mux_resume(s->m, any(s));
}

static void op_accept_ok(struct script *s)
{
	ssm_mux_accept_ok(s->m, any(s));
}

static void op_accept_fail(struct script *s)
{
	ssm_mux_accept_fail(s->m, any(s));
}

static void op_restart(struct script *s)
{
	ssm_mux_keepalive_restart(s->m, s->now_us);
}

static void (*const ops[])(struct script *s) = {
	op_raw,	     op_frame,	op_output, op_open,	 op_close,
	op_shutdown, op_ready,	op_resume, op_accept_ok, op_accept_fail,
	op_time,     op_behave, op_big,	   op_opens,	 op_restart,
};

static void limits_check(const struct script *s)
{
	struct ssm_mux_stats st;

	ssm_mux_stats(s->m, &st);
	ST_ASSERT(st.buffered_bytes <= SSM_MUX_BUFFER_MAX && st.streams <= SSM_MUX_STREAMS_MAX);
}

static void sums_check(const struct script *s)
{
	struct ssm_mux_stats st;
	uint32_t pos = 0, n = 0;
	size_t buffered = 0;
	void *ctx;
	handle h;

	ssm_mux_stats(s->m, &st);
	while (ssm_mux_stream_next(s->m, &pos, &h, &ctx)) {
		buffered += ssm_mux_stream_buffered(s->m, h);
		n++;
	}
	ST_ASSERT(n <= st.streams && buffered == st.buffered_bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct ssm_mux_events events = {
		on_accept, on_data, on_closed, on_pull, on_unblocked,
	};
	struct script s = { .p = data, .left = size, .now_us = 1, .take = TAKE_ALL, .give = 9 };
	uint8_t kind = take(&s);
	struct ssm_mux_opts opts = {
		.role = kind & 1 ? SSM_ROLE_AGENT : SSM_ROLE_CLIENT,
		.now_us = s.now_us,
		.keepalive = kind & 2,
		.frame_max = kind & 4 ? FRAME_TINY : 0,
		.first_id = kind & 16 ? UINT32_MAX - 4 : 0,
		.events = &events,
		.arg = &s,
	};

	s.agent = kind & 1;
	s.frame_max = opts.frame_max ? opts.frame_max : SSM_MUX_FRAME_DATA;
	s.dial_at_once = kind & 8;
	ST_ASSERT(ssm_mux_new(&s.m, &opts) == 0);
	while (s.left > 0) {
		ops[take(&s) % ARRAY_LEN(ops)](&s);
		limits_check(&s);
	}
	sums_check(&s);
	ssm_mux_free(s.m);
	free(s.refused);
	return 0;
}
