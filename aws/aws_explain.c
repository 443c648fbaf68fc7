// SPDX-License-Identifier: MIT
/*
 * aws_explain.c - why a target is not connected, asked once more before StartSession's error is told
 *
 * Theory of operation: "not connected" is all that StartSession says. One DescribeInstanceInformation says more: since when the agent
 * has not been heard, or that there is no such agent in this region. It may take AWS_EXPLAIN_MS and may fail: the error
 * stays what it was, and only its hint gets better. Who tries again and again (a tunnel that waits for an instance) does
 * not ask each time: what was found is kept for KEEP_MS.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "aws/aws_internal.h"
#include "base/err.h"
#include "base/log.h"
#include "base/text.h"

#define KEEP_MS 60000U /* ours */

struct aws_explain {
	struct aws *aws;	 /* whoever is told may free the account before us */
	struct aws_account *acc; /* not for aws_explain_free() */
	struct aws_error error;
	struct region_text region;
	char region_name[AWS_REGION_MAX]; /* where StartSession went */
	char *target;
	aws_call call; /* 0: none; what was kept is told */
	struct loop_timer end;
	aws_explained_fn *done;
	void *arg;
};

/* What was found last, for one account. */
struct aws_explained {
	char *target;
	uint64_t at_ms;
	char hint[sizeof(((struct aws_error *)0)->hint)];
};

void aws_explained_free(struct aws_explained *e)
{
	if (!e)
		return;
	free(e->target);
	free(e);
}

static void keep(const struct aws_explain *x)
{
	struct aws_explained *e = calloc(1, sizeof(*e));

	if (!e || !(e->target = strdup(x->target))) {
		free(e);
		return; /* it is asked again */
	}
	e->at_ms = loop_now_ms(x->acc->aws->loop);
	memcpy(e->hint, x->error.hint, sizeof(e->hint));
	aws_explained_free(x->acc->explained);
	x->acc->explained = e;
}

static const struct aws_explained *kept(const struct aws_account *acc, const char *target)
{
	const struct aws_explained *e = acc->explained;

	return e && strcmp(e->target, target) == 0 &&
			       loop_now_ms(acc->aws->loop) - e->at_ms < KEEP_MS
		       ? e
		       : NULL;
}

/* "3 h", "40 min", "12 days" */
static void duration_text(char out[32], int64_t s)
{
	static const struct {
		int64_t below_s, unit_s;
		const char *unit;
	} units[] = { { 120, 1, "s" },
		      { 7200, 60, "min" },
		      { 172800, 3600, "h" },
		      { INT64_MAX, 86400, "days" } };
	size_t i = 0;

	while (s >= units[i].below_s)
		i++;
	snprintf(out, 32, "%lld %s", (long long)(s / units[i].unit_s), units[i].unit);
}

static void hint_known(struct aws_explain *x, const json_t *info)
{
	const double last_s = json_number_value(json_object_get(info, "LastPingDateTime"));
	const int64_t now_s = (int64_t)time(NULL) + x->acc->skew_s;
	const char *status = aws_text(info, "PingStatus"),
		   *version = aws_text(info, "AgentVersion");
	const struct text_safe target = text_safe(x->target);
	char heard[64] = "has not been heard", ago[32];

	if (last_s > 0 && last_s < 1e11) {
		duration_text(ago, MAX(now_s - (int64_t)last_s, 0));
		snprintf(heard, sizeof(heard), "was last heard %s ago", ago);
	}
	if (status && strcasecmp(status, "Online") == 0)
		aws_error_hint(&x->error,
			       "the agent of %s %s and is online, but takes no sessions: does it "
			       "reach ssmmessages of region %s, is it "
			       "new enough (here: %s), and has its role the ssmmessages actions?",
			       target.s, heard, x->region.s,
			       version ? text_safe(version).s : "unknown");
	else
		aws_error_hint(&x->error, "the agent of %s %s (%s): start %s or its agent",
			       target.s, heard, status ? text_safe(status).s : "no status",
			       strncmp(x->target, "mi-", 3) == 0 ? "the machine" : "the instance");
}

static void hint_unknown(struct aws_explain *x)
{
	aws_error_hint(&x->error,
		       "%s is not registered with SSM in region %s: is it of this account and "
		       "region, does its agent run, and has its "
		       "instance profile the policy AmazonSSMManagedInstanceCore?",
		       text_safe(x->target).s, x->region.s);
}

static void told(struct aws_explain *x)
{
	x->done(x->arg, &x->error); /* frees @x */
}

static void on_information(void *arg, const struct aws_error *error, json_t *answer)
{
	struct aws_explain *x = arg;
	json_t *list = error ? NULL : aws_list(answer, "InstanceInformationList");
	const size_t len = strlen(x->error.hint);

	x->call = 0;
	if (list && json_array_size(list) > 0)
		hint_known(x, json_array_get(list, 0));
	else if (list)
		hint_unknown(x);
	else if (error && error->err == ST_EPERM)
		snprintf(x->error.hint + len, sizeof(x->error.hint) - len,
			 "; since when: the IAM identity would need "
			 "ssm:DescribeInstanceInformation");
	if (list || (error && error->err == ST_EPERM))
		keep(x);
	told(x);
}

static void on_end(void *arg, uint64_t now_ms)
{
	struct aws_explain *x = arg;

	(void)now_ms;
	if (x->call)
		log_debug("aws: why %s is offline was not told in time", text_safe(x->target).s);
	told(x);
}

static int ask(struct aws_explain *x)
{
	json_t *params = json_pack("{s:[{s:s, s:[s]}]}", "Filters", "Key", "InstanceIds", "Values",
				   x->target);
	const struct aws_at at = { .region = x->region_name };

	return aws_ask_at(x->acc, &x->call, AWS_DESCRIBE_INSTANCE_INFORMATION, params, x->target,
			  &at, on_information, x);
}

static int begin(struct aws_explain *x)
{
	struct loop *loop = x->acc->aws->loop;
	const struct aws_explained *e = kept(x->acc, x->target);
	int err;

	if (e)
		memcpy(x->error.hint, e->hint, sizeof(e->hint));
	else if ((err = ask(x)) < 0)
		return err;
	return loop_timer_set(loop, &x->end, loop_now_ms(loop) + (e ? 0 : AWS_EXPLAIN_MS));
}

int aws_explain_new(struct aws_explain **out, struct aws_account *acc,
		    const struct aws_error *error, const char *target,
		    const struct aws_endpoint *at, aws_explained_fn *done, void *arg)
{
	struct aws_explain *x;
	int err;

	if (strncmp(target, "i-", 2) != 0 && strncmp(target, "mi-", 3) != 0)
		return ST_ENOENT;
	if (!(x = calloc(1, sizeof(*x))))
		return ST_ENOMEM;
	*x = (struct aws_explain){ .aws = acc->aws,
				   .acc = acc,
				   .error = *error,
				   .region = aws_region_text(at),
				   .target = strdup(target),
				   .done = done,
				   .arg = arg };
	text_copy(x->region_name, sizeof(x->region_name), at->region);
	loop_timer_init(&x->end, on_end, x);
	err = x->target ? begin(x) : ST_ENOMEM;
	if (err < 0) {
		aws_explain_free(x);
		return err;
	}
	*out = x;
	return 0;
}

void aws_explain_free(struct aws_explain *x)
{
	if (!x)
		return;
	if (x->call)
		aws_cancel(x->aws, x->call);
	loop_timer_cancel(x->aws->loop, &x->end);
	free(x->target);
	free(x);
}
