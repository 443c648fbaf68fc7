// SPDX-License-Identifier: MIT
/* rt_world_stage.c - a router with rules, upstreams and a clock of its own */
#include "rt_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/err.h"

static uint64_t skipped_ms; /* that the loop's clock is ahead of the machine's */

/* The loop's clock; taken instead of the C library's. */
/* NOLINTNEXTLINE(readability-inconsistent-declaration-parameter-name): its header's names are reserved ones */
int clock_gettime(clockid_t id, struct timespec *ts)
{
	const int r = (int)syscall(SYS_clock_gettime, id, ts);

	if (r == 0 && id == CLOCK_BOOTTIME) {
		ts->tv_sec += (time_t)(skipped_ms / 1000U);
		ts->tv_nsec += (long)(skipped_ms % 1000U) * 1000000L;
		if (ts->tv_nsec >= 1000000000L) {
			ts->tv_sec++;
			ts->tv_nsec -= 1000000000L;
		}
	}
	return r;
}

void world_turn(struct stage *s)
{
	assert_int_equal(loop_turn(s->loop, 0), 0);
}

void world_pass(struct stage *s, uint32_t ms)
{
	skipped_ms += ms;
	world_turn(s);
	world_turn(s);
}

struct tnl_upstream *world_upstream(uint32_t slot)
{
	static char places[2]; /* never looked into */

	return (struct tnl_upstream *)(void *)&places[slot];
}

static struct rt_rule rule(const char *prefix, enum rt_action action, uint32_t slot)
{
	struct rt_rule out = { .action = action, .upstream = slot };

	assert_int_equal(net_prefix_parse(&out.prefix, prefix), 0);
	return out;
}

struct rt_table world_table(void)
{
	const struct rt_rule rules[] = {
		rule("10.0.0.0/8", RT_UPSTREAM, 0),  rule("10.1.0.0/16", RT_REJECT, 0),
		rule("10.2.0.0/16", RT_DROP, 0),     rule("10.3.0.0/16", RT_DIRECT, 0),
		rule("10.4.0.0/16", RT_UPSTREAM, 1), rule("fd10::/16", RT_UPSTREAM, 0),
	};
	static const struct rt_name_rule names[] = {
		{ .pattern = "*.prod.internal", .action = RT_UPSTREAM, .upstream = 0 },
		{ .pattern = "*.dev.internal", .action = RT_UPSTREAM, .upstream = 1 },
		{ .pattern = "*.here.internal", .action = RT_DIRECT },
		{ .pattern = "*.no.internal", .action = RT_REJECT },
		{ .pattern = "*.void.internal", .action = RT_DROP },
	};
	struct rt_table t = { .default_action = RT_DIRECT };

	assert_int_equal(rt_rules_new(&t.rules, rules, ARRAY_LEN(rules)), 0);
	assert_int_equal(rt_names_new(&t.names, names, ARRAY_LEN(names), false), 0);
	return t;
}

int world_stage(void **state, enum rt_dns_mode mode, const struct rt_dns_opts *more)
{
	struct stage *s = calloc(1, sizeof(*s));
	struct rt_dns_opts dns = more ? *more : (struct rt_dns_opts){ 0 };

	world_new();
	if (!s || loop_new(&s->loop) < 0 ||
	    rt_new(&s->rt, &(struct rt_opts){ .loop = s->loop }) < 0)
		return -1;
	for (uint32_t i = 0; i < 2; i++)
		rt_set_upstream(
			s->rt, i,
			&(struct rt_upstream){
				.name = i ? "dev" : "prod",
				.tnl = world_upstream(i),
				.resolver = { .addr = { 4, { 169, 254, 169, 253 } }, .port = 53 },
				.ipv6 = i == 0,
			});
	const struct rt_table table = world_table();
	rt_set_table(s->rt, &table);
	dns.mode = mode;
	dns.stack4 = world_addr("198.18.0.2");
	dns.stack6 = world_addr("fd00:5::2");
	if (rt_dns_start(s->rt, &dns) < 0)
		return -1;
	*state = s;
	return 0;
}

int world_stage_end(void **state)
{
	struct stage *s = *state;

	rt_free(s->rt);
	loop_free(s->loop);
	for (size_t i = 0; i < world->n_queries; i++)
		assert_false(world->query[i].open);
	for (size_t i = 0; i < world->n_chans; i++)
		assert_false(world->chan[i].open);
	for (size_t i = 0; i < world->n_dirs; i++)
		assert_false(world->dir[i].open);
	for (size_t i = 0; i < world->n_conns; i++)
		assert_false(world->conn[i].open);
	world_free();
	free(s);
	return 0;
}
