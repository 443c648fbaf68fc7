// SPDX-License-Identifier: MIT
/*
 * runner_test.c - jobs in a real runner process
 *
 * Cases: answers, errors with data, data of every size up to the limit, 64 large jobs at once; a job that crashes,
 * exits, lies about its length, hangs with a child of its own (all killed at the deadline), outlives a cancel or the runner's
 * end; 64 jobs and no more, 16 at once; unknown kinds; the runner killed: every job closed; callbacks that cancel and free;
 * names: localhost, none, too long, literals without a job; identity, capabilities, environment, descriptors, session;
 * an identity that can't be had; the log handed over.
 * A hanging job holds a FIFO open for writing: the FIFO's end tells that all its processes are gone.
 */
#include "runner/runner.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/log.h"
#include "runner/runner_internal.h"

#define WAIT_MS 10000
#define LONG_MS 60000U
#define NOBODY 65534U

enum kind {
	KIND_ECHO = 1,
	KIND_WHO,
	KIND_ENV,
	KIND_FDS,
	KIND_CRASH,
	KIND_EXIT,
	KIND_LIE,
	KIND_HANG,
	KIND_ERROR,
	KIND_N
};

static char dir[] = "/tmp/ssm-tun-runner-XXXXXX";
static char fifo[sizeof(dir) + 8];

/* ---- jobs, which run in the child ---- */

static int job_echo(const uint8_t *in, size_t in_len, uint8_t *out, size_t *out_len)
{
	memcpy(out, in, in_len);
	*out_len = in_len;
	return 0;
}

static int job_error(const uint8_t *in, size_t in_len, uint8_t *out, size_t *out_len)
{
	job_echo(in, in_len, out, out_len);
	return ST_EAUTH;
}

static int job_who(const uint8_t *in, size_t in_len, uint8_t *out, size_t *out_len)
{
	gid_t groups[16];
	int n = getgroups(16, groups), used;
	FILE *f = fopen("/proc/self/status", "re");
	char line[256], *text = (char *)out;
	uid_t r, e, s;

	(void)in;
	(void)in_len;
	getresuid(&r, &e, &s);
	used = sprintf(text, "uid %u %u %u gid %u %u groups", r, e, s, getgid(), getegid());
	for (int i = 0; i < n; i++)
		used += sprintf(text + used, " %u", groups[i]);
	used += sprintf(text + used, "\n");
	while (f && fgets(line, sizeof(line), f))
		if (strncmp(line, "Cap", 3) == 0 || strncmp(line, "NoNewPrivs", 10) == 0 ||
		    strncmp(line, "SigIgn", 6) == 0 || strncmp(line, "SigBlk", 6) == 0)
			used += sprintf(text + used, "%s", line);
	*out_len = (size_t)used;
	return f ? 0 : ST_ESYS;
}

static int job_env(const uint8_t *in, size_t in_len, uint8_t *out, size_t *out_len)
{
	(void)in;
	(void)in_len;
	for (char **e = environ; *e; e++)
		*out_len += (size_t)sprintf((char *)out + *out_len, "%s\n", *e);
	return 0;
}

static int job_fds(const uint8_t *in, size_t in_len, uint8_t *out, size_t *out_len)
{
	(void)in;
	(void)in_len;
	for (int fd = 0; fd < 4096; fd++)
		if (fcntl(fd, F_GETFD) >= 0)
			out[(*out_len)++] = (uint8_t)fd;
	return 0;
}

static int job_crash(const uint8_t *in, size_t in_len, uint8_t *out, size_t *out_len)
{
	(void)in;
	(void)in_len;
	(void)out;
	(void)out_len;
	abort();
}

static int job_exit(const uint8_t *in, size_t in_len, uint8_t *out, size_t *out_len)
{
	(void)in;
	(void)in_len;
	(void)out;
	(void)out_len;
	_exit(7);
}

static int job_lie(const uint8_t *in, size_t in_len, uint8_t *out, size_t *out_len)
{
	(void)in;
	(void)in_len;
	(void)out;
	*out_len = RUN_DATA_MAX + 1;
	return 0;
}

/* Hangs, deaf to polite signals, as does a child of its own; both hold the FIFO. */
static int job_hang(const uint8_t *in, size_t in_len, uint8_t *out, size_t *out_len)
{
	int fd = open(fifo, O_WRONLY);

	(void)in;
	(void)in_len;
	(void)out;
	(void)out_len;
	signal(SIGTERM, SIG_IGN);
	if (fork() == 0)
		for (;;)
			pause();
	if (fd < 0 || write(fd, "h", 1) != 1)
		return ST_ESYS;
	for (;;)
		pause();
}

static const struct run_kind kinds[KIND_N] = {
	[KIND_ECHO] = { "echo", job_echo },    [KIND_WHO] = { "who", job_who },
	[KIND_ENV] = { "env", job_env },       [KIND_FDS] = { "fds", job_fds },
	[KIND_CRASH] = { "crash", job_crash }, [KIND_EXIT] = { "exit", job_exit },
	[KIND_LIE] = { "lie", job_lie },       [KIND_HANG] = { "hang", job_hang },
	[KIND_ERROR] = { "error", job_error },
};

/* ---- the test's side ---- */

struct world {
	struct loop *loop;
	struct runner *runner;
	int pid, fifo_fd;
};

struct result {
	int calls, err;
	uint8_t *data;
	size_t len;
	struct net_addr addrs[RUN_RESOLVE_ADDRS];
	size_t n;
	char text[256];
};

static void on_done(void *arg, int err, const uint8_t *out, size_t len)
{
	struct result *r = arg;

	r->calls++;
	r->err = err;
	free(r->data);
	r->data = malloc(len + 1);
	assert_non_null(r->data);
	if (len > 0)
		memcpy(r->data, out, len);
	r->data[len] = '\0';
	r->len = len;
}

static void on_resolved(void *arg, int err, const struct net_addr *addrs, size_t n,
			const char *text)
{
	struct result *r = arg;

	r->calls++;
	r->err = err;
	r->n = n;
	memcpy(r->addrs, addrs, n * sizeof(*addrs));
	snprintf(r->text, sizeof(r->text), "%s", text);
}

static void result_fini(struct result *r)
{
	free(r->data);
	*r = (struct result){ 0 };
}

static void turn_until(struct world *w, const int *count, int want)
{
	uint64_t end = loop_now_ms(w->loop) + WAIT_MS;

	while (*count < want) {
		assert_int_equal(loop_turn(w->loop, WAIT_MS), 0);
		if (loop_now_ms(w->loop) > end)
			fail_msg("no answer in %d ms", WAIT_MS);
	}
	assert_int_equal(*count, want);
}

static void job_run(struct world *w, struct result *r, uint32_t kind, const void *in, size_t len,
		    uint32_t timeout_ms)
{
	run_job job;

	result_fini(r);
	assert_int_equal(run_start(w->runner, &job, kind, in, len, timeout_ms, on_done, r), 0);
	assert_int_equal(r->calls, 0);
	turn_until(w, &r->calls, 1);
}

/* @n hanging processes have come up. */
static void await_hanging(struct world *w, int n)
{
	struct pollfd p = { .fd = w->fifo_fd, .events = POLLIN };
	char c;

	for (int i = 0; i < n; i++) {
		while (poll(&p, 1, 0) == 0)
			assert_int_equal(loop_turn(w->loop, 10), 0);
		assert_int_equal(read(w->fifo_fd, &c, 1), 1);
	}
}

/* No process holds the FIFO any more; more bytes than expected fail. */
static void await_no_hanging(struct world *w)
{
	struct pollfd p = { .fd = w->fifo_fd, .events = POLLIN };
	char c;

	assert_int_equal(poll(&p, 1, WAIT_MS), 1);
	assert_int_equal(p.revents & (POLLHUP | POLLIN), POLLHUP);
	assert_int_equal(read(w->fifo_fd, &c, 1), 0);
}

static int fork_as(struct world *w, uint32_t uid, const char *const *env)
{
	static const uint32_t groups[] = { NOBODY, 4242 };
	const struct run_identity id = {
		.uid = uid,
		.gid = getuid() == 0 ? uid : getgid(),
		.groups = groups,
		.n_groups = 2,
		.home = "/nowhere",
		.user = "somebody",
		.shell = "/bin/sh",
		.env = env,
	};
	int fd;

	w->loop = NULL;
	w->runner = NULL;
	if (run_fork(&fd, &w->pid, &id, kinds, KIND_N) < 0)
		return -1;
	if (loop_new(&w->loop) < 0 || run_new(&w->runner, w->loop, fd) < 0)
		return -1;
	w->fifo_fd = open(fifo, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	return w->fifo_fd < 0 ? -1 : 0;
}

static int setup(void **state)
{
	static const char *const env[] = { "AWS_PROFILE=prod", "SSH_AUTH_SOCK=/a=b", "broken",
					   NULL };
	struct world *w = calloc(1, sizeof(*w));

	if (!w)
		return -1;
	*state = w;
	return fork_as(w, getuid() == 0 ? NOBODY : getuid(), env);
}

static void assert_runner_ended(struct world *w, bool killed)
{
	int status;

	assert_int_equal(waitpid(w->pid, &status, 0), w->pid);
	assert_int_equal(WIFSIGNALED(status), killed);
	if (!killed)
		assert_int_equal(WEXITSTATUS(status), 0);
	w->pid = 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	run_free(w->runner);
	if (w->pid > 0)
		assert_runner_ended(w, false);
	loop_free(w->loop);
	close(w->fifo_fd);
	free(w);
	return 0;
}

static void answers(void **state)
{
	static const size_t sizes[] = { 0,	     1,	    17,	   4096,
					65535,	     65536, 65537, RUN_DATA_MAX - 1,
					RUN_DATA_MAX };
	uint8_t *data = malloc(RUN_DATA_MAX + 1);
	struct world *w = *state;
	struct result r = { 0 };
	run_job job;

	assert_non_null(data);
	for (size_t i = 0; i <= RUN_DATA_MAX; i++)
		data[i] = (uint8_t)(i * 7 + i / 251);
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		job_run(w, &r, KIND_ECHO, data, sizes[i], LONG_MS);
		assert_int_equal(r.err, 0);
		assert_int_equal(r.len, sizes[i]);
		assert_memory_equal(r.data, data, sizes[i]);
	}
	job_run(w, &r, KIND_ERROR, "why", 3, LONG_MS);
	assert_int_equal(r.err, ST_EAUTH);
	assert_string_equal((char *)r.data, "why");
	assert_int_equal(
		run_start(w->runner, &job, KIND_ECHO, data, RUN_DATA_MAX + 1, LONG_MS, on_done, &r),
		ST_EINVAL);
	assert_int_equal(run_start(w->runner, &job, RUN_KINDS_MAX, data, 1, LONG_MS, on_done, &r),
			 ST_EINVAL);
	job_run(w, &r, KIND_N, "", 0, LONG_MS); /* a number that nobody registered */
	assert_int_equal(r.err, ST_EINVAL);
	result_fini(&r);
	free(data);
}

static void many_large_jobs(void **state)
{
	uint8_t *data = malloc(RUN_DATA_MAX);
	struct result r[RUN_JOBS_MAX] = { 0 };
	struct world *w = *state;
	run_job job;

	assert_non_null(data);
	for (unsigned i = 0; i < RUN_JOBS_MAX; i++) {
		memset(data, (int)i + 1, RUN_DATA_MAX);
		assert_int_equal(run_start(w->runner, &job, KIND_ECHO, data, RUN_DATA_MAX, LONG_MS,
					   on_done, &r[i]),
				 0);
	}
	for (unsigned i = 0; i < RUN_JOBS_MAX; i++) {
		turn_until(w, &r[i].calls, 1);
		memset(data, (int)i + 1, RUN_DATA_MAX);
		assert_int_equal(r[i].err, 0);
		assert_int_equal(r[i].len, RUN_DATA_MAX);
		assert_memory_equal(r[i].data, data, RUN_DATA_MAX);
		result_fini(&r[i]);
	}
	free(data);
}

static void misbehaving_jobs(void **state)
{
	static const uint32_t bad[] = { KIND_CRASH, KIND_EXIT, KIND_LIE };
	struct world *w = *state;
	struct result r = { 0 };

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		job_run(w, &r, bad[i], "x", 1, LONG_MS);
		assert_int_equal(r.err, ST_ESYS);
		assert_int_equal(r.len, 0);
	}
	job_run(w, &r, KIND_ECHO, "still here", 10, LONG_MS);
	assert_int_equal(r.err, 0);
	result_fini(&r);
}

static void hanging_job_is_killed(void **state)
{
	struct world *w = *state;
	struct result r = { 0 };
	uint64_t start;
	run_job job;

	assert_int_equal(loop_turn(w->loop, 0), 0);
	start = loop_now_ms(w->loop);
	assert_int_equal(run_start(w->runner, &job, KIND_HANG, NULL, 0, 300, on_done, &r), 0);
	await_hanging(w, 1);
	turn_until(w, &r.calls, 1);
	assert_int_equal(r.err, ST_ETIMEOUT);
	assert_in_range(loop_now_ms(w->loop) - start, 290, 290 + 1000);
	await_no_hanging(w);
	result_fini(&r);
}

static void cancelled_job_is_killed(void **state)
{
	struct result r = { 0 }, echo = { 0 };
	struct world *w = *state;
	run_job job;

	assert_int_equal(run_start(w->runner, &job, KIND_HANG, NULL, 0, LONG_MS, on_done, &r), 0);
	await_hanging(w, 1);
	run_cancel(w->runner, job);
	run_cancel(w->runner, job); /* stale */
	run_cancel(w->runner, 0);
	await_no_hanging(w);
	job_run(w, &echo, KIND_ECHO, "x", 1, LONG_MS);
	assert_int_equal(r.calls, 0);
	result_fini(&echo);
}

static void limits(void **state)
{
	struct result r = { 0 }, echo = { 0 };
	run_job jobs[RUN_JOBS_MAX], extra;
	struct world *w = *state;

	for (unsigned i = 0; i < RUN_JOBS_MAX; i++)
		assert_int_equal(
			run_start(w->runner, &jobs[i], KIND_HANG, NULL, 0, LONG_MS, on_done, &r),
			0);
	assert_int_equal(run_start(w->runner, &extra, KIND_ECHO, "", 0, LONG_MS, on_done, &r),
			 ST_EFULL);
	await_hanging(w, RUN_PARALLEL);
	/* The waiting ones go first, so that no more of them start. */
	for (unsigned i = RUN_JOBS_MAX; i-- > 1;)
		run_cancel(w->runner, jobs[i]);
	job_run(w, &echo, KIND_ECHO, "x", 1, LONG_MS);
	assert_int_equal(echo.err, 0);
	run_cancel(w->runner, jobs[0]);
	await_no_hanging(w);
	assert_int_equal(r.calls, 0);
	result_fini(&echo);
}

/* A job that waits for its turn dies at its deadline too, counted from its start. */
static void waiting_job_times_out(void **state)
{
	struct result hang = { 0 }, r = { 0 };
	struct world *w = *state;
	run_job job;

	for (unsigned i = 0; i < RUN_PARALLEL; i++)
		assert_int_equal(
			run_start(w->runner, &job, KIND_HANG, NULL, 0, LONG_MS, on_done, &hang), 0);
	await_hanging(w, RUN_PARALLEL);
	job_run(w, &r, KIND_ECHO, "x", 1, 100);
	assert_int_equal(r.err, ST_ETIMEOUT);
	assert_int_equal(hang.calls, 0);
	result_fini(&r);
}

static void runner_stopped(void **state)
{
	struct world *w = *state;
	struct result r = { 0 };

	/* The runner itself hangs: the daemon's own deadline ends the job. */
	assert_int_equal(kill(w->pid, SIGSTOP), 0);
	job_run(w, &r, KIND_ECHO, "x", 1, 50);
	assert_int_equal(r.err, ST_ETIMEOUT);
	assert_int_equal(kill(w->pid, SIGCONT), 0);
	job_run(w, &r, KIND_ECHO, "y", 1, LONG_MS);
	assert_int_equal(r.err, 0);
	assert_string_equal((char *)r.data, "y");
	result_fini(&r);
}

static void runner_killed(void **state)
{
	struct world *w = *state;
	struct result r = { 0 }, name = { 0 };
	run_job job;

	for (int i = 0; i < 5; i++)
		assert_int_equal(
			run_start(w->runner, &job, KIND_ECHO, "x", 1, LONG_MS, on_done, &r), 0);
	assert_int_equal(kill(w->pid, SIGSTOP), 0); /* none of the next is answered */
	result_fini(&r);
	assert_int_equal(run_start(w->runner, &job, KIND_ECHO, "x", 1, LONG_MS, on_done, &r), 0);
	assert_int_equal(run_resolve(w->runner, &job, "localhost", LONG_MS, on_resolved, &name), 0);
	assert_int_equal(kill(w->pid, SIGKILL), 0);
	assert_runner_ended(w, true);
	turn_until(w, &name.calls, 1);
	assert_int_equal(name.err, ST_ECLOSED);
	assert_int_equal(name.n, 0);
	turn_until(w, &r.calls, 6); /* answered before the stop, or closed */
	assert_int_equal(r.err, ST_ECLOSED);
	assert_int_equal(run_start(w->runner, &job, KIND_ECHO, "x", 1, LONG_MS, on_done, &r),
			 ST_ECLOSED);
	assert_int_equal(run_resolve(w->runner, &job, "127.0.0.1", LONG_MS, on_resolved, &r),
			 ST_ECLOSED);
	run_cancel(w->runner, job);
	result_fini(&r);
}

static void jobs_die_with_the_runner(void **state)
{
	struct world *w = *state;
	struct result r = { 0 };
	run_job job;

	assert_int_equal(run_start(w->runner, &job, KIND_HANG, NULL, 0, LONG_MS, on_done, &r), 0);
	await_hanging(w, 1);
	run_free(w->runner);
	w->runner = NULL;
	assert_runner_ended(w, false);
	await_no_hanging(w);
	assert_int_equal(r.calls, 0);
}

struct freeing {
	struct world *w;
	int calls;
	run_job other;
};

static void on_done_free(void *arg, int err, const uint8_t *out, size_t len)
{
	struct freeing *f = arg;

	assert_int_equal(err, 0);
	f->calls++;
	run_cancel(f->w->runner, f->other);
	run_free(f->w->runner);
	f->w->runner = NULL;
	assert_int_equal(len, 5);
	assert_memory_equal(out, "hello", 5); /* borrowed until return */
}

static void callback_frees_the_runner(void **state)
{
	struct freeing f = { .w = *state };
	struct result r = { 0 };
	run_job job;

	assert_int_equal(run_start(f.w->runner, &f.other, KIND_HANG, NULL, 0, LONG_MS, on_done, &r),
			 0);
	assert_int_equal(
		run_start(f.w->runner, &job, KIND_ECHO, "hello", 5, LONG_MS, on_done_free, &f), 0);
	turn_until(f.w, &f.calls, 1);
	assert_int_equal(loop_turn(f.w->loop, 0), 0);
	assert_int_equal(r.calls, 0);
}

/* The runner died, and the first callback that says so frees everything. */
static void on_closed_free(void *arg, int err, const uint8_t *out, size_t len)
{
	struct freeing *f = arg;

	(void)out;
	assert_int_equal(err, ST_ECLOSED);
	assert_int_equal(len, 0);
	f->calls++;
	run_free(f->w->runner);
	f->w->runner = NULL;
}

static void closed_callback_frees_the_runner(void **state)
{
	struct freeing f = { .w = *state };
	run_job job;

	assert_int_equal(kill(f.w->pid, SIGSTOP), 0);
	for (int i = 0; i < 3; i++)
		assert_int_equal(run_start(f.w->runner, &job, KIND_ECHO, "x", 1, LONG_MS,
					   on_closed_free, &f),
				 0);
	assert_int_equal(kill(f.w->pid, SIGKILL), 0);
	assert_runner_ended(f.w, true);
	turn_until(f.w, &f.calls, 1);
}

/* ---- names ---- */

static void resolve(struct world *w, struct result *r, const char *host)
{
	run_job job;

	result_fini(r);
	assert_int_equal(run_resolve(w->runner, &job, host, LONG_MS, on_resolved, r), 0);
	assert_int_equal(r->calls, 0);
	turn_until(w, &r->calls, 1);
}

static void names(void **state)
{
	struct world *w = *state;
	struct result r = { 0 };
	char longest[255];

	resolve(w, &r, "localhost");
	assert_int_equal(r.err, 0);
	assert_true(r.n >= 1);
	for (size_t i = 0; i < r.n; i++)
		assert_true(net_addr_is_local_only(&r.addrs[i]));
	resolve(w, &r, "no such name"); /* a blank is in no name: answered without a server */
	assert_true(r.err == ST_ENOENT || r.err == ST_ESYS);
	assert_int_equal(r.n, 0);
	assert_true(strlen(r.text) > 0);
	resolve(w, &r, "");
	assert_int_equal(r.err, ST_ENOENT);
	memset(longest, 'a', 254);
	longest[254] = '\0';
	resolve(w, &r, longest);
	assert_int_equal(r.err, ST_ENOENT);
	assert_string_equal(r.text, "not a host name");
}

static void literal_addresses(void **state)
{
	struct world *w = *state;
	struct result r = { 0 };
	run_job job;

	/* A stopped runner shows that it is not asked. */
	assert_int_equal(kill(w->pid, SIGSTOP), 0);
	resolve(w, &r, "10.1.2.3");
	assert_int_equal(r.err, 0);
	assert_int_equal(r.n, 1);
	assert_int_equal(r.addrs[0].family, 4);
	assert_int_equal(r.addrs[0].b[3], 3);
	resolve(w, &r, "fd00::1");
	assert_int_equal(r.addrs[0].family, 6);
	result_fini(&r);
	assert_int_equal(run_resolve(w->runner, &job, "10.1.2.3", 0, on_resolved, &r), 0);
	run_cancel(w->runner, job);
	assert_int_equal(loop_turn(w->loop, 20), 0);
	assert_int_equal(r.calls, 0);
	assert_int_equal(kill(w->pid, SIGCONT), 0);
}

static void resolve_decoding(void **state)
{
	struct net_addr out[RUN_RESOLVE_ADDRS];
	uint8_t data[17 * (RUN_RESOLVE_ADDRS + 1)] = { 0 }, name[] = "a\0b", answer[256];
	size_t len = 0;

	(void)state;
	for (size_t i = 0; i <= RUN_RESOLVE_ADDRS; i++)
		data[17 * i] = i % 2 ? 6 : 4;
	assert_int_equal(run_resolve_decode(out, data, sizeof(data)), RUN_RESOLVE_ADDRS);
	data[0] = 5;
	assert_int_equal(run_resolve_decode(out, data, 34), 1);
	assert_int_equal(run_resolve_decode(out, data, 33), 0);
	assert_int_equal(run_resolve_decode(out, data, 0), 0);
	assert_int_equal(run_resolve_job(name, 3, answer, &len), ST_ENOENT);
}

/* ---- what a job is ---- */

static void identity(void **state)
{
	struct world *w = *state;
	struct result r = { 0 };

	job_run(w, &r, KIND_WHO, "", 0, LONG_MS);
	assert_int_equal(r.err, 0);
	const char *text = (const char *)r.data;
	if (getuid() == 0)
		assert_ptr_equal(
			strstr(text, "uid 65534 65534 65534 gid 65534 65534 groups 4242 65534\n"),
			text);
	assert_non_null(strstr(text, "CapInh:\t0000000000000000\n"));
	assert_non_null(strstr(text, "CapPrm:\t0000000000000000\n"));
	assert_non_null(strstr(text, "CapEff:\t0000000000000000\n"));
	if (getuid() == 0)
		assert_non_null(strstr(text, "CapBnd:\t0000000000000000\n"));
	assert_non_null(strstr(text, "CapAmb:\t0000000000000000\n"));
	assert_non_null(strstr(text, "NoNewPrivs:\t1\n"));
	assert_non_null(strstr(text, "SigBlk:\t0000000000000000\n"));
	assert_non_null(strstr(text, "SigIgn:\t0000000000000000\n"));
	result_fini(&r);
	assert_int_equal(getsid(w->pid), w->pid);
}

static void identity_root(void **state)
{
	struct world w = { 0 };
	struct result r = { 0 };

	(void)state;
	if (getuid() != 0)
		skip();
	assert_int_equal(fork_as(&w, 0, NULL), 0);
	job_run(&w, &r, KIND_WHO, "", 0, LONG_MS);
	assert_non_null(strstr((const char *)r.data, "uid 0 0 0"));
	assert_non_null(strstr((const char *)r.data, "CapEff:\t0000000000000000\n"));
	assert_non_null(strstr((const char *)r.data, "CapPrm:\t0000000000000000\n"));
	result_fini(&r);
	run_free(w.runner);
	assert_runner_ended(&w, false);
	loop_free(w.loop);
	close(w.fifo_fd);
}

static void identity_out_of_reach(void **state)
{
	pid_t child = fork();
	int status;

	(void)state;
	if (child == 0) {
		const struct run_identity id = { .uid = 1, .gid = 1 };
		int fd, pid;

		log_to_fd(open("/dev/null", O_WRONLY | O_CLOEXEC));
		if (getuid() == 0 && (setresgid(NOBODY, NOBODY, NOBODY) < 0 ||
				      setresuid(NOBODY, NOBODY, NOBODY) < 0))
			_exit(2);
		_exit(run_fork(&fd, &pid, &id, kinds, KIND_N) == ST_ESYS ? 0 : 1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

static void environment(void **state)
{
	struct world *w = *state;
	struct result r = { 0 };

	job_run(w, &r, KIND_ENV, "", 0, LONG_MS);
	assert_string_equal((char *)r.data,
			    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n"
			    "HOME=/nowhere\nSHELL=/bin/sh\nUSER=somebody\nLOGNAME=somebody\n"
			    "AWS_PROFILE=prod\nSSH_AUTH_SOCK=/a=b\n");
	result_fini(&r);
}

static void descriptors(void **state)
{
	struct world *w = *state;
	struct result r = { 0 };

	job_run(w, &r, KIND_FDS, "", 0, LONG_MS);
	assert_int_equal(r.len, 4);
	assert_memory_equal(r.data, "\0\1\2", 3);
	result_fini(&r);
}

static void log_is_handed_over(void **state)
{
	struct world *w = *state;
	struct result r = { 0 };
	int log_pipe[2];
	char text[256];
	ssize_t n;

	assert_int_equal(pipe2(log_pipe, O_CLOEXEC), 0);
	assert_int_equal(run_note_log(w->runner, log_pipe[1]), 0);
	close(log_pipe[1]);
	job_run(w, &r, KIND_CRASH, "", 0, LONG_MS);
	n = read(log_pipe[0], text, sizeof(text) - 1);
	assert_true(n > 0);
	text[n] = '\0';
	assert_non_null(strstr(text, "job crash was killed by signal 6"));
	job_run(w, &r, KIND_FDS, "", 0, LONG_MS);
	assert_int_equal(r.len, 4);
	/* The runner holds it as its stderr alone: its end is the pipe's end. */
	run_free(w->runner);
	w->runner = NULL;
	assert_runner_ended(w, false);
	assert_int_equal(read(log_pipe[0], text, sizeof(text)), 0);
	close(log_pipe[0]);
	result_fini(&r);
}

static int group_setup(void **state)
{
	(void)state;
	/* What jobs must not see. */
	setenv("SECRET_OF_THE_DAEMON", "x", 1);
	signal(SIGUSR1, SIG_IGN);
	sigset_t blocked;
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGHUP);
	sigprocmask(SIG_BLOCK, &blocked, NULL);
	if (open("/dev/null", O_RDONLY) < 0 || fcntl(0, F_DUPFD, 700) < 0)
		return -1;
	if (!mkdtemp(dir) || chmod(dir, 0755) < 0)
		return -1;
	snprintf(fifo, sizeof(fifo), "%s/fifo", dir);
	return mkfifo(fifo, 0600) == 0 && chmod(fifo, 0666) == 0 ? 0 : -1;
}

static int group_teardown(void **state)
{
	(void)state;
	unlink(fifo);
	return rmdir(dir);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(answers),
		TEST(many_large_jobs),
		TEST(misbehaving_jobs),
		TEST(hanging_job_is_killed),
		TEST(cancelled_job_is_killed),
		TEST(limits),
		TEST(waiting_job_times_out),
		TEST(runner_stopped),
		TEST(runner_killed),
		TEST(jobs_die_with_the_runner),
		TEST(callback_frees_the_runner),
		TEST(closed_callback_frees_the_runner),
		TEST(names),
		TEST(literal_addresses),
		cmocka_unit_test(resolve_decoding),
		TEST(identity),
		cmocka_unit_test(identity_root),
		cmocka_unit_test(identity_out_of_reach),
		TEST(environment),
		TEST(descriptors),
		TEST(log_is_handed_over),
	};

	return cmocka_run_group_tests_name("runner", tests, group_setup, group_teardown);
}
