// SPDX-License-Identifier: MIT
/*
 * gw_mgs_start.c - asks a stock agent to begin a session, until it does
 *
 * Theory of operation: a stock agent answers interactive_shell by CreateDataChannel only, and
 * shortly after its control channel came up it may drop the message (ssm-protocol, 11). So the
 * message is kept and sent again, byte by byte the same, at growing intervals: an agent that has it
 * already refuses the copy by its session id without harm. The entry goes when the agent makes its
 * data channel, when the session is over, or after the last repetition.
 */
#include "gateway/gw_mgs.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "base/text.h"
#include "gateway/gw_content.h"
#include "gateway/gw_mgs_internal.h"

#define REPEAT_FIRST_MS 2000U /* ours; then twice as long each time */
#define REPEATS_MAX 3U

struct start {
	struct list_node node;
	struct gwm *all;
	char uid[CODEC_UUID_STR], session_id[GW_SESSION_ID_STR];
	uint8_t *msg;
	size_t len;
	uint32_t repeats;
	struct loop_timer timer;
};

static void start_free(struct start *s)
{
	loop_timer_cancel(s->all->gw->loop, &s->timer);
	list_del(&s->node);
	s->all->n_starts--;
	s->all->start_bytes -= s->len;
	free(s->msg);
	free(s);
}

static int start_send(struct start *s)
{
	uint64_t at = loop_now_ms(s->all->gw->loop) + (REPEAT_FIRST_MS << s->repeats);
	int r = gwm_send(s->all, s->uid, s->msg, s->len);

	return r < 0 ? r : loop_timer_set(s->all->gw->loop, &s->timer, at);
}

static void start_timer(void *arg, uint64_t now_ms)
{
	struct start *s = arg;

	(void)now_ms;
	if (s->repeats++ == REPEATS_MAX) {
		start_free(s); /* the session's own limit ends it */
		return;
	}
	log_debug("session %s: the agent is asked again", s->session_id);
	/* While its control channel is down, or full, the message waits for the next repetition. */
	if (start_send(s) < 0 &&
	    loop_timer_set(s->all->gw->loop, &s->timer,
			   loop_now_ms(s->all->gw->loop) + (REPEAT_FIRST_MS << s->repeats)) < 0)
		start_free(s);
}

/* ssm-protocol 8.4: the task is a JSON text inside of the JSON payload. */
static json_t *payload_make(const struct gwm_start *o)
{
	char owner[GW_KEY_NAME_MAX + 64];
	json_t *task, *payload = NULL;
	char *text;

	snprintf(owner, sizeof(owner), "arn:aws:iam::000000000000:user/%s", o->owner);
	task = json_pack("{s:s, s:o, s:s, s:o, s:s, s:s}", "DocumentName", o->document,
			 "DocumentContent", gw_content_make(o->document), "SessionId",
			 o->session_id, "Parameters", gw_content_params(o->params), "RunAsUser", "",
			 "SessionOwner", owner);
	if (task && (text = json_dumps(task, JSON_COMPACT))) {
		payload = json_pack("{s:s, s:s, s:s, s:i}", "Content", text, "TaskId",
				    o->session_id, "Topic", "aws.ssm.startSession", "SchemaVersion",
				    1);
		free(text);
	}
	json_decref(task);
	return payload;
}

static struct start *start_new(struct gwm *m, const struct gwm_start *o)
{
	json_t *payload = payload_make(o);
	struct start *s = calloc(1, sizeof(*s));
	ssize_t n = payload && s ? gwm_msg_make(&s->msg, SSM_INTERACTIVE_SHELL, payload)
				 : ST_ENOMEM;

	json_decref(payload);
	if (n < 0) {
		free(s);
		return NULL;
	}
	s->all = m;
	s->len = (size_t)n;
	text_copy(s->uid, sizeof(s->uid), o->uid);
	text_copy(s->session_id, sizeof(s->session_id), o->session_id);
	list_node_init(&s->node);
	loop_timer_init(&s->timer, start_timer, s);
	list_push_back(&m->starts, &s->node);
	m->n_starts++;
	m->start_bytes += s->len;
	return s;
}

int gwm_session_start(struct gwm *m, const struct gwm_start *o)
{
	struct start *s;
	int r;

	if (m->n_starts >= GWM_STARTS_MAX || m->start_bytes >= GWM_START_BYTES_MAX)
		return ST_EFULL;
	if (!(s = start_new(m, o)))
		return ST_ENOMEM;
	if ((r = start_send(s)) < 0)
		start_free(s);
	return r == ST_EAGAIN ? ST_EFULL : r; /* its queue is full: a client may try later */
}

void gwm_start_done(struct gwm *m, const char *session_id)
{
	list_for_each (n, &m->starts) {
		struct start *s = container_of(n, struct start, node);

		if (strcmp(s->session_id, session_id) != 0)
			continue;
		start_free(s);
		return;
	}
}

void gwm_session_end(struct gwm *m, const char *uid, const char *session_id, const uint8_t *closed,
		     size_t len)
{
	gwm_start_done(m, session_id);
	if (closed && gwm_send(m, uid, closed, len) < 0)
		log_debug("session %s: its agent is not told", session_id);
}

void gwm_starts_free(struct gwm *m)
{
	list_for_each (n, &m->starts)
		start_free(container_of(n, struct start, node));
}
