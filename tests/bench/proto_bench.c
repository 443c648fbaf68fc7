// SPDX-License-Identifier: MIT
/*
 * proto_bench.c - CPU time of the codec and of the channel, on one core
 *
 * Codec: encoding and decoding a data message of 1 KiB, beside the SHA-256 that each of the two
 * must compute, and an acknowledgement from number to number, digests included. The parts take turns
 * in short rounds, so that what else the machine does meets all of them; each line is a median.
 *
 * Channel: two ends hand each other their messages directly. For each payload size: us per data
 * message with its acknowledgement, which is encoding, digest, checking and ordering at both ends,
 * and the payload rate on one core. Prints; asserts nothing but that the bytes arrived.
 */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/codec.h"
#include "base/err.h"
#include "base/util.h"
#include "proto/ssm_ack.h"
#include "proto/ssm_chan.h"

#define ROUNDS 31U	   /* odd: the median is one of them */
#define ROUND_CALLS 10000U /* of each part: about 10 ms */
#define CHANNEL_ROUNDS 7U  /* odd too */
#define CHANNEL_MSGS 30000U
#define ABOVE_GOAL_US 1.0 /* goals that the project has set itself */
#define ACK_GOAL_US 1.5
#define ROUND_TRIP_US 1000U /* of the virtual clock, for each exchange of both ends' output */

/* One core for the whole run: moving would cost what is measured. */
static void stay_here(void)
{
	cpu_set_t set;
	int cpu = sched_getcpu();

	CPU_ZERO(&set);
	CPU_SET(cpu < 0 ? 0 : (unsigned)cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
}

static double clock_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

/* ---- codec ---- */

static uint8_t kib[1024];
static uint8_t wire[SSM_OVERHEAD + sizeof(kib)];
static const uint8_t some_id[CODEC_UUID_LEN] = { 1, 2, 3, 4 };

static void part_digest(uint32_t i)
{
	uint8_t digest[CODEC_SHA256_LEN];

	be32_put(kib, i);
	codec_sha256(digest, kib, sizeof(kib));
}

static void part_message(uint32_t i)
{
	struct ssm_msg out, m = {
		.type = SSM_INPUT_STREAM_DATA,
		.created_ms = 1700000000000,
		.seq = i,
		.payload_type = SSM_PT_OUTPUT,
		.payload = wire + SSM_OVERHEAD, /* in place, as the channel writes it */
		.payload_len = sizeof(kib),
	};

	memcpy(m.id, some_id, sizeof(m.id));
	if (ssm_msg_encode(wire, sizeof(wire), &m) < 0 ||
	    ssm_msg_decode(&out, wire, sizeof(wire)) < 0 || out.seq != i)
		ST_BUG("a message did not come through");
}

static void part_ack(uint32_t i)
{
	uint8_t ack[SSM_OVERHEAD + SSM_ACK_MAX];
	struct ssm_msg out, m = {
		.type = SSM_ACKNOWLEDGE,
		.created_ms = 1700000000000,
		.flags = SSM_FLAGS_ACK,
		.payload = ack + SSM_OVERHEAD,
	};
	int64_t seq = -1;
	ssize_t len;

	memcpy(m.id, some_id, sizeof(m.id));
	m.payload_len = ssm_ack_write((char *)ack + SSM_OVERHEAD, SSM_OUTPUT_STREAM_DATA, some_id,
				      100000 + i);
	len = ssm_msg_encode(ack, sizeof(ack), &m);
	if (len < 0 || ssm_msg_decode(&out, ack, (size_t)len) < 0 ||
	    ssm_ack_read(&seq, out.payload, out.payload_len) < 0 || seq != 100000 + i)
		ST_BUG("an acknowledgement did not come through");
}

static double round_us(void (*part)(uint32_t i))
{
	double from_ns = clock_ns();

	for (uint32_t i = 0; i < ROUND_CALLS; i++)
		part(i);
	return (clock_ns() - from_ns) / ROUND_CALLS / 1000;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *values, size_t n)
{
	qsort(values, n, sizeof(values[0]), by_value);
	return values[n / 2];
}

static const char *is_met(double us, double goal_us)
{
	return us <= goal_us ? "met" : "missed";
}

static void codec_measure(void)
{
	double digest[ROUNDS], message[ROUNDS], above[ROUNDS], ack[ROUNDS];
	double digest_us, message_us, above_us, ack_us;

	for (unsigned i = 0; i < ROUNDS; i++) {
		digest[i] = round_us(part_digest);
		message[i] = round_us(part_message);
		ack[i] = round_us(part_ack);
		above[i] = message[i] - 2 * digest[i];
	}
	digest_us = median(digest, ROUNDS);
	message_us = median(message, ROUNDS);
	above_us = median(above, ROUNDS);
	ack_us = median(ack, ROUNDS);
	printf("SHA-256 of 1 KiB:                 %5.2f us\n", digest_us);
	printf("1 KiB message, encode + decode:   %5.2f us = %.2f SHA-256; %.2f us above two of "
	       "them, goal %.2f %s\n",
	       message_us, message_us / digest_us, above_us, ABOVE_GOAL_US,
	       is_met(above_us, ABOVE_GOAL_US));
	printf("acknowledgement, build + parse:   %5.2f us = %.2f SHA-256; goal %.2f %s\n", ack_us,
	       ack_us / digest_us, ACK_GOAL_US, is_met(ack_us, ACK_GOAL_US));
}

/* ---- channel ---- */

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

struct rate {
	double us;	     /* per data message with its acknowledgement */
	double mb_per_s;     /* payload */
	size_t window_bytes; /* at the end */
};

static struct rate channel_round(uint32_t max_payload, uint64_t bytes)
{
	static uint8_t zeroes[SSM_SEND_QUEUE_MAX];
	uint64_t now_us = 1, sent = 0;
	struct ssm_chan_stats stats;
	struct end client, agent;
	double from_ns, took_us;

	end_open(&client, SSM_ROLE_CLIENT, max_payload, now_us);
	end_open(&agent, SSM_ROLE_AGENT, max_payload, now_us);
	from_ns = clock_ns();
	while (agent.received < bytes) {
		size_t n = (size_t)MIN(bytes - sent, sizeof(zeroes));

		sent += ssm_chan_send(client.chan, zeroes, n, now_us);
		move(&client, &agent, now_us);
		now_us += ROUND_TRIP_US;
		move(&agent, &client, now_us);
		ssm_chan_expire(client.chan, now_us);
		ssm_chan_expire(agent.chan, now_us);
	}
	took_us = MAX((clock_ns() - from_ns) / 1000, 1.0);
	ssm_chan_stats(client.chan, &stats);
	ssm_chan_free(client.chan);
	ssm_chan_free(agent.chan);
	return (struct rate){
		.us = took_us / (double)stats.msgs_out,
		.mb_per_s = (double)bytes / took_us,
		.window_bytes = stats.window_bytes,
	};
}

static void channel_measure(uint32_t max_payload)
{
	uint64_t bytes = (uint64_t)max_payload * CHANNEL_MSGS / (1 + max_payload / 8192);
	double us[CHANNEL_ROUNDS], mb_per_s[CHANNEL_ROUNDS];
	struct rate rate = { 0 };

	for (unsigned i = 0; i < CHANNEL_ROUNDS; i++) {
		rate = channel_round(max_payload, bytes);
		us[i] = rate.us;
		mb_per_s[i] = rate.mb_per_s;
	}
	printf("channel, payload %5u:           %5.2f us per message with its ack, %.1f MB/s, "
	       "window %zu KiB\n",
	       max_payload, median(us, CHANNEL_ROUNDS), median(mb_per_s, CHANNEL_ROUNDS),
	       rate.window_bytes / 1024);
}

int main(void)
{
	static const uint32_t sizes[] = { 128, 1024, 8192, SSM_PAYLOAD_MAX };

	stay_here();
	codec_measure();
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
		channel_measure(sizes[i]);
	return 0;
}
