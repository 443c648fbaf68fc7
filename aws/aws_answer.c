// SPDX-License-Identifier: MIT
/*
 * aws_answer.c - what an answer means for its call: the end, the next page, or another attempt
 *
 * Theory of operation: two refusals are tried again at once and only once a call: the chain's credentials that the service calls
 * expired, if the chain has others then, and a date that the service does not take because our clock is wrong. The clock's
 * difference is known from every answer, also from that to another call, and requests are dated by it. A StartSession
 * whose target is not connected goes on to aws_explain.c. Pages are joined into the first one.
 */
#include "aws/aws_call.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/err.h"
#include "base/log.h"
#include "base/text.h"

#define SKEW_S 60 /* a clock nearer than that is right enough */

static bool differs(int64_t a_s, int64_t b_s)
{
	return a_s - b_s > SKEW_S || b_s - a_s > SKEW_S;
}

/* Every answer says what time it is there. */
static void clock_learn(struct call *c)
{
	const int64_t date_s = c->http.head.date_s, was_s = c->acc->skew_s;
	int64_t skew_s = date_s - (int64_t)time(NULL);

	if (!date_s || c->rq.url)
		return;
	if (!differs(skew_s, 0))
		skew_s = 0;
	if (skew_s != 0 && was_s != 0 && !differs(skew_s, was_s))
		return;
	c->acc->skew_s = skew_s;
	if (skew_s)
		log_warn("this machine's clock is %lld s %s the service's: requests are dated by "
			 "the service's from now on; set the clock right",
			 (long long)(skew_s < 0 ? -skew_s : skew_s),
			 skew_s < 0 ? "ahead of" : "behind");
	else if (was_s)
		log_info("this machine's clock is right again");
}

/* The service says that the chain's credentials have expired, for the first time in this call. Return: true if the chain is asked */
static bool renew(struct call *c, const struct aws_error *error)
{
	const bool by_chain = c->creds.access_key && !c->rq.as.access_key;

	if (!by_chain || c->refused || !aws_error_is_expired(error))
		return false;
	c->refusal = malloc(sizeof(*c->refusal));
	c->refused = strdup(c->creds.access_key);
	if (!c->refusal || !c->refused) {
		aws_call_fail_err(c, ST_ENOMEM);
		return true;
	}
	*c->refusal = *error;
	/* EC2 says it of tokens and of requests that came too late; keys without a token have no end */
	c->keys_ended = c->creds.token || strcmp(error->code, "RequestExpired") != 0;
	aws_attempt_again(c, 0, "credentials have expired");
	return true;
}

static void on_explained(void *arg, const struct aws_error *error)
{
	aws_call_fail(arg, error);
}

static bool explain(struct call *c, const struct aws_error *error)
{
	if (c->rq.op != AWS_START_SESSION || error->err != ST_ECLOSED || !c->rq.subject ||
	    aws_explain_new(&c->explain, c->acc, error, c->rq.subject, &c->endpoint, on_explained,
			    c) < 0)
		return false;
	aws_attempt_end(c);
	aws_call_set_state(c, CALL_EXPLAINING, error->code);
	return true;
}

static void refused(struct call *c, const json_t *root)
{
	const struct aws_failure f = {
		.op = c->rq.op,
		.subject = c->rq.subject,
		.at = &c->endpoint,
		.head = &c->http.head,
		.root = root,
		.profile = aws_account_profile(c->acc),
		.source = c->creds.access_key ? c->creds.source : NULL,
		.skew_s = c->skew_s,
		.retries = c->attempt - 1,
	};
	struct aws_error error;

	aws_error_from_answer(&error, &f);
	if (error.err == ST_EAUTH && !c->reset_clock && differs(c->acc->skew_s, c->skew_s)) {
		c->reset_clock = true;
		aws_attempt_again(c, 0, "the clock differs");
	} else if (!renew(c, &error) && !explain(c, &error)) {
		aws_attempt_fail(c, &error, aws_error_is_transient(&error));
	}
}

static void nonsense(struct call *c, int err, const char *what)
{
	struct aws_error error;

	aws_error_set(&error, err, "the answer to %s makes no sense: %s", aws_call_name(c), what);
	error.http_status = (int)c->http.head.status;
	text_copy(error.request_id, sizeof(error.request_id), text_safe(c->http.head.request_id).s);
	aws_call_fail(c, &error);
}

#define PAGES_MAX 50U
#define PAGE_BYTES_MAX MIB(16)

/* Puts @root behind the pages so far. Return: true if another page was asked for, or the call has ended */
static bool page_join(struct call *c, json_t *root)
{
	const struct aws_op_row *row = &aws_ops[c->rq.op];
	const char *token = row->token_out ? aws_text(root, row->token_out) : NULL;
	json_t *list = row->list ? aws_list(root, row->list) : NULL, *sum;
	bool failed = false;

	c->page_bytes += c->http.answer.len;
	if (!c->joined)
		c->joined = json_incref(root);
	else if (list && (sum = aws_list(c->joined, row->list)))
		failed = json_array_extend(sum, list) != 0;
	else if (list)
		failed = json_object_set(c->joined, row->list, list) != 0;
	if (failed) {
		aws_call_fail_err(c, ST_ENOMEM);
		return true;
	}
	if (!token || !*token)
		return false;
	if (++c->pages >= PAGES_MAX || c->page_bytes > PAGE_BYTES_MAX) {
		nonsense(c, ST_EFULL, "it does not end");
		return true;
	}
	if (json_object_set_new(c->rq.params, row->token_in, json_string(token))) {
		aws_call_fail_err(c, ST_ENOMEM);
		return true;
	}
	c->attempt = 0;
	c->deadline_ms = loop_now_ms(c->aws->loop) + c->aws->limits.call_ms;
	aws_attempt_again(c, 0, "next page");
	return true;
}

static void accepted(struct call *c, json_t *root)
{
	const bool tls = c->endpoint.tls;
	struct aws_error error;
	struct aws_session s;

	if (!root) {
		nonsense(c, ST_EPEER, "it can't be read");
	} else if (!c->rq.session_fn) {
		if (!page_join(c, root))
			aws_call_finish(c, NULL, c->joined, NULL);
	} else if (aws_session_read(&s, c->rq.op, root, tls, &error) < 0) {
		error.http_status = 200;
		text_copy(error.request_id, sizeof(error.request_id),
			  text_safe(c->http.head.request_id).s);
		aws_call_fail(c, &error);
	} else {
		aws_call_finish(c, NULL, NULL, &s);
	}
}

void aws_call_answered(struct call *c)
{
	json_t *root = NULL;

	clock_learn(c);
	if (c->rq.url) {
		if (buf_put(&c->http.answer, "", 1) == 0)
			aws_call_finish(c, NULL, NULL, NULL);
		else
			aws_call_fail_err(c, ST_ENOMEM);
		return;
	}
	aws_proto_read(&root, c->rq.op, buf_data(&c->http.answer), c->http.answer.len);
	if (c->http.head.status == 200)
		accepted(c, root);
	else
		refused(c, root);
	json_decref(root);
}
