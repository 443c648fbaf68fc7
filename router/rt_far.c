// SPDX-License-Identifier: MIT
/*
 * rt_far.c - from a destination to a side that has connected
 *
 * Theory of operation: an address is opened as it is. A name is resolved where its rule says, and its addresses are tried in turn, the
 * families taking turns from the one that the application asked by: the next one is begun when the former failed or has not
 * answered within RT_FAR_NEXT_MS (RFC 8305); the first to open wins and the others are closed. While the upstream has no
 * session nothing can answer, so only the first address waits there, by tunnel's rules: its budget stands still
 * while a person is awaited, and so does ours: the name is asked for again. Each try is its own object, because the events of tunnel and
 * direct name it; the winner's lives as long as the far end.
 */
#include "router/rt_far.h"

#include <stdlib.h>

#include "base/err.h"
#include "base/log.h"
#include "base/text.h"
#include "router/rt_internal.h"

struct far_try {
	struct rt_far *far;
	struct list_node node; /* in far->tries */
	struct rt_side side;
};

/* @rank: of several failures of one name the highest is told: what says most about the host. */
static const struct {
	enum ns_refusal refusal;
	uint8_t rank;
	const char *what;
} failures[] = {
	[FAR_REFUSED] = { NS_REFUSE_RST, 9, "refused" },
	[FAR_HOST_UNREACHABLE] = { NS_REFUSE_HOST_UNREACHABLE, 6, "host unreachable" },
	[FAR_NET_UNREACHABLE] = { NS_REFUSE_NET_UNREACHABLE, 1, "network unreachable" },
	[FAR_PROHIBITED] = { NS_REFUSE_PROHIBITED, 8, "not permitted by sshd" },
	[FAR_TIMEOUT] = { NS_REFUSE_HOST_UNREACHABLE, 5, "no answer" },
	[FAR_NO_SESSION] = { NS_REFUSE_HOST_UNREACHABLE, 4, "no session" },
	[FAR_LIMIT] = { NS_REFUSE_DROP, 3, "too many opens" },
	[FAR_FAILED] = { NS_REFUSE_RST, 7, "failed" },
	[FAR_NO_NAME] = { NS_REFUSE_HOST_UNREACHABLE, 0, "the name has no address" },
	[FAR_NO_ANSWER] = { NS_REFUSE_HOST_UNREACHABLE, 0, "the name was not resolved" },
	[FAR_FORBIDDEN] = { NS_REFUSE_PROHIBITED, 2, "an address that nothing opens" },
};
_Static_assert(ARRAY_LEN(failures) == FAR_FAILURE_N, "failures[] and enum far_failure differ");

enum ns_refusal far_failure_refusal(enum far_failure why)
{
	return failures[why].refusal;
}

const char *far_failure_text(enum far_failure why)
{
	return failures[why].what;
}

static void begin_next(struct rt_far *far);
static void resolve(struct rt_far *far);

static uint64_t now_of(const struct rt_far *far)
{
	return loop_now_ms(far->rt->loop);
}

static void try_free(struct far_try *t, bool reset)
{
	list_del(&t->node);
	t->far->n_tries--;
	if (reset && t->side.ops)
		t->side.ops->reset(t->side.owner, t->side.h);
	free(t);
}

/* Gives up all tries but @but (may be NULL), and whatever else is under way. */
static void let_go(struct rt_far *far, const struct far_try *but)
{
	list_for_each (n, &far->tries) {
		struct far_try *t = container_of(n, struct far_try, node);

		if (t != but)
			try_free(t, true);
	}
	if (far->query)
		dns_cancel(rt_dns_of(far->rt), far->query);
	far->query = 0;
	loop_timer_cancel(far->rt->loop, &far->timer);
	free(far->addrs);
	far->addrs = NULL;
	far->n_addrs = far->next = 0;
}

void rt_far_close(struct rt_far *far)
{
	if (!far->rt)
		return;
	let_go(far, NULL);
	far->side.ops = NULL;
	far->rt = NULL;
}

static void fail(struct rt_far *far, enum far_failure why, const char *text)
{
	let_go(far, NULL);
	if (why == FAR_FORBIDDEN)
		log_limited(now_of(far), LOG_WARN,
			    "%s is refused: an address that nothing opens (loopback, link-local, "
			    "…) unless a rule names the very address",
			    far->to.name ? text_safe(far->to.name).s : "a destination");
	far->events->failed(far->arg, why, text);
}

static void note_failure(struct rt_far *far, enum far_failure why)
{
	if (!far->failed_before || failures[why].rank > failures[far->best].rank)
		far->best = why;
	far->failed_before = true;
}

/* ---- one try */

static void on_try_opened(struct far_try *t)
{
	struct rt_far *far = t->far;

	let_go(far, t);
	far->side = t->side;
	far->events->opened(far->arg);
}

/* A time-out at the end of the whole budget leaves none for the other addresses; one that the negative cache told does. */
static bool is_budget_over(const struct rt_far *far, enum far_failure why)
{
	return (why == FAR_TIMEOUT || why == FAR_NO_SESSION) &&
	       now_of(far) - far->open_ms >= TNL_CONNECT_BUDGET_MS;
}

static void on_try_failed(struct far_try *t, enum far_failure why, const char *text)
{
	struct rt_far *far = t->far;

	try_free(t, false);
	note_failure(far, why);
	if (why == FAR_PROHIBITED || is_budget_over(far, why))
		far->next = far->n_addrs;
	if (why != FAR_PROHIBITED && far->next < far->n_addrs)
		begin_next(far);
	else if (why == FAR_PROHIBITED || far->n_tries == 0)
		fail(far, far->best, far->best == why ? text : NULL);
}

static void on_try_gone(struct far_try *t)
{
	struct rt_far *far = t->far;

	try_free(t, false);
	far->side.ops = NULL;
	far->events->gone(far->arg);
}

static void on_try_io(struct far_try *t)
{
	t->far->events->io(t->far->arg);
}

/* ---- tunnel's events and direct's, which are alike */

static void chan_opened(void *arg, tnl_chan c)
{
	(void)c;
	on_try_opened(arg);
}

static void chan_failed(void *arg, tnl_chan c, enum tnl_open_failure why, const char *text)
{
	static const enum far_failure map[] = {
		[TNL_OPEN_REFUSED] = FAR_REFUSED,
		[TNL_OPEN_HOST_UNREACHABLE] = FAR_HOST_UNREACHABLE,
		[TNL_OPEN_NET_UNREACHABLE] = FAR_NET_UNREACHABLE,
		[TNL_OPEN_PROHIBITED] = FAR_PROHIBITED,
		[TNL_OPEN_TIMEOUT] = FAR_TIMEOUT,
		[TNL_OPEN_NO_SESSION] = FAR_NO_SESSION,
		[TNL_OPEN_LIMIT] = FAR_LIMIT,
		[TNL_OPEN_FAILED] = FAR_FAILED,
	};

	(void)c;
	on_try_failed(arg, map[why], text);
}

static void chan_io(void *arg, tnl_chan c)
{
	(void)c;
	on_try_io(arg);
}

static void chan_gone(void *arg, tnl_chan c)
{
	(void)c;
	on_try_gone(arg);
}

static void dir_opened(void *arg, dir_conn c)
{
	(void)c;
	on_try_opened(arg);
}

static void dir_failed(void *arg, dir_conn c, enum dir_failure why, const char *text)
{
	static const enum far_failure map[] = {
		[DIR_REFUSED] = FAR_REFUSED,
		[DIR_HOST_UNREACHABLE] = FAR_HOST_UNREACHABLE,
		[DIR_NET_UNREACHABLE] = FAR_NET_UNREACHABLE,
		[DIR_PROHIBITED] = FAR_PROHIBITED,
		[DIR_TIMEOUT] = FAR_TIMEOUT,
		[DIR_LIMIT] = FAR_FAILED, /* of this machine: told at once, as by its kernel */
		[DIR_FAILED] = FAR_FAILED,
	};
	_Static_assert(ARRAY_LEN(map) == DIR_FAILURE_N, "map[] and enum dir_failure differ");

	(void)c;
	on_try_failed(arg, map[why], text);
}

static void dir_io(void *arg, dir_conn c)
{
	(void)c;
	on_try_io(arg);
}

static void dir_gone(void *arg, dir_conn c)
{
	(void)c;
	on_try_gone(arg);
}

static int open_direct(struct rt_far *far, struct far_try *t, const struct net_endpoint *dst)
{
	static const struct dir_events events = {
		.opened = dir_opened,
		.failed = dir_failed,
		.readable = dir_io,
		.writable = dir_io,
		.gone = dir_gone,
	};
	dir_conn c;
	int r = dir_open(far->rt->dir, &c, dst, far->to.any, &events, t);

	if (r == 0)
		t->side = rt_side_direct(far->rt->dir, c);
	return r;
}

static int open_channel(struct rt_far *far, struct far_try *t, const struct net_endpoint *dst)
{
	static const struct tnl_chan_events events = {
		.opened = chan_opened,
		.failed = chan_failed,
		.readable = chan_io,
		.writable = chan_io,
		.gone = chan_gone,
	};
	struct tnl_upstream *u = rt_upstream_of(far->rt, far->to.upstream);
	tnl_chan c;
	int r = u ? tnl_open(u, &c, dst, &far->to.src, &events, t) : ST_ENOENT;

	if (r == 0)
		t->side = rt_side_tunnel(u, c);
	return r;
}

static enum far_failure failure_of(const struct rt_far *far, int err)
{
	switch (err) {
	case ST_EPERM: return FAR_FORBIDDEN;
	case ST_EFULL: return far->to.direct ? FAR_FAILED : FAR_LIMIT;
	case ST_ENOENT: return FAR_NO_SESSION; /* the upstream has been retired */
	default: return FAR_FAILED;
	}
}

/* Return: whether a try is under way; else its failure is noted */
static bool try_begin(struct rt_far *far, const struct net_addr *addr)
{
	const struct net_endpoint dst = { .addr = *addr, .port = far->to.dst.port };
	struct far_try *t = calloc(1, sizeof(*t));
	int r = ST_ENOMEM;

	if (t) {
		t->far = far;
		list_node_init(&t->node);
		list_push_back(&far->tries, &t->node);
		far->n_tries++;
		r = far->to.direct ? open_direct(far, t, &dst) : open_channel(far, t, &dst);
	}
	if (r == 0)
		return true;
	log_limited(now_of(far), LOG_WARN, "an open failed: %s", st_strerror(r));
	if (t)
		try_free(t, false);
	note_failure(far, failure_of(far, r));
	return false;
}

/* ---- the addresses of a name */

static enum tnl_state state_of(const struct rt_far *far)
{
	struct tnl_upstream *u = rt_upstream_of(far->rt, far->to.upstream);
	struct tnl_status status = { .state = TNL_FAILED };

	if (far->to.direct)
		return TNL_UP;
	if (u)
		tnl_upstream_status(u, &status);
	return status.state;
}

static void arm(struct rt_far *far, uint32_t in_ms)
{
	if (loop_timer_set(far->rt->loop, &far->timer, now_of(far) + in_ms) < 0)
		log_limited(now_of(far), LOG_WARN, "a timer: %s", st_strerror(ST_ENOMEM));
}

static void begin_next(struct rt_far *far)
{
	while (far->next < far->n_addrs && far->n_tries < RT_FAR_TRIES_MAX) {
		if (!try_begin(far, &far->addrs[far->next++]))
			continue;
		if (far->next < far->n_addrs)
			arm(far, RT_FAR_NEXT_MS);
		return;
	}
	if (far->n_tries == 0)
		fail(far, far->best, NULL);
}

static void on_timer(void *arg, uint64_t now_ms)
{
	struct rt_far *far = arg;

	(void)now_ms;
	if (far->open_ms == 0)
		resolve(far);
	else if (state_of(far) == TNL_UP)
		begin_next(far);
	else
		arm(far, RT_FAR_NEXT_MS); /* nobody there to answer the first one */
}

static bool may_open(struct rt_far *far, const struct net_addr *a)
{
	if (dns_is_fake(rt_dns_of(far->rt), a))
		return false; /* an answer of our own came back to us */
	return !net_addr_is_local_only(a) || rt_rules_find(far->rt->table.rules, a);
}

static void take_family(struct rt_far *far, const struct net_addr *addrs, size_t n, bool first,
			uint8_t at)
{
	for (size_t i = 0; i < n; i++)
		if ((addrs[i].family == far->to.dst.addr.family) == first &&
		    may_open(far, &addrs[i])) {
			far->addrs[at] = addrs[i];
			at = (uint8_t)(at + 2);
		}
}

/* By turns, the asked family first; places that one family leaves free are closed up. */
static int take_addrs(struct rt_far *far, const struct net_addr *addrs, size_t n)
{
	n = MIN(n, DNS_ADDRS_MAX);
	far->addrs = calloc(2 * DNS_ADDRS_MAX + 2, sizeof(*far->addrs));
	if (!far->addrs)
		return ST_ENOMEM;
	take_family(far, addrs, n, true, 0);
	take_family(far, addrs, n, false, 1);
	for (size_t i = 0; i < 2 * n + 1; i++)
		if (far->addrs[i].family)
			far->addrs[far->n_addrs++] = far->addrs[i];
	return far->n_addrs ? 0 : ST_EPERM;
}

/* The way to the resolver is down: as with an open, that is waited for; the budget stands still while a person must act. */
static bool may_wait(struct rt_far *far)
{
	const enum tnl_state state = state_of(far);

	if (state == TNL_WAITING)
		far->since_ms = now_of(far);
	return !far->to.direct && state != TNL_FAILED &&
	       now_of(far) - far->since_ms < TNL_CONNECT_BUDGET_MS;
}

static void open_addrs(struct rt_far *far)
{
	far->open_ms = now_of(far);
	far->events->opening(far->arg);
	begin_next(far);
}

static void on_addrs(void *arg, int err, const struct net_addr *addrs, size_t n, const char *text)
{
	struct rt_far *far = arg;

	far->query = 0;
	if (err == 0)
		err = take_addrs(far, addrs, n);
	if (err == 0)
		open_addrs(far);
	else if (err == ST_EPERM)
		fail(far, FAR_FORBIDDEN, text);
	else if (err == ST_ENOENT)
		fail(far, FAR_NO_NAME, text);
	else if (may_wait(far))
		arm(far, RT_FAR_RETRY_MS);
	else
		fail(far, FAR_NO_ANSWER, text);
}

static void resolve(struct rt_far *far)
{
	const struct dns_via via = { .upstream = far->to.upstream,
				     .resolver = far->rt->upstreams[far->to.upstream].resolver };
	handle query = dns_resolve(rt_dns_of(far->rt), far->to.name, far->to.direct ? NULL : &via,
				   on_addrs, far);

	if (query) /* else on_addrs() has been called, and may have closed this */
		far->query = query;
}

void rt_far_open(struct rt_far *far, struct rt *r, const struct rt_far_target *to,
		 const struct rt_far_events *events, void *arg)
{
	*far = (struct rt_far){ .rt = r, .events = events, .arg = arg, .to = *to };
	ST_ASSERT(to->direct || to->upstream < RT_UPSTREAMS_MAX);
	list_init(&far->tries);
	loop_timer_init(&far->timer, on_timer, far);
	far->since_ms = now_of(far);
	if (to->name) {
		resolve(far);
		return;
	}
	far->open_ms = far->since_ms;
	events->opening(arg);
	if (!try_begin(far, &to->dst.addr))
		fail(far, far->best, NULL);
}
