// SPDX-License-Identifier: MIT
/*
 * aws_call.c - one API call: profile and keys, name look-up, signed request, retries, answer
 *
 * Theory of operation: a call goes through the states below, from its timer, the resolver's answer and libcurl's;
 * it ends exactly once, by its owner's callback or by cancellation. Every attempt reads profile and keys anew
 * (decision 11) and wipes them when it ends. Only codes of the table in aws_error.c that say so, and connections that
 * broke before an answer, are tried again: at most AWS_ATTEMPTS_MAX times, with full jitter, within call_ms.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "aws/aws_internal.h"
#include "base/codec.h"
#include "base/err.h"
#include "base/log.h"
#include "base/text.h"

#define RESOLVE_MS 5000U      /* ours: as the connect time-out */
#define BACKOFF_MAX_MS 20000U /* botocore retries/standard.py ExponentialBackoff */

/*
 * preparing: the timer of this turn will start an attempt. resolving: job is out; ended by its answer.
 * sending: the easy handle is in the multi; ended by aws_call_done(). pausing: timer runs. over: the owner has been told.
 */
enum call_state {
	CALL_PREPARING,
	CALL_RESOLVING,
	CALL_SENDING,
	CALL_PAUSING,
	CALL_OVER,
	CALL_STATE_N
};

static const struct {
	const char *name;
	uint32_t next;
} states[] = {
	[CALL_PREPARING] = { "preparing", BIT(CALL_RESOLVING) | BIT(CALL_SENDING) |
						  BIT(CALL_PAUSING) | BIT(CALL_OVER) },
	[CALL_RESOLVING] = { "resolving", BIT(CALL_SENDING) | BIT(CALL_PAUSING) | BIT(CALL_OVER) },
	[CALL_SENDING] = { "sending", BIT(CALL_PAUSING) | BIT(CALL_OVER) },
	[CALL_PAUSING] = { "pausing", BIT(CALL_RESOLVING) | BIT(CALL_SENDING) | BIT(CALL_PAUSING) |
					      BIT(CALL_OVER) },
	[CALL_OVER] = { "over", 0 },
};
static_assert(ARRAY_LEN(states) == CALL_STATE_N, "states[] and enum call_state differ");

struct call {
	struct aws *aws;
	struct aws_account *acc;
	handle id;
	struct aws_request rq;
	enum call_state state;
	struct loop_timer timer;
	uint64_t deadline_ms;
	unsigned attempt; /* from 1 */

	/* of the attempt under way */
	handle job; /* of svc->resolve; 0: none */
	struct aws_endpoint endpoint;
	struct aws_creds creds;
	struct aws_http http;
};

static void set_state(struct call *c, enum call_state to, const char *why)
{
	if (!(states[c->state].next & BIT(to)))
		ST_BUG("aws call: %s -> %s: %s", states[c->state].name, states[to].name, why);
	log_trace("aws: %s: %s -> %s: %s", aws_ops[c->rq.op].name, states[c->state].name,
		  states[to].name, why);
	c->state = to;
}

/* Everything of one attempt; the easy handle leaves the multi first. */
static void attempt_end(struct call *c)
{
	if (c->job)
		c->aws->svc->cancel(c->aws->svc->ctx, c->job);
	c->job = 0;
	aws_http_end(&c->http, c->aws);
	aws_creds_wipe(&c->creds);
	aws_endpoint_fini(&c->endpoint);
}

static void call_free(struct call *c)
{
	attempt_end(c);
	loop_timer_cancel(c->aws->loop, &c->timer);
	free(c->rq.body);
	free(c->rq.subject);
	free(c);
}

/* Tells the owner; the callback may do anything but aws_free(). */
static void call_finish(struct call *c, const struct aws_error *error, const struct aws_session *s)
{
	struct aws *a = c->aws;

	set_state(c, CALL_OVER, error ? error->text : "done");
	hnd_del(&a->calls, c->id);
	loop_timer_cancel(a->loop, &c->timer);
	if (error)
		log_debug("aws: %s: %s", aws_ops[c->rq.op].name, error->text);
	if (c->rq.session_fn)
		c->rq.session_fn(c->rq.arg, error, s);
	else
		c->rq.done_fn(c->rq.arg, error);
	call_free(c);
	aws_multi_kick(a);
}

static uint32_t left_ms(const struct call *c, uint64_t now_ms)
{
	return now_ms < c->deadline_ms ? (uint32_t)(c->deadline_ms - now_ms) : 0;
}

/* Full jitter: anything from 0 to the bound, which doubles with every attempt. */
static uint32_t pause_ms(const struct call *c)
{
	uint32_t bound = MIN(c->aws->limits.backoff_ms << (c->attempt - 1), BACKOFF_MAX_MS), r;

	codec_random(&r, sizeof(r));
	return r % (bound + 1);
}

/* The attempt failed: try again or give up. */
static void attempt_fail(struct call *c, const struct aws_error *error, bool try_again)
{
	uint64_t now_ms = loop_now_ms(c->aws->loop);
	uint32_t pause = pause_ms(c);

	if (!try_again || c->attempt >= AWS_ATTEMPTS_MAX || pause >= left_ms(c, now_ms)) {
		call_finish(c, error, NULL);
		return;
	}
	attempt_end(c);
	if (loop_timer_set(c->aws->loop, &c->timer, now_ms + pause) < 0) {
		call_finish(c, error, NULL);
		return;
	}
	log_debug("aws: %s: attempt %u: %s; again in %u ms", aws_ops[c->rq.op].name, c->attempt,
		  error->text, pause);
	set_state(c, CALL_PAUSING, "attempt failed");
}

static void call_fail_err(struct call *c, int err)
{
	struct aws_error error;

	aws_error_set(&error, err, "%s: %s", aws_ops[c->rq.op].name, st_strerror(err));
	call_finish(c, &error, NULL);
}

static void attempt_send(struct call *c)
{
	struct aws *a = c->aws;
	uint32_t within_ms = MAX(MIN(a->limits.attempt_ms, left_ms(c, loop_now_ms(a->loop))), 1U);
	int err;

	set_state(c, CALL_SENDING, "address known");
	err = aws_http_send(&c->http, a, &c->endpoint, &c->creds, &c->rq, within_ms, c);
	if (err < 0)
		call_fail_err(c, err);
	else
		aws_multi_kick(a);
}

static const char *peer_host(const struct call *c)
{
	return c->endpoint.proxy ? c->endpoint.proxy_host : c->endpoint.host;
}

static void on_resolved(void *arg, int err, const struct net_addr *addrs, size_t n,
			const char *text)
{
	struct call *c = arg;
	struct aws_error error;

	c->job = 0;
	if (err < 0 || n == 0) {
		aws_error_set(&error, err < 0 ? err : ST_EUNREACH,
			      "Could not connect to the endpoint URL: \"%s\": the name %s can't be "
			      "resolved: %s",
			      text_safe(c->endpoint.url).s, peer_host(c),
			      text ? text_safe(text).s : st_strerror(err < 0 ? err : ST_ENOENT));
		if (error.err == ST_ENOENT) /* that is an unknown target or session */
			error.err = ST_EUNREACH;
		aws_error_hint(&error, "see the network and the region (%s)", c->endpoint.region);
		error.retryable = true;
		attempt_fail(c, &error, true);
		return;
	}
	if (aws_http_resolve(&c->http, peer_host(c),
			     c->endpoint.proxy ? c->endpoint.proxy_port : c->endpoint.port, addrs,
			     n) < 0) {
		call_fail_err(c, ST_ENOMEM);
		return;
	}
	attempt_send(c);
}

static void attempt_resolve(struct call *c, uint64_t now_ms)
{
	struct aws *a = c->aws;
	struct net_addr literal;
	int err;

	if (net_addr_parse(&literal, peer_host(c)) == 0) {
		attempt_send(c);
		return;
	}
	set_state(c, CALL_RESOLVING, "a name");
	err = a->svc->resolve(a->svc->ctx, &c->job, peer_host(c),
			      MIN(RESOLVE_MS, left_ms(c, now_ms)), on_resolved, c);
	if (err < 0) {
		c->job = 0;
		call_fail_err(c, err);
	}
}

static void attempt_begin(void *arg, uint64_t now_ms)
{
	struct call *c = arg;
	struct aws_profile p;
	struct aws_error error;
	int err;

	c->attempt++;
	if ((err = aws_profile_load(&p, c->acc, &error)) == 0) {
		err = aws_endpoint_find(&c->endpoint, c->acc, &p, &error);
		if (err == 0)
			err = aws_creds_find(&c->creds, c->acc, &p, &error);
		aws_profile_fini(&p);
	}
	if (err < 0)
		call_finish(c, &error, NULL);
	else
		attempt_resolve(c, now_ms);
}

static bool broke_before_answer(const struct call *c, CURLcode code)
{
	switch (code) {
	case CURLE_COULDNT_CONNECT:
	case CURLE_OPERATION_TIMEDOUT:
	case CURLE_SEND_ERROR:
	case CURLE_RECV_ERROR:
	case CURLE_GOT_NOTHING:
	case CURLE_SSL_CONNECT_ERROR: return c->http.head.status == 0;
	default: return false;
	}
}

static void transport_failed(struct call *c, CURLcode code)
{
	struct aws_error error;
	struct aws_transport t = {
		.code = code,
		.detail = c->http.text,
		.endpoint = &c->endpoint,
		.too_big = c->http.too_big,
	};

	curl_easy_getinfo(c->http.easy, CURLINFO_OS_ERRNO, &t.os_errno);
	curl_easy_getinfo(c->http.easy, CURLINFO_HTTP_CONNECTCODE, &t.connect_status);
	aws_error_from_transport(&error, &t);
	attempt_fail(c, &error, error.retryable && broke_before_answer(c, code));
}

static void wipe_member(json_t *root, const char *key)
{
	json_t *value = json_object_get(root, key);

	/* jansson has no call for it; the string is the value's own */
	if (json_is_string(value))
		codec_wipe((void *)(uintptr_t)json_string_value(value), json_string_length(value));
}

static void answered(struct call *c)
{
	struct aws_error error;
	struct aws_session s;
	bool tls = c->endpoint.tls;
	json_t *root = json_loadb((const char *)buf_data(&c->http.answer), c->http.answer.len, 0,
				  NULL);

	if (c->http.head.status != 200) {
		aws_error_from_answer(&error, &c->rq, c->endpoint.region, &c->http.head, root,
				      c->attempt - 1);
		attempt_fail(c, &error, error.err == ST_EAGAIN);
	} else if (aws_op_answer(&s, root, &c->rq, tls, &error) < 0) {
		error.http_status = 200;
		text_copy(error.request_id, sizeof(error.request_id),
			  text_safe(c->http.head.request_id).s);
		call_finish(c, &error, NULL);
	} else {
		call_finish(c, NULL, &s);
	}
	wipe_member(root, "TokenValue");
	wipe_member(root, "StreamUrl");
	json_decref(root);
}

void aws_call_done(struct aws *a, CURL *easy, CURLcode code)
{
	char *private = NULL;
	struct call *c;

	(void)a;
	curl_easy_getinfo(easy, CURLINFO_PRIVATE, &private);
	c = (struct call *)(void *)private;
	curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &c->http.head.status);
	if (code == CURLE_OK)
		answered(c);
	else
		transport_failed(c, code);
}

int aws_call_begin(struct aws_account *acc, aws_call *out, const struct aws_request *rq)
{
	struct aws *a = acc->aws;
	struct call *c = calloc(1, sizeof(*c));
	uint64_t now_ms = loop_now_ms(a->loop);
	int err = ST_ENOMEM;

	if (!c)
		goto fail;
	*c = (struct call){
		.aws = a,
		.acc = acc,
		.rq = *rq,
		.state = CALL_PREPARING,
		.deadline_ms = now_ms + a->limits.call_ms,
	};
	loop_timer_init(&c->timer, attempt_begin, c);
	if ((err = hnd_add(&a->calls, c, &c->id)) < 0)
		goto fail;
	if ((err = loop_timer_set(a->loop, &c->timer, now_ms)) < 0) {
		hnd_del(&a->calls, c->id);
		goto fail;
	}
	if (out)
		*out = c->id;
	return 0;
fail:
	free(c);
	free(rq->body);
	free(rq->subject);
	return err;
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
