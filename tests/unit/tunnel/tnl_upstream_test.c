// SPDX-License-Identifier: MIT
/*
 * tnl_upstream_test.c - whole sessions: a fake service on the loop, a real sshd behind its agent
 *
 * up, data both ways, stop; data endpoints; the socket is cut and the session resumes; the session is over and another comes up;
 * failures at start: unknown target, target offline, wrong key, wrong host key, nothing on the port, no credentials;
 * failover; held opens; limits, budget, negative cache; two sessions share the channels; agent log-in
 *
 * while the wire is down: what answers in place of the service ends nothing, nor do sockets that close at once; opens are held,
 * then fail; another session takes them; expired credentials wait for a person, without a
 * call, and new ones are noticed at once; the service's word ends it; a silent wire is
 * noticed, and a suspend; a changed network hurries; bytes that the peer repeats end the session, either way, and it is replaced
 * within 5 s
 */
#include <arpa/inet.h>
#include <netinet/in.h>
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
#include "fakesvc.h"
#include "testlib.h"
#include "tests/unit/share.h"

#define PATIENCE_MS 30000U

static struct sshd d;
static struct target target;

/* Everything of one test. */
struct world {
	struct loop *loop;
	struct ws_ctx *ws;
	struct fakesvc *svc;
	struct aws *aws;
	struct aws_account *account;
	struct tnl_upstream *u;
	struct fakesvc_conf conf;
	enum tnl_state state;
	int err;
	char text[1024];
	uint32_t events;
	bool stopped, no_credentials;
	bool notices;	       /* changes of the files are told to the upstream */
	bool lose_credentials; /* when the upstream is up */
};

static struct world w;

struct flow {
	tnl_chan h;
	bool opened, failed, gone, eof, no_read;
	enum tnl_open_failure why;
	uint64_t to_send, sent, got;
	uint64_t to_get; /* then the target is the source of so many bytes */
	bool head_sent, shut;
	uint8_t first[32];
};

static void flow_write(struct flow *f)
{
	static uint8_t block[65536];

	while (f->opened && !f->gone && !f->shut) {
		const size_t room = tnl_chan_room(w.u, f->h);
		const size_t n = MIN(MIN(room, sizeof(block)), (size_t)(f->to_send - f->sent));

		if (room == 0)
			return;
		if (!f->head_sent) {
			uint8_t head[9] = { f->to_get > 0 ? 's' : 'd' };

			be64_put(head + 1, f->to_get);
			assert_int_equal(tnl_chan_write(w.u, f->h, head, f->to_get > 0 ? 9 : 1), 0);
			f->head_sent = true;
		} else if (n == 0) {
			tnl_chan_shutdown(w.u, f->h);
			f->shut = true;
		} else {
			pattern(block, f->sent, n);
			assert_int_equal(tnl_chan_write(w.u, f->h, block, n), 0);
			f->sent += n;
		}
	}
}

static void on_opened(void *arg, tnl_chan c)
{
	struct flow *f = arg;

	assert_true(f->h == c);
	f->opened = true;
	if (f->to_send + f->to_get > 0)
		flow_write(f);
}

static void on_failed(void *arg, tnl_chan c, enum tnl_open_failure why, const char *text)
{
	struct flow *f = arg;

	(void)c;
	assert_non_null(text);
	f->failed = true;
	f->why = why;
}

static void on_readable(void *arg, tnl_chan c)
{
	struct flow *f = arg;
	static uint8_t buf[32768];
	ssize_t n = ST_EAGAIN;

	while (!f->no_read && (n = tnl_chan_read(w.u, c, buf, sizeof(buf))) > 0) {
		if (f->got < sizeof(f->first))
			memcpy(f->first + f->got, buf,
			       MIN((size_t)n, sizeof(f->first) - (size_t)f->got));
		f->got += (uint64_t)n;
	}
	f->eof = f->eof || (!f->no_read && n == 0);
}

static void on_writable(void *arg, tnl_chan c)
{
	(void)c;
	flow_write(arg);
}

static void on_gone(void *arg, tnl_chan c)
{
	(void)c;
	((struct flow *)arg)->gone = true;
}

static const struct tnl_chan_events flow_events = { on_opened, on_failed, on_readable, on_writable,
						    on_gone };

static void flow_open(struct flow *f, struct net_endpoint dst)
{
	const struct net_endpoint src = loopback(1);

	assert_int_equal(tnl_open(w.u, &f->h, &dst, &src, &flow_events, f), 0);
}

static void on_state(void *arg, struct tnl_upstream *u, enum tnl_state s, int err, const char *text)
{
	(void)arg;
	(void)u;
	if (s == TNL_UP && w.state != TNL_UP && w.lose_credentials)
		run_cmd("rm -r %s/.aws", d.dir);
	w.state = s;
	w.err = err;
	w.events++;
	if (err != 0)
		text_copy(w.text, sizeof(w.text), text);
}

static const struct tnl_events events = { on_state };

#define AWAIT(cond)                                                                                \
	do {                                                                                       \
		const uint64_t await_end = now_ms() + PATIENCE_MS;                                 \
		while (!(cond)) {                                                                  \
			if (now_ms() > await_end)                                                  \
				fail_msg("timed out: %s (state %s: %s)", #cond,                    \
					 tnl_state_name(w.state), w.text);                         \
			assert_int_equal(loop_turn(w.loop, 200), 0);                               \
		}                                                                                  \
	} while (0)

static const char *no_env(void *ctx, const char *name)
{
	(void)ctx;
	(void)name;
	return NULL;
}

static void on_changed(void *arg)
{
	(void)arg;
	if (w.u != NULL && w.notices)
		tnl_upstream_retry_login(w.u);
}

static void world_begin(const struct fakesvc_conf *conf)
{
	const struct ws_ctx_opts wo = { 0 };
	struct aws_opts ao = { .home = d.dir, .getenv = no_env };
	struct aws_account_opts acc = { .region = "eu-west-1", .changed = on_changed };
	char url[64];

	w = (struct world){ .conf = *conf, .no_credentials = w.no_credentials };
	assert_int_equal(loop_new(&w.loop), 0);
	assert_int_equal(ws_ctx_new(&w.ws, w.loop, &wo), 0);
	fakesvc_start(&w.svc, w.loop, w.ws, conf);
	snprintf(url, sizeof(url), "http://127.0.0.1:%u", fakesvc_port(w.svc));
	ao.loop = w.loop;
	ao.svc = fakesvc_svc(w.svc);
	acc.endpoint_url = url;
	if (!w.no_credentials) {
		acc.access_key = "AKIDEXAMPLE";
		acc.secret_key = "secret";
	}
	assert_int_equal(aws_new(&w.aws, &ao), 0);
	assert_int_equal(aws_account_new(&w.account, w.aws, &acc), 0);
}

static struct tnl_opts opts(const char *key)
{
	static const char *const targets[] = { "i-0123", "i-0456" };
	static char own[128];

	snprintf(own, sizeof(own), "%s/known_hosts", d.dir);
	unlink(own);
	return (struct tnl_opts){
		.name = "prod",
		.targets = targets,
		.n_targets = 1,
		.account = w.account,
		.document = "AWS-StartSSHSession",
		.ssh_user = d.user,
		.ssh_port = 22,
		.key = key != NULL ? key_must_load(&d, key) : NULL,
		.host_key = TNL_HOST_KEY_ACCEPT_NEW,
		.known_hosts = own,
		.sessions_min = 1,
		.sessions_max = 4,
		.connect_budget_ms = 2000,
		.opens_max = 16,
		.events = &events,
	};
}

static void start(const struct tnl_opts *o)
{
	assert_int_equal(tnl_upstream_new(&w.u, w.loop, w.ws, w.aws, fakesvc_svc(w.svc), o), 0);
	tnl_upstream_start(w.u);
	assert_int_equal(w.state, TNL_STARTING);
}

static void on_stopped(void *arg, uint64_t t)
{
	(void)arg;
	(void)t;
	w.stopped = true;
}

static void world_end(void)
{
	if (w.u != NULL) {
		tnl_upstream_stop(w.u, on_stopped, NULL);
		AWAIT(w.stopped);
		assert_int_equal(w.state, TNL_DOWN);
		tnl_upstream_free(w.u);
	}
	aws_account_free(w.account);
	aws_free(w.aws);
	fakesvc_stop(w.svc);
	ws_ctx_free(w.ws);
	loop_free(w.loop);
	w.no_credentials = false;
}

static struct fakesvc_conf good(void)
{
	return (struct fakesvc_conf){ .ssh_port = d.port, .max_payload = 32768 };
}

/* A digest flow came back right. */
static void digest_check(const struct flow *f)
{
	uint8_t *all = malloc(f->to_send), sha[32];

	pattern(all, 0, f->to_send);
	codec_sha256(sha, all, f->to_send);
	free(all);
	assert_int_equal(f->got, 32);
	assert_memory_equal(f->first, sha, 32);
}

/* ---- tests ---- */

static void up_data_stop(void **state)
{
	struct fakesvc_conf c = good();
	struct flow f = { .to_send = 5000000 }, down = { .to_get = 5000000 }, refused = { 0 };
	struct tnl_status st;
	struct tnl_opts o;

	(void)state;
	world_begin(&c);
	o = opts("id_ed25519");
	start(&o);
	AWAIT(w.state == TNL_UP);
	flow_open(&f, loopback(target.port));
	flow_open(&down, loopback(target.port));
	flow_open(&refused, loopback(1));
	AWAIT(f.eof && down.eof && refused.failed);
	assert_int_equal(down.got, 5000000);
	digest_check(&f);
	assert_int_equal(refused.why, TNL_OPEN_REFUSED);
	tnl_upstream_status(w.u, &st);
	assert_int_equal(st.sessions, 1);
	assert_string_equal(st.session[0].state, "ready");
	assert_string_equal(st.session[0].target, "i-0123");
	assert_true(st.session[0].bytes_out > 5000000);
	assert_int_equal(st.session[0].max_payload, 32768);
	tnl_chan_close(w.u, f.h);
	tnl_chan_close(w.u, f.h);
	assert_int_equal(tnl_chan_read(w.u, f.h, f.first, 1), ST_ECLOSED);
	tnl_upstream_stop(w.u, on_stopped, NULL);
	AWAIT(w.stopped);
	assert_int_equal(fakesvc_counts(w.svc).terminate, 1);
	assert_int_equal(fakesvc_counts(w.svc).flags, 1);
	tnl_upstream_free(w.u);
	w.u = NULL;
	world_end();
}

/* A name takes the place of the stream URL's host, an address only of where the socket goes. */
static void data_endpoints(void **state)
{
	static const struct {
		const char *stream_at, *endpoint, *host; /* %u: the fake's port */
	} rows[] = {
		{ "stream.test", "vpce.local.test:%u", "vpce.local.test:%u" },
		{ "stream.test:%u", "vpce.local.test", "vpce.local.test:%u" },
		{ "stream.test:99", "127.0.0.1:%u", "stream.test:99" },
		{ "stream.test", "127.0.0.1:%u", "stream.test" },
	};
	struct tnl_opts o;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char text[3][64];
		const char *const from[] = { rows[i].stream_at, rows[i].endpoint, rows[i].host };
		struct fakesvc_conf c = good();

		world_begin(&c);
		for (size_t k = 0; k < 3; k++) {
			const int n = (int)strcspn(from[k], "%");

			snprintf(text[k], sizeof(text[k]), from[k][n] ? "%.*s%u" : "%.*s", n,
				 from[k], fakesvc_port(w.svc));
		}
		c.stream_at = text[0];
		fakesvc_conf_set(w.svc, &c);
		o = opts("id_ed25519");
		o.data_endpoint = text[1];
		start(&o);
		AWAIT(w.state == TNL_UP);
		assert_string_equal(fakesvc_host(w.svc), text[2]);
		world_end();
	}
}

/* Channels that wait for the room of one session are all served. */
static void uploads_at_once(void **state)
{
	enum { FLOWS = 8 };
	struct fakesvc_conf c = good();
	struct flow f[FLOWS];
	struct tnl_opts o;

	(void)state;
	world_begin(&c);
	o = opts("id_ed25519");
	start(&o);
	AWAIT(w.state == TNL_UP);
	memset(f, 0, sizeof(f));
	for (size_t i = 0; i < FLOWS; i++) {
		f[i].to_send = 1500000; /* below SSH's window of 2 MiB: sshd need not adjust it */
		flow_open(&f[i], loopback(target.port));
	}
	for (size_t i = 0; i < FLOWS; i++)
		AWAIT(f[i].eof);
	for (size_t i = 0; i < FLOWS; i++)
		digest_check(&f[i]);
	world_end();
}

static void stop_with_flows(void **state)
{
	struct fakesvc_conf c = good();
	struct flow f = { .to_send = 50000000 };
	struct tnl_opts o;

	(void)state;
	world_begin(&c);
	o = opts("id_ed25519");
	start(&o);
	flow_open(&f, loopback(target.port));
	AWAIT(f.sent > 1000000);
	world_end();
	assert_true(f.gone);
}

static void foreign_service_is_paced(void **state)
{
	struct fakesvc_conf c = good();
	struct flow f = { .to_send = 600000 };
	struct tnl_status st;
	struct tnl_opts o;
	uint64_t t;

	(void)state;
	c.max_payload = 0;
	world_begin(&c);
	o = opts("id_ed25519");
	o.pace_default = true;
	start(&o);
	AWAIT(w.state == TNL_UP);
	t = now_ms();
	flow_open(&f, loopback(target.port));
	AWAIT(f.eof);
	digest_check(&f);
	assert_true(now_ms() - t > 300); /* about 600 messages and burst 100 at 900/s */
	tnl_upstream_status(w.u, &st);
	assert_int_equal(st.session[0].max_payload, 1024);
	world_end();
}

static void cut_and_resume(void **state)
{
	struct fakesvc_conf c = good();
	struct flow f = { .to_send = 20000000 }, down = { .to_get = 20000000 };
	struct tnl_opts o;

	(void)state;
	world_begin(&c);
	o = opts("id_ed25519");
	start(&o);
	flow_open(&down, loopback(target.port));
	flow_open(&f, loopback(target.port)); /* held until the session is up */
	for (unsigned int i = 1; i <= 3; i++) {
		AWAIT(f.sent > (size_t)i * 4000000);
		fakesvc_cut(w.svc);
		AWAIT(fakesvc_counts(w.svc).sockets == 1 + i);
	}
	AWAIT(f.eof && down.eof);
	digest_check(&f);
	assert_int_equal(down.got, 20000000);
	assert_false(f.gone || down.gone);
	assert_int_equal(fakesvc_counts(w.svc).start, 1);
	assert_int_equal(fakesvc_counts(w.svc).resume, 3);
	assert_int_equal(w.state, TNL_UP);
	world_end();
}

static void over_and_anew(void **state)
{
	struct fakesvc_conf c = good();
	struct flow f = { .to_send = 1 }, g = { .to_send = 100000 };
	struct tnl_opts o;

	(void)state;
	world_begin(&c);
	o = opts("id_ed25519");
	start(&o);
	f.no_read = true;
	flow_open(&f, loopback(target.port));
	AWAIT(f.opened);
	c.no_resume = true;
	fakesvc_conf_set(w.svc, &c);
	fakesvc_cut(w.svc);
	AWAIT(f.gone);
	assert_int_equal(w.state, TNL_STARTING);
	assert_non_null(strstr(w.text, "session"));
	flow_open(&g, loopback(target.port));
	AWAIT(g.eof);
	digest_check(&g);
	assert_int_equal(w.state, TNL_UP);
	/* and once more, by the service's word */
	fakesvc_close(w.svc, "the session was terminated\x1b[31m");
	AWAIT(g.gone);
	assert_non_null(strstr(w.text, "the session was terminated\\x1b[31m"));
	AWAIT(w.state == TNL_UP);
	world_end();
}

static void key_write(const char *key)
{
	run_cmd("mkdir -p %s/.aws && printf '[default]\\naws_access_key_id = "
		"%s\\naws_secret_access_key = secret\\n' "
		">%s/.aws/credentials",
		d.dir, key, d.dir);
}

static void credentials_write(void)
{
	key_write("AKIDEXAMPLE");
}

/* ---- the wire is down ---- */

static struct tnl_session_status first_session(void)
{
	struct tnl_status st;

	tnl_upstream_status(w.u, &st);
	assert_true(st.sessions > 0);
	return st.session[0];
}

/* A portal, or a proxy that refuses: nothing that the service says. Flows pause, opens are held for their budget. */
static void portal_in_between(void **state)
{
	struct fakesvc_conf c = good();
	struct flow f = { .to_send = 8000000 }, held = { .to_send = 1000 }, late = { 0 };
	uint64_t sent, t;
	struct tnl_opts o;

	(void)state;
	world_begin(&c);
	o = opts("id_ed25519");
	o.connect_budget_ms = 700;
	start(&o);
	AWAIT(w.state == TNL_UP);
	flow_open(&f, loopback(target.port));
	AWAIT(f.sent > 1000000);
	c.portal = true;
	fakesvc_conf_set(w.svc, &c);
	fakesvc_cut(w.svc);
	AWAIT(fakesvc_counts(w.svc).resume >= 2);
	assert_string_equal(first_session().state, "resuming");
	assert_true(first_session().paused_ms > 0);
	assert_non_null(strstr(first_session().target, "i-0123"));
	t = now_ms();
	flow_open(&late, loopback(target.port));
	AWAIT(late.failed);
	assert_int_equal(late.why, TNL_OPEN_NO_SESSION);
	assert_true(now_ms() - t >= 690);
	/* bounded: what the flow can still give is what the buffers take */
	sent = f.sent;
	AWAIT(fakesvc_counts(w.svc).resume >= 4);
	assert_true(f.sent - sent < 1000000);
	flow_open(&held, loopback(target.port));
	loop_turn(w.loop, 0);
	assert_false(held.opened || held.failed);
	c.portal = false;
	fakesvc_conf_set(w.svc, &c);
	tnl_upstream_hurry(w.u);
	AWAIT(f.eof);
	digest_check(&f);
	assert_false(f.gone);
	AWAIT(held.eof || held.failed); /* its budget may be shorter than the pause */
	assert_int_equal(fakesvc_counts(w.svc).start, 1);
	assert_int_equal(w.state, TNL_UP);
	assert_int_equal(first_session().paused_ms, 0);
	assert_string_equal(first_session().state, "ready");
	world_end();
}

/* The next try of a long absence is far away; a network that has changed brings it near. */
static void network_changed(void **state)
{
	struct fakesvc_conf c = good();
	struct flow f = { .to_send = 3000000 };
	struct tnl_opts o;
	uint64_t t;

	(void)state;
	world_begin(&c);
	o = opts("id_ed25519");
	start(&o);
	flow_open(&f, loopback(target.port));
	AWAIT(f.sent > 1000000);
	c.portal = true;
	fakesvc_conf_set(w.svc, &c);
	fakesvc_cut(w.svc);
	AWAIT(fakesvc_counts(w.svc).resume >= 6); /* the next pause is 1.25 s at least */
	for (t = now_ms(); now_ms() - t < 100;)
		loop_turn(w.loop, 10); /* until the answer is back */
	c.portal = false;
	fakesvc_conf_set(w.svc, &c);
	tnl_upstream_hurry(w.u);
	tnl_upstream_hurry(w.u);
	t = now_ms();
	AWAIT(fakesvc_counts(w.svc).resume >= 7);
	assert_true(now_ms() - t < 1100); /* HURRY_MS after the failure 100 ms ago */
	AWAIT(f.eof);
	digest_check(&f);
	world_end();
}

/* Tokens are given out, but each socket is closed at its open message: no tight loop, and it goes on when that has passed. */
static void sockets_closed_at_once(void **state)
{
	struct fakesvc_conf c = good();
	struct flow f = { .to_send = 5000000 };
	struct tnl_opts o;
	uint64_t t;

	(void)state;
	world_begin(&c);
	o = opts("id_ed25519");
	start(&o);
	AWAIT(w.state == TNL_UP);
	flow_open(&f, loopback(target.port));
	AWAIT(f.sent > 1000000);
	c.closes_sockets = true;
	fakesvc_conf_set(w.svc, &c);
	fakesvc_cut(w.svc);
	for (t = now_ms(); now_ms() - t < 2000;)
		loop_turn(w.loop, 100);
	/* at once, then pauses of 75, 150, 300, 600, 1200 ms at least */
	assert_in_range(fakesvc_counts(w.svc).resume, 2, 6);
	assert_false(f.gone);
	c.closes_sockets = false;
	fakesvc_conf_set(w.svc, &c);
	AWAIT(f.eof);
	digest_check(&f);
	assert_int_equal(fakesvc_counts(w.svc).start, 1);
	world_end();
}

static void another_session_takes_over(void **state)
{
	struct fakesvc_conf c = good();
	struct flow idle = { .to_send = 10, .no_read = true }, f[6] = { { 0 } };
	struct tnl_status st;
	struct tnl_opts o;

	(void)state;
	world_begin(&c);
	o = opts("id_ed25519");
	o.sessions_min = 2;
	start(&o);
	do {
		AWAIT(w.state == TNL_UP);
		loop_turn(w.loop, 100);
		tnl_upstream_status(w.u, &st);
	} while (st.sessions < 2 || strcmp(st.session[1].state, "ready") != 0);
	flow_open(&idle, loopback(target.port));
	AWAIT(idle.opened);
	c.portal = true;
	fakesvc_conf_set(w.svc, &c);
	fakesvc_cut_first(w.svc);
	AWAIT(fakesvc_counts(w.svc).resume >= 2);
	for (size_t i = 0; i < ARRAY_LEN(f); i++) {
		f[i].to_send = 10000;
		flow_open(&f[i], loopback(target.port));
	}
	for (size_t i = 0; i < ARRAY_LEN(f); i++)
		AWAIT(f[i].eof);
	tnl_upstream_status(w.u, &st);
	assert_int_equal(st.sessions, 2); /* none was started in place of the paused one */
	assert_int_equal(st.state, TNL_UP);
	assert_false(idle.gone);
	c.portal = false;
	fakesvc_conf_set(w.svc, &c);
	idle.no_read = false;
	on_readable(&idle, idle.h);
	AWAIT(idle.eof);
	digest_check(&idle);
	assert_int_equal(fakesvc_counts(w.svc).start, 2);
	world_end();
}

/* The credentials are gone when the wire is: a person must act, and the flows are still there afterwards. */
static void credentials_expire_meanwhile(void **state)
{
	struct fakesvc_conf c = good();
	struct flow f = { .to_send = 3000000 }, held = { .to_send = 1000 };
	struct tnl_opts o;
	uint64_t t;

	(void)state;
	w.no_credentials = true;
	world_begin(&c);
	credentials_write();
	o = opts("id_ed25519");
	o.connect_budget_ms = 300;
	start(&o);
	AWAIT(w.state == TNL_UP);
	flow_open(&f, loopback(target.port));
	AWAIT(f.sent > 1000000);
	run_cmd("rm -r %s/.aws", d.dir);
	fakesvc_cut(w.svc);
	AWAIT(w.state == TNL_WAITING);
	assert_int_equal(w.err, ST_EAUTH);
	assert_string_equal(first_session().state, "waiting-for-login");
	flow_open(&held, loopback(target.port));
	t = now_ms();
	do {
		loop_turn(w.loop, 100);
	} while (now_ms() - t < 700);
	assert_false(held.failed || f.gone); /* the budget stands still */
	credentials_write();
	AWAIT(f.eof && held.eof);
	digest_check(&f);
	assert_int_equal(w.state, TNL_UP);
	assert_int_equal(fakesvc_counts(w.svc).start, 1);
	assert_int_equal(fakesvc_counts(w.svc).resume, 1);
	run_cmd("rm -r %s/.aws", d.dir);
	world_end();
}

/* The service calls the keys expired: flows live, nothing is asked of the service while that is so, it is said once, and the flows go
 * on as soon as there are other keys. */
static void new_keys_are_noticed(void **state)
{
	struct fakesvc_conf c = good();
	struct flow f = { .to_send = 3000000 }, held = { .to_send = 1000 };
	struct tnl_opts o;
	uint32_t calls, told;
	uint64_t t;

	(void)state;
	w.no_credentials = true;
	world_begin(&c);
	w.notices = true;
	credentials_write();
	o = opts("id_ed25519");
	o.connect_budget_ms = 300;
	start(&o);
	AWAIT(w.state == TNL_UP);
	flow_open(&f, loopback(target.port));
	AWAIT(f.sent > 1000000);
	c.expired = true;
	fakesvc_conf_set(w.svc, &c);
	fakesvc_cut(w.svc);
	AWAIT(w.state == TNL_WAITING);
	assert_non_null(strstr(w.text, "ExpiredTokenException"));
	calls = fakesvc_counts(w.svc).calls;
	told = w.events;
	flow_open(&held, loopback(target.port));
	for (t = now_ms(); now_ms() - t < 5500;) /* one look in between */
		loop_turn(w.loop, 100);
	assert_int_equal(fakesvc_counts(w.svc).calls, calls);
	assert_int_equal(w.events, told);
	assert_false(held.failed || f.gone);
	c.expired = false;
	fakesvc_conf_set(w.svc, &c);
	t = now_ms();
	key_write("AKIDANOTHER");
	AWAIT(w.state == TNL_UP);
	assert_true(now_ms() - t < 2000); /* the next look would be 4.5 s away */
	AWAIT(f.eof && held.eof);
	digest_check(&f);
	assert_int_equal(fakesvc_counts(w.svc).start, 1);
	run_cmd("rm -r %s/.aws", d.dir);
	world_end();
}

/* By an error instead of a missing token; the reason is told. */
static void already_terminated(void **state)
{
	struct fakesvc_conf c = good();
	struct flow f = { .to_send = 1, .no_read = true };
	struct tnl_opts o;
	uint64_t t;

	(void)state;
	world_begin(&c);
	o = opts("id_ed25519");
	start(&o);
	flow_open(&f, loopback(target.port));
	AWAIT(f.opened);
	c.terminated = true;
	fakesvc_conf_set(w.svc, &c);
	t = now_ms();
	fakesvc_cut(w.svc);
	AWAIT(f.gone);
	assert_true(now_ms() - t < 2000);
	assert_non_null(strstr(w.text, "already terminated"));
	AWAIT(w.state == TNL_UP && fakesvc_counts(w.svc).start == 2);
	world_end();
}

/* A path that forgets us says nothing: two pings' time, and the session is resumed on another socket. */
static void silent_wire(void **state)
{
	struct fakesvc_conf c = good();
	struct flow f = { .to_send = 6000000 };
	struct tnl_opts o;
	uint64_t t;

	(void)state;
	world_begin(&c);
	o = opts("id_ed25519");
	o.ping_ms = 400;
	start(&o);
	flow_open(&f, loopback(target.port));
	AWAIT(f.sent > 1000000);
	t = now_ms();
	fakesvc_mute(w.svc);
	AWAIT(fakesvc_counts(w.svc).sockets == 2);
	assert_in_range(now_ms() - t, 700, 2000);
	AWAIT(f.eof);
	digest_check(&f);
	assert_false(f.gone);
	assert_int_equal(fakesvc_counts(w.svc).start, 1);
	world_end();
}

/* Another Wi-Fi: the old path is dead, and that is found out in seconds, also by a session where nothing moves. */
static void network_changed_under_it(void **state)
{
	struct fakesvc_conf c = good();
	struct flow f = { .to_send = 1000, .no_read = true };
	struct tnl_opts o;
	uint64_t t;

	(void)state;
	world_begin(&c);
	o = opts("id_ed25519");
	start(&o);
	AWAIT(w.state == TNL_UP);
	flow_open(&f, loopback(target.port));
	AWAIT(f.shut);
	for (t = now_ms(); now_ms() - t < 300;)
		loop_turn(w.loop, 100);
	tnl_upstream_hurry(w.u); /* changed, but the path is good */
	for (t = now_ms(); now_ms() - t < TNL_PROBE_MS + 300;)
		loop_turn(w.loop, 100);
	assert_int_equal(fakesvc_counts(w.svc).sockets, 1);
	fakesvc_mute(w.svc);
	t = now_ms();
	tnl_upstream_hurry(w.u);
	AWAIT(fakesvc_counts(w.svc).sockets == 2);
	assert_in_range(now_ms() - t, TNL_PROBE_MS - 100, TNL_PROBE_MS + 2000);
	f.no_read = false;
	on_readable(&f, f.h);
	AWAIT(f.eof);
	digest_check(&f);
	assert_int_equal(fakesvc_counts(w.svc).start, 1);
	world_end();
}

/* The process did not run for a while and the path may be dead: it is not asked, and above all the time is not taken for the
 * far side's silence. */
static void suspended(void **state)
{
	struct fakesvc_conf c = good();
	struct flow f = { .to_send = 6000000 };
	struct tnl_opts o;

	(void)state;
	world_begin(&c);
	o = opts("id_ed25519");
	start(&o);
	flow_open(&f, loopback(target.port));
	AWAIT(f.sent > 1000000);
	sleep(6); /* the absence is the point */
	AWAIT(fakesvc_counts(w.svc).sockets == 2);
	AWAIT(f.eof);
	digest_check(&f);
	assert_false(f.gone);
	assert_int_equal(fakesvc_counts(w.svc).start, 1);
	assert_int_equal(fakesvc_counts(w.svc).resume, 1);
	world_end();
}

/* ssm-protocol, 4.3: an agent whose socket was cut may process a message twice. SSH finds out; nobody else could. */
static void repeated_bytes(bool down, bool up)
{
	struct fakesvc_conf c = good();
	struct flow f = { .to_send = 50000000 }, fresh = { .to_send = 1000000 };
	struct tnl_opts o;
	uint64_t t;

	if (down)
		f = (struct flow){ .to_get = 50000000 };
	world_begin(&c);
	o = opts("id_ed25519");
	start(&o);
	flow_open(&f, loopback(target.port));
	AWAIT(down ? f.got > 1000000 : f.sent > 1000000);
	c.repeat_down = down;
	c.repeat_up = up;
	t = now_ms();
	fakesvc_conf_set(w.svc, &c);
	AWAIT(f.gone);
	print_message("%llu ms: %s\n", (unsigned long long)(now_ms() - t), w.text);
	assert_false(f.eof);
	AWAIT(w.state == TNL_UP && fakesvc_counts(w.svc).start == 2);
	flow_open(&fresh, loopback(target.port));
	AWAIT(fresh.opened);
	assert_true(now_ms() - t < 5000);
	AWAIT(fresh.eof);
	digest_check(&fresh);
	world_end();
}

static void repeated_by_the_agent_down(void **state)
{
	(void)state;
	repeated_bytes(true, false);
}

static void repeated_by_the_agent_up(void **state)
{
	(void)state;
	repeated_bytes(false, true);
}

/* One start that fails. Return: ms until it was told. */
static uint64_t start_fails(const struct fakesvc_conf *c, const struct tnl_opts *o,
			    enum tnl_state expect, int err, const char *const *words)
{
	const uint64_t t = now_ms();
	uint64_t ms;

	(void)c;
	start(o);
	AWAIT(w.err != 0);
	ms = now_ms() - t;
	assert_int_equal(w.state, expect);
	if (w.err != err)
		fail_msg("%s: %s", st_errname(w.err), w.text);
	for (; *words != NULL; words++) {
		if (strstr(w.text, *words) == NULL)
			fail_msg("'%s' is not in: %s", *words, w.text);
	}
	print_message("%llu ms: %s\n", (unsigned long long)ms, w.text);
	assert_true(ms < 5000);
	return ms;
}

static void unknown_target(void **state)
{
	struct fakesvc_conf c = good();
	struct flow f = { 0 };
	struct tnl_opts o;

	(void)state;
	c.no_target = "i-0123";
	world_begin(&c);
	o = opts("id_ed25519");
	start_fails(&c, &o, TNL_FAILED, ST_ENOENT, (const char *[]){ "InvalidInstanceId", NULL });
	flow_open(&f, loopback(target.port));
	AWAIT(f.failed);
	assert_int_equal(f.why, TNL_OPEN_NO_SESSION);
	assert_int_equal(fakesvc_counts(w.svc).start, 1);
	world_end();
}

static void target_offline_at_start(void **state)
{
	struct fakesvc_conf c = good();
	struct tnl_opts o;

	(void)state;
	c.bad_target = "i-0123";
	world_begin(&c);
	o = opts("id_ed25519");
	start_fails(&c, &o, TNL_FAILED, ST_ECLOSED,
		    (const char *[]){ "TargetNotConnected", "i-0123 is offline", NULL });
	world_end();
}

/* Later nothing is final: it is tried until the target is back. */
static void target_offline_later(void **state)
{
	struct fakesvc_conf c = good();
	struct tnl_opts o;

	(void)state;
	world_begin(&c);
	o = opts("id_ed25519");
	start(&o);
	AWAIT(w.state == TNL_UP);
	c.bad_target = "i-0123";
	fakesvc_conf_set(w.svc, &c);
	fakesvc_close(w.svc, "agent gone");
	AWAIT(w.state == TNL_STARTING && strstr(w.text, "TargetNotConnected") != NULL);
	c.bad_target = NULL;
	fakesvc_conf_set(w.svc, &c);
	AWAIT(w.state == TNL_UP);
	world_end();
}

static void failover(void **state)
{
	struct fakesvc_conf c = good();
	struct tnl_status st;
	struct tnl_opts o;

	(void)state;
	c.no_target = "i-0123";
	world_begin(&c);
	o = opts("id_ed25519");
	o.n_targets = 2;
	start(&o);
	AWAIT(w.state == TNL_UP);
	tnl_upstream_status(w.u, &st);
	assert_string_equal(st.session[0].target, "i-0456");
	assert_non_null(strstr(st.last_text, "InvalidInstanceId"));
	world_end();
}

static void wrong_key(void **state)
{
	struct fakesvc_conf c = good();
	struct tnl_opts o;

	(void)state;
	world_begin(&c);
	o = opts("id_other");
	start_fails(&c, &o, TNL_FAILED, ST_EAUTH,
		    (const char *[]){ "@i-0123", "id_other", "authorized_keys", NULL });
	/* what was started is ended: API and flag */
	AWAIT(fakesvc_counts(w.svc).terminate == 1 && fakesvc_counts(w.svc).flags == 1);
	assert_int_equal(fakesvc_counts(w.svc).start, 1);
	world_end();
}

static void wrong_host_key(void **state)
{
	struct fakesvc_conf c = good();
	struct tnl_opts o;

	(void)state;
	world_begin(&c);
	o = opts("id_ed25519");
	run_cmd("cd %s && { printf 'i-0123 '; cut -d' ' -f1,2 id_other.pub; } >known_hosts", d.dir);
	start_fails(
		&c, &o, TNL_FAILED, ST_EHOSTKEY,
		(const char *[]){ "has changed", "known_hosts line 1", "remove that line", NULL });
	world_end();
}

static void nothing_on_the_port(void **state)
{
	struct fakesvc_conf c = good();
	struct tnl_opts o;

	(void)state;
	c.ssh_port = 0;
	world_begin(&c);
	o = opts("id_ed25519");
	start_fails(&c, &o, TNL_FAILED, ST_EREFUSED,
		    (const char *[]){ "port 22 of i-0123", "sshd", "ssh.port", NULL });
	world_end();
}

static void port_told_by_the_service(void **state)
{
	struct fakesvc_conf c = good();
	struct tnl_opts o;

	(void)state;
	c.ssh_port = 0;
	world_begin(&c);
	o = opts("id_ed25519");
	start(&o);
	AWAIT(fakesvc_counts(w.svc).sockets == 1);
	for (int i = 0; i < 20; i++)
		loop_turn(w.loop, 10);
	fakesvc_close(w.svc, "connection to port 22 failed");
	AWAIT(w.err != 0);
	assert_non_null(strstr(w.text, "port 22 of i-0123: connection to port 22 failed"));
	world_end();
}

static void no_credentials(void **state)
{
	struct fakesvc_conf c = good();
	struct flow f = { .to_send = 10 };
	struct tnl_opts o;

	(void)state;
	w.no_credentials = true;
	world_begin(&c);
	o = opts("id_ed25519");
	o.connect_budget_ms = 300;
	start_fails(&c, &o, TNL_WAITING, ST_EAUTH, (const char *[]){ "prod: ", NULL });
	assert_int_equal(fakesvc_counts(w.svc).start, 0);
	/* the budget stands still; credentials appear, and the open goes through */
	flow_open(&f, loopback(target.port));
	for (const uint64_t t = now_ms(); now_ms() - t < 500;)
		loop_turn(w.loop, 100);
	assert_false(f.failed);
	credentials_write();
	AWAIT(f.eof);
	assert_int_equal(w.state, TNL_UP);
	run_cmd("rm -r %s/.aws", d.dir);
	world_end();
}

static void sso_login_is_needed(void **state)
{
	struct fakesvc_conf c = good();
	struct tnl_status st;
	struct tnl_opts o;

	(void)state;
	w.no_credentials = true;
	world_begin(&c);
	w.notices = true;
	run_cmd("mkdir -p %s/.aws && printf '[default]\\nsso_start_url = "
		"https://a.awsapps.com/start\\n"
		"sso_region = eu-west-1\\nsso_account_id = 111122223333\\nsso_role_name = R\\n' "
		">%s/.aws/config",
		d.dir, d.dir);
	o = opts("id_ed25519");
	start_fails(&c, &o, TNL_WAITING, ST_EAUTH,
		    (const char *[]){ "Token for https://a.awsapps.com/start does not exist",
				      "log in: aws sso login --profile default", NULL });
	assert_string_equal(tnl_state_name(w.state), "waiting for login");
	tnl_upstream_status(w.u, &st);
	assert_non_null(strstr(st.last_text, "aws sso login --profile default"));
	/* a profile that needs none, in place of it */
	run_cmd("rm %s/.aws/config", d.dir);
	credentials_write();
	for (const uint64_t t = now_ms(); w.state != TNL_UP;) {
		assert_true(now_ms() - t < 3000);
		loop_turn(w.loop, 100);
	}
	run_cmd("rm -r %s/.aws", d.dir);
	world_end();
}

/* ---- opens ---- */

static int hole_fd[3];

/* A listener whose queue is full: connects neither succeed nor fail. */
static uint16_t hole_make(void)
{
	struct sockaddr_in sa = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(sa);

	hole_fd[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(hole_fd[0], (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(listen(hole_fd[0], 0), 0);
	assert_int_equal(getsockname(hole_fd[0], (struct sockaddr *)&sa, &len), 0);
	for (int i = 1; i < 3; i++) {
		hole_fd[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		(void)!connect(hole_fd[i], (struct sockaddr *)&sa, sizeof(sa));
	}
	return ntohs(sa.sin_port);
}

static void budget_and_negative_cache(void **state)
{
	struct fakesvc_conf c = good();
	struct flow f = { 0 }, again = { 0 }, other = { .to_send = 10 }, dead[6] = { { 0 } };
	const uint16_t hole = hole_make();
	struct tnl_opts o;
	uint64_t t;

	(void)state;
	world_begin(&c);
	o = opts("id_ed25519");
	o.connect_budget_ms = 1000;
	start(&o);
	AWAIT(w.state == TNL_UP);
	t = now_ms();
	flow_open(&f, loopback(hole));
	AWAIT(f.failed);
	assert_int_equal(f.why, TNL_OPEN_TIMEOUT);
	assert_true(now_ms() - t >= 990);
	/* known: it fails at once, but not from inside tnl_open() */
	t = now_ms();
	flow_open(&again, loopback(hole));
	assert_false(again.failed);
	AWAIT(again.failed);
	assert_int_equal(again.why, TNL_OPEN_TIMEOUT);
	assert_true(now_ms() - t < 500);
	/* the address is dead: four opens are pending at most */
	for (size_t i = 0; i < ARRAY_LEN(dead); i++)
		flow_open(&dead[i], loopback((uint16_t)(hole == 65535 ? 1 : hole + 1 + i)));
	/* another port of it answers, which clears the address but not the dead port */
	AWAIT(dead[4].failed && dead[5].failed);
	assert_int_equal(dead[4].why, TNL_OPEN_LIMIT);
	AWAIT(dead[0].failed && dead[3].failed);
	assert_int_equal(dead[0].why, TNL_OPEN_REFUSED);
	flow_open(&other, loopback(target.port));
	AWAIT(other.eof);
	again.failed = false;
	flow_open(&again, loopback(hole));
	AWAIT(again.failed);
	assert_int_equal(again.why, TNL_OPEN_TIMEOUT);
	world_end();
	for (int i = 0; i < 3; i++)
		close(hole_fd[i]);
}

/* A further session that has no credentials must not stop the clock of opens that the first one serves. */
static void budget_while_another_session_waits(void **state)
{
	struct fakesvc_conf c = good();
	struct flow f = { 0 };
	const uint16_t hole = hole_make();
	struct tnl_opts o;

	(void)state;
	w.no_credentials = true;
	world_begin(&c);
	credentials_write();
	w.lose_credentials = true;
	o = opts("id_ed25519");
	o.sessions_min = 2;
	o.connect_budget_ms = 300;
	start(&o);
	AWAIT(w.state == TNL_UP && w.err == ST_EAUTH);
	flow_open(&f, loopback(hole));
	AWAIT(f.failed);
	assert_int_equal(f.why, TNL_OPEN_TIMEOUT);
	assert_int_equal(w.state, TNL_UP);
	world_end();
	for (int i = 0; i < 3; i++)
		close(hole_fd[i]);
}

static void pending_limit_and_held(void **state)
{
	struct fakesvc_conf c = good();
	struct flow f[18] = { { 0 } };
	struct tnl_opts o;

	(void)state;
	c.agent_deaf = true; /* no session comes up */
	world_begin(&c);
	o = opts("id_ed25519");
	o.connect_budget_ms = 700;
	start(&o);
	for (size_t i = 0; i < ARRAY_LEN(f); i++)
		flow_open(&f[i], loopback(target.port));
	tnl_chan_close(w.u, f[0].h); /* given up while held: no event */
	AWAIT(f[16].failed && f[17].failed);
	assert_int_equal(f[16].why, TNL_OPEN_LIMIT);
	AWAIT(f[1].failed && f[15].failed);
	assert_int_equal(f[1].why, TNL_OPEN_NO_SESSION);
	assert_false(f[0].failed);
	world_end();
}

static void sessions_share(void **state)
{
	struct fakesvc_conf c = good();
	struct flow f[12] = { { 0 } };
	struct tnl_status st;
	struct tnl_opts o;
	size_t opened;

	(void)state;
	world_begin(&c);
	o = opts("id_rsa");
	o.sessions_min = 3;
	start(&o);
	do {
		AWAIT(w.state == TNL_UP);
		loop_turn(w.loop, 100);
		tnl_upstream_status(w.u, &st);
	} while (st.sessions < 3 || strcmp(st.session[2].state, "ready") != 0 ||
		 strcmp(st.session[1].state, "ready") != 0);
	for (size_t i = 0; i < ARRAY_LEN(f); i++)
		flow_open(&f[i], loopback(target.port));
	do {
		loop_turn(w.loop, 100);
		opened = 0;
		for (size_t i = 0; i < ARRAY_LEN(f); i++)
			opened += f[i].opened;
	} while (opened < ARRAY_LEN(f));
	tnl_upstream_status(w.u, &st);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(st.session[i].channels, 4);
	assert_int_equal(st.channels, 12);
	world_end();
	for (size_t i = 0; i < ARRAY_LEN(f); i++)
		assert_true(f[i].gone);
}

static void free_while_starting(void **state)
{
	struct fakesvc_conf c = good();
	struct flow f = { 0 };
	struct tnl_opts o;

	(void)state;
	for (int turns = 0; turns < 25; turns += 3) {
		world_begin(&c);
		o = opts("id_ed25519");
		start(&o);
		flow_open(&f, loopback(target.port));
		for (int i = 0; i < turns; i++)
			loop_turn(w.loop, 20);
		tnl_upstream_free(w.u);
		w.u = NULL;
		for (int i = 0; i < 3; i++)
			loop_turn(w.loop, 0);
		world_end();
	}
}

static void stop_while_starting(void **state)
{
	struct fakesvc_conf c = good();
	struct flow f[25] = { { 0 } };
	struct tnl_opts o;

	(void)state;
	for (size_t turns = 0; turns < ARRAY_LEN(f); turns += 2) {
		world_begin(&c);
		o = opts("id_ed25519");
		start(&o);
		f[turns].to_get = 1000000;
		flow_open(&f[turns], loopback(target.port));
		for (size_t i = 0; i < turns; i++)
			loop_turn(w.loop, 20);
		world_end();
		assert_true(f[turns].gone || f[turns].failed || f[turns].eof);
	}
}

/* A session that nobody uses makes no wake-ups but the pings. */
static void idle_is_idle(void **state)
{
	struct fakesvc_conf c = good();
	uint64_t turns, t;
	struct tnl_opts o;

	(void)state;
	world_begin(&c);
	o = opts("id_ed25519");
	start(&o);
	AWAIT(w.state == TNL_UP);
	do { /* last acknowledgements */
		t = now_ms();
		loop_turn(w.loop, 1000);
	} while (now_ms() - t < 900);
	turns = loop_turns(w.loop);
	loop_turn(w.loop, 1000);
	loop_turn(w.loop, 1000);
	assert_true(loop_turns(w.loop) - turns <= 3);
	world_end();
}

static int setup(void **state)
{
	(void)state;
	sshd_dir(&d);
	target_start(&target);
	sshd_start(&d, "ed25519", NULL);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	target_stop(&target);
	sshd_stop(&d);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(up_data_stop),
		cmocka_unit_test(data_endpoints),
		cmocka_unit_test(uploads_at_once),
		cmocka_unit_test(stop_with_flows),
		cmocka_unit_test(foreign_service_is_paced),
		cmocka_unit_test(cut_and_resume),
		cmocka_unit_test(over_and_anew),
		cmocka_unit_test(portal_in_between),
		cmocka_unit_test(network_changed),
		cmocka_unit_test(sockets_closed_at_once),
		cmocka_unit_test(another_session_takes_over),
		cmocka_unit_test(credentials_expire_meanwhile),
		cmocka_unit_test(new_keys_are_noticed),
		cmocka_unit_test(already_terminated),
		cmocka_unit_test(silent_wire),
		cmocka_unit_test(network_changed_under_it),
		cmocka_unit_test(suspended),
		cmocka_unit_test(repeated_by_the_agent_down),
		cmocka_unit_test(repeated_by_the_agent_up),
		cmocka_unit_test(unknown_target),
		cmocka_unit_test(target_offline_at_start),
		cmocka_unit_test(target_offline_later),
		cmocka_unit_test(failover),
		cmocka_unit_test(wrong_key),
		cmocka_unit_test(wrong_host_key),
		cmocka_unit_test(nothing_on_the_port),
		cmocka_unit_test(port_told_by_the_service),
		cmocka_unit_test(no_credentials),
		cmocka_unit_test(sso_login_is_needed),
		cmocka_unit_test(budget_and_negative_cache),
		cmocka_unit_test(budget_while_another_session_waits),
		cmocka_unit_test(pending_limit_and_held),
		cmocka_unit_test(sessions_share),
		cmocka_unit_test(free_while_starting),
		cmocka_unit_test(stop_while_starting),
		cmocka_unit_test(idle_is_idle),
	};

	cmocka_set_test_filter(getenv("ONLY")); /* a case to run alone, by hand */
	return share_run_tests("sessions", tests, setup, teardown);
}
