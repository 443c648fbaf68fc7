// SPDX-License-Identifier: MIT
/*
 * ours.c - a channel of proto/ as an end
 *
 * Theory of operation: the owner fills the channel whenever it has room, in writes of random sizes,
 * and writes out all that the channel offers. Its socket gone, it asks for a new one with doubling
 * delays and without end. After every event the channel's limits are checked (design, section 8),
 * and after a deadline that the next one lies in the future.
 */
#include "ours.h"

#include <stdlib.h>
#include <string.h>

#include "app.h"
#include "base/err.h"
#include "relay.h"

#define REOPEN_US (100 * SIM_MS)
#define REOPEN_MAX_US (5 * SIM_SECOND)
#define WRITE_MAX 4096U /* bytes of one ssm_chan_send() of the seeds */

struct ours {
	struct sim_end end;
	struct ours_opts o;
	struct ssm_chan *chan;
	size_t window_max;
	uint64_t reopen_at_us, reopen_us;
	int close_err;
};

static struct ours *ours_of(struct sim_end *e)
{
	return container_of(e, struct ours, end);
}

/* ---- the owner's callbacks ---- */

static int on_data(void *arg, uint32_t payload_type, const uint8_t *p, size_t len)
{
	struct ours *o = arg;

	if (payload_type != SSM_PT_OUTPUT)
		return 0;
	return app_take(o->end.app, p, len);
}

static void on_closed(void *arg, int err, const char *reason)
{
	struct ours *o = arg;

	(void)reason;
	o->close_err = err;
	sim_note(o->end.sim, "over", o->end.side, (uint64_t)-err, 0);
}

static const struct ssm_chan_events chan_events = { .data = on_data, .closed = on_closed };

/* ---- the end ---- */

static void input(struct sim_end *e, struct sim_packet *p)
{
	int r = ssm_chan_input(ours_of(e)->chan, p->bytes, p->len, e->sim->now_us);

	if (r < 0 && r != ST_ECLOSED)
		sim_fail(e->sim, "%s refused a message: %s", e->ops->name, st_strerror(r));
}

static void transport(struct sim_end *e, bool up)
{
	struct ours *o = ours_of(e);

	if (up) {
		ssm_chan_transport_up(o->chan, e->sim->now_us);
		return;
	}
	ssm_chan_transport_down(o->chan, e->sim->now_us);
	o->reopen_us = o->o.reopen_us ? o->o.reopen_us : REOPEN_US;
	o->reopen_at_us = e->sim->now_us + o->reopen_us;
}

static uint64_t deadline(const struct sim_end *e)
{
	const struct ours *o = container_of(e, struct ours, end);

	return MIN(o->reopen_at_us, ssm_chan_deadline(o->chan));
}

static void reopen(struct ours *o)
{
	if (relay_open(&o->end)) {
		o->reopen_at_us = SIM_NEVER;
		transport(&o->end, true);
		return;
	}
	o->reopen_us = MIN(o->reopen_us * 2, REOPEN_MAX_US);
	o->reopen_at_us = o->end.sim->now_us + o->reopen_us;
}

static void expire(struct sim_end *e)
{
	struct ours *o = ours_of(e);

	if (o->reopen_at_us <= e->sim->now_us)
		reopen(o);
	if (ssm_chan_deadline(o->chan) > e->sim->now_us)
		return;
	ssm_chan_expire(o->chan, e->sim->now_us);
	if (ssm_chan_deadline(o->chan) <= e->sim->now_us)
		sim_fail(e->sim, "%s asks for a time that has passed", e->ops->name);
}

static size_t room(const struct ours *o)
{
	size_t room = ssm_chan_room(o->chan);
	struct ssm_chan_stats stats;

	if (o->o.queue_max == 0 || room == 0)
		return room;
	ssm_chan_stats(o->chan, &stats);
	return MIN(room, o->o.queue_max - MIN(o->o.queue_max, stats.queued_bytes));
}

static void fill(struct ours *o)
{
	struct sim_end *e = &o->end;
	const uint8_t *p;
	size_t len, n;

	while ((n = room(o)) > 0 && (len = app_peek(e->app, &p, n)) > 0) {
		n = o->o.queue_max ? len : 1 + sim_below(e->sim, WRITE_MAX);
		len = MIN(len, n);
		n = ssm_chan_send(o->chan, p, len, e->sim->now_us);
		app_advance(e->app, n);
		if (n < len)
			return;
	}
}

static void check(struct ours *o)
{
	struct sim *s = o->end.sim;
	struct ssm_chan_stats st;

	ssm_chan_stats(o->chan, &st);
	/* 64 KiB: what an agent sends past the window to a client that acknowledges nothing twice */
	if (st.in_flight_bytes > o->window_max + (o->end.side == SIM_AGENT ? KIB(64) : 0))
		sim_fail(s, "%s has %zu bytes in flight", o->end.ops->name, st.in_flight_bytes);
	if (st.window_bytes > o->window_max)
		sim_fail(s, "%s has a window of %zu", o->end.ops->name, st.window_bytes);
	if (st.queued_bytes > SSM_SEND_QUEUE_MAX)
		sim_fail(s, "%s has %zu bytes queued", o->end.ops->name, st.queued_bytes);
	/* the expected message waits on top of the limit when the app does not take it */
	if (st.reorder_bytes > SSM_REORDER_BYTES + SSM_PAYLOAD_MAX)
		sim_fail(s, "%s has %zu bytes out of order", o->end.ops->name, st.reorder_bytes);
}

static void settle(struct sim_end *e)
{
	struct ours *o = ours_of(e);
	const uint8_t *p;
	size_t len;

	fill(o);
	while (ssm_chan_next_output(o->chan, &p, &len, e->sim->now_us)) {
		relay_send_bytes(e, p, len);
		fill(o);
	}
	check(o);
	if (o->close_err && !e->over) {
		e->over = true;
		if (e->side == SIM_AGENT)
			relay_close(e->session);
	}
}

static void resume_input(struct sim_end *e)
{
	e->app->refusing = false;
	ssm_chan_resume_input(ours_of(e)->chan, e->sim->now_us);
}

static bool idle(const struct sim_end *e, const char **why)
{
	const struct ours *o = container_of(e, struct ours, end);
	struct ssm_chan_stats st;

	ssm_chan_stats(o->chan, &st);
	*why = "has bytes in flight";
	if (st.in_flight_bytes)
		return false;
	*why = "has bytes queued";
	if (st.queued_bytes)
		return false;
	*why = "has bytes out of order";
	if (st.reorder_bytes)
		return false;
	*why = "has a deadline";
	return ssm_chan_deadline(o->chan) == SSM_TIME_NEVER;
}

static void end_free(struct sim_end *e)
{
	ssm_chan_free(ours_of(e)->chan);
	free(ours_of(e));
}

#define OURS_OPS(text)                                                                             \
	{                                                                                          \
		.name = (text), .input = input, .transport = transport, .deadline = deadline,      \
		.expire = expire, .settle = settle, .resume_input = resume_input, .idle = idle,    \
		.free = end_free,                                                                  \
	}

static const struct sim_end_ops ops[SIM_ENDS] = {
	[SIM_CLIENT] = OURS_OPS("our client"),
	[SIM_AGENT] = OURS_OPS("our agent"),
};

struct sim_end *ours_new(struct sim_session *ss, int side, const struct ours_opts *opts)
{
	struct ours *o = sim_xmalloc(sizeof(*o));
	struct ssm_chan_opts chan = {
		.role = side == SIM_CLIENT ? SSM_ROLE_CLIENT : SSM_ROLE_AGENT,
		.now_us = ss->sim->now_us,
		.unix_ms = SIM_UNIX_MS,
		.session_id = "simulated",
		.session_type = "Port",
		.properties_json = "{\"portNumber\":\"22\"}",
		.max_payload = opts->max_payload,
		.window_max = opts->window_max,
		.pace_per_s = opts->pace_per_s,
		.uuid = sim_uuid,
		.events = &chan_events,
		.arg = o,
	};

	o->o = *opts;
	o->window_max = opts->window_max ? opts->window_max : SSM_WINDOW_MAX_FOREIGN;
	o->reopen_at_us = SIM_NEVER;
	o->end = (struct sim_end){ .ops = &ops[side],
				   .session = ss,
				   .sim = ss->sim,
				   .side = side,
				   .armed_us = SIM_NEVER,
				   .app = &ss->app[side] };
	if (ssm_chan_new(&o->chan, &chan) < 0)
		ST_BUG("no channel");
	ssm_chan_transport_up(o->chan, ss->sim->now_us);
	ss->end[side] = &o->end;
	ss->app[side].end = &o->end;
	return &o->end;
}

struct ssm_chan *ours_chan(const struct sim_end *e)
{
	return ((const struct ours *)(const void *)e)->chan;
}

bool ours_is(const struct sim_end *e)
{
	return e->ops == &ops[SIM_CLIENT] || e->ops == &ops[SIM_AGENT];
}

int ours_close_err(const struct sim_end *e)
{
	return ((const struct ours *)(const void *)e)->close_err;
}
