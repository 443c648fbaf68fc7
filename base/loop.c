// SPDX-License-Identifier: MIT
/*
 * loop.c - one thread, one epoll, one clock
 *
 * Theory of operation: a watch is an object behind a handle, and the handle is what epoll carries. An
 * event whose watch was removed earlier in the turn finds nothing and is dropped, also if the
 * descriptor's number or the watch's slot was taken again meanwhile.
 *
 * Timers are a binary heap ordered by time, then by order of arming. A timer that is armed while
 * timers run waits for the next turn, so one that rearms itself for the past can't hold the turn.
 *
 * Tasks wait in two lists a phase: those for this turn, and those that ran in it already.
 *
 * The wait: none if a task waits; for ever if there is no timer. epoll_wait() counts its time-out on a
 * clock that stands still while the machine sleeps, so a wait of LONG_WAIT_MS or more is made by a
 * timerfd on CLOCK_BOOTTIME in its place: after a suspend of an hour the timer runs at once, not an
 * hour late. A short wait is not worth the system call.
 */
#include "base/loop.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "base/handle.h"
#include "base/log.h"
#include "base/util.h"

#define EVENT_BATCH 64	   /* events a turn, ours */
#define LONG_WAIT_MS 1000U /* ours */
#define WAKE_WATCH 0U  /* epoll data of the timerfd: no watch, so its events only end the wait */
#define TIMERS_MIN 64U /* ours */
#define PHASE_N (LOOP_REAP + 1)

struct watch {
	int fd;
	uint32_t events;
	loop_fd_fn *fn;
	void *arg;
};

struct loop {
	int epoll_fd;
	int wake_fd;
	uint64_t wake_at_ms; /* what wake_fd is armed for; 0: not armed */
	struct hnd_table watches;
	struct loop_timer **heap;
	size_t heap_len, heap_cap;
	uint64_t timer_seq;
	struct list tasks[PHASE_N];
	struct list tasks_later[PHASE_N];
	uint64_t now_us;
	uint64_t turns;
	uint64_t longest_us;
	bool stop;
};

static uint64_t clock_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000000U + (uint64_t)ts.tv_nsec / 1000U;
}

int loop_new(struct loop **out)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLET, .data.u64 = WAKE_WATCH };
	struct loop *loop = calloc(1, sizeof(*loop));

	if (!loop)
		return ST_ENOMEM;
	hnd_init(&loop->watches, LOOP_WATCH_MAX);
	for (size_t i = 0; i < PHASE_N; i++) {
		list_init(&loop->tasks[i]);
		list_init(&loop->tasks_later[i]);
	}
	loop->now_us = clock_us();
	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	loop->wake_fd = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
	if (loop->epoll_fd < 0 || loop->wake_fd < 0 ||
	    epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, loop->wake_fd, &ev) < 0) {
		int r = log_sys("event loop: epoll");

		loop_free(loop);
		return r;
	}
	*out = loop;
	return 0;
}

void loop_free(struct loop *loop)
{
	struct watch *w;
	uint32_t pos = 0;

	if (!loop)
		return;
	while ((w = hnd_next(&loop->watches, &pos)))
		free(w);
	hnd_fini(&loop->watches);
	free(loop->heap);
	if (loop->wake_fd >= 0)
		close(loop->wake_fd);
	if (loop->epoll_fd >= 0)
		close(loop->epoll_fd);
	free(loop);
}

uint64_t loop_now_ms(const struct loop *loop)
{
	return loop->now_us / 1000U;
}

uint64_t loop_now_us(const struct loop *loop)
{
	return loop->now_us;
}

uint64_t loop_turns(const struct loop *loop)
{
	return loop->turns;
}

uint64_t loop_longest_us(const struct loop *loop)
{
	return loop->longest_us;
}

/* Watches */

int loop_fd_add(struct loop *loop, loop_watch *out, int fd, uint32_t events, loop_fd_fn *fn,
		void *arg)
{
	struct epoll_event ev = { .events = events };
	struct watch *w = malloc(sizeof(*w));
	loop_watch id;
	int r;

	if (!w)
		return ST_ENOMEM;
	*w = (struct watch){ .fd = fd, .events = events, .fn = fn, .arg = arg };
	if ((r = hnd_add(&loop->watches, w, &id)) < 0)
		goto fail_watch;
	ev.data.u64 = id;
	if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0) {
		r = log_sys("event loop: watch descriptor %d", fd);
		goto fail_id;
	}
	*out = id;
	return 0;
fail_id:
	hnd_del(&loop->watches, id);
fail_watch:
	free(w);
	return r;
}

int loop_fd_mod(struct loop *loop, loop_watch watch, uint32_t events)
{
	struct watch *w = hnd_get(&loop->watches, watch);
	struct epoll_event ev = { .events = events, .data.u64 = watch };

	if (!w)
		return ST_ENOENT;
	/* With these two, setting the same events again has a meaning: it arms the watch anew. */
	if (w->events == events && !(events & (EPOLLET | EPOLLONESHOT)))
		return 0;
	if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_MOD, w->fd, &ev) < 0)
		return log_sys("event loop: change watch of descriptor %d", w->fd);
	w->events = events;
	return 0;
}

static void watch_end(struct loop *loop, loop_watch *watch, bool may_be_closed)
{
	struct watch *w = hnd_del(&loop->watches, *watch);

	*watch = 0;
	if (!w)
		return;
	if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, w->fd, NULL) < 0 && !may_be_closed)
		log_sys("event loop: descriptor %d was closed before its watch", w->fd);
	free(w);
}

void loop_fd_del(struct loop *loop, loop_watch *watch)
{
	watch_end(loop, watch, false);
}

void loop_fd_forget(struct loop *loop, loop_watch *watch)
{
	watch_end(loop, watch, true);
}

static void dispatch(struct loop *loop, const struct epoll_event *events, int n)
{
	for (int i = 0; i < n; i++) {
		struct watch *w = hnd_get(&loop->watches, events[i].data.u64);

		if (w)
			w->fn(w->arg, events[i].events, loop_now_ms(loop));
	}
}

/* Timers: heap[i]'s children are at 2i + 1 and 2i + 2 */

static bool runs_before(const struct loop_timer *a, const struct loop_timer *b)
{
	return a->at_ms != b->at_ms ? a->at_ms < b->at_ms : a->seq < b->seq;
}

static void heap_place(struct loop *loop, size_t i, struct loop_timer *timer)
{
	loop->heap[i] = timer;
	timer->pos = i + 1;
}

static void heap_up(struct loop *loop, size_t i, struct loop_timer *timer)
{
	while (i > 0 && runs_before(timer, loop->heap[(i - 1) / 2])) {
		heap_place(loop, i, loop->heap[(i - 1) / 2]);
		i = (i - 1) / 2;
	}
	heap_place(loop, i, timer);
}

static void heap_down(struct loop *loop, size_t i, struct loop_timer *timer)
{
	for (;;) {
		size_t child = 2 * i + 1;

		if (child + 1 < loop->heap_len &&
		    runs_before(loop->heap[child + 1], loop->heap[child]))
			child++;
		if (child >= loop->heap_len || !runs_before(loop->heap[child], timer))
			break;
		heap_place(loop, i, loop->heap[child]);
		i = child;
	}
	heap_place(loop, i, timer);
}

/* Puts @timer, whose key is new, where it belongs, starting at @i */
static void heap_settle(struct loop *loop, size_t i, struct loop_timer *timer)
{
	if (i > 0 && runs_before(timer, loop->heap[(i - 1) / 2]))
		heap_up(loop, i, timer);
	else
		heap_down(loop, i, timer);
}

static int heap_grow(struct loop *loop)
{
	size_t cap = MAX(loop->heap_cap * 2, TIMERS_MIN);
	struct loop_timer **heap = reallocarray(loop->heap, cap, sizeof(struct loop_timer *));

	if (!heap)
		return ST_ENOMEM;
	loop->heap = heap;
	loop->heap_cap = cap;
	return 0;
}

void loop_timer_init(struct loop_timer *timer, loop_fn *fn, void *arg)
{
	*timer = (struct loop_timer){ .fn = fn, .arg = arg };
}

int loop_timer_set(struct loop *loop, struct loop_timer *timer, uint64_t at_ms)
{
	bool is_new = timer->pos == 0;
	int r;

	if (is_new && loop->heap_len == loop->heap_cap && (r = heap_grow(loop)) < 0)
		return r;
	timer->at_ms = MAX(at_ms, loop_now_ms(loop));
	timer->seq = ++loop->timer_seq;
	heap_settle(loop, is_new ? loop->heap_len++ : timer->pos - 1, timer);
	return 0;
}

void loop_timer_cancel(struct loop *loop, struct loop_timer *timer)
{
	size_t i = timer->pos - 1;
	struct loop_timer *last;

	if (timer->pos == 0)
		return;
	ST_ASSERT(i < loop->heap_len && loop->heap[i] == timer);
	timer->pos = 0;
	last = loop->heap[--loop->heap_len];
	if (last != timer)
		heap_settle(loop, i, last);
}

bool loop_timer_armed(const struct loop_timer *timer)
{
	return timer->pos != 0;
}

static void run_timers(struct loop *loop)
{
	uint64_t now_ms = loop_now_ms(loop);
	uint64_t newest = loop->timer_seq;

	while (loop->heap_len > 0) {
		struct loop_timer *timer = loop->heap[0];

		if (timer->at_ms > now_ms || timer->seq > newest)
			break;
		loop_timer_cancel(loop, timer);
		timer->fn(timer->arg, now_ms);
	}
}

/* Tasks */

void loop_task_init(struct loop_task *task, enum loop_phase phase, loop_fn *fn, void *arg)
{
	*task = (struct loop_task){ .phase = phase, .fn = fn, .arg = arg };
	list_node_init(&task->node);
}

void loop_task_post(struct loop *loop, struct loop_task *task)
{
	bool ran = task->ran_turn == loop->turns;

	if (task->posted)
		return;
	task->posted = true;
	list_push_back(ran ? &loop->tasks_later[task->phase] : &loop->tasks[task->phase],
		       &task->node);
}

void loop_task_cancel(struct loop_task *task)
{
	list_del(&task->node);
	task->posted = false;
}

static void run_tasks(struct loop *loop, enum loop_phase phase)
{
	struct list_node *node;

	while ((node = list_pop_front(&loop->tasks[phase]))) {
		struct loop_task *task = container_of(node, struct loop_task, node);

		task->posted = false;
		task->ran_turn = loop->turns;
		task->fn(task->arg, loop_now_ms(loop));
	}
}

static bool tasks_wait(const struct loop *loop)
{
	for (size_t i = 0; i < PHASE_N; i++) {
		if (!list_empty(&loop->tasks[i]) || !list_empty(&loop->tasks_later[i]))
			return true;
	}
	return false;
}

/* The turn */

/* @at_ms: 0 disarms */
static int wake_set(struct loop *loop, uint64_t at_ms)
{
	struct itimerspec when = { .it_value = { .tv_sec = (time_t)(at_ms / 1000U),
						 .tv_nsec = (long)(at_ms % 1000U) * 1000000L } };

	if (loop->wake_at_ms == at_ms)
		return 0;
	if (timerfd_settime(loop->wake_fd, TFD_TIMER_ABSTIME, &when, NULL) < 0)
		return log_sys("event loop: timerfd");
	loop->wake_at_ms = at_ms;
	return 0;
}

/* Time-out for epoll_wait(), at most @max_wait_ms (-1: none); *@out is -1 if only an event ends the wait */
static int prepare_wait(struct loop *loop, int max_wait_ms, int *out)
{
	uint64_t now_us = clock_us();
	uint64_t at_ms, wait_ms;

	*out = max_wait_ms;
	if (tasks_wait(loop)) {
		*out = 0;
		return 0;
	}
	if (loop->heap_len == 0)
		return wake_set(loop, 0);
	at_ms = loop->heap[0]->at_ms;
	/* Rounded up: a wait that ends before its timer is due would be a wake-up for nothing. */
	wait_ms = at_ms > now_us / 1000U ? at_ms - now_us / 1000U : 0;
	if (wait_ms >= LONG_WAIT_MS)
		return wake_set(loop, at_ms);
	*out = max_wait_ms < 0 ? (int)wait_ms : MIN(max_wait_ms, (int)wait_ms);
	return 0;
}

int loop_turn(struct loop *loop, int max_wait_ms)
{
	struct epoll_event events[EVENT_BATCH];
	uint64_t took_us;
	int wait_ms, n, r;

	if ((r = prepare_wait(loop, max_wait_ms, &wait_ms)) < 0)
		return r;
	n = epoll_wait(loop->epoll_fd, events, EVENT_BATCH, wait_ms);
	if (n < 0 && errno != EINTR)
		return log_sys("event loop: epoll_wait");
	loop->now_us = clock_us();
	loop->turns++;
	for (size_t i = 0; i < PHASE_N; i++)
		list_splice_back(&loop->tasks[i], &loop->tasks_later[i]);
	dispatch(loop, events, n);
	run_timers(loop);
	run_tasks(loop, LOOP_FLUSH);
	run_tasks(loop, LOOP_REAP);
	took_us = clock_us() - loop->now_us;
	loop->longest_us = MAX(loop->longest_us, took_us);
	return 0;
}

int loop_run(struct loop *loop)
{
	int r = 0;

	while (!loop->stop && r == 0)
		r = loop_turn(loop, -1);
	loop->stop = false;
	return r;
}

void loop_stop(struct loop *loop)
{
	loop->stop = true;
}
