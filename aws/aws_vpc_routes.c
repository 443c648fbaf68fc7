// SPDX-License-Identifier: MIT
/*
 * aws_vpc_routes.c - what the instance's route table leads to
 *
 * Theory of operation: what counts of the table that serves the instance's subnet is active routes to a peering, transit or virtual private gateway, Cloud WAN, an Outpost's
 * gateway, or an instance's interface (a VPN that somebody runs on it): all that leads on to private networks. What leads to
 * the internet does not count, nor do gateway endpoints (S3, DynamoDB), nor a default route. A peering carries what is addressed to
 * the other VPC and nothing else, so its routes are cut to that VPC's CIDR blocks where these may be read.
 * Source: EC2 API reference, DescribeRouteTables and Route; VPC peering guide, "Unsupported configurations"
 */
#include <stdlib.h>
#include <string.h>

#include "aws/aws_vpc_internal.h"
#include "base/err.h"

#define LISTS_MAX 64U	  /* ours: prefix lists of one route table */
#define PEERINGS_MAX 200U /* values of one filter; a VPC has 125 peerings at most */

/* Is @table the one that serves the subnet, by name or (@main) as the VPC's own? */
static bool serves(const json_t *table, const char *subnet_id, bool main)
{
	json_t *set = aws_list(table, "associationSet"), *one;
	size_t i;

	json_array_foreach(set, i, one)
	{
		const char *state = aws_text(json_object_get(one, "associationState"), "state");

		if (state && strcmp(state, "associated") != 0)
			continue;
		if (main ? aws_text_is(one, "main", "true")
			 : *subnet_id && aws_text_is(one, "subnetId", subnet_id))
			return true;
	}
	return false;
}

static json_t *routes_find(const struct aws_vpc_ask *q, const json_t *answer)
{
	json_t *tables = aws_list(answer, "routeTableSet"), *table;
	size_t i;

	for (unsigned main = 0; main < 2; main++)
		json_array_foreach(tables, i, table)
		{
			if (aws_text_is(table, "vpcId", q->out->vpc_id) &&
			    serves(table, q->out->subnet_id, main))
				return aws_list(table, "routeSet");
		}
	return NULL;
}

/* Members of a route that name a way to private networks; a gatewayId does so if it is a virtual private gateway's. */
static bool leads_on(const json_t *route)
{
	static const char *const ways[] = { "vpcPeeringConnectionId", "transitGatewayId",
					    "coreNetworkArn", "localGatewayId",
					    "networkInterfaceId" };
	const char *state = aws_text(route, "state"), *gateway = aws_text(route, "gatewayId");

	if (state && strcmp(state, "active") != 0)
		return false;
	for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
		const char *way = aws_text(route, ways[i]);

		if (way && *way)
			return true;
	}
	return gateway && strncmp(gateway, "vgw-", 4) == 0;
}

static bool has(const json_t *list, const char *text)
{
	size_t i;
	json_t *one;

	json_array_foreach((json_t *)(uintptr_t)list, i, one)
	{
		if (strcmp(json_string_value(one), text) == 0)
			return true;
	}
	return false;
}

/* What the routes name, each once: prefix lists into q->lists. Return: the peerings; NULL without memory */
static json_t *routes_scan(struct aws_vpc_ask *q)
{
	json_t *peerings = json_array(), *route;
	size_t i;

	json_array_foreach(q->routes, i, route)
	{
		const char *peering = aws_text(route, "vpcPeeringConnectionId");
		const char *list = aws_text(route, "destinationPrefixListId");
		char id[32];

		if (!leads_on(route))
			continue;
		if (aws_vpc_id_copy(id, peering) && json_array_size(peerings) < PEERINGS_MAX &&
		    !has(peerings, id))
			json_array_append_new(peerings, json_string(id));
		if (aws_vpc_id_copy(id, list) && json_object_size(q->lists) < LISTS_MAX)
			json_object_set_new(q->lists, id, json_null());
	}
	return peerings;
}

static json_t *keys_of(const json_t *object)
{
	json_t *keys = json_array(), *value;
	const char *key;

	json_object_foreach((json_t *)(uintptr_t)object, key, value)
		json_array_append_new(keys, json_string(key));
	return keys;
}

int aws_vpc_read_route_tables(struct aws_vpc_ask *q, json_t *answer)
{
	json_t *peerings;
	int err = 0;

	q->routes = json_incref(routes_find(q, answer));
	if (!(peerings = routes_scan(q)))
		return ST_ENOMEM;
	if (json_array_size(peerings))
		err = aws_vpc_step(q, AWS_VPC_PEERINGS,
				   aws_vpc_filter("vpc-peering-connection-id", peerings));
	else
		json_decref(peerings);
	if (!err && json_object_size(q->lists))
		err = aws_vpc_step(q, AWS_VPC_LISTS,
				   aws_vpc_filter("prefix-list-id", keys_of(q->lists)));
	return err;
}

int aws_vpc_read_peerings(struct aws_vpc_ask *q, json_t *answer)
{
	json_t *set = aws_list(answer, "vpcPeeringConnectionSet");

	q->peerings = set ? json_incref(set) : json_array();
	return q->peerings ? 0 : ST_ENOMEM;
}

/* AWS's own lists (S3, DynamoDB, CloudFront) are the internet's. */
int aws_vpc_read_lists(struct aws_vpc_ask *q, json_t *answer)
{
	json_t *set = aws_list(answer, "prefixListSet"), *one;
	size_t i;

	json_array_foreach(set, i, one)
	{
		const char *id = aws_text(one, "prefixListId");

		if (id && aws_text_is(one, "ownerId", "AWS"))
			json_object_del(q->lists, id);
	}
	return aws_vpc_entries_next(q);
}

int aws_vpc_entries_next(struct aws_vpc_ask *q)
{
	const char *id;
	json_t *entries;

	json_object_foreach(q->lists, id, entries)
	{
		if (!json_is_null(entries))
			continue;
		aws_vpc_id_copy(q->list_id, id);
		return aws_vpc_step(q, AWS_VPC_ENTRIES,
				    json_pack("{s:s}", "PrefixListId", q->list_id));
	}
	return 0;
}

int aws_vpc_read_entries(struct aws_vpc_ask *q, json_t *answer)
{
	json_t *set = aws_list(answer, "entrySet");

	if (json_object_set_new(q->lists, q->list_id, set ? json_incref(set) : json_array()))
		return ST_ENOMEM;
	return aws_vpc_entries_next(q);
}

/* The CIDR blocks of the side that is not ours. Return: 0; ST_ENOMEM */
static int peer_read(const struct aws_vpc_ask *q, const json_t *peering, struct aws_prefixes *out)
{
	const json_t *peer = json_object_get(peering, "accepterVpcInfo");
	const char *sets[][2] = { { "cidrBlockSet", "cidrBlock" },
				  { "ipv6CidrBlockSet", "ipv6CidrBlock" } };
	int err;

	if (aws_text_is(peer, "vpcId", q->out->vpc_id))
		peer = json_object_get(peering, "requesterVpcInfo");
	err = aws_prefixes_add(out, aws_text(peer, "cidrBlock"));
	for (size_t s = 0; s < ARRAY_LEN(sets); s++) {
		json_t *set = aws_list(peer, sets[s][0]), *one;
		size_t i;

		json_array_foreach(set, i, one)
		{
			if (!err)
				err = aws_prefixes_add(out, aws_text(one, sets[s][1]));
		}
	}
	return err;
}

/* What @route's peering lets through, nothing if there is none in it. Return: false if nothing passes it; *@err: ST_ENOMEM */
static bool way_read(const struct aws_vpc_ask *q, const json_t *route, struct aws_prefixes *out,
		     int *err)
{
	const char *id = aws_text(route, "vpcPeeringConnectionId");
	json_t *one;
	size_t i;

	if (!id || !q->peerings)
		return true;
	json_array_foreach(q->peerings, i, one)
	{
		if (!aws_text_is(one, "vpcPeeringConnectionId", id))
			continue;
		*err = peer_read(q, one, out);
		return aws_text_is(json_object_get(one, "status"), "code", "active");
	}
	return json_array_size(q->peerings) == PEERINGS_MAX; /* else it has gone */
}

static int route_read(struct aws_vpc_ask *q, const json_t *route)
{
	static const char *const destinations[] = { "destinationCidrBlock",
						    "destinationIpv6CidrBlock" };
	const char *list = aws_text(route, "destinationPrefixListId");
	struct aws_prefixes way = { 0 };
	json_t *entries = list ? json_object_get(q->lists, list) : NULL, *one;
	int err = 0;
	size_t i;

	if (!way_read(q, route, &way, &err)) {
		aws_prefixes_fini(&way);
		return err;
	}
	for (i = 0; !err && i < ARRAY_LEN(destinations); i++)
		err = aws_prefixes_add_cut(&q->routed, aws_text(route, destinations[i]), &way);
	json_array_foreach(entries, i, one)
	{
		if (!err)
			err = aws_prefixes_add_cut(&q->routed, aws_text(one, "cidr"), &way);
	}
	aws_prefixes_fini(&way);
	return err;
}

/* A route of each CIDR block of the VPC stands in each of its tables. */
static int local_read(struct aws_vpc_ask *q, const json_t *route)
{
	int err = aws_prefixes_add(&q->own, aws_text(route, "destinationCidrBlock"));

	return err ? err : aws_prefixes_add(&q->own, aws_text(route, "destinationIpv6CidrBlock"));
}

int aws_vpc_routes_read(struct aws_vpc_ask *q)
{
	json_t *route;
	size_t i;
	int err = 0;

	json_array_foreach(q->routes, i, route)
	{
		if (err)
			break;
		if (leads_on(route))
			err = route_read(q, route);
		else if (aws_text_is(route, "gatewayId", "local"))
			err = local_read(q, route);
	}
	return err;
}
