// SPDX-License-Identifier: MIT
/*
 * ssh_chan_test.c - channels of a connection to a real sshd
 *
 * opens: refused, prohibited, reset; 200 to an address that never answers while others proceed; given up (zombie); limit
 * data: 50 MB each way with digest; half-close both ways; far side closes; a reader that does not read
 * many: 1,000 channels over 2 connections; keys exchanged again every MB under load; sshd killed
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/codec.h"
#include "base/err.h"
#include "base/text.h"
#include "testlib.h"

#define PATIENCE_MS 60000U

static struct sshd d;
static struct target target;
static struct tnl_key *key;

/* One flow: what it is to send, what came. */
struct flow {
	struct link *l;
	struct ssh_chan *ch;
	bool opened, failed, gone, eof;
	enum tnl_open_failure why;
	char text[128];
	uint64_t opened_ms;
	/* sending: @head, then @to_send bytes of pattern(), then EOF if @then_eof */
	uint8_t head[16];
	size_t head_len;
	uint64_t to_send, sent;
	bool then_eof, shut, no_read;
	uint64_t got;
	uint8_t first[2048]; /* the first bytes that came */
	uint8_t *check;	     /* pattern() block to compare with, or NULL */
	bool wrong;
};

static void flow_write(struct flow *f)
{
	static uint8_t block[65536];

	if (!f->opened || f->shut || f->gone)
		return;
	while (f->sent < f->head_len + f->to_send) {
		size_t room = ssh_chan_room(f->ch), n;

		if (room == 0)
			return;
		if (f->sent < f->head_len) {
			n = MIN(room, f->head_len - (size_t)f->sent);
			memcpy(block, f->head + f->sent, n);
		} else {
			const uint64_t at = f->sent - f->head_len;

			n = MIN(MIN(room, sizeof(block)), (size_t)(f->to_send - at));
			pattern(block, at, n);
		}
		assert_int_equal(ssh_chan_write(f->ch, block, n), 0);
		f->sent += n;
	}
	if (f->then_eof) {
		ssh_chan_shutdown(f->ch);
		f->shut = true;
	}
}

static void flow_read(struct flow *f)
{
	static uint8_t buf[32768], want[256];
	ssize_t n = ST_EAGAIN;

	while (!f->no_read && (n = ssh_chan_read(f->ch, buf, sizeof(buf))) > 0) {
		if (f->got < sizeof(f->first))
			memcpy(f->first + f->got, buf,
			       MIN((size_t)n, sizeof(f->first) - (size_t)f->got));
		for (ssize_t i = 0; f->check != NULL && i < n;
		     i++) { /* each block begins with its own 256 bytes */
			const uint64_t at = f->got + (uint64_t)i;

			if (at % 65536 < 256) {
				pattern(want, at, 1);
				f->wrong |= buf[i] != want[0];
			}
		}
		f->got += (uint64_t)n;
	}
	if (!f->no_read && n == 0)
		f->eof = true;
}

static void on_opened(void *arg)
{
	struct flow *f = arg;

	f->opened = true;
	f->opened_ms = now_ms();
	flow_write(f);
}

static void on_failed(void *arg, enum tnl_open_failure why, const char *text)
{
	struct flow *f = arg;

	f->failed = true;
	f->why = why;
	f->ch = NULL;
	text_copy(f->text, sizeof(f->text), text);
}

static void on_readable(void *arg)
{
	flow_read(arg);
}

static void on_writable(void *arg)
{
	flow_write(arg);
}

static void on_gone(void *arg)
{
	struct flow *f = arg;

	f->gone = true;
	f->ch = NULL;
}

static const struct ssh_chan_events flow_events = { on_opened, on_failed, on_readable, on_writable,
						    on_gone };

static void flow_open(struct flow *f, struct link *l, struct net_endpoint dst)
{
	const struct net_endpoint src = loopback(1);

	f->l = l;
	assert_int_equal(ssh_chan_open(l->conn, &f->ch, &dst, &src, &flow_events, f), 0);
}

static void flow_close(struct flow *f)
{
	if (f->ch != NULL)
		ssh_chan_close(f->ch);
	f->ch = NULL;
}

#define AWAIT(l, cond)                                                                             \
	do {                                                                                       \
		const uint64_t await_end = now_ms() + PATIENCE_MS;                                 \
		while (!(cond)) {                                                                  \
			if ((l)->failed)                                                           \
				fail_msg("%s", (l)->text);                                         \
			if (now_ms() > await_end)                                                  \
				fail_msg("timed out: %s", #cond);                                  \
			link_turn((l), 1000);                                                      \
		}                                                                                  \
	} while (0)

static int setup(void **state)
{
	(void)state;
	sshd_dir(&d);
	target_start(&target);
	sshd_start(&d, "ed25519", NULL);
	key = key_must_load(&d, "id_ed25519");
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	tnl_key_free(key);
	target_stop(&target);
	sshd_stop(&d);
	return 0;
}

static void login(struct link *l)
{
	struct ssh_conn_opts o = opts_default(&d);

	o.key = key;
	link_open(l, &d, &o);
	if (!link_login(l))
		fail_msg("%s", l->text);
}

static void restart(const char *extra)
{
	sshd_kill(&d);
	sshd_start(&d, "ed25519", extra);
}

/* ---- opens ---- */

static void open_refused(void **state)
{
	struct link l = { 0 };
	struct flow f = { 0 };

	(void)state;
	login(&l);
	flow_open(&f, &l, loopback(1));
	AWAIT(&l, f.failed);
	assert_int_equal(f.why, TNL_OPEN_REFUSED);
	assert_string_equal(f.text, "Connection refused");
	assert_int_equal(ssh_conn_chans(l.conn), 0);
	link_close(&l);
}

static void open_prohibited(void **state)
{
	struct link l = { 0 };
	struct flow f = { 0 };

	(void)state;
	restart("AllowTcpForwarding no");
	login(&l);
	flow_open(&f, &l, loopback(target.port));
	AWAIT(&l, f.failed);
	assert_int_equal(f.why, TNL_OPEN_PROHIBITED);
	link_close(&l);
	restart(NULL);
}

/* A listener whose queue is full: the kernel drops further SYNs, so a connect neither succeeds nor fails. */
static int black_hole(uint16_t *port, int fill[4])
{
	struct sockaddr_in sa = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(sa);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(listen(fd, 0), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
	*port = ntohs(sa.sin_port);
	for (int i = 0; i < 4; i++) {
		fill[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		assert_true(connect(fill[i], (struct sockaddr *)&sa, sizeof(sa)) < 0 &&
			    errno == EINPROGRESS);
	}
	/* the first is taken at once, the last can't be */
	struct pollfd p = { .fd = fill[0], .events = POLLOUT };
	assert_int_equal(poll(&p, 1, 5000), 1);
	p.fd = fill[3];
	assert_int_equal(poll(&p, 1, 50), 0);
	return fd;
}

static void opens_to_a_black_hole(void **state)
{
	enum { N = 200 };
	static struct flow dead[N];
	struct flow good[2] = { { .head = "e", .head_len = 1, .to_send = 1000, .then_eof = true },
				{ .head = "e", .head_len = 1, .to_send = 1000, .then_eof = true } };
	struct flow refused = { 0 };
	struct link l = { 0 };
	uint64_t start;
	uint16_t port;
	int fill[4], fd;

	(void)state;
	memset(dead, 0, sizeof(dead));
	fd = black_hole(&port, fill);
	login(&l);
	for (int i = 0; i < N; i++)
		flow_open(&dead[i], &l, loopback(port));
	start = now_ms();
	flow_open(&good[0], &l, loopback(target.port));
	flow_open(&refused, &l, loopback(1));
	flow_open(&good[1], &l, loopback(target.port));
	AWAIT(&l, good[0].eof && good[1].eof && refused.failed);
	assert_true(now_ms() - start < 2000);
	assert_int_equal(good[0].got, 1000);
	assert_int_equal(refused.why, TNL_OPEN_REFUSED);
	assert_int_equal(ssh_conn_opens(l.conn), N);
	for (int i = 0; i < N; i++) {
		assert_false(dead[i].opened || dead[i].failed);
		flow_close(&dead[i]);
	}
	assert_int_equal(ssh_conn_opens(l.conn), 0);
	/* given up, but sshd still tries: they count until it answers, and no event comes */
	flow_close(&good[0]);
	flow_close(&good[1]);
	AWAIT(&l, ssh_conn_chans(l.conn) == N);
	/* the queue is emptied: sshd's connects succeed late, and are closed at once */
	for (int i = 0; i < 4; i++)
		close(fill[i]);
	listen(fd, 1024);
	AWAIT(&l, ssh_conn_chans(l.conn) == 0);
	for (int i = 0; i < N; i++)
		assert_false(dead[i].opened || dead[i].failed || dead[i].gone);
	close(fd);
	link_close(&l);
}

static void open_limit(void **state)
{
	struct ssh_conn_opts o = opts_default(&d);
	struct flow f[3] = { { 0 } };
	const struct net_endpoint dst = loopback(target.port);
	struct link l = { 0 };
	struct ssh_chan *ch;

	(void)state;
	o.key = key;
	o.chans_max = 2;
	link_open(&l, &d, &o);
	assert_int_equal(ssh_chan_open(l.conn, &ch, &dst, &dst, &flow_events, &f[0]), ST_ECLOSED);
	assert_true(link_login(&l));
	flow_open(&f[0], &l, dst);
	flow_open(&f[1], &l, dst);
	assert_int_equal(ssh_chan_open(l.conn, &ch, &dst, &dst, &flow_events, &f[2]), ST_EFULL);
	AWAIT(&l, f[0].opened && f[1].opened);
	flow_close(&f[0]);
	AWAIT(&l, ssh_conn_chans(l.conn) == 1);
	flow_open(&f[2], &l, dst);
	AWAIT(&l, f[2].opened);
	link_close(&l); /* with channels open */
}

/* ---- data ---- */

static void upload(struct link *l, uint64_t bytes, size_t flows)
{
	struct flow *f = calloc(flows, sizeof(*f));
	uint8_t *all = malloc(bytes), sha[32];

	pattern(all, 0, bytes);
	codec_sha256(sha, all, bytes);
	free(all);
	for (size_t i = 0; i < flows; i++) {
		f[i] = (struct flow){
			.head = "d", .head_len = 1, .to_send = bytes, .then_eof = true
		};
		flow_open(&f[i], l, loopback(target.port));
	}
	for (size_t i = 0; i < flows; i++) {
		AWAIT(l, f[i].eof);
		assert_int_equal(f[i].got, 32);
		assert_memory_equal(f[i].first, sha, 32);
		flow_close(&f[i]);
	}
	free(f);
}

static void download(struct link *l, uint64_t bytes, size_t flows)
{
	struct flow *f = calloc(flows, sizeof(*f));

	for (size_t i = 0; i < flows; i++) {
		f[i] = (struct flow){ .head = "s", .head_len = 9, .check = f[i].first };
		be64_put(f[i].head + 1, bytes);
		flow_open(&f[i], l, loopback(target.port));
	}
	for (size_t i = 0; i < flows; i++) {
		AWAIT(l, f[i].eof);
		assert_true(f[i].got == bytes);
		assert_false(f[i].wrong);
		ssh_chan_shutdown(f[i].ch);
		flow_close(&f[i]);
	}
	free(f);
}

static void bulk_both_ways(void **state)
{
	struct link l = { 0 };
	uint64_t t, cpu;

	(void)state;
	login(&l);
	t = now_ms();
	cpu = cpu_us();
	upload(&l, 50000000, 1);
	print_message("up   50 MB: %4llu ms, %5.2f ms CPU/MB (pattern and pump included)\n",
		      (unsigned long long)(now_ms() - t), (double)(cpu_us() - cpu) / 50e3);
	t = now_ms();
	cpu = cpu_us();
	download(&l, 50000000, 1);
	print_message("down 50 MB: %4llu ms, %5.2f ms CPU/MB\n", (unsigned long long)(now_ms() - t),
		      (double)(cpu_us() - cpu) / 50e3);
	AWAIT(&l, ssh_conn_chans(l.conn) == 0);
	link_close(&l);
}

static void half_close_by_us(void **state)
{
	struct flow f = { .head = "e", .head_len = 1, .to_send = 300000, .then_eof = true };
	struct link l = { 0 };

	(void)state;
	login(&l);
	flow_open(&f, &l, loopback(target.port));
	AWAIT(&l, f.eof);
	assert_int_equal(f.got, 300000);
	assert_false(f.gone);
	assert_int_equal(ssh_chan_room(f.ch), 0);
	assert_int_equal(ssh_chan_read(f.ch, f.first, 1), 0);
	flow_close(&f);
	AWAIT(&l, ssh_conn_chans(l.conn) == 0);
	link_close(&l);
}

static void half_close_by_them(void **state)
{
	struct flow f = { .head = "h", .head_len = 1 };
	struct link l = { 0 };
	char note = 0;

	(void)state;
	login(&l);
	flow_open(&f, &l, loopback(target.port));
	AWAIT(&l, f.eof);
	assert_int_equal(f.got, 1000);
	/* their EOF leaves our direction open */
	assert_false(f.gone);
	f.to_send = 500000;
	f.then_eof = true;
	flow_write(&f);
	AWAIT(&l, f.shut);
	for (int i = 0;
	     i < 200 && (poll(&(struct pollfd){ .fd = target.note, .events = POLLIN }, 1, 0) == 0);
	     i++)
		link_turn(&l, 100);
	assert_int_equal(read(target.note, &note, 1), 1);
	assert_int_equal(note, 'k');
	flow_close(&f);
	AWAIT(&l, ssh_conn_chans(l.conn) == 0);
	link_close(&l);
}

static void far_side_closes(void **state)
{
	struct flow f = { .head = "r", .head_len = 1 };
	struct link l = { 0 };

	(void)state;
	login(&l);
	flow_open(&f, &l, loopback(target.port));
	/* the reset reaches sshd; what we go on sending makes it close the channel */
	AWAIT(&l, f.eof || f.gone);
	if (!f.gone) {
		f.to_send = 10000000;
		flow_write(&f);
	}
	AWAIT(&l, f.gone);
	AWAIT(&l, ssh_conn_chans(l.conn) == 0);
	link_close(&l);
}

static void reader_that_does_not_read(void **state)
{
	struct flow slow = { .head = "s", .head_len = 9, .no_read = true };
	struct flow fast = { .head = "e", .head_len = 1, .to_send = 1000000, .then_eof = true };
	struct link l = { 0 };

	(void)state;
	be64_put(slow.head + 1, 5000000);
	login(&l);
	flow_open(&slow, &l, loopback(target.port));
	AWAIT(&l, slow.sent == 9);
	flow_open(&fast, &l, loopback(target.port));
	AWAIT(&l, fast.eof); /* one that stands does not hold the others */
	assert_int_equal(fast.got, 1000000);
	slow.no_read = false;
	flow_read(&slow);
	/* no more than a window had come */
	assert_true(slow.got > 0 && slow.got <= TNL_WINDOW_BYTES);
	AWAIT(&l, slow.eof);
	assert_int_equal(slow.got, 5000000);
	link_close(&l);
}

/* ---- many, and trouble ---- */

static void thousand_channels(void **state)
{
	enum { PER_CONN = 500 };
	static struct flow f[2 * PER_CONN];
	struct link l[2] = { { 0 }, { 0 } };
	size_t done = 0;
	const uint64_t end = now_ms() + PATIENCE_MS;

	(void)state;
	memset(f, 0, sizeof(f));
	login(&l[0]);
	login(&l[1]);
	for (size_t i = 0; i < ARRAY_LEN(f); i++) {
		f[i] = (struct flow){
			.head = "e", .head_len = 1, .to_send = 20000, .then_eof = true
		};
		flow_open(&f[i], &l[i % 2], loopback(target.port));
	}
	while (done < ARRAY_LEN(f) && now_ms() < end) {
		link_turn(&l[0], l[1].kicked ? 0 : 5);
		link_turn(&l[1], l[0].kicked ? 0 : 5);
		assert_false(l[0].failed || l[1].failed);
		done = 0;
		for (size_t i = 0; i < ARRAY_LEN(f); i++)
			done += f[i].eof;
	}
	assert_int_equal(done, ARRAY_LEN(f));
	assert_int_equal(ssh_conn_chans(l[0].conn), PER_CONN);
	for (size_t i = 0; i < ARRAY_LEN(f); i++) {
		assert_int_equal(f[i].got, 20000);
		flow_close(&f[i]);
	}
	AWAIT(&l[0], ssh_conn_chans(l[0].conn) == 0);
	AWAIT(&l[1], ssh_conn_chans(l[1].conn) == 0);
	link_close(&l[0]);
	link_close(&l[1]);
}

static void rekey_under_load(void **state)
{
	struct link l = { 0 };
	struct flow f[8];

	(void)state;
	restart("RekeyLimit 1M");
	login(&l);
	upload(&l, 10000000, 3);
	download(&l, 10000000, 3);
	memset(f, 0, sizeof(f));
	for (size_t i = 0; i < ARRAY_LEN(f); i++) {
		f[i] = (struct flow){
			.head = "e", .head_len = 1, .to_send = 3000000, .then_eof = true
		};
		flow_open(&f[i], &l, loopback(target.port));
	}
	for (size_t i = 0; i < ARRAY_LEN(f); i++) {
		AWAIT(&l, f[i].eof);
		assert_int_equal(f[i].got, 3000000);
	}
	/* opens in the middle of key exchanges */
	for (size_t i = 0; i < ARRAY_LEN(f); i++)
		flow_close(&f[i]);
	AWAIT(&l, ssh_conn_chans(l.conn) == 0);
	link_close(&l);
	restart(NULL);
}

static void connection_lost(void **state)
{
	struct flow f = { .head = "e", .head_len = 1 };
	struct link l = { 0 };

	(void)state;
	login(&l);
	flow_open(&f, &l, loopback(target.port));
	AWAIT(&l, f.opened);
	shutdown(l.fd, SHUT_RDWR);
	while (!l.failed)
		link_turn(&l, 1000);
	assert_int_equal(l.err, ST_ECLOSED);
	assert_int_equal(ssh_chan_room(f.ch), 0);
	assert_int_equal(ssh_chan_read(f.ch, f.first, 1), ST_EAGAIN);
	flow_close(&f);
	link_close(&l);
}

static void orderly_end(void **state)
{
	struct flow f = { .head = "e", .head_len = 1 };
	struct link l = { 0 };
	char c;

	(void)state;
	login(&l);
	flow_open(&f, &l, loopback(target.port));
	AWAIT(&l, f.opened);
	ssh_conn_disconnect(l.conn);
	assert_true(ssh_conn_out(l.conn)->len > 0);
	link_turn(&l, 0);
	assert_int_equal(ssh_conn_out(l.conn)->len, 0);
	/* sshd takes its leave */
	while (recv(l.fd, &c, 1, 0) != 0)
		assert_int_equal(poll(&(struct pollfd){ .fd = l.fd, .events = POLLIN }, 1, 5000),
				 1);
	link_close(&l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(open_refused),
		cmocka_unit_test(open_prohibited),
		cmocka_unit_test(opens_to_a_black_hole),
		cmocka_unit_test(open_limit),
		cmocka_unit_test(bulk_both_ways),
		cmocka_unit_test(half_close_by_us),
		cmocka_unit_test(half_close_by_them),
		cmocka_unit_test(far_side_closes),
		cmocka_unit_test(reader_that_does_not_read),
		cmocka_unit_test(thousand_channels),
		cmocka_unit_test(rekey_under_load),
		cmocka_unit_test(connection_lost),
		cmocka_unit_test(orderly_end),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
