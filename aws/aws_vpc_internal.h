// SPDX-License-Identifier: MIT
/* aws_vpc_internal.h - what the files that ask about a VPC share: aws_vpc.c, aws_vpc_routes.c, aws_vpc_zones.c */
#ifndef AWS_AWS_VPC_INTERNAL_H
#define AWS_AWS_VPC_INTERNAL_H

#include <string.h>

#include "aws/aws_internal.h"

enum aws_vpc_step {
	AWS_VPC_INSTANCES,
	AWS_VPC_VPCS,
	AWS_VPC_ROUTE_TABLES,
	AWS_VPC_ZONES,
	AWS_VPC_SUBNETS,
	AWS_VPC_PEERINGS,
	AWS_VPC_LISTS,
	AWS_VPC_ENTRIES, /* one prefix list after the other */
	AWS_VPC_STEP_N
};

struct aws_vpc_call {
	struct aws_vpc_ask *ask;
	aws_call call; /* 0: not under way */
};

struct aws_vpc_ask {
	struct aws_account *acc;
	char region[AWS_REGION_MAX]; /* "": the account's */
	aws_vpc_fn *done;
	void *arg;
	struct aws_vpc_call step[AWS_VPC_STEP_N];
	unsigned under_way;
	struct aws_vpc *out;
	struct aws_prefixes own, routed;
	json_t *routes;	  /* of the instance's table; NULL: not known */
	json_t *peerings; /* NULL: not known */
	json_t *lists;	  /* by id of a prefix list: its entries; null while they are not known */
	char list_id[32]; /* the one that is being asked for */
};

/* aws_vpc.c */
/** aws_vpc_step() - one more call of @q; its answer goes to the step's reader. @params are taken. Return: 0; ST_EFULL; ST_ENOMEM */
int aws_vpc_step(struct aws_vpc_ask *q, enum aws_vpc_step i, json_t *params);
/** aws_vpc_filter() - the parameters of a call with one filter; takes @values */
json_t *aws_vpc_filter(const char *name, json_t *values);
/** aws_vpc_id_copy() - an id of EC2 that we send back to it. Return: false if it is none */
bool aws_vpc_id_copy(char out[32], const char *id);

/* Readers of answers: 0; ST_ENOENT (there is no VPC); ST_EFULL; ST_ENOMEM */
typedef int aws_vpc_read_fn(struct aws_vpc_ask *q, json_t *answer);

/* aws_vpc_routes.c */
aws_vpc_read_fn aws_vpc_read_route_tables, aws_vpc_read_peerings, aws_vpc_read_lists,
	aws_vpc_read_entries;
/** aws_vpc_entries_next() - ask for the entries of the next prefix list, if there is one. Return: as aws_vpc_step() */
int aws_vpc_entries_next(struct aws_vpc_ask *q);
/** aws_vpc_routes_read() - with all answers there: the routes to q->own and q->routed. Return: 0; ST_ENOMEM */
int aws_vpc_routes_read(struct aws_vpc_ask *q);

/* aws_vpc_zones.c */
aws_vpc_read_fn aws_vpc_read_zones;

static inline bool aws_text_is(const json_t *object, const char *key, const char *value)
{
	const char *text = aws_text(object, key);

	return text && strcmp(text, value) == 0;
}

#endif
