// SPDX-License-Identifier: MIT
/*
 * aws_call.c - one call: its states, its beginning and its end
 *
 * Theory of operation: a call goes through the states of aws_call.h, from its timer, the chain's answer, the resolver's and
 * libcurl's; it ends exactly once, by its owner's callback or by cancellation. Its attempts are made in aws_attempt.c, what comes
 * back is judged in aws_answer.c.
 */
#include "aws/aws_call.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "base/text.h"

#define SENT_NEXT (BIT(CALL_RESOLVING) | BIT(CALL_SENDING) | BIT(CALL_PAUSING) | BIT(CALL_OVER))

static const struct {
	const char *name;
	uint32_t next;
} states[] = {
	[CALL_PREPARING] = { "preparing", BIT(CALL_ASKING) | SENT_NEXT },
	[CALL_ASKING] = { "asking", SENT_NEXT },
	[CALL_RESOLVING] = { "resolving", BIT(CALL_SENDING) | BIT(CALL_PAUSING) | BIT(CALL_OVER) },
	[CALL_SENDING] = { "sending", BIT(CALL_PAUSING) | BIT(CALL_EXPLAINING) | BIT(CALL_OVER) },
	[CALL_PAUSING] = { "pausing", BIT(CALL_ASKING) | SENT_NEXT },
	[CALL_EXPLAINING] = { "explaining", BIT(CALL_OVER) },
	[CALL_OVER] = { "over", 0 },
};
static_assert(ARRAY_LEN(states) == CALL_STATE_N, "states[] and enum call_state differ");

const char *aws_call_name(const struct call *c)
{
	return c->rq.url ? c->rq.url : aws_ops[c->rq.op].name;
}

void aws_call_set_state(struct call *c, enum call_state to, const char *why)
{
	if (!(states[c->state].next & BIT(to)))
		ST_BUG("aws call: %s -> %s: %s", states[c->state].name, states[to].name, why);
	log_trace("aws: %s: %s -> %s: %s", text_safe(aws_call_name(c)).s, states[c->state].name,
		  states[to].name, why);
	c->state = to;
}

static void request_fini(struct aws_request *rq)
{
	for (char **line = rq->headers; line && *line; line++)
		aws_secret_free(*line);
	free(rq->headers);
	json_decref(rq->params);
	free(rq->subject);
	free(rq->region);
	free(rq->url);
	aws_secret_free(rq->bearer);
	aws_creds_wipe(&rq->as);
}

static void call_free(struct call *c)
{
	aws_attempt_end(c);
	loop_timer_cancel(c->aws->loop, &c->timer);
	request_fini(&c->rq);
	aws_explain_free(c->explain);
	json_decref(c->joined);
	free(c->refused);
	free(c->refusal);
	free(c);
}

/* Of the four kinds of owners the one that there is. */
static void owner_tell(const struct call *c, const struct aws_error *error, json_t *answer,
		       const struct aws_session *s)
{
	const struct aws_request *rq = &c->rq;

	if (rq->session_fn)
		rq->session_fn(rq->arg, error, s);
	else if (rq->done_fn)
		rq->done_fn(rq->arg, error);
	else if (rq->answer_fn)
		rq->answer_fn(rq->arg, error, answer);
	else
		rq->fetch_fn(rq->arg, error, c->http.head.status,
			     error ? "" : (const char *)buf_data(&c->http.answer),
			     error ? 0 : c->http.answer.len - 1);
}

/* Tells the owner; the callback may do anything but aws_free(). */
void aws_call_finish(struct call *c, const struct aws_error *error, json_t *answer,
		     const struct aws_session *s)
{
	struct aws *a = c->aws;

	aws_call_set_state(c, CALL_OVER, error ? error->text : "done");
	hnd_del(&a->calls, c->id);
	loop_timer_cancel(a->loop, &c->timer);
	if (error)
		log_debug("aws: %s: %s%s%s", text_safe(aws_call_name(c)).s, error->text,
			  error->request_id[0] ? "; request id " : "", error->request_id);
	owner_tell(c, error, answer, s);
	call_free(c);
	aws_multi_kick(a);
}

void aws_call_fail(struct call *c, const struct aws_error *error)
{
	aws_call_finish(c, error, NULL, NULL);
}

void aws_call_fail_err(struct call *c, int err)
{
	struct aws_error error;

	aws_error_set(&error, err, "%s: %s", text_safe(aws_call_name(c)).s, st_strerror(err));
	aws_call_fail(c, &error);
}

/* ---- beginning and ending ---- */

static char *copy_or_null(const char *s, bool *failed)
{
	char *copy = s ? strdup(s) : NULL;

	*failed = *failed || (s && !copy);
	return copy;
}

/* Return: ST_ENOMEM with @rq to be given back by the caller all the same */
static int request_complete(struct aws_request *rq, const char *subject, const struct aws_as *as)
{
	bool failed = !rq->url && !rq->params;

	rq->subject = copy_or_null(subject, &failed);
	if (as) {
		rq->bearer = copy_or_null(as->bearer, &failed);
		rq->region = copy_or_null(as->region && *as->region ? as->region : NULL, &failed);
		rq->own_gateway = as->own_gateway;
		if (as->creds && aws_creds_copy(&rq->as, as->creds) < 0)
			failed = true;
	}
	return failed ? ST_ENOMEM : 0;
}

static int call_new(struct aws_account *acc, aws_call *out, const struct aws_request *rq)
{
	struct aws *a = acc->aws;
	struct call *c = calloc(1, sizeof(*c));
	uint64_t now_ms;
	int err;

	if (!c)
		return ST_ENOMEM;
	now_ms = loop_now_ms(a->loop);
	*c = (struct call){
		.aws = a,
		.acc = acc,
		.rq = *rq,
		.state = CALL_PREPARING,
		.deadline_ms = now_ms + a->limits.call_ms,
	};
	loop_timer_init(&c->timer, aws_attempt_begin, c);
	if ((err = hnd_add(&a->calls, c, &c->id)) < 0) {
		free(c);
		return err;
	}
	if ((err = loop_timer_set(a->loop, &c->timer, now_ms)) < 0) {
		hnd_del(&a->calls, c->id);
		free(c);
		return err;
	}
	if (out)
		*out = c->id;
	return 0;
}

int aws_call_begin(struct aws_account *acc, aws_call *out, const struct aws_request *rq,
		   const char *subject, const struct aws_as *as)
{
	struct aws_request own = *rq;
	int err = request_complete(&own, subject, as);

	if (!err)
		err = acc->aws ? call_new(acc, out, &own) : ST_ENOMEM;
	if (err < 0)
		request_fini(&own);
	return err;
}

int aws_ask_as(struct aws_account *acc, aws_call *out, enum aws_op op, json_t *params,
	       const char *subject, const struct aws_as *as, aws_answer_fn *done, void *arg)
{
	const struct aws_request rq = { .op = op, .params = params, .answer_fn = done, .arg = arg };

	return aws_call_begin(acc, out, &rq, subject, as);
}

int aws_ask(struct aws_account *acc, aws_call *out, enum aws_op op, json_t *params,
	    const char *subject, aws_answer_fn *done, void *arg)
{
	return aws_ask_as(acc, out, op, params, subject, NULL, done, arg);
}

int aws_ask_at(struct aws_account *acc, aws_call *out, enum aws_op op, json_t *params,
	       const char *subject, const struct aws_at *at, aws_answer_fn *done, void *arg)
{
	const struct aws_as as = { .region = at ? at->region : NULL,
				   .own_gateway = at && at->own_gateway };

	return aws_ask_as(acc, out, op, params, subject, &as, done, arg);
}

static char **headers_copy(const char *const *headers)
{
	size_t n = 0;
	char **copy;

	while (headers && headers[n])
		n++;
	if (!(copy = calloc(n + 1, sizeof(*copy))))
		return NULL;
	for (size_t i = 0; i < n; i++)
		if (!(copy[i] = strdup(headers[i]))) {
			while (i > 0)
				aws_secret_free(copy[--i]);
			free(copy);
			return NULL;
		}
	return copy;
}

int aws_fetch(struct aws_account *acc, aws_call *out, const struct aws_fetch *f, aws_fetch_fn *done,
	      void *arg)
{
	struct aws_request rq = {
		.method = f->method, .within_ms = f->within_ms, .fetch_fn = done, .arg = arg
	};

	rq.url = strdup(f->url);
	rq.headers = headers_copy(f->headers);
	if (!rq.url || !rq.headers) {
		request_fini(&rq);
		return ST_ENOMEM;
	}
	return aws_call_begin(acc, out, &rq, NULL, NULL);
}

void aws_cancel(struct aws *a, aws_call call)
{
	struct call *c = hnd_del(&a->calls, call);

	if (!c)
		return;
	call_free(c);
	aws_multi_kick(a);
}

void aws_calls_drop(struct aws *a, const struct aws_account *acc)
{
	uint32_t pos = 0;
	struct call *c;

	while ((c = hnd_next(&a->calls, &pos)))
		if (!acc || c->acc == acc)
			aws_cancel(a, c->id);
}
