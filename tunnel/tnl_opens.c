// SPDX-License-Identifier: MIT
/*
 * tnl_opens.c - channels of an upstream: opens that wait, their budgets, and what is known of dead destinations
 *
 * Theory of operation: an open is pending until sshd answers: held while no session has room, then being opened. It has a
 * budget in all; what runs out of it is told as a time-out, its SSH channel becomes a zombie, and its destination goes to the
 * negative cache, where it fails at once. While the upstream waits for a person the budget stands still, up to GIVE_UP_MS.
 * Whatever fails inside tnl_open() is told from the loop.
 */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "tunnel/tnl_internal.h"

#define CHANS_MAX (TNL_SESSIONS_MAX * TNL_CHANNELS_MAX + TNL_OPENS_MAX * 4U)
/* ours: while opens are held; a session that was full or short of resources has room again without telling */
#define LOOK_MS 500U
#define GIVE_UP_MS 127000U /* an application's own time-out: the kernel's default for connect() */

/* ---- the negative cache ---- */

static bool negative_lives(const struct tnl_upstream *u, const struct negative *n)
{
	return n->until_ms > loop_now_ms(u->loop);
}

static bool negative_has(const struct tnl_upstream *u, const struct net_endpoint *dst)
{
	for (size_t i = 0; i < TNL_NEGATIVES; i++) {
		const struct negative *n = &u->negative[i];

		if (negative_lives(u, n) && n->dst.port == dst->port &&
		    net_addr_eq(&n->dst.addr, &dst->addr))
			return true;
	}
	return false;
}

static bool address_is_dead(const struct tnl_upstream *u, const struct net_addr *a)
{
	for (size_t i = 0; i < TNL_NEGATIVES; i++) {
		const struct negative *n = &u->negative[i];

		if (n->address_dead && negative_lives(u, n) && net_addr_eq(&n->dst.addr, a))
			return true;
	}
	return false;
}

static void negative_add(struct tnl_upstream *u, const struct net_endpoint *dst)
{
	struct negative *n = &u->negative[u->negative_at++ % TNL_NEGATIVES];

	*n = (struct negative){ .dst = *dst,
				.until_ms = loop_now_ms(u->loop) + TNL_NEGATIVE_MS,
				.address_dead = true };
}

/* The address answered, on this port or another, or said no. */
static void negative_clear(struct tnl_upstream *u, const struct net_endpoint *dst)
{
	for (size_t i = 0; i < TNL_NEGATIVES; i++) {
		struct negative *n = &u->negative[i];

		if (n->until_ms == 0 || !net_addr_eq(&n->dst.addr, &dst->addr))
			continue;
		n->address_dead = false;
		if (n->dst.port == dst->port)
			n->until_ms = 0;
	}
}

/* ---- channels ---- */

static bool is_pending(const struct chan *c)
{
	return c->state == TNL_CHAN_HELD || c->state == TNL_CHAN_OPENING;
}

static void unlink_chan(struct chan *c)
{
	if (is_pending(c))
		c->u->n_pending--;
	list_del(&c->node);
}

static void chan_free(struct chan *c)
{
	unlink_chan(c);
	hnd_del(&c->u->chans, c->h);
	free(c);
}

/* failed() now, from the loop. */
static void chan_fail(struct chan *c, enum tnl_open_failure why, const char *text)
{
	const struct tnl_chan_events *ev = c->events;
	const handle h = c->h;
	void *arg = c->arg;

	log_debug("%s: open %s: %s", c->u->o.name,
		  net_endpoint_str((char[NET_ENDPOINT_STR]){ 0 }, &c->dst), text);
	chan_free(c);
	ev->failed(arg, h, why, text);
}

/* failed() in the next turn. */
static void chan_fail_later(struct chan *c, enum tnl_open_failure why, const char *text)
{
	unlink_chan(c);
	c->state = TNL_CHAN_FAILED;
	c->why = why;
	text_copy(c->text, sizeof(c->text), text);
	list_push_back(&c->u->failed, &c->node);
	loop_task_post(c->u->loop, &c->u->tell_failed);
}

static void on_tell_failed(void *arg, uint64_t now_ms)
{
	struct tnl_upstream *u = arg;
	struct list_node *node;

	(void)now_ms;
	while ((node = list_pop_front(&u->failed)) != NULL) {
		struct chan *c = container_of(node, struct chan, node);
		char text[sizeof(c->text)];

		memcpy(text, c->text, sizeof(text));
		chan_fail(c, c->why, text);
	}
}

/* ---- SSH's events ---- */

static void on_opened(void *arg)
{
	struct chan *c = arg;

	unlink_chan(c);
	c->state = TNL_CHAN_OPEN;
	list_push_back(tnl_session_chans(c->s), &c->node);
	negative_clear(c->u, &c->dst);
	c->events->opened(c->arg, c->h);
}

static void hold(struct chan *c)
{
	c->s = NULL;
	c->ssh = NULL;
	c->state = TNL_CHAN_HELD;
}

static void on_failed(void *arg, enum tnl_open_failure why, const char *text)
{
	struct chan *c = arg;
	struct tnl_upstream *u = c->u;

	if (why == TNL_OPEN_NO_SESSION) { /* resource shortage: another session may do */
		tnl_session_is_short(c->s);
		hold(c);
		tnl_opens_place(u);
		return;
	}
	if (why == TNL_OPEN_REFUSED)
		negative_clear(u, &c->dst);
	c->ssh = NULL;
	chan_fail(c, why, text);
	tnl_opens_place(u);
}

static void on_readable(void *arg)
{
	struct chan *c = arg;

	c->events->readable(c->arg, c->h);
}

static void on_writable(void *arg)
{
	struct chan *c = arg;

	c->events->writable(c->arg, c->h);
}

static void chan_gone(struct chan *c)
{
	const struct tnl_chan_events *ev = c->events;
	const handle h = c->h;
	void *arg = c->arg;

	chan_free(c);
	ev->gone(arg, h);
}

static void on_gone(void *arg)
{
	struct chan *c = arg;

	c->ssh = NULL;
	chan_gone(c);
}

static const struct ssh_chan_events ssh_events = { on_opened, on_failed, on_readable, on_writable,
						   on_gone };

/* ---- placing ---- */

/* Asks for one more session when the best one is nearly full. */
static struct tnl_session *least_loaded(struct tnl_upstream *u)
{
	struct tnl_session *best = NULL;
	uint32_t least = UINT32_MAX;

	list_for_each (node, &u->sessions) {
		struct tnl_session *s = tnl_session_of(node);
		const uint32_t load = tnl_session_load(s);

		if (load < least) {
			least = load;
			best = s;
		}
	}
	if (least >= TNL_CHANNELS_MAX / 4 * 3)
		tnl_upstream_grow(u);
	return best;
}

static bool place(struct chan *c)
{
	struct tnl_session *s = least_loaded(c->u);

	if (s == NULL ||
	    ssh_chan_open(tnl_session_ssh(s), &c->ssh, &c->dst, &c->src, &ssh_events, c) < 0)
		return false;
	c->s = s;
	c->state = TNL_CHAN_OPENING;
	return true;
}

/* ---- budgets ---- */

static void budget_arm(struct tnl_upstream *u)
{
	uint64_t next = UINT64_MAX;

	list_for_each (node, &u->pending) {
		const struct chan *c = container_of(node, struct chan, node);

		next = MIN(next, MIN(c->deadline_ms, c->give_up_ms));
		if (c->state == TNL_CHAN_HELD)
			next = MIN(next, loop_now_ms(u->loop) + LOOK_MS);
	}
	if (next == UINT64_MAX)
		loop_timer_cancel(u->loop, &u->budget);
	else
		loop_timer_set(u->loop, &u->budget, next);
}

void tnl_opens_place(struct tnl_upstream *u)
{
	bool placed = true;

	list_for_each (node, &u->pending) {
		struct chan *c = container_of(node, struct chan, node);

		if (placed && c->state == TNL_CHAN_HELD)
			placed = place(c);
	}
	budget_arm(u);
}

static void budget_out(struct chan *c)
{
	if (c->state == TNL_CHAN_HELD) {
		chan_fail_later(c, TNL_OPEN_NO_SESSION, "no session came up in time");
		return;
	}
	ssh_chan_close(c->ssh);
	c->ssh = NULL;
	/* Only a session that answers otherwise tells that it is the destination which is silent. */
	if (!tnl_session_answers(c->s)) {
		chan_fail_later(c, TNL_OPEN_NO_SESSION, "the session does not answer");
		return;
	}
	negative_add(c->u, &c->dst);
	chan_fail_later(c, TNL_OPEN_TIMEOUT, "no answer in time");
}

static void on_budget(void *arg, uint64_t now_ms)
{
	struct tnl_upstream *u = arg;

	list_for_each (node, &u->pending) {
		struct chan *c = container_of(node, struct chan, node);

		if (c->deadline_ms <= now_ms || c->give_up_ms <= now_ms)
			budget_out(c);
	}
	tnl_opens_place(u);
}

void tnl_opens_wait(struct tnl_upstream *u, bool waiting)
{
	const uint64_t now_ms = loop_now_ms(u->loop);

	list_for_each (node, &u->pending) {
		struct chan *c = container_of(node, struct chan, node);

		if (waiting && c->deadline_ms != UINT64_MAX) {
			c->left_ms = c->deadline_ms > now_ms ? c->deadline_ms - now_ms : 0;
			c->deadline_ms = UINT64_MAX;
		} else if (!waiting && c->deadline_ms == UINT64_MAX) {
			c->deadline_ms = now_ms + c->left_ms;
		}
	}
	budget_arm(u);
}

/* ---- the public calls ---- */

/* Is there place for one more pending open? */
static bool within_limits(const struct tnl_upstream *u, const struct net_addr *a)
{
	const uint32_t most = address_is_dead(u, a) ? TNL_OPENS_PER_DEAD_ADDRESS
						    : TNL_OPENS_PER_ADDRESS;
	uint32_t n = 0;

	if (u->n_pending >= u->o.opens_max)
		return false;
	list_for_each (node, &u->pending)
		n += net_addr_eq(&container_of(node, struct chan, node)->dst.addr, a);
	return n < most;
}

static void chan_budget(struct chan *c)
{
	struct tnl_upstream *u = c->u;
	const uint64_t now_ms = loop_now_ms(u->loop);

	c->left_ms = u->o.connect_budget_ms;
	c->deadline_ms = u->state == TNL_WAITING ? UINT64_MAX : now_ms + c->left_ms;
	c->give_up_ms = now_ms + GIVE_UP_MS;
}

int tnl_open(struct tnl_upstream *u, tnl_chan *out, const struct net_endpoint *dst,
	     const struct net_endpoint *src, const struct tnl_chan_events *events, void *arg)
{
	struct chan *c = calloc(1, sizeof(*c));
	const bool room = within_limits(u, &dst->addr);

	if (c == NULL || hnd_add(&u->chans, c, &c->h) < 0) {
		free(c);
		return ST_ENOMEM;
	}
	c->u = u;
	c->dst = *dst;
	c->src = *src;
	c->events = events;
	c->arg = arg;
	c->state = TNL_CHAN_HELD;
	list_node_init(&c->node);
	list_push_back(&u->pending, &c->node);
	u->n_pending++;
	*out = c->h;
	chan_budget(c);
	if (!room)
		chan_fail_later(c, TNL_OPEN_LIMIT, "too many pending opens");
	else if (negative_has(u, dst))
		chan_fail_later(c, TNL_OPEN_TIMEOUT, "gave no answer less than a minute ago");
	else if (u->state == TNL_FAILED || u->state == TNL_DOWN || u->stopping)
		chan_fail_later(c, TNL_OPEN_NO_SESSION, "the upstream is down");
	else if (!place(c))
		log_debug("%s: an open waits for a session", u->o.name);
	budget_arm(u);
	return 0;
}

static struct chan *chan_get(struct tnl_upstream *u, tnl_chan c)
{
	struct chan *ch = hnd_get(&u->chans, c);

	return ch != NULL && ch->state == TNL_CHAN_OPEN ? ch : NULL;
}

ssize_t tnl_chan_read(struct tnl_upstream *u, tnl_chan c, uint8_t *buf, size_t cap)
{
	struct chan *ch = chan_get(u, c);

	if (ch == NULL)
		return hnd_get(&u->chans, c) != NULL ? ST_EAGAIN : ST_ECLOSED;
	return ssh_chan_read(ch->ssh, buf, cap);
}

size_t tnl_chan_room(struct tnl_upstream *u, tnl_chan c)
{
	struct chan *ch = chan_get(u, c);

	return ch != NULL ? ssh_chan_room(ch->ssh) : 0;
}

int tnl_chan_write(struct tnl_upstream *u, tnl_chan c, const uint8_t *p, size_t len)
{
	struct chan *ch = chan_get(u, c);

	return ch != NULL ? ssh_chan_write(ch->ssh, p, len) : ST_ECLOSED;
}

void tnl_chan_shutdown(struct tnl_upstream *u, tnl_chan c)
{
	struct chan *ch = chan_get(u, c);

	if (ch != NULL)
		ssh_chan_shutdown(ch->ssh);
}

void tnl_chan_close(struct tnl_upstream *u, tnl_chan c)
{
	struct chan *ch = hnd_get(&u->chans, c);
	const bool pending = ch != NULL && is_pending(ch);

	if (ch == NULL)
		return;
	if (ch->ssh != NULL)
		ssh_chan_close(ch->ssh);
	chan_free(ch);
	if (pending)
		budget_arm(u);
}

/* ---- sessions and the upstream go ---- */

void tnl_opens_lost(struct tnl_upstream *u, struct tnl_session *s)
{
	struct list *open = tnl_session_chans(s);
	struct list_node *first;

	list_for_each (node, &u->pending) {
		struct chan *c = container_of(node, struct chan, node);

		if (c->s == s) {
			ssh_chan_close(c->ssh);
			hold(c);
		}
	}
	while ((first = list_pop_front(open)) != NULL) {
		struct chan *c = container_of(first, struct chan, node);

		ssh_chan_close(c->ssh);
		chan_gone(c);
	}
}

void tnl_opens_reset(struct tnl_upstream *u)
{
	list_for_each (node, &u->sessions)
		tnl_opens_lost(u, tnl_session_of(node));
	while (!list_empty(&u->pending)) {
		struct chan *c = container_of(u->pending.head.next, struct chan, node);

		chan_fail_later(c, TNL_OPEN_NO_SESSION, "the upstream is down");
	}
	budget_arm(u);
}

void tnl_opens_init(struct tnl_upstream *u)
{
	hnd_init(&u->chans, CHANS_MAX);
	list_init(&u->pending);
	list_init(&u->failed);
	loop_timer_init(&u->budget, on_budget, u);
	loop_task_init(&u->tell_failed, LOOP_FLUSH, on_tell_failed, u);
}

void tnl_opens_fini(struct tnl_upstream *u)
{
	uint32_t pos = 0;
	struct chan *c;

	loop_timer_cancel(u->loop, &u->budget);
	loop_task_cancel(&u->tell_failed);
	while ((c = hnd_next(&u->chans, &pos)) != NULL) {
		if (c->ssh != NULL)
			ssh_chan_close(c->ssh);
		chan_free(c);
	}
	hnd_fini(&u->chans);
}
