// SPDX-License-Identifier: MIT
/*
 * run_process.c - the runner process: takes requests, keeps RUN_PARALLEL children busy, kills the late ones
 *
 * Theory of operation: a job waits, runs, then dies. A job that is cancelled or past its deadline is answered (or not)
 * at once and its child killed; its struct stays until the child has ended, outside of all counts. Answers are
 * sent blocking: a daemon that does not read them delays nobody but itself.
 */
#include "runner/runner_internal.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/codec.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/list.h"
#include "base/log.h"
#include "base/util.h"

#define PACKET_MAX (sizeof(struct run_request) + RUN_DATA_MAX)
#define SOCKET_BYTES (2 * RUN_DATA_MAX) /* ours: two of the largest packets */
#define HELLO_MS 5000			/* ours: a fork that takes longer has failed */

/*
 * WAITING: has its input, no child. RUNNING: has a child, no input. DYING: nobody waits for it, its child has
 * been killed and is yet to be reaped.
 */
enum job_state { JOB_WAITING, JOB_RUNNING, JOB_DYING };

struct job {
	struct list_node node; /* in serve.jobs, oldest first */
	struct serve *serve;
	enum job_state state;
	uint64_t id;
	uint32_t kind;
	uint8_t *in;
	size_t in_len;
	struct buf out;
	struct run_child child;
	loop_watch child_watch, out_watch;
	struct loop_timer deadline;
};

struct serve {
	struct loop *loop;
	loop_watch watch;
	int fd;
	const struct run_kind *kinds;
	size_t n_kinds;
	struct list jobs;
	uint32_t live, running; /* live: waiting or running */
	uint8_t packet[PACKET_MAX];
};

static bool send_answer(int fd, uint64_t id, int err, const uint8_t *data, size_t len)
{
	struct run_answer hdr = { .id = id, .err = err, .len = (uint32_t)len };
	struct iovec iov[2] = { { .iov_base = &hdr, .iov_len = sizeof(hdr) } };
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2 };
	ssize_t n;

	iov[1] = (struct iovec){ .iov_base = (void *)data, .iov_len = len }; /* is only read */
	do
		n = sendmsg(fd, &msg, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n < 0 && errno != EPIPE && errno != ECONNRESET)
		log_sys("runner: send an answer of %zu bytes", len);
	return n >= 0;
}

static void forget_input(struct job *job)
{
	if (job->in) {
		codec_wipe(job->in, job->in_len);
		free(job->in);
	}
	job->in = NULL;
}

static void set_state(struct job *job, enum job_state state)
{
	struct serve *s = job->serve;

	s->live -= job->state != JOB_DYING && state == JOB_DYING;
	s->running -= job->state == JOB_RUNNING && state != JOB_RUNNING;
	s->running += job->state != JOB_RUNNING && state == JOB_RUNNING;
	job->state = state;
}

static void job_free(struct job *job)
{
	struct serve *s = job->serve;

	set_state(job, JOB_DYING);
	loop_timer_cancel(s->loop, &job->deadline);
	loop_fd_del(s->loop, &job->child_watch);
	loop_fd_del(s->loop, &job->out_watch);
	list_del(&job->node);
	forget_input(job);
	buf_wipe(&job->out);
	free(job);
}

static void start_waiting(struct serve *s);

/* Nobody wants the answer any more. */
static void job_drop(struct job *job)
{
	if (job->state == JOB_WAITING) {
		job_free(job);
		return;
	}
	set_state(job, JOB_DYING);
	loop_timer_cancel(job->serve->loop, &job->deadline);
	loop_fd_del(job->serve->loop, &job->out_watch);
	run_child_kill(&job->child);
}

static void on_deadline(void *arg, uint64_t now_ms)
{
	struct job *job = arg;
	struct serve *s = job->serve;

	(void)now_ms;
	log_debug("runner: job %s did not end in time", s->kinds[job->kind].name);
	send_answer(s->fd, job->id, ST_ETIMEOUT, NULL, 0);
	job_drop(job);
	start_waiting(s);
}

static void read_output(struct job *job)
{
	uint8_t *to;
	ssize_t n;

	do {
		size_t piece = MIN(buf_room(&job->out), KIB(64));

		if (piece == 0 || buf_reserve(&job->out, piece, &to) < 0)
			return;
		n = read(job->child.out_fd, to, piece);
		if (n > 0)
			buf_commit(&job->out, (size_t)n);
	} while (n > 0 || (n < 0 && errno == EINTR));
	if (n == 0) /* its end alone means nothing: the child's end counts */
		loop_fd_del(job->serve->loop, &job->out_watch);
}

static void on_output(void *arg, uint32_t events, uint64_t now_ms)
{
	(void)events;
	(void)now_ms;
	read_output(arg);
}

static void answer_job(const struct job *job, int status)
{
	const char *name = job->serve->kinds[job->kind].name;
	struct run_answer hdr = { 0 };

	if (job->out.len >= sizeof(hdr))
		memcpy(&hdr, buf_data(&job->out), sizeof(hdr));
	if (job->out.len >= sizeof(hdr) && job->out.len - sizeof(hdr) == hdr.len) {
		send_answer(job->serve->fd, job->id, hdr.err, buf_data(&job->out) + sizeof(hdr),
			    hdr.len);
		return;
	}
	if (WIFSIGNALED(status))
		log_warn("runner: job %s was killed by signal %d (%s)", name, WTERMSIG(status),
			 strsignal(WTERMSIG(status)));
	else
		log_warn("runner: job %s ended without an answer, exit status %d", name,
			 WEXITSTATUS(status));
	send_answer(job->serve->fd, job->id, ST_ESYS, NULL, 0);
}

static void on_child_end(void *arg, uint32_t events, uint64_t now_ms)
{
	struct job *job = arg;
	struct serve *s = job->serve;
	int status;

	(void)events;
	(void)now_ms;
	if (job->state == JOB_RUNNING)
		read_output(job);
	/* Before the descriptors are closed. */
	loop_fd_del(s->loop, &job->child_watch);
	loop_fd_del(s->loop, &job->out_watch);
	status = run_child_reap(&job->child);
	if (job->state == JOB_RUNNING)
		answer_job(job, status);
	job_free(job);
	start_waiting(s);
}

static int job_start(struct job *job)
{
	struct serve *s = job->serve;
	int r = run_child_start(&job->child, s->kinds[job->kind].fn, job->in, job->in_len);

	forget_input(job);
	if (r < 0)
		return r;
	set_state(job, JOB_RUNNING);
	r = loop_fd_add(s->loop, &job->child_watch, job->child.pidfd, EPOLLIN, on_child_end, job);
	if (r == 0)
		r = loop_fd_add(s->loop, &job->out_watch, job->child.out_fd, EPOLLIN, on_output,
				job);
	if (r < 0) {
		run_child_kill(&job->child);
		loop_fd_del(s->loop, &job->child_watch);
		run_child_reap(&job->child);
	}
	return r;
}

static void start_waiting(struct serve *s)
{
	/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): job_free() takes a job out of the list first */
	list_for_each (it, &s->jobs) {
		struct job *job = container_of(it, struct job, node);

		if (s->running >= RUN_PARALLEL)
			return;
		if (job->state == JOB_WAITING && job_start(job) < 0) {
			send_answer(s->fd, job->id, ST_ESYS, NULL, 0);
			job_free(job);
		}
	}
}

static int job_new(struct serve *s, const struct run_request *req, const uint8_t *data)
{
	struct job *job;
	int r = ST_ENOMEM;

	if (req->kind >= s->n_kinds || !s->kinds[req->kind].fn)
		return ST_EINVAL;
	if (s->live >= RUN_JOBS_MAX)
		return ST_EFULL;
	if (!(job = calloc(1, sizeof(*job))))
		return ST_ENOMEM;
	*job = (struct job){ .serve = s, .id = req->id, .kind = req->kind, .in_len = req->len };
	loop_timer_init(&job->deadline, on_deadline, job);
	buf_init_secret(&job->out, sizeof(struct run_answer) + RUN_DATA_MAX);
	if (!(job->in = malloc(req->len + 1U)))
		goto fail;
	memcpy(job->in, data, req->len);
	r = loop_timer_set(s->loop, &job->deadline, loop_now_ms(s->loop) + req->timeout_ms);
	if (r < 0)
		goto fail;
	s->live++;
	list_push_back(&s->jobs, &job->node);
	start_waiting(s);
	return 0;
fail:
	forget_input(job);
	free(job);
	return r;
}

static void job_cancel(struct serve *s, uint64_t id)
{
	list_for_each (it, &s->jobs) {
		struct job *job = container_of(it, struct job, node);

		if (job->id == id && job->state != JOB_DYING) {
			job_drop(job);
			start_waiting(s);
			return;
		}
	}
}

/* @passed: the descriptor that came along, or -1; still the caller's */
static void take_packet(struct serve *s, size_t len, int passed)
{
	struct run_request req;
	int r;

	if (len < sizeof(req))
		return;
	memcpy(&req, s->packet, sizeof(req));
	if (len - sizeof(req) != req.len)
		return;
	if (req.op == RUN_OP_LOG && passed >= 0)
		dup2(passed, STDERR_FILENO);
	else if (req.op == RUN_OP_CANCEL)
		job_cancel(s, req.id);
	else if (req.op == RUN_OP_START && (r = job_new(s, &req, s->packet + sizeof(req))) < 0)
		send_answer(s->fd, req.id, r, NULL, 0);
	codec_wipe(s->packet, len);
}

static void on_request(void *arg, uint32_t events, uint64_t now_ms)
{
	struct serve *s = arg;
	union fd_room control;
	struct iovec iov = { .iov_base = s->packet, .iov_len = sizeof(s->packet) };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = &control,
			      .msg_controllen = sizeof(control) };
	ssize_t n = recvmsg(s->fd, &msg, MSG_DONTWAIT | MSG_TRUNC | MSG_CMSG_CLOEXEC);
	int passed;

	(void)events;
	(void)now_ms;
	if (n < 0) {
		if (errno != EAGAIN && errno != EINTR)
			loop_stop(s->loop);
		return;
	}
	passed = fd_passed(&msg);
	if (n > 0 && (size_t)n <= sizeof(s->packet))
		take_packet(s, (size_t)n, passed);
	else if (n == 0 && fd_hung_up(s->fd))
		loop_stop(s->loop);
	if (passed >= 0)
		close(passed);
}

int run_serve(int fd, const struct run_kind *kinds, size_t n)
{
	struct serve *s = calloc(1, sizeof(*s));

	if (!s || loop_new(&s->loop) < 0)
		return 1;
	s->fd = fd;
	s->kinds = kinds;
	s->n_kinds = n;
	list_init(&s->jobs);
	if (loop_fd_add(s->loop, &s->watch, fd, EPOLLIN, on_request, s) < 0)
		return 1;
	if (!send_answer(fd, 0, 0, NULL, 0))
		return 1;
	loop_run(s->loop);
	list_for_each (it, &s->jobs) {
		struct job *job = container_of(it, struct job, node);

		if (job->state != JOB_WAITING)
			run_child_kill(&job->child);
	}
	return 0;
}

static int runner_main(int fd, const struct run_identity *id, const struct run_kind *kinds,
		       size_t n)
{
	struct run_kind own[RUN_KINDS_MAX];
	int r;

	memcpy(own, kinds, n * sizeof(*kinds));
	own[RUN_KIND_RESOLVE] = (struct run_kind){ "resolve", run_resolve_job };
	run_detach(fd);
	signal(SIGPIPE,
	       SIG_IGN); /* stderr may be a pipe that nobody reads; jobs get the default back */
	setsid();
	prctl(PR_SET_NAME, "ssm-tun-runner");
	if ((r = run_identity_take(id)) < 0) {
		send_answer(fd, 0, r, NULL, 0);
		return 1;
	}
	return run_serve(fd, own, MAX(n, RUN_KIND_RESOLVE + 1));
}

/* The runner's first word: a runner that could not drop root must not be believed in. */
static int await_hello(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	struct run_answer hello;
	int n;

	do
		n = poll(&p, 1, HELLO_MS);
	while (n < 0 && errno == EINTR);
	if (n != 1 || recv(fd, &hello, sizeof(hello), MSG_DONTWAIT) != (ssize_t)sizeof(hello) ||
	    hello.id != 0 || hello.err != 0) {
		log_error("runner: it did not start");
		return ST_ESYS;
	}
	return 0;
}

static void widen(int fd)
{
	int want = (int)SOCKET_BYTES;

	if (setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &want, sizeof(want)) < 0)
		log_warn("runner: enlarge the socket's buffer: %s", strerror(errno));
}

int run_fork(int *fd, int *pid, const struct run_identity *id, const struct run_kind *kinds,
	     size_t n)
{
	int pair[2], r = 0;
	pid_t child;

	ST_ASSERT(n <= RUN_KINDS_MAX && (n == 0 || !kinds[RUN_KIND_RESOLVE].name));
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return log_sys("runner: make a socket pair");
	widen(pair[0]);
	widen(pair[1]);
	child = fork();
	if (child == 0)
		_exit(runner_main(pair[1], id, kinds, n));
	close(pair[1]);
	if (child < 0)
		r = log_sys("runner: fork");
	else if ((r = await_hello(pair[0])) < 0) {
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
	}
	if (r < 0) {
		close(pair[0]);
		return ST_ESYS;
	}
	*fd = pair[0];
	*pid = child;
	return 0;
}
