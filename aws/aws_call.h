// SPDX-License-Identifier: MIT
/* aws_call.h - what aws_call.c, aws_attempt.c and aws_answer.c share; no other file includes it */
#ifndef AWS_AWS_CALL_H
#define AWS_AWS_CALL_H

#include "aws/aws_internal.h"

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
	bool keys_ended;	   /* which can't be about the request's date alone */
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

/* aws_call.c */
const char *aws_call_name(const struct call *c); /* for messages; a fetch's URL is foreign */
void aws_call_set_state(struct call *c, enum call_state to, const char *why);
/** aws_call_finish() - tells the owner, who may do anything but aws_free(), and frees @c; @error NULL: @answer or @s */
void aws_call_finish(struct call *c, const struct aws_error *error, json_t *answer,
		     const struct aws_session *s);
void aws_call_fail(struct call *c, const struct aws_error *error); /* frees @c */
void aws_call_fail_err(struct call *c, int err);		   /* with our own text; frees @c */

/* aws_attempt.c */
void aws_attempt_begin(void *arg, uint64_t now_ms); /* of c->timer */
/** aws_attempt_end() - drops everything of one attempt; there may be none */
void aws_attempt_end(struct call *c);
/** aws_attempt_again() - another attempt after @pause ms; may end the call */
void aws_attempt_again(struct call *c, uint32_t pause, const char *why);
/** aws_attempt_fail() - the attempt failed: another one if @try_again and the rules allow it, else the call ends */
void aws_attempt_fail(struct call *c, const struct aws_error *error, bool try_again);

/* aws_answer.c */
void aws_call_answered(struct call *c); /* c->http has the whole answer; may end the call */

#endif
