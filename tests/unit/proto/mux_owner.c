// SPDX-License-Identifier: MIT
/* mux_owner.c - one end of a multiplexed port session whose owner notes what it is told */
#include "mux_owner.h"

/* --- memory that runs out: the linker sends the allocations of the library here (--wrap) */

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_reallocarray(void *p, size_t n, size_t size);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_reallocarray(void *p, size_t n, size_t size);

unsigned allocs_left = UINT32_MAX; /* until one fails, and all later ones */

static bool memory_left(void)
{
	if (allocs_left == UINT32_MAX)
		return true;
	if (allocs_left == 0)
		return false;
	allocs_left--;
	return true;
}

void *__wrap_malloc(size_t n)
{
	return memory_left() ? __real_malloc(n) : NULL;
}

void *__wrap_calloc(size_t n, size_t size)
{
	return memory_left() ? __real_calloc(n, size) : NULL;
}

void *__wrap_reallocarray(void *p, size_t n, size_t size)
{
	return memory_left() ? __real_reallocarray(p, n, size) : NULL;
}

/* --- an owner that notes what it is told */

ST_PRINTF(2, 3) static void note(struct owner *o, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	o->log_n += (size_t)vsnprintf(o->log + o->log_n, sizeof(o->log) - o->log_n, fmt, ap);
	va_end(ap);
	assert_true(o->log_n < sizeof(o->log));
	o->data_id = 0;
}

static void act(struct conn *c)
{
	if (c->act)
		c->act(c);
}

static void *on_accept(void *arg, handle h, uint32_t id)
{
	struct owner *o = arg;
	struct conn *c = &o->conn[o->n++ % CONNS];

	*c = (struct conn){ .o = o, .h = h, .id = id, .take = o->take, .act = o->act };
	note(o, "[accept %u]", id);
	if (o->on_accept)
		o->on_accept(c);
	return c;
}

/* The bytes of one stream in a row make one entry, however they came. */
static size_t on_data(void *arg, handle h, void *ctx, const uint8_t *p, size_t len)
{
	struct owner *o = arg;
	struct conn *c = ctx;
	size_t n = MIN(len, c->take);

	assert_true(c->h == h && len > 0);
	if (o->data_id != c->id)
		note(o, "[data %u]", c->id);
	if (len < 1000)
		note(o, "%.*s", (int)n, (const char *)p);
	o->data_id = c->id;
	act(c);
	return n;
}

static void on_closed(void *arg, handle h, void *ctx)
{
	struct owner *o = arg;
	struct conn *c = ctx;

	assert_true(c->h == h);
	note(o, "[closed %u]", c->id);
	assert_int_equal(ssm_mux_stream_id(o->m, h), 0);
	act(c);
}

static size_t on_pull(void *arg, handle h, void *ctx, uint8_t *buf, size_t cap)
{
	struct conn *c = ctx;
	size_t n = c->text ? MIN(strlen(c->text), cap) : 0;

	(void)arg;
	assert_true(c->h == h && cap > 0);
	if (n > 0)
		memcpy(buf, c->text, n);
	if (n > 0 && !c->endless)
		c->text += n;
	act(c);
	return n;
}

static void on_unblocked(void *arg)
{
	((struct owner *)arg)->unblocked++;
}

const struct ssm_mux_events events = { on_accept, on_data, on_closed, on_pull, on_unblocked };

void accept_ok(struct conn *c)
{
	assert_int_equal(ssm_mux_accept_ok(c->o->m, c->h), 0);
}

void accept_fail(struct conn *c)
{
	assert_int_equal(ssm_mux_accept_fail(c->o->m, c->h), 0);
}

void close_it(struct conn *c)
{
	ssm_mux_close(c->o->m, c->h);
}

void start(struct owner *o, const struct ssm_mux_opts *with)
{
	struct ssm_mux_opts opts = *with;

	memset(o, 0, sizeof(*o));
	o->take = SIZE_MAX;
	opts.now_us = NOW;
	opts.events = &events;
	opts.arg = o;
	assert_int_equal(ssm_mux_new(&o->m, &opts), 0);
}

void start_client(struct owner *o)
{
	start(o, &(struct ssm_mux_opts){ .role = SSM_ROLE_CLIENT });
}

void start_agent(struct owner *o)
{
	start(o, &(struct ssm_mux_opts){ .role = SSM_ROLE_AGENT });
	o->on_accept = accept_ok;
}

struct conn *open_conn(struct owner *o)
{
	struct conn *c = &o->conn[o->n++ % CONNS];

	*c = (struct conn){ .o = o, .take = o->take };
	assert_int_equal(ssm_mux_open(o->m, c, &c->h), 0);
	c->id = ssm_mux_stream_id(o->m, c->h);
	return c;
}

void ready(struct conn *c, const char *text)
{
	c->text = text;
	ssm_mux_ready(c->o->m, c->h);
}

int feed_bytes(struct owner *o, const void *p, size_t len)
{
	uint8_t *copy = __real_malloc(len ? len : 1); /* so that a sanitizer sees a read beyond */
	int r;

	memcpy(copy, p, len);
	r = ssm_mux_input(o->m, copy, len, NOW);
	free(copy);
	return r;
}

/* One frame of the peer's; data only if @text is none of NULL and "". */
int feed(struct owner *o, enum ssm_mux_cmd cmd, uint32_t id, const char *text)
{
	struct ssm_mux_frame f = { .cmd = cmd, .id = id, .len = text ? (uint16_t)strlen(text) : 0 };
	uint8_t frame[SSM_MUX_HDR_LEN + 256];

	assert_true(f.len <= 256);
	ssm_mux_frame_encode(frame, &f);
	if (f.len)
		memcpy(frame + SSM_MUX_HDR_LEN, text, f.len);
	return feed_bytes(o, frame, SSM_MUX_HDR_LEN + f.len);
}

void fed(struct owner *o, enum ssm_mux_cmd cmd, uint32_t id, const char *text)
{
	assert_int_equal(feed(o, cmd, id, text), 0);
}

void forget(struct owner *o)
{
	o->log[o->log_n = 0] = 0;
	o->data_id = 0;
}

void logged(struct owner *o, const char *text)
{
	assert_string_equal(o->log, text);
	forget(o);
}

void pump(struct owner *o, size_t cap)
{
	o->out_n = ssm_mux_output(o->m, o->out, cap, NOW);
	assert_true(o->out_n <= cap);
}

/* All output as text: one letter a frame (S F P N), its id, its data. */
void sent(struct owner *o, const char *text)
{
	struct ssm_mux_frame f;
	char got[8192] = "";
	size_t off = 0, n = 0;

	pump(o, 8000);
	while (off < o->out_n) {
		assert_int_equal(ssm_mux_frame_decode(&f, o->out + off, o->out_n - off), 0);
		off += SSM_MUX_HDR_LEN;
		n += (size_t)snprintf(got + n, sizeof(got) - n, "%c%u%s%.*s ", "SFPN"[f.cmd], f.id,
				      f.len ? ":" : "", (int)f.len, (const char *)o->out + off);
		off += f.len;
	}
	assert_int_equal(off, o->out_n);
	assert_string_equal(got, text);
}

void nothing_left(struct owner *o)
{
	assert_false(ssm_mux_has_output(o->m));
	sent(o, "");
}

struct ssm_mux_stats stats(const struct owner *o)
{
	struct ssm_mux_stats st;

	ssm_mux_stats(o->m, &st);
	return st;
}

void ends(struct owner *o, int err)
{
	const char *reason;

	assert_int_equal(ssm_mux_error(o->m, &reason), err);
	assert_true(err == 0 ? reason[0] == 0 : reason[0] != 0);
	assert_int_equal(ssm_mux_error(o->m, NULL), err);
}

/* Fills the buffer for stream @id to @to bytes. */
void fill(struct owner *o, uint32_t id, size_t to)
{
	static uint8_t frame[SSM_MUX_HDR_LEN + 32768];

	while (stats(o).buffered_bytes < to) {
		struct ssm_mux_frame f = {
			.cmd = SSM_MUX_PSH,
			.id = id,
			.len = (uint16_t)MIN(32768U, to - stats(o).buffered_bytes),
		};

		ssm_mux_frame_encode(frame, &f);
		assert_int_equal(feed_bytes(o, frame, SSM_MUX_HDR_LEN), 0);
		assert_int_equal(feed_bytes(o, frame + SSM_MUX_HDR_LEN, f.len), 0);
	}
}
