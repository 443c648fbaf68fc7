// SPDX-License-Identifier: MIT
/*
 * gw_poll.c - long polls that end without a message
 *
 * Theory of operation: all polls wait equally long, so they stand in a queue and one timer waits for
 * its head. An instance has one poll at most; a request whose caller has gone is answered into
 * nothing, which is harmless.
 */
#include "gateway/gw_poll.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/list.h"
#include "base/log.h"
#include "base/text.h"
#include "gateway/gw_api.h"

struct poll {
	struct list_node node;
	ws_req req;
	char id[GW_NAME_MAX + 1], request_id[GWP_TEXT_MAX + 1];
	uint64_t until_ms;
};

struct gwp {
	struct gw *gw;
	struct list polls; /* in the order of until_ms */
	uint32_t n;
	struct loop_timer timer;
};

static void poll_free(struct gwp *p, struct poll *l)
{
	list_del(&l->node);
	p->n--;
	free(l);
}

static void poll_answer(struct gwp *p, struct poll *l)
{
	json_t *body = json_pack("{s:s, s:[], s:s}", "Destination", l->id, "Messages",
				 "MessagesRequestId", l->request_id);

	gw_api_answer(p->gw, l->req, 200, body);
	json_decref(body);
	poll_free(p, l);
}

static void arm(struct gwp *p)
{
	struct poll *first = container_of(p->polls.head.next, struct poll, node);

	if (list_empty(&p->polls))
		loop_timer_cancel(p->gw->loop, &p->timer);
	/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): it misses that a freed node's list_del() changed the head */
	else if (loop_timer_set(p->gw->loop, &p->timer, first->until_ms) < 0)
		log_error("polls: no memory for a timer");
}

static void on_timer(void *arg, uint64_t now_ms)
{
	struct gwp *p = arg;

	list_for_each (n, &p->polls) {
		struct poll *l = container_of(n, struct poll, node);

		if (l->until_ms > now_ms)
			break;
		poll_answer(p, l);
	}
	arm(p);
}

/* The instance's earlier poll: whoever asks again does not wait for it any more. */
static void poll_replace(struct gwp *p, const char *id)
{
	list_for_each (n, &p->polls) {
		struct poll *l = container_of(n, struct poll, node);

		if (strcmp(l->id, id) == 0) {
			poll_answer(p, l);
			return;
		}
	}
}

int gwp_wait(struct gwp *p, ws_req r, const char *id, const char *request_id)
{
	struct poll *l;

	poll_replace(p, id);
	if (p->n >= GWP_POLLS_MAX)
		return ST_EFULL;
	if (!(l = calloc(1, sizeof(*l))))
		return ST_ENOMEM;
	if (!text_copy(l->id, sizeof(l->id), id) ||
	    !text_copy(l->request_id, sizeof(l->request_id), request_id)) {
		free(l);
		return ST_EINVAL;
	}
	l->req = r;
	l->until_ms = loop_now_ms(p->gw->loop) + GWP_WAIT_MS;
	list_push_back(&p->polls, &l->node);
	p->n++;
	arm(p);
	return 0;
}

int gwp_new(struct gwp **out, struct gw *gw)
{
	struct gwp *p = calloc(1, sizeof(*p));

	if (!p)
		return ST_ENOMEM;
	p->gw = gw;
	list_init(&p->polls);
	loop_timer_init(&p->timer, on_timer, p);
	*out = p;
	return 0;
}

void gwp_free(struct gwp *p)
{
	if (!p)
		return;
	list_for_each (n, &p->polls)
		poll_free(p, container_of(n, struct poll, node));
	loop_timer_cancel(p->gw->loop, &p->timer);
	free(p);
}
