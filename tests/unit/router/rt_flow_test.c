// SPDX-License-Identifier: MIT
/*
 * rt_flow_test.c - a flow's life between a scripted netstack and a scripted tunnel
 *
 * The functions of both that the router calls are defined here and so taken instead of the libraries'. Each side is two
 * byte counts and some flags; a test plays events and looks at what the router did. Names and direct: rt_world*.c.
 */
#include "router/router.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "rt_world.h"

#define SIDE_BYTES KIB(256)

/* One side as the router sees it. */
struct end {
	uint8_t in[SIDE_BYTES]; /* what read() still has to give: in[in_at .. in_len) */
	size_t in_at, in_len;
	bool in_eof;
	uint8_t out[SIDE_BYTES]; /* what write() got */
	size_t out_len, room;
	bool shut, ended; /* shutdown() seen; abort, close or refuse seen */
};

static struct end app, far;
static struct {
	const struct tnl_chan_events *events;
	void *arg;
	bool open_fails;
	bool accepted;
	int refused; /* enum ns_refusal, -1: not */
	size_t buffered;
} played;

static ssize_t fake_read(struct end *f, uint8_t *buf, size_t cap)
{
	size_t n = MIN(cap, f->in_len - f->in_at);

	if (f->ended)
		return ST_ECLOSED;
	if (n == 0)
		return f->in_eof ? 0 : ST_EAGAIN;
	memcpy(buf, f->in + f->in_at, n);
	f->in_at += n;
	return (ssize_t)n;
}

static int fake_write(struct end *f, const uint8_t *p, size_t len)
{
	assert_true(len <= f->room);
	assert_false(f->shut);
	memcpy(f->out + f->out_len, p, len);
	f->out_len += len;
	f->room -= len;
	return 0;
}

/* ---- what the router links against */

void ns_conn_accept(struct ns *ns, ns_conn c)
{
	(void)ns;
	(void)c;
	played.accepted = true;
}

void ns_conn_refuse(struct ns *ns, ns_conn c, enum ns_refusal why)
{
	(void)ns;
	(void)c;
	assert_false(app.ended);
	played.refused = (int)why;
	app.ended = true;
}

ssize_t ns_conn_read(struct ns *ns, ns_conn c, uint8_t *buf, size_t cap)
{
	(void)ns;
	(void)c;
	return fake_read(&app, buf, cap);
}

size_t ns_conn_room(struct ns *ns, ns_conn c)
{
	(void)ns;
	(void)c;
	return app.room;
}

int ns_conn_write(struct ns *ns, ns_conn c, const uint8_t *p, size_t len)
{
	(void)ns;
	(void)c;
	return fake_write(&app, p, len);
}

void ns_conn_shutdown(struct ns *ns, ns_conn c)
{
	(void)ns;
	(void)c;
	app.shut = true;
}

void ns_conn_abort(struct ns *ns, ns_conn c)
{
	(void)ns;
	(void)c;
	assert_false(app.ended);
	app.ended = true;
}

void ns_stats(const struct ns *ns, struct ns_stats *out)
{
	(void)ns;
	*out = (struct ns_stats){ .buffered_bytes = played.buffered };
}

int tnl_open(struct tnl_upstream *u, tnl_chan *out, const struct net_endpoint *dst,
	     const struct net_endpoint *src, const struct tnl_chan_events *events, void *arg)
{
	(void)u;
	(void)dst;
	(void)src;
	if (played.open_fails)
		return ST_ENOMEM;
	*out = 1;
	played.events = events;
	played.arg = arg;
	return 0;
}

ssize_t tnl_chan_read(struct tnl_upstream *u, tnl_chan c, uint8_t *buf, size_t cap)
{
	(void)u;
	(void)c;
	return fake_read(&far, buf, cap);
}

size_t tnl_chan_room(struct tnl_upstream *u, tnl_chan c)
{
	(void)u;
	(void)c;
	return far.room;
}

int tnl_chan_write(struct tnl_upstream *u, tnl_chan c, const uint8_t *p, size_t len)
{
	(void)u;
	(void)c;
	return fake_write(&far, p, len);
}

void tnl_chan_shutdown(struct tnl_upstream *u, tnl_chan c)
{
	(void)u;
	(void)c;
	far.shut = true;
}

void tnl_chan_close(struct tnl_upstream *u, tnl_chan c)
{
	(void)u;
	(void)c;
	assert_false(far.ended);
	far.ended = true;
}

/* ---- the stage */

struct scene {
	struct loop *loop;
	struct rt *rt;
	struct tnl_upstream *upstreams[1];
	void *flow;
};

static int set_up(void **state)
{
	struct scene *s = calloc(1, sizeof(*s));
	static const struct rt_rule rules[] = {
		{ .prefix = { .addr = { 4, { 10 } }, .len = 8 }, .action = RT_UPSTREAM },
		{ .prefix = { .addr = { 4, { 10, 1 } }, .len = 16 }, .action = RT_REJECT },
		{ .prefix = { .addr = { 4, { 10, 2 } }, .len = 16 }, .action = RT_DROP },
		{ .prefix = { .addr = { 4, { 10, 3 } }, .len = 16 }, .action = RT_DIRECT },
	};
	struct rt_rules *table;

	memset(&app, 0, sizeof(app));
	memset(&far, 0, sizeof(far));
	memset(&played, 0, sizeof(played));
	world_new();
	played.refused = -1;
	app.room = far.room = SIDE_BYTES;
	if (!s || loop_new(&s->loop) < 0 || rt_rules_new(&table, rules, ARRAY_LEN(rules)) < 0)
		return -1;
	s->upstreams[0] = (struct tnl_upstream *)s; /* never looked into */
	const struct rt_opts opts = { .loop = s->loop, .flows_max = 2, .memory_bytes = 1000 };
	if (rt_new(&s->rt, &opts) < 0)
		return -1;
	rt_set_upstream(s->rt, 0, &(struct rt_upstream){ .name = "up", .tnl = s->upstreams[0] });
	rt_set_table(s->rt, &(struct rt_table){ .rules = table, .default_action = RT_DIRECT });
	*state = s;
	return 0;
}

static int tear_down(void **state)
{
	struct scene *s = *state;

	rt_free(s->rt);
	loop_free(s->loop);
	world_free();
	free(s);
	return 0;
}

static void syn(struct scene *s, uint8_t second_octet)
{
	const struct ns_flow_key key = {
		.src = { .addr = { 4, { 192, 0, 2, 1 } }, .port = 40000 },
		.dst = { .addr = { 4, { 10, second_octet, 0, 9 } }, .port = 5432 },
	};

	s->flow = rt_ns_events()->syn(s->rt, 1, &key);
}

static void turn(struct scene *s)
{
	assert_int_equal(loop_turn(s->loop, 0), 0);
}

static struct rt_stats stats(const struct scene *s)
{
	struct rt_stats out;

	rt_stats(s->rt, &out);
	return out;
}

static void established(struct scene *s)
{
	syn(s, 9);
	played.events->opened(played.arg, 1);
	assert_true(played.accepted);
	rt_ns_events()->established(s->flow, 1);
	turn(s);
}

static void app_sends(struct scene *s, size_t n)
{
	memset(app.in + app.in_len, 'a', n);
	app.in_len += n;
	rt_ns_events()->readable(s->flow, 1);
}

static void far_sends(size_t n)
{
	memset(far.in + far.in_len, 'f', n);
	far.in_len += n;
	played.events->readable(played.arg, 1);
}

/* ---- the scenes */

static void bytes_flow_both_ways(void **state)
{
	struct scene *s = *state;

	established(s);
	app_sends(s, 1000);
	far_sends(2000);
	turn(s);
	assert_int_equal(far.out_len, 1000);
	assert_int_equal(app.out_len, 2000);
	assert_int_equal(far.out[999], 'a');
	assert_int_equal(app.out[1999], 'f');
	assert_int_equal(stats(s).bytes_up, 1000);
	assert_int_equal(stats(s).bytes_down, 2000);
}

static void the_syn_is_held_until_connected(void **state)
{
	struct scene *s = *state;

	syn(s, 9);
	turn(s);
	assert_false(played.accepted);
	assert_int_equal(stats(s).opening, 1);
	played.events->opened(played.arg, 1);
	assert_true(played.accepted);
	assert_int_equal(stats(s).opening, 0);
}

/* Nothing is read that can't be written. */
static void credit_stops_the_reader(void **state)
{
	struct scene *s = *state;

	established(s);
	far.room = 300;
	app_sends(s, 1000);
	turn(s);
	assert_int_equal(far.out_len, 300);
	assert_int_equal(app.in_at, 300);
	far.room = 10000;
	played.events->writable(played.arg, 1);
	turn(s);
	assert_int_equal(far.out_len, 1000);
}

static void a_turn_has_a_budget(void **state)
{
	struct scene *s = *state;

	established(s);
	app_sends(s, 3 * RT_TURN_BYTES);
	turn(s);
	assert_int_equal(far.out_len, RT_TURN_BYTES);
	turn(s); /* no event is needed for the rest */
	turn(s);
	assert_int_equal(far.out_len, 3 * RT_TURN_BYTES);
}

static void halves_close_by_themselves(void **state)
{
	struct scene *s = *state;

	established(s);
	app_sends(s, 10);
	app.in_eof = true;
	turn(s);
	assert_int_equal(far.out_len, 10);
	assert_true(far.shut);
	assert_false(app.shut);
	far_sends(500); /* the answer after the client's FIN */
	far.in_eof = true;
	turn(s);
	assert_int_equal(app.out_len, 500);
	assert_true(app.shut);
	assert_true(far.ended); /* both halves done: the channel is closed */
	assert_false(app.ended);
	assert_int_equal(stats(s).flows, 1);
	rt_ns_events()->finished(s->flow, 1);
	turn(s);
	assert_int_equal(stats(s).flows, 0);
}

static void failures_look_as_on_a_lan(void **state)
{
	static const struct {
		enum tnl_open_failure failure;
		enum ns_refusal refusal;
	} cases[] = {
		{ TNL_OPEN_REFUSED, NS_REFUSE_RST },
		{ TNL_OPEN_HOST_UNREACHABLE, NS_REFUSE_HOST_UNREACHABLE },
		{ TNL_OPEN_NET_UNREACHABLE, NS_REFUSE_NET_UNREACHABLE },
		{ TNL_OPEN_PROHIBITED, NS_REFUSE_PROHIBITED },
		{ TNL_OPEN_TIMEOUT, NS_REFUSE_HOST_UNREACHABLE },
		{ TNL_OPEN_NO_SESSION, NS_REFUSE_HOST_UNREACHABLE },
		{ TNL_OPEN_LIMIT, NS_REFUSE_DROP },
		{ TNL_OPEN_FAILED, NS_REFUSE_RST },
	};
	struct scene *s = *state;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		app.ended = false;
		syn(s, 9);
		played.events->failed(played.arg, 1, cases[i].failure, "sshd's words");
		assert_int_equal(played.refused, (int)cases[i].refusal);
		turn(s);
		assert_int_equal(stats(s).flows, 0);
		assert_int_equal(stats(s).opening, 0);
	}
}

static void actions_without_upstream(void **state)
{
	static const struct {
		uint8_t octet;
		enum ns_refusal refusal;
	} cases[] = { { 1, NS_REFUSE_RST }, { 2, NS_REFUSE_DROP } };
	struct scene *s = *state;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		app.ended = false;
		syn(s, cases[i].octet);
		assert_int_equal(played.refused, (int)cases[i].refusal);
		assert_null(played.events);
		turn(s);
	}
}

static void the_application_gives_up(void **state)
{
	struct scene *s = *state;

	syn(s, 9);
	rt_ns_events()->gone(s->flow, 1);
	assert_true(far.ended);
	turn(s);
	assert_int_equal(stats(s).flows, 0);
	assert_int_equal(stats(s).opening, 0);
}

static void a_lost_session_resets(void **state)
{
	struct scene *s = *state;

	established(s);
	played.events->gone(played.arg, 1);
	assert_true(app.ended);
	assert_false(far.ended); /* it went by itself */
	turn(s);
	assert_int_equal(stats(s).flows, 0);
	assert_int_equal(stats(s).reset, 1);
}

static void limits_reset_new_flows_only(void **state)
{
	struct scene *s = *state;

	syn(s, 9);
	void *first = s->flow;
	syn(s, 9);
	assert_non_null(s->flow);
	syn(s, 9); /* flows_max is 2 */
	assert_null(s->flow);
	assert_int_equal(stats(s).flows, 2);
	/* The scripted sides are one: end one flow before the other. */
	rt_ns_events()->gone(first, 1);
	far.ended = false;
	turn(s);
	assert_int_equal(stats(s).flows, 1);
}

static void memory_has_a_limit(void **state)
{
	struct scene *s = *state;

	played.buffered = 1000;
	syn(s, 9);
	assert_null(s->flow);
	played.buffered = 999;
	world->dir_buffered = 1;
	syn(s, 9);
	assert_null(s->flow);
	world->dir_buffered = 0;
	syn(s, 9);
	assert_non_null(s->flow);
}

static void an_open_that_fails_at_once(void **state)
{
	struct scene *s = *state;

	played.open_fails = true;
	syn(s, 9);
	assert_int_equal(played.refused, (int)NS_REFUSE_RST);
	turn(s);
	assert_int_equal(stats(s).flows, 0);
}

static void set_rules(struct scene *s, enum rt_action action, uint8_t second_octet)
{
	const struct rt_rule rule = { .prefix = { .addr = { 4, { 10, second_octet } }, .len = 16 },
				      .action = action };
	struct rt_rules *table;

	assert_int_equal(rt_rules_new(&table, &rule, 1), 0);
	rt_set_table(s->rt, &(struct rt_table){ .rules = table, .default_action = RT_DIRECT });
}

static void new_rules_leave_flows_that_they_carry(void **state)
{
	struct scene *s = *state;

	established(s);
	set_rules(s, RT_UPSTREAM, 9); /* a longer prefix, the same upstream */
	turn(s);
	assert_false(app.ended || far.ended);
	app_sends(s, 100);
	turn(s);
	assert_int_equal(far.out_len, 100);
	set_rules(s, RT_UPSTREAM, 8); /* nobody carries it: the default is direct */
	assert_true(app.ended && far.ended);
	turn(s);
	assert_int_equal(stats(s).flows, 0);
	assert_int_equal(stats(s).reset, 1);
}

static void new_rules_answer_a_held_syn(void **state)
{
	struct scene *s = *state;

	syn(s, 9);
	set_rules(s, RT_UPSTREAM, 9);
	assert_int_equal(played.refused, -1);
	set_rules(s, RT_REJECT, 9);
	assert_int_equal(played.refused, (int)NS_REFUSE_RST);
	assert_true(far.ended);
	turn(s);
	assert_int_equal(stats(s).flows, 0);
	assert_int_equal(stats(s).opening, 0);
}

#define SCENE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		SCENE(bytes_flow_both_ways),
		SCENE(the_syn_is_held_until_connected),
		SCENE(credit_stops_the_reader),
		SCENE(a_turn_has_a_budget),
		SCENE(halves_close_by_themselves),
		SCENE(failures_look_as_on_a_lan),
		SCENE(actions_without_upstream),
		SCENE(the_application_gives_up),
		SCENE(a_lost_session_resets),
		SCENE(limits_reset_new_flows_only),
		SCENE(memory_has_a_limit),
		SCENE(an_open_that_fails_at_once),
		SCENE(new_rules_leave_flows_that_they_carry),
		SCENE(new_rules_answer_a_held_syn),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
