// SPDX-License-Identifier: MIT
/*
 * daemon_vpc.c - rules "match: vpc": asked, applied, refreshed
 *
 * Theory of operation: a rule's VPC is asked for once its upstream has a session, so credentials work by then and it is known which
 * instance carries the flows. Which one is asked about: the one of a session, else the targets of the file in their
 * order. An answer becomes rules of the router and routes of the kernel in one go. It is asked again every
 * limits.vpc_refresh, and when the upstream comes up with another instance. What is known stays while a question fails, or is
 * answered with less because a permission was taken away: an outage of an API must not take routes away from
 * flows that work. While nothing is known `up` waits: what may mend itself is tried again, the rest makes the rule fail.
 */
#include "daemon/daemon_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/codec.h"
#include "base/err.h"
#include "base/log.h"
#include "base/text.h"

#define RETRY_MS 2000U	    /* ours: the first pause while nothing is known */
#define RETRY_MAX_MS 60000U /* ours */

/* ---- which instance */

/* An instance to ask about. */
struct who {
	char id[64], region[64]; /* region "": the account's */
};

/* The instance that a session of @u runs on. Return: false if there is none, or it is no instance */
static bool live_instance(struct upstream *u, struct who *out)
{
	const char *region, *id = tnl_upstream_target(u->tnl, &region);

	return id && aws_id_is_instance(id) && text_copy(out->id, sizeof(out->id), id) &&
	       text_copy(out->region, sizeof(out->region), region);
}

/* The @at-th instance to ask about: that of a session, then those of the file. */
static bool candidate(struct vpc_rule *v, unsigned at, struct who *out)
{
	const struct cfg_upstream *cfg = v->upstream->cfg;
	struct aws_target t;

	if (live_instance(v->upstream, out) && at-- == 0)
		return true;
	for (size_t i = 0; i < cfg->n_targets; i++)
		if (aws_target_parse(&t, cfg->targets[i]) == 0 && aws_id_is_instance(t.text) &&
		    at-- == 0)
			return text_copy(out->id, sizeof(out->id), t.text) &&
			       text_copy(out->region, sizeof(out->region), t.region);
	return false;
}

/* ---- the next question */

static void wait_for(struct vpc_rule *v, uint32_t ms)
{
	struct loop *loop = v->daemon->loop;
	uint32_t random;

	/* a tenth earlier or later: many upstreams, and many users of an account, do not ask at once */
	codec_random(&random, sizeof(random));
	ms = ms - ms / 10 + random % (ms / 5 + 1);
	if (loop_timer_set(loop, &v->timer, loop_now_ms(loop) + ms) < 0)
		log_error("%s: no memory for a timer: its VPC is not asked for again",
			  v->upstream->name);
}

static uint32_t retry_pause(struct vpc_rule *v)
{
	v->retry_ms = v->retry_ms ? MIN(v->retry_ms * 2, RETRY_MAX_MS) : RETRY_MS;
	return MIN(v->retry_ms, v->daemon->plan.config->limits.vpc_refresh_ms);
}

/* ---- answers */

/* A trouble that is news. Return: false if it was told */
static bool note_trouble(struct vpc_rule *v, const char *text)
{
	if (strcmp(v->trouble, text) == 0)
		return false;
	text_copy(v->trouble, sizeof(v->trouble), text);
	return true;
}

static void keep_known(struct vpc_rule *v, const char *text)
{
	if (note_trouble(v, text))
		log_warn("%s: match: vpc: what is known of %s is kept: %s", v->upstream->name,
			 v->found->vpc_id, text);
	wait_for(v, v->daemon->plan.config->limits.vpc_refresh_ms);
}

static void refused(struct vpc_rule *v, const struct aws_error *error)
{
	const bool may_mend = error->retryable || error->person;
	char text[sizeof(v->trouble)];

	aws_error_line(text, sizeof(text), "", error);
	if (v->found) {
		keep_known(v, text);
		return;
	}
	if (note_trouble(v, text))
		log_msg(may_mend ? LOG_WARN : LOG_ERROR, "%s: match: vpc: %s%s", v->upstream->name,
			text, may_mend ? " (it is tried again)" : "");
	v->state = may_mend ? VPC_WAITING : VPC_FAILED;
	wait_for(v, may_mend ? retry_pause(v) : v->daemon->plan.config->limits.vpc_refresh_ms);
	daemon_check_ready(v->daemon);
}

/* An action that is denied now and was not before. */
static const char *lost_permission(const struct aws_vpc *before, const struct aws_vpc *now)
{
	for (size_t i = 0; i < now->n_missing; i++) {
		bool old = false;

		for (size_t j = 0; j < before->n_missing; j++)
			old = old || strcmp(before->missing[j], now->missing[i]) == 0;
		if (!old)
			return now->missing[i];
	}
	return NULL;
}

static bool same_names(const struct aws_vpc *a, const struct aws_vpc *b)
{
	bool same = a->n_suffixes == b->n_suffixes;

	for (size_t i = 0; same && i < a->n_suffixes; i++)
		same = strcmp(a->suffixes[i], b->suffixes[i]) == 0;
	return same;
}

/* Route 53 gave no answer: the names that are known of this VPC stay. @same: becomes false if the names are others now. */
static void keep_names(struct aws_vpc *before, struct aws_vpc *now, bool *same)
{
	if (!before || strcmp(before->vpc_id, now->vpc_id) != 0 || !now->zones_error[0] ||
	    now->n_suffixes) {
		*same = *same && same_names(before, now);
		return;
	}
	free(now->suffixes);
	now->suffixes = before->suffixes;
	now->n_suffixes = before->n_suffixes;
	now->cut_suffixes = before->cut_suffixes;
	before->suffixes = NULL;
	before->n_suffixes = 0;
}

static bool same_prefixes(const struct net_prefix *a, size_t n_a, const struct net_prefix *b,
			  size_t n_b)
{
	bool same = n_a == n_b;

	for (size_t i = 0; same && i < n_a; i++)
		same = a[i].len == b[i].len && net_addr_eq(&a[i].addr, &b[i].addr);
	return same;
}

static void apply(struct vpc_rule *v)
{
	struct rt_table t;
	int r = daemon_table_make(v->daemon, &t);

	if (r == 0)
		r = daemon_net_set_table(v->daemon, &t);
	v->unset = r < 0;
	if (r < 0)
		log_error("%s: match: vpc: the routes could not all be set, they are again at the "
			  "next refresh: %s",
			  v->upstream->name, st_strerror(r));
}

/* Takes @now. */
static void accept_answer(struct vpc_rule *v, struct aws_vpc *now)
{
	struct aws_vpc *before = v->found;
	bool same = before && same_prefixes(before->own, before->n_own, now->own, now->n_own) &&
		    same_prefixes(before->routed, before->n_routed, now->routed, now->n_routed);

	daemon_vpc_tell(v, before, now);
	keep_names(before, now, &same);
	v->found = now;
	v->found_ms = loop_now_ms(v->daemon->loop);
	v->state = VPC_KNOWN;
	v->retry_ms = 0;
	v->trouble[0] = '\0';
	aws_vpc_free(before);
	if (!same || v->unset)
		apply(v);
	wait_for(v, v->daemon->plan.config->limits.vpc_refresh_ms);
	daemon_check_ready(v->daemon);
}

static void ask(struct vpc_rule *v);

static void on_answer(void *arg, const struct aws_error *error, struct aws_vpc *vpc)
{
	struct vpc_rule *v = arg;
	struct who next;
	char text[200];
	const char *lost;

	v->ask = NULL;
	if (error && error->err == ST_ENOENT && candidate(v, v->candidate + 1, &next)) {
		log_debug("%s: match: vpc: %s", v->upstream->name, error->text);
		v->candidate++;
		ask(v);
		return;
	}
	v->candidate = 0;
	if (error) {
		refused(v, error);
		return;
	}
	if (v->found && strcmp(v->found->vpc_id, vpc->vpc_id) == 0 &&
	    (lost = lost_permission(v->found, vpc))) {
		snprintf(text, sizeof(text), "the IAM identity has lost %s", lost);
		aws_vpc_free(vpc);
		keep_known(v, text);
		return;
	}
	accept_answer(v, vpc);
}

static void ask(struct vpc_rule *v)
{
	struct aws_error error = {
		.err = ST_ENOENT,
		.text = "no target of this upstream is an EC2 instance, so there is no VPC",
		.hint = "write the prefixes into the routes",
	};
	struct who who;
	int r;

	if (v->ask || v->daemon->phase == DAEMON_STOPPING)
		return;
	loop_timer_cancel(v->daemon->loop, &v->timer);
	if (!candidate(v, v->candidate, &who)) {
		refused(v, &error);
		return;
	}
	if ((r = aws_vpc_find(v->upstream->account, &v->ask, who.id, who.region, on_answer, v)) ==
	    0)
		return;
	error = (struct aws_error){ .err = r, .retryable = true };
	text_copy(error.text, sizeof(error.text), st_strerror(r));
	refused(v, &error);
}

static void on_timer(void *arg, uint64_t now_ms)
{
	(void)now_ms;
	ask(arg);
}

static bool is_news(struct vpc_rule *v)
{
	struct who now;

	if (!v->found)
		return true;
	return live_instance(v->upstream, &now) && strcmp(v->found->instance_id, now.id) != 0;
}

void daemon_vpc_upstream_up(struct upstream *u)
{
	struct vpc_rule *v = u->vpc;

	if (!v || !is_news(v))
		return;
	aws_vpc_cancel(v->ask); /* about an instance that is not used any more */
	v->ask = NULL;
	v->candidate = 0;
	ask(v);
}

void daemon_vpc_credentials_changed(struct upstream *u)
{
	if (u->vpc && u->vpc->trouble[0] && u->state == TNL_UP)
		ask(u->vpc);
}

/* ---- beginning and end */

int daemon_vpc_new(struct upstream *u)
{
	struct vpc_rule *v = calloc(1, sizeof(*v));

	if (!v)
		return ST_ENOMEM;
	v->daemon = u->daemon;
	v->upstream = u;
	loop_timer_init(&v->timer, on_timer, v);
	u->vpc = v;
	return 0;
}

int daemon_vpcs_new(struct daemon *d)
{
	const struct config *c = d->plan.config;

	for (size_t i = 0; i < c->n_routes; i++) {
		int r;

		if (c->routes[i].match !=
		    CFG_MATCH_VPC) /* at most one for each upstream: the file was checked */
			continue;
		if ((r = daemon_vpc_new(daemon_upstream_at(d, c->routes[i].upstream))) < 0)
			return r;
	}
	return 0;
}

static void stop(struct vpc_rule *v)
{
	loop_timer_cancel(v->daemon->loop, &v->timer);
	aws_vpc_cancel(v->ask);
	v->ask = NULL;
}

void daemon_vpcs_stop(struct daemon *d)
{
	for (size_t i = 0; d->upstreams && i < RT_UPSTREAMS_MAX; i++)
		if (d->upstreams[i].vpc)
			stop(d->upstreams[i].vpc);
}

void daemon_vpc_free(struct upstream *u)
{
	if (!u->vpc)
		return;
	stop(u->vpc);
	aws_vpc_free(u->vpc->found);
	free(u->vpc);
	u->vpc = NULL;
}
