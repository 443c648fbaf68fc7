// SPDX-License-Identifier: MIT
/*
 * runner.c - the daemon's side: jobs go out, answers come back on the loop
 *
 * Theory of operation: a job is named by its handle, which is the id on the wire too, so an answer to a job that was
 * cancelled finds nothing. What the socket does not take waits in a list; it holds at most the packets of
 * RUN_JOBS_MAX jobs, and one small cancellation for each that the socket took before. Every job has a timer that is
 * armed from start to end: a little behind the runner's own deadline, should the runner itself hang, or now,
 * when the answer is known without it (literal addresses, a runner that died).
 *
 * A callback may cancel jobs and free the runner: it is always the last thing that an event does.
 */
#include "runner/runner.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/codec.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/list.h"
#include "base/log.h"
#include "base/util.h"
#include "runner/runner_internal.h"

#define GRACE_MS 1000U /* ours: how much later than the runner we give up on a job */

/* A packet that waits for room in the socket. */
struct packet {
	struct list_node node;
	struct job *job; /* whose start it is; NULL for a cancellation */
	size_t len;
	uint8_t data[];
};

struct job {
	struct runner *runner;
	run_job id;
	struct packet *unsent;
	struct loop_timer timer;
	int verdict; /* what the timer delivers */
	bool is_literal;
	struct net_addr literal;
	run_done_fn *done;
	run_resolved_fn *resolved; /* one of the two */
	void *arg;
};

struct runner {
	struct loop *loop;
	loop_watch watch;
	int fd;
	bool closed;
	struct hnd_table jobs;
	struct list unsent;
};

static void packet_free(struct packet *p)
{
	list_del(&p->node);
	if (p->job)
		p->job->unsent = NULL;
	codec_wipe(p->data, p->len);
	free(p);
}

static void job_free(struct job *job)
{
	hnd_del(&job->runner->jobs, job->id);
	loop_timer_cancel(job->runner->loop, &job->timer);
	if (job->unsent)
		packet_free(job->unsent);
	free(job);
}

/* Ends @job with a callback, after which neither it nor the runner may be touched. */
static void job_finish(struct job *job, int err, const uint8_t *out, size_t len)
{
	struct net_addr addrs[RUN_RESOLVE_ADDRS];
	struct job copy = *job;
	char text[256] = "";
	size_t n = 0;

	job_free(job);
	if (copy.done) {
		copy.done(copy.arg, err, out, len);
		return;
	}
	if (copy.is_literal && err == 0) {
		addrs[n++] = copy.literal;
	} else if (err == 0) {
		n = run_resolve_decode(addrs, out, len);
		err = n > 0 ? 0 : ST_EFORMAT;
	} else if (len > 0) {
		memcpy(text, out, MIN(len, sizeof(text) - 1));
	}
	copy.resolved(copy.arg, err, addrs, n, text[0] ? text : st_strerror(err));
}

/* Every job ends from its own timer, so that no callback runs inside of a call or of another's event. */
static void close_runner(struct runner *r)
{
	uint32_t pos = 0;
	struct job *job;

	if (r->closed)
		return;
	r->closed = true;
	loop_fd_del(r->loop, &r->watch);
	while ((job = hnd_next(&r->jobs, &pos))) {
		if (!job->is_literal)
			job->verdict = ST_ECLOSED;
		/* It is armed already: this needs no memory and can't fail. */
		ST_ASSERT(loop_timer_set(r->loop, &job->timer, loop_now_ms(r->loop)) == 0);
	}
}

/* Return: 0; ST_EAGAIN; ST_ECLOSED; ST_ESYS (logged) */
static int send_packet(struct runner *r, const struct packet *p)
{
	if (send(r->fd, p->data, p->len, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0)
		return 0;
	if (errno == EAGAIN || errno == EINTR || errno == ENOBUFS || errno == ENOMEM)
		return ST_EAGAIN;
	if (errno == EPIPE || errno == ECONNRESET)
		return ST_ECLOSED;
	return log_sys("runner: send a request of %zu bytes", p->len);
}

static void watch_for(struct runner *r)
{
	uint32_t events = EPOLLIN | (list_empty(&r->unsent) ? 0 : (uint32_t)EPOLLOUT);

	if (!r->closed)
		loop_fd_mod(r->loop, r->watch, events);
}

/* Takes @p. Return: 0 (sent or waiting); ST_ECLOSED; ST_ESYS */
static int put_packet(struct runner *r, struct packet *p)
{
	int err = list_empty(&r->unsent) ? send_packet(r, p) : ST_EAGAIN;

	if (err == ST_EAGAIN) {
		list_push_back(&r->unsent, &p->node);
		if (p->job)
			p->job->unsent = p;
		watch_for(r);
		return 0;
	}
	packet_free(p);
	if (err == ST_ECLOSED)
		close_runner(r);
	return err;
}

static void send_waiting(struct runner *r)
{
	int err = 0;

	while (!list_empty(&r->unsent) && err != ST_EAGAIN) {
		struct packet *p = container_of(r->unsent.head.next, struct packet, node);

		/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): packet_free() takes a packet out of the list first */
		err = send_packet(r, p);
		if (err == ST_EAGAIN)
			break;
		if (err == ST_ESYS && p->job) {
			p->job->verdict = ST_ESYS;
			ST_ASSERT(loop_timer_set(r->loop, &p->job->timer, loop_now_ms(r->loop)) ==
				  0);
		}
		packet_free(p);
		if (err == ST_ECLOSED) {
			close_runner(r);
			return;
		}
	}
	watch_for(r);
}

static void take_answer(struct runner *r, uint8_t *data, size_t len)
{
	struct run_answer hdr;
	struct job *job;

	if (len < sizeof(hdr))
		return;
	memcpy(&hdr, data, sizeof(hdr));
	if (len - sizeof(hdr) != hdr.len || hdr.err > 0) {
		log_error("runner: an answer whose lengths disagree");
		return;
	}
	if ((job = hnd_get(&r->jobs, hdr.id)) && !job->is_literal)
		job_finish(job, hdr.err, data + sizeof(hdr), hdr.len);
}

/* One answer an event: the socket is watched level-triggered. */
static void on_socket(void *arg, uint32_t events, uint64_t now_ms)
{
	const size_t cap = sizeof(struct run_answer) + RUN_DATA_MAX;
	struct runner *r = arg;
	uint8_t *data;
	ssize_t n;

	(void)now_ms;
	if (events & EPOLLOUT)
		send_waiting(r);
	if (r->closed || !(events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
		return;
	if (!(data = malloc(cap)))
		return; /* the event comes again */
	n = recv(r->fd, data, cap, MSG_DONTWAIT | MSG_TRUNC);
	if (n > 0 && (size_t)n <= cap) {
		take_answer(r, data, (size_t)n);
		codec_wipe(data, (size_t)n); /* it may have been a credential */
	} else if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
		log_warn("runner: its process has gone");
		close_runner(r);
	}
	free(data);
}

static void send_cancel(struct runner *r, run_job id)
{
	const struct run_request req = { .id = id, .op = RUN_OP_CANCEL };
	struct packet *p = malloc(sizeof(*p) + sizeof(req));

	if (!p) /* the runner's deadline does it later */
		return;
	*p = (struct packet){ .len = sizeof(req) };
	list_node_init(&p->node);
	memcpy(p->data, &req, sizeof(req));
	put_packet(r, p);
}

static void on_timer(void *arg, uint64_t now_ms)
{
	struct job *job = arg;

	(void)now_ms;
	if (job->verdict == ST_ETIMEOUT && !job->unsent && !job->runner->closed) {
		log_warn("runner: no answer in time");
		send_cancel(job->runner, job->id);
	}
	job_finish(job, job->verdict, NULL, 0);
}

int run_new(struct runner **out, struct loop *loop, int fd)
{
	struct runner *r = calloc(1, sizeof(*r));
	int err;

	if (!r)
		return ST_ENOMEM;
	r->loop = loop;
	r->fd = fd;
	list_init(&r->unsent);
	hnd_init(&r->jobs, RUN_JOBS_MAX);
	if ((err = loop_fd_add(loop, &r->watch, fd, EPOLLIN, on_socket, r)) < 0) {
		hnd_fini(&r->jobs);
		close(fd);
		free(r);
		return err;
	}
	*out = r;
	return 0;
}

void run_free(struct runner *r)
{
	uint32_t pos = 0;
	struct job *job;

	if (!r)
		return;
	while ((job = hnd_next(&r->jobs, &pos)))
		job_free(job);
	list_for_each (it, &r->unsent)
		packet_free(container_of(it, struct packet, node));
	loop_fd_del(r->loop, &r->watch);
	close(r->fd);
	hnd_fini(&r->jobs);
	free(r);
}

/* A job in the table with its timer armed for @wait_ms from now, not yet sent. */
static int job_new(struct runner *r, struct job **out, uint64_t wait_ms, void *arg)
{
	struct job *job;
	int err;

	if (r->closed)
		return ST_ECLOSED;
	if (!(job = calloc(1, sizeof(*job))))
		return ST_ENOMEM;
	*job = (struct job){ .runner = r, .arg = arg, .verdict = ST_ETIMEOUT };
	loop_timer_init(&job->timer, on_timer, job);
	if ((err = hnd_add(&r->jobs, job, &job->id)) < 0) {
		free(job);
		return err;
	}
	if ((err = loop_timer_set(r->loop, &job->timer, loop_now_ms(r->loop) + wait_ms)) < 0) {
		job_free(job);
		return err;
	}
	*out = job;
	return 0;
}

static int job_send(struct job *job, uint32_t kind, const void *in, size_t len, uint32_t timeout_ms)
{
	const struct run_request req = { .id = job->id,
					 .op = RUN_OP_START,
					 .kind = kind,
					 .timeout_ms = timeout_ms,
					 .len = (uint32_t)len };
	struct packet *p = malloc(sizeof(*p) + sizeof(req) + len);

	if (!p)
		return ST_ENOMEM;
	*p = (struct packet){ .job = job, .len = sizeof(req) + len };
	list_node_init(&p->node);
	memcpy(p->data, &req, sizeof(req));
	if (len > 0)
		memcpy(p->data + sizeof(req), in, len);
	return put_packet(job->runner, p);
}

static int start(struct runner *r, run_job *out, uint32_t kind, const void *in, size_t len,
		 uint32_t timeout_ms, const struct job *callbacks)
{
	struct job *job;
	int err;

	if (len > RUN_DATA_MAX || kind >= RUN_KINDS_MAX)
		return ST_EINVAL;
	if ((err = job_new(r, &job, (uint64_t)timeout_ms + GRACE_MS, callbacks->arg)) < 0)
		return err;
	job->done = callbacks->done;
	job->resolved = callbacks->resolved;
	if ((err = job_send(job, kind, in, len, timeout_ms)) < 0) {
		job_free(job);
		return err;
	}
	*out = job->id;
	return 0;
}

int run_start(struct runner *r, run_job *out, uint32_t kind, const void *in, size_t len,
	      uint32_t timeout_ms, run_done_fn *done, void *arg)
{
	const struct job callbacks = { .done = done, .arg = arg };

	return start(r, out, kind, in, len, timeout_ms, &callbacks);
}

void run_cancel(struct runner *r, run_job id)
{
	struct job *job = hnd_get(&r->jobs, id);

	if (!job)
		return;
	if (!job->unsent && !job->is_literal && !r->closed)
		send_cancel(r, id);
	job_free(job);
}

int run_note_log(struct runner *r, int log_fd)
{
	struct run_request req = { .op = RUN_OP_LOG };
	struct iovec iov = { .iov_base = &req, .iov_len = sizeof(req) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	union fd_room room;

	if (r->closed)
		return ST_ECLOSED;
	if (!list_empty(&r->unsent))
		return ST_EAGAIN;
	fd_pass(&msg, &room, log_fd);
	if (sendmsg(r->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0)
		return 0;
	return errno == EAGAIN ? ST_EAGAIN : log_sys("runner: hand the log over");
}

int run_resolve(struct runner *r, run_job *out, const char *host, uint32_t timeout_ms,
		run_resolved_fn *done, void *arg)
{
	const struct job callbacks = { .resolved = done, .arg = arg };
	struct net_addr literal;
	struct job *job;
	int err;

	if (net_addr_parse(&literal, host) < 0)
		return start(r, out, RUN_KIND_RESOLVE, host, strlen(host), timeout_ms, &callbacks);
	if ((err = job_new(r, &job, 0, arg)) < 0)
		return err;
	job->resolved = done;
	job->is_literal = true;
	job->literal = literal;
	job->verdict = 0;
	*out = job->id;
	return 0;
}
