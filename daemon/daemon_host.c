// SPDX-License-Identifier: MIT
/*
 * daemon_host.c - a configuration held against this machine before anything starts: `check` and `explain -c`
 *
 * Upstreams are known by their index here: nothing is made. What a rule "match: vpc" will bring is not known yet.
 */
#include "daemon/daemon_internal.h"

#include <stdlib.h>

#include "base/err.h"
#include "base/log.h"

int daemon_host_stage(struct daemon *d, const struct config *c)
{
	*d = (struct daemon){ .plan.config = (struct config *)(uintptr_t)c, .engaged = true };
	if (!(d->upstreams = calloc(RT_UPSTREAMS_MAX, sizeof(*d->upstreams))))
		return ST_ENOMEM;
	for (uint32_t i = 0; i < c->n_upstreams; i++)
		d->plan.slots[i] = i;
	return 0;
}

static void print(const struct config *c, const struct collision *v, size_t n, FILE *to)
{
	char text[512];

	for (size_t i = 0; i < n; i++) {
		daemon_guard_text(text, sizeof(text), c, &v[i]);
		fprintf(to, "warning: %s\n", text);
	}
}

/* What was read of this machine, and what is made of it. */
struct look {
	struct tun_main_route *main_routes;
	struct net_prefix *locals;
	struct rt_collision *rules;
	struct collision *all;
	int n_main;
};

static int look_init(struct look *l)
{
	l->main_routes = calloc(LOCAL_ROUTES_MAX, sizeof(*l->main_routes));
	l->locals = calloc(LOCAL_ROUTES_MAX, sizeof(*l->locals));
	l->rules = calloc(COLLISIONS_MAX, sizeof(*l->rules));
	l->all = calloc(COLLISIONS_MAX, sizeof(*l->all));
	if (!l->main_routes || !l->locals || !l->rules || !l->all)
		return ST_ENOMEM;
	if ((l->n_main = tun_main_routes(l->main_routes, LOCAL_ROUTES_MAX, 0)) < 0)
		return l->n_main;
	for (int i = 0; i < l->n_main; i++)
		l->locals[i] = l->main_routes[i].prefix;
	return 0;
}

static void look_fini(struct look *l)
{
	free(l->main_routes);
	free(l->locals);
	free(l->rules);
	free(l->all);
}

static size_t find(const struct config *c, const struct rt_rules *rules, FILE *to)
{
	struct look l = { 0 };
	struct guard_input in = { .config = c };
	struct rt_kernel_route *routes = NULL;
	size_t n_routes, n = 0;
	int r = look_init(&l);

	in.n_rules = COLLISIONS_MAX;
	if (r == 0 && (r = rt_kernel_routes(rules, l.locals, (size_t)l.n_main, &routes, &n_routes,
					    l.rules, &in.n_rules)) == 0) {
		in.rules = l.rules;
		in.main_routes = l.main_routes;
		in.n_main = (size_t)l.n_main;
		n = daemon_guard_find(l.all, &in);
		print(c, l.all, n, to);
	}
	if (r < 0)
		log_warn("this machine's networks could not be looked at: %s", st_strerror(r));
	free(routes);
	look_fini(&l);
	return n;
}

size_t daemon_check_host(const struct config *c, FILE *to)
{
	struct daemon d;
	struct rt_table t = { 0 };
	size_t n = 0;

	if (daemon_host_stage(&d, c) == 0 && daemon_table_make(&d, &t) == 0)
		n = find(c, t.rules, to);
	daemon_table_free(&t);
	free(d.upstreams);
	return n;
}
