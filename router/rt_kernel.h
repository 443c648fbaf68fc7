// SPDX-License-Identifier: MIT
/* rt_kernel.h - what the kernel must route into the device so that the rules hold (decision 13) */
#ifndef ROUTER_RT_KERNEL_H
#define ROUTER_RT_KERNEL_H

#include <stdbool.h>
#include <stddef.h>

#include "router/rt_rules.h"

struct rt_kernel_route {
	struct net_prefix prefix;
	bool away; /* true: a "throw" route, the main table decides; false: into the device */
};

/* A route of the main table that collides with a rule, for one line to the user. */
struct rt_collision {
	const struct rt_rule *rule;
	size_t local; /* index into @locals */
	bool local_wins;
};

/**
 * rt_kernel_routes() - the smallest set of routes for our table, shortest prefixes first
 * @locals: prefixes of the main table (no default route, none of the device's own)
 * @out: to be freed by the caller. Rules of other actions than direct go into the device, direct rules inside them and
 * longer local routes are thrown back to the main table; an equal local prefix wins unless the rule has override.
 * A route that a shorter one of the same kind already covers is left out.
 * @collisions: at most *@n_collisions on entry are stored, of the shortest prefixes first; NULL: not wanted
 * Costs a sort: 5,000 rules and as many local routes take a few ms.
 * Return: 0; ST_ENOMEM
 */
int rt_kernel_routes(const struct rt_rules *rules, const struct net_prefix *locals, size_t n_locals,
		     struct rt_kernel_route **out, size_t *n_out, struct rt_collision *collisions,
		     size_t *n_collisions);

struct rt_kernel_opts {
	const struct rt_rules *rules;
	const struct net_prefix *locals;
	size_t n_locals;
	/* the resolvers that this machine had before: one inside a prefix of ours is thrown back unless a rule names that very address */
	const struct net_addr *resolvers;
	size_t n_resolvers;
};
/** rt_kernel_make() - rt_kernel_routes() with all that may matter. Return: 0; ST_ENOMEM */
int rt_kernel_make(const struct rt_kernel_opts *opts, struct rt_kernel_route **out, size_t *n_out,
		   struct rt_collision *collisions, size_t *n_collisions);

#endif
