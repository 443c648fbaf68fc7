// SPDX-License-Identifier: MIT
/* rt_alive_test.c - who answers a ping, and what is known for how long */
#include "rt_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"

static int set_up(void **state)
{
	return world_stage(state, RT_DNS_FAKE, NULL);
}

static void ping_bytes(struct stage *s, const char *dst, size_t len)
{
	const struct net_addr src = world_addr("198.18.0.1"), to = world_addr(dst);
	uint8_t *packet = calloc(1, len);

	rt_ns_events()->echo(s->rt, &src, &to, packet, len);
	free(packet);
}

static void ping(struct stage *s, const char *dst)
{
	ping_bytes(s, dst, 84);
}

static void opened(size_t chan)
{
	world->chan[chan].events->opened(world->chan[chan].arg, chan + 1);
}

static void failed(size_t chan, enum tnl_open_failure why)
{
	world->chan[chan].open = false;
	world->chan[chan].events->failed(world->chan[chan].arg, chan + 1, why, "");
}

static uint32_t probes(struct stage *s)
{
	struct rt_stats st;

	rt_stats(s->rt, &st);
	return st.probes;
}

static void a_host_that_takes_connections(void **state)
{
	struct stage *s = *state;

	ping(s, "10.0.0.9");
	assert_int_equal(world->n_chans, 1);
	assert_int_equal(world->chan[0].dst.port, 443);
	assert_int_equal(probes(s), 1);
	assert_int_equal(world->echo_replies, 0);
	ping(s, "10.0.0.9"); /* one probe, one held echo */
	assert_int_equal(world->n_chans, 1);
	opened(0);
	assert_true(world->chan[0].closed);
	assert_int_equal(world->echo_replies, 1);
	assert_int_equal(probes(s), 0);
	ping(s, "10.0.0.9");
	assert_int_equal(world->echo_replies, 2);
	world_pass(s, 31000); /* known no longer */
	ping(s, "10.0.0.9");
	assert_int_equal(world->echo_replies, 2);
	assert_int_equal(world->n_chans, 2);
	failed(1, TNL_OPEN_REFUSED); /* that is a sign of life, too */
	assert_int_equal(world->echo_replies, 3);
	assert_int_equal(world->packets_refused, 0);
}

static void a_host_that_is_not_there(void **state)
{
	static const struct {
		enum tnl_open_failure why;
		enum ns_refusal refusal;
	} cases[] = {
		{ TNL_OPEN_TIMEOUT, NS_REFUSE_HOST_UNREACHABLE },
		{ TNL_OPEN_HOST_UNREACHABLE, NS_REFUSE_HOST_UNREACHABLE },
		{ TNL_OPEN_NET_UNREACHABLE, NS_REFUSE_NET_UNREACHABLE },
		{ TNL_OPEN_PROHIBITED, NS_REFUSE_PROHIBITED },
		{ TNL_OPEN_FAILED, NS_REFUSE_HOST_UNREACHABLE },
	};
	struct stage *s = *state;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char host[32];

		snprintf(host, sizeof(host), "10.0.0.%zu", i);
		ping(s, host);
		failed(i, cases[i].why);
		assert_int_equal(world->packets_refused, 2 * i + 1);
		assert_int_equal(world->packet_refusal, cases[i].refusal);
		ping(s, host); /* known for a while */
		assert_int_equal(world->packets_refused, 2 * i + 2);
		assert_int_equal(world->n_chans, i + 1);
	}
	world_pass(s, 11000);
	ping(s, "10.0.0.0");
	assert_int_equal(world->n_chans, ARRAY_LEN(cases) + 1);
	assert_int_equal(world->echo_replies, 0);
}

/* What says nothing about the host is not remembered. */
static void no_session_is_no_knowledge(void **state)
{
	struct stage *s = *state;

	ping(s, "10.0.0.9");
	failed(0, TNL_OPEN_NO_SESSION);
	assert_int_equal(world->packets_refused, 1);
	ping(s, "10.0.0.9");
	failed(1, TNL_OPEN_LIMIT); /* silence: ping sends another */
	assert_int_equal(world->packets_refused, 1);
	ping(s, "10.0.0.9");
	assert_int_equal(world->n_chans, 3);
}

static void flows_tell(void **state)
{
	struct stage *s = *state;
	ns_conn c = world_syn(s->rt, "10.0.0.9", 5432);

	ping(s, "10.0.0.9"); /* under probe when the flow connects */
	opened(0);
	assert_int_equal(world->echo_replies, 1);
	assert_true(world->chan[1].closed);
	ping(s, "10.0.0.9");
	assert_int_equal(world->echo_replies, 2);
	world_syn(s->rt, "10.0.0.10", 1);
	failed(2, TNL_OPEN_REFUSED);
	ping(s, "10.0.0.10");
	assert_int_equal(world->echo_replies, 3);
	assert_int_equal(world->n_chans, 3);
	assert_true(world->conn[c - 1].accepted);
}

static void by_name(void **state)
{
	struct stage *s = *state;

	world_fake_add("db.prod.internal", "198.18.1.0");
	world_fake_add("db.dev.internal", "198.18.1.1");
	ping(s, "198.18.1.0");
	ping(s, "198.18.1.1");
	assert_string_equal(world->resolve[0].name, "db.prod.internal");
	world_resolved(0, 0, "10.0.0.9", NULL);
	world_resolved(1, 0, "10.0.0.9", NULL); /* the same address elsewhere */
	assert_ptr_equal(world->chan[1].upstream, world_upstream(1));
	opened(0);
	failed(1, TNL_OPEN_TIMEOUT);
	assert_int_equal(world->echo_replies, 1);
	assert_int_equal(world->packets_refused, 1);
}

static void names_without_address(void **state)
{
	struct stage *s = *state;

	world_fake_add("db.prod.internal", "198.18.1.0");
	world->resolve_at_once = ST_ENOENT;
	ping(s, "198.18.1.0");
	assert_int_equal(world->packets_refused, 1);
	assert_int_equal(probes(s), 0);
}

static void others(void **state)
{
	struct stage *s = *state;

	ping(s, "10.1.0.1"); /* reject */
	assert_int_equal(world->packet_refusal, NS_REFUSE_PROHIBITED);
	ping(s, "10.3.0.1");  /* direct: no way to ping for another */
	ping(s, "192.0.2.1"); /* the default is direct */
	ping(s, "198.18.9.9");
	assert_int_equal(world->packet_refusal, NS_REFUSE_HOST_UNREACHABLE);
	assert_int_equal(world->packets_refused, 4);
	ping(s, "10.2.0.1"); /* drop */
	ping(s, "169.254.169.254");
	assert_int_equal(world->packets_refused, 4);
	assert_int_equal(world->n_chans + world->n_dirs + world->echo_replies, 0);
}

static void ipv6_that_nobody_carries(void **state)
{
	struct stage *s = *state;
	struct rt_table t = world_table();

	t.default_action = RT_UPSTREAM;
	t.default_upstream = 1;
	rt_set_table(s->rt, &t);
	ping(s, "2001:db8::1");
	assert_int_equal(world->packet_refusal, NS_REFUSE_NET_UNREACHABLE);
	assert_int_equal(probes(s), 0);
}

static void probes_are_bounded(void **state)
{
	struct stage *s = *state;
	char host[32];

	for (int i = 0; i < 40; i++) {
		snprintf(host, sizeof(host), "10.0.1.%d", i);
		ping(s, host);
	}
	assert_int_equal(world->n_chans, 16);
	opened(0);
	ping(s, "10.0.1.30");
	assert_int_equal(world->n_chans, 17);
}

static void hosts_are_bounded(void **state)
{
	struct stage *s = *state;
	char host[32];

	ping(s, "10.0.0.9");	       /* under probe: stays */
	world->open_fails = ST_ENOMEM; /* each is known to be dead at once */
	for (int i = 0; i < 1040; i++) {
		snprintf(host, sizeof(host), "10.0.%d.%d", 8 + i / 250, i % 250);
		ping(s, host);
	}
	assert_int_equal(probes(s), 1);
	world->open_fails = 0;
	opened(0);
	assert_int_equal(world->echo_replies, 1);
}

static void large_ones_are_answered_once_the_host_is_known(void **state)
{
	struct stage *s = *state;

	ping_bytes(s, "10.0.0.9", 60000);
	opened(0);
	assert_int_equal(world->echo_replies, 0); /* it was not held */
	ping_bytes(s, "10.0.0.9", 60000);
	assert_int_equal(world->echo_replies, 1);
}

static void a_reload_forgets(void **state)
{
	struct stage *s = *state;
	struct rt_table t = world_table();

	ping(s, "10.0.0.9");
	rt_set_table(s->rt, &t);
	assert_true(world->chan[0].closed);
	assert_int_equal(probes(s), 0);
	ping(s, "10.0.0.9"); /* and the end in the middle of it */
	assert_int_equal(world->n_chans, 2);
}

#define SCENE(f) cmocka_unit_test_setup_teardown(f, set_up, world_stage_end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		SCENE(a_host_that_takes_connections),
		SCENE(a_host_that_is_not_there),
		SCENE(no_session_is_no_knowledge),
		SCENE(flows_tell),
		SCENE(by_name),
		SCENE(names_without_address),
		SCENE(others),
		SCENE(ipv6_that_nobody_carries),
		SCENE(probes_are_bounded),
		SCENE(hosts_are_bounded),
		SCENE(large_ones_are_answered_once_the_host_is_known),
		SCENE(a_reload_forgets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
