// SPDX-License-Identifier: MIT
/*
 * aws_attempt.c - one attempt of a call: profile, endpoint, credentials, name look-up, request; and whether there is another
 *
 * Theory of operation: every attempt reads the profile and asks the chain anew (decision 11) and wipes what it got when it
 * ends. Only codes of the table in aws_error.c that say so, and connections that broke before an answer, are tried again: at
 * most AWS_ATTEMPTS_MAX times, with full jitter but not sooner than a Retry-After says, within call_ms, which stands still while
 * the chain is asked (a person may have to type a code) and begins anew with each page.
 */
#include "aws/aws_call.h"

#include <stdlib.h>
#include <string.h>

#include "base/codec.h"
#include "base/err.h"
#include "base/log.h"
#include "base/text.h"

#define RESOLVE_MS 5000U      /* ours: as the connect time-out */
#define BACKOFF_MAX_MS 20000U /* botocore retries/standard.py ExponentialBackoff */

/* The easy handle leaves the multi first. */
void aws_attempt_end(struct call *c)
{
	if (c->job)
		c->aws->svc->cancel(c->aws->svc->ctx, c->job);
	c->job = 0;
	if (c->wait)
		aws_chain_cancel(c->acc, c->wait);
	c->wait = 0;
	aws_http_end(&c->http, c->aws);
	aws_outgoing_fini(&c->out);
	aws_creds_wipe(&c->creds);
	aws_endpoint_fini(&c->endpoint);
}

static uint32_t left_ms(const struct call *c, uint64_t now_ms)
{
	return now_ms < c->deadline_ms ? (uint32_t)(c->deadline_ms - now_ms) : 0;
}

/* Full jitter: anything from 0 to the bound, which doubles with every attempt; but not sooner than the service wants. */
static uint32_t pause_ms(const struct call *c)
{
	uint32_t bound = MIN(c->aws->limits.backoff_ms << (c->attempt - 1), BACKOFF_MAX_MS), r;

	codec_random(&r, sizeof(r));
	return MAX(r % (bound + 1), MIN(c->http.head.retry_after_s * 1000U, BACKOFF_MAX_MS));
}

void aws_attempt_again(struct call *c, uint32_t pause, const char *why)
{
	aws_attempt_end(c);
	aws_call_set_state(c, CALL_PAUSING, why);
	if (loop_timer_set(c->aws->loop, &c->timer, loop_now_ms(c->aws->loop) + pause) < 0)
		aws_call_fail_err(c, ST_ENOMEM);
}

/* The attempt failed: try again or give up. */
void aws_attempt_fail(struct call *c, const struct aws_error *error, bool try_again)
{
	uint64_t now_ms = loop_now_ms(c->aws->loop);
	uint32_t pause = pause_ms(c);

	if (!try_again || c->rq.url || c->attempt >= AWS_ATTEMPTS_MAX ||
	    pause >= left_ms(c, now_ms)) {
		aws_call_fail(c, error);
		return;
	}
	log_debug("aws: %s: attempt %u: %s; again in %u ms", aws_call_name(c), c->attempt,
		  error->text, pause);
	aws_attempt_again(c, pause, "attempt failed");
}

static void attempt_send(struct call *c)
{
	struct aws *a = c->aws;
	const struct aws_op_row *row = &aws_ops[c->rq.op];
	const uint32_t limit_ms = c->rq.url ? c->rq.within_ms : a->limits.attempt_ms;
	const struct aws_http_send s = {
		.at = &c->endpoint,
		.out = &c->out,
		.creds = c->creds.access_key ? &c->creds : NULL,
		.signing = c->rq.url ? NULL : aws_services[row->service].signing,
		.skew_s = c->acc->skew_s,
		.within_ms = MAX(MIN(limit_ms, left_ms(c, loop_now_ms(a->loop))), 1U),
		.owner = c,
	};
	int err;

	c->skew_s = c->acc->skew_s;
	aws_call_set_state(c, CALL_SENDING, "address known");
	err = aws_http_send(&c->http, a, &s);
	if (err < 0)
		aws_call_fail_err(c, err);
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
		aws_attempt_fail(c, &error, true);
		return;
	}
	if (aws_http_resolve(&c->http, peer_host(c),
			     c->endpoint.proxy ? c->endpoint.proxy_port : c->endpoint.port, addrs,
			     n) < 0) {
		aws_call_fail_err(c, ST_ENOMEM);
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
	aws_call_set_state(c, CALL_RESOLVING, "a name");
	err = a->svc->resolve(a->svc->ctx, &c->job, peer_host(c),
			      MIN(RESOLVE_MS, left_ms(c, now_ms)), on_resolved, c);
	if (err < 0) {
		c->job = 0;
		aws_call_fail_err(c, err);
	}
}

/* ---- who signs ---- */

/* The chain was asked again and has nothing newer: the service would say the same. */
static bool still_refused(const struct call *c, const struct aws_creds *creds)
{
	return c->refused && strcmp(c->refused, creds->access_key) == 0;
}

/* Keys of a file, say, have ended: whoever looks again every few seconds makes no call with them, and new ones are noticed. */
static void ended_note(struct call *c)
{
	struct aws_account *acc = c->acc;

	if (!c->refusal->person || !c->keys_ended)
		return;
	aws_chain_watch(acc);
	free(acc->ended_key);
	free(acc->ended);
	acc->ended_key = strdup(c->refused);
	acc->ended = malloc(sizeof(*acc->ended));
	if (acc->ended)
		*acc->ended = *c->refusal;
}

static bool has_ended(const struct aws_account *acc, const struct aws_creds *creds)
{
	return acc->ended_key && acc->ended && strcmp(acc->ended_key, creds->access_key) == 0;
}

static void on_creds(void *arg, const struct aws_error *error, const struct aws_creds *creds)
{
	struct call *c = arg;
	const uint64_t now_ms = loop_now_ms(c->aws->loop);

	c->wait = 0;
	c->deadline_ms += now_ms - c->asked_ms;
	if (error) {
		aws_call_fail(c, error);
	} else if (has_ended(c->acc, creds)) {
		const struct aws_error own = *c->acc->ended; /* the account may go */

		aws_chain_watch(c->acc);
		aws_call_fail(c, &own);
	} else if (still_refused(c, creds)) {
		ended_note(c);
		aws_call_fail(c, c->refusal);
	} else if (aws_creds_copy(&c->creds, creds) < 0) {
		aws_call_fail_err(c, ST_ENOMEM);
	} else {
		attempt_resolve(c, now_ms);
	}
}

static void attempt_sign(struct call *c, uint64_t now_ms)
{
	int err;

	if (c->rq.as.access_key) {
		if (aws_creds_copy(&c->creds, &c->rq.as) < 0)
			aws_call_fail_err(c, ST_ENOMEM);
		else
			attempt_resolve(c, now_ms);
		return;
	}
	if (c->rq.url || aws_ops[c->rq.op].sign != AWS_SIGN_CHAIN) {
		attempt_resolve(c, now_ms);
		return;
	}
	c->asked_ms = now_ms;
	aws_call_set_state(c, CALL_ASKING, "credentials");
	err = aws_chain_get(c->acc, &c->wait, c->refused, on_creds, c);
	if (err < 0) {
		c->wait = 0;
		aws_call_fail_err(c, err);
	}
}

/* ---- an attempt ---- */

static int fetch_prepare(struct call *c, struct aws_error *error)
{
	c->out = (struct aws_outgoing){ .method = c->rq.method,
					.path = strdup(""),
					.headers = (const char *const *)c->rq.headers };
	if (!c->out.path)
		return aws_error_set(error, ST_ENOMEM, "%s", st_strerror(ST_ENOMEM));
	return aws_endpoint_url(&c->endpoint, c->acc, c->rq.url, error);
}

static int op_prepare(struct call *c, struct aws_error *error)
{
	const enum aws_service service = c->rq.own_gateway ? AWS_SSM : aws_ops[c->rq.op].service;
	struct aws_profile p;
	int err = aws_profile_load(&p, c->acc, error);

	if (err < 0)
		return err;
	err = aws_endpoint_find(&c->endpoint, c->acc, &p, service, c->rq.region, error);
	aws_profile_fini(&p);
	if (!err && (err = aws_proto_write(&c->out, c->rq.op, c->rq.params)) < 0)
		aws_error_set(error, err, "%s: %s", aws_ops[c->rq.op].name, st_strerror(err));
	c->out.bearer = c->rq.bearer;
	return err;
}

void aws_attempt_begin(void *arg, uint64_t now_ms)
{
	struct call *c = arg;
	struct aws_error error;

	c->attempt++;
	if ((c->rq.url ? fetch_prepare(c, &error) : op_prepare(c, &error)) < 0)
		aws_call_fail(c, &error);
	else
		attempt_sign(c, now_ms);
}

/* The connection broke, and the service has not acted on the request, or it does no harm if it does so twice. */
static bool may_repeat(const struct call *c, CURLcode code)
{
	switch (code) {
	case CURLE_COULDNT_CONNECT:
	case CURLE_SSL_CONNECT_ERROR: return c->http.head.status == 0;
	case CURLE_OPERATION_TIMEDOUT:
	case CURLE_SEND_ERROR:
	case CURLE_RECV_ERROR:
	case CURLE_PARTIAL_FILE:
	case CURLE_GOT_NOTHING: return aws_ops[c->rq.op].again;
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
	aws_attempt_fail(c, &error, error.retryable && may_repeat(c, code));
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
		aws_call_answered(c);
	else
		transport_failed(c, code);
}
