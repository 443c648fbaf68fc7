// SPDX-License-Identifier: MIT
/*
 * daemon_reload.c - the configuration anew, while flows go on
 *
 * Theory of operation: all that can fail is done first: the file is loaded as `up` loaded it, new upstreams are made in free slots,
 * the router's table is made, nftables and the system's resolver are asked. If one of these fails, what was made is dropped and the
 * plan is the former one again. Then all is put in force in one turn of the loop, which no packet interrupts: the router's table,
 * the kernel's routes and rules. Upstreams are known by name: one whose sessions would be the same keeps its slot and its
 * sessions; one that has changed gets a new slot, and the old one is drained, as is one that was removed.
 */
#include "daemon/daemon_internal.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "base/text.h"
#include "daemon/daemon_diff.h"

struct reload {
	struct daemon *d;
	json_t *problems, *notes; /* lines */
	struct plan former;
	struct diff_counts counts;
	struct policy_users users;
	struct rt_table table;
	struct upstream *made[CFG_UPSTREAMS_MAX]; /* slots that this reload has filled */
	size_t n_made;
	struct upstream *learns
		[CFG_UPSTREAMS_MAX]; /* kept upstreams that have a rule "match: vpc" now, and had none */
	size_t n_learns;
	bool kept[RT_UPSTREAMS_MAX]; /* slots that both plans use */
};

static void problem(struct reload *r, const char *fmt, ...) ST_PRINTF(2, 3);

static void problem(struct reload *r, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	log_error("reload: %s", text);
	json_array_append_new(r->problems, json_string(text));
}

/* ---- loading */

/* The report's own lines; errors and notes of a file that was refused are one list, as `check` prints them. */
static void take_report(struct reload *r, const struct cfg_report *report)
{
	char *text = NULL, *save = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	if (!f)
		return;
	cfg_report_print(report, f);
	fclose(f);
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		json_array_append_new(report->n_errors ? r->problems : r->notes, json_string(line));
		log_msg(report->n_errors ? LOG_ERROR : LOG_WARN, "reload: %s", line);
	}
	free(text);
}

static int load(struct reload *r, struct config **out)
{
	const char *now = r->d->plan.config->file;
	struct cfg_report *report;

	if (!now) {
		problem(r, "this tunnel was made by flags alone: there is no file to load anew");
		return ST_EINVAL;
	}
	int err = daemon_config_load(r->d, out, &report);
	if (report)
		take_report(r, report);
	free(report);
	if (err < 0) {
		if (json_array_size(r->problems) == 0)
			problem(r, "the configuration could not be loaded: %s", st_strerror(err));
		return err;
	}
	if ((*out)->file && strcmp((*out)->file, now) == 0)
		return 0;
	problem(r, "%s would be used now, and %s is in force: run `down` and `up` for another file",
		(*out)->file ? text_safe((*out)->file).s : "no file", text_safe(now).s);
	return ST_EINVAL;
}

static int check(struct reload *r, const struct config *next)
{
	const char *fixed[DIFF_FIXED_MAX];
	size_t n = daemon_diff_fixed(fixed, r->d->plan.config, next);
	const char *unknown;

	for (size_t i = 0; i < n; i++)
		problem(r, "%s can't change while up: run `down` and `up`", fixed[i]);
	if (n)
		return ST_EINVAL;
	int err = daemon_policy_users(&r->users, next, &unknown);
	if (err < 0)
		problem(r, "access: this machine has no user %s", text_safe(unknown).s);
	return err;
}

/* ---- making what is new */

/* The slot whose sessions serve @cfg as they are; NULL: none. One that has failed for good is made anew: what was wrong may be mended. */
static struct upstream *find_same(struct daemon *d, const struct cfg_upstream *cfg)
{
	for (size_t i = 0; i < RT_UPSTREAMS_MAX; i++) {
		struct upstream *u = &d->upstreams[i];

		if (u->slot == SLOT_USED && u->cfg && u->state != TNL_FAILED &&
		    daemon_diff_upstream(u->cfg, cfg))
			return u;
	}
	return NULL;
}

static int make_upstream(struct reload *r, const struct cfg_upstream *cfg, struct upstream **out)
{
	struct daemon *d = r->d;
	struct upstream *u = daemon_upstream_free_slot(d);

	if (!u) {
		problem(r,
			"%s: %u upstreams live, those included that former reloads still drain: "
			"try "
			"again when their flows have ended",
			cfg->name, RT_UPSTREAMS_MAX);
		return ST_EFULL;
	}
	d->trouble[0] = 0;
	int err = daemon_upstream_make(d, u, d->plan.config, cfg, false);
	if (err < 0) {
		problem(r, "%s", d->trouble[0] ? d->trouble : st_strerror(err));
		return err;
	}
	r->made[r->n_made++] = u;
	*out = u;
	return 0;
}

static int make_upstreams(struct reload *r)
{
	struct plan *p = &r->d->plan;
	size_t made = 0;

	for (size_t i = 0; i < p->config->n_upstreams; i++) {
		const struct cfg_upstream *cfg = &p->config->upstreams[i];
		struct upstream *u = find_same(r->d, cfg);
		int err;

		if (u)
			r->kept[u - r->d->upstreams] = true;
		else if ((err = make_upstream(r, cfg, &u)) < 0)
			return err;
		else
			made++;
		p->slots[i] = (uint32_t)(u - r->d->upstreams);
	}
	r->counts.changed = made - r->counts.added; /* those that had failed count, too */
	return 0;
}

static int make_vpcs(struct reload *r)
{
	const struct config *c = r->d->plan.config;

	for (size_t i = 0; i < c->n_routes; i++) {
		struct upstream *u;

		if (c->routes[i].match != CFG_MATCH_VPC)
			continue;
		u = daemon_upstream_at(r->d, c->routes[i].upstream);
		if (u->vpc)
			continue;
		if (daemon_vpc_new(u) < 0)
			return ST_ENOMEM;
		if (r->kept[u - r->d->upstreams])
			r->learns[r->n_learns++] = u;
	}
	return 0;
}

static void drop_made(struct reload *r)
{
	for (size_t i = 0; i < r->n_learns; i++)
		daemon_vpc_free(r->learns[i]);
	for (size_t i = 0; i < r->n_made; i++)
		daemon_upstream_drop(r->made[i]);
	r->n_learns = r->n_made = 0;
}

/* The last things that may fail: what the keeper does. */
static int ask_keeper(struct reload *r)
{
	struct daemon *d = r->d;
	int err = daemon_net_filter(d, d->plan.config);

	if (err < 0) {
		problem(r, "system mode needs nftables here, which can't be used: set "
			   "net.ipv4.conf.all.rp_filter=2 by sysctl");
		return err;
	}
	daemon_dns_doubt(d);
	if ((err = daemon_dns_set(d, &r->table)) < 0) {
		problem(r, "the system's resolver could not be set as dns.manager says: %s%s%s",
			st_strerror(err), d->names.refusal[0] ? ": " : "",
			text_safe(d->names.refusal).s);
		/* nftables as the former plan needs it; it had it until now */
		daemon_net_filter(d, r->former.config);
	}
	return err;
}

static int prepare(struct reload *r, struct config *next)
{
	struct daemon *d = r->d;
	int err;

	r->former = d->plan;
	d->plan = (struct plan){ .config = next, .users = r->users };
	if ((err = make_upstreams(r)) < 0 || (err = make_vpcs(r)) < 0 ||
	    (err = daemon_table_make(d, &r->table)) < 0 || (err = ask_keeper(r)) < 0) {
		daemon_table_free(&r->table);
		drop_made(r);
		d->plan = r->former;
		if (d->names.unsure) /* the former manager has forgotten us for the new one */
			daemon_dns_set(d, rt_table(d->rt));
	}
	return err;
}

/* ---- in force */

static void keep_upstreams(struct reload *r)
{
	struct daemon *d = r->d;
	bool learns[RT_UPSTREAMS_MAX] = { 0 };
	const struct config *c = d->plan.config;

	for (size_t i = 0; i < c->n_routes; i++)
		if (c->routes[i].match == CFG_MATCH_VPC)
			learns[d->plan.slots[c->routes[i].upstream]] = true;
	for (size_t i = 0; i < c->n_upstreams; i++) {
		struct upstream *u = daemon_upstream_at(d, i);

		u->cfg = &c->upstreams[i];
		daemon_upstream_tell_router(d, u);
		if (!learns[d->plan.slots[i]])
			daemon_vpc_free(u);
	}
}

static void drain_others(struct reload *r)
{
	for (size_t i = 0; i < r->former.config->n_upstreams; i++) {
		uint32_t slot = r->former.slots[i];

		if (!r->kept[slot])
			daemon_upstream_drain(&r->d->upstreams[slot]);
	}
}

static void start_made(struct reload *r)
{
	for (size_t i = 0; i < r->n_made; i++)
		tnl_upstream_start(r->made[i]->tnl);
	for (size_t i = 0; i < r->n_learns; i++)
		if (r->learns[i]->state == TNL_UP)
			daemon_vpc_upstream_up(r->learns[i]);
}

static void commit(struct reload *r)
{
	struct daemon *d = r->d;

	keep_upstreams(r);
	rt_dns_mode(d->rt, daemon_dns_mode_of(d->plan.config));
	rt_set_table(d->rt, &r->table);
	if (daemon_net_policy(d) < 0)
		json_array_append_new(
			r->notes, json_string("the routes could not all be set: see the log; they "
					      "are set again when this machine's network changes"));
	daemon_guard_endpoints_look(d);
	drain_others(r);
	start_made(r);
	cfg_free(r->former.config);
}

/* ---- the answer */

static json_t *done(struct reload *r)
{
	const struct diff_counts *c = &r->counts;
	const bool none = daemon_diff_none(c);
	char text[256];

	if (none)
		snprintf(text, sizeof(text), "no change");
	else
		snprintf(text, sizeof(text),
			 "upstreams: %zu added, %zu changed, %zu removed; routes: %zu added, %zu "
			 "removed%s",
			 c->added, c->changed, c->removed, c->routes_added, c->routes_removed,
			 c->settings ? "; settings changed" : "");
	log_info("reload: %s", text);
	return json_pack("{s:b, s:b, s:s, s:{s:i, s:i, s:i}, s:{s:i, s:i}, s:O}", "ok", 1,
			 "changed", !none, "text", text, "upstreams", "added", (int)c->added,
			 "changed", (int)c->changed, "removed", (int)c->removed, "routes", "added",
			 (int)c->routes_added, "removed", (int)c->routes_removed, "notes",
			 r->notes);
}

json_t *daemon_reload(struct daemon *d)
{
	struct reload r = { .d = d, .problems = json_array(), .notes = json_array() };
	struct config *next = NULL;
	json_t *answer;
	int err = ST_EAGAIN;

	if (d->phase != DAEMON_RUNNING)
		problem(&r, "it is not up yet, or ends: try again");
	else if ((err = load(&r, &next)) == 0 && (err = check(&r, next)) == 0 &&
		 (err = daemon_diff_counts(&r.counts, d->plan.config, next)) == 0)
		err = prepare(&r, next);
	if (err == 0) {
		commit(&r);
		answer = done(&r);
	} else {
		if (json_array_size(r.problems) == 0)
			problem(&r, "%s", st_strerror(err));
		cfg_free(next);
		answer = json_pack("{s:b, s:s, s:O}", "ok", 0, "error", "nothing was changed",
				   "problems", r.problems);
	}
	json_decref(r.problems);
	json_decref(r.notes);
	return answer;
}
