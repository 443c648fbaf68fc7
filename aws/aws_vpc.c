// SPDX-License-Identifier: MIT
/*
 * aws_vpc.c - what an instance reaches: from its id to prefixes and DNS suffixes
 *
 * Theory of operation: one question is a handful of calls, each a step; what an answer shows to be needed next starts further
 * steps, and with the last one the result is made. DescribeInstances gives the VPC; then the VPC's CIDR blocks, its route
 * tables and its private zones are asked for side by side, and after the route tables the peerings and prefix lists that
 * the instance's table names. A denied step is noted as a missing permission and its part is left out (without DescribeVpcs
 * the CIDR blocks come from the table's "local" routes and from the subnets); any other failure ends the question, but Route
 * 53's, which is another service that a network may not reach.
 */
#include <stdlib.h>
#include <string.h>

#include "aws/aws_vpc_internal.h"
#include "base/err.h"
#include "base/log.h"
#include "base/text.h"

static aws_vpc_read_fn read_instances, read_vpcs, read_subnets;

static const struct {
	enum aws_op op;
	aws_vpc_read_fn *read;
} steps[] = {
	[AWS_VPC_INSTANCES] = { AWS_DESCRIBE_INSTANCES, read_instances },
	[AWS_VPC_VPCS] = { AWS_DESCRIBE_VPCS, read_vpcs },
	[AWS_VPC_ROUTE_TABLES] = { AWS_DESCRIBE_ROUTE_TABLES, aws_vpc_read_route_tables },
	[AWS_VPC_ZONES] = { AWS_LIST_HOSTED_ZONES_BY_VPC, aws_vpc_read_zones },
	[AWS_VPC_SUBNETS] = { AWS_DESCRIBE_SUBNETS, read_subnets },
	[AWS_VPC_PEERINGS] = { AWS_DESCRIBE_VPC_PEERING_CONNECTIONS, aws_vpc_read_peerings },
	[AWS_VPC_LISTS] = { AWS_DESCRIBE_MANAGED_PREFIX_LISTS, aws_vpc_read_lists },
	[AWS_VPC_ENTRIES] = { AWS_GET_MANAGED_PREFIX_LIST_ENTRIES, aws_vpc_read_entries },
};
_Static_assert(ARRAY_LEN(steps) == AWS_VPC_STEP_N, "steps[] and enum aws_vpc_step differ");
_Static_assert(AWS_VPC_STEP_N <= AWS_VPC_MISSING_MAX, "each step may be denied, once");

bool aws_id_is_instance(const char *id)
{
	size_t len = strlen(id);

	return strncmp(id, "i-", 2) == 0 && len > 2 && len < 32 &&
	       strspn(id + 2, "0123456789abcdef") == len - 2;
}

/* An id of EC2 that we send back to it. Return: false if it is none */
bool aws_vpc_id_copy(char out[32], const char *id)
{
	return id && *id && strspn(id, "0123456789abcdefghijklmnopqrstuvwxyz-") == strlen(id) &&
	       text_copy(out, 32, id);
}

/* ---- beginning and ending ---- */

void aws_vpc_free(struct aws_vpc *v)
{
	if (!v)
		return;
	for (size_t i = 0; i < v->n_suffixes; i++)
		free(v->suffixes[i]);
	free(v->suffixes);
	free(v->own);
	free(v->routed);
	free(v);
}

void aws_vpc_cancel(struct aws_vpc_ask *q)
{
	if (!q)
		return;
	for (size_t i = 0; i < AWS_VPC_STEP_N; i++)
		if (q->step[i].call)
			aws_cancel(q->acc->aws, q->step[i].call);
	json_decref(q->routes);
	json_decref(q->peerings);
	json_decref(q->lists);
	aws_prefixes_fini(&q->own);
	aws_prefixes_fini(&q->routed);
	aws_vpc_free(q->out);
	free(q);
}

static void end(struct aws_vpc_ask *q, const struct aws_error *error)
{
	struct aws_vpc *out = error ? NULL : q->out;
	aws_vpc_fn *done = q->done;
	void *arg = q->arg;

	if (!error)
		q->out = NULL;
	aws_vpc_cancel(q);
	done(arg, error, out);
}

/* What is no answer's fault. Return: the code that is in @error */
static int trouble(struct aws_error *error, int err)
{
	if (err != ST_EFULL)
		return aws_error_set(error, err, "%s", st_strerror(err));
	aws_error_set(error, ST_EAGAIN, "too many AWS calls are under way");
	error->retryable = true;
	return ST_EAGAIN;
}

static void on_answer(void *arg, const struct aws_error *error, json_t *answer);

int aws_vpc_step(struct aws_vpc_ask *q, enum aws_vpc_step i, json_t *params)
{
	const struct aws_as as = { .region = q->region };
	struct aws_vpc_call *s = &q->step[i];
	int err = aws_ask_as(q->acc, &s->call, steps[i].op, params, NULL, q->region[0] ? &as : NULL,
			     on_answer, s);

	if (!err)
		q->under_way++;
	return err;
}

json_t *aws_vpc_filter(const char *name, json_t *values)
{
	return json_pack("{s:[{s:s, s:o}]}", "Filters", "Name", name, "Values", values);
}

static json_t *filter_one(const char *name, const char *value)
{
	return aws_vpc_filter(name, json_pack("[s]", value));
}

int aws_vpc_find(struct aws_account *acc, struct aws_vpc_ask **out, const char *instance_id,
		 const char *region, aws_vpc_fn *done, void *arg)
{
	struct aws_vpc_ask *q = calloc(1, sizeof(*q));
	int err = ST_ENOMEM;

	if (!q)
		return ST_ENOMEM;
	*q = (struct aws_vpc_ask){ .acc = acc, .done = done, .arg = arg };
	for (size_t i = 0; i < AWS_VPC_STEP_N; i++)
		q->step[i].ask = q;
	text_copy(q->region, sizeof(q->region), region ? region : "");
	q->lists = json_object();
	q->out = calloc(1, sizeof(*q->out));
	if (q->out && q->lists) {
		text_copy(q->out->instance_id, sizeof(q->out->instance_id), instance_id);
		err = aws_vpc_step(q, AWS_VPC_INSTANCES,
				   json_pack("{s:[s]}", "InstanceIds", instance_id));
	}
	if (err < 0) {
		aws_vpc_cancel(q);
		return err;
	}
	*out = q;
	return 0;
}

/* ---- answers ---- */

/* Kept sorted: answers come in any order. */
static void missing_add(struct aws_vpc *v, const char *action)
{
	size_t i = v->n_missing;

	if (i == AWS_VPC_MISSING_MAX) /* there are as many steps */
		return;
	for (; i > 0 && strcmp(v->missing[i - 1], action) > 0; i--)
		v->missing[i] = v->missing[i - 1];
	v->missing[i] = action;
	v->n_missing++;
}

static void no_vpc(const struct aws_vpc_ask *q, struct aws_error *error)
{
	aws_error_set(error, ST_ENOENT, "%s is in no VPC: it is not there any more",
		      q->out->instance_id);
}

/* Return: 0 if the question goes on without that step; else the code in @out */
static int step_failed(struct aws_vpc_ask *q, enum aws_vpc_step i, const struct aws_error *error,
		       struct aws_error *out)
{
	int err = 0;

	*out = *error;
	if (i == AWS_VPC_INSTANCES) {
		if (strncmp(error->code, "InvalidInstanceID", 17) == 0)
			out->err = ST_ENOENT;
		return out->err;
	}
	if (error->err == ST_EPERM) {
		missing_add(q->out, aws_ops[steps[i].op].iam);
		log_debug("aws: %s", error->text);
		if (i == AWS_VPC_VPCS)
			err = aws_vpc_step(q, AWS_VPC_SUBNETS,
					   filter_one("vpc-id", q->out->vpc_id));
		else if (i == AWS_VPC_LISTS)
			err = aws_vpc_entries_next(q);
	} else if (i == AWS_VPC_ZONES) {
		text_copy(q->out->zones_error, sizeof(q->out->zones_error), error->text);
	} else if (i == AWS_VPC_ENTRIES && strncmp(error->code, "InvalidPrefixList", 17) == 0) {
		json_object_del(q->lists, q->list_id); /* deleted meanwhile */
		err = aws_vpc_entries_next(q);
	} else {
		return error->err;
	}
	return err ? trouble(out, err) : 0;
}

static void finish(struct aws_vpc_ask *q);

static void on_answer(void *arg, const struct aws_error *error, json_t *answer)
{
	struct aws_vpc_call *s = arg;
	struct aws_vpc_ask *q = s->ask;
	enum aws_vpc_step i = (enum aws_vpc_step)(s - q->step);
	struct aws_error own;
	int err;

	s->call = 0;
	q->under_way--;
	if (error)
		err = step_failed(q, i, error, &own);
	else if ((err = steps[i].read(q, answer)) < 0 && err != ST_ENOENT)
		trouble(&own, err);
	else if (err < 0)
		no_vpc(q, &own);
	if (err < 0)
		end(q, &own);
	else if (!q->under_way)
		finish(q);
}

/* ---- the instance ---- */

static const json_t *instance_find(const struct aws_vpc_ask *q, const json_t *answer)
{
	json_t *reservations = aws_list(answer, "reservationSet"), *r, *one;
	size_t i, j;

	json_array_foreach(reservations, i, r)
	{
		json_t *instances = aws_list(r, "instancesSet");

		json_array_foreach(instances, j, one)
		{
			const char *id = aws_text(one, "instanceId");

			if (id && strcmp(id, q->out->instance_id) == 0)
				return one;
		}
	}
	return NULL;
}

static int read_instances(struct aws_vpc_ask *q, json_t *answer)
{
	const json_t *one = instance_find(q, answer);
	const char *region = q->region[0] ? q->region : aws_account_region(q->acc);
	struct aws_vpc *v = q->out;
	int err;

	if (!one || !aws_vpc_id_copy(v->vpc_id, aws_text(one, "vpcId")))
		return ST_ENOENT;
	aws_vpc_id_copy(v->subnet_id, aws_text(one, "subnetId"));
	text_copy(v->region, sizeof(v->region), region ? region : "");
	if ((err = aws_vpc_step(q, AWS_VPC_VPCS, filter_one("vpc-id", v->vpc_id))) < 0 ||
	    (err = aws_vpc_step(q, AWS_VPC_ROUTE_TABLES, filter_one("vpc-id", v->vpc_id))) < 0)
		return err;
	return aws_vpc_step(q, AWS_VPC_ZONES,
			    json_pack("{s:s, s:s}", "VPCId", v->vpc_id, "VPCRegion", v->region));
}

/* ---- the VPC's own CIDR blocks ---- */

/* @set: a list of {@text, @state: {state}} */
static int add_associated(struct aws_prefixes *to, const json_t *set, const char *text,
			  const char *state)
{
	size_t i;
	json_t *one;
	int err = 0;

	json_array_foreach((json_t *)(uintptr_t)set, i, one)
	{
		const char *is = aws_text(json_object_get(one, state), "state");

		if (!err && (!is || strcmp(is, "associated") == 0))
			err = aws_prefixes_add(to, aws_text(one, text));
	}
	return err;
}

static int add_ipv6(struct aws_prefixes *to, const json_t *of)
{
	return add_associated(to, aws_list(of, "ipv6CidrBlockAssociationSet"), "ipv6CidrBlock",
			      "ipv6CidrBlockState");
}

static int read_vpcs(struct aws_vpc_ask *q, json_t *answer)
{
	json_t *vpcs = aws_list(answer, "vpcSet"), *vpc;
	size_t i;
	int err = 0;

	json_array_foreach(vpcs, i, vpc)
	{
		const char *id = aws_text(vpc, "vpcId");
		json_t *set = aws_list(vpc, "cidrBlockAssociationSet");

		if (err || !id || strcmp(id, q->out->vpc_id) != 0)
			continue;
		err = set ? add_associated(&q->own, set, "cidrBlock", "cidrBlockState")
			  : aws_prefixes_add(&q->own, aws_text(vpc, "cidrBlock"));
		if (!err)
			err = add_ipv6(&q->own, vpc);
	}
	return err;
}

static int read_subnets(struct aws_vpc_ask *q, json_t *answer)
{
	json_t *subnets = aws_list(answer, "subnetSet"), *one;
	size_t i;
	int err = 0;

	json_array_foreach(subnets, i, one)
	{
		if (!err)
			err = aws_prefixes_add(&q->own, aws_text(one, "cidrBlock"));
		if (!err)
			err = add_ipv6(&q->own, one);
	}
	return err;
}

/* ---- the result ---- */

static void nothing_known(const struct aws_vpc_ask *q, struct aws_error *error)
{
	const struct aws_vpc *v = q->out;

	if (!v->n_missing) {
		aws_error_set(error, ST_EPEER, "%s has no CIDR block that could be routed",
			      v->vpc_id);
		return;
	}
	aws_error_set(error, ST_EPERM,
		      "nothing about the networks of %s (the VPC of %s) may be read", v->vpc_id,
		      v->instance_id);
	aws_error_hint(error, "the IAM identity needs ec2:DescribeVpcs on *, or at least "
			      "ec2:DescribeSubnets or ec2:DescribeRouteTables");
}

static void finish(struct aws_vpc_ask *q)
{
	struct aws_vpc *v = q->out;
	struct aws_error error;
	int err = aws_vpc_routes_read(q);

	if (err < 0) {
		trouble(&error, err);
		end(q, &error);
		return;
	}
	v->cut_prefixes = aws_prefixes_reduce(&q->own, &q->routed, AWS_VPC_PREFIXES_MAX);
	v->own = q->own.v;
	v->n_own = q->own.n;
	v->routed = q->routed.v;
	v->n_routed = q->routed.n;
	q->own = q->routed = (struct aws_prefixes){ 0 };
	if (v->n_own) {
		end(q, NULL);
		return;
	}
	nothing_known(q, &error);
	end(q, &error);
}
