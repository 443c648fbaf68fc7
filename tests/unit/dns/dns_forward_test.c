// SPDX-License-Identifier: MIT
/*
 * dns_forward_test.c - resolvers on loopback, played by the test itself, and a clock that the test moves
 *
 * Cases: an answer, the message kept but for its id; ports and ids that can't be guessed; forgeries of every kind, ignored and counted, the
 * true answer taken afterwards; cut answers over TCP, in pieces, and what can go wrong there; SERVFAIL, REFUSED, errors without a question;
 * closed ports and what can't be reached; silence: the next, late answers, rounds, the deadline; resolvers that are down are last, are probed, come
 * back; one slow name is not a resolver's fault; how many at once, waiting, giving way; cancel in every state; the list changed, empty; both
 * families; the mark; owners that call from inside; nothing left open, no turn while idle.
 */
#include "tests/unit/dns/net_fixture.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "dns/dns_forward_internal.h"

#define SERVERS 4U
#define BUDGET 10000U
#define PATIENCE 500 /* turns of 10 ms until what must come has come */

struct server {
	struct net_endpoint at;
	int udp, listener, tcp;
};

/* A question as a server got it. */
struct got {
	uint8_t msg[MSG_MAX];
	size_t len;
	struct sockaddr_storage from;
	socklen_t from_len;
};

static struct loop *loop;
static struct dns d;
static struct dns_forwards *f;
static struct server servers[SERVERS];
static unsigned fds_before;

/* --- servers */

static int bound(const char *address, int type, uint16_t *port)
{
	struct net_endpoint e = { .port = *port };
	struct sockaddr_storage sa;
	socklen_t len;
	int fd;

	assert_int_equal(net_addr_parse(&e.addr, address), 0);
	len = net_sockaddr(&sa, &e);
	fd = socket(sa.ss_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	assert_true(fd >= 0);
	if (bind(fd, (struct sockaddr *)&sa, len) < 0) {
		close(fd);
		return -1;
	}
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
	assert_int_equal(net_from_sockaddr(&e, (struct sockaddr *)&sa), 0);
	*port = e.port;
	return fd;
}

/* UDP and TCP on one port */
static void server_open(struct server *s, const char *address)
{
	for (;;) {
		uint16_t port = 0;

		s->udp = bound(address, SOCK_DGRAM, &port);
		s->listener = bound(address, SOCK_STREAM, &port);
		if (s->udp >= 0 && s->listener >= 0) {
			assert_int_equal(net_addr_parse(&s->at.addr, address), 0);
			s->at.port = port;
			break;
		}
		close(s->udp);
	}
	s->tcp = -1;
	assert_int_equal(listen(s->listener, 8), 0);
}

static void shut(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void server_close(struct server *s)
{
	shut(&s->udp);
	shut(&s->listener);
	shut(&s->tcp);
}

static bool get(const struct server *s, struct got *g)
{
	ssize_t n;

	g->from_len = sizeof(g->from);
	n = recvfrom(s->udp, g->msg, sizeof(g->msg), MSG_DONTWAIT, (struct sockaddr *)&g->from,
		     &g->from_len);
	g->len = n > 0 ? (size_t)n : 0;
	return n > 0;
}

static void say(int fd, const struct got *g, const uint8_t *msg, size_t len)
{
	assert_int_equal(sendto(fd, msg, len, 0, (const struct sockaddr *)&g->from, g->from_len),
			 (ssize_t)len);
}

static void say_answer(const struct server *s, const struct got *g, unsigned rcode, uint8_t last)
{
	uint8_t msg[MSG_MAX];

	say(s->udp, g, msg, answer_make(msg, g->msg, g->len, rcode, last));
}

static void say_cut(const struct server *s, const struct got *g)
{
	uint8_t msg[MSG_MAX];

	memcpy(msg, g->msg, g->len);
	msg[2] |= 0x82;
	say(s->udp, g, msg, g->len);
}

/* --- steps */

static void turn(void)
{
	assert_int_equal(loop_turn(loop, 0), 0);
}

static void settle(void)
{
	for (int i = 0; i < 4; i++)
		turn();
}

static void pass(uint64_t ms)
{
	clock_ms += ms;
	settle();
}

static void await_told(const struct told *t)
{
	for (int i = 0; i < PATIENCE && t->times == 0; i++)
		assert_int_equal(loop_turn(loop, 10), 0);
	assert_int_equal(t->times, 1);
}

static void await_question(const struct server *s, struct got *g)
{
	for (int i = 0; i < PATIENCE; i++) {
		if (get(s, g))
			return;
		assert_int_equal(loop_turn(loop, 10), 0);
	}
	fail_msg("no question came");
}

static bool silent(const struct server *s)
{
	struct got g;

	settle();
	return !get(s, &g);
}

static void start(struct told *t, const char *name)
{
	uint8_t q[MSG_MAX];
	size_t len = query_make(q, 0x1234, name);

	memset(t, 0, sizeof(*t));
	assert_int_equal(dns_forward_ask(f, &t->h, q, len, clock_ms + BUDGET, told_fn, t), 0);
	assert_int_equal(t->times, 0);
}

static void ask(struct told *t, const char *name)
{
	start(t, name);
	settle();
}

static void is_answered(const struct told *t, const char *name, uint8_t last)
{
	uint8_t q[MSG_MAX];
	size_t len = query_make(q, 0x1234, name);

	await_told(t);
	assert_true(told_address(t, q, len, last));
}

static void has_failed(const struct told *t, int err, const char *text)
{
	await_told(t);
	assert_int_equal(t->err, err);
	assert_int_equal(t->len, 0);
	assert_non_null(strstr(t->text, text));
}

static void use(unsigned n)
{
	struct net_endpoint v[SERVERS];

	for (unsigned i = 0; i < n; i++)
		v[i] = servers[i].at;
	dns_forwards_set(f, v, n);
}

/* The server answers one question, which must be for @name. */
static void serve(unsigned i, const char *name, uint8_t last)
{
	uint8_t want[MSG_MAX];
	struct got g;
	size_t len;

	await_question(&servers[i], &g);
	len = query_make(want, dns_msg_id(g.msg), name);
	assert_int_equal(g.len, len);
	assert_memory_equal(g.msg, want, len);
	say_answer(&servers[i], &g, 0, last);
}

static unsigned fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned n = 0;

	assert_non_null(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

static int setup(void **state)
{
	static const struct dns_hooks hooks;

	(void)state;
	fds_before = fds();
	if (loop_new(&loop) < 0)
		return -1;
	d = (struct dns){ .loop = loop, .opts = { .loop = loop, .hooks = &hooks } };
	turn();
	for (unsigned i = 0; i < SERVERS; i++)
		server_open(&servers[i], i == 3 ? "::1" : "127.0.0.1");
	if (dns_forwards_new(&f, &d) < 0)
		return -1;
	use(1);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	dns_forwards_free(f);
	for (unsigned i = 0; i < SERVERS; i++)
		server_close(&servers[i]);
	loop_free(loop);
	assert_int_equal(fds(), fds_before);
	return 0;
}

/* --- answers */

static void one(void **state)
{
	static const uint8_t edns[] = { 0, 0, 41, 0x10, 0, 0, 0, 0x80, 0, 0, 4, 0, 10, 0, 0 };
	uint8_t q[MSG_MAX];
	size_t len = query_make(q, 0x1234, "www.example.org");
	struct told t = { 0 };
	struct got g;

	(void)state;
	memcpy(q + len, edns, sizeof(edns));
	q[11] = 1;
	len += sizeof(edns);
	assert_int_equal(dns_forward_ask(f, &t.h, q, len, clock_ms + BUDGET, told_fn, &t), 0);
	await_question(&servers[0], &g);
	assert_int_equal(g.len, len);
	assert_memory_equal(g.msg + 2, q + 2, len - 2);
	say_answer(&servers[0], &g, 0, 9);
	await_told(&t);
	assert_int_equal(t.err, 0);
	assert_true(dns_msg_same_question(t.msg, t.len, 0x1234, q, len));
	assert_int_equal(t.msg[t.len - 1], 9);
	assert_int_equal(dns_forwards_ignored(f), 0);
}

static int by_number(const void *a, const void *b)
{
	return *(const uint16_t *)a - *(const uint16_t *)b;
}

static unsigned distinct(uint16_t *v, unsigned n)
{
	unsigned found = 1;

	qsort(v, n, sizeof(*v), by_number);
	for (unsigned i = 1; i < n; i++)
		found += v[i] != v[i - 1];
	return found;
}

/* Each value says nothing of the next: few neighbours, each high bit set about every other time. By chance alone a run in
 * more than a million fails. */
static void looks_random(const uint16_t *v, unsigned n, unsigned bits)
{
	unsigned near = 0, set;

	for (unsigned i = 1; i < n; i++)
		near += abs(v[i] - v[i - 1]) <= 16;
	assert_true(near < n / 20);
	for (unsigned b = 0; b < bits; b++) {
		set = 0;
		for (unsigned i = 0; i < n; i++)
			set += v[i] >> b & 1U;
		assert_in_range(set, n * 2 / 5, n * 3 / 5);
	}
}

static void unpredictable(void **state)
{
	enum { N = 1000 };
	static uint16_t ports[N], ids[N];
	struct net_endpoint from;
	struct told t;
	struct got g;

	(void)state;
	for (unsigned i = 0; i < N; i++) {
		start(&t, "www.example.org");
		await_question(&servers[0], &g);
		assert_int_equal(net_from_sockaddr(&from, (struct sockaddr *)&g.from), 0);
		ports[i] = from.port;
		ids[i] = dns_msg_id(g.msg);
		say_answer(&servers[0], &g, 0, 1);
		is_answered(&t, "www.example.org", 1);
	}
	looks_random(ids, N, 16);
	looks_random(ports, N, 8);
	assert_true(distinct(ids, N) > N * 9 / 10);
	assert_true(distinct(ports, N) > N * 9 / 10);
}

static void forged(void **state)
{
	uint16_t port = 0, port2 = 0;
	int other_port = bound("127.0.0.1", SOCK_DGRAM, &port);
	int other_address = -1;
	uint8_t msg[MSG_MAX], bad[MSG_MAX];
	uint64_t n = 0;
	struct told t;
	struct got g;
	size_t len;

	(void)state;
	port2 = servers[0].at.port; /* the right port at another address */
	other_address = bound("127.0.0.9", SOCK_DGRAM, &port2);
	assert_true(other_port >= 0 && other_address >= 0);
	use(2);
	ask(&t, "www.example.org");
	await_question(&servers[0], &g);
	len = answer_make(msg, g.msg, g.len, 0, 66);
	say(other_port, &g, msg, len);
	say(other_address, &g, msg, len);
	say(servers[1].udp, &g, msg, len); /* one of ours, which was not asked */
	n += 3;
	for (unsigned i = 0; i < 100; i++, n++) { /* the right place, other ids */
		memcpy(bad, msg, len);
		dns_msg_set_id(bad,
			       (uint16_t)(dns_msg_id(msg) ^ (i < 16 ? 1U << i : i * 97U + 1U)));
		say(servers[0].udp, &g, bad, len);
		settle();
	}
	memcpy(bad, msg, len);
	bad[DNS_HEADER_BYTES + 1] ^= 1; /* another name */
	say(servers[0].udp, &g, bad, len);
	memcpy(bad, msg, len);
	bad[g.len - 3] = 28; /* another type */
	say(servers[0].udp, &g, bad, len);
	memcpy(bad, msg, len);
	bad[2] &= 0x7f; /* no answer */
	say(servers[0].udp, &g, bad, len);
	memcpy(bad, msg, len);
	dns_msg_set_id(bad,
		       (uint16_t)~dns_msg_id(msg)); /* an error without a question, of another id */
	bad[3] = 5;
	bad[5] = 0;
	say(servers[0].udp, &g, bad, DNS_HEADER_BYTES);
	n += 4;
	for (size_t i = 0; i < g.len; i++, n++) { /* every shorter one, the empty one too */
		say(servers[0].udp, &g, msg, i);
		settle();
	}
	settle();
	assert_int_equal(t.times, 0);
	assert_int_equal(dns_forwards_ignored(f), n);
	say_answer(&servers[0], &g, 0, 5);
	is_answered(&t, "www.example.org", 5);
	assert_true(silent(&servers[1]));
	shut(&other_port);
	shut(&other_address);
}

/* --- TCP */

static void tcp_accept(struct server *s)
{
	for (int i = 0; i < PATIENCE && s->tcp < 0; i++) {
		s->tcp = accept4(s->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (s->tcp < 0)
			assert_int_equal(loop_turn(loop, 10), 0);
	}
	assert_true(s->tcp >= 0);
}

/* The whole question that came over TCP. */
static void tcp_get(const struct server *s, struct got *g)
{
	uint8_t b[MSG_MAX];
	size_t n = 0;

	for (int i = 0; i < PATIENCE && (n < 2 || n < 2U + be16_get(b)); i++) {
		ssize_t r = recv(s->tcp, b + n, sizeof(b) - n, 0);

		if (r > 0)
			n += (size_t)r;
		else
			assert_int_equal(loop_turn(loop, 10), 0);
	}
	g->len = be16_get(b);
	assert_int_equal(n, 2 + g->len);
	memcpy(g->msg, b + 2, g->len);
}

static void tcp_say(const struct server *s, const void *b, size_t len)
{
	assert_int_equal(send(s->tcp, b, len, MSG_NOSIGNAL), (ssize_t)len);
}

static size_t frame_make(uint8_t *out, const struct got *g, unsigned rcode, uint8_t last)
{
	size_t len = answer_make(out + 2, g->msg, g->len, rcode, last);

	be16_put(out, (uint16_t)len);
	return 2 + len;
}

/* Asked, answered with TC, and the question is there over TCP. */
static void cut_first(struct told *t, struct got *g)
{
	ask(t, "big.example.org");
	await_question(&servers[0], g);
	say_cut(&servers[0], g);
	tcp_accept(&servers[0]);
	tcp_get(&servers[0], g);
}

static void over_tcp(void **state)
{
	uint8_t b[MSG_MAX], bad[MSG_MAX], want[MSG_MAX];
	struct told t;
	struct got g;
	size_t n;

	(void)state;
	cut_first(&t, &g);
	n = query_make(want, dns_msg_id(g.msg), "big.example.org");
	assert_int_equal(g.len, n);
	assert_memory_equal(g.msg, want, n);
	n = frame_make(b, &g, 0, 4);
	memcpy(bad, b, n);
	bad[2] ^= 0xff; /* another id first */
	tcp_say(&servers[0], bad, n);
	for (size_t i = 0; i < n; i++) {
		settle();
		assert_int_equal(t.times, 0);
		tcp_say(&servers[0], b + i, 1);
	}
	is_answered(&t, "big.example.org", 4);
	assert_int_equal(dns_forwards_ignored(f), 1);
}

/* Frames without end that answer nothing: the loop takes a part of them each turn, and the time for TCP passes. */
static void tcp_flood(void **state)
{
	uint8_t stray[2048 * 14] = { 0 };
	struct told t;
	struct got g;
	size_t sent = 0;
	uint64_t before;
	ssize_t n;

	(void)state;
	cut_first(&t, &g);
	for (size_t i = 0; i < sizeof(stray); i += 14)
		stray[i + 1] = DNS_HEADER_BYTES;
	while ((n = send(servers[0].tcp, stray + sent % 14, sizeof(stray) - sent % 14,
			 MSG_NOSIGNAL)) > 0)
		sent += (size_t)n;
	assert_true(sent > 2 * KIB(64));
	before = dns_forwards_ignored(f);
	assert_int_equal(loop_turn(loop, 1000), 0);
	assert_in_range(dns_forwards_ignored(f) - before, 1, KIB(64) / 14);
	dns_forward_cancel(f, t.h);
}

enum trouble { T_REFUSED, T_EOF, T_EMPTY, T_SHORT, T_SILENT, T_SERVFAIL, T_N };

/* What goes wrong over TCP is no answer: the next resolver is asked over UDP */
static void tcp_trouble(void **state)
{
	uint8_t b[MSG_MAX];
	struct told t;
	struct got g;

	(void)state;
	use(2);
	for (enum trouble what = 0; what < T_N; what++) {
		if (what == T_REFUSED) {
			shut(&servers[0].listener);
			ask(&t, "big.example.org");
			await_question(&servers[0], &g);
			say_cut(&servers[0], &g);
		} else {
			cut_first(&t, &g);
		}
		switch (what) {
		case T_EOF: shut(&servers[0].tcp); break;
		case T_EMPTY: tcp_say(&servers[0], "\0\0", 2); break;
		case T_SHORT: tcp_say(&servers[0], "\0\13aaaaaaaaaaa", 13); break;
		case T_SILENT: pass(FORWARD_TCP_MS); break;
		case T_SERVFAIL: tcp_say(&servers[0], b, frame_make(b, &g, 2, 0)); break;
		default: break;
		}
		serve(1, "big.example.org", (uint8_t)what);
		is_answered(&t, "big.example.org", (uint8_t)what);
		if (what == T_REFUSED) { /* and there is no second one */
			use(1);
			ask(&t, "big.example.org");
			await_question(&servers[0], &g);
			say_cut(&servers[0], &g);
			has_failed(&t, ST_ECLOSED, "over TCP: Connection refused");
			use(2);
			server_close(&servers[0]);
			server_open(&servers[0], "127.0.0.1");
			use(2);
		}
		shut(&servers[0].tcp);
	}
}

/* --- errors */

static void servfail(void **state)
{
	uint8_t q[MSG_MAX];
	size_t len = query_make(q, 0x1234, "www.example.org");
	struct told t;
	struct got g;

	(void)state;
	use(2);
	for (unsigned rcode = 2; rcode <= 5; rcode += 3) {
		ask(&t, "www.example.org");
		await_question(&servers[0], &g);
		say_answer(&servers[0], &g, rcode, 0);
		serve(1, "www.example.org", 1); /* at once */
		is_answered(&t, "www.example.org", 1);
	}
	ask(&t, "www.example.org"); /* all say so: that is the answer, at once */
	await_question(&servers[0], &g);
	say_answer(&servers[0], &g, 5, 0);
	await_question(&servers[1], &g);
	say_answer(&servers[1], &g, 2, 0);
	await_told(&t);
	assert_int_equal(t.err, 0);
	assert_int_equal(dns_msg_rcode(t.msg), 2);
	assert_true(dns_msg_same_question(t.msg, t.len, 0x1234, q, len));
	ask(&t,
	    "www.example.org"); /* one says so and the other nothing: it is the answer in the end */
	await_question(&servers[0], &g);
	say_answer(&servers[0], &g, 2, 0);
	await_question(&servers[1], &g);
	pass(BUDGET - 1);
	assert_int_equal(t.times, 0);
	assert_true(silent(&servers[0])); /* it has said what it has to say */
	pass(1);
	await_told(&t);
	assert_int_equal(dns_msg_rcode(t.msg), 2);
}

static void other_rcodes(void **state)
{
	static const unsigned rcodes[] = { 1, 3, 4 };
	struct told t;
	struct got g;

	(void)state;
	use(2);
	for (size_t i = 0; i < ARRAY_LEN(rcodes); i++) {
		ask(&t, "www.example.org");
		await_question(&servers[0], &g);
		say_answer(&servers[0], &g, rcodes[i], 0);
		await_told(&t);
		assert_int_equal(t.err, 0);
		assert_int_equal(dns_msg_rcode(t.msg), rcodes[i]);
	}
	ask(&t, "www.example.org"); /* without its question: the next one */
	await_question(&servers[0], &g);
	g.msg[2] |= 0x80;
	g.msg[3] = 1;
	g.msg[5] = 0;
	say(servers[0].udp, &g, g.msg, DNS_HEADER_BYTES);
	serve(1, "www.example.org", 1);
	is_answered(&t, "www.example.org", 1);
}

static void closed_port(void **state)
{
	struct told t;

	(void)state;
	use(2);
	shut(&servers[0].udp);
	ask(&t, "www.example.org"); /* known at once, by ICMP */
	serve(1, "www.example.org", 1);
	is_answered(&t, "www.example.org", 1);
	shut(&servers[1].udp);
	ask(&t, "www.example.org");
	has_failed(&t, ST_ECLOSED, "Connection refused");
	assert_non_null(strstr(t.text, "resolver 127.0.0.1:"));
}

static void unreachable(void **state)
{
	struct net_endpoint v[] = { { { 4, { 255, 255, 255, 255 } }, 53 }, servers[0].at };
	struct told t;

	(void)state;
	dns_forwards_set(f, v, 1); /* the kernel does not let us */
	ask(&t, "www.example.org");
	has_failed(&t, ST_ECLOSED, "resolver 255.255.255.255:53: sending: ");
	dns_forwards_set(f, v, 2);
	ask(&t, "www.example.org");
	serve(0, "www.example.org", 1);
	is_answered(&t, "www.example.org", 1);
}

/* --- silence */

static void silence(void **state)
{
	struct told t;
	struct got g, g1, g2;

	(void)state;
	use(3);
	ask(&t, "www.example.org");
	await_question(&servers[0], &g);
	pass(FORWARD_SILENCE_MS - 1);
	assert_true(silent(&servers[1]));
	pass(1);
	await_question(&servers[1], &g1);
	assert_true(silent(&servers[2]));
	pass(FORWARD_SILENCE_MS);
	await_question(&servers[2], &g2);
	pass(FORWARD_SILENCE_MS);
	await_question(&servers[0],
		       &g2); /* the second round: the same port and id, nothing more to guess */
	assert_memory_equal(&g2.from, &g.from, g.from_len);
	assert_int_equal(dns_msg_id(g2.msg), dns_msg_id(g.msg));
	say_answer(&servers[1], &g1, 0, 7); /* late, and good */
	is_answered(&t, "www.example.org", 7);
}

static void deadline(void **state)
{
	uint8_t q[MSG_MAX];
	size_t len = query_make(q, 1, "www.example.org");
	struct told t, u = { 0 };
	unsigned n = 0;
	struct got g;

	(void)state;
	ask(&t, "www.example.org");
	for (unsigned i = 0; i < BUDGET / FORWARD_SILENCE_MS; i++) {
		n += get(&servers[0], &g);
		assert_int_equal(t.times, 0);
		pass(FORWARD_SILENCE_MS);
	}
	assert_int_equal(n, BUDGET / FORWARD_SILENCE_MS);
	has_failed(&t, ST_ETIMEOUT, "no answer");
	assert_true(silent(&servers[0]));
	assert_int_equal(dns_forward_ask(f, &u.h, q, len, clock_ms, told_fn, &u), 0);
	assert_int_equal(u.times, 0);
	has_failed(&u, ST_ETIMEOUT, "no answer");
}

/* A silent one costs the first name 1 s, and then nobody anything; it is asked now and then and comes back */
static void down(void **state)
{
	struct told t, u;
	struct got g;

	(void)state;
	use(2);
	ask(&t, "a.example.org");
	ask(&u, "b.example.org");
	pass(FORWARD_SILENCE_MS);
	serve(1, "a.example.org", 1);
	serve(1, "b.example.org", 2);
	is_answered(&t, "a.example.org", 1);
	is_answered(&u, "b.example.org", 2);
	while (get(&servers[0], &g))
		;
	ask(&t, "c.example.org");
	serve(1, "c.example.org", 3);
	is_answered(&t, "c.example.org", 3);
	assert_true(silent(&servers[0]));

	pass(FORWARD_PROBE_MS); /* asked beside, without an answer: still nobody waits */
	ask(&t, "d.example.org");
	serve(1, "d.example.org", 4);
	is_answered(&t, "d.example.org", 4);
	await_question(&servers[0], &g);
	pass(FORWARD_YIELD_MS);
	ask(&t, "e.example.org");
	serve(1, "e.example.org", 5);
	is_answered(&t, "e.example.org", 5);
	assert_true(silent(&servers[0]));

	pass(FORWARD_PROBE_MS); /* and with an answer: it is the first again */
	ask(&t, "f.example.org");
	serve(1, "f.example.org", 6);
	is_answered(&t, "f.example.org", 6);
	serve(0, "f.example.org", 66);
	settle();
	ask(&t, "g.example.org");
	serve(0, "g.example.org", 7);
	is_answered(&t, "g.example.org", 7);
	assert_true(silent(&servers[1]));
}

/* A resolver that answers others is not down because of one name */
static void slow_name(void **state)
{
	struct told slow, t;
	struct got g, g1;

	(void)state;
	use(2);
	ask(&slow, "slow.example.org");
	await_question(&servers[0], &g);
	pass(500);
	ask(&t, "a.example.org");
	serve(0, "a.example.org", 1);
	is_answered(&t, "a.example.org", 1);
	pass(500);
	await_question(&servers[1], &g1);
	ask(&t, "b.example.org");
	serve(0, "b.example.org", 2);
	is_answered(&t, "b.example.org", 2);
	say_answer(&servers[0], &g, 0, 9);
	is_answered(&slow, "slow.example.org", 9);
}

/* --- how many */

/* A crowd that comes in one turn goes out in one */
static void crowd(void **state)
{
	static struct told t[100];
	struct got g;

	(void)state;
	for (unsigned i = 0; i < 100; i++)
		start(&t[i], "www.example.org");
	turn();
	for (unsigned i = 0; i < 100; i++) {
		assert_true(get(&servers[0], &g));
		say_answer(&servers[0], &g, 0, 1);
	}
	for (unsigned i = 0; i < 100; i++)
		is_answered(&t[i], "www.example.org", 1);
}

static void at_once(void **state)
{
	enum { N = FORWARD_AT_ONCE_MAX + 3 };
	static struct told t[N];
	struct told *last = &t[N - 1], *second = &t[N - 2], *first = &t[N - 3];
	static struct got g[N];
	char name[32];

	(void)state;
	for (unsigned i = 0; i < N; i++) {
		snprintf(name, sizeof(name), "h%u.example.org", i);
		start(&t[i], name);
		if (i % 32 == 0)
			settle();
	}
	settle();
	for (unsigned i = 0; i < FORWARD_AT_ONCE_MAX; i++)
		await_question(&servers[0], &g[i]);
	assert_true(silent(&servers[0]));
	assert_true(fds() <= fds_before + FORWARD_AT_ONCE_MAX + 2 * SERVERS + 4);
	dns_forward_cancel(f, second->h);     /* while it waits */
	say_answer(&servers[0], &g[7], 0, 7); /* one ends: the first that waits begins */
	is_answered(&t[7], "h7.example.org", 7);
	snprintf(name, sizeof(name), "h%u.example.org", FORWARD_AT_ONCE_MAX);
	serve(0, name, 1);
	is_answered(first, name, 1);
	snprintf(name, sizeof(name), "h%u.example.org", (unsigned)N - 1);
	serve(0, name, 2);
	is_answered(last, name, 2);
	for (unsigned i = 0; i < N; i++)
		dns_forward_cancel(f, t[i].h);
	assert_int_equal(second->times, 0);
}

/* Full of names that nobody answers: the oldest gives way */
static void gives_way(void **state)
{
	static struct told t[FORWARD_AT_ONCE_MAX];
	struct told u;
	struct got g;

	(void)state;
	for (unsigned i = 0; i < FORWARD_AT_ONCE_MAX; i++) {
		start(&t[i], "dead.example.org");
		if (i % 32 == 0)
			settle();
	}
	pass(1500);
	while (get(&servers[0], &g))
		;
	ask(&u, "www.example.org");
	assert_true(silent(&servers[0]));
	pass(500);
	has_failed(&t[0], ST_ETIMEOUT, "others wait");
	assert_int_equal(t[1].times, 0);
	for (;;) { /* behind the second round of those */
		await_question(&servers[0], &g);
		if (g.msg[DNS_HEADER_BYTES + 1] == 'w')
			break;
	}
	say_answer(&servers[0], &g, 0, 1);
	is_answered(&u, "www.example.org", 1);
	for (unsigned i = 0; i < FORWARD_AT_ONCE_MAX; i++)
		dns_forward_cancel(f, t[i].h);
}

static void limits(void **state)
{
	static struct told t[FORWARD_ASKS_MAX + 1];
	static uint8_t q[DNS_MESSAGE_MAX + 1];
	size_t len = query_make(q, 1, "www.example.org");
	unsigned n;
	handle h;

	(void)state;
	assert_int_equal(dns_forward_ask(f, &h, q, sizeof(q), clock_ms, told_fn, t), ST_EFORMAT);
	for (size_t i = 0; i < len; i++)
		assert_int_equal(dns_forward_ask(f, &h, q, i, clock_ms, told_fn, t), ST_EFORMAT);
	for (n = 0; n < FORWARD_ASKS_MAX; n++)
		start(&t[n], "www.example.org");
	assert_int_equal(dns_forward_ask(f, &h, q, len, clock_ms + 1, told_fn, t), ST_EFULL);
	dns_forward_cancel(f, t[5].h);
	start(&t[n], "www.example.org");
	for (n = 0; n <= FORWARD_ASKS_MAX; n++)
		dns_forward_cancel(f, t[n].h);
	for (n = 0; n < FORWARD_BYTES_MAX / DNS_MESSAGE_MAX; n++)
		assert_int_equal(
			dns_forward_ask(f, &t[n].h, q, DNS_MESSAGE_MAX, clock_ms + 1, told_fn, t),
			0);
	assert_int_equal(dns_forward_ask(f, &h, q, DNS_MESSAGE_MAX, clock_ms + 1, told_fn, t),
			 ST_EFULL);
	while (n-- > 0)
		dns_forward_cancel(f, t[n].h);
	assert_int_equal(f->bytes, 0);
}

/* --- cancel, and the list */

static void cancelled(void **state)
{
	struct told t;
	struct got g;

	(void)state;
	start(&t, "www.example.org"); /* not begun */
	dns_forward_cancel(f, t.h);
	dns_forward_cancel(f, t.h);
	assert_true(silent(&servers[0]));
	ask(&t, "www.example.org"); /* asked */
	await_question(&servers[0], &g);
	dns_forward_cancel(f, t.h);
	say_answer(&servers[0], &g, 0, 66);
	settle();
	ask(&t, "www.example.org"); /* cut, and TCP under way */
	await_question(&servers[0], &g);
	say_cut(&servers[0], &g);
	turn();
	dns_forward_cancel(f, t.h);
	settle();
	shut(&servers[0].listener); /* with its backlog */
	server_close(&servers[0]);
	server_open(&servers[0], "127.0.0.1");
	use(1);
	cut_first(&t, &g); /* half an answer over TCP */
	tcp_say(&servers[0], "\1", 1);
	settle();
	dns_forward_cancel(f, t.h);
	settle();
	assert_int_equal(t.times, 0);
	assert_int_equal(f->n_active, 0);
	clock_ms += 1000000;
	sleeps(loop); /* no timer is left */
}

static void list_changes(void **state)
{
	struct told t, u;
	struct got g;

	(void)state;
	ask(&t, "www.example.org");
	await_question(&servers[0], &g);
	use(1); /* the same: nothing happens */
	assert_true(silent(&servers[0]));
	dns_forwards_set(f, &servers[1].at, 1); /* another network: asked there at once */
	serve(1, "www.example.org", 1);
	is_answered(&t, "www.example.org", 1);
	ask(&t, "www.example.org");
	await_question(&servers[1], &g);
	dns_forwards_set(f, NULL, 0);
	has_failed(&t, ST_ECLOSED, "no other resolver");
	ask(&u, "www.example.org");
	has_failed(&u, ST_ECLOSED, "no other resolver");
}

static void both_families(void **state)
{
	struct net_endpoint v[] = { servers[3].at, servers[0].at };
	struct told t;
	struct got g;

	(void)state;
	dns_forwards_set(f, v, 2);
	ask(&t, "www.example.org");
	await_question(&servers[3], &g);
	pass(FORWARD_SILENCE_MS);
	await_question(&servers[0], &g);
	pass(FORWARD_SILENCE_MS);
	serve(3, "www.example.org", 6);
	is_answered(&t, "www.example.org", 6);
	shut(&servers[3].udp);
	dns_forwards_set(f, v, 1);
	ask(&t, "www.example.org");
	has_failed(&t, ST_ECLOSED, "]:");
	assert_non_null(strstr(t.text, "Connection refused"));
}

static void marked(void **state)
{
	struct told t;
	struct got g;
	struct fwd_ask *a;

	(void)state;
	d.opts.mark = 0x5373;
	ask(&t, "www.example.org");
	if (geteuid() != 0) { /* an unmarked one would come back to us: none is sent */
		has_failed(&t, ST_ECLOSED, "SO_MARK");
		return;
	}
	await_question(&servers[0], &g);
	a = hnd_get(&f->asks, t.h);
	for (unsigned sock = FWD_UDP4; sock <= FWD_TCP; sock += FWD_TCP - FWD_UDP4) {
		uint32_t mark = 0;
		socklen_t len = sizeof(mark);

		assert_int_equal(getsockopt(a->socks[sock].fd, SOL_SOCKET, SO_MARK, &mark, &len),
				 0);
		assert_int_equal(mark, 0x5373);
		say_cut(&servers[0], &g);
		settle();
	}
	dns_forward_cancel(f, t.h);
}

/* An owner that asks again, cancels and changes the list from inside */
struct mean {
	struct told t, other;
	unsigned left;
};

static void mean_fn(void *arg, int err, const uint8_t *msg, size_t len, const char *text)
{
	struct mean *m = arg;
	uint8_t q[MSG_MAX];
	size_t n = query_make(q, 0x1234, "mean.example.org");

	told_fn(&m->t, err, msg, len, text);
	dns_forward_cancel(f, m->t.h);
	dns_forward_cancel(f, m->other.h);
	use(m->left % 3);
	if (m->left-- > 0)
		assert_int_equal(dns_forward_ask(f, &m->t.h, q, n, clock_ms + BUDGET, mean_fn, m),
				 0);
}

static void reentrant(void **state)
{
	struct mean m = { .left = 7 };
	uint8_t q[MSG_MAX];
	size_t n = query_make(q, 0x1234, "mean.example.org");

	(void)state;
	use(2);
	assert_int_equal(dns_forward_ask(f, &m.t.h, q, n, clock_ms + BUDGET, mean_fn, &m), 0);
	ask(&m.other, "other.example.org");
	for (int i = 0; i < PATIENCE && m.t.times < 8; i++) {
		struct got g;

		for (unsigned s = 0; s < 2; s++) {
			while (get(&servers[s], &g))
				if (g.msg[DNS_HEADER_BYTES + 1] == 'm')
					say_answer(&servers[s], &g, 0, 1);
		}
		assert_int_equal(loop_turn(loop, 10), 0);
	}
	assert_int_equal(m.t.times, 8);
	assert_int_equal(m.other.times, 0);
}

static void freed(void **state)
{
	struct told t[3];
	struct got g;

	(void)state;
	cut_first(&t[0], &g);
	ask(&t[1], "www.example.org");
	start(&t[2], "www.example.org");
	dns_forwards_free(f);
	f = NULL;
	settle();
	assert_int_equal(t[0].times + t[1].times + t[2].times, 0);
}

int main(void)
{
#define CASE(c) cmocka_unit_test_setup_teardown(c, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(one),	     CASE(unpredictable), CASE(forged),	   CASE(over_tcp),
		CASE(tcp_flood),     CASE(tcp_trouble),	  CASE(servfail),  CASE(other_rcodes),
		CASE(closed_port),   CASE(unreachable),	  CASE(silence),   CASE(deadline),
		CASE(down),	     CASE(slow_name),	  CASE(crowd),	   CASE(at_once),
		CASE(gives_way),     CASE(limits),	  CASE(cancelled), CASE(list_changes),
		CASE(both_families), CASE(marked),	  CASE(reentrant), CASE(freed),
	};

	return cmocka_run_group_tests_name("dns_forward", tests, NULL, NULL);
}
