// SPDX-License-Identifier: MIT
/*
 * gw_push.c - see gw_push.h
 *
 * Theory of operation: as gw_poll.c, calls wait equally long, so they stand in a queue and one timer waits for its head. The
 * agent repeats our push_id in its answer and says one word, of which the table below knows what the caller is told.
 */
#include "gateway/gw_push.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/list.h"
#include "base/log.h"
#include "base/text.h"
#include "gateway/gw_agents.h"
#include "gateway/gw_api.h"
#include "gateway/gw_envelope.h"

struct push {
	struct list_node node;
	ws_req req;
	char id[CODEC_UUID_STR], uid[CODEC_UUID_STR];
	uint64_t until_ms;
};

struct gwk {
	struct gw *gw;
	struct list pushes; /* in the order of until_ms */
	uint32_t n;
	struct loop_timer timer;
};

static const struct {
	const char *word, *code, *message; /* code NULL: done */
} answers[] = {
	{ "ok", NULL, NULL },
	{ "unsupported", "UnsupportedOperation",
	  "The host's agent takes no keys: start it with --authorized-keys-dir, or put the key "
	  "into "
	  "authorized_keys on the host." },
	{ "full", "ThrottlingException", "The host's agent holds as many keys as it takes." },
	{ "invalid", "InvalidArgsException", "The host's agent does not take this user or key." },
	{ "failed", "ServiceException", "The host's agent could not store the key." },
};

static void push_free(struct gwk *k, struct push *p)
{
	list_del(&p->node);
	k->n--;
	free(p);
}

/* @code NULL: success */
static void push_answer(struct gwk *k, struct push *p, const char *code, const char *message)
{
	json_t *body = code ? json_pack("{s:s, s:s}", "__type", code, "message", message)
			    : json_pack("{s:s, s:b}", "RequestId", p->id, "Success", 1);

	gw_api_answer(k->gw, p->req, code ? 400 : 200, body);
	json_decref(body);
	push_free(k, p);
}

static void arm(struct gwk *k)
{
	struct push *first = container_of(k->pushes.head.next, struct push, node);

	if (list_empty(&k->pushes))
		loop_timer_cancel(k->gw->loop, &k->timer);
	/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): it misses that a freed node's list_del() changed the head */
	else if (loop_timer_set(k->gw->loop, &k->timer, first->until_ms) < 0)
		log_error("keys: no memory for a timer");
}

static void on_timer(void *arg, uint64_t now_ms)
{
	struct gwk *k = arg;

	list_for_each (n, &k->pushes) {
		struct push *p = container_of(n, struct push, node);

		if (p->until_ms > now_ms)
			break;
		push_answer(k, p, "EC2InstanceUnavailableException",
			    "The host's agent did not answer in time.");
	}
	arm(k);
}

void gwk_answered(struct gwk *k, const char *uid, const json_t *body)
{
	const char *id = json_str(body, "push_id"), *word = json_str(body, "result");
	size_t row = 0;

	while (word && row < ARRAY_LEN(answers) && strcmp(answers[row].word, word) != 0)
		row++;
	list_for_each (n, &k->pushes) {
		struct push *p = container_of(n, struct push, node);

		if (!id || strcmp(p->id, id) != 0 || strcmp(p->uid, uid) != 0)
			continue;
		if (word && row < ARRAY_LEN(answers))
			push_answer(k, p, answers[row].code, answers[row].message);
		else
			push_answer(k, p, "ServiceException", "The host's agent made no sense.");
		break;
	}
	arm(k);
}

static int push_request(struct gwk *k, const struct push *p, const char *user, const char *line)
{
	json_t *body = json_pack("{s:s, s:s, s:s, s:i}", "push_id", p->id, "user", user, "key",
				 line, "life_s", GWK_LIFE_S);
	int r = body ? gwa_request(k->gw->agents, p->uid, CH_SSH_KEY, body) : ST_ENOMEM;

	json_decref(body);
	return r;
}

int gwk_send(struct gwk *k, ws_req r, const char *uid, const char *user, const char *line)
{
	struct push *p;
	uint8_t raw[CODEC_UUID_LEN];
	int e;

	if (k->n >= GWK_CALLS_MAX)
		return ST_EFULL;
	if (!(p = calloc(1, sizeof(*p))))
		return ST_ENOMEM;
	codec_uuid4(raw);
	codec_uuid_str(p->id, raw);
	text_copy(p->uid, sizeof(p->uid), uid);
	if ((e = push_request(k, p, user, line)) < 0) {
		free(p);
		return e;
	}
	p->req = r;
	p->until_ms = loop_now_ms(k->gw->loop) + GWK_WAIT_MS;
	list_push_back(&k->pushes, &p->node);
	k->n++;
	arm(k);
	return 0;
}

int gwk_new(struct gwk **out, struct gw *gw)
{
	struct gwk *k = calloc(1, sizeof(*k));

	if (!k)
		return ST_ENOMEM;
	k->gw = gw;
	list_init(&k->pushes);
	loop_timer_init(&k->timer, on_timer, k);
	*out = k;
	return 0;
}

void gwk_free(struct gwk *k)
{
	if (!k)
		return;
	list_for_each (n, &k->pushes)
		push_free(k, container_of(n, struct push, node));
	loop_timer_cancel(k->gw->loop, &k->timer);
	free(k);
}
