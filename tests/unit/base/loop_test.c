// SPDX-License-Identifier: MIT
/*
 * loop_test.c - one loop a test; waits are for events, never for a while
 *
 * Cases: readiness, removal in the midst of a turn, slots and descriptor numbers taken again, the
 * maximum; timers: order, cancel, rearm from the callback, a past time, a random walk against a model,
 * the two kinds of wait; tasks: order of phases, posting again, cancel; an idle loop sleeps.
 */
#include "base/loop.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/log.h"
#include "base/util.h"

static struct loop *loop;
static char trail[128]; /* what ran, one letter each */

static int setup(void **state)
{
	(void)state;
	trail[0] = '\0';
	return loop_new(&loop);
}

static int teardown(void **state)
{
	(void)state;
	loop_free(loop);
	loop = NULL;
	return 0;
}

static void mark(char c)
{
	size_t len = strlen(trail);

	assert_true(len + 1 < sizeof(trail));
	trail[len] = c;
	trail[len + 1] = '\0';
}

static void mark_fn(void *arg, uint64_t now_ms)
{
	assert_int_equal(now_ms, loop_now_ms(loop));
	mark(*(const char *)arg);
}

static void turn(void)
{
	assert_int_equal(loop_turn(loop, 0), 0);
}

/* Descriptors */

struct source {
	int fd;
	loop_watch watch;
	char name;
	uint32_t events;
	int calls;
	struct source *kills; /* its watch is removed by our callback */
	bool closes;	      /* and its descriptor is closed, and opened again as another */
};

static void on_ready(void *arg, uint32_t events, uint64_t now_ms)
{
	struct source *s = arg;

	assert_int_equal(now_ms, loop_now_ms(loop));
	s->events = events;
	s->calls++;
	if (s->kills) {
		loop_fd_del(loop, &s->kills->watch);
		if (s->closes)
			close(s->kills->fd);
	}
}

static void source_open(struct source *s, unsigned count)
{
	*s = (struct source){ .fd = eventfd(count, EFD_CLOEXEC | EFD_NONBLOCK) };
	assert_true(s->fd >= 0);
	assert_int_equal(loop_fd_add(loop, &s->watch, s->fd, EPOLLIN, on_ready, s), 0);
	assert_true(s->watch != 0);
}

static void source_close(struct source *s)
{
	loop_fd_del(loop, &s->watch);
	assert_int_equal(s->watch, 0);
	close(s->fd);
}

static void readiness(void **state)
{
	struct source s;

	(void)state;
	source_open(&s, 0);
	turn();
	assert_int_equal(s.calls, 0);
	assert_int_equal(eventfd_write(s.fd, 1), 0);
	assert_int_equal(loop_turn(loop, -1), 0);
	assert_int_equal(s.calls, 1);
	assert_int_equal(s.events, EPOLLIN);
	turn(); /* level-triggered: not read yet */
	assert_int_equal(s.calls, 2);
	assert_int_equal(loop_fd_mod(loop, s.watch, EPOLLOUT), 0);
	turn();
	assert_int_equal(s.calls, 3);
	assert_int_equal(s.events, EPOLLOUT);
	assert_int_equal(loop_fd_mod(loop, s.watch, 0), 0);
	turn();
	assert_int_equal(s.calls, 3);
	source_close(&s);
	loop_fd_del(loop, &s.watch);
}

static void edge_is_armed_anew(void **state)
{
	struct source s;

	(void)state;
	source_open(&s, 1);
	assert_int_equal(loop_fd_mod(loop, s.watch, EPOLLIN | EPOLLET), 0);
	turn();
	turn();
	assert_int_equal(s.calls, 1);
	assert_int_equal(loop_fd_mod(loop, s.watch, EPOLLIN | EPOLLET), 0);
	turn();
	assert_int_equal(s.calls, 2);
	source_close(&s);
}

static void hang_up_comes_unasked(void **state)
{
	struct source s = { 0 };
	int p[2];

	(void)state;
	assert_int_equal(pipe(p), 0);
	assert_int_equal(loop_fd_add(loop, &s.watch, p[0], 0, on_ready, &s), 0);
	close(p[1]);
	turn();
	assert_int_equal(s.events, EPOLLHUP);
	loop_fd_del(loop, &s.watch);
	close(p[0]);
}

/* Both are ready in one batch; whichever runs first removes the other. */
static void removed_in_the_turn_is_not_called(void **state)
{
	struct source a, b;

	(void)state;
	source_open(&a, 1);
	source_open(&b, 1);
	a.kills = &b;
	b.kills = &a;
	turn();
	assert_int_equal(a.calls + b.calls, 1);
	turn();
	assert_int_equal(a.calls + b.calls, 2);
	source_close(&a);
	source_close(&b);
}

/* The first callback closes the other's descriptor and opens one that gets its number and its slot. */
static struct source reborn;

static void replace_other(void *arg, uint32_t events, uint64_t now_ms)
{
	struct source *s = arg;
	int old_fd = s->kills->fd;

	on_ready(arg, events, now_ms);
	source_open(&reborn, 0);
	assert_int_equal(reborn.fd, old_fd);
}

static void taken_again_in_the_turn_is_not_called(void **state)
{
	struct source s[2];

	(void)state;
	for (int i = 0; i < 2; i++) {
		s[i] = (struct source){ .fd = eventfd(1, EFD_CLOEXEC),
					.kills = &s[!i],
					.closes = true };
		assert_int_equal(
			loop_fd_add(loop, &s[i].watch, s[i].fd, EPOLLIN, replace_other, &s[i]), 0);
	}
	turn();
	assert_int_equal(s[0].calls + s[1].calls, 1);
	assert_int_equal(reborn.calls, 0);
	source_close(&reborn);
	source_close(s[0].calls ? &s[0] : &s[1]);
}

static void remove_self(void *arg, uint32_t events, uint64_t now_ms)
{
	struct source *s = arg;

	(void)events;
	(void)now_ms;
	s->calls++;
	loop_fd_del(loop, &s->watch);
}

static void may_remove_itself(void **state)
{
	struct source s = { .fd = eventfd(1, EFD_CLOEXEC) };

	(void)state;
	assert_int_equal(loop_fd_add(loop, &s.watch, s.fd, EPOLLIN, remove_self, &s), 0);
	turn();
	turn();
	assert_int_equal(s.calls, 1);
	assert_int_equal(s.watch, 0);
	close(s.fd);
}

static void stale_and_bad(void **state)
{
	struct source s;
	loop_watch old, w = 77;

	(void)state;
	source_open(&s, 0);
	old = s.watch;
	source_close(&s);
	assert_int_equal(loop_fd_mod(loop, old, EPOLLIN), ST_ENOENT);
	assert_int_equal(loop_fd_mod(loop, 0, EPOLLIN), ST_ENOENT);
	loop_fd_del(loop, &old);
	assert_int_equal(old, 0);
	assert_int_equal(loop_fd_add(loop, &w, -1, EPOLLIN, on_ready, NULL), ST_ESYS);
	assert_int_equal(w, 77);
}

static void more_than_a_batch(void **state)
{
	static struct source many[150];
	int calls = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(many); i++)
		source_open(&many[i], 1);
	for (int i = 0; i < 6; i++)
		turn();
	for (size_t i = 0; i < ARRAY_LEN(many); i++) {
		assert_in_range(many[i].calls, 1, 6);
		calls += many[i].calls;
		source_close(&many[i]);
	}
	assert_int_equal(calls, 6 * 64);
}

/* epoll watches duplicates of one descriptor each by itself. */
static void maximum(void **state)
{
	struct rlimit limit = { 0 }, raised;
	static loop_watch w[LOOP_WATCH_MAX];
	static int fds[LOOP_WATCH_MAX + 1];
	int base = eventfd(0, EFD_CLOEXEC);
	loop_watch extra;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	raised = limit;
	raised.rlim_cur = LOOP_WATCH_MAX + 100;
	if (limit.rlim_cur < raised.rlim_cur && setrlimit(RLIMIT_NOFILE, &raised) < 0)
		skip();
	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		assert_true((fds[i] = dup(base)) >= 0);
	for (size_t i = 0; i < ARRAY_LEN(w); i++)
		assert_int_equal(loop_fd_add(loop, &w[i], fds[i], EPOLLIN, on_ready, NULL), 0);
	assert_int_equal(loop_fd_add(loop, &extra, fds[LOOP_WATCH_MAX], EPOLLIN, on_ready, NULL),
			 ST_EFULL);
	loop_fd_del(loop, &w[5]);
	assert_int_equal(loop_fd_add(loop, &extra, fds[LOOP_WATCH_MAX], EPOLLIN, on_ready, NULL),
			 0);
	loop_fd_del(loop, &extra);
	for (size_t i = 0; i < ARRAY_LEN(w); i++)
		loop_fd_del(loop, &w[i]);
	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		close(fds[i]);
	close(base);
	setrlimit(RLIMIT_NOFILE, &limit);
}

/* Timers */

static void timers_run_in_order(void **state)
{
	struct loop_timer t[4];
	uint64_t now_ms = loop_now_ms(loop);

	(void)state;
	for (int i = 0; i < 4; i++)
		loop_timer_init(&t[i], mark_fn, (void *)(uintptr_t) & "abcd"[i]);
	assert_int_equal(loop_timer_set(loop, &t[2], now_ms + 2), 0);
	assert_int_equal(loop_timer_set(loop, &t[0], now_ms + 1), 0);
	assert_int_equal(loop_timer_set(loop, &t[3], now_ms + 2), 0);
	assert_int_equal(loop_timer_set(loop, &t[1], now_ms + 1), 0);
	while (strlen(trail) < 4)
		assert_int_equal(loop_turn(loop, -1), 0);
	assert_string_equal(trail, "abcd"); /* of one time: as they were armed */
	assert_true(loop_now_ms(loop) >= now_ms + 2);
	assert_false(loop_timer_armed(&t[0]));
}

static void cancelled_does_not_run(void **state)
{
	struct loop_timer a, b;

	(void)state;
	loop_timer_init(&a, mark_fn, "a");
	loop_timer_init(&b, mark_fn, "b");
	loop_timer_cancel(loop, &a);
	assert_int_equal(loop_timer_set(loop, &a, 0), 0);
	assert_int_equal(loop_timer_set(loop, &b, 0), 0);
	assert_true(loop_timer_armed(&a));
	loop_timer_cancel(loop, &a);
	assert_false(loop_timer_armed(&a));
	turn();
	assert_string_equal(trail, "b");
	turn();
	assert_string_equal(trail, "b");
}

static void set_again_moves(void **state)
{
	struct loop_timer a;
	uint64_t now_ms = loop_now_ms(loop);

	(void)state;
	loop_timer_init(&a, mark_fn, "a");
	assert_int_equal(loop_timer_set(loop, &a, now_ms), 0);
	assert_int_equal(loop_timer_set(loop, &a, now_ms + 3600000), 0);
	turn();
	assert_string_equal(trail, "");
	assert_int_equal(loop_timer_set(loop, &a, 5), 0);
	assert_true(a.at_ms >= now_ms);
	turn();
	assert_string_equal(trail, "a");
}

static struct loop_timer again;

static void set_again(void *arg, uint64_t now_ms)
{
	(void)arg;
	(void)now_ms;
	mark('r');
	assert_int_equal(loop_timer_set(loop, &again, 0), 0);
}

/* Rearming for the past must hold neither the turn nor the other timers. */
static void rearmed_for_the_past_runs_next_turn(void **state)
{
	struct loop_timer other;

	(void)state;
	loop_timer_init(&again, set_again, NULL);
	loop_timer_init(&other, mark_fn, "o");
	assert_int_equal(loop_timer_set(loop, &again, 0), 0);
	assert_int_equal(loop_timer_set(loop, &other, 0), 0);
	turn();
	assert_string_equal(trail, "ro");
	assert_int_equal(loop_turn(loop, -1), 0); /* does not wait */
	assert_string_equal(trail, "ror");
	loop_timer_cancel(loop, &again);
}

static void cancel_other(void *arg, uint64_t now_ms)
{
	(void)now_ms;
	mark('c');
	loop_timer_cancel(loop, arg);
}

static void due_timer_cancelled_by_another(void **state)
{
	struct loop_timer a, b;

	(void)state;
	loop_timer_init(&a, cancel_other, &b);
	loop_timer_init(&b, mark_fn, "b");
	assert_int_equal(loop_timer_set(loop, &a, 0), 0);
	assert_int_equal(loop_timer_set(loop, &b, 0), 0);
	turn();
	turn();
	assert_string_equal(trail, "c");
}

static uint64_t last_at_ms, last_seq;
static int walked;

struct walker {
	struct loop_timer timer;
	uint64_t at_ms, seq;
	bool armed;
};

static void walk(void *arg, uint64_t now_ms)
{
	struct walker *w = arg;

	assert_true(w->armed && w->at_ms <= now_ms);
	assert_true(w->at_ms > last_at_ms || (w->at_ms == last_at_ms && w->seq > last_seq));
	last_at_ms = w->at_ms;
	last_seq = w->seq;
	w->armed = false;
	walked++;
}

static void random_timers_against_a_model(void **state)
{
	static struct walker w[300];
	uint64_t now_ms = loop_now_ms(loop);
	int armed = 0;

	(void)state;
	srandom(3);
	last_at_ms = last_seq = 0;
	walked = 0;
	for (size_t i = 0; i < ARRAY_LEN(w); i++) {
		w[i] = (struct walker){ 0 };
		loop_timer_init(&w[i].timer, walk, &w[i]);
	}
	for (uint64_t step = 1; step < 20000; step++) {
		struct walker *one = &w[(size_t)random() % ARRAY_LEN(w)];

		assert_int_equal(loop_timer_armed(&one->timer), one->armed);
		one->armed = random() % 3 != 0;
		if (one->armed) {
			one->at_ms = now_ms + 1 + (uint64_t)random() % 20;
			one->seq = step;
			assert_int_equal(loop_timer_set(loop, &one->timer, one->at_ms), 0);
		} else {
			loop_timer_cancel(loop, &one->timer);
		}
	}
	for (size_t i = 0; i < ARRAY_LEN(w); i++)
		armed += w[i].armed;
	assert_true(armed > 100);
	while (walked < armed)
		assert_int_equal(loop_turn(loop, -1), 0);
	for (size_t i = 0; i < ARRAY_LEN(w); i++)
		assert_false(w[i].armed || loop_timer_armed(&w[i].timer));
}

/* Both kinds of wait end in one turn, not early; the longer one is a timerfd's (1 s and more). */
static void waits_end_when_due(void **state)
{
	static const uint64_t waits_ms[] = { 1, 30, 1010 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(waits_ms); i++) {
		struct loop_timer t;
		uint64_t turns, at_ms;

		turn();
		turns = loop_turns(loop);
		at_ms = loop_now_ms(loop) + waits_ms[i];
		trail[0] = '\0';
		loop_timer_init(&t, mark_fn, "t");
		assert_int_equal(loop_timer_set(loop, &t, at_ms), 0);
		assert_int_equal(loop_turn(loop, -1), 0);
		assert_string_equal(trail, "t");
		assert_int_equal(loop_turns(loop), turns + 1);
		assert_in_range(loop_now_ms(loop), at_ms, at_ms + 900);
	}
}

static void stop_fn(void *arg, uint64_t now_ms)
{
	(void)arg;
	(void)now_ms;
	loop_stop(loop);
}

static void idle_loop_makes_no_turns(void **state)
{
	struct loop_timer far_off, stop;
	struct source s;

	(void)state;
	source_open(&s, 0);
	loop_timer_init(&far_off, mark_fn, "f");
	loop_timer_init(&stop, stop_fn, NULL);
	/* A long wait that was armed and then given up leaves nothing that would wake the loop. */
	assert_int_equal(loop_timer_set(loop, &far_off, loop_now_ms(loop) + 1050), 0);
	turn();
	loop_timer_cancel(loop, &far_off);
	assert_int_equal(loop_timer_set(loop, &stop, loop_now_ms(loop) + 1500), 0);
	assert_int_equal(loop_run(loop), 0);
	assert_int_equal(loop_turns(loop), 2);
	assert_string_equal(trail, "");
	source_close(&s);
}

/* The same without any timer left: only the wait's own limit ends it. */
static void given_up_wait_does_not_wake(void **state)
{
	struct loop_timer far_off;
	uint64_t start_ms;

	(void)state;
	loop_timer_init(&far_off, mark_fn, "f");
	assert_int_equal(loop_timer_set(loop, &far_off, loop_now_ms(loop) + 1050), 0);
	turn();
	loop_timer_cancel(loop, &far_off);
	start_ms = loop_now_ms(loop);
	assert_int_equal(loop_turn(loop, 1200), 0);
	assert_true(loop_now_ms(loop) >= start_ms + 1200);
	assert_string_equal(trail, "");
}

/* Tasks */

struct chain {
	struct loop_task task;
	char name;
	struct loop_task *posts[2];
};

static void chain_fn(void *arg, uint64_t now_ms)
{
	struct chain *c = arg;

	assert_int_equal(now_ms, loop_now_ms(loop));
	mark(c->name);
	for (int i = 0; i < 2; i++) {
		if (c->posts[i])
			loop_task_post(loop, c->posts[i]);
	}
}

static void chain_init(struct chain *c, char name, enum loop_phase phase)
{
	*c = (struct chain){ .name = name };
	loop_task_init(&c->task, phase, chain_fn, c);
}

static void phases_in_order_and_once(void **state)
{
	struct chain flush, reap;

	(void)state;
	chain_init(&flush, 'f', LOOP_FLUSH);
	chain_init(&reap, 'r', LOOP_REAP);
	loop_task_post(loop, &reap.task);
	loop_task_post(loop, &flush.task);
	loop_task_post(loop, &flush.task);
	assert_int_equal(loop_turn(loop, -1), 0); /* does not wait */
	assert_string_equal(trail, "fr");
	turn();
	assert_string_equal(trail, "fr");
}

static void posted_by_a_flush_runs_in_the_same_turn(void **state)
{
	struct chain a, b, reap;

	(void)state;
	chain_init(&a, 'a', LOOP_FLUSH);
	chain_init(&b, 'b', LOOP_FLUSH);
	chain_init(&reap, 'r', LOOP_REAP);
	a.posts[0] = &reap.task;
	a.posts[1] = &b.task;
	loop_task_post(loop, &a.task);
	turn();
	assert_string_equal(trail, "abr");
}

/* Also when two post each other: a turn ends. */
static void posted_again_runs_in_the_next_turn(void **state)
{
	struct chain a, b, reap;

	(void)state;
	chain_init(&a, 'a', LOOP_FLUSH);
	chain_init(&b, 'b', LOOP_FLUSH);
	chain_init(&reap, 'r', LOOP_REAP);
	a.posts[0] = &a.task;
	a.posts[1] = &b.task;
	b.posts[0] = &a.task;
	loop_task_post(loop, &a.task);
	turn();
	assert_string_equal(trail, "ab");
	a.posts[0] = b.posts[0] = &reap.task;
	reap.posts[0] = &a.task; /* a flush task posted by a reap: the next turn, too */
	assert_int_equal(loop_turn(loop, -1), 0);
	assert_string_equal(trail, "ababr");
	reap.posts[0] = &reap.task;
	assert_int_equal(loop_turn(loop, -1), 0);
	assert_string_equal(trail, "ababrabr");
	reap.posts[0] = NULL;
	assert_int_equal(loop_turn(loop, -1), 0);
	assert_string_equal(trail, "ababrabrr");
	turn();
	assert_string_equal(trail, "ababrabrr");
}

static void posted_between_turns(void **state)
{
	struct chain a;

	(void)state;
	chain_init(&a, 'a', LOOP_FLUSH);
	for (int i = 0; i < 3; i++) {
		loop_task_post(loop, &a.task);
		assert_int_equal(loop_turn(loop, -1), 0);
	}
	assert_string_equal(trail, "aaa");
}

static void cancelled_task(void **state)
{
	struct chain a;

	(void)state;
	chain_init(&a, 'a', LOOP_REAP);
	loop_task_cancel(&a.task);
	loop_task_post(loop, &a.task);
	loop_task_cancel(&a.task);
	turn();
	assert_string_equal(trail, "");
	loop_task_post(loop, &a.task);
	turn();
	assert_string_equal(trail, "a");
}

static void free_owner(void *arg, uint64_t now_ms)
{
	(void)now_ms;
	mark('x');
	free(arg);
}

static void a_reap_may_free_its_own_task(void **state)
{
	struct chain *c = malloc(sizeof(*c));

	(void)state;
	loop_task_init(&c->task, LOOP_REAP, free_owner, c);
	loop_task_post(loop, &c->task);
	turn();
	assert_string_equal(trail, "x");
}

/* Order within a turn: descriptors, timers, flush, reap */
static void mark_ready(void *arg, uint32_t events, uint64_t now_ms)
{
	(void)events;
	mark_fn(arg, now_ms);
}

static void order_of_a_turn(void **state)
{
	struct chain flush, reap;
	struct loop_timer timer;
	loop_watch w;
	int fd = eventfd(1, EFD_CLOEXEC);

	(void)state;
	chain_init(&flush, 'f', LOOP_FLUSH);
	chain_init(&reap, 'r', LOOP_REAP);
	loop_timer_init(&timer, mark_fn, "t");
	loop_task_post(loop, &reap.task);
	loop_task_post(loop, &flush.task);
	assert_int_equal(loop_timer_set(loop, &timer, 0), 0);
	assert_int_equal(loop_fd_add(loop, &w, fd, EPOLLIN, mark_ready, "d"), 0);
	turn();
	assert_string_equal(trail, "dtfr");
	loop_fd_del(loop, &w);
	close(fd);
}

static void stop_ends_the_turn_first(void **state)
{
	struct loop_timer t;
	struct chain reap;

	(void)state;
	chain_init(&reap, 'r', LOOP_REAP);
	loop_timer_init(&t, stop_fn, NULL);
	assert_int_equal(loop_timer_set(loop, &t, 0), 0);
	loop_task_post(loop, &reap.task);
	assert_int_equal(loop_run(loop), 0);
	assert_string_equal(trail, "r");
	assert_int_equal(loop_turns(loop), 1);
	loop_stop(loop);
	assert_int_equal(loop_run(loop), 0);
	assert_int_equal(loop_turns(loop), 1);
}

static void busy_fn(void *arg, uint64_t now_ms)
{
	struct timespec start, now;

	(void)arg;
	(void)now_ms;
	clock_gettime(CLOCK_BOOTTIME, &start);
	do {
		clock_gettime(CLOCK_BOOTTIME, &now);
	} while ((now.tv_sec - start.tv_sec) * 1000000 + (now.tv_nsec - start.tv_nsec) / 1000 <
		 3000);
}

static void clock_and_longest_turn(void **state)
{
	struct loop_timer t;
	uint64_t before_us = loop_now_us(loop);

	(void)state;
	loop_timer_init(&t, busy_fn, NULL);
	assert_int_equal(loop_timer_set(loop, &t, 0), 0);
	turn();
	assert_true(loop_now_us(loop) >= before_us);
	assert_int_equal(loop_now_ms(loop), loop_now_us(loop) / 1000);
	assert_true(loop_longest_us(loop) >= 3000);
	before_us = loop_now_us(loop);
	turn();
	assert_true(loop_now_us(loop) >= before_us + 3000);
	loop_free(NULL);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(readiness),
		TEST(edge_is_armed_anew),
		TEST(hang_up_comes_unasked),
		TEST(removed_in_the_turn_is_not_called),
		TEST(taken_again_in_the_turn_is_not_called),
		TEST(may_remove_itself),
		TEST(stale_and_bad),
		TEST(more_than_a_batch),
		TEST(maximum),
		TEST(timers_run_in_order),
		TEST(cancelled_does_not_run),
		TEST(set_again_moves),
		TEST(rearmed_for_the_past_runs_next_turn),
		TEST(due_timer_cancelled_by_another),
		TEST(random_timers_against_a_model),
		TEST(waits_end_when_due),
		TEST(idle_loop_makes_no_turns),
		TEST(given_up_wait_does_not_wake),
		TEST(phases_in_order_and_once),
		TEST(posted_by_a_flush_runs_in_the_same_turn),
		TEST(posted_again_runs_in_the_next_turn),
		TEST(posted_between_turns),
		TEST(cancelled_task),
		TEST(a_reap_may_free_its_own_task),
		TEST(order_of_a_turn),
		TEST(stop_ends_the_turn_first),
		TEST(clock_and_longest_turn),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
