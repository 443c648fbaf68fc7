// SPDX-License-Identifier: MIT
/*
 * dnsflood.c - DNS queries over UDP at a steady rate, some of them garbage, and what came back
 *
 *   dnsflood ADDRESS PORT [--rate Q/S] [--seconds S] [--garbage PERCENT] [--name PATTERN] [--names N] [--types T,T…]
 *            [--sockets N] [--wait-ms T] [--seed N]
 *
 * PATTERN's "%" becomes a number below N. Types: A AAAA TXT HTTPS PTR or numbers. Garbage is, in turn: random bytes, a query that
 * ends too early, one whose name is a loop of pointers, one with counts that lie, and an answer.
 *
 * Theory of operation: every millisecond sends what is due, by sendmmsg(), in turn over a few sockets, whose answers are taken by
 * recvmmsg(). A query's id is its place in a socket's table of 65,536, which holds when it was sent: an answer is counted once, by rcode,
 * if its place waits for one. After the last query answers have T ms.
 *
 * Prints one JSON object. Exit status: 0 if everything could be sent; what the answers should be is the caller's business.
 */
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/addr.h"
#include "base/util.h"

#define BATCH 64U
#define SOCKETS_MAX 64U
#define IDS 65536U
#define TYPES_MAX 16U
#define QUERY_MAX 512U
#define NAME_TEXT_MAX 254U
#define HEADER 12U
#define STEP_US 100U /* of the histogram of latencies */
#define STEPS 20000U /* 2 s; what takes longer is counted in the last one, and as late */
#define RCODES 16U

struct options {
	const char *address, *port;
	double rate, seconds, garbage;
	const char *pattern;
	unsigned names, sockets, wait_ms;
	uint16_t types[TYPES_MAX];
	unsigned n_types;
	uint64_t seed;
};

struct sock {
	int fd;
	uint16_t next_id;
	double sent_at[IDS]; /* 0: nothing waits there */
};

static struct options opt = { .rate = 10000,
			      .seconds = 10,
			      .pattern = "h%.test.internal",
			      .names = 1000,
			      .sockets = 4,
			      .wait_ms = 1000,
			      .types = { 1 },
			      .n_types = 1,
			      .seed = 1 };
static struct sock *socks;
static uint64_t sent, garbage, answered, garbage_answered, strange, late, cut, send_errors, empty;
static uint64_t rcodes[RCODES];
static uint32_t took[STEPS + 1];
static uint8_t garbage_at[SOCKETS_MAX][IDS / 8]; /* which ids were garbage's */

/* xorshift64*: the same run for the same seed */
static uint32_t rnd(void)
{
	opt.seed ^= opt.seed >> 12;
	opt.seed ^= opt.seed << 25;
	opt.seed ^= opt.seed >> 27;
	return (uint32_t)((opt.seed * UINT64_C(0x2545F4914F6CDD1D)) >> 32);
}

static double now_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* --- queries */

/* The pattern with its "%" made a number, in labels. Return: bytes */
static size_t name_put(uint8_t *out)
{
	char text[NAME_TEXT_MAX];
	const char *mark = strchr(opt.pattern, '%');
	size_t at = 0;

	if (mark)
		snprintf(text, sizeof(text), "%.*s%u%s", (int)(mark - opt.pattern), opt.pattern,
			 rnd() % opt.names, mark + 1);
	else
		snprintf(text, sizeof(text), "%s", opt.pattern);
	for (const char *p = text; *p;) {
		size_t n = strcspn(p, ".");

		out[at++] = (uint8_t)n;
		memcpy(out + at, p, n);
		at += n;
		p += n + (p[n] == '.');
	}
	out[at++] = 0;
	return at;
}

static size_t query_put(uint8_t *out, uint16_t id)
{
	static const uint8_t counts[] = { 0x01, 0x00, 0, 1, 0, 0, 0, 0, 0, 1 };
	static const uint8_t opt_rr[] = {
		0, 0, 41, 0x04, 0xd0, 0, 0, 0, 0, 0, 0
	}; /* EDNS, 1232 bytes */
	size_t len = HEADER;

	be16_put(out, id);
	memcpy(out + 2, counts, sizeof(counts));
	len += name_put(out + len);
	be16_put(out + len, opt.types[rnd() % opt.n_types]);
	be16_put(out + len + 2, 1);
	memcpy(out + len + 4, opt_rr, sizeof(opt_rr));
	return len + 4 + sizeof(opt_rr);
}

static size_t random_bytes(uint8_t *out, uint16_t id, size_t len)
{
	len = rnd() % 200;
	for (size_t i = 0; i < len; i++)
		out[i] = (uint8_t)rnd();
	be16_put(out, id); /* an answer to it must not look like one to another query */
	return len;
}

static size_t too_short(uint8_t *out, uint16_t id, size_t len)
{
	(void)out;
	(void)id;
	return rnd() % len;
}

static size_t pointer_loop(uint8_t *out, uint16_t id, size_t len)
{
	(void)id;
	be16_put(out + HEADER, 0xc000U | HEADER);
	return len;
}

static size_t lying_counts(uint8_t *out, uint16_t id, size_t len)
{
	(void)id;
	for (size_t at = 4; at < HEADER; at += 2)
		be16_put(out + at, (uint16_t)rnd());
	return len;
}

static size_t an_answer(uint8_t *out, uint16_t id, size_t len)
{
	(void)id;
	out[2] |= 0x80;
	return len;
}

/* Each makes a query of @len bytes into garbage and returns its length. */
static size_t (*const garbage_kinds[])(uint8_t *out, uint16_t id, size_t len) = {
	random_bytes, too_short, pointer_loop, lying_counts, an_answer,
};

static size_t message_put(struct sock *s, uint8_t *out)
{
	uint16_t id = s->next_id++;
	size_t len = query_put(out, id);
	uint8_t *marks = &garbage_at[s - socks][id / 8];
	bool bad = opt.garbage > 0 && rnd() < opt.garbage / 100 * (double)UINT32_MAX;

	s->sent_at[id] = now_s();
	*marks = (uint8_t)(*marks & ~(1U << id % 8));
	if (!bad)
		return len;
	*marks |= (uint8_t)(1U << id % 8);
	return garbage_kinds[garbage++ % (ARRAY_LEN(garbage_kinds))](out, id, len);
}

/* Return: how many of @n were sent */
static unsigned burst(struct sock *s, unsigned n)
{
	static uint8_t bytes[BATCH][QUERY_MAX];
	struct mmsghdr msgs[BATCH] = { 0 };
	struct iovec iov[BATCH];
	unsigned done = 0;

	for (unsigned i = 0; i < n; i++) {
		iov[i] = (struct iovec){ bytes[i], message_put(s, bytes[i]) };
		msgs[i].msg_hdr = (struct msghdr){ .msg_iov = &iov[i], .msg_iovlen = 1 };
	}
	while (done < n) {
		int r = sendmmsg(s->fd, msgs + done, n - done, 0);

		if (r > 0) {
			done += (unsigned)r;
			continue;
		}
		if (r < 0 && errno != EINTR &&
		    errno != ECONNREFUSED) { /* a refusal is an earlier query's */
			send_errors++;
			break;
		}
	}
	return done;
}

/* --- answers */

static void answer_take(struct sock *s, const uint8_t *msg, size_t len, double now)
{
	uint16_t id;
	double us;

	if (len < HEADER) {
		empty++;
		return;
	}
	id = (uint16_t)(msg[0] << 8 | msg[1]);
	if (!(msg[2] & 0x80) || s->sent_at[id] == 0) {
		strange++;
		return;
	}
	us = (now - s->sent_at[id]) * 1e6;
	s->sent_at[id] = 0;
	if (garbage_at[s - socks][id / 8] & (1U << id % 8)) {
		garbage_answered++;
		return;
	}
	answered++;
	rcodes[msg[3] & 15]++;
	cut += (msg[2] & 0x02) != 0;
	late += us >= (double)STEP_US * STEPS;
	took[(size_t)fmin(us / STEP_US, STEPS)]++;
}

static void answers_take(struct sock *s)
{
	static uint8_t bytes[BATCH][4096];
	struct mmsghdr msgs[BATCH];
	struct iovec iov[BATCH];
	int n;

	do {
		memset(msgs, 0, sizeof(msgs));
		for (unsigned i = 0; i < BATCH; i++) {
			iov[i] = (struct iovec){ bytes[i], sizeof(bytes[i]) };
			msgs[i].msg_hdr = (struct msghdr){ .msg_iov = &iov[i], .msg_iovlen = 1 };
		}
		n = recvmmsg(s->fd, msgs, BATCH, MSG_DONTWAIT, NULL);
		for (int i = 0; i < n; i++)
			answer_take(s, bytes[i], msgs[i].msg_len, now_s());
	} while (n == (int)BATCH);
}

/* Waits until @until or for the next answers, and takes them */
static void wait_until(double until)
{
	struct pollfd p[SOCKETS_MAX];

	for (unsigned i = 0; i < opt.sockets; i++)
		p[i] = (struct pollfd){ .fd = socks[i].fd, .events = POLLIN };
	for (;;) {
		double left = until - now_s();

		if (left <= 0 || poll(p, opt.sockets, (int)ceil(left * 1000)) < 0)
			return;
		for (unsigned i = 0; i < opt.sockets; i++)
			if (p[i].revents)
				answers_take(&socks[i]);
	}
}

/* --- the run */

static void run(double *lasted)
{
	uint64_t total = (uint64_t)(opt.rate * opt.seconds);
	double start = now_s();
	unsigned turn = 0;

	while (sent < total) {
		double now = now_s();
		uint64_t due = (uint64_t)((now - start) * opt.rate) + 1;

		due = due < total ? due : total;
		while (sent < due && !send_errors) {
			unsigned n = due - sent < BATCH ? (unsigned)(due - sent) : BATCH;

			sent += burst(&socks[turn++ % opt.sockets], n);
		}
		if (send_errors)
			break;
		wait_until(now + 0.001);
	}
	*lasted = now_s() - start;
	wait_until(now_s() + opt.wait_ms / 1000.0);
}

static double percentile(double p)
{
	uint64_t seen = 0, want = (uint64_t)ceil((double)answered * p);

	for (size_t i = 0; i <= STEPS; i++) {
		seen += took[i];
		if (seen >= want)
			return (double)(i * STEP_US) / 1000.0;
	}
	return 0;
}

static void report(double lasted)
{
	static const char *const names[RCODES] = { "NOERROR",  "FORMERR", "SERVFAIL",
						   "NXDOMAIN", "NOTIMP",  "REFUSED" };
	const char *comma = "";

	printf("{\"sent\": %llu, \"garbage\": %llu, \"seconds\": %.2f, \"answered\": %llu, "
	       "\"lost\": %llu, "
	       "\"garbage_answered\": %llu, \"strange\": %llu, \"cut\": %llu, \"late\": %llu, "
	       "\"send_errors\": %llu, \"p50_ms\": %.2f, \"p99_ms\": %.2f, \"max_ms\": %.2f, "
	       "\"rcodes\": {",
	       (unsigned long long)sent, (unsigned long long)garbage, lasted,
	       (unsigned long long)answered, (unsigned long long)(sent - garbage - answered),
	       (unsigned long long)garbage_answered, (unsigned long long)(strange + empty),
	       (unsigned long long)cut, (unsigned long long)late, (unsigned long long)send_errors,
	       percentile(0.5), percentile(0.99), percentile(1));
	for (unsigned i = 0; i < RCODES; i++) {
		if (!rcodes[i])
			continue;
		if (names[i])
			printf("%s\"%s\": %llu", comma, names[i], (unsigned long long)rcodes[i]);
		else
			printf("%s\"%u\": %llu", comma, i, (unsigned long long)rcodes[i]);
		comma = ", ";
	}
	printf("}}\n");
}

/* --- the command line */

static int type_number(const char *s)
{
	static const struct {
		const char *name;
		int number;
	} types[] = { { "A", 1 }, { "PTR", 12 }, { "TXT", 16 }, { "AAAA", 28 }, { "HTTPS", 65 } };
	char *end;
	long n = strtol(s, &end, 10);

	for (size_t i = 0; i < ARRAY_LEN(types); i++)
		if (strcmp(s, types[i].name) == 0)
			return types[i].number;
	return *end == '\0' && n > 0 && n < 65536 ? (int)n : -1;
}

static bool types_parse(char *list)
{
	char *save;

	opt.n_types = 0;
	for (char *t = strtok_r(list, ",", &save); t; t = strtok_r(NULL, ",", &save)) {
		int n = type_number(t);

		if (n < 0 || opt.n_types == TYPES_MAX)
			return false;
		opt.types[opt.n_types++] = (uint16_t)n;
	}
	return opt.n_types > 0;
}

/* Labels of 1 to 63 bytes, and room for a number in place of "%" */
static bool pattern_is_good(const char *p)
{
	if (strlen(p) > NAME_TEXT_MAX - 16)
		return false;
	while (*p) {
		size_t n = strcspn(p, ".");

		if (n == 0 || n > 53)
			return false;
		p += n + (p[n] == '.');
	}
	return true;
}

static bool options_parse(int argc, char **argv)
{
	static const struct option longs[] = {
		{ "rate", 1, NULL, 'r' },    { "seconds", 1, NULL, 's' },
		{ "garbage", 1, NULL, 'g' }, { "name", 1, NULL, 'n' },
		{ "names", 1, NULL, 'N' },   { "types", 1, NULL, 't' },
		{ "sockets", 1, NULL, 'k' }, { "wait-ms", 1, NULL, 'w' },
		{ "seed", 1, NULL, 'S' },    { NULL, 0, NULL, 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		switch (c) {
		case 'r': opt.rate = strtod(optarg, NULL); break;
		case 's': opt.seconds = strtod(optarg, NULL); break;
		case 'g': opt.garbage = strtod(optarg, NULL); break;
		case 'n': opt.pattern = optarg; break;
		case 'N': opt.names = (unsigned)strtoul(optarg, NULL, 10); break;
		case 'k': opt.sockets = (unsigned)strtoul(optarg, NULL, 10); break;
		case 'w': opt.wait_ms = (unsigned)strtoul(optarg, NULL, 10); break;
		case 'S': opt.seed = strtoull(optarg, NULL, 10); break;
		case 't':
			if (!types_parse(optarg))
				return false;
			break;
		default: return false;
		}
	}
	if (argc - optind != 2)
		return false;
	opt.address = argv[optind];
	opt.port = argv[optind + 1];
	return opt.rate >= 1 && opt.rate <= 1e6 && opt.seconds > 0 && opt.names > 0 &&
	       opt.seed != 0 && opt.garbage >= 0 && opt.garbage <= 100 && opt.sockets > 0 &&
	       opt.sockets <= SOCKETS_MAX && pattern_is_good(opt.pattern);
}

static int sockets_open(void)
{
	struct net_endpoint to = { .port = (uint16_t)strtoul(opt.port, NULL, 10) };
	int room = (int)MIB(4);
	struct sockaddr_storage ss;
	socklen_t len;

	if (net_addr_parse(&to.addr, opt.address) < 0 || !to.port) {
		fprintf(stderr, "dnsflood: %s %s is no address and port\n", opt.address, opt.port);
		return -1;
	}
	len = net_sockaddr(&ss, &to);
	for (unsigned i = 0; i < opt.sockets; i++) {
		int fd = socket(ss.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);

		if (fd < 0 || connect(fd, (struct sockaddr *)&ss, len) < 0) {
			perror("dnsflood: socket");
			return -1;
		}
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
		socks[i].fd = fd;
		socks[i].next_id = (uint16_t)rnd();
	}
	return 0;
}

int main(int argc, char **argv)
{
	double lasted;

	if (!options_parse(argc, argv)) {
		fprintf(stderr, "usage: dnsflood ADDRESS PORT [--rate Q/S] [--seconds S] "
				"[--garbage PERCENT] [--name PATTERN]\n"
				"       [--names N] [--types T,T] [--sockets N] [--wait-ms T] "
				"[--seed N]\n");
		return 2;
	}
	socks = calloc(opt.sockets, sizeof(*socks));
	if (!socks || sockets_open() < 0)
		return 1;
	run(&lasted);
	report(lasted);
	for (unsigned i = 0; i < opt.sockets; i++)
		close(socks[i].fd);
	free(socks);
	return send_errors ? 1 : 0;
}
