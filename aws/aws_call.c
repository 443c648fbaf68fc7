// SPDX-License-Identifier: MIT
/*
 * aws_call.c - one call: profile, endpoint, credentials, name look-up, request, retries, pages, answer
 *
 * Theory of operation: a call goes through the states below, from its timer, the chain's answer, the resolver's and libcurl's;
 * it ends exactly once, by its owner's callback or by cancellation. Every attempt reads the profile and asks the chain anew
 * (decision 11) and wipes what it got when it ends. Only codes of the table in aws_error.c that say so, and connections that
 * broke before an answer, are tried again: at most AWS_ATTEMPTS_MAX times, with full jitter but not sooner than a Retry-After
 * says, within call_ms, which stands still while the chain is asked (a person may have to type a code) and begins anew with each
 * page. Two failures are tried again at once and only once a call: the chain's credentials that the service calls expired, if
 * the chain has others then, and a date that the service does not take because our clock is wrong: the clock's difference is
 * known from every answer, and requests are dated by it.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "aws/aws_internal.h"
#include "base/codec.h"
#include "base/err.h"
#include "base/log.h"
#include "base/text.h"

#define RESOLVE_MS 5000U      /* ours: as the connect time-out */
#define BACKOFF_MAX_MS 20000U /* botocore retries/standard.py ExponentialBackoff */

/*
 * preparing: the timer of this turn will start an attempt. asking: the chain is. resolving: job is out; ended by its answer.
 * sending: the easy handle is in the multi; ended by aws_call_done(). pausing: timer runs. explaining: the call has failed, and
 * explain asks why. over: the owner has been told.
 */
enum call_state {
	CALL_PREPARING,
	CALL_ASKING,
	CALL_RESOLVING,
	CALL_SENDING,
	CALL_PAUSING,
	CALL_EXPLAINING,
	CALL_OVER,
	CALL_STATE_N
};

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

struct call {
	struct aws *aws;
	struct aws_account *acc;
	handle id;
	struct aws_request rq;
	enum call_state state;
	struct loop_timer timer;
	uint64_t deadline_ms, asked_ms;
	unsigned attempt;	   /* from 1 */
	bool reset_clock;	   /* happens once */
	char *refused;		   /* access key id that was called expired; once */
	struct aws_error *refusal; /* with these words */
	struct aws_explain *explain;
	json_t *joined; /* the pages so far */
	unsigned pages;
	size_t page_bytes;

	/* of the attempt under way */
	handle wait; /* for the chain; 0: none */
	handle job;  /* of svc->resolve; 0: none */
	struct aws_endpoint endpoint;
	struct aws_creds creds; /* access_key NULL: not signed */
	int64_t skew_s;		/* what its date was made up for */
	struct aws_outgoing out;
	struct aws_http http;
};

static const char *call_name(const struct call *c)
{
	return c->rq.url ? c->rq.url : aws_ops[c->rq.op].name;
}

static void set_state(struct call *c, enum call_state to, const char *why)
{
	if (!(states[c->state].next & BIT(to)))
		ST_BUG("aws call: %s -> %s: %s", states[c->state].name, states[to].name, why);
	log_trace("aws: %s: %s -> %s: %s", text_safe(call_name(c)).s, states[c->state].name,
		  states[to].name, why);
	c->state = to;
}

/* Everything of one attempt; the easy handle leaves the multi first. */
static void attempt_end(struct call *c)
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
	attempt_end(c);
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
static void call_finish(struct call *c, const struct aws_error *error, json_t *answer,
			const struct aws_session *s)
{
	struct aws *a = c->aws;

	set_state(c, CALL_OVER, error ? error->text : "done");
	hnd_del(&a->calls, c->id);
	loop_timer_cancel(a->loop, &c->timer);
	if (error)
		log_debug("aws: %s: %s%s%s", text_safe(call_name(c)).s, error->text,
			  error->request_id[0] ? "; request id " : "", error->request_id);
	owner_tell(c, error, answer, s);
	call_free(c);
	aws_multi_kick(a);
}

static void call_fail(struct call *c, const struct aws_error *error)
{
	call_finish(c, error, NULL, NULL);
}

static void call_fail_err(struct call *c, int err)
{
	struct aws_error error;

	aws_error_set(&error, err, "%s: %s", text_safe(call_name(c)).s, st_strerror(err));
	call_fail(c, &error);
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

static void attempt_again(struct call *c, uint32_t pause, const char *why)
{
	attempt_end(c);
	set_state(c, CALL_PAUSING, why);
	if (loop_timer_set(c->aws->loop, &c->timer, loop_now_ms(c->aws->loop) + pause) < 0)
		call_fail_err(c, ST_ENOMEM);
}

/* The attempt failed: try again or give up. */
static void attempt_fail(struct call *c, const struct aws_error *error, bool try_again)
{
	uint64_t now_ms = loop_now_ms(c->aws->loop);
	uint32_t pause = pause_ms(c);

	if (!try_again || c->rq.url || c->attempt >= AWS_ATTEMPTS_MAX ||
	    pause >= left_ms(c, now_ms)) {
		call_fail(c, error);
		return;
	}
	log_debug("aws: %s: attempt %u: %s; again in %u ms", call_name(c), c->attempt, error->text,
		  pause);
	attempt_again(c, pause, "attempt failed");
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
	set_state(c, CALL_SENDING, "address known");
	err = aws_http_send(&c->http, a, &s);
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

/* ---- who signs ---- */

/* The chain was asked again and has nothing newer: the service would say the same. */
static bool still_refused(const struct call *c, const struct aws_creds *creds)
{
	return c->refused && strcmp(c->refused, creds->access_key) == 0;
}

static void on_creds(void *arg, const struct aws_error *error, const struct aws_creds *creds)
{
	struct call *c = arg;
	const uint64_t now_ms = loop_now_ms(c->aws->loop);

	c->wait = 0;
	c->deadline_ms += now_ms - c->asked_ms;
	if (error)
		call_fail(c, error);
	else if (still_refused(c, creds))
		call_fail(c, c->refusal);
	else if (aws_creds_copy(&c->creds, creds) < 0)
		call_fail_err(c, ST_ENOMEM);
	else
		attempt_resolve(c, now_ms);
}

static void attempt_sign(struct call *c, uint64_t now_ms)
{
	int err;

	if (c->rq.as.access_key) {
		if (aws_creds_copy(&c->creds, &c->rq.as) < 0)
			call_fail_err(c, ST_ENOMEM);
		else
			attempt_resolve(c, now_ms);
		return;
	}
	if (c->rq.url || aws_ops[c->rq.op].sign != AWS_SIGN_CHAIN) {
		attempt_resolve(c, now_ms);
		return;
	}
	c->asked_ms = now_ms;
	set_state(c, CALL_ASKING, "credentials");
	err = aws_chain_get(c->acc, &c->wait, c->refused, on_creds, c);
	if (err < 0) {
		c->wait = 0;
		call_fail_err(c, err);
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
	struct aws_profile p;
	int err = aws_profile_load(&p, c->acc, error);

	if (err < 0)
		return err;
	err = aws_endpoint_find(&c->endpoint, c->acc, &p, aws_ops[c->rq.op].service, c->rq.region,
				error);
	aws_profile_fini(&p);
	if (!err && (err = aws_proto_write(&c->out, c->rq.op, c->rq.params)) < 0)
		aws_error_set(error, err, "%s: %s", aws_ops[c->rq.op].name, st_strerror(err));
	c->out.bearer = c->rq.bearer;
	return err;
}

static void attempt_begin(void *arg, uint64_t now_ms)
{
	struct call *c = arg;
	struct aws_error error;

	c->attempt++;
	if ((c->rq.url ? fetch_prepare(c, &error) : op_prepare(c, &error)) < 0)
		call_fail(c, &error);
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
	attempt_fail(c, &error, error.retryable && may_repeat(c, code));
}

/* ---- the answer ---- */

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
		call_fail_err(c, ST_ENOMEM);
		return true;
	}
	*c->refusal = *error;
	attempt_again(c, 0, "credentials have expired");
	return true;
}

static void on_explained(void *arg, const struct aws_error *error)
{
	call_fail(arg, error);
}

static bool explain(struct call *c, const struct aws_error *error)
{
	if (c->rq.op != AWS_START_SESSION || error->err != ST_ECLOSED || !c->rq.subject ||
	    aws_explain_new(&c->explain, c->acc, error, c->rq.subject, &c->endpoint, on_explained,
			    c) < 0)
		return false;
	attempt_end(c);
	set_state(c, CALL_EXPLAINING, error->code);
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
		attempt_again(c, 0, "the clock differs");
	} else if (!renew(c, &error) && !explain(c, &error)) {
		attempt_fail(c, &error, aws_error_is_transient(&error));
	}
}

static void nonsense(struct call *c, int err, const char *what)
{
	struct aws_error error;

	aws_error_set(&error, err, "the answer to %s makes no sense: %s", call_name(c), what);
	error.http_status = (int)c->http.head.status;
	text_copy(error.request_id, sizeof(error.request_id), text_safe(c->http.head.request_id).s);
	call_fail(c, &error);
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
		call_fail_err(c, ST_ENOMEM);
		return true;
	}
	if (!token || !*token)
		return false;
	if (++c->pages >= PAGES_MAX || c->page_bytes > PAGE_BYTES_MAX) {
		nonsense(c, ST_EFULL, "it does not end");
		return true;
	}
	if (json_object_set_new(c->rq.params, row->token_in, json_string(token))) {
		call_fail_err(c, ST_ENOMEM);
		return true;
	}
	c->attempt = 0;
	c->deadline_ms = loop_now_ms(c->aws->loop) + c->aws->limits.call_ms;
	attempt_again(c, 0, "next page");
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
			call_finish(c, NULL, c->joined, NULL);
	} else if (aws_session_read(&s, c->rq.op, root, tls, &error) < 0) {
		error.http_status = 200;
		text_copy(error.request_id, sizeof(error.request_id),
			  text_safe(c->http.head.request_id).s);
		call_fail(c, &error);
	} else {
		call_finish(c, NULL, NULL, &s);
	}
}

static void answered(struct call *c)
{
	json_t *root = NULL;

	clock_learn(c);
	if (c->rq.url) {
		if (buf_put(&c->http.answer, "", 1) == 0)
			call_finish(c, NULL, NULL, NULL);
		else
			call_fail_err(c, ST_ENOMEM);
		return;
	}
	aws_proto_read(&root, c->rq.op, buf_data(&c->http.answer), c->http.answer.len);
	if (c->http.head.status == 200)
		accepted(c, root);
	else
		refused(c, root);
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
		rq->region = copy_or_null(as->region, &failed);
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
	loop_timer_init(&c->timer, attempt_begin, c);
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
