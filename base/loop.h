// SPDX-License-Identifier: MIT
/*
 * loop.h - one thread, one epoll, one clock
 *
 * A turn: wait, read the clock once, dispatch ready descriptors, run due timers, run flush tasks,
 * run reap tasks. Callbacks mark things dead and post a reap task; nothing that an event of the
 * same turn may still name is freed before the reap. A watch is held by a handle (index +
 * generation): an event for a watch that was removed earlier in the turn is not delivered.
 */
#ifndef BASE_LOOP_H
#define BASE_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h> /* EPOLLIN, EPOLLOUT, EPOLLET */

#include "base/list.h"

struct loop;

/* Watches of one loop; ours: 4,096 direct flows plus our own sockets fit */
#define LOOP_WATCH_MAX 8192U

typedef uint64_t loop_watch; /* generation << 32 | index; 0 is never a watch */

/**
 * loop_fd_fn - a descriptor is ready
 * @events: EPOLL* bits; errors and hang-ups come as EPOLLERR and EPOLLHUP, wanted or not
 * May add and remove any watch, its own included.
 */
typedef void loop_fd_fn(void *arg, uint32_t events, uint64_t now_ms);
typedef void loop_fn(void *arg, uint64_t now_ms);

/** loop_new() - Return: 0 and *@out to be freed by loop_free(); ST_ESYS if epoll can't be had */
int loop_new(struct loop **out);
/** loop_free() - watches, timers and tasks must be gone or unused by now; NULL is fine */
void loop_free(struct loop *loop);

/**
 * loop_run() - turns until loop_stop()
 * Return: 0 after loop_stop(); ST_ESYS if epoll_wait failed (logged)
 */
int loop_run(struct loop *loop);
/** loop_turn() - one turn that waits @max_wait_ms at most (-1: for ever); for tests. Return as loop_run(). */
int loop_turn(struct loop *loop, int max_wait_ms);
/** loop_stop() - the turn ends as usual, then loop_run() returns; before loop_run(): it returns at once */
void loop_stop(struct loop *loop);

/** loop_now_ms() - CLOCK_BOOTTIME in ms as read at the start of this turn: runs on through a suspend */
uint64_t loop_now_ms(const struct loop *loop);
uint64_t loop_now_us(const struct loop *loop);
/** loop_turns() - how many turns there were; tests assert that an idle loop makes none */
uint64_t loop_turns(const struct loop *loop);
/** loop_longest_us() - the longest turn so far without its wait, in µs; for the bench and status */
uint64_t loop_longest_us(const struct loop *loop);

/**
 * loop_fd_add() - watch @fd (borrowed: the owner closes it after loop_fd_del())
 * Return: 0 and *@out; ST_EFULL at LOOP_WATCH_MAX; ST_ESYS
 */
int loop_fd_add(struct loop *loop, loop_watch *out, int fd, uint32_t events, loop_fd_fn *fn,
		void *arg);
/** loop_fd_mod() - wait for @events from now on. Return: 0; ST_ENOENT if @watch is 0 or stale; ST_ESYS */
int loop_fd_mod(struct loop *loop, loop_watch watch, uint32_t events);
/** loop_fd_del() - stop watching and set *@watch to 0; 0 or a stale watch is fine. Call before close(). */
void loop_fd_del(struct loop *loop, loop_watch *watch);
/** loop_fd_forget() - the same for a descriptor that its owner may have closed before, and none of our watches has its number */
void loop_fd_forget(struct loop *loop, loop_watch *watch);

/* A timer is part of its owner's struct; it must be cancelled before that is freed. */
struct loop_timer {
	loop_fn *fn;
	void *arg;
	uint64_t at_ms;
	size_t pos;   /* place in the heap + 1; 0: not armed */
	uint64_t seq; /* order of arming: timers of one time run in it */
};

void loop_timer_init(struct loop_timer *timer, loop_fn *fn, void *arg);
/** loop_timer_set() - (re)arm for @at_ms on the loop's clock; a past time means now (timer->at_ms says so) and
 * runs this turn, or from a timer's callback the next, which does not wait.
 * Return: 0; ST_ENOMEM */
int loop_timer_set(struct loop *loop, struct loop_timer *timer, uint64_t at_ms);
void loop_timer_cancel(struct loop *loop, struct loop_timer *timer); /* not armed is fine */
bool loop_timer_armed(const struct loop_timer *timer);

/*
 * A task runs once at the end of the current turn, however often it was posted. Flush tasks (write
 * what the turn gathered) run first and may post more of them: these run in the same turn unless
 * they ran in it already, then in the next, which does not wait. Reap tasks (free what died) run
 * last, by the same rule.
 */
enum loop_phase { LOOP_FLUSH, LOOP_REAP };

struct loop_task {
	struct list_node node;
	loop_fn *fn;
	void *arg;
	uint64_t ran_turn; /* the last turn that ran it */
	enum loop_phase phase;
	bool posted;
};

void loop_task_init(struct loop_task *task, enum loop_phase phase, loop_fn *fn, void *arg);
void loop_task_post(struct loop *loop, struct loop_task *task);
void loop_task_cancel(struct loop_task *task); /* not posted is fine; before its owner is freed */

#endif
