// SPDX-License-Identifier: MIT
/*
 * aws_target.c - which running instance a tag, a private DNS name or a private address is now
 *
 * Theory of operation: one DescribeInstances with one filter, all pages. Its answer is asked for instances of every state, so
 * that a stopped one can be named; terminated ones linger at EC2 for an hour and are as good as absent. Two running ones are an
 * error: which of them is meant only the user knows. Nothing is kept: an auto-scaling group replaces instances at any time.
 * Source: EC2 API reference, DescribeInstances: filters tag:<key>, private-dns-name, private-ip-address,
 * network-interface.ipv6-addresses.ipv6-address
 */
#include <stdio.h>
#include <string.h>

#include "aws/aws_internal.h"
#include "base/err.h"
#include "base/text.h"

#define PAGE 1000     /* MaxResults; EC2's largest */
#define LISTED_MAX 10 /* ours: of several matches */

struct match {
	const char *id, *name, *ip, *zone, *state; /* of the answer; "" if absent */
};

/* What the answer holds. */
struct matches {
	struct match first,
		stopped; /* the first that runs; the first that does not; id NULL: none */
	size_t n;	 /* that run */
	char list[900];	 /* of them, for people */
	size_t at;
};

bool aws_target_is_found(const struct aws_target *t)
{
	return t->kind == AWS_TARGET_ID;
}

/* ---- the question ---- */

static const char *filter_name(const struct aws_target *t, char out[AWS_TARGET_TAG_MAX + 8])
{
	switch (t->kind) {
	case AWS_TARGET_TAG: snprintf(out, AWS_TARGET_TAG_MAX + 8, "tag:%s", t->tag); return out;
	case AWS_TARGET_DNS: return "private-dns-name";
	default:
		return strchr(t->text, ':') ? "network-interface.ipv6-addresses.ipv6-address"
					    : "private-ip-address";
	}
}

static json_t *question(const struct aws_target *t)
{
	char name[AWS_TARGET_TAG_MAX + 8];

	return json_pack("{s:[{s:s, s:[s]}], s:i}", "Filter", "Name", filter_name(t, name), "Value",
			 t->text, "MaxResults", PAGE);
}

/* ---- the answer ---- */

static const char *text_or_none(const json_t *object, const char *key)
{
	const char *text = aws_text(object, key);

	return text ? text : "";
}

static const char *name_tag(const json_t *instance)
{
	json_t *tag;
	size_t i;

	json_array_foreach(aws_list(instance, "tagSet"), i,
			   tag) if (strcmp(text_or_none(tag, "key"), "Name") ==
				    0) return text_or_none(tag, "value");
	return "";
}

static void list_add(struct matches *m, const struct match *x)
{
	const struct text_safe name = text_safe(x->name), id = text_safe(x->id);
	int n = 0;

	if (m->n == LISTED_MAX)
		n = snprintf(m->list + m->at, sizeof(m->list) - m->at, ", …");
	else if (m->n < LISTED_MAX)
		n = snprintf(m->list + m->at, sizeof(m->list) - m->at, "%s%.20s (%.30s%s%s, %s)",
			     m->n ? ", " : "", id.s, name.s, *x->name ? ", " : "",
			     text_safe_n(x->ip, MIN(strlen(x->ip), 40U)).s,
			     text_safe_n(x->zone, MIN(strlen(x->zone), 30U)).s);
	m->at = MIN(m->at + (size_t)MAX(n, 0), sizeof(m->list) - 1);
}

static void match_add(struct matches *m, const json_t *instance)
{
	const struct match x = {
		.id = text_or_none(instance, "instanceId"),
		.name = name_tag(instance),
		.ip = text_or_none(instance, "privateIpAddress"),
		.zone = text_or_none(json_object_get(instance, "placement"), "availabilityZone"),
		.state = text_or_none(json_object_get(instance, "instanceState"), "name"),
	};

	if (!*x.id || strcmp(x.state, "terminated") == 0 || strcmp(x.state, "shutting-down") == 0)
		return;
	if (strcmp(x.state, "running") != 0) {
		if (!m->stopped.id)
			m->stopped = x;
		return;
	}
	list_add(m, &x);
	if (m->n++ == 0)
		m->first = x;
}

static void matches_read(struct matches *m, const json_t *answer)
{
	json_t *reservation, *instance;
	size_t i, j;

	json_array_foreach(aws_list(answer, "reservationSet"), i, reservation)
	{
		json_array_foreach(aws_list(reservation, "instancesSet"), j, instance)
			match_add(m, instance);
	}
}

/* "tag Name=bastion", "private address 10.0.1.5" */
static const char *describe(const struct aws_target *t, char out[TEXT_SAFE_MAX + 64])
{
	const char *kind = t->kind == AWS_TARGET_DNS ? "private DNS name" : "private address";

	if (t->kind == AWS_TARGET_TAG)
		snprintf(out, TEXT_SAFE_MAX + 64, "tag %.60s=%.200s", text_safe(t->tag).s,
			 text_safe(t->text).s);
	else
		snprintf(out, TEXT_SAFE_MAX + 64, "%s %s", kind, text_safe(t->text).s);
	return out;
}

static const char *region_of(struct aws_look *l)
{
	const char *region = l->target.region[0] ? l->target.region : aws_account_region(l->acc);

	return region ? region : "(none)";
}

static void nothing_runs(struct aws_look *l, const struct matches *m, struct aws_error *error)
{
	char what[TEXT_SAFE_MAX + 64];
	const char *region = region_of(l);

	describe(&l->target, what);
	if (!m->stopped.id) {
		aws_error_set(error, ST_ENOENT,
			      "no EC2 instance of this account has %s in region %s", what, region);
		aws_error_hint(error, "see the name, the region and the profile");
		return;
	}
	aws_error_set(error, ST_ECLOSED,
		      "no running EC2 instance has %s in region %s: found %s but it is %s", what,
		      region, text_safe(m->stopped.id).s, text_safe(m->stopped.state).s);
	aws_error_hint(error, "start it: aws ec2 start-instances --region %s --instance-ids %s",
		       region, text_safe(m->stopped.id).s);
}

static void several_run(struct aws_look *l, const struct matches *m, struct aws_error *error)
{
	char what[TEXT_SAFE_MAX + 64];

	aws_error_set(error, ST_EINVAL, "%zu running EC2 instances have %s in region %s: %s", m->n,
		      describe(&l->target, what), region_of(l), m->list);
	aws_error_hint(error, "name one of them by its id, or list several under instances: in the "
			      "order of failover");
}

/* EC2's own words, with what is missing here rather than there. */
static void asked_in_vain(struct aws_look *l, const struct aws_error *e)
{
	struct aws_error error = *e;
	char what[TEXT_SAFE_MAX + 64];

	if (error.err == ST_EPERM)
		aws_error_hint(&error,
			       "to find %s the IAM identity needs ec2:DescribeInstances on *; "
			       "without it, name the instance by its id",
			       describe(&l->target, what));
	l->done(l->arg, &error, NULL);
}

static void on_answer(void *arg, const struct aws_error *e, json_t *answer)
{
	struct aws_look *l = arg;
	struct matches m = { 0 };
	struct aws_found found;
	struct aws_error error;

	l->call = 0;
	if (e) {
		asked_in_vain(l, e);
		return;
	}
	matches_read(&m, answer);
	if (m.n != 1) {
		if (m.n == 0)
			nothing_runs(l, &m, &error);
		else
			several_run(l, &m, &error);
		l->done(l->arg, &error, NULL);
		return;
	}
	found = (struct aws_found){ .id = m.first.id,
				    .region = l->target.region,
				    .zone = m.first.zone,
				    .name = m.first.name };
	l->done(l->arg, NULL, &found);
}

int aws_target_find(struct aws_look *l, struct aws_account *acc, const struct aws_target *t,
		    aws_found_fn *done, void *arg)
{
	const struct aws_at at = { .region = t->region };
	int err;

	*l = (struct aws_look){ .acc = acc, .target = *t, .done = done, .arg = arg };
	if (aws_target_is_found(t))
		return ST_EINVAL;
	err = aws_ask_at(acc, &l->call, AWS_DESCRIBE_INSTANCES, question(t), NULL, &at, on_answer,
			 l);
	if (err < 0)
		l->call = 0;
	return err;
}

void aws_target_find_cancel(struct aws_look *l)
{
	if (l->call && l->acc->aws)
		aws_cancel(l->acc->aws, l->call);
	l->call = 0;
}
