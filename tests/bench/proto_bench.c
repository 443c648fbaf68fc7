// SPDX-License-Identifier: MIT
/*
 * proto_bench.c - CPU time of the channel, both ends together
 *
 * Two ends hand each other their messages directly. For each payload size: µs per data message
 * with its acknowledgement, which is encoding, digest, checking and ordering at both ends, and the
 * payload rate on one core. Prints; asserts nothing but that the bytes arrived.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/err.h"
#include "base/util.h"
#include "proto/ssm_chan.h"

#define ROUND_TRIP_US 1000U /* of the virtual clock, for each exchange of both ends' output */

struct end {
	struct ssm_chan *chan;
	uint64_t received;
};

static int on_data(void *arg, uint32_t payload_type, const uint8_t *p, size_t len)
{
	struct end *e = arg;

	(void)payload_type;
	(void)p;
	e->received += len;
	return 0;
}

static const struct ssm_chan_events events = { .data = on_data };

static uint64_t clock_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

static void end_open(struct end *e, enum ssm_role role, uint32_t max_payload, uint64_t now_us)
{
	struct ssm_chan_opts opts = {
		.role = role,
		.now_us = now_us,
		.unix_ms = 1,
		.max_payload = max_payload,
		.window_max = SSM_WINDOW_MAX_OWN,
		.events = &events,
		.arg = e,
	};

	*e = (struct end){ 0 };
	if (ssm_chan_new(&e->chan, &opts) < 0)
		ST_BUG("no channel");
	ssm_chan_transport_up(e->chan, now_us);
}

static void move(struct end *from, struct end *to, uint64_t now_us)
{
	const uint8_t *p;
	size_t len;

	while (ssm_chan_next_output(from->chan, &p, &len, now_us))
		ssm_chan_input(to->chan, p, len, now_us);
}

static void measure(uint32_t max_payload, uint64_t bytes)
{
	static uint8_t zeroes[SSM_SEND_QUEUE_MAX];
	uint64_t now_us = 1, sent = 0, from_us, took_us;
	struct ssm_chan_stats stats;
	struct end client, agent;

	end_open(&client, SSM_ROLE_CLIENT, max_payload, now_us);
	end_open(&agent, SSM_ROLE_AGENT, max_payload, now_us);
	from_us = clock_us();
	while (agent.received < bytes) {
		size_t n = (size_t)MIN(bytes - sent, sizeof(zeroes));

		sent += ssm_chan_send(client.chan, zeroes, n, now_us);
		move(&client, &agent, now_us);
		now_us += ROUND_TRIP_US;
		move(&agent, &client, now_us);
		ssm_chan_expire(client.chan, now_us);
		ssm_chan_expire(agent.chan, now_us);
	}
	took_us = clock_us() - from_us;
	ssm_chan_stats(client.chan, &stats);
	printf("payload %5u: %6.2f us per message with its ack, %7.1f MB/s, %" PRIu64
	       " messages, %" PRIu64 " resent, window %zu KiB\n",
	       max_payload, (double)took_us / (double)stats.msgs_out,
	       (double)bytes / (double)MAX(took_us, 1U), stats.msgs_out, stats.resent,
	       stats.window_bytes / 1024);
	ssm_chan_free(client.chan);
	ssm_chan_free(agent.chan);
}

int main(void)
{
	static const uint32_t sizes[] = { 128, 1024, 8192, SSM_PAYLOAD_MAX };

	for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
		measure(sizes[i], (uint64_t)sizes[i] * 100000 / (1 + sizes[i] / 8192));
	return 0;
}
